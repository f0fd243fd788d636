//! The grammar of `select!` and `select_biased!`: whatever may be written as handle, message, pattern and body, and that
//! none of it makes the compiler complain.

#![deny(warnings, unused, unused_mut, unreachable_code, clippy::all)]
// For the selects of 32 and 64 cases.
#![recursion_limit = "512"]

mod common;

use common::watchdog;
use gochan::{Chan, Receiver, RecvError, SendError, Sender, after, at, bounded, never, tick, unbounded};
use gochan::{select, select_biased};
use std::cell::RefCell;
use std::fmt::Display;
use std::rc::Rc;
use std::sync::{Arc, Mutex, RwLock};
use std::thread;
use std::time::{Duration, Instant};

/// A channel with these values.
fn with<T, const N: usize>(values: [T; N]) -> (Sender<T>, Receiver<T>) {
    let (tx, rx) = unbounded();
    values.into_iter().for_each(|value| assert!(tx.send(value).is_ok()));
    (tx, rx)
}

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(1);

#[test]
fn cases_in_every_order() {
    watchdog(|| {
        let (tx, rx) = with([1, 2, 3, 4, 5, 6]);
        let (full, _keep) = bounded(0);
        // The send never comes about, the receive always does.
        let values = [
            select! { recv(rx) -> v => v, send(full, 0) -> _ => Ok(0), default => Ok(0) },
            select! { recv(rx) -> v => v, default => Ok(0), send(full, 0) -> _ => Ok(0) },
            select! { send(full, 0) -> _ => Ok(0), recv(rx) -> v => v, default => Ok(0) },
            select! { send(full, 0) -> _ => Ok(0), default => Ok(0), recv(rx) -> v => v },
            select! { default => Ok(0), send(full, 0) -> _ => Ok(0), recv(rx) -> v => v },
            select! { default => Ok(0), recv(rx) -> v => v, send(full, 0) -> _ => Ok(0) },
        ];
        assert_eq!(values, [Ok(1), Ok(2), Ok(3), Ok(4), Ok(5), Ok(6)]);
        // The default is none of the cases that are in order: wherever it stands, the first case that is ready goes first.
        assert!(select_biased! { default => false, send(tx, 7) -> _ => true, recv(rx) -> _ => false });
        assert!(select_biased! { send(full, 0) -> _ => false, default(LONG) => false, recv(rx) -> _ => true });
        assert!(select_biased! { send(full, 0) -> _ => false, recv(rx) -> _ => false, default(SHORT) => true });
    });
}

#[test]
fn commas() {
    watchdog(|| {
        let (tx, rx) = with([0; 20]);
        select! { recv(rx) -> _ => {} }
        select! { recv(rx) -> _ => {}, }
        select! { recv(rx,) -> _ => () }
        select! { recv(rx,) -> _ => (), }
        select! { send(tx, 1) -> _ => {} }
        select! { send(tx, 1,) -> _ => {}, }
        select! { default => {} }
        select! { default => {}, }
        select! { default() => (), }
        select! { default(SHORT) => {} }
        select! { default(SHORT,) => (), }
        // Between two cases: none behind a block, one behind anything else.
        select! { recv(rx) -> _ => {} send(tx, 1) -> _ => {} default => {} }
        select! { recv(rx) -> _ => {}, send(tx, 1) -> _ => {}, default => {}, }
        select! { recv(rx) -> _ => (), send(tx, 1) -> _ => (), default => () }
        select! { default(SHORT) => {} recv(rx,) -> _ => (), send(tx, 1,) -> _ => {} }
        select! {
            recv(rx) -> _ => {}
            send(tx, 1) -> _ => (),
            default(SHORT,) => {},
        }
        // Other brackets.
        select!(recv(rx) -> _ => (), default => ());
        select![send(tx, 1) -> _ => {} default => {}];
    });
}

