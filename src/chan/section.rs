//! One locked section of a channel: the steps that sections are made of, and how a section ends.
//!
//! The invariants are those of `hchan.rs`. This file keeps three of them by construction. A section ends in one order:
//! publish the summary word (I11), let those whose waits were ended see it, unlock, wake them (I1). And
//! [`Locked::settle`] is the one function that restores I2 and I3 (I10).

use super::hchan::Hchan;
use super::ring::{Block, Ends};
use super::shown::{BUSY, OFFERED, Shown, WANTED};
use super::state::{LastUse, State};
use super::waitq::Sudog;
use crate::park::{Outcome, Readies, Ready, Wait};
use crate::primitive::Guard;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::ptr;

/// A wait that a section has ended. Its owner learns of it when the section is left, after the summary word is published:
/// whoever has seen the end of a wait finds, also without the lock, the channel that ended it.
#[derive(Clone, Copy)]
#[must_use = "leave the section with it: its waiter waits until then"]
pub(super) struct Ended(Option<(*const Sudog, Outcome)>);

impl Ended {
    pub(super) const NOBODY: Self = Self(None);

    /// # Safety
    /// `sg` was claimed, and unlinked, in this section.
    pub(super) unsafe fn new(sg: *const Sudog, outcome: Outcome) -> Self {
        Self(Some((sg, outcome)))
    }

    /// Lets the waiter see it. The wake-up is then `owed`, by who has owed none.
    ///
    /// # Safety
    /// The section in which the wait was ended has published its word and still has the lock.
    #[inline(always)]
    unsafe fn finish(self, owed: &mut Ready) {
        if let Some((sg, outcome)) = self.0 {
            // SAFETY: claimed and unlinked by the contract of `new`; nobody could finish it meanwhile.
            unsafe { Sudog::finish(sg, outcome, owed) };
            if cfg!(gochan_bug = "wake_under_lock") {
                *owed = owed.take().try_fire();
            }
        }
    }
}

/// The waits that a section has ended, if there may be many.
pub(super) struct Batch {
    ended: [Ended; Readies::MOST],
    len: usize,
}

impl Batch {
    pub(super) fn new() -> Self {
        Self { ended: [Ended::NOBODY; Readies::MOST], len: 0 }
    }

    pub(super) fn push(&mut self, ended: Ended) {
        self.ended[self.len] = ended;
        self.len += usize::from(ended.0.is_some());
    }

    /// Is there no room for what one step of `settle` may end?
    pub(super) fn is_full(&self) -> bool {
        self.len + 2 > Readies::MOST
    }
}

/// What a send finds.
pub(super) enum SendNow {
    /// The value is on its way.
    Sent(Ended),
    Closed,
    /// It has to wait.
    Full,
    /// There is a slot, and queued senders who have not been given it yet.
    Crowded,
    /// There is a slot, but a block of so many values must be allocated for it.
    NoBlock(usize),
}

/// What a receive finds.
pub(super) enum RecvNow {
    /// The room holds a value, handed out under this number.
    Got(u64, Ended),
    Closed,
    /// It has to wait.
    Empty,
    /// A sender without a value yet was claimed: it must be paired.
    Lazy(*const Sudog),
}

/// One locked section, which has the channel's lock, and the tail's if the channel is split. Two pointers, so that it is passed in
/// registers.
pub(super) struct Locked<'a, T> {
    chan: &'a Hchan<T>,
    state: ManuallyDrop<Guard<'a, State<T>>>,
}

impl<T> Deref for Locked<'_, T> {
    type Target = State<T>;

    #[inline]
    fn deref(&self) -> &State<T> {
        &self.state
    }
}

impl<T> DerefMut for Locked<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut State<T> {
        &mut self.state
    }
}

impl<T> Drop for Locked<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the original is not used again.
        unsafe { ptr::read(self) }.leave(Ended::NOBODY).fire();
    }
}

