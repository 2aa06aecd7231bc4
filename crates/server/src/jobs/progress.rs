//! How far a job is, recorded again and again while this process works on it.

use std::convert::Infallible;
use std::time::Duration;

use vecferry_store::{Error as StoreError, JobId};

use super::end::percent;
use crate::service::Service;
use crate::tables::{Pace, Point};

/// How often it is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// The end of the work waits no longer for the last look.
const LAST_LOOK_MAX: Duration = Duration::from_secs(2);

/// What is recorded of a job while it is worked on.
pub(super) struct Progress<'service> {
    service: &'service Service,
    job_id: &'service str,
    /// What was recorded before, and the number of this run; none before that could be read.
    pace: Option<(u32, Pace)>,
    recorded_ms: i64,
}

impl<'service> Progress<'service> {
    pub(super) fn of(service: &'service Service, job_id: &'service str) -> Self {
        Self { service, job_id, pace: None, recorded_ms: 0 }
    }

    /// Looks again and again.
    pub(super) async fn watch(&mut self) -> Infallible {
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            self.looked(false).await;
        }
    }

    /// Where the job was left.
    pub(super) async fn finish(&mut self) {
        if tokio::time::timeout(LAST_LOOK_MAX, self.looked(true)).await.is_err() {
            tracing::debug!("how far the job came is not recorded");
        }
    }

    async fn looked(&mut self, is_last: bool) {
        if let Err(error) = self.look(is_last).await {
            tracing::debug!(%error, "the progress is not recorded");
        }
    }

    async fn look(&mut self, is_last: bool) -> Result<(), StoreError> {
        let id = JobId::from(self.job_id);
        let Some(percent) = percent(self.service, &id).await? else { return Ok(()) };
        let (tables, process) = (self.service.tables(), self.service.process());
        tables.record_progress(self.job_id, process, percent).await?;
        if self.pace.is_none() {
            let pace = tables.pace(self.job_id).await?;
            self.pace = Some((pace.next_run(), pace));
        }
        let Some((run, pace)) = &mut self.pace else { return Ok(()) };
        let at_ms = tables.now_ms().await?;
        if !is_last && at_ms.saturating_sub(self.recorded_ms) < pace.interval_ms() {
            return Ok(());
        }
        let (mut rows, mut bytes) = (0, 0);
        for of in self.service.store().progress(&id).await? {
            rows += of.progress.rows_written;
            bytes += of.progress.bytes;
        }
        pace.note(Point { at_ms, run: *run, rows, bytes });
        tables.record_pace(self.job_id, process, pace).await?;
        self.recorded_ms = at_ms;
        Ok(())
    }
}
