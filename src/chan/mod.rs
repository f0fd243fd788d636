//! The handles: `Sender`, `Receiver` and their weak forms. Thin and documented; the algorithm is in `hchan.rs`.
//!
//! Invariants: `senders` and `receivers` of a channel count its strong handles, and whoever takes one of them to zero
//! closes the channel; the last receiver also drops what is in hand. A count never leaves zero again, so a weak handle
//! can be upgraded only while a strong one lives.

pub(crate) mod arm;
mod awaiting;
mod error;
mod future;
mod golang;
pub(crate) mod handshake;
pub(crate) mod hchan;
mod iter;
mod litter;
mod many;
mod op;
mod quick;
mod receiver;
pub(crate) mod registry;
mod returned;
mod ring;
mod section;
mod sender;
mod shown;
mod state;
#[cfg(feature = "stream")]
mod stream;
pub(crate) mod timer;
mod wait;
pub(crate) mod waitq;

#[cfg(test)]
pub(crate) mod tests;

/// Handles of values that must stay on their thread stay there too.
///
/// ```compile_fail,E0277
/// fn crosses<T: Send>(_: T) {}
/// crosses(gochan::bounded::<std::rc::Rc<()>>(0).0);
/// ```
///
/// ```compile_fail,E0277
/// fn crosses<T: Send>(_: T) {}
/// crosses(gochan::bounded::<std::rc::Rc<()>>(0).1);
/// ```
///
/// ```compile_fail,E0277
/// fn crosses<T: Send>(_: T) {}
/// crosses(&gochan::Chan::<std::rc::Rc<()>>::new(0));
/// ```
///
/// ```compile_fail,E0277
/// fn crosses<T: Send>(_: T) {}
/// crosses(gochan::unbounded::<std::rc::Rc<()>>().1.downgrade());
/// ```
///
/// The same with values that may cross:
///
/// ```
/// fn crosses<T: Send>(_: T) {}
/// crosses(gochan::bounded::<std::sync::Arc<()>>(0));
/// crosses(&gochan::Chan::<std::cell::Cell<u8>>::new(0));
/// ```
#[cfg(doctest)]
struct HandlesAreSendIfValuesAre;

pub use awaiting::{ClosedFut, Permit, RecvTimeoutFut, ReserveFut, SendTimeoutFut};
pub use error::{
    ReadyTimeoutError, RecvError, RecvTimeoutError, SelectTimeoutError, SendError, SendTimeoutError, TryReadyError,
    TryRecvError, TrySelectError, TrySendError,
};
pub use future::{RecvFut, SendFut};
pub use golang::Chan;
pub use iter::{Drain, IntoIter, Iter, TryIter};
#[cfg(feature = "stream")]
pub use stream::{RecvStream, SendSink};
pub use timer::{after, at, tick};

use crate::park::{self, Ready, Reason};
use crate::primitive::{Arc, AtomicUsize, Ordering};
use arm::Target;
use hchan::{Hchan, Patience, Refusal, UNBOUNDED};
use std::fmt;
use std::panic::{AssertUnwindSafe, Location, RefUnwindSafe, UnwindSafe, catch_unwind};
use timer::Timer;

/// Makes a channel without a capacity: sends never wait.
///
/// Memory is taken as values come in and given back as they go out. It holds 2^32 - 1 values: a send beyond that waits.
///
/// Go has no such channel.
///
/// # Examples
///
/// ```
/// let (tx, rx) = gochan::unbounded();
/// for i in 0..1000 {
///     tx.send(i)?;
/// }
/// drop(tx);
/// assert_eq!(rx.iter().sum::<i32>(), 499_500);
/// # Ok::<(), gochan::SendError<i32>>(())
/// ```
#[must_use]
#[track_caller]
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    handles(UNBOUNDED)
}

