//! What a page about a migration shows, and what of it refreshes by itself.

use std::collections::BTreeMap;

use serde::Deserialize;
use vecferry_migrate::event::{Bottleneck, Phase};
use vecferry_migrate::{Code, JobState, Problem, Purpose, Report, RoundOptions, VerifyLevel};
use vecferry_report::page::Verdict;
use vecferry_report::{figures, labels, phrases};
use vecferry_store::{JobKind, JobSummary};
use vecferry_words::Lang;

use super::chart::{Chart, chart};
use super::checks::Checks;
use super::record::{Recorded, Step};
use super::rounds::{Offered, Rounds};
use super::stages::{Order, Stage, stages, stages_of_copied};
use super::verification::Comparison;
use super::words;
use crate::api::Refusal;
use crate::api::tasks::{Task, of_job};
use crate::console::frame::Visit;
use crate::console::show::{Say, Trouble, took};
use crate::jobs::time;
use crate::outline::Line;
use crate::tables::TaskKind;

/// Collections and events of the overview, and of a page of their own.
const FEW: usize = 15;
const FEW_EVENTS: usize = 8;
const MANY: usize = 100;
/// Problems that are shown; the report has all.
const PROBLEMS_MAX: usize = 20;
/// Collections that can be loaded one by one here.
const LOADS_MAX: usize = 100;

/// Which part, and which page of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    pub(super) show: String,
    pub(super) page: usize,
    /// Part of a collection's name.
    pub(super) name: String,
    /// What the page around it shows, as [`Recorded::stand`].
    pub(super) was: String,
}

/// The parts of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Show {
    Overview,
    Collections,
    Events,
    PreCheck,
    Verification,
    Report,
}

impl Show {
    pub(super) const ALL: [Self; 6] =
        [Self::Overview, Self::Collections, Self::Events, Self::PreCheck, Self::Verification, Self::Report];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Overview => "overview",
            Self::Collections => "collections",
            Self::Events => "events",
            Self::PreCheck => "pre-check",
            Self::Verification => "verification",
            Self::Report => "report",
        }
    }

    pub(super) fn word(self, lang: Lang) -> &'static str {
        match self {
            Self::Overview => lang.pick("Overview", "概览"),
            Self::Collections => lang.pick("Collections", "Collection"),
            Self::Events => lang.pick("Events", "事件"),
            Self::PreCheck => lang.pick("Pre-check", "预检"),
            Self::Verification => lang.pick("Verification", "校验"),
            Self::Report => lang.pick("Report", "报告"),
        }
    }

    /// Whether it shows collections.
    fn has_lines(self) -> bool {
        match self {
            Self::Overview | Self::Collections | Self::Events | Self::Verification => true,
            Self::PreCheck | Self::Report => false,
        }
    }

    /// Whether it shows something of the report.
    fn has_report(self) -> bool {
        match self {
            Self::Overview | Self::Verification | Self::Report => true,
            Self::Collections | Self::Events | Self::PreCheck => false,
        }
    }

    /// From its name; the overview where there is none of it.
    pub(super) fn of_name(name: &str) -> Self {
        Self::ALL.into_iter().find(|show| show.name() == name).unwrap_or(Self::Overview)
    }
}

/// What a form that was refused held; never a credential.
#[derive(Clone, Debug, Default)]
pub(super) struct Typed {
    /// The form.
    pub(super) form: &'static str,
    pub(super) rate: Option<String>,
    pub(super) level: String,
    pub(super) ca: String,
    /// What a round may do.
    pub(super) options: RoundOptions,
    /// Whether what was created is to be removed.
    pub(super) clean: bool,
    pub(super) confirm: String,
}

/// The part of the page that refreshes by itself.
pub(super) struct Part {
    /// The address of the migration.
    pub(super) base: String,
    pub(super) csrf: String,
    pub(super) typed: Typed,
    pub(super) show: Show,
    /// Whether nothing of it changes any more, or what stands around it has to change as well.
    pub(super) is_over: bool,
    /// The same for whoever is not to be disturbed by that.
    pub(super) over: &'static str,
    pub(super) may_act: bool,
    is_successful: bool,
    pub(super) needs_source: bool,
    pub(super) source_address: String,
    pub(super) target_address: String,
    /// The round that is wanted or under way, and whether it is a cut-over.
    pub(super) round: Option<RoundNow>,
    pub(super) wait: Option<Wait>,
    pub(super) band: Option<Band>,
    pub(super) end: Option<End>,
    pub(super) table: Option<Table>,
    pub(super) chart: Option<Chart>,
    pub(super) events: Option<Events>,
    /// The newest check first.
    pub(super) checks: Vec<Checks>,
    pub(super) comparison: Option<Comparison>,
    pub(super) loads: Option<Loads>,
    pub(super) tasks: Vec<TaskLine>,
    pub(super) facts: Option<Facts>,
    /// Of a job that copies while its source may change.
    pub(super) rounds: Option<Rounds>,
    pub(super) offered: Offered,
}

