//! Which channels there are to look at: those on which somebody has slept.
//!
//! A channel enters when a waiter is about to sleep on it for the first time, outside the channel's lock, and leaves
//! when it is freed. A channel on which nobody ever slept costs nothing.
//!
//! A name is kept here too, since hardly any channel has one; a channel that is given one enters.
//!
//! Lock order: a shard, then the lock of a channel in it. A channel cannot be freed while its shard is locked, so it may
//! be looked at for that long. Who looks at all of them gives the shard back after a few.
//!
//! What the registry knows is no handle: who looks for handles in memory must not find the channel here. So it keeps addresses
//! and pointers veiled: see [`VEIL`].

use super::hchan::Hchan;
use crate::debug::{Channel, See};
#[cfg(feature = "rt")]
use crate::park::Wait;
use crate::primitive::VEIL;
use std::collections::BTreeMap;
use std::ops::Bound;
#[cfg(feature = "rt")]
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

struct Entry {
    /// Veiled.
    chan: *const (),
    /// `look::<T>` of the channel's `T`.
    look: unsafe fn(*const (), See) -> Channel,
    /// Behind one pointer, for where there is none the second half of two would be whatever lay on the stack.
    name: Option<Box<Arc<str>>>,
    /// `queued::<T>`.
    #[cfg(feature = "rt")]
    queued: unsafe fn(*const (), &mut dyn FnMut(*const Wait)) -> bool,
    /// `Hchan::<T>::block`.
    #[cfg(feature = "rt")]
    block: fn(usize) -> Range<usize>,
}

// SAFETY: the pointer is used under the shard's lock, by which the channel is alive; looking takes the channel's lock.
unsafe impl Send for Entry {}

/// By veiled address.
type Shard = BTreeMap<usize, Entry>;

const SHARDS: usize = 16;
static REGISTRY: [Mutex<Shard>; SHARDS] = [const { Mutex::new(BTreeMap::new()) }; SHARDS];

fn veil(pointer: *const ()) -> *const () {
    pointer.wrapping_byte_add(VEIL)
}

fn key<T>(chan: &Hchan<T>) -> usize {
    veil(std::ptr::from_ref(chan).cast()).addr()
}

fn shard(key: usize) -> MutexGuard<'static, Shard> {
    // The low bits are the same for all, by alignment.
    let at = (key >> 6) % SHARDS;
    REGISTRY[at].lock().unwrap_or_else(PoisonError::into_inner)
}

/// # Safety
/// `chan` points to a live `Hchan<T>`.
unsafe fn look<T>(chan: *const (), see: See) -> Channel {
    // SAFETY: the caller's contract.
    unsafe { (*chan.cast::<Hchan<T>>()).look(see) }
}

fn entry<T>(chan: &Hchan<T>) -> Entry {
    Entry {
        chan: veil(std::ptr::from_ref(chan).cast()),
        look: look::<T>,
        name: None,
        #[cfg(feature = "rt")]
        queued: queued::<T>,
        #[cfg(feature = "rt")]
        block: Hchan::<T>::block,
    }
}

/// # Safety
/// `chan` points to a live `Hchan<T>`.
#[cfg(feature = "rt")]
unsafe fn queued<T>(chan: *const (), each: &mut dyn FnMut(*const Wait)) -> bool {
    // SAFETY: the caller's contract.
    unsafe { (*chan.cast::<Hchan<T>>()).queued(each) }
}

pub(super) fn enter<T>(chan: &Hchan<T>) {
    // A model checker's channels live inside one execution, this registry outside.
    if cfg!(any(gochan_loom, gochan_shuttle)) {
        return;
    }
    shard(key(chan)).entry(key(chan)).or_insert_with(|| entry(chan));
}

pub(super) fn leave<T>(chan: &Hchan<T>) {
    if cfg!(any(gochan_loom, gochan_shuttle)) {
        return;
    }
    shard(key(chan)).remove(&key(chan));
}

/// Names a channel, which leaves when it is freed.
pub(super) fn name<T>(chan: &Hchan<T>, name: &str) {
    let name = Some(Box::new(Arc::from(name)));
    let old = std::mem::replace(&mut shard(key(chan)).entry(key(chan)).or_insert_with(|| entry(chan)).name, name);
    drop(old);
}

pub(super) fn name_of<T>(chan: &Hchan<T>) -> Option<Arc<str>> {
    shard(key(chan)).get(&key(chan)).and_then(|entry| entry.name.as_deref().cloned())
}

/// Looks at every channel. `see` says whose a wait is, under the channel's lock.
pub(crate) fn channels(see: See) -> Vec<Channel> {
    /// Channels that are looked at before those are let in who come or go.
    const AT_A_TIME: usize = 32;
    let mut all = Vec::new();
    for shard in &REGISTRY {
        let mut after = Bound::Unbounded;
        loop {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let before = all.len();
            for (&key, entry) in shard.range((after, Bound::Unbounded)).take(AT_A_TIME) {
                // SAFETY: who is in the registry is alive while its shard is locked.
                let channel = unsafe { (entry.look)(veil(entry.chan), see) };
                all.push(Channel { name: entry.name.as_deref().cloned(), ..channel });
                after = Bound::Excluded(key);
            }
            if all.len() - before < AT_A_TIME {
                break;
            }
        }
    }
    all
}

/// The whole registry, locked: no channel in it is freed meanwhile, and none enters.
#[cfg(feature = "rt")]
pub(crate) struct Locked([MutexGuard<'static, Shard>; SHARDS]);

#[cfg(feature = "rt")]
impl Locked {
    pub(crate) fn new() -> Self {
        Self(std::array::from_fn(|at| REGISTRY[at].lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Every channel: where it lies, with the counts of its handles, and who is queued on it; `false` if that cannot be told
    /// since somebody holds its lock. Allocates nothing, and waits for nobody.
    pub(crate) fn each(&self, mut each: impl FnMut(Range<usize>, &dyn Fn(&mut dyn FnMut(*const Wait)) -> bool)) {
        for entry in self.0.iter().flat_map(|shard| shard.values()) {
            let chan = veil(entry.chan);
            // SAFETY: who is in the registry is alive while its shard is locked.
            each((entry.block)(chan.addr()), &|wait| unsafe { (entry.queued)(chan, wait) });
        }
    }
}