/// Makes a channel that buffers up to `cap` values. With `cap` 0 a send and a receive meet: the value goes straight from
/// the one's frame to the other's. Go's `make(chan T, cap)`.
///
/// A large capacity costs nothing until it is used. No more than 2^32 - 1 values are buffered, whatever the capacity.
///
/// # Panics
///
/// With `makechan: size out of range`, if `cap` values would not fit the address space.
///
/// # Examples
///
/// ```
/// use std::thread;
///
/// let (tx, rx) = gochan::bounded(0);
/// thread::scope(|s| {
///     s.spawn(|| tx.send("met"));
///     assert_eq!(rx.recv(), Ok("met"));
/// });
/// ```
#[must_use]
#[track_caller]
pub fn bounded<T>(cap: usize) -> (Sender<T>, Receiver<T>) {
    // The largest number means "unbounded" inside; for values of size zero, which alone can have such a capacity, one
    // less makes no difference.
    handles(cap.min(UNBOUNDED - 1))
}

/// Makes a receiver of a channel on which nothing ever comes. Go's nil channel, for receiving.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// let rx = gochan::never::<u8>();
/// assert!(rx.recv_timeout(Duration::from_millis(1)).is_err());
/// ```
#[must_use]
pub const fn never<T>() -> Receiver<T> {
    Receiver { flavor: Flavor::Never }
}

#[track_caller]
fn handles<T>(cap: usize) -> (Sender<T>, Receiver<T>) {
    let chan = Arc::new(Hchan::makechan(cap));
    (Sender { chan: Some(chan.clone()) }, Receiver { flavor: Flavor::Chan(chan) })
}

/// The sending side of a channel. Clones send to the same channel; when the last one goes, the channel is closed.
///
/// # Examples
///
/// ```
/// use std::thread;
///
/// let (tx, rx) = gochan::bounded(4);
/// for i in 0..3 {
///     let tx = tx.clone();
///     thread::spawn(move || tx.send(i));
/// }
/// drop(tx);
/// assert_eq!(rx.iter().sum::<i32>(), 3);
/// ```
pub struct Sender<T> {
    /// `None` for a channel that never takes anything.
    chan: Option<Arc<Hchan<T>>>,
}

/// The receiving side of a channel. Clones share its values, each value going to one of them; when the last one goes,
/// the channel is closed and what it still holds is dropped.
pub struct Receiver<T> {
    flavor: Flavor<T>,
}

/// Where a receiver receives from.
enum Flavor<T> {
    /// A channel on which nothing ever comes.
    Never,
    Chan(Arc<Hchan<T>>),
    /// A timer; then `T` is [`Instant`](std::time::Instant).
    Timer(Arc<Timer>),
}

/// A handle that does not keep a channel open for sending. Made by [`Sender::downgrade`].
pub struct WeakSender<T> {
    chan: Option<Arc<Hchan<T>>>,
}

/// A handle that does not keep a channel open for receiving. Made by [`Receiver::downgrade`].
pub struct WeakReceiver<T> {
    flavor: Flavor<T>,
}

impl<T> Sender<T> {
    #[inline]
    fn chan(&self) -> Option<&Arc<Hchan<T>>> {
        self.chan.as_ref()
    }

    fn timer(&self) -> Option<&Timer> {
        None
    }

    /// The sending arm of a select.
    pub(crate) fn target(&self) -> Target<'_> {
        self.chan().map_or(Target::Never, |chan| Target::chan(&**chan))
    }

    /// The channel, for what a select got from it.
    pub(crate) fn hchan(&self) -> Option<&Hchan<T>> {
        self.chan.as_deref()
    }
}

impl<T> Receiver<T> {
    #[inline]
    fn chan(&self) -> Option<&Arc<Hchan<T>>> {
        self.flavor.chan()
    }

    fn timer(&self) -> Option<&Timer> {
        match &self.flavor {
            Flavor::Timer(timer) => Some(timer),
            _ => None,
        }
    }

    /// The receiving arm of a select.
    pub(crate) fn target(&self) -> Target<'_> {
        match &self.flavor {
            Flavor::Never => Target::Never,
            Flavor::Chan(chan) => Target::chan(&**chan),
            Flavor::Timer(timer) => Target::Timer(timer),
        }
    }
}

