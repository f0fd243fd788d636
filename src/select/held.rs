//! The channels of a select, locked all at once.
//!
//! Lock order: by address (under a model checker, by age). That alone excludes deadlock; but a lock that takes long has a holder that was preempted, and
//! whoever sleeps for it with other locks in his hands would make everybody wait for that holder. So the rest is given
//! back, the slow lock is waited for alone, and then all are taken again.

use super::{Case, INLINE};
use crate::chan::arm::Selectable;
use crate::park::Ready;
use smallvec::SmallVec;
use std::ptr;

fn address(chan: &dyn Selectable) -> *const () {
    ptr::from_ref(chan).cast()
}

#[cfg(not(any(gochan_loom, gochan_shuttle)))]
use address as order;

#[cfg(any(gochan_loom, gochan_shuttle))]
fn order(chan: &dyn Selectable) -> usize {
    chan.number()
}

/// Distinct channels, all locked, or none; the drop unlocks them. Locked where it is, and lent: it is larger than what is worth to be moved.
pub(super) struct Held<'c>(SmallVec<[&'c dyn Selectable; INLINE]>);

impl<'c> Held<'c> {
    pub(super) fn none() -> Self {
        Self(SmallVec::new())
    }

    /// Locks the channels of these cases, where none is locked. Out of line: what its loops need would else be
    /// prepared by whoever might come to it.
    #[inline(never)]
    pub(super) fn lock(&mut self, cases: &[Case<'c>]) {
        let all = &mut self.0;
        cases.iter().filter_map(|case| case.target.as_chan()).for_each(|chan| all.push(chan));
        all.sort_unstable_by_key(|chan| order(*chan));
        all.dedup_by_key(|chan| address(*chan));
        'again: loop {
            for (i, chan) in all.iter().enumerate() {
                if i == 0 {
                    chan.lock();
                } else if !chan.lock_soon() {
                    for locked in &all[..i] {
                        // SAFETY: locked above.
                        unsafe { locked.unlock() };
                    }
                    chan.lock();
                    // SAFETY: just locked.
                    unsafe { chan.unlock() };
                    continue 'again;
                }
            }
            return;
        }
    }

    /// Unlocks all but the channel at `keep`, which is the caller's from now on.
    pub(super) fn release(&mut self, keep: *const ()) {
        for chan in &self.0 {
            if address(*chan) != keep {
                // SAFETY: locked, and nothing was changed.
                unsafe { chan.unlock() };
            }
        }
        self.0.clear();
    }

    /// Unlocks after sudogs were queued.
    pub(super) fn leave(&mut self) -> Ready {
        // SAFETY: locked.
        self.0.drain(..).fold(Ready::NOBODY, |all, chan| all.and(unsafe { chan.leave() }))
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.release(ptr::null());
    }
}
