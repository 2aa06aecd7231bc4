//! To watch jobs, end them, and go on with them.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use vecferry_migrate::event::Phase;
use vecferry_migrate::{Code, JobState, MaxRate, Problem, Report, Status, StatusPart, set_max_rate};
use vecferry_milvus::Endpoint;
use vecferry_report::figures;
use vecferry_store::{ErrorKind, JobId};
use vecferry_words::Lang;

use super::answer::{Answer, Done, Refusal, Refused, Result, answer, documents, done};
use super::clusters;
use super::extract::{Body, OptionalBody, Path, Query, Signed, not_allowed, optional_text, page_rows};
use super::migrations::{Source, access, sealed};
use super::projects::project;
use super::rounds::NextRound;
use crate::access::{Action, Caller};
use crate::jobs::{Job, shown, time};
use crate::service::Service;
use crate::tables::{MigrationPage, MigrationRecord, MigrationSource, Point, Wanted};

/// What people call a job.
pub(crate) const KIND: (&str, &str) = ("job", "任务");

/// Which jobs.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct JobsQuery {
    /// The cursor of the page before.
    pub(crate) cursor: Option<String>,
    /// Jobs of a page, 1 to 100.
    pub(crate) page_size: Option<i64>,
    /// Only into or out of clusters of this project.
    pub(crate) project_id: Option<String>,
    /// Only with this cluster on one side.
    pub(crate) cluster_id: Option<String>,
    /// Only in this state, or in one of several with commas between them.
    pub(crate) status: Option<String>,
    /// Only those whose ID, addresses or names of clusters hold this text.
    pub(crate) search: Option<String>,
}

/// A page of jobs, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Jobs {
    pub(crate) jobs: Vec<Job>,
    /// For the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cursor: Option<String>,
}

/// Which collections of a job.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DetailsQuery {
    /// The cursor of the page of collections before.
    pub(crate) cursor: Option<String>,
    /// Collections of a page, 1 to 1000; without it, 1000.
    pub(crate) page_size: Option<i64>,
}

/// A job with its collections.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JobDetails {
    pub(crate) job: Job,
    /// What was asked for.
    #[schema(value_type = Object)]
    pub(crate) request: Value,
    /// The round that was asked for, from then until it ends; absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_round: Option<NextRound>,
    /// Progress by collection, a page of them in the order of the plan, and the newest 1,000 steps that collections entered, with
    /// how many older ones are left out in `history_left_out`: `GET /v2/jobs/{jobId}/events` brings all. Absent before the
    /// job began.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub(crate) progress: Option<Value>,
    /// For the next page of collections; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cursor: Option<String>,
    /// How far the copy was from time to time, oldest first; at most 240 points. Between two points of the same `run` the
    /// rate is what they differ by; between two runs nothing ran the job.
    pub(crate) pace: Vec<PacePoint>,
    /// What stood in the way; at most 1,000 problems. The report has all.
    #[schema(value_type = Vec<Object>)]
    pub(crate) problems: Vec<Value>,
    /// Problems that are left out; absent where none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) problems_left_out: Option<usize>,
}

/// Collections of a page of details.
const COLLECTIONS_MAX: usize = 1_000;
/// Steps of details.
const STEPS_MAX: usize = 1_000;
/// Problems of details.
const PROBLEMS_MAX: usize = 1_000;

/// How far a copy was at a time.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PacePoint {
    pub(crate) time: String,
    /// Which time that a process took the job, from 1.
    pub(crate) run: u32,
    /// Rows that the target acknowledged.
    pub(crate) rows_done: u64,
    /// Bytes of these rows.
    pub(crate) bytes_done: u64,
}

impl From<&Point> for PacePoint {
    fn from(point: &Point) -> Self {
        Self { time: time(point.at_ms), run: point.run, rows_done: point.rows, bytes_done: point.bytes }
    }
}

/// To go on: a source that is not registered is given once more, for its credential was erased.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ResumeRequest {
    #[serde(default)]
    pub(crate) source: Option<Source>,
}

/// How a job ends.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CancelRequest {
    /// Whether what the job created on the target is removed, also of a job that is at its end.
    #[serde(default)]
    pub(crate) clean: bool,
    /// To remove what a job migrated that is `SUCCESSFUL`: its job ID once more, as the confirmation.
    #[serde(default)]
    #[schema(example = "0197b1e0-c2d3-7c0f-8a4b-2f9f6f2f7c1a")]
    pub(crate) confirm: Option<String>,
}

