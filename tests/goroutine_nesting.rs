//! Goroutines within and below other things: wakers that wait, runtimes in runtimes, other executors, polls, frames of C,
//! destructors.

mod common;

use common::watchdog;
use futures_util::task::{ArcWake, waker};
use gochan::rt::{self, Runtime};
use gochan::{Receiver, Sender, bounded, go, select, select_async};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Context;
use std::thread;
use std::time::Duration;

fn runtime(workers: usize) -> Runtime {
    Runtime::builder().workers(workers).build().unwrap()
}

/// A waker that waits in whoever wakes it: until somebody says that it may go on.
struct Waits {
    woken: Sender<()>,
    go_on: Receiver<()>,
}

impl ArcWake for Waits {
    fn wake_by_ref(this: &Arc<Self>) {
        this.woken.send(()).unwrap();
        this.go_on.recv().unwrap();
    }
}

/// A goroutine that receives has met a task whose message is not made yet. It wakes the task, whose waker makes it wait for
/// something else; meanwhile its receive is done. Whichever of the two ends first, each wake-up is that wait's.
#[test]
fn a_waker_that_waits() {
    watchdog(|| {
        let runtime = runtime(1);
        for task_first in [true, false] {
            for i in 0..50 {
                let ((tx, rx), (woken, is_woken), (goes_on, go_on)) = (bounded(0), bounded(0), bounded(0));
                let waker = waker(Arc::new(Waits { woken, go_on }));
                let mut cx = Context::from_waker(&waker);
                let mut sends = pin!(async {
                    select_async! { send(tx, i) -> sent => sent.unwrap() }
                });
                assert!(sends.as_mut().poll(&mut cx).is_pending());
                let receives = runtime.go(move || {
                    let received = rx.recv();
                    // It is as good as new: it sleeps and is woken as ever.
                    rt::sleep(Duration::from_micros(10));
                    let (tx, rx) = bounded(0);
                    go(move || tx.send(1).unwrap());
                    (received, rx.recv())
                });
                is_woken.recv().unwrap();
                if task_first {
                    assert!(sends.as_mut().poll(&mut cx).is_ready());
                    // Others of the worker run, so it has taken the wake-up in the wrong wait.
                    runtime.go(|| ()).join().unwrap();
                    goes_on.send(()).unwrap();
                } else {
                    goes_on.send(()).unwrap();
                    runtime.go(|| ()).join().unwrap();
                    assert!(sends.as_mut().poll(&mut cx).is_ready());
                }
                assert_eq!(receives.join().unwrap(), (Ok(i), Ok(1)));
            }
        }
    });
}

/// A runtime within a goroutine, and one within that: each has its own, and the outer one goes on meanwhile.
#[test]
fn runtimes_in_runtimes() {
    watchdog(|| {
        let outer = runtime(1);
        let (tx, rx) = bounded(0);
        let ticks = outer.go(move || rx.iter().count());
        let depth = outer.run(move || {
            let here = thread::current().id();
            let deeper = rt::run(move || {
                assert_ne!(thread::current().id(), here);
                // On the outer one's only worker, which must be free.
                tx.send(()).unwrap();
                assert_eq!(rt::num_goroutines(), 1);
                rt::run(move || {
                    tx.send(()).unwrap();
                    3
                })
            });
            assert_eq!(thread::current().id(), here);
            deeper
        });
        assert_eq!((depth, ticks.join().unwrap()), (3, 2));
    });
}

/// Dropped where it may not wait for itself: by a goroutine of its own.
#[test]
fn a_runtime_dropped_by_its_own() {
    watchdog(|| {
        let runtime = Arc::new(runtime(2));
        let (tx, rx) = bounded::<()>(0);
        let last = runtime.clone();
        let drops = runtime.go(move || {
            rx.recv().unwrap();
            drop(last);
            7
        });
        drop(runtime);
        tx.send(()).unwrap();
        // It has what it returned, or was told to end on the way.
        assert!(drops.join().map_or_else(|error| error.is_cancelled(), |value| value == 7));
    });
}

