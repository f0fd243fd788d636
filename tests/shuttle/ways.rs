//! The ways to send and to receive, of threads and of tasks, and what comes of them.

use crate::explore::{SOME_TIME, block_on_late, choose, coin, dawdle, poll_for_a_while};
use crate::ledger::{Ledger, Token};
use futures_util::StreamExt;
use gochan::{
    Receiver, RecvError, RecvTimeoutError, Select, SendTimeoutError, Sender, TryRecvError, TrySendError, never, select,
    select_async,
};
use shuttle::future::block_on;
use shuttle::thread;
use std::future::pending;
use std::pin::pin;

/// What a send has come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Sent {
    Taken,
    /// The value came back, or was not made.
    Refused,
    /// It was sent, or dropped.
    Abandoned,
    Closed,
}

fn told<E>(sent: Result<(), E>) -> Sent {
    sent.map_or(Sent::Closed, |()| Sent::Taken)
}

const WAYS_TO_SEND: u32 = 14;
/// Those that wait as long as need be, and send.
pub(crate) const PATIENT_SENDS: [u32; 4] = [0, 1, 2, 8];
/// Those that lose patience.
pub(crate) const IMPATIENT_SENDS: [u32; 4] = [3, 4, 9, 10];
/// Those that do not wait for ever.
pub(crate) const HASTY_SENDS: [u32; 6] = [3, 4, 5, 7, 9, 13];

/// Sends a value in any way.
pub(crate) fn send_somehow(tx: &Sender<Token>, ledger: &Ledger) -> Sent {
    send(choose(WAYS_TO_SEND), tx, ledger)
}

/// Sends a value in one of many ways, and writes down what has come of it.
pub(crate) fn send(way: u32, tx: &Sender<Token>, ledger: &Ledger) -> Sent {
    let value = ledger.token();
    let id = value.id;
    let nil = never::<()>();
    let sent = match way {
        0 => told(tx.send(value)),
        1 => told(block_on(tx.send_async(value))),
        2 => told(block_on_late(tx.send_async(value))),
        3 | 4 => match if way == 3 {
            tx.send_timeout(value, SOME_TIME)
        } else {
            block_on(tx.send_timeout_async(value, SOME_TIME))
        } {
            Ok(()) => Sent::Taken,
            Err(SendTimeoutError::Timeout(_)) => Sent::Refused,
            Err(SendTimeoutError::Disconnected(_)) => Sent::Closed,
        },
        5 => match tx.try_send(value) {
            Ok(()) => Sent::Taken,
            Err(TrySendError::Full(_)) => Sent::Refused,
            Err(TrySendError::Disconnected(_)) => Sent::Closed,
        },
        6 | 7 => {
            let permit = match if way == 6 {
                block_on(tx.reserve()).map_err(|_| true)
            } else {
                tx.try_reserve().map_err(|error| error.is_disconnected())
            } {
                Ok(permit) => permit,
                Err(is_closed) => return if is_closed { Sent::Closed } else { Sent::Refused },
            };
            dawdle();
            if coin() { told(permit.send(value)) } else { Sent::Refused }
        }
        8 => select! { send(tx, value) -> sent => told(sent), recv(nil) -> _ => unreachable!() },
        9 => select! { send(tx, { dawdle(); value }) -> sent => told(sent), default(SOME_TIME) => Sent::Refused },
        10 => block_on(async {
            select_async! { send(tx, value) -> sent => told(sent), default(SOME_TIME) => Sent::Refused }
        }),
        11 | 12 => {
            let mut select = Select::new();
            select.send(tx);
            select.recv(&nil);
            let operation = if way == 11 { select.select() } else { block_on_late(select.select_async()) };
            dawdle();
            // Dropped, it has not sent.
            if coin() { told(operation.send(tx, value)) } else { Sent::Refused }
        }
        _ => {
            let polled = poll_for_a_while(pin!(tx.send_async(value)));
            polled.map_or(Sent::Abandoned, told)
        }
    };
    match sent {
        Sent::Taken => ledger.sent(id),
        Sent::Abandoned => ledger.write(|book| _ = book.abandoned.insert(id)),
        Sent::Refused | Sent::Closed => {}
    }
    sent
}

/// What a receive has come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Got {
    Value,
    Nothing,
    Closed,
}

const WAYS_TO_RECEIVE: u32 = 15;
/// Those that wait as long as need be, and receive.
pub(crate) const PATIENT_RECEIVES: [u32; 5] = [0, 1, 2, 6, 13];
/// Those that lose patience.
pub(crate) const IMPATIENT_RECEIVES: [u32; 4] = [3, 4, 7, 9];

/// Receives in any way.
pub(crate) fn receive_somehow(rx: &Receiver<Token>, ledger: &Ledger) -> Got {
    receive(choose(WAYS_TO_RECEIVE), rx, ledger)
}

