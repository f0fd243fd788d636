//! The goroutine leaks that Go tests its own leak detector with, and what `debug::leaks` says of each: GoKer, real bugs reduced
//! to kernels ("GoBench: A Benchmark Suite of Real-World Go Concurrency Bugs", doi:10.1109/CGO51591.2021.9370317), leaks of
//! industry, and the smallest ones. All that need channels, select, timers, contexts and groups only are here, written anew from
//! what the bugs are; each with the program that has it not.
//!
//! Each runs in a process of its own, as in Go. The table is printed; `docs/design/leaks.md` has one. What is said of one of them:
//! `GOKER_SHOW=1 GOKER_CASE=NCastLeak cargo test --test goker -- --exact one --nocapture`.

#[path = "goker/cockroach.rs"]
mod cockroach;
mod common;
#[path = "goker/etcd_grpc.rs"]
mod etcd_grpc;
#[path = "goker/others.rs"]
mod others;
#[path = "goker/out_of_scope.rs"]
mod out_of_scope;
#[path = "goker/patterns.rs"]
mod patterns;
#[path = "goker/simple.rs"]
mod simple;
#[path = "goker/support.rs"]
mod support;

use common::{PATIENCE, wait_until};
use gochan::debug::{self, Heap, Leaks, Verdict};
use gochan::rt::Runtime;
use out_of_scope::OUT_OF_SCOPE;
use std::env;
use std::process::Command;
use std::time::Instant;

#[global_allocator]
static HEAP: Heap = Heap::new();

/// A program with a bug, and the same without.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) buggy: fn(),
    pub(crate) fixed: fn(),
    pub(crate) expect: Expect,
}

/// How the buggy one ends.
pub(crate) enum Expect {
    /// These goroutines are stuck for good.
    Stuck(&'static [&'static str]),
    /// These wait, and are no leak.
    Waits(&'static [&'static str]),
}

impl Expect {
    fn stuck(&self) -> usize {
        match self {
            Self::Stuck(names) => names.len(),
            Self::Waits(_) => 0,
        }
    }

    fn left(&self) -> usize {
        match self {
            Self::Stuck(names) | Self::Waits(names) => names.len(),
        }
    }
}

fn cases() -> impl Iterator<Item = &'static Case> {
    [simple::CASES, patterns::CASES, cockroach::CASES, etcd_grpc::CASES, others::CASES].into_iter().flatten()
}

/// Which case a process is to run: its name, and whether the fixed one.
const CASE: &str = "GOKER_CASE";
const FIXED: &str = "GOKER_FIXED";

fn names(leaks: &Leaks, verdict: Verdict) -> Vec<String> {
    let leaks = leaks.leaks.iter().filter(|leak| leak.verdict == verdict);
    let mut names: Vec<_> = leaks.map(|leak| leak.routine.name.as_deref().unwrap_or("?").to_owned()).collect();
    names.sort();
    names
}

/// No test of its own: what the processes run that [`table`] starts. Says on stdout what was found.
#[test]
fn one() {
    let Ok(name) = env::var(CASE) else { return };
    let case = cases().find(|case| case.name == name).unwrap();
    let runtime = Runtime::builder().workers(2).build().unwrap();
    if env::var_os(FIXED).is_some() {
        runtime.run(case.fixed);
        // None at any time, nor any that waits.
        wait_until(|| {
            assert_eq!(names(&debug::leaks(), Verdict::Definite), [""; 0]);
            runtime.num_goroutines() == 0
        });
        return;
    }
    runtime.run(case.buggy);
    let left = case.expect.left();
    let all_wait = || {
        let dump = debug::dump();
        dump.routines.len() == left && dump.routines.iter().all(|routine| routine.waits.is_some())
    };
    wait_until(|| runtime.num_goroutines() == left && all_wait());
    let found = debug::leaks();
    if env::var_os("GOKER_SHOW").is_some() {
        println!("{found}");
    }
    assert_eq!(found.unproven, None);
    for verdict in [Verdict::Definite, Verdict::Suspected] {
        println!("> {}", names(&found, verdict).join(","));
    }
}

/// What was found in a process: definite, and suspected.
fn run(case: &Case, fixed: bool) -> Vec<Vec<String>> {
    let mut process = Command::new(env::current_exe().unwrap());
    process.args(["--exact", "one", "--nocapture"]).env(CASE, case.name);
    if fixed {
        process.env(FIXED, "1");
    }
    let out = process.output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{}: {text}{}", case.name, String::from_utf8_lossy(&out.stderr));
    let lines = text.lines().filter_map(|line| line.strip_prefix("> "));
    lines.map(|line| line.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()).collect()
}

/// Nothing is called definite that is none. How many are found depends on what happens to lie in memory; most are.
#[test]
fn table() {
    let start = Instant::now();
    let (mut all, mut all_definite, mut all_suspected, mut false_ones) = (0, 0, 0, 0);
    println!("{:24} {:>5} {:>8} {:>9} {:>6} {:>5}", "", "stuck", "definite", "suspected", "missed", "false");
    for case in cases() {
        let found = run(case, false);
        let [definite, suspected] = &found[..] else { panic!("{}: {found:?}", case.name) };
        let expected: &[&str] = if let Expect::Stuck(names) = case.expect { names } else { &[] };
        let wrong = definite.iter().filter(|name| !expected.contains(&name.as_str())).count();
        let (stuck, definite, suspected) = (case.expect.stuck(), definite.len(), suspected.len());
        let missed = stuck.saturating_sub(definite + suspected);
        println!("{:24} {stuck:5} {definite:8} {suspected:9} {missed:6} {wrong:5}", case.name);
        (all, all_definite, all_suspected) = (all + stuck, all_definite + definite, all_suspected + suspected);
        false_ones += wrong;
        run(case, true);
        assert!(start.elapsed() < 4 * PATIENCE);
    }
    let missed = all - (all_definite + all_suspected).min(all);
    println!("{:24} {all:5} {all_definite:8} {all_suspected:9} {missed:6} {false_ones:5}", "all");
    println!("\nNot in this table, as they need what is no channel:");
    for (names, why) in OUT_OF_SCOPE {
        println!("{why}: {}", names.join(", "));
    }
    assert_eq!(false_ones, 0);
    if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        assert!(all_definite * 10 >= all * 7, "{all_definite} of {all}");
    }
}
