//! How goroutines end before their time: cancelled, with their scope, with their runtime.

mod common;

use common::{wait_until, watchdog};
use gochan::rt::{self, Goroutine, Runtime};
use gochan::{Sender, after, bounded, go, select, unbounded};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Counts its drops.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn counter() -> (Arc<AtomicUsize>, impl Fn() -> Counted) {
    let count = Arc::new(AtomicUsize::new(0));
    let of = count.clone();
    (count, move || Counted(of.clone()))
}

/// Runs `f` when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

type Waits = Box<dyn FnOnce() + Send>;

/// For what is waited for only.
fn ignore<T>(_: T) {}

fn one_worker() -> Runtime {
    Runtime::builder().workers(1).build().unwrap()
}

/// In every kind of wait there is, a cancelled goroutine unwinds, and its values are dropped.
#[test]
fn every_wait_is_cancelled() {
    watchdog(|| {
        let (drops, counted) = counter();
        let (full, _keep) = bounded::<Counted>(0);
        let (_keep2, empty) = bounded::<()>(0);
        let waits: Vec<(&str, Waits)> = vec![
            ("recv", {
                let empty = empty.clone();
                Box::new(move || ignore(empty.recv()))
            }),
            ("recv with a deadline", {
                let empty = empty.clone();
                Box::new(move || ignore(empty.recv_timeout(Duration::from_secs(1000))))
            }),
            ("send", {
                let (full, value) = (full.clone(), counted());
                Box::new(move || ignore(full.send(value)))
            }),
            ("select", {
                let empty = empty.clone();
                Box::new(move || {
                    select! {
                        recv(empty) -> _ => unreachable!(),
                        recv(after(Duration::from_secs(1000))) -> _ => unreachable!(),
                    }
                })
            }),
            ("a timer", Box::new(|| ignore(after(Duration::from_secs(1000)).recv()))),
            ("never", Box::new(|| ignore(gochan::never::<()>().recv()))),
            ("sleep", Box::new(|| rt::sleep(Duration::from_secs(1000)))),
            (
                "yield",
                Box::new(|| {
                    loop {
                        rt::yield_now();
                    }
                }),
            ),
            ("join", {
                let empty = empty.clone();
                Box::new(move || ignore(go(move || empty.recv()).join()))
            }),
            ("block_on", {
                let empty = empty.clone();
                Box::new(move || ignore(rt::block_on(empty.recv_async())))
            }),
            ("operations that need not wait", {
                let (tx, rx) = bounded(1);
                Box::new(move || {
                    loop {
                        tx.send(()).unwrap();
                        rx.recv().unwrap();
                    }
                })
            }),
        ];
        let kinds = waits.len();
        let runtime = one_worker();
        let handles: Vec<_> = waits
            .into_iter()
            .map(|(name, wait)| {
                let value = counted();
                (
                    name,
                    runtime.go(move || {
                        let _value = value;
                        wait();
                    }),
                )
            })
            .collect();
        thread::sleep(Duration::from_millis(20));
        for (name, handle) in handles {
            handle.cancel();
            let error = handle.join().expect_err(name);
            assert!(error.is_cancelled(), "{name}: {error}");
        }
        // The value of the send, too.
        assert_eq!(drops.load(Ordering::SeqCst), kinds + 1);
    });
}

/// What has happened has happened: a goroutine that was handed a value before it was told keeps it, and is ended at its next
/// wait.
#[test]
fn a_completed_wait_is_not_undone() {
    watchdog(|| {
        let runtime = one_worker();
        let (tx, rx) = bounded(0);
        let (done, results) = unbounded();
        let gets = runtime.go(move || {
            done.send(rx.recv()).unwrap();
            ignore(rx.recv());
        });
        let main = runtime.go(move || {
            rt::yield_now();
            // Handed over, but the goroutine has not run since.
            tx.send(7).unwrap();
            gets.cancel();
            let cancelled = gets.join().unwrap_err().is_cancelled();
            (cancelled, tx.send(8).is_err())
        });
        assert_eq!(main.join().unwrap(), (true, true));
        assert_eq!(results.try_recv(), Ok(Ok(7)));
    });
}

