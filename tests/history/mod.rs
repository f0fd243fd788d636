//! Is there an order that explains what the actors saw?
//!
//! A [`History`] holds what each actor - a thread, a task, a goroutine - did to some channels: operations with the stamp of
//! their invocation and, if they returned, the stamp and the result of that. [`check`] accepts it if the steps of the
//! [`World`] can be put in an order that respects the stamps and gives every operation the result that was seen.
//!
//! A blocking operation has several instants, not one: it *begins*, and may park; it is *completed*, often by another
//! operation; a sender that had no value yet evaluates it then; a deadline passes, a future is dropped. The checker chooses
//! when each of these happens; who completes whom follows from the model. So an execution is explained if every operation
//! begins, and is completed with the result it returned, between its invocation and its response.
//!
//! At a *quiescent* instant nobody was able to go on: every operation under way must be parked in the model as well.
//! This is what finds the lost wake-up, which no order of completed operations shows.
//!
//! The search is Wing and Gong's with a memory of configurations that failed (Lowe's). Steps are delayed until the next
//! response, which loses nothing: the events in between are invocations, and do not depend on them. Channels that no select
//! has in common are checked apart, which is enough: what is possible on the one does not depend on the other.

#![allow(dead_code, unreachable_pub, reason = "every test that includes the checker uses a part of it")]

mod diagram;
pub mod duel;
pub mod polled;
pub mod ports;
pub mod program;
pub mod reference;
pub mod run;

pub use diagram::diagram;

use crate::model::op::{Op, Ret, Took};
use crate::model::world::{Gift, Move, Phase, World};
use std::collections::HashSet;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Thread,
    Task,
    Goroutine,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    pub actor: usize,
    pub op: Op,
    pub invoked: u64,
    /// None: still under way when the history ends.
    pub returned: Option<(u64, Ret)>,
    /// Begins right where the record before it, of the same actor, ends: there was no stamp between the two, which
    /// would give a race the time to pass. The first one's invocation and the last one's response count.
    pub joined: bool,
}

/// What happened to some channels. Stamps are unique; an actor has one operation under way at a time, and its records
/// follow each other.
#[derive(Clone, Debug)]
pub struct History {
    pub capacities: Vec<Option<usize>>,
    pub actors: Vec<Kind>,
    /// How many senders and receivers of each channel there are at the beginning.
    pub senders: usize,
    pub receivers: usize,
    pub records: Vec<Record>,
    /// Stamps of the instants at which nobody was able to go on.
    pub quiescent: Vec<u64>,
}

/// The event that nothing explains.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unexplained {
    pub stamp: u64,
    /// What happened on the channels in question.
    pub part: Vec<usize>,
    /// How the channels are at that event, in the last order that was tried of all that explain what was before.
    pub closest: String,
    /// How many configurations were looked at.
    pub searched: usize,
}

/// Explains a history, or says where it cannot be. How many configurations were looked at.
pub fn check(history: &History) -> Result<usize, Unexplained> {
    history.parts().into_iter().map(|part| Search::new(&history.only(&part), part).run()).sum()
}

/// An event of a history; operations by their index.
#[derive(Clone, Copy, Debug)]
enum Event {
    Invoke(usize),
    Return(usize),
    Quiescent,
}

impl History {
    /// The channels, grouped by the selects that they share.
    fn parts(&self) -> Vec<Vec<usize>> {
        let mut parts: Vec<Vec<usize>> = (0..self.capacities.len()).map(|channel| vec![channel]).collect();
        for record in &self.records {
            let channels: Vec<usize> = record.op.channels().collect();
            let (touched, mut rest): (Vec<_>, Vec<_>) =
                parts.into_iter().partition(|part| part.iter().any(|channel| channels.contains(channel)));
            rest.push(touched.concat());
            rest.iter_mut().for_each(|part| part.sort_unstable());
            parts = rest;
        }
        parts
    }

    /// What happened to these channels.
    fn only(&self, part: &[usize]) -> History {
        let records = self.records.iter().filter(|record| record.op.channels().any(|channel| part.contains(&channel)));
        History { records: records.cloned().collect(), ..self.clone() }
    }

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

/// Whether the next operation of the actor is joined to this one.
fn goes_on(records: &[Record], index: usize) -> bool {
    records.get(index + 1).is_some_and(|next| next.joined)
}

/// The world, and the record of the operation that each actor is at.
#[derive(Clone, Debug)]
struct Configuration {
    world: World,
    current: Vec<usize>,
}

/// A configuration that explains everything before an event, and the steps that have not been tried from there.
struct Frame {
    next: usize,
    at: Configuration,
    tries: Vec<(usize, Move)>,
}

struct Search<'a> {
    history: &'a History,
    part: Vec<usize>,
    events: Vec<(u64, Event)>,
    seen: HashSet<Vec<u32>>,
    /// The furthest event that was reached, and with what, to point at when all fails.
    furthest: (usize, String),
}

