//! The rounds of a job that copies while its source may change: what each of them did, and how far apart both sides were.

use serde::Deserialize;
use vecferry_migrate::plan::estimate::DurationEstimate;
use vecferry_migrate::report::{CaughtUp, RoundKind, RoundReport, RoundState};
use vecferry_migrate::{JobState, Purpose, RoundOptions};
use vecferry_report::{figures, labels};
use vecferry_store::{ErrorKind, JobId, JobKind, RoundRecord};

use super::record::Recorded;
use crate::api::Refusal;
use crate::api::rounds::may_begin;
use crate::console::form::Form;
use crate::console::frame::Visit;
use crate::console::show::{Say, took};
use crate::tables::MigrationSource;

/// Rounds that are listed; the report has the newest ones too.
const ROUNDS_MAX: usize = 50;

/// The rounds of a job.
pub(super) struct Rounds {
    /// Newest first.
    pub(super) lines: Vec<RoundLine>,
    /// How far apart both sides were, when that was last seen.
    pub(super) apart: Option<String>,
}

/// A round.
pub(super) struct RoundLine {
    pub(super) number: u64,
    pub(super) kind: &'static str,
    pub(super) tone: &'static str,
    pub(super) state: &'static str,
    pub(super) at: String,
    pub(super) time: Option<String>,
    pub(super) rows: Option<String>,
    /// Rows that differed, and how; none where nothing was compared.
    pub(super) differing: Option<(String, String)>,
    pub(super) window: Option<String>,
}

impl Rounds {
    /// None of a job that copies in one go.
    pub(super) async fn read(visit: &Visit, recorded: &Recorded) -> Result<Option<Self>, Refusal> {
        if recorded.record.kind == JobKind::Plain {
            return Ok(None);
        }
        let records = read(visit, &recorded.record.job_id).await?;
        let is_open = recorded.is_open();
        let line = |(at, record): (usize, &RoundRecord)| {
            RoundLine::new(visit.t(), record, is_open && at == 0 && record.state == RoundState::Open)
        };
        Ok(Some(Self {
            // Once it was cut over, both sides are equal.
            apart: last_compared(&records)
                .filter(|_| recorded.record.state != JobState::Successful)
                .map(|(_, found)| apart(visit.t(), &found)),
            lines: records.iter().enumerate().map(line).collect(),
        }))
    }
}

