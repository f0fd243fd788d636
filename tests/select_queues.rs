//! The places of a select in the queues of its channels: what wakes it, and that a case which lost leaves nothing behind, in
//! order and at little cost.

mod common;

use common::future::{at_once, queued};
use common::{A_MOMENT, wait_for_waiting, wait_until, waiting, watchdog};
use futures_executor::block_on;
use gochan::{Chan, Select, Sender, bounded, never, select};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

/// Somebody else unparks the thread of a select that waits, again and again: only a case ends it.
#[test]
fn stray_wake_ups_do_not_end_a_select() {
    watchdog(|| {
        struct Here;
        let (tx, rx) = bounded::<Here>(0);
        thread::scope(|scope| {
            let selecting = scope.spawn(|| {
                select! {
                    recv(rx) -> got => got.is_ok(),
                    recv(never::<u8>()) -> _ => unreachable!(),
                    send(Sender::never(), 1) -> _ => unreachable!(),
                }
            });
            wait_for_waiting::<Here>(1);
            for _ in 0..100 {
                selecting.thread().unpark();
                thread::yield_now();
                assert!(!selecting.is_finished());
            }
            assert_eq!(waiting::<Here>().len(), 1, "it is in its queue");
            assert!(tx.try_send(Here).is_ok());
            assert!(selecting.join().unwrap());
        });
    });
}

/// The place of a select among five that wait: first, in the middle, last.
const PLACES: [usize; 3] = [0, 2, 4];

/// A receiving case that lost elsewhere leaves its queue; the others are served in their order.
#[test]
fn a_receiving_case_that_lost_leaves_the_others_in_order() {
    watchdog(|| {
        struct Here(usize);
        for place in PLACES {
            let ((tx, rx), (other, other_rx)) = (bounded::<Here>(0), bounded::<()>(0));
            thread::scope(|scope| {
                let mut threads = Vec::new();
                for i in 0..5 {
                    let (rx, other_rx) = (&rx, &other_rx);
                    threads.push(scope.spawn(move || {
                        if i == place {
                            select! {
                                recv(rx) -> _ => unreachable!(),
                                recv(other_rx) -> told => told.map(|()| usize::MAX),
                            }
                        } else {
                            rx.recv().map(|here| here.0)
                        }
                    }));
                    wait_for_waiting::<Here>(i + 1);
                }
                other.send(()).unwrap();
                assert_eq!(threads.remove(place).join().unwrap(), Ok(usize::MAX));
                assert_eq!(waiting::<Here>().len(), 4);
                for (i, thread) in threads.into_iter().enumerate() {
                    assert!(tx.try_send(Here(i)).is_ok());
                    assert_eq!(thread.join().unwrap(), Ok(i));
                }
            });
        }
    });
}

/// A sending case likewise.
#[test]
fn a_sending_case_that_lost_leaves_the_others_in_order() {
    watchdog(|| {
        struct Here(usize);
        for (place, cap) in PLACES.into_iter().flat_map(|place| [(place, 0), (place, 1)]) {
            let ((tx, rx), (other, other_rx)) = (bounded::<Here>(cap), bounded::<()>(0));
            (0..cap).for_each(|_| assert!(tx.send(Here(9)).is_ok()));
            thread::scope(|scope| {
                for i in 0..5 {
                    let (tx, other_rx) = (&tx, &other_rx);
                    scope.spawn(move || {
                        if i == place {
                            select! {
                                send(tx, Here(i)) -> _ => unreachable!(),
                                recv(other_rx) -> told => told.unwrap(),
                            }
                        } else {
                            assert!(tx.send(Here(i)).is_ok());
                        }
                    });
                    wait_for_waiting::<Here>(i + 1);
                }
                other.send(()).unwrap();
                wait_for_waiting::<Here>(4);
                let got = rx.iter().take(cap + 4).map(|here| here.0);
                let others = (0..5).filter(|i| *i != place);
                assert!(got.eq(std::iter::repeat_n(9, cap).chain(others)));
            });
        }
    });
}

