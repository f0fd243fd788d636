//! A plain wait, in one place: gopark of a thread or a goroutine whose send or receive has to wait, and what becomes of it.
//!
//! The invariants are those of `hchan.rs`. The sudog and the wait lie in the frame of whoever waits, which stays until it is unlinked, or done.

use super::fire_beside;
use super::hchan::{Hchan, Patience, Refusal, Unsent};
use super::section::Locked;
use super::waitq::Sudog;
use crate::park::{self, Activity, Done, Outcome, Ready, Reason, Wait};
use std::mem::MaybeUninit;
use std::panic::Location;
use std::ptr;

/// What becomes of an operation whose wait has ended so. A waker's panic, if there is one, is raised here where nothing else
/// comes of it.
#[inline(always)]
pub(super) fn result(outcome: Option<Outcome>, owed: &mut Ready) -> Result<(), Refusal> {
    if let Some(Outcome::Completed) = outcome {
        return Ok(());
    }
    owed.fire_here();
    Err(if outcome.is_some() { Refusal::Closed } else { Refusal::Blocked })
}

/// From this capacity on it takes a while until there is nothing left to be done on one side without the other.
const LARGE: usize = 16;

/// Where a wait lies.
pub(super) trait Place {
    /// Room for a small value beside it.
    type Near;
}

/// A thread's: in two cache lines side by side, since they go from core to core and back, and come as one. In the first are the sudog and the
/// word that ends the wait, in the second there is room for the value.
#[repr(align(128))]
pub(super) struct Lines;

impl Place for Lines {
    type Near = u128;
}

/// A goroutine's: where there is no gap, since all of its stack that is touched is loaded anew when it goes on.
impl Place for () {
    type Near = ();
}

/// A wait in one place, with the sudog and the word that ends it side by side.
#[repr(C)]
struct Plain<P: Place> {
    _place: [P; 0],
    sg: Sudog,
    wait: Wait,
    near: MaybeUninit<P::Near>,
}

#[cfg(all(target_pointer_width = "64", not(any(gochan_loom, gochan_shuttle))))]
const _: () = assert!(size_of::<Plain<Lines>>() == 128);

impl<P: Place> Plain<P> {
    /// Of whoever runs here, once it [begins](Wait::begin_of_caller), which it does where it stays: moving it about costs as much as
    /// making it.
    #[inline(always)]
    fn new(reason: Reason, at: &'static Location<'static>) -> Self {
        let sg = Sudog::new(ptr::null(), 0, ptr::null_mut());
        Self { _place: [], sg, wait: Wait::new(reason, at), near: MaybeUninit::uninit() }
    }

    /// Does a value of this type have room beside the wait?
    #[inline(always)]
    fn has_room_for<T>() -> bool {
        size_of::<T>() <= size_of::<P::Near>() && align_of::<T>() <= align_of::<P::Near>()
    }

    /// The sudog, ready to be queued. From here on it is reached by this pointer only.
    ///
    /// # Safety
    /// `this` stays where it is until the wait is over.
    #[inline(always)]
    unsafe fn sudog(this: *mut Self, elem: *mut ()) -> *const Sudog {
        // SAFETY: it is the caller's alone, who has not queued it, and stays by his contract.
        unsafe {
            (*this).wait.begin_of_caller();
            (*this).sg.put(&raw const (*this).wait, elem);
            &raw const (*this).sg
        }
    }

    /// The same of a sender. If its value has room beside the wait it is taken from there; if nobody takes it, it is where it was.
    ///
    /// # Safety
    /// As for [`sudog`](Self::sudog); `elem` is a value, which nobody touches until the wait is over.
    #[inline(always)]
    unsafe fn sudog_sending<T>(this: *mut Self, mut elem: *mut T) -> *const Sudog {
        // SAFETY: the caller's contract, and there is room.
        unsafe {
            if Self::has_room_for::<T>() {
                let near = (&raw mut (*this).near).cast();
                ptr::copy_nonoverlapping(elem, near, 1);
                elem = near;
            }
            Self::sudog(this, elem.cast())
        }
    }

    /// The same of a receiver. If its value has room beside the wait it comes there, and is to be [fetched](Self::fetch).
    ///
    /// # Safety
    /// As for [`sudog`](Self::sudog); `room` is not touched until the wait is over.
    #[inline(always)]
    unsafe fn sudog_receiving<T>(this: *mut Self, mut room: *mut T) -> *const Sudog {
        // SAFETY: the caller's contract.
        unsafe {
            if Self::has_room_for::<T>() {
                room = (&raw mut (*this).near).cast();
            }
            Self::sudog(this, room.cast())
        }
    }

