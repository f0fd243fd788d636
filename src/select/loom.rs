//! The models of select: every interleaving of two or three threads on the real code. `scripts/loom` runs them.
//!
//! A select looks at its arms in the order in which they are written here. Deadlines have always passed: a select with
//! one queues itself and withdraws at once.

use crate::chan::tests::models::{model, poll_once};
use crate::{Receiver, Select, Sender, bounded, select};
use loom::future::block_on;
use loom::thread;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

const EXPIRED: Duration = Duration::ZERO;

fn recv_either(a: &Receiver<i32>, b: &Receiver<i32>) -> i32 {
    select! {
        recv(a) -> value => value.unwrap(),
        recv(b) -> value => value.unwrap(),
    }
}

/// One of two senders is served per select, and none twice.
fn two_channels(cap: usize) {
    model(move || {
        let (tx_a, a) = bounded(cap);
        let (tx_b, b) = bounded(cap);
        // The channels stay open.
        let _keep = (tx_a.clone(), tx_b.clone());
        let one = thread::spawn(move || tx_a.send(1).unwrap());
        let other = thread::spawn(move || tx_b.send(2).unwrap());
        assert_eq!(recv_either(&a, &b) + recv_either(&a, &b), 3);
        one.join().unwrap();
        other.join().unwrap();
        assert!(a.try_recv().is_err() && b.try_recv().is_err());
    });
}

#[test]
fn recv_or_recv_with_two_senders_0() {
    two_channels(0);
}

#[test]
fn recv_or_recv_with_two_senders_1() {
    two_channels(1);
}

/// A select that has fired on one channel does not take from the other, where it is queued still.
#[test]
fn the_losing_arm_takes_nothing() {
    model(|| {
        let (tx_a, a) = bounded(0);
        let (tx_b, b) = bounded(0);
        let one = thread::spawn(move || tx_a.send_timeout(1, EXPIRED).is_ok());
        let other = thread::spawn(move || tx_b.send_timeout(2, EXPIRED).is_ok());
        let got = select! {
            recv(a) -> value => value.ok(),
            recv(b) -> value => value.ok(),
            default(EXPIRED) => None,
        };
        let sent = usize::from(one.join().unwrap()) + usize::from(other.join().unwrap());
        assert_eq!(sent, usize::from(got.is_some_and(|value| value > 0)));
    });
}

/// Two selects that offer to each other, each with both directions: exactly one of the two meetings takes place.
#[test]
fn send_or_recv_twice_crossed() {
    model(|| {
        let (tx_a, rx_a) = bounded(0);
        let (tx_b, rx_b) = bounded(0);
        let theirs = thread::spawn({
            let (tx_b, rx_a) = (tx_b.clone(), rx_a.clone());
            move || {
                select! {
                    send(tx_b, 2) -> sent => { sent.unwrap(); 0 },
                    recv(rx_a) -> value => value.unwrap(),
                }
            }
        });
        let mine = select! {
            send(tx_a, 1) -> sent => { sent.unwrap(); 0 },
            recv(rx_b) -> value => value.unwrap(),
        };
        let theirs = theirs.join().unwrap();
        assert!((mine, theirs) == (0, 1) || (mine, theirs) == (2, 0), "{mine} {theirs}");
    });
}

/// The same on one channel: no select meets itself.
#[test]
fn send_or_recv_twice_on_one_channel() {
    model(|| {
        let (tx, rx) = bounded(0);
        let both = |tx: Sender<i32>, rx: Receiver<i32>, me: i32| {
            select! {
                send(tx, me) -> sent => { sent.unwrap(); 0 },
                recv(rx) -> value => value.unwrap(),
            }
        };
        let theirs = thread::spawn({
            let (tx, rx) = (tx.clone(), rx.clone());
            move || both(tx, rx, 2)
        });
        let mine = both(tx, rx, 1);
        let theirs = theirs.join().unwrap();
        assert!((mine, theirs) == (0, 1) || (mine, theirs) == (2, 0), "{mine} {theirs}");
    });
}

/// A parked select is released by a close of either channel, and sees the right one.
#[test]
fn select_close() {
    model(|| {
        let (tx_a, a) = bounded::<i32>(0);
        let (tx_b, b) = bounded::<i32>(0);
        let closer = thread::spawn(move || tx_b.close());
        let closed = select! {
            recv(a) -> _ => 'a',
            recv(b) -> value => { assert!(value.is_err()); 'b' },
        };
        assert_eq!(closed, 'b');
        assert!(closer.join().unwrap());
        drop(tx_a);
    });
}

/// The same for a sending arm, whose message is evaluated, and comes back.
#[test]
fn select_send_close() {
    model(|| {
        let (tx, rx) = bounded(0);
        let (_tx_b, b) = bounded::<i32>(0);
        let closer = thread::spawn(move || drop(rx));
        select! {
            recv(b) -> _ => panic!("nobody sends"),
            send(tx, 7) -> sent => assert_eq!(sent.unwrap_err().into_inner(), 7),
        }
        closer.join().unwrap();
    });
}

