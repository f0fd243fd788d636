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
//! the last may be empty. What is needed of the first block lies in the ring itself, next to what else a section touches: in
//! the usual case, where there is one block, its slots `start .. start + len` (mod `cap`) are initialised. If there are more,
//! each knows its `len`, and has its values from slot 0 on, the first one from `start` on (mod `cap`). Values of size zero need
//! no block, only `len`.

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
    cap: u32,
    /// Of no meaning as long as this is the only block.
    len: u32,
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
        let cap = u32::try_from(cap).expect("no block is as large as that");
        // SAFETY: the memory is ours and aligned for a header.
        unsafe { at.write(Header { next: None, cap, len: 0 }) };
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
                let (layout, _) = Self::layout(block.as_ref().cap as usize);
                dealloc(block.as_ptr().cast(), layout);
            }
        }
    }
}

/// A FIFO of values in blocks.
#[repr(C)]
pub(super) struct Ring<T> {
    len: usize,
    first: Option<NonNull<Header>>,
    /// Where the first block's first value is.
    start: u32,
    /// The first block's, 0 if there is none.
    cap: u32,
    /// The last block, if that is another one.
    last: Option<NonNull<Header>>,
    _values: PhantomData<T>,
}

// SAFETY: a ring owns its blocks and the values in them.
unsafe impl<T: Send> Send for Ring<T> {}

// SAFETY: a shared reference gives access to `len` only.
unsafe impl<T: Sync> Sync for Ring<T> {}

impl<T> Ring<T> {
    const UNSIZED: bool = std::mem::size_of::<T>() == 0;
    /// A block with room for more than this goes when it has run empty.
    const KEPT: usize = {
        let whole = WHOLE / if Self::UNSIZED { 1 } else { std::mem::size_of::<T>() };
        if whole > 1 { whole } else { 1 }
    };