/// A select that names a channel several times, in one or both directions, leaves it altogether when another case
/// fires, and who came behind it is served.
/// Two values are selected and given back, in either order: they are received in the order in which they were handed out,
/// whoever the sender was.
#[test]
fn values_that_are_given_back_come_in_order() {
    watchdog(|| {
        struct Here(u32);
        let (tx, rx) = bounded::<Here>(0);
        let nothing = never::<u8>();
        for (way, order) in (0..5).flat_map(|way| [(way, [0, 1]), (way, [1, 0])]) {
            thread::scope(|scope| {
                let mut lists = [Select::new(), Select::new()];
                for list in &mut lists {
                    list.recv(&rx);
                    list.recv(&nothing);
                }
                let (tx, rx, nothing) = (&tx, &rx, &nothing);
                for value in [1, 2].into_iter().take(if way < 4 { 2 } else { 0 }) {
                    // A sender that waits, or a select that has no message yet.
                    scope.spawn(move || {
                        if way < 2 {
                            assert!(tx.send(Here(value)).is_ok());
                        } else {
                            select! {
                                send(tx, Here(value)) -> sent => assert!(sent.is_ok()),
                                recv(nothing) -> _ => unreachable!(),
                            }
                        }
                    });
                    wait_for_waiting::<Here>(value as usize);
                }
                let mut selected = match way {
                    0 | 2 => lists.each_mut().map(|list| Some(list.select())),
                    1 | 3 => lists.each_mut().map(|list| Some(block_on(list.select_async()))),
                    // Or one that comes later.
                    _ => {
                        let selects = lists.each_mut().map(|list| queued(list.select_async()));
                        [1, 2].into_iter().for_each(|value| assert!(tx.try_send(Here(value)).is_ok()));
                        selects.map(|select| Some(at_once(select)))
                    }
                };
                order.into_iter().for_each(|i| selected[i] = None);
                assert_eq!([(); 2].map(|()| rx.try_recv().map(|here| here.0)), [Ok(1), Ok(2)], "{way}, {order:?}");
            });
        }
    });
}

#[test]
fn duplicate_channel() {
    watchdog(|| {
        #[derive(Debug, PartialEq)]
        struct Here(u32);
        type Form = fn(&Chan<Here>, &Chan<u32>) -> Option<u32>;
        let (chan, other) = (Chan::new(0), Chan::new(0));
        let forms: [Form; 3] = [
            |chan, other| {
                select! {
                    recv(chan) -> _ => unreachable!(),
                    recv(chan) -> _ => unreachable!(),
                    recv(other) -> got => got,
                }
            },
            |chan, other| {
                select! {
                    recv(chan) -> _ => unreachable!(),
                    recv(other) -> got => got,
                    recv(chan) -> _ => unreachable!(),
                    send(chan, Here(0)) -> () => unreachable!(),
                }
            },
            |chan, other| {
                let mut select = Select::new();
                (0..20).for_each(|_| _ = select.recv(chan.as_receiver()));
                let is_told = select.recv(other.as_receiver());
                let operation = select.select();
                assert_eq!(operation.index(), is_told);
                operation.recv(other.as_receiver()).ok()
            },
        ];
        for (form, places) in forms.into_iter().zip([2, 3, 20]) {
            thread::scope(|scope| {
                let selecting = scope.spawn(|| form(&chan, &other));
                wait_for_waiting::<Here>(places);
                // With an offer to send in the queue a plain receive would meet it.
                let behind = (places != 3).then(|| {
                    let behind = scope.spawn(|| chan.recv());
                    wait_for_waiting::<Here>(places + 1);
                    behind
                });
                other.send(7);
                assert_eq!(selecting.join().unwrap(), Some(7));
                wait_for_waiting::<Here>(usize::from(behind.is_some()));
                if let Some(behind) = behind {
                    chan.send(Here(8));
                    assert_eq!(behind.join().unwrap(), Some(Here(8)));
                }
            });
        }
    });
}

/// Many selects that name one channel three times are all released by its close, and leave nothing there.
#[test]
fn close_releases_selects_that_name_a_channel_several_times() {
    watchdog(|| {
        struct Here;
        for _ in 0..20 {
            let chan = Chan::<Here>::new(0);
            thread::scope(|scope| {
                let threads = [(); 10].map(|()| {
                    scope.spawn(|| {
                        select! {
                            recv(chan) -> got => got.is_none(),
                            recv(chan) -> got => got.is_none(),
                            recv(chan) -> got => got.is_none(),
                        }
                    })
                });
                wait_for_waiting::<Here>(30);
                chan.close();
                assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
            });
            assert!(waiting::<Here>().is_empty());
        }
    });
}

