//! Many threads, goroutines, or both select at once: everybody comes to an end, every value is accounted for, and a default is taken only if
//! there was nothing else.

mod common;

use common::{Census, Counted, Random, Waiters, watchdog};
use gochan::{Receiver, RecvError, Select, SendError, Sender, TryRecvError, bounded, never, select, select_biased};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// Each of `threads` sends or receives `rounds` times, whatever it can, on a rendezvous channel.
fn two_sided(
    waiters: Waiters,
    threads: usize,
    rounds: usize,
    round: impl Fn(&Sender<usize>, &Receiver<usize>, usize) -> Option<usize> + Sync,
) {
    let (tx, rx) = bounded(0);
    let (sent, received) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let left = AtomicUsize::new(threads * rounds);
    waiters.scope(|scope| {
        for thread in 0..threads {
            let (tx, rx, sent, received, left, round) = (tx.clone(), &rx, &sent, &received, &left, &round);
            scope.spawn(move || {
                // Two operations of the total go together, so nobody is left over.
                while left.load(Ordering::Relaxed) > 0 {
                    match round(&tx, rx, thread) {
                        None => sent.fetch_add(thread, Ordering::Relaxed),
                        Some(value) if value == usize::MAX => break,
                        Some(value) => {
                            assert_ne!(value, thread, "a select met itself");
                            received.fetch_add(value, Ordering::Relaxed)
                        }
                    };
                    if left.fetch_sub(1, Ordering::Relaxed) == 1 {
                        tx.close();
                    }
                }
            });
        }
    });
    assert_eq!(sent.into_inner(), received.into_inner());
}

#[test]
fn two_sided_selects_meet() {
    watchdog(|| {
        Waiters::each(|waiters| {
            for threads in [2, 4] {
                two_sided(waiters, threads, 5000, |tx, rx, me| {
                    select! {
                        send(tx, me) -> sent => sent.map_or(Some(usize::MAX), |()| None),
                        recv(rx) -> value => Some(value.unwrap_or(usize::MAX)),
                    }
                });
                two_sided(waiters, threads, 2000, |tx, rx, me| {
                    select_biased! {
                        send(tx, me) -> sent => sent.map_or(Some(usize::MAX), |()| None),
                        recv(rx) -> value => Some(value.unwrap_or(usize::MAX)),
                    }
                });
                two_sided(waiters, threads, 2000, |tx, rx, me| {
                    let mut select = Select::new_biased();
                    let receive = select.recv(rx);
                    select.send(tx);
                    let operation = select.select();
                    if operation.index() == receive {
                        Some(operation.recv(rx).unwrap_or(usize::MAX))
                    } else {
                        operation.send(tx, me).map_or(Some(usize::MAX), |()| None)
                    }
                });
            }
        });
    });
}

#[test]
fn everybody_learns_of_the_close() {
    watchdog(|| {
        Waiters::each(|waiters| {
            const WAITERS: usize = 8;
            for round in 0..150 {
                let ((a_tx, a_rx), (b_tx, b_rx), (c_tx, c_rx)) = (bounded::<u32>(0), bounded(0), bounded::<u32>(1));
                let released = AtomicUsize::new(0);
                waiters.scope(|scope| {
                    for i in 0..WAITERS {
                        let (a_rx, b_tx, c_rx, released) = (&a_rx, &b_tx, &c_rx, &released);
                        scope.spawn(move || {
                            // Until all three have been seen closed, each way of waiting.
                            let (mut a, mut b, mut c) = (false, false, false);
                            let (no_b, no_recv) = (Sender::never(), never());
                            while !(a && b && c) {
                                let b_tx = if b { &no_b } else { b_tx };
                                let a_rx = if a { &no_recv } else { a_rx };
                                let c_rx = if c { &no_recv } else { c_rx };
                                if i % 2 == 0 {
                                    select! {
                                        recv(a_rx) -> value => a = value.is_err(),
                                        send(b_tx, 1) -> sent => b = sent.is_err(),
                                        recv(c_rx) -> value => c = value.is_err(),
                                    }
                                } else {
                                    let mut select = Select::new();
                                    let arms = (select.recv(a_rx), select.send(b_tx), select.recv(c_rx));
                                    match select.ready() {
                                        i if i == arms.0 => a |= a_rx.try_recv() == Err(TryRecvError::Disconnected),
                                        i if i == arms.1 => {
                                            b |= b_tx.try_send(1).is_err_and(|error| error.is_disconnected())
                                        }
                                        _ => c |= c_rx.try_recv() == Err(TryRecvError::Disconnected),
                                    }
                                }
                            }
                            released.fetch_add(1, Ordering::Relaxed);
                        });
                    }
                    // Sometimes they all wait, sometimes they are on their way.
                    if round % 3 == 0 {
                        thread::sleep(Duration::from_micros(round * 5));
                    }
                    match round % 4 {
                        0 => drop((c_tx.close(), b_rx.close(), a_tx.close())),
                        1 => drop((a_tx, b_rx, c_tx)),
                        2 => drop((c_tx.send(1), c_tx.close(), a_tx, b_rx.close())),
                        _ => drop((b_rx, c_tx.close(), a_tx.close())),
                    }
                });
                assert_eq!(released.into_inner(), WAITERS);
            }
        });
    });
}

