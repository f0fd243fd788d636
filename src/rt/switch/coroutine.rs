//! The switch by corosensei.

use crate::rt::g::Body;
use crate::rt::stack::Stack;
use corosensei::{Coroutine, CoroutineResult, Yielder};
use std::cell::{Cell, UnsafeCell};
use std::ptr;

/// Where a goroutine and its worker go on when the other stops.
pub(in crate::rt) struct Context {
    coroutine: UnsafeCell<Option<Coroutine<(), (), (), Stack>>>,
    /// How the running goroutine reaches its worker.
    yielder: Cell<*const Yielder<(), ()>>,
}

impl Context {
    pub(in crate::rt) fn new() -> Self {
        Self { coroutine: UnsafeCell::new(None), yielder: Cell::new(ptr::null()) }
    }

    /// Gives it a stack, and what to run there.
    ///
    /// # Safety
    /// This, and the body, stay where they are until it has ended.
    pub(in crate::rt) unsafe fn prepare(&self, stack: Stack, body: *const dyn Body) {
        let this: *const Self = self;
        let coroutine = Coroutine::with_stack(stack, move |yielder, ()| {
            // SAFETY: the caller's contract.
            unsafe {
                (*this).yielder.set(yielder);
                (*body).run();
            }
        });
        // SAFETY: only its worker touches the coroutine.
        unsafe { *self.coroutine.get() = Some(coroutine) };
    }

    /// From the worker: runs the goroutine until it switches out. True if it has ended.
    ///
    /// # Safety
    /// Called by its worker, from the worker's own stack; it is prepared, and has not ended.
    pub(in crate::rt) unsafe fn switch_in(&self) -> bool {
        // SAFETY: only its worker touches the coroutine, and never while it runs.
        let coroutine = unsafe { (*self.coroutine.get()).as_mut().expect("resumed after its end") };
        matches!(coroutine.resume(()), CoroutineResult::Return(()))
    }

    /// From the goroutine: returns when it is switched in again.
    ///
    /// # Safety
    /// Called by the goroutine itself.
    pub(in crate::rt) unsafe fn switch_out(&self) {
        // SAFETY: the yielder lives on the goroutine's stack, below its body.
        unsafe { (*self.yielder.get()).suspend(()) };
    }

    /// The stack of one that has ended.
    ///
    /// # Safety
    /// Called by its worker.
    pub(in crate::rt) unsafe fn take_stack(&self) -> Stack {
        // SAFETY: only its worker touches the coroutine, and it does not run.
        let coroutine = unsafe { (*self.coroutine.get()).take() };
        coroutine.expect("ended once").into_stack()
    }
}
