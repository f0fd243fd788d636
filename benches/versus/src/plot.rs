//! The plots, as SVG: for every scenario a block with a row per column, on a logarithmic scale.

use crate::lines;
use crate::record::Run;
use crate::report::{key_of, number};
use crate::scenario::{Family, group_named};
use crate::standing::is_about_guarantees;
use crate::stats::{Table, tables};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use svg::Document;
use svg::node::element::{Circle, Line, Rectangle, Text};

/// Writes every plot and returns, for each, the key of its table and its file name.
pub fn write(run: &Run, dir: &Path) -> Result<Vec<(String, PathBuf)>> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let mut written = Vec::new();
    // A table of noughts and hundreds is read faster.
    for table in tables(run).into_iter().filter(|table| !is_about_guarantees(table)) {
        for (part, scenarios) in parts(&table) {
            let words = [table.group.as_str(), part.as_str(), table.metric.as_str()];
            let words = words.map(|word| word.replace(['/', ' ', '.', '+'], "-"));
            let name = words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-") + ".svg";
            let path = dir.join(&name);
            let plot = match table.group.as_str() {
                "growth" => lines::chart(&table, &part, &scenarios),
                _ => chart(&table, &scenarios),
            };
            svg::save(&path, &plot)?;
            written.push((key_of(&table), path));
        }
    }
    Ok(written)
}

/// A plot with dozens of scenarios helps nobody: the threads' are cut by capacity, those of growth by family.
fn parts(table: &Table) -> Vec<(String, Vec<&str>)> {
    let mut parts: Vec<(String, Vec<&str>)> = Vec::new();
    for scenario in &table.scenarios {
        let part = match table.group.as_str() {
            "threads" => scenario.split_once('_').map(|(room, _)| room),
            "growth" => Family::parse(scenario).map(|(family, _)| family),
            _ => None,
        };
        let part = part.unwrap_or_default().to_string();
        match parts.iter_mut().find(|known| known.0 == part) {
            Some(known) => known.1.push(scenario),
            None => parts.push((part, vec![scenario])),
        }
    }
    parts
}

const ROW: f64 = 17.0;
const GAP: f64 = 26.0;
const TOP: f64 = 74.0;
const LEFT: f64 = 150.0;
const WIDTH: f64 = 620.0;
/// Room for the figure behind the last dot.
const RIGHT: f64 = 90.0;

pub const OURS: &str = "#d1242f";
pub const GO: &str = "#0077a8";
pub const PEER: &str = "#57606a";
pub const FAINT: &str = "#d0d7de";

fn colour(column: &str) -> &'static str {
    match column {
        "gochan" => OURS,
        "go" => GO,
        _ => PEER,
    }
}

/// The logarithmic scale from whole power of ten to whole power of ten.
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    fn of(values: impl Iterator<Item = f64> + Clone) -> Scale {
        let low = values.clone().fold(f64::MAX, f64::min).log10().floor();
        let high = values.fold(f64::MIN_POSITIVE, f64::max).log10().ceil();
        Scale { low, high: high.max(low + 1.0) }
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + WIDTH * (value.log10() - self.low) / (self.high - self.low)
    }

    fn powers(&self) -> impl Iterator<Item = f64> {
        (self.low as i32..=self.high as i32).map(|power| 10f64.powi(power))
    }
}

fn chart(table: &Table, scenarios: &[&str]) -> Document {
    // What a column has nothing to say about takes no row.
    let rows_of = |scenario: &str| {
        let has = |column: &&String| table.cell(scenario, column).is_some();
        table.columns.iter().filter(has).map(String::as_str).collect::<Vec<_>>()
    };
    let rows: usize = scenarios.iter().map(|scenario| rows_of(scenario).len()).sum();
    let height = TOP + rows as f64 * ROW + scenarios.len() as f64 * GAP + 16.0;
    let cells = scenarios.iter().flat_map(|s| table.columns.iter().filter_map(move |c| table.cell(s, c)));
    let values = cells.filter_map(|cell| cell.summary()).flat_map(|s| [s.min, s.max]).filter(|x| *x > 0.0);
    let scale = Scale::of(values);

    let width = LEFT + WIDTH + RIGHT;
    let title = group_named(&table.group).map_or(table.group.as_str(), |group| group.title);
    let legend = format!("{}, less is better; dot: median, bar: quartiles, line: min to max", table.metric);
    let mut chart = canvas(width, height, title, &legend);
    for power in scale.powers() {
        let x = scale.x(power);
        chart = chart.add(stroke(x, x, TOP - 8.0, height - 8.0, FAINT, 1.0));
        chart = chart.add(label(x, TOP - 13.0, &tick(power)).set("text-anchor", "middle").set("fill", PEER));
    }

    let mut y = TOP;
    for scenario in scenarios {
        y += GAP;
        chart = chart.add(label(10.0, y, scenario).set("font-weight", "bold"));
        for column in rows_of(scenario) {
            y += ROW;
            let (colour, middle) = (colour(column), y - 4.0);
            chart = chart.add(label(LEFT - 10.0, y, column).set("text-anchor", "end").set("fill", colour));
            let Some(cell) = table.cell(scenario, column) else { continue };
            let failure = cell.failure.map(|failure| failure.to_string()).unwrap_or_default();
            let Some(s) = cell.summary().filter(|s| s.min > 0.0) else {
                let text = if failure.is_empty() { "0" } else { &failure };
                chart = chart.add(label(LEFT + 4.0, y, text).set("fill", colour));
                continue;
            };
            chart = chart
                .add(stroke(scale.x(s.min), scale.x(s.max), middle, middle, colour, 1.0))
                .add(stroke(scale.x(s.q1), scale.x(s.q3), middle, middle, colour, 4.0).set("stroke-opacity", 0.45))
                .add(Circle::new().set("cx", scale.x(s.median)).set("cy", middle).set("r", 4).set("fill", colour));
            let text = format!("{} {failure}", number(s.median));
            chart = chart.add(label(scale.x(s.max) + 8.0, y, &text).set("fill", colour));
        }
    }
    chart
}

/// An empty plot, with what stands above it.
pub fn canvas(width: f64, height: f64, title: &str, legend: &str) -> Document {
    Document::new()
        .set("viewBox", (0, 0, width, height))
        .set("width", width)
        .set("height", height)
        .set("font-family", "system-ui, 'DejaVu Sans', Helvetica, Arial, sans-serif")
        .set("font-size", 12)
        .add(Rectangle::new().set("width", width).set("height", height).set("fill", "white"))
        .add(label(10.0, 22.0, title).set("font-size", 15).set("font-weight", "bold"))
        .add(label(10.0, 40.0, legend).set("fill", PEER))
}

pub fn label(x: f64, y: f64, text: &str) -> Text {
    Text::new(text).set("x", x).set("y", y)
}

pub fn stroke(x1: f64, x2: f64, y1: f64, y2: f64, colour: &str, width: f64) -> Line {
    let line = Line::new().set("x1", x1).set("x2", x2).set("y1", y1).set("y2", y2);
    line.set("stroke", colour).set("stroke-width", width)
}

/// A round number in short.
pub fn tick(power: f64) -> String {
    match power {
        p if p >= 1e6 => format!("{}M", p / 1e6),
        p if p >= 1e3 => format!("{}k", p / 1e3),
        p => format!("{p}"),
    }
}
