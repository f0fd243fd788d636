//! What goroutines and tasks are given goes to other threads, and so does what they return.

use gochan::{Receiver, Sender, go, rt, select_async};
use std::future::ready;
use std::rc::Rc;

type Value = Rc<i32>;

fn sender(tx: Sender<Value>) {
    go(move || drop(tx)); //~ cannot be sent between threads safely
}

fn receiver(rx: Receiver<Value>) {
    go(move || rx.recv().is_ok()); //~ cannot be sent between threads safely
}

fn result() {
    go(|| Rc::new(1)); //~ cannot be sent between threads safely
}

fn built() {
    let _ = rt::Goroutine::new().try_spawn(|| Rc::new(1)); //~ cannot be sent between threads safely
}

fn run() {
    rt::run(|| Rc::new(1)); //~ cannot be sent between threads safely
}

fn unblock(value: &Value) {
    rt::unblock(|| drop(value.clone())); //~ cannot be shared between threads safely
}

fn scoped(value: &Value) {
    rt::scope(|scope| drop(scope.go(|| drop(value.clone())))); //~ cannot be shared between threads safely
}

fn future() {
    rt::spawn(async { Rc::new(1) }); //~ cannot be sent between threads safely
}

/// With all that it holds while it waits.
fn held() {
    rt::spawn(async { //~ cannot be sent between threads safely
        let held = Rc::new(1);
        ready(()).await;
        drop(held);
    });
}

fn sending(tx: Sender<Value>) {
    rt::spawn(tx.into_send_async(Rc::new(1))); //~ cannot be sent between threads safely
}

fn selecting(rx: Receiver<Value>) {
    rt::spawn(async move { //~ cannot be sent between threads safely
        select_async! { recv(rx) -> got => drop(got) }
    });
}

/// One that stays where it is may have anything; its handle stays there too.
fn local() {
    let local = rt::go_local(|| Rc::new(1));
    go(move || drop(local)); //~ between threads safely
}

fn main() {
    let _ = (sender, receiver, result, built, run, unblock, scoped, future, held, sending, selecting, local);
}
