//! What a select borrows, and for how long.

use gochan::{Select, Sender, bounded, select};
use std::thread;

fn outlives() -> usize {
    let mut list = Select::new();
    {
        let (_tx, rx) = bounded::<u8>(0);
        list.recv(&rx); //~ `rx` does not live long enough
    }
    list.select().index()
}

fn moved(tx: Sender<String>) {
    select! { send(tx, String::new()) -> _ => drop(tx) }
    select! { send(tx, String::new()) -> _ => {} } //~ borrow of moved value: `tx`
}

fn message_is_moved(tx: Sender<String>, text: String) {
    select! {
        send(tx, text) -> _ => {}
        default => {}
    }
    drop(text); //~ use of moved value: `text`
}

fn mutated(mut tx: Sender<u8>) {
    let mut list = Select::new();
    list.send(&tx);
    tx = Sender::never(); //~ cannot assign to `tx` because it is borrowed
    list.select().index();
    drop(tx);
}

fn main() {
    thread::spawn(outlives);
    moved(Sender::never());
    mutated(Sender::never());
    message_is_moved(Sender::never(), String::new());
}
