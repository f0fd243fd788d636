//! select as a future: the same passes, and a task instead of a thread that waits.
//!
//! The first poll looks, queues if nothing is possible, and falls asleep; the next finds how the wait has ended. The sudogs
//! lie in the future. A select that is given up leaves its queues; if an arm had fired, it is undone: a value goes back, a
//! promise is broken.

#![allow(missing_docs, reason = "hidden: only the macros name what is public here")]

use super::arms::{Arm, patience};
use super::first::First;
use super::held::Held;
use super::task::TaskWait;
use super::{Again, Case, Pass, Selectgo, fired, reason, unqueue};
use crate::chan::arm::{Fired, Target};
use crate::chan::hchan::Patience;
use crate::chan::waitq::Sudog;
use crate::park::{Alarm, Reason, Wait};
use crate::primitive::is_over;
use std::fmt;
use std::marker::PhantomPinned;
use std::mem::MaybeUninit;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Where a select of a task is. Reached by raw pointer once it is queued.
pub(super) struct Going {
    task: TaskWait,
    at: &'static Location<'static>,
    patience: Patience,
    biased: bool,
    /// Computed when there is something to wait for.
    deadline: Option<Option<Instant>>,
    /// When to look again, though the wait has not ended.
    limit: Option<Instant>,
    alarm: Option<Alarm>,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Not queued.
    Idle,
    /// An arm each on all channels.
    Queued,
    /// One arm, with a sender that has no value yet.
    Meeting(usize),
}

/// An arm that has fired, and will not be finished if this is dropped.
struct Undo<'c>(&'c [Case<'c>], (usize, Fired));

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        let (case, fired) = self.1;
        // SAFETY: what was received is in its room, and nobody will look there any more.
        unsafe { self.0[case].target.give_up(fired, self.0[case].room) };
    }
}

impl Going {
    pub(super) fn new(biased: bool, patience: Patience, at: &'static Location<'static>) -> Self {
        Self {
            task: TaskWait::new(Reason::Select, at),
            at,
            patience,
            biased,
            deadline: None,
            limit: None,
            alarm: None,
            stage: Stage::Idle,
        }
    }

