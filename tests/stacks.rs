//! Stacks of goroutines: how deep one goes, what an overflow says, how many there can be, and that memory returns. What
//! ends a process, or depends on its environment, runs in one of its own, with either kind of guard pages.

#![cfg(unix)]

mod common;

use common::{wait_for_waiting, wait_until, watchdog};
use gochan::{bounded, go, rt};
use std::env;
use std::hint::black_box;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// The environments in which each test runs: guard pages as the kernel has them, and the old way.
const GUARDS: [&str; 2] = ["", "mprotect"];

/// Set in the process of a test's own.
const CHILD: &str = "GOCHAN_TEST_CHILD";

/// Runs the body of `test`, a test of this file, in processes of their own; and how each ended, and its stderr.
fn children(test: &str, environment: &[(&str, &str)], body: impl FnOnce()) -> Vec<(ExitStatus, String)> {
    if env::var_os(CHILD).is_some() {
        body();
        return Vec::new();
    }
    let run = |guard: &&str| {
        let mut child = Command::new(env::current_exe().unwrap());
        child.args([test, "--exact", "--test-threads=1", "--nocapture"]).env(CHILD, "1").env("GOCHAN_GUARD", guard);
        let output = child.env_remove("RUST_BACKTRACE").envs(environment.iter().copied()).output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(out.contains("running 1 test"), "{out}{err}");
        (output.status, err.into_owned())
    };
    GUARDS.iter().map(run).collect()
}

#[track_caller]
fn all_succeed(outcomes: Vec<(ExitStatus, String)>) {
    for (status, err) in outcomes {
        assert!(status.success(), "{err}");
    }
}

/// Uses so many bytes of the stack, and returns how many it were.
#[inline(never)]
fn descend(top: usize, bytes: usize) -> usize {
    let frame = black_box([1_u8; 512]);
    let used = top - (&raw const frame).addr();
    if used >= bytes { used } else { black_box(descend(top, bytes)) + usize::from(frame[used % 512]) - 1 }
}

fn use_stack(bytes: usize) -> usize {
    let top = 0_u8;
    descend((&raw const top).addr(), bytes)
}

#[test]
fn two_hundred_of_256_kib_can_be_used() {
    watchdog(|| {
        for _ in 0..3 {
            assert!(go(|| use_stack(200 << 10)).join().unwrap() >= 200 << 10);
        }
    });
}

#[test]
fn an_overflow_says_whose() {
    let line = line!() + 4;
    let outcomes = children("an_overflow_says_whose", &[], || {
        // Its number is not the first, and its stack not new.
        go(|| use_stack(100 << 10)).join().unwrap();
        let overflows = go(|| use_stack(usize::MAX));
        drop(overflows.join());
    });
    for (status, err) in outcomes {
        assert_eq!(status.signal(), Some(libc::SIGABRT), "{err}");
        let report = format!(
            "\ngoroutine 2 (spawned at {}:{line}:25) overflowed its stack of 262144 bytes; give it more with \
             rt::Goroutine::stack_size\n",
            file!()
        );
        assert!(err.contains(&report), "{err}");
    }
}

/// One that is parked has its report, too, when it goes on.
#[test]
fn an_overflow_after_a_park() {
    let outcomes = children("an_overflow_after_a_park", &[("GOCHAN_STACK", "65536")], || {
        let (tx, rx) = bounded(0);
        let others: Vec<_> =
            (0..100).map(|_| (rx.clone(), tx.clone())).map(|(rx, _tx)| go(move || rx.recv())).collect();
        let overflows = go(move || use_stack(rx.recv().unwrap()));
        (0..101).for_each(|_| tx.send(usize::MAX).unwrap());
        drop((others, overflows.join()));
    });
    for (status, err) in outcomes {
        assert_eq!(status.signal(), Some(libc::SIGABRT), "{err}");
        assert!(err.contains("\ngoroutine 101 (spawned at ") && err.contains("its stack of 65536 bytes"), "{err}");
    }
}

