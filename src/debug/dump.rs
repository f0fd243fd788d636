//! Everybody at once: goroutines, tasks, and whoever else waits on a channel.
//!
//! Two views are put together. The workers say who lives on them and what each waits for; the channels say who is queued on
//! them. Neither stops anybody, so they are of different moments: of somebody who is seen twice the channel's view counts,
//! which is the later one.

use super::channel::{Count, Origin, see};
use super::{Channel, Direction, Kind, Reason, Stack, Use};
use std::collections::HashMap;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

/// Who waits on which channel, since when and where, and who runs: what [`dump`] saw.
///
/// Its [`Display`](fmt::Display) is in the form of Go's tracebacks.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Dump {
    /// Goroutines by number, then tasks, threads, and tasks of other executors. The last two only if they wait on a channel.
    pub routines: Vec<Routine>,
    /// The channels on which anybody has ever waited.
    pub channels: Vec<Channel>,
    /// The threads that run goroutines and tasks.
    pub workers: Vec<Worker>,
}

/// A goroutine, a task, or a thread.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Routine {
    /// What it is.
    pub kind: Kind,
    /// Its number: that of its `rt::JoinHandle` for goroutines and tasks; the system's number of a thread
    /// where it can be had (Linux), else one of our own. `None` for another executor's task, and for a thread that is
    /// only just about to sleep.
    pub id: Option<u64>,
    /// Which goroutine or task started it.
    pub parent: Option<u64>,
    /// The name that it was given.
    pub name: Option<Arc<str>>,
    /// Where it was started, if it is a goroutine or a task.
    pub spawned_at: Option<&'static Location<'static>>,
    /// What it does.
    pub state: State,
    /// What it waits for. A task that waits for nothing of ours has none.
    pub waits: Option<Waits>,
    /// Its stack, if it was asked for (see `dump_with_stacks`) and could be had.
    pub stack: Option<Stack>,
}

/// What somebody does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// Runs.
    Running,
    /// Could run, and waits for its worker.
    Runnable,
    /// Waits.
    Waiting,
}

/// What somebody waits for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Waits {
    /// Why, in Go's words.
    pub reason: Reason,
    /// In which call.
    pub at: &'static Location<'static>,
    /// For how long, right to a tick of the kernel's clock (1 to 10 ms).
    pub since: Duration,
    /// Will it give up by itself?
    pub has_deadline: bool,
    /// On which channels: several for a select, none for what is no channel.
    pub on: Vec<On>,
    /// What tells it from others at the same time: the wait's address, or what the task's waker points to.
    pub(crate) key: usize,
}

/// A channel that is waited on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct On {
    /// The channel's [`id`](Channel::id).
    pub channel: usize,
    /// What is waited for there.
    pub direction: Direction,
}

/// A thread that runs goroutines and tasks.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Worker {
    /// Tells the runtimes of the process apart.
    pub runtime: usize,
    /// Its place among the workers of its runtime.
    pub index: usize,
    /// It has nothing to do.
    pub is_asleep: bool,
    /// The goroutine or task that keeps it from answering, by its number: it has been at that for as long as the dump waited.
    pub busy_with: Option<(Kind, u64)>,
    /// Where that was started.
    pub busy_with_spawned_at: Option<&'static Location<'static>>,
    /// Goroutines that live on it. Those of a worker that is busy are listed only if they wait on a channel.
    pub residents: usize,
    /// What others have sent to it and it has not looked at: orders, and its goroutines that can run again, which count as one.
    pub inbox: usize,
    /// Closures that have not started, and tasks that are to be polled. The goroutines that the closures will be are listed as
    /// [runnable](State::Runnable), but for a worker that is busy, and for more than a few hundred.
    pub fresh: usize,
}

