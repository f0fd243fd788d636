//! The end of a goroutine before its time.
//!
//! A goroutine is never ended from outside: its wait is (by the owner's withdrawal, as if its deadline had passed), it is
//! resumed, and unwinds from there with a payload of our own. Dropping a suspended stack instead would run destructors where
//! nothing may wait, and what waits there aborts the process.
//!
//! It unwinds only where that is safe: not while it unwinds already, whether by this or by a panic of its own, and not in
//! [`shielded`]. The standard library counts panics per thread, and goroutines share one, so "nobody of this thread was
//! unwinding when it parked" stands for "it was not"; who cannot be told from a neighbour is asked again once nobody of
//! the thread unwinds.

use super::current::{current_goroutine, running};
use super::g::G;
use super::mail::Mail;
use crate::primitive::heavy_or_fence;
use std::num::NonZeroU64;
use std::panic::resume_unwind;
use std::sync::atomic::Ordering;
use std::thread;

/// So often a goroutine that catches the unwinding is made to unwind again.
const MOST_UNWINDINGS: u8 = 16;

/// What a cancelled goroutine unwinds with.
pub(super) struct Cancelled(NonZeroU64);

impl Drop for Cancelled {
    fn drop(&mut self) {
        // Caught, and not passed on: it unwinds no more.
        if let Some(g) = current_goroutine().filter(|g| g.identity.key() == self.0) {
            g.own.unwinding.set(false);
        }
    }
}

/// Tells a goroutine to end.
pub(super) fn cancel(g: &G) {
    g.tell_to_end();
    let home = g.home().or_else(|| {
        // One that is not there now either will see it when it first runs.
        heavy_or_fence();
        g.home()
    });
    if let Some(home) = home {
        home.post(Mail::Cancel { place: g.place.load(Ordering::Relaxed), id: g.identity.key() });
    }
}

impl G {
    /// May it be made to unwind, if `panicking` says whether anybody of its thread was unwinding when it parked?
    pub(super) fn may_unwind(&self, panicking: bool) -> bool {
        let shielded = self.own.shields.get() > 0 && !cfg!(gochan_bug = "shield_ignored");
        !panicking && !self.own.unwinding.get() && !shielded
    }
}

/// Is the running goroutine to unwind instead of waiting?
pub(super) fn is_cancelled() -> bool {
    let (_, g) = running();
    g.is_told_to_end() && g.may_unwind(thread::panicking())
}

/// Unwinds the running goroutine.
pub(super) fn unwind() -> ! {
    let (worker, g) = running();
    let times = g.own.unwound.get();
    if times == MOST_UNWINDINGS || cfg!(panic = "abort") {
        worker.leave_behind(g);
    }
    g.own.unwound.set(times + 1);
    g.own.unwinding.set(true);
    // No message: this is no panic.
    resume_unwind(Box::new(Cancelled(g.identity.key())))
}

/// Runs `f` without being cancelled: what waits in it waits as ever. For what may not be left half done, and for what is
/// called from C, through whose frames nothing may unwind.
///
/// Outside of a goroutine it just runs `f`.
///
/// # Examples
///
/// ```
/// use gochan::{bounded, go, rt};
///
/// let (tx, rx) = bounded(0);
/// let both = go(move || rt::shielded(|| (rx.recv().unwrap(), rx.recv().unwrap())));
/// tx.send(1).unwrap();
/// both.cancel();
/// tx.send(2).unwrap();
/// assert_eq!(both.join().unwrap(), (1, 2));
/// ```
pub fn shielded<T>(f: impl FnOnce() -> T) -> T {
    struct Shield<'a>(&'a G);
    impl Drop for Shield<'_> {
        fn drop(&mut self) {
            self.0.own.shields.set(self.0.own.shields.get() - 1);
        }
    }
    let _shield = current_goroutine().map(|g| {
        g.own.shields.set(g.own.shields.get() + 1);
        Shield(g)
    });
    f()
}