/// A default is taken only if there was a moment without a value: the value moves from one channel to the other, so that
/// one of them has it at every moment but the last. Whoever looks where it goes before it is there, then where it came from
/// when it has left, has found nothing in either, and must not believe it.
#[test]
fn default_is_exact() {
    for (looks_ahead, cap) in [(false, 1), (true, 1), (false, 2), (true, 2)] {
        model(move || {
            let (tx_a, a) = bounded(cap);
            let (tx_b, b) = bounded(2);
            tx_a.send(1).unwrap();
            let mover = thread::spawn({
                let a = a.clone();
                move || {
                    // First there, then no longer here: there is always one.
                    tx_b.send(2).unwrap();
                    a.try_recv()
                }
            });
            let ((first, sent_first), (second, sent_second)) =
                if looks_ahead { ((&b, 2), (&a, 1)) } else { ((&a, 1), (&b, 2)) };
            select! {
                recv(first) -> value => assert_eq!(value, Ok(sent_first)),
                recv(second) -> value => assert_eq!(value, Ok(sent_second)),
                default => panic!("there was a value at every moment"),
            }
            let _ = mover.join().unwrap();
        });
    }
}

/// A lazy sender meets a receiver that comes or is there, and the evaluation of its message panics: the receiver waits on,
/// and gets the next sender's value.
#[test]
fn lazy_send_panics() {
    for cap in [0, 1] {
        model(move || {
            let (tx, rx) = bounded(cap);
            let (_tx_b, b) = bounded::<i32>(0);
            let receiver = thread::spawn(move || rx.recv());
            let panicked = catch_unwind(AssertUnwindSafe(|| {
                select! {
                    recv(b) -> _ => panic!("nobody sends"),
                    send(tx, std::panic::resume_unwind(Box::new("evaluation"))) -> _ => {},
                }
            }));
            assert!(panicked.is_err());
            tx.send(7).unwrap();
            assert_eq!(receiver.join().unwrap(), Ok(7));
        });
    }
}

/// A lazy sender meets a receiver whose time is over: the value is received, or goes back to the channel; it is not lost.
#[test]
fn lazy_send_recv_timeout() {
    model(|| {
        let (tx, rx) = bounded(0);
        let (_tx_b, b) = bounded::<i32>(0);
        let other = rx.clone();
        let receiver = thread::spawn(move || other.recv_timeout(EXPIRED));
        let sent = select! {
            recv(b) -> _ => panic!("nobody sends"),
            send(tx, 7) -> sent => sent.is_ok(),
            default(EXPIRED) => false,
        };
        let received = receiver.join().unwrap();
        match (sent, received) {
            (true, Ok(7)) | (false, Err(_)) => assert!(rx.try_recv().is_err()),
            (true, Err(_)) => assert_eq!(rx.try_recv(), Ok(7)),
            other => panic!("{other:?}"),
        }
    });
}

/// A lazy sender has met a receiver; meanwhile a plain sender comes. Both values are received.
#[test]
fn lazy_send_and_plain_send() {
    model(|| {
        let (tx, rx) = bounded(0);
        let (_tx_b, b) = bounded::<i32>(0);
        let plain = thread::spawn({
            let tx = tx.clone();
            move || tx.send(1).unwrap()
        });
        let receiver = thread::spawn(move || rx.recv().unwrap() + rx.recv().unwrap());
        select! {
            recv(b) -> _ => panic!("nobody sends"),
            send(tx, 2) -> sent => sent.unwrap(),
        }
        plain.join().unwrap();
        assert_eq!(receiver.join().unwrap(), 3);
    });
}

/// A select receives from a select that sends: neither has its value or its room ready when it parks.
#[test]
fn both_sides_lazy() {
    model(|| {
        let (tx, rx) = bounded(0);
        let (_tx_b, b) = bounded::<i32>(0);
        let (tx_c, _c) = bounded::<i32>(0);
        let sender = thread::spawn(move || {
            select! {
                send(tx, 7) -> sent => sent.unwrap(),
                recv(b) -> _ => panic!("nobody sends"),
            }
        });
        select! {
            recv(rx) -> value => assert_eq!(value, Ok(7)),
            send(tx_c, 1) -> _ => panic!("nobody receives"),
        }
        sender.join().unwrap();
    });
}

/// What must not wait waits for a lazy sender all the same, and for nothing else.
#[test]
fn default_meets_a_lazy_sender() {
    model(|| {
        let (tx, rx) = bounded(0);
        let (_tx_b, b) = bounded::<i32>(0);
        let c = b.clone();
        let receiver = thread::spawn(move || {
            select! {
                recv(rx) -> value => value.ok(),
                recv(c) -> _ => panic!("nobody sends"),
                default => None,
            }
        });
        let sent = select! {
            send(tx, 7) -> sent => sent.is_ok(),
            recv(b) -> _ => panic!("nobody sends"),
            default(EXPIRED) => false,
        };
        assert_eq!(sent, receiver.join().unwrap() == Some(7));
    });
}

