//! Memory: the heap bytes an empty channel takes, a buffered message, a parked waiter. Counted exactly, at the global
//! allocator; stacks are not counted, futures are.

use crate::kinds::{
    AsyncRx, AsyncTx, AsyncUse, BlockingRx, BlockingTx, BlockingUse, Cap, Large, Payload, Tasks, Threads,
};
use crate::measure::Metrics;
use crate::scenario::{Holding, Room};
use std::alloc::{GlobalAlloc, Layout, System};
use std::pin::{Pin, pin};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering::Relaxed};
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

/// The system's allocator, which can count the live bytes. It counts in memory cells only, so that no other cell pays
/// more than a predicted branch.
pub struct Counting;

static ON: AtomicBool = AtomicBool::new(false);
static LIVE: AtomicIsize = AtomicIsize::new(0);

// SAFETY: every call is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if ON.load(Relaxed) {
            LIVE.fetch_add(layout.size() as isize, Relaxed);
        }
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        if ON.load(Relaxed) {
            LIVE.fetch_sub(layout.size() as isize, Relaxed);
        }
        unsafe { System.dealloc(ptr, layout) }
    }
}

fn live() -> isize {
    LIVE.load(Relaxed)
}

const WAITERS_THREADS: usize = 32;
const WAITERS_TASKS: usize = 1_000;
/// Messages in an unbounded channel.
const MANY: usize = 10_000;

fn messages(room: Room) -> usize {
    match room.cap(MANY) {
        Cap::Bounded(cap) => cap,
        Cap::Unbounded => MANY,
    }
}

pub fn threads_cell<L: Threads>(holding: Holding, room: Room, large: bool) -> Option<Metrics> {
    if large { threads::<L, Large>(holding, room) } else { threads::<L, usize>(holding, room) }
}

fn threads<L: Threads, T: Payload>(holding: Holding, room: Room) -> Option<Metrics> {
    ON.store(true, Relaxed);
    let before = live();
    let (senders, receivers) = ends(holding, WAITERS_THREADS);
    let bytes = L::open::<T, _>(room.cap(MANY), senders, receivers, BlockingHold { holding, room, before })?;
    Some(vec![("bytes", bytes)])
}

pub fn tasks_cell<L: Tasks>(holding: Holding, room: Room, large: bool) -> Option<Metrics> {
    if large { tasks::<L, Large>(holding, room) } else { tasks::<L, usize>(holding, room) }
}

fn tasks<L: Tasks, T: Payload>(holding: Holding, room: Room) -> Option<Metrics> {
    ON.store(true, Relaxed);
    let before = live();
    let (senders, receivers) = ends(holding, WAITERS_TASKS);
    let bytes = L::open::<T, _>(room.cap(MANY), senders, receivers, AsyncHold { holding, room, before })?;
    Some(vec![("bytes", bytes)])
}

fn ends(holding: Holding, waiters: usize) -> (usize, usize) {
    match holding {
        Holding::Empty | Holding::Buffered => (1, 1),
        Holding::ParkedRx => (1, waiters),
        Holding::ParkedTx => (waiters, 1),
    }
}

struct BlockingHold {
    holding: Holding,
    room: Room,
    before: isize,
}

impl<T: Payload> BlockingUse<T> for BlockingHold {
    type Out = f64;

    fn run<S: BlockingTx<T>, R: BlockingRx<T>>(self, mut senders: Vec<S>, mut receivers: Vec<R>) -> f64 {
        match self.holding {
            Holding::Empty => without_vecs(live() - self.before, &senders, &receivers),
            Holding::Buffered => {
                let n = messages(self.room);
                for value in 0..n {
                    senders[0].send(T::new(value));
                }
                without_vecs(live() - self.before, &senders, &receivers) / n as f64
            }
            Holding::ParkedRx => {
                let wait = |rx: &mut R| {
                    rx.recv();
                };
                let cost = parked(receivers, wait, || {
                    for value in 0..WAITERS_THREADS {
                        senders[0].send(T::new(value));
                    }
                });
                drop(senders);
                cost
            }
            Holding::ParkedTx => {
                let full = fill(self.room, |value| senders[0].send(T::new(value)));
                let cost = parked(
                    senders,
                    |tx| tx.send(T::new(0)),
                    || {
                        for _ in 0..WAITERS_THREADS + full {
                            receivers[0].recv();
                        }
                    },
                );
                drop(receivers);
                cost
            }
        }
    }
}

/// Fills a bounded channel, so that the next sender has to wait; returns with how many messages.
fn fill(room: Room, mut send: impl FnMut(usize)) -> usize {
    let full = messages(room);
    (0..full).for_each(&mut send);
    full
}

/// Bytes per end that waits in a thread of its own; `release` lets them go.
fn parked<E: Send>(ends: Vec<E>, wait: impl Fn(&mut E) + Sync, release: impl FnOnce()) -> f64 {
    let (ready, go) = (&Barrier::new(ends.len() + 1), &Barrier::new(ends.len() + 1));
    let count = ends.len();
    let wait = &wait;
    thread::scope(|scope| {
        for mut end in ends {
            scope.spawn(move || {
                ready.wait();
                go.wait();
                wait(&mut end);
            });
        }
        ready.wait();
        let before = live();
        go.wait();
        // Long enough for every one of them to be asleep.
        thread::sleep(Duration::from_millis(100));
        let bytes = live() - before;
        release();
        bytes as f64 / count as f64
    })
}

/// The vectors that carry the ends are this program's own.
fn without_vecs<S, R>(bytes: isize, senders: &Vec<S>, receivers: &Vec<R>) -> f64 {
    bytes as f64 - (senders.capacity() * size_of::<S>() + receivers.capacity() * size_of::<R>()) as f64
}

struct AsyncHold {
    holding: Holding,
    room: Room,
    before: isize,
}

impl<T: Payload> AsyncUse<T> for AsyncHold {
    type Out = f64;

    fn run<S: AsyncTx<T>, R: AsyncRx<T>>(self, mut senders: Vec<S>, mut receivers: Vec<R>) -> f64 {
        match self.holding {
            Holding::Empty => without_vecs(live() - self.before, &senders, &receivers),
            Holding::Buffered => {
                let n = messages(self.room);
                for value in 0..n {
                    assert!(poll(pin!(senders[0].send(T::new(value)))), "there is room");
                }
                without_vecs(live() - self.before, &senders, &receivers) / n as f64
            }
            Holding::ParkedRx => pending(receivers.iter_mut().map(|rx| rx.recv())),
            Holding::ParkedTx => {
                fill(self.room, |value| assert!(poll(pin!(senders[0].send(T::new(value)))), "there is room"));
                pending(senders.iter_mut().map(|tx| tx.send(T::new(0))))
            }
        }
    }
}

/// Bytes per future that was polled and is pending, the boxed future itself among them.
fn pending<F: Future>(futures: impl ExactSizeIterator<Item = F>) -> f64 {
    let count = futures.len();
    let mut waiting: Vec<Pin<Box<F>>> = Vec::with_capacity(count);
    let before = live();
    waiting.extend(futures.map(Box::pin));
    for future in &mut waiting {
        assert!(!poll(future.as_mut()), "nothing to do, and yet it was done");
    }
    (live() - before) as f64 / count as f64
}

/// Whether the future is ready.
fn poll<F: Future>(future: Pin<&mut F>) -> bool {
    future.poll(&mut Context::from_waker(Waker::noop())).is_ready()
}
