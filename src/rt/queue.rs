//! A worker's fresh work: closures that have not started, and tasks.
//!
//! Closures that were made here start depth first: those of one parent in order, but before those of older parents. A
//! goroutine that starts ten, each of which starts ten, would else have all of them at once before the first ends: a tree of a
//! million leaves took a million stacks, and half of the time went into their pages. Depth first it takes a few dozen, and what a
//! child touches is still in the cache of its parent's core. Everything else goes in order: tasks, which may be woken again
//! at once and would have their turn before all others, and what came from elsewhere. The two sides take turns. Once in a while
//! a closure of the oldest parent is next, so that none waits for ever; and others, who steal or are sent to, get those.
//!
//! The side is a stack, at whose bottom others steal. What was pushed since the worker last took something is a family, and is
//! turned over when it next does, so that the first of them lies on top.

use super::g::Fresh;
use super::runtime::until_known;
use super::worker::Work;
use crossbeam_deque::{Stealer, Worker as Deque};
use std::cell::{Cell, RefCell};

/// The queue, as its worker sees it.
pub(super) struct Queue {
    /// Closures that were made here.
    made: Deque<Work>,
    /// How many of them were, since one was last taken.
    unturned: Cell<usize>,
    /// Families among them: at most so many.
    families: Cell<usize>,
    /// Room to turn one over.
    turning: RefCell<Vec<Work>>,
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
        Self {
            made,
            unturned: Cell::new(0),
            families: Cell::new(0),
            turning: RefCell::default(),
            line,
            others,
            line_next: Cell::new(false),
        }
    }

    pub(super) fn stealers(&self) -> Stealers {
        self.others.clone()
    }

    /// What was made here.
    pub(super) fn push(&self, work: Work) {
        match work {
            Work::Fresh(_) => {
                self.unturned.set(self.unturned.get() + 1);
                self.made.push(work);
            }
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
            self.line.pop().or_else(|| self.pop_made())
        } else {
            self.pop_made().or_else(|| self.line.pop())
        }
    }

    fn pop_made(&self) -> Option<Work> {
        if self.made.is_empty() {
            self.unturned.set(0);
            self.families.set(0);
            return None;
        }
        let family = self.unturned.replace(0);
        if family > 0 {
            self.families.set(self.families.get() + 1);
        }
        if family > 1 {
            let mut turning = self.turning.borrow_mut();
            // Others may have taken some.
            turning.extend((0..family).map_while(|_| self.made.pop()));
            turning.drain(..).for_each(|work| self.made.push(work));
        }
        self.made.pop()
    }

    /// One of the oldest family, if there are several; else what is next.
    pub(super) fn pop_fairly(&self) -> Option<Work> {
        if self.families.get() > 1 { self.pop_oldest().or_else(|| self.pop()) } else { self.pop() }
    }

    /// One for somebody else: of the oldest family.
    pub(super) fn pop_oldest(&self) -> Option<Work> {
        if self.made.is_empty() { self.line.pop() } else { until_known(|| self.others.made.steal()) }
    }

    /// Shows closures that have not started, and has them in order as before: the `most` newest that were made here, and the
    /// others if they and the tasks among them are no more than that. Who looks meanwhile finds nothing: the caller wakes
    /// somebody if there is something for him.
    pub(super) fn each_fresh(&self, most: usize, mut see: impl FnMut(&Fresh)) {
        let mut show = |work: &Work| {
            if let Work::Fresh(fresh) = work {
                see(fresh);
            }
        };
        let newest: Vec<Work> = (0..most).map_while(|_| self.made.pop()).collect();
        newest.iter().rev().for_each(&mut show);
        newest.into_iter().rev().for_each(|work| self.made.push(work));
        let len = self.line.len();
        if len <= most {
            // Once round, so that they are in order again.
            for work in (0..len).map_while(|_| self.line.pop()) {
                show(&work);
                self.line.push(work);
            }
        }
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
