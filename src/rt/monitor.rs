//! The monitor: sees to it that a worker that does one thing for long keeps nothing from the others but what it must.
//!
//! Started goroutines stay on their worker, so nothing can be done for those. But its fresh work and its tasks may run
//! elsewhere; as a rule nobody takes a worker's only piece, and nobody is woken for it. The monitor looks every
//! few milliseconds, says who is stuck, and wakes somebody; and tells the user, if he has asked for that. When nothing has
//! run for half a second it sleeps, until a worker that has slept is awake again.

use super::deadlock::Helper;
use super::runtime::Shared;
use super::stuck;
use parking::{Parker, Unparker};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(10);
/// Who is at the same thing for so long is not only waiting for a processor.
const LOST: Duration = Duration::from_millis(10);
const IDLE: Duration = Duration::from_millis(500);

const NOT_STARTED: u8 = 0;
const WATCHING: u8 = 1;
const ASLEEP: u8 = 2;

#[derive(Default)]
pub(super) struct Monitor {
    state: AtomicU8,
    unparker: OnceLock<Unparker>,
}

impl Monitor {
    /// There is something to watch.
    #[inline]
    pub(super) fn begin(&self, shared: &Arc<Shared>) {
        if self.state.load(Ordering::Relaxed) != WATCHING {
            self.begin_slow(shared);
        }
    }

    #[cold]
    fn begin_slow(&self, shared: &Arc<Shared>) {
        match self.state.swap(WATCHING, Ordering::AcqRel) {
            // One worker has nobody to be helped by.
            NOT_STARTED if shared.workers().len() > 1 || shared.report_stuck.is_some() => {
                let parker = Parker::new();
                let _ = self.unparker.set(parker.unparker());
                let shared = shared.clone();
                // Without it everything works, if somewhat later.
                let _ = thread::Builder::new().name("gochan-monitor".into()).spawn(move || watch(&shared, &parker));
            }
            ASLEEP => self.wake(),
            _ => {}
        }
    }

    pub(super) fn wake(&self) {
        if let Some(unparker) = self.unparker.get() {
            unparker.unpark();
        }
    }
}

/// The turn that a worker has made last, and since when it has made no other.
#[derive(Clone, Copy)]
struct Seen {
    turn: u32,
    since: Instant,
    is_reported: bool,
}

fn watch(shared: &Shared, parker: &Parker) {
    let _helper = Helper::begin();
    let mut seen: Vec<Option<Seen>> = vec![None; shared.workers().len()];
    let mut period = SHORTEST;
    let mut idle_since = None;
    loop {
        parker.park_timeout(period);
        if shared.is_shut_down() {
            return;
        }
        let (mut busy, mut helped) = (false, false);
        for (index, (&worker, seen)) in shared.workers().iter().zip(&mut seen).enumerate() {
            let Some(turn) = (!worker.is_asleep()).then(|| worker.turn()) else {
                *seen = None;
                continue;
            };
            busy = true;
            match seen {
                Some(seen) if seen.turn == turn => {
                    let since = seen.since.elapsed();
                    if worker.is_stuck_beside_work(since >= LOST) {
                        shared.wake_one();
                        helped = true;
                    }
                    if !seen.is_reported && shared.report_stuck.is_some_and(|after| since >= after) {
                        seen.is_reported = true;
                        stuck::report(worker, index, turn, since);
                    }
                }
                _ => *seen = Some(Seen { turn, since: Instant::now(), is_reported: false }),
            }
        }
        period = if helped { SHORTEST } else { (period * 2).min(LONGEST) };
        if busy {
            idle_since = None;
        } else if idle_since.get_or_insert_with(Instant::now).elapsed() >= IDLE {
            shared.monitor.state.store(ASLEEP, Ordering::Release);
            parker.park();
            (period, idle_since) = (SHORTEST, None);
        }
    }
}
