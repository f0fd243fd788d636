//! A value of one MiB goes through every operation on threads with a stack of 4 MiB, in a debug build too.
//!
//! A debug build of this repository is one at optimisation level 1. At level 0 every mention of a value by name is a copy
//! of it in the frame, in the caller's as in ours: there `GOCHAN_STACK_MIB` says how much stack the threads get.
//!
//! Each operation is a thread named after it: should one need more stack, the runtime names it when it aborts. A frame
//! of the test has what the operation needs and no more: the value to send, and the result that may hold it or another.

mod common;

use common::{PATIENCE, watchdog};
use gochan::{Chan, Receiver, Sender, bounded, unbounded};
use std::collections::VecDeque;
use std::thread;
use std::time::{Duration, Instant};

const SIZE: usize = 1 << 20;

fn stack() -> usize {
    std::env::var("GOCHAN_STACK_MIB").map_or(4, |mib| mib.parse().expect("a number of MiB")) << 20
}

/// One MiB that holds its number at both ends.
struct Big([u8; SIZE]);

impl Big {
    #[inline(never)]
    fn new(number: u8) -> Self {
        let mut big = Self([0; SIZE]);
        big.0[0] = number;
        big.0[SIZE - 1] = number;
        big
    }

    #[inline(never)]
    fn check(&self, number: u8) {
        assert_eq!((self.0[0], self.0[SIZE / 2], self.0[SIZE - 1]), (number, 0, number));
    }
}

/// Runs `sending` and `receiving`, each on a thread with a small stack.
fn meet(name: &str, (tx, rx): (Sender<Big>, Receiver<Big>), sending: fn(&Sender<Big>), receiving: fn(&Receiver<Big>)) {
    thread::scope(|scope| {
        let sender = thread::Builder::new().name(format!("{name}, sending")).stack_size(stack());
        sender.spawn_scoped(scope, move || sending(&tx)).unwrap();
        let receiver = thread::Builder::new().name(format!("{name}, receiving")).stack_size(stack());
        receiver.spawn_scoped(scope, move || receiving(&rx)).unwrap();
    });
}

/// The same, at capacities 0, 1 and unbounded.
fn everywhere(name: &'static str, sending: fn(&Sender<Big>), receiving: fn(&Receiver<Big>)) {
    watchdog(move || {
        meet(&format!("{name} at capacity 0"), bounded(0), sending, receiving);
        meet(&format!("{name} at capacity 1"), bounded(1), sending, receiving);
        meet(&format!("{name} unbounded"), unbounded(), sending, receiving);
    });
}

fn send(tx: &Sender<Big>) {
    for number in 1..=3 {
        assert!(tx.send(Big::new(number)).is_ok());
    }
}

fn send_and_close(tx: &Sender<Big>) {
    send(tx);
    tx.close();
}