/// A limit of the data rate.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RateRequest {
    /// As `20MB/s`, `500KB/s` or `1000rows/s`; `none` for no limit.
    #[schema(example = "20MB/s")]
    pub(crate) max_rate: String,
}

/// Which form of the report.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ReportQuery {
    /// `json` or `html`.
    pub(crate) format: Option<String>,
    /// The language of the page: `en` or `zh`.
    pub(crate) lang: Option<String>,
}

/// A job that the caller sees, and with which an action is allowed.
pub(crate) async fn job(
    service: &Service,
    caller: &Caller,
    job_id: &str,
    action: Action,
) -> std::result::Result<MigrationRecord, Refusal> {
    let record = service.tables().migration(&caller.org_id, job_id).await?;
    // Whoever sees one of its clusters sees the job.
    let is_seen = |record: &MigrationRecord| record.projects().any(|id| caller.may(Action::Look, id));
    let record = record.filter(is_seen).ok_or_else(|| Refusal::absent(KIND, job_id))?;
    if action != Action::Look {
        for project_id in record.projects() {
            if !caller.may(action, project_id) {
                return Err(not_allowed(action.needs().title(), caller.title_in(project_id)));
            }
        }
    }
    Ok(record)
}

/// Characters of a search.
const SEARCH_CHARACTERS_MAX: usize = 200;

fn states(names: &str) -> std::result::Result<Vec<JobState>, Refusal> {
    let state = |name: &str| {
        JobState::of_name(name).ok_or_else(|| {
            Refusal::bad_told(format!("`status` is `{name}`"), format!("`status` 为 `{name}`"))
        })
    };
    names.split(',').map(state).collect()
}

/// A page of the jobs that a caller sees, and the cursor of the next one.
pub(crate) async fn found(
    service: &Service,
    caller: &Caller,
    query: JobsQuery,
) -> std::result::Result<(Vec<MigrationRecord>, Option<String>), Refusal> {
    let rows = page_rows(query.page_size)?;
    let search = query.search.as_deref().map(|search| optional_text("search", search, SEARCH_CHARACTERS_MAX));
    let projects = match query.project_id {
        Some(project_id) => {
            project(service, caller, &project_id, Action::Look).await?;
            Some(vec![project_id])
        }
        None => caller.visible(),
    };
    let page = MigrationPage {
        projects,
        states: query.status.as_deref().map(states).transpose()?.unwrap_or_default(),
        cluster_id: query.cluster_id,
        search: search.transpose()?.filter(|search| !search.is_empty()),
        before: query.cursor,
        rows,
    };
    let records = service.tables().migrations(&caller.org_id, page).await?;
    let is_full = i64::try_from(records.len()).is_ok_and(|count| count == rows);
    let cursor = records.last().filter(|_| is_full).map(|last| last.job_id.clone());
    Ok((records, cursor))
}

/// The jobs that the caller sees, newest first
#[utoipa::path(get, path = "/v2/jobs", tag = "Jobs", operation_id = "listJobs", params(JobsQuery), security(("apiKey" = []), ("session" = [])),
    responses((status = 200, body = Answer<Jobs>), (status = "default", body = Refused)))]
pub(crate) async fn list(
    State(service): State<Arc<Service>>,
    Signed(caller): Signed,
    language: Language,
    Query(query): Query<JobsQuery>,
) -> Result<Jobs> {
    let (records, cursor) = found(&service, &caller, query).await?;
    answer(Jobs { jobs: records.iter().map(|record| shown(record, language.0)).collect(), cursor })
}

/// A job
#[utoipa::path(get, path = "/v2/jobs/{jobId}", tag = "Jobs", operation_id = "showJob", security(("apiKey" = []), ("session" = [])),
    params(("jobId" = String, Path, description = "The job")),
    responses((status = 200, body = Answer<Job>), (status = "default", body = Refused)))]
pub(crate) async fn show(
    State(service): State<Arc<Service>>,
    Signed(caller): Signed,
    language: Language,
    Path(job_id): Path<String>,
) -> Result<Job> {
    answer(shown(&job(&service, &caller, &job_id, Action::Look).await?, language.0))
}

/// A job with its collections, steps and problems
#[utoipa::path(get, path = "/v2/jobs/{jobId}/details", tag = "Jobs", operation_id = "showJobDetails", security(("apiKey" = []), ("session" = [])),
    params(("jobId" = String, Path, description = "The job"), DetailsQuery),
    responses((status = 200, body = Answer<JobDetails>), (status = "default", body = Refused)))]
