//! after, at, tick: timers that are received from.
//!
//! A timer is not a channel inside: nobody sends. It is a moment, and whoever looks at it after that moment takes it. It
//! needs no thread and is in no heap; who waits for it sleeps until that moment and looks again, as one of many clones may
//! have taken it meanwhile.
//!
//! Invariant: `next` changes by compare-and-swap only, so one firing is taken once.

use super::hchan::{Patience, Refusal};
use super::{Flavor, Receiver, never};
use crate::park::{self, Reason};
use crate::primitive::{Arc, AtomicU64, Ordering};
use std::panic::Location;
use std::time::{Duration, Instant};

/// The only firing of an `after` has been taken.
const TAKEN: u64 = u64::MAX;

/// A timer, shared by the clones of its receiver.
#[derive(Debug)]
pub(crate) struct Timer {
    first: Instant,
    /// In nanoseconds. `None`: it fires once.
    period: Option<u64>,
    /// The next firing, in nanoseconds behind `first`.
    next: AtomicU64,
}

impl Timer {
    fn receiver(first: Instant, period: Option<u64>) -> Receiver<Instant> {
        Receiver { flavor: Flavor::Timer(Arc::new(Self { first, period, next: AtomicU64::new(0) })) }
    }

    fn moment(&self, next: u64) -> Instant {
        // A tick beyond the clock's range does not come within anybody's life.
        self.first.checked_add(Duration::from_nanos(next)).unwrap_or(self.first)
    }

    /// When it fires next.
    pub(crate) fn due(&self) -> Option<Instant> {
        match self.next.load(Ordering::Relaxed) {
            TAKEN => None,
            next => Some(self.moment(next)),
        }
    }

    pub(crate) fn is_due(&self) -> bool {
        self.due().is_some_and(|due| Instant::now() >= due)
    }

    /// Takes the firing that is due: when that was. Firings that nobody took meanwhile are dropped, and
    /// the next one comes when it would have come anyway.
    pub(crate) fn take(&self, now: Instant) -> Option<Instant> {
        let mut next = self.next.load(Ordering::Relaxed);
        loop {
            if next == TAKEN {
                return None;
            }
            let due = self.moment(next);
            let late = now.checked_duration_since(due)?;
            let late = u64::try_from(late.as_nanos()).unwrap_or(u64::MAX);
            let then = match self.period {
                None if cfg!(gochan_bug = "timer_fires_again") => next,
                None => TAKEN,
                Some(0) => next.saturating_add(late),
                Some(period) => next.saturating_add(late - late % period).saturating_add(period),
            };
            let then = if self.period.is_some() { then.min(TAKEN - 1) } else { then };
            // Relaxed: a firing carries nothing but itself.
            match self.next.compare_exchange(next, then, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(due),
                Err(other) => next = other,
            }
        }
    }

    /// Receives, sleeping until the timer is due as long as `patience` allows.
    pub(super) fn recv(&self, patience: &Patience, at: &'static Location<'static>) -> Result<Instant, Refusal> {
        let mut deadline = None;
        loop {
            let now = Instant::now();
            if let Some(due) = self.take(now) {
                return Ok(due);
            }
            let deadline = match patience {
                Patience::Try => return Err(Refusal::Blocked),
                _ => *deadline.get_or_insert_with(|| patience.deadline()),
            };
            if deadline.is_some_and(|deadline| now >= deadline) {
                return Err(Refusal::Blocked);
            }
            park::forever(Reason::ChanReceive, at, sooner(self.due(), deadline));
        }
    }
}

/// The sooner of two moments, of which either may never come.
pub(crate) fn sooner(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        _ => one.or(other),
    }
}

/// Makes a receiver that delivers one message, the moment at which it was due, after `duration` has passed. Go's
/// `time.After`.
///
/// Clones share the message: one of them receives it. No thread runs for it, and it costs nothing until somebody waits
/// for it. After a duration beyond the clock's range nothing ever comes. It is no channel otherwise: it cannot be closed
/// ([`close`](Receiver::close) returns false), counts no handles, and has nothing to drain; a weak handle keeps it.
///
/// # Examples
///
/// ```
/// use gochan::{after, never, select};
/// use std::time::Duration;
///
/// let results = never::<u8>();
/// select! {
///     recv(results) -> result => panic!("{result:?}"),
///     recv(after(Duration::from_millis(5))) -> _ => println!("timed out"),
/// }
/// ```
#[must_use]
pub fn after(duration: Duration) -> Receiver<Instant> {
    match Instant::now().checked_add(duration) {
        Some(when) => at(when),
        None => never(),
    }
}

/// As [`after`], at the moment `when`.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
///
/// let when = Instant::now() + Duration::from_millis(5);
/// assert_eq!(gochan::at(when).recv(), Ok(when));
/// assert!(Instant::now() >= when);
/// ```
#[must_use]
pub fn at(when: Instant) -> Receiver<Instant> {
    Timer::receiver(when, None)
}

/// Makes a receiver that delivers a message, the moment at which it was due, every `duration`. Go's `time.Tick`.
///
/// For a slow receiver ticks are dropped: at most one waits for it, and the next comes when it would have come anyway, so
/// that ticks do not drift. Clones share the ticks. No thread runs for it, and it costs nothing until somebody waits for
/// it. A `duration` of zero ticks whenever it is looked at (Go's `NewTicker` panics then).
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
///
/// let start = Instant::now();
/// let ticker = gochan::tick(Duration::from_millis(5));
/// let third = ticker.iter().nth(2).unwrap();
/// assert!(third - start >= Duration::from_millis(15));
/// ```
#[must_use]
pub fn tick(duration: Duration) -> Receiver<Instant> {
    match Instant::now().checked_add(duration) {
        Some(first) => Timer::receiver(first, Some(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))),
        None => never(),
    }
}
