//! The worker: a thread that runs goroutines and tasks. Go's M and P in one.
//!
//! What it may run, in the order in which it looks:
//! - `runnext`, the goroutine that was readied last from here: it uses what its waker has just touched. (A sender that is rid of its
//!   value takes nobody's place: values that are on their way go first.) Chains of it are capped, or two goroutines that ready
//!   each other would keep all others out. It comes second for a moment where closures start and end in a row
//!   ([`Worker::goes_on_in_a_row`]).
//! - `ready`: started goroutines, in order. Only this worker can run them, so neither queue needs an atomic.
//! - `fresh`: closures and tasks, which other workers may steal (see `queue`).
//! - the injector, what other workers have, and then sleep.
//!
//! Before all of these come timers that are due, and the inbox, through which goroutines come that are readied elsewhere.
//!
//! **Nobody sleeps beside work.** Who makes work first makes it visible, then (after a sequentially consistent fence) looks
//! for sleepers. Who goes to sleep first says that he sleeps, then (after such a fence) looks for work. One of the two sees
//! the other. Of several sleepers one is woken at a time, and wakes the next if it finds work (`wakep`). The one fresh
//! closure that a worker will start next is not work for others, unless it is stuck: chains in which each goroutine starts
//! the next stay where they are.
//!
//! **Where goroutines live.** Once started they stay, so they are spread when they start: a worker that has a burst of fresh
//! work and more residents than another sends half of the surplus there. Always in one piece, for neighbours in a burst talk
//! to each other. Whoever starts one after the other makes no burst: those go to a worker that sleeps while many wait for
//! their turn here ([`Worker::relief`]).

use super::bridge::Polling;
use super::current::{self, SLICE};
use super::g::{Body, Fresh, G, Identity};
use super::mail::{Mail, Remote, count};
use super::prefetch::Recent;
use super::queue::Queue;
use super::ready::Ready;
use super::record::{Records, Ref};
use super::runtime::{Shared, until_known};
use super::stack::{Stack, StackError, Stacks};
use super::switch::{Outside, forget_registers};
use super::task;
use crate::park::{Resumed, Scheduler, look_at_clock};
use crate::primitive::pause;
use parking::Parker;
use smallvec::SmallVec;
use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::ptr;
use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Hops from one runnext to the next before somebody looks whether the others are to have their turn: a look at the clock.
pub(super) const CHAIN_PER_CLOCK: u32 = if cfg!(gochan_bug = "runnext_starvation") { u32::MAX } else { 32 };
/// Goroutines that start and end in a row before whoever waits for one of them has his turn: he may wait for all of them.
const LONGEST_ROW: u32 = 32;
/// If such rows begin at this distance at most.
const BRISK: Duration = Duration::from_micros(50);
/// A row goes on for so long,
const ROW: Duration = Duration::from_micros(10);
/// which is looked at between so many.
const ROW_PER_CLOCK: u32 = 8;
/// Turns between two looks at the clock while there is work and somebody waits for a moment,
const TURNS_PER_CLOCK: u32 = 16;
/// or while nobody does, and the last turns took no longer than this, by a clock that goes by the kernel's ticks: a look, and the way to the
/// worker's loop, are as dear as a hop or two.
const TURNS_PER_CLOCK_BRISK: u32 = 64;
const BRISK_TURNS: Duration = Duration::from_micros(50);
/// Turns between two looks at fresh work before started goroutines: Go's prime.
const TURNS_PER_FRESH: u32 = 61;
/// Looks for work before sleeping: a few microseconds, in which a peer that is awake answers.
const LOOKS: u32 = 64;
/// The same beside a worker that has fresh work and is busy with something else: some 100 us, in which whoever starts many
/// goroutines comes to where the burst is shared in one piece.
const PATIENT_LOOKS: u32 = 1000;
/// So many of either looks are at its own inbox only, but for one, and the first: each look at another worker takes a cache line from that.
const LOOKS_PER_LOOK_AT_OTHERS: u32 = 8;
/// Looks at the inbox before sleeping, of a worker to which a goroutine has come that way since it last slept: some 20 us.
/// That is what waking it costs.
const MAIL_LOOKS: u32 = 250;
/// Half as many after each time that they were in vain, down to a 32nd, but for each 16th time: where workers have no cores of their own,
/// whoever looks keeps those from running for whom he looks.
const VAIN_HALVES: u32 = 5;
const VAIN_TIMES: u32 = 16;
/// So many others are looked at for that.
const SEEN: usize = 8;
/// So many goroutines that wait for their turn are too many, if another worker sleeps.
const BACKLOG: usize = 8;
/// Closures between which there are fewer turns are a burst, which is shared when it runs.
const TURNS_PER_BURST: u32 = 32;
/// By so many residents workers may differ before a burst is shared.
const SLACK: usize = 4;

