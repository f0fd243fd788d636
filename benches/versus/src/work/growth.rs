//! How the cost of an operation grows with how much there is besides: waiters, arms, threads, goroutines.

use crate::kinds::{
    AsyncRx, AsyncTx, AsyncUse, BlockingRx, BlockingTx, BlockingUse, Cap, Chan, Goroutines, Selects, Tasks, Threads,
    TrySelects,
};
use crate::measure::{Calibration, Metrics, ns_per_op, pin_to};
use crate::work::goroutines::{Ring, wait_for};
use crate::work::threads::check;
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

/// The capacity of the channel that threads share: room for a message of each, so that none has to wait for long.
const SHARED: usize = 64;
/// Turns of a thread at least, so that what it takes to let all of them go counts for little.
const SHARE: usize = 2_000;
/// Messages in each channel of a select, half of what it has room for.
const READY: usize = 2;

// ---- Waiters: futures that are polled by hand ----

pub fn waiters_cell<L: Tasks>(count: usize, target: Duration) -> Option<Metrics> {
    L::open::<usize, _>(Cap::Bounded(0), 1, count, Queue { target, withdraws: false })?
}

pub fn withdraw_cell<L: Tasks>(count: usize, target: Duration) -> Option<Metrics> {
    L::open::<usize, _>(Cap::Bounded(0), 1, count, Queue { target, withdraws: true })?
}

/// Every receiver waits, the first to come first.
struct Queue {
    target: Duration,
    /// What is measured: withdrawals instead of messages.
    withdraws: bool,
}

impl AsyncUse<usize> for Queue {
    type Out = Option<Metrics>;

    fn run<S: AsyncTx<usize>, R: AsyncRx<usize>>(self, senders: Vec<S>, receivers: Vec<R>) -> Option<Metrics> {
        let mut tx = senders.into_iter().next().expect("one sender");
        let count = receivers.len();
        let (sum, withdraw) = (Cell::new(0), Cell::new(false));
        let mut queue: Vec<_> = receivers.into_iter().map(|rx| Box::pin(waiter(rx, &sum, &withdraw))).collect();
        queue.iter_mut().for_each(|waiter| poll(waiter.as_mut()));
        // A waiter is served, then it is the last: who is the first goes round, also from one run to the next.
        let mut first = 0;
        let mut serve = |queue: &mut [_], n: usize| {
            sum.set(0);
            let start = Instant::now();
            for value in 0..n {
                assert!(now(tx.send(value)), "a receiver waits");
                poll(Pin::as_mut(&mut queue[first]));
                first = if first + 1 == count { 0 } else { first + 1 };
            }
            let took = start.elapsed();
            check(n, sum.get());
            took
        };
        if !self.withdraws {
            return ns_per_op(self.target, 1, |n| Some(serve(&mut queue, n)));
        }
        // Those before the middle stay where they are; the others go round, the one in the middle to the end.
        let middle = count / 2;
        let mut next = middle;
        let metrics = ns_per_op(self.target, count - middle, |n| {
            let start = Instant::now();
            for _ in 0..n {
                withdraw.set(true);
                poll(queue[next].as_mut());
                next = if next + 1 == count { middle } else { next + 1 };
            }
            Some(start.elapsed())
        });
        // All of them still wait, in their order.
        serve(&mut queue, count);
        metrics
    }
}

/// Receives for ever. Polled while it is to withdraw, it gives up what it waits for and waits anew.
async fn waiter(mut rx: impl AsyncRx<usize>, sum: &Cell<usize>, withdraw: &Cell<bool>) {
    loop {
        let mut receive = pin!(rx.recv());
        let received = poll_fn(|cx| match withdraw.take() {
            true => Poll::Ready(None),
            false => receive.as_mut().poll(cx).map(|value| Some(value.expect("closed too early"))),
        });
        let value = received.await.unwrap_or(0);
        sum.set(sum.get() + value);
    }
}

/// Polls a waiter, which is never done.
fn poll<F: Future<Output = ()>>(waiter: Pin<&mut F>) {
    assert!(waiter.poll(&mut Context::from_waker(Waker::noop())).is_pending());
}

/// What a future is at once.
fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("an operation that should have been done at once was pending"),
    }
}

// ---- Arms of a select ----

pub fn arms_cell<L: Selects>(count: usize, target: Duration) -> Option<Metrics> {
    L::open_rx::<usize, _>(Cap::Bounded(2 * READY), count, Refill { target })?
}

/// One thread takes a message from any channel and puts it back: every message is the number of its channel.
struct Refill {
    target: Duration,
}

impl BlockingUse<usize> for Refill {
    type Out = Option<Metrics>;

    fn run<S: BlockingTx<usize>, R: BlockingRx<usize>>(
        self,
        mut senders: Vec<S>,
        mut receivers: Vec<R>,
    ) -> Option<Metrics> {
        let any = &mut receivers[0];
        let count = senders.len();
        for _ in 0..READY {
            senders.iter_mut().enumerate().for_each(|(number, tx)| tx.send(number));
        }
        let metrics = ns_per_op(self.target, 1, |n| {
            let start = Instant::now();
            for _ in 0..n {
                let number = any.recv();
                senders[number].send(number);
            }
            Some(start.elapsed())
        });
        // Each is where it was.
        let mut left = vec![READY; count];
        (0..READY * count).for_each(|_| left[any.recv()] -= 1);
        metrics
    }
}