/// Who never waits is cancelled where he lets others have their turn, which is where a send begins, or a receive: the value of the
/// send is dropped.
#[test]
fn a_send_that_does_not_wait_is_cancelled() {
    watchdog(|| {
        for round in 0..8 {
            let (drops, counted) = counter();
            let made = one_worker().run(move || {
                let made = Arc::new(AtomicUsize::new(0));
                let (tx, rx) = bounded(64);
                let of = made.clone();
                let sender = go(move || {
                    // So that it is a send's turn, in some round.
                    let more = (0..round % 2).map(|_| counted());
                    more.for_each(|value| tx.send(value).unwrap());
                    of.fetch_add(round % 2, Ordering::SeqCst);
                    loop {
                        of.fetch_add(1, Ordering::SeqCst);
                        tx.send(counted()).unwrap();
                        drop(rx.recv());
                    }
                });
                while made.load(Ordering::SeqCst) < 1000 {
                    rt::yield_now();
                }
                sender.cancel();
                assert!(sender.join().unwrap_err().is_cancelled());
                made.load(Ordering::SeqCst)
            });
            assert_eq!(drops.load(Ordering::SeqCst), made, "each is dropped");
        }
    });
}

/// Sends race with the cancellation of who receives: each value is received, or its send fails, or nobody has taken it.
#[test]
fn cancel_races_with_a_hand_off() {
    watchdog(|| {
        for round in 0..300 {
            let (tx, rx) = bounded(0);
            let received = Arc::new(AtomicUsize::new(0));
            let receives: Vec<_> = (0..3)
                .map(|_| {
                    let (rx, received) = (rx.clone(), received.clone());
                    go(move || {
                        while rx.recv().is_ok() {
                            received.fetch_add(1, Ordering::SeqCst);
                        }
                    })
                })
                .collect();
            drop(rx);
            let sends = thread::spawn(move || (0..50).take_while(|_| tx.send(()).is_ok()).count());
            if round % 2 == 0 {
                thread::sleep(Duration::from_micros(round));
            }
            receives.iter().for_each(rt::JoinHandle::cancel);
            for handle in receives {
                // Those that saw all senders go have returned.
                ignore(handle.join());
            }
            assert_eq!(sends.join().unwrap(), received.load(Ordering::SeqCst));
        }
    });
}

/// A destructor that waits while its goroutine unwinds waits as ever, and the others run meanwhile: one that sends, one that
/// locks, one that joins.
#[test]
fn destructors_may_wait() {
    watchdog(|| {
        let runtime = one_worker();
        let (tx, rx) = bounded(0);
        let (never, nothing) = bounded::<()>(0);
        let lock = Arc::new(std::sync::Mutex::new(0));
        let joined = runtime.go(|| {
            rt::sleep(Duration::from_millis(5));
            5
        });
        let sum = Arc::new(AtomicUsize::new(0));
        let dies = runtime.go({
            let (lock, sum) = (lock.clone(), sum.clone());
            let mut joined = Some(joined);
            move || {
                let _sends = OnDrop(move || tx.send(1).unwrap());
                let _locks = OnDrop(|| *lock.lock().unwrap() += 1);
                let _joins = OnDrop(|| {
                    sum.fetch_add(joined.take().unwrap().join().unwrap(), Ordering::SeqCst);
                });
                ignore(nothing.recv());
            }
        });
        runtime.go(rt::yield_now).join().unwrap();
        dies.cancel();
        assert_eq!(rx.recv(), Ok(1));
        assert!(dies.join().unwrap_err().is_cancelled());
        assert_eq!((*lock.lock().unwrap(), sum.load(Ordering::SeqCst)), (1, 5));
        drop(never);
    });
}

/// One that unwinds and waits in a destructor does not keep its neighbours from being cancelled, though the standard library
/// calls both panicking.
#[test]
fn a_neighbour_that_unwinds() {
    watchdog(|| {
        let runtime = one_worker();
        let (tx, rx) = bounded::<()>(0);
        let (wakes, wake) = bounded::<()>(0);
        let unwinds = runtime.go({
            let rx = rx.clone();
            move || {
                let _waits = OnDrop(|| ignore(wake.recv()));
                ignore(rx.recv());
            }
        });
        let parked_before = runtime.go({
            let rx = rx.clone();
            move || ignore(rx.recv())
        });
        runtime.go(rt::yield_now).join().unwrap();
        unwinds.cancel();
        let parked_after = runtime.go(move || ignore(rx.recv()));
        runtime.go(rt::yield_now).join().unwrap();
        parked_before.cancel();
        assert!(parked_before.join().unwrap_err().is_cancelled());
        // This one cannot be told from its neighbour until that has ended.
        parked_after.cancel();
        wakes.send(()).unwrap();
        assert!(unwinds.join().unwrap_err().is_cancelled());
        assert!(parked_after.join().unwrap_err().is_cancelled());
        drop(tx);
    });
}

