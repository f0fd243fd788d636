//! gopark and goready: how one wait is recorded, claimed, ended and woken.
//!
//! A [`Wait`] lives in the waiter's own frame and is reached by others through the sudogs that it has queued on
//! channels. What it is *for* - a value, a slot, readiness - the channel knows; what it *is* - an OS thread asleep in
//! the kernel, an async task with a waker, a goroutine - only `thread.rs`, `task.rs` and `goroutine.rs` know.
//!
//! Invariants:
//! - **Ends once.** The word goes from pending to DONE exactly once. A plain wait (one sudog) is ended by whoever holds
//!   the channel's lock and finds its sudog linked. A select wait (a sudog per arm) is first claimed by a CAS, because
//!   its channels have different locks; from CLAIMED to DONE, or PAIRED, the claimer holds that arm's lock.
//! - **Claim before consume.** No value moves until the claim on the counterpart is won.
//! - **Nothing after DONE.** The frame may be gone as soon as DONE is visible. Whatever is needed to wake the waiter is
//!   moved out of the record before, into a [`Ready`].
//! - **Ready after unlock.** Waking runs foreign code (a waker) or enters the kernel; a `Ready` is carried out of the
//!   locked section and fired behind it, before its carrier parks itself. Dropping it fires it too.

mod alarm;
mod clock;
mod goroutine;
mod task;
mod thread;
mod who;

pub(crate) use alarm::Alarm;
pub(crate) use goroutine::Goroutine;
#[cfg(any(feature = "rt", test))]
pub(crate) use goroutine::Home;
#[cfg(feature = "rt")]
pub(crate) use goroutine::{
    Pace, Resumed, Scheduler, Spare, look_at_clock, scheduler, set_goroutine, set_pace, set_scheduler,
};
pub(crate) use goroutine::{in_goroutine, spend, spend_at_once};
pub(crate) use thread::{Activity, Sought, Spin};
pub use who::Kind;
#[cfg(feature = "rt")]
pub(crate) use who::set_word;
pub(crate) use who::{Who, thread_of};

use crate::primitive::{AtomicU32, AtomicU64, Ordering, UnsafeCell, VEIL};
use clock::now;
use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::ptr::{self, NonNull};
use std::time::{Duration, Instant};

/// Why a waiter waits, in Go's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// `chan send`: in a send, for a receiver or for space.
    ChanSend,
    /// `chan receive`: in a receive, for a value.
    ChanReceive,
    /// `chan send (nil chan)`: in a send on a channel that never takes anything.
    ChanSendNil,
    /// `chan receive (nil chan)`: in a receive from a channel that never delivers anything.
    ChanReceiveNil,
    /// `select`: for one of several operations.
    Select,
    /// Awaiting that a channel is closed. Go has no such wait.
    ChanClose,
    /// `select (no cases)`: for none at all.
    SelectNoCases,
    /// `sleep`: for a moment to come.
    Sleep,
    /// `join`: for the end of a goroutine, or of those of a scope. Go has no such wait.
    Join,
    /// `await`: for a future. Go has no such wait.
    Await,
    /// `syscall`: for a blocking call on a thread of its own.
    Syscall,
}

impl Reason {
    /// A wait that nobody can end.
    #[cfg(feature = "rt")]
    pub(crate) fn is_for_nothing(self) -> bool {
        matches!(self, Self::ChanSendNil | Self::ChanReceiveNil | Self::SelectNoCases)
    }

    /// A wait that is ended by who uses a channel, and by nobody else.
    #[cfg(feature = "rt")]
    pub(crate) fn is_of_channels(self) -> bool {
        matches!(self, Self::ChanSend | Self::ChanReceive | Self::Select | Self::ChanClose)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::ChanSend => "chan send",
            Self::ChanReceive => "chan receive",
            Self::ChanSendNil => "chan send (nil chan)",
            Self::ChanReceiveNil => "chan receive (nil chan)",
            Self::Select => "select",
            Self::ChanClose => "chan close",
            Self::SelectNoCases => "select (no cases)",
            Self::Sleep => "sleep",
            Self::Join => "join",
            Self::Await => "await",
            Self::Syscall => "syscall",
        })
    }
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Outcome {
    /// The operation happened: the value is in, or has left, the waiter's slot.
    Completed = 1,
    /// The channel was closed; a sender's value is still in its slot.
    Closed,
    /// The claim came to nothing: look at the channels again, with the original deadline.
    Retry,
    /// A sender without a value was claimed by a receiver: fill the pair whose ticket is in the sudog.
    Paired,
    /// A sender without a value was granted a slot of the buffer.
    Reserved,
    /// A watcher's direction became ready.
    Ready,
}

