//! What the futures are: names, threads that they may go to, sizes, what they allocate, and what they do at their first
//! poll.

mod common;

use common::alloc::{Counting, allocations, allocations_of};
use common::future::{at_once, begun, poll, queued};
use common::{PATIENCE, always_a_value, is, make, watchdog};
use futures_executor::block_on;
use futures_util::future::FusedFuture;
use futures_util::stream::FusedStream;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use gochan::future::{ClosedFut, RecvFut, RecvStream, RecvTimeoutFut, ReserveFut, SendFut, SendSink, SendTimeoutFut};
use gochan::{
    Chan, Permit, Receiver, RecvError, RecvTimeoutError, Select, SendError, SendTimeoutError, Sender, TrySendError,
    after, bounded, never, select_async,
};
use std::cell::Cell;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::pin::pin;
use std::rc::Rc;
use std::sync::MutexGuard;
use std::thread;
use std::time::{Duration, Instant};
use tokio::task::yield_now;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const CAPS: [Option<usize>; 4] = [Some(0), Some(1), Some(64), None];

/// Checks `Send`, `Sync` and `Unpin` of everything that can be awaited, for one type of values.
macro_rules! check {
    ($expected:expr, $T:ty) => {
        check!(@ $expected, false, [
            RecvFut<'static, $T>, SendFut<'static, $T>, RecvTimeoutFut<'static, $T>, SendTimeoutFut<'static, $T>,
            ReserveFut<'static, $T>, ClosedFut<'static, $T>,
        ]);
        check!(@ $expected, true, [RecvStream<'static, $T>, SendSink<'static, $T>, Permit<'static, $T>]);
    };
    (@ $expected:expr, $unpin:expr, [$($T:ty),+ $(,)?]) => {$(
        assert_eq!((is!(Send, $T), is!(Sync, $T), is!(Unpin, $T)), ($expected, $expected, $unpin), stringify!($T));
    )+};
}

/// A future crosses threads if its values may, whether they may be shared or not. It stays where it is once it is polled;
/// streams and sinks may be moved.
#[test]
fn futures_cross_threads_if_their_values_do() {
    check!(true, u8);
    check!(true, Cell<u8>);
    check!(false, Rc<()>);
    check!(false, *const u8);
    assert!(is!(Sync, MutexGuard<'static, u8>));
    check!(false, MutexGuard<'static, u8>);
}

async fn select_of<T>(rx: &Receiver<T>, tx: &Sender<T>, value: T) {
    select_async! {
        recv(rx) -> _ => {},
        send(tx, value) -> _ => {},
        default(PATIENCE) => {}
    }
}

fn send_to<T>(chan: &Chan<T>, value: T) -> impl Future {
    chan.send_async(value)
}

fn receive_from<T>(chan: &Chan<T>) -> impl Future {
    chan.recv_async()
}

/// The same of those that have no name: selects in `async` blocks, and what `Chan` returns.
#[test]
fn selects_cross_threads_if_their_values_do() {
    struct Probe<T>(PhantomData<T>);
    fn probe<T>(_: T) -> Probe<T> {
        Probe(PhantomData)
    }
    trait Crosses {
        fn crosses(&self) -> bool {
            true
        }
    }
    impl<T: Send> Crosses for Probe<T> {}
    /// Found where the other is not.
    trait Otherwise {
        fn crosses(&self) -> bool {
            false
        }
    }
    impl<T> Otherwise for &Probe<T> {}
    macro_rules! cross {
        ($value:expr) => {{
            let (chan, tx, rx) = (Chan::new(1), Sender::never(), never());
            [
                (&probe(select_of(&rx, &tx, $value))).crosses(),
                (&probe(send_to(&chan, $value))).crosses(),
                (&probe(receive_from(&chan))).crosses(),
            ]
        }};
    }
    assert_eq!(cross!(Cell::new(0)), [true; 3]);
    assert_eq!(cross!(Rc::new(0)), [false; 3]);
}

/// A future is two cache lines at most: its wait and its value are inside.
#[test]
fn futures_are_small() {
    assert!(size_of::<RecvFut<usize>>() <= 128, "{}", size_of::<RecvFut<usize>>());
    assert!(size_of::<SendFut<usize>>() <= 128, "{}", size_of::<SendFut<usize>>());
    assert!(size_of::<ReserveFut<usize>>() <= 128);
    assert!(size_of::<ClosedFut<usize>>() <= 128);
    assert_eq!(size_of::<RecvFut<[u64; 100]>>() - size_of::<RecvFut<u64>>(), 99 * 8);
    assert!(size_of::<RecvStream<[u64; 100]>>() <= 3 * size_of::<usize>());
}

/// flume's names are there, and mean what they mean there.
#[test]
fn the_names_of_flume() {
    fn is_stream<S: Stream<Item = u8> + FusedStream + Clone>(stream: S) -> S {
        stream
    }
    fn is_sink<S: Sink<u8, Error = SendError<u8>> + Clone>(sink: S) -> S {
        sink
    }
    let (tx, rx) = bounded(4);
    let send: SendFut<'_, u8> = tx.send_async(1);
    let owning: SendFut<'static, u8> = tx.clone().into_send_async(2);
    let mut sink: SendSink<'_, u8> = is_sink(tx.sink());
    let mut owning_sink: SendSink<'static, u8> = is_sink(tx.clone().into_sink());
    block_on(async {
        assert_eq!((send.await, owning.await), (Ok(()), Ok(())));
        assert_eq!((sink.send(3).await, owning_sink.send(4).await), (Ok(()), Ok(())));
    });
    assert!(sink.sender().same_channel(&tx) && owning_sink.clone().sender().same_channel(&tx));
    let receive: RecvFut<'_, u8> = rx.recv_async();
    let owning: RecvFut<'static, u8> = rx.clone().into_recv_async();
    let mut stream: RecvStream<'_, u8> = is_stream(rx.stream());
    let mut owning_stream: RecvStream<'static, u8> = is_stream(rx.clone().into_stream());
    block_on(async {
        assert_eq!((receive.await, owning.await), (Ok(1), Ok(2)));
        assert_eq!((stream.next().await, owning_stream.next().await), (Some(3), Some(4)));
    });
    assert!(sink.same_channel(&owning_sink) && !sink.same_channel(&bounded(4).0.sink()));
    assert!(stream.same_channel(&owning_stream) && !stream.same_channel(&bounded(4).1.stream()));
    assert!(stream.receiver().same_channel(&rx) && owning_stream.clone().receiver().same_channel(&rx));
}

/// What must not be polled again once it has ended says so.
#[test]
fn futures_that_have_ended() {
    fn ends<F: FusedFuture>(future: F) {
        let mut future = pin!(future);
        assert!(!future.is_terminated());
        let is_ready = poll(future.as_mut()).is_ready();
        assert_eq!(future.is_terminated(), is_ready);
    }
    for (cap, patience) in [(0, PATIENCE), (0, Duration::ZERO), (1, PATIENCE)] {
        let (tx, rx) = bounded(cap);
        ends(tx.send_async(1));
        let _ = rx.try_recv();
        ends(tx.send_timeout_async(1, patience));
        let _ = rx.try_recv();
        let mut select = Select::new();
        select.send(&tx);
        ends(select.select_async());
        ends(select.select_timeout_async(patience));
        ends(select.try_select_async());
        rx.close();
        ends(tx.send_async(1));
        ends(select.select_async());
    }
}

/// A stream ends once, and says so; a clone of it, or another stream, is none of its concern.
#[test]
fn a_stream_that_has_ended() {
    for cap in CAPS {
        let (tx, rx) = make(cap);
        let (mut stream, held) = (rx.stream(), queued(rx.recv_async()));
        tx.try_send(1).unwrap();
        tx.close();
        assert!(!stream.is_terminated());
        assert_eq!((at_once(stream.next()), at_once(stream.next()), stream.is_terminated()), (None, None, true));
        // What comes back after that is for others.
        drop(held);
        assert_eq!((at_once(stream.next()), at_once(stream.clone().next())), (None, Some(1)));
        assert!(stream.is_terminated() && !rx.stream().is_terminated());
    }
}

/// None of them needs values that can be shown.
#[test]
fn debug_names_the_type() {
    struct Opaque;
    let (tx, rx) = bounded::<Opaque>(1);
    let permit = tx.try_reserve().ok().unwrap();
    let all: [(&dyn Debug, &str); 10] = [
        (&rx.recv_async(), "RecvFut { .. }"),
        (&tx.send_async(Opaque), "SendFut { .. }"),
        (&rx.recv_timeout_async(PATIENCE), "RecvTimeoutFut { .. }"),
        (&tx.send_timeout_async(Opaque, PATIENCE), "SendTimeoutFut { .. }"),
        (&tx.reserve(), "ReserveFut { .. }"),
        (&permit, "Permit { .. }"),
        (&tx.closed(), "ClosedFut { .. }"),
        (&rx.closed(), "ClosedFut { .. }"),
        (&rx.stream(), "RecvStream { .. }"),
        (&tx.sink(), "SendSink { .. }"),
    ];
    for (future, text) in all {
        assert_eq!(format!("{future:?}"), text);
    }
}

/// A task as the tests of allocations have it: on the stack, polled by hand.
macro_rules! parked {
    ($name:ident = $future:expr) => {
        let mut $name = pin!($future);
        assert!(poll($name.as_mut()).is_pending());
    };
}

/// No operation allocates, whether it waits or not, has a deadline, is completed or dropped; a value that comes back does.
#[test]
fn awaiting_allocates_nothing() {
    for cap in CAPS {
        let (tx, rx) = make::<[u64; 8]>(cap);
        let value = [1; 8];
        // Receivers that wait, and those who end that.
        let receives = allocations_of(|| {
            for _ in 0..100 {
                parked!(one = rx.recv_async());
                parked!(
                    another = async {
                        select_async! { recv(rx) -> got => got, recv(never::<()>()) -> _ => panic!() }
                    }
                );
                parked!(with_deadline = rx.recv_timeout_async(PATIENCE));
                parked!(dropped = rx.recv_async());
                parked!(closed = rx.closed());
                at_once(tx.send_async(value)).unwrap();
                at_once(tx.reserve()).unwrap().send(value).unwrap();
                at_once(async {
                    select_async! { send(tx, value) -> sent => sent }
                })
                .unwrap();
                assert!(at_once(one).is_ok() && at_once(another).is_ok() && at_once(with_deadline).is_ok());
                let _ = (dropped, closed);
            }
        });
        // Senders that wait, where there is something to wait for.
        let sends = allocations_of(|| {
            let Some(cap) = cap else { return };
            for _ in 0..100 {
                (0..cap).for_each(|_| tx.try_send(value).unwrap());
                parked!(one = tx.send_async(value));
                parked!(
                    another = async {
                        select_async! { send(tx, value) -> sent => sent, recv(never::<()>()) -> _ => panic!() }
                    }
                );
                parked!(reserved = tx.reserve());
                parked!(dropped = tx.send_timeout_async(value, PATIENCE));
                parked!(closed = tx.closed());
                (0..cap.max(1)).for_each(|_| assert!(at_once(rx.recv_async()).is_ok()));
                assert!(at_once(one).is_ok());
                if cap > 2 {
                    assert!(at_once(another).is_ok() && at_once(reserved).unwrap().send(value).is_ok());
                }
                while rx.try_recv().is_ok() {}
                let _ = (dropped, closed);
            }
        });
        assert_eq!((receives, sends), (0, 0), "capacity {cap:?}");
    }
}

/// Two threads of which each awaits the other: neither allocates, but what a channel allocates once.
#[test]
fn awaiting_another_thread_allocates_nothing() {
    /// Passes numbers to and fro: how often the thread has allocated.
    async fn rounds(tx: &Sender<usize>, rx: &Receiver<usize>, first: usize) -> usize {
        let before = allocations();
        for round in first..1000 + first {
            if round % 2 == 0 {
                tx.send_async(round).await.unwrap();
                continue;
            }
            let got = match round % 4 {
                1 => rx.recv_async().await,
                _ => select_async! { recv(rx) -> got => got, recv(never::<()>()) -> _ => Err(RecvError) },
            };
            assert!(got.is_ok());
        }
        allocations() - before
    }
    watchdog(|| {
        for cap in [0, 1, 64] {
            let [(tx, rx), (back_tx, back_rx)] = [(); 2].map(|()| {
                let (tx, rx) = bounded(cap);
                // Its buffer, and its being known to who asks for waiters.
                drop(queued(rx.recv_async()));
                assert_eq!(tx.try_send(0).is_ok(), rx.try_recv().is_ok());
                (tx, rx)
            });
            thread::scope(|scope| {
                let other = scope.spawn(|| {
                    // What a thread needs that blocks.
                    block_on(yield_now());
                    block_on(rounds(&back_tx, &rx, 1))
                });
                block_on(yield_now());
                assert_eq!((block_on(rounds(&tx, &back_rx, 0)), other.join().unwrap()), (0, 0));
            });
        }
    });
}

/// A stream, and a sink, is one allocation, whatever goes through it.
#[test]
fn streams_and_sinks_allocate_once() {
    for cap in CAPS {
        let (tx, rx) = make(cap);
        let made = allocations_of(|| {
            let (mut stream, mut sink) = (rx.stream(), tx.sink());
            for i in 0..1000 {
                parked!(next = stream.next());
                at_once(sink.send(i)).unwrap();
                assert_eq!(at_once(next), Some(i));
                let mut fed = pin!(sink.send(i));
                let sent = poll(fed.as_mut()).is_ready();
                assert_eq!(at_once(stream.next()), Some(i));
                assert!(sent || at_once(fed).is_ok());
            }
        });
        assert_eq!(made, 2, "capacity {cap:?}");
    }
}
/// `default` is taken at once, and only if nothing is possible; in a select that is dropped nothing is.
#[test]
fn default_is_taken_at_once_or_not_at_all() {
    for cap in CAPS {
        let (tx, rx) = make(cap);
        let receive = || async {
            select_async! { recv(rx) -> got => got.ok(), default => None }
        };
        assert_eq!(at_once(receive()), None);
        let _send = begun(tx.send_async(1));
        drop(receive());
        assert_eq!((at_once(receive()), at_once(receive())), (Some(1), None));
    }
    let (tx, rx) = bounded(1);
    let send = || async {
        select_async! { send(tx, 1) -> sent => sent.is_ok(), default => false }
    };
    assert_eq!([at_once(send()), at_once(send())], [true, false]);
    let _ = rx.recv();
    let _receives = [(); 2].map(|()| queued(rx.recv_async()));
    assert_eq!([at_once(send()), at_once(send()), at_once(send())], [true; 3]);
    assert!(!at_once(send()));
}

/// Of two channels one has a value at every moment: first the one, then both, then the other. A task does not take default
/// either.
#[test]
fn default_is_exact() {
    watchdog(|| {
        always_a_value(60_000, |rx1, rx2| {
            at_once(async {
                select_async! {
                    recv(rx1) -> _ => {},
                    recv(rx2) -> _ => {},
                    default => panic!("there was a value"),
                }
            });
        });
    });
}

/// The message of a select may be awaited for long: its receiver gets it, whatever is sent meanwhile.
#[test]
fn a_message_that_is_awaited_arrives() {
    for cap in [0, 1] {
        let ((tx, rx), (go, gone)) = (bounded(cap), bounded(1));
        let receive = queued(rx.recv_async());
        let mut select = queued(async {
            select_async! { send(tx, gone.recv_async().await.unwrap()) -> sent => sent.unwrap() }
        });
        let other = begun(tx.send_async(2));
        go.try_send(1).unwrap();
        assert!(poll(select.as_mut()).is_ready());
        drop(other);
        let got = [at_once(receive).unwrap(), rx.try_recv().unwrap_or(0)];
        assert_eq!(got, if cap == 0 { [1, 0] } else { [2, 1] });
    }
}

/// A permit that is dropped leaves its slot, or its receiver, to the next; after close it gives the value back.
#[test]
fn permits_that_are_dropped_or_too_late() {
    for cap in CAPS {
        let (tx, rx) = make(cap);
        let receives = [(); 2].map(|()| (cap == Some(0)).then(|| queued(rx.recv_async())));
        let permit = at_once(tx.reserve()).unwrap();
        let another = tx.try_reserve();
        assert_eq!(another.is_err(), cap == Some(1));
        drop((permit, another));
        (1..3).for_each(|i| {
            let _ = tx.try_send(i);
        });
        let [one, two] = receives.map(|receive| receive.map_or_else(|| rx.try_recv().ok(), |it| at_once(it).ok()));
        assert_eq!((one, two), (Some(1), if cap == Some(1) { None } else { Some(2) }));

        let receive = begun(rx.recv_async());
        let (permit, unpolled) = (tx.try_reserve().unwrap(), begun(tx.reserve()));
        rx.close();
        assert_eq!(permit.send(3), Err(SendError(3)));
        drop(unpolled);
        assert!(at_once(tx.reserve()).is_err() && at_once(receive.0).is_err());
    }
}

/// Receives in each of the ways there are: what each returns that is ready when it is first polled.
fn receives<T: 'static>(rx: &Receiver<T>) -> [Box<dyn Fn() -> Option<T> + '_>; 7] {
    [
        Box::new(move || at_once(rx.recv_async()).ok()),
        Box::new(move || at_once(rx.clone().into_recv_async()).ok()),
        Box::new(move || at_once(rx.stream().next())),
        Box::new(move || at_once(rx.recv_timeout_async(Duration::ZERO)).ok()),
        Box::new(move || at_once(rx.recv_deadline_async(Instant::now())).ok()),
        Box::new(move || {
            at_once(async {
                select_async! { recv(rx) -> got => got.ok(), recv(never::<()>()) -> _ => None }
            })
        }),
        Box::new(move || {
            at_once(async {
                select_async! { recv(rx) -> got => got.ok(), default(Duration::ZERO) => None }
            })
        }),
    ]
}

/// As `receives`.
fn sends(tx: &Sender<usize>) -> [Box<dyn Fn(usize) -> bool + '_>; 7] {
    [
        Box::new(move |i| at_once(tx.send_async(i)).is_ok()),
        Box::new(move |i| at_once(tx.clone().into_send_async(i)).is_ok()),
        Box::new(move |i| at_once(tx.sink().send(i)).is_ok()),
        Box::new(move |i| at_once(tx.send_timeout_async(i, Duration::ZERO)).is_ok()),
        Box::new(move |i| at_once(tx.reserve()).is_ok_and(|permit| permit.send(i).is_ok())),
        Box::new(move |i| {
            at_once(async {
                select_async! { send(tx, i) -> sent => sent.is_ok(), recv(never::<()>()) -> _ => false }
            })
        }),
        Box::new(move |i| {
            at_once(async {
                select_async! { send(tx, i) -> sent => sent.is_ok(), default => false }
            })
        }),
    ]
}

/// What is possible is done by the first poll: every way to receive finds a value in every place where one can be, every way
/// to send finds a slot or a receiver, and all find that the channel is closed.
#[test]
fn the_first_poll_is_ready() {
    for cap in CAPS {
        let (tx, rx) = make(cap);
        for receive in receives(&rx) {
            // In the buffer, or with a sender that waits.
            let _sends = [0, 1].map(|i| begun(tx.send_async(i)));
            assert_eq!((receive(), receive()), (Some(0), Some(1)));
            // Come back from a future.
            let handed = queued(rx.recv_async());
            tx.try_send(2).unwrap();
            drop(handed);
            assert_eq!(receive(), Some(2));
        }
        for send in sends(&tx) {
            // A receiver that waits, and a slot.
            let waiting = [(); 2].map(|()| queued(rx.recv_async()));
            assert!(send(3) && send(4));
            assert_eq!(waiting.map(at_once), [Ok(3), Ok(4)]);
            if cap != Some(0) {
                assert!(send(5));
                assert_eq!(rx.try_recv(), Ok(5));
            }
        }
        // A sink does not keep what can be sent.
        let (waiting, mut sink) = (queued(rx.recv_async()), tx.sink());
        sink.start_send_unpin(7).unwrap();
        assert_eq!(at_once(waiting), Ok(7));
        tx.close();
        assert!(receives(&rx).iter().all(|receive| receive().is_none()));
        assert!(sends(&tx).iter().all(|send| !send(6)));
        at_once(tx.closed());
        at_once(rx.closed());
    }
}

/// Where nothing is possible, only what has no time to wait is ready.
#[test]
fn the_first_poll_is_pending() {
    let ((tx, rx), (nil_tx, nil)) = (bounded(0), (Sender::never(), never()));
    for (tx, rx) in [(&tx, &rx), (&nil_tx, &nil)] {
        drop((queued(tx.send_async(1)), queued(tx.sink().send(1)), queued(tx.reserve()), queued(tx.closed())));
        drop((queued(rx.recv_async()), queued(rx.stream().next()), queued(rx.closed())));
        drop(queued(async {
            select_async! { recv(rx) -> _ => {}, send(tx, 1) -> _ => {} }
        }));
        assert_eq!(at_once(rx.recv_timeout_async(Duration::ZERO)), Err(RecvTimeoutError::Timeout));
        assert_eq!(at_once(tx.send_timeout_async(1, Duration::ZERO)), Err(SendTimeoutError::Timeout(1)));
        assert_eq!(tx.try_reserve().err(), Some(TrySendError::Full(())));
    }
    drop(queued(after(PATIENCE).recv_async()));
    let due = after(Duration::ZERO);
    assert!(at_once(due.recv_async()).is_ok());
    drop(queued(due.recv_async()));
}

/// `closed` awaits close, or the last handle of the other side, and nothing else.
#[test]
fn closed_is_for_the_end() {
    let ((tx, rx), (other_tx, other_rx)) = (bounded(1), bounded::<u8>(1));
    let mut waits = [queued(tx.closed()), queued(other_rx.closed())];
    let (clones, dropped) = ((rx.clone(), other_tx.clone()), queued(tx.closed()));
    tx.try_send(1).unwrap();
    assert_eq!(rx.try_recv(), Ok(1));
    drop((clones, dropped));
    assert!(waits.iter_mut().all(|wait| poll(wait.as_mut()).is_pending()));
    drop((rx, other_tx));
    waits.into_iter().for_each(at_once);
}
