//! A report as one HTML page: no script, nothing from elsewhere, readable from a file, on paper and on a phone.
//!
//! The page is `templates/report.html`, its looks are `templates/report.css`. This module only decides what is said;
//! every text is escaped by the template.

mod texts;

use std::cmp::Reverse;

use askama::Template;
use vecferry_migrate::event::Phase;
use vecferry_migrate::report::{CollectionReport, JobKind, PartitionReport, RoundReport, Verification};
use vecferry_migrate::{Change, JobState, Report, VerifyLevel};
use vecferry_words::{Code, Exit, Lang, Problem};

use crate::rbac::RbacText;
use crate::{acts, columns, figures, labels, phrases, typed};
use texts::Labels;

/// Collections that a chart shows one by one.
const CHART_BARS_MAX: usize = 20;
/// Partitions of all collections that are shown one by one, and bounds for each collection; the JSON report holds all.
const PARTITIONS_SHOWN: usize = 2000;
const PARTITIONS_MIN: usize = 3;
const PARTITIONS_MAX: usize = 64;
/// Columns of a name beside a bar; the whole name is its title.
const BAR_NAME_MAX: usize = 34;
/// Detail blocks that are printed open; of more, only those that a person opened.
const PRINTED_OPEN_MAX: usize = 10;
/// Height of a chart's bar with its label, in pixels.
const BAR_HEIGHT: usize = 38;

/// The page of a report. `record` is the options that say where jobs are recorded, with a space in front, for the commands
/// on the page.
pub fn html(report: &Report, lang: Lang, record: Option<&str>) -> String {
    // Only a text that can't be formatted could fail, and there is none; if ever, a page that says so is better than
    // no page.
    let page = Page::new(report, lang, record).render().unwrap_or_else(|error| error.to_string());
    // Names and messages are others': none of them turns what stands around it.
    let harmless = |character| {
        if acts(character) && !character.is_whitespace() { '\u{fffd}' } else { character }
    };
    page.chars().map(harmless).collect()
}

/// How a job came out, as the head of the page says it.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The name of its color: `good`, `caution` or `bad`.
    pub tone: &'static str,
    /// A sign that says the same as the color.
    pub sign: &'static str,
    /// What it means for somebody who has read nothing else, sentence by sentence.
    pub meaning: Vec<String>,
    /// How it was verified.
    pub proof: &'static str,
    /// The proof that was asked for, where it is another.
    pub asked_for: Option<&'static str>,
}

impl Verdict {
    /// Of a report.
    pub fn of(report: &Report, lang: Lang) -> Self {
        let t = Labels::of(lang);
        let tone = tone(report);
        let done = report.collections.iter().filter(|collection| collection.phase == Phase::Done).count();
        let proof =
            if report.exit() == Exit::Different { t.proof_refuted } else { proof_name(t, report.verified) };
        Self {
            tone: tone.class(),
            sign: tone.sign(),
            meaning: meaning(lang, report, done),
            proof,
            asked_for: (report.verified != report.verify).then(|| proof_name(t, report.verify)),
        }
    }
}

#[derive(Template)]
#[template(path = "report.html", whitespace = "minimize")]
struct Page {
    t: &'static Labels,
    job_id: String,
    version: String,
    seed: Option<u64>,
    verdict: Verdict,
    state: &'static str,
    clusters: [Cluster; 2],
    started: Moment,
    ended: Moment,
    duration: String,
    /// What the copy waited for.
    waits: Option<String>,
    max_rate: Option<String>,
    resource_groups: Option<String>,
    done: String,
    total: String,
    rows: String,
    row_rate: String,
    size: String,
    byte_rate: String,
    problems_title: &'static str,
    problems: Vec<Trouble>,
    warnings: Vec<Trouble>,
    steps: Vec<Step>,
    rounds: Vec<Round>,
    charts: Vec<Chart>,
    rbac: Option<Rbac>,
    collections: Vec<Collection>,
    total_label: String,
    printed_open: bool,
}

/// What a color stands for; there is always a word or a sign beside it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tone {
    Bad,
    Caution,
    Good,
}

