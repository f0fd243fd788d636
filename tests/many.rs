//! Several values at a time: `send_many`, `recv_many`, `drain`.

mod common;

use common::{wait_for_waiting, waiting, watchdog};
use gochan::{SendError, bounded, select, unbounded};
use std::collections::VecDeque;
use std::thread;

#[test]
fn send_many_waits_when_it_must() {
    watchdog(|| {
        for (tx, rx) in [bounded(0), bounded(1), bounded(7), bounded(1000), unbounded()] {
            thread::scope(|scope| {
                scope.spawn(move || {
                    let mut values = VecDeque::from_iter(0..500);
                    tx.send_many(&mut values).unwrap();
                    assert!(values.is_empty());
                });
                assert!(rx.iter().eq(0..500));
            });
        }
    });
}

#[test]
fn send_many_leaves_what_was_not_sent() {
    watchdog(|| {
        struct Here(usize);
        for cap in [0, 1, 40] {
            let (tx, rx) = bounded(cap);
            thread::scope(|scope| {
                let sender = scope.spawn(move || {
                    let mut values = VecDeque::from_iter((0..100).map(Here));
                    let sent = tx.send_many(&mut values);
                    (sent, values)
                });
                assert_eq!(rx.recv().map(|here: Here| here.0), Ok(0));
                // One was received, `cap` are in the buffer, and the next one waits.
                wait_for_waiting::<Here>(1);
                while rx.len() < cap {}
                rx.close();
                let (sent, left) = sender.join().unwrap();
                assert_eq!(sent, Err(SendError(())));
                assert!(left.iter().map(|here| here.0).eq(cap + 1..100), "in order");
                assert!(rx.iter().map(|here: Here| here.0).eq(1..=cap));
            });
        }
        let (tx, rx) = unbounded();
        drop(rx);
        let mut values = VecDeque::from([1, 2, 3]);
        assert_eq!(tx.send_many(&mut values), Err(SendError(())));
        assert_eq!(values, [1, 2, 3]);
    });
}

#[test]
fn send_many_serves_waiting_receivers_in_order() {
    watchdog(|| {
        // More receivers than one locked section serves.
        struct Here(usize);
        let (tx, rx) = bounded(1);
        thread::scope(|scope| {
            let receivers: Vec<_> = (0..70)
                .map(|i| {
                    let rx = &rx;
                    let receiver = scope.spawn(move || rx.recv().map(|here: Here| here.0));
                    wait_for_waiting::<Here>(i + 1);
                    receiver
                })
                .collect();
            tx.send_many(&mut (0..71).map(Here).collect()).unwrap();
            for (i, receiver) in receivers.into_iter().enumerate() {
                assert_eq!(receiver.join().unwrap(), Ok(i));
            }
            assert_eq!(rx.len(), 1);
        });
    });
}

#[test]
fn send_many_does_not_overtake_waiting_senders() {
    watchdog(|| {
        struct Here(u32);
        let (tx, rx) = bounded(1);
        assert!(tx.send(Here(0)).is_ok());
        thread::scope(|scope| {
            scope.spawn(|| assert!(tx.send(Here(1)).is_ok()));
            wait_for_waiting::<Here>(1);
            scope.spawn(|| tx.send_many(&mut VecDeque::from([Here(2), Here(3)])).unwrap());
            wait_for_waiting::<Here>(2);
            assert!(rx.iter().take(4).map(|here: Here| here.0).eq(0..4));
        });
    });
}

#[test]
fn recv_many_takes_what_is_there() {
    let (tx, rx) = unbounded();
    (0..100).for_each(|i| tx.send(i).unwrap());
    let mut values = vec![-1];
    assert_eq!(rx.recv_many(&mut values, 0), 0);
    assert_eq!(rx.recv_many(&mut values, 1), 1);
    assert_eq!(rx.recv_many(&mut values, 90), 90);
    assert_eq!(rx.recv_many(&mut values, 90), 9, "it does not wait for more");
    assert!(values.into_iter().eq(-1..100), "appended in order");
    tx.close();
    assert_eq!(rx.recv_many(&mut Vec::new(), 1), 0, "closed and empty");
}

#[test]
fn recv_many_waits_for_the_first() {
    watchdog(|| {
        struct Here;
        let (tx, rx) = bounded(3);
        thread::scope(|scope| {
            let receiver = scope.spawn(|| {
                let mut values = Vec::new();
                (rx.recv_many(&mut values, 10), rx.recv_many(&mut values, 10), values.len())
            });
            wait_for_waiting::<Here>(1);
            assert!(tx.send(Here).is_ok());
            wait_for_waiting::<Here>(1);
            tx.close();
            assert_eq!(receiver.join().unwrap(), (1, 0, 1));
        });
    });
}

#[test]
fn recv_many_takes_from_waiting_senders_in_order() {
    watchdog(|| {
        struct Here(usize);
        for cap in [0, 2, 40] {
            let (tx, rx) = bounded(cap);
            (0..cap).for_each(|i| assert!(tx.send(Here(i)).is_ok()));
            thread::scope(|scope| {
                for i in 0..70 {
                    let tx = &tx;
                    scope.spawn(move || assert!(tx.send(Here(cap + i)).is_ok()));
                    wait_for_waiting::<Here>(i + 1);
                }
                let mut values = Vec::new();
                while values.len() < cap + 70 {
                    rx.recv_many(&mut values, 1000);
                }
                assert!(values.into_iter().map(|here: Here| here.0).eq(0..cap + 70));
            });
        }
    });
}

/// It does not wait for a message that is not there yet, nor takes its sender's turn.
#[test]
fn recv_many_leaves_a_sender_without_a_message() {
    watchdog(|| {
        struct Here(u8);
        let (tx, rx) = bounded(0);
        thread::scope(|scope| {
            let tx = &tx;
            scope.spawn(move || assert!(tx.send(Here(1)).is_ok()));
            wait_for_waiting::<Here>(1);
            scope.spawn(move || select! { send(tx, Here(2)) -> sent => assert!(sent.is_ok()) });
            wait_for_waiting::<Here>(2);
            let mut values = Vec::new();
            assert_eq!((rx.recv_many(&mut values, 10), values[0].0), (1, 1));
            assert_eq!(rx.recv().unwrap().0, 2);
        });
    });
}

#[test]
fn drain_takes_the_buffer_and_admits_those_who_wait() {
    watchdog(|| {
        struct Here(usize);
        let (tx, rx) = bounded(3);
        (0..3).for_each(|i| assert!(tx.send(Here(i)).is_ok()));
        thread::scope(|scope| {
            for i in 0..5 {
                let tx = &tx;
                scope.spawn(move || tx.send(Here(3 + i)).is_ok());
                wait_for_waiting::<Here>(i + 1);
            }
            assert!(rx.drain().map(|here: Here| here.0).eq(0..3));
            assert_eq!((rx.len(), waiting::<Here>().len()), (3, 2));
            assert!(rx.drain().map(|here: Here| here.0).eq(3..6));
            assert_eq!((rx.len(), waiting::<Here>().len()), (2, 0));
            // What is not looked at is dropped.
            assert_eq!(rx.drain().len(), 2);
            assert!(rx.is_empty());
        });
    });
}

#[test]
fn drain_of_nothing() {
    assert_eq!(gochan::never::<u8>().drain().count(), 0);
    let (tx, rx) = bounded::<u8>(0);
    assert_eq!(rx.drain().size_hint(), (0, Some(0)));
    drop(tx);
    assert_eq!(rx.drain().count(), 0);
}
