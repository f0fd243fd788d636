//! async-channel: its own futures for tasks, the `*_blocking` calls for threads. It has no capacity 0 and no select.

use crate::kinds::{
    AsyncRx, AsyncTx, AsyncUse, BlockingRx, BlockingTx, BlockingUse, Cap, Payload, Raced, TaskSelects, Tasks, Threads,
};
use async_channel::{Receiver, Sender, bounded, unbounded};

pub struct AsyncChannel;

fn channel<T>(cap: Cap) -> Option<(Sender<T>, Receiver<T>)> {
    match cap {
        Cap::Bounded(0) => None,
        Cap::Bounded(n) => Some(bounded(n)),
        Cap::Unbounded => Some(unbounded()),
    }
}

impl<T: Send> BlockingTx<T> for Sender<T> {
    fn send(&mut self, msg: T) {
        assert!(self.send_blocking(msg).is_ok());
    }
}

impl<T: Send> BlockingRx<T> for Receiver<T> {
    fn recv(&mut self) -> T {
        self.recv_blocking().unwrap()
    }
}

impl<T: Payload> AsyncTx<T> for Sender<T> {
    async fn send(&mut self, msg: T) -> bool {
        Sender::send(self, msg).await.is_ok()
    }
}

impl<T: Payload> AsyncRx<T> for Receiver<T> {
    async fn recv(&mut self) -> Option<T> {
        Receiver::recv(self).await.ok()
    }
}

impl Threads for AsyncChannel {
    fn open<T: Payload, U: BlockingUse<T>>(cap: Cap, senders: usize, receivers: usize, user: U) -> Option<U::Out> {
        let (tx, rx) = channel(cap)?;
        Some(user.run(vec![tx; senders], vec![rx; receivers]))
    }
}

impl Tasks for AsyncChannel {
    fn open<T: Payload, U: AsyncUse<T>>(cap: Cap, senders: usize, receivers: usize, user: U) -> Option<U::Out> {
        let (tx, rx) = channel(cap)?;
        Some(user.run(vec![tx; senders], vec![rx; receivers]))
    }
}

impl TaskSelects for AsyncChannel {
    fn open_rx<T: Payload, U: AsyncUse<T>>(cap: Cap, user: U) -> Option<U::Out> {
        if cap == Cap::Bounded(0) {
            return None;
        }
        let (txs, rx) = Raced::over(|| channel::<T>(cap).expect("a capacity that it has"));
        Some(user.run(txs, vec![rx]))
    }
}
