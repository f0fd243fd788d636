//! A goroutine waits: the one seam through which this layer reaches the scheduler.
//!
//! The scheduler hands in a pointer that means something to it and the function that makes it runnable; nothing here
//! knows what a goroutine is, so the core builds without it. (But where it is built with it, it is called by its name to switch a
//! goroutine out.)
//!
//! **One wake-up per wait.** A goroutine does not look before it sleeps, so its wait says from the start that it sleeps, and
//! whoever ends it readies the goroutine: once, sooner or later. The goroutine takes that wake-up by being switched out when
//! it arrives. If something else has resumed it (a deadline), and it then finds that the wait has ended, it switches out once
//! more. Wake-ups of one goroutine are all alike: one that arrives in a wait that has not ended is another's, of a wait that it
//! has queued and not come to sleep in (a waker that it called in between has made it wait here), and is kept for that.

#![cfg_attr(not(feature = "rt"), allow(dead_code))]

use super::clock::now;
use super::{Done, Reason, Wait};
use std::cell::Cell;
use std::ptr::NonNull;
use std::time::Instant;

/// Names a parked goroutine to the scheduler that owns it. It is consumed exactly once.
#[derive(Debug)]
pub(crate) struct Goroutine {
    g: NonNull<()>,
    home: &'static Home,
}

/// Where goroutines live, as whoever readies one of them from elsewhere needs to know it: without a look at the goroutine itself, whose
/// memory is in use there.
#[derive(Debug)]
pub(crate) struct Home {
    ready: unsafe fn(NonNull<()>, NonNull<()>),
    name: NonNull<()>,
}

// SAFETY: a scheduler's `ready` may be called from any thread, with what it is called by its scheduler.
unsafe impl Sync for Home {}
// SAFETY: as above.
unsafe impl Send for Goroutine {}
// SAFETY: a shared reference gives access to nothing.
unsafe impl Sync for Goroutine {}

impl Home {
    /// # Safety
    /// `ready(g, name)` may be called from any thread for a goroutine `g` that lives there, once per wake-up that is owed to it.
    pub(crate) const unsafe fn new(ready: unsafe fn(NonNull<()>, NonNull<()>), name: NonNull<()>) -> Self {
        Self { ready, name }
    }

    /// Of those who never park.
    pub(crate) const fn nowhere() -> Self {
        Self { ready: |_, _| unreachable!("nobody lives there"), name: NonNull::dangling() }
    }
}

impl Goroutine {
    /// # Safety
    /// One that lives there, and is owed one more wake-up, which it will take before it ends.
    #[cfg(test)]
    pub(crate) unsafe fn new(g: NonNull<()>, home: &'static Home) -> Self {
        Self { g, home }
    }

    /// The same goroutine's name, for another wake-up.
    ///
    /// # Safety
    /// It is owed one more.
    #[cfg(feature = "rt")]
    pub(crate) unsafe fn again(&self) -> Self {
        Self { g: self.g, home: self.home }
    }

    /// What it is called by its scheduler.
    pub(super) fn name(&self) -> NonNull<()> {
        self.g
    }

    /// The goroutine that runs on this thread, which `scheduler` schedules, as it is about to wait for this `reason`.
    #[inline]
    pub(crate) fn running(scheduler: &'static Scheduler, reason: Reason) -> Self {
        #[cfg(not(feature = "rt"))]
        unreachable!("there are none: {scheduler:?} {reason}");
        #[cfg(feature = "rt")]
        {
            let [home, of_senders] = &scheduler.homes;
            let home = if reason == Reason::ChanSend { of_senders } else { home };
            Self { g: RUNNING.with(|running| running.g.get()), home }
        }
    }

    /// goready.
    #[inline]
    pub(crate) fn make_ready(self) {
        // SAFETY: it is of a wait, which is ended once, or of `again`; and `self` is consumed.
        unsafe { (self.home.ready)(self.g, self.home.name) }
    }
}

/// Why a goroutine runs again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resumed {
    Readied,
    DeadlinePassed,
    /// It is to unwind.
    Cancelled,
    /// It is to show its stack, and to go on waiting. Nothing has happened to its wait.
    Inspected,
}

/// What to do with a wake-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spare {
    /// Keep one more.
    Keep,
    /// Take one, if there is one.
    Take,
}

