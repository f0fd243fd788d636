//! The switch between a worker and the goroutine that it runs.
//!
//! Three functions, and two ways to do them: corosensei's, and on x86-64 one of our own, which differs in a single point.
//! corosensei enters a coroutine by `call` and leaves it by `ret`, which suits generators, that suspend in the frame which was
//! resumed. A goroutine suspends deep below, in some `recv`, so each return that follows a switch would be predicted to
//! lead elsewhere: 35 to 48 ns a hop. With a jump both ways the calls and returns of either stack stay balanced: 7 to 10.
//!
//! Nothing unwinds across a switch: whatever a goroutine's body raises is caught in its first frame. A backtrace ends there.

#[cfg(all(target_arch = "x86_64", unix, not(gochan_corosensei)))]
pub(super) use jump::Context;

#[cfg(not(all(target_arch = "x86_64", unix, not(gochan_corosensei))))]
pub(super) use coroutine::Context;

#[cfg(all(target_arch = "x86_64", unix, not(gochan_corosensei)))]
mod jump {
    use crate::rt::g::Body;
    use crate::rt::stack::Stack;
    use corosensei::stack::Stack as _;
    use std::arch::{asm, global_asm};
    use std::cell::Cell;
    use std::{process, ptr};

    /// Where a goroutine and its worker go on when the other stops.
    pub(in crate::rt) struct Context {
        stack: Cell<Option<Stack>>,
        body: Cell<Option<*const dyn Body>>,
        inside: Cell<*mut u64>,
        outside: Cell<*mut u64>,
        ended: Cell<bool>,
    }

    // The first frame of a stack: takes the argument and the function off it, which leaves it aligned, and calls. There is no
    // caller to find, for who walks the stack.
    global_asm!(
        ".balign 16",
        ".type gochan_first_frame_0_1, @function",
        "gochan_first_frame_0_1:",
        ".cfi_startproc",
        ".cfi_undefined rip",
        "pop rdi",
        "pop rax",
        "call rax",
        "ud2",
        ".cfi_endproc",
        ".size gochan_first_frame_0_1, . - gochan_first_frame_0_1",
    );

    unsafe extern "C" {
        fn gochan_first_frame_0_1();
    }

    /// Saves where this stack stops, and goes on where the other has.
    ///
    /// # Safety
    /// `to` was saved by this function, or prepared, and has not been gone on from since.
    #[inline(always)]
    unsafe fn switch(save: *mut *mut u64, to: *mut u64) {
        // SAFETY: what a call would preserve is pushed or said to be lost, so the compiler keeps nothing there. The other stack
        // has the same three words on top. The signal mask, and the modes of the FPU, are the thread's.
        unsafe {
            asm!(
                "push rbp",
                "push rbx",
                "lea rax, [rip + 2f]",
                "push rax",
                "mov [rdi], rsp",
                "mov rsp, rsi",
                "pop rax",
                "jmp rax",
                "2:",
                "pop rbx",
                "pop rbp",
                inout("rdi") save => _,
                inout("rsi") to => _,
                out("r12") _,
                out("r13") _,
                out("r14") _,
                out("r15") _,
                clobber_abi("sysv64"),
            );
        }
    }

    extern "C" fn enter(context: *const Context) -> ! {
        // SAFETY: the record, which the context is in, lives until its goroutine has ended.
        unsafe {
            let context = &*context;
            (*context.body.get().expect("prepared")).run();
            context.ended.set(true);
            context.switch_out();
        }
        // Nobody resumes a goroutine that has ended.
        process::abort()
    }

    impl Context {
        pub(in crate::rt) fn new() -> Self {
            Self {
                stack: Cell::new(None),
                body: Cell::new(None),
                inside: Cell::new(ptr::null_mut()),
                outside: Cell::new(ptr::null_mut()),
                ended: Cell::new(false),
            }
        }

        /// Gives it a stack, and what to run there.
        ///
        /// # Safety
        /// This, and the body, stay where they are until it has ended.
        pub(in crate::rt) unsafe fn prepare(&self, stack: Stack, body: *const dyn Body) {
            let base = ptr::with_exposed_provenance_mut::<u64>(stack.base().get());
            self.body.set(Some(body));
            // SAFETY: the words below the base are the stack's, and it is aligned to 16 bytes.
            unsafe {
                let top = base.sub(3);
                top.write(gochan_first_frame_0_1 as *const () as u64);
                top.add(1).write(ptr::from_ref(self).expose_provenance() as u64);
                top.add(2).write(enter as *const () as u64);
                self.inside.set(top);
            }
            self.stack.set(Some(stack));
        }

        /// From the worker: runs the goroutine until it switches out. True if it has ended.
        ///
        /// # Safety
        /// Called by its worker, from the worker's own stack; it is prepared, and has not ended.
        pub(in crate::rt) unsafe fn switch_in(&self) -> bool {
            // SAFETY: prepared, or saved when it switched out.
            unsafe { switch(self.outside.as_ptr(), self.inside.get()) };
            self.ended.get()
        }

        /// From the goroutine: returns when it is switched in again.
        ///
        /// # Safety
        /// Called by the goroutine itself.
        pub(in crate::rt) unsafe fn switch_out(&self) {
            // SAFETY: saved when it was switched in.
            unsafe { switch(self.inside.as_ptr(), self.outside.get()) };
        }

        /// The stack of one that has ended.
        ///
        /// # Safety
        /// Called by its worker.
        pub(in crate::rt) unsafe fn take_stack(&self) -> Stack {
            self.stack.take().expect("ended once")
        }
    }
}

#[cfg(not(all(target_arch = "x86_64", unix, not(gochan_corosensei))))]
mod coroutine {
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
}
