//! The switch by a jump, for x86-64.
//!
//! **What is saved** is `rbp`, `rbx`, the place to go on at, and in the [`Context`] (a worker's: the [`Outside`]) where those
//! lie: the compiler is told that everything else is lost. A stack that has stopped ends in the three words, the place last;
//! so does one that was prepared, but for
//! the place.

use crate::rt::current::running;
use crate::rt::g::Body;
use crate::rt::stack::Stack;
use std::arch::{asm, global_asm};
use std::cell::Cell;
use std::{process, ptr};

/// What lies on a stack that has stopped: where to go on, and registers.
type Word = *const ();

/// Where a worker goes on when its goroutines stop.
pub(in crate::rt) struct Outside(Cell<*mut Word>);

impl Outside {
    pub(in crate::rt) fn new() -> Self {
        Self(Cell::new(ptr::null_mut()))
    }
}

/// Where a goroutine goes on.
#[repr(C)]
pub(in crate::rt) struct Context {
    inside: Cell<*mut Word>,
    stack: Cell<Option<Stack>>,
    /// Not 0: it has. A word: with a gap behind it the fields from here on would not be made in place.
    ended: Cell<usize>,
}

// The first frame of a stack: takes the function off it, which leaves it aligned, and calls; what then lies on top is the argument.
// There is no caller to find, for who walks the stack.
global_asm!(
    ".balign 16",
    ".type gochan_first_frame_0_1, @function",
    "gochan_first_frame_0_1:",
    ".cfi_startproc",
    ".cfi_undefined rip",
    "pop rax",
    "mov rdi, rsp",
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
unsafe fn switch(save: *mut *mut Word, to: *mut Word) {
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

/// Who runs on this stack, one after the other; the place is where the next is noted, so that no frame knows those before it.
extern "C" fn enter(place: *mut *const dyn Body) -> ! {
    // SAFETY: a record, which the context is in, and which is the body, lives until its goroutine has ended. That is when it returns, and
    // nothing else is left here.
    unsafe {
        loop {
            (**place).run();
            let Some(next) = running().0.succeed() else { break };
            place.write(next);
        }
        let (worker, g) = running();
        g.own.context.ended.set(1);
        g.own.context.switch_out(&worker.outside);
    }
    // Nobody resumes a goroutine that has ended.
    process::abort()
}

impl Context {
    /// Can a goroutine switch to another one?
    pub(in crate::rt) const HOPS: bool = true;

    /// Its stack may have been taken beforehand.
    pub(in crate::rt) fn new(stack: Option<Stack>) -> Self {
        Self { inside: Cell::new(ptr::null_mut()), ended: Cell::new(0), stack: Cell::new(stack) }
    }

    /// The stack that was taken beforehand.
    pub(in crate::rt) fn taken_beforehand(&self) -> Option<Stack> {
        self.stack.take()
    }

    /// Has a stack been taken for it?
    #[inline]
    pub(in crate::rt) fn has_stack(&self) -> bool {
        // SAFETY: nobody else touches the cell.
        unsafe { (*self.stack.as_ptr()).is_some() }
    }

    /// Gives it a stack, and what to run there.
    ///
    /// # Safety
    /// This, and the body, stay where they are until it has ended.
    pub(in crate::rt) unsafe fn prepare(&self, stack: Stack, body: *const dyn Body) {
        const { assert!(size_of::<*const dyn Body>() == 2 * size_of::<Word>()) };
        let base = stack.frames().cast::<Word>().as_ptr();
        // SAFETY: the words below the base are the stack's, and it is aligned to 16 bytes.
        unsafe {
            base.sub(2).cast::<*const dyn Body>().write(body);
            let top = base.sub(4);
            top.write(gochan_first_frame_0_1 as Word);
            top.add(1).write(enter as Word);
            self.inside.set(top);
        }
        self.stack.set(Some(stack));
    }

    /// It begins where another has ended, on its stack.
    pub(in crate::rt) fn take_over(&self, stack: Stack) {
        self.stack.set(Some(stack));
    }

    /// From the worker: runs the goroutine, and those that it hops to, until one stops with nobody next.
    ///
    /// # Safety
    /// Called by its worker, whose outside it is, from the worker's own stack; it is prepared, and has not ended.
    #[inline]
    pub(in crate::rt) unsafe fn switch_in(&self, outside: &Outside) {
        // SAFETY: prepared, or saved when it was switched out.
        unsafe { switch(outside.0.as_ptr(), self.inside.get()) };
    }

    /// From the goroutine, to its worker: returns when it is switched in again.
    ///
    /// # Safety
    /// Called by the goroutine itself; the outside is its worker's.
    #[inline]
    pub(in crate::rt) unsafe fn switch_out(&self, outside: &Outside) {
        // SAFETY: saved when the worker switched in.
        unsafe { switch(self.inside.as_ptr(), outside.0.get()) };
    }

    /// From the goroutine, to another one: returns when it is switched in again.
    ///
    /// # Safety
    /// Called by the goroutine itself; `next` is another one of its worker, that is prepared and has not ended.
    #[inline]
    pub(in crate::rt) unsafe fn hop(&self, next: &Self) {
        // SAFETY: prepared, or saved when it was switched out.
        unsafe { switch(self.inside.as_ptr(), next.inside.get()) };
    }

    /// The top of its stack, while it does not run; `None` if that is not known.
    #[inline(always)]
    pub(in crate::rt) fn top(&self) -> Option<*const u8> {
        Some(self.inside.get().cast())
    }

    /// Has it come to its end?
    #[inline]
    pub(in crate::rt) fn has_ended(&self) -> bool {
        self.ended.get() != 0
    }

    /// The stack of one that has ended.
    ///
    /// # Safety
    /// Called by its worker.
    pub(in crate::rt) unsafe fn take_stack(&self) -> Stack {
        // So that the record, once freed, does not look as if the stack's next owner could be reached from it.
        self.inside.set(ptr::null_mut());
        self.stack.take().expect("ended once")
    }
}

/// Zeroes what goroutines have left in the registers that nobody needs here. A worker that sleeps would else keep it for as long
/// as it does, there or in the frames of what it calls to sleep, and look as if it had their handles.
pub(in crate::rt) fn forget_registers() {
    // SAFETY: the compiler is told that these are lost.
    unsafe {
        asm!(
            "xor r12d, r12d",
            "xor r13d, r13d",
            "xor r14d, r14d",
            "xor r15d, r15d",
            out("r12") _,
            out("r13") _,
            out("r14") _,
            out("r15") _,
        );
    }
    if is_x86_feature_detected!("avx") {
        // SAFETY: as above; the processor has the instruction.
        unsafe { asm!("vzeroall", clobber_abi("sysv64")) };
    }
}
