//! Goroutines: the same channel operations park them, and they meet threads and tasks on the same channels.

mod common;

use common::watchdog;
use gochan::{Receiver, Sender, after, bounded, go, rt, select, unbounded};
use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

/// A chain of ten thousand, each of which waits for the one before it.
#[test]
fn chain_of_ten_thousand() {
    watchdog(|| {
        let length = rt::run(|| {
            let (first, mut last) = bounded::<u64>(0);
            for _ in 0..10_000 {
                let (tx, rx) = bounded(0);
                let before = std::mem::replace(&mut last, rx);
                go(move || tx.send(before.recv().unwrap() + 1).unwrap());
            }
            go(move || first.send(0).unwrap());
            last.recv().unwrap()
        });
        assert_eq!(length, 10_000);
    });
}

/// Who has waited long, and ends in its next turn, is followed on its stack by the goroutine that it has started; its record is gone when the
/// next of those who have waited comes back.
#[test]
fn who_comes_back_to_end_is_forgotten() {
    watchdog(|| {
        let runtime = rt::Runtime::builder().workers(1).build().unwrap();
        let sum = runtime.run(|| {
            let (tell, told) = bounded(0);
            let (over, stay) = bounded::<()>(0);
            let wake: Vec<_> = (0..200_u64)
                .map(|i| {
                    let (wake, woken) = bounded(0);
                    let (tell, stay) = (tell.clone(), stay.clone());
                    go(move || {
                        woken.recv().unwrap();
                        go(move || {
                            tell.send(i).unwrap();
                            stay.recv().unwrap_err();
                        });
                    });
                    wake
                })
                .collect();
            let tell = |wake: &Sender<()>| {
                wake.send(()).unwrap();
                told.recv().unwrap()
            };
            let sum = wake.iter().map(tell).sum::<u64>();
            drop(over);
            sum
        });
        assert_eq!(sum, 199 * 200 / 2);
    });
}

/// Go's concurrent prime sieve: a goroutine per prime.
#[test]
fn sieve() {
    watchdog(|| {
        let primes = rt::run(|| {
            let (tx, mut numbers) = bounded(0);
            go(move || (2_u64..).find(|n| tx.send(*n).is_err()));
            let mut primes = Vec::new();
            for _ in 0..200 {
                let prime = numbers.recv().unwrap();
                primes.push(prime);
                let (tx, filtered) = bounded(0);
                let before = std::mem::replace(&mut numbers, filtered);
                go(move || before.iter().filter(|n| n % prime != 0).find(|n| tx.send(*n).is_err()));
            }
            primes
        });
        assert_eq!((primes[0], primes[199]), (2, 1223));
    });
}

/// Counts and sums what comes.
fn tally(rx: &Receiver<u64>) -> (u64, u64) {
    let mut tally = (0, 0);
    while let Ok(value) = rx.recv() {
        tally = (tally.0 + 1, tally.1 + value);
    }
    tally
}

/// Goroutines, threads and tasks send and receive on the same two channels, plainly, by select and by await: each value
/// arrives once.
#[test]
fn three_kinds_on_the_same_channels() {
    const EACH: u64 = 5_000;
    async fn awaited(rx: Receiver<u64>) -> (u64, u64) {
        let mut tally = (0, 0);
        while let Ok(value) = rx.recv_async().await {
            tally = (tally.0 + 1, tally.1 + value);
        }
        tally
    }
    fn selecting(a: Sender<u64>, b: Sender<u64>) -> impl FnOnce() + Send {
        move || {
            for i in 0..EACH {
                select! {
                    send(a, i) -> sent => sent.unwrap(),
                    send(b, i) -> sent => sent.unwrap(),
                }
            }
        }
    }
    watchdog(|| {
        for cap in [0, 1, 64] {
            let ((tx_a, a), (tx_b, b)) = (bounded(cap), bounded(cap));
            let senders = (
                go(selecting(tx_a.clone(), tx_b.clone())),
                thread::spawn(selecting(tx_a.clone(), tx_b.clone())),
                rt::spawn(async move {
                    for i in 0..EACH {
                        tx_a.send_async(i).await.unwrap();
                        tx_b.send_async(i).await.unwrap();
                    }
                }),
            );
            let (a2, b2) = (a.clone(), b.clone());
            let goroutine = go(move || tally(&a2));
            let task = rt::spawn(awaited(b2));
            let by_thread = thread::spawn(move || tally(&b));
            let another = go(move || tally(&a));
            senders.0.join().unwrap();
            senders.1.join().unwrap();
            senders.2.join().unwrap();
            let all =
                [goroutine.join().unwrap(), task.join().unwrap(), by_thread.join().unwrap(), another.join().unwrap()];
            let sum = all.iter().fold((0, 0), |sum, tally| (sum.0 + tally.0, sum.1 + tally.1));
            assert_eq!(sum, (4 * EACH, 4 * EACH * (EACH - 1) / 2), "{cap}");
        }
    });
}

/// Sleeps, timers and deadlines park the goroutine: a hundred take as long as the longest.
#[test]
fn timers_and_deadlines() {
    watchdog(|| {
        rt::run(|| {
            let start = Instant::now();
            let sleepers: Vec<_> = (0..100)
                .map(|i| {
                    go(move || {
                        rt::sleep(Duration::from_millis(i % 10));
                        after(Duration::from_millis(5)).recv().unwrap();
                        let (_tx, rx) = bounded::<u8>(0);
                        assert!(rx.recv_timeout(Duration::from_millis(i % 7)).is_err());
                    })
                })
                .collect();
            sleepers.into_iter().for_each(|sleeper| sleeper.join().unwrap());
            assert!(start.elapsed() < Duration::from_millis(100 * 15), "one after the other");
        });
    });
}

