//! What is done with a finished job besides: its collections are loaded, or compared once more. A task runs in the process
//! that was asked, for as long as that runs; it changes nothing that another process would have to go on with.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use vecferry_migrate::event::{Awaited, Event, Observer, Phase};
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

/// What is seen of a load.
enum Seen {
    Loaded(String),
    /// How much of a collection is in memory, in percent.
    Loading(String, u64),
}

/// Tells each collection that is loaded, and how far the one is that is being loaded, where its server tells that.
struct Loading(UnboundedSender<Seen>);

impl Observer for Loading {
    fn on_event(&self, event: Event) {
        if let Some(seen) = Seen::of(event) {
            // Whoever listens ends with the task.
            let _ = self.0.send(seen);
        }
    }
}

impl Seen {
    fn of(event: Event) -> Option<Self> {
        if let Event::Phase { collection, phase: Phase::Done } = event {
            return Some(Self::Loaded(collection.to_string()));
        }
        let Event::Awaiting { collection: Some(collection), awaited, .. } = event else { return None };
        let percent = match awaited {
            Awaited::Memory { rows_served, rows_stored, .. } => {
                vecferry_report::figures::percent(rows_served, rows_stored.max(1))
            }
            // Clouds list no segments, and some say this much.
            Awaited::Load { percent, .. } => u64::from(percent?),
            Awaited::Check { .. }
            | Awaited::Stored { .. }
            | Awaited::Sorted { .. }
            | Awaited::Index { .. }
            | Awaited::Turn { .. }
            | Awaited::Retry { .. }
            | Awaited::Answer => return None,
        };
        // Whether everything can be searched is told by the end of the load.
        Some(Self::Loading(collection.to_string(), percent.min(99)))
    }
}

fn loaded_one_by_one() -> (Arc<dyn Observer>, UnboundedReceiver<Seen>) {
    // A message a collection of a job and one a second: it needs no bound of its own.
    let (sender, seen) = unbounded_channel();
    (Arc::new(Loading(sender)), seen)
}

/// What is recorded of a load under way: the form of what it comes to, with more.
#[derive(Default, Serialize)]
struct LoadedSoFar {
    collections: Vec<String>,
    total: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    loading: Option<LoadingNow>,
}

#[derive(PartialEq, Eq, Serialize)]
struct LoadingNow {
    collection: String,
    percent: u64,
}

impl LoadedSoFar {
    /// Takes up what was seen. Tells whether that is something new.
    fn see(&mut self, seen: Seen) -> bool {
        match seen {
            Seen::Loaded(name) => {
                self.collections.push(name);
                self.loading = None;
                true
            }
            Seen::Loading(collection, percent) => {
                let now = Some(LoadingNow { collection, percent });
                let is_new = self.loading != now;
                self.loading = now;
                is_new
            }
        }
    }
}

/// Records how many are loaded, and how far the next one is, for whoever looks.
async fn tell_loaded(
    service: &Service,
    task_id: &str,
    total: usize,
    mut seen: UnboundedReceiver<Seen>,
) -> Infallible {
    let mut so_far = LoadedSoFar { total, ..LoadedSoFar::default() };
    let mut is_new = true;
    loop {
        if is_new {
            let result = serde_json::to_string(&so_far).unwrap_or_default();
            if let Err(error) = service.tables().record_task(task_id, result).await {
                tracing::debug!(%error, "how far the task is was not recorded");
            }
        }
        match seen.recv().await {
            Some(seen) => is_new = so_far.see(seen),
            None => std::future::pending().await,
        }
    }
}

/// Nobody watches a comparison.
struct Unobserved;

impl Observer for Unobserved {
    fn on_event(&self, _: Event) {}
}

#[cfg(test)]
mod tests {
    use vecferry_migrate::event::Side;

    use super::*;

    #[test]
    fn a_load_tells_how_far_it_is() {
        let (observer, mut seen) = loaded_one_by_one();
        let name = || CollectionName::new("default", "books");
        let memory = |rows_served, rows_stored| Event::Awaiting {
            collection: Some(name()),
            awaited: Awaited::Memory { side: Side::Target, rows_served, rows_stored },
            seconds: 1,
        };
        observer.on_event(Event::Phase { collection: name(), phase: Phase::LoadingSource });
        observer.on_event(memory(1, 4));
        observer.on_event(memory(1, 4));
        observer.on_event(memory(4, 4));
        observer.on_event(memory(0, 0));
        let load = |percent| Event::Awaiting {
            collection: Some(name()),
            awaited: Awaited::Load { side: Side::Target, percent },
            seconds: 1,
        };
        observer.on_event(load(None));
        observer.on_event(load(Some(42)));
        observer.on_event(load(Some(100)));
        observer.on_event(Event::Phase { collection: name(), phase: Phase::Done });
        let mut so_far = LoadedSoFar { total: 2, ..LoadedSoFar::default() };
        let mut told = Vec::new();
        while let Ok(seen) = seen.try_recv() {
            if so_far.see(seen) {
                told.push(so_far.loading.as_ref().map(|now| (now.collection.clone(), now.percent)));
            }
        }
        let books = |percent| Some(("default.books".to_owned(), percent));
        assert_eq!(told, [books(25), books(99), books(0), books(42), books(99), None]);
        let document = serde_json::to_value(&so_far).unwrap();
        assert_eq!(document, json!({"collections": ["default.books"], "total": 2}));
    }
}
