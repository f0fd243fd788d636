//! How gochan stands: to the best peer and to a base, cell by cell and in the mean, and what those that are ahead lack.

use crate::impls::go;
use crate::report::{OURS, grid, names, number, paired, ratio};
use crate::scenario::{Family, Guarantee};
use crate::stats::{Cell, Table};

/// Of the best peer, where it is ahead.
const LACKS: &str = "which lacks";

/// Columns that are no peers.
const NO_PEERS: [&str; 4] = [OURS, "gochan_spawn", "crossbeam_rebuild", "physical"];

pub fn is_about_guarantees(table: &Table) -> bool {
    table.group.starts_with("guarantees")
}

/// A table, and what there is about guarantees.
pub fn standing(table: &Table, base: &str, all: &[Table]) -> String {
    if !table.columns.iter().any(|column| column == OURS) {
        return String::new();
    }
    let guarantees: Vec<_> = all.iter().filter(|table| is_about_guarantees(table)).collect();
    let to_base = format!("gochan / {base}");
    let mut columns = vec!["best peer", "gochan / best peer", to_base.as_str(), "gochan / crossbeam"];
    columns.truncate(if base == "crossbeam" { 3 } else { 4 });
    if !guarantees.is_empty() && !is_about_guarantees(table) {
        columns.insert(2, LACKS);
    }
    let mut text = grid(table, &columns, |scenario, column| {
        let to = |peer: &str| paired(table, scenario, OURS, peer).map_or("n/a".into(), |s| ratio(&s));
        match (column, best(table, scenario, |_| true)) {
            ("best peer", peer) => peer.unwrap_or("n/a").into(),
            ("gochan / best peer", Some(peer)) => to(peer),
            ("gochan / best peer", None) => "n/a".into(),
            (LACKS, Some(peer)) if paired(table, scenario, OURS, peer).is_some_and(|s| s.median > 1.0) => {
                lacking(&guarantees, &table.group, scenario, peer).join(", ")
            }
            (LACKS, _) => String::new(),
            ("gochan / crossbeam", _) => to("crossbeam"),
            _ => to(base),
        }
    });
    if matches!(table.metric.as_str(), "ns/op" | "s" | "bytes") && table.group != "growth" {
        text += &means(table, &guarantees);
    }
    text
}

fn best<'a>(table: &'a Table, scenario: &str, among: impl Fn(&str) -> bool) -> Option<&'a str> {
    table.best(scenario, |column| is_peer(table, column) && among(column))
}

/// Beside threads and tasks, Go's goroutines are there to be seen: to wait is another matter for them.
fn is_peer(table: &Table, column: &str) -> bool {
    let is_other = table.group.starts_with("tasks") || matches!(&*table.group, "threads" | "latency" | "latency-mt");
    !(NO_PEERS.contains(&column) || is_other && column == go::NAME)
}

/// How many cells are at or below the best peer, and the mean: of all, and of those that keep a guarantee.
fn means(table: &Table, guarantees: &[&Table]) -> String {
    let line = |who: &str, among: &dyn Fn(&str, &str) -> bool| {
        let ratios = table.scenarios.iter().filter_map(|scenario| {
            let peer = best(table, scenario, |column| among(scenario, column))?;
            Some(paired(table, scenario, OURS, peer)?.median)
        });
        let ratios: Vec<f64> = ratios.collect();
        if ratios.is_empty() {
            return format!("| {who} | 0 | n/a | n/a |\n");
        }
        let mean = (ratios.iter().map(|x| x.ln()).sum::<f64>() / ratios.len() as f64).exp();
        let won = ratios.iter().filter(|&&x| x <= 1.0).count();
        format!("| {who} | {} | {won} | {} |\n", ratios.len(), number(mean))
    };
    let mut text = String::from("\n| to the best of | cells | at or below 1 | geometric mean |\n|---|---|---|---|\n");
    text += &line("all peers", &|_, _| true);
    let lacks =
        |what: &str, scenario: &str, column: &str| lacking(guarantees, &table.group, scenario, column).contains(&what);
    for what in all_of(|_| true) {
        let is_told_of =
            |scenario: &String| names(table).iter().any(|name| is_peer(table, name) && lacks(what, scenario, name));
        if table.scenarios.iter().any(is_told_of) {
            text += &line(&format!("those with {what}"), &|scenario, column| !lacks(what, scenario, column));
        }
    }
    let lack_nothing = |scenario: &str, column: &str| lacking(guarantees, &table.group, scenario, column).is_empty();
    let has_such = |scenario: &String| best(table, scenario, |column| lack_nothing(scenario, column)).is_some();
    if !guarantees.is_empty() && table.scenarios.iter().any(has_such) {
        text += &line("those that lack nothing", &lack_nothing);
    }
    text
}

