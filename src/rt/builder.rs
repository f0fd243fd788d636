//! How a goroutine is made.

use super::current::{current_identity, current_worker};
use super::g::{Fresh, Identity, Record, SharedBody, Spec};
use super::join::JoinHandle;
use super::mail::{Remote, count};
use super::runtime::{Shared, submit_fresh};
use super::stack::{Stack, StackError};
use super::worker::Work;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

/// A goroutine to be started: with a name, with another stack, near a peer.
///
/// # Examples
///
/// ```
/// use gochan::rt::Goroutine;
///
/// let deep = Goroutine::new().name("deep").stack_size(1 << 20).spawn(|| {
///     let big = [1_u8; 512 * 1024];
///     std::hint::black_box(&big).iter().map(|&byte| usize::from(byte)).sum::<usize>()
/// });
/// assert_eq!(deep.join().unwrap(), 512 * 1024);
/// ```
#[derive(Clone, Default)]
#[must_use = "a builder does nothing until it spawns"]
pub struct Goroutine {
    name: Option<Arc<str>>,
    stack_size: Option<usize>,
    near: Option<&'static Remote>,
    runtime: Option<Arc<Shared>>,
}

/// The size of stacks in the runtime that the caller runs in.
#[inline]
pub(super) fn usual_stack_bytes() -> usize {
    current_worker().map_or_else(|| Shared::global().stack_size, |worker| worker.shared.stack_size)
}

/// There is no stack for another goroutine. The closure comes back.
pub struct SpawnError<F> {
    closure: F,
    why: StackError,
}

impl Goroutine {
    /// One with nothing special about it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Its name, in reports.
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The size of its stack in bytes: address space, of which pages are taken as they are used. At least 64 KiB is wise, for
    /// a panic that prints where it comes from.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = Some(bytes);
        self
    }

    /// On the same worker as `peer`, with which it will have much to do, if that has started and nobody else has time for it
    /// first.
    pub fn near<T>(mut self, peer: &JoinHandle<T>) -> Self {
        self.near = peer.g().and_then(super::g::G::home);
        self
    }

    pub(super) fn on(mut self, runtime: &Arc<Shared>) -> Self {
        self.runtime = Some(runtime.clone());
        self
    }

    /// Starts it: see [`go`](super::go).
    #[track_caller]
    pub fn spawn<F, T>(self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.submit(None, f)
    }

    /// Starts it, if there is a stack for it.
    ///
    /// # Errors
    ///
    /// [`SpawnError`], with the closure, if the system has no more memory or mappings.
    ///
    /// # Examples
    ///
    /// ```
    /// use gochan::rt::Goroutine;
    ///
    /// let error = Goroutine::new().stack_size(1 << 60).try_spawn(|| 7).unwrap_err();
    /// assert_eq!(error.into_closure()(), 7);
    /// ```
    #[track_caller]
    pub fn try_spawn<F, T>(self, f: F) -> Result<JoinHandle<T>, SpawnError<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let bytes = self.stack_bytes();
        match current_worker().map_or_else(|| Stack::new(bytes), |worker| worker.stack(bytes)) {
            Ok(stack) => Ok(self.submit(Some(stack), f)),
            Err(why) => Err(SpawnError { closure: f, why }),
        }
    }

    /// The size of its stack, as asked for, or as its runtime has them.
    fn stack_bytes(&self) -> usize {
        let runtime = || self.runtime.as_ref().map_or_else(usual_stack_bytes, |runtime| runtime.stack_size);
        self.stack_size.unwrap_or_else(runtime)
    }

    /// Starts one with nothing special about it.
    #[inline]
    #[track_caller]
    pub(super) fn start<F, T>(f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let stack_size = usual_stack_bytes();
        let identity = Identity::new(current_identity(), Location::caller(), None);
        Self::record(Spec { identity, stack_size, stack: None, scope: None }, f, submit_fresh)
    }

    /// The handle is made after the record has been submitted: what is there before a call has its place in memory, and is moved from
    /// there right after it was written in words.
    #[inline(always)]
    fn record<F, T>(spec: Spec, f: F, submit: impl FnOnce(SharedBody)) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let (handle, record) = Record::two(spec, f);
        // SAFETY: coercions.
        unsafe {
            submit(record.unsized_by(|record| record as _));
            JoinHandle::of_goroutine(handle.unsized_by(|record| record as _))
        }
    }

    #[track_caller]
    fn submit<F, T>(self, stack: Option<Stack>, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let stack_size = self.stack_bytes();
        let identity = Identity::new(current_identity(), Location::caller(), self.name.as_ref());
        let here =
            current_worker().filter(|worker| self.runtime.as_ref().is_none_or(|its| Arc::ptr_eq(its, &worker.shared)));
        let spec = Spec { identity, stack_size, stack, scope: None };
        Self::record(spec, f, |record| match (here, self.near, self.runtime) {
            (Some(worker), Some(near), _) => {
                count(&worker.remote.doings.spawned);
                worker.push_near(near, Fresh::new(record));
            }
            (None, _, Some(runtime)) => runtime.inject(Work::Fresh(Fresh::new(record))),
            _ => submit_fresh(record),
        })
    }
}

impl fmt::Debug for Goroutine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Goroutine")
            .field("name", &self.name)
            .field("stack_size", &self.stack_size)
            .field("near", &self.near.is_some())
            .finish_non_exhaustive()
    }
}

impl<F> SpawnError<F> {
    /// What was to run.
    #[must_use]
    pub fn into_closure(self) -> F {
        self.closure
    }
}

impl<F> fmt::Debug for SpawnError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpawnError").field("why", &self.why).finish_non_exhaustive()
    }
}

impl<F> fmt::Display for SpawnError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.why.fmt(f)
    }
}

impl<F> std::error::Error for SpawnError<F> {}
