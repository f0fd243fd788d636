//! The models of operations that are awaited: a task on its executor, which polls, changes its waker and drops its futures,
//! against one or two threads.

use super::models::{model, poll_once};
use crate::{Receiver, RecvError, Sender, bounded, select_async};
use loom::future::block_on;
use loom::thread;
use std::pin::pin;
use std::task::Poll;

/// A task that waits is woken by a send, whenever it comes.
fn recv_send(cap: usize) {
    model(move || {
        let (tx, rx) = bounded(cap);
        let sender = thread::spawn(move || tx.send(7));
        assert_eq!(block_on(rx.recv_async()), Ok(7));
        assert_eq!(sender.join().unwrap(), Ok(()));
    });
}

#[test]
fn recv_send_0() {
    recv_send(0);
}

#[test]
fn recv_send_1() {
    recv_send(1);
}

/// The same the other way round, and behind a full buffer.
#[test]
fn send_recv() {
    for cap in [0, 1] {
        model(move || {
            let (tx, rx) = bounded(cap);
            if cap == 1 {
                tx.send(1).unwrap();
            }
            let receiver = thread::spawn(move || (rx.recv(), (cap == 1).then(|| rx.recv())));
            assert_eq!(block_on(tx.send_async(2)), Ok(()));
            let (first, second) = receiver.join().unwrap();
            assert_eq!(second.unwrap_or(first), Ok(2));
        });
    }
}

/// A task that waits is released by a close.
#[test]
fn recv_close() {
    model(|| {
        let (tx, rx) = bounded::<i32>(0);
        let closer = thread::spawn(move || drop(tx));
        assert_eq!(block_on(rx.recv_async()), Err(RecvError));
        closer.join().unwrap();
    });
}

/// A receive is dropped while a sender hands it a value: the value is the next receiver's, or still the sender's.
#[test]
fn recv_dropped_send() {
    model(|| {
        let (tx, rx) = bounded(0);
        let _keep = tx.clone();
        let sender = thread::spawn(move || tx.try_send(7).is_ok());
        let polled = poll_once(pin!(rx.recv_async()));
        let sent = sender.join().unwrap();
        match polled {
            Poll::Ready(value) => assert_eq!((value, sent), (Ok(7), true)),
            Poll::Pending => assert_eq!(rx.try_recv().is_ok(), sent),
        }
    });
}

/// The same with a receiver that comes behind it: it gets the value.
#[test]
fn recv_dropped_send_recv() {
    model(|| {
        let (tx, rx) = bounded(0);
        let keep = tx.clone();
        let sender = thread::spawn(move || tx.send(7));
        let second = rx.clone();
        let receiver = thread::spawn(move || second.recv());
        let polled = poll_once(pin!(rx.recv_async()));
        if polled.is_ready() {
            // It has the value, and nobody else comes.
            assert_eq!(sender.join().unwrap(), Ok(()));
            drop(keep);
            assert!(receiver.join().unwrap().is_err());
        } else {
            assert_eq!(receiver.join().unwrap(), Ok(7));
            assert_eq!(sender.join().unwrap(), Ok(()));
        }
    });
}

/// A receive is dropped while the channel is closed and a value is in it: the value is received, by somebody.
#[test]
fn recv_dropped_close() {
    model(|| {
        let (tx, rx) = bounded(1);
        let closer = thread::spawn(move || {
            tx.send(7).unwrap();
            tx.close();
        });
        let polled = poll_once(pin!(rx.recv_async()));
        match polled {
            Poll::Ready(value) => assert_eq!(value, Ok(7)),
            Poll::Pending => assert_eq!(rx.recv(), Ok(7)),
        }
        closer.join().unwrap();
        assert!(rx.recv().is_err());
    });
}

/// A send is dropped while a receiver takes its value: received or dropped, and in the second case nobody gets it.
#[test]
fn send_dropped_recv() {
    model(|| {
        let (tx, rx) = bounded(0);
        let _keep = rx.clone();
        let receiver = thread::spawn(move || rx.try_recv());
        let value = std::sync::Arc::new(());
        let polled = poll_once(pin!(tx.send_async(value.clone())));
        let received = receiver.join().unwrap();
        assert!(polled.is_pending() || received.is_ok());
        assert_eq!(std::sync::Arc::strong_count(&value), if received.is_ok() { 2 } else { 1 });
    });
}

