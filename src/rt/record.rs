//! References to goroutines' records, and where a record's memory comes from.
//!
//! A goroutine is one allocation that two refer to: its worker and its handle. It is counted in the record itself, at its beginning,
//! which is found whatever the rest of it is. What
//! has been a record becomes the next one's: each worker keeps the memory of some, by size. With 10,000 goroutines that start and
//! end together the allocator took a third of the time; worse, it gave the pages back after each wave, and faulted them in
//! again for the next.
//!
//! Invariant: memory in a worker's list is of the list's size, and nobody's.

use super::current::current_worker;
use super::g::{G, Identity};
use super::prefetch::prefetch;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering;

/// Bytes by which the sizes differ: a cache line, to which records are aligned.
const STEP: usize = 64;
/// The largest size that is kept is so many steps.
const CLASSES: usize = 16;
/// Bytes of memory that one worker keeps. Where a tool looks for uses after the end, none.
const KEPT: usize = if cfg!(any(miri, gochan_corosensei)) { 0 } else { 4 << 20 };

/// What counts its references.
///
/// # Safety
/// It begins with a [`G`].
pub(super) unsafe trait Counted {}

/// A reference to a record.
pub(super) struct Ref<B: ?Sized + Counted>(NonNull<B>);

// SAFETY: as for `Arc`.
unsafe impl<B: ?Sized + Counted + Send + Sync> Send for Ref<B> {}
// SAFETY: as for `Arc`.
unsafe impl<B: ?Sized + Counted + Send + Sync> Sync for Ref<B> {}

impl<B: Counted> Ref<B> {
    /// The worker's reference and the handle's.
    ///
    /// The memory comes first, so that the record is made where it stays. What a function returns in four cache lines and is copied from
    /// there, right after it was written in words, waits for those.
    #[inline(always)]
    pub(super) fn two(make: impl FnOnce() -> B) -> (Self, Self) {
        let memory = take(Layout::new::<B>()).cast::<B>();
        // SAFETY: the memory is of that layout, and ours.
        unsafe {
            memory.write(make());
            // Relaxed: nobody else knows it.
            memory.cast::<G>().as_ref().references.store(2, Ordering::Relaxed);
        }
        (Self(memory), Self(memory))
    }
}

impl<B: ?Sized + Counted> Ref<B> {
    /// What the scheduler knows of it.
    #[inline(always)]
    pub(super) fn g(&self) -> &G {
        // SAFETY: whatever is counted does.
        unsafe { self.begins_with() }
    }

    /// # Safety
    /// The record begins with that.
    #[inline(always)]
    pub(super) unsafe fn begins_with<A>(&self) -> &A {
        // SAFETY: counted, so it lives; the caller's contract.
        unsafe { self.0.cast().as_ref() }
    }

    /// What is known of it from its start.
    pub(super) fn identity(&self) -> &Identity {
        &self.g().identity
    }

    /// The same record behind a trait.
    ///
    /// # Safety
    /// `unsize` does nothing but coerce, and says of no lifetime that it is longer than how long the reference is used for.
    pub(super) unsafe fn unsized_by<C: ?Sized + Counted>(self, unsize: impl FnOnce(*mut B) -> *mut C) -> Ref<C> {
        let record = unsize(self.into_raw());
        // SAFETY: a coercion does not make it null.
        Ref(unsafe { NonNull::new_unchecked(record) })
    }

    fn into_raw(self) -> *mut B {
        let record = self.0.as_ptr();
        std::mem::forget(self);
        record
    }
}

impl<B: ?Sized + Counted> Clone for Ref<B> {
    fn clone(&self) -> Self {
        // Relaxed: who clones has a reference.
        self.g().references.fetch_add(1, Ordering::Relaxed);
        Self(self.0)
    }
}

impl<B: ?Sized + Counted> Deref for Ref<B> {
    type Target = B;

    #[inline]
    fn deref(&self) -> &B {
        // SAFETY: counted, so it lives.
        unsafe { self.0.as_ref() }
    }
}

