//! What a select asks of a channel, whatever its values are.
//!
//! A select has its channels locked all at once, so here locks are taken and given back by hand. Those of one select are
//! taken in the order of addresses, and nobody else holds two: that is the one exception to I1.
//!
//! An arm *fires* when something was claimed for it: a receiving arm has got a value then, or knows that none will come;
//! a sending arm, whose value does not exist yet, has got a promise (see `handshake.rs`).

use super::handshake::Promised;
use super::hchan::{Hchan, WORTH_A_LOOK};
use super::section::{Batch, Ended, Locked, RecvNow};
use super::shown::{CLOSED, READABLE, WRITABLE};
use super::timer::Timer;
use super::waitq::{List, Sudog};
use crate::park::{Ready, Sought, Spin};
use crate::primitive::Ordering;
use std::mem::ManuallyDrop;
use std::ptr;
use std::time::Instant;

/// Room for so many values is large. In a smaller buffer several threads that select are after the same few of them.
const LARGE: usize = 64;

/// The direction of an arm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dir {
    Send,
    Recv,
}

/// What an arm has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fired {
    /// A value, in the arm's room. It was handed out under this number.
    Received(u64),
    /// Nothing is to be received any more.
    Closed,
    /// Where the value may go.
    Promised(Promised),
}

/// What came of looking at one arm.
pub(crate) enum Attempt {
    /// Nothing; the channel is locked still if it was. With the [stamp](Selectable::stamp) of the moment when there was nothing.
    Nothing(u64),
    /// The arm has fired; the channel is unlocked.
    Fired(Fired, Ready),
    /// A sender without a value was claimed, and is to be paired by [`Selectable::meet`]. The channel is locked.
    Lazy(*const Sudog),
    /// There is a slot, and queued senders who have not been given it yet: [`Selectable::help`] them first. The channel is
    /// locked still if it was.
    Crowded,
}

/// What came of a glance at an arm, which meets nobody who waits. Flat, so that it is returned in registers.
pub(crate) enum Glance {
    /// As in [`Attempt`]; the channel is not locked.
    Nothing(u64),
    /// As in [`Fired`].
    Received(u64),
    /// The arm has fired: it has a slot for its value.
    Reserved,
    /// There is more to see, by [`Selectable::look_closer`]. The channel is locked.
    Locked,
}

impl Glance {
    /// What the arm has fired with.
    #[inline]
    pub(crate) fn fired(&self) -> Option<Fired> {
        match *self {
            Self::Received(number) => Some(Fired::Received(number)),
            Self::Reserved => Some(Fired::Promised(Promised::Reserved)),
            Self::Nothing(_) | Self::Locked => None,
        }
    }
}

/// A channel as a select sees it.
pub(crate) trait Selectable {
    fn lock(&self);

    #[cfg(any(gochan_loom, gochan_shuttle))]
    fn number(&self) -> usize;

    /// Locks if that takes but a moment.
    fn lock_soon(&self) -> bool;

    /// # Safety
    /// The caller has locked the channel, and found nothing in it.
    unsafe fn unlock(&self);

    /// Looks at one arm, and fires it if it can without meeting anybody. Locks on its own.
    ///
    /// # Safety
    /// As for [`attempt`](Self::attempt), but that the channel is not locked.
    unsafe fn glance(&self, dir: Dir, room: *mut ()) -> Glance;

    /// Looks at the arm that a glance has locked the channel for, and fires it if it can. After `Lazy` alone the channel is
    /// locked still.
    ///
    /// # Safety
    /// As for [`attempt`](Self::attempt).
    unsafe fn look_closer(&self, dir: Dir, room: *mut (), nonblocking: bool) -> Attempt;

    /// The same while the channel is locked. `others` unlocks the others, before anything is freed.
    ///
    /// # Safety
    /// The caller has locked the channel; `room` is for a value of its type.
    unsafe fn attempt(&self, dir: Dir, room: *mut (), nonblocking: bool, others: &mut dyn FnMut()) -> Attempt;

    /// Pairs a `receiver` that has just come with the sender that was found for it, and unlocks.
    ///
    /// # Safety
    /// The caller has locked the channel and claimed `sender` since. `receiver` is on no queue, and stays where it is until
    /// it is withdrawn or its wait is done.
    unsafe fn meet(&self, receiver: *const Sudog, sender: *const Sudog) -> Ready;

