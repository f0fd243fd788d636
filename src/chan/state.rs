//! What a channel's lock protects, and the summary word that says from outside what there is.
//!
//! The invariants are those of `hchan.rs`. The word is written under the lock, at the end of a section, by the functions here (I11).
//! The quick sections are here too: a value that only goes into the buffer, or comes out of it, while nobody waits.

use super::hchan::Hchan;
use super::litter::Litter;
use super::returned::Returned;
use super::ring::Ring;
use super::waitq::{Pairs, Receivers, Senders, Sudog, WaitQ, Watchers};
use crate::park::Who;
use crate::primitive::Ordering;
use std::panic::Location;

// The summary word: flags, the number of buffered values, and a version that tells one word from all others as long as
// fewer than 2^32 sections lie between them.
pub(super) const CLOSED: u64 = 1;
/// A receive would find something: a value in hand, or a sender to claim.
pub(super) const READABLE: u64 = 1 << 1;
/// A send would find something: a free slot, or a receiver to claim.
pub(super) const WRITABLE: u64 = 1 << 2;
pub(super) const LEN_SHIFT: u32 = 3;
/// So many values, or more.
pub(super) const LEN_MAX: u64 = (1 << (VERSION_SHIFT - LEN_SHIFT)) - 1;
/// As long as there are no more values than this, the word counts them.
const COUNTED: usize = LEN_MAX as usize - 1;
const VERSION_SHIFT: u32 = 32;
const VERSIONLESS: u64 = (1 << VERSION_SHIFT) - 1;

/// What the lock protects. With what comes before it (see [`Hchan`]), in the order of cache lines, if a channel lies as allocators mostly
/// put it: who only puts a value into the buffer, or takes one out, touches two; who waits or meets somebody who does touches three.
#[repr(C)]
pub(super) struct State<T> {
    pub(super) closed: bool,
    /// Somebody is queued, or values have come back: the quick paths are not for this. Kept by sections as they end,
    /// since nothing else changes it.
    pub(super) busy: bool,
    /// Is somebody among the watchers? Every section asks, and their queue lies further back.
    pub(super) watched: bool,
    /// Slots granted to senders whose value does not exist yet; each of them lives, so this cannot overflow.
    pub(super) reserved: u32,
    pub(super) buf: Ring<T>,
    pub(super) recvq: WaitQ<Receivers>,
    /// Values that came back.
    pub(super) returned: Returned<T>,
    pub(super) sendq: WaitQ<Senders>,
    /// Counts hand-offs to receives, which orders `returned`; those who queue; and pairs. What came later has the larger number.
    pub(super) numbers: u64,
    /// The last of those who had to wait, or met somebody who did.
    pub(super) last_send: Option<LastUse>,
    pub(super) last_receive: Option<LastUse>,
    watchers: WaitQ<Watchers>,
    /// Receivers that were claimed by a sender without a value; each knows its ticket.
    pub(super) pairs: WaitQ<Pairs>,
    pub(super) litter: Litter<T>,
}

/// Who used a channel, and where.
#[derive(Clone, Copy)]
pub(super) struct LastUse {
    pub(super) at: &'static Location<'static>,
    pub(super) who: Who,
}

impl LastUse {
    #[inline]
    pub(super) fn here(at: &'static Location<'static>) -> Self {
        Self { at, who: Who::here() }
    }
}

// SAFETY: a `State` owns its values; the sudogs that it points to belong to waits whose owners stay until they are
// unlinked, and are touched under the lock only (I1), whatever thread holds it.
unsafe impl<T: Send> Send for State<T> {}

impl<T> State<T> {
    #[inline]
    pub(super) fn new() -> Self {
        Self {
            closed: false,
            busy: false,
            watched: false,
            reserved: 0,
            buf: Ring::new(),
            recvq: WaitQ::new(),
            returned: Returned::new(),
            sendq: WaitQ::new(),
            numbers: 0,
            last_send: None,
            last_receive: None,
            watchers: WaitQ::new(),
            pairs: WaitQ::new(),
            litter: Litter::new(),
        }
    }

    /// The [`summary`](Self::summary) of a new one.
    pub(super) fn first_summary(cap: usize) -> u64 {
        if cap > 0 { WRITABLE } else { 0 }
    }

    #[inline]
    pub(super) fn has_slot(&self, cap: usize) -> bool {
        self.buf.len() + (self.reserved as usize) < cap
    }

    #[inline]
    pub(super) fn has_value(&self) -> bool {
        (self.buf.len() > 0) | !self.returned.is_empty()
    }

    /// Without branches, as the summary: what they would be taken by changes from one section to the next.
    #[inline]
    pub(super) fn is_busy(&self) -> bool {
        debug_assert_eq!(self.watched, !self.watchers.is_empty());
        !(self.recvq.is_empty() & self.sendq.is_empty() & self.returned.is_empty()) | self.watched
    }

    /// Does nobody wait, for anything, and has nothing come back? Then there is nothing to settle.
    pub(super) fn is_calm(&self) -> bool {
        !self.is_busy() && self.pairs.is_empty()
    }

    /// chansend where nobody waits and there is room: a section of its own, small enough to be inlined.
    ///
    /// # Safety
    /// `elem` is a value that the caller gives away if this returns true.
    #[inline]
    pub(super) unsafe fn push_quickly(&mut self, chan: &Hchan<T>, elem: *const T) -> bool {
        let word = chan.summary.load(Ordering::Relaxed);
        // Writable, and nobody is queued: so it is open, and there is a slot.
        if self.busy || word & WRITABLE == 0 || !self.buf.has_room() || self.buf.has_more_than(COUNTED - 1) {
            return false;
        }
        // SAFETY: there is room.
        unsafe { self.buf.push(elem) };
        let full = if self.has_slot(chan.cap) { 0 } else { WRITABLE };
        self.publish_change(chan, word + (1 << LEN_SHIFT), READABLE, full);
        true
    }

