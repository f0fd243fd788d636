//! What a dump shows of a small program, and what dumps cost a large one.
//!
//!     cargo run -q --example dump -- all
//!     cargo run -q --example dump -- stacks
//!     cargo run -q --example dump -- groups
//!     cargo run -q --example dump -- json
//!     cargo run --release --example dump -- cost

use clap::{Parser, ValueEnum};
use gochan::debug::{self, Dump};
use gochan::rt::{self, Goroutine};
use gochan::{Receiver, Sender, bounded, go};
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

#[derive(Parser)]
struct Options {
    show: Show,
}

#[derive(Clone, Copy, ValueEnum)]
enum Show {
    /// Everybody.
    All,
    /// With the stacks of those who wait.
    Stacks,
    /// Those who are alike in one entry.
    Groups,
    /// For programs.
    Json,
    /// What dumps cost: throughput while they are taken, and time and size of one of 100,000 goroutines.
    Cost,
}

fn main() {
    let show = Options::parse().show;
    if let Show::Cost = show {
        return cost();
    }
    // One worker, so that it is the same each time.
    let runtime = rt::Runtime::builder().workers(1).build().expect("a thread");
    runtime.run(move || {
        let (jobs, work) = bounded(2);
        let (results, sums) = bounded(0);
        jobs.set_name("jobs");
        Goroutine::new().name("reader").spawn(move || read(&jobs));
        for _ in 0..3 {
            let (work, results) = (work.clone(), results.clone());
            go(move || add(&work, &results));
        }
        drop((work, results));
        let first = sums.clone();
        let task = rt::spawn(async move { first.recv_async().await });
        task.join().expect("it ends").expect("a sum");
        // Nobody asks for the others. What is not asked for stays where it is, and so does who has it.
        rt::sleep(Duration::from_millis(50));
        match show {
            Show::All => print!("{}", debug::dump()),
            Show::Stacks => print!("{}", debug::dump_with_stacks()),
            Show::Groups => print!("{}", debug::dump().grouped()),
            Show::Json => println!("{}", debug::dump().to_json()),
            Show::Cost => unreachable!("shown above"),
        }
        // As in Go: who is not waited for ends with the main goroutine.
    });
}

/// Sends twelve jobs.
#[inline(never)]
fn read(jobs: &Sender<u64>) {
    for job in 0..12 {
        if jobs.send(job).is_err() {
            break;
        }
    }
}

/// Adds up three jobs.
#[inline(never)]
fn add(work: &Receiver<u64>, results: &Sender<u64>) {
    let sum = work.iter().take(3).sum();
    let _ = results.send(black_box(sum));
}

fn cost() {
    throughput();
    size();
}

/// Values that a ring of goroutines hands on in a second: alone, and with dumps.
fn throughput() {
    const SECOND: Duration = Duration::from_secs(1);
    const MEMBERS: usize = 100;
    let (stop, hops) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (txs, rxs): (Vec<_>, Vec<_>) = (0..MEMBERS).map(|_| bounded::<()>(0)).unzip();
    let mut next = txs.clone();
    next.rotate_left(1);
    let (stop, hops) = (&stop, &hops);
    rt::scope(|scope| {
        for (rx, tx) in rxs.into_iter().zip(next) {
            scope.go(move || {
                for () in rx {
                    hops.fetch_add(1, Ordering::Relaxed);
                    if stop.load(Ordering::Relaxed) || tx.send(()).is_err() {
                        break;
                    }
                }
            });
        }
        // Ten values go round.
        (0..10).for_each(|i| txs[i * 10].send(()).expect("they wait"));
        let per_second = |dump: &mut dyn FnMut()| {
            let (start, before) = (Instant::now(), hops.load(Ordering::Relaxed));
            let mut dumps = 0;
            while start.elapsed() < SECOND {
                dump();
                dumps += 1;
            }
            let hops = hops.load(Ordering::Relaxed) - before;
            (hops as f64 / start.elapsed().as_secs_f64(), f64::from(dumps) / start.elapsed().as_secs_f64())
        };
        let mut rounds: Vec<[(f64, f64); 3]> = Vec::new();
        for _ in 0..5 {
            rounds.push([
                per_second(&mut || thread::sleep(Duration::from_millis(10))),
                per_second(&mut || {
                    thread::sleep(Duration::from_millis(10));
                    drop(debug::dump());
                }),
                per_second(&mut || drop(debug::dump())),
            ]);
        }
        println!("hops of ten values in a ring of {MEMBERS} goroutines, median of {} rounds", rounds.len());
        for (at, what) in ["without dumps", "with some 100 dumps/s", "with one after the other"].into_iter().enumerate()
        {
            let median = |mut of: Vec<f64>| {
                of.sort_by(f64::total_cmp);
                of[of.len() / 2]
            };
            let hops = median(rounds.iter().map(|round| round[at].0).collect());
            let left = median(rounds.iter().map(|round| round[at].0 / round[0].0).collect());
            let dumps = if at == 0 { 0.0 } else { median(rounds.iter().map(|round| round[at].1).collect()) };
            println!("{what:26} {:7.0} k hops/s, {:5.1} % of that, {dumps:6.0} dumps/s", hops / 1e3, left * 100.0);
        }
        stop.store(true, Ordering::Relaxed);
        txs.iter().for_each(|tx| _ = tx.close());
    });
}

/// One dump of many.
fn size() {
    const MANY: usize = 100_000;
    let (tx, rx) = bounded::<()>(0);
    let start = |rx: Receiver<()>| Goroutine::new().stack_size(64 << 10).spawn(move || rx.recv());
    let all: Vec<_> = (0..MANY).map(|_| start(rx.clone())).collect();
    let waiting = |dump: &Dump| dump.routines.iter().filter(|routine| routine.waits.is_some()).count();
    while waiting(&debug::dump()) < MANY {
        thread::sleep(Duration::from_millis(10));
    }
    let start = Instant::now();
    let dump = debug::dump();
    let taken = start.elapsed();
    let text = dump.to_string().len();
    let groups = dump.grouped().to_string();
    println!("\n{MANY} goroutines: dumped in {taken:?}, {} MB as text, {} B in groups", text >> 20, groups.len());
    let start = Instant::now();
    let stacks = debug::dump_with_stacks().routines.iter().filter(|routine| routine.stack.is_some()).count();
    println!("{stacks} stacks of them in {:?}", start.elapsed());
    drop(tx);
    all.into_iter().for_each(|one| drop(one.join()));
}
