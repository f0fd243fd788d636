//! std::sync::mpsc: `sync_channel` and `channel`. One receiver only, no select.

use crate::kinds::{BlockingRx, BlockingTx, BlockingUse, Cap, Payload, Threads};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

pub struct Std;

impl<T: Send> BlockingTx<T> for Sender<T> {
    fn send(&mut self, msg: T) {
        assert!(Sender::send(self, msg).is_ok());
    }
}

impl<T: Send> BlockingTx<T> for SyncSender<T> {
    fn send(&mut self, msg: T) {
        assert!(SyncSender::send(self, msg).is_ok());
    }
}

impl<T: Send> BlockingRx<T> for Receiver<T> {
    fn recv(&mut self) -> T {
        Receiver::recv(self).unwrap()
    }
}

impl Threads for Std {
    fn open<T: Payload, U: BlockingUse<T>>(cap: Cap, senders: usize, receivers: usize, user: U) -> Option<U::Out> {
        if receivers != 1 {
            return None;
        }
        Some(match cap {
            Cap::Bounded(n) => {
                let (tx, rx) = sync_channel(n);
                user.run(vec![tx; senders], vec![rx])
            }
            Cap::Unbounded => {
                let (tx, rx) = channel();
                user.run(vec![tx; senders], vec![rx])
            }
        })
    }
}
