//! What a library promises, put to the test: how many of a hundred times it is not so.
//!
//! Between tasks the futures are polled by hand, so every try is the same. Between threads the one that waits has slept for some
//! milliseconds when the other comes.

use crate::kinds::{AsyncRx, AsyncTx, AsyncUse, BlockingRx, BlockingTx, BlockingUse, Cap, Selects, Tasks, Threads};
use crate::measure::Metrics;
use crate::scenario::Guarantee;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

/// How often it is tried between tasks.
const POLLED: usize = 100;
/// How often between threads, who take their time.
const SLEPT: usize = 20;
/// Until a thread that has to wait sleeps.
const ASLEEP: Duration = Duration::from_millis(3);

/// What who was there first sends, and who came later.
const FIRST: usize = 1_000;
const SECOND: usize = 2_000;

fn broken(tries: usize, mut is_broken: impl FnMut() -> Option<bool>) -> Option<Metrics> {
    let mut times = 0;
    for _ in 0..tries {
        times += usize::from(is_broken()?);
    }
    Some(vec![("broken of 100", times as f64 * 100.0 / tries as f64)])
}

/// How many values fill the channel.
fn full(cap: Cap) -> usize {
    match cap {
        Cap::Bounded(n) => n,
        Cap::Unbounded => unreachable!("nobody waits to send"),
    }
}

pub fn tasks_cell<L: Tasks>(guarantee: Guarantee, cap: Cap) -> Option<Metrics> {
    let (senders, receivers) = match guarantee {
        Guarantee::CancelValue => (1, 1),
        Guarantee::CancelWakeup | Guarantee::ReceiversInTurn => (1, 2),
        Guarantee::SendersInTurn => (2, 1),
        Guarantee::SelectSends => return None,
    };
    broken(POLLED, || L::open(cap, senders, receivers, Polled { guarantee, cap }))
}

struct Polled {
    guarantee: Guarantee,
    cap: Cap,
}

impl AsyncUse<usize> for Polled {
    type Out = bool;

    /// Is it broken?
    fn run<S: AsyncTx<usize>, R: AsyncRx<usize>>(self, mut txs: Vec<S>, mut rxs: Vec<R>) -> bool {
        match self.guarantee {
            Guarantee::CancelValue => cancel_value(&mut txs[0], &mut rxs[0]),
            Guarantee::CancelWakeup => cancel_wakeup(&mut txs[0], &mut rxs),
            Guarantee::ReceiversInTurn => later_receiver(&mut txs[0], &mut rxs),
            Guarantee::SendersInTurn => later_sender(&mut txs, &mut rxs[0], full(self.cap)),
            Guarantee::SelectSends => unreachable!("of threads"),
        }
    }
}

/// A receive waits, a send succeeds, the receive is dropped: is the value gone?
fn cancel_value(tx: &mut impl AsyncTx<usize>, rx: &mut impl AsyncRx<usize>) -> bool {
    let sent = {
        let mut receive = pin!(rx.recv());
        assert!(poll(receive.as_mut(), Waker::noop()).is_pending(), "received from nobody");
        poll(pin!(tx.send(FIRST)), Waker::noop())
    };
    sent == Poll::Ready(true) && poll(pin!(rx.recv()), Waker::noop()) != Poll::Ready(Some(FIRST))
}

/// Two receives wait, a value is sent, the one that was told of it is dropped: is the other not told?
fn cancel_wakeup(tx: &mut impl AsyncTx<usize>, rxs: &mut [impl AsyncRx<usize>]) -> bool {
    let told = Arc::new(Told::default());
    let [first, second] = rxs else { unreachable!("two were asked for") };
    let mut second = pin!(second.recv());
    {
        let mut first = pin!(first.recv());
        assert!(poll(first.as_mut(), Waker::noop()).is_pending(), "received from nobody");
        assert!(poll(second.as_mut(), &told.clone().into()).is_pending(), "received from nobody");
        if poll(pin!(tx.send(FIRST)), Waker::noop()).is_pending() {
            return false;
        }
    }
    told.0.load(Relaxed) == 0
}

