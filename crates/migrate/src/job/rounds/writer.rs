//! The writer that a round mends a collection with.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use vecferry_milvus::{Client, Collection, CollectionName, Key, KeyRange};
use vecferry_store::{Attempt, Position, Quarantined, Right, Store, WorkerId, Writer};

use crate::job::writers::{NotClosed, try_close_all};
use crate::read::{key_text, range_of};
use crate::target;
use crate::verify::mend::{MendError, WriteAccess};

/// Whom a collection is mended for.
#[derive(Clone, Copy)]
pub(in crate::job) struct Mended<'a> {
    pub(in crate::job) store: &'a dyn Store,
    pub(in crate::job) attempt: &'a Attempt,
    pub(in crate::job) position: Position,
    pub(in crate::job) worker: &'a WorkerId,
    pub(in crate::job) ttl: Duration,
    pub(in crate::job) target: &'a Client,
    pub(in crate::job) made: &'a Collection,
    pub(in crate::job) cancel: &'a CancellationToken,
}

/// Opens and closes the names through which one attempt mends a collection.
pub(in crate::job) struct RoundWriter<'a> {
    of: Mended<'a>,
    /// Rows that the round may have written, by all attempts.
    rows: AtomicU64,
    /// Rows of these of earlier attempts.
    rows_before: u64,
    /// The writer, and when it said last that it lives.
    open: Mutex<Option<(Writer, Instant)>>,
    /// What was recorded last as being in doubt.
    doubt: Mutex<Option<(Option<String>, KeyRange)>>,
}

impl<'a> RoundWriter<'a> {
    /// Takes away the names of whoever wrote to the collection before: before anything is read of it.
    pub(in crate::job) async fn begin(of: Mended<'a>) -> Result<Self, MendError> {
        let job_id = of.attempt.job_id();
        let record = of.store.collection(job_id, of.position).await?;
        let (rows, rows_before) = (AtomicU64::new(record.round_rows), record.round_rows);
        let writer = Self { of, rows, rows_before, open: Mutex::default(), doubt: Mutex::default() };
        // Also those of this attempt: rows that were refused may have been tried again.
        of.store.lose_writers(of.attempt, of.position).await?;
        if !of.store.lost_writers(job_id, of.position).await?.is_empty() {
            writer.close().await?;
        }
        Ok(writer)
    }

    /// Whether an earlier attempt of the round may have written.
    pub(in crate::job) fn has_written_before(&self) -> bool {
        self.rows_before > 0
    }

    /// Takes the name away that is open, if the target is there: the next attempt does it in any case.
    pub(in crate::job) async fn try_close(&self) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((writer, _)) = open else { return };
        let name = &self.of.made.name;
        let alias = target::write_alias(name, writer.job_id(), writer.collection(), writer.number());
        if let Err(error) = target::try_close_write_alias(self.of.target, name, &alias).await {
            tracing::debug!(%error, %alias, "a name to write through is left");
        }
    }

    async fn open_writer(&self) -> Result<Writer, MendError> {
        let job_id = self.of.attempt.job_id();
        let writer = self.of.store.open_writer(job_id, self.of.position, self.of.worker, self.of.ttl).await?;
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Some((writer.clone(), Instant::now()));
        Ok(writer)
    }

    /// Says that the writer lives, if it is time for that.
    async fn renew(&self) -> Result<(), MendError> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some((writer, _)) = open.filter(|(_, renewed)| renewed.elapsed() >= self.of.ttl / 3) else {
            return Ok(());
        };
        self.of.store.renew_writer(&writer, self.of.ttl).await?;
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Some((writer, Instant::now()));
        Ok(())
    }
}

impl WriteAccess for RoundWriter<'_> {
    async fn open(&self) -> Result<CollectionName, MendError> {
        self.close().await?;
        let writer = self.open_writer().await?;
        let opened = target::open_write_alias(self.of.target, self.of.made, &writer, self.of.cancel).await;
        let opened = opened.map_err(|error| MendError::target(error.into()))?;
        opened.ok_or(MendError::Replaced)
    }

    async fn close(&self) -> Result<(), MendError> {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let name = &self.of.made.name;
        let closed =
            try_close_all(self.of.store, self.of.attempt, self.of.target, name, self.of.position).await;
        closed.map_err(|failure| match failure {
            NotClosed::Store(error) => MendError::Store(error),
            NotClosed::Target(error) => MendError::target(error.into()),
        })
    }

    async fn intend(&self, rows: u64) -> Result<(), MendError> {
        self.renew().await?;
        let rows = self.rows.fetch_add(rows, Ordering::Relaxed) + rows;
        Ok(self.of.store.intend_rows(self.of.attempt, self.of.position, rows).await?)
    }

    async fn doubt(&self, partition: Option<&str>, range: &KeyRange) -> Result<(), MendError> {
        let doubt = (partition.map(str::to_owned), range.clone());
        if self.doubt.lock().unwrap_or_else(PoisonError::into_inner).as_ref() == Some(&doubt) {
            return Ok(());
        }
        let (partition, range) = doubt.clone();
        let (after, until) = (range.after.as_ref().map(key_text), range.until.as_ref().map(key_text));
        let right = Right::Attempt(self.of.attempt, self.of.position);
        self.of.store.record_doubt(right, partition, after, until).await?;
        *self.doubt.lock().unwrap_or_else(PoisonError::into_inner) = Some(doubt);
        Ok(())
    }

    async fn doubts(&self) -> Result<Vec<(Option<String>, KeyRange)>, MendError> {
        let doubts = self.of.store.doubts(self.of.attempt.job_id(), self.of.position).await?;
        let range = |doubt: vecferry_store::Doubt| {
            let range = range_of(doubt.after.as_deref(), doubt.until.as_deref())?;
            Ok((doubt.partition, range))
        };
        doubts.into_iter().map(range).collect()
    }

    async fn settle_doubts(&self) -> Result<(), MendError> {
        for doubt in self.of.store.doubts(self.of.attempt.job_id(), self.of.position).await? {
            self.of.store.settle_doubt(self.of.attempt, doubt.doubt_id).await?;
        }
        *self.doubt.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }

    async fn refused(&self, partition: Option<&str>, key: &Key, reason: String) -> Result<(), MendError> {
        let row = Quarantined {
            partition: partition.unwrap_or_default().to_owned(),
            key: key_text(key),
            reason,
            in_doubt: false,
        };
        let right = Right::Attempt(self.of.attempt, self.of.position);
        self.of.store.record_quarantined(right, row).await?;
        crate::metrics::refused(1);
        Ok(())
    }
}
