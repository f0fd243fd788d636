//! The end of a goroutine or a task, and who waits for it.

use super::bridge::block_on;
use super::g::{Ended, G, Identity, Joinable};
use super::latch::{Latch, Unwanted};
use super::record::Ref;
use super::task::TaskHandle;
use crate::park::Reason;
use std::any::Any;
use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

/// How a goroutine has ended, once it has.
pub(super) struct End<T> {
    latch: Latch,
    /// Written before the latch is set, taken by the one handle behind it.
    ended: UnsafeCell<Option<Ended<T>>>,
}

// SAFETY: what is in the cell goes from the one who sets the latch to the one who has the handle, and is sent so.
unsafe impl<T: Send> Sync for End<T> {}

impl<T> End<T> {
    pub(super) fn new() -> Self {
        Self { latch: Latch::new(), ended: UnsafeCell::new(None) }
    }

    /// The goroutine has ended. What nobody will join comes back.
    #[inline(always)]
    pub(super) fn set(&self, ended: Ended<T>) -> Option<Ended<T>> {
        // SAFETY: the latch is not set, so nobody else looks, and there is nothing yet.
        unsafe { self.ended.get().write(Some(ended)) };
        match self.latch.set() {
            Ok(ready) => {
                // A foreign waker may panic, and nothing is below us to catch that.
                let _ = catch_unwind(AssertUnwindSafe(|| ready.fire()));
                None
            }
            // SAFETY: the handle is gone.
            Err(Unwanted) => unsafe { (*self.ended.get()).take() },
        }
    }

    /// What it ended with, if it has. Called by the one who has the handle, once.
    #[inline]
    fn take_if_set(&self) -> Option<Ended<T>> {
        // SAFETY: it is set, and the caller has the handle.
        self.is_set().then(|| unsafe { self.take() })
    }

    /// Waits for the end. Called by the one who has the handle.
    pub(super) fn wait(&self, reason: Reason, at: &'static Location<'static>) -> Ended<T> {
        while !self.latch.wait(reason, at, None) {}
        // SAFETY: it is set, and the caller has the handle.
        unsafe { self.take() }
    }

    /// Waits for the end, at most until `deadline`. False if it has not come. Called by the one who has the handle.
    pub(super) fn wait_until(&self, reason: Reason, at: &'static Location<'static>, deadline: Instant) -> bool {
        self.latch.wait(reason, at, Some(deadline))
    }

    /// Waits as a task. Called by the one who has the handle.
    fn poll(&self, cx: &mut Context<'_>) -> Poll<Ended<T>> {
        // SAFETY: it is set, and the caller has the handle.
        self.latch.poll(cx).map(|()| unsafe { self.take() })
    }

    pub(super) fn is_set(&self) -> bool {
        self.latch.is_set()
    }

    /// The handle goes, and with it what was not joined. True if that was a panic.
    fn leave(&self) -> bool {
        // SAFETY: it is set, and the caller has the handle.
        self.latch.leave() && matches!(unsafe { self.take() }, Err(Some(_)))
    }

    /// What the latch has announced; who has taken it has nothing more to say than that it is over.
    ///
    /// # Safety
    /// It is set, and the caller has the one handle.
    unsafe fn take(&self) -> Ended<T> {
        // SAFETY: the caller's contract.
        unsafe { (*self.ended.get()).take() }.unwrap_or(Err(None))
    }
}

/// Why a goroutine or a task returned nothing.
pub struct JoinError {
    id: u64,
    /// `None`: it was cancelled.
    payload: Option<Box<dyn Any + Send>>,
}

impl JoinError {
    /// What a handle makes of an end.
    pub(super) fn of<T>(ended: Ended<T>, who: &Identity) -> Result<T, Self> {
        ended.map_err(|payload| Self { id: who.id(), payload })
    }

    /// Did it panic?
    #[must_use]
    pub fn is_panic(&self) -> bool {
        self.payload.is_some()
    }

    /// Was it cancelled, or its runtime shut down, before it returned?
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
        let Some(payload) = &self.payload else { return write!(f, "goroutine {} was cancelled", self.id) };
        let text = payload.downcast_ref::<&str>().copied();
        match text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)) {
            Some(text) => write!(f, "goroutine {} panicked: {text}", self.id),
            None => write!(f, "goroutine {} panicked", self.id),
        }
    }
}

impl std::error::Error for JoinError {}

// SAFETY: the payload is reached by `into_panic` only, which takes the error, and by `Display`, which looks for two types
// that are `Sync`.
unsafe impl Sync for JoinError {}

pub(super) type Record<T> = Ref<dyn Joinable<T> + Send + Sync>;

/// What waits for a goroutine or a task. Dropped, it leaves it to itself.
///
/// It is also a future, for any executor.
///
/// # Cancel safety
///
/// The future may be polled and left at any time: the handle keeps what it waits for.
pub struct JoinHandle<T> {
    of: Of<T>,
}

enum Of<T> {
    Goroutine(Record<T>),
    Task(TaskHandle<T>),
}

impl<T> JoinHandle<T> {
    pub(super) fn of_goroutine(record: Record<T>) -> Self {
        Self { of: Of::Goroutine(record) }
    }

    pub(super) fn of_task(task: TaskHandle<T>) -> Self {
        Self { of: Of::Task(task) }
    }

    pub(super) fn g(&self) -> Option<&G> {
        match &self.of {
            Of::Goroutine(record) => Some(record.g()),
            Of::Task(_) => None,
        }
    }

    pub(super) fn record(&self) -> Option<Record<T>> {
        match &self.of {
            Of::Goroutine(record) => Some(record.clone()),
            Of::Task(_) => None,
        }
    }

