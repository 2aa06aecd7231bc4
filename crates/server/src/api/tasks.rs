//! What is done with a finished job besides: to load what it copied, and to compare it once more.

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use vecferry_migrate::report::{FormerLoad, LoadExtent};
use vecferry_migrate::{JobState, Report, VerifyLevel};
use vecferry_milvus::{CollectionName, Endpoint};
use vecferry_store::{ErrorKind, JobId};

use super::answer::{Answer, Refusal, Refused, Result, answer};
use super::clusters;
use super::extract::{Body, OptionalBody, Path, Signed, time};
use super::jobs::job;
use super::migrations::{Source, access};
use crate::access::{Action, Caller};
use crate::jobs::{Work, begin_task, cluster_side, stopped};
use crate::problem::document;
use crate::service::Service;
use crate::tables::{MigrationRecord, MigrationSource, TaskKind, TaskRecord, TaskState};

/// To compare source and target of a job once more.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct VerifyRequest {
    /// `count`, `sample` or `full`.
    #[schema(value_type = String, example = "sample")]
    pub(crate) level: VerifyLevel,
    /// For a source that is not registered, whose credential was erased. It is not kept.
    #[serde(default)]
    pub(crate) source: Option<Source>,
}

/// What of a job is to be loaded.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct LoadRequest {
    /// Only these collections, by their names on the target, `db.name`; absent: all that the source had loaded.
    #[serde(default)]
    #[schema(example = json!(["default.products"]))]
    pub(crate) collections: Option<Vec<String>>,
}

/// A task was begun.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TaskMade {
    #[schema(example = "task-0197b1e0c2d37c0f8a4b2f9f6f2f7c1a")]
    pub(crate) task_id: String,
}

/// A task.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Task {
    pub(crate) task_id: String,
    pub(crate) job_id: String,
    /// `LOAD` or `VERIFY`.
    #[schema(example = "VERIFY")]
    pub(crate) kind: &'static str,
    /// `IN_PROGRESS`, `SUCCESSFUL` or `FAILED`.
    #[schema(example = "SUCCESSFUL")]
    pub(crate) status: &'static str,
    pub(crate) create_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) end_time: Option<String>,
    pub(crate) created_by: String,
    /// Why it failed; for a comparison also what differs. At most 100 problems.
    #[schema(value_type = Vec<Object>)]
    pub(crate) problems: Vec<Value>,
    /// Problems that are left out; absent where none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) problems_left_out: Option<usize>,
    /// What was loaded, or the report of the comparison: of the last ten comparisons.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub(crate) result: Option<Value>,
    /// Whether there is a result that is left out.
    pub(crate) result_left_out: bool,
}

/// Problems of a task.
const PROBLEMS_MAX: usize = 100;

fn shown(record: TaskRecord) -> Task {
    let told = record.reason.and_then(|text| serde_json::from_str::<Vec<Value>>(&text).ok());
    let mut problems = match (told, record.state) {
        (Some(problems), _) => problems,
        // Its process could say nothing any more.
        (None, TaskState::Failed) => vec![document(&stopped())],
        (None, TaskState::InProgress | TaskState::Successful) => Vec::new(),
    };
    let left_out = problems.len().saturating_sub(PROBLEMS_MAX);
    problems.truncate(PROBLEMS_MAX);
    Task {
        task_id: record.task_id,
        job_id: record.job_id,
        kind: record.kind.name(),
        status: record.state.name(),
        create_time: time(record.created_ms),
        end_time: record.ended_ms.map(time),
        created_by: record.created_by,
        problems,
        problems_left_out: Some(left_out).filter(|count| *count > 0),
        result: record.result.and_then(|text| serde_json::from_str(&text).ok()),
        result_left_out: record.is_result_left_out,
    }
}