impl<'a, T> Locked<'a, T> {
    #[inline]
    pub(super) fn enter(chan: &'a Hchan<T>) -> Self {
        Self::of(chan, chan.lock_state())
    }

    /// The section of a task's operation.
    #[inline]
    pub(super) fn enter_as_task(chan: &'a Hchan<T>) -> Self {
        Self::of(chan, chan.lock.lock_as_task())
    }

    /// The section of somebody who has the channel's lock already. Takes the tail's, too, if that is another.
    #[inline]
    pub(super) fn of(chan: &'a Hchan<T>, guard: Guard<'a, State<T>>) -> Self {
        if chan.is_split() {
            chan.tail.door().enter();
        }
        Self { chan, state: ManuallyDrop::new(guard) }
    }

    /// The section of somebody who has the lock of a channel that is not split.
    #[inline]
    pub(super) fn unsplit(chan: &'a Hchan<T>, guard: Guard<'a, State<T>>) -> Self {
        debug_assert!(!chan.is_split());
        Self { chan, state: ManuallyDrop::new(guard) }
    }

    /// The section of somebody who has all locks.
    ///
    /// # Safety
    /// The caller has them, and there is no other section.
    #[inline]
    pub(super) unsafe fn held(chan: &'a Hchan<T>) -> Self {
        // SAFETY: the caller's contract.
        Self { chan, state: ManuallyDrop::new(unsafe { chan.lock.held() }) }
    }

    /// Gives the locks back.
    ///
    /// # Safety
    /// Once. The section has published its word, and is not used any more.
    #[inline(always)]
    unsafe fn release(this: &mut ManuallyDrop<Self>) {
        // SAFETY: a section has the locks; the caller's contract.
        unsafe {
            if this.chan.is_split() {
                this.chan.tail.door().leave();
            }
            ManuallyDrop::drop(&mut this.state);
        }
    }

    /// Leaves the section: publishes, lets who was `ended` see it, unlocks. Returns the wake-ups that are owed, for who must
    /// put a value in its place before a waker may panic; else dropping the section will do.
    #[inline(always)]
    pub(super) fn leave(self, ended: Ended) -> Ready {
        let mut this = ManuallyDrop::new(self);
        if cfg!(not(gochan_bug = "word_published_late")) {
            this.publish();
        }
        let mut ready = Ready::NOBODY;
        // SAFETY: published, and still locked.
        unsafe { ended.finish(&mut ready) };
        if cfg!(gochan_bug = "word_published_late") {
            this.publish();
        }
        if this.is_plain() {
            // SAFETY: once, here or in `unlock`.
            unsafe { Self::release(&mut this) };
            return ready;
        }
        ready.and(ManuallyDrop::into_inner(this).unlock())
    }

    /// As [`leave`](Self::leave), for a section that has cleared these flags of the word at most, and freed nothing.
    #[inline(always)]
    fn leave_cleared(self, ended: Ended, clear: u64, owed: &mut Ready) {
        #[cold]
        #[inline(never)]
        fn tell<T>(c: Locked<'_, T>, owed: &mut Ready) {
            let more = c.unlock();
            *owed = owed.take().and(more);
        }
        let mut this = ManuallyDrop::new(self);
        let busy = if this.state.is_busy() { BUSY } else { 0 };
        this.chan.publish_change(&this.state, busy, clear | BUSY);
        // SAFETY: published, and still locked.
        unsafe { ended.finish(owed) };
        if !this.state.watched {
            // SAFETY: once, here or in `unlock`.
            unsafe { Self::release(&mut this) };
            return;
        }
        tell(ManuallyDrop::into_inner(this), owed);
    }

