//! send_async and recv_async: operations as futures.
//!
//! A future holds its sudog, its wait and its value or room inline, pinned, so that waiting allocates nothing. It queues
//! itself when it is first polled and cannot be done at once, and from then on is a waiter as any other: a thread that
//! sends writes straight into the future of the task that receives.
//!
//! Cancel safety, by dropping: a receive that had been handed a value gives it back, to the next receiver or to the
//! channel, as the next value to be received. A send that had been taken has happened; one that had not drops its value.

use super::hchan::{Hchan, Refusal};
use super::ring::Block;
use super::section::{Batch, Ended, Locked, RecvNow, SendNow};
use super::waitq::{List, Sudog};
use super::{Flavor, Receiver, RecvError, SendError, Sender, fire_beside};
use crate::park::{Alarm, Done, Outcome, Ready, Reason, Wait};
use std::fmt;
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::panic::Location;
use std::pin::Pin;
use std::ptr;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

/// A handle, borrowed or owned.
pub(super) enum Handle<'a, H> {
    Borrowed(&'a H),
    Owned(H),
}

impl<H> Deref for Handle<'_, H> {
    type Target = H;

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

/// One operation of a task, reached by raw pointer once it is queued.
///
/// Invariants: while `sg.queued`, it stays where it is and is known to the channel, or its wait is done; else it is the
/// owner's alone.
#[repr(C)]
pub(super) struct Op<T> {
    sg: Sudog,
    wait: Wait,
    /// The value to send, or room for one to receive.
    slot: MaybeUninit<T>,
}

/// What came of polling an operation.
type Polled = Poll<Result<Ready, Refusal>>;

impl<S> Op<S> {
    pub(super) fn new(reason: Reason, at: &'static Location<'static>, slot: MaybeUninit<S>) -> Self {
        Self { sg: Sudog::new(ptr::null(), 0, ptr::null_mut()), wait: Wait::new(reason, at), slot }
    }

    /// The number that a sender's promise, or a receiver's value, came with.
    pub(super) fn number(&self) -> u64 {
        self.sg.number.get()
    }

    /// A watcher's operation.
    pub(super) fn watching(interest: u8, at: &'static Location<'static>) -> Self {
        let mut this = Self::new(Reason::ChanClose, at, MaybeUninit::uninit());
        this.sg.interest = interest;
        this
    }

    /// Is the operation on its way?
    pub(super) fn is_queued(&self) -> bool {
        self.sg.queued
    }

    /// Prepares a wait that may be queued now.
    ///
    /// # Safety
    /// `this` is the caller's alone, and pinned.
    pub(super) unsafe fn begin(this: *mut Self, lazy: bool) -> *const Sudog {
        // SAFETY: the caller's contract.
        unsafe {
            let (reason, at) = ((*this).wait.reason(), (*this).wait.location());
            (*this).wait = Wait::new(reason, at);
            let elem = if lazy { ptr::null_mut() } else { (&raw mut (*this).slot).cast() };
            let interest = (*this).sg.interest;
            (*this).sg = Sudog::new(&raw const (*this).wait, 0, elem);
            (*this).sg.polled = lazy;
            (*this).sg.interest = interest;
            &raw const (*this).sg
        }
    }

    /// The operation is queued, and its section left: falls asleep, or finds that it is over.
    ///
    /// # Safety
    /// `this` is pinned and the caller's; it was queued on `chan`.
    pub(super) unsafe fn sleep<T>(this: *mut Self, chan: &Hchan<T>, owed: Ready, cx: &Context<'_>) -> Poll<Done> {
        // SAFETY: the caller's contract.
        unsafe { (*this).sg.queued = true };
        owed.fire();
        chan.register();
        // SAFETY: others only touch the atomics and cells of the wait.
        unsafe { Self::fall_asleep(this, cx.waker().clone()) }
    }

    /// # Safety
    /// As for [`sleep`](Self::sleep); it is queued, and not asleep.
    unsafe fn fall_asleep(this: *mut Self, waker: Waker) -> Poll<Done> {
        // SAFETY: the caller's contract.
        unsafe {
            let Some(done) = (*this).wait.fall_asleep_as_task(waker) else { return Poll::Pending };
            // Ended meanwhile, so the operation is the owner's alone. Should the drop panic, it is known to be queued.
            drop((*this).wait.take_waker());
            (*this).sg.queued = false;
            Poll::Ready(done)
        }
    }

