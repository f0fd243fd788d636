//! Runs the cells: interleaved rounds, a process for every cell and round, a watchdog, progress with an ETA.

use crate::impls::{self, go};
use crate::record::{Record, Value};
use crate::scenario::{Family, Scenario, Work};
use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::HashMap;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// What to run.
pub struct Plan {
    pub scenarios: Vec<Scenario>,
    pub columns: Vec<String>,
    pub rounds: usize,
    /// How long a timed run should take.
    pub target: Duration,
    /// How often a cell may hang or crash before it is left out of the remaining rounds.
    pub failures: usize,
    /// Caps the watchdog's patience.
    pub patience: Duration,
    /// The program of Go's column, if it could be built.
    pub go: Option<PathBuf>,
}

impl Plan {
    /// The columns that have something to show in a scenario.
    fn columns_of(&self, scenario: &Scenario) -> impl Iterator<Item = &String> {
        self.columns.iter().filter(|column| match column.as_str() {
            go::NAME => self.go.is_some() && go::takes(&scenario.work),
            name => impls::named(name).is_some_and(|one| one.takes(&scenario.work)),
        })
    }

    /// Runs everything; `save` is shown all there is after every round, since a long run may be cut short.
    pub fn run(&self, save: impl Fn(&[Record]) -> Result<()>) -> Result<Vec<Record>> {
        let cells = self.rounds * self.scenarios.iter().map(|s| self.columns_of(s).count()).sum::<usize>();
        let mut progress = Progress::new(cells);
        let mut records = Vec::new();
        let mut failed: HashMap<(String, String), usize> = HashMap::new();
        for round in 1..=self.rounds {
            for scenario in &self.scenarios {
                for column in self.columns_of(scenario) {
                    progress.at(round, self.rounds, scenario, column);
                    let failures = failed.entry((scenario.id(), column.clone())).or_default();
                    if *failures < self.failures {
                        let outcome = self.cell(scenario, column, &progress)?;
                        match outcome.first().map(|one| one.1) {
                            // Once is enough for what a library does not have.
                            Some(Value::Missing) => *failures = self.failures,
                            Some(Value::Hang | Value::Crash) => *failures += 1,
                            _ => {}
                        }
                        records.extend(outcome.into_iter().map(|(metric, value)| Record {
                            group: scenario.group.name.into(),
                            scenario: scenario.name.clone(),
                            column: column.clone(),
                            round,
                            metric,
                            value,
                        }));
                    }
                    progress.done();
                }
            }
            save(&records)?;
        }
        progress.finish();
        Ok(records)
    }

    /// Runs one cell in a process of its own.
    fn cell(&self, scenario: &Scenario, column: &str, progress: &Progress) -> Result<Vec<(String, Value)>> {
        let mut command = match (column, &self.go) {
            (go::NAME, Some(exe)) => {
                let mut command = Command::new(exe);
                command.args(go::args(scenario, self.target));
                command
            }
            _ => {
                let mut command = Command::new(std::env::current_exe()?);
                let target = self.target.as_secs_f64().to_string();
                command.args(["cell", column, &scenario.id(), "--target", &target]);
                command
            }
        };
        let Some(output) = output_within(&mut command, self.patience.min(watchdog(scenario)))? else {
            return Ok(vec![(String::new(), Value::Hang)]);
        };
        if !output.status.success() {
            // A panic's location and message come first, whatever follows from it comes after.
            let error = String::from_utf8_lossy(&output.stderr);
            let said: Vec<_> = error.lines().filter(|line| !line.is_empty()).take(2).collect();
            progress.note(format!("{column} crashed in {} ({}): {}", scenario.id(), output.status, said.join(" ")));
            return Ok(vec![(String::new(), Value::Crash)]);
        }
        let text = String::from_utf8(output.stdout)?;
        text.lines().map(parse_metric).collect()
    }
}

/// A line of a cell's output: `n/a`, or a metric and its value.
fn parse_metric(line: &str) -> Result<(String, Value)> {
    match line.split_once('\t') {
        Some((metric, value)) => Ok((metric.into(), value.parse()?)),
        None => Ok((String::new(), line.parse().with_context(|| format!("odd output of a cell: {line}"))?)),
    }
}

/// After how long a cell counts as hung.
fn watchdog(scenario: &Scenario) -> Duration {
    match scenario.work {
        Work::Goroutines(..) | Work::Growth(Family::Goroutines | Family::Ring, _) => Duration::from_secs(30),
        _ => Duration::from_secs(10),
    }
}

/// The command's output, or `None` if it had to be killed.
fn output_within(command: &mut Command, patience: Duration) -> Result<Option<Output>> {
    let child = command
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let pid = child.id() as libc::pid_t;
    let (ended, end) = channel();
    // A thread that waits costs the measured process nothing, a loop that looks would.
    thread::spawn(move || ended.send(child.wait_with_output()));
    match end.recv_timeout(patience) {
        Ok(output) => Ok(Some(output?)),
        Err(RecvTimeoutError::Disconnected) => unreachable!("the waiting thread sends before it ends"),
        Err(RecvTimeoutError::Timeout) => {
            // SAFETY: no memory is involved, and the child is not yet reaped, or only just.
            unsafe { libc::kill(pid, libc::SIGKILL) };
            end.recv()??;
            Ok(None)
        }
    }
}

/// A bar on a terminal; elsewhere a line now and then.
struct Progress {
    bar: ProgressBar,
    cells: usize,
    ended: usize,
    start: Instant,
    said: Instant,
}

/// How often to say something where there is no bar.
const EVERY: Duration = Duration::from_secs(10);

impl Progress {
    fn new(cells: usize) -> Self {
        let style = "{elapsed_precise} {bar:32} {pos}/{len} ETA {eta_precise}  {msg}";
        let bar = ProgressBar::new(cells as u64).with_style(ProgressStyle::with_template(style).expect("a template"));
        let now = Instant::now();
        Progress { bar, cells, ended: 0, start: now, said: now }
    }

    fn at(&mut self, round: usize, rounds: usize, scenario: &Scenario, column: &str) {
        let text = format!("round {round}/{rounds}  {}  {column}", scenario.id());
        if std::io::stderr().is_terminal() {
            self.bar.set_message(text);
        } else if self.said.elapsed() >= EVERY {
            self.said = Instant::now();
            let left = self.start.elapsed().as_secs_f64() / self.ended.max(1) as f64 * (self.cells - self.ended) as f64;
            let left = indicatif::HumanDuration(Duration::from_secs_f64(left));
            eprintln!("{}/{} ETA {left:#}  {text}", self.ended, self.cells);
        }
    }

    fn note(&self, text: String) {
        self.bar.suspend(|| eprintln!("versus: {text}"));
    }

    fn done(&mut self) {
        self.ended += 1;
        self.bar.inc(1);
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
        eprintln!("{} cells in {}", self.cells, indicatif::HumanDuration(self.start.elapsed()));
    }
}
