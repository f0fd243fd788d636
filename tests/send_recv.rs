//! One send and one receive: the order of checks, the hand-off, what waits and what does not.

mod common;

use common::future::panicking;
use common::{A_MOMENT, PATIENCE, Random, wait_for_waiting, wait_until, waiting, watchdog};
use gochan::debug::{Channel, Direction, Reason, channels};
use gochan::{RecvTimeoutError, Select, SendTimeoutError, TryRecvError, TrySendError, bounded, unbounded};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Context;
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn a_send_waits_for_the_receive_at_capacity_0() {
    watchdog(|| {
        #[derive(Debug, PartialEq)]
        struct Here(usize);
        let (tx, rx) = bounded(0);
        let sent = AtomicUsize::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                for i in 1..=100 {
                    tx.send(Here(i)).unwrap();
                    sent.store(i, Ordering::SeqCst);
                }
            });
            for i in 1..=100 {
                // Parked in send number i, so not behind it.
                wait_until(|| waiting::<Here>().len() == 1 && sent.load(Ordering::SeqCst) == i - 1);
                assert_eq!(rx.recv(), Ok(Here(i)));
                wait_until(|| sent.load(Ordering::SeqCst) == i);
            }
        });
    });
}

#[test]
fn a_send_with_room_does_not_wait() {
    for (tx, rx) in [bounded(100), unbounded()] {
        for round in 0..3 {
            for i in 0..100 {
                tx.send(round * 100 + i).unwrap();
                assert_eq!(tx.len(), i + 1);
            }
            for i in 0..100 {
                assert_eq!(rx.recv(), Ok(round * 100 + i));
                assert_eq!(rx.len(), 99 - i);
            }
        }
    }
}

#[test]
fn a_waiting_receiver_gets_the_value_past_the_buffer() {
    watchdog(|| {
        #[derive(Debug, PartialEq)]
        struct Here(u32);
        for (tx, rx) in [bounded(0), bounded(1), unbounded()] {
            thread::scope(|scope| {
                let receivers = [scope.spawn(|| rx.recv()), scope.spawn(|| rx.recv())];
                wait_for_waiting::<Here>(2);
                // Both are served by the sends themselves: nothing is left in the buffer, whoever runs next.
                assert_eq!(tx.try_send(Here(1)), Ok(()));
                assert_eq!(tx.len(), 0);
                assert_eq!(tx.try_send(Here(2)), Ok(()));
                assert_eq!(tx.len(), 0);
                let mut got = receivers.map(|receiver| receiver.join().unwrap().unwrap().0);
                got.sort_unstable();
                assert_eq!(got, [1, 2]);
            });
        }
    });
}

#[test]
fn a_waiting_receiver_leaves_the_whole_buffer_to_others() {
    watchdog(|| {
        struct Here;
        let (tx, rx) = bounded(1);
        thread::scope(|scope| {
            let receiver = scope.spawn(|| rx.recv().is_ok());
            wait_for_waiting::<Here>(1);
            assert!(tx.try_send(Here).is_ok(), "for the receiver");
            assert!(tx.try_send(Here).is_ok(), "for the slot");
            assert!(matches!(tx.try_send(Here), Err(TrySendError::Full(_))));
            assert!(receiver.join().unwrap());
        });
    });
}

#[test]
fn a_receive_at_capacity_0_takes_the_value_of_a_waiting_sender() {
    watchdog(|| {
        #[derive(Debug, PartialEq)]
        struct Here(u32);
        let (tx, rx) = bounded(0);
        thread::scope(|scope| {
            let sender = scope.spawn(|| tx.send(Here(7)));
            wait_for_waiting::<Here>(1);
            // Even the receive that never waits.
            assert_eq!(rx.try_recv(), Ok(Here(7)));
            assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
            assert_eq!(sender.join().unwrap(), Ok(()));
        });
    });
}