/// Looks at everybody: goroutines, tasks of our scheduler, and the threads and foreign tasks that wait on a channel.
///
/// Works from any thread, goroutine or task, and stops nobody. A channel's lock is taken for as long as it takes to copy its
/// queue; a worker says who lives on it between two goroutines, a few hundred at a time. One that does not come to that within
/// 10 ms, since a goroutine keeps it busy, is reported with that goroutine's number, and of its other goroutines those are
/// listed that wait on a channel.
///
/// There is no moment of which the whole is a picture. What it costs is memory, some 400 bytes per goroutine; of large
/// programs [`Dump::grouped`] says more in less space.
///
/// # Examples
///
/// ```
/// use gochan::{bounded, debug, go};
///
/// let (tx, rx) = bounded::<u8>(0);
/// tx.set_name("jobs");
/// let worker = go(move || rx.recv());
/// let id = worker.id();
/// # let waits = || debug::dump().routines.iter().any(|r| r.id == Some(id) && r.waits.is_some());
/// # while !waits() {
/// #     std::thread::sleep(std::time::Duration::from_millis(1));
/// # }
/// let dump = debug::dump();
/// let stuck = dump.routines.iter().find(|routine| routine.id == Some(id)).unwrap();
/// assert_eq!(stuck.waits.as_ref().unwrap().reason, debug::Reason::ChanReceive);
/// // goroutine 1 [chan receive]:
/// //     src/main.rs:5:31
/// //     ...
/// println!("{dump}");
/// # drop(tx);
/// # assert!(worker.join().unwrap().is_err());
/// ```
#[must_use]
pub fn dump() -> Dump {
    take(false)
}

/// As [`dump`], with the stacks of goroutines that wait.
///
/// Each of them is resumed for that by its worker, captures its stack, and waits on; what it waits for is not touched. That
/// takes some 20 us of its worker's time each, a few at a time, and memory for every frame. It needs 16 KiB that are left of a
/// goroutine's stack; whoever has less shows none, and so do those who do not wait. A stack is given names when it is shown, which
/// takes longer by far, and needs debug information to say where in the source.
///
/// # Examples
///
/// ```
/// use gochan::{bounded, debug, go};
///
/// #[inline(never)]
/// fn deep_down(rx: gochan::Receiver<u8>) -> bool {
///     rx.recv().is_ok()
/// }
///
/// let (tx, rx) = bounded(0);
/// let waits = go(move || deep_down(rx));
/// # let is_there = || debug::dump().routines.iter().any(|r| r.id == Some(waits.id()) && r.waits.is_some());
/// # while !is_there() {
/// #     std::thread::sleep(std::time::Duration::from_millis(1));
/// # }
/// let dump = debug::dump_with_stacks();
/// let routine = dump.routines.iter().find(|routine| routine.id == Some(waits.id())).unwrap();
/// assert!(routine.stack.as_ref().unwrap().to_string().contains("deep_down"));
/// tx.send(7).unwrap();
/// assert!(waits.join().unwrap());
/// ```
#[cfg(feature = "rt")]
#[must_use]
pub fn dump_with_stacks() -> Dump {
    take(true)
}

#[cfg_attr(not(feature = "rt"), allow(unused_variables))]
fn take(with_stacks: bool) -> Dump {
    #[cfg(feature = "rt")]
    let Census { routines, workers, wakers } = crate::rt::census(with_stacks);
    #[cfg(not(feature = "rt"))]
    let Census { routines, workers, wakers } = Census::default();
    let mut seen = Seen::of(routines, &wakers);
    let mut channels = crate::chan::registry::channels(see);
    channels.sort_by_key(|channel| channel.id);
    for channel in &mut channels {
        seen.meet(channel);
    }
    Dump { routines: seen.into_routines(), channels, workers }
}

/// What the schedulers know.
#[derive(Default)]
pub(crate) struct Census {
    /// Somebody may be listed twice; the first counts.
    pub(crate) routines: Vec<Routine>,
    pub(crate) workers: Vec<Worker>,
    /// What the wakers of tasks, and of goroutines that await, point to, and whose they are.
    pub(crate) wakers: Vec<(usize, u64)>,
}

