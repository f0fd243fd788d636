//! Random programs: what each of a few actors does to a few channels. From a seed, and smaller ones from those that fail.

use super::Kind;
use crate::model::Value;
use crate::model::op::{Arm, Fate, Op, Patience};
use std::fmt;

/// splitmix64.
#[derive(Clone, Debug)]
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    /// True once in so many times.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

#[derive(Clone, Debug)]
pub struct Program {
    pub seed: u64,
    pub capacities: Vec<Option<usize>>,
    pub actors: Vec<(Kind, Vec<Op>)>,
    /// What the runner does, one at each rest.
    pub probes: Vec<Op>,
    /// Whether the runner has senders, or receivers.
    pub runner_sends: bool,
}

/// What may happen in a program.
#[derive(Clone, Copy)]
struct Leaning {
    channels: u64,
    timeouts: bool,
    closes: bool,
    forces: bool,
    selects: bool,
    drops: bool,
}

impl Program {
    /// The program of a seed, each actor of one of these kinds, with so many operations.
    pub fn random(seed: u64, kinds: &[Kind], operations: u64) -> Program {
        let mut rng = Rng(seed);
        let channels = rng.pick(&[1, 1, 2, 3]);
        let capacities =
            (0..channels).map(|_| rng.pick(&[Some(0), Some(0), Some(1), Some(1), Some(2), None])).collect();
        let leaning = Leaning {
            channels,
            timeouts: rng.once_in(3),
            closes: rng.once_in(4),
            forces: rng.once_in(4),
            selects: channels > 1 || rng.once_in(3),
            drops: rng.once_in(2),
        };
        let count = 2 + rng.below(3);
        let actors = (0..count).map(|_| {
            let kind = rng.pick(kinds);
            (kind, leaning.work(&mut rng, operations))
        });
        let actors = actors.collect();
        let runner_sends = rng.once_in(2);
        let probe = |rng: &mut Rng| {
            let c = rng.below(channels) as usize;
            match rng.below(12) {
                0 | 1 => Op::Len(c),
                2 => Op::IsClosed(c),
                3 if leaning.forces && runner_sends => Op::ForceSend(c, 0),
                3 if leaning.forces => Op::Drain(c),
                _ if runner_sends => Op::Send(c, 0, Patience::Not),
                _ => Op::Recv(c, Patience::Not),
            }
        };
        let probes = (0..3).map(|_| probe(&mut rng)).collect();
        let mut program = Program { seed, capacities, actors, probes, runner_sends };
        program.number_values();
        program
    }

    /// Every value is sent once.
    pub fn number_values(&mut self) {
        let lanes = self.actors.iter_mut().map(|(_, ops)| ops).chain([&mut self.probes]);
        for (lane, ops) in lanes.enumerate() {
            for (index, value) in ops.iter_mut().flat_map(Op::values_mut).enumerate() {
                *value = (lane * 1000 + index) as Value;
            }
        }
    }

    pub fn operations(&self) -> usize {
        self.actors.iter().map(|(_, ops)| ops.len()).sum::<usize>() + self.probes.len()
    }

    /// The smallest program found by leaving out, one after the other, actors and operations, of which `fails` says that it
    /// still fails.
    pub fn shrink(mut self, mut fails: impl FnMut(&Program) -> bool) -> Program {
        loop {
            let before = self.operations() + self.actors.len();
            let mut try_without = |smaller: Program, this: &mut Program| {
                let fails = fails(&smaller);
                if fails {
                    *this = smaller;
                }
                fails
            };
            for actor in (0..self.actors.len()).rev() {
                let mut smaller = self.clone();
                smaller.actors.remove(actor);
                if self.actors.len() > 1 && try_without(smaller, &mut self) {
                    continue;
                }
                // Halves, quarters, ..., and then each alone. The handles' ends stay.
                let mut chunk = self.actors[actor].1.len() / 2;
                while chunk > 0 {
                    let mut at = 0;
                    while at + chunk <= self.actors[actor].1.len() {
                        let mut smaller = self.clone();
                        let stays = |op: &Op| matches!(op, Op::DropSender(_) | Op::DropReceiver(_));
                        let gone = smaller.actors[actor].1.splice(at..at + chunk, []).filter(stays).collect::<Vec<_>>();
                        smaller.actors[actor].1.extend(gone);
                        if smaller.operations() == self.operations() || !try_without(smaller, &mut self) {
                            at += chunk;
                        }
                    }
                    chunk /= 2;
                }
            }
            if self.operations() + self.actors.len() == before {
                return self;
            }
        }
    }
}

impl Leaning {
    /// What one actor does. One in four sends only, one receives only.
    fn work(self, rng: &mut Rng, operations: u64) -> Vec<Op> {
        let sending = rng.pick(&[0, 50, 50, 100]);
        let senders = (0..self.channels as usize).map(Op::DropSender);
        let receivers = (0..self.channels as usize).map(Op::DropReceiver);
        let (mut first, mut last): (Vec<Op>, Vec<Op>) = match (sending, rng.once_in(2)) {
            (0, true) => (senders.collect(), receivers.collect()),
            (100, true) => (receivers.collect(), senders.collect()),
            (_, true) => (vec![], senders.chain(receivers).collect()),
            (_, false) => (vec![], receivers.chain(senders).collect()),
        };
        let count = operations / 4 + rng.below(operations);
        first.extend((0..count).map(|_| self.op(rng, sending)));
        first.append(&mut last);
        first
    }

    fn op(self, rng: &mut Rng, sending: u64) -> Op {
        let c = rng.below(self.channels) as usize;
        let send = rng.below(100) < sending;
        let patience = match rng.below(10) {
            0 | 1 => Patience::Not,
            2..5 if self.timeouts => Patience::Limited,
            5 | 6 if self.drops => Patience::Dropped,
            _ => Patience::Forever,
        };
        match rng.below(100) {
            0..3 if self.closes => Op::Close(c),
            3..6 => Op::Len(c),
            6..8 => Op::IsClosed(c),
            8..11 if self.forces && send => Op::ForceSend(c, 0),
            8..11 if self.forces && sending < 100 => Op::Drain(c),
            11..20 if self.drops && send && patience != Patience::Limited => {
                Op::Permit(c, 0, patience, rng.pick(&[Fate::Kept, Fate::Kept, Fate::Broken]))
            }
            20..60 if self.selects => {
                let arm = |rng: &mut Rng| {
                    let c = rng.below(self.channels) as usize;
                    if rng.below(100) < sending { Arm::Send(c, 0) } else { Arm::Recv(c) }
                };
                let arms = (0..rng.pick(&[1, 2, 2, 2, 3])).map(|_| arm(rng)).collect();
                let fate = if self.drops && rng.once_in(4) { Fate::Broken } else { Fate::Kept };
                Op::Select(arms, patience, fate)
            }
            _ if send => Op::Send(c, 0, patience),
            _ => Op::Recv(c, patience),
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "channels {:?}", self.capacities)?;
        for (actor, (kind, ops)) in self.actors.iter().enumerate() {
            write!(f, "\n{kind:?} {actor}:")?;
            ops.iter().try_for_each(|op| write!(f, " {op};"))?;
        }
        f.write_str("\nat rests:")?;
        self.probes.iter().rev().try_for_each(|op| write!(f, " {op};"))
    }
}
