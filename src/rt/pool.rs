//! Pools: pieces of address space of one size that nobody uses, and how their pages return to the system.
//!
//! The address space itself is never given back: it is cut from large mappings, in which a hole would be one mapping more.
//!
//! **Invariant.** What is in a pool is nobody's, and is there once. In `warm` it has its pages, in `cold` it has none.
//!
//! **Memory returns.** Twice a second, while a pool has more than a few warm slots, the scavenger takes the pages of those
//! that were not needed since it last looked (see `idle`). Goroutines that come in waves find their memory warm; that of a
//! million that has ended is gone a second later. Neighbours give back together, since a call for each costs ten times as much.
//!
//! A pool's lock is taken alone.

use super::deadlock::Helper;
use super::idle::Idle;
use super::{block, slab};
use std::ptr::{self, NonNull};
use std::sync::MutexGuard;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{io, thread};

/// How long a slot that nobody needs keeps its pages: once to twice this.
pub(super) const SCAVENGE: Duration = Duration::from_millis(500);
/// Slots that give their pages back in one go.
const BATCH: usize = 1024;
/// Mappings: the first is small, for programs that are; each is as large as all before it, up to this.
const SMALLEST_MAPPING: usize = 1 << 20;
const LARGEST_MAPPING: usize = 64 << 20;

/// A piece of address space: its lowest address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot(pub(super) NonNull<u8>);

// SAFETY: an address; who has the slot has what lies there.
unsafe impl Send for Slot {}

/// The slots of one size that nobody has.
pub(super) struct Pool {
    warm: Idle<Slot>,
    cold: Vec<Slot>,
    /// What was not cut yet of the mapping in use: where it begins, and how many slots it is.
    rest: Slot,
    uncut: usize,
    /// Slots that were cut.
    cut: usize,
}

impl Pool {
    pub(super) const fn new() -> Self {
        Self { warm: Idle::new(), cold: Vec::new(), rest: Slot(NonNull::dangling()), uncut: 0, cut: 0 }
    }

    /// Moves slots to `free`, which has none: as many as asked, if there are. The warmest is the first.
    pub(super) fn take(&mut self, count: usize, free: &mut Vec<Slot>) {
        free.extend(self.warm.take(count));
        let cold = self.cold.len().saturating_sub(count - free.len());
        free.extend(self.cold.drain(cold..));
    }

    /// Takes slots in, with their pages.
    pub(super) fn give(&mut self, slots: impl IntoIterator<Item = Slot>) {
        self.warm.give(slots);
    }

    /// The same of slots that were not needed since the scavenger looked.
    pub(super) fn give_unneeded(&mut self, slots: impl IntoIterator<Item = Slot>) {
        self.warm.give_unneeded(slots);
    }

    /// The slot that was never in use and is the next, of those that are `stride` apart. If all of the mapping is cut, `map` makes one, and
    /// is told how many bytes were cut: where it begins, and how many bytes it is.
    pub(super) fn uncut<E>(
        &mut self,
        stride: usize,
        map: impl FnOnce(usize) -> Result<(Slot, usize), E>,
    ) -> Result<Slot, E> {
        if self.uncut == 0 {
            let (rest, len) = map(self.cut.saturating_mul(stride))?;
            (self.rest, self.uncut) = (rest, len / stride);
        }
        Ok(self.rest)
    }

    /// Takes it.
    pub(super) fn cut(&mut self, stride: usize) {
        // SAFETY: within the mapping; behind its last slot is its end.
        self.rest = Slot(unsafe { self.rest.0.add(stride) });
        self.uncut -= 1;
        self.cut += 1;
    }

    /// Can one be cut from the mapping in use?
    pub(super) fn has_uncut(&self) -> bool {
        self.uncut > 0
    }

    /// As if none had been needed since the scavenger looked.
    pub(super) fn need_none(&mut self) {
        self.warm.look();
    }

    /// More warm slots than so many, which are kept ready?
    pub(super) fn has_more_than(&self, kept: usize) -> bool {
        self.warm.len() > kept
    }
}

