//! What is recorded of a migration, read once for a page.

use std::collections::BTreeMap;

use serde::Deserialize;
use vecferry_migrate::event::Phase;
use vecferry_migrate::report::CollectionReport;
use vecferry_migrate::{Problem, Report, VerifyLevel};
use vecferry_store::{CollectionRecord, ErrorKind, JobId, JobRecord, JobSummary};

use super::words;
use crate::access::Action;
use crate::api::Refusal;
use crate::api::jobs::{KIND, job};
use crate::console::frame::Visit;
use crate::jobs::JobRequest;
use crate::tables::MigrationRecord;

/// Steps that are read at once, and in all.
const STEPS_AT_ONCE: usize = 10_000;
const STEPS_MAX: usize = 100_000;
/// Collections whose key ranges are looked at; as many are never under way at once.
const DIVIDED_MAX: usize = 200;

/// Everything that pages about a migration show.
pub(super) struct Recorded {
    pub(super) record: MigrationRecord,
    pub(super) request: JobRequest,
    /// Names of clusters and people, by ID.
    pub(super) names: BTreeMap<String, String>,
    pub(super) now_ms: i64,
    /// What the engine recorded; none before it began.
    pub(super) began: Option<Began>,
}

/// What the engine recorded of a migration.
pub(super) struct Began {
    pub(super) summary: JobSummary,
    /// In the order of the plan.
    pub(super) lines: Vec<Line>,
    /// Oldest first.
    pub(super) steps: Vec<Step>,
    /// At the end of the last attempt.
    pub(super) report: Option<Report>,
    /// How long the target builds indexes behind the copy.
    pub(super) index_seconds: Option<f64>,
}

/// A step that a collection entered.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) at: String,
    pub(super) at_ms: i64,
    pub(super) collection: String,
    pub(super) phase: Phase,
}

/// A collection.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) target: String,
    pub(super) phase: Phase,
    /// The last step of its work, where it has ended before its time.
    pub(super) reached: Phase,
    pub(super) rows: u64,
    pub(super) rows_total: u64,
    pub(super) bytes: u64,
    pub(super) worked_seconds: f64,
    /// Only of one that is complete.
    pub(super) report: Option<CollectionReport>,
    /// What stood in its way.
    pub(super) problems: Vec<Problem>,
}

#[derive(Deserialize)]
struct StoredStep {
    collection: String,
    phase: Phase,
}

/// What is recorded of a collection at its end.
#[derive(Deserialize)]
struct StoredEnd {
    report: CollectionReport,
    #[serde(default)]
    problems: Vec<Problem>,
}

#[derive(Default, Deserialize)]
struct StoredPlan {
    #[serde(default)]
    duration: Option<StoredDuration>,
}

#[derive(Deserialize)]
struct StoredDuration {
    index_seconds: Option<f64>,
}

impl Recorded {
    /// A migration that the visitor sees in a project.
    pub(super) async fn read(visit: &Visit, project_id: &str, job_id: &str) -> Result<Self, Refusal> {
        let record = job(&visit.service, &visit.caller, job_id, Action::Look).await?;
        if !record.projects().any(|id| id == project_id) {
            return Err(Refusal::absent(KIND, job_id));
        }
        let tables = visit.service.tables();
        let names = tables.names(&visit.caller.org_id, words::named(&record)).await?;
        Ok(Self {
            request: serde_json::from_str(&record.request).unwrap_or_default(),
            names,
            now_ms: tables.now_ms().await?,
            began: Began::read(visit, &record).await?,
            record,
        })
    }

    /// Whether it is not at its end.
    pub(super) fn is_open(&self) -> bool {
        words::is_open(self.record.state)
    }

    /// What the page around the part that refreshes depends on: the state, and whether there is anything yet that can be
    /// limited or cleaned up. A migration is in progress a moment before the engine records it.
    pub(super) fn stand(&self) -> String {
        let state = self.record.state.name();
        match self.began {
            Some(_) => state.to_owned(),
            None => format!("{state}.not-begun"),
        }
    }

    /// The report of its end.
    pub(super) fn report(&self) -> Option<&Report> {
        let report = self.began.as_ref().and_then(|began| began.report.as_ref());
        report.filter(|_| !self.is_open())
    }

