//! Wakes tasks at a moment: for deadlines and timers of tasks on executors that lend us none.
//!
//! One thread serves the process. It is started when the first alarm is set, and sleeps until the first one is due.
//!
//! Invariant: wakers are cloned before, and woken or dropped after, the lock; they run foreign code.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread;
use std::time::Instant;

/// What wakes a task at a moment; dropped, it does not.
#[derive(Debug)]
pub(crate) struct Alarm {
    key: (Instant, u64),
}

struct Alarms {
    wakers: BTreeMap<(Instant, u64), Waker>,
    /// Tells alarms of one moment apart.
    count: u64,
    running: bool,
    /// The thread sleeps, and there was no alarm when it fell asleep.
    idle: bool,
}

static ALARMS: Mutex<Alarms> = Mutex::new(Alarms { wakers: BTreeMap::new(), count: 0, running: false, idle: false });
/// The first alarm has changed.
static CHANGED: Condvar = Condvar::new();

fn lock() -> MutexGuard<'static, Alarms> {
    // No foreign code runs under the lock.
    ALARMS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Alarm {
    /// Wakes `waker` at `when`, unless it is dropped before.
    fn set(when: Instant, waker: &Waker) -> Self {
        let waker = waker.clone();
        let mut alarms = lock();
        alarms.count += 1;
        let key = (when, alarms.count);
        alarms.wakers.insert(key, waker);
        if !alarms.running {
            alarms.running = true;
            drop(alarms);
            let started = thread::Builder::new().name("gochan-alarms".into()).spawn(ring);
            if let Err(error) = started {
                lock().running = false;
                // Without it tasks would wait for ever, in silence.
                panic!("no thread for the deadlines of tasks: {error}");
            }
        } else if alarms.wakers.first_key_value().is_some_and(|(first, _)| *first == key) {
            CHANGED.notify_one();
        }
        Self { key }
    }

    /// If the thread of the alarms sleeps until one is set: how many ever were.
    #[cfg(feature = "rt")]
    pub(crate) fn asleep() -> Option<u64> {
        let alarms = lock();
        (alarms.idle && alarms.wakers.is_empty()).then_some(alarms.count)
    }

    /// Sees to it that `alarm` wakes `waker` at `when`, if ever.
    pub(crate) fn keep(alarm: &mut Option<Self>, when: Option<Instant>, waker: &Waker) {
        // Shuttle knows no other thread: whether the time is over is asked again at once.
        if cfg!(gochan_shuttle) {
            return when.into_iter().for_each(|_| waker.wake_by_ref());
        }
        let is_set = |alarm: &Self| {
            Some(alarm.key.0) == when && lock().wakers.get(&alarm.key).is_some_and(|set| set.will_wake(waker))
        };
        if !alarm.as_ref().is_some_and(is_set) {
            *alarm = when.map(|when| Self::set(when, waker));
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        let waker = lock().wakers.remove(&self.key);
        // Outside the lock.
        drop(waker);
    }
}

/// The thread of the alarms.
fn ring() {
    let mut alarms = lock();
    loop {
        let now = Instant::now();
        let Some(first) = alarms.wakers.first_entry() else {
            alarms.idle = true;
            alarms = CHANGED.wait(alarms).unwrap_or_else(PoisonError::into_inner);
            alarms.idle = false;
            continue;
        };
        let (when, _) = *first.key();
        if when <= now {
            let waker = first.remove();
            drop(alarms);
            // A waker that panics is its executor's concern, and not that of the next alarm.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| waker.wake()));
            alarms = lock();
        } else {
            alarms = CHANGED.wait_timeout(alarms, when - now).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
