//! What was measured: one record per cell, round and metric, and its form as TSV.

use anyhow::{Context, Result, bail, ensure};
use std::fmt;
use std::path::Path;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    Number(f64),
    /// The library has no such thing.
    Missing,
    /// Killed by the watchdog.
    Hang,
    /// Panicked or died, a wrong sum among the reasons.
    Crash,
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Value::Number(x) => write!(f, "{x}"),
            Value::Missing => f.write_str("n/a"),
            Value::Hang => f.write_str("HANG"),
            Value::Crash => f.write_str("CRASH"),
        }
    }
}

impl std::str::FromStr for Value {
    type Err = anyhow::Error;

    fn from_str(s: &str) -> Result<Value> {
        Ok(match s {
            "n/a" => Value::Missing,
            "HANG" => Value::Hang,
            "CRASH" => Value::Crash,
            number => Value::Number(number.parse().with_context(|| format!("not a value: {number}"))?),
        })
    }
}

#[derive(Clone, Debug)]
pub struct Record {
    pub group: String,
    pub scenario: String,
    pub column: String,
    pub round: usize,
    /// Empty where the value is not a number.
    pub metric: String,
    pub value: Value,
}

/// A run: how it came about (lines of text), and what it measured.
#[derive(Clone, Debug, Default)]
pub struct Run {
    pub about: Vec<String>,
    pub records: Vec<Record>,
}

const HEADER: &str = "group\tscenario\timpl\tround\tmetric\tvalue";

impl Run {
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut text: String = self.about.iter().map(|line| format!("# {line}\n")).collect();
        text += HEADER;
        text += "\n";
        for r in &self.records {
            text += &format!("{}\t{}\t{}\t{}\t{}\t{}\n", r.group, r.scenario, r.column, r.round, r.metric, r.value);
        }
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Adds another run, its rounds after those of this one.
    pub fn append(&mut self, other: Run) {
        let rounds = self.records.iter().map(|r| r.round).max().unwrap_or(0);
        self.about.extend(other.about.into_iter().filter(|line| !self.about.contains(line)).collect::<Vec<_>>());
        self.records.extend(other.records.into_iter().map(|r| Record { round: rounds + r.round, ..r }));
    }

    pub fn read(path: &Path) -> Result<Run> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let about = text.lines().map_while(|line| line.strip_prefix("# ")).map(String::from).collect();
        let mut rows = text.lines().filter(|line| !line.starts_with('#'));
        ensure!(rows.next() == Some(HEADER), "{} is not a table of versus", path.display());
        let records = rows.map(parse_row).collect::<Result<_>>()?;
        Ok(Run { about, records })
    }
}

fn parse_row(row: &str) -> Result<Record> {
    let fields: Vec<_> = row.split('\t').collect();
    let [group, scenario, column, round, metric, value] = fields[..] else { bail!("not six fields: {row}") };
    Ok(Record {
        group: group.into(),
        scenario: scenario.into(),
        column: column.into(),
        round: round.parse().with_context(|| format!("not a round: {round}"))?,
        metric: metric.into(),
        value: value.parse()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let record = |metric: &str, value| Record {
            group: "threads".into(),
            scenario: "bounded0_spsc".into(),
            column: "go".into(),
            round: 3,
            metric: metric.into(),
            value,
        };
        let records = vec![record("ns/op", Value::Number(1.5)), record("", Value::Hang), record("", Value::Missing)];
        let run = Run { about: vec!["machine: a fast one".into()], records };
        let path = std::env::temp_dir().join(format!("versus-{}.tsv", std::process::id()));
        run.write(&path).unwrap();
        let mut read = Run::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read.about, run.about);
        let values: Vec<_> = read.records.iter().map(|r| (r.round, r.metric.as_str(), r.value)).collect();
        assert_eq!(values, [(3, "ns/op", Value::Number(1.5)), (3, "", Value::Hang), (3, "", Value::Missing)]);
        // Rounds of another run are other rounds.
        read.append(run);
        assert_eq!(read.records.len(), 6);
        assert_eq!(read.records[5].round, 6);
        assert_eq!(read.about.len(), 1);
    }
}
