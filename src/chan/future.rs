//! send_async and recv_async: operations as futures.
//!
//! A future holds its sudog, its wait and its value or room inline, pinned, so that waiting allocates nothing. It queues
//! itself when it is first polled and cannot be done at once, and from then on is a waiter as any other: a thread that
//! sends writes straight into the future of the task that receives.
//!
//! Most polls find a value, or a slot, or that the wait has ended: that much is inlined, and everything else is not. A poll
//! that looks as if it will have to wait clones its waker, which is foreign code, before it takes the lock; so it is asleep
//! when it is queued, and one locked section is all there is. If it does not have to wait after all, the clone stays in the
//! future until that is dropped.
//!
//! Cancel safety, by dropping: a receive that had been handed a value gives it back, to the next receiver or to the
//! channel, as the next value to be received. A send that had been taken has happened; one that had not drops its value.

use super::hchan::{Hchan, Refusal};
use super::ring::Block;
use super::section::{Batch, Ended, Locked, RecvNow, SendNow};
use super::state::{LastUse, State};
use super::waitq::{List, Sudog};
use super::{Flavor, Receiver, RecvError, SendError, Sender, fire_beside};
use crate::park::{Alarm, Done, Outcome, Ready, Reason, Wait};
use crate::primitive::Guard;
use std::fmt;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ops::Deref;
use std::panic::Location;
use std::pin::Pin;
use std::ptr;
use std::task::{Context, Poll};
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
type Polled = Poll<Result<(), Refusal>>;

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

    /// Queues a watcher's operation, unless what it watches for is there. True if it is queued.
    ///
    /// # Safety
    /// `this` is the caller's alone, and pinned.
    pub(super) unsafe fn watch<T>(this: *mut Self, chan: &Hchan<T>, cx: &Context<'_>) -> bool {
        // SAFETY: the caller's contract.
        unsafe {
            Self::doze(this, false, cx);
            (*this).sg.queued = chan.watch(&raw const (*this).sg);
            if (*this).sg.queued {
                chan.register();
            }
            (*this).sg.queued
        }
    }

    /// Is the operation on its way?
    pub(super) fn is_queued(&self) -> bool {
        self.sg.queued
    }

    /// Before the lock is taken: the operation may have to wait, and will be asleep from the start if it does. Once per poll
    /// is enough. A lazy sender has no value before its wait has ended.
    ///
    /// # Safety
    /// `this` is the caller's alone, and pinned.
    pub(super) unsafe fn doze(this: *mut Self, lazy: bool, cx: &Context<'_>) {
        // SAFETY: the caller's contract.
        unsafe {
            (*this).wait.doze(cx.waker());
            let elem = if lazy { ptr::null_mut() } else { (&raw mut (*this).slot).cast() };
            (*this).sg.put(&raw const (*this).wait, elem);
            (*this).sg.polled = lazy;
        }
    }

    /// Does nobody know of it, and is no waker in it?
    #[inline]
    fn is_idle(&self) -> bool {
        !self.sg.queued && !self.wait.is_asleep()
    }

    /// The sudog, to be queued in the section that the caller is in.
    ///
    /// # Safety
    /// As for [`doze`](Self::doze); it dozes, with the waker of this poll.
    pub(super) unsafe fn sudog(this: *mut Self) -> *const Sudog {
        // SAFETY: the caller's contract.
        unsafe {
            (*this).sg.queued = true;
            &raw const (*this).sg
        }
    }

    /// A queued operation is polled again.
    ///
    /// # Safety
    /// `this` is pinned and the caller's; it was queued on `chan`.
    #[inline]
    pub(super) unsafe fn poll_queued<T>(this: *mut Self, chan: &Hchan<T>, cx: &Context<'_>) -> Poll<Done> {
        // SAFETY: the caller's contract; others only touch the atomics and cells of the wait.
        unsafe {
            let done = (*this).wait.done().or_else(|| Self::keep_waker(&raw const (*this).sg, &(*this).wait, chan, cx));
            match done {
                None => Poll::Pending,
                Some(done) => {
                    (*this).sg.queued = false;
                    Poll::Ready(done)
                }
            }
        }
    }

    /// Polled again while it waits: sees to it that the waker is this one. `Some` if the wait has ended meanwhile.
    ///
    /// # Safety
    /// As for [`poll_queued`](Self::poll_queued).
    #[cold]
    unsafe fn keep_waker<T>(sg: *const Sudog, wait: &Wait, chan: &Hchan<T>, cx: &Context<'_>) -> Option<Done> {
        if wait.is_woken_by(cx.waker()) || cfg!(gochan_bug = "first_waker_is_kept") {
            return None;
        }
        let waker = cx.waker().clone();
        let c = chan.lock();
        // SAFETY: the sudog is the caller's. Linked, it is not done, and who would end it needs the lock that we have.
        unsafe {
            if (*sg).list() != List::None || cfg!(gochan_bug = "waker_replaced_when_done") {
                let old = wait.change_waker(waker);
                c.leave_quietly();
                drop(old);
                return None;
            }
        }
        c.leave_quietly();
        drop(waker);
        // Who unlinked it has ended it in that section.
        wait.done()
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
    /// Polls a receive.
    ///
    /// # Safety
    /// `this` is pinned and the caller's, and always polled with this channel.
    #[inline]
    pub(super) unsafe fn poll_recv(this: *mut Self, chan: &Hchan<T>, cx: &Context<'_>) -> Poll<Result<T, Refusal>> {
        // SAFETY: the caller's contract, here and below; the room is the operation's until it is queued.
        unsafe {
            let room = (*this).slot.as_mut_ptr();
            let mut guard = None;
            if (*this).sg.queued {
                match Self::poll_queued(this, chan, cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Done { outcome: Outcome::Completed, .. }) => return Poll::Ready(Ok(room.read())),
                    Poll::Ready(Done { outcome: Outcome::Closed, .. }) => return Poll::Ready(Err(Refusal::Closed)),
                    Poll::Ready(_) => {}
                }
            } else if chan.may_receive() || chan.shown().is_readable() {
                let mut state = chan.lock.lock_as_task();
                if chan.pop_quickly(&mut state, room) {
                    return Poll::Ready(Ok(room.read()));
                }
                guard = Some(state);
            }
            Self::start_recv(this, chan, guard, cx).map(|received| received.map(|()| room.read()))
        }
    }

    /// A receive that is not queued: does it, or queues it. The caller may have the lock. If it succeeds, the slot holds a
    /// value.
    #[inline(never)]
    unsafe fn start_recv<'a>(
        this: *mut Self,
        chan: &'a Hchan<T>,
        guard: Option<Guard<'a, State<T>>>,
        cx: &Context<'_>,
    ) -> Polled {
        // SAFETY: the operation is the owner's alone until it is queued.
        unsafe {
            let room = (*this).slot.as_mut_ptr();
            let dozes = guard.is_none();
            let mut c = match guard {
                Some(state) => Locked::of(chan, state),
                None => {
                    if chan.is_drained() {
                        return Poll::Ready(Err(Refusal::Closed));
                    }
                    Self::doze(this, false, cx);
                    Locked::enter_as_task(chan)
                }
            };
            let mut owed = Ready::NOBODY;
            if let Some(sender) = c.dequeue_sure_sender() {
                c.last_receive = Some(LastUse::here((*this).wait.location()));
                c.take_from_and_leave(sender, room, &mut owed);
            } else if dozes && c.recv_must_wait() {
                if !c.queue_receiver_and_leave(Self::sudog(this), &mut owed) {
                    owed.fire_here();
                }
                chan.register();
                return Poll::Pending;
            } else if c.can_exchange() {
                c.last_receive = Some(LastUse::here((*this).wait.location()));
                c.exchange_and_leave(room, &mut owed);
            } else {
                return Self::start_recv_slow(this, c, dozes, cx);
            }
            fire_beside(&mut owed, room);
            Poll::Ready(Ok(()))
        }
    }

    #[cold]
    #[inline(never)]
    unsafe fn start_recv_slow(this: *mut Self, mut c: Locked<'_, T>, dozes: bool, cx: &Context<'_>) -> Polled {
        let chan = c.chan();
        // SAFETY: as in `start_recv`.
        unsafe {
            let room = (*this).slot.as_mut_ptr();
            if !dozes && c.recv_may_wait() {
                c.leave_quietly();
                Self::doze(this, false, cx);
                c = Locked::enter_as_task(chan);
            }
            let ended = match c.recv_now(room, false) {
                RecvNow::Got(_, ended) => {
                    c.trace_receive(ended, (*this).wait.location());
                    fire_beside(&mut c.leave(ended), room);
                    return Poll::Ready(Ok(()));
                }
                RecvNow::Closed => return Poll::Ready(Err(Refusal::Closed)),
                RecvNow::Empty => {
                    c.queue_receiver(Self::sudog(this));
                    Ended::NOBODY
                }
                RecvNow::Lazy(sender) => c.pair_arriving(Self::sudog(this), sender),
            };
            c.leave(ended).fire();
            chan.register();
            Poll::Pending
        }
    }

    /// Polls a send of the value in the slot. If it succeeds, the value has been moved out, and the operation is spent.
    ///
    /// # Safety
    /// `this` is pinned and the caller's, holds a value, and is always polled with this channel.
    #[inline]
    pub(super) unsafe fn poll_send(this: *mut Self, chan: &Hchan<T>, cx: &Context<'_>) -> Polled {
        // SAFETY: the caller's contract, here and below; the value is the operation's until it is queued.
        unsafe {
            let mut guard = None;
            if (*this).sg.queued {
                return Self::poll_queued(this, chan, cx).map(|done| match done.outcome {
                    Outcome::Completed => {
                        (*this).sg.spent = true;
                        Ok(())
                    }
                    _ => Err(Refusal::Closed),
                });
            }
            if chan.may_send() || chan.shown().is_writable(chan.cap) {
                let door = chan.tail_door();
                door.enter_as_task();
                if chan.push_quickly(&mut *chan.tail.value(), (*this).slot.as_ptr()) {
                    door.leave();
                    (*this).sg.spent = true;
                    return Poll::Ready(Ok(()));
                }
                let state = if chan.is_split() {
                    door.leave();
                    chan.lock.lock_as_task()
                } else {
                    chan.lock.held()
                };
                guard = Some(state);
            }
            Self::start_send(this, chan, guard, cx)
        }
    }

    /// As [`start_recv`](Self::start_recv), for a send.
    #[inline(never)]
    unsafe fn start_send<'a>(
        this: *mut Self,
        chan: &'a Hchan<T>,
        guard: Option<Guard<'a, State<T>>>,
        cx: &Context<'_>,
    ) -> Polled {
        // SAFETY: the operation is the owner's alone until it is queued.
        unsafe {
            let dozes = guard.is_none();
            let mut c = match guard {
                Some(state) => Locked::of(chan, state),
                None => {
                    if chan.is_closed() {
                        return Poll::Ready(Err(Refusal::Closed));
                    }
                    Self::doze(this, false, cx);
                    Locked::enter_as_task(chan)
                }
            };
            let mut owed = Ready::NOBODY;
            if dozes && c.send_must_wait() {
                if !c.queue_sender_and_leave(Self::sudog(this), &mut owed) {
                    owed.fire_here();
                }
                chan.register();
                return Poll::Pending;
            }
            if !c.closed {
                if let Some(receiver) = c.recvq.dequeue() {
                    c.last_send = Some(LastUse::here((*this).wait.location()));
                    c.hand_to_and_leave(receiver, (*this).slot.as_ptr(), &mut owed);
                    (*this).sg.spent = true;
                    owed.fire_here();
                    return Poll::Ready(Ok(()));
                }
            }
            Self::start_send_slow(this, c, dozes, cx)
        }
    }

    #[cold]
    #[inline(never)]
    unsafe fn start_send_slow(this: *mut Self, mut c: Locked<'_, T>, mut dozes: bool, cx: &Context<'_>) -> Polled {
        let chan = c.chan();
        let mut spare = None;
        // SAFETY: as in `start_send`.
        unsafe {
            loop {
                match c.send_now((*this).slot.as_ptr(), &mut spare) {
                    SendNow::Sent(ended) => {
                        c.trace_send(ended, (*this).wait.location());
                        let ready = c.leave(ended);
                        (*this).sg.spent = true;
                        ready.fire();
                        return Poll::Ready(Ok(()));
                    }
                    SendNow::Closed => return Poll::Ready(Err(Refusal::Closed)),
                    SendNow::NoBlock(cap) => {
                        drop(c);
                        spare = Some(Block::new(cap));
                    }
                    SendNow::Crowded => chan.settle_and_leave(c, Batch::new()),
                    SendNow::Full if !dozes => {
                        c.leave_quietly();
                        Self::doze(this, false, cx);
                        dozes = true;
                    }
                    SendNow::Full => {
                        c.queue_sender(Self::sudog(this));
                        c.leave(Ended::NOBODY).fire();
                        chan.register();
                        return Poll::Pending;
                    }
                }
                c = Locked::enter_as_task(chan);
            }
        }
    }

    /// Gives a send up: the value comes back, unless it has been taken meanwhile.
    ///
    /// # Safety
    /// As for [`poll_send`](Self::poll_send).
    unsafe fn give_up_send(this: *mut Self, chan: Option<&Hchan<T>>) -> Result<(), (Refusal, T)> {
        // SAFETY: the caller's contract. Then the operation is ours alone, and if it was not completed, the slot holds the
        // value still.
        unsafe {
            let outcome = chan.and_then(|chan| Self::withdraw(this, chan));
            (*this).sg.spent = true;
            match outcome {
                Some(Outcome::Completed) => Ok(()),
                Some(Outcome::Closed) => Err((Refusal::Closed, (*this).slot.assume_init_read())),
                _ => Err((Refusal::Blocked, (*this).slot.assume_init_read())),
            }
        }
    }

    /// Gives a queued receive up: a value that it was handed goes back.
    ///
    /// # Safety
    /// As for [`poll_recv`](Self::poll_recv).
    #[cold]
    unsafe fn cancel_recv(this: *mut Self, chan: &Hchan<T>) {
        // SAFETY: the caller's contract.
        unsafe {
            (*this).sg.queued = false;
            // What had happened is undone.
            let _ = chan.cancel_recv(&raw const (*this).sg);
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
    what: ManuallyDrop<What<T>>,
    receiver: ManuallyDrop<Handle<'a, Receiver<T>>>,
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
            Flavor::Timer(_) => What::Timer(None),
            // Where nothing ever comes nobody queues, so no reason is ever told.
            Flavor::Chan(_) | Flavor::Never => What::Op(Op::new(Reason::ChanReceive, at, MaybeUninit::uninit())),
        };
        Self { what: ManuallyDrop::new(what), receiver: ManuallyDrop::new(receiver) }
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
        match (&mut *this.what, &this.receiver.flavor) {
            (What::Op(op), Flavor::Chan(chan)) => {
                // SAFETY: pinned, and always with this channel.
                unsafe { Op::poll_recv(&raw mut *op, chan, cx) }
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
        let (What::Op(op), Some(chan)) = (&mut *this.what, this.receiver.chan()) else { return Err(Refusal::Blocked) };
        let op = &raw mut *op;
        // SAFETY: pinned, and always polled with this channel; completed, it holds a value.
        unsafe {
            match Op::withdraw(op, chan) {
                Some(Outcome::Completed) => Ok((*op).slot.assume_init_read()),
                Some(Outcome::Closed) => Err(Refusal::Closed),
                _ => {
                    // Here, because the next poll would drop it under the lock.
                    drop((*op).wait.take_waiter());
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
    #[inline]
    fn drop(&mut self) {
        // Nearly always there is nothing to drop, which two looks tell.
        if !matches!((&*self.what, &*self.receiver), (What::Op(op), Handle::Borrowed(_)) if op.is_idle()) {
            self.drop_all();
        }
    }
}

impl<T> RecvFut<'_, T> {
    #[cold]
    fn drop_all(&mut self) {
        let receiver = InPlace(&mut self.receiver);
        let what = InPlace(&mut self.what);
        if let (What::Op(op), Some(chan)) = (&mut **what.0, receiver.0.chan()) {
            if op.sg.queued {
                // SAFETY: always polled with this channel; pinned, since it was polled.
                unsafe { Op::cancel_recv(&raw mut *op, chan) };
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
        let mut op = Op::new(Reason::ChanSend, at, MaybeUninit::uninit());
        op.sg.spent = value.is_none();
        if let Some(value) = value {
            op.slot.write(value);
        }
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
        let op = &raw mut *this.op;
        // SAFETY: pinned, and always with this channel; there is a value, which is still there if it was refused.
        unsafe {
            Op::poll_send(op, chan, cx).map(|sent| {
                sent.map_err(|_| {
                    (*op).sg.spent = true;
                    (*op).slot.assume_init_read()
                })
            })
        }
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

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_send(cx).map(|sent| sent.map_err(SendError))
    }
}

impl<T> Drop for SendFut<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // As for a receive; a value that was not sent is never idle.
        if !(self.op.sg.spent && self.op.is_idle() && matches!(*self.sender, Handle::Borrowed(_))) {
            self.drop_all();
        }
    }
}

impl<T> SendFut<'_, T> {
    #[cold]
    fn drop_all(&mut self) {
        let sender = InPlace(&mut self.sender);
        let op = InPlace(&mut self.op);
        if !op.0.sg.spent {
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
