//! Which goroutines wait for what will never happen?
//!
//! `reach.rs` proves what can be proven, at an instant at which nothing runs. What remains is told from what the dump knows.

mod freeze;
mod heap;
mod memory;
mod reach;
mod sheet;

pub use heap::Heap;

use super::{Direction, Dump, Kind, On, Routine, State, Waits, dump};
use crate::rt::parked::Thread;
use reach::{Reach, Waiter};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// From when on a wait is a long one, where nothing else is said.
const LONG: Duration = Duration::from_secs(60);

/// Goroutines, and others, that may wait in vain: what [`leaks`] found.
///
/// Its [`Display`](fmt::Display) has each as the dump shows it, below what is held against it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Leaks {
    /// The definite ones first.
    pub leaks: Vec<Leak>,
    /// Why nothing could be proven, if that is so: then no leak is definite but those of waits that nobody could end.
    pub unproven: Option<&'static str>,
    dump: Dump,
}

/// Somebody who may wait in vain.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Leak {
    /// Who, and for what.
    pub routine: Routine,
    /// How certain it is.
    pub verdict: Verdict,
    /// The argument, in words.
    pub because: String,
}

/// How certain a leak is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// It is proven that nobody can ever end the wait, but by cancelling the goroutine.
    Definite,
    /// Those who last did what is waited for have ended, or wait themselves.
    Suspected,
    /// Nothing is known but that it has waited for long.
    LongWait,
}

/// Looks for goroutines that wait for what will never happen. Go's `goroutineleak` profile, and what can be guessed beyond it.
///
/// A leak is [definite](Verdict::Definite) if nobody who could still run can get at any of the channels that the goroutine
/// waits on: it is in the hands of goroutines that are stuck themselves, or in nobody's. That is a proof, and no
/// guess: for the time that it takes all threads of the process are stopped, and every register and all memory is searched for
/// handles. What looks like a handle counts as one, so stale memory can hide a leak; a definite leak is one. See
/// [`Heap`] for a way to hide fewer.
///
/// It is [suspected](Verdict::Suspected) if those who last sent what it waits to receive, or received what it waits to send, have
/// ended or wait themselves. And it is a [long wait](Verdict::LongWait) if it has waited for more than a minute. All three
/// are of waits on channels without a deadline.
///
/// Threads are stopped only if some goroutine waits on a channel without a deadline. They stand still for some ten
/// milliseconds in a small process, and longer in a large one, some seconds for each GiB that it has in memory (see
/// `docs/design/leaks.md`); system calls that were interrupted go on
/// (`epoll_wait` and a few others may return early, with `EINTR`). Nothing is proven where that is not possible:
/// [`Leaks::unproven`] says why. It works on Linux on x86-64, if the process may be traced by its child: not under a debugger.
/// From 1 TiB of address space on it is not tried.
///
/// # Examples
///
/// ```
/// use gochan::debug::{self, Verdict};
/// use gochan::{Chan, go};
///
/// fn first_of_two() -> Option<u8> {
///     let results = Chan::new(0);
///     for result in [1, 2] {
///         let results = results.clone();
///         go(move || results.send(result)); // nobody takes the second
///     }
///     results.recv()
/// }
/// first_of_two();
/// # while !debug::channels().iter().any(|channel| channel.waiting.len() == 1) {
/// #     std::thread::yield_now();
/// # }
///
/// let found = debug::leaks();
/// for leak in found.leaks.iter().filter(|leak| leak.verdict == Verdict::Definite) {
///     println!("{:?}: {}", leak.routine.spawned_at, leak.because);
/// }
/// ```
#[must_use]
pub fn leaks() -> Leaks {
    leaks_longer_than(LONG)
}

/// As [`leaks`], with another idea of what is long.
///
/// # Examples
///
/// ```
/// use gochan::debug::{self, Verdict};
/// use std::time::Duration;
///
/// let all_that_wait = debug::leaks_longer_than(Duration::ZERO);
/// assert!(all_that_wait.leaks.iter().all(|leak| leak.routine.waits.is_some()));
/// ```
#[must_use]
pub fn leaks_longer_than(long: Duration) -> Leaks {
    let dump = dump();
    let (stuck, unproven) = match dump.routines.iter().any(could_be_proven).then(look) {
        None => (Vec::new(), None),
        Some(Ok(stuck)) => (stuck, None),
        Some(Err(why)) => (Vec::new(), Some(why)),
    };
    let mut leaks: Vec<Leak> = stuck.iter().map(|stuck| stuck.leak(&dump)).collect();
    let known = |routine: &Routine| stuck.iter().any(|stuck| Some(stuck.id()) == routine.id);
    let others = dump.routines.iter().filter(|routine| routine.kind != Kind::Goroutine || !known(routine));
    leaks.extend(others.filter_map(|routine| dump.judge(routine, long)));
    leaks.sort_by_key(|leak| leak.verdict);
    Leaks { leaks, unproven, dump }
}

/// Waits on a channel, or for nothing, and will not give up.
fn waits_for_good(routine: &Routine) -> Option<&Waits> {
    let waits = routine.waits.as_ref().filter(|waits| routine.state == State::Waiting && !waits.has_deadline)?;
    (waits.reason.is_of_channels() || waits.reason.is_for_nothing()).then_some(waits)
}

