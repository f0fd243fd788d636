//! `Select` and the operations that it selects: dropped, leaked, finished with the wrong handle, of large and overaligned
//! values, among many arms, in many threads. Every value is accounted for.

mod common;

use common::{A_MOMENT, Census, Counted, PATIENCE, always_a_value, panic_text, wait_for_waiting, waiting, watchdog};
use gochan::{
    Chan, Receiver, RecvError, RecvTimeoutError, Select, SelectedOperation, SendError, Sender, TryRecvError,
    TrySendError, after, bounded, never, select, tick, unbounded,
};
use std::fmt::Debug;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Selects the receive from `rx`.
fn select_recv<T>(rx: &Receiver<T>) -> SelectedOperation<'_> {
    let mut select = Select::new();
    select.recv(rx);
    select.select()
}

/// Selects the send to `tx`.
fn select_send<T>(tx: &Sender<T>) -> SelectedOperation<'_> {
    let mut select = Select::new();
    select.send(tx);
    select.select()
}

#[test]
fn a_dropped_receive_gives_its_value_back_as_the_next() {
    watchdog(|| {
        #[derive(Debug, PartialEq)]
        struct Here(u32);
        for (tx, rx) in [bounded(3), unbounded()] {
            (0..3).for_each(|i| tx.send(Here(i)).unwrap());
            for _ in 0..3 {
                drop(select_recv(&rx));
            }
            // Two of them, given back in either order.
            let [first, second] = [select_recv(&rx), select_recv(&rx)];
            drop((first, second));
            let [first, second] = [select_recv(&rx), select_recv(&rx)];
            drop((second, first));
            assert_eq!(rx.try_iter().collect::<Vec<_>>(), [Here(0), Here(1), Here(2)]);
            // Also behind a close.
            tx.send(Here(4)).unwrap();
            let operation = select_recv(&rx);
            tx.close();
            assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
            drop(operation);
            assert_eq!([rx.recv(), rx.recv()], [Ok(Here(4)), Err(RecvError)]);
        }
        // It goes to a receiver that waits by then.
        let (tx, rx) = bounded(1);
        tx.send(Here(5)).unwrap();
        let operation = select_recv(&rx);
        thread::scope(|scope| {
            let receiver = scope.spawn(|| rx.recv());
            wait_for_waiting::<Here>(1);
            drop(operation);
            assert_eq!(receiver.join().unwrap(), Ok(Here(5)));
        });
        // The slot that it had freed is somebody else's: the value comes before what is in the buffer.
        tx.send(Here(6)).unwrap();
        let operation = select_recv(&rx);
        tx.try_send(Here(7)).unwrap();
        drop(operation);
        assert_eq!(rx.try_iter().collect::<Vec<_>>(), [Here(6), Here(7)]);
    });
}

#[test]
fn a_dropped_send_gives_its_slot_back() {
    watchdog(|| {
        let (tx, rx) = bounded(1);
        for _ in 0..3 {
            let operation = select_send(&tx);
            assert_eq!(tx.try_send(1), Err(TrySendError::Full(1)));
            drop(operation);
        }
        assert_eq!((tx.try_send(2), rx.try_recv()), (Ok(()), Ok(2)));
        tx.close();
        drop(select_send(&tx));
    });
}

#[test]
fn a_dropped_send_lets_a_sender_in() {
    watchdog(|| {
        #[derive(Debug, PartialEq)]
        struct Here(u32);
        let (tx, rx) = bounded(1);
        let operation = select_send(&tx);
        thread::scope(|scope| {
            let sender = scope.spawn(|| tx.send(Here(1)));
            wait_for_waiting::<Here>(1);
            drop(operation);
            assert_eq!((sender.join().unwrap(), rx.recv()), (Ok(()), Ok(Here(1))));
        });
    });
}

