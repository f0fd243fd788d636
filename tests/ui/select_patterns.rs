//! Patterns that may not match: a case has to say what it does otherwise.

use gochan::{Chan, Receiver, Sender, select};

fn patterns(tx: Sender<u8>, rx: Receiver<u8>, chan: Chan<u8>) {
    select! { recv(rx) -> Ok(_value) => {} } //~ refutable pattern in local binding
    select! { send(tx, 1) -> Ok(()) => {} } //~ refutable pattern in local binding
    select! { recv(chan) -> Some(_value) => {} } //~ refutable pattern in local binding
}

fn main() {
    patterns(Sender::never(), gochan::never(), Chan::nil());
}
