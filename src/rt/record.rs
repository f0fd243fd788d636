//! References to goroutines' records, and where a record's memory comes from.
//!
//! A goroutine is one allocation that two refer to: its worker and its handle. It is counted in the record itself, at its beginning,
//! which is found whatever the rest of it is. What has been a record becomes the next one's: each worker keeps the memory of some, by
//! size, and takes and gives the rest by the chain (see [`block`]). With 10,000 goroutines that start and end together the program's allocator took a third of the time; worse, it
//! gave the pages back after each wave, and faulted them in again for the next.
//!
//! Invariants: memory in a worker's chains is of their class, and nobody's. The chains are their worker's thread's alone, and while one
//! is borrowed nothing is called that could come back for it.

use super::block::{self, CLASSES, Chain, Class};
use super::current::current_worker;
use super::g::{G, Identity};
use super::prefetch::prefetch;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::UnsafeCell;
use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering;

/// Where a tool looks for uses after the end, the program's allocator has all records.
const BLOCKS: bool = cfg!(not(any(miri, gochan_corosensei)));
/// Pieces of a chain that is full. A worker keeps two of them at most: with more, goroutines that end in any order would leave a piece
/// in every block.
const FULL: usize = 128;

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

/// The class of a layout. `None` if the program's allocator has it.
#[inline]
fn class(layout: Layout) -> Option<Class> {
    if BLOCKS { Class::of(layout) } else { None }
}

#[inline]
fn take(layout: Layout) -> NonNull<u8> {
    if let (Some(class), Some(worker)) = (class(layout), current_worker()) {
        if let Some(memory) = worker.records.take(class) {
            return memory;
        }
    }
    allocate(layout.size(), layout.align())
}

/// Out of the way, and not to unwind: so what goes into the record need not be where unwinding would find it.
#[cold]
extern "C" fn allocate(size: usize, align: usize) -> NonNull<u8> {
    let layout = Layout::from_size_align(size, align).expect("one that was taken apart");
    let Some(class) = class(layout) else {
        // SAFETY: a record is not empty.
        return NonNull::new(unsafe { alloc(layout) }).unwrap_or_else(|| handle_alloc_error(layout));
    };
    match current_worker() {
        Some(worker) => worker.records.refill(class),
        None => block::take_one(class),
    }
}

/// # Safety
/// The memory was taken for this layout, and is nobody's any more.
#[inline]
unsafe fn give(memory: NonNull<u8>, layout: Layout) {
    // SAFETY: the caller's contract, in all three.
    unsafe {
        match (class(layout), current_worker()) {
            (Some(class), Some(worker)) => worker.records.give(class, memory),
            (Some(_), None) => block::give_one(memory),
            (None, _) => dealloc(memory.as_ptr(), layout),
        }
    }
}

/// The memory of records that a worker keeps.
pub(super) struct Records([List; CLASSES]);

/// That of one class: a chain in use, and one that is full, or empty.
struct List {
    current: UnsafeCell<Chain>,
    spare: UnsafeCell<Chain>,
}

impl Records {
    pub(super) fn new() -> Self {
        let list = || List { current: UnsafeCell::new(Chain::new()), spare: UnsafeCell::new(Chain::new()) };
        Self(std::array::from_fn(|_| list()))
    }

    /// The chains of a class.
    ///
    /// # Safety
    /// While they are in use nothing is called that could come back here.
    #[inline(always)]
    #[expect(clippy::mut_from_ref, reason = "a worker's, which is its thread's alone")]
    unsafe fn chains(&self, class: Class) -> (&mut Chain, &mut Chain) {
        let List { current, spare } = &self.0[class.index()];
        // SAFETY: the caller's contract.
        unsafe { (&mut *current.get(), &mut *spare.get()) }
    }

    #[inline]
    fn take(&self, class: Class) -> Option<NonNull<u8>> {
        // SAFETY: nothing is called but what a chain does, and a hint.
        let (current, _) = unsafe { self.chains(class) };
        let memory = current.pop()?;
        // Who starts one goroutine starts more, and a record is written from end to end.
        prefetch(current.first(), class.lines());
        Some(memory)
    }

    /// There is no more in use.
    fn refill(&self, class: Class) -> NonNull<u8> {
        // SAFETY: nothing is called but what a chain does.
        let is_empty = unsafe {
            let (current, spare) = self.chains(class);
            std::mem::swap(current, spare);
            current.len() == 0
        };
        if is_empty {
            let chain = block::take(class);
            // SAFETY: nothing is called.
            unsafe { *self.chains(class).0 = chain };
        }
        self.take(class).expect("a chain has some pieces")
    }

    /// # Safety
    /// The memory is of this class, and nobody's.
    #[inline]
    unsafe fn give(&self, class: Class, memory: NonNull<u8>) {
        // SAFETY: nothing is called but what a chain does: `rotate` when it is not used any more.
        let (current, _) = unsafe { self.chains(class) };
        // SAFETY: the caller's contract.
        unsafe { current.push(memory) };
        if current.len() == FULL {
            self.rotate(class);
        }
    }

    /// The one in use is full.
    #[cold]
    fn rotate(&self, class: Class) {
        // SAFETY: nothing is called but what a chain does.
        let full = unsafe {
            let (current, spare) = self.chains(class);
            std::mem::swap(current, spare);
            std::mem::replace(current, Chain::new())
        };
        if full.len() > 0 {
            block::give(class, full);
        }
    }
}

impl Drop for Records {
    fn drop(&mut self) {
        for chain in self.0.iter_mut().flat_map(|List { current, spare }| [current.get_mut(), spare.get_mut()]) {
            while let Some(memory) = chain.pop() {
                // SAFETY: of a chain, and so nobody's.
                unsafe { block::give_one(memory) };
            }
        }
    }
}
