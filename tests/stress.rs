//! Many threads, many goroutines, and both: every value is accounted for, order is kept, everybody comes to an end.
//!
//! A value that was made was received, came back to its sender, was displaced, or was dropped with the channel; in the
//! end none is alive.

mod common;

use common::{Census, Counted, Random, Waiters, make, watchdog};
use gochan::debug::{Reason, channels, dump, dump_with_stacks};
use gochan::{Receiver, Sender, TrySendError, bounded, unbounded};
use std::any::type_name;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// Where values went.
#[derive(Default)]
struct Ledger {
    census: Census,
    sent: AtomicUsize,
    back: AtomicUsize,
    received: AtomicUsize,
    displaced: AtomicUsize,
}

impl Ledger {
    fn add(count: &AtomicUsize, values: usize) {
        count.fetch_add(values, Ordering::Relaxed);
    }

    /// Sends `values` values, numbered from 0, in all the ways there are.
    fn send(&self, tx: &Sender<Counted>, values: usize, seed: usize) {
        let mut random = Random::new(seed);
        let mut id = 0;
        while id < values {
            let value = self.census.value(id);
            let came_back = match random.below(10) {
                0..6 => tx.send(value).err().map(|error| error.0),
                6 => tx.try_send(value).err().map(TrySendError::into_inner),
                7 => tx.send_timeout(value, Duration::from_micros(20)).err().map(|error| error.into_inner()),
                8 => match tx.force_send(value) {
                    Err(error) => Some(error.0),
                    // At capacity 0 it is the value itself.
                    Ok(Some(other)) if tx.capacity() == Some(0) => Some(other),
                    Ok(other) => {
                        Self::add(&self.displaced, other.iter().count());
                        None
                    }
                },
                _ => {
                    let mut many = VecDeque::from([value]);
                    many.extend((1..5).map(|more| self.census.value(id + more)));
                    id += 4;
                    let sent = tx.send_many(&mut many);
                    assert_eq!(sent.is_ok(), many.is_empty());
                    Self::add(&self.sent, 5 - many.len());
                    Self::add(&self.back, many.len());
                    id += 1;
                    continue;
                }
            };
            Self::add(if came_back.is_some() { &self.back } else { &self.sent }, 1);
            id += 1;
        }
    }

    /// Receives in all the ways there are until the channel is closed and empty, or `most` values have come.
    fn receive(&self, rx: &Receiver<Counted>, most: usize, seed: usize) {
        let mut random = Random::new(seed);
        let mut received = 0;
        while received < most {
            let some = match random.below(8) {
                0..3 => rx.recv().iter().count(),
                3 => rx.try_recv().iter().count(),
                4 => rx.recv_timeout(Duration::from_micros(20)).iter().count(),
                5 => rx.try_iter().take(3).count(),
                6 => rx.recv_many(&mut Vec::new(), 5),
                _ => rx.drain().count(),
            };
            if some == 0 && rx.is_closed() && rx.is_empty() {
                break;
            }
            received += some;
        }
        Self::add(&self.received, received);
    }

    /// The books at the end, with `left` values dropped with the channel.
    fn balance(self, left: usize) {
        let [sent, back, received, displaced] =
            [self.sent, self.back, self.received, self.displaced].map(AtomicUsize::into_inner);
        assert_eq!(sent + back, self.census.made(), "made = sent + back");
        assert_eq!(sent, received + displaced + left, "sent = received + displaced + left");
        self.census.assert_all_dropped();
    }
}

const KINDS: [Option<usize>; 6] = [Some(0), Some(1), Some(2), Some(7), Some(100), None];

/// Four senders and four receivers with every operation there is, on each kind of channel.
fn every_operation(waiters: Waiters, values: usize) {
    for (seed, cap) in KINDS.into_iter().enumerate() {
        let ledger = Ledger::default();
        let (tx, rx) = make(cap);
        waiters.scope(|scope| {
            for i in 0..4 {
                let (tx, rx, ledger) = (tx.clone(), rx.clone(), &ledger);
                scope.spawn(move || ledger.send(&tx, values, seed * 100 + i));
                scope.spawn(move || ledger.receive(&rx, usize::MAX, seed * 100 + 50 + i));
            }
            drop((tx, rx));
        });
        ledger.balance(0);
    }
}

#[test]
fn every_operation_at_once() {
    watchdog(|| Waiters::each(|waiters| every_operation(waiters, 3000)));
}

