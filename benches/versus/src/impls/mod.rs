//! The columns: which library takes part in which kind of work.

mod async_channel;
mod crossbeam;
mod crossfire;
mod flume;
pub mod go;
mod gochan;
mod gochan_rt;
mod kanal;
mod may;
mod std_mpsc;
mod threads;
mod tokio_mpsc;
mod tokio_rt;

use crate::kinds::Cap;
use crate::measure::Metrics;
use crate::scenario::{Family, Guarantee, Hands, Holding, Job, Link, Pace, Room, Wait, Work};
use crate::work::{goroutines, growth, guarantees, latency, limits, memory, tasks, threads as blocking, timers};
use std::time::Duration;

/// What a cell measured; `None` where the library cannot.
type Ran = Option<Metrics>;

/// With so many, for about that long.
type Growing = fn(usize, Duration) -> Ran;

/// A column: an entry for each kind of work the library can do.
pub struct Impl {
    pub name: &'static str,
    threads: Option<fn(&Link, Duration) -> Ran>,
    selects: Option<fn(&Link, Duration) -> Ran>,
    tasks: Option<fn(&Link, usize, Duration) -> Ran>,
    task_selects: Option<fn(&Link, usize, Duration) -> Ran>,
    goroutines: Option<fn(Job, usize, Duration) -> Ran>,
    /// By [`Family`].
    growth: [Option<Growing>; Family::ALL.len()],
    latency: Option<fn(Pace, Room, Duration) -> Ran>,
    latency_tasks: Option<fn(Pace, Room, Duration) -> Ran>,
    latency_goroutines: Option<fn(Pace, Room, Duration) -> Ran>,
    memory: Option<fn(Holding, Room, bool) -> Ran>,
    memory_tasks: Option<fn(Holding, Room, bool) -> Ran>,
    timers: Option<fn(Wait, Duration, Duration) -> Ran>,
    limits: Option<fn(&str, Duration) -> Ran>,
    guarantees: Option<fn(Guarantee, Cap) -> Ran>,
    guarantees_tasks: Option<fn(Guarantee, Cap) -> Ran>,
    select_sends: Option<fn(Cap) -> Ran>,
}

impl Impl {
    const fn new(name: &'static str) -> Self {
        Impl {
            name,
            threads: None,
            selects: None,
            tasks: None,
            task_selects: None,
            goroutines: None,
            growth: [None; Family::ALL.len()],
            latency: None,
            latency_tasks: None,
            latency_goroutines: None,
            memory: None,
            memory_tasks: None,
            timers: None,
            limits: None,
            guarantees: None,
            guarantees_tasks: None,
            select_sends: None,
        }
    }

    const fn threads<L: crate::kinds::Threads>(self) -> Self {
        let (threads, latency) = (Some(blocking::cell::<L> as _), Some(latency::threads_cell::<L> as _));
        let column = self.grows(Family::Threads, growth::threads_cell::<L>);
        let column = column.grows(Family::OneCore, growth::one_core_cell::<L>);
        let guarantees = Some(guarantees::threads_cell::<L> as _);
        Impl { threads, latency, memory: Some(memory::threads_cell::<L>), guarantees, ..column }
    }

    const fn selects<L: crate::kinds::Selects>(self) -> Self {
        let column = self.grows(Family::Arms, growth::arms_cell::<L>);
        let select_sends = Some(guarantees::select_cell::<L> as _);
        Impl { selects: Some(blocking::select_cell::<L>), select_sends, ..column }
    }

    const fn try_selects<L: crate::kinds::TrySelects>(self) -> Self {
        self.grows(Family::TryArms, growth::try_arms_cell::<L>)
    }

    const fn timers<L: crate::kinds::Timers>(self) -> Self {
        Impl { timers: Some(timers::cell::<L>), ..self }
    }

    const fn tasks<L: crate::kinds::Tasks>(self) -> Self {
        let (tasks, latency_tasks) = (Some(tasks::cell::<L> as _), Some(latency::tasks_cell::<L> as _));
        let column =
            self.grows(Family::Waiters, growth::waiters_cell::<L>).grows(Family::Withdraw, growth::withdraw_cell::<L>);
        let guarantees_tasks = Some(guarantees::tasks_cell::<L> as _);
        Impl { tasks, latency_tasks, memory_tasks: Some(memory::tasks_cell::<L>), guarantees_tasks, ..column }
    }

    const fn task_selects<L: crate::kinds::TaskSelects>(self) -> Self {
        Impl { task_selects: Some(tasks::select_cell::<L>), ..self }
    }

    const fn goroutines<G: crate::kinds::Goroutines>(self) -> Self {
        let column =
            self.grows(Family::Goroutines, growth::goroutines_cell::<G>).grows(Family::Ring, growth::ring_cell::<G>);
        let (goroutines, latency) = (Some(goroutines::cell::<G> as _), Some(latency::goroutines_cell::<G> as _));
        Impl { goroutines, latency_goroutines: latency, ..column }
    }

    const fn grows(mut self, family: Family, cell: Growing) -> Self {
        self.growth[family as usize] = Some(cell);
        self
    }