impl Outcome {
    fn from_bits(bits: u32) -> Self {
        match bits {
            1 => Self::Completed,
            2 => Self::Closed,
            3 => Self::Retry,
            4 => Self::Paired,
            5 => Self::Reserved,
            6 => Self::Ready,
            _ => unreachable!("a wait ended without an outcome"),
        }
    }
}

/// The end of a wait: what happened, and on which arm of a select (0 for a plain wait).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) outcome: Outcome,
    pub(crate) arm: u16,
}

// The claim word: two bits of phase, one that says that the waiter is asleep and must be woken, then outcome and arm.
const PHASE: u32 = 0b11;
const PENDING: u32 = 0;
const CLAIMED: u32 = 1;
const PAIRED: u32 = 2;
const DONE: u32 = 3;
const ASLEEP: u32 = 0b100;

fn done_word(outcome: Outcome, arm: u16) -> u32 {
    DONE | (outcome as u32) << 8 | u32::from(arm) << 16
}

/// Somebody asleep, and how to wake him.
#[derive(Debug)]
pub(crate) enum Waiter {
    Thread(crate::primitive::thread::Thread, Who),
    Task(std::task::Waker),
    Goroutine(goroutine::Goroutine),
    /// Several, of one locked section: watchers mostly.
    Several(Box<[Ready]>),
    /// Nobody: a waker has panicked, and firing raises its panic where that does no harm.
    Panicked(Box<dyn Any + Send>),
}

/// A wake-up that is owed. Fired behind the locked section that made it; its drop fires it as well.
#[derive(Debug)]
#[must_use = "carry it out of the locked section and fire it: its waiter sleeps until then"]
pub(crate) struct Ready(
    // Its drop leaves nothing to be dropped.
    ManuallyDrop<Option<Waiter>>,
);

impl Ready {
    /// Nobody sleeps: the waiter is still looking, or there is none.
    pub(crate) const NOBODY: Self = Self(ManuallyDrop::new(None));

    fn waking(waiter: Waiter) -> Self {
        Self(ManuallyDrop::new(Some(waiter)))
    }

    /// The wake-up of somebody who was kept elsewhere than in a [`Wait`].
    #[cfg(feature = "rt")]
    pub(crate) fn of(waiter: Waiter) -> Self {
        Self::waking(waiter)
    }

    /// Both wake-ups.
    #[inline]
    pub(crate) fn and(self, other: Self) -> Self {
        if other.0.is_none() {
            return self;
        }
        if self.0.is_none() {
            return other;
        }
        Self::waking(Waiter::Several(Box::new([self, other])))
    }

    /// The first that is owed to anybody; the other is dropped. For panics, of which one is enough.
    pub(crate) fn or(self, other: Self) -> Self {
        match *self.0 {
            None => other,
            Some(_) => {
                // A second panic is not worth an abort.
                if let Some(Waiter::Panicked(_)) = *other.0 {
                    std::mem::forget(other);
                }
                self
            }
        }
    }

    /// Fires, and keeps a waker's panic: firing what this returns raises it.
    pub(crate) fn try_fire(self) -> Self {
        match *self.0 {
            None => self,
            Some(_) => match catch_unwind(AssertUnwindSafe(|| self.fire())) {
                Ok(()) => Self::NOBODY,
                Err(payload) => Self::waking(Waiter::Panicked(payload)),
            },
        }
    }

