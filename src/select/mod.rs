//! select: of several operations, one that is possible; else wait until one is. In the order of Go's select.go.
//!
//! Invariants:
//! - **One operation.** A select has one [`Wait`] and a sudog per arm; whoever claims the wait fires one arm, and a claim
//!   of the same wait on another channel fails. What the select claims itself, it claims before it is queued anywhere.
//! - **Default is exact.** "Nothing is possible" is decided with all channels locked, so it was true at one instant. Pass 0,
//!   which looks at one channel at a time, may fire an arm, but decides nothing else.
//! - **All locks or one.** Looking for the last time and queueing happen under all locks: two selects that offer to each
//!   other both ways would else claim each other, or miss each other.
//! - **Nothing stays behind.** Before a select returns or looks again, each of its sudogs is on no queue: it was taken off
//!   by whoever claimed it, or by pass 3. A wait that ended meanwhile has ended for good, and is what is returned.
//!
//! Lock order: the channels of one select by address (`held.rs`); nothing else holds two.

mod arms;
mod awaiting;
mod dynamic;
mod first;
mod future;
mod held;
#[cfg(all(test, gochan_loom))]
mod loom;
mod macros;
mod order;
mod task;
mod watch;

pub use arms::{Arm, GoExact, Plain, Promise, RecvArm, SendArm, select};
pub use awaiting::{ReadyFut, ReadyTimeoutFut, SelectFut, SelectTimeoutFut, TrySelectFut};
pub use dynamic::{Select, SelectedOperation};
pub use future::{ArmsFut, select_async};

use crate::chan::arm::{Attempt, Dir, Fired, Glance, Target};
use crate::chan::handshake::Promised;
use crate::chan::hchan::Patience;
use crate::chan::timer::{Timer, sooner};
use crate::chan::waitq::Sudog;
use crate::park::{self, Activity, Done, Outcome, Ready, Reason, Spin, Wait};
use crate::primitive::is_over;
use first::First;
use held::Held;
use order::Order;
use smallvec::SmallVec;
use std::mem::MaybeUninit;
use std::panic::Location;
use std::ptr;
use std::time::Instant;

/// Arms for which a select needs no allocation.
const INLINE: usize = 16;

/// One arm: an operation on a channel, and where a value may be received.
#[derive(Clone, Copy)]
pub(crate) struct Case<'a> {
    target: Target<'a>,
    dir: Dir,
    /// For a receiving arm, room for a value of its channel; arms may share it, as one of them at most receives.
    room: *mut (),
}

/// What glances at the arms, one after the other, have come to.
enum Glances {
    Fired(usize, Fired),
    /// The channel of the arm that comes as the `k`th is locked, and has more to see.
    Locked(usize),
    Nothing,
}

/// What a pass over the arms has found.
enum Pass {
    Fired(usize, Fired, Ready),
    /// A sender without a value, on a channel that is still locked.
    Lazy(usize, *const Sudog),
    Crowded(usize),
    Nothing,
}

impl From<(usize, Attempt)> for Pass {
    #[inline]
    fn from((case, attempt): (usize, Attempt)) -> Self {
        match attempt {
            Attempt::Nothing(_) => Self::Nothing,
            Attempt::Fired(fired, ready) => Self::Fired(case, fired, ready),
            Attempt::Lazy(sender) => Self::Lazy(case, sender),
            Attempt::Crowded => Self::Crowded(case),
        }
    }
}

/// One select at work.
struct Selectgo<'c> {
    cases: &'c [Case<'c>],
    /// Where values are received, if not in the rooms of their arms.
    room: Option<*mut ()>,
    order: Order,
    at: &'static Location<'static>,
    patience: Patience,
    /// Computed when there is something to wait for.
    deadline: Option<Option<Instant>>,
    nonblocking: bool,
    /// The clock, if there are timers: read once per pass.
    now: Option<Instant>,
    /// The sum of the stamps that pass 0 has read. Stamps grow only, so it is the same again if, and as long as, all are.
    seen: u64,
}

