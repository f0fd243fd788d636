//! Stacks. Each test has a size of its own, and so a pool of its own.

use crate::rt::g::{Identity, Record, Spec};
use crate::rt::guard::page_size;
use crate::rt::pool::SCAVENGE;
use crate::rt::slab::Class;
use crate::rt::stack::{Stack, StackError, Stacks, owner_of_guard};
use corosensei::stack::Stack as _;
use corosensei::{Coroutine, CoroutineResult};
use std::collections::HashSet;
use std::panic::Location;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs, ptr, thread};

const KIB: usize = 1 << 10;

fn bottom(stack: &Stack) -> usize {
    stack.limit().get()
}

/// Can this byte be read? The kernel looks, and says so instead of ending the process.
fn is_readable(address: usize) -> bool {
    let mut pipe = [0; 2];
    let address: *const u8 = ptr::with_exposed_provenance(address);
    // SAFETY: the pipe is ours, and the kernel reads the byte.
    unsafe {
        assert_eq!(libc::pipe(pipe.as_mut_ptr()), 0);
        let written = libc::write(pipe[1], address.cast(), 1);
        libc::close(pipe[0]);
        libc::close(pipe[1]);
        written == 1
    }
}

/// Writes a byte to each of the `pages` highest pages of a stack.
fn touch(stack: &Stack, pages: usize) {
    for page in 0..pages {
        let byte: *mut u8 = ptr::with_exposed_provenance_mut(stack.base().get() - 1 - page * page_size());
        // SAFETY: of the stack, which is ours.
        unsafe { byte.write(1) };
    }
}

/// How many pages of a stack are in memory, whoever has it now.
fn pages_in_memory(bottom: usize, size: usize) -> usize {
    let mut pages = vec![0_u8; size / page_size()];
    let bottom: *mut u8 = ptr::with_exposed_provenance_mut(bottom);
    // SAFETY: a byte for each page of the stack.
    assert_eq!(unsafe { libc::mincore(bottom.cast(), size, pages.as_mut_ptr().cast()) }, 0);
    pages.iter().filter(|page| **page & 1 == 1).count()
}

fn is_warm(stack: &Stack) -> bool {
    pages_in_memory(bottom(stack), stack.size()) > 0
}

/// Waits until so many of these stacks have pages in memory.
#[track_caller]
fn wait_for_warm(bottoms: &[usize], size: usize, count: usize) {
    let begin = Instant::now();
    while bottoms.iter().filter(|bottom| pages_in_memory(**bottom, size) > 0).count() != count {
        assert!(begin.elapsed() < Duration::from_secs(60), "waited in vain");
        thread::sleep(SCAVENGE / 20);
    }
}

#[test]
fn sizes() {
    let size = |size| Class::of(size).size();
    assert_eq!((size(0), size(1), size(64 * KIB)), (64 * KIB, 64 * KIB, 64 * KIB));
    assert_eq!((size(64 * KIB + 1), size(256 * KIB), size(300 * KIB)), (128 * KIB, 256 * KIB, 512 * KIB));
    assert_eq!(size(usize::MAX), 1 << (usize::BITS - 1));
    assert!(Class::all().map(Class::size).is_sorted());
    assert_eq!(Class::all().count(), Class::COUNT);
    for class in Class::all() {
        assert_eq!(Class::of(class.size()), class);
    }
}

/// What `impl corosensei::stack::Stack` promises, and that neighbours' tops differ in colour.
#[test]
fn a_stack_is_writable_down_to_its_guard() {
    let mut stacks = Stacks::new();
    let all: Vec<_> = (0..200).map(|_| stacks.get(64 * KIB).unwrap()).collect();
    let mut colours = HashSet::new();
    for stack in &all {
        let (base, limit) = (stack.base().get(), stack.limit().get());
        assert_eq!((base % 16, limit % page_size(), stack.size()), (0, 0, 64 * KIB));
        assert!(base - limit >= 62 * KIB && base <= limit + stack.size());
        touch(stack, (base - limit) / page_size());
        assert!(is_readable(base - 1) && is_readable(limit + page_size()));
        assert!(!is_readable(limit) && !is_readable(limit + page_size() - 1));
        colours.insert((limit + stack.size() - base) / 64);
    }
    assert_eq!(colours.len(), 32);
    let bottoms: HashSet<_> = all.iter().map(bottom).collect();
    assert_eq!(bottoms.len(), 200, "each is its own");
    // A TLB and the like are looked up by low bits of the page's number.
    let sets: HashSet<_> = all.iter().map(|stack| stack.base().get() / page_size() % 64).collect();
    assert_eq!(sets.len(), 64, "tops are spread over all sets");
}

