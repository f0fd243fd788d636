//! The ideas of Go's own programs about select, written anew for threads: races with a default case, selects that could
//! meet themselves, fairness, and everything that is sent received once.

mod common;

use common::{Random, wait_for_waiting, wait_until, waiting, watchdog};
use futures_executor::block_on;
use gochan::{Chan, Receiver, Select, Sender, bounded, never, select, select_biased, tick};
use std::future::Future;
use std::hint;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::thread;
use std::time::{Duration, Instant};

/// Fewer under an interpreter.
const fn rounds(many: usize) -> usize {
    if cfg!(miri) { many / 1000 + 3 } else { many }
}

/// Runs two threads through the same rounds, which begin together where both threads have a core, and counts how often
/// `one` says that something was wrong.
fn race<R: Sync>(
    rounds: usize,
    make: impl Fn(usize) -> R,
    one: impl Fn(&R) -> bool + Sync,
    other: impl Fn(&R) + Sync,
) -> usize {
    const BATCH: usize = 1000;
    const LOOKS: usize = 300;
    let mut wrong = 0;
    for start in (0..rounds).step_by(BATCH) {
        let batch: Vec<R> = (start..rounds.min(start + BATCH)).map(&make).collect();
        let at = [const { AtomicUsize::new(0) }; 2];
        // Not for ever: the other one may be without a core.
        let meet = |me: usize, round: usize| {
            at[me].store(round + 1, Ordering::SeqCst);
            (0..LOOKS).take_while(|_| at[1 - me].load(Ordering::SeqCst) <= round).for_each(|_| hint::spin_loop());
        };
        thread::scope(|scope| {
            scope.spawn(|| {
                for (n, round) in batch.iter().enumerate() {
                    meet(0, n);
                    other(round);
                }
            });
            for (n, round) in batch.iter().enumerate() {
                meet(1, n);
                wrong += usize::from(one(round));
            }
        });
    }
    wrong
}

/// Of two channels one has a value at every moment: first the one, then both, then the other. Default is never taken.
#[test]
fn nonblock_select_race() {
    watchdog(|| {
        let make = |_| {
            let (first, second) = (bounded(1), bounded(1));
            first.0.send(1).unwrap();
            (first, second)
        };
        let wrong = race(
            rounds(100_000),
            make,
            |(first, second)| {
                select! {
                    recv(first.1) -> _ => false,
                    recv(second.1) -> _ => false,
                    default => true,
                }
            },
            |(first, second)| {
                second.0.send(1).unwrap();
                select! {
                    recv(first.1) -> _ => {}
                    default => {}
                }
            },
        );
        assert_eq!(wrong, 0, "default, though there was a value at every moment");
    });
}

/// The same where what becomes possible instead is that a channel is closed; with Go's channels.
#[test]
fn nonblock_select_race_2() {
    watchdog(|| {
        let make = |_| {
            let (first, second) = (Chan::new(1), Chan::<i32>::new(0));
            first.send(1);
            (first, second)
        };
        let wrong = race(
            rounds(100_000),
            make,
            |(first, second)| {
                select! {
                    recv(first) -> _ => false,
                    recv(second) -> _ => false,
                    default => true,
                }
            },
            |(first, second)| {
                second.close();
                select! {
                    recv(first) -> _ => {}
                    default => {}
                }
            },
        );
        assert_eq!(wrong, 0, "default, though there was something at every moment");
    });
}

/// The same for sends: of two channels one has room at every moment.
#[test]
fn nonblock_select_race_of_sends() {
    watchdog(|| {
        let make = |_| {
            let (first, second) = (bounded(1), bounded(1));
            second.0.send(1).unwrap();
            (first, second)
        };
        let wrong = race(
            rounds(50_000),
            make,
            |(first, second)| {
                let mut select = Select::new();
                let one = select.send(&first.0);
                select.send(&second.0);
                match select.try_select() {
                    Err(_) => true,
                    Ok(operation) => {
                        let tx = if operation.index() == one { &first.0 } else { &second.0 };
                        operation.send(tx, 2).unwrap();
                        false
                    }
                }
            },
            |(first, second)| {
                second.1.try_recv().unwrap();
                let _ = first.0.try_send(3);
            },
        );
        assert_eq!(wrong, 0, "default, though there was room at every moment");
    });
}

