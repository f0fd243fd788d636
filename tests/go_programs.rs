//! The ideas of Go's own channel tests, those that need no select, written anew for threads.

mod common;

use common::{Random, wait_for_waiting, watchdog};
use gochan::{Chan, TryRecvError, bounded, unbounded};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// A channel of every capacity from 0 to 199.
#[test]
fn chan() {
    watchdog(|| {
        for cap in 0..200 {
            empty_receives_wait(cap);
            full_sends_wait(cap);
            closed_drains_in_order(cap);
            close_releases_a_receiver(cap);
            values_in_order(cap);
            four_by_four(cap);
        }
    });
}

fn empty_receives_wait(cap: usize) {
    struct Here;
    let chan = Chan::<Here>::new(cap);
    assert!(chan.try_recv().is_err());
    thread::scope(|scope| {
        let plain = scope.spawn(|| chan.recv().is_some());
        let ranging = scope.spawn(|| chan.iter().next().is_some());
        wait_for_waiting::<Here>(2);
        assert!(!plain.is_finished() && !ranging.is_finished());
        chan.send(Here);
        chan.send(Here);
        assert!(plain.join().unwrap() && ranging.join().unwrap());
    });
}

fn full_sends_wait(cap: usize) {
    struct Here(usize);
    let chan = Chan::new(cap);
    (0..cap).for_each(|i| chan.send(Here(i)));
    assert!(chan.try_send(Here(cap)).is_err());
    thread::scope(|scope| {
        let sender = scope.spawn(|| chan.send(Here(cap)));
        wait_for_waiting::<Here>(1);
        assert!(!sender.is_finished());
        assert!(chan.iter().take(cap + 1).map(|here| here.0).eq(0..=cap));
    });
}

fn closed_drains_in_order(cap: usize) {
    let chan = Chan::new(cap);
    (0..cap).for_each(|i| chan.send(i));
    chan.close();
    for i in 0..cap {
        let got = if i % 2 == 0 { chan.recv() } else { chan.try_recv().unwrap() };
        assert_eq!(got, Some(i));
    }
    assert_eq!((chan.recv(), chan.recv_or_default(), chan.try_recv()), (None, 0, Ok(None)));
}

fn close_releases_a_receiver(cap: usize) {
    struct Here;
    let chan = Chan::<Here>::new(cap);
    thread::scope(|scope| {
        let receiver = scope.spawn(|| chan.recv().is_none());
        wait_for_waiting::<Here>(1);
        chan.close();
        assert!(receiver.join().unwrap());
    });
}

fn values_in_order(cap: usize) {
    let chan = Chan::new(cap);
    thread::scope(|scope| {
        scope.spawn(|| (0..100).for_each(|i| chan.send(i)));
        (0..100).for_each(|i| assert_eq!(chan.recv(), Some(i)));
    });
}

fn four_by_four(cap: usize) {
    const EACH: usize = 50;
    let chan = Chan::new(cap);
    let mut times = [0; EACH];
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..EACH).for_each(|i| chan.send(i)));
        }
        let receivers = [(); 4].map(|()| scope.spawn(|| chan.iter().take(EACH).collect::<Vec<_>>()));
        for i in receivers.into_iter().flat_map(|receiver| receiver.join().unwrap()) {
            times[i] += 1;
        }
    });
    assert_eq!(times, [4; EACH]);
    assert_eq!((chan.len(), chan.cap()), (0, cap));
}

/// A value is in the buffer; while one thread closes, another must not be told "not ready".
#[test]
fn nonblock_recv_race() {
    watchdog(|| {
        for _ in 0..3000 {
            let chan = Chan::new(1);
            chan.send(1);
            let receiver = {
                let chan = chan.clone();
                thread::spawn(move || chan.try_recv())
            };
            chan.close();
            let first = chan.try_recv();
            let second = receiver.join().unwrap();
            assert!(first.is_ok() && second.is_ok(), "not ready");
            assert!(first == Ok(Some(1)) || second == Ok(Some(1)));
        }
    });
}

