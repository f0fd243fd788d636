//! Close: every operation on every kind of channel before and after, who is released, and the races.

mod common;

use common::{Census, Counted, wait_for_waiting, watchdog};
use gochan::{
    Chan, Receiver, RecvError, RecvTimeoutError, SendError, SendTimeoutError, Sender, TryRecvError, TrySendError,
    bounded, unbounded,
};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

/// What the values of the matrix are; the ones in its buffers and the ones that it sends.
#[derive(Debug)]
struct Cell(Counted);
const BUFFERED: usize = 1;
const SENT: usize = 2;

/// A channel with all its faces; Go's has a capacity.
struct Faces {
    tx: Sender<Cell>,
    rx: Receiver<Cell>,
    chan: Option<Chan<Cell>>,
    census: Census,
}

impl Faces {
    fn new(cap: Option<usize>, buffered: usize) -> Self {
        let census = Census::default();
        let chan = cap.map(Chan::new);
        let (tx, rx) = chan.as_ref().map_or_else(unbounded, |chan| (chan.sender(), chan.receiver()));
        for _ in 0..buffered {
            tx.try_send(Cell(census.value(BUFFERED))).unwrap();
        }
        Self { tx, rx, chan, census }
    }

    fn value(&self) -> Cell {
        Cell(self.census.value(SENT))
    }

    fn chan(&self) -> &Chan<Cell> {
        self.chan.as_ref().expect("a capacity")
    }
}

/// What came of an operation.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Came {
    Sent,
    /// The oldest value came back.
    Displaced,
    Got(usize),
    /// It would have to wait (longer), and a value is back where it came from.
    Refused,
    /// Closed, and a value is back where it came from.
    Closed,
    /// Go's way.
    Panicked,
    /// Iterators and drains end alike for all reasons.
    Ended,
}
use Came::{Closed, Displaced, Ended, Got, Panicked, Refused, Sent};

struct Operation {
    name: &'static str,
    run: fn(&Faces) -> Came,
    is_send: bool,
    is_of_chan: bool,
    /// What comes of it where it is impossible now; `None` if it waits.
    refused: Option<Came>,
    /// What comes of it on a closed channel (that is empty, for a receive).
    closed: Came,
}

/// A value that came back is the one that went in.
fn back(cell: Cell, came: Came) -> Came {
    assert_eq!(cell.0.id, SENT);
    came
}

fn panics_with(f: impl FnOnce() -> Came, text: &str) -> Came {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|panic| {
        assert_eq!(panic.downcast_ref(), Some(&text));
        Panicked
    })
}

const fn send(name: &'static str, refused: Option<Came>, closed: Came, run: fn(&Faces) -> Came) -> Operation {
    Operation { name, run, is_send: true, is_of_chan: matches!(closed, Panicked), refused, closed }
}

const fn recv(name: &'static str, refused: Option<Came>, closed: Came, run: fn(&Faces) -> Came) -> Operation {
    Operation { name, run, is_send: false, is_of_chan: false, refused, closed }
}

const fn of_chan(operation: Operation) -> Operation {
    Operation { is_of_chan: true, ..operation }
}

const SHORT: Duration = Duration::from_micros(50);