    /// Polls: the arm that has fired, or that none will.
    ///
    /// # Safety
    /// `this` is pinned, and so are `cases`, which are the same at every poll, their rooms, and `sgs`, which has room for a
    /// sudog per case.
    pub(super) unsafe fn poll(
        this: *mut Self,
        cases: &[Case<'_>],
        sgs: *mut Sudog,
        cx: &Context<'_>,
    ) -> Poll<Option<(usize, Fired)>> {
        // SAFETY: the caller's contract.
        unsafe {
            if (*this).stage != Stage::Idle {
                return Self::go_on(this, cases, sgs, None, cx);
            }
            // Most selects that find something end here.
            let mut first = First::glance(cases, (*this).biased, None);
            if !matches!((*this).patience, Patience::Try) {
                first.look_on(cases);
            }
            match first.ended() {
                Some(fired) => Poll::Ready(Some((first.case, fired))),
                None => Self::go_on(this, cases, sgs, Some(&first), cx),
            }
        }
    }

    /// Rounds after the first glances, or after a wait.
    ///
    /// # Safety
    /// As for [`poll`](Self::poll).
    unsafe fn go_on(
        this: *mut Self,
        cases: &[Case<'_>],
        sgs: *mut Sudog,
        mut first: Option<&First>,
        cx: &Context<'_>,
    ) -> Poll<Option<(usize, Fired)>> {
        // SAFETY: the caller's contract. While the select is queued, others touch only what is atomic or in cells.
        unsafe {
            let mut nonblocking = matches!((*this).patience, Patience::Try);
            loop {
                if (*this).stage != Stage::Idle {
                    if (*this).task.wait.done().is_none() {
                        if (*this).limit.is_some_and(is_over) {
                            // A timer is due, or the time is over: what is possible now is done.
                            nonblocking = (*this).deadline.flatten().is_some_and(is_over);
                        } else if TaskWait::keep_waker(&raw mut (*this).task, cases, cx) {
                            Alarm::keep(&mut (*this).alarm, (*this).limit, cx.waker());
                            return Poll::Pending;
                        }
                    }
                    if let Some(ended) = Self::leave(this, cases, sgs) {
                        return Self::end(this, cases, ended);
                    }
                }
                if first.is_none() {
                    // Before anything is locked.
                    drop((*this).task.wait.take_waiter());
                }
                match Self::start(this, cases, nonblocking, first.take(), sgs) {
                    Ok(Poll::Ready(fired)) => return Self::end(this, cases, fired),
                    Err(Again::Never) => return Poll::Ready(None),
                    Err(Again::Now) => {}
                    Ok(Poll::Pending) => {
                        cases.iter().filter_map(|case| case.target.as_chan()).for_each(|chan| chan.register());
                        // Whether it has ended meanwhile, or a deadline is over, the next round finds.
                        TaskWait::fall_asleep(&raw mut (*this).task, cx);
                    }
                }
            }
        }
    }

    /// An arm has fired: what is left of the wait goes.
    ///
    /// # Safety
    /// As for [`poll`](Self::poll).
    unsafe fn end(this: *mut Self, cases: &[Case<'_>], fired: (usize, Fired)) -> Poll<Option<(usize, Fired)>> {
        // SAFETY: the caller's contract.
        let alarm = unsafe { &mut (*this).alarm };
        if alarm.is_some() {
            let undo = Undo(cases, fired);
            // Foreign code, which may panic. (The waker of the wait has been taken out of it.)
            *alarm = None;
            std::mem::forget(undo);
        }
        Poll::Ready(Some(fired))
    }

    /// Looks, or goes on looking behind the first glances, and queues if nothing is possible.
    ///
    /// # Safety
    /// As for [`poll`](Self::poll).
    unsafe fn start(
        this: *mut Self,
        cases: &[Case<'_>],
        nonblocking: bool,
        first: Option<&First>,
        sgs: *mut Sudog,
    ) -> Result<Poll<(usize, Fired)>, Again> {
        // SAFETY: the caller's contract.
        unsafe {
            let mut go = Selectgo::new(cases, (*this).biased, (*this).patience, (*this).at);
            go.nonblocking = nonblocking;
            go.deadline = (*this).deadline;
            let mut held = Held::none();
            let mut pass = match first {
                Some(first) => {
                    let glances = go.glances_after(first);
                    go.look(glances)
                }
                None => go.pass0(),
            };
            if let Pass::Nothing = pass {
                if go.nonblocking && go.is_unchanged() {
                    return Err(Again::Never);
                }
                held.lock(go.cases);
                pass = go.pass1(&mut held);
            }
            let (stage, owed) = match pass {
                Pass::Fired(case, fired, ready) => {
                    let panic = ready.try_fire();
                    if !panic.is_nobody() {
                        go.cases[case].target.give_up(fired, go.cases[case].room);
                        panic.fire();
                    }
                    return Ok(Poll::Ready((case, fired)));
                }
                Pass::Crowded(case) => {
                    drop(held);
                    go.help(case);
                    return Err(Again::Now);
                }
                Pass::Lazy(case, sender) => {
                    let Case { target, room, .. } = go.cases[case];
                    held.release(target.address());
                    let Target::Chan(chan) = target else { unreachable!("a channel's sender") };
                    (*this).task.wait = Wait::new(Reason::Select, go.at);
                    let mut sg = Sudog::new(&raw const (*this).task.wait, case as u16, room);
                    sg.nonblocking = true;
                    sgs.add(case).write(sg);
                    (*this).limit = if go.nonblocking { None } else { go.limit_of_meeting() };
                    (Stage::Meeting(case), chan.meet(sgs.add(case), sender))
                }
                Pass::Nothing if go.nonblocking => return Err(Again::Never),
                Pass::Nothing => {
                    let deadline = go.deadline();
                    (*this).limit = go.limit(deadline);
                    (*this).task.wait = Wait::new(reason(go.cases), go.at);
                    (Stage::Queued, go.queue(&mut held, &raw const (*this).task.wait, sgs, true))
                }
            };
            (*this).deadline = go.deadline;
            (*this).stage = stage;
            owed.fire();
            Ok(Poll::Pending)
        }
    }

    /// Leaves the queues. The arm that had fired, if one had.
    ///
    /// # Safety
    /// As for [`poll`](Self::poll).
    pub(super) unsafe fn leave(this: *mut Self, cases: &[Case<'_>], sgs: *const Sudog) -> Option<(usize, Fired)> {
        // SAFETY: the caller's contract; queued as the stage says.
        unsafe {
            let stage = std::mem::replace(&mut (*this).stage, Stage::Idle);
            let wait = &raw const (*this).task.wait;
            let ended = match stage {
                Stage::Idle => None,
                Stage::Queued => unqueue(cases, sgs, wait),
                Stage::Meeting(case) => {
                    let sg = sgs.add(case);
                    if let (None, Target::Chan(chan)) = ((*wait).done(), cases[case].target) {
                        chan.dequeue(sg);
                    }
                    (*wait).done().map(|done| (done, (*sg).number.get()))
                }
            };
            ended.and_then(|ended| fired(cases, ended))
        }
    }

    /// The select is given up.
    ///
    /// # Safety
    /// As for [`poll`](Self::poll).
    #[inline]
    pub(super) unsafe fn give_up(this: *mut Self, cases: &[Case<'_>], sgs: *const Sudog) {
        // SAFETY: the caller's contract; what was received is in its room.
        unsafe {
            if (*this).stage == Stage::Idle {
                return;
            }
            if let Some((case, fired)) = Self::leave(this, cases, sgs) {
                cases[case].target.give_up(fired, cases[case].room);
            }
        }
    }
}

/// What `select_async!` awaits.
pub struct ArmsFut<'x, const N: usize> {
    going: Going,
    cases: [Case<'x>; N],
    fired: [&'x mut Option<Fired>; N],
    sgs: [MaybeUninit<Sudog>; N],
    _pinned: PhantomPinned,
}

// SAFETY: what it moves between threads are bytes of values that only somebody with an arm of their type can take out; the
// pointers in its sudogs lead to itself and to its arms, and are used by others under the channels' locks only.
unsafe impl<const N: usize> Send for ArmsFut<'_, N> {}
// SAFETY: a shared reference gives access to nothing.
unsafe impl<const N: usize> Sync for ArmsFut<'_, N> {}

/// As [`select`](super::select), awaited.
#[track_caller]
pub fn select_async<const N: usize>(
    arms: [Arm<'_>; N],
    biased: bool,
    wait: Option<Option<Duration>>,
) -> ArmsFut<'_, N> {
    let cases = arms.each_ref().map(|arm| arm.case);
    ArmsFut {
        going: Going::new(biased, patience(wait), Location::caller()),
        cases,
        fired: arms.map(|arm| arm.fired),
        sgs: [const { MaybeUninit::uninit() }; N],
        _pinned: PhantomPinned,
    }
}

impl<const N: usize> Future for ArmsFut<'_, N> {
    type Output = usize;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<usize> {
        // SAFETY: nothing is moved out.
        let this = unsafe { self.get_unchecked_mut() };
        let sgs = this.sgs.as_mut_ptr().cast();
        // SAFETY: all is pinned with us, but the rooms, which are in arms that we have borrowed.
        unsafe { Going::poll(&raw mut this.going, &this.cases, sgs, cx) }.map(|ended| match ended {
            None => N,
            Some((case, fired)) => {
                *this.fired[case] = Some(fired);
                case
            }
        })
    }
}

impl<const N: usize> Drop for ArmsFut<'_, N> {
    fn drop(&mut self) {
        let sgs = self.sgs.as_mut_ptr().cast();
        // SAFETY: pinned if it was ever polled.
        unsafe { Going::give_up(&raw mut self.going, &self.cases, sgs) };
    }
}

impl<const N: usize> fmt::Debug for ArmsFut<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("ArmsFut { .. }")
    }
}