/// A channel that one thread had for itself, and for long, until others come while it goes on.
#[test]
fn first_one_threads_then_everybodys() {
    fn own(ledger: &Ledger, tx: &Sender<Counted>, rx: &Receiver<Counted>, times: usize) {
        for id in 0..times {
            tx.send(ledger.census.value(id)).unwrap();
            rx.recv().unwrap();
        }
        Ledger::add(&ledger.sent, times);
        Ledger::add(&ledger.received, times);
    }
    watchdog(|| {
        // From some number of operations on the library asks the system for what it needs, which takes a while.
        let (tx, rx) = make(Some(1));
        own(&Ledger::default(), &tx, &rx, 2000);
        std::thread::sleep(Duration::from_millis(50));
        Waiters::each(|waiters| {
            for round in 0..100 {
                let ledger = Ledger::default();
                let (tx, rx) = make(KINDS[1..][round % (KINDS.len() - 1)]);
                own(&ledger, &tx, &rx, 600 + round % 3);
                waiters.scope(|scope| {
                    for i in 0..3 {
                        let (tx, rx, ledger) = (tx.clone(), rx.clone(), &ledger);
                        scope.spawn(move || ledger.send(&tx, 300, round * 100 + i));
                        scope.spawn(move || ledger.receive(&rx, usize::MAX, round * 100 + 50 + i));
                    }
                    drop(rx);
                    ledger.send(&tx, 300, round);
                    drop(tx);
                });
                ledger.balance(0);
            }
        });
    });
}

#[test]
fn a_thousand_dumps_stop_nobody() {
    const DUMPS: usize = 1000;
    watchdog(|| {
        let dumps = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let dumper = scope.spawn(|| {
                let mut waiting = 0;
                while dumps.load(Ordering::Relaxed) < DUMPS {
                    // Now and then with stacks, for which everybody who waits is resumed.
                    let with_stacks = dumps.fetch_add(1, Ordering::Relaxed) % 10 == 0;
                    let dump = if with_stacks { dump_with_stacks() } else { dump() };
                    waiting += dump.routines.iter().filter(|routine| routine.waits.is_some()).count();
                }
                waiting
            });
            while dumps.load(Ordering::Relaxed) < DUMPS {
                Waiters::each(|waiters| every_operation(waiters, 500));
            }
            assert!(dumper.join().unwrap() > 0, "nobody was ever seen to wait");
        });
    });
}

#[test]
fn every_operation_until_somebody_closes() {
    watchdog(|| {
        Waiters::each(|waiters| {
            for round in 0..180 {
                let ledger = Ledger::default();
                let (tx, rx) = make(KINDS[round % KINDS.len()]);
                let left = waiters.scope(|scope| {
                    for i in 0..3 {
                        let (tx, rx, ledger) = (tx.clone(), rx.clone(), &ledger);
                        scope.spawn(move || ledger.send(&tx, 300, round * 100 + i));
                        // They may stop before the end.
                        scope.spawn(move || ledger.receive(&rx, 100 + round / 3, round * 100 + 50 + i));
                    }
                    // In the middle: after about as many values as the round says.
                    let enough = round;
                    common::wait_until(|| ledger.census.made() >= enough);
                    assert!(rx.close());
                    drop(tx);
                    rx
                });
                let left = left.drain().count();
                ledger.balance(left);
            }
        });
    });
}

#[test]
fn every_operation_until_the_receivers_go() {
    watchdog(|| {
        Waiters::each(|waiters| {
            for round in 0..180 {
                let ledger = Ledger::default();
                let (tx, rx) = make(KINDS[round % KINDS.len()]);
                waiters.scope(|scope| {
                    for i in 0..3 {
                        let (tx, rx, ledger) = (tx.clone(), rx.clone(), &ledger);
                        scope.spawn(move || ledger.send(&tx, 300, round * 100 + i));
                        scope.spawn(move || ledger.receive(&rx, 2 * round, round * 100 + 50 + i));
                    }
                    drop((tx, rx));
                });
                // What was in the buffer went with the last receiver; nothing is alive though nobody counted it.
                let received = ledger.received.load(Ordering::Relaxed) + ledger.displaced.load(Ordering::Relaxed);
                let left = ledger.sent.load(Ordering::Relaxed) - received;
                ledger.balance(left);
            }
        });
    });
}

#[test]
fn each_receiver_sees_each_senders_values_in_order() {
    watchdog(|| {
        Waiters::each(|waiters| {
            const SENDERS: usize = 4;
            const EACH: usize = 2000;
            for cap in KINDS {
                let (tx, rx) = make(cap);
                let total = AtomicUsize::new(0);
                waiters.scope(|scope| {
                    for sender in 0..SENDERS {
                        let tx = tx.clone();
                        scope.spawn(move || (1..=EACH).for_each(|i| tx.send((sender, i)).unwrap()));
                    }
                    drop(tx);
                    for _ in 0..3 {
                        let (rx, total) = (&rx, &total);
                        scope.spawn(move || {
                            let mut last = [0; SENDERS];
                            for (sender, i) in rx {
                                assert!(last[sender] < i, "{i} after {}", last[sender]);
                                last[sender] = i;
                                total.fetch_add(1, Ordering::Relaxed);
                            }
                        });
                    }
                });
                assert_eq!(total.into_inner(), SENDERS * EACH);
            }
        });
    });
}

