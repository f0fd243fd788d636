//! Blocks: the memory of records, cut into pieces of one size.
//!
//! An allocator of any program gives a record, which is some cache lines in size and begins one, a line or two more than that, and keeps
//! the pages of a million that have ended. A block is 64 KiB at a multiple of 64 KiB, so it is found from each of its pieces. Its
//! first line says what is free in it. One in which nothing is in use goes to a pool, from where its pages return to the
//! system (see `pool`), or it is cut into pieces of another size.
//!
//! Workers take and give whole chains of pieces, of which nobody looks at each. The scavenger takes those apart that nobody needed since it
//! last looked.
//!
//! **Invariants.** A piece is of its block's size, and at any time in one place: with a record, in a chain, or free in its block. A chain
//! is with a worker's [`Records`](super::record::Records), or is idle here. A block is in `open`, at the place that it knows, if some of
//! its pieces are in use and some are not; it is in the pool if none are.
//!
//! All of it has one lock, which is taken alone.

use super::idle::Idle;
use super::pool::{self, Pool, Slot, start_scavenger};
use crate::primitive::LINE;
use std::alloc::{Layout, handle_alloc_error};
use std::ptr::{self, NonNull};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The size of a block and what it is aligned to, in bytes.
const BLOCK: usize = 64 << 10;
/// Blocks that are kept ready though nobody may need them.
const KEPT: usize = 64;
/// The largest piece is so many cache lines.
pub(super) const CLASSES: usize = 16;
/// Pieces of a chain that is new: a worker's first record should not touch much more than itself.
const NEW_CHAIN: usize = 32;
/// Chains that are taken apart in one go.
const BATCH: usize = 8;

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
    /// Pieces that were in use.
    free: Chain,
    /// What was never in use since the block was taken: where it begins, in bytes from the block's beginning.
    uncut: usize,
}

const _: () = assert!(size_of::<Header>() <= LINE);

/// Some pieces of one class, each of which begins with a pointer to the next.
pub(super) struct Chain {
    first: *mut u8,
    len: usize,
}

// SAFETY: who has the chain has the pieces.
unsafe impl Send for Chain {}

