//! Slabs: the memory of stacks, cut into slots of one size.
//!
//! A slot is a stack's address space, its guard page (see `guard`) at the low end. Slots are cut from chunks, large
//! mappings that take no memory until they are touched, so that a million stacks are a few hundred mappings; they lie a page apart
//! (see [`Class::stride`]). A chunk is never unmapped: what a stack gives back is its pages.
//!
//! **Invariant.** A slot is cut once, has its guard from then on, and is at any time in one place: with a
//! [`Stack`](super::stack::Stack), with a worker's [`Stacks`](super::stack::Stacks), or in the pool of its size, from where its
//! pages return to the system (see `pool`).
//!
//! The list of chunks is read without any lock, by the handler of a signal.

use super::guard::{self, page_size};
use super::pool::{self, Pool, Slot, start_scavenger};
use super::stack::StackError;
use corosensei::stack::valgrind::ValgrindStackRegistration;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

const SMALLEST_SLOT: usize = 64 << 10;
/// Address space of stacks that are kept ready though nobody may need them, by each worker and by each pool.
const KEPT: usize = 16 << 20;

/// A size of slots: a power of two, by its logarithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Class(u32);

impl Class {
    pub(super) const COUNT: usize = (usize::BITS - SMALLEST_SLOT.trailing_zeros()) as usize;

    /// The smallest class of at least `size` bytes. No more than half of a slot is guard.
    #[inline]
    pub(super) fn of(size: usize) -> Self {
        let size = size.max(SMALLEST_SLOT).max(2 * page_size());
        Self((usize::BITS - (size - 1).leading_zeros()).min(usize::BITS - 1))
    }

    pub(super) fn all() -> impl Iterator<Item = Self> {
        (SMALLEST_SLOT.trailing_zeros()..usize::BITS).map(Self)
    }

    pub(super) fn log2(self) -> u32 {
        self.0
    }

    pub(super) fn size(self) -> usize {
        1 << self.0
    }

    /// How far slots are apart: a page more, which is never touched. At powers of two the tops of stacks, of which one after the other is used,
    /// would fall on a sixteenth of the sets by which a page's address is looked up, or on fewer. On a processor of AMD's family 25 with 1 MiB
    /// of second-level cache a hop in a ring of 503 takes 0.87 of the time since, and one in a sieve of 2,000 0.73.
    #[inline]
    pub(super) fn stride(self) -> usize {
        self.size() + page_size()
    }

    pub(super) fn index(self) -> usize {
        (self.0 - SMALLEST_SLOT.trailing_zeros()) as usize
    }

    /// How many are kept ready.
    pub(super) fn kept(self) -> usize {
        KEPT >> self.0
    }

