//! Go's channels for Rust.
//!
//! | | send | receive | select | spawn | sleep |
//! |---|---|---|---|---|---|
//! | OS thread | [`send`](Sender::send) | [`recv`](Receiver::recv) | [`select!`], [`Select`] | [`std::thread::spawn`] | [`std::thread::sleep`] |
//! | async task, on any executor | [`send_async`](Sender::send_async) | [`recv_async`](Receiver::recv_async), [`stream`](Receiver::stream) | [`select_async!`], [`Select::select_async`] | the executor's | [`after(d)`](after)`.recv_async()` |
#![cfg_attr(
    feature = "rt",
    doc = "| goroutine | [`send`](Sender::send) | [`recv`](Receiver::recv) | [`select!`], [`Select`] | [`go`], [`rt::spawn`] for tasks | [`rt::sleep`] |"
)]
#![cfg_attr(
    not(feature = "rt"),
    doc = "| goroutine (feature `rt`) | [`send`](Sender::send) | [`recv`](Receiver::recv) | [`select!`], [`Select`] | `go`, `rt::spawn` for tasks | `rt::sleep` |"
)]
//!
//! All three meet on the same channels, by the same handles, at any capacity, and in the same select. Every operation has
//! forms that try and forms with a time limit ([`try_send`](Sender::try_send), [`recv_timeout`](Receiver::recv_timeout),
//! [`send_timeout_async`](Sender::send_timeout_async), `default(..)`), and time comes on channels too: [`after`], [`at`],
//! [`tick`].
//!
//! A channel is Go's `hchan`: one short lock, a buffer, and two queues of waiters. A send gives its value to the
//! receiver that has waited longest, straight into its memory; a receive takes it from the sender that has waited
//! longest. Nobody overtakes anybody who waits.
//!
//! # Coming from crossbeam-channel
//!
//! The names, signatures, errors and behaviour are the same: rename the dependency.
//!
//! ```toml
//! crossbeam-channel = { package = "gochan", version = "0.1" }
//! ```
//!
//! That crate's own tests, unedited, pass (`scripts/crossbeam-suite`). What is new: everything asynchronous, [`close`](Sender::close), [`is_closed`](Sender::is_closed), counts, weak handles,
//! [`send_many`](Sender::send_many), [`recv_many`](Receiver::recv_many), [`drain`](Receiver::drain),
//! [`force_send`](Sender::force_send), [`reserve`](Sender::reserve), strict FIFO among waiters, an exact `default`, and
//! [`debug::channels`], which shows who waits. What differs: a [`SelectedOperation`] that is dropped gives back what it got,
//! where crossbeam-channel panics.
//!
//! # Coming from flume or tokio
//!
//! | flume | tokio's mpsc | here |
//! |---|---|---|
//! | `send_async(v).await` | `send(v).await` | [`send_async(v)`](Sender::send_async) |
//! | `recv_async().await` | `recv().await` | [`recv_async()`](Receiver::recv_async) |
//! | `into_stream()` | `ReceiverStream` | [`into_stream()`](Receiver::into_stream) |
//! | | `reserve().await` | [`reserve()`](Sender::reserve) |
//! | | `closed().await` | [`closed()`](Sender::closed) |
//! | `is_disconnected()` | `is_closed()` | [`is_closed()`](Sender::is_closed) |
//! | `Selector` | `tokio::select!` over futures | [`select_async!`], [`Select::select_async`], which select over sends too |
//!
//! What is kept when a future is dropped: [`future`].
//!
//! # Coming from Go
//!
//! [`Chan`] is Go's channel, with its panics and its nil. As handles, which return errors instead:
//!
//! | Go | here |
//! |---|---|
//! | `make(chan T, n)` | [`bounded(n)`](bounded) or [`Chan::new(n)`](Chan::new) |
//! | `ch <- v` | `tx.send(v)` |
//! | `v, ok := <-ch` | `rx.recv()`, [`Err(RecvError)`](RecvError) for `!ok` |
//! | `for v := range ch` | `for v in &rx` |
//! | `select { case ch <- v: default: }` | `tx.try_send(v)` |
//! | `select { case v := <-a: .. case b <- w: .. }` | `select! { recv(a) -> v => .., send(b, w) -> r => .. }` |
//! | `time.After(d)`, `time.Tick(d)` | [`after(d)`](after), [`tick(d)`](tick) |
//! | `close(ch)` | `tx.close()`, or drop every `tx` |
//! | `len(ch)`, `cap(ch)` | `rx.len()`, `rx.capacity()` |
//! | `var ch chan T` | [`Sender::never`], [`never()`](never()), [`Chan::nil`] |
//!
//! # Examples
//!
//! ```
//! use std::thread;
//!
//! let (paths, work) = gochan::bounded::<String>(16);
//! let (results, sizes) = gochan::bounded(0);
//! for _ in 0..2 {
//!     let (work, results) = (work.clone(), results.clone());
//!     thread::spawn(move || {
//!         for path in work {
//!             results.send(path.len()).unwrap();
//!         }
//!     });
//! }
//! drop((work, results));
//! thread::spawn(move || {
//!     for path in ["a", "bc", "def"] {
//!         paths.send(path.into()).unwrap();
//!     }
//! });
//! assert_eq!(sizes.iter().sum::<usize>(), 6);
//! ```

// README's example is run with the others.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod chan;
pub mod debug;
#[doc = include_str!("../docs/guide/cancellation.md")]
pub mod future {
    pub use crate::chan::{ClosedFut, RecvFut, RecvTimeoutFut, ReserveFut, SendFut, SendTimeoutFut};
    #[cfg(feature = "stream")]
    pub use crate::chan::{RecvStream, SendSink};
    pub use crate::select::{ReadyFut, ReadyTimeoutFut, SelectFut, SelectTimeoutFut, TrySelectFut};
}
mod park;
mod primitive;
#[cfg(feature = "rt")]
pub mod rt;
mod select;

/// What the macros expand to.
#[doc(hidden)]
pub mod __private {
    pub use crate::select::{Arm, ArmsFut, GoExact, Plain, Promise, RecvArm, SendArm, select, select_async};
}

pub use chan::{
    Chan, Drain, IntoIter, Iter, Permit, ReadyTimeoutError, Receiver, RecvError, RecvTimeoutError, SelectTimeoutError,
    SendError, SendTimeoutError, Sender, TryIter, TryReadyError, TryRecvError, TrySelectError, TrySendError,
    WeakReceiver, WeakSender, after, at, bounded, never, tick, unbounded,
};
#[cfg(feature = "rt")]
pub use rt::go;
pub use select::{Select, SelectedOperation};