/// What a migration waits for that has not begun.
pub(super) struct Wait {
    pub(super) told: String,
    /// When it is to start.
    pub(super) planned: Option<String>,
}

/// A round behind the warm copy that is wanted or under way.
pub(super) struct RoundNow {
    pub(super) title: &'static str,
    pub(super) text: &'static str,
}

/// How far a migration is.
pub(super) struct Band {
    pub(super) percent: u64,
    pub(super) left: Option<String>,
    /// When everything can be searched.
    pub(super) ready: Option<String>,
    pub(super) rows: String,
    pub(super) rows_total: String,
    pub(super) byte_rate: String,
    pub(super) row_rate: String,
    pub(super) limited_by: String,
    pub(super) max_rate: String,
    pub(super) level: &'static str,
    pub(super) verified: String,
}

/// How a migration came out.
pub(super) struct End {
    pub(super) tone: &'static str,
    pub(super) sign: &'static str,
    pub(super) word: &'static str,
    pub(super) meaning: Vec<String>,
    pub(super) proof: Option<String>,
    pub(super) problems: Vec<Trouble>,
    pub(super) more_problems: usize,
    pub(super) warnings: Vec<Trouble>,
    /// Whether everything arrived, so that applications may move.
    pub(super) is_good: bool,
    pub(super) is_canceled: bool,
    /// It waits for somebody to end it, and is not resumed.
    pub(super) is_ready: bool,
    /// Whether what it created on the target was removed again.
    pub(super) is_cleaned: bool,
    /// Whether it copied anything.
    pub(super) has_begun: bool,
    pub(super) has_report: bool,
    /// Indexes that were not built yet.
    pub(super) open_indexes: usize,
}

/// Collections of a migration.
pub(super) struct Table {
    pub(super) lines: Vec<Row>,
    pub(super) count: String,
    /// The names of the stages.
    pub(super) stages: &'static str,
    pub(super) name: String,
    pub(super) is_part: bool,
    pub(super) earlier: Option<String>,
    pub(super) later: Option<String>,
}

/// A collection of a migration.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) target: Option<String>,
    pub(super) phase: &'static str,
    pub(super) tone: &'static str,
    pub(super) stages: Vec<Stage>,
    pub(super) rows: u64,
    pub(super) rows_total: u64,
    pub(super) told_rows: String,
    pub(super) bar: &'static str,
    pub(super) time: String,
}

/// What happened, newest first.
pub(super) struct Events {
    pub(super) lines: Vec<EventLine>,
    pub(super) is_part: bool,
    pub(super) newer: Option<usize>,
    pub(super) older: Option<usize>,
}

/// Something that happened.
pub(super) struct EventLine {
    pub(super) at: String,
    pub(super) name: Option<String>,
    pub(super) told: String,
}

/// What can be loaded on the target.
pub(super) struct Loads {
    pub(super) lines: Vec<LoadLine>,
    pub(super) more: usize,
    /// How many the source had loaded, and how many of them are not loaded on the target.
    pub(super) wanted: usize,
    pub(super) left: usize,
    /// What a task that is under way has loaded, of how many.
    pub(super) under_way: Option<LoadsNow>,
    pub(super) troubles: Vec<Trouble>,
}

/// What a task that is under way has loaded.
pub(super) struct LoadsNow {
    pub(super) done: usize,
    pub(super) total: usize,
    /// The collection that is being loaded, and how much of it is in memory, in percent; none where its server does not tell.
    pub(super) loading: Option<(String, u64)>,
}

/// A collection that can be loaded.
pub(super) struct LoadLine {
    pub(super) name: String,
    pub(super) is_loaded: bool,
    pub(super) was_loaded: bool,
}

/// A comparison that was asked for later.
pub(super) struct TaskLine {
    pub(super) tone: &'static str,
    pub(super) word: &'static str,
    pub(super) at: String,
    pub(super) level: &'static str,
    pub(super) created_by: String,
    pub(super) comparison: Option<Comparison>,
    pub(super) problems: Vec<Trouble>,
    pub(super) is_under_way: bool,
}

