//! Part 1: threads that block, on one channel or in a select over several.

use crate::kinds::{BlockingRx, BlockingTx, BlockingUse, Cap, Large, Payload, Selects, Threads};
use crate::measure::{Metrics, ns_per_op};
use crate::scenario::{Link, Shape};
use std::thread;
use std::time::{Duration, Instant};

pub fn cell<L: Threads>(link: &Link, target: Duration) -> Option<Metrics> {
    if link.large { measure::<L, Large>(link, target) } else { measure::<L, usize>(link, target) }
}

fn measure<L: Threads, T: Payload>(link: &Link, target: Duration) -> Option<Metrics> {
    let batch = match (link.shape, link.room.cap(usize::MAX)) {
        (Shape::Seq, Cap::Bounded(cap)) => cap,
        _ => usize::MAX,
    };
    ns_per_op(target, link.width, |n| match link.shape {
        Shape::Seq => L::open::<T, _>(link.room.cap(n), 1, 1, Alone { n, batch }),
        _ => L::open::<T, _>(link.room.cap(n), link.senders(), link.receivers(), Crowd { n }),
    })
}

pub fn select_cell<L: Selects>(link: &Link, target: Duration) -> Option<Metrics> {
    if link.large { measure_select::<L, Large>(link, target) } else { measure_select::<L, usize>(link, target) }
}

fn measure_select<L: Selects, T: Payload>(link: &Link, target: Duration) -> Option<Metrics> {
    ns_per_op(target, link.width, |n| {
        let cap = link.room.cap(n);
        match link.shape {
            Shape::SelectBoth => L::open_both::<T, _>(cap, link.width, Crowd { n }),
            _ => L::open_rx::<T, _>(cap, link.width, Crowd { n }),
        }
    })
}

/// One thread fills the channel and empties it, as often as it takes.
struct Alone {
    n: usize,
    batch: usize,
}

impl<T: Payload> BlockingUse<T> for Alone {
    type Out = Duration;

    fn run<S: BlockingTx<T>, R: BlockingRx<T>>(self, mut senders: Vec<S>, mut receivers: Vec<R>) -> Duration {
        let (tx, rx) = (&mut senders[0], &mut receivers[0]);
        let start = Instant::now();
        let (mut done, mut sum) = (0, 0);
        while done < self.n {
            let end = done + self.batch.min(self.n - done);
            for value in done..end {
                tx.send(T::new(value));
            }
            for _ in done..end {
                sum += rx.recv().value();
            }
            done = end;
        }
        check(self.n, sum);
        start.elapsed()
    }
}

/// A thread for every end; each sender sends, and each receiver receives, its share of the messages.
struct Crowd {
    n: usize,
}

impl<T: Payload> BlockingUse<T> for Crowd {
    type Out = Duration;

    fn run<S: BlockingTx<T>, R: BlockingRx<T>>(self, senders: Vec<S>, receivers: Vec<R>) -> Duration {
        let (sends, receives) = (self.n / senders.len(), self.n / receivers.len());
        let start = Instant::now();
        let sum = thread::scope(|scope| {
            // The threads give their ends back: one dropped early would be a disconnected arm in the others' selects.
            let send = |i: usize, mut tx: S| {
                move || {
                    for value in i * sends..(i + 1) * sends {
                        tx.send(T::new(value));
                    }
                    tx
                }
            };
            let receive = |mut rx: R| move || ((0..receives).map(|_| rx.recv().value()).sum::<usize>(), rx);
            let senders: Vec<_> = senders.into_iter().enumerate().map(|(i, tx)| scope.spawn(send(i, tx))).collect();
            let receivers: Vec<_> = receivers.into_iter().map(|rx| scope.spawn(receive(rx))).collect();
            let _senders: Vec<_> = senders.into_iter().map(|thread| thread.join().unwrap()).collect();
            let (sums, _receivers): (Vec<_>, Vec<_>) =
                receivers.into_iter().map(|thread| thread.join().unwrap()).unzip();
            sums.into_iter().sum()
        });
        check(self.n, sum);
        start.elapsed()
    }
}

/// Every message 0..n arrived once.
pub fn check(n: usize, sum: usize) {
    assert_eq!(sum, n * (n - 1) / 2, "the sum of {n} messages is wrong");
}
