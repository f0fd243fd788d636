//! Selects among wakers that do something: panic, or use the channel, between two sections of somebody else's operation.

mod common;

use common::future::{at_once, panicking, poll, queued};
use common::{PATIENCE, watchdog};
use gochan::{Receiver, Select, Sender, TryRecvError, TrySendError, bounded, select, select_async};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Wake, Waker};

/// A waker that does something.
struct Does<F>(F);

impl<F: Fn() + Send + Sync + 'static> Wake for Does<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

/// Calls of wakers without data, which differ in their tables alone: how often each was woken.
static WOKEN: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];

fn ignore(_: *const ()) {}

static TABLES: [RawWakerVTable; 3] = [
    RawWakerVTable::new(
        |data| RawWaker::new(data, &TABLES[0]),
        |_| _ = WOKEN[0].fetch_add(1, Ordering::Relaxed),
        |_| _ = WOKEN[0].fetch_add(1, Ordering::Relaxed),
        ignore,
    ),
    RawWakerVTable::new(
        |data| RawWaker::new(data, &TABLES[1]),
        |_| _ = WOKEN[1].fetch_add(1, Ordering::Relaxed),
        |_| _ = WOKEN[1].fetch_add(1, Ordering::Relaxed),
        ignore,
    ),
    // Which cannot be cloned.
    RawWakerVTable::new(|_| resume_unwind(Box::new("waker")), ignore, ignore, ignore),
];

fn waker_of(table: usize) -> Waker {
    // SAFETY: the functions need no data.
    unsafe { Waker::from_raw(RawWaker::new(ptr::null(), &TABLES[table])) }
}

/// Polled first with a waker that cannot be cloned, then with one, then with another that differs in its table: the last one is
/// woken.
#[test]
fn the_last_of_three_wakers() {
    let ((tx, rx), (_keep, silent)) = (bounded(0), bounded::<u8>(0));
    let mut list = Select::new();
    let index = list.recv(&rx);
    list.recv(&silent);
    let mut another = list.clone();
    let mut select = pin!(list.select_async());
    let mut ready = pin!(another.ready_async());
    let [bad, first, last] = [2, 0, 1].map(waker_of);
    assert!(
        catch_unwind(AssertUnwindSafe(|| select.as_mut().poll(&mut Context::from_waker(&bad)).is_ready())).is_err()
    );
    assert!(catch_unwind(AssertUnwindSafe(|| ready.as_mut().poll(&mut Context::from_waker(&bad)).is_ready())).is_err());
    for waker in [&first, &last] {
        assert!(select.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
        assert!(ready.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
    }
    assert_eq!(at_once(tx.send_async(7)), Ok(()));
    assert_eq!(WOKEN.each_ref().map(|count| count.load(Ordering::Relaxed)), [0, 1], "the select has it");
    let Poll::Ready(operation) = select.as_mut().poll(&mut Context::from_waker(&last)) else { panic!("not selected") };
    assert_eq!((operation.index(), operation.recv(&rx)), (index, Ok(7)));
    let _waits = queued(tx.send_async(8));
    assert_eq!(WOKEN.each_ref().map(|count| count.load(Ordering::Relaxed)), [0, 2], "who watches is told");
    assert!(matches!(ready.as_mut().poll(&mut Context::from_waker(&last)), Poll::Ready(ready) if ready == index));
}

/// Somebody who watches panics when he is told that a select waits: that does not wait then, and is in no queue.
#[test]
fn a_watcher_that_panics() {
    type Way = fn(&Sender<u8>, &Receiver<u8>) -> bool;
    watchdog(|| {
        let ways: [Way; 4] = [
            |_, rx| select! { recv(rx) -> got => got.is_ok(), recv(gochan::never::<u8>()) -> _ => false },
            |_, rx| select! { recv(rx) -> got => got.is_ok(), default(10 * PATIENCE) => false },
            |_, rx| {
                at_once(async {
                    select_async! { recv(rx) -> got => got.is_ok() }
                })
            },
            |tx, _| select! { send(tx, 1) -> sent => sent.is_ok(), recv(gochan::never::<u8>()) -> _ => false },
        ];
        for (i, way) in ways.into_iter().enumerate() {
            let (tx, rx) = bounded(0);
            let mut list = Select::new();
            if i < 3 {
                list.send(&tx)
            } else {
                list.recv(&rx)
            };
            let mut ready = pin!(list.ready_async());
            assert!(ready.as_mut().poll(&mut Context::from_waker(&panicking())).is_pending());
            let payload = catch_unwind(AssertUnwindSafe(|| way(&tx, &rx))).unwrap_err();
            assert_eq!(payload.downcast_ref(), Some(&"waker"), "{i}");
            assert_eq!((tx.try_send(2), rx.try_recv()), (Err(TrySendError::Full(2)), Err(TryRecvError::Empty)), "{i}");
        }
    });
}

/// Forty senders queue, forty slots are freed, and they are let in in two turns. Who is woken between them and offers to send
/// helps the others in first, and finds no slot.
#[test]
fn who_selects_between_two_turns_helps() {
    watchdog(|| {
        let (tx, rx) = bounded(40);
        (0..40).for_each(|i| tx.send(i).unwrap());
        let (offers, wakes) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::new(Does({
            let (tx, offers, wakes) = (tx.clone(), offers.clone(), wakes.clone());
            move || {
                if wakes.fetch_add(1, Ordering::Relaxed) == 0 {
                    let offer = select! { send(tx, 1000) -> sent => sent.is_ok(), default => false };
                    offers.lock().unwrap().push((offer, tx.len()));
                }
            }
        })));
        let mut sends: Vec<_> = (40..80).map(|i| Box::pin(tx.send_async(i))).collect();
        for send in &mut sends {
            assert!(send.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        assert!(rx.drain().eq(0..40));
        assert_eq!((&*offers.lock().unwrap(), wakes.load(Ordering::Relaxed)), (&vec![(false, 40)], 40));
        sends.iter_mut().for_each(|send| assert!(poll(send.as_mut()).is_ready()));
        assert!(rx.try_iter().eq(40..80));
    });
}