/// Caught, it comes again; the sixteenth time is the last, and then the goroutine is left where it is.
#[test]
fn who_swallows_it_is_left() {
    watchdog(|| {
        let runtime = one_worker();
        let (_tx, rx) = bounded::<()>(0);
        let caught = Arc::new(AtomicUsize::new(0));
        let (drops, counted) = counter();
        let swallows = runtime.go({
            let (caught, value) = (caught.clone(), counted());
            move || {
                let _value = value;
                loop {
                    let _ = catch_unwind(AssertUnwindSafe(|| ignore(rx.recv())));
                    caught.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        runtime.go(rt::yield_now).join().unwrap();
        swallows.cancel();
        assert!(swallows.join().unwrap_err().is_cancelled());
        assert_eq!(caught.load(Ordering::SeqCst), 16);
        assert!(!runtime.shutdown_timeout(Duration::from_millis(50)), "its worker is left with it");
        assert_eq!(drops.load(Ordering::SeqCst), 0);
    });
}

/// Caught once, and ended all the same.
#[test]
fn who_catches_it_is_told_again() {
    watchdog(|| {
        let (_tx, rx) = bounded::<()>(0);
        let catches = go(move || {
            let caught = catch_unwind(AssertUnwindSafe(|| ignore(rx.recv()))).is_err();
            assert!(caught);
            ignore(rx.recv());
        });
        catches.cancel();
        assert!(catches.join().unwrap_err().is_cancelled());
    });
}

#[test]
fn cancelled_before_it_runs() {
    watchdog(|| {
        let runtime = one_worker();
        let (drops, counted) = counter();
        let ran = Arc::new(AtomicBool::new(false));
        let error = runtime.run({
            let (ran, value) = (ran.clone(), counted());
            move || {
                let never_runs = go(move || {
                    let _value = value;
                    ran.store(true, Ordering::SeqCst);
                });
                never_runs.cancel();
                never_runs.join().unwrap_err()
            }
        });
        assert!(error.is_cancelled());
        assert!(!ran.load(Ordering::SeqCst));
        assert_eq!(drops.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn cancelled_tasks_are_dropped() {
    watchdog(|| {
        let (drops, counted) = counter();
        let (_tx, rx) = bounded::<()>(0);
        let value = counted();
        let task = rt::spawn(async move {
            let _value = value;
            ignore(rx.recv_async().await);
        });
        thread::sleep(Duration::from_millis(5));
        task.cancel();
        assert!(task.join().unwrap_err().is_cancelled());
        assert_eq!(drops.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn scopes_lend() {
    watchdog(|| {
        for _ in 0..100 {
            let mut numbers = vec![0; 20];
            let sum = rt::scope(|s| {
                let parts: Vec<_> = numbers
                    .iter_mut()
                    .enumerate()
                    .map(|(i, number)| {
                        s.go(move || {
                            rt::yield_now();
                            *number = i;
                            i
                        })
                    })
                    .collect();
                parts.into_iter().map(|part| part.join().unwrap()).sum::<usize>()
            });
            assert_eq!(sum, 190);
            assert_eq!(numbers, (0..20).collect::<Vec<_>>());
        }
    });
}

/// The scope waits for those that nobody joins, and passes their panic on.
#[test]
fn scopes_wait_and_panic() {
    watchdog(|| {
        let mut done = false;
        rt::scope(|s| {
            s.go(|| {
                rt::sleep(Duration::from_millis(10));
                done = true;
            });
        });
        assert!(done);
        let payload = catch_unwind(|| {
            rt::scope(|s| {
                s.go(|| panic!("a child's"));
            });
        })
        .unwrap_err();
        assert_eq!(payload.downcast_ref(), Some(&"a goroutine of the scope panicked"));
        // A joined panic is the joiner's.
        rt::scope(|s| assert!(s.go(|| panic!("another's")).join().unwrap_err().is_panic()));
        // The owner's own panic waits for the children as well.
        let mut done = false;
        let payload = catch_unwind(AssertUnwindSafe(|| {
            rt::scope(|s| {
                s.go(|| {
                    rt::sleep(Duration::from_millis(10));
                    done = true;
                });
                panic!("the owner's");
            });
        }))
        .unwrap_err();
        assert_eq!(payload.downcast_ref(), Some(&"the owner's"));
        assert!(done);
    });
}

/// A parent that is parked in its scope, and one that is parked inside the closure, while children borrow from its frame:
/// cancelled, the children end first.
#[test]
fn cancelled_scopes_end_their_children_first() {
    watchdog(|| {
        for inside in [false, true] {
            for _ in 0..20 {
                let runtime = Runtime::builder().workers(2).build().unwrap();
                let (ended, order) = unbounded();
                let running = Arc::new(AtomicUsize::new(0));
                let children = running.clone();
                let parent = runtime.go(move || {
                    let borrowed = [1_u8; 64];
                    let _parent = OnDrop(|| ended.send("parent").unwrap());
                    let (_tx, rx) = bounded::<()>(0);
                    rt::scope(|s| {
                        for _ in 0..8 {
                            s.go(|| {
                                let _child = OnDrop(|| {
                                    // It waits while it unwinds, and borrows.
                                    rt::sleep(Duration::from_micros(50));
                                    assert_eq!(borrowed.iter().map(|&b| u32::from(b)).sum::<u32>(), 64);
                                    ended.send("child").unwrap();
                                });
                                children.fetch_add(1, Ordering::SeqCst);
                                ignore(rx.recv());
                            });
                        }
                        if inside {
                            ignore(rx.recv());
                        }
                    });
                });
                wait_until(|| running.load(Ordering::SeqCst) == 8);
                parent.cancel();
                assert!(parent.join().unwrap_err().is_cancelled());
                let order: Vec<_> = order.try_iter().collect();
                assert_eq!(order.last(), Some(&"parent"), "{order:?}");
                assert!(runtime.shutdown_timeout(Duration::from_secs(10)));
            }
        }
    });
}

/// The end of a runtime: whoever waits unwinds, whatever he waits for, and his values are dropped; what has not started is
/// dropped; tasks are dropped. Nothing leaks.
#[test]
fn shutdown_ends_everybody() {
    watchdog(|| {
        for _ in 0..50 {
            let (drops, counted) = counter();
            let runtime = Runtime::builder().workers(2).build().unwrap();
            let (tx, rx) = bounded::<Counted>(0);
            for i in 0..40 {
                let (tx, rx, value, another) = (tx.clone(), rx.clone(), counted(), counted());
                drop(match i % 4 {
                    0 => runtime.go(move || {
                        let _value = value;
                        let _sends = OnDrop(|| drop(tx.try_send(Counted(another.0.clone()))));
                        rt::sleep(Duration::from_secs(1000));
                    }),
                    1 => runtime.go(move || {
                        let _value = (value, another);
                        // Both ends are held, so nobody is disconnected.
                        let _both = (&tx, &rx);
                        ignore(gochan::never::<()>().recv());
                    }),
                    2 => runtime.go(move || {
                        rt::scope(|s| {
                            s.go(|| {
                                let _child = &value;
                                rt::sleep(Duration::from_secs(1000));
                            });
                        });
                        drop(another);
                    }),
                    _ => runtime.spawn(async move {
                        let _value = (value, another);
                        std::future::pending::<()>().await;
                    }),
                });
            }
            drop((tx, rx));
            thread::yield_now();
            assert!(runtime.shutdown_timeout(Duration::from_secs(20)));
            let sent_in_drops = drops.load(Ordering::SeqCst) - 80;
            assert!(sent_in_drops <= 10, "{sent_in_drops}");
        }
    });
}

/// Each task has the only sender of the next one's channel, so that the end of one wakes the next, which ends as well: one after
/// the other, and not one within the other.
#[test]
fn a_chain_of_tasks_ends_at_shutdown() {
    const LENGTH: usize = 20_000;
    watchdog(|| {
        let (drops, counted) = counter();
        let runtime = one_worker();
        let (first, mut rx) = bounded::<()>(0);
        for _ in 0..LENGTH {
            let (tx, next) = bounded(0);
            let (here, value) = (std::mem::replace(&mut rx, next), counted());
            drop(runtime.spawn(async move {
                let _value = value;
                ignore(here.recv_async().await);
                drop(tx);
            }));
        }
        // All wait by then.
        runtime.spawn(async {}).join().unwrap();
        assert!(runtime.shutdown_timeout(Duration::from_secs(20)));
        assert_eq!(drops.load(Ordering::SeqCst), LENGTH);
        drop((first, rx));
    });
}

/// After the end, what is started yields an error, and its closure is dropped.
#[test]
fn after_the_end() {
    watchdog(|| {
        let (drops, counted) = counter();
        let (handles, ended) = unbounded();
        let runtime = one_worker();
        let value = counted();
        // Its destructor starts another, when the runtime has ended.
        runtime.go(move || {
            let _starts = OnDrop({
                let mut value = Some(value);
                move || {
                    let value = value.take();
                    handles.send(go(move || drop(value))).unwrap();
                }
            });
            rt::sleep(Duration::from_secs(1000));
        });
        thread::sleep(Duration::from_millis(10));
        assert!(runtime.shutdown_timeout(Duration::from_secs(10)));
        assert!(ended.recv().unwrap().join().unwrap_err().is_cancelled());
        assert_eq!(drops.load(Ordering::SeqCst), 1);
    });
}

/// `run` returns when its function does, and does not wait long for who does not end.
#[test]
fn run_does_not_wait_for_who_computes() {
    watchdog(|| {
        let stop = Arc::new(AtomicBool::new(false));
        let start = Instant::now();
        let runtime = Runtime::builder().workers(2).build().unwrap();
        let value = runtime.run({
            let stop = stop.clone();
            move || {
                let running = Arc::new(AtomicBool::new(false));
                let started = running.clone();
                go(move || {
                    started.store(true, Ordering::Relaxed);
                    while !stop.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                });
                // Where this computes, too, the monitor finds another worker for it.
                while !running.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
                7
            }
        });
        drop(runtime);
        assert_eq!(value, 7);
        assert!(start.elapsed() < Duration::from_secs(5));
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn unblock_lends_and_passes_panics_on() {
    watchdog(|| {
        rt::run(|| {
            let mut number = 1;
            let doubled = rt::unblock(|| {
                number += 1;
                thread::sleep(Duration::from_millis(5));
                number * 2
            });
            assert_eq!((number, doubled), (2, 4));
            let payload = catch_unwind(|| rt::unblock(|| panic!("blocked"))).unwrap_err();
            assert_eq!(payload.downcast_ref(), Some(&"blocked"));
            // Many at once, more than there are workers.
            let start = Instant::now();
            rt::scope(|s| {
                for _ in 0..20 {
                    s.go(|| rt::unblock(|| thread::sleep(Duration::from_millis(50))));
                }
            });
            assert!(start.elapsed() < Duration::from_millis(900), "{:?}", start.elapsed());
        });
    });
}

#[test]
fn counts_and_names() {
    watchdog(|| {
        let runtime = Runtime::builder().workers(2).build().unwrap();
        assert_eq!(runtime.num_goroutines(), 0);
        let (tx, rx) = bounded::<()>(0);
        let all: Vec<_> = (0..10)
            .map(|_| {
                let rx = rx.clone();
                runtime.go(move || ignore(rx.recv()))
            })
            .collect();
        assert_eq!(runtime.num_goroutines(), 10);
        let inner = runtime.run(rt::num_goroutines);
        assert_eq!(inner, 11);
        drop(tx);
        all.into_iter().for_each(|one| one.join().unwrap());
        let deadline = Instant::now() + Duration::from_secs(5);
        while runtime.num_goroutines() > 0 && Instant::now() < deadline {
            thread::yield_now();
        }
        assert_eq!(runtime.num_goroutines(), 0);

        let parent = runtime.run(|| {
            let me = rt::current().unwrap();
            let child = Goroutine::new().name("child").spawn(|| rt::current().unwrap());
            let child = child.join().unwrap();
            assert_eq!((child.parent(), child.name()), (Some(me.id()), Some("child")));
            assert!(child.spawned_at().file().ends_with("goroutine_ends.rs"));
            me
        });
        assert_eq!((parent.parent(), parent.name()), (None, None));
        assert!(rt::current().is_none());
        let task = runtime.spawn(async { rt::current().unwrap().id() });
        assert_eq!(task.id(), task.join().unwrap());
    });
}

#[test]
fn local_goroutines_stay() {
    watchdog(|| {
        rt::run(|| {
            let here = thread::current().id();
            let shared = std::rc::Rc::new(std::cell::Cell::new(0));
            let all: Vec<_> = (0..100)
                .map(|i| {
                    let shared = shared.clone();
                    rt::go_local(move || {
                        assert_eq!(thread::current().id(), here);
                        rt::yield_now();
                        shared.set(shared.get() + i);
                        shared
                    })
                })
                .collect();
            for one in all {
                drop(one.join().unwrap());
            }
            assert_eq!((shared.get(), std::rc::Rc::strong_count(&shared)), (4950, 1));
        });
        let payload = catch_unwind(|| rt::go_local(|| ())).unwrap_err();
        assert!(payload.downcast_ref::<&str>().is_some_and(|text| text.contains("outside of a goroutine")));
    });
}

/// A handle is awaited on any executor, and may be dropped while it is.
#[test]
fn handles_are_futures() {
    watchdog(|| {
        let (tx, rx): (Sender<()>, _) = bounded(0);
        let mut handle = go(move || rx.recv());
        let polled = futures_executor::block_on(async {
            tokio::select! {
                biased;
                ended = &mut handle => Some(ended),
                () = std::future::ready(()) => None,
            }
        });
        assert!(polled.is_none());
        tx.send(()).unwrap();
        assert_eq!(futures_executor::block_on(handle).unwrap(), Ok(()));
    });
}
