//! A third kind of waiter: somebody who queues himself, goes away, and is called back. It stands for goroutines and
//! tasks, comes in through the goroutines' seam, and checks that everybody is called back exactly once.

use super::super::hchan::{Hchan, Refusal};
use super::super::ring::Block;
use super::super::section::{Batch, Ended, RecvNow, SendNow};
use super::super::waitq::{List, Sudog};
use super::Kind;
use crate::park::{Done, Goroutine, Home, Outcome, Ready, Reason, Wait, Waiter};
use crate::primitive::{Arc, Lock, thread};
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::panic::Location;
use std::ptr::NonNull;

/// Rung once, by the callback of one waiter; whoever waits for it sleeps until then.
#[derive(Debug)]
pub(crate) struct Bell(Lock<(bool, Option<thread::Thread>)>);

impl Bell {
    fn new() -> Arc<Self> {
        Arc::new(Self(Lock::new((false, None))))
    }

    /// The pull of the bell: a pointer that owns it, given to the channel and consumed by ringing.
    fn pull(bell: &Arc<Self>) -> NonNull<()> {
        NonNull::from(Box::leak(Box::new(bell.clone()))).cast()
    }

    /// # Safety
    /// `pull` was made by [`Self::pull`] and not taken back yet.
    unsafe fn take_back(pull: NonNull<()>) -> Arc<Self> {
        // SAFETY: the caller's contract.
        *unsafe { Box::from_raw(pull.cast::<Arc<Self>>().as_ptr()) }
    }

    fn waiter(pull: NonNull<()>) -> Waiter {
        unsafe fn ring(pull: NonNull<()>, _: NonNull<()>) {
            // SAFETY: this is called once, and who would take the pull back waits for it if the wait has ended.
            let bell = unsafe { Bell::take_back(pull) };
            let (rung, sleeper) = std::mem::replace(&mut *bell.0.lock(), (true, None));
            assert!(!rung, "called back twice");
            if let Some(thread) = sleeper {
                thread.unpark();
            }
        }
        // SAFETY: as above; bells may be rung from any thread.
        static TOWER: Home = unsafe { Home::new(ring, NonNull::dangling()) };
        // SAFETY: it is owed one ring.
        Waiter::Goroutine(unsafe { Goroutine::new(pull, &TOWER) })
    }

    pub(crate) fn has_rung(&self) -> bool {
        self.0.lock().0
    }

    fn wait(&self) {
        loop {
            let mut bell = self.0.lock();
            if bell.0 {
                return;
            }
            bell.1 = Some(thread::current());
            drop(bell);
            thread::park();
        }
    }
}

/// What a queued operation needs, at an address of its own, reached by raw pointer only.
pub(crate) struct Frame<T> {
    wait: Wait,
    pub(crate) sg: Sudog,
    slot: MaybeUninit<T>,
}

impl<T> Frame<T> {
    fn new(wait: Wait, value: Option<T>, lazy: bool) -> *mut Self {
        let sg = Sudog::new(&wait, 0, std::ptr::null_mut());
        let slot = value.map_or_else(MaybeUninit::uninit, MaybeUninit::new);
        let frame = Box::into_raw(Box::new(Self { wait, sg, slot }));
        // SAFETY: the frame is ours, and now where it will stay.
        unsafe {
            let slot = if lazy { std::ptr::null_mut() } else { (&raw mut (*frame).slot).cast() };
            (*frame).sg = Sudog::new(&(*frame).wait, 0, slot);
        }
        frame
    }
}

/// An operation that is queued, or was.
pub(crate) struct Queued<T> {
    frame: *mut Frame<T>,
    pull: NonNull<()>,
    pub(crate) bell: Arc<Bell>,
}

// SAFETY: a queued operation is its frame's only owner; the channel touches the frame under its lock.
unsafe impl<T: Send> Send for Queued<T> {}

impl<T> Queued<T> {
    fn new(reason: Reason, value: Option<T>, lazy: bool) -> Self {
        let bell = Bell::new();
        let pull = Bell::pull(&bell);
        let wait = Wait::asleep(reason, Location::caller(), Bell::waiter(pull));
        Self { frame: Frame::new(wait, value, lazy), pull, bell }
    }

    /// A receive that is not queued yet.
    pub(crate) fn receive() -> Self {
        Self::new(Reason::ChanReceive, None, false)
    }

    /// A send that is not queued yet.
    pub(crate) fn send(value: T) -> Self {
        Self::new(Reason::ChanSend, Some(value), false)
    }

    /// A sender without a value that waits in one place: what a permit waits as.
    pub(crate) fn lazy() -> Self {
        Self::new(Reason::ChanSend, None, true)
    }

    /// The same as an async task.
    pub(crate) fn lazy_task() -> Self {
        let queued = Self::lazy();
        // SAFETY: nobody else knows the frame yet.
        unsafe { (*queued.frame).sg.polled = true };
        queued
    }

