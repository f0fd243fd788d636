//! A pair of fences, of which one costs nothing and the other a call to the system.
//!
//! Whoever stores, calls [`light`] and loads, and whoever stores, calls [`heavy`] and loads what the other has stored: at least one of
//! them sees what the other did. [`light`] keeps the compiler from changing the order, and the processor may; [`heavy`] makes every
//! thread of the process execute a full fence between two of its instructions, wherever it is.
//!
//! That is Linux's `membarrier`, since 4.14. Where there is no such call, [`is_to_be_had`] says so. Models have ordinary fences: what they
//! cannot show is that the call is as good as those.

pub(super) use way::{heavy, is_to_be_had, light};

#[cfg(feature = "rt")]
use std::sync::atomic::{Ordering, fence};

/// [`light`], or a full fence where there is no such pair, or not yet: for who does not know, with [`heavy_or_fence`] on the other side.
#[cfg(feature = "rt")]
#[inline(always)]
pub(crate) fn light_or_fence() {
    if is_to_be_had() == Some(true) { light() } else { fence(Ordering::SeqCst) }
}

#[cfg(feature = "rt")]
#[cold]
pub(crate) fn heavy_or_fence() {
    fence(Ordering::SeqCst);
    // Where it is not known here yet, the other side may know.
    if is_to_be_had() != Some(false) {
        heavy();
    }
}

#[cfg(gochan_loom)]
mod way {
    use loom::sync::atomic::{Ordering, fence};

    pub(in crate::primitive) fn is_to_be_had() -> Option<bool> {
        Some(true)
    }

    pub(in crate::primitive) fn light() {
        fence(Ordering::SeqCst);
    }

    pub(in crate::primitive) fn heavy() {
        fence(Ordering::SeqCst);
    }
}

#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64"),
    not(any(gochan_loom, gochan_shuttle, miri))
))]
mod way {
    use std::ffi::{c_int, c_long, c_uint};
    use std::sync::atomic::{AtomicU8, Ordering, compiler_fence};
    use std::time::Duration;
    use std::{fs, thread};

    const SYS_MEMBARRIER: c_long = if cfg!(target_arch = "x86_64") { 324 } else { 283 };
    const PRIVATE_EXPEDITED: c_int = 1 << 3;
    const REGISTER_PRIVATE_EXPEDITED: c_int = 1 << 4;

    unsafe extern "C" {
        // Std is linked to it.
        fn syscall(number: c_long, ...) -> c_long;
    }

    fn membarrier(command: c_int) -> bool {
        // SAFETY: its commands have no effect on memory but to order accesses to it.
        unsafe { syscall(SYS_MEMBARRIER, command, 0 as c_uint, 0 as c_int) == 0 }
    }

    /// Is this the process's only thread?
    fn is_alone() -> bool {
        fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() == 1)
    }

    /// Is there such a pair? The process has to register for it once. One with several threads takes some 10 ms for that, for which
    /// nobody here waits: till then it is not known.
    #[inline]
    pub(in crate::primitive) fn is_to_be_had() -> Option<bool> {
        match ANSWER.load(Ordering::Relaxed) {
            YES => Some(true),
            NO => Some(false),
            _ => ask(),
        }
    }

    static ANSWER: AtomicU8 = AtomicU8::new(UNASKED);
    const UNASKED: u8 = 0;
    const ASKED: u8 = 1;
    const NO: u8 = 2;
    const YES: u8 = 3;

    #[cold]
    fn ask() -> Option<bool> {
        // Who has asked already may have the answer by now, which must stay.
        if ANSWER.compare_exchange(UNASKED, ASKED, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return None;
        }
        let register = || {
            #[cfg(feature = "rt")]
            let _helper = crate::rt::deadlock::Helper::begin();
            let answer = membarrier(REGISTER_PRIVATE_EXPEDITED);
            ANSWER.store(if answer { YES } else { NO }, Ordering::Relaxed);
            answer
        };
        if is_alone() {
            return Some(register());
        }
        let registers = thread::Builder::new().name("gochan-barrier".into()).stack_size(64 << 10).spawn(register);
        if registers.is_err() {
            ANSWER.store(NO, Ordering::Relaxed);
        }
        None
    }

    #[inline(always)]
    pub(in crate::primitive) fn light() {
        compiler_fence(Ordering::SeqCst);
    }

    #[cold]
    pub(in crate::primitive) fn heavy() {
        compiler_fence(Ordering::SeqCst);
        // A child of `fork` may have to register again; it has no other threads, so that is done at once.
        let fenced =
            membarrier(PRIVATE_EXPEDITED) || membarrier(REGISTER_PRIVATE_EXPEDITED) && membarrier(PRIVATE_EXPEDITED);
        if !fenced {
            // Forbidden since it was allowed. What a thread has stored leaves its processor within nanoseconds.
            thread::sleep(Duration::from_millis(10));
        }
        compiler_fence(Ordering::SeqCst);
    }
}

#[cfg(not(any(
    gochan_loom,
    all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"), not(any(gochan_shuttle, miri)))
)))]
mod way {
    pub(in crate::primitive) fn is_to_be_had() -> Option<bool> {
        Some(false)
    }

    pub(in crate::primitive) fn light() {}

    pub(in crate::primitive) fn heavy() {}
}
