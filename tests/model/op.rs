//! Operations as their users see them, and what they return: the words that model, checker and tests have in common.

use super::{ForceOutcome, Value, WaitId};
use std::fmt;
use std::sync::Arc;

/// How long an operation waits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Patience {
    Forever,
    Not,
    /// Until a deadline, which may pass at any instant.
    Limited,
    /// A future that may be dropped at any instant.
    Dropped,
}

/// What becomes of an operation that was chosen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Fate {
    Kept,
    /// The permit, or the selected operation, is dropped.
    Broken,
}

/// One arm of a select: the number of its channel, and what it would do there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Arm {
    Send(usize, Value),
    Recv(usize),
}

impl Arm {
    pub fn channel(self) -> usize {
        match self {
            Arm::Send(channel, _) | Arm::Recv(channel) => channel,
        }
    }

    /// The queue that it waits in.
    pub fn place(self) -> (usize, bool) {
        (self.channel(), matches!(self, Arm::Send(..)))
    }
}

/// An operation, with the number of its channel.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Op {
    Send(usize, Value, Patience),
    Recv(usize, Patience),
    /// Messages are evaluated when their arm has been chosen.
    Select(Arc<[Arm]>, Patience, Fate),
    /// Go's: the values of sends are there from the beginning.
    SelectGo(Arc<[Arm]>, Patience),
    /// A slot, or a receiver, is awaited, and then sent to.
    Permit(usize, Value, Patience, Fate),
    ForceSend(usize, Value),
    Drain(usize),
    Len(usize),
    IsClosed(usize),
    Close(usize),
    /// Drop of this actor's sender; the last one closes the channel.
    DropSender(usize),
    /// Drop of this actor's receiver; the last one closes the channel and discards what is in it.
    DropReceiver(usize),
}

impl Op {
    pub fn channels(&self) -> impl Iterator<Item = usize> + '_ {
        let at_once = match self {
            Op::ForceSend(c, _) | Op::Drain(c) | Op::Len(c) | Op::IsClosed(c) => Some(*c),
            Op::Close(c) | Op::DropSender(c) | Op::DropReceiver(c) => Some(*c),
            _ => None,
        };
        self.arms().map(Arm::channel).chain(at_once)
    }

    /// The values that it brings.
    pub fn values_mut(&mut self) -> Vec<&mut Value> {
        match self {
            Op::Send(_, value, _) | Op::Permit(_, value, ..) | Op::ForceSend(_, value) => vec![value],
            Op::Select(arms, ..) | Op::SelectGo(arms, _) => {
                let arms = Arc::make_mut(arms).iter_mut();
                arms.filter_map(|arm| if let Arm::Send(_, value) = arm { Some(value) } else { None }).collect()
            }
            _ => vec![],
        }
    }

    pub fn patience(&self) -> Patience {
        match self {
            Op::Send(.., patience) | Op::Recv(_, patience) | Op::Permit(.., patience, _) => *patience,
            Op::Select(_, patience, _) | Op::SelectGo(_, patience) => *patience,
            _ => Patience::Forever,
        }
    }

    pub fn fate(&self) -> Fate {
        match self {
            Op::Select(.., fate) | Op::Permit(.., fate) => *fate,
            _ => Fate::Kept,
        }
    }

    /// One of its arms; an operation that may wait and is no select has one.
    pub fn arm(&self, i: usize) -> Option<Arm> {
        match self {
            Op::Send(c, value, _) | Op::Permit(c, value, ..) if i == 0 => Some(Arm::Send(*c, *value)),
            Op::Recv(c, _) if i == 0 => Some(Arm::Recv(*c)),
            Op::Select(arms, ..) | Op::SelectGo(arms, _) => arms.get(i).copied(),
            _ => None,
        }
    }

    pub fn arms(&self) -> impl Iterator<Item = Arm> + '_ {
        (0..).map_while(|i| self.arm(i))
    }

    /// The name of its wait in the channel of an arm. A select's only arm waits as the plain operation does.
    pub fn wait(&self, actor: usize, arm: usize) -> WaitId {
        match self.arms().count() > 1 {
            true => WaitId::Arm { select: actor as u32, arm: arm as u32 },
            false => WaitId::Plain(actor as u32),
        }
    }

    pub fn is_select(&self) -> bool {
        matches!(self, Op::Select(..) | Op::SelectGo(..))
    }
}

/// What came of an operation. A value that a send gives back is not told: it is the one that was sent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Ret {
    Ok,
    Full,
    Empty,
    TimedOut,
    /// The future was dropped: it may have sent, it has not received.
    Cancelled,
    /// The permit was dropped.
    Broken,
    Closed,
    Got(Value),
    /// Of a select: the arm that was chosen.
    Chose(usize, Took),
    /// Of a select that does not wait.
    Default,
    /// Of a send by force: what had to go.
    Displaced(Value),
    /// Of drain: how many values, the first and the last.
    Drained(usize, Option<(Value, Value)>),
    Len(usize),
    Is(bool),
    /// Of close: whether it was the first.
    First(bool),
}

/// What a chosen arm came to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Took {
    Sent,
    Got(Value),
    Closed,
    /// The selected operation was dropped.
    Broken,
}

impl Ret {
    pub fn drained(values: &[Value]) -> Ret {
        Ret::Drained(values.len(), values.first().map(|&first| (first, values[values.len() - 1])))
    }

    pub fn forced(outcome: ForceOutcome) -> Ret {
        match outcome {
            ForceOutcome::Sent => Ret::Ok,
            ForceOutcome::Displaced(oldest) => Ret::Displaced(oldest),
            ForceOutcome::Closed(_) => Ret::Closed,
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = match self.patience() {
            Patience::Forever => "",
            Patience::Not => "try_",
            Patience::Limited => "timed_",
            Patience::Dropped => "dropped_",
        };
        match self {
            Op::Send(c, value, _) => write!(f, "{form}send({c}, {value})"),
            Op::Recv(c, _) => write!(f, "{form}recv({c})"),
            Op::Permit(c, value, _, fate) => {
                let broken = if *fate == Fate::Broken { " broken" } else { "" };
                write!(f, "{form}permit({c}, {value}){broken}")
            }
            Op::Select(arms, ..) | Op::SelectGo(arms, _) => {
                write!(f, "{form}select{{")?;
                for (i, arm) in arms.iter().enumerate() {
                    let comma = if i > 0 { " " } else { "" };
                    match arm {
                        Arm::Send(c, value) => write!(f, "{comma}{c}<-{value}")?,
                        Arm::Recv(c) => write!(f, "{comma}<-{c}")?,
                    }
                }
                f.write_str(if self.fate() == Fate::Broken { "} broken" } else { "}" })
            }
            Op::ForceSend(c, value) => write!(f, "force_send({c}, {value})"),
            Op::Drain(c) => write!(f, "drain({c})"),
            Op::Len(c) => write!(f, "len({c})"),
            Op::IsClosed(c) => write!(f, "is_closed({c})"),
            Op::Close(c) => write!(f, "close({c})"),
            Op::DropSender(c) => write!(f, "drop sender({c})"),
            Op::DropReceiver(c) => write!(f, "drop receiver({c})"),
        }
    }
}
