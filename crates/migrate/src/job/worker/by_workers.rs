//! Splits that are left to workers: whoever runs the job waits until they are copied.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use vecferry_store::Store;

use super::NOBODY_MAX;
use super::failures::read_why;
use crate::copy::{CopyError, Dispatcher, Slice, SliceError, SliceFailure, SliceRunner, SplitsToCopy};
use crate::problem::Told;

/// How often a dispatcher looks whether workers are done.
const DONE_INTERVAL: Duration = Duration::from_millis(500);

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
                let minutes = NOBODY_MAX.as_secs() / 60;
                return Err(SliceError::Transient(SliceFailure::told(Told::both(
                    format!("no worker copied anything for {minutes} minutes"),
                    format!("已有 {minutes} 分钟没有工作进程复制任何内容"),
                ))));
            }
            tokio::select! {
                () = tokio::time::sleep(DONE_INTERVAL) => {}
                () = work.cancel.cancelled() => return Ok(Slice::Canceled),
            }
        }
    }
}
