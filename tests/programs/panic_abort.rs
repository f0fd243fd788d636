//! Built with `panic = "abort"` by `tests/panic_abort.rs`: nothing can unwind here, so who is cancelled is left where he is.

use gochan::rt::{self, Runtime};
use gochan::{bounded, go};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn main() {
    assert!(cfg!(panic = "abort"));
    let runtime = Runtime::builder().workers(1).build().unwrap();

    // It waits, and is left: what it holds stays.
    let held = Arc::new(());
    let (tx, rx) = bounded::<()>(0);
    let waits = runtime.go({
        let held = held.clone();
        move || {
            let _held = held;
            let _ = rx.recv();
        }
    });
    runtime.go(rt::yield_now).join().unwrap();
    waits.cancel();
    assert!(waits.join().unwrap_err().is_cancelled());
    assert_eq!(Arc::strong_count(&held), 2);
    // It does not receive any more, and its receiver lives on.
    assert!(tx.try_send(()).unwrap_err().is_full());

    // One that has not run yet never will, and that needs no unwinding.
    let never_runs = runtime.run({
        let held = held.clone();
        move || {
            let never_runs = go(move || drop(held));
            never_runs.cancel();
            never_runs.join().unwrap_err().is_cancelled()
        }
    });
    assert!(never_runs);
    assert_eq!(Arc::strong_count(&held), 2);

    // Tasks are dropped as ever.
    let task = runtime.spawn({
        let held = held.clone();
        async move {
            let _held = held;
            std::future::pending::<()>().await;
        }
    });
    task.cancel();
    assert!(task.join().unwrap_err().is_cancelled());
    assert_eq!(Arc::strong_count(&held), 2);

    // The others go on, and who is done ends.
    assert_eq!(runtime.go(|| 7).join().unwrap(), 7);
    assert!(!runtime.shutdown_timeout(Duration::from_millis(50)), "one is left");

    // `run` returns what its function returns, whoever is left.
    let start = Instant::now();
    let value = rt::run(|| {
        let (tx, rx) = bounded::<()>(0);
        go(move || rx.recv());
        rt::scope(|scope| {
            scope.go(rt::yield_now);
        });
        drop(go(move || tx.send(())));
        rt::sleep(Duration::from_millis(1));
        let (_tx, rx) = bounded::<()>(0);
        go(move || rx.recv());
        8
    });
    assert_eq!(value, 8);
    assert!(start.elapsed() < Duration::from_secs(20));
    println!("done");
}
