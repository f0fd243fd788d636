//! The history checker itself: it accepts what channels may do and rejects what none may do.
//!
//! Each planted error comes beside the sound history it was made from, so that a test cannot pass because the checker
//! rejects everything, or accepts everything.

mod history;
mod model;

use history::duel::duel;
use history::program::{Program, Rng};
use history::reference::{Fault, reference};
use history::run::{Failure, Summary, run};
use history::{History, Kind, Record, check, diagram};
use model::op::Patience::{Dropped, Forever, Limited, Not};
use model::op::{Arm, Fate, Op, Ret, Took};
use model::world::{Phase, World};
use std::time::{Duration, Instant};

/// One operation: actor, what, stamps of invocation and response, result.
type Line = (usize, Op, u64, Option<(u64, Ret)>);

fn history(capacity: usize, lines: &[Line]) -> History {
    histories(&[capacity], lines)
}

fn histories(capacities: &[usize], lines: &[Line]) -> History {
    let record = |(actor, op, invoked, returned): Line| Record { actor, op, invoked, returned, joined: false };
    History {
        capacities: capacities.iter().copied().map(Some).collect(),
        actors: vec![Kind::Thread; 4],
        senders: 9,
        receivers: 9,
        records: lines.iter().cloned().map(record).collect(),
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
        panic!("rejected, although sound:\n{}", diagram(&history, Some(&unexplained)));
    }
}

/// Rejected, and the arrow points at the event with this stamp.
#[track_caller]
fn rejected(stamp: u64, history: History) {
    match check(&history) {
        Ok(_) => panic!("accepted, although no channel does this:\n{}", diagram(&history, None)),
        Err(unexplained) => assert_eq!(unexplained.stamp, stamp, "{}", diagram(&history, Some(&unexplained))),
    }
}

use Op::{Close, DropReceiver, DropSender, IsClosed, Len};
use Ret::{Broken, Cancelled, Chose, Closed, Default, Empty, First, Full, Got, TimedOut};
const OK: Ret = Ret::Ok;

fn send(value: u32) -> Op {
    Op::Send(0, value, Forever)
}

fn try_send(value: u32) -> Op {
    Op::Send(0, value, Not)
}

fn timed_send(value: u32) -> Op {
    Op::Send(0, value, Limited)
}

fn recv() -> Op {
    Op::Recv(0, Forever)
}

fn try_recv() -> Op {
    Op::Recv(0, Not)
}

fn timed_recv() -> Op {
    Op::Recv(0, Limited)
}

fn select(arms: &[Arm]) -> Op {
    Op::Select(arms.into(), Forever, Fate::Kept)
}

fn try_select(arms: &[Arm]) -> Op {
    Op::Select(arms.into(), Not, Fate::Kept)
}

#[test]
fn a_rendezvous_overlaps() {
    accepted(history(0, &[(0, send(7), 1, Some((4, OK))), (1, recv(), 2, Some((3, Got(7))))]));
    // The send was over before anybody came to receive.
    rejected(2, history(0, &[(0, send(7), 1, Some((2, OK))), (1, recv(), 3, Some((4, Got(7))))]));
    // With a buffer that is what it does.
    accepted(history(1, &[(0, send(7), 1, Some((2, OK))), (1, recv(), 3, Some((4, Got(7))))]));
}

#[test]
fn a_duplicated_value() {
    let one = [(0, send(7), 1, Some((2, OK))), (1, recv(), 3, Some((4, Got(7)))), (2, try_recv(), 5, Some((6, Empty)))];
    accepted(history(2, &one));
    let mut two = one.clone();
    two[2] = (2, try_recv(), 5, Some((6, Got(7))));
    rejected(6, history(2, &two));
}

#[test]
fn a_lost_value() {
    let sent = [(0, send(7), 1, Some((2, OK))), (0, send(8), 3, Some((4, OK)))];
    accepted(history(2, &[sent[0].clone(), sent[1].clone(), (1, recv(), 5, Some((6, Got(7))))]));
    rejected(6, history(2, &[sent[0].clone(), sent[1].clone(), (1, recv(), 5, Some((6, Got(8))))]));
}

