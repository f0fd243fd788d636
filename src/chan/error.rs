//! The errors of the handles: crossbeam-channel's shapes, names and texts.
//!
//! An explicit close shows up as `Disconnected`: these enums are exhaustive, and programs match on them.

use std::error::Error;
use std::fmt;

/// The channel is closed; the value comes back.
///
/// Returned by [`Sender::send`](crate::Sender::send). Go panics with `send on closed channel` instead;
/// [`Chan`](crate::Chan) does so too.
#[derive(PartialEq, Eq, Clone, Copy)]
pub struct SendError<T>(pub T);

/// A send that does not wait did not happen; the value comes back.
#[derive(PartialEq, Eq, Clone, Copy)]
pub enum TrySendError<T> {
    /// No receiver waits and the buffer has no free slot.
    Full(T),
    /// The channel is closed.
    Disconnected(T),
}

/// A send did not happen in time; the value comes back.
#[derive(PartialEq, Eq, Clone, Copy)]
pub enum SendTimeoutError<T> {
    /// The time is over.
    Timeout(T),
    /// The channel is closed.
    Disconnected(T),
}

/// The channel is closed and empty. In Go: the zero value and `ok == false`.
#[derive(PartialEq, Eq, Clone, Copy, Debug)]
pub struct RecvError;

/// A receive that does not wait did not happen.
#[derive(PartialEq, Eq, Clone, Copy, Debug)]
pub enum TryRecvError {
    /// There is no value now.
    Empty,
    /// The channel is closed and empty.
    Disconnected,
}

/// A receive did not happen in time.
#[derive(PartialEq, Eq, Clone, Copy, Debug)]
pub enum RecvTimeoutError {
    /// The time is over.
    Timeout,
    /// The channel is closed and empty.
    Disconnected,
}

/// No operation of a [`Select`](crate::Select) is possible now.
#[derive(PartialEq, Eq, Clone, Copy, Debug)]
pub struct TrySelectError;

/// No operation of a [`Select`](crate::Select) became possible in time.
#[derive(PartialEq, Eq, Clone, Copy, Debug)]
pub struct SelectTimeoutError;

/// No operation of a [`Select`](crate::Select) is ready now.
#[derive(PartialEq, Eq, Clone, Copy, Debug)]
pub struct TryReadyError;

/// No operation of a [`Select`](crate::Select) became ready in time.
#[derive(PartialEq, Eq, Clone, Copy, Debug)]
pub struct ReadyTimeoutError;

impl<T> SendError<T> {
    /// The value that was not sent.
    ///
    /// ```
    /// let (tx, rx) = gochan::unbounded();
    /// drop(rx);
    /// assert_eq!(tx.send("foo").unwrap_err().into_inner(), "foo");
    /// ```
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> TrySendError<T> {
    /// The value that was not sent.
    ///
    /// ```
    /// let (tx, _rx) = gochan::bounded(0);
    /// assert_eq!(tx.try_send("foo").unwrap_err().into_inner(), "foo");
    /// ```
    pub fn into_inner(self) -> T {
        match self {
            Self::Full(value) | Self::Disconnected(value) => value,
        }
    }

    /// Was there no room?
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }

    /// Was the channel closed?
    pub fn is_disconnected(&self) -> bool {
        matches!(self, Self::Disconnected(_))
    }
}

impl<T> SendTimeoutError<T> {
    /// The value that was not sent.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let (tx, _rx) = gochan::bounded(0);
    /// let error = tx.send_timeout("foo", Duration::from_millis(1)).unwrap_err();
    /// assert_eq!(error.into_inner(), "foo");
    /// ```
    pub fn into_inner(self) -> T {
        match self {
            Self::Timeout(value) | Self::Disconnected(value) => value,
        }
    }

    /// Was the time over?
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout(_))
    }

    /// Was the channel closed?
    pub fn is_disconnected(&self) -> bool {
        matches!(self, Self::Disconnected(_))
    }
}

impl TryRecvError {
    /// Was there no value?
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// Was the channel closed and empty?
    pub fn is_disconnected(&self) -> bool {
        matches!(self, Self::Disconnected)
    }
}

impl RecvTimeoutError {
    /// Was the time over?
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout)
    }

    /// Was the channel closed and empty?
    pub fn is_disconnected(&self) -> bool {
        matches!(self, Self::Disconnected)
    }
}

impl<T> From<SendError<T>> for TrySendError<T> {
    fn from(error: SendError<T>) -> Self {
        Self::Disconnected(error.0)
    }
}

impl<T> From<SendError<T>> for SendTimeoutError<T> {
    fn from(error: SendError<T>) -> Self {
        Self::Disconnected(error.0)
    }
}

impl From<RecvError> for TryRecvError {
    fn from(_: RecvError) -> Self {
        Self::Disconnected
    }
}

impl From<RecvError> for RecvTimeoutError {
    fn from(_: RecvError) -> Self {
        Self::Disconnected
    }
}

/// One formatting trait for an error, a text per variant. No text shows the value, so `T` need not be `Debug`.
macro_rules! texts {
    ($format:ident for $error:ident $(<$T:ident>)? { $($variant:pat => $text:literal,)+ }) => {
        impl $(<$T>)? fmt::$format for $error $(<$T>)? {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self { $($variant => $text,)+ })
            }
        }
    };
}

texts!(Debug for SendError<T> {
    Self(_) => "SendError(..)",
});
texts!(Display for SendError<T> {
    Self(_) => "sending on a disconnected channel",
});
texts!(Debug for TrySendError<T> {
    Self::Full(_) => "Full(..)",
    Self::Disconnected(_) => "Disconnected(..)",
});
texts!(Display for TrySendError<T> {
    Self::Full(_) => "sending on a full channel",
    Self::Disconnected(_) => "sending on a disconnected channel",
});
texts!(Debug for SendTimeoutError<T> {
    Self::Timeout(_) => "Timeout(..)",
    Self::Disconnected(_) => "Disconnected(..)",
});
texts!(Display for SendTimeoutError<T> {
    Self::Timeout(_) => "timed out waiting on send operation",
    Self::Disconnected(_) => "sending on a disconnected channel",
});
texts!(Display for RecvError {
    Self => "receiving on an empty and disconnected channel",
});
texts!(Display for TryRecvError {
    Self::Empty => "receiving on an empty channel",
    Self::Disconnected => "receiving on an empty and disconnected channel",
});
texts!(Display for RecvTimeoutError {
    Self::Timeout => "timed out waiting on receive operation",
    Self::Disconnected => "channel is empty and disconnected",
});
texts!(Display for TrySelectError {
    Self => "all operations in select would block",
});
texts!(Display for SelectTimeoutError {
    Self => "timed out waiting on select",
});
texts!(Display for TryReadyError {
    Self => "all operations in select would block",
});
texts!(Display for ReadyTimeoutError {
    Self => "timed out waiting on select",
});

impl Error for TrySelectError {}
impl Error for SelectTimeoutError {}
impl Error for TryReadyError {}
impl Error for ReadyTimeoutError {}
// crossbeam-channel asks for `T: Send`, which nothing here needs.
impl<T> Error for SendError<T> {}
impl<T> Error for TrySendError<T> {}
impl<T> Error for SendTimeoutError<T> {}
impl Error for RecvError {}
impl Error for TryRecvError {}
impl Error for RecvTimeoutError {}
