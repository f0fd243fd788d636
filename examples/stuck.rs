//! `stuck`: six small programs, each with a switch that plants a classic bug, and what the library then says of it.
//!
//! ```text
//! cargo run --example stuck -- first-answer
//! cargo run --example stuck -- first-answer --bug
//! ```
//!
//! Three of the bugs are deadlocks, which end the program as Go's: with a report, and exit code 2. Two are leaks: the program
//! goes on, and whoever is stuck is shown when it asks. And one keeps a worker from everybody else's work. `docs/guide/stuck.md`
//! walks through all of them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use gochan::rt::{self, Goroutine, OnDeadlock, Runtime};
use gochan::{Chan, Sender, bounded, debug, go, select, unbounded};

/// Small programs, and the bugs that people make in them.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    program: Program,

    /// Plant the bug
    #[arg(long, global = true)]
    bug: bool,
}

#[derive(Clone, Copy, Subcommand)]
enum Program {
    /// Ask three mirrors, take the first answer. Bug: no room for the others, who wait for ever to give theirs
    FirstAnswer,
    /// Move money between accounts, each with a lock. Bug: both accounts are the same, and its lock is taken twice
    Transfer,
    /// Square numbers by some workers, and add them up. Bug: one sender is kept, so the sum waits for more
    Squares,
    /// Ask a service in bulk. Bug: all questions first, so that it waits to answer while its client waits to ask
    Bulk,
    /// Take three numbers from a generator. Bug: it is not told that nobody wants more
    Generator,
    /// Beat every 20 ms while something else takes long. Bug: that blocks the thread of the worker
    Heartbeat,
}

fn main() {
    let Args { program, bug } = Args::parse();
    let mut runtime = Runtime::builder().workers(2).on_deadlock(OnDeadlock::Exit);
    if let Program::Heartbeat = program {
        // All live on the one that there is.
        runtime = runtime.workers(1).report_stuck(Duration::from_millis(200));
    }
    runtime.build().expect("threads").run(move || {
        match program {
            Program::FirstAnswer => first_answer(bug),
            Program::Transfer => transfer(bug),
            Program::Squares => squares(bug),
            Program::Bulk => bulk(bug),
            Program::Generator => generator(bug),
            Program::Heartbeat => heartbeat(bug),
        }
        show_who_is_left();
    });
}

/// Whoever has something to do still has a second to do it.
fn show_who_is_left() {
    let start = Instant::now();
    while rt::num_goroutines() > 1 {
        if start.elapsed() > Duration::from_secs(1) {
            print!("{}", debug::dump());
            return;
        }
        rt::sleep(Duration::from_millis(1));
    }
}

fn first_answer(bug: bool) {
    const MIRRORS: [&str; 3] = ["ams", "nyc", "sgp"];
    let answers = Chan::new(if bug { 0 } else { MIRRORS.len() });
    for (i, mirror) in MIRRORS.into_iter().enumerate() {
        let answers = answers.clone();
        Goroutine::new().name(mirror).spawn(move || {
            rt::sleep(Duration::from_millis(10 * i as u64));
            answers.send(mirror);
        });
    }
    println!("{} was first", answers.recv().expect("nobody closes it"));
}

/// An account, and the lock without which nobody may touch it: a place for one.
#[derive(Clone)]
struct Account {
    lock: Chan<()>,
    balance: std::sync::Arc<AtomicUsize>,
}

impl Account {
    fn new(balance: usize) -> Self {
        let lock = Chan::new(1);
        lock.as_sender().set_name("lock of an account");
        Self { lock, balance: std::sync::Arc::new(balance.into()) }
    }

    fn transfer(&self, amount: usize, to: &Self) {
        self.lock.send(());
        to.lock.send(());
        self.balance.fetch_sub(amount, Ordering::Relaxed);
        to.balance.fetch_add(amount, Ordering::Relaxed);
        to.lock.recv();
        self.lock.recv();
    }
}

fn transfer(bug: bool) {
    let (a, b) = (Account::new(100), Account::new(0));
    let to = if bug { a.clone() } else { b.clone() };
    let teller = {
        let a = a.clone();
        Goroutine::new().name("teller").spawn(move || a.transfer(30, &to))
    };
    teller.join().expect("no panic");
    println!("{} and {}", a.balance.load(Ordering::Relaxed), b.balance.load(Ordering::Relaxed));
}

fn squares(bug: bool) {
    let (jobs, todo) = unbounded();
    let (done, squares) = bounded(2);
    (1..=10_u64).for_each(|n| jobs.send(n).expect("it has a receiver"));
    drop(jobs);
    let work = |done: Sender<u64>| {
        let todo = todo.clone();
        go(move || todo.iter().for_each(|n| done.send(n * n).expect("somebody adds them up")));
    };
    (0..3).for_each(|_| work(done.clone()));
    // The last sender to go is what ends the sum.
    let kept = bug.then_some(done);
    println!("the sum is {}", squares.iter().sum::<u64>());
    drop(kept);
}

fn bulk(bug: bool) {
    const QUESTIONS: u32 = 20;
    let (ask, questions) = bounded::<u32>(4);
    let (reply, answers) = bounded(4);
    Goroutine::new().name("service").spawn(move || questions.iter().for_each(|n| reply.send(n * 2).expect("a client")));
    let ask_all = move || (0..QUESTIONS).for_each(|n| ask.send(n).expect("a service"));
    if bug {
        ask_all();
    } else {
        go(ask_all);
    }
    println!("{} answers", answers.iter().count());
}

fn generator(bug: bool) {
    let (numbers, done) = (Chan::new(0), Chan::<()>::new(0));
    Goroutine::new().name("generator").spawn({
        let (numbers, done) = (numbers.clone(), done.clone());
        move || {
            for n in 0_u64.. {
                select! {
                    send(numbers, n * n) -> _ => {}
                    recv(done) -> _ => return,
                }
            }
        }
    });
    let first: Vec<_> = numbers.iter().take(3).collect();
    println!("{first:?}");
    if !bug {
        done.close();
    }
}

fn heartbeat(bug: bool) {
    let (stop, stopped) = bounded::<()>(0);
    let heart = Goroutine::new().name("heart").spawn(move || {
        let mut longest = Duration::ZERO;
        let mut last = Instant::now();
        while stopped.recv_timeout(Duration::from_millis(20)).is_err_and(|error| error.is_timeout()) {
            longest = longest.max(last.elapsed());
            last = Instant::now();
        }
        longest.max(last.elapsed())
    });
    rt::sleep(Duration::from_millis(100));
    let sleeper = Goroutine::new().name("sleeper").spawn(move || {
        let rest = || thread::sleep(Duration::from_secs(1));
        if bug { rest() } else { rt::unblock(rest) }
    });
    sleeper.join().expect("no panic");
    drop(stop);
    let longest = heart.join().expect("no panic");
    println!("the heart was {}", if longest < Duration::from_millis(900) { "steady" } else { "late" });
}
