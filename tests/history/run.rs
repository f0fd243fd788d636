//! Random programs on real threads, each checked against the model.
//!
//! A program runs on any channels whose handles implement [`Port`]. Seeds make programs, not schedules: to meet a failure
//! again, run its program many times.
//!
//! A program has come to rest when nothing moved for a while, all threads that carry its actors sleep, *and* the model
//! agrees that nobody can move. If the model disagrees the runner waits much longer before it calls that a lost wake-up, so
//! that a slow machine is no failure. At rest the runner, who has a handle too, knows exactly who is parked: it does a few
//! non-blocking operations, whose results must be as exact, and in the end closes the channels, which must release
//! everybody.

use super::ports::{Live, Port, Ports, Surroundings};
use super::program::{Program, Rng};
use super::{History, Kind, Record, check, diagram};
use crate::model::op::{Op, Ret, Took};
use gochan::rt;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Nothing moved for so long: the program may have come to rest.
const STILL: Duration = Duration::from_millis(20);
/// Programs under way at the same time; most of the time they wait.
const CROWD: usize = 128;

/// Real threads, and goroutines on them.
#[derive(Clone, Copy, Debug)]
pub struct Real;

thread_local! {
    static CHANCE: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

impl Real {
    fn chance(self) -> Rng {
        let mut rng = Rng(CHANCE.get());
        CHANCE.set(rng.next());
        rng
    }
}

impl Surroundings for Real {
    fn block_on<F: Future>(self, future: F) -> F::Output {
        if rt::current().is_some() { rt::block_on(future) } else { futures_executor::block_on(future) }
    }

    fn dawdle(self) {
        match self.chance().below(8) {
            0..4 => {}
            4 => rt::yield_now(),
            n => (0..n * 50).for_each(|_| std::hint::spin_loop()),
        }
    }

    fn coin(self) -> bool {
        self.chance().once_in(2)
    }
}

/// Runs programs; the first failure, with seed and picture, is the error. Where nothing moved for the time `stuck` although
/// somebody could, nobody ever will.
pub fn run(
    programs: impl Iterator<Item = Program>,
    stuck: Duration,
    open: impl Fn(&Program) -> Ports,
) -> Result<Summary, Failure> {
    let mut programs = programs.fuse();
    let watchdog = Watchdog::start();
    let mut crowd: Vec<Run> = Vec::new();
    // Of programs that have ended: to start and to end threads takes long.
    let mut idle: Vec<rt::Runtime> = Vec::new();
    let mut summary = Summary::default();
    loop {
        while crowd.len() < CROWD {
            let Some(program) = programs.next() else { break };
            watchdog.note("starts", &program);
            let ports = open(&program);
            crowd.push(Run::start(program, ports, &mut idle));
        }
        if crowd.is_empty() {
            return Ok(summary);
        }
        thread::sleep(Duration::from_millis(1));
        let mut going = Vec::new();
        for mut run in crowd {
            watchdog.note("looks at", &run.program);
            match run.look(stuck)? {
                true => {
                    watchdog.note("ends", &run.program);
                    let (history, searched) = run.finish(&mut idle)?;
                    summary.add(&history, searched);
                }
                false => going.push(run),
            }
        }
        crowd = going;
    }
}

/// What failed, and the picture of it.
#[derive(Debug)]
pub struct Failure {
    pub program: Program,
    pub picture: String,
}

impl Failure {
    /// The smallest program found in half a minute that still fails when it is run so many times, or this one.
    pub fn shrink(self, times: usize, stuck: Duration, open: impl Fn(&Program) -> Ports) -> Failure {
        let mut last = None;
        let until = Instant::now() + Duration::from_secs(30);
        let again = |program: &Program| {
            let programs = std::iter::repeat_n(program.clone(), times).take_while(|_| Instant::now() < until);
            run(programs, stuck, &open).err()
        };
        self.program.clone().shrink(|program| match again(program) {
            Some(failure) => {
                last = Some(failure);
                true
            }
            None => false,
        });
        last.unwrap_or(self)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Failure { program, picture } = self;
        write!(f, "{picture}\nGOCHAN_SEED={} runs this program again and again:\n{program}", program.seed)
    }
}

/// What the programs did, to see that they did something.
#[derive(Clone, Copy, Default, Debug)]
pub struct Summary {
    pub programs: usize,
    pub operations: usize,
    pub received: usize,
    pub chosen: usize,
    pub refused: usize,
    pub timed_out: usize,
    pub cancelled: usize,
    /// How often a program came to rest with somebody parked.
    pub rests: usize,
    /// Configurations that were looked at for the program that needed most.
    pub widest: usize,
}

impl Summary {
    fn add(&mut self, history: &History, searched: usize) {
        self.programs += 1;
        self.operations += history.records.len();
        self.rests += history.quiescent.len();
        self.widest = self.widest.max(searched);
        for (_, ret) in history.records.iter().filter_map(|record| record.returned) {
            match ret {
                Ret::Got(_) => self.received += 1,
                Ret::Chose(_, took) => {
                    self.chosen += 1;
                    self.received += usize::from(matches!(took, Took::Got(_)));
                }
                Ret::Full | Ret::Empty | Ret::Default => self.refused += 1,
                Ret::TimedOut => self.timed_out += 1,
                Ret::Cancelled | Ret::Broken => self.cancelled += 1,
                _ => {}
            }
        }
    }
}

/// What carries an actor.
enum Carrier {
    Thread(JoinHandle<()>),
    Goroutine(rt::JoinHandle<()>),
}

impl Carrier {
    fn is_finished(&self) -> bool {
        match self {
            Carrier::Thread(thread) => thread.is_finished(),
            Carrier::Goroutine(goroutine) => goroutine.is_finished(),
        }
    }

    /// Whether it has ended without a panic.
    fn join(self) -> bool {
        match self {
            Carrier::Thread(thread) => thread.join().is_ok(),
            Carrier::Goroutine(goroutine) => goroutine.join().is_ok(),
        }
    }
}

/// A program under way.
struct Run {
    program: Program,
    log: Arc<Log>,
    actors: Vec<Carrier>,
    /// The workers of its goroutines.
    runtime: Option<rt::Runtime>,
    /// None once it has closed the channels.
    runner: Option<Box<dyn Port>>,
    live: Live,
    rests: Vec<u64>,
    /// The last stamp seen, and when it was new.
    seen: (u64, Instant),
    /// Looks since then. (Who is not looked at for long may have come to rest long ago.)
    looks: u32,
    /// To be still for so long is worth a look.
    still: Duration,
}

/// What happened so far: one list for each actor, and the clock that gives the stamps.
struct Log {
    clock: AtomicU64,
    lanes: Vec<Mutex<Vec<Record>>>,
    /// How many have come to begin together.
    arrived: AtomicUsize,
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

    /// Waits for the others, but not for long.
    fn begin_together(&self, others: usize) {
        self.register_thread();
        self.arrived.fetch_add(1, Ordering::SeqCst);
        (0..1000).take_while(|_| self.arrived.load(Ordering::SeqCst) < others).for_each(|_| rt::yield_now());
    }

    fn perform(&self, actor: usize, port: &mut dyn Port, op: &Op) {
        let record = Record { actor, op: op.clone(), invoked: self.stamp(), returned: None, joined: false };
        self.lanes[actor].lock().unwrap().push(record);
        let ret = port.perform(op);
        let returned = Some((self.stamp(), ret));
        self.lanes[actor].lock().unwrap().last_mut().expect("it was pushed").returned = returned;
    }
}

impl Run {
    fn start(program: Program, ports: Ports, idle: &mut Vec<rt::Runtime>) -> Run {
        let count = program.actors.len();
        let lanes = (0..count + 1).map(|_| Mutex::default()).collect();
        let log = Log { clock: AtomicU64::new(1), lanes, arrived: AtomicUsize::new(0), states: Mutex::default() };
        let log = Arc::new(log);
        let goroutines = program.actors.iter().any(|(kind, _)| *kind == Kind::Goroutine);
        let two_workers = || rt::Runtime::builder().workers(2).build().expect("two threads");
        let runtime = goroutines.then(|| idle.pop().unwrap_or_else(two_workers));
        let mut actors = Vec::new();
        for (actor, ((kind, ops), mut port)) in program.actors.iter().zip(ports.actors).enumerate() {
            let (ops, log) = (ops.clone(), log.clone());
            let mut rng = Rng(program.seed ^ (actor as u64 + 1));
            let work = move || {
                log.begin_together(count);
                for op in ops {
                    pause(&mut rng);
                    log.perform(actor, port.as_mut(), &op);
                }
            };
            actors.push(match (&runtime, kind) {
                (Some(runtime), Kind::Goroutine) => Carrier::Goroutine(runtime.go(work)),
                _ => Carrier::Thread(thread::spawn(work)),
            });
        }
        let seen = (0, Instant::now());
        Run {
            program,
            log,
            actors,
            runtime,
            runner: Some(ports.runner),
            live: ports.live,
            rests: Vec::new(),
            seen,
            looks: 0,
            still: STILL,
        }
    }

    /// Looks how the program is doing; true when all its actors have ended.
    fn look(&mut self, stuck: Duration) -> Result<bool, Failure> {
        if self.actors.iter().all(Carrier::is_finished) {
            return Ok(true);
        }
        self.looks += 1;
        let now = self.log.clock.load(Ordering::SeqCst);
        if now != self.seen.0 {
            (self.seen, self.looks, self.still) = ((now, Instant::now()), 0, STILL);
        } else if self.seen.1.elapsed() > stuck && self.looks > 100 {
            return Err(self.failure("somebody waits for ever", &self.history(Some(now))));
        } else if self.seen.1.elapsed() > self.still && self.runner.is_some() && self.log.all_sleep() {
            self.still *= 2;
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
            (Some(probe), Some(runner)) => self.log.perform(self.program.actors.len(), runner.as_mut(), &probe),
            _ => self.close(),
        }
    }

    fn close(&mut self) {
        let Some(mut runner) = self.runner.take() else { return };
        let drop = if self.program.runner_sends { Op::DropSender } else { Op::DropReceiver };
        for channel in 0..self.program.capacities.len() {
            for op in [Op::Close(channel), drop(channel)] {
                self.log.perform(self.program.actors.len(), runner.as_mut(), &op);
            }
        }
    }

    /// All actors have ended: was that right?
    fn finish(mut self, idle: &mut Vec<rt::Runtime>) -> Result<(History, usize), Failure> {
        for actor in std::mem::take(&mut self.actors) {
            if !actor.join() {
                return Err(self.failure("an actor panicked", &self.history(None)));
            }
        }
        idle.extend(self.runtime.take());
        self.close();
        let history = self.history(None);
        let Ok(searched) = check(&history) else { return Err(self.failure("no order explains this", &history)) };
        match self.live.count() {
            0 => Ok((history, searched)),
            live => Err(self.failure(&format!("{live} values were not dropped"), &history)),
        }
    }

    /// What happened so far, and whether the program is thought to be at rest now.
    fn history(&self, rest: Option<u64>) -> History {
        let lanes = self.log.lanes.iter().map(|lane| lane.lock().unwrap().clone());
        let Program { capacities, actors, runner_sends, .. } = &self.program;
        History {
            capacities: capacities.clone(),
            actors: actors.iter().map(|(kind, _)| *kind).chain([Kind::Thread]).collect(),
            senders: actors.len() + usize::from(*runner_sends),
            receivers: actors.len() + usize::from(!runner_sends),
            records: lanes.flatten().collect(),
            quiescent: self.rests.iter().copied().chain(rest).collect(),
        }
    }

    fn failure(&self, what: &str, history: &History) -> Failure {
        let picture = diagram(history, check(history).err().as_ref());
        Failure { program: self.program.clone(), picture: format!("{what}\n{picture}") }
    }
}

/// Ends the process if the runner itself hangs, and says with what: in an operation of its own, which never blocks, or when
/// it waits for actors that have ended.
struct Watchdog(Arc<Mutex<(Instant, &'static str, u64)>>);

impl Watchdog {
    fn start() -> Watchdog {
        let doing = Arc::new(Mutex::new((Instant::now(), "", 0)));
        let watched = Arc::downgrade(&doing);
        thread::spawn(move || {
            while let Some(doing) = watched.upgrade() {
                let (since, what, seed) = *doing.lock().unwrap();
                if since.elapsed() > Duration::from_secs(60) {
                    // Past the capture of a test's output, which would end with the process.
                    let channels = gochan::debug::channels();
                    let _ =
                        writeln!(std::io::stderr(), "the runner {what} GOCHAN_SEED={seed}, and hangs\n{channels:#?}");
                    std::process::abort();
                }
                drop(doing);
                thread::sleep(Duration::from_millis(100));
            }
        });
        Watchdog(doing)
    }

    fn note(&self, what: &'static str, program: &Program) {
        *self.0.lock().unwrap() = (Instant::now(), what, program.seed);
    }
}

/// Some time between two operations, so that the threads meet in many ways.
fn pause(rng: &mut Rng) {
    match rng.below(8) {
        0..3 => {}
        3 | 4 => rt::yield_now(),
        5 | 6 => (0..rng.below(500)).for_each(|_| std::hint::spin_loop()),
        _ => rt::sleep(Duration::from_micros(rng.below(100))),
    }
}