impl Tone {
    fn class(self) -> &'static str {
        match self {
            Self::Bad => "bad",
            Self::Caution => "caution",
            Self::Good => "good",
        }
    }

    fn sign(self) -> &'static str {
        match self {
            Self::Bad => "✕",
            Self::Caution => "!",
            Self::Good => "✓",
        }
    }
}

struct Cluster {
    label: &'static str,
    address: String,
    version: String,
}

struct Moment {
    machine: String,
    shown: String,
}

struct Trouble {
    code: String,
    what: Vec<Span>,
    hint: Vec<Span>,
}

/// A piece of a sentence: what stands between backticks is set as code.
struct Span {
    code: bool,
    text: String,
}

struct Step {
    text: Vec<Span>,
    command: Option<String>,
    note: Option<&'static str>,
}

/// A round of a job that copies while its source may change.
struct Round {
    number: u64,
    kind: &'static str,
    state: &'static str,
    started: Moment,
    time: String,
    rows: String,
    size: String,
    /// What it found, and the downtime window that it was.
    more: Vec<String>,
}

impl Round {
    fn new(t: &Labels, lang: Lang, round: &RoundReport) -> Self {
        let window =
            round.window_seconds.map(|time| format!("{}{}{}", t.window, t.colon, figures::seconds(time)));
        Self {
            number: round.number,
            kind: labels::round_kind(lang, round.kind),
            state: labels::round_state(lang, round.state),
            started: moment(&round.started_at),
            time: figures::seconds(round.seconds),
            rows: figures::count(round.rows),
            size: figures::size(round.bytes),
            more: phrases::round_found(lang, round).into_iter().chain(window).collect(),
        }
    }
}

