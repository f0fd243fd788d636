//! gochan: between threads in the names it shares with crossbeam-channel (`Select` is built once and reused), between tasks
//! by the same handles, awaited.

use crate::kinds::{
    ARMS, AsyncRx, AsyncTx, AsyncUse, BlockingRx, BlockingTx, BlockingUse, Cap, Payload, Selects, TaskSelects, Tasks,
    Threads, Timers, Try, TrySelects, Waiter,
};
use gochan::{Receiver, Select, Sender, after, bounded, select, select_async, unbounded};

pub struct Gochan;

fn channel<T>(cap: Cap) -> (Sender<T>, Receiver<T>) {
    match cap {
        Cap::Bounded(n) => bounded(n),
        Cap::Unbounded => unbounded(),
    }
}

impl<T: Send> BlockingTx<T> for Sender<T> {
    fn send(&mut self, msg: T) {
        assert!(Sender::send(self, msg).is_ok());
    }
}

impl<T: Send> BlockingRx<T> for Receiver<T> {
    fn recv(&mut self) -> T {
        Receiver::recv(self).unwrap()
    }
}

impl Threads for Gochan {
    fn open<T: Payload, U: BlockingUse<T>>(cap: Cap, senders: usize, receivers: usize, user: U) -> Option<U::Out> {
        let (tx, rx) = channel(cap);
        Some(user.run(vec![tx; senders], vec![rx; receivers]))
    }
}

impl<T: Payload> AsyncTx<T> for Sender<T> {
    async fn send(&mut self, msg: T) -> bool {
        self.send_async(msg).await.is_ok()
    }
}

impl<T: Payload> AsyncRx<T> for Receiver<T> {
    async fn recv(&mut self) -> Option<T> {
        self.recv_async().await.ok()
    }
}

impl Tasks for Gochan {
    fn open<T: Payload, U: AsyncUse<T>>(cap: Cap, senders: usize, receivers: usize, user: U) -> Option<U::Out> {
        let (tx, rx) = channel(cap);
        Some(user.run(vec![tx; senders], vec![rx; receivers]))
    }
}

/// Sends to, or receives from, whichever channel is ready.
struct Any<'a, E> {
    ends: &'a [E],
    select: Select<'a>,
}

impl<T: Payload> BlockingTx<T> for Any<'_, Sender<T>> {
    fn send(&mut self, msg: T) {
        let op = self.select.select();
        let tx = &self.ends[op.index()];
        op.send(tx, msg).unwrap();
    }
}

impl<T: Payload> BlockingRx<T> for Any<'_, Receiver<T>> {
    fn recv(&mut self) -> T {
        let op = self.select.select();
        let rx = &self.ends[op.index()];
        op.recv(rx).unwrap()
    }
}

fn any_tx<T>(ends: &[Sender<T>]) -> Any<'_, Sender<T>> {
    let mut select = Select::new();
    for tx in ends {
        select.send(tx);
    }
    Any { ends, select }
}

fn any_rx<T>(ends: &[Receiver<T>]) -> Any<'_, Receiver<T>> {
    let mut select = Select::new();
    for rx in ends {
        select.recv(rx);
    }
    Any { ends, select }
}

fn channels<T>(cap: Cap, count: usize) -> (Vec<Sender<T>>, Vec<Receiver<T>>) {
    (0..count).map(|_| channel(cap)).unzip()
}

impl Selects for Gochan {
    fn open_rx<T: Payload, U: BlockingUse<T>>(cap: Cap, count: usize, user: U) -> Option<U::Out> {
        let (txs, rxs) = channels(cap, count);
        Some(user.run::<Sender<T>, _>(txs, vec![any_rx(&rxs)]))
    }

    fn open_both<T: Payload, U: BlockingUse<T>>(cap: Cap, count: usize, user: U) -> Option<U::Out> {
        let (txs, rxs) = channels::<T>(cap, count);
        Some(user.run((0..count).map(|_| any_tx(&txs)).collect(), (0..count).map(|_| any_rx(&rxs)).collect()))
    }
}

/// What a task selects from. It keeps senders, as [`Raced`](crate::kinds::Raced) does.
struct Selected<T> {
    receivers: [Receiver<T>; ARMS],
    _senders: Vec<Sender<T>>,
}

impl<T: Payload> AsyncRx<T> for Selected<T> {
    async fn recv(&mut self) -> Option<T> {
        let [a, b, c, d] = &self.receivers;
        select_async! {
            recv(a) -> value => value.ok(),
            recv(b) -> value => value.ok(),
            recv(c) -> value => value.ok(),
            recv(d) -> value => value.ok(),
        }
    }
}

impl TaskSelects for Gochan {
    fn open_rx<T: Payload, U: AsyncUse<T>>(cap: Cap, user: U) -> Option<U::Out> {
        let (txs, rxs) = channels::<T>(cap, ARMS);
        let receivers = rxs.try_into().expect("as many as there are arms");
        Some(user.run(txs.clone(), vec![Selected { receivers, _senders: txs }]))
    }
}

impl TrySelects for Gochan {
    fn over_empty<Out>(count: usize, user: impl FnOnce(Try) -> Out) -> Out {
        let (_txs, rxs) = channels::<usize>(Cap::Bounded(1), count);
        let mut any = any_rx(&rxs);
        user(&mut || any.select.try_select().is_ok())
    }
}

impl Timers for Gochan {
    fn receive() -> Waiter {
        Box::new(|time| {
            after(time).recv().unwrap();
        })
    }

    fn select() -> Option<Waiter> {
        let (tx, rx) = bounded::<usize>(1);
        Some(Box::new(move |time| {
            select! {
                recv(rx) -> _ => unreachable!("{tx:?} sends nothing"),
                recv(after(time)) -> due => due.unwrap(),
            };
        }))
    }
}
