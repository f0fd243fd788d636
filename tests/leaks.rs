//! What `debug::leaks` says. `tests/goker.rs` has more that leak; here is what does not, however well the handle is hidden.

mod common;

use common::{PATIENCE, wait_until, watchdog};
use gochan::debug::{self, Heap, Leak, Verdict};
use gochan::rt::{self, Runtime};
use gochan::{Chan, Receiver, Select, Sender, bounded, go, select};
use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

#[global_allocator]
static HEAP: Heap = Heap::new();

/// The process is stopped as a whole, so the tests take turns.
static TURN: Mutex<()> = Mutex::new(());

/// Starts a goroutine that receives from a channel, and waits until it does. Returns its number and the other handle.
#[inline(never)]
fn waits() -> (u64, Chan<u8>) {
    let ch = Chan::new(0);
    let receiver = ch.clone();
    let g = go(move || receiver.recv());
    let id = g.id();
    wait_until(|| debug::dump().routines.iter().any(|routine| routine.id == Some(id) && routine.waits.is_some()));
    (id, ch)
}

fn verdict(id: u64) -> Option<Leak> {
    let found = debug::leaks();
    if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        assert_eq!(found.unproven, None);
    }
    found.leaks.into_iter().find(|leak| leak.routine.id == Some(id))
}

#[track_caller]
fn assert_reached(id: u64) {
    let leak = verdict(id);
    assert!(leak.as_ref().is_none_or(|leak| leak.verdict != Verdict::Definite), "{leak:?}");
}

fn is_definite(id: u64) -> bool {
    verdict(id).is_some_and(|leak| leak.verdict == Verdict::Definite)
}

/// Makes leaks, where what that leaves behind on the stack is known to be dead, until nothing in memory happens to look like a
/// handle of the last one.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn definite<T: Send + 'static>(make: fn() -> (u64, T)) -> (u64, T) {
    let mut last = None;
    wait_until(|| is_definite(last.insert(go(make).join().unwrap()).0));
    last.unwrap()
}

#[test]
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn what_nobody_has_is_a_leak() {
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    watchdog(|| {
        let (id, ()) = definite(|| {
            let (id, ch) = waits();
            assert_reached(id);
            drop(ch);
            (id, ())
        });
        // Again, and with what the last look has left in memory.
        let leak = verdict(id).unwrap();
        assert_eq!(leak.verdict, Verdict::Definite);
        assert_eq!(leak.because, "nobody else has a handle of what it waits on");
        let text = debug::leaks().to_string();
        let head = format!("definite leak: {}\ngoroutine {id} [chan receive]:\n    tests/leaks.rs:", leak.because);
        assert!(text.contains(&head), "{text}");
    });
}

/// A select that has fired is still in the queues of its other arms until it runs again.
#[test]
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn who_has_been_resumed_is_not_stuck() {
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    watchdog(|| {
        let runtime = Runtime::builder().workers(1).build().unwrap();
        for _ in 0..20 {
            let ((tx, rx), (next_tx, next_rx)) = (bounded::<u8>(0), bounded(0));
            let waits = runtime.go(move || assert_eq!(next_rx.recv(), Ok(8)));
            let selects = runtime.go(move || {
                let (never_tx, never_rx) = bounded::<u8>(0);
                select! {
                    recv(rx) -> got => assert_eq!(got, Ok(7)),
                    recv(never_rx) -> _ => drop(never_tx),
                }
                next_tx.send(8).unwrap();
            });
            let ids = [waits.id(), selects.id()];
            wait_until(|| {
                let dump = debug::dump();
                let waits = |id| dump.routines.iter().any(|routine| routine.id == Some(id) && routine.waits.is_some());
                ids.into_iter().all(waits)
            });
            // In a poll nobody parks, so the one that was resumed does not run before the look.
            let leaks = runtime.spawn(async move {
                assert_eq!(tx.try_send(7), Ok(()));
                drop(tx);
                debug::leaks()
            });
            let leaks = leaks.join().unwrap();
            assert_eq!(leaks.unproven, None);
            let is_ours = |leak: &&Leak| leak.routine.id.is_some_and(|id| ids.contains(&id));
            assert!(leaks.leaks.iter().filter(is_ours).all(|leak| leak.verdict != Verdict::Definite), "{leaks}");
            selects.join().unwrap();
            waits.join().unwrap();
        }
    });
}

