//! Wakers: how often they are cloned, woken and dropped, that no wake-up is lost, and what a waker may do: use the channel,
//! own it, panic.

mod common;

use common::future::{at_once, begun};
use common::{Census, Counted, PATIENCE, Random, wait_until, watchdog};
use futures_util::{FutureExt, SinkExt, StreamExt};
use gochan::{Receiver, Select, SendError, Sender, bounded, never, select_async};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};
use std::thread;
use std::time::Duration;

/// What is asked of a waker.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Call {
    Clone,
    Wake,
    Drop,
}
use Call::{Clone as Cloned, Drop as Dropped, Wake as Woken};

type Hook = Box<dyn FnMut(Call) + Send>;

/// The data of wakers that count what is asked of them, and do something about it.
#[derive(Default)]
struct Spy {
    calls: [AtomicUsize; 3],
    hook: Mutex<Option<Hook>>,
}

impl Spy {
    fn new() -> Arc<Self> {
        Arc::default()
    }

    /// One that calls `hook`, but not while that runs, nor after it has panicked.
    fn with(hook: impl FnMut(Call) + Send + 'static) -> Arc<Self> {
        Arc::new(Self { calls: Default::default(), hook: Mutex::new(Some(Box::new(hook))) })
    }

    /// One that does something when it is first asked for one thing.
    fn once(at: Call, action: impl FnOnce() + Send + 'static) -> Arc<Self> {
        let mut action = Some(action);
        Self::with(move |call| {
            if call == at {
                action.take().into_iter().for_each(|action| action());
            }
        })
    }

    /// One that panics when it is first asked for one thing.
    fn panicking(at: Call) -> Arc<Self> {
        // In silence.
        Self::once(at, || resume_unwind(Box::new("waker")))
    }

    fn is_asked(&self, call: Call) {
        self.calls[call as usize].fetch_add(1, Ordering::Relaxed);
        let hook = self.hook.lock().unwrap().take();
        if let Some(mut hook) = hook {
            hook(call);
            *self.hook.lock().unwrap() = Some(hook);
        }
    }

    fn count(&self, call: Call) -> usize {
        self.calls[call as usize].load(Ordering::Relaxed)
    }

    /// Clones, wakes, drops.
    fn counts(&self) -> [usize; 3] {
        [Cloned, Woken, Dropped].map(|call| self.count(call))
    }

    /// Polls with a waker that is borrowed: each one that is kept is a clone.
    fn poll<F: Future + ?Sized>(self: &Arc<Self>, future: Pin<&mut F>) -> Poll<F::Output> {
        let data = RawWaker::new(Arc::as_ptr(self).cast(), &VTABLE);
        // SAFETY: the functions of the table are for such data, which is borrowed, and therefore not dropped.
        let waker = ManuallyDrop::new(unsafe { Waker::from_raw(data) });
        future.poll(&mut Context::from_waker(&waker))
    }

    /// Every clone was woken or dropped.
    #[track_caller]
    fn assert_balance(self: &Arc<Self>) {
        let [clones, wakes, drops] = self.counts();
        assert_eq!((clones, Arc::strong_count(self)), (wakes + drops, 1));
    }
}

static VTABLE: RawWakerVTable = RawWakerVTable::new(
    |data| {
        // SAFETY: the data of a waker is a spy that lives as long as the waker; a clone owns a count of it.
        unsafe {
            // It may panic, and then there is no clone.
            (*data.cast::<Spy>()).is_asked(Cloned);
            Arc::increment_strong_count(data.cast::<Spy>());
        }
        RawWaker::new(data, &VTABLE)
    },
    // SAFETY: as above; the count of this one ends.
    |data| unsafe { Arc::from_raw(data.cast::<Spy>()).is_asked(Woken) },
    // SAFETY: as above.
    |data| unsafe { (*data.cast::<Spy>()).is_asked(Woken) },
    // SAFETY: as above; the count of this one ends.
    |data| unsafe { Arc::from_raw(data.cast::<Spy>()).is_asked(Dropped) },
);

/// Far longer than a lock is held.
const LONG: Duration = Duration::from_secs(5);

fn panics<R>(f: impl FnOnce() -> R) -> bool {
    catch_unwind(AssertUnwindSafe(f)).is_err()
}

type Operation<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

