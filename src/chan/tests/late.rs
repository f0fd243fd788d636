//! Who has looked at the word, and comes to the lock when what it said is over. All that the word has let pass is asked
//! again under the lock.

use super::super::arm::{Attempt, Dir, Fired, Glance, Selectable};
use super::super::handshake::Promised;
use super::super::hchan::{Hchan, Patience, Refusal};
use super::super::section::{Batch, Locked};
use super::super::shown::{CLOSED, READABLE, WRITABLE};
use super::callback::{Arm, Queued, Select};
use super::{recv, send};
use crate::park::{Outcome, Ready};
use std::mem::MaybeUninit;
use std::thread;
use std::time::Duration;

/// What `operation` says if `meanwhile` happens, under the lock, when it has looked at the word. (If it has not come so far by
/// then, it says the same.)
fn late<R: Send>(
    chan: &Hchan<u32>,
    operation: impl FnOnce() -> R + Send,
    meanwhile: impl FnOnce(&mut Locked<'_, u32>),
) -> R {
    thread::scope(|scope| {
        let mut c = chan.lock();
        let operation = scope.spawn(operation);
        thread::sleep(Duration::from_millis(100));
        meanwhile(&mut c);
        drop(c);
        operation.join().unwrap()
    })
}

/// A sender, queued though there may be a slot.
fn queue_sender(c: &mut Locked<'_, u32>, sender: &Queued<u32>) {
    // SAFETY: the frame stays where it is until the wait has ended.
    unsafe { c.queue_sender(&sender.sg) };
}

/// The rest of a close.
fn settle(chan: &Hchan<u32>) {
    chan.settle_and_leave(chan.lock(), Batch::new());
}

/// What a select finds that offers to send: a slot, or why there is none.
fn offer(chan: &Hchan<u32>) -> &'static str {
    // SAFETY: a sending arm has no room.
    let attempt = unsafe {
        match chan.glance(Dir::Send, std::ptr::null_mut()) {
            Glance::Nothing(_) => return "nothing",
            Glance::Received(number) => Attempt::Fired(Fired::Received(number), Ready::NOBODY),
            Glance::Reserved => Attempt::Fired(Fired::Promised(Promised::Reserved), Ready::NOBODY),
            Glance::Locked => chan.look_closer(Dir::Send, std::ptr::null_mut(), true),
        }
    };
    match attempt {
        Attempt::Fired(Fired::Promised(Promised::Reserved), _) => "reserved",
        Attempt::Fired(Fired::Promised(Promised::Closed), _) => "closed",
        Attempt::Nothing(_) => "nothing",
        Attempt::Crowded => "crowded",
        _ => unreachable!("there is no receiver"),
    }
}

#[test]
fn the_slot_has_gone() {
    let chan = Hchan::makechan(1);
    assert_eq!(late(&chan, || send(&chan, 1, Patience::Try), |c| c.chan().reserve()), Err((Refusal::Blocked, 1)));
    let chan = Hchan::makechan(1);
    assert_eq!(late(&chan, || offer(&chan), |c| c.chan().reserve()), "nothing");
    let chan = Hchan::makechan(1);
    assert_eq!(late(&chan, || offer(&chan), |c| c.closed = true), "closed");
    // Who has got the last one says so.
    let chan = Hchan::makechan(1);
    assert_eq!((offer(&chan), chan.word() & WRITABLE, offer(&chan)), ("reserved", 0, "nothing"));
}

/// An arm of a select that has fired elsewhere is nobody to send to. Who finds that says so.
#[test]
fn the_receiver_has_gone() {
    let chan = Hchan::<u32>::makechan(0);
    let select = Select::new(&[(&chan, Arm::Recv)]);
    assert!(select.claim_elsewhere());
    assert_ne!(chan.word() & WRITABLE, 0);
    assert_eq!((offer(&chan), chan.word() & WRITABLE), ("nothing", 0));
    select.leave(&[&chan]);
}

/// Nor is one to receive from: who passes over it, and queues, says so.
#[test]
fn the_sender_has_gone() {
    let chan = Hchan::<u32>::makechan(0);
    let select = Select::new(&[(&chan, Arm::Send)]);
    assert!(select.claim_elsewhere());
    assert_ne!(chan.word() & READABLE, 0);
    thread::scope(|scope| {
        let receiver = scope.spawn(|| recv(&chan, Patience::Forever));
        while chan.word() & WRITABLE == 0 {
            assert!(!receiver.is_finished());
            thread::yield_now();
        }
        assert_eq!(chan.word() & READABLE, 0);
        send(&chan, 1, Patience::Try).unwrap();
        assert_eq!(receiver.join().unwrap(), Ok(1));
    });
    select.leave(&[&chan]);
}

