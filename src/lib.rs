//! Go's channels for Rust.

mod chan;
pub mod debug;
mod park;
mod primitive;

pub use chan::{
    Chan, Drain, IntoIter, Iter, Range, Receiver, RecvError, RecvTimeoutError, SendError, SendTimeoutError, Sender,
    TryIter, TryRecvError, TrySendError, WeakReceiver, WeakSender, bounded, never, unbounded,
};
