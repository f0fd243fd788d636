//! `treesum`: digest a whole directory tree in parallel, in the order and the format of
//! `find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum`.
//!
//! The grown-up form of the Go blog's "Pipelines and cancellation". Every stage is a goroutine, or with
//! `--threads` a thread, and every arrow a bounded channel; but for where it runs ([`Stages`]) a stage
//! cannot tell which it is. The collector is the main thread in either form.
//!
//! ```text
//!   walker --paths--> N workers --results--> collector --> stdout
//!      ^                                        |
//!      +------------------window----------------+
//! ```
//!
//! **How it ends by itself.** The walker drops its senders after the last file; `paths` closes, so
//! the workers' loops run dry and they drop their senders of `results`; `results` closes, so the
//! collector's loop ends too. Nobody has to say so.
//!
//! **How it is ended.** Ctrl-C closes `done`, which the collector selects on beside its results.
//! When the collector ends, for whatever reason - Ctrl-C, `--fail-fast`, a reader that went away -,
//! every other channel is closed too ([`Cancel`]). Whoever is blocked on one of them comes back with
//! an error and leaves; a worker in the middle of a large file looks at `done` between two chunks
//! of it.
//!
//! **How a file is given up.** With `--file-timeout` a worker has another thread digest, and selects
//! over its answer, a timer, and `done`. No channel reaches a thread that the kernel does not let go;
//! but who waits for it can leave it behind.
//!
//! **What it holds.** The collector must keep the results that come before their turn. `window` is
//! a semaphore made of a channel: the walker puts a token in before it hands a file on, the
//! collector takes one out after writing a line. So no more than [`WINDOW`] files are anywhere
//! between the two, and behind one slow file the others stop instead of piling up.

mod digest;
mod output;
mod screen;
mod walk;

use std::any::Any;
use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use clap::{ColorChoice, Parser, value_parser};
use gochan::{Receiver, Sender, TryRecvError, bounded, rt};

use crate::digest::{Algo, Digest};
use crate::output::{Collector, End, Format};
use crate::screen::{Meter, Screen};
use crate::walk::Walk;

/// Files between the walker and their line of output: with the longest path there is (4 KiB), 16 MiB.
const WINDOW: usize = 4096;

/// Enough for a worker never to wait for a walker that is reading a directory.
const QUEUE: usize = 128;

/// After Ctrl-C, how long a thread that is stuck in the kernel may hold up the end.
const GRACE: Duration = Duration::from_millis(500);

const EXIT_INTERRUPTED: u8 = 128 + 2;
const EXIT_BROKEN_PIPE: u8 = 128 + 13;

/// Digest every file of a directory tree, in parallel.
///
/// Prints what `find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum` prints when run in
/// DIR: same lines, same order, same escapes.
#[derive(Parser)]
#[command(name = "treesum", after_help = EXIT_CODES)]
struct Args {
    /// The tree to digest [default: the Rust toolchain's own, `rustc --print sysroot`]
    dir: Option<PathBuf>,

    /// How many files are read and digested at a time [default: one per available core]
    #[arg(short, long, value_name = "N", value_parser = value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,

    /// Stages are threads, instead of goroutines
    #[arg(long)]
    threads: bool,

    /// What to compute
    #[arg(short, long, value_enum, default_value_t)]
    algo: Algo,

    /// One JSON object per line; a name that is not UTF-8 has all its bytes in `path_hex`
    #[arg(long)]
    json: bool,

    /// Stop at the first file or directory, in order of output, that cannot be read
    #[arg(long)]
    fail_fast: bool,

    /// Give up on a file that takes longer than this, like 0.5, as on one that cannot be read
    /// [default: never]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    file_timeout: Option<Duration>,

    /// Colour of the messages on stderr
    #[arg(long, value_name = "WHEN", default_value_t = ColorChoice::Auto)]
    color: ColorChoice,

    /// End with a line of figures on stderr
    #[arg(short, long)]
    verbose: bool,
}

const EXIT_CODES: &str = "\
Exit codes: 0 every file was digested; 1 something could not be read (in time), or written;
2 bad usage; 130 ended by Ctrl-C; 141 the reader of stdout went away.";

fn seconds(text: &str) -> Result<Duration, &'static str> {
    let time = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    time.filter(|time| !time.is_zero()).ok_or("not a positive number of seconds")
}

