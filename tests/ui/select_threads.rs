//! What must stay on its thread.

use gochan::{Select, bounded};
use std::rc::Rc;
use std::thread;

fn main() {
    let (tx, rx) = bounded::<Rc<()>>(0);
    let mut list = Select::new();
    list.recv(&rx);
    thread::scope(|scope| {
        // The list may go, the operation may not, nor may a handle that could finish it.
        scope.spawn(|| drop(list.try_select()));
        let operation = list.select();
        scope.spawn(move || drop(operation)); //~ between threads safely
        scope.spawn(|| drop(tx)); //~ cannot be sent between threads safely
    });
}
