//! Order: of values, of blocked senders, of blocked receivers. Waiters queue one after the other, each seen in the queue
//! before the next one starts.

mod common;

use common::{Census, Counted, Random, wait_for_waiting, waiting, watchdog};
use gochan::{Receiver, RecvTimeoutError, SendTimeoutError, Sender, TryRecvError, TrySendError, bounded, unbounded};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// More than one locked section serves at close.
const MANY: usize = 40;

#[test]
fn values_come_in_the_order_in_which_they_were_sent() {
    for (tx, rx) in [bounded(10), bounded(10_000), unbounded()] {
        for round in 0..100 {
            (0..10).for_each(|i| tx.send(round * 10 + i).unwrap());
            (0..10).for_each(|i| assert_eq!(rx.recv(), Ok(round * 10 + i)));
        }
        let most = tx.capacity().unwrap_or(100_000);
        (0..most).for_each(|i| tx.send(i).unwrap());
        assert!(rx.try_iter().eq(0..most));
    }
}

#[test]
fn blocked_senders_are_served_in_order() {
    watchdog(|| {
        struct Here(usize);
        for cap in [0, 1, 3] {
            let (tx, rx) = bounded(cap);
            (0..cap).for_each(|i| assert!(tx.send(Here(i)).is_ok()));
            thread::scope(|scope| {
                let mut senders = Vec::new();
                for i in 0..MANY {
                    let tx = &tx;
                    senders.push(scope.spawn(move || tx.send(Here(cap + i)).is_ok()));
                    wait_for_waiting::<Here>(i + 1);
                }
                for i in 0..cap + MANY {
                    assert_eq!(rx.recv().map(|here: Here| here.0), Ok(i));
                    // Each receive served one sender, and it was the first: the others still wait.
                    assert_eq!(waiting::<Here>().len(), MANY.saturating_sub(i + 1));
                    if i < MANY {
                        assert!(senders.remove(0).join().unwrap());
                    }
                }
            });
        }
    });
}

#[test]
fn blocked_receivers_are_served_in_order() {
    watchdog(|| {
        struct Here(usize);
        for (tx, rx) in [bounded(0), bounded(1), bounded(100), unbounded()] {
            thread::scope(|scope| {
                let mut receivers = Vec::new();
                for i in 0..MANY {
                    let rx = &rx;
                    receivers.push(scope.spawn(move || rx.recv().map(|here: Here| here.0)));
                    wait_for_waiting::<Here>(i + 1);
                }
                for (i, receiver) in receivers.into_iter().enumerate() {
                    assert!(tx.send(Here(i)).is_ok());
                    assert_eq!(waiting::<Here>().len(), MANY - i - 1);
                    assert_eq!(receiver.join().unwrap(), Ok(i));
                }
            });
        }
    });
}

#[test]
fn a_burst_of_sends_serves_receivers_in_order() {
    watchdog(|| {
        struct Here(usize);
        let (tx, rx) = unbounded();
        thread::scope(|scope| {
            let receivers: Vec<_> = (0..MANY)
                .map(|i| {
                    let rx = &rx;
                    let receiver = scope.spawn(move || rx.recv().map(|here: Here| here.0));
                    wait_for_waiting::<Here>(i + 1);
                    receiver
                })
                .collect();
            // Nobody has to run in between.
            (0..MANY).for_each(|i| assert!(tx.send(Here(i)).is_ok()));
            for (i, receiver) in receivers.into_iter().enumerate() {
                assert_eq!(receiver.join().unwrap(), Ok(i));
            }
        });
    });
}

#[test]
fn nobody_overtakes_a_blocked_sender() {
    watchdog(|| {
        struct Here(u32);
        let (tx, rx) = bounded(1);
        for _ in 0..100 {
            assert!(tx.send(Here(1)).is_ok());
            thread::scope(|scope| {
                scope.spawn(|| assert!(tx.send(Here(2)).is_ok()));
                wait_for_waiting::<Here>(1);
                assert_eq!(rx.recv().map(|here: Here| here.0), Ok(1));
                // The slot went to the sender that waits, before it has run again.
                assert!(matches!(tx.try_send(Here(3)), Err(TrySendError::Full(_))));
                assert_eq!(rx.recv().map(|here: Here| here.0), Ok(2));
            });
        }
    });
}

#[test]
fn nobody_overtakes_a_blocked_receiver() {
    watchdog(|| {
        #[derive(Debug, PartialEq)]
        struct Here(u32);
        for (tx, rx) in [bounded(0), bounded(1), unbounded()] {
            for i in 0..100 {
                thread::scope(|scope| {
                    let receiver = scope.spawn(|| rx.recv());
                    wait_for_waiting::<Here>(1);
                    tx.send(Here(i)).unwrap();
                    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
                    assert_eq!(receiver.join().unwrap(), Ok(Here(i)));
                });
            }
        }
    });
}

/// Which of five waiters give up: at the head, in the middle, at the tail, neighbours, all.
const GIVE_UP: [&[usize]; 6] = [&[0], &[2], &[4], &[1, 2], &[0, 4], &[0, 1, 2, 3, 4]];

