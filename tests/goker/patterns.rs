//! What leaks in industry: the patterns of "Unveiling and Vanquishing Goroutine Leaks in Enterprise Microservices"
//! (doi:10.1109/CGO57630.2024.10444835).

use super::support::{Context, Signal, go};
use super::{Case, Expect};
use gochan::{Chan, select};

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "NoCloseRange",
        buggy: || no_close_range(false),
        fixed: || no_close_range(true),
        expect: Expect::Stuck(&["worker", "worker", "worker", "sender"]),
    },
    Case {
        name: "MethodContractViolation",
        buggy: || method_contract(false),
        fixed: || method_contract(true),
        expect: Expect::Stuck(&["worker"]),
    },
    Case {
        name: "DoubleSend",
        buggy: || double_send(false),
        fixed: || double_send(true),
        expect: Expect::Stuck(&["error"]),
    },
    Case {
        name: "EarlyReturn",
        buggy: || early_return(0),
        fixed: || early_return(1),
        expect: Expect::Stuck(&["child"]),
    },
    Case { name: "NCastLeak", buggy: || n_cast(0), fixed: || n_cast(5), expect: Expect::Stuck(&["caster"; 4]) },
    Case { name: "Timeout", buggy: || timeout(0), fixed: || timeout(1), expect: Expect::Stuck(&["late"; 10]) },
];

/// Who ranges over a channel waits for its close. And who sends to nobody waits, too.
fn no_close_range(close: bool) {
    for workers in [0, 3] {
        go("sender", move || {
            let items = Chan::new(0);
            for _ in 0..workers {
                let items = items.clone();
                go("worker", move || for _item in items.iter() {});
            }
            if workers > 0 || !close {
                (0..3).for_each(|item| items.send(item));
            }
            if close {
                items.close();
            }
        });
    }
}

/// What is started must be stopped.
fn method_contract(stop: bool) {
    struct Worker {
        items: Chan<u8>,
        done: Signal,
    }
    impl Worker {
        fn start() -> Self {
            let (items, done) = (Chan::new(0), Signal::new(0));
            let worker = Self { items: items.clone(), done: done.clone() };
            go("worker", move || {
                loop {
                    select! {
                        recv(items) -> _ => {}
                        recv(done) -> _ => return,
                    }
                }
            });
            worker
        }
    }
    go("user", move || {
        let worker = Worker::start();
        (0..10).for_each(|item| worker.items.send(item));
        if stop {
            worker.done.close();
        }
    });
}

/// A `return` is missing behind the first send.
fn double_send(returns: bool) {
    go("user", move || {
        let results = Chan::new(0);
        for is_error in [false, true] {
            let sent = results.clone();
            go(if is_error { "error" } else { "fine" }, move || {
                if is_error {
                    sent.send(Err(()));
                    if returns {
                        return;
                    }
                }
                sent.send(Ok(()));
            });
            results.recv();
        }
    });
}

/// The parent gives up before it receives; with a buffer of one nobody minds.
fn early_return(cap: usize) {
    go("parent", move || {
        let result = Chan::new(cap);
        go("child", move || result.send(()));
    });
}

/// The first result is taken, the others are not.
fn n_cast(cap: usize) {
    go("parent", move || {
        let results = Chan::new(cap);
        for _ in 0..5 {
            let results = results.clone();
            go("caster", move || results.send(()));
        }
        results.recv();
    });
}

/// Who asked has gone when the result comes.
fn timeout(cap: usize) {
    let context = Context::new();
    context.cancel();
    for _ in 0..10 {
        let (context, cancelled) = (context.clone(), Signal::new(0));
        go("asker", move || {
            let result = Chan::new(cap);
            let (late, told) = (result.clone(), cancelled.clone());
            go("late", move || {
                told.recv();
                late.send(());
            });
            select! {
                recv(result) -> _ => {}
                recv(context.done) -> _ => cancelled.close(),
            }
        });
    }
}
