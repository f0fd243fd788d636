//! Scenarios that are too large for loom, under shuttle: thousands of random schedules, by seed. `scripts/shuttle` runs them.
//!
//! Threads and tasks take the many ways there are to send and to receive, at random; so are timeouts, which are over whenever
//! shuttle says so. Each scenario keeps a ledger of its values: none is lost, none comes twice, and nobody hangs, which shuttle
//! finds out itself. A failure prints the seed that repeats it.
#![cfg(gochan_shuttle)]

mod explore;
mod histories;
#[path = "../history/mod.rs"]
mod history;
mod ledger;
#[path = "../model/mod.rs"]
mod model;
mod ways;

use explore::{SOME_TIME, block_on_late, choose, coin, dawdle, explore, one_of, poll_for_a_while};
use gochan::{Receiver, RecvError, Select, SendError, TryRecvError, bounded, never, select};
use ledger::{Ledger, Token};
use shuttle::future::block_on;
use shuttle::thread;
use std::pin::pin;
use ways::{
    Got, HASTY_SENDS, IMPATIENT_RECEIVES, IMPATIENT_SENDS, PATIENT_RECEIVES, PATIENT_SENDS, Sent, borrow, either,
    receive, receive_all, receive_somehow, send, send_somehow,
};

/// A test per capacity.
macro_rules! at_capacities {
    ($scenario:ident, $($name:ident: $cap:expr),+) => {$(
        #[test]
        fn $name() {
            explore(|| $scenario($cap));
        }
    )+};
}

/// Receives what is left in a closed channel, when nobody else does any more.
fn drain(rx: Receiver<Token>, ledger: &Ledger) {
    assert!(rx.is_closed());
    rx.iter().for_each(|value| ledger.receive(value));
    drop(rx);
    ledger.balance();
}