fn could_be_proven(routine: &Routine) -> bool {
    routine.kind == Kind::Goroutine && waits_for_good(routine).is_some()
}

/// Who is stuck for good, by proof.
fn look() -> Result<Vec<Stuck>, &'static str> {
    /// One at a time can stop the world.
    static LOOKS: Mutex<()> = Mutex::new(());
    let caller = crate::rt::current().is_none().then(Thread::current);
    let _looks = LOOKS.lock().unwrap_or_else(PoisonError::into_inner);
    let look = move || {
        let found = Reach::new(caller, Thread::current().stack).and_then(|mut reach| {
            reach.look()?;
            Ok(reach.waiters().iter().filter_map(|waiter| Stuck::new(&reach, waiter)).collect())
        });
        wipe();
        found
    };
    // A thread of its own has nobody's handles on its stack, nor in its registers.
    let thread =
        thread::Builder::new().name("gochan-leaks".into()).spawn(look).map_err(|_| "there is no thread for it")?;
    thread.join().unwrap_or(Err("it has panicked"))
}

/// Zeroes what the caller has left below its frame: the next thread may get the same stack, and must not look as if it knew
/// what this one has looked at.
#[inline(never)]
fn wipe() {
    std::hint::black_box(&mut [0_u8; 128 << 10]);
}

/// A goroutine that is stuck for good.
struct Stuck {
    routine: Routine,
    because: String,
}

impl Stuck {
    fn new(reach: &Reach, waiter: &Waiter) -> Option<Self> {
        if waiter.is_reached && !waiter.for_nothing {
            return None;
        }
        let identity = &waiter.identity;
        let because = if waiter.for_nothing {
            "it waits for nothing that anybody could do".into()
        } else {
            let mut holders = reach.holders(waiter);
            let others: Vec<String> = holders.by_ref().take(4).map(|other| other.to_string()).collect();
            let more = if holders.next().is_some() { ", .." } else { "" };
            match &others[..] {
                [] => "nobody else has a handle of what it waits on".into(),
                _ => format!("what it waits on is in the hands of others that are stuck: {}{more}", others.join(", ")),
            }
        };
        let waits = Waits {
            reason: waiter.reason,
            at: waiter.at,
            since: waiter.since.unwrap_or_default(),
            has_deadline: false,
            on: Vec::new(),
            key: 0,
        };
        let routine = Routine {
            kind: Kind::Goroutine,
            id: Some(identity.id()),
            parent: identity.parent(),
            name: identity.name().map(Into::into),
            spawned_at: Some(identity.spawned_at()),
            state: State::Waiting,
            waits: Some(waits),
            stack: None,
        };
        Some(Self { routine, because })
    }

    fn id(&self) -> u64 {
        self.routine.id.unwrap_or_default()
    }

    /// The dump knows on which channels it waits, if it has seen it there.
    fn leak(&self, dump: &Dump) -> Leak {
        let seen =
            dump.routines.iter().find(|routine| routine.kind == Kind::Goroutine && routine.id == self.routine.id);
        let routine = seen.filter(|seen| waits_for_good(seen).is_some()).unwrap_or(&self.routine).clone();
        Leak { routine, verdict: Verdict::Definite, because: self.because.clone() }
    }
}

impl Dump {
    /// What is to be said of somebody of whom nothing is proven.
    fn judge(&self, routine: &Routine, long: Duration) -> Option<Leak> {
        let waits = waits_for_good(routine)?;
        let leak = |verdict, because| Some(Leak { routine: routine.clone(), verdict, because });
        if waits.reason.is_for_nothing() {
            return leak(Verdict::Definite, "it waits for nothing that anybody could do".into());
        }
        let gone: Option<Vec<String>> = waits.on.iter().map(|on| self.who_is_gone(on)).collect();
        match gone {
            Some(gone) if !gone.is_empty() => leak(Verdict::Suspected, gone.join("; ")),
            _ if waits.since >= long => leak(
                Verdict::LongWait,
                format!("it has waited for {} s, which is all that is known", waits.since.as_secs()),
            ),
            _ => None,
        }
    }

    /// Who has last done what is waited for, if he will hardly do so again.
    fn who_is_gone(&self, on: &On) -> Option<String> {
        let channel = self.channel(on.channel)?;
        let (last, what) = match on.direction {
            Direction::Send => (channel.last_receive?, "receive"),
            Direction::Receive => (channel.last_send?, "send"),
            Direction::Close => return None,
        };
        let (kind, id) = last.by.filter(|(kind, _)| matches!(kind, Kind::Goroutine | Kind::Task))?;
        let ended = self.routine(kind, id).is_none();
        let waits = || self.routine(kind, id).is_some_and(|user| waits_for_good(user).is_some());
        let now = if ended { "has ended" } else { "waits itself" };
        (ended || waits()).then(|| format!("the last that was seen to {what} there was {kind} {id}, which {now}"))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Definite => "definite leak",
            Self::Suspected => "suspected leak",
            Self::LongWait => "long wait",
        })
    }
}

impl fmt::Display for Leaks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(why) = self.unproven {
            writeln!(f, "nothing could be proven: {why}\n")?;
        }
        for Leak { routine, verdict, because } in &self.leaks {
            writeln!(f, "{verdict}: {because}")?;
            self.dump.write_routine(f, routine)?;
            writeln!(f)?;
        }
        Ok(())
    }
}
