//! What channels allocate: counted by the allocator, per thread.

mod common;

use common::alloc::{Counting, allocations, allocations_of, live_bytes};
use common::{wait_until, waiting, watchdog};
use gochan::{Receiver, RecvTimeoutError, Select, SendTimeoutError, Sender, bounded, unbounded};
use std::collections::VecDeque;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most that a block of a buffer takes which is kept for the next value.
const KEPT: isize = 33 << 10;

#[test]
fn a_hundred_thousand_channels_at_once() {
    const CHANNELS: isize = 100_000;
    type Make = fn() -> (Sender<u64>, Receiver<u64>);
    let kinds: [(&str, Make); 3] =
        [("capacity 0", || bounded(0)), ("capacity 16", || bounded(16)), ("unbounded", unbounded)];
    let mut sizes = String::new();
    for (kind, make) in kinds {
        let mut channels = Vec::with_capacity(CHANNELS as usize);
        let before = live_bytes();
        channels.extend((0..CHANNELS).map(|_| make()));
        let each = (live_bytes() - before) / CHANNELS;
        assert!(each <= 512, "{kind}: {each} bytes");
        // They are channels.
        for (i, (tx, rx)) in channels.iter().enumerate().step_by(1000) {
            assert_eq!(tx.try_send(i as u64).is_ok(), kind != "capacity 0");
            assert_eq!(rx.try_recv().is_ok(), kind != "capacity 0");
        }
        channels.clear();
        assert_eq!(live_bytes(), before, "everything is given back");
        sizes += &format!(" {kind} {each},");
    }
    // Past the test harness, which would keep it to itself.
    let _ = writeln!(std::io::stderr(), "bytes per empty channel:{}", sizes.trim_end_matches(','));
}

#[test]
fn a_capacity_costs_nothing_until_it_is_used() {
    let before = live_bytes();
    let (tx, rx) = bounded::<u64>(10_000_000);
    let (units, _rest) = bounded::<()>(1 << 40);
    let (large, _rest) = bounded::<[u8; 1 << 10]>(1 << 30);
    assert!(live_bytes() - before < 2048);
    assert_eq!((units.capacity(), large.capacity()), (Some(1 << 40), Some(1 << 30)));

    // And then as much as is in use.
    tx.send(1).unwrap();
    assert!(live_bytes() - before < 8192);
    (0..10_000).for_each(|i| tx.send(i).unwrap());
    assert!(live_bytes() - before < 4 * 8 * 10_000);
    assert_eq!(rx.len(), 10_001);

    // Values of size zero never need any.
    let then = live_bytes();
    (0..1_000_000).for_each(|_| units.send(()).unwrap());
    assert_eq!((units.len(), live_bytes()), (1_000_000, then));
}

#[test]
fn a_burst_takes_little_more_than_its_values() {
    fn fill<T: Clone>(value: &T) {
        let before = live_bytes();
        let (tx, _rx) = unbounded();
        for i in 1..if cfg!(miri) { 5_000 } else { 50_000 } {
            tx.send(value.clone()).unwrap();
            let taken = (live_bytes() - before) as usize;
            let values = i * size_of::<T>();
            // What a block's header takes is little next to a sixteenth of what was there before it.
            let unused = (16 << 10).max(values / 16) + values / 512 + (1 << 10);
            assert!(taken <= values + unused, "{i} values of {} bytes take {taken}", size_of::<T>());
        }
    }
    fill(&0_u64);
    fill(&[0_u8; 100]);
    fill(&[0_u64; 32]);
}

#[test]
fn without_a_buffer_there_is_no_buffer() {
    // One allocation for both handles, whatever the type of the values, where nothing is buffered.
    let count = |f: fn()| {
        let before = allocations();
        f();
        allocations() - before
    };
    assert_eq!(count(|| drop(bounded::<[u64; 1000]>(0))), 1);
    assert_eq!(count(|| drop(bounded::<String>(1000))), 1);
    assert_eq!(count(|| drop(unbounded::<u8>())), 1);
    assert_eq!(
        count(|| {
            let (tx, _rx) = bounded::<()>(1000);
            tx.send(()).unwrap();
        }),
        1
    );
    // A buffer is one more: values with pointers in them need no other.
    assert_eq!(
        count(|| {
            let (tx, _rx) = bounded::<Vec<u8>>(100);
            (0..100).for_each(|_| tx.send(Vec::new()).unwrap());
        }),
        2
    );
}

