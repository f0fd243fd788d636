//! G: a goroutine.
//!
//! A goroutine starts as a closure, which any worker may take. When it first runs it gets a stack, and from then on is
//! its worker's: it is resumed there and nowhere else, and its record is touched there and nowhere else, but for the two
//! words that name it to whoever readies it.

use super::worker::Worker;
use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};
use std::cell::{Cell, UnsafeCell};
use std::num::NonZeroU64;
use std::panic::Location;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

/// What tells one goroutine from all others of the process.
pub(super) type Id = NonZeroU64;

/// What is known of a goroutine from its start.
#[derive(Debug)]
pub(super) struct About {
    pub(super) id: Id,
    /// Who started it; `None` for one that a thread started.
    #[expect(dead_code, reason = "for the dump")]
    parent: Option<Id>,
    #[expect(dead_code, reason = "for the dump")]
    spawned_at: &'static Location<'static>,
}

impl About {
    pub(super) fn new(parent: Option<Id>, spawned_at: &'static Location<'static>) -> Self {
        static IDS: AtomicU64 = AtomicU64::new(1);
        let id = Id::new(IDS.fetch_add(1, Ordering::Relaxed)).expect("fewer than 2^64 goroutines");
        Self { id, parent, spawned_at }
    }
}

/// A goroutine that has not run yet.
pub(super) struct Fresh {
    pub(super) about: About,
    pub(super) stack_size: usize,
    /// Catches its own panics.
    pub(super) body: Box<dyn FnOnce() + Send>,
}

type Stackful = Coroutine<(), (), (), DefaultStack>;

/// A goroutine that has run.
pub(super) struct G {
    pub(super) about: About,
    pub(super) worker: *const Worker,
    coroutine: UnsafeCell<Option<Stackful>>,
    /// How the running goroutine reaches its worker.
    yielder: Cell<*const Yielder<(), ()>>,
    /// Its deadline has passed, and that is why it was resumed.
    pub(super) timed_out: Cell<bool>,
}

impl G {
    /// Gives a fresh goroutine its stack. The record stays where it is until the goroutine has ended.
    pub(super) fn start(fresh: Fresh, worker: *const Worker, stack: DefaultStack) -> *mut Self {
        let Fresh { about, body, .. } = fresh;
        let g = Box::into_raw(Box::new(Self {
            about,
            worker,
            coroutine: UnsafeCell::new(None),
            yielder: Cell::new(ptr::null()),
            timed_out: Cell::new(false),
        }));
        // The record outlives the coroutine, and both stay on this thread.
        let address = SendPtr(g);
        let coroutine = Coroutine::with_stack(stack, move |yielder, ()| {
            let address = address;
            // SAFETY: the record is alive while its coroutine runs.
            unsafe { (*address.0).yielder.set(yielder) };
            body();
        });
        // SAFETY: nobody else knows the record yet.
        unsafe { *(*g).coroutine.get() = Some(coroutine) };
        g
    }

    /// Runs the goroutine until it switches out. True if it has ended.
    ///
    /// # Safety
    /// Called by its worker, from the worker's own stack.
    pub(super) unsafe fn resume(this: *mut Self) -> bool {
        // SAFETY: only its worker touches the coroutine, and never while it runs.
        let coroutine = unsafe { (*(*this).coroutine.get()).as_mut().expect("resumed after its end") };
        matches!(coroutine.resume(()), CoroutineResult::Return(()))
    }

    /// Switches the running goroutine out; returns when it is resumed.
    ///
    /// # Safety
    /// Called by the goroutine itself.
    pub(super) unsafe fn suspend(this: *const Self) {
        // SAFETY: the yielder lives on the goroutine's stack, below its body.
        unsafe { (*(*this).yielder.get()).suspend(()) };
    }

    /// Frees the record, and returns the stack.
    ///
    /// # Safety
    /// The goroutine has ended, and nobody has its address.
    pub(super) unsafe fn end(this: *mut Self) -> DefaultStack {
        // SAFETY: the caller's contract.
        let this = unsafe { Box::from_raw(this) };
        this.coroutine.into_inner().expect("ended once").into_stack()
    }
}

struct SendPtr(*mut G);
