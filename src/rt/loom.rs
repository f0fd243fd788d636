//! The models of an end and who waits for it: every interleaving of who announces it and who has the handle. `scripts/loom` runs them.
//!
//! Deadlines have always passed: who waits until one enters himself and withdraws at once.

use super::latch::{Latch, Unwanted};
use crate::chan::tests::models::{model, poll_once};
use crate::park::Reason;
use crate::primitive::Arc;
use loom::cell::UnsafeCell;
use loom::future::block_on;
use loom::thread;
use std::future::poll_fn;
use std::panic::Location;
use std::pin::pin;
use std::task::Poll;
use std::time::Instant;

struct End {
    latch: Latch,
    value: UnsafeCell<Option<i32>>,
}

// SAFETY: what is in the cell goes from who sets the latch to who has seen it set, or back if nobody will.
unsafe impl Send for End {}
// SAFETY: as above.
unsafe impl Sync for End {}

impl End {
    fn take(&self) -> Option<i32> {
        // SAFETY: the caller has seen it set, or that nobody will; the model says if somebody else is here.
        self.value.with_mut(|value| unsafe { (*value).take() })
    }

    fn wait(&self, deadline: Option<Instant>) -> bool {
        self.latch.wait(Reason::Join, Location::caller(), deadline)
    }
}

/// Announces an end to who has the handle, which is another thread. What it announces is taken exactly once: by that, or by who has announced it.
fn announce(handle: impl FnOnce(&End) -> Option<i32> + Send + 'static) {
    let end = Arc::new(End { latch: Latch::new(), value: UnsafeCell::new(None) });
    let theirs = end.clone();
    let other = thread::spawn(move || handle(&theirs));
    // SAFETY: it is not set yet.
    end.value.with_mut(|value| unsafe { *value = Some(7) });
    let came_back = match end.latch.set() {
        Ok(ready) => {
            ready.fire();
            None
        }
        Err(Unwanted) => end.take(),
    };
    let taken = other.join().unwrap();
    assert!(taken.xor(came_back) == Some(7), "{taken:?} {came_back:?}");
}

/// Whoever waits for an end is woken by it, whenever it comes, and sees what was announced.
#[test]
fn wait_set() {
    model(|| {
        announce(|end| {
            assert!(end.wait(None));
            end.take()
        });
    });
}

/// The same with one whose time is over first, and who then waits again.
#[test]
fn timed_wait_set() {
    model(|| {
        announce(|end| {
            assert!(end.wait(Some(Instant::now())) || end.wait(None));
            end.take()
        });
    });
}

/// The handle goes while the end is announced: one of the two takes what was announced.
#[test]
fn leave_set() {
    model(|| announce(|end| if end.latch.leave() { end.take() } else { None }));
}

/// The same after a wait whose time was over.
#[test]
fn timed_wait_leave_set() {
    model(|| {
        announce(|end| {
            end.wait(Some(Instant::now()));
            if end.latch.leave() { end.take() } else { None }
        });
    });
}

/// A task that awaits an end is woken by it; its waker has changed meanwhile.
#[test]
fn poll_set() {
    model(|| {
        announce(|end| {
            let mut set = pin!(poll_fn(|cx| end.latch.poll(cx)));
            if let Poll::Pending = poll_once(set.as_mut()) {
                block_on(set);
            }
            end.take()
        });
    });
}

/// Its handle goes instead.
#[test]
fn poll_leave_set() {
    model(|| {
        announce(|end| {
            _ = poll_once(pin!(poll_fn(|cx| end.latch.poll(cx))));
            if end.latch.leave() { end.take() } else { None }
        });
    });
}
