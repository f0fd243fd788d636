//! What can go through a channel, and which threads a channel may go to.

mod common;

use common::{is, wait_for_waiting, watchdog};
use gochan::{
    Chan, Drain, IntoIter, Iter, ReadyTimeoutError, Receiver, RecvError, RecvTimeoutError, Select, SelectTimeoutError,
    SelectedOperation, SendError, SendTimeoutError, Sender, TryIter, TryReadyError, TryRecvError, TrySelectError,
    TrySendError, WeakReceiver, WeakSender, after, at, bounded, rt, tick, unbounded,
};
use std::any::Any;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Debug;
use std::marker::{PhantomData, PhantomPinned};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::rc::Rc;
use std::sync::MutexGuard;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Sends `values` through channels of several capacities to another thread, which must get the same.
fn passes<T: Send + Sync + PartialEq + Debug + Clone + 'static>(values: &[T]) {
    for (tx, rx) in [bounded(0), bounded(1), bounded(3), unbounded()] {
        thread::scope(|scope| {
            scope.spawn(move || values.iter().for_each(|value| tx.send(value.clone()).unwrap()));
            assert_eq!(rx.iter().collect::<Vec<T>>(), values);
        });
    }
}

#[test]
fn values_of_many_types() {
    watchdog(|| {
        passes(&[1_u8, 0, 255]);
        passes(&[i128::MIN, -1, i128::MAX]);
        passes(&['a', 'é', '𝄞']);
        passes(&["one".to_string(), String::new(), "x".repeat(10_000)]);
        passes(&[vec![1, 2], vec![], vec![3]]);
        passes(&[BTreeMap::from([(1, "one")]), BTreeMap::new()]);
        passes(&[Some(Box::new(1)), None]);
        passes(&[None::<&'static str>, Some("")]);
        passes(&[[7_u16; 500], [8; 500]]);
        passes(&[Ok::<(), String>(()), Err("no".into())]);
        passes::<fn(i32) -> i32>(&[i32::abs, i32::signum]);
        passes(&[(1.5_f64, true), (-0.0, false)]);
    });
}

#[test]
fn values_of_size_zero() {
    watchdog(|| {
        passes(&[(); 100]);
        passes(&[[0_u64; 0]; 100]);
        passes(&[PhantomData::<String>; 100]);
    });
}

#[test]
fn values_of_size_zero_are_dropped_once_each() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    struct Unit;
    impl Drop for Unit {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }
    for (tx, rx) in [bounded(100), unbounded()] {
        DROPPED.store(0, Ordering::Relaxed);
        (0..100).for_each(|_| assert!(tx.send(Unit).is_ok()));
        rx.try_iter().take(40).for_each(drop);
        assert_eq!(DROPPED.load(Ordering::Relaxed), 40);
        drop(tx.force_send(Unit));
        drop((tx, rx));
        assert_eq!(DROPPED.load(Ordering::Relaxed), 101);
    }
}

/// What a thread waits with may lie beside its wait, if it is small: whatever becomes of the wait, each value is somewhere once.
#[test]
fn values_of_those_who_wait() {
    /// Of so many bytes, where `A` may lie.
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Bytes<const N: usize, A>([u8; N], [A; 0]);

    fn waits<const N: usize, A: Copy + Debug + PartialEq + Send + 'static>() {
        let value = |i| Bytes::<N, A>([i; N], []);
        let wait_for_one = wait_for_waiting::<Bytes<N, A>>;
        for cap in [0, 1] {
            let (tx, rx) = bounded(cap);
            // A receiver that waits, in vain and not.
            assert!(rx.recv_timeout(Duration::from_millis(1)).is_err());
            let received = thread::scope(|scope| {
                let receiver = scope.spawn(|| rx.recv_timeout(Duration::from_secs(60)));
                wait_for_one(1);
                tx.send(value(1)).unwrap();
                receiver.join().unwrap()
            });
            assert_eq!(received, Ok(value(1)));
            // A sender: its value is taken, or comes back when the time is over, or the channel closed.
            (0..cap).for_each(|_| tx.send(value(2)).unwrap());
            assert_eq!(tx.send_timeout(value(3), Duration::from_millis(1)).unwrap_err().into_inner(), value(3));
            thread::scope(|scope| {
                scope.spawn(|| tx.send(value(4)).unwrap());
                wait_for_one(1);
                (0..cap).for_each(|_| assert_eq!(rx.recv(), Ok(value(2))));
                assert_eq!(rx.recv(), Ok(value(4)));
            });
            (0..cap).for_each(|_| tx.send(value(2)).unwrap());
            let unsent = thread::scope(|scope| {
                let sender = scope.spawn(|| tx.send(value(5)));
                wait_for_one(1);
                tx.close();
                sender.join().unwrap()
            });
            assert_eq!(unsent.unwrap_err().into_inner(), value(5));
        }
    }
    watchdog(|| {
        waits::<0, u8>();
        waits::<1, u8>();
        waits::<8, u64>();
        waits::<15, u8>();
        waits::<16, u128>();
        waits::<17, u8>();
        waits::<32, u128>();
        #[derive(Clone, Copy, Debug, PartialEq)]
        #[repr(align(64))]
        struct Wide;
        waits::<0, Wide>();
        waits::<8, Wide>();
    });
}

