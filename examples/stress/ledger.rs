//! The account of a scene: what became of each value.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

const MADE: u8 = 1;
const SENT: u8 = 2;
/// The send came to nothing: refused, late, closed, never begun.
const BACK: u8 = 4;
const RECEIVED: u8 = 8;
const DROPPED: u8 = 16;

/// One entry per value; values are numbered by producer, and then in the order in which he sends them.
pub(crate) struct Ledger {
    each: u32,
    entries: Vec<AtomicU8>,
    /// Errors that were seen at once, by kind.
    twice: [AtomicU64; 2],
}

/// A value: whose, and the how manieth.
pub(crate) struct Token {
    pub(crate) producer: u32,
    pub(crate) number: u32,
    ledger: Arc<Ledger>,
}

impl Ledger {
    pub(crate) fn new(producers: u32, each: u32) -> Arc<Self> {
        let entries = (0..producers * each).map(|_| AtomicU8::new(0)).collect();
        Arc::new(Self { each, entries, twice: Default::default() })
    }

    /// Makes a value. Until it is known what has become of it, it may have been sent or not.
    pub(crate) fn token(self: &Arc<Self>, producer: u32, number: u32) -> Token {
        self.mark(producer, number, MADE);
        Token { producer, number, ledger: self.clone() }
    }

    pub(crate) fn sent(&self, producer: u32, number: u32) {
        self.mark(producer, number, SENT);
    }

    pub(crate) fn back(&self, producer: u32, number: u32) {
        self.mark(producer, number, BACK);
    }

    pub(crate) fn received(&self, token: &Token) {
        if self.mark(token.producer, token.number, RECEIVED) & RECEIVED != 0 {
            self.twice[0].fetch_add(1, Relaxed);
        }
    }

    fn mark(&self, producer: u32, number: u32, what: u8) -> u8 {
        self.entries[(producer * self.each + number) as usize].fetch_or(what, Relaxed)
    }

    /// How many were received; the error names the first values that are wrong. When the last receiver has left, what he left
    /// in the channel is gone.
    pub(crate) fn balance(&self, may_discard: bool) -> Result<u64, String> {
        let mut wrong = Vec::new();
        let mut received = 0;
        for (id, entry) in self.entries.iter().enumerate() {
            let entry = entry.load(Relaxed);
            let has = |what| entry & what != 0;
            received += u64::from(has(RECEIVED));
            let what = if has(MADE) != has(DROPPED) {
                "was not dropped"
            } else if has(SENT) && !has(RECEIVED) && !may_discard {
                "is lost"
            } else if has(BACK) && has(RECEIVED) {
                "came back and was received"
            } else if has(RECEIVED) && !has(MADE) {
                "came from nowhere"
            } else {
                continue;
            };
            wrong.push(format!("value {} of producer {} {what}", id as u32 % self.each, id as u32 / self.each));
        }
        let [received_twice, dropped_twice] = [0, 1].map(|i| self.twice[i].load(Relaxed));
        if received_twice + dropped_twice > 0 {
            wrong.insert(0, format!("{received_twice} were received twice, {dropped_twice} dropped twice"));
        }
        if wrong.is_empty() {
            return Ok(received);
        }
        let count = wrong.len();
        wrong.truncate(10);
        Err(format!("{count} wrong: {}", wrong.join("; ")))
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        if self.ledger.mark(self.producer, self.number, DROPPED) & DROPPED != 0 {
            self.ledger.twice[1].fetch_add(1, Relaxed);
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.producer, self.number)
    }
}
