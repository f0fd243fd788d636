//! Goroutines: functions that run side by side on a few threads, each with a stack of its own.
//!
//! [`go`] starts one. Inside, the same [`send`](crate::Sender::send), [`recv`](crate::Receiver::recv),
//! [`select!`](crate::select!) and timers park the goroutine instead of blocking the thread, which runs others meanwhile.
//! Goroutines, threads and tasks meet on the same channels.
//!
//! This is the beginning: see [`go`] for what is not there yet.

mod bridge;
mod g;
mod runtime;
mod worker;

pub use bridge::block_on;

use crate::chan::bounded;
use crate::future::RecvFut;
use crate::{Receiver, Sender};
use corosensei::stack::{DefaultStack, Stack};
use g::{About, Fresh};
use runtime::{Shared, submit, submit_fresh};
use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};
use worker::{Work, current_about, current_worker};

/// The stack of a goroutine: address space, of which pages are taken as they are used.
const STACK_SIZE: usize = 256 * 1024;

fn is_common(stack: &DefaultStack) -> bool {
    let size = stack.base().get() - stack.limit().get();
    (STACK_SIZE..=STACK_SIZE + 64 * 1024).contains(&size)
}

/// Starts a goroutine: `f` runs side by side with the caller. Go's `go f()`.
///
/// On the runtime that the caller runs in; outside of any, on one that is started for the process. Until it first runs it
/// may be taken by any worker; then it stays on that worker's thread.
///
/// A panic ends the goroutine and is what [`join`](JoinHandle::join) returns.
///
/// **Not there yet:** cancellation, scopes, preemption by a budget (a goroutine that does not park keeps its worker),
/// names and other stack sizes, a report of overflow (the guard page makes it a SIGSEGV), and a million of them (two
/// mappings per stack allow some 32,000 at a time on Linux).
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
    let (done, result) = bounded(1);
    let about = About::new(current_about().map(|about| about.id), Location::caller());
    let handle = JoinHandle { id: about.id.get(), result, receive: None };
    submit_fresh(Fresh { about, stack_size: STACK_SIZE, body: body(f, done) });
    handle
}

fn body<F, T>(f: F, done: Sender<thread::Result<T>>) -> Box<dyn FnOnce() + Send>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    Box::new(move || {
        let result = catch_unwind(AssertUnwindSafe(f));
        // If nobody will join, the result is dropped here.
        let unwanted = done.try_send(result);
        // Its drop may panic, and nothing is below us to catch that.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(unwanted)));
    })
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
    let (done, result) = bounded(1);
    let about = About::new(current_about().map(|about| about.id), Location::caller());
    let shared = current_worker().map_or_else(|| Shared::global().clone(), |worker| worker.shared.clone());
    let schedule = move |runnable| match current_worker() {
        Some(worker) => worker.push(Work::Task(runnable)),
        None => shared.inject(Work::Task(runnable)),
    };
    let task = async move {
        let result = bridge::CatchUnwind(future).await;
        let _ = done.try_send(result);
    };
    let (runnable, task) = async_task::spawn(task, schedule);
    task.detach();
    submit(Work::Task(runnable));
    JoinHandle { id: about.id.get(), result, receive: None }
}

/// Runs `f` as the main goroutine of a runtime of its own, and returns what it returns, as Go's `main` does: what it has
/// started and not waited for is not waited for here either.
///
/// Goroutines that are parked then are left parked, and keep their worker's thread; to end them, close the channels that
/// they wait on.
///
/// # Panics
///
/// If `f` panics, with its payload.
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
    let (done, result) = bounded(1);
    let shared = Shared::start(runtime::default_workers());
    let about = About::new(current_about().map(|about| about.id), Location::caller());
    shared.inject(Work::Fresh(Box::new(Fresh { about, stack_size: STACK_SIZE, body: body(f, done) })));
    let result = result.recv();
    shared.shut_down();
    match result.expect("the main goroutine has ended") {
        Ok(value) => value,
        Err(payload) => std::panic::resume_unwind(payload),
    }
}

/// Lets other goroutines run first; outside of a goroutine, other threads. Go's `runtime.Gosched`.
pub fn yield_now() {
    if current_about().is_some() {
        worker::yield_goroutine();
    } else {
        thread::yield_now();
    }
}

/// Parks the goroutine for `duration`; outside of a goroutine, the thread. Go's `time.Sleep`.
pub fn sleep(duration: Duration) {
    match Instant::now().checked_add(duration) {
        Some(until) if current_about().is_some() => worker::sleep_goroutine(until),
        _ => thread::sleep(duration),
    }
}

/// What waits for a goroutine or a task. Dropped, it leaves it to itself.
///
/// It is also a future.
pub struct JoinHandle<T: 'static> {
    id: u64,
    result: Receiver<thread::Result<T>>,
    /// Once it is awaited.
    receive: Option<Pin<Box<RecvFut<'static, thread::Result<T>>>>>,
}

/// Why a goroutine or a task returned nothing.
pub struct JoinError {
    id: u64,
    /// `None`: it was dropped before it ended.
    payload: Option<Box<dyn Any + Send>>,
}

impl<T: 'static> JoinHandle<T> {
    /// Waits for its end, and returns what it returned.
    ///
    /// # Errors
    ///
    /// [`JoinError`] if it panicked, or was dropped with its runtime before it ran.
    ///
    /// ```
    /// use gochan::go;
    ///
    /// assert_eq!(go(|| 7).join().unwrap(), 7);
    /// let error = go(|| panic!("no")).join().unwrap_err();
    /// assert_eq!(error.into_panic().downcast_ref(), Some(&"no"));
    /// ```
    #[track_caller]
    pub fn join(self) -> Result<T, JoinError> {
        Self::outcome(self.id, self.result.recv().ok())
    }

    /// Has it ended?
    #[must_use]
    pub fn is_finished(&self) -> bool {
        !self.result.is_empty() || self.result.is_closed()
    }

    /// Tells it from all others of the process.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    fn outcome(id: u64, result: Option<thread::Result<T>>) -> Result<T, JoinError> {
        match result {
            Some(Ok(value)) => Ok(value),
            Some(Err(payload)) => Err(JoinError { id, payload: Some(payload) }),
            None => Err(JoinError { id, payload: None }),
        }
    }
}

impl<T: 'static> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let receive = this.receive.get_or_insert_with(|| Box::pin(this.result.clone().into_recv_async()));
        receive.as_mut().poll(cx).map(|result| Self::outcome(this.id, result.ok()))
    }
}

impl JoinError {
    /// Did it panic?
    #[must_use]
    pub fn is_panic(&self) -> bool {
        self.payload.is_some()
    }

    /// Was it dropped before it ended?
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.payload.is_none()
    }

    /// What it panicked with.
    ///
    /// # Panics
    ///
    /// If it did not panic.
    #[must_use]
    pub fn into_panic(self) -> Box<dyn Any + Send> {
        self.payload.expect("the goroutine did not panic")
    }

    /// Which it was.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinError").field("id", &self.id).field("is_panic", &self.is_panic()).finish()
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.is_panic() { "panicked" } else { "was dropped before it ended" };
        write!(f, "goroutine {} {how}", self.id)
    }
}

impl std::error::Error for JoinError {}

impl<T: 'static> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("id", &self.id).finish_non_exhaustive()
    }
}
