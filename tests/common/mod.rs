//! What the tests share: waiting for a condition, a watchdog, values that are counted.

#![allow(dead_code, reason = "each test uses a part of this")]

pub(crate) mod alloc;
pub(crate) mod future;
pub(crate) mod program;

use gochan::debug::{Waiting, channels};
use gochan::rt;
use gochan::{Receiver, Sender, bounded, unbounded};
use std::any::type_name;
use std::cell::Cell;
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::hint;
use std::panic::{UnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// What has not happened after this time does not happen: far beyond what a loaded machine needs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Long enough for something wrong to show. Nothing that is right depends on it.
pub(crate) const A_MOMENT: Duration = Duration::from_millis(20);

/// A channel of a capacity, or of none.
pub(crate) fn make<T>(cap: Option<usize>) -> (Sender<T>, Receiver<T>) {
    cap.map_or_else(unbounded, bounded)
}

/// Waits until `condition` holds.
#[track_caller]
pub(crate) fn wait_until(mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "waited in vain");
        thread::sleep(Duration::from_micros(100));
    }
}

/// Who waits on the channels of `T`, in the order in which they will be served. A test that asks gives its channel an
/// element type of its own, since other tests run beside it.
pub(crate) fn waiting<T>() -> Vec<Waiting> {
    channels().into_iter().filter(|channel| channel.element == type_name::<T>()).flat_map(|c| c.waiting).collect()
}

/// Waits until exactly `count` operations are queued on the channels of `T`.
#[track_caller]
pub(crate) fn wait_for_waiting<T>(count: usize) {
    wait_until(|| waiting::<T>().len() == count);
}

/// Runs a test that hangs if it fails. Then this tells who waits where, and fails.
#[track_caller]
pub(crate) fn watchdog(test: impl FnOnce() + Send + 'static) {
    let (done, finished) = mpsc::channel();
    let thread = thread::spawn(move || {
        test();
        // Nobody listens any more if it took too long.
        let _ = done.send(());
    });
    match finished.recv_timeout(PATIENCE) {
        Err(RecvTimeoutError::Timeout) => {
            for channel in channels() {
                eprint!("{channel}");
            }
            panic!("hangs");
        }
        // Done; or it panicked, which dropped its end.
        _ => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
    }
}

/// The program of an example: `target/debug/examples/NAME`, seen from `target/debug/deps/test-0123456789abcdef`.
///
/// `cargo test` builds the examples before it runs the tests; `cargo test --test NAME` alone does not, so there it is built if
/// it is missing, or older than the sources.
pub(crate) fn example(name: &str) -> PathBuf {
    /// When the newest file here was changed.
    fn newest(path: &Path) -> SystemTime {
        let Ok(entries) = fs::read_dir(path) else { return fs::metadata(path).unwrap().modified().unwrap() };
        entries.map(|entry| newest(&entry.unwrap().path())).max().unwrap_or(SystemTime::UNIX_EPOCH)
    }
    let test = env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    let example = profile.join("examples").join(name);
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let own = package.join("examples").join(name);
    let sources = [package.join("src"), package.join("tests/programs"), own.with_extension("rs"), own];
    let changed = sources.iter().filter(|source| source.exists()).map(|source| newest(source)).max();
    if !example.exists() || Some(newest(&example)) < changed {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--example", name, "--profile"]);
        cargo.arg(match profile.file_name().unwrap() {
            name if name == "debug" => OsStr::new("dev"),
            name => name,
        });
        assert!(cargo.status().unwrap().success());
    }
    example
}

/// Who waits in a test of many.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Waiters {
    Threads,
    Goroutines,
    /// In turn.
    Both,
}

impl Waiters {
    /// Runs a test with each kind.
    pub(crate) fn each(mut test: impl FnMut(Self)) {
        [Self::Threads, Self::Goroutines, Self::Both].into_iter().for_each(&mut test);
    }

    /// A scope in which `spawn` starts one.
    pub(crate) fn scope<'env, T>(self, f: impl for<'t, 'g> FnOnce(&Crowd<'t, 'g, 'env>) -> T) -> T {
        thread::scope(|threads| {
            rt::scope(|goroutines| f(&Crowd { kind: self, threads, goroutines, count: Cell::new(0) }))
        })
    }
}

pub(crate) struct Crowd<'t, 'g, 'env> {
    kind: Waiters,
    threads: &'t thread::Scope<'t, 'env>,
    goroutines: &'g rt::Scope<'g, 'env>,
    count: Cell<usize>,
}

