//! The models: every interleaving, and every order of memory that the C11 model allows, of two or three threads.
//!
//! `scripts/loom` runs them. Each model says what it proves; those over [`Kind`] run with threads and with callbacks.
//! Deadlines have always passed here, so a timed operation queues itself and withdraws at once: the race that matters.

use super::super::handshake::Promised;
use super::super::hchan::{Hchan, Patience, Refusal};
use super::callback::{Arm, Callbacks, Queued, Select, start_recv};
use super::models::{model, model_of};
use super::{Kind, Threads, recv, send};
use crate::park::Outcome;
use crate::primitive::Arc;
use crate::{Receiver, Sender, TryRecvError, bounded};
use loom::thread::{self, JoinHandle};
use std::time::Duration;

fn chan(cap: usize) -> Arc<Hchan<usize>> {
    Arc::new(Hchan::makechan(cap))
}

fn with<R: 'static>(chan: &Arc<Hchan<usize>>, f: impl FnOnce(&Hchan<usize>) -> R + 'static) -> JoinHandle<R> {
    let chan = chan.clone();
    thread::spawn(move || f(&chan))
}

const EXPIRED: Patience = Patience::For(Duration::ZERO);

/// Hand-off and its wake-up are not lost, whoever comes first.
fn send_recv<K: Kind>(cap: usize) {
    let c = chan(cap);
    let sender = with(&c, |c| K::send(c, 7));
    assert_eq!(K::recv(&c), Some(7));
    assert_eq!(sender.join().unwrap(), Ok(()));
}

/// Two senders are both served, each value once; one of them may be parked behind the other.
fn two_sends_recv<K: Kind>(cap: usize) {
    let c = chan(cap);
    let a = with(&c, |c| K::send(c, 1));
    let b = with(&c, |c| K::send(c, 2));
    let got = [K::recv(&c), K::recv(&c)].map(Option::unwrap);
    assert!(got == [1, 2] || got == [2, 1]);
    assert_eq!((a.join().unwrap(), b.join().unwrap()), (Ok(()), Ok(())));
}

/// The value is received, or it comes back: never both, never neither.
fn send_close<K: Kind>(cap: usize) {
    let c = chan(cap);
    let sender = with(&c, |c| K::send(c, 7));
    assert!(c.closechan());
    let sent = sender.join().unwrap();
    match K::recv(&c) {
        Some(7) => assert_eq!(sent, Ok(())),
        None => assert_eq!(sent, Err(7)),
        other => panic!("received {other:?}"),
    }
}

/// A receiver is released by close, whether it is parked, about to park, or comes later; and what it then sees without
/// the lock is the closed channel.
fn recv_close<K: Kind>(cap: usize) {
    let c = chan(cap);
    let receiver = with(&c, |c| (K::recv(c), c.is_closed(), recv(c, Patience::Try)));
    assert!(c.closechan());
    assert_eq!(receiver.join().unwrap(), (None, true, Err(Refusal::Closed)));
}

/// One value, a receiver and a closer: the value is received, or comes back, and the receiver is released.
fn send_recv_close<K: Kind>(cap: usize) {
    let c = chan(cap);
    let sender = with(&c, |c| K::send(c, 7));
    let receiver = with(&c, |c| K::recv(c));
    c.closechan();
    match (sender.join().unwrap(), receiver.join().unwrap()) {
        (Ok(()), Some(7)) | (Err(7), None) => {}
        (Ok(()), None) => assert_eq!(recv(&c, Patience::Try), Ok(7), "sent into the buffer, received by nobody"),
        other => panic!("{other:?}"),
    }
}

/// More values than there are slots go round, in their order; a slot is used again when its value has been taken.
fn round<K: Kind>(cap: usize) {
    let c = chan(cap);
    let sender = with(&c, move |c| (0..=cap).for_each(|i| K::send(c, i).unwrap()));
    (0..=cap).for_each(|i| assert_eq!(K::recv(&c), Some(i)));
    sender.join().unwrap();
}

macro_rules! models_of_both_kinds {
    ($($name:ident: $model:ident($cap:literal);)+) => {$(
        mod $name {
            use super::*;

            #[test]
            fn threads() {
                model(|| $model::<Threads>($cap));
            }

            #[test]
            fn callbacks() {
                model(|| $model::<Callbacks>($cap));
            }
        }
    )+};
}