/// What was seen so far.
struct Seen {
    routines: Vec<Routine>,
    /// Where goroutines and tasks are, by number.
    by_id: HashMap<u64, usize>,
    /// Where the others are, and those who may be met as others, by what tells their waits apart.
    by_key: HashMap<usize, usize>,
}

impl Seen {
    fn of(mut routines: Vec<Routine>, wakers: &[(usize, u64)]) -> Self {
        let mut by_id = HashMap::with_capacity(routines.len());
        // Who moved while his worker counted is seen twice.
        routines.retain(|routine| {
            let next = by_id.len();
            routine.id.is_some_and(|id| *by_id.entry(id).or_insert(next) == next)
        });
        let by_key = wakers.iter().filter_map(|(waker, id)| Some((*waker, *by_id.get(id)?))).collect();
        Self { routines, by_id, by_key }
    }

    /// Those who wait on a channel.
    fn meet(&mut self, channel: &mut Channel) {
        for waiting in &mut channel.waiting {
            let numbered = waiting.id.filter(|_| matches!(waiting.kind, Kind::Goroutine | Kind::Task));
            let at = match numbered {
                Some(id) => self.by_id.entry(id).or_insert(self.routines.len()),
                None => self.by_key.entry(waiting.key).or_insert(self.routines.len()),
            };
            if *at == self.routines.len() {
                let Origin { name, parent, spawned_at } = waiting.origin.clone();
                let thread = waiting.id.filter(|_| waiting.kind == Kind::Thread).and_then(crate::park::thread_of);
                let name = name.or_else(|| thread?.name().map(Arc::from));
                let (kind, id, state) = (waiting.kind, waiting.id, State::Waiting);
                let (waits, stack) = (None, None);
                self.routines.push(Routine { kind, id, parent, name, spawned_at, state, waits, stack });
            }
            let routine = &mut self.routines[*at];
            (waiting.kind, waiting.id) = (routine.kind, routine.id);
            routine.state = State::Waiting;
            let on = On { channel: channel.id, direction: waiting.direction };
            let same = |waits: &&mut Waits| {
                // What it polls waits for it.
                waits.reason == Reason::Await || waits.at == waiting.at && waits.reason == waiting.reason
            };
            match routine.waits.as_mut().filter(same) {
                Some(waits) => waits.on.push(on),
                None => {
                    routine.waits = Some(Waits {
                        reason: waiting.reason,
                        at: waiting.at,
                        since: waiting.asleep_for.unwrap_or_default(),
                        has_deadline: waiting.has_deadline,
                        on: vec![on],
                        key: waiting.key,
                    });
                }
            }
        }
    }

    fn into_routines(self) -> Vec<Routine> {
        let mut routines = self.routines;
        routines.sort_by_key(|routine| (routine.kind, routine.id));
        routines
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Goroutine => "goroutine",
            Self::Task => "task",
            Self::Thread => "thread",
            Self::ForeignTask => "foreign task",
        })
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Running => "running",
            Self::Runnable => "runnable",
            Self::Waiting => "waiting",
        })
    }
}

impl Routine {
    /// `goroutine 7 "worker"`.
    fn write_name(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        if let Some(id) = self.id {
            write!(f, " {id}")?;
        }
        self.name.as_ref().map_or(Ok(()), |name| write!(f, " {name:?}"))
    }

    /// Its state as Go has it: `chan receive, 3 minutes`.
    fn write_state(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.state, &self.waits) {
            (state, None) => write!(f, "{state}"),
            (_, Some(waits)) => {
                write!(f, "{}", waits.reason)?;
                write_minutes(f, waits.since)
            }
        }
    }
}

/// `, 3 minutes`: as in Go, from the first full one on.
pub(super) fn write_minutes(f: &mut fmt::Formatter<'_>, since: Duration) -> fmt::Result {
    match since.as_secs() / 60 {
        0 => Ok(()),
        minutes => write!(f, ", {minutes} minutes"),
    }
}

