//! The buffer: a queue of rings.
//!
//! Values sit in blocks, each of them a small ring buffer. Sends push into the last block and receives pop from the
//! first, so a channel whose load fits one block goes round in it for ever and allocates nothing. A burst adds blocks,
//! each twice as large as the one before up to [`LARGE`]; they are freed as they run empty. So neither a huge capacity
//! nor an unbounded channel costs anything before it is used, nothing is ever copied to grow, and a burst's memory goes
//! back to the allocator.
//!
//! Allocating and freeing is left to the caller, who does it outside the channel's lock: `push` needs [`Ring::has_room`]
//! or an [`install`](Ring::install)ed block, and `pop` hands back a block that has become superfluous.
//!
//! Invariants: `len` is the sum of the blocks' lengths; every block but the last has been full, and only the first and
//! the last may be empty; in each block the slots `start .. start + len` (mod `cap`) are initialised. Values of size
//! zero need no block, only `len`.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};

/// Bytes of the first block where the capacity does not say less.
const SMALL: usize = 1 << 10;
/// A bounded buffer of up to this many bytes is one block.
const WHOLE: usize = 32 << 10;
/// Bytes after which blocks grow no more.
const LARGE: usize = 256 << 10;

struct Header {
    next: Option<NonNull<Header>>,
    cap: usize,
    start: usize,
    len: usize,
}

/// A block that is in no ring: room that was allocated ahead, or room that is no longer needed.
#[must_use = "a block is allocated and freed outside the lock"]
pub(super) struct Block<T> {
    at: NonNull<Header>,
    _values: PhantomData<T>,
}

// SAFETY: a block outside a ring holds no values, it is memory.
unsafe impl<T> Send for Block<T> {}

impl<T> Block<T> {
    fn layout(cap: usize) -> (Layout, usize) {
        let slots = Layout::array::<T>(cap).expect("a block is smaller than the address space");
        let (layout, offset) =
            Layout::new::<Header>().extend(slots).expect("a block is smaller than the address space");
        (layout.pad_to_align(), offset)
    }

    /// Allocates room for `cap` values.
    pub(super) fn new(cap: usize) -> Self {
        let (layout, _) = Self::layout(cap);
        // SAFETY: the layout holds a header, so its size is not zero.
        let Some(at) = NonNull::new(unsafe { alloc(layout) }) else { handle_alloc_error(layout) };
        let at = at.cast::<Header>();
        // SAFETY: the memory is ours and aligned for a header.
        unsafe { at.write(Header { next: None, cap, start: 0, len: 0 }) };
        Self { at, _values: PhantomData }
    }

    /// Hangs `others` behind a block that is in no ring, to be freed with it.
    pub(super) fn chain(&mut self, others: Option<Self>) {
        // SAFETY: the block is ours.
        unsafe { self.at.as_mut().next = others.map(Self::into_header) };
    }

    fn into_header(self) -> NonNull<Header> {
        let at = self.at;
        std::mem::forget(self);
        at
    }

    /// The slots of a block.
    ///
    /// # Safety
    /// `at` is a block of a `Ring<T>`.
    #[inline]
    unsafe fn slots(at: NonNull<Header>) -> *mut MaybeUninit<T> {
        // SAFETY: slots lie behind the header, at the offset that the layout gave them.
        unsafe { at.as_ptr().byte_add(Self::offset()).cast() }
    }

    #[inline]
    const fn offset() -> usize {
        let align = std::mem::align_of::<T>();
        std::mem::size_of::<Header>().div_ceil(align) * align
    }
}

impl<T> Drop for Block<T> {
    fn drop(&mut self) {
        let mut at = Some(self.at);
        while let Some(block) = at {
            // SAFETY: the block, and what was hung behind it, is ours, in no ring, and was allocated with this layout.
            unsafe {
                at = block.as_ref().next;
                let (layout, _) = Self::layout(block.as_ref().cap);
                dealloc(block.as_ptr().cast(), layout);
            }
        }
    }
}

/// A FIFO of values in blocks.
#[repr(C)]
pub(super) struct Ring<T> {
    len: usize,
    head: Option<NonNull<Header>>,
    tail: Option<NonNull<Header>>,
    _values: PhantomData<T>,
}

// SAFETY: a ring owns its blocks and the values in them.
unsafe impl<T: Send> Send for Ring<T> {}

// SAFETY: a shared reference gives access to `len` only.
unsafe impl<T: Sync> Sync for Ring<T> {}

impl<T> Ring<T> {
    const UNSIZED: bool = std::mem::size_of::<T>() == 0;