// A channel of capacity 2 has a lock for each end here.
models_of_both_kinds! {
    send_recv_0: send_recv(0);
    send_recv_1: send_recv(1);
    send_recv_2: send_recv(2);
    two_sends_recv_0: two_sends_recv(0);
    two_sends_recv_1: two_sends_recv(1);
    two_sends_recv_2: two_sends_recv(2);
    send_close_0: send_close(0);
    send_close_1: send_close(1);
    send_close_2: send_close(2);
    recv_close_0: recv_close(0);
    recv_close_1: recv_close(1);
    recv_close_2: recv_close(2);
    send_recv_close_0: send_recv_close(0);
    send_recv_close_1: send_recv_close(1);
    send_recv_close_2: send_recv_close(2);
    round_2: round(2);
}

/// More values than there are slots go round, and neither side ever waits, but tries again: what orders a slot's uses are the numbers alone.
#[test]
fn round_of_tries_2() {
    model(|| {
        let c = chan(2);
        let sender = with(&c, |c| {
            for i in 0..=2 {
                while send(c, i, Patience::Try).is_err() {
                    thread::yield_now();
                }
            }
        });
        for i in 0..=2 {
            let value = loop {
                match recv(&c, Patience::Try) {
                    Ok(value) => break value,
                    Err(_) => thread::yield_now(),
                }
            };
            assert_eq!(value, i);
        }
        sender.join().unwrap();
    });
}

/// A receive whose time is over races with the sender that dequeues it: the value is received or stays the sender's.
#[test]
fn recv_deadline_dequeue() {
    model(|| {
        let c = chan(0);
        let sender = with(&c, |c| send(c, 7, Patience::Try));
        let received = recv(&c, EXPIRED);
        match sender.join().unwrap() {
            Ok(()) => assert_eq!(received, Ok(7)),
            Err((Refusal::Blocked, 7)) => assert_eq!(received, Err(Refusal::Blocked)),
            other => panic!("{other:?}"),
        }
    });
}

/// The same the other way round, and into a buffer's freed slot.
#[test]
fn send_deadline_dequeue() {
    for cap in [0, 1] {
        model(move || {
            let c = chan(cap);
            if cap == 1 {
                send(&c, 1, Patience::Try).unwrap();
            }
            let receiver = with(&c, |c| recv(c, Patience::Try));
            let sent = send(&c, 2, EXPIRED);
            let first = receiver.join().unwrap();
            let second = recv(&c, Patience::Try);
            match (cap, sent.is_ok()) {
                (0, true) => assert_eq!((first, second), (Ok(2), Err(Refusal::Blocked))),
                (0, false) => assert_eq!((first, second), (Err(Refusal::Blocked), Err(Refusal::Blocked))),
                (_, true) => assert_eq!((first, second), (Ok(1), Ok(2))),
                (_, false) => assert_eq!((first, second), (Ok(1), Err(Refusal::Blocked))),
            }
        });
    }
}

/// Two receives, one of which gives up: the value goes to the other, or to the first, but somewhere.
#[test]
fn recv_deadline_two_receivers() {
    model(|| {
        let c = chan(0);
        let impatient = with(&c, |c| recv(c, EXPIRED));
        let sender = with(&c, |c| send(c, 7, Patience::Forever));
        match recv(&c, EXPIRED) {
            Ok(7) => assert_eq!(impatient.join().unwrap(), Err(Refusal::Blocked)),
            Err(Refusal::Blocked) => {
                if impatient.join().unwrap().is_err() {
                    assert_eq!(recv(&c, Patience::Forever), Ok(7));
                }
            }
            other => panic!("{other:?}"),
        }
        sender.join().unwrap().unwrap();
    });
}

/// The last sender goes while a receive is about to park: it is released.
#[test]
fn last_sender_drop_recv() {
    model(|| {
        let (tx, rx): (Sender<usize>, Receiver<usize>) = bounded(0);
        let tx2 = tx.clone();
        let a = thread::spawn(move || drop(tx));
        let b = thread::spawn(move || drop(tx2));
        assert!(rx.recv().is_err());
        a.join().unwrap();
        b.join().unwrap();
    });
}

/// The last receiver goes while a send is about to park, or has put its value into the buffer: it comes back, or is
/// dropped with the channel.
#[test]
fn last_receiver_drop_send() {
    for cap in [0, 1] {
        model(move || {
            let (tx, rx) = bounded(cap);
            let value = std::sync::Arc::new(());
            let receiver = thread::spawn(move || drop(rx));
            let sent = tx.send(value.clone());
            receiver.join().unwrap();
            assert_eq!(std::sync::Arc::strong_count(&value), if sent.is_ok() { 1 } else { 2 });
            if cap == 0 {
                assert!(sent.is_err());
            }
        });
    }
}

