//! Which channels there are to look at, those on which somebody has slept, and what is to be seen of them.
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

use super::hchan::{Hchan, UNBOUNDED};
use super::waitq::Sudog;
use crate::debug::{Channel, Direction, See, Use};
#[cfg(feature = "rt")]
use crate::park::Wait;
use crate::primitive::{Ordering, VEIL};
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

impl<T> Hchan<T> {
    /// What can be told about the channel. `see` says whose a wait is, under the lock.
    pub(super) fn look(&self, see: See) -> Channel {
        let mut waiting = Vec::new();
        loop {
            let c = self.lock();
            // Of those who only watch, who waits for the end: the others wait for operations that somebody else will do.
            // SAFETY: linked sudogs are alive under the lock.
            let for_the_end = |sg: &*const Sudog| unsafe { (**sg).direction() == Direction::Close };
            let watchers = || c.watchers().iter().filter(for_the_end);
            let queues = || c.sendq.iter().chain(c.pairs.iter()).chain(c.recvq.iter()).chain(watchers());
            let many = queues().count();
            if many > waiting.capacity() {
                // Allocated outside the lock.
                drop(c);
                waiting.reserve(many);
                continue;
            }
            waiting.extend(queues().filter_map(|sg| {
                // SAFETY: linked sudogs and their waits are alive under the lock.
                unsafe { Some(see((*(*sg).wait()).look()?, (*sg).direction())) }
            }));
            let count = |direction| waiting.iter().filter(|waiting| waiting.direction == direction).count();
            let [sending, receiving] = [Direction::Send, Direction::Receive].map(count);
            return Channel {
                id: std::ptr::from_ref(self).addr() | VEIL,
                name: None,
                element: std::any::type_name::<T>(),
                made_at: self.made_at,
                capacity: (self.cap != UNBOUNDED).then_some(self.cap),
                len: c.len(),
                closed: c.closed,
                senders: self.senders.load(Ordering::Relaxed),
                receivers: self.receivers.load(Ordering::Relaxed),
                last_send: c.last_send.map(|last| Use::new(last.at, last.who)),
                last_receive: c.last_receive.map(|last| Use::new(last.at, last.who)),
                waiting,
                sending,
                receiving,
            };
        }
    }

    pub(super) fn set_name(&self, name: &str) {
        self::name(self, name);
        self.registered.store(true, Ordering::Release);
    }

    pub(super) fn name(&self) -> Option<Arc<str>> {
        if self.registered.load(Ordering::Relaxed) { name_of(self) } else { None }
    }

    /// Who is queued here, watchers too; false if somebody holds the lock. For who looks while nothing else runs: waits for
    /// nobody, allocates nothing.
    #[cfg(feature = "rt")]
    pub(super) fn queued(&self, each: &mut dyn FnMut(*const Wait)) -> bool {
        let Some(state) = self.lock.try_lock() else { return false };
        let queues =
            state.sendq.iter().chain(state.recvq.iter()).chain(state.pairs.iter()).chain(state.watchers().iter());
        // SAFETY: linked sudogs are alive under the lock.
        queues.for_each(|sg| each(unsafe { (*sg).wait() }));
        true
    }

    /// The memory of the channel that lies at this address. What a handle holds points into it: to the counts of the `Arc`,
    /// which lie before the channel.
    #[cfg(feature = "rt")]
    pub(super) fn block(address: usize) -> Range<usize> {
        let counts = (2 * size_of::<usize>()).next_multiple_of(align_of::<Self>());
        address - counts..address + size_of::<Self>()
    }

    /// Somebody is about to sleep here: from now on the channel can be looked at.
    #[inline]
    pub(super) fn register(&self) {
        // Acquire: who finds it set finds the channel in the registry, so nobody sleeps on one that is not there.
        if !self.registered.load(Ordering::Acquire) {
            self.register_first();
        }
    }

    #[cold]
    #[inline(never)]
    fn register_first(&self) {
        enter(self);
        self.registered.store(true, Ordering::Release);
    }
}
