//! The rate of a migration over its time, from how far it was recorded to be from time to time. While nobody ran it, there is
//! no rate, which is not the same as none.

use std::fmt::Write as _;

use vecferry_report::figures;
use vecferry_words::Lang;

use crate::console::show::{Say, took};
use crate::tables::Point;

/// Values of the line.
const VALUES: usize = 60;
/// Of the list for those who can't see the line.
const TOLD: usize = 10;
/// Width and height of the plot, and the space above it.
const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 104.0;
const TOP: f64 = 16.0;
/// Shorter copies show nothing.
const SHORTEST_MS: i64 = 2_000;

/// A chart of rows a second.
#[derive(Clone, Debug)]
pub(super) struct Chart {
    /// Lines, and the area under each; there is one more with each pause.
    pub(super) lines: Vec<Corners>,
    /// At the top and half of the axis.
    pub(super) most: String,
    pub(super) half: String,
    /// Times since the begin, at its middle and its end.
    pub(super) middle: String,
    pub(super) end: String,
    /// What it shows, in a sentence.
    pub(super) told: String,
    /// The highest and the last rate, in rows and in bytes.
    pub(super) highest: String,
    pub(super) last: String,
    pub(super) is_live: bool,
    /// Whether there are times in which nobody ran it.
    pub(super) has_pauses: bool,
    /// The same as the line: times, and the rate in each.
    pub(super) list: Vec<(String, String)>,
}

/// A line, and the area under it, as corners.
#[derive(Clone, Debug)]
pub(super) struct Corners {
    pub(super) line: String,
    pub(super) area: String,
}

/// Rows and bytes a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Rate {
    rows: f64,
    bytes: f64,
}

/// What was copied between two points of one run.
struct Stretch {
    from: f64,
    to: f64,
    rate: Rate,
}

/// The chart of a migration; none where there is nothing to see.
pub(super) fn chart(t: Say, points: &[Point], is_live: bool) -> Option<Chart> {
    let stretches = copied(points, is_live);
    let (begin, end) = (stretches.first()?.from, stretches.last()?.to);
    if end - begin < SHORTEST_MS as f64 {
        return None;
    }
    let values = rates(&stretches, (begin, end), VALUES);
    // The last rate is told as it was, and not as a part of an average: the highest is never below it.
    let last = stretches.last().map(|last| last.rate);
    let highest = highest(&[values.as_slice(), &[last]].concat())?;
    let top = nice(highest.rows);
    let seconds = (end - begin) / 1000.0;
    let has_pauses = values.iter().any(Option::is_none);
    Some(Chart {
        lines: lines(&values, top),
        most: short(t.0, top),
        half: short(t.0, top / 2.0),
        middle: took(t.0, seconds / 2.0),
        end: took(t.0, seconds),
        told: told(t, seconds, &values, has_pauses),
        highest: told_rate(t, highest),
        last: last.map(|last| told_rate(t, last)).unwrap_or_default(),
        is_live,
        has_pauses,
        list: list(t, &rates(&stretches, (begin, end), TOLD), seconds),
    })
}

/// What was copied, without what lies before the first row, and behind the last one of a migration that is over.
fn copied(points: &[Point], is_live: bool) -> Vec<Stretch> {
    let mut stretches: Vec<_> = points
        .windows(2)
        .filter_map(|two| match two {
            [one, next] if one.run == next.run && next.at_ms > one.at_ms => Some(stretch(one, next)),
            _ => None,
        })
        .collect();
    let is_moving = |stretch: &Stretch| stretch.rate.rows > 0.0;
    if !is_live {
        let moving = stretches.iter().rposition(is_moving);
        stretches.truncate(moving.map_or(0, |last| last + 1));
    }
    let first = stretches.iter().position(is_moving).unwrap_or(stretches.len());
    stretches.split_off(first)
}

fn stretch(one: &Point, next: &Point) -> Stretch {
    let seconds = (next.at_ms - one.at_ms) as f64 / 1000.0;
    // What is copied once more was taken off before.
    let rate = |from: u64, to: u64| to.saturating_sub(from) as f64 / seconds;
    Stretch {
        from: one.at_ms as f64,
        to: next.at_ms as f64,
        rate: Rate { rows: rate(one.rows, next.rows), bytes: rate(one.bytes, next.bytes) },
    }
}

