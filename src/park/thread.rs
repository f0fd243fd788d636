//! An OS thread waits: it looks for a while, then sleeps in the kernel.
//!
//! Two threads that hand values to each other on two cores meet within a microsecond; a sleep and a wake-up in the
//! kernel cost each of them several. So a thread looks first: a few dozen times with a pause between, then yielding its
//! core, because the one it waits for may need it. Where there is a buffer, it looks before it queues, too. The number of either kind of looks is bounded, and it adapts per
//! channel: where they have paid, there are more; where they have not (an idle worker), next to none.

use super::{Done, Wait, Waiter, Who};
use crate::primitive::{AtomicU8, AtomicU16, Ordering, is_over, pause, thread, time_left};
use std::cell::Cell;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Most looks with a pause between them in one wait: about 3 us.
const MOST_PAUSES: u8 = 40;
/// Most looks with a yield between them: 20 us if nobody wants the core, time for another thread to be woken up.
const MOST_YIELDS: u16 = 120;
/// A yield that takes longer, and during which little has happened where this thread waits, has given the core to somebody with work of
/// his own: on a machine with more to do than cores every further one would cost a time slice, and a sleep none. Where much has happened,
/// two others had the cores, and handed values to each other as fast as they can: that is what they are for. Much is also all that can
/// happen without this thread, unless somebody now waits for it (see [`Activity`]).
const SLOW_YIELD: Duration = Duration::from_micros(100);
/// Much is one section in such a time. Between threads that sleep in turn it is one in several.
const BRISK: Duration = Duration::from_micros(1);
/// A slow one counts so much, a yield that pays takes one off. One alone may be the machine's fault, of which another has had the
/// processors meanwhile.
const SLOW: u8 = 4;
const TOO_SLOW: u8 = 2 * SLOW;
/// Waits without yields after a slow one.
const WAITS_WITHOUT: u16 = 500;
/// A yield that takes so long has let somebody else run on this core. One that finds nobody takes half of it.
const LET_OTHERS_RUN: Duration = Duration::from_micros(1);
/// Waits of a thread that may end by such yields before one is a sleep instead.
const SHARED: u8 = 64;

/// Fewest of either, so that a channel can find out that they pay again. One yield is enough for two threads on one
/// core, each of which waits for the other.
const FEWEST: u8 = 3;

/// Looks ahead, in a buffer of this capacity or more: how often their pauses are doubled at most, and how many come before each look, 2 us in
/// all. Where there is room for 16 a value takes some 10 ns as long as nobody looks, and a smaller buffer would be full before a longer look. In
/// that, two that wait for each other's part come a turn of the other's apart: were each look twice as late as the one before, both
/// would miss that, and wait for a second one.
const LOOKS_AHEAD: [(usize, u8, &[u32]); 3] = [(64, 2, &[4, 8, 16]), (16, 1, &[4, 8, 16]), (0, 0, &[4, 4, 4, 8, 8])];
/// One that helps counts two, since it spares two threads a sleep, and one that does not takes one off. With less than this there
/// is one look only, and more than so much is not remembered.
const ENOUGH_HELP: u8 = 8;
const MOST_HELP: u8 = 64;

/// What goes on where a thread waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Activity {
    /// How much has happened: a number that grows with everything that does.
    pub(crate) happened: u64,
    /// More than this cannot happen without who waits.
    pub(crate) most: u64,
}

impl Activity {
    /// Of a place of which nothing is known.
    pub(crate) const NONE: Self = Self::without_end(0);

    /// Of a place where any number of things can happen.
    pub(crate) const fn without_end(happened: u64) -> Self {
        Self { happened, most: u64::MAX }
    }

    /// Has much happened since `before`, in the time that a yield `took`?
    fn is_brisk(self, before: Self, took: Duration) -> bool {
        let many = self.happened.wrapping_sub(before.happened);
        u128::from(many) > took.as_nanos() / BRISK.as_nanos() || many >= self.most
    }
}

/// What somebody looks ahead for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sought {
    Values,
    Slots,
}

