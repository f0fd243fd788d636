//! Making channels: capacities that fit, capacities that do not, what a new channel says of itself.

mod common;

use common::panic_text;
use gochan::{Chan, Receiver, Sender, TrySendError, bounded, never, unbounded};

const TOO_LARGE: &str = "makechan: size out of range";

#[test]
fn a_new_channel_is_empty_and_has_its_capacity() {
    for cap in [0, 1, 2, 10, 1000] {
        let (tx, rx) = bounded::<String>(cap);
        assert_eq!((tx.len(), tx.capacity()), (0, Some(cap)));
        assert_eq!((rx.len(), rx.capacity()), (0, Some(cap)));
        assert!(rx.is_empty());
        assert_eq!(tx.is_full(), cap == 0);
        assert!(!tx.is_closed());

        let chan = Chan::<String>::new(cap);
        assert_eq!((chan.len(), chan.cap()), (0, cap));
    }
    let (tx, rx) = unbounded::<String>();
    assert_eq!((tx.len(), tx.capacity(), tx.is_full()), (0, None, false));
    assert_eq!((rx.len(), rx.capacity(), rx.is_full()), (0, None, false));
}

#[test]
fn a_capacity_beyond_the_address_space_panics() {
    let most = isize::MAX as usize / 8;
    // Allowed, since nothing is allocated before it is used.
    assert_eq!(bounded::<u64>(most).0.capacity(), Some(most));
    assert_eq!(panic_text(|| bounded::<u64>(most + 1)), TOO_LARGE);
    // The product overflows a word.
    assert_eq!(panic_text(|| bounded::<u64>(1 << (usize::BITS - 2))), TOO_LARGE);
    assert_eq!(panic_text(|| bounded::<u64>(usize::MAX)), TOO_LARGE);
    assert_eq!(panic_text(|| bounded::<u8>(usize::MAX)), TOO_LARGE);
    assert_eq!(panic_text(|| Chan::<u64>::new(most + 1)), TOO_LARGE);
}

#[test]
fn a_value_of_size_zero_fits_any_capacity() {
    for cap in [1 << 20, isize::MAX as usize, usize::MAX - 1] {
        let (tx, rx) = bounded::<()>(cap);
        assert_eq!(tx.capacity(), Some(cap));
        for _ in 0..1000 {
            tx.try_send(()).unwrap();
        }
        assert_eq!(rx.len(), 1000);
        assert_eq!(rx.try_iter().count(), 1000);
    }
    assert!(bounded::<()>(usize::MAX).0.capacity().is_some(), "bounded stays bounded");
}

#[test]
fn a_channel_of_units_is_a_semaphore() {
    // Two may hold it; a third has to wait until one lets go. Slots are used many times over.
    let (acquire, release) = bounded(2);
    for _ in 0..100 {
        acquire.try_send(()).unwrap();
        acquire.try_send(()).unwrap();
        assert_eq!(acquire.try_send(()), Err(TrySendError::Full(())));
        assert_eq!(acquire.len(), 2);
        release.try_recv().unwrap();
        acquire.try_send(()).unwrap();
        assert_eq!(release.try_iter().count(), 2);
    }
}

#[test]
fn nil_channels_can_be_constants() {
    const NEVER: Receiver<u8> = never();
    static SENDER: Sender<u8> = Sender::never();
    static NIL: Chan<u8> = Chan::nil();
    assert_eq!((NEVER.len(), NEVER.capacity()), (0, Some(0)));
    assert_eq!((SENDER.len(), SENDER.capacity()), (0, Some(0)));
    assert_eq!((NIL.len(), NIL.cap()), (0, 0));
}