    pub(super) const fn new() -> Self {
        Self { len: 0, first: None, start: 0, cap: 0, last: None, _values: PhantomData }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// May a value be pushed without another block?
    #[inline]
    pub(super) fn has_room(&self) -> bool {
        match self.last {
            _ if Self::UNSIZED => true,
            None => self.len < self.cap as usize,
            // SAFETY: blocks of the ring are alive.
            Some(last) => unsafe { last.as_ref().len < last.as_ref().cap },
        }
    }

    /// Are there more values than so many, which no single block has room for?
    #[inline]
    pub(super) fn has_more_than(&self, many: usize) -> bool {
        debug_assert!(Self::UNSIZED || many >= LARGE);
        (Self::UNSIZED || self.last.is_some()) && self.len > many
    }

    pub(super) fn is_one_full_block(&self) -> bool {
        !self.has_room() && self.first.is_some() && self.last.is_none()
    }

    /// How large the next block should be, in values, for a channel of this capacity.
    pub(super) fn next_block(&self, capacity: usize) -> usize {
        let size = std::mem::size_of::<T>().max(1);
        if capacity <= WHOLE / size {
            return capacity;
        }
        let grown = match self.last.or(self.first) {
            None => SMALL / size,
            // SAFETY: blocks of the ring are alive.
            Some(last) => (unsafe { last.as_ref().cap } as usize).saturating_mul(2).min(LARGE / size),
        };
        grown.clamp(1, capacity)
    }

    /// Appends an empty block.
    pub(super) fn install(&mut self, block: Block<T>) {
        let at = block.into_header();
        let Some(mut first) = self.first else { return self.set_first(Some(at)) };
        // SAFETY: blocks of the ring are alive, and we have it exclusively.
        unsafe {
            match self.last {
                None => {
                    first.as_mut().len = self.len as u32;
                    first.as_mut().next = Some(at);
                }
                Some(mut last) => last.as_mut().next = Some(at),
            }
        }
        self.last = Some(at);
    }

    /// The block that values are now popped from, of which none has been.
    fn set_first(&mut self, first: Option<NonNull<Header>>) {
        // SAFETY: blocks of the ring are alive.
        self.cap = first.map_or(0, |first| unsafe { first.as_ref().cap });
        self.start = 0;
        self.first = first;
        if first == self.last {
            self.last = None;
        }
    }

    /// Moves the value behind `value` to the end.
    ///
    /// # Safety
    /// There is room, and `value` points to a value that the caller gives away.
    #[inline]
    pub(super) unsafe fn push(&mut self, value: *const T) {
        debug_assert!(self.has_room());
        let (mut at, cap) = (self.start as usize + self.len, self.cap as usize);
        self.len += 1;
        if Self::UNSIZED {
            return;
        }
        // SAFETY: there is room, so there is a block, and the slot behind its last value is free.
        unsafe {
            if let Some(last) = self.last {
                return Self::push_last(last, value);
            }
            if at >= cap {
                at -= cap;
            }
            let first = self.first.unwrap_unchecked();
            ptr::copy_nonoverlapping(value, Block::<T>::slots(first).add(at).cast(), 1);
        }
    }

    /// # Safety
    /// As for [`push`](Self::push); `last` is the last block, and not the first.
    #[inline]
    unsafe fn push_last(mut last: NonNull<Header>, value: *const T) {
        // SAFETY: there is room, and nothing has been popped from this block.
        unsafe {
            let header = last.as_mut();
            let at = header.len as usize;
            header.len += 1;
            ptr::copy_nonoverlapping(value, Block::<T>::slots(last).add(at).cast(), 1);
        }
    }

    /// Moves the first value to `room`. A block that this leaves superfluous is for the caller to drop.
    ///
    /// # Safety
    /// The ring is not empty, and `room` may be written.
    pub(super) unsafe fn pop(&mut self, room: *mut T) -> Option<Block<T>> {
        debug_assert!(self.len > 0);
        if Self::UNSIZED {
            self.len -= 1;
            return None;
        }
        // SAFETY: not empty, so there is a first block, and as empty blocks do not stay there, its first slot is full.
        unsafe {
            let first = self.first.unwrap_unchecked();
            ptr::copy_nonoverlapping(Block::<T>::slots(first).add(self.start as usize).cast(), room, 1);
        }
        self.advance()
    }

    /// As [`pop`](Self::pop), unless that would leave a block superfluous, or there are more than `most` values, which no single
    /// block has room for: then nothing happens, and this is false.
    ///
    /// # Safety
    /// The ring is not empty, and `room` may be written.
    #[inline]
    pub(super) unsafe fn pop_within(&mut self, most: usize, room: *mut T) -> bool {
        debug_assert!(self.len > 0 && (Self::UNSIZED || most >= LARGE));
        if Self::UNSIZED {
            let is_counted = self.len <= most;
            self.len -= usize::from(is_counted);
            return is_counted;
        }
        // SAFETY: as in `pop`; blocks of the ring are alive, and we have it exclusively.
        unsafe {
            let mut first = self.first.unwrap_unchecked();
            if self.last.is_some() {
                if self.len > most || first.as_ref().len == 1 {
                    return false;
                }
                first.as_mut().len -= 1;
            } else if self.len == 1 && self.cap as usize > Self::KEPT {
                return false;
            }
            ptr::copy_nonoverlapping(Block::<T>::slots(first).add(self.start as usize).cast(), room, 1);
        }
        self.step();
        true
    }

    /// The first value has gone from the first block. That goes, too, if nothing is left in it, and others follow or it is larger
    /// than a first block would be.
    fn advance(&mut self) -> Option<Block<T>> {
        self.step();
        let is_empty = match (self.last, self.first) {
            (Some(_), Some(mut first)) => {
                // SAFETY: blocks of the ring are alive, and we have it exclusively.
                let header = unsafe { first.as_mut() };
                header.len -= 1;
                header.len == 0
            }
            _ => self.len == 0 && self.cap as usize > Self::KEPT,
        };
        if is_empty { self.leave_first() } else { None }
    }

    #[inline]
    fn step(&mut self) {
        self.len -= 1;
        self.start += 1;
        if self.start == self.cap {
            self.start = 0;
        }
    }

    #[cold]
    #[inline(never)]
    fn leave_first(&mut self) -> Option<Block<T>> {
        let mut at = self.first?;
        // SAFETY: as above; what follows stays in the ring.
        let next = unsafe { at.as_mut() }.next.take();
        self.set_first(next);
        Some(Block { at, _values: PhantomData })
    }
}

impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        /// Frees the blocks, also when a `T::drop` panics: the values behind that one leak, as in crossbeam-channel. To
        /// drop them while unwinding would turn a second panic into an abort.
        struct Rest<'a, T>(&'a mut Ring<T>);
        impl<T> Drop for Rest<'_, T> {
            fn drop(&mut self) {
                if let Some(at) = self.0.first.take() {
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
            let Some(first) = self.first else { break };
            // SAFETY: as in `pop`; the value is dropped where it lies, after the ring has let go of it, and before its block.
            unsafe {
                let value = Block::<T>::slots(first).add(self.start as usize).cast::<T>();
                let _block = self.advance();
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