impl Sought {
    /// How often the next look is doubled, after one that was so often and has found so `many`.
    fn next(self, capacity: usize, many: usize, longer: u8) -> u8 {
        match self {
            // Somebody may have waited for this one.
            Self::Values if many == 1 => 0,
            Self::Values => longer + 1,
            // Nobody waits as long as there are values left. With each look the lines go over and back, so it had better come when there is
            // room for many, and before there are none.
            Self::Slots if many < capacity / 4 => longer + 1,
            Self::Slots if many > capacity / 2 => longer.saturating_sub(1),
            Self::Slots => longer,
        }
    }
}

/// How often to look before sleeping, learnt per channel: where pauses pay, where yields do, or that neither does. Hints
/// only: lost updates do no harm.
#[derive(Debug)]
pub(crate) struct Spin {
    pauses: AtomicU8,
    /// Beyond the most: so many waits without any are to come.
    yields: AtomicU16,
    /// How slow they were of late.
    slow: AtomicU8,
    /// How often looking ahead has helped, less how often it has not.
    helped: AtomicU8,
    /// How often looks are doubled: see [`Sought::next`].
    longer: AtomicU8,
}

thread_local! {
    /// How many waits of this thread have ended by a yield that let others run, since it last slept for it. Two threads that yield to each
    /// other on one core stay there, though another core is idle: the kernel chooses a core for who wakes up, and looks only now and
    /// then whether who runs would be better off elsewhere. So one of many such waits is a sleep.
    static SHARES: Cell<u8> = const { Cell::new(0) };
}

/// Has this thread shared its core for so long that it had better sleep once? Then it begins anew.
fn has_shared_long() -> bool {
    let is_long = SHARES.get() >= SHARED;
    if is_long {
        SHARES.set(0);
    }
    is_long
}

impl Spin {
    pub(crate) fn new() -> Self {
        Self {
            pauses: AtomicU8::new(MOST_PAUSES / 2),
            yields: AtomicU16::new(MOST_YIELDS / 4),
            slow: AtomicU8::new(0),
            helped: AtomicU8::new(ENOUGH_HELP),
            longer: AtomicU8::new(0),
        }
    }

    /// Never look: there is nobody who could end the wait.
    pub(crate) fn none() -> Self {
        let [pauses, slow, helped, longer] = [0; 4].map(AtomicU8::new);
        Self { pauses, yields: AtomicU16::new(0), slow, helped, longer }
    }

    /// A thread has found a buffer of this capacity empty, or full, and looks a little later how many of what is `sought` `are_there`, before
    /// it queues. True if there are any. Who fills the buffer, or empties it, has gone on meanwhile: so there are many values or slots at once, nobody is woken up for them,
    /// and the channel's cache lines have come over once for all of them.
    #[cold]
    #[inline(never)]
    pub(crate) fn look_ahead(&self, capacity: usize, sought: Sought, are_there: impl Fn() -> usize) -> bool {
        // Goroutines, and tasks, make room for whom they wait for.
        if cfg!(any(gochan_loom, gochan_shuttle)) || !several_cores() || super::in_goroutine() {
            return false;
        }
        let helped = self.helped.load(Ordering::Relaxed);
        let kind = LOOKS_AHEAD.iter().find(|(least, ..)| capacity >= *least);
        let &(_, longest, looks) = kind.expect("every capacity is 0 or more");
        let longer = self.longer.load(Ordering::Relaxed).min(longest);
        for pauses in &looks[..if helped < ENOUGH_HELP { 1 } else { looks.len() }] {
            (0..pauses << longer).for_each(|_| pause());
            let many = are_there();
            if many > 0 {
                self.longer.store(sought.next(capacity, many, longer).min(longest), Ordering::Relaxed);
                self.helped.store((helped + 2).min(MOST_HELP), Ordering::Relaxed);
                return true;
            }
        }
        self.helped.store(helped.saturating_sub(1), Ordering::Relaxed);
        false
    }

    fn yield_has_paid(&self) {
        let slow = self.slow.load(Ordering::Relaxed);
        if slow > 0 {
            self.slow.store(slow - 1, Ordering::Relaxed);
        }
    }

