//! The sequential model of one channel: its specification, as a program.
//!
//! A [`Model`] is a channel without threads, locks or memory: plain data that one caller at a time changes. Every
//! public method is **one locked section** of the real channel (or one of its lock-free refusals, which must be
//! indistinguishable from a section). It returns what the caller gets at once, and, in order, what it did to others
//! who were waiting: a list of `(wait, completion)`. `docs/design/model.md` says the same in prose.
//!
//! Invariants, checked by [`Model::invariants`] between any two sections:
//! * I2: a sender and a receiver are never parked side by side (but for the two directions of one select);
//! * I3: a value in hand means that no receiver is queued, a free slot that no sender is;
//! * I4: both queues are in the order of arrival, and they are served from the front;
//! * I5: a wait is linked in one place only;
//! * I8: after close nobody is left waiting;
//! * values and reservations together never exceed the capacity.
//!
//! The file needs `std` only and can be included by any test, whether of the library or in this directory.

#![allow(dead_code, unreachable_pub, reason = "every test that includes the model uses a part of it")]

pub mod op;
pub mod world;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem;

pub type Value = u32;
/// Names an open pair. The sender of a pair holds its ticket and nothing else.
pub type Ticket = u32;
/// Numbers a value that was handed to a receiver: what was handed out later has the larger one.
pub type Number = u32;

/// Who waits. The identity of a waiter is its wait, never its thread.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum WaitId {
    Plain(u32),
    Arm { select: u32, arm: u32 },
}

impl WaitId {
    /// The arms of a select are one wait: one claim ends them all, and a select never meets itself.
    fn same_wait(self, other: WaitId) -> bool {
        match (self, other) {
            (WaitId::Arm { select: a, .. }, WaitId::Arm { select: b, .. }) => a == b,
            _ => self == other,
        }
    }
}

/// What a parked sender brings: a value, or the promise to make one once it is granted a receiver or a slot.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Offer {
    Value(Value),
    /// A thread or goroutine that evaluates its expression when chosen.
    Lazy,
    /// The same in an async task. Nobody who must not wait waits for a task to be polled.
    LazyTask,
}

/// A parked sender.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Sender {
    id: WaitId,
    arrival: u32,
    offer: Offer,
}

/// A parked receiver: queued, or bound in a pair.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Receiver {
    id: WaitId,
    arrival: u32,
    /// False for who is in no queue, and waits for the evaluation of a lazy sender: a non-blocking receive, or a select.
    blocking: bool,
}

/// A value that was handed to a receiver, and its place among all that were.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Handed {
    pub number: Number,
    pub value: Value,
}