#[test]
fn one_receiver_sees_a_senders_values_without_a_gap() {
    watchdog(|| {
        Waiters::each(|waiters| {
            for cap in KINDS {
                let (tx, rx) = make(cap);
                waiters.scope(|scope| {
                    scope.spawn(move || (0..20_000).for_each(|i| tx.send(i).unwrap()));
                    assert!(rx.iter().eq(0..20_000));
                });
            }
        });
    });
}

#[test]
fn sixty_four_threads_finish() {
    // Many more threads than cores: the lock's holder is preempted, wakers wait for their sleepers, and all get through.
    watchdog(|| {
        Waiters::each(|waiters| {
            for cap in [Some(0), Some(1), Some(16), None] {
                let ledger = Ledger::default();
                let (tx, rx) = make(cap);
                waiters.scope(|scope| {
                    for i in 0..32 {
                        let (tx, rx, ledger) = (tx.clone(), rx.clone(), &ledger);
                        scope.spawn(move || ledger.send(&tx, 1000, i));
                        scope.spawn(move || ledger.receive(&rx, usize::MAX, 32 + i));
                    }
                    drop((tx, rx));
                });
                ledger.balance(0);
            }
        });
    });
}

#[test]
fn sixty_four_threads_on_many_channels_finish() {
    // A ring: each thread passes on what it gets; one value goes round.
    watchdog(|| {
        Waiters::each(|waiters| {
            const THREADS: usize = 64;
            let (txs, rxs): (Vec<_>, Vec<_>) = (0..THREADS).map(|i| bounded::<usize>(i % 3)).unzip();
            waiters.scope(|scope| {
                for i in 0..THREADS {
                    let (rx, tx) = (&rxs[i], &txs[(i + 1) % THREADS]);
                    scope.spawn(move || {
                        for hops in rx {
                            if hops == 0 {
                                break;
                            }
                            // The last hop may find its receiver gone.
                            let _ = tx.send(hops - 1);
                        }
                        tx.close();
                    });
                }
                txs[0].send(THREADS * 50).unwrap();
            });
        });
    });
}

#[test]
fn a_look_at_any_moment_finds_the_channel_settled() {
    // Never do senders and receivers wait at once, receivers while there is a value, or senders while there is room.
    watchdog(|| {
        Waiters::each(|waiters| {
            struct Here;
            const ENOUGH: usize = 300;
            for cap in [0, 1, 3] {
                let (tx, rx) = bounded::<Here>(cap);
                let done = AtomicBool::new(false);
                waiters.scope(|scope| {
                    // A channel can be looked at once somebody has slept on it.
                    scope.spawn(|| assert!(rx.recv().is_ok()));
                    common::wait_for_waiting::<Here>(1);
                    assert!(tx.send(Here).is_ok());

                    for seed in 0..6 {
                        let (tx, rx, done) = (&tx, &rx, &done);
                        scope.spawn(move || {
                            let mut random = Random::new(seed);
                            while !done.load(Ordering::Relaxed) {
                                let patience = Duration::from_micros(random.below(300) as u64);
                                if seed % 2 == 0 {
                                    drop(tx.send_timeout(Here, patience));
                                } else {
                                    drop(rx.recv_timeout(patience));
                                }
                            }
                        });
                    }
                    let (mut sending, mut receiving) = (0, 0);
                    while sending < ENOUGH || receiving < ENOUGH {
                        for channel in channels().into_iter().filter(|c| c.element == type_name::<Here>()) {
                            let senders = channel.waiting.iter().filter(|w| w.reason == Reason::ChanSend).count();
                            let receivers = channel.waiting.len() - senders;
                            assert!(senders == 0 || receivers == 0, "{channel}");
                            assert!(receivers == 0 || channel.len == 0, "{channel}");
                            assert!(senders == 0 || channel.len == cap, "{channel}");
                            sending += senders;
                            receiving += receivers;
                        }
                    }
                    done.store(true, Ordering::Relaxed);
                });
            }
        });
    });
}

#[test]
fn what_a_sender_did_before_is_seen_by_the_receiver() {
    // Plain memory, guarded by nothing but the channel, in both directions.
    watchdog(|| {
        Waiters::each(|waiters| {
            for (tx, rx) in [bounded(0), bounded(1), unbounded()] {
                let (back_tx, back_rx) = bounded::<Box<[usize; 8]>>(0);
                waiters.scope(|scope| {
                    scope.spawn(move || {
                        for mut words in rx.iter() {
                            let words: &mut Box<[usize; 8]> = &mut words;
                            assert!(words.iter().all(|word| *word == words[0]));
                            let next = words[0] + 1;
                            words.fill(next);
                            back_tx.send(words.clone()).unwrap();
                        }
                    });
                    for i in 0..2000 {
                        tx.send(Box::new([i; 8])).unwrap();
                        assert_eq!(*back_rx.recv().unwrap(), [i + 1; 8]);
                    }
                    drop(tx);
                });
            }
        });
    });
}
