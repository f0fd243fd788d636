//! Who runs on a worker: how goroutines begin, follow one another, and end.
//!
//! The worker's loop switches a goroutine in ([`Worker::execute`]). One that stops may switch to the next itself
//! ([`Worker::switch_out`]), and one that ends may be followed by a closure, on its stack ([`Worker::succeed`]): where it is clear what the
//! loop would come to, and for a few turns only. Whatever has the clock, the mail or others' work to do with is the loop's.
//!
//! Invariant: `current` is who runs; its record is among the residents, at its `place`, until it is buried here.

use super::g::{Body, Fresh, G};
use super::mail::count;
use super::prefetch::prefetch_record;
use super::ready::Ready;
use super::record::Ref;
use super::switch::Context;
use super::worker::{CHAIN_PER_CLOCK, Worker};
use crate::park::{set_goroutine, set_scheduler};
use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering;
use std::thread;

/// Fewer goroutines have their stacks in the nearest cache.
const MANY_WAIT: usize = 16;

impl Worker {
    /// Starts a goroutine and runs it.
    pub(super) fn start(&self, fresh: Fresh) {
        let body = fresh.into_body();
        if self.shared.is_shut_down() {
            body.g().tell_to_end();
        }
        // SAFETY: a coercion.
        if let Some(g) = self.settle_in(unsafe { body.unsized_by(|body| body as _) }) {
            self.execute(g);
        }
    }

    /// Gives a goroutine its stack, and a place among the residents. `None` if there is no stack to be had.
    pub(super) fn settle_in(&self, body: Ref<dyn Body>) -> Option<*const G> {
        let g = body.g();
        let stack = match g.own.context.taken_beforehand().map_or_else(|| self.stack(g.stack_size), Ok) {
            Ok(stack) => stack,
            Err(error) => {
                g.identity.report(format_args!("cannot run: {error}"));
                body.forsake(Some(error.to_string()));
                self.shared.forsaken.fetch_add(1, Ordering::Relaxed);
                return None;
            }
        };
        G::start(&body, self, stack);
        let address = ptr::from_ref(g);
        let mut residents = self.residents.borrow_mut();
        g.place.store(residents.len(), Ordering::Relaxed);
        residents.push(body);
        self.remote.set_residents(residents.len());
        Some(address)
    }

    /// Runs a goroutine, and those that it hops to, until one stops with nobody next.
    pub(super) fn execute(&self, g: *const G) {
        // SAFETY: it lives here, and its record with it.
        let g = unsafe { &*g };
        let identity = self.identity.get();
        let outer = set_scheduler(Some(self.scheduler));
        self.become_current(g);
        // SAFETY: it is ours, and we are on the worker's own stack.
        unsafe { g.own.context.switch_in(&self.outside) };
        set_scheduler(outer);
        // SAFETY: who has just stopped; its record is buried here and nowhere else.
        let g = unsafe { &*self.current.replace(ptr::null()) };
        self.identity.set(identity);
        let has_ended = g.own.context.has_ended();
        self.has_ended_one.set(has_ended);
        if has_ended {
            self.bury(g);
        }
        if self.deferred.get() && !thread::panicking() {
            self.deferred.set(false);
            self.interrupt_all(G::is_told_to_end);
        }
    }

    /// From here on it is `g` that runs.
    #[inline]
    fn become_current(&self, g: &G) {
        self.current.set(g);
        self.identity.set(&raw const g.identity);
        self.remote.set_running(&g.identity);
        self.slice.set(None);
        set_goroutine(NonNull::from(g).cast());
    }

    /// Switches the running goroutine out: to the next one, if it is clear who that is, else to the loop.
    #[inline(always)]
    pub(super) fn switch_out(&self, g: &G) {
        g.stops_in(self.remote.turn());
        let next = self.next_at_once();
        // SAFETY: it is the running goroutine that calls; the next one lives here, and is switched out.
        unsafe {
            if next.is_null() {
                g.own.context.switch_out(&self.outside);
            } else {
                self.become_current(&*next);
                if !ptr::eq(next, g) {
                    g.own.context.hop(&(*next).own.context);
                }
            }
        }
    }

    /// Who is next, where the loop would find nothing before it; null if it is the loop's turn.
    #[inline(always)]
    fn next_at_once(&self) -> *const G {
        let hops = self.hops.get();
        if !Context::HOPS || hops == 0 || self.remote.has_mail() {
            return ptr::null();
        }
        let mut next = self.runnext.get();
        if next.is_null() {
            let Some(first) = self.pop_ready() else { return ptr::null() };
            self.begin_chain();
            next = first;
        } else {
            let chain = self.chain.get();
            if chain >= CHAIN_PER_CLOCK && !self.ready.is_empty() {
                return ptr::null();
            }
            self.runnext.set(ptr::null());
            self.chain.set(chain + 1);
        }
        self.hops.set(hops - 1);
        self.remote.next_turn();
        next
    }