    /// What is owed, from here on by the caller.
    pub(crate) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::NOBODY)
    }

    #[inline]
    pub(crate) fn is_nobody(&self) -> bool {
        self.0.is_none()
    }

    /// goready: wakes the waiter. Never under a lock.
    #[inline]
    pub(crate) fn fire(self) {
        drop(self);
    }

    /// The same, where it lies.
    #[inline]
    pub(crate) fn fire_here(&mut self) {
        /// Out of line, and handed the place: moving a waiter about costs as much as waking it.
        #[inline(never)]
        fn wake(waiter: &mut Option<Waiter>) {
            // SAFETY: overwritten without a drop, so it is moved out once.
            let moved_out = |waiter: *mut Option<Waiter>| unsafe { std::ptr::write(waiter, None) };
            if let Some(Waiter::Task(waker)) = waiter {
                // SAFETY: as above.
                let waker = unsafe { std::ptr::read(waker) };
                moved_out(waiter);
                waker.wake();
            } else {
                wake_other(waiter);
            }
        }
        #[inline(never)]
        fn wake_other(waiter: &mut Option<Waiter>) {
            if let Some(waiter) = waiter.take() {
                waiter.wake();
            }
        }
        if let Some(Waiter::Goroutine(g)) = &*self.0 {
            // SAFETY: overwritten without a drop, so it is moved out once.
            let g = unsafe {
                let g = std::ptr::read(g);
                std::ptr::write(&raw mut *self.0, None);
                g
            };
            g.make_ready();
        } else if self.0.is_some() {
            wake(&mut self.0);
        }
    }
}

impl Drop for Ready {
    #[inline]
    fn drop(&mut self) {
        self.fire_here();
    }
}

impl Waiter {
    fn wake(self) {
        match self {
            Self::Thread(thread, _) => thread.unpark(),
            Self::Task(waker) => waker.wake(),
            Self::Goroutine(g) => g.make_ready(),
            // Should one panic, the drop of the slice wakes the rest.
            Self::Several(all) => drop(all),
            Self::Panicked(payload) => {
                if !std::thread::panicking() {
                    resume_unwind(payload);
                }
            }
        }
    }
}

/// Many wake-ups, of one locked section.
#[derive(Debug)]
pub(crate) struct Readies {
    readies: [Ready; Self::MOST],
    len: usize,
}

impl Readies {
    pub(crate) const MOST: usize = 32;

    pub(crate) fn new() -> Self {
        Self { readies: [const { Ready::NOBODY }; Self::MOST], len: 0 }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len == Self::MOST
    }

    pub(crate) fn push(&mut self, ready: Ready) {
        if !ready.is_nobody() {
            self.readies[self.len] = ready;
            self.len += 1;
        }
    }

    /// Everything as one wake-up.
    pub(crate) fn into_ready(mut self) -> Ready {
        if self.len == 0 {
            return Ready::NOBODY;
        }
        let all = self.readies[..self.len].iter_mut();
        Ready::waking(Waiter::Several(all.map(|ready| std::mem::replace(ready, Ready::NOBODY)).collect()))
    }

    /// Fires everything, as [`Ready::try_fire`] does.
    pub(crate) fn try_fire(mut self) -> Ready {
        let all = self.readies[..self.len].iter_mut();
        all.fold(Ready::NOBODY, |panic, ready| panic.or(std::mem::replace(ready, Ready::NOBODY).try_fire()))
    }
}

/// The bit of `asleep_since` that says that there is a deadline. The clock does not come to it in 292 years.
const TIMED: u64 = 1 << 63;

/// What others know of a wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sighting {
    /// Tells it from all others at the same time: a select is seen on each of its channels.
    pub(crate) wait: usize,
    pub(crate) reason: Reason,
    pub(crate) at: &'static Location<'static>,
    /// For how long its owner has been asleep.
    pub(crate) since: Option<Duration>,
    /// It has a deadline.
    pub(crate) timed: bool,
    pub(crate) sleeper: Sleeper,
}

/// Whose wait it is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sleeper {
    /// Somebody's who does not sleep yet.
    Awake,
    Thread(Who),
    /// By what its waker points to: that tells the tasks apart that wait at the same time.
    Task(usize),
    /// The scheduler's name for it, which is good for as long as the wait may be looked at.
    #[cfg_attr(not(feature = "rt"), allow(dead_code))]
    Goroutine(NonNull<()>),
}

/// The record of one wait, in the waiter's frame. What others touch while the waiter looks comes first.
#[repr(C)]
pub(crate) struct Wait {
    word: AtomicU32,
    select: bool,
    reason: Reason,
    /// For the owner, if that is a goroutine: when the wait ends it is readied, and has not been yet.
    owed: Cell<bool>,
    /// And it is to unwind, if the wait has not ended.
    cancelled: Cell<bool>,
    location: &'static Location<'static>,
    /// When the owner fell asleep, by the clock of `clock.rs`; 0 while it is awake. With TIMED if it has a deadline.
    asleep_since: AtomicU64,
    /// There while ASLEEP is set: written by the owner before, moved out by who ends the wait, who then sets DONE without it.
    waiter: UnsafeCell<MaybeUninit<Waiter>>,
}

