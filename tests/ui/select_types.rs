//! Cases that can be read, of which the types are wrong.

use gochan::{Chan, Receiver, RecvError, Select, SendError, Sender, bounded, select};
use std::time::Duration;

fn direction(tx: Sender<u8>, rx: Receiver<u8>) {
    select! { recv(tx) -> _ => {} } //~ no method named `__recv_arm` found
    select! { send(rx, 1) -> _ => {} } //~ no method named `__send_arm` found
    select! { recv(5) -> _ => {} } //~ no method named `__recv_arm` found
    let mut list = Select::new();
    list.recv(&tx); //~ mismatched types
    list.send(&rx); //~ mismatched types
}

fn message(tx: Sender<u8>, chan: Chan<u8>) {
    select! { send(tx, "text") -> _ => {} } //~ mismatched types
    select! { send(tx, Some(1)) -> _ => {} } //~ mismatched types
    select! { send(chan, ()) -> () => {} } //~ mismatched types
    select! { default(5) => {} } //~ mismatched types
    select! { default("soon") => {} } //~ mismatched types
}

fn outcome(tx: Sender<u8>, rx: Receiver<u8>, chan: Chan<u8>) {
    select! { recv(rx) -> value => { let _: u8 = value; } } //~ mismatched types
    select! { recv(rx) -> value => { let _: Option<u8> = value; } } //~ mismatched types
    select! { send(tx, 1) -> sent => { let _: Result<(), SendError<()>> = sent; } } //~ mismatched types
    select! { recv(chan) -> value => { let _: Result<u8, RecvError> = value; } } //~ mismatched types
    let _: u8 = select! { recv(rx) -> value => value.unwrap(), default => "text" }; //~ incompatible types
}

fn main() {
    let (tx, rx) = bounded(0);
    direction(tx, rx);
    let (tx, rx) = bounded(0);
    message(tx.clone(), Chan::nil());
    outcome(tx, rx, Chan::nil());
    let _ = Duration::ZERO;
}
