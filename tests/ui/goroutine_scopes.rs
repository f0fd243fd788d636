//! Goroutines borrow in a scope only, and from what outlives it.

use gochan::{Receiver, go, rt};

fn main() {
    let _ = (twice, gone);
    let text = String::from("text");
    go(|| println!("{text}")); //~ may outlive the current function
    rt::spawn(async { println!("{text}") }); //~ may outlive the current function

    rt::scope(|scope| {
        let inner = String::from("inner");
        scope.go(|| println!("{inner}")); //~ may outlive the current function
        scope.go(|| println!("{text}"));
    });

    // Neither the scope nor a handle leaves it.
    let mut kept = None;
    rt::scope(|scope| kept = Some(scope.go(|| 1))); //~ borrowed data escapes
    let _escaped = rt::scope(|scope| scope); //~ lifetime may not live long enough
}

/// What a goroutine changes, nobody else uses meanwhile.
fn twice() {
    let mut count = 0;
    rt::scope(|scope| {
        scope.go(|| count += 1);
        scope.go(|| count += 1); //~ cannot borrow `count` as mutable more than once
    });
}

/// What it borrows is not given away.
fn gone(rx: Receiver<u8>) {
    let rx = &mut Some(rx);
    rt::scope(|scope| {
        scope.go(|| rx.as_ref().map(|rx| rx.recv()));
        drop(rx.take()); //~ cannot borrow
    });
}