#[test]
fn a_dropped_send_leaves_its_receiver_waiting() {
    watchdog(|| {
        #[derive(Debug, PartialEq)]
        struct Here(u32);
        let (tx, rx) = bounded(0);
        thread::scope(|scope| {
            let receiver = scope.spawn(|| rx.recv());
            wait_for_waiting::<Here>(1);
            for _ in 0..3 {
                drop(select_send(&tx));
                assert_eq!(waiting::<Here>().len(), 1);
            }
            assert_eq!(select_send(&tx).send(&tx, Here(1)), Ok(()));
            assert_eq!(receiver.join().unwrap(), Ok(Here(1)));
        });
    });
}

#[test]
fn a_leaked_operation_harms_nobody() {
    watchdog(|| {
        struct Here;
        // The receiver that it was promised waits as long as it wants, not longer.
        let (tx, rx) = bounded::<Here>(0);
        thread::scope(|scope| {
            let receiver = scope.spawn(|| rx.recv_timeout(A_MOMENT).err());
            // Or it had given up before.
            let mut select = Select::new();
            select.send(&tx);
            select.select_timeout(A_MOMENT).map(mem::forget).ok();
            assert_eq!(receiver.join().unwrap(), Some(RecvTimeoutError::Timeout));
            let receiver = scope.spawn(|| rx.recv().err());
            wait_for_waiting::<Here>(1);
            mem::forget(select_send(&tx));
            // Neither others nor a close wait for it.
            let next = scope.spawn(|| rx.recv().is_ok());
            wait_for_waiting::<Here>(2);
            assert!(tx.send(Here).is_ok() && next.join().unwrap());
            assert!(tx.close());
            assert_eq!(receiver.join().unwrap(), Some(RecvError));
        });
        // A slot stays empty.
        let (tx, rx) = bounded(2);
        mem::forget(select_send(&tx));
        assert_eq!([tx.try_send(1), tx.try_send(2)], [Ok(()), Err(TrySendError::Full(2))]);
        assert_eq!((rx.recv(), tx.try_send(3), rx.recv()), (Ok(1), Ok(()), Ok(3)));
        drop((tx, rx));
        // A value is gone, small or large.
        let (tx, rx) = unbounded();
        let mut select = Select::new();
        select.recv(&rx);
        for i in 0..4 {
            tx.send([i; 100]).unwrap();
            match i {
                1 | 3 => assert_eq!(select.select().recv(&rx), Ok([i; 100])),
                _ => mem::forget(select.select()),
            }
        }
        assert!(rx.is_empty());
    });
}

#[test]
fn the_wrong_handle_panics_and_loses_nothing() {
    watchdog(|| {
        const SENDER: &str = "passed a sender that wasn't selected";
        const RECEIVER: &str = "passed a receiver that wasn't selected";
        let census = Census::default();
        let ((tx, rx), (other_tx, other_rx)) = (bounded(1), bounded(1));
        let wrong = || census.value(99);

        let operation = select_send(&tx);
        assert_eq!(panic_text(AssertUnwindSafe(|| operation.send(&other_tx, wrong()))), SENDER);
        let operation = select_send(&tx);
        assert_eq!(panic_text(AssertUnwindSafe(|| operation.send(&Sender::never(), wrong()))), SENDER);
        let operation = select_send(&tx);
        assert_eq!(panic_text(AssertUnwindSafe(|| operation.recv(&rx).is_ok())), RECEIVER);
        // The slot is free again.
        tx.try_send(census.value(1)).unwrap();

        let operation = select_recv(&rx);
        assert_eq!(panic_text(AssertUnwindSafe(|| operation.recv(&other_rx).is_ok())), RECEIVER);
        let operation = select_recv(&rx);
        assert_eq!(panic_text(AssertUnwindSafe(|| operation.recv(&never::<Counted>()).is_ok())), RECEIVER);
        let operation = select_recv(&rx);
        assert_eq!(panic_text(AssertUnwindSafe(|| operation.send(&tx, wrong()))), SENDER);
        // Of another type, too.
        let (_, numbers) = bounded::<u8>(1);
        let operation = select_recv(&rx);
        assert_eq!(panic_text(AssertUnwindSafe(|| operation.recv(&numbers))), RECEIVER);
        // And the value is there again.
        assert_eq!(rx.try_recv().map(|value| value.id), Ok(1));
        assert!(rx.is_empty() && other_rx.is_empty());
        census.assert_all_dropped();
    });
}

