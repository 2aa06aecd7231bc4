//! Splits that are copied by other processes than the one that began the job.
//!
//! A worker needs a store, a job's ID, and credentials of both clusters; what is to be copied and how far it is, it reads
//! from the store. It writes each collection as a writer of its own, and each split under a claim: if it dies or stands
//! still, another one takes its splits over.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use vecferry_milvus::{Client, Collection, CollectionName, Consistency, Endpoint};
use vecferry_store::{Control, ErrorKind, JobId, Position, SplitId, Store, WorkerId, Writer};

use super::claim::Own;
use super::collection::{Stop, copy_problem};
use super::copying::Copying;
use super::drift::Holding;
use super::run::replaced;
use crate::cluster::connect::connect_both;
use crate::copy::Resources;
use crate::copy::{
    CopyError, CopyJob, Dispatcher, Pace, Slice, SliceError, SliceFailure, SliceRunner, Slices, SplitsToCopy,
    close_lost_writers,
};
use crate::event::Observer;
use crate::plan::stored::{read_plan, read_request};
use crate::plan::{Plan, PlannedCollection};
use crate::problem::Problem;
use crate::problem::Side;
use crate::problem::store_problem;
use crate::rate::MaxRate;
use crate::read::reader;
use crate::target;
use crate::tuning::Tuning;

/// Splits of all collections that a worker copies at once.
const SPLITS_PARALLEL: usize = 6;
/// How often a worker looks for splits while there are none, and whether the job is to end.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// So many slices of a collection fail in a row before a worker gives it up, each after a server or the store was away for
/// longer than is waited for.
const FAILURES_MAX: u32 = 5;
/// How often a dispatcher looks whether workers are done.
const DONE_INTERVAL: Duration = Duration::from_millis(500);
/// Nobody copies splits of a job for so long: there is no worker, or for a worker nobody who runs the job.
const NOBODY_MAX: Duration = Duration::from_secs(300);

/// One process that copies splits of a job.
pub struct Worker {
    id: WorkerId,
    source: Client,
    target: Client,
    plan: Plan,
    copying: Copying,
    collections: tokio::sync::Mutex<HashMap<Position, Arc<Opened>>>,
    failed: std::sync::Mutex<HashMap<Position, Failed>>,
}

/// What a worker could not do.
#[derive(Clone, Copy, Debug, Default)]
struct Failed {
    /// Slices that failed in a row.
    times: u32,
    /// What it gave up: the collection of an attempt, as the target numbers it.
    given_up: Option<(i64, Option<i64>)>,
}

/// Why a worker gave a collection up, as it is recorded for the process that waits for it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Why {
    /// A write may have landed, and can't be repeated.
    InDoubt(String),
    /// Anything else.
    Failed(Problem),
}

/// A collection that a worker writes to.
struct Opened {
    writer: Writer,
    copy: CopyJob,
    target_name: CollectionName,
    write_name: CollectionName,
    /// Its name is taken away, or about to be: what fails under it from then on says nothing.
    is_closed: AtomicBool,
}

impl Worker {
    /// Reads what is to be copied, and connects to both clusters.
    ///
    /// # Errors
    /// There is no such job, its record can't be read, or a cluster can't be reached.
    pub async fn open(
        store: Arc<dyn Store>,
        job_id: &JobId,
        (source, target): (Endpoint, Endpoint),
        resources: &Resources,
        observer: Arc<dyn Observer>,
        cancel: CancellationToken,
    ) -> Result<Self, Vec<Problem>> {
        let failed = |error| vec![store_problem(&*store, job_id.as_str(), &error)];
        let record = store.job(job_id).await.map_err(failed)?;
        let unreadable = |error| vec![super::control::unreadable(&*store, &error)];
        let plan = read_plan(&record.plan).map_err(unreadable)?;
        let request = read_request(&record.request, &plan, source, target).map_err(unreadable)?;
        let Control { max_rate, .. } = store.control(job_id).await.map_err(failed)?;
        let max_rate = MaxRate::of_stored(max_rate.as_deref());
        let max_rate = max_rate.map_err(|problem| vec![super::control::unreadable(&*store, &problem)])?;
        let (source, target) = connect_both(&request.source, &request.target).await?;
        let places = Arc::clone(&resources.cluster(target.endpoint()).places);
        let copying = Copying {
            target: target.clone(),
            job_id: job_id.clone(),
            consistency: record.read_timestamp.map_or(Consistency::Strong, Consistency::At),
            verify: request.verify,
            sample_seed: record.sample_seed,
            budget: resources.budget(),
            pace: Arc::new(Pace::new(places, max_rate)),
            observer,
            tuning: Tuning::default(),
            cancel,
            store,
        };
        let (collections, failed) = (tokio::sync::Mutex::default(), std::sync::Mutex::default());
        Ok(Self { id: WorkerId::generate(), source, target, plan, copying, collections, failed })
    }

