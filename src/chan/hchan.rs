//! Hchan: the channel. makechan, chansend, chanrecv, closechan, settle, in the order of Go's chan.go.
//!
//! Invariants:
//!
//! I1. One lock protects every field of [`State`] *and* the fields of the sudogs queued on it. Under it there is no user
//!     code (drop, clone, waker or `Debug` of anything of the user's), no wake-up, no other lock (but that a select
//!     locks its channels, in the order of addresses), and no allocation except where [`Locked::admit`] cannot avoid one.
//!     Lock order: the registry's shard, then a channel.
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
//!      wait. Every refusal without the lock, and `len`, read that word and nothing else.
//!
//! I2 and I3 hold at the end of every locked section, except between the sections of one operation that ends more waits
//! than fit a batch; a sender that finds a free slot *and* queued senders in between helps to settle first.

use super::fire_beside;
use super::registry;
use super::returned::Returned;
use super::ring::{Block, Ring};
use super::section::{Batch, Locked, RecvNow, SendNow};
use super::state::{CLOSED, LEN_MAX, LEN_SHIFT, LastUse, READABLE, State, WRITABLE};
use super::waitq::Sudog;
use crate::park::{self, Done, Outcome, Ready, Reason, Spin, Wait};
use crate::primitive::{AtomicBool, AtomicU64, AtomicUsize, Guard, Lock, Ordering, is_over};
use std::fmt;
use std::panic::Location;
use std::ptr;
use std::time::{Duration, Instant};

