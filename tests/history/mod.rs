//! Is there an order that explains what the threads saw?
//!
//! A [`History`] holds what each thread did to one channel: operations with the stamp of their invocation and, if they
//! returned, the stamp and the result of that. [`check`] accepts it if the operations can be put in an order that the
//! [`Model`] agrees with and that respects the stamps.
//!
//! A blocking operation has two events, not one: it *begins* - and may park - and it is *completed*, often by another
//! operation. The checker chooses only when operations begin (and when waits that timed out gave up); who completes
//! whom follows from the model. So an execution is explained if every operation begins, and is completed with the
//! result it returned, between its invocation and its response.
//!
//! At a *quiescent* instant nobody was able to go on: every operation under way must be parked in the model as well.
//! This is what finds the lost wake-up, which no order of completed operations shows.
//!
//! The search is Wing and Gong's with a memory of configurations that failed. Beginnings are delayed until the next
//! response, which loses nothing: the events in between are invocations, and do not depend on them.

#![allow(dead_code, unreachable_pub, reason = "every test that includes the checker uses a part of it")]

pub mod duel;
pub mod run;

use crate::model::{CancelOutcome, Completion, ForceOutcome, Model, RecvOutcome, SendOutcome, Step, Value, WaitId};
use std::collections::HashSet;
use std::fmt::Write as _;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Op {
    Send(Value),
    TrySend(Value),
    SendTimeout(Value),
    ForceSend(Value),
    Recv,
    TryRecv,
    RecvTimeout,
    Drain,
    Len,
    IsClosed,
    Close,
    /// Drop of this thread's sender; the last one closes the channel.
    DropSender,
    /// Drop of this thread's receiver; the last one closes the channel and discards what is in it.
    DropReceiver,
}

/// What an operation returned. A value that a send gives back is not recorded: it is the one that was sent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Ret {
    Ok,
    Full,
    Empty,
    TimedOut,
    Closed,
    Got(Value),
    /// Of a send by force: what had to go.
    Displaced(Value),
    /// Of drain: how many values, the first and the last.
    Drained(usize, Option<(Value, Value)>),
    Len(usize),
    Is(bool),
    /// Of close: whether it was the first.
    First(bool),
}

impl Ret {
    pub fn drained(values: &[Value]) -> Ret {
        Ret::Drained(values.len(), values.first().map(|&first| (first, values[values.len() - 1])))
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    pub thread: usize,
    pub op: Op,
    pub invoked: u64,
    /// None: still under way when the history ends.
    pub returned: Option<(u64, Ret)>,
    /// Begins right where the record before it, of the same thread, ends: there was no stamp between the two, which
    /// would give a race the time to pass. The first one's invocation and the last one's response count.
    pub joined: bool,
}

/// What happened to one channel. Stamps are unique; a thread has one operation under way at a time.
#[derive(Clone, Debug)]
pub struct History {
    pub capacity: Option<usize>,
    pub threads: usize,
    /// How many senders and receivers there are at the beginning.
    pub senders: usize,
    pub receivers: usize,
    pub records: Vec<Record>,
    /// Stamps of the instants at which nobody was able to go on.
    pub quiescent: Vec<u64>,
}

/// The event that nothing explains: its stamp.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unexplained {
    pub stamp: u64,
}

pub fn check(history: &History) -> Result<(), Unexplained> {
    let mut search = Search { history, events: history.events(), failed: HashSet::new(), furthest: 0 };
    let start = Configuration {
        model: Model::new(history.capacity),
        senders: history.senders,
        receivers: history.receivers,
        threads: vec![Progress::Idle; history.threads],
    };
    if search.explains(0, start) {
        return Ok(());
    }
    Err(Unexplained { stamp: search.events[search.furthest].0 })
}

/// An event of a history; operations by their index.
#[derive(Clone, Copy, Debug)]
enum Event {
    Invoke(usize),
    Return(usize),
    Quiescent,
}

impl History {
    fn events(&self) -> Vec<(u64, Event)> {
        let mut events: Vec<_> = self.quiescent.iter().map(|&at| (at, Event::Quiescent)).collect();
        for (index, record) in self.records.iter().enumerate() {
            if !record.joined {
                events.push((record.invoked, Event::Invoke(index)));
            }
            if !goes_on(&self.records, index) {
                events.extend(record.returned.map(|(at, _)| (at, Event::Return(index))));
            }
        }
        events.sort_by_key(|&(at, _)| at);
        events
    }
}

