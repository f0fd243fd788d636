//! Slabs: the memory of stacks, cut into slots of one size.
//!
//! A slot is a stack's address space, its guard page (see `guard`) at the low end. Slots are cut from chunks, large
//! mappings that take no memory until they are touched, so that a million stacks are a few hundred mappings; they lie a page apart
//! (see [`Class::stride`]). A chunk is never unmapped: what a stack gives back is its pages.
//!
//! **Invariants.** A slot is cut once, has its guard from then on, and is at any time in one place: with a
//! [`Stack`](super::stack::Stack), with a worker's [`Stacks`](super::stack::Stacks), or in one of the two lists of its
//! pool. In `warm` it has its pages, in `cold` it has none.
//!
//! **Memory returns.** Twice a second, while a pool has more than a few warm slots, the scavenger takes the pages of those
//! that were not needed since it last looked: the last that came in is the first that goes out, so they are as many as the
//! pool never had less of. Goroutines that come in waves find their stacks warm; a million that has ended is gone a second
//! later. Neighbours give back together, since a call for each costs ten times as much.
//!
//! A pool's lock is taken alone. The list of chunks is read without any, by the handler of a signal.

use super::deadlock::Helper;
use super::guard::{self, page_size};
use super::stack::StackError;
use corosensei::stack::valgrind::ValgrindStackRegistration;
use std::collections::VecDeque;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

const SMALLEST_SLOT: usize = 64 << 10;
/// A pool's chunks: the first is small, for programs that are; each is as large as all before it, up to this.
const SMALLEST_CHUNK: usize = 1 << 20;
const LARGEST_CHUNK: usize = 64 << 20;
/// Address space of stacks that are kept ready though nobody may need them, by each worker and by each pool.
const KEPT: usize = 16 << 20;

/// How long a slot that nobody needs keeps its pages: once to twice this.
pub(super) const SCAVENGE: Duration = Duration::from_millis(500);
/// Slots that give their pages back in one go.
const BATCH: usize = 1024;

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

/// A slot: its lowest address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot(pub(super) NonNull<u8>);

// SAFETY: an address; who has the slot has what lies there.
unsafe impl Send for Slot {}

/// The slots of one class that no worker has.
struct Pool {
    warm: VecDeque<Slot>,
    cold: Vec<Slot>,
    /// The fewest that `warm` had since the scavenger looked.
    least: usize,
    /// Slots that were cut.
    cut: usize,
    /// What was not cut yet of the chunk in use: where it begins, and how many slots it is.
    rest: Slot,
    uncut: usize,
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
    let warm = pool.warm.len().saturating_sub(count);
    pool.least = pool.least.min(warm);
    free.extend(pool.warm.drain(warm..).rev());
    let cold = pool.cold.len().saturating_sub(count - free.len());
    free.extend(pool.cold.drain(cold..));
    while free.is_empty() || free.len() < count && pool.uncut > 0 {
        match pool.cut(class) {
            Ok(slot) => free.push(slot),
            Err(error) if free.is_empty() => return Err(error),
            Err(_) => break,
        }
    }
    // The last is used first: the warmest.
    free.reverse();
    Ok(())
}

/// Moves slots to the pool.
pub(super) fn give(class: Class, slots: impl IntoIterator<Item = Slot>) {
    let mut pool = class.pool();
    pool.warm.extend(slots);
    let has_many = pool.has_many(class);
    drop(pool);
    if has_many {
        start_scavenger();
    }
}

/// Has somebody look after the pools, while there is something to give back.
fn start_scavenger() {
    static RUNS: AtomicBool = AtomicBool::new(false);

    fn run() {
        let _helper = Helper::begin();
        loop {
            thread::sleep(SCAVENGE);
            if !scavenge() {
                // Who gives from now on starts another; who gave before is seen.
                RUNS.store(false, Ordering::SeqCst);
                if !Class::all().any(|class| class.pool().has_many(class)) || RUNS.swap(true, Ordering::SeqCst) {
                    return;
                }
            }
        }
    }

    if !RUNS.load(Ordering::Relaxed) && !RUNS.swap(true, Ordering::SeqCst) {
        let thread = thread::Builder::new().name("gochan-scavenger".into());
        // Without one the memory stays until there is.
        if thread.spawn(run).is_err() {
            RUNS.store(false, Ordering::SeqCst);
        }
    }
}