async fn select<T>(rx: &Receiver<T>) -> Option<T> {
    select_async! { recv(rx) -> got => got.ok(), recv(never::<()>()) -> _ => None }
}

async fn select_in_time<T>(rx: &Receiver<T>) -> Option<T> {
    select_async! { recv(rx) -> got => got.ok(), default(PATIENCE) => None }
}

async fn select_send<T>(tx: &Sender<T>, value: T) -> Result<(), SendError<T>> {
    select_async! { send(tx, value) -> sent => sent, recv(never::<()>()) -> _ => unreachable!() }
}

async fn select_listed<T>(rx: &Receiver<T>) -> Option<T> {
    let nil = never::<()>();
    let mut select = Select::new();
    select.recv(rx);
    select.recv(&nil);
    select.select_async().await.recv(rx).ok()
}

/// How many ways to receive there are.
const KINDS: usize = 6;

/// Receives in one of several ways, and how many wakers that keeps. Those that are no `async` can be polled after a panic.
fn receiving<T>(rx: &Receiver<T>) -> [(usize, Operation<'_, Option<T>>); KINDS] {
    let mut stream = rx.stream();
    [
        (1, Box::pin(rx.recv_async().map(Result::ok))),
        (1, Box::pin(poll_fn(move |cx| stream.poll_next_unpin(cx)))),
        // Those with a deadline have one for that.
        (2, Box::pin(rx.recv_timeout_async(PATIENCE).map(Result::ok))),
        (1, Box::pin(select(rx))),
        (2, Box::pin(select_in_time(rx))),
        (1, Box::pin(select_listed(rx))),
    ]
}

/// Everything that waits until its channels are closed, when nothing is to be received and nothing can be sent.
fn operations<'a>(rx: &'a Receiver<u8>, tx: &'a Sender<u8>) -> Vec<(usize, Operation<'a, ()>)> {
    async fn send_or_receive(tx: &Sender<u8>, rx: &Receiver<u8>) {
        select_async! { send(tx, 1) -> _ => {}, recv(rx) -> _ => {} }
    }
    async fn either_is_ready(tx: &Sender<u8>, rx: &Receiver<u8>) {
        let mut select = Select::new();
        select.send(tx);
        select.recv(rx);
        select.ready_async().await;
    }
    let mut sink = tx.sink();
    let _ = sink.start_send_unpin(1);
    let mut all: Vec<(_, Operation<()>)> = vec![
        (1, Box::pin(tx.send_async(1).map(|sent| assert!(sent.is_err())))),
        (1, Box::pin(tx.reserve().map(|permit| assert!(permit.is_err())))),
        (2, Box::pin(tx.send_timeout_async(1, PATIENCE).map(|sent| assert!(sent.is_err())))),
        (1, Box::pin(poll_fn(move |cx| sink.poll_flush_unpin(cx).map(|sent| assert!(sent.is_err()))))),
        (1, Box::pin(tx.closed())),
        (1, Box::pin(rx.closed())),
        (1, Box::pin(send_or_receive(tx, rx))),
        (1, Box::pin(either_is_ready(tx, rx))),
    ];
    for (kept, receive) in receiving(rx) {
        all.push((kept, Box::pin(receive.map(|got| assert_eq!(got, None)))));
    }
    all
}

