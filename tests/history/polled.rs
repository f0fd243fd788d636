//! Programs from bytes, on one thread: futures that are polled and dropped by hand, so that the bytes are the schedule, too.
//!
//! Whatever the bytes are, they are a program. Each actor is a task; what it begins is polled at once, and then as the bytes
//! say. When all that are under way have been polled in vain, nobody can go on, which the history says.

use super::ports::{Live, Token};
use super::{History, Kind, Record};
use crate::model::op::{Arm, Fate, Op, Patience, Ret, Took};
use gochan::{Receiver, Select, Sender, TryRecvError, TrySendError, bounded, unbounded};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

const ACTORS: usize = 5;

type Channels = Vec<(Sender<Token>, Receiver<Token>)>;

/// Bytes, and then zeroes.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn below(&mut self, limit: usize) -> usize {
        match self.0.split_first() {
            None => 0,
            Some((first, rest)) => {
                self.0 = rest;
                usize::from(*first) % limit
            }
        }
    }
}

struct Actor {
    /// The operation under way.
    future: Option<Pin<Box<dyn Future<Output = Ret>>>>,
    /// Gone when it has dropped its handles.
    handles: Option<Channels>,
    records: Vec<Record>,
}

/// Plays the program, and returns its history; and how many values were not dropped.
pub fn play(bytes: &[u8], selects: bool) -> (History, isize) {
    let mut bytes = Bytes(bytes);
    let live = Live::default();
    let capacities: Vec<_> =
        (0..1 + bytes.below(3)).map(|_| [Some(0), Some(1), Some(2), Some(3), None][bytes.below(5)]).collect();
    let channels: Channels = capacities.iter().map(|cap| cap.map_or_else(unbounded, bounded)).collect();
    let actor = |_| Actor { future: None, handles: Some(channels.clone()), records: vec![] };
    let mut actors: Vec<Actor> = (0..ACTORS).map(actor).collect();
    drop(channels);
    let (mut clock, mut quiescent, mut value) = (0, Vec::new(), 0);
    while !bytes.0.is_empty() {
        let at = bytes.below(ACTORS);
        let actor = &mut actors[at];
        match (bytes.below(8), actor.future.is_some(), &actor.handles) {
            (0..5, false, Some(handles)) => {
                let op = operation(&mut bytes, capacities.len(), selects, &mut value);
                clock += 1;
                actor.records.push(Record { actor: at, op: op.clone(), invoked: clock, returned: None, joined: false });
                actor.future = Some(begin(op, handles, &live, bytes.below(2) == 1));
                actor.poll(&mut clock);
            }
            (5, false, Some(_)) => actor.drop_handles(at, capacities.len(), &mut clock),
            (0..4, true, _) => actor.poll(&mut clock),
            (4, true, _) if actor.records.last().is_some_and(|record| record.op.patience() == Patience::Dropped) => {
                actor.future = None;
                actor.ends(Ret::Cancelled, &mut clock);
            }
            _ => quiescent.push(rest(&mut actors, &mut clock)),
        }
    }
    quiescent.push(rest(&mut actors, &mut clock));
    for actor in &mut actors {
        (actor.future, actor.handles) = (None, None);
    }
    let records = actors.into_iter().flat_map(|actor| actor.records).collect();
    let kinds = vec![Kind::Task; ACTORS];
    let history = History { capacities, actors: kinds, senders: ACTORS, receivers: ACTORS, records, quiescent };
    (history, live.count())
}

/// Polls everybody until nobody goes on any more: so often in vain that what one poll sets off has come round to all, since a
/// poll may end a pause, or a wait, and not yet the operation.
fn rest(actors: &mut [Actor], clock: &mut u64) -> u64 {
    let mut vain = 0;
    while vain <= ACTORS {
        let before = *clock;
        actors.iter_mut().filter(|actor| actor.future.is_some()).for_each(|actor| actor.poll(clock));
        vain = if *clock == before { vain + 1 } else { 0 };
    }
    *clock += 1;
    *clock
}

impl Actor {
    fn poll(&mut self, clock: &mut u64) {
        let future = self.future.as_mut().expect("it does something");
        if let Poll::Ready(ret) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            self.future = None;
            self.ends(ret, clock);
        }
    }

    fn ends(&mut self, ret: Ret, clock: &mut u64) {
        *clock += 1;
        self.records.last_mut().expect("it did something").returned = Some((*clock, ret));
    }

    /// One handle after the other.
    fn drop_handles(&mut self, at: usize, channels: usize, clock: &mut u64) {
        let handles = self.handles.take().expect("it has them");
        for (c, (tx, rx)) in handles.into_iter().enumerate().take(channels) {
            for op in [Op::DropSender(c), Op::DropReceiver(c)] {
                *clock += 2;
                let returned = Some((*clock, Ret::Ok));
                self.records.push(Record { actor: at, op, invoked: *clock - 1, returned, joined: false });
            }
            drop(tx);
            drop(rx);
        }
    }
}

