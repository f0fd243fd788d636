//! An async task waits: its waker is what a [`Ready`](super::Ready) carries.
//!
//! Cloning, comparing and dropping wakers is foreign code, so none of it happens under a lock. An operation on one channel
//! clones its waker before it takes the lock, if it looks as if it will have to wait, and is asleep when it is queued. A
//! select queues itself as a thread does, awake, and falls asleep once the locks are given back. Polled again with another
//! waker, either changes it under the lock of every channel on which the wait is queued: whoever ends the wait holds one of
//! them.

use super::{ASLEEP, DONE, Done, PHASE, Reason, Wait, Waiter, now};
use crate::primitive::Ordering;
use std::panic::Location;
use std::task::Waker;

impl Wait {
    /// A wait of a task, which sleeps from the start and is woken by this waker: made where it will stay, since moving it about costs as
    /// much as making it.
    ///
    /// # Safety
    /// There is room for it there, and nothing to be dropped.
    #[inline(always)]
    pub(crate) unsafe fn make_dozing(
        place: *mut Self,
        reason: Reason,
        location: &'static Location<'static>,
        waker: Waker,
    ) {
        // SAFETY: the caller's contract.
        unsafe {
            place.write(Self::new(reason, location));
            (*place).begin_asleep(Waiter::Task(waker), now());
        }
    }

    /// Before the wait is queued: the task sleeps from the start, and this waker wakes it.
    pub(crate) fn doze(&mut self, waker: &Waker) {
        if self.is_asleep() && self.is_woken_by(waker) {
            // Left from an operation that did not have to wait after all.
            self.asleep_since.store(now(), Ordering::Relaxed);
            return;
        }
        let waker = waker.clone();
        // SAFETY: not queued.
        drop(unsafe { self.take_waiter() });
        self.begin_asleep(Waiter::Task(waker), now());
    }

    /// gopark of a task that is queued. `Some` if the wait has ended meanwhile; then nobody will wake it.
    pub(crate) fn fall_asleep_as_task(&self, waker: Waker) -> Option<Done> {
        self.fall_asleep(Waiter::Task(waker))
    }

    /// Is nobody to wake the owner, though the wait has not ended? A waker that panicked when it was cloned has kept it from
    /// falling asleep then. One look: the end of the wait, which clears ASLEEP, may come at any time.
    pub(crate) fn is_awake(&self) -> bool {
        let word = self.word.load(Ordering::Relaxed);
        word & ASLEEP == 0 && word & PHASE != DONE
    }

    /// Would the task be woken by this waker? For the owner, who has been asleep as a task. If the wait has ended, by the way
    /// in which it was: the waker may be gone.
    pub(crate) fn is_woken_by(&self, waker: &Waker) -> bool {
        // SAFETY: the owner has written it. Who ends the wait only reads it, so its bytes are those of a waiter still, and of
        // a waker that may be gone nothing but its pointers is compared.
        self.waiter
            .with(|cell| unsafe { matches!((*cell).assume_init_ref(), Waiter::Task(mine) if mine.will_wake(waker)) })
    }

    /// Changes the waker; returns the old one, to be dropped outside the locks.
    ///
    /// # Safety
    /// The caller is the owner, is asleep as a task, holds the locks of all channels on which the wait is queued, and has
    /// not found it done since.
    pub(crate) unsafe fn change_waker(&self, waker: Waker) -> Waiter {
        // SAFETY: who would move the waiter out needs one of the locks.
        self.waiter.with_mut(|cell| unsafe { std::mem::replace((*cell).assume_init_mut(), Waiter::Task(waker)) })
    }
}
