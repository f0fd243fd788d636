//! send_async and recv_async: operations as futures.
//!
//! A future holds its sudog, its wait and its value or room inline, pinned, so that waiting allocates nothing. It queues
//! itself when it is first polled and cannot be done at once, and from then on is a waiter as any other: a thread that
//! sends writes straight into the future of the task that receives.
//!
//! Most polls find a value, or a slot, and need no wait: that much is inlined where the future is awaited, and of the wait nothing has been
//! made by then, since what has to be written in any case is what such a poll takes longest for. Everything else is out of line. A poll
//! that looks as if it will have to wait clones its waker, which is foreign code, before it takes the lock; so it is asleep
//! when it is queued, and one locked section is all there is. If it does not have to wait after all, the clone stays in the
//! future until that is dropped.
//!
//! Cancel safety, by dropping: a receive that had been handed a value gives it back, to the next receiver or to the
//! channel, as the next value to be received. A send that had been taken has happened; one that had not drops its value.

use super::hchan::{Hchan, Refusal};
use super::quick::LOOKS_FIRST;
use super::ring::Block;
use super::section::{Batch, Ended, Locked, RecvNow, SendNow};
use super::state::LastUse;
use super::waitq::{Known, List, Stage, Sudog};
use super::{Flavor, Receiver, RecvError, SendError, Sender, fire_beside};
use crate::park::{Alarm, Done, Outcome, Ready, Reason, Wait};
use crate::primitive::Ordering;
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

/// One operation of a task, reached by raw pointer once it is queued.
///
/// Invariants: while it is queued, it stays where it is; else it is the owner's alone. While it is [idle](Stage::Idle), there is nothing of
/// its wait but what its owner [knows](Known) of it: most need not wait, and never have one.
pub(super) struct Op<T> {
    waiting: MaybeUninit<Waiting>,
    /// The value to send, or room for one to receive.
    slot: MaybeUninit<T>,
}

#[repr(C)]
struct Waiting {
    sg: Sudog,
    wait: Wait,
}

/// What came of polling an operation.
type Polled = Poll<Result<(), Refusal>>;

impl<S> Op<S> {
    #[inline(always)]
    pub(super) fn new(at: &'static Location<'static>, slot: MaybeUninit<S>) -> Self {
        // Field by field: copied as a whole, what is uninitialised would be copied, too.
        let mut this = MaybeUninit::<Self>::uninit();
        // SAFETY: there is room for it, and both fields are of a kind that may be uninitialised.
        unsafe {
            let place = this.as_mut_ptr();
            (&raw mut (*place).slot).write(slot);
            let waiting: *mut Waiting = (&raw mut (*place).waiting).cast();
            (&raw mut (*waiting).sg.known).write(Known::new());
            Wait::note(&raw mut (*waiting).wait, at);
            this.assume_init()
        }
    }

    #[inline(always)]
    fn sg(&self) -> *const Sudog {
        // SAFETY: a place, of which nothing is read.
        unsafe { &raw const (*self.waiting.as_ptr()).sg }
    }

    #[inline(always)]
    fn wait(&self) -> *const Wait {
        // SAFETY: as above.
        unsafe { &raw const (*self.waiting.as_ptr()).wait }
    }

    /// What its owner knows of it.
    #[inline(always)]
    fn known(&self) -> &Known {
        // SAFETY: that is there from the beginning.
        unsafe { &(*self.sg()).known }
    }

    #[inline(always)]
    fn stage(&self) -> Stage {
        self.known().stage.get()
    }

    #[inline(always)]
    fn set_stage(&self, stage: Stage) {
        self.known().stage.set(stage);
    }

    /// A send: is its value gone?
    #[inline(always)]
    fn is_spent(&self) -> bool {
        self.known().spent.get()
    }

    #[inline(always)]
    fn set_spent(&self, spent: bool) {
        self.known().spent.set(spent);
    }

    /// Where it was made.
    #[inline(always)]
    fn at(&self) -> &'static Location<'static> {
        // SAFETY: noted in the beginning.
        unsafe { Wait::noted(self.wait()) }
    }

    /// The number that a sender's promise, or a receiver's value, came with.
    ///
    /// # Safety
    /// It has been queued.
    pub(super) unsafe fn number(&self) -> u64 {
        // SAFETY: so there is a sudog.
        unsafe { (*self.sg()).number.get() }
    }

    /// Queues a watcher's operation, unless what it watches for is there. True if it is queued.
    ///
    /// # Safety
    /// `this` is the caller's alone, and pinned.
    pub(super) unsafe fn watch<T>(this: *mut Self, interest: u8, chan: &Hchan<T>, cx: &Context<'_>) -> bool {
        // SAFETY: the caller's contract.
        unsafe {
            Self::doze(this, Reason::ChanClose, false, cx);
            (*(*this).waiting.as_mut_ptr()).sg.interest = interest;
            if !chan.watch((*this).sg()) {
                return false;
            }
            (*this).set_stage(Stage::Queued);
            chan.register();
            true
        }
    }