#[test]
fn sending_and_receiving_allocate_nothing() {
    for (tx, rx) in [bounded(1), bounded(2), bounded(100), bounded(1_000_000), unbounded()] {
        let most = tx.capacity().unwrap_or(100).min(100);
        let steady = allocations_of(|| {
            for round in 0..1000 {
                let some = 1 + round % most;
                (0..some).for_each(|i| tx.send(i).unwrap());
                (0..some).for_each(|i| assert_eq!(rx.recv(), Ok(i)));
                (0..some).for_each(|i| tx.try_send(i).unwrap());
                (0..some).for_each(|i| assert_eq!(rx.try_recv(), Ok(i)));
                (0..some).for_each(|i| tx.send_timeout(i, Duration::ZERO).unwrap());
                assert!(rx.try_iter().eq(0..some));
            }
        });
        assert_eq!(steady, 0, "capacity {:?}", tx.capacity());
    }
}

#[test]
fn a_full_buffer_goes_round_without_allocating() {
    for (tx, rx) in [bounded(1), bounded(128), bounded(4096)] {
        (0..tx.capacity().unwrap()).for_each(|i| tx.send(i).unwrap());
        let round = allocations_of(|| {
            for _ in 0..20_000 {
                assert!(tx.try_send(0).is_err());
                let value = rx.recv().unwrap();
                tx.send(value).unwrap();
                assert!(tx.force_send(value).unwrap().is_some());
            }
        });
        assert_eq!(round, 0, "capacity {:?}", tx.capacity());
    }
}

#[test]
fn refusals_allocate_nothing() {
    let (tx, rx) = bounded(0);
    let refusals = allocations_of(|| {
        for _ in 0..100 {
            assert!(tx.try_send(1).is_err() && rx.try_recv().is_err());
            assert_eq!(tx.send_timeout(1, Duration::ZERO), Err(SendTimeoutError::Timeout(1)));
            assert_eq!(rx.recv_timeout(Duration::from_micros(100)), Err(RecvTimeoutError::Timeout));
        }
    });
    assert_eq!(refusals, 0);
    rx.close();
    assert_eq!(allocations_of(|| assert!(tx.send(1).is_err() && rx.recv().is_err())), 0);
}

#[test]
fn several_at_a_time_allocate_only_what_holds_them() {
    let (tx, rx) = bounded(64);
    let (mut values, mut got) = (VecDeque::with_capacity(64), Vec::with_capacity(64));
    let steady = allocations_of(|| {
        for _ in 0..100 {
            values.extend(0..64);
            tx.send_many(&mut values).unwrap();
            while got.len() < 64 {
                rx.recv_many(&mut got, 64);
            }
            got.clear();
        }
    });
    assert_eq!(steady, 0);
}

#[test]
fn parking_allocates_nothing() {
    watchdog(|| {
        struct Here;
        struct Back;
        const ROUNDS: usize = 50;
        // Asleep, not only queued.
        fn wait_for_sleep<T>() {
            wait_until(|| waiting::<T>().iter().any(|waiting| waiting.asleep_for.is_some()));
        }
        let (tx, rx) = bounded::<Here>(0);
        let (back_tx, back_rx) = bounded::<Back>(1);
        assert!(back_tx.send(Back).is_ok());
        thread::scope(|scope| {
            let receiver = scope.spawn(|| {
                // The first sleep makes the channel known to who asks for waiters, and the thread its handle.
                assert!(rx.recv().is_ok());
                let before = allocations();
                (0..ROUNDS).for_each(|_| assert!(rx.recv().is_ok()));
                allocations() - before
            });
            let sender = scope.spawn(|| {
                assert!(back_tx.send(Back).is_ok());
                let before = allocations();
                (0..ROUNDS).for_each(|_| assert!(back_tx.send(Back).is_ok()));
                allocations() - before
            });
            let mut waking = 0;
            for _ in 0..ROUNDS + 1 {
                wait_for_sleep::<Here>();
                wait_for_sleep::<Back>();
                let before = allocations();
                assert!(tx.send(Here).is_ok() && back_rx.recv().is_ok());
                waking += allocations() - before;
            }
            assert_eq!((receiver.join().unwrap(), sender.join().unwrap(), waking), (0, 0, 0));
        });
    });
}

#[test]
fn closing_with_many_waiters_allocates_nothing() {
    watchdog(|| {
        struct Here;
        let (tx, rx) = bounded::<Here>(0);
        thread::scope(|scope| {
            for _ in 0..100 {
                scope.spawn(|| assert!(rx.recv().is_err()));
            }
            wait_until(|| waiting::<Here>().iter().filter(|waiting| waiting.asleep_for.is_some()).count() == 100);
            let before = allocations();
            tx.close();
            assert_eq!(allocations() - before, 0);
        });
    });
}