    /// A queued operation is polled again.
    ///
    /// # Safety
    /// As for [`sleep`](Self::sleep).
    pub(super) unsafe fn poll_queued<T>(this: *mut Self, chan: &Hchan<T>, cx: &Context<'_>) -> Poll<Done> {
        // SAFETY: the caller's contract.
        let wait = unsafe { &(*this).wait };
        if wait.is_awake() {
            // SAFETY: the caller's contract.
            return unsafe { Self::fall_asleep(this, cx.waker().clone()) };
        }
        let mut clone = None;
        let done = loop {
            if let Some(done) = wait.done() {
                break done;
            }
            let c = chan.lock();
            // SAFETY: linked, so not done, and who would end it needs the lock that we have.
            unsafe {
                if (*this).sg.list() == List::None {
                    // Who unlinked it has ended it in that section.
                    c.leave_quietly();
                    continue;
                }
                if wait.is_woken_by(cx.waker()) {
                    c.leave_quietly();
                    return Poll::Pending;
                }
                if let Some(waker) = clone.take() {
                    let old = wait.change_waker(waker);
                    c.leave_quietly();
                    drop(old);
                    return Poll::Pending;
                }
            }
            c.leave_quietly();
            clone = Some(cx.waker().clone());
        };
        // Should the drop panic, the operation is known to be queued.
        drop(clone);
        // SAFETY: the wait is over.
        unsafe { (*this).sg.queued = false };
        Poll::Ready(done)
    }

    /// Takes the operation off its queue, if it is on one: how it had ended, if it had. Then the owner's alone.
    ///
    /// # Safety
    /// As for [`poll_recv`](Self::poll_recv).
    pub(super) unsafe fn withdraw<T>(this: *mut Self, chan: &Hchan<T>) -> Option<Outcome> {
        // SAFETY: the caller's contract.
        unsafe {
            if !(*this).sg.queued {
                return None;
            }
            let done = chan.withdraw(&raw const (*this).sg);
            (*this).sg.queued = false;
            done.map(|done| done.outcome)
        }
    }
}

impl<T> Op<T> {
    /// Polls a receive. If it succeeds, the slot holds a value.
    ///
    /// # Safety
    /// `this` is pinned and the caller's, and always polled with this channel.
    pub(super) unsafe fn poll_recv(this: *mut Self, chan: &Hchan<T>, cx: &Context<'_>) -> Polled {
        // SAFETY: the caller's contract, here and below; the room is the operation's.
        unsafe {
            let mut done = None;
            if (*this).sg.queued {
                match Self::poll_queued(this, chan, cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(end) => done = Some(end),
                }
            }
            loop {
                match done.map(|done| done.outcome) {
                    Some(Outcome::Completed) => return Poll::Ready(Ok(Ready::NOBODY)),
                    Some(Outcome::Closed) => return Poll::Ready(Err(Refusal::Closed)),
                    _ => {}
                }
                match Self::start_recv(this, chan, cx) {
                    Ok(polled) => return polled,
                    Err(end) => done = Some(end),
                }
            }
        }
    }

    /// A receive that is not queued: does it, or queues it. `Err`: it was queued and has ended.
    unsafe fn start_recv(this: *mut Self, chan: &Hchan<T>, cx: &Context<'_>) -> Result<Polled, Done> {
        // SAFETY: the operation is the owner's alone until it is queued.
        unsafe {
            let room = (*this).slot.as_mut_ptr();
            if chan.is_drained() {
                return Ok(Poll::Ready(Err(Refusal::Closed)));
            }
            let mut state = chan.lock.lock();
            if let Some(block) = state.pop_quickly(chan, room) {
                drop(state);
                drop(block);
                return Ok(Poll::Ready(Ok(Ready::NOBODY)));
            }
            let mut c = Locked::of(chan, state);
            let ended = match c.recv_now(room, false) {
                RecvNow::Got(_, ended) => return Ok(Poll::Ready(Ok(c.leave(ended)))),
                RecvNow::Closed => return Ok(Poll::Ready(Err(Refusal::Closed))),
                RecvNow::Empty => {
                    c.queue_receiver(Self::begin(this, false));
                    Ended::NOBODY
                }
                RecvNow::Lazy(sender) => c.pair_arriving(Self::begin(this, false), sender),
            };
            let owed = c.leave(ended);
            match Self::sleep(this, chan, owed, cx) {
                Poll::Pending => Ok(Poll::Pending),
                Poll::Ready(done) => Err(done),
            }
        }
    }