#[test]
#[expect(clippy::never_loop, reason = "a loop as a body")]
fn bodies() {
    watchdog(|| {
        let (tx, rx) = with([7; 20]);
        // Calls, operators, macros, closures, structures, ranges.
        let text = select! { recv(rx) -> v => format!("{v:?}"), default => String::new() };
        assert_eq!(text, "Ok(7)");
        assert_eq!(select! { recv(rx) -> v => v.unwrap() * 2 + 1, default => 0 }, 15);
        let double = select! { recv(rx) -> v => move |x: i32| v.unwrap() * x, };
        assert_eq!(double(3), 21);
        let range = select! { send(tx, 7) -> _ => 0..3, recv(rx) -> v => v.unwrap()..10 };
        assert_eq!(range.end - range.start, 3);
        let matched = select! {
            recv(rx) -> v => match v { Ok(7) => "seven", Ok(_) | Err(_) => "another" },
            default => if rx.is_empty() { "empty" } else { "odd" },
        };
        assert_eq!(matched, "seven");
        let looped = select! {
            recv(rx) -> v => loop { break v },
            default => unreachable!(),
        };
        assert_eq!(looped, Ok(7));
        let labeled =
            select! { default => 'found: { if tx.is_empty() { break 'found 1 } 2 }, recv(rx) -> v => v.unwrap() };
        assert_eq!(labeled, 7);
        // Blocks with values.
        let (a, b) = select! {
            recv(rx) -> v => { let v = v.unwrap(); (v, v + 1) }
            default => (0, 0)
        };
        assert_eq!((a, b), (7, 8));
        // A body that is again a select.
        let nested = select! {
            recv(rx) -> outer => select! { recv(rx) -> inner => (outer, inner), default => (Ok(0), outer) },
            default => { select! { recv(rx) -> v => (v, v) } }
        };
        assert_eq!(nested, (Ok(7), Ok(7)));
    });
}

#[test]
fn bodies_that_leave() {
    watchdog(|| {
        fn first_even(rx: &Receiver<u32>) -> Option<u32> {
            loop {
                select! {
                    recv(rx) -> value => match value {
                        Ok(value) if value % 2 == 0 => return Some(value),
                        Ok(_) => continue,
                        Err(_) => break,
                    },
                    default => break,
                }
            }
            None
        }
        let (_, rx) = with([1, 3, 4, 5]);
        assert_eq!([first_even(&rx), first_even(&rx), first_even(&rx)], [Some(4), None, None]);

        fn sum(rx: &Receiver<u32>, tx: &Sender<u32>) -> Result<u32, RecvError> {
            select! {
                recv(rx) -> value => Ok(value? + select! { recv(rx) -> value => value?, send(tx, 1) -> _ => 0 }),
                default => Err(RecvError),
            }
        }
        let (_, rx) = with([1, 3]);
        assert_eq!([sum(&rx, &Sender::never()), sum(&rx, &Sender::never())], [Ok(4), Err(RecvError)]);

        /// Every body leaves.
        #[expect(clippy::needless_return, reason = "a body that leaves")]
        fn leaves(rx: &Receiver<u32>, tx: &Sender<u32>) -> u32 {
            select! {
                recv(rx) -> value => return value.unwrap_or(10),
                send(tx, 1) -> _ => return 2,
                default(SHORT) => return 3,
            }
        }
        assert_eq!(leaves(&rx, &Sender::never()), 10);
        assert_eq!(leaves(&never(), &Sender::never()), 3);

        let (tx, rx) = with([1, 2, 3]);
        let mut seen = Vec::new();
        let last = 'outer: loop {
            loop {
                select! {
                    recv(rx) -> value => match value.unwrap() {
                        3 => break 'outer "three",
                        2 => break,
                        value => { seen.push(value); continue }
                    },
                    recv(after(LONG)) -> _ => panic!("late"),
                }
            }
            seen.push(20);
        };
        assert_eq!((last, seen), ("three", vec![1, 20]));
        // A message that leaves, now and then.
        let mut sent = 0;
        for i in 0.. {
            select! { send(tx, if i < 3 { i } else { break }) -> result => { result.unwrap(); sent += 1; } }
        }
        assert_eq!((sent, rx.len()), (3, 3));
    });
}

