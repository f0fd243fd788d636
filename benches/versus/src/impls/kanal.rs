//! kanal: the blocking handles for threads, the async handles for tasks. It has no select.

use crate::kinds::{
    AsyncRx, AsyncTx, AsyncUse, BlockingRx, BlockingTx, BlockingUse, Cap, Chan, Payload, Tasks, Threads,
};
use kanal::{AsyncReceiver, AsyncSender, Receiver, Sender};

pub struct Kanal;

impl<T: Send> BlockingTx<T> for Sender<T> {
    fn send(&mut self, msg: T) {
        Sender::send(self, msg).unwrap();
    }
}

impl<T: Send> BlockingRx<T> for Receiver<T> {
    fn recv(&mut self) -> T {
        Receiver::recv(self).unwrap()
    }
}

impl<T: Payload> AsyncTx<T> for AsyncSender<T> {
    async fn send(&mut self, msg: T) -> bool {
        AsyncSender::send(self, msg).await.is_ok()
    }
}

impl<T: Payload> AsyncRx<T> for AsyncReceiver<T> {
    async fn recv(&mut self) -> Option<T> {
        AsyncReceiver::recv(self).await.ok()
    }
}

impl Threads for Kanal {
    fn open<T: Payload, U: BlockingUse<T>>(cap: Cap, senders: usize, receivers: usize, user: U) -> Option<U::Out> {
        let (tx, rx) = match cap {
            Cap::Bounded(n) => kanal::bounded(n),
            Cap::Unbounded => kanal::unbounded(),
        };
        Some(user.run(vec![tx; senders], vec![rx; receivers]))
    }
}

impl Tasks for Kanal {
    fn open<T: Payload, U: AsyncUse<T>>(cap: Cap, senders: usize, receivers: usize, user: U) -> Option<U::Out> {
        let (tx, rx) = match cap {
            Cap::Bounded(n) => kanal::bounded_async(n),
            Cap::Unbounded => kanal::unbounded_async(),
        };
        Some(user.run(vec![tx; senders], vec![rx; receivers]))
    }
}

impl Chan for Kanal {
    type Tx = AsyncSender<usize>;
    type Rx = AsyncReceiver<usize>;
    fn new(cap: usize) -> Option<(Self::Tx, Self::Rx)> {
        Some(kanal::bounded_async(cap))
    }
}