    /// # Safety
    /// The caller has locked the channel. `sg` is on no queue, and stays where it is until it is withdrawn, or until its
    /// wait is done and it was what ended it.
    unsafe fn enqueue(&self, dir: Dir, sg: *const Sudog);

    /// Unlocks after [`enqueue`](Self::enqueue).
    ///
    /// # Safety
    /// The caller has locked the channel.
    unsafe fn leave(&self) -> Ready;

    /// Takes `sg` off the queue on which it may be.
    ///
    /// # Safety
    /// `sg` belongs to the caller and was enqueued here.
    unsafe fn dequeue(&self, sg: *const Sudog);

    /// Gives free slots to those who queue for them.
    fn help(&self);

    /// Queues a watcher, unless what it watches for is there. True if it is queued.
    ///
    /// # Safety
    /// `sg` stays where it is until its wait is done or it is withdrawn.
    unsafe fn watch(&self, sg: *const Sudog) -> bool;

    /// How much has happened here: a number that grows with everything that does.
    fn stamp(&self) -> u64;

    /// Is an operation possible, as far as a look shows? It decides nothing.
    fn seems_ready(&self, dir: Dir) -> bool;

    /// Is an operation possible?
    fn is_ready(&self, dir: Dir) -> bool;

    /// How many operations seem to be possible?
    fn are_ready(&self, dir: Dir) -> usize;

    /// A receive that fired does not happen after all: the value goes back.
    ///
    /// # Safety
    /// `room` holds a value of this channel, which the caller gives away.
    unsafe fn unreceive(&self, number: u64, room: *mut ());

    /// A send that fired does not happen after all.
    fn break_promise(&self, promised: Promised);

    fn spin(&self) -> &Spin;

    /// A thread that selects [looks ahead](Spin::look_ahead), as it does here.
    fn look_ahead(&self, are_ready: &dyn Fn() -> usize) -> bool;

    /// Is there room for so many values that seldom anybody comes for the one that somebody else has just seen?
    fn has_large_buffer(&self) -> bool;

    /// Does it pay a thread that selects among several channels, or this one alone, to [look ahead](Spin::look_ahead) here?
    fn pays_to_look_ahead(&self, dir: Dir, alone: bool) -> bool;

    fn register(&self);
}

fn worth_a_look(dir: Dir) -> u64 {
    CLOSED
        | match dir {
            Dir::Send => WRITABLE,
            Dir::Recv => READABLE,
        }
}

impl<T> Hchan<T> {
    /// # Safety
    /// As for [`Selectable::attempt`].
    #[inline]
    unsafe fn attempt_arm(&self, dir: Dir, room: *mut T, nonblocking: bool, others: impl FnOnce()) -> Attempt {
        // SAFETY: locked by the caller's contract; the section is forgotten where the lock is to be kept.
        let mut c = ManuallyDrop::new(unsafe { Locked::held(self) });
        match dir {
            Dir::Recv => {
                // SAFETY: the room is the caller's.
                match unsafe { c.recv_now(room, nonblocking) } {
                    RecvNow::Got(number, ended) => {
                        others();
                        Attempt::Fired(Fired::Received(number), ManuallyDrop::into_inner(c).leave(ended))
                    }
                    RecvNow::Closed => {
                        others();
                        ManuallyDrop::into_inner(c).leave_quietly();
                        Attempt::Fired(Fired::Closed, Ready::NOBODY)
                    }
                    RecvNow::Empty => Attempt::Nothing(0),
                    RecvNow::Lazy(sender) => Attempt::Lazy(sender),
                }
            }
            Dir::Send => {
                if c.is_crowded() {
                    return Attempt::Crowded;
                }
                match c.promise(ptr::null()) {
                    None => Attempt::Nothing(0),
                    Some(promised) => {
                        others();
                        let ready = ManuallyDrop::into_inner(c).leave(Ended::NOBODY);
                        Attempt::Fired(Fired::Promised(promised), ready)
                    }
                }
            }
        }
    }
}

impl<T> Selectable for Hchan<T> {
    fn lock(&self) {
        std::mem::forget(Hchan::lock(self));
    }

    #[cfg(any(gochan_loom, gochan_shuttle))]
    fn number(&self) -> usize {
        self.lock.number()
    }

