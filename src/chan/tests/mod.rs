//! Tests of what has no public face: the states that select and async receives will use, the waiters that are no
//! threads, and the models for loom.
//!
//! The callers are written here, small, on the same functions that the real ones will call.

mod callback;
#[cfg(not(any(gochan_loom, gochan_shuttle)))]
mod differential;
#[cfg(not(any(gochan_loom, gochan_shuttle)))]
mod handshake;
#[cfg(not(any(gochan_loom, gochan_shuttle)))]
mod late;
#[cfg(gochan_loom)]
mod loom;
#[cfg(gochan_loom)]
mod loom_future;
#[cfg(gochan_loom)]
pub(crate) mod models;
#[cfg(not(any(gochan_loom, gochan_shuttle)))]
mod ring;
#[cfg(not(any(gochan_loom, gochan_shuttle)))]
mod shown;
#[cfg(not(any(gochan_loom, gochan_shuttle)))]
mod waitq;

use super::hchan::{Hchan, Patience, Refusal};
use std::mem::{ManuallyDrop, MaybeUninit};
use std::panic::Location;

/// The blocking operations of one kind of waiter, so that one scenario runs with all kinds.
pub(super) trait Kind {
    fn send<T>(chan: &Hchan<T>, value: T) -> Result<(), T>;
    fn recv<T>(chan: &Hchan<T>) -> Option<T>;
}

/// OS threads.
pub(super) struct Threads;

impl Kind for Threads {
    fn send<T>(chan: &Hchan<T>, value: T) -> Result<(), T> {
        send(chan, value, Patience::Forever).map_err(|(_, value)| value)
    }

    fn recv<T>(chan: &Hchan<T>) -> Option<T> {
        recv(chan, Patience::Forever).ok()
    }
}

/// Small numbers without a pattern, the same ones in every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

pub(super) fn send<T>(chan: &Hchan<T>, value: T, patience: Patience) -> Result<(), (Refusal, T)> {
    let mut value = ManuallyDrop::new(value);
    // SAFETY: a value of ours.
    unsafe { chan.chansend(&raw mut *value, &patience, Location::caller()) }
        .map_err(|refusal| (refusal, ManuallyDrop::into_inner(value)))
}

pub(super) fn recv<T>(chan: &Hchan<T>, patience: Patience) -> Result<T, Refusal> {
    let mut room = MaybeUninit::uninit();
    // SAFETY: the room may be written, and holds a value if this succeeded.
    unsafe {
        chan.chanrecv(room.as_mut_ptr(), &patience, Location::caller())?;
        Ok(room.assume_init())
    }
}
