//! A runtime: its workers, what they share, how it begins and how it ends.
//!
//! **The end**, in this order:
//! 1. No work is taken any more. What has not started is dropped by its worker, on a goroutine's stack if it is a closure;
//!    tasks are woken to be dropped.
//! 2. Every worker cancels the goroutines that live on it, and goes on scheduling: they may wait while they unwind.
//! 3. A worker ends when nobody lives on it. So the thread locals of its thread outlive its goroutines.
//! 4. Whoever is left at the end of the timeout is left: the worker's thread goes on for as long as it has residents,
//!    and takes nothing with it.

use super::census;
use super::current::current_worker;
use super::deadlock::{self, OnDeadlock};
use super::g::{Fresh, SharedBody};
use super::latch::Latch;
use super::mail::{Mail, Remote, count};
use super::monitor::Monitor;
use super::overflow;
use super::parked::Works;
use super::scope::AbortOnUnwind;
use super::stuck;
use super::task::Tasks;
use super::worker::{Parts, Work, Worker};
use super::{Goroutine, JoinHandle};
use crate::park::Reason;
use crossbeam_deque::{Injector, Steal, Worker as Deque};
use std::fmt;
use std::io;
use std::panic::{Location, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

/// How long the end of [`run`](super::run), or the drop of a [`Runtime`], waits for goroutines to unwind.
const PATIENCE: Duration = Duration::from_millis(100);

/// What the workers of a runtime share.
pub(super) struct Shared {
    /// Work that was made outside.
    injector: Injector<Work>,
    workers: Box<[&'static Remote]>,
    sleepers: AtomicUsize,
    /// Workers that look for work.
    searching: AtomicUsize,
    shut_down: AtomicBool,
    /// What the monitor has said last.
    any_lost: AtomicBool,
    /// Workers whose thread has not ended, and what is set when the last has.
    alive: AtomicUsize,
    all_ended: Latch,
    /// Goroutines that were started from outside.
    spawned_outside: AtomicU64,
    /// Goroutines that never ran.
    pub(super) forsaken: AtomicU64,
    pub(super) stack_size: usize,
    on_deadlock: OnDeadlock,
    /// After how long a worker that is at one thing is reported.
    pub(super) report_stuck: Option<Duration>,
    pub(super) tasks: Tasks,
    pub(super) monitor: Monitor,
    #[cfg(feature = "tokio")]
    tokio: Option<tokio::runtime::Handle>,
}

impl Shared {
    fn start(options: &RuntimeBuilder) -> io::Result<Arc<Self>> {
        overflow::install();
        // Before there are threads, if that is so: then it takes microseconds.
        crate::primitive::prepare_owners();
        let workers = options.workers.unwrap_or_else(default_workers);
        let parts: Vec<Parts> = (0..workers).map(|_| Parts::new(workers == 1)).collect();
        let shared = Arc::new(Self {
            injector: Injector::new(),
            workers: parts.iter().map(|parts| parts.remote).collect(),
            sleepers: AtomicUsize::new(0),
            searching: AtomicUsize::new(0),
            shut_down: AtomicBool::new(false),
            any_lost: AtomicBool::new(false),
            alive: AtomicUsize::new(workers),
            all_ended: Latch::new(),
            spawned_outside: AtomicU64::new(0),
            forsaken: AtomicU64::new(0),
            stack_size: options.stack_size.unwrap_or_else(super::default_stack_size),
            on_deadlock: OnDeadlock::or_of_environment(options.on_deadlock, OnDeadlock::Off),
            report_stuck: options.report_stuck.or_else(stuck::of_environment),
            tasks: Tasks::default(),
            monitor: Monitor::default(),
            #[cfg(feature = "tokio")]
            tokio: options.tokio.clone(),
        });
        census::enter(&shared);
        for (i, parts) in parts.into_iter().enumerate() {
            let work = shared.clone();
            let started = thread::Builder::new().name(format!("gochan-worker-{i}")).spawn(move || work.worker(parts));
            if let Err(error) = started {
                shared.alive.fetch_sub(workers - i, Ordering::Relaxed);
                shared.shut_down();
                return Err(error);
            }
        }
        Monitor::start(&shared);
        Ok(shared)
    }

    /// A worker's thread.
    fn worker(self: Arc<Self>, parts: Parts) {
        #[cfg(feature = "tokio")]
        let _entered = self.tokio.as_ref().map(tokio::runtime::Handle::enter);
        let _works = Works::begin();
        // A panic of our own: its goroutines would wait for ever.
        let stay = AbortOnUnwind;
        Worker::new(self.clone(), parts).run_thread();
        std::mem::forget(stay);
        if self.alive.fetch_sub(1, Ordering::AcqRel) == 1 {
            if let Ok(ready) = self.all_ended.set() {
                ready.fire();
            }
        }
    }

    /// The runtime for who is in none.
    pub(super) fn global() -> &'static Arc<Self> {
        GLOBAL.get_or_init(|| Self::start(&RuntimeBuilder::default()).expect("no thread for a worker"))
    }

    pub(super) fn global_if_started() -> Option<&'static Arc<Self>> {
        GLOBAL.get()
    }

    /// The runtime that this thread is in, else the global one.
    pub(super) fn current() -> Arc<Self> {
        current_worker().map_or_else(|| Self::global().clone(), |worker| worker.shared.clone())
    }

    /// Begins the end.
    fn shut_down(&self) {
        self.shut_down.store(true, Ordering::SeqCst);
        self.drop_injected();
        self.tasks.wake_all();
        self.post_to_all(|| Mail::CancelAll);
        self.monitor.wake();
    }

    /// What was not taken in time is dropped; by whoever comes later, too.
    fn drop_injected(&self) {
        loop {
            match self.injector.steal() {
                Steal::Success(work) => work.forsake(),
                Steal::Retry => {}
                Steal::Empty => return,
            }
        }
    }

    /// Waits for the end. False if somebody is left at the end of the timeout.
    #[track_caller]
    fn wait_for_end(&self, timeout: Duration) -> bool {
        let deadline = Instant::now().checked_add(timeout);
        self.all_ended.wait(Reason::Join, Location::caller(), deadline)
    }

    /// Does the caller live here? Then he would wait for himself.
    fn is_own(&self) -> bool {
        current_worker().is_some_and(|worker| std::ptr::eq(&*worker.shared, self))
    }

    /// The end, which is waited for a little.
    #[track_caller]
    pub(super) fn end(&self) {
        self.shut_down();
        if self.is_own() || self.wait_for_end(PATIENCE) {
            return;
        }
        let left = self.workers.iter().map(|worker| worker.residents()).sum::<usize>();
        if left > 0 {
            eprintln!(
                "a runtime ended, and {left} of its goroutines have not within {} ms: they are left where they are",
                PATIENCE.as_millis()
            );
        }
    }

    #[inline]
    pub(super) fn is_shut_down(&self) -> bool {
        self.shut_down.load(Ordering::Relaxed)
    }

    /// Have the threads of all its workers ended?
    pub(super) fn has_ended(&self) -> bool {
        self.alive.load(Ordering::Acquire) == 0
    }

    pub(super) fn post_to_all(&self, mail: impl Fn() -> Mail) {
        for worker in &self.workers {
            worker.post(mail());
        }
    }

    pub(super) fn workers(&self) -> &[&'static Remote] {
        &self.workers
    }

    pub(super) fn inject(&self, work: Work) {
        if matches!(work, Work::Fresh(_)) {
            self.spawned_outside.fetch_add(1, Ordering::Relaxed);
        }
        self.injector.push(work);
        self.wakep();
        // Either the end sees the work, or this sees the end: `wakep` has a fence.
        if self.is_shut_down() {
            self.drop_injected();
        }
    }

    pub(super) fn has_injected(&self) -> bool {
        !self.injector.is_empty()
    }

    /// The monitor's: is there a lost worker beside work? Written when that changes only, so that looking costs nothing.
    pub(super) fn say_lost(&self, is_any_lost: bool) {
        if self.is_any_lost() != is_any_lost {
            self.any_lost.store(is_any_lost, Ordering::Relaxed);
        }
    }

    pub(super) fn is_any_lost(&self) -> bool {
        self.any_lost.load(Ordering::Relaxed)
    }

    /// A batch of what was made outside: one to run, the rest into the worker's queue.
    pub(super) fn injected(&self, queue: &Deque<Work>) -> Option<Work> {
        until_known(|| self.injector.steal_batch_and_pop(queue))
    }

    /// The other workers, beginning with the next.
    pub(super) fn others(&self, me: &'static Remote) -> impl Iterator<Item = &'static Remote> {
        let at = self.workers.iter().position(|other| std::ptr::eq(*other, me)).expect("one of them");
        let (before, after) = (&self.workers[..at], &self.workers[at + 1..]);
        after.iter().chain(before).copied()
    }

    /// Is there anything for this worker to take?
    pub(super) fn has_work(&self, me: &'static Remote) -> bool {
        !self.is_shut_down()
            && (self.has_injected() || self.others(me).any(Remote::has_to_spare) || !me.mailbox.is_empty())
    }

    /// Work has been made visible: wakes a worker, unless one is searching or all are awake.
    pub(super) fn wakep(&self) {
        fence(Ordering::SeqCst);
        if self.sleepers.load(Ordering::Relaxed) > 0 && self.searching.load(Ordering::Relaxed) == 0 {
            self.wake_one();
        }
    }

    pub(super) fn wake_one(&self) {
        let _ = self.workers.iter().any(|worker| worker.wake());
    }

    pub(super) fn begin_sleep(&self) {
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    pub(super) fn end_sleep(&self) {
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }

    /// One worker searches at a time.
    pub(super) fn start_searching(&self) -> bool {
        self.searching.compare_exchange(0, 1, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    }

    pub(super) fn stop_searching(&self) {
        self.searching.store(0, Ordering::SeqCst);
    }

    /// Goroutines that were started and have not ended.
    pub(super) fn num_goroutines(&self) -> usize {
        let ended = self.workers.iter().map(|worker| worker.doings.ended.load(Ordering::Acquire)).sum::<u64>()
            + self.forsaken.load(Ordering::Acquire);
        let spawned = self.workers.iter().map(|worker| worker.doings.spawned.load(Ordering::Acquire)).sum::<u64>()
            + self.spawned_outside.load(Ordering::Acquire);
        spawned.saturating_sub(ended) as usize
    }
}

static GLOBAL: OnceLock<Arc<Shared>> = OnceLock::new();

/// Tries again until somebody else is not in the way.
pub(super) fn until_known<T>(mut steal: impl FnMut() -> Steal<T>) -> Option<T> {
    loop {
        match steal() {
            Steal::Success(work) => return Some(work),
            Steal::Empty => return None,
            Steal::Retry => std::hint::spin_loop(),
        }
    }
}

/// Starts a goroutine on the runtime that this thread is in, else on the global one.
#[inline]
pub(super) fn submit_fresh(body: SharedBody) {
    let fresh = Fresh::new(body);
    match current_worker() {
        Some(worker) => {
            count(&worker.remote.doings.spawned);
            worker.push_fresh(fresh);
        }
        None => Shared::global().inject(Work::Fresh(fresh)),
    }
}

/// `GOCHAN_WORKERS`, else what the machine, and the process's share of it, can run at once.
fn default_workers() -> usize {
    let asked = std::env::var("GOCHAN_WORKERS").ok().and_then(|workers| workers.parse().ok()).filter(|n| *n > 0);
    asked.unwrap_or_else(|| thread::available_parallelism().map_or(1, Into::into))
}

/// How a [`Runtime`] is made.
///
/// # Examples
///
/// ```
/// use gochan::rt::Runtime;
///
/// # fn main() -> std::io::Result<()> {
/// let runtime = Runtime::builder().workers(1).stack_size(64 * 1024).build()?;
/// assert_eq!(runtime.go(|| 7).join().unwrap(), 7);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until it builds"]
pub struct RuntimeBuilder {
    workers: Option<usize>,
    stack_size: Option<usize>,
    on_deadlock: Option<OnDeadlock>,
    report_stuck: Option<Duration>,
    #[cfg(feature = "tokio")]
    tokio: Option<tokio::runtime::Handle>,
}

impl RuntimeBuilder {
    /// The number of worker threads. By default what the environment variable `GOCHAN_WORKERS` says, else what the process
    /// may run at once: its cores, or less where a cgroup limits it. Go's `GOMAXPROCS`.
    ///
    /// # Panics
    ///
    /// If it is 0.
    pub fn workers(mut self, workers: usize) -> Self {
        assert!(workers > 0, "a runtime needs a worker");
        self.workers = Some(workers);
        self
    }

    /// The size of a goroutine's stack in bytes, where its [builder](Goroutine) says nothing else: `GOCHAN_STACK` in the environment, or 256 KiB.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = Some(bytes);
        self
    }

    /// What [`Runtime::run`] does when all goroutines are asleep and nobody is left who could wake one. If this is not said,
    /// what `GOCHAN_DEADLOCK` in the environment says: `panic`, `exit`, `report` or `off`; else nothing
    /// ([`OnDeadlock::Off`]).
    pub fn on_deadlock(mut self, what: OnDeadlock) -> Self {
        self.on_deadlock = Some(what);
        self
    }

    /// A worker that has been at one thing for so long - a computation, a call that blocks its thread - is reported on stderr,
    /// once each time: in which goroutine or task it is, and whom that keeps waiting. If this is not said, what `GOCHAN_STUCK`
    /// in the environment says, in seconds; else nobody is reported. To 10 ms.
    pub fn report_stuck(mut self, after: Duration) -> Self {
        self.report_stuck = Some(after);
        self
    }

    /// The workers enter this tokio runtime, so that what needs one (its sockets and timers) works in goroutines and tasks.
    /// It must be driven by threads of its own.
    #[cfg(feature = "tokio")]
    pub fn tokio(mut self, handle: tokio::runtime::Handle) -> Self {
        self.tokio = Some(handle);
        self
    }

    /// Starts the workers.
    ///
    /// # Errors
    ///
    /// If a thread cannot be started.
    pub fn build(self) -> io::Result<Runtime> {
        Shared::start(&self).map(|shared| Runtime { shared })
    }
}

/// Workers that run goroutines and tasks. Dropped, it shuts down.
///
/// Most programs need none of their own: [`run`](super::run) makes one, and outside of any there is one for the process.
///
/// # Examples
///
/// ```
/// use gochan::rt::Runtime;
/// use std::time::Duration;
///
/// # fn main() -> std::io::Result<()> {
/// let runtime = Runtime::new()?;
/// let task = runtime.spawn(async { 7 });
/// assert_eq!(task.join().unwrap(), 7);
/// assert!(runtime.shutdown_timeout(Duration::from_secs(1)));
/// # Ok(())
/// # }
/// ```
pub struct Runtime {
    shared: Arc<Shared>,
}

impl Runtime {
    /// A runtime as the environment wants it.
    ///
    /// # Errors
    ///
    /// If a thread cannot be started.
    pub fn new() -> io::Result<Self> {
        Self::builder().build()
    }

    /// A runtime with options.
    pub fn builder() -> RuntimeBuilder {
        RuntimeBuilder::default()
    }

    /// Starts a goroutine here; see [`go`](super::go). After a shutdown its handle says that it was cancelled.
    #[track_caller]
    pub fn go<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        Goroutine::new().on(&self.shared).spawn(f)
    }

    /// Starts a task here; see [`spawn`](super::spawn).
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        super::task::spawn_on(&self.shared, future)
    }

    /// Runs `f` as a goroutine here, and waits for what it returns.
    ///
    /// # Panics
    ///
    /// If `f` panics, with its payload; in a future's `poll`, which may not wait; in a deadlock, if that is
    /// [asked for](RuntimeBuilder::on_deadlock).
    #[track_caller]
    pub fn run<F, T>(&self, f: F) -> T
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        match deadlock::join_main(self.go(f), &self.shared, self.shared.on_deadlock) {
            Ok(value) => value,
            Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
            Err(error) => panic!("{error}"),
        }
    }

    /// Goroutines that were started and have not ended. While others start and end, a guess.
    #[must_use]
    pub fn num_goroutines(&self) -> usize {
        self.shared.num_goroutines()
    }

    /// Shuts down: takes nothing more, drops what has not started and all tasks, and cancels all goroutines (see
    /// [`JoinHandle::cancel`]). Returns when they have ended, or after the timeout. False if some are left then: they are left
    /// where they are, with their threads, and nothing that they hold is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use gochan::rt::Runtime;
    /// use std::time::Duration;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let runtime = Runtime::new()?;
    /// let waits = runtime.go(|| gochan::never::<()>().recv());
    /// assert!(runtime.shutdown_timeout(Duration::from_secs(10)));
    /// assert!(waits.join().unwrap_err().is_cancelled());
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn shutdown_timeout(self, timeout: Duration) -> bool {
        self.shut_down(timeout)
    }

    #[track_caller]
    fn shut_down(&self, timeout: Duration) -> bool {
        self.shared.shut_down();
        !self.shared.is_own() && self.shared.wait_for_end(timeout)
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if self.shared.is_shut_down() {
            return;
        }
        self.shared.end();
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("workers", &self.shared.workers.len()).finish_non_exhaustive()
    }
}