/// One select that would send and receive on the same channel does not meet itself; others meet either side of it.
#[test]
fn a_select_does_not_meet_itself() {
    watchdog(|| {
        struct Here(u32);
        let (tx, rx) = bounded::<Here>(0);
        let both = || {
            select! {
                send(tx, Here(1)) -> sent => sent.map_or(0, |()| 1),
                recv(rx) -> got => got.map_or(0, |here| here.0),
            }
        };
        let sleeps = || waiting::<Here>().iter().filter(|waiting| waiting.asleep_for >= Some(A_MOMENT)).count() == 2;
        for sending in [true, false] {
            thread::scope(|scope| {
                let selecting = scope.spawn(both);
                wait_until(sleeps);
                assert!(!selecting.is_finished());
                if sending {
                    assert!(tx.try_send(Here(2)).is_ok());
                } else {
                    assert_eq!(rx.try_recv().map(|here| here.0).ok(), Some(1));
                }
                assert_eq!(selecting.join().unwrap(), if sending { 2 } else { 1 });
            });
            assert!(waiting::<Here>().is_empty());
        }
        select! {
            send(tx, Here(1)) -> _ => unreachable!(),
            recv(rx) -> _ => unreachable!(),
            default => {}
        }
    });
}

/// The time that `f` takes, undisturbed: the lesser of two.
fn time(mut f: impl FnMut()) -> Duration {
    let times = [(); 2].map(|()| {
        let start = Instant::now();
        f();
        start.elapsed()
    });
    times.into_iter().min().expect("two")
}

/// Twice as much must take less than three times as long. Others may disturb: several attempts.
fn assert_linear(what: &str, time_for: impl Fn(usize) -> Duration, n: usize) {
    let mut ratios = Vec::new();
    for _ in 0..6 {
        let (once, twice) = (time_for(n), time_for(2 * n));
        if twice < 3 * once {
            return;
        }
        ratios.push(twice.as_secs_f64() / once.as_secs_f64());
    }
    panic!("{what}: twice as much takes {ratios:.1?} times as long");
}

/// One select names a popular channel `n` times, behind another one that does and waits on; it gives up, and leaving
/// takes the same time however many others wait.
#[test]
#[cfg_attr(miri, ignore = "measures time")]
fn leaving_a_popular_channel_takes_linear_time() {
    watchdog(|| {
        struct Here;
        let time_for = |n: usize| {
            let ((_tx, popular), (stop, stopped)) = (bounded::<Here>(0), bounded::<()>(0));
            let listed = || {
                let mut select = Select::new();
                (0..n).for_each(|_| _ = select.recv(&popular));
                select
            };
            thread::scope(|scope| {
                scope.spawn(|| {
                    let mut select = listed();
                    let stopped_at = select.recv(&stopped);
                    let operation = select.select();
                    assert_eq!(operation.index(), stopped_at);
                    assert!(operation.recv(&stopped).is_err());
                });
                wait_for_waiting::<Here>(n);
                let mut select = listed();
                let took = time(|| assert!(select.select_timeout(Duration::from_millis(2)).is_err()));
                stop.close();
                took
            })
        };
        assert_linear("leaving a popular channel", time_for, 20_000);
    });
}

/// `n` threads that each select on one popular channel and one of their own, woken by their own, again and again.
#[test]
#[cfg_attr(miri, ignore = "measures time")]
fn waking_who_waits_on_a_popular_channel_takes_linear_time() {
    watchdog(|| {
        const TURNS: usize = 5;
        let time_for = |n: usize| {
            let (nobody_sends, popular) = bounded::<()>(0);
            let (done, all_done) = bounded(n);
            let took = Mutex::new(Duration::MAX);
            thread::scope(|scope| {
                let own: Vec<Sender<()>> = (0..n)
                    .map(|_| {
                        let (tx, own) = bounded(0);
                        let (popular, done) = (&popular, &done);
                        let thread = thread::Builder::new().stack_size(128 << 10);
                        let body = move || loop {
                            select! {
                                recv(popular) -> _ => unreachable!(),
                                recv(own) -> turn => match turn {
                                    Ok(()) => done.send(()).unwrap(),
                                    Err(_) => break,
                                }
                            }
                        };
                        thread.spawn_scoped(scope, body).unwrap();
                        tx
                    })
                    .collect();
                let turn = || {
                    own.iter().for_each(|tx| tx.send(()).unwrap());
                    (0..n).for_each(|_| all_done.recv().unwrap());
                };
                turn();
                *took.lock().unwrap() = time(|| (0..TURNS).for_each(|_| turn()));
            });
            drop(nobody_sends);
            took.into_inner().unwrap()
        };
        assert_linear("waking threads that wait on a popular channel", time_for, 100);
    });
}