/// Whether the next operation of the thread is joined to this one.
fn goes_on(records: &[Record], index: usize) -> bool {
    records.get(index + 1).is_some_and(|next| next.joined)
}

/// How far a thread's current operation has come, by its index.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Progress {
    Idle,
    Invoked(usize),
    Parked(usize),
    Completed,
}

#[derive(Clone, Debug)]
struct Configuration {
    model: Model,
    senders: usize,
    receivers: usize,
    threads: Vec<Progress>,
}

/// What of a configuration decides whether the rest of the history can be explained. The values that parked senders
/// bring follow from the threads.
type Key = (usize, bool, Vec<Value>, (Vec<WaitId>, Vec<WaitId>), Vec<Progress>);

struct Search<'a> {
    history: &'a History,
    events: Vec<(u64, Event)>,
    failed: HashSet<Key>,
    /// The furthest event that was reached, to point at when all fails.
    furthest: usize,
}

impl Search<'_> {
    /// Whether the events from `next` on can be explained from here.
    fn explains(&mut self, next: usize, mut at: Configuration) -> bool {
        let Some(&(_, event)) = self.events.get(next) else { return true };
        self.furthest = self.furthest.max(next);
        let passed = match event {
            Event::Invoke(index) => {
                at.threads[self.history.records[index].thread] = Progress::Invoked(index);
                true
            }
            Event::Return(index) => {
                let thread = &mut at.threads[self.history.records[index].thread];
                let completed = *thread == Progress::Completed;
                if completed {
                    *thread = Progress::Idle;
                }
                completed
            }
            Event::Quiescent => {
                if at.threads.contains(&Progress::Completed) {
                    return false;
                }
                !at.threads.iter().any(|thread| matches!(thread, Progress::Invoked(_)))
            }
        };
        if passed {
            return self.explains(next + 1, at);
        }
        if !self.failed.insert(at.key(next)) {
            return false;
        }
        (0..at.threads.len()).any(|thread| {
            let step = at.step(thread, &self.history.records);
            step.is_some_and(|after| self.explains(next, after))
        })
    }
}

impl Configuration {
    fn key(&self, next: usize) -> Key {
        let buffered = self.model.buffered().iter().copied().collect();
        let threads = self.threads.clone();
        (next, self.model.is_closed(), buffered, self.model.queues(), threads)
    }

    /// The thread's operation begins, or gives up waiting. None if it cannot, or if somebody would get a result other
    /// than the one that was recorded.
    fn step(&self, thread: usize, records: &[Record]) -> Option<Configuration> {
        let mut after = self.clone();
        match self.threads[thread] {
            Progress::Invoked(index) => {
                let (ret, woken) = after.begin(thread, records[index].op);
                after.threads[thread] = Progress::Parked(index);
                if let Some(ret) = ret {
                    after.complete(thread, ret, records)?;
                }
                for (id, completion) in woken {
                    let WaitId::Plain(other) = id else { unreachable!("there are no selects") };
                    after.complete(other as usize, result(completion), records)?;
                }
            }
            Progress::Parked(index) if records[index].returned.is_some_and(|r| r.1 == Ret::TimedOut) => {
                let (outcome, _) = after.model.cancel(WaitId::Plain(thread as u32));
                assert_ne!(outcome, CancelOutcome::NotWaiting, "it is parked");
                after.complete(thread, Ret::TimedOut, records)?;
            }
            _ => return None,
        }
        Some(after)
    }

    /// The section with which an operation begins, and its result if it does not park.
    fn begin(&mut self, thread: usize, op: Op) -> (Option<Ret>, Vec<(WaitId, Completion)>) {
        let id = WaitId::Plain(thread as u32);
        let model = &mut self.model;
        match op {
            Op::Send(value) | Op::SendTimeout(value) => sent(model.send(id, value)),
            Op::TrySend(value) => sent(model.try_send(value)),
            Op::Recv | Op::RecvTimeout => received(model.recv(id)),
            Op::TryRecv => received(model.try_recv(id)),
            Op::ForceSend(value) => {
                let (outcome, woken) = model.force_send(value);
                (Some(forced(outcome)), woken)
            }
            Op::Drain => {
                let (values, woken) = model.drain();
                (Some(Ret::drained(&values)), woken)
            }
            Op::Len => (Some(Ret::Len(model.len())), Vec::new()),
            Op::IsClosed => (Some(Ret::Is(model.is_closed())), Vec::new()),
            Op::Close => {
                let (first, woken) = model.close();
                (Some(Ret::First(first)), woken)
            }
            Op::DropSender => {
                self.senders -= 1;
                let woken = if self.senders == 0 { model.close().1 } else { Vec::new() };
                (Some(Ret::Ok), woken)
            }
            Op::DropReceiver => {
                self.receivers -= 1;
                let last = self.receivers == 0;
                let woken = if last { model.drop_last_receiver().1 } else { Vec::new() };
                (Some(Ret::Ok), woken)
            }
        }
    }

