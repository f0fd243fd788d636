//! The handshake of a select: a message that is made when its arm has been chosen, and an operation that was selected and
//! comes to nothing. Whatever happens in between, no value is lost and nobody waits in vain.

mod common;

use common::{A_MOMENT, PATIENCE, panic_text, wait_for_waiting, waiting, watchdog};
use futures_executor::block_on;
use gochan::{
    RecvError, RecvTimeoutError, Select, SendError, Sender, TryRecvError, TrySendError, bounded, never, select, tick,
    unbounded,
};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// An evaluation that lasts until it is let go.
struct Evaluation {
    begun: mpsc::Sender<()>,
    end: mpsc::Receiver<()>,
}

/// Who lets it go. So does its drop.
struct Held {
    begun: mpsc::Receiver<()>,
    end: mpsc::Sender<()>,
}

fn evaluation() -> (Evaluation, Held) {
    let (begun, has_begun) = mpsc::channel();
    let (end, ended) = mpsc::channel();
    (Evaluation { begun, end: ended }, Held { begun: has_begun, end })
}

impl Evaluation {
    fn of<T>(self, value: T) -> T {
        self.begun.send(()).unwrap();
        let _ = self.end.recv();
        value
    }
}

impl Held {
    fn wait_for_begin(&self) {
        self.begun.recv().unwrap();
    }

    fn end(self) {
        self.end.send(()).unwrap();
    }
}

#[test]
fn only_the_chosen_message_is_evaluated() {
    watchdog(|| {
        #[derive(Debug, PartialEq)]
        struct Here(u32);
        let made = Cell::new([0; 3]);
        let make = |which: usize| {
            let mut counts = made.get();
            counts[which] += 1;
            made.set(counts);
            Here(which as u32)
        };
        // There is room in the second channel only.
        let ((full, _keep), (tx, rx)) = (bounded(0), bounded(1));
        let chosen = select! {
            send(full, make(0)) -> _ => 0,
            send(tx, make(1)) -> sent => { assert_eq!(sent, Ok(())); 1 }
            send(Sender::never(), make(2)) -> _ => 2,
        };
        assert_eq!((chosen, made.get(), rx.try_recv()), (1, [0, 1, 0], Ok(Here(1))));
        // None is chosen.
        for timeout in [Duration::ZERO, A_MOMENT] {
            select! {
                send(full, make(0)) -> _ => unreachable!(),
                default(timeout) => {}
            }
        }
        assert_eq!(made.get(), [0, 1, 0]);
        // On a closed channel it is evaluated, and comes back.
        tx.close();
        let back = select! { send(tx, make(1)) -> sent => sent, send(full, make(0)) -> sent => sent };
        assert_eq!((back, made.get()), (Err(SendError(Here(1))), [0, 2, 0]));
        // One that was parked.
        let ((tx0, _rx0), (tx1, rx1)) = (bounded(0), bounded(0));
        thread::scope(|scope| {
            let receiver = scope.spawn(move || {
                wait_for_waiting::<Here>(2);
                rx1.recv()
            });
            select! {
                send(tx0, make(0)) -> _ => unreachable!(),
                send(tx1, make(1)) -> sent => assert_eq!(sent, Ok(())),
            }
            assert_eq!(receiver.join().unwrap(), Ok(Here(1)));
        });
        assert_eq!(made.get(), [0, 3, 0]);
    });
}

/// A select whose message is never made; it ends in one of several ways.
fn comes_to_nothing<T>(tx: &Sender<T>, how: usize) -> Result<(), u32> {
    let mut before = false;
    loop {
        select! {
            send(tx, match how {
                0 => break,
                1 => return Ok(()),
                2 => Err(2_u32)?,
                3 if before => break,
                3 => { before = true; continue }
                _ => panic!("no message"),
            }) -> _ => unreachable!("nothing was sent"),
            recv(never::<T>()) -> _ => unreachable!(),
        }
    }
    Ok(())
}