#[test]
fn values_with_a_large_alignment() {
    /// `T` where it may lie.
    #[derive(Clone, Debug, PartialEq)]
    #[repr(align(4096))]
    struct Page(u8);
    #[derive(Clone, Debug, PartialEq)]
    #[repr(align(256))]
    struct Nothing;

    fn aligned<T>(value: &T) {
        assert_eq!(std::ptr::from_ref(value).addr() % align_of::<T>(), 0);
    }
    watchdog(|| {
        passes(&(0..20).map(Page).collect::<Vec<_>>());
        passes(&[Nothing, Nothing]);
        let (tx, rx) = bounded(3);
        for i in 0..9 {
            tx.send((Page(i), Nothing)).unwrap();
            let value = rx.recv().unwrap();
            aligned(&value.0);
            aligned(&value.1);
            assert_eq!(value.0.0, i);
        }
    });
    // Dropped where they lie in the buffer.
    struct Checks(Page);
    impl Drop for Checks {
        fn drop(&mut self) {
            aligned(&self.0);
        }
    }
    let (tx, _rx) = bounded(9);
    (0..9).for_each(|i| assert!(tx.send(Checks(Page(i))).is_ok()));
}

#[test]
fn arrays_of_pointers_survive_the_buffer() {
    let chan = Chan::new(10);
    (0..10).for_each(|i| chan.send([Box::new(i), Box::new(-i)]));
    chan.close();
    assert!(chan.iter().eq((0..10).map(|i| [Box::new(i), Box::new(-i)])));
}

#[test]
fn functions_and_closures() {
    let (tx, rx) = bounded::<Box<dyn FnOnce() -> String + Send>>(2);
    let owned = String::from("captured");
    tx.send(Box::new(move || owned)).unwrap();
    tx.send(Box::new(|| "constant".into())).unwrap();
    let worker = thread::spawn(move || rx.recv().unwrap()() + &rx.recv().unwrap()());
    assert_eq!(worker.join().unwrap(), "capturedconstant");
}

#[test]
fn values_behind_a_trait() {
    // Go's channel of interfaces: what comes out is of the type that went in.
    let (tx, rx) = bounded::<Box<dyn Any + Send>>(3);
    tx.send(Box::new(1_i32)).unwrap();
    tx.send(Box::new("text")).unwrap();
    tx.send(Box::new(None::<u8>)).unwrap();
    assert_eq!(rx.recv().unwrap().downcast_ref(), Some(&1_i32));
    assert_eq!(rx.recv().unwrap().downcast_ref(), Some(&"text"));
    assert_eq!(rx.recv().unwrap().downcast_ref(), Some(&None::<u8>));
}

#[test]
fn channels_of_channels() {
    watchdog(|| {
        // Each request brings the channel for its answer.
        let (requests, served) = bounded::<(u32, Sender<u32>)>(0);
        thread::scope(|scope| {
            scope.spawn(move || served.iter().for_each(|(question, answer)| answer.send(question * 2).unwrap()));
            for i in 0..100 {
                let (tx, rx) = bounded(1);
                requests.send((i, tx)).unwrap();
                assert_eq!(rx.recv(), Ok(i * 2));
            }
            drop(requests);
        });
        // A receive from what a receive yields.
        let outer = Chan::new(1);
        let inner = Chan::new(1);
        inner.send(2);
        outer.send(inner);
        assert_eq!(outer.recv().and_then(|inner| inner.recv()), Some(2));
    });
}

#[test]
fn a_channel_that_holds_its_own_receiver() {
    // A cycle that keeps itself alive; who takes the receiver out breaks it.
    struct Own(Receiver<Own>);
    let (tx, rx) = unbounded();
    let weak = rx.downgrade();
    assert!(tx.send(Own(rx)).is_ok());
    assert!(!tx.is_closed(), "the receiver in the buffer lives");
    let Own(rx) = weak.upgrade().unwrap().recv().ok().unwrap();
    assert_eq!((tx.is_closed(), rx.receiver_count()), (false, 1));
    drop(rx);
    assert!(tx.is_closed());
}

#[test]
fn borrowed_values() {
    let text = String::from("borrowed");
    let (tx, rx) = bounded::<&str>(1);
    thread::scope(|scope| {
        scope.spawn(|| tx.send(&text[..6]).unwrap());
        assert_eq!(rx.recv(), Ok("borrow"));
    });
}