/// Figures of a report.
pub(super) struct Facts {
    pub(super) lines: Vec<(&'static str, String)>,
    pub(super) started: String,
    pub(super) ended: String,
}

impl Part {
    /// A part of the page.
    pub(super) async fn read(
        visit: &Visit,
        base: &str,
        recorded: &Recorded,
        wanted: &Wanted,
    ) -> Result<Self, Refusal> {
        let (t, show) = (visit.t(), Show::of_name(&wanted.show));
        let record = &recorded.record;
        let tasks = tasks(visit, recorded, show).await?;
        let is_live = recorded.is_open() || tasks.iter().any(is_under_way);
        let is_other = !wanted.was.is_empty() && wanted.was != recorded.stand();
        let mut part = Self {
            base: base.to_owned(),
            csrf: visit.csrf().to_owned(),
            typed: Typed::default(),
            show,
            is_over: !is_live || is_other,
            over: match recorded.is_open() {
                true => t.say("The state of the migration has changed.", "迁移任务的状态已变化。"),
                false => t.say("The migration has ended.", "迁移任务已结束。"),
            },
            may_act: recorded.may_act(visit),
            is_successful: record.state == JobState::Successful,
            needs_source: matches!(record.source, crate::tables::MigrationSource::Elsewhere { .. }),
            source_address: record.source_address.clone(),
            target_address: record.target_address.clone(),
            round: record
                .next_round
                .filter(|_| recorded.is_open())
                .map(|round| RoundNow::new(t, round.purpose)),
            wait: None,
            band: None,
            end: None,
            table: None,
            chart: None,
            events: None,
            checks: Vec::new(),
            comparison: None,
            loads: None,
            tasks: Vec::new(),
            facts: None,
            rounds: None,
            offered: Offered::read(visit, recorded).await,
        };
        let lines = if show.has_lines() || recorded.is_open() { recorded.lines(visit).await? } else { None };
        let report = if show.has_report() { recorded.report(visit).await? } else { None };
        if recorded.is_open() {
            part.wait = wait(visit, recorded).await?;
            part.band = Band::read(visit, recorded, lines.as_deref()).await?;
        } else if matches!(show, Show::Overview | Show::Report) {
            part.end = Some(End::new(t, recorded, report.as_ref()));
        }
        let (lines, report) = (lines.as_deref(), report.as_ref());
        match show {
            Show::Overview => {
                part.table = lines.map(|lines| Table::new(t, lines, &Wanted::default(), (FEW, record.state)));
                part.events = Some(Events::read(visit, recorded, lines, (0, FEW_EVENTS)).await?);
                part.rounds = Rounds::read(visit, recorded).await?;
                let pace = visit.service.tables().pace(&record.job_id).await?;
                part.chart = chart(t, pace.points(), recorded.is_open());
                part.loads = report
                    .filter(|_| record.state == JobState::Successful)
                    .map(|report| Loads::new(t, report, &tasks));
            }
            Show::Collections => {
                part.table = lines.map(|lines| Table::new(t, lines, wanted, (MANY, record.state)));
            }
            Show::Events => {
                part.events = Some(Events::read(visit, recorded, lines, (wanted.page, MANY)).await?);
            }
            Show::PreCheck => part.checks = Checks::read(visit, recorded).await?,
            Show::Verification => {
                part.comparison = match (report, lines) {
                    (Some(report), _) => Some(Comparison::of_report(t, report, wanted.page)),
                    (None, Some(lines)) => {
                        Some(Comparison::so_far(visit, (&record.job_id, lines), wanted.page).await?)
                    }
                    (None, None) => None,
                };
                part.tasks = task_lines(visit, &tasks).await?;
            }
            Show::Report => part.facts = report.map(|report| Facts::new(t, report)),
        }
        Ok(part)
    }

    /// The ID of the migration, the last part of its address.
    pub(super) fn job_id(&self) -> &str {
        self.base.rsplit('/').next().unwrap_or_default()
    }

