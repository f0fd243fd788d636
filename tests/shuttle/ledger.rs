//! The ledger of a scenario: what became of each of its values.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex};

/// What became of the values.
#[derive(Default)]
pub(crate) struct Book {
    pub(crate) made: usize,
    pub(crate) dropped: usize,
    pub(crate) sent: BTreeSet<usize>,
    pub(crate) abandoned: BTreeSet<usize>,
    pub(crate) received: BTreeSet<usize>,
}

#[derive(Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<Book>>);

/// A value that is in the ledger.
pub(crate) struct Token {
    pub(crate) id: usize,
    ledger: Ledger,
}

impl Drop for Token {
    fn drop(&mut self) {
        self.ledger.write(|book| book.dropped += 1);
    }
}

impl Ledger {
    pub(crate) fn write<R>(&self, entry: impl FnOnce(&mut Book) -> R) -> R {
        entry(&mut self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    pub(crate) fn token(&self) -> Token {
        let id = self.write(|book| {
            book.made += 1;
            book.made
        });
        Token { id, ledger: self.clone() }
    }

    pub(crate) fn sent(&self, id: usize) {
        self.write(|book| _ = book.sent.insert(id));
    }

    pub(crate) fn receive(&self, token: Token) {
        assert!(self.write(|book| book.received.insert(token.id)), "received twice");
    }

    /// Everything that was sent was received, nothing else was, and every value was dropped once.
    pub(crate) fn balance(&self) {
        self.write(|book| {
            assert_eq!(book.made, book.dropped, "made, dropped");
            let lost: Vec<_> = book.sent.difference(&book.received).collect();
            assert!(lost.is_empty(), "lost: {lost:?}");
            let sent: BTreeSet<_> = book.sent.union(&book.abandoned).copied().collect();
            let invented: Vec<_> = book.received.difference(&sent).collect();
            assert!(invented.is_empty(), "received, and not sent: {invented:?}");
        });
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}
