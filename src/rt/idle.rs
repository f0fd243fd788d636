//! What nobody has at the moment, and how much of it nobody needs.
//!
//! What came last goes first: it is the warmest. So of those at the other end nobody has needed as many as there were never fewer of, since
//! somebody looked.
//!
//! **Invariant.** `least` is no more than there are, so what lies at the front and is counted by it was there at the last look, or came as
//! unneeded.

use std::collections::VecDeque;

pub(super) struct Idle<T> {
    all: VecDeque<T>,
    /// The fewest that there were since the last look.
    least: usize,
}

impl<T> Idle<T> {
    pub(super) const fn new() -> Self {
        Self { all: VecDeque::new(), least: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Takes as many as asked, if there are: what came last first.
    pub(super) fn take(&mut self, count: usize) -> impl Iterator<Item = T> {
        let rest = self.all.len().saturating_sub(count);
        self.least = self.least.min(rest);
        self.all.drain(rest..).rev()
    }

    /// Takes some in.
    pub(super) fn give(&mut self, all: impl IntoIterator<Item = T>) {
        self.all.extend(all);
    }

    /// The same of what nobody has needed since the last look.
    pub(super) fn give_unneeded(&mut self, all: impl IntoIterator<Item = T>) {
        for one in all {
            self.all.push_front(one);
            self.least += 1;
        }
    }

    /// Takes some of what nobody has needed since the last look, at most so many, and none of so many that are kept.
    pub(super) fn take_unneeded(&mut self, most: usize, kept: usize) -> impl Iterator<Item = T> {
        let unneeded = self.least.min(self.all.len().saturating_sub(kept)).min(most);
        self.least -= unneeded;
        self.all.drain(..unneeded)
    }

    /// A look: whatever is needed from now on counts.
    pub(super) fn look(&mut self) {
        self.least = self.all.len();
        self.all.shrink_to(2 * self.least);
    }
}

#[cfg(test)]
mod tests {
    use super::Idle;

    #[test]
    fn what_was_needed_stays() {
        let mut idle = Idle::new();
        idle.give(0..10);
        // Nobody has looked, so they may all have been needed.
        assert_eq!(idle.take_unneeded(10, 0).count(), 0);
        idle.look();
        assert_eq!(idle.take(3).collect::<Vec<_>>(), [9, 8, 7]);
        idle.give([7, 8, 9]);
        idle.give_unneeded([10]);
        assert_eq!(idle.take_unneeded(2, 0).collect::<Vec<_>>(), [10, 0]);
        assert_eq!(idle.take_unneeded(10, 5).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert_eq!(idle.take_unneeded(10, 0).collect::<Vec<_>>(), [5, 6]);
        assert_eq!(idle.len(), 3);
        assert_eq!(idle.take(10).collect::<Vec<_>>(), [9, 8, 7]);
        assert_eq!(idle.take(1).next(), None);
    }
}
