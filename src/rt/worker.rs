//! The worker: a thread that runs goroutines and tasks. Go's M and P in one.
//!
//! What it may run, in the order in which it looks:
//! - `runnext`, the goroutine that was readied last from here: it uses what its waker has just touched. Chains of it are
//!   capped, or two goroutines that ready each other would keep all others out.
//! - `ready`: started goroutines, in order. Only this worker can run them, so neither queue needs an atomic.
//! - `fresh`: closures and tasks, which other workers may steal.
//! - the injector, what other workers have, and then sleep.
//!
//! Goroutines that are readied from elsewhere come through the inbox.
//!
//! **Nobody sleeps beside work.** Who makes work first makes it visible, then (after a sequentially consistent fence) looks
//! for sleepers. Who goes to sleep first says that he sleeps, then (after such a fence) looks for work. One of the two sees
//! the other. Of several sleepers one is woken at a time, and wakes the next if it finds work (`wakep`).

use super::bridge::Polling;
use super::g::{About, Fresh, G};
use super::runtime::Shared;
use crate::park::{Goroutine, Scheduler, set_scheduler};
use corosensei::stack::DefaultStack;
use crossbeam_deque::{Steal, Stealer, Worker as Deque};
use parking::{Parker, Unparker};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Hops from one runnext to the next before the others have their turn.
const LONGEST_CHAIN: u32 = 32;
/// Turns between two looks at the clock while there is work.
const TURNS_PER_CLOCK: u32 = 16;
/// Turns between two looks at fresh work before started goroutines: Go's prime.
const TURNS_PER_FRESH: u32 = 61;
/// Looks for work before sleeping: a few microseconds, in which a peer that is awake answers.
const LOOKS: u32 = 64;
/// Stacks that are kept for the next goroutines.
const SPARE_STACKS: usize = 1024;

/// What any worker may take.
pub(super) enum Work {
    Fresh(Box<Fresh>),
    Task(async_task::Runnable),
}

/// What others know of a worker. Made once and never freed: a goroutine names it to whoever readies it.
pub(super) struct Remote {
    /// Started goroutines that were readied elsewhere.
    inbox: Mutex<Vec<ReadyG>>,
    has_mail: AtomicBool,
    asleep: AtomicBool,
    unparker: Unparker,
    pub(super) stealer: Stealer<Work>,
}

/// A goroutine that is to be run by its worker.
struct ReadyG(*mut G);

// SAFETY: it is handed to its worker, which alone touches it.
unsafe impl Send for ReadyG {}

impl Remote {
    fn post(&self, g: *mut G) {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner).push(ReadyG(g));
        self.has_mail.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        self.wake();
    }

    /// Wakes the worker if it sleeps. True if it did.
    pub(super) fn wake(&self) -> bool {
        let slept = self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::AcqRel);
        if slept {
            self.unparker.unpark();
        }
        slept
    }

    pub(super) fn unpark(&self) {
        self.unparker.unpark();
    }
}

/// A goroutine's deadline: the moment, and a number that tells those of one moment apart.
type Timer = (Instant, u64);

/// A worker, as its own thread sees it.
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) remote: &'static Remote,
    fresh: Deque<Work>,
    runnext: Cell<*mut G>,
    ready: RefCell<VecDeque<*mut G>>,
    /// Who waits for what moment; each is taken out by its goroutine, or fires.
    timers: RefCell<BTreeMap<Timer, *mut G>>,
    timer_count: Cell<u64>,
    current: Cell<*mut G>,
    parker: Parker,
    stacks: RefCell<Vec<DefaultStack>>,
    /// Started goroutines that have not ended.
    residents: Cell<usize>,
    chain: Cell<u32>,
    turn: Cell<u32>,
    /// It has slept since it last found work.
    woken: Cell<bool>,
}

thread_local! {
    /// The worker whose thread this is. Without a destructor.
    static WORKER: Cell<*const Worker> = const { Cell::new(ptr::null()) };
}

/// The worker of this thread.
#[inline]
pub(super) fn current_worker<'a>() -> Option<&'a Worker> {
    // SAFETY: set by a worker's thread for as long as the worker lives, and used on that thread by functions that return
    // before.
    unsafe { WORKER.get().as_ref() }
}

/// What is known of the goroutine that runs on this thread.
pub(super) fn current_about<'a>() -> Option<&'a About> {
    let g = current_worker()?.current.get();
    // SAFETY: the running goroutine's record is alive.
    unsafe { g.as_ref() }.map(|g| &g.about)
}

static SCHEDULER: Scheduler = Scheduler { polling: false, this, switch_out };

