//! Blocking calls, on threads of their own.
//!
//! The pool is a rendezvous channel: whoever has a job hands it to a thread that waits for one, and starts another thread if
//! none does. A thread that gets nothing for a while ends.

use super::cancel::shielded;
use super::join::End;
use crate::chan::{Receiver, Sender, TrySendError, bounded};
use crate::park::{Reason, scheduler};
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

type Job = Box<dyn FnOnce() + Send>;

/// Threads at most; then jobs wait.
const MOST_THREADS: usize = 512;
/// How long a thread waits for its next job.
const PATIENCE: Duration = Duration::from_secs(10);

struct Pool {
    /// `None`: the thread that gets it is to end.
    jobs: Sender<Option<Job>>,
    waiting: Receiver<Option<Job>>,
    threads: AtomicUsize,
}

static POOL: OnceLock<Pool> = OnceLock::new();

/// Its threads, whatever they do.
pub(super) fn threads() -> usize {
    POOL.get().map_or(0, |pool| pool.threads.load(Ordering::Relaxed))
}

/// Those that wait for a job end.
pub(super) fn dismiss() {
    while POOL.get().is_some_and(|pool| pool.jobs.try_send(None).is_ok()) {}
}

fn pool() -> &'static Pool {
    POOL.get_or_init(|| {
        let (jobs, waiting) = bounded(0);
        Pool { jobs, waiting, threads: AtomicUsize::new(0) }
    })
}

impl Pool {
    fn submit(&'static self, job: Job) {
        let Err(TrySendError::Full(Some(job))) = self.jobs.try_send(Some(job)) else { return };
        let one_more = |threads| (threads < MOST_THREADS).then_some(threads + 1);
        if self.threads.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_err() {
            // Some thread will come back for it.
            let _ = self.jobs.send(Some(job));
            return;
        }
        // Without a thread the job is done here, late for others but done.
        let job = Arc::new(Mutex::new(Some(job)));
        let first = job.clone();
        let take = |job: &Mutex<Option<Job>>| job.lock().ok().and_then(|mut job| job.take());
        let started = thread::Builder::new().name("gochan-unblock".into()).spawn(move || {
            if let Some(job) = take(&first) {
                job();
            }
            while let Ok(Some(job)) = self.waiting.recv_timeout(PATIENCE) {
                job();
            }
            self.threads.fetch_sub(1, Ordering::Relaxed);
        });
        if started.is_err() {
            self.threads.fetch_sub(1, Ordering::Relaxed);
            if let Some(job) = take(&job) {
                job();
            }
        }
    }
}

/// Runs a call that blocks its thread - a file, a lock of the standard library, C - on a thread kept for such calls, while
/// the goroutine is parked and its worker runs others. What Go's runtime does by itself around system calls.
///
/// It returns when `f` has, and cancelling the goroutine does not interrupt it, so `f` may borrow. Outside of a goroutine it
/// just calls `f`.
///
/// # Panics
///
/// If `f` panics, with its payload; and in a future's `poll`, which may not wait.
///
/// # Examples
///
/// ```
/// use gochan::{go, rt};
///
/// let path = String::from("Cargo.toml");
/// let length = go(move || rt::unblock(|| std::fs::read(&path).map(|bytes| bytes.len())));
/// assert!(length.join().unwrap().unwrap() > 0);
/// ```
#[track_caller]
pub fn unblock<F, T>(f: F) -> T
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    let Some(scheduler) = scheduler() else { return f() };
    assert!(!scheduler.polling, "a blocking call in a future's poll: await a goroutine that makes it");
    let (at, end) = (Location::caller(), Arc::new(End::new()));
    let job = {
        let end = end.clone();
        // Nobody leaves the end alone, so it gives nothing back.
        move || drop(end.set(catch_unwind(AssertUnwindSafe(f)).map_err(Some)))
    };
    let job: Box<dyn FnOnce() + Send + '_> = Box::new(job);
    // SAFETY: only the lifetime changes: what the job borrows stays until it has run, which is waited for below without
    // being cancelled.
    let job = unsafe { std::mem::transmute::<Box<dyn FnOnce() + Send + '_>, Job>(job) };
    let ended = shielded(|| {
        pool().submit(job);
        end.wait(Reason::Syscall, at)
    });
    match ended {
        Ok(value) => value,
        Err(payload) => resume_unwind(payload.expect("nobody cancels a job")),
    }
}
