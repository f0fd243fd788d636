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
//! turned over when it next does, so that the first of them lies on top. It has a lock, not a work-stealing deque: that takes a
//! fence whenever its owner takes one, and twice as many takes and pushes to turn a family over. A worker that is its
//! runtime's only one does not take it. Sections are a few
//! instructions, but for one turned over or stolen. Nothing is dropped under the lock, and no other lock is taken.

use super::g::Fresh;
use super::runtime::until_known;
use super::worker::Work;
use crate::primitive::Lock;
use crossbeam_deque::{Stealer, Worker as Deque};
use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Room for so many closures is kept when there are none.
const KEPT: usize = 1 << 15;

/// The queue, as its worker sees it.
pub(super) struct Queue {
    /// Closures that were made here.
    made: Arc<Made>,
    /// How many of them were, since one was last taken.
    unturned: Cell<usize>,
    /// Families among them: at most so many.
    families: Cell<usize>,
    /// Everything else, in order.
    line: Deque<Work>,
    others: Stealers,
    /// Whose turn it is.
    line_next: Cell<bool>,
}

/// The queue, as others see it.
#[derive(Clone)]
pub(super) struct Stealers {
    made: Arc<Made>,
    line: Stealer<Work>,
}

/// Closures, the one to start next last.
struct Made {
    closures: Lock<VecDeque<Fresh>>,
    /// Whose worker is its runtime's only one: nobody steals, ever.
    alone: bool,
    /// How many there are, for who looks without the lock.
    len: AtomicUsize,
}

impl Made {
    #[inline]
    fn locked<R>(&self, section: impl FnOnce(&mut VecDeque<Fresh>) -> R) -> R {
        let section = |closures: &mut VecDeque<Fresh>| {
            let result = section(closures);
            self.len.store(closures.len(), Ordering::Relaxed);
            result
        };
        if self.alone {
            // SAFETY: the worker's thread; thieves are sent away before they come here. No section has another in it.
            unsafe { self.closures.unshared(section) }
        } else {
            section(&mut self.closures.lock())
        }
    }

    #[inline]
    fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Queue {
    /// That of a worker which is its runtime's only one, or of one of several.
    pub(super) fn new(alone: bool) -> Self {
        let line = Deque::new_fifo();
        let made = Arc::new(Made { closures: Lock::new(VecDeque::new()), alone, len: AtomicUsize::new(0) });
        let others = Stealers { made: made.clone(), line: line.stealer() };
        Self { made, unturned: Cell::new(0), families: Cell::new(0), line, others, line_next: Cell::new(false) }
    }

    pub(super) fn is_alone(&self) -> bool {
        self.made.alone
    }

    pub(super) fn stealers(&self) -> Stealers {
        self.others.clone()
    }

    /// A closure that was made here.
    #[inline]
    pub(super) fn push(&self, fresh: Fresh) {
        self.unturned.set(self.unturned.get() + 1);
        self.made.locked(|closures| closures.push_back(fresh));
    }

    /// Where tasks are put, and what comes from elsewhere.
    pub(super) fn line(&self) -> &Deque<Work> {
        &self.line
    }

    pub(super) fn pop(&self) -> Option<Work> {
        let line_next = self.line_next.get();
        self.line_next.set(!line_next);
        let made = || self.pop_made(|_| true).map(Work::Fresh);
        if line_next { self.line.pop().or_else(made) } else { made().or_else(|| self.line.pop()) }
    }

    /// The closure that is next, if that is one which was made here, and a stack of this size is what it needs.
    pub(super) fn pop_made_for(&self, stack_size: usize) -> Option<Fresh> {
        if self.line.is_empty() { self.pop_made(|fresh| fresh.needs_stack(stack_size)) } else { None }
    }

    #[inline]
    fn pop_made(&self, is_wanted: impl FnOnce(&Fresh) -> bool) -> Option<Fresh> {
        let family = self.unturned.replace(0);
        if self.made.is_empty() {
            self.families.set(0);
            return None;
        }
        if family > 0 {
            self.families.set(self.families.get() + 1);
        }
        let mut room = None;
        let fresh = self.made.locked(|closures| {
            if family > 1 {
                turn_over(closures, family);
            }
            if !is_wanted(closures.back()?) {
                return None;
            }
            let fresh = closures.pop_back();
            if closures.is_empty() && closures.capacity() > KEPT {
                room = Some(std::mem::take(closures));
            }
            fresh
        });
        drop(room);
        fresh
    }

    /// One of the oldest family, if there are several; else what is next.
    pub(super) fn pop_fairly(&self) -> Option<Work> {
        if self.families.get() > 1 { self.pop_oldest().or_else(|| self.pop()) } else { self.pop() }
    }

    /// One for somebody else: of the oldest family.
    pub(super) fn pop_oldest(&self) -> Option<Work> {
        if self.made.is_empty() { self.line.pop() } else { self.made.locked(VecDeque::pop_front).map(Work::Fresh) }
    }

    /// Shows closures that have not started: the `most` newest that were made here, and the others if they and the tasks among them
    /// are no more than that. Who looks at those meanwhile finds nothing: the caller wakes somebody if there is something for him.
    pub(super) fn each_fresh(&self, most: usize, mut see: impl FnMut(&Fresh)) {
        self.made.locked(|closures| closures.range(closures.len().saturating_sub(most)..).for_each(&mut see));
        let len = self.line.len();
        if len <= most {
            // Once round, so that they are in order again.
            for work in (0..len).map_while(|_| self.line.pop()) {
                if let Work::Fresh(fresh) = &work {
                    see(fresh);
                }
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

/// The newest are in the order in which they were made; others may have taken some.
#[cold]
fn turn_over(closures: &mut VecDeque<Fresh>, family: usize) {
    let from = closures.len() - family.min(closures.len());
    closures.make_contiguous()[from..].reverse();
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
        let of_made = || {
            if self.made.alone || self.made.is_empty() {
                return None;
            }
            self.made.locked(|closures| {
                let mut half = closures.drain(..closures.len().div_ceil(2));
                let first = half.next().map(Work::Fresh);
                half.for_each(|fresh| thief.line.push(Work::Fresh(fresh)));
                first
            })
        };
        let of_line = || {
            if self.line.is_empty() {
                return None;
            }
            until_known(|| self.line.steal_batch_with_limit_and_pop(&thief.line, usize::MAX))
        };
        of_made().or_else(of_line)
    }
}