impl Wait {
    /// A wait of whoever runs here, who is about to [`park`](Self::park), and will say that it is [over](Self::over).
    #[inline]
    pub(crate) fn of_caller(reason: Reason, location: &'static Location<'static>) -> Self {
        let mut wait = Self::new(reason, location);
        wait.begin_of_caller();
        wait
    }

    /// Before the wait is queued: makes it that of whoever runs here.
    #[inline(always)]
    pub(crate) fn begin_of_caller(&mut self) {
        if let Some(scheduler) = goroutine::scheduler().filter(|scheduler| !scheduler.polling) {
            self.begin_asleep(Waiter::Goroutine(Goroutine::running(scheduler, self.reason)), goroutine::time());
            self.owed.set(true);
        }
    }

    /// A wait of the calling thread, or task, which is awake.
    #[inline(always)]
    pub(crate) fn new(reason: Reason, location: &'static Location<'static>) -> Self {
        Self {
            word: AtomicU32::new(PENDING),
            waiter: UnsafeCell::new(MaybeUninit::uninit()),
            asleep_since: AtomicU64::new(0),
            select: reason == Reason::Select,
            reason,
            owed: Cell::new(false),
            cancelled: Cell::new(false),
            location,
        }
    }

    /// Of a wait that has still to be made: where its owner comes to wait.
    ///
    /// # Safety
    /// There is room for it there.
    #[inline(always)]
    pub(crate) unsafe fn note(place: *mut Self, at: &'static Location<'static>) {
        // SAFETY: the caller's contract.
        unsafe { (&raw mut (*place).location).write(at) };
    }

    /// What was noted; of a wait that has been made, its location.
    ///
    /// # Safety
    /// It was [noted](Self::note), or made.
    #[inline(always)]
    pub(crate) unsafe fn noted(place: *const Self) -> &'static Location<'static> {
        // SAFETY: the caller's contract.
        unsafe { (&raw const (*place).location).read() }
    }

    /// A wait of somebody who has nothing to do but wait, and must be woken.
    #[cfg(test)]
    pub(crate) fn asleep(reason: Reason, location: &'static Location<'static>, waiter: Waiter) -> Self {
        let mut this = Self::new(reason, location);
        this.begin_asleep(waiter, now());
        this
    }

    /// Before the wait is queued: its owner, who has nothing to do but wait, sleeps from the start.
    #[inline(always)]
    fn begin_asleep(&mut self, waiter: Waiter, since: u64) {
        self.asleep_since.store(since, Ordering::Relaxed);
        // SAFETY: nobody but the owner knows the wait.
        self.waiter.with_mut(|cell| unsafe { (*cell).write(waiter) });
        // Who ends the wait learns of it by the channel's lock.
        self.word.store(PENDING | ASLEEP, Ordering::Relaxed);
    }

    #[cfg(feature = "rt")]
    pub(crate) fn reason(&self) -> Reason {
        self.reason
    }

    pub(crate) fn location(&self) -> &'static Location<'static> {
        self.location
    }

    /// Since when the waiter sleeps; `None` while it is still looking.
    pub(crate) fn asleep_for(&self) -> Option<Duration> {
        match self.asleep_since.load(Ordering::Relaxed) & !TIMED {
            0 => None,
            since => Some(Duration::from_nanos(now().saturating_sub(since))),
        }
    }

    /// The owner's: it begins to wait, for something that does not end this wait.
    #[cfg(feature = "rt")]
    pub(crate) fn begin(&self) {
        self.asleep_since.store(now(), Ordering::Relaxed);
    }

    /// The owner's: it has a deadline. Once the sleep has begun.
    pub(crate) fn set_timed(&self) {
        self.asleep_since.store(self.asleep_since.load(Ordering::Relaxed) | TIMED, Ordering::Relaxed);
    }

