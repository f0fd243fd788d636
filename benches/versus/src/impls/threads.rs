//! OS threads with crossbeam-channel as goroutines; one worker means one core.

use crate::impls::crossbeam::Crossbeam;
use crate::kinds::{AsyncRx, AsyncTx, Chan, Goroutines};
use crate::measure::pin_to;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

pub struct OsThreads;

/// Runs a future that blocks instead of being pending.
pub fn ready<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("an operation that should have blocked was pending"),
    }
}

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

impl Chan for Crossbeam {
    type Tx = Sender<usize>;
    type Rx = Receiver<usize>;
    fn new(cap: usize) -> Option<(Self::Tx, Self::Rx)> {
        Some(bounded(cap))
    }
}

impl Goroutines for OsThreads {
    type Tight = Crossbeam;
    type Roomy = Crossbeam;
    type Shared = Crossbeam;

    const IS_RUNTIME: bool = true;
    const SPAWN_BATCH: usize = 1_000;
    /// Linux has 32,768 process ids unless told otherwise.
    const MOST: usize = 30_000;

    fn run<F: Future<Output: Send + 'static> + Send + 'static>(workers: usize, main: F) -> F::Output {
        if workers == 1 {
            pin_to(0);
        }
        ready(main)
    }

    fn go<F: Future<Output = ()> + Send + 'static>(body: F) -> impl Future<Output = ()> + Send + 'static {
        let thread = thread::Builder::new().stack_size(64 * 1024).spawn(|| ready(body)).unwrap();
        async { thread.join().unwrap() }
    }

    async fn yield_now() {
        thread::yield_now();
    }

    async fn sleep(time: Duration) {
        thread::sleep(time);
    }
}