#[test]
fn any_handle_of_the_channel_finishes_the_operation() {
    watchdog(|| {
        let (tx, rx) = bounded(1);
        assert_eq!(select_send(&tx).send(&tx.clone(), 1), Ok(()));
        assert_eq!(select_recv(&rx).recv(&rx.clone()), Ok(1));
        assert_eq!(select_send(&tx).send(&tx.downgrade().upgrade().unwrap(), 2), Ok(()));
        assert_eq!(select_recv(&rx).recv(&rx.downgrade().upgrade().unwrap()), Ok(2));
        let chan = Chan::new(1);
        assert_eq!(select_send(chan.as_sender()).send(&chan.sender(), 3), Ok(()));
        assert_eq!(select_recv(&chan.receiver()).recv(chan.as_receiver()), Ok(3));
        let timer = gochan::after(Duration::ZERO);
        assert!(select_recv(&timer).recv(&timer.clone()).is_ok());
    });
}

/// `value` goes through selects in several ways.
fn goes_through<T: Clone + PartialEq + Debug>(value: &T) {
    let (tx, rx) = bounded(2);
    let (_tx, small) = bounded::<u8>(1);
    let mut select = Select::new();
    // Together with a small one.
    select.recv(&small);
    let receive = select.recv(&rx);
    for _ in 0..3 {
        for _ in 0..2 {
            tx.send(value.clone()).unwrap();
        }
        // While the first operation has its value, the second must find room of its own.
        let [first, second] = [select.select(), select.select()];
        assert_eq!([first.index(), second.index()], [receive; 2]);
        assert_eq!(second.recv(&rx).as_ref(), Ok(value));
        assert_eq!(first.recv(&rx).as_ref(), Ok(value));
        // Given back, and received by another select.
        tx.send(value.clone()).unwrap();
        tx.send(value.clone()).unwrap();
        drop(select.select());
        assert_eq!(select.clone().select().recv(&rx).as_ref(), Ok(value));
        assert_eq!(rx.try_recv().as_ref(), Ok(value));
        select_send(&tx).send(&tx, value.clone()).unwrap();
        let by_macro = select! { recv(small) -> _ => None, recv(rx) -> value => value.ok() };
        assert_eq!(by_macro.as_ref(), Some(value));
    }
}

#[test]
fn large_and_overaligned_values() {
    watchdog(|| {
        #[derive(Clone, Debug, PartialEq)]
        #[repr(align(64))]
        struct Line(u8);
        #[derive(Clone, Debug, PartialEq)]
        #[repr(align(4096))]
        struct Page([u8; 5000]);
        #[derive(Clone, Debug, PartialEq)]
        #[repr(align(4096))]
        struct Nothing;
        #[derive(Clone, Debug, PartialEq)]
        struct Dropped(Page);
        impl Drop for Dropped {
            fn drop(&mut self) {
                assert_eq!(ptr::from_ref(self).addr() % align_of::<Self>(), 0);
                assert_eq!(self.0.0, [7; 5000]);
            }
        }
        watchdog(|| {
            goes_through(&());
            goes_through(&Nothing);
            goes_through(&[[0_u64; 4]; 0]);
            goes_through(&[1_u8; 63]);
            goes_through(&[2_u8; 64]);
            goes_through(&[3_u8; 65]);
            goes_through(&[u128::MAX; 4]);
            goes_through(&[u128::MAX; 5]);
            goes_through(&Line(4));
            goes_through(&[Line(5), Line(6)]);
            goes_through(&[8_u16; 20_000]);
            goes_through(&Page([9; 5000]));
            goes_through(&Dropped(Page([7; 5000])));
            goes_through(&vec![String::from("a"); 3]);
        });
    });
}