    /// Whether a comparison can be asked for.
    pub(super) fn may_verify(&self) -> bool {
        self.may_act && self.is_successful && self.comparison.is_some() && self.is_over
    }
}

impl RoundNow {
    fn new(t: Say, purpose: Purpose) -> Self {
        let (title, text) = match purpose {
            Purpose::CatchUp => (
                t.0.pick("Catch-up", "更新"),
                t.0.pick(
                    "What changed on the source is copied. The applications may go on writing to the source.",
                    "正在复制源集群上变化的数据。应用可以继续写入源集群。",
                ),
            ),
            Purpose::CutOver => (
                t.0.pick("Cut-over", "切换"),
                t.0.pick(
                    "Every row is compared, and what changed is copied. Keep all writers of the source stopped until it has ended.",
                    "正在逐行比对并复制变化的数据。请保持停止对源集群的所有写入，直到切换结束。",
                ),
            ),
        };
        Self { title, text }
    }
}

/// What was loaded or compared since the job ended: before it went on, that said nothing of what it copied then. The results
/// of comparisons are long, and read only where they are shown.
async fn tasks(visit: &Visit, recorded: &Recorded, show: Show) -> Result<Vec<Task>, Refusal> {
    if !recorded.is_ended() {
        return Ok(Vec::new());
    }
    let results = match show {
        Show::Overview => Some(TaskKind::Load),
        Show::Verification => Some(TaskKind::Verify),
        Show::Collections | Show::Events | Show::PreCheck | Show::Report => None,
    };
    let tasks = of_job(&visit.service, &recorded.record.job_id, results.as_slice()).await?;
    let since = recorded.record.ended_ms.map(time).unwrap_or_default();
    Ok(tasks.into_iter().filter(|task| is_since(&task.create_time, &since)).collect())
}

fn is_under_way(task: &Task) -> bool {
    task.status == "IN_PROGRESS"
}

async fn wait(visit: &Visit, recorded: &Recorded) -> Result<Option<Wait>, Refusal> {
    let (t, record) = (visit.t(), &recorded.record);
    if record.state != JobState::Pending {
        return Ok(None);
    }
    if words::is_scheduled(record, recorded.now_ms) {
        let told = t.say(
            "It was checked and will start at its time. It is checked once more then, and not started if something has changed.",
            "已通过预检，将在预约时间开始。届时会再次预检，如有变化则不会开始。",
        );
        return Ok(Some(Wait { told: told.to_owned(), planned: Some(time(record.start_ms)) }));
    }
    let limits = visit.service.settings().jobs;
    let addresses = (record.source_address.as_str(), record.target_address.as_str());
    let (of_source, into_target) = visit.service.tables().held_with(&record.org_id, addresses).await?;
    let told = if into_target >= i64::from(limits.per_target_max) {
        t.with(
            "It waits for another migration into the same target to end (limit: {}).",
            "正在等待同一目标集群的其他迁移任务结束（上限：{} 个）。",
            limits.per_target_max,
        )
    } else if of_source >= i64::from(limits.per_source_max) {
        t.with(
            "It waits for another migration from the same source to end (limit: {}).",
            "正在等待同一源集群的其他迁移任务结束（上限：{} 个）。",
            limits.per_source_max,
        )
    } else {
        let told = t.say(
            "It starts as soon as there is a free place; nothing has to be done.",
            "有空闲名额后将自动开始，无需操作。",
        );
        told.to_owned()
    };
    Ok(Some(Wait { told, planned: None }))
}

impl Band {
    /// How far a migration is that began and is not at its end.
    async fn read(
        visit: &Visit,
        recorded: &Recorded,
        lines: Option<&[Line]>,
    ) -> Result<Option<Self>, Refusal> {
        let (Some(summary), Some(lines)) = (&recorded.began, lines) else { return Ok(None) };
        if recorded.record.state == JobState::Pending {
            return Ok(None);
        }
        let index_seconds = recorded.index_seconds(visit).await?;
        Ok(Some(Self::new(visit.t(), recorded, (summary, lines), index_seconds)))
    }