const OPERATIONS: [Operation; 21] = [
    send("send", None, Closed, |c| match c.tx.send(c.value()) {
        Ok(()) => Sent,
        Err(SendError(cell)) => back(cell, Closed),
    }),
    send("try_send", Some(Refused), Closed, |c| match c.tx.try_send(c.value()) {
        Ok(()) => Sent,
        Err(TrySendError::Full(cell)) => back(cell, Refused),
        Err(TrySendError::Disconnected(cell)) => back(cell, Closed),
    }),
    send("send_timeout", Some(Refused), Closed, |c| match c.tx.send_timeout(c.value(), SHORT) {
        Ok(()) => Sent,
        Err(SendTimeoutError::Timeout(cell)) => back(cell, Refused),
        Err(SendTimeoutError::Disconnected(cell)) => back(cell, Closed),
    }),
    send("send_timeout, for ever", None, Closed, |c| match c.tx.send_timeout(c.value(), Duration::MAX) {
        Ok(()) => Sent,
        Err(SendTimeoutError::Timeout(cell)) => back(cell, Refused),
        Err(SendTimeoutError::Disconnected(cell)) => back(cell, Closed),
    }),
    send("send_deadline", Some(Refused), Closed, |c| match c.tx.send_deadline(c.value(), Instant::now()) {
        Ok(()) => Sent,
        Err(SendTimeoutError::Timeout(cell)) => back(cell, Refused),
        Err(SendTimeoutError::Disconnected(cell)) => back(cell, Closed),
    }),
    send("force_send", Some(Refused), Closed, |c| match c.tx.force_send(c.value()) {
        Ok(None) => Sent,
        Ok(Some(cell)) if cell.0.id == BUFFERED => Displaced,
        Ok(Some(cell)) => back(cell, Refused),
        Err(SendError(cell)) => back(cell, Closed),
    }),
    send("send_many", None, Closed, |c| {
        let mut values = VecDeque::from([c.value()]);
        match c.tx.send_many(&mut values) {
            Ok(()) => Sent,
            Err(SendError(())) => back(values.pop_front().expect("not sent"), Closed),
        }
    }),
    send("Chan::send", None, Panicked, |c| {
        panics_with(
            || {
                c.chan().send(c.value());
                Sent
            },
            "send on closed channel",
        )
    }),
    send("Chan::try_send", Some(Refused), Panicked, |c| {
        panics_with(|| c.chan().try_send(c.value()).map_or(Refused, |()| Sent), "send on closed channel")
    }),
    recv("recv", None, Closed, |c| c.rx.recv().map_or(Closed, |cell| Got(cell.0.id))),
    recv("try_recv", Some(Refused), Closed, |c| match c.rx.try_recv() {
        Ok(cell) => Got(cell.0.id),
        Err(TryRecvError::Empty) => Refused,
        Err(TryRecvError::Disconnected) => Closed,
    }),
    recv("recv_timeout", Some(Refused), Closed, |c| match c.rx.recv_timeout(SHORT) {
        Ok(cell) => Got(cell.0.id),
        Err(RecvTimeoutError::Timeout) => Refused,
        Err(RecvTimeoutError::Disconnected) => Closed,
    }),
    recv("recv_timeout, for ever", None, Closed, |c| match c.rx.recv_timeout(Duration::MAX) {
        Ok(cell) => Got(cell.0.id),
        Err(RecvTimeoutError::Timeout) => Refused,
        Err(RecvTimeoutError::Disconnected) => Closed,
    }),
    recv("recv_deadline", Some(Refused), Closed, |c| match c.rx.recv_deadline(Instant::now()) {
        Ok(cell) => Got(cell.0.id),
        Err(RecvTimeoutError::Timeout) => Refused,
        Err(RecvTimeoutError::Disconnected) => Closed,
    }),
    recv("iter", None, Ended, |c| c.rx.iter().next().map_or(Ended, |cell| Got(cell.0.id))),
    recv("into_iter", None, Ended, |c| c.rx.clone().into_iter().next().map_or(Ended, |cell| Got(cell.0.id))),
    recv("try_iter", Some(Ended), Ended, |c| c.rx.try_iter().next().map_or(Ended, |cell| Got(cell.0.id))),
    recv("recv_many", None, Closed, |c| {
        let mut values = Vec::new();
        c.rx.recv_many(&mut values, 9);
        values.pop().map_or(Closed, |cell| Got(cell.0.id))
    }),
    of_chan(recv("Chan::recv", None, Closed, |c| c.chan().recv().map_or(Closed, |cell| Got(cell.0.id)))),
    of_chan(recv("Chan::try_recv", Some(Refused), Closed, |c| match c.chan().try_recv() {
        Ok(Some(cell)) => Got(cell.0.id),
        Ok(None) => Closed,
        Err(error) => {
            assert_eq!(error, TryRecvError::Empty);
            Refused
        }
    })),
    of_chan(recv("Chan::iter", None, Ended, |c| c.chan().iter().next().map_or(Ended, |cell| Got(cell.0.id)))),
];

