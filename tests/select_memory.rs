//! What select and timers allocate, counted by the allocator per thread; and what a million timers cost.

mod common;

use common::alloc::{Counting, allocations, allocations_of, live_bytes};
use common::{wait_until, waiting, watchdog};
use gochan::{Receiver, Select, Sender, after, bounded, never, select, select_biased, tick, unbounded};
use std::io::Write;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The largest value for which a list needs no memory.
type Largest = [u64; 8];

/// Two threads that select, a hundred thousand times and once more: the second time takes no memory at all.
#[test]
fn selects_take_no_more_memory_the_longer_they_go_on() {
    watchdog(|| {
        const SELECTS: u64 = if cfg!(miri) { 50 } else { 100_000 };
        fn steady(mut run: impl FnMut()) -> (usize, isize) {
            run();
            let before = (allocations(), live_bytes());
            run();
            (allocations() - before.0, live_bytes() - before.1)
        }
        let ((tx, rx), (tx2, rx2)) = (bounded(0), bounded(1));
        let (_quit, quitting) = bounded::<()>(0);
        thread::scope(|scope| {
            let sender = scope.spawn(|| {
                steady(|| {
                    for i in 0..SELECTS {
                        select! {
                            send(tx, i) -> sent => sent.unwrap(),
                            send(tx2, i) -> sent => sent.unwrap(),
                            recv(quitting) -> _ => unreachable!(),
                        }
                    }
                })
            });
            let receiver = scope.spawn(|| {
                steady(|| {
                    for _ in 0..SELECTS {
                        select! {
                            recv(rx2) -> got => assert!(got.unwrap() < SELECTS),
                            recv(quitting) -> _ => unreachable!(),
                            recv(rx) -> got => assert!(got.unwrap() < SELECTS),
                        }
                    }
                })
            });
            assert_eq!((sender.join().unwrap(), receiver.join().unwrap()), ((0, 0), (0, 0)));
        });
    });
}

#[test]
fn the_macro_allocates_nothing() {
    let (tx, rx) = bounded::<[u8; 4096]>(1);
    let ((large, large_rx), nil) = (unbounded::<Largest>(), never::<String>());
    assert_eq!(
        allocations_of(|| {
            for _ in 0..100 {
                select! {
                    send(tx, [1; 4096]) -> sent => sent.unwrap(),
                    recv(nil) -> _ => unreachable!(),
                }
                select! { send(large, [2; 8]) -> sent => sent.unwrap() }
                for _ in 0..2 {
                    select! {
                        recv(nil) -> _ => unreachable!(),
                        recv(rx) -> got => assert_eq!(got.unwrap()[4095], 1),
                        recv(large_rx) -> got => assert_eq!(got, Ok([2; 8])),
                    }
                }
                select_biased! {
                    recv(rx) -> _ => unreachable!(),
                    recv(large_rx) -> _ => unreachable!(),
                    default => {}
                }
                select! {
                    recv(rx) -> _ => unreachable!(),
                    recv(large_rx) -> _ => unreachable!(),
                    default(Duration::from_micros(10)) => {}
                }
            }
        }),
        0
    );
}

/// Sixteen channels, each in both directions.
fn sixteen() -> Vec<(Sender<Largest>, Receiver<Largest>)> {
    (0..16).map(|_| bounded(1)).collect()
}