/// Each of the operations, on channels of its own: `test` gets its number of wakers, it, and what ends it.
fn each_operation(mut test: impl FnMut(usize, Operation<'_, ()>, &dyn Fn())) {
    for cap in [0, 1] {
        for n in 0.. {
            let ((keep_tx, rx), (tx, keep_rx)) = (bounded(cap), bounded(cap));
            (0..cap).for_each(|_| tx.send(0).unwrap());
            let Some((kept, operation)) = operations(&rx, &tx).into_iter().nth(n) else { break };
            test(kept, operation, &|| {
                keep_tx.close();
                keep_rx.close();
            });
        }
    }
}

/// However often it is polled, an operation clones a waker once; another waker takes its place; and the end of the
/// operation wakes the last one, once, though more happens then.
#[test]
fn the_last_waker_is_woken_once() {
    each_operation(|kept, mut operation, end| {
        let [first, second] = [Spy::new(), Spy::new()];
        for round in 1..4 {
            (0..3).for_each(|_| assert!(first.poll(operation.as_mut()).is_pending()));
            assert_eq!(first.counts(), [round * kept, 0, (round - 1) * kept]);
            (0..3).for_each(|_| assert!(second.poll(operation.as_mut()).is_pending()));
            assert_eq!(second.counts(), [round * kept, 0, (round - 1) * kept]);
        }
        (0..3).for_each(|_| end());
        assert_eq!([&first, &second].map(|spy| spy.count(Woken)), [0, 1]);
        assert!(first.poll(operation.as_mut()).is_ready());
        drop(operation);
        assert_eq!([&first, &second].map(|spy| spy.count(Woken)), [0, 1]);
        [first, second].iter().for_each(Spy::assert_balance);
    });
}

/// The operation ends while the waker that is to take the first one's place is cloned: that one is woken, once, and whatever
/// is cloned is dropped.
#[test]
fn a_waker_whose_clone_ends_the_wait() {
    for n in 0..KINDS {
        let (tx, rx) = bounded(0);
        let (_, mut receive) = receiving(&rx).into_iter().nth(n).unwrap();
        let [first, second] = [Spy::new(), Spy::once(Cloned, move || assert_eq!(tx.try_send(7), Ok(())))];
        assert!(first.poll(receive.as_mut()).is_pending());
        assert_eq!(second.poll(receive.as_mut()), Poll::Ready(Some(7)), "way {n}");
        drop(receive);
        assert_eq!([&first, &second].map(|spy| spy.count(Woken)), [1, 0], "way {n}");
        [first, second].iter().for_each(Spy::assert_balance);
    }
}

/// A select that offers a channel both ways, and is alone there, is no pair: looking for pairs does not wake it.
#[test]
fn a_select_that_is_alone_is_not_woken() {
    let (tx, rx) = bounded(0);
    let mut exchange = pin!(async {
        select_async! { send(tx, 1) -> _ => None, recv(rx) -> got => got.ok() }
    });
    let spy = Spy::new();
    assert!(spy.poll(exchange.as_mut()).is_pending());
    assert_eq!(rx.drain().count(), 0);
    assert_eq!(spy.count(Woken), 0);
    assert_eq!(tx.try_send(2), Ok(()));
    assert_eq!((spy.count(Woken), spy.poll(exchange.as_mut())), (1, Poll::Ready(Some(2))));
}

/// An operation that is dropped drops its wakers, and wakes nobody.
#[test]
fn a_dropped_operation_wakes_nobody() {
    each_operation(|kept, mut operation, end| {
        let spy = Spy::new();
        assert!(spy.poll(operation.as_mut()).is_pending());
        drop(operation);
        assert_eq!(spy.counts(), [kept, 0, kept]);
        end();
        assert_eq!(spy.count(Woken), 0);
    });
}

/// A task without an executor.
struct Task<'a, T> {
    spy: Arc<Spy>,
    operation: Operation<'a, T>,
}

impl<'a, T> Task<'a, T> {
    /// One that waits.
    #[track_caller]
    fn waiting(operation: impl Future<Output = T> + 'a) -> Self {
        let mut this = Self { spy: Spy::new(), operation: Box::pin(operation) };
        assert!(this.spy.poll(this.operation.as_mut()).is_pending());
        this
    }

    fn is_woken(&self) -> bool {
        self.spy.count(Woken) > 0
    }

    /// The result of one that was woken.
    #[track_caller]
    fn output(mut self) -> T {
        assert_eq!(self.spy.count(Woken), 1, "wake-ups");
        match self.spy.poll(self.operation.as_mut()) {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("woken for nothing"),
        }
    }
}

/// Of many tasks that receive, one goes when it was handed a value and woken. The one that waits without a value is woken
/// for it; all others get theirs.
#[test]
fn the_wake_up_of_a_dropped_receive_goes_on() {
    const TASKS: usize = 8;
    for (kind, gone) in (0..KINDS).flat_map(|kind| (0..TASKS - 1).map(move |gone| (kind, gone))) {
        let (tx, rx) = bounded(gone % 2);
        let start = |i| receiving(&rx).into_iter().nth((kind + i) % KINDS).unwrap().1;
        let mut tasks: Vec<_> = (0..TASKS).map(|i| Task::waiting(start(i))).collect();
        (0..TASKS - 1).for_each(|i| tx.try_send(i).unwrap());
        assert_eq!(tasks.iter().filter(|task| task.is_woken()).count(), TASKS - 1);
        drop(tasks.remove(gone));
        let got: Vec<_> = tasks.into_iter().map(|task| task.output().unwrap()).collect();
        let mut expected: Vec<_> = (0..TASKS - 1).collect();
        expected[gone..].rotate_left(1);
        assert_eq!(got, expected);
    }
}