fn operation(bytes: &mut Bytes<'_>, channels: usize, selects: bool, value: &mut u32) -> Op {
    let c = bytes.below(channels);
    let patience = [Patience::Forever, Patience::Dropped, Patience::Dropped, Patience::Not][bytes.below(4)];
    let fate = if bytes.below(3) == 0 { Fate::Broken } else { Fate::Kept };
    *value += 10;
    match bytes.below(if selects { 24 } else { 14 }) {
        0..3 => Op::Send(c, *value, patience),
        3..6 => Op::Recv(c, patience),
        6 | 7 => Op::Permit(c, *value, patience, fate),
        8 => Op::ForceSend(c, *value),
        9 => Op::Drain(c),
        10 => Op::Len(c),
        11 => Op::IsClosed(c),
        12 if bytes.below(3) == 0 => Op::Close(c),
        _ => {
            let arm = |i| match (bytes.below(channels), bytes.below(2)) {
                (c, 0) => Arm::Send(c, *value + i),
                (c, _) => Arm::Recv(c),
            };
            Op::Select((0..1 + *value / 10 % 3).map(arm).collect(), patience, fate)
        }
    }
}

/// Lets others go on, once.
async fn pause() {
    let mut paused = false;
    poll_fn(|_| if std::mem::replace(&mut paused, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

fn took<T, E>(result: Result<T, E>, took: impl FnOnce(T) -> Took) -> Took {
    result.map_or(Took::Closed, took)
}

/// The future of an operation. What it holds of the channels, the actor holds anyway. If it `pauses`, it has a promise, or what it
/// has selected, for a while.
fn begin(op: Op, channels: &Channels, live: &Live, pauses: bool) -> Pin<Box<dyn Future<Output = Ret>>> {
    let (channels, live) = (channels.clone(), live.clone());
    Box::pin(async move {
        match op {
            Op::Send(c, value, Patience::Not) => match channels[c].0.try_send(live.token(value)) {
                Ok(()) => Ret::Ok,
                Err(TrySendError::Full(_)) => Ret::Full,
                Err(TrySendError::Disconnected(_)) => Ret::Closed,
            },
            Op::Send(c, value, _) => {
                channels[c].0.send_async(live.token(value)).await.map_or(Ret::Closed, |()| Ret::Ok)
            }
            Op::Recv(c, Patience::Not) => match channels[c].1.try_recv() {
                Ok(token) => Ret::Got(token.value),
                Err(TryRecvError::Empty) => Ret::Empty,
                Err(TryRecvError::Disconnected) => Ret::Closed,
            },
            Op::Recv(c, _) => channels[c].1.recv_async().await.map_or(Ret::Closed, |token| Ret::Got(token.value)),
            Op::Permit(c, value, patience, fate) => {
                let permit = match patience {
                    Patience::Not => match channels[c].0.try_reserve() {
                        Err(TrySendError::Full(())) => return Ret::Full,
                        permit => permit.ok(),
                    },
                    _ => channels[c].0.reserve().await.ok(),
                };
                let Some(permit) = permit else { return Ret::Closed };
                if pauses {
                    pause().await;
                }
                match fate {
                    Fate::Broken => Ret::Broken,
                    Fate::Kept => permit.send(live.token(value)).map_or(Ret::Closed, |()| Ret::Ok),
                }
            }
            Op::Select(arms, patience, fate) => {
                let mut select = Select::new();
                for arm in arms.iter() {
                    match *arm {
                        Arm::Send(c, _) => select.send(&channels[c].0),
                        Arm::Recv(c) => select.recv(&channels[c].1),
                    };
                }
                let chosen = match patience {
                    Patience::Not => select.try_select_async().await.ok(),
                    _ => Some(select.select_async().await),
                };
                let Some(chosen) = chosen else { return Ret::Default };
                let index = chosen.index();
                if pauses {
                    pause().await;
                }
                let took = match (fate, arms[index]) {
                    (Fate::Broken, _) => Took::Broken,
                    (_, Arm::Send(c, value)) => took(chosen.send(&channels[c].0, live.token(value)), |()| Took::Sent),
                    (_, Arm::Recv(c)) => took(chosen.recv(&channels[c].1), |token| Took::Got(token.value)),
                };
                Ret::Chose(index, took)
            }
            Op::ForceSend(c, value) => match channels[c].0.force_send(live.token(value)) {
                Ok(None) => Ret::Ok,
                Ok(Some(oldest)) => Ret::Displaced(oldest.value),
                Err(_) => Ret::Closed,
            },
            Op::Drain(c) => Ret::drained(&channels[c].1.drain().map(|token| token.value).collect::<Vec<_>>()),
            Op::Len(c) => Ret::Len(channels[c].0.len()),
            Op::IsClosed(c) => Ret::Is(channels[c].1.is_closed()),
            Op::Close(c) => Ret::First(channels[c].0.close()),
            Op::SelectGo(..) | Op::DropSender(_) | Op::DropReceiver(_) => unreachable!("{op}"),
        }
    })
}
