//! Jobs from their beginning to their end.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use tokio::sync::{Mutex, Semaphore};
use tokio_util::sync::CancellationToken;
use vecferry_milvus::{Client, Collection, CollectionName, Consistency, Flavor};

use crate::connect::{Side, cluster, connect, refusal};
use crate::copy::Budget;
use crate::event::{Event, Observer};
use crate::inventory;
use crate::plan::{Plan, PlannedCollection};
use crate::precheck;
use crate::problem::{Code, Problem};
use crate::proof::Reader;
use crate::report::{CollectionReport, JobState, Report, Verification};
use crate::request::{Duplicates, LoadRequest, MigrateRequest, VerifyLevel, VerifyRequest};
use crate::source_load::wait_until_complete;

mod collection;
mod comparison;
mod every_row;

/// Collections under way at once. More only divide the same servers among more copies.
const COLLECTIONS_PARALLEL: usize = 4;
/// Partitions that are read at once.
const READERS_PARALLEL: usize = 4;
/// Inserts under way at once.
const WRITERS_PARALLEL: usize = 6;
/// Bytes in flight; the process needs about twice that at most.
const IN_FLIGHT_BYTES_MAX: usize = 72 << 20;

/// A migration that was checked and can start.
#[derive(Debug)]
pub struct Migration {
    request: MigrateRequest,
    source: Client,
    target: Client,
    plan: Plan,
}

/// What the collections of a job share.
pub(crate) struct Job {
    request: MigrateRequest,
    source: Client,
    target: Client,
    /// Freshness of all pages, from one timestamp for the whole job.
    consistency: Consistency,
    budget: Budget,
    readers: Arc<Semaphore>,
    writers: Arc<Semaphore>,
    /// Source collections that this job may hold loaded at once.
    source_loads: Semaphore,
    /// Target collections are loaded for their proof one at a time.
    target_load: Mutex<()>,
    sample_seed: u64,
    observer: Arc<dyn Observer>,
    cancel: CancellationToken,
}

impl Migration {
    /// Connects to both clusters, checks everything that can be known before the start, and makes the plan. Nothing is
    /// written anywhere.
    ///
    /// # Errors
    /// Every reason for which the job can't start, all at once.
    pub async fn prepare(request: MigrateRequest) -> Result<Self, Vec<Problem>> {
        let (source, target) = connect_both(&request.source, &request.target).await?;
        let plan = precheck::check(&request, &source, &target).await?;
        if request.duplicates == Duplicates::Fail {
            comparison::refuse_duplicates(&source, &plan).await?;
        }
        Ok(Self { request, source, target, plan })
    }

    /// What [`Migration::run`] will do.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Carries the plan out. Ends with a report whatever happens; the source is put back into the load state it had.
    pub async fn run(self, observer: Arc<dyn Observer>, cancel: CancellationToken) -> Report {
        let clock = Clock::start();
        let job_id = uuid::Uuid::now_v7().to_string();
        let timestamp = self.source.timestamp().await.unwrap_or(None);
        let job = Job {
            consistency: timestamp.map_or(Consistency::Strong, Consistency::At),
            budget: Budget::new(IN_FLIGHT_BYTES_MAX),
            readers: Arc::new(Semaphore::new(READERS_PARALLEL)),
            writers: Arc::new(Semaphore::new(WRITERS_PARALLEL)),
            source_loads: Semaphore::new(self.request.source_load_parallel.max(1)),
            target_load: Mutex::new(()),
            sample_seed: rand::random(),
            observer,
            cancel,
            request: self.request,
            source: self.source,
            target: self.target,
        };
        let mut problems = Vec::new();
        for db in &self.plan.new_databases {
            if let Err(problem) = job.create_database(db).await {
                problems.push(problem);
            }
        }
        let mut ended = Vec::new();
        if problems.is_empty() {
            ended = stream::iter(&self.plan.collections)
                .map(|planned| collection::migrate(&job, planned))
                .buffered(COLLECTIONS_PARALLEL)
                .collect()
                .await;
        }
        let mut report = Report {
            job_id,
            state: JobState::Successful,
            vecferry_version: env!("CARGO_PKG_VERSION").to_owned(),
            source: self.plan.source.clone(),
            target: self.plan.target.clone(),
            started_at: clock.started_at(),
            ended_at: clock.now(),
            seconds: clock.seconds(),
            verify: job.request.verify,
            verified: job.request.verify,
            sample_seed: job.sample_seed,
            collections: Vec::new(),
            problems,
            warnings: self.plan.warnings.clone(),
        };
        for outcome in ended {
            report.problems.extend(outcome.problems);
            report.warnings.extend(outcome.warnings);
            report.collections.push(outcome.report);
        }
        conclude(&mut report, job.cancel.is_cancelled());
        report
    }
}