/// What ended, or granted, the wait of somebody else.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Completion {
    /// A sender's value was taken.
    Sent,
    /// A sender was released by close and has its value back.
    SendClosed(Value),
    Received(Handed),
    /// A receiver, or a sender without a value, was released by close.
    Closed,
    /// A lazy sender is bound to a receiver: evaluate, then `fill(ticket)` or `undo_pair(ticket)`.
    Paired(Ticket),
    /// A lazy sender was granted a slot: evaluate, then `fill_reserved` or `release_reserved`.
    Reserved,
    /// The claim came to nothing: begin again, with the same deadline.
    Retry,
    /// A watcher's direction is ready.
    Ready,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SendOutcome {
    Sent,
    Full(Value),
    Closed(Value),
    Parked,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RecvOutcome {
    Received(Handed),
    Empty,
    Closed,
    Parked,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum GrantOutcome {
    Paired(Ticket),
    Reserved,
    Full,
    Closed,
    Parked,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FillOutcome {
    Sent,
    Closed(Value),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ForceOutcome {
    Sent,
    /// Sent, and this value, the oldest, had to go.
    Displaced(Value),
    Closed(Value),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CancelOutcome {
    /// The wait was unlinked; a sender that had a value has it back.
    Cancelled(Option<Value>),
    /// Somebody else ended the wait before.
    NotWaiting,
}

/// What a watcher waits for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Interest {
    Readable,
    Writable,
    Closed,
}

/// What a section gives its caller, and what it did to others.
pub type Step<Outcome> = (Outcome, Vec<(WaitId, Completion)>);

/// Errors planted on purpose, to show that the explorer finds what goes wrong without a rule.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Bug {
    /// Sections do not end in `settle()`.
    NoSettle,
    /// The receiver of an undone pair goes before all others, even those who came before it.
    UndoToFront,
    /// Close tells receivers "closed and empty" without looking at what came back.
    CloseIgnoresReturned,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Model {
    /// None: unbounded.
    capacity: Option<usize>,
    closed: bool,
    /// Closed, and the closer has not yet released everybody.
    closing: bool,
    receivers_gone: bool,
    buffer: VecDeque<Value>,
    /// Slots granted to lazy senders whose values do not exist yet.
    reserved: usize,
    sendq: VecDeque<Sender>,
    recvq: VecDeque<Receiver>,
    watchers: BTreeSet<(WaitId, Interest)>,
    /// Receivers bound to a lazy sender that is evaluating.
    pairs: BTreeMap<Ticket, Receiver>,
    /// Values handed to receivers that were then cancelled, in the order of handing.
    returned: BTreeMap<Number, Value>,
    /// Numbers what is handed out, those who arrive, and pairs.
    next: u32,
    /// What the current section did to others; empty between sections.
    woken: Vec<(WaitId, Completion)>,
    bug: Option<Bug>,
}

impl Model {
    pub fn new(capacity: Option<usize>) -> Model {
        Model {
            capacity,
            closed: false,
            closing: false,
            receivers_gone: false,
            buffer: VecDeque::new(),
            reserved: 0,
            sendq: VecDeque::new(),
            recvq: VecDeque::new(),
            watchers: BTreeSet::new(),
            pairs: BTreeMap::new(),
            returned: BTreeMap::new(),
            next: 0,
            woken: Vec::new(),
            bug: None,
        }
    }

    pub fn with_bug(capacity: Option<usize>, bug: Bug) -> Model {
        Model { bug: Some(bug), ..Model::new(capacity) }
    }

    // ---- Sending --------------------------------------------------------------------------------

    pub fn try_send(&mut self, value: Value) -> Step<SendOutcome> {
        let outcome = self.send_now(None, value);
        self.end(outcome)
    }

    /// Also one arm of a select whose values are there from the beginning, as Go's are.
    pub fn send(&mut self, id: WaitId, value: Value) -> Step<SendOutcome> {
        let outcome = match self.send_now(Some(id), value) {
            SendOutcome::Full(value) => {
                self.park_sender(id, Offer::Value(value));
                SendOutcome::Parked
            }
            done => done,
        };
        self.end(outcome)
    }

    /// Sends although the channel is full: the oldest value makes room. Overtakes parked senders, by intention. Where
    /// there is no buffered value to displace (capacity 0, or nothing but reservations) it is the value itself.
    pub fn force_send(&mut self, value: Value) -> Step<ForceOutcome> {
        let outcome = match self.send_now(None, value) {
            SendOutcome::Closed(value) => ForceOutcome::Closed(value),
            SendOutcome::Full(value) => {
                self.buffer.push_back(value);
                ForceOutcome::Displaced(self.buffer.pop_front().expect("one was pushed"))
            }
            _ => ForceOutcome::Sent,
        };
        self.end(outcome)
    }

    /// Order of checks: closed, waiting receiver, buffer space.
    fn send_now(&mut self, id: Option<WaitId>, value: Value) -> SendOutcome {
        if self.closed {
            return SendOutcome::Closed(value);
        }
        if let Some(position) = self.recvq.iter().position(|r| id.is_none_or(|id| !r.id.same_wait(id))) {
            let receiver = self.recvq.remove(position).expect("it was found there");
            self.hand(receiver, value);
            return SendOutcome::Sent;
        }
        if self.has_slot() {
            self.buffer.push_back(value);
            return SendOutcome::Sent;
        }
        SendOutcome::Full(value)
    }

    // ---- Receiving ------------------------------------------------------------------------------

    /// May answer `Parked`: a lazy sender that is there counts as ready, and its evaluation is waited for.
    pub fn try_recv(&mut self, id: WaitId) -> Step<RecvOutcome> {
        let outcome = self.recv_now(id, false);
        self.end(outcome)
    }

    /// For a select, call it (and `lazy_send`) for one arm after the other in one section.
    pub fn recv(&mut self, id: WaitId) -> Step<RecvOutcome> {
        let outcome = match self.recv_now(id, true) {
            RecvOutcome::Empty => {
                let receiver = self.receiver(id, true);
                self.recvq.push_back(receiver);
                RecvOutcome::Parked
            }
            done => done,
        };
        self.end(outcome)
    }

    /// The same for an arm of a select. If it meets a sender that has no value yet, it is in no queue, and begins again if
    /// nothing comes of that.
    pub fn select_recv(&mut self, id: WaitId) -> Step<RecvOutcome> {
        let step = self.recv(id);
        if let Some(met) = self.pairs.values_mut().find(|receiver| receiver.id == id) {
            met.blocking = false;
        }
        step
    }

    /// Order of checks: returned, closed and empty, waiting sender, buffered.
    fn recv_now(&mut self, id: WaitId, blocking: bool) -> RecvOutcome {
        if let Some(handed) = self.take_returned() {
            self.unlink(id);
            return RecvOutcome::Received(handed);
        }
        if self.closed && self.buffer.is_empty() {
            self.unlink(id);
            return RecvOutcome::Closed;
        }
        // With values in the buffer its head comes first, and settle() moves the waiting sender's into the freed slot.
        if self.buffer.is_empty() {
            let ready = |s: &Sender| !s.id.same_wait(id) && (blocking || s.offer != Offer::LazyTask);
            if let Some(position) = self.sendq.iter().position(ready) {
                let sender = self.sendq.remove(position).expect("it was found there");
                self.unlink(id);
                self.unlink(sender.id);
                return match sender.offer {
                    Offer::Value(value) => {
                        self.wake(sender.id, Completion::Sent);
                        RecvOutcome::Received(self.number(value))
                    }
                    Offer::Lazy | Offer::LazyTask => {
                        let receiver = self.receiver(id, blocking);
                        let ticket = self.pair(receiver);
                        self.wake(sender.id, Completion::Paired(ticket));
                        RecvOutcome::Parked
                    }
                };
            }
        }
        if let Some(value) = self.buffer.pop_front() {
            self.unlink(id);
            return RecvOutcome::Received(self.number(value));
        }
        RecvOutcome::Empty
    }

    /// Everything in hand, oldest first.
    pub fn drain(&mut self) -> Step<Vec<Value>> {
        let values = self.take_all();
        self.end(values)
    }

    /// A cancelled receive brings back the value it had been handed. It keeps its number, so that values come out of
    /// the returned list in the order in which they were first handed out.
    pub fn give_back(&mut self, handed: Handed) -> Step<()> {
        assert!(!self.receivers_gone, "whoever holds a value is a receiver");
        self.returned.insert(handed.number, handed.value);
        self.end(())
    }

    // ---- Lazy senders: the send arm of a select, and permits ------------------------------------

    pub fn try_lazy_send(&mut self, id: WaitId) -> Step<GrantOutcome> {
        let outcome = self.grant_now(id);
        self.end(outcome)
    }

    /// `offer` is `Lazy` or `LazyTask`.
    pub fn lazy_send(&mut self, id: WaitId, offer: Offer) -> Step<GrantOutcome> {
        let outcome = match self.grant_now(id) {
            GrantOutcome::Full => {
                self.park_sender(id, offer);
                GrantOutcome::Parked
            }
            done => done,
        };
        self.end(outcome)
    }

    /// Order of checks: closed, free slot, waiting receiver. The slot comes first because a reservation keeps nobody
    /// waiting; a receiver is bound only where there is no slot to be had.
    fn grant_now(&mut self, id: WaitId) -> GrantOutcome {
        if self.closed {
            self.unlink(id);
            return GrantOutcome::Closed;
        }
        if self.has_slot() {
            self.unlink(id);
            self.reserved += 1;
            return GrantOutcome::Reserved;
        }
        if let Some(position) = self.recvq.iter().position(|r| !r.id.same_wait(id)) {
            let receiver = self.recvq.remove(position).expect("it was found there");
            self.unlink(id);
            return GrantOutcome::Paired(self.pair(receiver));
        }
        GrantOutcome::Full
    }

    /// The value of a pair exists. If the receiver was revoked meanwhile it is as if it had received the value and then
    /// given it back: a sender that was told to evaluate succeeds, unless the channel was closed.
    pub fn fill(&mut self, ticket: Ticket, value: Value) -> Step<FillOutcome> {
        if self.closed {
            return self.end(FillOutcome::Closed(value));
        }
        match self.pairs.remove(&ticket) {
            Some(receiver) => self.hand(receiver, value),
            None => {
                let handed = self.number(value);
                self.returned.insert(handed.number, handed.value);
            }
        }
        self.end(FillOutcome::Sent)
    }

    /// The evaluation failed. A receiver that waits in one place goes back to its place in the queue; a select that waits in
    /// several, or one that was in no queue, or a receive that must not block, begins again.
    pub fn undo_pair(&mut self, ticket: Ticket) -> Step<()> {
        if self.closed {
            return self.end(()); // the receiver is the closer's, if it is still there
        }
        if let Some(receiver) = self.pairs.remove(&ticket) {
            if matches!(receiver.id, WaitId::Arm { .. }) || !receiver.blocking {
                self.wake(receiver.id, Completion::Retry);
            } else {
                let later = self.recvq.iter().position(|r| r.arrival > receiver.arrival);
                let place = match self.bug {
                    Some(Bug::UndoToFront) => 0,
                    _ => later.unwrap_or(self.recvq.len()),
                };
                self.recvq.insert(place, receiver);
            }
        }
        self.end(())
    }

    pub fn fill_reserved(&mut self, value: Value) -> Step<FillOutcome> {
        self.reserved -= 1;
        if self.closed {
            return self.end(FillOutcome::Closed(value));
        }
        self.buffer.push_back(value);
        self.end(FillOutcome::Sent)
    }

    pub fn release_reserved(&mut self) -> Step<()> {
        self.reserved -= 1;
        self.end(())
    }

    // ---- Giving up, watching --------------------------------------------------------------------

    /// Deadline, drop or shutdown of a wait; or the claim of a select by another channel. The receiver of a pair may go
    /// too: its sender learns that when it fills.
    pub fn cancel(&mut self, id: WaitId) -> Step<CancelOutcome> {
        let outcome = if self.is_linked(id) {
            let value = self.sendq.iter().find(|s| s.id == id).and_then(|s| match s.offer {
                Offer::Value(value) => Some(value),
                Offer::Lazy | Offer::LazyTask => None,
            });
            self.unlink(id);
            CancelOutcome::Cancelled(value)
        } else {
            CancelOutcome::NotWaiting
        };
        self.end(outcome)
    }

    /// True: ready at once. False: parked as a watcher, to be woken once, without consuming anything.
    pub fn watch(&mut self, id: WaitId, interest: Interest) -> Step<bool> {
        let ready = self.is_ready(interest);
        if !ready {
            self.watchers.insert((id, interest));
        }
        self.end(ready)
    }

    pub fn unwatch(&mut self, id: WaitId) -> Step<()> {
        self.watchers.retain(|(watcher, _)| *watcher != id);
        self.end(())
    }

    // ---- Closing --------------------------------------------------------------------------------

    /// True: this call closed the channel, and everybody who waited is released. Also what the drop of the last sender
    /// does.
    pub fn close(&mut self) -> Step<bool> {
        let (first, mut woken) = self.begin_close();
        while self.closing {
            woken.extend(self.close_batch(usize::MAX).1);
        }
        (first, woken)
    }

    /// Close in its steps: the section that sets `closed`. From now on nothing enters, and nobody but the closer
    /// completes who is still queued.
    pub fn begin_close(&mut self) -> Step<bool> {
        let first = !self.closed;
        if first {
            self.closed = true;
            self.closing = true;
        }
        self.end(first)
    }

    /// Releases at most `limit` waiters; false when nobody is left.
    pub fn close_batch(&mut self, limit: usize) -> Step<bool> {
        for _ in 0..limit {
            let bound = self.pairs.pop_first().map(|(_, receiver)| receiver);
            if let Some(receiver) = bound.or_else(|| self.recvq.pop_front()) {
                // A value may have come back while the receiver was bound in a pair, or since the channel was closed.
                let look = self.bug != Some(Bug::CloseIgnoresReturned);
                let ended = match if look { self.take_in_hand() } else { None } {
                    Some(handed) => Completion::Received(handed),
                    None => Completion::Closed,
                };
                self.unlink(receiver.id);
                self.wake(receiver.id, ended);
            } else if let Some(sender) = self.sendq.pop_front() {
                self.unlink(sender.id);
                self.wake(
                    sender.id,
                    match sender.offer {
                        Offer::Value(value) => Completion::SendClosed(value),
                        Offer::Lazy | Offer::LazyTask => Completion::Closed,
                    },
                );
            } else if let Some((watcher, _)) = self.watchers.pop_first() {
                self.wake(watcher, Completion::Ready);
            } else {
                self.closing = false;
                break;
            }
        }
        self.end(self.closing)
    }

    /// Closes, and returns the values that nobody can receive any more: they are dropped outside the lock.
    pub fn drop_last_receiver(&mut self) -> Step<Vec<Value>> {
        assert!(self.recvq.is_empty() && self.pairs.is_empty(), "whoever waits to receive is a receiver");
        let (_, woken) = self.close();
        self.receivers_gone = true;
        (self.take_all(), woken)
    }

    // ---- What anybody may look at ---------------------------------------------------------------

    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Buffered values only: neither returned ones nor reservations.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Slots that are promised to senders whose values do not exist yet.
    pub fn reserved(&self) -> usize {
        self.reserved
    }

    /// Whether a value is in hand: returned or buffered.
    pub fn in_hand(&self) -> bool {
        !self.returned.is_empty() || !self.buffer.is_empty()
    }

    /// Whether a non-blocking operation, or the look at a closed channel, would do something now.
    pub fn is_ready(&self, interest: Interest) -> bool {
        self.closed
            || match interest {
                Interest::Readable => self.in_hand() || self.sendq.iter().any(|s| s.offer != Offer::LazyTask),
                Interest::Writable => self.has_slot() || !self.recvq.is_empty(),
                Interest::Closed => false,
            }
    }

    /// Whether a receive would find something now, or be told that the channel is closed. It does not meet itself, nor,
    /// if it must not wait, a task that has yet to make its value.
    pub fn can_recv(&self, id: WaitId, blocking: bool) -> bool {
        let meets = |s: &Sender| !s.id.same_wait(id) && (blocking || s.offer != Offer::LazyTask);
        self.in_hand() || self.closed || self.sendq.iter().any(meets)
    }

    /// Whether a send would find a slot or a receiver now, or be told that the channel is closed.
    pub fn can_send(&self, id: WaitId) -> bool {
        self.closed || self.has_slot() || self.recvq.iter().any(|r| !r.id.same_wait(id))
    }

    pub fn is_linked(&self, id: WaitId) -> bool {
        self.links().any(|linked| linked == id)
    }

    /// Everybody who waits, in the order of the queues.
    pub fn links(&self) -> impl Iterator<Item = WaitId> + '_ {
        let receivers = self.pairs.values().chain(&self.recvq).map(|r| r.id);
        let senders = self.sendq.iter().map(|s| s.id);
        receivers.chain(senders).chain(self.watchers.iter().map(|w| w.0))
    }

    /// Every value inside the channel: returned, buffered, brought by parked senders.
    pub fn values(&self) -> impl Iterator<Item = Value> + '_ {
        let offered = self.sendq.iter().filter_map(|s| match s.offer {
            Offer::Value(value) => Some(value),
            Offer::Lazy | Offer::LazyTask => None,
        });
        self.returned.values().chain(&self.buffer).copied().chain(offered)
    }

    /// Who waits to send and to receive, in the order of the queues.
    pub fn queues(&self) -> (Vec<WaitId>, Vec<WaitId>) {
        let senders = self.sendq.iter().map(|s| s.id).collect();
        (senders, self.recvq.iter().map(|r| r.id).collect())
    }

    pub fn buffered(&self) -> &VecDeque<Value> {
        &self.buffer
    }

    pub fn returned(&self) -> &BTreeMap<Number, Value> {
        &self.returned
    }

    // ---- The one function that restores order ---------------------------------------------------

    /// I10: every section ends here. Restores I2 and I3, then wakes the watchers whose direction is ready. After close
    /// it does nothing: who is still linked is the closer's.
    fn settle(&mut self) {
        if self.closed {
            return;
        }
        while self.bug != Some(Bug::NoSettle) && self.settle_one() {}
        let ready: Vec<_> = self.watchers.iter().filter(|w| self.is_ready(w.1)).copied().collect();
        for watcher in ready {
            self.watchers.remove(&watcher);
            self.wake(watcher.0, Completion::Ready);
        }
    }

    /// One step of settling: a value in hand for a receiver; else a free slot for a sender; else a receiver and a
    /// sender for each other.
    fn settle_one(&mut self) -> bool {
        if self.in_hand() && !self.recvq.is_empty() {
            let receiver = self.recvq.pop_front().expect("there is one");
            let handed = self.take_in_hand().expect("there is one");
            self.unlink(receiver.id);
            self.wake(receiver.id, Completion::Received(handed));
            return true;
        }
        if self.has_slot() && !self.sendq.is_empty() {
            let sender = self.sendq.pop_front().expect("there is one");
            self.unlink(sender.id);
            match sender.offer {
                Offer::Value(value) => {
                    self.buffer.push_back(value);
                    self.wake(sender.id, Completion::Sent);
                }
                Offer::Lazy | Offer::LazyTask => {
                    self.reserved += 1;
                    self.wake(sender.id, Completion::Reserved);
                }
            }
            return true;
        }
        let partner = |r: &Receiver| self.sendq.iter().position(|s| !s.id.same_wait(r.id));
        let found = self.recvq.iter().enumerate().find_map(|(r, receiver)| Some((r, partner(receiver)?)));
        if let Some((r, s)) = found {
            let receiver = self.recvq.remove(r).expect("it was found there");
            let sender = self.sendq.remove(s).expect("it was found there");
            self.unlink(receiver.id);
            self.unlink(sender.id);
            match sender.offer {
                Offer::Value(value) => {
                    self.wake(sender.id, Completion::Sent);
                    self.hand(receiver, value);
                }
                Offer::Lazy | Offer::LazyTask => {
                    let ticket = self.pair(receiver);
                    self.wake(sender.id, Completion::Paired(ticket));
                }
            }
            return true;
        }
        false
    }

    // ---- Small parts ----------------------------------------------------------------------------

    fn end<Outcome>(&mut self, outcome: Outcome) -> Step<Outcome> {
        self.settle();
        (outcome, mem::take(&mut self.woken))
    }

    fn wake(&mut self, id: WaitId, completion: Completion) {
        self.woken.push((id, completion));
    }

    /// Full means `len + reserved >= capacity`.
    fn has_slot(&self) -> bool {
        self.capacity.is_none_or(|capacity| self.buffer.len() + self.reserved < capacity)
    }

    fn next(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    fn receiver(&mut self, id: WaitId, blocking: bool) -> Receiver {
        Receiver { id, arrival: self.next(), blocking }
    }

    fn park_sender(&mut self, id: WaitId, offer: Offer) {
        let arrival = self.next();
        self.sendq.push_back(Sender { id, arrival, offer });
    }

    /// The receiver stays parked, out of the queue, until its ticket is filled, undone or revoked.
    fn pair(&mut self, receiver: Receiver) -> Ticket {
        self.unlink(receiver.id);
        let ticket = self.next();
        self.pairs.insert(ticket, receiver);
        ticket
    }

    fn number(&mut self, value: Value) -> Handed {
        Handed { number: self.next(), value }
    }

    fn hand(&mut self, receiver: Receiver, value: Value) {
        self.unlink(receiver.id);
        let handed = self.number(value);
        self.wake(receiver.id, Completion::Received(handed));
    }

    fn take_returned(&mut self) -> Option<Handed> {
        self.returned.pop_first().map(|(number, value)| Handed { number, value })
    }

    fn take_in_hand(&mut self) -> Option<Handed> {
        self.take_returned().or_else(|| self.buffer.pop_front().map(|value| self.number(value)))
    }

    fn take_all(&mut self) -> Vec<Value> {
        mem::take(&mut self.returned).into_values().chain(self.buffer.drain(..)).collect()
    }

    /// Removes a wait from wherever it is linked; a select with all its arms.
    fn unlink(&mut self, id: WaitId) {
        self.recvq.retain(|r| !r.id.same_wait(id));
        self.sendq.retain(|s| !s.id.same_wait(id));
        self.watchers.retain(|w| !w.0.same_wait(id));
        self.pairs.retain(|_, r| !r.id.same_wait(id));
    }

    // ---- Invariants -----------------------------------------------------------------------------

    pub fn check_invariants(&self) {
        if let Err(violated) = self.invariants() {
            panic!("{violated}\n{self:#?}");
        }
    }

    /// What must hold between any two sections.
    pub fn invariants(&self) -> Result<(), &'static str> {
        let meet = |r: &Receiver| self.sendq.iter().any(|s| !s.id.same_wait(r.id));
        let rules = [
            (!self.recvq.iter().any(meet), "I2: a sender and a receiver are parked side by side"),
            (
                self.closed || !self.in_hand() || self.recvq.is_empty(),
                "I3: a value is in hand and a receiver is queued",
            ),
            (self.closed || !self.has_slot() || self.sendq.is_empty(), "I3: a slot is free and a sender is queued"),
            (self.recvq.iter().is_sorted_by_key(|r| r.arrival), "I4: receivers are queued out of order"),
            (self.sendq.iter().is_sorted_by_key(|s| s.arrival), "I4: senders are queued out of order"),
            (self.links().collect::<BTreeSet<_>>().len() == self.links().count(), "I5: a wait is linked twice"),
            (!self.closed || self.closing || self.links().next().is_none(), "I8: somebody waits on a closed channel"),
            (
                self.capacity.is_none_or(|capacity| self.buffer.len() + self.reserved <= capacity),
                "values and reservations exceed the capacity",
            ),
            (!self.receivers_gone || !self.in_hand(), "I9: values are kept for receivers that are gone"),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            Some((_, violated)) => Err(violated),
            None => Ok(()),
        }
    }
}
