//! Usual selects, about which the compiler has nothing to say.

#![deny(warnings, unused, future_incompatible, nonstandard_style)]
#![forbid(unsafe_code)]

use gochan::{Chan, Receiver, Sender, after, select, select_async, select_biased};
use std::time::Duration;

fn usual(rx: &Receiver<String>, tx: &Sender<usize>, chan: &Chan<u8>, quit: &Receiver<()>) -> Option<usize> {
    let mut length = 0;
    let mut seen = Vec::new();
    loop {
        select! {
            recv(rx) -> line => match line {
                Ok(line) => length += line.len(),
                Err(_) => return None,
            },
            send(tx, { seen.push(length); length }) -> sent => sent.ok()?,
            send(chan, 1) -> () => {}
            recv(chan) -> value => seen.extend(value.map(usize::from)),
            recv(after(Duration::from_secs(1))) -> _ => continue,
            recv(quit) -> _ => break,
            default(Duration::from_millis(1)) => {}
        }
    }
    Some(length + seen.len())
}

/// No case falls through.
fn every_body_leaves(rx: &Receiver<u8>) -> u8 {
    loop {
        select! {
            recv(rx) -> value => return value.unwrap_or(1),
            default => panic!("nothing there"),
        }
    }
}

/// Only one that leaves.
fn only(rx: &Receiver<u8>) -> u8 {
    select! { recv(rx) -> value => return value.unwrap_or(1) }
}

fn ignored(rx: &Receiver<Result<u8, String>>, tx: &Sender<u8>) {
    select! { recv(rx) -> _ => {} send(tx, 1) -> _ => {} }
    select_biased! { recv(rx) -> _value => {}, default => {} }
    select! { recv(rx) -> value => drop(value), default => () }
    // Of a select as of a match nobody has to use the value.
    select! { recv(rx) -> _ => 1, default => 2 };
    let _ = select! { send(tx, 1) -> sent => sent, default => Ok(()) };
}

fn handles_of_its_own(rx: Receiver<u8>, tx: Sender<u8>) {
    select! {
        recv(rx) -> value => { drop((rx, value)); }
        send(tx, 1) -> sent => { drop((tx, sent)); }
    }
}

async fn awaits(rx: Receiver<u8>, tx: Sender<u8>) -> u8 {
    select_async! {
        recv(rx) -> value => std::future::ready(value.unwrap_or(0)).await,
        send(tx, std::future::ready(5).await) -> sent => sent.map_or(1, |()| 0),
    }
}

fn main() {
    let (tx, rx) = gochan::bounded(1);
    drop(awaits(rx.clone(), tx.clone()));
    ignored(&gochan::never(), &tx);
    let quit = gochan::bounded(0).1;
    usual(&gochan::never(), &Sender::never(), &Chan::nil(), &quit);
    handles_of_its_own(rx, tx.clone());
    let rx = gochan::bounded(1).1;
    every_body_leaves(&rx);
    only(&rx);
}