impl Job {
    /// Databases are made with the source's properties, before anything else.
    async fn create_database(&self, db: &str) -> Result<(), Problem> {
        let failed = |error| {
            Problem::new(Code::TargetFailed).with("collection", format!("{db}.*")).with("detail", error)
        };
        let source_db =
            self.request.target_dbs.iter().find(|(_, target)| *target == db).map_or(db, |(source, _)| source);
        let properties = self.source.database_properties(source_db).await.map_err(|error| {
            Problem::new(Code::SourceFailed)
                .with("collection", format!("{source_db}.*"))
                .with("detail", error)
        })?;
        self.target.create_database(db, properties).await.map_err(failed)
    }
}

async fn connect_both(
    source: &vecferry_milvus::Endpoint,
    target: &vecferry_milvus::Endpoint,
) -> Result<(Client, Client), Vec<Problem>> {
    match tokio::join!(connect(Side::Source, source), connect(Side::Target, target)) {
        (Ok(source), Ok(target)) => Ok((source, target)),
        (one, other) => Err([one.err(), other.err()].into_iter().flatten().collect()),
    }
}

/// The state that the whole job ended in.
fn conclude(report: &mut Report, canceled: bool) {
    use crate::event::Phase;
    let named = |complete: bool| {
        let names: Vec<_> = report
            .collections
            .iter()
            .filter(|collection| collection.created && (collection.phase == Phase::Done) == complete)
            .map(|collection| format!("{} ({})", collection.target_name(), collection.rows))
            .collect();
        if names.is_empty() { "–".to_owned() } else { names.join(", ") }
    };
    let all_done = report.collections.iter().all(|collection| collection.phase == Phase::Done);
    if !report.problems.is_empty() {
        report.state = JobState::Failed;
    } else if canceled && !all_done {
        report.state = JobState::Canceled;
        let problem =
            Problem::new(Code::Canceled).with("complete", named(true)).with("incomplete", named(false));
        report.problems.push(problem);
    }
    if report.state != JobState::Successful {
        report.verified = VerifyLevel::None;
    }
}

