//! The quick sections: a value that only goes into the buffer, or comes out of it, while nobody waits.
//!
//! The invariants are those of `hchan.rs`. A push is under the lock under which the tail is: the channel's, or, if the channel is split, its
//! own. A pop is under the channel's. On a split channel the two touch different cache lines, so that a sender and a receiver do not hinder
//! each other.
//!
//! **How far they may go.** A push may go on up to the number `send_to`, a pop up to `recv_to` (I12). Every section that is not quick takes both
//! back to where the ends are. On a split channel, the next quick one then has to look, at the flags and at the other end, how far it
//! may go now: nowhere, if somebody is queued. So as long as nobody has to look, an end does not touch the other's lines. On one that is not
//! split, a section says how far the next may go, and a push that there is one more to be popped, a pop that there is room for one more,
//! unless that may need another block. So nobody looks there but who fills a slot that he has reserved: what is not known to be possible is not
//! quick.

use super::hchan::Hchan;
use super::ring::Tail;
use super::shown::{BUSY, CLOSED, RESERVED, SENDX_SHIFT, VERSION_SHIFT, most, sendx};
use super::state::State;
use crate::primitive::Ordering;

/// Whoever is about to send or receive first looks whether he need do nothing but that. It decides nothing, since he looks again when he has
/// the lock: so loom, for which each such look multiplies what there is to explore, does without.
pub(super) const LOOKS_FIRST: bool = cfg!(not(gochan_loom));

impl<T> Hchan<T> {
    /// Is it known that there is room, as of this word?
    #[inline(always)]
    pub(super) fn is_room_known(&self, word: u64) -> bool {
        sendx(word) != self.send_to.load(Ordering::Relaxed)
    }

    /// Is it known that there is a value?
    #[inline(always)]
    pub(super) fn is_value_known(&self) -> bool {
        self.recvx.load(Ordering::Relaxed) != self.recv_to.load(Ordering::Relaxed)
    }

    /// A send that is nothing but a quick section, and has the lock at once: for who has just seen that room is known. Small enough to be
    /// inlined.
    ///
    /// # Safety
    /// `elem` is a value that the caller gives away if this returns true.
    #[inline(always)]
    pub(super) unsafe fn send_at_once(&self, elem: *const T) -> bool {
        let door = self.tail_door();
        let Some(entered) = door.enter_knowing() else { return false };
        // SAFETY: the tail is behind the door; the caller's contract.
        let sent = unsafe { self.push_at_once(&mut *self.tail.value(), elem) };
        door.leave_knowing(entered);
        sent
    }

    /// As [`send_at_once`](Self::send_at_once), for a receive.
    ///
    /// # Safety
    /// `room` may be written. If this returns true, it holds a value.
    #[inline(always)]
    pub(super) unsafe fn recv_at_once(&self, room: *mut T) -> bool {
        let door = self.lock.door();
        let Some(entered) = door.enter_knowing() else { return false };
        // SAFETY: the state is behind the door; the caller's contract.
        let received = unsafe { self.pop_at_once(&mut *self.lock.value(), room) };
        door.leave_knowing(entered);
        received
    }

    /// chansend where nobody waits and it is known that there is room: a section of its own, small enough to be inlined.
    ///
    /// # Safety
    /// The caller has the lock under which the `tail` is, and which is this channel's. `elem` is a value that he gives away if this
    /// returns true.
    #[inline(always)]
    pub(super) unsafe fn push_at_once(&self, tail: &mut Tail<T>, elem: *const T) -> bool {
        let word = self.summary.load(Ordering::Relaxed);
        if sendx(word) == self.send_to.load(Ordering::Relaxed) {
            return false;
        }
        // SAFETY: there is room; the caller's contract.
        unsafe { self.push_known(tail, elem, word) };
        true
    }

