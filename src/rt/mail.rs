//! What others know of a worker, and how they reach it.
//!
//! A remote is made once and never freed, since a goroutine names it to whoever readies it. Started goroutines go on a list
//! that runs through their records, and orders to the inbox, both of which only the worker reads; work that is sent to it
//! goes to the mailbox, from which others may steal if the worker does not come for it: a closure or a task is always where
//! somebody else can take it.

use super::census::Ask;
use super::g::{G, Identity};
use super::queue::Stealers;
use super::scope::ScopeState;
use super::worker::Work;
use crate::debug::Kind;
use crate::park::Who;
use crate::primitive::will_write;
use crossbeam_deque::Injector;
use parking::Unparker;
use std::num::NonZeroU64;
use std::panic::Location;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};

/// What a worker finds in its inbox.
pub(super) enum Mail {
    /// The goroutine with this id, probably at this place, is cancelled.
    Cancel { place: usize, id: NonZeroU64 },
    /// The children of a scope are cancelled.
    CancelScope(Arc<ScopeState>),
    /// Everybody is.
    CancelAll,
    /// Who lives there?
    Census(Ask),
}

/// Every remote there is: as many as workers ever were at a time.
static ALL: Mutex<Vec<&'static Remote>> = Mutex::new(Vec::new());

const AWAKE: u64 = 0;
/// Whoever has something for it wakes it.
const ASLEEP: u64 = 1;
/// And it has looked for work since, has found none, and nothing but that will wake it: no timer.
const DORMANT: u64 = 2;
const SLEEP: u64 = 0b11;

pub(super) struct Remote {
    arrivals: Arrivals,
    /// How often it has gone to sleep, and below that in two bits whether it sleeps.
    sleep: AtomicU64,
    unparker: Unparker,
    /// The worker's fresh work, and what was sent to it.
    pub(super) stealers: Stealers,
    pub(super) mailbox: Injector<Work>,
    pub(super) doings: Doings,
}

/// What has come for it, and others write. Away from what the worker writes at every turn: with two neighbouring lines for each, of which
/// processors fetch both.
#[repr(align(128))]
struct Arrivals {
    /// Its goroutines that were readied elsewhere since it last looked: the last of them, which knows the one before. Who
    /// puts the first one there wakes the worker.
    readied: AtomicPtr<G>,
    has_mail: AtomicBool,
    inbox: Mutex<Vec<Mail>>,
}

/// What it does, written by the worker.
#[repr(align(128))]
pub(super) struct Doings {
    /// How often it has looked for something to run.
    turns: AtomicU32,
    /// The number of the goroutine or task that ran last, 0 since there was nothing more to run; and where it was started.
    running: AtomicU64,
    running_spawned_at: AtomicPtr<Location<'static>>,
    /// Started goroutines that have not ended.
    residents: AtomicUsize,
    /// Goroutines that were started by this worker's, and that have ended on it.
    pub(super) spawned: AtomicU64,
    pub(super) ended: AtomicU64,
    /// The monitor has seen it do the same thing for long: what it has of fresh work is anybody's.
    is_stuck: AtomicBool,
    /// For longer than the system needs to give a thread its turn: what was sent to it, too.
    is_lost: AtomicBool,
}

