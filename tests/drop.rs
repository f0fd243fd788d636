//! Destructors: values in a channel that is dropped, destructors that panic, and destructors that use the channel.

mod common;

use common::{Census, Counted, watchdog};
use gochan::{Chan, Receiver, Sender, WeakSender, bounded, unbounded};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

#[test]
fn what_is_left_is_dropped_with_the_last_receiver() {
    for (tx, rx) in [bounded(1000), unbounded()] {
        let census = Census::default();
        (0..1000).for_each(|id| assert!(tx.send(census.value(id)).is_ok()));
        rx.iter().take(300).enumerate().for_each(|(id, value)| assert_eq!(value.id, id));
        assert_eq!(census.dropped(), 300);
        // At once, not when the last sender goes.
        drop(rx);
        census.assert_all_dropped();
        assert_eq!(tx.len(), 0);
        drop(tx.send(census.value(1000)));
        assert_eq!(census.made(), 1001);
        census.assert_all_dropped();
    }
}

#[test]
fn what_is_left_stays_for_a_receiver_when_the_senders_go() {
    let census = Census::default();
    let (tx, rx) = bounded(10);
    (0..10).for_each(|id| assert!(tx.send(census.value(id)).is_ok()));
    drop(tx);
    assert_eq!(census.dropped(), 0);
    assert!(rx.iter().map(|value| value.id).eq(0..10));
    census.assert_all_dropped();
}

#[test]
fn received_values_are_not_retained() {
    // Neither by the slot it was in, nor by an iterator.
    for (tx, rx) in [bounded(4), unbounded()] {
        let value = Arc::new(());
        for _ in 0..10 {
            tx.send(value.clone()).unwrap();
            assert_eq!(Arc::strong_count(&value), 2);
            let mut iter = rx.iter();
            drop(iter.next());
            assert_eq!(Arc::strong_count(&value), 1, "with the iterator alive");
            tx.send(value.clone()).unwrap();
            drop(rx.drain());
            assert_eq!(Arc::strong_count(&value), 1);
        }
    }
}

#[test]
fn values_that_were_refused_are_the_senders() {
    let census = Census::default();
    let (tx, rx) = bounded(0);
    let back = tx.try_send(census.value(1)).unwrap_err().into_inner();
    assert_eq!(census.dropped(), 0);
    drop(rx);
    let back = tx.send(back).unwrap_err().into_inner();
    assert_eq!((census.dropped(), back.id), (0, 1));
    drop(back);
    census.assert_all_dropped();
}

#[test]
fn an_abandoned_drain_drops_the_rest() {
    let census = Census::default();
    let (tx, rx) = unbounded();
    (0..100).for_each(|id| assert!(tx.send(census.value(id)).is_ok()));
    let mut drain = rx.drain();
    assert!(drain.by_ref().take(10).map(|value| value.id).eq(0..10));
    assert_eq!((drain.len(), census.dropped()), (90, 10));
    drop(drain);
    census.assert_all_dropped();
}

/// Panics when it is dropped, if it is told to.
struct Grenade {
    live: bool,
    _counted: Counted,
}

impl Drop for Grenade {
    fn drop(&mut self) {
        assert!(!self.live, "bang");
    }
}

fn grenades(tx: &Sender<Grenade>, census: &Census) {
    for id in 0..100 {
        assert!(tx.send(Grenade { live: id == 50, _counted: census.value(id) }).is_ok());
    }
}

#[test]
fn a_panicking_drop_closes_all_the_same() {
    for (tx, rx) in [bounded(100), bounded(100_000), unbounded()] {
        let census = Census::default();
        grenades(&tx, &census);
        let panic = catch_unwind(AssertUnwindSafe(|| drop(rx)));
        assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"bang"), "it reaches who dropped the last receiver");
        // What is behind it leaks, as in crossbeam-channel: a second panic would abort.
        assert_eq!((census.made(), census.dropped()), (100, 51));
        // The channel is closed, and as any closed channel.
        assert!(tx.is_closed() && tx.is_empty() && !tx.close());
        assert!(tx.send(Grenade { live: false, _counted: census.value(0) }).is_err());
    }
}

