//! The scheduler: everybody who can run runs, soon enough, and on enough threads. What Go's tests of its scheduler are
//! about, written anew, and what is our own: budgets, and where goroutines live.

mod common;

use common::{PATIENCE, wait_for_waiting, wait_until, waiting, watchdog};
use gochan::rt::{self, Runtime};
use gochan::{Receiver, Select, Sender, after, bounded, go, select, unbounded};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

fn runtime(workers: usize) -> Runtime {
    Runtime::builder().workers(workers).build().unwrap()
}

/// Started one after the other on a worker that has much to do, while another sleeps: they are no burst, and yet not all of
/// them are to live on the first.
#[test]
fn who_sleeps_relieves_who_is_behind() {
    watchdog(|| {
        runtime(2).run(|| {
            let over = Arc::new(AtomicBool::new(false));
            let busy: Vec<_> = (0..16)
                .map(|_| {
                    let over = over.clone();
                    rt::go_local(move || {
                        while !over.load(Ordering::Relaxed) {
                            rt::yield_now();
                        }
                    })
                })
                .collect();
            let (done, wait) = bounded::<()>(0);
            let here = thread::current().id();
            let (tell, told) = unbounded();
            // That the other worker has fallen asleep takes a moment.
            thread::sleep(Duration::from_millis(20));
            for _ in 0..20 {
                let (tell, wait) = (tell.clone(), wait.clone());
                drop(go(move || {
                    tell.send(thread::current().id()).unwrap();
                    let _ = wait.recv();
                }));
                (0..20).for_each(|_| rt::yield_now());
            }
            let elsewhere = told.iter().take(20).filter(|id| *id != here).count();
            over.store(true, Ordering::Relaxed);
            drop(done);
            busy.into_iter().for_each(|busy| busy.join().unwrap());
            assert!((10..=20).contains(&elsewhere), "{elsewhere} of 20");
        });
    });
}

/// A worker that computes for ever keeps nothing that others could start, also if the others have work of their own all the time.
#[test]
fn what_a_stuck_worker_has_reaches_busy_ones() {
    watchdog(|| {
        let started = runtime(2).run(|| {
            let (over, stuck) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
            let (tell, told) = bounded(1);
            // Half of them on either worker.
            let all: Vec<_> = (0..16)
                .map(|_| {
                    let (over, stuck, tell) = (over.clone(), stuck.clone(), tell.clone());
                    go(move || {
                        (0..1000).for_each(|_| rt::yield_now());
                        if stuck.swap(true, Ordering::Relaxed) {
                            while !over.load(Ordering::Relaxed) {
                                rt::yield_now();
                            }
                            return;
                        }
                        let started = Arc::new(AtomicUsize::new(0));
                        for _ in 0..8 {
                            let started = started.clone();
                            drop(go(move || started.fetch_add(1, Ordering::Relaxed)));
                        }
                        let start = Instant::now();
                        while started.load(Ordering::Relaxed) < 8 && start.elapsed() < PATIENCE / 2 {
                            std::hint::spin_loop();
                        }
                        tell.send(started.load(Ordering::Relaxed)).unwrap();
                        over.store(true, Ordering::Relaxed);
                    })
                })
                .collect();
            all.into_iter().for_each(|one| one.join().unwrap());
            told.recv().unwrap()
        });
        assert_eq!(started, 8, "while another worker made turns");
    });
}