    /// What others may know of the wait; `None` if it has ended.
    ///
    /// # Safety
    /// The caller holds the lock of a channel on which a sudog of this wait is linked; or it is the wait of a goroutine that is
    /// switched out, and the caller its worker.
    pub(crate) unsafe fn look(&self) -> Option<Sighting> {
        // Acquire: who sees ASLEEP sees the waiter.
        let word = self.word.load(Ordering::Acquire);
        if word & PHASE == DONE {
            return None;
        }
        let sleeper = match word & ASLEEP {
            0 => Sleeper::Awake,
            // SAFETY: it was written before ASLEEP was set, and is changed under the lock only, if at all. Whoever ends a
            // select elsewhere at this moment moves it out but leaves its bytes, and of those only numbers are read, and
            // a goroutine's name: that goroutine must take the lock before it leaves its frame.
            _ => self.waiter.with(|cell| match unsafe { (*cell).assume_init_ref() } {
                Waiter::Goroutine(g) => Sleeper::Goroutine(g.name()),
                Waiter::Task(waker) => Sleeper::Task(waker.data().addr()),
                Waiter::Thread(_, who) => Sleeper::Thread(*who),
                Waiter::Several(_) | Waiter::Panicked(_) => Sleeper::Awake,
            }),
        };
        Some(Sighting {
            wait: ptr::from_ref(self).addr() | VEIL,
            reason: self.reason,
            at: self.location,
            since: self.asleep_for(),
            timed: self.asleep_since.load(Ordering::Relaxed) & TIMED != 0,
            sleeper,
        })
    }

    /// Will it end by itself? Known once its owner sleeps.
    #[cfg(feature = "rt")]
    pub(crate) fn is_timed(&self) -> bool {
        self.asleep_since.load(Ordering::Relaxed) & TIMED != 0
    }

    /// The owner's look: how the wait ended, if it has.
    #[inline]
    pub(crate) fn done(&self) -> Option<Done> {
        // Acquire: whoever ended the wait wrote the slot before the word.
        let word = self.word.load(Ordering::Acquire);
        (word & PHASE == DONE).then(|| Done { outcome: Outcome::from_bits(word >> 8 & 0xff), arm: (word >> 16) as u16 })
    }

    /// The owner is about to sleep. `Some` if the wait has ended meanwhile, and then nobody will wake it.
    fn fall_asleep(&self, waiter: Waiter) -> Option<Done> {
        self.asleep_since.store(now(), Ordering::Relaxed);
        // SAFETY: ASLEEP is not set, so nobody but the owner touches the cell.
        self.waiter.with_mut(|cell| unsafe { (*cell).write(waiter) });
        // Release: who sees ASLEEP sees the waiter. The phase may change under us (a pair is made or undone), DONE stays.
        let mut word = self.word.load(Ordering::Acquire);
        while word & PHASE != DONE {
            match self.word.compare_exchange(word, word | ASLEEP, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return None,
                Err(_) if cfg!(gochan_bug = "sleeps_though_done") => return None,
                Err(now) => word = now,
            }
        }
        // SAFETY: ASLEEP was never set, so what was written is there, and the owner's.
        drop(self.waiter.with_mut(|cell| unsafe { (*cell).assume_init_read() }));
        self.done()
    }

    /// Would its end wake anybody?
    #[inline]
    pub(crate) fn is_asleep(&self) -> bool {
        self.word.load(Ordering::Relaxed) & ASLEEP != 0
    }

    /// The waiter of a wait that nobody will wake, to be dropped where that does no harm: outside of locks, and when
    /// whatever the wait has brought is safe.
    ///
    /// # Safety
    /// The wait is on no queue.
    pub(crate) unsafe fn take_waiter(&self) -> Option<Waiter> {
        let word = self.word.load(Ordering::Relaxed);
        if word & ASLEEP == 0 {
            return None;
        }
        self.word.store(word & !ASLEEP, Ordering::Relaxed);
        // SAFETY: nobody but the owner knows the wait, and ASLEEP was set.
        Some(self.waiter.with_mut(|cell| unsafe { (*cell).assume_init_read() }))
    }

    /// Claims the wait for one arm: true if the caller, who holds that arm's lock, may now complete it.
    ///
    /// # Safety
    /// `this` is the wait of a sudog that was linked when the caller took the lock that it still holds.
    #[inline]
    pub(crate) unsafe fn claim(this: *const Self) -> bool {
        // SAFETY: a linked sudog keeps its wait alive: its owner unlinks it, under this lock, before it leaves.
        unsafe { !(*this).select || Self::claim_select(this) }
    }

