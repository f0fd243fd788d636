//! Bias: a lock that one thread takes all the time costs that thread no read-modify-write.
//!
//! Whoever has taken a lock many times, with nobody else in between, becomes its owner, and then only says that he is inside, by a plain
//! store. The first other thread that wants the lock takes the bias away, for good: it pays for that with a call to the system,
//! some microseconds. So what one thread does to a channel of its own - the goroutines of one worker, the tasks of one
//! executor's thread - is as if there were no lock, and a channel between threads is biased never, or once and not for long.
//!
//! **The protocol.** The owner stores `inside`, then looks whether it is still the owner. Who takes the bias away, and for that has
//! `locked`, stores that it is gone, then looks whether the owner is inside. Both have to keep that order, or each might miss the other;
//! but only the latter pays for its fence (see `barrier`).
//!
//! **One owner, ever.** `inside` is the owner's alone. It may have come as far as to store `inside` long after the bias is gone (it was
//! preempted before), for a moment until it looks. Who has the lock then must not take that for his own: the word says whose it is. A second
//! owner's would be cleared by it: so there is none.
//!
//! What the owner's sections write is seen by others through `inside`, which they see cleared before they have the lock.

use super::barrier::{self, heavy, light};
use super::{AtomicBool, AtomicU16, AtomicU32, Ordering};
use number::{token, token_of_somebody};

/// So often in a row a thread takes a lock to become its owner. To take the bias away costs as much as taking the lock that often.
const LONG: u16 = if cfg!(gochan_loom) { 1 } else { 1023 };
/// The bits for that.
const TIMES: u16 = 0xfff;
/// After so many times that another thread came before that, the lock is left as it is.
const CHANGES: u16 = if cfg!(gochan_loom) { 2 } else { 8 };

/// What the word says besides a thread's number, in two bits: that thread may become the owner,
const LEARNING: u32 = 0;
/// is the owner,
const BIASED: u32 = 1;
/// was the owner, and may still be inside,
const REVOKED: u32 = 2;
/// or is not the owner, ever, or any more.
const PLAIN: u32 = 3;
const STATE: u32 = 0b11;

/// A lock's words, eight bytes.
#[repr(C)]
pub(super) struct Bias {
    word: AtomicU32,
    /// How often in a row the lock was taken, and above that in four bits how often by another thread than before. For who has the lock.
    learnt: AtomicU16,
    /// The owner is in a section. Written by it only.
    inside: AtomicBool,
    /// Anybody else is, or is about to be.
    pub(super) locked: AtomicBool,
}

impl Bias {
    /// Of a lock that has no owner, ever.
    #[cfg(not(gochan_loom))]
    pub(super) const fn none() -> Self {
        let [inside, locked] = [const { AtomicBool::new(false) }; 2];
        Self { word: AtomicU32::new(PLAIN), learnt: AtomicU16::new(0), inside, locked }
    }

    #[cfg(gochan_loom)]
    pub(super) fn none() -> Self {
        let [inside, locked] = [false; 2].map(AtomicBool::new);
        Self { word: AtomicU32::new(PLAIN), learnt: AtomicU16::new(0), inside, locked }
    }

    /// Of a lock that may have one, if that is possible here: whoever makes it, until somebody else comes. The first asks the system,
    /// since who makes something may allocate, and who uses it should not.
    pub(super) fn possible() -> Self {
        let bias = Self::none();
        if barrier::is_to_be_had() != Some(false) {
            if let Some(token) = token_of_somebody() {
                bias.word.store(token & !STATE | LEARNING, Ordering::Relaxed);
            }
        }
        bias
    }

    /// It will be written to: the hint is worth a tenth of the time between threads that hand values over.
    #[inline(always)]
    pub(super) fn prefetch(&self) {
        super::will_write(self);
    }

