//! The pace of a migration over its time. The record tells when the rows of a collection were copied, not how fast at each
//! moment: a collection counts with its average over that time.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use vecferry_migrate::event::Phase;
use vecferry_report::figures;
use vecferry_words::Lang;

use super::record::{Line, Step};
use crate::console::show::{Say, took};

/// Points of the line.
const POINTS: usize = 60;
/// Width and height of the plot, and the space above it.
const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 104.0;
const TOP: f64 = 16.0;
/// Shorter copies show nothing.
const SHORTEST_MS: i64 = 2_000;

/// A chart of rows a second.
#[derive(Clone, Debug)]
pub(super) struct Chart {
    /// Corners of the line.
    pub(super) line: String,
    /// Corners of the area under it.
    pub(super) area: String,
    /// At the top and half of the axis.
    pub(super) most: String,
    pub(super) half: String,
    /// Times since the begin, at its middle and its end.
    pub(super) middle: String,
    pub(super) end: String,
    /// The same in a sentence.
    pub(super) told: String,
}

/// Times in which the rows of a collection were copied.
struct Copied {
    rows: f64,
    times: Vec<(i64, i64)>,
}

/// The chart of a migration; none where there is nothing to see. What is still being copied is so until `until_ms`.
pub(super) fn chart(t: Say, lines: &[Line], steps: &[Step], until_ms: i64) -> Option<Chart> {
    let copied = copied(lines, steps, until_ms);
    let times = || copied.iter().flat_map(|copied| &copied.times);
    let begin = times().map(|(begin, _)| *begin).min()?;
    let end = times().map(|(_, end)| *end).max()?;
    if end - begin < SHORTEST_MS {
        return None;
    }
    let step = (end - begin) as f64 / POINTS as f64;
    let values: Vec<_> = (0..POINTS).map(|at| pace(&copied, begin as f64 + at as f64 * step, step)).collect();
    let (least, most) = values.iter().fold((f64::INFINITY, 0.0_f64), |(a, b), v| (a.min(*v), b.max(*v)));
    if most <= 0.0 {
        return None;
    }
    let top = nice(most);
    let mut line = String::new();
    for (at, value) in values.iter().enumerate() {
        let x = at as f64 * WIDTH / (POINTS - 1) as f64;
        let y = TOP + HEIGHT * (1.0 - value / top);
        // A text takes everything that is written to it.
        let _ = write!(line, "{}{x:.1},{y:.1}", if at == 0 { "" } else { " " });
    }
    let bottom = TOP + HEIGHT;
    let seconds = (end - begin) as f64 / 1000.0;
    let (least, most) = (figures::count(least.round() as u64), figures::count(most.round() as u64));
    let told = match t.0 {
        Lang::En => format!("Rows a second over {}: from {least} to {most}", took(t.0, seconds)),
        Lang::Zh => format!("{}内每秒行数：{least} 到 {most}", took(t.0, seconds)),
    };
    Some(Chart {
        area: format!("0,{bottom} {line} {WIDTH},{bottom}"),
        line,
        most: short(t.0, top),
        half: short(t.0, top / 2.0),
        middle: took(t.0, seconds / 2.0),
        end: took(t.0, seconds),
        told,
    })
}

fn copied(lines: &[Line], steps: &[Step], until_ms: i64) -> Vec<Copied> {
    let mut times: BTreeMap<&str, Vec<(i64, i64)>> = BTreeMap::new();
    let mut since: BTreeMap<&str, i64> = BTreeMap::new();
    for step in steps {
        let name = step.collection.as_str();
        if step.phase == Phase::Copying {
            since.entry(name).or_insert(step.at_ms);
        } else if let Some(begin) = since.remove(name) {
            times.entry(name).or_default().push((begin, step.at_ms));
        }
    }
    for (name, begin) in since {
        times.entry(name).or_default().push((begin, until_ms));
    }
    let of_line = |line: &Line| {
        let mut times = times.remove(line.name.as_str())?;
        times.retain(|(begin, end)| end > begin);
        (line.rows > 0 && !times.is_empty()).then_some(Copied { rows: line.rows as f64, times })
    };
    lines.iter().filter_map(of_line).collect()
}