/// All the ways.
fn all_come_to_nothing<T>(tx: &Sender<T>) {
    for how in 0..4 {
        assert_eq!(comes_to_nothing(tx, how).is_err(), how == 2);
    }
    assert_eq!(panic_text(|| comes_to_nothing(tx, 4)), "no message");
}

#[test]
fn a_receiver_waits_on_if_there_is_no_message_after_all() {
    watchdog(|| {
        #[derive(Debug, PartialEq)]
        struct Here(u32);
        let (tx, rx) = bounded(0);
        thread::scope(|scope| {
            let first = scope.spawn(|| rx.recv());
            wait_for_waiting::<Here>(1);
            let second = scope.spawn(|| rx.recv_timeout(PATIENCE));
            wait_for_waiting::<Here>(2);
            all_come_to_nothing(&tx);
            assert_eq!(waiting::<Here>().len(), 2);
            // In the order in which they came.
            tx.send(Here(1)).unwrap();
            assert_eq!(first.join().unwrap(), Ok(Here(1)));
            tx.send(Here(2)).unwrap();
            assert_eq!(second.join().unwrap(), Ok(Here(2)));

            // A select of one operation waits as that does.
            let first = scope.spawn(|| {
                let mut select = Select::new();
                select.recv(&rx);
                select.select().recv(&rx)
            });
            wait_for_waiting::<Here>(1);
            let second = scope.spawn(|| rx.recv_timeout(PATIENCE));
            wait_for_waiting::<Here>(2);
            all_come_to_nothing(&tx);
            tx.send(Here(3)).unwrap();
            assert_eq!(first.join().unwrap(), Ok(Here(3)));
            tx.send(Here(4)).unwrap();
            assert_eq!(second.join().unwrap(), Ok(Here(4)));

            // One of several.
            let select = scope.spawn(|| {
                select! {
                    recv(rx) -> value => value,
                    recv(never()) -> value => value,
                    recv(rx) -> value => value,
                }
            });
            wait_for_waiting::<Here>(2);
            all_come_to_nothing(&tx);
            assert_eq!(tx.send_timeout(Here(5), PATIENCE), Ok(()));
            assert_eq!(select.join().unwrap(), Ok(Here(5)));
        });
    });
}

#[test]
fn a_slot_is_free_again_if_there_is_no_message_after_all() {
    watchdog(|| {
        let (tx, rx) = bounded(1);
        for i in 0..3 {
            all_come_to_nothing(&tx);
            assert_eq!((tx.len(), rx.try_recv()), (0, Err(TryRecvError::Empty)));
            assert_eq!(tx.try_send(i), Ok(()));
            assert_eq!(tx.try_send(9), Err(TrySendError::Full(9)));
            assert_eq!(rx.try_recv(), Ok(i));
        }
        tx.close();
        all_come_to_nothing(&tx);
        let (tx, rx) = unbounded::<u8>();
        all_come_to_nothing(&tx);
        assert!(rx.is_empty());
    });
}

#[test]
fn a_receiver_that_must_not_wait_waits_for_the_message_only() {
    watchdog(|| {
        #[derive(Debug, PartialEq)]
        struct Here(u32);
        let (tx, rx) = bounded(0);
        let try_recv = || rx.try_recv();
        let or_default = || select! { recv(rx) -> value => Ok(value.unwrap()), default => Err(TryRecvError::Empty) };
        let zero = || rx.recv_timeout(PATIENCE).map_err(|_| TryRecvError::Empty);
        let receives: [&(dyn Fn() -> Result<Here, TryRecvError> + Sync); 3] = [&try_recv, &or_default, &zero];
        for receive in receives {
            thread::scope(|scope| {
                let (evaluation, held) = evaluation();
                let tx = &tx;
                let sender = scope.spawn(move || select! { send(tx, evaluation.of(Here(1))) -> sent => sent });
                wait_for_waiting::<Here>(1);
                let receiver = scope.spawn(receive);
                held.wait_for_begin();
                thread::sleep(A_MOMENT);
                assert!(!receiver.is_finished());
                held.end();
                assert_eq!(receiver.join().unwrap(), Ok(Here(1)));
                assert_eq!(sender.join().unwrap(), Ok(()));
            });
        }
        // There is no message after all: nothing to receive, but what waits behind it.
        for (receive, behind) in receives[..2].iter().flat_map(|receive| [(receive, false), (receive, true)]) {
            thread::scope(|scope| {
                let (evaluation, held) = evaluation();
                let tx = &tx;
                let sender = scope.spawn(move || {
                    select! { send(tx, if evaluation.of(true) { return Ok(()) } else { Here(0) }) -> sent => sent }
                });
                wait_for_waiting::<Here>(1);
                if behind {
                    scope.spawn(|| tx.send(Here(2)).unwrap());
                    wait_for_waiting::<Here>(2);
                }
                let receiver = scope.spawn(receive);
                held.wait_for_begin();
                held.end();
                let received = if behind { Ok(Here(2)) } else { Err(TryRecvError::Empty) };
                assert_eq!(receiver.join().unwrap(), received);
                sender.join().unwrap().unwrap();
            });
        }
    });
}

