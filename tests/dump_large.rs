//! What a dump of many goroutines takes of memory.

mod common;

use gochan::debug::{self, Reason};
use gochan::{Receiver, bounded, rt};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Counts what all threads have allocated, and the most that it was.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(live, Ordering::Relaxed);
        // SAFETY: the caller's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's contract.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most that is allocated while `f` runs, beyond what was before.
fn peak_of<T>(f: impl FnOnce() -> T) -> (T, usize) {
    let before = LIVE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    (f(), PEAK.load(Ordering::Relaxed) - before)
}

#[test]
fn a_hundred_thousand_goroutines() {
    /// What each may cost.
    const BYTES: usize = 512;
    const CHANNELS: usize = 2;
    let (txs, rxs): (Vec<_>, Vec<_>) = (0..CHANNELS).map(|_| bounded::<u8>(0)).unzip();
    // Where each stack takes two mappings there can be no more than some 31,000.
    let start = |rx: Receiver<u8>| rt::Goroutine::new().stack_size(64 << 10).try_spawn(move || rx.recv());
    let handles: Vec<_> = (0..100_000).map_while(|i| start(rxs[i % CHANNELS].clone()).ok()).collect();
    let many = handles.len();
    assert!(many > 20_000);
    let all_wait = || debug::channels().iter().map(|channel| channel.waiting.len()).sum::<usize>() == many;
    common::wait_until(all_wait);
    let (dump, peak) = peak_of(debug::dump);
    let receiving = |routine: &&debug::Routine| routine.waits.as_ref().is_some_and(|w| w.reason == Reason::ChanReceive);
    assert_eq!(dump.routines.iter().filter(receiving).count(), many);
    assert!(dump.routines.iter().filter(receiving).all(|routine| routine.waits.as_ref().unwrap().on.len() == 1));
    println!("{} bytes for each of {many}", peak / many);
    assert!(peak < many * BYTES, "{} bytes for each", peak / many);
    // All the same goroutine: a few lines.
    let (text, peak) = peak_of(|| dump.grouped().to_string());
    assert!(text.contains(&format!("{many} goroutines [chan receive")) && text.len() < 10_000, "{text}");
    assert!(peak < 100_000, "{peak} bytes to group");
    // Nor does what is shown of one grow with the number of the others.
    let start = Instant::now();
    assert!(dump.to_string().len() > many * 100);
    assert!(start.elapsed() < common::PATIENCE, "{:?}", start.elapsed());
    drop(txs);
    assert!(handles.into_iter().all(|handle| handle.join().unwrap().is_err()));
}
