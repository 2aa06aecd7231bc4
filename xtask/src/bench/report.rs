//! The figures, and what they are worth.

use std::fmt;

use clap::ValueEnum;
use serde::Serialize;

use super::machine::Machine;
use super::meter::Leg;

/// Most time without verification, in times of the tuned script.
const TUNED_MAX: f64 = 0.63;
/// Most time with verification by a sample, which is the default, in times of that without.
const SAMPLE_MAX: f64 = 1.25;
/// Most time with verification of every row, in times of that without.
const FULL_MAX: f64 = 1.6;
/// Most time, in floors with flush.
const FLOORS_MAX: f64 = 1.2;
/// Most CPU of the client for 10^9 bytes, beside what a run costs without rows.
const CPU_SECONDS_PER_GB_MAX: f64 = 1.0;
/// Most memory of the client, however it verifies.
const PEAK_MIB_MAX: f64 = 128.0;
/// Most time waited for the store, in parts of the run.
const LEDGER_SHARE_MAX: f64 = 0.03;
/// Most commits of the store a page, beside those of a run without rows.
const COMMITS_PER_PAGE_MAX: f64 = 2.0;
/// How far the expected time of the copy may be off.
const ESTIMATE_OFF_MAX: f64 = 0.3;
/// Share of the cores used by others from which on a run counts as disturbed.
const DISTURBED_SHARE: f64 = 0.1;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Row {
    /// pymilvus, `query_iterator` and `insert`.
    Script,
    /// Raw messages in several processes: what a good engineer writes in an hour.
    Tuned,
    /// The source alone.
    #[value(name = "read")]
    ReadOnly,
    /// The target alone.
    #[value(name = "write")]
    WriteOnly,
    /// `vecferry migrate --verify none`.
    None,
    /// `vecferry migrate`, which verifies a sample.
    Sample,
    /// `vecferry migrate --verify full`.
    Full,
    /// `--verify none` with the program that it is compared with.
    #[value(skip)]
    AgainstNone,
    /// The default with that program.
    #[value(skip)]
    AgainstSample,
    /// `--verify full` with that program.
    #[value(skip)]
    AgainstFull,
    /// `--verify none`, over a collection without rows.
    Empty,
}

impl Row {
    /// Those that take turns, in this order.
    pub(crate) const IN_TURN: [Self; 8] = [
        Self::Tuned,
        Self::AgainstNone,
        Self::None,
        Self::AgainstSample,
        Self::Sample,
        Self::AgainstFull,
        Self::Full,
        Self::Empty,
    ];

    /// How it is called.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Script => "usual script",
            Self::Tuned => "tuned script",
            Self::ReadOnly => "read only",
            Self::WriteOnly => "write only",
            Self::None => "Vecferry, none",
            Self::Sample => "Vecferry, sample",
            Self::Full => "Vecferry, full",
            Self::AgainstNone => "against, none",
            Self::AgainstSample => "against, sample",
            Self::AgainstFull => "against, full",
            Self::Empty => "Vecferry, no rows",
        }
    }

    /// How Vecferry verifies here, and whether it is the program that is compared with; none where it is not Vecferry.
    pub(crate) fn level(self) -> Option<(&'static str, bool)> {
        match self {
            Self::None | Self::Empty => Some(("none", false)),
            Self::Sample => Some(("sample", false)),
            Self::Full => Some(("full", false)),
            Self::AgainstNone => Some(("none", true)),
            Self::AgainstSample => Some(("sample", true)),
            Self::AgainstFull => Some(("full", true)),
            Self::Script | Self::Tuned | Self::ReadOnly | Self::WriteOnly => None,
        }
    }
}

/// What was copied, and every run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Subject {
    /// Rows.
    pub(crate) rows: u64,
    /// Their bytes on the wire.
    pub(crate) bytes: u64,
    /// Dimension of the vectors.
    pub(crate) dim: usize,
    /// Version of the client that the scripts use; none where they were left out.
    pub(crate) pymilvus: Option<String>,
    /// The runs of each leg.
    pub(crate) legs: Vec<(Row, Vec<Leg>)>,
}