fn running() -> (&'static Worker, *mut G) {
    // SAFETY: called by a goroutine, on its worker, which outlives it.
    let worker = unsafe { &*WORKER.get() };
    (worker, worker.current.get())
}

fn this() -> Goroutine {
    let (_, g) = running();
    // SAFETY: a goroutine is readied once per park, and its record lives until it has consumed that.
    unsafe { Goroutine::new(NonNull::new(g).expect("a goroutine runs").cast(), ready) }
}

/// goready: the goroutine can run again.
///
/// # Safety
/// `g` is a started goroutine that is switched out, or about to be, until this.
unsafe fn ready(g: NonNull<()>) {
    let g = g.cast::<G>().as_ptr();
    // SAFETY: the record lives until the goroutine has consumed this.
    let owner = unsafe { (*g).worker };
    match current_worker() {
        Some(worker) if ptr::eq(worker, owner) => worker.ready_here(g),
        // SAFETY: a worker outlives its goroutines. Only its remote is used.
        _ => unsafe { (*owner).remote }.post(g),
    }
}

/// Switches the running goroutine out until it is readied (true), or the deadline has passed (false).
fn switch_out(deadline: Option<Instant>) -> bool {
    let (worker, g) = running();
    let timer = deadline.map(|when| worker.set_timer(when, g));
    // SAFETY: it is the running goroutine that calls.
    unsafe {
        (*g).timed_out.set(false);
        G::suspend(g);
        let timed_out = (*g).timed_out.get();
        if let Some(timer) = timer {
            worker.timers.borrow_mut().remove(&timer);
        }
        !timed_out
    }
}

/// Lets the others of this worker run first.
pub(super) fn yield_goroutine() {
    let (worker, g) = running();
    worker.ready.borrow_mut().push_back(g);
    // SAFETY: it is the running goroutine that calls.
    unsafe { G::suspend(g) };
}

/// Sleeps until a moment.
pub(super) fn sleep_goroutine(until: Instant) {
    while Instant::now() < until {
        switch_out(Some(until));
    }
}

impl Worker {
    /// A worker and what others know of it.
    pub(super) fn parts() -> (Deque<Work>, Parker, &'static Remote) {
        let fresh = Deque::new_fifo();
        let parker = Parker::new();
        let remote = Box::leak(Box::new(Remote {
            inbox: Mutex::new(Vec::new()),
            has_mail: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
            unparker: parker.unparker(),
            stealer: fresh.stealer(),
        }));
        (fresh, parker, remote)
    }

    pub(super) fn new(shared: Arc<Shared>, (fresh, parker, remote): (Deque<Work>, Parker, &'static Remote)) -> Self {
        Self {
            shared,
            remote,
            fresh,
            runnext: Cell::new(ptr::null_mut()),
            ready: RefCell::new(VecDeque::new()),
            timers: RefCell::default(),
            timer_count: Cell::new(0),
            current: Cell::new(ptr::null_mut()),
            parker,
            stacks: RefCell::new(Vec::new()),
            residents: Cell::new(0),
            chain: Cell::new(0),
            turn: Cell::new(0),
            woken: Cell::new(false),
        }
    }

    /// The thread's main: schedule, until the runtime shuts down and no goroutine lives here any more.
    pub(super) fn schedule(&self) {
        WORKER.set(self);
        while !(self.shared.is_shut_down() && self.residents.get() == 0) {
            match self.find_runnable() {
                Found::G(g) => self.execute(g),
                Found::Work(work) => {
                    // Who was woken for one piece of work wakes the next worker for the rest.
                    if self.woken.replace(false) && (!self.fresh.is_empty() || self.shared.has_work(self.remote)) {
                        self.shared.wakep();
                    }
                    match work {
                        Work::Fresh(fresh) => self.start(*fresh),
                        Work::Task(task) => {
                            let _polling = Polling::begin();
                            task.run();
                        }
                    }
                }
                Found::Nothing => self.stop(),
            }
        }
        WORKER.set(ptr::null());
    }

    /// Work of any kind, made on this worker.
    pub(super) fn push(&self, work: Work) {
        self.fresh.push(work);
        self.shared.wakep();
    }

    fn ready_here(&self, g: *mut G) {
        let old = self.runnext.replace(g);
        if !old.is_null() {
            self.ready.borrow_mut().push_back(old);
        }
    }

    fn find_runnable(&self) -> Found {
        let turn = self.turn.get().wrapping_add(1);
        self.turn.set(turn);
        if turn % TURNS_PER_CLOCK == 0 {
            self.run_timers();
        }
        self.read_mail();
        if turn % TURNS_PER_FRESH == 0 {
            if let Some(work) = self.shared.injected(&self.fresh).or_else(|| self.fresh.pop()) {
                return Found::Work(work);
            }
        }
        let next = self.runnext.get();
        if !next.is_null() && (self.chain.get() < LONGEST_CHAIN || self.ready.borrow().is_empty()) {
            self.chain.set(self.chain.get() + 1);
            self.runnext.set(ptr::null_mut());
            return Found::G(next);
        }
        self.chain.set(0);
        if !next.is_null() {
            self.runnext.set(ptr::null_mut());
            self.ready.borrow_mut().push_back(next);
        }
        let first = self.ready.borrow_mut().pop_front();
        match first {
            Some(g) => Found::G(g),
            None => match self.fresh.pop().or_else(|| self.steal()) {
                Some(work) => Found::Work(work),
                None => Found::Nothing,
            },
        }
    }

    /// What the injector has, or another worker.
    fn steal(&self) -> Option<Work> {
        if self.shared.is_shut_down() {
            return None;
        }
        self.shared.injected(&self.fresh).or_else(|| {
            self.shared.others(self.remote).find_map(|other| {
                loop {
                    match other.stealer.steal() {
                        Steal::Success(work) => return Some(work),
                        Steal::Empty => return None,
                        Steal::Retry => {}
                    }
                }
            })
        })
    }

    fn read_mail(&self) {
        if self.remote.has_mail.load(Ordering::Relaxed) {
            self.remote.has_mail.store(false, Ordering::Relaxed);
            // The lock orders what was posted before the flag behind this.
            let mail = std::mem::take(&mut *self.remote.inbox.lock().unwrap_or_else(PoisonError::into_inner));
            self.ready.borrow_mut().extend(mail.into_iter().map(|g| g.0));
        }
    }

    fn set_timer(&self, when: Instant, g: *mut G) -> Timer {
        let number = self.timer_count.get() + 1;
        self.timer_count.set(number);
        self.timers.borrow_mut().insert((when, number), g);
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
            unsafe { (*g).timed_out.set(true) };
            self.execute(g);
        }
    }