/// Roles and users.
struct Rbac {
    title: &'static str,
    numbers: String,
    passwords: Option<String>,
    lists: Vec<(&'static str, Vec<String>)>,
}

struct Chart {
    id: &'static str,
    title: &'static str,
    /// What solid and what light bars mean, where there are both.
    legend: Option<[&'static str; 2]>,
    note: Option<&'static str>,
    height: usize,
    bars: Vec<Bar>,
}

struct Bar {
    name: String,
    label: String,
    value: String,
    label_y: usize,
    bar_y: usize,
    /// Widths in percent.
    solid: String,
    light: Option<String>,
}

struct Collection {
    index: usize,
    tone: Tone,
    name: String,
    destination: Option<String>,
    /// Where it ended, if not at the end.
    step: Option<&'static str>,
    verification: String,
    rows: String,
    size: String,
    time: String,
    copy_time: String,
    byte_rate: String,
    indexes_built: String,
    indexes_open: bool,
    aliases: String,
    load_state: &'static str,
    proof: Option<Proof>,
    /// What the last round found to differ.
    found: Option<String>,
    partitions: Vec<Partition>,
    more_partitions: Option<Partition>,
    changes: Vec<Change>,
    indexes: Vec<Index>,
}

struct Proof {
    level: &'static str,
    passed: bool,
    source_rows: String,
    target_rows: String,
    counts_compared: String,
    rows_compared: String,
    duplicate_rows: Option<String>,
}

struct Partition {
    name: Option<String>,
    read: String,
    written: String,
    equal: bool,
}

struct Index {
    field: String,
    kind: String,
    metric: String,
    built: String,
}

impl Page {
    fn new(report: &Report, lang: Lang, record: Option<&str>) -> Self {
        let t = Labels::of(lang);
        let cluster = |label, cluster: &vecferry_migrate::Cluster| Cluster {
            label,
            address: clean(&cluster.address),
            version: clean(&cluster.version),
        };
        let done = report.collections.iter().filter(|collection| collection.phase == Phase::Done).count();
        let mut collections: Vec<_> = report
            .collections
            .iter()
            .enumerate()
            .map(|(index, collection)| Collection::new(t, lang, report, index, collection))
            .collect();
        // What needs somebody's attention comes first; the rest stays in the order of the job.
        collections.sort_by_key(|collection| collection.tone);
        let canceled = report.state == JobState::Canceled;
        Self {
            t,
            job_id: clean(report.job_id.as_str()),
            version: clean(&report.vecferry_version),
            seed: (report.verify == VerifyLevel::Sample).then_some(report.sample_seed),
            verdict: Verdict::of(report, lang),
            state: labels::state(lang, report.state),
            clusters: [cluster(t.source, &report.source), cluster(t.target, &report.target)],
            started: moment(&report.started_at),
            ended: moment(&report.ended_at),
            duration: format!(
                "{}{}",
                figures::seconds(report.seconds),
                labels::in_attempts(lang, report.attempts)
            ),
            waits: report.pace.as_ref().and_then(|pace| phrases::wait_shares(lang, pace)),
            max_rate: report.pace.as_ref().and_then(|pace| pace.max_rate.as_deref().map(clean)),
            resource_groups: phrases::resource_groups(lang, report.resource_groups.as_deref())
                .map(|names| clean(&names)),
            done: figures::count(done as u64),
            total: figures::count(report.collections.len() as u64),
            rows: figures::count(report.rows()),
            row_rate: figures::count(figures::per_second(report.rows(), report.seconds)),
            size: figures::size(report.bytes()),
            byte_rate: figures::byte_rate(report.bytes(), report.seconds),
            problems_title: if canceled { t.stopped } else { t.problems },
            problems: troubles(lang, &report.problems),
            warnings: troubles(lang, &report.warnings),
            steps: steps(t, lang, report, done, record),
            rounds: report.rounds.iter().map(|round| Round::new(t, lang, round)).collect(),
            charts: charts(t, lang, report),
            rbac: report.rbac.as_ref().map(|rbac| {
                let RbacText { numbers, passwords, lists } = RbacText::of_report(lang, rbac);
                Rbac { title: labels::rbac(lang), numbers, passwords, lists }
            }),
            printed_open: collections.len() <= PRINTED_OPEN_MAX,
            collections,
            total_label: labels::some_collections(lang, report.collections.len()),
        }
    }
}

impl Collection {
    fn new(t: &Labels, lang: Lang, report: &Report, index: usize, collection: &CollectionReport) -> Self {
        let built = collection.indexes.iter().filter(|index| index.built_rows >= index.total_rows).count();
        let total = collection.indexes.len();
        let max = PARTITIONS_SHOWN / report.collections.len().max(1);
        let max = max.clamp(PARTITIONS_MIN, PARTITIONS_MAX);
        let (partitions, more_partitions) = partitions(lang, &collection.partitions, max);
        Self {
            index,
            tone: collection_tone(report, collection),
            name: clean(&collection.source_name().to_string()),
            destination: (collection.source_db != collection.target_db)
                .then(|| clean(&collection.target_name().to_string())),
            step: (collection.phase != Phase::Done).then(|| labels::phase(lang, collection.phase)),
            verification: clean(&phrases::verification(lang, report, collection)),
            rows: figures::count(collection.rows),
            size: figures::size(collection.bytes),
            time: figures::seconds(collection.seconds),
            copy_time: figures::seconds(collection.copy_seconds),
            byte_rate: match collection.bytes {
                0 => t.none.to_owned(),
                bytes => figures::byte_rate(bytes, collection.copy_seconds),
            },
            indexes_built: if total == 0 { t.none.to_owned() } else { format!("{built} / {total}") },
            indexes_open: built < total,
            aliases: clean(&collection.aliases.join(t.comma)),
            load_state: match (collection.created, collection.loaded) {
                (_, true) => t.loaded,
                (true, false) => t.not_loaded,
                // A comparison makes nothing; a migration that made nothing says so.
                (false, false) if collection.phase == Phase::Done => t.not_loaded,
                (false, false) => t.not_there,
            },
            proof: collection.verification.as_ref().map(Proof::new),
            found: phrases::collection_found(lang, report, collection),
            partitions,
            more_partitions,
            changes: collection
                .changes
                .iter()
                .map(|change| {
                    let [what, source, target] = change.texts(lang).map(|text| clean(&text));
                    Change { what, source, target }
                })
                .collect(),
            indexes: collection
                .indexes
                .iter()
                .map(|index| Index {
                    field: clean(&index.field),
                    kind: clean(&index.index_type),
                    metric: clean(&index.metric_type),
                    built: labels::index_state(lang, index),
                })
                .collect(),
        }
    }
}

impl Proof {
    fn new(proof: &Verification) -> Self {
        Self {
            level: labels::level(proof.level),
            passed: proof.passed,
            source_rows: figures::count(proof.source_rows),
            target_rows: figures::count(proof.target_rows),
            counts_compared: figures::count(proof.counts_compared),
            rows_compared: figures::count(proof.rows_compared),
            duplicate_rows: (proof.duplicate_rows > 0).then(|| figures::count(proof.duplicate_rows)),
        }
    }
}

/// A text of somebody else's, without what would act on the page or turn its direction. Escaping is the template's.
fn clean(text: &str) -> String {
    let acts = |c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}')
    };
    text.chars().map(|c| if acts(c) { '\u{fffd}' } else { c }).collect()
}