#[test]
fn coroutines_run_on_it() {
    let mut stacks = Stacks::new();
    for round in 0..3 {
        let stack = stacks.get(128 * KIB).unwrap();
        let mut coroutine = Coroutine::with_stack(stack, move |yielder, input: usize| {
            let more = yielder.suspend(input + round);
            input + more
        });
        assert_eq!(coroutine.resume(1), CoroutineResult::Yield(1 + round));
        assert_eq!(coroutine.resume(2), CoroutineResult::Return(3));
        stacks.put(coroutine.into_stack());
    }
}

/// Last in, first out, without a page lost; and whose it was is forgotten.
#[test]
fn the_last_stack_is_the_next() {
    let mut stacks = Stacks::new();
    let identity = Identity::new(None, Location::caller(), None);
    let (record, _) = Record::two(Spec { identity, stack_size: 0, stack: None, scope: None }, || ());
    let about: *const _ = record.g();
    let (first, last) = (stacks.get(512 * KIB).unwrap(), stacks.get(500 * KIB).unwrap());
    let (base, guard) = (last.base(), bottom(&last));
    touch(&last, 3);
    assert!(owner_of_guard(guard).is_none());
    // SAFETY: nothing runs on it.
    unsafe { last.set_owner(about) };
    let (owner, size) = owner_of_guard(guard + 1).unwrap();
    assert_eq!((owner.as_ptr().cast_const(), size), (about, 512 * KIB));
    assert!(owner_of_guard(guard + page_size()).is_none() && owner_of_guard(guard - 1).is_none());
    assert!(owner_of_guard(0).is_none() && owner_of_guard(usize::MAX).is_none());
    stacks.put(first);
    stacks.put(last);
    let next = stacks.get(512 * KIB).unwrap();
    assert_eq!((bottom(&next), next.base()), (guard, base));
    assert_eq!(pages_in_memory(guard, next.size()), 3);
    assert!(owner_of_guard(guard).is_none());
}

/// A stack may be had before it is known who will run on it.
#[test]
fn a_stack_goes_to_another_thread() {
    let stack = Stack::new(16 << 20).unwrap();
    assert_eq!(stack.size(), 16 << 20);
    let at = bottom(&stack);
    let result = thread::spawn(move || {
        let mut coroutine = Coroutine::<(), (), i32, _>::with_stack(stack, |_, ()| 7);
        let result = coroutine.resume(());
        Stacks::new().put(coroutine.into_stack());
        result
    });
    assert_eq!(result.join().unwrap(), CoroutineResult::Return(7));
    assert_eq!(bottom(&Stack::new(16 << 20).unwrap()), at);
}

/// A worker that ends leaves its stacks to the others, as who drops one does; a forgotten one never comes back.
#[test]
fn stacks_change_hands_unless_they_are_forgotten() {
    let mut stacks = Stacks::new();
    let all: Vec<_> = (0..4).map(|_| stacks.get(2048 * KIB).unwrap()).collect();
    let bottoms: Vec<_> = all.iter().map(bottom).collect();
    let mut all = all.into_iter();
    std::mem::forget(all.next());
    drop(all.next());
    all.for_each(|stack| stacks.put(stack));
    drop(stacks);
    let mut stacks = Stacks::new();
    let again: Vec<_> = (0..20).map(|_| stacks.get(2048 * KIB).unwrap()).collect();
    let again: HashSet<_> = again.iter().map(bottom).collect();
    assert_eq!(bottoms.iter().map(|bottom| again.contains(bottom)).collect::<Vec<_>>(), [false, true, true, true]);
    assert_eq!(again.len(), 20);
}

/// Of many stacks that are done with, few keep their pages, however deep they were; and all keep their guards.
#[test]
fn memory_returns() {
    const STACKS: usize = 2000;
    let size = 4096 * KIB;
    let mut stacks = Stacks::new();
    let all: Vec<_> = (0..STACKS).map(|_| stacks.get(size).unwrap()).collect();
    let bottoms: Vec<_> = all.iter().map(bottom).collect();
    all.iter().for_each(|stack| touch(stack, 5));
    assert!(bottoms.iter().all(|bottom| pages_in_memory(*bottom, size) == 5));
    all.into_iter().for_each(|stack| stacks.put(stack));
    drop(stacks);
    wait_for_warm(&bottoms, size, Class::of(size).kept());

    let mut stacks = Stacks::new();
    let again: Vec<_> = (0..STACKS).map(|_| stacks.get(size).unwrap()).collect();
    assert!(again.iter().all(|stack| bottoms.contains(&bottom(stack)) && !is_readable(bottom(stack))));
    let mut cold = again.iter().filter(|stack| !is_warm(stack));
    assert!(cold.all(|stack| owner_of_guard(bottom(stack)).is_none()), "zero again");
}

