//! The ring against `VecDeque`, and its memory against its invariants.

use super::super::ring::Ring;
use super::Random;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn push<T>(ring: &mut Ring<T>, cap: usize, value: T) {
    let value = std::mem::ManuallyDrop::new(value);
    // SAFETY: the value is given away.
    unsafe { ring.push(cap, &raw const *value) };
}

fn pop<T>(ring: &mut Ring<T>) -> Option<T> {
    let mut room = std::mem::MaybeUninit::uninit();
    (ring.len() > 0).then(|| {
        // SAFETY: the ring is not empty.
        unsafe {
            drop(ring.pop(room.as_mut_ptr()));
            room.assume_init()
        }
    })
}

/// Random pushes and pops, in waves, so that blocks come and go.
fn like_a_deque<T: Clone + PartialEq + std::fmt::Debug>(cap: usize, make: impl Fn(usize) -> T) {
    let mut ring = Ring::new();
    let mut deque = VecDeque::new();
    let mut random = Random(1);
    for i in 0..if cfg!(miri) { 500 } else { 20_000 } {
        let filling = i / 1000 % 2 == 0;
        if random.below(4) < if filling { 3 } else { 1 } && deque.len() < cap {
            push(&mut ring, cap, make(i));
            deque.push_back(make(i));
        } else {
            assert_eq!(pop(&mut ring), deque.pop_front());
        }
        assert_eq!(ring.len(), deque.len());
    }
}

#[test]
fn is_a_queue() {
    for cap in [1, 2, 3, 7, 64, 1000, usize::MAX] {
        like_a_deque(cap, |i| i);
        like_a_deque(cap, |i| i.to_string());
        like_a_deque(cap, |_| ());
        like_a_deque(cap, |i| [i as u8; 3]);
    }
    #[derive(Clone, Debug, PartialEq)]
    #[repr(align(256))]
    struct Overaligned(usize);
    like_a_deque(usize::MAX, Overaligned);
    like_a_deque(100, |i| [i; 4096]);
}

#[test]
fn values_are_aligned() {
    #[repr(align(256))]
    struct Overaligned(#[expect(dead_code, reason = "only its address matters")] u8);
    let mut ring = Ring::new();
    for _ in 0..100 {
        push(&mut ring, usize::MAX, Overaligned(0));
        let mut room = std::mem::MaybeUninit::<Overaligned>::uninit();
        assert_eq!(room.as_mut_ptr().addr() % 256, 0);
        // SAFETY: the ring is not empty. A misaligned slot would be caught by the copy's debug assertion.
        drop(unsafe { ring.pop(room.as_mut_ptr()) });
    }
}

#[test]
fn a_burst_is_given_back() {
    let mut ring = Ring::new();
    for i in 0..100_000_usize {
        push(&mut ring, usize::MAX, i);
    }
    assert_eq!(ring.next_block(usize::MAX), 100_000 / 16, "blocks grow with what they follow");
    assert!(ring.next_block(usize::MAX - 1) > 10_000, "and faster where a capacity limits them");
    while pop(&mut ring).is_some() {}
    // What is left is at most a first block: the next value needs one of the smallest size.
    assert!(ring.next_block(usize::MAX) <= 2 * 128, "{}", ring.next_block(usize::MAX));
}

#[test]
fn what_is_behind_a_panicking_drop_leaks() {
    struct Loud(Arc<AtomicUsize>, bool);
    impl Drop for Loud {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
            assert!(!self.1, "loud");
        }
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let mut ring = Ring::new();
    for i in 0..1000 {
        push(&mut ring, usize::MAX, Loud(dropped.clone(), i == 500));
    }
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(ring)));
    assert!(panicked.is_err());
    assert_eq!(dropped.load(Ordering::Relaxed), 501, "as in crossbeam-channel; nothing is dropped while unwinding");
}