/// The average rates of as many equal times; none while nobody ran it.
fn rates(stretches: &[Stretch], (begin, end): (f64, f64), count: usize) -> Vec<Option<Rate>> {
    let step = (end - begin) / count as f64;
    let of_one = |at: usize| {
        let from = begin + at as f64 * step;
        let (mut ran, mut sum) = (0.0, Rate::default());
        for stretch in stretches {
            let part = stretch.to.min(from + step) - stretch.from.max(from);
            if part > 0.0 {
                ran += part;
                sum.rows += stretch.rate.rows * part;
                sum.bytes += stretch.rate.bytes * part;
            }
        }
        // Less is what rounding leaves.
        (ran > step / 1e6).then(|| Rate { rows: sum.rows / ran, bytes: sum.bytes / ran })
    };
    (0..count).map(of_one).collect()
}

/// The most rows, and the most bytes, which need not be of the same time: rows differ in size.
fn highest(values: &[Option<Rate>]) -> Option<Rate> {
    let most = |a: Rate, b: Rate| Rate { rows: a.rows.max(b.rows), bytes: a.bytes.max(b.bytes) };
    values.iter().flatten().copied().reduce(most).filter(|highest| highest.rows > 0.0)
}

/// One line for each row of values without a pause.
fn lines(values: &[Option<Rate>], top: f64) -> Vec<Corners> {
    let bottom = TOP + HEIGHT;
    let width = WIDTH / values.len() as f64;
    let numbered: Vec<_> = values.iter().enumerate().collect();
    let runs = numbered.chunk_by(|one, next| one.1.is_some() == next.1.is_some());
    let of_run = |run: &[(usize, &Option<Rate>)]| {
        let known: Vec<_> = run.iter().filter_map(|(at, rate)| Some((*at, rate.as_ref()?.rows))).collect();
        let ((first, begins), (last, ends)) = (*known.first()?, *known.last()?);
        let (left, right) = (first as f64 * width, (last + 1) as f64 * width);
        let middles = known.iter().map(|(at, rows)| ((*at as f64 + 0.5) * width, *rows));
        let mut line = String::new();
        for (x, rows) in std::iter::once((left, begins)).chain(middles).chain([(right, ends)]) {
            let y = TOP + HEIGHT * (1.0 - rows / top);
            // A text takes everything that is written to it.
            let _ = write!(line, "{}{x:.1},{y:.1}", if line.is_empty() { "" } else { " " });
        }
        Some(Corners { area: format!("{left:.1},{bottom} {line} {right:.1},{bottom}"), line })
    };
    runs.filter_map(of_run).collect()
}

fn told(t: Say, seconds: f64, values: &[Option<Rate>], has_pauses: bool) -> String {
    let known = || values.iter().flatten().map(|rate| rate.rows);
    let (least, most) = known().fold((f64::INFINITY, 0.0_f64), |(a, b), rows| (a.min(rows), b.max(rows)));
    let (least, most) = (figures::count(least.round() as u64), figures::count(most.round() as u64));
    let time = took(t.0, seconds);
    let pauses = if has_pauses { t.say(", with pauses", "，中间有暂停") } else { "" };
    match t.0 {
        Lang::En => format!("Rows a second over {time}: from {least} to {most}{pauses}"),
        Lang::Zh => format!("{time}内每秒行数：{least} 到 {most}{pauses}"),
    }
}

/// A rate in rows and in bytes.
fn told_rate(t: Say, rate: Rate) -> String {
    let rows = rate.rows.round() as u64;
    let told = match rows {
        1 => t.say("1 row/s", "1 行/秒").to_owned(),
        _ => t.with("{} rows/s", "{} 行/秒", figures::count(rows)),
    };
    format!("{told}{}{}", t.say(", ", "，"), figures::size(rate.bytes.round() as u64)) + "/s"
}