impl<'a> Search<'a> {
    fn new(history: &'a History, part: Vec<usize>) -> Self {
        let events = history.events();
        Search { history, part, events, seen: HashSet::new(), furthest: (0, String::new()) }
    }

    fn run(mut self) -> Result<usize, Unexplained> {
        let mut world = World::new(&self.history.capacities, self.history.actors.len());
        for channel in &mut world.channels {
            (channel.senders, channel.receivers) = (self.history.senders, self.history.receivers);
        }
        for (actor, kind) in world.actors.iter_mut().zip(&self.history.actors) {
            actor.is_task = *kind == Kind::Task;
        }
        let current = vec![0; self.history.actors.len()];
        let mut frames = Vec::new();
        let mut arrived = Some((0, Configuration { world, current }));
        loop {
            if let Some((next, at)) = arrived.take() {
                match self.pass(next, at) {
                    Ok(()) => return Ok(self.seen.len()),
                    Err(frame) => frames.extend(frame),
                }
            }
            let Some(frame) = frames.last_mut() else { break };
            match frame.tries.pop() {
                None => drop(frames.pop()),
                Some((actor, step)) => {
                    arrived = frame.at.step(actor, step, &self.history.records).map(|after| (frame.next, after));
                }
            }
        }
        let (at, closest) = self.furthest;
        Err(Unexplained { stamp: self.events[at].0, part: self.part, closest, searched: self.seen.len() })
    }

    /// Passes the events that need no step. Ok: all of them. Else the configuration that has to do one, if it is new.
    fn pass(&mut self, mut next: usize, mut at: Configuration) -> Result<(), Option<Frame>> {
        let awaited = loop {
            let Some(&(_, event)) = self.events.get(next) else { return Ok(()) };
            let phases = || at.world.actors.iter().map(|actor| actor.phase);
            match event {
                Event::Invoke(index) => at.invoke(index, &self.history.records),
                Event::Return(index) => {
                    let actor = self.history.records[index].actor;
                    if at.world.finish(actor).is_none() {
                        break actor;
                    }
                }
                Event::Quiescent if phases().all(|phase| matches!(phase, Phase::Idle | Phase::Parked)) => {}
                Event::Quiescent if phases().any(|phase| matches!(phase, Phase::Done(_))) => {
                    self.note(next, &at);
                    return Err(None);
                }
                Event::Quiescent => break 0,
            }
            next += 1;
        };
        self.note(next, &at);
        let mut signature = vec![next as u32];
        at.world.signature(&mut signature);
        signature.extend(at.current.iter().map(|index| *index as u32));
        if !self.seen.insert(signature) {
            return Err(None);
        }
        // The last is tried first: who is waited for.
        let others = (0..at.current.len()).filter(|actor| *actor != awaited);
        let tries =
            others.chain([awaited]).flat_map(|actor| at.world.moves(actor).into_iter().map(move |m| (actor, m)));
        Err(Some(Frame { next, tries: tries.collect(), at }))
    }

    fn note(&mut self, next: usize, at: &Configuration) {
        if next > self.furthest.0 || self.furthest.1.is_empty() {
            self.furthest = (next, diagram::state(&at.world, &self.part, &self.history.actors));
        }
    }
}

impl Configuration {
    fn invoke(&mut self, index: usize, records: &[Record]) {
        let record = &records[index];
        self.current[record.actor] = index;
        self.world.invoke(record.actor, record.op.clone());
    }

    /// The configuration after a step. None if somebody would get a result other than the one that was recorded.
    fn step(&self, actor: usize, step: Move, records: &[Record]) -> Option<Configuration> {
        let mut after = self.clone();
        for changed in after.world.play(actor, step) {
            let index = after.current[changed];
            let recorded = records[index].returned.map(|(_, ret)| ret);
            match after.world.actors[changed].phase {
                Phase::Done(ret) if recorded.is_some_and(|recorded| recorded != ret) => return None,
                Phase::Given(arm, gift) if recorded.is_some_and(|recorded| !may_become(arm, gift, recorded)) => {
                    return None;
                }
                Phase::Done(_) if goes_on(records, index) => {
                    after.world.finish(changed);
                    after.invoke(index + 1, records);
                }
                _ => {}
            }
        }
        Some(after)
    }
}

/// Whether an operation that was given this may return that.
fn may_become(arm: usize, gift: Gift, ret: Ret) -> bool {
    match (ret, gift) {
        (Ret::Chose(chosen, _), _) if chosen != arm => false,
        (Ret::Got(value) | Ret::Chose(_, Took::Got(value)), Gift::Value(handed)) => value == handed.value,
        _ => true,
    }
}
