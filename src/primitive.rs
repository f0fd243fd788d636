//! The only door to atomics, cells, the channel's lock, the thread's sleep, and the end of a time.
//!
//! Every other file takes these from here, so that the code that ships is the code that is model-checked:
//! `--cfg gochan_loom` and `--cfg gochan_shuttle` swap the bodies and nothing else. Under a model checker the channel's
//! lock *is* that checker's `Mutex` (a lock that spins and yields explodes there); the real one, in `lock.rs`, has a
//! model of its own.

mod barrier;
mod bias;
pub(crate) mod lock;
mod pause;

use std::time::{Duration, Instant};

#[cfg(not(gochan_loom))]
mod cell {
    /// [`std::cell::UnsafeCell`] with loom's interface.
    #[derive(Debug)]
    pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(std::cell::UnsafeCell::new(value))
        }

        #[inline]
        pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            f(self.0.get())
        }

        #[inline]
        pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }
}

/// Added to an address it makes a number that is no address, and added once more the address again: the highest bit, which no
/// address has. So whatever only knows of a channel, and is no handle, keeps its address: who looks for handles in memory must
/// not find it there.
pub(crate) const VEIL: usize = 1 << (usize::BITS - 1);

#[cfg(not(any(gochan_loom, gochan_shuttle)))]
mod body {
    pub(crate) use super::cell::UnsafeCell;
    pub(crate) use super::lock::{Door, Guard, Lock};
    pub(crate) use std::sync::Arc;
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering};

    pub(crate) mod hint {
        pub(crate) use std::hint::spin_loop;
    }

    pub(crate) mod thread {
        pub(crate) use std::thread::{Thread, current, park, park_timeout, sleep, yield_now};
    }
}

#[cfg(gochan_loom)]
mod body {
    pub(crate) use loom::cell::UnsafeCell;
    pub(crate) use loom::sync::Arc;
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering};

    pub(crate) mod hint {
        pub(crate) use loom::hint::spin_loop;
    }

    pub(crate) mod thread {
        pub(crate) use loom::thread::{Thread, current, park, yield_now};
        use std::time::Duration;

        // A deadline under loom has always passed (see `park::thread`): nobody sleeps with one.
        pub(crate) fn park_timeout(_: Duration) {
            unreachable!("a timed sleep under loom")
        }

        pub(crate) fn sleep(_: Duration) {
            yield_now();
        }
    }

    super::mutex_as_lock!(loom);
}

#[cfg(gochan_shuttle)]
mod body {
    pub(crate) use super::cell::UnsafeCell;
    pub(crate) use shuttle::sync::Arc;
    pub(crate) use shuttle::sync::atomic::{
        AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering,
    };

    pub(crate) mod hint {
        pub(crate) use shuttle::hint::spin_loop;
    }

    pub(crate) mod thread {
        pub(crate) use shuttle::thread::{Thread, current, park, sleep, yield_now};
        use std::time::Duration;

        /// Others run meanwhile; whether the time is over is asked again then.
        pub(crate) fn park_timeout(_: Duration) {
            yield_now();
        }
    }

    super::mutex_as_lock!(shuttle);
}