    /// Whether this column has anything to show in scenarios of that kind.
    pub fn takes(&self, work: &Work) -> bool {
        match *work {
            Work::Threads(link) if link.shape.is_select() => self.selects.is_some(),
            Work::Threads(_) => self.threads.is_some(),
            Work::Tasks(link, _) if link.shape.is_select() => self.task_selects.is_some(),
            Work::Tasks(..) => self.tasks.is_some(),
            Work::Goroutines(..) => self.goroutines.is_some(),
            Work::Growth(family, _) => self.growth[family as usize].is_some(),
            Work::Limit(_) => self.limits.is_some(),
            Work::Latency { hands, .. } => self.latency(hands).is_some(),
            Work::Memory { tasks, .. } => (if tasks { self.memory_tasks } else { self.memory }).is_some(),
            Work::Timer(..) => self.timers.is_some(),
            Work::Guarantee { guarantee: Guarantee::SelectSends, .. } => self.select_sends.is_some(),
            Work::Guarantee { tasks, .. } => (if tasks { self.guarantees_tasks } else { self.guarantees }).is_some(),
        }
    }

    fn latency(&self, hands: Hands) -> Option<fn(Pace, Room, Duration) -> Ran> {
        match hands {
            Hands::Threads => self.latency,
            Hands::Tasks => self.latency_tasks,
            Hands::Goroutines => self.latency_goroutines,
        }
    }

    /// Runs one cell in this process.
    pub fn cell(&self, work: &Work, target: Duration) -> Ran {
        match *work {
            Work::Threads(ref link) if link.shape.is_select() => self.selects?(link, target),
            Work::Threads(ref link) => self.threads?(link, target),
            Work::Tasks(ref link, workers) if link.shape.is_select() => self.task_selects?(link, workers, target),
            Work::Tasks(ref link, workers) => self.tasks?(link, workers, target),
            Work::Goroutines(job, workers) => self.goroutines?(job, workers, target),
            Work::Growth(family, n) => self.growth[family as usize]?(n, target),
            Work::Limit(name) => self.limits?(name, target),
            Work::Latency { pace, room, hands } => self.latency(hands)?(pace, room, target),
            Work::Memory { holding, room, large, tasks: false } => self.memory?(holding, room, large),
            Work::Memory { holding, room, large, tasks: true } => self.memory_tasks?(holding, room, large),
            Work::Timer(wait, time) => self.timers?(wait, time, target),
            Work::Guarantee { guarantee: Guarantee::SelectSends, room, .. } => self.select_sends?(room.cap(1)),
            Work::Guarantee { guarantee, room, tasks: false } => self.guarantees?(guarantee, room.cap(1)),
            Work::Guarantee { guarantee, room, tasks: true } => self.guarantees_tasks?(guarantee, room.cap(1)),
        }
    }
}

/// The columns in the order of the tables; Go, a program of its own, follows them.
pub const IMPLS: &[Impl] = &[
    Impl::new("gochan")
        .threads::<gochan::Gochan>()
        .tasks::<gochan::Gochan>()
        .task_selects::<gochan::Gochan>()
        .selects::<gochan::Gochan>()
        .try_selects::<gochan::Gochan>()
        .timers::<gochan::Gochan>()
        .goroutines::<gochan_rt::Stackful>(),
    Impl::new("gochan_spawn").goroutines::<gochan_rt::Stackless>(),
    Impl::new("crossbeam")
        .threads::<crossbeam::Crossbeam>()
        .selects::<crossbeam::Crossbeam>()
        .try_selects::<crossbeam::Crossbeam>()
        .timers::<crossbeam::Crossbeam>(),
    Impl::new("crossbeam_rebuild").selects::<crossbeam::CrossbeamRebuild>(),
    Impl::new("kanal").threads::<kanal::Kanal>().tasks::<kanal::Kanal>(),
    Impl::new("flume")
        .threads::<flume::Flume>()
        .selects::<flume::Flume>()
        .tasks::<flume::Flume>()
        .task_selects::<flume::Flume>(),
    Impl::new("crossfire")
        .threads::<crossfire::Crossfire>()
        .selects::<crossfire::Crossfire>()
        .tasks::<crossfire::Crossfire>()
        .task_selects::<crossfire::Crossfire>(),
    Impl::new("async_channel")
        .threads::<async_channel::AsyncChannel>()
        .tasks::<async_channel::AsyncChannel>()
        .task_selects::<async_channel::AsyncChannel>(),
    Impl::new("std").threads::<std_mpsc::Std>(),
    Impl::new("tokio")
        .tasks::<tokio_mpsc::TokioMpsc>()
        .task_selects::<tokio_mpsc::TokioMpsc>()
        .goroutines::<tokio_rt::Alone>(),
    Impl::new("tokio+kanal").goroutines::<tokio_rt::WithKanal>(),
    Impl::new("tokio+flume").goroutines::<tokio_rt::WithFlume>(),
    Impl::new("tokio+crossfire").goroutines::<tokio_rt::WithCrossfire>(),
    Impl::new("tokio+tokio").goroutines::<tokio_rt::WithTokio>(),
    Impl::new("may").goroutines::<may::Bounded>(),
    Impl::new("may_unb").goroutines::<may::Native>(),
    Impl::new("threads").goroutines::<threads::OsThreads>(),
    Impl { limits: Some(limits::cell), ..Impl::new("physical").timers::<timers::Sleep>() },
];

pub fn named(name: &str) -> Option<&'static Impl> {
    IMPLS.iter().find(|one| one.name == name)
}
