//! What programs run on: the handles of one actor, and gochan's own.

use super::Kind;
use super::program::Program;
use crate::model::Value;
use crate::model::op::{Arm, Fate, Op, Patience, Ret, Took};
use gochan::{
    Receiver, RecvTimeoutError, Select, SelectedOperation, SendError, SendTimeoutError, Sender, TryRecvError,
    TrySendError, bounded, select, select_async, unbounded,
};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// The handles of one actor: a sender and a receiver of every channel, until it drops them. The runner's own port has only
/// one of the two, so that channels can also be closed by what the actors drop.
pub trait Port: Send + 'static {
    fn perform(&mut self, op: &Op) -> Ret;
}

/// Channels seen from outside.
pub struct Ports {
    pub actors: Vec<Box<dyn Port>>,
    pub runner: Box<dyn Port>,
    /// Values that exist; zero when everything is dropped.
    pub live: Live,
}

/// Counts the instances of [`Token`].
#[derive(Clone, Default, Debug)]
pub struct Live(Arc<AtomicIsize>);

/// A value that is counted, so that a leak and a double drop are seen.
#[derive(Debug)]
pub struct Token {
    pub value: Value,
    live: Live,
}

impl Live {
    pub fn token(&self, value: Value) -> Token {
        self.0.fetch_add(1, Ordering::Relaxed);
        Token { value, live: self.clone() }
    }

    pub fn count(&self) -> isize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.live.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How the surroundings - real threads, or a scheduler that explores - wait and let others go on.
pub trait Surroundings: Copy + Send + 'static {
    /// Runs a future to its end.
    fn block_on<F: Future>(self, future: F) -> F::Output;
    /// Lets others go on for a while.
    fn dawdle(self);
    /// One of two, when two ways lead to the same.
    fn coin(self) -> bool;
}

/// gochan's handles. An operation that gives a value back must give back the one that was sent.
struct Handles<S> {
    kind: Kind,
    senders: Vec<Option<Sender<Token>>>,
    receivers: Vec<Option<Receiver<Token>>>,
    live: Live,
    timeout: Duration,
    surroundings: S,
}

/// Opens the channels of a program. All timeouts of a program are the same.
pub fn open<S: Surroundings>(program: &Program, timeout: Duration, surroundings: S) -> Ports {
    let channel = |capacity: &Option<usize>| capacity.map_or_else(unbounded, bounded);
    let channels: Vec<_> = program.capacities.iter().map(channel).collect();
    let live = Live::default();
    let port = |kind, sends: bool, receives: bool| -> Box<dyn Port> {
        let senders = channels.iter().map(|(sender, _)| sends.then(|| sender.clone())).collect();
        let receivers = channels.iter().map(|(_, receiver)| receives.then(|| receiver.clone())).collect();
        Box::new(Handles { kind, senders, receivers, live: live.clone(), timeout, surroundings })
    };
    let actors = program.actors.iter().map(|(kind, _)| port(*kind, true, true)).collect();
    Ports { actors, runner: port(Kind::Thread, program.runner_sends, !program.runner_sends), live: live.clone() }
}

impl<S: Surroundings> Port for Handles<S> {
    fn perform(&mut self, op: &Op) -> Ret {
        match *op {
            Op::DropSender(c) => self.senders[c] = None,
            Op::DropReceiver(c) => self.receivers[c] = None,
            _ => return self.operate(op),
        }
        Ret::Ok
    }
}

impl<S: Surroundings> Handles<S> {
    fn sender(&self, c: usize) -> &Sender<Token> {
        self.senders[c].as_ref().expect("a sender")
    }

    fn receiver(&self, c: usize) -> &Receiver<Token> {
        self.receivers[c].as_ref().expect("a receiver")
    }