#[test]
fn a_macro_of_sixteen_cases_allocates_nothing() {
    let channels = sixteen();
    let rx = |i: usize| &channels[i].1;
    let one_of_16 = |timeout| {
        select! {
            recv(rx(0)) -> got => Some(got), recv(rx(1)) -> got => Some(got),
            recv(rx(2)) -> got => Some(got), recv(rx(3)) -> got => Some(got),
            recv(rx(4)) -> got => Some(got), recv(rx(5)) -> got => Some(got),
            recv(rx(6)) -> got => Some(got), recv(rx(7)) -> got => Some(got),
            recv(rx(8)) -> got => Some(got), recv(rx(9)) -> got => Some(got),
            recv(rx(10)) -> got => Some(got), recv(rx(11)) -> got => Some(got),
            recv(rx(12)) -> got => Some(got), recv(rx(13)) -> got => Some(got),
            recv(rx(14)) -> got => Some(got), recv(rx(15)) -> got => Some(got),
            default(timeout) => None,
        }
    };
    assert_eq!(
        allocations_of(|| {
            for (i, (tx, _)) in channels.iter().enumerate() {
                tx.send([i as u64; 8]).unwrap();
                assert_eq!(one_of_16(Duration::MAX), Some(Ok([i as u64; 8])));
                assert_eq!(one_of_16(Duration::from_micros(i as u64)), None);
            }
        }),
        0
    );
}

#[test]
fn a_list_that_is_awaited_allocates_nothing() {
    let channels = sixteen();
    let value = [7; 8];
    let mut cx = Context::from_waker(Waker::noop());
    assert_eq!(
        allocations_of(|| {
            let mut select = Select::new();
            channels.iter().for_each(|(_, rx)| _ = select.recv(rx));
            let mut waits = pin!(select.select_async());
            assert!(waits.as_mut().poll(&mut cx).is_pending());
            channels[5].0.try_send(value).unwrap();
            let Poll::Ready(operation) = waits.as_mut().poll(&mut cx) else { panic!("it has come") };
            assert_eq!(operation.recv(&channels[5].1), Ok(value));
        }),
        0
    );
}

#[test]
fn a_list_of_sixteen_allocates_nothing() {
    let channels = sixteen();
    assert_eq!(
        allocations_of(|| {
            for (i, (tx, rx)) in channels.iter().enumerate() {
                // Eight of either direction; the senders' buffers are full.
                let (senders, receivers) = if i < 8 { (8..16, 0..8) } else { (0..8, 8..16) };
                for (tx, _) in &channels[senders.clone()] {
                    tx.send([0; 8]).unwrap();
                }
                let mut select = Select::new();
                channels[senders.clone()].iter().for_each(|(tx, _)| _ = select.send(tx));
                channels[receivers].iter().for_each(|(_, rx)| _ = select.recv(rx));
                assert!(select.try_select().is_err() && select.try_ready().is_err());
                assert!(select.select_timeout(Duration::from_micros(10)).is_err());
                assert!(select.ready_timeout(Duration::from_micros(10)).is_err());
                tx.send([i as u64; 8]).unwrap();
                let mut again = select.clone();
                assert_eq!(again.ready(), select.ready());
                assert_eq!(again.select().recv(rx), Ok([i as u64; 8]));
                for (_, rx) in &channels[senders] {
                    assert_eq!(rx.recv(), Ok([0; 8]));
                }
            }
        }),
        0
    );
}

/// What `select`, which waits, and `wake`, which must find it asleep, allocate together after the first time.
fn allocations_of_parking<T>(select: impl Fn() + Sync, wake: impl Fn() -> bool) -> usize {
    const ROUNDS: usize = 50;
    // A receive that meets the select sleeps until it has its value; a thread that sleeps for the first time is noted down.
    let (_tx, rx) = bounded::<()>(0);
    assert!(rx.recv_timeout(Duration::from_millis(1)).is_err());
    thread::scope(|scope| {
        let selecting = scope.spawn(|| {
            // The first sleep makes the channels known to who asks for waiters, and the thread its handle.
            select();
            let before = allocations();
            (0..ROUNDS).for_each(|_| select());
            allocations() - before
        });
        let mut waking = 0;
        for _ in 0..=ROUNDS {
            wait_until(|| waiting::<T>().iter().any(|waiting| waiting.asleep_for.is_some()));
            let before = allocations();
            // Where it has just been woken it may still be in its queues; then it is not met.
            while !wake() {
                thread::yield_now();
            }
            waking += allocations() - before;
        }
        waking + selecting.join().unwrap()
    })
}