/// Nor is it passed over for a sender of the same select: that is not woken for nothing.
#[test]
fn a_select_does_not_meet_itself_behind_one_that_has_gone() {
    let chan = Hchan::<u32>::makechan(0);
    let gone = Select::new(&[(&chan, Arm::Recv)]);
    let both = Select::new(&[(&chan, Arm::Recv), (&chan, Arm::Send)]);
    assert!(gone.claim_elsewhere());
    settle(&chan);
    assert_eq!(both.done(), None);
    assert_eq!((gone.leave(&[&chan]), both.leave(&[&chan, &chan])), (0, 2));
}

/// Between two sections of who frees many slots, those who queued before go first.
#[test]
fn the_slot_is_for_who_queues() {
    let (chan, sender) = (Hchan::makechan(1), Queued::send(7));
    let sent = late(&chan, || send(&chan, 1, Patience::Try), |c| queue_sender(c, &sender));
    assert_eq!((sent, sender.done()), (Err((Refusal::Blocked, 1)), Some(Outcome::Completed)));
    let (chan, sender) = (Hchan::makechan(1), Queued::send(7));
    assert_eq!(late(&chan, || offer(&chan), |c| queue_sender(c, &sender)), "crowded");
    settle(&chan);
    assert_eq!((sender.done(), recv(&chan, Patience::Try)), (Some(Outcome::Completed), Ok(7)));
}

#[test]
fn the_value_has_gone() {
    for closed in [false, true] {
        let chan = Hchan::makechan(1);
        send(&chan, 1, Patience::Try).unwrap();
        let received = late(
            &chan,
            || recv(&chan, Patience::Try),
            |c| {
                // SAFETY: it is in the buffer, and there is room for it.
                unsafe { c.pop_oldest(MaybeUninit::uninit().as_mut_ptr()) };
                c.closed = closed;
            },
        );
        assert_eq!(received, Err(if closed { Refusal::Closed } else { Refusal::Blocked }));
    }
}

#[test]
fn closed_where_it_would_have_to_wait() {
    let chan = Hchan::makechan(0);
    assert_eq!(late(&chan, || send(&chan, 1, Patience::Forever), |c| c.closed = true), Err((Refusal::Closed, 1)));
    let chan = Hchan::makechan(1);
    assert_eq!(late(&chan, || recv(&chan, Patience::Forever), |c| c.closed = true), Err(Refusal::Closed));
}

/// Between two sections of who closes: those who are queued are his, and senders keep their values.
#[test]
fn closed_where_somebody_waits() {
    for patience in [Patience::Try, Patience::Forever] {
        let (chan, receiver) = (Hchan::makechan(0), Queued::<u32>::receive());
        // SAFETY: the frame stays where it is until the wait has ended.
        unsafe { chan.lock().queue_receiver(&receiver.sg) };
        let sent = late(&chan, || send(&chan, 1, patience), |c| c.closed = true);
        assert_eq!((sent, receiver.done()), (Err((Refusal::Closed, 1)), None));
        settle(&chan);
        assert_eq!(receiver.done(), Some(Outcome::Closed));

        let (chan, sender) = (Hchan::makechan(0), Queued::send(7));
        queue_sender(&mut chan.lock(), &sender);
        let received = late(&chan, || recv(&chan, patience), |c| c.closed = true);
        assert_eq!((received, sender.done()), (Err(Refusal::Closed), None));
        assert_eq!(chan.word() & (READABLE | WRITABLE | CLOSED), CLOSED);
        settle(&chan);
        assert_eq!(sender.done(), Some(Outcome::Closed));

        // Nor does the slot that a receive frees let them in.
        let (chan, sender) = (Hchan::makechan(1), Queued::send(7));
        send(&chan, 1, Patience::Try).unwrap();
        queue_sender(&mut chan.lock(), &sender);
        let received = late(&chan, || recv(&chan, patience), |c| c.closed = true);
        assert_eq!((received, sender.done(), chan.len()), (Ok(1), None, 0));
        settle(&chan);
        assert_eq!(sender.done(), Some(Outcome::Closed));
    }
}
