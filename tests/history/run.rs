//! Random programs on real threads, each checked against the model.
//!
//! A program is made from a seed: a capacity and some operations for each of a few threads. It runs on any channel
//! whose handles implement [`Port`]. Seeds make programs, not schedules: to meet a failure again, run its program many
//! times.
//!
//! A program has come to rest when nothing moved for a while, all its threads sleep, *and* the model agrees that nobody
//! can move. If the model disagrees the runner waits much longer before it calls that a lost wake-up, so that a slow
//! machine is no failure. At rest the runner, who has a handle too, knows exactly who is parked: it does a few
//! non-blocking operations, whose results must be as exact, and in the end closes the channel, which must release
//! everybody.

use super::{History, Op, Record, Ret, check, diagram};
use crate::model::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicIsize, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Nothing moved for so long: the program may have come to rest.
const STILL: Duration = Duration::from_millis(20);
/// Programs under way at the same time; most of the time they wait.
const CROWD: usize = 128;

/// The handles of one thread: a sender and a receiver, until it drops them. The runner's own port has only one of the
/// two, so that the channel can also be closed by what the threads drop.
pub trait Port: Send + 'static {
    fn perform(&mut self, op: Op) -> Ret;
}

/// A channel seen from outside.
pub struct Ports {
    pub threads: Vec<Box<dyn Port>>,
    pub runner: Box<dyn Port>,
    /// Values that exist; zero when everything is dropped.
    pub live: Live,
}

/// Counts the instances of [`Token`].
#[derive(Clone, Default, Debug)]
pub struct Live(Arc<AtomicIsize>);

/// A value that is counted, so that a leak and a double drop are seen.
#[derive(Debug)]
pub struct Token {
    pub value: Value,
    live: Live,
}

impl Live {
    pub fn token(&self, value: Value) -> Token {
        self.0.fetch_add(1, Ordering::Relaxed);
        Token { value, live: self.clone() }
    }

