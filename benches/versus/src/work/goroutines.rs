//! Part 3: goroutines. The workloads are written once, as `async` code (see [`Goroutines`]).

use crate::kinds::{AsyncRx, AsyncTx, Chan, Goroutines};
use crate::measure::{Metrics, cpu_time, memory, ns_per_op, percentile};
use crate::scenario::Job;
use crate::work::threads::check;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const RING: usize = 503;
const FANIN: usize = 100;
const PRIMES: usize = 2_000;
const LAST_PRIME: usize = 17_389;
const SKYNET: usize = 1_000_000;
/// Told to a goroutine that it should end.
const STOP: usize = usize::MAX;

pub fn cell<G: Goroutines>(job: Job, workers: usize, target: Duration) -> Option<Metrics> {
    // Where goroutines run in lockstep anyway capacity 1 is close enough; elsewhere it would be another task. And what
    // paces a generator is a bound.
    let least = <G::Tight as Chan>::LEAST;
    match job {
        Job::Fanin0 if least != Some(0) => None,
        Job::Sieve | Job::Skynet if least.is_none() => None,
        Job::Pingpong => ns_per_op(target, 1, |n| G::run(workers, pingpong::<G>(n))),
        Job::Threadring => ns_per_op(target, 1, |n| G::run(workers, threadring::<G>(n))),
        Job::Fanin0 => ns_per_op(target, FANIN, |n| G::run(workers, fanin::<G, G::Tight>(n, 0))),
        Job::Fanin100 => ns_per_op(target, FANIN, |n| G::run(workers, fanin::<G, G::Roomy>(n, 100))),
        Job::Sieve => Some(vec![("s", G::run(workers, sieve::<G>())?.as_secs_f64())]),
        Job::Skynet if G::MOST < SKYNET => None,
        Job::Skynet => Some(vec![("s", G::run(workers, skynet::<G>())?.as_secs_f64())]),
        Job::Parked(n) if G::MOST < n => None,
        Job::Parked(n) => G::run(workers, parked::<G>(n)),
        _ if !G::IS_RUNTIME => None,
        Job::Spawn => ns_per_op(target, 1, |n| Some(G::run(workers, spawn::<G>(n)))),
        Job::Yield => ns_per_op(target, 2, |n| Some(G::run(workers, yielding::<G>(n)))),
        Job::Timer(n) if G::MOST < n => None,
        Job::Timer(n) => Some(G::run(workers, timers::<G>(n))),
    }
}

/// Two goroutines and two channels; one operation is a round trip.
async fn pingpong<G: Goroutines>(n: usize) -> Option<Duration> {
    let (mut ping, mut pinged) = G::Tight::new(0)?;
    let (mut pong, mut ponged) = G::Tight::new(0)?;
    let echo = G::go(async move {
        for _ in 0..n {
            let value = pinged.recv().await.unwrap();
            assert!(pong.send(value).await);
        }
    });
    let start = Instant::now();
    let mut sum = 0;
    for value in 0..n {
        assert!(ping.send(value).await);
        sum += ponged.recv().await.unwrap();
    }
    check(n, sum);
    let took = start.elapsed();
    echo.await;
    Some(took)
}

/// A token passed around a ring of 503 goroutines; one operation is a hop.
async fn threadring<G: Goroutines>(n: usize) -> Option<Duration> {
    let mut ring = Ring::<G>::new(RING)?;
    let took = ring.pass(n).await;
    ring.stop().await;
    Some(took)
}

/// Goroutines in a ring, each of which passes a token on; who gets it with no hops left tells.
pub struct Ring<G: Goroutines> {
    size: usize,
    first: Tx<G>,
    finished: Rx<G>,
}

