//! A history as a picture: time goes down, one lane per actor, an arrow at what nothing explains.

use super::{Event, History, Kind, Record, Unexplained};
use crate::model::WaitId;
use crate::model::op::{Ret, Took};
use crate::model::world::{Channel, Phase, World};
use std::fmt::Write as _;

/// So many events before the one that is pointed at are drawn.
const WINDOW: usize = 80;

fn names(kinds: &[Kind]) -> Vec<String> {
    let name = |(actor, kind): (usize, &Kind)| format!("{kind:?} {actor}").to_lowercase();
    kinds.iter().enumerate().map(name).collect()
}

/// What was seen of the channels that cannot be explained, or of all.
pub fn diagram(history: &History, unexplained: Option<&Unexplained>) -> String {
    let all: Vec<usize> = (0..history.capacities.len()).collect();
    let part = unexplained.map_or(&all, |unexplained| &unexplained.part);
    let history = history.only(part);
    let mut picture = String::new();
    for &channel in part {
        let capacity = history.capacities[channel].map_or("unbounded".into(), |cap| format!("capacity {cap}"));
        let _ = writeln!(picture, "channel {channel}: {capacity}");
    }
    let events = history.events();
    let pointed = unexplained.and_then(|at| events.iter().position(|(stamp, _)| *stamp == at.stamp));
    let (from, to) = pointed.map_or((0, events.len()), |at| (at.saturating_sub(WINDOW), events.len().min(at + 10)));
    let rows = rows(&history, &events);
    let widths: Vec<usize> = (0..history.actors.len())
        .map(|lane| rows.iter().flatten().map(|row| row[lane].chars().count()).max().unwrap_or(0).max(14))
        .collect();
    let line = |picture: &mut String, stamp: &str, lanes: &[String]| {
        let _ = write!(picture, "{stamp:>7}");
        for (lane, width) in lanes.iter().zip(&widths) {
            let _ = write!(picture, "  {lane:width$}");
        }
        picture.truncate(picture.trim_end().len());
    };
    line(&mut picture, "stamp", &names(&history.actors));
    if from > 0 {
        let _ = write!(picture, "\n    ... {from} events before");
    }
    for (index, ((stamp, _), rows)) in events.iter().zip(&rows).enumerate().take(to).skip(from) {
        for row in rows {
            picture.push('\n');
            line(&mut picture, &stamp.to_string(), row);
        }
        if pointed == Some(index) {
            picture.push_str("  <== no order explains this");
        }
    }
    if let Some(unexplained) = unexplained {
        let _ = write!(picture, "\njust before, in one order that explains the rest:\n{}", unexplained.closest);
    }
    picture
}

/// The rows of each event.
fn rows(history: &History, events: &[(u64, Event)]) -> Vec<Vec<Vec<String>>> {
    let mut lanes = vec![""; history.actors.len()];
    let mut all = Vec::new();
    for (_, event) in events {
        let mut row: Vec<String> = lanes.iter().map(|lane| lane.to_string()).collect();
        let mut rows = Vec::new();
        match *event {
            Event::Invoke(index) => {
                let Record { actor, op, .. } = &history.records[index];
                row[*actor] = format!("┌ {op}");
                lanes[*actor] = "│";
                rows.push(row);
            }
            Event::Return(last) => {
                let first = (0..=last).rfind(|&index| !history.records[index].joined).expect("it was invoked");
                for index in first..=last {
                    let Record { actor, op, returned, .. } = &history.records[index];
                    let ret = returned.map_or("?".into(), |(_, ret)| said(ret));
                    let mut row = row.clone();
                    row[*actor] = match first == last {
                        true => format!("└ {ret}"),
                        false => format!("{} {op}: {ret}", if index == last { "└" } else { "├" }),
                    };
                    rows.push(row);
                    lanes[*actor] = "";
                }
            }
            Event::Quiescent => {
                for lane in &mut row {
                    *lane = if lane.is_empty() { "-".repeat(14) } else { "┼ parked".into() };
                }
                rows.push(row);
            }
        }
        all.push(rows);
    }
    all
}

fn said(ret: Ret) -> String {
    match ret {
        Ret::Chose(arm, Took::Got(value)) => format!("arm {arm}: got {value}"),
        Ret::Chose(arm, took) => format!("arm {arm}: {took:?}").to_lowercase(),
        Ret::Got(value) => format!("got {value}"),
        Ret::Is(is) => is.to_string(),
        Ret::Len(len) => len.to_string(),
        ret => format!("{ret:?}").to_lowercase(),
    }
}

/// How the channels are, and their actors.
pub(super) fn state(world: &World, part: &[usize], kinds: &[Kind]) -> String {
    let mut said = String::new();
    let names = names(kinds);
    let who = |ids: Vec<WaitId>| {
        let name = |id: &WaitId| match id {
            WaitId::Plain(actor) | WaitId::Arm { select: actor, .. } => names[*actor as usize].as_str(),
        };
        ids.iter().map(name).collect::<Vec<_>>().join(", ")
    };
    for &channel in part {
        let Channel { model, .. } = &world.channels[channel];
        let (senders, receivers) = model.queues();
        let _ = write!(said, "  channel {channel}: {}", if model.is_closed() { "closed" } else { "open" });
        let _ = write!(said, ", buffer {:?}", model.buffered());
        if !model.returned().is_empty() {
            let _ = write!(said, ", returned {:?}", model.returned().values());
        }
        if model.reserved() > 0 {
            let _ = write!(said, ", {} reserved", model.reserved());
        }
        let _ = writeln!(said, ", senders [{}], receivers [{}]", who(senders), who(receivers));
    }
    for (name, actor) in names.iter().zip(&world.actors) {
        if let Some(op) = &actor.op {
            let what = match actor.phase {
                Phase::Invoked | Phase::Late => "has not begun".into(),
                Phase::Parked => "is parked".into(),
                Phase::Given(_, gift) => format!("was given {gift:?}"),
                Phase::Done(ret) => format!("is done: {}", self::said(ret)),
                Phase::Idle => continue,
            };
            let _ = writeln!(said, "  {name}: {op} {what}");
        }
    }
    said
}