/// Receives in one of many ways, and writes down what.
pub(crate) fn receive(way: u32, rx: &Receiver<Token>, ledger: &Ledger) -> Got {
    let nil = never::<()>();
    let received: Result<Option<Token>, RecvError> = match way {
        0 => rx.recv().map(Some),
        1 => block_on(rx.recv_async()).map(Some),
        2 => block_on_late(rx.recv_async()).map(Some),
        3 | 4 => {
            match if way == 3 { rx.recv_timeout(SOME_TIME) } else { block_on_late(rx.recv_timeout_async(SOME_TIME)) } {
                Ok(value) => Ok(Some(value)),
                Err(RecvTimeoutError::Timeout) => Ok(None),
                Err(RecvTimeoutError::Disconnected) => Err(RecvError),
            }
        }
        5 => match rx.try_recv() {
            Ok(value) => Ok(Some(value)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(RecvError),
        },
        6 => select! { recv(rx) -> got => got.map(Some), recv(nil) -> _ => unreachable!() },
        7 => select! { recv(rx) -> got => got.map(Some), default(SOME_TIME) => Ok(None) },
        8 => select! { recv(rx) -> got => got.map(Some), recv(nil) -> _ => unreachable!(), default => Ok(None) },
        9 => block_on_late(async {
            select_async! { recv(rx) -> got => got.map(Some), default(SOME_TIME) => Ok(None) }
        }),
        10 | 11 => {
            let mut select = Select::new();
            select.recv(&nil);
            select.recv(rx);
            let operation = if way == 10 { select.select() } else { block_on_late(select.select_async()) };
            dawdle();
            // Dropped, it has not received.
            if coin() { operation.recv(rx).map(Some) } else { Ok(None) }
        }
        12 => {
            let mut select = Select::new();
            select.recv(rx);
            // For ever it may not watch here: who sends may be a task that no watcher is told of, and nobody else receives.
            let ready = if coin() {
                select.ready_timeout(SOME_TIME)
            } else {
                block_on_late(select.ready_timeout_async(SOME_TIME))
            };
            match rx.try_recv() {
                Ok(value) => Ok(Some(value)),
                Err(TryRecvError::Disconnected) if ready.is_ok() => Err(RecvError),
                Err(_) => Ok(None),
            }
        }
        13 => match block_on_late(rx.stream().next()) {
            Some(value) => Ok(Some(value)),
            None => Err(RecvError),
        },
        // Given up, often when it was handed a value.
        _ => poll_for_a_while(pin!(rx.recv_async())).map_or(Ok(None), |got| got.map(Some)),
    };
    match received {
        Ok(Some(value)) => {
            ledger.receive(value);
            Got::Value
        }
        Ok(None) => Got::Nothing,
        Err(RecvError) => Got::Closed,
    }
}

/// Receives in any way until the channel is closed.
pub(crate) fn receive_all(rx: &Receiver<Token>, ledger: &Ledger) {
    loop {
        match receive_somehow(rx, ledger) {
            Got::Value => {}
            Got::Nothing => thread::yield_now(),
            Got::Closed => return,
        }
    }
}

/// Sends on one channel or receives from another, whichever is possible, in one of the ways to select. The message is made
/// when its arm was chosen.
pub(crate) fn either(tx: &Sender<Token>, rx: &Receiver<Token>, ledger: &Ledger) {
    let mut id = 0;
    let value = |id: &mut usize| {
        dawdle();
        let value = ledger.token();
        *id = value.id;
        value
    };
    let got: Option<Result<Token, RecvError>> = match choose(4) {
        0 => select! { send(tx, value(&mut id)) -> sent => sent.map(|()| None).unwrap(), recv(rx) -> got => Some(got) },
        1 => block_on_late(async {
            select_async! { send(tx, value(&mut id)) -> sent => sent.map(|()| None).unwrap(), recv(rx) -> got => Some(got) }
        }),
        way => {
            let mut select = Select::new();
            let send = select.send(tx);
            select.recv(rx);
            let operation = if way == 2 { select.select() } else { block_on_late(select.select_async()) };
            if operation.index() == send {
                operation.send(tx, value(&mut id)).unwrap();
                None
            } else {
                Some(operation.recv(rx))
            }
        }
    };
    match got {
        None => ledger.sent(id),
        Some(got) => ledger.receive(got.unwrap()),
    }
}

/// Borrows a slot, or a receiver, and gives it back.
#[expect(unreachable_code, reason = "one message is never made")]
pub(crate) fn borrow(tx: &Sender<Token>) {
    match choose(4) {
        0 => drop(block_on_late(tx.reserve())),
        1 => {
            let mut select = Select::new();
            select.send(tx);
            let operation = if coin() { select.select() } else { block_on_late(select.select_async()) };
            dawdle();
            drop(operation);
        }
        2 => 'unsent: {
            select! { send(tx, { dawdle(); break 'unsent }) -> _ => unreachable!() }
        }
        _ => {
            let unsent = async {
                select_async! { send(tx, pending::<Token>().await) -> _ => unreachable!() }
            };
            let _: Option<()> = poll_for_a_while(pin!(unsent));
        }
    }
}
