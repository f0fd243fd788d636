//! Receiving as a `Stream`, sending as a `Sink`; futures that say when they have ended.
//!
//! Either owns one boxed future for its life and restarts it per item: it can be moved freely, and no item costs an
//! allocation.

use super::awaiting::SendTimeoutFut;
use super::future::{Handle, RecvFut, SendFut, debug};
use super::{Receiver, SendError, Sender};
use futures_core::{FusedFuture, FusedStream, Stream};
use futures_sink::Sink;
use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Values until the channel is closed and empty. Made by [`Receiver::stream`].
///
/// # Cancel safety
///
/// Dropping what awaits an item, such as `stream.next()`, loses nothing: the item is kept for the next poll. Dropping the
/// stream gives back an item that it was handed and has not returned.
#[must_use = "streams do nothing unless they are polled"]
pub struct RecvStream<'a, T> {
    fut: Pin<Box<RecvFut<'a, T>>>,
    made_at: &'static Location<'static>,
    ended: bool,
}

impl<'a, T> RecvStream<'a, T> {
    pub(super) fn new(receiver: Handle<'a, Receiver<T>>, made_at: &'static Location<'static>) -> Self {
        Self { fut: Box::pin(RecvFut::new(receiver, made_at)), made_at, ended: false }
    }

    /// The receiver.
    #[must_use]
    pub fn receiver(&self) -> &Receiver<T> {
        self.fut.receiver()
    }

    /// Do both receive from the same channel?
    ///
    /// ```
    /// let (_tx, rx) = gochan::bounded::<u8>(1);
    /// assert!(rx.stream().same_channel(&rx.stream()));
    /// ```
    #[must_use]
    pub fn same_channel(&self, other: &RecvStream<'_, T>) -> bool {
        self.receiver().same_channel(other.receiver())
    }
}

impl<T> Stream for RecvStream<'_, T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let next = self.fut.as_mut().poll(cx).map(Result::ok);
        self.ended = matches!(next, Poll::Ready(None));
        next
    }
}

impl<T> FusedStream for RecvStream<'_, T> {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

impl<T> Clone for RecvStream<'_, T> {
    fn clone(&self) -> Self {
        Self::new(self.fut.handle().clone(), self.made_at)
    }
}

/// Sends what it is fed. Made by [`Sender::sink`].
///
/// It takes one item more than the channel does, and `poll_ready` waits until that one is sent. Closing it flushes it; the
/// channel is closed when the last sender goes, as always.
#[must_use = "sinks do nothing unless they are polled"]
pub struct SendSink<'a, T> {
    fut: Pin<Box<SendFut<'a, T>>>,
    made_at: &'static Location<'static>,
}

impl<'a, T> SendSink<'a, T> {
    pub(super) fn new(sender: Handle<'a, Sender<T>>, made_at: &'static Location<'static>) -> Self {
        Self { fut: Box::pin(SendFut::new(sender, None, made_at)), made_at }
    }

    /// The sender.
    #[must_use]
    pub fn sender(&self) -> &Sender<T> {
        self.fut.sender()
    }

    /// Do both send to the same channel?
    ///
    /// ```
    /// let (tx, _rx) = gochan::bounded::<u8>(1);
    /// assert!(tx.sink().same_channel(&tx.clone().into_sink()));
    /// ```
    #[must_use]
    pub fn same_channel(&self, other: &SendSink<'_, T>) -> bool {
        self.sender().same_channel(other.sender())
    }

    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError<T>>> {
        if self.fut.is_spent() {
            return Poll::Ready(Ok(()));
        }
        self.fut.as_mut().poll(cx)
    }
}

impl<T> Sink<T> for SendSink<'_, T> {
    type Error = SendError<T>;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError<T>>> {
        self.poll_sent(cx)
    }

    /// # Panics
    ///
    /// If [`poll_ready`](Sink::poll_ready) has not said that it is ready.
    fn start_send(mut self: Pin<&mut Self>, item: T) -> Result<(), SendError<T>> {
        assert!(self.fut.is_spent(), "an item is being sent: wait until poll_ready says so");
        // What is possible without waiting is done at once: who feeds many items need not flush after each.
        match self.sender().try_send(item) {
            Ok(()) => Ok(()),
            Err(super::TrySendError::Disconnected(item)) => Err(SendError(item)),
            Err(super::TrySendError::Full(item)) => {
                self.fut.as_mut().load(item);
                Ok(())
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError<T>>> {
        self.poll_sent(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError<T>>> {
        self.poll_sent(cx)
    }
}

impl<T> Clone for SendSink<'_, T> {
    fn clone(&self) -> Self {
        Self::new(self.fut.handle().clone(), self.made_at)
    }
}

debug!(RecvStream SendSink);

/// It must not be polled again once its value is gone. (A receive may be: then it receives another.)
impl<T> FusedFuture for SendFut<'_, T> {
    fn is_terminated(&self) -> bool {
        self.is_spent()
    }
}

/// As [`SendFut`].
impl<T> FusedFuture for SendTimeoutFut<'_, T> {
    fn is_terminated(&self) -> bool {
        self.0.fut.is_spent()
    }
}

impl<T> Receiver<T> {
    /// The values as a `Stream`, until the channel is closed and empty. flume's name.
    ///
    /// ```
    /// use futures_util::{StreamExt, future};
    ///
    /// let (tx, rx) = gochan::unbounded();
    /// (0..3).for_each(|i| tx.send(i).unwrap());
    /// drop(tx);
    /// let odd: Vec<_> = futures_executor::block_on(rx.stream().filter(|i| future::ready(i % 2 == 1)).collect());
    /// assert_eq!(odd, [1]);
    /// ```
    #[track_caller]
    pub fn stream(&self) -> RecvStream<'_, T> {
        RecvStream::new(Handle::Borrowed(self), Location::caller())
    }

    /// As [`stream`](Self::stream), owning the receiver: for a task that outlives it.
    ///
    /// ```
    /// use futures_util::StreamExt;
    ///
    /// let (tx, rx) = gochan::unbounded();
    /// let mut stream = rx.into_stream();
    /// tx.send(7).unwrap();
    /// assert_eq!(futures_executor::block_on(stream.next()), Some(7));
    /// ```
    #[track_caller]
    pub fn into_stream<'a>(self) -> RecvStream<'a, T> {
        RecvStream::new(Handle::Owned(self), Location::caller())
    }
}

impl<T> Sender<T> {
    /// The sender as a `Sink`. flume's name.
    ///
    /// ```
    /// use futures_util::SinkExt;
    ///
    /// let (tx, rx) = gochan::unbounded();
    /// futures_executor::block_on(tx.sink().send(7)).unwrap();
    /// assert_eq!(rx.recv(), Ok(7));
    /// ```
    #[track_caller]
    pub fn sink(&self) -> SendSink<'_, T> {
        SendSink::new(Handle::Borrowed(self), Location::caller())
    }

    /// As [`sink`](Self::sink), owning the sender: for a task that outlives it.
    ///
    /// ```
    /// use futures_util::SinkExt;
    ///
    /// let (tx, rx) = gochan::unbounded();
    /// let mut sink = tx.into_sink();
    /// futures_executor::block_on(sink.send(7)).unwrap();
    /// drop(sink);
    /// assert_eq!(rx.iter().collect::<Vec<_>>(), [7]);
    /// ```
    #[track_caller]
    pub fn into_sink<'a>(self) -> SendSink<'a, T> {
        SendSink::new(Handle::Owned(self), Location::caller())
    }
}