    /// Polls a send of the value in the slot. If it succeeds, the value has been moved out.
    ///
    /// # Safety
    /// `this` is pinned and the caller's, holds a value, and is always polled with this channel.
    pub(super) unsafe fn poll_send(this: *mut Self, chan: &Hchan<T>, cx: &Context<'_>) -> Polled {
        // SAFETY: the caller's contract, here and below; the value is the operation's.
        unsafe {
            let done = if (*this).sg.queued {
                Self::poll_queued(this, chan, cx)
            } else {
                match Self::start_send(this, chan, cx) {
                    Ok(polled) => return polled,
                    Err(done) => Poll::Ready(done),
                }
            };
            done.map(|done| match done.outcome {
                Outcome::Completed => Ok(Ready::NOBODY),
                _ => Err(Refusal::Closed),
            })
        }
    }

    /// As [`start_recv`](Self::start_recv), for a send.
    unsafe fn start_send(this: *mut Self, chan: &Hchan<T>, cx: &Context<'_>) -> Result<Polled, Done> {
        // SAFETY: the operation is the owner's alone until it is queued.
        unsafe {
            let elem = (*this).slot.as_mut_ptr();
            let mut spare = None;
            if chan.is_closed() {
                return Ok(Poll::Ready(Err(Refusal::Closed)));
            }
            let mut state = chan.lock.lock();
            if state.push_quickly(chan, elem) {
                return Ok(Poll::Ready(Ok(Ready::NOBODY)));
            }
            let mut c = Locked::of(chan, state);
            loop {
                match c.send_now(elem, &mut spare) {
                    SendNow::Sent(ended) => return Ok(Poll::Ready(Ok(c.leave(ended)))),
                    SendNow::Closed => return Ok(Poll::Ready(Err(Refusal::Closed))),
                    SendNow::NoBlock(cap) => {
                        drop(c);
                        spare = Some(Block::new(cap));
                    }
                    SendNow::Crowded => chan.settle_and_leave(c, Batch::new()),
                    SendNow::Full => {
                        c.queue_sender(Self::begin(this, false));
                        let owed = c.leave(Ended::NOBODY);
                        return match Self::sleep(this, chan, owed, cx) {
                            Poll::Pending => Ok(Poll::Pending),
                            Poll::Ready(done) => Err(done),
                        };
                    }
                }
                c = chan.lock();
            }
        }
    }

    /// Gives a receive up: a value that it was handed goes back.
    ///
    /// # Safety
    /// As for [`poll_recv`](Self::poll_recv).
    pub(super) unsafe fn cancel_recv(this: *mut Self, chan: &Hchan<T>) {
        // SAFETY: the caller's contract.
        unsafe {
            if (*this).sg.queued {
                (*this).sg.queued = false;
                // What had happened is undone.
                let _ = chan.cancel_recv(&raw const (*this).sg);
            }
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
    receiver: Handle<'a, Receiver<T>>,
}

/// How a receiver is waited for.
enum What<T> {
    Op(Op<T>),
    /// A timer. Nobody sends, so nothing is queued.
    Timer(Option<Alarm>),
}

/// What [`Sender::send_async`] returns.
///
/// # Cancel safety
///
/// Dropped before it has sent, it drops its value: nobody receives it. Dropped after the value was taken, it has sent.
/// To keep the value, await a [`reserve`](Sender::reserve) and send then.
#[must_use = "futures do nothing unless they are polled"]
pub struct SendFut<'a, T> {
    op: Op<T>,
    sender: Handle<'a, Sender<T>>,
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
            Flavor::Timer(_) => What::Timer(None),
            Flavor::Chan(_) => What::Op(Op::new(Reason::ChanReceive, at, MaybeUninit::uninit())),
            Flavor::Never => What::Op(Op::new(Reason::ChanReceiveNil, at, MaybeUninit::uninit())),
        };
        Self { what, receiver }
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