    /// # Safety
    /// As for [`push_at_once`](Self::push_at_once); it is known that there is room, and this is the word.
    #[inline(always)]
    unsafe fn push_known(&self, tail: &mut Tail<T>, elem: *const T, word: u64) {
        // SAFETY: there is room; the caller's contract.
        unsafe { tail.push(elem) };
        self.count_quick_push(tail, word.wrapping_add(1 << SENDX_SHIFT));
    }

    /// A value more is in the buffer, and that is all.
    #[inline(always)]
    fn count_quick_push(&self, tail: &Tail<T>, word: u64) {
        if !self.is_split() && tail.goes_round() {
            self.recv_to.store(sendx(word), Ordering::Relaxed);
        }
        // Release: the value is there. Nobody else changes the word, so a load and a store will do.
        let order = if cfg!(gochan_bug = "pushed_relaxed") { Ordering::Relaxed } else { Ordering::Release };
        self.summary.store(word, order);
    }

    /// As [`push_at_once`](Self::push_at_once), but that it looks whether there is room if that is not known.
    ///
    /// # Safety
    /// As there.
    #[inline]
    pub(super) unsafe fn push_quickly(&self, tail: &mut Tail<T>, elem: *const T) -> bool {
        let word = self.summary.load(Ordering::Relaxed);
        if !self.may_push(tail, word) {
            return false;
        }
        // SAFETY: it may; the caller's contract.
        unsafe { self.push_known(tail, elem, word) };
        true
    }

    /// Is nobody queued, where there is a buffer?
    #[inline]
    fn may_be_quick(&self, word: u64) -> bool {
        self.cap > 0 && (word & BUSY == 0 || cfg!(gochan_bug = "quick_past_the_queue"))
    }

    /// May a value be pushed? In a channel that is not split, how far pushes may go is always known.
    #[inline]
    fn may_push(&self, tail: &Tail<T>, word: u64) -> bool {
        sendx(word) != self.send_to.load(Ordering::Relaxed) || self.is_split() && self.see_room(tail, word, 0)
    }

    /// Sees how far pushes may go, of somebody who gives up so many reservations `for_it`. False: not at all.
    #[inline]
    fn see_room(&self, tail: &Tail<T>, word: u64, for_it: u32) -> bool {
        if word & CLOSED != 0 || !self.may_be_quick(word) {
            return false;
        }
        // Acquire: whoever has popped a value is done with its slot.
        let recvx = self.recvx.load(Ordering::Acquire);
        let taken =
            sendx(word).wrapping_sub(recvx) as usize + (self.reserved.load(Ordering::Relaxed) - for_it) as usize;
        let free = most(self.cap).saturating_sub(taken) as u32;
        let many = free.min(tail.room(sendx(word), recvx));
        self.send_to.store(sendx(word).wrapping_add(many), Ordering::Relaxed);
        many > 0
    }

    /// chanrecv where nobody waits and it is known that there is a value, and no block that would have to be freed behind the section.
    ///
    /// # Safety
    /// `room` may be written. If this returns true, it holds a value.
    #[inline(always)]
    pub(super) unsafe fn pop_at_once(&self, state: &mut State<T>, room: *mut T) -> bool {
        let recvx = self.recvx.load(Ordering::Relaxed);
        if recvx == self.recv_to.load(Ordering::Relaxed) {
            return false;
        }
        // SAFETY: there is a value; the caller's contract.
        unsafe { self.pop_known(state, room, recvx) };
        true
    }