/// `2026-07-28 23:10:05 UTC` of an RFC 3339 time; any other text as it is.
fn moment(time: &str) -> Moment {
    let machine = clean(time);
    let shown = machine.strip_suffix('Z').and_then(|time| time.split_once('T')).map(|(date, clock)| {
        let clock = clock.split_once('.').map_or(clock, |(seconds, _)| seconds);
        format!("{date} {clock} UTC")
    });
    Moment { shown: shown.unwrap_or_else(|| machine.clone()), machine }
}

fn spans(sentence: &str) -> Vec<Span> {
    let pieces = clean(sentence);
    let pieces = pieces.split('`').enumerate();
    pieces
        .filter(|(_, text)| !text.is_empty())
        .map(|(number, text)| Span { code: number % 2 == 1, text: text.to_owned() })
        .collect()
}

fn troubles(lang: Lang, problems: &[Problem]) -> Vec<Trouble> {
    let trouble = |problem: &Problem| Trouble {
        code: problem.code.to_string(),
        what: spans(&problem.what(lang)),
        hint: spans(&problem.hint(lang)),
    };
    problems.iter().map(trouble).collect()
}

fn proof_name(t: &Labels, level: VerifyLevel) -> &'static str {
    match level {
        VerifyLevel::None => t.proof_none,
        VerifyLevel::Count => t.proof_count,
        VerifyLevel::Sample => t.proof_sample,
        VerifyLevel::Full => t.proof_full,
    }
}

fn has_drifted(report: &Report) -> bool {
    report.warnings.iter().any(|warning| warning.code == Code::Drift)
}

fn tone(report: &Report) -> Tone {
    match report.state {
        JobState::Failed => Tone::Bad,
        JobState::Pending
        | JobState::InProgress
        | JobState::Canceling
        | JobState::Ready
        | JobState::Canceled => Tone::Caution,
        JobState::Successful if report.verified == VerifyLevel::None || has_drifted(report) => Tone::Caution,
        JobState::Successful => Tone::Good,
    }
}

fn collection_tone(report: &Report, collection: &CollectionReport) -> Tone {
    let refuted = collection.verification.as_ref().is_some_and(|proof| !proof.passed);
    match collection.phase {
        Phase::Failed => Tone::Bad,
        Phase::Done if refuted => Tone::Bad,
        // Nobody knows yet whether it is equal.
        Phase::Done if report.state == JobState::Ready => Tone::Caution,
        Phase::Done => Tone::Good,
        Phase::Waiting
        | Phase::LoadingSource
        | Phase::Creating
        | Phase::Copying
        | Phase::Flushing
        | Phase::Indexing
        | Phase::Verifying
        | Phase::Canceled => Tone::Caution,
    }
}

