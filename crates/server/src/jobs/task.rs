//! What is done with a finished job besides: its collections are loaded, or compared once more. A task runs in the process
//! that was asked, for as long as that runs; it changes nothing that another process would have to go on with.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use vecferry_migrate::event::{Event, Observer, Phase};
use vecferry_migrate::report::{CollectionReport, FormerLoad, LoadExtent};
use vecferry_migrate::{
    Code, LoadRequest, LoadWhat, Problem, RepairScope, Report, Selection, Surface, VerifyLevel,
    VerifyRequest, retell,
};
use vecferry_milvus::{CollectionName, Endpoint};
use vecferry_store::Error as StoreError;

use crate::problem::document;
use crate::service::Service;
use crate::tables::{NewTask, TaskEnd, TaskKind, TaskState};

/// A task has failed when its process was silent for so long.
const HELD_MS: i64 = 30_000;
const HOLD_INTERVAL: Duration = Duration::from_secs(5);
/// Tasks of one organization at once.
const PER_ORGANIZATION_MAX: i64 = 4;

/// What a task is to do.
pub(crate) enum Work {
    /// Load what the source had loaded.
    Load { target: Endpoint, loads: Vec<(CollectionName, FormerLoad)> },
    /// Compare what the job copied.
    Verify { source: Endpoint, target: Endpoint, level: VerifyLevel, report: Box<Report> },
}

impl Work {
    fn kind(&self) -> TaskKind {
        match self {
            Self::Load { .. } => TaskKind::Load,
            Self::Verify { .. } => TaskKind::Verify,
        }
    }
}

/// Begins a task, and tells its ID; none where there is no room for it, or the same is under way.
pub(crate) async fn begin_task(
    service: &Arc<Service>,
    (org_id, job_id, created_by): (&str, &str, String),
    work: Work,
) -> Result<Option<String>, StoreError> {
    let Ok(permit) = Arc::clone(service.task_permits()).try_acquire_owned() else { return Ok(None) };
    let task = NewTask {
        org_id: org_id.to_owned(),
        job_id: job_id.to_owned(),
        kind: work.kind(),
        created_by,
        holder: service.process().to_owned(),
    };
    let begun = service.tables().begin_task(task, HELD_MS, PER_ORGANIZATION_MAX).await?;
    let Some(task_id) = begun else { return Ok(None) };
    let (service, id) = (Arc::clone(service), task_id.clone());
    let span = tracing::info_span!("task", %task_id, %job_id);
    let task = async move {
        let _permit = permit;
        let cancel = service.stopping().child_token();
        let done = async {
            tokio::select! {
                end = worked(&service, &id, work, cancel.clone()) => end,
                () = hold(&service, &id) => failed(&[stopped()]),
                () = service.stopping().cancelled() => failed(&[stopped()]),
            }
        };
        let end = done.await;
        tracing::info!(state = end.state.name(), "the task ended");
        if let Err(error) = service.tables().end_task(&id, end).await {
            tracing::warn!(%error, "the end of the task is not recorded");
        }
    };
    tokio::spawn(task.instrument(span));
    Ok(Some(task_id))
}

/// That a process ended before its task did.
pub(crate) fn stopped() -> Problem {
    let problem = Problem::new(Code::ServiceUnavailable);
    let problem = problem.with("detail", "the service was stopped before the task ended; begin it again");
    problem.with("detail_zh", "任务结束前服务已停止；请重新开始")
}

/// Says again and again that the task is worked on, for as long as it is recorded as that.
async fn hold(service: &Service, task_id: &str) {
    loop {
        tokio::time::sleep(HOLD_INTERVAL).await;
        match service.tables().hold_task(task_id, HELD_MS).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => tracing::debug!(%error, "the task waits for the store"),
        }
    }
}