#[test]
fn a_value_of_every_size_in_one_select() {
    watchdog(|| {
        #[derive(Debug, PartialEq)]
        #[repr(align(64))]
        struct Aligned(u8);
        let ((tx1, rx1), (tx2, rx2), (tx3, rx3), (tx4, rx4)) = (bounded(1), bounded(1), bounded(1), bounded(1));
        let mut select = Select::new();
        // Neither the largest nor the most aligned comes last.
        let arms = [select.recv(&rx1), select.recv(&rx2), select.recv(&rx3), select.recv(&rx4)];
        for round in 0..100 {
            match round % 4 {
                0 => tx1.send([round; 1001]).unwrap(),
                1 => tx2.send(Aligned(round)).unwrap(),
                2 => tx3.send(Box::new(round)).unwrap(),
                _ => tx4.send(()).unwrap(),
            }
            let operation = select.select();
            assert_eq!(operation.index(), arms[usize::from(round % 4)]);
            match round % 4 {
                0 => assert_eq!(operation.recv(&rx1), Ok([round; 1001])),
                1 => assert_eq!(operation.recv(&rx2), Ok(Aligned(round))),
                2 => assert_eq!(operation.recv(&rx3), Ok(Box::new(round))),
                _ => assert_eq!(operation.recv(&rx4), Ok(())),
            }
        }
    });
}

#[test]
fn two_hundred_arms() {
    watchdog(|| {
        struct Here(usize);
        const ARMS: usize = 200;
        let channels: Vec<_> = (0..ARMS).map(|_| bounded(1)).collect();
        let mut select = Select::new();
        for (i, (_, rx)) in channels.iter().enumerate() {
            assert_eq!(select.recv(rx), i);
        }
        // All are ready: each comes once.
        channels.iter().enumerate().for_each(|(i, (tx, _))| assert!(tx.send(Here(i)).is_ok()));
        let mut seen = [false; ARMS];
        for _ in 0..ARMS {
            let operation = select.try_select().unwrap();
            let i = operation.index();
            assert_eq!(operation.recv(&channels[i].1).map(|value| value.0), Ok(i));
            assert!(!mem::replace(&mut seen[i], true));
        }
        assert!(select.try_select().is_err() && select.try_ready().is_err());
        // One becomes ready.
        thread::scope(|scope| {
            for i in [0, 1, 99, 199] {
                let (select, channels) = (&select, &channels);
                let waiter = scope.spawn(move || {
                    let mut select = select.clone();
                    let operation = select.select();
                    let i = operation.index();
                    (i, operation.recv(&channels[i].1).unwrap().0)
                });
                wait_for_waiting::<Here>(ARMS);
                assert!(channels[i].0.send(Here(i)).is_ok());
                assert_eq!(waiter.join().unwrap(), (i, i));
                assert!(waiting::<Here>().is_empty());
            }
        });
    });
}

/// Of two channels and two timers, all of which are ready, each is chosen as often as the others.
#[test]
fn timers_have_their_share() {
    const ROUNDS: usize = 8_000;
    let channels = [bounded::<usize>(ROUNDS), unbounded()];
    channels.iter().for_each(|(tx, _)| (0..ROUNDS).for_each(|i| tx.send(i).unwrap()));
    let rxs = [&channels[0].1, &channels[1].1];
    let by_list = |after: &Receiver<Instant>, tick: &Receiver<Instant>| {
        let mut select = Select::new();
        rxs.iter().for_each(|rx| _ = select.recv(rx));
        select.recv(after);
        select.recv(tick);
        let operation = select.select();
        let index = operation.index();
        match index {
            0 | 1 => _ = operation.recv(rxs[index]).unwrap(),
            2 => _ = operation.recv(after).unwrap(),
            _ => _ = operation.recv(tick).unwrap(),
        }
        index
    };
    let by_macro = |after: &Receiver<Instant>, tick: &Receiver<Instant>| {
        select! {
            recv(rxs[0]) -> _ => 0,
            recv(rxs[1]) -> _ => 1,
            recv(after) -> _ => 2,
            recv(tick) -> _ => 3,
        }
    };
    let mut chosen = [[0; 4]; 2];
    for _ in 0..ROUNDS / 2 {
        chosen[0][by_list(&after(Duration::ZERO), &tick(Duration::ZERO))] += 1;
        chosen[1][by_macro(&after(Duration::ZERO), &tick(Duration::ZERO))] += 1;
    }
    // 1,000 each; six standard deviations are 165.
    assert!(chosen.iter().flatten().all(|count| (800..1_200).contains(count)), "{chosen:?}");
}

