//! Hchan: the channel. makechan, chansend, chanrecv, closechan, settle, in the order of Go's chan.go.
//!
//! Invariants:
//!
//! I1. One lock protects every field of [`State`] *and* the fields of the sudogs queued on it. In a channel that is
//!     [split](Hchan::is_split), the end of the buffer that values are pushed to has another. Whoever does more than push, or
//!     pop, a value while nobody is queued takes both; a [`Locked`] section has both. Under them there is no user
//!     code (drop, clone, waker or `Debug` of anything of the user's), no wake-up, no other lock (but that a select
//!     locks its channels, in the order of addresses), and no allocation except where [`Locked::admit`] cannot avoid one.
//!     Lock order: the registry's shard, then a channel, then its tail.
//! I2. At least one of sendq and recvq is empty, but for one select that waits to send and to receive on the same
//!     channel.
//! I3. A value in hand (returned or buffered) implies that recvq has nobody who could be claimed; a free slot
//!     (`len + reserved < cap`) implies that sendq has not.
//! I4. Waiters are completed, or granted, in the order in which they came, by the operation that unblocks them. Nobody
//!     overtakes a parked peer; `force_send` and watchers are the exceptions.
//! I5. A wait ends exactly once: see `park`. A plain wait is ended by whoever holds the lock and finds it linked.
//! I6. Claim before consume: no value moves until the claim on the counterpart is won.
//! I7. After DONE nothing of the sudog, its wait or its frame is touched.
//! I8. After close nothing enters. What is in hand drains in order; every parked waiter is released; a blocked sender
//!     keeps its value. One locked section sets `closed`; the waiters are released a batch per section.
//! I9. A send that succeeded has handed its value to exactly one of: a receive that had begun, the buffer.
//! I10. Every locked section that frees a slot, gives a value back, releases a reservation or puts a waiter back ends in
//!      [`Locked::settle`], the one function that restores I2 and I3. (A receive that frees one slot does its only step,
//!      [`Locked::refill`].) A claim is never undone: who was claimed for nothing is told to retry, or, if it is a plain
//!      wait, goes back to its place in its queue.
//! I11. Every locked section ends by publishing the summary word, before anybody sees that the section has ended his
//!      wait. Every refusal without the lock, and `len`, is of one moment of that word and of `recvx` ([`Hchan::shown`]).
//! I12. Nobody is queued, and nothing has come back, while `send_to` is beyond `sendx` or `recv_to` beyond `recvx`: so a quick
//!      section (`quick.rs`), which goes no further, meets nobody.
//!
//! I2 and I3 hold at the end of every locked section, except between the sections of one operation that ends more waits
//! than fit a batch; a sender that finds a free slot *and* queued senders in between helps to settle first.

use super::fire_beside;
use super::quick::LOOKS_FIRST;
use super::registry;
use super::returned::Returned;
pub(crate) use super::ring::UNBOUNDED;
use super::ring::{Block, Ends, Ring, Tail};
use super::section::{Batch, Locked, RecvNow, SendNow};
use super::shown::{CLOSED, OFFERED, WANTED, sendx};
use super::state::{LastUse, State};
use super::wait::{Lines, result};
use crate::park::{self, Outcome, Ready, Sought, Spin};
use crate::primitive::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Door, Guard, Lock, Ordering, is_over};
use std::fmt;
use std::panic::Location;
use std::time::{Duration, Instant};

/// In a buffer from this capacity on, so much happens while a thread looks ahead that it pays.
pub(super) const WORTH_A_LOOK: usize = 4;

/// How long an operation may wait.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Patience {
    /// Not at all.
    Try,
    /// At most so long from the moment at which it would have to wait.
    For(Duration),
    Until(Instant),
    Forever,
}

impl Patience {
    /// The deadline of a wait that begins now; a moment beyond the clock's range is none. Nor has a try one: if it
    /// waits at all, it waits for an end that is certain.
    #[inline]
    pub(crate) fn deadline(&self) -> Option<Instant> {
        #[cold]
        #[inline(never)]
        fn from_now(duration: Duration) -> Option<Instant> {
            Instant::now().checked_add(duration)
        }
        match *self {
            Self::Try | Self::Forever => None,
            Self::For(duration) => from_now(duration),
            Self::Until(deadline) => Some(deadline),
        }
    }
}