    /// With other sizes of its steps.
    #[must_use]
    pub fn with_tuning(mut self, tuning: Tuning) -> Self {
        self.copying.tuning = tuning;
        self
    }

    /// The worker's ID.
    pub fn id(&self) -> &WorkerId {
        &self.id
    }

    /// Copies splits of the job until no attempt of it is under way any more, or until canceled. What can't be copied is
    /// told to the process that waits for it.
    ///
    /// # Errors
    /// The store can't be read, or nobody has run the job for minutes.
    pub async fn work(&self) -> Result<(), SliceError> {
        let work = async {
            let mut wanted_at = Instant::now();
            loop {
                let mut worked = false;
                for index in 0..self.plan.collections.len() {
                    worked |= self.work_on(Position::of_index(index)).await?;
                }
                if self.copying.cancel.is_cancelled() || !self.is_open().await? {
                    return Ok(());
                }
                if worked || self.is_live().await? {
                    wanted_at = Instant::now();
                }
                if wanted_at.elapsed() > NOBODY_MAX {
                    let text =
                        format!("no process has run the job for {} minutes", NOBODY_MAX.as_secs() / 60);
                    return Err(SliceError::Transient(SliceFailure::told(text)));
                }
                if !worked {
                    tokio::time::sleep(LOOK_INTERVAL).await;
                }
            }
        };
        let span = tracing::info_span!("worker", job_id = %self.copying.job_id, id = %self.id);
        let ended = tokio::select! {
            ended = work.instrument(span) => ended,
            never = self.keep() => match never {},
        };
        let opened: Vec<_> = self.collections.lock().await.values().cloned().collect();
        for one in opened {
            self.close(&one).await;
        }
        ended
    }

    async fn is_open(&self) -> Result<bool, SliceError> {
        let record = self.copying.store.job(&self.copying.job_id).await;
        Ok(record.map_err(CopyError::from)?.state.is_open())
    }

    async fn is_live(&self) -> Result<bool, SliceError> {
        Ok(self.copying.store.is_live(&self.copying.job_id).await.map_err(CopyError::from)?)
    }

    /// Copies what is free of a collection. Tells whether anything was.
    async fn work_on(&self, position: Position) -> Result<bool, SliceError> {
        let (store, job_id) = (&self.copying.store, &self.copying.job_id);
        let mut waiting = store.free_splits(job_id, position).await.map_err(CopyError::from)?;
        if waiting.is_empty() || self.is_given_up(position).await? {
            return Ok(false);
        }
        let (mut running, mut worked) = (FuturesUnordered::new(), false);
        loop {
            while running.len() < SPLITS_PARALLEL
                && !self.copying.cancel.is_cancelled()
                && let Some(split_id) = waiting.pop()
            {
                running.push(Box::pin(self.run_slice(split_id, self.copying.tuning.slice_time)));
            }
            let Some(ended) = running.next().await else { return Ok(worked) };
            worked |= ended.is_ok();
            match ended {
                Ok(Slice::More { divided }) => waiting.extend(divided),
                // Whoever has the split goes on with it.
                Ok(Slice::Done | Slice::Taken | Slice::Canceled)
                | Err(SliceError::Canceled | SliceError::Fenced(_)) => {}
                // The splits are free again, for a later look or for others.
                Err(error @ (SliceError::Transient(_) | SliceError::Permanent(_))) => {
                    tracing::warn!(%position, %error, "a slice failed");
                    waiting.clear();
                }
            }
        }
    }

    /// Whether this worker gave up the collection as it is now.
    async fn is_given_up(&self, position: Position) -> Result<bool, CopyError> {
        let given_up = self.failed_of(position).given_up;
        Ok(given_up.is_some() && given_up == Some(self.incarnation(position).await?))
    }

    async fn incarnation(&self, position: Position) -> Result<(i64, Option<i64>), CopyError> {
        let (store, job_id) = (&self.copying.store, &self.copying.job_id);
        let attempt = store.job(job_id).await?.attempt;
        Ok((attempt, store.collection(job_id, position).await?.target_id))
    }

    fn failed_of(&self, position: Position) -> Failed {
        self.with_failed(|failed| failed.get(&position).copied().unwrap_or_default())
    }

