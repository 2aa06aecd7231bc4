//! Splits that are copied by other processes than the one that began the job.
//!
//! A worker needs a store, a job's ID, and credentials of both clusters; what is to be copied and how far it is, it reads
//! from the store. It writes each collection as a writer of its own, and each split under a claim: if it dies or stands
//! still, another one takes its splits over.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;
use vecferry_milvus::{Client, Collection, CollectionName, Consistency, Endpoint};
use vecferry_store::{Control, ErrorKind, JobId, Position, SplitId, Store, WorkerId, Writer};

use super::claim::Own;
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
/// So many slices fail in a row before a worker gives up, each after a server or the store was away for longer than is
/// waited for.
const FAILURES_MAX: u32 = 5;
/// How often a dispatcher looks whether workers are done.
const DONE_INTERVAL: Duration = Duration::from_millis(500);
/// Nobody works on the splits of a collection for so long: there is no worker.
const NO_WORKER_MAX: Duration = Duration::from_secs(300);

/// One process that copies splits of a job.
pub struct Worker {
    id: WorkerId,
    source: Client,
    target: Client,
    plan: Plan,
    copying: Copying,
    collections: tokio::sync::Mutex<HashMap<Position, Arc<Opened>>>,
}

/// A collection that a worker writes to.
struct Opened {
    writer: Writer,
    copy: CopyJob,
    target_name: CollectionName,
    write_name: CollectionName,
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
        let collections = tokio::sync::Mutex::default();
        Ok(Self { id: WorkerId::generate(), source, target, plan, copying, collections })
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

    /// Copies splits of the job until no attempt of it is under way any more, or until canceled.
    ///
    /// # Errors
    /// The store can't be read, or a slice failed for good.
    pub async fn work(&self) -> Result<(), SliceError> {
        let work = async {
            loop {
                let mut worked = false;
                for index in 0..self.plan.collections.len() {
                    worked |= self.work_on(Position::of_index(index)).await?;
                }
                if self.copying.cancel.is_cancelled() || !self.is_open().await? {
                    return Ok(());
                }
                if !worked {
                    tokio::time::sleep(LOOK_INTERVAL).await;
                }
            }
        };
        tokio::select! {
            ended = work => ended,
            never = self.keep() => match never {},
        }
    }

    async fn is_open(&self) -> Result<bool, SliceError> {
        let record = self.copying.store.job(&self.copying.job_id).await;
        Ok(record.map_err(CopyError::from)?.state.is_open())
    }

    /// Copies what is free of a collection. Tells whether anything was.
    async fn work_on(&self, position: Position) -> Result<bool, SliceError> {
        let (store, job_id) = (&self.copying.store, &self.copying.job_id);
        let free = || async { store.free_splits(job_id, position).await.map_err(CopyError::from) };
        let mut waiting = free().await?;
        let worked = !waiting.is_empty();
        let (mut running, mut failures) = (FuturesUnordered::new(), 0);
        loop {
            while running.len() < SPLITS_PARALLEL
                && !self.copying.cancel.is_cancelled()
                && let Some(split_id) = waiting.pop()
            {
                running.push(Box::pin(self.run_slice(split_id, self.copying.tuning.slice_time)));
            }
            match running.next().await {
                None => return Ok(worked),
                Some(Ok(Slice::More { divided })) => {
                    failures = 0;
                    waiting.extend(divided);
                }
                Some(Ok(Slice::Done)) => failures = 0,
                // Whoever has the split goes on with it.
                Some(
                    Ok(Slice::Taken | Slice::Canceled) | Err(SliceError::Canceled | SliceError::Fenced(_)),
                ) => {}
                // The split is free again, and found with the next look.
                Some(Err(SliceError::Transient(failure))) if failures < FAILURES_MAX => {
                    tracing::warn!(%failure, "a slice failed and is tried again");
                    failures += 1;
                }
                Some(Err(error @ (SliceError::Transient(_) | SliceError::Permanent(_)))) => {
                    return Err(error);
                }
            }
        }
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
        let writer = store.open_writer(job_id, position, &self.id, self.copying.tuning.writer_ttl).await?;
        close_lost_writers(&**store, &self.target, &made.name, &writer).await?;
        let write_name = self.open_alias(planned, &made, &writer).await?;
        let described = &planned.described;
        let source = reader(Side::Source, &self.source, described, described, &self.copying.cancel);
        let copying = &self.copying;
        let copy = copying.of_splits(position, planned, &source, &before.counts, write_name.clone()).await?;
        Ok(Opened { writer, copy, target_name: made.name, write_name })
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
        if let Ok(max_rate) = MaxRate::of_stored(control.max_rate.as_deref()) {
            self.copying.pace.set_max_rate(max_rate);
        }
    }

    /// Writes no more as a writer, and takes its name away.
    async fn close(&self, opened: &Opened) {
        opened.copy.cancel.cancel();
        let mut collections = self.collections.lock().await;
        let position = opened.writer.collection();
        if collections.get(&position).is_some_and(|now| now.writer == opened.writer) {
            collections.remove(&position);
        }
        drop(collections);
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
        let ended = slices.run_slice(split_id, time).await;
        if ended.is_err() {
            self.close(&opened).await;
        }
        ended
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
        let (mut rows, mut moved_at) = (0, Instant::now());
        loop {
            let splits = self.store.splits(&work.job_id, work.collection).await.map_err(CopyError::from)?;
            if splits.iter().all(|split| split.done) {
                return Ok(Slice::Done);
            }
            let now: u64 = splits.iter().map(|split| split.progress.rows_read).sum();
            if now != rows {
                (rows, moved_at) = (now, Instant::now());
            }
            if moved_at.elapsed() > NO_WORKER_MAX {
                let text = format!("no worker copied a row for {} minutes", NO_WORKER_MAX.as_secs() / 60);
                return Err(SliceError::Transient(SliceFailure::told(text)));
            }
            tokio::select! {
                () = tokio::time::sleep(DONE_INTERVAL) => {}
                () = work.cancel.cancelled() => return Ok(Slice::Canceled),
            }
        }
    }
}
