//! Go's channels for Rust.
//!
//! | | send | receive | close | try, timeout, deadline |
//! |---|---|---|---|---|
//! | OS thread | [`Sender::send`] | [`Receiver::recv`] | [`close`](Sender::close), or the last handle of a side goes | [`try_send`](Sender::try_send), [`recv_timeout`](Receiver::recv_timeout), .. |
//!
//! (`select!`, async tasks and goroutines are the next columns and rows; they are not there yet.)
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
//! What is missing so far: `select!` and [`Select`](https://docs.rs/crossbeam-channel/0.5/crossbeam_channel/struct.Select.html),
//! `after`, `at`, `tick`. What is new: [`close`](Sender::close), [`is_closed`](Sender::is_closed), counts, weak handles,
//! [`send_many`](Sender::send_many), [`recv_many`](Receiver::recv_many), [`drain`](Receiver::drain),
//! [`force_send`](Sender::force_send), strict FIFO among waiters, and [`debug::channels`], which shows who waits.
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
pub mod future {
    //! What the asynchronous methods of the handles return. The names are flume's, where flume has them.

    pub use crate::chan::{ClosedFut, RecvFut, RecvTimeoutFut, ReserveFut, SendFut, SendTimeoutFut};
    #[cfg(feature = "stream")]
    pub use crate::chan::{RecvStream, SendSink};
}
mod park;
mod primitive;
mod select;

/// What the macros expand to.
#[doc(hidden)]
pub mod __private {
    pub use crate::select::{Arm, GoExact, Plain, Promise, RecvArm, SelectFut, SendArm, select, select_async};
}

pub use chan::{
    Chan, Drain, IntoIter, Iter, Permit, ReadyTimeoutError, Receiver, RecvError, RecvTimeoutError, SelectTimeoutError,
    SendError, SendTimeoutError, Sender, TryIter, TryReadyError, TryRecvError, TrySelectError, TrySendError,
    WeakReceiver, WeakSender, after, at, bounded, never, tick, unbounded,
};
pub use select::{Select, SelectedOperation};
