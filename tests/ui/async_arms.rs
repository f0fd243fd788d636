//! Arms of the wrong direction, awaited.

use gochan::{Chan, Receiver, Sender, select_async};

async fn direction(tx: Sender<u8>, rx: Receiver<u8>) {
    select_async! { recv(tx) -> _ => {} } //~ no method named `__recv_arm` found
    select_async! { send(rx, 1) -> _ => {} } //~ no method named `__send_arm` found
    tx.recv_async().await; //~ no method named `recv_async` found
    rx.send_async(1).await; //~ no method named `send_async` found
    rx.reserve().await; //~ no method named `reserve` found
    let _ = tx.stream(); //~ no method named `stream` found
    let _ = rx.sink(); //~ no method named `sink` found
}

async fn types(tx: Sender<u8>, chan: Chan<u8>) {
    select_async! { send(tx, "text") -> _ => {} } //~ mismatched types
    select_async! { send(chan, 1) -> sent => { let _: Result<(), u8> = sent; } } //~ mismatched types
    select_async! { recv(chan) -> got => { let _: u8 = got; } } //~ mismatched types
}

fn main() {
    let _ = (direction, types);
}
