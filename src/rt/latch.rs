//! An end that one waiter waits for: a goroutine's by its handle, the last child's by its scope.
//!
//! To set it is one exchange, and where nobody waits that is all. Who waits is entered and taken out under the lock: by who sets it, who has
//! seen that somebody may be, or by himself.
//!
//! Invariant: what the latch announces is written before [`Latch::set`] and read after it is seen. Who sets it has a reference
//! to what it is in, which may else be gone once it is seen. The wait that [`Waiting::Parked`] points to, if it is not null, is alive: its owner takes
//! it out under the lock, or finds that it was taken. While the stage is [`OPEN`], nobody is entered.

use crate::park::{Activity, Outcome, Ready, Reason, Spin, Wait, Waiter};
use crate::primitive::{AtomicU8, Guard, Lock, Ordering};
use std::panic::Location;
use std::ptr;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

pub(super) struct Latch {
    waiting: Lock<Waiting>,
    /// How far it has come.
    stage: AtomicU8,
}

/// Nobody waits, or has.
const OPEN: u8 = 0;
/// Somebody does, or has.
const AWAITED: u8 = 1;
/// Nobody will.
const UNWANTED: u8 = 2;
const SET: u8 = 3;

enum Waiting {
    /// Null: nobody. So nothing is left in the place where the waiter was; else whoever looks in memory for who knows its stack would find
    /// that the record does.
    Parked(*const Wait),
    Awaited(Waker),
}

const NOBODY: Waiting = Waiting::Parked(ptr::null());

// SAFETY: a wait is ended under the lock, by which it is alive.
unsafe impl Send for Waiting {}

/// There is nobody who would see it set.
pub(super) struct Unwanted;

impl Latch {
    pub(super) fn new() -> Self {
        Self { waiting: Lock::new(NOBODY), stage: AtomicU8::new(OPEN) }
    }

    /// One stage becomes another. Acquire: who finds it set sees what is announced.
    #[inline]
    fn steps(&self, from: u8, to: u8) -> bool {
        self.stage.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Announces the end. The caller fires the wake-up.
    #[inline(always)]
    pub(super) fn set(&self) -> Result<Ready, Unwanted> {
        // Release: who sees it sees what is announced.
        let order = if cfg!(gochan_bug = "end_set_relaxed") { Ordering::Relaxed } else { Ordering::AcqRel };
        match self.stage.swap(SET, order) {
            AWAITED => Ok(self.take_waiting()),
            UNWANTED => Err(Unwanted),
            _ => Ok(Ready::NOBODY),
        }
    }

    /// Ends the wait of who waits, unless he has left meanwhile.
    #[inline(never)]
    fn take_waiting(&self) -> Ready {
        let mut waiting = self.waiting.lock();
        match std::mem::replace(&mut *waiting, NOBODY) {
            Waiting::Parked(wait) if wait.is_null() => Ready::NOBODY,
            Waiting::Parked(wait) => {
                let mut ready = Ready::NOBODY;
                // SAFETY: it is alive, and taken out by this; a plain wait is ended by who takes it out.
                unsafe { Wait::finish(wait, Outcome::Completed, 0, &mut ready) };
                ready
            }
            Waiting::Awaited(waker) => Ready::of(Waiter::Task(waker)),
        }
    }

    #[inline]
    pub(super) fn is_set(&self) -> bool {
        self.stage.load(Ordering::Acquire) == SET
    }

    /// The lock for who is going to wait; `None` if it is set.
    fn lock_to_wait(&self) -> Option<Guard<'_, Waiting>> {
        let waiting = self.waiting.lock();
        let is_to_come = self.steps(OPEN, AWAITED) || !self.is_set();
        is_to_come.then_some(waiting)
    }

    /// Waits; false if the deadline has come first.
    pub(super) fn wait(&self, reason: Reason, at: &'static Location<'static>, deadline: Option<Instant>) -> bool {
        if self.is_set() {
            return true;
        }
        let wait = Wait::of_caller(reason, at);
        // Others reach it by this pointer only.
        let this = &raw const wait;
        match self.lock_to_wait() {
            Some(mut waiting) => *waiting = Waiting::Parked(this),
            None => return true,
        }
        let mut set = wait.park(deadline, &Spin::none(), &|| Activity::NONE, || {}).is_some();
        if !set {
            *self.waiting.lock() = NOBODY;
            set = self.is_set();
        }
        wait.over();
        set
    }

    /// Waits as a task.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let waker = cx.waker().clone();
        let Some(mut waiting) = self.lock_to_wait() else { return Poll::Ready(()) };
        let old = std::mem::replace(&mut *waiting, Waiting::Awaited(waker));
        drop(waiting);
        // A foreign waker, dropped behind the lock.
        drop(old);
        Poll::Pending
    }

    /// Nobody will wait any more. True if it is set.
    #[inline]
    pub(super) fn leave(&self) -> bool {
        // As whoever has waited leaves.
        self.is_set() || !self.steps(OPEN, UNWANTED) && self.leave_late()
    }

    #[cold]
    fn leave_late(&self) -> bool {
        let old = std::mem::replace(&mut *self.waiting.lock(), NOBODY);
        drop(old);
        !self.steps(AWAITED, UNWANTED)
    }
}
