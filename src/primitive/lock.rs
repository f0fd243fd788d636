//! The channel's lock: one read-modify-write to take it, or none where one thread takes it all the time (see `bias`), and one plain
//! store to give it back.
//!
//! Sections under it take tens of nanoseconds, so who finds it taken first looks again for a moment. But its holder may
//! have been preempted, there may be many more threads than cores, and a waiter may run at a real-time priority that
//! keeps the holder off the core: therefore the spin is bounded, then the core is yielded, then the waiter sleeps in
//! steps that grow to [`LONGEST_SLEEP`]. A futex would need a second read-modify-write to unlock, on every operation,
//! for the sake of the rare one that waits this long.
//!
//! Invariant: the value is reached only through a [`Guard`], of which there is one at a time: from before it exists until its drop
//! either `locked` is true and the lock's owner, if it has one, is not inside, or its owner is inside, and it is the owner's.

// Under a model checker the channel's lock is that checker's mutex, and this one is built for its own model only.
#![cfg_attr(any(gochan_loom, gochan_shuttle), allow(dead_code))]

use super::bias::Bias;
use super::{Ordering, UnsafeCell, hint, pause, thread};
use crate::park::in_goroutine;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

/// How often who waits looks at the lock before the core is yielded: how many times in a row, and how many pauses come before
/// the second time. The pauses double, so that who waits stays off the holder's cache line: the holder gets many short sections
/// done meanwhile, and each of them costs less than passing the lock back and forth.
#[derive(Clone, Copy)]
struct Pauses {
    times: u32,
    in_a_row: u32,
    shortest: u32,
}

const fn pauses(times: u32, in_a_row: u32, shortest: u32) -> Pauses {
    if cfg!(any(gochan_loom, gochan_shuttle)) {
        return Pauses { times: 1, in_a_row: 1, shortest };
    }
    Pauses { times, in_a_row, shortest }
}

impl Pauses {
    #[inline]
    fn pause(self, round: u32) {
        for _ in 0..self.shortest << round {
            pause();
        }
    }
}

/// For whom none of those below is: the first pause is as long as some tens of sections of a buffered channel.
const THREAD: Pauses = pauses(5, 1, 8);
/// Threads at a buffer: some hundred sections long.
const BUFFER: Pauses = pauses(3, 1, 32);
/// In one of fewer than these values, they are mostly handed over.
const NO_ROOM: usize = 16;
/// Threads that hand values to each other: the holder's next section waits for one of ours, so pauses would be the longest part
/// of a hand-off.
const HAND_OFF: Pauses = pauses(5, 16, 4);
/// Goroutines that hand values to each other: what the holder does next seldom waits for one of ours alone, and each look takes the line
/// from him. Four of them that send to four on another worker take a third of the time that they would with looks in a row.
const GOROUTINE: Pauses = pauses(6, 1, 6);
/// Tasks: those that meet on one executor thread pass a value without a cache line going anywhere, so who interrupts them
/// from another one had better come seldom.
const TASK: Pauses = pauses(3, 1, 128);
/// Yields before the first sleep.
const YIELDS: u32 = if cfg!(any(gochan_loom, gochan_shuttle)) { 1 } else { 10 };
/// Sleeps double from a microsecond up to this.
const LONGEST_SLEEP: Duration = Duration::from_micros(50);

/// The word comes last: what is touched under it first lies beside it, at the value's end.
#[repr(C)]
pub(crate) struct Lock<T> {
    value: UnsafeCell<T>,
    door: Door,
}

/// A lock, whatever is behind it. Whoever has gone in comes out where he went in, on the same thread.
pub(crate) struct Door {
    bias: Bias,
}

// SAFETY: the lock hands out one guard at a time, so sharing it moves `T` between threads and never shares it.
unsafe impl<T: Send> Sync for Lock<T> {}
// SAFETY: the lock owns its value.
unsafe impl<T: Send> Send for Lock<T> {}

