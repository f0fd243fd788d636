//! An allocator that knows its blocks, so that what they hold counts only if somebody can get at it.
//!
//! Each block has a header in front of it, by which it is in one of a few lists; who looks for leaks holds their locks, and so
//! finds all blocks that there are. What is freed is zeroed: what was in it would look as if it were still to be had.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ops::Range;
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The system's allocator, for who wants to know more exactly what leaks.
///
/// [`leaks`](super::leaks()) must take everything on the heap for reachable, unless it knows where blocks begin and end, and so
/// which are reachable themselves. With this as the global allocator it does: a handle in an `Arc`, of which only stuck
/// goroutines have clones, keeps nobody alive.
///
/// It is meant for tests and for hunting: each block takes 32 bytes more, each allocation a lock, and what is freed is zeroed.
/// Pointers must be stored as such: what is kept only with its bits changed (the links of an XOR list) is not found.
///
/// Go's collector knows all of this by itself.
///
/// # Examples
///
/// ```
/// #[global_allocator]
/// static HEAP: gochan::debug::Heap = gochan::debug::Heap::new();
///
/// # fn main() {
/// assert_eq!(vec![1, 2, 3].len(), 3);
/// # }
/// ```
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Heap;

impl Heap {
    /// The allocator.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

/// What lies before a block.
#[repr(C, align(32))]
struct Header {
    /// The neighbours in its list, which is a ring.
    next: *mut Header,
    prev: *mut Header,
    /// How large the block behind is.
    size: usize,
}

struct List {
    /// The first of the ring.
    ring: *mut Header,
    len: usize,
}

// SAFETY: the headers are reached under the lock.
unsafe impl Send for List {}

const LISTS: usize = 64;
static BLOCKS: [Mutex<List>; LISTS] = [const { Mutex::new(List { ring: ptr::null_mut(), len: 0 }) }; LISTS];

fn list(header: *mut Header) -> MutexGuard<'static, List> {
    BLOCKS[header.addr() / 1024 % LISTS].lock().unwrap_or_else(PoisonError::into_inner)
}

impl List {
    /// # Safety
    /// The header is of a block that is in no list.
    unsafe fn insert(&mut self, header: *mut Header) {
        // SAFETY: the caller's contract; those in the list are alive.
        unsafe {
            if self.ring.is_null() {
                ((*header).next, (*header).prev) = (header, header);
                self.ring = header;
            } else {
                let (next, prev) = (self.ring, (*self.ring).prev);
                ((*header).next, (*header).prev) = (next, prev);
                (*next).prev = header;
                (*prev).next = header;
            }
        }
        self.len += 1;
    }

    /// # Safety
    /// The header is of a block that is in this list.
    unsafe fn remove(&mut self, header: *mut Header) {
        // SAFETY: the caller's contract; its neighbours are alive.
        unsafe {
            let (next, prev) = ((*header).next, (*header).prev);
            (*next).prev = prev;
            (*prev).next = next;
            self.ring = if next == header { ptr::null_mut() } else { next };
        }
        self.len -= 1;
    }
}

/// What is asked of the system for a block, and how many bytes of that come before it: the header lies right before the block,
/// whose alignment is at least the header's. And some bytes behind it: where the system links what is free it names it by what
/// may be the last bytes of the block before.
fn around(block: Layout) -> Option<(Layout, usize)> {
    let (whole, before) = Layout::new::<Header>().extend(block.align_to(align_of::<Header>()).ok()?).ok()?;
    let size = whole.size().checked_add(2 * size_of::<usize>())?;
    Some((Layout::from_size_align(size, whole.align()).ok()?, before))
}

// SAFETY: the blocks are the system's, each with room in front of it, of which nobody else knows.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some((whole, before)) = around(layout) else { return ptr::null_mut() };
        // SAFETY: it has a size.
        let start = unsafe { System.alloc(whole) };
        if start.is_null() {
            return start;
        }
        // SAFETY: the header has its place right before the block, whose alignment is at least its own.
        unsafe {
            let block = start.add(before);
            let header = block.cast::<Header>().sub(1);
            (*header).size = layout.size();
            list(header).insert(header);
            block
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some((whole, before)) = around(layout) else { return };
        // SAFETY: the block was allocated above, and is the caller's no more.
        unsafe {
            let header = block.cast::<Header>().sub(1);
            list(header).remove(header);
            let start = block.sub(before);
            // Volatile: nobody reads it before it is freed, but for us.
            for word in 0..whole.size() / size_of::<usize>() {
                start.cast::<usize>().add(word).write_volatile(0);
            }
            for byte in whole.size() / size_of::<usize>() * size_of::<usize>()..whole.size() {
                start.add(byte).write_volatile(0);
            }
            System.dealloc(start, whole);
        }
    }
}

/// All blocks: none comes or goes while this is held. Who holds it allocates and frees nothing.
pub(super) struct Locked([MutexGuard<'static, List>; LISTS]);

impl Locked {
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|at| BLOCKS[at].lock().unwrap_or_else(PoisonError::into_inner)))
    }

    pub(super) fn each(&self, mut each: impl FnMut(Range<usize>)) {
        for list in &self.0 {
            let mut header = list.ring;
            for _ in 0..list.len {
                let start = header.addr() + size_of::<Header>();
                // SAFETY: those in the list are alive while it is locked.
                let Header { next, size, .. } = unsafe { &*header };
                each(start..start + size);
                header = *next;
            }
        }
    }
}