    fn operate(&self, op: &Op) -> Ret {
        let (is_task, wait) = (self.kind == Kind::Task, self.surroundings);
        match *op {
            Op::Send(c, value, patience) => {
                let (sender, token) = (self.sender(c), self.live.token(value));
                let sent = match patience {
                    Patience::Forever if is_task => Some(wait.block_on(sender.send_async(token))),
                    Patience::Forever => Some(sender.send(token)),
                    Patience::Dropped => self.poll_for_a_while(pin!(sender.send_async(token))),
                    Patience::Not => return tried(sender.try_send(token), value),
                    Patience::Limited => {
                        return match if is_task {
                            wait.block_on(sender.send_timeout_async(token, self.timeout))
                        } else {
                            sender.send_timeout(token, self.timeout)
                        } {
                            Ok(()) => Ret::Ok,
                            Err(SendTimeoutError::Timeout(back)) => gave_back(back, value, Ret::TimedOut),
                            Err(SendTimeoutError::Disconnected(back)) => gave_back(back, value, Ret::Closed),
                        };
                    }
                };
                sent.map_or(Ret::Cancelled, |sent| self::sent(sent, value))
            }
            Op::Recv(c, patience) => {
                let receiver = self.receiver(c);
                let got = match patience {
                    Patience::Forever if is_task => Some(wait.block_on(receiver.recv_async())),
                    Patience::Forever => Some(receiver.recv()),
                    Patience::Dropped => self.poll_for_a_while(pin!(receiver.recv_async())),
                    Patience::Not => {
                        return match receiver.try_recv() {
                            Ok(token) => Ret::Got(token.value),
                            Err(TryRecvError::Empty) => Ret::Empty,
                            Err(TryRecvError::Disconnected) => Ret::Closed,
                        };
                    }
                    Patience::Limited => {
                        return match if is_task {
                            wait.block_on(receiver.recv_timeout_async(self.timeout))
                        } else {
                            receiver.recv_timeout(self.timeout)
                        } {
                            Ok(token) => Ret::Got(token.value),
                            Err(RecvTimeoutError::Timeout) => Ret::TimedOut,
                            Err(RecvTimeoutError::Disconnected) => Ret::Closed,
                        };
                    }
                };
                got.map_or(Ret::Cancelled, |got| got.map_or(Ret::Closed, |token| Ret::Got(token.value)))
            }
            Op::Permit(c, value, patience, fate) => {
                let sender = self.sender(c);
                let permit = match patience {
                    Patience::Not => match sender.try_reserve() {
                        Err(TrySendError::Full(())) => return Ret::Full,
                        permit => Some(permit.map_err(|_| SendError(()))),
                    },
                    Patience::Dropped => self.poll_for_a_while(pin!(sender.reserve())),
                    _ => Some(wait.block_on(sender.reserve())),
                };
                match permit {
                    None => Ret::Cancelled,
                    Some(Err(SendError(()))) => Ret::Closed,
                    Some(Ok(permit)) => {
                        wait.dawdle();
                        if fate == Fate::Broken {
                            return Ret::Broken;
                        }
                        sent(permit.send(self.live.token(value)), value)
                    }
                }
            }
            Op::Select(ref arms, patience, Fate::Kept) if arms.len() == 2 && wait.coin() => {
                self.select_by_macro(arms, patience)
            }
            Op::Select(ref arms, patience, fate) => self.select(arms, patience, fate),
            Op::ForceSend(c, value) => match self.sender(c).force_send(self.live.token(value)) {
                Ok(None) => Ret::Ok,
                Ok(Some(oldest)) => Ret::Displaced(oldest.value),
                Err(SendError(back)) => gave_back(back, value, Ret::Closed),
            },
            Op::Drain(c) => {
                let values: Vec<Value> = self.receiver(c).drain().map(|token| token.value).collect();
                Ret::drained(&values)
            }
            Op::Len(c) => Ret::Len(self.with(c, Sender::len, Receiver::len)),
            Op::IsClosed(c) => Ret::Is(self.with(c, Sender::is_closed, Receiver::is_closed)),
            Op::Close(c) => Ret::First(self.with(c, Sender::close, Receiver::close)),
            Op::SelectGo(..) | Op::DropSender(_) | Op::DropReceiver(_) => unreachable!("{op} of handles"),
        }
    }

    /// An operation that both handles have, on the one that is there.
    fn with<R>(&self, c: usize, sender: fn(&Sender<Token>) -> R, receiver: fn(&Receiver<Token>) -> R) -> R {
        match (&self.senders[c], &self.receivers[c]) {
            (Some(handle), _) => sender(handle),
            (None, Some(handle)) => receiver(handle),
            (None, None) => panic!("a handle"),
        }
    }

