//! Go's face: one handle for both directions, the nil channel, Go's panics in Go's words, range, equality.

mod common;

use common::{A_MOMENT, Census, panic_text, wait_for_waiting, watchdog};
use gochan::debug::Reason;
use gochan::{Chan, TryRecvError, TrySendError, never};
use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn a_nil_channel_refuses_what_does_not_wait() {
    for nil in [Chan::nil(), Chan::default()] {
        assert!(nil.is_nil());
        assert_eq!(nil.try_send(1), Err(TrySendError::Full(1)));
        assert_eq!(nil.try_recv(), Err(TryRecvError::Empty));
        assert_eq!((nil.len(), nil.cap(), nil.is_empty()), (0, 0, true));
        assert_eq!(format!("{nil:?}"), "Chan(nil)");
        let (tx, rx) = (nil.sender(), nil.receiver());
        assert_eq!((tx.sender_count(), rx.receiver_count()), (0, 0));
        assert!(!tx.is_closed() && !tx.close() && !rx.is_closed());
    }
    assert!(!Chan::<u8>::new(0).is_nil());
}

#[test]
fn a_nil_channel_blocks_for_ever() {
    // A wait that would end, ends within the moment that these get. The threads stay behind, asleep.
    let (ended, end) = mpsc::channel();
    for operation in [
        |nil: Chan<u8>| nil.send(1),
        |nil: Chan<u8>| _ = nil.recv(),
        |nil: Chan<u8>| _ = nil.recv_or_default(),
        |nil: Chan<u8>| _ = nil.iter().next(),
        |nil: Chan<u8>| _ = nil.sender().send(1),
        |nil: Chan<u8>| _ = nil.receiver().recv(),
        |nil: Chan<u8>| _ = nil.receiver().recv_timeout(Duration::MAX),
        |nil: Chan<u8>| _ = nil.receiver().recv_many(&mut Vec::new(), 1),
    ] {
        let ended = ended.clone();
        thread::spawn(move || {
            operation(Chan::nil());
            let _ = ended.send(());
        });
    }
    assert_eq!(end.recv_timeout(A_MOMENT), Err(mpsc::RecvTimeoutError::Timeout));
}

#[test]
fn a_nil_channel_times_out() {
    let nil = Chan::nil();
    let start = Instant::now();
    assert!(nil.receiver().recv_timeout(A_MOMENT).unwrap_err().is_timeout());
    assert_eq!(nil.sender().send_timeout(7, A_MOMENT).unwrap_err().into_inner(), 7);
    assert!(start.elapsed() >= 2 * A_MOMENT);
    assert!(nil.receiver().recv_deadline(start).unwrap_err().is_timeout());
}

#[test]
fn reasons_are_gos() {
    let texts = [
        (Reason::ChanSend, "chan send"),
        (Reason::ChanReceive, "chan receive"),
        (Reason::ChanSendNil, "chan send (nil chan)"),
        (Reason::ChanReceiveNil, "chan receive (nil chan)"),
        (Reason::Select, "select"),
    ];
    for (reason, text) in texts {
        assert_eq!(reason.to_string(), text);
    }
}

#[test]
fn send_on_closed_channel_panics() {
    for cap in [0, 1, 5] {
        let chan = Chan::new(cap);
        chan.close();
        assert_eq!(panic_text(|| chan.send(1)), "send on closed channel");
        assert_eq!(panic_text(|| chan.try_send(1)), "send on closed channel");
        assert_eq!((chan.len(), chan.recv()), (0, None), "the value is never delivered");
    }
}

#[test]
fn the_value_of_a_panicking_send_is_dropped() {
    let census = Census::default();
    let chan = Chan::new(1);
    chan.close();
    panic_text(AssertUnwindSafe(|| chan.send(census.value(1))));
    panic_text(AssertUnwindSafe(|| chan.try_send(census.value(2))));
    assert_eq!(census.made(), 2);
    census.assert_all_dropped();
}

#[test]
fn a_blocked_send_panics_in_its_own_thread_when_the_channel_is_closed() {
    watchdog(|| {
        struct Here;
        for cap in [0, 1] {
            let chan = Chan::new(cap);
            (0..cap).for_each(|_| chan.send(Here));
            thread::scope(|scope| {
                let senders = [(); 3].map(|()| scope.spawn(|| panic_text(|| chan.send(Here))));
                wait_for_waiting::<Here>(3);
                chan.close();
                for sender in senders {
                    assert_eq!(sender.join().unwrap(), "send on closed channel");
                }
            });
            assert_eq!(chan.iter().count(), cap, "what was buffered is delivered");
        }
    });
}

#[test]
fn close_of_nil_channel_panics() {
    assert_eq!(panic_text(|| Chan::<u8>::nil().close()), "close of nil channel");
}

#[test]
fn close_of_closed_channel_panics() {
    let chan = Chan::new(2);
    chan.send(1);
    chan.close();
    assert_eq!(panic_text(|| chan.close()), "close of closed channel");
    assert_eq!(panic_text(|| chan.clone().close()), "close of closed channel");
    // The first close stands.
    assert_eq!((chan.recv(), chan.recv()), (Some(1), None));
}

