//! The goroutines of a worker that are ready, in the order of their turns: Go's runq, from which nobody steals.
//!
//! Invariant: the ring has the first of them. What is in `rest` comes behind, and there is something only while the ring is full.

use super::g::G;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ptr;

/// A power of two.
const RING: usize = 128;

pub(super) struct Ready {
    ring: [Cell<*const G>; RING],
    /// Of the first, and of the next that comes: they go on counting.
    head: Cell<usize>,
    tail: Cell<usize>,
    rest: RefCell<VecDeque<*const G>>,
}

impl Ready {
    pub(super) fn new() -> Self {
        Self {
            ring: [const { Cell::new(ptr::null()) }; RING],
            head: Cell::new(0),
            tail: Cell::new(0),
            rest: RefCell::default(),
        }
    }

    #[inline(always)]
    fn slot(&self, number: usize) -> &Cell<*const G> {
        &self.ring[number % RING]
    }

    /// How many of them are in the ring: all, unless that is full.
    #[inline(always)]
    pub(super) fn in_ring(&self) -> usize {
        self.tail.get().wrapping_sub(self.head.get())
    }

    #[inline(always)]
    pub(super) fn is_empty(&self) -> bool {
        self.in_ring() == 0
    }

    pub(super) fn len(&self) -> usize {
        self.in_ring() + self.rest.borrow().len()
    }

    #[inline(always)]
    pub(super) fn push_back(&self, g: *const G) {
        if self.in_ring() == RING {
            return self.push_rest(g);
        }
        let tail = self.tail.get();
        self.slot(tail).set(g);
        self.tail.set(tail.wrapping_add(1));
    }

    #[inline(always)]
    pub(super) fn pop_front(&self) -> Option<*const G> {
        let many = self.in_ring();
        if many == 0 {
            return None;
        }
        let head = self.head.get();
        let first = self.slot(head).get();
        self.head.set(head.wrapping_add(1));
        if many == RING {
            self.move_up();
        }
        Some(first)
    }

    /// Those who come next, if there are so many of them in the ring.
    pub(super) fn next_two(&self) -> Option<[*const G; 2]> {
        let head = self.head.get();
        (self.in_ring() >= 2).then(|| [head, head.wrapping_add(1)].map(|number| self.slot(number).get()))
    }

    #[inline(never)]
    fn push_rest(&self, g: *const G) {
        self.rest.borrow_mut().push_back(g);
    }

    /// There was room in the ring.
    #[inline(never)]
    fn move_up(&self) {
        let next = self.rest.borrow_mut().pop_front();
        next.into_iter().for_each(|g| self.push_back(g));
    }
}

#[cfg(test)]
mod tests {
    use super::{RING, Ready};
    use std::collections::VecDeque;
    use std::ptr;

    /// As a queue of any kind, whatever its length is.
    #[test]
    fn first_in_first_out() {
        let (ready, mut model) = (Ready::new(), VecDeque::new());
        let mut number = 0;
        for (pushed, popped) in
            [(1, 2), (RING - 1, 3), (200, 50), (5, 300), (RING, RING), (RING + 1, 1), (1, 500), (3, 1)]
        {
            for _ in 0..pushed {
                number += 1;
                ready.push_back(ptr::without_provenance(number));
                model.push_back(number);
            }
            for _ in 0..popped {
                let next = model.iter().take(2).copied().collect::<Vec<_>>();
                assert_eq!((ready.len(), ready.is_empty()), (model.len(), model.is_empty()));
                assert_eq!(
                    ready.next_two().map(|both| both.map(<*const _>::addr).to_vec()),
                    (next.len() == 2).then_some(next)
                );
                assert_eq!(ready.pop_front().map(<*const _>::addr), model.pop_front());
            }
        }
    }
}
