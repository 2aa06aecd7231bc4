//! Splits that are copied by other processes than the one that began the job.
//!
//! A worker needs a store, a job's ID, and credentials of both clusters; what is to be copied and how far it is, it reads
//! from the store. It writes each collection as a writer of its own, and each split under a claim: if it dies or stands
//! still, another one takes its splits over.

mod by_workers;
mod failures;
mod opened;
mod upkeep;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use vecferry_milvus::{Client, Endpoint};
use vecferry_store::{Control, JobId, Position, SplitId, Store, WorkerId};

pub use self::by_workers::ByWorkers;
use self::failures::Failures;
use self::opened::Opened;
use super::control::unreadable as unreadable_record;
use super::copying::Copying;
use crate::cluster::connect::connect_both;
use crate::copy::{CopyError, Pace, Resources, Slice, SliceError, SliceFailure, SliceRunner, Slices};
use crate::event::Observer;
use crate::plan::Plan;
use crate::plan::stored::{read_plan, read_request};
use crate::problem::{Problem, Told, store_problem};
use crate::rate::MaxRate;
use crate::tuning::Tuning;

/// Splits of all collections that a worker copies at once.
const SPLITS_PARALLEL: usize = 6;

/// How often a worker looks for splits while there are none, and whether the job is to end.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

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
    failures: Failures,
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
        let unreadable = |error| vec![unreadable_record(&*store, &error)];
        let plan = read_plan(&record.plan).map_err(unreadable)?;
        let request = read_request(&record.request, &plan, source, target).map_err(unreadable)?;
        let Control { max_rate, .. } = store.control(job_id).await.map_err(failed)?;
        let max_rate = MaxRate::of_stored(max_rate.as_deref());
        let max_rate = max_rate.map_err(|problem| vec![unreadable_record(&*store, &problem)])?;
        let (source, target) = connect_both(&request.source, &request.target).await?;
        let places = Arc::clone(&resources.cluster(target.endpoint()).places);
        let copying = Copying {
            target: target.clone(),
            job_id: job_id.clone(),
            verify: request.verify,
            // Each collection is asked for when it is opened: another round may be under way by then.
            writes_go_on: false,
            sample_seed: record.sample_seed,
            budget: resources.budget(),
            pace: Arc::new(Pace::new(places, max_rate)),
            observer,
            tuning: Tuning::default(),
            cancel,
            store,
        };
        let (collections, failures) = (tokio::sync::Mutex::default(), Failures::default());
        Ok(Self { id: WorkerId::generate(), source, target, plan, copying, collections, failures })
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
                for (position, _) in self.plan.here() {
                    worked |= self.work_on(position).await?;
                }
                if self.copying.cancel.is_cancelled() || !self.is_open().await? {
                    return Ok(());
                }
                if worked || self.is_live().await? {
                    wanted_at = Instant::now();
                }
                if wanted_at.elapsed() > NOBODY_MAX {
                    let minutes = NOBODY_MAX.as_secs() / 60;
                    return Err(SliceError::Transient(SliceFailure::told(Told::both(
                        format!("no process has run the job for {minutes} minutes"),
                        format!("已有 {minutes} 分钟没有进程执行该任务"),
                    ))));
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
                Ok(Slice::Done | Slice::Taken | Slice::Canceled) | Err(SliceError::Fenced(_)) => {}
                // Nobody may write the collection now, or another slice failed.
                Err(SliceError::Canceled) => waiting.clear(),
                // The splits are free again, for a later look or for others.
                Err(error @ (SliceError::Transient(_) | SliceError::Permanent(_))) => {
                    tracing::warn!(%position, %error, "a slice failed");
                    waiting.clear();
                }
            }
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
            Ok(slice @ (Slice::More { .. } | Slice::Done)) => {
                self.failures.forget(split.collection);
                Ok(slice)
            }
            Ok(slice @ (Slice::Taken | Slice::Canceled)) => Ok(slice),
            // Another slice failed before, and closed the name under this one.
            Err(_) if opened.is_closed.swap(true, Ordering::AcqRel) => Err(SliceError::Canceled),
            Err(error) => {
                let error = self.failed(split.collection, &opened.writer, error).await;
                self.close(&opened).await;
                Err(error)
            }
        }
    }
}
