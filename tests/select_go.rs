//! What select does, as Go defines it, one rule after the other: what blocks, what happens, what panics, who is chosen. What
//! it does in the queues is in `select_queues.rs`, the programs are in `select_go_programs.rs`.

mod common;

use common::{A_MOMENT, Census, Counted, panic_text, wait_for_waiting, wait_until, waiting, watchdog};
use gochan::debug::{Reason, Waiting};
use gochan::{Chan, Receiver, RecvError, Select, SendError, Sender, bounded, never, select, select_biased};
use std::cell::{Cell, RefCell};
use std::panic::AssertUnwindSafe;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// How an operation ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Sent,
    Got(u32),
    Closed,
    /// There is nothing that it could do.
    Blocks,
}

#[derive(Debug)]
struct Value(u32);

fn end_of_send(result: Result<(), SendError<Value>>) -> End {
    result.map_or(End::Closed, |()| End::Sent)
}

fn end_of_recv(result: Result<Value, RecvError>) -> End {
    result.map_or(End::Closed, |value| End::Got(value.0))
}

/// How long a select may wait.
#[derive(Clone, Copy, Debug)]
enum Patience {
    None,
    Some,
    Endless,
}

macro_rules! select_patiently {
    ($patience:expr, { $($cases:tt)* }) => {
        match $patience {
            Patience::None => select! { $($cases)* default => End::Blocks },
            Patience::Some => select! { $($cases)* default(Duration::from_millis(1)) => End::Blocks },
            Patience::Endless => select! { $($cases)* },
        }
    };
}

type Handles = (Sender<Value>, Receiver<Value>);
type Form = fn(&Handles, Patience) -> End;

/// A send, as a select of its own, among others that can never happen, twice, and in a list.
const SENDS: [Form; 4] = [
    |(tx, _), patience| select_patiently!(patience, { send(tx, Value(7)) -> sent => end_of_send(sent), }),
    |(tx, _), patience| {
        let (nil_tx, nil_rx) = (Sender::never(), never::<u8>());
        select_patiently!(patience, {
            recv(nil_rx) -> _ => unreachable!(),
            send(tx, Value(7)) -> sent => end_of_send(sent),
            send(nil_tx, Value(8)) -> _ => unreachable!(),
        })
    },
    |(tx, _), patience| {
        select_patiently!(patience, {
            send(tx, Value(7)) -> sent => end_of_send(sent),
            send(tx, Value(7)) -> sent => end_of_send(sent),
        })
    },
    |(tx, _), patience| {
        let nil = never::<u8>();
        let mut select = Select::new();
        select.recv(&nil);
        select.send(tx);
        let operation = match patience {
            Patience::None => select.try_select().ok(),
            Patience::Some => select.select_timeout(Duration::from_millis(1)).ok(),
            Patience::Endless => Some(select.select()),
        };
        operation.map_or(End::Blocks, |operation| end_of_send(operation.send(tx, Value(7))))
    },
];

/// A receive, likewise.
const RECVS: [Form; 4] = [
    |(_, rx), patience| select_patiently!(patience, { recv(rx) -> got => end_of_recv(got), }),
    |(_, rx), patience| {
        let (nil_tx, nil_rx) = (Sender::never(), never::<u8>());
        select_patiently!(patience, {
            recv(nil_rx) -> _ => unreachable!(),
            recv(rx) -> got => end_of_recv(got),
            send(nil_tx, Value(8)) -> _ => unreachable!(),
        })
    },
    |(_, rx), patience| {
        select_patiently!(patience, {
            recv(rx) -> got => end_of_recv(got),
            recv(rx) -> got => end_of_recv(got),
        })
    },
    |(_, rx), patience| {
        let nil = Sender::<u8>::never();
        let mut select = Select::new();
        select.send(&nil);
        select.recv(rx);
        let operation = match patience {
            Patience::None => select.try_select().ok(),
            Patience::Some => select.select_timeout(Duration::from_millis(1)).ok(),
            Patience::Endless => Some(select.select()),
        };
        operation.map_or(End::Blocks, |operation| end_of_recv(operation.recv(rx)))
    },
];

fn nil() -> Handles {
    (Sender::never(), never())
}

/// A channel of capacity `cap` that holds `values`.
fn holding(cap: usize, values: u32, closed: bool) -> Handles {
    let (tx, rx) = bounded(cap);
    (0..values).for_each(|i| tx.send(Value(i)).unwrap());
    if closed {
        tx.close();
    }
    (tx, rx)
}