/// Stacks that are needed every now and then stay as they are. The others do not.
#[test]
fn waves_find_their_stacks_warm() {
    const STACKS: usize = 200;
    let size = 8192 * KIB;
    let mut stacks = Stacks::new();
    let mut wave = |height: usize| {
        let wave: Vec<_> = (0..height).map(|_| stacks.get(size).unwrap()).collect();
        let (bottoms, cold) = (wave.iter().map(bottom).collect(), wave.iter().filter(|stack| !is_warm(stack)).count());
        wave.iter().for_each(|stack| touch(stack, 1));
        wave.into_iter().for_each(|stack| stacks.put(stack));
        (bottoms, cold)
    };
    let (bottoms, cold): (Vec<_>, _) = wave(2 * STACKS);
    assert_eq!(cold, 2 * STACKS);
    let (begin, mut last) = (Instant::now(), Instant::now());
    while bottoms.iter().filter(|bottom| pages_in_memory(**bottom, size) > 0).count() > STACKS {
        assert!(begin.elapsed() < Duration::from_secs(60), "waited in vain");
        let (_, cold) = wave(STACKS);
        // On a machine that is too busy for a wave, there was none.
        assert!(cold == 0 || last.elapsed() > SCAVENGE / 2, "{cold}");
        last = Instant::now();
        thread::sleep(SCAVENGE / 20);
    }
}

/// The largest are not kept at all.
#[test]
fn a_huge_stack() {
    let size = 1 << 30;
    let mut stacks = Stacks::new();
    let stack = stacks.get(size).unwrap();
    touch(&stack, 1000);
    let guard = bottom(&stack);
    stacks.put(stack);
    wait_for_warm(&[guard], size, 0);
    // Whoever takes its pages puts it back a moment after they are gone; who comes in between gets another.
    let mut others = Vec::new();
    loop {
        let next = stacks.get(size).unwrap();
        if bottom(&next) == guard {
            break;
        }
        others.push(next);
        assert!(others.len() < 100, "it is gone");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn more_than_there_is() {
    let error = Stacks::new().get(usize::MAX).unwrap_err();
    assert!(matches!(&error, StackError::Refused("mmap", why) if why.raw_os_error() == Some(libc::ENOMEM)));
    assert!(error.to_string().starts_with("no stack for a goroutine: mmap: "), "{error}");
}

/// With little address space left chunks are smaller, until there is no room for a single stack. Then that is said, and
/// what there is goes on.
#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "reads /proc")]
fn little_address_space() {
    const ALONE: &str = "GOCHAN_TEST_ALONE";
    if env::var_os(ALONE).is_none() {
        let mut child = Command::new(env::current_exe().unwrap());
        let test = "rt::tests::stack::little_address_space";
        let output = child.args([test, "--exact", "--nocapture"]).env(ALONE, "1").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        return;
    }
    let size = 256 * KIB;
    let mut stacks = Stacks::new();
    let mut all = Vec::with_capacity(1000);
    all.push(stacks.get(size).unwrap());
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    let used = pages.split(' ').next().unwrap().parse::<usize>().unwrap() * page_size();
    let limit_to = |bytes| {
        let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
        // SAFETY: the limit of this process.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) }, 0);
    };
    limit_to((used + 400 * size) as libc::rlim_t);
    let error = loop {
        match stacks.get(size) {
            Ok(stack) => all.push(stack),
            Err(error) => break error,
        }
    };
    limit_to(libc::RLIM_INFINITY);
    assert!(matches!(&error, StackError::Refused("mmap", _)), "{error}");
    assert!((390..=404).contains(&all.len()), "{} stacks in room for 400", all.len());
    assert!(all.iter().all(|stack| is_readable(stack.base().get() - 1) && !is_readable(bottom(stack))));
    stacks.put(all.pop().unwrap());
    assert!(stacks.get(size).is_ok());
}

/// A goroutine is asked to show its stack only if it has enough left of it.
#[test]
fn showing_a_stack_takes_less_than_must_be_left() {
    // A size of its own, so that nobody has touched it.
    let stack = Stack::new(32 * 1024 * KIB).unwrap();
    let (bottom, size) = (bottom(&stack), stack.size());
    let mut shows = Coroutine::<(), (), usize, _>::with_stack(stack, |_, ()| {
        let frames = std::hint::black_box(std::backtrace::Backtrace::force_capture());
        std::ptr::from_ref(&frames).addr()
    });
    let CoroutineResult::Return(began) = shows.resume(()) else { unreachable!("it returns") };
    // The lowest page that was touched: what lies between is what it took.
    let untouched = size / page_size() - pages_in_memory(bottom, size);
    let took = began - (bottom + untouched * page_size());
    println!("{took} bytes");
    assert!(took <= crate::rt::census::ROOM, "{took} bytes");
    drop(shows.into_stack());
}
