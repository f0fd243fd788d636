//! Programs that `tests/stuck_worker.rs` runs, each in a process of its own: `stuck_worker NAME`.

use gochan::rt::{self, Goroutine, Runtime};
use gochan::{bounded, go};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// After so long a worker is reported, and so long one is kept.
const AFTER: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_millis(500);

fn runtime(workers: usize) -> Runtime {
    Runtime::builder().workers(workers).report_stuck(AFTER).build().unwrap()
}

const PROGRAMS: &[(&str, fn())] = &[
    ("once", || runtime(1).run(|| thread::sleep(LONG))),
    ("twice", || {
        runtime(2).run(|| {
            for _ in 0..2 {
                thread::sleep(LONG);
                rt::yield_now();
            }
        });
    }),
    ("after_a_rest", || {
        runtime(1).run(|| {
            // The monitor sleeps after a second.
            rt::sleep(Duration::from_millis(1500));
            thread::sleep(LONG);
        });
    }),
    ("a_task", || runtime(2).spawn(async { thread::sleep(LONG) }).join().unwrap()),
    // It keeps all kinds of others waiting.
    ("keeps", || {
        // Late enough for the sender to have sent.
        let runtime = Runtime::builder().workers(1).report_stuck(2 * LONG).build().unwrap();
        runtime.run(|| {
            let (tx, rx) = bounded(0);
            let (waits, began) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
            let waiter = go({
                let waits = waits.clone();
                move || {
                    waits.store(true, Ordering::SeqCst);
                    rx.recv()
                }
            });
            while !waits.load(Ordering::SeqCst) {
                rt::yield_now();
            }
            let sender = thread::spawn({
                let began = began.clone();
                move || {
                    while !began.load(Ordering::SeqCst) {
                        thread::yield_now();
                    }
                    tx.send(()).unwrap();
                }
            });
            let hog = Goroutine::new().name("hog").spawn(move || {
                (0..3).for_each(|_| drop(go(|| ())));
                began.store(true, Ordering::SeqCst);
                thread::sleep(3 * LONG);
            });
            hog.join().unwrap();
            waiter.join().unwrap().unwrap();
            sender.join().unwrap();
        });
    }),
    // Who lets others run is not stuck, nor who waits.
    ("not", || {
        let runtime = Runtime::builder().workers(1).report_stuck(Duration::from_millis(1500)).build().unwrap();
        runtime.run(|| {
            let start = Instant::now();
            while start.elapsed() < Duration::from_secs(2) {
                rt::yield_now();
            }
            rt::sleep(Duration::from_secs(2));
        });
    }),
    ("unasked", || Runtime::builder().workers(1).build().unwrap().run(|| thread::sleep(LONG))),
];

fn main() {
    let name = std::env::args().nth(1).unwrap_or_default();
    let (_, program) =
        PROGRAMS.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("no program {name:?}"));
    program();
    println!("done");
}