#[test]
fn the_value_of_a_select() {
    watchdog(|| {
        let (_tx, rx) = with(["a", "b"]);
        // Types are coerced and inferred as those of a match are.
        let shown: Box<dyn Display> = select! {
            recv(rx) -> value => Box::new(value.unwrap()),
            default => Box::new(1),
        };
        assert_eq!(shown.to_string(), "a");
        let slice: &[u8] = select! { default => &[1, 2], recv(never::<()>()) -> _ => &[] };
        assert_eq!(slice, [1, 2]);
        let number = 1_u64 + select! { recv(rx) -> _ => 2, default => 3 };
        assert_eq!(number, 3);
        // The last expression of a block, an argument, a condition, a scrutinee.
        let by_block = {
            let rx = &rx;
            select! { recv(rx) -> value => value, default => Ok("") }
        };
        assert_eq!(by_block, Ok(""));
        assert!(Option::is_some(&select! { default => Some(1) }));
        if select! { recv(rx) -> _ => false, default => true } {
            match select! { default => 5, recv(rx) -> _ => 6 } {
                5 => {}
                _ => unreachable!(),
            }
        }
        // Nobody has to use it.
        select! { default => 5, recv(rx) -> _ => 6 };
    });
}

#[test]
fn patterns() {
    watchdog(|| {
        let (tx, rx) = with([(1, "one"), (2, "two"), (3, "three"), (4, "four")]);
        select! { recv(rx) -> value => assert_eq!(value, Ok((1, "one"))) }
        select! { recv(rx) -> mut value => { value.as_mut().unwrap().0 = 9; assert_eq!(value, Ok((9, "two"))) } }
        select! { recv(rx) -> ref value => assert_eq!(value, &Ok((3, "three"))) }
        select! { recv(rx) -> whole @ (Ok(_) | Err(RecvError)) => assert_eq!(whole, Ok((4, "four"))) }
        select! { recv(never::<u8>()) -> (Ok(_) | Err(_)) => unreachable!(), default => {} }
        select! { send(tx, (5, "five")) -> (Ok(()) | Err(SendError((_, _)))) => {} }
        select! { send(tx, (6, "six")) -> _sent => {} }
        assert_eq!(rx.len(), 2);
        // What a `Chan` gives has patterns that always match.
        let chan = Chan::new(1);
        select! { send(chan, [1, 2, 3]) -> () => {} }
        select! { recv(chan) -> (Some([_, ..]) | None) => assert!(chan.is_empty()) }
        // A name that the macro uses, too.
        let (handle, arm, received, sent) = (Chan::new(1), 1, 2, 3);
        select! { send(handle, arm + received + sent) -> promise => promise }
        assert_eq!(select! { recv(handle) -> handle => (handle, arm, received, sent) }, (Some(6), 1, 2, 3));
    });
}