    /// What is known of it from its start.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        match &self.of {
            Of::Goroutine(record) => record.identity(),
            Of::Task(task) => task.identity(),
        }
    }

    /// Waits for its end, and returns what it returned.
    ///
    /// # Errors
    ///
    /// [`JoinError`] if it panicked, or was cancelled before it returned.
    ///
    /// # Panics
    ///
    /// In a future's `poll`, which may not wait: await the handle there.
    ///
    /// # Examples
    ///
    /// ```
    /// use gochan::go;
    ///
    /// assert_eq!(go(|| 7).join().unwrap(), 7);
    /// let error = go(|| panic!("no")).join().unwrap_err();
    /// assert_eq!(error.to_string(), format!("goroutine {} panicked: no", error.id()));
    /// assert_eq!(error.into_panic().downcast_ref(), Some(&"no"));
    /// ```
    #[track_caller]
    pub fn join(mut self) -> Result<T, JoinError> {
        match &mut self.of {
            Of::Goroutine(record) => match record.end().take_if_set() {
                Some(ended) => JoinError::of(ended, record.identity()),
                None => record.join(Location::caller()),
            },
            Of::Task(task) => block_on(task),
        }
    }

    /// Has it ended?
    #[must_use]
    pub fn is_finished(&self) -> bool {
        match &self.of {
            Of::Goroutine(record) => record.end().is_set(),
            Of::Task(task) => task.is_finished(),
        }
    }

    /// Tells it from all others of the process.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.identity().id()
    }

    /// Ends it: if it waits, or as soon as it would have to, it unwinds from there, and its destructors run. It is not
    /// waited for here; [`join`](Self::join) does that. What it does without waiting is not interrupted.
    ///
    /// A goroutine that is in a [`scope`](super::scope()) is told after the children of that scope, and leaves it after they
    /// have ended. Waiting in a destructor while it unwinds is waiting as ever. One that catches the unwinding is made to
    /// unwind again at its next wait; the sixteenth time is the last, and then it is left where it is, for good. That is
    /// also what happens where panics abort (`panic = "abort"`). Go has no such thing: it is told by a channel or a
    /// context, which is the better way here, too.
    ///
    /// A task is dropped as soon as it does not run.
    ///
    /// # Examples
    ///
    /// ```
    /// use gochan::{bounded, go};
    ///
    /// let (tx, rx) = bounded::<i32>(0);
    /// let waits = go(move || rx.recv());
    /// waits.cancel();
    /// assert!(waits.join().unwrap_err().is_cancelled());
    /// // Its receiver is gone.
    /// assert!(tx.send(1).is_err());
    /// ```
    pub fn cancel(&self) {
        match &self.of {
            Of::Goroutine(record) => super::cancel::cancel(record.g()),
            Of::Task(task) => task.cancel(),
        }
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.get_mut().of {
            Of::Goroutine(record) => record.end().poll(cx).map(|ended| JoinError::of(ended, record.identity())),
            Of::Task(task) => Pin::new(task).poll(cx),
        }
    }
}

impl<T> Unpin for JoinHandle<T> {}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        if let Of::Goroutine(record) = &self.of {
            record.end().leave();
        }
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("of", self.identity()).finish_non_exhaustive()
    }
}

/// A handle of a goroutine that may not leave its thread, and so may not either: see [`go_local`](super::go_local). Dropped, it
/// leaves the goroutine to itself.
pub struct LocalJoinHandle<T> {
    record: Ref<dyn Joinable<T>>,
}

impl<T> LocalJoinHandle<T> {
    pub(super) fn new(record: Ref<dyn Joinable<T>>) -> Self {
        Self { record }
    }

    /// As [`JoinHandle::join`].
    ///
    /// # Errors
    ///
    /// [`JoinError`] if it panicked, or was cancelled before it returned.
    #[track_caller]
    pub fn join(self) -> Result<T, JoinError> {
        self.record.join(Location::caller())
    }

    /// Has it ended?
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.record.end().is_set()
    }

    /// Tells it from all others of the process.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.record.identity().id()
    }
}

impl<T> Drop for LocalJoinHandle<T> {
    fn drop(&mut self) {
        self.record.end().leave();
    }
}

impl<T> fmt::Debug for LocalJoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalJoinHandle").field("of", self.record.identity()).finish_non_exhaustive()
    }
}

/// A handle of a goroutine of a [`scope`](super::scope()). Dropped, it leaves the goroutine to the scope, which waits for it.
pub struct ScopedJoinHandle<'scope, T> {
    record: Record<T>,
    _scope: PhantomData<&'scope mut &'scope ()>,
}

impl<T> ScopedJoinHandle<'_, T> {
    pub(super) fn new(record: Record<T>) -> Self {
        Self { record, _scope: PhantomData }
    }

    /// As [`JoinHandle::join`].
    ///
    /// # Errors
    ///
    /// [`JoinError`] if it panicked, or was cancelled before it returned.
    #[track_caller]
    pub fn join(self) -> Result<T, JoinError> {
        self.record.join(Location::caller())
    }

    /// Has it ended?
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.record.end().is_set()
    }

    /// Tells it from all others of the process.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.record.identity().id()
    }

    /// As [`JoinHandle::cancel`].
    pub fn cancel(&self) {
        super::cancel::cancel(self.record.g());
    }
}

impl<T> Drop for ScopedJoinHandle<'_, T> {
    fn drop(&mut self) {
        if self.record.end().leave() {
            if let Some(scope) = &self.record.g().scope {
                scope.note_panic();
            }
        }
    }
}

impl<T> fmt::Debug for ScopedJoinHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedJoinHandle").field("of", self.record.identity()).finish_non_exhaustive()
    }
}