impl<G: Goroutines> Ring<G> {
    pub fn new(size: usize) -> Option<Self> {
        let (done, finished) = G::Tight::new(0)?;
        let (first, mut rx) = G::Tight::new(0)?;
        for i in 0..size {
            let (next, next_rx) = if i + 1 < size {
                let (tx, rx) = G::Tight::new(0)?;
                (tx, Some(rx))
            } else {
                (first.clone(), None)
            };
            let (mut here, mut next, mut done) = (rx, next, done.clone());
            drop(G::go(async move {
                while let Some(hops) = here.recv().await {
                    match hops {
                        STOP if i + 1 == size => {
                            done.send(STOP).await;
                            break;
                        }
                        STOP => {
                            next.send(STOP).await;
                            break;
                        }
                        0 => assert!(done.send(i).await),
                        hops => assert!(next.send(hops - 1).await),
                    }
                }
            }));
            match next_rx {
                Some(next_rx) => rx = next_rx,
                None => break,
            }
        }
        Some(Ring { size, first, finished })
    }

    /// How long that many hops take.
    pub async fn pass(&mut self, hops: usize) -> Duration {
        let start = Instant::now();
        self.first.send(hops).await;
        let last = self.finished.recv().await;
        let took = start.elapsed();
        assert_eq!(last, Some(hops % self.size), "the token ended in the wrong place");
        took
    }

    /// All of them have ended then, or are about to.
    pub async fn stop(mut self) {
        self.first.send(STOP).await;
        assert_eq!(self.finished.recv().await, Some(STOP));
    }
}

/// A hundred producers, one consumer; one operation is a message.
async fn fanin<G: Goroutines, C: Chan>(n: usize, cap: usize) -> Option<Duration> {
    let (tx, mut rx) = C::new(cap)?;
    let share = n / FANIN;
    let start = Instant::now();
    for i in 0..FANIN {
        let mut tx = tx.clone();
        drop(G::go(async move {
            for value in i * share..(i + 1) * share {
                assert!(tx.send(value).await);
            }
        }));
    }
    let mut sum = 0;
    for _ in 0..n {
        sum += rx.recv().await.unwrap();
    }
    check(n, sum);
    Some(start.elapsed())
}

/// Start goroutines that do nothing, and wait for them.
async fn spawn<G: Goroutines>(n: usize) -> Duration {
    let start = Instant::now();
    let ran = Arc::new(AtomicUsize::new(0));
    let mut left = n;
    while left > 0 {
        let batch = left.min(G::SPAWN_BATCH);
        let mut handles = Vec::with_capacity(batch);
        for _ in 0..batch {
            let ran = ran.clone();
            handles.push(G::go(async move {
                ran.fetch_add(1, Ordering::Relaxed);
            }));
        }
        for handle in handles {
            handle.await;
        }
        left -= batch;
    }
    assert_eq!(ran.load(Ordering::Relaxed), n);
    start.elapsed()
}

/// Two goroutines that yield to each other; one operation is a yield.
async fn yielding<G: Goroutines>(n: usize) -> Duration {
    let yields = move || async move {
        for _ in 0..n / 2 {
            G::yield_now().await;
        }
    };
    let start = Instant::now();
    let (one, two) = (G::go(yields()), G::go(yields()));
    one.await;
    two.await;
    start.elapsed()
}

/// The prime sieve of Go's tour: a goroutine for every prime, the first 2,000 of them.
async fn sieve<G: Goroutines>() -> Option<Duration> {
    let start = Instant::now();
    let (mut tx, mut rx) = G::Tight::new(0)?;
    drop(G::go(async move {
        let mut number = 2;
        while tx.send(number).await {
            number += 1;
        }
    }));
    let mut prime = 0;
    for _ in 0..PRIMES {
        prime = rx.recv().await?;
        let (mut next, next_rx) = G::Tight::new(0)?;
        let mut here = std::mem::replace(&mut rx, next_rx);
        drop(G::go(async move {
            while let Some(number) = here.recv().await {
                if number % prime != 0 && !next.send(number).await {
                    break;
                }
            }
        }));
    }
    assert_eq!(prime, LAST_PRIME);
    Some(start.elapsed())
}

/// A tree of goroutines, ten children each, a million leaves; every leaf sends its number to its parent, every parent
/// the sum of its children.
async fn skynet<G: Goroutines>() -> Option<Duration> {
    let start = Instant::now();
    let (tx, mut rx) = G::Tight::new(0)?;
    drop(G::go(node::<G>(tx, 0, SKYNET)));
    check(SKYNET, rx.recv().await?);
    Some(start.elapsed())
}

