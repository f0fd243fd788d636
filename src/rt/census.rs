//! Who lives on the workers: asked by mail, answered by each between two goroutines.
//!
//! A worker alone knows its residents, so it is asked, and says what it sees a few hundred at a time, so that nobody waits for
//! the count. It goes through them from the last to the first: whoever takes the place of one who has ended comes from behind,
//! so nobody is missed who stays; some may be seen twice.
//!
//! A goroutine that waits can be resumed to show its stack, by its worker as everybody is. It captures it where it waits, and
//! switches out again. Its wait stays queued. A wake-up that arrives meanwhile is in a queue, or in the mail, of this worker,
//! which is busy; so the goroutine finds it where it would have found it otherwise. Of one that the asker runs on, nobody can be
//! resumed before that is switched out.
//!
//! A worker that does not answer runs something. Which goroutine or task that is stands in two words that are written at every
//! switch; a name is looked up by number, so that only who has one pays for it.

use super::current::{current_goroutine, current_identity, current_worker, running};
use super::g::{G, Identity};
use super::latch::Latch;
use super::mail::{Mail, Remote};
use super::runtime::Shared;
use super::slab::room_below;
use super::worker::Worker;
use crate::debug::{Census, Kind, Routine, Stack, State, Waits};
use crate::park::{Reason, Resumed, scheduler};
use std::backtrace::Backtrace;
use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::panic::Location;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// So long an answer is waited for, of a worker that runs something and makes no turn meanwhile.
const PATIENCE: Duration = Duration::from_millis(10);
/// And of one that runs nothing: the system does not let it, or its thread has ended.
const LOST: Duration = Duration::from_millis(200);
/// And of all that make turns.
const LONGEST: Duration = Duration::from_secs(10);
/// Residents that are looked at in one turn: with their stacks some 20 us each.
const AT_A_TIME: usize = 256;
const STACKS_AT_A_TIME: usize = 8;
/// What a stack must have left for it to be shown: more than capturing it takes (`src/rt/tests/stack.rs` looks how much).
pub(super) const ROOM: usize = 16 << 10;

/// The runtimes that have not ended.
static RUNTIMES: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());
/// Goroutines that have a name.
static NAMES: Mutex<BTreeMap<NonZeroU64, Arc<str>>> = Mutex::new(BTreeMap::new());

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A runtime begins.
pub(super) fn enter(shared: &Arc<Shared>) {
    let mut runtimes = lock(&RUNTIMES);
    runtimes.retain(|runtime| runtime.strong_count() > 0);
    runtimes.push(Arc::downgrade(shared));
}

/// A goroutine has a name, as long as its record lives.
#[cold]
pub(super) fn enter_name(id: NonZeroU64, name: &Arc<str>) {
    lock(&NAMES).insert(id, name.clone());
}

#[cold]
pub(super) fn leave_name(id: NonZeroU64) {
    let name = lock(&NAMES).remove(&id);
    drop(name);
}

pub(super) fn name_of(id: u64) -> Option<Arc<str>> {
    lock(&NAMES).get(&NonZeroU64::new(id)?).cloned()
}

/// The identity of a goroutine by its name in a wait.
///
/// # Safety
/// It has not ended, and does not until this returns.
pub(crate) unsafe fn identity_of(g: NonNull<()>) -> Identity {
    // SAFETY: the caller's contract; the name is the record's address.
    unsafe { g.cast::<G>().as_ref() }.identity.clone()
}

/// What is asked of all workers.
struct Question {
    with_stacks: bool,
    found: Mutex<Vec<Routine>>,
    /// What the wakers of goroutines that await point to.
    wakers: Mutex<Vec<(usize, u64)>>,
    /// Which workers have answered, and how many have not.
    answered: Box<[AtomicBool]>,
    left: AtomicUsize,
    all_answered: Latch,
}

/// What one worker is asked. Dropped, it is answered.
pub(super) struct Ask {
    census: Arc<Question>,
    worker: usize,
    /// How far the worker has come; `None` at the beginning.
    from: Option<usize>,
}

impl Drop for Ask {
    fn drop(&mut self) {
        self.census.answered[self.worker].store(true, Ordering::Relaxed);
        // Release: who sees the last answer sees all.
        if self.census.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            if let Ok(ready) = self.census.all_answered.set() {
                ready.fire();
            }
        }
    }
}

