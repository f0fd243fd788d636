//! flume's names for gochan, as many as flume's own tests use: `scripts/async-suites` compiles this as a crate of that
//! name. It renames and converts errors; what a channel does is gochan's alone.

use futures_core::Stream;
use futures_sink::Sink;
use pin_project_lite::pin_project;
use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

pub use gochan::{
    Drain, IntoIter, Iter, RecvTimeoutError, SendError, SendTimeoutError, TryIter, TryRecvError, TrySendError,
};

#[derive(PartialEq, Eq, Clone, Copy, Debug)]
pub enum RecvError {
    Disconnected,
}

impl From<gochan::RecvError> for RecvError {
    fn from(_: gochan::RecvError) -> Self {
        Self::Disconnected
    }
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        gochan::RecvError.fmt(f)
    }
}

impl Error for RecvError {}

pub fn bounded<T>(cap: usize) -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = gochan::bounded(cap);
    (Sender(sender), Receiver(receiver))
}

pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = gochan::unbounded();
    (Sender(sender), Receiver(receiver))
}

pub struct Sender<T>(gochan::Sender<T>);

pub struct Receiver<T>(gochan::Receiver<T>);

pub struct WeakSender<T>(gochan::WeakSender<T>);

impl<T> Sender<T> {
    pub fn try_send(&self, msg: T) -> Result<(), TrySendError<T>> {
        self.0.try_send(msg)
    }

    pub fn send(&self, msg: T) -> Result<(), SendError<T>> {
        self.0.send(msg)
    }

    pub fn send_timeout(&self, msg: T, timeout: Duration) -> Result<(), SendTimeoutError<T>> {
        self.0.send_timeout(msg, timeout)
    }

    pub fn send_async(&self, msg: T) -> SendFut<'_, T> {
        SendFut { fut: self.0.send_async(msg), sender: self }
    }

    pub fn sink(&self) -> SendSink<'_, T> {
        SendSink(self.0.sink())
    }

    pub fn into_sink(self) -> SendSink<'static, T> {
        SendSink(self.0.into_sink())
    }

    pub fn downgrade(&self) -> WeakSender<T> {
        WeakSender(self.0.downgrade())
    }

    fn handle(&self) -> &gochan::Sender<T> {
        &self.0
    }
}

impl<T> Receiver<T> {
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.0.try_recv()
    }

    pub fn recv(&self) -> Result<T, RecvError> {
        Ok(self.0.recv()?)
    }

    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        self.0.recv_timeout(timeout)
    }

    pub fn recv_deadline(&self, deadline: Instant) -> Result<T, RecvTimeoutError> {
        self.0.recv_deadline(deadline)
    }

    pub fn recv_async(&self) -> RecvFut<'_, T> {
        RecvFut { fut: self.0.recv_async(), receiver: self }
    }

    pub fn stream(&self) -> RecvStream<'_, T> {
        RecvStream(self.0.stream())
    }

    pub fn into_stream(self) -> RecvStream<'static, T> {
        RecvStream(self.0.into_stream())
    }

    pub fn iter(&self) -> Iter<'_, T> {
        self.0.iter()
    }

    pub fn try_iter(&self) -> TryIter<'_, T> {
        self.0.try_iter()
    }

    pub fn drain(&self) -> Drain<T> {
        self.0.drain()
    }

    fn handle(&self) -> &gochan::Receiver<T> {
        &self.0
    }
}

impl<'a, T> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        self.0.into_iter()
    }
}

impl<T> WeakSender<T> {
    pub fn upgrade(&self) -> Option<Sender<T>> {
        self.0.upgrade().map(Sender)
    }
}

pin_project! {
    /// The handle is here too: gochan's future does not show the one in it.
    pub struct SendFut<'a, T> {
        #[pin]
        fut: gochan::future::SendFut<'a, T>,
        sender: &'a Sender<T>,
    }
}

