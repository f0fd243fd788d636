//! Values that came back: a receive that had been handed a value and was given up returns it here.
//!
//! Invariant: the list is ordered by the number of the hand-off, so receives, which look here first, see such values in
//! the order in which they first left. Nodes are boxed and freed outside the channel's lock; the list is nearly always
//! empty and short otherwise, so insertion may walk it.

use std::mem::MaybeUninit;

/// A value on its way back, or (once it has been taken) just memory to free.
pub(super) struct Node<T> {
    number: u64,
    value: MaybeUninit<T>,
    next: Option<Box<Node<T>>>,
}

impl<T> Node<T> {
    pub(super) fn new(number: u64, value: T) -> Box<Self> {
        Box::new(Self { number, value: MaybeUninit::new(value), next: None })
    }

    /// The value of a node that is off the list and still has it.
    ///
    /// # Safety
    /// The value is the caller's, and is taken once.
    pub(super) unsafe fn take_value(&self) -> T {
        // SAFETY: the caller's contract; a node does not drop its value.
        unsafe { self.value.assume_init_read() }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn set_number(&mut self, number: u64) {
        self.number = number;
    }

    /// Hangs `others` behind a node that is off the list.
    pub(super) fn chain(&mut self, others: Option<Box<Self>>) {
        self.next = others;
    }
}

impl<T> Drop for Node<T> {
    fn drop(&mut self) {
        // A long chain must not recurse.
        let mut next = self.next.take();
        while let Some(mut node) = next {
            next = node.next.take();
        }
    }
}

/// The returned values of one channel.
pub(super) struct Returned<T> {
    first: Option<Box<Node<T>>>,
}

impl<T> Returned<T> {
    pub(super) const fn new() -> Self {
        Self { first: None }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(super) fn len(&self) -> usize {
        std::iter::successors(self.first.as_deref(), |node| node.next.as_deref()).count()
    }

    pub(super) fn insert(&mut self, mut node: Box<Node<T>>) {
        let mut at = &mut self.first;
        let number = if cfg!(gochan_bug = "returned_out_of_order") { 0 } else { node.number };
        while at.as_ref().is_some_and(|other| other.number < number) {
            at = &mut at.as_mut().expect("just looked").next;
        }
        node.next = at.take();
        *at = Some(node);
    }

    /// Moves the value that left first to `room`; the node is for the caller to free.
    ///
    /// # Safety
    /// `room` may be written.
    pub(super) unsafe fn pop(&mut self, room: *mut T) -> Option<Box<Node<T>>> {
        let mut node = self.first.take()?;
        self.first = node.next.take();
        // SAFETY: nodes on the list hold a value; this one is off it now, and a node does not drop its value.
        unsafe { std::ptr::copy_nonoverlapping(node.value.as_ptr(), room, 1) };
        Some(node)
    }
}

impl<T> Iterator for Returned<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        let mut node = self.first.take()?;
        self.first = node.next.take();
        // SAFETY: as in `pop`.
        Some(unsafe { node.take_value() })
    }
}

impl<T> Drop for Returned<T> {
    fn drop(&mut self) {
        // Should one panic, those behind it leak, as in a ring; their nodes are freed.
        while let Some(mut node) = self.first.take() {
            self.first = node.next.take();
            // SAFETY: nodes on the list hold a value; this one is off it now. Dropped where it lies.
            unsafe { node.value.assume_init_drop() };
        }
    }
}