/// Tasks wait for slots, or for receivers. When one of them goes that was promised one, the next is woken.
#[test]
fn the_wake_up_of_a_dropped_sender_goes_on() {
    async fn send(tx: &Sender<usize>, i: usize) {
        match i % 2 {
            0 => tx.reserve().await.unwrap().send(i).unwrap(),
            _ => select_send(tx, i).await.unwrap(),
        }
    }
    for (cap, seed) in [0, 4].into_iter().flat_map(|cap| (0..20).map(move |seed| (cap, seed))) {
        let (mut random, (tx, rx)) = (Random::new(seed), bounded(cap));
        (0..cap).for_each(|_| tx.send(0).unwrap());
        let mut tasks: Vec<_> = (1..9).map(|i| (i, Task::waiting(send(&tx, i)))).collect();
        let receives: Vec<_> = (cap..4).map(|_| begun(rx.recv_async()).0).collect();
        (0..cap).for_each(|_| assert_eq!(rx.try_recv(), Ok(0)));
        while tasks.len() > 4 {
            assert!(tasks.iter().enumerate().all(|(i, (_, task))| task.is_woken() == (i < 4)));
            tasks.remove(random.below(4));
        }
        let sent: Vec<_> = tasks.into_iter().map(|(i, task)| (i, task.output()).0).collect();
        let mut got: Vec<_> = receives.into_iter().map(|it| at_once(it).unwrap()).chain(rx.try_iter()).collect();
        got.sort_unstable();
        assert_eq!(got, sent);
    }
}

/// A waker may use its channel whenever it is asked for anything.
#[test]
fn wakers_use_the_channel() {
    fn with_channel(tx: &Sender<usize>, rx: &Receiver<usize>, how: usize) {
        match how {
            0 => drop((tx.try_send(7), rx.try_recv())),
            1 => drop((begun(rx.recv_async()), tx.try_send(7), tx.try_reserve().ok())),
            2 => drop(begun(async {
                select_async! { recv(rx) -> _ => {}, send(tx, 7) -> _ => {} }
            })),
            3 => drop((begun(tx.clone().into_send_async(7)), rx.clone().into_stream(), rx.drain())),
            _ => drop(tx.close()),
        }
    }
    watchdog(|| {
        let all = (0..KINDS).flat_map(|kind| (0..5).flat_map(move |how| [0, 1].map(|cap| (kind, how, cap))));
        for ((kind, how, cap), at) in all.flat_map(|one| [Cloned, Woken, Dropped].map(|at| (one, at))) {
            let (tx, rx) = bounded(cap);
            let spy = Spy::once(at, {
                let (tx, rx) = (tx.clone(), rx.clone());
                move || with_channel(&tx, &rx, how)
            });
            let (_, mut receive) = receiving(&rx).into_iter().nth(kind).unwrap();
            let mut ready = spy.poll(receive.as_mut()).is_ready();
            if at == Dropped {
                ready = Spy::new().poll(receive.as_mut()).is_ready();
            }
            let _ = tx.try_send(1);
            tx.close();
            assert!(ready || spy.poll(receive.as_mut()).is_ready(), "{at:?}: {kind}, {how}, {cap}");
            assert!(spy.count(at) > 0);
        }
    });
}

/// A waker may own what tasks own: the last sender. Whenever the channel drops it, the channel is closed by that.
#[test]
fn a_waker_may_own_the_last_handle() {
    watchdog(|| {
        for end in 0..3 {
            let (tx, rx) = bounded(1);
            let weak = tx.downgrade();
            let spy = Spy::with(move |_| assert!(!tx.is_closed()));
            let mut receive = Box::pin(rx.recv_async());
            assert!(spy.poll(receive.as_mut()).is_pending());
            // From here on the channel alone owns it.
            drop(spy);
            match end {
                0 => weak.upgrade().unwrap().send(1).unwrap(),
                1 => {
                    let last = Spy::new();
                    assert!(last.poll(receive.as_mut()).is_pending());
                    assert_eq!(last.count(Woken), 1);
                }
                _ => drop(std::mem::replace(&mut receive, Box::pin(rx.recv_async()))),
            }
            assert!(rx.is_closed());
            assert_eq!(at_once(receive).is_ok(), end == 0);
        }
    });
}