/// Starts a goroutine that has `held`, and waits until it waits to see something to receive.
#[inline(never)]
fn looks<T: Send + 'static>(rx: Receiver<u8>, held: T) -> u64 {
    let g = go(move || {
        let _held = held;
        let mut list = Select::new();
        list.recv(&rx);
        list.ready()
    });
    let id = g.id();
    wait_until(|| debug::dump().routines.iter().any(|routine| routine.id == Some(id) && routine.waits.is_some()));
    id
}

/// Who waits to see that an operation is possible waits on its channel, as others do.
#[test]
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn who_only_looks() {
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    watchdog(|| {
        let (tx, rx) = bounded::<u8>(0);
        assert_reached(looks(rx, ()));
        tx.close();
        let (id, ()) = definite(|| {
            let (tx, rx) = bounded::<u8>(0);
            (looks(rx, tx), ())
        });
        assert_eq!(verdict(id).unwrap().because, "nobody else has a handle of what it waits on");
    });
}

#[test]
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn who_is_stuck_holds_nobody() {
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    watchdog(|| {
        // Each has the channel that the other waits on.
        let (a, b) = definite(|| {
            let (one, other) = (Chan::<u8>::new(0), Chan::<u8>::new(0));
            let (to, from) = (one.clone(), other.clone());
            let a = go(move || from.recv().map(|value| to.send(value)));
            let b = go(move || one.recv().map(|value| other.send(value)));
            (a.id(), b.id())
        });
        assert!(is_definite(b));
        let expected = format!("what it waits on is in the hands of others that are stuck: goroutine {b}");
        assert_eq!(verdict(a).unwrap().because, expected);
    });
}

thread_local! {
    static LOCAL: RefCell<Option<Chan<u8>>> = const { RefCell::new(None) };
}

#[test]
fn a_handle_is_found_wherever_it_is() {
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    watchdog(|| {
        static STATIC: Mutex<Option<Chan<u8>>> = Mutex::new(None);
        #[repr(C, packed)]
        struct Packed(u8, Chan<u8>);

        let (id, ch) = waits();
        *STATIC.lock().unwrap() = Some(ch);
        assert_reached(id);

        let (id, ch) = waits();
        let heap = Box::new([None, Some(Arc::new(vec![ch]))]);
        assert_reached(id);
        drop(heap);

        let (id, ch) = waits();
        let packed = Box::new(Packed(1, ch));
        assert_reached(id);
        drop(packed);

        let (id, ch) = waits();
        LOCAL.set(Some(ch));
        assert_reached(id);

        // In the buffer of a channel.
        let (id, ch) = waits();
        let (keep, _kept) = bounded(1);
        keep.send(ch).unwrap();
        assert_reached(id);

        // On the stack of a goroutine that only sleeps, and of a thread.
        let end = Arc::new(AtomicBool::new(false));
        let (id, ch) = waits();
        let ended = end.clone();
        let sleeps = go(move || {
            while !ended.load(Ordering::Relaxed) {
                rt::sleep(Duration::from_millis(1));
            }
            drop(ch);
        });
        (0..5).for_each(|_| assert_reached(id));
        end.store(true, Ordering::Relaxed);
        sleeps.join().unwrap();

        let end = Arc::new(AtomicBool::new(false));
        let (id, ch) = waits();
        let ended = end.clone();
        let sleeps = thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(1));
            }
            drop(ch);
        });
        (0..5).for_each(|_| assert_reached(id));
        end.store(true, Ordering::Relaxed);
        sleeps.join().unwrap();
    });
}