/// Many workers range over one channel; the last to end closes the results.
#[test]
fn multi_consumer() {
    watchdog(|| {
        const WORKERS: usize = 23;
        const ITEMS: usize = 271_828;
        const PRIMES: [usize; 8] = [2, 3, 7, 11, 13, 17, 19, 23];
        let (work, results) = (Chan::new(WORKERS * 2), Chan::new(WORKERS * 3));
        let working = AtomicUsize::new(WORKERS);
        let mut expected = 0;
        thread::scope(|scope| {
            for _ in 0..WORKERS {
                scope.spawn(|| {
                    for item in &work {
                        if PRIMES.contains(&item) {
                            // Shuffles the order a little.
                            thread::yield_now();
                        }
                        results.send(item);
                    }
                    if working.fetch_sub(1, Ordering::AcqRel) == 1 {
                        results.close();
                    }
                });
            }
            let total = scope.spawn(|| results.iter().fold((0, 0), |(n, sum), item| (n + 1, sum + item)));
            for i in 0..ITEMS {
                let item = PRIMES[i % PRIMES.len()];
                expected += item;
                work.send(item);
            }
            work.close();
            assert_eq!(total.join().unwrap(), (ITEMS, expected));
        });
    });
}

/// Threads in a chain, each receiving from its right and sending to its left.
#[test]
fn a_chain_of_threads() {
    watchdog(|| {
        const LENGTH: usize = 500;
        let leftmost = Chan::new(0);
        thread::scope(|scope| {
            let mut left = leftmost.clone();
            for _ in 0..LENGTH {
                let right = Chan::new(0);
                let (to, from) = (left, right.clone());
                let link = thread::Builder::new().stack_size(256 << 10);
                link.spawn_scoped(scope, move || to.send(from.recv().unwrap() + 1)).unwrap();
                left = right;
            }
            let rightmost = left;
            scope.spawn(move || rightmost.send(0));
            assert_eq!(leftmost.recv(), Some(LENGTH));
        });
    });
}

/// Values go through ten receivers that hand a token on, each waiting for the one before it.
#[test]
fn a_daisy_chain_serves_in_order() {
    watchdog(|| {
        let (chan, order) = (Chan::new(0), Chan::new(10));
        thread::scope(|scope| {
            let mut token: Chan<()> = Chan::new(1);
            token.send(());
            for i in 0..10 {
                let next = Chan::new(1);
                let (mine, passed, chan, order) = (token, next.clone(), &chan, &order);
                scope.spawn(move || {
                    mine.recv().unwrap();
                    order.send((i, chan.recv().unwrap()));
                    passed.send(());
                });
                token = next;
            }
            (0..10).for_each(|i| chan.send(i));
            assert!(order.iter().take(10).eq((0..10).map(|i| (i, i))));
        });
    });
}

/// A concurrent prime sieve: a thread for each prime.
#[test]
fn sieve() {
    watchdog(|| {
        const PRIMES: [u32; 25] =
            [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97];
        let (numbers, mut source) = bounded(0);
        thread::spawn(move || (2..).take_while(|number| numbers.send(*number).is_ok()).count());
        for prime in PRIMES {
            assert_eq!(source.recv(), Ok(prime));
            let (filtered, rest) = bounded(0);
            let unfiltered = std::mem::replace(&mut source, rest);
            // Ends when nobody receives from it any more, and so does the one before it.
            thread::spawn(move || {
                unfiltered
                    .iter()
                    .filter(|number| number % prime != 0)
                    .take_while(|number| filtered.send(*number).is_ok())
                    .count()
            });
        }
    });
}