/// Memory that is locked takes no marks; its guards are made the old way.
#[test]
fn an_overflow_in_locked_memory() {
    let outcomes = children("an_overflow_in_locked_memory", &[], || {
        // SAFETY: changes no memory. If it may not be locked, it is not.
        unsafe { libc::mlockall(libc::MCL_FUTURE) };
        drop(go(|| use_stack(usize::MAX)).join());
    });
    for (status, err) in outcomes {
        assert_eq!(status.signal(), Some(libc::SIGABRT), "{err}");
        assert!(err.contains("overflowed its stack of 262144 bytes"), "{err}");
    }
}

#[test]
fn std_reports_the_overflow_of_a_thread() {
    let outcomes = children("std_reports_the_overflow_of_a_thread", &[], || {
        go(|| ()).join().unwrap();
        let thread = thread::Builder::new().name("deep".into()).spawn(|| use_stack(usize::MAX));
        drop(thread.unwrap().join());
    });
    for (status, err) in outcomes {
        assert_eq!(status.signal(), Some(libc::SIGABRT), "{err}");
        assert!(err.contains("thread 'deep' ") && err.contains("has overflowed its stack"), "{err}");
        assert!(!err.contains("goroutine"), "{err}");
    }
}

/// Touches what nobody may, far from any stack.
fn fault() {
    // SAFETY: it is not, and that is the point: the first page is never mapped.
    unsafe { ptr::without_provenance_mut::<u8>(64).write_volatile(1) };
}

type Handler = usize;

/// A program's own handler of faults, from before there are goroutines.
fn handle_faults(handler: Handler, flags: libc::c_int) {
    // SAFETY: an action of zeros is valid; the handler is async-signal-safe, and the flags say its type.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = flags | libc::SA_ONSTACK;
        for signal in [libc::SIGSEGV, libc::SIGBUS] {
            assert_eq!(libc::sigaction(signal, &raw const action, ptr::null_mut()), 0);
        }
    }
}

extern "C" fn exit_with_address(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: async-signal-safe; the kernel passes a siginfo.
    unsafe { libc::_exit((*info).si_addr().addr() as libc::c_int) }
}

extern "C" fn exit_with_signal(signal: libc::c_int) {
    // SAFETY: async-signal-safe.
    unsafe { libc::_exit(signal) }
}

#[test]
fn other_faults_are_the_earlier_handlers() {
    let outcomes = children("other_faults_are_the_earlier_handlers", &[], || {
        handle_faults(exit_with_address as *const () as usize, libc::SA_SIGINFO);
        go(fault).join().unwrap();
    });
    for (status, err) in outcomes {
        assert_eq!(status.code(), Some(64), "{err}");
    }
}

#[test]
fn an_earlier_handler_may_be_plain() {
    let outcomes = children("an_earlier_handler_may_be_plain", &[], || {
        handle_faults(exit_with_signal as *const () as usize, 0);
        go(|| ()).join().unwrap();
        fault();
    });
    for (status, err) in outcomes {
        assert!([libc::SIGSEGV, libc::SIGBUS].map(Some).contains(&status.code()), "{err}");
    }
}

/// Whoever handled faults before: an overflow is reported.
#[test]
fn an_earlier_handler_does_not_get_overflows() {
    let outcomes = children("an_earlier_handler_does_not_get_overflows", &[], || {
        handle_faults(exit_with_address as *const () as usize, libc::SA_SIGINFO);
        drop(go(|| use_stack(usize::MAX)).join());
    });
    for (status, err) in outcomes {
        assert_eq!(status.signal(), Some(libc::SIGABRT), "{err}");
        assert!(err.contains("overflowed its stack"), "{err}");
    }
}

#[test]
fn a_fault_that_nobody_handles_ends_the_process() {
    for (test, action) in [("default", libc::SIG_DFL), ("ignored", libc::SIG_IGN)] {
        if env::var(CHILD).is_ok() && env::var("GOCHAN_TEST_ACTION").as_deref() != Ok(test) {
            continue;
        }
        let name = "a_fault_that_nobody_handles_ends_the_process";
        let outcomes = children(name, &[("GOCHAN_TEST_ACTION", test)], || {
            handle_faults(action, 0);
            go(fault).join().unwrap();
        });
        for (status, err) in outcomes {
            assert!([libc::SIGSEGV, libc::SIGBUS].map(Some).contains(&status.signal()), "{test}: {err}");
        }
    }
}

