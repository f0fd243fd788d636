//! flume: blocking and async from the same handles. A `Selector` is consumed by each wait, so it is always rebuilt.

use crate::kinds::{
    AsyncRx, AsyncTx, AsyncUse, BlockingRx, BlockingTx, BlockingUse, Cap, Chan, Payload, Raced, Selects, TaskSelects,
    Tasks, Threads,
};
use flume::{Receiver, Selector, Sender, bounded, unbounded};

pub struct Flume;

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

impl Threads for Flume {
    fn open<T: Payload, U: BlockingUse<T>>(cap: Cap, senders: usize, receivers: usize, user: U) -> Option<U::Out> {
        let (tx, rx) = channel(cap);
        Some(user.run(vec![tx; senders], vec![rx; receivers]))
    }
}

impl Tasks for Flume {
    fn open<T: Payload, U: AsyncUse<T>>(cap: Cap, senders: usize, receivers: usize, user: U) -> Option<U::Out> {
        let (tx, rx) = channel(cap);
        Some(user.run(vec![tx; senders], vec![rx; receivers]))
    }
}

impl TaskSelects for Flume {
    fn open_rx<T: Payload, U: AsyncUse<T>>(cap: Cap, user: U) -> Option<U::Out> {
        let (txs, rx) = Raced::over(|| channel::<T>(cap));
        Some(user.run(txs, vec![rx]))
    }
}

impl Chan for Flume {
    type Tx = Sender<usize>;
    type Rx = Receiver<usize>;
    fn new(cap: usize) -> Option<(Self::Tx, Self::Rx)> {
        Some(bounded(cap))
    }
}

/// Sends to, or receives from, whichever channel is ready.
struct Any<E>(Vec<E>);

impl<T: Payload> BlockingTx<T> for Any<Sender<T>> {
    fn send(&mut self, msg: T) {
        let all = self.0.iter();
        all.fold(Selector::new(), |s, tx| s.send(tx, msg, |sent| assert!(sent.is_ok()))).wait();
    }
}

impl<T: Payload> BlockingRx<T> for Any<Receiver<T>> {
    fn recv(&mut self) -> T {
        let all = self.0.iter();
        all.fold(Selector::new(), |s, rx| s.recv(rx, |msg| msg.unwrap())).wait()
    }
}

impl Selects for Flume {
    fn open_rx<T: Payload, U: BlockingUse<T>>(cap: Cap, count: usize, user: U) -> Option<U::Out> {
        let (txs, rxs) = (0..count).map(|_| channel(cap)).unzip();
        Some(user.run::<Sender<T>, _>(txs, vec![Any(rxs)]))
    }

    fn open_both<T: Payload, U: BlockingUse<T>>(cap: Cap, count: usize, user: U) -> Option<U::Out> {
        let (txs, rxs): (Vec<_>, Vec<_>) = (0..count).map(|_| channel::<T>(cap)).unzip();
        let any_tx = (0..count).map(|_| Any(txs.clone())).collect();
        let any_rx = (0..count).map(|_| Any(rxs.clone())).collect();
        Some(user.run(any_tx, any_rx))
    }
}