    /// Is the operation on its way?
    #[inline]
    pub(super) fn is_queued(&self) -> bool {
        self.stage() == Stage::Queued
    }

    /// Before the lock is taken: the operation may have to wait, and will be asleep from the start if it does. Once per poll
    /// is enough. A lazy sender has no value before its wait has ended.
    ///
    /// # Safety
    /// `this` is the caller's alone, and pinned.
    #[inline]
    pub(super) unsafe fn doze(this: *mut Self, reason: Reason, lazy: bool, cx: &Context<'_>) {
        // SAFETY: the caller's contract; unless it is idle, there is a wait.
        unsafe {
            let waiting = (*this).waiting.as_mut_ptr();
            if (*this).stage() == Stage::Idle {
                let waker = cx.waker().clone();
                Wait::make_dozing(&raw mut (*waiting).wait, reason, (*this).at(), waker);
                (&raw mut (*waiting).sg).write(Sudog::new(ptr::null(), 0, ptr::null_mut()));
                (*this).set_stage(Stage::Dozing);
            } else {
                (*waiting).wait.doze(cx.waker());
            }
            let elem = if lazy { ptr::null_mut() } else { (&raw mut (*this).slot).cast() };
            (*waiting).sg.put(&raw const (*waiting).wait, elem);
            (*waiting).sg.polled = lazy;
        }
    }

