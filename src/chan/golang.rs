//! Chan: the channel as Go has it. One handle for both directions, a nil channel, and Go's panics.

use super::hchan::{Patience, Refusal};
use super::{Iter, Receiver, Sender, TryRecvError, TrySendError, bounded};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::mem::{ManuallyDrop, MaybeUninit};
use std::panic::Location;

/// A Go channel: send and receive by one handle, which is copied freely and equal to its copies.
///
/// Differs from [`Sender`] and [`Receiver`] as Go does: sending on a closed channel panics, closing twice panics, a
/// closed channel delivers `None` (Go's zero value and `ok == false`), and there is a nil channel, which blocks for ever.
/// Like in Go nothing closes it but [`close`](Self::close): one `Chan` is a sender and a receiver, so dropping one never
/// takes anything from the others.
///
/// # Examples
///
/// ```
/// use gochan::Chan;
/// use std::thread;
///
/// let jobs = Chan::new(3);
/// let worker = thread::spawn({
///     let jobs = jobs.clone();
///     move || jobs.iter().sum::<u32>()
/// });
/// for job in 1..=10 {
///     jobs.send(job);
/// }
/// jobs.close();
/// assert_eq!(worker.join().unwrap(), 55);
/// ```
pub struct Chan<T> {
    sender: Sender<T>,
    receiver: Receiver<T>,
}

impl<T> Chan<T> {
    /// `make(chan T, cap)`.
    ///
    /// # Panics
    ///
    /// `makechan: size out of range`, if `cap` values would not fit the address space.
    #[must_use]
    #[track_caller]
    pub fn new(cap: usize) -> Self {
        let (sender, receiver) = bounded(cap);
        Self { sender, receiver }
    }

    /// `var ch chan T`: the nil channel. Sends and receives block for ever, [`close`](Self::close) panics.
    ///
    /// ```
    /// let ch = gochan::Chan::<u8>::nil();
    /// assert!(ch.is_nil() && ch.try_recv().is_err());
    /// ```
    #[must_use]
    pub const fn nil() -> Self {
        Self { sender: Sender::never(), receiver: super::never() }
    }

    /// `ch == nil`?
    #[must_use]
    pub fn is_nil(&self) -> bool {
        self.sender.chan.is_none()
    }

    /// `ch <- value`.
    ///
    /// # Panics
    ///
    /// `send on closed channel`, also if the channel is closed while this waits. The value is dropped.
    ///
    /// ```
    /// let ch = gochan::Chan::new(1);
    /// ch.send(1);
    /// assert_eq!(ch.len(), 1);
    /// ```
    #[track_caller]
    pub fn send(&self, value: T) {
        let mut value = ManuallyDrop::new(value);
        // SAFETY: a value of ours.
        if unsafe { self.sender.transmit(&raw mut *value, &Patience::Forever, Location::caller()) }.is_err() {
            // Not while unwinding: its drop may panic too.
            drop(ManuallyDrop::into_inner(value));
            panic!("send on closed channel");
        }
    }