pub(crate) async fn details(
    State(service): State<Arc<Service>>,
    Signed(caller): Signed,
    language: Language,
    Path(job_id): Path<String>,
    Query(query): Query<DetailsQuery>,
) -> Result<JobDetails> {
    let record = job(&service, &caller, &job_id, Action::Look).await?;
    let (progress, cursor) = match progress(&service, &job_id, &query).await? {
        Some((status, cursor)) => (Some(documents(&status)?), cursor),
        None => (None, None),
    };
    let document = |text: Option<&str>| text.and_then(|text| serde_json::from_str(text).ok());
    let problems = document(record.reason.as_deref());
    let mut problems: Vec<Value> =
        problems.and_then(|found| serde_json::from_value(found).ok()).unwrap_or_default();
    let left_out = problems.len().saturating_sub(PROBLEMS_MAX);
    problems.truncate(PROBLEMS_MAX);
    answer(JobDetails {
        job: shown(&record, language.0),
        request: document(Some(&record.request)).unwrap_or_default(),
        next_round: record.next_round.map(NextRound::from),
        progress,
        cursor,
        pace: service.tables().pace(&job_id).await?.points().iter().map(PacePoint::from).collect(),
        problems,
        problems_left_out: Some(left_out).filter(|count| *count > 0),
    })
}

/// A page of the collections of a job with its newest steps, and the cursor of the next page; none before it began. The last
/// steps of its collections are known from before: the history of a job may be long.
async fn progress(
    service: &Service,
    job_id: &str,
    query: &DetailsQuery,
) -> std::result::Result<Option<(Status, Option<String>)>, Refusal> {
    let (skipped, collections_max) = collections_page(query)?;
    let job_id = JobId::from(job_id);
    let lines = service.outline(&job_id).await?;
    let total = lines.len();
    let entered = lines.into_iter().filter(|line| line.phase != Phase::Waiting);
    let entered = entered.map(|line| (line.name, line.phase)).collect();
    let part = StatusPart { entered: &entered, steps_max: STEPS_MAX, skipped, collections_max };
    let status = match Status::part(&**service.store(), &job_id, part).await {
        Ok(status) => status,
        // It did not begin yet.
        Err(problem) if problem.code == Code::UnknownJob => return Ok(None),
        Err(problem) => return Err(problem.into()),
    };
    let next = skipped.saturating_add(collections_max);
    Ok(Some((status, (next < total).then(|| next.to_string()))))
}

/// How many collections are skipped, and how many are wanted.
fn collections_page(query: &DetailsQuery) -> std::result::Result<(usize, usize), Refusal> {
    let skipped = query.cursor.as_deref().map_or(Ok(0), |text| {
        text.parse()
            .map_err(|_| Refusal::bad_told("`cursor` is none of this list", "`cursor` 不是该列表的游标"))
    })?;
    let size = query.page_size.map_or(Ok(COLLECTIONS_MAX), |size| {
        let size = usize::try_from(size).ok().filter(|size| (1..=COLLECTIONS_MAX).contains(size));
        size.ok_or_else(|| Refusal::bad_told("`pageSize` is not from 1 to 1000", "`pageSize` 应为 1 到 1000"))
    })?;
    Ok((skipped, size))
}

/// The report of a job that began: as JSON, or as a page
#[utoipa::path(get, path = "/v2/jobs/{jobId}/report", tag = "Jobs", operation_id = "showReport",
    params(("jobId" = String, Path, description = "The job"), ReportQuery), security(("apiKey" = []), ("session" = [])),
    responses((status = 200, description = "The report: an envelope, or a page",
            content((Object = "application/json"), (String = "text/html"))), (status = "default", body = Refused)))]