/// A waker that panics when it is to be cloned: the poll does, and has left the operation as it was.
#[test]
fn a_waker_that_panics_when_cloned() {
    each_operation(|_, mut operation, end| {
        let [good, bad] = [Spy::new(), Spy::panicking(Cloned)];
        assert!(good.poll(operation.as_mut()).is_pending());
        assert!(panics(|| bad.poll(operation.as_mut())));
        // What is `async` has ended with the panic.
        let ended = panics(|| good.poll(operation.as_mut()));
        end();
        assert_eq!((good.count(Woken), bad.counts()), (usize::from(!ended), [1, 0, 0]));
    });
    each_operation(|_, mut operation, end| {
        assert!(panics(|| Spy::panicking(Cloned).poll(operation.as_mut())));
        drop(operation);
        end();
    });
    // A value that is handed over after that is not lost.
    for kind in 0..KINDS {
        let (tx, rx) = bounded(0);
        let (_, mut receive) = receiving(&rx).into_iter().nth(kind).unwrap();
        assert!(panics(|| Spy::panicking(Cloned).poll(receive.as_mut())));
        let first = if tx.try_send(1).is_ok() { 1 } else { 2 };
        drop(receive);
        let _send = begun(tx.send_async(2));
        assert_eq!(rx.try_recv(), Ok(first));
    }
}

/// A poll that panicked is repeated, with a waker that does not: that one is woken.
#[test]
fn a_poll_that_panicked_is_repeated() {
    each_operation(|_, mut operation, end| {
        assert!(panics(|| Spy::panicking(Cloned).poll(operation.as_mut())));
        let good = Spy::new();
        // What is `async` cannot be polled again.
        if !panics(|| assert!(good.poll(operation.as_mut()).is_pending())) {
            end();
            assert_eq!(good.count(Woken), 1);
            assert!(good.poll(operation.as_mut()).is_ready());
        }
    });
}

/// The ways to end the wait of a receive, with a value but for the last one.
const WAKE_RECEIVER: [fn(&Sender<Counted>, Counted); 9] = [
    |tx, value| tx.send(value).unwrap(),
    |tx, value| at_once(tx.send_async(value)).unwrap(),
    |tx, value| tx.try_reserve().unwrap().send(value).unwrap(),
    |tx, value| at_once(tx.sink().send(value)).unwrap(),
    |tx, value| tx.send_many(&mut VecDeque::from([value])).unwrap(),
    |tx, value| gochan::select! { send(tx, value) -> sent => sent.unwrap() },
    |tx, value| at_once(select_send(tx, value)).unwrap(),
    |tx, value| drop(tx.force_send(value)),
    |tx, _| assert!(tx.close()),
];

/// The ways to end the wait of a send to a full buffer, successfully but for the last one.
const WAKE_SENDER: [fn(&Receiver<Counted>); 9] = [
    |rx| drop(rx.recv()),
    |rx| drop(rx.try_recv()),
    |rx| drop(at_once(rx.recv_async())),
    |rx| drop(at_once(rx.stream().next())),
    |rx| assert_eq!(rx.recv_many(&mut Vec::new(), 1), 1),
    |rx| drop(rx.drain()),
    |rx| drop(at_once(select(rx))),
    |rx| gochan::select! { recv(rx) -> got => drop(got) },
    |rx| assert!(rx.close()),
];

