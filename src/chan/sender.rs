//! What a sender does.
//!
//! Values are passed on by pointer, and each way in which one can come back is a function of its own: without
//! optimisation every mention of a value by name costs its size in stack, and values may be large.

use super::hchan::{Hchan, Patience, Refusal, Unsent};
use super::{SendError, SendTimeoutError, Sender, TrySendError, WeakSender, fire_beside, nobody_comes};
use crate::park::{self, Ready, Reason};
use std::collections::VecDeque;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::panic::Location;
use std::time::{Duration, Instant};

impl<T> Sender<T> {
    /// Makes a sender of a channel that never takes anything: sends wait for ever. Go's nil channel, for sending.
    ///
    /// ```
    /// let tx = gochan::Sender::never();
    /// assert!(tx.try_send(1).unwrap_err().is_full());
    /// ```
    #[must_use]
    pub const fn never() -> Self {
        Self { chan: None }
    }

    /// Sends `msg`, waiting for a receiver or for space. Go's `ch <- msg`.
    ///
    /// A waiting receiver gets the value in its own memory; senders that wait are served in the order in which they
    /// came, and no later one overtakes them.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the value, if the channel is closed, also while this waits.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = gochan::bounded(1);
    /// assert_eq!(tx.send(1), Ok(()));
    /// drop(rx);
    /// assert_eq!(tx.send(2), Err(gochan::SendError(2)));
    /// ```
    #[track_caller]
    #[inline(always)]
    pub fn send(&self, msg: T) -> Result<(), SendError<T>> {
        let mut msg = ManuallyDrop::new(msg);
        // SAFETY: a value of ours.
        match unsafe { self.transmit(&raw mut *msg, &Patience::Forever, Location::caller()) } {
            Ok(()) => Ok(()),
            Err(_) => Err(SendError(ManuallyDrop::into_inner(msg))),
        }
    }

    /// Sends `msg` if that needs no waiting. Go's `select { case ch <- msg: default: }`.
    ///
    /// At capacity 0 that is if a receiver waits.
    ///
    /// # Errors
    ///
    /// The value comes back in [`TrySendError::Full`] or, if the channel is closed, [`TrySendError::Disconnected`].
    ///
    /// # Examples
    ///
    /// ```
    /// use gochan::TrySendError;
    ///
    /// let (tx, rx) = gochan::bounded(1);
    /// assert_eq!(tx.try_send(1), Ok(()));
    /// assert_eq!(tx.try_send(2), Err(TrySendError::Full(2)));
    /// drop(rx);
    /// assert_eq!(tx.try_send(3), Err(TrySendError::Disconnected(3)));
    /// ```
    #[track_caller]
    pub fn try_send(&self, msg: T) -> Result<(), TrySendError<T>> {
        fn full<T>(msg: ManuallyDrop<T>) -> Result<(), TrySendError<T>> {
            Err(TrySendError::Full(ManuallyDrop::into_inner(msg)))
        }
        fn disconnected<T>(msg: ManuallyDrop<T>) -> Result<(), TrySendError<T>> {
            Err(TrySendError::Disconnected(ManuallyDrop::into_inner(msg)))
        }
        let mut msg = ManuallyDrop::new(msg);
        // SAFETY: a value of ours.
        match unsafe { self.transmit(&raw mut *msg, &Patience::Try, Location::caller()) } {
            Ok(()) => Ok(()),
            Err(Refusal::Blocked) => full(msg),
            Err(Refusal::Closed) => disconnected(msg),
        }
    }

    /// Sends `msg`, waiting at most for `timeout`; [`Duration::MAX`] is for ever. Go's `select` with `time.After`.
    ///
    /// With a timeout of zero the send still happens if it needs no waiting.
    ///
    /// # Errors
    ///
    /// The value comes back in [`SendTimeoutError::Timeout`] or, if the channel is closed,
    /// [`SendTimeoutError::Disconnected`].
    ///
    /// # Examples
    ///
    /// ```
    /// use gochan::SendTimeoutError;
    /// use std::time::Duration;
    ///
    /// let (tx, _rx) = gochan::bounded(0);
    /// assert_eq!(tx.send_timeout(1, Duration::from_millis(5)), Err(SendTimeoutError::Timeout(1)));
    /// ```
    #[track_caller]
    pub fn send_timeout(&self, msg: T, timeout: Duration) -> Result<(), SendTimeoutError<T>> {
        self.send_patiently(msg, Patience::For(timeout), Location::caller())
    }

    /// Sends `msg`, waiting until `deadline` at most.
    ///
    /// With a deadline in the past the send still happens if it needs no waiting.
    ///
    /// # Errors
    ///
    /// As for [`send_timeout`](Self::send_timeout).
    ///
    /// # Examples
    ///
    /// ```
    /// use gochan::SendTimeoutError;
    /// use std::time::{Duration, Instant};
    ///
    /// let (tx, _rx) = gochan::bounded(0);
    /// let deadline = Instant::now() + Duration::from_millis(5);
    /// assert_eq!(tx.send_deadline(1, deadline), Err(SendTimeoutError::Timeout(1)));
    /// ```
    #[track_caller]
    pub fn send_deadline(&self, msg: T, deadline: Instant) -> Result<(), SendTimeoutError<T>> {
        self.send_patiently(msg, Patience::Until(deadline), Location::caller())
    }