#[test]
fn a_receiver_may_give_up_during_the_evaluation() {
    watchdog(|| {
        #[derive(Debug, PartialEq)]
        struct Here(u32);
        let (tx, rx) = bounded(0);
        // It waits in one way or another, and came before the sender, or after it.
        let receive = |way| match way {
            0 => rx.recv_timeout(A_MOMENT),
            1 => select! { recv(rx) -> got => Ok(got.unwrap()), default(A_MOMENT) => Err(RecvTimeoutError::Timeout) },
            _ => {
                let mut select = Select::new();
                select.recv(&rx);
                let selected = block_on(select.select_timeout_async(A_MOMENT));
                selected.map_or(Err(RecvTimeoutError::Timeout), |operation| Ok(operation.recv(&rx).unwrap()))
            }
        };
        for (way, sender_first) in (0..3).flat_map(|way| [(way, true), (way, false)]) {
            let begun = AtomicBool::new(false);
            thread::scope(|scope| {
                let (evaluation, held) = evaluation();
                let start_sender = || {
                    let tx = &tx;
                    scope.spawn(move || {
                        select! {
                            send(tx, evaluation.of(Here(1))) -> sent => sent,
                            recv(never::<Here>()) -> _ => unreachable!(),
                        }
                    })
                };
                let sender = if sender_first {
                    let sender = start_sender();
                    wait_for_waiting::<Here>(1);
                    assert_eq!(receive(way), Err(RecvTimeoutError::Timeout));
                    held.wait_for_begin();
                    sender
                } else {
                    // Again and again, until it was there when the evaluation began.
                    let receiver = scope.spawn(|| {
                        while !begun.load(Ordering::Relaxed) {
                            assert_eq!(receive(way), Err(RecvTimeoutError::Timeout));
                        }
                    });
                    wait_for_waiting::<Here>(1);
                    let sender = start_sender();
                    held.wait_for_begin();
                    begun.store(true, Ordering::Relaxed);
                    receiver.join().unwrap();
                    sender
                };
                assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
                held.end();
                // It was sent, and is there for the next.
                assert_eq!(sender.join().unwrap(), Ok(()));
                assert_eq!(rx.try_recv(), Ok(Here(1)));
                assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
            });
        }
    });
}

#[test]
fn a_value_that_comes_late_goes_to_who_waits_by_then() {
    watchdog(|| {
        struct Here;
        let (tx, rx) = bounded::<Here>(0);
        thread::scope(|scope| {
            let (evaluation, held) = evaluation();
            let sender = scope.spawn(move || select! { send(tx, evaluation.of(Here)) -> sent => sent.is_ok() });
            wait_for_waiting::<Here>(1);
            assert!(rx.recv_timeout(A_MOMENT).is_err());
            let next = scope.spawn(|| rx.recv().is_ok());
            wait_for_waiting::<Here>(1);
            held.end();
            assert!(sender.join().unwrap() && next.join().unwrap());
        });
    });
}

