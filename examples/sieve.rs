//! `sieve`: Go's concurrent prime sieve. A goroutine counts, and every prime is a goroutine that passes on what it does not
//! divide: a chain of rendezvous channels, in which each number goes as far as its smallest prime factor.
//!
//! ```text
//! cargo run --release --example sieve -- 2000 --workers 1
//! ```
//!
//! A bad way to find primes, and a good way to see what a hand-off costs: the 2,000th prime takes two million of them.

use std::io::{self, Write};
use std::time::Instant;

use clap::Parser;
use gochan::rt::Runtime;
use gochan::{Receiver, Sender, bounded, go};

/// Find primes, each with a goroutine of its own.
#[derive(Parser)]
struct Args {
    /// How many
    #[arg(default_value_t = 100)]
    count: usize,

    /// Threads that run goroutines [default: one per available core]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,

    /// Say only how long it took
    #[arg(short, long)]
    quiet: bool,
}

/// All numbers from 2, until nobody wants them.
fn generate(to: &Sender<u64>) {
    let _unwanted = (2..).find(|n| to.send(*n).is_err());
}

/// What `prime` does not divide.
fn filter(from: &Receiver<u64>, to: &Sender<u64>, prime: u64) {
    let _unwanted = from.iter().filter(|n| n % prime != 0).find(|n| to.send(*n).is_err());
}

/// Sends primes until nobody wants them.
fn sieve(primes: &Sender<u64>) {
    let (tx, mut numbers) = bounded(0);
    go(move || generate(&tx));
    while let Ok(prime) = numbers.recv() {
        if primes.send(prime).is_err() {
            break;
        }
        let (tx, rest) = bounded(0);
        let from = std::mem::replace(&mut numbers, rest);
        go(move || filter(&from, &tx, prime));
    }
}

fn main() -> io::Result<()> {
    let args = Args::parse();
    let builder = Runtime::builder();
    let runtime = match args.workers {
        Some(n) => builder.workers(n.into()),
        None => builder,
    }
    .build()?;
    let start = Instant::now();
    let (tx, primes) = bounded(0);
    runtime.go(move || sieve(&tx));
    // The main thread is the last in the chain. With its end the others learn, one after the other, that it is over.
    let mut out = io::stdout().lock();
    for prime in primes.iter().take(args.count) {
        if !args.quiet {
            writeln!(out, "{prime}")?;
        }
    }
    eprintln!("{} primes in {:.2?}", args.count, start.elapsed());
    Ok(())
}
