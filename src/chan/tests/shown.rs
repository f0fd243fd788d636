//! What a channel shows without its lock, while others send and receive: it is of one moment, so what never is is never seen.

use super::super::arm::{Dir, Selectable};
use super::super::handshake::Promised;
use super::super::hchan::{Hchan, Patience, Refusal};
use super::super::shown::OPAQUE;
use super::{recv, send};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

const ROUNDS: u32 = if cfg!(miri) { 100 } else { 100_000 };

/// Joint, split, and of several blocks.
const CAPACITIES: [usize; 4] = [1, 2, 16, 3000];

/// What one thread sees of a channel while another does something to it, round for round.
fn meanwhile(chan: &Hchan<u32>, act: impl Fn(u32) + Sync, see: impl Fn(&Hchan<u32>)) {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            (0..ROUNDS).for_each(&act);
            is_over.store(true, Ordering::Release);
        });
        while !is_over.load(Ordering::Acquire) {
            see(chan);
        }
    });
}

fn try_send(chan: &Hchan<u32>, value: u32) {
    send(chan, value, Patience::Try).unwrap();
}

fn force_send(chan: &Hchan<u32>, value: u32) {
    let mut oldest = 0;
    // SAFETY: numbers may be moved out and kept at once.
    unsafe { chan.force_send(&raw const value, &raw mut oldest) }.unwrap().0.fire();
}

/// In the middle of a section nothing is refused without the lock.
#[test]
fn nothing_is_told_of_half_a_section() {
    let chan = &Hchan::<u32>::makechan(1);
    assert_eq!(chan.refusal_to_receive(), Some(Refusal::Blocked));
    let word = chan.summary.fetch_or(OPAQUE, Ordering::Relaxed);
    assert_eq!(chan.refusal_to_receive(), None);
    chan.summary.store(word, Ordering::Relaxed);
    assert_eq!(chan.refusal_to_receive(), Some(Refusal::Blocked));
}

/// A thread that has waited for room finds the buffer empty: that is all that the receivers could do without it. But if one of them waits by now,
/// it has waited for this thread.
#[test]
fn a_buffer_that_was_emptied_is_all_that_can_happen() {
    let most = |chan: &Hchan<u32>| chan.activity().most;
    assert_eq!(most(&Hchan::makechan(1)), u64::MAX, "done in no time");
    let chan = &Hchan::makechan(16);
    (0..16).for_each(|value| try_send(chan, value));
    let before = chan.activity().happened;
    (0..16).for_each(|value| assert_eq!(recv(chan, Patience::Try), Ok(value)));
    assert_eq!(chan.activity().happened - before, most(chan));
    thread::scope(|scope| {
        let receiver = scope.spawn(|| recv(chan, Patience::Forever));
        while most(chan) != u64::MAX {
            thread::yield_now();
        }
        try_send(chan, 1);
        assert_eq!(receiver.join().unwrap(), Ok(1));
    });
}

#[test]
fn what_is_full_is_never_seen_otherwise() {
    for capacity in CAPACITIES {
        let chan = Hchan::makechan(capacity);
        (0..capacity as u32).for_each(|value| try_send(&chan, value));
        // Takes the oldest value out, and puts another one in.
        meanwhile(
            &chan,
            |value| force_send(&chan, value),
            |chan| {
                assert_eq!(chan.len(), capacity);
                assert!(chan.shown().is_readable());
                assert!(!chan.is_ready(Dir::Send));
                assert!(chan.is_ready(Dir::Recv));
                assert_eq!(send(chan, 0, Patience::Try), Err((Refusal::Blocked, 0)));
            },
        );
    }
}

#[test]
fn what_is_neither_full_nor_empty_is_never_seen_to_be() {
    for capacity in CAPACITIES.map(|capacity| capacity + 2) {
        let chan = Hchan::makechan(capacity);
        try_send(&chan, 0);
        let and_back = |value| {
            try_send(&chan, value);
            recv(&chan, Patience::Try).unwrap();
        };
        meanwhile(&chan, and_back, |chan| {
            let shown = chan.shown();
            assert!(shown.is_readable());
            assert!(shown.is_writable(capacity));
            assert!(shown.len().is_none_or(|len| (1..=2).contains(&len)), "{shown:?}");
        });
    }
}

/// Nor are slots that are reserved.
#[test]
fn what_is_reserved_is_never_seen_to_be_free() {
    for capacity in CAPACITIES.map(|capacity| capacity + 1) {
        let chan = Hchan::makechan(capacity);
        (1..capacity as u32).for_each(|value| try_send(&chan, value));
        assert_eq!(chan.promise(), Some(Promised::Reserved));
        meanwhile(
            &chan,
            |value| force_send(&chan, value),
            |chan| {
                assert_eq!(chan.len(), capacity - 1);
                assert!(!chan.is_ready(Dir::Send));
                assert_eq!(send(chan, 0, Patience::Try), Err((Refusal::Blocked, 0)));
            },
        );
        chan.release_reserved();
        try_send(&chan, 0);
    }
}