impl<'env> Crowd<'_, '_, 'env> {
    pub(crate) fn spawn(&self, f: impl FnOnce() + Send + 'env) {
        let count = self.count.replace(self.count.get() + 1);
        match self.kind {
            Waiters::Goroutines => drop(self.goroutines.go(f)),
            Waiters::Both if count % 2 == 1 => drop(self.goroutines.go(f)),
            Waiters::Threads | Waiters::Both => drop(self.threads.spawn(f)),
        }
    }
}

/// The text with which `f` panics.
#[track_caller]
pub(crate) fn panic_text<R>(f: impl FnOnce() -> R + UnwindSafe) -> String {
    let panic = catch_unwind(f).map(drop).expect_err("did not panic");
    match panic.downcast::<&'static str>() {
        Ok(text) => text.to_string(),
        Err(panic) => *panic.downcast::<String>().expect("a text"),
    }
}

/// Asks the compiler whether a type has an auto trait. The bound decides which of two constants of the same name is
/// found: an inherent one goes before one of a trait.
#[allow(unused_macros, reason = "two tests use it")]
macro_rules! is {
    ($Trait:ident, $T:ty) => {{
        struct Probe<T>(::std::marker::PhantomData<T>);
        #[allow(dead_code, reason = "one of the two is found")]
        impl<T: $Trait> Probe<T> {
            const IS: bool = true;
        }
        #[allow(dead_code, reason = "one of the two is found")]
        trait Otherwise {
            const IS: bool = false;
        }
        impl<T> Otherwise for Probe<T> {}
        let _ = ::std::marker::PhantomData::<Probe<$T>>;
        Probe::<$T>::IS
    }};
}
#[allow(unused_imports, reason = "two tests use it")]
pub(crate) use is;

/// Of two channels one has a value at every moment: first the one, then both, then the other. `look`, which is called with
/// both again and again, is to find one.
pub(crate) fn always_a_value(rounds: usize, look: impl Fn(&Receiver<()>, &Receiver<()>)) {
    let batch: Vec<_> = (0..1000).map(|_| (bounded(1), bounded(1))).collect();
    for _ in 0..rounds.div_ceil(batch.len()) {
        batch.iter().for_each(|((tx1, _), _)| tx1.send(()).unwrap());
        // Both begin a round together where both have a core, but do not wait for ever.
        let at = [const { AtomicUsize::new(0) }; 2];
        let meet = |me: usize, round: usize| {
            at[me].store(round + 1, Ordering::SeqCst);
            (0..300).take_while(|_| at[1 - me].load(Ordering::SeqCst) <= round).for_each(|_| hint::spin_loop());
        };
        thread::scope(|scope| {
            scope.spawn(|| {
                for (round, ((_, rx1), (tx2, _))) in batch.iter().enumerate() {
                    meet(0, round);
                    tx2.send(()).unwrap();
                    let _ = rx1.try_recv();
                }
            });
            for (round, ((_, rx1), (_, rx2))) in batch.iter().enumerate() {
                meet(1, round);
                look(rx1, rx2);
            }
        });
        batch.iter().for_each(|((_, rx1), (_, rx2))| assert!(rx1.try_iter().chain(rx2.try_iter()).count() < 2));
    }
}

/// Counts the values that it makes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Census(Arc<[AtomicUsize; 2]>);

/// A value that is counted, so that a lost one and one dropped twice are seen.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) id: usize,
    census: Census,
}

impl Census {
    pub(crate) fn value(&self, id: usize) -> Counted {
        self.0[0].fetch_add(1, Ordering::Relaxed);
        Counted { id, census: self.clone() }
    }

    pub(crate) fn made(&self) -> usize {
        self.0[0].load(Ordering::Relaxed)
    }

    pub(crate) fn dropped(&self) -> usize {
        self.0[1].load(Ordering::Relaxed)
    }

    #[track_caller]
    pub(crate) fn assert_all_dropped(&self) {
        assert_eq!(self.dropped(), self.made(), "values dropped, values made");
    }
}

impl Counted {
    pub(crate) fn census(&self) -> Census {
        self.census.clone()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.census.0[1].fetch_add(1, Ordering::Relaxed);
    }
}

/// Small numbers without a pattern, the same ones in every run.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: usize) -> Self {
        Self(seed as u64 ^ 0x9e37_79b9_7f4a_7c15)
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}