impl<T> WeakSender<T> {
    fn chan(&self) -> Option<&Arc<Hchan<T>>> {
        self.chan.as_ref()
    }
}

impl<T> WeakReceiver<T> {
    fn chan(&self) -> Option<&Arc<Hchan<T>>> {
        self.flavor.chan()
    }
}

impl<T> Flavor<T> {
    #[inline]
    fn chan(&self) -> Option<&Arc<Hchan<T>>> {
        match self {
            Self::Chan(chan) => Some(chan),
            _ => None,
        }
    }
}

impl<T> Clone for Flavor<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Never => Self::Never,
            Self::Chan(chan) => Self::Chan(chan.clone()),
            Self::Timer(timer) => Self::Timer(timer.clone()),
        }
    }
}

/// What both handles can tell about their channel, and closing it.
macro_rules! common {
    ($Handle:ident) => {
        impl<T> $Handle<T> {
            /// Closes the channel: nothing can be sent any more. Go's `close(ch)`, except that any handle may close.
            ///
            /// Values in the buffer can still be received. Every operation that waits ends: receives with an error,
            /// sends with their value. Returns false if the channel was closed already.
            ///
            /// ```
            /// let (tx, rx) = gochan::bounded(1);
            /// tx.send(1).unwrap();
            /// assert!(rx.close());
            /// assert!(!tx.close());
            /// assert_eq!(tx.send(2), Err(gochan::SendError(2)));
            /// assert_eq!(rx.recv(), Ok(1));
            /// assert_eq!(rx.recv(), Err(gochan::RecvError));
            /// ```
            pub fn close(&self) -> bool {
                self.chan().is_some_and(|chan| chan.closechan())
            }

            /// Is the channel closed, so that nothing can be sent any more? A receiver may still find values.
            #[doc(alias = "is_disconnected")]
            #[must_use]
            pub fn is_closed(&self) -> bool {
                self.chan().is_some_and(|chan| chan.is_closed())
            }

            /// Is the buffer empty? Always true at capacity 0.
            #[must_use]
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// Is the buffer full? Always true at capacity 0.
            #[must_use]
            pub fn is_full(&self) -> bool {
                self.capacity() == Some(self.len())
            }

            /// The number of values in the buffer: a moment's, without a lock. Go's `len(ch)`.
            #[must_use]
            pub fn len(&self) -> usize {
                match self.timer() {
                    Some(timer) => usize::from(timer.is_due()),
                    None => self.chan().map_or(0, |chan| chan.len()),
                }
            }

            /// The capacity; `None` if there is no bound. Go's `cap(ch)`.
            #[must_use]
            pub fn capacity(&self) -> Option<usize> {
                match self.timer() {
                    Some(_) => Some(1),
                    None => self.chan().map_or(Some(0), |chan| (chan.cap != UNBOUNDED).then_some(chan.cap)),
                }
            }

            /// Gives the channel a name, by which [`debug`](crate::debug) calls it. A channel without one pays nothing. Go has
            /// no such thing.
            ///
            /// ```
            /// let (tx, rx) = gochan::bounded::<u8>(4);
            /// tx.set_name("jobs");
            /// assert_eq!(rx.name().as_deref(), Some("jobs"));
            /// ```
            pub fn set_name(&self, name: &str) {
                self.chan().inspect(|chan| chan.set_name(name));
            }

            /// The name that the channel was given.
            #[must_use]
            pub fn name(&self) -> Option<std::sync::Arc<str>> {
                self.chan().and_then(|chan| chan.name())
            }

            /// Is `other` a handle of the same channel? Go's `==`.
            #[must_use]
            pub fn same_channel(&self, other: &Self) -> bool {
                self.target().address() == other.target().address()
            }

            /// The number of handles that can send.
            #[must_use]
            pub fn sender_count(&self) -> usize {
                self.chan().map_or(0, |chan| chan.senders.load(Ordering::Relaxed))
            }

            /// The number of handles that can receive.
            #[must_use]
            pub fn receiver_count(&self) -> usize {
                self.chan().map_or(0, |chan| chan.receivers.load(Ordering::Relaxed))
            }
        }

        impl<T> fmt::Debug for $Handle<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(concat!(stringify!($Handle), " { .. }"))
            }
        }

        // No panic can leave a channel in a broken state: no user code runs under its lock.
        impl<T> UnwindSafe for $Handle<T> {}
        impl<T> RefUnwindSafe for $Handle<T> {}
    };
}
common!(Sender);
common!(Receiver);