#[must_use = "the lock is given back when the guard is dropped"]
pub(crate) struct Guard<'a, T> {
    lock: &'a Lock<T>,
    /// A guard must be dropped by the thread that took it: under the lock there is no `await`.
    _not_send: std::marker::PhantomData<*const ()>,
}

/// How somebody came in, for who goes out again in the same function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entered {
    AsOwner,
    LikeOthers,
}

impl Door {
    /// Goes in if nobody is. Nothing is called here, so that who has to go a longer way has a frame there, and not here.
    #[inline]
    pub(crate) fn enter_at_once(&self) -> bool {
        self.enter_knowing().is_some()
    }

    /// The same, for who [goes out](Self::leave_knowing) by the same way.
    #[inline(always)]
    pub(crate) fn enter_knowing(&self) -> Option<Entered> {
        self.bias.prefetch();
        if self.bias.enter() {
            return Some(Entered::AsOwner);
        }
        let is_plain = self.bias.is_plain();
        (self.exchange() && (is_plain || self.keep_if(self.bias.is_settled()))).then_some(Entered::LikeOthers)
    }

    /// Comes out, as he [went in](Self::enter_knowing).
    #[inline(always)]
    pub(crate) fn leave_knowing(&self, entered: Entered) {
        match entered {
            Entered::AsOwner => self.bias.leave(),
            Entered::LikeOthers => self.leave_plainly(),
        }
    }

    /// For an operation of a thread or a goroutine on a channel of this capacity that could not go in
    /// [at once](Self::enter_at_once).
    pub(crate) fn enter_as_thread(&self, capacity: usize) {
        self.enter_slow(match (capacity < NO_ROOM, in_goroutine()) {
            (true, true) => GOROUTINE,
            (true, false) => HAND_OFF,
            (false, true) => THREAD,
            (false, false) => BUFFER,
        });
    }

    /// For an operation of a task.
    #[inline]
    pub(crate) fn enter_as_task(&self) {
        if !self.enter_at_once() {
            self.enter_slow(TASK);
        }
    }

    #[inline]
    pub(crate) fn enter(&self) {
        if !self.enter_at_once() {
            self.enter_slow(THREAD);
        }
    }

    /// Goes in if nobody is, or comes out within a moment: for who must not sleep, since others wait for the locks that he holds.
    #[inline]
    pub(crate) fn enter_soon(&self) -> bool {
        self.enter_at_once()
            || (0..THREAD.times).any(|round| {
                THREAD.pause(round);
                self.enter_if_free()
            })
    }

    /// Comes out.
    #[inline]
    pub(crate) fn leave(&self) {
        if self.bias.has_entered() {
            return self.bias.leave();
        }
        self.leave_plainly();
    }

    #[inline]
    fn leave_plainly(&self) {
        debug_assert!(self.bias.locked.load(Ordering::Relaxed), "given back twice");
        let order = if cfg!(gochan_bug = "lock_released_relaxed") { Ordering::Relaxed } else { Ordering::Release };
        self.bias.locked.store(false, order);
    }

    #[inline]
    fn exchange(&self) -> bool {
        self.bias.locked.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Looks before it tries: a failed read-modify-write takes the line from the holder.
    #[inline]
    fn enter_if_free(&self) -> bool {
        if self.bias.is_plain() {
            return !self.bias.locked.load(Ordering::Relaxed) && self.exchange();
        }
        if self.bias.enter() {
            return true;
        }
        if self.bias.locked.load(Ordering::Relaxed) || !self.exchange() {
            return false;
        }
        self.keep_if(self.bias.is_settled() || self.bias.settle())
    }

    /// `locked` is taken: it is given back if the section is not the caller's.
    #[inline]
    fn keep_if(&self, is_ours: bool) -> bool {
        if !is_ours {
            self.bias.locked.store(false, Ordering::Release);
        }
        is_ours
    }

    #[cold]
    fn enter_slow(&self, pauses: Pauses) {
        let mut sleep = Duration::from_micros(1);
        for round in 0_u32.. {
            for look in 0..pauses.in_a_row {
                if look > 0 {
                    hint::spin_loop();
                }
                if self.enter_if_free() {
                    return;
                }
            }
            if round < pauses.times {
                pauses.pause(round);
            } else if round < pauses.times + YIELDS {
                thread::yield_now();
            } else {
                thread::sleep(sleep);
                sleep = (sleep * 2).min(LONGEST_SLEEP);
            }
        }
    }
}

impl<T> Lock<T> {
    #[cfg(not(gochan_loom))]
    pub(crate) const fn new(value: T) -> Self {
        Self { value: UnsafeCell::new(value), door: Door { bias: Bias::none() } }
    }

