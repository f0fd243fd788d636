//! Timeouts and deadlines: what is possible now happens, nothing gives up early, and `Duration::MAX` is for ever.

mod common;

use common::{A_MOMENT, PATIENCE, wait_for_waiting, wait_until, waiting, watchdog};
use gochan::{Receiver, RecvTimeoutError, SendTimeoutError, Sender, bounded, never, unbounded};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn zero_does_what_needs_no_waiting() {
    let (tx, rx) = bounded(1);
    assert_eq!(tx.send_timeout(1, Duration::ZERO), Ok(()));
    assert_eq!(tx.send_timeout(2, Duration::ZERO), Err(SendTimeoutError::Timeout(2)));
    assert_eq!(rx.recv_timeout(Duration::ZERO), Ok(1));
    assert_eq!(rx.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Timeout));
}

#[test]
fn a_past_deadline_does_what_needs_no_waiting() {
    let past = Instant::now();
    let (tx, rx) = bounded(1);
    assert_eq!(tx.send_deadline(1, past), Ok(()));
    assert_eq!(tx.send_deadline(2, past), Err(SendTimeoutError::Timeout(2)));
    assert_eq!(rx.recv_deadline(past), Ok(1));
    assert_eq!(rx.recv_deadline(past), Err(RecvTimeoutError::Timeout));
    tx.close();
    assert_eq!(tx.send_deadline(3, past), Err(SendTimeoutError::Disconnected(3)));
    assert_eq!(rx.recv_deadline(past), Err(RecvTimeoutError::Disconnected));
}

#[test]
fn zero_meets_a_waiting_peer() {
    watchdog(|| {
        #[derive(Debug, PartialEq)]
        struct Here(u32);
        let (tx, rx) = bounded(0);
        thread::scope(|scope| {
            let receiver = scope.spawn(|| rx.recv());
            wait_for_waiting::<Here>(1);
            assert_eq!(tx.send_timeout(Here(1), Duration::ZERO), Ok(()));
            assert_eq!(receiver.join().unwrap(), Ok(Here(1)));
            let sender = scope.spawn(|| tx.send(Here(2)));
            wait_for_waiting::<Here>(1);
            assert_eq!(rx.recv_deadline(Instant::now() - Duration::from_nanos(1)), Ok(Here(2)));
            assert_eq!(sender.join().unwrap(), Ok(()));
        });
    });
}

#[test]
fn nothing_gives_up_early() {
    let full = |cap| {
        let (tx, rx) = bounded(cap);
        (0..cap).for_each(|_| tx.send(()).unwrap());
        (tx, rx)
    };
    for milliseconds in [1, 3, 30] {
        let patience = Duration::from_millis(milliseconds);
        for (tx, rx) in [full(0), full(3)] {
            let start = Instant::now();
            assert_eq!(tx.send_timeout((), patience), Err(SendTimeoutError::Timeout(())));
            assert!(start.elapsed() >= patience);
            let start = Instant::now();
            assert_eq!(tx.send_deadline((), start + patience), Err(SendTimeoutError::Timeout(())));
            assert!(Instant::now() >= start + patience);
            rx.drain().for_each(drop);
            let start = Instant::now();
            assert_eq!(rx.recv_timeout(patience), Err(RecvTimeoutError::Timeout));
            assert!(start.elapsed() >= patience);
            let start = Instant::now();
            assert_eq!(rx.recv_deadline(start + patience), Err(RecvTimeoutError::Timeout));
            assert!(Instant::now() >= start + patience);
        }
    }
}

#[test]
fn who_gives_up_is_gone() {
    struct Here;
    let (tx, rx) = bounded::<Here>(0);
    for _ in 0..20 {
        assert!(tx.send_timeout(Here, Duration::from_micros(300)).is_err());
        assert!(rx.recv_timeout(Duration::from_micros(300)).is_err());
        assert!(waiting::<Here>().is_empty());
    }
    assert!(tx.try_send(Here).is_err() && rx.try_recv().is_err());
}

/// `wait` is for ever: after a moment it still sleeps, and only `end` ends it.
fn lasts<T: Send, R: Send>(wait: impl FnOnce() -> R + Send, end: impl FnOnce()) -> R {
    thread::scope(|scope| {
        let thread = scope.spawn(wait);
        wait_until(|| waiting::<T>().iter().any(|waiting| waiting.asleep_for >= Some(A_MOMENT)));
        assert!(!thread.is_finished());
        end();
        thread.join().unwrap()
    })
}

#[test]
fn the_longest_timeout_is_for_ever() {
    watchdog(|| {
        #[derive(Debug, PartialEq)]
        struct Here(u32);
        // So is any that ends beyond what the clock can tell.
        for patience in [Duration::MAX, Duration::from_secs(u64::MAX / 2)] {
            let (tx, rx) = bounded(0);
            assert_eq!(lasts::<Here, _>(|| rx.recv_timeout(patience), || tx.send(Here(1)).unwrap()), Ok(Here(1)));
            let received = || assert_eq!(rx.recv(), Ok(Here(2)));
            assert_eq!(lasts::<Here, _>(|| tx.send_timeout(Here(2), patience), received), Ok(()));
            let closed = lasts::<Here, _>(|| rx.recv_timeout(patience), || assert!(tx.close()));
            assert_eq!(closed, Err(RecvTimeoutError::Disconnected));
        }
    });
}

#[test]
fn a_timeout_ends_early_when_the_peer_comes() {
    watchdog(|| {
        struct Here;
        let (tx, rx) = bounded::<Here>(0);
        let start = Instant::now();
        thread::scope(|scope| {
            let receiver = scope.spawn(|| rx.recv_timeout(PATIENCE).is_ok());
            wait_for_waiting::<Here>(1);
            assert!(tx.send_timeout(Here, PATIENCE).is_ok());
            assert!(receiver.join().unwrap());
            let sender = scope.spawn(|| tx.send_timeout(Here, PATIENCE).is_err_and(|error| error.is_disconnected()));
            wait_for_waiting::<Here>(1);
            rx.close();
            assert!(sender.join().unwrap());
        });
        assert!(start.elapsed() < PATIENCE / 2);
    });
}

#[test]
fn a_channel_that_never_delivers_times_out() {
    let start = Instant::now();
    assert_eq!(never::<u8>().recv_timeout(A_MOMENT), Err(RecvTimeoutError::Timeout));
    assert_eq!(Sender::never().send_timeout(1, A_MOMENT), Err(SendTimeoutError::Timeout(1)));
    assert!(start.elapsed() >= 2 * A_MOMENT);
    let never: Receiver<u8> = never();
    assert_eq!(never.recv_deadline(start), Err(RecvTimeoutError::Timeout));
}

#[test]
fn stray_wake_ups_end_nothing() {
    // Somebody else unparks the thread, again and again: only the channel ends the wait.
    watchdog(|| {
        struct Here;
        let (tx, rx) = unbounded::<Here>();
        thread::scope(|scope| {
            let receiver = scope.spawn(|| rx.recv().is_ok());
            wait_for_waiting::<Here>(1);
            for _ in 0..100 {
                receiver.thread().unpark();
                thread::yield_now();
                assert!(!receiver.is_finished());
            }
            assert!(tx.send(Here).is_ok());
            assert!(receiver.join().unwrap());
            // And an unpark before the wait is not taken for its end.
            thread::current().unpark();
            let start = Instant::now();
            assert!(rx.recv_timeout(A_MOMENT).is_err());
            assert!(start.elapsed() >= A_MOMENT);
        });
    });
}
