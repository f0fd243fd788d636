//! `Select` awaited: it selects as the blocking one does, and dropped it has selected nothing.

mod common;

use common::alloc::{Counting, allocations_of};
use common::future::{at_once, begun, poll, queued, two_workers};
use common::{
    A_MOMENT, Census, Counted, PATIENCE, always_a_value, make, panic_text, wait_for_waiting, waiting, watchdog,
};
use futures_executor::block_on;
use futures_util::future::{join_all, maybe_done};
use gochan::debug::Reason;
use gochan::future::{ReadyFut, ReadyTimeoutFut, SelectFut, SelectTimeoutFut, TrySelectFut};
use gochan::{
    Receiver, RecvError, Select, SelectTimeoutError, SendError, Sender, TrySelectError, after, bounded, never, select,
    select_async, tick,
};
use std::fmt::Debug;
use std::future::pending;
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};
use tokio::task::yield_now;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const CAPS: [Option<usize>; 4] = [Some(0), Some(1), Some(64), None];

/// Receives from either of two.
async fn recv_either<T>(a: &Receiver<T>, b: &Receiver<T>) -> Result<T, RecvError> {
    let mut select = Select::new();
    let first = select.recv(a);
    select.recv(b);
    let operation = select.select_async().await;
    if operation.index() == first { operation.recv(a) } else { operation.recv(b) }
}

/// Sends a value, or receives one.
async fn exchange<T>(tx: &Sender<T>, value: T, rx: &Receiver<T>) -> Result<Option<T>, SendError<T>> {
    let mut select = Select::new();
    let send = select.send(tx);
    select.recv(rx);
    let operation = select.select_async().await;
    if operation.index() == send { operation.send(tx, value).map(|()| None) } else { Ok(operation.recv(rx).ok()) }
}

/// What is possible is selected by the first poll, in either direction, also what a closed channel makes possible; what is
/// not is waited for.
#[test]
fn the_first_poll_selects_what_is_possible() {
    for cap in CAPS {
        let ((tx, rx), (silent_tx, silent)) = (make(cap), bounded(0));
        // A value in the buffer, with a sender that waits, come back from a future.
        let sends = [1, 2].map(|i| begun(tx.send_async(i)));
        assert_eq!([at_once(recv_either(&rx, &silent)), at_once(recv_either(&silent, &rx))], [Ok(1), Ok(2)]);
        drop(sends);
        let handed = queued(rx.recv_async());
        tx.try_send(3).unwrap();
        drop(handed);
        assert_eq!(at_once(recv_either(&silent, &rx)), Ok(3));
        // A receiver that waits, and a slot.
        let waiting = queued(rx.recv_async());
        assert_eq!(at_once(exchange(&tx, 4, &silent)), Ok(None));
        assert_eq!(at_once(waiting), Ok(4));
        if cap != Some(0) {
            assert_eq!((at_once(exchange(&tx, 5, &silent)), rx.try_recv()), (Ok(None), Ok(5)));
        }
        // Nothing.
        drop(queued(recv_either(&rx, &silent)));
        drop(queued(exchange(&silent_tx, 6, &rx)));
        drop(queued(exchange(&Sender::never(), 6, &never())));
        tx.close();
        assert_eq!(at_once(recv_either(&silent, &rx)), Err(RecvError));
        assert_eq!(at_once(exchange(&tx, 7, &silent)), Err(SendError(7)));
    }
}

/// The same list is selected from again and again; operations are finished in another order than they were selected.
#[test]
fn a_list_is_used_again() {
    let ((tx, rx), (out, results)) = (bounded(2), bounded(2));
    let mut select = Select::new();
    let (receive, send) = (select.recv(&rx), select.send(&out));
    tx.send(1).unwrap();
    let mut got = [at_once(select.select_async()), at_once(select.select_async())];
    got.sort_by_key(|operation| operation.index());
    let [first, second] = got;
    // Two sends, if chance has chosen so: then the value is there still.
    if first.index() == receive {
        assert_eq!(second.send(&out, 2), Ok(()));
        assert_eq!(first.recv(&rx), Ok(1));
    } else {
        assert_eq!([second.send(&out, 2), first.send(&out, 3)], [Ok(()); 2]);
        select.remove(send);
        assert_eq!(at_once(select.select_async()).recv(&rx), Ok(1));
    }
    assert_eq!(results.try_recv(), Ok(2));
    // Indices stay, whatever is removed.
    let mut select = Select::new();
    let (first, last) = (select.recv(&rx), select.send(&out));
    select.remove(first);
    assert_eq!(at_once(select.ready_async()), last);
    assert_eq!(at_once(select.select_async()).index(), last);
}

