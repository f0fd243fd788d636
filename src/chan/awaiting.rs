//! The asynchronous methods of the handles, and the futures that are made of others: with a deadline, a permit, a close.

use super::future::{Handle, RecvFut, SendFut, debug};
use super::handshake::{Promise, Promised, WATCH_CLOSE};
use super::hchan::{Hchan, Refusal};
use super::op::Op;
use super::section::Ended;
use super::{Chan, Receiver, RecvTimeoutError, SendError, SendTimeoutError, Sender, TrySendError};
use crate::park::{Alarm, Reason};
use crate::primitive::is_over;
use std::fmt;
use std::mem::MaybeUninit;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

impl<T> Receiver<T> {
    /// Receives a value, awaiting one. Go's `<-ch` in a goroutine.
    ///
    /// # Errors
    ///
    /// [`RecvError`](crate::RecvError) if the channel is closed and empty.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, it loses nothing: see [`RecvFut`].
    ///
    /// ```
    /// let (tx, rx) = gochan::bounded(0);
    /// std::thread::spawn(move || tx.send(7));
    /// assert_eq!(futures_executor::block_on(rx.recv_async()), Ok(7));
    /// ```
    #[track_caller]
    pub fn recv_async(&self) -> RecvFut<'_, T> {
        RecvFut::new(Handle::Borrowed(self), Location::caller())
    }

    /// As [`recv_async`](Self::recv_async), owning the receiver: for a task that outlives it.
    ///
    /// # Errors
    ///
    /// [`RecvError`](crate::RecvError) if the channel is closed and empty.
    ///
    /// # Cancel safety
    ///
    /// As for [`recv_async`](Self::recv_async).
    ///
    /// ```
    /// let (tx, rx) = gochan::bounded(1);
    /// let receive = rx.into_recv_async();
    /// tx.send(7).unwrap();
    /// let receiver = std::thread::spawn(|| futures_executor::block_on(receive));
    /// assert_eq!(receiver.join().unwrap(), Ok(7));
    /// ```
    #[track_caller]
    pub fn into_recv_async<'a>(self) -> RecvFut<'a, T> {
        RecvFut::new(Handle::Owned(self), Location::caller())
    }

    /// As [`recv_async`](Self::recv_async), awaiting at most for `timeout`, on any executor.
    ///
    /// The first such wait of a process starts a thread that keeps the time for all.
    ///
    /// # Errors
    ///
    /// As for [`recv_timeout`](Self::recv_timeout).
    ///
    /// # Cancel safety
    ///
    /// As for [`recv_async`](Self::recv_async).
    ///
    /// ```
    /// use gochan::RecvTimeoutError;
    /// use std::time::Duration;
    ///
    /// let (_tx, rx) = gochan::bounded::<u8>(0);
    /// let received = futures_executor::block_on(rx.recv_timeout_async(Duration::from_millis(5)));
    /// assert_eq!(received, Err(RecvTimeoutError::Timeout));
    /// ```
    #[track_caller]
    pub fn recv_timeout_async(&self, timeout: Duration) -> RecvTimeoutFut<'_, T> {
        RecvTimeoutFut(InTime::new(self.recv_async(), Instant::now().checked_add(timeout)))
    }

    /// As [`recv_timeout_async`](Self::recv_timeout_async), until `deadline`.
    ///
    /// # Errors
    ///
    /// As for [`recv_deadline`](Self::recv_deadline).
    ///
    /// # Cancel safety
    ///
    /// As for [`recv_async`](Self::recv_async).
    ///
    /// ```
    /// use gochan::RecvTimeoutError;
    /// use std::time::Instant;
    ///
    /// let (_tx, rx) = gochan::bounded::<u8>(0);
    /// let received = futures_executor::block_on(rx.recv_deadline_async(Instant::now()));
    /// assert_eq!(received, Err(RecvTimeoutError::Timeout));
    /// ```
    #[track_caller]
    pub fn recv_deadline_async(&self, deadline: Instant) -> RecvTimeoutFut<'_, T> {
        RecvTimeoutFut(InTime::new(self.recv_async(), Some(deadline)))
    }

    /// Awaits that the channel is closed; values may still be received then.
    ///
    /// # Cancel safety
    ///
    /// Nothing depends on it.
    ///
    /// ```
    /// let (tx, rx) = gochan::bounded(1);
    /// tx.send(7).unwrap();
    /// drop(tx);
    /// futures_executor::block_on(rx.closed());
    /// assert_eq!(rx.recv(), Ok(7));
    /// ```
    #[track_caller]
    pub fn closed(&self) -> ClosedFut<'_, T> {
        ClosedFut::new(self.chan().map(|chan| &**chan), Location::caller())
    }
}

