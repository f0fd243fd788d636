//! What the programs are written with: Go's names for what Rust spells otherwise, and what GoKer needs beside channels.

use gochan::{Chan, rt};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// `go f()`, with a name by which the table knows the goroutine.
#[track_caller]
pub(crate) fn go<T: Send + 'static>(name: &'static str, f: impl FnOnce() -> T + Send + 'static) {
    drop(rt::Goroutine::new().name(name).spawn(f));
}

/// What a channel carries that only signals.
pub(crate) type Signal = Chan<()>;

/// `sync.WaitGroup`: a count, and a channel that is closed when it comes to nothing.
#[derive(Clone, Debug)]
pub(crate) struct WaitGroup {
    count: Arc<AtomicUsize>,
    zero: Signal,
}

impl WaitGroup {
    /// With `count` added.
    pub(crate) fn new(count: usize) -> Self {
        Self { count: Arc::new(AtomicUsize::new(count)), zero: Chan::new(0) }
    }

    pub(crate) fn done(&self) {
        if self.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.zero.close();
        }
    }

    pub(crate) fn wait(&self) {
        self.zero.recv();
    }
}

/// `context.WithCancel`: a channel that is closed.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(crate) done: Signal,
}

impl Context {
    pub(crate) fn new() -> Self {
        Self { done: Chan::new(0) }
    }

    /// As often as one likes.
    pub(crate) fn cancel(&self) {
        self.done.sender().close();
    }
}

/// `sync.Mutex`: a channel that holds one token while it is locked.
#[derive(Clone, Debug)]
pub(crate) struct Mutex {
    token: Signal,
}

impl Mutex {
    pub(crate) fn new() -> Self {
        Self { token: Chan::new(1) }
    }

    pub(crate) fn lock(&self) {
        self.token.send(());
    }

    pub(crate) fn unlock(&self) {
        self.token.recv();
    }
}
