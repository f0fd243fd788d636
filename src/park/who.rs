//! Who runs here, as one word: what a wait, or a channel, keeps of somebody who may be gone when it is read.
//!
//! The number of the goroutine or task that runs is in a word of its scheduler, a thread's in one of its own that it gets when it
//! first sleeps here: the system's number where that is to be had, so that a debugger and `top` show the same. Words stay
//! where they are for ever; a thread knows which is its.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ptr;
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
    /// Where the word of who runs on this thread is. Without a destructor.
    static WORD: Cell<&'static AtomicU64> = const { Cell::new(&UNKNOWN) };
    /// The thread's own, while it lives.
    static THIS: Known = Known::new();
}

/// The word of threads that have not slept here.
static UNKNOWN: AtomicU64 = AtomicU64::new(0);

/// The threads that have slept here and live, and the words of those that have ended.
static THREADS: Mutex<Threads> = Mutex::new(Threads { all: BTreeMap::new(), spare: Vec::new() });

struct Threads {
    all: BTreeMap<u64, Thread>,
    spare: Vec<&'static AtomicU64>,
}

fn threads() -> MutexGuard<'static, Threads> {
    THREADS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A thread that is known, and its word.
struct Known(&'static AtomicU64);

impl Known {
    fn new() -> Self {
        let (number, thread) = (number_of_thread(), thread::current());
        let spare = {
            let mut threads = threads();
            threads.all.insert(number, thread);
            threads.spare.pop()
        };
        let word = spare.unwrap_or_else(|| Box::leak(Box::default()));
        word.store(THREAD | number, Ordering::Relaxed);
        // A scheduler's thread has the word of its scheduler.
        if ptr::eq(WORD.get(), &UNKNOWN) {
            WORD.set(word);
        }
        Self(word)
    }

    fn who(&self) -> Who {
        Who(self.0.load(Ordering::Relaxed))
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        if ptr::eq(WORD.get(), self.0) {
            WORD.set(&UNKNOWN);
        }
        let thread = {
            let mut threads = threads();
            threads.spare.push(self.0);
            self.who().known().and_then(|(_, number)| threads.all.remove(&number))
        };
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

impl Who {
    pub(crate) const NOBODY: Self = Self(0);

    /// Who runs here, if that is known already.
    #[inline]
    pub(crate) fn here() -> Self {
        Self(WORD.get().load(Ordering::Relaxed))
    }

    /// The calling thread, which is about to sleep.
    pub(super) fn this_thread() -> Self {
        // The threads of a model checker are none.
        if cfg!(any(gochan_loom, gochan_shuttle)) {
            return Self::NOBODY;
        }
        // A thread that is about to end may not be known any more.
        THIS.try_with(Known::who).unwrap_or(Self::NOBODY)
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
    threads().all.get(&number).cloned()
}

/// The scheduler's: the number of who runs on this thread is there from now on.
#[cfg(feature = "rt")]
pub(crate) fn set_word(word: Option<&'static AtomicU64>) {
    WORD.set(word.unwrap_or(&UNKNOWN));
}