/// Who finds the channel closed because its last receiver has gone finds it empty too.
#[test]
fn last_receiver_drop_takes_the_buffer_along() {
    model(|| {
        let (tx, rx) = bounded(1);
        tx.send(1).unwrap();
        let looker = thread::spawn(move || {
            if tx.is_closed() {
                assert_eq!(tx.len(), 0);
            }
            tx
        });
        drop(rx);
        assert_eq!(looker.join().unwrap().len(), 0);
    });
}

/// A sender that a drain has let in finds the buffer as the drain has left it.
#[test]
fn drain_lets_a_sender_in() {
    model(|| {
        let c = chan(1);
        send(&c, 1, Patience::Try).unwrap();
        let sender = with(&c, move |c| {
            send(c, 2, Patience::Forever).unwrap();
            c.len()
        });
        let (_, ring) = c.take_all();
        assert_eq!(ring.len(), 1);
        assert_eq!(sender.join().unwrap(), 1);
        assert_eq!(recv(&c, Patience::Try), Ok(2));
    });
}

/// Refusals without the lock. A value is in the buffer, then the channel is closed: a try never says "empty".
#[test]
fn try_recv_close() {
    for cap in [1, 2] {
        model(move || {
            let (tx, rx) = bounded(cap);
            tx.send(7).unwrap();
            let closer = thread::spawn(move || tx.close());
            assert_eq!(rx.try_recv(), Ok(7));
            closer.join().unwrap();
            assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
        });
    }
}

/// A try that is refused as closed and empty has not passed over a value: what was sent before the close is received.
#[test]
fn try_recv_send_close() {
    for cap in [1, 2] {
        model(move || {
            let (tx, rx) = bounded(cap);
            let receiver = thread::spawn(move || {
                let received = rx.try_recv();
                (received, rx)
            });
            tx.send(7).unwrap();
            tx.close();
            match receiver.join().unwrap() {
                (Ok(7), _) => {}
                (Err(TryRecvError::Empty), rx) => assert_eq!(rx.try_recv(), Ok(7)),
                (other, _) => panic!("passed over a value: {other:?}"),
            }
        });
    }
}

/// Who sends and then tries to receive finds something, whoever else does the same.
#[test]
fn try_recv_after_own_send() {
    model(|| {
        let c = chan(2);
        let other = with(&c, |c| {
            send(c, 1, Patience::Try).unwrap();
            recv(c, Patience::Try).unwrap()
        });
        send(&c, 2, Patience::Try).unwrap();
        let mine = recv(&c, Patience::Try).unwrap();
        assert_eq!(mine + other.join().unwrap(), 3);
    });
}

/// Who receives a value has seen what its sender did before, whichever of them came first.
#[test]
fn a_send_is_seen_with_what_came_before() {
    for cap in [0, 1, 2] {
        model(move || {
            let c = chan(cap);
            let cell = Arc::new(loom::cell::UnsafeCell::new(0));
            let theirs = cell.clone();
            let sender = with(&c, move |c| {
                // SAFETY: nobody reads before the send.
                theirs.with_mut(|n| unsafe { *n = 1 });
                send(c, 7, Patience::Forever)
            });
            assert_eq!(recv(&c, Patience::Forever), Ok(7));
            // SAFETY: the writer has sent.
            assert_eq!(cell.with(|n| unsafe { *n }), 1);
            sender.join().unwrap().unwrap();
        });
    }
}

/// A closed channel's refusal without the lock shows what was done before the close.
#[test]
fn close_is_seen_with_what_came_before() {
    model(|| {
        let (tx, rx) = bounded::<()>(0);
        let cell = Arc::new(loom::cell::UnsafeCell::new(0));
        let theirs = cell.clone();
        let closer = thread::spawn(move || {
            // SAFETY: nobody reads before the close.
            theirs.with_mut(|n| unsafe { *n = 1 });
            tx.close();
            // Not dropped here, so that it is `close` that is seen.
            tx
        });
        assert!(rx.recv().is_err());
        // SAFETY: the writer has closed the channel.
        assert_eq!(cell.with(|n| unsafe { *n }), 1);
        drop(closer.join().unwrap());
    });
}

/// A receiver that was claimed by a sender without a value, and the sender's ticket.
fn paired(c: &Hchan<usize>) -> (Queued<usize>, u64) {
    let receiver = start_recv(c).unwrap_err();
    let lazy = Queued::<usize>::lazy();
    // SAFETY: the arm is not queued, since there is a receiver.
    match unsafe { c.offer(&lazy.sg) } {
        Some(Promised::Paired(ticket)) => (receiver, ticket),
        other => panic!("{other:?}"),
    }
}