#[test]
#[expect(clippy::needless_borrow, clippy::deref_addrof, clippy::unnecessary_literal_unwrap, reason = "may be written")]
fn handles_behind_other_things() {
    watchdog(|| {
        struct Desk {
            inbox: Receiver<u32>,
            outbox: Option<Sender<u32>>,
            pair: (Sender<u32>, [Receiver<u32>; 2]),
        }
        impl Desk {
            fn inbox(&self) -> &Receiver<u32> {
                &self.inbox
            }
            fn outbox(&self) -> Sender<u32> {
                self.outbox.clone().unwrap_or(Sender::never())
            }
        }
        let (tx, rx) = unbounded();
        let desk = Desk { inbox: rx.clone(), outbox: Some(tx.clone()), pair: (tx.clone(), [rx.clone(), never()]) };
        let mut next = 0..;
        let mut received = Vec::new();
        /// Sends by one handle and receives by the other.
        macro_rules! there_and_back {
            ($tx:expr, $rx:expr) => {
                select! { send($tx, next.next().unwrap()) -> sent => sent.unwrap() }
                select! { recv($rx) -> value => received.push(value.unwrap()), default => unreachable!() }
                select_biased! { recv($rx) -> _ => unreachable!(), send($tx, next.next().unwrap()) -> _ => {} }
                select_biased! { recv($rx) -> value => received.push(value.unwrap()), send($tx, 0) -> _ => unreachable!() }
            };
        }
        there_and_back!(tx, rx);
        there_and_back!(&tx, &rx);
        there_and_back!(&&&tx, &&&rx);
        there_and_back!(&mut tx.clone(), &mut rx.clone());
        there_and_back!(Box::new(tx.clone()), Box::new(rx.clone()));
        there_and_back!(Arc::new(tx.clone()), Arc::new(rx.clone()));
        there_and_back!(Rc::new(&tx), &Rc::new(rx.clone()));
        there_and_back!(Arc::new(Box::new(tx.clone())), Some(&rx).unwrap());
        there_and_back!(desk.outbox(), desk.inbox());
        there_and_back!(desk.pair.0, desk.pair.1[0]);
        there_and_back!(desk.outbox.as_ref().unwrap(), (&desk).inbox);
        there_and_back!({ tx.clone() }, if rx.is_empty() { desk.inbox() } else { &rx });
        there_and_back!(*&&tx, [&rx, &desk.pair.1[1]][0]);
        let (tx, rx) = (Mutex::new(tx), RwLock::new(rx));
        there_and_back!(tx.lock().unwrap(), rx.read().unwrap());
        let (tx, rx) = (RefCell::new(tx.into_inner().unwrap()), RefCell::new(rx.into_inner().unwrap()));
        there_and_back!(tx.borrow(), rx.borrow());
        there_and_back!(*tx.borrow_mut(), *rx.borrow());
        assert!(received.into_iter().eq(0..32));
        // The borrows are over.
        drop((tx.into_inner(), rx.into_inner()));
    });
}

#[test]
fn cases_that_are_turned_off() {
    watchdog(|| {
        let (tx, rx) = with([1, 2]);
        let mut got = Vec::new();
        for on in [true, false, true, false] {
            let (input, output) = (on.then_some(&rx), (!on).then_some(&tx));
            select! {
                recv(input.unwrap_or(&never())) -> value => got.push(value.unwrap()),
                send(output.unwrap_or(&Sender::never()), 3) -> sent => sent.unwrap(),
                default => unreachable!(),
            }
        }
        assert_eq!((got, rx.len()), (vec![1, 2], 2));
    });
}

#[test]
fn bodies_that_take_the_handles() {
    watchdog(|| {
        fn last<T>(tx: Sender<T>, rx: Receiver<T>) -> Result<Receiver<T>, Sender<T>> {
            select! {
                recv(rx) -> value => {
                    drop((value, tx));
                    Ok(rx)
                }
                default => { drop(rx); Err(tx) }
            }
        }
        let (tx, rx) = with([String::from("a")]);
        let rx = last(tx.clone(), rx).unwrap();
        let tx = last(tx, rx).unwrap_err();
        assert!(tx.is_closed());
        // A handle that is assigned to.
        let (tx, rx) = bounded(1);
        let mut output = tx;
        let mut input = rx;
        for i in 0..4 {
            select! {
                send(output, i) -> sent => { sent.unwrap(); output = Sender::never(); }
                recv(input) -> value => { assert_eq!(value, Ok(0)); input = never(); }
                default => assert!(i > 1),
            }
        }
        // A handle that is replaced by what comes through it.
        struct Next(u8, Option<Receiver<Next>>);
        let (tx, mut rx) = bounded(1);
        assert!(tx.send(Next(1, Some(with([Next(2, None)]).1))).is_ok());
        let mut numbers = Vec::new();
        loop {
            select! {
                recv(rx) -> next => match next.unwrap() {
                    Next(number, Some(next)) => { numbers.push(number); rx = next; }
                    Next(number, None) => { numbers.push(number); break }
                }
            }
        }
        assert_eq!(numbers, [1, 2]);
        assert!(tx.is_closed(), "its receiver was replaced");
    });
}