    fn start(&self, fresh: Fresh) {
        let stack = match self.stacks.borrow_mut().pop() {
            Some(stack) if fresh.stack_size == super::STACK_SIZE => stack,
            _ => DefaultStack::new(fresh.stack_size).expect("no memory for a goroutine's stack"),
        };
        self.residents.set(self.residents.get() + 1);
        self.execute(G::start(fresh, self, stack));
    }

    /// Runs a goroutine until it switches out, or ends.
    fn execute(&self, g: *mut G) {
        self.current.set(g);
        let outer = set_scheduler(Some(&SCHEDULER));
        // SAFETY: it is ours, and we are on the worker's own stack.
        let ended = unsafe { G::resume(g) };
        set_scheduler(outer);
        self.current.set(ptr::null_mut());
        if ended {
            self.residents.set(self.residents.get() - 1);
            // SAFETY: it has ended, and a wake-up that was owed to it was consumed.
            let stack = unsafe { G::end(g) };
            let mut stacks = self.stacks.borrow_mut();
            // Only those of the common size are kept.
            if stacks.len() < SPARE_STACKS && super::is_common(&stack) {
                stacks.push(stack);
            }
        }
    }

    /// There is nothing to run: looks for a while, then sleeps until somebody has something, or a timer is due.
    fn stop(&self) {
        let shared = &*self.shared;
        if shared.start_searching() {
            for _ in 0..LOOKS {
                if self.remote.has_mail.load(Ordering::Relaxed) || shared.has_work(self.remote) {
                    break;
                }
                std::hint::spin_loop();
            }
            shared.stop_searching();
        }
        let next_timer = self.run_timers();
        self.remote.asleep.store(true, Ordering::Relaxed);
        shared.sleepers.fetch_add(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        let has_any = self.remote.has_mail.load(Ordering::Relaxed)
            || !self.runnext.get().is_null()
            || !self.ready.borrow().is_empty()
            || !self.fresh.is_empty()
            || shared.has_work(self.remote)
            || shared.is_shut_down() && self.residents.get() == 0;
        if !has_any {
            match next_timer {
                None => self.parker.park(),
                Some(when) => {
                    self.parker
                        .park_timeout(when.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1)));
                }
            }
        }
        self.woken.set(true);
        self.remote.asleep.store(false, Ordering::Relaxed);
        shared.sleepers.fetch_sub(1, Ordering::SeqCst);
        if next_timer.is_some() {
            self.run_timers();
        }
    }
}

enum Found {
    G(*mut G),
    Work(Work),
    Nothing,
}