impl Patience {
    /// Has the time passed already? Not under loom, where it always has, and withdrawing is what is looked at.
    pub(super) fn is_over(&self) -> bool {
        cfg!(not(gochan_loom)) && self.deadline().is_some_and(is_over)
    }
}

/// Why an operation did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It would have to wait (longer).
    Blocked,
    /// The channel is closed (and, for a receive, empty).
    Closed,
}

/// A value that was given away to be sent. Dropped, it goes nowhere.
pub(super) struct Unsent<T>(pub(super) *mut T);

impl<T> Drop for Unsent<T> {
    fn drop(&mut self) {
        // SAFETY: whoever has given it away has not got it back, and it has not been moved out.
        unsafe { std::ptr::drop_in_place(self.0) };
    }
}

/// From this capacity on a channel is split: who only puts a value into the buffer takes another lock than who takes one out. In a
/// smaller buffer so often somebody waits, and is met by who has both, that the second lock costs more than it brings. Tests shall
/// come to it with fewer values.
const SPLIT: usize = if cfg!(any(debug_assertions, gochan_loom, gochan_shuttle)) { 2 } else { 16 };

/// The channel. What a send touches that meets nobody comes first; what such a receive touches, last but for what is seldom written.
/// Between them is what both touch who wait, or meet somebody: so the two are never in the same cache line, and those who wait find
/// what they need side by side.
#[repr(C)]
pub(crate) struct Hchan<T> {
    pub(super) cap: usize,
    /// The end that values are pushed to. In a channel that is not split it goes with `lock`, and its own is not used.
    pub(super) tail: Lock<Tail<T>>,
    /// So far pushes may go on without a look.
    pub(super) send_to: AtomicU32,
    /// Slots granted to senders whose value does not exist yet.
    pub(super) reserved: AtomicU32,
    pub(super) summary: AtomicU64,
    pub(super) lock: Lock<State<T>>,
    /// The number of the next value to be popped.
    pub(super) recvx: AtomicU32,
    /// So far pops may go on without a look.
    pub(super) recv_to: AtomicU32,
    pub(super) spin: Spin,
    /// Somebody has slept here, or given it a name: the registry knows this channel.
    pub(super) registered: AtomicBool,
    pub(super) senders: AtomicUsize,
    pub(super) receivers: AtomicUsize,
    pub(super) made_at: &'static Location<'static>,
}

// A model checker's atomics are larger.
#[cfg(all(target_pointer_width = "64", not(any(gochan_loom, gochan_shuttle))))]
const _: () = assert!(size_of::<Hchan<u64>>() <= 4 * 64);

impl<T> Hchan<T> {
    /// Makes a channel; [`UNBOUNDED`] for one without a capacity. Allocates nothing for the buffer.
    ///
    /// # Panics
    /// `makechan: size out of range` if a full buffer would not fit the address space.
    #[track_caller]
    pub(crate) fn makechan(cap: usize) -> Self {
        let fits =
            cap == UNBOUNDED || cap.checked_mul(size_of::<T>()).is_some_and(|bytes| isize::try_from(bytes).is_ok());
        if !fits {
            panic!("makechan: size out of range");
        }
        Self {
            cap,
            tail: if cap < SPLIT { Lock::new(Tail::new()) } else { Lock::with_owner(Tail::new()) },
            send_to: AtomicU32::new(0),
            reserved: AtomicU32::new(0),
            summary: AtomicU64::new(0),
            // Made in its place.
            lock: Lock::with_owner(State::new(cap < SPLIT)),
            recvx: AtomicU32::new(0),
            recv_to: AtomicU32::new(0),
            senders: AtomicUsize::new(1),
            receivers: AtomicUsize::new(1),
            spin: Spin::new(),
            registered: AtomicBool::new(false),
            made_at: Location::caller(),
        }
    }

