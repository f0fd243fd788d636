//! Why is it stuck? A read-only view of who waits on which channel, since when and where.
//!
//! The data is what every wait records anyway; looking at it needs no flag and stops nobody. [`dump()`] shows everybody -
//! goroutines, tasks, and whoever else waits on a channel - in the form of Go's tracebacks; [`channels`] shows the channels.

#![cfg_attr(feature = "rt", doc = "\n", doc = include_str!("../../docs/guide/stuck.md"))]

mod channel;
mod dump;
mod group;
mod json;
#[cfg(all(feature = "rt", not(any(gochan_loom, gochan_shuttle))))]
mod leaks;
mod stack;
mod trigger;

pub use crate::park::{Kind, Reason};
pub use channel::{Channel, Direction, Use, Waiting};
#[cfg(feature = "rt")]
pub use dump::dump_with_stacks;
pub use dump::{Dump, On, Routine, State, Waits, Worker, dump};
pub use group::{Group, Groups};
#[cfg(all(feature = "rt", not(any(gochan_loom, gochan_shuttle))))]
pub use leaks::{Heap, Leak, Leaks, Verdict, leaks, leaks_longer_than};
pub use stack::Stack;
#[cfg(all(unix, feature = "rt"))]
pub use trigger::on_signal;
pub use trigger::{Watch, dump_on_panic, watch, watch_with};

#[cfg(feature = "rt")]
pub(crate) use channel::Origin;
pub(crate) use channel::See;
#[cfg(feature = "rt")]
pub(crate) use dump::Census;
#[cfg(feature = "rt")]
pub(crate) use trigger::print;

/// Every channel on which somebody has ever slept, or that has a name, and that is still alive.
///
/// Each channel is looked at under its own lock, for as long as it takes to copy its queue; there is no moment of which
/// the whole is a picture.
///
/// # Examples
///
/// ```
/// use std::{thread, time::Duration};
///
/// let (tx, rx) = gochan::bounded::<String>(0);
/// let receiver = thread::spawn(move || rx.recv());
/// # let sleeping = || gochan::debug::channels().iter().any(|c| c.element.contains("String") && !c.waiting.is_empty());
/// # while !sleeping() {
/// #     thread::sleep(Duration::from_millis(1));
/// # }
/// for channel in gochan::debug::channels() {
///     // chan alloc::string::String at 0x7f..: 0 of 0 buffered, 1 sender, 1 receiver, made at src/main.rs:3:16
///     //     [chan receive, 0.001 s] src/main.rs:4:40
///     print!("{channel}");
/// }
/// drop(tx);
/// assert!(receiver.join().unwrap().is_err());
/// ```
#[must_use]
pub fn channels() -> Vec<Channel> {
    crate::chan::registry::channels(channel::see)
}
