//! tokio's tasks as goroutines, each column with another library's async channel (`tokio+kanal` ...); the column
//! `tokio` is the runtime alone. A library without capacity 0 uses capacity 1.

use crate::impls::crossfire::{FireArray, FireOne, FireShared};
use crate::impls::{flume::Flume, kanal::Kanal, tokio_mpsc::TokioMpsc};
use crate::kinds::{Chan, Goroutines, Missing, SharedChan};
use crate::work::tasks::runtime;
use std::future::Future;
use std::marker::PhantomData;
use std::time::Duration;

/// `RUNTIME`: whether the column shows the runtime itself. The three channels are those of [`Goroutines`].
pub struct Tokio<const RUNTIME: bool, Tight, Roomy = Tight, Shared = Tight>(PhantomData<(Tight, Roomy, Shared)>);

pub type Alone = Tokio<true, Missing>;
pub type WithKanal = Tokio<false, Kanal>;
pub type WithFlume = Tokio<false, Flume>;
pub type WithCrossfire = Tokio<false, FireOne, FireArray, FireShared>;
pub type WithTokio = Tokio<false, TokioMpsc, TokioMpsc, Missing>;

impl<const RUNTIME: bool, Tight: Chan, Roomy: Chan, Shared: SharedChan> Goroutines
    for Tokio<RUNTIME, Tight, Roomy, Shared>
{
    type Tight = Tight;
    type Roomy = Roomy;
    type Shared = Shared;

    const IS_RUNTIME: bool = RUNTIME;

    fn run<F: Future<Output: Send + 'static> + Send + 'static>(workers: usize, main: F) -> F::Output {
        let runtime = runtime(workers);
        // As a task, so that it runs on a worker.
        let main = runtime.spawn(main);
        runtime.block_on(main).unwrap()
    }

    fn go<F: Future<Output = ()> + Send + 'static>(body: F) -> impl Future<Output = ()> + Send + 'static {
        let task = tokio::spawn(body);
        async { task.await.unwrap() }
    }

    async fn yield_now() {
        tokio::task::yield_now().await;
    }

    async fn sleep(time: Duration) {
        tokio::time::sleep(time).await;
    }
}