    pub(super) const fn new() -> Self {
        Self { head: None, tail: None, len: 0, _values: PhantomData }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// May a value be pushed without another block?
    #[inline]
    pub(super) fn has_room(&self) -> bool {
        // SAFETY: blocks of the ring are alive.
        Self::UNSIZED || self.tail.is_some_and(|tail| unsafe { tail.as_ref().len < tail.as_ref().cap })
    }

    pub(super) fn is_one_full_block(&self) -> bool {
        !self.has_room() && self.head.is_some() && self.head == self.tail
    }

    /// How large the next block should be, in values, for a channel of this capacity.
    pub(super) fn next_block(&self, capacity: usize) -> usize {
        let size = std::mem::size_of::<T>().max(1);
        if capacity <= WHOLE / size {
            return capacity;
        }
        let grown = match self.tail {
            None => SMALL / size,
            // SAFETY: blocks of the ring are alive.
            Some(tail) => unsafe { tail.as_ref().cap }.saturating_mul(2).min(LARGE / size),
        };
        grown.clamp(1, capacity)
    }

    /// Appends an empty block.
    pub(super) fn install(&mut self, block: Block<T>) {
        let at = block.into_header();
        match self.tail {
            None => self.head = Some(at),
            // SAFETY: blocks of the ring are alive, and we have it exclusively.
            Some(mut tail) => unsafe { tail.as_mut().next = Some(at) },
        }
        self.tail = Some(at);
    }

    /// Moves the value behind `value` to the end.
    ///
    /// # Safety
    /// There is room, and `value` points to a value that the caller gives away.
    #[inline]
    pub(super) unsafe fn push(&mut self, value: *const T) {
        debug_assert!(self.has_room());
        self.len += 1;
        if Self::UNSIZED {
            return;
        }
        // SAFETY: there is room, so there is a tail, and its slot behind the last value is free.
        unsafe {
            let tail = self.tail.unwrap_unchecked();
            let header = &mut *tail.as_ptr();
            let mut at = header.start + header.len;
            if at >= header.cap {
                at -= header.cap;
            }
            header.len += 1;
            ptr::copy_nonoverlapping(value, Block::<T>::slots(tail).add(at).cast(), 1);
        }
    }

    /// Moves the first value to `room`. A block that this leaves superfluous is for the caller to drop.
    ///
    /// # Safety
    /// The ring is not empty, and `room` may be written.
    #[inline]
    pub(super) unsafe fn pop(&mut self, room: *mut T) -> Option<Block<T>> {
        debug_assert!(self.len > 0);
        self.len -= 1;
        if Self::UNSIZED {
            return None;
        }
        // SAFETY: not empty, so there is a head, and as empty blocks do not stay at the head, its first slot is full.
        unsafe {
            let head = self.head.unwrap_unchecked();
            let header = &mut *head.as_ptr();
            ptr::copy_nonoverlapping(Block::<T>::slots(head).add(header.start).cast(), room, 1);
            header.start += 1;
            if header.start == header.cap {
                header.start = 0;
            }
            header.len -= 1;
            if header.len > 0 { None } else { self.head_is_empty() }
        }
    }

    /// The first block has run empty: it goes if another follows, or if it is larger than a first block would be.
    #[cold]
    fn head_is_empty(&mut self) -> Option<Block<T>> {
        let head = self.head?;
        // SAFETY: blocks of the ring are alive.
        let (next, cap) = unsafe { (head.as_ref().next, head.as_ref().cap) };
        if next.is_none() && (cap == 1 || cap * std::mem::size_of::<T>() <= WHOLE) {
            return None;
        }
        self.head = next;
        if next.is_none() {
            self.tail = None;
        }
        // SAFETY: the block is ours now, and what follows it stays in the ring.
        unsafe { (*head.as_ptr()).next = None };
        Some(Block { at: head, _values: PhantomData })
    }
}

impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        /// Frees the blocks, also when a `T::drop` panics: the values behind that one leak, as in crossbeam-channel. To
        /// drop them while unwinding would turn a second panic into an abort.
        struct Rest<'a, T>(&'a mut Ring<T>);
        impl<T> Drop for Rest<'_, T> {
            fn drop(&mut self) {
                if let Some(at) = self.0.head.take() {
                    drop(Block::<T> { at, _values: PhantomData });
                }
            }
        }
        Rest(self).0.drop_values();
    }
}

impl<T> Ring<T> {
    fn drop_values(&mut self) {
        while self.len > 0 {
            if Self::UNSIZED {
                self.len -= 1;
                // SAFETY: a value of size zero is anywhere that is aligned; `len` counted it.
                unsafe { ptr::drop_in_place(NonNull::<T>::dangling().as_ptr()) };
                continue;
            }
            let Some(head) = self.head else { break };
            // SAFETY: as in `pop`; the value is dropped where it lies, after the ring has let go of it.
            unsafe {
                let header = &mut *head.as_ptr();
                if header.len == 0 {
                    drop(self.head_is_empty());
                    continue;
                }
                let value = Block::<T>::slots(head).add(header.start).cast::<T>();
                header.start = (header.start + 1) % header.cap;
                header.len -= 1;
                self.len -= 1;
                ptr::drop_in_place(value);
            }
        }
    }
}

impl<T> std::fmt::Debug for Ring<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").field("len", &self.len).finish_non_exhaustive()
    }
}
