//! The kinds of work. A library joins a kind by implementing its trait, in one small file under `impls/`.
//!
//! A channel is handed to the work as its *ends* (`Vec` of senders, `Vec` of receivers) instead of being named by
//! an associated type, because some libraries have another type for every topology and capacity and recommend
//! the narrowest that fits.

use std::future::Future;
use std::time::Duration;

/// The capacity a channel is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cap {
    Bounded(usize),
    Unbounded,
}

/// A message: a number, and whatever makes it as large as the scenario wants.
pub trait Payload: Copy + Send + Sync + Unpin + 'static {
    fn new(value: usize) -> Self;
    fn value(self) -> usize;
}

impl Payload for usize {
    fn new(value: usize) -> Self {
        value
    }
    fn value(self) -> usize {
        self
    }
}

/// 256 bytes.
pub type Large = [usize; 32];

impl Payload for Large {
    fn new(value: usize) -> Self {
        [value; 32]
    }
    fn value(self) -> usize {
        self[31]
    }
}

// ---- Threads that block on one channel ----

pub trait BlockingTx<T>: Send {
    fn send(&mut self, msg: T);
}

pub trait BlockingRx<T>: Send {
    fn recv(&mut self) -> T;
}

/// What is done with the ends of a channel.
pub trait BlockingUse<T> {
    type Out;
    fn run<S: BlockingTx<T>, R: BlockingRx<T>>(self, senders: Vec<S>, receivers: Vec<R>) -> Self::Out;
}

pub trait Threads {
    /// Makes a channel with that many ends and hands them to `user`; `None` if the library has no such channel.
    fn open<T: Payload, U: BlockingUse<T>>(cap: Cap, senders: usize, receivers: usize, user: U) -> Option<U::Out>;
}

// ---- Threads that select: an end is then a selection over several channels ----

pub trait Selects {
    /// `count` channels: one plain sender for each, and one receiver that selects over all.
    fn open_rx<T: Payload, U: BlockingUse<T>>(cap: Cap, count: usize, user: U) -> Option<U::Out>;

    /// `count` channels: `count` senders and `count` receivers, each of which selects over all.
    fn open_both<T: Payload, U: BlockingUse<T>>(_cap: Cap, _count: usize, _user: U) -> Option<U::Out> {
        None
    }
}

/// Tries a selection: whether anything was ready.
pub type Try<'a> = &'a mut dyn FnMut() -> bool;

pub trait TrySelects {
    /// Hands `user` a select over the receivers of `count` empty channels, built once.
    fn over_empty<Out>(count: usize, user: impl FnOnce(Try) -> Out) -> Out;
}

// ---- Timers that a thread waits for ----

/// Waits that long.
pub type Waiter = Box<dyn FnMut(Duration)>;

pub trait Timers {
    /// Receives from `after`.
    fn receive() -> Waiter;

    /// The same in a select, beside a channel on which nothing comes; `None` if there is no such select.
    fn select() -> Option<Waiter>;
}

// ---- Async tasks on one channel ----

pub trait AsyncTx<T>: Send + 'static {
    /// Whether the message was taken; `false` once nobody can receive it.
    fn send(&mut self, msg: T) -> impl Future<Output = bool> + Send;
}

pub trait AsyncRx<T>: Send + 'static {
    /// `None` once the channel is closed and empty.
    fn recv(&mut self) -> impl Future<Output = Option<T>> + Send;
}

pub trait AsyncUse<T> {
    type Out;
    fn run<S: AsyncTx<T>, R: AsyncRx<T>>(self, senders: Vec<S>, receivers: Vec<R>) -> Self::Out;
}

pub trait Tasks {
    fn open<T: Payload, U: AsyncUse<T>>(cap: Cap, senders: usize, receivers: usize, user: U) -> Option<U::Out>;
}

// ---- Tasks that select: the receiving end is a selection over four channels ----

pub const ARMS: usize = 4;