impl Dump {
    /// By its number: channels are in that order.
    pub(super) fn channel(&self, id: usize) -> Option<&Channel> {
        self.channels.binary_search_by_key(&id, |channel| channel.id).ok().map(|at| &self.channels[at])
    }

    /// Routines are in this order.
    pub(super) fn routine(&self, kind: Kind, id: u64) -> Option<&Routine> {
        let key = |routine: &Routine| (routine.kind, routine.id);
        self.routines.binary_search_by_key(&(kind, Some(id)), key).ok().map(|at| &self.routines[at])
    }

    /// Who it was that used a channel.
    fn write_user(&self, f: &mut fmt::Formatter<'_>, last: &Use) -> fmt::Result {
        match last.by {
            None => write!(f, "a thread")?,
            Some((kind, id)) => match self.routine(kind, id) {
                Some(routine) => routine.write_name(f)?,
                None => write!(f, "{kind} {id}")?,
            },
        }
        write!(f, " at {}", last.at)
    }

    /// What is known of those who could end the wait.
    fn write_other_side(&self, f: &mut fmt::Formatter<'_>, channel: &Channel, direction: Direction) -> fmt::Result {
        const MOST: usize = 4;
        let (other, verb, last) = match direction {
            Direction::Send => (Direction::Receive, "receive", &channel.last_receive),
            Direction::Receive => (Direction::Send, "send", &channel.last_send),
            Direction::Close => return Ok(()),
        };
        write!(f, "        ")?;
        let waiting = if other == Direction::Send { channel.sending } else { channel.receiving };
        match waiting {
            0 => write!(f, "nobody waits to {verb}")?,
            1 => write!(f, "1 waits to {verb}")?,
            many => write!(f, "{many} wait to {verb}")?,
        }
        for waiting in channel.waiting.iter().filter(|waiting| waiting.direction == other).take(waiting.min(MOST)) {
            write!(f, ", {}", waiting.kind)?;
            waiting.id.map_or(Ok(()), |id| write!(f, " {id}"))?;
        }
        if waiting > MOST {
            write!(f, ", ..")?;
        }
        if let Some(last) = last {
            write!(f, "; the last {verb} seen was by ")?;
            self.write_user(f, last)?;
        }
        writeln!(f)
    }

    pub(super) fn write_routine(&self, f: &mut fmt::Formatter<'_>, routine: &Routine) -> fmt::Result {
        routine.write_name(f)?;
        write!(f, " [")?;
        routine.write_state(f)?;
        writeln!(f, "]:")?;
        if let Some(waits) = &routine.waits {
            writeln!(f, "    {}", waits.at)?;
            for on in &waits.on {
                let Some(channel) = self.channel(on.channel) else { continue };
                write!(f, "    ")?;
                channel.write_head(f)?;
                writeln!(f)?;
                self.write_other_side(f, channel, on.direction)?;
            }
        }
        if let Some(stack) = &routine.stack {
            write!(f, "{stack}")?;
        }
        let Some(spawned_at) = routine.spawned_at else { return Ok(()) };
        write!(f, "created by ")?;
        match routine.parent {
            Some(parent) => write!(f, "goroutine {parent}")?,
            None => write!(f, "a thread")?,
        }
        writeln!(f, " at {spawned_at}")
    }
}

impl fmt::Display for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for routine in &self.routines {
            self.write_routine(f, routine)?;
            writeln!(f)?;
        }
        for worker in &self.workers {
            if let Some((kind, id)) = worker.busy_with {
                write!(f, "worker {} does not answer: it runs {kind} {id}", worker.index)?;
                worker.busy_with_spawned_at.map_or(Ok(()), |at| write!(f, ", created at {at}"))?;
                writeln!(f, "; {} live there", Count(worker.residents, "goroutine"))?;
            }
            if worker.fresh > 0 {
                let (fresh, index) = (worker.fresh, worker.index);
                writeln!(f, "worker {index} has {} to start or poll", Count(fresh, "goroutine or task"))?;
            }
        }
        Ok(())
    }
}