    #[cold]
    unsafe fn claim_select(this: *const Self) -> bool {
        // SAFETY: as in `claim`. Only the atomic is referenced, since the frame may go when a rival's DONE is seen.
        let claim_word = unsafe { &(*this).word };
        let mut word = claim_word.load(Ordering::Relaxed);
        while word & PHASE == PENDING {
            if cfg!(gochan_bug = "select_claimed_twice") {
                claim_word.store(word | CLAIMED, Ordering::Relaxed);
                return true;
            }
            // ASLEEP is kept; it may also appear between the two reads.
            match claim_word.compare_exchange(word, word | CLAIMED, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    /// A claimed receiver is given to a sender that has no value yet. It goes on waiting; its arm's lock now decides
    /// who ends it, for a select as for a plain wait.
    ///
    /// # Safety
    /// The caller has claimed `this` in the locked section it is in.
    pub(crate) unsafe fn pair(this: *const Self) {
        // SAFETY: claimed and not done, so the frame is there.
        let (claim_word, select) = unsafe { (&(*this).word, (*this).select) };
        if select {
            // CLAIMED is 0b01 and PAIRED 0b10; the owner may set ASLEEP at any time.
            claim_word.fetch_xor(CLAIMED ^ PAIRED, Ordering::Release);
        }
    }

    /// Ends the wait. The wake-up is then `owed`, by who has owed none: three words that are put in their place, and not moved
    /// about. After this the wait and its sudogs may be gone.
    ///
    /// # Safety
    /// The caller has claimed `this` (or found it paired), holds the lock of the arm, and has unlinked its sudog.
    #[inline]
    pub(crate) unsafe fn finish(this: *const Self, outcome: Outcome, arm: u16, owed: &mut Ready) {
        debug_assert!(owed.is_nobody());
        // SAFETY: not done, so the frame is there. Only the atomic stays referenced, not the whole record: the frame
        // may go while this function still runs.
        let claim_word = unsafe { &(*this).word };
        let done = done_word(outcome, arm);
        // Looked at first: for a waiter that sleeps no read-modify-write is needed.
        let mut word = claim_word.load(Ordering::Acquire);
        loop {
            if word & ASLEEP != 0 {
                // Read, not taken: the owner may be looking whose waker it is.
                // SAFETY: the owner set ASLEEP (acquired here) and from then on leaves the waiter to who ends the wait.
                let waiter = unsafe { (*this).waiter.with(|cell| (*cell).assume_init_read()) };
                // SAFETY: nobody is owed, so there is nothing to drop.
                unsafe { ptr::write(owed, Ready::waking(waiter)) };
                // Release: the owner that sees DONE sees the slot. A plain store, for the owner no longer writes.
                claim_word.store(done, Ordering::Release);
                return;
            }
            let order = if cfg!(gochan_bug = "done_is_relaxed") { Ordering::Relaxed } else { Ordering::AcqRel };
            match claim_word.compare_exchange(word, done, order, Ordering::Acquire) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
    }

    /// The same wait as `other`?
    pub(crate) fn is(this: *const Self, other: *const Self) -> bool {
        std::ptr::eq(this, other) && !cfg!(gochan_bug = "select_meets_itself")
    }

    /// Could it be claimed at this moment? Others may claim a select the next.
    pub(crate) fn is_pending(&self) -> bool {
        self.word.load(Ordering::Relaxed) & PHASE == PENDING
    }

    pub(crate) fn is_select(&self) -> bool {
        self.select
    }
}

impl Drop for Wait {
    #[inline]
    fn drop(&mut self) {
        #[cold]
        #[inline(never)]
        fn drop_waiter(this: &Wait) {
            // SAFETY: nobody drops a wait that is queued.
            drop(unsafe { this.take_waiter() });
        }
        if self.is_asleep() {
            drop_waiter(self);
        }
    }
}

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").field("reason", &self.reason).field("location", &self.location).finish_non_exhaustive()
    }
}

/// gopark without anybody who could call goready: an operation on a nil channel.
pub(crate) fn forever(reason: Reason, location: &'static Location<'static>, deadline: Option<Instant>) {
    let wait = Wait::of_caller(reason, location);
    let ended = wait.park(deadline, &Spin::none(), &|| Activity::NONE, || {});
    debug_assert!(ended.is_none(), "nobody knows this wait");
    wait.over();
}
