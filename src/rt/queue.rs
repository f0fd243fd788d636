//! A worker's fresh work: closures that have not started, and tasks.
//!
//! Closures that were made here start the last first. A goroutine that starts ten, each of which starts ten, would else have
//! all of them at once before the first ends: a tree of a million leaves took a million stacks, and half of the time went into
//! their pages. Depth first it takes a few dozen, and what a child touches is still in the cache of its parent's core. Everything else
//! goes in order: tasks, which may be woken again at once and would have their turn before all others, and what came from
//! elsewhere. The two sides take turns. Once in a while the oldest closure is next, so that none waits for ever; and others,
//! who steal or are sent to, get the oldest.

use super::runtime::until_known;
use super::worker::Work;
use crossbeam_deque::{Stealer, Worker as Deque};
use std::cell::Cell;

/// The queue, as its worker sees it.
pub(super) struct Queue {
    /// Closures that were made here: the last first.
    made: Deque<Work>,
    /// Everything else, in order.
    line: Deque<Work>,
    others: Stealers,
    /// Whose turn it is.
    line_next: Cell<bool>,
}

/// The queue, as others see it.
#[derive(Clone)]
pub(super) struct Stealers {
    made: Stealer<Work>,
    line: Stealer<Work>,
}

impl Queue {
    pub(super) fn new() -> Self {
        let (made, line) = (Deque::new_lifo(), Deque::new_fifo());
        let others = Stealers { made: made.stealer(), line: line.stealer() };
        Self { made, line, others, line_next: Cell::new(false) }
    }

    pub(super) fn stealers(&self) -> Stealers {
        self.others.clone()
    }

    /// What was made here.
    pub(super) fn push(&self, work: Work) {
        match work {
            Work::Fresh(_) => self.made.push(work),
            Work::Task(_) => self.line.push(work),
        }
    }

    /// Where what comes from elsewhere is put.
    pub(super) fn line(&self) -> &Deque<Work> {
        &self.line
    }

    pub(super) fn pop(&self) -> Option<Work> {
        let line_next = self.line_next.get();
        self.line_next.set(!line_next);
        if line_next {
            self.line.pop().or_else(|| self.made.pop())
        } else {
            self.made.pop().or_else(|| self.line.pop())
        }
    }

    /// What has waited longest, of the closures at least.
    pub(super) fn pop_oldest(&self) -> Option<Work> {
        if self.made.is_empty() { self.line.pop() } else { until_known(|| self.others.made.steal()) }
    }

    pub(super) fn len(&self) -> usize {
        self.made.len() + self.line.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.made.is_empty() && self.line.is_empty()
    }
}

impl Stealers {
    pub(super) fn len(&self) -> usize {
        self.made.len() + self.line.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.made.is_empty() && self.line.is_empty()
    }

    /// Half of one side, in one piece: those who were started one after the other will have to do with each other. One of
    /// them to be run, the others into the thief's queue.
    pub(super) fn steal_into(&self, thief: &Queue) -> Option<Work> {
        let from = |side: &Stealer<Work>| {
            if side.is_empty() {
                return None;
            }
            until_known(|| side.steal_batch_with_limit_and_pop(&thief.line, usize::MAX))
        };
        from(&self.made).or_else(|| from(&self.line))
    }
}