impl Question {
    fn is_over(&self) -> bool {
        self.left.load(Ordering::Acquire) == 0
    }

    /// Waits for the answers until `deadline`.
    fn wait(&self, deadline: Instant) {
        if may_not_park() {
            // The thread waits: not for long.
            while !self.is_over() && Instant::now() < deadline {
                thread::sleep(Duration::from_micros(50));
            }
            return;
        }
        super::shielded(|| self.all_answered.wait(Reason::Join, Location::caller(), Some(deadline)));
    }
}

/// In a poll nobody may park; and in a panic hook a neighbour could panic in turn, which the standard library takes for a panic
/// in the hook.
fn may_not_park() -> bool {
    thread::panicking() || scheduler().is_some_and(|scheduler| scheduler.polling)
}

/// Asks all workers of all runtimes. What they have not answered in time is not waited for.
pub(crate) fn census(with_stacks: bool) -> Census {
    let runtimes: Vec<Arc<Shared>> =
        lock(&RUNTIMES).iter().filter_map(Weak::upgrade).filter(|shared| !shared.has_ended()).collect();
    let workers: Vec<&'static Remote> = runtimes.iter().flat_map(|shared| shared.workers()).copied().collect();
    let census = Arc::new(Question {
        with_stacks,
        // Room for all, so that no worker has to make it.
        found: Mutex::new(Vec::with_capacity(workers.iter().map(|worker| worker.residents()).sum())),
        wakers: Mutex::default(),
        answered: workers.iter().map(|_| AtomicBool::new(false)).collect(),
        left: AtomicUsize::new(workers.len()),
        all_answered: Latch::new(),
    });
    // Who asks runs, and keeps its worker from answering.
    let (here, me) = (current_worker(), current_identity().map(NonZeroU64::get));
    let parks = with_stacks && current_goroutine().is_some() && !may_not_park();
    let mut turns: Vec<_> = workers.iter().map(|worker| worker.turn()).collect();
    for (at, worker) in workers.iter().enumerate() {
        let ask = Ask { census: census.clone(), worker: at, from: None };
        match here.filter(|here| ptr::eq(here.remote, *worker) && !parks) {
            // It does not come to its mail before this is over.
            Some(here) => here.answer_now(ask),
            None => worker.post(Mail::Census(ask)),
        }
    }
    let start = Instant::now();
    loop {
        census.wait(Instant::now() + PATIENCE);
        let is_lost =
            |at: usize| start.elapsed() >= LOST && workers[at].turn() == turns[at] && !workers[at].is_asleep();
        let is_stuck = |at: usize| workers[at].runs_since(turns[at]).is_some() || is_lost(at);
        let has_answered = |at: usize| census.answered[at].load(Ordering::Relaxed);
        if (0..workers.len()).all(|at| has_answered(at) || is_stuck(at)) || start.elapsed() >= LONGEST {
            break;
        }
        turns.iter_mut().zip(&workers).for_each(|(turn, worker)| *turn = worker.turn());
    }
    let (mut routines, mut wakers) =
        (std::mem::take(&mut *lock(&census.found)), std::mem::take(&mut *lock(&census.wakers)));
    for routine in routines.iter_mut().filter(|routine| me.is_some() && routine.id == me) {
        (routine.state, routine.waits) = (State::Running, None);
    }
    let mut seen = Vec::new();
    for (number, shared) in runtimes.iter().enumerate() {
        let its = shared.workers().iter().zip(turns.iter().skip(seen.len()));
        let mut its: Vec<_> =
            its.enumerate().map(|(index, (worker, turn))| worker.look(number, index, *turn)).collect();
        let is_polled = |id| me == Some(id) || its.iter().any(|worker| worker.busy_with == Some((Kind::Task, id)));
        shared.tasks.look(|identity, state, waker| {
            wakers.push((waker, identity.id()));
            let state = if is_polled(identity.id()) { State::Running } else { state };
            routines.push(identity.seen(Kind::Task, state, None));
        });
        for worker in &mut its {
            let Some((kind, id)) = worker.busy_with else { continue };
            let (name, spawned_at) = (name_of(id), worker.busy_with_spawned_at);
            let (id, parent, state, waits, stack) = (Some(id), None, State::Running, None, None);
            routines.push(Routine { kind, id, parent, name, spawned_at, state, waits, stack });
            if me == id {
                (worker.busy_with, worker.busy_with_spawned_at) = (None, None);
            }
        }
        seen.extend(its);
    }
    Census { routines, workers: seen, wakers }
}

