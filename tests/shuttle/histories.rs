//! Random programs of threads and tasks under random schedules, each explained by the model: `tests/histories.rs` with the
//! schedule in the seed, too. Somebody closes everything at some time, so that all end; who does not is found by shuttle.

use crate::explore::{choose, coin, dawdle, explore};
use crate::history::ports::{Port, Ports, Surroundings, open};
use crate::history::program::Program;
use crate::history::{History, Kind, Record, check, diagram};
use crate::model::op::Op;
use shuttle::rand::{RngCore, thread_rng};
use shuttle::thread;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Shuttle's threads, clock and chance.
#[derive(Clone, Copy)]
struct Shuttle;

impl Surroundings for Shuttle {
    fn block_on<F: Future>(self, future: F) -> F::Output {
        shuttle::future::block_on(future)
    }

    fn dawdle(self) {
        dawdle();
    }

    fn coin(self) -> bool {
        coin()
    }
}

/// What happened. Stamps are no steps of the schedule.
#[derive(Default)]
struct Log {
    clock: AtomicU64,
    records: Mutex<Vec<Vec<Record>>>,
}

impl Log {
    fn stamp(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed)
    }

    fn perform(&self, actor: usize, port: &mut dyn Port, op: Op) {
        let record = Record { actor, op: op.clone(), invoked: self.stamp(), returned: None, joined: false };
        self.records.lock().unwrap()[actor].push(record);
        let ret = port.perform(&op);
        let returned = Some((self.stamp(), ret));
        self.records.lock().unwrap()[actor].last_mut().expect("it was pushed").returned = returned;
    }
}

/// One program, in one schedule.
fn play() {
    let program = Program::random(thread_rng().next_u64() % 10_000, &[Kind::Thread, Kind::Task], 8);
    let Ports { actors, mut runner, live } = open(&program, Duration::from_secs(3600), Shuttle);
    let count = program.actors.len();
    let log = Arc::new(Log { records: Mutex::new(vec![vec![]; count + 1]), ..Log::default() });
    let mut threads = Vec::new();
    for (actor, (mut port, (_, ops))) in actors.into_iter().zip(program.actors.clone()).enumerate() {
        let log = log.clone();
        threads.push(thread::spawn(move || {
            ops.into_iter().for_each(|op| log.perform(actor, port.as_mut(), op));
        }));
    }
    (0..choose(12)).for_each(|_| dawdle());
    let drop = if program.runner_sends { Op::DropSender } else { Op::DropReceiver };
    let ends = (0..program.capacities.len()).flat_map(|channel| [Op::Close(channel), drop(channel)]);
    ends.for_each(|op| log.perform(count, runner.as_mut(), op));
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let records = log.records.lock().unwrap().concat();
    let history = History {
        capacities: program.capacities.clone(),
        actors: program.actors.iter().map(|(kind, _)| *kind).chain([Kind::Thread]).collect(),
        senders: count + usize::from(program.runner_sends),
        receivers: count + usize::from(!program.runner_sends),
        records,
        quiescent: vec![],
    };
    if let Err(unexplained) = check(&history) {
        panic!("no order explains this\n{}\n{program}", diagram(&history, Some(&unexplained)));
    }
    assert_eq!(live.count(), 0, "values that were not dropped\n{}\n{program}", diagram(&history, None));
}

#[test]
fn programs_are_explained_by_the_model() {
    explore(play);
}