#[test]
fn values_are_first_in_first_out() {
    let concurrent = [(0, send(7), 1, Some((3, OK))), (1, send(8), 2, Some((4, OK)))];
    let received = [(2, recv(), 5, Some((6, Got(8)))), (2, recv(), 7, Some((8, Got(7))))];
    accepted(history(2, &[concurrent[0].clone(), concurrent[1].clone(), received[0].clone(), received[1].clone()]));
    let in_order = [(0, send(7), 1, Some((2, OK))), (1, send(8), 3, Some((4, OK)))];
    rejected(6, history(2, &[in_order[0].clone(), in_order[1].clone(), received[0].clone(), received[1].clone()]));
}

#[test]
fn waiters_are_first_in_first_out() {
    // Both receivers were seen parked, one after the other, before the values came.
    let waits = |first, second| {
        let lines = [
            (0, recv(), 1, Some((6, Got(first)))),
            (1, recv(), 3, Some((8, Got(second)))),
            (2, send(7), 5, Some((7, OK))),
            (2, send(8), 9, Some((10, OK))),
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
    accepted(quiescent(0, &[(0, recv(), 1, None)]));
    rejected(2, history(0, &[(0, recv(), 1, Some((2, Got(7))))]));
    // Sent, but only afterwards.
    rejected(2, history(1, &[(0, recv(), 1, Some((2, Got(7)))), (1, send(7), 3, Some((4, OK)))]));
}

#[test]
fn a_lost_wake_up() {
    accepted(quiescent(1, &[(0, send(7), 1, Some((2, OK))), (0, send(8), 3, None)]));
    rejected(1000, quiescent(2, &[(0, send(7), 1, Some((2, OK))), (0, send(8), 3, None)]));
    // A receiver that still waits although a value was there.
    rejected(1000, quiescent(1, &[(0, recv(), 1, None), (1, send(7), 2, Some((3, OK)))]));
    // A sender and a receiver side by side.
    rejected(1000, quiescent(0, &[(0, recv(), 1, None), (1, send(7), 2, None)]));
    // Somebody still waits on a closed channel.
    rejected(1000, quiescent(0, &[(0, recv(), 1, None), (1, Close(0), 2, Some((3, First(true))))]));
}

#[test]
fn nothing_enters_after_close() {
    let close = (0, Close(0), 1, Some((2, First(true))));
    accepted(history(1, &[close.clone(), (1, send(7), 3, Some((4, Closed))), (1, recv(), 5, Some((6, Closed)))]));
    rejected(4, history(1, &[close.clone(), (1, send(7), 3, Some((4, OK)))]));
    accepted(history(1, &[close.clone(), (1, Close(0), 3, Some((4, First(false))))]));
    rejected(4, history(1, &[close.clone(), (1, Close(0), 3, Some((4, First(true))))]));
}

#[test]
fn a_closed_channel_drains() {
    let before = [(0, send(7), 1, Some((2, OK))), (0, Close(0), 3, Some((4, First(true))))];
    accepted(history(
        1,
        &[before[0].clone(), before[1].clone(), (1, recv(), 5, Some((6, Got(7)))), (1, recv(), 7, Some((8, Closed)))],
    ));
    rejected(6, history(1, &[before[0].clone(), before[1].clone(), (1, recv(), 5, Some((6, Closed)))]));
}

#[test]
fn close_gives_blocked_values_back() {
    let lines = |sent, got| {
        [(0, send(7), 1, Some((5, sent))), (1, Close(0), 3, Some((4, First(true)))), (2, try_recv(), 6, Some((7, got)))]
    };
    let at_two = |lines: [Line; 3]| History { quiescent: vec![2], ..history(0, &lines) };
    accepted(at_two(lines(Closed, Closed)));
    rejected(4, at_two(lines(OK, Closed)));
    rejected(7, at_two(lines(Closed, Got(7))));
}

#[test]
fn refusals_are_exact() {
    // Something was there the whole time.
    rejected(4, history(1, &[(0, send(7), 1, Some((2, OK))), (1, try_recv(), 3, Some((4, Empty)))]));
    // Not the whole time: the send may have begun after the look.
    accepted(history(1, &[(0, send(7), 1, Some((4, OK))), (1, try_recv(), 2, Some((3, Empty)))]));
    // A parked sender counts.
    let parked = History {
        quiescent: vec![2],
        ..history(
            0,
            &[(0, send(7), 1, Some((6, OK))), (1, try_recv(), 3, Some((4, Empty))), (1, recv(), 5, Some((7, Got(7))))],
        )
    };
    rejected(4, parked);
    accepted(history(1, &[(0, send(7), 1, Some((2, OK))), (1, try_send(8), 3, Some((4, Full)))]));
    rejected(4, history(2, &[(0, send(7), 1, Some((2, OK))), (1, try_send(8), 3, Some((4, Full)))]));
    rejected(4, history(2, &[(0, send(7), 1, Some((2, OK))), (1, Len(0), 3, Some((4, Ret::Len(0))))]));
}

#[test]
fn a_timeout_needs_an_instant_of_waiting() {
    accepted(history(1, &[(0, timed_recv(), 1, Some((2, TimedOut)))]));
    accepted(history(1, &[(0, timed_send(6), 1, Some((2, OK))), (0, timed_send(7), 3, Some((4, TimedOut)))]));
    rejected(4, history(1, &[(0, send(7), 1, Some((2, OK))), (1, timed_recv(), 3, Some((4, TimedOut)))]));
    // Who gave up has its value back: nobody receives it.
    rejected(4, history(0, &[(0, timed_send(7), 1, Some((3, TimedOut))), (1, recv(), 2, Some((4, Got(7))))]));
}

#[test]
fn the_last_handle_closes() {
    let last = |lines: &[Line]| History { senders: 1, receivers: 1, ..history(1, lines) };
    accepted(last(&[(0, DropSender(0), 1, Some((2, OK))), (1, recv(), 3, Some((4, Closed)))]));
    rejected(
        1000,
        History { quiescent: vec![1000], ..last(&[(0, DropSender(0), 1, Some((2, OK))), (1, recv(), 3, None)]) },
    );
    accepted(last(&[(0, DropReceiver(0), 1, Some((2, OK))), (1, send(7), 3, Some((4, Closed)))]));
    rejected(4, last(&[(0, DropReceiver(0), 1, Some((2, OK))), (1, send(7), 3, Some((4, OK)))]));
}

/// Without a stamp between two operations of a thread their order still counts.
#[test]
fn joined_operations_follow_each_other() {
    let lines = |second, closed| {
        let mut lines = history(
            1,
            &[
                (0, recv(), 1, Some((6, Closed))),
                (0, second, 1, Some((6, closed))),
                (1, Close(0), 2, Some((5, First(true)))),
            ],
        );
        lines.records[1].joined = true;
        lines
    };
    accepted(lines(try_recv(), Closed));
    rejected(6, lines(try_recv(), Empty));
    accepted(lines(IsClosed(0), Ret::Is(true)));
    rejected(6, lines(IsClosed(0), Ret::Is(false)));
}

/// Whatever overlaps may have happened in any order, and before a rejection all of them are tried.
#[test]
fn a_wide_history_is_checked_quickly() {
    let mut lines: Vec<Line> = Vec::new();
    for round in 0..15 {
        let (one, two) = (round * 2, round * 2 + 1);
        let work = [(send(one), OK), (recv(), Got(one)), (send(two), OK), (recv(), Got(two))];
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

// ---- Selects, permits, cancellation --------------------------------------------------------------------------------

/// Seen parked at stamp 2.
fn at_two(history: History) -> History {
    History { quiescent: vec![2], ..history }
}

const ACROSS: [Arm; 2] = [Arm::Recv(0), Arm::Recv(1)];

fn send_to(channel: usize, value: u32) -> Op {
    Op::Send(channel, value, Not)
}

#[test]
fn a_select_fires_one_arm() {
    let lines = |second: Ret| {
        let waits = (0, select(&ACROSS), 1, Some((5, Chose(0, Took::Got(7)))));
        at_two(histories(
            &[0, 0],
            &[waits, (1, send_to(0, 7), 3, Some((4, OK))), (2, send_to(1, 8), 6, Some((7, second)))],
        ))
    };
    accepted(lines(Full));
    // It is still waiting on the other channel.
    rejected(7, lines(OK));
}

#[test]
fn a_select_does_one_operation() {
    let both = |returned| {
        let waits = (0, select(&ACROSS), 1, returned);
        let sends = [(1, send_to(0, 7), 3, Some((4, OK))), (2, send_to(1, 8), 5, Some((6, OK)))];
        at_two(histories(&[0, 0], &[waits, sends[0].clone(), sends[1].clone()]))
    };
    // Two senders met the one select.
    rejected(6, both(Some((7, Chose(0, Took::Got(7))))));
    rejected(4, both(Some((7, Chose(1, Took::Got(8))))));
}

#[test]
fn any_possible_arm_may_be_chosen_and_no_other() {
    let lines = |chosen| {
        let fill = |channel| {
            (
                1,
                Op::Send(channel, 7 + channel as u32, Forever),
                1 + 2 * channel as u64,
                Some((2 + 2 * channel as u64, OK)),
            )
        };
        histories(
            &[1, 1, 1],
            &[fill(0), fill(1), (0, select(&[Arm::Recv(0), Arm::Recv(1), Arm::Recv(2)]), 5, Some((6, chosen)))],
        )
    };
    accepted(lines(Chose(0, Took::Got(7))));
    accepted(lines(Chose(1, Took::Got(8))));
    rejected(6, lines(Chose(2, Took::Got(8))));
    rejected(6, lines(Chose(1, Took::Got(7))));
}

#[test]
fn default_is_exact() {
    // At every moment there is a value in one of the two.
    let lines = |ret| {
        let lines = [
            (1, send_to(0, 7), 1, Some((2, OK))),
            (0, try_select(&ACROSS), 3, Some((8, ret))),
            (1, send_to(1, 8), 4, Some((5, OK))),
            (1, try_recv(), 6, Some((7, Got(7)))),
        ];
        histories(&[1, 1], &lines)
    };
    accepted(lines(Chose(1, Took::Got(8))));
    rejected(8, lines(Default));
    // And once there was none.
    let mut sound = lines(Default);
    sound.records.swap(2, 3);
    (sound.records[2].invoked, sound.records[2].returned) = (4, Some((5, Got(7))));
    (sound.records[3].invoked, sound.records[3].returned) = (6, Some((7, OK)));
    accepted(sound);
}

#[test]
fn a_select_that_waits_although_it_could_go_on() {
    let lines = |value| {
        let history = histories(&[1, 1], &[(0, select(&ACROSS), 1, None), (1, send_to(1, 8), 2, Some((3, value)))]);
        History { quiescent: vec![1000], ..history }
    };
    rejected(1000, lines(OK));
    let nobody = histories(&[1, 1], &[(0, select(&ACROSS), 1, None)]);
    accepted(History { quiescent: vec![1000], ..nobody });
}

#[test]
fn a_select_meets_another_but_not_itself() {
    let both = [Arm::Send(0, 7), Arm::Recv(0)];
    let alone = |ret| history(0, &[(0, try_select(&both), 1, Some((2, ret)))]);
    accepted(alone(Default));
    rejected(2, alone(Chose(1, Took::Got(7))));
    let other = [Arm::Send(0, 8), Arm::Recv(0)];
    let two = |first, second| {
        history(0, &[(0, select(&both), 1, Some((4, first))), (1, select(&other), 2, Some((3, second)))])
    };
    accepted(two(Chose(0, Took::Sent), Chose(1, Took::Got(7))));
    accepted(two(Chose(1, Took::Got(8)), Chose(0, Took::Sent)));
    rejected(3, two(Chose(1, Took::Got(8)), Chose(1, Took::Got(7))));
}

#[test]
fn a_select_that_was_closed_upon() {
    let close = (1, Close(1), 3, Some((4, First(true))));
    let lines = |ret| at_two(histories(&[0, 0], &[(0, select(&ACROSS), 1, Some((5, ret))), close.clone()]));
    accepted(lines(Chose(1, Took::Closed)));
    rejected(5, lines(Chose(0, Took::Closed)));
}

#[test]
fn a_permit_keeps_its_place() {
    let lines = |second| {
        history(
            1,
            &[(0, Op::Permit(0, 7, Forever, Fate::Kept), 1, Some((4, OK))), (1, try_send(8), 2, Some((3, second)))],
        )
    };
    accepted(lines(Full));
    // Before it was reserved there was room, but then there was none for the permit.
    rejected(4, lines(OK));
    let broken = |ret| {
        history(
            1,
            &[(0, Op::Permit(0, 7, Forever, Fate::Broken), 1, Some((2, Broken))), (1, try_recv(), 3, Some((4, ret)))],
        )
    };
    accepted(broken(Empty));
    rejected(4, broken(Got(7)));
}

#[test]
fn a_receiver_waits_for_who_holds_a_permit() {
    // It was promised to the permit when both met; whoever comes then finds nobody.
    let lines = |second| {
        let lines = [
            (0, recv(), 1, Some((7, Got(7)))),
            (1, Op::Permit(0, 7, Forever, Fate::Kept), 3, Some((6, OK))),
            (2, try_send(8), 4, Some((5, second))),
        ];
        at_two(history(0, &lines))
    };
    accepted(lines(Full));
    rejected(5, lines(OK));
}

/// A permit from which nothing came: a select of one arm has its place still, as a plain receive has; one of several begins again.
#[test]
fn a_select_of_one_arm_keeps_its_place() {
    let lines = |arms: &[Arm], first, second| {
        let lines = [
            (0, select(arms), 1, Some((11, Chose(0, Took::Got(first))))),
            (1, recv(), 3, Some((12, Got(second)))),
            (2, Op::Permit(0, 6, Forever, Fate::Broken), 5, Some((6, Broken))),
            (2, send(7), 7, Some((8, OK))),
            (2, send(8), 9, Some((10, OK))),
        ];
        History { quiescent: vec![2, 4], ..history(0, &lines) }
    };
    accepted(lines(&[Arm::Recv(0)], 7, 8));
    rejected(8, lines(&[Arm::Recv(0)], 8, 7));
    accepted(lines(&[Arm::Recv(0), Arm::Recv(0)], 8, 7));
}

#[test]
fn what_a_dropped_receive_was_handed_comes_back() {
    let dropped = |last: Ret, ret| {
        let lines = [
            (0, Op::Recv(0, Dropped), 1, Some((5, ret))),
            (1, try_send(7), 3, Some((4, OK))),
            (2, try_recv(), 6, Some((7, last))),
        ];
        at_two(history(0, &lines))
    };
    accepted(dropped(Got(7), Cancelled));
    accepted(dropped(Empty, Got(7)));
    // Lost with the future; duplicated.
    rejected(7, dropped(Empty, Cancelled));
    rejected(7, dropped(Got(7), Got(7)));
}

#[test]
fn a_dropped_send_has_sent_or_not() {
    let dropped = |ret| {
        let lines = [(0, Op::Send(0, 7, Dropped), 1, Some((4, Cancelled))), (1, try_recv(), 2, Some((3, ret)))];
        history(0, &lines)
    };
    accepted(dropped(Got(7)));
    accepted(dropped(Empty));
    rejected(3, dropped(Got(8)));
    // With room it sends at once, and cannot be dropped afterwards.
    let late = [(0, Op::Send(0, 7, Dropped), 1, Some((2, Cancelled))), (1, try_recv(), 3, Some((4, Got(7))))];
    rejected(4, history(0, &late));
}

/// Nobody waits who must not wait for a task to be polled; for a thread's select he does.
#[test]
fn who_does_not_wait_waits_for_no_task() {
    let lines = |kind, ret| {
        let lines =
            [(0, select(&[Arm::Send(0, 7)]), 1, Some((6, Chose(0, Took::Sent)))), (1, try_recv(), 3, Some((4, ret)))];
        let rest = (1, recv(), 5, Some((7, Got(7))));
        let mut history = at_two(history(0, &[&lines[..], &[rest][if ret == Empty { 0..1 } else { 1..1 }]].concat()));
        history.actors[0] = kind;
        history
    };
    accepted(lines(Kind::Thread, Got(7)));
    rejected(4, lines(Kind::Thread, Empty));
    accepted(lines(Kind::Task, Empty));
    rejected(4, lines(Kind::Task, Got(7)));
}

/// A failure on one channel is not hidden by, and not searched in, what happens on the others.
#[test]
fn channels_are_checked_apart() {
    let mut lines: Vec<Line> = Vec::new();
    for i in 0..40 {
        let at = 1 + 20 * i;
        for channel in 0..4 {
            // All of these overlap.
            let value = (10 * i + channel) as u32;
            lines.push((
                channel as usize,
                Op::Send(channel as usize, value, Forever),
                at + channel,
                Some((at + 10 + channel, OK)),
            ));
        }
    }
    let sound = histories(&[50; 4], &lines);
    accepted(sound.clone());
    let mut wrong = sound;
    wrong.records.push(Record {
        actor: 0,
        op: Op::Recv(2, Not),
        invoked: 900,
        returned: Some((901, Got(999))),
        joined: false,
    });
    let unexplained = check(&wrong).expect_err("nobody sent it");
    assert_eq!((unexplained.stamp, unexplained.part), (901, vec![2]));
}

/// Whatever makes a history impossible is found: each of many sound ones, made wrong in one place.
#[test]
fn doctored_histories_are_rejected() {
    let mut tried = [0; 3];
    for seed in 0..400 {
        let Ok(sound) = played(seed) else { continue };
        accepted(sound.clone());
        let received = |record: &&mut Record| matches!(record.returned, Some((_, Got(_))));
        let mut values: Vec<_> =
            sound.records.iter().filter_map(|r| r.returned).filter(|(_, ret)| matches!(ret, Got(_))).collect();
        values.dedup();
        let (Some(&(_, Got(first))), Some(&(_, Got(last)))) = (values.first(), values.last()) else { continue };
        // A value nobody sent; a duplicate; and the value of one is the other's.
        let mut nobody = sound.clone();
        nobody.records.iter_mut().rfind(received).expect("one").returned.as_mut().expect("it did").1 = Got(999_999);
        let mut twice = sound.clone();
        twice.records.iter_mut().rfind(received).expect("one").returned.as_mut().expect("it did").1 = Got(first);
        for (kind, history) in [nobody, twice].into_iter().enumerate() {
            if history.records != sound.records {
                assert!(check(&history).is_err(), "accepted:\n{}", diagram(&history, None));
                tried[kind] += 1;
            }
        }
        // One that was received is not any more, and its receiver found nothing.
        let mut lost = sound.clone();
        let loser = lost.records.iter_mut().find(|record| {
            record.op == Op::Recv(0, Not) && matches!(record.returned, Some((_, Got(value))) if value == last)
        });
        if let Some(loser) = loser {
            loser.returned.as_mut().expect("it did").1 = Empty;
            assert!(check(&lost).is_err(), "accepted:\n{}", diagram(&lost, None));
            tried[2] += 1;
        }
    }
    println!("{tried:?}");
    assert!(tried.iter().all(|tried| *tried > 20), "{tried:?}");
}

/// A history of the model itself: a random program on random steps, one at a time.
fn played(seed: u64) -> Result<History, ()> {
    let mut rng = Rng(seed);
    let program = Program::random(seed, &[Kind::Thread, Kind::Task], 12);
    let actors: Vec<Kind> = program.actors.iter().map(|(kind, _)| *kind).collect();
    let mut world = World::new(&program.capacities, actors.len());
    for (actor, kind) in world.actors.iter_mut().zip(&actors) {
        actor.is_task = *kind == Kind::Task;
    }
    let mut records: Vec<Vec<Record>> = vec![vec![]; actors.len()];
    let mut left: Vec<_> = program.actors.iter().map(|(_, ops)| ops.iter()).collect();
    let mut stamp = 0;
    loop {
        // Invoke, step, or return: one of what is possible.
        let mut possible = Vec::new();
        for (actor, state) in world.actors.iter().enumerate() {
            match state.phase {
                Phase::Idle if left[actor].len() > 0 => possible.push((actor, None)),
                Phase::Done(_) => possible.push((actor, None)),
                _ => possible.extend(world.moves(actor).into_iter().map(|step| (actor, Some(step)))),
            }
        }
        let Some(&(actor, step)) = (!possible.is_empty()).then(|| &possible[rng.below(possible.len() as u64) as usize])
        else {
            break;
        };
        stamp += 1;
        match step {
            Some(step) => drop(world.play(actor, step)),
            None => match world.finish(actor) {
                Some(ret) => records[actor].last_mut().expect("invoked").returned = Some((stamp, ret)),
                None => {
                    let op = left[actor].next().expect("one is left").clone();
                    records[actor].push(Record {
                        actor,
                        op: op.clone(),
                        invoked: stamp,
                        returned: None,
                        joined: false,
                    });
                    world.invoke(actor, op);
                }
            },
        }
        world.invariants().unwrap_or_else(|violated| panic!("{violated}: seed {seed}"));
    }
    let count = actors.len();
    let (capacities, records) = (program.capacities, records.concat());
    Ok(History { capacities, actors, senders: count, receivers: count, records, quiescent: vec![stamp + 1] })
}

// ---- Random programs on channels that are the model behind a lock --------------------------------------------------

fn run_reference(programs: u64, fault: Fault) -> Result<Summary, Failure> {
    let programs = (0..programs).map(|seed| Program::random(seed, &[Kind::Thread, Kind::Task], 12));
    run(programs, Duration::from_secs(1), |program| reference(program, fault))
}

#[test]
fn sound_channels_pass() {
    let started = Instant::now();
    let summary = run_reference(500, Fault::None).unwrap_or_else(|failure| panic!("{failure}"));
    println!("{summary:#?} in {:?}", started.elapsed());
    // The programs are worth something only if all this happens in them.
    let Summary { received, refused, timed_out, chosen, cancelled, rests, .. } = summary;
    assert!([received, refused, timed_out, chosen, cancelled, rests].iter().all(|count| *count > 50), "{summary:?}");
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
    let faults = [
        Fault::NoSettle,
        Fault::ValueLostAtDeadline,
        Fault::InexactRefusal,
        Fault::LostWakeUp,
        Fault::InexactDefault,
        Fault::ValueLostWithFuture,
        Fault::ReturnedLast,
        Fault::TwoArms,
    ];
    for fault in faults {
        let started = Instant::now();
        let failure = run_reference(3000, fault).expect_err(&format!("{fault:?} is there"));
        println!("{:?}", started.elapsed());
        println!("{fault:?}: {failure}\n");
    }
}

/// The program that is shown is about as small as one that shows the fault can be.
#[test]
fn a_failing_program_is_made_smaller() {
    let stuck = Duration::from_millis(300);
    let failure = run_reference(3000, Fault::InexactRefusal).expect_err("the fault is there");
    let smaller = failure.shrink(200, stuck, |program| reference(program, Fault::InexactRefusal));
    println!("{smaller}");
    // A send that is parked, a try_recv, and the ends of handles.
    let works = |op: &&Op| !matches!(op, DropSender(_) | DropReceiver(_));
    let operations = smaller.program.actors.iter().flat_map(|(_, ops)| ops).filter(works).count();
    assert!(operations <= 6, "{operations}");
}