    /// What stood in its way.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let reason = self.record.reason.as_deref().and_then(|text| serde_json::from_str(text).ok());
        reason.unwrap_or_else(|| self.report().map(|report| report.problems.clone()).unwrap_or_default())
    }

    /// Which proof was asked for.
    pub(super) fn level(&self) -> VerifyLevel {
        self.request.options.verify
    }

    /// Whether the visitor may act on it, which takes a role in every project that it is in.
    pub(super) fn may_act(&self, visit: &Visit) -> bool {
        self.record.projects().all(|project_id| visit.administers(project_id))
    }
}

impl Began {
    async fn read(visit: &Visit, record: &MigrationRecord) -> Result<Option<Self>, Refusal> {
        let store = visit.service.store();
        let job_id = JobId::from(record.job_id.as_str());
        let summary = match store.summary(&job_id).await {
            Ok(summary) => summary,
            Err(error) if error.kind() == ErrorKind::UnknownJob => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let JobRecord { report, plan, .. } = store.job(&job_id).await?;
        let plan: StoredPlan = serde_json::from_str(&plan).unwrap_or_default();
        let steps = steps(visit, &job_id).await?;
        let lines = lines(visit, &job_id, &steps).await?;
        Ok(Some(Self {
            summary,
            lines,
            steps,
            report: report.and_then(|text| serde_json::from_str(&text).ok()),
            index_seconds: plan.duration.and_then(|duration| duration.index_seconds),
        }))
    }

    /// Bytes of all rows that are on the target.
    pub(super) fn bytes(&self) -> u64 {
        self.lines.iter().map(|line| line.bytes).sum()
    }
}

async fn steps(visit: &Visit, job_id: &JobId) -> Result<Vec<Step>, Refusal> {
    let mut steps = Vec::new();
    let mut after = None;
    while steps.len() < STEPS_MAX {
        let recorded = visit.service.store().events(job_id, after, STEPS_AT_ONCE).await?;
        let is_all = recorded.len() < STEPS_AT_ONCE;
        after = recorded.last().map(|last| last.event_id);
        steps.extend(recorded.into_iter().filter_map(|event| {
            let StoredStep { collection, phase } = serde_json::from_str(&event.event).ok()?;
            let at: jiff::Timestamp = event.at.parse().ok()?;
            Some(Step { at_ms: at.as_millisecond(), at: event.at, collection, phase })
        }));
        if is_all {
            break;
        }
    }
    Ok(steps)
}

async fn lines(visit: &Visit, job_id: &JobId, steps: &[Step]) -> Result<Vec<Line>, Refusal> {
    let mut entered: BTreeMap<&str, (Phase, Phase)> = BTreeMap::new();
    for step in steps {
        let entry = entered.entry(&step.collection).or_insert((Phase::Waiting, Phase::Waiting));
        entry.0 = step.phase;
        if step.phase < Phase::Failed {
            entry.1 = step.phase;
        }
    }
    let store = visit.service.store();
    let mut lines = Vec::new();
    let mut divided = 0;
    for record in store.collections(job_id).await? {
        let known = entered.get(record.source.as_str()).copied();
        let mut line = line(&record, known.unwrap_or((Phase::Waiting, Phase::Waiting)));
        let is_under_way = line.report.is_none() && line.reached >= Phase::Copying;
        if is_under_way && divided < DIVIDED_MAX {
            divided += 1;
            for split in store.splits(job_id, record.position).await? {
                line.rows += split.progress.rows_written;
                line.bytes += split.progress.bytes;
            }
        }
        lines.push(line);
    }
    Ok(lines)
}

fn line(record: &CollectionRecord, (phase, reached): (Phase, Phase)) -> Line {
    let ended = record.report.as_deref().filter(|_| record.done);
    let ended: Option<StoredEnd> = ended.and_then(|text| serde_json::from_str(text).ok());
    let (report, problems) = match ended {
        Some(StoredEnd { report, problems }) => (Some(report), problems),
        None => (None, Vec::new()),
    };
    // What was removed again is not done any more, whatever it entered before.
    let phase = if phase == Phase::Done && !record.done { Phase::Waiting } else { phase };
    let rows = report.as_ref().map_or(0, |report| report.rows);
    Line {
        name: record.source.clone(),
        target: record.target.clone(),
        phase,
        reached: if phase == Phase::Waiting { Phase::Waiting } else { reached },
        rows,
        rows_total: if report.is_some() { rows } else { record.rows_total },
        bytes: report.as_ref().map_or(0, |report| report.bytes),
        worked_seconds: record.worked.as_secs_f64(),
        report,
        problems,
    }
}