/// A value is in the buffer; while one thread closes, another that selects must not be told that there is nothing.
#[test]
fn nonblock_recv_race() {
    watchdog(|| {
        let make = |_| {
            let chan = Chan::new(1);
            chan.send(1);
            chan
        };
        let wrong = race(
            rounds(30_000),
            make,
            |chan| {
                select! {
                    recv(chan) -> value => value != Some(1),
                    default => true,
                }
            },
            Chan::close,
        );
        assert_eq!(wrong, 0, "nothing, or closed, though there was a value");
    });
}

/// Two threads each of which offers to send and to receive on one channel. Without a buffer neither receives its own.
#[test]
fn self_select() {
    fn go_exact(cap: usize) {
        let (chan, balance) = (Chan::new(cap), AtomicUsize::new(0));
        thread::scope(|scope| {
            for me in 0..2 {
                let (chan, balance) = (&chan, &balance);
                scope.spawn(move || {
                    for i in 0..rounds(10_000) {
                        // In either order.
                        let got = if me == 0 || i % 2 == 0 {
                            select! {
                                send(chan, me) -> () => None,
                                recv(chan) -> value => value,
                            }
                        } else {
                            select! {
                                recv(chan) -> value => value,
                                send(chan, me) -> () => None,
                            }
                        };
                        assert!(cap != 0 || got != Some(me), "received its own");
                        balance.fetch_add(if got.is_none() { 1 } else { usize::MAX }, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(balance.into_inner(), chan.len(), "what was sent and not received is there");
    }
    fn handles(cap: usize) {
        let ((tx, rx), balance) = (bounded(cap), AtomicUsize::new(0));
        thread::scope(|scope| {
            for me in 0..2 {
                let (tx, rx, balance) = (&tx, &rx, &balance);
                scope.spawn(move || {
                    for i in 0..rounds(10_000) {
                        let mut select = if i % 3 == 0 { Select::new_biased() } else { Select::new() };
                        let (send, recv) = (select.send(tx), select.recv(rx));
                        let operation = select.select();
                        if operation.index() == recv {
                            let got = operation.recv(rx).unwrap();
                            assert!(cap != 0 || got != me, "received its own");
                            balance.fetch_sub(1, Ordering::Relaxed);
                        } else {
                            assert_eq!(operation.index(), send);
                            operation.send(tx, me).unwrap();
                            balance.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(balance.into_inner(), rx.len(), "what was sent and not received is there");
    }
    for cap in [0, 10] {
        watchdog(move || go_exact(cap));
        watchdog(move || handles(cap));
    }
}

/// Many threads that offer both ways on one channel without a buffer: each value goes once, and to another thread.
#[test]
fn two_sided_selects_meet_each_other() {
    watchdog(|| {
        const THREADS: usize = 6;
        let ((tx, rx), (quit, quitting)) = (bounded::<(usize, usize)>(0), bounded::<()>(0));
        let met = AtomicUsize::new(0);
        let totals: Vec<(usize, Vec<(usize, usize)>)> = thread::scope(|scope| {
            let thread = |me: usize| {
                let (tx, rx, quitting, met) = (&tx, &rx, &quitting, &met);
                move || {
                    let (mut sent, mut got) = (0, Vec::new());
                    loop {
                        select! {
                            send(tx, { sent += 1; (me, sent) }) -> result => result.unwrap(),
                            recv(rx) -> value => got.push(value.unwrap()),
                            recv(quitting) -> _ => return (sent, got),
                        }
                        met.fetch_add(1, Ordering::Relaxed);
                    }
                }
            };
            let threads: Vec<_> = (0..THREADS).map(|me| scope.spawn(thread(me))).collect();
            wait_until(|| met.load(Ordering::Relaxed) >= rounds(30_000));
            quit.close();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let mut times: Vec<Vec<u32>> = totals.iter().map(|(sent, _)| vec![0; *sent]).collect();
        for (me, (_, got)) in totals.iter().enumerate() {
            for &(sender, number) in got {
                assert_ne!(sender, me, "received its own");
                times[sender][number - 1] += 1;
            }
        }
        assert!(times.iter().flatten().all(|&times| times == 1), "each value once");
    });
}

/// Four channels, each with its sender and its receiver, and on either side one thread that selects among all four.
#[test]
fn select_stress() {
    watchdog(|| {
        const EACH: usize = rounds(10_000);
        let channels = [0, 0, 2, 3].map(bounded::<usize>);
        let [(t0, r0), (t1, r1), (t2, r2), (t3, r3)] = &channels;
        let got = [const { AtomicUsize::new(0) }; 4];
        thread::scope(|scope| {
            for (channel, (tx, rx)) in channels.iter().enumerate() {
                scope.spawn(move || (1..=EACH).for_each(|i| tx.send(i).unwrap()));
                let got = &got[channel];
                scope.spawn(move || {
                    got.fetch_add(rx.iter().take(EACH).sum(), Ordering::Relaxed);
                });
            }
            scope.spawn(|| {
                let (nil, mut sent) = (Sender::never(), [0; 4]);
                let mut next = |channel: usize| {
                    sent[channel] += 1;
                    (sent[channel], sent[channel] == EACH)
                };
                let mut open = [t0, t1, t2, t3];
                while open.iter().any(|&tx| !tx.same_channel(&nil)) {
                    let mut finished = None;
                    let mut value = |channel| {
                        let (value, last) = next(channel);
                        finished = last.then_some(channel);
                        value
                    };
                    select! {
                        send(open[3], value(3)) -> sent => sent.unwrap(),
                        send(open[2], value(2)) -> sent => sent.unwrap(),
                        send(open[0], value(0)) -> sent => sent.unwrap(),
                        send(open[1], value(1)) -> sent => sent.unwrap(),
                    }
                    if let Some(channel) = finished {
                        open[channel] = &nil;
                    }
                }
            });
            scope.spawn(|| {
                let (nil, mut left) = (never(), [EACH; 4]);
                while left != [0; 4] {
                    let on = |channel: usize, rx| if left[channel] == 0 { &nil } else { rx };
                    let (channel, value) = select! {
                        recv(on(0, r0)) -> value => (0, value),
                        recv(on(1, r1)) -> value => (1, value),
                        recv(on(2, r2)) -> value => (2, value),
                        recv(on(3, r3)) -> value => (3, value),
                    };
                    got[channel].fetch_add(value.unwrap(), Ordering::Relaxed);
                    left[channel] -= 1;
                }
            });
        });
        // Both senders of each channel have sent 1 to EACH.
        assert_eq!(got.map(AtomicUsize::into_inner), [EACH * (EACH + 1); 4]);
        assert!(channels.iter().all(|(_, rx)| rx.is_empty()));
    });
}

/// How often a fair coin may fall so in 10,000 throws: ten standard deviations, which nobody will ever see.
#[track_caller]
fn assert_even(ones: usize) {
    if !cfg!(miri) {
        assert!((4500..=5500).contains(&ones), "{ones} of 10,000");
    }
}

/// Of four cases two are possible: each of these is chosen half of the time.
#[test]
fn select_fairness() {
    const THROWS: usize = rounds(10_000);
    let (first, second) = (bounded(THROWS), bounded(THROWS));
    let ((_tx3, third), (_tx4, fourth)) = (bounded::<()>(1), bounded::<()>(1));
    let full = || {
        for tx in [&first.0, &second.0] {
            while tx.try_send(()).is_ok() {}
        }
    };

    full();
    let received = || {
        select! {
            recv(third) -> _ => unreachable!(),
            recv(first.1) -> _ => true,
            recv(fourth) -> _ => unreachable!(),
            recv(second.1) -> _ => false,
        }
    };
    assert_even((0..THROWS).filter(|_| received()).count());

    full();
    let mut dynamic = Select::new();
    let (_, one) = (dynamic.recv(&third), dynamic.recv(&first.1));
    let _ = (dynamic.recv(&fourth), dynamic.recv(&second.1));
    let mut selected = || {
        let operation = dynamic.select();
        let is_one = operation.index() == one;
        operation.recv(if is_one { &first.1 } else { &second.1 }).unwrap();
        is_one
    };
    assert_even((0..THROWS).filter(|_| selected()).count());

    first.1.drain().for_each(drop);
    second.1.drain().for_each(drop);
    let (never_taken, nil) = (bounded(0), Sender::never());
    let sent = || {
        select! {
            send(never_taken.0, ()) -> _ => unreachable!(),
            send(first.0, ()) -> _ => true,
            send(second.0, ()) -> _ => false,
            send(nil, ()) -> _ => unreachable!(),
        }
    };
    assert_even((0..THROWS).filter(|_| sent()).count());
}

/// An end of a channel, with which something may be done.
#[derive(Clone, Copy)]
enum End<'a> {
    Recv(&'a Receiver<usize>),
    Send(&'a Sender<usize>),
    Tick(&'a Receiver<Instant>),
}

fn add<'a>(select: &mut Select<'a>, end: End<'a>) -> usize {
    match end {
        End::Recv(rx) => select.recv(rx),
        End::Send(tx) => select.send(tx),
        End::Tick(rx) => select.recv(rx),
    }
}

/// Whatever it is that makes two of a select's cases possible: each of the two is chosen half of the time.
#[test]
fn select_is_fair_between_all_that_is_possible() {
    // A select that finds nothing there looks at all the others.
    const LARGE: usize = 64;
    const THROWS: usize = rounds(10_000);
    let (empty, full, buffered, closed, room, sent, received) =
        (bounded::<usize>(LARGE), bounded(LARGE), bounded(THROWS), bounded(0), bounded(THROWS), bounded(0), bounded(0));
    let (nil, gone) = (never::<usize>(), bounded::<usize>(0));
    (0..LARGE).for_each(|value| full.0.send(value).unwrap());
    drop((closed.0, gone.1));
    let ticks = tick(Duration::ZERO);
    let possible = [
        ("a value in the buffer", End::Recv(&buffered.1)),
        ("a channel that is closed", End::Recv(&closed.1)),
        ("a free slot", End::Send(&room.0)),
        ("a channel that nobody receives from", End::Send(&gone.0)),
        ("a sender that waits", End::Recv(&sent.1)),
        ("a receiver that waits", End::Send(&received.0)),
        ("a tick that is due", End::Tick(&ticks)),
    ];
    let pairs = possible
        .into_iter()
        .enumerate()
        .flat_map(|(i, one)| possible.into_iter().skip(i + 1).map(move |other| (one, other)));
    for (((one, first), (other, second)), is_async) in pairs.flat_map(|pair| [(pair, false), (pair, true)]) {
        while buffered.0.try_send(0).is_ok() {}
        // And what receivers were given that have gone since.
        for rx in [&room.1, &received.1] {
            rx.drain().for_each(drop);
        }
        let mut context = Context::from_waker(Waker::noop());
        let mut senders: Vec<_> = (0..THROWS).map(|_| Box::pin(sent.0.send_async(0))).collect();
        let mut receivers: Vec<_> = (0..THROWS).map(|_| Box::pin(received.1.recv_async())).collect();
        assert!(senders.iter_mut().all(|sender| sender.as_mut().poll(&mut context).is_pending()));
        assert!(receivers.iter_mut().all(|receiver| receiver.as_mut().poll(&mut context).is_pending()));
        let mut select = Select::new();
        let _ = select.recv(&empty.1);
        let firsts = add(&mut select, first);
        let _ = select.send(&full.0);
        let _ = add(&mut select, second);
        let _ = select.recv(&nil);
        let ones = (0..THROWS).filter(|_| {
            let operation = if is_async { block_on(select.select_async()) } else { select.select() };
            let is_one = operation.index() == firsts;
            match if is_one { first } else { second } {
                End::Recv(rx) => assert_eq!(operation.recv(rx).is_err(), std::ptr::eq(rx, &raw const closed.1)),
                End::Send(tx) => assert_eq!(operation.send(tx, 0).is_err(), std::ptr::eq(tx, &raw const gone.0)),
                End::Tick(rx) => drop(operation.recv(rx).unwrap()),
            }
            is_one
        });
        println!("{one}, {other}, async: {is_async}");
        assert_even(ones.count());
    }
}

/// A biased select is not fair.
#[test]
fn a_biased_select_takes_the_first() {
    let (first, second) = (bounded(1000), bounded(1000));
    (0..1000).for_each(|_| first.0.send(()).and(second.0.send(())).unwrap());
    for _ in 0..1000 {
        select_biased! {
            recv(first.1) -> result => result.unwrap(),
            recv(second.1) -> _ => unreachable!(),
        }
    }
    assert_eq!((first.1.len(), second.1.len()), (0, 1000));
}

/// Two cases on one channel, which send different values: both appear.
#[test]
fn pseudo_random_send() {
    for cap in [0, 1] {
        watchdog(move || {
            const VALUES: usize = rounds(10_000);
            let chan = Chan::new(cap);
            thread::scope(|scope| {
                let ones = scope.spawn(|| chan.iter().take(VALUES).sum::<usize>());
                for _ in 0..VALUES {
                    select! {
                        send(chan, 0) -> () => {}
                        send(chan, 1) -> () => {}
                    }
                }
                assert_even(ones.join().unwrap());
            });
        });
    }
}

/// So they do when the select waits before the receiver comes.
#[test]
fn pseudo_random_send_of_a_select_that_waits() {
    watchdog(|| {
        struct Here(usize);
        const VALUES: usize = rounds(200);
        let chan = Chan::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..VALUES {
                    select! {
                        send(chan, Here(0)) -> () => {}
                        send(chan, Here(1)) -> () => {}
                    }
                }
            });
            let ones = (0..VALUES)
                .map(|_| {
                    wait_for_waiting::<Here>(2);
                    chan.recv().unwrap().0
                })
                .sum::<usize>();
            assert!(cfg!(miri) || (20..=180).contains(&ones), "{ones} of 200");
        });
    });
}

/// Many workers that select between work and the end of it; the last to end closes the results.
#[test]
fn multi_consumer() {
    watchdog(|| {
        const WORKERS: usize = 23;
        const ITEMS: usize = rounds(50_000);
        let (work, results, quit) = (Chan::new(WORKERS * 2), Chan::new(WORKERS * 3), Chan::<()>::new(0));
        let working = AtomicUsize::new(WORKERS);
        thread::scope(|scope| {
            for seed in 0..WORKERS {
                let (work, results, quit, working) = (&work, &results, &quit, &working);
                scope.spawn(move || {
                    let mut random = Random::new(seed);
                    loop {
                        select_biased! {
                            recv(work) -> item => results.send(item.unwrap()),
                            recv(quit) -> _ => break,
                        }
                        if random.below(16) == 0 {
                            thread::yield_now();
                        }
                    }
                    if working.fetch_sub(1, Ordering::AcqRel) == 1 {
                        results.close();
                    }
                });
            }
            let total = scope.spawn(|| results.iter().fold((0, 0), |(n, sum), item| (n + 1, sum + item)));
            (0..ITEMS).for_each(|item| work.send(item));
            quit.close();
            assert_eq!(total.join().unwrap(), (ITEMS, ITEMS * (ITEMS - 1) / 2));
        });
    });
}

/// One value offered to four channels: it goes to one of them, and is evaluated once.
#[test]
fn double_select() {
    watchdog(|| {
        const VALUES: usize = rounds(2000);
        let lanes = [(); 4].map(|()| Chan::new(0));
        let merged = Chan::new(0);
        let (working, mut evaluated) = (AtomicUsize::new(4), 0);
        thread::scope(|scope| {
            for lane in &lanes {
                scope.spawn(|| {
                    lane.iter().for_each(|value| merged.send(value));
                    if working.fetch_sub(1, Ordering::AcqRel) == 1 {
                        merged.close();
                    }
                });
            }
            let times = scope.spawn(|| {
                let mut times = vec![0; VALUES];
                merged.iter().for_each(|value: usize| times[value] += 1);
                times
            });
            let mut value = |value| {
                evaluated += 1;
                value
            };
            for i in 0..VALUES {
                select! {
                    send(lanes[0], value(i)) -> () => {}
                    send(lanes[1], value(i)) -> () => {}
                    send(lanes[2], value(i)) -> () => {}
                    send(lanes[3], value(i)) -> () => {}
                }
            }
            lanes.iter().for_each(Chan::close);
            assert!(times.join().unwrap().iter().all(|&times| times == 1), "each value once");
        });
        assert_eq!(evaluated, VALUES);
    });
}

/// A select waits on several channels; of those who could end it at the same moment exactly one does.
#[test]
fn one_of_many_wakers_wins() {
    watchdog(|| {
        struct Here;
        const ROUNDS: usize = rounds(500);
        let channels = [(); 3].map(|()| bounded::<Here>(0));
        let [(_, r0), (_, r1), (_, r2)] = &channels;
        for _ in 0..ROUNDS {
            let go = AtomicUsize::new(0);
            thread::scope(|scope| {
                let got = scope.spawn(|| {
                    select! {
                        recv(r0) -> value => value.map(|_| 0),
                        recv(r1) -> value => value.map(|_| 1),
                        recv(r2) -> value => value.map(|_| 2),
                    }
                });
                wait_for_waiting::<Here>(3);
                let senders = [0, 1].map(|channel| {
                    let (tx, go) = (&channels[channel].0, &go);
                    scope.spawn(move || {
                        go.fetch_add(1, Ordering::SeqCst);
                        (0..1000).take_while(|_| go.load(Ordering::SeqCst) < 2).for_each(|_| hint::spin_loop());
                        tx.try_send(Here).is_ok()
                    })
                });
                let [one, other] = senders.map(|sender| sender.join().unwrap());
                assert!(one != other, "exactly one of two");
                assert_eq!(got.join().unwrap(), Ok(usize::from(other)));
            });
            assert!(waiting::<Here>().is_empty());
        }
    });
}

/// Selects over the same channels, named in different orders, beside plain operations: nobody waits for ever.
#[test]
fn channels_in_any_order() {
    watchdog(|| {
        const EACH: usize = rounds(600);
        let channels: Vec<(Sender<usize>, Receiver<usize>)> = [0, 1, 0, 2].map(bounded).into();
        let (sent, got) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            let mut threads = Vec::new();
            for seed in 0..6 {
                let (channels, sent, got) = (&channels, &sent, &got);
                let mut random = Random::new(seed);
                threads.push(scope.spawn(move || {
                    for i in 0..EACH {
                        let mut order = [0, 1, 2, 3];
                        (1..4).for_each(|k| order.swap(k, random.below(k + 1)));
                        let mut select = Select::new();
                        // Even threads send, odd ones receive: as many as each other.
                        order.iter().for_each(|&c| {
                            if seed % 2 == 0 {
                                select.send(&channels[c].0)
                            } else {
                                select.recv(&channels[c].1)
                            };
                        });
                        let operation = select.select();
                        let (tx, rx) = &channels[order[operation.index()]];
                        if seed % 2 == 0 {
                            operation.send(tx, i).unwrap();
                            sent.fetch_add(i, Ordering::Relaxed);
                        } else {
                            got.fetch_add(operation.recv(rx).unwrap(), Ordering::Relaxed);
                        }
                    }
                }));
            }
        });
        assert_eq!(sent.into_inner(), got.into_inner());
    });
}
