//! The tables for people, as markdown.

use crate::record::{Run, Value};
use crate::scenario::group_named;
use crate::stats::{Cell, Summary, Table, tables};
use std::fmt::Write;
use std::path::PathBuf;

/// The column all this is for.
const OURS: &str = "gochan";

/// What a run prints: medians, and how gochan stands.
pub fn brief(run: &Run, base: &str) -> String {
    let mut text = String::new();
    for table in tables(run) {
        text += &heading(&table);
        text += &medians(&table);
        text += &standing(&table, base);
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
    for table in tables(run) {
        text += &heading(&table);
        text += &medians(&table);
        text += &standing(&table, base);
        text += &ratios(&table, base);
        for (_, path) in plots.iter().filter(|(key, _)| *key == key_of(&table)) {
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
fn grid(table: &Table, columns: &[&str], cell: impl Fn(&str, &str) -> String) -> String {
    let mut text = format!("\n| scenario | {} |\n|---{}|\n", columns.join(" | "), "|---".repeat(columns.len()));
    for scenario in &table.scenarios {
        let cells: Vec<_> = columns.iter().map(|column| cell(scenario, column)).collect();
        let _ = writeln!(text, "| {scenario} | {} |", cells.join(" | "));
    }
    text
}

fn names(table: &Table) -> Vec<&str> {
    table.columns.iter().map(String::as_str).collect()
}

fn medians(table: &Table) -> String {
    grid(table, &names(table), |scenario, column| {
        let Some(cell) = table.cell(scenario, column) else { return "n/a".into() };
        let best = table.best(scenario, |_| true) == Some(column);
        let text = match cell.summary() {
            None => return cell.failure.map_or("n/a".into(), |failure| failure.to_string()),
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

/// How gochan stands to the best peer and to the base.
fn standing(table: &Table, base: &str) -> String {
    if !table.columns.iter().any(|column| column == OURS) {
        return String::new();
    }
    let to_base = format!("gochan / {base}");
    let columns = ["best peer", "gochan / best peer", to_base.as_str(), "gochan / crossbeam"];
    let columns = if base == "crossbeam" { &columns[..3] } else { &columns };
    grid(table, columns, |scenario, column| {
        let ratio = |to: &str| paired(table, scenario, OURS, to).map_or("n/a".into(), |s| ratio(&s));
        let peer = table.best(scenario, |column| !matches!(column, OURS | "crossbeam_rebuild" | "physical"));
        match (column, peer) {
            ("best peer", peer) => peer.unwrap_or("n/a").into(),
            ("gochan / best peer", Some(peer)) => ratio(peer),
            ("gochan / best peer", None) => "n/a".into(),
            ("gochan / crossbeam", _) => ratio("crossbeam"),
            _ => ratio(base),
        }
    })
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

fn paired(table: &Table, scenario: &str, column: &str, base: &str) -> Option<Summary> {
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

fn ratio(s: &Summary) -> String {
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