    fn send_patiently(
        &self,
        msg: T,
        patience: Patience,
        at: &'static Location<'static>,
    ) -> Result<(), SendTimeoutError<T>> {
        fn timeout<T>(msg: ManuallyDrop<T>) -> Result<(), SendTimeoutError<T>> {
            Err(SendTimeoutError::Timeout(ManuallyDrop::into_inner(msg)))
        }
        fn disconnected<T>(msg: ManuallyDrop<T>) -> Result<(), SendTimeoutError<T>> {
            Err(SendTimeoutError::Disconnected(ManuallyDrop::into_inner(msg)))
        }
        let mut msg = ManuallyDrop::new(msg);
        // SAFETY: a value of ours.
        match unsafe { self.transmit(&raw mut *msg, &patience, at) } {
            Ok(()) => Ok(()),
            Err(Refusal::Blocked) => timeout(msg),
            Err(Refusal::Closed) => disconnected(msg),
        }
    }

    /// Every send: the channel takes the value from where it is.
    ///
    /// # Safety
    /// As for [`chansend`](Hchan::chansend).
    #[inline(always)]
    pub(super) unsafe fn transmit(
        &self,
        msg: *mut T,
        patience: &Patience,
        at: &'static Location<'static>,
    ) -> Result<(), Refusal> {
        match &self.chan {
            // SAFETY: the caller's contract.
            Some(chan) => unsafe { chan.chansend(msg, patience, at) },
            None => {
                let unsent = Unsent(msg);
                let refusal = nobody_comes(Reason::ChanSendNil, patience, at);
                std::mem::forget(unsent);
                Err(refusal)
            }
        }
    }

    /// Sends the values of `values` from the front, waiting when it must; they are taken out of the queue as they are
    /// sent, many of them under one lock.
    ///
    /// Between two of them values of other senders may come.
    ///
    /// # Errors
    ///
    /// [`SendError`] if the channel is closed; the values that were not sent are left in `values`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::collections::VecDeque;
    ///
    /// let (tx, rx) = gochan::unbounded();
    /// let mut values = VecDeque::from([1, 2, 3]);
    /// tx.send_many(&mut values)?;
    /// assert_eq!(rx.try_iter().collect::<Vec<_>>(), [1, 2, 3]);
    /// # Ok::<(), gochan::SendError<()>>(())
    /// ```
    #[track_caller]
    pub fn send_many(&self, values: &mut VecDeque<T>) -> Result<(), SendError<()>> {
        let at = Location::caller();
        loop {
            match self.chan.as_ref().map_or(Err(Refusal::Blocked), |chan| chan.send_some(values)) {
                Ok(()) => return Ok(()),
                Err(Refusal::Closed) => return Err(SendError(())),
                Err(Refusal::Blocked) => {}
            }
            let Some(first) = values.front_mut() else { return Ok(()) };
            let Some(chan) = &self.chan else {
                nobody_comes(Reason::ChanSendNil, &Patience::Forever, at);
                return Err(SendError(()));
            };
            let mut owed = Ready::NOBODY;
            park::spend();
            // SAFETY: a value that was sent is taken out of the queue and forgotten.
            match unsafe { Hchan::chansend_owing(chan.lock(), first, &Patience::Forever, at, &mut owed) } {
                Ok(()) => {
                    std::mem::forget(values.pop_front());
                    owed.fire();
                }
                Err(_) => return Err(SendError(())),
            }
        }
    }

    /// Sends `msg` without waiting; if the buffer is full, its oldest value makes room and comes back.
    ///
    /// Overtakes senders that wait. If there is nothing that could make room - at capacity 0 without a waiting
    /// receiver - `msg` itself comes back.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the value, if the channel is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = gochan::bounded(2);
    /// assert_eq!(tx.force_send(1), Ok(None));
    /// assert_eq!(tx.force_send(2), Ok(None));
    /// assert_eq!(tx.force_send(3), Ok(Some(1)));
    /// assert_eq!(rx.try_iter().collect::<Vec<_>>(), [2, 3]);
    /// ```
    pub fn force_send(&self, msg: T) -> Result<Option<T>, SendError<T>> {
        fn displaced<T>(oldest: *const T) -> Result<Option<T>, SendError<T>> {
            // SAFETY: the channel has put a value there, which is ours.
            Ok(Some(unsafe { oldest.read() }))
        }
        fn back<T>(msg: T) -> Result<Option<T>, SendError<T>> {
            Ok(Some(msg))
        }
        fn refused<T>(msg: T) -> Result<Option<T>, SendError<T>> {
            Err(SendError(msg))
        }
        let Some(chan) = &self.chan else { return back(msg) };
        let mut oldest = MaybeUninit::<T>::uninit();
        // SAFETY: `msg` is a value of ours, forgotten if it has been moved out; there is room for the oldest.
        match unsafe { chan.force_send(&raw const msg, oldest.as_mut_ptr()) } {
            Ok((mut ready, full)) => {
                std::mem::forget(msg);
                if !full {
                    ready.fire();
                    return Ok(None);
                }
                // SAFETY: the room holds a value.
                unsafe { fire_beside(&mut ready, oldest.as_mut_ptr()) };
                displaced(oldest.as_ptr())
            }
            Err(Refusal::Blocked) => back(msg),
            Err(Refusal::Closed) => refused(msg),
        }
    }

    /// Makes a handle that does not keep the channel open.
    ///
    /// ```
    /// let (tx, rx) = gochan::unbounded::<u8>();
    /// let weak = tx.downgrade();
    /// assert!(weak.upgrade().is_some());
    /// drop(tx);
    /// assert!(weak.upgrade().is_none());
    /// assert!(rx.is_closed());
    /// ```
    #[must_use]
    pub fn downgrade(&self) -> WeakSender<T> {
        WeakSender { chan: self.chan.clone() }
    }
}