    /// Has it no owner, for good?
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        self.word.load(Ordering::Relaxed) & STATE == PLAIN
    }

    #[cfg(test)]
    pub(super) fn is_owned(&self) -> bool {
        self.word.load(Ordering::Relaxed) & STATE == BIASED
    }

    /// The owner's way into a section. False: the caller is not the owner.
    #[inline]
    pub(super) fn enter(&self) -> bool {
        let token = token();
        if self.word.load(Ordering::Relaxed) != token {
            return false;
        }
        self.inside.store(true, Ordering::Relaxed);
        light();
        if self.word.load(Ordering::Relaxed) == token {
            return true;
        }
        self.leave();
        false
    }

    /// Is the section that is about to end one which its owner has entered by [`enter`](Self::enter)? Asked by who is in it.
    #[inline]
    pub(super) fn has_entered(&self) -> bool {
        self.inside.load(Ordering::Relaxed)
            && (cfg!(gochan_bug = "inside_is_anybodys") || (self.word.load(Ordering::Relaxed) ^ token()) & !STATE == 0)
    }

    /// The owner's way out.
    #[inline]
    pub(super) fn leave(&self) {
        // Release: who sees it has what the section did.
        self.inside.store(false, Ordering::Release);
    }

    /// The caller has taken `locked`, and it is not plain. Is the section his, as it mostly is? If not, that is for
    /// [`settle`](Self::settle) to say.
    #[inline]
    pub(super) fn is_settled(&self) -> bool {
        // Once more in a row.
        let learnt = self.learnt.load(Ordering::Relaxed);
        let is_next = self.word.load(Ordering::Relaxed) == token() - BIASED + LEARNING && learnt & TIMES < LONG;
        if is_next {
            self.learnt.store(learnt + 1, Ordering::Relaxed);
        }
        is_next
    }

    /// The caller has taken `locked`, and that did not [settle](Self::is_settled) it. Is the section his? If not, since the owner is in one, he gives the word back, and
    /// may try again.
    #[cold]
    #[inline(never)]
    pub(super) fn settle(&self) -> bool {
        let word = self.word.load(Ordering::Relaxed);
        match word & STATE {
            LEARNING => {
                self.learn(word);
                return true;
            }
            BIASED => {
                self.word.store(word & !STATE | REVOKED, Ordering::Relaxed);
                if !cfg!(gochan_bug = "bias_revoked_without_barrier") {
                    heavy();
                }
            }
            _ => {}
        }
        // Acquire: what its last section did.
        if self.inside.load(Ordering::Acquire) {
            return false;
        }
        self.word.store(word | PLAIN, Ordering::Relaxed);
        true
    }

    /// A section of another thread than before, or of one that has had enough of them in a row: the others are
    /// [settled](Self::is_settled).
    fn learn(&self, word: u32) {
        let Some(token) = token_of_somebody() else { return };
        let learnt = self.learnt.load(Ordering::Relaxed);
        if word | BIASED != token {
            let changes = learnt / (TIMES + 1);
            let next = if changes < CHANGES { token & !STATE | LEARNING } else { PLAIN };
            self.word.store(next, Ordering::Relaxed);
            self.learnt.store((changes + 1) * (TIMES + 1), Ordering::Relaxed);
        } else {
            // If that is not known yet, it is asked again in a while.
            self.learnt.store(learnt & !TIMES, Ordering::Relaxed);
            let next = barrier::is_to_be_had().map_or(word, |can| if can { token } else { PLAIN });
            self.word.store(next, Ordering::Relaxed);
        }
    }
}

/// Threads by number, which is never another's.
mod number {
    use super::{BIASED, STATE};
    use std::cell::Cell;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[cfg(gochan_loom)]
    use loom::thread_local;

    #[cfg(not(gochan_loom))]
    thread_local! {
        /// What the word says while this thread is the owner. In the beginning, the same of nobody.
        static TOKEN: Cell<u32> = const { Cell::new(BIASED) };
    }

    #[cfg(gochan_loom)]
    thread_local! {
        static TOKEN: Cell<u32> = Cell::new(BIASED);
    }

    #[inline]
    pub(super) fn token() -> u32 {
        TOKEN.with(Cell::get)
    }

    /// The same of a thread that shall have a number. `None` if there are no more.
    #[inline]
    pub(super) fn token_of_somebody() -> Option<u32> {
        match token() {
            BIASED => next(),
            token => Some(token),
        }
    }

    #[cold]
    fn next() -> Option<u32> {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let last = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
            Some(last + 1).filter(|number| *number <= u32::MAX >> STATE.count_ones())
        });
        let token = (last.ok()? + 1) << STATE.count_ones() | BIASED;
        TOKEN.with(|mine| mine.set(token));
        Some(token)
    }
}