impl Worker {
    /// Says what it sees of its residents, and posts itself the rest.
    pub(super) fn answer(&self, mut ask: Ask) {
        if let Some(next) = self.answer_some(&ask) {
            ask.from = Some(next);
            self.remote.post(Mail::Census(ask));
        }
    }

    /// Says all at once: the running goroutine's, who would wait for the rest in vain.
    fn answer_now(&self, mut ask: Ask) {
        while let Some(next) = self.answer_some(&ask) {
            ask.from = Some(next);
        }
    }

    /// The next few of its residents; where to go on, if there are more.
    fn answer_some(&self, ask: &Ask) -> Option<usize> {
        let with_stacks = ask.census.with_stacks && self.current.get().is_null();
        let (begin, some) = {
            let residents = self.residents.borrow();
            let end = ask.from.unwrap_or(residents.len()).min(residents.len());
            let begin = end.saturating_sub(if with_stacks { STACKS_AT_A_TIME } else { AT_A_TIME });
            (begin, residents[begin..end].to_vec())
        };
        let (mut found, mut wakers) = (Vec::with_capacity(some.len()), Vec::new());
        if ask.from.is_none() {
            self.look_at_fresh(&mut found);
        }
        for g in some.iter().map(|body| body.g()) {
            let stack = with_stacks.then(|| self.inspect(g)).flatten();
            let routine = Routine { stack, ..self.look(g) };
            if routine.waits.as_ref().is_some_and(|waits| waits.reason == Reason::Await) {
                wakers.push((g.own.awaits.get().addr(), g.identity.id()));
            }
            found.push(routine);
        }
        lock(&ask.census.found).append(&mut found);
        lock(&ask.census.wakers).append(&mut wakers);
        (begin > 0).then_some(begin)
    }

    /// Who has not started yet, if they are not too many.
    fn look_at_fresh(&self, found: &mut Vec<Routine>) {
        self.fresh.each_fresh(AT_A_TIME, |fresh| {
            found.push(fresh.identity().seen(Kind::Goroutine, State::Runnable, None));
        });
        // Whoever has looked meanwhile may have gone to sleep.
        if self.fresh.len() > 1 {
            self.shared.wakep();
        }
    }

    /// Resumes a goroutine that waits to show its stack. Called on the worker's own.
    fn inspect(&self, g: &G) -> Option<Stack> {
        let wait = g.own.wait.get();
        // The wait is in one of its last frames.
        if wait.is_null() || room_below(wait.addr()) < ROOM {
            return None;
        }
        g.own.resumed.set(Resumed::Inspected);
        // Straight back.
        self.hops.set(0);
        self.execute(g);
        self.shown.take().map(Stack::new)
    }

    fn look(&self, g: &G) -> Routine {
        let wait = g.own.wait.get();
        // SAFETY: it is switched out, and the wait is in its frame.
        let wait = (!wait.is_null()).then(|| unsafe { (*wait).look() });
        let (state, waits) = match wait {
            _ if ptr::eq(self.current.get(), g) => (State::Running, None),
            // Others have had their turn, or the wait has ended.
            None | Some(None) => (State::Runnable, None),
            Some(Some(seen)) => {
                let (reason, at, has_deadline) = (seen.reason, seen.at, seen.timed);
                let since = seen.since.unwrap_or_default();
                (State::Waiting, Some(Waits { reason, at, since, has_deadline, on: Vec::new(), key: seen.wait }))
            }
        };
        g.identity.seen(Kind::Goroutine, state, waits)
    }
}

/// The goroutine that runs here was resumed to show its stack.
pub(super) fn show_stack() {
    let (worker, _) = running();
    worker.shown.set(Some(Backtrace::force_capture()));
}

impl Identity {
    fn seen(&self, kind: Kind, state: State, waits: Option<Waits>) -> Routine {
        let origin = self.origin();
        let (id, parent, name, spawned_at) = (Some(self.id()), origin.parent, origin.name, origin.spawned_at);
        Routine { kind, id, parent, name, spawned_at, state, waits, stack: None }
    }
}