fn recv(rx: &Receiver<Big>) {
    for number in 1..=3 {
        match &rx.recv() {
            Ok(big) => big.check(number),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn send_and_recv() {
    everywhere("send, recv", send, recv);
}

#[test]
fn a_send_to_a_closed_channel_returns_the_value() {
    fn refused(tx: &Sender<Big>) {
        tx.close();
        match &tx.send(Big::new(1)) {
            Ok(()) => panic!("closed"),
            Err(error) => error.0.check(1),
        }
    }
    everywhere("send to closed", refused, |rx| while rx.recv().is_ok() {});
}

#[test]
fn try_send() {
    fn trying(tx: &Sender<Big>) {
        for number in 1..=3 {
            // Refused until there is room or a receiver, and then the value comes back.
            loop {
                match &tx.try_send(Big::new(number)) {
                    Ok(()) => break,
                    Err(gochan::TrySendError::Full(big)) => big.check(number),
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }
    everywhere("try_send", trying, recv);
}

#[test]
fn send_timeout() {
    fn patient(tx: &Sender<Big>) {
        for number in 1..=3 {
            assert!(tx.send_timeout(Big::new(number), PATIENCE).is_ok());
        }
    }
    everywhere("send_timeout", patient, recv);
}

#[test]
fn send_deadline() {
    fn patient(tx: &Sender<Big>) {
        for number in 1..=3 {
            assert!(tx.send_deadline(Big::new(number), Instant::now() + PATIENCE).is_ok());
        }
    }
    everywhere("send_deadline", patient, recv);
}

#[test]
fn send_timeout_gives_the_value_back() {
    fn impatient(tx: &Sender<Big>) {
        match &tx.send_timeout(Big::new(1), Duration::from_millis(1)) {
            Ok(()) => panic!("nobody receives"),
            Err(error) => match error {
                gochan::SendTimeoutError::Timeout(big) => big.check(1),
                gochan::SendTimeoutError::Disconnected(_) => panic!("{error}"),
            },
        }
        tx.close();
    }
    watchdog(|| meet("send_timeout in vain", bounded(0), impatient, |rx| while !rx.is_closed() {}));
}

#[test]
fn try_recv() {
    fn trying(rx: &Receiver<Big>) {
        for number in 1..=3 {
            loop {
                match &rx.try_recv() {
                    Ok(big) => break big.check(number),
                    Err(error) => assert!(error.is_empty(), "{error}"),
                }
            }
        }
    }
    everywhere("try_recv", send, trying);
}

#[test]
fn recv_timeout() {
    fn patient(rx: &Receiver<Big>) {
        for number in 1..=3 {
            match &rx.recv_timeout(PATIENCE) {
                Ok(big) => big.check(number),
                Err(error) => panic!("{error}"),
            }
        }
    }
    everywhere("recv_timeout", send, patient);
}

#[test]
fn recv_timeout_in_vain() {
    fn impatient(rx: &Receiver<Big>) {
        assert!(rx.recv_timeout(Duration::from_millis(1)).is_err());
        rx.close();
    }
    watchdog(|| meet("recv_timeout in vain", bounded(1), |tx| while !tx.is_closed() {}, impatient));
}

#[test]
fn recv_deadline() {
    fn patient(rx: &Receiver<Big>) {
        for number in 1..=3 {
            match &rx.recv_deadline(Instant::now() + PATIENCE) {
                Ok(big) => big.check(number),
                Err(error) => panic!("{error}"),
            }
        }
    }
    everywhere("recv_deadline", send, patient);
}

#[test]
fn iter() {
    fn iterate(rx: &Receiver<Big>) {
        let mut number = 0;
        for big in rx {
            number += 1;
            big.check(number);
        }
        assert_eq!(number, 3);
    }
    everywhere("iter", send_and_close, iterate);
}

#[test]
fn into_iter() {
    fn iterate(rx: &Receiver<Big>) {
        let mut iter = rx.clone().into_iter();
        for number in 1..=3 {
            match &iter.next() {
                Some(big) => big.check(number),
                None => panic!("closed"),
            }
        }
    }
    everywhere("into_iter", send, iterate);
}

#[test]
fn try_iter() {
    fn iterate(rx: &Receiver<Big>) {
        for number in 1..=3 {
            loop {
                if let Some(big) = &rx.try_iter().next() {
                    break big.check(number);
                }
            }
        }
    }
    everywhere("try_iter", send, iterate);
}

#[test]
fn force_send() {
    #[inline(never)]
    fn force(tx: &Sender<Big>, number: u8) -> bool {
        match &tx.force_send(Big::new(number)) {
            Ok(None) => true,
            // The one before it, which made room; at capacity 0 without a receiver this one.
            Ok(Some(big)) => {
                big.check(if tx.capacity() == Some(0) { number } else { number - 1 });
                true
            }
            Err(error) => {
                error.0.check(number);
                false
            }
        }
    }
    fn forcing(tx: &Sender<Big>) {
        assert!(force(tx, 1) && force(tx, 2));
        tx.close();
        assert!(!force(tx, 3));
    }
    everywhere("force_send", forcing, |rx| while rx.recv().is_ok() {});
}

#[test]
fn send_many() {
    fn many(tx: &Sender<Big>) {
        let mut values = VecDeque::with_capacity(3);
        for number in 1..=3 {
            values.push_back(Big::new(number));
        }
        assert!(tx.send_many(&mut values).is_ok());
        assert!(values.is_empty());
    }
    everywhere("send_many", many, recv);
}

#[test]
fn send_many_to_a_closed_channel_leaves_the_values() {
    fn many(tx: &Sender<Big>) {
        tx.close();
        let mut values = VecDeque::with_capacity(1);
        values.push_back(Big::new(1));
        assert!(tx.send_many(&mut values).is_err());
        values[0].check(1);
    }
    everywhere("send_many to closed", many, |rx| while rx.recv().is_ok() {});
}

#[test]
fn recv_many() {
    fn many(rx: &Receiver<Big>) {
        let mut values = Vec::new();
        while values.len() < 3 {
            assert_ne!(rx.recv_many(&mut values, 2), 0);
        }
        for (big, number) in values.iter().zip(1..) {
            big.check(number);
        }
    }
    everywhere("recv_many", send, many);
}

#[test]
fn drain() {
    fn draining(rx: &Receiver<Big>) {
        let mut number = 0;
        while !(rx.is_closed() && rx.is_empty()) {
            let mut drain = rx.drain();
            while let Some(big) = &drain.next() {
                number += 1;
                big.check(number);
            }
        }
        assert_eq!(number, 3);
    }
    watchdog(|| {
        // Drain takes what is buffered; at capacity 0 nothing is.
        meet("drain at capacity 1", bounded(1), send_and_close, draining);
        meet("drain unbounded", unbounded(), send_and_close, draining);
    });
}

#[test]
fn values_left_in_the_channel_are_dropped() {
    fn leave(tx: &Sender<Big>) {
        assert!(tx.try_send(Big::new(1)).is_ok());
    }
    watchdog(|| {
        meet("left at capacity 1", bounded(1), leave, |rx| while rx.is_empty() {});
        meet("left unbounded", unbounded(), leave, |rx| while rx.is_empty() {});
    });
}

/// Go's face: what `meet` is for the handles.
fn meet_as_in_go(name: &'static str, sending: fn(&Chan<Big>), receiving: fn(&Chan<Big>)) {
    watchdog(move || {
        for cap in [0, 1] {
            let chan = Chan::new(cap);
            thread::scope(|scope| {
                let sender = thread::Builder::new().name(format!("{name} at capacity {cap}, sending"));
                sender.stack_size(stack()).spawn_scoped(scope, || sending(&chan)).unwrap();
                let receiver = thread::Builder::new().name(format!("{name} at capacity {cap}, receiving"));
                receiver.stack_size(stack()).spawn_scoped(scope, || receiving(&chan)).unwrap();
            });
        }
    });
}

#[test]
fn chan_send_and_recv() {
    fn receiving(chan: &Chan<Big>) {
        for number in 1..=3 {
            match &chan.recv() {
                Some(big) => big.check(number),
                None => panic!("closed"),
            }
        }
    }
    meet_as_in_go("Chan::send", |chan| (1..=3).for_each(|number| chan.send(Big::new(number))), receiving);
}

#[test]
fn chan_try_send_and_try_recv() {
    fn sending(chan: &Chan<Big>) {
        for number in 1..=3 {
            while chan.try_send(Big::new(number)).is_err() {}
        }
        chan.close();
    }
    fn receiving(chan: &Chan<Big>) {
        let mut number = 0;
        loop {
            match &chan.try_recv() {
                Ok(Some(big)) => {
                    number += 1;
                    big.check(number);
                }
                Ok(None) => break,
                Err(_) => {}
            }
        }
        assert_eq!(number, 3);
    }
    // Two that only try never meet at capacity 0: neither waits for the other.
    watchdog(|| {
        let chan = Chan::new(1);
        thread::scope(|scope| {
            let sender = thread::Builder::new().name("Chan::try_send".into()).stack_size(stack());
            sender.spawn_scoped(scope, || sending(&chan)).unwrap();
            let receiver = thread::Builder::new().name("Chan::try_recv".into()).stack_size(stack());
            receiver.spawn_scoped(scope, || receiving(&chan)).unwrap();
        });
    });
}