    /// A yield was slow. True if it was one too many: then there are none for a while.
    #[cold]
    fn is_too_slow(&self) -> bool {
        let slow = self.slow.load(Ordering::Relaxed) + SLOW;
        let too_slow = slow >= TOO_SLOW;
        if too_slow {
            self.yields.store(MOST_YIELDS + WAITS_WITHOUT, Ordering::Relaxed);
        }
        // After those waits, the next slow one is one too many at once.
        self.slow.store(if too_slow { SLOW } else { slow }, Ordering::Relaxed);
        too_slow
    }

    fn until_done(&self, wait: &Wait, deadline: Option<Instant>, activity: &dyn Fn() -> Activity) -> Option<Done> {
        let (pauses, yields) = (self.pauses.load(Ordering::Relaxed), self.yields.load(Ordering::Relaxed));
        if several_cores() {
            for _ in 0..pauses {
                if let Some(done) = wait.done() {
                    pays(pauses, MOST_PAUSES, |count| self.pauses.store(count, Ordering::Relaxed));
                    return Some(done);
                }
                pause();
            }
            does_not_pay(pauses.into(), |count| self.pauses.store(count as u8, Ordering::Relaxed));
        }
        if yields > MOST_YIELDS {
            self.yields.store(if yields > MOST_YIELDS + 1 { yields - 1 } else { FEWEST.into() }, Ordering::Relaxed);
            return wait.done();
        }
        if has_shared_long() {
            return wait.done();
        }
        let (mut before, mut took) = (activity(), Duration::ZERO);
        for _ in 0..yields {
            if let Some(done) = wait.done() {
                pays(yields, MOST_YIELDS, |count| self.yields.store(count, Ordering::Relaxed));
                self.yield_has_paid();
                SHARES.set(SHARES.get() + u8::from(took > LET_OTHERS_RUN));
                return Some(done);
            }
            if passed(deadline) {
                return None;
            }
            let start = Instant::now();
            thread::yield_now();
            took = start.elapsed();
            if took > SLOW_YIELD {
                let now = activity();
                if !now.is_brisk(before, took) && self.is_too_slow() {
                    return wait.done();
                }
                before = now;
            }
        }
        does_not_pay(yields, |count| self.yields.store(count, Ordering::Relaxed));
        None
    }
}

/// One wait that was not in vain outweighs many that were.
fn pays<N: PartialEq>(now: N, most: N, store: impl FnOnce(N)) {
    if now != most {
        store(most);
    }
}

fn does_not_pay(now: u16, store: impl FnOnce(u16)) {
    if now > FEWEST.into() {
        store(now - 1);
    }
}

impl Wait {
    /// gopark of whoever runs here, an OS thread or a goroutine: returns how the wait ended, and then it is over. Or `None` once
    /// the deadline has passed; then the caller still has to withdraw the wait under the channel's lock, and may find it
    /// ended there, and says that it is [over](Self::over).
    ///
    /// `activity` says what goes on where it waits, `before_sleep` runs once if the thread is really going to sleep.
    #[inline(always)]
    pub(crate) fn park(
        &self,
        deadline: Option<Instant>,
        spin: &Spin,
        activity: &dyn Fn() -> Activity,
        before_sleep: impl FnOnce(),
    ) -> Option<Done> {
        match super::goroutine::scheduler() {
            Some(scheduler) => self.park_goroutine(scheduler, deadline, before_sleep),
            None => self.park_thread(deadline, spin, activity, before_sleep),
        }
    }

    #[inline(never)]
    fn park_thread(
        &self,
        deadline: Option<Instant>,
        spin: &Spin,
        activity: &dyn Fn() -> Activity,
        before_sleep: impl FnOnce(),
    ) -> Option<Done> {
        if passed(deadline) {
            return self.done();
        }
        // Under a model checker a look is a branch that teaches nothing.
        if !cfg!(any(gochan_loom, gochan_shuttle)) {
            if let Some(done) = spin.until_done(self, deadline, activity) {
                return Some(done);
            }
        }
        before_sleep();
        if let Some(done) = self.fall_asleep(Waiter::Thread(thread::current(), Who::this_thread())) {
            return Some(done);
        }
        if deadline.is_some() {
            self.set_timed();
        }
        loop {
            match deadline {
                None => thread::park(),
                Some(deadline) => match time_left(deadline) {
                    Some(left) => thread::park_timeout(left),
                    None => return self.done(),
                },
            }
            // The kernel's token may be somebody else's: only the word counts.
            if let Some(done) = self.done() {
                return Some(done);
            }
        }
    }
}

