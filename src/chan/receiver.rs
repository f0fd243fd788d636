//! What a receiver does.

use super::hchan::{Patience, Refusal};
use super::nobody_comes;
use super::{Drain, Flavor, Iter, Receiver, RecvError, RecvTimeoutError, TryIter, TryRecvError, WeakReceiver};
use crate::park::Reason;
use std::mem::MaybeUninit;
use std::panic::Location;
use std::time::{Duration, Instant};

impl<T> Receiver<T> {
    /// Receives a value, waiting for one. Go's `v, ok := <-ch`.
    ///
    /// # Errors
    ///
    /// [`RecvError`] if the channel is closed and empty. Then this does not even lock it.
    ///
    /// # Examples
    ///
    /// ```
    /// use gochan::RecvError;
    ///
    /// let (tx, rx) = gochan::bounded(1);
    /// tx.send(7).unwrap();
    /// drop(tx);
    /// assert_eq!(rx.recv(), Ok(7));
    /// assert_eq!(rx.recv(), Err(RecvError));
    /// ```
    #[track_caller]
    #[inline(always)]
    pub fn recv(&self) -> Result<T, RecvError> {
        self.recv_at(Location::caller())
    }

    /// Receives a value if that needs no waiting. Go's `select { case v, ok := <-ch: default: }`.
    ///
    /// At capacity 0 that is if a sender waits. If that sender is a `select` of another thread, its value does not exist
    /// yet, and this waits for it to be evaluated.
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`], or [`TryRecvError::Disconnected`] if the channel is closed and empty.
    ///
    /// # Examples
    ///
    /// ```
    /// use gochan::TryRecvError;
    ///
    /// let (tx, rx) = gochan::bounded(1);
    /// assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    /// tx.send(7).unwrap();
    /// drop(tx);
    /// assert_eq!(rx.try_recv(), Ok(7));
    /// assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
    /// ```
    #[track_caller]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        let mut room = MaybeUninit::uninit();
        match self.receive(&mut room, &Patience::Try, Location::caller()) {
            // SAFETY: it holds a value.
            Ok(()) => Ok(unsafe { room.assume_init_read() }),
            Err(Refusal::Blocked) => Err(TryRecvError::Empty),
            Err(Refusal::Closed) => Err(TryRecvError::Disconnected),
        }
    }

    /// Receives a value, waiting at most for `timeout`; [`Duration::MAX`] is for ever. Go's `select` with `time.After`.
    ///
    /// With a timeout of zero a value that is there is still received.
    ///
    /// # Errors
    ///
    /// [`RecvTimeoutError::Timeout`], or [`RecvTimeoutError::Disconnected`] if the channel is closed and empty.
    ///
    /// # Examples
    ///
    /// ```
    /// use gochan::RecvTimeoutError;
    /// use std::time::Duration;
    ///
    /// let (_tx, rx) = gochan::bounded::<u8>(1);
    /// assert_eq!(rx.recv_timeout(Duration::from_millis(5)), Err(RecvTimeoutError::Timeout));
    /// ```
    #[track_caller]
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        self.recv_patiently(Patience::For(timeout), Location::caller())
    }

    /// Receives a value, waiting until `deadline` at most.
    ///
    /// With a deadline in the past a value that is there is still received.
    ///
    /// # Errors
    ///
    /// As for [`recv_timeout`](Self::recv_timeout).
    ///
    /// # Examples
    ///
    /// ```
    /// use gochan::RecvTimeoutError;
    /// use std::time::{Duration, Instant};
    ///
    /// let (_tx, rx) = gochan::bounded::<u8>(1);
    /// let deadline = Instant::now() + Duration::from_millis(5);
    /// assert_eq!(rx.recv_deadline(deadline), Err(RecvTimeoutError::Timeout));
    /// ```
    #[track_caller]
    pub fn recv_deadline(&self, deadline: Instant) -> Result<T, RecvTimeoutError> {
        self.recv_patiently(Patience::Until(deadline), Location::caller())
    }

    fn recv_patiently(&self, patience: Patience, at: &'static Location<'static>) -> Result<T, RecvTimeoutError> {
        let mut room = MaybeUninit::uninit();
        match self.receive(&mut room, &patience, at) {
            // SAFETY: it holds a value.
            Ok(()) => Ok(unsafe { room.assume_init_read() }),
            Err(Refusal::Blocked) => Err(RecvTimeoutError::Timeout),
            Err(Refusal::Closed) => Err(RecvTimeoutError::Disconnected),
        }
    }

    #[inline(always)]
    pub(super) fn recv_at(&self, at: &'static Location<'static>) -> Result<T, RecvError> {
        let mut room = MaybeUninit::uninit();
        match self.receive(&mut room, &Patience::Forever, at) {
            // SAFETY: it holds a value.
            Ok(()) => Ok(unsafe { room.assume_init_read() }),
            Err(_) => Err(RecvError),
        }
    }

    /// Every receive: a sender writes the value into `room`, which holds one if this returns `Ok`.
    #[inline(always)]
    pub(super) fn receive(
        &self,
        room: &mut MaybeUninit<T>,
        patience: &Patience,
        at: &'static Location<'static>,
    ) -> Result<(), Refusal> {
        let chan = match &self.flavor {
            Flavor::Chan(chan) => chan,
            Flavor::Never => return Err(nobody_comes(Reason::ChanReceiveNil, patience, at)),
            Flavor::Timer(timer) => {
                let due = timer.recv(patience, at)?;
                // SAFETY: a timer's receiver receives instants.
                unsafe { room.as_mut_ptr().cast::<Instant>().write(due) };
                return Ok(());
            }
        };
        // SAFETY: the room may be written.
        unsafe { chan.chanrecv(room.as_mut_ptr(), patience, at) }
    }

    /// Receives up to `limit` values into `buffer`, waiting for the first; the rest is what is there without waiting,
    /// taken out many under one lock. Returns how many: 0 if the channel is closed and empty, or `limit` is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = gochan::unbounded();
    /// for i in 0..5 {
    ///     tx.send(i).unwrap();
    /// }
    /// let mut buffer = Vec::new();
    /// assert_eq!(rx.recv_many(&mut buffer, 3), 3);
    /// assert_eq!(rx.recv_many(&mut buffer, 3), 2);
    /// assert_eq!(buffer, [0, 1, 2, 3, 4]);
    /// ```
    #[track_caller]
    pub fn recv_many(&self, buffer: &mut Vec<T>, limit: usize) -> usize {
        let at = Location::caller();
        let some = |buffer: &mut Vec<T>, limit| self.chan().map_or(0, |chan| chan.recv_some(buffer, limit));
        if limit == 0 {
            return 0;
        }
        match some(buffer, limit) {
            0 => {}
            got => return got,
        }
        buffer.reserve(1);
        if self.receive(&mut buffer.spare_capacity_mut()[0], &Patience::Forever, at).is_err() {
            return 0;
        }
        // SAFETY: a value was written behind the vector's end.
        unsafe { buffer.set_len(buffer.len() + 1) };
        1 + some(buffer, limit - 1)
    }

    /// Takes out everything that the channel holds, at once and without waiting. Senders that wait for space get it.
    ///
    /// Values of senders that wait are not taken: they move into the buffer.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = gochan::unbounded();
    /// for i in 0..3 {
    ///     tx.send(i).unwrap();
    /// }
    /// let values = rx.drain();
    /// assert_eq!(values.len(), 3);
    /// assert!(rx.is_empty());
    /// assert_eq!(values.collect::<Vec<_>>(), [0, 1, 2]);
    /// ```
    pub fn drain(&self) -> Drain<T> {
        Drain::of(self.chan().map(|chan| &**chan))
    }

    /// Iterates over values until the channel is closed and empty, waiting for each. Go's `for v := range ch`.
    ///
    /// ```
    /// let (tx, rx) = gochan::unbounded();
    /// tx.send(1).unwrap();
    /// tx.send(2).unwrap();
    /// drop(tx);
    /// assert_eq!(rx.iter().collect::<Vec<_>>(), [1, 2]);
    /// ```
    #[track_caller]
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { receiver: self, made_at: Location::caller() }
    }

    /// Iterates over values as long as there are some without waiting.
    ///
    /// ```
    /// let (tx, rx) = gochan::unbounded();
    /// tx.send(1).unwrap();
    /// tx.send(2).unwrap();
    /// assert_eq!(rx.try_iter().collect::<Vec<_>>(), [1, 2]);
    /// ```
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter { receiver: self }
    }

    /// Makes a handle that does not keep the channel open.
    ///
    /// ```
    /// let (tx, rx) = gochan::unbounded::<u8>();
    /// let weak = rx.downgrade();
    /// drop(rx);
    /// assert!(weak.upgrade().is_none() && tx.is_closed());
    /// ```
    #[must_use]
    pub fn downgrade(&self) -> WeakReceiver<T> {
        WeakReceiver { flavor: self.flavor.clone() }
    }
}