    fn pool(self) -> MutexGuard<'static, Pool> {
        static POOLS: [Mutex<Pool>; Class::COUNT] = [const { Mutex::new(Pool::new()) }; Class::COUNT];
        POOLS[self.index()].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A mapping that is cut into slots.
struct Chunk {
    start: Slot,
    len: usize,
    class: Class,
    /// The chunk before.
    next: *const Chunk,
}

/// The chunk that was mapped last.
static CHUNKS: AtomicPtr<Chunk> = AtomicPtr::new(ptr::null_mut());

/// Moves slots from the pool to `free`, which has none: as many as asked, or less, but one at least.
///
/// # Errors
///
/// If the system has no address space, or no guard page, for another stack.
pub(super) fn take(class: Class, count: usize, free: &mut Vec<Slot>) -> Result<(), StackError> {
    let mut pool = class.pool();
    pool.take(count, free);
    while free.is_empty() || free.len() < count && pool.has_uncut() {
        match cut(&mut pool, class) {
            Ok(slot) => free.push(slot),
            Err(error) if free.is_empty() => return Err(error),
            Err(_) => break,
        }
    }
    // The last is used first: the warmest.
    free.reverse();
    Ok(())
}

/// Cuts another slot.
fn cut(pool: &mut Pool, class: Class) -> Result<Slot, StackError> {
    let slot = pool.uncut(class.stride(), |before| map(class, before))?;
    // SAFETY: the chunk is a private anonymous mapping, and nobody has the slot yet.
    unsafe { guard::install(slot.0)? };
    pool.cut(class.stride());
    // For ever, so it is never taken back.
    std::mem::forget(ValgrindStackRegistration::new(slot.0.as_ptr(), class.size()));
    Ok(slot)
}

/// Moves slots to the pool.
pub(super) fn give(class: Class, slots: impl IntoIterator<Item = Slot>) {
    let mut pool = class.pool();
    pool.give(slots);
    let has_many = pool.has_more_than(class.kept());
    drop(pool);
    if has_many {
        start_scavenger();
    }
}

/// Gives back what no stack needs: see [`pool::scavenge`].
pub(super) fn scavenge() -> bool {
    Class::all()
        .fold(false, |more, class| more | pool::scavenge(|| class.pool(), |pool| pool, class.stride(), class.kept()))
}

/// The same of all that no stack has, and no worker keeps.
pub(super) fn give_back_all() {
    for class in Class::all() {
        class.pool().need_none();
        pool::scavenge(|| class.pool(), |pool| pool, class.stride(), 0);
    }
}

/// Has any pool more than it keeps?
pub(super) fn has_many() -> bool {
    Class::all().any(|class| class.pool().has_more_than(class.kept()))
}

/// The slot whose guard page an address is in, and its class. Async-signal-safe.
pub(super) fn guarded(address: usize) -> Option<(Slot, Class)> {
    let (slot, class, in_slot) = holding(address)?;
    (in_slot < page_size()).then_some((slot, class))
}

/// How far it is from an address on a stack down to the guard page; 0 if it is on none of ours.
pub(super) fn room_below(address: usize) -> usize {
    holding(address).map_or(0, |(_, _, in_slot)| in_slot.saturating_sub(page_size()))
}

/// The slot that an address is in, its class, and how far from its low end. Async-signal-safe.
fn holding(address: usize) -> Option<(Slot, Class, usize)> {
    let mut chunk = CHUNKS.load(Ordering::Acquire).cast_const();
    // SAFETY: chunks are published when they are complete, and never freed.
    while let Some(Chunk { start, len, class, next }) = unsafe { chunk.as_ref() } {
        let offset = address.wrapping_sub(start.0.addr().get());
        if offset < *len {
            let in_slot = offset % class.stride();
            // SAFETY: within the chunk.
            let slot = Slot(unsafe { start.0.add(offset - in_slot) });
            return Some((slot, *class, in_slot));
        }
        chunk = *next;
    }
    None
}

/// The chunks, which all slots are in.
pub(super) fn chunks() -> impl Iterator<Item = (Slot, usize, Class)> {
    let mut chunk = CHUNKS.load(Ordering::Acquire).cast_const();
    std::iter::from_fn(move || {
        // SAFETY: chunks are published when they are complete, and never freed.
        let Chunk { start, len, class, next } = unsafe { chunk.as_ref() }?;
        chunk = *next;
        Some((*start, *len, *class))
    })
}

/// Every slot, also those that were not cut yet.
pub(super) fn slots(mut each: impl FnMut(Slot, Class)) {
    for (start, len, class) in chunks() {
        for at in (0..len).step_by(class.stride()) {
            // SAFETY: within the chunk.
            each(Slot(unsafe { start.0.add(at) }), class);
        }
    }
}

/// Maps another chunk, when so many bytes were cut.
fn map(class: Class, before: usize) -> Result<(Slot, usize), StackError> {
    let (start, len) = pool::map(class.stride(), before).map_err(|error| StackError::Refused("mmap", error))?;
    let start = Slot(start);
    let chunk = Box::leak(Box::new(Chunk { start, len, class, next: CHUNKS.load(Ordering::Relaxed) }));
    // Release: who finds it reads it. The pools of other classes have other locks.
    while let Err(last) = CHUNKS.compare_exchange(chunk.next.cast_mut(), chunk, Ordering::Release, Ordering::Relaxed) {
        chunk.next = last;
    }
    Ok((start, len))
}