fn list(t: Say, values: &[Option<Rate>], seconds: f64) -> Vec<(String, String)> {
    let step = seconds / values.len() as f64;
    let line = |(at, value): (usize, &Option<Rate>)| {
        let until = took(t.0, (at + 1) as f64 * step);
        let rate = match value {
            Some(rate) => told_rate(t, *rate),
            None => t.say("paused", "已暂停").to_owned(),
        };
        (t.with("until {}", "截至 {}", until), rate)
    };
    values.iter().enumerate().map(line).collect()
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

    /// A point of a row of 100 bytes each.
    fn point(run: u32, second: i64, rows: u64) -> Point {
        Point { at_ms: 1_000_000 + second * 1000, run, rows, bytes: rows * 100 }
    }

    #[test]
    fn the_line_follows_what_was_recorded() {
        let points =
            [point(1, 0, 0), point(1, 10, 0), point(1, 20, 1_000), point(1, 40, 9_000), point(1, 50, 9_000)];
        let chart = chart(Say(Lang::En), &points, false).unwrap();
        // What lies before the first row and behind the last one is left out.
        assert_eq!((chart.end.as_str(), chart.middle.as_str()), ("30 s", "15 s"));
        assert_eq!((chart.most.as_str(), chart.half.as_str()), ("400", "200"));
        assert_eq!(chart.lines.len(), 1);
        assert!(
            chart.lines[0].line.starts_with("0.0,94.0 ") && chart.lines[0].line.ends_with(" 300.0,16.0"),
            "{chart:?}"
        );
        assert_eq!(chart.told, "Rows a second over 30 s: from 100 to 400");
        assert_eq!(chart.highest, "400 rows/s, 40.0 KB/s");
        assert_eq!(chart.list.len(), TOLD);
        assert_eq!(chart.list[0], ("until 3 s".to_owned(), "100 rows/s, 10.0 KB/s".to_owned()));
    }

    #[test]
    fn a_live_migration_that_stands_still_shows_that() {
        let points = [point(1, 0, 0), point(1, 10, 1_000), point(1, 20, 1_000)];
        let chart = chart(Say(Lang::Zh), &points, true).unwrap();
        assert!(chart.lines[0].line.ends_with(" 300.0,120.0"), "{chart:?}");
        assert_eq!((chart.last.as_str(), chart.end.as_str()), ("0 行/秒，0 B/s", "20 秒"));
    }

    #[test]
    fn the_highest_rate_is_below_none_that_is_told() {
        let at = |second: i64, rows: u64, bytes: u64| Point { bytes, ..point(1, second, rows) };
        // Many small rows, then a few large ones, for a moment at the end.
        let points = [at(0, 0, 0), at(100, 10_000, 1_000_000), at(101, 10_050, 1_500_000)];
        let chart = chart(Say(Lang::En), &points, true).unwrap();
        assert_eq!(chart.last, "50 rows/s, 500.0 KB/s");
        assert_eq!(chart.highest, "100 rows/s, 500.0 KB/s");
    }

    #[test]
    fn a_pause_is_a_gap_and_not_a_rate() {
        let points = [point(1, 0, 0), point(1, 10, 1_000), point(2, 20, 1_000), point(2, 30, 2_000)];
        let chart = chart(Say(Lang::En), &points, false).unwrap();
        assert_eq!(chart.lines.len(), 2, "{chart:?}");
        assert!(chart.lines[0].line.ends_with(" 100.0,16.0"), "{chart:?}");
        assert!(chart.lines[1].line.starts_with("200.0,"), "{chart:?}");
        assert_eq!(chart.told, "Rows a second over 30 s: from 100 to 100, with pauses");
        assert!(chart.list.iter().any(|(_, rate)| rate == "paused"), "{chart:?}");
    }

    #[test]
    fn what_is_copied_once_more_is_no_negative_rate() {
        let points = [point(1, 0, 0), point(1, 10, 1_000), point(1, 20, 0), point(1, 30, 1_000)];
        let chart = chart(Say(Lang::En), &points, false).unwrap();
        assert_eq!(chart.told, "Rows a second over 30 s: from 0 to 100");
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        for points in [
            &[][..],
            &[point(1, 0, 0)],
            &[point(1, 0, 0), point(1, 9, 0)],
            &[point(1, 0, 0), point(1, 1, 10)],
            &[point(1, 0, 0), point(2, 9, 10)],
        ] {
            assert!(chart(Say(Lang::En), points, true).is_none(), "{points:?}");
        }
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