    pub fn count(&self) -> isize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.live.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// splitmix64.
#[derive(Clone, Debug)]
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

#[derive(Clone, Debug)]
pub struct Program {
    pub seed: u64,
    pub capacity: Option<usize>,
    pub threads: Vec<Vec<Op>>,
    /// What the runner does, one at each rest.
    pub probes: Vec<Op>,
    /// Whether the runner has a sender, or a receiver.
    pub runner_sends: bool,
}

impl Program {
    pub fn random(seed: u64) -> Program {
        let mut rng = Rng(seed);
        let capacity = rng.pick(&[Some(0), Some(0), Some(1), Some(1), Some(2), None]);
        // How a program leans: one in three has timeouts, in one of four somebody closes, one in four uses force.
        let timeouts = rng.below(3) == 0;
        let closes = rng.below(4) == 0;
        let forces = rng.below(4) == 0;
        let threads = 2 + rng.below(3);
        let work = |thread: u64| {
            // One thread in four sends only, one receives only.
            let sending = rng.pick(&[0, 50, 50, 100]);
            let count = 3 + rng.below(10);
            let drops_early = rng.below(2) == 0;
            let mut ops = match sending {
                0 if drops_early => vec![Op::DropSender],
                100 if drops_early => vec![Op::DropReceiver],
                _ => Vec::new(),
            };
            for index in 0..count {
                let value = (thread * 100 + index) as Value;
                let kind = rng.below(100);
                let send = rng.below(100) < sending;
                ops.push(match kind {
                    0..3 if closes => Op::Close,
                    3..6 => Op::Len,
                    6..8 => Op::IsClosed,
                    8..11 if forces && send => Op::ForceSend(value),
                    8..11 if forces && sending < 100 => Op::Drain,
                    8..25 if send => Op::TrySend(value),
                    8..25 if sending < 100 => Op::TryRecv,
                    25..55 if timeouts && send => Op::SendTimeout(value),
                    25..55 if timeouts && sending < 100 => Op::RecvTimeout,
                    _ if send => Op::Send(value),
                    _ => Op::Recv,
                });
            }
            for drop in rng.pick(&[[Op::DropSender, Op::DropReceiver], [Op::DropReceiver, Op::DropSender]]) {
                if !ops.contains(&drop) {
                    ops.push(drop);
                }
            }
            ops
        };
        let threads = (0..threads).map(work).collect();
        let runner_sends = rng.below(2) == 0;
        let probe = |value: u64| match rng.below(12) {
            0 | 1 => Op::Len,
            2 => Op::IsClosed,
            3 if forces && runner_sends => Op::ForceSend(1000 + value as Value),
            3 if forces => Op::Drain,
            _ if runner_sends => Op::TrySend(1000 + value as Value),
            _ => Op::TryRecv,
        };
        let probes = (0..3).map(probe).collect();
        Program { seed, capacity, threads, probes, runner_sends }
    }
}

/// Runs the programs with these seeds; the first failure, with seed and picture, is the error. Where nothing moved for
/// the time `stuck` although somebody could, nobody ever will.
pub fn run(
    seeds: impl Iterator<Item = u64>,
    stuck: Duration,
    open: impl Fn(&Program) -> Ports,
) -> Result<Summary, String> {
    let mut seeds = seeds.fuse();
    let watchdog = Watchdog::start(stuck * 3);
    let mut crowd: Vec<Run> = Vec::new();
    let mut summary = Summary::default();
    loop {
        while crowd.len() < CROWD {
            let Some(seed) = seeds.next() else { break };
            let program = Program::random(seed);
            crowd.push(Run::start(program.clone(), open(&program)));
        }
        watchdog.calm();
        if crowd.is_empty() {
            return Ok(summary);
        }
        thread::sleep(Duration::from_millis(1));
        let mut going = Vec::new();
        for mut run in crowd {
            match run.look(stuck)? {
                true => summary.add(&run.finish()?),
                false => going.push(run),
            }
        }
        crowd = going;
    }
}

/// What the programs did, to see that they did something.
#[derive(Clone, Copy, Default, Debug)]
pub struct Summary {
    pub programs: usize,
    pub operations: usize,
    pub received: usize,
    pub refused: usize,
    pub timed_out: usize,
    /// How often a program came to rest with somebody parked.
    pub rests: usize,
}

impl Summary {
    fn add(&mut self, history: &History) {
        let with = |rets: &[Ret]| {
            let returned = |record: &&Record| record.returned.is_some_and(|r| rets.contains(&r.1));
            history.records.iter().filter(returned).count()
        };
        let got = |record: &&Record| matches!(record.returned, Some((_, Ret::Got(_))));
        self.programs += 1;
        self.operations += history.records.len();
        self.received += history.records.iter().filter(got).count();
        self.refused += with(&[Ret::Full, Ret::Empty]);
        self.timed_out += with(&[Ret::TimedOut]);
        self.rests += history.quiescent.len();
    }
}

/// A program under way.
struct Run {
    program: Program,
    log: Arc<Log>,
    threads: Vec<JoinHandle<()>>,
    /// None once it has closed the channel.
    runner: Option<Box<dyn Port>>,
    live: Live,
    rests: Vec<u64>,
    /// The last stamp seen, and when it was new.
    seen: (u64, Instant),
}

/// What happened so far: one list for each thread, and the clock that gives the stamps.
struct Log {
    clock: AtomicU64,
    lanes: Vec<Mutex<Vec<Record>>>,
    /// Where the system tells the state of each thread, if it does.
    states: Mutex<Vec<PathBuf>>,
}

impl Log {
    fn stamp(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    fn register_thread(&self) {
        if let Ok(thread) = fs::read_link("/proc/thread-self") {
            self.states.lock().unwrap().push(Path::new("/proc").join(thread).join("stat"));
        }
    }

    /// Whether every thread sleeps, or has ended, as far as the system tells. Who runs, or would run if the machine had
    /// time for it, may be on its way to park: the program is not at rest, however still it is.
    fn all_sleep(&self) -> bool {
        let runs = |stat: &PathBuf| {
            let stat = fs::read_to_string(stat).unwrap_or_default();
            stat.rsplit(") ").next().is_some_and(|state| state.starts_with('R'))
        };
        !self.states.lock().unwrap().iter().any(runs)
    }

    fn perform(&self, thread: usize, port: &mut dyn Port, op: Op) {
        let record = Record { thread, op, invoked: self.stamp(), returned: None, joined: false };
        self.lanes[thread].lock().unwrap().push(record);
        let ret = port.perform(op);
        let returned = Some((self.stamp(), ret));
        self.lanes[thread].lock().unwrap().last_mut().expect("it was pushed").returned = returned;
    }
}

impl Run {
    fn start(program: Program, ports: Ports) -> Run {
        let lanes = (0..program.threads.len() + 1).map(|_| Mutex::default()).collect();
        let log = Arc::new(Log { clock: AtomicU64::new(1), lanes, states: Mutex::default() });
        let together = Arc::new(Barrier::new(program.threads.len()));
        let mut threads = Vec::new();
        for (thread, (ops, mut port)) in program.threads.iter().zip(ports.threads).enumerate() {
            let (ops, log, together) = (ops.clone(), log.clone(), together.clone());
            let mut rng = Rng(program.seed ^ (thread as u64 + 1));
            threads.push(thread::spawn(move || {
                log.register_thread();
                together.wait();
                for op in ops {
                    pause(&mut rng);
                    log.perform(thread, port.as_mut(), op);
                }
            }));
        }
        let seen = (0, Instant::now());
        Run { program, log, threads, runner: Some(ports.runner), live: ports.live, rests: Vec::new(), seen }
    }