#[test]
fn a_panic_names_the_line_of_its_caller() {
    let chan = Chan::new(1);
    chan.close();
    let (tell, told) = mpsc::channel();
    let before = std::panic::take_hook();
    let this = thread::current().id();
    std::panic::set_hook(Box::new(move |info| {
        if thread::current().id() == this {
            let _ = tell.send(info.location().map(|at| (at.file().to_owned(), at.line())));
        } else {
            before(info);
        }
    }));
    let line = line!() + 1;
    panic_text(|| chan.send(1));
    drop(std::panic::take_hook());
    assert_eq!(told.recv().unwrap(), Some((file!().to_owned(), line)));
}

#[test]
fn zero_values_are_told_from_closed() {
    let chan = Chan::new(2);
    chan.send(0);
    chan.close();
    assert_eq!(chan.try_recv(), Ok(Some(0)));
    assert_eq!(chan.try_recv(), Ok(None));
    assert_eq!((chan.recv(), chan.recv_or_default()), (None, 0));
}

#[test]
fn a_value_then_close() {
    // Received as (100, true), then (0, false).
    let chan = Chan::new(1);
    chan.send(100);
    chan.close();
    assert_eq!(chan.recv(), Some(100));
    assert_eq!(chan.recv(), None);
}

#[test]
fn range_ends_at_close() {
    watchdog(|| {
        let alphabet = Chan::new(0);
        let sender = alphabet.clone();
        let thread = thread::spawn(move || {
            ('a'..='z').for_each(|letter| sender.send(letter));
            sender.close();
        });
        // The channel is named once, as Go's range clause evaluates its operand once.
        let mut named = 0;
        let mut name = || {
            named += 1;
            alphabet.clone()
        };
        let mut letters = String::new();
        for letter in &name() {
            letters.push(letter);
        }
        assert_eq!((letters.len(), named), (26, 1));
        assert!(letters.chars().eq('a'..='z'));
        assert_eq!(alphabet.iter().next(), None);
        thread.join().unwrap();
    });
}

#[test]
fn a_range_is_fused() {
    let chan = Chan::new(1);
    chan.send(1);
    chan.close();
    let mut range = chan.iter();
    assert_eq!((range.next(), range.next(), range.next()), (Some(1), None, None));
}

#[test]
fn len_and_cap() {
    let chan = Chan::new(10);
    for i in 0..10 {
        assert_eq!((chan.len(), chan.cap()), (i, 10));
        chan.send(i);
    }
    chan.close();
    assert_eq!((chan.len(), chan.cap()), (10, 10), "close keeps the values");
    assert_eq!(format!("{chan:?}"), "Chan { len: 10, cap: 10 }");
}

#[test]
fn len_can_be_asked_for_by_anybody_at_any_time() {
    watchdog(|| {
        let chan = Chan::new(3);
        thread::scope(|scope| {
            scope.spawn(|| (0..3000).for_each(|i| chan.send(i)));
            scope.spawn(|| (0..3000).for_each(|i| assert_eq!(chan.recv(), Some(i))));
            scope.spawn(|| (0..3000).for_each(|_| assert!(chan.len() <= 3 && chan.cap() == 3)));
        });
        assert_eq!(chan.len(), 0);
    });
}

#[test]
fn copies_are_one_channel() {
    let chan = Chan::new(4);
    let copy = chan.clone();
    chan.send(1);
    copy.send(2);
    assert_eq!((copy.len(), copy.recv(), chan.recv()), (2, Some(1), Some(2)));
    copy.close();
    assert_eq!(chan.recv(), None);
}

#[test]
#[expect(clippy::mutable_key_type, reason = "a channel is hashed as what it is, not as what is in it")]
fn equal_is_the_same_channel() {
    let (one, other) = (Chan::<u8>::new(0), Chan::new(0));
    assert!(one == one.clone() && one != other);
    assert!(Chan::<u8>::nil() == Chan::default() && one != Chan::nil());
    let set = HashSet::from([one.clone(), other.clone(), one.clone(), Chan::nil(), Chan::nil()]);
    assert_eq!(set.len(), 3);
    assert!(set.contains(&other));
    assert!(one.sender().same_channel(&one.clone().sender()) && !one.sender().same_channel(&other.sender()));
    assert!(one.receiver().same_channel(&one.receiver()) && !one.receiver().same_channel(&never()));
}

#[test]
fn dropping_a_copy_closes_nothing() {
    let chan = Chan::new(1);
    let copy = chan.clone();
    chan.send(1);
    drop(chan);
    assert_eq!(copy.recv(), Some(1));
    assert_eq!(copy.try_recv(), Err(TryRecvError::Empty), "open");
    copy.send(2);
    assert_eq!(copy.recv(), Some(2));
}

#[test]
fn directions_are_handles() {
    let chan = Chan::new(1);
    let (tx, rx) = (chan.sender(), chan.receiver());
    assert_eq!((chan.sender().sender_count(), rx.receiver_count()), (3, 2));
    tx.send(1).unwrap();
    assert_eq!(chan.recv(), Some(1));
    chan.send(2);
    // The last that could send goes: as with any other handles that closes the channel.
    drop((chan, tx));
    assert!(rx.iter().eq([2]));
}

#[test]
fn one_copy_on_many_threads() {
    watchdog(|| {
        let (work, done) = (Chan::new(0), Chan::new(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| work.iter().for_each(|i: u64| done.send(i * i)));
            }
            scope.spawn(|| {
                (1..=100).for_each(|i| work.send(i));
                work.close();
            });
            assert_eq!(done.iter().take(100).sum::<u64>(), 338_350);
        });
    });
}
