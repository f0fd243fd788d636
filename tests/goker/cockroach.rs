//! CockroachDB.

use super::support::{Context, Signal, WaitGroup, go};
use super::{Case, Expect};
use gochan::{Chan, rt, select};
use std::time::Duration;

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "Cockroach10790",
        buggy: || cockroach_10790(false),
        fixed: || cockroach_10790(true),
        expect: Expect::Stuck(&["drain", "drain"]),
    },
    Case {
        name: "Cockroach13197",
        buggy: || cockroach_13197(false),
        fixed: || cockroach_13197(true),
        expect: Expect::Stuck(&["await done"]),
    },
    Case {
        name: "Cockroach13755",
        buggy: || cockroach_13755(false),
        fixed: || cockroach_13755(true),
        expect: Expect::Stuck(&["await done"]),
    },
    Case {
        name: "Cockroach18101",
        buggy: || cockroach_18101(false),
        fixed: || cockroach_18101(true),
        expect: Expect::Stuck(&["split and scatter"]),
    },
    Case {
        name: "Cockroach2448",
        buggy: || cockroach_2448(0),
        fixed: || cockroach_2448(1),
        expect: Expect::Stuck(&["process raft", "state"]),
    },
    Case {
        name: "Cockroach24808",
        buggy: || cockroach_24808(false),
        fixed: || cockroach_24808(true),
        expect: Expect::Stuck(&["compactor"]),
    },
    Case {
        name: "Cockroach25456",
        buggy: || cockroach_25456(false),
        fixed: || cockroach_25456(true),
        expect: Expect::Stuck(&["queue"]),
    },
    Case {
        name: "Cockroach35073",
        buggy: || cockroach_35073(false),
        fixed: || cockroach_35073(true),
        expect: Expect::Stuck(&["test", "pusher"]),
    },
];

/// Whenever it is cancelled, a command starts somebody who waits for all channels, though nobody sends any more. Fixed, he
/// waits for nothing.
fn cockroach_10790(drains_what_is_there: bool) {
    let chans = [Chan::<bool>::new(0), Chan::new(0)];
    let context = Context::new();
    context.cancel();
    go("begin", move || {
        for ch in &chans {
            select! {
                recv(ch) -> _ => {}
                recv(context.done) -> _ => {
                    let chans = chans.clone();
                    go("drain", move || for ch in chans {
                        if drains_what_is_there {
                            let _ = ch.try_recv();
                        } else {
                            ch.recv();
                        }
                    });
                }
            }
        }
    });
}

/// A transaction starts somebody who waits for its end, and is neither committed nor rolled back.
fn cockroach_13197(roll_back: bool) {
    go("begin", move || {
        let transaction = Context::new();
        let done = transaction.done.clone();
        go("await done", move || done.recv());
        if roll_back {
            transaction.cancel();
        }
    });
}

/// Rows that are not closed. Who waits for their context could himself cancel it, afterwards.
fn cockroach_13755(close: bool) {
    go("query", move || {
        let rows = Context::new();
        let closes = rows.clone();
        go("await done", move || {
            closes.done.recv();
            closes.cancel();
        });
        if close {
            rows.cancel();
        }
    });
}

/// Who imports gives up when he is cancelled, and who splits has more than the buffer holds. Fixed, he looks at the context,
/// too.
fn cockroach_18101(sender_looks: bool) {
    const CAP: usize = 6;
    let context = Context::new();
    context.cancel();
    go("restore", move || {
        let ready = Chan::new(CAP);
        let (spans, cancelled) = (ready.clone(), context.clone());
        go("split and scatter", move || {
            for span in 0..CAP + 2 {
                if sender_looks {
                    select! {
                        send(spans, span) -> _ => {}
                        recv(cancelled.done) -> _ => break,
                    }
                } else {
                    spans.send(span);
                }
            }
            spans.close();
        });
        if ready.recv().is_some() {
            context.done.recv();
        }
    });
}

/// Two loops: the one sends events and takes callbacks, the other takes events and sends a callback for each. When both send
/// nobody receives. Fixed, the callback finds room.
fn cockroach_2448(cap: usize) {
    let stopper = Signal::new(0);
    let (events, callbacks) = (Chan::new(0), Chan::new(cap));
    // That both send: each says so before.
    let (processing, sending) = (Signal::new(1), Signal::new(1));
    let store = (stopper.clone(), events.clone(), callbacks.clone(), processing.clone(), sending.clone());
    go("process raft", move || {
        let (stopper, events, callbacks, processing, sending) = store;
        for event in 0.. {
            select! {
                recv(events) -> _ => {
                    if event == 0 {
                        processing.send(());
                        sending.recv();
                    }
                    select! {
                        send(callbacks, ()) -> _ => {}
                        recv(stopper) -> _ => return,
                    }
                }
                recv(stopper) -> _ => return,
            }
        }
    });
    go("state", move || {
        events.send(());
        processing.recv();
        sending.send(());
        select! {
            send(events, ()) -> _ => stopper.close(),
            recv(stopper) -> _ => {}
        }
    });
}

/// A compactor is woken once while it is made and once while it is started, and has room for one.
fn cockroach_24808(lossy: bool) {
    go("compactor", move || {
        let stopper = Context::new();
        let wake = Chan::new(1);
        wake.send(());
        if lossy {
            let _ = wake.try_send(());
        } else {
            wake.send(());
        }
        let (group, stop) = (WaitGroup::new(1), stopper.clone());
        go("worker", move || {
            loop {
                select! {
                    recv(stop.done) -> _ => break,
                    recv(wake) -> _ => {}
                }
            }
            group.done();
        });
        stopper.cancel();
    });
}

/// A queue waits for a stopper that is its own test's, which stops it afterwards.
fn cockroach_25456(stop: bool) {
    go("queue", move || {
        let stopper = Context::new();
        if stop {
            stopper.cancel();
        }
        for _ in 0..2 {
            stopper.done.recv();
        }
    });
}

/// The outbox ends without saying that it consumes nothing any more, and who pushes finds its buffer full.
fn cockroach_35073(drain: bool) {
    const CAP: usize = 16;
    go("test", move || {
        let rows = Chan::new(CAP);
        (0..CAP).for_each(|row| rows.send(row));
        let pushed = rows.clone();
        go("pusher", move || pushed.send(0));
        let (group, consumer) = (WaitGroup::new(1), rows.clone());
        let ended = group.clone();
        go("outbox", move || {
            if drain {
                // Closed for whoever consumes: what there is goes, and what comes.
                while ended_sending(&consumer) {}
            }
            ended.done();
        });
        group.wait();
        if !drain {
            rows.send(0);
        }
    });
}

/// Takes what there is; false when for a while nothing comes.
fn ended_sending(rows: &Chan<usize>) -> bool {
    match rows.try_recv() {
        Ok(_) => true,
        Err(_) => {
            rt::sleep(Duration::from_millis(1));
            rows.try_recv().is_ok()
        }
    }
}
