//! The buffer: a queue of rings.
//!
//! Values sit in blocks, each of them a small ring buffer. Sends push into the last block and receives pop from the
//! first, so a channel whose load fits one block goes round in it for ever and allocates nothing. A burst adds blocks,
//! each twice as large as the one before up to [`LARGE`]; they are freed as they run empty. So neither a huge capacity
//! nor an unbounded channel costs anything before it is used, nothing is ever copied to grow, and a burst's memory goes
//! back to the allocator. Without a capacity, a block of more than [`MEDIUM`] is no more than a [`PART`]th of what is buffered
//! before it: nothing else limits the room that is not used.
//!
//! It has two ends, which two threads may use at once. Values are numbered as they come, modulo 2^32: `sendx` is the number of the
//! next to be pushed, `recvx` that of the next to be popped, and their difference the number of values. Whoever has the [`Tail`] and
//! knows a `recvx` that was true once may push [so many](Tail::room); whoever has the [`Head`] and knows such a `sendx` may pop [so
//! many](Head::values): what the other end has done since can only make it more. Blocks come and go while somebody has both [`Ends`].
//!
//! Allocating and freeing is left to the caller, who does it outside the channel's lock: a push needs [`Ends::has_room`]
//! or an [`install`](Ends::install)ed block, and a pop hands back a block that has become superfluous.
//!
//! Invariants: every block but the last has been full, and only the last may be empty, while it is new. A block that is alone is a
//! ring: its values lie in slots `start .. end` (mod `cap`). Of several, each knows `until` where its values go, if it is the last
//! until where they will when it is full; the first one has them from `start` on (mod `cap`), the others from slot 0 on. Headers are
//! written by who has both ends, and read where there are several blocks: beside the header lie slots, and who pushes a value had
//! better not wait for the line in which the other end reads one. Values of size zero need no block.

use crate::primitive::{LINE, will_write};
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};

/// The capacity of a buffer without one.
pub(crate) const UNBOUNDED: usize = usize::MAX;

/// Bytes of the first block where the capacity does not say less.
const SMALL: usize = 1 << 10;
/// A bounded buffer of up to this many bytes is one block.
const WHOLE: usize = 32 << 10;
/// Bytes after which the blocks of an unbounded buffer grow only with what is in it. If each were twice as large as the one before, there
/// would be as much room that is not used as there are values. It costs several senders that fill a large buffer up to a tenth of the time.
const MEDIUM: usize = 16 << 10;
/// That is, one of so many parts of it.
const PART: usize = 16;
/// Bytes after which blocks grow no more.
const LARGE: usize = 256 << 10;

/// So many values are numbered: no more are in a buffer.
pub(super) const MOST: usize = u32::MAX as usize;

struct Header {
    next: Option<NonNull<Header>>,
    cap: u32,
    /// The number of the value behind the last one, unless the block is alone.
    until: u32,
}

/// Room for a value.
struct Slot<T> {
    value: MaybeUninit<T>,
    /// A model checker sees who uses the slot when.
    #[cfg(gochan_loom)]
    seen: crate::primitive::UnsafeCell<()>,
}

impl<T> Slot<T> {
    /// Where the value is, of somebody who now puts one there, takes it, or frees the slot.
    ///
    /// # Safety
    /// The slot is one of a block's.
    #[inline(always)]
    unsafe fn value(slot: *mut Self) -> *mut T {
        // SAFETY: the caller's contract.
        unsafe {
            #[cfg(gochan_loom)]
            (*slot).seen.with_mut(drop);
            (&raw mut (*slot).value).cast()
        }
    }
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
        let slots = Layout::array::<Slot<T>>(cap).expect("a block is smaller than the address space");
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
        unsafe { at.write(Header { next: None, cap, until: 0 }) };
        #[cfg(gochan_loom)]
        for i in 0..cap as usize {
            // SAFETY: there are so many slots.
            unsafe { (&raw mut (*Self::slots(at).add(i)).seen).write(crate::primitive::UnsafeCell::new(())) };
        }
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
    unsafe fn slots(at: NonNull<Header>) -> *mut Slot<T> {
        // SAFETY: slots lie behind the header, at the offset that the layout gave them.
        unsafe { at.as_ptr().byte_add(Self::offset()).cast() }
    }