fn spin_for(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// How many of `goroutines` had ended whenever one more of them had been joined, in order, on a single worker.
fn ended_at_each_join(goroutines: usize, each: impl Fn() + Copy + Send + 'static) -> Vec<usize> {
    runtime(1).run(move || {
        let ended = Arc::new(AtomicUsize::new(0));
        let start = |ended: Arc<AtomicUsize>| {
            go(move || {
                each();
                ended.fetch_add(1, Ordering::Relaxed);
            })
        };
        let all: Vec<_> = (0..goroutines).map(|_| start(ended.clone())).collect();
        let join = |one: rt::JoinHandle<()>| {
            one.join().unwrap();
            ended.load(Ordering::Relaxed)
        };
        all.into_iter().map(join).collect()
    })
}

/// Who waits for many that end at once is not switched in for each of them, nor kept waiting for all.
#[test]
fn short_ones_end_in_rows() {
    watchdog(|| {
        let best = (0..20)
            .map(|_| {
                let ended = ended_at_each_join(1000, || ());
                let longest = ended.windows(2).map(|two| two[1] - two[0]).max().unwrap();
                assert!(longest <= 34, "{longest} in one row");
                let mut times = ended;
                times.dedup();
                times.len()
            })
            .min();
        assert!(best.unwrap() <= 100, "switched in {best:?} times for 1000");
    });
}

/// A row has its time: of those that take a few microseconds it is shorter.
#[test]
fn a_row_ends_after_its_time() {
    watchdog(|| {
        let ended = ended_at_each_join(1000, || spin_for(Duration::from_micros(3)));
        let longest = ended.windows(2).map(|two| two[1] - two[0]).max().unwrap();
        assert!(longest <= 10, "{longest} in one row");
    });
}

/// Those that take their time do not: whoever waits for the first goes on when it has ended.
#[test]
fn long_ones_do_not_end_in_rows() {
    watchdog(|| {
        let spin = || spin_for(Duration::from_micros(100));
        for (joined, ended) in ended_at_each_join(40, spin).into_iter().enumerate() {
            // Once in a while fresh work has its turn first.
            assert!(ended <= joined + 2, "{ended} had ended before number {joined} was seen to");
        }
    });
}

/// Many that begin where another has ended, on its stack: each is itself all the same, whatever became of the other.
#[test]
fn whoever_follows_another_is_himself() {
    fn one(i: usize) -> (usize, u64, usize) {
        let here = 0_u8;
        match i % 8 {
            0 => std::panic::resume_unwind(Box::new(i)),
            1 => rt::yield_now(),
            2 => rt::sleep(Duration::from_micros(1)),
            _ => {}
        }
        (i, rt::current().unwrap().id(), (&raw const here).addr())
    }
    watchdog(|| {
        for workers in [1, 2] {
            let followed = runtime(workers).run(|| {
                let start = |i| {
                    let size = if i % 7 == 0 { 256 << 10 } else { 64 << 10 };
                    rt::Goroutine::new().stack_size(size).spawn(move || one(i))
                };
                let all: Vec<_> = (0..4000).map(start).collect();
                all.iter().step_by(11).for_each(rt::JoinHandle::cancel);
                let (mut last, mut followed) = (0, 0);
                for (i, handle) in all.into_iter().enumerate() {
                    let id = handle.id();
                    match handle.join() {
                        Ok((number, me, at)) => {
                            assert_eq!((number, me), (i, id));
                            followed += usize::from(at == last);
                            last = at;
                        }
                        Err(error) if error.is_cancelled() => assert_eq!(i % 11, 0),
                        Err(error) => {
                            let payload = *error.into_panic().downcast::<usize>().unwrap();
                            assert_eq!((payload, i % 8), (i, 0));
                        }
                    }
                }
                followed
            });
            assert!(followed > 500, "{followed} on the stack of the one before, with {workers} workers");
        }
    });
}

/// As many goroutines as there are workers, each of which waits for the next by looking, without ever letting go: all run at
/// the same time, wherever they were started.
#[test]
fn goroutines_run_in_parallel() {
    watchdog(|| {
        for workers in [2, 4] {
            let runtime = runtime(workers);
            for _ in 0..5 {
                runtime.run(move || {
                    let turn = Arc::new(AtomicUsize::new(0));
                    let all: Vec<_> = (0..workers)
                        .map(|me| {
                            let turn = turn.clone();
                            go(move || {
                                for round in 0..3 {
                                    let mine = round * workers + me;
                                    while turn.load(Ordering::Acquire) != mine {
                                        // The thread's turn, not the goroutine's.
                                        thread::yield_now();
                                    }
                                    turn.store(mine + 1, Ordering::Release);
                                }
                            })
                        })
                        .collect();
                    all.into_iter().for_each(|one| one.join().unwrap());
                });
                // Their workers go to sleep before the next round.
                thread::sleep(Duration::from_millis(2));
            }
        }
    });
}

/// A ball between two goroutines until `over`; how often it was hit.
fn ping_pong(over: &Arc<AtomicBool>, work: u32) -> Arc<AtomicU32> {
    let hits = Arc::new(AtomicU32::new(0));
    let (there, back) = (bounded::<()>(0), bounded::<()>(0));
    for (tx, rx, serves) in [(there.0, back.1, true), (back.0, there.1, false)] {
        let (over, hits) = (over.clone(), hits.clone());
        go(move || {
            if serves {
                tx.send(()).unwrap();
            }
            while rx.recv().is_ok() && !over.load(Ordering::Relaxed) {
                (0..work).for_each(|i| _ = std::hint::black_box(i));
                hits.fetch_add(1, Ordering::Relaxed);
                if tx.send(()).is_err() {
                    break;
                }
            }
        });
    }
    hits
}

/// Pairs that ready each other share a worker, one that computes a little each time and one that does not; and so does who
/// never has to wait.
#[test]
fn pairs_and_hogs_share_a_worker() {
    watchdog(|| {
        let (pairs, hog) = runtime(1).run(|| {
            let over = Arc::new(AtomicBool::new(false));
            let hog = Arc::new(AtomicU32::new(0));
            let pairs = [ping_pong(&over, 0), ping_pong(&over, 0), ping_pong(&over, 1000)];
            go({
                let (over, hog) = (over.clone(), hog.clone());
                move || {
                    let (tx, rx) = bounded(1);
                    while !over.load(Ordering::Relaxed) {
                        tx.send(()).unwrap();
                        rx.recv().unwrap();
                        hog.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
            rt::sleep(Duration::from_millis(200));
            over.store(true, Ordering::Relaxed);
            (pairs.map(|hits| hits.load(Ordering::Relaxed)), hog.load(Ordering::Relaxed))
        });
        let [a, b, slow] = pairs;
        println!("pairs: {a} and {b} hits, {slow} of the one that computes; who never waits: {hog} rounds");
        assert!(a.max(b) < 3 * a.min(b), "{a} and {b}");
        assert!(a < 20 * slow && slow < 3 * a, "{a} and {slow}");
        assert!(hog < 20 * a && a < 20 * hog, "{a} and {hog}");
    });
}

/// A timer fires though goroutines keep each other and their worker busy: one that is selected on beside a channel that
/// always has something, and one that is slept for.
#[test]
fn timers_fire_among_the_busy() {
    const SOON: Duration = Duration::from_millis(20);
    watchdog(|| {
        for workers in [1, 2] {
            let (selected, slept) = runtime(workers).run(|| {
                let over = Arc::new(AtomicBool::new(false));
                let hits = [ping_pong(&over, 0), ping_pong(&over, 0)];
                let (tx, rx) = bounded(0);
                for _ in 0..2 {
                    let tx = tx.clone();
                    go(move || while tx.send(()).is_ok() {});
                }
                let start = Instant::now();
                let sleeper = go(move || {
                    rt::sleep(SOON);
                    start.elapsed()
                });
                let timer = after(SOON);
                loop {
                    select! {
                        recv(rx) -> _ => {}
                        recv(timer) -> _ => break,
                    }
                }
                let selected = start.elapsed();
                let slept = sleeper.join().unwrap();
                over.store(true, Ordering::Relaxed);
                assert!(hits.iter().all(|hits| hits.load(Ordering::Relaxed) > 0));
                (selected, slept)
            });
            println!("{workers} workers: 20 ms were {selected:?} in a select, {slept:?} asleep");
            assert!(selected >= SOON && slept >= SOON);
            assert!(selected < SOON + PATIENCE / 10 && slept < SOON + PATIENCE / 10);
        }
    });
}

/// The only goroutine that waits for a timer, on a worker on which another does only operations that do not wait, one
/// that yields, and one that tries again and again.
#[test]
fn who_yields_lets_others_run() {
    watchdog(|| {
        runtime(1).run(|| {
            let (tx, rx) = bounded::<()>(0);
            let looks = go(move || {
                for looks in 1_u64.. {
                    select! {
                        recv(rx) -> _ => return looks,
                        default => rt::yield_now(),
                    }
                }
                unreachable!("until it is closed")
            });
            rt::sleep(Duration::from_millis(10));
            tx.close();
            assert!(looks.join().unwrap() > 1);
        });
    });
}

/// Whoever has been handed a value goes on before those who have handed one over, in whatever order they were readied. So a value that is on
/// its way comes to its end before others are begun.
#[test]
fn who_has_a_value_goes_before_who_had_one() {
    struct Token;
    watchdog(|| {
        for receiver_at in 0..3 {
            let order = runtime(1).run(move || {
                let order = Arc::new(Mutex::new(Vec::new()));
                let ((hand, handed), (offer, offered)) = (bounded(0), bounded(0));
                let goes_on = order.clone();
                drop(go(move || {
                    handed.recv().unwrap();
                    goes_on.lock().unwrap().push("receiver");
                }));
                for sender in ["a sender", "the other"] {
                    let (goes_on, offer) = (order.clone(), offer.clone());
                    drop(go(move || {
                        offer.send(Token).unwrap_or_else(|_| unreachable!("open"));
                        goes_on.lock().unwrap().push(sender);
                    }));
                }
                // Who has begun has stopped when this goes on, for there is nobody else to run.
                while waiting::<Token>().len() < 3 {
                    rt::yield_now();
                }
                for at in 0..3 {
                    if at == receiver_at {
                        hand.send(Token).unwrap_or_else(|_| unreachable!("open"));
                    } else {
                        offered.recv().unwrap();
                    }
                }
                rt::yield_now();
                std::mem::take(&mut *order.lock().unwrap())
            });
            assert_eq!((order[0], order.len()), ("receiver", 3), "readied at {receiver_at}: {order:?}");
        }
    });
}

/// However many are started at once, each runs once; on one worker, in the order in which they were started.
#[test]
fn a_queue_of_any_length() {
    watchdog(|| {
        for workers in [1, 3] {
            let runtime = runtime(workers);
            for length in (0..40).chain((40..600).step_by(61)) {
                let mut ran = runtime.run(move || {
                    let (tx, rx) = unbounded();
                    for i in 0..length {
                        let tx = tx.clone();
                        go(move || tx.send(i).unwrap());
                    }
                    drop(tx);
                    rx.iter().collect::<Vec<_>>()
                });
                if workers > 1 {
                    ran.sort_unstable();
                }
                assert!(ran.into_iter().eq(0..length), "{workers} workers, {length}");
            }
        }
    });
}

/// Work that appears just as the last worker goes to sleep is done: from a thread, from a goroutine, from both at once.
#[test]
fn nobody_sleeps_beside_work() {
    watchdog(|| {
        let runtime = Arc::new(runtime(2));
        let outside = thread::spawn({
            let runtime = runtime.clone();
            move || {
                for i in 0..4000_u32 {
                    assert_eq!(runtime.go(move || i).join().unwrap(), i);
                }
            }
        });
        runtime.run(|| {
            for i in 0..4000_u32 {
                assert_eq!(rt::spawn(async move { go(move || i).await.unwrap() }).join().unwrap(), i);
                if i % 64 == 0 {
                    rt::sleep(Duration::from_micros(u64::from(i / 64)));
                }
            }
        });
        outside.join().unwrap();
        // Nobody but who waits for it would wake the one worker, which comes sooner or later after that has had nothing to do.
        let runtime = self::runtime(1);
        for i in 0..50_000_u32 {
            let start = Instant::now();
            while start.elapsed() < Duration::from_nanos(u64::from(i % 500) * 40) {}
            let one = runtime.go(move || i);
            // Asleep itself, this thread would always be too late.
            while !one.is_finished() {
                assert!(start.elapsed() < PATIENCE / 2);
            }
        }
    });
}

/// A worker that has often looked in vain whether more is sent to its goroutines looks for a shorter time before it sleeps, but at what
/// others have all the same: what starts beside somebody who computes starts before the monitor sees to it. (Where the machine has so much to
/// do that the worker is not even woken in time, nothing is to be learnt.)
#[test]
fn who_looks_for_a_short_time_looks_at_others() {
    const SOON: Duration = Duration::from_micros(300);
    watchdog(|| {
        let took = runtime(2).run(|| {
            let (here, heard) = (thread::current().id(), Arc::new(AtomicUsize::new(0)));
            let (tell, told) = unbounded();
            let listeners: Vec<_> = (0..16)
                .map(|_| {
                    let ((tx, rx), tell, heard) = (bounded::<()>(1), tell.clone(), heard.clone());
                    drop(go(move || {
                        tell.send(thread::current().id()).unwrap();
                        for () in rx.iter() {
                            heard.fetch_add(1, Ordering::SeqCst);
                        }
                    }));
                    tx
                })
                .collect();
            if told.iter().take(listeners.len()).all(|home| home == here) {
                return Vec::new();
            }
            // Whoever lives there, the worker is woken for the messages, and finds that meanwhile nothing has run here. Is it soon?
            let wake_in_vain = || {
                let before = heard.load(Ordering::SeqCst);
                for listener in &listeners {
                    let _ = listener.try_send(());
                }
                spin_for(SOON);
                let is_soon = heard.load(Ordering::SeqCst) > before;
                rt::yield_now();
                is_soon
            };
            let try_once = || {
                let counts = (0..10).fold(false, |_, _| wake_in_vain());
                let started = Arc::new(AtomicUsize::new(0));
                for _ in 0..2 {
                    let started = started.clone();
                    drop(go(move || started.fetch_add(1, Ordering::SeqCst)));
                }
                let start = Instant::now();
                while started.load(Ordering::SeqCst) == 0 && start.elapsed() < Duration::from_millis(100) {
                    std::hint::spin_loop();
                }
                let took = start.elapsed();
                while started.load(Ordering::SeqCst) < 2 {
                    rt::yield_now();
                }
                counts.then_some(took)
            };
            (0..30).filter_map(|_| try_once()).take(10).collect()
        });
        let soonest = took.iter().min();
        assert!(took.len() < 5 || soonest.is_some_and(|took| *took < 2 * SOON), "{took:?}");
    });
}

/// Who computes keeps nothing but himself from running: what he has started runs elsewhere, tasks and goroutines.
#[test]
fn who_computes_keeps_nobody() {
    watchdog(|| {
        let runtime = runtime(2);
        for tasks in [false, true] {
            runtime.run(move || {
                let ran = Arc::new(AtomicUsize::new(0));
                for wanted in 1..=3 {
                    let runs = ran.clone();
                    if tasks {
                        drop(rt::spawn(async move { runs.fetch_add(1, Ordering::SeqCst) }));
                    } else {
                        drop(go(move || runs.fetch_add(1, Ordering::SeqCst)));
                    }
                    let start = Instant::now();
                    while ran.load(Ordering::SeqCst) < wanted {
                        assert!(start.elapsed() < PATIENCE);
                        thread::yield_now();
                    }
                }
            });
        }
    });
}

/// A hundred that first wait for a job, started by one goroutine: they live on both workers, and no worker has more than sixty.
/// (On a machine that has more to do than processors a worker may not get its turn in time: one round in ten is forgiven.)
#[test]
fn a_pool_is_spread() {
    const POOL: usize = 100;
    struct Job;
    watchdog(|| {
        let runtime = runtime(2);
        let mut uneven = Vec::new();
        for _ in 0..10 {
            let (jobs, work) = bounded(0);
            let (tells, threads) = unbounded();
            let starter = runtime.go(move || {
                for _ in 0..POOL {
                    let (work, tells) = (work.clone(), tells.clone());
                    go(move || {
                        let Job = work.recv().unwrap();
                        tells.send(thread::current().id()).unwrap();
                    });
                }
            });
            starter.join().unwrap();
            wait_for_waiting::<Job>(POOL);
            (0..POOL).for_each(|_| assert!(jobs.send(Job).is_ok()));
            let mut homes = HashMap::new();
            threads.iter().for_each(|thread| *homes.entry(thread).or_insert(0) += 1);
            assert_eq!(homes.values().sum::<usize>(), POOL);
            if homes.values().any(|residents| *residents > 60) {
                uneven.push(homes);
            }
        }
        assert!(uneven.len() <= 1, "{uneven:?}");
    });
}

/// Where another would be let run, it is seen.
struct Witness(Arc<AtomicBool>);

impl Witness {
    /// One that wants `lock`, whose holder is who calls.
    fn of(lock: &Arc<Mutex<()>>) -> Self {
        let ran = Arc::new(AtomicBool::new(false));
        let (lock, runs) = (lock.clone(), ran.clone());
        go(move || {
            runs.store(true, Ordering::SeqCst);
            // The worker waits here for the holder, whom it alone can run.
            drop(lock.lock());
        });
        Self(ran)
    }
}

/// Operations that never wait never let others run: who holds a lock across them is not overtaken by who wants it.
#[test]
fn what_never_waits_never_yields() {
    type Operation = fn(&Sender<u32>, &Receiver<u32>);
    let operations: [(&str, Operation); 9] = [
        ("unbounded send", |tx, _| tx.send(1).unwrap()),
        ("try_send", |tx, _| tx.try_send(1).unwrap()),
        ("try_send to a buffer", |_, _| {
            let (tx, _rx) = bounded(1);
            tx.try_send(1).unwrap();
        }),
        ("try_recv", |tx, rx| assert!(tx.try_send(1).is_ok() && rx.try_recv().is_ok())),
        ("a refused try", |_, rx| assert!(rx.try_recv().is_err())),
        ("try_iter", |_, rx| assert_eq!(rx.try_iter().count(), 0)),
        ("select with default", |_, rx| {
            select! {
                recv(rx) -> _ => unreachable!(),
                default => {}
            }
        }),
        ("close", |_, _| assert!(bounded::<u32>(1).0.close())),
        ("drop", |_, _| drop((bounded::<u32>(0), unbounded::<u32>()))),
    ];
    watchdog(move || {
        let runtime = runtime(1);
        for (name, operation) in operations {
            runtime.run(move || {
                let lock = Arc::new(Mutex::new(()));
                let (tx, rx) = unbounded();
                let held = lock.lock();
                let witness = Witness::of(&lock);
                (0..1000).for_each(|_| operation(&tx, &rx));
                assert!(!witness.0.load(Ordering::SeqCst), "{name}");
                drop(held);
            });
        }
    });
}

/// Operations that might wait do, once in a while, though they need not.
#[test]
fn what_may_wait_yields() {
    type Operation = fn(&Sender<u32>, &Receiver<u32>);
    // One of two waits, so that it is that one that yields.
    let operations: [(&str, Operation); 6] = [
        ("send", |tx, rx| {
            tx.send(1).unwrap();
            rx.try_recv().unwrap();
        }),
        ("receive", |tx, rx| {
            tx.try_send(1).unwrap();
            rx.recv().unwrap();
        }),
        ("send with a time limit", |tx, rx| {
            tx.send_timeout(1, PATIENCE).unwrap();
            rx.try_recv().unwrap();
        }),
        ("receive with a time limit", |tx, rx| {
            tx.try_send(1).unwrap();
            rx.recv_timeout(PATIENCE).unwrap();
        }),
        ("a list", |tx, rx| {
            let mut list = Select::new();
            list.send(tx);
            list.select().send(tx, 1).unwrap();
            rx.try_recv().unwrap();
        }),
        ("select", |tx, rx| {
            select! {
                send(tx, 1) -> _ => _ = rx.try_recv(),
                recv(gochan::never::<()>()) -> _ => unreachable!(),
            }
        }),
    ];
    watchdog(move || {
        let runtime = runtime(1);
        for (name, operation) in operations {
            let operations = runtime.run(move || {
                let (tx, rx) = bounded(1);
                let witness = Witness::of(&Arc::default());
                let is_seen = || witness.0.load(Ordering::SeqCst);
                (0..10_000).take_while(|_| !is_seen()).inspect(|_| operation(&tx, &rx)).count()
            });
            assert!(operations < 1000, "{name}: nobody else ran during {operations} operations");
        }
    });
}

/// Who computes for long between two sends is soon known to be slow, and then never far ahead of whom he sends to.
#[test]
fn who_is_slow_yields_sooner() {
    watchdog(|| {
        runtime(1).run(|| {
            let (tx, rx) = bounded(100);
            let sent = Arc::new(AtomicUsize::new(0));
            let sends = sent.clone();
            go(move || {
                for i in 1..=500 {
                    spin_for(Duration::from_micros(50));
                    sends.store(i, Ordering::Relaxed);
                    tx.send(i).unwrap();
                }
            });
            let ahead: Vec<_> = rx.iter().map(|i| sent.load(Ordering::Relaxed) - i).collect();
            let most = |ahead: &[usize]| *ahead.iter().max().unwrap();
            let (first, later) = ahead.split_at(50);
            assert!(most(first) <= 20 && most(later) <= 8, "{ahead:?}");
        });
    });
}

/// Until `deadline` is over for sure, since `start`. So many turns that the worker looks at the clock with a wake-up in its queue, in
/// one round or another.
fn outlast(deadline: Duration, start: Instant, round: u32) {
    (0..round % 17).for_each(|_| rt::yield_now());
    while start.elapsed() < deadline * 2 {
        std::hint::spin_loop();
    }
}

/// A deadline that passes while a wake-up is on its way: the goroutine takes that before it goes on, or ends.
#[test]
fn a_wake_up_behind_a_deadline() {
    watchdog(|| {
        let runtime = runtime(1);
        for round in 0..300 {
            runtime.run(move || {
                let (tx, rx) = bounded(0);
                let deadline = Duration::from_micros(200);
                let start = Instant::now();
                let waits = go(move || rx.recv_timeout(deadline));
                rt::yield_now();
                outlast(deadline, start, round);
                let sent = tx.try_send(round).is_ok();
                let received = waits.join().unwrap();
                assert_eq!(received.ok(), sent.then_some(round));
            });
        }
    });
}

/// The same for a select that has met a sender without a value.
#[test]
fn a_wake_up_behind_the_deadline_of_a_meeting() {
    watchdog(|| {
        let runtime = runtime(1);
        for round in 0..300 {
            runtime.run(move || {
                let (tx, rx) = bounded(0);
                let deadline = Duration::from_micros(200);
                let value = move || {
                    outlast(deadline, Instant::now(), round);
                    round
                };
                let sends =
                    go(move || select! { send(tx, value()) -> sent => sent.is_ok(), default(PATIENCE) => false });
                rt::yield_now();
                let waits = go(move || select! { recv(rx) -> got => got.ok(), default(deadline) => None });
                let received = waits.join().unwrap();
                assert!(received.is_none_or(|received| received == round));
                assert!(sends.join().unwrap() || received.is_none());
            });
        }
    });
}

/// One worker, and somebody on it who never has to wait: who is started from outside runs all the same.
#[test]
fn who_comes_from_outside_is_let_in() {
    watchdog(|| {
        let runtime = runtime(1);
        let over = Arc::new(AtomicBool::new(false));
        let hog = runtime.go({
            let over = over.clone();
            move || {
                let (tx, rx) = bounded(1);
                while !over.load(Ordering::Relaxed) {
                    tx.send(()).unwrap();
                    rx.recv().unwrap();
                }
            }
        });
        thread::sleep(Duration::from_millis(5));
        assert_eq!(runtime.go(|| 1).join().unwrap(), 1);
        assert_eq!(runtime.spawn(async { 2 }).join().unwrap(), 2);
        over.store(true, Ordering::Relaxed);
        hog.join().unwrap();
    });
}

/// Who was started a moment ago is one of the others.
#[test]
fn a_yield_lets_who_is_new_run() {
    watchdog(|| {
        runtime(1).run(|| {
            for _ in 0..100 {
                let ran = Arc::new(AtomicBool::new(false));
                let runs = ran.clone();
                go(move || runs.store(true, Ordering::SeqCst));
                rt::yield_now();
                assert!(ran.load(Ordering::SeqCst));
            }
        });
    });
}

/// Counts of who lives come back to nothing when all has ended.
#[test]
fn everybody_ends() {
    watchdog(|| {
        let runtime = runtime(2);
        runtime.run(|| {
            let (tx, rx) = bounded::<u32>(4);
            for _ in 0..50 {
                let (tx, rx) = (tx.clone(), rx.clone());
                go(move || rx.iter().take(10).for_each(drop));
                go(move || (0..10).for_each(|i| tx.send(i).unwrap()));
            }
        });
        wait_until(|| runtime.num_goroutines() == 0);
    });
}