impl<T> Sender<T> {
    /// Sends `msg`, awaiting a receiver or space. Go's `ch <- msg` in a goroutine.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the value, if the channel is closed, also while this waits.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it has sent, it drops `msg`: see [`SendFut`].
    ///
    /// ```
    /// let (tx, rx) = gochan::bounded(0);
    /// let receiver = std::thread::spawn(move || rx.recv());
    /// futures_executor::block_on(tx.send_async(7)).unwrap();
    /// assert_eq!(receiver.join().unwrap(), Ok(7));
    /// ```
    #[track_caller]
    pub fn send_async(&self, msg: T) -> SendFut<'_, T> {
        SendFut::new(Handle::Borrowed(self), Some(msg), Location::caller())
    }

    /// As [`send_async`](Self::send_async), owning the sender: for a task that outlives it.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the value, if the channel is closed, also while this waits.
    ///
    /// # Cancel safety
    ///
    /// As for [`send_async`](Self::send_async).
    ///
    /// ```
    /// let (tx, rx) = gochan::bounded(0);
    /// let send = tx.into_send_async(7);
    /// let sender = std::thread::spawn(|| futures_executor::block_on(send));
    /// assert_eq!(rx.recv(), Ok(7));
    /// assert_eq!(sender.join().unwrap(), Ok(()));
    /// ```
    #[track_caller]
    pub fn into_send_async<'a>(self, msg: T) -> SendFut<'a, T> {
        SendFut::new(Handle::Owned(self), Some(msg), Location::caller())
    }

    /// As [`send_async`](Self::send_async), awaiting at most for `timeout`, on any executor.
    ///
    /// The first such wait of a process starts a thread that keeps the time for all.
    ///
    /// # Errors
    ///
    /// As for [`send_timeout`](Self::send_timeout).
    ///
    /// # Cancel safety
    ///
    /// As for [`send_async`](Self::send_async).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let (tx, _rx) = gochan::bounded(0);
    /// let sent = futures_executor::block_on(tx.send_timeout_async(7, Duration::from_millis(5)));
    /// assert_eq!(sent.unwrap_err().into_inner(), 7);
    /// ```
    #[track_caller]
    pub fn send_timeout_async(&self, msg: T, timeout: Duration) -> SendTimeoutFut<'_, T> {
        SendTimeoutFut(InTime::new(self.send_async(msg), Instant::now().checked_add(timeout)))
    }

    /// As [`send_timeout_async`](Self::send_timeout_async), until `deadline`.
    ///
    /// # Errors
    ///
    /// As for [`send_deadline`](Self::send_deadline).
    ///
    /// # Cancel safety
    ///
    /// As for [`send_async`](Self::send_async).
    ///
    /// ```
    /// use std::time::Instant;
    ///
    /// let (tx, _rx) = gochan::bounded(0);
    /// let sent = futures_executor::block_on(tx.send_deadline_async(7, Instant::now()));
    /// assert!(sent.unwrap_err().is_timeout());
    /// ```
    #[track_caller]
    pub fn send_deadline_async(&self, msg: T, deadline: Instant) -> SendTimeoutFut<'_, T> {
        SendTimeoutFut(InTime::new(self.send_async(msg), Some(deadline)))
    }

    /// Awaits the right to send one value. With it, sending waits for nothing: the value need not exist before, and is
    /// not lost if the wait is given up.
    ///
    /// At capacity 0 the right is a receiver, which waits for the value from then on. tokio's name.
    ///
    /// # Errors
    ///
    /// [`SendError`] if the channel is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, it leaves the slot, or the receiver, to the next sender.
    ///
    /// ```
    /// let (tx, rx) = gochan::bounded(1);
    /// let permit = futures_executor::block_on(tx.reserve()).unwrap();
    /// assert!(tx.try_send(1).is_err());
    /// permit.send(2).unwrap();
    /// assert_eq!(rx.recv(), Ok(2));
    /// ```
    #[track_caller]
    pub fn reserve(&self) -> ReserveFut<'_, T> {
        let op = Op::new(Location::caller(), MaybeUninit::uninit());
        ReserveFut { op, chan: self.hchan() }
    }

    /// The right to send one value, if it is to be had without waiting.
    ///
    /// # Errors
    ///
    /// As for [`try_send`](Self::try_send).
    ///
    /// ```
    /// let (tx, rx) = gochan::bounded(1);
    /// let permit = tx.try_reserve().unwrap();
    /// assert!(tx.try_reserve().unwrap_err().is_full());
    /// drop(permit);
    /// tx.try_send(1).unwrap();
    /// assert_eq!(rx.recv(), Ok(1));
    /// ```
    pub fn try_reserve(&self) -> Result<Permit<'_, T>, TrySendError<()>> {
        let Some(chan) = self.hchan() else { return Err(TrySendError::Full(())) };
        match chan.promise() {
            None => Err(TrySendError::Full(())),
            Some(Promised::Closed) => Err(TrySendError::Disconnected(())),
            Some(promised) => Ok(Permit(Promise::new(chan, promised))),
        }
    }

    /// Awaits that the channel is closed: that nobody receives any more, or somebody has closed it. tokio's name.
    ///
    /// # Cancel safety
    ///
    /// Nothing depends on it.
    ///
    /// ```
    /// let (tx, rx) = gochan::bounded::<u8>(0);
    /// drop(rx);
    /// futures_executor::block_on(tx.closed());
    /// ```
    #[track_caller]
    pub fn closed(&self) -> ClosedFut<'_, T> {
        ClosedFut::new(self.hchan(), Location::caller())
    }
}

