//! The history checker itself: it accepts what a channel may do and rejects what none may do.
//!
//! Each planted error comes beside the sound history it was made from, so that a test cannot pass because the checker
//! rejects everything, or accepts everything.

mod history;
mod model;

use history::duel::duel;
use history::run::{Live, Port, Ports, Program, Summary, run};
use history::{History, Op, Record, Ret, check, diagram, forced};
use model::{Bug, CancelOutcome, Completion, Model, RecvOutcome, SendOutcome, WaitId};
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// One operation: thread, what, stamps of invocation and response, result.
type Line = (usize, Op, u64, Option<(u64, Ret)>);

fn history(capacity: usize, lines: &[Line]) -> History {
    let records =
        lines.iter().map(|&(thread, op, invoked, returned)| Record { thread, op, invoked, returned, joined: false });
    History {
        capacity: Some(capacity),
        threads: 4,
        senders: 9,
        receivers: 9,
        records: records.collect(),
        quiescent: vec![],
    }
}

/// The same, and at the end nobody is able to go on.
fn quiescent(capacity: usize, lines: &[Line]) -> History {
    History { quiescent: vec![1000], ..history(capacity, lines) }
}

#[track_caller]
fn accepted(history: History) {
    if let Err(unexplained) = check(&history) {
        panic!("rejected, although sound:\n{}", diagram(&history, Some(unexplained)));
    }
}

/// Rejected, and the arrow points at the event with this stamp.
#[track_caller]
fn rejected(stamp: u64, history: History) {
    match check(&history) {
        Ok(()) => panic!("accepted, although no channel does this:\n{}", diagram(&history, None)),
        Err(unexplained) => assert_eq!(unexplained.stamp, stamp, "{}", diagram(&history, Some(unexplained))),
    }
}

use Op::*;
use Ret::{Closed, Empty, First, Full, Got, TimedOut};
const OK: Ret = Ret::Ok;

#[test]
fn a_rendezvous_overlaps() {
    accepted(history(0, &[(0, Send(7), 1, Some((4, OK))), (1, Recv, 2, Some((3, Got(7))))]));
    // The send was over before anybody came to receive.
    rejected(2, history(0, &[(0, Send(7), 1, Some((2, OK))), (1, Recv, 3, Some((4, Got(7))))]));
    // With a buffer that is what it does.
    accepted(history(1, &[(0, Send(7), 1, Some((2, OK))), (1, Recv, 3, Some((4, Got(7))))]));
}

#[test]
fn a_duplicated_value() {
    let one = [(0, Send(7), 1, Some((2, OK))), (1, Recv, 3, Some((4, Got(7)))), (2, TryRecv, 5, Some((6, Empty)))];
    accepted(history(2, &one));
    let mut two = one;
    two[2] = (2, TryRecv, 5, Some((6, Got(7))));
    rejected(6, history(2, &two));
}

#[test]
fn a_lost_value() {
    let sent = [(0, Send(7), 1, Some((2, OK))), (0, Send(8), 3, Some((4, OK)))];
    accepted(history(2, &[sent[0], sent[1], (1, Recv, 5, Some((6, Got(7))))]));
    rejected(6, history(2, &[sent[0], sent[1], (1, Recv, 5, Some((6, Got(8))))]));
}

#[test]
fn values_are_first_in_first_out() {
    let concurrent = [(0, Send(7), 1, Some((3, OK))), (1, Send(8), 2, Some((4, OK)))];
    let received = [(2, Recv, 5, Some((6, Got(8)))), (2, Recv, 7, Some((8, Got(7))))];
    accepted(history(2, &[concurrent[0], concurrent[1], received[0], received[1]]));
    let in_order = [(0, Send(7), 1, Some((2, OK))), (1, Send(8), 3, Some((4, OK)))];
    rejected(6, history(2, &[in_order[0], in_order[1], received[0], received[1]]));
}

#[test]
fn waiters_are_first_in_first_out() {
    // Both receivers were seen parked, one after the other, before the values came.
    let waits = |first, second| {
        let lines = [
            (0, Recv, 1, Some((6, Got(first)))),
            (1, Recv, 3, Some((8, Got(second)))),
            (2, Send(7), 5, Some((7, OK))),
            (2, Send(8), 9, Some((10, OK))),
        ];
        History { quiescent: vec![2, 4], ..history(0, &lines) }
    };
    let mut sound = waits(7, 8);
    sound.records[1].returned = Some((11, Got(8)));
    accepted(sound);
    let mut unfair = waits(8, 7);
    unfair.records[0].returned = Some((11, Got(8)));
    rejected(7, unfair);
}