    /// Looks how the program is doing; true when all its threads have ended.
    fn look(&mut self, stuck: Duration) -> Result<bool, String> {
        if self.threads.iter().all(JoinHandle::is_finished) {
            return Ok(true);
        }
        let now = self.log.clock.load(Ordering::SeqCst);
        if now != self.seen.0 {
            self.seen = (now, Instant::now());
        } else if self.seen.1.elapsed() > stuck {
            return Err(self.failure("somebody waits for ever", &self.history(Some(now))));
        } else if self.seen.1.elapsed() > STILL && self.runner.is_some() && self.log.all_sleep() {
            let rest = self.log.stamp();
            self.seen.0 = rest + 1; // taking the stamp was no movement
            if check(&self.history(Some(rest))).is_ok() {
                self.rests.push(rest);
                self.probe_or_close();
            } else if check(&self.history(None)).is_err() {
                return Err(self.failure("no order explains this", &self.history(None)));
            }
        }
        Ok(false)
    }

    fn probe_or_close(&mut self) {
        match (self.program.probes.pop(), &mut self.runner) {
            (Some(probe), Some(runner)) => {
                self.log.perform(self.program.threads.len(), runner.as_mut(), probe);
            }
            _ => self.close(),
        }
    }

    fn close(&mut self) {
        if let Some(mut runner) = self.runner.take() {
            let drop = if self.program.runner_sends { Op::DropSender } else { Op::DropReceiver };
            for op in [Op::Close, drop] {
                self.log.perform(self.program.threads.len(), runner.as_mut(), op);
            }
        }
    }

    /// All threads have ended: was that right?
    fn finish(mut self) -> Result<History, String> {
        for thread in std::mem::take(&mut self.threads) {
            if thread.join().is_err() {
                return Err(self.failure("a thread panicked", &self.history(None)));
            }
        }
        self.close();
        let history = self.history(None);
        if check(&history).is_err() {
            return Err(self.failure("no order explains this", &history));
        }
        match self.live.count() {
            0 => Ok(history),
            live => Err(self.failure(&format!("{live} values were not dropped"), &history)),
        }
    }

    /// What happened so far, and whether the program is thought to be at rest now.
    fn history(&self, rest: Option<u64>) -> History {
        let lanes = self.log.lanes.iter().map(|lane| lane.lock().unwrap().clone());
        let threads = self.program.threads.len();
        History {
            capacity: self.program.capacity,
            threads: threads + 1,
            senders: threads + usize::from(self.program.runner_sends),
            receivers: threads + usize::from(!self.program.runner_sends),
            records: lanes.flatten().collect(),
            quiescent: self.rests.iter().copied().chain(rest).collect(),
        }
    }

    fn failure(&self, what: &str, history: &History) -> String {
        let picture = diagram(history, check(history).err());
        let seed = self.program.seed;
        format!("{what}; GOCHAN_SEED={seed} runs this program again and again\n{picture}")
    }
}

/// Ends the process if the runner itself hangs, in one of its own operations.
struct Watchdog(Arc<Mutex<Instant>>);

impl Watchdog {
    fn start(patience: Duration) -> Watchdog {
        let calmed = Arc::new(Mutex::new(Instant::now()));
        let watched = Arc::downgrade(&calmed);
        thread::spawn(move || {
            while let Some(calmed) = watched.upgrade() {
                if calmed.lock().unwrap().elapsed() > patience {
                    eprintln!("an operation of the runner, which never blocks, hangs");
                    std::process::abort();
                }
                drop(calmed);
                thread::sleep(Duration::from_millis(100));
            }
        });
        Watchdog(calmed)
    }

    fn calm(&self) {
        *self.0.lock().unwrap() = Instant::now();
    }
}

/// Some time between two operations, so that the threads meet in many ways.
fn pause(rng: &mut Rng) {
    match rng.below(8) {
        0..3 => {}
        3 | 4 => thread::yield_now(),
        5 | 6 => (0..rng.below(500)).for_each(|_| std::hint::spin_loop()),
        _ => thread::sleep(Duration::from_micros(rng.below(100))),
    }
}
