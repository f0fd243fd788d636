//! Several channels and those who use them: whole operations, over the sections of [`Model`].
//!
//! A [`World`] says which steps an actor may take now ([`World::moves`]) and takes one of them ([`World::play`]); each is
//! one instant. Who chooses among the steps makes an execution: the history checker looks for the ones that explain what
//! was seen, a test that plays both sides takes one after the other. All that is left open is left open here, too: who
//! comes first, which of several possible arms a select chooses, when a deadline passes, when a future is dropped.
//!
//! A select waits in several channels, and its wait is one: the step that ends it, or binds it in a pair, takes it off
//! all the others.
//!
//! ```text
//!  Idle -> Invoked -> Parked -> Given -> Done
//!             ^  `------|--------^  |     ^
//!             `---------'           `-----'
//! ```
//!
//! `Invoked` also is who begins again, because a claim came to nothing or one of several arms was closed. `Given` is who
//! was given something that is not yet what the operation returns: a promise to a sender without a value, or a value that
//! may still be given back.

use super::op::{Arm, Fate, Op, Patience, Ret, Took};
use super::{
    CancelOutcome, Completion, FillOutcome, GrantOutcome, Handed, Model, Offer, RecvOutcome, SendOutcome, Ticket,
    WaitId,
};

/// What an actor was given by the end of its wait, or by the section in which it began.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Gift {
    Sent,
    Closed,
    Value(Handed),
    Pair(Ticket),
    Slot,
}

/// How far an actor's operation has come.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Phase {
    Idle,
    Invoked,
    Parked,
    /// The deadline of a select has passed: it has left its queues, and looks once more.
    Late,
    /// By the arm with this number.
    Given(usize, Gift),
    Done(Ret),
}

/// One step of an actor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Move {
    /// The section in which it begins: this arm fires; or it is no select; or no arm can fire, and it is refused. Without
    /// `waits` it does not count on tasks that have yet to make their values.
    Begin { arm: Option<usize>, waits: bool },
    /// The section in which a select parks: the first of its arms to queue, the others follow in turn. (They queue in any
    /// order, but among those that do the same on the same channel nothing counts but who is first.)
    Queue(usize),
    /// Takes what it was given: sends what was promised a place, keeps what was received; or does what its fate says.
    Take,
    /// The deadline passes, or the future is dropped.
    GiveUp,
}

#[derive(Clone, Debug)]
pub struct Channel {
    pub model: Model,
    pub senders: usize,
    pub receivers: usize,
}

#[derive(Clone, Debug)]
pub struct Actor {
    /// Whether it is an async task, for whom nobody waits who must not wait.
    pub is_task: bool,
    pub op: Option<Op>,
    pub phase: Phase,
}

#[derive(Clone, Debug)]
pub struct World {
    pub channels: Vec<Channel>,
    pub actors: Vec<Actor>,
}

impl World {
    /// Everybody has a sender and a receiver of every channel.
    pub fn new(capacities: &[Option<usize>], actors: usize) -> World {
        let channel = |&capacity| Channel { model: Model::new(capacity), senders: actors, receivers: actors };
        let actor = Actor { is_task: false, op: None, phase: Phase::Idle };
        World { channels: capacities.iter().map(channel).collect(), actors: vec![actor; actors] }
    }

    pub fn invoke(&mut self, actor: usize, op: Op) {
        let actor = &mut self.actors[actor];
        assert_eq!(actor.phase, Phase::Idle, "it does something else");
        (actor.op, actor.phase) = (Some(op), Phase::Invoked);
    }

    /// The result of an operation that is over, after which the actor may begin another.
    pub fn finish(&mut self, actor: usize) -> Option<Ret> {
        let actor = &mut self.actors[actor];
        let Phase::Done(ret) = actor.phase else { return None };
        (actor.op, actor.phase) = (None, Phase::Idle);
        Some(ret)
    }