    /// Has the tail a lock of its own?
    #[inline]
    pub(super) fn is_split(&self) -> bool {
        self.cap >= SPLIT
    }

    /// The lock of the state, as it is waited for on a channel of this capacity.
    #[inline]
    pub(super) fn lock_state(&self) -> Guard<'_, State<T>> {
        self.lock.lock_at_once().unwrap_or_else(|| self.lock.lock_as_thread(self.cap))
    }

    #[inline]
    pub(super) fn lock(&self) -> Locked<'_, T> {
        Locked::enter(self)
    }

    /// The number of buffered values.
    pub(crate) fn len(&self) -> usize {
        self.shown().len().unwrap_or_else(|| self.lock().len())
    }

    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        // Acquire: who is told so has seen what led to it.
        self.summary.load(Ordering::Acquire) & CLOSED != 0
    }

    /// Why nothing can be sent, as of one moment.
    #[inline]
    fn refusal_to_send(&self) -> Option<Refusal> {
        let shown = self.shown();
        let why = if shown.is_closed() { Refusal::Closed } else { Refusal::Blocked };
        (!shown.is_writable(self.cap)).then_some(why)
    }

    /// Why nothing can be received, as of one moment.
    #[inline]
    pub(super) fn refusal_to_receive(&self) -> Option<Refusal> {
        let shown = self.shown();
        let is_readable = shown.is_readable();
        let shown = if cfg!(gochan_bug = "two_word_refusal") { self.shown() } else { shown };
        let why = if shown.is_closed() { Refusal::Closed } else { Refusal::Blocked };
        (!is_readable).then_some(why)
    }

    /// Might a send do more than wait, as far as is known without looking at the other end?
    #[inline]
    pub(super) fn may_send(&self) -> bool {
        let word = self.summary.load(Ordering::Relaxed);
        word & WANTED != 0 || self.is_room_known(word)
    }

    /// The same for a receive, which looks at the other end if it knows of nothing.
    #[inline]
    pub(super) fn may_receive(&self) -> bool {
        self.is_value_known() || {
            let word = self.summary.load(Ordering::Relaxed);
            word & OFFERED != 0 || sendx(word) != self.recvx.load(Ordering::Relaxed)
        }
    }

    /// What is asked for is not there now; in a buffer that is worth a look it may be in a moment, and more of it.
    pub(super) fn look_ahead(&self, sought: Sought, are_there: impl Fn() -> usize) -> bool {
        self.spin.look_ahead(self.cap, sought, are_there)
    }

    /// Sends the value behind `elem`, waiting as long as `patience` says.
    ///
    /// # Errors
    /// The refusal; the value is then still the caller's.
    ///
    /// # Safety
    /// `elem` points to a value, which the caller gives away: it is gone unless this returns an error, also if it unwinds.
    #[inline(always)]
    pub(crate) unsafe fn chansend(
        &self,
        elem: *mut T,
        patience: &Patience,
        at: &'static Location<'static>,
    ) -> Result<(), Refusal> {
        // Refusal without the lock. What is shown is from one moment: the channel was then closed, or open with no slot and
        // no receiver. That moment is not before this call began as far as this thread can tell, since whatever it has seen
        // happen was shown before; so we refuse as of that moment. A plain load may be late; a blocking send goes to the
        // lock and a try may be repeated.
        let is_try = matches!(patience, Patience::Try);
        // Nor does loom look at what it would not use.
        let word = if LOOKS_FIRST || is_try { self.summary.load(Ordering::Relaxed) } else { 0 };
        if LOOKS_FIRST && self.is_room_known(word) {
            let may_begin = is_try || self.cap == UNBOUNDED || park::spend_at_once();
            // SAFETY: the caller's contract.
            if may_begin && unsafe { self.send_at_once(elem) } {
                return Ok(());
            }
        } else if is_try && word & WANTED == 0 {
            if let Some(refusal) = self.refusal_to_send() {
                return Err(refusal);
            }
        }
        // SAFETY: the caller's contract.
        unsafe {
            if self.cap == 0 && !is_try {
                self.chansend_unbuffered(elem, patience, at)
            } else {
                self.chansend_rest(elem, patience, at)
            }
        }
    }

    /// A send that is not [done at once](Self::send_at_once), on a channel with a buffer, or a try.
    #[inline(never)]
    unsafe fn chansend_rest(
        &self,
        elem: *mut T,
        patience: &Patience,
        at: &'static Location<'static>,
    ) -> Result<(), Refusal> {
        let is_try = matches!(patience, Patience::Try);
        if !is_try && (self.cap >= WORTH_A_LOOK || self.is_closed()) && !self.may_send() {
            // SAFETY: the caller's contract.
            return unsafe { self.chansend_unless_refused(elem, patience, at) };
        }
        let may_begin = is_try || self.cap == UNBOUNDED || park::spend_at_once();
        let door = self.tail_door();
        if !may_begin || !door.enter_at_once() {
            // SAFETY: the caller's contract.
            return unsafe { self.chansend_later(false, elem, patience, at) };
        }
        // SAFETY: the caller's contract; the door is that of the tail.
        unsafe { self.chansend_in(door, elem, patience, at) }
    }

    /// A send that meets a receiver, or waits for one. It has no frame: all that it calls, it calls last.
    #[inline(never)]
    unsafe fn chansend_unbuffered(
        &self,
        elem: *mut T,
        patience: &Patience,
        at: &'static Location<'static>,
    ) -> Result<(), Refusal> {
        // SAFETY: the caller's contract.
        unsafe {
            let Some(state) = park::spend_at_once().then(|| self.lock.lock_at_once()).flatten() else {
                return self.chansend_later(false, elem, patience, at);
            };
            // All that `send_must_wait` comes to here; with what it asks of a buffer a hop of goroutines took a twentieth longer.
            let must_wait = !state.closed & state.recvq.is_empty();
            let c = Locked::unsplit(self, state);
            if must_wait {
                Self::park_sender(c, elem, patience, at)
            } else {
                Self::chansend_locked(c, elem, patience, at)
            }
        }
    }

    /// A send that may wait, for which there is nothing to be seen at its own end.
    #[inline(never)]
    unsafe fn chansend_unless_refused(
        &self,
        elem: *mut T,
        patience: &Patience,
        at: &'static Location<'static>,
    ) -> Result<(), Refusal> {
        let refusal = self.refusal_to_send();
        if refusal == Some(Refusal::Closed) {
            return Err(Refusal::Closed);
        }
        // SAFETY: the caller's contract.
        unsafe { self.chansend_later(refusal.is_some(), elem, patience, at) }
    }

    /// A send that has to wait before it begins: for others to have their turn, or for the lock. Or that had better look ahead.
    /// Out of line, so that who need not has no frame for it.
    #[inline(never)]
    unsafe fn chansend_later(
        &self,
        looks_ahead: bool,
        elem: *mut T,
        patience: &Patience,
        at: &'static Location<'static>,
    ) -> Result<(), Refusal> {
        if looks_ahead {
            self.look_ahead(Sought::Slots, || self.shown().slots(self.cap));
        }
        if !matches!(patience, Patience::Try) && self.cap != UNBOUNDED {
            let unsent = Unsent(elem);
            park::spend();
            std::mem::forget(unsent);
        }
        let door = self.tail_door();
        door.enter_as_thread(self.cap);
        // SAFETY: the caller's contract; the door is that of the tail.
        unsafe { self.chansend_in(door, elem, patience, at) }
    }

    /// A send of somebody who has gone through the `door` of the tail.
    #[inline(always)]
    unsafe fn chansend_in(
        &self,
        door: &Door,
        elem: *mut T,
        patience: &Patience,
        at: &'static Location<'static>,
    ) -> Result<(), Refusal> {
        // SAFETY: the tail is behind the door. The value is the caller's to give away.
        if unsafe { self.push_at_once(&mut *self.tail.value(), elem) } {
            door.leave();
            return Ok(());
        }
        if self.is_split() {
            // SAFETY: the caller's contract.
            return unsafe { self.chansend_looking(door, elem, patience, at) };
        }
        // SAFETY: the door was that of the lock; the caller's contract.
        unsafe { Self::chansend_in_section(Locked::held(self), elem, patience, at) }
    }

    /// The same where it has to look how far pushes may go. Out of line, and nothing follows it, so that who need not has no frame.
    #[inline(never)]
    unsafe fn chansend_looking(
        &self,
        door: &Door,
        elem: *mut T,
        patience: &Patience,
        at: &'static Location<'static>,
    ) -> Result<(), Refusal> {
        // SAFETY: the tail is behind the door. The value is the caller's to give away.
        if unsafe { self.push_quickly(&mut *self.tail.value(), elem) } {
            door.leave();
            return Ok(());
        }
        door.leave();
        let c = Locked::of(self, self.lock.lock_as_thread(self.cap));
        // SAFETY: the caller's contract.
        unsafe { Self::chansend_in_section(c, elem, patience, at) }
    }

    #[inline(always)]
    unsafe fn chansend_in_section(
        c: Locked<'_, T>,
        elem: *mut T,
        patience: &Patience,
        at: &'static Location<'static>,
    ) -> Result<(), Refusal> {
        // From here, since what lies on the stack of a goroutine that waits is loaded when it goes on: no frame between.
        if !matches!(patience, Patience::Try) && c.send_must_wait() {
            // SAFETY: the caller's contract.
            return unsafe { Self::park_sender(c, elem, patience, at) };
        }
        // SAFETY: the caller's contract.
        unsafe { Self::chansend_locked(c, elem, patience, at) }
    }

    /// What whoever pushes has to go through.
    #[inline(always)]
    pub(super) fn tail_door(&self) -> &Door {
        if self.is_split() { self.tail.door() } else { self.lock.door() }
    }

    /// The rest of a send. Out of line, so that who meets nobody has no frame, and nothing to look at behind the lock.
    #[inline(never)]
    unsafe fn chansend_locked(
        c: Locked<'_, T>,
        elem: *mut T,
        patience: &Patience,
        at: &'static Location<'static>,
    ) -> Result<(), Refusal> {
        let unsent = Unsent(elem);
        let mut owed = Ready::NOBODY;
        // SAFETY: the caller's contract.
        let sent = unsafe { Self::chansend_owing(c, elem, patience, at, &mut owed) };
        // It has been moved out, or is the caller's again. Should a waker panic, it is gone for good.
        std::mem::forget(unsent);
        owed.fire_here();
        sent
    }

    /// A send, but for the wake-up that is then `owed`: the caller fires it when he has forgotten the value.
    ///
    /// # Errors
    /// The refusal; the value is then still the caller's, as it is if this unwinds.
    ///
    /// # Safety
    /// `elem` points to a value. If this returns `Ok`, the value has been moved out.
    #[inline(always)]
    pub(super) unsafe fn chansend_owing(
        mut c: Locked<'_, T>,
        elem: *mut T,
        patience: &Patience,
        at: &'static Location<'static>,
        owed: &mut Ready,
    ) -> Result<(), Refusal> {
        if !c.closed {
            if let Some(sg) = c.recvq.dequeue() {
                c.last_send = Some(LastUse::here(at));
                // SAFETY: dequeued, so claimed and unlinked; the value is the caller's to give away.
                unsafe { c.hand_to_and_leave(sg, elem, owed) };
                return Ok(());
            }
        }
        // SAFETY: the caller's contract.
        unsafe { Self::chansend_slow(c, elem, patience, at, owed) }
    }

    #[cold]
    #[inline(never)]
    unsafe fn chansend_slow(
        mut c: Locked<'_, T>,
        elem: *mut T,
        patience: &Patience,
        at: &'static Location<'static>,
        owed: &mut Ready,
    ) -> Result<(), Refusal> {
        let this = c.chan();
        let mut spare = None;
        loop {
            // SAFETY: the value is the caller's to give away.
            match unsafe { c.send_now(elem, &mut spare) } {
                SendNow::Sent(ended) => {
                    c.trace_send(ended, at);
                    *owed = c.leave(ended);
                    return Ok(());
                }
                SendNow::Closed => return Err(Refusal::Closed),
                SendNow::NoBlock(cap) => {
                    drop(c);
                    spare = Some(Block::new(cap));
                }
                // Between two sections of somebody who freed many slots: those who came first go first.
                SendNow::Crowded => this.settle_and_leave(c, Batch::new()),
                SendNow::Full if matches!(patience, Patience::Try) => return Err(Refusal::Blocked),
                // SAFETY: the caller's contract.
                SendNow::Full => return unsafe { Self::park_sender_owing::<Lines>(c, elem, patience, at, owed) },
            }
            c = this.lock();
        }
    }

    /// Receives a value into `room`, waiting as long as `patience` says.
    ///
    /// # Errors
    /// The refusal; `room` is then uninitialised, as it is if this unwinds: should a waker panic, the value is dropped.
    ///
    /// # Safety
    /// `room` may be written. If this returns `Ok`, it holds a value.
    #[inline(always)]
    pub(crate) unsafe fn chanrecv(
        &self,
        room: *mut T,
        patience: &Patience,
        at: &'static Location<'static>,
    ) -> Result<(), Refusal> {
        // Refusal without the lock, as in `chansend`: "closed" and "nothing to receive" are of one moment.
        // Closed and empty is for good - after close only a value that a cancelled receive gives back can appear, and
        // that is as if it had come a moment later - so a blocking receive may take it from here too.
        let is_try = matches!(patience, Patience::Try);
        if LOOKS_FIRST && self.is_value_known() {
            let may_begin = is_try && !cfg!(gochan_bug = "try_yields") || park::spend_at_once();
            // SAFETY: the caller's contract.
            if may_begin && unsafe { self.recv_at_once(room) } {
                return Ok(());
            }
        } else if is_try && !self.may_receive() {
            if let Some(refusal) = self.refusal_to_receive() {
                return Err(refusal);
            }
        }
        // SAFETY: the caller's contract.
        unsafe {
            if self.cap == 0 && !is_try {
                self.chanrecv_unbuffered(room, patience, at)
            } else {
                self.chanrecv_rest(room, patience, at)
            }
        }
    }

    /// As [`chansend_rest`](Self::chansend_rest).
    #[inline(never)]
    unsafe fn chanrecv_rest(
        &self,
        room: *mut T,
        patience: &Patience,
        at: &'static Location<'static>,
    ) -> Result<(), Refusal> {
        let is_try = matches!(patience, Patience::Try);
        if !is_try && !self.may_receive() && (self.cap >= WORTH_A_LOOK || self.is_closed()) {
            // SAFETY: the caller's contract.
            return unsafe { self.chanrecv_unless_refused(room, patience, at) };
        }
        let is_free = is_try && !cfg!(gochan_bug = "try_yields");
        let Some(state) = (is_free || park::spend_at_once()).then(|| self.lock.lock_at_once()).flatten() else {
            // SAFETY: the caller's contract.
            return unsafe { self.chanrecv_later(false, room, patience, at) };
        };
        // SAFETY: the caller's contract.
        unsafe { self.chanrecv_in(state, room, patience, at) }
    }

    /// As [`chansend_unbuffered`](Self::chansend_unbuffered).
    #[inline(never)]
    unsafe fn chanrecv_unbuffered(
        &self,
        room: *mut T,
        patience: &Patience,
        at: &'static Location<'static>,
    ) -> Result<(), Refusal> {
        // SAFETY: the caller's contract.
        unsafe {
            let Some(state) = park::spend_at_once().then(|| self.lock.lock_at_once()).flatten() else {
                return self.chanrecv_later(false, room, patience, at);
            };
            let must_wait = !state.closed & state.sendq.is_empty() & state.returned.is_empty();
            let c = Locked::unsplit(self, state);
            if must_wait {
                Self::park_receiver(c, room, patience, at)
            } else {
                Self::chanrecv_locked(c, room, patience, at)
            }
        }
    }

    /// As [`chansend_unless_refused`](Self::chansend_unless_refused).
    #[inline(never)]
    unsafe fn chanrecv_unless_refused(
        &self,
        room: *mut T,
        patience: &Patience,
        at: &'static Location<'static>,
    ) -> Result<(), Refusal> {
        let refusal = self.refusal_to_receive();
        if refusal == Some(Refusal::Closed) {
            return Err(Refusal::Closed);
        }
        // SAFETY: the caller's contract.
        unsafe { self.chanrecv_later(refusal.is_some(), room, patience, at) }
    }

    /// As [`chansend_later`](Self::chansend_later).
    #[inline(never)]
    unsafe fn chanrecv_later(
        &self,
        looks_ahead: bool,
        room: *mut T,
        patience: &Patience,
        at: &'static Location<'static>,
    ) -> Result<(), Refusal> {
        if looks_ahead {
            self.look_ahead(Sought::Values, || self.shown().values());
        }
        if !matches!(patience, Patience::Try) || cfg!(gochan_bug = "try_yields") {
            park::spend();
        }
        // SAFETY: the caller's contract.
        unsafe { self.chanrecv_in(self.lock.lock_as_thread(self.cap), room, patience, at) }
    }

    #[inline(always)]
    unsafe fn chanrecv_in<'a>(
        &'a self,
        mut state: Guard<'a, State<T>>,
        room: *mut T,
        patience: &Patience,
        at: &'static Location<'static>,
    ) -> Result<(), Refusal> {
        // SAFETY: the room is the caller's.
        if unsafe { self.pop_at_once(&mut state, room) } {
            return Ok(());
        }
        if !state.joint {
            // SAFETY: the caller's contract.
            return unsafe { self.chanrecv_looking(state, room, patience, at) };
        }
        // SAFETY: the caller's contract.
        unsafe { Self::chanrecv_in_section(Locked::of(self, state), room, patience, at) }
    }

    /// As [`chansend_looking`](Self::chansend_looking).
    #[inline(never)]
    unsafe fn chanrecv_looking<'a>(
        &'a self,
        mut state: Guard<'a, State<T>>,
        room: *mut T,
        patience: &Patience,
        at: &'static Location<'static>,
    ) -> Result<(), Refusal> {
        // SAFETY: the room is the caller's.
        if unsafe { self.pop_quickly(&mut state, room) } {
            return Ok(());
        }
        // SAFETY: the caller's contract.
        unsafe { Self::chanrecv_in_section(Locked::of(self, state), room, patience, at) }
    }

    /// As [`chansend_in_section`](Self::chansend_in_section).
    #[inline(always)]
    unsafe fn chanrecv_in_section(
        c: Locked<'_, T>,
        room: *mut T,
        patience: &Patience,
        at: &'static Location<'static>,
    ) -> Result<(), Refusal> {
        if !matches!(patience, Patience::Try) && c.recv_must_wait() {
            // SAFETY: the caller's contract.
            return unsafe { Self::park_receiver(c, room, patience, at) };
        }
        // SAFETY: the caller's contract.
        unsafe { Self::chanrecv_locked(c, room, patience, at) }
    }

    /// The rest of a receive; as [`chansend_locked`](Self::chansend_locked).
    #[inline(never)]
    unsafe fn chanrecv_locked(
        mut c: Locked<'_, T>,
        room: *mut T,
        patience: &Patience,
        at: &'static Location<'static>,
    ) -> Result<(), Refusal> {
        let mut owed = Ready::NOBODY;
        if let Some(sg) = c.dequeue_sure_sender() {
            c.last_receive = Some(LastUse::here(at));
            // SAFETY: dequeued, so claimed and unlinked, and nothing is in hand; the room is the caller's.
            unsafe { c.take_from_and_leave(sg, room, &mut owed) };
        } else if c.can_exchange() {
            c.last_receive = Some(LastUse::here(at));
            // SAFETY: it can; the room is the caller's.
            unsafe { c.exchange_and_leave(room, &mut owed) };
        } else {
            // SAFETY: the caller's contract.
            unsafe { Self::chanrecv_slow(c, room, patience, at, &mut owed)? };
        }
        // SAFETY: it holds a value, which nobody has yet.
        unsafe { fire_beside(&mut owed, room) };
        Ok(())
    }

    #[cold]
    #[inline(never)]
    unsafe fn chanrecv_slow(
        mut c: Locked<'_, T>,
        room: *mut T,
        patience: &Patience,
        at: &'static Location<'static>,
        owed: &mut Ready,
    ) -> Result<(), Refusal> {
        let this = c.chan();
        let nonblocking = matches!(patience, Patience::Try);
        loop {
            // SAFETY: the room is the caller's.
            match unsafe { c.recv_now(room, nonblocking) } {
                RecvNow::Got(_, ended) => {
                    c.trace_receive(ended, at);
                    *owed = c.leave(ended);
                    return Ok(());
                }
                RecvNow::Closed => return Err(Refusal::Closed),
                RecvNow::Empty if nonblocking => return Err(Refusal::Blocked),
                // SAFETY: the caller's contract.
                RecvNow::Empty => return unsafe { Self::park_receiver_owing::<Lines>(c, room, patience, at, owed) },
                // SAFETY: the caller's contract; the sender was claimed and unlinked in this section.
                RecvNow::Lazy(sender) => match unsafe { Self::park_paired(c, room, sender, patience, at, owed) } {
                    Some(Outcome::Retry) => owed.take().fire(),
                    outcome => return result(outcome, owed),
                },
            }
            c = this.lock();
        }
    }

    /// Closes the channel. False if it was closed already.
    pub(crate) fn closechan(&self) -> bool {
        let mut c = self.lock();
        if c.closed {
            return false;
        }
        c.closed = true;
        if !c.is_calm() {
            self.settle_and_leave(c, Batch::new());
        }
        true
    }

    /// Settles until there is nothing left to settle, a batch per locked section. `batch` is what the first has ended
    /// already.
    pub(super) fn settle_and_leave<'a>(&'a self, mut c: Locked<'a, T>, mut batch: Batch) {
        let mut panic = Ready::NOBODY;
        loop {
            let more = c.settle(&mut batch);
            panic = panic.or(c.leave_many(batch));
            if !more || cfg!(gochan_bug = "one_batch_is_woken") {
                return panic.fire();
            }
            c = self.lock();
            batch = Batch::new();
        }
    }

    /// The last receiver has gone: closes the channel, and drops what is in hand outside the lock.
    pub(crate) fn abandon(&self) {
        let mut c = self.lock();
        c.closed = true;
        drop(self.take_all_and_leave(c));
    }

    /// Takes everything in hand.
    pub(super) fn take_all(&self) -> (Returned<T>, Ring<T>) {
        self.take_all_and_leave(self.lock())
    }

    fn take_all_and_leave<'a>(&'a self, mut c: Locked<'a, T>) -> (Returned<T>, Ring<T>) {
        let all = (std::mem::replace(&mut c.returned, Returned::new()), Ring::take(c.ends()));
        self.count_all();
        if !c.is_calm() {
            self.settle_and_leave(c, Batch::new());
        }
        all
    }
}

impl<T> Drop for Hchan<T> {
    fn drop(&mut self) {
        if self.registered.load(Ordering::Relaxed) {
            registry::leave(self);
        }
        let (word, recvx) = (self.summary.load(Ordering::Relaxed), self.recvx.load(Ordering::Relaxed));
        let (tail, head) = (self.tail.get_mut(), &mut self.lock.get_mut().head);
        drop(Ring::take(Ends { tail, head, sendx: sendx(word), recvx }));
    }
}

impl<T> fmt::Debug for Hchan<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hchan").field("cap", &self.cap).field("len", &self.len()).finish_non_exhaustive()
    }
}