    fn lock_soon(&self) -> bool {
        let is_ours = self.lock.door().enter_soon();
        if is_ours && self.is_split() && !self.tail.door().enter_soon() {
            self.lock.door().leave();
            return false;
        }
        is_ours
    }

    unsafe fn unlock(&self) {
        // SAFETY: the caller's contract.
        unsafe { Locked::held(self) }.leave_unchanged();
    }

    #[inline]
    unsafe fn glance(&self, dir: Dir, room: *mut ()) -> Glance {
        // A blocking receive may claim senders that do not count as readable; it finds them when it has all its locks.
        let is_known = match dir {
            Dir::Send => self.may_send(),
            Dir::Recv => self.may_receive(),
        };
        if !is_known {
            let shown = self.shown();
            if shown.flags(self.cap) & worth_a_look(dir) == 0 {
                return Glance::Nothing(shown.stamp());
            }
        }
        if dir == Dir::Send {
            let door = self.tail_door();
            if !door.enter_at_once() {
                door.enter_as_thread(self.cap);
            }
            // SAFETY: the tail is behind that door.
            if self.reserve_quickly(unsafe { &mut *self.tail.value() }) {
                door.leave();
                return Glance::Reserved;
            }
            if !self.is_split() {
                return Glance::Locked;
            }
            door.leave();
        }
        let mut state = self.lock_state();
        // SAFETY: the room is the caller's.
        if dir == Dir::Recv && unsafe { self.pop_quickly(&mut state, room.cast()) } {
            return Glance::Received(state.next_number());
        }
        std::mem::forget(Locked::of(self, state));
        Glance::Locked
    }

    #[cold]
    unsafe fn look_closer(&self, dir: Dir, room: *mut (), nonblocking: bool) -> Attempt {
        // SAFETY: the caller's contract.
        let attempt = unsafe { self.attempt_arm(dir, room.cast(), nonblocking, || {}) };
        match attempt {
            Attempt::Nothing(_) => {
                // SAFETY: locked still.
                Attempt::Nothing(unsafe { Locked::held(self) }.leave_unchanged().stamp())
            }
            Attempt::Crowded => {
                // SAFETY: locked still.
                unsafe { self.unlock() };
                attempt
            }
            _ => attempt,
        }
    }

    fn stamp(&self) -> u64 {
        self.shown().stamp()
    }

    unsafe fn attempt(&self, dir: Dir, room: *mut (), nonblocking: bool, others: &mut dyn FnMut()) -> Attempt {
        // SAFETY: the caller's contract.
        unsafe { self.attempt_arm(dir, room.cast(), nonblocking, others) }
    }

    unsafe fn meet(&self, receiver: *const Sudog, sender: *const Sudog) -> Ready {
        // SAFETY: the caller's contract.
        unsafe {
            let mut c = Locked::held(self);
            let ended = c.pair_arriving(receiver, sender);
            c.leave(ended)
        }
    }

    unsafe fn enqueue(&self, dir: Dir, sg: *const Sudog) {
        // SAFETY: the caller's contract; the section goes on.
        unsafe {
            let mut c = ManuallyDrop::new(Locked::held(self));
            match dir {
                Dir::Send => c.queue_sender(sg),
                Dir::Recv => c.queue_receiver(sg),
            }
        }
    }

    unsafe fn leave(&self) -> Ready {
        // SAFETY: the caller's contract.
        unsafe { Locked::held(self) }.leave(Ended::NOBODY)
    }

    unsafe fn dequeue(&self, sg: *const Sudog) {
        let mut c = Hchan::lock(self);
        // SAFETY: the caller's contract.
        unsafe { c.unlink(sg) };
        c.leave_quietly();
    }

    fn help(&self) {
        self.settle_and_leave(Hchan::lock(self), Batch::new());
    }

    unsafe fn watch(&self, sg: *const Sudog) -> bool {
        // SAFETY: the caller's contract.
        unsafe { Hchan::watch(self, &*sg) }
    }

    /// What the other end has written is left to it as long as this one knows of something: it is about to write there again.
    fn seems_ready(&self, dir: Dir) -> bool {
        let seems = |word| self.glimpse(word).flags(self.cap) & worth_a_look(dir) != 0;
        match dir {
            Dir::Send => {
                let word = self.summary.load(Ordering::Relaxed);
                self.is_room_known(word) || seems(word)
            }
            Dir::Recv => self.is_value_known() || seems(self.summary.load(Ordering::Relaxed)),
        }
    }