    fn with_failed<Answer>(&self, act: impl FnOnce(&mut HashMap<Position, Failed>) -> Answer) -> Answer {
        act(&mut self.failed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Records a slice that failed, and gives the collection up if that is for good.
    async fn failed(&self, position: Position, writer: Option<&Writer>, error: SliceError) -> SliceError {
        let times = self.with_failed(|failed| {
            let failed = failed.entry(position).or_default();
            failed.times += 1;
            failed.times
        });
        let failure = match error {
            SliceError::Permanent(failure) => failure,
            SliceError::Transient(failure) if times >= FAILURES_MAX => failure,
            SliceError::Transient(_) | SliceError::Canceled | SliceError::Fenced(_) => return error,
        };
        let text = failure.to_string();
        if let Err(error) = self.give_up(position, writer, SliceError::Permanent(failure).into()).await {
            // Whoever waits for the splits sees that nobody copies them.
            tracing::warn!(%error, %position, "it could not be recorded that a collection was given up");
        }
        SliceError::Permanent(SliceFailure::told(text))
    }

    async fn give_up(
        &self,
        position: Position,
        writer: Option<&Writer>,
        error: CopyError,
    ) -> Result<(), CopyError> {
        let incarnation = self.incarnation(position).await?;
        self.with_failed(|failed| failed.entry(position).or_default().given_up = Some(incarnation));
        let (Some(writer), Some(planned)) = (writer, self.plan.collections.get(position.index())) else {
            return Ok(());
        };
        let why = match copy_problem(planned, &self.copying.job_id, error) {
            Stop::InDoubt(detail) => Why::InDoubt(detail),
            Stop::Problem(problem) => Why::Failed(problem),
            Stop::Canceled => return Ok(()),
        };
        let why = serde_json::to_string(&why).map_err(|error| CopyError::Told(error.to_string()))?;
        Ok(self.copying.store.end_writer(writer, Some(why)).await?)
    }

    /// What the worker writes a collection with.
    async fn opened(&self, position: Position) -> Result<Arc<Opened>, CopyError> {
        let mut collections = self.collections.lock().await;
        if let Some(opened) = collections.get(&position) {
            return Ok(Arc::clone(opened));
        }
        let opened = Arc::new(self.open_collection(position).await?);
        collections.insert(position, Arc::clone(&opened));
        Ok(opened)
    }

    async fn open_collection(&self, position: Position) -> Result<Opened, CopyError> {
        let (store, job_id) = (&self.copying.store, &self.copying.job_id);
        let told = |text: &dyn std::fmt::Display| CopyError::Told(text.to_string());
        let planned = self.plan.collections.get(position.index());
        let planned = planned.ok_or_else(|| told(&format!("the plan has no collection {position}")))?;
        let record = store.collection(job_id, position).await?;
        let before = record.source_counts.as_deref().unwrap_or_default();
        let before = Holding::read(before).map_err(|error| told(&error))?;
        let own = Own { target: &self.target, job_id, planned: &planned.target, position };
        let made = own.find(&record).await.map_err(CopyError::Target)?;
        let made = made.ok_or_else(|| told(&replaced(planned, job_id)))?;
        let writer = store.join(job_id, position, &self.id, self.copying.tuning.writer_ttl).await?;
        match self.open_as(&writer, planned, &made, &before.counts).await {
            Ok(opened) => Ok(opened),
            Err(error) => Err(self.failed(position, Some(&writer), error.into()).await.into()),
        }
    }

    async fn open_as(
        &self,
        writer: &Writer,
        planned: &PlannedCollection,
        made: &Collection,
        before: &[u64],
    ) -> Result<Opened, CopyError> {
        close_lost_writers(&*self.copying.store, &self.target, &made.name, writer).await?;
        let write_name = self.open_alias(planned, made, writer).await?;
        let described = &planned.described;
        let source = reader(Side::Source, &self.source, described, described, &self.copying.cancel);
        let copying = &self.copying;
        let position = writer.collection();
        let copy = copying.of_splits(position, planned, &source, before, write_name.clone()).await?;
        let (writer, target_name) = (writer.clone(), made.name.clone());
        Ok(Opened { writer, copy, target_name, write_name, is_closed: AtomicBool::new(false) })
    }

    async fn open_alias(
        &self,
        planned: &PlannedCollection,
        made: &Collection,
        writer: &Writer,
    ) -> Result<CollectionName, CopyError> {
        let opened = target::open_write_alias(&self.target, made, writer, &self.copying.cancel).await;
        let opened = opened.map_err(CopyError::Target)?;
        opened.ok_or_else(|| CopyError::Told(replaced(planned, &self.copying.job_id).to_string()))
    }

    /// Does again and again what the job wants, and gives all writers time; what is lost is opened anew by whoever needs
    /// it next.
    async fn keep(&self) -> std::convert::Infallible {
        let (ttl, mut renewed_at) = (self.copying.tuning.writer_ttl, Instant::now());
        loop {
            tokio::time::sleep(LOOK_INTERVAL.min(ttl / 3)).await;
            self.obey().await;
            if renewed_at.elapsed() < ttl / 3 {
                continue;
            }
            renewed_at = Instant::now();
            let opened: Vec<_> = self.collections.lock().await.values().cloned().collect();
            for one in opened {
                let renewed = self.copying.store.renew_writer(&one.writer, ttl).await;
                if renewed.is_err_and(|error| error.kind() == ErrorKind::Fenced) {
                    self.close(&one).await;
                }
            }
        }
    }

    async fn obey(&self) {
        // A store that can't be read ends the copy where it can't be written.
        let Ok(control) = self.copying.store.control(&self.copying.job_id).await else { return };
        if control.cancel {
            self.copying.cancel.cancel();
        }
        let Ok(workers) = self.copying.store.workers(&self.copying.job_id).await else { return };
        if let Ok(max_rate) = MaxRate::of_stored(control.max_rate.as_deref()) {
            self.copying.pace.set_max_rate(max_rate.map(|rate| rate.share(workers)));
        }
    }

    /// Writes no more as a writer, and takes its name away.
    async fn close(&self, opened: &Opened) {
        opened.is_closed.store(true, Ordering::Release);
        opened.copy.cancel.cancel();
        let mut collections = self.collections.lock().await;
        let position = opened.writer.collection();
        if collections.get(&position).is_some_and(|now| now.writer == opened.writer) {
            collections.remove(&position);
        }
        drop(collections);
        // So that its splits are free at once. Where it is lost already, or can't be recorded, its time does that.
        if let Err(error) = self.copying.store.end_writer(&opened.writer, None).await {
            tracing::debug!(%error, "a writer was not ended");
        }
        let closed = target::try_close_write_alias(&self.target, &opened.target_name, &opened.write_name);
        if let Err(error) = closed.await {
            // Whoever takes the splits over does it as well.
            tracing::debug!(%error, "the alias of a lost writer stays");
        }
    }
}

#[async_trait]
impl SliceRunner for Worker {
    async fn run_slice(&self, split_id: SplitId, time: Duration) -> Result<Slice, SliceError> {
        let split = self.copying.store.split(split_id).await.map_err(CopyError::from)?;
        let opened = self.opened(split.collection).await?;
        let slices =
            Slices { copy: &opened.copy, writer: opened.writer.clone(), target_name: &opened.target_name };
        match slices.run_slice(split_id, time).await {
            Ok(slice) => {
                self.with_failed(|failed| failed.remove(&split.collection));
                Ok(slice)
            }
            // Another slice failed before, and closed the name under this one.
            Err(_) if opened.is_closed.swap(true, Ordering::AcqRel) => Err(SliceError::Canceled),
            Err(error) => {
                let error = self.failed(split.collection, Some(&opened.writer), error).await;
                self.close(&opened).await;
                Err(error)
            }
        }
    }
}

/// Waits until workers have copied all splits.
#[derive(Clone, Debug)]
pub struct ByWorkers {
    store: Arc<dyn Store>,
}

impl ByWorkers {
    /// Of the workers of a store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }
}

#[async_trait]
impl Dispatcher for ByWorkers {
    async fn dispatch(&self, work: SplitsToCopy, _: &dyn SliceRunner) -> Result<Slice, SliceError> {
        let (store, job_id) = (&self.store, &work.job_id);
        let mut copied_at = Instant::now();
        loop {
            let splits = store.splits(job_id, work.collection).await.map_err(CopyError::from)?;
            if splits.iter().all(|split| split.done) {
                return Ok(Slice::Done);
            }
            let failures = store.failures(job_id, work.collection).await.map_err(CopyError::from)?;
            if let Some(why) = failures.first() {
                return Err(read_why(why).into());
            }
            // On whichever collection: this one may be the next.
            if store.workers(job_id).await.map_err(CopyError::from)? > 0 {
                copied_at = Instant::now();
            }
            if copied_at.elapsed() > NOBODY_MAX {
                let text = format!("no worker copied anything for {} minutes", NOBODY_MAX.as_secs() / 60);
                return Err(SliceError::Transient(SliceFailure::told(text)));
            }
            tokio::select! {
                () = tokio::time::sleep(DONE_INTERVAL) => {}
                () = work.cancel.cancelled() => return Ok(Slice::Canceled),
            }
        }
    }
}

fn read_why(text: &str) -> CopyError {
    match serde_json::from_str(text) {
        Ok(Why::InDoubt(detail)) => CopyError::InDoubt(detail),
        Ok(Why::Failed(problem)) => CopyError::Known(Box::new(problem)),
        Err(_) => CopyError::Told(text.to_owned()),
    }
}
