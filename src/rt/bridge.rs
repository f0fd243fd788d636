//! Futures in goroutines.
//!
//! A waker may be cloned, kept for ever and called from anywhere, so it cannot name a goroutine, which ends. It names a
//! cell with three states; only who finds it PARKED readies the goroutine, and does so once.

use super::current::running;
use crate::park::{Goroutine, Home, Reason, Resumed, Scheduler, Spare, Wait, scheduler, set_scheduler};
use std::mem::ManuallyDrop;
use std::panic::Location;
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
    goroutine: Goroutine,
}

impl WakeCell {
    /// False if it was woken before.
    fn park(&self) -> bool {
        self.state.compare_exchange(EMPTY, PARKED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// True if it was woken. A read-modify-write, which a wake-up comes either before, and is seen by the poll behind it, or
    /// after, and is found by `park`.
    fn reset(&self) -> bool {
        self.state.swap(EMPTY, Ordering::AcqRel) == NOTIFIED
    }

    fn notify(&self) {
        // Release: what was done before is seen by the poll.
        if self.state.swap(NOTIFIED, Ordering::AcqRel) == PARKED {
            // SAFETY: it has said that it parks, and takes one wake-up for that before it ends; only one finds it so.
            unsafe { self.goroutine.again() }.make_ready();
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

/// Awaits `future`, parking the goroutine; outside of a goroutine, the thread. Here goroutines use what is written for async:
/// sockets, HTTP, databases.
///
/// If the goroutine is cancelled, the future is dropped.
///
/// # Panics
///
/// If `future` panics; and if it waits, inside its `poll` or its `drop`, with an operation that would park the goroutine.
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
#[track_caller]
pub fn block_on<F: Future>(future: F) -> F::Output {
    match scheduler() {
        Some(scheduler) => {
            assert!(!scheduler.polling, "block_on in a future's poll would block its worker: await the future instead");
            on_goroutine(pin!(Bridged(ManuallyDrop::new(future))), scheduler, Location::caller())
        }
        None => on_thread(pin!(future)),
    }
}

/// A future that is dropped as it is polled: without parking.
struct Bridged<F>(ManuallyDrop<F>);

impl<F> Bridged<F> {
    fn inner(self: Pin<&mut Self>) -> Pin<&mut F> {
        // SAFETY: pinned with us.
        unsafe { self.map_unchecked_mut(|this| &mut *this.0) }
    }
}

impl<F> Drop for Bridged<F> {
    fn drop(&mut self) {
        // While unwinding a refusal would abort, and parking is the lesser evil.
        let _polling = (!thread::panicking()).then(Polling::begin);
        // SAFETY: dropped once, and not moved before.
        unsafe { ManuallyDrop::drop(&mut self.0) };
    }
}

fn on_goroutine<F: Future>(
    mut future: Pin<&mut Bridged<F>>,
    scheduler: &'static Scheduler,
    at: &'static Location<'static>,
) -> F::Output {
    let cell =
        Arc::new(WakeCell { state: AtomicU8::new(EMPTY), goroutine: Goroutine::running(scheduler, Reason::Await) });
    let waker = Waker::from(cell.clone());
    let mut cx = Context::from_waker(&waker);
    let wait = Wait::new(Reason::Await, at);
    loop {
        {
            let _polling = Polling::begin();
            if let Poll::Ready(output) = future.as_mut().inner().poll(&mut cx) {
                return output;
            }
        }
        let mut cancelled = (scheduler.is_cancelled)();
        let resumed = (!cancelled && cell.park()).then(|| {
            wait.begin();
            running().1.own.awaits.set(waker.data());
            loop {
                match (scheduler.switch_out)(None, Some(&wait)) {
                    Resumed::Inspected => (scheduler.inspect)(),
                    resumed => break resumed,
                }
            }
        });
        // What has woken us so far is answered by the next poll; what comes from here on is another wake-up.
        let found = cell.reset();
        match resumed {
            Some(Resumed::Cancelled) => {
                cancelled = true;
                // Whoever has found the name wakes us, and that is waited for.
                if found && !(scheduler.spare)(Spare::Take) {
                    let _readied = (scheduler.switch_out)(None, None);
                }
            }
            // Another wait's wake-up.
            Some(_) if !found => _ = (scheduler.spare)(Spare::Keep),
            _ => {}
        }
        if cancelled {
            (scheduler.unwind)();
        }
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

static REFUSE: Scheduler = Scheduler {
    polling: true,
    homes: [const { Home::nowhere() }; 2],
    spare: |_| unreachable!("refused"),
    switch_out: |_, _| unreachable!("refused"),
    is_cancelled: || false,
    inspect: || unreachable!("refused"),
    unwind: || unreachable!("refused"),
    take_turns: || {},
};

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