    /// The steps that an actor may take now.
    pub fn moves(&self, actor: usize) -> Vec<Move> {
        let Actor { op: Some(op), phase, .. } = &self.actors[actor] else { return vec![] };
        let gives_up = match op.patience() {
            Patience::Forever | Patience::Not => None,
            Patience::Limited => (*phase == Phase::Parked).then_some(Move::GiveUp),
            Patience::Dropped => Some(Move::GiveUp),
        };
        match phase {
            Phase::Idle | Phase::Done(_) => vec![],
            Phase::Parked => gives_up.into_iter().collect(),
            Phase::Given(..) => [Move::Take].into_iter().chain(gives_up).collect(),
            Phase::Late => self.beginnings(actor, op, false),
            Phase::Invoked => match op.patience() {
                Patience::Forever | Patience::Dropped => self.beginnings(actor, op, true),
                Patience::Not => self.beginnings(actor, op, false),
                // The deadline may have passed before it looks; that counts where a task is all that there is.
                Patience::Limited => {
                    let tasks = op
                        .arms()
                        .enumerate()
                        .any(|(i, arm)| self.can(actor, i, arm, true) != self.can(actor, i, arm, false));
                    let late = if tasks { self.beginnings(actor, op, false) } else { vec![] };
                    self.beginnings(actor, op, true).into_iter().chain(late).collect()
                }
            },
        }
    }

    /// Whether an arm could fire now.
    fn can(&self, actor: usize, i: usize, arm: Arm, waits: bool) -> bool {
        let id = WaitId::Arm { select: actor as u32, arm: i as u32 };
        let model = &self.channels[arm.channel()].model;
        match arm {
            Arm::Send(..) => model.can_send(id),
            Arm::Recv(_) => model.can_recv(id, waits),
        }
    }

    fn beginnings(&self, actor: usize, op: &Op, waits: bool) -> Vec<Move> {
        if !op.is_select() {
            return vec![Move::Begin { arm: None, waits }];
        }
        let possible = op.arms().enumerate().filter(|&(i, arm)| self.can(actor, i, arm, waits));
        let possible: Vec<_> = possible.map(|(i, _)| Move::Begin { arm: Some(i), waits }).collect();
        let alike = |(i, arm): (usize, Arm)| op.arms().take(i).any(|other| other.place() == arm.place());
        match (possible.is_empty(), waits) {
            (false, _) => possible,
            (true, false) => vec![Move::Begin { arm: None, waits }],
            (true, true) if op.arms().enumerate().any(alike) => (0..op.arms().count()).map(Move::Queue).collect(),
            (true, true) => vec![Move::Queue(0)],
        }
    }

    /// Takes one of the steps that the actor may take. Returns whose phases have changed, the actor's first.
    pub fn play(&mut self, actor: usize, step: Move) -> Vec<usize> {
        let mut changed = vec![actor];
        let op = self.actors[actor].op.clone().expect("it does something");
        let woken = match (step, self.actors[actor].phase) {
            (Move::Begin { arm, waits }, Phase::Invoked | Phase::Late) => self.begin(actor, &op, arm, waits),
            (Move::Queue(first), Phase::Invoked) => {
                let (before, after): (Vec<_>, Vec<_>) = (0..op.arms().count()).partition(|i| *i < first);
                let woken = after.into_iter().chain(before).map(|i| self.attempt(actor, &op, i, true));
                woken.collect::<Vec<_>>().concat()
            }
            (Move::Take, Phase::Given(arm, gift)) => self.take(actor, &op, arm, gift, op.fate()),
            (Move::GiveUp, Phase::Given(arm, gift)) => {
                let woken = self.take(actor, &op, arm, gift, Fate::Broken);
                self.actors[actor].phase = Phase::Done(Ret::Cancelled);
                woken
            }
            (Move::GiveUp, Phase::Parked) => {
                let woken = self.leave(actor, &op, usize::MAX);
                self.actors[actor].phase = match op.patience() {
                    Patience::Limited if op.is_select() => Phase::Late,
                    Patience::Limited => Phase::Done(Ret::TimedOut),
                    _ => Phase::Done(Ret::Cancelled),
                };
                woken
            }
            (Move::GiveUp, Phase::Invoked) => {
                self.actors[actor].phase = Phase::Done(Ret::Cancelled);
                vec![]
            }
            (step, phase) => unreachable!("{step:?} in {phase:?}"),
        };
        self.wake(woken, &mut changed);
        self.bind_selects();
        changed
    }

