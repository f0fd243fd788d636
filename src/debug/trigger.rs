//! What makes a dump appear: a signal, a panic, a wait that takes too long.
//!
//! All of them write to stderr, and are asked for by the program.

use super::{Dump, Reason, Routine, dump};
use std::collections::HashSet;
use std::io::{self, Write};
use std::panic::{self, Location};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

/// Of more than so many the groups are shown.
const MOST: usize = 100;

/// Writes to stderr who runs and who waits, in groups if they are many.
pub(crate) fn print(headline: &str, dump: &Dump) {
    let text = match dump.routines.len() {
        0..=MOST => dump.to_string(),
        many => format!("{many} in groups\n\n{}", dump.grouped()),
    };
    // Where stderr is closed there is nobody to be told.
    let _ = writeln!(io::stderr().lock(), "{headline}\n\n{}", text.trim_end());
}

/// Makes of what a thread of ours does something that takes no part in a deadlock: nothing of the program's is called.
fn helping(work: impl FnOnce() + Send + 'static) -> impl FnOnce() + Send + 'static {
    move || {
        #[cfg(feature = "rt")]
        let _helper = crate::rt::deadlock::Helper::begin();
        work();
    }
}

fn start(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<Thread> {
    Ok(thread::Builder::new().name(name.into()).spawn(work)?.thread().clone())
}

/// Every panic is followed by a [`dump()`] on stderr: who waits for whom may be why. What was done on a panic before is done first.
///
/// # Examples
///
/// ```
/// gochan::debug::dump_on_panic();
/// # // The report of this example's end shows it.
/// # let _ = std::panic::take_hook();
/// ```
pub fn dump_on_panic() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        before(info);
        print("who ran and who waited when that happened", &dump());
    }));
}

/// While this lives, whoever waits for too long is reported. Made by [`watch`].
#[derive(Debug)]
#[must_use = "dropped, it watches no more"]
pub struct Watch {
    stop: Arc<AtomicBool>,
    thread: Thread,
}

/// Reports on stderr whoever has waited for longer than `after`: each wait once, with the channel and its other side. Who has a
/// deadline, or sleeps, is not meant.
///
/// A thread looks four times in that time.
///
/// # Panics
///
/// If no thread can be started.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// let _watch = gochan::debug::watch(Duration::from_secs(60));
/// // The program.
/// ```
pub fn watch(after: Duration) -> Watch {
    let headline = format!("waiting for longer than {after:?}");
    Watch::begin(|stop| helping(look(after, stop, move |dump| print(&headline, dump))))
}

/// As [`watch`], for a program that has a log of its own: `report` is called, on a thread of ours, with a dump of those who have
/// waited too long since it last was. What it does may wake somebody, so `rt::run` reports no deadlock as long as this lives.
///
/// # Panics
///
/// If no thread can be started.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// let _watch = gochan::debug::watch_with(Duration::from_secs(60), |stuck| {
///     for routine in &stuck.routines {
///         eprintln!("{} {:?} waits", routine.kind, routine.id);
///     }
/// });
/// ```
pub fn watch_with(after: Duration, report: impl FnMut(&Dump) + Send + 'static) -> Watch {
    // What it does may wake somebody.
    Watch::begin(|stop| look(after, stop, report))
}

/// Looks who has waited for too long, until it is to stop.
fn look(
    after: Duration,
    stop: Arc<AtomicBool>,
    mut report: impl FnMut(&Dump) + Send + 'static,
) -> impl FnOnce() + Send + 'static {
    move || {
        let mut known = HashSet::new();
        while !stop.load(Ordering::Relaxed) {
            let mut dump = dump();
            dump.routines.retain(|routine| is_late(routine, after));
            let late: HashSet<_> = dump.routines.iter().filter_map(wait_of).collect();
            dump.routines.retain(|routine| wait_of(routine).is_some_and(|wait| !known.contains(&wait)));
            // Whoever waits again has been seen to wait for less.
            known = late;
            if !dump.routines.is_empty() {
                report(&dump);
            }
            thread::park_timeout((after / 4).max(Duration::from_millis(1)));
        }
    }
}