pub trait TaskSelects {
    /// [`ARMS`] channels: one plain sender for each, and one receiver that selects over all.
    fn open_rx<T: Payload, U: AsyncUse<T>>(cap: Cap, user: U) -> Option<U::Out>;
}

/// The receives of a library without a select for tasks, raced by tokio's `select!`. It keeps senders, so that no channel is closed before all
/// messages are there.
pub struct Raced<S, R> {
    receivers: [R; ARMS],
    _senders: Vec<S>,
}

impl<S, R> Raced<S, R> {
    /// The senders, and the receiver.
    pub fn over(mut make: impl FnMut() -> (S, R)) -> (Vec<S>, Self)
    where
        S: Clone,
    {
        let mut senders = Vec::new();
        let receivers = [(); ARMS].map(|()| {
            let (tx, rx) = make();
            senders.push(tx);
            rx
        });
        (senders.clone(), Raced { receivers, _senders: senders })
    }
}

impl<T: Payload, S: Send + 'static, R: AsyncRx<T>> AsyncRx<T> for Raced<S, R> {
    async fn recv(&mut self) -> Option<T> {
        let [a, b, c, d] = &mut self.receivers;
        tokio::select! {
            value = a.recv() => value,
            value = b.recv() => value,
            value = c.recv() => value,
            value = d.recv() => value,
        }
    }
}

// ---- Goroutines, and whatever stands in for them ----

/// A channel of numbers between goroutines.
pub trait Chan: Send + 'static {
    type Tx: AsyncTx<usize> + Clone;
    type Rx: AsyncRx<usize>;

    /// What is got when capacity 0 is asked for; `None` is unbounded.
    const LEAST: Option<usize> = Some(0);

    /// `None` if the runtime has no such channel.
    fn new(cap: usize) -> Option<(Self::Tx, Self::Rx)>;
}

/// A channel whose receiving end can be shared as well.
pub trait SharedChan: Chan<Rx: Clone> {}
impl<C: Chan<Rx: Clone>> SharedChan for C {}

/// A runtime with goroutines.
///
/// The workloads are `async` code, one text for all: where a goroutine has a stack of its own (or is a thread), an
/// operation blocks inside its first poll and its future is ready at once, which costs next to nothing.
pub trait Goroutines: 'static {
    /// Capacity 0, or 1 where a library has no 0 (an easier task); many senders, one receiver.
    type Tight: Chan;
    /// Capacity 100, many senders, one receiver.
    type Roomy: Chan;
    /// Capacity 0 or 1, many receivers.
    type Shared: SharedChan;

    /// How many goroutines `spawn` keeps alive at once.
    const SPAWN_BATCH: usize = 10_000;
    /// Whether this column also stands for the runtime itself (spawn, yield, timers).
    const IS_RUNTIME: bool;
    /// The most goroutines a cell may ask for: real threads end earlier than goroutines do.
    const MOST: usize = usize::MAX;

    /// Starts a runtime of that many workers, runs `main` in it and returns what it returns.
    fn run<F: Future<Output: Send + 'static> + Send + 'static>(workers: usize, main: F) -> F::Output;
    /// Starts a goroutine; the future is ready when it has ended.
    fn go<F: Future<Output = ()> + Send + 'static>(body: F) -> impl Future<Output = ()> + Send + 'static;
    fn yield_now() -> impl Future<Output = ()> + Send;
    fn sleep(time: Duration) -> impl Future<Output = ()> + Send;
}

/// The channel of a library that has none of the wanted sort.
pub struct Missing;

/// An end of [`Missing`]: never made.
#[derive(Clone)]
pub enum NoEnd {}

impl Chan for Missing {
    type Tx = NoEnd;
    type Rx = NoEnd;
    fn new(_: usize) -> Option<(NoEnd, NoEnd)> {
        None
    }
}

impl AsyncTx<usize> for NoEnd {
    async fn send(&mut self, _: usize) -> bool {
        match *self {}
    }
}

impl AsyncRx<usize> for NoEnd {
    async fn recv(&mut self) -> Option<usize> {
        match *self {}
    }
}