/// Of operations that are possible each is chosen as often as the others, also of those that share a channel; a biased
/// select chooses the first.
#[test]
fn choice_is_fair_or_biased() {
    let channels: Vec<_> = (0..4).map(|_| bounded::<u8>(1)).collect();
    channels.iter().for_each(|(tx, _)| tx.send(1).unwrap());
    let mut chosen = [0; 5];
    let mut select = Select::new();
    channels.iter().chain([&channels[0]]).for_each(|(_, rx)| {
        _ = select.recv(rx);
    });
    for _ in 0..10_000 {
        // Dropped, it has not happened.
        chosen[at_once(select.select_async()).index()] += 1;
    }
    assert!(chosen.iter().all(|count| (1_500..2_500).contains(count)), "{chosen:?}");
    chosen = [0; 5];
    (0..1_000).for_each(|_| chosen[at_once(select.ready_async())] += 1);
    assert!(chosen.iter().all(|count| *count > 100), "{chosen:?}");
    let mut biased = Select::new_biased();
    channels.iter().for_each(|(_, rx)| {
        _ = biased.recv(rx);
    });
    assert!((0..100).all(|_| at_once(biased.select_async()).index() == 0));
    assert_eq!((0..100).map(|_| at_once(biased.ready_async())).max(), Some(0));
    // Two arms of one select that wait on one channel: neither is the one that is always served.
    let (tx, rx) = bounded(0);
    let mut chosen = [0; 2];
    for _ in 0..1_000 {
        let mut select = Select::default();
        let _arms = [(); 2].map(|()| select.recv(&rx));
        let waiting = queued(select.select_async());
        tx.try_send(()).unwrap();
        let operation = at_once(waiting);
        chosen[operation.index()] += 1;
        operation.recv(&rx).unwrap();
    }
    assert!(chosen.iter().all(|count| *count > 300), "{chosen:?}");
}

/// Whoever has waited longest is served first, whatever he is.
#[test]
fn waiters_are_served_in_order() {
    for cap in [0, 1] {
        let ((tx, rx), (silent_tx, silent)) = (bounded(cap), bounded(0));
        let select = queued(recv_either(&silent, &rx));
        let plain = queued(rx.recv_async());
        let other = queued(recv_either(&rx, &silent));
        (0..3).for_each(|i| tx.try_send(i).unwrap());
        assert_eq!([at_once(select), at_once(plain), at_once(other)], [Ok(0), Ok(1), Ok(2)]);
        (0..cap).for_each(|_| tx.try_send(9).unwrap());
        let select = queued(exchange(&tx, 0, &silent));
        let plain = queued(tx.send_async(1));
        let receives = begun(join_all((0..cap + 2).map(|_| rx.recv_async()))).0;
        assert_eq!(at_once(select), Ok(None));
        assert_eq!(at_once(plain), Ok(()));
        let mut got: Vec<_> = at_once(receives).into_iter().map(Result::unwrap).collect();
        // A slot that was promised is filled when the value exists: behind what was sent meanwhile.
        got.sort_unstable();
        assert_eq!(&got[..2], [0, 1]);
        drop(silent_tx);
    }
}

/// Of two channels one has a value at every moment. Neither `try_select_async` nor a time that is over says that there is
/// none.
#[test]
fn nothing_possible_is_exact() {
    watchdog(|| {
        for late in [false, true] {
            always_a_value(20_000, |rx1, rx2| {
                let mut select = Select::new();
                let first = select.recv(rx1);
                select.recv(rx2);
                let selected = match late {
                    true => at_once(select.select_deadline_async(Instant::now())).ok(),
                    false => at_once(select.try_select_async()).ok(),
                };
                let operation = selected.expect("there was a value");
                let rx = if operation.index() == first { rx1 } else { rx2 };
                operation.recv(rx).unwrap();
            });
        }
    });
}

/// Who must not wait passes over a task that has no message yet, and takes what the next sender has.
#[test]
fn trying_passes_over_a_task_without_a_message() {
    watchdog(|| {
        let (tx, rx) = bounded(0);
        let _first = queued(tx.reserve());
        let mut second = queued(tx.send_async(7));
        assert_eq!(rx.try_recv(), Ok(7));
        assert_eq!(poll(second.as_mut()), Poll::Ready(Ok(())));
        let mut third = queued(tx.send_async(8));
        assert_eq!(select! { recv(rx) -> got => got.ok(), default => None }, Some(8));
        assert_eq!(poll(third.as_mut()), Poll::Ready(Ok(())));
    });
}

