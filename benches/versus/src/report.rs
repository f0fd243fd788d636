//! The tables for people, as markdown.

use crate::record::{Run, Value};
use crate::scenario::{Family, group_named};
use crate::standing::{is_about_guarantees, standing};
use crate::stats::{Cell, Summary, Table, tables};
use std::fmt::Write;
use std::path::PathBuf;

/// The column all this is for.
pub const OURS: &str = "gochan";

/// What a run prints: medians, and how gochan stands.
pub fn brief(run: &Run, base: &str) -> String {
    let mut text = String::new();
    for table in tables(run) {
        text += &heading(&table);
        text += &medians(&table);
        if is_about_guarantees(&table) {
            continue;
        }
        text += &standing(&table, base, &[]);
        text += &growth(&table);
    }
    text
}

/// The same with the ratio of every column to the base, and the plots.
pub fn full(run: &Run, base: &str, plots: &[(String, PathBuf)]) -> String {
    let mut text = String::from("# versus\n\n");
    run.about.iter().for_each(|line| text += &format!("- {line}\n"));
    text += "\nEach cell: **median** <sub>min–max</sub>, less is better, bold is the best of the row. A ratio is the median of the \
             per-round ratios <sub>first–third quartile</sub>; below 1 is faster or smaller. n/a: the library has no \
             such thing. HANG: killed by the watchdog. CRASH: a panic, a wrong sum among the reasons.\n";
    let all = tables(run);
    for table in &all {
        text += &heading(table);
        text += &medians(table);
        if is_about_guarantees(table) {
            continue;
        }
        text += &standing(table, base, &all);
        text += &growth(table);
        text += &ratios(table, base);
        for (_, path) in plots.iter().filter(|(key, _)| *key == key_of(table)) {
            let _ = writeln!(text, "\n![{}, {}]({})", table.group, table.metric, path.display());
        }
    }
    text
}

/// The name under which a table's plots are filed.
pub fn key_of(table: &Table) -> String {
    format!("{} {}", table.group, table.metric)
}

fn heading(table: &Table) -> String {
    let title = group_named(&table.group).map_or(table.group.as_str(), |group| group.title);
    format!("\n## {title}: {}\n", table.metric)
}

/// A markdown table; `cell` is asked for every scenario and column.
pub fn grid(table: &Table, columns: &[&str], cell: impl Fn(&str, &str) -> String) -> String {
    let scenarios: Vec<_> = table.scenarios.iter().map(String::as_str).collect();
    rows("scenario", &scenarios, columns, cell)
}

fn rows(corner: &str, rows: &[&str], columns: &[&str], cell: impl Fn(&str, &str) -> String) -> String {
    let mut text = format!("\n| {corner} | {} |\n|---{}|\n", columns.join(" | "), "|---".repeat(columns.len()));
    for row in rows {
        let cells: Vec<_> = columns.iter().map(|column| cell(row, column)).collect();
        let _ = writeln!(text, "| {row} | {} |", cells.join(" | "));
    }
    text
}

pub fn names(table: &Table) -> Vec<&str> {
    table.columns.iter().map(String::as_str).collect()
}

fn medians(table: &Table) -> String {
    grid(table, &names(table), |scenario, column| {
        let Some(cell) = table.cell(scenario, column) else { return "n/a".into() };
        let best = !is_about_guarantees(table) && table.best(scenario, |_| true) == Some(column);
        let text = match cell.summary() {
            None => return cell.failure.map_or("n/a".into(), |failure| failure.to_string()),
            Some(s) if is_about_guarantees(table) => format!("{:.0}", s.median),
            Some(s) if cell.rounds.len() == 1 => bold(&number(s.median), best),
            Some(s) => {
                let range = format!("<sub>{}–{}</sub>", number(s.min), number(s.max));
                format!("{} {range}", bold(&number(s.median), best))
            }
        };
        text + &also(cell)
    })
}

/// Rounds that failed beside rounds that did not.
fn also(cell: &Cell) -> String {
    cell.failure.map_or(String::new(), |failure| format!(" (also {failure})"))
}

/// How much dearer an operation is with many than with few; for the group that is about this.
fn growth<'a>(table: &'a Table) -> String {
    if table.group != "growth" {
        return String::new();
    }
    let measured = |family: &&str| table.scenarios.iter().any(|s| Family::parse(s).is_some_and(|s| s.0 == *family));
    let families: Vec<_> = Family::ALL.into_iter().map(Family::name).filter(measured).collect();
    let grid = |corner: &str, pick: fn(&[Point<'a>]) -> [Point<'a>; 2]| {
        rows(corner, &families, &names(table), |family, column| {
            let points = points(table, family, column);
            if points.len() < 2 {
                return "n/a".into();
            }
            let [(n, high), (m, low)] = pick(&points);
            let times = high.ratio_to(low).map_or("n/a".into(), |s| ratio(&s));
            format!("{times} ({n} / {m})")
        })
    };
    let grown = grid("largest N / smallest N", |points| [points[points.len() - 1], points[0]]);
    let range = grid("dearest N / cheapest N", |points| {
        let mut points = points.to_vec();
        points.sort_by(|a, b| a.1.median().unwrap().total_cmp(&b.1.median().unwrap()));
        [points[points.len() - 1], points[0]]
    });
    format!("\nGrowth of ns, 1 is none; N in brackets:\n{grown}{range}")
}

/// How many there were, and what was measured.
type Point<'a> = (usize, &'a Cell);

