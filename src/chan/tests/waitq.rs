//! The queue of waiters: order, removal from anywhere, arms that lost.

use super::super::hchan::{Hchan, Patience, Refusal};
use super::super::waitq::{List, Queue, Receivers, Senders, Sudog, WaitQ};
use super::recv;
use crate::park::{Kind, Outcome, Ready, Reason, Wait, Who, thread_of};
use std::panic::Location;
use std::thread;
use std::time::Duration;

fn wait(reason: Reason) -> Wait {
    Wait::new(reason, Location::caller())
}

fn sudogs(wait: &Wait, n: u16) -> Vec<Sudog> {
    (0..n).map(|arm| Sudog::new(wait, arm, std::ptr::null_mut())).collect()
}

fn order<Q: Queue>(q: &WaitQ<Q>, of: &[Sudog]) -> Vec<usize> {
    q.iter().map(|sg| of.iter().position(|other| std::ptr::eq(other, sg)).unwrap()).collect()
}

#[test]
fn who_looks_does_not_sleep() {
    assert_eq!(wait(Reason::ChanReceive).asleep_for(), None);
}

#[test]
fn a_thread_that_has_ended_is_forgotten() {
    let sleeper = thread::spawn(|| {
        let refusal = recv(&Hchan::<u8>::makechan(0), Patience::For(Duration::from_millis(1)));
        assert_eq!(refusal, Err(Refusal::Blocked));
        let (kind, number) = Who::here().known().expect("it has slept");
        assert!(kind == Kind::Thread && thread_of(number).is_some());
        number
    });
    assert!(thread_of(sleeper.join().unwrap()).is_none());
}

#[test]
fn is_fifo_and_gives_up_anybody() {
    let wait = wait(Reason::ChanReceive);
    let all = sudogs(&wait, 6);
    let mut q = WaitQ::<Receivers>::new();
    // SAFETY: the sudogs outlive the queue's use of them.
    unsafe {
        for (arrival, sg) in (0..).zip(&all) {
            sg.arrival.set(arrival);
            q.enqueue(&raw const *sg);
        }
        assert_eq!(order(&q, &all), [0, 1, 2, 3, 4, 5]);
        for gone in [2, 0, 5] {
            assert!(q.unlink(&raw const all[gone]), "from the middle, the head, the tail");
            assert!(!q.unlink(&raw const all[gone]), "already removed");
        }
        assert_eq!(order(&q, &all), [1, 3, 4]);
        // Back to where they were, in whatever order they come back.
        for back in [5, 0, 2] {
            q.enqueue_again(&raw const all[back]);
        }
        assert_eq!(order(&q, &all), [0, 1, 2, 3, 4, 5]);
        for sg in &all {
            assert!(std::ptr::eq(q.dequeue().unwrap(), sg));
        }
        assert!(q.dequeue().is_none() && q.is_empty());
        // A queue that has run empty begins anew, and whoever has become the first knows of nobody before him.
        all[..3].iter().for_each(|sg| q.enqueue(&raw const *sg));
        assert!(std::ptr::eq(q.dequeue().unwrap(), &all[0]));
        assert!(q.unlink(&raw const all[1]));
        assert_eq!(order(&q, &all), [2]);
        assert!(std::ptr::eq(q.dequeue().unwrap(), &all[2]));
        q.enqueue_again(&raw const all[4]);
        q.enqueue(&raw const all[5]);
        assert_eq!(order(&q, &all), [4, 5]);
    }
}

#[test]
fn passes_over_arms_that_lost() {
    let (fired, waiting) = (wait(Reason::Select), wait(Reason::Select));
    let (lost, live) = (sudogs(&fired, 3), sudogs(&waiting, 2));
    let mut q = WaitQ::<Senders>::new();
    // SAFETY: the sudogs and their waits outlive the queue's use of them.
    unsafe {
        for sg in [&lost[0], &lost[1], &live[0], &lost[2], &live[1]] {
            q.enqueue(&raw const *sg);
        }
        assert!(Wait::claim(&raw const fired));
        assert!(!Wait::claim(&raw const fired), "claimed twice");
        let mut ready = Ready::NOBODY;
        Wait::finish(&raw const fired, Outcome::Retry, 7, &mut ready);
        ready.fire();
        assert_eq!(fired.done().map(|done| (done.outcome, done.arm)), Some((Outcome::Retry, 7)));
        assert!(std::ptr::eq(q.dequeue().unwrap(), &live[0]));
        // The claim took the other arm along.
        assert!(q.dequeue().is_none() && q.is_empty());
        assert_eq!(lost[2].list(), List::None);
    }
}

#[test]
fn counts_who_must_be_polled() {
    let wait = wait(Reason::ChanSend);
    let mut all = sudogs(&wait, 2);
    all[0].polled = true;
    let mut q = WaitQ::<Senders>::new();
    // SAFETY: the sudogs outlive the queue's use of them.
    unsafe {
        q.enqueue(&raw const all[0]);
        assert!(!q.has_prompt() && !q.is_empty());
        q.enqueue(&raw const all[1]);
        assert!(q.has_prompt());
        assert!(std::ptr::eq(q.dequeue_if(|sg| !sg.polled).unwrap(), &all[1]));
        assert!(!q.has_prompt());
        q.unlink(&raw const all[0]);
        assert!(q.is_empty());
    }
}

#[test]
#[cfg(target_pointer_width = "64")]
fn a_sudog_and_the_word_behind_it_are_a_cache_line() {
    assert_eq!(size_of::<Sudog>(), 56);
}