/// Every form of a send and of a receive on every kind of channel: which waits, which does not, and what it does.
#[test]
fn what_blocks() {
    use End::{Blocks, Closed, Got, Sent};
    type Make = fn() -> Handles;
    const KINDS: [(&str, Make, End, End); 9] = [
        ("nil", nil, Blocks, Blocks),
        ("unbuffered", || holding(0, 0, false), Blocks, Blocks),
        ("empty", || holding(2, 0, false), Sent, Blocks),
        ("neither empty nor full", || holding(2, 1, false), Sent, Got(0)),
        ("full", || holding(2, 2, false), Blocks, Got(0)),
        ("closed, unbuffered", || holding(0, 0, true), Closed, Closed),
        ("closed, empty", || holding(2, 0, true), Closed, Closed),
        ("closed, neither empty nor full", || holding(2, 1, true), Closed, Got(0)),
        ("closed, full", || holding(2, 2, true), Closed, Got(0)),
    ];
    watchdog(|| {
        for (kind, make, send, recv) in KINDS {
            for (form, (send_form, recv_form)) in SENDS.into_iter().zip(RECVS).enumerate() {
                for (run, end) in [(send_form, send), (recv_form, recv)] {
                    let told = format!("{kind}, form {form}, {end:?} expected");
                    for patience in [Patience::None, Patience::Some] {
                        assert_eq!(run(&make(), patience), end, "{told}, {patience:?}");
                    }
                    let handles = make();
                    if end != Blocks {
                        assert_eq!(run(&handles, Patience::Endless), end, "{told}");
                    } else if kind != "nil" {
                        // It waits, until the channel is closed.
                        thread::scope(|scope| {
                            let thread = scope.spawn(|| run(&handles, Patience::Endless));
                            wait_until(|| waiting::<Value>().iter().any(|waiting| waiting.asleep_for.is_some()));
                            assert!(!thread.is_finished(), "{told}");
                            handles.0.close();
                            assert_eq!(thread.join().unwrap(), Closed, "{told}");
                        });
                    }
                }
            }
        }
    });
}

/// A select of nil channels only, and one of nothing, wait for ever.
#[test]
fn what_blocks_for_ever() {
    // A wait that would end, ends within the moment that these get. The threads stay behind, asleep.
    let (ended, end) = mpsc::channel();
    let forms = SENDS.into_iter().chain(RECVS).map(|form| {
        Box::new(move || {
            form(&nil(), Patience::Endless);
        }) as Box<dyn FnOnce() + Send>
    });
    let nothing: Box<dyn FnOnce() + Send> = Box::new(|| {
        let _ = Select::new().select_timeout(Duration::MAX);
    });
    let chan = || {
        select! {
            recv(Chan::<u8>::nil()) -> _ => {}
            send(Chan::nil(), 1) -> () => {}
        }
    };
    for wait in forms.chain([nothing, Box::new(chan)]) {
        let ended = ended.clone();
        thread::spawn(move || {
            wait();
            let _ = ended.send(());
        });
    }
    assert_eq!(end.recv_timeout(A_MOMENT), Err(mpsc::RecvTimeoutError::Timeout));
}

/// Nothing to select from: a timeout ends that; a list without operations does not wait without one.
#[test]
fn a_select_of_nothing() {
    let start = Instant::now();
    assert!(Select::new().select_timeout(A_MOMENT).is_err() && start.elapsed() >= A_MOMENT);
    assert!(Select::new().try_select().is_err());
    assert_eq!(panic_text(|| _ = Select::new().select()), "no operations have been added to `Select`");
    assert_eq!(Reason::SelectNoCases.to_string(), "select (no cases)");
}

/// A select of nothing but a default takes it.
#[test]
fn only_default() {
    let start = Instant::now();
    assert_eq!(select! { default => 1 }, 1);
    assert_eq!(select_biased! { default() => 2 }, 2);
    assert_eq!(select! { default(A_MOMENT) => 3 }, 3);
    assert!(start.elapsed() >= A_MOMENT);
}

