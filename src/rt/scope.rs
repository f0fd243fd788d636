//! Goroutines that borrow from who started them.
//!
//! **Nobody leaves a scope before its children, on any path**: not when the closure panics, not when the owner is
//! cancelled, not when its runtime shuts down. What they borrow is in frames below the scope's, and those stay until the
//! last child has said that it has ended.

use super::builder::usual_stack_bytes;
use super::cancel::{Cancelled, is_cancelled, shielded, unwind};
use super::current::{current_identity, current_worker, running};
use super::g::{Body, Identity, Joinable, Record, Spec};
use super::join::ScopedJoinHandle;
use super::latch::Latch;
use super::mail::Mail;
use super::runtime::{Shared, submit_fresh};
use crate::park::{Reason, scheduler};
use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What a scope and its children share.
pub(super) struct ScopeState {
    /// Children that have not ended, and one for the owner while it has not come to the end.
    children: AtomicUsize,
    all_ended: Latch,
    /// A child that nobody joined has panicked.
    panicked: AtomicBool,
    cancelled: AtomicBool,
    /// The next scope that the owner is in. The owner's alone.
    outer: *const ScopeState,
}

// SAFETY: `outer` is read by the owner and its worker, on one thread.
unsafe impl Send for ScopeState {}
// SAFETY: as above.
unsafe impl Sync for ScopeState {}

impl ScopeState {
    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }

    pub(super) fn outer(&self) -> *const Self {
        self.outer
    }

    pub(super) fn note_panic(&self) {
        self.panicked.store(true, Ordering::Relaxed);
    }

    /// The last thing that a child does with what it has borrowed.
    pub(super) fn child_ended(&self, panicked: bool) {
        if panicked {
            self.note_panic();
        }
        // Release: what the child did is done. Acquire: by all of them.
        if self.children.fetch_sub(1, Ordering::AcqRel) == 1 {
            if let Ok(ready) = self.all_ended.set() {
                ready.fire();
            }
        }
    }

    /// Tells all children to end, wherever they live.
    pub(super) fn cancel(self: &Arc<Self>) {
        self.cancelled.store(true, Ordering::SeqCst);
        if let Some(worker) = current_worker() {
            worker.shared.post_to_all(|| Mail::CancelScope(self.clone()));
        }
        // A plain thread that was let in here has started its children there.
        if let Some(global) = Shared::global_if_started() {
            global.post_to_all(|| Mail::CancelScope(self.clone()));
        }
    }
}

/// A scope in which goroutines may borrow; see [`scope`].
pub struct Scope<'scope, 'env: 'scope> {
    state: Arc<ScopeState>,
    _scope: PhantomData<&'scope mut &'scope ()>,
    _env: PhantomData<&'env mut &'env ()>,
}

/// Runs `f`, in which goroutines can be started that borrow from what is outside of it, and returns when all of them have
/// ended. As [`std::thread::scope`], for goroutines; and as a `sync.WaitGroup` that cannot be forgotten.
///
/// # Panics
///
/// If `f` panics, with its payload; if a child that was not joined has panicked; and in a future's `poll`, which may not
/// wait.
///
/// # Examples
///
/// ```
/// use gochan::rt;
///
/// let words = vec!["one", "two", "three"];
/// let lengths = rt::run(move || {
///     rt::scope(|s| {
///         let all: Vec<_> = words.iter().map(|word| s.go(move || word.len())).collect();
///         all.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()
///     })
/// });
/// assert_eq!(lengths, [3, 3, 5]);
/// ```
#[track_caller]
pub fn scope<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    let at = Location::caller();
    assert!(
        !scheduler().is_some_and(|scheduler| scheduler.polling),
        "a scope in a future's poll would block its worker: start goroutines that do not borrow, and await their handles"
    );
    let owner = scheduler().map(|_| running().1);
    let outer = owner.map_or(ptr::null(), |owner| owner.own.scopes.get());
    let state = Arc::new(ScopeState {
        children: AtomicUsize::new(1),
        all_ended: Latch::new(),
        panicked: AtomicBool::new(false),
        cancelled: AtomicBool::new(false),
        outer,
    });
    let scope = Scope { state: state.clone(), _scope: PhantomData, _env: PhantomData };
    if let Some(owner) = owner {
        owner.own.scopes.set(Arc::as_ptr(&state));
    }
    let result = catch_unwind(AssertUnwindSafe(|| f(&scope)));
    // From here to the end of the last child nothing may unwind.
    let stay = AbortOnUnwind;
    if result.as_ref().is_err_and(|payload| payload.is::<Cancelled>()) {
        state.cancel();
    }
    state.child_ended(false);
    shielded(|| while !state.all_ended.wait(Reason::Join, at, None) {});
    std::mem::forget(stay);
    if let Some(owner) = owner {
        owner.own.scopes.set(outer);
    }
    match result {
        Err(payload) => resume_unwind(payload),
        // Its children were told, and so was it.
        Ok(_) if owner.is_some() && is_cancelled() => unwind(),
        Ok(_) if state.panicked.load(Ordering::Relaxed) => panic!("a goroutine of the scope panicked"),
        Ok(value) => value,
    }
}

/// Where an unwinding would leave others with what is gone: here children with frames that they borrow.
pub(super) struct AbortOnUnwind;

impl Drop for AbortOnUnwind {
    fn drop(&mut self) {
        std::process::abort();
    }
}

impl<'scope> Scope<'scope, '_> {
    /// Starts a goroutine that may borrow from what lives longer than the scope, which does not end before it. See
    /// [`go`](super::go).
    #[track_caller]
    pub fn go<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        self.state.children.fetch_add(1, Ordering::Relaxed);
        let identity = Identity::new(current_identity(), Location::caller(), None);
        let scope = Some(self.state.clone());
        let stack_size = usual_stack_bytes();
        let (handle, body) = Record::two(Spec { identity, stack_size, stack: None, scope }, f);
        // SAFETY: coercions, and the lifetime changes. What the closure borrows lives until the scope ends, and that is after
        // the closure and its value are gone: the value goes to the handle, which is of the scope, or is dropped before the
        // child says that it has ended.
        let (body, handle) = unsafe {
            let body = body.unsized_by(|record| {
                std::mem::transmute::<*mut (dyn Body + Send + Sync + 'scope), *mut (dyn Body + Send + Sync)>(record)
            });
            let handle =
                handle.unsized_by(|record| {
                    std::mem::transmute::<
                        *mut (dyn Joinable<T> + Send + Sync + 'scope),
                        *mut (dyn Joinable<T> + Send + Sync),
                    >(record)
                });
            (body, handle)
        };
        submit_fresh(body);
        ScopedJoinHandle::new(handle)
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let children = self.state.children.load(Ordering::Relaxed).saturating_sub(1);
        f.debug_struct("Scope").field("children", &children).finish_non_exhaustive()
    }
}