/// Rows a second of all collections, on average from one time on.
fn pace(copied: &[Copied], from: f64, step: f64) -> f64 {
    let of_one = |copied: &Copied| {
        let whole: i64 = copied.times.iter().map(|(begin, end)| end - begin).sum();
        let part = copied
            .times
            .iter()
            .map(|(begin, end)| ((*end as f64).min(from + step) - (*begin as f64).max(from)).max(0.0));
        copied.rows * part.sum::<f64>() / whole as f64
    };
    copied.iter().map(of_one).sum::<f64>() / step * 1000.0
}

/// The next round number.
fn nice(value: f64) -> f64 {
    let ten = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 4.0, 6.0, 10.0].into_iter().map(|of| of * ten).find(|round| *round >= value).unwrap_or(value)
}

/// A number for an axis.
fn short(lang: Lang, value: f64) -> String {
    let units: &[(f64, &str)] = match lang {
        Lang::En => &[(1e9, "G"), (1e6, "M"), (1e3, "k")],
        Lang::Zh => &[(1e8, "亿"), (1e4, "万")],
    };
    let unit = units.iter().find(|(of, _)| value >= *of);
    let (value, unit) = unit.map_or((value, ""), |(of, name)| (value / of, *name));
    let digits = format!("{value:.2}");
    let digits = digits.trim_end_matches('0').trim_end_matches('.');
    format!("{digits} {unit}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, rows: u64) -> Line {
        Line {
            name: name.to_owned(),
            target: name.to_owned(),
            phase: Phase::Copying,
            reached: Phase::Copying,
            rows,
            rows_total: rows,
            bytes: 0,
            worked_seconds: 0.0,
            report: None,
            problems: Vec::new(),
        }
    }

    fn step(collection: &str, phase: Phase, at_ms: i64) -> Step {
        Step { at: String::new(), at_ms, collection: collection.to_owned(), phase }
    }

    #[test]
    fn collections_add_up_while_they_are_copied_at_once() {
        let lines = [line("a", 1000), line("b", 1000)];
        let steps = [
            step("a", Phase::Copying, 0),
            step("b", Phase::Copying, 5_000),
            step("a", Phase::Flushing, 10_000),
        ];
        let copied = copied(&lines, &steps, 15_000);
        assert_eq!(pace(&copied, 0.0, 1000.0), 100.0);
        assert_eq!(pace(&copied, 7_000.0, 1000.0), 200.0);
        assert_eq!(pace(&copied, 14_500.0, 1000.0), 50.0);
        let chart = chart(Say(Lang::En), &lines, &steps, 15_000).unwrap();
        assert_eq!((chart.most.as_str(), chart.half.as_str(), chart.end.as_str()), ("200", "100", "15 s"));
        assert_eq!(chart.line.split(' ').count(), POINTS);
        assert!(chart.told.contains("from 100 to 200"), "{}", chart.told);
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert!(chart(Say(Lang::En), &[line("a", 0)], &[step("a", Phase::Copying, 0)], 9_000).is_none());
        assert!(chart(Say(Lang::En), &[line("a", 10)], &[step("a", Phase::Copying, 0)], 900).is_none());
        assert!(chart(Say(Lang::En), &[line("a", 10)], &[], 9_000).is_none());
    }

    #[test]
    fn axes_have_short_round_numbers() {
        for (value, round, en, zh) in
            [(7.0, 10.0, "10", "10"), (1_300.0, 2_000.0, "2 k", "2000"), (35_000.0, 40_000.0, "40 k", "4 万")]
        {
            assert_eq!(nice(value), round);
            assert_eq!((short(Lang::En, round).as_str(), short(Lang::Zh, round).as_str()), (en, zh));
        }
    }
}
