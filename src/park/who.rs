//! Who runs here, as one word: what a wait, or a channel, keeps of somebody who may be gone when it is read.
//!
//! Goroutines and tasks have numbers, which their scheduler keeps in a word that stays where it is. A thread gets its own
//! when it first sleeps here: the system's where that is to be had, so that a debugger and `top` show the same.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};

// What a number is of; without either bit of a goroutine.
const THREAD: u64 = 1 << 63;
const TASK: u64 = 1 << 62;

/// What may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Kind {
    /// Started by `go`.
    Goroutine,
    /// Started by `rt::spawn`.
    Task,
    /// A thread of the system.
    Thread,
    /// A future that something else than our scheduler polls.
    ForeignTask,
}

/// A goroutine or a task, a thread, or somebody of whom nothing is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Who(u64);

thread_local! {
    /// Where the number of who runs on this thread is. Without a destructor.
    static WORD: Cell<Option<&'static AtomicU64>> = const { Cell::new(None) };
    /// Else the thread, if it has slept here. Without a destructor.
    static NUMBER: Cell<u64> = const { Cell::new(0) };
    /// The thread's own, while it lives.
    static THIS: Known = Known::new();
}

/// The threads that have slept here and live.
static THREADS: Mutex<BTreeMap<u64, Thread>> = Mutex::new(BTreeMap::new());

fn threads() -> MutexGuard<'static, BTreeMap<u64, Thread>> {
    THREADS.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Known(u64);

impl Known {
    fn new() -> Self {
        let number = number_of_thread();
        threads().insert(number, thread::current());
        NUMBER.set(THREAD | number);
        Self(number)
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        let thread = threads().remove(&self.0);
        drop(thread);
    }
}

/// The system's number of this thread, else one of our own.
fn number_of_thread() -> u64 {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let link =
        if cfg!(all(target_os = "linux", not(miri))) { std::fs::read_link("/proc/thread-self").ok() } else { None };
    let system = link.and_then(|link| link.file_name()?.to_str()?.parse().ok());
    system.unwrap_or_else(|| COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The same in seven bytes: a waker and this and what tells it from other waiters are three words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packed([u8; 7]);

impl From<Who> for Packed {
    fn from(Who(word): Who) -> Self {
        // The two bits move down; numbers have fewer than 54.
        let [bytes @ .., _] = (word >> 62 << 54 | word & ((1 << 54) - 1)).to_le_bytes();
        Self(bytes)
    }
}

impl From<Packed> for Who {
    fn from(Packed([a, b, c, d, e, f, g]): Packed) -> Self {
        let word = u64::from_le_bytes([a, b, c, d, e, f, g, 0]);
        Self(word >> 54 << 62 | word & ((1 << 54) - 1))
    }
}

impl Who {
    pub(crate) const NOBODY: Self = Self(0);

    /// Who runs here, if that is known already.
    #[inline]
    pub(crate) fn here() -> Self {
        Self(WORD.get().map_or_else(|| NUMBER.get(), |word| word.load(Ordering::Relaxed)))
    }

    /// The calling thread, which is about to sleep.
    pub(super) fn this_thread() -> Self {
        // The threads of a model checker are none.
        if cfg!(any(gochan_loom, gochan_shuttle)) {
            return Self::NOBODY;
        }
        // A thread that is about to end may not be known any more.
        THIS.try_with(|this| Self(THREAD | this.0)).unwrap_or(Self::NOBODY)
    }

    #[cfg(feature = "rt")]
    pub(crate) const fn goroutine(number: u64) -> Self {
        Self(number)
    }

    #[cfg(feature = "rt")]
    pub(crate) const fn task(number: u64) -> Self {
        Self(TASK | number)
    }

    #[cfg(feature = "rt")]
    pub(crate) const fn of_word(word: u64) -> Self {
        Self(word)
    }

    /// What is kept in the scheduler's word.
    #[cfg(feature = "rt")]
    pub(crate) const fn word(self) -> u64 {
        self.0
    }

    /// What it is, and its number.
    pub(crate) fn known(self) -> Option<(Kind, u64)> {
        let kind = match self.0 & (THREAD | TASK) {
            0 => Kind::Goroutine,
            TASK => Kind::Task,
            _ => Kind::Thread,
        };
        (self != Self::NOBODY).then_some((kind, self.0 & !(THREAD | TASK)))
    }
}

/// The thread with this number, if it lives.
pub(crate) fn thread_of(number: u64) -> Option<Thread> {
    threads().get(&number).cloned()
}

/// The scheduler's: the number of who runs on this thread is there from now on.
#[cfg(feature = "rt")]
pub(crate) fn set_word(word: Option<&'static AtomicU64>) {
    WORD.set(word);
}

#[cfg(test)]
mod tests {
    use super::{Packed, TASK, THREAD, Who};

    #[test]
    fn packed() {
        for who in [0, 7, TASK | 1, THREAD | 0x3f_ffff_ffff_ffff, TASK | 1 << 53].map(Who) {
            assert_eq!(Who::from(Packed::from(who)), who);
        }
        assert_eq!(size_of::<crate::park::Waiter>(), 24);
    }
}