#[test]
fn parking_in_a_select_allocates_nothing() {
    watchdog(|| {
        struct Here([u64; 7]);
        let channels: Vec<_> = (0..16).map(|_| bounded::<Here>(0)).collect();
        let [(tx0, rx0), (tx1, rx1), ..] = &channels[..] else { unreachable!() };
        let by_macro = || {
            select! {
                recv(rx0) -> got => assert_eq!(got.unwrap().0, [7; 7]),
                send(tx1, Here([8; 7])) -> sent => assert!(sent.is_ok()),
                recv(after(Duration::MAX)) -> _ => unreachable!(),
            }
        };
        let received = || rx1.try_recv().is_ok_and(|here| here.0 == [8; 7]);
        assert_eq!(allocations_of_parking::<Here>(by_macro, || tx0.try_send(Here([7; 7])).is_ok()), 0);
        assert_eq!(allocations_of_parking::<Here>(by_macro, received), 0);
        // Sixteen: eight of either direction.
        let by_list = || {
            let mut select = Select::new();
            channels[..8].iter().for_each(|(_, rx)| _ = select.recv(rx));
            channels[8..].iter().for_each(|(tx, _)| _ = select.send(tx));
            let operation = select.select();
            match operation.index() {
                i @ ..8 => assert_eq!(operation.recv(&channels[i].1).unwrap().0, [i as u64; 7]),
                i => assert!(operation.send(&channels[i].0, Here([i as u64; 7])).is_ok()),
            }
        };
        let received = || channels[15].1.try_recv().is_ok_and(|here| here.0 == [15; 7]);
        assert_eq!(allocations_of_parking::<Here>(by_list, || channels[5].0.try_send(Here([5; 7])).is_ok()), 0);
        assert_eq!(allocations_of_parking::<Here>(by_list, received), 0);
    });
}

#[test]
fn larger_values_allocate_once_per_list() {
    let (tx, rx) = unbounded::<[u64; 9]>();
    let (_tx, small) = bounded::<u8>(0);
    let send = |times: u64| (0..times).for_each(|i| tx.send([i; 9]).unwrap());
    let run = |times: u64| {
        let before = allocations();
        let mut select = Select::new();
        let receive = select.recv(&rx);
        select.recv(&small);
        for i in 0..times {
            let operation = select.select();
            assert_eq!((operation.index(), operation.recv(&rx)), (receive, Ok([i; 9])));
            assert!(rx.len() as u64 == times - i - 1);
        }
        allocations() - before
    };
    let counts = [1, 1000].map(|times| {
        send(times);
        run(times)
    });
    assert!((1..=2).contains(&counts[0]) && counts[0] == counts[1], "{counts:?}: for its room, and none per selection");

    // It is given back.
    let before = live_bytes();
    let mut select = Select::new();
    select.recv(&rx);
    assert!(select.try_select().is_err() && live_bytes() >= before + 72);
    drop(select);
    assert_eq!(live_bytes(), before);
    // Of two operations that were selected, each has room of its own.
    send(2);
    let mut select = Select::new();
    select.recv(&rx);
    let (first, second) = (select.select(), select.select());
    assert_eq!((second.recv(&rx), first.recv(&rx)), (Ok([1; 9]), Ok([0; 9])));
}