/// What must not wait waits for the message of a thread that has been chosen, and for no task's.
#[test]
fn trying_meets_a_thread_that_selects() {
    watchdog(|| {
        struct Here;
        let (tx, rx) = bounded::<Here>(0);
        let trying = async || {
            let mut select = Select::new();
            select.recv(&rx);
            select.try_select_async().await.map(|operation| operation.recv(&rx).is_ok())
        };
        let task = queued(async {
            select_async! { send(tx, pending().await) -> _ => {} }
        });
        assert_eq!(at_once(trying()), Err(TrySelectError));
        drop(task);
        thread::scope(|scope| {
            let (go, gone) = mpsc::channel();
            let tx = &tx;
            scope.spawn(move || {
                select! { send(tx, { gone.recv().unwrap(); Here }) -> sent => assert!(sent.is_ok()) }
            });
            wait_for_waiting::<Here>(1);
            // It does not keep its thread meanwhile.
            let trying = queued(trying());
            go.send(()).unwrap();
            assert_eq!(block_on(trying), Ok(true));
        });
    });
}

/// A timeout counts from the call; a timer among the operations is one; what comes in time is selected.
#[test]
fn times_and_timers() {
    watchdog(|| {
        let (tx, rx) = bounded(0);
        let (timer, ticker) = (after(2 * A_MOMENT), tick(A_MOMENT));
        let mut select = Select::new();
        let receive = select.recv(&rx);
        let start = Instant::now();
        assert_eq!(block_on(select.select_timeout_async(A_MOMENT)).err(), Some(SelectTimeoutError));
        assert!(block_on(select.ready_timeout_async(A_MOMENT)).is_err());
        assert!((2 * A_MOMENT..PATIENCE).contains(&start.elapsed()));
        let late = select.select_timeout_async(A_MOMENT);
        thread::sleep(A_MOMENT);
        assert!(at_once(late).is_err());
        assert!(at_once(select.select_deadline_async(Instant::now())).is_err());
        assert!(at_once(select.ready_deadline_async(Instant::now())).is_err());
        assert!(at_once(Select::new().select_timeout_async(Duration::ZERO)).is_err());
        drop(queued(select.select_timeout_async(Duration::MAX)));
        drop(queued(select.select_deadline_async(Instant::now() + PATIENCE)));
        drop(queued(select.ready_deadline_async(Instant::now() + PATIENCE)));

        let mut timed = select.clone();
        let times = [timed.recv(&timer), timed.recv(&ticker)];
        for _ in 0..3 {
            assert_ne!(block_on(timed.ready_async()), receive);
            let operation = block_on(timed.select_timeout_async(PATIENCE)).unwrap();
            assert!(times.contains(&operation.index()));
            let time = if operation.index() == times[0] { &timer } else { &ticker };
            assert!(operation.recv(time).is_ok());
        }
        let mut waiting = queued(select.select_timeout_async(PATIENCE));
        tx.try_send(7).unwrap();
        match poll(waiting.as_mut()) {
            Poll::Ready(selected) => assert_eq!(selected.unwrap().recv(&rx), Ok(7)),
            Poll::Pending => panic!("not ready"),
        }
    });
}

/// How many times a task was woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// What makes an operation possible.
type Way<T> = fn(&Sender<T>, &Receiver<T>);