    fn new(
        t: Say,
        recorded: &Recorded,
        (summary, lines): (&JobSummary, &[Line]),
        index_seconds: f64,
    ) -> Self {
        let (rows, total) = (summary.rows_done, summary.rows_total.max(summary.rows_done));
        let worked = summary.worked.as_secs_f64();
        let left = words::seconds_left(rows, total, worked);
        let left = left.filter(|_| recorded.record.state == JobState::InProgress);
        let ready = left.map(|seconds| {
            let seconds = seconds + index_seconds;
            time(recorded.now_ms.saturating_add((seconds.min(1e9) * 1000.0) as i64))
        });
        let bytes = lines.iter().map(|line| line.bytes).sum();
        let max_rate = labels::max_rate(t.0, summary.max_rate.as_deref());
        Self {
            percent: if total == 0 { 0 } else { figures::percent(rows, total) },
            left: left.map(|seconds| words::left(t, seconds)),
            ready,
            rows: figures::count(rows),
            rows_total: figures::count(total),
            byte_rate: figures::byte_rate(bytes, worked),
            row_rate: figures::count(figures::per_second(rows, worked)),
            limited_by: limited_by(t, summary.bottleneck.as_deref().filter(|_| summary.live)),
            max_rate,
            level: words::level(t.0, recorded.level()),
            verified: match recorded.level() {
                VerifyLevel::None => String::new(),
                VerifyLevel::Count | VerifyLevel::Sample | VerifyLevel::Full => {
                    verified(t, &Comparison::in_figures(t, lines, 0))
                }
            },
        }
    }
}

/// How many collections are verified, and what differs in them.
fn verified(t: Say, compared: &Comparison) -> String {
    let (of, count) = (figures::count(compared.compared as u64), figures::count(compared.count as u64));
    let differing = figures::count(compared.differing);
    match (t.0, compared.differing) {
        (Lang::En, 1) => format!("{of} of {count} verified, 1 row differs"),
        (Lang::En, _) => format!("{of} of {count} verified, {differing} rows differ"),
        (Lang::Zh, _) => format!("已校验 {of} / {count}，{differing} 行不一致"),
    }
}

fn limited_by(t: Say, name: Option<&str>) -> String {
    match name.and_then(Bottleneck::of_name) {
        None => t.say("nothing so far", "暂无").to_owned(),
        // The console has no options.
        Some(Bottleneck::MaxRate) => t.say("the rate limit", "设定的限速").to_owned(),
        Some(on) => labels::bottleneck(t.0, on).to_owned(),
    }
}

/// Whether a time is not before another, both as RFC 3339. What can't be read is not.
fn is_since(at: &str, since: &str) -> bool {
    let read = |text: &str| text.parse::<jiff::Timestamp>().ok();
    matches!((read(at), read(since)), (Some(at), Some(since)) if at >= since)
}

impl End {
    fn new(t: Say, recorded: &Recorded, recorded_report: Option<&Report>) -> Self {
        let (lang, state) = (t.0, recorded.record.state);
        let report = recorded_report.filter(|report| report.state == state);
        let verdict = report.map(|report| Verdict::of(report, lang));
        let all = recorded.problems(recorded_report);
        let troubles = |problems: &[Problem]| -> Vec<_> {
            problems.iter().take(PROBLEMS_MAX).map(|problem| Trouble::of(problem, lang)).collect()
        };
        let (tone, sign) = match (&verdict, state) {
            (Some(verdict), _) => (verdict.tone, verdict.sign),
            (None, JobState::Canceled | JobState::Ready) => ("caution", "!"),
            (None, _) => ("bad", "✕"),
        };
        let proof = verdict.as_ref().map(|verdict| match verdict.asked_for {
            Some(level) => {
                format!("{}{}{level}{}", verdict.proof, t.say(" (requested: ", "（要求："), t.say(")", "）"))
            }
            None => verdict.proof.to_owned(),
        });
        let open = report.iter().flat_map(|report| &report.collections).flat_map(|one| &one.indexes);
        Self {
            tone,
            sign,
            word: words::chip(t, &recorded.record, recorded.now_ms).word,
            meaning: verdict.map_or_else(
                || vec![without_report(t, recorded, state).to_owned()],
                |verdict| verdict.meaning,
            ),
            proof,
            problems: troubles(&all),
            more_problems: all.len().saturating_sub(PROBLEMS_MAX),
            warnings: report.map(|report| troubles(&report.warnings)).unwrap_or_default(),
            is_good: state == JobState::Successful,
            is_canceled: state == JobState::Canceled,
            is_ready: state == JobState::Ready,
            is_cleaned: all.iter().any(|problem| problem.code == Code::Cleaned),
            has_begun: recorded.began.is_some(),
            has_report: recorded_report.is_some(),
            open_indexes: open.filter(|index| index.built_rows < index.total_rows).count(),
        }
    }
}

/// What is known of an end that no report tells of.
fn without_report(t: Say, recorded: &Recorded, state: JobState) -> &'static str {
    match recorded.began {
        Some(_) => t.say(
            "The last attempt ended before it could report. What was copied before is still on the target; it is not verified.",
            "最近一次执行在生成报告之前结束。此前复制的数据仍在目标集群上，未经校验。",
        ),
        None => not_begun(t, state),
    }
}

fn not_begun(t: Say, state: JobState) -> &'static str {
    match state {
        JobState::Canceled => {
            t.say("It was canceled before anything was copied.", "任务在复制任何数据之前已取消。")
        }
        JobState::Pending
        | JobState::InProgress
        | JobState::Canceling
        | JobState::Ready
        | JobState::Successful
        | JobState::Failed => t.say(
            "It did not begin: nothing was copied, and the source was only read.",
            "任务未开始：没有复制任何数据，对源集群仅执行了读取。",
        ),
    }
}