    /// Tells those who were woken; who waits in other channels, too, leaves them.
    fn wake(&mut self, mut woken: Vec<(WaitId, Completion)>, changed: &mut Vec<usize>) {
        while let Some((id, completion)) = (!woken.is_empty()).then(|| woken.remove(0)) {
            let (actor, arm) = match id {
                WaitId::Plain(actor) => (actor as usize, 0),
                WaitId::Arm { select, arm } => (select as usize, arm as usize),
            };
            assert_eq!(self.actors[actor].phase, Phase::Parked, "I5: somebody who does not wait was woken");
            let op = self.actors[actor].op.clone().expect("it waits");
            let one_of_several = matches!(op, Op::Select(..)) && op.arms().count() > 1;
            let gift = match completion {
                Completion::Sent => Some(Gift::Sent),
                Completion::Received(handed) => Some(Gift::Value(handed)),
                Completion::Paired(ticket) => Some(Gift::Pair(ticket)),
                Completion::Reserved => Some(Gift::Slot),
                // Of several arms that a close has made possible, this one would be chosen only by chance.
                Completion::Closed if one_of_several => None,
                Completion::Closed | Completion::SendClosed(_) => Some(Gift::Closed),
                Completion::Retry => None,
                Completion::Ready => unreachable!("there are no watchers"),
            };
            woken.extend(self.leave(actor, &op, op.arm(arm).expect("it waits there").channel()));
            match gift {
                Some(gift) => self.give(actor, &op, arm, gift),
                None => self.actors[actor].phase = Phase::Invoked,
            }
            changed.push(actor);
        }
    }

    /// A select whose arm has been bound in a pair waits nowhere else.
    fn bind_selects(&mut self) {
        for channel in 0..self.channels.len() {
            let bound: Vec<_> = self.channels[channel].model.pairs.values().map(|receiver| receiver.id).collect();
            for id in bound {
                if let WaitId::Arm { select, .. } = id {
                    let op = self.actors[select as usize].op.clone().expect("it waits");
                    let woken = self.leave(select as usize, &op, channel);
                    assert!(woken.is_empty(), "who leaves wakes nobody");
                }
            }
        }
    }

    /// Takes a wait off the queues of all channels but one.
    fn leave(&mut self, actor: usize, op: &Op, but: usize) -> Vec<(WaitId, Completion)> {
        let mut woken = Vec::new();
        for (i, arm) in op.arms().enumerate() {
            if arm.channel() != but {
                let (outcome, others) = self.channels[arm.channel()].model.cancel(op.wait(actor, i));
                debug_assert!(op.is_select() || outcome != CancelOutcome::NotWaiting, "it is parked");
                woken.extend(others);
            }
        }
        woken
    }

    fn begin(&mut self, actor: usize, op: &Op, arm: Option<usize>, waits: bool) -> Vec<(WaitId, Completion)> {
        if op.arm(0).is_none() {
            let (ret, woken) = self.at_once(op);
            self.actors[actor].phase = Phase::Done(ret);
            return woken;
        }
        if op.is_select() && arm.is_none() {
            self.actors[actor].phase = Phase::Done(refusal(op));
            return vec![];
        }
        self.attempt(actor, op, arm.unwrap_or(0), waits)
    }

    /// What an arm does in the section in which its operation begins.
    fn attempt(&mut self, actor: usize, op: &Op, arm: usize, waits: bool) -> Vec<(WaitId, Completion)> {
        self.actors[actor].phase = Phase::Parked;
        let (id, what) = (op.wait(actor, arm), op.arm(arm).expect("there is one"));
        let model = &mut self.channels[what.channel()].model;
        let (gift, woken) = match what {
            Arm::Recv(_) => {
                let (outcome, woken) = match (waits, op.is_select()) {
                    (true, true) => model.select_recv(id),
                    (true, false) => model.recv(id),
                    (false, _) => model.try_recv(id),
                };
                let gift = match outcome {
                    RecvOutcome::Received(handed) => Ok(Gift::Value(handed)),
                    RecvOutcome::Closed => Ok(Gift::Closed),
                    RecvOutcome::Empty => Err(true),
                    RecvOutcome::Parked => Err(false),
                };
                (gift, woken)
            }
            Arm::Send(_, value) if matches!(op, Op::Send(..) | Op::SelectGo(..)) => {
                let (outcome, woken) = if waits { model.send(id, value) } else { model.try_send(value) };
                let gift = match outcome {
                    SendOutcome::Sent => Ok(Gift::Sent),
                    SendOutcome::Closed(_) => Ok(Gift::Closed),
                    SendOutcome::Full(_) => Err(true),
                    SendOutcome::Parked => Err(false),
                };
                (gift, woken)
            }
            Arm::Send(..) => {
                let is_task = self.actors[actor].is_task || matches!(op, Op::Permit(..));
                let offer = if is_task { Offer::LazyTask } else { Offer::Lazy };
                let (outcome, woken) = if waits { model.lazy_send(id, offer) } else { model.try_lazy_send(id) };
                let gift = match outcome {
                    GrantOutcome::Paired(ticket) => Ok(Gift::Pair(ticket)),
                    GrantOutcome::Reserved => Ok(Gift::Slot),
                    GrantOutcome::Closed => Ok(Gift::Closed),
                    GrantOutcome::Full => Err(true),
                    GrantOutcome::Parked => Err(false),
                };
                (gift, woken)
            }
        };
        match gift {
            Ok(gift) => self.give(actor, op, arm, gift),
            Err(true) => self.actors[actor].phase = Phase::Done(refusal(op)),
            Err(false) => {}
        }
        woken
    }