impl<T> Chan<T> {
    /// `ch <- value`, awaited.
    ///
    /// # Panics
    ///
    /// `send on closed channel`, also if the channel is closed while this waits. The value is dropped.
    ///
    /// # Cancel safety
    ///
    /// As for [`Sender::send_async`].
    ///
    /// ```
    /// let ch = gochan::Chan::new(1);
    /// futures_executor::block_on(async {
    ///     ch.send_async(7).await;
    ///     assert_eq!(ch.recv_async().await, Some(7));
    /// });
    /// ```
    #[track_caller]
    pub fn send_async(&self, value: T) -> impl Future<Output = ()> {
        let send = self.as_sender().send_async(value);
        async move {
            if let Err(SendError(value)) = send.await {
                // Not while unwinding: its drop may panic too.
                drop(value);
                panic!("send on closed channel");
            }
        }
    }

    /// `v, ok := <-ch`, awaited: `None` if the channel is closed and empty.
    ///
    /// # Cancel safety
    ///
    /// As for [`Receiver::recv_async`].
    ///
    /// ```
    /// let ch = gochan::Chan::new(1);
    /// ch.send(7);
    /// ch.close();
    /// futures_executor::block_on(async {
    ///     assert_eq!(ch.recv_async().await, Some(7));
    ///     assert_eq!(ch.recv_async().await, None);
    /// });
    /// ```
    #[track_caller]
    pub fn recv_async(&self) -> impl Future<Output = Option<T>> {
        let receive = self.as_receiver().recv_async();
        async move { receive.await.ok() }
    }
}

