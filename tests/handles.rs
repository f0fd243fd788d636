//! Handles: what they count, when the last of a kind goes, weak ones, and telling channels apart.

mod common;

use common::watchdog;
use gochan::{Chan, Receiver, Sender, TryRecvError, bounded, never, unbounded};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

#[test]
fn counts() {
    let (tx, rx) = bounded::<u8>(1);
    assert_eq!((tx.sender_count(), tx.receiver_count(), rx.sender_count(), rx.receiver_count()), (1, 1, 1, 1));
    let (tx2, rx2, rx3) = (tx.clone(), rx.clone(), rx.clone());
    assert_eq!((rx.sender_count(), rx.receiver_count()), (2, 3));
    drop((tx2, rx2));
    assert_eq!((rx.sender_count(), rx.receiver_count()), (1, 2));
    let (weak_tx, weak_rx) = (tx.downgrade(), rx.downgrade());
    assert_eq!((rx.sender_count(), rx.receiver_count()), (1, 2), "weak ones do not count");
    let upgraded = (weak_tx.upgrade(), weak_rx.upgrade());
    assert_eq!((rx.sender_count(), rx.receiver_count()), (2, 3));
    drop(upgraded);
    drop((rx, rx3));
    assert_eq!((tx.sender_count(), tx.receiver_count()), (1, 0));
    assert_eq!((never::<u8>().sender_count(), Sender::<u8>::never().receiver_count()), (0, 0));
}

#[test]
fn weak_handles_keep_nothing_open() {
    let (tx, rx) = unbounded();
    let (weak_tx, weak_rx) = (tx.downgrade(), rx.downgrade());
    weak_tx.upgrade().unwrap().send(1).unwrap();
    drop(tx);
    assert!(weak_tx.upgrade().is_none() && weak_tx.clone().upgrade().is_none());
    assert_eq!((rx.is_closed(), rx.recv(), rx.try_recv()), (true, Ok(1), Err(TryRecvError::Disconnected)));
    assert!(weak_rx.upgrade().is_some_and(|same| same.same_channel(&rx)));
    drop(rx);
    assert!(weak_rx.upgrade().is_none());
}

#[test]
fn a_weak_receiver_keeps_no_values() {
    let value = std::sync::Arc::new(());
    let (tx, rx) = unbounded();
    let weak = rx.downgrade();
    tx.send(value.clone()).unwrap();
    drop(rx);
    assert_eq!(std::sync::Arc::strong_count(&value), 1);
    assert!(weak.upgrade().is_none() && tx.send(value.clone()).is_err());
}

#[test]
fn weak_handles_of_a_nil_channel_are_nil() {
    let (tx, rx) = (Sender::<u8>::never(), never::<u8>());
    assert!(tx.downgrade().upgrade().unwrap().same_channel(&tx));
    assert!(rx.downgrade().upgrade().unwrap().same_channel(&rx));
}

#[test]
fn an_upgrade_races_with_the_last_drop() {
    // It yields a handle that works, or none; never one of a channel that was closed by the drop.
    watchdog(|| {
        for _ in 0..2000 {
            let (tx, rx) = bounded(1);
            let weak = tx.downgrade();
            let dropper = thread::spawn(move || drop(tx));
            if let Some(tx) = weak.upgrade() {
                assert_eq!(tx.send(1), Ok(()));
                drop(tx);
                assert_eq!(rx.recv(), Ok(1));
            }
            assert!(rx.recv().is_err());
            dropper.join().unwrap();
        }
    });
}

#[test]
fn handles_are_made_and_dropped_while_values_flow() {
    watchdog(|| {
        let (tx, rx) = bounded(4);
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    drop((tx.clone(), rx.clone(), tx.downgrade().upgrade(), rx.downgrade().upgrade()));
                }
            });
            scope.spawn(|| (0..5000).for_each(|i| tx.clone().send(i).unwrap()));
            (0..5000).for_each(|i| assert_eq!(rx.clone().recv(), Ok(i)));
            stop.store(true, Ordering::Relaxed);
        });
        assert_eq!((tx.sender_count(), tx.receiver_count()), (1, 1));
    });
}

#[test]
fn same_channel() {
    let (tx, rx) = bounded::<u8>(0);
    let (other_tx, other_rx) = bounded::<u8>(0);
    assert!(tx.same_channel(&tx.clone()) && rx.same_channel(&rx.clone()));
    assert!(!tx.same_channel(&other_tx) && !rx.same_channel(&other_rx));
    assert!(!tx.same_channel(&Sender::never()) && Sender::<u8>::never().same_channel(&Sender::never()));
    assert!(!rx.same_channel(&never()) && never::<u8>().same_channel(&never()));
}

#[test]
fn closed_by_the_last_of_either_kind() {
    let (tx, rx) = bounded::<u8>(1);
    let more = tx.clone();
    drop(tx);
    assert!(!rx.is_closed());
    drop(more);
    assert!(rx.is_closed());

    let (tx, rx) = bounded::<u8>(1);
    let more: Receiver<u8> = rx.clone();
    drop(rx);
    assert_eq!(tx.try_send(1), Ok(()));
    drop(more);
    assert!(tx.is_closed() && tx.try_send(2).is_err());
}

#[test]
fn a_chan_is_one_of_each() {
    let chan = Chan::<u8>::new(1);
    let rx = chan.receiver();
    assert_eq!((rx.sender_count(), rx.receiver_count()), (1, 2));
    let copy = chan.clone();
    assert_eq!((rx.sender_count(), rx.receiver_count()), (2, 3));
    drop((copy, chan));
    assert!(rx.is_closed());
}

#[test]
fn debug_shows_no_value() {
    // So nothing has to be `Debug`, and nothing is locked.
    struct Opaque;
    let (tx, rx) = bounded::<Opaque>(1);
    assert_eq!(format!("{tx:?} {rx:?}"), "Sender { .. } Receiver { .. }");
    assert_eq!(format!("{:?} {:?}", tx.downgrade(), rx.downgrade()), "WeakSender { .. } WeakReceiver { .. }");
    assert_eq!(format!("{:?} {:?} {:?}", rx.iter(), rx.try_iter(), rx.clone().into_iter()), {
        "Iter { .. } TryIter { .. } IntoIter { .. }"
    });
    assert_eq!(format!("{:?}", rx.drain()), "Drain { len: 0, .. }");
    assert_eq!(format!("{:?}", tx.try_send(Opaque).and(tx.try_send(Opaque))), "Err(Full(..))");
}
