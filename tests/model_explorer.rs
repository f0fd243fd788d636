//! Explores the model: every interleaving of a few actors on one channel, breadth first.
//!
//! A step is one locked section of one actor. In every state that can be reached
//! * the invariants of the model hold;
//! * every value is in exactly one place (made = in the channel + with a receiver + back with its
//!   sender + displaced or discarded);
//! * as many slots are reserved as there are senders who were granted one;
//! * an actor waits if, and only if, the channel knows of it: no wake-up is lost, none comes twice;
//! * a receive that must not block is never queued;
//! * nothing is sent on a closed channel, and nobody is told "closed and empty" while a value is in hand;
//! * nobody who is parked is overtaken;
//! * values leave the returned list in the order in which they were first handed out;
//!
//! and where nobody can move any more, nobody waits who could proceed. The first, hence shortest, way
//! to each kind of violation is reported.

mod model;

use model::{
    Bug, CancelOutcome, Completion, FillOutcome, ForceOutcome, GrantOutcome, Handed, Interest, Model, Offer,
    RecvOutcome, SendOutcome, Step, Ticket, Value, WaitId,
};
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, VecDeque};

/// What an actor does. Actor number `i` brings the value `i`, if it brings one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    Send,
    /// A send that may give up at any instant at which it waits.
    SendDeadline,
    TrySend,
    ForceSend,
    Recv,
    RecvDeadline,
    TryRecv,
    /// A receive future: may be dropped while it waits and while it holds a value.
    RecvFuture,
    /// A select with one send arm, or a permit; the evaluation may panic.
    Lazy,
    LazyDeadline,
    LazyTask,
    /// A select with a send arm and a receive arm on the same channel.
    TwoSided,
    Watch(Interest),
    Close,
    Drain,
    /// The last receiver goes, after all receiving is done.
    DropReceivers,
}
use Role::*;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Phase {
    Start,
    Waiting,
    /// A lazy sender makes its value: for a pair, or for a reservation.
    Evaluating(Option<Ticket>),
    /// A receive future was handed a value and has not yet been polled.
    Holding(Handed),
    /// The closer releases waiters, one per section.
    Closing,
    Done(End),
}
use Phase::*;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum End {
    Sent,
    /// Sent, and this value was displaced.
    Displaced(Value),
    /// The actor's own value is back with it.
    Back,
    /// The values the actor received, or took out to drop them.
    Got(Vec<Value>),
    /// It ended without a value: closed, empty, timed out, panicked, woken.
    Nothing,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct State {
    channel: Model,
    phases: Vec<Phase>,
    /// Errors of the step that led here; kept in the state so that it has a trace.
    faults: Vec<&'static str>,
}

struct Explorer {
    roles: Vec<Role>,
}

#[derive(Debug)]
struct Report {
    states: usize,
    /// Kind of violation and the steps that lead to it.
    violations: BTreeMap<String, String>,
}

fn explore(channel: Model, roles: &[Role]) -> Report {
    let explorer = Explorer { roles: roles.to_vec() };
    let start = State { channel, phases: vec![Start; roles.len()], faults: Vec::new() };
    let mut parents: HashMap<State, Option<(State, String)>> = HashMap::from([(start.clone(), None)]);
    let mut queue = VecDeque::from([start]);
    let mut violations = BTreeMap::new();
    while let Some(state) = queue.pop_front() {
        assert!(parents.len() < 100_000, "somebody begins again for ever: {}", trace(&parents, &state));
        let steps = explorer.steps(&state);
        for violation in explorer.violations(&state, steps.is_empty()) {
            violations.entry(violation).or_insert_with(|| trace(&parents, &state));
        }
        for (label, next) in steps {
            if let Entry::Vacant(unseen) = parents.entry(next.clone()) {
                unseen.insert(Some((state.clone(), label)));
                queue.push_back(next);
            }
        }
    }
    Report { states: parents.len(), violations }
}

fn trace(parents: &HashMap<State, Option<(State, String)>>, state: &State) -> String {
    let mut labels = Vec::new();
    let mut at = state;
    while let Some((parent, label)) = &parents[at] {
        labels.push(label.as_str());
        at = parent;
    }
    labels.reverse();
    labels.join(" ; ")
}

impl Explorer {
    /// The wait of an actor; the first arm if it is a select.
    fn id(&self, actor: usize) -> WaitId {
        match self.roles[actor] {
            TwoSided => WaitId::Arm { select: actor as u32, arm: 0 },
            _ => WaitId::Plain(actor as u32),
        }
    }

    /// Every state one step away, with the name of the step.
    fn steps(&self, state: &State) -> Vec<(String, State)> {
        let mut next = Vec::new();
        for actor in 0..self.roles.len() {
            for (what, step) in self.steps_of(actor, state) {
                next.push((format!("{:?} {actor} {what}", self.roles[actor]), step));
            }
        }
        next
    }

    fn steps_of(&self, actor: usize, state: &State) -> Vec<(&'static str, State)> {
        let role = self.roles[actor];
        let mut next = Vec::new();
        // One section: what the actor does, and the phase it is in afterwards.
        let mut step = |what, section: &dyn Fn(&mut Model) -> Step<Phase>| {
            next.push((what, self.after(actor, state, section)));
        };
        let id = self.id(actor);
        let value = actor as Value;
        match &state.phases[actor] {
            Start => match role {
                Send | SendDeadline => step("sends", &|c| sent(c.send(id, value))),
                TrySend => step("tries to send", &|c| sent(c.try_send(value))),
                ForceSend => step("sends by force", &|c| {
                    let (outcome, woken) = c.force_send(value);
                    let end = match outcome {
                        ForceOutcome::Sent => End::Sent,
                        ForceOutcome::Displaced(oldest) => End::Displaced(oldest),
                        ForceOutcome::Closed(_) => End::Back,
                    };
                    (Done(end), woken)
                }),
                Recv | RecvDeadline | RecvFuture => step("receives", &|c| received(role, c.recv(id))),
                TryRecv => step("tries to receive", &|c| received(role, c.try_recv(id))),
                Lazy | LazyDeadline => step("selects", &|c| granted(c.lazy_send(id, Offer::Lazy))),
                LazyTask => step("selects", &|c| granted(c.lazy_send(id, Offer::LazyTask))),
                TwoSided => step("selects", &|c| {
                    let (phase, mut woken) = granted(c.lazy_send(id, Offer::Lazy));
                    if phase != Waiting {
                        return (phase, woken);
                    }
                    let arm = WaitId::Arm { select: actor as u32, arm: 1 };
                    let (phase, more) = received(role, c.recv(arm));
                    woken.extend(more);
                    (phase, woken)
                }),
                Watch(interest) => step("watches", &|c| {
                    let (ready, woken) = c.watch(id, interest);
                    (if ready { Done(End::Nothing) } else { Waiting }, woken)
                }),
                Close => step("closes", &|c| {
                    let (first, woken) = c.begin_close();
                    (if first { Closing } else { Done(End::Nothing) }, woken)
                }),
                Drain => step("drains", &|c| {
                    let (values, woken) = c.drain();
                    (Done(End::Got(values)), woken)
                }),
                DropReceivers if self.receiving_is_over(state) => step("goes", &|c| {
                    let (values, woken) = c.drop_last_receiver();
                    (Done(End::Got(values)), woken)
                }),
                DropReceivers => {}
            },
            Waiting => match role {
                SendDeadline | RecvDeadline | RecvFuture | LazyDeadline => step("gives up", &|c| {
                    let (outcome, woken) = c.cancel(id);
                    let end = match outcome {
                        CancelOutcome::Cancelled(Some(_)) => End::Back,
                        _ => End::Nothing,
                    };
                    (Done(end), woken)
                }),
                _ => {}
            },
            Evaluating(Some(ticket)) => {
                step("fills", &|c| filled(c.fill(*ticket, value)));
                step("panics", &|c| (Done(End::Nothing), c.undo_pair(*ticket).1));
            }
            Evaluating(None) => {
                step("fills its slot", &|c| filled(c.fill_reserved(value)));
                step("panics", &|c| (Done(End::Nothing), c.release_reserved().1));
            }
            Holding(handed) => {
                step("returns", &|_| (Done(End::Got(vec![handed.value])), Vec::new()));
                step("is dropped with a value", &|c| (Done(End::Nothing), c.give_back(*handed).1));
            }
            Closing => step("releases", &|c| {
                let (more, woken) = c.close_batch(1);
                (if more { Closing } else { Done(End::Nothing) }, woken)
            }),
            Done(_) => {}
        }
        next
    }

    fn receiving_is_over(&self, state: &State) -> bool {
        let receives = |role| matches!(role, Recv | RecvDeadline | RecvFuture | TryRecv | TwoSided | Drain);
        self.roles.iter().zip(&state.phases).all(|(role, phase)| !receives(*role) || matches!(phase, Done(_)))
    }

    fn after(&self, actor: usize, state: &State, section: &dyn Fn(&mut Model) -> Step<Phase>) -> State {
        let mut next = state.clone();
        let (phase, woken) = section(&mut next.channel);
        let mut fault = |wrong, what| {
            if wrong {
                next.faults.push(what);
            }
        };
        next.phases[actor] = phase;
        let mut told_closed = matches!(next.phases[actor], Done(End::Nothing))
            && state.phases[actor] == Start
            && matches!(self.roles[actor], Recv | RecvDeadline | RecvFuture);
        for (id, completion) in woken {
            let other = match id {
                WaitId::Plain(other) | WaitId::Arm { select: other, .. } => other as usize,
            };
            fault(next.phases[other] != Waiting, "I5: somebody who does not wait was woken");
            fault(state.channel.is_closed() && completion == Completion::Sent, "I8: a value entered a closed channel");
            let receives = !matches!(self.roles[other], Send | SendDeadline | Lazy | LazyDeadline | LazyTask);
            told_closed |= completion == Completion::Closed && receives;
            next.phases[other] = match completion {
                Completion::Sent => Done(End::Sent),
                Completion::SendClosed(_) => Done(End::Back),
                Completion::Received(handed) => received_now(self.roles[other], handed),
                Completion::Closed | Completion::Ready => Done(End::Nothing),
                Completion::Paired(ticket) => Evaluating(Some(ticket)),
                Completion::Reserved => Evaluating(None),
                Completion::Retry => Start,
            };
        }
        fault(told_closed && next.channel.in_hand(), "closed and empty, although a value was in hand");
        fault(
            state.channel.is_closed() && next.phases[actor] == Done(End::Sent),
            "I8: a value entered a closed channel",
        );
        let (senders, receivers) = state.channel.queues();
        let (senders_after, receivers_after) = next.channel.queues();
        let overtaken = self.is_overtaken(actor, &senders, &senders_after)
            || self.is_overtaken(actor, &receivers, &receivers_after);
        fault(overtaken, "I4: somebody overtook a parked peer");
        let left = |(number, _): &(&u32, &Value)| !next.channel.returned().contains_key(number);
        let first_kept = state.channel.returned().iter().find(|v| !left(v)).map(|v| v.0);
        let last_gone = state.channel.returned().iter().rfind(left).map(|v| v.0);
        fault(first_kept.is_some() && first_kept < last_gone, "a value left the returned list before an older one");
        next
    }

    /// Whether somebody was served, and left the queue, although somebody before him was not. Only plain waits are looked
    /// at: the arms of a select leave together, and a task may be passed over.
    fn is_overtaken(&self, actor: usize, before: &[WaitId], after: &[WaitId]) -> bool {
        let in_line = |id: &&WaitId| match id {
            WaitId::Plain(other) => *other as usize != actor && self.roles[*other as usize] != LazyTask,
            WaitId::Arm { .. } => false,
        };
        let stays: Vec<bool> = before.iter().filter(in_line).map(|id| after.contains(id)).collect();
        !stays.is_sorted()
    }

    fn violations(&self, state: &State, is_final: bool) -> Vec<String> {
        let mut found: Vec<String> = state.faults.iter().map(|fault| fault.to_string()).collect();
        found.extend(state.channel.invariants().err().map(String::from));
        found.extend(self.misplaced_value(state));
        if state.channel.reserved() != state.phases.iter().filter(|phase| **phase == Evaluating(None)).count() {
            found.push("a slot is reserved for nobody, or somebody has none".into());
        }
        for (actor, phase) in state.phases.iter().enumerate() {
            let linked = state.channel.is_linked(self.id(actor))
                || state.channel.is_linked(WaitId::Arm { select: actor as u32, arm: 1 });
            if linked != (*phase == Waiting) {
                found.push(format!("{} {phase:?} and linked: {linked}", "lost or stale wait:"));
            }
            if self.roles[actor] == TryRecv && state.channel.queues().1.contains(&self.id(actor)) {
                found.push("a receive that must not block is queued".into());
            }
            if is_final && *phase == Waiting && self.could_proceed(actor, state) {
                found.push(format!("a {:?} waits for ever and could proceed", self.roles[actor]));
            }
        }
        found
    }

    /// Every value that exists is in exactly one place, every other in none.
    fn misplaced_value(&self, state: &State) -> Option<String> {
        let mut places: Vec<Value> = state.channel.values().collect();
        for (actor, phase) in state.phases.iter().enumerate() {
            match phase {
                Holding(handed) => places.push(handed.value),
                Done(End::Back) => places.push(actor as Value),
                Done(End::Displaced(value)) => places.push(*value),
                Done(End::Got(values)) => places.extend(values),
                _ => {}
            }
        }
        for (actor, role) in self.roles.iter().enumerate() {
            let made = match (role, &state.phases[actor]) {
                (Send | SendDeadline | TrySend | ForceSend, phase) => *phase != Start,
                (_, Done(End::Sent | End::Back)) => true,
                _ => false,
            };
            let count = places.iter().filter(|value| **value == actor as Value).count();
            if count != usize::from(made) {
                return Some(format!("a value is in {count} places, made: {made}"));
            }
        }
        None
    }

    /// Whether an actor that waits for ever would have found something to do, had it come now.
    fn could_proceed(&self, actor: usize, state: &State) -> bool {
        let id = self.id(actor);
        let mut channel = state.channel.clone();
        channel.cancel(id);
        let mut can_send = || !matches!(channel.try_lazy_send(WaitId::Plain(99)).0, GrantOutcome::Full);
        match self.roles[actor] {
            Send | SendDeadline | Lazy | LazyDeadline | LazyTask => can_send(),
            Watch(interest) => channel.is_ready(interest),
            TwoSided if can_send() => true,
            _ => !matches!(channel.recv(WaitId::Plain(99)), (RecvOutcome::Parked, woken) if woken.is_empty()),
        }
    }
}

fn sent((outcome, woken): Step<SendOutcome>) -> Step<Phase> {
    let phase = match outcome {
        SendOutcome::Sent => Done(End::Sent),
        SendOutcome::Full(_) | SendOutcome::Closed(_) => Done(End::Back),
        SendOutcome::Parked => Waiting,
    };
    (phase, woken)
}

fn received(role: Role, (outcome, woken): Step<RecvOutcome>) -> Step<Phase> {
    let phase = match outcome {
        RecvOutcome::Received(handed) => received_now(role, handed),
        RecvOutcome::Empty | RecvOutcome::Closed => Done(End::Nothing),
        RecvOutcome::Parked => Waiting,
    };
    (phase, woken)
}

fn received_now(role: Role, handed: Handed) -> Phase {
    match role {
        RecvFuture => Holding(handed),
        _ => Done(End::Got(vec![handed.value])),
    }
}

fn granted((outcome, woken): Step<GrantOutcome>) -> Step<Phase> {
    let phase = match outcome {
        GrantOutcome::Paired(ticket) => Evaluating(Some(ticket)),
        GrantOutcome::Reserved => Evaluating(None),
        GrantOutcome::Full | GrantOutcome::Closed => Done(End::Nothing),
        GrantOutcome::Parked => Waiting,
    };
    (phase, woken)
}

fn filled((outcome, woken): Step<FillOutcome>) -> Step<Phase> {
    let phase = match outcome {
        FillOutcome::Sent => Done(End::Sent),
        FillOutcome::Closed(_) => Done(End::Back),
    };
    (phase, woken)
}

/// Explores a scenario that must be sound.
fn sound(name: &str, capacity: Option<usize>, roles: &[Role]) {
    let report = explore(Model::new(capacity), roles);
    println!("{name}: {} states", report.states);
    assert!(report.violations.is_empty(), "{name}: {:#?}", report.violations);
}

/// Explores a scenario with a planted bug, which must be found as a violation that begins so.
fn finds(bug: Bug, violation: &str, capacity: Option<usize>, roles: &[Role]) {
    let report = explore(Model::with_bug(capacity, bug), roles);
    println!("{bug:?}: {} states, {:#?}", report.states, report.violations);
    let found = report.violations.keys().any(|found| found.starts_with(violation));
    assert!(found, "{bug:?} was not found as {violation:?}: {:#?}", report.violations);
}

// ---- Pairs: a lazy sender evaluates while its receiver waits ---------------------------------------

#[test]
fn lazy_panic_against_plain_sender() {
    sound("lazy panic, plain sender", Some(0), &[Lazy, Recv, Send]);
}

#[test]
fn lazy_against_dropped_future() {
    sound("lazy, dropped future", Some(0), &[Lazy, RecvFuture, Recv]);
}

#[test]
fn lazy_against_withdrawn_receiver_and_nobody_else() {
    sound("lazy, withdrawn receiver", Some(0), &[Lazy, RecvFuture]);
}

#[test]
fn lazy_and_future_and_sender_and_close() {
    sound("lazy, future, sender, close", Some(0), &[Lazy, RecvFuture, Send, Close]);
}

#[test]
fn two_lazy_senders_one_receiver() {
    sound("two lazy, one receiver", Some(0), &[Lazy, Lazy, Recv]);
    sound("two lazy, two receivers, a sender", Some(0), &[Lazy, Lazy, Recv, Recv, Send]);
}

#[test]
fn deadline_of_a_paired_receiver() {
    sound("deadline of a paired receiver", Some(0), &[Lazy, RecvDeadline, Recv, Send]);
    sound("the same, closed", Some(0), &[Lazy, RecvDeadline, Recv, Close]);
}

#[test]
fn non_blocking_receive_of_a_lazy_sender() {
    sound("try_recv, lazy", Some(0), &[Lazy, LazyDeadline, TryRecv, TryRecv, Send]);
    sound("try_recv, lazy task", Some(0), &[LazyTask, Send, TryRecv, Recv]);
    sound("try_recv, lazy, close", Some(0), &[Lazy, TryRecv, Recv, Close]);
}

#[test]
fn a_non_blocking_receive_waits_for_no_task() {
    let mut channel = Model::new(Some(0));
    let [task, sender, receiver] = [0, 1, 2].map(WaitId::Plain);
    assert_eq!(channel.lazy_send(task, Offer::LazyTask).0, GrantOutcome::Parked);
    assert_eq!(channel.try_recv(receiver).0, RecvOutcome::Empty);
    // Nor is it refused because of one: there is a value behind the task.
    channel.send(sender, 7);
    assert!(matches!(channel.try_recv(receiver).0, RecvOutcome::Received(Handed { value: 7, .. })));
    // A receive that may wait is the task's partner.
    let (received, woken) = channel.recv(receiver);
    assert_eq!(received, RecvOutcome::Parked);
    assert!(matches!(woken[..], [(who, Completion::Paired(_))] if who == task), "{woken:?}");
}

#[test]
fn a_value_given_back_while_a_pair_is_open() {
    sound("given back beside a pair", Some(0), &[Lazy, RecvFuture, Recv, Send, Close]);
}

// ---- Values given back ---------------------------------------------------------------------------

#[test]
fn two_handed_futures_are_dropped() {
    sound("two futures", Some(0), &[RecvFuture, RecvFuture, Send, Send, Recv]);
}

#[test]
fn a_handed_future_is_dropped_after_close() {
    sound("future, close", Some(0), &[RecvFuture, Send, Recv, Close]);
    sound("future, close, cap 1", Some(1), &[RecvFuture, Send, Recv, TryRecv, Close]);
    sound("two futures, close", Some(1), &[RecvFuture, RecvFuture, Send, Send, Close]);
}

#[test]
fn a_handed_future_is_dropped_beside_blocked_senders() {
    sound("future, senders, cap 1", Some(1), &[RecvFuture, Send, Send, Send, Recv]);
}

#[test]
fn the_last_receiver_goes() {
    sound("last receiver", Some(1), &[RecvFuture, Send, Send, Lazy, DropReceivers]);
    sound("last receiver, cap 0", Some(0), &[RecvFuture, Send, Lazy, DropReceivers, Close]);
}

// ---- Plain operations ------------------------------------------------------------------------------

#[test]
fn plain_operations() {
    for capacity in [Some(0), Some(1), Some(2), None] {
        sound("senders, receivers", capacity, &[Send, Send, Recv, RecvDeadline, SendDeadline]);
        sound("and close", capacity, &[Send, SendDeadline, Recv, RecvDeadline, Close]);
        sound("non-blocking", capacity, &[TrySend, Send, TryRecv, Recv, Close]);
    }
}

#[test]
fn force_and_drain() {
    for capacity in [Some(0), Some(1), Some(2), None] {
        sound("force, drain", capacity, &[ForceSend, Send, Drain, Recv, Close]);
        sound("force, reservations", capacity, &[ForceSend, Lazy, Lazy, Recv, RecvFuture]);
    }
}

#[test]
fn watchers_and_send_and_close() {
    for capacity in [Some(0), Some(1)] {
        for interest in [Interest::Readable, Interest::Writable, Interest::Closed] {
            sound("watcher, send, close", capacity, &[Watch(interest), Send, Send, Close]);
            sound("watcher, pair", capacity, &[Watch(interest), Lazy, RecvFuture, Send, Recv]);
        }
    }
}

// ---- Reservations ------------------------------------------------------------------------------------

#[test]
fn reservations() {
    sound("reservations, cap 1", Some(1), &[Lazy, LazyDeadline, Send, Recv, Recv]);
    sound("reservations, close", Some(1), &[Lazy, Lazy, Send, Recv, Close]);
    sound("reservations, future", Some(1), &[Lazy, Lazy, RecvFuture, Recv, Send]);
    sound("reservations, try_recv", Some(1), &[Lazy, LazyTask, TryRecv, Recv, Send]);
}

// ---- Selects with both directions on one channel -----------------------------------------------------

#[test]
fn two_sided_select() {
    for capacity in [Some(0), Some(1)] {
        sound("two-sided", capacity, &[TwoSided, Send, Recv]);
        sound("two-sided twice", capacity, &[TwoSided, TwoSided, Recv, Close]);
        sound("two-sided, undone", capacity, &[TwoSided, Lazy, Recv, Send]);
        sound("two-sided, future", capacity, &[TwoSided, RecvFuture, Lazy, Recv]);
    }
}

// ---- The explorer can fail ------------------------------------------------------------------------------

#[test]
fn without_settle_peers_miss_each_other() {
    let bug = Bug::NoSettle;
    finds(bug, "I2", Some(0), &[Lazy, Recv, Send]);
    finds(bug, "a Recv waits for ever and could proceed", Some(0), &[Lazy, Recv, Send]);
    finds(bug, "I3: a value is in hand", Some(0), &[Lazy, RecvFuture, Recv]);
    finds(bug, "I3: a slot is free", Some(1), &[RecvFuture, Send, Send, Send, Recv]);
}

#[test]
fn an_undone_receiver_must_not_overtake_an_older_one() {
    finds(Bug::UndoToFront, "I4: receivers", Some(0), &[Lazy, Lazy, Recv, Recv]);
}

#[test]
fn close_must_look_at_what_came_back() {
    let roles = [Lazy, RecvFuture, Recv, Send, Close];
    finds(Bug::CloseIgnoresReturned, "closed and empty, although", Some(0), &roles);
}
