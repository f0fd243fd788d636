//! Goroutines: functions that run side by side on a few threads, each with a stack of its own.
//!
//! [`go`] starts one. Inside, the same [`send`](crate::Sender::send), [`recv`](crate::Receiver::recv),
//! [`select!`](crate::select!) and timers park the goroutine instead of blocking the thread, which runs others meanwhile.
//! Goroutines, threads and tasks meet on the same channels.

mod block;
mod bridge;
mod builder;
mod cancel;
mod census;
mod current;
pub(crate) mod deadlock;
mod execute;
mod g;
mod guard;
mod idle;
mod join;
mod latch;
mod mail;
mod monitor;
mod overflow;
pub(crate) mod parked;
mod pool;
mod prefetch;
mod queue;
mod ready;
mod record;
mod runtime;
mod scope;
mod slab;
mod stack;
mod stuck;
mod switch;
mod task;
mod unblock;
mod worker;

#[cfg(all(test, gochan_loom))]
mod loom;
#[cfg(test)]
mod tests;

pub use bridge::block_on;
pub use builder::{Goroutine, SpawnError};
pub use cancel::shielded;
pub(crate) use census::{census, identity_of};
pub(crate) use current::switch_out;
pub use deadlock::OnDeadlock;
pub use g::Identity;
pub use join::{JoinError, JoinHandle, LocalJoinHandle, ScopedJoinHandle};
pub use pool::free_os_memory;
pub use runtime::{Runtime, RuntimeBuilder};
pub use scope::{Scope, scope};
pub use unblock::unblock;

use crate::park;
use current::{current_goroutine, current_identified, current_identity, current_worker};
use g::{Record, Spec};
use runtime::Shared;
use std::panic::Location;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

/// The stack of a goroutine, `GOCHAN_STACK` or this: address space, of which pages are taken as they are used.
const STACK_SIZE: usize = 256 * 1024;

fn default_stack_size() -> usize {
    static SIZE: OnceLock<usize> = OnceLock::new();
    *SIZE.get_or_init(|| std::env::var("GOCHAN_STACK").ok().and_then(|size| size.parse().ok()).unwrap_or(STACK_SIZE))
}

/// Starts a goroutine: `f` runs side by side with the caller. Go's `go f()`.
///
/// On the runtime that the caller runs in; outside of any, on one that is started for the process. Until it first runs it
/// may be taken by any worker; then it stays on that worker's thread.
///
/// A panic ends the goroutine and is what [`join`](JoinHandle::join) returns.
///
/// [`Goroutine`] is the builder, for a name or another stack; [`scope()`] for goroutines that borrow; [`go_local`] for those
/// that are not `Send`; [`spawn`] for futures.
///
/// Goroutines are not preempted: one that computes keeps its worker until it waits, or has done so many operations that could
/// have made it wait. A blocking call blocks the worker; see [`unblock()`]. Outside of a runtime's goroutines and tasks, a
/// runtime is started for the process, and never shut down.
///
/// # Stacks
///
/// A goroutine gets its stack when it first runs: 256 KiB, or what its builder, its runtime or `GOCHAN_STACK` in the
/// environment says in bytes, rounded up to a power of two, at least 64 KiB. That is address space; memory is taken page by
/// page as it is used, one page at least, and is given back when many goroutines have ended. A stack does not grow: who
/// overflows it ends the process, with a message that says which goroutine it was and where it was started.
///
/// A million at a time is a matter of memory on Linux 6.13 and later. On older kernels each stack takes two of the 65,530
/// mappings that a process may have; past some 31,000 goroutines the next do not run, a message says why, and
/// [`join`](JoinHandle::join) returns an error. The sysctl `vm.max_map_count` raises that. Tasks ([`rt::spawn`](spawn))
/// have no such limit.
///
/// # Soundness
///
/// A started goroutine stays on its thread, so what is bound to a thread (`Rc`, a `MutexGuard`, a reference into a thread
/// local) may live across a park. What remains is what every stackful coroutine in Rust has: a *scoped* thread local that
/// is set and restored in last-in-first-out order by safe code (`scoped-tls` and its like) must not be held across a park,
/// since the goroutines of a worker interleave. And a std `Mutex` that is held across a park blocks the worker for
/// whoever else there wants it.
///
/// # Examples
///
/// ```
/// use gochan::{bounded, go};
///
/// let (tx, rx) = bounded(0);
/// let sum = go(move || rx.iter().sum::<i32>());
/// for i in 0..10 {
///     let tx = tx.clone();
///     go(move || tx.send(i).unwrap());
/// }
/// drop(tx);
/// assert_eq!(sum.join().unwrap(), 45);
/// ```
#[track_caller]
pub fn go<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    Goroutine::start(f)
}

/// Starts a goroutine on this worker: neither the closure nor what it returns need be `Send`, since neither ever leaves this
/// thread.
///
/// # Panics
///
/// Outside of a goroutine.
///
/// # Examples
///
/// ```
/// use gochan::rt;
/// use std::rc::Rc;
///
/// let sum = rt::run(|| {
///     let numbers = Rc::new(vec![1, 2, 3]);
///     let shared = numbers.clone();
///     rt::go_local(move || shared.iter().sum::<i32>()).join().unwrap()
/// });
/// assert_eq!(sum, 6);
/// ```
#[track_caller]
pub fn go_local<F, T>(f: F) -> LocalJoinHandle<T>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    let at = Location::caller();
    let worker = current_worker().filter(|_| current_goroutine().is_some());
    let worker = worker.unwrap_or_else(|| panic!("go_local outside of a goroutine: there is no worker to stay on"));
    let identity = g::Identity::new(current_identity(), at, None);
    let stack_size = builder::usual_stack_bytes();
    let (handle, record) = Record::two(Spec { identity, stack_size, stack: None, scope: None }, f);
    // SAFETY: coercions.
    unsafe {
        worker.adopt(record.unsized_by(|record| record as _));
        LocalJoinHandle::new(handle.unsized_by(|record| record as _))
    }
}