/// Capacity (`None`: unbounded) and how many values are in the buffer.
const KINDS: [(Option<usize>, usize); 5] = [(Some(0), 0), (Some(1), 0), (Some(1), 1), (None, 0), (None, 1)];

/// What an operation comes to before close; `None` if it waits.
fn before_close(operation: &Operation, cap: Option<usize>, buffered: usize) -> Option<Came> {
    let full = cap == Some(buffered);
    match (operation.is_send, buffered) {
        (true, 1) if full && operation.name == "force_send" => Some(Displaced),
        (true, _) if full => operation.refused,
        (true, _) => Some(Sent),
        (false, 0) => operation.refused,
        (false, _) => Some(Got(BUFFERED)),
    }
}

fn each_cell(mut check: impl FnMut(&Operation, Option<usize>, usize)) {
    for (cap, buffered) in KINDS {
        for operation in OPERATIONS.iter().filter(|operation| cap.is_some() || !operation.is_of_chan) {
            check(operation, cap, buffered);
        }
    }
}

#[test]
fn matrix_before_close() {
    watchdog(|| {
        let mut waited = 0;
        each_cell(|operation, cap, buffered| {
            let faces = Faces::new(cap, buffered);
            let census = faces.census.clone();
            let what = format!("{} on {cap:?} with {buffered}", operation.name);
            if let Some(expected) = before_close(operation, cap, buffered) {
                assert_eq!((operation.run)(&faces), expected, "{what}");
            } else {
                // It waits, until close releases it.
                waited += 1;
                thread::scope(|scope| {
                    let waiting = scope.spawn(|| (operation.run)(&faces));
                    wait_for_waiting::<Cell>(1);
                    assert!(faces.rx.close());
                    assert_eq!(waiting.join().unwrap(), operation.closed, "{what}, released by close");
                });
                assert_eq!(faces.tx.len(), buffered, "{what}: the buffer stays as it was");
            }
            drop(faces);
            census.assert_all_dropped();
        });
        assert_eq!(waited, 4 * 2 + 7 * 2 + 5, "sends where it is full, receives where it is empty");
    });
}

#[test]
fn matrix_after_close() {
    watchdog(|| {
        each_cell(|operation, cap, buffered| {
            let faces = Faces::new(cap, buffered);
            let census = faces.census.clone();
            let what = format!("{} on {cap:?} with {buffered}", operation.name);
            assert!(faces.tx.close());
            if operation.is_send {
                // Room does not matter, and nothing enters.
                for _ in 0..2 {
                    assert_eq!((operation.run)(&faces), operation.closed, "{what}");
                    assert_eq!(faces.rx.len(), buffered, "{what}");
                }
            } else {
                for _ in 0..buffered {
                    assert_eq!((operation.run)(&faces), Got(BUFFERED), "{what}");
                }
                for _ in 0..3 {
                    assert_eq!((operation.run)(&faces), operation.closed, "{what}");
                }
            }
            drop(faces);
            census.assert_all_dropped();
        });
    });
}

#[test]
fn drain_and_recv_or_default_after_close() {
    let (tx, rx) = bounded(3);
    (0..3).for_each(|i| tx.send(i).unwrap());
    tx.close();
    assert!(rx.drain().eq(0..3));
    assert_eq!(rx.drain().len(), 0);
    let chan = Chan::new(1);
    chan.send(5);
    chan.close();
    assert_eq!((chan.recv_or_default(), chan.recv_or_default(), chan.recv_or_default()), (5, 0, 0));
}

#[test]
fn only_the_first_close_closes() {
    let (tx, rx) = bounded::<u8>(1);
    assert!(!tx.is_closed() && !rx.is_closed());
    assert!(rx.close());
    assert!(tx.is_closed() && rx.is_closed());
    assert!(!rx.close() && !tx.close() && !tx.clone().close());
}

