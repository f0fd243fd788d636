//! An async task waits: its waker is what a [`Ready`](super::Ready) carries.

use super::Waiter;
use std::task::Waker;

impl From<Waker> for Waiter {
    fn from(waker: Waker) -> Self {
        Self::Task(waker)
    }
}
