//! The report of a worker that is at one thing for long. Each program is a process of its own
//! (`tests/programs/stuck_worker.rs`), since what it writes to stderr is what is looked at.
#![cfg(unix)]

mod common;

use common::PATIENCE;
use common::program::End;

fn run(name: &str, environment: &[(&str, &str)]) -> String {
    let End { status, out, err } = End::of_program("programs_stuck_worker", name, environment, PATIENCE);
    assert!(status.is_some_and(|status| status.success()) && out == "done\n", "{name}: {out}{err}");
    err
}

fn reports(err: &str) -> usize {
    err.matches("has been at one thing for").count()
}

/// It says which goroutine it is, and where that was started, once each time.
#[test]
fn a_worker_that_is_stuck_is_reported_once() {
    for (name, times) in [("once", 1), ("twice", 2), ("after_a_rest", 1)] {
        let err = run(name, &[]);
        assert_eq!(reports(&err), times, "{name}: {err}");
        assert_eq!(
            err.matches(" ms: goroutine 1\n    created at tests/programs/stuck_worker.rs:").count(),
            times,
            "{err}"
        );
        assert_eq!(err.matches("\n    nobody waits for that\n").count(), times, "{err}");
    }
    let err = run("a_task", &[]);
    assert_eq!((reports(&err), err.matches(" ms: task 1\n    created at ").count()), (1, 1), "{err}");
}

#[test]
fn who_is_kept_waiting_is_counted() {
    let err = run("keeps", &[]);
    assert_eq!(reports(&err), 1, "{err}");
    assert!(err.contains(" \"hog\"\n"), "{err}");
    let waits = "2 other goroutines that live there, 1 message in its inbox, 3 starts or polls that are due\n";
    assert!(err.ends_with(&format!("    what waits for that: {waits}")), "{err}");
}

#[test]
fn nobody_is_reported_who_lets_others_run_nor_unasked() {
    assert_eq!(run("not", &[]), "");
    assert_eq!(run("unasked", &[]), "");
    assert_eq!(reports(&run("unasked", &[("GOCHAN_STUCK", "0.05")])), 1);
}
