//! Select::ready: waits until an operation is possible, and does none.

use super::task::TaskWait;
use super::{Case, INLINE};
use crate::chan::arm::{Dir, Selectable, Target};
use crate::chan::handshake::{WATCH_RECV, WATCH_SEND};
use crate::chan::hchan::Patience;
use crate::chan::timer::sooner;
use crate::chan::waitq::Sudog;
use crate::park::{Activity, Alarm, Reason, Spin, Wait};
use crate::primitive::is_over;
use crate::select::order::Order;
use smallvec::SmallVec;
use std::mem::MaybeUninit;
use std::panic::Location;
use std::ptr;
use std::task::{Context, Poll};
use std::time::Instant;

/// An arm whose operation is possible; `None` if there is none as long as `patience` allows.
pub(super) fn ready(
    cases: &[Case<'_>],
    biased: bool,
    patience: Patience,
    at: &'static Location<'static>,
) -> Option<usize> {
    let mut deadline = None;
    loop {
        if let Some(case) = look(cases, biased) {
            return Some(case);
        }
        let deadline = match patience {
            Patience::Try => return None,
            _ => *deadline.get_or_insert_with(|| patience.deadline()),
        };
        if deadline.is_some_and(is_over) {
            return None;
        }
        if let Some(case) = watch(cases, deadline, at) {
            return Some(case);
        }
    }
}

fn look(cases: &[Case<'_>], biased: bool) -> Option<usize> {
    let mut order = Order::new(cases.len(), biased);
    (0..cases.len()).map(|k| order.pick(k)).find(|&case| is_ready(&cases[case]))
}

fn is_ready(case: &Case<'_>) -> bool {
    match case.target {
        Target::Never => false,
        Target::Chan(chan) => chan.is_ready(case.dir),
        Target::Timer(timer) => timer.is_due(),
    }
}

/// The channels, by the number of their arm.
fn chans<'c>(cases: &'c [Case<'_>]) -> impl Iterator<Item = (usize, &'c dyn Selectable)> {
    cases.iter().enumerate().filter_map(|(arm, case)| Some((arm, case.target.as_chan()?)))
}

/// When to look again: a timer is due, or the time is over.
fn limit(cases: &[Case<'_>], deadline: Option<Instant>) -> Option<Instant> {
    cases.iter().fold(deadline, |limit, case| sooner(limit, case.target.due()))
}

/// Queues a watcher per arm, unless one finds its operation possible: that arm.
///
/// # Safety
/// `sgs` is room for a sudog per arm. They, and `wait`, stay where they are until [`leave`].
unsafe fn queue(cases: &[Case<'_>], wait: *const Wait, sgs: *mut Sudog) -> Option<usize> {
    for (arm, case) in cases.iter().enumerate() {
        let mut sg = Sudog::new(wait, arm as u16, ptr::null_mut());
        sg.interest = if case.dir == Dir::Send { WATCH_SEND } else { WATCH_RECV };
        // SAFETY: the caller's contract.
        unsafe { sgs.add(arm).write(sg) };
    }
    // SAFETY: the caller's contract.
    chans(cases).find(|&(arm, chan)| unsafe { !chan.watch(sgs.add(arm)) }).map(|(arm, _)| arm)
}

/// Leaves the queues. The arm that is ready, if somebody has said so.
///
/// # Safety
/// After [`queue`], with the same.
unsafe fn leave(cases: &[Case<'_>], wait: *const Wait, sgs: *const Sudog) -> Option<usize> {
    for (arm, chan) in chans(cases) {
        // SAFETY: the caller's contract.
        unsafe { chan.dequeue(sgs.add(arm)) };
    }
    // SAFETY: the caller's contract; on no queue any more.
    unsafe { (*wait).done() }.map(|done| usize::from(done.arm))
}

/// Waits until told that an arm is ready. `None`: look again.
fn watch(cases: &[Case<'_>], deadline: Option<Instant>, at: &'static Location<'static>) -> Option<usize> {
    let wait = Wait::of_caller(Reason::Select, at);
    let mut sgs = SmallVec::<[MaybeUninit<Sudog>; INLINE]>::with_capacity(cases.len());
    // From here on the sudogs are reached by raw pointers only.
    let sgs = sgs.as_mut_ptr().cast::<Sudog>();
    // SAFETY: the sudogs stay in this frame until `leave`.
    let at_once = unsafe { queue(cases, &raw const wait, sgs) };
    if at_once.is_none() {
        let spin = Spin::none();
        let spin = chans(cases).next().map_or(&spin, |(_, chan)| chan.spin());
        let activity = || Activity::without_end(chans(cases).map(|(_, chan)| chan.stamp()).sum());
        wait.park(limit(cases, deadline), spin, &activity, || chans(cases).for_each(|(_, chan)| chan.register()));
    }
    // SAFETY: queued above.
    let told = unsafe { leave(cases, &raw const wait, sgs) };
    wait.over();
    told.or(at_once)
}

/// A task that waits until an operation is possible. Reached by raw pointer once it is queued.
pub(super) struct Watching {
    task: TaskWait,
    at: &'static Location<'static>,
    deadline: Option<Instant>,
    alarm: Option<Alarm>,
    is_queued: bool,
}

impl Watching {
    pub(super) fn new(deadline: Option<Instant>, at: &'static Location<'static>) -> Self {
        Self { task: TaskWait::new(Reason::Select, at), at, deadline, alarm: None, is_queued: false }
    }

    /// Polls: the arm whose operation is possible, or that the time is over.
    ///
    /// # Safety
    /// `this` is pinned, and so is `sgs`, which has room for a sudog per arm; the arms are the same at every poll.
    pub(super) unsafe fn poll(
        this: *mut Self,
        cases: &[Case<'_>],
        biased: bool,
        sgs: *mut Sudog,
        cx: &Context<'_>,
    ) -> Poll<Option<usize>> {
        // SAFETY: the caller's contract. While it is queued, others touch only what is atomic or in cells.
        unsafe {
            loop {
                if (*this).is_queued {
                    let limit = limit(cases, (*this).deadline);
                    if (*this).task.wait.done().is_none()
                        && !limit.is_some_and(is_over)
                        && TaskWait::keep_waker(&raw mut (*this).task, cases, cx)
                    {
                        Alarm::keep(&mut (*this).alarm, limit, cx.waker());
                        return Poll::Pending;
                    }
                    if let Some(arm) = Self::leave(this, cases, sgs) {
                        return Poll::Ready(Some(arm));
                    }
                }
                if let Some(arm) = look(cases, biased) {
                    return Poll::Ready(Some(arm));
                }
                if (*this).deadline.is_some_and(is_over) {
                    return Poll::Ready(None);
                }
                // Before anything is locked.
                drop((*this).task.wait.take_waiter());
                (*this).task.wait = Wait::new(Reason::Select, (*this).at);
                (*this).is_queued = true;
                if let Some(arm) = queue(cases, &raw const (*this).task.wait, sgs) {
                    Self::leave(this, cases, sgs);
                    return Poll::Ready(Some(arm));
                }
                chans(cases).for_each(|(_, chan)| chan.register());
                // Whether it has ended meanwhile, the next round finds.
                TaskWait::fall_asleep(&raw mut (*this).task, cx);
            }
        }
    }

    /// Leaves the queues, if it is on any.
    ///
    /// # Safety
    /// As for [`poll`](Self::poll).
    pub(super) unsafe fn leave(this: *mut Self, cases: &[Case<'_>], sgs: *const Sudog) -> Option<usize> {
        // SAFETY: the caller's contract.
        unsafe {
            if !std::mem::replace(&mut (*this).is_queued, false) {
                return None;
            }
            leave(cases, &raw const (*this).task.wait, sgs)
        }
    }
}
