//! All goroutines are asleep: when that is said, and why it is true when it is.
//!
//! **Who looks.** The thread that is blocked in [`run`](super::run), where it has nothing else to do. It looks once in
//! [`SHORTEST`], and the less often the longer there is nothing to be seen. So workers pay nothing for it but a word that each
//! writes when it goes to sleep.
//!
//! **What is certain.** A goroutine can be woken by other goroutines, timers, tasks, foreign threads, wakers that somebody
//! keeps. All of these act on some thread of the process. So a deadlock is this: *every thread of the process sleeps until
//! another of them wakes it*. Nothing need be known of channels and futures for that, and nothing of who holds a handle.
//! Threads are of one of these kinds:
//! - A worker says that it is [dormant](Remote::dormant) when it has found no work after having said that it sleeps, and has
//!   no timer. Whoever wakes it takes that back for it, first. The word counts its sleeps, so the same word is the same sleep.
//! - A thread that is blocked in `run` sleeps for as long as its main goroutine has not ended, whatever thread that runs on.
//! - A [`Helper`] touches nothing of the program's, whether it sleeps or not: the monitor, the thread that gives back stacks.
//! - The thread of the alarms sleeps if it is not ringing and there is no alarm. It counts the alarms that were ever set.
//! - Idle threads of `unblock` are asked to end if nobody else is left: what the jobs that they ran have put
//!   into thread locals is dropped then, and may wake somebody.
//! - All others are foreign, whatever they do: as long as there is one there is no verdict.
//!
//! **The protocol.** A [`Look`] names those who sleep, each with the number of its sleep. Two that are equal, [`SHORTEST`]
//! apart: nothing has happened in that time. Then the threads of the process are counted, and a third look is taken. If that
//! is equal, too, each of those whom it names slept all the time from the second to the third, and so when they were
//! counted; if they are as many as there are threads, there was nobody else then who could have woken one. Nobody has been
//! woken since, because nobody was there to do it; and nobody will.
//!
//! No count is ever too high: who is named was seen asleep, in a look before the count and in one behind it, and is on a
//! thread that exists. A thread that is about to begin or to end is not named, and so foreign.
//!
//! **Where it cannot be known** there is no verdict: threads are counted on Linux only, and a thread of the program's own hides
//! a deadlock, though it may well be in it. What the handler of a signal might do is not foreseen: nothing of this library
//! may be called there.
//!
//! Lock order: the verdict, then the list of callers, then the latch of a main goroutine, the alarms.

use super::join::{JoinError, JoinHandle};
use super::mail::Remote;
use super::runtime::Shared;
use super::unblock;
use crate::debug;
use crate::park::{Alarm, Reason, scheduler};
use std::panic::Location;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two looks, at least and at most.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(1);

/// In Go's words.
const VERDICT: &str = "all goroutines are asleep - deadlock!";

/// What happens when all goroutines are asleep and nobody is left who could wake one. See [`run`](super::run).
///
/// In each case but the last `fatal error: all goroutines are asleep - deadlock!` and who waits where is written to stderr
/// first, once.
///
/// # Examples
///
/// ```no_run
/// use gochan::rt::{OnDeadlock, Runtime};
///
/// # fn main() -> std::io::Result<()> {
/// let runtime = Runtime::builder().on_deadlock(OnDeadlock::Exit).build()?;
/// // As in Go: exits with code 2.
/// runtime.run(|| gochan::never::<()>().recv()).unwrap();
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnDeadlock {
    /// The runtime shuts down, which cancels its goroutines, and `run` panics.
    Panic,
    /// The process exits with code 2, as in Go.
    Exit,
    /// That is all; the program goes on waiting.
    Report,
    /// Nobody looks.
    Off,
}

impl OnDeadlock {
    /// What `GOCHAN_DEADLOCK` in the environment says: `panic`, `exit`, `report` or `off`.
    fn of_environment() -> Option<Self> {
        match std::env::var("GOCHAN_DEADLOCK").ok()?.as_str() {
            "panic" => Some(Self::Panic),
            "exit" => Some(Self::Exit),
            "report" => Some(Self::Report),
            "off" => Some(Self::Off),
            _ => None,
        }
    }

    /// What is asked for, by the program or by the environment; else `otherwise`.
    pub(super) fn or_of_environment(asked: Option<Self>, otherwise: Self) -> Self {
        asked.or_else(Self::of_environment).unwrap_or(otherwise)
    }
}

/// Threads of ours that touch nothing of the program's: how many there are, and above that how many ever began.
static HELPERS: AtomicU64 = AtomicU64::new(0);
const BEGAN: u64 = 1 << 32;

/// Held by a thread of ours that touches nothing of the program's: it takes no part in a deadlock.
#[derive(Debug)]
pub(crate) struct Helper(());