#[test]
fn values_that_may_not_leave_their_thread() {
    // Such a channel stays with them, and works.
    let (tx, rx) = bounded(2);
    let value = Rc::new(Cell::new(1));
    tx.send(value.clone()).unwrap();
    value.set(2);
    assert_eq!(rx.recv().unwrap().get(), 2);
    drop((tx, rx));
    assert_eq!(Rc::strong_count(&value), 1);
}

/// Checks `Send` and `Sync` of some types.
macro_rules! crosses_threads {
    ($expected:expr, [$($T:ty),+ $(,)?]) => {$(
        assert_eq!((is!(Send, $T), is!(Sync, $T)), $expected, stringify!($T));
    )+};
}

#[test]
fn handles_of_sendable_values_cross_threads() {
    // `Cell` may be sent and not shared, which is all that a channel asks for.
    crosses_threads!((true, true), [
        Sender<u8>, Receiver<u8>, WeakSender<u8>, WeakReceiver<u8>, Chan<u8>,
        Sender<Cell<u8>>, Receiver<Cell<u8>>, WeakSender<Cell<u8>>, WeakReceiver<Cell<u8>>, Chan<Cell<u8>>,
        Iter<'static, Cell<u8>>, TryIter<'static, Cell<u8>>, IntoIter<Cell<u8>>,
        Drain<u8>, SendError<u8>, TrySendError<u8>, SendTimeoutError<u8>,
        RecvError, TryRecvError, RecvTimeoutError,
        gochan::debug::Channel, gochan::debug::Waiting, gochan::debug::Reason, gochan::debug::Direction,
        gochan::debug::Use, gochan::debug::Dump, gochan::debug::Routine, gochan::debug::Kind, gochan::debug::State,
        gochan::debug::Waits, gochan::debug::On, gochan::debug::Worker,
        gochan::debug::Heap, gochan::debug::Leaks, gochan::debug::Leak, gochan::debug::Verdict,
        gochan::debug::Group, gochan::debug::Groups, gochan::debug::Stack, gochan::debug::Watch,
    ]);
    // These hold values themselves.
    crosses_threads!((true, false), [SendError<Cell<u8>>, TrySendError<Cell<u8>>, SendTimeoutError<Cell<u8>>]);
    assert!(is!(Send, Drain<Cell<u8>>));
}