    /// The last step of a section: hands a value to a receiver. As [`hand_to`](Self::hand_to) and [`leave`](Self::leave).
    ///
    /// # Safety
    /// As for [`hand_to`](Self::hand_to).
    #[inline(always)]
    pub(super) unsafe fn hand_to_and_leave(mut self, sg: *const Sudog, elem: *const T, owed: &mut Ready) {
        // SAFETY: the caller's contract.
        let ended = unsafe { self.hand_to(sg, elem) };
        let cleared = if self.state.recvq.is_empty() { WANTED } else { 0 };
        self.leave_cleared(ended, cleared, owed);
    }

    /// The last step of a section: takes the value of a sender. As [`take_from`](Self::take_from) and [`leave`](Self::leave).
    ///
    /// # Safety
    /// As for [`take_from`](Self::take_from); nothing is in hand.
    #[inline(always)]
    pub(super) unsafe fn take_from_and_leave(mut self, sg: *const Sudog, room: *mut T, owed: &mut Ready) {
        // SAFETY: the caller's contract.
        let ended = unsafe { self.take_from(sg, room) };
        let cleared = self.not_offered();
        self.leave_cleared(ended, cleared, owed);
    }

    /// The flag that goes if no sender is queued who has a value.
    #[inline(always)]
    fn not_offered(&self) -> u64 {
        if self.state.sendq.has_prompt() { 0 } else { OFFERED }
    }

    /// For a receive: is a value in the buffer, from which nothing has come back, and a sender queued who is sure to get its slot?
    #[inline(always)]
    pub(super) fn can_exchange(&self) -> bool {
        self.chan.buffered() > 0
            && !self.chan.has_slot()
            && self.state.returned.is_empty()
            && !self.state.closed
            && self.state.sendq.first_is_sure()
            && !cfg!(gochan_bug = "slot_not_refilled")
    }

    /// The last step of a section: takes the first value of the buffer, and gives its slot to the first sender. For whoever
    /// looks from outside nothing changes.
    ///
    /// # Safety
    /// It [can](Self::can_exchange), and `room` may be written.
    #[inline(always)]
    pub(super) unsafe fn exchange_and_leave(mut self, room: *mut T, owed: &mut Ready) {
        // SAFETY: the caller's contract; who is sure to be claimed is found first.
        let ended = unsafe {
            self.take_value(room);
            let sg = self.state.sendq.dequeue().unwrap_unchecked();
            self.admit(sg)
        };
        if self.state.litter.is_empty() {
            let cleared = self.not_offered();
            self.leave_cleared(ended, cleared, owed);
        } else {
            *owed = self.leave(ended);
        }
    }

    /// The last step of a section: queues a sender with a value. False if a waker has panicked, of those who watch: that is to
    /// be raised by firing what is then `owed`.
    ///
    /// # Safety
    /// As for [`queue_sender`](Self::queue_sender); the channel is open, there is no slot, and no receiver.
    #[inline(always)]
    pub(super) unsafe fn queue_sender_and_leave(mut self, sg: *const Sudog, owed: &mut Ready) -> bool {
        // SAFETY: the caller's contract.
        unsafe { self.queue_sender(sg) };
        self.leave_to_park(OFFERED, WANTED, owed)
    }

    /// The last step of a section: queues a receiver. False as for
    /// [`queue_sender_and_leave`](Self::queue_sender_and_leave).
    ///
    /// # Safety
    /// As for [`queue_receiver`](Self::queue_receiver); the channel is open, nothing is in hand, and no sender is queued.
    #[inline(always)]
    pub(super) unsafe fn queue_receiver_and_leave(mut self, sg: *const Sudog, owed: &mut Ready) -> bool {
        // SAFETY: the caller's contract.
        unsafe { self.queue_receiver(sg) };
        self.leave_to_park(WANTED, OFFERED, owed)
    }

