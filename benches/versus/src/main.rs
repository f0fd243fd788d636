//! versus: gochan and every peer side by side, in one run. See README.md.

mod impls;
mod kinds;
mod lines;
mod machine;
mod measure;
mod plot;
mod record;
mod report;
mod runner;
mod scenario;
mod standing;
mod stats;
mod work;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use impls::go;
use record::{Record, Run};
use regex::Regex;
use runner::Plan;
use scenario::{Mode, Scenario};
use std::path::{Path, PathBuf};
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: work::memory::Counting = work::memory::Counting;

/// Measures gochan and every peer side by side, in interleaved rounds.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: Options,
}

#[derive(Subcommand)]
enum Command {
    /// Time per operation, the default: threads, async tasks, goroutines, physical limits
    Throughput(Options),
    /// Percentiles of a hand-off, and CPU time per million messages
    Latency(Options),
    /// Heap bytes per empty channel, buffered message, parked waiter
    Memory(Options),
    /// Percentiles of how late `after` is received, alone and in a select
    Timers(Options),
    /// How often of 100 times waiters are overtaken, and what a dropped receive loses
    Guarantees(Options),
    /// Render the tables and plots of an earlier run
    Report {
        /// TSV of an earlier run; several are put together
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// The column that ratios are to (besides the best peer)
        #[arg(long, default_value = go::NAME)]
        base: String,
        /// Write the plots into this folder, and link them
        #[arg(long, value_name = "DIR")]
        plots: Option<PathBuf>,
        /// Write the report here instead of to stdout
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Run one cell in this process (what every round does)
    #[command(hide = true)]
    Cell {
        column: String,
        scenario: String,
        #[arg(long)]
        target: f64,
    },
}

#[derive(Args, Clone)]
struct Options {
    /// Only scenarios whose group/name matches this regular expression
    #[arg(long, value_name = "PATTERN")]
    only: Option<Regex>,
    /// Only these columns, comma-separated
    #[arg(long = "impl", value_name = "LIST", value_delimiter = ',')]
    columns: Vec<String>,
    /// Interleaved rounds [default: 9; memory and guarantees: 1]
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// Seconds that a timed run should take
    #[arg(long, value_name = "SECONDS", default_value_t = 0.4)]
    target: f64,
    /// A telling selection in under three minutes: fewer scenarios, shorter runs, five rounds
    #[arg(long)]
    quick: bool,
    /// The column that ratios are to (besides the best peer)
    #[arg(long, default_value = go::NAME)]
    base: String,
    /// Write the measurements here, as TSV
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write plots (SVG) into this folder
    #[arg(long, value_name = "DIR")]
    plots: Option<PathBuf>,
    /// Show what changed since this TSV
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    /// List the scenarios and columns, and run nothing
    #[arg(long)]
    list: bool,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    match cli.command {
        None => measure(Mode::Throughput, cli.options),
        Some(Command::Throughput(options)) => measure(Mode::Throughput, options),
        Some(Command::Latency(options)) => measure(Mode::Latency, options),
        Some(Command::Memory(options)) => measure(Mode::Memory, options),
        Some(Command::Timers(options)) => measure(Mode::Timers, options),
        Some(Command::Guarantees(options)) => measure(Mode::Guarantees, options),
        Some(Command::Cell { column, scenario, target }) => cell(&column, &scenario, target),
        Some(Command::Report { files, base, plots, out }) => {
            let mut run = Run::default();
            for file in files {
                run.append(Run::read(&file)?);
            }
            let mut plots = plots.map(|dir| plot::write(&run, &dir)).transpose()?.unwrap_or_default();
            // Links are relative to the file they stand in.
            if let Some(home) = out.as_deref().and_then(Path::parent) {
                for (_, path) in &mut plots {
                    *path = path.strip_prefix(home).unwrap_or(path).to_path_buf();
                }
            }
            let text = report::full(&run, &base, &plots);
            match out {
                Some(path) => std::fs::write(path, text)?,
                None => print!("{text}"),
            }
            Ok(())
        }
    }
}

fn measure(mode: Mode, options: Options) -> Result<()> {
    let before = options.compare.as_deref().map(Run::read).transpose()?;
    let wanted = |s: &Scenario| match &options.only {
        Some(pattern) => pattern.is_match(&s.id()),
        None => s.quick || !options.quick,
    };
    let scenarios: Vec<_> = scenario::all(mode).into_iter().filter(wanted).collect();
    let every: Vec<_> = impls::IMPLS.iter().map(|one| one.name.to_string()).chain([go::NAME.to_string()]).collect();
    if let Some(unknown) = options.columns.iter().find(|name| !every.contains(name)) {
        bail!("no column {unknown}; there are {}", every.join(", "));
    }
    let columns = if options.columns.is_empty() { every } else { options.columns.clone() };
    if options.list {
        scenarios.iter().for_each(|s| println!("{}{}", s.id(), if s.quick { "  (quick)" } else { "" }));
        println!("columns: {}", columns.join(", "));
        return Ok(());
    }
    if scenarios.is_empty() {
        bail!("no scenario matches");
    }
    let go = match go::version() {
        Some(_) if columns.iter().any(|name| name == go::NAME) => Some(go::build()?),
        Some(_) => None,
        None => {
            eprintln!("versus: no Go toolchain found (GO or PATH), its column is left out; see README.md");
            None
        }
    };
    let plan = Plan {
        scenarios,
        columns,
        rounds: options.rounds.unwrap_or(match mode {
            Mode::Memory | Mode::Guarantees => 1,
            _ if options.quick => 5,
            _ => 9,
        }),
        target: Duration::from_secs_f64(if options.quick { options.target / 8.0 } else { options.target }),
        failures: if options.quick { 1 } else { 2 },
        patience: Duration::from_secs(if options.quick { 3 } else { 30 }),
        go,
    };
    let about = machine::about();
    let save = |records: &[Record]| match &options.out {
        Some(path) => Run { about: about.clone(), records: records.to_vec() }.write(path),
        None => Ok(()),
    };
    let run = Run { records: plan.run(save)?, about: about.clone() };
    if let Some(dir) = &options.plots {
        plot::write(&run, dir)?;
    }
    print!("{}", report::brief(&run, &options.base));
    if let Some(before) = before {
        print!("{}", report::changes(&before, &run));
    }
    Ok(())
}

fn cell(column: &str, id: &str, target: f64) -> Result<()> {
    // A panic on any thread fails the cell at once; otherwise those that wait for the thread would hang.
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        print(info);
        std::process::exit(101);
    }));
    let scenario = Mode::ALL.into_iter().flat_map(scenario::all).find(|s| s.id() == id).context("no such scenario")?;
    let column = impls::named(column).context("no such column")?;
    match column.cell(&scenario.work, Duration::from_secs_f64(target)) {
        Some(metrics) => metrics.iter().for_each(|(metric, value)| println!("{metric}\t{value}")),
        None => println!("n/a"),
    }
    // Goroutines that still wait are not waited for.
    std::process::exit(0);
}