    /// The first of those who wait for their turn.
    #[inline(always)]
    pub(super) fn pop_ready(&self) -> Option<*const G> {
        /// Many wait, so the next ones have left the cache meanwhile.
        #[inline(never)]
        fn prefetch_next(ready: &Ready) {
            if let Some([next, second]) = ready.next_two() {
                // SAFETY: who waits for its turn is alive.
                unsafe { (*next).prefetch() };
                prefetch_record(second);
            }
        }
        let first = self.ready.pop_front()?;
        if self.ready.in_ring() >= MANY_WAIT {
            prefetch_next(&self.ready);
        }
        Some(first)
    }

    /// The running goroutine has ended, and this is its stack still. What is to begin there, as if it were a new one: a closure that was
    /// made here, if the loop would find nothing before it, and it wants such a stack. The caller runs it.
    ///
    /// Where many start and end, that saves each of them two switches, and the way of its stack back and forth.
    ///
    /// # Safety
    /// Nothing is left on the stack but who calls.
    pub(super) unsafe fn succeed(&self) -> Option<*const dyn Body> {
        let hops = self.hops.get();
        if !Context::HOPS
            || hops == 0
            || self.remote.has_mail()
            || self.woken.get()
            || self.deferred.get()
            || self.shared.is_shut_down()
        {
            return None;
        }
        self.has_ended_one.set(true);
        let others_wait = if self.runnext.get().is_null() { !self.ready.is_empty() } else { !self.goes_on_in_a_row() };
        if others_wait {
            return None;
        }
        // SAFETY: it has just run, so its record is alive.
        let ended = unsafe { &*self.current.get() };
        let body = self.fresh.pop_made_for(ended.stack_size)?.into_body();
        self.share();
        // SAFETY: a coercion.
        let body: Ref<dyn Body> = unsafe { body.unsized_by(|body| body as _) };
        let next = ptr::from_ref(&*body);
        // SAFETY: the one has ended, and the other is a resident for as long as it runs there.
        unsafe {
            let stack = ended.own.context.take_stack();
            body.g().live_on(self, &stack);
            body.g().own.context.take_over(stack);
        }
        self.become_current(body.g());
        let place = ended.place.load(Ordering::Relaxed);
        body.g().place.store(place, Ordering::Relaxed);
        let ended = std::mem::replace(&mut self.residents.borrow_mut()[place], body);
        self.count_ended();
        drop(ended);
        self.hops.set(hops - 1);
        self.remote.next_turn();
        Some(next)
    }

    /// A goroutine has ended.
    fn bury(&self, g: &G) {
        // SAFETY: it has ended, and a wake-up that was owed to it was consumed.
        let stack = unsafe { g.own.context.take_stack() };
        let body = {
            let mut residents = self.residents.borrow_mut();
            let place = g.place.load(Ordering::Relaxed);
            let body = residents.swap_remove(place);
            if let Some(moved) = residents.get(place) {
                moved.g().place.store(place, Ordering::Relaxed);
            }
            self.remote.set_residents(residents.len());
            body
        };
        self.count_ended();
        drop(body);
        self.stacks.borrow_mut().put(stack);
    }

    /// One is no resident any more: its record may go now.
    #[inline]
    fn count_ended(&self) {
        self.recent.forget();
        count(&self.remote.doings.ended);
    }

    /// Is it among the residents? For an assertion.
    ///
    /// # Safety
    /// Its record is there: it has not ended, and this is to make sure of it.
    pub(super) unsafe fn has(&self, g: *const G) -> bool {
        // SAFETY: the caller's contract.
        let place = unsafe { (*g).place.load(Ordering::Relaxed) };
        self.residents.borrow().get(place).is_some_and(|body| ptr::eq(body.g(), g))
    }

    /// The running goroutine will never run again: what is on its stack stays there, and its stack with it.
    pub(super) fn leave_behind(&self, g: &G) -> ! {
        let body = self.residents.borrow()[g.place.load(Ordering::Relaxed)].clone();
        g.identity.report(format_args!("is cancelled and cannot be unwound: it is left"));
        body.forsake(None);
        loop {
            self.switch_out(g);
        }
    }
}