impl Table {
    fn new(t: Say, all: &[Line], wanted: &Wanted, (rows_max, state): (usize, JobState)) -> Self {
        let name = wanted.name.trim().to_lowercase();
        let is_wanted = |line: &&Line| name.is_empty() || line.name.to_lowercase().contains(&name);
        let mut lines: Vec<_> = all.iter().filter(is_wanted).collect();
        lines.sort_by_key(|line| rank(line.phase));
        let pages = lines.len().div_ceil(rows_max).max(1);
        let page = wanted.page.min(pages - 1);
        let link = |page: usize| {
            let mut query = form_urlencoded::Serializer::new("show=collections".to_owned());
            if !wanted.name.is_empty() {
                query.append_pair("name", &wanted.name);
            }
            query.append_pair("page", &page.to_string()).finish()
        };
        let shown = lines.iter().skip(page * rows_max).take(rows_max);
        let order = Order::of(all);
        Self {
            lines: shown.map(|line| Row::new(t, line, order).at_rest(t, (line, order), state)).collect(),
            stages: order.told(t),
            count: figures::count(all.len() as u64),
            name: wanted.name.clone(),
            is_part: lines.len() > rows_max,
            earlier: page.checked_sub(1).map(link),
            later: (page + 1 < pages).then(|| link(page + 1)),
        }
    }
}

/// What needs somebody comes first, then what moves.
fn rank(phase: Phase) -> u8 {
    match phase {
        Phase::Failed => 0,
        Phase::Canceled => 1,
        Phase::LoadingSource
        | Phase::Creating
        | Phase::Copying
        | Phase::Flushing
        | Phase::Indexing
        | Phase::Verifying => 2,
        Phase::Waiting => 3,
        Phase::Done => 4,
    }
}

impl Row {
    fn new(t: Say, line: &Line, order: Order) -> Self {
        let lang = t.0;
        let (tone, bar) = match line.phase {
            Phase::Failed => ("bad", "failed"),
            Phase::Done => ("good", "done"),
            Phase::Canceled | Phase::Waiting => ("idle", "waiting"),
            Phase::LoadingSource
            | Phase::Creating
            | Phase::Copying
            | Phase::Flushing
            | Phase::Indexing
            | Phase::Verifying => ("live", "moving"),
        };
        let total = line.rows_total.max(line.rows);
        Self {
            name: line.name.clone(),
            target: (line.target != line.name).then(|| line.target.clone()),
            phase: labels::phase(lang, line.phase),
            tone,
            stages: stages(t, line, order),
            rows: line.rows,
            rows_total: total.max(1),
            told_rows: if line.phase == Phase::Done || total == line.rows {
                figures::count(line.rows)
            } else {
                labels::number_of(lang, &figures::count(line.rows), &figures::count(total))
            },
            bar,
            time: if line.worked_seconds > 0.0 { took(lang, line.worked_seconds) } else { String::new() },
        }
    }
}

impl Row {
    /// The same of a job in a state. What was copied to one that is ready is not complete before its cut-over, and waits for
    /// nothing else.
    fn at_rest(self, t: Say, (line, order): (&Line, Order), state: JobState) -> Self {
        if state != JobState::Ready || line.phase != Phase::Waiting {
            return self;
        }
        Self {
            phase: labels::collection_copied(t.0),
            tone: "caution",
            bar: "done",
            stages: stages_of_copied(t, line, order),
            ..self
        }
    }
}

impl Events {
    /// A page of them. The steps of collections lie between the begin of the migration and its end, and only those of the
    /// page are read.
    async fn read(
        visit: &Visit,
        recorded: &Recorded,
        lines: Option<&[Line]>,
        (page, events_max): (usize, usize),
    ) -> Result<Self, Refusal> {
        let t = visit.t();
        let (after, before) = around(t, recorded);
        let steps_total = match recorded.began {
            Some(_) => recorded.steps_total(visit).await?,
            None => 0,
        };
        let count = after.len() + steps_total + before.len();
        let pages = count.div_ceil(events_max).max(1);
        let page = page.min(pages - 1);
        let skipped = page * events_max;
        let mut events: Vec<_> = after.into_iter().skip(skipped).take(events_max).collect();
        // What of the steps stands on this page.
        let skipped_steps = skipped.saturating_sub(count - steps_total - before.len());
        let wanted = (events_max - events.len()).min(steps_total.saturating_sub(skipped_steps));
        if wanted > 0 {
            let of_name: BTreeMap<_, _> =
                lines.unwrap_or_default().iter().map(|line| (line.name.as_str(), line)).collect();
            let steps = recorded.newest_steps(visit, (skipped_steps, wanted)).await?;
            let kind = recorded.record.kind;
            events.extend(steps.into_iter().map(|step| EventLine::new(t, step, (kind, &of_name))));
        }
        let first = skipped.saturating_sub(count - before.len());
        let room = (skipped + events_max).saturating_sub(count - before.len());
        events.extend(before.into_iter().take(room).skip(first));
        Ok(Self {
            lines: events,
            is_part: count > events_max,
            newer: page.checked_sub(1),
            older: (page + 1 < pages).then_some(page + 1),
        })
    }
}

