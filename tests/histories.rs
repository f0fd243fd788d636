//! Random programs on real threads over gochan's channels, each explained by the model.
//!
//! `GOCHAN_PROGRAMS=1000000 cargo test --release --test histories` runs longer; with `GOCHAN_SEED=7` as well it is the
//! program made from seed 7 that often, since each run is another schedule. A failure names its seed and draws what
//! happened.

mod history;
mod model;

use history::Kind;
use history::duel::duel;
use history::ports::{Ports, open};
use history::program::Program;
use history::run::{Real, run};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Longer than anything takes.
const STUCK: Duration = Duration::from_secs(10);

/// Between programs timeouts differ, from nothing to longer than a pause.
fn open_real(program: &Program) -> Ports {
    open(program, Duration::from_micros([0, 5, 50, 200][program.seed as usize % 4]), Real)
}

fn number_from(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

/// The seeds of a test, and how many: all from 0, or one again and again.
fn seeds(count: u64) -> impl Iterator<Item = u64> {
    let count = number_from("GOCHAN_PROGRAMS").unwrap_or(count);
    let seed = number_from("GOCHAN_SEED");
    match seed {
        Some(seed) => println!("seed {seed}, {count} times"),
        None => println!("seeds 0 to {}", count.saturating_sub(1)),
    }
    (0..count).map(move |program| seed.unwrap_or(program))
}

/// One test at a time: their threads should meet each other, not wait for a core.
static ALONE: Mutex<()> = Mutex::new(());

/// Runs so many programs of so many operations per actor; a failure is made smaller before it is shown.
fn explained(count: u64, kinds: &[Kind], operations: u64) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let started = Instant::now();
    let programs = seeds(count).map(|seed| Program::random(seed, kinds, operations));
    match run(programs, STUCK, open_real) {
        Ok(summary) => println!("{summary:#?} in {:?}", started.elapsed()),
        Err(failure) => {
            let first = failure.to_string();
            panic!("{first}\n\nmade smaller:\n{}", failure.shrink(100, STUCK, open_real));
        }
    }
}

#[test]
fn programs_of_threads_are_explained_by_the_model() {
    explained(1500, &[Kind::Thread], 12);
}

#[test]
fn programs_of_threads_and_tasks_are_explained_by_the_model() {
    explained(1500, &[Kind::Thread, Kind::Task, Kind::Task], 12);
}

#[test]
fn programs_of_all_are_explained_by_the_model() {
    explained(1000, &[Kind::Thread, Kind::Task, Kind::Goroutine, Kind::Goroutine], 12);
}

#[test]
fn long_programs_are_explained_by_the_model() {
    explained(150, &[Kind::Thread, Kind::Task, Kind::Goroutine], 120);
}

#[test]
fn duels_are_explained_by_the_model() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let started = Instant::now();
    if let Err(failure) = duel(seeds(30_000), STUCK, open_real) {
        panic!("{failure}");
    }
    println!("in {:?}", started.elapsed());
}