#[test]
fn a_receive_from_a_full_buffer_admits_a_waiting_sender() {
    watchdog(|| {
        struct Here(usize);
        for cap in [1, 2, 5] {
            let (tx, rx) = bounded(cap);
            for i in 0..cap {
                assert!(tx.send(Here(i)).is_ok());
            }
            thread::scope(|scope| {
                let sender = scope.spawn(|| tx.send(Here(cap)).is_ok());
                wait_for_waiting::<Here>(1);
                // The head goes out and the sender's value comes in, in one step.
                assert_eq!(rx.try_recv().map(|here| here.0), Ok(0));
                assert_eq!(rx.len(), cap);
                assert!(waiting::<Here>().is_empty());
                assert!(sender.join().unwrap());
                let rest: Vec<usize> = rx.try_iter().map(|here| here.0).collect();
                assert_eq!(rest, (1..=cap).collect::<Vec<_>>());
            });
        }
    });
}

#[test]
fn a_send_checks_for_closed_first() {
    // Room does not help.
    let (tx, _rx) = bounded(5);
    tx.close();
    assert_eq!(tx.try_send(1), Err(TrySendError::Disconnected(1)));
    assert_eq!(tx.send(1).unwrap_err().into_inner(), 1);
    // Nor does it matter that it would have to wait.
    let (tx, _rx) = bounded(1);
    tx.send(0).unwrap();
    tx.close();
    assert_eq!(tx.try_send(1), Err(TrySendError::Disconnected(1)));
    assert_eq!(tx.send_timeout(1, PATIENCE), Err(SendTimeoutError::Disconnected(1)));
}

#[test]
fn a_receive_takes_what_is_there_before_it_looks_at_closed() {
    let (tx, rx) = bounded(2);
    tx.send(1).unwrap();
    tx.send(2).unwrap();
    tx.close();
    assert_eq!(rx.try_recv(), Ok(1));
    assert_eq!(rx.recv_timeout(Duration::ZERO), Ok(2));
    assert_eq!(rx.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected));
}

#[test]
fn three_outcomes_of_a_receive_that_does_not_wait() {
    let (tx, rx) = bounded(1);
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    // A value that looks like nothing is a value.
    tx.send(0).unwrap();
    assert_eq!(rx.try_recv(), Ok(0));
    drop(tx);
    assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
}

#[test]
fn who_only_tries_meets_who_waits() {
    watchdog(|| {
        struct Here;
        for cap in [0, 1] {
            let (tx, rx) = bounded(cap);
            thread::scope(|scope| {
                scope.spawn(|| (0..100).for_each(|_| assert!(rx.recv().is_ok())));
                for _ in 0..100 {
                    wait_until(|| tx.try_send(Here).is_ok());
                }
            });
            thread::scope(|scope| {
                scope.spawn(|| (0..100).for_each(|_| assert!(tx.send(Here).is_ok())));
                for _ in 0..100 {
                    wait_until(|| rx.try_recv().is_ok());
                }
            });
        }
    });
}

#[test]
fn values_arrive_whole() {
    // Handed from frame to frame on every path, by senders that go on at once and use their frames for the next value.
    watchdog(|| {
        for (tx, rx) in [bounded(0), bounded(1), bounded(3), unbounded()] {
            thread::scope(|scope| {
                for seed in 0..3 {
                    let tx = tx.clone();
                    scope.spawn(move || {
                        let mut random = Random::new(seed);
                        for _ in 0..500 {
                            tx.send([random.below(1000); 50]).unwrap();
                        }
                    });
                }
                drop(tx);
                let receivers = [(); 3].map(|()| {
                    scope.spawn(|| {
                        rx.iter().inspect(|value| assert!(value.iter().all(|word| *word == value[0]))).count()
                    })
                });
                assert_eq!(receivers.map(|receiver| receiver.join().unwrap()).iter().sum::<usize>(), 1500);
            });
        }
    });
}

#[test]
fn a_value_that_nobody_wants_is_dropped_by_its_receiver() {
    let (tx, rx) = bounded(1);
    let value = std::sync::Arc::new(());
    tx.send(value.clone()).unwrap();
    let _ = rx.recv();
    assert_eq!(std::sync::Arc::strong_count(&value), 1);
}

