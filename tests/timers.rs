//! after, at, tick: what is delivered, when, how often and to whom; timers in selects; and that they cost nobody else.

mod common;

use common::{PATIENCE, Random, watchdog};
use gochan::{
    Receiver, RecvTimeoutError, Select, TryRecvError, after, at, bounded, never, select, select_biased, tick, unbounded,
};
use std::io::Write;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn sleep_until(moment: Instant) {
    thread::sleep(moment.saturating_duration_since(Instant::now()));
}

/// A moment that has just passed.
fn past() -> Instant {
    let past = Instant::now();
    while Instant::now() == past {}
    past
}

/// Not the moment at which it is received, be it in time or late.
#[test]
fn the_message_is_the_moment_at_which_it_was_due() {
    for late in [ms(0), ms(10)] {
        let earliest = Instant::now() + ms(2);
        let timer = after(ms(2));
        let latest = Instant::now() + ms(2);
        sleep_until(latest + late);
        let due = timer.recv().unwrap();
        assert!(earliest <= due && due <= latest);

        let due = Instant::now() + ms(2);
        let timers = [(); 3].map(|()| at(due));
        sleep_until(due + late);
        assert_eq!(timers[0].recv(), Ok(due));
        assert_eq!(select! { recv(timers[1]) -> got => got }, Ok(due));
        assert_eq!(timers[2].try_recv(), Ok(due));
    }
}

#[test]
fn nothing_comes_early() {
    for microseconds in [0, 1, 60, 1000, 7000] {
        let start = Instant::now();
        let patience = Duration::from_micros(microseconds);
        after(patience).recv().unwrap();
        assert!(start.elapsed() >= patience);
        let due = Instant::now() + patience;
        let got = select! {
            recv(at(due)) -> got => got,
            recv(never::<()>()) -> _ => unreachable!(),
        };
        assert!(got == Ok(due) && Instant::now() >= due);
        let (start, ticker) = (Instant::now(), tick(patience));
        for ticks in 1..=3 {
            ticker.recv().unwrap();
            assert!(start.elapsed() >= patience * ticks);
        }
    }
}

#[test]
fn a_moment_that_has_passed_delivers_at_once() {
    let due = past();
    let timers = [(); 6].map(|()| at(due));
    assert!(timers.iter().all(|timer| timer.len() == 1));
    assert_eq!(timers[0].try_recv(), Ok(due));
    assert_eq!(timers[1].recv(), Ok(due));
    assert_eq!(timers[2].recv_timeout(Duration::ZERO), Ok(due));
    assert_eq!(timers[3].recv_deadline(due), Ok(due));
    assert_eq!(
        select! {
            recv(timers[4]) -> got => got,
            default => unreachable!(),
        },
        Ok(due)
    );
    let mut select = Select::new();
    let index = select.recv(&timers[5]);
    assert_eq!((select.try_ready(), select.ready()), (Ok(index), index));
    assert_eq!(select.try_select().unwrap().recv(&timers[5]), Ok(due));
    assert!(timers.iter().all(|timer| timer.try_recv() == Err(TryRecvError::Empty)));
    assert!(select.try_select().is_err() && select.try_ready().is_err());
}

type Receive = fn(&Receiver<Instant>, Instant) -> Option<Instant>;

/// Many clones, in all ways in which one can receive: one of them does, and the others wait on.
#[test]
fn one_of_many_receives_the_message() {
    watchdog(|| {
        for _ in 0..30 {
            let due = Instant::now() + ms(1);
            let (timer, end) = (at(due), due + ms(1));
            let ways: [Receive; 4] = [
                |timer, end| timer.recv_deadline(end).ok(),
                |timer, end| {
                    select! {
                        recv(timer) -> got => got.ok(),
                        recv(at(end)) -> _ => None,
                        recv(never::<()>()) -> _ => unreachable!(),
                    }
                },
                |timer, end| loop {
                    match timer.try_recv() {
                        Err(TryRecvError::Empty) if Instant::now() < end => {}
                        got => return got.ok(),
                    }
                },
                |timer, end| {
                    let mut select = Select::new();
                    select.recv(timer);
                    select.select_deadline(end).ok().and_then(|operation| operation.recv(timer).ok())
                },
            ];
            let got: Vec<Instant> = thread::scope(|scope| {
                let threads = ways.map(|way| {
                    let timer = timer.clone();
                    scope.spawn(move || way(&timer, end))
                });
                threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
            });
            assert_eq!(got, [due]);
            assert_eq!(timer.try_recv(), Err(TryRecvError::Empty));
        }
    });
}