/// The owner waits with the handle on his stack, and his child, who borrows it, will use it.
#[test]
fn a_handle_that_is_borrowed_from_a_waiting_goroutine_is_found() {
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    watchdog(|| {
        let runtime = Runtime::builder().workers(2).build().unwrap();
        let end = Arc::new(AtomicBool::new(false));
        let ended = end.clone();
        let owner = runtime.go(move || {
            let ch = Chan::new(0);
            rt::scope(|scope| {
                scope.go(|| {
                    while !ended.load(Ordering::Relaxed) {
                        rt::sleep(Duration::from_millis(1));
                    }
                    ch.send(7);
                });
                ch.recv()
            })
        });
        let id = owner.id();
        wait_until(|| {
            let dump = debug::dump();
            let mut all = dump.routines.iter();
            all.any(|routine| {
                routine.id == Some(id) && routine.waits.as_ref().is_some_and(|waits| !waits.on.is_empty())
            })
        });
        (0..20).for_each(|_| assert_reached(id));
        end.store(true, Ordering::Relaxed);
        assert_eq!(owner.join().unwrap(), Some(7));
    });
}

/// A thread that computes has it in a register and nowhere else.
#[test]
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn a_handle_in_a_register_is_found() {
    use std::arch::asm;
    const MASK: usize = 0x5555_5555_5555_5555;
    /// Makes the handle into a number that is no pointer.
    #[inline(never)]
    fn hide(handle: Sender<u8>) -> usize {
        // SAFETY: the handle becomes its bits, and is forgotten.
        unsafe { std::mem::transmute::<Sender<u8>, usize>(handle) ^ MASK }
    }

    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    watchdog(|| {
        // What is hidden so well is not found, and that is said.
        let (id, hidden) = definite(|| {
            let (id, ch) = waits();
            (id, hide(ch.sender().clone()))
        });
        let (runs, end) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (running, ended) = (runs.clone(), end.clone());
        let computes = thread::spawn(move || {
            // SAFETY: changes a register, and what may be changed by others, until it is told to end.
            unsafe {
                asm!(
                    "xor r12, r13",
                    "mov byte ptr [{runs}], 1",
                    "2:",
                    "pause",
                    "cmp byte ptr [{end}], 0",
                    "je 2b",
                    "xor r12, r12",
                    runs = in(reg) running.as_ptr(),
                    end = in(reg) ended.as_ptr(),
                    inout("r12") hidden => _,
                    in("r13") MASK,
                );
            }
        });
        wait_until(|| runs.load(Ordering::Relaxed));
        assert_reached(id);
        end.store(true, Ordering::Relaxed);
        computes.join().unwrap();
        // SAFETY: back to what it was.
        drop(unsafe { std::mem::transmute::<usize, Sender<u8>>(hidden ^ MASK) });
    });
}

