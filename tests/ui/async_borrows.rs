//! A future, a permit and an iterator borrow their handle, unless they own it.

use gochan::{Receiver, Sender, bounded};

fn permit<'a>() -> gochan::Permit<'a, u8> {
    let (tx, _rx) = bounded::<u8>(1);
    tx.try_reserve().unwrap() //~ cannot return value referencing local variable `tx`
}

fn future<'a>(rx: Receiver<u8>) -> gochan::future::RecvFut<'a, u8> {
    rx.recv_async() //~ cannot return value referencing function parameter `rx`
}

fn owning<'a>(rx: Receiver<u8>) -> gochan::future::RecvFut<'a, u8> {
    rx.into_recv_async()
}

async fn gone(tx: Sender<u8>, rx: Receiver<u8>) {
    let send = tx.send_async(1);
    drop(tx); //~ cannot move out of `tx`
    send.await.unwrap();
    let mut values = rx.iter();
    drop(rx); //~ cannot move out of `rx`
    values.next();
}

async fn twice(tx: Sender<u8>) {
    let permit = tx.reserve().await.unwrap();
    permit.send(1).unwrap();
    permit.send(2).unwrap(); //~ use of moved value
}

fn main() {
    let _ = (permit, future, owning, gone, twice);
}
