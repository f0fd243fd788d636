//! Programs that `tests/deadlock.rs` runs, each in a process of its own: `deadlock NAME`. Those of the first table hang, the
//! others end by themselves and print `done`.

#[path = "../common/cpu.rs"]
mod cpu;

use cpu::cpu_time;
use gochan::rt::{self, OnDeadlock, Runtime};
use gochan::{Chan, Select, after, bounded, debug, go, never, select};
use std::future::pending;
use std::panic::catch_unwind;
use std::process::ExitCode;
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

/// Longer than anybody who sleeps is waited for before he is taken for dead.
const LONG: Duration = Duration::from_millis(700);

type Programs = &'static [(&'static str, fn())];

/// Go's `select {}`.
fn select_nothing() {
    let _never = Select::new().select_timeout(Duration::MAX);
}

const STUCK: Programs = &[
    ("simple", || rt::run(select_nothing)),
    ("init", || {
        static NEVER: LazyLock<()> = LazyLock::new(select_nothing);
        rt::run(|| *NEVER);
    }),
    ("pinned", || {
        rt::run(|| {
            rt::go_local(select_nothing);
            select_nothing();
        });
    }),
    ("joins_who_is", || rt::run(|| drop(go(select_nothing).join()))),
    ("nil_receive", || _ = rt::run(|| Chan::<i32>::nil().recv())),
    ("nil_send", || rt::run(|| Chan::nil().send(1))),
    ("nobody_sends", || {
        rt::run(|| {
            let (_tx, rx) = bounded::<i32>(0);
            rx.recv().unwrap();
        });
    }),
    ("sends_to_itself", || {
        rt::run(|| {
            let ch = Chan::new(0);
            ch.send(1);
            ch.recv();
        });
    }),
    ("full", || rt::run(|| (0..4).for_each(|i| FULL.send(i)))),
    ("full_after_many", || {
        rt::run(|| {
            let ch = Chan::new(3);
            // So many that the lock is this worker's own.
            for i in 0..100_000 {
                ch.send(i);
                ch.recv();
            }
            (0..4).for_each(|i| ch.send(i));
        });
    }),
    ("locks_twice", || {
        rt::run(|| {
            let lock = Chan::new(1);
            lock.send(());
            lock.send(());
        });
    }),
    ("one_behind_another", || {
        rt::run(|| {
            let (a, b) = (Chan::<()>::new(0), Chan::<()>::new(0));
            let other = go({
                let (a, b) = (a.clone(), b.clone());
                move || {
                    a.recv();
                    b.send(());
                }
            });
            b.recv();
            a.send(());
            other.join().unwrap();
        });
    }),
    ("a_range_without_close", || {
        rt::run(|| {
            let jobs = Chan::new(0);
            let worker = go({
                let jobs = jobs.clone();
                move || jobs.iter().sum::<i32>()
            });
            (0..3).for_each(|job| jobs.send(job));
            worker.join().unwrap();
        });
    }),
    ("a_select", || {
        rt::run(|| {
            let (a, b) = (Chan::new(0), Chan::<i32>::new(0));
            select! {
                send(a, 1) -> _ => {}
                recv(b) -> _ => {}
            }
        });
    }),
    ("a_scope", || {
        rt::run(|| {
            let (_tx, rx) = bounded::<()>(0);
            rt::scope(|scope| _ = scope.go(|| rx.recv()));
        });
    }),
    ("a_task", || rt::run(|| drop(rt::spawn(pending::<()>()).join()))),
    ("a_future", || {
        rt::run(|| {
            let (_tx, rx) = bounded::<()>(0);
            let _ = rt::block_on(rx.recv_async());
        });
    }),
    // The threads of the pool are there still.
    ("after_blocking_calls", || {
        rt::run(|| {
            let calls = (0..5).map(|_| go(|| rt::unblock(|| thread::sleep(Duration::from_millis(20)))));
            calls.collect::<Vec<_>>().into_iter().for_each(|call| call.join().unwrap());
            select_nothing();
        });
    }),
    // And the one for the deadlines of futures that are not ours.
    ("after_alarms", || {
        rt::run(|| {
            let (_tx, rx) = bounded::<()>(0);
            assert!(rt::block_on(rx.recv_timeout_async(Duration::from_millis(1))).is_err());
            select_nothing();
        });
    }),
    // And the one that gives back stacks.
    ("after_many", || {
        rt::run(|| {
            let all: Vec<_> = (0..1000).map(|_| go(rt::yield_now)).collect();
            all.into_iter().for_each(|one| one.join().unwrap());
            select_nothing();
        });
    }),
    // Who only reports wakes nobody.
    ("beside_reporters", || {
        debug::on_signal(libc::SIGUSR1).unwrap();
        let _watch = debug::watch(Duration::from_secs(3600));
        rt::run(select_nothing);
    }),
    // Who was waited for ends, and nobody says so.
    ("after_a_thread", || {
        rt::run(|| {
            let ch = Chan::<()>::new(0);
            thread::spawn({
                let ch = ch.clone();
                move || {
                    thread::sleep(LONG);
                    drop(ch);
                }
            });
            ch.recv();
        });
    }),
    ("on_one_worker", || {
        let runtime = Runtime::builder().workers(1).on_deadlock(OnDeadlock::Panic).build().unwrap();
        runtime.run(select_nothing);
    }),
    ("on_many_workers", || {
        let runtime = Runtime::builder().workers(8).on_deadlock(OnDeadlock::Panic).build().unwrap();
        runtime.run(|| {
            (0..50).for_each(|_| drop(go(select_nothing)));
            select_nothing();
        });
    }),
    ("of_many", || {
        rt::run(|| {
            (0..1000).for_each(|_| drop(go(select_nothing)));
            select_nothing();
        });
    }),
    // One in another, and one beside it.
    ("in_two_runtimes", || {
        let beside = Runtime::new().unwrap();
        let inner = Runtime::new().unwrap();
        let stuck = beside.go(select_nothing);
        rt::run(move || {
            inner.run(select_nothing);
            stuck.join().unwrap();
        });
    }),
    ("exit", || {
        let runtime = Runtime::builder().on_deadlock(OnDeadlock::Exit).build().unwrap();
        runtime.run(select_nothing);
    }),
    ("report", || {
        let runtime = Runtime::builder().on_deadlock(OnDeadlock::Report).build().unwrap();
        runtime.run(select_nothing);
    }),
    // Nobody has asked.
    ("unasked", || Runtime::new().unwrap().run(select_nothing)),
    // Not in `run`.
    ("a_join", || drop(go(select_nothing).join())),
    ("beside_a_thread", || {
        thread::spawn(|| thread::sleep(Duration::from_secs(3600)));
        rt::run(select_nothing);
    }),
];