    /// # Safety
    /// As for [`pop_at_once`](Self::pop_at_once); it is known that there is a value, and this is its number.
    #[inline(always)]
    unsafe fn pop_known(&self, state: &mut State<T>, room: *mut T, recvx: u32) {
        // SAFETY: there is a value, which is the caller's for good, so this is no hand-off to be counted.
        unsafe { state.head.pop(room) };
        // SAFETY: here the tail goes with the lock.
        if state.joint && !state.closed && unsafe { (*self.tail.value()).goes_round() } {
            self.send_to.store(self.send_to.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
        // Release: we are done with the slot.
        let order = if cfg!(gochan_bug = "popped_relaxed") { Ordering::Relaxed } else { Ordering::Release };
        self.recvx.store(recvx.wrapping_add(1), order);
    }

    /// As [`pop_at_once`](Self::pop_at_once), but that it looks whether there is a value if that is not known.
    ///
    /// # Safety
    /// As there.
    #[inline]
    pub(super) unsafe fn pop_quickly(&self, state: &mut State<T>, room: *mut T) -> bool {
        let recvx = self.recvx.load(Ordering::Relaxed);
        if !self.may_pop(state, recvx) {
            return false;
        }
        // SAFETY: it may; the caller's contract.
        unsafe { self.pop_known(state, room, recvx) };
        true
    }

    /// As [`may_push`](Self::may_push), for a pop.
    #[inline]
    fn may_pop(&self, state: &State<T>, recvx: u32) -> bool {
        recvx != self.recv_to.load(Ordering::Relaxed) || !state.joint && self.see_values(state, recvx)
    }

    /// Sees how far pops may go. False: not at all.
    #[inline]
    fn see_values(&self, state: &State<T>, recvx: u32) -> bool {
        // Acquire: whoever has pushed a value has put it into its slot.
        let word = self.summary.load(Ordering::Acquire);
        let many = if self.may_be_quick(word) { state.head.values(sendx(word), recvx) } else { 0 };
        self.recv_to.store(recvx.wrapping_add(many), Ordering::Relaxed);
        many > 0
    }

    /// A sender without a value gets a slot where nobody waits and there is room: a section of its own.
    #[inline]
    pub(super) fn reserve_quickly(&self, tail: &mut Tail<T>) -> bool {
        let word = self.summary.load(Ordering::Relaxed);
        if !self.may_push(tail, word) {
            return false;
        }
        self.send_to.store(self.send_to.load(Ordering::Relaxed).wrapping_sub(1), Ordering::Relaxed);
        self.reserve();
        self.summary.store((word | RESERVED).wrapping_add(1 << VERSION_SHIFT), Ordering::Release);
        true
    }

    /// A slot that was reserved is filled where nobody waits and there is room.
    ///
    /// # Safety
    /// As for [`push_quickly`](Self::push_quickly); the caller has a reservation, which has gone if this returns true.
    #[inline]
    pub(super) unsafe fn fill_quickly(&self, tail: &mut Tail<T>, elem: *const T) -> bool {
        let word = self.summary.load(Ordering::Relaxed);
        if sendx(word) == self.send_to.load(Ordering::Relaxed) && !self.see_room(tail, word, 1) {
            return false;
        }
        self.unreserve();
        // SAFETY: there is room; the caller's contract.
        unsafe { tail.push(elem) };
        let none = if self.reserved.load(Ordering::Relaxed) == 0 { RESERVED } else { 0 };
        self.count_quick_push(tail, (word & !none).wrapping_add((1 << VERSION_SHIFT) + (1 << SENDX_SHIFT)));
        true
    }

    /// How far quick sections may go behind a section that was not.
    #[cold]
    #[inline(never)]
    pub(super) fn limit_quick_sections(&self, state: &State<T>, word: u64) {
        let recvx = self.recvx.load(Ordering::Relaxed);
        // They have to look, or there are none.
        if cfg!(not(gochan_bug = "quick_pushes_go_on")) {
            self.send_to.store(sendx(word), Ordering::Relaxed);
        }
        self.recv_to.store(recvx, Ordering::Relaxed);
        if state.joint && self.may_be_quick(word) {
            // SAFETY: here the tail goes with the lock.
            let tail = unsafe { &*self.tail.value() };
            self.recv_to.store(recvx.wrapping_add(state.head.values(sendx(word), recvx)), Ordering::Relaxed);
            self.see_room(tail, word, 0);
        }
    }
}