/// With Go's channel a send on a closed one panics, in every form, and so does one that waits when it is closed.
#[test]
fn sends_on_closed_channels_panic() {
    watchdog(|| {
        struct Here;
        const FORMS: [fn(&Chan<Here>); 4] = [
            |chan| {
                select! { send(chan, Here) -> () => {} }
            },
            |chan| {
                select! {
                    recv(Chan::<u8>::nil()) -> _ => unreachable!(),
                    send(chan, Here) -> () => {}
                }
            },
            |chan| {
                select! {
                    send(chan, Here) -> () => {}
                    default => unreachable!(),
                }
            },
            |chan| {
                select_biased! {
                    send(chan, Here) -> () => {}
                    default(common::PATIENCE) => unreachable!(),
                }
            },
        ];
        for (i, form) in FORMS.into_iter().enumerate() {
            for cap in [0, 1] {
                let chan = Chan::new(cap);
                chan.close();
                assert_eq!(panic_text(AssertUnwindSafe(|| form(&chan))), "send on closed channel");
                assert_eq!((chan.len(), chan.recv().is_none()), (0, true), "nothing was sent");
            }
            // Not the third, which does not wait.
            if i != 2 {
                let chan = Chan::new(0);
                thread::scope(|scope| {
                    let sender = scope.spawn(|| panic_text(AssertUnwindSafe(|| form(&chan))));
                    wait_for_waiting::<Here>(1);
                    chan.close();
                    assert_eq!(sender.join().unwrap(), "send on closed channel");
                });
            }
        }
    });
}

/// Two cases of one select are possible, one of which would panic: half of the time it does.
#[test]
fn a_send_that_panics_is_chosen_like_others() {
    let (closed, open) = (Chan::new(1), Chan::new(1));
    closed.close();
    open.send(1);
    let panics = (0..200).filter(|_| {
        let select = || {
            select! {
                send(closed, 1) -> () => unreachable!(),
                recv(open) -> value => open.send(value.unwrap()),
            }
        };
        std::panic::catch_unwind(select).is_err()
    });
    // Seven standard deviations.
    assert!((50..=150).contains(&panics.count()));
}

/// A select that waits when a channel is closed ends: a receiving case is told, a sending one has its value back.
#[test]
fn close_ends_a_select() {
    watchdog(|| {
        struct Here(u32);
        let channels = [(); 2].map(|()| (bounded::<Here>(0), bounded::<Here>(1)));
        for (i, ((tx0, rx0), (tx1, rx1))) in channels.iter().enumerate() {
            assert!(tx1.send(Here(0)).is_ok());
            thread::scope(|scope| {
                let end = scope.spawn(|| {
                    select! {
                        recv(rx0) -> got => got.map_or(0, |_| unreachable!()),
                        send(tx1, Here(5)) -> sent => sent.unwrap_err().into_inner().0,
                    }
                });
                wait_for_waiting::<Here>(2);
                if i == 0 {
                    tx0.close()
                } else {
                    rx1.close()
                };
                assert_eq!(end.join().unwrap(), if i == 0 { 0 } else { 5 });
            });
            assert!(waiting::<Here>().is_empty(), "it has left the other channel, too");
        }
    });
}

/// A select of one case waits as the plain operation does, one of several in every queue, seen where it was called.
#[test]
fn who_waits_can_be_seen() {
    watchdog(|| {
        struct Here;
        let (tx, rx) = bounded::<Here>(0);
        let (quit, quitting) = bounded::<()>(0);
        let waits = |run: &(dyn Fn() + Sync), reason, count| {
            thread::scope(|scope| {
                scope.spawn(run);
                wait_until(|| waiting::<Here>().iter().filter(|waiting| waiting.asleep_for.is_some()).count() == count);
                let is_seen = |seen: &Waiting| seen.reason == reason && seen.at.file() == file!();
                assert!(waiting::<Here>().iter().all(is_seen), "{:?}", waiting::<Here>());
                if count == 1 {
                    // Meets it, whichever it is.
                    let _ = tx.try_send(Here).is_ok() || rx.try_recv().is_ok();
                } else {
                    assert!(quit.send(()).is_ok());
                }
            });
            assert!(waiting::<Here>().is_empty());
        };
        waits(&|| select! { recv(rx) -> got => assert!(got.is_ok()) }, Reason::ChanReceive, 1);
        waits(&|| select! { send(tx, Here) -> sent => assert!(sent.is_ok()) }, Reason::ChanSend, 1);
        let three = || {
            select! {
                recv(rx) -> _ => unreachable!(),
                recv(quitting) -> told => assert!(told.is_ok()),
                send(tx, Here) -> _ => unreachable!(),
                recv(rx) -> _ => unreachable!(),
            }
        };
        waits(&three, Reason::Select, 3);
        // What comes now meets nobody.
        assert!(tx.try_send(Here).is_err() && rx.try_recv().is_err());
    });
}