    #[inline]
    const fn offset() -> usize {
        let align = std::mem::align_of::<Slot<T>>();
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
                #[cfg(gochan_loom)]
                for i in 0..block.as_ref().cap as usize {
                    Slot::value(Self::slots(block).add(i));
                }
                let (layout, _) = Self::layout(block.as_ref().cap as usize);
                dealloc(block.as_ptr().cast(), layout);
            }
        }
    }
}

/// The end that values are pushed to.
#[repr(C)]
pub(super) struct Tail<T> {
    /// The last block.
    last: Option<NonNull<Header>>,
    /// The slot behind its last value; behind the last slot, it may stand for the first.
    end: u32,
    /// How many slots the block has if it is alone, else 0.
    ring: u32,
    _values: PhantomData<T>,
}

/// The end that values are popped from.
#[repr(C)]
pub(super) struct Head<T> {
    /// The first block.
    first: Option<NonNull<Header>>,
    /// The slot of its first value; behind the last slot, it stands for the first.
    start: u32,
    /// How many slots the block has.
    cap: u32,
    _values: PhantomData<T>,
}

// SAFETY: the ends own their blocks, and the values in them, together; a header is written by who has both.
unsafe impl<T: Send> Send for Tail<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Head<T> {}

const fn is_unsized<T>() -> bool {
    size_of::<T>() == 0
}

/// So many slots further there is another cache line.
const fn line<T>() -> u32 {
    LINE.div_ceil(if is_unsized::<T>() { LINE } else { size_of::<Slot<T>>() }) as u32
}

/// A block with room for more than this goes when it has run empty.
const fn kept<T>() -> u32 {
    let whole = WHOLE / if is_unsized::<T>() { 1 } else { size_of::<T>() };
    if whole > 1 { whole as u32 } else { 1 }
}

impl<T> Tail<T> {
    pub(super) const fn new() -> Self {
        Self { last: None, end: 0, ring: 0, _values: PhantomData }
    }

    /// How many values may be pushed without another block, if the next is the `sendx`th and all before the `recvx`th have been
    /// popped.
    #[inline]
    pub(super) fn room(&self, sendx: u32, recvx: u32) -> u32 {
        if is_unsized::<T>() {
            return MOST as u32 - sendx.wrapping_sub(recvx);
        }
        if self.ring == 0 {
            // SAFETY: blocks of the ring are alive, and headers are not written while somebody has one end.
            return self.last.map_or(0, |last| unsafe { last.as_ref() }.until.wrapping_sub(sendx));
        }
        self.ring - sendx.wrapping_sub(recvx)
    }

    /// Are all values in one block that stays when it has run empty? Then each pop makes room for a push, and each push is there to
    /// be popped.
    #[inline]
    pub(super) fn goes_round(&self) -> bool {
        is_unsized::<T>() || self.ring.wrapping_sub(1) < kept::<T>()
    }

    /// Moves the value behind `value` to the end.
    ///
    /// # Safety
    /// There is [room](Self::room), and `value` points to a value that the caller gives away.
    #[inline]
    pub(super) unsafe fn push(&mut self, value: *const T) {
        if is_unsized::<T>() {
            return;
        }
        // Of several blocks, none is a ring, and this one has never come to its end.
        if self.end == self.ring {
            self.end = 0;
        }
        // SAFETY: there is room, so there is a block, and the slot behind its last value is free.
        unsafe {
            let slot = Block::<T>::slots(self.last.unwrap_unchecked()).add(self.end as usize);
            ptr::copy_nonoverlapping(value, Slot::value(slot), 1);
            // Whoever has popped has the line, and what follows here would wait for it. Not beyond the end of a ring, where others may have
            // their things; with several blocks, there is no ring.
            if self.end + line::<T>() <= self.ring.wrapping_sub(1) {
                will_write(slot.wrapping_add(line::<T>() as usize));
            }
        }
        self.end += 1;
    }
}

impl<T> Head<T> {
    pub(super) const fn new() -> Self {
        Self { first: None, start: 0, cap: 0, _values: PhantomData }
    }

    /// How many values may be popped, none of which leaves a block superfluous, if the next is the `recvx`th and all before the
    /// `sendx`th have been pushed.
    #[inline]
    pub(super) fn values(&self, sendx: u32, recvx: u32) -> u32 {
        let all = sendx.wrapping_sub(recvx);
        if is_unsized::<T>() {
            return all;
        }
        let Some(first) = self.first else { return 0 };
        // SAFETY: as in `Tail::room`.
        let first = unsafe { first.as_ref() };
        match first.next {
            Some(_) => first.until.wrapping_sub(recvx) - 1,
            None if self.cap <= kept::<T>() => all,
            None => all.saturating_sub(1),
        }
    }

