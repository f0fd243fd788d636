//! Who is parked, for who looks while nothing else runs.
//!
//! Goroutines are found by their stacks: the word at the top of each slot names its owner from the first run to the end.
//! What is read of a goroutine belongs to its worker. So nothing of this may be called while a worker's thread runs: see
//! `src/debug/leaks/freeze.rs`.

use super::g::{G, Identity};
use super::slab;
use super::stack;
use crate::park::Wait;
#[cfg(target_os = "linux")]
use std::mem::MaybeUninit;
use std::ops::Range;
#[cfg(target_os = "linux")]
use std::ptr;
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A goroutine that has started and not ended.
#[derive(Clone, Debug)]
pub(crate) struct Resident {
    /// Its stack, from the lowest address to the base.
    pub(crate) slot: Range<usize>,
    /// Its record. The closure that it was started with lies there once more, moved out of.
    pub(crate) record: Range<usize>,
    g: NonNull<G>,
}

impl Resident {
    /// For what it waits, without a deadline; `None` if it does not, or if it was told to end.
    ///
    /// # Safety
    /// No worker's thread has run since this was found.
    pub(crate) unsafe fn waits_for_good(&self) -> Option<NonNull<Wait>> {
        // SAFETY: the owner of a slot is alive, by the caller's contract also now.
        let g = unsafe { self.g.as_ref() };
        let wait = NonNull::new(g.own.wait.get().cast_mut())?;
        // SAFETY: the wait of a goroutine that is parked is on its stack.
        let is_timed = unsafe { wait.as_ref() }.is_timed();
        (!is_timed && !g.is_told_to_end()).then_some(wait)
    }

    /// The part of its stack that is in use, if it does not run.
    ///
    /// # Safety
    /// As above.
    pub(crate) unsafe fn live(&self) -> Range<usize> {
        // SAFETY: as above.
        let stop = unsafe { self.g.as_ref() }.own.context.top().map(|top| top.addr());
        // Who has a free stack knows it by its lowest address, and may do so for long after.
        let stop = stop.filter(|stop| self.slot.contains(stop)).unwrap_or(self.slot.start + 1);
        stop..self.slot.end
    }

    /// Who it is. Allocates nothing.
    ///
    /// # Safety
    /// As above.
    pub(crate) unsafe fn identity(&self) -> Identity {
        // SAFETY: as above.
        unsafe { self.g.as_ref() }.identity.clone()
    }
}

/// Every goroutine that has started and not ended.
///
/// # Safety
/// No worker's thread runs.
pub(crate) unsafe fn residents(mut each: impl FnMut(Resident)) {
    stack::owned(|slot, g| {
        // SAFETY: the owner of a slot is alive.
        let size = unsafe { g.as_ref() }.own.size as usize;
        let start = g.addr().get();
        each(Resident { slot, record: start..start + size, g });
    });
}

/// The mappings that stacks are cut from.
pub(crate) fn stacks() -> impl Iterator<Item = Range<usize>> {
    slab::chunks().map(|(start, len, _)| start.0.addr().get()..start.0.addr().get() + len)
}

/// A thread by the system's number, and its stack.
#[derive(Clone, Debug)]
pub(crate) struct Thread {
    pub(crate) id: i32,
    pub(crate) stack: Range<usize>,
}

static WORKERS: Mutex<Vec<Thread>> = Mutex::new(Vec::new());

/// The threads that run goroutines. None begins or ends while this is held.
pub(crate) fn workers() -> MutexGuard<'static, Vec<Thread>> {
    WORKERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The calling thread is a worker's for as long as this lives.
pub(super) struct Works(Thread);

impl Works {
    pub(super) fn begin() -> Self {
        let thread = Thread::current();
        workers().push(thread.clone());
        Self(thread)
    }
}

impl Drop for Works {
    fn drop(&mut self) {
        workers().retain(|thread| thread.id != self.0.id);
    }
}

impl Thread {
    #[cfg(target_os = "linux")]
    pub(crate) fn current() -> Self {
        let mut attributes = MaybeUninit::uninit();
        let (mut start, mut size) = (ptr::null_mut(), 0);
        // SAFETY: the attributes are initialised by the first call, and destroyed.
        unsafe {
            if libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) == 0 {
                // What fails leaves an empty stack.
                libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut start, &raw mut size);
                libc::pthread_attr_destroy(attributes.as_mut_ptr());
            }
            Self { id: libc::gettid(), stack: start.addr()..start.addr() + size }
        }
    }

    /// Elsewhere nobody looks.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn current() -> Self {
        Self { id: 0, stack: 0..0 }
    }
}
