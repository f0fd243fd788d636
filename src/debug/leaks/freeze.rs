//! A moment at which nothing of the process runs, and its registers.
//!
//! A thread cannot stop its own process and go on. So a child is cloned that shares the memory, and is a process of its own for
//! the kernel: it may trace the others. It stops every thread with `PTRACE_INTERRUPT`, which no thread can refuse and no
//! handler of a signal sees, and does the work. When it ends, or dies, the kernel lets all of them go on.
//!
//! **What the work may do.** Any thread may have been stopped in the middle of anything, with any lock: it must neither
//! allocate nor take a lock, unless the caller holds that already. It may read all memory, and write what is its own.
//!
//! **Refused** where a process may not be traced by its child (a debugger has it; seccomp), where threads cannot be
//! stopped within seconds, and elsewhere than on Linux on x86-64.

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[path = "freeze/ptrace.rs"]
mod way;

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
#[path = "freeze/refused.rs"]
mod way;

pub(super) use way::{World, freeze};