#[test]
fn a_buffer_outlives_close() {
    let (tx, rx) = bounded(10);
    (0..10).for_each(|i| tx.send(i).unwrap());
    tx.close();
    drop(tx);
    for i in 0..10 {
        assert_eq!((rx.len(), rx.is_closed()), (10 - i, true));
        assert_eq!(rx.recv(), Ok(i));
    }
    assert!((0..1000).all(|_| rx.recv().is_err() && rx.try_recv() == Err(TryRecvError::Disconnected)));
}

#[test]
fn a_closed_channel_answers_everybody() {
    watchdog(|| {
        let (tx, rx) = bounded::<u8>(0);
        tx.close();
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| assert!((0..1000).all(|_| rx.recv().is_err() && rx.iter().next().is_none())));
            }
        });
    });
}

/// Waits on `threads` threads in `operation`, in a known order.
fn park<'s, T, R: Send + 's>(
    scope: &'s thread::Scope<'s, '_>,
    threads: usize,
    operation: impl Fn(usize) -> R + Clone + Send + 's,
) -> Vec<thread::ScopedJoinHandle<'s, R>> {
    let parked = (0..threads).map(|i| {
        let operation = operation.clone();
        scope.spawn(move || operation(i))
    });
    let parked = parked.collect();
    wait_for_waiting::<T>(threads);
    parked
}

#[test]
fn close_releases_every_receiver() {
    watchdog(|| {
        struct Here;
        for (tx, rx) in [bounded::<Here>(0), bounded(1), unbounded()] {
            thread::scope(|scope| {
                let receivers = park::<Here, _>(scope, 100, |_| rx.recv().is_err());
                assert!(tx.close());
                assert!(receivers.into_iter().all(|receiver| receiver.join().unwrap()));
            });
        }
    });
}

#[test]
fn close_gives_every_sender_its_value_back() {
    watchdog(|| {
        #[derive(Debug)]
        struct Here(usize);
        for cap in [0, 1, 10] {
            let (tx, rx) = bounded(cap);
            (0..cap).for_each(|i| tx.send(Here(1000 + i)).unwrap());
            thread::scope(|scope| {
                let senders = park::<Here, _>(scope, 100, |i| tx.send(Here(i)).unwrap_err().0.0 == i);
                assert!(rx.close());
                assert!(senders.into_iter().all(|sender| sender.join().unwrap()));
            });
            assert!(rx.iter().map(|here: Here| here.0).eq(1000..1000 + cap), "what was buffered is still there");
        }
    });
}

#[test]
fn the_last_sender_releases_every_receiver() {
    watchdog(|| {
        struct Here;
        let (tx, rx) = bounded::<Here>(1);
        thread::scope(|scope| {
            let receivers = park::<Here, _>(scope, 50, |_| rx.recv().is_err());
            let other = tx.clone();
            drop(tx);
            assert!(!rx.is_closed());
            drop(other);
            assert!(rx.is_closed());
            assert!(receivers.into_iter().all(|receiver| receiver.join().unwrap()));
        });
    });
}