/// What a scheduler does for the goroutine that runs on this thread.
#[derive(Debug)]
pub(crate) struct Scheduler {
    /// A future is being polled: nothing may park.
    pub(crate) polling: bool,
    /// Where its goroutines are readied; the second, those that wait to get rid of a value: they take nobody's place.
    pub(crate) homes: [Home; 2],
    /// Its wake-ups that have arrived in other waits than those that they are of.
    pub(crate) spare: fn(Spare) -> bool,
    /// Switches it out until it is readied, or until the deadline. If it says for what it waits, it may also be cancelled, and
    /// is not switched out if it is already.
    pub(crate) switch_out: fn(Option<Instant>, Option<&Wait>) -> Resumed,
    /// Is it to unwind, instead of beginning to wait?
    pub(crate) is_cancelled: fn() -> bool,
    /// Unwinds it.
    pub(crate) unwind: fn() -> !,
    /// Shows the stack of who was resumed for that.
    pub(crate) inspect: fn(),
    /// Its budget is spent: lets others run, if it has had its share and there are any.
    pub(crate) take_turns: fn(),
}

impl Scheduler {
    /// Switches the goroutine out that waits here: in the frame of who waits, unless there is a deadline. For it returns through other
    /// functions than those in which another one has stopped, and the processor guesses each of these returns wrong.
    #[inline(always)]
    fn switch_out(&self, deadline: Option<Instant>, wait: &Wait) -> Resumed {
        #[cfg(feature = "rt")]
        if deadline.is_none() {
            return crate::rt::switch_out(None, Some(wait));
        }
        (self.switch_out)(deadline, Some(wait))
    }
}

/// Operations that could have waited and did not, before the scheduler is asked whether others are to have their turn: of a goroutine that
/// goes on fast,
#[cfg(feature = "rt")]
const BUDGET: u32 = 128;
/// of one of which that is not known, since it has just been switched in,
#[cfg(feature = "rt")]
const FEW: u32 = 8;
/// or of one that is switched in where somebody was slow.
#[cfg(feature = "rt")]
const ONE: u32 = 1;

/// Who runs on a thread.
struct Running {
    /// While it is a goroutine, its scheduler.
    scheduler: Cell<Option<&'static Scheduler>>,
    /// And the goroutine.
    #[cfg(feature = "rt")]
    g: Cell<NonNull<()>>,
    /// What is left of its budget. Nobody counts a plain thread's.
    #[cfg(feature = "rt")]
    left: Cell<u32>,
    /// What the next one begins with.
    #[cfg(feature = "rt")]
    first: Cell<u32>,
    /// What the clock of `clock.rs` said when the scheduler last looked; 0 if it never has.
    #[cfg(feature = "rt")]
    time: Cell<u64>,
}

thread_local! {
    /// Without a destructor, so that it can be used in others'.
    static RUNNING: Running = const {
        Running {
            scheduler: Cell::new(None),
            #[cfg(feature = "rt")]
            g: Cell::new(NonNull::dangling()),
            #[cfg(feature = "rt")]
            left: Cell::new(u32::MAX),
            #[cfg(feature = "rt")]
            first: Cell::new(FEW),
            #[cfg(feature = "rt")]
            time: Cell::new(0),
        }
    };
}

/// Who schedules the goroutine that runs on this thread; `None` on a plain thread.
#[inline]
pub(crate) fn scheduler() -> Option<&'static Scheduler> {
    // Without the feature nobody sets one.
    if cfg!(feature = "rt") { RUNNING.with(|running| running.scheduler.get()) } else { None }
}

/// Does a goroutine run on this thread, or a poll on a worker's?
pub(crate) fn in_goroutine() -> bool {
    scheduler().is_some()
}

/// Sets it, with a full budget, and returns what it was.
#[cfg(feature = "rt")]
pub(crate) fn set_scheduler(scheduler: Option<&'static Scheduler>) -> Option<&'static Scheduler> {
    RUNNING.with(|running| {
        running.left.set(BUDGET);
        running.scheduler.replace(scheduler)
    })
}

/// The scheduler switches to this goroutine.
#[cfg(feature = "rt")]
#[inline]
pub(crate) fn set_goroutine(g: NonNull<()>) {
    RUNNING.with(|running| {
        running.left.set(running.first.get());
        running.g.set(g);
    });
}

/// How fast goroutines go on, as the scheduler sees when it is asked.
#[cfg(feature = "rt")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    Fast,
    Unknown,
    Slow,
}