/// The number of an operation has 16 bits. A list that is longer is refused as such.
#[test]
fn more_operations_than_there_are_numbers() {
    let nothing = never::<u8>();
    let mut select = Select::new();
    (0..u16::MAX).for_each(|_| _ = select.recv(&nothing));
    assert!(select.try_select().is_err());
    drop(select.select_async());
    select.recv(&nothing);
    let refusals = [
        panic_text(AssertUnwindSafe(|| select.try_select().map(drop))),
        panic_text(AssertUnwindSafe(|| drop(select.select_async()))),
        panic_text(AssertUnwindSafe(|| drop(select.ready_async()))),
    ];
    assert!(refusals.iter().all(|text| text == "too many operations in a select"), "{refusals:?}");
}

/// It is refused before any channel is touched, whether something is possible there or somebody waits there.
#[test]
fn a_list_that_is_too_long_touches_nothing() {
    watchdog(|| {
        struct Here(u32);
        let (tx, rx) = bounded(0);
        let mut select = Select::new();
        (0..=u16::MAX).for_each(|_| _ = select.recv(&rx));
        thread::scope(|s| {
            s.spawn(|| tx.send(Here(7)).unwrap());
            wait_for_waiting::<Here>(1);
            assert_eq!(panic_text(AssertUnwindSafe(|| drop(select.try_select()))), "too many operations in a select");
            assert_eq!(rx.recv().unwrap().0, 7);
        });
        let (tx, rx) = unbounded();
        let mut select = Select::new();
        (0..=u16::MAX).for_each(|_| _ = select.recv(&rx));
        tx.send(7).unwrap();
        assert_eq!(panic_text(AssertUnwindSafe(|| drop(select.try_select()))), "too many operations in a select");
        assert_eq!(rx.recv(), Ok(7));
        // A timer that is due has its message still.
        let rx = after(Duration::ZERO);
        let mut select = Select::new();
        (0..=u16::MAX).for_each(|_| _ = select.recv(&rx));
        assert_eq!(panic_text(AssertUnwindSafe(|| drop(select.try_select()))), "too many operations in a select");
        assert!(rx.try_recv().is_ok());
    });
}

/// Of two channels among twenty one has a value at every moment: there is no default.
#[test]
fn nothing_possible_is_exact_among_many() {
    watchdog(|| {
        let idle: Vec<_> = (0..18).map(|_| bounded::<()>(1)).collect();
        always_a_value(20_000, |rx1, rx2| {
            let mut select = Select::new();
            let first = select.recv(rx1);
            idle.iter().for_each(|(_, rx)| _ = select.recv(rx));
            select.recv(rx2);
            let operation = select.try_select().expect("there was a value");
            let rx = if operation.index() == first { rx1 } else { rx2 };
            operation.recv(rx).unwrap();
        });
    });
}

/// The same, of the last two, which change all the time while a select looks at one arm after the other.
#[test]
fn nothing_possible_is_exact_behind_many() {
    watchdog(|| {
        let idle: Vec<_> = (0..30).map(|_| bounded::<()>(1)).collect();
        let ((tx1, rx1), (tx2, rx2)) = (bounded(1), bounded(1));
        tx1.send(()).unwrap();
        let is_over = AtomicBool::new(false);
        thread::scope(|s| {
            s.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    for (tx, rx) in [(&tx2, &rx1), (&tx1, &rx2)] {
                        tx.send(()).unwrap();
                        rx.recv().unwrap();
                    }
                }
            });
            let mut select = Select::new();
            idle.iter().for_each(|(_, rx)| _ = select.recv(rx));
            select.recv(&rx1);
            select.recv(&rx2);
            // Dropped, an operation gives back what it has got.
            let found = (0..100_000).all(|_| select.try_select().is_ok());
            is_over.store(true, Ordering::Relaxed);
            assert!(found, "there was a value");
        });
    });
}

