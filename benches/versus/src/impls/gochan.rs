//! gochan between threads, in the names it shares with crossbeam-channel.

use crate::kinds::{BlockingRx, BlockingTx, BlockingUse, Cap, Payload, Threads};
use gochan::{Receiver, Sender, bounded, unbounded};

pub struct Gochan;

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
        let (tx, rx) = match cap {
            Cap::Bounded(n) => bounded(n),
            Cap::Unbounded => unbounded(),
        };
        Some(user.run(vec![tx; senders], vec![rx; receivers]))
    }
}
