//! The report of a goroutine that overflowed its stack.
//!
//! A stack that is full runs into its guard page, which is a SIGSEGV (SIGBUS on some systems). The handler looks whether the
//! address is in the guard page of a goroutine's stack; if so, it says whose and ends the process. Everything else goes to
//! whoever handled the signal before: std, which reports the overflow of a thread's stack, or the program's own handler.
//! Who takes the signal later than the first runtime starts has to pass on what is not his, too.
//!
//! **In the handler** nothing is allocated, locked or waited for. It runs on the thread's alternate stack, since the
//! goroutine's own is full. Workers are threads of std, which gives them one; unless `main` is not Rust's: then an overflow
//! ends the process without a word.

use super::g::Identity;
use super::stack::owner_of_guard;
use libc::{c_int, c_void, sigaction, siginfo_t};
use std::fmt::{self, Write};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::{Once, OnceLock};

/// The signals of an access to memory that may not be accessed, and who handled them before.
static BEFORE: [(c_int, OnceLock<sigaction>); 2] = [(libc::SIGSEGV, OnceLock::new()), (libc::SIGBUS, OnceLock::new())];

/// Reports overflows from now on.
pub(super) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for (signal, before) in &BEFORE {
            // SAFETY: an action of zeros is valid; `handle` is async-signal-safe, and has the type that SA_SIGINFO wants.
            // Who handled the signal before is kept before `handle` can be called.
            unsafe {
                let mut old = MaybeUninit::<sigaction>::zeroed();
                if libc::sigaction(*signal, ptr::null(), old.as_mut_ptr()) != 0 {
                    continue;
                }
                before.get_or_init(|| old.assume_init());
                let mut new = MaybeUninit::<sigaction>::zeroed().assume_init();
                new.sa_sigaction = handle as extern "C" fn(c_int, *mut siginfo_t, *mut c_void) as usize;
                new.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
                libc::sigaction(*signal, &raw const new, ptr::null_mut());
            }
        }
    });
}

extern "C" fn handle(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes a siginfo, and for these signals it has an address.
    let (address, code) = unsafe { ((*info).si_addr().addr(), (*info).si_code) };
    // Positive: the kernel's own, and not sent by a process.
    if code > 0 {
        if let Some((who, size)) = owner_of_guard(address) {
            // SAFETY: the goroutine ran into its guard page, so it has not ended, and is not going to.
            report(unsafe { &who.as_ref().identity }, size);
        }
    }
    let before = BEFORE.iter().find(|(handled, _)| *handled == signal).and_then(|(_, before)| before.get());
    if let Some(before) = before {
        // SAFETY: the arguments are the kernel's.
        unsafe { pass_on(before, signal, info, context) };
    }
}

/// Not inlined: alternate stacks are small, and who had the signal before needs some of it too.
#[inline(never)]
fn report(who: &Identity, size: usize) -> ! {
    let mut report = Report { text: [0; 512], len: 0 };
    // What does not fit is left out.
    let _ = writeln!(
        report,
        "\n{who} (spawned at {}) overflowed its stack of {size} bytes; give it more with rt::Goroutine::stack_size",
        who.spawned_at()
    );
    report.print();
    // SAFETY: async-signal-safe.
    unsafe { libc::abort() };
}

/// Does what the signal did before.
///
/// # Safety
/// Called by the signal's handler, with its arguments.
unsafe fn pass_on(before: &sigaction, signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    type Plain = extern "C" fn(c_int);
    type WithInfo = extern "C" fn(c_int, *mut siginfo_t, *mut c_void);
    // SAFETY: the caller's contract; the action says which type its handler has.
    unsafe {
        match before.sa_sigaction {
            // The access is made again on return, and ends the process. Nor would the kernel let it be ignored. What
            // another process sent comes again for the asking.
            libc::SIG_DFL | libc::SIG_IGN if (*info).si_code > 0 => drop(libc::signal(signal, libc::SIG_DFL)),
            libc::SIG_DFL => {
                libc::signal(signal, libc::SIG_DFL);
                libc::raise(signal);
            }
            libc::SIG_IGN => {}
            handler if before.sa_flags & libc::SA_SIGINFO != 0 => {
                std::mem::transmute::<usize, WithInfo>(handler)(signal, info, context);
            }
            handler => std::mem::transmute::<usize, Plain>(handler)(signal),
        }
    }
}

/// A text that is written in place.
struct Report {
    text: [u8; 512],
    len: usize,
}

impl Write for Report {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = &mut self.text[self.len..];
        let len = text.len().min(room.len());
        room[..len].copy_from_slice(&text.as_bytes()[..len]);
        self.len += len;
        Ok(())
    }
}

impl Report {
    /// To stderr.
    fn print(&self) {
        let mut rest = &self.text[..self.len];
        while !rest.is_empty() {
            // SAFETY: async-signal-safe; reads the text.
            let written = unsafe { libc::write(libc::STDERR_FILENO, rest.as_ptr().cast(), rest.len()) };
            match usize::try_from(written) {
                Ok(written) if written > 0 => rest = &rest[written..],
                _ => return,
            }
        }
    }
}
