//! Deadlocks, after Go's crash tests: the text, the exit code, and no false report. Each program is a process of its own
//! (`tests/programs/deadlock.rs`), since a test's has threads beside it.
#![cfg(target_os = "linux")]

mod common;

use common::PATIENCE;
use std::io::Read;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const FATAL: &str = "fatal error: all goroutines are asleep - deadlock!\n\n";
const PANIC: &str = "panicked at tests/programs/deadlock.rs:";

struct End {
    /// `None`: it had not ended after the time that it was given.
    status: Option<ExitStatus>,
    out: String,
    err: String,
}

/// Runs a program, for `time` at most.
fn run_for(time: Duration, name: &str, environment: &[(&str, &str)]) -> End {
    let mut command = Command::new(common::example("programs_deadlock"));
    command.arg(name).envs(environment.iter().copied()).env_remove("RUST_BACKTRACE");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    thread::scope(|scope| {
        let read = |pipe: &mut dyn Read| {
            let mut text = String::new();
            pipe.read_to_string(&mut text).unwrap();
            text
        };
        let out = scope.spawn(move || read(&mut out));
        let err = scope.spawn(move || read(&mut err));
        let start = Instant::now();
        let status = loop {
            match child.try_wait().unwrap() {
                None if start.elapsed() < time => thread::sleep(Duration::from_millis(5)),
                None => {
                    child.kill().unwrap();
                    child.wait().unwrap();
                    break None;
                }
                ended => break ended,
            }
        };
        End { status, out: out.join().unwrap(), err: err.join().unwrap() }
    })
}

fn run(name: &str, environment: &[(&str, &str)]) -> End {
    run_for(PATIENCE, name, environment)
}

/// Go's text comes first, then who waits where, then the panic in the caller of `run`.
#[track_caller]
fn assert_found(name: &str, waits: &[&str]) {
    let End { status, out, err } = run(name, &[]);
    assert_eq!(status.and_then(|status| status.code()), Some(101), "{name}: {out}{err}");
    let dump = err.strip_prefix(FATAL).unwrap_or_else(|| panic!("{name}: {err}"));
    let (dump, panic) = dump.split_once("\nthread 'main' ").unwrap_or_else(|| panic!("{name}: {err}"));
    assert!(waits.iter().all(|waits| dump.contains(waits)), "{name}: {err}");
    assert!(panic.contains(PANIC) && panic.contains("\nall goroutines are asleep - deadlock!\n"), "{name}: {err}");
    assert_eq!(out, "", "{name}");
}

macro_rules! found {
    ($($name:ident: $($waits:literal),*;)*) => {$(
        #[test]
        fn $name() {
            assert_found(stringify!($name), &[$($waits),*]);
        }
    )*};
}

found! {
    simple: ;
    init: ;
    pinned: ;
    shielded: ;
    nil_receive: ;
    nil_send: ;
    nobody_sends: "[chan receive";
    sends_to_itself: "[chan send";
    full: "3 of 3 buffered", "[chan send";
    locks_twice: "1 of 1 buffered", "[chan send";
    one_behind_another: "[chan receive";
    a_range_without_close: "[chan receive";
    a_select: "[select";
    a_scope: "[chan receive";
    a_task: ;
    a_future: "[chan receive";
    after_blocking_calls: ;
    after_alarms: ;
    after_many: ;
    after_a_thread: "[chan receive";
    on_one_worker: ;
    on_many_workers: ;
    in_two_runtimes: ;
}

macro_rules! ends {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            let End { status, out, err } = run(stringify!($name), &[]);
            assert!(status.is_some_and(|status| status.success()) && out == "done\n" && err == "", "{out}{err}");
        }
    )*};
}

ends! {
    a_thread_that_sends_late
    a_sleep
    a_timer
    a_deadline
    a_deadline_of_a_task
    a_blocking_call
    a_blocked_worker
    a_busy_worker
    sockets_of_tokio
    a_task_that_a_thread_wakes
    another_runtime
    another_run
    what_a_pool_thread_keeps
}

/// Found several times: what follows goes on as if nothing had been.
#[test]
fn a_deadlock_may_be_caught() {
    for name in ["twice", "two_threads"] {
        let End { status, out, err } = run(name, &[]);
        assert!(status.is_some_and(|status| status.success()) && out == "done\n", "{name}: {out}{err}");
        assert!(err.matches(FATAL).count() >= 2, "{name}: {err}");
    }
}

#[test]
fn exits_as_gos_programs_do() {
    for (name, environment) in [("exit", &[][..]), ("simple", &[("GOCHAN_DEADLOCK", "exit")])] {
        let End { status, out, err } = run(name, environment);
        assert_eq!(status.and_then(|status| status.code()), Some(2), "{out}{err}");
        assert!(err.starts_with(FATAL) && !err.contains("panicked"), "{err}");
    }
}

/// Long enough for a report, and for another.
const SOME_TIME: Duration = Duration::from_millis(2500);

#[test]
fn a_report_is_all_if_no_more_is_asked_for() {
    for (name, environment) in [("report", &[][..]), ("simple", &[("GOCHAN_DEADLOCK", "report")])] {
        let End { status, err, .. } = run_for(SOME_TIME, name, environment);
        assert_eq!(status, None, "{err}");
        assert!(err.starts_with(FATAL) && err.matches("fatal error").count() == 1, "{err}");
    }
}

#[test]
fn nothing_is_said_unasked_nor_where_it_is_not_certain() {
    let off = [("GOCHAN_DEADLOCK", "off")];
    let silent: [(_, &[_]); 4] = [("unasked", &[]), ("a_join", &[]), ("beside_a_thread", &[]), ("simple", &off)];
    thread::scope(|scope| {
        for (name, environment) in silent {
            scope.spawn(move || {
                let End { status, err, .. } = run_for(SOME_TIME, name, environment);
                assert_eq!((status, &*err), (None, ""), "{name}");
            });
        }
    });
}

/// The environment speaks for who says nothing.
#[test]
fn the_environment_asks() {
    let End { status, err, .. } = run("unasked", &[("GOCHAN_DEADLOCK", "exit")]);
    assert!(status.and_then(|status| status.code()) == Some(2) && err.starts_with(FATAL), "{err}");
    let End { status, err, .. } = run("exit", &[("GOCHAN_DEADLOCK", "off")]);
    assert!(status.and_then(|status| status.code()) == Some(2) && err.starts_with(FATAL), "{err}");
}