type Tx<G> = <<G as Goroutines>::Tight as Chan>::Tx;
type Rx<G> = <<G as Goroutines>::Tight as Chan>::Rx;

fn node<G: Goroutines>(mut parent: Tx<G>, first: usize, leaves: usize) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        let (tx, mut rx) = G::Tight::new(0).expect("as for the root");
        let share = leaves / 10;
        for child in 0..10 {
            let (mut tx, number) = (tx.clone(), first + child * share);
            if share == 1 {
                drop(G::go(async move { assert!(tx.send(number).await) }));
            } else {
                drop(G::go(node::<G>(tx, number, share)));
            }
        }
        let mut sum = 0;
        for _ in 0..10 {
            sum += rx.recv().await.unwrap();
        }
        assert!(parent.send(sum).await);
    })
}

/// Goroutines that all wait to receive from one channel: what each adds to the process while it waits.
async fn parked<G: Goroutines>(n: usize) -> Option<Metrics> {
    let (mut tx, rx) = G::Shared::new(0)?;
    let started = Arc::new(AtomicUsize::new(0));
    let (sum, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (rss, vm) = memory();
    let start = Instant::now();
    for _ in 0..n {
        let (mut rx, started) = (rx.clone(), started.clone());
        let (sum, ended) = (sum.clone(), ended.clone());
        drop(G::go(async move {
            started.fetch_add(1, Ordering::Relaxed);
            let value = rx.recv().await.unwrap();
            sum.fetch_add(value, Ordering::Relaxed);
            ended.fetch_add(1, Ordering::Release);
        }));
    }
    wait_for::<G>(&started, n).await;
    let took = start.elapsed();
    // The last ones are about to park.
    G::sleep(Duration::from_millis(50)).await;
    let (rss_parked, vm_parked) = memory();
    for value in 0..n {
        assert!(tx.send(value).await);
    }
    wait_for::<G>(&ended, n).await;
    check(n, sum.load(Ordering::Relaxed));
    Some(vec![
        ("RSS B", (rss_parked - rss) / n as f64),
        ("VM B", (vm_parked - vm) / n as f64),
        ("start s", took.as_secs_f64()),
    ])
}

/// Sleepers whose sleeps are spread evenly from 0.1 to 1 second: how late they wake.
async fn timers<G: Goroutines>(n: usize) -> Metrics {
    let late: Arc<[AtomicUsize]> = (0..n).map(|_| AtomicUsize::new(0)).collect();
    let woken = Arc::new(AtomicUsize::new(0));
    let (start, cpu) = (Instant::now(), cpu_time());
    for i in 0..n {
        let (late, woken) = (late.clone(), woken.clone());
        let nap = Duration::from_micros(100_000 + (900_000 * i / n) as u64);
        drop(G::go(async move {
            let asleep = Instant::now();
            G::sleep(nap).await;
            late[i].store((asleep.elapsed() - nap).as_nanos() as usize, Ordering::Relaxed);
            woken.fetch_add(1, Ordering::Release);
        }));
    }
    G::sleep(Duration::from_secs(1)).await;
    wait_for::<G>(&woken, n).await;
    let (wall, cpu) = (start.elapsed(), cpu_time() - cpu);
    let mut late: Vec<_> = late.iter().map(|ns| ns.load(Ordering::Relaxed)).collect();
    late.sort_unstable();
    vec![
        ("late p50 us", percentile(&late, 0.50) as f64 / 1e3),
        ("late p99 us", percentile(&late, 0.99) as f64 / 1e3),
        ("CPU s", cpu.as_secs_f64()),
        ("wall s", wall.as_secs_f64()),
    ]
}

pub async fn wait_for<G: Goroutines>(count: &AtomicUsize, n: usize) {
    while count.load(Ordering::Acquire) < n {
        G::sleep(Duration::from_millis(1)).await;
    }
}