#[test]
fn remove() {
    watchdog(|| {
        let ((tx1, rx1), (tx2, rx2)) = (unbounded(), unbounded::<&str>());
        let mut select = Select::new_biased();
        let first = select.send(&tx1);
        let second = select.recv(&rx2);
        let third = select.send(&tx2);
        let fourth = select.send(&tx1);
        assert_eq!(select.try_ready(), Ok(first));
        select.remove(first);
        assert_eq!(select.try_ready(), Ok(third), "the order is kept");
        tx2.send("two").unwrap();
        let operation = select.select();
        assert_eq!(operation.index(), second);
        // The operation does not need its arm any longer.
        select.remove(second);
        assert_eq!(operation.recv(&rx2), Ok("two"));
        select.remove(third);
        let operation = select.try_select().unwrap();
        assert_eq!(operation.index(), fourth);
        operation.send(&tx1, 4).unwrap();
        assert_eq!(rx1.try_recv(), Ok(4));
        // An index is not used again.
        assert_eq!(select.recv(&rx1), 4);
        assert_eq!(panic_text(|| select.clone().remove(first)), "no operation with this index");
        assert_eq!(panic_text(|| select.clone().remove(5)), "index out of bounds; 5 >= 5");
        select.remove(fourth);
        select.remove(4);
        assert!(select.try_select().is_err() && select.try_ready().is_err());
        assert!(select.select_timeout(Duration::from_millis(1)).is_err());
        assert!(select.ready_timeout(Duration::from_millis(1)).is_err());
        let none = "no operations have been added to `Select`";
        assert_eq!(panic_text(|| drop(select.clone().select())), none);
        assert_eq!(panic_text(|| select.clone().ready()), none);
    });
}

#[test]
fn the_first_of_those_that_a_close_makes_ready_together() {
    watchdog(|| {
        struct Here;
        for send_first in [true, false] {
            let (tx, rx) = bounded::<Here>(0);
            thread::scope(|scope| {
                let waiter = scope.spawn(|| {
                    let mut select = Select::new_biased();
                    if send_first {
                        select.send(&tx);
                    }
                    select.recv(&rx);
                    select.send(&tx);
                    select.select().index()
                });
                wait_for_waiting::<Here>(if send_first { 3 } else { 2 });
                tx.close();
                assert_eq!(waiter.join().unwrap(), 0, "the send is the first: {send_first}");
            });
        }
    });
}

#[test]
fn clones_are_independent() {
    watchdog(|| {
        let ((tx1, rx1), (_tx2, rx2)) = (unbounded(), unbounded::<u8>());
        let mut select = Select::new_biased();
        select.recv(&rx2);
        let mut clone = select.clone();
        assert_eq!([select.send(&tx1), clone.recv(&rx1)], [1, 1]);
        select.remove(0);
        tx1.send(1).unwrap();
        // Of the clone's arms the second is ready, and it is biased, too.
        assert_eq!(clone.recv(&rx1), 2);
        let operation = clone.select();
        assert_eq!((operation.index(), operation.recv(&rx1)), (1, Ok(1)));
        let operation = select.select();
        assert_eq!((operation.index(), operation.send(&tx1, 2)), (1, Ok(())));
        // It does not need the one that it was made from.
        drop(select);
        assert_eq!(clone.select().recv(&rx1), Ok(2));
    });
}

