//! Threads, goroutines, tokio's tasks and the tasks of other executors on the two ends of a channel, in every pairing: each value is
//! received once, everybody comes to an end, and how long a poll takes at most.

mod common;

use common::future::two_workers;
use common::{Census, Counted, PATIENCE, Random, watchdog};
use futures_executor::block_on;
use futures_util::{SinkExt, StreamExt, stream};
use gochan::{
    Chan, Receiver, RecvTimeoutError, SendTimeoutError, Sender, bounded, go, never, rt, select, select_async,
};
use std::future::poll_fn;
use std::io::Write;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// A task that runs wherever it is woken. Only who will wake it owns it.
struct Anywhere {
    future: Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>,
    /// Wake-ups that it has not answered.
    wakes: AtomicUsize,
}

impl Anywhere {
    fn start(future: impl Future<Output = ()> + Send + 'static) {
        Arc::new(Self { future: Mutex::new(Some(Box::pin(future))), wakes: AtomicUsize::new(0) }).wake();
    }
}

impl Wake for Anywhere {
    fn wake(self: Arc<Self>) {
        if self.wakes.fetch_add(1, Ordering::AcqRel) > 0 {
            // Whoever runs it runs it again.
            return;
        }
        let waker = Waker::from(self.clone());
        loop {
            let answered = self.wakes.load(Ordering::Acquire);
            let mut future = self.future.lock().unwrap();
            if let Some(running) = &mut *future {
                if running.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                    *future = None;
                }
            }
            drop(future);
            if self.wakes.fetch_sub(answered, Ordering::AcqRel) == answered {
                return;
            }
        }
    }
}

/// Where a party runs.
#[derive(Clone, Copy, Debug)]
enum Host {
    Thread,
    Goroutine,
    Tokio,
    Other,
}

struct Hosts {
    tokio: Runtime,
    others: AtomicUsize,
}

/// Waits for the end of a party.
type End = Box<dyn FnOnce()>;

impl Hosts {
    /// Starts a party: as `thread` in a thread or a goroutine, as `task` on an executor.
    fn start<F>(&self, host: Host, thread: impl FnOnce() + Send + 'static, task: F) -> End
    where
        F: Future<Output = ()> + Send + 'static,
    {
        match host {
            Host::Thread => {
                let thread = thread::spawn(thread);
                Box::new(|| thread.join().unwrap())
            }
            Host::Goroutine => {
                let goroutine = go(thread);
                Box::new(|| goroutine.join().unwrap())
            }
            Host::Tokio => {
                let task = self.tokio.spawn(task);
                Box::new(|| block_on(task).unwrap())
            }
            // Of several others it is each in turn.
            Host::Other => match self.others.fetch_add(1, Ordering::Relaxed) % 4 {
                0 => {
                    let task = smol::spawn(task);
                    Box::new(|| smol::block_on(task))
                }
                1 => {
                    let task = rt::spawn(task);
                    Box::new(|| task.join().unwrap())
                }
                2 => {
                    let thread = thread::spawn(|| block_on(task));
                    Box::new(|| thread.join().unwrap())
                }
                _ => {
                    let (done, is_done) = mpsc::channel();
                    Anywhere::start(async move {
                        task.await;
                        done.send(()).unwrap();
                    });
                    Box::new(move || is_done.recv().unwrap())
                }
            },
        }
    }
}

/// A party in its two forms. It has clones of what is named first.
macro_rules! start {
    ($hosts:ident, $host:expr, [$($name:ident),+], $thread:block, $task:block) => {{
        let task = {
            $(let $name = $name.clone();)+
            async move { $task }
        };
        $(let $name = $name.clone();)+
        $hosts.start($host, move || $thread, task)
    }};
}

/// The values that were made, and those that were received.
#[derive(Default)]
struct Ledger {
    census: Census,
    received: Mutex<Vec<usize>>,
}

/// How many parties there are on either side.
const PARTIES: usize = 2;

/// How many values each one sends: more if the environment says so.
fn each() -> usize {
    std::env::var("GOCHAN_ROUNDS").map_or(1000, |rounds| rounds.parse::<usize>().expect("a number") / 200)
}

impl Ledger {
    fn new() -> Arc<Self> {
        Arc::default()
    }