/// What any worker may take.
pub(super) enum Work {
    Fresh(Fresh),
    Task(async_task::Runnable),
}

impl Work {
    /// It is not run any more.
    pub(super) fn forsake(self) {
        match self {
            Self::Fresh(fresh) => drop(fresh),
            Self::Task(runnable) => task::forsake(runnable),
        }
    }
}

/// A goroutine's deadline: the moment, and a number that tells those of one moment apart.
pub(super) type Timer = (Instant, u64);

/// What a worker is made of, and what others know of it.
pub(super) struct Parts {
    fresh: Queue,
    parker: Parker,
    pub(super) remote: &'static Remote,
    scheduler: &'static Scheduler,
}

/// Those of workers that have ended: whoever has a remote's name may use it later than that. Of workers that were not alone in
/// their runtime, and of those that were.
static SPARE: [Mutex<Vec<Parts>>; 2] = [const { Mutex::new(Vec::new()) }; 2];

impl Parts {
    /// For the only worker of a runtime, or for one of several.
    pub(super) fn new(alone: bool) -> Self {
        let spare = SPARE[usize::from(alone)].lock().unwrap_or_else(PoisonError::into_inner).pop();
        spare.unwrap_or_else(|| {
            let (fresh, parker) = (Queue::new(alone), Parker::new());
            let remote = Remote::create(parker.unparker(), fresh.stealers());
            // As long-lived: whoever readies a goroutine goes by it.
            Self { fresh, parker, remote, scheduler: Box::leak(Box::new(current::scheduler_of(remote))) }
        })
    }

    /// For the next worker.
    fn give_back(self) {
        self.remote.reset();
        SPARE[usize::from(self.fresh.is_alone())].lock().unwrap_or_else(PoisonError::into_inner).push(self);
    }
}

