//! Receiving as iteration.

use super::Receiver;
use super::hchan::Hchan;
use super::returned::Returned;
use super::ring::Ring;
use std::fmt;
use std::iter::FusedIterator;
use std::mem::MaybeUninit;
use std::panic::Location;

/// Values until the channel is closed and empty, waiting for each. Go's `for v := range ch`.
///
/// Made by [`Receiver::iter`] and [`Chan::iter`](crate::Chan::iter).
pub struct Iter<'a, T> {
    pub(super) receiver: &'a Receiver<T>,
    pub(super) made_at: &'static Location<'static>,
}

/// As [`Iter`], owning the receiver. Made by iterating over a [`Receiver`].
pub struct IntoIter<T> {
    receiver: Receiver<T>,
    made_at: &'static Location<'static>,
}

/// Values as long as there are some without waiting. Made by [`Receiver::try_iter`].
pub struct TryIter<'a, T> {
    pub(super) receiver: &'a Receiver<T>,
}

impl<T> Iterator for Iter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.recv_at(self.made_at).ok()
    }
}

impl<T> Iterator for IntoIter<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.recv_at(self.made_at).ok()
    }
}

impl<T> Iterator for TryIter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.try_recv().ok()
    }
}

// Closed and empty is for good, but for a value that a cancelled receive gives back; it ends an iterator all the same.
impl<T> FusedIterator for Iter<'_, T> {}
impl<T> FusedIterator for IntoIter<T> {}

impl<'a, T> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    #[track_caller]
    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    #[track_caller]
    fn into_iter(self) -> IntoIter<T> {
        IntoIter { receiver: self, made_at: Location::caller() }
    }
}

impl<T> fmt::Debug for Iter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Iter { .. }")
    }
}

impl<T> fmt::Debug for IntoIter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("IntoIter { .. }")
    }
}

impl<T> fmt::Debug for TryIter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("TryIter { .. }")
    }
}

/// The values that a channel held when [`Receiver::drain`] took them out. What is not iterated over is dropped.
#[must_use = "the values have left the channel and are dropped with this"]
pub struct Drain<T> {
    returned: Returned<T>,
    buffered: Ring<T>,
}

impl<T> Drain<T> {
    pub(super) fn of(chan: Option<&Hchan<T>>) -> Self {
        let (returned, buffered) = chan.map_or((Returned::new(), Ring::new()), Hchan::take_all);
        Self { returned, buffered }
    }
}

impl<T> Iterator for Drain<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        let mut room = MaybeUninit::<T>::uninit();
        // SAFETY: the room may be written; it is read only if something was.
        unsafe {
            match self.returned.pop(room.as_mut_ptr()) {
                Some(node) => drop(node),
                None if self.buffered.len() == 0 => return None,
                None => drop(self.buffered.pop(room.as_mut_ptr())),
            }
            Some(room.assume_init_read())
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = self.returned.len() + self.buffered.len();
        (len, Some(len))
    }
}

impl<T> ExactSizeIterator for Drain<T> {}
impl<T> FusedIterator for Drain<T> {}

impl<T> fmt::Debug for Drain<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain").field("len", &self.len()).finish_non_exhaustive()
    }
}