#[test]
fn a_reservation_keeps_nobody_waiting() {
    watchdog(|| {
        let (tx, rx) = bounded(2);
        thread::scope(|scope| {
            let (evaluation, held) = evaluation();
            let reserving = tx.clone();
            let sender = scope.spawn(move || select! { send(reserving, evaluation.of(1)) -> sent => sent });
            held.wait_for_begin();
            assert_eq!((tx.len(), tx.try_send(2)), (0, Ok(())));
            assert_eq!(tx.try_send(3), Err(TrySendError::Full(3)));
            assert_eq!((rx.recv(), rx.try_recv()), (Ok(2), Err(TryRecvError::Empty)));
            held.end();
            assert_eq!((sender.join().unwrap(), rx.recv()), (Ok(()), Ok(1)));
        });
    });
}

#[test]
fn close_during_the_evaluation() {
    watchdog(|| {
        #[derive(Debug, PartialEq)]
        struct Here(u32);
        for cap in [0, 1] {
            for drop_the_receiver in [false, true] {
                let (tx, rx) = bounded(cap);
                thread::scope(|scope| {
                    let (evaluation, held) = evaluation();
                    let tx = &tx;
                    let sender = scope.spawn(move || select! { send(tx, evaluation.of(Here(1))) -> sent => sent });
                    if cap == 0 {
                        wait_for_waiting::<Here>(1);
                    }
                    if drop_the_receiver {
                        // At capacity 0 somebody must come for the message to be evaluated.
                        assert_eq!(rx.recv_timeout(A_MOMENT), Err(RecvTimeoutError::Timeout));
                        held.wait_for_begin();
                        drop(rx);
                    } else {
                        let receiver = scope.spawn({
                            let rx = rx.clone();
                            move || rx.recv()
                        });
                        held.wait_for_begin();
                        wait_for_waiting::<Here>(1);
                        assert!(tx.close());
                        // The receiver does not wait for the end of the evaluation.
                        assert_eq!(receiver.join().unwrap(), Err(RecvError));
                        assert_eq!(rx.recv(), Err(RecvError));
                    }
                    held.end();
                    assert_eq!(sender.join().unwrap(), Err(SendError(Here(1))));
                });
                assert_eq!(tx.len(), 0);
            }
        }
    });
}

#[test]
fn the_evaluation_may_use_the_channel() {
    watchdog(|| {
        #[derive(Debug, PartialEq)]
        struct Here(u32);
        let (tx, rx) = bounded(2);
        select! {
            // The slot is reserved: of two one is left.
            send(tx, { tx.try_send(Here(1)).unwrap(); assert!(tx.try_send(Here(9)).is_err()); Here(2) }) -> sent => sent,
            recv(never::<Here>()) -> _ => unreachable!(),
        }
        .unwrap();
        assert_eq!([rx.recv(), rx.recv()], [Ok(Here(1)), Ok(Here(2))]);
        // A nested select on the same rendezvous channel serves the next receiver.
        let (tx, rx) = bounded(0);
        thread::scope(|scope| {
            let receivers: Vec<_> = (1..=2)
                .map(|i| {
                    let receiver = scope.spawn(|| rx.recv());
                    wait_for_waiting::<Here>(i);
                    receiver
                })
                .collect();
            let outer = select! {
                send(tx, { select! { send(tx, Here(2)) -> sent => sent.unwrap() } Here(1) }) -> sent => sent,
            };
            assert_eq!(outer, Ok(()));
            let received: Vec<_> = receivers.into_iter().map(|receiver| receiver.join().unwrap()).collect();
            assert_eq!(received, [Ok(Here(1)), Ok(Here(2))]);
            // It closes the channel.
            assert_eq!(
                select! { send(tx, { tx.close(); Here(3) }) -> sent => sent, default => Ok(()) },
                Ok(()),
                "nobody receives"
            );
            let (tx, rx) = bounded(1);
            let closed = select! { send(tx, { rx.close(); Here(3) }) -> sent => sent, default => Ok(()) };
            assert_eq!(closed, Err(SendError(Here(3))));
        });
    });
}

