//! Bodies that begin with a block, and are more than it.

use gochan::{Receiver, select};

fn bodies(rx: &Receiver<u8>) -> usize {
    let first = select! {
        recv(rx) -> value => { value.unwrap_or(1) }.leading_zeros(),
        default => { 2_u32 }.pow(2),
    };
    let second = select! {
        default => { 1 } + 1,
        recv(rx) -> _ => unsafe { std::hint::unreachable_unchecked() },
    };
    first as usize + second
}

fn main() {
    bodies(&gochan::never());
}
