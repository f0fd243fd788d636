//! Channels that are the model behind a lock, with or without an error: what the checker and the programs are tested with.

use super::Kind;
use super::ports::{Live, Port, Ports};
use super::program::Program;
use crate::model::op::{Arm, Fate, Op, Patience, Ret};
use crate::model::world::{Gift, Move, Phase, World};
use crate::model::{Bug, Handed, Model};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// An error planted in the channels that the programs run on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    None,
    /// A full channel's parked sender is forgotten when a slot becomes free.
    NoSettle,
    /// A receive that times out drops the value that came at that moment.
    ValueLostAtDeadline,
    /// A non-blocking receive looks at the buffer only, not at parked senders.
    InexactRefusal,
    /// The first look at whether the channel is closed comes out as it was before.
    StaleLook,
    /// Every seventh wake-up is lost.
    LostWakeUp,
    /// A select does not wait although it may, if the first arm is not possible.
    InexactDefault,
    /// A dropped receive takes what it was handed with it.
    ValueLostWithFuture,
    /// What was received by a selected operation that is dropped, goes behind all others.
    ReturnedLast,
    /// A select sends though another arm of it has fired.
    TwoArms,
}

struct Shared {
    world: World,
    completions: usize,
    looked: bool,
    lost: Vec<usize>,
}

struct Reference {
    actor: usize,
    fault: Fault,
    shared: Arc<(Mutex<Shared>, Condvar)>,
}

impl Reference {
    /// Takes a step; errors are planted here.
    fn play(&self, shared: &mut Shared, step: Move) {
        let given = shared.world.actors[self.actor].phase;
        let op = shared.world.actors[self.actor].op.clone().expect("it does something");
        match (self.fault, step, given, &op) {
            (Fault::ValueLostWithFuture, Move::GiveUp, Phase::Given(..), Op::Recv(..)) => {
                shared.world.actors[self.actor].phase = Phase::Done(Ret::Cancelled);
            }
            (
                Fault::ReturnedLast,
                Move::Take,
                Phase::Given(arm, Gift::Value(handed)),
                Op::Select(_, _, Fate::Broken),
            ) => {
                let last = Handed { number: u32::MAX / 2 - handed.number, ..handed };
                shared.world.actors[self.actor].phase = Phase::Given(arm, Gift::Value(last));
                self.step(shared, step);
            }
            (Fault::InexactDefault, Move::Begin { arm: Some(1..), waits: false }, ..) => {
                shared.world.actors[self.actor].phase = Phase::Done(Ret::Default);
            }
            (Fault::TwoArms, Move::Begin { arm: Some(_), .. }, _, Op::Select(arms, ..)) => {
                self.step(shared, step);
                if let Some(&Arm::Send(c, value)) = arms.iter().rfind(|arm| matches!(arm, Arm::Send(..))) {
                    shared.world.channels[c].model.try_send(value);
                }
            }
            _ => self.step(shared, step),
        }
    }

    fn step(&self, shared: &mut Shared, step: Move) {
        for changed in shared.world.play(self.actor, step) {
            // Of those who said that they would wait: the runner, who never does, must not hang.
            let waits = shared.world.actors[changed].op.as_ref().is_some_and(|op| op.patience() != Patience::Not);
            if changed != self.actor && waits {
                shared.completions += 1;
                if self.fault == Fault::LostWakeUp && shared.completions % 7 == 0 {
                    shared.lost.push(changed);
                }
            }
        }
    }
}

impl Port for Reference {
    fn perform(&mut self, op: &Op) -> Ret {
        let (lock, wake) = &*self.shared;
        let mut shared = lock.lock().unwrap();
        match (self.fault, op) {
            (Fault::InexactRefusal, Op::Recv(c, Patience::Not)) if shared.world.channels[*c].model.len() == 0 => {
                return if shared.world.channels[*c].model.is_closed() { Ret::Closed } else { Ret::Empty };
            }
            (Fault::StaleLook, Op::IsClosed(_)) if !shared.looked => {
                shared.looked = true;
                return Ret::Is(false);
            }
            _ => {}
        }
        shared.world.invoke(self.actor, op.clone());
        let mut deadline = Instant::now() + Duration::from_micros(100);
        loop {
            if !shared.lost.contains(&self.actor) {
                if let Some(ret) = shared.world.finish(self.actor) {
                    wake.notify_all();
                    return ret;
                }
            }
            let moves = shared.world.moves(self.actor);
            let late = Instant::now() >= deadline;
            let step = match shared.world.actors[self.actor].phase {
                // A future is dropped at its deadline, too, even if it was given something.
                Phase::Given(..) if op.patience() == Patience::Dropped && late => Some(Move::GiveUp),
                Phase::Given(..) if op.patience() == Patience::Dropped => None,
                Phase::Parked if late && moves.contains(&Move::GiveUp) => Some(Move::GiveUp),
                Phase::Parked | Phase::Done(_) => None,
                _ => Some(moves[shared.completions % moves.len()]),
            };
            match step {
                Some(step) => {
                    self.play(&mut shared, step);
                    wake.notify_all();
                }
                None if matches!(op.patience(), Patience::Limited | Patience::Dropped) && !late => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    shared = wake.wait_timeout(shared, left).unwrap().0;
                    let received = matches!(shared.world.actors[self.actor].phase, Phase::Done(Ret::Got(_)));
                    if self.fault == Fault::ValueLostAtDeadline && Instant::now() >= deadline && received {
                        shared.world.finish(self.actor);
                        return Ret::TimedOut;
                    }
                }
                None => {
                    deadline += Duration::from_secs(3600);
                    shared = wake.wait(shared).unwrap();
                }
            }
        }
    }
}

/// Opens the channels of a program, with an error in them.
pub fn reference(program: &Program, fault: Fault) -> Ports {
    let actors = program.actors.len();
    let mut world = World::new(&program.capacities, actors + 1);
    for (channel, capacity) in world.channels.iter_mut().zip(&program.capacities) {
        channel.senders = actors + usize::from(program.runner_sends);
        channel.receivers = actors + usize::from(!program.runner_sends);
        if fault == Fault::NoSettle {
            channel.model = Model::with_bug(*capacity, Bug::NoSettle);
        }
    }
    for (actor, (kind, _)) in world.actors.iter_mut().zip(&program.actors) {
        actor.is_task = *kind == Kind::Task;
    }
    let shared = Shared { world, completions: 0, looked: false, lost: vec![] };
    let shared = Arc::new((Mutex::new(shared), Condvar::new()));
    let port = |actor| -> Box<dyn Port> { Box::new(Reference { actor, fault, shared: shared.clone() }) };
    Ports { actors: (0..actors).map(port).collect(), runner: port(actors), live: Live::default() }
}
