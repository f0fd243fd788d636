//! What a channel owes to waiters that are no plain ones: senders without a value yet, receives that are given up after
//! they were handed a value, and watchers.
//!
//! A sender that is one arm of a select has no value while it waits: its expression is evaluated when the arm has been
//! chosen, outside the lock. Two things can be promised to it meanwhile, and it redeems either with the value:
//! - a **pair**: a receiver that was claimed for it and stays parked, in `pairs`. The sender holds only a ticket, never
//!   a pointer, because the receiver may go (deadline, drop, close). Who finds his ticket gone gives the value back as
//!   a cancelled receive would, and has sent it; after close he keeps it.
//! - a **reservation**: one slot of the buffer, only counted. The value goes to the end of the buffer when it exists, so
//!   the ring has no hole and nobody waits for it.
//!
//! A channel without a free slot gives pairs, one with a free slot reservations.
//!
//! Everything here ends in `settle` (I10).

use super::hchan::{Hchan, Refusal};
use super::returned::Node;
use super::section::{Batch, Locked};
use super::shown::{CLOSED, READABLE, WRITABLE};
use super::waitq::Sudog;
use crate::park::{Outcome, Wait};
use std::mem::ManuallyDrop;
use std::ptr;

/// What a sender without a value was promised: where the value may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promised {
    /// Nowhere: the channel is closed.
    Closed,
    /// A slot of the buffer.
    Reserved,
    /// A receiver, by the ticket of the pair.
    Paired(u64),
}

impl Promised {
    /// What the end of a wait without a value promises, if anything; the sudog got this number.
    pub(crate) fn by(outcome: Outcome, number: u64) -> Option<Self> {
        match outcome {
            Outcome::Paired => Some(Self::Paired(number)),
            Outcome::Reserved => Some(Self::Reserved),
            Outcome::Closed => Some(Self::Closed),
            _ => None,
        }
    }
}

/// A promise, kept by sending and broken by its drop. Forgotten, it is never kept: a receiver waits for it as long as it
/// waits for anything, or a slot stays empty.
#[must_use = "dropped, it sends nothing"]
pub(crate) struct Promise<'a, T> {
    chan: &'a Hchan<T>,
    promised: Promised,
}

impl<'a, T> Promise<'a, T> {
    pub(crate) fn new(chan: &'a Hchan<T>, promised: Promised) -> Self {
        Self { chan, promised }
    }

    /// Sends.
    ///
    /// # Errors
    /// The value, if the channel is closed.
    pub(crate) fn keep(self, value: T) -> Result<(), T> {
        let this = ManuallyDrop::new(self);
        match this.promised {
            Promised::Closed => Err(value),
            Promised::Reserved => this.chan.fill_reserved(value),
            Promised::Paired(ticket) => this.chan.fill(ticket, value),
        }
    }
}

impl<T> Drop for Promise<'_, T> {
    fn drop(&mut self) {
        self.chan.break_promise(self.promised);
    }
}

/// The directions that a watcher watches; close wakes every watcher.
pub(crate) const WATCH_RECV: u8 =
    (READABLE | if cfg!(gochan_bug = "watchers_miss_the_close") { 0 } else { CLOSED }) as u8;
pub(crate) const WATCH_SEND: u8 = (WRITABLE | CLOSED) as u8;
pub(crate) const WATCH_CLOSE: u8 = CLOSED as u8;

