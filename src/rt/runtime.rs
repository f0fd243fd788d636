//! A runtime: its workers, and what they share.

use super::g::Fresh;
use super::worker::{Remote, Work, Worker, current_worker};
use crossbeam_deque::{Injector, Steal, Worker as Deque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::thread;

/// What the workers of a runtime share.
pub(super) struct Shared {
    /// Work that was made outside.
    injector: Injector<Work>,
    workers: Box<[&'static Remote]>,
    pub(super) sleepers: AtomicUsize,
    /// Workers that look for work.
    searching: AtomicUsize,
    shut_down: AtomicBool,
}

impl Shared {
    /// Starts a runtime with so many workers.
    pub(super) fn start(workers: usize) -> Arc<Self> {
        let parts: Vec<_> = (0..workers).map(|_| Worker::parts()).collect();
        let shared = Arc::new(Self {
            injector: Injector::new(),
            workers: parts.iter().map(|(_, _, remote)| *remote).collect(),
            sleepers: AtomicUsize::new(0),
            searching: AtomicUsize::new(0),
            shut_down: AtomicBool::new(false),
        });
        for (i, parts) in parts.into_iter().enumerate() {
            let shared = shared.clone();
            thread::Builder::new()
                .name(format!("gochan-worker-{i}"))
                .spawn(move || Worker::new(shared, parts).schedule())
                .expect("no thread for a worker");
        }
        shared
    }

    /// The runtime for who is in none.
    pub(super) fn global() -> &'static Arc<Self> {
        static GLOBAL: OnceLock<Arc<Shared>> = OnceLock::new();
        GLOBAL.get_or_init(|| Self::start(default_workers()))
    }

    /// No work is taken any more; a worker ends when no goroutine lives on it.
    pub(super) fn shut_down(&self) {
        self.shut_down.store(true, Ordering::SeqCst);
        for worker in &self.workers {
            worker.unpark();
        }
        // What was not started is dropped.
        while let Steal::Success(_) | Steal::Retry = self.injector.steal() {}
    }

    pub(super) fn is_shut_down(&self) -> bool {
        self.shut_down.load(Ordering::Relaxed)
    }

    pub(super) fn inject(&self, work: Work) {
        self.injector.push(work);
        self.wakep();
    }

    /// A batch of what was made outside: one to run, the rest into the worker's queue.
    pub(super) fn injected(&self, queue: &Deque<Work>) -> Option<Work> {
        loop {
            match self.injector.steal_batch_and_pop(queue) {
                Steal::Success(work) => return Some(work),
                Steal::Empty => return None,
                Steal::Retry => {}
            }
        }
    }

    /// The other workers, beginning with the next.
    pub(super) fn others(&self, me: &'static Remote) -> impl Iterator<Item = &'static Remote> {
        let at = self.workers.iter().position(|other| std::ptr::eq(*other, me)).expect("one of them");
        let (before, after) = (&self.workers[..at], &self.workers[at + 1..]);
        after.iter().chain(before).copied()
    }

    /// Is there anything for this worker to take?
    pub(super) fn has_work(&self, me: &'static Remote) -> bool {
        !self.is_shut_down() && (!self.injector.is_empty() || self.others(me).any(|other| !other.stealer.is_empty()))
    }

    /// Work has been made visible: wakes a worker, unless one is searching or all are awake.
    pub(super) fn wakep(&self) {
        fence(Ordering::SeqCst);
        if self.sleepers.load(Ordering::Relaxed) > 0 && self.searching.load(Ordering::Relaxed) == 0 {
            for worker in &self.workers {
                if worker.wake() {
                    return;
                }
            }
        }
    }

    /// One worker searches at a time.
    pub(super) fn start_searching(&self) -> bool {
        self.searching.compare_exchange(0, 1, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    }

    pub(super) fn stop_searching(&self) {
        self.searching.store(0, Ordering::SeqCst);
    }
}

/// Work for the runtime that this thread is in, else for the global one.
pub(super) fn submit(work: Work) {
    match current_worker() {
        Some(worker) => worker.push(work),
        None => Shared::global().inject(work),
    }
}

pub(super) fn submit_fresh(fresh: Fresh) {
    submit(Work::Fresh(Box::new(fresh)));
}

/// `GOCHAN_WORKERS`, else what the machine, and the process's share of it, can run at once.
pub(super) fn default_workers() -> usize {
    let asked = std::env::var("GOCHAN_WORKERS").ok().and_then(|workers| workers.parse().ok()).filter(|n| *n > 0);
    asked.unwrap_or_else(|| thread::available_parallelism().map_or(1, Into::into))
}
