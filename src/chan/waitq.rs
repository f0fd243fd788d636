//! Sudog and WaitQ: who waits on a channel, in order.
//!
//! A [`Sudog`] is one wait's membership of one queue of one channel; it lives in the waiter's frame, so queueing
//! allocates nothing. A [`WaitQ`] is an intrusive doubly linked FIFO of them: enqueue, dequeue and removal from the
//! middle are O(1).
//!
//! Invariants:
//! - Every field that changes is read and written only under the channel's lock, or by the owner before the sudog is
//!   linked and after its wait is DONE.
//! - `list` names the queue that a sudog is on, so that whoever wants to withdraw it can tell that it is already off.
//! - The first has nobody before it, and `last` is of somebody only while there is a first.
//! - A linked sudog, and the [`Wait`] it points to, stay where they are: the owner leaves its frame only after it has
//!   found the wait DONE or has unlinked the sudog itself.

use super::handshake::{WATCH_RECV, WATCH_SEND};
use crate::debug::Direction;
use crate::park::{Outcome, Ready, Wait};
use crate::primitive::{LINE, UnsafeCell, will_write};
use std::cell::Cell;
use std::marker::PhantomPinned;
use std::mem::offset_of;
use std::ptr;

/// Which of the channel's queues a sudog is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    None,
    Senders,
    Receivers,
    Pairs,
    Watchers,
}

/// How far a future has come, to its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nobody knows of it, and nothing is there of its wait.
    Idle,
    /// Nobody knows of it; a waker may be in its wait.
    Dozing,
    /// The channel knows of it, or its wait is done.
    Queued,
}

/// What the owner knows of a wait, if that is a future. Here, where there is room.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) stage: Cell<Stage>,
    /// Of a send: its value is gone.
    pub(super) spent: Cell<bool>,
}

impl Known {
    #[inline(always)]
    pub(super) fn new() -> Self {
        Self { stage: Cell::new(Stage::Idle), spent: Cell::new(false) }
    }
}

/// One wait's place in one queue. With the wait's word behind it, a cache line.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Sudog {
    next: Cell<*const Sudog>,
    prev: Cell<*const Sudog>,
    wait: *const Wait,
    /// The value to take (sender) or the room for one (receiver), in the owner's frame; null for a sender whose value
    /// does not exist yet. The cell stands for the memory behind the pointer: access to the slot goes through it, and
    /// so a model checker sees it.
    elem: UnsafeCell<*mut ()>,
    /// When this waiter came to its queue: its place, should it have to go back there.
    pub(super) arrival: Cell<u64>,
    /// The ticket of the pair that this is one side of; for a receiver whose slot was filled, the number of that
    /// hand-off, which orders the values that come back.
    pub(crate) number: Cell<u64>,
    // Read as one word with the two that follow, which stalls if one of them has just been written: as `list` has.
    arm: u16,
    /// What a watcher watches for: flags of `shown.rs`.
    pub(crate) interest: u8,
    /// A receiver that does not want to wait for more than the sender it was paired with.
    pub(crate) nonblocking: bool,
    list: Cell<List>,
    /// A sender without a value that is an async task: nobody who must not wait waits for it to be polled.
    pub(crate) polled: bool,
    pub(super) known: Known,
    _pinned: PhantomPinned,
}

const _: () = assert!(offset_of!(Sudog, arm) % 4 == 0 && offset_of!(Sudog, list) == offset_of!(Sudog, arm) + 4);

impl Sudog {
    #[inline(always)]
    pub(crate) fn new(wait: *const Wait, arm: u16, elem: *mut ()) -> Self {
        Self {
            next: Cell::new(ptr::null()),
            prev: Cell::new(ptr::null()),
            wait,
            elem: UnsafeCell::new(elem),
            arrival: Cell::new(0),
            number: Cell::new(0),
            arm,
            list: Cell::new(List::None),
            interest: 0,
            nonblocking: false,
            polled: false,
            known: Known::new(),
            _pinned: PhantomPinned,
        }
    }

    /// Points the sudog to its wait and its slot, which are where they will stay.
    pub(crate) fn put(&mut self, wait: *const Wait, elem: *mut ()) {
        self.wait = wait;
        self.elem = UnsafeCell::new(elem);
    }

    pub(crate) fn list(&self) -> List {
        self.list.get()
    }

    pub(super) fn wait(&self) -> *const Wait {
        self.wait
    }

    /// What it waits to do.
    ///
    /// # Panics
    /// If it is on no queue.
    pub(super) fn direction(&self) -> Direction {
        match self.list.get() {
            List::Senders => Direction::Send,
            List::Receivers | List::Pairs => Direction::Receive,
            List::Watchers if self.interest == WATCH_RECV => Direction::Receive,
            List::Watchers if self.interest == WATCH_SEND => Direction::Send,
            List::Watchers => Direction::Close,
            List::None => unreachable!("it waits for nothing"),
        }
    }

