//! What is recorded of a migration. Each part of its page reads of it what it shows: there may be thousands of collections.

use std::collections::BTreeMap;

use vecferry_migrate::event::Phase;
use vecferry_migrate::{Problem, Report, VerifyLevel};
use vecferry_store::{ErrorKind, JobId, JobSummary};

use super::words;
use crate::access::Action;
use crate::api::Refusal;
use crate::api::jobs::{KIND, job};
use crate::console::frame::Visit;
use crate::jobs::JobRequest;
use crate::outline::{Line, StoredStep};
use crate::tables::MigrationRecord;

/// What every page about a migration shows.
pub(super) struct Recorded {
    pub(super) record: MigrationRecord,
    pub(super) request: JobRequest,
    /// Names of clusters and people, by ID.
    pub(super) names: BTreeMap<String, String>,
    pub(super) now_ms: i64,
    /// What the engine recorded; none before it began.
    pub(super) began: Option<JobSummary>,
}

/// A step that a collection entered.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) at: String,
    pub(super) collection: String,
    pub(super) phase: Phase,
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
        let began = match visit.service.store().summary(&JobId::from(job_id)).await {
            Ok(summary) => Some(summary),
            Err(error) if error.kind() == ErrorKind::UnknownJob => None,
            Err(error) => return Err(error.into()),
        };
        Ok(Self {
            request: serde_json::from_str(&record.request).unwrap_or_default(),
            names,
            now_ms: tables.now_ms().await?,
            began,
            record,
        })
    }

    /// Whether it is not at its end.
    pub(super) fn is_open(&self) -> bool {
        words::is_open(self.record.state)
    }

    /// Whether it is at the end of something that the engine began.
    pub(super) fn is_ended(&self) -> bool {
        self.began.is_some() && !self.is_open()
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

    /// What stood in its way.
    pub(super) fn problems(&self, report: Option<&Report>) -> Vec<Problem> {
        let reason = self.record.reason.as_deref().and_then(|text| serde_json::from_str(text).ok());
        reason.unwrap_or_else(|| report.map(|report| report.problems.clone()).unwrap_or_default())
    }

    /// Which proof was asked for.
    pub(super) fn level(&self) -> VerifyLevel {
        self.request.options.verify
    }

    /// Whether the visitor may act on it, which takes a role in every project that it is in.
    pub(super) fn may_act(&self, visit: &Visit) -> bool {
        self.record.projects().all(|project_id| visit.administers(project_id))
    }

    fn job_id(&self) -> JobId {
        JobId::from(self.record.job_id.as_str())
    }

    /// Its collections, in the order of the plan; none before it began.
    pub(super) async fn lines(&self, visit: &Visit) -> Result<Option<Vec<Line>>, Refusal> {
        match self.began {
            Some(_) => Ok(Some(visit.service.outline(&self.job_id()).await?)),
            None => Ok(None),
        }
    }

    /// The report of its end.
    pub(super) async fn report(&self, visit: &Visit) -> Result<Option<Report>, Refusal> {
        if !self.is_ended() {
            return Ok(None);
        }
        let report = visit.service.store().job(&self.job_id()).await?.report;
        Ok(report.and_then(|text| serde_json::from_str(&text).ok()))
    }

    /// How long the target builds indexes behind the copy, by the plan.
    pub(super) async fn index_seconds(&self, visit: &Visit) -> Result<f64, Refusal> {
        Ok(visit.service.index_seconds(&self.job_id()).await?)
    }

    /// How many steps collections entered.
    pub(super) async fn steps_total(&self, visit: &Visit) -> Result<usize, Refusal> {
        let total = visit.service.store().events_total(&self.job_id()).await?;
        Ok(usize::try_from(total).unwrap_or(usize::MAX))
    }

    /// The newest of them, newest first, without as many as are skipped. Steps of newer versions are left out.
    pub(super) async fn newest_steps(
        &self,
        visit: &Visit,
        (skipped, steps_max): (usize, usize),
    ) -> Result<Vec<Step>, Refusal> {
        let events = visit.service.store().newest_events(&self.job_id(), skipped, steps_max).await?;
        let step = |event: vecferry_store::EventRecord| {
            let StoredStep { collection, phase } = StoredStep::of(&event)?;
            Some(Step { at: event.at, collection, phase })
        };
        Ok(events.into_iter().filter_map(step).collect())
    }
}
