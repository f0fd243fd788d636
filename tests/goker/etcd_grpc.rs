//! etcd and gRPC.

use super::support::{Context, Signal, go};
use super::{Case, Expect};
use gochan::{Chan, after, select};
use std::time::Duration;

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "Etcd6857",
        buggy: || etcd_6857(false),
        fixed: || etcd_6857(true),
        expect: Expect::Stuck(&["status"]),
    },
    Case {
        name: "Grpc1275",
        buggy: || grpc_1275(false),
        fixed: || grpc_1275(true),
        expect: Expect::Stuck(&["reader"]),
    },
    Case { name: "Grpc660", buggy: || grpc_660(0), fixed: || grpc_660(1), expect: Expect::Stuck(&["call"]) },
    Case { name: "Grpc862", buggy: || grpc_862(false), fixed: || grpc_862(true), expect: Expect::Stuck(&["reset"]) },
];

/// Who asks for the status of a node that has stopped waits for it. Fixed, he looks at whether it has.
fn etcd_6857(looks: bool) {
    let status = Chan::<Chan<u8>>::new(0);
    let (stop, done) = (Signal::new(0), Signal::new(0));
    let node = (status.clone(), stop.clone(), done.clone());
    go("node", move || {
        let (status, stop, done) = node;
        loop {
            select! {
                recv(status) -> asked => if let Some(answer) = asked {
                    answer.send(0);
                },
                recv(stop) -> _ => return done.close(),
            }
        }
    });
    go("stop", move || {
        select! {
            send(stop, ()) -> _ => {}
            recv(done) -> _ => return,
        }
        done.recv();
        // Only now somebody asks.
        go("status", move || {
            let answer = Chan::new(0);
            if looks {
                select! {
                    send(status, answer.clone()) -> _ => answer.recv(),
                    recv(done) -> _ => None,
                }
            } else {
                status.send(answer.clone());
                answer.recv()
            }
        });
    });
}

/// A stream is closed, and who reads it is not told.
fn grpc_1275(tell: bool) {
    go("test", move || {
        let (received, done) = (Chan::<u8>::new(0), Signal::new(0));
        let (reads, ends) = (received.clone(), done.clone());
        go("reader", move || {
            reads.recv();
            ends.close();
        });
        if tell {
            received.close();
        }
        let timeout = after(Duration::from_millis(1));
        select! {
            recv(done) -> _ => {}
            recv(timeout) -> _ => {}
        }
    });
}

/// A client is stopped while a call is under way, whose result nobody takes.
fn grpc_660(cap: usize) {
    let stop = Signal::new(0);
    let stops = stop.clone();
    go("client", move || {
        let result = Chan::new(cap);
        let (done, stopped) = (result.clone(), Signal::new(0));
        let told = stopped.clone();
        go("call", move || {
            told.recv();
            done.send(true);
        });
        select! {
            recv(stop) -> _ => stopped.close(),
            recv(result) -> _ => {}
        }
    });
    go("helper", move || stops.send(()));
}

/// Dialling is cancelled, but not who connects meanwhile: his context is the connection's, which nobody got.
fn grpc_862(close: bool) {
    let dialling = Context::new();
    dialling.cancel();
    go("dial", move || {
        let connection = Context::new();
        let context = connection.clone();
        go("reset", move || context.done.recv());
        dialling.done.recv();
        if close {
            connection.cancel();
        }
    });
}