/// A selected send that is dropped leaves its receiver to the next sender.
#[test]
fn dropped_operation() {
    model(|| {
        let (tx, rx) = bounded(0);
        let receiver = thread::spawn(move || rx.recv());
        {
            let mut select = Select::new();
            select.send(&tx);
            drop(select.select());
        }
        tx.send(7).unwrap();
        assert_eq!(receiver.join().unwrap(), Ok(7));
    });
}

/// Who waits for readiness is told of a send, and of a close, and never sleeps on.
#[test]
fn watchers_send_close() {
    model(|| {
        let (tx_a, a) = bounded(1);
        let (tx_b, b) = bounded::<i32>(1);
        let sender = thread::spawn(move || tx_a.send(7).unwrap());
        let closer = thread::spawn(move || tx_b.close());
        let mut select = Select::new();
        let (first, second) = (select.recv(&a), select.recv(&b));
        match select.ready() {
            i if i == first => assert_eq!(a.try_recv(), Ok(7)),
            i if i == second => assert!(b.try_recv().is_err()),
            i => panic!("{i}"),
        }
        sender.join().unwrap();
        assert!(closer.join().unwrap());
    });
}

/// Receives from either, as a task that selects from a list.
async fn recv_listed(a: &Receiver<i32>, b: &Receiver<i32>) -> i32 {
    let mut select = Select::new_biased();
    let first = select.recv(a);
    select.recv(b);
    let operation = select.select_async().await;
    let from = if operation.index() == first { a } else { b };
    operation.recv(from).unwrap()
}

/// A task that selects from a list takes one value from either channel, and none twice; its waker changes meanwhile.
#[test]
fn listed_task_two_senders() {
    model(|| {
        let (tx_a, a) = bounded(0);
        let (tx_b, b) = bounded(0);
        let _keep = (tx_a.clone(), tx_b.clone());
        let one = thread::spawn(move || tx_a.send(1).unwrap());
        let other = thread::spawn(move || tx_b.send(2).unwrap());
        let mut first = pin!(recv_listed(&a, &b));
        let first = match poll_once(first.as_mut()) {
            Poll::Ready(value) => value,
            Poll::Pending => block_on(first),
        };
        assert_eq!(first + block_on(recv_listed(&a, &b)), 3);
        one.join().unwrap();
        other.join().unwrap();
    });
}

/// It is dropped while one of them hands its value over, or after it has selected: the value goes back, or is still the
/// sender's.
#[test]
fn listed_task_dropped_send() {
    model(|| {
        let (tx, a) = bounded(0);
        let (_tx_b, b) = bounded::<i32>(0);
        let _keep = tx.clone();
        let sender = thread::spawn(move || tx.try_send(7).is_ok());
        {
            let mut select = Select::new();
            select.recv(&a);
            select.recv(&b);
            // What it has selected is dropped as well.
            let _ = poll_once(pin!(select.select_async()));
        }
        assert_eq!(sender.join().unwrap(), a.try_recv().is_ok());
    });
}

/// A thread and a task that offer to each other, each with both directions: exactly one of the two meetings takes place.
#[test]
fn listed_task_and_thread_crossed() {
    model(|| {
        let (tx_a, rx_a) = bounded(0);
        let (tx_b, rx_b) = bounded(0);
        let theirs = thread::spawn({
            let (tx_b, rx_a) = (tx_b.clone(), rx_a.clone());
            move || {
                select! {
                    send(tx_b, 2) -> sent => { sent.unwrap(); 0 },
                    recv(rx_a) -> value => value.unwrap(),
                }
            }
        });
        let mut select = Select::new();
        let send = select.send(&tx_a);
        select.recv(&rx_b);
        let operation = block_on(select.select_async());
        let mine = if operation.index() == send {
            operation.send(&tx_a, 1).unwrap();
            0
        } else {
            operation.recv(&rx_b).unwrap()
        };
        let theirs = theirs.join().unwrap();
        assert!((mine, theirs) == (0, 1) || (mine, theirs) == (2, 0), "{mine} {theirs}");
    });
}

/// A task that waits for readiness is told of a send, and of a close; dropped, it has taken nothing.
#[test]
fn watching_task_send_close() {
    model(|| {
        let (tx_a, a) = bounded(1);
        let (tx_b, b) = bounded::<i32>(1);
        let sender = thread::spawn(move || tx_a.send(7).unwrap());
        let closer = thread::spawn(move || tx_b.close());
        let mut select = Select::new();
        let (first, second) = (select.recv(&a), select.recv(&b));
        let _ = poll_once(pin!(select.ready_async()));
        match block_on(select.ready_async()) {
            i if i == first => assert_eq!(a.try_recv(), Ok(7)),
            i if i == second => assert!(b.try_recv().is_err()),
            i => panic!("{i}"),
        }
        sender.join().unwrap();
        assert!(closer.join().unwrap());
    });
}
