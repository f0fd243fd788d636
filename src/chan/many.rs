//! Several values per locked section, and a send that makes its own room.
//!
//! A section ends at most as many waits as fit a batch of wake-ups, which are fired behind it. The order of checks is
//! that of `chansend` and `chanrecv`, and so is who is served first.

use super::hchan::{Hchan, Refusal, UNBOUNDED};
use super::ring::Block;
use super::section::{Batch, Ended, RecvNow, SendNow};
use crate::park::Ready;
use std::collections::VecDeque;

/// Values that one section moves at most, so that others get the lock in between.
const MOST_PER_SECTION: usize = 64;

impl<T> Hchan<T> {
    /// Moves values from the front of `values` to receivers and into the buffer, as many as go without waiting.
    pub(super) fn send_some(&self, values: &mut VecDeque<T>) -> Result<(), Refusal> {
        let mut spare = None;
        loop {
            let mut batch = Batch::new();
            let mut c = self.lock();
            let before = values.len();
            let stop = loop {
                let Some(value) = values.front() else { break None };
                if batch.is_full() || before - values.len() == MOST_PER_SECTION {
                    break Some(SendNow::Crowded);
                }
                // SAFETY: the value is forgotten if it was sent.
                match unsafe { c.send_now(value, &mut spare) } {
                    SendNow::Sent(ended) => batch.push(ended),
                    stop => break Some(stop),
                }
                std::mem::forget(values.pop_front());
            };
            self.settle_and_leave(c, batch);
            match stop {
                None => return Ok(()),
                Some(SendNow::Closed) => return Err(Refusal::Closed),
                Some(SendNow::Full) => return Err(Refusal::Blocked),
                Some(SendNow::NoBlock(cap)) => spare = Some(Block::new(cap)),
                Some(SendNow::Crowded | SendNow::Sent(_)) => {}
            }
        }
    }

    /// Appends to `buffer` what can be received without waiting, at most `limit` values; returns how many.
    pub(super) fn recv_some(&self, buffer: &mut Vec<T>, limit: usize) -> usize {
        let mut got = 0;
        while got < limit && self.shown().is_readable() {
            let want = (limit - got).min(self.len().max(1)).min(MOST_PER_SECTION);
            buffer.reserve(want);
            let mut batch = Batch::new();
            let mut c = self.lock();
            let mut moved = 0;
            // A sender without a value would have to be waited for.
            while moved < want && !batch.is_full() && (c.has_value() || !c.sendq.first_is_lazy()) {
                let room = buffer.spare_capacity_mut()[moved].as_mut_ptr();
                // SAFETY: the room is the vector's spare capacity.
                let RecvNow::Got(_, ended) = (unsafe { c.recv_now(room, true) }) else { break };
                batch.push(ended);
                moved += 1;
            }
            // SAFETY: so many values were written behind the vector's end.
            unsafe { buffer.set_len(buffer.len() + moved) };
            self.settle_and_leave(c, batch);
            got += moved;
            if moved == 0 {
                break;
            }
        }
        got
    }

    /// Sends the value behind `elem` without waiting: where there is no room, the oldest buffered value makes room and
    /// is moved to `oldest`, and this returns true. Refused as blocked if there is none. Overtakes parked senders.
    ///
    /// # Safety
    /// As for [`chansend`](Self::chansend); `oldest` may be written.
    pub(super) unsafe fn force_send(&self, elem: *const T, oldest: *mut T) -> Result<(Ready, bool), Refusal> {
        let mut spare = None;
        loop {
            let mut c = self.lock();
            if c.closed {
                return Err(Refusal::Closed);
            }
            if let Some(sg) = c.recvq.dequeue() {
                // SAFETY: dequeued, so claimed and unlinked; the value is ours to give away.
                let ended = unsafe { c.hand_to(sg, elem) };
                return Ok((c.leave(ended), false));
            }
            let full = self.cap != UNBOUNDED && !c.has_slot();
            if full && c.len() == 0 {
                // Nothing is buffered that could make room: capacity 0, or every slot is reserved.
                return Err(Refusal::Blocked);
            }
            // A full block gets its room from the pop; else the push comes first, for the pop may take the block along.
            let pop_first = full && c.ends().is_one_full_block();
            if !pop_first {
                if let Err(cap) = c.make_room(&mut spare) {
                    drop(c);
                    spare = Some(Block::new(cap));
                    continue;
                }
            }
            // SAFETY: full, so there is a value to take out; there is room in time; the value is ours to give away.
            unsafe {
                if pop_first {
                    c.pop_oldest(oldest);
                }
                c.push(elem);
                if full && !pop_first {
                    c.pop_oldest(oldest);
                }
            }
            return Ok((c.leave(Ended::NOBODY), full));
        }
    }
}