pub(crate) async fn report(
    State(service): State<Arc<Service>>,
    Signed(caller): Signed,
    Path(job_id): Path<String>,
    Query(query): Query<ReportQuery>,
) -> std::result::Result<Response, Refusal> {
    job(&service, &caller, &job_id, Action::Look).await?;
    let recorded = match service.store().job(&JobId::from(job_id.as_str())).await {
        Ok(record) => record.report.filter(|text| !text.is_empty()),
        Err(error) if error.kind() == ErrorKind::UnknownJob => None,
        Err(error) => return Err(error.into()),
    };
    let Some(text) = recorded else {
        return Err(Refusal::conflict("the job has no report yet", "该任务还没有报告"));
    };
    let lang = match query.lang.as_deref() {
        None | Some("en") => Lang::En,
        Some("zh") => Lang::Zh,
        Some(_) => return Err(Refusal::bad_told("`lang` is not `en` or `zh`", "`lang` 应为 `en` 或 `zh`")),
    };
    match query.format.as_deref() {
        None | Some("json") => {
            let value: Value = serde_json::from_str(&text).map_err(Refusal::unavailable)?;
            Ok(answer(documents(&value)?)?.into_response())
        }
        Some("html") => {
            let report: Report = serde_json::from_str(&text).map_err(Refusal::unavailable)?;
            let page = vecferry_report::page::html(&report, lang, None);
            let kind = [
                (header::CONTENT_TYPE, "text/html; charset=utf-8"),
                (
                    header::CONTENT_SECURITY_POLICY,
                    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; \
                     frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
                ),
            ];
            Ok((kind, page).into_response())
        }
        Some(_) => {
            Err(Refusal::bad_told("`format` is not `json` or `html`", "`format` 应为 `json` 或 `html`"))
        }
    }
}

/// End a job; with `clean` remove what it created on the target, also after its end; takes a Project Admin
#[utoipa::path(post, path = "/v2/jobs/{jobId}/cancel", tag = "Jobs", operation_id = "cancelJob",
    request_body(content = Option<CancelRequest>, description = "Needed only to remove what the job created"),
    params(("jobId" = String, Path, description = "The job")), security(("apiKey" = []), ("session" = [])),
    responses((status = 200, body = Answer<Done>), (status = "default", body = Refused)))]
pub(crate) async fn cancel(
    State(service): State<Arc<Service>>,
    Signed(caller): Signed,
    Path(job_id): Path<String>,
    OptionalBody(CancelRequest { clean, confirm }): OptionalBody<CancelRequest>,
) -> Result<Done> {
    let record = job(&service, &caller, &job_id, Action::Administer).await?;
    if clean && !record.state.is_open() && !has_begun(&service, &job_id).await? {
        return Err(Refusal::conflict("the job created nothing", "任务没有创建任何内容"));
    }
    let mut states = vec![JobState::Pending, JobState::InProgress, JobState::Canceling, JobState::Ready];
    let is_confirmed = confirm.as_deref() == Some(job_id.as_str());
    let wanted = match clean {
        true => {
            states.extend([JobState::Failed, JobState::Canceled]);
            states.extend(is_confirmed.then_some(JobState::Successful));
            service.tables().want(&job_id, Wanted::Clean, &states).await?
        }
        false => service.tables().want(&job_id, Wanted::Cancel, &states).await?,
    };
    if !wanted && clean {
        // It may have become successful only now, while somebody meant to stop it.
        return Err(not_confirmed(&service, &record).await?);
    }
    if !wanted {
        return Err(Refusal::conflict("the job is at its end", "任务已结束"));
    }
    service.wake.notify_one();
    done()
}

/// That a job was successful, and what would be removed if that was confirmed.
async fn not_confirmed(service: &Service, record: &MigrationRecord) -> std::result::Result<Refusal, Refusal> {
    let summary = service.store().summary(&JobId::from(record.job_id.as_str())).await?;
    let (collections, rows) = (summary.collections_total, figures::count(summary.rows_done));
    let (count, target) = (figures::count(collections), &record.target_address);
    let english = if collections == 1 { "collection" } else { "collections" };
    Ok(Refusal::conflict(
        format!(
            "the job was successful: `clean` removes the {count} {english} with {rows} rows that it migrated to {target}; \
             confirm that with the job ID in `confirm`"
        ),
        format!(
            "任务已成功：`clean` 会删除它迁移到 {target} 的 {count} 个 Collection（共 {rows} 行）；\
             如确需删除，请在 `confirm` 中填写任务 ID"
        ),
    ))
}

/// Whether a job came to the point where it may have created something.
async fn has_begun(service: &Service, job_id: &str) -> std::result::Result<bool, Refusal> {
    match service.store().job(&JobId::from(job_id)).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnknownJob => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Go on with a job that failed or was canceled; takes a Project Admin
#[utoipa::path(post, path = "/v2/jobs/{jobId}/resume", tag = "Jobs", operation_id = "resumeJob",
    request_body(content = Option<ResumeRequest>, description = "Needed only where the source is not registered"),
    params(("jobId" = String, Path, description = "The job")), security(("apiKey" = []), ("session" = [])),
    responses((status = 200, body = Answer<Done>), (status = "default", body = Refused)))]