/// A receive waits, a value is sent, another receive is polled before the first: does it get the value?
fn later_receiver(tx: &mut impl AsyncTx<usize>, rxs: &mut [impl AsyncRx<usize>]) -> bool {
    let [first, second] = rxs else { unreachable!("two were asked for") };
    let mut first = pin!(first.recv());
    assert!(poll(first.as_mut(), Waker::noop()).is_pending(), "received from nobody");
    let mut send = pin!(tx.send(FIRST));
    let _ = poll(send.as_mut(), Waker::noop());
    poll(pin!(second.recv()), Waker::noop()) == Poll::Ready(Some(FIRST))
}

/// A send waits for room, there is some, another send is polled before the first: is its value received before the other's?
fn later_sender(txs: &mut [impl AsyncTx<usize>], rx: &mut impl AsyncRx<usize>, full: usize) -> bool {
    let [first, second] = txs else { unreachable!("two were asked for") };
    for value in 0..full {
        assert!(poll(pin!(first.send(value)), Waker::noop()).is_ready(), "there is room");
    }
    let mut first = Some(Box::pin(first.send(FIRST)));
    poll_on(&mut first);
    assert!(first.is_some(), "there is no room");
    if full > 0 {
        assert_eq!(poll(pin!(rx.recv()), Waker::noop()), Poll::Ready(Some(0)));
    }
    let mut second = Some(Box::pin(second.send(SECOND)));
    poll_on(&mut second);
    loop {
        match poll(pin!(rx.recv()), Waker::noop()) {
            Poll::Ready(Some(value)) if value < FIRST => {}
            Poll::Ready(value) => break value == Some(SECOND),
            Poll::Pending => {
                poll_on(&mut first);
                poll_on(&mut second);
            }
        }
    }
}

fn poll<F: Future>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}

/// Polls what has not ended yet.
fn poll_on<F: Future>(future: &mut Option<Pin<Box<F>>>) {
    if future.as_mut().is_some_and(|future| poll(future.as_mut(), Waker::noop()).is_ready()) {
        *future = None;
    }
}

#[derive(Default)]
struct Told(AtomicUsize);

impl Wake for Told {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

pub fn threads_cell<L: Threads>(guarantee: Guarantee, cap: Cap) -> Option<Metrics> {
    match guarantee {
        Guarantee::ReceiversInTurn => broken(SLEPT, || L::open(cap, 2, 2, LaterReceiver)),
        Guarantee::SendersInTurn => broken(SLEPT, || L::open(cap, 2, 1, LaterSender { full: full(cap) })),
        _ => None,
    }
}

/// Waits until another thread, which says so right before it does, must be asleep in an operation.
fn wait_until_asleep(begun: &AtomicBool) {
    while !begun.load(SeqCst) {
        thread::sleep(Duration::from_millis(1));
    }
    thread::sleep(ASLEEP);
}

/// A thread sleeps in a receive, a value is sent, another thread receives before the first has woken up: does it get the value?
struct LaterReceiver;

impl BlockingUse<usize> for LaterReceiver {
    type Out = bool;

    fn run<S: BlockingTx<usize>, R: BlockingRx<usize>>(self, mut txs: Vec<S>, mut rxs: Vec<R>) -> bool {
        let (mut later, mut now) = (txs.pop().expect("two"), txs.pop().expect("two"));
        let (mut second, mut first) = (rxs.pop().expect("two"), rxs.pop().expect("two"));
        let (begun, sent) = (AtomicBool::new(false), AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                begun.store(true, SeqCst);
                first.recv();
            });
            scope.spawn(|| {
                wait_until_asleep(&sent);
                later.send(SECOND);
            });
            wait_until_asleep(&begun);
            now.send(FIRST);
            sent.store(true, SeqCst);
            second.recv() == FIRST
        })
    }
}

