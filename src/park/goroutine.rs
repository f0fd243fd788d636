//! A goroutine waits: the one seam through which this layer reaches the scheduler.
//!
//! The scheduler hands in a pointer that means something to it and the function that makes it runnable; nothing here
//! knows what a goroutine is, so the core builds without it.

use std::ptr::NonNull;

/// Names a parked goroutine to the scheduler that owns it. It is consumed exactly once.
#[derive(Debug)]
pub(crate) struct Goroutine {
    g: NonNull<()>,
    ready: unsafe fn(NonNull<()>),
}

// SAFETY: `new` demands that `ready` may be called with `g` from any thread.
unsafe impl Send for Goroutine {}
// SAFETY: a shared reference gives access to nothing.
unsafe impl Sync for Goroutine {}

impl Goroutine {
    /// # Safety
    /// `ready(g)` may be called once, from any thread, at any time after this.
    #[cfg_attr(not(test), expect(dead_code, reason = "the seam for goroutines"))]
    pub(crate) unsafe fn new(g: NonNull<()>, ready: unsafe fn(NonNull<()>)) -> Self {
        Self { g, ready }
    }

    pub(super) fn ready(self) {
        // SAFETY: by the contract of `new`; `self` is consumed.
        unsafe { (self.ready)(self.g) }
    }
}