#[test]
fn ticks_do_not_drift() {
    const PERIOD: Duration = Duration::from_micros(700);
    let earliest = Instant::now() + PERIOD;
    let ticker = tick(PERIOD);
    let latest = Instant::now() + PERIOD;
    let mut random = Random::new(1);
    let mut last = None;
    let mut ticks = ticker.iter();
    let first = ticks.next().unwrap();
    assert!(earliest <= first && first <= latest);
    for tick in ticks.take(40) {
        // A receiver that is slow now and then.
        if random.below(4) == 0 {
            thread::sleep(Duration::from_micros(random.below(2000) as u64));
        }
        assert_eq!((tick - first).as_nanos() % PERIOD.as_nanos(), 0, "a period after the last, or several");
        assert!(last.replace(tick) < Some(tick));
    }
}

/// For a receiver that is too slow the first tick that it missed waits; the others are dropped, and the next one comes
/// when it would have come anyway.
#[test]
fn ticks_are_dropped_for_a_slow_receiver() {
    const PERIOD: Duration = ms(3);
    let ticker = tick(PERIOD);
    let first = ticker.recv().unwrap();
    let taken = Instant::now();
    sleep_until(first + 10 * PERIOD);
    assert_eq!((ticker.len(), ticker.is_full()), (1, true));
    let second = ticker.try_recv().unwrap();
    // The first that was missed: no later than a period after `first` was taken.
    assert!(second <= taken + PERIOD && Instant::now() >= second + 2 * PERIOD);
    // Its followers are gone.
    let third = ticker.recv().unwrap();
    assert!(third >= first + 10 * PERIOD);
    assert_eq!((third - first).as_nanos() % PERIOD.as_nanos(), 0);
}