    fn value(&self, id: usize) -> Counted {
        self.census.value(id)
    }

    /// The values of one of several senders.
    fn values(&self, sender: usize) -> impl Iterator<Item = Counted> {
        (sender * each()..(sender + 1) * each()).map(|id| self.value(id))
    }

    fn receive(&self, value: Counted) {
        self.received.lock().unwrap().push(value.id);
    }

    fn balance(&self, what: &str) {
        let mut received = self.received.lock().unwrap();
        received.sort_unstable();
        assert!(received.iter().copied().eq(0..self.census.made()), "{what}");
        self.census.assert_all_dropped();
    }
}

/// Runs every pairing at several capacities. `run` starts the parties, `PARTIES` on either side.
fn pairings(run: fn(&Hosts, [Host; 2], usize, &Arc<Ledger>) -> Vec<End>) {
    watchdog(move || {
        let hosts = Hosts { tokio: two_workers(), others: AtomicUsize::new(0) };
        let all = [Host::Thread, Host::Goroutine, Host::Tokio, Host::Other];
        for pair in all.into_iter().flat_map(|one| all.map(|other| [one, other])) {
            for cap in [0, 1, 64] {
                let ledger = Ledger::new();
                run(&hosts, pair, cap, &ledger).into_iter().for_each(|end| end());
                ledger.balance(&format!("{pair:?}, capacity {cap}"));
            }
        }
    });
}

/// One channel.
#[test]
fn send_and_receive() {
    pairings(|hosts, [sender, receiver], cap, ledger| {
        let ((tx, rx), mut ends) = (bounded(cap), Vec::new());
        for i in 0..PARTIES {
            ends.push(start!(
                hosts,
                sender,
                [tx, ledger],
                { ledger.values(i).for_each(|value| tx.send(value).unwrap()) },
                {
                    for value in ledger.values(i) {
                        tx.send_async(value).await.unwrap();
                    }
                }
            ));
            ends.push(start!(hosts, receiver, [rx, ledger], { rx.iter().for_each(|value| ledger.receive(value)) }, {
                while let Ok(value) = rx.recv_async().await {
                    ledger.receive(value);
                }
            }));
        }
        ends
    });
}

/// The same as streams and sinks; threads have iterators.
#[test]
fn sink_and_stream() {
    pairings(|hosts, [sender, receiver], cap, ledger| {
        let ((tx, rx), mut ends) = (bounded(cap), Vec::new());
        for i in 0..PARTIES {
            ends.push(start!(
                hosts,
                sender,
                [tx, ledger],
                { ledger.values(i).for_each(|value| tx.send(value).unwrap()) },
                {
                    let values = stream::iter(ledger.values(i).map(Ok));
                    values.forward(tx.into_sink()).await.unwrap();
                }
            ));
            ends.push(start!(
                hosts,
                receiver,
                [rx, ledger],
                { rx.into_iter().for_each(|value| ledger.receive(value)) },
                {
                    let values = rx.into_stream();
                    values.for_each(async |value| ledger.receive(value)).await;
                }
            ));
        }
        ends
    });
}

/// A Go channel, which is closed when all has been sent.
#[test]
fn one_handle_for_both_directions() {
    pairings(|hosts, [sender, receiver], cap, ledger| {
        let (ch, mut ends, mut sent) = (Chan::new(cap), Vec::new(), Vec::new());
        for i in 0..PARTIES {
            ends.push(start!(hosts, receiver, [ch, ledger], { ch.iter().for_each(|value| ledger.receive(value)) }, {
                while let Some(value) = ch.recv_async().await {
                    ledger.receive(value);
                }
            }));
            sent.push(start!(hosts, sender, [ch, ledger], { ledger.values(i).for_each(|value| ch.send(value)) }, {
                for value in ledger.values(i) {
                    ch.send_async(value).await;
                }
            }));
        }
        sent.into_iter().for_each(|end| end());
        ch.close();
        ends
    });
}

/// Two channels: who sends selects one of them, and so does who receives.
#[test]
fn one_of_two_channels() {
    /// Sends, with one macro or the other.
    macro_rules! send {
        ($select:ident, $txs:ident, $values:expr) => {
            for value in $values {
                $select! {
                    send($txs.0, value) -> sent => sent.unwrap(),
                    send($txs.1, value) -> sent => sent.unwrap(),
                }
            }
        };
    }
    macro_rules! receive {
        ($select:ident, $rxs:ident, $ledger:ident) => {{
            let mut rxs = [$rxs.0, $rxs.1];
            let mut open = rxs.len();
            while open > 0 {
                let (which, got) = $select! {
                    recv(rxs[0]) -> got => (0, got),
                    recv(rxs[1]) -> got => (1, got),
                };
                match got {
                    Ok(value) => $ledger.receive(value),
                    Err(_) => {
                        rxs[which] = never();
                        open -= 1;
                    }
                }
            }
        }};
    }
    pairings(|hosts, [sender, receiver], cap, ledger| {
        let ((tx1, rx1), (tx2, rx2)) = (bounded(cap), bounded(cap));
        let (txs, rxs, mut ends) = ((tx1, tx2), (rx1, rx2), Vec::new());
        for i in 0..PARTIES {
            ends.push(start!(hosts, sender, [txs, ledger], { send!(select, txs, ledger.values(i)) }, {
                send!(select_async, txs, ledger.values(i))
            }));
            ends.push(start!(hosts, receiver, [rxs, ledger], { receive!(select, rxs, ledger) }, {
                receive!(select_async, rxs, ledger)
            }));
        }
        ends
    });
}

/// Two channels, one each way: both sides send and receive at once, with one select.
#[test]
fn there_and_back() {
    macro_rules! exchange {
        ($select:ident, $tx:ident, $rx:ident, $values:expr, $ledger:ident) => {{
            let (mut values, nil) = ($values.peekable(), (Sender::never(), never()));
            let (mut tx, mut rx) = (Some($tx), Some($rx));
            loop {
                if values.peek().is_none() {
                    // The last to do this closes the channel.
                    tx = None;
                }
                if tx.is_none() && rx.is_none() {
                    break;
                }
                $select! {
                    send(tx.as_ref().unwrap_or(&nil.0), values.next().unwrap()) -> sent => sent.unwrap(),
                    recv(rx.as_ref().unwrap_or(&nil.1)) -> got => match got {
                        Ok(value) => $ledger.receive(value),
                        Err(_) => rx = None,
                    },
                    default(PATIENCE) => panic!("nobody comes"),
                }
            }
        }};
    }
    pairings(|hosts, sides, cap, ledger| {
        let ((tx1, rx1), (tx2, rx2)) = (bounded(cap), bounded(cap));
        let mut ends = Vec::new();
        for (i, (side, tx, rx)) in [(sides[0], &tx1, &rx2), (sides[1], &tx2, &rx1)].into_iter().enumerate() {
            for i in [i, i + PARTIES] {
                ends.push(start!(
                    hosts,
                    side,
                    [tx, rx, ledger],
                    { exchange!(select, tx, rx, ledger.values(i), ledger) },
                    { exchange!(select_async, tx, rx, ledger.values(i), ledger) }
                ));
            }
        }
        ends
    });
}

/// How long polls took.
#[derive(Default)]
struct Polls {
    count: AtomicUsize,
    /// Those that took more than 100 microseconds.
    slow: AtomicUsize,
    longest: AtomicU64,
}

impl Polls {
    async fn of<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|cx| {
            let start = Instant::now();
            let polled = future.as_mut().poll(cx);
            let took = start.elapsed();
            self.count.fetch_add(1, Ordering::Relaxed);
            self.slow.fetch_add(usize::from(took > Duration::from_micros(100)), Ordering::Relaxed);
            self.longest.fetch_max(took.as_nanos() as u64, Ordering::Relaxed);
            polled
        })
        .await
    }
}