/// A file on its way to a worker, with its place in the output.
struct Job {
    seq: u64,
    path: PathBuf,
}

/// A line of output, or of complaint, on its way to the collector.
struct Outcome {
    seq: u64,
    path: PathBuf,
    result: io::Result<Digest>,
}

/// Go's `done` channel: nobody ever sends on it, closing it is the news.
#[derive(Clone)]
struct Done {
    /// Dropping the last sender would close it.
    _open: Sender<Infallible>,
    closed: Receiver<Infallible>,
}

impl Done {
    fn new() -> Self {
        let (_open, closed) = bounded(0);
        Done { _open, closed }
    }

    fn close(&self) {
        self.closed.close();
    }

    fn is_closed(&self) -> bool {
        self.closed.try_recv() == Err(TryRecvError::Disconnected)
    }
}

/// Everything a stage may be blocked on. Receivers only: a sender kept here would keep its channel
/// from closing when the stage that feeds it is through.
struct Cancel {
    done: Done,
    window: Receiver<()>,
    paths: Receiver<Job>,
    results: Receiver<Outcome>,
}

impl Cancel {
    fn all(&self) {
        // First, so that whoever is thrown out of a channel finds the reason.
        self.done.close();
        self.window.close();
        self.paths.close();
        self.results.close();
    }
}

/// Held by whoever the others wait for: if it fell over a bug, they would wait for ever.
struct CancelOnPanic<'a>(&'a Cancel);

impl Drop for CancelOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.all();
        }
    }
}