/// Compares two clusters without copying anything. Collections are loaded where that is needed, and released again.
///
/// # Errors
/// Every reason for which the comparison can't start.
pub async fn verify(
    request: VerifyRequest,
    observer: Arc<dyn Observer>,
    cancel: CancellationToken,
) -> Result<Report, Vec<Problem>> {
    let clock = Clock::start();
    let (source, target) = connect_both(&request.source, &request.target).await?;
    let names = inventory::select(&source, Side::Source, &request.selection).await?;
    let found =
        inventory::read(&source, &names).await.map_err(|error| vec![refusal(Side::Source, &error)])?;
    let target_name = |name: &CollectionName| {
        let db = request.target_dbs.get(&name.db).unwrap_or(&name.db);
        CollectionName::new(db, &name.name)
    };
    let mut pairs = Vec::new();
    let mut problems = Vec::new();
    for found in found {
        let name = target_name(&found.described.name);
        match inventory::read(&target, std::slice::from_ref(&name)).await {
            Ok(of_target) => pairs.extend(of_target.into_iter().map(|of_target| (found.clone(), of_target))),
            Err(error) if error.kind() == vecferry_milvus::ErrorKind::CollectionNotFound => problems
                .push(Problem::new(Code::UnknownCollection).with("side", "target").with("collection", &name)),
            Err(error) => problems.push(refusal(Side::Target, &error)),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut report = Report {
        job_id: uuid::Uuid::now_v7().to_string(),
        state: JobState::Successful,
        vecferry_version: env!("CARGO_PKG_VERSION").to_owned(),
        source: cluster(&source),
        target: cluster(&target),
        started_at: clock.started_at(),
        ended_at: String::new(),
        seconds: 0.0,
        verify: request.level,
        verified: request.level,
        sample_seed: rand::random(),
        collections: Vec::new(),
        problems: Vec::new(),
        warnings: Vec::new(),
    };
    for (of_source, of_target) in &pairs {
        let sides = comparison::Sides {
            source: &source,
            target: &target,
            level: request.level,
            repair: request.repair,
            seed: report.sample_seed,
            observer: &*observer,
            cancel: &cancel,
        };
        let outcome = comparison::compare_pair(&sides, of_source, of_target).await;
        report.problems.extend(outcome.problems);
        report.warnings.extend(outcome.warnings);
        report.collections.push(outcome.report);
        if cancel.is_cancelled() {
            break;
        }
    }
    conclude(&mut report, cancel.is_cancelled());
    (report.ended_at, report.seconds) = (clock.now(), clock.seconds());
    Ok(report)
}

/// Loads collections and waits until they are complete. Returns their names.
///
/// # Errors
/// What could not be loaded, and why.
pub async fn load(
    request: LoadRequest,
    observer: Arc<dyn Observer>,
    cancel: CancellationToken,
) -> Result<Vec<CollectionName>, Vec<Problem>> {
    use crate::event::Phase;
    let client = connect(Side::Target, &request.target).await.map_err(|problem| vec![problem])?;
    let names = inventory::select(&client, Side::Target, &request.selection).await?;
    let mut problems = Vec::new();
    for name in &names {
        observer.on_event(Event::Phase { collection: name.clone(), phase: Phase::LoadingSource });
        let loaded = async {
            client.load_collection(name, 1).await?;
            wait_until_complete(&client, name).await
        };
        let result = tokio::select! {
            result = loaded => result.map_err(|error| error.to_string()),
            () = cancel.cancelled() => Err("canceled; the server goes on loading it".to_owned()),
        };
        let phase = if result.is_ok() { Phase::Done } else { Phase::Failed };
        observer.on_event(Event::Phase { collection: name.clone(), phase });
        if let Err(detail) = result {
            problems.push(Problem::new(Code::LoadFailed).with("collection", name).with("detail", detail));
        }
    }
    if problems.is_empty() { Ok(names) } else { Err(problems) }
}

/// What a collection's part of a job came to.
pub(crate) struct Ended {
    pub(crate) report: CollectionReport,
    pub(crate) problems: Vec<Problem>,
    pub(crate) warnings: Vec<Problem>,
}

/// A reader for the proof of one side. The columns are the source's on both sides: they are what must be there.
pub(crate) fn reader(
    client: &Client,
    collection: &Collection,
    columns_of: &Collection,
    cancel: &CancellationToken,
) -> Reader {
    Reader {
        client: client.clone(),
        name: collection.name.clone(),
        id: if client.version().flavor == Flavor::Milvus { collection.id } else { 0 },
        key_field: columns_of.schema.key_field().map(|field| field.name.clone()).unwrap_or_default(),
        columns: columns_of.schema.columns(),
        consistency: Consistency::Strong,
        cancel: cancel.clone(),
    }
}

/// An empty report of a planned collection.
pub(crate) fn new_report(planned: &PlannedCollection) -> CollectionReport {
    CollectionReport {
        source_db: planned.source.db.clone(),
        collection: planned.source.name.clone(),
        target_db: planned.target.db.clone(),
        phase: crate::event::Phase::Waiting,
        rows: 0,
        bytes: 0,
        copy_seconds: 0.0,
        seconds: 0.0,
        partitions: Vec::new(),
        verification: None,
        indexes: Vec::new(),
        aliases: Vec::new(),
        changes: planned.changes.clone(),
        loaded: false,
        created: false,
    }
}

/// An empty comparison.
pub(crate) fn new_verification(level: VerifyLevel) -> Verification {
    Verification {
        level,
        passed: false,
        source_rows: 0,
        target_rows: 0,
        counts_compared: 0,
        rows_compared: 0,
        duplicate_rows: 0,
        findings: None,
        repair: None,
    }
}

/// Wall-clock times for reports; durations come from the clock that does not jump.
struct Clock {
    started: jiff::Timestamp,
    instant: std::time::Instant,
}

impl Clock {
    fn start() -> Self {
        Self { started: jiff::Timestamp::now(), instant: std::time::Instant::now() }
    }

    fn started_at(&self) -> String {
        format!("{:.3}", self.started)
    }

    fn now(&self) -> String {
        format!("{:.3}", jiff::Timestamp::now())
    }

    fn seconds(&self) -> f64 {
        self.instant.elapsed().as_secs_f64()
    }
}