#[test]
fn clones_share_ticks() {
    watchdog(|| {
        const PERIOD: Duration = Duration::from_micros(300);
        const EACH: usize = 30;
        let ticker = tick(PERIOD);
        let first = ticker.recv().unwrap();
        let mut all: Vec<Instant> = thread::scope(|scope| {
            let threads = [0, 1, 2].map(|thread| {
                let ticker = ticker.clone();
                scope.spawn(move || {
                    let ticks = (0..EACH).map(|_| match thread {
                        0 => ticker.recv().unwrap(),
                        1 => select! { recv(ticker) -> tick => tick.unwrap() },
                        _ => loop {
                            if let Ok(tick) = ticker.try_recv() {
                                break tick;
                            }
                            thread::yield_now();
                        },
                    });
                    ticks.collect::<Vec<_>>()
                })
            });
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 3 * EACH, "each tick once");
        assert!(all.iter().all(|tick| (*tick - first).as_nanos() % PERIOD.as_nanos() == 0));
        // And who takes his clone with him takes nothing from the others.
        drop(ticker.clone());
        assert!(ticker.recv().is_ok());
    });
}

#[test]
fn a_period_of_zero_ticks_at_every_look() {
    let ticker = tick(Duration::ZERO);
    let mut last = None;
    for _ in 0..1000 {
        let tick = ticker.try_recv().unwrap();
        assert!(tick <= Instant::now() && last.replace(tick) <= Some(tick));
    }
    sleep_until(Instant::now() + ms(2));
    let before = Instant::now();
    assert!(ticker.recv().is_ok());
    assert!(ticker.recv().unwrap() >= before, "nothing has piled up");
    assert!(ticker.is_full() && after(Duration::ZERO).recv().is_ok());
}

#[test]
fn beyond_the_clocks_range_nothing_comes() {
    for timer in [after(Duration::MAX), tick(Duration::MAX)] {
        assert_eq!(timer.recv_timeout(ms(5)), Err(RecvTimeoutError::Timeout));
        assert_eq!((timer.try_recv(), timer.len()), (Err(TryRecvError::Empty), 0));
        assert!(timer.same_channel(&never()));
        select! {
            recv(timer) -> _ => unreachable!(),
            default(ms(5)) => {}
        }
    }
    // Within its range, but not within anybody's life.
    for timer in [after(Duration::from_secs(1 << 38)), tick(Duration::from_secs(1 << 38))] {
        assert_eq!(timer.recv_timeout(ms(1)), Err(RecvTimeoutError::Timeout));
    }
}

#[test]
fn a_timer_looks_like_a_channel_of_one() {
    let what = |timer: &Receiver<Instant>| (timer.capacity(), timer.len(), timer.is_empty(), timer.is_full());
    for timer in [after(PATIENCE), tick(PATIENCE)] {
        assert_eq!(what(&timer), (Some(1), 0, true, false));
        assert_eq!(timer.try_recv(), Err(TryRecvError::Empty));
        assert!(!timer.close() && !timer.is_closed(), "it cannot be closed");
    }
    let (once, ticker) = (after(ms(1)), tick(ms(1)));
    thread::sleep(ms(3));
    for timer in [&once, &ticker] {
        assert_eq!(what(timer), (Some(1), 1, false, true));
        assert!(!timer.close() && !timer.is_closed());
        assert!(timer.recv().is_ok());
        assert!(!timer.close());
    }
    assert_eq!(what(&once), (Some(1), 0, true, false));
    assert!(ticker.recv().is_ok());
    let mut got = Vec::new();
    assert_eq!((at(past()).recv_many(&mut got, 5), got.len()), (1, 1));
    assert_eq!(at(past()).try_iter().count(), 1);
    assert_eq!(tick(ms(1)).into_iter().take(3).count(), 3);
}

#[test]
fn timers_are_told_apart() {
    let due = past();
    let (one, other, ticker) = (at(due), at(due), tick(ms(1)));
    assert!(one.same_channel(&one.clone()) && ticker.same_channel(&ticker.clone()));
    assert!(!one.same_channel(&other) && !one.same_channel(&ticker) && !one.same_channel(&never()));
    assert!(!one.same_channel(&bounded(1).1));
    // So is their message: that of a clone, not that of another timer for the same moment.
    assert!(one.clone().try_recv().is_ok() && one.try_recv().is_err() && other.try_recv().is_ok());
}

#[test]
fn a_receive_from_a_timer_may_time_out() {
    watchdog(|| {
        let (timer, start) = (after(PATIENCE), Instant::now());
        assert_eq!(timer.recv_timeout(ms(2)), Err(RecvTimeoutError::Timeout));
        assert!(start.elapsed() >= ms(2));
        assert_eq!(timer.recv_deadline(start + ms(4)), Err(RecvTimeoutError::Timeout));
        assert_eq!(timer.recv_deadline(start), Err(RecvTimeoutError::Timeout));
        let mut select = Select::new();
        select.recv(&timer);
        assert!(select.select_timeout(ms(2)).is_err() && select.ready_deadline(start + ms(8)).is_err());
        assert!(start.elapsed() >= ms(8));
        // What comes first ends it.
        let due = Instant::now() + ms(2);
        let timer = at(due);
        assert_eq!(timer.recv_timeout(PATIENCE), Ok(due));
        assert!(start.elapsed() < PATIENCE / 2);
        assert_eq!(timer.recv_timeout(ms(2)), Err(RecvTimeoutError::Timeout));
        assert_eq!(after(ms(1)).recv_timeout(Duration::MAX).map(drop), Ok(()));
        // At a deadline that is the timer's moment there is a message.
        let due = Instant::now() + ms(1);
        assert_eq!(at(due).recv_deadline(due), Ok(due));
        let timer = at(due);
        let mut select = Select::new();
        select.recv(&timer);
        assert_eq!(select.select_deadline(due).unwrap().recv(&timer), Ok(due));
    });
}

/// Deadlines in no order.
const SLOTS: [u32; 8] = [5, 1, 7, 0, 3, 6, 2, 4];

/// Whoever wakes up late finds several due: so several attempts, each slower than the last.
fn in_order(mut order: impl FnMut(Instant, Duration) -> Vec<u32>) {
    let mut orders = Vec::new();
    for attempt in 1..=15 {
        let order = order(Instant::now() + ms(2), ms(2) * attempt);
        if order.is_sorted() {
            assert_eq!(order.len(), SLOTS.len());
            return;
        }
        orders.push(order);
    }
    panic!("never in order: {orders:?}");
}

#[test]
fn timers_fire_in_the_order_of_their_deadlines() {
    watchdog(|| {
        in_order(|start, gap| {
            let timers = SLOTS.map(|slot| at(start + gap * slot));
            let mut select = Select::new();
            timers.iter().for_each(|timer| _ = select.recv(timer));
            let fire = |_| {
                let operation = select.select();
                let index = operation.index();
                let due = operation.recv(&timers[index]).unwrap();
                assert!(due == start + gap * SLOTS[index] && due <= Instant::now());
                SLOTS[index]
            };
            (0..SLOTS.len()).map(fire).collect()
        });
        // A thread for each.
        in_order(|start, gap| {
            let (tx, fired) = unbounded();
            for slot in SLOTS {
                let tx = tx.clone();
                thread::spawn(move || {
                    at(start + gap * slot).recv().unwrap();
                    tx.send(slot).unwrap();
                });
            }
            drop(tx);
            fired.iter().collect()
        });
    });
}

/// Of those that are due a biased select takes the first in its list.
#[test]
fn a_biased_select_takes_the_first_that_is_due() {
    let due = past();
    let (first, second, (tx, rx)) = (at(due), at(due), bounded(1));
    tx.send(()).unwrap();
    let take = || {
        select_biased! {
            recv(after(ms(1000))) -> _ => 0,
            recv(first) -> _ => 1,
            recv(rx) -> _ => 2,
            recv(second) -> _ => 3,
            default => 4,
        }
    };
    assert_eq!([(); 4].map(|()| take()), [1, 2, 3, 4]);
}

/// A select on two channels of which one always has something, the other often, sees a timer all the same.
#[test]
fn busy_channels_do_not_starve_a_timer() {
    watchdog(|| {
        // Each time all three are possible it is chosen with a probability of a third, or more: never as rare as this.
        const UNLUCKY: usize = 200;
        let (closed, (busy_tx, busy)) = (bounded::<()>(0).1, bounded::<()>(0));
        thread::scope(|scope| {
            scope.spawn(|| while busy_tx.send(()).is_ok() {});
            for _ in 0..20 {
                let timer = after(ms(1));
                let mut passed_over = 0;
                loop {
                    let is_due = timer.len() == 1;
                    select! {
                        recv(closed) -> _ => {}
                        recv(busy) -> got => got.unwrap(),
                        recv(timer) -> due => {
                            assert!(due.unwrap() <= Instant::now());
                            break;
                        }
                    }
                    passed_over += usize::from(is_due);
                    assert!(passed_over < UNLUCKY, "it is due, and is not looked at");
                }
            }
            busy.close();
        });
    });
}

/// Threads that hand values to each other all the time, and one that waits for a timer beside one of their channels.
#[test]
fn busy_threads_do_not_starve_a_timer() {
    watchdog(|| {
        let ((ping_tx, ping), (pong_tx, pong)) = (bounded::<u32>(0), bounded::<u32>(0));
        thread::scope(|scope| {
            scope.spawn(|| ping.iter().try_for_each(|i| pong_tx.send(i)));
            let mut timers = 0;
            let mut timer = after(ms(1));
            let mut rounds = 0;
            while timers < 10 {
                ping_tx.send(rounds).unwrap();
                select! {
                    recv(pong) -> got => {
                        assert_eq!(got, Ok(rounds));
                        rounds += 1;
                    }
                    recv(timer) -> due => {
                        assert!(due.unwrap() <= Instant::now());
                        timers += 1;
                        timer = after(ms(1));
                        assert_eq!(pong.recv(), Ok(rounds));
                        rounds += 1;
                    }
                }
            }
            pong.close();
            ping.close();
            assert!(rounds > 10);
        });
    });
}

/// The earliest of many timers ends a select's wait, wherever it stands.
#[test]
fn the_earliest_timer_ends_the_wait() {
    watchdog(|| {
        let (later, start) = (after(Duration::from_secs(3600)), Instant::now());
        let (_tx, rx) = bounded::<()>(0);
        select! {
            recv(later) -> _ => unreachable!(),
            recv(rx) -> _ => unreachable!(),
            recv(after(ms(2))) -> due => assert!(due.unwrap() >= start + ms(2)),
            recv(tick(PATIENCE)) -> _ => unreachable!(),
            default(PATIENCE) => unreachable!(),
        }
        let soon = after(ms(2));
        let mut select = Select::new();
        let _ = (select.recv(&later), select.recv(&rx));
        let index = select.recv(&soon);
        assert_eq!(select.ready(), index);
        assert_eq!(select.ready_timeout(PATIENCE), Ok(index), "nothing was taken");
        assert!(soon.try_recv().is_ok() && start.elapsed() < PATIENCE / 2);
    });
}

/// A channel has a value until a timer is due, and the timer is due from then on: default is never taken.
#[test]
#[cfg_attr(miri, ignore = "measures time")]
fn default_is_exact_with_timers_too() {
    watchdog(|| {
        let (_keep, empty) = bounded::<()>(1);
        let wrong = AtomicUsize::new(0);
        for round in 0..1500 {
            let (tx, rx) = bounded(1);
            tx.send(()).unwrap();
            let due = Instant::now() + Duration::from_micros(300);
            let timer = at(due);
            thread::scope(|scope| {
                scope.spawn(|| {
                    while Instant::now() < due {}
                    let _ = rx.try_recv();
                });
                // The many in between give the value time to go when the timer has been looked at.
                let mut select = Select::new_biased();
                select.recv(&timer);
                (0..500).for_each(|_| _ = select.recv(&empty));
                select.recv(&rx);
                let lead = Duration::from_nanos(round * 7919 % 40_000);
                while Instant::now() + lead < due {}
                match select.try_select() {
                    Err(_) => _ = wrong.fetch_add(1, Ordering::Relaxed),
                    Ok(operation) if operation.index() == 0 => assert_eq!(operation.recv(&timer), Ok(due)),
                    Ok(operation) => operation.recv(&rx).unwrap(),
                }
            });
        }
        assert_eq!(wrong.into_inner(), 0, "default, though there was something at every moment");
    });
}

/// A message that was selected is gone, like a tick, also if its operation is not finished: it was there to be waited for,
/// and nobody could be told that it is there again.
#[test]
fn an_operation_that_is_dropped_has_taken_its_message() {
    let timer = at(past());
    let mut select = Select::new();
    select.recv(&timer);
    drop(select.select());
    assert_eq!((timer.try_recv(), timer.len()), (Err(TryRecvError::Empty), 0));

    let ticker = tick(ms(1));
    let mut select = Select::new();
    select.recv(&ticker);
    let first = ticker.recv().unwrap();
    drop(select.select());
    assert!(ticker.recv().unwrap() >= first + ms(2));
}

/// Runs `test`, a test of this file, in a process in which nothing else runs.
fn alone(name: &str, test: impl FnOnce()) {
    const ALONE: &str = "GOCHAN_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return test();
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    let output = child.args([name, "--exact", "--test-threads=1", "--nocapture"]).env(ALONE, "1").output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("1 passed"), "{out}{err}");
    // Past the test harness, which would keep it to itself.
    let _ = write!(std::io::stderr(), "{err}");
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "counts tasks in /proc")]
#[cfg_attr(miri, ignore = "starts a process")]
fn no_thread_is_started() {
    alone("no_thread_is_started", || {
        let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
        let before = threads();
        // The first channel of a process may have a thread ask the system for something, which takes some 10 ms.
        drop(bounded::<()>(0));
        common::wait_until(|| threads() == before);
        let waiting: Vec<_> =
            (0..1000).map(|i| if i % 2 == 0 { after(ms(3_600_000)) } else { tick(ms(3_600_000)) }).collect();
        let soon = [after(ms(1)), at(Instant::now() + ms(2)), tick(ms(3))];
        assert_eq!(threads(), before);
        soon.iter().for_each(|timer| assert!(timer.recv().is_ok()));
        select! {
            recv(waiting[0]) -> _ => unreachable!(),
            recv(soon[2]) -> tick => assert!(tick.is_ok()),
            recv(after(ms(100))) -> _ => {}
        }
        assert_eq!(threads(), before);
        drop((waiting, soon));
        // A thread is seen.
        let (quit, quitting) = bounded::<()>(0);
        let thread = thread::spawn(move || quitting.recv());
        assert_eq!(threads(), before + 1);
        drop(quit);
        assert!(thread.join().unwrap().is_err());
    });
}

#[test]
#[cfg_attr(miri, ignore = "starts a process")]
fn how_late_a_timer_is() {
    alone("how_late_a_timer_is", || {
        let mut late: Vec<Duration> =
            (0..400).map(|_| after(Duration::from_micros(50)).recv().unwrap().elapsed()).collect();
        late.sort_unstable();
        let (p50, p99) = (late[200], late[396]);
        let _ = writeln!(std::io::stderr(), "a receive from after(50 us) ends {p50:.1?} late (p50), {p99:.1?} (p99)");
        assert!(p50 < ms(5));
    });
}
