//! send_async and recv_async: operations as futures.
//!
//! What is done where a value, or a slot, is found is inlined where the future is awaited; everything else is its operation's (`op.rs`), and out
//! of line.
//!
//! Cancel safety, by dropping: a receive that had been handed a value gives it back, to the next receiver or to the
//! channel, as the next value to be received. A send that had been taken has happened; one that had not drops its value.

use super::hchan::Refusal;
use super::op::Op;
use super::quick::LOOKS_FIRST;
use super::waitq::Stage;
use super::{Flavor, Receiver, RecvError, SendError, Sender};
use crate::park::{Alarm, Outcome};
use crate::primitive::Ordering;
use std::fmt;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ops::Deref;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

/// A handle, borrowed or owned.
pub(super) enum Handle<'a, H> {
    Borrowed(&'a H),
    Owned(H),
}

impl<H> Deref for Handle<'_, H> {
    type Target = H;

    #[inline]
    fn deref(&self) -> &H {
        match self {
            Self::Borrowed(handle) => handle,
            Self::Owned(handle) => handle,
        }
    }
}

impl<H: Clone> Clone for Handle<'_, H> {
    fn clone(&self) -> Self {
        match self {
            Self::Borrowed(handle) => Self::Borrowed(handle),
            Self::Owned(handle) => Self::Owned(handle.clone()),
        }
    }
}

/// What [`Receiver::recv_async`] returns.
///
/// # Cancel safety
///
/// Dropped, it loses nothing: a value that it was handed and has not returned yet goes to the next receiver, or waits for
/// one, before all others. A future that is not polled keeps such a value as long as it lives.
#[must_use = "futures do nothing unless they are polled"]
pub struct RecvFut<'a, T> {
    what: What<T>,
    receiver: ManuallyDrop<Handle<'a, Receiver<T>>>,
}

/// How a receiver is waited for, which its flavor says.
union What<T> {
    op: ManuallyDrop<Op<T>>,
    /// If it is a timer: nobody sends, so nothing is queued.
    alarm: ManuallyDrop<Option<Alarm>>,
}

/// What [`Sender::send_async`] returns.
///
/// # Cancel safety
///
/// Dropped before it has sent, it drops its value: nobody receives it. Dropped after the value was taken, it has sent.
/// To keep the value, await a [`reserve`](Sender::reserve) and send then.
#[must_use = "futures do nothing unless they are polled"]
pub struct SendFut<'a, T> {
    op: ManuallyDrop<Op<T>>,
    sender: ManuallyDrop<Handle<'a, Sender<T>>>,
}

// SAFETY: a future owns its value and its handle; the pointers in its sudog lead to itself, and are used by others under the
// channel's lock only.
unsafe impl<T: Send> Send for RecvFut<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for SendFut<'_, T> {}
// SAFETY: a shared reference gives access to nothing.
unsafe impl<T: Send> Sync for RecvFut<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for SendFut<'_, T> {}

impl<'a, T> RecvFut<'a, T> {
    pub(super) fn new(receiver: Handle<'a, Receiver<T>>, at: &'static Location<'static>) -> Self {
        let what = match &receiver.flavor {
            Flavor::Timer(_) => What { alarm: ManuallyDrop::new(None) },
            Flavor::Chan(_) | Flavor::Never => What { op: ManuallyDrop::new(Op::new(at, MaybeUninit::uninit())) },
        };
        Self { what, receiver: ManuallyDrop::new(receiver) }
    }

    /// The receiver.
    #[must_use]
    pub fn receiver(&self) -> &Receiver<T> {
        &self.receiver
    }

    #[cfg(feature = "stream")]
    pub(super) fn handle(&self) -> &Handle<'a, Receiver<T>> {
        &self.receiver
    }

    /// A receive where nobody sends.
    #[inline(never)]
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, RecvError>> {
        let Flavor::Timer(timer) = &self.receiver.flavor else { return Poll::Pending };
        // SAFETY: of a timer it is the alarm.
        let alarm = unsafe { &mut *self.what.alarm };
        let Some(due) = timer.take(Instant::now()) else {
            Alarm::keep(alarm, timer.due(), cx.waker());
            return Poll::Pending;
        };
        *alarm = None;
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: a timer's receiver receives instants.
        Poll::Ready(Ok(unsafe {
            value.as_mut_ptr().cast::<Instant>().write(due);
            value.assume_init()
        }))
    }

    /// Gives up waiting, but not a value that has come meanwhile.
    pub(super) fn give_up(self: Pin<&mut Self>) -> Result<T, Refusal> {
        // SAFETY: nothing is moved out.
        let this = unsafe { self.get_unchecked_mut() };
        let Some(chan) = this.receiver.chan() else { return Err(Refusal::Blocked) };
        // SAFETY: of a channel it is the operation, pinned, and always polled with this channel; completed, it holds a value.
        unsafe {
            let op = &raw mut *this.what.op;
            match Op::withdraw(op, chan) {
                Some(Outcome::Completed) => Ok((*op).slot.assume_init_read()),
                Some(Outcome::Closed) => Err(Refusal::Closed),
                _ => {
                    (*op).drop_waker();
                    Err(Refusal::Blocked)
                }
            }
        }
    }
}