/// A waker that panics when it is woken: so does what wakes it, but it has happened. Every value is dropped once.
#[test]
fn a_waker_that_panics_when_woken() {
    watchdog(|| {
        let census = Census::default();
        for (kind, (way, wake)) in
            (0..KINDS).flat_map(|kind| WAKE_RECEIVER.iter().enumerate().map(move |way| (kind, way)))
        {
            for cap in [0, 1] {
                let ((tx, rx), spy) = (bounded(cap), Spy::panicking(Woken));
                let (_, mut receive) = receiving(&rx).into_iter().nth(kind).unwrap();
                assert!(spy.poll(receive.as_mut()).is_pending());
                assert!(panics(|| wake(&tx, census.value(way))));
                assert_eq!(at_once(receive).map(|value| value.id), (way < 8).then_some(way));
                assert!(rx.is_empty() && tx.is_closed() == (way == 8));
            }
        }
        for (way, wake) in WAKE_SENDER.iter().enumerate() {
            for kind in 0..3 {
                let ((tx, rx), spy) = (bounded(1), Spy::panicking(Woken));
                tx.send(census.value(0)).unwrap();
                let value = census.value(1);
                let mut send: Operation<bool> = match kind {
                    0 => Box::pin(tx.send_async(value).map(|sent| sent.is_ok())),
                    1 => Box::pin(tx.reserve().map(|permit| permit.is_ok_and(|permit| permit.send(value).is_ok()))),
                    _ => Box::pin(select_send(&tx, value).map(|sent| sent.is_ok())),
                };
                assert!(spy.poll(send.as_mut()).is_pending());
                assert!(panics(|| wake(&rx)));
                assert_eq!(at_once(send), way < 8, "{way}, {kind}");
                // Behind the other one, if that has come back.
                assert_eq!(rx.try_iter().last().map(|value| value.id), Some(usize::from(way < 8)));
            }
        }
        census.assert_all_dropped();
        // So does the drop of a receive that gives its value back.
        let (tx, rx) = bounded(0);
        let (handed, mut next) = (begun(rx.recv_async()).0, Box::pin(rx.recv_async()));
        assert!(Spy::panicking(Woken).poll(next.as_mut()).is_pending());
        tx.try_send(1).unwrap();
        assert!(panics(|| drop(handed)));
        assert_eq!(at_once(next), Ok(1));
        // Of many, all are woken though some panic.
        let (tx, rx) = bounded::<()>(0);
        let spies: Vec<_> = (0..100).map(|i| if i % 40 == 0 { Spy::panicking(Woken) } else { Spy::new() }).collect();
        let mut receives: Vec<_> = spies.iter().map(|_| Box::pin(rx.recv_async())).collect();
        spies.iter().zip(&mut receives).for_each(|(spy, it)| assert!(spy.poll(it.as_mut()).is_pending()));
        assert!(panics(|| tx.close()));
        assert!(spies.iter().all(|spy| spy.count(Woken) == 1));
        assert!(receives.into_iter().all(|receive| at_once(receive).is_err()));
    });
}

/// A waker that panics when it is dropped, wherever that is: every value is dropped once all the same.
#[test]
fn a_waker_that_panics_when_dropped() {
    for (kind, step) in (0..KINDS).flat_map(|kind| (0..4).map(move |step| (kind, step))) {
        let (census, (tx, rx)) = (Census::default(), bounded(0));
        let (_, mut receive) = receiving(&rx).into_iter().nth(kind).unwrap();
        assert!(Spy::panicking(Dropped).poll(receive.as_mut()).is_pending());
        // Replaced, woken, or neither, before all is dropped.
        if step > 1 {
            tx.try_send(census.value(1)).unwrap();
        }
        let _ = panics(|| step % 2 == 1 && Spy::new().poll(receive.as_mut()).is_ready());
        let _ = panics(|| drop(receive));
        drop((tx, rx));
        assert_eq!(census.dropped(), census.made(), "receive {kind}, step {step}");
    }
}

/// A value comes while a waker is cloned that is to take the place of another. The clone is superfluous, and panics when it
/// is dropped: so does the poll, and the value is dropped once.
#[test]
fn a_superfluous_waker_that_panics_when_dropped() {
    for kind in 0..KINDS {
        let (census, (tx, rx)) = (Census::default(), bounded(0));
        let (_, mut receive) = receiving(&rx).into_iter().nth(kind).unwrap();
        assert!(Spy::new().poll(receive.as_mut()).is_pending());
        let (values, sender) = (census.clone(), tx.clone());
        let superfluous = Spy::with(move |call| match call {
            Cloned => assert!(sender.try_send(values.value(1)).is_ok()),
            Woken => {}
            Dropped => resume_unwind(Box::new("waker")),
        });
        assert!(panics(|| superfluous.poll(receive.as_mut())));
        drop(receive);
        drop((tx, rx));
        assert_eq!(census.dropped(), census.made(), "receive {kind}");
    }
}