/// The channel's lock as a model checker's mutex. Poisoning is passed over, as the real lock knows none.
#[cfg(any(gochan_loom, gochan_shuttle))]
macro_rules! mutex_as_lock {
    ($checker:ident) => {
        use std::cell::UnsafeCell as Plain;
        use std::ops::{Deref, DerefMut};

        type Held = $checker::sync::MutexGuard<'static, ()>;

        pub(crate) struct Lock<T> {
            value: UnsafeCell<T>,
            number: usize,
            door: Door,
        }

        pub(crate) struct Door {
            mutex: $checker::sync::Mutex<()>,
            /// The mutex's guard, while somebody is in.
            held: Plain<Option<Held>>,
        }

        // SAFETY: what the cells hold is touched by who has the mutex.
        unsafe impl Sync for Door {}
        // SAFETY: the door is not moved while somebody is in.
        unsafe impl Send for Door {}
        // SAFETY: what the cell holds is touched by who has the mutex.
        unsafe impl<T: Send> Sync for Lock<T> {}
        // SAFETY: the lock owns its value, and is not moved while it is taken.
        unsafe impl<T: Send> Send for Lock<T> {}

        #[derive(Debug)]
        pub(crate) struct Guard<'a, T>(&'a Lock<T>);

        impl Door {
            pub(crate) fn enter(&self) {
                let guard = self.mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                // SAFETY: the guard is dropped before the lock, which it borrows; and we have the mutex.
                unsafe {
                    *self.held.get() = Some(std::mem::transmute::<$checker::sync::MutexGuard<'_, ()>, Held>(guard))
                };
            }

            pub(crate) fn enter_at_once(&self) -> bool {
                self.enter();
                true
            }

            pub(crate) fn enter_knowing(&self) -> Option<()> {
                self.enter();
                Some(())
            }

            pub(crate) fn leave_knowing(&self, (): ()) {
                self.leave();
            }

            pub(crate) fn enter_as_thread(&self, _capacity: usize) {
                self.enter();
            }

            pub(crate) fn enter_as_task(&self) {
                self.enter();
            }

            /// Waiting in the order of addresses ends here too, and looking again and again explodes.
            pub(crate) fn enter_soon(&self) -> bool {
                self.enter();
                true
            }

            pub(crate) fn leave(&self) {
                // SAFETY: we have the mutex until `held` is dropped, which is after the cell was left.
                let held = unsafe { (*self.held.get()).take() };
                drop(held);
            }
        }

        impl<T> Lock<T> {
            pub(crate) fn new(value: T) -> Self {
                static LOCKS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
                Self {
                    value: UnsafeCell::new(value),
                    number: LOCKS.fetch_add(1, std::sync::atomic::Ordering::Relaxed),
                    door: Door { mutex: $checker::sync::Mutex::new(()), held: Plain::new(None) },
                }
            }

            pub(crate) fn door(&self) -> &Door {
                &self.door
            }

            /// Orders the locks by age: addresses differ from one execution to the next, and each must be repeatable.
            pub(crate) fn number(&self) -> usize {
                self.number
            }

            pub(crate) fn with_owner(value: T) -> Self {
                Self::new(value)
            }

            pub(crate) fn lock(&self) -> Guard<'_, T> {
                self.door.enter();
                Guard(self)
            }

            #[cfg(feature = "rt")]
            pub(crate) fn try_lock(&self) -> Option<Guard<'_, T>> {
                Some(self.lock())
            }

            pub(crate) fn lock_at_once(&self) -> Option<Guard<'_, T>> {
                Some(self.lock())
            }

            pub(crate) fn lock_as_thread(&self, _capacity: usize) -> Guard<'_, T> {
                self.lock()
            }

            pub(crate) fn lock_as_task(&self) -> Guard<'_, T> {
                self.lock()
            }

            /// A checker that knows cells sees that it is touched now.
            pub(crate) fn value(&self) -> *mut T {
                self.value.with_mut(|value| value)
            }

            pub(crate) fn get_mut(&mut self) -> &mut T {
                // SAFETY: nobody else has the lock.
                unsafe { &mut *self.value() }
            }

            /// # Safety
            /// As of the lock itself.
            #[cfg(feature = "rt")]
            pub(crate) unsafe fn unshared<R>(&self, section: impl FnOnce(&mut T) -> R) -> R {
                section(&mut self.lock())
            }

            /// # Safety
            /// The caller has taken the lock, and there is no other guard.
            pub(crate) unsafe fn held(&self) -> Guard<'_, T> {
                Guard(self)
            }
        }

        impl<T> Deref for Guard<'_, T> {
            type Target = T;

            fn deref(&self) -> &T {
                // SAFETY: we have the mutex.
                unsafe { &*self.0.value() }
            }
        }

        impl<T> DerefMut for Guard<'_, T> {
            fn deref_mut(&mut self) -> &mut T {
                // SAFETY: we have the mutex.
                unsafe { &mut *self.0.value() }
            }
        }

        impl<T> Drop for Guard<'_, T> {
            fn drop(&mut self) {
                self.0.door.leave();
            }
        }

        impl<T> std::fmt::Debug for Lock<T> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad("Lock")
            }
        }
    };
}
#[cfg(any(gochan_loom, gochan_shuttle))]
use mutex_as_lock;

#[cfg(feature = "rt")]
pub(crate) use barrier::{heavy_or_fence, light_or_fence};
pub(crate) use body::*;
pub(crate) use pause::pause;

/// A cache line in bytes, or half of one where they are larger.
pub(crate) const LINE: usize = 64;

/// A hint to the processor: what is here will be written to. Else a look at it would have its cache line shared first, and whoever then
/// writes would ask for it a second time.
#[inline(always)]
pub(crate) fn will_write<T>(place: *const T) {
    #[cfg(all(target_arch = "x86_64", not(any(miri, gochan_loom, gochan_shuttle))))]
    // SAFETY: a hint, which reads nothing, wherever it points; processors that do not have it pass over it.
    unsafe {
        std::arch::asm!("prefetchw [{}]", in(reg) place, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(all(target_arch = "x86_64", not(any(miri, gochan_loom, gochan_shuttle)))))]
    let _ = place;
}

/// Asks whether locks can have owners here, before one is to have one.
#[cfg(feature = "rt")]
pub(crate) fn prepare_owners() {
    barrier::is_to_be_had();
}

/// How long it is until `deadline`; `None` if that has passed.
#[cfg(not(gochan_shuttle))]
pub(crate) fn time_left(deadline: Instant) -> Option<Duration> {
    deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
}

/// Shuttle has no clock: whether the time is over is one more of its choices.
#[cfg(gochan_shuttle)]
pub(crate) fn time_left(_: Instant) -> Option<Duration> {
    use shuttle::rand::Rng;
    (!shuttle::rand::thread_rng().gen_ratio(1, 4)).then_some(Duration::from_secs(1))
}

/// Has `deadline` passed?
pub(crate) fn is_over(deadline: Instant) -> bool {
    time_left(deadline).is_none()
}
