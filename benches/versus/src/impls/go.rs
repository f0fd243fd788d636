//! Go itself: finds a toolchain, builds the program in `go/`, and tells it a scenario in its own words.

use crate::scenario::{Family, Job, Room, Scenario, Work};
use anyhow::{Context, Result, ensure};
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

pub const NAME: &str = "go";

/// The toolchain: `$GO` if set, else `go` on the PATH.
fn toolchain() -> PathBuf {
    env::var_os("GO").map_or("go".into(), PathBuf::from)
}

/// `go version`, if there is a toolchain.
pub fn version() -> Option<String> {
    let out = Command::new(toolchain()).arg("version").output().ok()?;
    out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim().to_string())
}

/// Builds the program beside this executable and returns where it is.
pub fn build() -> Result<PathBuf> {
    let exe = env::current_exe()?.with_file_name("versus-go");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("go");
    let status = Command::new(toolchain())
        .args(["build", "-o"])
        .arg(&exe)
        .arg(".")
        .current_dir(source)
        .env("GOTOOLCHAIN", "local")
        .status()
        .context("cannot run the Go toolchain")?;
    ensure!(status.success(), "go build failed");
    Ok(exe)
}

/// Go's channels are bounded, and its goroutines stand in for threads and tasks alike.
pub fn takes(work: &Work) -> bool {
    match *work {
        Work::Threads(link) | Work::Tasks(link, _) => link.room != Room::Unbounded,
        Work::Goroutines(..) => true,
        // The others are of threads.
        Work::Growth(family, _) => matches!(family, Family::Goroutines | Family::Ring),
        Work::Limit(_) => false,
        Work::Latency { room, .. } => room != Room::Unbounded,
        // No distinction of handles in Go: the figures stand in one of the two tables.
        Work::Memory { room, tasks, .. } => room != Room::Unbounded && !tasks,
        Work::Timer(..) | Work::Guarantee { .. } => false,
    }
}

/// The arguments for one cell.
pub fn args(scenario: &Scenario, target: Duration) -> Vec<String> {
    // -1 stands for room for all messages.
    let cap = |room: Room| match room {
        Room::Bounded(n) => n.to_string(),
        Room::All | Room::Unbounded => "-1".into(),
    };
    let bytes = |large: bool| if large { "256" } else { "8" };
    let pairs: Vec<(&str, String)> = match scenario.work {
        Work::Threads(link) | Work::Tasks(link, _) => vec![
            ("kind", "link".into()),
            ("what", link.shape.name().into()),
            ("cap", cap(link.room)),
            ("senders", link.senders().to_string()),
            ("receivers", link.receivers().to_string()),
            ("width", link.width.to_string()),
            ("bytes", bytes(link.large).into()),
            ("procs", if let Work::Tasks(_, workers) = scenario.work { workers } else { 2 }.to_string()),
        ],
        Work::Goroutines(job, workers) => {
            let what = job.name();
            let what = what.trim_end_matches(|c: char| c.is_ascii_digit() || c == 'k' || c == 'm');
            let size = match job {
                Job::Parked(n) | Job::Timer(n) => n,
                Job::Fanin100 => 100,
                _ => 0,
            };
            vec![
                ("kind", "goroutines".into()),
                ("what", what.into()),
                ("size", size.to_string()),
                ("procs", workers.to_string()),
            ]
        }
        Work::Latency { pace, room, .. } => {
            vec![("kind", "latency".into()), ("what", pace.name()), ("cap", cap(room)), ("procs", "2".into())]
        }
        Work::Memory { holding, room, large, .. } => vec![
            ("kind", "memory".into()),
            ("what", holding.name().into()),
            ("cap", cap(room)),
            ("bytes", bytes(large).into()),
            ("procs", "2".into()),
        ],
        Work::Growth(family, n) => vec![
            ("kind", "growth".into()),
            ("what", family.name().into()),
            ("size", n.to_string()),
            ("procs", "1".into()),
        ],
        Work::Limit(_) | Work::Timer(..) | Work::Guarantee { .. } => {
            unreachable!("Go takes no part in these")
        }
    };
    let pairs = pairs.into_iter().map(|(key, value)| format!("-{key}={value}"));
    pairs.chain([format!("-target={}", target.as_secs_f64())]).collect()
}