    /// Moves what a receiver has got from beside its wait to its `room`, if it came there.
    ///
    /// # Safety
    /// The sudog is [of a receiver](Self::sudog_receiving), and its wait has been completed; `room` may be written.
    #[inline(always)]
    unsafe fn fetch<T>(sg: *const Sudog, room: *mut T) {
        if Self::has_room_for::<T>() {
            // SAFETY: the caller's contract.
            unsafe { Sudog::with_slot(sg, |near| ptr::copy_nonoverlapping(near, room, 1)) };
        }
    }
}

impl<T> Hchan<T> {
    /// Waits for a receiver, or for a slot. As [`chansend_locked`](Self::chansend_locked).
    ///
    /// Out of line, and with no frame of its own.
    #[inline(never)]
    pub(super) unsafe fn park_sender(
        c: Locked<'_, T>,
        elem: *mut T,
        patience: &Patience,
        at: &'static Location<'static>,
    ) -> Result<(), Refusal> {
        // SAFETY: the caller's contract.
        unsafe {
            if park::in_goroutine() {
                Self::park_sender_in::<()>(c, elem, patience, at)
            } else {
                Self::park_sender_in::<Lines>(c, elem, patience, at)
            }
        }
    }

    /// The same, with the wait in a place that is as it should be for who waits: see [`Plain`].
    #[inline(never)]
    unsafe fn park_sender_in<P: Place>(
        c: Locked<'_, T>,
        elem: *mut T,
        patience: &Patience,
        at: &'static Location<'static>,
    ) -> Result<(), Refusal> {
        let unsent = Unsent(elem);
        let mut owed = Ready::NOBODY;
        // SAFETY: the caller's contract.
        let sent = unsafe { Self::park_sender_owing::<P>(c, elem, patience, at, &mut owed) };
        std::mem::forget(unsent);
        owed.fire_here();
        sent
    }

    /// As [`chansend_owing`](Self::chansend_owing).
    #[inline(always)]
    pub(super) unsafe fn park_sender_owing<P: Place>(
        c: Locked<'_, T>,
        elem: *mut T,
        patience: &Patience,
        at: &'static Location<'static>,
        owed: &mut Ready,
    ) -> Result<(), Refusal> {
        let mut plain = Plain::<P>::new(Reason::ChanSend, at);
        // SAFETY: `plain` stays in this frame until `park` has returned.
        let outcome = unsafe {
            let sg = Plain::sudog_sending(&raw mut plain, elem);
            let this = c.chan();
            let calm = c.queue_sender_and_leave(sg, owed);
            this.park(calm, sg, patience)
        };
        result(outcome, owed)
    }

    /// Waits for a value. As [`chanrecv_locked`](Self::chanrecv_locked), and [`park_sender`](Self::park_sender).
    #[inline(never)]
    pub(super) unsafe fn park_receiver(
        c: Locked<'_, T>,
        room: *mut T,
        patience: &Patience,
        at: &'static Location<'static>,
    ) -> Result<(), Refusal> {
        // SAFETY: the caller's contract.
        unsafe {
            if park::in_goroutine() {
                Self::park_receiver_in::<()>(c, room, patience, at)
            } else {
                Self::park_receiver_in::<Lines>(c, room, patience, at)
            }
        }
    }

    /// The same, with the wait in a place that is as it should be for who waits: see [`Plain`].
    #[inline(never)]
    unsafe fn park_receiver_in<P: Place>(
        c: Locked<'_, T>,
        room: *mut T,
        patience: &Patience,
        at: &'static Location<'static>,
    ) -> Result<(), Refusal> {
        let mut owed = Ready::NOBODY;
        // SAFETY: the caller's contract. If this succeeds, the room holds a value, which nobody has yet.
        unsafe {
            Self::park_receiver_owing::<P>(c, room, patience, at, &mut owed)?;
            fire_beside(&mut owed, room);
        }
        Ok(())
    }