/// Handles are evaluated once, in their order, chosen or not; of messages, patterns and bodies only the chosen case's.
#[test]
fn what_is_evaluated() {
    let ((empty_tx, empty), (full, _keep), (tx, rx)) = (bounded::<u8>(1), bounded(1), bounded(1));
    full.send(0).unwrap();
    let log = RefCell::new(Vec::new());
    fn note<'l, T>(log: &RefCell<Vec<&'l str>>, what: &'l str, value: T) -> T {
        log.borrow_mut().push(what);
        value
    }
    let slots = [Cell::new(0), Cell::new(0)];
    select! {
        recv(note(&log, "first", &empty)) -> got => slots[note(&log, "not", 9)].set(got.unwrap()),
        send(note(&log, "second", &full), note(&log, "not", 1)) -> _ => unreachable!(),
        send(note(&log, "third", &tx), note(&log, "message", 2)) -> sent => {
            sent.unwrap();
            slots[note(&log, "body", 1)].set(3);
        }
        recv(note(&log, "fourth", &empty)) -> _ => unreachable!(),
        default => unreachable!(),
    }
    assert_eq!(log.take(), ["first", "second", "third", "fourth", "message", "body"]);
    assert_eq!((rx.recv(), slots.map(Cell::into_inner)), (Ok(2), [0, 3]));
    // Also if nothing is chosen.
    select! {
        recv(note(&log, "first", &rx)) -> _ => unreachable!(),
        send(note(&log, "second", &full), note(&log, "not", 1)) -> _ => unreachable!(),
        default => {}
    }
    assert_eq!(log.take(), ["first", "second"]);
    // A handle is what it was when it was evaluated, whatever a later one does to the variable.
    let current = Cell::new(&rx);
    tx.send(4).unwrap();
    let got = select! {
        recv(current.get()) -> got => got,
        recv({ current.set(&empty); &empty }) -> _ => unreachable!(),
    };
    assert_eq!((got, current.get().same_channel(&empty)), (Ok(4), true));
    drop(empty_tx);
}

/// A send, whose value is counted, and a receive that throws it away.
type Discarding = [fn(&Chan<Counted>, Counted); 3];

/// Plain, as the only case and as one of two: each kind of send meets each kind of receive, whichever comes first.
#[test]
fn every_form_meets_every_other() {
    const SENDS: Discarding = [
        |chan, value| chan.send(value),
        |chan, value| {
            select! { send(chan, value) -> () => {} }
        },
        |chan, value| {
            select! {
                recv(Chan::<u8>::nil()) -> _ => unreachable!(),
                send(chan, value) -> () => {}
            }
        },
    ];
    const RECVS: [fn(&Chan<Counted>); 3] = [
        |chan| _ = chan.recv(),
        |chan| {
            select! { recv(chan) -> _ => {} }
        },
        |chan| {
            select! {
                recv(chan) -> _ => {}
                send(Chan::nil(), 1) -> () => unreachable!(),
            }
        },
    ];
    watchdog(|| {
        let (chan, census) = (Chan::new(0), Census::default());
        for (send, recv) in SENDS.iter().flat_map(|send| RECVS.map(|recv| (send, recv))) {
            for sender_first in [true, false] {
                let value = census.value(1);
                thread::scope(|scope| {
                    if sender_first {
                        scope.spawn(|| send(&chan, value));
                        wait_for_waiting::<Counted>(1);
                        recv(&chan);
                    } else {
                        scope.spawn(|| recv(&chan));
                        wait_for_waiting::<Counted>(1);
                        send(&chan, value);
                    }
                });
                assert!(waiting::<Counted>().is_empty());
                census.assert_all_dropped();
            }
        }
        assert_eq!(census.made(), 18);
    });
}

/// `break`, `continue`, `return` and `?` leave a select of one, two and three cases.
#[test]
fn bodies_may_leave() {
    let (tx, rx) = bounded(8);
    let (nil, unsendable) = (never::<u8>(), Sender::<u8>::never());
    let more = || tx.send(1).unwrap();
    more();
    let mut one = None;
    while one.is_none() {
        select! {
            recv(rx) -> got => {
                one = Some(got);
                continue;
            }
        }
    }
    more();
    let two = 'select: {
        select! {
            recv(nil) -> _ => unreachable!(),
            recv(rx) -> got => {
                // Go's break: leaves the select, not what is around it.
                break 'select got;
            }
        }
    };
    more();
    let mut times = 0;
    let three = loop {
        times += 1;
        select! {
            send(unsendable, 1) -> _ => unreachable!(),
            recv(rx) -> got => {
                if times < 3 {
                    more();
                    continue;
                }
                break got;
            }
            recv(nil) -> _ => unreachable!(),
        }
    };
    assert_eq!((one, two, three, times, rx.len()), (Some(Ok(1)), Ok(1), Ok(1), 3, 0));

    let returns = |how: u8| -> Result<u8, RecvError> {
        select! {
            recv(rx) -> got => {
                let got = got?;
                if how == 1 {
                    return Ok(got + 10);
                }
            }
            recv(nil) -> _ => {}
        }
        Ok(0)
    };
    more();
    assert_eq!(returns(1), Ok(11));
    more();
    assert_eq!(returns(2), Ok(0));
    rx.close();
    assert_eq!(returns(3), Err(RecvError));
}