/// What the state means for somebody who has read nothing else, sentence by sentence.
fn meaning(lang: Lang, report: &Report, done: usize) -> Vec<String> {
    let proofs = || report.collections.iter().filter_map(|collection| collection.verification.as_ref());
    let complete = || texts::complete_of(lang, done, report.collections.len());
    match report.state {
        JobState::Successful if report.verified == VerifyLevel::None => vec![texts::unproved(lang)],
        JobState::Successful if has_drifted(report) => vec![complete(), texts::drifted(lang)],
        JobState::Successful => {
            let duplicates: u64 = proofs().map(|proof| proof.duplicate_rows).sum();
            let compared: u64 = proofs().map(|proof| proof.rows_compared).sum();
            let compared = (compared > 0).then(|| figures::count(compared));
            vec![match duplicates {
                0 => texts::arrived(lang, compared.as_deref()),
                rows => texts::one_row_a_key(lang, &figures::count(rows)),
            }]
        }
        JobState::Failed if report.exit() == Exit::Different => {
            let bad = report
                .collections
                .iter()
                .filter(|collection| collection_tone(report, collection) == Tone::Bad);
            vec![texts::different(lang, bad.count(), report.collections.len())]
        }
        JobState::Pending | JobState::InProgress | JobState::Canceling | JobState::Failed => {
            vec![texts::broken(lang), complete()]
        }
        JobState::Ready => std::iter::once(texts::ready(lang)).chain(phrases::apart(lang, report)).collect(),
        JobState::Canceled => vec![texts::canceled(lang), complete()],
    }
}

/// What a person does next.
fn steps(t: &Labels, lang: Lang, report: &Report, done: usize, record: Option<&str>) -> Vec<Step> {
    let say = |text: &str| Step { text: spans(&typed::with_record(text, record)), command: None, note: None };
    if report.state != JobState::Successful {
        let mut steps = vec![say(t.stay)];
        if report.state == JobState::Ready {
            let target = clean(&report.target.address);
            steps.push(say(&phrases::before_window(lang, report.job_id.as_str())));
            steps.extend(
                phrases::checklist(lang, report.job_id.as_str(), &target).iter().map(|step| say(step)),
            );
            return steps;
        }
        if report.state == JobState::Failed {
            steps.push(say(t.follow_hints));
        }
        if done > 0 {
            steps.push(say(t.complete_is_safe));
        }
        if done < report.collections.len() {
            steps.push(say(t.incomplete_is_not));
        }
        return steps;
    }
    let mut steps = vec![say(t.keep_stopped)];
    if report.verified == VerifyLevel::None {
        steps.push(say(t.prove));
    }
    let loadable = phrases::loadable(report);
    steps.push(if loadable.is_empty() {
        say(t.already_loaded)
    } else {
        let is_long = loadable.len() > typed::COLLECTIONS_MAX;
        let mut command = match is_long {
            true => format!("vecferry load --job {}", report.job_id),
            false => format!("vecferry load --target {}", typed::shell(&clean(&report.target.address))),
        };
        for name in loadable.into_iter().filter(|_| !is_long) {
            command.push_str(&format!(" \\\n  --collection {}", typed::shell(&clean(&name.to_string()))));
        }
        let command = typed::with_record(&command, record);
        Step { text: spans(t.load), command: Some(command), note: Some(t.load_credentials) }
    });
    let open = report.collections.iter().flat_map(|collection| {
        let open = collection.indexes.iter().filter(|index| index.built_rows < index.total_rows);
        open.map(|index| format!("`{}.{}`", collection.target_name(), index.field))
    });
    let open: Vec<_> = open.collect();
    if !open.is_empty() {
        let mut text = format!("{}{}{}", t.wait_for_indexes, t.space, open.len());
        if open.len() <= 5 {
            text = format!("{}{}{}", t.wait_for_indexes, t.space, open.join(t.comma));
        }
        steps.push(say(&text));
    }
    steps.push(say(t.switch));
    if report.kind == JobKind::Warm {
        steps.push(say(t.resume_writes));
    }
    steps.push(say(t.keep_source));
    steps
}