pub fn try_arms_cell<L: TrySelects>(count: usize, target: Duration) -> Option<Metrics> {
    L::over_empty(count, |any| {
        let metrics = ns_per_op(target, count, |arms| {
            let start = Instant::now();
            let ready = (0..arms / count).filter(|_| any()).count();
            let took = start.elapsed();
            assert_eq!(ready, 0, "nothing was sent");
            Some(took)
        });
        metrics.map(|metrics| metrics.into_iter().map(|(_, ns)| ("ns/arm", ns)).collect())
    })
}

// ---- Threads on one channel ----

pub fn threads_cell<L: Threads>(count: usize, target: Duration) -> Option<Metrics> {
    ns_per_op(target, count * SHARE, |n| L::open::<usize, _>(Cap::Bounded(SHARED), count, count, Turns { n }))
}

pub fn one_core_cell<L: Threads>(count: usize, target: Duration) -> Option<Metrics> {
    pin_to(0);
    threads_cell::<L>(count, target)
}

/// A thread for each pair of ends, which sends a message and receives one, in turns.
struct Turns {
    n: usize,
}

impl BlockingUse<usize> for Turns {
    type Out = Duration;

    fn run<S: BlockingTx<usize>, R: BlockingRx<usize>>(self, senders: Vec<S>, receivers: Vec<R>) -> Duration {
        let share = self.n / senders.len();
        let ready = &Barrier::new(senders.len() + 1);
        let (took, sum) = thread::scope(|scope| {
            let turns = |i: usize, mut tx: S, mut rx: R| {
                move || {
                    ready.wait();
                    ready.wait();
                    let receive = |value| {
                        tx.send(value);
                        rx.recv()
                    };
                    (i * share..(i + 1) * share).map(receive).sum::<usize>()
                }
            };
            let pairs = senders.into_iter().zip(receivers).enumerate();
            let threads: Vec<_> = pairs.map(|(i, (tx, rx))| scope.spawn(turns(i, tx, rx))).collect();
            // All are there. Who is released may run, and be done, before the thread that measures does.
            ready.wait();
            let start = Instant::now();
            ready.wait();
            let sum = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
            (start.elapsed(), sum)
        });
        check(self.n, sum);
        took
    }
}

// ---- Goroutines, on one worker ----

pub fn goroutines_cell<G: Goroutines>(count: usize, target: Duration) -> Option<Metrics> {
    if G::MOST < count { None } else { G::run(1, beside::<G>(count, target)) }
}

/// Two goroutines play ping-pong beside others that wait to receive; one operation is a round trip.
async fn beside<G: Goroutines>(count: usize, target: Duration) -> Option<Metrics> {
    let (mut ping, mut pinged) = G::Tight::new(0)?;
    let (mut pong, mut ponged) = G::Tight::new(0)?;
    let (tx, rx) = G::Shared::new(0)?;
    let (started, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    for _ in 0..count {
        let (mut rx, started, ended) = (rx.clone(), started.clone(), ended.clone());
        drop(G::go(async move {
            started.fetch_add(1, Ordering::Relaxed);
            assert!(rx.recv().await.is_none(), "nothing was sent");
            ended.fetch_add(1, Ordering::Release);
        }));
    }
    wait_for::<G>(&started, count).await;
    let echo = G::go(async move {
        while let Some(value) = pinged.recv().await {
            assert!(pong.send(value).await);
        }
    });
    let mut calibration = Calibration::new(target, 1);
    let (n, took) = loop {
        let n = calibration.n;
        let start = Instant::now();
        let mut sum = 0;
        for value in 0..n {
            assert!(ping.send(value).await);
            sum += ponged.recv().await?;
        }
        let took = start.elapsed();
        check(n, sum);
        if calibration.is_done(took) {
            break (n, took);
        }
    };
    assert_eq!(ended.load(Ordering::Acquire), 0, "they wait no longer");
    drop(ping);
    echo.await;
    // They end once nobody can send to them.
    drop(tx);
    wait_for::<G>(&ended, count).await;
    Some(vec![("ns/op", took.as_nanos() as f64 / n as f64)])
}

pub fn ring_cell<G: Goroutines>(count: usize, target: Duration) -> Option<Metrics> {
    if G::MOST < count { None } else { G::run(1, ring::<G>(count, target)) }
}

/// One ring for all runs, in whole rounds: starting it takes longer than a round of it. Of two rounds nothing is counted: in the first
/// goroutines start, and in the second each is readied for the first time by the one who will do so from then on.
async fn ring<G: Goroutines>(count: usize, target: Duration) -> Option<Metrics> {
    let mut ring = Ring::<G>::new(count)?;
    ring.pass(2 * count).await;
    let mut calibration = Calibration::new(target, count);
    loop {
        let n = calibration.n;
        let took = ring.pass(n).await;
        if calibration.is_done(took) {
            ring.stop().await;
            return Some(vec![("ns/op", took.as_nanos() as f64 / n as f64)]);
        }
    }
}
