//! The last stage, on the main thread: put the results back in order and write them. It ends when
//! `results` is closed and empty, when `done` is closed, at the first error if so told, or when
//! stdout fails; whoever called it then closes the rest.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::path::Path;
use std::time::Duration;

use clap::ValueEnum;
use gochan::{Receiver, select, tick};
use indicatif::HumanBytes;
use serde_json::json;

use crate::digest::{Algo, Digest};
use crate::screen::{Meter, Screen};
use crate::{Done, Outcome};

/// A line is on its way this long after it was ready, at most; lines in between share a system call.
const TICK: Duration = Duration::from_millis(100);

/// Lines that come faster than that are written whenever there is this much of them.
const ENOUGH: usize = 32 << 10;

pub(crate) enum Format {
    Coreutils,
    Json(Algo),
}

/// How a run that could write its output came to an end.
pub(crate) enum End {
    Complete,
    /// By `--fail-fast`, or by whoever closed `done`.
    Early,
}

#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) errors: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = HumanBytes(self.bytes);
        write!(f, "{} files, {bytes}, {} errors", self.files, self.errors)
    }
}

pub(crate) struct Collector<'a> {
    results: Receiver<Outcome>,
    window: Receiver<()>,
    done: Done,
    format: Format,
    fail_fast: bool,
    screen: &'a Screen,
    meter: &'a Meter,
    /// Results that are here before their turn; the window bounds them.
    early: BTreeMap<u64, Outcome>,
    next: u64,
    lines: Vec<u8>,
    pub(crate) tally: Tally,
}

impl<'a> Collector<'a> {
    pub(crate) fn new(
        results: Receiver<Outcome>,
        window: Receiver<()>,
        done: Done,
        format: Format,
        fail_fast: bool,
        screen: &'a Screen,
        meter: &'a Meter,
    ) -> Self {
        Collector {
            results,
            window,
            done,
            format,
            fail_fast,
            screen,
            meter,
            early: BTreeMap::new(),
            next: 0,
            lines: Vec::new(),
            tally: Tally::default(),
        }
    }

    pub(crate) fn run(&mut self) -> io::Result<End> {
        let ticks = tick(TICK);
        // Of several that are ready any may be next: results that never pause do not starve the rest.
        let end = loop {
            select! {
                recv(self.results) -> result => match result {
                    Ok(outcome) => {
                        self.early.insert(outcome.seq, outcome);
                        if !self.put_in_order()? {
                            break End::Early;
                        }
                    }
                    Err(_) => break End::Complete,
                },
                recv(ticks) -> _ => {
                    self.flush()?;
                    self.screen.show(self.meter, self.tally.files);
                }
                recv(self.done.closed) -> _ => break End::Early,
            }
        };
        self.flush()?;
        Ok(end)
    }

    /// Everything whose turn has come; `false` if that is as far as `--fail-fast` goes.
    fn put_in_order(&mut self) -> io::Result<bool> {
        while let Some(outcome) = self.early.remove(&self.next) {
            self.next += 1;
            // Never empty-handed: the walker put a token in before it sent this file on.
            let _ = self.window.try_recv();
            match outcome.result {
                Ok(digest) => {
                    self.tally.files += 1;
                    self.tally.bytes += digest.size;
                    self.format.line(&mut self.lines, &outcome.path, &digest);
                }
                Err(error) => {
                    self.tally.errors += 1;
                    self.flush()?;
                    self.screen.error(format_args!("{:?}: {error}", outcome.path));
                    if self.fail_fast {
                        return Ok(false);
                    }
                }
            }
        }
        if self.lines.len() >= ENOUGH {
            self.flush()?;
        }
        Ok(true)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let mut stdout = io::stdout().lock();
        let mut write = || {
            stdout.write_all(&self.lines)?;
            stdout.flush()
        };
        if io::stdout().is_terminal() {
            self.screen.above_bar(write)?;
        } else {
            write()?;
        }
        self.lines.clear();
        Ok(())
    }
}

impl Format {
    fn line(&self, out: &mut Vec<u8>, path: &Path, digest: &Digest) {
        let name = path.as_os_str().as_encoded_bytes();
        match self {
            Format::Coreutils => {
                let (mark, name) = escape(name);
                out.extend_from_slice(mark);
                out.extend_from_slice(hex(&digest.hash).as_bytes());
                out.extend_from_slice(b"  ");
                out.extend_from_slice(&name);
            }
            Format::Json(algo) => {
                let algo = algo.to_possible_value();
                let mut line = json!({
                    "algo": algo.as_ref().map(|algo| algo.get_name()),
                    "digest": hex(&digest.hash),
                    "path": path.to_string_lossy(),
                    "size": digest.size,
                });
                if path.to_str().is_none() {
                    line["path_hex"] = hex(name).into();
                }
                out.extend_from_slice(line.to_string().as_bytes());
            }
        }
        out.push(b'\n');
    }
}

/// As coreutils does since 9.0: a name that would break the line, or look as if it had been
/// escaped, is escaped, and a backslash in front of the whole line says so.
fn escape(name: &[u8]) -> (&'static [u8], Cow<'_, [u8]>) {
    if !name.iter().any(|byte| b"\\\n\r".contains(byte)) {
        return (b"", name.into());
    }
    let mut escaped = Vec::with_capacity(name.len() + 8);
    for &byte in name {
        match byte {
            b'\\' => escaped.extend(br"\\"),
            b'\n' => escaped.extend(br"\n"),
            b'\r' => escaped.extend(br"\r"),
            _ => escaped.push(byte),
        }
    }
    (b"\\", escaped.into())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