#[test]
fn selects_in_messages_and_handles() {
    watchdog(|| {
        let (tx, rx) = with([1, 2, 3]);
        let (out, results) = unbounded();
        select! {
            send(out, select! { recv(rx) -> value => value.unwrap(), default => 0 }) -> sent => sent.unwrap(),
            recv(never::<u8>()) -> _ => unreachable!(),
        }
        select! { send(select! { default => &out, recv(never::<u8>()) -> _ => unreachable!() }.clone(), 9) -> _ => {}
        default => unreachable!() }
        assert_eq!(results.try_iter().collect::<Vec<_>>(), [1, 9]);
        // Handles that selects find; and in a handle, a message and a body at once.
        let found = select! {
            recv(select! { recv(rx) -> value => with([value.unwrap() * 10]).1, default => never() }) -> value => {
                select! { send(tx, select! { default => value.unwrap(), recv(results) -> _ => 0 }) -> _ => rx.len() }
            }
        };
        assert_eq!((found, rx.recv(), rx.recv()), (2, Ok(3), Ok(20)));
    });
}

#[test]
fn chans_among_handles() {
    watchdog(|| {
        let (chan, full) = (Chan::new(1), Chan::new(0));
        let (tx, rx) = bounded(1);
        let mut log = Vec::new();
        for round in 0..4 {
            select_biased! {
                recv(chan) -> value => { let value: Option<u32> = value; log.push(value) }
                recv(rx) -> value => { let value: Result<u32, RecvError> = value; log.push(value.ok()) }
                send(full, round) -> () => unreachable!(),
                send(if round == 0 { chan.clone() } else { Chan::nil() }, 10) -> () => log.push(None),
                send(tx, 20 + round) -> sent => { let sent: Result<(), SendError<u32>> = sent; sent.unwrap() }
            }
        }
        assert_eq!(log, [None, Some(10), Some(22)]);
        chan.close();
        assert_eq!(select! { recv(chan) -> value => value, default => Some(1) }, None);
        // Both directions of one, and through what derefs to it.
        let chan = Rc::new(Chan::new(2));
        for i in 0..4 {
            select! {
                send(chan, i) -> () => {}
                recv(chan) -> value => assert!(value.is_some()),
                recv(&*chan) -> value => assert!(value.is_some()),
            }
        }
    });
}

#[test]
fn timers() {
    watchdog(|| {
        let start = Instant::now();
        let nothing = never::<u8>();
        select! { recv(nothing) -> _ => unreachable!(), recv(after(SHORT)) -> due => assert!(due.unwrap() >= start + SHORT) }
        select! { recv(at(start)) -> due => assert_eq!(due, Ok(start)), recv(nothing) -> _ => unreachable!() }
        let ticker = tick(SHORT);
        for _ in 0..3 {
            select! { recv(ticker) -> tick => assert!(tick.unwrap() > start), recv(after(LONG)) -> _ => panic!("late") }
        }
        // A default that waits, of any expression.
        let mut patience = Some(SHORT);
        select! { recv(nothing) -> _ => unreachable!(), default(patience.take().unwrap()) => {} }
        select! { default(SHORT * 2 + Duration::from_micros(1)) => {} }
        assert!(patience.is_none() && start.elapsed() >= 5 * SHORT);
    });
}

/// A select with a case per number.
macro_rules! receive_any {
    ($rxs:ident, $($i:literal)+) => {
        select! { $(recv($rxs[$i]) -> value => ($i, value.unwrap()),)+ }
    };
}
macro_rules! send_or_receive_first {
    ($txs:ident $rxs:ident, $(($i:literal $j:literal))+) => {
        select_biased! { $(recv($rxs[$i]) -> value => Ok(($i, value.unwrap())), send($txs[$j], $j) -> sent => Err(sent.map(|()| $j)),)+ }
    };
}

