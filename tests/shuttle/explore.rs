//! Schedules by seed, and what a scenario leaves to chance.

use shuttle::future::block_on;
use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler, UncontrolledNondeterminismCheckScheduler};
use shuttle::{Config, FailurePersistence, MaxSteps, Runner, thread};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Executions per seed and scheduler.
const EXECUTIONS: usize = 100;

/// Preemptions at most that the second scheduler looks for.
const DEPTH: usize = 4;

/// A time that is over when shuttle says so.
pub(crate) const SOME_TIME: Duration = Duration::from_secs(3600);

fn from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

/// Runs a scenario under many schedules, or under those of one seed.
pub(crate) fn explore(scenario: impl Fn() + Send + Sync + 'static) {
    let seeds = match from_env("GOCHAN_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..from_env("GOCHAN_SEEDS").unwrap_or(5),
    };
    let scenario = Arc::new(scenario);
    let run = |scheduler: Box<dyn Scheduler + Send>| {
        let mut config = Config::new();
        config.stack_size = 0x4_0000;
        // Who needs more waits for ever, busily.
        config.max_steps = MaxSteps::FailAfter(100_000);
        config.failure_persistence = FailurePersistence::None;
        config.silence_warnings = true;
        let scenario = scenario.clone();
        Runner::new(scheduler, config).run(move || scenario())
    };
    for seed in seeds {
        let schedulers: [Box<dyn Scheduler + Send>; 2] = [
            Box::new(RandomScheduler::new_from_seed(seed, EXECUTIONS)),
            Box::new(PctScheduler::new_from_seed(seed, DEPTH, EXECUTIONS)),
        ];
        for scheduler in schedulers {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(scheduler))) {
                let test = std::thread::current().name().unwrap_or_default().to_string();
                eprintln!("again: GOCHAN_SEED={seed} scripts/shuttle {test}");
                resume_unwind(panic);
            }
        }
    }
    // What a seed has found it finds again: nothing else is random.
    run(Box::new(UncontrolledNondeterminismCheckScheduler::new(RandomScheduler::new_from_seed(0, 5))));
}

/// One of several.
pub(crate) fn one_of(several: &[u32]) -> u32 {
    several[choose(several.len() as u32) as usize]
}

/// One of so many.
pub(crate) fn choose(count: u32) -> u32 {
    thread_rng().gen_range(0..count)
}

pub(crate) fn coin() -> bool {
    thread_rng().r#gen()
}

/// Lets others run, for a while.
pub(crate) fn dawdle() {
    (0..choose(4)).for_each(|_| thread::yield_now());
}

/// Polls a few times, for nobody.
pub(crate) fn poll_for_a_while<F: Future + ?Sized>(mut future: Pin<&mut F>) -> Option<F::Output> {
    for _ in 0..1 + choose(2) {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return Some(output);
        }
        dawdle();
    }
    None
}

/// A future that is polled for a while, by nobody, and then by somebody.
pub(crate) fn block_on_late<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    match poll_for_a_while(future.as_mut()) {
        Some(output) => output,
        None => block_on(future),
    }
}