#[test]
fn who_waits_can_be_seen() {
    watchdog(|| {
        struct Sent;
        struct Received;
        let (tx, full) = bounded(1);
        assert!(tx.send(Sent).is_ok());
        let (open, rx) = bounded::<Received>(0);
        thread::scope(|scope| {
            scope.spawn(|| tx.send_timeout(Sent, 10 * PATIENCE).is_ok());
            let send_line = line!() - 1;
            scope.spawn(|| rx.recv().is_ok());
            let recv_line = line!() - 1;
            let asleep = |who: &[gochan::debug::Waiting]| who.len() == 1 && who[0].asleep_for.is_some();
            wait_until(|| asleep(&waiting::<Sent>()) && asleep(&waiting::<Received>()));

            let (sender, receiver) = (&waiting::<Sent>()[0], &waiting::<Received>()[0]);
            assert_eq!((sender.reason, sender.reason.to_string()), (Reason::ChanSend, "chan send".into()));
            assert_eq!((sender.at.file(), sender.at.line()), (file!(), send_line));
            assert_eq!((receiver.reason, receiver.reason.to_string()), (Reason::ChanReceive, "chan receive".into()));
            assert_eq!((receiver.at.file(), receiver.at.line()), (file!(), recv_line));
            wait_until(|| waiting::<Sent>()[0].has_deadline);
            assert!(!receiver.has_deadline);
            assert_eq!((sender.direction, receiver.direction), (Direction::Send, Direction::Receive));
            wait_until(|| waiting::<Sent>()[0].asleep_for >= Some(A_MOMENT));

            let channel = channels().into_iter().find(|c| c.element.ends_with("Sent")).unwrap();
            assert_eq!((channel.capacity, channel.len, channel.closed), (Some(1), 1, false));
            assert_eq!((channel.senders, channel.receivers), (1, 1));
            assert!(channel.to_string().contains("[chan send, "), "{channel}");

            open.close();
            assert!(full.recv().is_ok());
        });
    });
}