#[test]
fn selected_on_another_thread() {
    watchdog(|| {
        // The value is large, so that the room for it moves, too.
        let (tx, rx) = unbounded();
        let mut select = Select::new();
        select.recv(&rx);
        tx.send([0; 50]).unwrap();
        select.select().recv(&rx).unwrap();
        thread::scope(|scope| {
            for i in 1..20 {
                let rx = &rx;
                let there = scope.spawn(move || {
                    let value = select.select().recv(rx);
                    (select, value)
                });
                tx.send([i; 50]).unwrap();
                let (back, value) = there.join().unwrap();
                assert_eq!(value, Ok([i; 50]));
                select = back;
            }
        });
    });
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

#[test]
fn a_value_that_panics_when_it_is_dropped() {
    watchdog(|| {
        let (tx, rx) = bounded(2);
        // Received and dropped: by the body, by the pattern.
        for ignore in [true, false] {
            assert!(tx.send(Bomb).is_ok());
            let text = panic_text(|| {
                if ignore {
                    select! { recv(rx) -> _ => {} }
                } else {
                    select! { recv(rx) -> value => drop(value) }
                }
            });
            assert_eq!(text, "dropped");
        }
        // Given back, it is not dropped.
        assert!(tx.send(Bomb).is_ok());
        drop(select_recv(&rx));
        mem::forget(rx.recv());
        // Refused and dropped.
        rx.close();
        assert_eq!(panic_text(|| select! { send(tx, Bomb) -> _ => {} }), "dropped");
        assert_eq!(panic_text(AssertUnwindSafe(|| select_send(&tx).send(&tx, Bomb).is_err())), "dropped");
        // Where a panic is due anyway there is one, and no abort.
        let chan = Chan::new(0);
        chan.close();
        assert_eq!(panic_text(|| select! { send(chan, Bomb) -> () => {} }), "dropped");
        // The channel is as usable as ever.
        assert!(rx.recv().is_err() && tx.try_send(Bomb).map_err(mem::forget).is_err());
    });
}

/// A value that sends a number to its own channel when it is dropped.
struct Sends(u32, Sender<Result<Self, u32>>);

impl Drop for Sends {
    fn drop(&mut self) {
        select! {
            send(self.1, Err(self.0)) -> _ => {}
            default => panic!("no room"),
        }
    }
}

#[test]
fn a_value_that_uses_the_channel_when_it_is_dropped() {
    watchdog(|| {
        let (tx, rx) = bounded(1);
        tx.send(Ok(Sends(1, tx.clone()))).unwrap();
        select! { recv(rx) -> value => drop(value) }
        assert_eq!(rx.try_recv().unwrap().err(), Some(1));
        // Evaluated and dropped in its own message, whose slot it cannot get.
        let (tx, rx) = bounded(2);
        select! {
            send(tx, { drop(Sends(2, tx.clone())); Err(3) }) -> sent => assert!(sent.is_ok()),
        }
        let received: Vec<_> = rx.try_iter().map(|value| value.err()).collect();
        assert_eq!(received, [Some(2), Some(3)]);
        // Dropped with the refusal.
        tx.close();
        select! { send(tx, Ok(Sends(4, tx.clone()))) -> sent => assert!(matches!(sent, Err(SendError(Ok(_))))) }
    });
}

#[test]
fn a_panic_between_select_and_finish() {
    watchdog(|| {
        // Between select and finish: the operation is dropped by the unwinding.
        let (tx, rx) = bounded(1);
        tx.send(1).unwrap();
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            let _operation = select_recv(&rx);
            panic!("between");
        }));
        assert!(unwound.is_err());
        assert_eq!(rx.try_recv(), Ok(1));
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            let _operation = select_send(&tx);
            panic!("between");
        }));
        assert!(unwound.is_err());
        assert_eq!(tx.try_send(2), Ok(()));
        // In the body it is done: the value was received.
        let unwound = catch_unwind(AssertUnwindSafe(|| select! { recv(rx) -> _ => panic!("behind") }));
        assert!(unwound.is_err());
        assert_eq!(rx.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Timeout));
        assert!(tx.send_timeout(3, PATIENCE).is_ok());
    });
}

/// A select that must not wait finds nothing, and then that something has happened meanwhile: it looks again, with the channels locked, and
/// finds nothing. It does not wait then either. Here another receiver comes and goes all the time.
#[test]
fn what_must_not_wait_looks_again_and_does_not_wait() {
    watchdog(|| {
        let (_tx, rx) = bounded::<u8>(0);
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let (other, over) = (rx.clone(), &over);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    assert_eq!(other.recv_timeout(Duration::from_micros(1)), Err(RecvTimeoutError::Timeout));
                }
            });
            let start = Instant::now();
            while start.elapsed() < A_MOMENT {
                let mut select = Select::new();
                select.recv(&rx);
                select.recv(&rx);
                assert!(select.try_select().is_err());
            }
            over.store(true, Ordering::Relaxed);
        });
    });
}