#[test]
fn the_memory_of_a_burst_goes_back() {
    const BURST: u64 = 300_000;
    for (tx, rx) in [bounded(300_000), unbounded()] {
        let before = live_bytes();
        for _ in 0..3 {
            (0..BURST).for_each(|i| tx.send(i).unwrap());
            assert!(live_bytes() - before >= 8 * 300_000);
            // With the values, not only when all are gone.
            assert!(rx.iter().take(150_000).eq(0..150_000));
            assert!(live_bytes() - before < 8 * 200_000 + (512 << 10));
            assert!(rx.try_iter().eq(150_000..BURST));
            assert!(live_bytes() - before <= KEPT, "{} bytes", live_bytes() - before);
        }
        (0..BURST).for_each(|i| tx.send(i).unwrap());
        assert_eq!(rx.drain().len(), 300_000);
        assert!(live_bytes() - before <= KEPT);
        drop((tx, rx));
        assert!(live_bytes() <= before);
    }
}

/// As many operations as one likes leave nothing behind: `GOCHAN_OPERATIONS`, or a few millions, through each kind of channel, whose
/// buffer is now nearly empty and now nearly full.
#[test]
fn many_operations_keep_nothing() {
    let asked = std::env::var("GOCHAN_OPERATIONS").ok().and_then(|operations| operations.parse().ok());
    let operations: u64 = asked.unwrap_or(4_000_000);
    for (tx, rx) in [bounded(1), bounded(128), bounded(5000), unbounded()] {
        let most = tx.capacity().unwrap_or(3000) as u64;
        let (mut sent, mut received) = (0, 0);
        let mut go_on = |until: u64| {
            while sent + received < until {
                // In waves, each of another height.
                let height = 1 + sent * 7919 % most;
                (0..height).for_each(|i| tx.send(sent + i).unwrap());
                sent += height;
                assert!(rx.try_iter().eq(received..sent));
                received = sent;
            }
        };
        go_on(operations / 10);
        let (before, allocated) = (live_bytes(), allocations());
        go_on(operations);
        assert!(live_bytes() - before <= KEPT, "{} bytes", live_bytes() - before);
        if tx.capacity().is_some_and(|capacity| capacity <= 128) {
            assert_eq!(allocations(), allocated, "its buffer is a single block, which stays");
        }
    }
}

#[test]
fn a_channel_gives_everything_back() {
    let before = live_bytes();
    for (tx, rx) in [bounded(0), bounded(10), bounded(10_000), unbounded()] {
        for i in 0..1000 {
            let _ = tx.try_send(Box::new(i));
        }
        rx.try_iter().take(100).for_each(drop);
        let weak = (tx.downgrade(), rx.downgrade());
        drop(tx);
        drop(rx);
        drop(weak);
    }
    assert_eq!(live_bytes(), before);
}

/// A value that was given back takes memory until it is received, and no longer.
#[test]
fn a_value_that_came_back_leaves_nothing() {
    let (tx, rx) = unbounded();
    let mut select = Select::new();
    select.recv(&rx);
    tx.send(1).unwrap();
    let before = live_bytes();
    drop(select.select());
    assert!(live_bytes() > before);
    assert_eq!((rx.recv(), live_bytes()), (Ok(1), before));
}

#[test]
fn the_buffer_goes_with_the_last_receiver() {
    // Not with the channel, which its senders may keep for long.
    let (tx, rx) = unbounded();
    let before = live_bytes();
    (0..100_000).for_each(|i| tx.send(i).unwrap());
    drop(rx);
    assert!(live_bytes() <= before);
    drop(tx);
}

#[test]
fn a_panicking_drop_gives_the_buffer_back_too() {
    struct Grenade(bool);
    impl Drop for Grenade {
        fn drop(&mut self) {
            if self.0 {
                std::panic::resume_unwind(Box::new(()));
            }
        }
    }
    let round = || {
        for (tx, rx) in [bounded(1000), unbounded()] {
            (0..1000).for_each(|i| assert!(tx.send(Grenade(i == 500)).is_ok()));
            assert!(catch_unwind(AssertUnwindSafe(|| drop(rx))).is_err());
        }
    };
    round();
    let before = live_bytes();
    round();
    assert_eq!(live_bytes(), before);
}

/// A weak handle whose kind is gone keeps the channel only as long as it is there itself.
#[test]
fn an_upgrade_in_vain_leaks_nothing() {
    let in_vain = || {
        let (tx, rx) = unbounded::<u8>();
        let (weak_tx, weak_rx) = (tx.downgrade(), rx.downgrade());
        drop((tx, rx));
        assert!(weak_tx.upgrade().is_none() && weak_rx.upgrade().is_none());
    };
    in_vain();
    let before = live_bytes();
    in_vain();
    assert_eq!(live_bytes(), before);
}
