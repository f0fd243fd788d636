//! Waiters of every kind where something goes wrong: wakers that panic or call back in, more waiters than a batch
//! holds, senders without a value and whoever meets them.

use super::super::handshake::{Promised, WATCH_CLOSE, WATCH_RECV, WATCH_SEND};
use super::super::hchan::{Hchan, Patience, Refusal};
use super::super::section::Batch;
use super::super::waitq::Sudog;
use super::callback::{Callbacks, Queued, start_recv, start_send};
use super::{Kind, Threads, recv, send};
use crate::park::{Outcome, Reason, Wait, Waiter};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;
use std::thread;

fn both_kinds(scenario: impl Fn(&dyn Fn(&Hchan<u32>) -> Option<u32>, &dyn Fn(&Hchan<u32>, u32) -> Result<(), u32>)) {
    scenario(&Threads::recv, &Threads::send);
    scenario(&Callbacks::recv, &Callbacks::send);
}

/// A waker that runs arbitrary code the moment it is woken.
struct Hook<F>(F);

impl<F: Fn() + Send + Sync + 'static> Wake for Hook<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

/// Queues a receive whose waker runs `hook`. Its frame is leaked: tests are short.
fn hooked_recv(chan: &Hchan<u32>, hook: impl Fn() + Send + Sync + 'static) -> &'static Wait {
    let waker = Waiter::Task(std::task::Waker::from(Arc::new(Hook(hook))));
    let wait: &'static Wait = Box::leak(Box::new(Wait::asleep(Reason::ChanReceive, Location::caller(), waker)));
    let slot = Box::leak(Box::new(0_u32));
    let sg: &'static Sudog = Box::leak(Box::new(Sudog::new(wait, 0, std::ptr::from_mut(slot).cast())));
    // SAFETY: everything is leaked, so it stays.
    unsafe { chan.lock().queue_receiver(sg) };
    wait
}

#[test]
fn threads_and_callbacks_meet() {
    for cap in [0, 1, 4] {
        both_kinds(|recv, send| {
            let chan = &Hchan::makechan(cap);
            thread::scope(|s| {
                s.spawn(move || (0..1000).for_each(|i| Callbacks::send(chan, i).unwrap()));
                (0..1000).for_each(|i| assert_eq!(recv(chan), Some(i)));
                s.spawn(move || (0..1000).for_each(|i| assert_eq!(Threads::recv(chan), Some(i))));
                (0..1000).for_each(|i| send(chan, i).unwrap());
            });
        });
    }
}

#[test]
fn a_waker_may_use_its_channel() {
    let chan = Arc::new(Hchan::makechan(1));
    let again = chan.clone();
    hooked_recv(&chan, move || {
        assert_eq!(send(&again, 2, Patience::Try), Ok(()));
        assert_eq!(recv(&again, Patience::Try), Ok(2));
        assert_eq!(again.len(), 0);
        assert!(again.closechan());
    });
    send(&chan, 1, Patience::Try).unwrap();
    assert!(chan.is_closed());
}

#[test]
fn a_waker_that_panics_reaches_the_caller_and_loses_nothing() {
    let chan = Hchan::makechan(0);
    let wait = hooked_recv(&chan, || panic!("waker"));
    let panicked = catch_unwind(AssertUnwindSafe(|| send(&chan, 1, Patience::Try)));
    assert!(panicked.is_err());
    assert_eq!(wait.done().map(|done| done.outcome), Some(Outcome::Completed), "the value had been handed over");
    assert_eq!(send(&chan, 2, Patience::Try), Err((Refusal::Blocked, 2)), "and the channel goes on");
}

#[test]
fn close_wakes_everybody_although_wakers_panic() {
    let chan = Arc::new(Hchan::<u32>::makechan(0));
    let woken = Arc::new(AtomicUsize::new(0));
    for i in 0..200 {
        let woken = woken.clone();
        hooked_recv(&chan, move || {
            woken.fetch_add(1, Ordering::Relaxed);
            assert!(i % 50 != 7, "waker");
        });
    }
    assert!(catch_unwind(AssertUnwindSafe(|| chan.closechan())).is_err());
    assert_eq!(woken.load(Ordering::Relaxed), 200);
    assert!(!chan.closechan());
}

#[test]
fn more_senders_than_a_batch_move_up_when_a_channel_is_drained() {
    let chan = Hchan::makechan(100);
    (0..100).for_each(|i| send(&chan, i, Patience::Try).unwrap());
    let parked: Vec<_> = (100..250).map(|i| start_send(&chan, i).err().unwrap()).collect();
    let (_, ring) = chan.take_all();
    assert_eq!(ring.len(), 100);
    let moved = parked.iter().filter(|queued| queued.done() == Some(Outcome::Completed)).count();
    assert_eq!((moved, chan.len()), (100, 100));
    for i in 100..250 {
        assert_eq!(recv(&chan, Patience::Try), Ok(i));
    }
    assert!(parked.iter().all(|queued| queued.bell.has_rung()));
}

/// An odd number of waits ends before the last two for whom there is room.
#[test]
fn more_who_meet_than_a_batch() {
    let chan = Hchan::makechan(1);
    send(&chan, 0, Patience::Try).unwrap();
    let (receivers, senders): (Vec<_>, Vec<_>) = (1..=40).map(|i| (Queued::<u32>::receive(), Queued::send(i))).unzip();
    let mut c = chan.lock();
    for (receiver, sender) in receivers.iter().zip(&senders) {
        // SAFETY: the frames stay where they are until the waits have ended.
        unsafe {
            c.queue_receiver(&receiver.sg);
            c.queue_sender(&sender.sg);
        }
    }
    chan.settle_and_leave(c, Batch::new());
    // SAFETY: what was received is in its slot.
    let received: Vec<_> =
        receivers.iter().map(|receiver| receiver.done().map(|_| unsafe { receiver.take() })).collect();
    assert_eq!(received, (0..40).map(Some).collect::<Vec<_>>());
    assert!(senders.iter().all(|sender| sender.done() == Some(Outcome::Completed)));
    assert_eq!(recv(&chan, Patience::Try), Ok(40));
}

#[test]
fn watchers_see_each_direction_and_close() {
    let watch = |chan: &Hchan<u32>, interest| {
        let queued = Queued::<u32>::watcher(interest);
        // SAFETY: the frame stays where it is.
        unsafe { chan.watch(&queued.sg) }.then_some(queued)
    };
    let chan = Hchan::makechan(1);
    assert!(watch(&chan, WATCH_SEND).is_none(), "there is space");
    let watchers: Vec<_> = (0..100).map(|_| watch(&chan, WATCH_RECV).unwrap()).collect();
    let closing = watch(&chan, WATCH_CLOSE).unwrap();
    send(&chan, 1, Patience::Try).unwrap();
    assert!(watchers.iter().all(|w| w.done() == Some(Outcome::Ready) && w.bell.has_rung()));
    assert!(watch(&chan, WATCH_RECV).is_none(), "there is a value");
    let space = watch(&chan, WATCH_SEND).unwrap();
    assert_eq!(recv(&chan, Patience::Try), Ok(1));
    assert_eq!(space.done(), Some(Outcome::Ready));
    assert_eq!(closing.done(), None);
    let receiver = start_recv(&chan).unwrap_err();
    chan.closechan();
    assert_eq!(closing.done(), Some(Outcome::Ready));
    assert_eq!(receiver.done(), Some(Outcome::Closed));
}

/// A non-blocking receive counts a parked sender without a value as ready, and waits for it.
#[test]
fn try_recv_waits_for_a_value_that_is_being_made() {
    for evaluates in [true, false] {
        let chan = Hchan::makechan(0);
        let lazy = Queued::<u32>::lazy();
        // SAFETY: the frame stays where it is.
        assert_eq!(unsafe { chan.offer(&lazy.sg) }, None);
        thread::scope(|s| {
            let receiver = s.spawn(|| recv(&chan, Patience::Try));
            while !lazy.bell.has_rung() {
                thread::yield_now();
            }
            assert_eq!(lazy.done(), Some(Outcome::Paired));
            if evaluates {
                chan.fill(lazy.sg.number.get(), 7).unwrap();
                assert_eq!(receiver.join().unwrap(), Ok(7));
            } else {
                chan.undo_pair(lazy.sg.number.get());
                assert_eq!(receiver.join().unwrap(), Err(Refusal::Blocked));
            }
        });
    }
}

#[test]
fn a_timed_receive_leaves_its_pair_and_the_value_waits() {
    let chan = Hchan::makechan(0);
    let lazy = Queued::<u32>::lazy();
    // SAFETY: the frame stays where it is.
    assert_eq!(unsafe { chan.offer(&lazy.sg) }, None);
    assert_eq!(recv(&chan, Patience::For(std::time::Duration::from_millis(5))), Err(Refusal::Blocked));
    assert_eq!(lazy.done(), Some(Outcome::Paired));
    assert_eq!(chan.fill(lazy.sg.number.get(), 7), Ok(()), "sent: told to evaluate");
    assert_eq!((chan.len(), recv(&chan, Patience::Try)), (0, Ok(7)), "len never counts what came back");
}

#[test]
fn values_that_come_back_keep_their_order() {
    let chan = Hchan::makechan(0);
    let receives: Vec<_> = (0..64).map(|_| start_recv(&chan).unwrap_err()).collect();
    (0..64).for_each(|i| send(&chan, i, Patience::Try).unwrap());
    for queued in receives.iter().rev() {
        // SAFETY: it was queued on this channel.
        assert_eq!(unsafe { chan.cancel_recv(&queued.sg) }, Ok(()));
    }
    for i in 0..64 {
        assert_eq!(recv(&chan, Patience::Forever), Ok(i));
    }
}

/// A select that has seen a stamp twice has seen a channel to which nothing has happened in between.
#[test]
fn every_section_changes_the_stamp() {
    let chan = Hchan::makechan(0);
    let mut stamps = vec![chan.shown().stamp()];
    for (number, value) in [(1, 7), (2, 8)] {
        chan.give_back(number, value);
        stamps.push(chan.shown().stamp());
    }
    for value in [7, 8] {
        assert_eq!(recv(&chan, Patience::Try), Ok(value));
        stamps.push(chan.shown().stamp());
    }
    stamps.sort_unstable();
    stamps.dedup();
    assert_eq!(stamps.len(), 5, "two values came back and were received");
}

/// So do those in which threads queue, and are met.
#[test]
fn waiting_and_meeting_change_the_stamp() {
    let chan = &Hchan::makechan(0);
    let mut stamps = vec![chan.shown().stamp()];
    for (i, is_send) in [false, true, false, true].into_iter().enumerate() {
        thread::scope(|scope| {
            scope.spawn(move || {
                if is_send {
                    send(chan, 1, Patience::Forever).unwrap();
                } else {
                    recv(chan, Patience::Forever).unwrap();
                }
            });
            // Until it is queued.
            while chan.shown().stamp() == stamps[2 * i] {
                thread::yield_now();
            }
            stamps.push(chan.shown().stamp());
            if is_send {
                recv(chan, Patience::Try).unwrap();
            } else {
                send(chan, 1, Patience::Try).unwrap();
            }
            stamps.push(chan.shown().stamp());
        });
    }
    stamps.sort_unstable();
    stamps.dedup();
    assert_eq!(stamps.len(), 9);
}

#[test]
fn a_dropped_channel_drops_what_came_back() {
    let chan = Arc::new(Hchan::makechan(0));
    let value = Arc::new(());
    let receive = start_recv(&*chan).unwrap_err();
    send(&chan, value.clone(), Patience::Try).unwrap();
    // SAFETY: it was queued on this channel.
    assert_eq!(unsafe { chan.cancel_recv(&receive.sg) }, Ok(()));
    assert_eq!(Arc::strong_count(&value), 2);
    drop(chan);
    assert_eq!(Arc::strong_count(&value), 1);
}

/// The buffer's last block has grown and holds one value, all other slots are promised: making room takes that value, and
/// must not take the block.
#[test]
fn force_send_into_a_large_block_that_it_empties() {
    type Large = [u8; 1024];
    let chan = Hchan::<Large>::makechan(100);
    (0..100).for_each(|i| send(&chan, [i; 1024], Patience::Try).unwrap());
    (0..99).for_each(|i| assert_eq!(recv(&chan, Patience::Try), Ok([i; 1024])));
    for _ in 0..99 {
        let lazy = Queued::<Large>::lazy();
        // SAFETY: the frame stays where it is.
        assert_eq!(unsafe { chan.offer(&lazy.sg) }, Some(Promised::Reserved));
    }
    let (value, mut oldest) = ([200; 1024], [0; 1024]);
    // SAFETY: bytes may be moved out and kept at once.
    let (ready, full) = unsafe { chan.force_send(&raw const value, &raw mut oldest) }.unwrap();
    ready.fire();
    assert!(full);
    assert_eq!(oldest, [99; 1024]);
    assert_eq!(recv(&chan, Patience::Try), Ok(value));
    (0..99).for_each(|_| chan.release_reserved());
}

/// A receiver seems to wait, which is an arm of a select that has fired elsewhere: so a send that is polled has to wait after all.
#[test]
fn a_send_is_polled_beside_an_arm_that_lost() {
    let (tx, rx) = crate::bounded::<u32>(0);
    let lost = Wait::new(Reason::Select, Location::caller());
    // SAFETY: nobody has it yet.
    assert!(unsafe { Wait::claim(&raw const lost) });
    let sg = Sudog::new(&raw const lost, 0, std::ptr::null_mut());
    // SAFETY: both outlive the queue's use of them, which ends when somebody passes over the arm.
    unsafe { tx.hchan().unwrap().lock().queue_receiver(&raw const sg) };
    let mut send = std::pin::pin!(tx.send_async(7));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(send.as_mut().poll(&mut cx).is_pending());
    assert_eq!(rx.try_recv(), Ok(7));
    assert!(send.as_mut().poll(&mut cx).is_ready());
}
