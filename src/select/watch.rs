//! Select::ready: waits until an operation is possible, and does none.

use super::{Case, INLINE};
use crate::chan::arm::{Dir, Target};
use crate::chan::handshake::{WATCH_RECV, WATCH_SEND};
use crate::chan::hchan::Patience;
use crate::chan::timer::sooner;
use crate::chan::waitq::Sudog;
use crate::park::{Reason, Spin, Wait};
use crate::select::order::Order;
use smallvec::SmallVec;
use std::panic::Location;
use std::ptr;
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
        let mut order = Order::new(cases.len(), biased);
        if let Some(case) = (0..cases.len()).map(|k| order.pick(k)).find(|&case| is_ready(&cases[case])) {
            return Some(case);
        }
        let deadline = match patience {
            Patience::Try => return None,
            _ => *deadline.get_or_insert_with(|| patience.deadline()),
        };
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return None;
        }
        if let Some(case) = watch(cases, deadline, at) {
            return Some(case);
        }
    }
}

fn is_ready(case: &Case<'_>) -> bool {
    match case.target {
        Target::Never => false,
        Target::Chan(chan) => chan.is_ready(case.dir),
        Target::Timer(timer) => timer.is_due(),
    }
}

/// Waits until told that an arm is ready. `None`: look again.
fn watch(cases: &[Case<'_>], deadline: Option<Instant>, at: &'static Location<'static>) -> Option<usize> {
    let wait = Wait::of_caller(Reason::Select, at);
    let sudog = |(arm, case): (usize, &Case<'_>)| {
        let mut sg = Sudog::new(&raw const wait, arm as u16, ptr::null_mut());
        sg.interest = if case.dir == Dir::Send { WATCH_SEND } else { WATCH_RECV };
        sg
    };
    let sgs: SmallVec<[Sudog; INLINE]> = cases.iter().enumerate().map(sudog).collect();
    // From here on the sudogs are reached by raw pointers only.
    let sgs = sgs.as_ptr();
    let chans = || cases.iter().enumerate().filter_map(|(arm, case)| Some((arm, case.target.as_chan()?)));
    let mut queued = 0;
    // SAFETY: the sudogs stay in this frame until they are taken off below.
    let at_once = chans().find(|&(arm, chan)| {
        queued = arm;
        // SAFETY: as above.
        unsafe { !chan.watch(sgs.add(arm)) }
    });
    let done = if at_once.is_none() {
        let limit = cases.iter().fold(deadline, |limit, case| sooner(limit, case.target.due()));
        let spin = Spin::none();
        let spin = chans().next().map_or(&spin, |(_, chan)| chan.spin());
        wait.park(limit, spin, || chans().for_each(|(_, chan)| chan.register()))
    } else {
        None
    };
    for (arm, chan) in chans().take_while(|&(arm, _)| arm <= queued) {
        // SAFETY: queued above, or on no queue.
        unsafe { chan.dequeue(sgs.add(arm)) };
    }
    let done = done.or_else(|| wait.done());
    wait.over();
    done.map(|done| usize::from(done.arm)).or(at_once.map(|(arm, _)| arm))
}