#[test]
fn a_panicking_drop_leaves_the_channel_to_the_others() {
    for (tx, rx) in [bounded(100), unbounded()] {
        let census = Census::default();
        grenades(&tx, &census);
        // A drain, or one received value, is dropped by its owner; the channel is not concerned.
        assert!(catch_unwind(AssertUnwindSafe(|| drop(rx.drain()))).is_err());
        assert_eq!((census.made(), census.dropped()), (100, 51));
        let census = Census::default();
        grenades(&tx, &census);
        assert!(catch_unwind(AssertUnwindSafe(|| rx.try_iter().for_each(drop))).is_err());
        assert_eq!(rx.len(), 49);
        let other = rx.clone();
        drop(rx);
        assert_eq!(other.try_iter().count(), 49);
        assert!(tx.send(Grenade { live: false, _counted: census.value(0) }).is_ok());
        assert!(other.recv().is_ok());
        census.assert_all_dropped();
    }
}

#[test]
fn a_panicking_drop_of_an_operand_panics_in_its_sender() {
    let census = Census::default();
    let chan = Chan::new(1);
    let live = |id| Grenade { live: true, _counted: census.value(id) };
    chan.close();
    assert!(catch_unwind(AssertUnwindSafe(|| chan.send(live(1)))).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| drop(chan.sender().send(live(2))))).is_err());
    assert!(chan.recv().is_none());
    census.assert_all_dropped();
}

#[test]
fn senders_that_wait_are_released_when_the_drop_of_the_buffer_panics() {
    watchdog(|| {
        struct Here(#[expect(dead_code, reason = "dropped")] Grenade);
        let census = Census::default();
        let (tx, rx) = bounded(1);
        assert!(tx.send(Here(Grenade { live: true, _counted: census.value(0) })).is_ok());
        thread::scope(|scope| {
            let senders = [1, 2].map(|id| {
                let (tx, census) = (tx.clone(), &census);
                scope.spawn(move || tx.send(Here(Grenade { live: false, _counted: census.value(id) })).is_err())
            });
            common::wait_for_waiting::<Here>(2);
            assert!(catch_unwind(AssertUnwindSafe(|| drop(rx))).is_err());
            assert!(senders.into_iter().all(|sender| sender.join().unwrap()));
        });
        census.assert_all_dropped();
    });
}

/// Does something to its own channel when it is dropped.
struct Reenters {
    id: usize,
    tx: WeakSender<Reenters>,
    action: fn(&Sender<Reenters>, usize),
    _counted: Counted,
}

impl Drop for Reenters {
    fn drop(&mut self) {
        if let Some(tx) = self.tx.upgrade() {
            (self.action)(&tx, self.id);
        }
    }
}

fn close(tx: &Sender<Reenters>, _: usize) {
    tx.close();
}

fn sending(tx: &Sender<Reenters>, _: usize) {
    // One that does nothing when it comes back, as it does: the last receiver has gone.
    let census = Census::default();
    let other = Reenters { id: 0, tx: tx.downgrade(), action: |_, _| {}, _counted: census.value(0) };
    let other = tx.try_send(other).unwrap_err().into_inner();
    let other = tx.send(other).unwrap_err().into_inner();
    assert!(tx.force_send(other).is_err());
    census.assert_all_dropped();
}

fn look(tx: &Sender<Reenters>, _: usize) {
    assert_eq!((tx.len(), tx.is_closed(), tx.receiver_count()), (0, true, 0));
    assert!(gochan::debug::channels().len() < usize::MAX);
    drop((tx.clone(), tx.downgrade()));
}

#[test]
fn a_drop_may_use_the_channel_that_drops_it() {
    // No lock is held while values are dropped: else this would hang.
    watchdog(|| {
        for action in [close, sending, look] {
            for (tx, rx) in [bounded(100), unbounded()] {
                let census = Census::default();
                for id in 0..100 {
                    let value = Reenters { id, tx: tx.downgrade(), action, _counted: census.value(id) };
                    assert!(tx.send(value).is_ok());
                }
                drop(rx);
                assert_eq!(census.made(), 100);
                census.assert_all_dropped();
            }
        }
    });
}

/// Receives from, or sends to, its own channel when it is dropped.
struct Chain {
    left: usize,
    handles: Option<(Sender<Chain>, Receiver<Chain>)>,
    counted: Counted,
}

impl Drop for Chain {
    fn drop(&mut self) {
        let Some((tx, rx)) = self.handles.take() else { return };
        // The next one is dropped in here, which receives the one after it.
        drop(rx.try_recv());
        if self.left > 0 {
            let census = self.counted.census();
            drop(tx.try_send(Chain {
                left: self.left - 1,
                handles: Some((tx.clone(), rx.clone())),
                counted: census.value(0),
            }));
        }
    }
}

#[test]
fn a_drop_may_receive_and_send_on_the_channel_it_came_from() {
    watchdog(|| {
        let census = Census::default();
        let (tx, rx) = bounded(10);
        for id in 0..10 {
            let handles = Some((tx.clone(), rx.clone()));
            assert!(tx.send(Chain { left: 3, handles, counted: census.value(id) }).is_ok());
        }
        // Each drop takes one out and puts one in.
        for _ in 0..100 {
            drop(rx.try_recv());
        }
        while rx.try_recv().is_ok() {}
        assert!(census.made() > 10);
        drop((tx, rx));
        census.assert_all_dropped();
    });
}

#[test]
fn a_drop_on_close_may_wake_those_who_wait_elsewhere() {
    // Dropping the buffer of one channel drops the last sender of another, on which somebody waits.
    watchdog(|| {
        struct Here;
        let (inner_tx, inner_rx) = bounded::<Here>(0);
        let (outer_tx, outer_rx) = unbounded();
        outer_tx.send(inner_tx).unwrap();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| inner_rx.recv().is_err());
            common::wait_for_waiting::<Here>(1);
            drop(outer_rx);
            assert!(waiting.join().unwrap());
        });
    });
}