#[test]
fn a_lazy_sender_meets_a_selecting_receiver() {
    watchdog(|| {
        const EACH: u32 = 3000;
        let (tx, rx) = bounded(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                for i in 0..EACH {
                    select! {
                        send(tx, i) -> sent => sent.unwrap(),
                        recv(never::<()>()) -> _ => unreachable!(),
                    }
                }
            });
            for i in 0..EACH {
                select! {
                    recv(never()) -> value => value,
                    recv(rx) -> value => value,
                }
                .map(|value| assert_eq!(value, i))
                .unwrap();
            }
        });
    });
}

#[test]
fn a_timeout_of_zero_gets_what_a_select_has_to_send() {
    watchdog(|| {
        #[derive(Debug, PartialEq)]
        struct Here(u32);
        let (tx, rx) = bounded(0);
        let receives: [&(dyn Fn() -> Option<Here> + Sync); 4] = [
            &|| rx.recv_timeout(Duration::ZERO).ok(),
            &|| rx.recv_deadline(Instant::now()).ok(),
            &|| select! { recv(rx) -> value => value.ok(), default(Duration::ZERO) => None },
            &|| {
                let mut select = Select::new();
                select.recv(&rx);
                select.recv(&rx);
                select.select_timeout(Duration::ZERO).ok().and_then(|operation| operation.recv(&rx).ok())
            },
        ];
        for (i, receive) in receives.iter().enumerate() {
            thread::scope(|scope| {
                let sender =
                    scope.spawn(|| select! { send(tx, Here(1)) -> sent => sent, recv(never::<u8>()) -> _ => Ok(()) });
                wait_for_waiting::<Here>(1);
                let received = receive();
                // Should it have failed: the test must come to its end.
                assert_eq!(
                    rx.recv_timeout(if received.is_some() { Duration::ZERO } else { PATIENCE }).ok(),
                    None,
                    "{i}"
                );
                assert_eq!((received, sender.join().unwrap()), (Some(Here(1)), Ok(())), "{i}");
            });
        }
    });
}

#[test]
fn a_select_takes_a_due_timer_or_a_message_not_both() {
    watchdog(|| {
        struct Here;
        const ROUNDS: usize = 100;
        let (tx, rx) = bounded::<Here>(0);
        let sent = AtomicUsize::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                while select! { send(tx, Here) -> result => result.is_ok(), recv(never::<u8>()) -> _ => false } {
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            });
            let mut received = 0;
            let timer = tick(Duration::ZERO);
            for round in 0..ROUNDS {
                wait_for_waiting::<Here>(1);
                let sent = sent.load(Ordering::Relaxed);
                if sent != received {
                    rx.close();
                    panic!("round {round}: {sent} sent, {received} received");
                }
                select! {
                    recv(rx) -> value => received += value.iter().count(),
                    recv(timer) -> _ => {}
                }
            }
            rx.close();
            assert!(0 < received && received < ROUNDS);
        });
    });
}

/// The slot of a message that is being evaluated is nobody else's, and if there is none, it is free again.
#[test]
fn a_slot_is_reserved_meanwhile() {
    for cap in [1, 2, 20] {
        let (tx, rx) = bounded(cap);
        // Where the buffer has been used, a slot is reserved without a look at who waits.
        (0..cap).for_each(|i| tx.send(i).unwrap());
        (0..cap).for_each(|i| assert_eq!(rx.recv(), Ok(i)));
        (1..cap).for_each(|i| tx.send(i).unwrap());
        let full = |value| assert_eq!(tx.try_send(value), Err(TrySendError::Full(value)));
        select! {
            send(tx, {
                full(100);
                assert_eq!(tx.len(), cap - 1);
                assert!(select! { send(tx, 101) -> _ => false, default => true });
                full(102);
                0
            }) -> sent => sent.unwrap(),
        }
        full(103);
        assert!(rx.try_iter().eq((1..cap).chain([0])));
        (0..cap).for_each(|i| tx.try_send(i).unwrap());
        full(104);
    }
}
