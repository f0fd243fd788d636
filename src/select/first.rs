//! How a select begins: with a glance at one arm, and then at one of those that seem to be possible.
//!
//! Most selects that find something end here, before anything is made for the other arms. Of the arms that are possible each is chosen with the
//! same probability: either the first one is, which is any of all, or the second is any of those that are.
//!
//! What seems to be possible decides nothing but where to look: a glance fires the arm, or it does not, and the passes that come after that
//! look at all the others.

use super::order::{self, FEW};
use super::{Case, glance_at_timer};
use crate::chan::arm::{Fired, Glance, Target};
use std::time::Instant;

/// A second glance decides nothing that the passes would not: so loom, for which each look multiplies what there is to explore, does without.
const LOOKS_ON: bool = cfg!(not(gochan_loom));

/// Which arm a select has glanced at last, and what came of that, if it can ever be ready.
pub(super) struct First {
    pub(super) case: usize,
    pub(super) glance: Option<Glance>,
    /// The arm that it has glanced at before that, and the stamp of the moment at which that was not possible.
    pub(super) before: Option<(usize, u64)>,
    pub(super) biased: bool,
    /// Where values are received, if not in the rooms of their arms.
    pub(super) room: Option<*mut ()>,
}

impl First {
    /// The arm is chosen as in any other pass: this is the beginning of pass 0. What is received goes to `room`, or, without one, to
    /// that of the arm.
    ///
    /// # Safety
    /// As for [`selectgo`](super::selectgo).
    #[inline(always)]
    pub(super) unsafe fn glance(cases: &[Case<'_>], biased: bool, room: Option<*mut ()>) -> Self {
        // Before any is touched.
        assert!(cases.len() <= usize::from(u16::MAX), "too many operations in a select");
        let case = order::first(cases.len(), biased);
        let glance = match cases.get(case) {
            Some(&Case { target: Target::Chan(chan), dir, room: own }) => {
                // SAFETY: the caller's contract.
                Some(unsafe { chan.glance(dir, room.unwrap_or(own)) })
            }
            // An arm that is ready must not be passed over because it came first.
            Some(&Case { target: Target::Timer(timer), room: own, .. }) => {
                Some(glance_at_timer(timer, Instant::now(), room.unwrap_or(own)))
            }
            _ => None,
        };
        Self { case, glance, before: None, biased, room }
    }

    /// The arm was not possible: glances at one that seems to be. A look at all of them costs less than a glance at another one, which is in vain
    /// as often as not, and each time for a reason that no processor can guess. Not for who must not wait: that one mostly finds nothing.
    /// Nor if the first one was at a small buffer, or none: there several threads come for each value, and to look at all arms takes their lines from those
    /// who are at it.
    ///
    /// # Safety
    /// As for [`selectgo`](super::selectgo).
    #[inline]
    pub(super) unsafe fn look_on(&mut self, cases: &[Case<'_>]) {
        let Some(Glance::Nothing(stamp)) = self.glance else { return };
        let is_large = cases[self.case].target.as_chan().is_some_and(|chan| chan.has_large_buffer());
        if !is_large || !LOOKS_ON || self.biased || cases.len() > FEW {
            return;
        }
        let mut ready = 0;
        for (i, case) in cases.iter().enumerate() {
            match case.target {
                Target::Never => {}
                Target::Chan(chan) => ready |= u32::from(chan.seems_ready(case.dir)) << i,
                // Whether it is due, the clock says, which costs more than all else here.
                Target::Timer(_) => return,
            }
        }
        let Some(case) = order::one_of(ready & !(1 << self.case)) else { return };
        let &Case { target: Target::Chan(chan), dir, room: own } = &cases[case] else {
            unreachable!("only channels seem to be ready")
        };
        self.before = Some((self.case, stamp));
        self.case = case;
        // SAFETY: the caller's contract.
        self.glance = Some(unsafe { chan.glance(dir, self.room.unwrap_or(own)) });
    }

    /// What the select ends with, if it does.
    #[inline]
    pub(super) fn ended(&self) -> Option<Fired> {
        self.glance.as_ref().and_then(Glance::fired)
    }
}
