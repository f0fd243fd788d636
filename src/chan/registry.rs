//! Which channels there are to look at: those on which somebody has slept.
//!
//! A channel enters when a waiter is about to sleep on it for the first time, outside the channel's lock, and leaves
//! when it is freed. A channel on which nobody ever slept costs nothing.
//!
//! Lock order: a shard, then the lock of a channel in it. A channel cannot be freed while its shard is locked, so it may
//! be looked at for that long.

use super::hchan::Hchan;
use crate::debug::Channel;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

struct Entry {
    chan: *const (),
    /// `look::<T>` of the channel's `T`.
    look: unsafe fn(*const ()) -> Channel,
}

// SAFETY: the pointer is used under the shard's lock, by which the channel is alive; looking takes the channel's lock.
unsafe impl Send for Entry {}

const SHARDS: usize = 16;
static REGISTRY: [Mutex<BTreeMap<usize, Entry>>; SHARDS] = [const { Mutex::new(BTreeMap::new()) }; SHARDS];

fn key<T>(chan: &Hchan<T>) -> usize {
    std::ptr::from_ref(chan).addr()
}

fn shard(key: usize) -> MutexGuard<'static, BTreeMap<usize, Entry>> {
    // The low bits are the same for all, by alignment.
    let at = (key >> 6) % SHARDS;
    REGISTRY[at].lock().unwrap_or_else(PoisonError::into_inner)
}

/// # Safety
/// `chan` points to a live `Hchan<T>`.
unsafe fn look<T>(chan: *const ()) -> Channel {
    // SAFETY: the caller's contract.
    unsafe { (*chan.cast::<Hchan<T>>()).look() }
}

pub(super) fn enter<T>(chan: &Hchan<T>) {
    // A model checker's channels live inside one execution, this registry outside.
    if cfg!(any(gochan_loom, gochan_shuttle)) {
        return;
    }
    shard(key(chan)).insert(key(chan), Entry { chan: std::ptr::from_ref(chan).cast(), look: look::<T> });
}

pub(super) fn leave<T>(chan: &Hchan<T>) {
    if cfg!(any(gochan_loom, gochan_shuttle)) {
        return;
    }
    shard(key(chan)).remove(&key(chan));
}

pub(crate) fn channels() -> Vec<Channel> {
    let mut all = Vec::new();
    for shard in &REGISTRY {
        let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: who is in the registry is alive while its shard is locked.
        all.extend(shard.values().map(|entry| unsafe { (entry.look)(entry.chan) }));
    }
    all
}