/// Sixty-four tasks on two workers use two channels in all ways. A poll may have to wait for the lock of a channel; how long
/// polls took is printed. (One that has lost its core for a while looks the same.)
#[test]
fn sixty_four_tasks_on_two_workers() {
    const TASKS: usize = 32;
    async fn send(ledger: &Ledger, polls: &Polls, txs: &[Sender<Counted>; 2], first: usize) {
        let mut random = Random::new(first);
        for id in first..first + each() {
            let (tx, value) = (&txs[id % 2], ledger.value(id));
            match random.below(4) {
                0 => polls.of(tx.send_async(value)).await.unwrap(),
                1 => polls.of(tx.reserve()).await.unwrap().send(value).unwrap(),
                2 => polls.of(tx.sink().send(value)).await.unwrap(),
                _ => {
                    let select = async {
                        select_async! {
                            send(txs[0], value) -> sent => sent.unwrap(),
                            send(txs[1], value) -> sent => sent.unwrap(),
                        }
                    };
                    polls.of(select).await;
                }
            }
        }
    }
    async fn receive(ledger: &Ledger, polls: &Polls, rxs: &[Receiver<Counted>; 2], seed: usize) {
        let (mut random, mut rxs) = (Random::new(seed), rxs.clone());
        let mut streams = rxs.clone().map(Receiver::into_stream);
        let mut open = [true, true];
        while open != [false, false] {
            let which = Some(random.below(2)).filter(|&which| open[which]).unwrap_or(usize::from(open[1]));
            let (which, got) = match random.below(3) {
                0 => (which, polls.of(rxs[which].recv_async()).await.ok()),
                1 => (which, polls.of(streams[which].next()).await),
                _ => {
                    let select = async {
                        select_async! {
                            recv(rxs[0]) -> got => (0, got.ok()),
                            recv(rxs[1]) -> got => (1, got.ok()),
                        }
                    };
                    polls.of(select).await
                }
            };
            match got {
                Some(value) => ledger.receive(value),
                None => (open[which], rxs[which]) = (false, never()),
            }
        }
    }
    watchdog(|| {
        let polls = Arc::new(Polls::default());
        for cap in [0, 1, 64] {
            let (runtime, ledger) = (two_workers(), Ledger::new());
            let ((tx1, rx1), (tx2, rx2)) = (bounded(cap), bounded(cap));
            let mut tasks = Vec::new();
            for i in 0..TASKS {
                let (this, timing, txs) = (ledger.clone(), polls.clone(), [tx1.clone(), tx2.clone()]);
                tasks.push(runtime.spawn(async move { send(&this, &timing, &txs, i * each()).await }));
                let (this, timing, rxs) = (ledger.clone(), polls.clone(), [rx1.clone(), rx2.clone()]);
                tasks.push(runtime.spawn(async move { receive(&this, &timing, &rxs, i).await }));
            }
            drop((tx1, tx2, rx1, rx2));
            tasks.into_iter().for_each(|task| block_on(task).unwrap());
            ledger.balance(&format!("capacity {cap}"));
        }
        let [count, slow] = [&polls.count, &polls.slow].map(|number| number.load(Ordering::Relaxed));
        let longest = Duration::from_nanos(polls.longest.load(Ordering::Relaxed));
        // Past the test harness, which would keep it to itself.
        let _ = writeln!(std::io::stderr(), "{count} polls: the longest took {longest:?}, {slow} more than 100 us");
    });
}