    #[inline(always)]
    pub(super) unsafe fn park_receiver_owing<P: Place>(
        c: Locked<'_, T>,
        room: *mut T,
        patience: &Patience,
        at: &'static Location<'static>,
        owed: &mut Ready,
    ) -> Result<(), Refusal> {
        let mut plain = Plain::<P>::new(Reason::ChanReceive, at);
        // SAFETY: `plain` stays in this frame until `park` has returned.
        let outcome = unsafe {
            let sg = Plain::sudog_receiving(&raw mut plain, room);
            let this = c.chan();
            let calm = c.queue_receiver_and_leave(sg, owed);
            let outcome = this.park(calm, sg, patience);
            if outcome == Some(Outcome::Completed) {
                Plain::<P>::fetch(sg, room);
            }
            outcome
        };
        result(outcome, owed)
    }

    /// Waits for the value of a `sender` that has none yet, or for any. A try waits for nothing else, and is told to retry if
    /// nothing comes of it.
    #[cold]
    pub(super) unsafe fn park_paired(
        mut c: Locked<'_, T>,
        room: *mut T,
        sender: *const Sudog,
        patience: &Patience,
        at: &'static Location<'static>,
        owed: &mut Ready,
    ) -> Option<Outcome> {
        let mut plain = Plain::<Lines>::new(Reason::ChanReceive, at);
        // Whoever has no time to wait waits for a value that is being evaluated all the same.
        let patience = if patience.is_over() { &Patience::Try } else { patience };
        plain.sg.nonblocking = matches!(patience, Patience::Try);
        // SAFETY: `plain` stays in this frame until `park` has returned. The sender was claimed in this section.
        unsafe {
            let sg = Plain::sudog(&raw mut plain, room.cast());
            let (this, ended) = (c.chan(), c.pair_arriving(sg, sender));
            *owed = c.leave(ended).try_fire();
            this.park(owed.is_nobody(), sg, patience)
        }
    }

    /// gopark of a plain wait that is queued, behind the section: waits, and withdraws when the time is over. `None`: nothing
    /// has happened. If a waker that was fired before has panicked, so that the caller is not `calm`, there is no time.
    ///
    /// # Safety
    /// `sg` and its wait belong to the caller and are queued on this channel. When this returns, they are not.
    #[inline(always)]
    unsafe fn park(&self, calm: bool, sg: *const Sudog, patience: &Patience) -> Option<Outcome> {
        // SAFETY: the caller's contract.
        unsafe {
            if !calm {
                return self.give_up(sg);
            }
            match (*(*sg).wait()).park(patience.deadline(), &self.spin, &|| self.activity(), || self.register()) {
                Some(done) => Some(done.outcome),
                None => self.give_up(sg),
            }
        }
    }

    /// What goes on here, for a thread that waits.
    pub(super) fn activity(&self) -> Activity {
        let shown = self.shown();
        // A smaller buffer is filled, or emptied, in no time, whoever has the cores. Who waits now may have done so for long.
        let has_end = self.cap >= LARGE && !shown.has_waiters();
        Activity { happened: shown.stamp(), most: if has_end { self.cap as u64 } else { u64::MAX } }
    }

    /// The time of a plain wait is over: how it ended, if it has.
    ///
    /// # Safety
    /// As for [`park`](Self::park).
    #[cold]
    #[inline(never)]
    unsafe fn give_up(&self, sg: *const Sudog) -> Option<Outcome> {
        // SAFETY: the caller's contract.
        unsafe {
            let done = self.withdraw(sg);
            (*(*sg).wait()).over();
            done.map(|done| done.outcome)
        }
    }

    /// Takes a wait back whose owner does not want to wait any longer. `None`: it is withdrawn and nothing has
    /// happened. `Some`: it had ended.
    ///
    /// # Safety
    /// `sg` belongs to the caller and was enqueued on this channel.
    pub(super) unsafe fn withdraw(&self, sg: *const Sudog) -> Option<Done> {
        let mut c = self.lock();
        // SAFETY: the caller's contract.
        let linked = unsafe { c.unlink(sg) };
        // The closer had not come to it yet. If he has a value for it, or for who comes next, it is simply late.
        let closed = c.closed && !c.has_value();
        c.leave_quietly();
        if !linked && !cfg!(gochan_bug = "value_lost_at_the_deadline") {
            // Who unlinked it finished it in the same locked section, so the end is visible under the lock (I5).
            // SAFETY: the wait is the caller's.
            return Some(unsafe { (*(*sg).wait()).done() }.expect("unlinked without an end"));
        }
        closed.then_some(Done { outcome: Outcome::Closed, arm: 0 })
    }
}