/// No waker is dropped while a channel is locked: the drop may use the channel. While the waker of the first poll is being
/// cloned, its wait ends, or what it is about to wait for comes: so this clone is still there when the operation waits again.
#[test]
fn wakers_are_dropped_outside_the_lock() {
    for is_select in [false, true] {
        // A receive clones its waker before it is queued.
        let (tx, rx) = bounded(usize::from(!is_select));
        let (other, looked) = (rx.clone(), Arc::new(AtomicUsize::new(0)));
        let (free, mut is_first) = (looked.clone(), true);
        let spy = Spy::with(move |call| match call {
            Cloned if !std::mem::replace(&mut is_first, false) => {}
            // The select is promised a value that does not come, and waits again at once.
            Cloned if is_select => drop(tx.try_reserve()),
            Cloned => tx.try_send(1).unwrap(),
            Woken => {}
            Dropped => {
                let (other, (done, is_done)) = (other.clone(), mpsc::channel());
                thread::spawn(move || done.send(other.drain().count()));
                free.store(1 + usize::from(is_done.recv_timeout(LONG).is_ok()), Ordering::Relaxed);
            }
        });
        let mut stream = rx.stream();
        let next = poll_fn(move |cx| stream.poll_next_unpin(cx).map(drop));
        let mut receive: Operation<()> = if is_select { Box::pin(select(&rx).map(drop)) } else { Box::pin(next) };
        assert_eq!(spy.poll(receive.as_mut()).is_ready(), !is_select);
        assert!(Spy::new().poll(receive.as_mut()).is_pending());
        assert_eq!(looked.load(Ordering::Relaxed), 2, "1: dropped under the lock");
    }
}

/// A receive with a deadline is polled again after that: the waker of its first wait is not dropped under the lock either.
#[test]
fn wakers_are_dropped_outside_the_lock_after_a_timeout() {
    let (tx, rx) = bounded::<u8>(0);
    let (other, looked) = (rx.clone(), Arc::new(AtomicUsize::new(0)));
    let free = looked.clone();
    let spy = Spy::with(move |call| {
        if call == Dropped {
            let (other, (done, is_done)) = (other.clone(), mpsc::channel());
            thread::spawn(move || done.send(other.drain().count()));
            free.fetch_max(1 + usize::from(is_done.recv_timeout(LONG).is_err()), Ordering::Relaxed);
        }
    });
    // On a machine that is busy the time may be over before the first poll, and then no waker is kept.
    let mut receive = loop {
        let mut receive = Box::pin(rx.recv_timeout_async(Duration::from_millis(1)));
        if spy.poll(receive.as_mut()).is_pending() {
            break receive;
        }
    };
    wait_until(|| spy.poll(receive.as_mut()).is_ready());
    assert!(Spy::new().poll(receive.as_mut()).is_ready());
    assert_eq!(looked.load(Ordering::Relaxed), 1, "2: dropped under the lock");
    drop(tx);
}

/// A select whose time is over before its alarm has rung is polled, and receives: should the drop of the alarm's waker, or
/// any other, panic, the value goes back.
#[test]
fn an_alarm_whose_waker_panics_when_dropped() {
    watchdog(|| {
        // Keeps the thread that rings the alarms for as long as `release` lives.
        let (release, held) = mpsc::channel::<()>();
        let (ringing, rings) = mpsc::channel();
        let busy = Spy::once(Woken, move || {
            ringing.send(()).unwrap();
            let _ = held.recv();
        });
        let nil = never::<()>();
        let mut first = Box::pin(nil.recv_timeout_async(Duration::from_millis(1)));
        if busy.poll(first.as_mut()).is_pending() {
            rings.recv().unwrap();
        }
        for panicking in 1..5 {
            let (census, (tx_a, a), (tx_b, b)) = (Census::default(), bounded::<u8>(0), bounded(1));
            let spy = Spy::new();
            *spy.hook.lock().unwrap() = Some(Box::new({
                let mut drops = 0;
                move |call| {
                    drops += usize::from(call == Dropped);
                    if call == Dropped && drops == panicking {
                        resume_unwind(Box::new("waker"));
                    }
                }
            }));
            // A sender whose value does not come: the select waits for it, and is in no other queue.
            let (sender, _) = begun(async {
                select_async! { send(tx_a, std::future::pending().await) -> _ => {} }
            });
            let mut select = Box::pin(async {
                select_async! {
                    recv(a) -> _ => unreachable!(),
                    recv(b) -> value => value.ok(),
                    default(Duration::from_millis(5)) => None,
                }
            });
            assert!(spy.poll(select.as_mut()).is_pending());
            tx_b.try_send(census.value(1)).unwrap();
            thread::sleep(Duration::from_millis(5));
            let panicked = panics(|| assert!(spy.poll(select.as_mut()).is_ready()));
            assert_eq!(panicked, panicking <= 2, "drop {panicking}");
            assert_eq!(b.try_recv().is_ok(), panicked, "drop {panicking}");
            drop((sender, select));
            drop((tx_b, b));
            census.assert_all_dropped();
        }
        drop(release);
    });
}