    /// A watcher.
    pub(crate) fn watcher(interest: u8) -> Self {
        let queued = Self::receive();
        // SAFETY: nobody else knows the frame yet.
        unsafe { (*queued.frame).sg.interest = interest };
        queued
    }

    pub(crate) fn done(&self) -> Option<Outcome> {
        self.wait.done().map(|Done { outcome, .. }| outcome)
    }

    /// The value in the slot.
    ///
    /// # Safety
    /// There is one, and it is the caller's.
    pub(crate) unsafe fn take(&self) -> T {
        // SAFETY: the caller's contract; the access goes through the sudog, for the model checker to see.
        unsafe { Sudog::with_slot(&self.sg, |slot: *mut T| slot.read()) }
    }
}

impl<T> Deref for Queued<T> {
    type Target = Frame<T>;

    fn deref(&self) -> &Frame<T> {
        // SAFETY: the frame lives as long as `self`, and what others change in it is in cells.
        unsafe { &*self.frame }
    }
}

impl<T> Drop for Queued<T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Perhaps still queued: then the frame must stay.
            return;
        }
        assert_eq!(self.sg.list(), List::None, "dropped while queued");
        // SAFETY: the frame is ours alone, since it is on no queue; the pull is, unless the wait has ended.
        unsafe {
            if self.done().is_none() {
                drop(Bell::take_back(self.pull));
            } else {
                self.bell.wait();
            }
            drop(Box::from_raw(self.frame));
        }
    }
}

/// Starts a receive: the value, the refusal, or a queued receive.
pub(crate) fn start_recv<T>(chan: &Hchan<T>) -> Result<Result<T, Refusal>, Queued<T>> {
    start_recv_as(chan, Queued::receive())
}

/// Starts a receive that waits for nothing but a sender with which it was paired.
pub(crate) fn start_try_recv<T>(chan: &Hchan<T>) -> Result<Result<T, Refusal>, Queued<T>> {
    let queued = Queued::receive();
    // SAFETY: nobody else knows the frame yet.
    unsafe { (*queued.frame).sg.nonblocking = true };
    start_recv_as(chan, queued)
}

fn start_recv_as<T>(chan: &Hchan<T>, queued: Queued<T>) -> Result<Result<T, Refusal>, Queued<T>> {
    let nonblocking = queued.sg.nonblocking;
    let mut c = chan.lock();
    // SAFETY: the slot may be written; the queued operation stays where it is.
    unsafe {
        let ended = match Sudog::with_slot(&queued.sg, |slot| c.recv_now(slot, nonblocking)) {
            RecvNow::Got(_, ended) => {
                c.leave(ended).fire();
                return Ok(Ok(queued.take()));
            }
            RecvNow::Closed => return Ok(Err(Refusal::Closed)),
            RecvNow::Empty if nonblocking => return Ok(Err(Refusal::Blocked)),
            RecvNow::Empty => {
                c.queue_receiver(&raw const queued.sg);
                Ended::NOBODY
            }
            RecvNow::Lazy(sender) => c.pair_arriving(&raw const queued.sg, sender),
        };
        c.leave(ended).fire();
    }
    Err(queued)
}

/// Starts a send: done, the refusal with the value, or a queued send.
pub(crate) fn start_send<T>(chan: &Hchan<T>, value: T) -> Result<Result<(), T>, Queued<T>> {
    let queued = Queued::send(value);
    let mut spare = None;
    loop {
        let mut c = chan.lock();
        // SAFETY: the slot holds a value until it is sent; the queued operation stays where it is.
        unsafe {
            match Sudog::with_slot(&queued.sg, |slot| c.send_now(slot, &mut spare)) {
                SendNow::Sent(ended) => {
                    c.leave(ended).fire();
                    return Ok(Ok(()));
                }
                SendNow::Closed => return Ok(Err(queued.take())),
                SendNow::NoBlock(cap) => {
                    drop(c);
                    spare = Some(Block::new(cap));
                }
                SendNow::Crowded => chan.settle_and_leave(c, Batch::new()),
                SendNow::Full => {
                    c.queue_sender(&raw const queued.sg);
                    drop(c);
                    return Err(queued);
                }
            }
        }
    }
}

/// What an arm of a select does. A sending arm has no value yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arm {
    Recv,
    Send,
}

/// A select: one wait, a sudog per arm.
pub(crate) struct Select<T> {
    wait: *mut Wait,
    arms: Vec<*mut Frame<T>>,
    pull: NonNull<()>,
    pub(crate) bell: Arc<Bell>,
}