/// What happened behind the last step, and before the first one, newest first.
fn around(t: Say, recorded: &Recorded) -> (Vec<EventLine>, Vec<EventLine>) {
    let record = &recorded.record;
    let event = |at_ms: i64, told: &str| EventLine { at: time(at_ms), name: None, told: told.to_owned() };
    let ended = record.ended_ms.filter(|_| !recorded.is_open()).map(|at| {
        let word = words::chip(t, record, recorded.now_ms).word;
        match record.state {
            JobState::Ready => event(at, t.say("Ready for the cut-over", "就绪，等待切换")),
            JobState::Pending
            | JobState::InProgress
            | JobState::Canceling
            | JobState::Successful
            | JobState::Failed
            | JobState::Canceled => event(at, &t.with("Migration ended: {}", "迁移任务结束：{}", word)),
        }
    });
    let started = record.started_ms.map(|at| event(at, t.say("Migration started", "迁移任务开始")));
    let created = event(record.created_ms, t.say("Migration created", "已创建迁移任务"));
    (ended.into_iter().collect(), started.into_iter().chain([created]).collect())
}

impl EventLine {
    /// What a collection came to is known of its last end only, and a job with rounds has several.
    fn new(t: Say, step: Step, (kind, of_name): (JobKind, &BTreeMap<&str, &Line>)) -> Self {
        let line = of_name.get(step.collection.as_str()).copied().filter(|_| kind == JobKind::Plain);
        Self { at: step.at, told: told(t, step.phase, line), name: Some(step.collection) }
    }
}

/// What it means that a collection entered a step.
fn told(t: Say, phase: Phase, line: Option<&Line>) -> String {
    let (en, zh) = match phase {
        Phase::Waiting => ("waits for its turn", "等待中"),
        Phase::LoadingSource => ("is being loaded on the source", "正在源集群上加载"),
        Phase::Creating => ("is being created on the target", "正在目标集群上创建"),
        Phase::Copying => ("rows are being copied", "正在复制数据"),
        Phase::Flushing => ("is being flushed by the target", "目标集群正在落盘"),
        Phase::Indexing => ("indexes are being built", "正在建索引"),
        Phase::Verifying => ("source and target are being compared", "正在比对"),
        Phase::Done => ("complete", "已完成"),
        Phase::Failed => ("failed", "失败"),
        Phase::Canceled => ("canceled", "已取消"),
    };
    let text = t.0.pick(en, zh);
    match line.and_then(|line| line.done.as_ref()).filter(|_| phase == Phase::Done) {
        Some(done) => {
            let rows = labels::some_rows(t.0, done.rows);
            let compared = done.verification.as_ref().map_or(0, |proof| proof.rows_compared);
            let compared = match compared {
                0 => String::new(),
                rows => t.with(", {} compared bit for bit", "，逐位比对 {} 行", figures::count(rows)),
            };
            format!("{text}{}{rows}{compared}", labels::colon(t.0))
        }
        None => text.to_owned(),
    }
}

#[derive(Default, Deserialize)]
struct LoadResult {
    collections: Vec<String>,
    #[serde(default)]
    total: usize,
    #[serde(default)]
    loading: Option<LoadingNow>,
}

#[derive(Deserialize)]
struct LoadingNow {
    collection: String,
    percent: u64,
}

