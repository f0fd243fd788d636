//! The names around `select!`: the crate's, the program's own, and those of macros; none of them is in the way.

#![deny(warnings, unused, unused_mut, unreachable_code, clippy::all)]

mod common;

use common::watchdog;
use gochan::{Chan, Receiver, Sender, never};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(1);

#[test]
fn the_macro_behind_the_macros() {
    watchdog(|| {
        // By the name that crossbeam-channel has for it.
        const _IS_BIASED: bool = true;
        let (tx, rx) = gochan::unbounded();
        tx.send(1).unwrap();
        let value = gochan::crossbeam_channel_internal! { recv(rx) -> value => value, default => Ok(2) };
        assert_eq!(value, Ok(1));
    });
}

mod renamed {
    extern crate gochan as cc;

    #[test]
    fn the_crate_under_another_name() {
        super::watchdog(|| {
            let (tx, rx) = cc::bounded(1);
            cc::select! { send(tx, 1) -> sent => sent.unwrap(), recv(rx) -> _ => {} }
            cc::select_biased! { recv(rx) -> value => assert_eq!(value, Ok(1)), default => unreachable!() }
        });
    }
}

mod names {
    #![allow(dead_code, reason = "they are here to be in the way")]

    use gochan::*;

    // What a program may call its own.
    mod select {}
    mod select_biased {}
    mod chan {}
    mod core {}
    mod std {}
    mod __private {}
    struct Select;
    struct Some;
    struct None;
    type Option = ();
    type Result = ();
    fn after() {}
    fn tick() {}
    fn never() {}
    fn bounded() {}

    #[test]
    fn of_the_program_go_first() {
        super::watchdog(|| {
            let (tx, rx) = unbounded();
            select! { send(tx, 1) -> sent => sent.unwrap(), recv(rx) -> _ => {} }
            select_biased! { recv(rx) -> value => assert_eq!(value, Ok(1)), default(LONG) => {} }
            select! { recv(rx) -> _ => {} default => {} }
        });
    }

    const LONG: super::Duration = super::LONG;
}

mod bare {
    #![no_implicit_prelude]

    #[test]
    fn without_a_prelude() {
        super::watchdog(|| {
            let (tx, rx) = ::gochan::bounded(1);
            ::gochan::select! { send(tx, 1) -> _ => {} default => {} }
            ::gochan::select_biased! { recv(rx) -> _ => {} default(super::LONG) => {} }
            let chan = ::gochan::Chan::new(1);
            ::gochan::select! { recv(chan) -> _ => {} send(chan, 1) -> () => {} }
        });
    }
}

mod safe {
    #![forbid(unsafe_code)]

    #[test]
    fn where_nothing_unsafe_may_be_written() {
        super::watchdog(|| {
            let (tx, rx) = gochan::bounded(1);
            gochan::select! { send(tx, 1) -> _ => {} recv(rx) -> _ => {} default(super::SHORT) => {} }
            gochan::select! { recv(rx) -> value => assert_eq!(value, Ok(1)) }
        });
    }
}

mod tidy {
    #![deny(clippy::pedantic)]

    use super::{Chan, Duration, Receiver, Sender};

    /// What a program does all day.
    fn usual(rx: &Receiver<String>, tx: &Sender<u64>, quit: &Receiver<()>, chan: &Chan<u8>) -> Result<usize, String> {
        let mut done = 0;
        loop {
            gochan::select! {
                recv(rx) -> line => match line {
                    Ok(line) => done += line.len(),
                    Err(error) => return Err(error.to_string()),
                },
                send(tx, done as u64) -> sent => sent.map_err(|error| error.to_string())?,
                send(chan, 1) -> () => {}
                recv(chan) -> value => done += usize::from(value.is_some()),
                recv(quit) -> _ => return Ok(done),
                default(Duration::from_millis(1)) => break,
            }
        }
        Ok(done)
    }

    #[test]
    fn the_pickiest_reader_has_nothing_to_say() {
        super::watchdog(|| {
            let (tx, rx) = gochan::unbounded();
            tx.send(String::from("abc")).unwrap();
            drop(tx);
            let (quit, quits) = gochan::bounded(0);
            let chan = Chan::nil();
            assert_eq!(usual(&rx, &Sender::never(), &quits, &chan).unwrap_err(), gochan::RecvError.to_string());
            drop(quit);
            assert_eq!(usual(&super::never(), &Sender::never(), &quits, &chan), Ok(0));
            assert_eq!(usual(&super::never(), &Sender::never(), &super::never(), &chan), Ok(0));
        });
    }
}