    /// The sudog, to be queued in the section that the caller is in.
    ///
    /// # Safety
    /// As for [`doze`](Self::doze); it dozes, with the waker of this poll.
    #[inline]
    pub(super) unsafe fn sudog(this: *mut Self) -> *const Sudog {
        // SAFETY: the caller's contract.
        unsafe {
            (*this).set_stage(Stage::Queued);
            (*this).sg()
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
            let (sg, wait) = ((*this).sg(), &*(*this).wait());
            match wait.done().or_else(|| Self::keep_waker(sg, wait, chan, cx)) {
                None => Poll::Pending,
                Some(done) => {
                    // Who has ended it has taken the waker.
                    debug_assert!(!wait.is_asleep());
                    (*this).set_stage(Stage::Idle);
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
            if !(*this).is_queued() {
                return None;
            }
            let done = chan.withdraw((*this).sg());
            (*this).set_stage(Stage::Dozing);
            done.map(|done| done.outcome)
        }
    }
}

impl<S> Drop for Op<S> {
    #[inline]
    fn drop(&mut self) {
        debug_assert!(!self.is_queued(), "dropped while queued");
        if self.stage() != Stage::Idle {
            // SAFETY: then there is a wait.
            unsafe { ptr::drop_in_place(&raw mut (*self.waiting.as_mut_ptr()).wait) };
        }
    }
}

impl<T> Op<T> {
    /// Polls a receive.
    ///
    /// # Safety
    /// `this` is pinned and the caller's, and always polled with this channel.
    #[inline(always)]
    pub(super) unsafe fn poll_recv(this: *mut Self, chan: &Hchan<T>, cx: &Context<'_>) -> Poll<Result<T, Refusal>> {
        // SAFETY: the caller's contract, here and below; the room is the operation's until it is queued.
        unsafe {
            let room = (*this).slot.as_mut_ptr();
            if (*this).is_queued() {
                match Self::poll_queued(this, chan, cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Done { outcome: Outcome::Completed, .. }) => return Poll::Ready(Ok(room.read())),
                    Poll::Ready(Done { outcome: Outcome::Closed, .. }) => return Poll::Ready(Err(Refusal::Closed)),
                    Poll::Ready(_) => {}
                }
            }
            // That it may have to wait is only a guess; that the channel is closed is not.
            let dozes = !chan.may_receive();
            if dozes {
                if chan.is_closed() && chan.refusal_to_receive() == Some(Refusal::Closed) {
                    return Poll::Ready(Err(Refusal::Closed));
                }
                Self::doze(this, Reason::ChanReceive, false, cx);
            }
            let mut state = chan.lock.lock_as_task();
            if !dozes && chan.pop_quickly(&mut state, room) {
                return Poll::Ready(Ok(room.read()));
            }
            Self::start_recv(this, Locked::of(chan, state), dozes, cx).map(|received| received.map(|()| room.read()))
        }
    }

    /// A receive that is not queued: does it, or queues it, if it dozes. If it succeeds, the slot holds a value.
    #[inline(always)]
    unsafe fn start_recv(this: *mut Self, mut c: Locked<'_, T>, dozes: bool, cx: &Context<'_>) -> Polled {
        // SAFETY: the operation is the owner's alone until it is queued.
        unsafe {
            let (room, chan) = ((*this).slot.as_mut_ptr(), c.chan());
            let mut owed = Ready::NOBODY;
            if let Some(sender) = c.dequeue_sure_sender() {
                c.last_receive = Some(LastUse::here((*this).at()));
                c.take_from_and_leave(sender, room, &mut owed);
            } else if dozes && c.recv_must_wait() {
                if !c.queue_receiver_and_leave(Self::sudog(this), &mut owed) {
                    owed.fire_here();
                }
                chan.register();
                return Poll::Pending;
            } else if c.can_exchange() {
                c.last_receive = Some(LastUse::here((*this).at()));
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
                Self::doze(this, Reason::ChanReceive, false, cx);
                c = Locked::enter_as_task(chan);
            }
            let ended = match c.recv_now(room, false) {
                RecvNow::Got(_, ended) => {
                    c.trace_receive(ended, (*this).at());
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

    /// As [`poll_recv`](Self::poll_recv), and out of line.
    #[inline(never)]
    unsafe fn await_value(this: *mut Self, chan: &Hchan<T>, cx: &Context<'_>) -> Poll<Result<T, RecvError>> {
        // SAFETY: the caller's contract.
        unsafe { Self::poll_recv(this, chan, cx) }.map(|received| received.map_err(|_| RecvError))
    }

    /// Polls a send of the value in the slot. If it succeeds, the value has been moved out, and the operation is spent.
    ///
    /// # Safety
    /// `this` is pinned and the caller's, holds a value, and is always polled with this channel.
    #[inline]
    pub(super) unsafe fn poll_send(this: *mut Self, chan: &Hchan<T>, cx: &Context<'_>) -> Polled {
        // SAFETY: the caller's contract, here and below; the value is the operation's until it is queued.
        unsafe {
            if (*this).is_queued() {
                return Self::poll_queued(this, chan, cx).map(|done| match done.outcome {
                    Outcome::Completed => {
                        (*this).set_spent(true);
                        Ok(())
                    }
                    _ => Err(Refusal::Closed),
                });
            }
            // Where the tail has no lock of its own, it is known how far one may go.
            if !chan.may_send() && !(chan.is_split() && chan.shown().is_writable(chan.cap)) {
                if chan.is_closed() {
                    return Poll::Ready(Err(Refusal::Closed));
                }
                Self::doze(this, Reason::ChanSend, false, cx);
                return Self::start_send(this, Locked::enter_as_task(chan), true, cx);
            }
            let door = chan.tail_door();
            door.enter_as_task();
            if chan.push_quickly(&mut *chan.tail.value(), (*this).slot.as_ptr()) {
                door.leave();
                (*this).set_spent(true);
                return Poll::Ready(Ok(()));
            }
            let c = if chan.is_split() {
                door.leave();
                Locked::enter_as_task(chan)
            } else {
                Locked::held(chan)
            };
            Self::start_send(this, c, false, cx)
        }
    }

    /// As [`start_recv`](Self::start_recv), for a send.
    #[inline(always)]
    unsafe fn start_send(this: *mut Self, mut c: Locked<'_, T>, dozes: bool, cx: &Context<'_>) -> Polled {
        // SAFETY: the operation is the owner's alone until it is queued.
        unsafe {
            let chan = c.chan();
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
                    c.last_send = Some(LastUse::here((*this).at()));
                    c.hand_to_and_leave(receiver, (*this).slot.as_ptr(), &mut owed);
                    (*this).set_spent(true);
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
                        c.trace_send(ended, (*this).at());
                        let ready = c.leave(ended);
                        (*this).set_spent(true);
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
                        Self::doze(this, Reason::ChanSend, false, cx);
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

    /// As [`poll_send`](Self::poll_send), and out of line; the value comes back if it is refused.
    #[inline(never)]
    unsafe fn await_room(this: *mut Self, chan: &Hchan<T>, cx: &Context<'_>) -> Poll<Result<(), SendError<T>>> {
        // SAFETY: the caller's contract; a value that was refused is still there.
        unsafe {
            Self::poll_send(this, chan, cx).map(|sent| {
                sent.map_err(|_| {
                    (*this).set_spent(true);
                    SendError((*this).slot.assume_init_read())
                })
            })
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
            (*this).set_spent(true);
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
            (*this).set_stage(Stage::Dozing);
            // What had happened is undone.
            let _ = chan.cancel_recv((*this).sg());
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
                    // Here, because the next poll would drop it under the lock.
                    if (*op).stage() == Stage::Dozing {
                        drop((*(*op).wait()).take_waiter());
                    }
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
