//! An allocator that counts. It counts per thread, so that tests that run beside each other do not mix.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Once;

/// Made the global allocator by the test that wants to count.
pub(crate) struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    static LIVE_BYTES: Cell<isize> = const { Cell::new(0) };
}

/// What is done once in a process, when its first channel is made, is not counted.
fn begin() {
    static FIRST: Once = Once::new();
    FIRST.call_once(|| drop(gochan::bounded::<()>(0)));
}

/// How often this thread has allocated.
pub(crate) fn allocations() -> usize {
    begin();
    ALLOCATIONS.get()
}

/// Counts the allocations of `f`, which has run before.
pub(crate) fn allocations_of(mut f: impl FnMut()) -> usize {
    f();
    let before = allocations();
    f();
    allocations() - before
}

/// The bytes that this thread has allocated, less those it has freed.
pub(crate) fn live_bytes() -> isize {
    begin();
    LIVE_BYTES.get()
}

// SAFETY: everything is left to the system's allocator. The counters are initialised by constants and need no drop, so
// they can be used at any time of a thread and allocate nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        LIVE_BYTES.set(LIVE_BYTES.get() + layout.size() as isize);
        // SAFETY: the caller's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE_BYTES.set(LIVE_BYTES.get() - layout.size() as isize);
        // SAFETY: the caller's contract.
        unsafe { System.dealloc(at, layout) }
    }
}