/// What a column measured in a family, from few to many.
fn points<'a>(table: &'a Table, family: &str, column: &str) -> Vec<Point<'a>> {
    let point = |scenario: &String| {
        let (name, n) = Family::parse(scenario)?;
        let cell = table.cell(scenario, column).filter(|cell| cell.median().is_some())?;
        (name == family).then_some((n, cell))
    };
    let mut points: Vec<_> = table.scenarios.iter().filter_map(point).collect();
    points.sort_by_key(|point| point.0);
    points
}

/// Every column against the base.
fn ratios(table: &Table, base: &str) -> String {
    let base = if table.columns.iter().any(|column| column == base) { base } else { "crossbeam" };
    if !table.columns.iter().any(|column| column == base) {
        return String::new();
    }
    let others: Vec<_> = names(table).into_iter().filter(|column| *column != base).collect();
    let cells = grid(table, &others, |scenario, column| match paired(table, scenario, column, base) {
        Some(s) => ratio(&s),
        None => match table.cell(scenario, column).and_then(|cell| cell.failure) {
            Some(failure @ (Value::Hang | Value::Crash)) => failure.to_string(),
            _ => "n/a".into(),
        },
    });
    format!("\nRatio to {base}:\n{cells}")
}

pub fn paired(table: &Table, scenario: &str, column: &str, base: &str) -> Option<Summary> {
    table.cell(scenario, column)?.ratio_to(table.cell(scenario, base)?)
}

/// What changed since an earlier run. Machines drift, so the change of the peers is shown and taken out.
pub fn changes(before: &Run, now: &Run) -> String {
    let mut text = String::from("\n# Changes: now / before, of medians\n");
    let earlier = tables(before);
    for table in tables(now) {
        let Some(old) = earlier.iter().find(|old| key_of(old) == key_of(&table)) else { continue };
        let change = |scenario: &str, column: &str| {
            Some(table.cell(scenario, column)?.median()? / old.cell(scenario, column)?.median()?)
        };
        let peers: Vec<_> = names(&table).into_iter().filter(|column| *column != OURS).collect();
        let drift = |scenario: &str| {
            Summary::of(peers.iter().filter_map(|peer| change(scenario, peer)).collect()).map(|s| s.median)
        };
        let less_drift = |scenario: &str| Some(change(scenario, OURS)? / drift(scenario)?);
        let columns = [&["gochan less drift", "drift of the peers"][..], &names(&table)].concat();
        text += &heading(&table);
        text += &grid(&table, &columns, |scenario, column| {
            let change = match column {
                "gochan less drift" => less_drift(scenario),
                "drift of the peers" => drift(scenario),
                column => change(scenario, column),
            };
            change.map_or("n/a".into(), |x| format!("{x:.2}"))
        });
    }
    text
}

fn bold(text: &str, best: bool) -> String {
    if best { format!("**{text}**") } else { text.into() }
}

pub fn ratio(s: &Summary) -> String {
    let median = number(s.median);
    if s.min == s.max { median } else { format!("{median} <sub>{}–{}</sub>", number(s.q1), number(s.q3)) }
}

/// Three digits that matter.
pub fn number(x: f64) -> String {
    let digits = match x.abs() {
        x if x >= 100.0 => 0,
        x if x >= 10.0 => 1,
        _ => 2,
    };
    if x != 0.0 && x.abs() < 0.1 { format!("{x:.4}") } else { format!("{x:.digits$}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Record;

    #[test]
    fn growth_is_of_the_same_round() {
        // Round 2 ran on a machine ten times slower; crossbeam has one point only.
        let points =
            [(1, "1", 10.0), (1, "64", 20.0), (1, "8", 40.0), (2, "1", 100.0), (2, "64", 200.0), (2, "8", 400.0)];
        let record = |column: &str, (round, n, ns): (usize, &str, f64)| Record {
            group: "growth".into(),
            scenario: format!("try_arms_{n}"),
            column: column.into(),
            round,
            metric: "ns/arm".into(),
            value: Value::Number(ns),
        };
        let mut records: Vec<_> = points.into_iter().map(|point| record("gochan", point)).collect();
        records.push(record("crossbeam", points[0]));
        let table = &tables(&Run { about: vec![], records })[0];
        let text = growth(table);
        let rows: Vec<_> = text.lines().filter(|line| line.starts_with("| try_arms |")).collect();
        assert_eq!(rows, ["| try_arms | 2.00 (64 / 1) | n/a |", "| try_arms | 4.00 (8 / 1) | n/a |"]);
    }
}