/// Who waits for readiness is told of a value, of a slot, of a receiver and of a close, and consumes nothing; dropped, he is
/// in no queue.
#[test]
fn readiness_is_awaited_and_consumes_nothing() {
    struct Here;
    let ways: [(usize, bool, Way<Here>); 5] = [
        (1, false, |tx, _| tx.try_send(Here).unwrap_or_else(|_| panic!("full"))),
        (0, false, |tx, _| drop(begun(tx.send_async(Here)))),
        (1, true, |_, rx| drop(rx.try_recv())),
        (0, true, |_, rx| drop(begun(rx.recv_async()))),
        (1, false, |tx, _| assert!(tx.close())),
    ];
    for (cap, is_send, way) in ways {
        let ((tx, rx), (_other, silent)) = (bounded::<Here>(cap), bounded::<Here>(0));
        (0..if is_send { cap } else { 0 }).for_each(|_| tx.try_send(Here).unwrap_or_else(|_| panic!("full")));
        let mut select = Select::new();
        let nothing = select.recv(&silent);
        let index = if is_send { select.send(&tx) } else { select.recv(&rx) };
        for _ in 0..2 {
            drop(queued(select.ready_async()));
            assert!(waiting::<Here>().is_empty());
        }
        let (wakes, mut ready) = (Arc::new(Wakes::default()), pin!(select.ready_async()));
        let waker = Waker::from(wakes.clone());
        let cx = &mut Context::from_waker(&waker);
        assert!(ready.as_mut().poll(cx).is_pending() && ready.as_mut().poll(cx).is_pending());
        // Nobody is shown to wait whom an operation would serve.
        assert!(index != nothing && waiting::<Here>().is_empty());
        way(&tx, &rx);
        assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
        assert_eq!(ready.as_mut().poll(cx), Poll::Ready(index));
    }
}

/// A task that selects a send is not there for who must not wait, and so it makes nothing ready; a plain sender behind it
/// does.
#[test]
fn readiness_is_not_a_task_that_selects_a_send() {
    let ((tx, rx), (_keep, silent)) = (bounded(0), bounded(0));
    let sending = queued(exchange(&tx, 1, &silent));
    let mut select = Select::new();
    select.recv(&rx);
    assert!(select.try_ready().is_err());
    let mut watching = queued(select.ready_async());
    assert!(rx.try_recv().is_err());
    let plain = queued(tx.send_async(2));
    assert!(poll(watching.as_mut()).is_ready());
    assert_eq!(rx.try_recv(), Ok(2));
    assert_eq!(at_once(plain), Ok(()));
    // A receive that waits meets it.
    let receive = queued(rx.recv_async());
    assert_eq!((at_once(sending), at_once(receive)), (Ok(None), Ok(1)));
}

/// A select that was handed a value, or promised a slot or a receiver, is dropped: it has done nothing. So is one whose
/// operation is dropped.
#[test]
fn a_dropped_select_has_done_nothing() {
    for (cap, is_selected) in [0, 1, 64].into_iter().flat_map(|cap| [(cap, false), (cap, true)]) {
        let census = Census::default();
        let ((tx, rx), (_keep, silent)) = (bounded(cap), bounded::<u8>(0));
        let mut receiving = Select::new();
        receiving.recv(&silent);
        receiving.recv(&rx);
        let mut waiting = queued(receiving.select_async());
        tx.try_send(census.value(1)).unwrap();
        if is_selected {
            assert!(poll(waiting.as_mut()).is_ready());
        }
        drop(waiting);
        assert_eq!(rx.try_recv().map(|value| value.id), Ok(1));
        // Behind it another waits: the value is his.
        let (waiting, next) = (queued(receiving.select_async()), queued(rx.recv_async()));
        tx.try_send(census.value(2)).unwrap();
        drop(waiting);
        assert_eq!(at_once(next).map(|value| value.id), Ok(2));

        (0..cap).for_each(|_| tx.try_send(census.value(3)).unwrap());
        let mut sending = Select::new();
        sending.send(&tx);
        sending.recv(&silent);
        let (mut waiting, next) = (queued(sending.select_async()), queued(tx.send_async(census.value(4))));
        let mut receive = begun(maybe_done(rx.recv_async())).0;
        if is_selected {
            assert!(poll(waiting.as_mut()).is_ready());
        }
        drop(waiting);
        assert_eq!(at_once(next), Ok(()));
        assert!(poll(receive.as_mut()).is_ready());
        let got = receive.as_mut().take_output().unwrap().map(|value| value.id);
        assert_eq!(got, Ok(if cap == 0 { 4 } else { 3 }));
        drop((sending, receiving, receive));
        drop((tx, rx));
        census.assert_all_dropped();
    }
}

