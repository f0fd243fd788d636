//! What the loom models share.
//!
//! Loom begins with the execution in which who spawns a thread runs on, and looks for another order where an access meets the
//! *last* one to the same place. A load that goes first is hidden behind the other thread's own load before its store, and all
//! else is then never tried. So of two threads, the one that writes is the one that spawns. A model with a single
//! execution shows nothing, and fails.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Instant;

/// Every execution with at most this many preemptions is explored, unless `LOOM_MAX_PREEMPTIONS` says otherwise.
const PREEMPTIONS: usize = 3;

/// Explores all executions of `f`, and prints how many those were: what `scripts/models-page` makes a table of.
pub(crate) fn model(f: impl Fn() + Sync + Send + 'static) {
    model_of(0, f);
}

/// The same, with so many preemptions at least, whatever is asked for: of something small that fewer do not show.
pub(crate) fn model_of(preemptions: usize, f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    let bound = builder.preemption_bound.unwrap_or(PREEMPTIONS).max(preemptions);
    builder.preemption_bound = Some(bound);
    let (executions, start) = (Arc::new(AtomicUsize::new(0)), Instant::now());
    let count = executions.clone();
    builder.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        f();
    });
    let (thread, executions) = (thread::current(), executions.load(Ordering::Relaxed));
    assert!(executions > 1, "nothing to choose from: see above");
    println!("model {} {bound} {executions} {:.2}", thread.name().unwrap_or("-"), start.elapsed().as_secs_f64());
}

/// Polls once, with a waker that wakes nobody.
pub(crate) fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}