#[test]
fn one_two_and_many_cases() {
    watchdog(|| {
        let channels: [(Sender<usize>, Receiver<usize>); 64] = std::array::from_fn(|_| bounded(1));
        let (txs, rxs): (Vec<_>, Vec<_>) = channels.into_iter().unzip();
        /// Each of the first `$n` is received from once.
        macro_rules! all_come {
            ($n:literal, $($numbers:tt)+) => {
                (0..$n).for_each(|i| txs[i].send(i).unwrap());
                let mut seen = [false; $n];
                for _ in 0..$n {
                    let (i, value) = receive_any!(rxs, $($numbers)+);
                    assert_eq!(value, i);
                    assert!(!std::mem::replace(&mut seen[i], true));
                }
            };
        }
        all_come!(1, 0);
        all_come!(2, 0 1);
        all_come!(32, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31);
        all_come!(64, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
            32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63);
        // Both directions, sixty-four cases, the first that is ready.
        for i in 0..32 {
            let result = send_or_receive_first!(txs rxs,
                (0 32) (1 33) (2 34) (3 35) (4 36) (5 37) (6 38) (7 39) (8 40) (9 41) (10 42) (11 43) (12 44) (13 45) (14 46)
                (15 47) (16 48) (17 49) (18 50) (19 51) (20 52) (21 53) (22 54) (23 55) (24 56) (25 57) (26 58) (27 59)
                (28 60) (29 61) (30 62) (31 63));
            assert_eq!(result, Err(Ok(32 + i)));
        }
        txs[31].send(31).unwrap();
        assert_eq!(rxs[63].recv(), Ok(63));
    });
}

#[test]
fn in_async_functions() {
    watchdog(|| {
        async fn relay(rx: Receiver<u32>, tx: Sender<u32>) -> u32 {
            let mut sum = 0;
            loop {
                select! {
                    recv(rx) -> value => match value {
                        Ok(value) => sum += std::future::ready(value).await,
                        Err(RecvError) => break,
                    },
                    send(tx, std::future::ready(5).await) -> sent => sent.unwrap(),
                    default => break,
                }
            }
            sum
        }
        let (out, results) = bounded(1);
        let mut future = Box::pin(relay(with([1, 2]).1, out));
        let poll = future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
        assert_eq!(poll, std::task::Poll::Ready(3));
        assert!(results.len() <= 1);
    });
}

#[test]
fn in_closures_and_generic_functions() {
    watchdog(|| {
        fn either<'a, T: Clone + 'a, const N: usize>(rxs: &'a [Receiver<T>; N], other: &impl AsRef<T>) -> T {
            select! { recv(rxs[N - 1]) -> value => value.unwrap(), default => other.as_ref().clone() }
        }
        let (tx, rx) = with([String::from("a")]);
        let rxs = [never(), rx];
        assert_eq!([either(&rxs, &Box::new("b".into())), either(&rxs, &Box::new("c".into()))], ["a", "c"]);
        let mut count = 0;
        let mut tally = |text: &str| select! { send(tx, text.to_owned()) -> sent => { count += 1; sent.is_ok() } };
        assert!(tally("d") && tally("e"));
        assert_eq!(count, 2);
        let [_, rx] = rxs;
        let all = std::iter::from_fn(move || select! { recv(rx) -> value => value.ok(), default => None });
        assert_eq!(all.collect::<Vec<_>>(), ["d", "e"]);
    });
}

#[test]
fn between_threads() {
    watchdog(|| {
        let (tx, rx) = bounded(0);
        let (done, finished) = bounded::<()>(0);
        thread::scope(|scope| {
            for i in 0..3 {
                let (tx, finished) = (&tx, &finished);
                scope.spawn(move || {
                    let mut sent = 0;
                    while select! { send(tx, i) -> sent => sent.is_ok(), recv(finished) -> _ => false } {
                        sent += 1;
                    }
                    sent
                });
            }
            for _ in 0..300 {
                select! { recv(rx) -> value => assert!(value.unwrap() < 3), recv(after(LONG)) -> _ => panic!("late") }
            }
            drop(done);
        });
    });
}