#[test]
fn a_value_from_nowhere() {
    accepted(quiescent(0, &[(0, Recv, 1, None)]));
    rejected(2, history(0, &[(0, Recv, 1, Some((2, Got(7))))]));
    // Sent, but only afterwards.
    rejected(2, history(1, &[(0, Recv, 1, Some((2, Got(7)))), (1, Send(7), 3, Some((4, OK)))]));
}

#[test]
fn a_lost_wake_up() {
    accepted(quiescent(1, &[(0, Send(7), 1, Some((2, OK))), (0, Send(8), 3, None)]));
    rejected(1000, quiescent(2, &[(0, Send(7), 1, Some((2, OK))), (0, Send(8), 3, None)]));
    // A receiver that still waits although a value was there.
    rejected(1000, quiescent(1, &[(0, Recv, 1, None), (1, Send(7), 2, Some((3, OK)))]));
    // A sender and a receiver side by side.
    rejected(1000, quiescent(0, &[(0, Recv, 1, None), (1, Send(7), 2, None)]));
    // Somebody still waits on a closed channel.
    rejected(1000, quiescent(0, &[(0, Recv, 1, None), (1, Close, 2, Some((3, First(true))))]));
}

#[test]
fn nothing_enters_after_close() {
    let close = (0, Close, 1, Some((2, First(true))));
    accepted(history(1, &[close, (1, Send(7), 3, Some((4, Closed))), (1, Recv, 5, Some((6, Closed)))]));
    rejected(4, history(1, &[close, (1, Send(7), 3, Some((4, OK)))]));
    accepted(history(1, &[close, (1, Close, 3, Some((4, First(false))))]));
    rejected(4, history(1, &[close, (1, Close, 3, Some((4, First(true))))]));
}

#[test]
fn a_closed_channel_drains() {
    let before = [(0, Send(7), 1, Some((2, OK))), (0, Close, 3, Some((4, First(true))))];
    accepted(history(1, &[before[0], before[1], (1, Recv, 5, Some((6, Got(7)))), (1, Recv, 7, Some((8, Closed)))]));
    rejected(6, history(1, &[before[0], before[1], (1, Recv, 5, Some((6, Closed)))]));
}

#[test]
fn close_gives_blocked_values_back() {
    let lines = |sent, got| {
        [(0, Send(7), 1, Some((5, sent))), (1, Close, 3, Some((4, First(true)))), (2, TryRecv, 6, Some((7, got)))]
    };
    let at_two = |lines: [Line; 3]| History { quiescent: vec![2], ..history(0, &lines) };
    accepted(at_two(lines(Closed, Closed)));
    rejected(4, at_two(lines(OK, Closed)));
    rejected(7, at_two(lines(Closed, Got(7))));
}

#[test]
fn refusals_are_exact() {
    // Something was there the whole time.
    rejected(4, history(1, &[(0, Send(7), 1, Some((2, OK))), (1, TryRecv, 3, Some((4, Empty)))]));
    // Not the whole time: the send may have begun after the look.
    accepted(history(1, &[(0, Send(7), 1, Some((4, OK))), (1, TryRecv, 2, Some((3, Empty)))]));
    // A parked sender counts.
    let parked = History {
        quiescent: vec![2],
        ..history(
            0,
            &[(0, Send(7), 1, Some((6, OK))), (1, TryRecv, 3, Some((4, Empty))), (1, Recv, 5, Some((7, Got(7))))],
        )
    };
    rejected(4, parked);
    accepted(history(1, &[(0, Send(7), 1, Some((2, OK))), (1, TrySend(8), 3, Some((4, Full)))]));
    rejected(4, history(2, &[(0, Send(7), 1, Some((2, OK))), (1, TrySend(8), 3, Some((4, Full)))]));
    rejected(4, history(2, &[(0, Send(7), 1, Some((2, OK))), (1, Len, 3, Some((4, Ret::Len(0))))]));
}

#[test]
fn a_timeout_needs_an_instant_of_waiting() {
    accepted(history(1, &[(0, RecvTimeout, 1, Some((2, TimedOut)))]));
    accepted(history(1, &[(0, SendTimeout(6), 1, Some((2, OK))), (0, SendTimeout(7), 3, Some((4, TimedOut)))]));
    rejected(4, history(1, &[(0, Send(7), 1, Some((2, OK))), (1, RecvTimeout, 3, Some((4, TimedOut)))]));
    // Who gave up has its value back: nobody receives it.
    rejected(4, history(0, &[(0, SendTimeout(7), 1, Some((3, TimedOut))), (1, Recv, 2, Some((4, Got(7))))]));
}