/// What a column does not promise that gochan does, as far as it matters in a scenario.
fn lacking(guarantees: &[&Table], group: &str, scenario: &str, column: &str) -> Vec<&'static str> {
    const THREADS: &str = "guarantees";
    const TASKS: &str = "guarantees-async";
    let family = Family::parse(scenario).and_then(|(family, _)| Family::named(family));
    // Of a pair it is the channel; goroutines stand where tasks do.
    let column = column.rsplit('+').next().expect("one at least");
    let groups: &[&str] = match (group, family) {
        // The bytes are those of a channel for either.
        ("memory" | "memory-async", _) => &[THREADS, TASKS],
        ("threads" | "latency", _)
        | ("growth", Some(Family::Arms | Family::TryArms | Family::Threads | Family::OneCore)) => &[THREADS],
        _ => &[TASKS],
    };
    let tested = guarantees.iter().filter(|table| groups.contains(&table.group.as_str()));
    let is_lacking = |guarantee: Guarantee| {
        tested.clone().any(|table| {
            let mut scenarios = table.scenarios.iter().filter(|scenario| Guarantee::of(scenario) == Some(guarantee));
            scenarios.any(|scenario| match table.cell(scenario, column).and_then(Cell::median) {
                Some(times) => times > 0.0,
                // No select at all, or none that sends. Who was not tested is not told about.
                None => guarantee == Guarantee::SelectSends && table.columns.iter().any(|tested| tested == column),
            })
        })
    };
    all_of(is_lacking)
}

/// What those guarantees are about, each once.
fn all_of(which: impl Fn(Guarantee) -> bool) -> Vec<&'static str> {
    let mut all: Vec<_> = Guarantee::ALL.into_iter().filter(|&one| which(one)).map(Guarantee::what).collect();
    // Those that are about the same stand side by side.
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Record, Run, Value};
    use crate::stats::tables;

    #[test]
    fn who_is_ahead_is_told_what_it_lacks() {
        let record = |group: &str, scenario: &str, column: &str, metric: &str, value: f64| Record {
            group: group.into(),
            scenario: scenario.into(),
            column: column.into(),
            round: 1,
            metric: metric.into(),
            value: Value::Number(value),
        };
        let tasks = |column: &str, ns: f64| record("tasks-ct", "ct.bounded1_spsc", column, "ns/op", ns);
        let lost = |column: &str, times: f64| {
            record("guarantees-async", "async.bounded1_cancel_value", column, "broken of 100", times)
        };
        let records = vec![
            tasks("gochan", 20.0),
            tasks("kanal", 10.0),
            tasks("tokio", 40.0),
            tasks(go::NAME, 5.0),
            lost("gochan", 0.0),
            lost("kanal", 100.0),
            lost("tokio", 0.0),
            record("memory", "bounded0_empty", "gochan", "bytes", 200.0),
            record("memory", "bounded0_empty", "kanal", "bytes", 100.0),
        ];
        let all = tables(&Run { about: vec![], records });
        let text = standing(&all[0], "tokio", &all);
        let has = |line: &str| assert!(text.lines().any(|one| one == line), "{line} in {text}");
        has("| ct.bounded1_spsc | kanal | 2.00 | cancel safety | 0.50 | n/a |");
        has("| all peers | 1 | 0 | 2.00 |");
        has("| those with cancel safety | 1 | 1 | 0.50 |");
        has("| those that lack nothing | 1 | 1 | 0.50 |");
        // What its tasks lack is what its bytes do without, whoever holds the handles.
        let memory = all.iter().find(|table| table.group == "memory").expect("it was measured");
        let text = standing(memory, "crossbeam", &all);
        assert!(text.contains("| bounded0_empty | kanal | 2.00 | cancel safety | n/a |"), "{text}");
    }
}
