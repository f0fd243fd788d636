//! Latency of a hand-off: from just before `send` to just after the receive that got the message; and what a million
//! messages cost in CPU time.

use crate::kinds::{AsyncRx, AsyncTx, AsyncUse, BlockingRx, BlockingTx, BlockingUse, Chan, Goroutines, Tasks, Threads};
use crate::measure::{Metrics, calibrated, cpu_time, now_ns, percentile};
use crate::scenario::{Pace, Room};
use crate::work::tasks::runtime;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

const PAUSE: Duration = Duration::from_micros(100);
/// Senders and receivers under load.
const CROWD: usize = 4;

/// What a run yields: how long it took, and the latency of every message in ns.
pub type Run = (Duration, Vec<usize>);

fn width(pace: Pace) -> usize {
    if pace == Pace::Loaded { CROWD } else { 1 }
}

pub fn threads_cell<L: Threads>(pace: Pace, room: Room, target: Duration) -> Option<Metrics> {
    measure(target, |n| {
        let cap = room.cap(n);
        match pace {
            Pace::Handoff => L::open(cap, 1, 1, There { n, room, lib: PhantomData::<L> })?,
            _ => L::open(cap, width(pace), width(pace), Stream { n, pace }),
        }
    })
}

pub fn tasks_cell<L: Tasks>(pace: Pace, room: Room, target: Duration) -> Option<Metrics> {
    let runtime = &runtime(2);
    measure(target, |n| {
        let cap = room.cap(n);
        match pace {
            Pace::Handoff => L::open(cap, 1, 1, TaskThere { n, room, runtime, lib: PhantomData::<L> })?,
            _ => L::open(cap, width(pace), width(pace), TaskStream { n, pace, runtime }),
        }
    })
}

pub fn goroutines_cell<G: Goroutines>(pace: Pace, room: Room, target: Duration) -> Option<Metrics> {
    let Room::Bounded(cap) = room else { return None };
    if cap == 0 && <G::Tight as Chan>::LEAST != Some(0) {
        return None;
    }
    measure(target, |n| match pace {
        Pace::Loaded => G::run(2, crowd::<G>(n, cap)),
        Pace::Handoff if cap == 0 => G::run(2, echo::<G, G::Tight>(n, cap)),
        Pace::Handoff => G::run(2, echo::<G, G::Roomy>(n, cap)),
        _ if cap == 0 => G::run(2, one_way::<G, G::Tight>(n, cap, pace)),
        _ => G::run(2, one_way::<G, G::Roomy>(n, cap, pace)),
    })
}

/// Percentiles of the last run, and its CPU time.
pub fn measure(target: Duration, mut run: impl FnMut(usize) -> Option<Run>) -> Option<Metrics> {
    now_ns();
    let (mut latencies, mut cpu) = (Vec::new(), Duration::ZERO);
    let (n, _) = calibrated(target, CROWD, |n| {
        let before = cpu_time();
        let (took, samples) = run(n)?;
        (latencies, cpu) = (samples, cpu_time() - before);
        Some(took)
    })?;
    latencies.sort_unstable();
    Some(vec![
        ("p50 ns", percentile(&latencies, 0.5) as f64),
        ("p99 ns", percentile(&latencies, 0.99) as f64),
        ("p99.9 ns", percentile(&latencies, 0.999) as f64),
        ("CPU s/M", cpu.as_secs_f64() / n as f64 * 1e6),
    ])
}

/// How long ago that stamp was taken.
fn since(stamp: usize) -> usize {
    now_ns().saturating_sub(stamp)
}

// ---- Back and forth: every message is a stamp ----

/// Has the channel there, opens the one back.
struct There<L> {
    n: usize,
    room: Room,
    lib: PhantomData<L>,
}

struct Back<S, R> {
    n: usize,
    tx: S,
    rx: R,
}

impl<L: Threads> BlockingUse<usize> for There<L> {
    type Out = Option<Run>;

    fn run<S: BlockingTx<usize>, R: BlockingRx<usize>>(self, senders: Vec<S>, receivers: Vec<R>) -> Option<Run> {
        let (tx, rx) = (only(senders), only(receivers));
        L::open(self.room.cap(self.n), 1, 1, Back { n: self.n, tx, rx })
    }
}