#[test]
fn the_last_handle_closes() {
    let last = |lines: &[Line]| History { senders: 1, receivers: 1, ..history(1, lines) };
    accepted(last(&[(0, DropSender, 1, Some((2, OK))), (1, Recv, 3, Some((4, Closed)))]));
    rejected(1000, History { quiescent: vec![1000], ..last(&[(0, DropSender, 1, Some((2, OK))), (1, Recv, 3, None)]) });
    accepted(last(&[(0, DropReceiver, 1, Some((2, OK))), (1, Send(7), 3, Some((4, Closed)))]));
    rejected(4, last(&[(0, DropReceiver, 1, Some((2, OK))), (1, Send(7), 3, Some((4, OK)))]));
}

/// Without a stamp between two operations of a thread their order still counts.
#[test]
fn joined_operations_follow_each_other() {
    let lines = |second, closed| {
        let mut lines = history(
            1,
            &[
                (0, Recv, 1, Some((6, Closed))),
                (0, second, 1, Some((6, closed))),
                (1, Close, 2, Some((5, First(true)))),
            ],
        );
        lines.records[1].joined = true;
        lines
    };
    accepted(lines(TryRecv, Closed));
    rejected(6, lines(TryRecv, Empty));
    accepted(lines(IsClosed, Ret::Is(true)));
    rejected(6, lines(IsClosed, Ret::Is(false)));
}

/// Whatever overlaps may have happened in any order, and before a rejection all of them are tried.
#[test]
fn a_wide_history_is_checked_quickly() {
    let mut lines: Vec<Line> = Vec::new();
    for round in 0..15 {
        let (one, two) = (round * 2, round * 2 + 1);
        let work = [(Send(one), OK), (Recv, Got(one)), (Send(two), OK), (Recv, Got(two))];
        for (thread, (op, ret)) in work.into_iter().enumerate() {
            let invoked = u64::from(round) * 8 + thread as u64;
            lines.push((thread, op, invoked, Some((invoked + 4, ret))));
        }
    }
    let started = Instant::now();
    for capacity in 0..4 {
        accepted(history(capacity, &lines));
        let mut wrong = lines.clone();
        wrong[59].3 = Some((123, Got(999)));
        assert!(check(&history(capacity, &wrong)).is_err());
    }
    let took = started.elapsed();
    println!("8 times {} operations in {took:?}", lines.len());
    assert!(took < Duration::from_secs(5), "{took:?}");
}

// ---- Random programs on a channel that is the model behind a lock --------------------------------------------------

/// An error planted in the channel that the programs run on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    None,
    /// A full channel's parked sender is forgotten when a slot becomes free.
    NoSettle,
    /// A receive that times out drops the value that came at that moment.
    ValueLostAtDeadline,
    /// A non-blocking receive looks at the buffer only, not at parked senders.
    InexactRefusal,
    /// The first look at whether the channel is closed comes out as it was before.
    StaleLook,
    /// Every seventh wake-up is lost.
    LostWakeUp,
}

struct Shared {
    model: Model,
    senders: usize,
    receivers: usize,
    completed: HashMap<WaitId, Completion>,
    completions: usize,
    looked: bool,
}

struct Reference {
    id: WaitId,
    fault: Fault,
    shared: Arc<(Mutex<Shared>, Condvar)>,
}

