//! The smallest leaks: one wait that nobody ends.

use super::support::{Mutex, WaitGroup, go};
use super::{Case, Expect};
use gochan::{Chan, select};
use std::sync::LazyLock;

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "NilRecv",
        buggy: nil_recv,
        fixed: || go("G", || Chan::<u8>::new(0).try_recv()),
        expect: Expect::Stuck(&["G"]),
    },
    Case {
        name: "NilSend",
        buggy: nil_send,
        fixed: || go("G", || Chan::nil().try_send(0)),
        expect: Expect::Stuck(&["G"]),
    },
    Case { name: "SelectNoCases", buggy: select_no_cases, fixed: || {}, expect: Expect::Stuck(&["G"]) },
    Case { name: "ChanRecv", buggy: chan_recv, fixed: chan_recv_fixed, expect: Expect::Stuck(&["G"]) },
    Case { name: "ChanSend", buggy: chan_send, fixed: chan_send_fixed, expect: Expect::Stuck(&["G"]) },
    Case { name: "Select", buggy: select, fixed: select_fixed, expect: Expect::Stuck(&["G"]) },
    Case { name: "WaitGroup", buggy: || wait_group(1), fixed: || wait_group(0), expect: Expect::Stuck(&["G"]) },
    Case { name: "MutexStack", buggy: || mutex_stack(2), fixed: || mutex_stack(1), expect: Expect::Stuck(&["G"; 10]) },
    Case { name: "MutexHeap", buggy: || mutex_heap(2), fixed: || mutex_heap(1), expect: Expect::Stuck(&["G"; 10]) },
    Case { name: "Mixed", buggy: || mixed(true), fixed: || mixed(false), expect: Expect::Stuck(&["G1", "G2"]) },
    Case { name: "NoLeakGlobal", buggy: no_leak_global, fixed: || {}, expect: Expect::Waits(&["G"]) },
];

fn nil_recv() {
    go("G", || Chan::<u8>::nil().recv());
}

fn nil_send() {
    go("G", || Chan::nil().send(0));
}

fn select_no_cases() {
    // The one that there is: `select!` without cases does not compile, and `Select` panics.
    go("G", || {
        let none = gochan::never::<u8>();
        select! {
            recv(none) -> _ => {}
        }
    });
}

fn chan_recv() {
    go("G", || Chan::<u8>::new(0).recv());
}

fn chan_recv_fixed() {
    go("G", || {
        let ch = Chan::new(1);
        ch.send(1);
        ch.recv()
    });
}

fn chan_send() {
    go("G", || Chan::new(0).send(0));
}

fn chan_send_fixed() {
    go("G", || Chan::new(1).send(0));
}

fn select() {
    go("G", || {
        let (send, recv) = (Chan::new(0), Chan::<u8>::new(0));
        select! {
            send(send, 0) -> _ => {}
            recv(recv) -> _ => {}
        }
    });
}

fn select_fixed() {
    go("G", || {
        let (send, recv) = (Chan::new(1), Chan::<u8>::new(0));
        select! {
            send(send, 0) -> _ => {}
            recv(recv) -> _ => {}
        }
    });
}

fn wait_group(more: usize) {
    go("G", move || {
        let group = WaitGroup::new(1 + more);
        group.done();
        group.wait();
    });
}

fn mutex_stack(times: usize) {
    for _ in 0..10 {
        go("G", move || {
            let mutex = Mutex::new();
            (0..times).for_each(|_| mutex.lock());
            mutex.unlock();
        });
    }
}

/// Locked by a child of the goroutine that has made it.
fn mutex_heap(times: usize) {
    for _ in 0..10 {
        go("parent", move || {
            let mutex = Box::new(Mutex::new());
            go("G", move || {
                (0..times).for_each(|_| mutex.lock());
                mutex.unlock();
            });
        });
    }
}

/// Each waits for what the other does next.
fn mixed(in_the_wrong_order: bool) {
    go("G1", move || {
        let (ch, group) = (Chan::new(0), WaitGroup::new(1));
        let (results, child) = (ch.clone(), group.clone());
        go("G2", move || {
            results.send(0);
            child.done();
        });
        if in_the_wrong_order {
            group.wait();
            ch.recv();
        } else {
            ch.recv();
            group.wait();
        }
    });
}

/// No leak: whoever likes can send on a static's channel.
fn no_leak_global() {
    static GLOBAL: LazyLock<Chan<u8>> = LazyLock::new(|| Chan::new(0));
    go("G", || GLOBAL.recv());
}
