//! gochan's goroutines, which block inside their first poll (column `gochan`), and its tasks (`gochan_spawn`).

use crate::impls::threads::ready;
use crate::kinds::{AsyncRx, AsyncTx, Chan, Goroutines};
use gochan::rt::{self, Runtime};
use gochan::{Receiver, Sender, bounded};
use std::future::{self, Future};
use std::time::Duration;

pub struct Stackful;
pub struct Stackless;

/// An end whose operations park the goroutine. They are called where their futures are made, which is where they are awaited: as whoever writes
/// a goroutine calls them, not through a poll of their own; and inlined there, as a `send` or `recv` of the library is that has no such
/// wrapping around it. (Left to the compiler they are functions of their own, and take 3 of the 10 ns of a buffered message.)
#[derive(Clone)]
pub struct Parking<E>(E);

impl AsyncTx<usize> for Parking<Sender<usize>> {
    #[inline(always)]
    fn send(&mut self, msg: usize) -> impl Future<Output = bool> + Send {
        future::ready(self.0.send(msg).is_ok())
    }
}

impl AsyncRx<usize> for Parking<Receiver<usize>> {
    #[inline(always)]
    fn recv(&mut self) -> impl Future<Output = Option<usize>> + Send {
        future::ready(self.0.recv().ok())
    }
}

impl Chan for Stackful {
    type Tx = Parking<Sender<usize>>;
    type Rx = Parking<Receiver<usize>>;
    fn new(cap: usize) -> Option<(Self::Tx, Self::Rx)> {
        let (tx, rx) = bounded(cap);
        Some((Parking(tx), Parking(rx)))
    }
}

impl Chan for Stackless {
    type Tx = Sender<usize>;
    type Rx = Receiver<usize>;
    fn new(cap: usize) -> Option<(Self::Tx, Self::Rx)> {
        Some(bounded(cap))
    }
}

fn runtime(workers: usize) -> Runtime {
    Runtime::builder().workers(workers).stack_size(64 * 1024).build().expect("threads for the workers")
}

impl Goroutines for Stackful {
    type Tight = Self;
    type Roomy = Self;
    type Shared = Self;

    const IS_RUNTIME: bool = true;

    fn run<F: Future<Output: Send + 'static> + Send + 'static>(workers: usize, main: F) -> F::Output {
        runtime(workers).run(|| ready(main))
    }

    fn go<F: Future<Output = ()> + Send + 'static>(body: F) -> impl Future<Output = ()> + Send + 'static {
        let goroutine = gochan::go(|| ready(body));
        async move { goroutine.join().unwrap() }
    }

    fn yield_now() -> impl Future<Output = ()> + Send {
        rt::yield_now();
        future::ready(())
    }

    async fn sleep(time: Duration) {
        rt::sleep(time);
    }
}

impl Goroutines for Stackless {
    type Tight = Self;
    type Roomy = Self;
    type Shared = Self;

    const IS_RUNTIME: bool = true;

    fn run<F: Future<Output: Send + 'static> + Send + 'static>(workers: usize, main: F) -> F::Output {
        runtime(workers).spawn(main).join().unwrap()
    }

    fn go<F: Future<Output = ()> + Send + 'static>(body: F) -> impl Future<Output = ()> + Send + 'static {
        let task = rt::spawn(body);
        async move { task.await.unwrap() }
    }

    async fn yield_now() {
        futures_yield().await;
    }

    async fn sleep(time: Duration) {
        let _ = gochan::after(time).recv_async().await;
    }
}

/// Wakes itself, and is ready the second time.
fn futures_yield() -> impl Future<Output = ()> {
    let mut yielded = false;
    std::future::poll_fn(move |cx| {
        if std::mem::replace(&mut yielded, true) {
            return std::task::Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    })
}