pub(crate) async fn resume(
    State(service): State<Arc<Service>>,
    Signed(caller): Signed,
    Path(job_id): Path<String>,
    OptionalBody(request): OptionalBody<ResumeRequest>,
) -> Result<Done> {
    let record = job(&service, &caller, &job_id, Action::Administer).await?;
    let ended = [JobState::Failed, JobState::Canceled];
    if !ended.contains(&record.state) {
        return Err(Refusal::conflict(
            "only a job that failed or was canceled goes on",
            "只有失败或已取消的任务可以继续",
        ));
    }
    clusters::cluster(&service, &caller, &record.target_cluster_id, Action::Administer).await?;
    match (&record.source, request.source) {
        (MigrationSource::Cluster { cluster_id, .. }, None) => {
            clusters::cluster(&service, &caller, cluster_id, Action::Administer).await?;
        }
        (MigrationSource::Elsewhere { .. }, Some(source)) => {
            let given = access(&source)?.ok_or_else(needs_source)?;
            let endpoint = service.endpoint(&given.address, given.secret(), given.ca_pem.as_deref()).await?;
            same_source(&record, &endpoint)?;
            let secret = sealed(&service, &job_id, &given)?;
            service.tables().set_source_secret(&job_id, secret).await?;
        }
        (MigrationSource::Elsewhere { .. }, None) => return Err(needs_source()),
        (MigrationSource::Cluster { .. }, Some(_)) => return Err(needs_no_source()),
    }
    if !service.tables().want(&job_id, Wanted::Run, &ended).await? {
        return Err(Refusal::conflict("the job goes on already", "任务已在继续"));
    }
    service.wake.notify_one();
    done()
}

/// Refuses another source than the job had.
pub(crate) fn same_source(record: &MigrationRecord, given: &Endpoint) -> std::result::Result<(), Refusal> {
    if given.to_string() == record.source_address {
        return Ok(());
    }
    Err(Refusal::bad_told(
        format!("the source of this job is {}", record.source_address),
        format!("该任务的源集群是 {}", record.source_address),
    ))
}

pub(crate) fn needs_no_source() -> Refusal {
    Refusal::bad_told(
        "the source of this job is registered; leave `source` out",
        "该任务的源集群已注册；请省略 `source`",
    )
}

pub(crate) fn needs_source() -> Refusal {
    Refusal::bad_told(
        "the source of this job is not registered, and its credential was erased; give `source.endpoint` and `source.token`",
        "该任务的源集群未注册，其凭证已删除；请提供 `source.endpoint` 和 `source.token`",
    )
}

/// Limit the data rate of a job that began, or lift the limit; takes a Project Admin
#[utoipa::path(put, path = "/v2/jobs/{jobId}/rate", tag = "Jobs", operation_id = "setJobRate", request_body = RateRequest,
    params(("jobId" = String, Path, description = "The job")), security(("apiKey" = []), ("session" = [])),
    responses((status = 200, body = Answer<Done>), (status = "default", body = Refused)))]
pub(crate) async fn set_rate(
    State(service): State<Arc<Service>>,
    Signed(caller): Signed,
    Path(job_id): Path<String>,
    Body(RateRequest { max_rate }): Body<RateRequest>,
) -> Result<Done> {
    job(&service, &caller, &job_id, Action::Administer).await?;
    let max_rate = MaxRate::parse(&max_rate)?;
    match set_max_rate(&**service.store(), &JobId::from(job_id.as_str()), max_rate).await {
        Ok(_) => done(),
        Err(problem) if problem.code == Code::UnknownJob => {
            Err(Refusal::conflict("the job did not begin yet", "任务尚未开始"))
        }
        Err(problem) if problem.code == Code::JobIsComplete => {
            Err(Refusal::conflict("the job is at its end", "任务已结束"))
        }
        Err(problem) => Err(Problem::into(problem)),
    }
}

/// The language in which a job is told of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Language(pub(crate) Lang);

impl axum::extract::FromRequestParts<Arc<Service>> for Language {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut axum::http::request::Parts,
        _: &Arc<Service>,
    ) -> std::result::Result<Self, Self::Rejection> {
        Ok(Self(super::request::language(&parts.headers)))
    }
}