/// What the stages are started in, and what waits for them: files and channels that they borrow outlive it.
enum Stages<'scope, 'env> {
    Threads(&'scope thread::Scope<'scope, 'env>),
    Goroutines(&'scope rt::Scope<'scope, 'env>),
}

enum Stage<'scope> {
    Thread(thread::ScopedJoinHandle<'scope, ()>),
    Goroutine(rt::ScopedJoinHandle<'scope, ()>),
}

impl<'scope> Stages<'scope, '_> {
    fn start(&self, stage: impl FnOnce() + Send + 'scope) -> Stage<'scope> {
        match self {
            Stages::Threads(scope) => Stage::Thread(scope.spawn(stage)),
            Stages::Goroutines(scope) => Stage::Goroutine(scope.go(stage)),
        }
    }
}

impl Stage<'_> {
    fn join(self) -> Result<(), Box<dyn Any + Send>> {
        match self {
            Stage::Thread(stage) => stage.join(),
            Stage::Goroutine(stage) => stage.join().map_err(rt::JoinError::into_panic),
        }
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let screen = Screen::new(args.color);
    run(&args, &screen).unwrap_or_else(|message| {
        screen.error(message);
        ExitCode::FAILURE
    })
}

fn run(args: &Args, screen: &Screen) -> Result<ExitCode, String> {
    let start = Instant::now();
    let dir = args.dir.clone().map_or_else(sysroot, Ok)?;
    // Names are relative to the tree, as in find's output, and so is every system call: a path is
    // too long for us exactly if it is too long for sha256sum.
    std::env::set_current_dir(&dir).map_err(|error| format!("{dir:?}: {error}"))?;

    let workers = match args.workers {
        Some(n) => n.into(),
        None => thread::available_parallelism().map_or(1, usize::from),
    };
    let (window_tx, window) = bounded(WINDOW);
    let (paths_tx, paths) = bounded(QUEUE);
    let (results_tx, results) = bounded(QUEUE);
    let cancel = Cancel { done: Done::new(), window: window.clone(), paths: paths.clone(), results: results.clone() };
    on_ctrl_c(cancel.done.clone())?;

    let format = if args.json { Format::Json(args.algo) } else { Format::Coreutils };
    let meter = Arc::new(Meter::default());
    let done = cancel.done.clone();
    let mut collector = Collector::new(results, window, done, format, args.fail_fast, screen, &meter);

    let pipeline = Pipeline { args, cancel: &cancel, meter: &meter, workers, survey: screen.has_bar() };
    let senders = (window_tx, paths_tx, results_tx);
    let (end, interrupted, joined) = if args.threads {
        thread::scope(|scope| pipeline.run(&Stages::Threads(scope), senders, (paths, &mut collector)))
    } else {
        rt::scope(|scope| pipeline.run(&Stages::Goroutines(scope), senders, (paths, &mut collector)))
    };
    screen.clear();

    let tally = &collector.tally;
    if args.verbose {
        let took = start.elapsed();
        screen.note(format_args!("{tally} in {took:.2?}; joined {joined} workers"));
    }
    Ok(match end {
        // Before the broken pipe: the terminal interrupts the reader of a pipe as well.
        _ if interrupted => {
            screen.error("interrupted");
            EXIT_INTERRUPTED.into()
        }
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => EXIT_BROKEN_PIPE.into(),
        Err(error) => return Err(format!("stdout: {error}")),
        Ok(End::Early) => ExitCode::FAILURE,
        Ok(End::Complete) if tally.errors > 0 => {
            screen.error(format_args!("{} could not be read", tally.errors));
            ExitCode::FAILURE
        }
        Ok(End::Complete) => ExitCode::SUCCESS,
    })
}

/// What the stages share.
struct Pipeline<'env> {
    args: &'env Args,
    cancel: &'env Cancel,
    meter: &'env Arc<Meter>,
    workers: usize,
    survey: bool,
}

impl<'env> Pipeline<'env> {
    /// Starts all stages but the last and is that one itself. How it ended, whether it was told to, and how many workers
    /// have ended with it.
    fn run<'scope>(
        self,
        stages: &Stages<'scope, 'env>,
        (window, to_workers, to_collector): (Sender<()>, Sender<Job>, Sender<Outcome>),
        (paths, collector): (Receiver<Job>, &mut Collector<'_>),
    ) -> (io::Result<End>, bool, usize) {
        let Pipeline { args, cancel, meter, workers, survey } = self;
        let _panic = CancelOnPanic(cancel);
        let done = &cancel.done;
        if survey {
            stages.start(|| rt::unblock(|| meter.survey(Walk::new(done), done)));
        }
        let started: Vec<_> = (0..workers)
            .map(|_| {
                let (paths, results) = (paths.clone(), to_collector.clone());
                stages.start(move || {
                    let _panic = CancelOnPanic(cancel);
                    digest::worker(args.algo, args.file_timeout, &paths, &results, done, meter);
                })
            })
            .collect();
        stages.start(move || walk(Walk::new(done), &window, &to_workers, &to_collector));

        let end = collector.run();
        let interrupted = done.is_closed();
        cancel.all();
        let joined = started.len();
        for worker in started {
            worker.join().unwrap_or_else(|panic| resume_unwind(panic));
        }
        (end, interrupted, joined)
    }
}

/// The first stage: number what is found and hand it on. Ends after the last file, or as soon as
/// anything it sends on is closed; then it drops all three senders.
fn walk(walk: Walk, window: &Sender<()>, paths: &Sender<Job>, results: &Sender<Outcome>) {
    for (seq, found) in (0..).zip(walk) {
        let sent = window.send(()).is_ok()
            && match found {
                Ok(path) => paths.send(Job { seq, path }).is_ok(),
                // Takes its turn in the output like a file, but there is no work in it.
                Err((path, error)) => {
                    let result = Err(error);
                    results.send(Outcome { seq, path, result }).is_ok()
                }
            };
        if !sent {
            return;
        }
    }
}

/// Ctrl-C closes `done`; `main` then joins its threads and returns. Only if one of them is beyond
/// reach (a dead network file system, a full pipe that nobody reads) does time run out here.
fn on_ctrl_c(done: Done) -> Result<(), String> {
    ctrlc::set_handler(move || {
        done.close();
        thread::sleep(GRACE);
        std::process::exit(EXIT_INTERRUPTED.into());
    })
    .map_err(|error| format!("cannot listen for Ctrl-C: {error}"))
}

/// A large tree that every machine with Rust has.
fn sysroot() -> Result<PathBuf, String> {
    let output = Command::new("rustc").args(["--print", "sysroot"]).output();
    match output {
        Ok(output) if output.status.success() => String::from_utf8(output.stdout)
            .map(|path| OsString::from(path.trim_end()).into())
            .map_err(|error| error.to_string()),
        _ => Err("rustc --print sysroot failed: name a directory".into()),
    }
}