    /// chanrecv where nobody waits and there is a value, and no block that would have to be freed behind the section.
    ///
    /// # Safety
    /// `room` may be written. If this returns true, it holds a value.
    #[inline]
    pub(super) unsafe fn pop_quickly(&mut self, chan: &Hchan<T>, room: *mut T) -> bool {
        let word = chan.summary.load(Ordering::Relaxed);
        // Readable, and nobody is queued, and nothing has come back: so there is a value in the buffer.
        // SAFETY: the room is the caller's. The value is his for good, so this is no hand-off to be counted.
        if self.busy || word & READABLE == 0 || !unsafe { self.buf.pop_within(COUNTED, room) } {
            return false;
        }
        let open = if word & CLOSED == 0 { WRITABLE } else { 0 };
        let empty = if self.buf.len() > 0 { 0 } else { READABLE };
        self.publish_change(chan, word - (1 << LEN_SHIFT), open, empty);
        true
    }

    /// One that is larger than all before.
    #[inline]
    pub(super) fn next_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub(super) fn watchers(&self) -> &WaitQ<Watchers> {
        &self.watchers
    }

    /// Puts a watcher last.
    ///
    /// # Safety
    /// As for [`WaitQ::enqueue`].
    pub(super) unsafe fn enqueue_watcher(&mut self, sg: *const Sudog) {
        // SAFETY: the caller's contract.
        unsafe { self.watchers.enqueue(sg) };
        self.watched = true;
    }

    /// Takes a watcher off. False if it is not there any more.
    ///
    /// # Safety
    /// As for [`WaitQ::unlink`].
    pub(super) unsafe fn unlink_watcher(&mut self, sg: *const Sudog) -> bool {
        // SAFETY: the caller's contract.
        let was_linked = unsafe { self.watchers.unlink(sg) };
        self.watched = !self.watchers.is_empty();
        was_linked
    }

    /// Publishes the summary word (I11).
    #[inline]
    pub(super) fn publish(&self, chan: &Hchan<T>) -> u64 {
        let word = self.summary(chan.cap);
        self.publish_word(chan, word);
        word
    }

    #[inline]
    pub(super) fn publish_word(&self, chan: &Hchan<T>, word: u64) {
        // Only who has the lock writes the word.
        let step = u64::from(!cfg!(gochan_bug = "version_stays_for_returned_values") || self.returned.is_empty());
        let version = (chan.summary.load(Ordering::Relaxed) >> VERSION_SHIFT).wrapping_add(step) << VERSION_SHIFT;
        // Release: who reads the word has seen what happened before it was published, close above all.
        chan.summary.store(version | word, Ordering::Release);
    }

    /// Publishes the word that was the last one, or counts a value more or less, but for these bits.
    #[inline]
    pub(super) fn publish_change(&self, chan: &Hchan<T>, word: u64, set: u64, clear: u64) -> u64 {
        let word = word.wrapping_add(1 << VERSION_SHIFT) & !clear | set;
        debug_assert_eq!(word & VERSIONLESS, self.summary(chan.cap), "a word that does not say what there is");
        // As in `publish_word`.
        chan.summary.store(word, Ordering::Release);
        word
    }

    /// Publishes the word if there is anything new in it: after a section that has found nothing to do, but may have taken
    /// arms that lost elsewhere off their queues.
    pub(super) fn publish_news(&mut self, chan: &Hchan<T>) {
        self.busy = self.is_busy();
        let (word, old) = (self.summary(chan.cap), chan.summary.load(Ordering::Relaxed));
        if word != old & VERSIONLESS {
            self.publish(chan);
        }
    }

    /// A sender without a value gets a slot where nobody waits and there is room: a section of its own.
    #[inline]
    pub(super) fn reserve_quickly(&mut self, chan: &Hchan<T>) -> bool {
        let word = chan.summary.load(Ordering::Relaxed);
        // As in `push_quickly`.
        if self.busy || word & WRITABLE == 0 {
            return false;
        }
        self.reserved += 1;
        let full = if self.has_slot(chan.cap) { 0 } else { WRITABLE };
        self.publish_change(chan, word, 0, full);
        true
    }

    /// A slot that was reserved is filled where nobody waits and there is room.
    ///
    /// # Safety
    /// `elem` is a value that the caller gives away if this returns true.
    #[inline]
    pub(super) unsafe fn fill_quickly(&mut self, chan: &Hchan<T>, elem: *const T) -> bool {
        let word = chan.summary.load(Ordering::Relaxed);
        if self.busy || word & CLOSED != 0 || !self.buf.has_room() || self.buf.has_more_than(COUNTED - 1) {
            return false;
        }
        self.reserved -= 1;
        // SAFETY: there is room.
        unsafe { self.buf.push(elem) };
        // The slot was taken before, so there are as many free ones as there were.
        self.publish_change(chan, word + (1 << LEN_SHIFT), READABLE, 0);
        true
    }

    #[inline]
    pub(super) fn summary(&self, cap: usize) -> u64 {
        let readable = self.has_value() | (!self.closed & self.sendq.has_prompt());
        let writable = !self.closed & (self.has_slot(cap) | !self.recvq.is_empty());
        let flag = |is_set: bool, flag: u64| u64::from(is_set) * flag;
        let flags = flag(readable, READABLE) | flag(writable, WRITABLE) | flag(self.closed, CLOSED);
        (self.buf.len() as u64).min(LEN_MAX) << LEN_SHIFT | flags
    }
}