/// A signal that another process sent: it ends the process, unless that ignores it.
#[test]
fn signals_that_are_sent() {
    for (test, action) in [("default", libc::SIG_DFL), ("ignored", libc::SIG_IGN)] {
        if env::var(CHILD).is_ok() && env::var("GOCHAN_TEST_ACTION").as_deref() != Ok(test) {
            continue;
        }
        let outcomes = children("signals_that_are_sent", &[("GOCHAN_TEST_ACTION", test)], || {
            handle_faults(action, 0);
            go(|| ()).join().unwrap();
            // SAFETY: to ourselves.
            assert_eq!(unsafe { libc::kill(libc::getpid(), libc::SIGSEGV) }, 0);
        });
        for (status, err) in outcomes {
            let expected = if action == libc::SIG_DFL { Some(libc::SIGSEGV) } else { None };
            assert_eq!((status.signal(), status.success()), (expected, expected.is_none()), "{test}: {err}");
        }
    }
}

/// The smallest stack has room for the backtrace of a panic.
#[test]
fn panics_fit_into_64_kib() {
    let environment = [("GOCHAN_STACK", "65536"), ("RUST_BACKTRACE", "1")];
    let outcomes = children("panics_fit_into_64_kib", &environment, || {
        for _ in 0..3 {
            let error = go(|| panic!("as it should")).join().unwrap_err();
            assert_eq!(error.into_panic().downcast_ref(), Some(&"as it should"));
        }
    });
    for (status, err) in outcomes {
        assert!(status.success(), "{err}");
        assert_eq!(err.matches("as it should\nstack backtrace:\n").count(), 3, "{err}");
    }
}

/// Memory of this process, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    // SAFETY: reads a constant of the system.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * page
}

/// Deep goroutines, all at once, and again: when they have ended, their memory is not theirs any more.
#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "reads /proc")]
fn memory_returns() {
    const GOROUTINES: usize = 2_000;
    struct Deep;
    let outcomes = children("memory_returns", &[], || {
        watchdog(|| {
            go(|| ()).join().unwrap();
            let before = resident();
            for _ in 0..2 {
                let (tx, rx) = bounded::<Deep>(0);
                let deep = |_| {
                    let rx = rx.clone();
                    go(move || drop((use_stack(100 << 10), rx.recv())))
                };
                let all: Vec<_> = (0..GOROUTINES).map(deep).collect();
                wait_for_waiting::<Deep>(GOROUTINES);
                assert!(resident() - before > GOROUTINES * (100 << 10));
                drop(tx);
                all.into_iter().for_each(|goroutine| goroutine.join().unwrap());
                // A worker still puts the last of them away.
                wait_until(|| resident() - before < 80 << 20);
            }
        });
    });
    all_succeed(outcomes);
}

/// Memory of this process, and its page tables, in bytes: seen at once.
fn resident_with_page_tables() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let of = |name| {
        let kib = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        kib.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
    };
    of("VmRSS:") + of("VmPTE:")
}

/// One parks on a page of its stack, and what there is besides is small; and all of it returns, also what is not of the stack.
#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "reads /proc")]
fn what_a_parked_goroutine_takes() {
    // As many as there can be if each takes two mappings.
    const GOROUTINES: usize = 30_000;
    let outcomes = children("what_a_parked_goroutine_takes", &[("GOCHAN_STACK", "65536")], || {
        watchdog(|| {
            // The memory of the runtime, and of those who look, is not theirs.
            go(|| ()).join().unwrap();
            resident_with_page_tables();
            let (before, resident_before) = (resident_with_page_tables(), resident());
            for round in 0..2 {
                let (tx, rx) = bounded::<()>(0);
                let begun = Arc::new(AtomicUsize::new(0));
                for _ in 0..GOROUTINES {
                    let (rx, begun) = (rx.clone(), begun.clone());
                    drop(rt::Goroutine::new().spawn(move || (begun.fetch_add(1, Ordering::Relaxed), rx.recv())));
                }
                // A dump, which says who waits, would take more memory than they do.
                wait_until(|| begun.load(Ordering::Relaxed) == GOROUTINES);
                let each = (resident_with_page_tables() - before) / GOROUTINES;
                eprintln!("round {round}: {each} bytes each");
                assert!(each <= 4 << 10 | 512, "{each} bytes each");
                drop(tx);
                // Some stacks and records are kept for who comes next, and the page tables of all.
                wait_until(|| resident().saturating_sub(resident_before) < 12 << 20);
                // So that what is seen in the next round is that round's.
                rt::free_os_memory();
            }
        });
    });
    all_succeed(outcomes);
}

