//! Who runs on this thread, and what a goroutine asks of the worker that it runs on: the table of functions behind the seam in
//! `park`.

use super::cancel;
use super::census;
use super::g::{G, Identity};
use super::mail::Remote;
use super::worker::Worker;
use crate::park::{self, Home, Pace, Resumed, Scheduler, Spare, Wait};
use std::cell::Cell;
use std::num::NonZeroU64;
use std::ptr::{self, NonNull};
use std::thread;
use std::time::{Duration, Instant};

/// So long one goroutine may go on with operations that could have made it wait, and so may those that ready each other.
pub(super) const SLICE: Duration = Duration::from_micros(10);

thread_local! {
    /// The worker whose thread this is. Without a destructor.
    static WORKER: Cell<*const Worker> = const { Cell::new(ptr::null()) };
}

/// The worker's: this is its thread, from now on or (null) no more.
pub(super) fn set_worker(worker: *const Worker) {
    WORKER.set(worker);
    park::set_word(current_worker().map(|worker| worker.remote.running_word()));
}

/// The worker of this thread.
#[inline]
pub(super) fn current_worker<'a>() -> Option<&'a Worker> {
    // SAFETY: set by a worker's thread for as long as the worker lives, and used on that thread by functions that return
    // before.
    unsafe { WORKER.get().as_ref() }
}

/// The goroutine that runs on this thread.
pub(super) fn current_goroutine<'a>() -> Option<&'a G> {
    // SAFETY: the running goroutine's record is alive, and used by what it calls.
    unsafe { current_worker()?.current.get().as_ref() }
}

/// The goroutine or task that runs on this thread.
pub(super) fn current_identified<'a>() -> Option<&'a Identity> {
    // SAFETY: as above; for a task, while it is polled.
    unsafe { current_worker()?.identity.get().as_ref() }
}

/// Its number.
pub(super) fn current_identity() -> Option<NonZeroU64> {
    current_identified().map(Identity::key)
}

/// While a task is polled, it is who runs.
pub(super) struct Current(*const Identity);

/// # Panics
/// Never: on a thread without a worker it does nothing.
pub(super) fn polling_as(identity: &Identity) -> Current {
    Current(current_worker().map_or(ptr::null(), |worker| {
        worker.remote.set_polling(identity);
        worker.identity.replace(identity)
    }))
}

impl Drop for Current {
    fn drop(&mut self) {
        if let Some(worker) = current_worker() {
            worker.identity.set(self.0);
        }
    }
}

/// What a worker is to its goroutines.
pub(super) fn scheduler_of(remote: &'static Remote) -> Scheduler {
    let name = NonNull::from(remote).cast();
    Scheduler {
        polling: false,
        // SAFETY: so it is called for those who live there; a remote may be used from any thread, for ever.
        homes: unsafe { [Home::new(ready::<false>, name), Home::new(ready::<true>, name)] },
        spare,
        switch_out,
        is_cancelled: cancel::is_cancelled,
        unwind: cancel::unwind,
        inspect: census::show_stack,
        take_turns,
    }
}

/// The running goroutine and its worker. Called by it only.
pub(super) fn running<'a>() -> (&'a Worker, &'a G) {
    // SAFETY: the worker outlives its goroutines, and a running goroutine's record is alive.
    unsafe {
        let worker = &*WORKER.get();
        (worker, &*worker.current.get())
    }
}

fn spare(what: Spare) -> bool {
    let spare = &running().1.own.spare;
    match what {
        Spare::Keep => spare.set(spare.get() + 1),
        Spare::Take if spare.get() == 0 => return false,
        Spare::Take => spare.set(spare.get() - 1),
    }
    true
}

