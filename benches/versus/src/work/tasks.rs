//! Part 2: async tasks on one channel, on tokio's multi-thread or current_thread runtime.

use crate::kinds::{ARMS, AsyncRx, AsyncTx, AsyncUse, Payload, TaskSelects, Tasks};
use crate::measure::{Metrics, ns_per_op};
use crate::scenario::Link;
use crate::work::threads::check;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

/// tokio as its users start it: one worker is the current_thread runtime.
pub fn runtime(workers: usize) -> Runtime {
    let mut builder = match workers {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    builder.worker_threads(workers).enable_time().build().unwrap()
}

pub fn cell<L: Tasks>(link: &Link, workers: usize, target: Duration) -> Option<Metrics> {
    let runtime = runtime(workers);
    ns_per_op(target, link.width, |n| {
        let crowd = Crowd { n, runtime: &runtime };
        L::open::<usize, _>(link.room.cap(n), link.senders(), link.receivers(), crowd)
    })
}

/// One task that selects over the channels of all others.
pub fn select_cell<L: TaskSelects>(link: &Link, workers: usize, target: Duration) -> Option<Metrics> {
    assert_eq!(link.width, ARMS);
    let runtime = runtime(workers);
    ns_per_op(target, link.width, |n| L::open_rx::<usize, _>(link.room.cap(n), Crowd { n, runtime: &runtime }))
}

/// A task for every end; each sender sends, and each receiver receives, its share of the messages.
struct Crowd<'a> {
    n: usize,
    runtime: &'a Runtime,
}

impl<T: Payload> AsyncUse<T> for Crowd<'_> {
    type Out = Duration;

    fn run<S: AsyncTx<T>, R: AsyncRx<T>>(self, senders: Vec<S>, receivers: Vec<R>) -> Duration {
        let n = self.n;
        // The future given to `block_on` runs on this thread, not on a worker: everything happens in spawned tasks.
        let all = self.runtime.spawn(async move {
            let start = Instant::now();
            let (sends, receives) = (n / senders.len(), n / receivers.len());
            for (i, mut tx) in senders.into_iter().enumerate() {
                tokio::spawn(async move {
                    for value in i * sends..(i + 1) * sends {
                        assert!(tx.send(T::new(value)).await);
                    }
                });
            }
            let receive = |mut rx: R| async move {
                let mut sum = 0;
                for _ in 0..receives {
                    sum += rx.recv().await.expect("closed too early").value();
                }
                sum
            };
            let tasks: Vec<_> = receivers.into_iter().map(|rx| tokio::spawn(receive(rx))).collect();
            let mut sum = 0;
            for task in tasks {
                sum += task.await.unwrap();
            }
            check(n, sum);
            start.elapsed()
        });
        self.runtime.block_on(all).unwrap()
    }
}
