//! What a channel shows to whoever has none of its locks: the summary word and `recvx`, of one moment.
//!
//! Values are numbered as they come. The word has the number of the next to be pushed, `sendx`, and flags; `recvx` is that of the next to be
//! popped. A quick push changes the word alone, a quick pop `recvx` alone. A section that pops and does more says so before
//! ([`OPAQUE`]), and who sees that takes a lock instead. So whoever finds the same `recvx` before and after he has read the word has both
//! as they were when he read the word: [`Hchan::shown`].

use super::hchan::Hchan;
use super::ring::MOST;
use crate::primitive::Ordering;

// What there is, as it is told: flags, and in tests the number of buffered values above them.
pub(super) const CLOSED: u64 = 1;
/// A receive would find something: a value in hand, or a sender to claim.
pub(super) const READABLE: u64 = 1 << 1;
/// A send would find something: a free slot, or a receiver to claim.
pub(super) const WRITABLE: u64 = 1 << 2;
#[cfg(test)]
pub(super) const LEN_SHIFT: u32 = 3;

// The summary word: flags, of which the first is `CLOSED`, the number of the next value to be pushed, and a version that changes with
// every section that is not quick.
/// A receive would find something, whether or not a value is in the buffer.
pub(super) const OFFERED: u64 = 1 << 1;
/// A send would find a receiver to claim.
pub(super) const WANTED: u64 = 1 << 2;
/// Slots are reserved.
pub(super) const RESERVED: u64 = 1 << 3;
/// Somebody is queued or watches, or values have come back: the quick sections are not for this.
pub(super) const BUSY: u64 = 1 << 4;
/// In the middle of a section. What there is cannot be told without the lock.
pub(super) const OPAQUE: u64 = 1 << 5;
pub(super) const FLAGS: u64 = (1 << SENDX_SHIFT) - 1;
pub(super) const SENDX_SHIFT: u32 = 6;
pub(super) const VERSION_SHIFT: u32 = 38;

/// The number of the next value to be pushed.
#[inline]
pub(super) fn sendx(word: u64) -> u32 {
    (word >> SENDX_SHIFT) as u32
}

/// How many values a channel of this capacity may hold.
#[inline]
pub(super) fn most(cap: usize) -> usize {
    cap.min(MOST)
}

/// What a channel shows to whoever does not have its lock, as of one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    word: u64,
    recvx: u32,
    reserved: u32,
}

impl Shown {
    #[inline]
    pub(super) fn is_closed(self) -> bool {
        self.word & CLOSED != 0
    }

    /// Would a receive find something? If that cannot be told, it would.
    #[inline]
    pub(super) fn is_readable(self) -> bool {
        (self.word & (OFFERED | OPAQUE) != 0) | (sendx(self.word) != self.recvx)
    }

    /// The same for a send.
    #[inline]
    pub(super) fn is_writable(self, cap: usize) -> bool {
        let has_slot = self.buffered() + (self.reserved as usize) < most(cap);
        (self.word & CLOSED == 0) & ((self.word & (WANTED | OPAQUE) != 0) | has_slot)
    }

    /// Does anybody wait for what can be done here?
    pub(super) fn has_waiters(self) -> bool {
        self.word & (WANTED | OFFERED) != 0
    }

    #[inline]
    fn buffered(self) -> usize {
        sendx(self.word).wrapping_sub(self.recvx) as usize
    }

    /// Can it be told what there is?
    #[inline]
    pub(super) fn is_told(self) -> bool {
        self.word & OPAQUE == 0
    }

    /// How many receives would find something, if it is one or if it is known; that nothing more comes is something, too.
    pub(super) fn values(self) -> usize {
        self.buffered().max(usize::from(self.is_readable() | self.is_closed()))
    }

    /// The same for sends.
    pub(super) fn slots(self, cap: usize) -> usize {
        let free = most(cap).saturating_sub(self.buffered() + self.reserved as usize);
        free.max(usize::from(self.is_writable(cap) | self.is_closed()))
    }

    /// The number of buffered values, if that can be told.
    #[inline]
    pub(super) fn len(self) -> Option<usize> {
        self.is_told().then(|| self.buffered())
    }

    /// The flags.
    #[inline]
    pub(super) fn flags(self, cap: usize) -> u64 {
        let flag = |is_set: bool, flag: u64| u64::from(is_set) * flag;
        self.word & CLOSED | flag(self.is_readable(), READABLE) | flag(self.is_writable(cap), WRITABLE)
    }

    /// How much has happened on this channel: a sum of numbers that only grow. It tells one moment from all others as long as fewer than
    /// 2^26 sections lie between them.
    #[inline]
    pub(super) fn stamp(self) -> u64 {
        (self.word >> VERSION_SHIFT) + u64::from(sendx(self.word)) + u64::from(self.recvx)
    }
}

impl<T> Hchan<T> {
    /// What there is to see without the lock.
    #[inline]
    pub(super) fn shown(&self) -> Shown {
        // Acquire: who acts on the word has seen what led to it; and the loads stay in this order.
        let recvx = self.recvx.load(Ordering::Acquire);
        let word = self.summary.load(Ordering::Acquire);
        if word & (OPAQUE | RESERVED) == 0 && recvx == self.recvx.load(Ordering::Acquire) {
            return Shown { word, recvx, reserved: 0 };
        }
        self.shown_of_many()
    }

    /// The same, of this word, but that it need not be of one moment. So it decides nothing.
    #[inline]
    pub(super) fn glimpse(&self, word: u64) -> Shown {
        let (recvx, reserved) = (self.recvx.load(Ordering::Relaxed), self.reserved.load(Ordering::Relaxed));
        Shown { word, recvx, reserved }
    }

    /// The same where others are at it. If nothing can be told after a few looks, that is what it says.
    #[cold]
    #[inline(never)]
    fn shown_of_many(&self) -> Shown {
        const LOOKS: u32 = if cfg!(any(gochan_loom, gochan_shuttle)) { 1 } else { 4 };
        let mut shown = Shown { word: OPAQUE, recvx: 0, reserved: 0 };
        for _ in 0..LOOKS {
            let recvx = self.recvx.load(Ordering::Acquire);
            let word = self.summary.load(Ordering::Acquire);
            let reserved = if word & RESERVED != 0 { self.reserved.load(Ordering::Acquire) } else { 0 };
            // Whoever makes it less has said before that nothing can be told. If there is one more than the word knows of, it is as if
            // that had happened already.
            let is_one_moment = recvx == self.recvx.load(Ordering::Acquire)
                && (word & RESERVED == 0 || word == self.summary.load(Ordering::Acquire));
            shown = Shown { word: word | if is_one_moment { 0 } else { OPAQUE }, recvx, reserved };
            if shown.word & OPAQUE == 0 {
                break;
            }
        }
        shown
    }

    /// What there is, as it is told.
    #[cfg(test)]
    pub(super) fn word(&self) -> u64 {
        let shown = self.shown();
        shown.flags(self.cap) | (shown.buffered() as u64) << LEN_SHIFT
    }
}