pin_project! {
    /// As [`SendFut`].
    pub struct RecvFut<'a, T> {
        #[pin]
        fut: gochan::future::RecvFut<'a, T>,
        receiver: &'a Receiver<T>,
    }
}

pub struct SendSink<'a, T>(gochan::future::SendSink<'a, T>);

pub struct RecvStream<'a, T>(gochan::future::RecvStream<'a, T>);

impl<T> SendFut<'_, T> {
    fn handle(&self) -> &gochan::Sender<T> {
        &self.sender.0
    }
}

impl<T> RecvFut<'_, T> {
    fn handle(&self) -> &gochan::Receiver<T> {
        &self.receiver.0
    }
}

impl<T> SendSink<'_, T> {
    fn handle(&self) -> &gochan::Sender<T> {
        self.0.sender()
    }
}

impl<T> RecvStream<'_, T> {
    fn handle(&self) -> &gochan::Receiver<T> {
        self.0.receiver()
    }
}

impl<T> Future for SendFut<'_, T> {
    type Output = Result<(), SendError<T>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().fut.poll(cx)
    }
}

impl<T> Future for RecvFut<'_, T> {
    type Output = Result<T, RecvError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(ready!(self.project().fut.poll(cx))?))
    }
}

impl<T> Sink<T> for SendSink<'_, T> {
    type Error = SendError<T>;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError<T>>> {
        Pin::new(&mut self.0).poll_ready(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, msg: T) -> Result<(), SendError<T>> {
        Pin::new(&mut self.0).start_send(msg)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError<T>>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError<T>>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}

impl<T> Stream for RecvStream<'_, T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        Pin::new(&mut self.0).poll_next(cx)
    }
}

/// What the handles, and all that is made of them, can tell about the channel.
macro_rules! shared {
    ($($Type:ty)+) => {$(
        impl<T> $Type {
            pub fn is_disconnected(&self) -> bool {
                self.handle().is_closed()
            }

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
        }
    )+};
}
shared!(Sender<T> Receiver<T> SendFut<'_, T> RecvFut<'_, T> SendSink<'_, T> RecvStream<'_, T>);

/// What flume can clone, it can also compare.
macro_rules! cloned {
    ($($Type:ty)+) => {$(
        impl<T> Clone for $Type {
            fn clone(&self) -> Self {
                Self(self.0.clone())
            }
        }

        impl<T> $Type {
            pub fn same_channel(&self, other: &Self) -> bool {
                self.handle().same_channel(other.handle())
            }
        }
    )+};
}
cloned!(Sender<T> Receiver<T> SendSink<'_, T> RecvStream<'_, T>);

/// Each operation of the select comes with the closure that finishes it, at the same index.
pub struct Selector<'a, R> {
    select: gochan::Select<'a>,
    finish: Vec<Finish<'a, R>>,
}

type Finish<'a, R> = Box<dyn FnOnce(gochan::SelectedOperation<'a>) -> R + 'a>;

impl<'a, R> Selector<'a, R> {
    #[expect(clippy::new_without_default, reason = "no test asks for it")]
    pub fn new() -> Self {
        Self { select: gochan::Select::new(), finish: Vec::new() }
    }

    pub fn send<T>(
        mut self,
        sender: &'a Sender<T>,
        msg: T,
        mut mapper: impl FnMut(Result<(), SendError<T>>) -> R + 'a,
    ) -> Self
    where
        T: 'a,
    {
        self.select.send(&sender.0);
        self.finish.push(Box::new(move |operation| mapper(operation.send(&sender.0, msg))));
        self
    }

    pub fn recv<T>(
        mut self,
        receiver: &'a Receiver<T>,
        mut mapper: impl FnMut(Result<T, RecvError>) -> R + 'a,
    ) -> Self {
        self.select.recv(&receiver.0);
        self.finish.push(Box::new(move |operation| mapper(operation.recv(&receiver.0).map_err(RecvError::from))));
        self
    }

    pub fn wait(mut self) -> R {
        let operation = self.select.select();
        self.finish.swap_remove(operation.index())(operation)
    }
}
