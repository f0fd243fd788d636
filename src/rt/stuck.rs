//! The report of a worker that is at one thing for long: a computation, or a call that blocks its thread.
//!
//! The monitor finds it: a worker that is awake and makes no turn. What it runs and what waits for it are words that it, and
//! those who want something of it, write anyway.

use super::census::name_of;
use super::mail::Remote;
use crate::debug::{Kind, Worker};
use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

/// `GOCHAN_STUCK`, in seconds.
pub(super) fn of_environment() -> Option<Duration> {
    let seconds = std::env::var("GOCHAN_STUCK").ok()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// Says that a worker has made no turn for so long, and why, if it runs something.
pub(super) fn report(worker: &Remote, index: usize, turn: u32, since: Duration) {
    let seen = worker.look(0, index, turn);
    if let (Some((kind, id)), Some(at)) = (seen.busy_with, seen.busy_with_spawned_at) {
        let (name, ms) = (name_of(id), since.as_millis());
        let name = name.map_or_else(String::new, |name| format!(" {name:?}"));
        // Where stderr is closed there is nobody to be told.
        let _ = writeln!(
            io::stderr().lock(),
            "worker {index} has been at one thing for {ms} ms: {kind} {id}{name}\n    created at {at}\n    {}",
            Kept(&seen)
        );
    }
}

/// What a worker keeps waiting.
struct Kept<'a>(&'a Worker);

impl fmt::Display for Kept<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Worker { residents, inbox, fresh, busy_with, .. } = *self.0;
        // It lives there itself.
        let is_goroutine = busy_with.is_some_and(|(kind, _)| kind == Kind::Goroutine);
        let kept = [
            (
                residents.saturating_sub(is_goroutine.into()),
                "other goroutine that lives there",
                "other goroutines that live there",
            ),
            (inbox, "message in its inbox", "messages in its inbox"),
            (fresh, "start or poll that is due", "starts or polls that are due"),
        ];
        let kept = kept.into_iter().filter(|(count, ..)| *count > 0);
        let kept = kept.map(|(count, one, many)| format!("{count} {}", if count == 1 { one } else { many }));
        let kept: Vec<_> = kept.collect();
        if kept.is_empty() {
            f.write_str("nobody waits for that")
        } else {
            write!(f, "what waits for that: {}", kept.join(", "))
        }
    }
}