    /// What is neither a promise nor can be given back any more is what the operation returns.
    fn give(&mut self, actor: usize, op: &Op, arm: usize, gift: Gift) {
        let is_final = op.patience() != Patience::Dropped && op.fate() == Fate::Kept;
        self.actors[actor].phase = match gift {
            Gift::Sent | Gift::Closed | Gift::Value(_) if is_final => Phase::Done(returned(op, arm, gift)),
            _ => Phase::Given(arm, gift),
        };
    }

    fn take(&mut self, actor: usize, op: &Op, arm: usize, mut gift: Gift, fate: Fate) -> Vec<(WaitId, Completion)> {
        let what = op.arm(arm).expect("it was chosen");
        let model = &mut self.channels[what.channel()].model;
        let ((), woken) = match (gift, what, fate) {
            (Gift::Sent | Gift::Closed, ..) | (Gift::Value(_), _, Fate::Kept) => ((), vec![]),
            (Gift::Value(handed), _, Fate::Broken) => model.give_back(handed),
            (Gift::Pair(ticket), _, Fate::Broken) => model.undo_pair(ticket),
            (Gift::Slot, _, Fate::Broken) => model.release_reserved(),
            (_, Arm::Send(_, value), Fate::Kept) => {
                let (outcome, woken) = match gift {
                    Gift::Pair(ticket) => model.fill(ticket, value),
                    _ => model.fill_reserved(value),
                };
                gift = if outcome == FillOutcome::Sent { Gift::Sent } else { Gift::Closed };
                ((), woken)
            }
            _ => unreachable!("a promise to a receiver"),
        };
        let ret = match (fate, op) {
            (Fate::Kept, _) => returned(op, arm, gift),
            (Fate::Broken, Op::Permit(..)) if gift == Gift::Closed => Ret::Closed,
            (Fate::Broken, Op::Permit(..)) => Ret::Broken,
            (Fate::Broken, _) => Ret::Chose(arm, Took::Broken),
        };
        self.actors[actor].phase = Phase::Done(ret);
        woken
    }

    /// An operation that never waits.
    fn at_once(&mut self, op: &Op) -> (Ret, Vec<(WaitId, Completion)>) {
        let Channel { model, senders, receivers } = &mut self.channels[op.channels().next().expect("it has a channel")];
        match *op {
            Op::ForceSend(_, value) => {
                let (outcome, woken) = model.force_send(value);
                (Ret::forced(outcome), woken)
            }
            Op::Drain(_) => {
                let (values, woken) = model.drain();
                (Ret::drained(&values), woken)
            }
            Op::Len(_) => (Ret::Len(model.len()), vec![]),
            Op::IsClosed(_) => (Ret::Is(model.is_closed()), vec![]),
            Op::Close(_) => {
                let (first, woken) = model.close();
                (Ret::First(first), woken)
            }
            Op::DropSender(_) => {
                *senders -= 1;
                (Ret::Ok, if *senders == 0 { model.close().1 } else { vec![] })
            }
            Op::DropReceiver(_) => {
                *receivers -= 1;
                (Ret::Ok, if *receivers == 0 { model.drop_last_receiver().1 } else { vec![] })
            }
            _ => unreachable!("it may wait"),
        }
    }

