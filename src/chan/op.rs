//! Op: an operation of a task, from the poll that begins it to its end.
//!
//! It holds its sudog, its wait and its value or room inline, so that waiting allocates nothing, and is pinned in whatever is awaited: a
//! send or receive (`future.rs`), a permit or a close (`awaiting.rs`). It queues itself when it is first polled and cannot be
//! done at once, and from then on is a waiter as any other: a thread that sends writes straight into the future of the task that
//! receives. While it is queued it stays where it is, and whoever would drop it takes it off its queue first.
//!
//! Most polls find a value, or a slot, and need no wait: of that nothing has been made by then, since what has to be written in any case is
//! what such a poll takes longest for. A poll that looks as if it will have to wait clones its waker, which is foreign code, before it
//! takes the lock; so it is asleep when it is queued, and one locked section is all there is. If it does not have to wait after all, the
//! clone stays in the operation until that is dropped.

use super::fire_beside;
use super::hchan::{Hchan, Refusal};
use super::ring::Block;
use super::section::{Batch, Ended, Locked, RecvNow, SendNow};
use super::state::LastUse;
use super::waitq::{Known, List, Stage, Sudog};
use super::{RecvError, SendError};
use crate::park::{Done, Outcome, Ready, Reason, Wait};
use std::mem::MaybeUninit;
use std::panic::Location;
use std::ptr;
use std::task::{Context, Poll};

/// One operation of a task, reached by raw pointer once it is queued.
///
/// Invariants: while it is queued, it stays where it is; else it is the owner's alone. While it is [idle](Stage::Idle), there is nothing of
/// its wait but what its owner [knows](Known) of it: most need not wait, and never have one.
pub(super) struct Op<T> {
    waiting: MaybeUninit<Waiting>,
    /// The value to send, or room for one to receive.
    pub(super) slot: MaybeUninit<T>,
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
    pub(super) fn stage(&self) -> Stage {
        self.known().stage.get()
    }

    #[inline(always)]
    fn set_stage(&self, stage: Stage) {
        self.known().stage.set(stage);
    }

    /// A send: is its value gone?
    #[inline(always)]
    pub(super) fn is_spent(&self) -> bool {
        self.known().spent.get()
    }

    #[inline(always)]
    pub(super) fn set_spent(&self, spent: bool) {
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

    /// Drops a waker that is left over, and would be kept for as long as the future is.
    ///
    /// # Safety
    /// It is not queued.
    pub(super) unsafe fn drop_waker(&mut self) {
        if self.stage() == Stage::Dozing {
            // SAFETY: then there is a wait; the caller's contract.
            drop(unsafe { (*self.wait()).take_waiter() });
        }
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
    pub(super) unsafe fn await_value(this: *mut Self, chan: &Hchan<T>, cx: &Context<'_>) -> Poll<Result<T, RecvError>> {
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
            let may_begin = chan.may_send() || chan.is_split() && chan.shown().is_writable(chan.cap);
            if !may_begin {
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
    pub(super) unsafe fn await_room(
        this: *mut Self,
        chan: &Hchan<T>,
        cx: &Context<'_>,
    ) -> Poll<Result<(), SendError<T>>> {
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
    pub(super) unsafe fn give_up_send(this: *mut Self, chan: Option<&Hchan<T>>) -> Result<(), (Refusal, T)> {
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
    pub(super) unsafe fn cancel_recv(this: *mut Self, chan: &Hchan<T>) {
        // SAFETY: the caller's contract.
        unsafe {
            (*this).set_stage(Stage::Dozing);
            // What had happened is undone.
            let _ = chan.cancel_recv((*this).sg());
        }
    }
}