    /// A sender that has no value to hand over yet.
    #[inline]
    pub(super) fn is_lazy(&self) -> bool {
        self.elem.with(|elem| {
            // SAFETY: the pointer itself is never written after `new`.
            unsafe { (*elem).is_null() }
        })
    }

    /// The waiter's slot, for as long as `f` runs.
    ///
    /// # Safety
    /// The caller has claimed the wait and not finished it yet, or owns it and found it DONE.
    pub(super) unsafe fn with_slot<T, R>(this: *const Self, f: impl FnOnce(*mut T) -> R) -> R {
        // SAFETY: by the contract nobody else is at the slot, and the frame is there.
        unsafe { (*this).elem.with_mut(|elem| f((*elem).cast())) }
    }

    /// Ends the wait. The sudog may be gone when this returns.
    ///
    /// # Safety
    /// As for [`Wait::finish`].
    #[inline(always)]
    pub(super) unsafe fn finish(this: *const Self, outcome: Outcome, owed: &mut Ready) {
        // SAFETY: not DONE yet, so the sudog can be read; the rest is the caller's contract.
        unsafe {
            debug_assert_eq!((*this).list.get(), List::None, "finished while queued");
            Wait::finish((*this).wait, outcome, (*this).arm, owed);
        }
    }
}

/// Which of the channel's queues it is, known from its type: a word in each would be an eighth of a channel's memory.
pub(super) trait Queue {
    const LIST: List;
    /// What is counted of those who are queued.
    type Tally: Tally;
}

pub(super) trait Tally: Default {
    fn add(&mut self, sg: &Sudog);
    fn take(&mut self, sg: &Sudog);
}

impl Tally for () {
    #[inline]
    fn add(&mut self, _: &Sudog) {}
    #[inline]
    fn take(&mut self, _: &Sudog) {}
}

/// How many are queued that are not async tasks without a value.
#[derive(Default)]
pub(super) struct Prompt(u32);

impl Tally for Prompt {
    #[inline]
    fn add(&mut self, sg: &Sudog) {
        self.0 += u32::from(!sg.polled);
    }
    #[inline]
    fn take(&mut self, sg: &Sudog) {
        self.0 -= u32::from(!sg.polled);
    }
}

pub(super) struct Senders;
pub(super) struct Receivers;
pub(super) struct Pairs;
pub(super) struct Watchers;

impl Queue for Senders {
    const LIST: List = List::Senders;
    type Tally = Prompt;
}
impl Queue for Receivers {
    const LIST: List = List::Receivers;
    type Tally = ();
}
impl Queue for Pairs {
    const LIST: List = List::Pairs;
    type Tally = ();
}
impl Queue for Watchers {
    const LIST: List = List::Watchers;
    type Tally = ();
}

/// An intrusive FIFO of sudogs.
#[repr(C)]
pub(super) struct WaitQ<Q: Queue> {
    first: *const Sudog,
    /// Who takes the only one leaves this as it is.
    last: *const Sudog,
    tally: Q::Tally,
}

impl WaitQ<Senders> {
    /// Is there anybody whom a receive that must not wait could claim?
    #[inline]
    pub(super) fn has_prompt(&self) -> bool {
        self.tally.0 > 0
    }
}

impl<Q: Queue> WaitQ<Q> {
    pub(super) fn new() -> Self {
        Self { first: ptr::null(), last: ptr::null(), tally: Q::Tally::default() }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_null()
    }

    #[inline]
    fn last(&self) -> *const Sudog {
        if self.is_empty() { ptr::null() } else { self.last }
    }

    /// The sudogs from first to last. What is read of them is valid under the channel's lock.
    pub(super) fn iter(&self) -> impl Iterator<Item = *const Sudog> + use<Q> {
        let mut at = self.first;
        std::iter::from_fn(move || {
            let sg = at;
            // SAFETY: linked sudogs are alive.
            (!sg.is_null()).then(|| at = unsafe { (*sg).next.get() })?;
            Some(sg)
        })
    }

    /// Puts `sg` last.
    ///
    /// # Safety
    /// `sg` is on no queue, and stays where it is until it is taken off this one.
    pub(super) unsafe fn enqueue(&mut self, sg: *const Sudog) {
        // SAFETY: `sg` is alive by contract, `last` because it is linked.
        unsafe { self.link(self.last(), sg, ptr::null()) };
    }

    /// Puts `sg` back where it was: a waiter that had its turn and lost what it was given.
    ///
    /// # Safety
    /// As for [`enqueue`](Self::enqueue). All on this queue know their arrivals.
    pub(super) unsafe fn enqueue_again(&mut self, sg: *const Sudog) {
        // SAFETY: `sg` is alive by contract, the others because they are linked.
        unsafe {
            let mut next = self.first;
            let place = if cfg!(gochan_bug = "requeued_at_the_front") { 0 } else { (*sg).arrival.get() };
            while !next.is_null() && (*next).arrival.get() < place {
                next = (*next).next.get();
            }
            let prev = next.as_ref().map_or(self.last(), |next| next.prev.get());
            self.link(prev, sg, next);
        }
    }