    pub fn invariants(&self) -> Result<(), &'static str> {
        self.channels.iter().try_for_each(|channel| channel.model.invariants())
    }

    /// What decides how this world may go on: all but the names of tickets, arrivals and hand-offs, of which only the order
    /// counts. Two worlds with the same operations under way and the same signature behave alike.
    pub fn signature(&self, into: &mut Vec<u32>) {
        const END: u32 = u32::MAX;
        let rank = |all: &[u32], one: u32| all.iter().filter(|other| **other < one).count() as u32;
        let id = |id: WaitId| match id {
            WaitId::Plain(actor) => actor << 8,
            WaitId::Arm { select, arm } => select << 8 | arm,
        };
        for (number, Channel { model, senders, receivers }) in self.channels.iter().enumerate() {
            into.extend([u32::from(model.closed), *senders as u32, *receivers as u32, model.reserved as u32]);
            into.extend(&model.buffer);
            into.push(END);
            into.extend(model.sendq.iter().map(|s| id(s.id)));
            into.push(END);
            into.extend(model.recvq.iter().map(|r| id(r.id)));
            // What was given by this channel.
            let given = |pick: fn(Gift) -> Option<u32>| {
                self.actors.iter().filter_map(move |actor| match actor.phase {
                    Phase::Given(arm, gift) if actor.op.as_ref()?.arm(arm)?.channel() == number => pick(gift),
                    _ => None,
                })
            };
            let ticket = |gift| if let Gift::Pair(ticket) = gift { Some(ticket) } else { None };
            let handed = |gift| if let Gift::Value(handed) = gift { Some(handed.number) } else { None };
            if !model.pairs.is_empty() {
                let tickets: Vec<_> = model.pairs.keys().copied().chain(given(ticket)).collect();
                let arrivals: Vec<_> = model.recvq.iter().chain(model.pairs.values()).map(|r| r.arrival).collect();
                into.push(END);
                for (ticket, r) in &model.pairs {
                    into.extend([rank(&tickets, *ticket), id(r.id), rank(&arrivals, r.arrival)]);
                }
                into.extend(given(ticket).map(|ticket| rank(&tickets, ticket)));
            }
            if !model.returned.is_empty() || given(handed).next().is_some() {
                let numbers: Vec<_> = model.returned.keys().copied().chain(given(handed)).collect();
                into.push(END);
                into.extend(model.returned.values());
                into.extend(numbers.iter().map(|number| rank(&numbers, *number)));
            }
            into.push(END);
        }
        for actor in &self.actors {
            match actor.phase {
                Phase::Idle => into.push(0),
                Phase::Invoked => into.push(1),
                Phase::Parked => into.push(2),
                Phase::Done(_) => into.push(3),
                Phase::Late => into.push(4),
                Phase::Given(arm, gift) => into.extend([
                    5 + arm as u32,
                    match gift {
                        Gift::Sent => 0,
                        Gift::Closed => 1,
                        Gift::Slot => 2,
                        Gift::Pair(_) => 3,
                        Gift::Value(handed) => 4 + handed.value,
                    },
                ]),
            }
        }
    }
}

/// What an operation returns that does not wait, and finds nothing.
fn refusal(op: &Op) -> Ret {
    match (op, op.patience()) {
        (_, Patience::Limited) => Ret::TimedOut,
        (Op::Select(..) | Op::SelectGo(..), _) => Ret::Default,
        (Op::Recv(..), _) => Ret::Empty,
        _ => Ret::Full,
    }
}

/// What an operation returns that came to this.
fn returned(op: &Op, arm: usize, gift: Gift) -> Ret {
    let took = match gift {
        Gift::Sent => Took::Sent,
        Gift::Closed => Took::Closed,
        Gift::Value(handed) => Took::Got(handed.value),
        Gift::Pair(_) | Gift::Slot => unreachable!("a promise"),
    };
    match (op.is_select(), took) {
        (true, took) => Ret::Chose(arm, took),
        (false, Took::Sent) => Ret::Ok,
        (false, Took::Got(value)) => Ret::Got(value),
        (false, _) => Ret::Closed,
    }
}