/// goready: the goroutine can run again. A `SENDER` waited to get rid of a value: see [`Worker::ready_here`].
///
/// # Safety
/// `g` is a started goroutine that is switched out, or about to be, until this; `home` is where it lives.
unsafe fn ready<const SENDER: bool>(g: NonNull<()>, home: NonNull<()>) {
    let g: *const G = g.cast().as_ptr();
    // SAFETY: what a worker is called by, see `scheduler_of`; and a remote is never freed.
    let home: &'static Remote = unsafe { home.cast().as_ref() };
    // SAFETY: the record lives until the goroutine has consumed this.
    debug_assert!(unsafe { (*g).home() }.is_some_and(|its| ptr::eq(its, home)), "readied where it does not live");
    match current_worker() {
        Some(worker) if ptr::eq(worker.remote, home) => {
            // SAFETY: the record lives until the goroutine has consumed this.
            if unsafe { (*g).is_cold(home.turn()) } {
                // SAFETY: as above.
                unsafe { ready_cold::<SENDER>(worker, g) }
            } else {
                worker.ready_here::<SENDER>(g);
            }
        }
        // SAFETY: as above, and this is its one wake-up.
        _ => unsafe { home.post_ready(g) },
    }
}

/// It is readied here after a long time.
///
/// # Safety
/// As for [`ready`].
#[inline(never)]
unsafe fn ready_cold<const SENDER: bool>(worker: &Worker, g: *const G) {
    // SAFETY: it lives.
    let g = unsafe { &*g };
    g.prefetch();
    // SAFETY: where a goroutine ends, they are forgotten.
    unsafe {
        debug_assert!(worker.recent.iter().all(|one| worker.has(one)), "who has ended is not forgotten");
        worker.recent.are_followed_by(g);
    }
    worker.ready_here::<SENDER>(g);
}

/// Switches the running goroutine out until it is readied, or until the deadline. One that says for what it waits may also
/// be cancelled; if it is already, it is not switched out.
#[inline(always)]
pub(crate) fn switch_out(deadline: Option<Instant>, wait: Option<&Wait>) -> Resumed {
    let (worker, g) = running();
    if wait.is_some() && g.is_told_to_end() && cancel::is_cancelled() {
        return Resumed::Cancelled;
    }
    let own = &g.own;
    own.resumed.set(Resumed::Readied);
    own.panicking.set(thread::panicking());
    own.wait.set(wait.map_or(ptr::null(), ptr::from_ref));
    match deadline {
        None => worker.switch_out(g),
        Some(when) => switch_out_until(worker, g, when, wait),
    }
    own.wait.set(ptr::null());
    own.resumed.get()
}

#[cold]
fn switch_out_until(worker: &Worker, g: &G, when: Instant, wait: Option<&Wait>) {
    wait.inspect(|wait| wait.set_timed());
    let timer = worker.set_timer(when, g);
    worker.switch_out(g);
    worker.timers.borrow_mut().remove(&timer);
}

/// Lets the others of this worker run first.
pub(super) fn yield_goroutine() {
    let (worker, g) = running();
    worker.ready.push_back(g);
    if worker.has_fresh() {
        worker.yielded.set(true);
        worker.hops.set(0);
    }
    worker.switch_out(g);
    if cancel::is_cancelled() {
        cancel::unwind();
    }
}

/// The running goroutine has spent its budget, which is a look at the clock; and at who else wants to run, if it has had its
/// share of that. A count alone would be wrong: who empties a full buffer that a hundred senders wait for has to do it in one
/// go, or each of them is switched in for a single value. And so it would be if the count were all for who computes for long
/// between two operations: whom it has readied would wait for as many of them.
fn take_turns() {
    let (worker, _) = running();
    let now = Instant::now();
    let is_over = |since: Option<Instant>| since.is_none_or(|since| now - since >= SLICE);
    let (began, last) = (worker.slice.get(), worker.looked.replace(Some(now)));
    let pace = match began {
        // When it was switched in is not known. But if somebody else looked a moment ago, it was since.
        None if !is_over(last) => Pace::Fast,
        None => Pace::Unknown,
        Some(_) if is_over(began) => Pace::Slow,
        Some(_) => Pace::Fast,
    };
    park::set_pace(pace);
    if pace == Pace::Slow && worker.has_others() {
        return yield_goroutine();
    }
    if began.is_none() || pace == Pace::Slow {
        worker.slice.set(Some(now));
    }
    if cancel::is_cancelled() {
        cancel::unwind();
    }
}
