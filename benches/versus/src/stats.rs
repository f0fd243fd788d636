//! Medians and quartiles, of values and of per-round ratios.

use crate::record::{Record, Run, Value};
use std::collections::{BTreeMap, HashMap};

#[derive(Clone, Copy, Debug)]
pub struct Summary {
    pub min: f64,
    pub q1: f64,
    pub median: f64,
    pub q3: f64,
    pub max: f64,
}

impl Summary {
    /// `None` of nothing.
    pub fn of(mut values: Vec<f64>) -> Option<Summary> {
        values.sort_by(f64::total_cmp);
        let at = |quantile: f64| {
            let place = (values.len() - 1) as f64 * quantile;
            let (low, high) = (values[place.floor() as usize], values[place.ceil() as usize]);
            low + (high - low) * place.fract()
        };
        if values.is_empty() {
            return None;
        }
        Some(Summary { min: at(0.0), q1: at(0.25), median: at(0.5), q3: at(0.75), max: at(1.0) })
    }
}

/// What one column measured in one scenario.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    /// By round, so that rounds can be paired.
    pub rounds: BTreeMap<usize, f64>,
    /// What happened instead, if it ever did.
    pub failure: Option<Value>,
}

impl Cell {
    pub fn summary(&self) -> Option<Summary> {
        Summary::of(self.rounds.values().copied().collect())
    }

    pub fn median(&self) -> Option<f64> {
        self.summary().map(|s| s.median)
    }

    /// This cell's value divided by the other's, round by round.
    pub fn ratio_to(&self, other: &Cell) -> Option<Summary> {
        let pairs = self.rounds.iter().filter_map(|(round, x)| Some(x / other.rounds.get(round)?));
        Summary::of(pairs.collect())
    }
}

/// A metric of a group: scenarios by columns.
#[derive(Clone, Debug)]
pub struct Table {
    pub group: String,
    pub metric: String,
    pub scenarios: Vec<String>,
    pub columns: Vec<String>,
    cells: HashMap<(String, String), Cell>,
}

impl Table {
    pub fn cell(&self, scenario: &str, column: &str) -> Option<&Cell> {
        self.cells.get(&(scenario.to_string(), column.to_string()))
    }

    /// The column with the smallest median, among those for which `among` holds.
    pub fn best(&self, scenario: &str, among: impl Fn(&str) -> bool) -> Option<&str> {
        let medians = self.columns.iter().filter(|column| among(column)).filter_map(|column| {
            let cell = self.cell(scenario, column)?;
            Some((column.as_str(), cell.median().filter(|_| cell.failure.is_none())?))
        });
        medians.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(column, _)| column)
    }
}

/// The tables of a run, in the order in which they were measured.
pub fn tables(run: &Run) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    let numbers = run.records.iter().filter(|r| matches!(r.value, Value::Number(_)));
    for r in numbers.clone() {
        let known = tables.iter().position(|t| t.group == r.group && t.metric == r.metric);
        let at = known.unwrap_or_else(|| {
            let (group, metric) = (r.group.clone(), r.metric.clone());
            tables.push(Table { group, metric, scenarios: vec![], columns: vec![], cells: HashMap::new() });
            tables.len() - 1
        });
        remember(&mut tables[at].scenarios, &r.scenario);
    }
    for table in &mut tables {
        let mine = |r: &&Record| r.group == table.group && table.scenarios.contains(&r.scenario);
        for r in run.records.iter().filter(mine) {
            let cell = || (r.scenario.clone(), r.column.clone());
            match r.value {
                Value::Number(value) if r.metric == table.metric => {
                    table.cells.entry(cell()).or_default().rounds.insert(r.round, value);
                }
                Value::Hang | Value::Crash => table.cells.entry(cell()).or_default().failure = Some(r.value),
                _ => continue,
            }
            remember(&mut table.columns, &r.column);
        }
        let order = |name: &String| crate::impls::IMPLS.iter().position(|one| one.name == name).unwrap_or(usize::MAX);
        table.columns.sort_by_key(order);
    }
    // One after the other by group, the metrics of a group in the order they came.
    let place = |table: &Table| crate::scenario::GROUPS.iter().position(|group| group.name == table.group);
    tables.sort_by_key(place);
    tables
}

fn remember(names: &mut Vec<String>, name: &str) {
    if !names.iter().any(|known| known == name) {
        names.push(name.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(rounds: &[(usize, f64)]) -> Cell {
        Cell { rounds: rounds.iter().copied().collect(), failure: None }
    }

    #[test]
    fn quartiles_lie_between_values() {
        let s = Summary::of(vec![4.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!((s.min, s.q1, s.median, s.q3, s.max), (1.0, 1.75, 2.5, 3.25, 4.0));
        assert!(Summary::of(vec![]).is_none());
    }

    #[test]
    fn ratios_are_of_the_same_round() {
        // The machine got ten times slower in round 3; the ratio does not care. Round 2 of the other is missing.
        let (ours, theirs) = (cell(&[(1, 2.0), (2, 9.0), (3, 20.0)]), cell(&[(1, 1.0), (3, 10.0)]));
        let ratio = ours.ratio_to(&theirs).unwrap();
        assert_eq!((ratio.min, ratio.median, ratio.max), (2.0, 2.0, 2.0));
    }

    #[test]
    fn a_column_that_failed_is_never_the_best() {
        let record = |column: &str, value| {
            let (group, scenario, column) = ("threads".into(), "bounded1_spsc".into(), column.into());
            let metric = if matches!(value, Value::Number(_)) { "ns/op" } else { "" }.into();
            Record { group, scenario, column, round: 1, metric, value }
        };
        let records = vec![
            record("kanal", Value::Number(5.0)),
            record("flume", Value::Number(1.0)),
            record("flume", Value::Hang),
            record("std", Value::Missing),
        ];
        let tables = tables(&Run { about: vec![], records });
        assert_eq!(tables.len(), 1);
        assert_eq!(tables[0].best("bounded1_spsc", |_| true), Some("kanal"));
        assert_eq!(tables[0].columns, ["kanal", "flume"]);
    }
}