/// Starts a task on the same workers: a future that any of them may poll. Cheaper than a goroutine, for what is written
/// as a future anyway.
///
/// # Examples
///
/// ```
/// use gochan::{bounded, rt};
///
/// let (tx, rx) = bounded(0);
/// let task = rt::spawn(async move { rx.recv_async().await });
/// tx.send(7).unwrap();
/// assert_eq!(task.join().unwrap(), Ok(7));
/// ```
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    task::spawn_on(&Shared::current(), future)
}

/// Runs `f` as the main goroutine of a runtime of its own, and returns what it returns, as soon as it returns, as Go's
/// `main` does. What it has started and not waited for is cancelled (see [`JoinHandle::cancel`]), and given a tenth of a
/// second to unwind; who has not by then is left where he is, and named on stderr.
///
/// # Deadlock
///
/// When all goroutines are asleep and nobody is left who could wake one, this panics, as Go's programs end then: `fatal
/// error: all goroutines are asleep - deadlock!` is written to stderr with who waits where, and the goroutines are cancelled.
/// It is said only if it is certain: all threads of the process are the runtime's own or blocked in here, none runs, and no
/// timer is set; a tenth of a second is waited before anybody looks. So nothing is said while there is a thread that the
/// program has started itself, and on other systems than Linux. `GOCHAN_DEADLOCK` in the environment changes what is done:
/// `panic`, `exit` (with code 2, as in Go), `report` or `off`; so does [`RuntimeBuilder::on_deadlock`], for a runtime's
/// own [`run`](Runtime::run).
///
/// # Panics
///
/// If `f` panics, with its payload; if no thread can be started; in a deadlock.
///
/// # Examples
///
/// ```
/// use gochan::{bounded, go, rt};
///
/// let sum = rt::run(|| {
///     let (tx, rx) = bounded(0);
///     for i in 0..10 {
///         let tx = tx.clone();
///         go(move || tx.send(i).unwrap());
///     }
///     drop(tx);
///     rx.iter().sum::<i32>()
/// });
/// assert_eq!(sum, 45);
/// ```
#[track_caller]
pub fn run<F, T>(f: F) -> T
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let policy = OnDeadlock::or_of_environment(None, OnDeadlock::Panic);
    Runtime::builder().on_deadlock(policy).build().expect("no thread for a worker").run(f)
}

/// Lets other goroutines run first; outside of a goroutine, other threads. Go's `runtime.Gosched`.
///
/// # Examples
///
/// ```
/// use gochan::{go, rt};
///
/// let runtime = rt::Runtime::builder().workers(1).build().unwrap();
/// let ran = runtime.run(|| {
///     let other = go(|| ());
///     rt::yield_now();
///     other.is_finished()
/// });
/// assert!(ran);
/// ```
pub fn yield_now() {
    match park::scheduler() {
        Some(scheduler) if !scheduler.polling => current::yield_goroutine(),
        _ => thread::yield_now(),
    }
}

/// Parks the goroutine for `duration`; outside of a goroutine, the thread. Go's `time.Sleep`.
///
/// # Panics
///
/// In a future's `poll`, which may not wait.
///
/// # Examples
///
/// ```
/// use gochan::{go, rt};
/// use std::time::{Duration, Instant};
///
/// let start = Instant::now();
/// let all: Vec<_> = (0..100).map(|_| go(|| rt::sleep(Duration::from_millis(5)))).collect();
/// all.into_iter().for_each(|one| one.join().unwrap());
/// // Not one after the other.
/// assert!(start.elapsed() < Duration::from_millis(500));
/// ```
#[track_caller]
pub fn sleep(duration: Duration) {
    let at = Location::caller();
    match (park::scheduler(), Instant::now().checked_add(duration)) {
        (None, _) => thread::sleep(duration),
        (Some(_), until) => {
            while until.is_none_or(|until| Instant::now() < until) {
                park::forever(park::Reason::Sleep, at, until);
            }
        }
    }
}

/// The goroutine or the task that runs here; `None` on a plain thread.
///
/// # Examples
///
/// ```
/// use gochan::{go, rt};
///
/// assert!(rt::current().is_none());
/// let child = go(|| rt::current().unwrap());
/// let id = child.id();
/// assert_eq!(child.join().unwrap().id(), id);
/// ```
#[must_use]
pub fn current() -> Option<Identity> {
    current_identified().cloned()
}

/// Goroutines of the runtime that this runs in, else of the process's, that were started and have not ended. While others start
/// and end, a guess. Go's `runtime.NumGoroutine`.
///
/// # Examples
///
/// ```
/// use gochan::{bounded, go, rt};
///
/// let (tx, rx) = bounded::<()>(0);
/// let count = rt::run(move || {
///     go(move || rx.recv());
///     rt::num_goroutines()
/// });
/// // The main goroutine, too.
/// assert_eq!(count, 2);
/// # drop(tx);
/// ```
#[must_use]
pub fn num_goroutines() -> usize {
    match (current_worker(), Shared::global_if_started()) {
        (Some(worker), _) => worker.shared.num_goroutines(),
        (None, Some(global)) => global.num_goroutines(),
        (None, None) => 0,
    }
}
