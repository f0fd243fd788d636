//! The channel against its specification: random programs of locked sections, on one thread, on the real [`Hchan`] and
//! on the sequential model, which must agree after every step on the outcome and on who was woken with what.
//!
//! Everything that waits is called back, so one thread can play any number of waiters: plain ones, selects with both
//! directions, senders without a value, receives that are given up, watchers.

use super::super::handshake::{Promised as Offered, WATCH_CLOSE, WATCH_RECV, WATCH_SEND};
use super::super::hchan::{Hchan, Patience, Refusal, UNBOUNDED};
use super::super::shown::{CLOSED, LEN_SHIFT, READABLE, WRITABLE};
use super::callback::{Arm, Queued, Select, start_recv, start_send, start_try_recv};
use super::send;
use crate::park::Outcome;
use crate::primitive::Ordering;
use model::{
    CancelOutcome, Completion, FillOutcome, ForceOutcome, GrantOutcome, Handed, Interest, Model, Offer, RecvOutcome,
    SendOutcome, WaitId,
};
use std::collections::BTreeMap;
use std::mem;

#[path = "../../../tests/model/mod.rs"]
mod model;

/// Somebody who waits on the real channel.
enum Waiting {
    Send(Queued<u32>),
    Recv(Queued<u32>),
    Lazy(Queued<u32>),
    Watch(Queued<u32>),
    Select(Select<u32>),
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) % n as u64) as usize
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        (!from.is_empty()).then(|| from[self.below(from.len())])
    }
}

struct Both {
    real: Hchan<u32>,
    model: Model,
    waiting: BTreeMap<u32, Waiting>,
    /// Selects that fired elsewhere; their arms may still be queued here.
    stale: Vec<Select<u32>>,
    tickets: Vec<u32>,
    reservations: usize,
    held: Vec<Handed>,
    next: u32,
    log: Vec<String>,
}

impl Both {
    fn new(cap: Option<usize>) -> Self {
        Self {
            real: Hchan::makechan(cap.unwrap_or(UNBOUNDED)),
            model: Model::new(cap),
            waiting: BTreeMap::new(),
            stale: Vec::new(),
            tickets: Vec::new(),
            reservations: 0,
            held: Vec::new(),
            next: 0,
            log: Vec::new(),
        }
    }