impl Loads {
    fn new(t: Say, report: &Report, tasks: &[Task]) -> Self {
        let of_load = || tasks.iter().filter(|task| task.kind == "LOAD");
        let result = |task: &Task| -> LoadResult {
            let result = task.result.clone().and_then(|result| serde_json::from_value(result).ok());
            result.unwrap_or_default()
        };
        let done: std::collections::BTreeSet<String> =
            of_load().flat_map(|task| result(task).collections).collect();
        let mut lines: Vec<_> = report
            .collections
            .iter()
            .filter(|one| one.phase == Phase::Done)
            .map(|one| {
                let name = one.target_name().to_string();
                let was_loaded = one
                    .source_load
                    .as_ref()
                    .is_some_and(|load| load.extent != vecferry_migrate::report::LoadExtent::Nothing);
                LoadLine { is_loaded: one.loaded || done.contains(&name), was_loaded, name }
            })
            .collect();
        let wanted = lines.iter().filter(|line| line.was_loaded).count();
        let left = lines.iter().filter(|line| line.was_loaded && !line.is_loaded).count();
        lines.sort_by_key(|line| (line.is_loaded, !line.was_loaded));
        let more = lines.len().saturating_sub(LOADS_MAX);
        lines.truncate(LOADS_MAX);
        let under_way = of_load().find(|task| is_under_way(task)).map(|task| {
            let LoadResult { collections, total, loading } = result(task);
            LoadsNow {
                done: collections.len(),
                total,
                loading: loading.map(|now| (now.collection, now.percent)),
            }
        });
        let failed = of_load().next().filter(|task| task.status == "FAILED");
        Self {
            lines,
            more,
            wanted,
            left,
            under_way,
            troubles: failed.map(|task| troubles(t, task)).unwrap_or_default(),
        }
    }
}

fn troubles(t: Say, task: &Task) -> Vec<Trouble> {
    let problem = |document: &serde_json::Value| Problem::deserialize(document).ok();
    let problems = task.problems.iter().filter_map(problem).take(PROBLEMS_MAX);
    problems.map(|problem| Trouble::of(&problem, t.0)).collect()
}

async fn task_lines(visit: &Visit, tasks: &[Task]) -> Result<Vec<TaskLine>, Refusal> {
    let tables = visit.service.tables();
    let by = tasks.iter().map(|task| task.created_by.as_str());
    let names = tables.names(&visit.caller.org_id, by).await?;
    let t = visit.t();
    let line = |task: &Task| {
        let report: Option<Report> =
            task.result.clone().and_then(|result| serde_json::from_value(result).ok());
        let (tone, en, zh) = match task.status {
            "IN_PROGRESS" => ("live", "In progress", "进行中"),
            "SUCCESSFUL" => ("good", "Equal", "一致"),
            _ if report.is_some() || task.result_left_out => ("bad", "Different", "不一致"),
            _ => ("bad", "Failed", "失败"),
        };
        TaskLine {
            tone,
            word: t.0.pick(en, zh),
            at: task.create_time.clone(),
            level: report.as_ref().map_or("", |report| words::level(t.0, report.verify)),
            created_by: names.get(&task.created_by).unwrap_or(&task.created_by).clone(),
            problems: if report.is_some() { Vec::new() } else { troubles(t, task) },
            comparison: report.map(|report| Comparison::of_report(t, &report, 0)),
            is_under_way: is_under_way(task),
        }
    };
    Ok(tasks.iter().filter(|task| task.kind == "VERIFY").map(line).collect())
}

impl Facts {
    fn new(t: Say, report: &Report) -> Self {
        let lang = t.0;
        let mut lines = vec![
            (
                t.0.pick("Duration", "总用时"),
                format!("{}{}", took(lang, report.seconds), labels::in_attempts(lang, report.attempts)),
            ),
            (t.0.pick("Rows", "行数"), figures::count(report.rows())),
            (t.0.pick("Data", "数据量"), figures::size(report.bytes())),
            (t.0.pick("Throughput", "吞吐量"), figures::byte_rate(report.bytes(), report.seconds)),
            (t.0.pick("Source", "源集群"), format!("{} {}", report.source.address, report.source.version)),
            (t.0.pick("Target", "目标集群"), format!("{} {}", report.target.address, report.target.version)),
        ];
        let waits = report.pace.as_ref().and_then(|pace| phrases::wait_shares(lang, pace));
        lines.extend(waits.map(|waits| {
            (
                t.0.pick("The copy waited for", "复制的等待时间"),
                waits.replace("--max-rate", t.say("rate limit", "限速")),
            )
        }));
        if report.verify == VerifyLevel::Sample {
            lines.push((t.0.pick("Sample seed", "抽样种子"), report.sample_seed.to_string()));
        }
        lines.push((t.0.pick("Vecferry version", "Vecferry 版本"), report.vecferry_version.clone()));
        Self { lines, started: report.started_at.clone(), ended: report.ended_at.clone() }
    }
}