impl<S: BlockingTx<usize>, R: BlockingRx<usize>> BlockingUse<usize> for Back<S, R> {
    type Out = Run;

    fn run<S2: BlockingTx<usize>, R2: BlockingRx<usize>>(self, senders: Vec<S2>, receivers: Vec<R2>) -> Run {
        let Back { n, mut tx, mut rx } = self;
        let (mut tx_back, mut rx_back) = (only(senders), only(receivers));
        let start = Instant::now();
        let latencies = thread::scope(|scope| {
            let echo = scope.spawn(move || {
                let mut latencies = Vec::with_capacity(n);
                for _ in 0..n / 2 {
                    latencies.push(since(rx.recv()));
                    tx_back.send(now_ns());
                }
                latencies
            });
            let mut latencies = Vec::with_capacity(n);
            for _ in 0..n / 2 {
                tx.send(now_ns());
                latencies.push(since(rx_back.recv()));
            }
            latencies.append(&mut echo.join().unwrap());
            latencies
        });
        (start.elapsed(), latencies)
    }
}

struct TaskThere<'a, L> {
    n: usize,
    room: Room,
    runtime: &'a Runtime,
    lib: PhantomData<L>,
}

struct TaskBack<'a, S, R> {
    n: usize,
    runtime: &'a Runtime,
    tx: S,
    rx: R,
}

impl<L: Tasks> AsyncUse<usize> for TaskThere<'_, L> {
    type Out = Option<Run>;

    fn run<S: AsyncTx<usize>, R: AsyncRx<usize>>(self, senders: Vec<S>, receivers: Vec<R>) -> Option<Run> {
        let (tx, rx) = (only(senders), only(receivers));
        L::open(self.room.cap(self.n), 1, 1, TaskBack { n: self.n, runtime: self.runtime, tx, rx })
    }
}

impl<S: AsyncTx<usize>, R: AsyncRx<usize>> AsyncUse<usize> for TaskBack<'_, S, R> {
    type Out = Run;

    fn run<S2: AsyncTx<usize>, R2: AsyncRx<usize>>(self, senders: Vec<S2>, receivers: Vec<R2>) -> Run {
        let TaskBack { n, runtime, tx, rx } = self;
        let (tx_back, rx_back) = (only(senders), only(receivers));
        let start = Instant::now();
        let echo = runtime.spawn(pong(rx, tx_back, n / 2));
        let ping = runtime.spawn(async move {
            let mut latencies = ping(tx, rx_back, n / 2).await;
            latencies.append(&mut echo.await.unwrap());
            latencies
        });
        let latencies = runtime.block_on(ping).unwrap();
        (start.elapsed(), latencies)
    }
}

fn only<T>(ends: Vec<T>) -> T {
    ends.into_iter().next().expect("a channel has ends")
}

/// Sends a stamp, and waits for the one that comes back.
async fn ping(mut tx: impl AsyncTx<usize>, mut rx: impl AsyncRx<usize>, n: usize) -> Vec<usize> {
    let mut latencies = Vec::with_capacity(2 * n);
    for _ in 0..n {
        assert!(tx.send(now_ns()).await);
        latencies.push(since(rx.recv().await.unwrap()));
    }
    latencies
}

/// The other side.
async fn pong(mut rx: impl AsyncRx<usize>, mut tx: impl AsyncTx<usize>, n: usize) -> Vec<usize> {
    let mut latencies = Vec::with_capacity(n);
    for _ in 0..n {
        latencies.push(since(rx.recv().await.unwrap()));
        assert!(tx.send(now_ns()).await);
    }
    latencies
}

// ---- One way: paced, or as fast as it goes ----

struct Stream {
    n: usize,
    pace: Pace,
}

impl BlockingUse<usize> for Stream {
    type Out = Run;

