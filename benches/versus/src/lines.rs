//! The plots of the group `growth`, as SVG: for every family a line per column, on two logarithmic scales.

use crate::plot::{FAINT, GO, OURS, PEER, canvas, label, stroke, tick};
use crate::report::number;
use crate::scenario::Family;
use crate::stats::{Summary, Table};
use svg::Document;
use svg::node::element::{Circle, Polyline};

const LEFT: f64 = 60.0;
const WIDTH: f64 = 560.0;
/// Room for the names behind the last dots.
const RIGHT: f64 = 200.0;
const TOP: f64 = 60.0;
const HEIGHT: f64 = 300.0;
const BOTTOM: f64 = 46.0;
/// Names stand at least so far apart.
const APART: f64 = 15.0;

/// Peers cross each other, so they are told apart by more than their names.
const PEERS: [&str; 8] = ["#1a7f37", "#8250df", "#9a6700", "#24292f", "#bf3989", "#1b7c83", "#bc4c00", "#8c959f"];

fn colour(table: &Table, column: &str) -> &'static str {
    match column {
        "gochan" => OURS,
        "go" => GO,
        _ => PEERS[table.columns.iter().position(|known| known == column).unwrap_or(0) % PEERS.len()],
    }
}

/// A logarithmic scale, from one place to another.
struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    /// Widened to a factor of ten at least: noise alone should not fill the plot.
    fn of(values: impl Iterator<Item = f64> + Clone, margin: f64, from: f64, to: f64) -> Scale {
        let low = values.clone().fold(f64::MAX, f64::min);
        let high = values.fold(f64::MIN_POSITIVE, f64::max);
        let wider = (10.0 * low / high).sqrt().max(margin);
        Scale { low: low / wider, high: high * wider, from, to }
    }

    fn at(&self, value: f64) -> f64 {
        self.from + (self.to - self.from) * (value / self.low).log10() / (self.high / self.low).log10()
    }

    /// 1, 2, 5, 10 ...; the powers of ten alone where there are many.
    fn ticks(&self) -> Vec<f64> {
        let steps: &[f64] = if self.high / self.low > 1e3 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let powers = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
        let all = powers.flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power)));
        all.filter(|tick| (self.low..=self.high).contains(tick)).collect()
    }
}

/// The points of a column, from few to many.
fn points(table: &Table, scenarios: &[&str], column: &str) -> Vec<(f64, Summary)> {
    let point = |scenario: &&str| {
        let (_, many) = Family::parse(scenario)?;
        let summary = table.cell(scenario, column)?.summary().filter(|s| s.min > 0.0)?;
        Some((many as f64, summary))
    };
    scenarios.iter().filter_map(point).collect()
}

pub fn chart(table: &Table, family: &str, scenarios: &[&str]) -> Document {
    let lines = table.columns.iter().map(|column| (column.as_str(), points(table, scenarios, column)));
    let lines: Vec<_> = lines.filter(|(_, points)| !points.is_empty()).collect();
    let all = lines.iter().flat_map(|(_, points)| points);
    let x = Scale::of(all.clone().map(|point| point.0), 1.0, LEFT, LEFT + WIDTH);
    let y = Scale::of(all.flat_map(|point| [point.1.q1, point.1.q3]), 1.2, TOP + HEIGHT, TOP);

    let (width, height) = (LEFT + WIDTH + RIGHT, TOP + HEIGHT + BOTTOM);
    let what = Family::named(family).map_or("", Family::what);
    let legend = format!("{}, less is better; dot: median, bar: quartiles; a level line does not grow", table.metric);
    let mut chart = canvas(width, height, &format!("{family}: {what}"), &legend);

    for value in y.ticks() {
        let at = y.at(value);
        chart = chart.add(stroke(LEFT, LEFT + WIDTH, at, at, FAINT, 1.0));
        chart = chart.add(label(LEFT - 8.0, at + 4.0, &tick(value)).set("text-anchor", "end").set("fill", PEER));
    }
    for (_, many) in scenarios.iter().filter_map(|scenario| Family::parse(scenario)) {
        let (at, bottom) = (x.at(many as f64), TOP + HEIGHT);
        chart = chart.add(stroke(at, at, bottom, bottom + 5.0, PEER, 1.0));
        let text = tick(many as f64);
        chart = chart.add(label(at, bottom + 19.0, &text).set("text-anchor", "middle").set("fill", PEER));
    }
    let middle = LEFT + WIDTH / 2.0;
    chart = chart.add(label(middle, height - 8.0, "N").set("text-anchor", "middle").set("fill", PEER));

    let mut names = Vec::new();
    for (column, points) in &lines {
        let colour = colour(table, column);
        let places = points.iter().map(|(many, s)| format!("{:.1},{:.1}", x.at(*many), y.at(s.median)));
        let line = Polyline::new().set("points", places.collect::<Vec<_>>().join(" ")).set("fill", "none");
        chart = chart.add(line.set("stroke", colour).set("stroke-width", 2));
        for (many, s) in points {
            let (cx, cy) = (x.at(*many), y.at(s.median));
            chart = chart
                .add(stroke(cx, cx, y.at(s.q1), y.at(s.q3), colour, 4.0).set("stroke-opacity", 0.45))
                .add(Circle::new().set("cx", cx).set("cy", cy).set("r", 3.5).set("fill", colour));
        }
        let (many, last) = points[points.len() - 1];
        names.push((x.at(many), y.at(last.median) + 4.0, format!("{column} {}", number(last.median)), colour));
    }
    // From top to bottom, each pushed down by the one above.
    names.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut least = f64::MIN;
    for (right, at, text, colour) in names {
        let at = at.max(least);
        least = at + APART;
        chart = chart.add(label(right + 9.0, at, &text).set("fill", colour));
    }
    chart
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_has_room_for_noise_and_ticks_within() {
        // Two values that are nearly the same stand in the middle.
        let flat = Scale::of([100.0, 101.0].into_iter(), 1.2, 0.0, 100.0);
        assert!((45.0..55.0).contains(&flat.at(100.0)), "{}", flat.at(100.0));
        assert_eq!(flat.ticks(), [50.0, 100.0, 200.0]);
        let steep = Scale::of([10.0, 1e6].into_iter(), 1.0, 0.0, 100.0);
        assert_eq!((steep.at(10.0), steep.at(1e6)), (0.0, 100.0));
        assert_eq!(steep.ticks(), [10.0, 100.0, 1e3, 1e4, 1e5, 1e6]);
    }
}
