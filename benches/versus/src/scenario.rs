//! The scenarios: what is measured, under which name.

use crate::kinds::Cap;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    Throughput,
    Latency,
    Memory,
    Timers,
    Guarantees,
}

impl Mode {
    pub const ALL: [Mode; 5] = [Mode::Throughput, Mode::Latency, Mode::Memory, Mode::Timers, Mode::Guarantees];
}

/// A table of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    pub name: &'static str,
    pub title: &'static str,
    pub mode: Mode,
}

const fn group(name: &'static str, title: &'static str, mode: Mode) -> Group {
    Group { name, title, mode }
}

pub const GROUPS: [Group; 14] = [
    group("threads", "Part 1: threads that block", Mode::Throughput),
    group("tasks-mt", "Part 2: async tasks, tokio with 2 workers (Go: 2 Ps)", Mode::Throughput),
    group("tasks-ct", "Part 2: async tasks, tokio current_thread (Go: 1 P)", Mode::Throughput),
    group("goroutines", "Part 3: goroutines and what stands in for them", Mode::Throughput),
    group("growth", "How the cost of an operation grows", Mode::Throughput),
    group("limits", "Physical limits", Mode::Throughput),
    group("latency", "Latency of a hand-off between threads (Go: goroutines)", Mode::Latency),
    group("latency-mt", "Latency of a hand-off between async tasks, tokio with 2 workers", Mode::Latency),
    group("latency-go", "Latency of a hand-off between goroutines, 2 workers", Mode::Latency),
    group("memory", "Memory, handles of threads", Mode::Memory),
    group("memory-async", "Memory, handles of async tasks", Mode::Memory),
    group("timers", "How late a timer is received (physical: thread::sleep)", Mode::Timers),
    group("guarantees", "What does not hold between threads", Mode::Guarantees),
    group("guarantees-async", "What does not hold between async tasks", Mode::Guarantees),
];

pub fn group_named(name: &str) -> Option<&'static Group> {
    GROUPS.iter().find(|group| group.name == name)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Seq,
    Spsc,
    Mpsc,
    Spmc,
    Mpmc,
    SelectRx,
    SelectBoth,
}

impl Shape {
    pub fn name(self) -> &'static str {
        match self {
            Shape::Seq => "seq",
            Shape::Spsc => "spsc",
            Shape::Mpsc => "mpsc",
            Shape::Spmc => "spmc",
            Shape::Mpmc => "mpmc",
            Shape::SelectRx => "select_rx",
            Shape::SelectBoth => "select_both",
        }
    }

    pub fn is_select(self) -> bool {
        matches!(self, Shape::SelectRx | Shape::SelectBoth)
    }
}

/// The capacity of a scenario's channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    Bounded(usize),
    /// Bounded, with room for every message of the run.
    All,
    Unbounded,
}

impl Room {
    pub fn name(self) -> String {
        match self {
            Room::Bounded(n) => format!("bounded{n}"),
            Room::All => "bounded".into(),
            Room::Unbounded => "unbounded".into(),
        }
    }

    pub fn cap(self, messages: usize) -> Cap {
        match self {
            Room::Bounded(n) => Cap::Bounded(n),
            Room::All => Cap::Bounded(messages),
            Room::Unbounded => Cap::Unbounded,
        }
    }
}

/// Messages through channels: `width` producers and/or consumers, as the shape says.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    pub shape: Shape,
    pub room: Room,
    pub width: usize,
    /// 256 bytes a message instead of 8.
    pub large: bool,
}

impl Link {
    pub fn senders(&self) -> usize {
        if matches!(self.shape, Shape::Seq | Shape::Spsc | Shape::Spmc) { 1 } else { self.width }
    }

    pub fn receivers(&self) -> usize {
        if matches!(self.shape, Shape::Spmc | Shape::Mpmc | Shape::SelectBoth) { self.width } else { 1 }
    }