/// Takes the pages of the slots that nobody needed since the last time. True if there may be more.
fn scavenge() -> bool {
    let mut idle = Vec::new();
    Class::all().fold(false, |more, class| {
        let mut pool = class.pool();
        loop {
            let unused = pool.least.min(pool.warm.len().saturating_sub(class.kept())).min(BATCH);
            if unused == 0 {
                break;
            }
            pool.least -= unused;
            idle.extend(pool.warm.drain(..unused));
            drop(pool);
            idle.sort_unstable();
            idle.chunk_by(|a, b| a.0.addr().get() + class.stride() == b.0.addr().get()).for_each(|neighbours| {
                // SAFETY: nobody has the slots, which are adjacent.
                unsafe { give_back(neighbours[0].0, neighbours.len() * class.stride()) };
            });
            pool = class.pool();
            pool.cold.append(&mut idle);
        }
        let len = pool.warm.len();
        pool.least = len;
        pool.warm.shrink_to(2 * len);
        more | pool.has_many(class)
    })
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

impl Pool {
    const fn new() -> Self {
        Self { warm: VecDeque::new(), cold: Vec::new(), least: 0, cut: 0, rest: Slot(NonNull::dangling()), uncut: 0 }
    }

    /// More warm slots than are kept ready?
    fn has_many(&self, class: Class) -> bool {
        self.warm.len() > class.kept()
    }

    /// Cuts another slot.
    fn cut(&mut self, class: Class) -> Result<Slot, StackError> {
        if self.uncut == 0 {
            let chunk = map(class, self.cut)?;
            (self.rest, self.uncut) = (chunk.start, chunk.len / class.stride());
        }
        let slot = self.rest;
        // SAFETY: the chunk is a private anonymous mapping, and nobody has the slot yet. Behind the last slot is the
        // chunk's end.
        unsafe {
            guard::install(slot.0)?;
            self.rest = Slot(slot.0.add(class.stride()));
        }
        self.uncut -= 1;
        self.cut += 1;
        // For ever, so it is never taken back.
        std::mem::forget(ValgrindStackRegistration::new(slot.0.as_ptr(), class.size()));
        Ok(slot)
    }
}

/// Maps another chunk, when so many slots were cut.
fn map(class: Class, cut: usize) -> Result<&'static Chunk, StackError> {
    // Linux: not counted as used before it is touched, and no huge pages, each of which a single touch would take.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const FLAGS: libc::c_int = libc::MAP_NORESERVE | libc::MAP_STACK;
    #[cfg(target_os = "openbsd")]
    const FLAGS: libc::c_int = libc::MAP_STACK;
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "openbsd")))]
    const FLAGS: libc::c_int = 0;

    let stride = class.stride();
    let mut len = cut.saturating_mul(stride).clamp(SMALLEST_CHUNK, LARGEST_CHUNK).next_multiple_of(stride);
    let start = loop {
        let (rights, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | FLAGS);
        // SAFETY: a new mapping, wherever there is room.
        let start = unsafe { libc::mmap(ptr::null_mut(), len, rights, flags, -1, 0) };
        if start != libc::MAP_FAILED {
            break start;
        }
        // Where every mapping is counted as used, there may be room for a smaller one.
        if len == stride {
            return Err(StackError::last_os_error("mmap"));
        }
        len = (len / 2).next_multiple_of(stride);
    };
    let start = Slot(NonNull::new(start.cast()).expect("the null page is not mapped"));
    let chunk = Box::leak(Box::new(Chunk { start, len, class, next: CHUNKS.load(Ordering::Relaxed) }));
    // Release: who finds it reads it. The pools of other classes have other locks.
    while let Err(last) = CHUNKS.compare_exchange(chunk.next.cast_mut(), chunk, Ordering::Release, Ordering::Relaxed) {
        chunk.next = last;
    }
    Ok(chunk)
}

/// Gives pages back to the system, all but guards. When they are touched next they are zero, or as they were.
///
/// # Safety
/// Nobody uses what lies there.
unsafe fn give_back(start: NonNull<u8>, len: usize) {
    // Elsewhere MADV_DONTNEED keeps the pages.
    let advice =
        if cfg!(any(target_os = "linux", target_os = "android")) { libc::MADV_DONTNEED } else { libc::MADV_FREE };
    // If it fails, since somebody has locked all memory, the pages stay.
    // SAFETY: the caller's contract. It is a mapping of ours.
    unsafe { libc::madvise(start.as_ptr().cast(), len, advice) };
}