static FULL: LazyLock<Chan<i32>> = LazyLock::new(|| Chan::new(3));

const ENDS: Programs = &[
    // It has never had to do with channels before.
    ("a_thread_that_sends_late", || {
        let used = rt::run(|| {
            let (tx, rx) = bounded(0);
            thread::spawn(move || {
                // By then the monitor sleeps.
                thread::sleep(Duration::from_millis(1500));
                let before = cpu_time();
                thread::sleep(Duration::from_millis(3500));
                tx.send(cpu_time() - before).unwrap();
            });
            rx.recv().unwrap()
        });
        // To look costs next to nothing.
        assert!(used < Duration::from_millis(5), "{used:?}");
    }),
    ("a_sleep", || {
        rt::run(|| {
            let ch = Chan::new(0);
            go({
                let ch = ch.clone();
                move || {
                    rt::sleep(LONG);
                    ch.send(());
                }
            });
            ch.recv().unwrap();
        });
    }),
    ("a_timer", || _ = rt::run(|| after(LONG).recv()).unwrap()),
    ("a_deadline", || assert!(rt::run(|| never::<()>().recv_timeout(LONG)).is_err())),
    ("a_deadline_of_a_task", || {
        let late = rt::run(|| rt::spawn(async { never::<()>().recv_timeout_async(LONG).await }).join().unwrap());
        assert!(late.is_err());
    }),
    ("a_blocking_call", || rt::run(|| rt::unblock(|| thread::sleep(LONG)))),
    ("a_blocked_worker", || {
        rt::run(|| {
            let (tx, rx) = bounded(0);
            go(move || {
                thread::sleep(LONG);
                tx.send(()).unwrap();
            });
            rx.recv().unwrap();
        });
    }),
    ("a_busy_worker", || {
        rt::run(|| {
            let start = Instant::now();
            while start.elapsed() < LONG {}
        });
    }),
    ("sockets_of_tokio", || {
        let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
        let runtime = Runtime::builder().tokio(tokio.handle().clone()).on_deadlock(OnDeadlock::Panic).build().unwrap();
        runtime.run(|| rt::block_on(tokio::time::sleep(LONG)));
    }),
    ("a_task_that_a_thread_wakes", || {
        rt::run(|| {
            let (tx, rx) = tokio::sync::oneshot::channel();
            thread::spawn(move || {
                thread::sleep(LONG);
                tx.send(7).unwrap();
            });
            assert_eq!(rt::spawn(rx).join().unwrap(), Ok(7));
        });
    }),
    ("another_runtime", || {
        let (tx, rx) = bounded(0);
        let other = Runtime::new().unwrap();
        other.go(move || {
            rt::sleep(LONG);
            tx.send(()).unwrap();
        });
        rt::run(move || rx.recv().unwrap());
    }),
    ("another_run", || {
        let (tx, rx) = bounded(0);
        let other = thread::spawn(move || {
            rt::run(move || {
                rt::sleep(LONG);
                tx.send(()).unwrap();
            });
        });
        rt::run(move || rx.recv().unwrap());
        other.join().unwrap();
    }),
    // It is told by whoever looks after those who wait.
    ("what_a_report_does", || {
        rt::run(|| {
            let (tx, rx) = bounded(0);
            let _watch = debug::watch_with(LONG, move |_| _ = tx.try_send(()));
            rx.recv().unwrap();
        });
    }),
    // In a thread local of a thread that runs blocking calls: it ends, and that is the last sender.
    ("what_a_pool_thread_keeps", || {
        thread_local! {
            static KEPT: std::cell::RefCell<Option<gochan::Sender<()>>> = const { std::cell::RefCell::new(None) };
        }
        rt::run(|| {
            let (tx, rx) = bounded::<()>(0);
            rt::unblock(move || KEPT.set(Some(tx)));
            assert!(rx.recv().is_err());
        });
    }),
    // Found, caught, and the next one runs as if nothing had been.
    ("twice", || {
        for _ in 0..2 {
            let held = std::sync::Arc::new(());
            let weak = std::sync::Arc::downgrade(&held);
            let error = catch_unwind(move || {
                rt::run(move || {
                    let ch = Chan::<()>::new(0);
                    go({
                        let ch = ch.clone();
                        move || {
                            let _held = held;
                            ch.recv();
                        }
                    });
                    ch.recv();
                });
            });
            let text = error.unwrap_err();
            assert_eq!(text.downcast_ref::<String>().unwrap(), "all goroutines are asleep - deadlock!");
            // They have unwound.
            assert_eq!(weak.strong_count(), 0);
        }
        assert_eq!(rt::run(|| 7), 7);
    }),
    // Each is found, one after the other.
    ("two_threads", || {
        let other = thread::spawn(|| rt::run(select_nothing));
        while !other.is_finished() {
            assert!(catch_unwind(|| rt::run(select_nothing)).is_err());
        }
        assert!(other.join().is_err());
    }),
];

fn main() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_default();
    match STUCK.iter().chain(ENDS).find(|(known, _)| *known == name) {
        Some((_, program)) => program(),
        None => {
            eprintln!("no program {name:?}");
            return ExitCode::FAILURE;
        }
    }
    println!("done");
    ExitCode::SUCCESS
}