/// While everybody talks to everybody nobody is called a leak, and nobody is disturbed.
#[test]
fn who_talks_does_not_leak() {
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    watchdog(|| {
        const PAIRS: usize = 8;
        let runtime = Runtime::builder().workers(2).build().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let players: Vec<_> = (0..PAIRS)
            .flat_map(|pair| {
                let (there, back) = (Chan::<u64>::new(pair % 3), Chan::<u64>::new(0));
                let (stops, to, from) = (stop.clone(), there.clone(), back.clone());
                let serves = runtime.go(move || {
                    let mut sum = 0;
                    for round in 0.. {
                        if stops.load(Ordering::Relaxed) {
                            to.close();
                            return (sum, round);
                        }
                        to.send(round);
                        sum += from.recv().unwrap();
                    }
                    unreachable!()
                });
                let returns = runtime.go(move || {
                    let (mut sum, mut rounds, never) = (0, 0, gochan::never::<u8>());
                    loop {
                        select! {
                            recv(there) -> value => match value {
                                Some(value) => {
                                    back.send(value);
                                    sum += value;
                                    rounds += 1;
                                }
                                None => return (sum, rounds),
                            },
                            recv(never) -> _ => unreachable!(),
                        }
                    }
                });
                [serves, returns]
            })
            .collect();
        // As many as there is time for, where others want the processor, too.
        let start = Instant::now();
        let looks = (0..300).take_while(|looks| *looks < 10 || start.elapsed() < PATIENCE / 4);
        for _ in looks {
            let found = debug::leaks();
            let is_player = |leak: &Leak| players.iter().any(|player| Some(player.id()) == leak.routine.id);
            let mut definite = found.leaks.iter().filter(|leak| leak.verdict == Verdict::Definite);
            assert!(!definite.any(is_player), "{found}");
        }
        stop.store(true, Ordering::Relaxed);
        let results: Vec<_> = players.into_iter().map(|player| player.join().unwrap()).collect();
        for pair in results.chunks(2) {
            assert_eq!(pair[0], pair[1]);
        }
    });
}

/// From a goroutine, too; its own handles count.
#[test]
fn a_goroutine_may_ask() {
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    watchdog(|| {
        rt::run(|| {
            let ch = Chan::<u8>::new(0);
            let receiver = ch.clone();
            let g = go(move || receiver.recv());
            while !debug::channels()
                .iter()
                .any(|channel| channel.waiting.iter().any(|waiting| waiting.id == Some(g.id())))
            {
                rt::yield_now();
            }
            assert_reached(g.id());
            ch.send(1);
            assert_eq!(g.join().unwrap(), Some(1));
        });
    });
}

#[test]
fn what_is_only_long_is_called_that() {
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    watchdog(|| {
        let (id, ch) = waits();
        let find = |long| debug::leaks_longer_than(long).leaks.into_iter().find(|leak| leak.routine.id == Some(id));
        assert!(find(Duration::from_secs(1000)).is_none());
        assert_eq!(find(Duration::ZERO).unwrap().verdict, Verdict::LongWait);
        ch.send(0);
    });
}

#[test]
fn who_is_served_by_nobody_any_more_is_suspected() {
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    watchdog(|| {
        let (tx, rx) = bounded(0);
        let keeps = tx.clone();
        let receiver = go(move || rx.iter().sum::<u32>());
        let sender = go(move || tx.send(1).unwrap());
        let gone = sender.id();
        sender.join().unwrap();
        let id = receiver.id();
        wait_until(|| verdict(id).is_some_and(|leak| leak.verdict == Verdict::Suspected));
        let because = verdict(id).unwrap().because;
        assert_eq!(because, format!("the last that was seen to send there was goroutine {gone}, which has ended"));
        drop(keeps);
        assert_eq!(receiver.join().unwrap(), 1);
    });
}

/// For the figure in `docs/design/leaks.md`.
#[test]
#[ignore = "a figure"]
#[cfg(target_os = "linux")]
fn what_a_gib_costs() {
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let (_id, ch) = waits();
    // Of the child that looks while all others stand still: what others do on the machine does not count.
    let processor = || {
        let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
        // SAFETY: it is filled in.
        let usage = unsafe {
            libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr());
            usage.assume_init()
        };
        let micros = |time: libc::timeval| time.tv_sec * 1_000_000 + time.tv_usec;
        Duration::from_micros((micros(usage.ru_utime) + micros(usage.ru_stime)) as u64)
    };
    let look = || {
        let before = processor();
        assert_eq!(debug::leaks().unproven, None);
        processor() - before
    };
    let small = look();
    // Half of it numbers, half of it pointers.
    let room: Vec<usize> = (0..1 << 27).collect();
    let pointers: Vec<&usize> = room.iter().step_by(2).collect();
    let large = look();
    println!("{small:?}, and with 1.5 GiB more {large:?}");
    drop((pointers, ch));
}