    /// `select { case ch <- value: default: }`: sends if that needs no waiting.
    ///
    /// # Errors
    ///
    /// [`TrySendError::Full`] with the value if it would have to wait; never `Disconnected`.
    ///
    /// # Panics
    ///
    /// `send on closed channel`.
    ///
    /// ```
    /// let ch = gochan::Chan::new(1);
    /// assert!(ch.try_send(1).is_ok());
    /// assert!(ch.try_send(2).is_err());
    /// ```
    #[track_caller]
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        let mut value = ManuallyDrop::new(value);
        // SAFETY: a value of ours.
        match unsafe { self.sender.transmit(&raw mut *value, &Patience::Try, Location::caller()) } {
            Ok(()) => Ok(()),
            Err(Refusal::Blocked) => Err(TrySendError::Full(ManuallyDrop::into_inner(value))),
            Err(Refusal::Closed) => {
                drop(ManuallyDrop::into_inner(value));
                panic!("send on closed channel");
            }
        }
    }

    /// `v, ok := <-ch`: `None` if the channel is closed and empty.
    ///
    /// ```
    /// let ch = gochan::Chan::new(1);
    /// ch.send(1);
    /// ch.close();
    /// assert_eq!((ch.recv(), ch.recv()), (Some(1), None));
    /// ```
    #[track_caller]
    pub fn recv(&self) -> Option<T> {
        let mut room = MaybeUninit::uninit();
        self.receiver.receive(&mut room, &Patience::Forever, Location::caller()).ok()?;
        // SAFETY: it holds a value.
        Some(unsafe { room.assume_init_read() })
    }

    /// `v := <-ch`: the default value, Go's zero value, if the channel is closed and empty.
    ///
    /// ```
    /// let ch = gochan::Chan::<i32>::new(1);
    /// ch.close();
    /// assert_eq!(ch.recv_or_default(), 0);
    /// ```
    #[track_caller]
    pub fn recv_or_default(&self) -> T
    where
        T: Default,
    {
        self.receiver.recv().unwrap_or_default()
    }

    /// `select { case v, ok := <-ch: default: }`: `Ok(None)` if the channel is closed and empty.
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`] if it would have to wait; never `Disconnected`.
    ///
    /// ```
    /// let ch = gochan::Chan::new(1);
    /// assert!(ch.try_recv().is_err());
    /// ch.send(1);
    /// assert_eq!(ch.try_recv(), Ok(Some(1)));
    /// ch.close();
    /// assert_eq!(ch.try_recv(), Ok(None));
    /// ```
    #[track_caller]
    pub fn try_recv(&self) -> Result<Option<T>, TryRecvError> {
        fn received<T>(room: &MaybeUninit<T>) -> Result<Option<T>, TryRecvError> {
            // SAFETY: a value was received into it, and is read once.
            Ok(Some(unsafe { room.assume_init_read() }))
        }
        let mut room = MaybeUninit::uninit();
        match self.receiver.receive(&mut room, &Patience::Try, Location::caller()) {
            Ok(()) => received(&room),
            Err(Refusal::Closed) => Ok(None),
            Err(Refusal::Blocked) => Err(TryRecvError::Empty),
        }
    }

    /// `close(ch)`.
    ///
    /// # Panics
    ///
    /// `close of nil channel`, `close of closed channel`.
    ///
    /// ```
    /// let ch = gochan::Chan::<u8>::new(0);
    /// ch.close();
    /// let again = std::panic::catch_unwind(|| ch.close()).unwrap_err();
    /// assert_eq!(again.downcast_ref(), Some(&"close of closed channel"));
    /// ```
    #[track_caller]
    pub fn close(&self) {
        if self.is_nil() {
            panic!("close of nil channel");
        }
        if !self.sender.close() {
            panic!("close of closed channel");
        }
    }

    /// `len(ch)`.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sender.len()
    }

    /// `len(ch) == 0`?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sender.is_empty()
    }

    /// `cap(ch)`.
    #[must_use]
    pub fn cap(&self) -> usize {
        self.sender.capacity().unwrap_or(usize::MAX)
    }

    /// `for v := range ch`.
    #[track_caller]
    pub fn iter(&self) -> Iter<'_, T> {
        self.receiver.iter()
    }

    /// The channel as `chan<- T`, with errors instead of panics. Once the last `Chan` and [`Receiver`] has gone, it is
    /// closed.
    ///
    /// ```
    /// let ch = gochan::Chan::new(1);
    /// ch.sender().send(1).unwrap();
    /// assert_eq!(ch.receiver().recv(), Ok(1));
    /// ```
    #[must_use]
    pub fn sender(&self) -> Sender<T> {
        self.sender.clone()
    }

    /// The sending side, borrowed: for a dynamic [`Select`](crate::Select).
    #[must_use]
    pub fn as_sender(&self) -> &Sender<T> {
        &self.sender
    }

    /// The receiving side, borrowed: for a dynamic [`Select`](crate::Select).
    ///
    /// ```
    /// let ch = gochan::Chan::new(1);
    /// ch.send(7);
    /// let mut select = gochan::Select::new();
    /// select.recv(ch.as_receiver());
    /// assert_eq!(select.select().recv(ch.as_receiver()), Ok(7));
    /// ```
    #[must_use]
    pub fn as_receiver(&self) -> &Receiver<T> {
        &self.receiver
    }

    /// The channel as `<-chan T`. Once the last `Chan` and [`Sender`] has gone, it is closed.
    #[must_use]
    pub fn receiver(&self) -> Receiver<T> {
        self.receiver.clone()
    }
}

impl<'a, T> IntoIterator for &'a Chan<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    #[track_caller]
    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> Clone for Chan<T> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), receiver: self.receiver.clone() }
    }
}

/// The nil channel, the zero value of Go's channel types.
impl<T> Default for Chan<T> {
    fn default() -> Self {
        Self::nil()
    }
}

/// The same channel? Two nil channels are equal.
impl<T> PartialEq for Chan<T> {
    fn eq(&self, other: &Self) -> bool {
        self.sender.same_channel(&other.sender)
    }
}

impl<T> Eq for Chan<T> {}

impl<T> Hash for Chan<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.sender.chan.as_ref().map(|chan| std::ptr::from_ref(&**chan).addr()).hash(state);
    }
}

impl<T> fmt::Debug for Chan<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_nil() {
            return f.pad("Chan(nil)");
        }
        f.debug_struct("Chan").field("len", &self.len()).field("cap", &self.cap()).finish()
    }
}