/// A thread sleeps in a send, room is made, another thread sends before the first has woken up: is its value received before the
/// other's?
struct LaterSender {
    full: usize,
}

impl BlockingUse<usize> for LaterSender {
    type Out = bool;

    fn run<S: BlockingTx<usize>, R: BlockingRx<usize>>(self, mut txs: Vec<S>, mut rxs: Vec<R>) -> bool {
        let (mut second, mut first) = (txs.pop().expect("two"), txs.pop().expect("two"));
        let (rx, full) = (Mutex::new(rxs.pop().expect("one")), self.full);
        (0..full).for_each(|value| first.send(value));
        let (begun, is_there_room) = (AtomicBool::new(false), AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                begun.store(true, SeqCst);
                first.send(FIRST);
            });
            let receiver = scope.spawn(|| {
                wait_until_asleep(&is_there_room);
                let mut rx = rx.lock().unwrap();
                // With what is left of those that filled the channel.
                let mut values = (0..full.max(1) + 1).map(|_| rx.recv()).filter(|&value| value >= FIRST);
                let is_second = values.next() == Some(SECOND);
                values.for_each(drop);
                is_second
            });
            wait_until_asleep(&begun);
            if full > 0 {
                assert_eq!(rx.lock().unwrap().recv(), 0);
            }
            is_there_room.store(true, SeqCst);
            second.send(SECOND);
            receiver.join().unwrap()
        })
    }
}

pub fn select_cell<L: Selects>(cap: Cap) -> Option<Metrics> {
    broken(SLEPT, || L::open_both(cap, 2, AllRoom { full: full(cap) }))
}

/// Selects over two channels send until both are full, and nobody receives meanwhile: is something else received?
struct AllRoom {
    full: usize,
}

impl BlockingUse<usize> for AllRoom {
    type Out = bool;

    fn run<S: BlockingTx<usize>, R: BlockingRx<usize>>(self, mut txs: Vec<S>, mut rxs: Vec<R>) -> bool {
        let all = 2 * self.full;
        (0..all).for_each(|value| txs[value % 2].send(value));
        let mut got: Vec<_> = (0..all).map(|i| rxs[i % 2].recv()).collect();
        got.sort_unstable();
        !got.into_iter().eq(0..all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::impls::named;
    use crate::scenario::{Mode, Work, all};

    fn times(column: &str, id: &str) -> f64 {
        let scenario = all(Mode::Guarantees).into_iter().find(|s| s.id() == id).expect("a scenario");
        named(column).expect("a column").cell(&scenario.work, Duration::ZERO).expect("it takes part")[0].1
    }

    #[test]
    fn all_hold_for_gochan() {
        for scenario in all(Mode::Guarantees) {
            assert_eq!(times("gochan", &scenario.id()), 0.0, "{}", scenario.id());
        }
    }

    /// A probe that finds nothing anywhere would say nothing.
    #[test]
    fn each_is_broken_by_somebody() {
        assert_eq!(times("kanal", "guarantees-async/async.bounded1_cancel_value"), 100.0);
        assert_eq!(times("kanal", "guarantees-async/async.bounded1_cancel_wakeup"), 100.0);
        assert_eq!(times("async_channel", "guarantees-async/async.bounded1_receivers_in_turn"), 100.0);
        assert_eq!(times("async_channel", "guarantees-async/async.bounded1_senders_in_turn"), 100.0);
        assert!(times("crossbeam", "guarantees/bounded1_receivers_in_turn") > 50.0);
        assert!(times("crossbeam", "guarantees/bounded1_senders_in_turn") > 50.0);
        let takes = |column: &str, guarantee| {
            let work = Work::Guarantee { guarantee, room: crate::scenario::Room::Bounded(1), tasks: false };
            named(column).expect("a column").cell(&work, Duration::ZERO).is_some()
        };
        assert!(takes("crossbeam", Guarantee::SelectSends) && !takes("crossfire", Guarantee::SelectSends));
    }
}