/// A deadline races with the other side: a value is received, or stays; a value is sent, or comes back.
#[test]
fn deadlines_race_with_the_other_side() {
    watchdog(|| {
        let values = 2 * each();
        for cap in [0, 1] {
            let ((tx, rx), census) = (bounded(cap), Census::default());
            let soon = |i: usize| Duration::from_micros(10 + 7 * (i % 13) as u64);
            thread::scope(|scope| {
                let made = census.clone();
                scope.spawn(move || {
                    for id in 0..values {
                        let mut value = made.value(id);
                        while let Err(error) = block_on(tx.send_timeout_async(value, soon(id))) {
                            assert!(matches!(error, SendTimeoutError::Timeout(_)));
                            value = error.into_inner();
                        }
                        thread::sleep(soon(id / 7));
                    }
                });
                let (mut next, mut timeouts) = (0, 0);
                loop {
                    match block_on(rx.recv_timeout_async(soon(next))) {
                        Err(RecvTimeoutError::Timeout) => timeouts += 1,
                        Err(RecvTimeoutError::Disconnected) => break,
                        Ok(value) => {
                            assert_eq!(value.id, next);
                            next += 1;
                        }
                    }
                }
                assert!(next == values && timeouts > 0);
            });
            census.assert_all_dropped();
        }
    });
}

