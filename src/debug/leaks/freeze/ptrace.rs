//! The world is stopped by a child that traces it.

use crate::debug::leaks::sheet::Sheet;
use libc::{c_int, c_long, c_void, pid_t};
use std::fs::File;
use std::mem::{MaybeUninit, offset_of};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a thread may take to stop: one that waits in the kernel without being woken does not.
const PATIENCE: Duration = Duration::from_secs(3);
const STACK: usize = 256 << 10;
const MOST_THREADS: usize = 1 << 16;

/// A thread that was seized.
#[derive(Clone, Copy)]
struct Seized {
    tid: pid_t,
    stopped: bool,
    /// The signal at whose delivery it stopped: it is delivered when the thread goes on.
    signal: c_int,
}

/// All threads are stopped, but the one that waits for this to end.
pub(in crate::debug::leaks) struct World {
    threads: Sheet<Seized>,
    /// The one that called, which has nothing but ours on its stack and in its registers.
    caller: pid_t,
    /// The child's.
    stack: Sheet<u8>,
}

struct Job<'a> {
    tasks: File,
    world: World,
    may_trace: AtomicBool,
    work: &'a mut dyn FnMut(&World),
    refused: Option<&'static str>,
}

/// Stops all threads of the process but the calling one, calls `work`, and lets them go on.
///
/// # Errors
///
/// Why they could not be stopped; then `work` was not called.
pub(in crate::debug::leaks) fn freeze(mut work: impl FnMut(&World)) -> Result<(), &'static str> {
    let tasks = File::open("/proc/self/task").map_err(|_| "there is no /proc")?;
    let (Some(threads), Some(stack)) = (Sheet::new(MOST_THREADS), Sheet::new(STACK)) else {
        return Err("there is no memory for it");
    };
    // SAFETY: it returns a number.
    let caller = unsafe { libc::gettid() };
    let world = World { threads, caller, stack };
    let may_trace = AtomicBool::new(false);
    let mut job = Job { tasks, world, may_trace, work: &mut work, refused: Some("its tracer has died") };
    let job = &raw mut job;
    let mut mask = MaybeUninit::uninit();
    let mut status = 0;
    // SAFETY: the child runs on a stack of its own, with the job, which is here until the child has ended. Signals are the
    // process's, not the child's. It may be traced by its child only while it waits for that.
    unsafe {
        let mut all = MaybeUninit::uninit();
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), mask.as_mut_ptr());
        let flags = libc::CLONE_VM | libc::CLONE_FS | libc::CLONE_FILES | libc::CLONE_UNTRACED;
        let child = libc::clone(trace, (*job).world.stack.end().cast(), flags, job.cast());
        if child == -1 {
            (*job).refused = Some("there is no process for its tracer");
        } else {
            // Where a process may be traced by its ancestors only, unless it says by whom else.
            libc::prctl(libc::PR_SET_PTRACER, child as c_long, 0, 0, 0);
            (*job).may_trace.store(true, Ordering::Release);
            while libc::waitpid(child, &raw mut status, libc::__WALL) == -1 && *libc::__errno_location() == libc::EINTR
            {
            }
            libc::prctl(libc::PR_SET_PTRACER, 0, 0, 0, 0);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, mask.as_ptr(), ptr::null_mut());
        ptr::read(&raw const (*job).refused).map_or(Ok(()), Err)
    }
}

/// The child.
extern "C" fn trace(job: *mut c_void) -> c_int {
    // SAFETY: the job is the caller's, who waits.
    let job = unsafe { &mut *job.cast::<Job<'_>>() };
    while !job.may_trace.load(Ordering::Acquire) {
        std::thread::yield_now();
    }
    job.refused = job.stop_all().err();
    if job.refused.is_none() {
        (job.work)(&job.world);
    }
    for thread in job.world.threads.iter() {
        if thread.stopped {
            // SAFETY: it is stopped, and ours.
            unsafe { libc::ptrace(libc::PTRACE_DETACH, thread.tid, 0, c_long::from(thread.signal)) };
        }
    }
    0
}

impl Job<'_> {
    fn stop_all(&mut self) -> Result<(), &'static str> {
        let until = Instant::now() + PATIENCE;
        // Who was not stopped yet may have started others meanwhile.
        while self.seize_new()? {
            self.wait_for_all(until)?;
        }
        Ok(())
    }

    /// Seizes every thread that is not yet. True if there were any.
    fn seize_new(&mut self) -> Result<bool, &'static str> {
        let mut found = false;
        let mut refused = None;
        let Self { tasks, world, .. } = self;
        let listed = each_number(tasks, |tid| {
            if world.threads.iter().any(|thread| thread.tid == tid) {
                return;
            }
            // SAFETY: traces a thread of the process that the memory is shared with.
            if unsafe { libc::ptrace(libc::PTRACE_SEIZE, tid, 0, 0) } == 0 {
                // SAFETY: it is ours.
                unsafe { libc::ptrace(libc::PTRACE_INTERRUPT, tid, 0, 0) };
                world.threads.push(Seized { tid, stopped: false, signal: 0 });
                found = true;
            // SAFETY: the error of the last call.
            } else if unsafe { *libc::__errno_location() } != libc::ESRCH {
                refused = Some("the process may not be traced");
            }
        });
        match refused {
            None if !listed => Err("there is no /proc"),
            None if world.threads.overflowed => Err("it has too many threads"),
            None => Ok(found),
            Some(why) => Err(why),
        }
    }

    fn wait_for_all(&mut self, until: Instant) -> Result<(), &'static str> {
        let threads = &mut self.world.threads;
        let mut at = 0;
        while at < threads.len() {
            let thread = &mut threads[at];
            let mut status = 0;
            if thread.stopped {
                at += 1;
                continue;
            }
            // SAFETY: the thread is traced by this process.
            match unsafe { libc::waitpid(thread.tid, &raw mut status, libc::__WALL | libc::WNOHANG) } {
                0 if Instant::now() > until => return Err("a thread does not stop"),
                0 => std::thread::sleep(Duration::from_micros(50)),
                tid if tid == thread.tid && libc::WIFSTOPPED(status) => {
                    thread.stopped = true;
                    // A stop of its own kind, or for the delivery of a signal.
                    thread.signal = if status >> 16 == 0 { libc::WSTOPSIG(status) } else { 0 };
                }
                // It has ended.
                _ => threads.swap_remove(at),
            }
        }
        Ok(())
    }
}

