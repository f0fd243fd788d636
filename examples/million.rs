//! `million`: so many goroutines, or tasks, parked at once on one channel; then all are woken and end.
//!
//! Says what they take while they are parked, how long it takes to make them and to end them, and what of the memory does
//! not come back by itself, and when it is asked for: the page tables, and what the allocator keeps. The second round finds what
//! the first has left.
//!
//! ```text
//! cargo run --release --example million -- 1000000
//! cargo run --release --example million -- --tasks 1000000
//! ```
//!
//! A parked goroutine takes a page of its stack at least; the rest is address space, and the page tables for it. Linux
//! only, for the figures come from /proc.

use std::fmt::Display;
use std::fs;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use gochan::{Receiver, bounded, go, rt};
use indicatif::{HumanCount, ProgressBar, ProgressStyle};

/// Park many goroutines at once, and let them end.
#[derive(Parser)]
struct Args {
    /// How many
    #[arg(default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,

    /// Tasks, made by `rt::spawn`, instead of goroutines
    #[arg(long)]
    tasks: bool,

    /// Bytes of a goroutine's stack
    #[arg(long, default_value_t = 65536)]
    stack: usize,

    /// How often
    #[arg(long, default_value_t = 2)]
    rounds: u32,
}

/// Who has begun, and who has ended: of all rounds.
static BEGUN: AtomicU64 = AtomicU64::new(0);
static ENDED: AtomicU64 = AtomicU64::new(0);

/// Memory of this process, in bytes.
#[derive(Clone, Copy)]
struct Memory {
    resident: u64,
    page_tables: u64,
    mappings: usize,
}

impl Memory {
    fn now() -> io::Result<Self> {
        let status = fs::read_to_string("/proc/self/status")?;
        let bytes = |name| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.trim_end_matches("kB").trim().parse::<u64>().ok()? << 10)
        };
        let found = bytes("VmRSS:").zip(bytes("VmPTE:"));
        let (resident, page_tables) = found.ok_or_else(|| io::Error::other("no VmRSS in /proc/self/status"))?;
        Ok(Self { resident, page_tables, mappings: fs::read_to_string("/proc/self/maps")?.lines().count() })
    }
}

fn start(args: &Args, rx: Receiver<()>) {
    if args.tasks {
        drop(rt::spawn(async move {
            BEGUN.fetch_add(1, Relaxed);
            // Closed: that is the wake-up.
            let _ = rx.recv_async().await;
            ENDED.fetch_add(1, Relaxed);
        }));
    } else {
        drop(rt::Goroutine::new().stack_size(args.stack).spawn(move || {
            BEGUN.fetch_add(1, Relaxed);
            let _ = rx.recv();
            ENDED.fetch_add(1, Relaxed);
        }));
    }
}

/// Waits until `counter` is at `goal`.
fn wait_for(counter: &AtomicU64, goal: u64, bar: &ProgressBar) {
    let begin = goal - bar.length().unwrap_or(goal);
    loop {
        let count = counter.load(Relaxed);
        bar.set_position(count.saturating_sub(begin));
        if count >= goal {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn main() -> io::Result<()> {
    let args = Args::parse();
    // Hidden unless stderr is a terminal.
    let bar = ProgressBar::new(args.count);
    bar.set_style(
        ProgressStyle::with_template("{bar:24} {human_pos}/{human_len} {msg} ETA {eta}").expect("well-formed"),
    );
    // The runtime's own memory is not theirs.
    rt::run(|| ());
    let _ = go(|| ()).join();

    let mut out = io::stdout().lock();
    let each = |bytes: u64| bytes as f64 / args.count as f64;
    let mut line = |name: &str, text: &dyn Display| writeln!(out, "{name:>16}  {text}");
    line("what", &format!("{} {}", HumanCount(args.count), if args.tasks { "tasks" } else { "goroutines" }))?;
    let before = Memory::now()?;
    for round in 1..=args.rounds {
        let goal = u64::from(round) * args.count;
        bar.reset();

        bar.set_message("parked");
        let begin = Instant::now();
        let (tx, rx) = bounded(0);
        (0..args.count).for_each(|_| start(&args, rx.clone()));
        wait_for(&BEGUN, goal, &bar);
        let made = begin.elapsed();
        // Who has begun is about to park.
        thread::sleep(Duration::from_millis(100));
        let parked = Memory::now()?;

        bar.set_message("ended");
        let begin = Instant::now();
        drop((tx, rx));
        wait_for(&ENDED, goal, &bar);
        let ended = begin.elapsed();
        // Stacks that nobody needs keep their pages for a second at most.
        thread::sleep(Duration::from_millis(1500));
        let after = Memory::now()?;

        let (resident, tables) =
            (parked.resident.saturating_sub(before.resident), parked.page_tables.saturating_sub(before.page_tables));
        line("round", &round)?;
        line("made and parked", &format!("{:.0} ns each, {:.2?}", made.as_nanos() as f64 / args.count as f64, made))?;
        line("resident", &format!("{:.0} bytes each, {} MiB", each(resident), resident >> 20))?;
        line("page tables", &format!("{:.0} bytes each, {} MiB", each(tables), tables >> 20))?;
        line("mappings", &format!("{} more", parked.mappings.saturating_sub(before.mappings)))?;
        line("woken and ended", &format!("{:.0} ns each, {:.2?}", ended.as_nanos() as f64 / args.count as f64, ended))?;
        let [resident, tables] =
            [after.resident.saturating_sub(before.resident), after.page_tables.saturating_sub(before.page_tables)];
        line("left behind", &format!("{} MiB, page tables {} MiB", resident >> 20, tables >> 20))?;
        let begin = Instant::now();
        rt::free_os_memory();
        let (asked, last) = (begin.elapsed(), Memory::now()?.resident.saturating_sub(before.resident));
        line("free_os_memory", &format!("{} MiB are left, {asked:.2?}", last >> 20))?;
    }
    bar.finish_and_clear();
    Ok(())
}
