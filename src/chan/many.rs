//! Several values per locked section, and a send that makes its own room.
//!
//! A section moves at most [`Batch::MOST`] values, since each may end somebody's wait; their wake-ups are fired behind
//! it. The order of checks is that of `chansend` and `chanrecv`, and so is who is served first.

use super::hchan::{Hchan, Refusal, UNBOUNDED};
use super::ring::Block;
use super::section::READABLE;

use crate::park::{Batch, Ready};
use std::collections::VecDeque;
use std::mem::MaybeUninit;
use std::ptr;

impl<T> Hchan<T> {
    /// Moves values from the front of `values` to receivers and into the buffer, as many as go without waiting.
    pub(super) fn send_some(&self, values: &mut VecDeque<T>) -> Result<(), Refusal> {
        let mut spare = None;
        while !values.is_empty() {
            let mut batch = Batch::new();
            let mut c = self.lock();
            let before = values.len();
            let mut block = None;
            while batch.room() >= 2 && !c.closed {
                let Some(value) = values.front().map(ptr::from_ref) else { break };
                if let Some(sg) = c.recvq.dequeue() {
                    // SAFETY: dequeued, so claimed and unlinked; the value is forgotten below.
                    batch.push(unsafe { c.hand_to(sg, value) });
                } else if c.sendq.is_empty() && c.has_slot(self.cap) {
                    if let Err(cap) = c.make_room(&mut spare) {
                        block = Some(cap);
                        break;
                    }
                    // SAFETY: there is room; the value is forgotten below.
                    unsafe { c.buf.push(value) };
                } else {
                    break;
                }
                std::mem::forget(values.pop_front());
            }
            let closed = c.closed;
            let moved = before - values.len();
            self.settle_and_leave(c, batch);
            match block {
                _ if closed => return Err(Refusal::Closed),
                Some(cap) => spare = Some(Block::new(cap)),
                None if moved == 0 => return Err(Refusal::Blocked),
                None => {}
            }
        }
        Ok(())
    }

    /// Appends to `buffer` what can be received without waiting, at most `limit` values; returns how many.
    pub(super) fn recv_some(&self, buffer: &mut Vec<T>, limit: usize) -> usize {
        let mut got = 0;
        while got < limit && self.word() & READABLE != 0 {
            let want = (limit - got).min(Batch::MOST - 2).min(self.len().max(1));
            buffer.reserve(want);
            let mut batch = Batch::new();
            let mut c = self.lock();
            let mut moved = 0;
            while moved < want {
                let room = buffer.spare_capacity_mut()[moved].as_mut_ptr();
                if c.has_value() {
                    // SAFETY: there is a value, and the room is the vector's spare capacity.
                    unsafe { c.take_value(room) };
                } else if c.closed || c.sendq.first_is_lazy() {
                    break;
                } else if let Some(sg) = c.sendq.dequeue() {
                    // SAFETY: dequeued, so claimed and unlinked, and not lazy.
                    batch.push(unsafe { c.take_from(sg, room) });
                } else {
                    break;
                }
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
    /// comes back. At capacity 0 the value itself does. Overtakes parked senders.
    ///
    /// # Safety
    /// As for [`chansend`](Self::chansend).
    pub(super) unsafe fn force_send(&self, elem: *mut T) -> Result<(Ready, Option<T>), Refusal> {
        let mut spare = None;
        loop {
            let mut c = self.lock();
            if c.closed {
                return Err(Refusal::Closed);
            }
            if let Some(sg) = c.recvq.dequeue() {
                // SAFETY: dequeued, so claimed and unlinked; the value is ours to give away.
                return Ok((unsafe { c.hand_to(sg, elem) }, None));
            }
            let full = self.cap != UNBOUNDED && !c.has_slot(self.cap);
            if full && c.buf.len() == 0 {
                // Nothing is buffered that could make room: capacity 0, or every slot is reserved.
                return Err(Refusal::Blocked);
            }
            if let Err(cap) = c.make_room_after_pop(full, &mut spare) {
                drop(c);
                spare = Some(Block::new(cap));
                continue;
            }
            let mut oldest = MaybeUninit::<T>::uninit();
            // SAFETY: full, so there is a value to take out; then there is room; the value is ours to give away.
            unsafe {
                if full {
                    c.pop_oldest(oldest.as_mut_ptr());
                }
                c.buf.push(elem);
                drop(c);
                return Ok((Ready::NOBODY, full.then(|| oldest.assume_init_read())));
            }
        }
    }
}
