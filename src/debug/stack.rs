//! The stack of somebody who waits.

use std::backtrace::Backtrace;
use std::fmt;
use std::sync::Arc;

/// The frames of a goroutine that waits, from where it waits to where it began.
///
/// They have no names until this is shown, which reads the program's debug information and takes its time and stack: for a
/// goroutine that shows one a thread does it.
#[derive(Clone)]
pub struct Stack(Arc<Backtrace>);

impl Stack {
    #[cfg(feature = "rt")]
    pub(crate) fn new(frames: Backtrace) -> Self {
        Self(Arc::new(frames))
    }

    fn text(&self) -> String {
        let on_goroutine = crate::park::in_goroutine();
        if on_goroutine {
            let text = std::thread::scope(|s| s.spawn(|| self.0.to_string()).join());
            return text.unwrap_or_default();
        }
        self.0.to_string()
    }
}

/// The symbol in a line like `  12: main::work`; `None` for the line with its place in the source.
fn symbol(line: &str) -> Option<&str> {
    let (number, symbol) = line.trim_start().split_once(": ")?;
    number.bytes().all(|digit| digit.is_ascii_digit()).then_some(symbol)
}

/// Frames of ours above the call that waits: capturing, parking.
fn is_above(symbol: &str) -> bool {
    ["gochan::", "<gochan::", "std::backtrace", "<std::backtrace", "core::", "<core::"]
        .iter()
        .any(|of| symbol.starts_with(of))
}

/// Frames of ours below the goroutine's function.
fn is_below(symbol: &str) -> bool {
    symbol.contains("gochan::rt::g::Record")
        || symbol.starts_with("std::panicking::")
        || symbol.starts_with("std::panic::")
}

impl fmt::Display for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.text();
        let all: Vec<&str> = text.lines().collect();
        let theirs = all.iter().position(|line| symbol(line).is_some_and(|symbol| !is_above(symbol)));
        let first = theirs.unwrap_or(0);
        let ours = all[first..].iter().position(|line| symbol(line).is_some_and(is_below));
        let last = ours.map_or(all.len(), |after| first + after);
        let mut number = 0;
        for line in &all[first..last] {
            match symbol(line) {
                Some(symbol) => {
                    writeln!(f, "  {number:>4}: {symbol}")?;
                    number += 1;
                }
                None => writeln!(f, "{line}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Stack { .. }")
    }
}
