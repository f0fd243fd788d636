//! The hot paths, for an instrument that noise cannot touch: one operation, repeated as often as told, on one thread.
//! `scripts/callgrind` counts the instructions of two runs and divides the difference; the setup falls out.
//!
//! hotpaths LIBRARY OPERATION COUNT, or hotpaths --list

use std::ffi::{c_uint, c_void};
use std::hint::black_box;

/// A name, and what does it that many times.
type Operation = (&'static str, fn(usize));

/// The operations on one channel, for a library with crossbeam-channel's names.
macro_rules! operations {
    ($library:ident) => {
        use super::{Operation, black_box};
        use $library::{Receiver, Sender, bounded, unbounded};

        type Channel = (Sender<usize>, Receiver<usize>);

        pub const OPERATIONS: [Operation; 17] = [
            ("bounded1_send_recv", |n| send_recv(bounded(1), n)),
            ("bounded128_send_recv", |n| send_recv(bounded(128), n)),
            ("unbounded_send_recv", |n| send_recv(unbounded(), n)),
            ("bounded128_try_send_try_recv", |n| try_send_try_recv(bounded(128), n)),
            ("bounded128_fill_drain", |n| fill_drain(bounded(128), n)),
            ("unbounded_fill_drain", |n| fill_drain(unbounded(), n)),
            ("bounded0_try_send_refused", |n| try_send_refused(bounded(0), n)),
            ("bounded1_try_send_refused", |n| try_send_refused(bounded(1), n)),
            ("bounded128_try_send_refused", |n| try_send_refused(bounded(128), n)),
            ("bounded0_try_recv_refused", |n| try_recv_refused(bounded(0), n)),
            ("bounded128_try_recv_refused", |n| try_recv_refused(bounded(128), n)),
            ("unbounded_try_recv_refused", |n| try_recv_refused(unbounded(), n)),
            ("bounded128_recv_disconnected", |n| recv_disconnected(bounded(128), n)),
            ("bounded0_make_drop", |n| repeat(n, |_| bounded::<usize>(0))),
            ("bounded128_make_drop", |n| repeat(n, |_| bounded::<usize>(128))),
            ("unbounded_make_drop", |n| repeat(n, |_| unbounded::<usize>())),
            ("sender_clone_drop", |n| clone_drop(bounded(1), n)),
        ];

        fn repeat<T>(n: usize, operation: impl Fn(usize) -> T) {
            for i in 0..n {
                black_box(operation(black_box(i)));
            }
        }

        fn send_recv((tx, rx): Channel, n: usize) {
            repeat(n, |i| {
                tx.send(i).unwrap();
                rx.recv().unwrap()
            });
        }

        fn try_send_try_recv((tx, rx): Channel, n: usize) {
            repeat(n, |i| {
                tx.try_send(i).unwrap();
                rx.try_recv().unwrap()
            });
        }

        /// A send and a receive as well, but 100 of each at a time.
        fn fill_drain((tx, rx): Channel, n: usize) {
            for _ in 0..n / 100 {
                repeat(100, |i| tx.send(i).unwrap());
                repeat(100, |_| rx.recv().unwrap());
            }
        }

        fn try_send_refused((tx, _rx): Channel, n: usize) {
            while tx.try_send(0).is_ok() {}
            repeat(n, |i| tx.try_send(i).is_err());
        }

        fn try_recv_refused((_tx, rx): Channel, n: usize) {
            repeat(n, |_| rx.try_recv().is_err());
        }

        fn recv_disconnected((tx, rx): Channel, n: usize) {
            drop(tx);
            repeat(n, |_| rx.recv().is_err());
        }

        fn clone_drop((tx, _rx): Channel, n: usize) {
            repeat(n, |_| tx.clone());
        }
    };
}

/// Selects over receivers, for a library with crossbeam-channel's `Select`.
macro_rules! selects {
    ($library:ident) => {
        use $library::Select;

        pub const SELECTS: [Operation; 4] = [
            ("select2_send_select", |n| send_select(2, n)),
            ("select8_send_select", |n| send_select(8, n)),
            ("select2_refused", |n| refused(2, n)),
            ("select8_refused", |n| refused(8, n)),
        ];

        /// A send to one of the channels in turn, and the select that receives it.
        fn send_select(arms: usize, n: usize) {
            let (txs, rxs): (Vec<_>, Vec<_>) = (0..arms).map(|_| bounded(128)).unzip();
            let mut select = over(&rxs);
            for i in 0..n {
                txs[i % arms].send(i).unwrap();
                let ready = select.select();
                let rx = &rxs[ready.index()];
                black_box(ready.recv(rx).unwrap());
            }
        }

        fn refused(arms: usize, n: usize) {
            let (_txs, rxs): (Vec<_>, Vec<_>) = (0..arms).map(|_| bounded(128)).unzip();
            let mut select = over(&rxs);
            for _ in 0..n {
                black_box(select.try_select().is_err());
            }
        }

        fn over(receivers: &[Receiver<usize>]) -> Select<'_> {
            let mut select = Select::new();
            for rx in receivers {
                select.recv(rx);
            }
            select
        }
    };
}

mod ours {
    operations!(gochan);
    selects!(gochan);
}

mod crossbeam {
    operations!(crossbeam_channel);
    selects!(crossbeam_channel);
}

/// libc's, which the standard library asks for entropy. What comes of it is the order in which a select looks at its arms, and so
/// how many it looks at: the same in every run, for the same count.
///
/// # Safety
///
/// `buffer` must be `length` bytes long.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut c_void, length: usize, _flags: c_uint) -> isize {
    // SAFETY: the caller promises the length.
    unsafe { buffer.cast::<u8>().write_bytes(0, length) };
    length.cast_signed()
}

/// Callgrind counts from here on, by this name.
fn main() {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let all = |library: &str| match library {
        "gochan" => [&ours::OPERATIONS[..], &ours::SELECTS].concat(),
        "crossbeam" => [&crossbeam::OPERATIONS[..], &crossbeam::SELECTS].concat(),
        _ => panic!("no library {library}"),
    };
    match args[..] {
        ["--list"] => all("crossbeam").iter().for_each(|(name, _)| println!("{name}")),
        [library, operation, count] => match all(library).iter().find(|known| known.0 == operation) {
            Some((_, run)) => run(count.parse().expect("a count")),
            None => std::process::exit(3),
        },
        _ => panic!("hotpaths LIBRARY OPERATION COUNT, or hotpaths --list"),
    }
}