/// When it is asked for, all that ended goroutines and tasks have taken returns, also what is kept for others, and what the allocator keeps
/// since something lies above.
#[test]
#[cfg_attr(not(all(target_os = "linux", target_env = "gnu")), ignore = "reads /proc, and is about glibc's allocator")]
fn what_is_free_is_given_back() {
    const TASKS: usize = 50_000;
    const GOROUTINES: usize = 200;
    let outcomes = children("what_is_free_is_given_back", &[("GOCHAN_STACK", "65536")], || {
        watchdog(|| {
            let runtime = rt::Runtime::builder().workers(1).build().unwrap();
            runtime.run(|| ());
            let before = resident();
            let (tx, rx) = bounded::<()>(0);
            let above = runtime.run(move || {
                let tasks: Vec<_> = (0..TASKS)
                    .map(|_| {
                        let rx = rx.clone();
                        rt::spawn(async move { rx.recv_async().await })
                    })
                    .collect();
                let goroutines: Vec<_> = (0..GOROUTINES).map(|_| go(|| ())).collect();
                // Lies above all tasks, and lives on.
                let above = (0..1000).map(|_| Box::new([0_u8; 100])).collect::<Vec<_>>();
                rt::sleep(Duration::from_millis(10));
                let parked = resident();
                assert!(parked > before + (10 << 20), "{parked} bytes, {before} before");
                tx.close();
                tasks.into_iter().for_each(|task| assert!(task.join().unwrap().is_err()));
                goroutines.into_iter().for_each(|goroutine| goroutine.join().unwrap());
                above
            });
            // The stacks go to the pools.
            drop(runtime);
            rt::free_os_memory();
            let left = resident().saturating_sub(before);
            assert!(left < 6 << 20, "{left} bytes are left");
            drop(above);
        });
    });
    all_succeed(outcomes);
}

/// Does the kernel have guard pages that split no mapping?
fn has_markers() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map(|number| number.trim().parse().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(6), Some(13))
}

/// More goroutines than there could be mappings for. Where guard pages split mappings there is a limit; who meets it learns
/// what to do, and the others go on.
#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "reads /proc")]
fn more_goroutines_than_mappings() {
    let mappings: usize = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap().trim().parse().unwrap();
    if mappings > 200_000 {
        // Too many to show it here.
        return;
    }
    let most = mappings / 2 + 5_000;
    let outcomes = children("more_goroutines_than_mappings", &[("GOCHAN_STACK", "65536")], || {
        watchdog(move || {
            rt::run(move || {
                let (tx, rx) = bounded::<()>(0);
                let started = Arc::new(AtomicUsize::new(0));
                let start = |_| {
                    let (rx, started) = (rx.clone(), started.clone());
                    go(move || (started.fetch_add(1, Ordering::Relaxed), rx.recv()))
                };
                let all: Vec<_> = (0..most).map(start).collect();
                let refused = || all.iter().filter(|goroutine| goroutine.is_finished()).count();
                while started.load(Ordering::Relaxed) + refused() < most {
                    rt::sleep(Duration::from_millis(10));
                }
                drop(tx);
                let (ended, refused): (Vec<_>, Vec<_>) =
                    all.into_iter().map(|goroutine| goroutine.join()).partition(Result::is_ok);
                let says_why = |error: &rt::JoinError| error.to_string().contains("vm.max_map_count");
                assert!(refused.iter().all(|ended| ended.as_ref().is_err_and(says_why)));
                eprintln!("{} ended, {} refused", ended.len(), refused.len());
            });
        });
    });
    for (guard, (status, err)) in GUARDS.iter().zip(&outcomes) {
        assert!(status.success(), "{err}");
        if *guard != "mprotect" && has_markers() {
            assert!(err.contains(&format!("{most} ended, 0 refused\n")), "{err}");
        } else {
            assert!(err.contains(" cannot run: no stack for a goroutine: there are "), "{err}");
            assert!(err.contains("raise vm.max_map_count (by sysctl), or use Linux 6.13"), "{err}");
        }
    }
}