    /// As [`leave_cleared`](Self::leave_cleared), for who has queued, parks next, and fires; a flag is set as well. (The other may be
    /// left of arms that have lost elsewhere, and were passed over in this section.) What is rare is out of
    /// line: a wake-up that is not there had better not be carried about, on a stack that is about to be left.
    #[inline(always)]
    fn leave_to_park(self, set: u64, clear: u64, owed: &mut Ready) -> bool {
        #[cold]
        #[inline(never)]
        fn tell<T>(c: Locked<'_, T>, owed: &mut Ready) -> bool {
            *owed = c.unlock().try_fire();
            owed.is_nobody()
        }
        let mut this = ManuallyDrop::new(self);
        this.chan.publish_change(&this.state, set | BUSY, clear);
        if !this.state.watched {
            // SAFETY: once, here or in `unlock`.
            unsafe { Self::release(&mut this) };
            return true;
        }
        tell(ManuallyDrop::into_inner(this), owed)
    }

    /// As [`leave`](Self::leave), for many, whom it wakes. Should a waker panic, the others are woken all the same; firing
    /// what this returns raises the panic.
    pub(super) fn leave_many(self, batch: Batch) -> Ready {
        if batch.len <= 1 {
            return self.leave(batch.ended[0]).try_fire();
        }
        let this = ManuallyDrop::new(self);
        this.publish();
        let mut readies = Readies::new();
        for ended in &batch.ended[..batch.len] {
            let mut ready = Ready::NOBODY;
            // SAFETY: published, and still locked.
            unsafe { ended.finish(&mut ready) };
            readies.push(ready);
        }
        let watching = ManuallyDrop::into_inner(this).unlock();
        readies.try_fire().or(watching.try_fire())
    }

    /// Leaves a section in which nothing can have become ready, so that nobody who watches need be told.
    pub(super) fn leave_quietly(self) {
        let mut this = ManuallyDrop::new(self);
        this.publish();
        // SAFETY: once, here; nothing was left to be freed by a section of this kind.
        unsafe { Self::release(&mut this) };
    }

    /// Leaves a section in which nothing was done but to look. What is then shown, before anybody can change it.
    pub(super) fn leave_unchanged(self) -> Shown {
        let mut this = ManuallyDrop::new(self);
        this.chan.publish_news(&this.state);
        let shown = this.chan.shown();
        // SAFETY: once, here; nothing was left to be freed by a section of this kind.
        unsafe { Self::release(&mut this) };
        shown
    }

    /// Publishes the summary word (I11).
    #[inline]
    fn publish(&self) {
        self.chan.publish(&self.state);
    }

    /// Is unlocking all there is to do?
    #[inline]
    fn is_plain(&self) -> bool {
        !self.state.watched && self.state.litter.is_empty()
    }

    /// Unlocks after the word was published, and frees what is no longer needed; returns the wake-ups of those who watch for
    /// what there is, as many per section as can be woken behind it.
    #[cold]
    #[inline(never)]
    fn unlock(self) -> Ready {
        let mut this = ManuallyDrop::new(self);
        let litter = this.state.litter.take();
        let mut all = Ready::NOBODY;
        loop {
            let told = this.chan.shown().flags(this.cap());
            let mut readies = Readies::new();
            for sg in this.state.watchers().iter() {
                // SAFETY: a linked sudog is alive, and the iterator has moved past it. Published, and still locked.
                unsafe {
                    if u64::from((*sg).interest) & told != 0 && !readies.is_full() {
                        this.state.unlink_watcher(sg);
                        if Wait::claim((*sg).wait()) {
                            let mut ready = Ready::NOBODY;
                            Sudog::finish(sg, Outcome::Ready, &mut ready);
                            readies.push(ready);
                        }
                    }
                }
            }
            let more = readies.is_full();
            this.publish();
            // SAFETY: once per round; there is a new section if there is another one.
            unsafe { Self::release(&mut this) };
            all = all.and(readies.into_ready());
            if !more {
                drop(litter);
                return all;
            }
            this = ManuallyDrop::new(Self::enter(this.chan));
        }
    }

    pub(super) fn cap(&self) -> usize {
        self.chan.cap
    }