/// One sender, ten receivers, each value to exactly one of them.
#[test]
fn one_to_ten() {
    watchdog(|| {
        const VALUES: usize = 1000;
        let chan = Chan::<usize>::new(0);
        let times = [const { AtomicUsize::new(0) }; VALUES];
        thread::scope(|scope| {
            for _ in 0..10 {
                scope.spawn(|| {
                    for value in &chan {
                        times[value].fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            (0..VALUES).for_each(|value| chan.send(value));
            chan.close();
        });
        assert!(times.into_iter().all(|times| times.into_inner() == 1));
    });
}

/// Sequences through one to four channels, each with its sender and its receiver, which yield now and then.
#[test]
fn sequences() {
    watchdog(|| {
        const LENGTH: usize = 1000;
        for channels in 1..=4 {
            for cap in [0, 1, 10] {
                thread::scope(|scope| {
                    for channel in 0..channels {
                        let (tx, rx) = bounded(cap);
                        let start = channel * 10_000;
                        scope.spawn(move || {
                            let mut random = Random::new(channel);
                            for value in start..start + LENGTH {
                                if random.below(8) == 0 {
                                    thread::yield_now();
                                }
                                // Waiting and trying by turns.
                                match random.below(2) {
                                    0 => tx.send(value).unwrap(),
                                    _ => common::wait_until(|| tx.try_send(value).is_ok()),
                                }
                            }
                        });
                        scope.spawn(move || {
                            let mut random = Random::new(channel + 100);
                            for value in start..start + LENGTH {
                                if random.below(8) == 0 {
                                    thread::yield_now();
                                }
                                // Of two that only try, at capacity 0 neither would ever meet the other.
                                assert_eq!(rx.recv(), Ok(value));
                            }
                            assert!(rx.recv().is_err());
                        });
                    }
                });
            }
        }
    });
}

/// A semaphore of three: never more than three inside.
#[test]
fn semaphore() {
    watchdog(|| {
        let semaphore = Chan::new(3);
        let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..10 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        semaphore.send(());
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        semaphore.recv();
                    }
                });
            }
        });
        assert!((1..=3).contains(&most.into_inner()));
    });
}

/// A channel of capacity 1 is a mutex.
#[test]
fn mutex() {
    watchdog(|| {
        struct Shared(std::cell::UnsafeCell<usize>);
        // SAFETY: only touched between a send and a receive on a channel of capacity 1.
        unsafe impl Sync for Shared {}
        let (mutex, shared) = (Chan::new(1), Shared(0.into()));
        let shared = &shared;
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        mutex.send(());
                        // SAFETY: as above.
                        unsafe { *shared.0.get() += 1 };
                        mutex.recv();
                    }
                });
            }
        });
        // SAFETY: all threads have ended.
        assert_eq!(unsafe { *shared.0.get() }, 4000);
    });
}

/// Request and response, each over a channel of its own.
#[test]
fn request_and_response() {
    watchdog(|| {
        thread::scope(|scope| {
            for _ in 0..10 {
                scope.spawn(|| {
                    for i in 0..200 {
                        let (tx, rx) = bounded(0);
                        thread::scope(|scope| {
                            if i % 20 == 0 {
                                scope.spawn(move || tx.send(Box::new(i)).unwrap());
                            } else {
                                drop(tx);
                            }
                            assert_eq!(rx.recv().ok(), (i % 20 == 0).then(|| Box::new(i)));
                        });
                    }
                });
            }
        });
    });
}

/// Ten threads pass pointers to ten others, which allocate meanwhile.
#[test]
fn pointers_between_many() {
    watchdog(|| {
        let (tx, rx) = unbounded::<Box<usize>>();
        let sum = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..10 {
                let tx = tx.clone();
                scope.spawn(move || (1..=500).for_each(|i| tx.send(Box::new(i)).unwrap()));
                let (rx, sum) = (rx.clone(), &sum);
                scope.spawn(move || {
                    for pointer in rx {
                        let words = Box::new([*pointer; 10]);
                        sum.fetch_add(words[9], Ordering::Relaxed);
                    }
                });
            }
            drop((tx, rx));
        });
        assert_eq!(sum.into_inner(), 10 * 125_250);
    });
}

/// An unbuffered channel with nobody at the other end refuses, and says why.
#[test]
fn nobody_there() {
    let chan = Chan::new(0);
    assert!(chan.try_send(1).is_err_and(|error| error.is_full()));
    assert_eq!(chan.try_recv(), Err(TryRecvError::Empty));
    chan.close();
    assert_eq!(chan.try_recv(), Ok(None));
}