/// An operation that is given up at its deadline.
pub(super) struct InTime<F> {
    pub(super) fut: F,
    deadline: Option<Instant>,
    alarm: Option<Alarm>,
}

impl<F> InTime<F> {
    fn new(fut: F, deadline: Option<Instant>) -> Self {
        Self { fut, deadline, alarm: None }
    }

    fn poll<R>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        poll: impl FnOnce(Pin<&mut F>, &mut Context<'_>) -> Poll<R>,
        give_up: impl FnOnce(Pin<&mut F>) -> R,
    ) -> Poll<R> {
        // SAFETY: nothing is moved out.
        let this = unsafe { self.get_unchecked_mut() };
        // SAFETY: pinned with us.
        let mut fut = unsafe { Pin::new_unchecked(&mut this.fut) };
        let polled = poll(fut.as_mut(), cx);
        if polled.is_ready() {
            return polled;
        }
        if this.deadline.is_some_and(is_over) {
            return Poll::Ready(give_up(fut));
        }
        Alarm::keep(&mut this.alarm, this.deadline, cx.waker());
        Poll::Pending
    }
}

/// What [`Receiver::recv_timeout_async`] returns.
///
/// # Cancel safety
///
/// As for [`RecvFut`].
#[must_use = "futures do nothing unless they are polled"]
pub struct RecvTimeoutFut<'a, T>(InTime<RecvFut<'a, T>>);

impl<T> Future for RecvTimeoutFut<'_, T> {
    type Output = Result<T, RecvTimeoutError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: pinned with us.
        let this = unsafe { self.map_unchecked_mut(|this| &mut this.0) };
        let received = this.poll(cx, |fut, cx| fut.poll(cx).map_err(|_| Refusal::Closed), RecvFut::give_up);
        received.map_err(|refusal| match refusal {
            Refusal::Blocked => RecvTimeoutError::Timeout,
            Refusal::Closed => RecvTimeoutError::Disconnected,
        })
    }
}

/// What [`Sender::send_timeout_async`] returns.
///
/// # Cancel safety
///
/// As for [`SendFut`].
#[must_use = "futures do nothing unless they are polled"]
pub struct SendTimeoutFut<'a, T>(pub(super) InTime<SendFut<'a, T>>);

impl<T> Future for SendTimeoutFut<'_, T> {
    type Output = Result<(), SendTimeoutError<T>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: pinned with us.
        let this = unsafe { self.map_unchecked_mut(|this| &mut this.0) };
        let sent = this.poll(
            cx,
            |fut, cx| fut.poll(cx).map_err(|SendError(value)| (Refusal::Closed, value)),
            SendFut::give_up,
        );
        sent.map_err(|(refusal, value)| match refusal {
            Refusal::Blocked => SendTimeoutError::Timeout(value),
            Refusal::Closed => SendTimeoutError::Disconnected(value),
        })
    }
}

/// The right to send one value, which was awaited by [`Sender::reserve`]: sending it waits for nothing.
///
/// Dropped, it leaves the slot, or the receiver, to the next sender. Forgotten, it keeps them: a receiver that it was given
/// waits as long as it waits for anything.
#[must_use = "dropped, it sends nothing"]
pub struct Permit<'a, T>(Promise<'a, T>);

impl<T> Permit<'_, T> {
    /// Sends `msg`.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the value, if the channel has been closed meanwhile.
    ///
    /// ```
    /// let (tx, rx) = gochan::bounded(1);
    /// let permit = tx.try_reserve().unwrap();
    /// drop(rx);
    /// assert_eq!(permit.send(7).unwrap_err().into_inner(), 7);
    /// ```
    pub fn send(self, msg: T) -> Result<(), SendError<T>> {
        self.0.keep(msg).map_err(SendError)
    }
}

/// What [`Sender::reserve`] returns.
///
/// # Cancel safety
///
/// Dropped, it leaves what it was given to the next sender.
#[must_use = "futures do nothing unless they are polled"]
pub struct ReserveFut<'a, T> {
    op: Op<()>,
    chan: Option<&'a Hchan<T>>,
}