/// The newest rounds, newest first; none before the job began.
async fn read(visit: &Visit, job_id: &str) -> Result<Vec<RoundRecord>, Refusal> {
    match visit.service.store().rounds(&JobId::from(job_id), ROUNDS_MAX).await {
        Ok(records) => Ok(records),
        Err(error) if error.kind() == ErrorKind::UnknownJob => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// What is recorded of a round that came to its end.
fn report(record: &RoundRecord) -> Option<RoundReport> {
    record.report.as_deref().and_then(|document| serde_json::from_str(document).ok())
}

/// The newest round that compared both sides, and what it found.
fn last_compared(records: &[RoundRecord]) -> Option<(RoundReport, CaughtUp)> {
    records.iter().filter_map(report).find_map(|report| {
        let found = report.caught_up?;
        Some((report, found))
    })
}

fn apart(t: Say, found: &CaughtUp) -> String {
    match found.rows_differing() {
        0 => t.say("no differences found", "未发现差异").to_owned(),
        1 => t.say("1 row apart", "相差 1 行").to_owned(),
        rows => t.with("{} rows apart", "相差 {} 行", figures::count(rows)),
    }
}

/// `12 missing, 3 changed, 1 extra`
fn in_parts(t: Say, found: &CaughtUp) -> String {
    let parts = [
        (found.rows_missing, "{} missing", "缺失 {} 行"),
        (found.rows_changed, "{} changed", "改变 {} 行"),
        (found.rows_extra, "{} extra", "多余 {} 行"),
    ];
    let parts = parts.into_iter().filter(|(rows, ..)| *rows > 0);
    parts
        .map(|(rows, en, zh)| t.with(en, zh, figures::count(rows)))
        .collect::<Vec<_>>()
        .join(labels::comma(t.0))
}

impl RoundLine {
    fn new(t: Say, record: &RoundRecord, is_under_way: bool) -> Self {
        let report = report(record);
        let (tone, state) = match record.state {
            RoundState::Open if is_under_way => ("live", t.state(JobState::InProgress)),
            RoundState::Open => ("caution", labels::round_state(t.0, record.state)),
            RoundState::Done => ("good", labels::round_state(t.0, record.state)),
            RoundState::Failed => ("bad", labels::round_state(t.0, record.state)),
        };
        let found = report.as_ref().and_then(|report| report.caught_up);
        let window = report.as_ref().and_then(|report| report.window_seconds);
        let window = window.or_else(|| record.window.map(|window| window.as_secs_f64()));
        Self {
            number: record.number,
            kind: labels::round_kind(t.0, record.kind),
            tone,
            state,
            at: record.begun_at.clone(),
            time: report.as_ref().map(|report| took(t.0, report.seconds)),
            rows: report.as_ref().map(|report| figures::count(report.rows)),
            differing: found.map(|found| (figures::count(found.rows_differing()), in_parts(t, &found))),
            window: window.filter(|_| record.kind == RoundKind::CutOver).map(|window| took(t.0, window)),
        }
    }
}

/// Which rounds somebody may ask for now.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Offered {
    pub(super) catch_up: bool,
    pub(super) cut_over: bool,
}

impl Offered {
    pub(super) async fn read(visit: &Visit, recorded: &Recorded) -> Self {
        if recorded.record.kind == JobKind::Plain || !recorded.may_act(visit) {
            return Self::default();
        }
        let may = async |purpose| may_begin(&visit.service, &recorded.record, purpose).await.is_ok();
        Self { catch_up: may(Purpose::CatchUp).await, cut_over: may(Purpose::CutOver).await }
    }
}

/// Whether the credential of the source has to be given once more.
pub(super) fn needs_credential(recorded: &Recorded) -> bool {
    match &recorded.record.source {
        MigrationSource::Cluster { .. } => false,
        MigrationSource::Elsewhere { secret, .. } => secret.is_none(),
    }
}

/// How long writers will be stopped, and how long the last round took that compared as much.
#[derive(Default)]
pub(super) struct Window {
    pub(super) estimate: Option<String>,
    /// Kind, time and differences of that round.
    pub(super) last: Option<(&'static str, String, String)>,
}

/// What a plan says about time.
#[derive(Default, Deserialize)]
struct StoredPlan {
    duration: Option<DurationEstimate>,
}

impl Window {
    pub(super) async fn read(visit: &Visit, recorded: &Recorded) -> Result<Self, Refusal> {
        if recorded.began.is_none() {
            return Ok(Self::default());
        }
        let (t, job_id) = (visit.t(), recorded.record.job_id.as_str());
        let plan = visit.service.store().job(&JobId::from(job_id)).await?.plan;
        let StoredPlan { duration } = serde_json::from_str(&plan).unwrap_or_default();
        let records = read(visit, job_id).await?;
        let last = last_compared(&records).map(|(report, found)| {
            (labels::round_kind(t.0, report.kind), took(t.0, report.seconds), apart(t, &found))
        });
        let estimate = duration.and_then(|duration| duration.warm_window_seconds);
        Ok(Self { estimate: estimate.map(|seconds| took(t.0, seconds)), last })
    }
}

/// What a round may do that nobody would want by mistake, as boxes of a form.
pub(super) struct Allowed {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) text: &'static str,
    pub(super) is_checked: bool,
}

/// The options that a form holds.
pub(super) fn options(form: &Form) -> RoundOptions {
    RoundOptions {
        accept_dropped: form.has("accept_dropped"),
        recopy: form.has("recopy"),
        overwrite_target: form.has("overwrite_target"),
        trust_unchanged: form.has("trust_unchanged"),
    }
}

/// The boxes of a form, each with what it does.
pub(super) fn allowed(t: Say, checked: RoundOptions, is_cut_over: bool) -> Vec<Allowed> {
    let RoundOptions { accept_dropped, recopy, overwrite_target, trust_unchanged } = checked;
    let mut boxes = vec![
        Allowed {
            name: "accept_dropped",
            title: t.0.pick("Accept dropped collections", "接受已删除的 Collection"),
            text: t.0.pick(
                "Removes from the target the collections that the source dropped since. Check the source first: a wrong address looks the same.",
                "从目标集群删除源集群此后已删除的 Collection。请先检查源集群：地址错误时情形与此相同。",
            ),
            is_checked: accept_dropped,
        },
        Allowed {
            name: "recopy",
            title: t.0.pick("Copy changed collections again", "重新复制有变更的 Collection"),
            text: t.0.pick(
                "Removes from the target the collections that the source recreated or redefined since, and copies them again. That takes as long as their first copy.",
                "从目标集群删除源集群此后重建或修改过定义的 Collection，并重新复制，用时与首次复制相当。",
            ),
            is_checked: recopy,
        },
        Allowed {
            name: "overwrite_target",
            title: t.0.pick("Overwrite the target", "覆盖目标集群"),
            text: t.0.pick(
                "Removes rows that others wrote to the target.",
                "删除其他程序写入目标集群的行。",
            ),
            is_checked: overwrite_target,
        },
    ];
    if is_cut_over {
        boxes.push(Allowed {
            name: "trust_unchanged",
            title: t.0.pick("Trust what was equal", "信任此前一致的数据"),
            text: t.0.pick(
                "Of rows that the last round found equal, compares only the keys, and some values at random. The window gets shorter, but an update may be missed.",
                "对于上一轮比对一致的行，仅比对主键并随机抽样比对内容。停机窗口更短，但可能漏掉更新。",
            ),
            is_checked: trust_unchanged,
        });
    }
    boxes
}
