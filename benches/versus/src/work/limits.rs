//! Physical limits: what this machine allows at best, whatever the library.

use crate::measure::{Metrics, ns_per_op, pin_to};
use corosensei::{Coroutine, CoroutineResult};
use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::*};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Takes a number of operations and returns how long they took; `None` where this machine cannot.
type Limit = fn(usize) -> Option<Duration>;

pub const LIMITS: [(&str, Limit); 14] = [
    ("corosensei", corosensei),
    ("generator", generator),
    ("cmpxchg", cmpxchg),
    ("xadd", xadd),
    ("load_store", load_store),
    ("xcore_line", xcore_line),
    ("xcore_line_2way", xcore_line_2way),
    ("park_cross", |n| park(n, 1)),
    ("park_same", |n| park(n, 0)),
    ("futex_cross", |n| futex(n, 1)),
    ("futex_same", |n| futex(n, 0)),
    ("sched_yield", sched_yield),
    ("syscall", syscall),
    ("mutex_std", mutex_std),
];

pub fn cell(name: &str, target: Duration) -> Option<Metrics> {
    let limit = LIMITS.iter().find(|limit| limit.0 == name)?.1;
    ns_per_op(target, 2, limit)
}

fn timed(work: impl FnOnce()) -> Option<Duration> {
    let start = Instant::now();
    work();
    Some(start.elapsed())
}

fn repeat<T>(n: usize, operation: impl Fn(usize) -> T) -> Option<Duration> {
    timed(|| {
        for i in 0..n {
            black_box(operation(i));
        }
    })
}

/// A resume and a suspend.
fn corosensei(n: usize) -> Option<Duration> {
    let mut coroutine = Coroutine::new(move |yielder, ()| {
        for i in 0..n {
            yielder.suspend(i);
        }
    });
    timed(|| while let CoroutineResult::Yield(_) = coroutine.resume(()) {})
}

/// The same in may's generator.
fn generator(n: usize) -> Option<Duration> {
    let mut generator = generator::Gn::<()>::new_scoped(move |mut scope| {
        for i in 0..n {
            scope.yield_(i);
        }
        generator::done!()
    });
    timed(|| while generator.resume().is_some() {})
}

fn cmpxchg(n: usize) -> Option<Duration> {
    let word = AtomicUsize::new(0);
    repeat(n, |i| black_box(&word).compare_exchange(i, i + 1, AcqRel, Relaxed))
}

fn xadd(n: usize) -> Option<Duration> {
    let word = AtomicUsize::new(0);
    repeat(n, |_| black_box(&word).fetch_add(1, AcqRel))
}

fn load_store(n: usize) -> Option<Duration> {
    let word = AtomicUsize::new(0);
    repeat(n, |_| word.store(black_box(&word).load(Acquire) + 1, Release))
}

/// Runs both on threads of their own, on cores 0 and `core`, and times them from a common start.
fn pair(core: usize, one: impl FnOnce() + Send, two: impl FnOnce() + Send) -> Option<Duration> {
    if thread::available_parallelism().is_ok_and(|cores| cores.get() <= core) {
        return None;
    }
    let barrier = Barrier::new(3);
    let start = thread::scope(|scope| {
        scope.spawn(|| {
            pin_to(0);
            barrier.wait();
            one();
        });
        scope.spawn(|| {
            pin_to(core);
            barrier.wait();
            two();
        });
        barrier.wait();
        Instant::now()
    });
    Some(start.elapsed())
}

/// A cache line that travels to the other core and back.
fn xcore_line(n: usize) -> Option<Duration> {
    let turn = AtomicUsize::new(0);
    let play = |mine: usize| {
        for i in 0..n {
            while turn.load(Acquire) != 2 * i + mine {
                spin_loop();
            }
            turn.store(2 * i + mine + 1, Release);
        }
    };
    pair(1, || play(0), || play(1))
}

/// Both cores add to one line; one operation is one addition.
fn xcore_line_2way(n: usize) -> Option<Duration> {
    let word = AtomicUsize::new(0);
    let add = || {
        repeat(n / 2, |_| word.fetch_add(1, AcqRel));
    };
    pair(1, add, add)
}

/// `thread::park` and `unpark` there and back.
fn park(n: usize, core: usize) -> Option<Duration> {
    let turn = AtomicUsize::new(0);
    let threads: [Arc<Mutex<Option<thread::Thread>>>; 2] = Default::default();
    let play = |mine: usize| {
        *threads[mine].lock().unwrap() = Some(thread::current());
        let other = loop {
            if let Some(other) = &*threads[1 - mine].lock().unwrap() {
                break other.clone();
            }
            thread::yield_now();
        };
        for i in 0..n {
            while turn.load(Acquire) != 2 * i + mine {
                thread::park();
            }
            turn.store(2 * i + mine + 1, Release);
            other.unpark();
        }
    };
    pair(core, || play(0), || play(1))
}

/// The bare futex there and back.
fn futex(n: usize, core: usize) -> Option<Duration> {
    let turn = AtomicU32::new(0);
    let call = |op: libc::c_int, value: u32| {
        let timeout = std::ptr::null::<libc::timespec>();
        // SAFETY: the word outlives the call, and no timeout is passed.
        unsafe { libc::syscall(libc::SYS_futex, turn.as_ptr(), op | libc::FUTEX_PRIVATE_FLAG, value, timeout) };
    };
    let play = |mine: u32| {
        for i in 0..n as u32 {
            let due = 2 * i + mine;
            loop {
                let now = turn.load(Acquire);
                if now == due {
                    break;
                }
                call(libc::FUTEX_WAIT, now);
            }
            turn.store(due + 1, Release);
            call(libc::FUTEX_WAKE, 1);
        }
    };
    pair(core, || play(0), || play(1))
}

/// Two threads on one core that yield to each other; one operation is a switch.
fn sched_yield(n: usize) -> Option<Duration> {
    let yields = || (0..n / 2).for_each(|_| thread::yield_now());
    pair(0, yields, yields)
}

fn syscall(n: usize) -> Option<Duration> {
    // SAFETY: getppid takes nothing and touches nothing; glibc does not cache it.
    repeat(n, |_| unsafe { libc::syscall(libc::SYS_getppid) })
}

fn mutex_std(n: usize) -> Option<Duration> {
    let mutex = Mutex::new(0usize);
    repeat(n, |_| *black_box(&mutex).lock().unwrap() += 1)
}