/// All that is known in the end.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    machine: Machine,
    subject: Subject,
    medians: Vec<Line>,
    aims: Vec<Aim>,
    /// Rate without verification, in rates of the usual script.
    script_rates: Option<f64>,
    /// Time in floors with flush, where the flush's own CPU is not in the floor too.
    strict_floors: Option<f64>,
    /// Time in floors with flush, less that of a job without rows: checks and preparations take the same for any job.
    net_floors: Option<f64>,
}

/// Medians of a leg.
#[derive(Clone, Debug, Serialize)]
struct Line {
    leg: Row,
    runs: usize,
    seconds: f64,
    /// Time in times of the tuned script; none where either was left out or does not move the rows.
    times_tuned: Option<f64>,
    flush_seconds: Option<f64>,
    rows_per_second: Option<f64>,
    megabytes_per_second: Option<f64>,
    client_cpu_seconds: f64,
    source_cpu_seconds: f64,
    target_cpu_seconds: f64,
    other_cpu_seconds: f64,
    /// Beside what a run costs without rows; only of Vecferry.
    client_cpu_seconds_per_gigabyte: Option<f64>,
    /// The largest of all runs.
    peak_mebibytes: Option<f64>,
    /// Runs that others disturbed, or that began while the servers still worked.
    disturbed_runs: usize,
}

/// Something to reach.
#[derive(Clone, Debug, Serialize)]
struct Aim {
    aim: String,
    /// None where a leg was left out.
    figure: Option<f64>,
    met: Option<bool>,
}

impl Report {
    /// Judges the runs.
    pub(crate) fn new(machine: Machine, subject: Subject) -> Self {
        let empty_cpu = subject.median(Row::Empty, |leg| Some(leg.client_cpu_seconds)).unwrap_or_default();
        let medians: Vec<_> = subject
            .legs
            .iter()
            .map(|(row, legs)| Line::new(*row, legs, &subject, &machine, empty_cpu))
            .collect();
        let aims = aims(&medians, &subject, &machine);
        let strict = |leg: &Leg| Some(leg.seconds / leg.strict_floor_and_flush(machine.cores)?);
        let strict_floors = subject.median(Row::None, strict);
        let fixed = subject.median(Row::Empty, |leg| Some(leg.seconds)).unwrap_or_default();
        let net = |leg: &Leg| Some((leg.seconds - fixed) / leg.floor_and_flush(machine.cores)?);
        let net_floors = subject.median(Row::None, net);
        let script = subject.median(Row::Script, |leg| Some(leg.seconds));
        let own = subject.median(Row::None, |leg| Some(leg.seconds));
        let script_rates = script.zip(own).map(|(script, own)| script / own);
        Self { machine, subject, medians, aims, script_rates, strict_floors, net_floors }
    }
}

impl Subject {
    /// The median of a figure over a leg's runs.
    fn median(&self, row: Row, figure: impl Fn(&Leg) -> Option<f64>) -> Option<f64> {
        let (_, legs) = self.legs.iter().find(|(other, _)| *other == row)?;
        median(legs, figure)
    }
}

/// The median of a figure over some runs.
pub(crate) fn median(legs: &[Leg], figure: impl Fn(&Leg) -> Option<f64>) -> Option<f64> {
    median_of(legs.iter().filter_map(figure).collect())
}

/// The median of some figures.
pub(crate) fn median_of(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    let upper = *figures.get(figures.len() / 2)?;
    let lower = *figures.get(figures.len().saturating_sub(1) / 2)?;
    Some(f64::midpoint(lower, upper))
}

