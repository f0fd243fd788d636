//! Carries out one operation on real channels, in one of the ways there are.

use super::{Got, Op, Patience, Report, Way};
use crate::common::{Census, Counted};
use gochan::{Receiver, RecvTimeoutError, Select, SendError, SendTimeoutError, Sender, TryRecvError, TrySendError};
use gochan::{never, select, select_biased};
use std::time::Instant;

/// An arm with its handle.
pub(crate) enum Arm {
    Recv(Receiver<Counted>),
    Send(Sender<Counted>),
    Timer(Receiver<Instant>),
}

fn received(value: Option<Counted>) -> Got {
    value.map_or(Got::Closed, |value| Got::Value(value.id))
}

fn sent(result: Result<(), SendError<Counted>>) -> Got {
    result.map_or_else(|SendError(value)| Got::Refused(value.id), |()| Got::Sent)
}

pub(crate) fn run(op: &Op, arms: &[Arm], census: &Census) -> Report {
    match op.way {
        Way::Plain => plain(op, &arms[0], census),
        Way::Macro => by_macro(op, arms, census),
        Way::Dynamic | Way::Ready => dynamic(op, arms, census),
    }
}

fn plain(op: &Op, arm: &Arm, census: &Census) -> Report {
    let late = |error: RecvTimeoutError| error.is_disconnected().then_some(Got::Closed);
    let full = |error: SendTimeoutError<Counted>| error.is_disconnected().then(|| Got::Refused(error.into_inner().id));
    let now = Instant::now();
    let got = match (arm, op.patience) {
        (Arm::Recv(rx), Patience::Forever) => Ok(received(rx.recv().ok())),
        (Arm::Recv(rx), Patience::For(time)) => rx.recv_timeout(time).map(|value| received(Some(value))).map_err(late),
        (Arm::Recv(rx), Patience::Until(time)) => {
            rx.recv_deadline(now + time).map(|value| received(Some(value))).map_err(late)
        }
        (Arm::Recv(rx), Patience::Not) => match rx.try_recv() {
            Err(TryRecvError::Empty) => Err(None),
            value => Ok(received(value.ok())),
        },
        (Arm::Send(tx), patience) => {
            let value = census.value(op.value);
            match patience {
                Patience::Forever => Ok(sent(tx.send(value))),
                Patience::For(time) => tx.send_timeout(value, time).map(|()| Got::Sent).map_err(full),
                Patience::Until(time) => tx.send_deadline(value, now + time).map(|()| Got::Sent).map_err(full),
                Patience::Not => match tx.try_send(value) {
                    Ok(()) => Ok(Got::Sent),
                    Err(TrySendError::Full(_)) => Err(None),
                    Err(TrySendError::Disconnected(value)) => Ok(Got::Refused(value.id)),
                },
            }
        }
        (Arm::Timer(_), _) => unreachable!("timers are selected from"),
    };
    got.map_or_else(|refused| refused, Some).map(|got| (0, got))
}

fn dynamic(op: &Op, arms: &[Arm], census: &Census) -> Report {
    let gone = never::<[u64; 20]>();
    let mut select = if op.biased { Select::new_biased() } else { Select::new() };
    let first = (op.style & 1 != 0).then(|| select.recv(&gone));
    let indices: Vec<_> = arms
        .iter()
        .map(|arm| match arm {
            Arm::Recv(rx) => select.recv(rx),
            Arm::Send(tx) => select.send(tx),
            Arm::Timer(rx) => select.recv(rx),
        })
        .collect();
    first.into_iter().for_each(|first| select.remove(first));
    if op.style & 2 != 0 {
        select = select.clone();
    }
    let place = |index| indices.iter().position(|i| *i == index).expect("the index of an arm");
    let now = Instant::now();
    if op.way == Way::Ready {
        let index = match op.patience {
            Patience::Not => select.try_ready().ok(),
            Patience::For(time) => select.ready_timeout(time).ok(),
            Patience::Until(time) => select.ready_deadline(now + time).ok(),
            Patience::Forever => Some(select.ready()),
        };
        return index.map(|index| (place(index), Got::Nothing));
    }
    let operation = match op.patience {
        Patience::Not => select.try_select().ok(),
        Patience::For(time) => select.select_timeout(time).ok(),
        Patience::Until(time) => select.select_deadline(now + time).ok(),
        Patience::Forever => Some(select.select()),
    }?;
    let place = place(operation.index());
    if op.gives_up {
        return Some((place, Got::Nothing));
    }
    let clones = op.style & 4 != 0;
    let got = match &arms[place] {
        Arm::Recv(rx) => received(if clones { operation.recv(&rx.clone()) } else { operation.recv(rx) }.ok()),
        Arm::Send(tx) => {
            let value = census.value(op.value);
            sent(if clones { operation.send(&tx.clone(), value) } else { operation.send(tx, value) })
        }
        Arm::Timer(rx) => Got::Tick(operation.recv(rx).expect("timers do not close")),
    };
    Some((place, got))
}