impl Chain {
    pub(super) const fn new() -> Self {
        Self { first: ptr::null_mut(), len: 0 }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The piece that is taken next, or null.
    #[inline]
    pub(super) fn first(&self) -> *mut u8 {
        self.first
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<NonNull<u8>> {
        let piece = NonNull::new(self.first)?;
        // SAFETY: it is in the chain, so it begins with a pointer to the next.
        self.first = unsafe { piece.cast::<*mut u8>().read() };
        self.len -= 1;
        Some(piece)
    }

    /// # Safety
    /// The piece was taken, is nobody's, and of the class of the others.
    #[inline]
    pub(super) unsafe fn push(&mut self, piece: NonNull<u8>) {
        // SAFETY: a line is room for a pointer, and aligned for it.
        unsafe { piece.cast::<*mut u8>().write(self.first) };
        self.first = piece.as_ptr();
        self.len += 1;
    }
}

struct Blocks {
    /// Chains that no worker has. By class.
    idle: [Idle<Chain>; CLASSES],
    /// By class. Each pointer is good for the whole block, and nobody else looks at headers.
    open: [Vec<NonNull<Header>>; CLASSES],
    /// Those of which nothing is in use.
    pool: Pool,
}

// SAFETY: the headers are reached by who has this alone.
unsafe impl Send for Blocks {}

fn blocks() -> MutexGuard<'static, Blocks> {
    static BLOCKS: Mutex<Blocks> = Mutex::new(Blocks {
        idle: [const { Idle::new() }; CLASSES],
        open: [const { Vec::new() }; CLASSES],
        pool: Pool::new(),
    });
    BLOCKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes a chain, which has some pieces.
pub(super) fn take(class: Class) -> Chain {
    let mut blocks = blocks();
    if let Some(chain) = blocks.idle[class.0].take(1).next() {
        return chain;
    }
    let mut chain = Chain::new();
    for _ in 0..NEW_CHAIN {
        // SAFETY: just taken.
        unsafe { chain.push(blocks.take(class)) };
    }
    chain
}

/// Takes a single piece.
pub(super) fn take_one(class: Class) -> NonNull<u8> {
    blocks().take(class)
}

/// Takes a chain back.
pub(super) fn give(class: Class, chain: Chain) {
    blocks().idle[class.0].give([chain]);
    start_scavenger();
}

/// Takes a single piece back.
///
/// # Safety
/// It was taken, and is nobody's.
pub(super) unsafe fn give_one(piece: NonNull<u8>) {
    let mut blocks = blocks();
    // SAFETY: the caller's contract.
    let emptied = unsafe { blocks.give(piece) };
    blocks.pool.give(emptied);
    let has_many = blocks.pool.has_more_than(KEPT);
    drop(blocks);
    if has_many {
        start_scavenger();
    }
}

/// Takes the chains apart that nobody needed since the last time, and gives back what no record needs: see [`pool::scavenge`].
pub(super) fn scavenge() -> bool {
    let more = take_unneeded_apart();
    more | pool::scavenge(blocks, |blocks| &mut blocks.pool, BLOCK, KEPT)
}

/// Gives back all that no record needs, and no worker keeps.
pub(super) fn give_back_all() {
    blocks().idle.iter_mut().for_each(Idle::look);
    take_unneeded_apart();
    blocks().pool.need_none();
    pool::scavenge(blocks, |blocks| &mut blocks.pool, BLOCK, 0);
}

/// Takes the chains apart that nobody needed since the last time. True if there are others.
fn take_unneeded_apart() -> bool {
    (0..CLASSES).fold(false, |more, class| {
        while blocks().take_apart(class) {}
        let idle = &mut blocks().idle[class];
        idle.look();
        more | (idle.len() > 0)
    })
}

/// Has it anything that it does not keep?
pub(super) fn has_many() -> bool {
    let blocks = blocks();
    blocks.pool.has_more_than(KEPT) || blocks.idle.iter().any(|idle| idle.len() > 0)
}

impl Blocks {
    /// Takes some of the chains apart that were not needed. True if there may be more.
    fn take_apart(&mut self, class: usize) -> bool {
        for _ in 0..BATCH {
            let Some(mut chain) = self.idle[class].take_unneeded(1, 0).next() else { return false };
            while let Some(piece) = chain.pop() {
                // SAFETY: of a chain, so nobody's.
                let emptied = unsafe { self.give(piece) };
                self.pool.give_unneeded(emptied);
            }
        }
        true
    }

    fn take(&mut self, class: Class) -> NonNull<u8> {
        let block = self.open[class.0].last().copied().unwrap_or_else(|| self.start(class));
        // SAFETY: of an open block, whose header is ours, and whose pieces are either used, free, or were never cut.
        unsafe {
            let header = &mut *block.as_ptr();
            let piece = header.free.pop().unwrap_or_else(|| {
                let piece = block.cast::<u8>().add(header.uncut);
                header.uncut += class.lines() * LINE;
                piece
            });
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
        let header = Header { class, place: open.len(), used: 0, free: Chain::new(), uncut: LINE };
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

    /// Takes a piece back: its block, if nothing of that is in use any more.
    ///
    /// # Safety
    /// As for [`give_one`].
    unsafe fn give(&mut self, piece: NonNull<u8>) -> Option<Slot> {
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
        // SAFETY: the caller's contract, and all of a block's pieces are of its class.
        unsafe { header.free.push(piece) };
        header.used -= 1;
        if header.used > 0 {
            return None;
        }
        let place = header.place;
        open.swap_remove(place);
        if let Some(moved) = open.get(place) {
            // SAFETY: another block, whose header is ours.
            unsafe { (*moved.as_ptr()).place = place };
        }
        Some(Slot(block.cast()))
    }
}

impl Header {
    fn is_full(&self) -> bool {
        self.free.len() == 0 && self.uncut + self.class.lines() * LINE > BLOCK
    }
}
