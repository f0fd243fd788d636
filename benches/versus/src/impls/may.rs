//! may's coroutines. Its channels are unbounded: a bounded or rendezvous channel is made of its mpmc and its semaphore
//! (column `may`); `may_unb` uses the native unbounded mpmc everywhere, an easier task.

use crate::impls::threads::ready;
use crate::kinds::{AsyncRx, AsyncTx, Chan, Goroutines, Missing, SharedChan};
use may::sync::Semphore;
use may::sync::mpmc::{Receiver, Sender, channel};
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

/// `RUNTIME`: whether the column shows the runtime itself. The three channels are those of [`Goroutines`].
pub struct May<const RUNTIME: bool, Tight, Roomy, Shared>(PhantomData<(Tight, Roomy, Shared)>);

pub type Bounded = May<true, Rendezvous, Slots, Rendezvous>;
pub type Native = May<false, Mpmc, Missing, Missing>;

pub struct Mpmc;
pub struct Rendezvous;
pub struct Slots;

impl AsyncTx<usize> for Sender<usize> {
    async fn send(&mut self, msg: usize) -> bool {
        Sender::send(self, msg).is_ok()
    }
}

impl AsyncRx<usize> for Receiver<usize> {
    async fn recv(&mut self) -> Option<usize> {
        Receiver::recv(self).ok()
    }
}

impl Chan for Mpmc {
    type Tx = Sender<usize>;
    type Rx = Receiver<usize>;
    const LEAST: Option<usize> = None;
    fn new(_: usize) -> Option<(Self::Tx, Self::Rx)> {
        Some(channel())
    }
}

/// A sender waits until as many messages were taken as it and the others sent.
#[derive(Clone)]
pub struct MeetTx(Sender<usize>, Arc<Semphore>);
/// A sender waits for a free slot first.
#[derive(Clone)]
pub struct SlotTx(Sender<usize>, Arc<Semphore>);
/// Every message taken posts the semaphore.
#[derive(Clone)]
pub struct PostingRx(Receiver<usize>, Arc<Semphore>);

impl AsyncTx<usize> for MeetTx {
    async fn send(&mut self, msg: usize) -> bool {
        let sent = self.0.send(msg).is_ok();
        if sent {
            self.1.wait();
        }
        sent
    }
}

impl AsyncTx<usize> for SlotTx {
    async fn send(&mut self, msg: usize) -> bool {
        self.1.wait();
        self.0.send(msg).is_ok()
    }
}

impl AsyncRx<usize> for PostingRx {
    async fn recv(&mut self) -> Option<usize> {
        let msg = self.0.recv().ok()?;
        self.1.post();
        Some(msg)
    }
}

impl Chan for Rendezvous {
    type Tx = MeetTx;
    type Rx = PostingRx;
    fn new(_: usize) -> Option<(Self::Tx, Self::Rx)> {
        let ((tx, rx), taken) = (channel(), Arc::new(Semphore::new(0)));
        Some((MeetTx(tx, taken.clone()), PostingRx(rx, taken)))
    }
}

impl Chan for Slots {
    type Tx = SlotTx;
    type Rx = PostingRx;
    fn new(cap: usize) -> Option<(Self::Tx, Self::Rx)> {
        let ((tx, rx), free) = (channel(), Arc::new(Semphore::new(cap)));
        Some((SlotTx(tx, free.clone()), PostingRx(rx, free)))
    }
}

impl<const RUNTIME: bool, Tight: Chan, Roomy: Chan, Shared: SharedChan> Goroutines
    for May<RUNTIME, Tight, Roomy, Shared>
{
    type Tight = Tight;
    type Roomy = Roomy;
    type Shared = Shared;

    const IS_RUNTIME: bool = RUNTIME;
    /// The size of its pool of stacks; more at once are several times slower.
    const SPAWN_BATCH: usize = 1_000;

    fn run<F: Future<Output: Send + 'static> + Send + 'static>(workers: usize, main: F) -> F::Output {
        may::config().set_workers(workers);
        may::go!(|| ready(main)).join().unwrap()
    }

    fn go<F: Future<Output = ()> + Send + 'static>(body: F) -> impl Future<Output = ()> + Send + 'static {
        let coroutine = may::go!(|| ready(body));
        async move { coroutine.join().unwrap() }
    }

    async fn yield_now() {
        may::coroutine::yield_now();
    }

    async fn sleep(time: Duration) {
        may::coroutine::sleep(time);
    }
}
