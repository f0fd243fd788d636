//! The monitor: sees to it that a worker that does one thing for long keeps nothing from the others but what it must.
//!
//! Started goroutines stay on their worker, so nothing can be done for those. But its fresh work and its tasks may run
//! elsewhere; as a rule nobody takes a worker's only piece, and nobody is woken for it. The monitor looks every
//! few milliseconds, says who is stuck, and wakes somebody; and tells the user, if he has asked for that. Who is not idle
//! looks at what others have only if it says that one of them is lost. It takes nothing itself, being no thread that a
//! deadlock waits for. When nothing has run for half a second it sleeps, until a worker that has slept is awake again.

use super::deadlock::Helper;
use super::runtime::Shared;
use super::stuck;
use parking::{Parker, Unparker};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(10);
/// Who is at the same thing for so long is not only waiting for a processor.
const LOST: Duration = Duration::from_millis(10);
const IDLE: Duration = Duration::from_millis(500);

#[derive(Default)]
pub(super) struct Monitor {
    is_asleep: AtomicBool,
    unparker: OnceLock<Unparker>,
}

impl Monitor {
    /// With the workers, not when it is first needed: a thread begins with the registers of who starts it, which a goroutine's
    /// are, and where they are kept it seems to know what lay on that stack then.
    pub(super) fn start(shared: &Arc<Shared>) {
        // One worker has nobody to be helped by.
        if shared.workers().len() > 1 || shared.report_stuck.is_some() {
            let parker = Parker::new();
            let _ = shared.monitor.unparker.set(parker.unparker());
            let shared = shared.clone();
            // Without it everything works, if somewhat later.
            let _ = thread::Builder::new().name("gochan-monitor".into()).spawn(move || watch(&shared, &parker));
        }
    }

    /// There is something to watch.
    #[inline]
    pub(super) fn begin(&self) {
        if self.is_asleep.load(Ordering::Relaxed) && self.is_asleep.swap(false, Ordering::AcqRel) {
            self.wake();
        }
    }

    #[cold]
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
        let (mut busy, mut helped, mut lost) = (false, false, false);
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
                        lost |= since >= LOST;
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
        shared.say_lost(lost);
        period = if helped { SHORTEST } else { (period * 2).min(LONGEST) };
        if busy {
            idle_since = None;
        } else if idle_since.get_or_insert_with(Instant::now).elapsed() >= IDLE {
            shared.monitor.is_asleep.store(true, Ordering::Release);
            parker.park();
            (period, idle_since) = (SHORTEST, None);
        }
    }
}
