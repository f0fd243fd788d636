//! Cancellation: futures that are dropped before they are ready, at every point at which that can happen.
//!
//! A value that a receive was handed comes back as the next to be received. A value that was not taken is dropped, once. A
//! slot or a receiver that was promised goes to the next sender. Whom that wakes is in `async_wakers.rs`.

mod common;

use common::future::{at_once, begun, poll, queued, two_workers};
use common::{Census, Counted, Random, make, wait_for_waiting, wait_until, waiting, watchdog};
use futures_executor::block_on;
use futures_util::{FutureExt, StreamExt};
use gochan::debug::Reason;
use gochan::{Chan, Receiver, Sender, TryRecvError, TrySendError, bounded, never, select, select_async, unbounded};
use std::future::pending;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};
use tokio::task::yield_now;

const CAPS: [Option<usize>; 4] = [Some(0), Some(1), Some(4), None];

/// How often each race is run: more often if the environment says so.
fn rounds() -> usize {
    std::env::var("GOCHAN_ROUNDS").map_or(200_000, |rounds| rounds.parse().expect("a number"))
}

/// Sends 0, 1, 2.. until the channel is closed; returns how many were sent.
async fn send_all(tx: Sender<usize>) -> usize {
    let mut sent = 0;
    while tx.send_async(sent).await.is_ok() {
        sent += 1;
        if tx.len() > 100 {
            yield_now().await;
        }
    }
    sent
}

/// A future against one that is ready when it is polled again: has it won? Else it is dropped.
async fn race<F: Future>(future: F) -> Option<F::Output> {
    tokio::select! {
        output = future => Some(output),
        () = yield_now() => None,
    }
}

/// Sends 0, 1, 2.. to tasks that receive for a time: every value is received once, and in order if one task receives. What
/// came back is found after close.
fn all_is_received<F>(tasks: usize, receive: fn(Receiver<usize>, usize) -> F)
where
    F: Future<Output = Vec<usize>> + Send + 'static,
{
    for cap in CAPS {
        let (tx, rx) = make(cap);
        two_workers().block_on(async {
            let sender = tokio::spawn(send_all(tx));
            let receivers: Vec<_> = (0..tasks).map(|_| tokio::spawn(receive(rx.clone(), rounds() / tasks))).collect();
            let mut got = Vec::new();
            for receiver in receivers {
                got.extend(receiver.await.unwrap());
            }
            rx.close();
            got.extend(&rx);
            if tasks > 1 {
                got.sort_unstable();
            }
            assert!(got.into_iter().eq(0..sender.await.unwrap()), "capacity {cap:?}, {tasks} tasks");
        });
    }
}

/// The receive that loses is dropped, often after it was handed a value.
#[test]
fn a_losing_receive_loses_nothing() {
    async fn receive(rx: Receiver<usize>, rounds: usize) -> Vec<usize> {
        let mut got = Vec::new();
        for _ in 0..rounds {
            got.extend(race(rx.recv_async()).await.map(Result::unwrap));
        }
        got
    }
    watchdog(|| [1, 3].into_iter().for_each(|tasks| all_is_received(tasks, receive)));
}

/// A losing `stream.next()` leaves the item in the stream; the drop of a stream gives it back.
#[test]
fn a_losing_stream_loses_nothing() {
    async fn receive(rx: Receiver<usize>, rounds: usize) -> Vec<usize> {
        let (mut got, mut stream) = (Vec::new(), rx.stream());
        for round in 0..rounds {
            got.extend(race(stream.next()).await.map(Option::unwrap));
            if round % 64 == 0 {
                stream = rx.stream();
            }
        }
        got
    }
    watchdog(|| [1, 3].into_iter().for_each(|tasks| all_is_received(tasks, receive)));
}

/// Reservations that lose leave no hole and keep nobody waiting; the receives may lose, too.
#[test]
fn a_losing_reservation_loses_nothing() {
    watchdog(|| {
        for cap in CAPS {
            let (tx, rx) = make(cap);
            two_workers().block_on(async {
                let senders = [0, 1].map(|sender| {
                    let tx = tx.clone();
                    tokio::spawn(async move {
                        let mut sent = 0;
                        for _ in 0..rounds() / 2 {
                            if let Some(permit) = race(tx.reserve()).await {
                                permit.unwrap().send((sender, sent)).unwrap();
                                sent += 1;
                            }
                        }
                        sent
                    })
                });
                drop(tx);
                let mut next = [0, 0];
                loop {
                    match race(rx.recv_async()).await {
                        None => continue,
                        Some(Err(_)) => break,
                        Some(Ok((sender, got))) => {
                            assert_eq!(got, next[sender]);
                            next[sender] += 1;
                        }
                    }
                }
                for (sender, received) in senders.into_iter().zip(next) {
                    assert_eq!(sender.await.unwrap(), received, "sent, received");
                }
            });
        }
    });
}