impl Port for Reference {
    fn perform(&mut self, op: Op) -> Ret {
        let (lock, wake) = &*self.shared;
        let mut shared = lock.lock().unwrap();
        let (mut ret, mut woken) = (OK, Vec::new());
        match op {
            Send(value) | SendTimeout(value) | TrySend(value) => {
                let wait = !matches!(op, TrySend(_));
                let (outcome, others) = match wait {
                    true => shared.model.send(self.id, value),
                    false => shared.model.try_send(value),
                };
                woken = others;
                match outcome {
                    SendOutcome::Sent => {}
                    SendOutcome::Full(_) => ret = Full,
                    SendOutcome::Closed(_) => ret = Closed,
                    SendOutcome::Parked => ret = TimedOut,
                }
            }
            TryRecv if self.fault == Fault::InexactRefusal && shared.model.len() == 0 => {
                ret = if shared.model.is_closed() { Closed } else { Empty };
            }
            Recv | RecvTimeout | TryRecv => {
                let (outcome, others) = match op {
                    TryRecv => shared.model.try_recv(self.id),
                    _ => shared.model.recv(self.id),
                };
                woken = others;
                ret = match outcome {
                    RecvOutcome::Received(handed) => Got(handed.value),
                    RecvOutcome::Empty => Empty,
                    RecvOutcome::Closed => Closed,
                    RecvOutcome::Parked => TimedOut,
                };
            }
            ForceSend(value) => {
                let (outcome, others) = shared.model.force_send(value);
                (ret, woken) = (forced(outcome), others);
            }
            Drain => {
                let (values, others) = shared.model.drain();
                (ret, woken) = (Ret::drained(&values), others);
            }
            Len => ret = Ret::Len(shared.model.len()),
            IsClosed => {
                ret = Ret::Is(shared.model.is_closed() && (self.fault != Fault::StaleLook || shared.looked));
                shared.looked = true;
            }
            Close => {
                let (first, others) = shared.model.close();
                (ret, woken) = (First(first), others);
            }
            DropSender => {
                shared.senders -= 1;
                if shared.senders == 0 {
                    woken = shared.model.close().1;
                }
            }
            DropReceiver => {
                shared.receivers -= 1;
                if shared.receivers == 0 {
                    woken = shared.model.drop_last_receiver().1;
                }
            }
        }
        for (id, completion) in woken {
            shared.completions += 1;
            if self.fault != Fault::LostWakeUp || shared.completions % 7 != 0 {
                shared.completed.insert(id, completion);
            }
        }
        wake.notify_all();
        if ret != TimedOut {
            return ret;
        }
        // Parked: until completed, or until the deadline.
        let deadline = Instant::now() + Duration::from_micros(100);
        loop {
            if let Some(completion) = shared.completed.remove(&self.id) {
                return match completion {
                    Completion::Received(handed) => Got(handed.value),
                    Completion::Sent => OK,
                    _ => Closed,
                };
            }
            if matches!(op, Send(_) | Recv) {
                shared = wake.wait(shared).unwrap();
                continue;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() && shared.model.cancel(self.id).0 != CancelOutcome::NotWaiting {
                return TimedOut;
            }
            shared = wake.wait_timeout(shared, left).unwrap().0;
            let late = self.fault == Fault::ValueLostAtDeadline && Instant::now() >= deadline;
            if late && shared.completed.remove(&self.id).is_some() {
                return TimedOut;
            }
        }
    }
}

fn reference(program: &Program, fault: Fault) -> Ports {
    let threads = program.threads.len();
    let shared = Shared {
        model: match fault {
            Fault::NoSettle => Model::with_bug(program.capacity, Bug::NoSettle),
            _ => Model::new(program.capacity),
        },
        senders: threads + usize::from(program.runner_sends),
        receivers: threads + usize::from(!program.runner_sends),
        completed: HashMap::new(),
        completions: 0,
        looked: false,
    };
    let shared = Arc::new((Mutex::new(shared), Condvar::new()));
    let port = |thread| -> Box<dyn Port> {
        Box::new(Reference { id: WaitId::Plain(thread as u32), fault, shared: shared.clone() })
    };
    Ports { threads: (0..threads).map(port).collect(), runner: port(threads), live: Live::default() }
}

fn run_reference(programs: u64, fault: Fault) -> Result<Summary, String> {
    run(0..programs, Duration::from_secs(1), |program| reference(program, fault))
}

#[test]
fn a_sound_channel_passes() {
    let started = Instant::now();
    let summary = run_reference(500, Fault::None).unwrap_or_else(|failure| panic!("{failure}"));
    println!("{summary:#?} in {:?}", started.elapsed());
    // The programs are worth something only if all this happens in them.
    assert!(summary.received > 500 && summary.refused > 50, "{summary:?}");
    assert!(summary.timed_out > 50 && summary.rests > 50, "{summary:?}");
}

#[test]
fn a_sound_channel_wins_its_duels() {
    let duels = duel(0..2000, Duration::from_secs(5), |program| reference(program, Fault::None));
    duels.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn a_stale_look_after_close_is_found() {
    let duels = duel(0..2000, Duration::from_secs(5), |program| reference(program, Fault::StaleLook));
    println!("{}", duels.expect_err("the fault is there"));
}

#[test]
fn planted_faults_are_found() {
    let faults = [Fault::NoSettle, Fault::ValueLostAtDeadline, Fault::InexactRefusal, Fault::LostWakeUp];
    for fault in faults {
        let started = Instant::now();
        let failure = run_reference(2000, fault).expect_err("the fault is there");
        println!("{:?}", started.elapsed());
        println!("{fault:?}: {failure}\n");
    }
}
