//! What a person sees on stderr: messages and, if it is a terminal, a progress bar. Stdout has the
//! lines of output and nothing else.
//!
//! The ETA needs a total, and the walker cannot tell it: it runs at most a window ahead. So the bar,
//! and only the bar, pays for a second walk, the survey, which reads no contents, just sizes. Until
//! that is over there is no ETA to be had, and none is shown.

use std::fmt::Display;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use clap::ColorChoice;
use clap::builder::styling::{AnsiColor, Style};
use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::Done;
use crate::walk::Walk;

const COUNTING: &str = "{spinner} {bytes} {binary_bytes_per_sec} {msg}";
const COUNTED: &str = "{bar:24} {bytes}/{total_bytes} {binary_bytes_per_sec} ETA {eta} {msg}";

/// Plain counters, read ten times a second by the one who draws; relaxed, for nothing hangs on them.
#[derive(Default)]
pub(crate) struct Meter {
    digested: AtomicU64,
    found_files: AtomicU64,
    found_bytes: AtomicU64,
    surveyed: AtomicBool,
}

impl Meter {
    pub(crate) fn digested(&self, bytes: usize) {
        self.digested.fetch_add(bytes as u64, Relaxed);
    }

    /// A thread of its own; ends with the walk. What it cannot read it leaves to the real walk.
    pub(crate) fn survey(&self, walk: Walk, done: &Done) {
        for path in walk.flatten() {
            if let Ok(metadata) = fs::symlink_metadata(path) {
                self.found_files.fetch_add(1, Relaxed);
                self.found_bytes.fetch_add(metadata.len(), Relaxed);
            }
        }
        self.surveyed.store(!done.is_closed(), Relaxed);
    }
}

pub(crate) struct Screen {
    bar: ProgressBar,
    color: bool,
}

impl Screen {
    pub(crate) fn new(color: ColorChoice) -> Self {
        // Hidden, and every call on it free of effect, unless stderr is a terminal.
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        bar.set_style(style(COUNTING));
        let color = match color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => {
                io::stderr().is_terminal()
                    && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                    && std::env::var_os("TERM").is_some_and(|term| term != "dumb")
            }
        };
        Screen { bar, color }
    }

    pub(crate) fn has_bar(&self) -> bool {
        !self.bar.is_hidden()
    }

    pub(crate) fn show(&self, meter: &Meter, files: u64) {
        let found = HumanCount(meter.found_files.load(Relaxed));
        let files = HumanCount(files);
        if meter.surveyed.load(Relaxed) {
            if self.bar.length().is_none() {
                self.bar.set_style(style(COUNTED));
                self.bar.set_length(meter.found_bytes.load(Relaxed));
            }
            self.bar.set_message(format!("{files}/{found} files"));
        } else {
            self.bar.set_message(format!("{files} files, {found} counted"));
        }
        self.bar.set_position(meter.digested.load(Relaxed));
    }

    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }

    /// Takes the bar away while something is written to the same terminal.
    pub(crate) fn above_bar<R>(&self, write: impl FnOnce() -> R) -> R {
        self.bar.suspend(write)
    }

    pub(crate) fn error(&self, message: impl Display) {
        self.message(AnsiColor::Red.on_default().bold(), message);
    }

    pub(crate) fn note(&self, message: impl Display) {
        self.message(Style::new().bold(), message);
    }

    fn message(&self, style: Style, message: impl Display) {
        let style = if self.color { style } else { Style::new() };
        // A closed stderr is no reason to stop: unlike `eprintln!`, this does not panic then.
        self.above_bar(|| {
            let _ = writeln!(io::stderr(), "{style}treesum:{style:#} {message}");
        });
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("a well-formed template")
}