    fn next(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    /// The waits that have ended on the real channel, which leave `waiting`.
    fn ended(&mut self) -> Vec<(WaitId, Completion)> {
        let mut ended = Vec::new();
        for (id, waiting) in mem::take(&mut self.waiting) {
            let done = match &waiting {
                Waiting::Send(queued) | Waiting::Recv(queued) | Waiting::Lazy(queued) | Waiting::Watch(queued) => {
                    queued.done().map(|outcome| (outcome, 0))
                }
                Waiting::Select(select) => select.done().map(|done| (done.outcome, done.arm)),
            };
            let Some((outcome, arm)) = done else {
                self.waiting.insert(id, waiting);
                continue;
            };
            let ticket = match &waiting {
                Waiting::Select(select) => select.ticket(arm.into()),
                Waiting::Lazy(queued) => queued.sg.number.get(),
                _ => 0,
            };
            let completion = match (outcome, &waiting) {
                (Outcome::Completed, Waiting::Send(_)) => Completion::Sent,
                // SAFETY: a sender that was closed upon has its value; a receive that was completed has one.
                (Outcome::Closed, Waiting::Send(queued)) => Completion::SendClosed(unsafe { queued.take() }),
                (Outcome::Completed, Waiting::Recv(queued)) => Completion::Received(Handed {
                    number: queued.sg.number.get() as u32,
                    // SAFETY: as above.
                    value: unsafe { queued.take() },
                }),
                (Outcome::Completed, Waiting::Select(select)) => {
                    let (arm, value) = select.fired();
                    Completion::Received(Handed { number: select.handoff(arm) as u32, value })
                }
                (Outcome::Completed, _) => panic!("completed without a value"),
                (Outcome::Closed, _) => Completion::Closed,
                (Outcome::Retry, _) => Completion::Retry,
                (Outcome::Paired, _) => Completion::Paired(ticket as u32),
                (Outcome::Reserved, _) => Completion::Reserved,
                (Outcome::Ready, _) => Completion::Ready,
            };
            let id = match waiting {
                Waiting::Select(select) => {
                    select.leave(&[&self.real, &self.real]);
                    WaitId::Arm { select: id, arm: arm.into() }
                }
                _ => WaitId::Plain(id),
            };
            ended.push((id, completion));
        }
        ended
    }

    /// After each step: the same waits have ended in the same way, and the channels look the same.
    fn agree(&mut self, mut woken: Vec<(WaitId, Completion)>) {
        let mut ended = self.ended();
        woken.sort_by_key(|(id, _)| *id);
        ended.sort_by_key(|(id, _)| *id);
        assert_eq!(ended, woken, "woken: real, model\n{}", self.log.join("\n"));
        for (_, completion) in ended {
            match completion {
                Completion::Paired(ticket) => self.tickets.push(ticket),
                Completion::Reserved => self.reservations += 1,
                Completion::Received(handed) => self.held.push(handed),
                _ => {}
            }
        }
        self.model.check_invariants();
        // Looked at without a section, which would publish the word anew, and have quick sections look again.
        let state = self.real.lock.lock();
        let reserved = self.real.reserved.load(Ordering::Relaxed) as usize;
        let real = (state.closed, self.real.buffered(), reserved, state.returned.len());
        let readable = real.1 > 0 || !state.returned.is_empty() || !state.closed && state.sendq.has_prompt();
        let writable = !state.closed && (real.1 + reserved < self.real.cap || !state.recvq.is_empty());
        drop(state);
        let flag = |is_set: bool, flag: u64| u64::from(is_set) * flag;
        let flags = flag(real.0, CLOSED) | flag(readable, READABLE) | flag(writable, WRITABLE);
        let (said, is) = (self.real.word(), (real.1 as u64) << LEN_SHIFT | flags);
        assert_eq!(said, is, "what it shows, what there is\n{}", self.log.join("\n"));
        let model = (self.model.is_closed(), self.model.len(), self.model.reserved(), self.model.returned().len());
        assert_eq!(real, model, "closed, buffered, reserved, returned: real, model\n{}", self.log.join("\n"));
        assert_eq!(self.real.len(), model.1);
        let readable = self.real.word() & READABLE != 0;
        let selects = !self.stale.is_empty() || self.waiting.values().any(|w| matches!(w, Waiting::Select(_)));
        if !selects {
            let model = self.model.in_hand() || !self.model.is_closed() && self.model.is_ready(Interest::Readable);
            assert_eq!(readable, model, "readable\n{}", self.log.join("\n"));
        }
    }

    fn said(&mut self, step: String) {
        self.log.push(step);
    }

    /// One random step on both.
    fn step(&mut self, random: &mut Random) {
        let id = self.next();
        let wait = WaitId::Plain(id);
        match random.below(if self.model.is_closed() { 40 } else { 41 }) {
            0..4 => {
                let (model, woken) = self.model.try_send(id);
                self.said(format!("try_send({id}) {model:?} {woken:?}"));
                let real = match send(&self.real, id, Patience::Try) {
                    Ok(()) => SendOutcome::Sent,
                    Err((Refusal::Blocked, value)) => SendOutcome::Full(value),
                    Err((Refusal::Closed, value)) => SendOutcome::Closed(value),
                };
                assert_eq!(real, model, "{}", self.log.join("\n"));
                self.agree(woken);
            }
            4..8 => {
                let (model, woken) = self.model.send(wait, id);
                self.said(format!("send({id}) {model:?} {woken:?}"));
                let real = match start_send(&self.real, id) {
                    Ok(Ok(())) => SendOutcome::Sent,
                    Ok(Err(value)) => SendOutcome::Closed(value),
                    Err(queued) => {
                        self.waiting.insert(id, Waiting::Send(queued));
                        SendOutcome::Parked
                    }
                };
                assert_eq!(real, model, "{}", self.log.join("\n"));
                self.agree(woken);
            }
            8..11 => {
                let (model, woken) = self.model.try_recv(wait);
                self.said(format!("try_recv({id}) {model:?} {woken:?}"));
                self.receive(id, start_try_recv(&self.real), model);
                self.agree(woken);
            }
            11..16 => {
                let (model, woken) = self.model.recv(wait);
                self.said(format!("recv({id}) {model:?} {woken:?}"));
                self.receive(id, start_recv(&self.real), model);
                self.agree(woken);
            }
            16..19 => {
                let task = random.below(3) == 0;
                let offer = if task { Offer::LazyTask } else { Offer::Lazy };
                let (model, woken) = self.model.lazy_send(wait, offer);
                self.said(format!("lazy_send({id}, {offer:?}) {model:?} {woken:?}"));
                let queued = if task { Queued::lazy_task() } else { Queued::lazy() };
                // SAFETY: the frame stays where it is.
                let real = match unsafe { self.real.offer(&queued.sg) } {
                    Some(Offered::Closed) => GrantOutcome::Closed,
                    Some(Offered::Paired(ticket)) => GrantOutcome::Paired(ticket as u32),
                    Some(Offered::Reserved) => GrantOutcome::Reserved,
                    None => GrantOutcome::Parked,
                };
                assert_eq!(real, model, "{}", self.log.join("\n"));
                match real {
                    GrantOutcome::Paired(ticket) => self.tickets.push(ticket),
                    GrantOutcome::Reserved => self.reservations += 1,
                    GrantOutcome::Parked => {
                        self.waiting.insert(id, Waiting::Lazy(queued));
                    }
                    _ => {}
                }
                self.agree(woken);
            }
            19..22 if !self.tickets.is_empty() => {
                let ticket = self.tickets.swap_remove(random.below(self.tickets.len()));
                if random.below(3) == 0 {
                    let ((), woken) = self.model.undo_pair(ticket);
                    self.said(format!("undo_pair({ticket}) {woken:?}"));
                    self.real.undo_pair(ticket.into());
                    return self.agree(woken);
                }
                let (model, woken) = self.model.fill(ticket, id);
                self.said(format!("fill({ticket}, {id}) {model:?} {woken:?}"));
                assert_eq!(filled(self.real.fill(ticket.into(), id)), model);
                self.agree(woken);
            }
            22..24 if self.reservations > 0 => {
                self.reservations -= 1;
                if random.below(3) == 0 {
                    let ((), woken) = self.model.release_reserved();
                    self.said(format!("release_reserved {woken:?}"));
                    self.real.release_reserved();
                    return self.agree(woken);
                }
                let (model, woken) = self.model.fill_reserved(id);
                self.said(format!("fill_reserved({id}) {model:?} {woken:?}"));
                assert_eq!(filled(self.real.fill_reserved(id)), model);
                self.agree(woken);
            }
            24..28 => {
                let all: Vec<u32> = self.waiting.keys().copied().collect();
                let Some(id) = random.pick(&all) else { return };
                self.cancel(id, random.below(2) == 0);
            }
            28..31 if !self.held.is_empty() => {
                let handed = self.held.swap_remove(random.below(self.held.len()));
                let ((), woken) = self.model.give_back(handed);
                self.said(format!("give_back({handed:?}) {woken:?}"));
                self.real.give_back(handed.number.into(), handed.value);
                self.agree(woken);
            }
            31..34 => {
                let (interest, bits) = [
                    (Interest::Readable, WATCH_RECV),
                    (Interest::Writable, WATCH_SEND),
                    (Interest::Closed, WATCH_CLOSE),
                ][random.below(3)];
                if self.waiting.values().any(|w| matches!(w, Waiting::Select(_))) || !self.stale.is_empty() {
                    // An arm that lost elsewhere may make a watcher look in vain; the model knows of no such arms.
                    return;
                }
                let (model, woken) = self.model.watch(wait, interest);
                self.said(format!("watch({id}, {interest:?}) {model:?} {woken:?}"));
                let queued = Queued::watcher(bits);
                // SAFETY: the frame stays where it is.
                let parked = unsafe { self.real.watch(&queued.sg) };
                assert_eq!(!parked, model, "{}", self.log.join("\n"));
                if parked {
                    self.waiting.insert(id, Waiting::Watch(queued));
                }
                self.agree(woken);
            }
            34 => {
                let (model, woken) = self.model.force_send(id);
                self.said(format!("force_send({id}) {model:?} {woken:?}"));
                let mut oldest = 0;
                // SAFETY: a number may be moved out and kept at once.
                let real = match unsafe { self.real.force_send(&raw const id, &raw mut oldest) } {
                    Ok((ready, full)) => {
                        ready.fire();
                        if full { ForceOutcome::Displaced(oldest) } else { ForceOutcome::Sent }
                    }
                    Err(Refusal::Blocked) => ForceOutcome::Displaced(id),
                    Err(Refusal::Closed) => ForceOutcome::Closed(id),
                };
                assert_eq!(real, model, "{}", self.log.join("\n"));
                self.agree(woken);
            }
            35 => {
                let (model, woken) = self.model.drain();
                self.said(format!("drain {model:?} {woken:?}"));
                let (mut returned, mut ring) = self.real.take_all();
                let mut real: Vec<u32> = returned.by_ref().collect();
                while ring.len() > 0 {
                    let mut room = 0;
                    // SAFETY: the ring is not empty.
                    drop(unsafe { ring.pop(&raw mut room) });
                    real.push(room);
                }
                assert_eq!(real, model, "{}", self.log.join("\n"));
                self.agree(woken);
            }
            36..39 => self.select(id, random),
            39 if !self.stale.is_empty() => {
                let select = self.stale.swap_remove(random.below(self.stale.len()));
                select.leave(&[&self.real, &self.real]);
            }
            40 if random.below(8) == 0 => {
                let (model, woken) = self.model.close();
                self.said(format!("close {model:?} {woken:?}"));
                assert_eq!(self.real.closechan(), model);
                self.agree(woken);
            }
            _ => {}
        }
    }

    fn receive(&mut self, id: u32, real: Result<Result<u32, Refusal>, Queued<u32>>, model: RecvOutcome) {
        let model = match model {
            RecvOutcome::Received(handed) => Ok(Ok(handed.value)),
            RecvOutcome::Empty => Ok(Err(Refusal::Blocked)),
            RecvOutcome::Closed => Ok(Err(Refusal::Closed)),
            RecvOutcome::Parked => Err(()),
        };
        let real = real.map_err(|queued| {
            self.waiting.insert(id, Waiting::Recv(queued));
        });
        assert_eq!(real, model, "{}", self.log.join("\n"));
    }

    /// A wait is given up. A select may also have been claimed by a channel elsewhere; then its arms stay for a while.
    fn cancel(&mut self, id: u32, elsewhere: bool) {
        let waiting = self.waiting.remove(&id).expect("it waits");
        let wait = match waiting {
            Waiting::Select(_) => WaitId::Arm { select: id, arm: 0 },
            _ => WaitId::Plain(id),
        };
        if let (Waiting::Watch(queued), _) = (&waiting, wait) {
            let ((), woken) = self.model.unwatch(wait);
            self.said(format!("unwatch({id})"));
            // SAFETY: it was queued on this channel.
            assert_eq!(unsafe { self.real.withdraw(&queued.sg) }, None);
            drop(waiting);
            return self.agree(woken);
        }
        if let Waiting::Select(select) = waiting {
            if elsewhere && select.claim_elsewhere() {
                self.stale.push(select);
            } else {
                select.leave(&[&self.real, &self.real]);
            }
            let (_, mut woken) = self.model.cancel(wait);
            woken.extend(self.model.cancel(WaitId::Arm { select: id, arm: 1 }).1);
            self.said(format!("cancel(select {id}) {woken:?}"));
            return self.agree(woken);
        }
        let (model, woken) = self.model.cancel(wait);
        self.said(format!("cancel({id}) {model:?} {woken:?}"));
        let value = match &waiting {
            // SAFETY: it was queued on this channel; a sender that was withdrawn has its value.
            Waiting::Send(queued) => unsafe {
                assert_eq!(self.real.withdraw(&queued.sg), None);
                Some(queued.take())
            },
            Waiting::Recv(queued) | Waiting::Lazy(queued) => {
                // SAFETY: it was queued on this channel.
                assert_eq!(unsafe { self.real.withdraw(&queued.sg) }, None);
                None
            }
            Waiting::Watch(_) | Waiting::Select(_) => unreachable!(),
        };
        assert_eq!(CancelOutcome::Cancelled(value), model);
        drop(waiting);
        self.agree(woken);
    }

    /// A select with one or two arms here, parked if none of them can go on at once.
    fn select(&mut self, id: u32, random: &mut Random) {
        let arms = [[Arm::Recv, Arm::Send], [Arm::Send, Arm::Recv], [Arm::Recv, Arm::Recv], [Arm::Send, Arm::Send]];
        let arms = arms[random.below(4)];
        let (mut model, mut woken) = (self.model.clone(), Vec::new());
        for (index, arm) in (0..).zip(arms) {
            let wait = WaitId::Arm { select: id, arm: index };
            let (parked, others) = match arm {
                Arm::Recv => {
                    let (outcome, others) = model.recv(wait);
                    (outcome == RecvOutcome::Parked, others)
                }
                Arm::Send => {
                    let (outcome, others) = model.lazy_send(wait, Offer::Lazy);
                    (outcome == GrantOutcome::Parked, others)
                }
            };
            woken.extend(others);
            if !parked || model.queues().0.len() + model.queues().1.len() != self.queued() + index as usize + 1 {
                return;
            }
        }
        self.model = model;
        self.said(format!("select({id}, {arms:?})"));
        self.waiting.insert(id, Waiting::Select(Select::new(&arms.map(|arm| (&self.real, arm)))));
        self.agree(woken);
    }

    fn queued(&self) -> usize {
        let (senders, receivers) = self.model.queues();
        senders.len() + receivers.len()
    }

    /// Ends what is going on and counts the values.
    fn finish(mut self) {
        while let Some(&id) = self.waiting.keys().next() {
            self.cancel(id, false);
        }
        for select in mem::take(&mut self.stale) {
            select.leave(&[&self.real, &self.real]);
        }
        let (model, woken) = self.model.close();
        assert_eq!(self.real.closechan(), model);
        self.agree(woken);
        let c = self.real.lock();
        assert!(c.sendq.is_empty() && c.recvq.is_empty() && c.pairs.is_empty() && c.watchers().is_empty());
    }
}

fn filled(real: Result<(), u32>) -> FillOutcome {
    match real {
        Ok(()) => FillOutcome::Sent,
        Err(value) => FillOutcome::Closed(value),
    }
}

#[test]
fn agrees_with_the_model() {
    let programs: u64 = std::env::var("GOCHAN_PROGRAMS").map_or(4000, |n| n.parse().expect("a number"));
    let programs = if cfg!(miri) { 20 } else { programs };
    let only: Option<u64> = std::env::var("GOCHAN_SEED").ok().map(|seed| seed.parse().expect("a number"));
    for seed in only.map_or(0..programs, |seed| seed..seed + 1) {
        for cap in [Some(0), Some(1), Some(2), Some(3), None] {
            let failed = std::panic::catch_unwind(|| {
                let mut random = Random(seed);
                let mut both = Both::new(cap);
                for _ in 0..60 {
                    both.step(&mut random);
                }
                both.finish();
            });
            if let Err(panic) = failed {
                eprintln!("GOCHAN_SEED={seed}, capacity {cap:?}");
                std::panic::resume_unwind(panic);
            }
        }
    }
}
