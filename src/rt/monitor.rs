//! The monitor: sees to it that a worker that does one thing for long keeps nothing from the others but what it must.
//!
//! Started goroutines stay on their worker, so nothing can be done for those. But its fresh work and its tasks may run
//! elsewhere; as a rule nobody takes a worker's only piece, and nobody is woken for it. The monitor looks every
//! few milliseconds, says who is stuck, and wakes somebody. When nothing has run for a second it sleeps, until a worker
//! that has slept is awake again.

use super::deadlock::Helper;
use super::runtime::Shared;
use parking::{Parker, Unparker};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(10);
/// Who is at the same thing for so long is not only waiting for a processor.
const LOST: Duration = Duration::from_millis(10);
const IDLE: Duration = Duration::from_secs(1);

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
            NOT_STARTED if shared.workers().len() > 1 => {
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

fn watch(shared: &Shared, parker: &Parker) {
    let _helper = Helper::begin();
    // What each was at, and since when.
    let mut seen: Vec<Option<(u32, Instant)>> = vec![None; shared.workers().len()];
    let mut period = SHORTEST;
    let mut idle_since = None;
    loop {
        parker.park_timeout(period);
        if shared.is_shut_down() {
            return;
        }
        let (mut busy, mut helped) = (false, false);
        for (worker, seen) in shared.workers().iter().zip(&mut seen) {
            let turns = (!worker.is_asleep()).then(|| worker.turn());
            busy |= turns.is_some();
            let since = seen.filter(|&(at, _)| Some(at) == turns).map(|(_, since)| since);
            if since.is_some_and(|since| worker.is_stuck_beside_work(since.elapsed() >= LOST)) {
                shared.wake_one();
                helped = true;
            }
            *seen = turns.map(|turns| (turns, since.unwrap_or_else(Instant::now)));
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
