//! Kubernetes, Moby, Syncthing.

use super::support::{Context, Signal, WaitGroup, go};
use super::{Case, Expect};
use gochan::{Chan, after, rt, select, tick};
use std::time::Duration;

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "Kubernetes25331",
        buggy: || kubernetes_25331(false),
        fixed: || kubernetes_25331(true),
        expect: Expect::Stuck(&["watch"]),
    },
    Case {
        name: "Kubernetes5316",
        buggy: || kubernetes_5316(0),
        fixed: || kubernetes_5316(1),
        expect: Expect::Stuck(&["request"]),
    },
    Case {
        name: "Kubernetes70277",
        buggy: || kubernetes_70277(false),
        fixed: || kubernetes_70277(true),
        expect: Expect::Stuck(&["test"]),
    },
    Case {
        name: "Moby25348",
        buggy: || moby_25348(false),
        fixed: || moby_25348(true),
        expect: Expect::Stuck(&["init"]),
    },
    Case { name: "Moby33781", buggy: || moby_33781(0), fixed: || moby_33781(1), expect: Expect::Stuck(&["probe"]) },
    Case {
        name: "Syncthing5795",
        buggy: || syncthing_5795(false),
        fixed: || syncthing_5795(true),
        expect: Expect::Stuck(&["dispatcher", "test"]),
    },
];

/// A watch cancels its context before it delivers the error, so nobody takes that. Fixed, whoever delivers looks at the
/// context.
fn kubernetes_25331(looks: bool) {
    let context = Context::new();
    let (results, errors) = (Chan::new(0), Chan::new(0));
    let watch = (context.clone(), errors.clone());
    go("watch", move || {
        let (context, errors) = watch;
        select! {
            recv(errors) -> error => {
                context.cancel();
                if looks {
                    select! {
                        send(results, error.is_some()) -> _ => {}
                        recv(context.done) -> _ => {}
                    }
                } else {
                    results.send(error.is_some());
                }
            }
            recv(context.done) -> _ => {}
        }
    });
    go("stop", move || {
        errors.send("stopped");
        context.cancel();
    });
}

/// A request that takes longer than who waits for it.
fn kubernetes_5316(cap: usize) {
    go("finish", move || {
        let (fine, error) = (Chan::new(cap), Chan::new(cap));
        let (results, errors, over) = (fine.clone(), error.clone(), Signal::new(0));
        let goes_on = over.clone();
        go("request", move || {
            goes_on.recv();
            let failed = results.is_empty();
            if failed { errors.send("failed") } else { results.send(true) }
        });
        let timeout = after(Duration::from_micros(1));
        select! {
            recv(fine) -> _ => {}
            recv(error) -> _ => {}
            recv(timeout) -> _ => over.close(),
        }
    });
}

/// A condition is met, and so nobody takes what is polled; who is to be told of the end waits for a close that comes when he
/// returns.
fn kubernetes_70277(close: bool) {
    fn poller(done: Signal) -> Signal {
        let polled = Signal::new(0);
        let ticks = polled.clone();
        go("poller", move || {
            let (every, timeout) = (tick(Duration::from_millis(1)), after(Duration::from_millis(20)));
            loop {
                select! {
                    recv(every) -> _ => _ = ticks.try_send(()),
                    recv(timeout) -> _ => return ticks.close(),
                    recv(done) -> _ => return ticks.close(),
                }
            }
        });
        polled
    }
    go("test", move || {
        let stop = Signal::new(0);
        poller(stop.clone()).recv();
        if close {
            stop.close();
        }
        stop.recv();
    });
}

/// Waits for all of a group within the loop that starts them.
fn moby_25348(waits_behind: bool) {
    go("init", move || {
        let group = WaitGroup::new(2);
        for _ in 0..2 {
            let plugin = group.clone();
            go("plugin", move || plugin.done());
            if !waits_behind {
                group.wait();
            }
        }
        group.wait();
    });
}

/// A monitor is stopped while a probe is under way, whose result nobody takes.
fn moby_33781(cap: usize) {
    let stop = Signal::new(0);
    let stops = stop.clone();
    go("monitor", move || {
        rt::sleep(Duration::from_millis(1));
        let results = Chan::new(cap);
        let (result, stopped) = (results.clone(), Signal::new(0));
        let told = stopped.clone();
        go("probe", move || {
            told.recv();
            result.send(true);
            result.close();
        });
        select! {
            recv(stop) -> _ => stopped.close(),
            recv(results) -> _ => {}
        }
    });
    go("stop", move || stops.send(()));
}

/// The dispatcher calls what closes the connection, which waits for the dispatcher to stop.
fn syncthing_5795(closes_beside: bool) {
    go("test", move || {
        let (inbox, closed, stopped) = (Chan::new(0), Signal::new(0), Signal::new(0));
        let connection = (inbox.clone(), closed, stopped.clone());
        go("dispatcher", move || {
            let (inbox, closed, stopped) = connection;
            loop {
                select! {
                    recv(inbox) -> _ => {
                        closed.close();
                        if closes_beside {
                            let stopped = stopped.clone();
                            go("close", move || stopped.recv());
                        } else {
                            stopped.recv();
                        }
                    }
                    recv(closed) -> _ => return stopped.close(),
                }
            }
        });
        inbox.send(());
        stopped.recv();
    });
}