    /// Polls a few times, for nobody, and gives up.
    fn poll_for_a_while<F: Future>(&self, mut future: Pin<&mut F>) -> Option<F::Output> {
        for _ in 0..3 {
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return Some(output);
            }
            self.surroundings.dawdle();
            if self.surroundings.coin() {
                break;
            }
        }
        None
    }

    fn select(&self, arms: &[Arm], patience: Patience, fate: Fate) -> Ret {
        let mut select = Select::new();
        for arm in arms {
            match *arm {
                Arm::Send(c, _) => select.send(self.sender(c)),
                Arm::Recv(c) => select.recv(self.receiver(c)),
            };
        }
        let (is_task, wait) = (self.kind == Kind::Task, self.surroundings);
        let selected = match patience {
            Patience::Forever if is_task => Ok(wait.block_on(select.select_async())),
            Patience::Forever => Ok(select.select()),
            Patience::Not if is_task => wait.block_on(select.try_select_async()).map_err(|_| Ret::Default),
            Patience::Not => select.try_select().map_err(|_| Ret::Default),
            Patience::Limited if is_task => {
                wait.block_on(select.select_timeout_async(self.timeout)).map_err(|_| Ret::TimedOut)
            }
            Patience::Limited => select.select_timeout(self.timeout).map_err(|_| Ret::TimedOut),
            Patience::Dropped => self.poll_for_a_while(pin!(select.select_async())).ok_or(Ret::Cancelled),
        };
        selected.map_or_else(|ret| ret, |selected| self.complete(selected, arms, fate))
    }

    fn complete(&self, selected: SelectedOperation<'_>, arms: &[Arm], fate: Fate) -> Ret {
        let chosen = selected.index();
        self.surroundings.dawdle();
        let took = match arms[chosen] {
            _ if fate == Fate::Broken => Took::Broken,
            Arm::Send(c, value) => took_send(selected.send(self.sender(c), self.live.token(value)), value),
            Arm::Recv(c) => took_recv(selected.recv(self.receiver(c))),
        };
        Ret::Chose(chosen, took)
    }

    fn select_by_macro(&self, arms: &[Arm], patience: Patience) -> Ret {
        let message = |value| {
            self.surroundings.dawdle();
            self.live.token(value)
        };
        let r = |arm, got: Result<Token, _>| Ret::Chose(arm, took_recv(got));
        let s = |arm, value, sent| Ret::Chose(arm, took_send(sent, value));
        let wait = self.surroundings;
        macro_rules! each {
            ($($cases:tt)*) => {
                match patience {
                    Patience::Dropped => {
                        let polled = self.poll_for_a_while(pin!(async { select_async! { $($cases)* } }));
                        polled.unwrap_or(Ret::Cancelled)
                    }
                    Patience::Forever if self.kind == Kind::Task => wait.block_on(async { select_async! { $($cases)* } }),
                    Patience::Limited if self.kind == Kind::Task => wait.block_on(async {
                        select_async! { $($cases)* default(self.timeout) => Ret::TimedOut }
                    }),
                    Patience::Not if self.kind == Kind::Task => {
                        wait.block_on(async { select_async! { $($cases)* default => Ret::Default } })
                    }
                    Patience::Forever => select! { $($cases)* },
                    Patience::Limited => select! { $($cases)* default(self.timeout) => Ret::TimedOut },
                    Patience::Not => select! { $($cases)* default => Ret::Default },
                }
            };
        }
        match *arms {
            [Arm::Recv(a), Arm::Recv(b)] => {
                each! { recv(self.receiver(a)) -> v => r(0, v), recv(self.receiver(b)) -> v => r(1, v), }
            }
            [Arm::Recv(a), Arm::Send(b, w)] => {
                each! { recv(self.receiver(a)) -> v => r(0, v), send(self.sender(b), message(w)) -> v => s(1, w, v), }
            }
            [Arm::Send(a, w), Arm::Recv(b)] => {
                each! { send(self.sender(a), message(w)) -> v => s(0, w, v), recv(self.receiver(b)) -> v => r(1, v), }
            }
            [Arm::Send(a, w), Arm::Send(b, x)] => each! {
                send(self.sender(a), message(w)) -> v => s(0, w, v),
                send(self.sender(b), message(x)) -> v => s(1, x, v),
            },
            _ => unreachable!("two arms"),
        }
    }
}

fn sent(sent: Result<(), SendError<Token>>, value: Value) -> Ret {
    match sent {
        Ok(()) => Ret::Ok,
        Err(SendError(back)) => gave_back(back, value, Ret::Closed),
    }
}

fn tried(sent: Result<(), TrySendError<Token>>, value: Value) -> Ret {
    match sent {
        Ok(()) => Ret::Ok,
        Err(TrySendError::Full(back)) => gave_back(back, value, Ret::Full),
        Err(TrySendError::Disconnected(back)) => gave_back(back, value, Ret::Closed),
    }
}

fn took_send(sent: Result<(), SendError<Token>>, value: Value) -> Took {
    match self::sent(sent, value) {
        Ret::Ok => Took::Sent,
        _ => Took::Closed,
    }
}

fn took_recv<E>(got: Result<Token, E>) -> Took {
    got.map_or(Took::Closed, |token| Took::Got(token.value))
}

fn gave_back(token: Token, value: Value, ret: Ret) -> Ret {
    assert_eq!(token.value, value, "a send gave another value back");
    ret
}