    #[cfg(gochan_loom)]
    pub(crate) fn new(value: T) -> Self {
        Self { value: UnsafeCell::new(value), door: Door { bias: Bias::none() } }
    }

    /// One that is worth an owner: a channel's, that may be used by a single thread, and often.
    pub(crate) fn with_owner(value: T) -> Self {
        Self { door: Door { bias: Bias::possible() }, ..Self::new(value) }
    }

    /// The lock itself, for who goes in and out on his own: [`held`](Self::held) makes a guard of that.
    #[inline]
    pub(crate) fn door(&self) -> &Door {
        &self.door
    }

    #[cfg(any(feature = "rt", test))]
    #[inline]
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        self.door.enter();
        Guard { lock: self, _not_send: std::marker::PhantomData }
    }

    /// Takes the lock if it is free.
    #[cfg(feature = "rt")]
    pub(crate) fn try_lock(&self) -> Option<Guard<'_, T>> {
        self.door.enter_if_free().then(|| Guard { lock: self, _not_send: std::marker::PhantomData })
    }

    /// Takes the lock if nobody has it.
    #[inline]
    pub(crate) fn lock_at_once(&self) -> Option<Guard<'_, T>> {
        self.door.enter_at_once().then(|| Guard { lock: self, _not_send: std::marker::PhantomData })
    }

    /// As [`lock`](Self::lock), for an operation of a thread or a goroutine on a channel of this capacity that could not have it
    /// [at once](Self::lock_at_once).
    pub(crate) fn lock_as_thread(&self, capacity: usize) -> Guard<'_, T> {
        self.door.enter_as_thread(capacity);
        Guard { lock: self, _not_send: std::marker::PhantomData }
    }

    /// As [`lock`](Self::lock), for an operation of a task.
    #[inline]
    pub(crate) fn lock_as_task(&self) -> Guard<'_, T> {
        self.door.enter_as_task();
        Guard { lock: self, _not_send: std::marker::PhantomData }
    }

    /// The guard of a lock whose door was gone through without one; its drop gives the lock back.
    ///
    /// # Safety
    /// The caller has gone in, and there is no other guard.
    #[inline]
    pub(crate) unsafe fn held(&self) -> Guard<'_, T> {
        Guard { lock: self, _not_send: std::marker::PhantomData }
    }

    /// Where the value is, which is the caller's while he has the lock, or another one that is agreed on in its place.
    #[inline]
    pub(crate) fn value(&self) -> *mut T {
        self.value.with_mut(|value| value)
    }

    /// The value of a lock that nobody else has.
    pub(crate) fn get_mut(&mut self) -> &mut T {
        // SAFETY: borrowed exclusively, so there is no guard.
        self.value.with_mut(|value| unsafe { &mut *value })
    }

    /// The value, without the lock.
    ///
    /// # Safety
    /// Nobody ever has it on another thread, and the caller has no guard.
    #[cfg(feature = "rt")]
    #[inline]
    pub(crate) unsafe fn unshared<R>(&self, section: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: the caller's contract.
        self.value.with_mut(|value| section(unsafe { &mut *value }))
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: this guard is the only one, and it is borrowed for as long as the reference lives.
        self.lock.value.with(|value| unsafe { &*value })
    }
}