/// A send that loses has sent, or has dropped its value: what won was received, nothing was received twice, and every
/// value was dropped once.
#[test]
fn a_losing_send_drops_its_value_once() {
    watchdog(|| {
        for cap in [0, 1, 4] {
            let census = Census::default();
            let (tx, rx) = bounded(cap);
            two_workers().block_on(async {
                let values = census.clone();
                let sender = tokio::spawn(async move {
                    let mut won = Vec::new();
                    for id in 0..rounds() {
                        if race(tx.send_async(values.value(id))).await.is_some() {
                            won.push(id);
                        }
                    }
                    won
                });
                let got: Vec<usize> = rx.stream().map(|value| value.id).collect().await;
                assert!(got.is_sorted_by(|one, next| one < next));
                assert!(sender.await.unwrap().iter().all(|id| got.binary_search(id).is_ok()));
            });
            census.assert_all_dropped();
        }
    });
}

/// How somebody waits behind the receive that is dropped.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Behind {
    Nobody,
    Thread,
    SelectingThread,
    Task,
    SelectingTask,
}

enum Waiter<'s, T> {
    Nobody,
    Thread(ScopedJoinHandle<'s, T>),
    Task(Pin<Box<dyn Future<Output = T> + 's>>),
}

impl Behind {
    /// Waits for a value, queued when this returns; there are `others` already.
    fn start<'s, T: Send>(self, scope: &'s Scope<'s, '_>, rx: &'s Receiver<T>, others: usize) -> Waiter<'s, T> {
        let waiter = match self {
            Self::Nobody => return Waiter::Nobody,
            Self::Thread => Waiter::Thread(scope.spawn(move || rx.recv().unwrap())),
            Self::SelectingThread => Waiter::Thread(scope.spawn(move || {
                let (_keep, silent) = bounded::<()>(0);
                select! { recv(rx) -> got => got.unwrap(), recv(silent) -> _ => unreachable!() }
            })),
            Self::Task => Waiter::Task(queued(async move { rx.recv_async().await.unwrap() })),
            Self::SelectingTask => Waiter::Task(queued(async move {
                let (_keep, silent) = bounded::<()>(0);
                select_async! { recv(rx) -> got => got.unwrap(), recv(silent) -> _ => unreachable!() }
            })),
        };
        wait_for_waiting::<T>(others + 1);
        waiter
    }
}

/// A receive is dropped after 0, 1, 2 polls, and before or after it was handed a value. Whoever waits, or comes, gets the
/// values in order.
#[test]
fn a_receive_dropped_at_any_point() {
    watchdog(|| {
        struct Here(usize);
        let behinds = [Behind::Nobody, Behind::Thread, Behind::SelectingThread, Behind::Task, Behind::SelectingTask];
        for (cap, behind) in CAPS.into_iter().flat_map(|cap| behinds.map(|behind| (cap, behind))) {
            for (polls, handed) in [(0, false), (1, false), (1, true), (2, false), (2, true)] {
                let (tx, rx) = make(cap);
                let how = format!("{cap:?}, {behind:?}, {polls} polls, {handed}");
                thread::scope(|scope| {
                    let mut dropped = Box::pin(rx.recv_async());
                    (0..polls).for_each(|_| assert!(poll(dropped.as_mut()).is_pending()));
                    let waiter = behind.start(scope, &rx, polls.min(1));
                    let mut sends = [1, 2].map(|i| Box::pin(tx.send_async(Here(i))));
                    if handed {
                        assert!(poll(sends[0].as_mut()).is_ready(), "{how}");
                        drop(dropped);
                    } else {
                        drop(dropped);
                        let _ = poll(sends[0].as_mut());
                    }
                    let _ = poll(sends[1].as_mut());
                    let first = match waiter {
                        Waiter::Nobody => rx.try_recv().ok().unwrap(),
                        Waiter::Thread(thread) => thread.join().unwrap(),
                        Waiter::Task(task) => at_once(task),
                    };
                    assert_eq!((first.0, rx.try_recv().unwrap().0), (1, 2), "{how}");
                    assert_eq!(rx.try_recv().map(|value| value.0), Err(TryRecvError::Empty), "{how}");
                });
                assert!(waiting::<Here>().is_empty(), "{how}");
            }
        }
    });
}

/// The numbers below `count` backwards, and in orders without a pattern.
fn orders(count: usize) -> impl Iterator<Item = Vec<usize>> {
    (0..20).map(move |seed| {
        let mut order: Vec<_> = (0..count).rev().collect();
        let mut random = Random::new(seed);
        (1..if seed == 0 { 0 } else { count }).for_each(|i| order.swap(i, random.below(i + 1)));
        order
    })
}

/// Sixty-four receives were handed a value each and are dropped in any order: the values come out in the order in which
/// they were sent. Those that are not dropped keep theirs.
#[test]
fn values_that_come_back_are_in_order() {
    const MANY: usize = 64;
    for (order, cap) in orders(MANY).flat_map(|order| CAPS.map(|cap| (order.clone(), cap))) {
        for kept in [0, MANY / 2] {
            let census = Census::default();
            let (tx, rx) = make(cap);
            let mut receives: Vec<_> = (0..MANY).map(|_| Some(queued(rx.recv_async()))).collect();
            (0..MANY).for_each(|id| tx.try_send(census.value(id)).unwrap());
            order[kept..].iter().for_each(|&i| receives[i] = None);
            assert_eq!(census.dropped(), 0);
            let back: Vec<_> = rx.try_iter().map(|value| value.id).collect();
            let mut expected = order[kept..].to_vec();
            expected.sort_unstable();
            assert_eq!(back, expected);
            for (i, receive) in receives.into_iter().enumerate() {
                assert!(receive.is_none_or(|receive| at_once(receive).unwrap().id == i));
            }
            census.assert_all_dropped();
        }
    }
}

/// A value keeps its place however often it is handed out and comes back, and stays before those that were sent later.
#[test]
fn a_value_may_come_back_often() {
    for cap in CAPS {
        let (tx, rx) = make(cap);
        let mut holding = [(); 3].map(|()| Some(queued(rx.recv_async())));
        (0..3).for_each(|i| tx.try_send(i).unwrap());
        let mut random = Random::new(0);
        for _ in 0..20 {
            let mut next = [(); 3].map(|()| Some(queued(rx.recv_async())));
            holding.swap(random.below(3), random.below(3));
            // Each value goes to one of the next.
            holding.iter_mut().for_each(|receive| *receive = None);
            next.swap(0, random.below(3));
            holding = next;
        }
        let _later = [3, 4].map(|i| begun(tx.send_async(i)));
        drop(holding);
        assert!(rx.try_iter().eq(0..5), "capacity {cap:?}");
    }
}

/// Sixty-four sends wait and some are dropped in any order: the rest arrive in order, and what was dropped was dropped
/// once, at once.
#[test]
fn sends_that_are_dropped_leave_the_others_in_order() {
    const MANY: usize = 64;
    for (order, cap) in orders(MANY).flat_map(|order| [0, 1, 4].map(|cap| (order.clone(), cap))) {
        for kept in [0, MANY / 2] {
            let census = Census::default();
            let (tx, rx) = bounded(cap);
            let mut sends: Vec<_> = (0..MANY).map(|id| Some(Box::pin(tx.send_async(census.value(id))))).collect();
            for (id, send) in sends.iter_mut().enumerate() {
                let mut send = send.as_mut().unwrap().as_mut();
                assert_eq!(poll(send.as_mut()).is_ready(), id < cap);
                // Once or twice.
                assert!(id < cap || id % 2 == 0 || poll(send).is_pending());
            }
            drop(tx.send_async(census.value(MANY)));
            assert_eq!(census.dropped(), 1, "never polled");
            let mut expected: Vec<_> = (0..cap).chain(order[..kept].iter().copied().filter(|&id| id >= cap)).collect();
            expected.sort_unstable();
            let mut dropped = 1;
            for &id in &order[kept..] {
                sends[id] = None;
                dropped += usize::from(id >= cap);
                assert_eq!(census.dropped(), dropped);
            }
            assert!(rx.try_iter().map(|value| value.id).eq(expected));
            sends.into_iter().skip(cap).flatten().for_each(|send| at_once(send).unwrap());
            census.assert_all_dropped();
        }
    }
}

/// A select that receives from one channel, or makes a value and sends it on another: what it has received.
async fn receive_or_send<T>(rx: &Receiver<T>, tx: &Sender<T>, make: impl FnOnce() -> T) -> Option<T> {
    select_async! {
        recv(rx) -> got => got.ok(),
        send(tx, make()) -> sent => { assert!(sent.is_ok()); None }
    }
}

/// A select that is dropped before it was polled, or while it waits, leaves nothing behind and has done nothing.
#[test]
fn a_dropped_select_leaves_its_queues() {
    struct Here;
    for ((tx1, rx1), (tx2, rx2)) in [(bounded(0), bounded(0)), (bounded(1), bounded(1)), (unbounded(), bounded(1))] {
        let select = || async {
            select_async! { recv(rx1) -> _ => {}, recv(rx2) -> _ => {}, send(Sender::never(), Here) -> _ => {} }
        };
        drop(select());
        let waits = queued(select());
        assert_eq!(waiting::<Here>().len(), 2);
        drop(waits);
        assert_eq!(waiting::<Here>().len(), 0);
        for (tx, rx) in [(&tx1, &rx1), (&tx2, &rx2)] {
            assert_eq!(tx.try_send(Here).is_ok(), rx.capacity() != Some(0));
        }
        drop(queued(receive_or_send(&never(), &tx2, || unreachable!())));
        assert_eq!(waiting::<Here>().len(), 0);
    }
}

/// A select that is dropped when an arm has received: the value goes back, and is the next one; or it goes to whom waits.
#[test]
fn a_dropped_select_gives_its_value_back() {
    for cap in CAPS {
        let ((tx, rx), (full, _keep)) = (make(cap), bounded(0));
        let select = || queued(receive_or_send(&rx, &full, || unreachable!()));
        let selects = [select(), select(), select()];
        (0..3).for_each(|i| tx.try_send(i).unwrap());
        let later = begun(tx.send_async(3));
        drop(selects);
        assert!(rx.try_iter().eq(0..4), "capacity {cap:?}");
        drop(later);

        let fired = select();
        tx.try_send(4).unwrap();
        let (other, receive) = (select(), queued(rx.recv_async()));
        drop(fired);
        assert_eq!(at_once(other), Some(4));
        tx.try_send(5).unwrap();
        assert_eq!(at_once(receive), Ok(5));
    }
}

/// A select that is dropped when a sending arm was promised a receiver: the receiver waits on, first as before.
#[test]
fn a_dropped_select_frees_its_receiver() {
    watchdog(|| {
        #[derive(Debug, PartialEq)]
        struct Here(usize);
        let ((tx, rx), (_keep, silent)) = (bounded(0), bounded(0));
        let select = || queued(receive_or_send(&silent, &tx, || unreachable!()));
        let promised = select();
        let receives = [(); 2].map(|()| queued(rx.recv_async()));
        drop(promised);
        (1..3).for_each(|i| tx.try_send(Here(i)).unwrap());
        assert_eq!(receives.map(at_once), [Ok(Here(1)), Ok(Here(2))]);

        // The same with a thread that waits for the value of the select.
        let promised = select();
        thread::scope(|scope| {
            let thread = scope.spawn(|| rx.recv());
            wait_until(|| waiting::<Here>().iter().any(|one| one.reason == Reason::ChanReceive));
            assert!(tx.try_send(Here(0)).is_err(), "it is promised");
            drop(promised);
            tx.send(Here(3)).unwrap();
            assert_eq!(thread.join().unwrap(), Ok(Here(3)));
        });
    });
}

/// A select that is dropped when a sending arm was promised a slot: the slot is free, or goes to the next sender.
#[test]
fn a_dropped_select_frees_its_slot() {
    let ((tx, rx), (_keep, silent)) = (bounded(1), bounded(0));
    for next in [false, true] {
        tx.try_send(1).unwrap();
        let select = queued(receive_or_send(&silent, &tx, || unreachable!()));
        let send = next.then(|| queued(tx.send_async(2)));
        assert_eq!(rx.try_recv(), Ok(1));
        assert_eq!(tx.try_send(9), Err(TrySendError::Full(9)), "it is promised");
        drop(select);
        send.map_or_else(|| tx.send(2), at_once).unwrap();
        assert_eq!((rx.try_recv(), rx.try_recv()), (Ok(2), Err(TryRecvError::Empty)));
    }
}

/// While a message is awaited its slot, or its receiver, is kept. If the select is dropped then, it is free again; a
/// message that exists is dropped.
#[test]
fn a_select_dropped_while_its_message_is_awaited() {
    let census = Census::default();
    for cap in [0, 1] {
        let (tx, rx) = bounded::<Counted>(cap);
        let mut receive = (cap == 0).then(|| queued(rx.recv_async()));
        let select = queued(async {
            let value = census.value(0);
            select_async! { send(tx, { pending::<()>().await; value }) -> _ => unreachable!() }
        });
        let refused = tx.try_send(census.value(1)).unwrap_err();
        assert!(refused.is_full() && refused.into_inner().id == 1);
        let waits = receive.as_mut().is_none_or(|receive| poll(receive.as_mut()).is_pending());
        assert!(waits);
        drop(select);
        tx.try_send(census.value(2)).unwrap();
        let got = receive.map_or_else(|| rx.try_recv().unwrap(), |receive| at_once(receive).unwrap());
        assert_eq!(got.id, 2);
    }
    census.assert_all_dropped();
}

/// `default(timeout)` is not taken early, nor if something was possible before the time was over, whenever that is found
/// out. What is not taken stays.
#[test]
fn default_after_a_timeout() {
    const TIMEOUT: Duration = Duration::from_millis(2);
    for cap in CAPS {
        let ((tx, rx), (full, other)) = (make(cap), bounded(0));
        let select = || async {
            select_async! {
                recv(rx) -> got => got.ok(),
                send(full, 7) -> sent => sent.ok().map(|()| 7),
                default(TIMEOUT) => None,
            }
        };
        let start = Instant::now();
        assert_eq!(block_on(select()), None);
        assert!(start.elapsed() >= TIMEOUT);
        // The time is counted from the first poll. It is over, nobody has looked, and then something comes.
        let selects = [queued(select()), queued(select()), queued(select())];
        thread::sleep(2 * TIMEOUT);
        tx.try_send(1).unwrap();
        let received = queued(other.recv_async());
        assert_eq!(selects.map(at_once), [Some(1), Some(7), None]);
        assert_eq!((at_once(received), rx.try_recv()), (Ok(7), Err(TryRecvError::Empty)));
    }
}

/// The last moment of a deadline: the time is over, the waiter has been looked at, and only then the other side comes; here
/// from the drop of a waker that is replaced. What happened counts.
#[test]
fn at_the_last_moment() {
    type Ends = (Sender<u8>, Receiver<u8>);
    struct AtLast(Ends, fn(&Ends) -> bool);
    impl Wake for AtLast {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for AtLast {
        fn drop(&mut self) {
            (self.1)(&self.0);
        }
    }
    type Start = for<'a> fn(&'a Ends) -> Pin<Box<dyn Future<Output = bool> + 'a>>;
    const SOON: Duration = Duration::from_millis(1);
    type Other = fn(&Ends) -> bool;
    let cases: [(Start, Other); 2] = [
        (|(_, rx)| Box::pin(rx.recv_timeout_async(SOON).map(|got| got == Ok(1))), |(tx, _)| tx.try_send(1).is_ok()),
        (|(tx, _)| Box::pin(tx.send_timeout_async(1, SOON).map(|it| it.is_ok())), |(_, rx)| rx.try_recv().is_ok()),
    ];
    watchdog(move || {
        let ends = &bounded(0);
        for (start, other) in cases {
            let (mut waits, wakers) = loop {
                let (mut waits, data) = (start(ends), Arc::new(AtLast(ends.clone(), other)));
                let wakers = Arc::downgrade(&data);
                // If this is too slow, the time is over already.
                if waits.as_mut().poll(&mut Context::from_waker(&data.into())).is_pending() {
                    break (waits, wakers);
                }
            };
            // The deadline has woken the task; the channel has the other waker.
            wait_until(|| wakers.strong_count() == 1);
            assert_eq!(poll(waits.as_mut()), Poll::Ready(true));
        }
    });
}

/// Futures outlive the other handles. A value that the last receiver was handed, and one that nobody will receive, are
/// dropped once; who sends is told.
#[test]
fn the_last_receiver_goes_with_a_value() {
    for cap in CAPS {
        let census = Census::default();
        let value = |id| census.value(id);
        // A future, and a stream, that were handed a value and are the last that could receive it.
        let (tx, rx) = make(cap);
        let (receive, mut stream) = (queued(rx.clone().into_recv_async()), rx.into_stream());
        assert!(poll(pin!(stream.next())).is_pending());
        (0..2).for_each(|id| tx.try_send(value(id)).unwrap());
        let (mut send, sent) = begun(tx.send_async(value(2)));
        drop(receive);
        assert_eq!((tx.is_closed(), census.dropped()), (false, 0));
        drop(stream);
        assert_eq!((tx.is_closed(), census.dropped()), (true, if sent { 3 } else { 2 }));
        // Nobody took the one that waits, nor any later one.
        assert!(sent || matches!(poll(send.as_mut()), Poll::Ready(Err(error)) if error.0.id == 2));
        assert!(at_once(tx.send_async(value(3))).is_err());
        drop(send);
        census.assert_all_dropped();

        // A value that is promised, or waits, is its sender's still; a future holds a value beyond the channel's end.
        let (tx, rx) = make(cap);
        let receive = queued(rx.into_recv_async());
        tx.try_send(value(4)).unwrap();
        drop(tx);
        assert_eq!(at_once(receive).unwrap().id, 4);
        let chan = Chan::new(1);
        let waits = queued(chan.as_receiver().clone().into_recv_async());
        at_once(chan.send_async(value(5)));
        chan.close();
        drop((chan, waits));
        census.assert_all_dropped();
    }
}

/// A receiver was promised to a permit, so a sender that came then had to wait. When the permit is dropped, the two meet.
#[test]
fn a_dropped_permit_lets_those_meet_who_wait() {
    let (tx, rx) = bounded(0);
    let mut receiver = queued(rx.recv_async());
    let permit = at_once(tx.reserve()).unwrap();
    let mut sender = queued(tx.send_async(7));
    drop(permit);
    assert_eq!(poll(receiver.as_mut()), Poll::Ready(Ok(7)));
    assert_eq!(poll(sender.as_mut()), Poll::Ready(Ok(())));
}

/// What comes back takes no slot: the buffer is full still, and who waits for room in it waits on.
#[test]
fn a_value_comes_back_beside_a_full_buffer() {
    for awaited in [false, true] {
        let (tx, rx) = bounded(1);
        let recv = || if awaited { at_once(rx.recv_async()) } else { rx.recv() };
        let handed = queued(rx.recv_async());
        tx.try_send(1).unwrap();
        tx.try_send(2).unwrap();
        let mut sender = queued(tx.send_async(3));
        drop(handed);
        assert_eq!(recv(), Ok(1));
        assert_eq!((rx.len(), poll(sender.as_mut())), (1, Poll::Pending));
        assert_eq!(recv(), Ok(2));
        assert_eq!((rx.len(), poll(sender.as_mut())), (1, Poll::Ready(Ok(()))));
        assert_eq!(recv(), Ok(3));
    }
}

/// A future that has its handle lets go of it: one that was never polled, one that is ready, one that waits.
#[test]
fn a_future_lets_go_of_its_handle() {
    let (tx, rx) = bounded(1);
    drop(rx.clone().into_recv_async());
    drop(queued(rx.clone().into_recv_async()));
    tx.try_send(1).unwrap();
    assert_eq!(at_once(rx.clone().into_recv_async()), Ok(1));
    assert_eq!(rx.receiver_count(), 1);
    drop(tx.clone().into_send_async(2));
    assert_eq!(at_once(tx.clone().into_send_async(3)), Ok(()));
    drop(queued(tx.clone().into_send_async(4)));
    assert_eq!((tx.sender_count(), rx.len()), (1, 1));
}

/// A value for which there was no room in time comes back, once.
#[test]
fn a_value_that_was_not_sent_in_time_comes_back_once() {
    watchdog(|| {
        let (tx, rx) = bounded(0);
        let value = Arc::new(());
        let unsent = block_on(tx.send_timeout_async(value.clone(), Duration::from_millis(1))).unwrap_err();
        assert_eq!(Arc::strong_count(&value), 2);
        drop(unsent);
        assert_eq!(Arc::strong_count(&value), 1);
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    });
}