/// Deadlines that pass just as their wait ends: nobody is resumed twice, and every value arrives once and in order.
#[test]
fn deadlines_race_with_hand_offs() {
    const VALUES: u64 = 2_000;
    watchdog(|| {
        let (tx, rx) = bounded(0);
        let sender = go(move || {
            let mut next = 0;
            while next < VALUES {
                match tx.send_timeout(next, Duration::from_micros(20 + next % 3 * 50)) {
                    Ok(()) => next += 1,
                    Err(_) => rt::yield_now(),
                }
            }
        });
        let receiver = go(move || {
            let mut wanted = 0;
            loop {
                match rx.recv_timeout(Duration::from_micros(20 + wanted % 5 * 30)) {
                    Ok(value) => {
                        assert_eq!(value, wanted);
                        wanted += 1;
                    }
                    Err(error) if error.is_timeout() => rt::yield_now(),
                    Err(_) => break wanted,
                }
            }
        });
        sender.join().unwrap();
        assert_eq!(receiver.join().unwrap(), VALUES);
    });
}

/// What is bound to a thread lives on across parks: a started goroutine stays where it is.
#[test]
fn a_goroutine_stays_on_its_thread() {
    watchdog(|| {
        rt::run(|| {
            let goroutines: Vec<_> = (0..50)
                .map(|_| {
                    go(|| {
                        let (here, shared) = (thread::current().id(), Rc::new(RefCell::new(0)));
                        for _ in 0..50 {
                            let kept = shared.borrow_mut();
                            after(Duration::from_micros(100)).recv().unwrap();
                            rt::yield_now();
                            assert_eq!(thread::current().id(), here);
                            drop(kept);
                        }
                    })
                })
                .collect();
            goroutines.into_iter().for_each(|goroutine| goroutine.join().unwrap());
        });
    });
}

/// Panics are the joiner's, values and all; others run on.
#[test]
fn panics_are_joined() {
    watchdog(|| {
        let error = go(|| panic!("{}", 7)).join().unwrap_err();
        assert!(error.is_panic() && !error.is_cancelled());
        assert_eq!(error.into_panic().downcast_ref::<String>().unwrap(), "7");
        let error = rt::spawn(async { panic!("task") }).join().unwrap_err();
        assert_eq!(error.into_panic().downcast_ref(), Some(&"task"));
        assert_eq!(go(|| 8).join().unwrap(), 8);
    });
}

/// A handle is also a future, and a goroutine may await one.
#[test]
fn futures_and_goroutines() {
    watchdog(|| {
        let (tx, rx) = bounded(0);
        let goroutine = go(move || rt::block_on(async { go(move || rx.recv().unwrap()).await.unwrap() + 1 }));
        let task = rt::spawn(async move { tx.send_async(1).await });
        assert_eq!(futures_executor::block_on(goroutine).unwrap(), 2);
        assert_eq!(task.join().unwrap(), Ok(()));
    });
}

/// Two wake-ups of one future close behind each other, from elsewhere: the second is not taken for the first.
#[test]
fn wake_ups_in_quick_succession() {
    const ROUNDS: usize = 200_000;
    watchdog(|| {
        // How often each side has done its part; and the waker of this round.
        let (awaited, woken) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let waker = Arc::new(Mutex::new(None::<Waker>));
        let wakes = thread::spawn({
            let (awaited, woken, waker) = (awaited.clone(), woken.clone(), waker.clone());
            move || {
                for round in 0..ROUNDS {
                    while awaited.load(Ordering::Acquire) <= round {
                        std::hint::spin_loop();
                    }
                    let waker = waker.lock().unwrap().clone().unwrap();
                    for i in 1..=2 {
                        woken.store(2 * round + i, Ordering::Release);
                        waker.wake_by_ref();
                        (0..round % 32).for_each(|_| std::hint::spin_loop());
                    }
                }
            }
        });
        let waits = go(move || {
            for round in 0..ROUNDS {
                rt::block_on(poll_fn(|cx| {
                    if awaited.load(Ordering::Relaxed) == round {
                        *waker.lock().unwrap() = Some(cx.waker().clone());
                        awaited.store(round + 1, Ordering::Release);
                    }
                    if woken.load(Ordering::Acquire) >= 2 * round + 2 { Poll::Ready(()) } else { Poll::Pending }
                }));
            }
        });
        waits.join().unwrap();
        wakes.join().unwrap();
    });
}

/// An operation that would block a worker from within a future's poll is refused, and loses nothing.
#[test]
fn a_poll_may_not_park() {
    watchdog(|| {
        let (tx, rx) = unbounded();
        let waiting = rx.clone();
        let error = rt::spawn(async move { waiting.recv() }).join().unwrap_err();
        let payload = error.into_panic();
        assert!(payload.downcast_ref::<String>().unwrap().starts_with("chan receive in a future's poll"));
        tx.send(1).unwrap();
        // What need not wait is done.
        assert_eq!(rt::spawn(async move { rx.recv() }).join().unwrap(), Ok(1));
    });
}

/// `run` returns what its function returns, and its panic; what was not waited for does not keep it.
#[test]
fn run_ends_with_its_function() {
    watchdog(|| {
        let (tx, rx) = bounded::<u8>(0);
        let parked = rx.clone();
        assert_eq!(rt::run(move || drop(go(move || parked.recv()))), ());
        drop((tx, rx));
        let panic = std::panic::catch_unwind(|| rt::run(|| panic!("main"))).unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&"main"));
        // One in another, and on a thread that is no worker.
        assert_eq!(rt::run(|| thread::spawn(|| rt::run(|| 7)).join().unwrap()), 7);
    });
}