/// Polled with one waker, then with another, while a value is sent: the second is woken, or finds it.
#[test]
fn waker_changed_send() {
    model(|| {
        let (tx, rx) = bounded(0);
        let sender = thread::spawn(move || tx.send(7));
        let mut receive = pin!(rx.recv_async());
        let received = match poll_once(receive.as_mut()) {
            Poll::Ready(received) => received,
            Poll::Pending => block_on(receive),
        };
        assert_eq!(received, Ok(7));
        assert_eq!(sender.join().unwrap(), Ok(()));
    });
}

/// A reservation is given up while a receiver comes: the receiver is the next sender's.
#[test]
fn reserve_dropped_recv() {
    model(|| {
        let (tx, rx) = bounded(0);
        let receiver = thread::spawn(move || rx.recv());
        if let Poll::Ready(permit) = poll_once(pin!(tx.reserve())) {
            drop(permit);
        }
        tx.send(7).unwrap();
        assert_eq!(receiver.join().unwrap(), Ok(7));
    });
}

/// A permit is redeemed for a receiver that has been waiting for it.
#[test]
fn reserve_recv() {
    model(|| {
        let (tx, rx) = bounded(0);
        let receiver = thread::spawn(move || rx.recv());
        block_on(tx.reserve()).unwrap().send(7).unwrap();
        assert_eq!(receiver.join().unwrap(), Ok(7));
    });
}

async fn recv_either(a: &Receiver<i32>, b: &Receiver<i32>) -> i32 {
    select_async! {
        recv(a) -> value => value.unwrap(),
        recv(b) -> value => value.unwrap(),
    }
}

/// A select that waits as a task takes one value from either channel, and none twice.
#[test]
fn select_two_senders() {
    model(|| {
        let (tx_a, a) = bounded(0);
        let (tx_b, b) = bounded(0);
        let _keep = (tx_a.clone(), tx_b.clone());
        let one = thread::spawn(move || tx_a.send(1).unwrap());
        let other = thread::spawn(move || tx_b.send(2).unwrap());
        assert_eq!(block_on(async { recv_either(&a, &b).await + recv_either(&a, &b).await }), 3);
        one.join().unwrap();
        other.join().unwrap();
    });
}

/// It is dropped while one of them is handing its value over: the value goes back, or is still the sender's.
#[test]
fn select_dropped_send() {
    model(|| {
        let (tx, a) = bounded(0);
        let (_tx_b, b) = bounded(0);
        let _keep = tx.clone();
        let sender = thread::spawn(move || tx.try_send(7).is_ok());
        let polled = poll_once(pin!(recv_either(&a, &b)));
        let sent = sender.join().unwrap();
        match polled {
            Poll::Ready(value) => assert_eq!((value, sent), (7, true)),
            Poll::Pending => assert_eq!(a.try_recv().is_ok(), sent),
        }
    });
}

/// It is polled with another waker while a value is sent.
#[test]
fn select_waker_changed_send() {
    model(|| {
        let (tx, a) = bounded(0);
        let (_tx_b, b) = bounded(0);
        let sender = thread::spawn(move || tx.send(7));
        let mut select = pin!(recv_either(&a, &b));
        let received = match poll_once(select.as_mut()) {
            Poll::Ready(received) => received,
            Poll::Pending => block_on(select),
        };
        assert_eq!(received, 7);
        assert_eq!(sender.join().unwrap(), Ok(()));
    });
}

/// A sending arm of a task is chosen, and the task is dropped before it has sent: the receiver is the next sender's.
#[test]
fn select_send_dropped_recv() {
    model(|| {
        let (tx, rx) = bounded(0);
        let (_tx_b, b) = bounded::<i32>(0);
        let receiver = thread::spawn(move || rx.recv());
        {
            let select = async |tx: &Sender<i32>| {
                select_async! {
                    recv(b) -> _ => panic!("nobody sends"),
                    send(tx, std::future::pending::<i32>().await) -> _ => panic!("there is nothing to send"),
                }
            };
            assert!(poll_once(pin!(select(&tx))).is_pending());
        }
        tx.send(7).unwrap();
        assert_eq!(receiver.join().unwrap(), Ok(7));
    });
}