/// The first partitions, unequal ones before all others, and the sum of those left out.
fn partitions(lang: Lang, all: &[PartitionReport], max: usize) -> (Vec<Partition>, Option<Partition>) {
    let shown = |name: Option<String>, read: u64, written: u64| Partition {
        name,
        read: figures::count(read),
        written: figures::count(written),
        equal: read == written,
    };
    let mut ordered: Vec<_> = all.iter().collect();
    ordered.sort_by_key(|partition| partition.rows_read == partition.rows_written);
    let (first, rest) = ordered.split_at(ordered.len().min(max));
    let first = first.iter().map(|partition| {
        let name = (!partition.partition.is_empty()).then(|| clean(&partition.partition));
        shown(name, partition.rows_read, partition.rows_written)
    });
    let rest = (!rest.is_empty()).then(|| {
        let read = rest.iter().map(|partition| partition.rows_read).sum();
        let written = rest.iter().map(|partition| partition.rows_written).sum();
        shown(Some(texts::more_partitions(lang, rest.len())), read, written)
    });
    (first.collect(), rest)
}

/// Of one collection, nothing can be compared with anything.
fn charts(t: &'static Labels, lang: Lang, report: &Report) -> Vec<Chart> {
    if report.collections.len() < 2 {
        return Vec::new();
    }
    let mut charts = Vec::new();
    let times = report.collections.iter().map(|collection| {
        // The two clocks are not read at the same moment.
        let whole = collection.seconds.max(collection.copy_seconds);
        Amount { name: collection.source_name().to_string(), whole, part: collection.copy_seconds }
    });
    let (bars, sum) = top(lang, times.collect());
    if sum > 0.0 {
        let max = bars.iter().map(|bar| bar.whole).fold(0.0, f64::max);
        let value = |bar: &Amount| {
            let copying = texts::copying(lang, &figures::seconds(bar.part));
            format!("{}{}{copying}{}", figures::seconds(bar.whole), t.open, t.close)
        };
        charts.push(Chart {
            id: "time",
            title: t.chart_time,
            legend: Some([t.chart_copy, t.chart_other]),
            note: (sum > report.seconds).then_some(t.chart_parallel),
            ..Chart::new(&bars, max, value, true)
        });
    }
    let sizes = report.collections.iter().map(|collection| {
        let bytes = collection.bytes as f64;
        Amount { name: collection.source_name().to_string(), whole: bytes, part: bytes }
    });
    let (bars, sum) = top(lang, sizes.collect());
    if sum > 0.0 {
        let value = |bar: &Amount| {
            format!(
                "{:.1} %{}{}{}",
                bar.whole / sum * 100.0,
                t.open,
                figures::size(bar.whole as u64),
                t.close
            )
        };
        charts.push(Chart { id: "size", title: t.chart_size, ..Chart::new(&bars, sum, value, false) });
    }
    charts
}

/// A bar of a chart before it has a size.
struct Amount {
    name: String,
    whole: f64,
    part: f64,
}

/// The largest ones, the others as one, and the sum of all.
fn top(lang: Lang, mut all: Vec<Amount>) -> (Vec<Amount>, f64) {
    let sum = all.iter().map(|amount| amount.whole).sum();
    all.sort_by_key(|amount| Reverse(amount.whole.max(0.0).to_bits()));
    // One bar for a rest of one would only hide its name.
    if all.len() > CHART_BARS_MAX + 1 {
        let rest = all.split_off(CHART_BARS_MAX);
        all.push(Amount {
            name: texts::rest(lang, rest.len()),
            whole: rest.iter().map(|amount| amount.whole).sum(),
            part: rest.iter().map(|amount| amount.part).sum(),
        });
    }
    (all, sum)
}

impl Chart {
    fn new(amounts: &[Amount], full: f64, value: impl Fn(&Amount) -> String, in_parts: bool) -> Self {
        let percent = |amount: f64| format!("{:.2}%", amount / full * 100.0);
        let bars = amounts.iter().enumerate().map(|(number, amount)| Bar {
            label: columns::fit(&clean(&amount.name), BAR_NAME_MAX).trim_end().to_owned(),
            name: clean(&amount.name),
            value: value(amount),
            label_y: number * BAR_HEIGHT + 14,
            bar_y: number * BAR_HEIGHT + 21,
            solid: percent(amount.part),
            light: in_parts.then(|| percent(amount.whole)),
        });
        let bars: Vec<_> = bars.collect();
        Self { id: "", title: "", legend: None, note: None, height: bars.len() * BAR_HEIGHT, bars }
    }
}

#[cfg(test)]
mod tests;
