//! Why is it stuck? A read-only view of who waits on which channel, since when and where.
//!
//! The data is what every wait records anyway; looking at it needs no flag and stops nobody. See [`channels`].

use std::fmt;
use std::panic::Location;
use std::time::Duration;

pub use crate::park::Reason;

/// A channel on which somebody waits, or has waited.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Channel {
    /// Tells channels apart while they live: the channel's address.
    pub id: usize,
    /// The type of its values.
    pub element: &'static str,
    /// `None` for an unbounded channel.
    pub capacity: Option<usize>,
    /// Buffered values.
    pub len: usize,
    /// Has it been closed, by `close` or by the last handle of a side?
    pub closed: bool,
    /// Handles that can send.
    pub senders: usize,
    /// Handles that can receive.
    pub receivers: usize,
    /// Who waits, senders before receivers, each in the order in which they will be served.
    pub waiting: Vec<Waiting>,
}

/// One operation that waits.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Waiting {
    /// What it waits for.
    pub reason: Reason,
    /// Where the operation was called.
    pub at: &'static Location<'static>,
    /// For how long it has been asleep, right to a tick of the kernel's clock (1 to 10 ms) either way; `None` if it is only
    /// just about to be.
    pub asleep_for: Option<Duration>,
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "chan {} at {:#x}: ", self.element, self.id)?;
        match self.capacity {
            None => write!(f, "{} buffered, unbounded", self.len)?,
            Some(capacity) => write!(f, "{} of {capacity} buffered", self.len)?,
        }
        let closed = if self.closed { ", closed" } else { "" };
        writeln!(f, ", {} senders, {} receivers{closed}", self.senders, self.receivers)?;
        for waiting in &self.waiting {
            write!(f, "    [{}", waiting.reason)?;
            if let Some(since) = waiting.asleep_for {
                write!(f, ", {}.{:03} s", since.as_secs(), since.subsec_millis())?;
            }
            writeln!(f, "] {}", waiting.at)?;
        }
        Ok(())
    }
}

/// Every channel on which somebody has ever slept and that is still alive.
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
///     // chan alloc::string::String at 0x7f..: 0 of 0 buffered, 1 senders, 1 receivers
///     //     [chan receive, 0.001 s] src/main.rs:4:40
///     print!("{channel}");
/// }
/// drop(tx);
/// assert!(receiver.join().unwrap().is_err());
/// ```
#[must_use]
pub fn channels() -> Vec<Channel> {
    crate::chan::registry::channels()
}
