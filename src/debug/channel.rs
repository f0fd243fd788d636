//! A channel, and who waits on it.

use super::Kind;
use crate::park::{Reason, Sighting, Sleeper, Who};
use crate::primitive::VEIL;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

/// A channel on which somebody waits, or has waited, or that was given a name.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Channel {
    /// Tells channels apart while they live: the channel's address, with the highest bit set,
    /// so that it does not look like a handle to who searches memory.
    pub id: usize,
    /// The name that it was given.
    pub name: Option<Arc<str>>,
    /// The type of its values.
    pub element: &'static str,
    /// Where it was made.
    pub made_at: &'static Location<'static>,
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
    /// The last send that had to wait, or that met somebody who waited: what goes quickly through the buffer leaves no trace.
    pub last_send: Option<Use>,
    /// The last such receive.
    pub last_receive: Option<Use>,
    /// Who waits, senders before receivers, each in the order in which they will be served; then those who wait for something
    /// else than an operation of their own.
    pub waiting: Vec<Waiting>,
    // How many of them wait to send, and to receive: counted once, not for everybody who is shown beside them.
    pub(crate) sending: usize,
    pub(crate) receiving: usize,
}

/// One operation that waits.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Waiting {
    /// What it waits for.
    pub reason: Reason,
    /// What it waits to do on this channel.
    pub direction: Direction,
    /// Where the operation was called.
    pub at: &'static Location<'static>,
    /// For how long it has been asleep, right to a tick of the kernel's clock (1 to 10 ms) either way; `None` if it is only
    /// just about to be.
    pub asleep_for: Option<Duration>,
    /// Will it give up by itself?
    pub has_deadline: bool,
    /// What waits: where it is only just about to sleep, a guess. That a task is one of ours only a [`dump`](super::dump()) can
    /// tell.
    pub kind: Kind,
    /// Its number: see [`Routine::id`](super::Routine::id).
    pub id: Option<u64>,
    /// What is the same of all that one waiter waits for: the wait's address, or what a task's waker points to.
    pub(super) key: usize,
    pub(super) origin: Origin,
}

/// What is waited for on a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Direction {
    /// To send.
    Send,
    /// To receive.
    Receive,
    /// That it is closed.
    Close,
}

/// An operation that was done on a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Use {
    /// Where it was called.
    pub at: &'static Location<'static>,
    /// Who did it, by number; `None` for a thread that had not slept on a channel before. It may have ended.
    pub by: Option<(Kind, u64)>,
}

impl Use {
    pub(crate) fn new(at: &'static Location<'static>, who: Who) -> Self {
        Self { at, by: who.known() }
    }
}

/// Where a goroutine comes from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origin {
    pub(crate) name: Option<Arc<str>>,
    pub(crate) parent: Option<u64>,
    pub(crate) spawned_at: Option<&'static Location<'static>>,
}

/// Says whose a wait is. Called under the lock of the channel, so it allocates nothing and runs nothing of the user's.
pub(crate) type See = fn(Sighting, Direction) -> Waiting;

pub(super) fn see(seen: Sighting, direction: Direction) -> Waiting {
    let (kind, id, origin) = match seen.sleeper {
        #[cfg(feature = "rt")]
        Sleeper::Goroutine(g) => {
            // SAFETY: as long as its wait is queued on the channel, whose lock is held, the goroutine has not ended.
            let identity = unsafe { crate::rt::identity_of(g) };
            (Kind::Goroutine, Some(identity.id()), identity.origin())
        }
        // A dump may know better.
        Sleeper::Task(_) => (Kind::ForeignTask, None, Origin::default()),
        Sleeper::Thread(who) => (Kind::Thread, who.known().map(|(_, id)| id), Origin::default()),
        _ => (Kind::Thread, None, Origin::default()),
    };
    Waiting {
        reason: seen.reason,
        direction,
        at: seen.at,
        asleep_for: seen.since,
        has_deadline: seen.timed,
        kind,
        id,
        key: match seen.sleeper {
            Sleeper::Task(waker) => waker,
            _ => seen.wait,
        },
        origin,
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Send => "send",
            Self::Receive => "receive",
            Self::Close => "close",
        })
    }
}

/// `1 sender`, `2 senders`.
pub(super) struct Count(pub(super) usize, pub(super) &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.0, self.1, if self.0 == 1 { "" } else { "s" })
    }
}

impl Channel {
    /// The channel in a line, without the end of it.
    pub(super) fn write_head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "chan {} at {:#x}", self.element, self.id & !VEIL)?;
        if let Some(name) = &self.name {
            write!(f, " {name:?}")?;
        }
        match self.capacity {
            None => write!(f, ": {} buffered, unbounded", self.len)?,
            Some(capacity) => write!(f, ": {} of {capacity} buffered", self.len)?,
        }
        let closed = if self.closed { ", closed" } else { "" };
        write!(f, ", {}, {}{closed}", Count(self.senders, "sender"), Count(self.receivers, "receiver"))?;
        write!(f, ", made at {}", self.made_at)
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_head(f)?;
        writeln!(f)?;
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
