//! The channel's buffer against `VecDeque`. It is no public module, so its source is included.

#[path = "../../src/chan/ring.rs"]
#[allow(dead_code, reason = "the channel uses more of it")]
mod buffer;

use buffer::Ring;
use std::collections::VecDeque;
use std::fmt::Debug;
use std::mem::{ManuallyDrop, MaybeUninit};

/// So large that a few dozen fill a block and a second one is begun.
type Large = [usize; 64];

/// Pushes and pops as the bytes say: the first two are the values and the capacity, then each is a run of pushes or of pops.
pub fn ring(bytes: &[u8]) {
    let [kind, cap, rest @ ..] = bytes else { return };
    let cap = usize::from(*cap);
    match kind % 5 {
        0 => like_a_deque(rest, cap * 8 + 1, |i| [i; 64] as Large),
        1 => like_a_deque(rest, usize::MAX, |i| [i; 64] as Large),
        2 => like_a_deque(rest, usize::MAX, |i| i),
        // The leak detector counts these.
        3 => like_a_deque(rest, cap + 1, Box::new),
        _ => like_a_deque(rest, cap + 1, |_| ()),
    }
}

fn like_a_deque<T: PartialEq + Debug>(bytes: &[u8], cap: usize, make: impl Fn(usize) -> T) {
    let (mut ring, mut deque, mut next) = (Ring::new(), VecDeque::new(), 0);
    for byte in bytes {
        for _ in 0..=byte / 2 {
            if byte % 2 == 0 && deque.len() < cap {
                let value = ManuallyDrop::new(make(next));
                // SAFETY: the value is given away.
                unsafe { ring.push(cap, &raw const *value) };
                deque.push_back(make(next));
                next += 1;
            } else if byte % 2 == 1 {
                let mut room = MaybeUninit::uninit();
                // SAFETY: what is popped is initialised, and popped only if there is one.
                let popped = (ring.len() > 0).then(|| unsafe {
                    drop(ring.pop(room.as_mut_ptr()));
                    room.assume_init()
                });
                assert_eq!(popped, deque.pop_front());
            }
            assert_eq!(ring.len(), deque.len());
        }
    }
}