/// The scheduler, which was asked, has seen how fast the running goroutine is: so soon it is asked again, if not after a full budget, and
/// so soon by the next ones.
#[cfg(feature = "rt")]
pub(crate) fn set_pace(pace: Pace) {
    RUNNING.with(|running| match pace {
        // By and by: whom the slow one sends to is fast.
        Pace::Fast => running.first.set((2 * running.first.get()).min(FEW)),
        Pace::Unknown => running.left.set(running.first.get()),
        Pace::Slow => {
            running.left.set(ONE);
            running.first.set(ONE);
        }
    });
}

/// The scheduler looks at the clock, for its goroutines: once in a while, and when it has slept. How long ago it looked last.
#[cfg(feature = "rt")]
pub(crate) fn look_at_clock() -> std::time::Duration {
    let now = now();
    std::time::Duration::from_nanos(now.saturating_sub(RUNNING.with(|running| running.time.replace(now))))
}

/// When a goroutine falls asleep: what its scheduler has last seen, for a look is as dear as a switch.
#[inline(always)]
pub(super) fn time() -> u64 {
    #[cfg(feature = "rt")]
    if let seen @ 1.. = RUNNING.with(|running| running.time.get()) {
        return seen;
    }
    now()
}

/// An operation that may wait begins, if nobody else is to have his turn first. Then it [spends](spend) more than this.
#[inline]
pub(crate) fn spend_at_once() -> bool {
    #[cfg(feature = "rt")]
    return RUNNING.with(|running| match running.left.get().checked_sub(1) {
        Some(left) => {
            running.left.set(left);
            true
        }
        None => false,
    });
    #[cfg(not(feature = "rt"))]
    true
}

/// An operation that may wait begins. Goroutines are not preempted: one that never has to wait lets others run once in a
/// while all the same. Only here, because who sends to an unbounded channel, tries, closes or drops may hold a lock
/// that those others want.
#[inline]
pub(crate) fn spend() {
    #[cfg(feature = "rt")]
    RUNNING.with(|running| match running.left.get().checked_sub(1) {
        Some(left) => running.left.set(left),
        None => take_turns(running),
    });
}

#[cfg(feature = "rt")]
#[cold]
fn take_turns(running: &Running) {
    match running.scheduler.get() {
        None => running.left.set(u32::MAX),
        Some(scheduler) => {
            // It may be asked again sooner.
            running.left.set(BUDGET);
            (scheduler.take_turns)();
        }
    }
}

impl Wait {
    /// gopark of a goroutine: how the wait ended, and its wake-up is taken. Or `None` once the deadline has passed or the
    /// goroutine is cancelled; then the caller withdraws, and says by [`over`](Self::over) what it found.
    #[inline(always)]
    pub(super) fn park_goroutine(
        &self,
        scheduler: &Scheduler,
        deadline: Option<Instant>,
        before_sleep: impl FnOnce(),
    ) -> Option<Done> {
        if scheduler.polling || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return None;
        }
        before_sleep();
        if self.done().is_some() && (scheduler.spare)(Spare::Take) {
            self.owed.set(false);
            return self.done();
        }
        loop {
            let resumed = scheduler.switch_out(deadline, self);
            // Hardly ever anything else, and not worth a jump through a table.
            if resumed == Resumed::Readied {
                let done = self.done();
                if done.is_some() {
                    self.owed.set(false);
                    return done;
                }
                if cfg!(not(gochan_bug = "spare_dropped")) {
                    (scheduler.spare)(Spare::Keep);
                }
            } else if resumed == Resumed::Inspected {
                (scheduler.inspect)();
            } else {
                self.cancelled.set(resumed == Resumed::Cancelled);
                return None;
            }
        }
    }

    /// The wait is on no queue any more. If somebody has ended it, a wake-up may be on its way still, and is awaited. If
    /// nobody has, and the goroutine is cancelled, it unwinds from here.
    ///
    /// # Panics
    /// If it was a wait in a future's poll, and has not ended.
    #[inline]
    pub(crate) fn over(&self) {
        if let Some(scheduler) = scheduler() {
            self.over_in_goroutine(scheduler);
        }
    }

    fn over_in_goroutine(&self, scheduler: &Scheduler) {
        let done = self.done().is_some();
        if scheduler.polling && !done {
            panic!("{} in a future's poll would block its worker: await the _async form instead", self.reason);
        }
        let owed = self.owed.replace(false) && !cfg!(gochan_bug = "done_seen_without_switch");
        if owed && done && !(scheduler.spare)(Spare::Take) {
            let _readied = (scheduler.switch_out)(None, None);
        }
        if !done && self.cancelled.get() {
            (scheduler.unwind)();
        }
    }
}
