//! An OS thread waits: it looks for a while, then sleeps in the kernel.
//!
//! Two threads that hand values to each other on two cores meet within a microsecond; a sleep and a wake-up in the
//! kernel cost each of them several. So a thread looks first: a few dozen times with a pause between, then yielding its
//! core, because the one it waits for may need it. The number of looks is bounded, and it adapts per channel: where
//! looking has paid, it goes on longer; where it has not (an idle worker), it nearly stops.

use super::{Done, Wait, Waiter};
use crate::primitive::{AtomicU32, Ordering, hint, thread};
use std::sync::OnceLock;
use std::time::Instant;

/// Looks with a pause between them; the ones after these yield the core.
const PAUSES: u32 = 40;
/// Most looks in one wait: together some 30 us where another thread takes the core, 10 us where none does.
const MOST: u32 = 100;
/// Fewest looks, so that a channel can find out that looking pays again.
const FEWEST: u32 = 6;

/// How many times to look before sleeping, learnt per channel. A hint: lost updates do no harm.
#[derive(Debug)]
pub(crate) struct Spin(AtomicU32);

impl Spin {
    pub(crate) fn new() -> Self {
        Self(AtomicU32::new(MOST / 2))
    }

    /// Never look: there is nobody who could end the wait.
    pub(crate) fn none() -> Self {
        Self(AtomicU32::new(0))
    }

    fn until_done(&self, wait: &Wait, deadline: Option<Instant>) -> Option<Done> {
        let budget = self.0.load(Ordering::Relaxed);
        for look in 0..budget {
            if let Some(done) = wait.done() {
                self.0.store((budget + (MOST - budget).div_ceil(4)).min(MOST), Ordering::Relaxed);
                return Some(done);
            }
            if look < PAUSES && several_cores() {
                hint::spin_loop();
            } else {
                if passed(deadline) {
                    return None;
                }
                thread::yield_now();
            }
        }
        if budget > FEWEST {
            self.0.store(budget - (budget - FEWEST).div_ceil(4), Ordering::Relaxed);
        }
        None
    }
}

impl Wait {
    /// gopark of an OS thread: returns how the wait ended, or `None` once the deadline has passed; then the caller
    /// still has to withdraw the wait under the channel's lock, and may find it ended there.
    ///
    /// `before_sleep` runs once if the thread is really going to sleep.
    pub(crate) fn park(&self, deadline: Option<Instant>, spin: &Spin, before_sleep: impl FnOnce()) -> Option<Done> {
        if passed(deadline) {
            return self.done();
        }
        // Under a model checker a look is a branch that teaches nothing.
        if !cfg!(any(gochan_loom, gochan_shuttle)) {
            if let Some(done) = spin.until_done(self, deadline) {
                return Some(done);
            }
        }
        before_sleep();
        if let Some(done) = self.fall_asleep(Waiter::Thread(thread::current())) {
            return Some(done);
        }
        loop {
            match deadline {
                None => thread::park(),
                Some(deadline) => match deadline.checked_duration_since(Instant::now()) {
                    Some(left) if !left.is_zero() => thread::park_timeout(left),
                    _ => return self.done(),
                },
            }
            // The kernel's token may be somebody else's: only the word counts.
            if let Some(done) = self.done() {
                return Some(done);
            }
        }
    }
}

fn passed(deadline: Option<Instant>) -> bool {
    // Model checkers have no clock: a deadline has always passed, and the race is between its withdrawal and the others.
    deadline.is_some_and(|deadline| cfg!(any(gochan_loom, gochan_shuttle)) || Instant::now() >= deadline)
}

/// Pausing is of no use where the thread that is waited for cannot run meanwhile.
fn several_cores() -> bool {
    static SEVERAL: OnceLock<bool> = OnceLock::new();
    *SEVERAL.get_or_init(|| std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1))
}