    fn name(&self) -> String {
        let mut name = format!("{}_{}", self.room.name(), self.shape.name());
        if self.width != 4 {
            name += &format!("_t{}", self.width);
        }
        if self.large {
            name += "_b256";
        }
        name
    }
}

/// What goroutines are made to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    Pingpong,
    Threadring,
    Fanin0,
    Fanin100,
    Spawn,
    Yield,
    Sieve,
    Skynet,
    Parked(usize),
    Timer(usize),
}

impl Job {
    pub fn name(self) -> String {
        match self {
            Job::Parked(n) if n >= 1_000_000 => format!("parked{}m", n / 1_000_000),
            Job::Parked(n) => format!("parked{}k", n / 1_000),
            Job::Timer(100_000) => "timer".into(),
            Job::Timer(n) => format!("timer{}k", n / 1_000),
            job => format!("{job:?}").to_lowercase(),
        }
    }
}

/// What there is more and more of, while an operation stays the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Waiters,
    Withdraw,
    Arms,
    TryArms,
    Threads,
    OneCore,
    Goroutines,
    Ring,
}

impl Family {
    pub const ALL: [Family; 8] = [
        Family::Waiters,
        Family::Withdraw,
        Family::Arms,
        Family::TryArms,
        Family::Threads,
        Family::OneCore,
        Family::Goroutines,
        Family::Ring,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Family::Waiters => "waiters",
            Family::Withdraw => "withdraw",
            Family::Arms => "arms",
            Family::TryArms => "try_arms",
            Family::Threads => "threads",
            Family::OneCore => "one_core",
            Family::Goroutines => "goroutines",
            Family::Ring => "ring",
        }
    }

    pub fn named(name: &str) -> Option<Family> {
        Family::ALL.into_iter().find(|family| family.name() == name)
    }

    /// What one operation is.
    pub fn what(self) -> &'static str {
        match self {
            Family::Waiters => "a message to the first of N receivers, which then waits as the last",
            Family::Withdraw => "the middle one of N waiting receivers gives up, and waits as the last",
            Family::Arms => "a select over N arms, all ready, and the message put back",
            Family::TryArms => "a select over N arms, none ready, per arm",
            Family::Threads => "a message sent and one received, by N threads at once",
            Family::OneCore => "the same, by N threads that share one core",
            Family::Goroutines => "a round trip between two goroutines, beside N that wait",
            Family::Ring => "a hop of a token that goes round among N goroutines",
        }
    }

    /// How many of them, from few to many.
    pub fn numbers(self) -> &'static [usize] {
        match self {
            Family::Waiters | Family::Withdraw => &[1, 10, 100, 1_000],
            Family::Arms | Family::TryArms | Family::Threads | Family::OneCore => &[1, 2, 4, 8, 16, 32, 64],
            Family::Goroutines => &[10, 100, 1_000, 10_000, 100_000, 1_000_000],
            Family::Ring => &[2, 10, 100, 1_000, 10_000, 100_000],
        }
    }

    /// A scenario's name taken apart: the family's name, and how many.
    pub fn parse(scenario: &str) -> Option<(&str, usize)> {
        let (family, number) = scenario.rsplit_once('_')?;
        Some((family, number.parse().ok()?))
    }
}

/// How the latency of a hand-off is provoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// The receiver waits: one message at a time, back and forth.
    Handoff,
    /// The receiver sleeps: one message after a pause of 100 µs.
    Paced,
    /// Nobody waits for long: `mpmc` at full speed.
    Loaded,
    /// The receiver sleeps, and its sender keeps a worker busy: one message after computing for 100 µs. Goroutines only.
    Remote,
}

impl Pace {
    pub fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

/// Between whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hands {
    Threads,
    Tasks,
    Goroutines,
}

/// How a timer is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    Recv,
    /// Beside a channel on which nothing comes.
    Select,
}

impl Wait {
    pub fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

/// What takes memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holding {
    Empty,
    Buffered,
    ParkedRx,
    ParkedTx,
}

