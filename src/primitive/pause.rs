//! A pause: what who spins does between two looks, for the same time on every processor.
//!
//! The hint that processors have for it takes 70 ns on some, 27 on others, and hardly one elsewhere. Counts of looks were
//! chosen for the first kind; so the others repeat it as often as that takes.

use super::{Ordering, hint};
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

/// How long one takes, about.
const PAUSE: Duration = Duration::from_nanos(70);
/// Hints by which that is measured, and how often: a slow measurement was interrupted.
const HINTS: u32 = 32;
const MEASUREMENTS: usize = 4;
const MOST_HINTS: u32 = 64;

/// Pauses for about 70 ns.
#[inline]
pub(crate) fn pause() {
    for _ in 0..hints() {
        hint::spin_loop();
    }
}

/// Hints per pause. Under a model checker each is a branch that teaches nothing.
#[inline]
fn hints() -> u32 {
    static PER_PAUSE: AtomicU32 = AtomicU32::new(0);
    if cfg!(any(gochan_loom, gochan_shuttle, miri)) {
        return 1;
    }
    match PER_PAUSE.load(Ordering::Relaxed) {
        0 => {
            let hints = measure();
            PER_PAUSE.store(hints, Ordering::Relaxed);
            hints
        }
        hints => hints,
    }
}

/// A few microseconds, once per process; what is spun meanwhile counts as a pause.
#[cold]
#[inline(never)]
fn measure() -> u32 {
    let once = |_| {
        let start = Instant::now();
        for _ in 0..HINTS {
            hint::spin_loop();
        }
        start.elapsed()
    };
    let fastest = (0..MEASUREMENTS).map(once).min().unwrap_or(PAUSE);
    let hints = (PAUSE * HINTS).as_nanos().div_ceil(fastest.as_nanos().max(1));
    u32::try_from(hints).unwrap_or(MOST_HINTS).clamp(1, MOST_HINTS)
}

#[cfg(all(test, not(any(gochan_loom, gochan_shuttle, miri))))]
mod tests {
    use super::{hints, pause};
    use std::time::{Duration, Instant};

    #[test]
    fn about_as_long_everywhere() {
        // The fastest of many: others use the processor, too.
        let thousand = |_| {
            let start = Instant::now();
            (0..1000).for_each(|_| pause());
            start.elapsed()
        };
        let fastest = (0..20).map(thousand).min().unwrap();
        println!("{} hints, {:?} a pause", hints(), fastest / 1000);
        assert!(fastest > Duration::from_micros(30), "{fastest:?} for a thousand");
        assert!(fastest < Duration::from_millis(2), "{fastest:?} for a thousand");
    }
}
