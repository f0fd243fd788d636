//! An idle runtime costs nothing to speak of. Alone in its process, whose time is what is measured.
#![cfg(unix)]

#[path = "common/cpu.rs"]
mod cpu;

use cpu::cpu_time;
use gochan::rt::Runtime;
use gochan::{bounded, go};
use std::thread;
use std::time::Duration;

#[test]
fn an_idle_runtime_sleeps() {
    let runtime = Runtime::builder().workers(4).build().unwrap();
    // All has been used: the workers, stealing, the monitor; and some wait.
    let (tx, rx) = bounded::<()>(0);
    runtime.run(move || {
        for _ in 0..1000 {
            let rx = rx.clone();
            go(move || rx.recv());
        }
        (0..1000).map(|_| go(|| ())).for_each(|one| one.join().unwrap());
    });
    // Every worker's thread has begun.
    thread::sleep(Duration::from_millis(100));
    let before = cpu_time();
    thread::sleep(Duration::from_secs(5));
    let used = cpu_time() - before;
    println!("{used:?} of CPU in 5 s, with 1000 goroutines parked");
    assert!(used < Duration::from_millis(5), "{used:?}");
    drop(tx);
}