#[test]
fn handles_of_other_values_do_not_cross_threads() {
    crosses_threads!((false, false), [
        Sender<Rc<()>>, Receiver<Rc<()>>, WeakSender<Rc<()>>, WeakReceiver<Rc<()>>, Chan<Rc<()>>,
        Iter<'static, Rc<()>>, TryIter<'static, Rc<()>>, IntoIter<Rc<()>>,
        Drain<Rc<()>>, SendError<Rc<()>>, TrySendError<Rc<()>>, SendTimeoutError<Rc<()>>,
        Sender<*const u8>, Receiver<*mut u8>, Chan<*const u8>,
    ]);
    // Nor do those of values that may be shared but not sent.
    assert!(is!(Sync, MutexGuard<'static, u8>));
    crosses_threads!((false, false), [
        Sender<MutexGuard<'static, u8>>, Receiver<MutexGuard<'static, u8>>, Chan<MutexGuard<'static, u8>>,
    ]);
}

/// Handles of goroutines that stay where they are stay with them.
#[test]
fn handles_of_goroutines() {
    crosses_threads!((true, true), [
        rt::JoinHandle<u8>, rt::ScopedJoinHandle<'static, u8>, rt::Scope<'static, 'static>, rt::JoinError,
        rt::Goroutine, rt::SpawnError<fn()>, rt::Identity, rt::Runtime, rt::RuntimeBuilder,
        rt::OnDeadlock,
    ]);
    crosses_threads!((false, false), [rt::LocalJoinHandle<u8>, rt::LocalJoinHandle<Rc<u8>>, rt::SpawnError<Rc<u8>>]);
    // Shown, whatever they are of.
    assert!(is!(Debug, rt::JoinHandle<PhantomPinned>) && is!(Debug, rt::SpawnError<PhantomPinned>));
    assert!(is!(Unpin, rt::JoinHandle<PhantomPinned>));
}

/// Also of values that may not cross threads, or be shown.
#[test]
fn errors_are_errors_of_any_value() {
    fn text<E: Error>(error: E) -> String {
        error.to_string()
    }
    struct Opaque(#[expect(dead_code, reason = "what keeps it where it is")] Rc<()>);
    let (tx, rx) = bounded(0);
    let opaque = || Opaque(Rc::new(()));
    assert_eq!(text(tx.try_send(opaque()).unwrap_err()), "sending on a full channel");
    assert_eq!(text(tx.send_timeout(opaque(), Duration::ZERO).unwrap_err()), "timed out waiting on send operation");
    drop(rx);
    assert_eq!(text(tx.send(opaque()).unwrap_err()), "sending on a disconnected channel");
}

#[test]
fn a_select_crosses_threads_and_what_it_selects_does_not() {
    // Whatever it selects from: only who has a handle can take a value out.
    crosses_threads!((true, true), [
        Select<'static>, TrySelectError, SelectTimeoutError, TryReadyError, ReadyTimeoutError, Receiver<Instant>,
    ]);
    // It may have a value in it that must stay where it was selected.
    crosses_threads!((false, false), [SelectedOperation<'static>]);
}

#[test]
fn unwinding_leaves_selects_whole() {
    macro_rules! unwind_safe {
        ($($T:ty),+ $(,)?) => {$(
            assert!(is!(UnwindSafe, $T) && is!(RefUnwindSafe, $T), stringify!($T));
        )+};
    }
    // Of values that are not safe themselves, too.
    assert!(!is!(RefUnwindSafe, Cell<u8>));
    unwind_safe!(Select<'static>, Sender<Cell<u8>>, Receiver<Cell<u8>>, Chan<Cell<u8>>, Receiver<Instant>);
    unwind_safe!(TrySelectError, SelectTimeoutError, TryReadyError, ReadyTimeoutError);
    unwind_safe!(SelectedOperation<'static>);
}

#[test]
fn selects_and_their_errors_show_themselves() {
    let (_tx, rx) = bounded::<Rc<()>>(0);
    let mut select = Select::new();
    assert_eq!(format!("{select:?}"), "Select { .. }");
    select.recv(&rx);
    assert_eq!(format!("{select:?} {:?}", select.clone()), "Select { .. } Select { .. }");
    let (_, closed) = bounded::<Rc<()>>(0);
    let mut default = Select::default();
    default.recv(&closed);
    let operation = default.select();
    assert_eq!(format!("{operation:?}"), "SelectedOperation { .. }");
    assert!(operation.recv(&closed).is_err());

    /// An error that is copied, compared, boxed and shown.
    fn is_an_error<E: Error + Copy + Eq + Send + Sync + 'static>(error: E, debug: &str, display: &str) {
        let boxed: Box<dyn Error + Send + Sync> = Box::new(error);
        assert_eq!((format!("{boxed:?}"), boxed.to_string()), (debug.into(), display.into()));
        assert_eq!(boxed.downcast_ref(), Some(&error));
        assert_eq!(format!("{error:>60}"), format!("{display:>60}"));
        assert!(boxed.source().is_none());
    }
    let blocks = "all operations in select would block";
    let late = "timed out waiting on select";
    is_an_error(select.try_select().map(drop).unwrap_err(), "TrySelectError", blocks);
    is_an_error(select.select_timeout(Duration::ZERO).map(drop).unwrap_err(), "SelectTimeoutError", late);
    is_an_error(select.try_ready().unwrap_err(), "TryReadyError", blocks);
    is_an_error(select.ready_timeout(Duration::ZERO).unwrap_err(), "ReadyTimeoutError", late);
}

#[test]
fn timers_are_receivers() {
    let now = Instant::now();
    for timer in [after(Duration::ZERO), at(now), tick(Duration::ZERO)] {
        let timer: Receiver<Instant> = timer;
        assert_eq!(format!("{timer:?}"), "Receiver { .. }");
        assert_eq!((timer.capacity(), timer.len(), timer.is_closed(), timer.close()), (Some(1), 1, false, false));
        let there = thread::spawn(move || timer.recv());
        assert!(there.join().unwrap().unwrap() >= now);
    }
}

/// Methods that a handle of one direction must not have. Should it get one, that one is found, and returns another type.
trait OtherDirection {
    fn send(&self) -> Missing {
        Missing
    }
    fn recv(&self) -> Missing {
        Missing
    }
    fn iter(&self) -> Missing {
        Missing
    }
}
struct Missing;
impl<T> OtherDirection for Sender<T> {}
impl<T> OtherDirection for Receiver<T> {}

#[test]
fn a_handle_has_one_direction() {
    let (tx, rx) = bounded::<u8>(1);
    let _: [Missing; 3] = [tx.recv(), tx.iter(), rx.send()];
    // Each is made from a channel of both, and none makes one.
    assert!(!is!(IntoIterator, Sender<u8>) && is!(IntoIterator, Receiver<u8>));
}

#[test]
fn handles_are_small() {
    // A handle is a pointer; a receiver also says to what, a channel or a timer.
    assert_eq!(size_of::<Sender<[u8; 100]>>(), size_of::<usize>());
    assert_eq!(size_of::<Receiver<[u8; 100]>>(), 2 * size_of::<usize>());
    assert_eq!(size_of::<Chan<u8>>(), 3 * size_of::<usize>());
}