/// The report of a job that is successful.
async fn report_of(service: &Service, record: &MigrationRecord) -> std::result::Result<Box<Report>, Refusal> {
    if record.state != JobState::Successful {
        return Err(Refusal::conflict("the job is not successful", "该任务未成功完成"));
    }
    let text = match service.store().job(&JobId::from(record.job_id.as_str())).await {
        Ok(job) => job.report.filter(|text| !text.is_empty()),
        Err(error) if error.kind() == ErrorKind::UnknownJob => None,
        Err(error) => return Err(error.into()),
    };
    let text = text.ok_or_else(|| Refusal::conflict("the job has no report", "该任务没有报告"))?;
    serde_json::from_str(&text).map(Box::new).map_err(Refusal::unavailable)
}

async fn begun(service: &Arc<Service>, caller: &Caller, job_id: &str, work: Work) -> Result<TaskMade> {
    let of = (caller.org_id.as_str(), job_id, caller.actor.to_string());
    match begin_task(service, of, work).await? {
        Some(task_id) => answer(TaskMade { task_id }),
        None => Err(Refusal::conflict(
            "the same is under way for this job, or too many tasks are; ask again when one has ended",
            "该任务已有相同的操作正在进行，或进行中的操作过多；请在其结束后重试",
        )),
    }
}

/// Load on the target what the source had loaded, behind a successful job; takes a Project Admin
#[utoipa::path(post, path = "/v2/jobs/{jobId}/load", tag = "Jobs", operation_id = "loadJob",
    request_body(content = Option<LoadRequest>, description = "Absent: everything that the source had loaded"),
    params(("jobId" = String, Path, description = "The job")), security(("apiKey" = []), ("session" = [])),
    responses((status = 200, body = Answer<TaskMade>), (status = "default", body = Refused)))]
pub(crate) async fn load(
    State(service): State<Arc<Service>>,
    Signed(caller): Signed,
    Path(job_id): Path<String>,
    OptionalBody(request): OptionalBody<LoadRequest>,
) -> Result<TaskMade> {
    let record = job(&service, &caller, &job_id, Action::Administer).await?;
    let report = report_of(&service, &record).await?;
    let target = clusters::cluster(&service, &caller, &record.target_cluster_id, Action::Administer).await?;
    let target = service.endpoint_of(&target).await?;
    let loads = match &request.collections {
        None => report.former_loads(),
        Some(names) => chosen(&report, names)?,
    };
    begun(&service, &caller, &job_id, Work::Load { target, loads }).await
}

/// The named collections of a job, as its source held them; one that it did not have loaded, whole.
fn chosen(
    report: &Report,
    names: &[String],
) -> std::result::Result<Vec<(CollectionName, FormerLoad)>, Refusal> {
    let all = report.former_loads();
    let one = |name: &String| {
        let found = all.iter().find(|(known, _)| known.to_string() == *name);
        let (known, former) = found.ok_or_else(|| {
            Refusal::bad_told(
                format!("the job did not copy `{name}` completely"),
                format!("该任务没有完整复制 `{name}`"),
            )
        })?;
        let former = match former.extent {
            LoadExtent::Nothing => FormerLoad { extent: LoadExtent::Whole, ..former.clone() },
            LoadExtent::Part | LoadExtent::Whole => former.clone(),
        };
        Ok((known.clone(), former))
    };
    names.iter().map(one).collect()
}

/// Compare source and target of a successful job once more; takes a Project Admin
#[utoipa::path(post, path = "/v2/jobs/{jobId}/verify", tag = "Jobs", operation_id = "verifyJob", request_body = VerifyRequest,
    params(("jobId" = String, Path, description = "The job")), security(("apiKey" = []), ("session" = [])),
    responses((status = 200, body = Answer<TaskMade>), (status = "default", body = Refused)))]
