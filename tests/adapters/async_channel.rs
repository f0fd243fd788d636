//! async-channel's names for gochan, as many as async-channel's own tests use: `scripts/async-suites` compiles this as
//! a crate of that name. It renames and converts errors; what a channel does is gochan's alone.

use futures_core::Stream;
use gochan::future::RecvStream;
use std::pin::Pin;
use std::task::{Context, Poll};

pub use gochan::future::{ClosedFut as Closed, RecvFut as Recv, SendFut as Send};
pub use gochan::{RecvError, SendError};

#[derive(PartialEq, Eq, Clone, Copy, Debug)]
pub enum TrySendError<T> {
    Full(T),
    Closed(T),
}

#[derive(PartialEq, Eq, Clone, Copy, Debug)]
pub enum TryRecvError {
    Empty,
    Closed,
}

impl<T> From<gochan::TrySendError<T>> for TrySendError<T> {
    fn from(error: gochan::TrySendError<T>) -> Self {
        match error {
            gochan::TrySendError::Full(msg) => Self::Full(msg),
            gochan::TrySendError::Disconnected(msg) => Self::Closed(msg),
        }
    }
}

impl From<gochan::TryRecvError> for TryRecvError {
    fn from(error: gochan::TryRecvError) -> Self {
        match error {
            gochan::TryRecvError::Empty => Self::Empty,
            gochan::TryRecvError::Disconnected => Self::Closed,
        }
    }
}

pub fn bounded<T: 'static>(cap: usize) -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = gochan::bounded(cap);
    (Sender(sender), Receiver(receiver.into_stream()))
}

pub fn unbounded<T: 'static>() -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = gochan::unbounded();
    (Sender(sender), Receiver(receiver.into_stream()))
}

pub struct Sender<T>(gochan::Sender<T>);

/// A stream at all times, for async-channel's receiver is one; the other methods are those of the receiver in it. The
/// bounds of `T`, here and below, are there because gochan's owning streams are of values without borrows.
pub struct Receiver<T: 'static>(RecvStream<'static, T>);

pub struct WeakSender<T>(gochan::WeakSender<T>);

pub struct WeakReceiver<T>(gochan::WeakReceiver<T>);

impl<T> Sender<T> {
    pub fn try_send(&self, msg: T) -> Result<(), TrySendError<T>> {
        Ok(self.0.try_send(msg)?)
    }

    pub fn send(&self, msg: T) -> Send<'_, T> {
        self.0.send_async(msg)
    }

    pub fn send_blocking(&self, msg: T) -> Result<(), SendError<T>> {
        self.0.send(msg)
    }

    pub fn force_send(&self, msg: T) -> Result<Option<T>, SendError<T>> {
        self.0.force_send(msg)
    }

    pub fn closed(&self) -> Closed<'_, T> {
        self.0.closed()
    }

    pub fn downgrade(&self) -> WeakSender<T> {
        WeakSender(self.0.downgrade())
    }

    fn handle(&self) -> &gochan::Sender<T> {
        &self.0
    }
}

impl<T: 'static> Receiver<T> {
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        Ok(self.handle().try_recv()?)
    }

    pub fn recv(&self) -> Recv<'_, T> {
        self.handle().recv_async()
    }

    pub fn recv_blocking(&self) -> Result<T, RecvError> {
        self.handle().recv()
    }

    pub fn downgrade(&self) -> WeakReceiver<T> {
        WeakReceiver(self.handle().downgrade())
    }

    fn handle(&self) -> &gochan::Receiver<T> {
        self.0.receiver()
    }
}

/// The methods that both handles have.
macro_rules! common {
    ($($Handle:ident)+) => {$(
        impl<T: 'static> $Handle<T> {
            pub fn is_empty(&self) -> bool {
                self.handle().is_empty()
            }

            pub fn is_full(&self) -> bool {
                self.handle().is_full()
            }

            pub fn len(&self) -> usize {
                self.handle().len()
            }

            pub fn capacity(&self) -> Option<usize> {
                self.handle().capacity()
            }

            pub fn sender_count(&self) -> usize {
                self.handle().sender_count()
            }

            pub fn receiver_count(&self) -> usize {
                self.handle().receiver_count()
            }
        }

        impl<T: 'static> Clone for $Handle<T> {
            fn clone(&self) -> Self {
                Self(self.0.clone())
            }
        }
    )+};
}
common!(Sender Receiver);

impl<T: 'static> Stream for Receiver<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        Pin::new(&mut self.0).poll_next(cx)
    }
}

impl<T> WeakSender<T> {
    pub fn upgrade(&self) -> Option<Sender<T>> {
        self.0.upgrade().map(Sender)
    }
}

impl<T: 'static> WeakReceiver<T> {
    pub fn upgrade(&self) -> Option<Receiver<T>> {
        self.0.upgrade().map(|receiver| Receiver(receiver.into_stream()))
    }
}
