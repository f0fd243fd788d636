//! An async task waits: its waker is what a [`Ready`](super::Ready) carries.
//!
//! A task queues itself as a thread does, awake, and falls asleep once the lock is given back, so that its waker is cloned
//! outside the lock. When it is polled again with another waker, the waker is changed under the lock of every channel on
//! which the wait is queued: whoever ends the wait holds one of them.

use super::{ASLEEP, DONE, Done, PHASE, Wait, Waiter};
use crate::primitive::Ordering;
use std::task::Waker;

impl Wait {
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

    /// The waker of a wait that nobody will wake, to be dropped where that does no harm: outside of locks, and when whatever
    /// the wait has brought is safe.
    ///
    /// # Safety
    /// The wait is on no queue.
    pub(crate) unsafe fn take_waker(&self) -> Option<Waiter> {
        // SAFETY: nobody but the owner knows the wait.
        self.waiter.with_mut(|cell| unsafe { (*cell).take() })
    }

    /// Would the task be woken by this waker?
    ///
    /// # Safety
    /// The caller is the owner, fell asleep as a task, holds the locks of all channels on which the wait is queued, and has
    /// not found it done since.
    pub(crate) unsafe fn is_woken_by(&self, waker: &Waker) -> bool {
        // SAFETY: who would take the waiter needs one of the locks.
        self.waiter.with(|cell| unsafe { matches!(&*cell, Some(Waiter::Task(mine)) if mine.will_wake(waker)) })
    }

    /// Changes the waker; returns the old one, to be dropped outside the locks.
    ///
    /// # Safety
    /// As for [`is_woken_by`](Self::is_woken_by).
    pub(crate) unsafe fn change_waker(&self, waker: Waker) -> Option<Waiter> {
        // SAFETY: as above.
        self.waiter.with_mut(|cell| unsafe { (*cell).replace(Waiter::Task(waker)) })
    }
}