impl PartialEq for Counted {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

/// How often each race is run: more often if the environment says so.
fn rounds() -> usize {
    std::env::var("GOCHAN_ROUNDS").map_or(50_000, |rounds| rounds.parse().expect("a number"))
}

/// The select that loses in `tokio::select!` is dropped, often after it was handed a value, or promised a slot: every value
/// is received once, in order, and no receiver or slot is lost.
#[test]
fn a_losing_select_loses_nothing() {
    watchdog(|| {
        for cap in CAPS {
            let ((tx, rx), (tx2, rx2)) = (make(cap), make(cap));
            two_workers().block_on(async {
                let sender = tokio::spawn(async move {
                    // To either channel, whichever the select likes: what was sent, and where.
                    let mut next = [0, 0];
                    for round in 0..rounds() {
                        let mut select = Select::new();
                        select.send(&tx);
                        select.send(&tx2);
                        let selected = tokio::select! {
                            operation = select.select_async() => {
                                let which = operation.index();
                                let tx = [&tx, &tx2][which];
                                operation.send(tx, next[which]).unwrap();
                                next[which] += 1;
                                true
                            }
                            () = yield_now() => false,
                        };
                        if !selected && round % 16 == 0 {
                            yield_now().await;
                        }
                    }
                    next
                });
                let (mut got, mut over) = ([0, 0], [false; 2]);
                while over != [true; 2] {
                    let mut select = Select::new();
                    let channels = [&rx, &rx2];
                    let indices = [0, 1].map(|i| if over[i] { usize::MAX } else { select.recv(channels[i]) });
                    tokio::select! {
                        operation = select.select_async() => {
                            let which = usize::from(operation.index() == indices[1]);
                            match operation.recv(channels[which]) {
                                Ok(value) => {
                                    assert_eq!(value, got[which], "capacity {cap:?}");
                                    got[which] += 1;
                                }
                                Err(RecvError) => over[which] = true,
                            }
                        }
                        () = yield_now() => {}
                    }
                }
                assert_eq!(sender.await.unwrap(), got, "capacity {cap:?}");
            });
        }
    });
}

/// Threads, plain tasks and tasks that select, both ways, on two channels: every value is received once.
#[test]
fn threads_and_tasks_meet() {
    const EACH: usize = 2_000;
    watchdog(|| {
        for cap in [0, 1, 64] {
            let census = Census::default();
            let channels = [bounded(cap), bounded(cap)];
            let received = Arc::new(AtomicUsize::new(0));
            two_workers().block_on(async {
                let mut tasks = Vec::new();
                for _ in 0..2 {
                    // Sends while it has values, and receives until nothing comes any more.
                    let ([(tx, _), (_, rx)], census, received) = (channels.clone(), census.clone(), received.clone());
                    tasks.push(tokio::spawn(async move {
                        let mut values: Vec<_> = (0..EACH).map(|id| census.value(id)).collect();
                        while !values.is_empty() {
                            let mut select = Select::new();
                            let send = select.send(&tx);
                            select.recv(&rx);
                            let operation = select.select_async().await;
                            if operation.index() == send {
                                operation.send(&tx, values.pop().unwrap()).unwrap();
                            } else {
                                operation.recv(&rx).unwrap();
                                received.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    }));
                }
                let ([(_, rx0), (tx1, rx1)], values) = (channels.clone(), census.clone());
                tasks.push(tokio::spawn(async move {
                    for id in 0..EACH {
                        tx1.send_async(values.value(id)).await.unwrap();
                    }
                }));
                let (count, (a, b)) = (received.clone(), (rx0, rx1));
                let thread = thread::spawn(move || {
                    let (mut a, mut b) = (Some(a), Some(b));
                    while a.is_some() || b.is_some() {
                        let nil = never();
                        select! {
                            recv(a.as_ref().unwrap_or(&nil)) -> got => match got {
                                Ok(_) => drop(count.fetch_add(1, Ordering::Relaxed)),
                                Err(_) => a = None,
                            },
                            recv(b.as_ref().unwrap_or(&nil)) -> got => match got {
                                Ok(_) => drop(count.fetch_add(1, Ordering::Relaxed)),
                                Err(_) => b = None,
                            },
                        }
                    }
                });
                for task in tasks {
                    task.await.unwrap();
                }
                channels.iter().for_each(|(tx, _)| assert!(tx.close()));
                thread.join().unwrap();
            });
            assert_eq!(received.load(Ordering::Relaxed), 3 * EACH, "capacity {cap}");
            drop(channels);
            census.assert_all_dropped();
        }
    });
}

/// A select that waits is seen to, and where it was written.
#[test]
fn a_select_that_waits_is_seen() {
    struct Here;
    let ((_tx, rx), (_tx2, rx2)) = (bounded::<Here>(0), bounded::<Here>(0));
    let mut select = Select::new();
    select.recv(&rx);
    select.recv(&rx2);
    let line = line!() + 1;
    let waits = queued(select.select_async());
    let seen = waiting::<Here>();
    assert!(seen.len() == 2 && seen.iter().all(|it| it.reason == Reason::Select && it.at.line() == line));
    drop(waits);
    assert!(waiting::<Here>().is_empty());
}

/// Up to 16 operations allocate nothing, whether they wait, fire or are dropped; nor do 16 large ones the second time.
#[test]
fn sixteen_operations_allocate_nothing() {
    fn of<T: Clone>(value: T, count: usize) -> usize {
        let channels: Vec<_> = (0..count).map(|_| bounded(1)).collect();
        let ((tx, rx), mut select) = (&channels[count - 1], Select::new());
        channels.iter().for_each(|(_, rx)| {
            _ = select.recv(rx);
        });
        allocations_of(|| {
            for _ in 0..10 {
                {
                    let mut waiting = pin!(select.select_async());
                    assert!(poll(waiting.as_mut()).is_pending());
                    assert!(tx.try_send(value.clone()).is_ok());
                    assert!(at_once(waiting).recv(rx).is_ok());
                }
                assert!(poll(pin!(select.select_timeout_async(PATIENCE))).is_pending());
                assert!(poll(pin!(select.ready_async())).is_pending());
                assert!(at_once(select.try_select_async()).is_err());
            }
        })
    }
    assert_eq!((of([1_u64; 8], 16), of((), 1), of([1_u64; 100], 16)), (0, 0, 0));
    assert!(of(1, 17) > 0);
}

/// A value of any size and alignment is received whole, whether the select has waited for it or not.
#[test]
fn large_and_overaligned_values() {
    #[derive(Clone, Debug, PartialEq)]
    #[repr(align(256))]
    struct Aligned(u8);
    fn passes<T: Clone + PartialEq + Debug>(value: T) {
        let ((tx, rx), (_keep, other)) = (bounded(1), bounded::<u8>(0));
        let mut select = Select::new();
        select.recv(&other);
        select.recv(&rx);
        for _ in 0..3 {
            let waiting = queued(select.select_async());
            assert!(tx.try_send(value.clone()).is_ok());
            let first = at_once(waiting);
            assert!(tx.try_send(value.clone()).is_ok());
            let second = at_once(select.select_async());
            assert_eq!([first.recv(&rx), second.recv(&rx)], [Ok(value.clone()), Ok(value.clone())]);
        }
    }
    passes(());
    passes(Aligned(7));
    passes([7_u8; 1000]);
    passes(vec![1, 2, 3]);
}

/// They cross threads whatever they select from; are pinned; name themselves; panic if there is nothing to do.
#[test]
fn what_the_futures_are() {
    fn crosses<T: Send + Sync>(value: T) -> T {
        value
    }
    let (_tx, rx) = bounded::<Rc<()>>(0);
    let mut select = Select::new();
    select.recv(&rx);
    let select = &mut select;
    assert_eq!(format!("{:?}", crosses::<SelectFut<'_, '_>>(select.select_async())), "SelectFut { .. }");
    assert_eq!(format!("{:?}", crosses::<TrySelectFut<'_, '_>>(select.try_select_async())), "TrySelectFut { .. }");
    let timeout = crosses::<SelectTimeoutFut<'_, '_>>(select.select_timeout_async(PATIENCE));
    assert_eq!(format!("{timeout:?}"), "SelectTimeoutFut { .. }");
    drop(timeout);
    assert_eq!(format!("{:?}", crosses::<ReadyFut<'_, '_>>(select.ready_async())), "ReadyFut { .. }");
    let timeout = crosses::<ReadyTimeoutFut<'_, '_>>(select.ready_timeout_async(PATIENCE));
    assert_eq!(format!("{timeout:?}"), "ReadyTimeoutFut { .. }");
    assert!(size_of::<SelectFut<'_, '_>>() <= 1200, "{}", size_of::<SelectFut<'_, '_>>());
    let nothing = "no operations have been added to `Select`";
    assert_eq!(panic_text(|| drop(Select::new().select_async())), nothing);
    assert_eq!(panic_text(|| drop(Select::new().ready_async())), nothing);
    let again = panic_text(|| {
        let (_, rx) = bounded::<u8>(0);
        let mut select = Select::new();
        select.recv(&rx);
        let mut selected = pin!(select.select_async());
        assert!(poll(selected.as_mut()).is_ready());
        let _ = poll(selected.as_mut());
    });
    assert_eq!(again, "polled after it has selected");
}