impl Line {
    fn new(row: Row, legs: &[Leg], subject: &Subject, machine: &Machine, empty_cpu: f64) -> Self {
        let of = |figure: fn(&Leg) -> f64| median(legs, |leg| Some(figure(leg))).unwrap_or_default();
        let (seconds, client) = (of(|leg| leg.seconds), of(|leg| leg.client_cpu_seconds));
        let (rows, bytes) = (subject.rows as f64, subject.bytes as f64);
        let (moves_rows, is_vecferry) = (row != Row::Empty, row.level().is_some());
        let is_a_copy = moves_rows && row != Row::ReadOnly && row != Row::WriteOnly;
        let tuned = subject.median(Row::Tuned, |leg| Some(leg.seconds)).filter(|_| is_a_copy);
        Self {
            leg: row,
            runs: legs.len(),
            seconds,
            times_tuned: tuned.map(|tuned| seconds / tuned),
            flush_seconds: median(legs, |leg| leg.flush_seconds),
            rows_per_second: moves_rows.then_some(rows / seconds),
            megabytes_per_second: moves_rows.then_some(bytes / 1e6 / seconds),
            client_cpu_seconds: client,
            source_cpu_seconds: of(|leg| leg.source_cpu_seconds),
            target_cpu_seconds: of(|leg| leg.target_cpu_seconds),
            other_cpu_seconds: of(|leg| leg.other_cpu_seconds + leg.stolen_cpu_seconds),
            client_cpu_seconds_per_gigabyte: (moves_rows && is_vecferry)
                .then_some((client - empty_cpu) / (bytes / 1e9)),
            peak_mebibytes: legs
                .iter()
                .filter_map(|leg| leg.peak_bytes)
                .max()
                .map(|bytes| bytes as f64 / f64::from(1 << 20)),
            disturbed_runs: legs.iter().filter(|leg| leg.is_disturbed(machine.cores)).count(),
        }
    }
}

impl Leg {
    /// Whether others used much of the machine, or the servers were still busy at the start.
    pub(super) fn is_disturbed(&self, cores: usize) -> bool {
        let others = self.other_cpu_seconds + self.stolen_cpu_seconds;
        !self.started_idle || others > DISTURBED_SHARE * self.seconds * cores as f64
    }

    /// The least time that these cores need for what the servers did, with the flush, which is waiting.
    ///
    /// What the servers work during the flush is in both terms.
    fn floor_and_flush(&self, cores: usize) -> Option<f64> {
        Some((self.source_cpu_seconds + self.target_cpu_seconds) / cores as f64 + self.flush_seconds?)
    }
}

impl Leg {
    /// The same with the CPU only until the flush began, so that nothing is counted twice.
    fn strict_floor_and_flush(&self, cores: usize) -> Option<f64> {
        Some(self.servers_cpu_before_flush_seconds? / cores as f64 + self.flush_seconds?)
    }
}

fn aims(medians: &[Line], subject: &Subject, machine: &Machine) -> Vec<Aim> {
    let line = |row: Row| medians.iter().find(|line| line.leg == row);
    let vecferry = line(Row::None);
    let times = |row: Row, of: Row| Some(line(row)?.seconds / line(of)?.seconds);
    let peak = |row: Row| line(row).and_then(|line| line.peak_mebibytes);
    let peaks = [Row::None, Row::Sample, Row::Full].into_iter().filter_map(peak);
    let floors = subject.median(Row::None, |leg| Some(leg.seconds / leg.floor_and_flush(machine.cores)?));
    let at_most = |aim: String, figure: Option<f64>, most: f64| Aim {
        aim,
        figure,
        met: figure.map(|figure| figure <= most),
    };
    let estimate = subject.median(Row::None, |leg| {
        Some(leg.estimated_seconds? / leg.copy_seconds.filter(|seconds| *seconds > 0.0)?)
    });
    vec![
        at_most(
            format!("time without verification in times of the tuned script, at most {TUNED_MAX}"),
            times(Row::None, Row::Tuned),
            TUNED_MAX,
        ),
        at_most(
            format!("time with the default verification in times of that without, at most {SAMPLE_MAX}"),
            times(Row::Sample, Row::None),
            SAMPLE_MAX,
        ),
        at_most(
            format!("time with every row verified in times of that without, at most {FULL_MAX}"),
            times(Row::Full, Row::None),
            FULL_MAX,
        ),
        at_most(format!("time in floors with flush, at most {FLOORS_MAX}"), floors, FLOORS_MAX),
        at_most(
            format!("CPU seconds of the client per GB, net, at most {CPU_SECONDS_PER_GB_MAX}"),
            vecferry.and_then(|line| line.client_cpu_seconds_per_gigabyte),
            CPU_SECONDS_PER_GB_MAX,
        ),
        at_most(
            format!("peak memory of the client in MiB, at most {PEAK_MIB_MAX}"),
            peaks.max_by(f64::total_cmp),
            PEAK_MIB_MAX,
        ),
        at_most(
            format!("waits for the store in parts of the time, at most {LEDGER_SHARE_MAX}"),
            subject.median(Row::None, |leg| Some(leg.ledger_busy_seconds? / leg.seconds)),
            LEDGER_SHARE_MAX,
        ),
        at_most(
            format!("commits of the store a page, net, at most {COMMITS_PER_PAGE_MAX}"),
            commits_per_page(subject),
            COMMITS_PER_PAGE_MAX,
        ),
        Aim {
            aim: format!(
                "expected time of the copy in times of the real one, within {ESTIMATE_OFF_MAX} of 1"
            ),
            figure: estimate,
            met: estimate.map(|figure| (figure - 1.0).abs() <= ESTIMATE_OFF_MAX),
        },
    ]
}