// SAFETY: the pointers in its sudog lead to itself, and are used by others under the channel's lock only.
unsafe impl<T: Send> Send for ReserveFut<'_, T> {}
// SAFETY: a shared reference gives access to nothing.
unsafe impl<T: Send> Sync for ReserveFut<'_, T> {}

impl<'a, T> Future for ReserveFut<'a, T> {
    type Output = Result<Permit<'a, T>, SendError<()>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: nothing is moved out.
        let this = unsafe { self.get_unchecked_mut() };
        let Some(chan) = this.chan else { return Poll::Pending };
        let op = &raw mut this.op;
        // SAFETY: pinned, and always with this channel.
        let promised = unsafe {
            let mut promised = None;
            if (*op).is_queued() {
                match Op::poll_queued(op, chan, cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(done) => promised = Promised::by(done.outcome, (*op).number()),
                }
            }
            // Whether it will have to wait, the first round finds.
            let mut dozes = false;
            loop {
                if let Some(promised) = promised {
                    break promised;
                }
                let mut c = chan.lock_in_turn();
                promised = c.promise(std::ptr::null());
                if promised.is_some() {
                    continue;
                }
                if !dozes {
                    c.leave_quietly();
                    Op::doze(op, Reason::ChanSend, true, cx);
                    dozes = true;
                    continue;
                }
                c.queue_sender(Op::sudog(op));
                c.leave(Ended::NOBODY).fire();
                chan.register();
                return Poll::Pending;
            }
        };
        Poll::Ready(match promised {
            Promised::Closed => Err(SendError(())),
            promised => Ok(Permit(Promise::new(chan, promised))),
        })
    }
}

impl<T> Drop for ReserveFut<'_, T> {
    fn drop(&mut self) {
        let Some(chan) = self.chan else { return };
        let op = &raw mut self.op;
        // SAFETY: always polled with this channel; pinned if it was ever polled.
        unsafe {
            if let Some(promised) = Op::withdraw(op, chan).and_then(|outcome| Promised::by(outcome, (*op).number())) {
                chan.break_promise(promised);
            }
        }
    }
}

/// What [`Sender::closed`] and [`Receiver::closed`] return.
///
/// # Cancel safety
///
/// Nothing depends on it.
#[must_use = "futures do nothing unless they are polled"]
pub struct ClosedFut<'a, T> {
    op: Op<()>,
    chan: Option<&'a Hchan<T>>,
}

// SAFETY: the pointers in its sudog lead to itself, and are used by others under the channel's lock only.
unsafe impl<T: Send> Send for ClosedFut<'_, T> {}
// SAFETY: a shared reference gives access to nothing.
unsafe impl<T: Send> Sync for ClosedFut<'_, T> {}

impl<'a, T> ClosedFut<'a, T> {
    fn new(chan: Option<&'a Hchan<T>>, at: &'static Location<'static>) -> Self {
        Self { op: Op::new(at, MaybeUninit::uninit()), chan }
    }
}

impl<T> Future for ClosedFut<'_, T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // SAFETY: nothing is moved out.
        let this = unsafe { self.get_unchecked_mut() };
        let Some(chan) = this.chan else { return Poll::Pending };
        let op = &raw mut this.op;
        // SAFETY: pinned, and always with this channel.
        unsafe {
            if (*op).is_queued() {
                return Op::poll_queued(op, chan, cx).map(|_| ());
            }
            if !chan.is_closed() && Op::watch(op, WATCH_CLOSE, chan, cx) { Poll::Pending } else { Poll::Ready(()) }
        }
    }
}

impl<T> Drop for ClosedFut<'_, T> {
    fn drop(&mut self) {
        if let Some(chan) = self.chan {
            // SAFETY: always polled with this channel; pinned if it was ever polled.
            unsafe { Op::withdraw(&raw mut self.op, chan) };
        }
    }
}

debug!(RecvTimeoutFut SendTimeoutFut Permit ReserveFut ClosedFut);