/// A worker, as its own thread sees it.
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) remote: &'static Remote,
    /// What it is to its goroutines.
    pub(super) scheduler: &'static Scheduler,
    pub(super) fresh: Queue,
    pub(super) runnext: Cell<*const G>,
    pub(super) ready: Ready,
    /// Who waits for what moment; each is taken out by its goroutine, or fires.
    pub(super) timers: RefCell<BTreeMap<Timer, *const G>>,
    timer_count: Cell<u64>,
    /// The running goroutine.
    pub(super) current: Cell<*const G>,
    /// Who was readied last after a long time.
    pub(super) recent: Recent,
    /// Who runs: the goroutine, or the task that is polled.
    pub(super) identity: Cell<*const Identity>,
    /// Where its loop goes on when the running goroutine stops.
    pub(super) outside: Outside,
    parker: Parker,
    pub(super) stacks: RefCell<Stacks>,
    /// The stack that a goroutine was resumed to show.
    pub(super) shown: Cell<Option<Backtrace>>,
    pub(super) records: Records,
    /// Room for the next mail.
    mail: RefCell<Vec<Mail>>,
    /// Started goroutines that have not ended.
    pub(super) residents: RefCell<Vec<Ref<dyn Body>>>,
    /// Hops from one runnext to the next since the others had their turn, or since the last look at the clock.
    pub(super) chain: Cell<u32>,
    /// When it was first looked at for those that hop.
    pub(super) chain_began: Cell<Option<Instant>>,
    /// Whoever ran last has ended.
    pub(super) has_ended_one: Cell<bool>,
    /// How many were started while somebody else could have gone on, and when he first could.
    row: Cell<u32>,
    row_began: Cell<Option<Instant>>,
    /// The turn in which it last looked at fresh work first.
    fresh_turn: Cell<u32>,
    /// The turn in which a closure was last made here.
    pushed: Cell<u32>,
    /// Who gets the closures that are made here, until it has enough ([`relief`](Self::relief)).
    relieved_by: Cell<Option<&'static Remote>>,
    /// How often goroutines may still hop before its loop has its turn.
    pub(super) hops: Cell<u32>,
    /// The turn in which its loop looks at the clock next.
    next_look: Cell<u32>,
    /// When the running goroutine was first seen to do something without waiting.
    pub(super) slice: Cell<Option<Instant>>,
    /// When anybody was last seen to.
    pub(super) looked: Cell<Option<Instant>>,
    /// Who ran has let others run, and there was fresh work.
    pub(super) yielded: Cell<bool>,
    /// It has slept since it last found work.
    pub(super) woken: Cell<bool>,
    /// A goroutine was readied elsewhere since it last looked for that in vain.
    has_peers: Cell<bool>,
    /// How often in a row it has looked for more of that in vain before it slept.
    looked_in_vain: Cell<u32>,
    /// Somebody is cancelled who could not be told from a neighbour that unwinds.
    pub(super) deferred: Cell<bool>,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, Parts { fresh, parker, remote, scheduler }: Parts) -> Self {
        Self {
            shared,
            remote,
            scheduler,
            fresh,
            runnext: Cell::new(ptr::null()),
            ready: Ready::new(),
            timers: RefCell::default(),
            timer_count: Cell::new(0),
            current: Cell::new(ptr::null()),
            recent: Recent::new(),
            identity: Cell::new(ptr::null()),
            outside: Outside::new(),
            parker,
            stacks: RefCell::new(Stacks::new()),
            shown: Cell::default(),
            records: Records::new(),
            mail: RefCell::default(),
            residents: RefCell::default(),
            chain: Cell::new(0),
            chain_began: Cell::new(None),
            has_ended_one: Cell::new(false),
            row: Cell::new(0),
            row_began: Cell::new(None),
            fresh_turn: Cell::new(0),
            pushed: Cell::new(0),
            relieved_by: Cell::new(None),
            hops: Cell::new(0),
            next_look: Cell::new(0),
            slice: Cell::new(None),
            looked: Cell::new(None),
            yielded: Cell::new(false),
            woken: Cell::new(false),
            has_peers: Cell::new(false),
            looked_in_vain: Cell::new(0),
            deferred: Cell::new(false),
        }
    }

    /// The thread's main: schedule, until the runtime shuts down and no goroutine lives here any more.
    pub(super) fn run_thread(self) {
        self.schedule();
        let Self { fresh, parker, remote, scheduler, .. } = self;
        Parts { fresh, parker, remote, scheduler }.give_back();
    }

    fn schedule(&self) {
        current::set_worker(self);
        look_at_clock();
        while !(self.shared.is_shut_down() && self.has_ended()) {
            match self.find_runnable() {
                Found::G(g) => self.execute(g),
                Found::Work(work) => {
                    // Who was woken for one piece of work wakes the next worker for the rest.
                    if self.woken.replace(false) && (self.fresh.len() > 1 || self.shared.has_work(self.remote)) {
                        self.shared.wakep();
                    }
                    self.run(work);
                }
                Found::Nothing => self.stop(),
            }
        }
        current::set_worker(ptr::null());
    }

    /// Is there nobody left, and nobody to come?
    fn has_ended(&self) -> bool {
        self.residents.borrow().is_empty()
            && self.fresh.is_empty()
            && self.remote.mailbox.is_empty()
            && !self.remote.has_mail()
    }

    fn run(&self, work: Work) {
        match work {
            Work::Fresh(fresh) => {
                if !self.shared.is_shut_down() {
                    self.share();
                }
                self.start(fresh);
            }
            Work::Task(runnable) if self.shared.is_shut_down() => task::forsake(runnable),
            Work::Task(runnable) => {
                let polling = Polling::begin();
                runnable.run();
                drop(polling);
                // Whoever ends the runtime wakes all tasks. Did that come between the look above and the poll, this one was about
                // to be polled as it was, and nobody would look at it again.
                if self.shared.is_shut_down() {
                    self.shared.tasks.wake_all();
                }
            }
        }
    }

    /// A closure, made on this worker.
    pub(super) fn push_fresh(&self, fresh: Fresh) {
        if self.shared.workers().len() > 1 {
            if let Some(other) = self.relief() {
                return self.send(other, [Work::Fresh(fresh)]);
            }
        }
        self.fresh.push(fresh);
        self.tell_of_fresh();
    }

    /// A task, woken on this worker.
    pub(super) fn push_task(&self, task: async_task::Runnable) {
        self.fresh.line().push(Work::Task(task));
        self.tell_of_fresh();
    }

    /// There is more fresh work. One piece is what this worker does next; more are work for others.
    #[inline]
    fn tell_of_fresh(&self) {
        if self.shared.workers().len() == 1 {
            // The only one there is, and awake.
        } else if self.fresh.len() > 1 {
            self.shared.wakep();
        } else {
            self.shared.monitor.begin();
        }
    }

    /// Who gets the next closure instead of this worker: while many wait for their turn here, one that sleeps and has half as many
    /// residents at most; and from then on the same one, until it has twice as many, or is busy while nobody waits here any more, or
    /// is lost. So whoever starts one goroutine after the other has them in few pieces, for neighbours talk to each other.
    fn relief(&self) -> Option<&'static Remote> {
        let (turn, mine) = (self.remote.turn(), self.residents.borrow().len());
        let is_burst = turn.wrapping_sub(self.pushed.replace(turn)) < TURNS_PER_BURST;
        if let Some(other) = self.relieved_by.get() {
            let is_enough = self.ready.is_empty() && !other.is_asleep() || other.is_lost();
            if other.load() < 2 * mine && !is_enough {
                return Some(other);
            }
            self.relieved_by.set(None);
        }
        if is_burst || self.ready.len() < BACKLOG {
            return None;
        }
        let sleeper = self.shared.others(self.remote).find(|other| other.is_asleep() && 2 * other.load() <= mine);
        self.relieved_by.set(sleeper);
        sleeper
    }

    /// For the worker `home`, if others do not take it before. One that is not of this runtime, any more, gets nothing.
    pub(super) fn push_near(&self, home: &'static Remote, fresh: Fresh) {
        if ptr::eq(home, self.remote) || !self.shared.workers().iter().any(|worker| ptr::eq(*worker, home)) {
            return self.push_fresh(fresh);
        }
        self.send(home, [Work::Fresh(fresh)]);
    }

    /// To the mailbox of another worker of this runtime.
    fn send(&self, to: &'static Remote, work: impl IntoIterator<Item = Work>) {
        work.into_iter().for_each(|work| to.mailbox.push(work));
        fence(Ordering::SeqCst);
        to.wake();
        // It may have ended before it could see what was sent.
        if self.shared.is_shut_down() {
            while let Some(work) = until_known(|| to.mailbox.steal()) {
                work.forsake();
            }
        }
    }

    /// It is next, and who was to be has his turn behind all others. A sender that was rid of its value takes nobody's place, for who may be next
    /// is one that was handed a value, and goes on with that before others are made.
    #[inline(always)]
    pub(super) fn ready_here<const SENDER: bool>(&self, g: *const G) {
        let next = self.runnext.get();
        if SENDER && !next.is_null() {
            return self.ready.push_back(g);
        }
        self.runnext.set(g);
        if !next.is_null() {
            self.ready.push_back(next);
        }
    }

    /// Is there anybody to let run?
    pub(super) fn has_others(&self) -> bool {
        !self.runnext.get().is_null()
            || !self.ready.is_empty()
            || self.has_fresh()
            || self.remote.has_mail()
            || self.timers.borrow().first_key_value().is_some_and(|((when, _), _)| *when <= Instant::now())
    }

    /// Is there fresh work that nobody else need be asked for?
    pub(super) fn has_fresh(&self) -> bool {
        let injected = self.shared.has_injected() && !cfg!(gochan_bug = "injected_forgotten");
        injected || !self.fresh.is_empty() || !self.remote.mailbox.is_empty()
    }

    fn find_runnable(&self) -> Found {
        let turn = self.remote.next_turn();
        if self.turns_to_look(turn) == 0 {
            self.look_at_clock();
        }
        self.hops.set(self.turns_to_look(turn).saturating_sub(1));
        if self.remote.has_mail() {
            self.read_mail();
        }
        if turn.wrapping_sub(self.fresh_turn.get()) >= TURNS_PER_FRESH || self.yielded.replace(false) {
            self.fresh_turn.set(turn);
            if let Some(work) = self
                .take_from_lost()
                .or_else(|| self.shared.injected(self.fresh.line()))
                .or_else(|| self.fresh.pop_fairly())
                .or_else(|| self.take_fresh())
            {
                return Found::Work(work);
            }
        }
        let next = self.runnext.get();
        if !next.is_null() && self.chain_goes_on() {
            if self.goes_on_in_a_row() {
                if let Some(work) = self.fresh.pop() {
                    return Found::Work(work);
                }
            }
            self.row.set(0);
            self.chain.set(self.chain.get() + 1);
            self.runnext.set(ptr::null());
            return Found::G(next);
        }
        self.begin_chain();
        if !next.is_null() {
            self.runnext.set(ptr::null());
            self.ready.push_back(next);
        }
        match self.pop_ready() {
            Some(g) => Found::G(g),
            None => match self.take_fresh().or_else(|| self.search()) {
                Some(work) => Found::Work(work),
                None => Found::Nothing,
            },
        }
    }

    /// Turns from this one to the next look at the clock; none if that is due.
    fn turns_to_look(&self, turn: u32) -> u32 {
        let turns = self.next_look.get().wrapping_sub(turn);
        if turns <= TURNS_PER_CLOCK_BRISK { turns } else { 0 }
    }

    /// The look that is due: for the timers, and for when who falls asleep does so. Says when the next is.
    #[inline(never)]
    fn look_at_clock(&self) {
        let is_brisk = look_at_clock() <= BRISK_TURNS;
        self.run_timers();
        let turns = if is_brisk && self.timers.borrow().is_empty() { TURNS_PER_CLOCK_BRISK } else { TURNS_PER_CLOCK };
        self.next_look.set(self.remote.turn().wrapping_add(turns));
    }

    /// Whoever is next has not been readied by who ran last.
    #[inline(always)]
    pub(super) fn begin_chain(&self) {
        self.chain.set(0);
        self.chain_began.set(None);
    }

    /// Goroutines that ready each other are to the others what one is that never waits: theirs is one share between them.
    fn chain_goes_on(&self) -> bool {
        if self.chain.get() < CHAIN_PER_CLOCK || self.ready.is_empty() {
            return true;
        }
        let now = Instant::now();
        let began = self.chain_began.get().unwrap_or(now);
        self.chain_began.set(Some(began));
        let goes_on = now - began < SLICE;
        if goes_on {
            self.chain.set(0);
        }
        goes_on
    }

    /// Somebody can go on. But has one goroutine after the other started and ended, in next to no time, and are there more of them?
    /// Then a few more come first: whoever waits for all of them would else be switched in for each.
    pub(super) fn goes_on_in_a_row(&self) -> bool {
        let row = self.row.get();
        if !self.has_ended_one.get() || row == LONGEST_ROW || self.fresh.is_empty() || !self.ready.is_empty() {
            return false;
        }
        if row % ROW_PER_CLOCK == 0 {
            let now = Instant::now();
            let (began, most) = match row {
                0 => (self.row_began.replace(Some(now)), BRISK),
                _ => (self.row_began.get(), ROW),
            };
            if began.is_none_or(|began| now - began >= most) {
                // Whoever asks again is told the same, until the one who was readied has had his turn.
                self.row.set(LONGEST_ROW);
                return false;
            }
        }
        self.row.set(row + 1);
        true
    }

    /// This worker's own fresh work, or what was sent to it.
    fn take_fresh(&self) -> Option<Work> {
        self.fresh.pop().or_else(|| {
            let mailbox = &self.remote.mailbox;
            if mailbox.is_empty() { None } else { until_known(|| mailbox.steal_batch_and_pop(self.fresh.line())) }
        })
    }

    /// Looks for work elsewhere. What another worker has is taken if that is busy with it, or is with something else for
    /// long; else it is about to start it itself, or to share it.
    fn search(&self) -> Option<Work> {
        self.remote.set_idle();
        let shared = &*self.shared;
        if shared.is_shut_down() {
            return None;
        }
        if let Some(work) = shared.injected(self.fresh.line()) {
            return Some(work);
        }
        if !shared.start_searching() {
            return None;
        }
        let seen: SmallVec<[_; 16]> = shared.others(self.remote).map(|other| (other, other.turn())).collect();
        let (mut found, mut looks) = (None, 0);
        let mut most = LOOKS >> self.vain_halves();
        while found.is_none() && looks < most && !self.remote.has_mail() && self.remote.mailbox.is_empty() {
            pause();
            looks += 1;
            // The others write at every turn where this one looks. Not never: there may be few looks.
            if looks > 1 && looks % LOOKS_PER_LOOK_AT_OTHERS != 0 {
                continue;
            }
            found = shared.injected(self.fresh.line());
            for (other, turn) in &seen {
                let is_busy_with_it = other.turn() != *turn;
                if !is_busy_with_it && !other.stealers.is_empty() {
                    most = PATIENT_LOOKS;
                }
                // Whoever has more residents already would have those of the burst, too.
                let has_more = self.remote.residents() > other.residents() + SLACK;
                let is_for_us =
                    if is_busy_with_it { other.has_to_spare() && !has_more } else { looks == PATIENT_LOOKS };
                if found.is_none() && is_for_us {
                    found = self.steal_from(other);
                }
            }
        }
        shared.stop_searching();
        found
    }

    /// What a worker has that is lost. Who is idle takes it, but all others may have work of their own, all the time.
    fn take_from_lost(&self) -> Option<Work> {
        if !self.shared.is_any_lost() || self.shared.is_shut_down() {
            return None;
        }
        self.shared.others(self.remote).filter(|other| other.is_lost()).find_map(|other| self.steal_from(other))
    }

    fn steal_from(&self, other: &Remote) -> Option<Work> {
        if cfg!(gochan_bug = "fresh_closure_in_an_inbox") {
            return None;
        }
        other.stealers.steal_into(&self.fresh).or_else(|| {
            let is_lost = other.is_lost();
            is_lost.then(|| until_known(|| other.mailbox.steal_batch_and_pop(self.fresh.line()))).flatten()
        })
    }

    /// If there is a burst of fresh work, and another worker has fewer residents, it gets half of the surplus.
    #[inline]
    pub(super) fn share(&self) {
        if self.shared.workers().len() > 1 && !self.fresh.is_empty() {
            self.share_with_others();
        }
    }

    fn share_with_others(&self) {
        let mine = self.residents.borrow().len();
        let others = self.shared.others(self.remote).filter(|other| !other.is_lost());
        let Some(other) = others.min_by_key(|other| other.load()) else { return };
        let theirs = other.load();
        if mine <= theirs + SLACK {
            return;
        }
        let surplus = (self.fresh.len() + mine - theirs) / 2;
        self.send(other, (0..surplus).map_while(|_| self.fresh.pop_oldest()));
    }

    /// Those that were readied elsewhere, in the order in which they were.
    fn read_readied(&self) {
        let (mut last, mut first) = (self.remote.take_readied(), ptr::null());
        if last.is_null() {
            return;
        }
        self.has_peers.set(true);
        // SAFETY: they live here, and are switched out.
        unsafe {
            while !last.is_null() {
                (first, last) = (last, (*last).readied_before.replace(first));
            }
            while !first.is_null() {
                self.ready.push_back(first);
                first = (*first).readied_before.replace(ptr::null());
            }
        }
    }

    fn read_mail(&self) {
        self.read_readied();
        if !self.remote.has_orders() {
            return;
        }
        let mut all = self.mail.take();
        self.remote.read(&mut all);
        for mail in all.drain(..) {
            match mail {
                Mail::Cancel { place, id } => self.cancel(place, id),
                Mail::CancelScope(scope) => {
                    self.interrupt_all(|g| g.scope.as_ref().is_some_and(|its| Arc::ptr_eq(its, &scope)));
                }
                Mail::Census(ask) => self.answer(ask),
                Mail::CancelAll => {
                    self.residents.borrow().iter().for_each(|body| body.g().tell_to_end());
                    self.interrupt_all(|_| true);
                }
            }
        }
        self.mail.replace(all);
    }

    fn cancel(&self, place: usize, id: NonZeroU64) {
        let body = {
            let residents = self.residents.borrow();
            let is_it = |body: &&Ref<dyn Body>| body.g().identity.key() == id;
            residents.get(place).filter(is_it).or_else(|| residents.iter().find(is_it)).cloned()
        };
        if let Some(body) = body {
            self.interrupt(&body);
        }
    }

    pub(super) fn interrupt_all(&self, which: impl Fn(&G) -> bool) {
        let all: Vec<_> = self.residents.borrow().iter().filter(|body| which(body.g())).cloned().collect();
        all.iter().for_each(|body| self.interrupt(body));
    }

    /// A goroutine that lives here is told to end. If it is parked, it is resumed to withdraw, and unwinds.
    fn interrupt(&self, body: &Ref<dyn Body>) {
        let g = body.g();
        // The children of its scopes first.
        let mut scope = g.own.scopes.get();
        while !scope.is_null() {
            // SAFETY: a scope outlives the time that its owner is in it, and the owner does not run.
            unsafe {
                Arc::increment_strong_count(scope);
                Arc::from_raw(scope).cancel();
                scope = (*scope).outer();
            }
        }
        if g.own.wait.get().is_null() {
            return;
        }
        // Nobody unwinds on this thread, or nobody did when it parked: then it does not.
        if g.may_unwind(g.own.panicking.get() && thread::panicking()) {
            // Whoever has readied it meanwhile is waited for where it withdraws.
            g.own.resumed.set(Resumed::Cancelled);
            self.execute(g);
        } else {
            self.deferred.set(true);
        }
    }

    pub(super) fn set_timer(&self, when: Instant, g: *const G) -> Timer {
        let number = self.timer_count.get() + 1;
        self.timer_count.set(number);
        self.timers.borrow_mut().insert((when, number), g);
        let turn = self.remote.turn();
        if self.turns_to_look(turn) > TURNS_PER_CLOCK {
            self.next_look.set(turn.wrapping_add(TURNS_PER_CLOCK));
            self.hops.set(self.hops.get().min(TURNS_PER_CLOCK - 1));
        }
        (when, number)
    }

    /// Resumes those whose deadline has passed. When the next is due, if there is one.
    fn run_timers(&self) -> Option<Instant> {
        loop {
            let g = {
                let mut timers = self.timers.borrow_mut();
                let first = timers.first_entry()?;
                let (when, _) = *first.key();
                if when > Instant::now() {
                    return Some(when);
                }
                first.remove()
            };
            // At once: in a queue it could meet its own wake-up.
            // SAFETY: it has not taken its timer out, so it is alive and switched out.
            unsafe { (*g).own.resumed.set(Resumed::DeadlinePassed) };
            self.execute(g);
        }
    }

    /// A goroutine that starts here, and nowhere else.
    pub(super) fn adopt(&self, body: Ref<dyn Body>) {
        count(&self.remote.doings.spawned);
        if let Some(g) = self.settle_in(body) {
            self.ready.push_back(g);
        }
    }

    pub(super) fn stack(&self, size: usize) -> Result<Stack, StackError> {
        self.stacks.borrow_mut().get(size)
    }

    /// Looks whether mail comes before it would be woken. In vain, if meanwhile none of the others got anywhere either.
    fn awaits_mail(&self) -> bool {
        let turns = || self.shared.others(self.remote).take(SEEN).map(Remote::turn).fold(0, u32::wrapping_add);
        let before = turns();
        for _ in 0..MAIL_LOOKS >> self.vain_halves() {
            if self.remote.has_mail() {
                self.looked_in_vain.set(0);
                return true;
            }
            pause();
        }
        let vain = if turns() == before { self.looked_in_vain.get().wrapping_add(1) } else { 0 };
        self.looked_in_vain.set(vain);
        false
    }

    /// How often looks before sleeping are halved.
    fn vain_halves(&self) -> u32 {
        let vain = self.looked_in_vain.get();
        if vain % VAIN_TIMES == VAIN_TIMES - 1 { 0 } else { vain.min(VAIN_HALVES) }
    }

    /// There is nothing to run: sleeps until somebody has something, or a timer is due.
    fn stop(&self) {
        let shared = &*self.shared;
        if self.has_peers.replace(false) && self.awaits_mail() {
            return;
        }
        let next_timer = self.run_timers();
        self.remote.fall_asleep();
        shared.begin_sleep();
        let has_any = self.remote.has_mail()
            || !self.runnext.get().is_null()
            || !self.ready.is_empty()
            || !self.fresh.is_empty()
            || shared.has_work(self.remote)
            || shared.is_shut_down() && self.has_ended();
        if !has_any || cfg!(gochan_bug = "sleeps_beside_work") {
            forget_registers();
            match next_timer {
                None => {
                    self.remote.lie_dormant();
                    self.parker.park();
                }
                Some(when) => {
                    if cfg!(gochan_bug = "timers_ignored") {
                        self.remote.lie_dormant();
                    }
                    let left = when.saturating_duration_since(Instant::now());
                    self.parker.park_timeout(left.max(Duration::from_nanos(1)));
                }
            }
            shared.monitor.begin();
        }
        self.woken.set(true);
        self.remote.wake_up();
        shared.end_sleep();
        look_at_clock();
        if next_timer.is_some() {
            self.run_timers();
        }
    }
}

enum Found {
    G(*const G),
    Work(Work),
    Nothing,
}