/// Adds one to a counter that only this thread writes.
pub(super) fn count(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

impl Remote {
    /// One that lives for ever.
    pub(super) fn create(unparker: Unparker, stealers: Stealers) -> &'static Self {
        let remote = Box::leak(Box::new(Self {
            arrivals: Arrivals {
                readied: AtomicPtr::new(ptr::null_mut()),
                has_mail: AtomicBool::new(false),
                inbox: Mutex::new(Vec::new()),
            },
            sleep: AtomicU64::new(AWAKE),
            unparker,
            stealers,
            mailbox: Injector::new(),
            doings: Doings {
                turns: AtomicU32::new(0),
                running: AtomicU64::new(0),
                running_spawned_at: AtomicPtr::new(ptr::null_mut()),
                residents: AtomicUsize::new(0),
                spawned: AtomicU64::new(0),
                ended: AtomicU64::new(0),
                is_stuck: AtomicBool::new(false),
                is_lost: AtomicBool::new(false),
            },
        }));
        ALL.lock().unwrap_or_else(PoisonError::into_inner).push(remote);
        remote
    }

    /// Every one, of workers that run and of those that have ended.
    pub(super) fn all() -> Vec<&'static Self> {
        ALL.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// For another worker. The inbox may have what was posted too late for the last.
    pub(super) fn reset(&self) {
        self.read(&mut Vec::new());
        self.set_residents(0);
        self.doings.running.store(0, Ordering::Relaxed);
        self.doings.spawned.store(0, Ordering::Relaxed);
        self.doings.ended.store(0, Ordering::Relaxed);
        self.doings.is_stuck.store(false, Ordering::Relaxed);
        self.doings.is_lost.store(false, Ordering::Relaxed);
        self.wake_up();
    }

    /// From any thread. Wakes the worker if it sleeps.
    pub(super) fn post(&self, mail: Mail) {
        self.arrivals.inbox.lock().unwrap_or_else(PoisonError::into_inner).push(mail);
        self.arrivals.has_mail.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        self.wake();
    }

    /// From any thread: goready. Wakes the worker if it sleeps.
    ///
    /// # Safety
    /// `g` lives here, and is in nobody's hands until the worker has it again.
    pub(super) unsafe fn post_ready(&self, g: *const G) {
        // Both lines are the worker's, and come at the same time so.
        // SAFETY: a place in a record that is alive.
        will_write(unsafe { &raw const (*g).readied_before });
        will_write(&raw const self.arrivals.readied);
        let mut last = self.arrivals.readied.load(Ordering::Relaxed);
        loop {
            // SAFETY: the caller's contract.
            unsafe { (*g).readied_before.set(last) };
            // Release: what was done before it was readied, and which one it follows.
            match self.arrivals.readied.compare_exchange_weak(last, g.cast_mut(), Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => break,
                Err(now) => last = now,
            }
        }
        if last.is_null() {
            fence(Ordering::SeqCst);
            self.wake();
        }
    }

    /// The worker's: those that were readied, the last first. Each knows the one before.
    #[inline]
    pub(super) fn take_readied(&self) -> *const G {
        if self.arrivals.readied.load(Ordering::Relaxed).is_null() {
            return ptr::null();
        }
        self.arrivals.readied.swap(ptr::null_mut(), Ordering::Acquire)
    }

    /// Has anything come for it?
    #[inline]
    pub(super) fn has_mail(&self) -> bool {
        !self.arrivals.readied.load(Ordering::Relaxed).is_null() | self.arrivals.has_mail.load(Ordering::Relaxed)
    }

    /// The worker's: has anybody written to it?
    pub(super) fn has_orders(&self) -> bool {
        self.arrivals.has_mail.load(Ordering::Relaxed)
    }

    /// The worker's: everything that has come, into an empty list, which leaves its room to the inbox.
    pub(super) fn read(&self, mail: &mut Vec<Mail>) {
        self.arrivals.has_mail.store(false, Ordering::Relaxed);
        // The lock orders what was posted before the flag behind this.
        std::mem::swap(mail, &mut *self.arrivals.inbox.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The worker's: it is about to sleep, and looks for work once more.
    pub(super) fn fall_asleep(&self) {
        let times = self.sleep.load(Ordering::Relaxed) >> 2;
        self.sleep.store((times + 1) << 2 | ASLEEP, Ordering::Relaxed);
    }

    /// The worker's: it has found none, and has no timer. Unless it was woken meanwhile.
    pub(super) fn lie_dormant(&self) {
        let asleep = self.sleep.load(Ordering::Relaxed) & !SLEEP | ASLEEP;
        let _ = self.sleep.compare_exchange(asleep, asleep ^ ASLEEP ^ DORMANT, Ordering::Release, Ordering::Relaxed);
    }

    /// The worker's: it is awake again.
    pub(super) fn wake_up(&self) {
        self.sleep.store(self.sleep.load(Ordering::Relaxed) & !SLEEP, Ordering::Relaxed);
    }

    pub(super) fn is_asleep(&self) -> bool {
        self.sleep.load(Ordering::Relaxed) & SLEEP != AWAKE
    }

    /// If it sleeps until others have something for it, and nobody has woken it: which sleep that is. The same number later
    /// is the same sleep, without a break.
    pub(super) fn dormant(&self) -> Option<u64> {
        // Acquire: what it did before is seen.
        let sleep = self.sleep.load(Ordering::Acquire);
        (sleep & SLEEP == DORMANT).then_some(sleep)
    }

    /// Wakes the worker if it sleeps. True if it did.
    pub(super) fn wake(&self) -> bool {
        let slept = self.is_asleep() && self.sleep.fetch_and(!SLEEP, Ordering::AcqRel) & SLEEP != AWAKE;
        if slept {
            self.unparker.unpark();
        }
        slept
    }

    pub(super) fn residents(&self) -> usize {
        self.doings.residents.load(Ordering::Relaxed)
    }

    pub(super) fn set_residents(&self, residents: usize) {
        self.doings.residents.store(residents, Ordering::Relaxed);
    }

    /// The worker's: another turn, so it is not stuck. Which one it is.
    #[inline]
    pub(super) fn next_turn(&self) -> u32 {
        let turn = self.turn().wrapping_add(1);
        self.doings.turns.store(turn, Ordering::Relaxed);
        if self.doings.is_stuck.load(Ordering::Relaxed) {
            self.doings.is_stuck.store(false, Ordering::Relaxed);
            self.doings.is_lost.store(false, Ordering::Relaxed);
        }
        turn
    }

    /// The worker's: it is about to run this goroutine.
    #[inline]
    pub(super) fn set_running(&self, identity: &Identity) {
        self.set_running_word(Who::goroutine(identity.id()), identity);
    }

    /// The worker's: it is about to poll this task.
    pub(super) fn set_polling(&self, identity: &Identity) {
        self.set_running_word(Who::task(identity.id()), identity);
    }

    #[inline]
    fn set_running_word(&self, who: Who, identity: &Identity) {
        self.doings.running.store(who.word(), Ordering::Relaxed);
        self.doings.running_spawned_at.store(ptr::from_ref(identity.spawned_at()).cast_mut(), Ordering::Relaxed);
    }

    /// The worker's: it has nothing to run, and looks for something.
    pub(super) fn set_idle(&self) {
        self.doings.running.store(0, Ordering::Relaxed);
    }

    /// Where the number of who runs is.
    pub(super) fn running_word(&'static self) -> &'static AtomicU64 {
        &self.doings.running
    }

    /// Which goroutine or task the worker runs, and where that was started, if it has made no turn since it had made `turn`,
    /// and is awake.
    pub(super) fn runs_since(&self, turn: u32) -> Option<((Kind, u64), &'static Location<'static>)> {
        let who = Who::of_word(self.doings.running.load(Ordering::Relaxed)).known()?;
        // SAFETY: null, or the address of a location, which is for ever.
        let spawned_at = unsafe { self.doings.running_spawned_at.load(Ordering::Relaxed).as_ref() };
        let is_it = !self.is_asleep() && self.turn() == turn;
        spawned_at.filter(|_| is_it).map(|at| (who, at))
    }

    /// What others may know. It had made `turn` turns when it was asked.
    pub(super) fn look(&self, runtime: usize, index: usize, turn: u32) -> crate::debug::Worker {
        let runs = self.runs_since(turn);
        let orders = self.arrivals.inbox.lock().unwrap_or_else(PoisonError::into_inner).len();
        // Only the worker may go through these.
        let are_any_readied = !self.arrivals.readied.load(Ordering::Relaxed).is_null();
        crate::debug::Worker {
            runtime,
            index,
            is_asleep: self.is_asleep(),
            busy_with: runs.map(|(who, _)| who),
            busy_with_spawned_at: runs.map(|(_, at)| at),
            residents: self.residents(),
            inbox: orders + usize::from(are_any_readied),
            fresh: self.stealers.len() + self.mailbox.len(),
        }
    }

    pub(super) fn is_lost(&self) -> bool {
        self.doings.is_lost.load(Ordering::Relaxed)
    }

    pub(super) fn turn(&self) -> u32 {
        self.doings.turns.load(Ordering::Relaxed)
    }

    /// The monitor's: it has made no turn for long, or is even lost. Has it anything that others could do?
    pub(super) fn is_stuck_beside_work(&self, is_lost: bool) -> bool {
        let has_work = !(self.stealers.is_empty() && self.mailbox.is_empty());
        if has_work {
            self.doings.is_lost.store(is_lost, Ordering::Relaxed);
            self.doings.is_stuck.store(true, Ordering::Relaxed);
        }
        has_work
    }

    /// How much there is for it to do, by number.
    pub(super) fn load(&self) -> usize {
        self.residents() + self.stealers.len() + self.mailbox.len()
    }

    /// Has it work that another may take? The one thing that it will do next, it will do, and what was sent to it was sent
    /// so that it lives there: only if it is stuck is that anybody's.
    pub(super) fn has_to_spare(&self) -> bool {
        self.stealers.len() > usize::from(!self.doings.is_stuck.load(Ordering::Relaxed))
            || self.is_lost() && !self.mailbox.is_empty()
    }
}