    /// Both ends of the buffer.
    #[inline]
    pub(super) fn ends(&mut self) -> Ends<'_, T> {
        // SAFETY: a section has the tail's lock, or that under which the tail is.
        let tail = unsafe { &mut *self.chan.tail.value() };
        self.chan.ends(tail, &mut self.state.head)
    }

    /// The number of buffered values.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.chan.buffered()
    }

    #[inline]
    pub(super) fn has_slot(&self) -> bool {
        self.chan.has_slot()
    }

    #[inline]
    pub(super) fn has_value(&self) -> bool {
        (self.len() > 0) | !self.state.returned.is_empty()
    }

    /// Puts a value last.
    ///
    /// # Safety
    /// There is room, also in a block; `elem` is a value that the caller gives away.
    #[inline]
    pub(super) unsafe fn push(&mut self, elem: *const T) {
        // SAFETY: the caller's contract.
        unsafe { self.ends().push(elem) };
        self.chan.count_push();
    }

    pub(super) fn chan(&self) -> &'a Hchan<T> {
        self.chan
    }

    /// chansend as far as it goes without waiting: closed, a waiting receiver, space.
    ///
    /// # Safety
    /// `elem` is a value that the caller gives away if this returns `Sent`.
    #[inline(always)]
    pub(super) unsafe fn send_now(&mut self, elem: *const T, spare: &mut Option<Block<T>>) -> SendNow {
        if self.state.closed {
            return SendNow::Closed;
        }
        if let Some(sg) = self.state.recvq.dequeue() {
            // SAFETY: dequeued, so claimed and unlinked.
            return SendNow::Sent(unsafe { self.hand_to(sg, elem) });
        }
        if !self.has_slot() {
            return SendNow::Full;
        }
        if !self.state.sendq.is_empty() {
            return SendNow::Crowded;
        }
        if let Err(cap) = self.make_room(spare) {
            return SendNow::NoBlock(cap);
        }
        // SAFETY: there is room now.
        unsafe { self.push(elem) };
        SendNow::Sent(Ended::NOBODY)
    }

    /// chanrecv as far as it goes without waiting: what is in hand, closed, a waiting sender; for a receive that must not
    /// wait, one that does not have to be polled.
    ///
    /// # Safety
    /// `room` may be written.
    #[inline(always)]
    pub(super) unsafe fn recv_now(&mut self, room: *mut T, nonblocking: bool) -> RecvNow {
        if self.has_value() {
            // SAFETY: there is a value.
            let number = unsafe { self.take_value(room) };
            // A slot may be free now: a parked sender's value takes it.
            let is_wanted = !self.state.sendq.is_empty() && !cfg!(gochan_bug = "slot_not_refilled");
            return RecvNow::Got(number, if is_wanted { self.refill() } else { Ended::NOBODY });
        }
        if self.state.closed {
            return RecvNow::Closed;
        }
        let sender = if nonblocking && !cfg!(gochan_bug = "try_waits_for_a_task") && !self.state.sendq.is_empty() {
            self.state.sendq.dequeue_if(|sg| !sg.polled)
        } else {
            self.state.sendq.dequeue()
        };
        match sender {
            None => RecvNow::Empty,
            // SAFETY: dequeued, so claimed and unlinked.
            Some(sg) if unsafe { (*sg).is_lazy() } => RecvNow::Lazy(sg),
            Some(sg) => {
                // SAFETY: as above.
                let ended = unsafe { self.take_from(sg, room) };
                RecvNow::Got(self.state.numbers, ended)
            }
        }
    }

    /// For a receive: if nothing is in hand and the first sender has a value and waits nowhere else, that one, claimed.
    #[inline(always)]
    pub(super) fn dequeue_sure_sender(&mut self) -> Option<*const Sudog> {
        if self.has_value() || self.state.closed || !self.state.sendq.first_is_sure() {
            return None;
        }
        self.state.sendq.dequeue()
    }

    /// Is there nothing that a send could do but wait?
    #[inline]
    pub(super) fn send_must_wait(&self) -> bool {
        !self.closed & self.recvq.is_empty() & !self.has_slot()
    }

    /// Is there nothing that a receive could do but wait?
    #[inline]
    pub(super) fn recv_must_wait(&self) -> bool {
        !self.closed & self.sendq.is_empty() & !self.has_value()
    }

    /// May a receive have to wait, for a value or until a sender's is evaluated?
    pub(super) fn recv_may_wait(&self) -> bool {
        !self.has_value() && !self.closed && !self.sendq.first_is_sure()
    }

    /// Direct hand-off: from the sender's frame into that of a receiver.
    ///
    /// # Safety
    /// `sg` is a receiver that was claimed, and unlinked, in this section; `elem` is a value that the caller gives away.
    pub(super) unsafe fn hand_to(&mut self, sg: *const Sudog, elem: *const T) -> Ended {
        let number = self.next_number();
        // SAFETY: claimed and not finished, so the frame is there and its slot is ours.
        unsafe {
            (*sg).number.set(number);
            Sudog::with_slot(sg, |slot| ptr::copy_nonoverlapping(elem, slot, 1));
            Ended::new(sg, Outcome::Completed)
        }
    }

    /// Direct hand-off the other way: from the frame of a parked sender into the receiver's.
    ///
    /// # Safety
    /// `sg` is a sender with a value that was claimed, and unlinked, in this section; `room` may be written.
    pub(super) unsafe fn take_from(&mut self, sg: *const Sudog, room: *mut T) -> Ended {
        self.next_number();
        // SAFETY: as in `hand_to`.
        unsafe {
            Sudog::with_slot(sg, |slot| ptr::copy_nonoverlapping(slot, room, 1));
            Ended::new(sg, Outcome::Completed)
        }
    }

    /// Moves the first value in hand to `room`, what came back before what is buffered. Returns the hand-off's number: a
    /// value keeps the one that it was first handed out with.
    ///
    /// # Safety
    /// There is one, and `room` may be written.
    #[inline]
    pub(super) unsafe fn take_value(&mut self, room: *mut T) -> u64 {
        if !self.state.returned.is_empty() {
            // SAFETY: the caller's contract.
            return unsafe { self.take_returned(room) };
        }
        // SAFETY: the caller's contract; nothing has come back, so the value is in the buffer.
        unsafe { self.pop_oldest(room) };
        self.next_number()
    }

    #[cold]
    unsafe fn take_returned(&mut self, room: *mut T) -> u64 {
        // SAFETY: the caller's contract.
        let node = unsafe { self.state.returned.pop(room) }.expect("a value that came back");
        let number = node.number();
        self.state.litter.add_node(node);
        number
    }

    /// A parked sender gets a slot: its value moves into the buffer, or, if it has none yet, the slot is reserved.
    ///
    /// # Safety
    /// `sg` is a sender that was claimed, and unlinked, in this section; there is a free slot.
    unsafe fn admit(&mut self, sg: *const Sudog) -> Ended {
        // SAFETY: as in `hand_to`.
        unsafe {
            if (*sg).is_lazy() {
                self.chan.reserve();
                return Ended::new(sg, Outcome::Reserved);
            }
            let cap = self.chan.cap;
            let mut ends = self.ends();
            if !ends.has_room() {
                // The one allocation under the lock: a bounded buffer of several blocks whose last is full while its
                // first has just given a slot. It happens once per block, and only when a sender is parked.
                let block = Block::new(ends.next_block(cap));
                ends.install(block);
            }
            Sudog::with_slot(sg, |slot| ends.push(slot));
            self.chan.count_push();
            Ended::new(sg, Outcome::Completed)
        }
    }

    /// Room for one more value: `Err` says how large a block the caller must allocate outside the lock and bring along.
    #[inline]
    pub(super) fn make_room(&mut self, spare: &mut Option<Block<T>>) -> Result<(), usize> {
        let cap = self.chan.cap;
        let mut ends = self.ends();
        if !ends.has_room() {
            match spare.take() {
                Some(block) => ends.install(block),
                None => return Err(ends.next_block(cap)),
            }
        }
        Ok(())
    }

    /// Takes the oldest buffered value out, past receivers and parked senders.
    ///
    /// # Safety
    /// The buffer is not empty, and `room` may be written.
    pub(super) unsafe fn pop_oldest(&mut self, room: *mut T) {
        // SAFETY: the caller's contract.
        let block = unsafe { self.ends().pop(room) };
        self.chan.count_pop();
        if let Some(block) = block {
            self.state.litter.add_block(block);
        }
    }

    /// A receive has freed one slot: the first parked sender gets it.
    pub(super) fn refill(&mut self) -> Ended {
        if self.state.closed || !self.has_slot() {
            return Ended::NOBODY;
        }
        match self.state.sendq.dequeue() {
            // SAFETY: dequeued, so claimed and unlinked; there is a slot.
            Some(sg) => unsafe { self.admit(sg) },
            None => Ended::NOBODY,
        }
    }

    /// A receiver meets a sender that has no value yet: the receiver waits on, in `pairs`, and the sender gets a ticket.
    ///
    /// # Safety
    /// `sg` is a receiver that is on no queue and stays where it is until it is taken off `pairs`; if it was parked, it
    /// was claimed in this section.
    pub(super) unsafe fn pair(&mut self, sg: *const Sudog) -> u64 {
        let ticket = self.state.next_number();
        // SAFETY: the caller's contract.
        unsafe {
            (*sg).number.set(ticket);
            self.state.pairs.enqueue(sg);
        }
        ticket
    }

    /// A send at `at` has met somebody who waits: that leaves a trace.
    #[inline]
    pub(super) fn trace_send(&mut self, met: Ended, at: &'static Location<'static>) {
        if met.0.is_some() {
            self.state.last_send = Some(LastUse::here(at));
        }
    }

    /// The same for a receive.
    #[inline]
    pub(super) fn trace_receive(&mut self, met: Ended, at: &'static Location<'static>) {
        if met.0.is_some() {
            self.state.last_receive = Some(LastUse::here(at));
        }
    }

    /// A receiver has come and queues.
    ///
    /// # Safety
    /// `sg` is on no queue, and stays where it is until it is taken off this one.
    pub(super) unsafe fn queue_receiver(&mut self, sg: *const Sudog) {
        // SAFETY: the caller's contract.
        unsafe {
            (*sg).arrival.set(self.state.next_number());
            self.state.last_receive = Some(LastUse::here((*(*sg).wait()).location()));
            self.state.recvq.enqueue(sg);
        }
    }

    /// A sender has come and queues.
    ///
    /// # Safety
    /// As for [`queue_receiver`](Self::queue_receiver).
    pub(super) unsafe fn queue_sender(&mut self, sg: *const Sudog) {
        // SAFETY: the caller's contract.
        unsafe {
            (*sg).arrival.set(self.state.next_number());
            self.state.last_send = Some(LastUse::here((*(*sg).wait()).location()));
            self.state.sendq.enqueue(sg);
        }
    }

    /// A receiver that has just come has claimed a sender without a value.
    ///
    /// # Safety
    /// `receiver` is on no queue and stays where it is until it is taken off `pairs`; `sender` was claimed, and unlinked,
    /// in this section.
    pub(super) unsafe fn pair_arriving(&mut self, receiver: *const Sudog, sender: *const Sudog) -> Ended {
        // SAFETY: the caller's contract.
        unsafe {
            (*receiver).arrival.set(self.state.next_number());
            (*sender).number.set(self.pair(receiver));
            Ended::new(sender, Outcome::Paired)
        }
    }

    /// A receiver was claimed for nothing: it waits on, where it was in the queue, if waiting in one place is all it does;
    /// else it must look again. The caller settles.
    ///
    /// # Safety
    /// `sg` is a receiver that was claimed and is on no queue.
    pub(super) unsafe fn unclaim_receiver(&mut self, sg: *const Sudog) -> Ended {
        // SAFETY: claimed and not finished, so the frame is there, and its owner does not leave it unasked.
        unsafe {
            if (*sg).nonblocking || (*(*sg).wait()).is_select() {
                return Ended::new(sg, Outcome::Retry);
            }
            self.state.recvq.enqueue_again(sg);
        }
        Ended::NOBODY
    }

    /// A claimed receiver and a claimed sender meet.
    ///
    /// # Safety
    /// Both were claimed, and unlinked, in this section.
    unsafe fn meet(&mut self, receiver: *const Sudog, sender: *const Sudog, batch: &mut Batch) {
        // SAFETY: as in `hand_to`.
        unsafe {
            if (*sender).is_lazy() {
                Wait::pair((*receiver).wait());
                (*sender).number.set(self.pair(receiver));
                batch.push(Ended::new(sender, Outcome::Paired));
            } else {
                let received = Sudog::with_slot(sender, |slot| self.hand_to(receiver, slot));
                batch.push(received);
                batch.push(Ended::new(sender, Outcome::Completed));
            }
        }
    }

    /// Restores I2 and I3: parked receivers get what is in hand, then parked senders' values; parked senders get free
    /// slots; after close everybody is released. True if the batch is full and there may be more to do.
    pub(super) fn settle(&mut self, batch: &mut Batch) -> bool {
        loop {
            if batch.is_full() {
                return true;
            }
            // After close no sender redeems a pair, so paired receivers are ended like queued ones, before them.
            let paired = if self.state.closed { self.state.pairs.pop() } else { None };
            let queued = !self.state.recvq.is_empty() && (self.has_value() || self.state.closed);
            if let Some(sg) = paired.or_else(|| if queued { self.state.recvq.dequeue() } else { None }) {
                // SAFETY: dequeued, so claimed and unlinked; or claimed when it was paired.
                batch.push(unsafe {
                    if self.has_value() {
                        let number = Sudog::with_slot(sg, |slot| self.take_value(slot));
                        (*sg).number.set(number);
                        Ended::new(sg, Outcome::Completed)
                    } else {
                        Ended::new(sg, Outcome::Closed)
                    }
                });
                continue;
            }
            if self.state.sendq.is_empty() {
                return false;
            }
            if self.state.closed {
                let Some(sg) = self.state.sendq.dequeue() else { continue };
                // SAFETY: dequeued, so claimed and unlinked.
                batch.push(unsafe { Ended::new(sg, Outcome::Closed) });
                continue;
            }
            if self.match_waiters(batch) {
                continue;
            }
            if !self.has_slot() {
                return false;
            }
            batch.push(self.refill());
        }
    }

    /// One step of I2: a parked receiver and a parked sender that are not the same select meet.
    fn match_waiters(&mut self, batch: &mut Batch) -> bool {
        let Some(wait) = self.state.recvq.first_pending() else { return false };
        // A select never meets itself.
        let Some(sender) = self.state.sendq.dequeue_if(|sg| !Wait::is(sg.wait(), wait)) else { return false };
        match self.state.recvq.dequeue() {
            // SAFETY: both dequeued, so claimed and unlinked.
            Some(receiver) => unsafe { self.meet(receiver, sender, batch) },
            // The receivers were arms of selects that have just fired elsewhere: the sender was claimed for nothing.
            // SAFETY: as above; a plain sender is on no queue now and its owner has not left.
            None => unsafe {
                if (*(*sender).wait()).is_select() {
                    batch.push(Ended::new(sender, Outcome::Retry));
                } else {
                    self.state.sendq.enqueue_again(sender);
                }
            },
        }
        true
    }
}