    fn run<S: BlockingTx<usize>, R: BlockingRx<usize>>(self, senders: Vec<S>, receivers: Vec<R>) -> Run {
        let share = self.n / senders.len();
        let start = Instant::now();
        let latencies = thread::scope(|scope| {
            for mut tx in senders {
                scope.spawn(move || {
                    for _ in 0..share {
                        if self.pace == Pace::Paced {
                            thread::sleep(PAUSE);
                        }
                        tx.send(now_ns());
                    }
                });
            }
            let receive = |mut rx: R| move || (0..share).map(|_| since(rx.recv())).collect::<Vec<_>>();
            let threads: Vec<_> = receivers.into_iter().map(|rx| scope.spawn(receive(rx))).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        (start.elapsed(), latencies)
    }
}

struct TaskStream<'a> {
    n: usize,
    pace: Pace,
    runtime: &'a Runtime,
}

impl AsyncUse<usize> for TaskStream<'_> {
    type Out = Run;

    fn run<S: AsyncTx<usize>, R: AsyncRx<usize>>(self, senders: Vec<S>, receivers: Vec<R>) -> Run {
        let TaskStream { n, pace, runtime } = self;
        let share = n / senders.len();
        let start = Instant::now();
        for mut tx in senders {
            let task = async move {
                for _ in 0..share {
                    if pace == Pace::Paced {
                        // tokio's timers tick once a millisecond, too coarse for the pause: a thread of its own sleeps.
                        tokio::task::spawn_blocking(|| thread::sleep(PAUSE)).await.unwrap();
                    }
                    assert!(tx.send(now_ns()).await);
                }
            };
            runtime.spawn(task);
        }
        let tasks: Vec<_> = receivers.into_iter().map(|rx| runtime.spawn(receive(rx, share))).collect();
        let latencies = tasks.into_iter().flat_map(|task| runtime.block_on(task).unwrap()).collect();
        (start.elapsed(), latencies)
    }
}

async fn receive(mut rx: impl AsyncRx<usize>, n: usize) -> Vec<usize> {
    let mut latencies = Vec::with_capacity(n);
    for _ in 0..n {
        latencies.push(since(rx.recv().await.unwrap()));
    }
    latencies
}

// ---- Goroutines ----

/// What several of them have measured.
type Latencies = Arc<Mutex<Vec<usize>>>;

/// A goroutine that measures.
fn measuring<G: Goroutines>(
    work: impl Future<Output = Vec<usize>> + Send + 'static,
    all: &Latencies,
) -> impl Future<Output = ()> + Send + 'static {
    let all = all.clone();
    G::go(async move {
        let mut latencies = work.await;
        all.lock().unwrap().append(&mut latencies);
    })
}

fn collected(all: &Latencies) -> Vec<usize> {
    std::mem::take(&mut all.lock().unwrap())
}

async fn echo<G: Goroutines, C: Chan>(n: usize, cap: usize) -> Option<Run> {
    let (tx, rx) = C::new(cap)?;
    let (tx_back, rx_back) = C::new(cap)?;
    let all = Latencies::default();
    let start = Instant::now();
    let echo = measuring::<G>(pong(rx, tx_back, n / 2), &all);
    let mut latencies = ping(tx, rx_back, n / 2).await;
    echo.await;
    latencies.append(&mut collected(&all));
    Some((start.elapsed(), latencies))
}

async fn one_way<G: Goroutines, C: Chan>(n: usize, cap: usize, pace: Pace) -> Option<Run> {
    let (mut tx, rx) = C::new(cap)?;
    let all = Latencies::default();
    let start = Instant::now();
    let receiver = measuring::<G>(receive(rx, n), &all);
    for _ in 0..n {
        match pace {
            Pace::Paced => G::sleep(PAUSE).await,
            _ => compute(PAUSE),
        }
        assert!(tx.send(now_ns()).await);
    }
    receiver.await;
    Some((start.elapsed(), collected(&all)))
}

fn compute(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}

async fn crowd<G: Goroutines>(n: usize, cap: usize) -> Option<Run> {
    let (tx, rx) = <G::Shared as Chan>::new(cap)?;
    let all = Latencies::default();
    let (share, start) = (n / CROWD, Instant::now());
    let mut receivers = Vec::with_capacity(CROWD);
    for _ in 0..CROWD {
        let mut tx = tx.clone();
        drop(G::go(async move {
            for _ in 0..share {
                assert!(tx.send(now_ns()).await);
            }
        }));
        receivers.push(measuring::<G>(receive(rx.clone(), share), &all));
    }
    for receiver in receivers {
        receiver.await;
    }
    Some((start.elapsed(), collected(&all)))
}
