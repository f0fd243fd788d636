//! An end that one waiter waits for: a goroutine's by its handle, the last child's by its scope.
//!
//! Invariant: what the latch announces is written before [`Latch::set`] and read after it is seen. The wait that
//! [`State::Parked`] points to is alive: its owner takes it out under the lock, or finds that it was taken.

use crate::park::{Outcome, Ready, Reason, Spin, Wait, Waiter};
use crate::primitive::lock::Lock;
use std::panic::Location;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

pub(super) struct Latch(Lock<State>);

enum State {
    /// Nobody waits.
    Open,
    Parked(*const Wait),
    Awaited(Waker),
    /// Nobody will.
    Unwanted,
    Set,
}

// SAFETY: a wait is ended under the lock, by which it is alive.
unsafe impl Send for State {}

/// There is nobody who would see it set.
pub(super) struct Unwanted;

impl Latch {
    pub(super) fn new() -> Self {
        Self(Lock::new(State::Open))
    }

    /// Announces the end. The caller fires the wake-up.
    pub(super) fn set(&self) -> Result<Ready, Unwanted> {
        let mut state = self.0.lock();
        match std::mem::replace(&mut *state, State::Set) {
            State::Open | State::Set => Ok(Ready::NOBODY),
            // SAFETY: it is alive, and taken out by this; a plain wait is ended by who takes it out.
            State::Parked(wait) => Ok(unsafe { Wait::finish(wait, Outcome::Completed, 0) }),
            State::Awaited(waker) => Ok(Ready::of(Waiter::task(waker))),
            State::Unwanted => Err(Unwanted),
        }
    }

    pub(super) fn is_set(&self) -> bool {
        matches!(*self.0.lock(), State::Set)
    }

    /// Waits; false if the deadline has come first.
    pub(super) fn wait(&self, reason: Reason, at: &'static Location<'static>, deadline: Option<Instant>) -> bool {
        let wait = Wait::of_caller(reason, at);
        // Others reach it by this pointer only.
        let this = &raw const wait;
        {
            let mut state = self.0.lock();
            if let State::Set = *state {
                return true;
            }
            *state = State::Parked(this);
        }
        let mut set = wait.park(deadline, &Spin::none(), || {}).is_some();
        if !set {
            let mut state = self.0.lock();
            match *state {
                State::Set => set = true,
                _ => *state = State::Open,
            }
        }
        wait.over();
        set
    }

    /// Waits as a task.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let waker = cx.waker().clone();
        let old = {
            let mut state = self.0.lock();
            match *state {
                State::Set => return Poll::Ready(()),
                _ => std::mem::replace(&mut *state, State::Awaited(waker)),
            }
        };
        // A foreign waker, dropped behind the lock.
        drop(old);
        Poll::Pending
    }

    /// Nobody will wait any more. True if it is set.
    pub(super) fn leave(&self) -> bool {
        let old = {
            let mut state = self.0.lock();
            match *state {
                State::Set => return true,
                _ => std::mem::replace(&mut *state, State::Unwanted),
            }
        };
        drop(old);
        false
    }
}
