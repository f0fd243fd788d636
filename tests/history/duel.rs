//! Duels: very many very short programs of two threads, for races that last some nanoseconds.
//!
//! One thread does a blocking operation and then, without taking a stamp or a breath, looks what the channel is like;
//! the other does non-blocking operations and closes. What a thread learns from one operation must hold in its next:
//! who was told "closed" must not see an open channel. Nobody waits for ever in a duel, since it ends with close.

use super::ports::{Port, Ports};
use super::program::{Program, Rng};
use super::{History, Kind, Record, check, diagram};
use crate::model::op::{Op, Patience, Ret};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

impl Program {
    /// Lane 0 is the waiter's, lane 1 its opponent's, and the probes come before both.
    pub fn duel(seed: u64) -> Program {
        use Patience::{Forever, Limited, Not};
        let mut rng = Rng(seed);
        let capacity = rng.pick(&[Some(0), Some(1), Some(2), Some(3), None]);
        let pick = |rng: &mut Rng, from: &[Op]| from[rng.below(from.len() as u64) as usize].clone();
        let send = |patience| Op::Send(0, 0, patience);
        let recv = |patience| Op::Recv(0, patience);
        let first = [send(Forever), recv(Forever), recv(Forever), send(Limited), recv(Limited)];
        let looks = [recv(Not), send(Not), Op::Len(0), Op::IsClosed(0)];
        let moves = [send(Not), recv(Not), Op::Drain(0), Op::ForceSend(0, 0), Op::Len(0), Op::IsClosed(0)];
        let fill = capacity.map_or(0, |capacity| rng.below(capacity as u64 + 1));
        let mut lanes = [vec![pick(&mut rng, &first)], vec![]];
        let count = 1 + rng.below(3);
        lanes[0].extend((0..count).map(|_| pick(&mut rng, &looks)));
        let count = rng.below(3);
        lanes[1].extend((0..count).map(|_| pick(&mut rng, &moves)));
        lanes[1].push(Op::Close(0));
        let actors = lanes.map(|ops| (Kind::Thread, ops)).into();
        let probes = vec![send(Not); fill as usize];
        let mut program = Program { seed, capacities: vec![capacity], actors, probes, runner_sends: true };
        program.number_values();
        program
    }
}

/// What the waiter is to do, and with what.
struct Task {
    port: Box<dyn Port>,
    ops: Vec<Op>,
}

/// Where the two meet: the waiter's task, and what came of it.
#[derive(Default)]
struct Ring {
    task: Mutex<Option<Task>>,
    rets: Mutex<Vec<Ret>>,
    /// Odd: the waiter's turn; even: the opponent's.
    turn: AtomicU64,
    over: AtomicBool,
}

impl Ring {
    /// Waits for the turn; false if the duels are over, or it took too long.
    fn wait_for(&self, turn: u64, patience: Duration) -> bool {
        let started = Instant::now();
        let mut looks = 0u32;
        while self.turn.load(Ordering::Acquire) != turn {
            looks += 1;
            if looks % 1000 != 0 {
                std::hint::spin_loop();
                continue;
            }
            thread::yield_now();
            if self.over.load(Ordering::Relaxed) || started.elapsed() > patience {
                return false;
            }
        }
        true
    }
}

/// Fights the duels with these seeds; the first failure, with seed and picture, is the error. A duel that takes longer
/// than `stuck` will never end.
pub fn duel(seeds: impl Iterator<Item = u64>, stuck: Duration, open: impl Fn(&Program) -> Ports) -> Result<(), String> {
    let ring = Arc::new(Ring::default());
    let waiter = ring.clone();
    thread::spawn(move || {
        for turn in (1..).step_by(2) {
            if !waiter.wait_for(turn, Duration::MAX) {
                return;
            }
            let Task { mut port, ops } = waiter.task.lock().unwrap().take().expect("it is the waiter's turn");
            let rets: Vec<Ret> = ops.iter().map(|op| port.perform(op)).collect();
            drop(port);
            *waiter.rets.lock().unwrap() = rets;
            waiter.turn.store(turn + 1, Ordering::Release);
        }
    });
    let mut outcome = Ok(());
    for (seed, turn) in seeds.zip((1..).step_by(2)) {
        outcome = fight(&ring, turn, seed, stuck, &open);
        if outcome.is_err() {
            break;
        }
    }
    ring.over.store(true, Ordering::Relaxed);
    outcome
}

fn fight(ring: &Ring, turn: u64, seed: u64, stuck: Duration, open: impl Fn(&Program) -> Ports) -> Result<(), String> {
    let program = Program::duel(seed);
    let Ports { actors, mut runner, live } = open(&program);
    let [waiter, mut opponent] = <[_; 2]>::try_from(actors).ok().expect("two actors");
    let [(_, waits), (_, moves)] = program.actors.as_slice() else { unreachable!("two actors") };
    let filled = program.probes.iter().map(|op| runner.perform(op)).collect();
    *ring.task.lock().unwrap() = Some(Task { port: waiter, ops: waits.clone() });
    ring.turn.store(turn, Ordering::Release);
    // Another delay each time the same program runs.
    let mut rng = Rng(turn);
    let mut pause = || (0..rng.below(300)).for_each(|_| std::hint::spin_loop());
    let moved = moves.iter().map(|op| (pause(), opponent.perform(op)).1).collect();
    drop(opponent);
    let ended = ring.wait_for(turn + 1, stuck);
    let looked = std::mem::take(&mut *ring.rets.lock().unwrap());
    drop(runner);

    // First the runner alone, then the two lanes beside each other.
    let mut records = Vec::new();
    let mut lane = |actor, ops: &[Op], rets: Vec<Ret>, invoked, returned| {
        for (index, op) in ops.iter().enumerate() {
            let returned = rets.get(index).map(|&ret| (returned, ret));
            records.push(Record { actor, op: op.clone(), invoked, returned, joined: index > 0 });
        }
    };
    lane(2, &program.probes, filled, 1, 2);
    lane(0, waits, looked, 3, 6);
    lane(1, moves, moved, 4, 5);
    let (capacities, actors) = (program.capacities.clone(), vec![Kind::Thread; 3]);
    let history = History { capacities, actors, senders: 3, receivers: 2, records, quiescent: Vec::new() };
    let checked = check(&history);
    let what = match (&checked, ended, live.count()) {
        (Err(_), ..) => "no order explains this",
        (_, false, _) => "the waiter waits for ever",
        (_, _, 0) => return Ok(()),
        _ => "values were not dropped",
    };
    Err(format!(
        "{what}; GOCHAN_SEED={seed} fights this duel again and again\n{}",
        diagram(&history, checked.err().as_ref())
    ))
}