/// The capacity of a channel without one.
pub(crate) const UNBOUNDED: usize = usize::MAX;

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
    fn is_over(&self) -> bool {
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

/// What becomes of an operation whose wait has ended so. A waker's panic, if there is one, is raised here where nothing else
/// comes of it.
#[inline(always)]
fn result(outcome: Option<Outcome>, owed: &mut Ready) -> Result<(), Refusal> {
    if let Some(Outcome::Completed) = outcome {
        return Ok(());
    }
    owed.fire_here();
    Err(if outcome.is_some() { Refusal::Closed } else { Refusal::Blocked })
}

/// A value that was given away to be sent. Dropped, it goes nowhere.
pub(super) struct Unsent<T>(pub(super) *mut T);

impl<T> Drop for Unsent<T> {
    fn drop(&mut self) {
        // SAFETY: whoever has given it away has not got it back, and it has not been moved out.
        unsafe { std::ptr::drop_in_place(self.0) };
    }
}

/// Where a cache line begins.
#[repr(align(64))]
struct Line;

/// A wait in one place: the sudog and the word that ends it side by side. A thread's begins a cache line, since the line goes from
/// core to core and back; a goroutine's lies where there is no gap, since all of its stack that is touched is loaded anew when it
/// goes on.
#[repr(C)]
struct Plain<Place> {
    _place: [Place; 0],
    sg: Sudog,
    wait: Wait,
}

impl<Place> Plain<Place> {
    /// Of whoever runs here, once it [begins](Wait::begin_of_caller), which it does where it stays: moving it about costs as much as
    /// making it.
    #[inline(always)]
    fn new(reason: Reason, at: &'static Location<'static>) -> Self {
        Self { _place: [], sg: Sudog::new(ptr::null(), 0, ptr::null_mut()), wait: Wait::new(reason, at) }
    }

    /// The sudog, ready to be queued. From here on it is reached by this pointer only.
    #[inline(always)]
    fn sudog(&mut self, elem: *mut ()) -> *const Sudog {
        self.wait.begin_of_caller();
        self.sg.put(&raw const self.wait, elem);
        &raw const self.sg
    }
}

/// The channel. What every operation touches comes first. With the counts of the `Arc`, and a word of the allocator's, it is four cache
/// lines, so that many of them lie at the same place in their lines.
#[repr(C)]
pub(crate) struct Hchan<T> {
    pub(super) summary: AtomicU64,
    pub(super) cap: usize,
    pub(super) lock: Lock<State<T>>,
    pub(super) senders: AtomicUsize,
    pub(super) receivers: AtomicUsize,
    pub(super) spin: Spin,
    /// Somebody has slept here, or given it a name: the registry knows this channel.
    pub(super) registered: AtomicBool,
    pub(super) made_at: &'static Location<'static>,
}

// A model checker's atomics are larger.
#[cfg(all(target_pointer_width = "64", not(any(gochan_loom, gochan_shuttle))))]
const _: () = assert!(size_of::<Hchan<u64>>() <= 4 * 64 - 3 * size_of::<usize>());

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
            summary: AtomicU64::new(State::<T>::first_summary(cap)),
            // Made in its place.
            lock: Lock::with_owner(State::new()),
            cap,
            senders: AtomicUsize::new(1),
            receivers: AtomicUsize::new(1),
            spin: Spin::new(),
            registered: AtomicBool::new(false),
            made_at: Location::caller(),
        }
    }

    #[inline]
    pub(super) fn lock(&self) -> Locked<'_, T> {
        Locked::enter(self)
    }

    /// The summary word. Acquire: who acts on it has seen what led to it.
    #[inline]
    pub(super) fn word(&self) -> u64 {
        self.summary.load(Ordering::Acquire)
    }

    /// The number of buffered values.
    pub(crate) fn len(&self) -> usize {
        match self.word() >> LEN_SHIFT & LEN_MAX {
            // The number does not fit.
            LEN_MAX => self.lock().buf.len(),
            len => len as usize,
        }
    }

    /// Closed, and nothing to be received.
    #[inline]
    pub(super) fn is_drained(&self) -> bool {
        self.word() & (READABLE | CLOSED) == CLOSED
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.word() & CLOSED != 0
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
        // Refusal without the lock. The word is what some locked section left behind, and all of it is from one moment:
        // the channel was then closed, or open with no slot and no receiver. That moment is not before this call began
        // as far as this thread can tell, since whatever it has seen happen was published before; so we refuse as of
        // that moment. A plain load may be late; a blocking send goes to the lock and a try may be repeated.
        let word = self.word();
        if word & (CLOSED | WRITABLE) != WRITABLE {
            if word & CLOSED != 0 {
                return Err(Refusal::Closed);
            }
            if matches!(patience, Patience::Try) {
                return Err(Refusal::Blocked);
            }
            if self.cap >= WORTH_A_LOOK {
                // SAFETY: the caller's contract.
                return unsafe { self.chansend_later(true, elem, patience, at) };
            }
        }
        let may_begin = matches!(patience, Patience::Try) || self.cap == UNBOUNDED || park::spend_at_once();
        let Some(state) = may_begin.then(|| self.lock.lock_at_once()).flatten() else {
            // SAFETY: the caller's contract.
            return unsafe { self.chansend_later(false, elem, patience, at) };
        };
        // SAFETY: the caller's contract.
        unsafe { self.chansend_in(state, elem, patience, at) }
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
            self.look_ahead(WRITABLE);
        }
        if !matches!(patience, Patience::Try) && self.cap != UNBOUNDED {
            let unsent = Unsent(elem);
            park::spend();
            std::mem::forget(unsent);
        }
        // SAFETY: the caller's contract.
        unsafe { self.chansend_in(self.lock.lock_as_thread(self.cap), elem, patience, at) }
    }

    #[inline(always)]
    unsafe fn chansend_in<'a>(
        &'a self,
        mut state: Guard<'a, State<T>>,
        elem: *mut T,
        patience: &Patience,
        at: &'static Location<'static>,
    ) -> Result<(), Refusal> {
        // SAFETY: the value is the caller's to give away.
        if unsafe { state.push_quickly(self, elem) } {
            return Ok(());
        }
        let c = Locked::of(self, state);
        // From here, since what lies on the stack of a goroutine that waits is loaded when it goes on: no frame between.
        if !matches!(patience, Patience::Try) && c.send_must_wait() {
            // SAFETY: the caller's contract.
            return unsafe { Self::park_sender(c, elem, patience, at) };
        }
        // SAFETY: the caller's contract.
        unsafe { Self::chansend_locked(c, elem, patience, at) }
    }

    /// What is asked for is not there now; in a buffer that is worth a look it may be in a moment, and more of it.
    fn look_ahead(&self, asked: u64) {
        self.spin.look_ahead(|| self.word() & (asked | CLOSED) != 0);
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
                SendNow::Full => return unsafe { Self::park_sender_owing::<Line>(c, elem, patience, at, owed) },
            }
            c = this.lock();
        }
    }

    /// Waits for a receiver, or for a slot. As [`chansend_locked`](Self::chansend_locked).
    ///
    /// Out of line, and with no frame of its own.
    #[inline(never)]
    unsafe fn park_sender(
        c: Locked<'_, T>,
        elem: *mut T,
        patience: &Patience,
        at: &'static Location<'static>,
    ) -> Result<(), Refusal> {
        // SAFETY: the caller's contract.
        unsafe {
            if park::in_goroutine() {
                Self::park_sender_in::<()>(c, elem, patience, at)
            } else {
                Self::park_sender_in::<Line>(c, elem, patience, at)
            }
        }
    }

    /// The same, with the wait in a place that is as it should be for who waits: see [`Plain`].
    #[inline(never)]
    unsafe fn park_sender_in<Place>(
        c: Locked<'_, T>,
        elem: *mut T,
        patience: &Patience,
        at: &'static Location<'static>,
    ) -> Result<(), Refusal> {
        let unsent = Unsent(elem);
        let mut owed = Ready::NOBODY;
        // SAFETY: the caller's contract.
        let sent = unsafe { Self::park_sender_owing::<Place>(c, elem, patience, at, &mut owed) };
        std::mem::forget(unsent);
        owed.fire_here();
        sent
    }

    /// As [`chansend_owing`](Self::chansend_owing).
    #[inline(always)]
    unsafe fn park_sender_owing<Place>(
        c: Locked<'_, T>,
        elem: *mut T,
        patience: &Patience,
        at: &'static Location<'static>,
        owed: &mut Ready,
    ) -> Result<(), Refusal> {
        let plain = &mut Plain::<Place>::new(Reason::ChanSend, at);
        // SAFETY: `plain` stays in this frame until `park` has returned.
        let outcome = unsafe {
            let sg = plain.sudog(elem.cast());
            let this = c.chan();
            let calm = c.queue_sender_and_leave(sg, owed);
            this.park(calm, sg, patience)
        };
        result(outcome, owed)
    }

    /// Receives a value into `room`, waiting as long as `patience` says.
    ///
    /// # Errors
    /// The refusal; `room` is then uninitialised, as it is if this unwinds: should a waker panic, the value is dropped.
    ///
    /// # Safety
    /// `room` may be written. If this returns `Ok`, it holds a value.
    #[inline]
    pub(crate) unsafe fn chanrecv(
        &self,
        room: *mut T,
        patience: &Patience,
        at: &'static Location<'static>,
    ) -> Result<(), Refusal> {
        // Refusal without the lock, as in `chansend`: one word, so "closed" and "nothing to receive" are of one moment.
        // Closed and empty is for good - after close only a value that a cancelled receive gives back can appear, and
        // that is as if it had come a moment later - so a blocking receive may take it from here too.
        let word = self.word();
        if word & READABLE == 0 {
            let word = if cfg!(gochan_bug = "two_word_refusal") { self.word() } else { word };
            if word & CLOSED != 0 {
                return Err(Refusal::Closed);
            }
            if matches!(patience, Patience::Try) {
                return Err(Refusal::Blocked);
            }
            if self.cap >= WORTH_A_LOOK {
                // SAFETY: the caller's contract.
                return unsafe { self.chanrecv_later(true, room, patience, at) };
            }
        }
        let is_free = matches!(patience, Patience::Try) && !cfg!(gochan_bug = "try_yields");
        let Some(state) = (is_free || park::spend_at_once()).then(|| self.lock.lock_at_once()).flatten() else {
            // SAFETY: the caller's contract.
            return unsafe { self.chanrecv_later(false, room, patience, at) };
        };
        // SAFETY: the caller's contract.
        unsafe { self.chanrecv_in(state, room, patience, at) }
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
            self.look_ahead(READABLE);
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
        if unsafe { state.pop_quickly(self, room) } {
            return Ok(());
        }
        let c = Locked::of(self, state);
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
                RecvNow::Empty => return unsafe { Self::park_receiver_owing::<Line>(c, room, patience, at, owed) },
                // SAFETY: the caller's contract; the sender was claimed and unlinked in this section.
                RecvNow::Lazy(sender) => match unsafe { Self::park_paired(c, room, sender, patience, at, owed) } {
                    Some(Outcome::Retry) => owed.take().fire(),
                    outcome => return result(outcome, owed),
                },
            }
            c = this.lock();
        }
    }

    /// Waits for a value. As [`chanrecv_locked`](Self::chanrecv_locked), and [`park_sender`](Self::park_sender).
    #[inline(never)]
    unsafe fn park_receiver(
        c: Locked<'_, T>,
        room: *mut T,
        patience: &Patience,
        at: &'static Location<'static>,
    ) -> Result<(), Refusal> {
        // SAFETY: the caller's contract.
        unsafe {
            if park::in_goroutine() {
                Self::park_receiver_in::<()>(c, room, patience, at)
            } else {
                Self::park_receiver_in::<Line>(c, room, patience, at)
            }
        }
    }

    /// The same, with the wait in a place that is as it should be for who waits: see [`Plain`].
    #[inline(never)]
    unsafe fn park_receiver_in<Place>(
        c: Locked<'_, T>,
        room: *mut T,
        patience: &Patience,
        at: &'static Location<'static>,
    ) -> Result<(), Refusal> {
        let mut owed = Ready::NOBODY;
        // SAFETY: the caller's contract. If this succeeds, the room holds a value, which nobody has yet.
        unsafe {
            Self::park_receiver_owing::<Place>(c, room, patience, at, &mut owed)?;
            fire_beside(&mut owed, room);
        }
        Ok(())
    }

    #[inline(always)]
    unsafe fn park_receiver_owing<Place>(
        c: Locked<'_, T>,
        room: *mut T,
        patience: &Patience,
        at: &'static Location<'static>,
        owed: &mut Ready,
    ) -> Result<(), Refusal> {
        let plain = &mut Plain::<Place>::new(Reason::ChanReceive, at);
        // SAFETY: `plain` stays in this frame until `park` has returned.
        let outcome = unsafe {
            let sg = plain.sudog(room.cast());
            let this = c.chan();
            let calm = c.queue_receiver_and_leave(sg, owed);
            this.park(calm, sg, patience)
        };
        result(outcome, owed)
    }

    /// Waits for the value of a `sender` that has none yet, or for any. A try waits for nothing else, and is told to retry if
    /// nothing comes of it.
    #[cold]
    unsafe fn park_paired(
        mut c: Locked<'_, T>,
        room: *mut T,
        sender: *const Sudog,
        patience: &Patience,
        at: &'static Location<'static>,
        owed: &mut Ready,
    ) -> Option<Outcome> {
        let plain = &mut Plain::<Line>::new(Reason::ChanReceive, at);
        // Whoever has no time to wait waits for a value that is being evaluated all the same.
        let patience = if patience.is_over() { &Patience::Try } else { patience };
        plain.sg.nonblocking = matches!(patience, Patience::Try);
        // SAFETY: `plain` stays in this frame until `park` has returned. The sender was claimed in this section.
        unsafe {
            let sg = plain.sudog(room.cast());
            let (this, ended) = (c.chan(), c.pair_arriving(sg, sender));
            *owed = c.leave(ended).try_fire();
            this.park(owed.is_nobody(), sg, patience)
        }
    }

    /// gopark of a plain wait that is queued, behind the section: waits, and withdraws when the time is over. `None`: nothing
    /// has happened. If a waker that was fired before has panicked, so that the caller is not `calm`, there is no time.
    ///
    /// # Safety
    /// `sg` and its wait belong to the caller and are queued on this channel. When this returns, they are not.
    #[inline(always)]
    unsafe fn park(&self, calm: bool, sg: *const Sudog, patience: &Patience) -> Option<Outcome> {
        // SAFETY: the caller's contract.
        unsafe {
            if !calm {
                return self.give_up(sg);
            }
            match (*(*sg).wait()).park(patience.deadline(), &self.spin, || self.register()) {
                Some(done) => Some(done.outcome),
                None => self.give_up(sg),
            }
        }
    }

    /// The time of a plain wait is over: how it ended, if it has.
    ///
    /// # Safety
    /// As for [`park`](Self::park).
    #[cold]
    #[inline(never)]
    unsafe fn give_up(&self, sg: *const Sudog) -> Option<Outcome> {
        // SAFETY: the caller's contract.
        unsafe {
            let done = self.withdraw(sg);
            (*(*sg).wait()).over();
            done.map(|done| done.outcome)
        }
    }

    /// Takes a wait back whose owner does not want to wait any longer. `None`: it is withdrawn and nothing has
    /// happened. `Some`: it had ended.
    ///
    /// # Safety
    /// `sg` belongs to the caller and was enqueued on this channel.
    pub(super) unsafe fn withdraw(&self, sg: *const Sudog) -> Option<Done> {
        let mut c = self.lock();
        // SAFETY: the caller's contract.
        let linked = unsafe { c.unlink(sg) };
        // The closer had not come to it yet. If he has a value for it, or for who comes next, it is simply late.
        let closed = c.closed && !c.has_value();
        c.leave_quietly();
        if !linked && !cfg!(gochan_bug = "value_lost_at_the_deadline") {
            // Who unlinked it finished it in the same locked section, so the end is visible under the lock (I5).
            // SAFETY: the wait is the caller's.
            return Some(unsafe { (*(*sg).wait()).done() }.expect("unlinked without an end"));
        }
        closed.then_some(Done { outcome: Outcome::Closed, arm: 0 })
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
        let all = (std::mem::replace(&mut c.returned, Returned::new()), std::mem::replace(&mut c.buf, Ring::new()));
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
    }
}

impl<T> fmt::Debug for Hchan<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hchan").field("cap", &self.cap).field("len", &self.len()).finish_non_exhaustive()
    }
}