impl Holding {
    pub fn name(self) -> &'static str {
        match self {
            Holding::Empty => "empty",
            Holding::Buffered => "buffered",
            Holding::ParkedRx => "parked_rx",
            Holding::ParkedTx => "parked_tx",
        }
    }
}

/// What a library may promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guarantee {
    /// A receive that is dropped loses no value.
    CancelValue,
    /// A receive that is dropped passes on what it was told.
    CancelWakeup,
    /// Nobody takes the value that a receiver has waited for.
    ReceiversInTurn,
    /// Nobody takes the room that a sender has waited for.
    SendersInTurn,
    /// A select may send.
    SelectSends,
}

impl Guarantee {
    pub const ALL: [Guarantee; 5] = [
        Guarantee::CancelValue,
        Guarantee::CancelWakeup,
        Guarantee::ReceiversInTurn,
        Guarantee::SendersInTurn,
        Guarantee::SelectSends,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Guarantee::CancelValue => "cancel_value",
            Guarantee::CancelWakeup => "cancel_wakeup",
            Guarantee::ReceiversInTurn => "receivers_in_turn",
            Guarantee::SendersInTurn => "senders_in_turn",
            Guarantee::SelectSends => "select_sends",
        }
    }

    /// The guarantee that a scenario puts to the test.
    pub fn of(scenario: &str) -> Option<Guarantee> {
        Guarantee::ALL.into_iter().find(|guarantee| scenario.ends_with(guarantee.name()))
    }

    /// What a library lacks where it does not hold.
    pub fn what(self) -> &'static str {
        match self {
            Guarantee::CancelValue | Guarantee::CancelWakeup => "cancel safety",
            Guarantee::ReceiversInTurn => "receivers in turn",
            Guarantee::SendersInTurn => "senders in turn",
            Guarantee::SelectSends => "select with sends",
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub enum Work {
    Threads(Link),
    /// On that many workers.
    Tasks(Link, usize),
    Goroutines(Job, usize),
    /// With that many.
    Growth(Family, usize),
    Limit(&'static str),
    Latency {
        pace: Pace,
        room: Room,
        hands: Hands,
    },
    Memory {
        holding: Holding,
        room: Room,
        large: bool,
        tasks: bool,
    },
    /// One that is due after that long.
    Timer(Wait, Duration),
    Guarantee {
        guarantee: Guarantee,
        room: Room,
        tasks: bool,
    },
}

#[derive(Clone, Debug)]
pub struct Scenario {
    pub group: &'static Group,
    pub name: String,
    pub work: Work,
    /// Part of a `--quick` run.
    pub quick: bool,
}

impl Scenario {
    pub fn id(&self) -> String {
        format!("{}/{}", self.group.name, self.name)
    }
}

const ROOMS: [Room; 5] = [Room::Bounded(0), Room::Bounded(1), Room::Bounded(128), Room::All, Room::Unbounded];

/// Buffers that are full, or empty, every now and then: of these threads alone.
const SMALL: [Room; 2] = [Room::Bounded(8), Room::Bounded(32)];

/// Every scenario of a mode, in the order of the report.
pub fn all(mode: Mode) -> Vec<Scenario> {
    match mode {
        Mode::Throughput => [threads(), tasks(), goroutines(), growth(), limits()].concat(),
        Mode::Latency => latency(),
        Mode::Memory => memory(),
        Mode::Timers => timers(),
        Mode::Guarantees => guarantees(),
    }
}

fn scenario(group: &str, name: String, work: Work, quick: bool) -> Scenario {
    Scenario { group: group_named(group).expect("a group of GROUPS"), name, work, quick }
}

fn threads() -> Vec<Scenario> {
    use Shape::*;
    let mut all = Vec::new();
    let mut add = |link: Link, quick| all.push(scenario("threads", link.name(), Work::Threads(link), quick));
    let shapes = [Seq, Spsc, Mpsc, Spmc, Mpmc, SelectRx, SelectBoth];
    for room in SMALL {
        for shape in shapes {
            add(Link { shape, room, width: 4, large: false }, false);
        }
    }
    for room in ROOMS {
        // One thread alone cannot meet itself.
        for shape in shapes.into_iter().filter(|&shape| !(shape == Seq && room == Room::Bounded(0))) {
            let quick = match shape {
                Seq => room == Room::Unbounded,
                Spsc | Mpmc => true,
                SelectRx | SelectBoth => room == Room::Bounded(128),
                Mpsc | Spmc => false,
            };
            add(Link { shape, room, width: 4, large: false }, quick);
        }
        for shape in [Mpsc, Spmc, Mpmc, SelectRx, SelectBoth] {
            add(Link { shape, room, width: 2, large: false }, false);
        }
        for shape in [Spsc, Mpmc] {
            add(Link { shape, room, width: 4, large: true }, false);
        }
    }
    all
}

fn tasks() -> Vec<Scenario> {
    let mut all = Vec::new();
    for (group, prefix, workers) in [("tasks-mt", "mt", 2), ("tasks-ct", "ct", 1)] {
        for room in ROOMS.into_iter().filter(|&room| room != Room::All) {
            for shape in [Shape::Spsc, Shape::Mpsc, Shape::Mpmc, Shape::SelectRx] {
                let link = Link { shape, room, width: 4, large: false };
                let quick = workers == 2 && matches!(shape, Shape::Spsc | Shape::Mpmc) && room != Room::Bounded(1);
                all.push(scenario(group, format!("{prefix}.{}", link.name()), Work::Tasks(link, workers), quick));
            }
        }
    }
    all
}

fn goroutines() -> Vec<Scenario> {
    use Job::*;
    let both = [Pingpong, Threadring, Fanin0, Fanin100, Spawn, Sieve, Skynet];
    let on = |job: Job, workers: usize| {
        let quick = workers == 1 && matches!(job, Pingpong | Threadring | Fanin0 | Fanin100 | Spawn | Yield);
        scenario("goroutines", format!("{}_p{workers}", job.name()), Work::Goroutines(job, workers), quick)
    };
    let mut all: Vec<_> = [1, 2].into_iter().flat_map(|workers| both.map(|job| on(job, workers))).collect();
    all.push(on(Yield, 1));
    all.extend([10_000, 30_000, 100_000, 1_000_000].map(|n| on(Parked(n), 2)));
    all.extend([30_000, 100_000].map(|n| on(Timer(n), 2)));
    all
}

fn growth() -> Vec<Scenario> {
    let one =
        |family: Family, n: usize| scenario("growth", format!("{}_{n}", family.name()), Work::Growth(family, n), false);
    Family::ALL.into_iter().flat_map(|family| family.numbers().iter().map(move |&n| one(family, n))).collect()
}

fn limits() -> Vec<Scenario> {
    let names = crate::work::limits::LIMITS.iter().map(|limit| limit.0);
    names.map(|name| scenario("limits", format!("phys_{name}"), Work::Limit(name), true)).collect()
}

fn latency() -> Vec<Scenario> {
    let mut all = Vec::new();
    for (group, prefix, hands) in [("latency", "", Hands::Threads), ("latency-mt", "mt.", Hands::Tasks)] {
        for pace in [Pace::Handoff, Pace::Paced, Pace::Loaded] {
            for room in [Room::Bounded(0), Room::Bounded(1), Room::Bounded(128), Room::Unbounded] {
                // Under load an unbounded channel would only show how far its senders are ahead.
                if pace == Pace::Loaded && room == Room::Unbounded {
                    continue;
                }
                let quick = matches!(room, Room::Bounded(0 | 128));
                let name = format!("{prefix}{}_{}", room.name(), pace.name());
                all.push(scenario(group, name, Work::Latency { pace, room, hands }, quick));
            }
        }
    }
    for pace in [Pace::Handoff, Pace::Paced, Pace::Loaded, Pace::Remote] {
        for room in [Room::Bounded(0), Room::Bounded(100)] {
            // Not every runtime has a channel with room that many may receive from.
            if pace == Pace::Loaded && room != Room::Bounded(0) {
                continue;
            }
            let work = Work::Latency { pace, room, hands: Hands::Goroutines };
            all.push(scenario("latency-go", format!("go.{}_{}", room.name(), pace.name()), work, true));
        }
    }
    all
}

fn memory() -> Vec<Scenario> {
    let mut all = Vec::new();
    for (group, prefix, tasks) in [("memory", "", false), ("memory-async", "async.", true)] {
        let mut add = |holding: Holding, room: Room, large: bool| {
            let name = format!("{prefix}{}_{}{}", room.name(), holding.name(), if large { "_b256" } else { "" });
            all.push(scenario(group, name, Work::Memory { holding, room, large, tasks }, true));
        };
        for room in [Room::Bounded(0), Room::Bounded(1), Room::Bounded(128), Room::Unbounded] {
            add(Holding::Empty, room, false);
        }
        for large in [false, true] {
            add(Holding::Buffered, Room::Bounded(128), large);
            add(Holding::Buffered, Room::Unbounded, large);
        }
        for room in [Room::Bounded(0), Room::Bounded(128)] {
            add(Holding::ParkedRx, room, false);
        }
        for room in [Room::Bounded(0), Room::Bounded(1)] {
            add(Holding::ParkedTx, room, false);
        }
    }
    all
}

fn timers() -> Vec<Scenario> {
    let mut all = Vec::new();
    for wait in [Wait::Recv, Wait::Select] {
        for (name, micros) in [("50us", 50), ("1ms", 1000)] {
            let work = Work::Timer(wait, Duration::from_micros(micros));
            all.push(scenario("timers", format!("after{name}_{}", wait.name()), work, true));
        }
    }
    all
}

fn guarantees() -> Vec<Scenario> {
    use Guarantee::*;
    const BOUNDED: [Room; 3] = [Room::Bounded(0), Room::Bounded(1), Room::Bounded(128)];
    const ANY: [Room; 4] = [Room::Bounded(0), Room::Bounded(1), Room::Bounded(128), Room::Unbounded];
    let mut all = Vec::new();
    let mut add = |guarantee: Guarantee, rooms: &[Room], tasks: bool| {
        let (group, prefix) = if tasks { ("guarantees-async", "async.") } else { ("guarantees", "") };
        all.extend(rooms.iter().map(|&room| {
            let name = format!("{prefix}{}_{}", room.name(), guarantee.name());
            scenario(group, name, Work::Guarantee { guarantee, room, tasks }, true)
        }));
    };
    add(ReceiversInTurn, &ANY, false);
    add(SendersInTurn, &BOUNDED, false);
    add(SelectSends, &[Room::Bounded(1)], false);
    add(CancelValue, &ANY, true);
    add(CancelWakeup, &ANY, true);
    add(ReceiversInTurn, &ANY, true);
    add(SendersInTurn, &BOUNDED, true);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique() {
        let ids: Vec<_> = Mode::ALL.into_iter().flat_map(all).map(|s| s.id()).collect();
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
        for name in ["threads/bounded128_mpmc_b256", "threads/bounded_seq", "threads/unbounded_mpmc_t2"] {
            assert!(ids.iter().any(|id| id == name), "{name} is gone");
        }
    }

    #[test]
    fn names_of_guarantees_say_which() {
        for scenario in guarantees() {
            let Work::Guarantee { guarantee, .. } = scenario.work else { panic!("not of this group: {scenario:?}") };
            assert_eq!(Guarantee::of(&scenario.name), Some(guarantee));
        }
    }

    #[test]
    fn names_of_growth_are_taken_apart() {
        for scenario in growth() {
            let Work::Growth(family, n) = scenario.work else { panic!("not of this group: {scenario:?}") };
            assert_eq!(Family::parse(&scenario.name), Some((family.name(), n)));
        }
    }
}
