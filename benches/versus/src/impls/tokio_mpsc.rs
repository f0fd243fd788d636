//! tokio::sync::mpsc: `channel` and `unbounded_channel`, for tasks. One receiver, no capacity 0.

use crate::kinds::{AsyncRx, AsyncTx, AsyncUse, Cap, Chan, Payload, Raced, TaskSelects, Tasks};
use tokio::sync::mpsc::{Receiver, Sender, UnboundedReceiver, UnboundedSender, channel, unbounded_channel};

pub struct TokioMpsc;

impl<T: Payload> AsyncTx<T> for Sender<T> {
    async fn send(&mut self, msg: T) -> bool {
        Sender::send(self, msg).await.is_ok()
    }
}

impl<T: Payload> AsyncRx<T> for Receiver<T> {
    async fn recv(&mut self) -> Option<T> {
        Receiver::recv(self).await
    }
}

impl<T: Payload> AsyncTx<T> for UnboundedSender<T> {
    async fn send(&mut self, msg: T) -> bool {
        UnboundedSender::send(self, msg).is_ok()
    }
}

impl<T: Payload> AsyncRx<T> for UnboundedReceiver<T> {
    async fn recv(&mut self) -> Option<T> {
        UnboundedReceiver::recv(self).await
    }
}

impl Tasks for TokioMpsc {
    fn open<T: Payload, U: AsyncUse<T>>(cap: Cap, senders: usize, receivers: usize, user: U) -> Option<U::Out> {
        match cap {
            _ if receivers != 1 => None,
            Cap::Bounded(0) => None,
            Cap::Bounded(n) => {
                let (tx, rx) = channel(n);
                Some(user.run(vec![tx; senders], vec![rx]))
            }
            Cap::Unbounded => {
                let (tx, rx) = unbounded_channel();
                Some(user.run(vec![tx; senders], vec![rx]))
            }
        }
    }
}

impl TaskSelects for TokioMpsc {
    fn open_rx<T: Payload, U: AsyncUse<T>>(cap: Cap, user: U) -> Option<U::Out> {
        match cap {
            Cap::Bounded(0) => None,
            Cap::Bounded(n) => {
                let (txs, rx) = Raced::over(|| channel::<T>(n));
                Some(user.run(txs, vec![rx]))
            }
            Cap::Unbounded => {
                let (txs, rx) = Raced::over(unbounded_channel::<T>);
                Some(user.run(txs, vec![rx]))
            }
        }
    }
}

impl Chan for TokioMpsc {
    type Tx = Sender<usize>;
    type Rx = Receiver<usize>;
    const LEAST: Option<usize> = Some(1);
    fn new(cap: usize) -> Option<(Self::Tx, Self::Rx)> {
        Some(channel(cap.max(1)))
    }
}
