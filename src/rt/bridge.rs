//! Futures in goroutines.
//!
//! A waker may be cloned, kept for ever and called from anywhere, so it cannot name a goroutine, which ends. It names a
//! cell with three states; only who finds it PARKED readies the goroutine, and does so once.

use crate::park::{Goroutine, Scheduler, scheduler, set_scheduler};
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

const EMPTY: u8 = 0;
/// Woken while it was polled, or before it parked.
const NOTIFIED: u8 = 1;
/// The goroutine is switched out, or about to be.
const PARKED: u8 = 2;

struct WakeCell {
    state: AtomicU8,
    /// Written by the goroutine before PARKED, taken by who finds that.
    parked: UnsafeCell<Option<Goroutine>>,
}

// SAFETY: the state says whose the cell is.
unsafe impl Send for WakeCell {}
// SAFETY: as above.
unsafe impl Sync for WakeCell {}

impl WakeCell {
    fn notify(&self) {
        // Release: what was done before is seen by the poll. Acquire: the goroutine's name.
        if self.state.swap(NOTIFIED, Ordering::AcqRel) == PARKED {
            // SAFETY: only one finds it PARKED, and the goroutine writes it again only when it has run.
            if let Some(goroutine) = unsafe { (*self.parked.get()).take() } {
                goroutine.make_ready();
            }
        }
    }
}

impl Wake for WakeCell {
    fn wake(self: Arc<Self>) {
        self.notify();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.notify();
    }
}

/// Awaits `future`, parking the goroutine; outside of a goroutine, the thread.
///
/// # Panics
///
/// If `future` panics; and if it waits, inside its `poll`, with an operation that would park the goroutine.
///
/// # Examples
///
/// ```
/// use gochan::{bounded, rt};
///
/// let (tx, rx) = bounded(0);
/// let sent = gochan::go(move || rt::block_on(tx.send_async(7)));
/// assert_eq!(rx.recv(), Ok(7));
/// assert_eq!(sent.join().unwrap(), Ok(()));
/// ```
pub fn block_on<F: Future>(future: F) -> F::Output {
    let future = pin!(future);
    match scheduler() {
        Some(scheduler) => on_goroutine(future, scheduler),
        None => on_thread(future),
    }
}

fn on_goroutine<F: Future>(mut future: Pin<&mut F>, scheduler: &'static Scheduler) -> F::Output {
    let cell = Arc::new(WakeCell { state: AtomicU8::new(EMPTY), parked: UnsafeCell::new(None) });
    let waker = Waker::from(cell.clone());
    let mut cx = Context::from_waker(&waker);
    loop {
        {
            let _polling = Polling::begin();
            if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
                return output;
            }
        }
        // SAFETY: not PARKED, so the cell is ours.
        unsafe { *cell.parked.get() = Some((scheduler.this)()) };
        match cell.state.compare_exchange(EMPTY, PARKED, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => while !(scheduler.switch_out)(None) {},
            // Woken meanwhile: nobody has our name.
            // SAFETY: as above.
            Err(_) => unsafe { *cell.parked.get() = None },
        }
        cell.state.store(EMPTY, Ordering::Release);
    }
}

struct ThreadWaker(Thread);

impl Wake for ThreadWaker {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn on_thread<F: Future>(mut future: Pin<&mut F>) -> F::Output {
    let waker = Waker::from(Arc::new(ThreadWaker(thread::current())));
    let mut cx = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// While a future is polled, an operation that would park is refused: what the future has set up on this thread, thread
/// locals above all, would be seen by the goroutines that run meanwhile.
pub(super) struct Polling(Option<&'static Scheduler>);

static REFUSE: Scheduler =
    Scheduler { polling: true, this: || unreachable!("refused"), switch_out: |_| unreachable!("refused") };

impl Polling {
    pub(super) fn begin() -> Self {
        Self(set_scheduler(Some(&REFUSE)))
    }
}

impl Drop for Polling {
    fn drop(&mut self) {
        set_scheduler(self.0);
    }
}

/// A future whose panic is its output.
pub(super) struct CatchUnwind<F>(pub(super) F);

impl<F: Future> Future for CatchUnwind<F> {
    type Output = thread::Result<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: pinned with us.
        let future = unsafe { self.map_unchecked_mut(|this| &mut this.0) };
        match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(polled) => polled.map(Ok),
            Err(payload) => Poll::Ready(Err(payload)),
        }
    }
}