    fn is_ready(&self, dir: Dir) -> bool {
        let mut shown = self.shown();
        if !shown.is_told() {
            shown = Hchan::lock(self).leave_unchanged();
        }
        shown.flags(self.cap) & worth_a_look(dir) != 0
    }

    fn are_ready(&self, dir: Dir) -> usize {
        match dir {
            Dir::Send => self.shown().slots(self.cap),
            Dir::Recv => self.shown().values(),
        }
    }

    unsafe fn unreceive(&self, number: u64, room: *mut ()) {
        // SAFETY: the caller's contract.
        self.give_back(number, unsafe { room.cast::<T>().read() });
    }

    fn break_promise(&self, promised: Promised) {
        Hchan::break_promise(self, promised);
    }

    fn spin(&self) -> &Spin {
        &self.spin
    }

    fn look_ahead(&self, are_ready: &dyn Fn() -> usize) -> bool {
        // What is found may be a value.
        Hchan::look_ahead(self, Sought::Values, are_ready)
    }

    fn pays_to_look_ahead(&self, dir: Dir, alone: bool) -> bool {
        // Who queues on several channels, and who meets him there, takes the lines of all of them. Of two that select one small buffer alone,
        // the sender does: it takes about twice as long if both look, or neither.
        self.cap >= WORTH_A_LOOK || self.cap > 0 && (dir == Dir::Send || !alone)
    }

    fn has_large_buffer(&self) -> bool {
        self.cap >= LARGE
    }

    fn register(&self) {
        Hchan::register(self);
    }
}

/// The other side of an arm.
#[derive(Clone, Copy)]
pub(crate) enum Target<'a> {
    /// A nil channel.
    Never,
    Chan(&'a dyn Selectable),
    Timer(&'a Timer),
}

impl<'a> Target<'a> {
    pub(super) fn chan<T>(chan: &'a Hchan<T>) -> Self {
        Self::Chan(chan)
    }

    /// What identifies the channel; null if there is none.
    pub(crate) fn address(&self) -> *const () {
        match self {
            Self::Never => ptr::null(),
            Self::Chan(chan) => ptr::from_ref(*chan).cast(),
            Self::Timer(timer) => ptr::from_ref(*timer).cast(),
        }
    }

    pub(crate) fn as_chan(&self) -> Option<&'a dyn Selectable> {
        match self {
            Self::Chan(chan) => Some(*chan),
            _ => None,
        }
    }

    /// When a timer is due; `None` for what is no timer, and for one that will not fire again.
    pub(crate) fn due(&self) -> Option<Instant> {
        match self {
            Self::Timer(timer) => timer.due(),
            _ => None,
        }
    }

    /// An arm that has fired will not be finished: takes back what can be.
    ///
    /// # Safety
    /// If it has received, `room` holds the value, which the caller gives away.
    pub(crate) unsafe fn give_up(&self, fired: Fired, room: *mut ()) {
        match (self, fired) {
            _ if cfg!(gochan_bug = "select_keeps_what_it_got") => {}
            // SAFETY: the caller's contract.
            (Self::Chan(chan), Fired::Received(number)) => unsafe { chan.unreceive(number, room) },
            (Self::Chan(chan), Fired::Promised(promised)) => chan.break_promise(promised),
            // A timer's message is gone: nobody who waits for it could be told that it is there again.
            _ => {}
        }
    }
}

impl<T> Locked<'_, T> {
    /// Takes `sg` off the queue on which it is. False if it is on none.
    ///
    /// # Safety
    /// `sg` is alive and was enqueued on this channel.
    pub(super) unsafe fn unlink(&mut self, sg: *const Sudog) -> bool {
        // SAFETY: the caller's contract.
        unsafe {
            match (*sg).list() {
                List::None => false,
                List::Senders => self.sendq.unlink(sg),
                List::Receivers => self.recvq.unlink(sg),
                List::Pairs if cfg!(gochan_bug = "pair_filled_after_revoke") => true,
                // The sender finds its ticket gone.
                List::Pairs => self.pairs.unlink(sg),
                List::Watchers => self.unlink_watcher(sg),
            }
        }
    }
}