    /// Where the first value is.
    ///
    /// # Safety
    /// There is one.
    #[inline]
    unsafe fn slot(&mut self) -> *mut T {
        if is_unsized::<T>() {
            // A value of size zero is anywhere that is aligned.
            return NonNull::dangling().as_ptr();
        }
        if self.start == self.cap {
            self.start = 0;
        }
        // SAFETY: there is a value, so there is a block, and its first slot is full.
        unsafe { Slot::value(Block::<T>::slots(self.first.unwrap_unchecked()).add(self.start as usize)) }
    }

    /// Moves the first value to `room`.
    ///
    /// # Safety
    /// There [is one](Self::values), and `room` may be written.
    #[inline]
    pub(super) unsafe fn pop(&mut self, room: *mut T) {
        // SAFETY: the caller's contract.
        unsafe { ptr::copy_nonoverlapping(self.slot(), room, 1) };
        self.step();
    }

    /// The first value has gone.
    #[inline]
    fn step(&mut self) {
        self.start += u32::from(!is_unsized::<T>());
    }
}

/// Both ends, and how far they have come.
pub(super) struct Ends<'a, T> {
    pub(super) tail: &'a mut Tail<T>,
    pub(super) head: &'a mut Head<T>,
    pub(super) sendx: u32,
    pub(super) recvx: u32,
}

impl<T> Ends<'_, T> {
    pub(super) fn len(&self) -> usize {
        self.sendx.wrapping_sub(self.recvx) as usize
    }

    /// May a value be pushed without another block?
    #[inline]
    pub(super) fn has_room(&self) -> bool {
        self.tail.room(self.sendx, self.recvx) > 0
    }

    pub(super) fn is_one_full_block(&self) -> bool {
        !self.has_room() && self.tail.ring > 0
    }

    /// How large the next block should be, in values, for a channel of this capacity.
    pub(super) fn next_block(&self, capacity: usize) -> usize {
        let size = size_of::<T>().max(1);
        if capacity <= WHOLE / size {
            return capacity;
        }
        let grown = match self.tail.last {
            None => SMALL / size,
            // SAFETY: blocks of the ring are alive.
            Some(last) => (unsafe { last.as_ref() }.cap as usize).saturating_mul(2).min(LARGE / size),
        };
        let limit = if capacity == UNBOUNDED { (MEDIUM / size).max(self.len() / PART) } else { capacity };
        grown.min(limit).max(1)
    }

    /// Appends an empty block, where there is no room.
    pub(super) fn install(&mut self, block: Block<T>) {
        debug_assert!(!self.has_room());
        let mut at = block.into_header();
        // SAFETY: the block is ours.
        let header = unsafe { at.as_mut() };
        header.until = self.sendx.wrapping_add(header.cap);
        let ring = match self.tail.last {
            None => {
                *self.head = Head { first: Some(at), cap: header.cap, ..Head::new() };
                header.cap
            }
            Some(mut last) => {
                // SAFETY: blocks of the ring are alive, and we have both ends.
                let last = unsafe { last.as_mut() };
                last.next = Some(at);
                // It is full. If it was not alone, it knows that already.
                last.until = self.sendx;
                0
            }
        };
        *self.tail = Tail { last: Some(at), ring, ..Tail::new() };
    }

    /// Moves the value behind `value` to the end.
    ///
    /// # Safety
    /// There [is room](Self::has_room), and `value` points to a value that the caller gives away.
    #[inline]
    pub(super) unsafe fn push(&mut self, value: *const T) {
        debug_assert!(self.has_room());
        // SAFETY: the caller's contract.
        unsafe { self.tail.push(value) };
        self.sendx = self.sendx.wrapping_add(1);
    }

    /// Moves the first value to `room`. A block that this leaves superfluous is for the caller to drop.
    ///
    /// # Safety
    /// The ring is not empty, and `room` may be written.
    #[inline]
    pub(super) unsafe fn pop(&mut self, room: *mut T) -> Option<Block<T>> {
        debug_assert!(self.len() > 0);
        let stays = self.head.values(self.sendx, self.recvx) > 0;
        // SAFETY: the caller's contract.
        unsafe { self.head.pop(room) };
        self.recvx = self.recvx.wrapping_add(1);
        if stays { None } else { self.leave_first() }
    }

    /// The first block has run empty, and goes.
    #[cold]
    #[inline(never)]
    fn leave_first(&mut self) -> Option<Block<T>> {
        let mut at = self.head.first?;
        // SAFETY: blocks of the ring are alive, and we have both ends; what follows stays in the ring.
        let next = unsafe { at.as_mut() }.next.take();
        // SAFETY: as above.
        let cap = next.map_or(0, |next| unsafe { next.as_ref() }.cap);
        *self.head = Head { first: next, cap, ..Head::new() };
        match next {
            None => *self.tail = Tail::new(),
            _ if next == self.tail.last => self.tail.ring = cap,
            _ => {}
        }
        Some(Block { at, _values: PhantomData })
    }
}