/// Tasks that belong to nobody but the channel on which they wait, and run in the send that wakes them.
#[test]
fn tasks_that_only_their_channel_owns() {
    watchdog(|| {
        let (tx, rx) = bounded::<usize>(0);
        let sum = Arc::new(AtomicUsize::new(0));
        for _ in 0..10 {
            let (rx, sum) = (rx.clone(), sum.clone());
            Anywhere::start(async move {
                while let Ok(value) = rx.recv_async().await {
                    sum.fetch_add(value, Ordering::Relaxed);
                }
            });
        }
        drop(rx);
        // Each is received before the send returns.
        (1..=100).for_each(|i| tx.try_send(i).unwrap());
        assert_eq!((sum.load(Ordering::Relaxed), Arc::strong_count(&sum)), (5050, 11));
        tx.close();
        assert_eq!(Arc::strong_count(&sum), 1, "they are gone");
    });
}

/// A task is polled over and over, with one waker and then another, while values come from a thread; then it sleeps. The
/// last waker wakes it.
#[test]
fn wakers_change_while_values_come() {
    struct Bell {
        thread: Thread,
        rung: AtomicBool,
    }
    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            assert!(!self.rung.swap(true, Ordering::SeqCst), "woken twice");
            self.thread.unpark();
        }
    }
    watchdog(|| {
        const VALUES: usize = 20_000;
        for cap in [0, 1] {
            let (tx, rx) = bounded(cap);
            thread::scope(|scope| {
                scope.spawn(move || (0..VALUES).for_each(|i| tx.send(i).unwrap()));
                let mut random = Random::new(cap);
                for i in 0..VALUES {
                    let mut receive: Pin<Box<dyn Future<Output = usize>>> = match i % 2 {
                        0 => Box::pin(async { rx.recv_async().await.unwrap() }),
                        _ => Box::pin(async {
                            select_async! { recv(rx) -> got => got.unwrap(), recv(never::<()>()) -> _ => unreachable!() }
                        }),
                    };
                    let got = 'got: loop {
                        let bells = [(); 3]
                            .map(|()| Arc::new(Bell { thread: thread::current(), rung: AtomicBool::new(false) }));
                        let last = random.below(3);
                        for bell in &bells[..=last] {
                            let waker = Waker::from(bell.clone());
                            if let Poll::Ready(got) = receive.as_mut().poll(&mut Context::from_waker(&waker)) {
                                break 'got got;
                            }
                        }
                        while !bells[last].rung.load(Ordering::SeqCst) {
                            thread::park();
                        }
                    };
                    assert_eq!(got, i);
                }
            });
        }
    });
}