impl Watch {
    fn begin<W: FnOnce() + Send + 'static>(work: impl FnOnce(Arc<AtomicBool>) -> W) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = start("gochan-watch", work(stop.clone()));
        Self { stop, thread: thread.expect("a thread that watches") }
    }
}

/// Tells a wait from others at the same time.
fn wait_of(routine: &Routine) -> Option<(usize, &'static Location<'static>)> {
    routine.waits.as_ref().map(|waits| (waits.key, waits.at))
}

fn is_late(routine: &Routine, after: Duration) -> bool {
    let is_late = |waits: &super::Waits| waits.since >= after && !waits.has_deadline && waits.reason != Reason::Sleep;
    routine.waits.as_ref().is_some_and(is_late)
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.unpark();
    }
}

/// Whenever the process gets this signal, a [`dump()`] is written to stderr, and the program goes on. What Go does on SIGQUIT, which
/// ends the program there.
///
/// Whatever was done on the signal before is done no more. The handler itself only wakes a thread.
///
/// # Errors
///
/// If the system does not let the signal be handled, or no thread can be started.
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// // From then on: kill -USR1 ..
/// gochan::debug::on_signal(libc::SIGUSR1)?;
/// # Ok(())
/// # }
/// ```
#[cfg(all(unix, feature = "rt"))]
pub fn on_signal(signal: i32) -> io::Result<()> {
    signals::begin()?;
    signals::handle(signal)
}

#[cfg(all(unix, feature = "rt"))]
mod signals {
    //! A handler may do next to nothing, so it writes a byte to a socket that a thread reads.

    use super::{dump, helping, print, start};
    use std::io::{self, Read};
    use std::os::fd::{AsRawFd, IntoRawFd};
    use std::os::unix::net::UnixStream;
    use std::sync::atomic::{AtomicI32, Ordering};
    use std::sync::{Mutex, PoisonError};

    /// Where the handler writes; -1 before there is one.
    static WRITE_END: AtomicI32 = AtomicI32::new(-1);

    /// Starts the thread that the handler wakes, once.
    pub(super) fn begin() -> io::Result<()> {
        static BEGUN: Mutex<bool> = Mutex::new(false);
        let mut begun = BEGUN.lock().unwrap_or_else(PoisonError::into_inner);
        if *begun {
            return Ok(());
        }
        let (mut read, write) = UnixStream::pair()?;
        // Should there be no room, a dump is due anyway.
        write.set_nonblocking(true)?;
        let answer = helping(move || {
            let mut bytes = [0; 64];
            while read.read(&mut bytes).is_ok_and(|len| len > 0) {
                print("who runs and who waits, as a signal asked", &dump());
            }
        });
        start("gochan-signal", answer)?;
        WRITE_END.store(write.as_raw_fd(), Ordering::Release);
        // Open for ever.
        let _ = write.into_raw_fd();
        *begun = true;
        Ok(())
    }

    pub(super) fn handle(signal: i32) -> io::Result<()> {
        // SAFETY: an action of zeros has no flags and an empty mask; the handler is async-signal-safe.
        let done = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = wake as extern "C" fn(libc::c_int) as usize;
            action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
            libc::sigaction(signal, &raw const action, std::ptr::null_mut())
        };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    extern "C" fn wake(_: libc::c_int) {
        let end = WRITE_END.load(Ordering::Acquire);
        // SAFETY: async-signal-safe. Who is interrupted finds errno as it was.
        unsafe {
            let errno = errno();
            let before = *errno;
            let _ = libc::write(end, [0_u8].as_ptr().cast(), 1);
            *errno = before;
        }
    }

    /// Where this thread's errno is.
    fn errno() -> *mut libc::c_int {
        // SAFETY: it always is somewhere.
        unsafe {
            #[cfg(any(target_os = "linux", target_os = "emscripten", target_os = "redox"))]
            return libc::__errno_location();
            #[cfg(any(target_os = "macos", target_os = "ios", target_os = "freebsd"))]
            return libc::__error();
            #[cfg(any(target_os = "android", target_os = "openbsd", target_os = "netbsd"))]
            return libc::__errno();
            #[cfg(any(target_os = "solaris", target_os = "illumos"))]
            return libc::___errno();
        }
    }
}
