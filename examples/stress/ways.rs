//! Who waits - threads, goroutines, tasks - and the many ways in which they send and receive.
//!
//! An actor's work is one `async fn` for all three. For a thread or a goroutine it never waits by returning `Pending`: it
//! calls what blocks.

use crate::ledger::{Ledger, Token};
use gochan::{
    Receiver, RecvTimeoutError, Select, SelectedOperation, SendTimeoutError, Sender, TryRecvError, TrySendError, rt,
};
use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Thread,
    Goroutine,
    Task,
}

/// splitmix64.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    /// Up to this many microseconds.
    fn time(&mut self, limit: u64) -> Duration {
        Duration::from_micros(self.below(limit))
    }
}

/// Runs the work of a thread or a goroutine.
pub(crate) fn run<F: Future>(work: F) -> F::Output {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("it blocks where a task would wait"),
    }
}

/// Some time, or none.
pub(crate) async fn pause(kind: Kind, random: &mut Random) {
    match (random.below(64), kind) {
        (0, Kind::Thread) => thread::sleep(random.time(200)),
        (0, Kind::Goroutine) => rt::sleep(random.time(200)),
        (0, Kind::Task) => tokio::time::sleep(random.time(200)).await,
        (1..8, Kind::Thread) => thread::yield_now(),
        (1..8, Kind::Goroutine) => rt::yield_now(),
        (1..8, Kind::Task) => tokio::task::yield_now().await,
        (8..16, _) => (0..random.below(300)).for_each(|_| std::hint::spin_loop()),
        _ => {}
    }
}

/// A future that is polled a few times and dropped.
fn poll_for_a_while<F: Future>(mut future: Pin<&mut F>, random: &mut Random) -> Option<F::Output> {
    for _ in 0..1 + random.below(3) {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return Some(output);
        }
        (0..random.below(200)).for_each(|_| std::hint::spin_loop());
    }
    None
}

/// Waits for a future: by awaiting it, or by blocking.
macro_rules! wait {
    ($kind:expr, $future:expr) => {
        if $kind == Kind::Task { $future.await } else { rt::block_on($future) }
    };
}

/// What a send has come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Sent {
    Taken,
    Back,
    /// It was sent, or dropped with its future.
    Unknown,
    Closed,
}

fn told<E>(sent: Result<(), E>) -> Sent {
    sent.map_or(Sent::Closed, |()| Sent::Taken)
}

/// Sends a value in one of many ways, and writes down what has come of it.
pub(crate) async fn send(
    kind: Kind,
    tx: &Sender<Token>,
    value: Token,
    ledger: &Arc<Ledger>,
    random: &mut Random,
) -> Sent {
    let (producer, number) = (value.producer, value.number);
    let timeout = random.time(300);
    let sent = match random.below(16) {
        0..6 if kind == Kind::Task => told(tx.send_async(value).await),
        0..6 => told(tx.send(value)),
        6 | 7 => match tx.try_send(value) {
            Ok(()) => Sent::Taken,
            Err(TrySendError::Full(_)) => Sent::Back,
            Err(TrySendError::Disconnected(_)) => Sent::Closed,
        },
        8 | 9 => {
            let sent = match kind {
                Kind::Task => tx.send_timeout_async(value, timeout).await,
                _ => tx.send_timeout(value, timeout),
            };
            match sent {
                Ok(()) => Sent::Taken,
                Err(SendTimeoutError::Timeout(_)) => Sent::Back,
                Err(SendTimeoutError::Disconnected(_)) => Sent::Closed,
            }
        }
        10 | 11 => match wait!(kind, tx.reserve()) {
            Err(_) => Sent::Closed,
            Ok(permit) => {
                pause(kind, random).await;
                if random.below(4) == 0 { Sent::Back } else { told(permit.send(value)) }
            }
        },
        12 => poll_for_a_while(pin!(tx.send_async(value)), random).map_or(Sent::Unknown, told),
        13 if kind != Kind::Task => {
            let mut values = VecDeque::from([value]);
            told(tx.send_many(&mut values))
        }
        13 | 14 => match tx.force_send(value) {
            Err(_) => Sent::Closed,
            Ok(None) => Sent::Taken,
            Ok(Some(oldest)) if (oldest.producer, oldest.number) == (producer, number) => Sent::Back,
            Ok(Some(oldest)) => {
                ledger.received(&oldest);
                Sent::Taken
            }
        },
        _ => {
            let mut select = Select::new();
            select.send(tx);
            let chosen = match (kind, random.below(2)) {
                (Kind::Task, 0) => Some(select.select_async().await),
                (Kind::Task, _) => select.select_timeout_async(timeout).await.ok(),
                (_, 0) => Some(select.select()),
                _ => select.select_timeout(timeout).ok(),
            };
            match chosen {
                Some(_) if random.below(4) == 0 => Sent::Back,
                Some(chosen) => told(chosen.send(tx, value)),
                None => Sent::Back,
            }
        }
    };
    match sent {
        Sent::Taken => ledger.sent(producer, number),
        Sent::Back | Sent::Closed => ledger.back(producer, number),
        Sent::Unknown => {}
    }
    sent
}