impl<B: ?Sized + Counted> Drop for Ref<B> {
    #[inline]
    fn drop(&mut self) {
        let references = &self.g().references;
        // Whoever sees that he has the only one need not count: there is nobody to clone it. Acquire, and release: what the others were
        // used for is done when the last one goes.
        if references.load(Ordering::Acquire) != 1 {
            if references.fetch_sub(1, Ordering::Release) != 1 {
                return;
            }
            // A load, which ThreadSanitizer knows; a fence it does not.
            references.load(Ordering::Acquire);
        }
        let layout = Layout::for_value(&**self);
        // SAFETY: this was the last reference, and the memory is of that layout, as `two` took it.
        unsafe {
            ptr::drop_in_place(self.0.as_ptr());
            give(self.0.cast(), layout);
        }
    }
}

/// The class of a layout, and what is really allocated. `None` if it is not kept.
#[inline]
fn class(layout: Layout) -> Option<(usize, Layout)> {
    let steps = layout.size().div_ceil(STEP);
    if layout.align() > STEP || steps == 0 || steps > CLASSES {
        return None;
    }
    Some((steps - 1, Layout::from_size_align(steps * STEP, STEP).expect("a few cache lines")))
}

#[inline]
fn take(layout: Layout) -> NonNull<u8> {
    let kept = class(layout);
    if let (Some((class, _)), Some(worker)) = (kept, current_worker()) {
        if let Some(memory) = worker.records.take(class) {
            return memory;
        }
    }
    let layout = kept.map_or(layout, |(_, layout)| layout);
    allocate(layout.size(), layout.align())
}

/// Out of the way, and not to unwind: so what goes into the record need not be where unwinding would find it.
#[cold]
extern "C" fn allocate(size: usize, align: usize) -> NonNull<u8> {
    let layout = Layout::from_size_align(size, align).expect("one that was taken apart");
    // SAFETY: a record is not empty.
    NonNull::new(unsafe { alloc(layout) }).unwrap_or_else(|| handle_alloc_error(layout))
}

/// # Safety
/// The memory was taken for this layout, and is nobody's any more.
#[inline]
unsafe fn give(memory: NonNull<u8>, layout: Layout) {
    let kept = class(layout);
    if let (Some((class, _)), Some(worker)) = (kept, current_worker()) {
        // SAFETY: the caller's contract.
        if unsafe { worker.records.give(class, memory) } {
            return;
        }
    }
    // SAFETY: allocated so by `take`.
    unsafe { dealloc(memory.as_ptr(), kept.map_or(layout, |(_, layout)| layout)) };
}

/// The memory of records that a worker keeps.
pub(super) struct Records {
    /// By class; each piece begins with a pointer to the next.
    free: [Cell<*mut u8>; CLASSES],
    bytes: Cell<usize>,
}

impl Records {
    pub(super) fn new() -> Self {
        Self { free: [const { Cell::new(ptr::null_mut()) }; CLASSES], bytes: Cell::new(0) }
    }

    #[inline]
    fn take(&self, class: usize) -> Option<NonNull<u8>> {
        let first = NonNull::new(self.free[class].get())?;
        // SAFETY: it is in the list, so it begins with a pointer to the next.
        let next = unsafe { first.cast::<*mut u8>().read() };
        self.free[class].set(next);
        // Who starts one goroutine starts more, and a record is written from end to end.
        prefetch(next, class + 1);
        self.bytes.set(self.bytes.get() - (class + 1) * STEP);
        Some(first)
    }

    /// False if there is enough.
    ///
    /// # Safety
    /// The memory is of this class, and nobody's.
    #[inline]
    unsafe fn give(&self, class: usize, memory: NonNull<u8>) -> bool {
        let bytes = self.bytes.get() + (class + 1) * STEP;
        if bytes > KEPT {
            return false;
        }
        self.bytes.set(bytes);
        // SAFETY: a step is room for a pointer, and is aligned for it.
        unsafe { memory.cast::<*mut u8>().write(self.free[class].get()) };
        self.free[class].set(memory.as_ptr());
        true
    }
}

impl Drop for Records {
    fn drop(&mut self) {
        for class in 0..CLASSES {
            while let Some(memory) = self.take(class) {
                let layout = Layout::from_size_align((class + 1) * STEP, STEP).expect("a few cache lines");
                // SAFETY: allocated so by `take`, the function.
                unsafe { dealloc(memory.as_ptr(), layout) };
            }
        }
    }
}