/// Every commit is one fsync. A run without rows makes some as well: for the job, its collection, its steps.
fn commits_per_page(subject: &Subject) -> Option<f64> {
    let without_rows = subject.median(Row::Empty, |leg| Some(leg.ledger_commits? as f64)).unwrap_or_default();
    subject.median(Row::None, |leg| {
        Some(
            (leg.ledger_commits? as f64 - without_rows).max(0.0)
                / leg.pages.filter(|pages| *pages > 0)? as f64,
        )
    })
}

/// A figure with some digits behind the point, or a dash.
pub(super) struct Shown(pub(super) Option<f64>, pub(super) usize);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(figure) => f.pad(&format!("{figure:.*}", self.1)),
            None => f.pad("-"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Subject { rows, bytes, dim, pymilvus, .. } = &self.subject;
        writeln!(f, "\n{}", self.machine)?;
        let megabytes = *bytes as f64 / 1e6;
        write!(f, "{rows} rows, dimension {dim}, {megabytes:.1} MB on the wire; medians")?;
        match pymilvus {
            Some(version) => writeln!(f, "; scripts with pymilvus {version}\n")?,
            None => writeln!(f, "\n")?,
        }
        writeln!(
            f,
            "| leg                | runs | seconds | x tuned | flush s |  rows/s |  MB/s | CPU s client | source | target | others \
             | client CPU s/GB net | peak MiB |\n\
             |--------------------|-----:|--------:|--------:|--------:|--------:|------:|-------------:|-------:|-------:|-------:\
             |--------------------:|---------:|"
        )?;
        for line in &self.medians {
            writeln!(
                f,
                "| {:<18} | {:>4} | {:>7.2} | {:>7} | {:>7} | {:>7} | {:>5} | {:>12.2} | {:>6.2} | {:>6.2} | {:>6.2} | {:>19} | {:>8} |",
                line.leg.title(),
                line.runs,
                line.seconds,
                Shown(line.times_tuned, 2),
                Shown(line.flush_seconds, 2),
                Shown(line.rows_per_second, 0),
                Shown(line.megabytes_per_second, 1),
                line.client_cpu_seconds,
                line.source_cpu_seconds,
                line.target_cpu_seconds,
                line.other_cpu_seconds,
                Shown(line.client_cpu_seconds_per_gigabyte, 2),
                Shown(line.peak_mebibytes, 1),
            )?;
        }
        writeln!(f)?;
        let disturbed: Vec<_> = self
            .medians
            .iter()
            .filter(|line| line.disturbed_runs > 0)
            .map(|line| format!("{} ({} of {})", line.leg.title(), line.disturbed_runs, line.runs))
            .collect();
        if !disturbed.is_empty() {
            writeln!(
                f,
                "Disturbed runs, because others used more than a tenth of the cores or the servers were not idle \
                 at the start: {}\n",
                disturbed.join(", ")
            )?;
        }
        for aim in &self.aims {
            let verdict = match aim.met {
                Some(true) => "met",
                Some(false) => "missed",
                None => "not measured",
            };
            writeln!(f, "{verdict:<12}  {}: {}", aim.aim, Shown(aim.figure, 2))?;
        }
        let rates = Shown(self.script_rates, 2);
        writeln!(f, "for information: rate without verification in rates of the usual script: {rates}")?;
        let strict = Shown(self.strict_floors, 2);
        writeln!(
            f,
            "for information: time in floors with flush, the flush's CPU not counted twice: {strict}"
        )?;
        let net = Shown(self.net_floors, 2);
        writeln!(f, "for information: the same, less the time of a job without rows: {net}")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leg(seconds: f64, cpu: f64) -> Leg {
        Leg {
            seconds,
            flush_seconds: Some(1.0),
            client_cpu_seconds: cpu,
            source_cpu_seconds: 4.0,
            target_cpu_seconds: 12.0,
            copy_seconds: Some(seconds * 0.8),
            estimated_seconds: Some(seconds),
            ledger_busy_seconds: Some(seconds / 100.0),
            ledger_commits: Some(if cpu < 0.2 { 10 } else { 90 }),
            pages: Some(50),
            peak_bytes: Some(64 << 20),
            started_idle: true,
            ..Leg::default()
        }
    }

    fn report(with_tuned: bool) -> Report {
        let machine = Machine { cores: 2, memory_bytes: 8 << 30, cpu: "a CPU".into(), kernel: "6".into() };
        let mut legs = vec![
            (Row::None, vec![leg(30.0, 3.0), leg(9.0, 0.9), leg(9.9, 1.0)]),
            (Row::Sample, vec![leg(10.89, 1.1)]),
            (Row::Full, vec![leg(14.85, 1.2)]),
            (Row::Empty, vec![leg(0.5, 0.1)]),
        ];
        if with_tuned {
            legs.push((Row::Tuned, vec![leg(19.8, 3.0)]));
        }
        Report::new(machine, Subject { rows: 1000, bytes: 1_000_000_000, dim: 8, pymilvus: None, legs })
    }

    #[test]
    fn medians_are_of_the_middle() {
        assert_eq!(
            median(&[leg(3.0, 0.0), leg(1.0, 0.0), leg(2.0, 0.0)], |leg| Some(leg.seconds)),
            Some(2.0)
        );
        assert_eq!(median(&[leg(3.0, 0.0), leg(1.0, 0.0)], |leg| Some(leg.seconds)), Some(2.0));
        assert_eq!(median(&[], |leg| Some(leg.seconds)), None);
    }

    #[test]
    fn aims_are_judged_by_the_medians() {
        let report = report(true);
        let figures: Vec<_> = report.aims.iter().filter_map(|aim| aim.figure).collect();
        let expected = [0.5, 1.1, 1.5, 9.9 / 9.0, 0.9, 64.0, 0.01, 1.6, 1.25];
        assert_eq!(figures.len(), expected.len());
        for (figure, expected) in figures.iter().zip(expected) {
            assert!((figure - expected).abs() < 1e-9, "{figure} is not {expected}");
        }
        assert!(report.aims.iter().all(|aim| aim.met == Some(true)));
        let times: Vec<_> = report.medians.iter().map(|line| line.times_tuned).collect();
        assert_eq!(times, [Some(0.5), Some(10.89 / 19.8), Some(14.85 / 19.8), None, Some(1.0)]);
    }

    #[test]
    fn what_was_left_out_is_neither_met_nor_missed() {
        let report = report(false);
        assert_eq!(report.aims[0].met, None);
        assert!(report.to_string().contains("not measured"));
    }
}
