//! A task that waits on several channels: its wait, and the waker in it.
//!
//! Invariant: while the wait is on a queue, its waker is changed under the locks of all channels, since whoever ends the
//! wait holds one of them.

use super::Case;
use super::held::Held;
use crate::park::{Reason, Wait};
use std::panic::Location;
use std::ptr;
use std::task::{Context, Waker};

/// The wait of a task. Reached by raw pointer once it is queued.
pub(super) struct TaskWait {
    pub(super) wait: Wait,
    /// The waker that the wait has, which is alive for as long: only to be compared.
    waker: (*const (), *const ()),
}

// SAFETY: the pointers in it are compared only.
unsafe impl Send for TaskWait {}
// SAFETY: a shared reference gives access to nothing.
unsafe impl Sync for TaskWait {}

fn identity(waker: &Waker) -> (*const (), *const ()) {
    (waker.data(), ptr::from_ref(waker.vtable()).cast())
}

impl TaskWait {
    pub(super) fn new(reason: Reason, at: &'static Location<'static>) -> Self {
        Self { wait: Wait::new(reason, at), waker: (ptr::null(), ptr::null()) }
    }

    /// Queued, with no lock in hand: falls asleep, unless the wait has ended.
    ///
    /// # Safety
    /// `this` is pinned, queued and not asleep.
    pub(super) unsafe fn fall_asleep(this: *mut Self, cx: &Context<'_>) {
        let waker = cx.waker().clone();
        // SAFETY: the caller's contract; others touch only what is atomic or in cells.
        unsafe {
            (*this).waker = identity(&waker);
            let _ = (*this).wait.fall_asleep_as_task(waker);
        }
    }

    /// Polled again while it waits: sees to it that the waker is this one. False if the wait has ended.
    ///
    /// # Safety
    /// `this` is pinned and queued on channels of `cases`.
    pub(super) unsafe fn keep_waker(this: *mut Self, cases: &[Case<'_>], cx: &Context<'_>) -> bool {
        // SAFETY: the caller's contract; others touch only what is atomic or in cells.
        unsafe {
            if (*this).wait.is_awake() {
                Self::fall_asleep(this, cx);
                return (*this).wait.done().is_none();
            }
            if (*this).waker == identity(cx.waker()) {
                return true;
            }
            let waker = cx.waker().clone();
            let identity = identity(&waker);
            // Under all locks nobody is about to end the wait.
            let mut held = Held::none();
            held.lock(cases);
            if (*this).wait.done().is_some() {
                return false;
            }
            let old = (*this).wait.change_waker(waker);
            (*this).waker = identity;
            held.release(ptr::null());
            drop(old);
            true
        }
    }
}