/// Threads that belong to nobody start goroutines and wait for them, all at once.
#[test]
fn started_and_joined_by_threads() {
    watchdog(|| {
        let threads: Vec<_> = (0..8)
            .map(|i| {
                thread::spawn(move || {
                    let all: Vec<_> = (0..200).map(|j| go(move || go(move || i * j).join().unwrap())).collect();
                    all.into_iter().map(|one| one.join().unwrap()).sum::<u64>()
                })
            })
            .collect();
        let sum: u64 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert_eq!(sum, 28 * 19_900);
    });
}

/// Handles are awaited by tokio's tasks, and tokio's handles by goroutines, from both sides at once.
#[test]
fn handles_between_runtimes() {
    watchdog(|| {
        let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let rt = Runtime::builder().workers(2).tokio(tokio.handle().clone()).build().unwrap();
        let by_tokio = tokio.spawn(async {
            let mut sum = 0;
            for i in 0..500 {
                sum += go(move || rt::spawn(async move { i }).join().unwrap()).await.unwrap();
            }
            sum
        });
        let by_goroutine = rt.go(|| {
            (0..500)
                .map(|i| {
                    rt::block_on(tokio::spawn(async move {
                        tokio::time::sleep(Duration::from_micros(10)).await;
                        i
                    }))
                    .unwrap()
                })
                .sum::<i32>()
        });
        assert_eq!(by_goroutine.join().unwrap(), 124_750);
        assert_eq!(futures_executor::block_on(by_tokio).unwrap(), 124_750);
        let panics = rt.go(|| panic!("awaited"));
        let error = tokio.block_on(panics).unwrap_err();
        assert_eq!(error.into_panic().downcast_ref(), Some(&"awaited"));
    });
}

/// Whatever would park is refused in a poll, in a task's and in that of a future that a goroutine awaits, and what it was
/// about is as it was.
#[test]
fn what_would_wait_in_a_poll_is_refused() {
    type Waits = fn(&Sender<u8>, &Receiver<u8>);
    let all: [(&str, Waits); 9] = [
        ("send", |tx, _| tx.send(1).unwrap()),
        ("recv", |_, rx| _ = rx.recv()),
        ("recv_timeout", |_, rx| _ = rx.recv_timeout(Duration::from_secs(100))),
        ("select", |tx, rx| {
            let nobody = (&gochan::never::<u8>(), rx.clone());
            select! {
                recv(nobody.0) -> _ => {}
                send(tx, 1) -> _ => {}
                recv(nobody.1) -> _ => {}
            }
        }),
        ("sleep", |_, _| rt::sleep(Duration::from_secs(100))),
        ("join", |_, _| drop(go(|| rt::sleep(Duration::from_millis(1))).join())),
        ("block_on", |_, _| rt::block_on(async {})),
        ("scope", |_, _| rt::scope(|_| ())),
        ("unblock", |_, _| rt::unblock(|| ())),
    ];
    watchdog(move || {
        let runtime = runtime(1);
        for (name, waits) in all {
            let text = |error: rt::JoinError| {
                let payload = error.into_panic();
                let owned = payload.downcast_ref::<String>().map(String::as_str);
                owned.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap().to_owned()
            };
            let (tx, rx) = bounded(0);
            let in_task = runtime.spawn({
                let (tx, rx) = (tx.clone(), rx.clone());
                async move { waits(&tx, &rx) }
            });
            let awaited = runtime.go({
                let (tx, rx) = (tx.clone(), rx.clone());
                move || rt::block_on(async { waits(&tx, &rx) })
            });
            for refused in [in_task.join(), awaited.join()] {
                let text = text(refused.expect_err(name));
                assert!(text.contains("in a future's poll"), "{name}: {text}");
            }
            // Nobody is left on the channel.
            assert!(tx.try_send(1).is_err() && rx.try_recv().is_err(), "{name}");
        }
        assert_eq!(runtime.go(|| 1).join().unwrap(), 1);
    });
}

/// Panics when it is dropped; the count says that it was.
struct Bomb(Arc<AtomicUsize>);

impl Drop for Bomb {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
        if !thread::panicking() {
            panic!("dropped");
        }
    }
}

/// Drops a handle. Should what it is of have ended already, its result is dropped, and panics, here.
fn abandon<T>(handle: T) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(handle)));
}

