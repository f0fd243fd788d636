//! What a channel's lock protects, and what is done to the words under it.
//!
//! The invariants are those of `hchan.rs`. The word is published at the end of a section, by the functions here (I11), but for what quick sections do
//! to it (`quick.rs`).

use super::hchan::Hchan;
use super::litter::Litter;
use super::returned::Returned;
use super::ring::{Ends, Head, Tail};
use super::shown::{BUSY, CLOSED, FLAGS, OFFERED, OPAQUE, RESERVED, SENDX_SHIFT, VERSION_SHIFT, WANTED, most, sendx};
use super::waitq::{Pairs, Receivers, Senders, Sudog, WaitQ, Watchers};
use crate::park::Who;
use crate::primitive::Ordering;
use std::panic::Location;

/// What the channel's lock protects. Sections that are not quick write the queues and what comes with them; so whoever has this lock
/// may read them, whether or not he has the tail's.
#[repr(C)]
pub(super) struct State<T> {
    pub(super) litter: Litter<T>,
    /// Receivers that were claimed by a sender without a value; each knows its ticket.
    pub(super) pairs: WaitQ<Pairs>,
    watchers: WaitQ<Watchers>,
    /// The last of those who had to wait, or met somebody who did.
    pub(super) last_receive: Option<LastUse>,
    pub(super) last_send: Option<LastUse>,
    /// Counts hand-offs to receives, which orders `returned`; those who queue; and pairs. What came later has the larger number.
    pub(super) numbers: u64,
    pub(super) sendq: WaitQ<Senders>,
    /// Values that came back.
    pub(super) returned: Returned<T>,
    pub(super) recvq: WaitQ<Receivers>,
    pub(super) closed: bool,
    /// Is somebody among the watchers? Every section asks, and their queue lies further off.
    pub(super) watched: bool,
    /// Is the tail under this lock?
    pub(super) joint: bool,
    pub(super) head: Head<T>,
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
    pub(super) fn new(joint: bool) -> Self {
        Self {
            closed: false,
            watched: false,
            joint,
            head: Head::new(),
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
}

/// The buffer and the words, for who has both locks.
impl<T> Hchan<T> {
    #[inline]
    pub(super) fn ends<'a>(&self, tail: &'a mut Tail<T>, head: &'a mut Head<T>) -> Ends<'a, T> {
        let (word, recvx) = (self.summary.load(Ordering::Relaxed), self.recvx.load(Ordering::Relaxed));
        Ends { tail, head, sendx: sendx(word), recvx }
    }

    /// The number of buffered values. Not for who has the channel's lock alone, beside whom values come.
    #[inline]
    pub(super) fn buffered(&self) -> usize {
        sendx(self.summary.load(Ordering::Relaxed)).wrapping_sub(self.recvx.load(Ordering::Relaxed)) as usize
    }

    #[inline]
    pub(super) fn has_slot(&self) -> bool {
        self.cap > 0 && self.buffered() + (self.reserved.load(Ordering::Relaxed) as usize) < most(self.cap)
    }

    /// A slot is reserved, by who has the tail.
    #[inline]
    pub(super) fn reserve(&self) {
        // Only who has the tail changes it. It cannot overflow: each is somebody's who lives.
        self.reserved.store(self.reserved.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// One will be given up; the section goes on.
    #[inline]
    pub(super) fn unreserve(&self) {
        // As in `count_pop`: that the slot is free is not all.
        self.summary.store(self.summary.load(Ordering::Relaxed) | OPAQUE, Ordering::Release);
        self.reserved.store(self.reserved.load(Ordering::Relaxed) - 1, Ordering::Release);
    }

    /// One more value is in the buffer; the section goes on, and may take another one out.
    #[inline]
    pub(super) fn count_push(&self) {
        let word = self.summary.load(Ordering::Relaxed);
        // As in `count_quick_push`.
        self.summary.store(word.wrapping_add(1 << SENDX_SHIFT) | OPAQUE, Ordering::Release);
    }

    /// One value less will be in the buffer; the section goes on.
    #[inline]
    pub(super) fn count_pop(&self) {
        let word = self.summary.load(Ordering::Relaxed);
        // Release of `recvx`: who sees it sees that it is not all.
        if cfg!(not(gochan_bug = "half_a_section_shown")) {
            self.summary.store(word | OPAQUE, Ordering::Relaxed);
        }
        self.recvx.store(self.recvx.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
    }

    /// No value is in the buffer any more.
    pub(super) fn count_all(&self) {
        let word = self.summary.load(Ordering::Relaxed);
        // As in `count_pop`.
        self.summary.store(word | OPAQUE, Ordering::Relaxed);
        self.recvx.store(sendx(word), Ordering::Release);
    }

    /// The flags of the summary word.
    #[inline]
    fn summary(&self, state: &State<T>) -> u64 {
        let flag = |is_set: bool, flag: u64| u64::from(is_set) * flag;
        let offered = !state.returned.is_empty() | (!state.closed & state.sendq.has_prompt());
        flag(state.closed, CLOSED)
            | flag(offered, OFFERED)
            | flag(!state.closed & !state.recvq.is_empty(), WANTED)
            | flag(self.reserved.load(Ordering::Relaxed) > 0, RESERVED)
            | flag(state.is_busy(), BUSY)
    }

    /// Publishes the summary word (I11).
    #[inline]
    pub(super) fn publish(&self, state: &State<T>) {
        let is_new = !cfg!(gochan_bug = "version_stays_for_returned_values") || state.returned.is_empty();
        let step = u64::from(is_new) << VERSION_SHIFT;
        let word = self.summary.load(Ordering::Relaxed).wrapping_add(step) & !FLAGS | self.summary(state);
        self.publish_word(state, word);
    }

    /// Publishes the word that was the last one, but for these flags.
    #[inline]
    pub(super) fn publish_change(&self, state: &State<T>, set: u64, clear: u64) {
        let word = self.summary.load(Ordering::Relaxed).wrapping_add(1 << VERSION_SHIFT) & !(clear | OPAQUE) | set;
        debug_assert_eq!(word & FLAGS, self.summary(state), "a word that does not say what there is");
        self.publish_word(state, word);
    }

    #[inline]
    fn publish_word(&self, state: &State<T>, word: u64) {
        if self.cap > 0 {
            self.limit_quick_sections(state, word);
        }
        // Release: who reads the word has seen what happened before it was published, close above all.
        self.summary.store(word, Ordering::Release);
    }

    /// Publishes the word if there is anything new in it: after a section that has found nothing to do, but may have taken
    /// arms that lost elsewhere off their queues.
    pub(super) fn publish_news(&self, state: &State<T>) {
        if self.summary.load(Ordering::Relaxed) & FLAGS != self.summary(state) {
            self.publish(state);
        }
    }
}
