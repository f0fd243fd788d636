//! How a run came about: date, machine, versions, command.

use crate::impls::go;
use std::process::Command;

const LOCK: &str = include_str!("../Cargo.lock");
const PEERS: [&str; 9] =
    ["crossbeam-channel", "kanal", "flume", "crossfire", "async-channel", "tokio", "may", "generator", "corosensei"];

/// Lines of text for the head of a table.
pub fn about() -> Vec<String> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let peers: Vec<_> = PEERS.iter().filter_map(|name| Some(format!("{name} {}", locked(name)?))).collect();
    let say = |program: &str, args: &[&str]| {
        let out = Command::new(program).args(args).output().ok().filter(|out| out.status.success());
        out.map(|out| String::from_utf8_lossy(&out.stdout).trim().to_string()).unwrap_or("unknown".into())
    };
    let cores = std::thread::available_parallelism().map_or(0, |n| n.get());
    vec![
        format!("command: versus {}", args.join(" ")),
        format!("date: {}", say("date", &["-u", "+%Y-%m-%d %H:%M UTC"])),
        format!("machine: {}, {cores} cores, {}", cpu(), say("uname", &["-sr"])),
        format!("gochan: {}", say("git", &["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty"])),
        format!("peers: {}", peers.join(", ")),
        format!("compilers: {}; {}", say("rustc", &["--version"]), go::version().unwrap_or("no Go".into())),
    ]
}

/// The version of a package in Cargo.lock.
fn locked(name: &str) -> Option<&'static str> {
    let (_, rest) = LOCK.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    rest.split('"').next()
}

fn cpu() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = info.lines().find(|line| line.starts_with("model name"));
    line.and_then(|line| line.split_once(": ")).map_or(std::env::consts::ARCH.into(), |(_, name)| name.into())
}
