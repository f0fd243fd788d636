//! A sequential account of channels, timers and waiters: which arms of a select may fire, with what, and whom that wakes.

pub(crate) mod run;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// An arm by its place in the program; `None` is a nil channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spec {
    Recv(Option<usize>),
    Send(Option<usize>),
    Timer(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// A plain send or receive.
    Plain,
    /// `Select`.
    Dynamic,
    /// `Select`, as far as it is ready.
    Ready,
    /// `select!`.
    Macro,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    Not,
    For(Duration),
    /// The same as a deadline.
    Until(Duration),
    Forever,
}

#[derive(Clone, Debug)]
pub(crate) struct Op {
    pub(crate) way: Way,
    pub(crate) patience: Patience,
    pub(crate) biased: bool,
    /// The selected operation is dropped.
    pub(crate) gives_up: bool,
    /// Bits: an arm was removed, it is a clone, clones of the handles finish it.
    pub(crate) style: usize,
    pub(crate) arms: Vec<Spec>,
    /// What it would send.
    pub(crate) value: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    Value(usize),
    Closed,
    Sent,
    Refused(usize),
    Tick(Instant),
    /// It was ready, or has fired and was dropped.
    Nothing,
}

/// The place of the arm that has fired, and what came of it; `None` if none has.
pub(crate) type Report = Option<(usize, Got)>;

/// A channel as the oracle knows it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Channel {
    pub(crate) cap: Option<usize>,
    pub(crate) closed: bool,
    /// Values that were given back, then those in the buffer.
    pub(crate) values: VecDeque<usize>,
    pub(crate) given_back: usize,
    /// Workers that wait, in the order in which they came.
    pub(crate) senders: VecDeque<usize>,
    pub(crate) receivers: VecDeque<usize>,
}

impl Channel {
    pub(crate) fn buffered(&self) -> usize {
        self.values.len() - self.given_back
    }