impl World {
    /// What is ours in memory: the child's stack.
    pub(in crate::debug::leaks) fn span(&self) -> Range<usize> {
        self.stack.span()
    }

    /// Of every thread, its number, where its stack stops and its registers, in pieces.
    ///
    /// # Errors
    ///
    /// Why some could not be read.
    pub(in crate::debug::leaks) fn registers(
        &self,
        mut each: impl FnMut(pid_t, usize, &[u8]),
    ) -> Result<(), &'static str> {
        const SP: usize = offset_of!(libc::user_regs_struct, rsp) / size_of::<u64>();
        for thread in self.threads.iter().filter(|thread| thread.tid != self.caller) {
            let mut registers: Registers = [0; REGISTERS];
            let len = get(thread.tid, libc::NT_PRSTATUS, &mut registers)?;
            let sp = registers[SP] as usize;
            each(thread.tid, sp, as_bytes(&registers, len));
            let len = get(thread.tid, NT_X86_XSTATE, &mut registers)?;
            each(thread.tid, sp, as_bytes(&registers, len));
        }
        Ok(())
    }
}

/// Room for all that `xsave` saves, and more.
const REGISTERS: usize = 4096;
type Registers = [u64; REGISTERS];
/// What `xsave` saves: every register that is not in `NT_PRSTATUS`.
const NT_X86_XSTATE: c_int = 0x202;

/// Reads registers of a thread; returns how many bytes there are.
fn get(tid: pid_t, which: c_int, registers: &mut Registers) -> Result<usize, &'static str> {
    let mut room = libc::iovec { iov_base: registers.as_mut_ptr().cast(), iov_len: size_of::<Registers>() };
    // SAFETY: the thread is traced by us and stopped; there is room.
    let got = unsafe { libc::ptrace(libc::PTRACE_GETREGSET, tid, c_long::from(which), &raw mut room) };
    // If all the room was taken there may be more.
    (got == 0 && room.iov_len < size_of::<Registers>()).then_some(room.iov_len).ok_or("its registers cannot be read")
}

fn as_bytes(registers: &Registers, len: usize) -> &[u8] {
    // SAFETY: numbers are bytes, and so many of them are there.
    unsafe { std::slice::from_raw_parts(registers.as_ptr().cast(), len) }
}

/// The numbers that entries of a directory of `/proc` are named by. False if it cannot be read.
fn each_number(directory: &File, mut each: impl FnMut(pid_t)) -> bool {
    const NAME: usize = offset_of!(libc::dirent64, d_name);
    let mut room = [0_u64; 512];
    // SAFETY: a file of ours.
    unsafe { libc::lseek(directory.as_raw_fd(), 0, libc::SEEK_SET) };
    loop {
        let bytes = size_of_val(&room);
        // SAFETY: there is room.
        let len = unsafe { libc::syscall(libc::SYS_getdents64, directory.as_raw_fd(), room.as_mut_ptr(), bytes) };
        let Ok(len) = usize::try_from(len) else { return false };
        if len == 0 {
            return true;
        }
        // SAFETY: so many bytes were written.
        let mut rest = unsafe { std::slice::from_raw_parts(room.as_ptr().cast::<u8>(), len) };
        while rest.len() > NAME {
            let len = offset_of!(libc::dirent64, d_reclen);
            let len = usize::from(u16::from_ne_bytes([rest[len], rest[len + 1]])).clamp(1, rest.len());
            let name = rest[NAME..len].split(|byte| *byte == 0).next();
            if let Some(number) =
                name.and_then(|name| std::str::from_utf8(name).ok()).and_then(|name| name.parse().ok())
            {
                each(number);
            }
            rest = &rest[len..];
        }
    }
}
