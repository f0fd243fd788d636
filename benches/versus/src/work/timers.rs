//! How late a timer is received by a thread that does nothing but wait for it.

use crate::kinds::{Timers, Waiter};
use crate::measure::Metrics;
use crate::scenario::Wait;
use crate::work::latency;
use std::thread;
use std::time::{Duration, Instant};

pub fn cell<L: Timers>(wait: Wait, time: Duration, target: Duration) -> Option<Metrics> {
    let mut waiter = match wait {
        Wait::Recv => L::receive(),
        Wait::Select => L::select()?,
    };
    latency::measure(target, |n| {
        let start = Instant::now();
        let overshoots = (0..n).map(|_| {
            // Before the timer is made, so that what it takes to make it counts.
            let due = Instant::now() + time;
            waiter(time);
            let late = Instant::now().checked_duration_since(due).expect("no timer fires early");
            late.as_nanos() as usize
        });
        let overshoots = overshoots.collect();
        Some((start.elapsed(), overshoots))
    })
}

/// What the system does by itself: the least overshoot there is to have.
pub struct Sleep;

impl Timers for Sleep {
    fn receive() -> Waiter {
        Box::new(thread::sleep)
    }

    fn select() -> Option<Waiter> {
        None
    }
}