fn passed(deadline: Option<Instant>) -> bool {
    // Loom has no clock: a deadline has always passed, and the race is between its withdrawal and the others.
    deadline.is_some_and(|deadline| cfg!(gochan_loom) || is_over(deadline))
}

/// Pausing is of no use where the thread that is waited for cannot run meanwhile.
fn several_cores() -> bool {
    static SEVERAL: OnceLock<bool> = OnceLock::new();
    *SEVERAL.get_or_init(|| std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1))
}

#[cfg(all(test, not(any(gochan_loom, gochan_shuttle))))]
mod tests {
    use super::{Activity, ENOUGH_HELP, MOST_HELP, MOST_YIELDS, SHARED, SHARES, SLOW, Sought, Spin, several_cores};
    use crate::park::{Reason, Wait};
    use crate::primitive::Ordering;
    use std::cell::Cell;
    use std::panic::Location;
    use std::time::Duration;

    /// How often it looks, if what it looks for is there from this look on.
    fn looks(spin: &Spin, there_from: u32) -> u32 {
        let looks = Cell::new(0);
        spin.look_ahead(4, Sought::Values, || usize::from(looks.replace(looks.get() + 1) + 1 >= there_from));
        looks.get()
    }

    #[test]
    fn looks_for_room_when_there_is_room_for_many() {
        let slots = |many, longer| Sought::Slots.next(128, many, longer);
        assert_eq!([1, 31, 32, 64, 65, 128].map(|many| slots(many, 1)), [2, 2, 1, 1, 0, 0]);
        assert_eq!(slots(128, 0), 0);
        let values = |many| Sought::Values.next(128, many, 1);
        assert_eq!([1, 2, 128].map(values), [0, 2, 2]);
    }

    #[test]
    fn much_is_all_that_can_happen() {
        let took = Duration::from_millis(1);
        let is_brisk = |happened, most| Activity { happened, most }.is_brisk(Activity::without_end(0), took);
        assert!(is_brisk(1_001, u64::MAX), "as fast as it goes");
        assert!(!is_brisk(1_000, u64::MAX), "by threads that sleep in turn");
        assert!(is_brisk(128, 128), "a buffer was emptied meanwhile, and nobody waits for more");
        assert!(!is_brisk(127, 128), "who empties it had no time for that");
    }

    #[test]
    fn yields_no_more_when_they_are_too_slow() {
        let spin = Spin::new();
        assert!(!spin.is_too_slow(), "one alone may be the machine's fault");
        assert!(spin.is_too_slow());
        assert!(spin.yields.load(Ordering::Relaxed) > MOST_YIELDS);
        assert!(spin.is_too_slow(), "after the waits without, one is enough");
        (0..2 * SLOW).for_each(|_| spin.yield_has_paid());
        assert!(!spin.is_too_slow(), "yields have paid since");
    }

    #[test]
    fn sleeps_once_where_many_yields_have_let_others_run() {
        let wait = Wait::new(Reason::ChanReceive, Location::caller());
        let yields = || {
            // Who yields wants to know how much happens meanwhile.
            let asked = Cell::new(false);
            assert!(
                Spin::new()
                    .until_done(&wait, None, &|| Activity::without_end(u64::from(asked.replace(true))))
                    .is_none()
            );
            asked.get()
        };
        SHARES.set(SHARED - 1);
        assert!(yields());
        SHARES.set(SHARED);
        assert!(!yields(), "this one is a sleep");
        assert!(yields(), "and the next is not");
    }

    #[test]
    fn looks_ahead_as_long_as_that_helps() {
        if !several_cores() {
            return;
        }
        let spin = Spin::new();
        assert_eq!(looks(&spin, 2), 2);
        assert_eq!(looks(&spin, u32::MAX), 5);
        (0..MOST_HELP).for_each(|_| _ = looks(&spin, u32::MAX));
        assert_eq!(looks(&spin, u32::MAX), 1, "it has not helped for long");
        (0..ENOUGH_HELP).for_each(|_| _ = looks(&spin, 1));
        assert_eq!(looks(&spin, u32::MAX), 5, "it helps again");
    }
}