/// What a receive has come to.
pub(crate) enum Got {
    Values(Vec<Token>),
    Nothing,
    Closed,
}

fn got<E>(got: Result<Token, E>) -> Got {
    got.map_or(Got::Closed, |token| Got::Values(vec![token]))
}

/// Receives in one of many ways. `drops`: also by futures that are dropped, and what those were handed comes back: after
/// younger values, maybe.
pub(crate) async fn receive(kind: Kind, rx: &Receiver<Token>, drops: bool, random: &mut Random) -> Got {
    let timeout = random.time(300);
    match random.below(16) {
        0..6 if kind == Kind::Task => got(rx.recv_async().await),
        0..6 => got(rx.recv()),
        6 => match rx.try_recv() {
            Err(TryRecvError::Empty) => Got::Nothing,
            tried => got(tried),
        },
        7..9 => {
            let late = match kind {
                Kind::Task => rx.recv_timeout_async(timeout).await,
                _ => rx.recv_timeout(timeout),
            };
            match late {
                Err(RecvTimeoutError::Timeout) => Got::Nothing,
                late => got(late),
            }
        }
        9 => Got::Values(rx.drain().collect()),
        10 if kind != Kind::Task => {
            let mut values = Vec::new();
            match rx.recv_many(&mut values, 1 + random.below(8) as usize) {
                0 => Got::Closed,
                _ => Got::Values(values),
            }
        }
        11..13 if drops => poll_for_a_while(pin!(rx.recv_async()), random).map_or(Got::Nothing, got),
        _ => {
            let mut select = Select::new();
            select.recv(rx);
            let chosen = match (kind, random.below(3)) {
                (Kind::Task, 0) => Some(select.select_async().await),
                (Kind::Task, _) => select.select_timeout_async(timeout).await.ok(),
                (_, 0) => Some(select.select()),
                (_, 1) => select.select_timeout(timeout).ok(),
                _ => select.try_select().ok(),
            };
            match chosen {
                Some(_) if drops && random.below(4) == 0 => Got::Nothing,
                Some(chosen) => got(chosen.recv(rx)),
                None => Got::Nothing,
            }
        }
    }
}

/// Selects, in one of many ways.
pub(crate) async fn select<'a>(
    kind: Kind,
    select: &mut Select<'a>,
    random: &mut Random,
) -> Option<SelectedOperation<'a>> {
    let timeout = random.time(300);
    match (kind, random.below(4)) {
        (Kind::Task, 0 | 1) => Some(select.select_async().await),
        (Kind::Task, 2) => select.select_timeout_async(timeout).await.ok(),
        (Kind::Task, _) => select.try_select_async().await.ok(),
        (_, 0 | 1) => Some(select.select()),
        (_, 2) => select.select_timeout(timeout).ok(),
        _ => select.try_select().ok(),
    }
}