/// A pair: its receiver gives up while its sender fills. The value is received or comes back to the channel.
#[test]
fn pair_revoked_fill() {
    model(|| {
        let c = chan(0);
        let (receiver, ticket) = paired(&c);
        let sender = with(&c, move |c| c.fill(ticket, 7));
        // SAFETY: the receive is ours and was queued on `c`.
        let cancelled = unsafe { c.cancel_recv(&receiver.sg) };
        assert_ne!(cancelled, Err(Refusal::Closed));
        assert_eq!(sender.join().unwrap(), Ok(()));
        assert_eq!(recv(&c, Patience::Try), Ok(7), "given back, or never delivered");
    });
}

/// The same with a closer: the sender keeps its value, or it is received, or comes back.
#[test]
fn pair_closed_fill() {
    model(|| {
        let c = chan(0);
        let (receiver, ticket) = paired(&c);
        let sender = with(&c, move |c| c.fill(ticket, 7));
        c.closechan();
        let filled = sender.join().unwrap();
        assert!(receiver.bell.has_rung());
        match receiver.done() {
            // SAFETY: completed, so there is a value.
            Some(Outcome::Completed) => assert_eq!((filled, unsafe { receiver.take() }), (Ok(()), 7)),
            Some(Outcome::Closed) => assert_eq!(filled, Err(7)),
            other => panic!("{other:?}"),
        }
    });
}

/// A value that comes back races with a receive and with close: it is received exactly once.
#[test]
fn give_back_recv_close() {
    model(|| {
        let c = chan(0);
        let receiver = start_recv(&c).unwrap_err();
        send(&c, 7, Patience::Try).unwrap();
        // SAFETY: the receive is ours and was queued on `c`; loom's threads end within the model.
        let cancel = with(&c, move |c| unsafe { c.cancel_recv(&receiver.sg) });
        let closer = with(&c, Hchan::closechan);
        let received = recv(&c, Patience::Forever);
        assert_eq!(cancel.join().unwrap(), Ok(()));
        assert!(closer.join().unwrap());
        match received {
            Ok(7) => assert_eq!(recv(&c, Patience::Try), Err(Refusal::Closed)),
            Err(Refusal::Closed) => assert_eq!(recv(&c, Patience::Try), Ok(7)),
            other => panic!("{other:?}"),
        }
    });
}

/// One select waits on two channels, a sender on each: exactly one of them claims it.
#[test]
fn select_is_claimed_once() {
    model(|| {
        let (a, b) = (chan(0), chan(0));
        let select = Select::<usize>::new(&[(&*a, Arm::Recv), (&*b, Arm::Recv)]);
        let theirs = b.clone();
        let other = thread::spawn(move || send(&theirs, 2, Patience::Try));
        let mine = send(&a, 1, Patience::Try);
        let theirs = other.join().unwrap();
        assert!(mine.is_ok() != theirs.is_ok(), "claimed by both or by none");
        assert!(select.bell.has_rung());
        assert_eq!(select.fired(), if mine.is_ok() { (0, 1) } else { (1, 2) });
        select.leave(&[&a, &b]);
    });
}

/// The real lock (in the models above it is loom's mutex).
#[test]
fn lock_excludes() {
    use crate::primitive::lock::Lock;
    model(|| {
        let lock = Arc::new(Lock::new(0));
        let theirs = lock.clone();
        let other = thread::spawn(move || *theirs.lock() += 1);
        *lock.lock() += 1;
        other.join().unwrap();
        assert_eq!(*lock.lock(), 2);
    });
}

/// A lock that has an owner excludes as any other: whoever comes when the owner is inside, about to be, or still thinks that it is
/// the owner.
#[test]
fn biased_lock_excludes() {
    use crate::primitive::lock::Lock;
    model_of(3, || {
        let lock = Arc::new(Lock::with_owner(0));
        // From the third time on it has an owner.
        (0..3).for_each(|_| *lock.lock() += 1);
        let theirs = lock.clone();
        let other = thread::spawn(move || *theirs.lock() += 1);
        (0..2).for_each(|_| *lock.lock() += 1);
        other.join().unwrap();
        assert_eq!(*lock.lock(), 6);
    });
}

/// Nor do two get it at once while it is still open who will own it.
#[test]
fn lock_without_owner_yet_excludes() {
    use crate::primitive::lock::Lock;
    model(|| {
        let lock = Arc::new(Lock::with_owner(0));
        let theirs = lock.clone();
        let other = thread::spawn(move || (0..3).for_each(|_| *theirs.lock() += 1));
        (0..2).for_each(|_| *lock.lock() += 1);
        other.join().unwrap();
        assert_eq!(*lock.lock(), 5);
    });
}