/// The last send and the last receive that met somebody who waited, or waited themselves, are known by where they were
/// written; one that did not leaves no trace.
#[test]
fn who_met_a_waiter_is_known() {
    watchdog(|| {
        // Of a size, so that the first needs a block, which is not for the quick path either.
        struct Met(#[expect(dead_code, reason = "only its size matters")] u8);
        let lines = || {
            let channel = channels().into_iter().find(|channel| channel.element.ends_with("::Met"));
            let Channel { last_send, last_receive, .. } = channel.unwrap();
            [last_send, last_receive].map(|last| last.map(|last| last.at.line()))
        };
        for cap in [0, 1] {
            let (tx, rx) = bounded::<Met>(cap);
            tx.set_name("here");
            assert_eq!(rx.name().as_deref(), Some("here"));
            if cap == 1 {
                assert!(tx.send(Met(0)).is_ok());
                // With a value that came back, which no quick path is for.
                let mut select = Select::new();
                select.recv(&rx);
                drop(select.select());
                assert!(rx.recv().is_ok());
            }
            assert_eq!(lines(), [None; 2]);
            thread::scope(|scope| {
                scope.spawn(|| rx.recv().is_ok());
                let receive = line!() - 1;
                wait_for_waiting::<Met>(1);
                assert_eq!(lines(), [None, Some(receive)]);
                assert!(tx.send(Met(0)).is_ok());
                let send = line!() - 1;
                assert_eq!(lines(), [Some(send), Some(receive)]);
            });
            (0..cap).for_each(|_| assert!(tx.send(Met(0)).is_ok()));
            thread::scope(|scope| {
                scope.spawn(|| tx.send(Met(0)).is_ok());
                let send = line!() - 1;
                wait_for_waiting::<Met>(1);
                assert_eq!(lines()[0], Some(send));
                assert!(rx.recv().is_ok());
                let receive = line!() - 1;
                assert_eq!(lines(), [Some(send), Some(receive)]);
            });
        }
    });
}

/// Who is told that an operation waits panics: that operation does not wait then, and has not happened.
#[test]
fn a_watcher_that_panics() {
    watchdog(|| {
        let (tx, rx) = bounded(0);
        // What would have been sent is dropped.
        let value = Arc::new(1);
        let operations: [&dyn Fn() -> bool; 4] = [
            &|| tx.send(value.clone()).is_ok(),
            &|| tx.send_timeout(value.clone(), 10 * PATIENCE).is_ok(),
            &|| rx.recv().is_ok(),
            &|| rx.recv_timeout(10 * PATIENCE).is_ok(),
        ];
        for (i, operation) in operations.into_iter().enumerate() {
            let mut select = Select::new();
            if i < 2 {
                select.recv(&rx)
            } else {
                select.send(&tx)
            };
            let mut ready = pin!(select.ready_async());
            assert!(ready.as_mut().poll(&mut Context::from_waker(&panicking())).is_pending());
            assert!(catch_unwind(AssertUnwindSafe(operation)).is_err());
            assert_eq!(Arc::strong_count(&value), 1);
            let full = Err(TrySendError::Full(value.clone()));
            assert_eq!((tx.try_send(value.clone()), rx.try_recv()), (full, Err(TryRecvError::Empty)));
        }
    });
}

#[test]
fn one_thread_is_both_sides() {
    // What would have to wait for another thread says so, if it is only tried.
    let (tx, rx) = bounded(0);
    assert_eq!(tx.try_send(1), Err(TrySendError::Full(1)));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(tx.send_timeout(1, Duration::from_millis(1)), Err(SendTimeoutError::Timeout(1)));
    assert_eq!(rx.recv_timeout(Duration::from_millis(1)), Err(RecvTimeoutError::Timeout));

    let (tx, rx) = bounded(2);
    for i in 0..10 {
        tx.send(i).unwrap();
        tx.send(i + 1).unwrap();
        assert_eq!(tx.try_send(i + 2), Err(TrySendError::Full(i + 2)));
        assert_eq!((rx.recv(), rx.recv()), (Ok(i), Ok(i + 1)));
    }
}

#[test]
fn a_try_never_waits_for_long() {
    watchdog(|| {
        let (tx, rx) = bounded::<u32>(0);
        let start = Instant::now();
        for i in 0..1000 {
            assert!(tx.try_send(i).is_err());
            assert!(rx.try_recv().is_err());
        }
        assert!(start.elapsed() < PATIENCE / 10);
    });
}

#[test]
fn force_send_makes_room() {
    let (tx, rx) = bounded(2);
    assert_eq!((tx.force_send(1), tx.force_send(2), tx.force_send(3)), (Ok(None), Ok(None), Ok(Some(1))));
    assert_eq!(rx.len(), 2);
    assert_eq!(rx.try_iter().collect::<Vec<_>>(), [2, 3]);
    // Nothing can make room here, and without a bound nothing has to.
    let (tx, rx) = bounded(0);
    assert_eq!(tx.force_send(1), Ok(Some(1)));
    drop(rx);
    assert_eq!(tx.force_send(1), Err(gochan::SendError(1)));
    let (tx, rx) = unbounded();
    (0..5000).for_each(|i| assert_eq!(tx.force_send(i), Ok(None)));
    assert!(rx.try_iter().eq(0..5000));
}

#[test]
fn force_send_overtakes_waiting_senders_but_loses_nothing() {
    watchdog(|| {
        #[derive(Debug, PartialEq)]
        struct Here(u32);
        let (tx, rx) = bounded(1);
        tx.send(Here(1)).unwrap();
        thread::scope(|scope| {
            let sender = scope.spawn(|| tx.send(Here(2)));
            wait_for_waiting::<Here>(1);
            assert_eq!(tx.force_send(Here(3)), Ok(Some(Here(1))));
            assert_eq!(rx.recv(), Ok(Here(3)));
            assert_eq!(rx.recv(), Ok(Here(2)));
            assert_eq!(sender.join().unwrap(), Ok(()));
        });
        // A waiting receiver gets it.
        let (tx, rx) = bounded(0);
        thread::scope(|scope| {
            let receiver = scope.spawn(|| rx.recv());
            wait_for_waiting::<Here>(1);
            assert_eq!(tx.force_send(Here(4)), Ok(None));
            assert_eq!(receiver.join().unwrap(), Ok(Here(4)));
        });
    });
}