/// A receiving case takes what is there before it looks at closed; a sending one looks at closed before it looks for
/// room; a waiting peer comes before the buffer.
#[test]
fn the_order_of_checks() {
    watchdog(|| {
        #[derive(Debug, PartialEq)]
        struct Here(u32);
        let (tx, rx) = bounded(2);
        let recv = || select! { recv(rx) -> got => got.map(|here: Here| here.0) };
        thread::scope(|scope| {
            let receiver = scope.spawn(|| rx.recv());
            wait_for_waiting::<Here>(1);
            select! { send(tx, Here(0)) -> sent => sent.unwrap() }
            assert_eq!(rx.len(), 0, "past the buffer");
            assert_eq!(receiver.join().unwrap(), Ok(Here(0)));
        });
        (1..=2).for_each(|i| tx.send(Here(i)).unwrap());
        thread::scope(|scope| {
            let sender = scope.spawn(|| tx.send(Here(3)));
            wait_for_waiting::<Here>(1);
            assert_eq!((recv(), rx.len()), (Ok(1), 2), "the head, and the sender's value is in the buffer");
            assert_eq!(sender.join().unwrap(), Ok(()));
        });
        assert_eq!(recv(), Ok(2));
        tx.close();
        // There is room.
        assert_eq!(select! { send(tx, Here(4)) -> sent => sent }, Err(SendError(Here(4))));
        assert_eq!((recv(), recv()), (Ok(3), Err(RecvError)));
    });
}

/// A waiting select takes what comes first, and nothing else.
#[test]
fn a_waiting_select_takes_what_comes_first() {
    watchdog(|| {
        struct Here;
        let channels = [(); 2].map(|()| bounded::<Here>(1));
        let [(tx0, rx0), (tx1, rx1)] = &channels;
        for first in [0, 1] {
            thread::scope(|scope| {
                let got = scope.spawn(|| {
                    select_biased! {
                        recv(rx0) -> _ => 0,
                        recv(rx1) -> _ => 1,
                    }
                });
                wait_for_waiting::<Here>(2);
                assert!(channels[first].0.send(Here).is_ok());
                assert!(channels[1 - first].0.send(Here).is_ok());
                assert_eq!(got.join().unwrap(), first);
            });
            assert_eq!((rx0.len() + rx1.len(), channels[1 - first].1.len()), (1, 1));
            assert!(channels[1 - first].1.recv().is_ok());
        }
        assert!(tx0.is_empty() && tx1.is_empty());
    });
}

/// Two cases of one channel of trait objects send values of different types.
#[test]
fn cases_may_send_different_types_behind_a_trait() {
    let chan = Chan::<Box<dyn ToString + Send>>::new(1);
    let mut texts: Vec<String> = (0..200)
        .map(|_| {
            select! {
                send(chan, Box::new(1)) -> () => {}
                send(chan, Box::new("one")) -> () => {}
            }
            chan.recv().unwrap().to_string()
        })
        .collect();
    texts.sort_unstable();
    texts.dedup();
    assert_eq!(texts, ["1", "one"]);
}

/// Up to 65,535 operations; Go allows one more.
#[test]
#[cfg_attr(miri, ignore = "takes long")]
fn as_many_operations_as_there_may_be() {
    const MOST: usize = u16::MAX as usize;
    let ((_tx, rx), (last, last_rx)) = (bounded::<()>(0), bounded(1));
    let mut select = Select::new();
    (1..MOST).for_each(|_| _ = select.recv(&rx));
    let last_index = select.recv(&last_rx);
    assert!(select.try_select().is_err());
    assert!(select.select_timeout(Duration::from_micros(1)).is_err(), "it queues everywhere");
    last.send(1).unwrap();
    let operation = select.select();
    assert_eq!((operation.index(), last_index), (MOST - 1, MOST - 1));
    assert_eq!(operation.recv(&last_rx), Ok(1));
    select.recv(&rx);
    let text = panic_text(AssertUnwindSafe(|| _ = select.try_select()));
    assert_eq!(text, "too many operations in a select");
}