/// A list that is added to gets another room if its own is too small, or not aligned enough, and keeps that.
#[test]
fn a_room_that_does_not_do_is_replaced() {
    #[repr(align(64))]
    #[allow(dead_code, reason = "what it needs is looked at")]
    struct Line(u8);
    let ((_tx, line), (_tx2, rx)) = (bounded::<Line>(0), bounded::<[u64; 9]>(0));
    let ((_tx3, larger), (_tx4, smaller)) = (bounded::<[u64; 96]>(0), bounded::<u8>(0));
    let made = |list: &mut Select<'_>| {
        let mut once = || {
            let before = allocations();
            assert!(list.try_select().is_err());
            allocations() > before
        };
        (once(), once())
    };
    // What a thread's first selection allocates.
    let mut list = Select::new();
    list.recv(&smaller);
    made(&mut list);
    assert_eq!(made(&mut list), (false, false), "small");
    let mut list = Select::new();
    list.recv(&rx);
    assert_eq!(made(&mut list), (true, false), "larger than what has a place on the stack");
    list.recv(&larger);
    assert_eq!(made(&mut list), (true, false), "larger");
    list.recv(&smaller);
    assert_eq!(made(&mut list), (false, false), "smaller");
    list.recv(&line);
    assert_eq!(made(&mut list), (true, false), "aligned more");
    let mut list = Select::new();
    list.recv(&line);
    assert_eq!(made(&mut list), (true, false), "small, but aligned more than a place on the stack");
}

#[test]
fn timers_in_a_select_allocate_only_what_they_are() {
    let ticker = tick(Duration::from_micros(20));
    let nil = never::<u8>();
    let waits = || {
        for _ in 0..10 {
            select! {
                recv(nil) -> _ => unreachable!(),
                recv(ticker) -> tick => assert!(tick.is_ok()),
            }
        }
    };
    assert_eq!(allocations_of(waits), 0);
    let one = || {
        select! {
            recv(nil) -> _ => unreachable!(),
            recv(after(Duration::from_micros(20))) -> due => assert!(due.is_ok()),
        }
    };
    assert_eq!(allocations_of(one), 1);
    let before = live_bytes();
    one();
    assert_eq!(live_bytes(), before);
}

/// The time for 200,000 values through a channel: the least of several.
fn time_of_work() -> Duration {
    let (tx, rx) = bounded(64);
    let times = (0..7).map(|_| {
        let start = Instant::now();
        for i in 0..200_000 {
            tx.send(i).unwrap();
            assert_eq!(rx.recv(), Ok(i));
        }
        start.elapsed()
    });
    times.min().expect("seven")
}

/// A million timers that are not due for an hour: made, there, and dropped, they slow nothing down.
#[test]
#[cfg_attr(miri, ignore = "a million")]
fn a_million_timers() {
    const TIMERS: u32 = 1_000_000;
    const HOUR: Duration = Duration::from_secs(3600);
    let alone = time_of_work();
    // What a thread keeps that has slept once is no timer's.
    after(Duration::from_micros(50)).recv().unwrap();
    let mut timers = Vec::with_capacity(TIMERS as usize);
    let before = live_bytes();
    let start = Instant::now();
    timers.extend((0..TIMERS).map(|_| after(HOUR)));
    let made = start.elapsed() / TIMERS;
    let bytes = (live_bytes() - before) / TIMERS as isize;
    let beside = time_of_work();
    let soon = after(Duration::from_micros(50)).recv().unwrap();
    let late = soon.elapsed();
    assert!(timers.iter().step_by(1000).all(Receiver::is_empty));
    let start = Instant::now();
    drop(timers);
    let dropped = start.elapsed() / TIMERS;
    assert_eq!(live_bytes(), before - (TIMERS as usize * size_of::<Receiver<Instant>>()) as isize);
    // Past the test harness, which would keep it to itself.
    let _ = writeln!(
        std::io::stderr(),
        "a million timers: {bytes} bytes each, made in {made:?} and dropped in {dropped:?} each; beside them a channel \
         takes {:.2} times as long, and one more fired {late:?} late",
        beside.as_secs_f64() / alone.as_secs_f64(),
    );
    assert!((1..=128).contains(&bytes));
    assert!(beside < 5 * alone + Duration::from_millis(50), "{alone:?} alone, {beside:?} beside timers");
}
