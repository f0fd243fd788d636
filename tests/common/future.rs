//! Futures polled by hand.

use std::panic::resume_unwind;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use tokio::runtime::{Builder, Runtime};

/// Polls once, for nobody.
pub(crate) fn poll<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// A waker that panics when it is woken, in silence.
pub(crate) fn panicking() -> Waker {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            resume_unwind(Box::new("waker"));
        }
    }
    Arc::new(Panics).into()
}

/// A future that has been polled once, and whether it was ready.
pub(crate) fn begun<F: Future>(future: F) -> (Pin<Box<F>>, bool) {
    let mut future = Box::pin(future);
    let ready = poll(future.as_mut()).is_ready();
    (future, ready)
}

/// A future that has been polled once, in vain.
#[track_caller]
pub(crate) fn queued<F: Future>(future: F) -> Pin<Box<F>> {
    let (future, ready) = begun(future);
    assert!(!ready, "ready already");
    future
}

/// What a future returns that is ready now.
#[track_caller]
pub(crate) fn at_once<F: Future>(future: F) -> F::Output {
    match poll(pin!(future)) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("not ready"),
    }
}

/// An executor of two threads.
pub(crate) fn two_workers() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).build().unwrap()
}
