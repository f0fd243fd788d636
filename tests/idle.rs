//! An idle runtime costs nothing to speak of. Alone in its process, whose time is what is measured.
#![cfg(unix)]

use gochan::rt::Runtime;
use gochan::{bounded, go};
use std::mem::MaybeUninit;
use std::thread;
use std::time::Duration;

/// What this process has used of the processors.
fn cpu_time() -> Duration {
    let mut usage = MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: room for what is asked for.
    let usage = unsafe {
        assert_eq!(libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()), 0);
        usage.assume_init()
    };
    let time = |t: libc::timeval| Duration::from_secs(t.tv_sec as u64) + Duration::from_micros(t.tv_usec as u64);
    time(usage.ru_utime) + time(usage.ru_stime)
}

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