#[test]
fn long_chains_of_channels_in_channels_are_dropped() {
    // Each channel holds the receiver of the next: the drop of a receiver drops a value.
    struct Link(#[expect(dead_code, reason = "dropped")] Option<Receiver<Link>>);
    let mut last = None;
    for _ in 0..1000 {
        let (tx, rx) = bounded(1);
        assert!(tx.send(Link(last)).is_ok());
        last = Some(rx);
    }
    drop(last);
}

#[test]
fn threads_race_to_be_the_last() {
    // However the drops fall, the values are dropped once, and by one of them.
    watchdog(|| {
        for round in 0..500 {
            let census = Census::default();
            let (tx, rx) = bounded(8);
            (0..round % 9).for_each(|id| assert!(tx.send(census.value(id)).is_ok()));
            thread::scope(|scope| {
                for _ in 0..2 {
                    let (tx, rx) = (tx.clone(), rx.clone());
                    scope.spawn(move || drop(tx));
                    scope.spawn(move || drop(rx));
                }
                drop((rx, tx));
            });
            census.assert_all_dropped();
        }
    });
}

#[test]
fn a_sender_that_panics_closes_by_unwinding() {
    watchdog(|| {
        let (tx, rx) = bounded(1);
        let sender = thread::spawn(move || {
            tx.send(1).unwrap();
            panic!("of the sender");
        });
        assert_eq!((rx.recv(), rx.recv().is_err()), (Ok(1), true));
        assert!(sender.join().is_err());
    });
}

#[test]
fn a_forgotten_handle_keeps_the_channel_open() {
    let (tx, rx) = bounded::<u8>(1);
    std::mem::forget(tx.clone());
    drop(tx);
    assert!(!rx.is_closed());
    assert_eq!(rx.sender_count(), 1);
    assert!(rx.close());
}

#[test]
fn counts_of_drops_are_exact_under_load() {
    watchdog(|| {
        let census = Census::default();
        let received = AtomicUsize::new(0);
        for round in 0..50 {
            let (tx, rx) = bounded(16);
            thread::scope(|scope| {
                for _ in 0..2 {
                    let (tx, census) = (tx.clone(), &census);
                    scope.spawn(move || (0..100).take_while(|id| tx.send(census.value(*id)).is_ok()).count());
                }
                drop(tx);
                let (rx, received) = (rx, &received);
                // Goes in the middle, with values in the buffer and senders that wait.
                scope.spawn(move || received.fetch_add(rx.iter().take(round * 4).count(), Ordering::Relaxed));
            });
        }
        assert!(received.into_inner() <= census.made());
        census.assert_all_dropped();
    });
}