/// The futures of the engine are large: they are boxed where they are made.
fn worked<'a>(
    service: &'a Service,
    task_id: &'a str,
    work: Work,
    cancel: CancellationToken,
) -> std::pin::Pin<Box<dyn Future<Output = TaskEnd> + Send + 'a>> {
    Box::pin(async move {
        match work {
            Work::Load { target, loads } => {
                let total = loads.iter().filter(|(_, load)| load.extent != LoadExtent::Nothing).count();
                let request = LoadRequest { target, what: LoadWhat::AsOnSource(loads), replicas: None };
                let (observer, seen) = loaded_one_by_one();
                let loaded = tokio::select! {
                    loaded = vecferry_migrate::load(request, observer, cancel) => loaded,
                    never = tell_loaded(service, task_id, total, seen) => match never {},
                };
                match loaded {
                    Ok(names) => {
                        let loaded: Vec<_> = names.iter().map(ToString::to_string).collect();
                        successful(&json!({ "collections": loaded }))
                    }
                    Err(problems) => failed(&problems),
                }
            }
            Work::Verify { source, target, level, report } => {
                let request = match comparison(source, target, level, &report) {
                    Ok(request) => request,
                    Err(problem) => return failed(&[problem]),
                };
                match vecferry_migrate::verify(request, Arc::new(Unobserved), cancel).await {
                    Ok(report) => of_report(&report),
                    Err(problems) => failed(&problems),
                }
            }
        }
    })
}

/// What a job copied, to be compared once more.
fn comparison(
    source: Endpoint,
    target: Endpoint,
    level: VerifyLevel,
    report: &Report,
) -> Result<VerifyRequest, Problem> {
    // Nothing named would stand for everything.
    if report.collections.is_empty() {
        return Err(Problem::new(Code::NothingSelected));
    }
    let name = |of: &CollectionReport| format!("{}.{}", of.source_db, of.collection);
    let names: Vec<_> = report.collections.iter().map(name).collect();
    let databases = report.collections.iter().map(|of| (of.source_db.clone(), of.target_db.clone()));
    Ok(VerifyRequest {
        source,
        target,
        selection: Selection::parse(&names, &[])?,
        visible_only: false,
        target_dbs: databases.filter(|(source, target)| source != target).collect(),
        level,
        repair: RepairScope::Nothing,
    })
}

fn of_report(report: &Report) -> TaskEnd {
    let mut result = serde_json::to_value(report).unwrap_or_default();
    retell(&mut result, Surface::Service);
    let is_equal = report.problems.is_empty();
    let end = if is_equal { successful(&result) } else { failed(&report.problems) };
    TaskEnd { result: Some(result.to_string()), ..end }
}

fn successful(result: &Value) -> TaskEnd {
    TaskEnd { state: TaskState::Successful, reason: None, result: Some(result.to_string()) }
}

fn failed(problems: &[Problem]) -> TaskEnd {
    let problems: Vec<_> = problems.iter().map(document).collect();
    TaskEnd { state: TaskState::Failed, reason: Some(Value::Array(problems).to_string()), result: None }
}

/// Tells each collection that is loaded.
struct Loaded(UnboundedSender<String>);

impl Observer for Loaded {
    fn on_event(&self, event: Event) {
        if let Event::Phase { collection, phase: Phase::Done } = event {
            // Whoever listens ends with the task.
            let _ = self.0.send(collection.to_string());
        }
    }
}

fn loaded_one_by_one() -> (Arc<dyn Observer>, UnboundedReceiver<String>) {
    // One message a collection of a job: it needs no bound of its own.
    let (sender, seen) = unbounded_channel();
    (Arc::new(Loaded(sender)), seen)
}

/// Records how many are loaded, for whoever looks.
async fn tell_loaded(
    service: &Service,
    task_id: &str,
    total: usize,
    mut seen: UnboundedReceiver<String>,
) -> Infallible {
    let mut loaded = Vec::new();
    loop {
        let result = json!({ "collections": loaded, "total": total }).to_string();
        if let Err(error) = service.tables().record_task(task_id, result).await {
            tracing::debug!(%error, "how far the task is was not recorded");
        }
        match seen.recv().await {
            Some(name) => loaded.push(name),
            None => std::future::pending().await,
        }
    }
}

/// Nobody watches a comparison.
struct Unobserved;

impl Observer for Unobserved {
    fn on_event(&self, _: Event) {}
}