impl<T> DerefMut for Guard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and the guard is borrowed exclusively.
        self.lock.value.with_mut(|value| unsafe { &mut *value })
    }
}

impl<T> Drop for Guard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.door.leave();
    }
}

impl<T> fmt::Debug for Lock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock").field("locked", &self.door.bias.locked.load(Ordering::Relaxed)).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(any(gochan_loom, gochan_shuttle))))]
mod tests {
    use super::super::barrier::is_to_be_had;
    use super::Lock;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::time::{Duration, Instant};

    /// Takes it until it is this thread's own. Gives up where there is no such thing; how often it had it.
    fn own(lock: &Lock<u64>) -> u64 {
        let start = Instant::now();
        let mut times = 0;
        while !lock.door.bias.is_owned() && start.elapsed() < Duration::from_secs(1) && !lock.door.bias.is_plain() {
            *lock.lock() += 1;
            times += 1;
        }
        times
    }

    /// Whoever comes to a lock that has an owner has it for himself, whatever the owner is about.
    #[test]
    fn an_owner_is_relieved() {
        let rounds = if cfg!(miri) { 2 } else { 300 };
        let mut owned = 0;
        for round in 0..rounds {
            let lock = Lock::with_owner(0_u64);
            let times = AtomicU64::new(own(&lock));
            owned += u64::from(lock.door.bias.is_owned());
            let is_over = AtomicBool::new(false);
            std::thread::scope(|s| {
                let comes = || {
                    (0..round * 7 % 100).for_each(|_| std::hint::spin_loop());
                    (0..100).for_each(|_| *lock.lock() += 1);
                    times.fetch_add(100, Ordering::Relaxed);
                };
                let others = [(); 3].map(|()| s.spawn(comes));
                s.spawn(|| {
                    others.into_iter().for_each(|other| other.join().unwrap());
                    is_over.store(true, Ordering::Relaxed);
                });
                // The owner goes on, whose thread this is.
                while !is_over.load(Ordering::Relaxed) {
                    *lock.lock() += 1;
                    times.fetch_add(1, Ordering::Relaxed);
                }
            });
            assert!(lock.door.bias.is_plain(), "taken from its owner");
            assert_eq!(*lock.lock(), times.into_inner());
        }
        println!("{owned} of {rounds} locks had an owner");
        let here = cfg!(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)));
        assert_eq!(owned > 0, here && is_to_be_had() == Some(true), "the system can, or cannot, fence other threads");
    }

    /// One that several threads take from the beginning never has an owner.
    #[test]
    fn several_from_the_beginning() {
        let lock = Lock::with_owner(0);
        std::thread::scope(|s| {
            (0..4).for_each(|_| {
                s.spawn(|| {
                    for _ in 0..1000 {
                        *lock.lock() += 1;
                        std::thread::yield_now();
                    }
                });
            });
        });
        assert_eq!(*lock.lock(), 4000);
        assert!(!lock.door.bias.is_owned());
    }

    /// Many more threads than cores, and a holder may be preempted: everybody gets the lock all the same.
    #[test]
    fn sixty_four_threads_get_the_lock() {
        let rounds = if cfg!(miri) { 10 } else { 5_000 };
        let lock = Lock::new(0);
        let worst = std::thread::scope(|s| {
            let threads: Vec<_> = (0..64)
                .map(|_| {
                    s.spawn(|| {
                        let mut worst = Duration::ZERO;
                        for _ in 0..rounds {
                            let start = Instant::now();
                            *lock.lock() += 1;
                            worst = worst.max(start.elapsed());
                        }
                        worst
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).max().unwrap()
        });
        assert_eq!(*lock.lock(), 64 * rounds);
        println!("64 threads, {rounds} times each: the longest wait for the lock was {worst:?}");
    }
}
