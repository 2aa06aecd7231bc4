//! What is done with a job whose warm copy is complete: it is brought up to date, and ended by a cut-over. Both are put in the
//! queue, as a job that goes on is.

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vecferry_migrate::{Code, JobState, Problem, Purpose, RoundOptions};
use vecferry_store::{ErrorKind, JobId, JobKind, RoundKind, RoundRecord, RoundState};

use super::answer::{Answer, Done, Refusal, Refused, Result, done};
use super::clusters;
use super::extract::{OptionalBody, Path, Signed};
use super::jobs::{job, needs_no_source, needs_source, same_source};
use super::migrations::{Source, access, sealed};
use crate::access::{Action, Caller};
use crate::service::Service;
use crate::tables::{MigrationRecord, MigrationSource, WantedRound};

/// States of a job in which nothing of it runs, and a round can begin.
const AT_REST: [JobState; 3] = [JobState::Ready, JobState::Failed, JobState::Canceled];

/// What a round may do; nothing of it unless somebody says so.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RoundRequest {
    /// Whether collections that the source does not have any more are removed from the target.
    #[serde(default)]
    pub(crate) accept_dropped: bool,
    /// Whether collections that were created again on the source, or whose definition changed there, are removed from the
    /// target and copied again.
    #[serde(default)]
    pub(crate) recopy: bool,
    /// Whether rows that others wrote to the target are removed.
    #[serde(default)]
    pub(crate) overwrite_target: bool,
    /// Whether of key ranges that the round before found equal, a cut-over compares only the keys, and some values at random.
    #[serde(default)]
    pub(crate) trust_unchanged: bool,
    /// Only where the source is not registered and the job failed or was canceled: its credential was erased then.
    #[serde(default)]
    pub(crate) source: Option<Source>,
}

/// A round that was asked for.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NextRound {
    /// `catch_up` or `cut_over`.
    #[schema(example = "catch_up")]
    pub(crate) kind: &'static str,
    pub(crate) accept_dropped: bool,
    pub(crate) recopy: bool,
    pub(crate) overwrite_target: bool,
    pub(crate) trust_unchanged: bool,
}

impl From<WantedRound> for NextRound {
    fn from(round: WantedRound) -> Self {
        let RoundOptions { accept_dropped, recopy, overwrite_target, trust_unchanged } = round.options;
        let kind = round.purpose.kind().name();
        Self { kind, accept_dropped, recopy, overwrite_target, trust_unchanged }
    }
}

/// Copy what changed on the source since, while the application goes on writing; the job becomes READY again; takes a Project Admin
///
/// Only of a warm job whose copy is complete.
#[utoipa::path(post, path = "/v2/jobs/{jobId}/catch-up", tag = "Jobs", operation_id = "catchUpJob",
    request_body(content = Option<RoundRequest>, description = "What the catch-up may do"),
    params(("jobId" = String, Path, description = "The job")), security(("apiKey" = []), ("session" = [])),
    responses((status = 200, body = Answer<Done>), (status = "default", body = Refused)))]
pub(crate) async fn catch_up(
    State(service): State<Arc<Service>>,
    Signed(caller): Signed,
    Path(job_id): Path<String>,
    OptionalBody(request): OptionalBody<RoundRequest>,
) -> Result<Done> {
    wanted(&service, &caller, &job_id, (Purpose::CatchUp, request)).await
}

/// Copy the last changes, compare every row and switch to the target, while nobody writes to the source; takes a Project Admin
///
/// Only of a warm job whose copy is complete. Stop all writers of the source first.
#[utoipa::path(post, path = "/v2/jobs/{jobId}/cutover", tag = "Jobs", operation_id = "cutOverJob",
    request_body(content = Option<RoundRequest>, description = "What the cut-over may do"),
    params(("jobId" = String, Path, description = "The job")), security(("apiKey" = []), ("session" = [])),
    responses((status = 200, body = Answer<Done>), (status = "default", body = Refused)))]
pub(crate) async fn cut_over(
    State(service): State<Arc<Service>>,
    Signed(caller): Signed,
    Path(job_id): Path<String>,
    OptionalBody(request): OptionalBody<RoundRequest>,
) -> Result<Done> {
    wanted(&service, &caller, &job_id, (Purpose::CutOver, request)).await
}

/// Puts a job in the queue for a round.
async fn wanted(
    service: &Service,
    caller: &Caller,
    job_id: &str,
    (purpose, request): (Purpose, RoundRequest),
) -> Result<Done> {
    let RoundRequest { accept_dropped, recopy, overwrite_target, trust_unchanged, source } = request;
    let record = job(service, caller, job_id, Action::Administer).await?;
    may_begin(service, &record, purpose).await?;
    clusters::cluster(service, caller, &record.target_cluster_id, Action::Administer).await?;
    match (&record.source, source) {
        (MigrationSource::Cluster { cluster_id, .. }, None) => {
            clusters::cluster(service, caller, cluster_id, Action::Administer).await?;
        }
        (MigrationSource::Elsewhere { .. }, Some(source)) => {
            let given = access(&source)?.ok_or_else(needs_source)?;
            let endpoint = service.endpoint(&given.address, given.secret(), given.ca_pem.as_deref()).await?;
            same_source(&record, &endpoint)?;
            service.tables().set_source_secret(job_id, sealed(service, job_id, &given)?).await?;
        }
        (MigrationSource::Elsewhere { secret: Some(_) }, None) => {}
        (MigrationSource::Elsewhere { secret: None }, None) => return Err(needs_source()),
        (MigrationSource::Cluster { .. }, Some(_)) => return Err(needs_no_source()),
    }
    let options = RoundOptions { accept_dropped, recopy, overwrite_target, trust_unchanged };
    let round = WantedRound::new(purpose, options);
    if !service.tables().want_round(job_id, round, &AT_REST).await? {
        return Err(under_way());
    }
    service.wake.notify_one();
    done()
}

/// What the records say about whether a round can begin. The engine looks at all of it once more, and at the clusters.
pub(crate) async fn may_begin(
    service: &Service,
    record: &MigrationRecord,
    purpose: Purpose,
) -> std::result::Result<(), Refusal> {
    let refused = |code| Refusal::from(Problem::new(code).with("job", &record.job_id));
    if record.kind == JobKind::Plain {
        return Err(refused(Code::NotWarm));
    }
    if record.state == JobState::Successful {
        return Err(Refusal::conflict("the job is at its end", "任务已结束"));
    }
    if !AT_REST.contains(&record.state) {
        return Err(under_way());
    }
    let newest = match service.store().round(&JobId::from(record.job_id.as_str())).await {
        Ok(newest) => newest,
        Err(error) if error.kind() == ErrorKind::UnknownJob => None,
        Err(error) => return Err(error.into()),
    };
    let is_open = |round: &RoundRecord| round.state == RoundState::Open;
    match newest {
        None => Err(refused(Code::WarmCopyOpen)),
        Some(round) if is_open(&round) && round.kind == RoundKind::Warm => Err(refused(Code::WarmCopyOpen)),
        Some(round) if is_open(&round) && round.switch_intended && purpose == Purpose::CatchUp => {
            Err(refused(Code::SwitchBegun))
        }
        Some(_) => Ok(()),
    }
}

fn under_way() -> Refusal {
    Refusal::conflict(
        "the job is under way; a round begins when that has ended",
        "任务正在进行；须待其结束后才能开始新的一轮",
    )
}
