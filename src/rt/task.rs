//! Tasks: futures that any worker may poll.
//!
//! A runtime keeps the wakers of its tasks, so that it can drop them when it ends: a task that is woken then is dropped
//! where it would have been scheduled.

use super::bridge::Polling;
use super::current::{current_identity, current_worker, polling_as};
use super::g::{Ended, Identity};
use super::join::{JoinError, JoinHandle};
use super::runtime::Shared;
use super::worker::Work;
use crate::debug::State;
use async_task::{FallibleTask, Runnable};
use slab::Slab;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;

/// The tasks of a runtime that have not ended.
#[derive(Default)]
pub(super) struct Tasks(Mutex<Slab<Entry>>);

struct Entry {
    waker: Waker,
    info: Arc<TaskInfo>,
}

impl Tasks {
    fn lock(&self) -> MutexGuard<'_, Slab<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wake_all(&self) {
        // One by one: a task that is dropped takes its own waker out.
        for key in 0.. {
            let waker = {
                let tasks = self.lock();
                if key >= tasks.capacity() {
                    return;
                }
                tasks.get(key).map(|entry| entry.waker.clone())
            };
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

impl Tasks {
    /// Says of each who it is, what it does as far as is known, and what its wakers point to.
    pub(super) fn look(&self, mut see: impl FnMut(&Identity, State, usize)) {
        for key in 0.. {
            // One by one, so that tasks can end meanwhile.
            let info = {
                let tasks = self.lock();
                if key >= tasks.capacity() {
                    return;
                }
                tasks.get(key).map(|entry| (entry.info.clone(), entry.waker.data().addr()))
            };
            if let Some((info, waker)) = info {
                let is_scheduled = info.is_scheduled.load(Ordering::Relaxed);
                see(&info.identity, if is_scheduled { State::Runnable } else { State::Waiting }, waker);
            }
        }
    }
}

/// What a task's future, its handle and its runtime share.
struct TaskInfo {
    identity: Identity,
    cancelled: AtomicBool,
    /// It was woken and has not been polled since.
    is_scheduled: AtomicBool,
    shared: Arc<Shared>,
    /// Its place among the tasks of the runtime.
    key: AtomicUsize,
}

impl TaskInfo {
    fn wake(&self) {
        let waker = self.shared.tasks.lock().get(self.key.load(Ordering::Relaxed)).map(|entry| entry.waker.clone());
        // If it has ended, and its place is another's, that one is polled in vain.
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// A task's future: its panic is part of its output, and where it is dropped it may panic. (The task's cell would abort.)
struct Body<F> {
    future: ManuallyDrop<F>,
    info: Arc<TaskInfo>,
}

/// What a task has returned; where nobody joins it it may panic, too.
struct Output<T>(Option<Ended<T>>);

impl<T> Drop for Output<T> {
    fn drop(&mut self) {
        if let Some(unjoined) = self.0.take() {
            let _ = catch_unwind(AssertUnwindSafe(|| drop(unjoined)));
        }
    }
}

impl<F: Future> Future for Body<F> {
    type Output = Output<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.info.cancelled.load(Ordering::SeqCst) {
            return Poll::Ready(Output(Some(Err(None))));
        }
        self.info.is_scheduled.store(false, Ordering::Relaxed);
        let _current = polling_as(&self.info.identity);
        // SAFETY: pinned with us.
        let future = unsafe { self.map_unchecked_mut(|this| &mut *this.future) };
        match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(polled) => polled.map(|value| Output(Some(Ok(value)))),
            Err(payload) => Poll::Ready(Output(Some(Err(Some(payload))))),
        }
    }
}

impl<F> Drop for Body<F> {
    fn drop(&mut self) {
        let entry = self.info.shared.tasks.lock().try_remove(self.info.key.load(Ordering::Relaxed));
        drop(entry);
        // SAFETY: dropped once, and not moved before.
        let _ = catch_unwind(AssertUnwindSafe(|| unsafe { ManuallyDrop::drop(&mut self.future) }));
    }
}

/// Starts a task; see [`spawn`](super::spawn).
#[track_caller]
pub(super) fn spawn_on<F>(shared: &Arc<Shared>, future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    let identity = Identity::new(current_identity(), Location::caller(), None);
    let info = Arc::new(TaskInfo {
        identity,
        cancelled: AtomicBool::new(false),
        is_scheduled: AtomicBool::new(false),
        shared: shared.clone(),
        key: AtomicUsize::new(usize::MAX),
    });
    let body = Body { future: ManuallyDrop::new(future), info: info.clone() };
    let to = info.clone();
    let (runnable, task) = async_task::spawn(body, move |runnable| schedule(&to, runnable));
    let entry = Entry { waker: runnable.waker(), info: info.clone() };
    info.key.store(shared.tasks.lock().insert(entry), Ordering::Relaxed);
    runnable.schedule();
    JoinHandle::of_task(TaskHandle { task: Some(task.fallible()), info })
}

fn schedule(info: &TaskInfo, runnable: Runnable) {
    let shared = &info.shared;
    info.is_scheduled.store(true, Ordering::Relaxed);
    if shared.is_shut_down() {
        return forsake(runnable);
    }
    match current_worker().filter(|worker| Arc::ptr_eq(&worker.shared, shared)) {
        Some(worker) => worker.push_task(runnable),
        None => shared.inject(Work::Task(runnable)),
    }
}

thread_local! {
    /// While a task is dropped on this thread: those that this has woken.
    static WOKEN: RefCell<Option<VecDeque<Runnable>>> = const { RefCell::new(None) };
}

/// Drops a task. If that wakes others, they are dropped then, and not in the midst of it: a chain of tasks, each of which keeps
/// the next one's channel open, may be longer than any stack.
pub(super) fn forsake(runnable: Runnable) {
    let mut next = Some(runnable);
    let is_within = WOKEN.try_with(|woken| match &mut *woken.borrow_mut() {
        Some(woken) => {
            woken.extend(next.take());
            true
        }
        none => {
            *none = Some(VecDeque::new());
            false
        }
    });
    // A thread that is at its end has no such place any more.
    if is_within == Ok(true) {
        return;
    }
    while let Some(runnable) = next {
        // What waits in a drop may not do so here.
        let polling = (!thread::panicking()).then(Polling::begin);
        let _ = catch_unwind(AssertUnwindSafe(|| drop(runnable)));
        drop(polling);
        next = WOKEN.try_with(|woken| woken.borrow_mut().as_mut().and_then(VecDeque::pop_front)).ok().flatten();
    }
    let _ = WOKEN.try_with(RefCell::take);
}

/// A task's handle, which leaves the task alone when it goes.
pub(super) struct TaskHandle<T> {
    task: Option<FallibleTask<Output<T>>>,
    info: Arc<TaskInfo>,
}

impl<T> TaskHandle<T> {
    pub(super) fn identity(&self) -> &Identity {
        &self.info.identity
    }

    pub(super) fn is_finished(&self) -> bool {
        self.task.as_ref().expect("until it is dropped").is_finished()
    }

    pub(super) fn cancel(&self) {
        self.info.cancelled.store(true, Ordering::SeqCst);
        self.info.wake();
    }
}

impl<T> Future for TaskHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let task = self.task.as_mut().expect("until it is dropped");
        Pin::new(task).poll(cx).map(|output| {
            let ended = output.and_then(|mut output| output.0.take()).unwrap_or(Err(None));
            JoinError::of(ended, &self.info.identity)
        })
    }
}

impl<T> Unpin for TaskHandle<T> {}

impl<T> Drop for TaskHandle<T> {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.detach();
        }
    }
}