/// Has somebody look after the pools, while there is something to give back.
pub(super) fn start_scavenger() {
    static RUNS: AtomicBool = AtomicBool::new(false);

    fn run() {
        let _helper = Helper::begin();
        loop {
            thread::sleep(SCAVENGE);
            if !(slab::scavenge() | block::scavenge()) {
                // Who gives from now on starts another; who gave before is seen.
                RUNS.store(false, Ordering::SeqCst);
                if !(slab::has_many() || block::has_many()) || RUNS.swap(true, Ordering::SeqCst) {
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

/// Gives memory back to the system that nobody has any more, as far as it is known here: that of goroutines that have ended,
/// and whatever is free in the program's allocator, if that is glibc's. Go's `debug.FreeOSMemory`.
///
/// The stacks and records of goroutines go back by themselves, within a second or so of when nobody needs them, but for some
/// that are kept ready for those to come. Tasks lie where the program's allocator puts them, as all else of the program, and
/// glibc's keeps what is free below anything that is not, however large it is, until it is asked by `malloc_trim`, as here.
/// Other allocators have ways of their own.
///
/// Something for after a peak: it takes some 0.1 s per GiB, in which the calling thread does nothing else, and others that
/// allocate may wait for it.
///
/// # Examples
///
/// ```
/// use gochan::{bounded, rt};
///
/// rt::run(|| {
///     let (tx, rx) = bounded::<()>(0);
///     let tasks: Vec<_> = (0..10_000)
///         .map(|_| {
///             let rx = rx.clone();
///             rt::spawn(async move { rx.recv_async().await })
///         })
///         .collect();
///     tx.close();
///     tasks.into_iter().for_each(|task| assert!(task.join().unwrap().is_err()));
///     rt::unblock(rt::free_os_memory);
/// });
/// ```
pub fn free_os_memory() {
    slab::give_back_all();
    block::give_back_all();
    #[cfg(all(target_os = "linux", target_env = "gnu", not(miri)))]
    // SAFETY: it takes free memory from the allocator, and nothing that anybody has.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Takes the pages of the slots that nobody needed since the last time, but of so many that are kept. True if there may be more.
///
/// They are `stride` apart, and all that lies between one and the next is theirs. The pool is in what `lock` locks.
pub(super) fn scavenge<L: 'static>(
    lock: impl Fn() -> MutexGuard<'static, L>,
    pool_of: impl Fn(&mut L) -> &mut Pool,
    stride: usize,
    kept: usize,
) -> bool {
    let mut idle = Vec::new();
    let mut locked = lock();
    loop {
        idle.extend(pool_of(&mut locked).warm.take_unneeded(BATCH, kept));
        if idle.is_empty() {
            break;
        }
        drop(locked);
        idle.sort_unstable();
        idle.chunk_by(|a, b| a.0.addr().get() + stride == b.0.addr().get()).for_each(|neighbours| {
            // SAFETY: nobody has the slots, which are adjacent.
            unsafe { give_back(neighbours[0].0, neighbours.len() * stride) };
        });
        locked = lock();
        pool_of(&mut locked).cold.append(&mut idle);
    }
    let pool = pool_of(&mut locked);
    pool.warm.look();
    pool.has_more_than(kept)
}

/// Maps memory of a multiple of `unit` bytes, when so many bytes were mapped before: where it is, and how long.
///
/// # Errors
///
/// What the system says if it has not even a unit.
pub(super) fn map(unit: usize, before: usize) -> io::Result<(NonNull<u8>, usize)> {
    // Linux: not counted as used before it is touched, and no huge pages, each of which a single touch would take.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const FLAGS: libc::c_int = libc::MAP_NORESERVE | libc::MAP_STACK;
    #[cfg(target_os = "openbsd")]
    const FLAGS: libc::c_int = libc::MAP_STACK;
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "openbsd")))]
    const FLAGS: libc::c_int = 0;

    let mut len = before.clamp(SMALLEST_MAPPING, LARGEST_MAPPING).next_multiple_of(unit);
    loop {
        let (rights, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | FLAGS);
        // SAFETY: a new mapping, wherever there is room.
        let start = unsafe { libc::mmap(ptr::null_mut(), len, rights, flags, -1, 0) };
        if start != libc::MAP_FAILED {
            return Ok((NonNull::new(start.cast()).expect("the null page is not mapped"), len));
        }
        // Where every mapping is counted as used, there may be room for a smaller one.
        if len == unit {
            return Err(io::Error::last_os_error());
        }
        len = (len / 2).next_multiple_of(unit);
    }
}

/// Gives pages back to the system, all but guards. When they are touched next they are zero, or as they were.
///
/// # Safety
/// Nobody uses what lies there, which was mapped by [`map`].
unsafe fn give_back(start: NonNull<u8>, len: usize) {
    // Elsewhere MADV_DONTNEED keeps the pages.
    let advice =
        if cfg!(any(target_os = "linux", target_os = "android")) { libc::MADV_DONTNEED } else { libc::MADV_FREE };
    // If it fails, since somebody has locked all memory, the pages stay.
    // SAFETY: the caller's contract.
    unsafe { libc::madvise(start.as_ptr().cast(), len, advice) };
}
