//! Blocks: the memory of records, cut into pieces of one size.
//!
//! An allocator of any program gives a record, which is some cache lines in size and begins one, a line or two more than that, and keeps
//! the pages of a million that have ended. A block is 64 KiB at a multiple of 64 KiB, so it is found from each of its pieces. Its
//! first line says what is free in it. One in which nothing is in use goes to a pool, from where its pages return to the
//! system (see `pool`), or it is cut into pieces of another size.
//!
//! **Invariants.** A piece is of its block's size, and at any time in one place: with a record, with a worker's
//! [`Records`](super::record::Records), or free in its block. A block is in `open`, at the place that it knows, if some of its
//! pieces are in use and some are not; it is in the pool if none are.
//!
//! All blocks have one lock, which is taken alone. Workers take and give many pieces at a time.

use super::pool::{self, Pool, Slot, start_scavenger};
use super::stack::LINE;
use std::alloc::{Layout, handle_alloc_error};
use std::ptr::{self, NonNull};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The size of a block and what it is aligned to, in bytes.
const BLOCK: usize = 64 << 10;
/// Blocks that are kept ready though nobody may need them.
const KEPT: usize = 64;
/// The largest piece is so many cache lines.
pub(super) const CLASSES: usize = 16;

/// The size of pieces: cache lines, less one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Class(usize);

impl Class {
    /// The class for a layout; `None` if there is none for it.
    #[inline]
    pub(super) fn of(layout: Layout) -> Option<Self> {
        let lines = layout.size().div_ceil(LINE);
        (layout.align() <= LINE && (1..=CLASSES).contains(&lines)).then(|| Self(lines - 1))
    }

    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..CLASSES).map(Self)
    }

    #[inline]
    pub(super) fn index(self) -> usize {
        self.0
    }

    #[inline]
    pub(super) fn lines(self) -> usize {
        self.0 + 1
    }
}

/// The first line of a block.
struct Header {
    class: Class,
    /// Its place in `open`, if it is there.
    place: usize,
    /// Pieces in use.
    used: usize,
    /// Pieces that were in use, each with a pointer to the next.
    free: *mut u8,
    /// What was never in use since the block was taken: where it begins, in bytes from the block's beginning.
    uncut: usize,
}

const _: () = assert!(size_of::<Header>() <= LINE);

struct Blocks {
    /// By class. Each pointer is good for the whole block, and nobody else looks at headers.
    open: [Vec<NonNull<Header>>; CLASSES],
    /// Those of which nothing is in use.
    pool: Pool,
}

// SAFETY: the headers are reached by who has this alone.
unsafe impl Send for Blocks {}

fn blocks() -> MutexGuard<'static, Blocks> {
    static BLOCKS: Mutex<Blocks> = Mutex::new(Blocks { open: [const { Vec::new() }; CLASSES], pool: Pool::new() });
    BLOCKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes so many pieces.
pub(super) fn take(class: Class, count: usize, mut each: impl FnMut(NonNull<u8>)) {
    let mut blocks = blocks();
    (0..count).for_each(|_| each(blocks.take(class)));
}

/// Takes pieces back.
///
/// # Safety
/// They were taken, and are nobody's.
pub(super) unsafe fn give(pieces: impl IntoIterator<Item = NonNull<u8>>) {
    let mut blocks = blocks();
    // SAFETY: the caller's contract.
    pieces.into_iter().for_each(|piece| unsafe { blocks.give(piece) });
    let has_many = blocks.pool.has_more_than(KEPT);
    drop(blocks);
    if has_many {
        start_scavenger();
    }
}

/// Gives back what no record needs: see [`pool::scavenge`].
pub(super) fn scavenge() -> bool {
    pool::scavenge(blocks, |blocks| &mut blocks.pool, BLOCK, KEPT)
}

/// Has the pool more than it keeps?
pub(super) fn has_many() -> bool {
    blocks().pool.has_more_than(KEPT)
}

impl Blocks {
    fn take(&mut self, class: Class) -> NonNull<u8> {
        let block = self.open[class.0].last().copied().unwrap_or_else(|| self.start(class));
        // SAFETY: of an open block, whose header is ours, and whose pieces are either used, free, or were never cut.
        unsafe {
            let header = &mut *block.as_ptr();
            let piece = match NonNull::new(header.free) {
                Some(piece) => {
                    header.free = piece.cast::<*mut u8>().read();
                    piece
                }
                None => {
                    let piece = block.cast::<u8>().add(header.uncut);
                    header.uncut += class.lines() * LINE;
                    piece
                }
            };
            header.used += 1;
            if header.is_full() {
                self.open[class.0].pop();
            }
            piece
        }
    }

    /// Another block for this class.
    fn start(&mut self, class: Class) -> NonNull<Header> {
        let mut free = Vec::new();
        self.pool.take(1, &mut free);
        let Slot(block) = free.pop().unwrap_or_else(|| self.cut());
        let block = block.cast::<Header>();
        let open = &mut self.open[class.0];
        let header = Header { class, place: open.len(), used: 0, free: ptr::null_mut(), uncut: LINE };
        // SAFETY: nobody's, large enough, and aligned.
        unsafe { block.write(header) };
        open.push(block);
        block
    }

    fn cut(&mut self) -> Slot {
        let map = |before| {
            // Aligned, it has one less.
            let (start, len) = pool::map(2 * BLOCK, before)?;
            let gap = start.align_offset(BLOCK);
            // SAFETY: within the mapping.
            Ok::<_, std::io::Error>((Slot(unsafe { start.add(gap) }), len - BLOCK))
        };
        let slot = self.pool.uncut(BLOCK, map).unwrap_or_else(|_| handle_alloc_error(Layout::new::<[u8; BLOCK]>()));
        self.pool.cut(BLOCK);
        slot
    }

    /// # Safety
    /// As of the function.
    unsafe fn give(&mut self, piece: NonNull<u8>) {
        // SAFETY: a piece lies in its block, and the pointer is good for all of that. Headers are ours.
        let (block, header) = unsafe {
            let block = piece.sub(piece.addr().get() % BLOCK).cast::<Header>();
            (block, &mut *block.as_ptr())
        };
        let open = &mut self.open[header.class.0];
        if header.is_full() {
            header.place = open.len();
            open.push(block);
        }
        // SAFETY: nobody's, and a line is room for a pointer, and aligned for it.
        unsafe { piece.cast::<*mut u8>().write(header.free) };
        header.free = piece.as_ptr();
        header.used -= 1;
        if header.used == 0 {
            let place = header.place;
            open.swap_remove(place);
            if let Some(moved) = open.get(place) {
                // SAFETY: another block, whose header is ours.
                unsafe { (*moved.as_ptr()).place = place };
            }
            self.pool.give([Slot(block.cast())]);
        }
    }
}

impl Header {
    fn is_full(&self) -> bool {
        self.free.is_null() && self.uncut + self.class.lines() * LINE > BLOCK
    }
}