impl<T> Select<T> {
    /// Queues an arm on each channel, without looking first.
    pub(crate) fn new(arms: &[(&Hchan<T>, Arm)]) -> Self {
        let bell = Bell::new();
        let pull = Bell::pull(&bell);
        let wait = Box::into_raw(Box::new(Wait::asleep(Reason::Select, Location::caller(), Bell::waiter(pull))));
        let queue = |(index, &(chan, arm)): (usize, &(&Hchan<T>, Arm))| {
            // The frame's own wait is not used.
            let frame = Frame::new(Wait::new(Reason::Select, Location::caller()), None, arm == Arm::Send);
            // SAFETY: nobody points to the frame yet, and afterwards it stays where it is until `leave`.
            unsafe {
                let slot = Sudog::with_slot(&raw const (*frame).sg, |slot: *mut T| slot);
                (*frame).sg = Sudog::new(&*wait, index as u16, slot.cast());
                let mut c = chan.lock();
                match arm {
                    Arm::Recv => c.queue_receiver(&raw const (*frame).sg),
                    Arm::Send => c.queue_sender(&raw const (*frame).sg),
                }
            }
            frame
        };
        Self { wait, arms: arms.iter().enumerate().map(queue).collect(), pull, bell }
    }

    fn arm(&self, arm: usize) -> &Frame<T> {
        // SAFETY: frames live until `leave`, and what others change in them is in cells.
        unsafe { &*self.arms[arm] }
    }

    pub(crate) fn done(&self) -> Option<Done> {
        // SAFETY: the wait lives until `leave`.
        unsafe { (*self.wait).done() }
    }

    /// Another channel claims the select: its arms here have lost, and are still queued. False if it had been claimed.
    pub(crate) fn claim_elsewhere(&self) -> bool {
        // SAFETY: the wait lives until `leave`; the claim of another channel needs that channel's lock, not ours.
        unsafe {
            let claimed = Wait::claim(self.wait);
            if claimed {
                let mut ready = Ready::NOBODY;
                Wait::finish(self.wait, Outcome::Retry, u16::MAX, &mut ready);
                ready.fire();
            }
            claimed
        }
    }

    pub(crate) fn handoff(&self, arm: usize) -> u64 {
        self.arm(arm).sg.number.get()
    }

    pub(crate) fn ticket(&self, arm: usize) -> u64 {
        self.arm(arm).sg.number.get()
    }

    /// The arm on which a receive was completed, and its value.
    pub(crate) fn fired(&self) -> (usize, T) {
        let done = self.done().expect("the select has fired");
        assert_eq!(done.outcome, Outcome::Completed);
        let arm = usize::from(done.arm);
        // SAFETY: completed, so the slot holds a value.
        (arm, unsafe { Sudog::with_slot(&raw const self.arm(arm).sg, |slot: *mut T| slot.read()) })
    }

    /// Takes the arms off the queues: those that lost may still be on them. Returns how many were.
    pub(crate) fn leave(self, chans: &[&Hchan<T>]) -> usize {
        let mut linked = 0;
        for (index, chan) in chans.iter().enumerate() {
            let sg = &raw const self.arm(index).sg;
            let mut c = chan.lock();
            // SAFETY: the arm is alive and was enqueued on this channel.
            linked += unsafe { usize::from(c.recvq.unlink(sg) || c.sendq.unlink(sg) || c.pairs.unlink(sg)) };
        }
        if self.done().is_some() {
            self.bell.wait();
        } else {
            // SAFETY: the wait has not ended, so the pull is ours.
            drop(unsafe { Bell::take_back(self.pull) });
        }
        for frame in self.arms {
            // SAFETY: frames are ours, and on no queue now.
            drop(unsafe { Box::from_raw(frame) });
        }
        // SAFETY: no sudog of the wait is left.
        drop(unsafe { Box::from_raw(self.wait) });
        linked
    }
}

/// Waiters that are called back.
pub(crate) struct Callbacks;

impl Kind for Callbacks {
    fn send<T>(chan: &Hchan<T>, value: T) -> Result<(), T> {
        let queued = match start_send(chan, value) {
            Ok(done) => return done,
            Err(queued) => queued,
        };
        queued.bell.wait();
        match queued.done() {
            Some(Outcome::Completed) => Ok(()),
            // SAFETY: a sender that was not completed still has its value.
            Some(Outcome::Closed) => Err(unsafe { queued.take() }),
            other => panic!("a send ended as {other:?}"),
        }
    }

    fn recv<T>(chan: &Hchan<T>) -> Option<T> {
        let queued = match start_recv(chan) {
            Ok(done) => return done.ok(),
            Err(queued) => queued,
        };
        queued.bell.wait();
        match queued.done() {
            // SAFETY: a completed receive has a value.
            Some(Outcome::Completed) => Some(unsafe { queued.take() }),
            Some(Outcome::Closed) => None,
            other => panic!("a receive ended as {other:?}"),
        }
    }
}