fn join<T>(threads: Vec<thread::JoinHandle<T>>) -> Vec<T> {
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

/// Three send, three receive, in any way; the channel is closed when the last sender goes.
fn many_to_many(cap: usize) {
    let ((tx, rx), ledger) = (bounded(cap), Ledger::default());
    let mut threads = Vec::new();
    for _ in 0..3 {
        let (tx, theirs) = (tx.clone(), ledger.clone());
        threads.push(thread::spawn(move || {
            for _ in 0..2 {
                assert_ne!(send_somehow(&tx, &theirs), Sent::Closed);
            }
        }));
        let (rx, ledger) = (rx.clone(), ledger.clone());
        threads.push(thread::spawn(move || receive_all(&rx, &ledger)));
    }
    drop(tx);
    join(threads);
    drain(rx, &ledger);
}

at_capacities!(many_to_many, many_to_many_0: 0, many_to_many_1: 1, many_to_many_2: 2);

/// The same while two close the channel: one of them does, everybody is released, and what was sent is received.
fn close_storm(cap: usize) {
    let ((tx, rx), ledger) = (bounded(cap), Ledger::default());
    let mut threads = Vec::new();
    for i in 0..3 {
        let (sender, receiver, closer) = (tx.clone(), rx.clone(), rx.clone());
        let [one, other] = [ledger.clone(), ledger.clone()];
        threads.push(thread::spawn(move || {
            (0..3).all(|_| send_somehow(&sender, &one) != Sent::Closed);
            false
        }));
        threads.push(thread::spawn(move || {
            receive_all(&receiver, &other);
            false
        }));
        if i > 0 {
            threads.push(thread::spawn(move || {
                dawdle();
                closer.close()
            }));
        }
    }
    assert_eq!(join(threads).into_iter().filter(|closed| *closed).count(), 1, "closed it");
    assert!(!tx.close());
    drain(rx, &ledger);
}

at_capacities!(close_storm, close_storm_0: 0, close_storm_1: 1);

/// The last receiver goes: who sends is released, and what is in the channel is dropped.
#[test]
fn the_last_receiver_goes() {
    explore(|| {
        let ((tx, rx), ledger) = (bounded(1), Ledger::default());
        let mut threads = Vec::new();
        for _ in 0..3 {
            let (tx, ledger) = (tx.clone(), ledger.clone());
            threads.push(thread::spawn(move || while send_somehow(&tx, &ledger) != Sent::Closed {}));
        }
        let weak = rx.downgrade();
        for _ in 0..2 {
            let (rx, weak, ledger) = (rx.clone(), weak.clone(), ledger.clone());
            threads.push(thread::spawn(move || {
                for _ in 0..2 {
                    receive_somehow(&rx, &ledger);
                }
                drop(rx);
                if let Some(rx) = weak.upgrade() {
                    receive(5, &rx, &ledger);
                }
            }));
        }
        drop(rx);
        join(threads);
        assert!(tx.is_closed() && weak.upgrade().is_none());
        drop(tx);
        ledger.write(|book| assert_eq!(book.made, book.dropped, "made, dropped"));
    });
}

/// Four threads offer to each other, both ways on two channels: two meetings take place, whoever meets whom.
#[test]
fn selects_meet_both_ways() {
    explore(|| {
        let ([a, b], ledger) = ([bounded(0), bounded(0)], Ledger::default());
        let threads = (0..4).map(|i| {
            // Two may meet on the one channel or on the other, or across.
            let ((tx, _), (_, rx)) = if i % 2 == 0 { (a.clone(), b.clone()) } else { (b.clone(), a.clone()) };
            let ledger = ledger.clone();
            thread::spawn(move || either(&tx, &rx, &ledger))
        });
        let threads = threads.collect();
        join(threads);
        ledger.write(|book| assert_eq!((book.sent.len(), &book.sent), (2, &book.received)));
        drop((a, b));
        ledger.balance();
    });
}

/// The same on one channel with itself: nobody meets himself.
#[test]
fn selects_meet_on_one_channel() {
    explore(|| {
        let ((tx, rx), ledger) = (bounded(0), Ledger::default());
        let threads = (0..4).map(|_| {
            let (tx, rx, ledger) = (tx.clone(), rx.clone(), ledger.clone());
            thread::spawn(move || either(&tx, &rx, &ledger))
        });
        let threads = threads.collect();
        join(threads);
        ledger.write(|book| assert_eq!((book.sent.len(), &book.sent), (2, &book.received)));
        drop((tx, rx));
        ledger.balance();
    });
}

/// Receives begin in one thread and are dropped in another, while values are handed to them, and while others receive.
fn handed_over(cap: usize) {
    let ((tx, rx), ledger) = (bounded(cap), Ledger::default());
    let mut threads = Vec::new();
    for _ in 0..2 {
        let (rx, theirs) = (rx.clone(), ledger.clone());
        threads.push(thread::spawn(move || {
            for _ in 0..2 {
                let mut receive = Box::pin(rx.clone().into_recv_async());
                if let Some(got) = poll_for_a_while(receive.as_mut()) {
                    got.into_iter().for_each(|value| theirs.receive(value));
                    continue;
                }
                let ledger = theirs.clone();
                thread::spawn(move || {
                    dawdle();
                    if coin() {
                        let got = poll_for_a_while(receive.as_mut());
                        got.into_iter().flatten().for_each(|value| ledger.receive(value));
                    }
                });
            }
        }));
        let (tx, ledger) = (tx.clone(), ledger.clone());
        threads.push(thread::spawn(move || {
            for _ in 0..3 {
                send(one_of(&HASTY_SENDS), &tx, &ledger);
            }
        }));
    }
    let (receiver, other) = (rx.clone(), ledger.clone());
    let receiver = thread::spawn(move || receive_all(&receiver, &other));
    join(threads);
    // Those that are still to be dropped have their own receivers.
    while rx.receiver_count() > 2 {
        thread::yield_now();
    }
    drop(tx);
    receiver.join().unwrap();
    drain(rx, &ledger);
}

at_capacities!(handed_over, handed_over_0: 0, handed_over_1: 1);

/// Whoever sends and whoever receives loses patience at any time.
fn impatient(cap: usize) {
    let ((tx, rx), ledger) = (bounded(cap), Ledger::default());
    let mut threads = Vec::new();
    for _ in 0..3 {
        let (tx, theirs) = (tx.clone(), ledger.clone());
        threads.push(thread::spawn(move || {
            for _ in 0..3 {
                assert_ne!(send(one_of(&IMPATIENT_SENDS), &tx, &theirs), Sent::Closed);
            }
        }));
        let (rx, ledger) = (rx.clone(), ledger.clone());
        threads.push(thread::spawn(move || {
            for _ in 0..3 {
                assert_ne!(receive(one_of(&IMPATIENT_RECEIVES), &rx, &ledger), Got::Closed);
            }
        }));
    }
    join(threads);
    tx.close();
    drain(rx, &ledger);
}

at_capacities!(impatient, impatient_0: 0, impatient_1: 1);

/// Rights to send are awaited, kept for a while, used, dropped, and outlive a close.
fn permits(cap: usize) {
    let ((tx, rx), ledger) = (bounded(cap), Ledger::default());
    let mut threads = Vec::new();
    for _ in 0..3 {
        let (tx, ledger) = (tx.clone(), ledger.clone());
        threads.push(thread::spawn(move || {
            for _ in 0..3 {
                let mut reserve = pin!(tx.reserve());
                let permit = match poll_for_a_while(reserve.as_mut()) {
                    None if coin() => continue,
                    None => block_on(reserve),
                    Some(permit) => permit,
                };
                let Ok(permit) = permit else { return };
                dawdle();
                if choose(3) > 0 {
                    let value = ledger.token();
                    let id = value.id;
                    match permit.send(value) {
                        Ok(()) => ledger.sent(id),
                        Err(SendError(_)) => return,
                    }
                }
            }
        }));
    }
    for _ in 0..2 {
        let (rx, ledger) = (rx.clone(), ledger.clone());
        threads.push(thread::spawn(move || receive_all(&rx, &ledger)));
    }
    let closer = tx.clone();
    threads.push(thread::spawn(move || {
        (0..4).for_each(|_| dawdle());
        closer.close();
    }));
    join(threads);
    drain(rx, &ledger);
}

at_capacities!(permits, permits_0: 0, permits_1: 1);

/// There is one slot, or one receiver, for all: whoever borrows it and gives it back leaves it to the next.
fn one_for_all(cap: usize) {
    let ((tx, rx), ledger) = (bounded(cap), Ledger::default());
    let mut threads = Vec::new();
    for _ in 0..3 {
        let tx = tx.clone();
        threads.push(thread::spawn(move || (0..2).for_each(|_| borrow(&tx))));
    }
    for _ in 0..2 {
        let (tx, ledger) = (tx.clone(), ledger.clone());
        threads.push(thread::spawn(move || assert_eq!(send(one_of(&PATIENT_SENDS), &tx, &ledger), Sent::Taken)));
    }
    // Nobody else receives, and so nobody else moves who waits.
    for _ in 0..2 {
        if cap > 0 {
            while rx.is_empty() {
                thread::yield_now();
            }
        }
        assert_eq!(receive(one_of(&PATIENT_RECEIVES), &rx, &ledger), Got::Value);
    }
    // At capacity 0 the last ones borrow a receiver that gets nothing.
    let last = thread::spawn({
        let rx = rx.clone();
        move || assert!(rx.recv().is_err())
    });
    join(threads);
    tx.close();
    last.join().unwrap();
    drain(rx, &ledger);
}

at_capacities!(one_for_all, one_for_all_0: 0, one_for_all_1: 1);

/// Threads and tasks wait for readiness and for close; each is told, whatever the others take.
#[test]
fn watchers() {
    explore(|| {
        let ([(tx_a, a), (tx_b, b)], ledger) = ([bounded(1), bounded(0)], Ledger::default());
        let mut threads = Vec::new();
        for kind in 0..4 {
            let (tx_a, a, b, ledger) = (tx_a.clone(), a.clone(), b.clone(), ledger.clone());
            threads.push(thread::spawn(move || match kind {
                0 => block_on_late(a.closed()),
                1 => block_on_late(tx_a.closed()),
                _ => loop {
                    let mut select = Select::new();
                    let first = select.recv(&a);
                    select.recv(&b);
                    let ready = if kind == 2 { select.ready() } else { block_on_late(select.ready_async()) };
                    let from = if ready == first { &a } else { &b };
                    match from.try_recv() {
                        Ok(value) => ledger.receive(value),
                        Err(TryRecvError::Empty) => {}
                        Err(TryRecvError::Disconnected) => return,
                    }
                },
            }));
        }
        for tx in [&tx_a, &tx_b] {
            let (tx, ledger) = (tx.clone(), ledger.clone());
            threads.push(thread::spawn(move || {
                for _ in 0..2 {
                    send(one_of(&HASTY_SENDS), &tx, &ledger);
                }
                tx.close();
            }));
        }
        join(threads);
        a.iter().chain(b.iter()).for_each(|value| ledger.receive(value));
        drop((a, b));
        ledger.balance();
    });
}

/// Where nobody gives up, each receiver gets the values of each sender in their order.
fn in_order(cap: usize) {
    let (tx, rx) = bounded(cap);
    let mut senders = Vec::new();
    for sender in 0..2 {
        let tx = tx.clone();
        senders.push(thread::spawn(move || {
            for value in 1..5 {
                match choose(4) {
                    0 => tx.send((sender, value)).unwrap(),
                    1 => block_on_late(tx.send_async((sender, value))).unwrap(),
                    2 => select! { send(tx, (sender, value)) -> sent => sent.unwrap() },
                    _ => block_on(tx.reserve()).unwrap().send((sender, value)).unwrap(),
                }
            }
        }));
    }
    drop(tx);
    let receivers = (0..3).map(|_| {
        let rx = rx.clone();
        thread::spawn(move || {
            let (mut last, mut count) = ([0; 2], 0);
            loop {
                let got: Result<(usize, usize), _> = match choose(4) {
                    0 => rx.recv(),
                    1 => block_on_late(rx.recv_async()),
                    2 => select! { recv(rx) -> got => got, recv(never::<()>()) -> _ => unreachable!() },
                    _ => rx.recv_timeout(SOME_TIME).map_err(|_| RecvError),
                };
                match got {
                    Ok((sender, value)) => {
                        assert!(value > last[sender], "{value} behind {}", last[sender]);
                        last[sender] = value;
                        count += 1;
                    }
                    Err(RecvError) if rx.is_closed() && rx.is_empty() => return count,
                    Err(RecvError) => {}
                }
            }
        })
    });
    let receivers = receivers.collect();
    join(senders);
    assert_eq!(join::<usize>(receivers).into_iter().sum::<usize>(), 8);
}

at_capacities!(in_order, in_order_0: 0, in_order_1: 1);