/// What nobody joins may panic where it is dropped: the worker lives on.
#[test]
fn results_that_panic_in_their_drop() {
    watchdog(|| {
        let runtime = runtime(1);
        let drops = Arc::new(AtomicUsize::new(0));
        let bomb = || Bomb(drops.clone());
        let value = bomb();
        abandon(runtime.go(move || value));
        let value = bomb();
        abandon(runtime.go(move || resume_unwind(Box::new(value))));
        let value = bomb();
        abandon(runtime.spawn(async move { value }));
        let value = bomb();
        abandon(runtime.spawn(async move {
            let _value = value;
            std::future::pending::<()>().await;
        }));
        assert_eq!(runtime.go(|| 1).join().unwrap(), 1);
        let value = bomb();
        let scoped = runtime.go(move || {
            rt::scope(|scope| {
                abandon(scope.go(move || value));
            });
        });
        scoped.join().unwrap();
        assert_eq!(drops.load(Ordering::SeqCst), 4);
        // With the last, which is dropped with the runtime.
        drop(runtime);
        assert_eq!(drops.load(Ordering::SeqCst), 5);
    });
}

/// A closure that never runs, and panics where it is dropped.
#[test]
fn closures_that_panic_in_their_drop() {
    watchdog(|| {
        let runtime = runtime(1);
        let drops = Arc::new(AtomicUsize::new(0));
        let value = Bomb(drops.clone());
        let error = runtime
            .run(move || {
                let never_runs = go(move || drop(value));
                never_runs.cancel();
                never_runs.join()
            })
            .unwrap_err();
        assert!(error.is_panic(), "its drop's");
        assert_eq!(runtime.go(|| 1).join().unwrap(), 1);
        assert_eq!(drops.load(Ordering::SeqCst), 1);
    });
}

/// qsort of C, which calls back.
fn sort_by_c(values: &mut [u64], compare: extern "C" fn(*const libc::c_void, *const libc::c_void) -> i32) {
    // SAFETY: that many values of that size, which the callback is given two of.
    unsafe { libc::qsort(values.as_mut_ptr().cast(), values.len(), size_of::<u64>(), Some(compare)) };
}

/// Below a frame of C a goroutine waits as anywhere. It must not unwind through that, so who calls C shields the call: a
/// cancel is answered behind it.
#[test]
fn waits_in_a_callback_from_c() {
    static COMPARED: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn compare(a: *const libc::c_void, b: *const libc::c_void) -> i32 {
        // SAFETY: two of the values that are sorted.
        let (a, b) = unsafe { (*a.cast::<u64>(), *b.cast::<u64>()) };
        COMPARED.fetch_add(1, Ordering::SeqCst);
        rt::sleep(Duration::from_micros(100));
        a.cmp(&b) as i32
    }
    watchdog(|| {
        let runtime = runtime(1);
        let (tx, sorted) = bounded(1);
        let sorts = runtime.go(move || {
            let mut values: Vec<u64> = (0..64).map(|i| i * 37 % 64).collect();
            rt::shielded(|| sort_by_c(&mut values, compare));
            tx.send(values).unwrap();
            // Not shielded any more.
            rt::sleep(Duration::from_secs(1000));
        });
        common::wait_until(|| COMPARED.load(Ordering::SeqCst) > 3);
        sorts.cancel();
        assert!(sorted.recv().is_ok_and(|values| values.into_iter().eq(0..64)));
        assert!(sorts.join().unwrap_err().is_cancelled());
    });
}

/// The unwinding of a cancelled goroutine is caught and goes on somewhere else: there it is a payload like another.
#[test]
fn a_payload_that_travels() {
    watchdog(|| {
        let runtime = runtime(1);
        let (tx, payloads) = bounded(1);
        let (_keep, never) = bounded::<()>(0);
        let dies = runtime.go(move || {
            let payload = catch_unwind(AssertUnwindSafe(|| never.recv())).unwrap_err();
            tx.send(payload).unwrap();
        });
        runtime.go(rt::yield_now).join().unwrap();
        dies.cancel();
        drop(dies.join());
        let payload = payloads.recv().unwrap();
        let other = runtime.go(move || resume_unwind(payload));
        assert!(other.join().unwrap_err().is_cancelled());
        assert_eq!(runtime.go(|| 1).join().unwrap(), 1);
    });
}
