//! An end that one waiter waits for: a goroutine's by its handle, the last child's by its scope.
//!
//! Invariant: what the latch announces is written before [`Latch::set`] and read after it is seen. Who sets it has a reference
//! to what it is in, which may else be gone once it is seen. The wait that [`State::Parked`] points to is alive: its owner takes
//! it out under the lock, or finds that it was taken.

use crate::park::{Outcome, Ready, Reason, Spin, Wait, Waiter};
use crate::primitive::lock::Lock;
use crate::primitive::{AtomicBool, Ordering};
use std::panic::Location;
use std::ptr;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

pub(super) struct Latch {
    state: Lock<State>,
    /// The state, as who need not wait sees it.
    is_set: AtomicBool,
}

enum State {
    /// Nobody waits.
    Open,
    Parked(*const Wait),
    Awaited(Waker),
    /// Nobody will.
    Unwanted,
    /// With nothing in the place where the waiter was. Else that would stay in the record, and whoever looks in memory for who
    /// knows its stack would find that the record does.
    #[expect(dead_code, reason = "for what it overwrites")]
    Set(*const Wait),
}

const SET: State = State::Set(ptr::null());

// SAFETY: a wait is ended under the lock, by which it is alive.
unsafe impl Send for State {}

/// There is nobody who would see it set.
pub(super) struct Unwanted;

impl Latch {
    pub(super) fn new() -> Self {
        Self { state: Lock::new(State::Open), is_set: AtomicBool::new(false) }
    }

    /// Announces the end. The caller fires the wake-up.
    #[inline(always)]
    pub(super) fn set(&self) -> Result<Ready, Unwanted> {
        let mut state = self.state.lock();
        // Release: who sees it sees what is announced.
        self.is_set.store(true, Ordering::Release);
        match std::mem::replace(&mut *state, SET) {
            State::Open | State::Set(_) => Ok(Ready::NOBODY),
            State::Parked(wait) => {
                let mut ready = Ready::NOBODY;
                // SAFETY: it is alive, and taken out by this; a plain wait is ended by who takes it out.
                unsafe { Wait::finish(wait, Outcome::Completed, 0, &mut ready) };
                Ok(ready)
            }
            State::Awaited(waker) => Ok(Ready::of(Waiter::Task(waker))),
            State::Unwanted => Err(Unwanted),
        }
    }

    #[inline]
    pub(super) fn is_set(&self) -> bool {
        self.is_set.load(Ordering::Acquire)
    }

    /// Waits; false if the deadline has come first.
    pub(super) fn wait(&self, reason: Reason, at: &'static Location<'static>, deadline: Option<Instant>) -> bool {
        if self.is_set() {
            return true;
        }
        let wait = Wait::of_caller(reason, at);
        // Others reach it by this pointer only.
        let this = &raw const wait;
        {
            let mut state = self.state.lock();
            if let State::Set(_) = *state {
                return true;
            }
            *state = State::Parked(this);
        }
        let mut set = wait.park(deadline, &Spin::none(), &|| 0, || {}).is_some();
        if !set {
            let mut state = self.state.lock();
            match *state {
                State::Set(_) => set = true,
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
            let mut state = self.state.lock();
            match *state {
                State::Set(_) => return Poll::Ready(()),
                _ => std::mem::replace(&mut *state, State::Awaited(waker)),
            }
        };
        // A foreign waker, dropped behind the lock.
        drop(old);
        Poll::Pending
    }

    /// Nobody will wait any more. True if it is set.
    pub(super) fn leave(&self) -> bool {
        // As whoever has waited leaves.
        if self.is_set() {
            return true;
        }
        let old = {
            let mut state = self.state.lock();
            match *state {
                State::Set(_) => return true,
                _ => std::mem::replace(&mut *state, State::Unwanted),
            }
        };
        drop(old);
        false
    }
}