impl<T> Future for RecvFut<'_, T> {
    type Output = Result<T, RecvError>;

    /// Polls a receive, and after it has ended another.
    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: nothing is moved out.
        let this = unsafe { self.get_unchecked_mut() };
        let Flavor::Chan(chan) = &this.receiver.flavor else { return this.poll_timer(cx) };
        // SAFETY: of a channel it is the operation, pinned, and always polled with this channel.
        unsafe {
            let op = &raw mut *this.what.op;
            let room = (*op).slot.as_mut_ptr();
            if LOOKS_FIRST && !(*op).is_queued() && chan.is_value_known() && chan.recv_at_once(room) {
                return Poll::Ready(Ok(room.read()));
            }
            Op::await_value(op, chan, cx)
        }
    }
}

impl<T> Drop for RecvFut<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // Nearly always there is nothing to drop, which three looks tell.
        // SAFETY: of a channel it is the operation.
        let is_idle = unsafe { self.receiver.chan().is_some() && self.what.op.stage() == Stage::Idle };
        if !(is_idle && matches!(*self.receiver, Handle::Borrowed(_))) {
            self.drop_all();
        }
    }
}

impl<T> RecvFut<'_, T> {
    #[cold]
    fn drop_all(&mut self) {
        let receiver = InPlace(&mut self.receiver);
        // SAFETY: it is what the flavor says; it was always polled with this channel, and is pinned if it was.
        unsafe {
            match &receiver.0.flavor {
                Flavor::Timer(_) => drop(InPlace(&mut self.what.alarm)),
                Flavor::Chan(chan) => {
                    let op = InPlace(&mut self.what.op);
                    if op.0.is_queued() {
                        Op::cancel_recv(&raw mut **op.0, chan);
                    }
                }
                Flavor::Never => {}
            }
        }
    }
}

/// Drops a field where it is, also when something else panics.
struct InPlace<'f, F>(&'f mut ManuallyDrop<F>);

impl<F> Drop for InPlace<'_, F> {
    fn drop(&mut self) {
        // SAFETY: its owner is being dropped, and leaves it to us.
        unsafe { ManuallyDrop::drop(self.0) };
    }
}

impl<'a, T> SendFut<'a, T> {
    pub(super) fn new(sender: Handle<'a, Sender<T>>, value: Option<T>, at: &'static Location<'static>) -> Self {
        let spent = value.is_none();
        let op = Op::new(at, value.map_or(MaybeUninit::uninit(), MaybeUninit::new));
        op.set_spent(spent);
        Self { op: ManuallyDrop::new(op), sender: ManuallyDrop::new(sender) }
    }

    /// The sender.
    #[must_use]
    pub fn sender(&self) -> &Sender<T> {
        &self.sender
    }

    #[cfg(feature = "stream")]
    pub(super) fn handle(&self) -> &Handle<'a, Sender<T>> {
        &self.sender
    }

    /// Has the value been sent, or come back?
    #[cfg(feature = "stream")]
    pub(super) fn is_spent(&self) -> bool {
        self.op.is_spent()
    }

    /// Another value, after the last is gone.
    #[cfg(feature = "stream")]
    pub(super) fn load(self: Pin<&mut Self>, value: T) {
        // SAFETY: nothing is moved out.
        let this = unsafe { self.get_unchecked_mut() };
        debug_assert!(this.op.is_spent(), "loaded twice");
        this.op.slot.write(value);
        this.op.set_spent(false);
    }

    /// Gives up waiting: the value comes back, unless it has been taken meanwhile.
    pub(super) fn give_up(self: Pin<&mut Self>) -> Result<(), (Refusal, T)> {
        // SAFETY: nothing is moved out but the value, which is not pinned.
        let this = unsafe { self.get_unchecked_mut() };
        // SAFETY: pinned, and always polled with this channel.
        unsafe { Op::give_up_send(&raw mut *this.op, this.sender.hchan()) }
    }
}

impl<T> Future for SendFut<'_, T> {
    type Output = Result<(), SendError<T>>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: nothing is moved out but the value, which is not pinned.
        let this = unsafe { self.get_unchecked_mut() };
        assert!(!this.op.is_spent(), "polled after it has sent");
        let op = &raw mut *this.op;
        let Some(chan) = this.sender.hchan() else { return Poll::Pending };
        // SAFETY: pinned, and always with this channel; there is a value, which nobody else knows of unless it is queued.
        unsafe {
            if LOOKS_FIRST && !(*op).is_queued() {
                let word = chan.summary.load(Ordering::Relaxed);
                if chan.is_room_known(word) && chan.send_at_once((*op).slot.as_ptr()) {
                    (*op).set_spent(true);
                    return Poll::Ready(Ok(()));
                }
            }
            Op::await_room(op, chan, cx)
        }
    }
}

impl<T> Drop for SendFut<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // As for a receive; a value that was not sent is never idle.
        if !(self.op.is_spent() && self.op.stage() == Stage::Idle && matches!(*self.sender, Handle::Borrowed(_))) {
            self.drop_all();
        }
    }
}

impl<T> SendFut<'_, T> {
    #[cold]
    fn drop_all(&mut self) {
        let sender = InPlace(&mut self.sender);
        let op = InPlace(&mut self.op);
        if !op.0.is_spent() {
            // SAFETY: it is dropped where it is pinned, and always polled with this channel.
            drop(unsafe { Op::give_up_send(&raw mut **op.0, sender.0.hchan()) });
        }
    }
}

macro_rules! debug {
    ($($Type:ident)+) => {$(
        impl<T> fmt::Debug for $Type<'_, T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(concat!(stringify!($Type), " { .. }"))
            }
        }
    )+};
}
pub(super) use debug;
debug!(RecvFut SendFut);
