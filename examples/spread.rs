//! `spread`: does the work of goroutines use the whole machine? Eight pieces of computing, as eight goroutines, and as jobs
//! for eight goroutines that take them from a channel, next to the same on eight threads; round by round, so that what
//! else the machine does meets all of them.
//!
//! ```text
//! cargo run --release --example spread -- --rounds 15
//! ```
//!
//! A ratio is what goroutines get done in the time in which threads get done 1.

use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use gochan::rt::{self, Runtime};
use gochan::{Receiver, Sender, bounded, go};

/// Pieces of work at once, and who does them.
const PIECES: usize = 8;

/// Compare how much computing goroutines and threads get done.
#[derive(Parser)]
struct Args {
    /// How often; the median counts
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,

    /// Milliseconds that one piece takes
    #[arg(long, default_value_t = 20)]
    piece: u64,

    /// Jobs into which the work is cut where it comes by a channel
    #[arg(long, default_value_t = 400)]
    jobs: usize,
}

/// So many steps of something that cannot be done faster.
fn compute(steps: u64) {
    black_box((0..steps).fold(1_u64, |x, step| black_box(x.wrapping_mul(6_364_136_223_846_793_005) ^ step)));
}

fn timed(f: impl FnOnce()) -> f64 {
    let start = Instant::now();
    f();
    start.elapsed().as_secs_f64()
}

fn work_off(jobs: &Receiver<u64>) {
    jobs.iter().for_each(compute);
}

fn feed(jobs: &Sender<u64>, count: usize, steps: u64) {
    (0..count).for_each(|_| jobs.send(steps).expect("they wait for jobs"));
}

fn median(mut ratios: Vec<f64>) -> f64 {
    ratios.sort_by(f64::total_cmp);
    ratios[ratios.len() / 2]
}

fn main() -> std::io::Result<()> {
    let args = Args::parse();
    let runtime = Runtime::new()?;
    // How many steps a millisecond has: the best of some, for nobody may have been in the way.
    let per_second = (0..20).map(|_| 1e6 / timed(|| compute(1_000_000))).fold(0.0, f64::max);
    let piece = (per_second * Duration::from_millis(args.piece).as_secs_f64()) as u64;
    let (count, steps) = (args.jobs, piece * PIECES as u64 / args.jobs as u64);
    let (mut bodies, mut fed) = (Vec::new(), Vec::new());
    for _ in 0..args.rounds {
        let threads = timed(|| thread::scope(|scope| (0..PIECES).for_each(|_| drop(scope.spawn(|| compute(piece))))));
        let goroutines = timed(|| {
            runtime.run(move || rt::scope(|scope| (0..PIECES).for_each(|_| drop(scope.go(|| compute(piece))))));
        });
        bodies.push(threads / goroutines);

        let threads = timed(|| {
            let (tx, rx) = bounded(0);
            thread::scope(|scope| {
                (0..PIECES).for_each(|_| drop(scope.spawn(|| work_off(&rx))));
                feed(&tx, count, steps);
                tx.close();
            });
        });
        let goroutines = timed(|| {
            runtime.run(move || {
                let (tx, rx) = bounded(0);
                let workers: Vec<_> = (0..PIECES)
                    .map(|_| {
                        let rx = rx.clone();
                        go(move || work_off(&rx))
                    })
                    .collect();
                feed(&tx, count, steps);
                drop(tx);
                workers.into_iter().for_each(|worker| worker.join().expect("computes"));
            });
        });
        fed.push(threads / goroutines);
    }
    let range =
        |ratios: &[f64]| (ratios.iter().copied().fold(f64::MAX, f64::min), ratios.iter().copied().fold(0.0, f64::max));
    for (what, ratios) in [("bodies", bodies), ("fed by a channel", fed)] {
        let (least, most) = range(&ratios);
        println!("{what}: {:.3} of what {PIECES} threads get done ({least:.3} to {most:.3})", median(ratios));
    }
    Ok(())
}