    pub(crate) fn has_slot(&self) -> bool {
        self.cap.is_none_or(|cap| self.buffered() < cap)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    Due(Instant),
    NotDue,
    Taken,
    /// Ticks whenever it is looked at.
    Always,
}

/// How a wait must end.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) worker: usize,
    pub(crate) op: Op,
    pub(crate) channel: usize,
    pub(crate) how: How,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum How {
    Received(usize),
    Sent,
    Closed,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Oracle {
    pub(crate) channels: Vec<Channel>,
    pub(crate) timers: Vec<Timer>,
    pub(crate) waiting: BTreeMap<usize, Op>,
}

impl Oracle {
    pub(crate) fn is_possible(&self, arm: Spec) -> bool {
        match arm {
            Spec::Recv(None) | Spec::Send(None) => false,
            Spec::Timer(timer) => matches!(self.timers[timer], Timer::Due(_) | Timer::Always),
            Spec::Recv(Some(c)) => {
                let c = &self.channels[c];
                c.closed || !c.values.is_empty() || !c.senders.is_empty()
            }
            Spec::Send(Some(c)) => {
                let c = &self.channels[c];
                c.closed || c.has_slot() || !c.receivers.is_empty()
            }
        }
    }

    /// The arms that may fire now.
    pub(crate) fn possible(&self, op: &Op) -> Vec<usize> {
        let mut possible: Vec<_> = (0..op.arms.len()).filter(|&i| self.is_possible(op.arms[i])).collect();
        possible.truncate(if op.biased { 1 } else { usize::MAX });
        possible
    }

    pub(crate) fn end(&mut self, worker: usize, channel: usize, how: How) -> End {
        for c in &mut self.channels {
            c.senders.retain(|w| *w != worker);
            c.receivers.retain(|w| *w != worker);
        }
        End { worker, op: self.waiting.remove(&worker).expect("it waits"), channel, how }
    }

    /// A select parks, at the end of its queues.
    pub(crate) fn park(&mut self, worker: usize, op: Op) {
        if op.way != Way::Ready {
            for arm in &op.arms {
                let queue = match *arm {
                    Spec::Recv(Some(c)) => &mut self.channels[c].receivers,
                    Spec::Send(Some(c)) => &mut self.channels[c].senders,
                    _ => continue,
                };
                if !queue.contains(&worker) {
                    queue.push_back(worker);
                }
            }
        }
        self.waiting.insert(worker, op);
    }

    /// An arm that is possible fires: what it gets, and whom that wakes.
    pub(crate) fn fire(&mut self, arm: Spec, value: usize) -> (Got, Vec<End>) {
        match arm {
            Spec::Recv(Some(at)) => {
                let c = &mut self.channels[at];
                if let Some(value) = c.values.pop_front() {
                    c.given_back = c.given_back.saturating_sub(1);
                    let mut ends = Vec::new();
                    if let (true, Some(&worker)) = (c.has_slot(), c.senders.front()) {
                        ends.push(self.end(worker, at, How::Sent));
                        self.channels[at].values.push_back(ends[0].op.value);
                    }
                    return (Got::Value(value), ends);
                }
                match c.senders.front() {
                    Some(&worker) => {
                        let end = self.end(worker, at, How::Sent);
                        (Got::Value(end.op.value), vec![end])
                    }
                    None => (Got::Closed, vec![]),
                }
            }
            Spec::Send(Some(at)) => {
                let c = &mut self.channels[at];
                if c.closed {
                    return (Got::Refused(value), vec![]);
                }
                match c.receivers.front() {
                    Some(&worker) => (Got::Sent, vec![self.end(worker, at, How::Received(value))]),
                    None => {
                        c.values.push_back(value);
                        (Got::Sent, vec![])
                    }
                }
            }
            Spec::Timer(timer) => match self.timers[timer] {
                Timer::Due(due) => {
                    self.timers[timer] = Timer::Taken;
                    (Got::Tick(due), vec![])
                }
                _ => (Got::Nothing, vec![]),
            },
            _ => unreachable!("a nil channel"),
        }
    }

    /// An arm that is possible fires, and the operation is dropped.
    pub(crate) fn fire_and_give_up(&mut self, arm: Spec) -> Vec<End> {
        match arm {
            Spec::Recv(Some(at)) => {
                let (got, ends) = self.fire(arm, 0);
                if let Got::Value(value) = got {
                    self.channels[at].values.push_front(value);
                    self.channels[at].given_back += 1;
                }
                ends
            }
            Spec::Send(Some(at)) if !self.channels[at].closed && !self.channels[at].has_slot() => {
                // The receiver waits on; if it waits in several places, it queues anew in all of them.
                let worker = self.channels[at].receivers[0];
                if self.waiting[&worker].arms.len() > 1 {
                    let end = self.end(worker, at, How::Sent);
                    self.park(worker, end.op);
                }
                vec![]
            }
            // A timer's message is gone.
            Spec::Timer(_) => self.fire(arm, 0).1,
            Spec::Send(_) => vec![],
            Spec::Recv(None) => unreachable!("a nil channel"),
        }
    }

    pub(crate) fn close(&mut self, at: usize) -> Vec<End> {
        self.channels[at].closed = true;
        let mut ends = Vec::new();
        while let Some(&worker) = self.channels[at].receivers.front().or(self.channels[at].senders.front()) {
            ends.push(self.end(worker, at, How::Closed));
        }
        ends
    }

    /// So many sudogs are on the queues.
    pub(crate) fn queued(&self) -> usize {
        let queues = |op: &&Op| op.way != Way::Ready;
        let arms = self.waiting.values().filter(queues).flat_map(|op| &op.arms);
        arms.filter(|arm| matches!(arm, Spec::Recv(Some(_)) | Spec::Send(Some(_)))).count()
    }
}

impl End {
    #[track_caller]
    pub(crate) fn check(&self, report: Report) {
        let (place, got) = report.unwrap_or_else(|| panic!("worker {} gave up instead of {self:?}", self.worker));
        let is_it = |arm: Spec| match (arm, self.how) {
            (Spec::Recv(c), How::Received(value)) => (c == Some(self.channel)).then_some(Got::Value(value)),
            (Spec::Send(c), How::Sent) => (c == Some(self.channel)).then_some(Got::Sent),
            (Spec::Recv(c), How::Closed) => (c == Some(self.channel)).then_some(Got::Closed),
            (Spec::Send(c), How::Closed) => (c == Some(self.channel)).then_some(Got::Refused(self.op.value)),
            _ => None,
        };
        assert_eq!(is_it(self.op.arms[place]), Some(got), "worker {}, arm {place}: {self:?}", self.worker);
        if self.op.biased {
            let first = self.op.arms.iter().position(|arm| is_it(*arm).is_some());
            assert_eq!(first, Some(place), "a biased select: {self:?}");
        }
    }
}