/// A value that is always somewhere: while one of two channels is without, the other has one.
#[test]
fn a_default_is_taken_only_if_nothing_was_possible() {
    watchdog(|| {
        Waiters::each(|waiters| {
            const LOOKS: usize = 300_000;
            let ((tx1, rx1), (tx2, rx2)) = (bounded(2), bounded(2));
            tx1.send(1).unwrap();
            tx2.send(2).unwrap();
            let done = AtomicBool::new(false);
            waiters.scope(|scope| {
                // Takes a value out and puts it back, now here, now there.
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        tx1.send(rx1.recv().unwrap()).unwrap();
                        tx2.send(rx2.recv().unwrap()).unwrap();
                    }
                });
                let mut defaults = 0;
                for _ in 0..LOOKS {
                    select! {
                        recv(rx1) -> value => tx1.send(value.unwrap()).unwrap(),
                        recv(rx2) -> value => tx2.send(value.unwrap()).unwrap(),
                        default => defaults += 1,
                    }
                }
                done.store(true, Ordering::Relaxed);
                assert_eq!(defaults, 0);
            });
        });
    });
}

#[test]
fn selects_over_shared_channels_keep_every_value() {
    watchdog(|| {
        Waiters::each(|waiters| {
            const OPERATIONS: usize = 100_000;
            let census = Census::default();
            let channels: [(Sender<Counted>, Receiver<Counted>); 3] = [bounded(0), bounded(1), bounded(4)];
            let (stop, stopped) = bounded::<()>(0);
            let operations = AtomicUsize::new(0);
            // How many values, and the sum of their numbers.
            let [sent, received] = [const { [const { AtomicUsize::new(0) }; 2] }; 2];
            let count = |which: &[AtomicUsize; 2], id: usize| {
                which[0].fetch_add(1, Ordering::Relaxed);
                which[1].fetch_add(id, Ordering::Relaxed);
                if operations.fetch_add(1, Ordering::Relaxed) == OPERATIONS {
                    stop.close();
                }
            };
            waiters.scope(|scope| {
                for thread in 0..4 {
                    let (channels, stopped, census, count, sent, received) =
                        (&channels, &stopped, &census, &count, &sent, &received);
                    scope.spawn(move || {
                        let mut random = Random::new(thread);
                        let (no_tx, no_rx) = (Sender::never(), never());
                        for number in 0.. {
                            let id = number * 4 + thread;
                            // Both ways without a buffer, so that two threads never wait both; the others now and then.
                            let mut tx = |i: usize| if i > 0 && random.below(3) > 0 { &no_tx } else { &channels[i].0 };
                            let [tx0, tx1, tx2] = [tx(0), tx(1), tx(2)];
                            let mut rx = |i: usize| if i > 0 && random.below(3) > 0 { &no_rx } else { &channels[i].1 };
                            let [rx0, rx1, rx2] = [rx(0), rx(1), rx(2)];
                            let got = |value: Result<Counted, RecvError>| count(received, value.unwrap().id);
                            let gave = |result: Result<(), SendError<Counted>>| {
                                result.unwrap();
                                count(sent, id);
                            };
                            select! {
                                recv(rx0) -> value => got(value),
                                send(tx1, census.value(id)) -> sent => gave(sent),
                                recv(rx2) -> value => got(value),
                                send(tx0, census.value(id)) -> sent => gave(sent),
                                recv(rx1) -> value => got(value),
                                send(tx2, census.value(id)) -> sent => gave(sent),
                                recv(stopped) -> _ => break,
                            }
                        }
                    });
                }
            });
            assert!(operations.load(Ordering::Relaxed) > OPERATIONS);
            channels.iter().flat_map(|(_, rx)| rx.drain()).for_each(|value| count(&received, value.id));
            let [sent, received] = [sent, received].map(|sums| sums.map(AtomicUsize::into_inner));
            assert_eq!(sent, received, "how many, and which");
            assert_eq!(census.made(), sent[0], "no message was made for another arm");
            census.assert_all_dropped();
        });
    });
}