/// The kinds of arms of which there is a `select!`.
pub(crate) const SHAPES: [&str; 9] = ["r", "s", "rs", "sr", "tr", "rrs", "rsts", "ssrrt", "rsrsrs"];

fn by_macro(op: &Op, arms: &[Arm], census: &Census) -> Report {
    let timeout = match op.patience {
        Patience::For(time) | Patience::Until(time) => Some(Some(time)),
        Patience::Not => Some(None),
        Patience::Forever => None,
    };
    // Whose message is not chosen is not evaluated: the census would have a value too many.
    let message = || census.value(op.value);
    let r = |place, value: Result<Counted, _>| Some((place, received(value.ok())));
    let s = |place, result| Some((place, sent(result)));
    let t = |place, tick: Result<Instant, _>| Some((place, Got::Tick(tick.expect("timers do not close"))));
    macro_rules! each {
        ($($cases:tt)*) => {
            match (op.biased, timeout) {
                (false, None) => select! { $($cases)* },
                (true, None) => select_biased! { $($cases)* },
                (false, Some(None)) => select! { default => None, $($cases)* },
                (true, Some(None)) => select_biased! { $($cases)* default => None },
                (false, Some(Some(timeout))) => select! { default(timeout) => None, $($cases)* },
                (true, Some(Some(timeout))) => select_biased! { $($cases)* default(timeout) => None },
            }
        };
    }
    use Arm::{Recv, Send, Timer};
    match arms {
        [Recv(a)] => each! { recv(a) -> v => r(0, v), },
        [Send(a)] => each! { send(a, message()) -> v => s(0, v), },
        [Recv(a), Send(b)] => each! { recv(a) -> v => r(0, v), send(b, message()) -> v => s(1, v), },
        [Send(a), Recv(b)] => each! { send(a, message()) -> v => s(0, v), recv(b) -> v => r(1, v), },
        [Timer(a), Recv(b)] => each! { recv(a) -> v => t(0, v), recv(b) -> v => r(1, v), },
        [Recv(a), Recv(b), Send(c)] => each! {
            recv(a) -> v => r(0, v), recv(b) -> v => r(1, v), send(c, message()) -> v => s(2, v),
        },
        [Recv(a), Send(b), Timer(c), Send(d)] => each! {
            recv(a) -> v => r(0, v), send(b, message()) -> v => s(1, v), recv(c) -> v => t(2, v),
            send(d, message()) -> v => s(3, v),
        },
        [Send(a), Send(b), Recv(c), Recv(d), Timer(e)] => each! {
            send(a, message()) -> v => s(0, v), send(b, message()) -> v => s(1, v), recv(c) -> v => r(2, v),
            recv(d) -> v => r(3, v), recv(e) -> v => t(4, v),
        },
        [Recv(a), Send(b), Recv(c), Send(d), Recv(e), Send(f)] => each! {
            recv(a) -> v => r(0, v), send(b, message()) -> v => s(1, v), recv(c) -> v => r(2, v),
            send(d, message()) -> v => s(3, v), recv(e) -> v => r(4, v), send(f, message()) -> v => s(5, v),
        },
        _ => unreachable!("no such shape"),
    }
}