#[test]
fn the_last_receiver_releases_every_sender() {
    watchdog(|| {
        struct Here(#[expect(dead_code, reason = "counts")] Counted);
        let census = Census::default();
        let (tx, rx) = bounded(1);
        assert!(tx.send(Here(census.value(0))).is_ok());
        thread::scope(|scope| {
            let senders = park::<Here, _>(scope, 50, |i| tx.send(Here(census.value(i))).is_err());
            let other = rx.clone();
            drop(rx);
            assert!(!tx.is_closed());
            drop(other);
            assert!(tx.is_closed());
            assert_eq!(tx.len(), 0, "what was buffered is dropped");
            assert!(senders.into_iter().all(|sender| sender.join().unwrap()));
        });
        assert_eq!(census.made(), 51);
        census.assert_all_dropped();
    });
}

/// The ways in which two threads close: by this handle or that, by a handle that then drops, by the last drop.
fn closers(tx: Sender<Rival>, rx: &Receiver<Rival>, round: usize) -> [Box<dyn FnOnce() -> bool + Send>; 2] {
    let (weak, rx) = (rx.downgrade(), rx.clone());
    match round % 4 {
        0 => [Box::new(move || tx.close()), Box::new(move || rx.close())],
        1 => [Box::new(move || rx.close()), Box::new(move || weak.upgrade().expect("lives").close())],
        // The last sender goes, which closes if nobody has.
        2 => [
            Box::new(move || {
                drop(tx);
                false
            }),
            Box::new(move || {
                rx.close();
                false
            }),
        ],
        _ => [
            Box::new(move || {
                let closed = tx.clone().close();
                drop(tx);
                closed
            }),
            Box::new(move || rx.close()),
        ],
    }
}

#[derive(Debug)]
struct Rival(Counted);

const WAITERS: usize = 100;
const ROUNDS: usize = 120;

/// A hundred blocked receivers, two closers and a sender race.
#[test]
fn close_races_with_blocked_receivers() {
    watchdog(|| {
        for round in 0..ROUNDS {
            let census = Census::default();
            let (tx, rx) = [bounded(0), bounded(1), unbounded()].into_iter().nth(round % 3).unwrap();
            let weak = tx.downgrade();
            let one = if round % 4 == 2 { None } else { Some(tx.clone()) };
            thread::scope(|scope| {
                let receivers = park::<Rival, _>(scope, WAITERS, |_| rx.recv().ok().map(|rival: Rival| rival.0.id));
                let start = Arc::new(Barrier::new(3));
                let closing = closers(tx, &rx, round).map(|close| {
                    let start = start.clone();
                    scope.spawn(move || {
                        start.wait();
                        close()
                    })
                });
                start.wait();
                // Served or refused, in whatever order the race goes; 0, 1, 2, ... is what arrives.
                let mut sent = 0;
                while let Some(tx) = weak.upgrade() {
                    match tx.try_send(Rival(census.value(sent))) {
                        Ok(()) => sent += 1,
                        Err(TrySendError::Full(_)) => {}
                        Err(TrySendError::Disconnected(_)) => break,
                    }
                }
                let closed = closing.map(|closing| closing.join().unwrap());
                if round % 4 != 2 {
                    assert!(closed[0] ^ closed[1], "one of them closed the channel");
                }
                let mut got: Vec<usize> = receivers.into_iter().filter_map(|r| r.join().unwrap()).collect();
                got.extend(rx.try_iter().map(|rival| rival.0.id));
                got.sort_unstable();
                assert_eq!(got, (0..sent).collect::<Vec<_>>(), "what was sent was received");
            });
            drop((one, rx));
            census.assert_all_dropped();
        }
    });
}

/// A hundred blocked senders, two closers and a receiver race.
#[test]
fn close_races_with_blocked_senders() {
    watchdog(|| {
        #[derive(Debug)]
        struct Here(Counted);
        for round in 0..ROUNDS {
            let census = Census::default();
            let cap = round % 3;
            let (tx, rx) = bounded(cap);
            (0..cap).for_each(|i| tx.send(Here(census.value(i))).unwrap());
            thread::scope(|scope| {
                let senders = park::<Here, _>(scope, WAITERS, |i| match tx.send(Here(census.value(cap + i))) {
                    Ok(()) => true,
                    Err(SendError(back)) => {
                        assert_eq!(back.0.id, cap + i);
                        false
                    }
                });
                let start = Arc::new(Barrier::new(3));
                let closing = [0, 1].map(|by| {
                    let (tx, rx, start) = (tx.clone(), rx.clone(), start.clone());
                    scope.spawn(move || {
                        start.wait();
                        if by == 0 { tx.close() } else { rx.close() }
                    })
                });
                start.wait();
                // Receives until it is told that there is nothing and will be nothing.
                let mut got: Vec<usize> = rx.iter().map(|here: Here| here.0.id).collect();
                let closed = closing.map(|closing| closing.join().unwrap());
                assert!(closed[0] ^ closed[1], "one of them closed the channel");
                let sent = senders.into_iter().map(|sender| sender.join().unwrap());
                let mut expected: Vec<usize> = (0..cap).collect();
                expected.extend(sent.enumerate().filter(|(_, sent)| *sent).map(|(i, _)| cap + i));
                got.sort_unstable();
                assert_eq!(got, expected, "received what was sent, and nothing that came back");
            });
            assert!(rx.try_recv().is_err());
            census.assert_all_dropped();
        }
    });
}

#[test]
fn the_last_handle_races_with_blocked_operations() {
    watchdog(|| {
        for round in 0..500 {
            // One side waits, or is about to, when the other side's last handle goes.
            let (tx, rx) = bounded::<usize>(round % 2);
            let receiver = thread::spawn(move || rx.recv());
            drop(tx);
            assert!(receiver.join().unwrap().is_err());

            let (tx, rx) = bounded(0);
            let sender = thread::spawn(move || tx.send(round));
            drop(rx);
            assert_eq!(sender.join().unwrap(), Err(SendError(round)));
        }
    });
}

#[test]
fn with_room_a_try_never_says_full_while_another_closes() {
    // A channel that takes a value, or is closed, is at no moment one that could not be sent to.
    watchdog(|| {
        for _ in 0..300 {
            let (tx, rx) = bounded(1000);
            let closer = {
                let tx = tx.clone();
                thread::spawn(move || tx.close())
            };
            let sent = (0..1000).take_while(|i| match tx.try_send(*i) {
                Ok(()) => true,
                Err(TrySendError::Disconnected(_)) => false,
                Err(TrySendError::Full(_)) => panic!("it was never full"),
            });
            let sent = sent.count();
            assert!(closer.join().unwrap());
            assert!(rx.iter().eq(0..sent));
        }
    });
}

#[test]
fn a_try_never_says_empty_while_another_closes() {
    // There is a value, then there is a value in a closed channel: at no moment is there nothing.
    watchdog(|| {
        for round in 0..3000 {
            let (tx, rx) = if round % 2 == 0 { bounded(1) } else { unbounded() };
            tx.send(1).unwrap();
            let receiver = thread::spawn(move || rx.try_recv());
            tx.close();
            assert_eq!(receiver.join().unwrap(), Ok(1));
        }
    });
}

#[test]
fn closed_is_for_good() {
    watchdog(|| {
        let (tx, rx) = bounded::<u8>(4);
        let (stop, looks) = (AtomicBool::new(false), AtomicUsize::new(0));
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut was_closed = false;
                while !stop.load(Ordering::Relaxed) {
                    let closed = rx.is_closed();
                    assert!(closed || !was_closed, "open again");
                    was_closed = closed;
                    looks.fetch_add(1, Ordering::Relaxed);
                }
                assert!(was_closed);
            });
            common::wait_until(|| looks.load(Ordering::Relaxed) > 100);
            tx.close();
            let then = looks.load(Ordering::Relaxed);
            common::wait_until(|| looks.load(Ordering::Relaxed) > then + 100);
            stop.store(true, Ordering::Relaxed);
        });
    });
}

/// Also while there are still values, each of which leaves room when it is received.
#[test]
fn closed_is_closed_though_there_is_room() {
    for cap in [1, 2, 3, 64] {
        let (tx, rx) = bounded(cap);
        (0..cap).for_each(|value| tx.send(value).unwrap());
        assert!(tx.close());
        for value in 0..cap {
            assert_eq!(rx.recv(), Ok(value));
            assert_eq!(tx.try_send(value), Err(TrySendError::Disconnected(value)));
            assert_eq!(tx.send(value), Err(SendError(value)));
        }
        assert_eq!(rx.recv(), Err(RecvError));
    }
}