/// A FIFO of values in blocks, that somebody has for himself.
pub(super) struct Ring<T> {
    tail: Tail<T>,
    head: Head<T>,
    sendx: u32,
    recvx: u32,
}

// SAFETY: a shared reference gives access to the number of values only.
unsafe impl<T: Sync> Sync for Ring<T> {}

impl<T> Ring<T> {
    pub(super) const fn new() -> Self {
        Self { tail: Tail::new(), head: Head::new(), sendx: 0, recvx: 0 }
    }

    /// What is in a buffer, which is empty thereafter.
    pub(super) fn take(ends: Ends<'_, T>) -> Self {
        Self {
            tail: std::mem::replace(ends.tail, Tail::new()),
            head: std::mem::replace(ends.head, Head::new()),
            sendx: ends.sendx,
            recvx: ends.recvx,
        }
    }

    fn ends(&mut self) -> Ends<'_, T> {
        Ends { tail: &mut self.tail, head: &mut self.head, sendx: self.sendx, recvx: self.recvx }
    }

    pub(super) fn len(&self) -> usize {
        self.sendx.wrapping_sub(self.recvx) as usize
    }

    /// As [`Ends::pop`].
    ///
    /// # Safety
    /// As for [`Ends::pop`].
    pub(super) unsafe fn pop(&mut self, room: *mut T) -> Option<Block<T>> {
        // SAFETY: the caller's contract.
        let block = unsafe { self.ends().pop(room) };
        self.recvx = self.recvx.wrapping_add(1);
        block
    }
}

#[allow(dead_code, reason = "tests and the fuzzer have a ring that they fill")]
impl<T> Ring<T> {
    /// Moves the value behind `value` to the end, in another block if there is no room.
    ///
    /// # Safety
    /// `value` points to a value that the caller gives away.
    pub(super) unsafe fn push(&mut self, capacity: usize, value: *const T) {
        if !self.ends().has_room() {
            let block = Block::new(self.next_block(capacity));
            self.ends().install(block);
        }
        // SAFETY: the caller's contract; there is room now.
        unsafe { self.ends().push(value) };
        self.sendx = self.sendx.wrapping_add(1);
    }

    pub(super) fn next_block(&mut self, capacity: usize) -> usize {
        self.ends().next_block(capacity)
    }
}

impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        /// Frees the blocks, also when a `T::drop` panics: the values behind that one leak, as in crossbeam-channel. To
        /// drop them while unwinding would turn a second panic into an abort.
        struct Rest<'a, T>(&'a mut Ring<T>);
        impl<T> Drop for Rest<'_, T> {
            fn drop(&mut self) {
                if let Some(at) = self.0.head.first.take() {
                    drop(Block::<T> { at, _values: PhantomData });
                }
            }
        }
        Rest(self).0.drop_values();
    }
}

impl<T> Ring<T> {
    fn drop_values(&mut self) {
        while self.len() > 0 {
            let mut ends = self.ends();
            let stays = ends.head.values(ends.sendx, ends.recvx) > 0;
            // SAFETY: the ring is not empty.
            let value = unsafe { ends.head.slot() };
            ends.head.step();
            ends.recvx = ends.recvx.wrapping_add(1);
            let _block = if stays { None } else { ends.leave_first() };
            self.recvx = self.recvx.wrapping_add(1);
            // SAFETY: the value is dropped where it lies, after the ring has let go of it, and before its block.
            unsafe { ptr::drop_in_place(value) };
        }
    }
}

impl<T> std::fmt::Debug for Ring<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").field("len", &self.len()).finish_non_exhaustive()
    }
}