#[test]
fn a_receiver_that_gives_up_leaves_the_others_in_order() {
    watchdog(|| {
        struct Here(usize);
        for impatient in GIVE_UP {
            let (tx, rx) = bounded(0);
            thread::scope(|scope| {
                let (quit, wait_for_quit) = std::sync::mpsc::channel::<()>();
                let mut receivers = Vec::new();
                for i in 0..5 {
                    let (rx, quit) = (&rx, quit.clone());
                    receivers.push(scope.spawn(move || {
                        if impatient.contains(&i) {
                            // Long enough to see all five in the queue.
                            let nothing = rx.recv_timeout(Duration::from_millis(100)).map(|here: Here| here.0);
                            assert_eq!(nothing, Err(RecvTimeoutError::Timeout));
                            drop(quit);
                            None
                        } else {
                            drop(quit);
                            rx.recv().ok().map(|here: Here| here.0)
                        }
                    }));
                    // On a very slow machine somebody has given up already; the order is right all the same.
                    let gone = || receivers.iter().filter(|thread| thread.is_finished()).count();
                    common::wait_until(|| waiting::<Here>().len() + gone() == i + 1);
                }
                drop(quit);
                // Errs when every clone is gone: who gives up has done so.
                assert!(wait_for_quit.recv().is_err());
                let patient = 5 - impatient.len();
                wait_for_waiting::<Here>(patient);
                (0..patient).for_each(|i| assert!(tx.send(Here(i)).is_ok()));
                let got: Vec<usize> = receivers.into_iter().filter_map(|receiver| receiver.join().unwrap()).collect();
                assert_eq!(got, (0..patient).collect::<Vec<_>>());
            });
        }
    });
}

#[test]
fn a_sender_that_gives_up_leaves_the_others_in_order() {
    watchdog(|| {
        struct Here(usize);
        for impatient in GIVE_UP {
            let (tx, rx) = bounded(1);
            assert!(tx.send(Here(9)).is_ok());
            thread::scope(|scope| {
                let (quit, wait_for_quit) = std::sync::mpsc::channel::<()>();
                let mut senders = Vec::new();
                for i in 0..5 {
                    let (tx, quit) = (&tx, quit.clone());
                    senders.push(scope.spawn(move || {
                        if impatient.contains(&i) {
                            match tx.send_timeout(Here(i), Duration::from_millis(100)) {
                                Err(SendTimeoutError::Timeout(back)) => assert_eq!(back.0, i),
                                _ => panic!("there was no room"),
                            }
                            drop(quit);
                        } else {
                            drop(quit);
                            assert!(tx.send(Here(i)).is_ok());
                        }
                    }));
                    // On a very slow machine somebody has given up already; the order is right all the same.
                    let gone = || senders.iter().filter(|thread| thread.is_finished()).count();
                    common::wait_until(|| waiting::<Here>().len() + gone() == i + 1);
                }
                drop(quit);
                assert!(wait_for_quit.recv().is_err());
                let patient: Vec<usize> = (0..5).filter(|i| !impatient.contains(i)).collect();
                wait_for_waiting::<Here>(patient.len());
                assert_eq!(rx.recv().map(|here: Here| here.0), Ok(9));
                let got: Vec<usize> = rx.iter().take(patient.len()).map(|here: Here| here.0).collect();
                assert_eq!(got, patient);
                assert_eq!(rx.try_recv().map(|here: Here| here.0), Err(TryRecvError::Empty));
            });
        }
    });
}

/// Receivers whose time is just about to be over, and senders likewise: every value is accounted for.
fn giving_up_races_with_being_served((tx, rx): (Sender<Counted>, Receiver<Counted>)) {
    const ROUNDS: usize = 1500;
    let census = Census::default();
    let (sent, back, got) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for seed in 0..2 {
            let (tx, census, sent, back) = (tx.clone(), &census, &sent, &back);
            scope.spawn(move || {
                let mut random = Random::new(seed);
                for id in 0..ROUNDS {
                    let patience = Duration::from_micros(random.below(60) as u64);
                    match tx.send_timeout(census.value(id), patience) {
                        Ok(()) => sent.fetch_add(1, Ordering::Relaxed),
                        Err(error) => {
                            assert_eq!(error.into_inner().id, id);
                            back.fetch_add(1, Ordering::Relaxed)
                        }
                    };
                }
            });
        }
        drop(tx);
        for seed in 2..4 {
            let (rx, got) = (&rx, &got);
            scope.spawn(move || {
                let mut random = Random::new(seed);
                loop {
                    match rx.recv_timeout(Duration::from_micros(random.below(60) as u64)) {
                        Ok(_) => got.fetch_add(1, Ordering::Relaxed),
                        Err(RecvTimeoutError::Timeout) => 0,
                        Err(RecvTimeoutError::Disconnected) => break,
                    };
                }
            });
        }
    });
    let (sent, back, got) = (sent.into_inner(), back.into_inner(), got.into_inner());
    assert_eq!((sent, sent + back), (got, census.made()));
    census.assert_all_dropped();
}

#[test]
fn giving_up_races_with_being_served_at_capacity_0() {
    watchdog(|| giving_up_races_with_being_served(bounded(0)));
}

#[test]
fn giving_up_races_with_being_served_at_capacity_1() {
    watchdog(|| giving_up_races_with_being_served(bounded(1)));
}