/// The same for a clone that is to take the place of another, and is superfluous since the wait ends while it is made.
#[test]
fn a_superfluous_waker_is_dropped_outside_the_lock() {
    for kind in 0..5 {
        let (tx, rx) = bounded(0);
        let (_, mut receive) = receiving(&rx).into_iter().nth(kind).unwrap();
        assert!(Spy::new().poll(receive.as_mut()).is_pending());
        let (sender, other, looked) = (tx.clone(), rx.clone(), Arc::new(AtomicUsize::new(0)));
        let free = looked.clone();
        let superfluous = Spy::with(move |call| match call {
            Cloned => sender.try_send(1).unwrap(),
            Woken => {}
            Dropped => {
                let (other, (done, is_done)) = (other.clone(), mpsc::channel());
                thread::spawn(move || done.send(other.drain().count()));
                free.store(1 + usize::from(is_done.recv_timeout(LONG).is_ok()), Ordering::Relaxed);
            }
        });
        assert!(superfluous.poll(receive.as_mut()).is_ready());
        assert_eq!(looked.load(Ordering::Relaxed), 2, "receive {kind}; 1: dropped under the lock");
    }
}

/// Of two wakers that are in one place, the one after the other, the second is another one, though it looks the same.
#[test]
fn a_waker_where_another_was() {
    /// Where a waker is. Its clones are elsewhere, each in a box.
    struct Place(Arc<Spy>);
    fn waker_at(place: *const Place) -> RawWaker {
        static AT: RawWakerVTable = RawWakerVTable::new(
            // SAFETY: a place lives as long as its waker; that of a clone is its own box.
            |place| waker_at(Box::into_raw(Box::new(Place(unsafe { &*place.cast::<Place>() }.0.clone())))),
            // SAFETY: as above.
            |place| unsafe { Box::from_raw(place.cast::<Place>().cast_mut()) }.0.is_asked(Woken),
            // SAFETY: as above.
            |place| unsafe { &*place.cast::<Place>() }.0.is_asked(Woken),
            // SAFETY: as above.
            |place| drop(unsafe { Box::from_raw(place.cast::<Place>().cast_mut()) }),
        );
        RawWaker::new(place.cast(), &AT)
    }
    each_operation(|_, mut operation, end| {
        let spies = [Spy::new(), Spy::new()];
        let mut place = Place(Spy::new());
        for spy in &spies {
            place.0 = spy.clone();
            // SAFETY: the functions of the table are for such data. This one has no box, and is not dropped.
            let waker = ManuallyDrop::new(unsafe { Waker::from_raw(waker_at(&raw const place)) });
            assert!(operation.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        end();
        assert_eq!(spies.map(|spy| spy.count(Woken)), [0, 1]);
    });
}

/// The thread that wakes who waits for a moment outlives a waker that panics.
#[test]
fn an_alarm_that_panics() {
    watchdog(|| {
        let (nil, spy) = (never::<u8>(), Spy::panicking(Woken));
        let mut first = pin!(nil.recv_timeout_async(Duration::from_millis(1)));
        assert!(spy.poll(first.as_mut()).is_pending());
        wait_until(|| spy.count(Woken) > 0);
        assert!(futures_executor::block_on(nil.recv_timeout_async(Duration::from_millis(1))).is_err());
        assert!(at_once(first).is_err());
    });
}
