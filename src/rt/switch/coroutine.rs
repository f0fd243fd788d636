//! The switch by corosensei.

use crate::rt::current::running;
use crate::rt::g::Body;
use crate::rt::stack::Stack;
use corosensei::{Coroutine, CoroutineResult, Yielder};
use std::cell::{Cell, UnsafeCell};
use std::ptr;

/// Where a worker goes on when its goroutines stop: that is the coroutine's.
pub(in crate::rt) struct Outside;

impl Outside {
    pub(in crate::rt) fn new() -> Self {
        Self
    }
}

/// Where a goroutine and its worker go on when the other stops.
pub(in crate::rt) struct Context {
    ended: Cell<bool>,
    coroutine: UnsafeCell<Option<Coroutine<(), (), (), Stack>>>,
    /// How the running goroutine reaches its worker.
    yielder: Cell<*const Yielder<(), ()>>,
    /// A stack that was taken for it beforehand.
    beforehand: Cell<Option<Stack>>,
}

impl Context {
    /// Can a goroutine switch to another one?
    pub(in crate::rt) const HOPS: bool = false;

    /// Its stack may have been taken beforehand.
    pub(in crate::rt) fn new(stack: Option<Stack>) -> Self {
        let (coroutine, yielder) = (UnsafeCell::new(None), Cell::new(ptr::null()));
        Self { ended: Cell::new(false), coroutine, yielder, beforehand: Cell::new(stack) }
    }

    /// The stack that was taken beforehand.
    pub(in crate::rt) fn taken_beforehand(&self) -> Option<Stack> {
        self.beforehand.take()
    }

    /// Has a stack been taken for it?
    pub(in crate::rt) fn has_stack(&self) -> bool {
        // SAFETY: nobody else touches the cell.
        unsafe { (*self.beforehand.as_ptr()).is_some() }
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
                let next = running().0.succeed();
                debug_assert!(next.is_none(), "a coroutine is its stack's only one");
            }
        });
        // SAFETY: only its worker touches the coroutine.
        unsafe { *self.coroutine.get() = Some(coroutine) };
    }

    /// # Panics
    /// Always.
    pub(in crate::rt) fn take_over(&self, _: Stack) {
        unreachable!("a coroutine is its stack's only one");
    }

    /// From the worker: runs the goroutine until it stops.
    ///
    /// # Safety
    /// Called by its worker, from the worker's own stack; it is prepared, and has not ended.
    pub(in crate::rt) unsafe fn switch_in(&self, _: &Outside) {
        // SAFETY: only its worker touches the coroutine, and never while it runs.
        let coroutine = unsafe { (*self.coroutine.get()).as_mut().expect("resumed after its end") };
        self.ended.set(matches!(coroutine.resume(()), CoroutineResult::Return(())));
    }

    /// From the goroutine: returns when it is switched in again.
    ///
    /// # Safety
    /// Called by the goroutine itself.
    pub(in crate::rt) unsafe fn switch_out(&self, _: &Outside) {
        // SAFETY: the yielder lives on the goroutine's stack, below its body.
        unsafe { (*self.yielder.get()).suspend(()) };
    }

    /// # Safety
    /// Never called.
    pub(in crate::rt) unsafe fn hop(&self, _: &Self) {
        unreachable!("a coroutine returns to who has resumed it");
    }

    /// Where its stack stops is the coroutine's.
    pub(in crate::rt) fn top(&self) -> Option<*const u8> {
        None
    }

    /// Has it come to its end?
    pub(in crate::rt) fn has_ended(&self) -> bool {
        self.ended.get()
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

/// Nothing is left there for sure.
pub(in crate::rt) fn forget_registers() {}