    /// # Safety
    /// `sg` is alive and on no queue; `prev` and `next` are neighbours on this one, or null at its ends.
    unsafe fn link(&mut self, prev: *const Sudog, sg: *const Sudog, next: *const Sudog) {
        // SAFETY: the caller's contract.
        unsafe {
            debug_assert_eq!((*sg).list.get(), List::None, "queued twice");
            (*sg).list.set(Q::LIST);
            (*sg).prev.set(prev);
            (*sg).next.set(next);
            match prev.as_ref() {
                None => self.first = sg,
                Some(prev) => prev.next.set(sg),
            }
            match next.as_ref() {
                None => self.last = sg,
                Some(next) => next.prev.set(sg),
            }
            self.tally.add(&*sg);
        }
    }

    /// Takes `sg` off the queue, wherever in it it is. False if it is not on this queue any more.
    ///
    /// # Safety
    /// `sg` is alive, and if it is on a queue of this kind, it is on this one.
    pub(super) unsafe fn unlink(&mut self, sg: *const Sudog) -> bool {
        // SAFETY: `sg` is alive by contract, its neighbours because they are linked.
        unsafe {
            if (*sg).list.get() != Q::LIST {
                return false;
            }
            let sg = if cfg!(gochan_bug = "wrong_sudog_removed") { self.first } else { sg };
            (*sg).list.set(List::None);
            let (prev, next) = ((*sg).prev.get(), (*sg).next.get());
            match prev.as_ref() {
                None => self.first = next,
                Some(prev) => prev.next.set(next),
            }
            match next.as_ref() {
                None => self.last = prev,
                Some(next) => next.prev.set(prev),
            }
            self.tally.take(&*sg);
        }
        true
    }

    /// Takes the first waiter off the queue that could be claimed, and claims it. Arms of a select that has fired
    /// elsewhere are taken off on the way.
    #[inline]
    pub(super) fn dequeue(&mut self) -> Option<*const Sudog> {
        while !self.first.is_null() {
            let sg = self.first;
            // The line beside it, where a thread's value is, or the waiter.
            will_write(sg.wrapping_byte_add(LINE));
            // SAFETY: it is linked, so it is alive; we hold the lock (we have `&mut`), so the claim is ours to make.
            unsafe {
                self.unlink_first(sg);
                if Wait::claim((*sg).wait) || cfg!(gochan_bug = "claim_after_consume") {
                    return Some(sg);
                }
            }
        }
        None
    }

    /// As [`unlink`](Self::unlink), for the first one. Each store goes to a place that is known: were it one of two, as for any of a queue,
    /// all that is read next might wait until it is known which.
    ///
    /// # Safety
    /// `sg` is the first.
    #[inline]
    unsafe fn unlink_first(&mut self, sg: *const Sudog) {
        // SAFETY: both are linked, so they are alive.
        unsafe {
            (*sg).list.set(List::None);
            let next = (*sg).next.get();
            self.first = next;
            if let Some(next) = next.as_ref() {
                next.prev.set(ptr::null());
            }
            self.tally.take(&*sg);
        }
    }

    pub(super) fn first_is_lazy(&self) -> bool {
        // SAFETY: a linked sudog is alive.
        !self.first.is_null() && unsafe { (*self.first).is_lazy() }
    }

    /// Is the first one a sender that has a value and, waiting nowhere else, is sure to be claimed?
    #[inline]
    pub(super) fn first_is_sure(&self) -> bool {
        // SAFETY: a linked sudog is alive, and so is its wait.
        !self.first.is_null() && unsafe { !(*self.first).is_lazy() && !(*(*self.first).wait).is_select() }
    }

    /// The first wait that could be claimed now; arms of selects that have fired are taken off on the way.
    pub(super) fn first_pending(&mut self) -> Option<*const Wait> {
        while !self.first.is_null() {
            let sg = self.first;
            // SAFETY: it is linked, so it and its wait are alive.
            unsafe {
                if (*(*sg).wait).is_pending() {
                    return Some((*sg).wait);
                }
                self.unlink(sg);
            }
        }
        None
    }

    /// Takes the first waiter off the queue, unclaimed.
    pub(super) fn pop(&mut self) -> Option<*const Sudog> {
        let sg = self.first;
        // SAFETY: it is linked, so it is alive.
        (!sg.is_null()).then(|| unsafe { self.unlink(sg) })?;
        Some(sg)
    }

    /// As [`dequeue`](Self::dequeue), passing over those that `suits` does not like.
    #[cold]
    pub(super) fn dequeue_if(&mut self, suits: impl Fn(&Sudog) -> bool) -> Option<*const Sudog> {
        for sg in self.iter() {
            // SAFETY: as in `dequeue`; the iterator has moved past `sg` before it is unlinked.
            unsafe {
                if suits(&*sg) {
                    self.unlink(sg);
                    if Wait::claim((*sg).wait) {
                        return Some(sg);
                    }
                }
            }
        }
        None
    }
}