/// A glance at a timer, as of `now`. Its room is for an instant.
#[cold]
fn glance_at_timer(timer: &Timer, now: Instant, room: *mut ()) -> Glance {
    match timer.take(now) {
        None => Glance::Nothing(0),
        Some(due) => {
            // SAFETY: a timer's arm has a room for what it receives.
            unsafe { room.cast::<Instant>().write(due) };
            Glance::Received(0)
        }
    }
}

/// Fires one arm, and says which and what it has got; `None` if none is possible as long as `patience` allows.
///
/// # Safety
/// The room of each receiving arm may be written with a value of its channel. If this returns that it was, it was.
#[inline(never)]
pub(crate) unsafe fn selectgo(
    cases: &[Case<'_>],
    biased: bool,
    patience: Patience,
    at: &'static Location<'static>,
) -> Option<(usize, Fired)> {
    spend(&patience);
    // SAFETY: the caller's contract.
    unsafe {
        let mut first = First::glance(cases, biased, None);
        match first.ended() {
            Some(fired) => Some((first.case, fired)),
            None => selectgo_after(&mut first, cases, &patience, at),
        }
    }
}

/// A goroutine that selects again and again makes room for others.
#[inline(always)]
fn spend(patience: &Patience) {
    if !matches!(patience, Patience::Try) {
        park::spend();
    }
}

/// A select whose first glance has not fired.
///
/// # Safety
/// As for [`selectgo`], or, if there is one room for all arms, of that.
#[inline(always)]
unsafe fn selectgo_after(
    first: &mut First,
    cases: &[Case<'_>],
    patience: &Patience,
    at: &'static Location<'static>,
) -> Option<(usize, Fired)> {
    // SAFETY: the caller's contract.
    unsafe {
        match patience {
            Patience::Try => selectgo_rest(first, cases, patience, at),
            _ => selectgo_on(first, cases, patience, at),
        }
    }
}

/// One that may wait.
///
/// # Safety
/// As for [`selectgo_after`].
#[inline(never)]
unsafe fn selectgo_on(
    first: &mut First,
    cases: &[Case<'_>],
    patience: &Patience,
    at: &'static Location<'static>,
) -> Option<(usize, Fired)> {
    // SAFETY: the caller's contract.
    unsafe {
        first.look_on(cases);
        match first.ended() {
            Some(fired) => Some((first.case, fired)),
            None => selectgo_rest(first, cases, patience, at),
        }
    }
}

/// The rest of a select that has not ended with its first glances. Apart, for the sake of the frame.
///
/// # Safety
/// As for [`selectgo_after`].
#[inline(never)]
unsafe fn selectgo_rest(
    first: &First,
    cases: &[Case<'_>],
    patience: &Patience,
    at: &'static Location<'static>,
) -> Option<(usize, Fired)> {
    // One channel, one moment.
    if matches!(patience, Patience::Try) && cases.len() == 1 && matches!(first.glance, Some(Glance::Nothing(_))) {
        return None;
    }
    let mut this = Selectgo::new(cases, first.biased, *patience, at);
    this.room = first.room;
    // SAFETY: the caller's contract.
    unsafe {
        match this.glances_after(first) {
            // The quick ends: something was there, or nothing and that is enough.
            Glances::Fired(case, fired) => Some((case, fired)),
            Glances::Nothing if this.nonblocking && this.is_unchanged() => None,
            glances => this.go_on(glances),
        }
    }
}

/// As what a select is seen to wait.
fn reason(cases: &[Case<'_>]) -> Reason {
    match cases {
        // As the plain operation that it is.
        [Case { dir: Dir::Send, target: Target::Never, .. }] => Reason::ChanSendNil,
        [Case { dir: Dir::Recv, target: Target::Never, .. }] => Reason::ChanReceiveNil,
        [Case { dir: Dir::Send, .. }] => Reason::ChanSend,
        [Case { dir: Dir::Recv, .. }] => Reason::ChanReceive,
        [] => Reason::SelectNoCases,
        _ => Reason::Select,
    }
}

/// Pass 3: leaves the queues. How the wait has ended, if it has, and the number in the sudog of its arm.
///
/// # Safety
/// `wait` is the caller's, and so are the sudogs, which were queued by [`Selectgo::queue`].
unsafe fn unqueue(cases: &[Case<'_>], sgs: *const Sudog, wait: *const Wait) -> Option<(Done, u64)> {
    // SAFETY: the caller's contract. Once the wait is over, or the sudogs are on no queue, they are the caller's alone.
    unsafe {
        let done = (*wait).done();
        for (arm, case) in cases.iter().enumerate() {
            // Who ended the wait has taken the sudog of its arm off.
            if done.is_none_or(|done| usize::from(done.arm) != arm) {
                if let Target::Chan(chan) = case.target {
                    chan.dequeue(sgs.add(arm));
                }
            }
        }
        // Nobody can claim the wait any more, and who had claimed it has ended it under a lock that we have held since.
        let done = if cfg!(gochan_bug = "end_missed_in_pass_3") { done? } else { done.or_else(|| (*wait).done())? };
        Some((done, (*sgs.add(usize::from(done.arm))).number.get()))
    }
}

/// What an arm has got when its wait was ended; `None`: nothing, look again.
fn fired(cases: &[Case<'_>], (Done { outcome, arm }, number): (Done, u64)) -> Option<(usize, Fired)> {
    let case = usize::from(arm);
    let fired = match outcome {
        Outcome::Completed => Fired::Received(number),
        // Of several arms that a close has made possible, this one is the first only by chance.
        Outcome::Closed if cases.len() > 1 => return None,
        Outcome::Closed if cases[case].dir == Dir::Recv => Fired::Closed,
        _ => Fired::Promised(Promised::by(outcome, number)?),
    };
    Some((case, fired))
}

/// No arm has fired in a round.
enum Again {
    /// Something has happened: another round.
    Now,
    /// The time is over.
    Never,
}

impl<'c> Selectgo<'c> {
    #[inline]
    fn new(cases: &'c [Case<'c>], biased: bool, patience: Patience, at: &'static Location<'static>) -> Self {
        Self {
            cases,
            room: None,
            order: Order::new(cases.len(), biased),
            at,
            patience,
            deadline: None,
            nonblocking: matches!(patience, Patience::Try),
            now: None,
            seen: 0,
        }
    }

    /// The quick part of pass 0, whose beginning were the first glances.
    ///
    /// # Safety
    /// As for [`selectgo`].
    unsafe fn glances_after(&mut self, first: &First) -> Glances {
        let k = match first.before {
            None => {
                self.order.begin_with(first.case);
                0
            }
            Some((before, stamp)) => {
                self.add_seen(stamp);
                self.order.begin_with(before);
                self.order.go_on_with(first.case);
                1
            }
        };
        match first.glance {
            Some(Glance::Locked) => return Glances::Locked(k),
            Some(Glance::Nothing(stamp)) => self.add_seen(stamp),
            _ => {}
        }
        // SAFETY: the caller's contract.
        unsafe { self.glances(k + 1) }
    }

    /// Rounds after the first glances.
    ///
    /// # Safety
    /// As for [`selectgo`].
    #[cold]
    unsafe fn go_on(&mut self, glances: Glances) -> Option<(usize, Fired)> {
        let looks_again = matches!(glances, Glances::Nothing) && !self.nonblocking && self.look_ahead();
        // SAFETY: the caller's contract.
        let mut pass = unsafe { if looks_again { self.pass0() } else { self.look(glances) } };
        loop {
            // SAFETY: the caller's contract.
            match unsafe { self.round(pass) } {
                Ok((case, fired, ready)) => {
                    let panic = ready.try_fire();
                    if !panic.is_nobody() {
                        // SAFETY: what was received is in the room, and nobody will look there any more.
                        unsafe { self.cases[case].target.give_up(fired, self.room(&self.cases[case])) };
                        panic.fire();
                    }
                    return Some((case, fired));
                }
                Err(Again::Never) => return None,
                // SAFETY: the caller's contract.
                Err(Again::Now) => pass = unsafe { self.pass0() },
            }
        }
    }

    /// Nothing is possible now; where there are buffers, something may be in a moment. True if it seems to be.
    fn look_ahead(&self) -> bool {
        let are_ready = |case: &Case<'_>| case.target.as_chan().map_or(0, |chan| chan.are_ready(case.dir));
        let alone = self.cases.len() == 1;
        let mut chans = self.cases.iter().filter_map(|case| Some((case.target.as_chan()?, case.dir)));
        let Some((chan, _)) = chans.find(|(chan, dir)| chan.pays_to_look_ahead(*dir, alone)) else { return false };
        chan.look_ahead(&|| self.cases.iter().map(are_ready).find(|many| *many > 0).unwrap_or(0))
    }

    /// What follows a pass 0.
    ///
    /// # Safety
    /// As for [`selectgo`].
    unsafe fn round(&mut self, pass: Pass) -> Result<(usize, Fired, Ready), Again> {
        match pass {
            Pass::Fired(case, fired, ready) => return Ok((case, fired, ready)),
            // SAFETY: the channel is locked and the sender was claimed.
            Pass::Lazy(case, sender) => return unsafe { self.meet(case, sender) },
            Pass::Crowded(case) => {
                self.help(case);
                return Err(Again::Now);
            }
            Pass::Nothing if self.nonblocking && self.is_unchanged() => return Err(Again::Never),
            Pass::Nothing => {}
        }
        let mut held = Held::none();
        held.lock(self.cases);
        // SAFETY: all channels are locked.
        match unsafe { self.pass1(&mut held) } {
            Pass::Fired(case, fired, ready) => return Ok((case, fired, ready)),
            Pass::Lazy(case, sender) => {
                held.release(self.cases[case].target.address());
                // SAFETY: the channel is locked and the sender was claimed.
                return unsafe { self.meet(case, sender) };
            }
            Pass::Crowded(case) => {
                drop(held);
                self.help(case);
                return Err(Again::Now);
            }
            Pass::Nothing if self.nonblocking => return Err(Again::Never),
            Pass::Nothing => {}
        }
        let deadline = self.deadline();
        // Under loom every deadline has passed, and withdrawing is what it is to look at.
        if deadline.is_some_and(is_over) && cfg!(not(gochan_loom)) {
            return Err(Again::Never);
        }
        // SAFETY: all channels are locked.
        unsafe { self.park(&mut held, deadline) }
    }

    fn room(&self, case: &Case<'_>) -> *mut () {
        self.room.unwrap_or(case.room)
    }

    fn deadline(&mut self) -> Option<Instant> {
        *self.deadline.get_or_insert_with(|| self.patience.deadline())
    }

    /// Has nothing happened on any channel since pass 0 found nothing there? Then there was a moment, the one at which it
    /// had read the last stamp, at which nothing was possible anywhere.
    fn is_unchanged(&self) -> bool {
        let mut sum = 0_u64;
        for case in self.cases {
            match case.target {
                Target::Never => {}
                Target::Chan(chan) => sum = sum.wrapping_add(chan.stamp()),
                Target::Timer(timer) if timer.is_due() => return false,
                Target::Timer(_) => {}
            }
        }
        sum == self.seen || cfg!(gochan_bug = "default_not_exact")
    }

    fn now(&mut self) -> Instant {
        *self.now.get_or_insert_with(Instant::now)
    }

    /// Pass 0: looks at the arms one after the other, without waiting for any.
    ///
    /// # Safety
    /// As for [`selectgo`].
    unsafe fn pass0(&mut self) -> Pass {
        self.now = None;
        self.seen = 0;
        // SAFETY: the caller's contract.
        unsafe {
            let glances = self.glances(0);
            self.look(glances)
        }
    }

    /// The quick part of pass 0, from the `k`th arm on.
    ///
    /// # Safety
    /// As for [`selectgo`].
    #[inline]
    unsafe fn glances(&mut self, k: usize) -> Glances {
        for k in k..self.cases.len() {
            let i = self.order.pick(k);
            let case = &self.cases[i];
            let glance = match case.target {
                Target::Never => continue,
                // SAFETY: the room is the caller's.
                Target::Chan(chan) => unsafe { chan.glance(case.dir, self.room(case)) },
                Target::Timer(timer) => glance_at_timer(timer, self.now(), self.room(case)),
            };
            match (&glance, glance.fired()) {
                (_, Some(fired)) => return Glances::Fired(i, fired),
                (Glance::Nothing(word), _) => self.add_seen(*word),
                _ => return Glances::Locked(k),
            }
        }
        Glances::Nothing
    }

    fn add_seen(&mut self, word: u64) {
        self.seen = self.seen.wrapping_add(word);
    }

    /// The rest of pass 0.
    ///
    /// # Safety
    /// As for [`selectgo`]; nothing has happened since the glances.
    #[inline(always)]
    unsafe fn look(&mut self, mut glances: Glances) -> Pass {
        loop {
            let k = match glances {
                Glances::Nothing => return Pass::Nothing,
                Glances::Fired(case, fired) => return Pass::Fired(case, fired, Ready::NOBODY),
                Glances::Locked(k) => k,
            };
            let i = self.order.picked(k);
            let Case { target, dir, .. } = self.cases[i];
            let room = self.room(&self.cases[i]);
            let chan = target.as_chan().expect("a channel that is locked");
            // SAFETY: the glance has locked it, and the room is the caller's.
            match unsafe { chan.look_closer(dir, room, self.nonblocking) } {
                Attempt::Nothing(word) => self.add_seen(word),
                attempt => return Pass::from((i, attempt)),
            }
            // SAFETY: the caller's contract.
            glances = unsafe { self.glances(k + 1) };
        }
    }

    /// Pass 1: looks for something that is possible now, with all channels locked.
    ///
    /// # Safety
    /// As for [`selectgo`]; `held` are all channels.
    unsafe fn pass1(&mut self, held: &mut Held<'_>) -> Pass {
        self.now = None;
        for k in 0..self.cases.len() {
            let i = self.order.picked(k);
            let Case { target, dir, .. } = self.cases[i];
            let room = self.room(&self.cases[i]);
            let attempt = match target {
                Target::Never => continue,
                // SAFETY: the channel is locked, and the room is the caller's.
                Target::Chan(chan) => unsafe {
                    chan.attempt(dir, room, self.nonblocking, &mut || held.release(target.address()))
                },
                Target::Timer(timer) => match glance_at_timer(timer, self.now(), room).fired() {
                    Some(fired) => Attempt::Fired(fired, Ready::NOBODY),
                    None => continue,
                },
            };
            if !matches!(attempt, Attempt::Nothing(_)) {
                return Pass::from((i, attempt));
            }
        }
        Pass::Nothing
    }

    /// Those who came first go first.
    fn help(&self, case: usize) {
        if let Some(chan) = self.cases[case].target.as_chan() {
            chan.help();
        }
    }

    fn chans(&self) -> impl Iterator<Item = &dyn crate::chan::arm::Selectable> {
        self.cases.iter().filter_map(|case| case.target.as_chan())
    }

    /// When to look again: a timer is due, or the time is over.
    fn limit(&self, deadline: Option<Instant>) -> Option<Instant> {
        self.cases.iter().fold(deadline, |limit, case| sooner(limit, case.target.due()))
    }

    /// The same for who has found a sender whose value is being evaluated: what is over already is passed by, for an end
    /// that is certain.
    fn limit_of_meeting(&mut self) -> Option<Instant> {
        let (deadline, now) = (self.deadline(), Instant::now());
        // Under loom every deadline has passed, and withdrawing is what it is to look at.
        let comes = |when: &Instant| *when > now || cfg!(gochan_loom);
        let dues = self.cases.iter().map(|case| case.target.due().filter(comes));
        dues.fold(deadline.filter(comes), sooner)
    }

    /// Parks until an arm has fired, or there is something to look at.
    ///
    /// # Safety
    /// As for [`selectgo`]; `held` are all channels.
    unsafe fn park(&mut self, held: &mut Held<'_>, deadline: Option<Instant>) -> Result<(usize, Fired, Ready), Again> {
        let limit = self.limit(deadline);
        let wait = Wait::of_caller(reason(self.cases), self.at);
        let mut sgs = SmallVec::<[MaybeUninit<Sudog>; INLINE]>::with_capacity(self.cases.len());
        // From here on the sudogs are reached by raw pointers only.
        let sgs = sgs.as_mut_ptr().cast::<Sudog>();
        // SAFETY: all channels are locked; the sudogs stay in this frame until `unqueue`.
        let panic = unsafe { self.queue(held, &raw const wait, sgs, false) }.try_fire();
        let spin = Spin::none();
        let spin = self.chans().next().map_or(&spin, |chan| chan.spin());
        let activity = || Activity::without_end(self.chans().map(|chan| chan.stamp()).sum());
        let register = || self.chans().for_each(|chan| chan.register());
        if panic.is_nobody() {
            wait.park(limit, spin, &activity, register);
        }
        // SAFETY: queued above.
        let ended = unsafe { unqueue(self.cases, sgs, &raw const wait) };
        wait.over();
        self.after_park(ended, deadline, panic)
    }

    /// Pass 2: queues on all channels, and unlocks them.
    ///
    /// # Safety
    /// `held` are all channels. `sgs` is room for a sudog per arm; they, and `wait`, stay where they are until
    /// [`unqueue`].
    unsafe fn queue(&mut self, held: &mut Held<'_>, wait: *const Wait, sgs: *mut Sudog, polled: bool) -> Ready {
        // In the order of the passes, so that of two arms on one channel neither is always the first.
        for arm in (0..self.cases.len()).map(|k| self.order.picked(k)) {
            let Case { target, dir, .. } = self.cases[arm];
            let room = self.room(&self.cases[arm]);
            let mut sg = Sudog::new(wait, arm as u16, if dir == Dir::Recv { room } else { ptr::null_mut() });
            sg.polled = polled && dir == Dir::Send;
            // SAFETY: the caller's contract.
            unsafe {
                sgs.add(arm).write(sg);
                if let Target::Chan(chan) = target {
                    chan.enqueue(dir, sgs.add(arm));
                }
            }
        }
        held.leave()
    }

    /// A receiving arm has found a sender without a value: waits for the value.
    ///
    /// # Safety
    /// The arm's channel is locked, no other is, and the sender was claimed since.
    unsafe fn meet(&mut self, case: usize, sender: *const Sudog) -> Result<(usize, Fired, Ready), Again> {
        let Target::Chan(chan) = self.cases[case].target else { unreachable!("a channel's sender") };
        let room = self.room(&self.cases[case]);
        let wait = Wait::of_caller(Reason::Select, self.at);
        let mut sg = Sudog::new(&raw const wait, case as u16, room);
        sg.nonblocking = true;
        let sg = &raw const sg;
        // SAFETY: the caller's contract; the sudog stays in this frame until it is withdrawn.
        let panic = unsafe { chan.meet(sg, sender) }.try_fire();
        // A select that does not want to wait waits here all the same.
        let limit = if self.nonblocking { None } else { self.limit_of_meeting() };
        let deadline = if self.nonblocking { None } else { self.deadline() };
        let activity = || Activity::without_end(chan.stamp());
        let done = if panic.is_nobody() { wait.park(limit, chan.spin(), &activity, || chan.register()) } else { None };
        let done = done.or_else(|| {
            // SAFETY: queued above.
            unsafe { chan.dequeue(sg) };
            wait.done()
        });
        wait.over();
        // SAFETY: the wait is over.
        self.after_park(done.map(|done| (done, unsafe { (*sg).number.get() })), deadline, panic)
    }

    /// How a wait that is over has ended. A waker that panicked has ended it, too.
    fn after_park(
        &mut self,
        ended: Option<(Done, u64)>,
        deadline: Option<Instant>,
        panic: Ready,
    ) -> Result<(usize, Fired, Ready), Again> {
        if let Some(ended) = ended {
            return match fired(self.cases, ended) {
                Some((case, fired)) => Ok((case, fired, panic)),
                None => {
                    panic.fire();
                    Err(Again::Now)
                }
            };
        }
        panic.fire();
        if deadline.is_some_and(|deadline| cfg!(gochan_loom) || is_over(deadline)) {
            // A last look: what is possible now is done.
            self.nonblocking = true;
        }
        Err(Again::Now)
    }
}