/// A weak handle: upgrade, clone, debug.
macro_rules! weak {
    ($Weak:ident, $Handle:ident, $field:ident, $count:ident) => {
        impl<T> $Weak<T> {
            /// The handle, if there is still one of its kind.
            #[must_use]
            pub fn upgrade(&self) -> Option<$Handle<T>> {
                // Counted before it is a handle, which counts itself off when it is dropped.
                if self.chan().is_some_and(|chan| !add_unless_zero(&chan.$count)) {
                    return None;
                }
                Some($Handle { $field: self.$field.clone() })
            }
        }

        impl<T> Clone for $Weak<T> {
            fn clone(&self) -> Self {
                Self { $field: self.$field.clone() }
            }
        }

        impl<T> fmt::Debug for $Weak<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(concat!(stringify!($Weak), " { .. }"))
            }
        }

        impl<T> UnwindSafe for $Weak<T> {}
        impl<T> RefUnwindSafe for $Weak<T> {}
    };
}
weak!(WeakSender, Sender, chan, senders);
weak!(WeakReceiver, Receiver, flavor, receivers);

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.chan.as_ref().inspect(|chan| add(&chan.senders));
        Self { chan: self.chan.clone() }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.chan().inspect(|chan| add(&chan.receivers));
        Self { flavor: self.flavor.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if let Some(chan) = self.chan.as_ref().filter(|chan| is_last(&chan.senders)) {
            if cfg!(gochan_bug = "last_drop_wakes_nobody") {
                chan.lock().closed = true;
            }
            chan.closechan();
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        if let Some(chan) = self.chan().filter(|chan| is_last(&chan.receivers)) {
            chan.abandon();
        }
    }
}

/// One more handle.
fn add(count: &AtomicUsize) {
    // Relaxed: a handle is made from a handle. As `Arc` does, abort long before the count could wrap around.
    if count.fetch_add(1, Ordering::Relaxed) > usize::MAX / 2 {
        std::process::abort();
    }
}

fn add_unless_zero(count: &AtomicUsize) -> bool {
    let mut now = count.load(Ordering::Relaxed);
    while now != 0 {
        match count.compare_exchange_weak(now, now + 1, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return true,
            Err(other) => now = other,
        }
    }
    false
}

fn is_last(count: &AtomicUsize) -> bool {
    // Release: what was done with this handle comes before the close. Acquire: the last one has seen it.
    count.fetch_sub(1, Ordering::AcqRel) == 1
}

/// An operation on a nil channel: waits in vain.
#[cold]
fn nobody_comes(reason: Reason, patience: &Patience, at: &'static Location<'static>) -> Refusal {
    if !matches!(patience, Patience::Try) {
        park::forever(reason, at, patience.deadline());
    }
    Refusal::Blocked
}

/// Fires the wake-up that is `owed` while `value` is nobody's yet: should a waker panic, the value is dropped.
///
/// # Safety
/// There is a value, and if this unwinds, it is gone.
#[inline]
unsafe fn fire_beside<T>(owed: &mut Ready, value: *mut T) {
    struct Beside<T>(*mut T);
    impl<T> Drop for Beside<T> {
        fn drop(&mut self) {
            // Should the value's drop panic as well: one panic is enough, and two would abort.
            // SAFETY: the caller's contract.
            let second = catch_unwind(AssertUnwindSafe(|| unsafe { std::ptr::drop_in_place(self.0) }));
            std::mem::forget(second);
        }
    }
    if !owed.is_nobody() {
        let beside = Beside(value);
        owed.fire_here();
        std::mem::forget(beside);
    }
}
