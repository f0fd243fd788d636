//! Deadlocks, after Go's crash tests: the text, the exit code, and no false report. Each program is a process of its own
//! (`tests/programs/deadlock.rs`), since a test's has threads beside it.
#![cfg(target_os = "linux")]

mod common;

use common::PATIENCE;
use common::program::End;
use std::thread;
use std::time::Duration;

const FATAL: &str = "fatal error: all goroutines are asleep - deadlock!\n\n";
const PANIC: &str = "panicked at tests/programs/deadlock.rs:";

fn run(name: &str, environment: &[(&str, &str)]) -> End {
    run_for(PATIENCE, name, environment)
}

fn run_for(time: Duration, name: &str, environment: &[(&str, &str)]) -> End {
    End::of_program("programs_deadlock", name, environment, time)
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
    simple: "goroutine 1 [select (no cases)]:\n";
    init: "goroutine 1 [select (no cases)]:\n";
    pinned: "goroutine 1 [select (no cases)]:\n", "\ncreated by goroutine 1 at ";
    joins_who_is: "goroutine 1 [join]:\n", " [select (no cases)]:\n";
    nil_receive: "goroutine 1 [chan receive (nil chan)]:\n";
    nil_send: "goroutine 1 [chan send (nil chan)]:\n";
    nobody_sends: "goroutine 1 [chan receive]:\n", "nobody waits to send";
    sends_to_itself: "goroutine 1 [chan send]:\n", "nobody waits to receive";
    full: "goroutine 1 [chan send]:\n", "3 of 3 buffered";
    full_after_many: "goroutine 1 [chan send]:\n", "3 of 3 buffered";
    locks_twice: "goroutine 1 [chan send]:\n", "1 of 1 buffered";
    one_behind_another: "goroutine 1 [chan receive]:\n", "goroutine 17 [chan receive]:\n";
    a_range_without_close: "goroutine 1 [join]:\n", "goroutine 17 [chan receive]:\n";
    a_select: "goroutine 1 [select]:\n", "nobody waits to receive", "nobody waits to send";
    a_scope: "goroutine 1 [join]:\n", "goroutine 17 [chan receive]:\n";
    a_task: "goroutine 1 [await]:\n", "task 17 [waiting]:\n";
    a_future: "goroutine 1 [await]:\n", "nobody waits to send";
    after_blocking_calls: "goroutine 1 [select (no cases)]:\n";
    after_alarms: "goroutine 1 [select (no cases)]:\n";
    after_many: "goroutine 1 [select (no cases)]:\n";
    beside_reporters: "goroutine 1 [select (no cases)]:\n";
    after_a_thread: "goroutine 1 [chan receive]:\n";
    on_one_worker: "goroutine 1 [select (no cases)]:\n";
    on_many_workers: "goroutine 1 [select (no cases)]:\n";
    of_many: "1001 in groups\n", "1000 ", "[select (no cases)]";
    in_two_runtimes: "goroutine 1 [select (no cases)]:\n", "goroutine 2 [join]:\n", "goroutine 17 [select (no cases)]:\n";
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
    what_a_report_does
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