impl Helper {
    /// This thread is one.
    pub(crate) fn begin() -> Self {
        HELPERS.fetch_add(BEGAN + 1, Ordering::SeqCst);
        Self(())
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        HELPERS.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A thread that is blocked in `run`.
struct Caller {
    id: u64,
    has_main_ended: Box<dyn Fn() -> bool + Send>,
}

struct Callers {
    all: Vec<Caller>,
    count: u64,
}

static CALLERS: Mutex<Callers> = Mutex::new(Callers { all: Vec::new(), count: 0 });

impl Callers {
    fn with<T>(f: impl FnOnce(&mut Self) -> T) -> T {
        f(&mut CALLERS.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// While a thread is blocked in `run`.
struct Blocked(u64);

impl Blocked {
    fn begin(has_main_ended: impl Fn() -> bool + Send + 'static) -> Self {
        Callers::with(|callers| {
            callers.count += 1;
            let id = callers.count;
            callers.all.push(Caller { id, has_main_ended: Box::new(has_main_ended) });
            Self(id)
        })
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        let caller = Callers::with(|callers| {
            let at = callers.all.iter().position(|caller| caller.id == self.0);
            at.map(|at| callers.all.swap_remove(at))
        });
        drop(caller);
    }
}

/// Who sleeps, and in which sleep.
#[derive(PartialEq, Eq)]
struct Look {
    workers: Vec<u64>,
    callers: Vec<u64>,
    helpers: u64,
    alarms: Option<u64>,
}

impl Look {
    fn take() -> Self {
        Self {
            // In the order of the list, which only grows; 0 for one that does not sleep, or has no thread.
            workers: Remote::all().iter().map(|worker| worker.dormant().unwrap_or(0)).collect(),
            callers: Callers::with(|callers| {
                callers.all.iter().filter(|caller| !(caller.has_main_ended)()).map(|caller| caller.id).collect()
            }),
            helpers: HELPERS.load(Ordering::SeqCst),
            alarms: Alarm::asleep(),
        }
    }

    fn sleepers(&self) -> usize {
        let workers = self.workers.iter().filter(|&&sleep| sleep != 0).count();
        workers + self.callers.len() + (self.helpers % BEGAN) as usize + usize::from(self.alarms.is_some())
    }

    /// Nothing has happened since this look for as long as it takes to say that all are asleep. Are they?
    fn is_deadlock(&self) -> bool {
        // Whatever a thread did before it ended, and so was not counted, is seen in the look behind this.
        let threads = threads();
        fence(Ordering::SeqCst);
        let Some(threads) = threads else { return false };
        let sleepers = self.sleepers();
        if threads == sleepers || cfg!(gochan_bug = "foreign_threads_ignored") {
            return *self == Self::take();
        }
        let are_left_idle = threads == sleepers + unblock::threads();
        if are_left_idle {
            unblock::dismiss();
        }
        are_left_idle && cfg!(gochan_bug = "idle_threads_ignored")
    }
}

/// The threads of this process.
fn threads() -> Option<usize> {
    // Elsewhere too there may be such a thing, and other numbers in it.
    let tasks = cfg!(target_os = "linux").then(|| std::fs::read_dir("/proc/self/task").ok()).flatten()?;
    Some(tasks.count())
}

/// Waits for the main goroutine of `run`, and looks meanwhile whether its end can still come.
///
/// # Panics
///
/// If all goroutines are asleep, and `policy` is that it panics then.
#[track_caller]
pub(super) fn join_main<T: Send + 'static>(
    main: JoinHandle<T>,
    runtime: &Shared,
    policy: OnDeadlock,
) -> Result<T, JoinError> {
    // A goroutine that waits here is no thread, and a timer of its own would keep its worker from being dormant.
    if scheduler().is_some() {
        return main.join();
    }
    let record = main.record().expect("a goroutine");
    let blocked = Blocked::begin({
        let record = record.clone();
        move || record.end().is_set()
    });
    let at = Location::caller();
    let has_ended_in = |period| record.end().wait_until(Reason::Join, at, Instant::now() + period);
    let (mut period, mut before) = (SHORTEST, None);
    while policy != OnDeadlock::Off && !has_ended_in(period) {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let is_idle = runtime.workers().iter().all(|worker| worker.dormant().is_some());
        let look = is_idle.then(Look::take);
        let is_still_idle = is_idle && look == before;
        if is_still_idle && look.as_ref().is_some_and(Look::is_deadlock) {
            debug::print(&format!("fatal error: {VERDICT}"), &debug::dump());
            match policy {
                OnDeadlock::Exit => process::exit(2),
                OnDeadlock::Report => break,
                _ => {}
            }
            // From here on this thread is one that may wake others.
            drop((blocked, one));
            runtime.end();
            panic!("{VERDICT}");
        }
        period = if is_idle && !is_still_idle { SHORTEST } else { (period * 2).min(LONGEST) };
        before = look;
    }
    main.join()
}