    fn complete(&mut self, thread: usize, ret: Ret, records: &[Record]) -> Option<()> {
        let Progress::Parked(index) = self.threads[thread] else {
            unreachable!("the model completes those who are parked")
        };
        self.threads[thread] = match goes_on(records, index) {
            true => Progress::Invoked(index + 1),
            false => Progress::Completed,
        };
        let as_recorded = records[index].returned.is_none_or(|(_, recorded)| recorded == ret);
        as_recorded.then_some(())
    }
}

fn sent((outcome, woken): Step<SendOutcome>) -> (Option<Ret>, Vec<(WaitId, Completion)>) {
    let ret = match outcome {
        SendOutcome::Sent => Some(Ret::Ok),
        SendOutcome::Full(_) => Some(Ret::Full),
        SendOutcome::Closed(_) => Some(Ret::Closed),
        SendOutcome::Parked => None,
    };
    (ret, woken)
}

fn received((outcome, woken): Step<RecvOutcome>) -> (Option<Ret>, Vec<(WaitId, Completion)>) {
    let ret = match outcome {
        RecvOutcome::Received(handed) => Some(Ret::Got(handed.value)),
        RecvOutcome::Empty => Some(Ret::Empty),
        RecvOutcome::Closed => Some(Ret::Closed),
        RecvOutcome::Parked => None,
    };
    (ret, woken)
}

pub fn forced(outcome: ForceOutcome) -> Ret {
    match outcome {
        ForceOutcome::Sent => Ret::Ok,
        ForceOutcome::Displaced(oldest) => Ret::Displaced(oldest),
        ForceOutcome::Closed(_) => Ret::Closed,
    }
}

fn result(completion: Completion) -> Ret {
    match completion {
        Completion::Sent => Ret::Ok,
        Completion::Received(handed) => Ret::Got(handed.value),
        Completion::SendClosed(_) | Completion::Closed => Ret::Closed,
        other => unreachable!("{other:?}: there are no lazy senders and no watchers"),
    }
}

/// The history as a picture: time goes down, one lane per thread, an arrow at what nothing explains.
pub fn diagram(history: &History, unexplained: Option<Unexplained>) -> String {
    const LANE: usize = 20;
    let mut picture = format!("capacity {:?}\n  stamp", history.capacity);
    for thread in 0..history.threads {
        let _ = write!(picture, "  {:LANE$}", format!("thread {thread}"));
    }
    let mut lanes = vec![""; history.threads];
    for (stamp, event) in history.events() {
        let mut rows = vec![lanes.iter().map(|lane| lane.to_string()).collect::<Vec<_>>()];
        match event {
            Event::Invoke(index) => {
                let record = &history.records[index];
                rows[0][record.thread] = format!("┌ {:?}", record.op);
                lanes[record.thread] = "│";
            }
            Event::Return(last) => {
                let first = (0..=last).rfind(|&index| !history.records[index].joined).expect("it was invoked");
                for index in first..=last {
                    let record = &history.records[index];
                    let ret = record.returned.map_or("?".into(), |(_, ret)| format!("{ret:?}"));
                    let mut row = rows[0].clone();
                    row[record.thread] = match first == last {
                        true => format!("└ {ret}"),
                        false => format!("{} {:?}: {ret}", if index == last { "└" } else { "├" }, record.op),
                    };
                    rows.push(row);
                    lanes[record.thread] = "";
                }
                rows.remove(0);
            }
            Event::Quiescent => {
                for lane in &mut rows[0] {
                    *lane = if lane.is_empty() { "-".repeat(LANE - 2) } else { "┼ parked".into() };
                }
            }
        }
        for row in rows {
            let _ = write!(picture, "\n{stamp:7}");
            for lane in row {
                let _ = write!(picture, "  {lane:LANE$}");
            }
        }
        if unexplained == Some(Unexplained { stamp }) {
            picture.push_str("  <== no order explains this");
        }
    }
    picture
}