impl<T> Hchan<T> {
    /// Locks when nobody queues for a free slot: those who came first go first.
    pub(super) fn lock_in_turn(&self) -> Locked<'_, T> {
        loop {
            let c = self.lock();
            if !c.is_crowded() {
                return c;
            }
            self.settle_and_leave(c, Batch::new());
        }
    }

    /// A sender without a value looks for a promise, else it queues: `None`.
    ///
    /// # Safety
    /// `sg` was made without a slot, and stays where it is until its wait is done or withdrawn.
    #[cfg(test)]
    pub(crate) unsafe fn offer(&self, sg: &Sudog) -> Option<Promised> {
        let mut c = self.lock_in_turn();
        let promised = c.promise(sg.wait());
        if promised.is_none() {
            // SAFETY: the caller's contract.
            unsafe { c.queue_sender(sg) };
        }
        promised
    }

    /// What a sender without a value gets without waiting.
    pub(crate) fn promise(&self) -> Option<Promised> {
        self.lock_in_turn().promise(ptr::null())
    }

    pub(crate) fn break_promise(&self, promised: Promised) {
        match promised {
            Promised::Closed => {}
            Promised::Reserved => self.release_reserved(),
            Promised::Paired(ticket) => self.undo_pair(ticket),
        }
    }

    /// Redeems a pair: the value goes to the receiver that still waits for it, else it comes back to the channel.
    ///
    /// # Errors
    /// The value, if the receiver has gone and the channel is closed.
    pub(crate) fn fill(&self, ticket: u64, value: T) -> Result<(), T> {
        let mut c = self.lock();
        if c.closed {
            // A receiver that is still paired is the closer's.
            return Err(value);
        }
        if let Some(receiver) = c.take_pair(ticket) {
            let value = ManuallyDrop::new(value);
            // SAFETY: a paired receiver was claimed and is unlinked now; the value is given away.
            let ended = unsafe { c.hand_to(receiver, &raw const *value) };
            c.leave(ended).fire();
            return Ok(());
        }
        drop(c);
        self.put_back(None, value)
    }

    /// The sender of a pair has no value after all: its receiver waits on as if nothing had happened.
    pub(crate) fn undo_pair(&self, ticket: u64) {
        let mut c = self.lock();
        if c.closed {
            return;
        }
        let Some(receiver) = c.take_pair(ticket) else { return };
        // SAFETY: a paired receiver was claimed and is unlinked now.
        let ended = unsafe { c.unclaim_receiver(receiver) };
        if cfg!(gochan_bug = "requeued_without_settle") {
            return c.leave(ended).fire();
        }
        let mut batch = Batch::new();
        batch.push(ended);
        self.settle_and_leave(c, batch);
    }

    /// Redeems a reservation.
    ///
    /// # Errors
    /// The value, if the channel was closed meanwhile.
    pub(crate) fn fill_reserved(&self, value: T) -> Result<(), T> {
        let value = ManuallyDrop::new(value);
        // SAFETY: the value is given away, as the reservation is.
        if unsafe { self.fill_at_once(&raw const *value) } {
            return Ok(());
        }
        let mut spare = None;
        loop {
            let mut c = self.lock();
            if c.closed {
                self.unreserve();
                return Err(ManuallyDrop::into_inner(value));
            }
            if let Err(cap) = c.make_room(&mut spare) {
                drop(c);
                spare = Some(super::ring::Block::new(cap));
                continue;
            }
            self.unreserve();
            // SAFETY: there is room, and the value is given away.
            unsafe { c.push(&raw const *value) };
            self.settle_and_leave(c, Batch::new());
            return Ok(());
        }
    }

    /// As [`fill_quickly`](Self::fill_quickly), behind the door that is for that.
    ///
    /// # Safety
    /// As there.
    unsafe fn fill_at_once(&self, elem: *const T) -> bool {
        let door = self.tail_door();
        door.enter();
        // SAFETY: the tail is behind that door; the caller's contract.
        let filled = unsafe { self.fill_quickly(&mut *self.tail.value(), elem) };
        door.leave();
        filled
    }

    /// Gives a reservation up.
    pub(crate) fn release_reserved(&self) {
        let c = self.lock();
        if cfg!(not(gochan_bug = "reservation_leaked")) {
            self.unreserve();
        }
        self.settle_and_leave(c, Batch::new());
    }

    /// A receive that was handed a value is given up: the value goes to the next receiver, or waits for one.
    pub(crate) fn give_back(&self, number: u64, value: T) {
        let kept = self.put_back(Some(number), value);
        debug_assert!(kept.is_ok(), "a value that was handed out may come back after close");
    }

    /// Puts a value before the buffer: one that was handed out before under its number, which nothing refuses, else one
    /// that is handed out now, which close does.
    fn put_back(&self, number: Option<u64>, value: T) -> Result<(), T> {
        let mut node = Node::new(number.unwrap_or_default(), value);
        let mut c = self.lock();
        if number.is_none() {
            if c.closed {
                drop(c);
                // SAFETY: the node has just been made, and is on no list.
                return Err(unsafe { node.take_value() });
            }
            node.set_number(c.next_number());
        }
        c.returned.insert(node);
        self.settle_and_leave(c, Batch::new());
        Ok(())
    }

    /// Queues a watcher, unless what it watches for is there. True if it is queued.
    ///
    /// # Safety
    /// `sg` stays where it is until its wait is done or withdrawn.
    pub(crate) unsafe fn watch(&self, sg: *const Sudog) -> bool {
        let mut c = self.lock();
        // SAFETY: the caller's contract.
        if self.shown().flags(self.cap) & u64::from(unsafe { (*sg).interest }) != 0 {
            return false;
        }
        // SAFETY: the caller's contract.
        unsafe { c.enqueue_watcher(sg) };
        true
    }

    /// As [`withdraw`](Self::withdraw), of a receive: whoever gives it up gives back what it was handed.
    ///
    /// # Safety
    /// `sg` is a receiver's, belongs to the caller and was enqueued on this channel.
    pub(crate) unsafe fn cancel_recv(&self, sg: *const Sudog) -> Result<(), Refusal> {
        // SAFETY: the caller's contract.
        let done = unsafe { self.withdraw(sg) };
        match done.map(|done| done.outcome) {
            // SAFETY: the wait is done, so the sudog and the slot are the owner's, and it holds a value.
            Some(Outcome::Completed) if !cfg!(gochan_bug = "hand_off_lost_on_cancel") => unsafe {
                let value = Sudog::with_slot(sg, |slot: *mut T| ptr::read(slot));
                self.give_back((*sg).number.get(), value);
                Ok(())
            },
            Some(_) => Err(Refusal::Closed),
            None => Err(Refusal::Blocked),
        }
    }
}

impl<T> Locked<'_, T> {
    /// Are there queued senders who have not been given a free slot yet? So it is between two sections of somebody who
    /// freed many.
    pub(super) fn is_crowded(&self) -> bool {
        !self.sendq.is_empty() && self.has_slot() && !self.closed
    }

    /// A sender without a value looks for a slot, then for a receiver that does not wait as `not`. The slot comes first
    /// because a reservation keeps nobody waiting.
    pub(super) fn promise(&mut self, not: *const Wait) -> Option<Promised> {
        if self.closed {
            return Some(Promised::Closed);
        }
        if self.has_slot() {
            self.chan().reserve();
            return Some(Promised::Reserved);
        }
        let receiver = self.recvq.dequeue_if(|receiver| !Wait::is(receiver.wait(), not))?;
        // SAFETY: dequeued, so claimed and unlinked.
        unsafe {
            Wait::pair((*receiver).wait());
            Some(Promised::Paired(self.pair(receiver)))
        }
    }

    fn take_pair(&mut self, ticket: u64) -> Option<*const Sudog> {
        // SAFETY: linked sudogs are alive.
        let receiver = self.pairs.iter().find(|&sg| unsafe { (*sg).number.get() } == ticket)?;
        // SAFETY: it is on this queue.
        unsafe { self.pairs.unlink(receiver) };
        Some(receiver)
    }
}