    /// Polls a receive, and after it has ended another.
    pub(super) fn poll_recv(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, Refusal>> {
        // SAFETY: nothing is moved out.
        let this = unsafe { self.get_unchecked_mut() };
        match (&mut this.what, &this.receiver.flavor) {
            (What::Op(op), Flavor::Chan(chan)) => {
                let op = &raw mut *op;
                // SAFETY: pinned, and always with this channel.
                unsafe { Op::poll_recv(op, chan, cx) }.map(|received| {
                    let ready = received?;
                    // SAFETY: the slot holds a value.
                    unsafe {
                        let slot = &raw mut (*op).slot;
                        fire_beside(ready, slot.cast::<T>());
                        Ok((*slot).assume_init_read())
                    }
                })
            }
            (What::Timer(alarm), Flavor::Timer(timer)) => {
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
            _ => Poll::Pending,
        }
    }

    /// Gives up waiting, but not a value that has come meanwhile.
    pub(super) fn give_up(self: Pin<&mut Self>) -> Result<T, Refusal> {
        // SAFETY: nothing is moved out.
        let this = unsafe { self.get_unchecked_mut() };
        let (What::Op(op), Some(chan)) = (&mut this.what, this.receiver.chan()) else { return Err(Refusal::Blocked) };
        let op = &raw mut *op;
        // SAFETY: pinned, and always polled with this channel; completed, it holds a value.
        unsafe {
            match Op::withdraw(op, chan) {
                Some(Outcome::Completed) => Ok((*op).slot.assume_init_read()),
                Some(Outcome::Closed) => Err(Refusal::Closed),
                _ => {
                    // Here, because the next poll would drop it under the lock.
                    drop((*op).wait.take_waker());
                    Err(Refusal::Blocked)
                }
            }
        }
    }
}

impl<T> Future for RecvFut<'_, T> {
    type Output = Result<T, RecvError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_recv(cx).map(|received| received.map_err(|_| RecvError))
    }
}

impl<T> Drop for RecvFut<'_, T> {
    fn drop(&mut self) {
        if let (What::Op(op), Some(chan)) = (&mut self.what, self.receiver.chan()) {
            // SAFETY: always polled with this channel; pinned if it was ever polled.
            unsafe { Op::cancel_recv(&raw mut *op, chan) };
        }
    }
}

impl<'a, T> SendFut<'a, T> {
    pub(super) fn new(sender: Handle<'a, Sender<T>>, value: Option<T>, at: &'static Location<'static>) -> Self {
        let reason = if sender.hchan().is_some() { Reason::ChanSend } else { Reason::ChanSendNil };
        let mut op = Op::new(reason, at, MaybeUninit::uninit());
        op.sg.spent = value.is_none();
        if let Some(value) = value {
            op.slot.write(value);
        }
        Self { op, sender }
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
        self.op.sg.spent
    }

    /// Another value, after the last is gone.
    #[cfg(feature = "stream")]
    pub(super) fn load(self: Pin<&mut Self>, value: T) {
        // SAFETY: nothing is moved out.
        let this = unsafe { self.get_unchecked_mut() };
        debug_assert!(this.op.sg.spent, "loaded twice");
        this.op.slot.write(value);
        this.op.sg.spent = false;
    }

    /// # Panics
    /// If there is no value to send any more.
    pub(super) fn poll_send(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), T>> {
        // SAFETY: nothing is moved out but the value, which is not pinned.
        let this = unsafe { self.get_unchecked_mut() };
        assert!(!this.op.sg.spent, "polled after it has sent");
        let Some(chan) = this.sender.hchan() else { return Poll::Pending };
        let op = &raw mut this.op;
        // SAFETY: pinned, and always with this channel; there is a value.
        unsafe {
            Op::poll_send(op, chan, cx).map(|sent| {
                (*op).sg.spent = true;
                match sent {
                    Ok(ready) => {
                        ready.fire();
                        Ok(())
                    }
                    Err(_) => Err((*op).slot.assume_init_read()),
                }
            })
        }
    }

    /// Gives up waiting: the value comes back, unless it has been taken meanwhile.
    pub(super) fn give_up(self: Pin<&mut Self>) -> Result<(), (Refusal, T)> {
        // SAFETY: nothing is moved out but the value, which is not pinned.
        let this = unsafe { self.get_unchecked_mut() };
        let op = &raw mut this.op;
        let outcome = match this.sender.hchan() {
            // SAFETY: pinned, and always polled with this channel.
            Some(chan) => unsafe { Op::withdraw(op, chan) },
            None => None,
        };
        // SAFETY: the operation is ours alone now; if it was not completed, the slot holds the value still.
        unsafe {
            (*op).sg.spent = true;
            match outcome {
                Some(Outcome::Completed) => Ok(()),
                Some(Outcome::Closed) => Err((Refusal::Closed, (*op).slot.assume_init_read())),
                _ => Err((Refusal::Blocked, (*op).slot.assume_init_read())),
            }
        }
    }
}

impl<T> Future for SendFut<'_, T> {
    type Output = Result<(), SendError<T>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_send(cx).map(|sent| sent.map_err(SendError))
    }
}

impl<T> Drop for SendFut<'_, T> {
    fn drop(&mut self) {
        if !self.op.sg.spent {
            // SAFETY: it is dropped where it is pinned.
            drop(unsafe { Pin::new_unchecked(self) }.give_up());
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