pub(crate) async fn verify(
    State(service): State<Arc<Service>>,
    Signed(caller): Signed,
    Path(job_id): Path<String>,
    Body(VerifyRequest { level, source }): Body<VerifyRequest>,
) -> Result<TaskMade> {
    let record = job(&service, &caller, &job_id, Action::Administer).await?;
    if level == VerifyLevel::None {
        return Err(Refusal::bad_told(
            "`level` is `none`, which compares nothing",
            "`level` 为 `none`，不会比较任何内容",
        ));
    }
    let report = report_of(&service, &record).await?;
    let target = clusters::cluster(&service, &caller, &record.target_cluster_id, Action::Administer).await?;
    let target = service.endpoint_of(&target).await?;
    let source = source_of(&service, &record, source).await?;
    let work = Work::Verify { source, target, level, report };
    begun(&service, &caller, &job_id, work).await
}

/// The source of a job: as it is registered, or as it is given once more.
async fn source_of(
    service: &Service,
    record: &MigrationRecord,
    given: Option<Source>,
) -> std::result::Result<Endpoint, Refusal> {
    match (&record.source, given) {
        (MigrationSource::Cluster { cluster_id, .. }, None) => {
            Ok(cluster_side(service, &record.org_id, cluster_id).await?.0)
        }
        (MigrationSource::Cluster { .. }, Some(_)) => Err(super::jobs::needs_no_source()),
        (MigrationSource::Elsewhere { .. }, None) => Err(super::jobs::needs_source()),
        (MigrationSource::Elsewhere { .. }, Some(source)) => {
            let given = access(&source)?.ok_or_else(super::jobs::needs_source)?;
            let endpoint = service.endpoint(&given.address, given.secret(), given.ca_pem.as_deref()).await?;
            super::jobs::same_source(record, &endpoint)?;
            Ok(endpoint)
        }
    }
}

/// The last 100 tasks of a job with their results, newest first
#[utoipa::path(get, path = "/v2/jobs/{jobId}/tasks", tag = "Jobs", operation_id = "listTasks", security(("apiKey" = []), ("session" = [])),
    params(("jobId" = String, Path, description = "The job")),
    responses((status = 200, body = Answer<Vec<Task>>), (status = "default", body = Refused)))]
pub(crate) async fn list(
    State(service): State<Arc<Service>>,
    Signed(caller): Signed,
    Path(job_id): Path<String>,
) -> Result<Vec<Task>> {
    job(&service, &caller, &job_id, Action::Look).await?;
    answer(of_job(&service, &job_id, &[TaskKind::Load, TaskKind::Verify]).await?)
}

/// The last tasks of a job that the caller sees, with the results of some kinds.
pub(crate) async fn of_job(
    service: &Service,
    job_id: &str,
    results: &[TaskKind],
) -> std::result::Result<Vec<Task>, Refusal> {
    Ok(service.tables().tasks(job_id, results).await?.into_iter().map(shown).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_whose_process_died_says_why_it_failed() {
        let record = |state, reason: Option<&str>| TaskRecord {
            task_id: "task".into(),
            job_id: "job".into(),
            kind: TaskKind::Load,
            state,
            reason: reason.map(str::to_owned),
            result: None,
            is_result_left_out: false,
            created_by: "user".into(),
            created_ms: 0,
            ended_ms: Some(0),
        };
        let died = shown(record(TaskState::Failed, None));
        assert_eq!(died.status, "FAILED");
        assert!(died.problems[0]["message"].as_str().unwrap().contains("was stopped"), "{died:?}");
        assert!(died.problems[0]["message_zh"].as_str().unwrap().contains("服务已停止"), "{died:?}");
        let told = shown(record(TaskState::Failed, Some(r#"[{"code":"VF-1"}]"#)));
        assert_eq!(told.problems[0]["code"], "VF-1");
        assert_eq!(shown(record(TaskState::InProgress, None)).problems, [] as [Value; 0]);
        let many = Value::Array(vec![serde_json::json!({"code": "VF-1"}); PROBLEMS_MAX + 2]).to_string();
        let many = shown(record(TaskState::Failed, Some(&many)));
        assert_eq!((many.problems.len(), many.problems_left_out), (PROBLEMS_MAX, Some(2)));
        assert_eq!(told.problems_left_out, None);
    }
}
