//! One partition: a reader that follows the keys, and the writers behind it.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use vecferry_milvus::schema::FieldSpec;
use vecferry_milvus::wire::insert::Rows;
use vecferry_milvus::wire::rewrite::insertable;
use vecferry_milvus::wire::{Page, WireError};
use vecferry_milvus::{
    Client, CollectionName, Consistency, Error, ErrorKind, Key, KeyRange, Query, WriteMode,
};

use super::budget::{Budget, Share};
use super::page_size::{PAGE_BYTES_MAX, PageSize};
use super::sample::KeySample;
use crate::event::{Event, Observer, Wait};
use crate::retry::{Backoff, Verdict, sleep};
use crate::source_load::wait_until_complete;

/// Pages of one reader that may be on their way at once.
const WRITES_PER_READER_MAX: usize = 4;

/// What all partitions of a collection share.
pub(crate) struct CopyJob {
    pub(crate) source: Client,
    pub(crate) target: Client,
    pub(crate) source_name: CollectionName,
    /// The source's number of the collection, so that a rename or an alias can't lead elsewhere; 0 on lite.
    pub(crate) source_id: i64,
    pub(crate) target_name: CollectionName,
    pub(crate) key_field: String,
    pub(crate) columns: Vec<FieldSpec>,
    /// Names of `columns`.
    pub(crate) names: Vec<String>,
    pub(crate) consistency: Consistency,
    pub(crate) budget: Budget,
    /// Inserts under way at once, over the whole job.
    pub(crate) writers: Arc<Semaphore>,
    pub(crate) page_bytes_target: usize,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) cancel: CancellationToken,
}

/// A partition to copy.
pub(crate) struct PartitionTask {
    /// Its name; `None` for all rows where partitions can't be named.
    pub(crate) partition: Option<String>,
    pub(crate) sample: KeySample,
}

/// What was copied.
pub(crate) struct Copied {
    pub(crate) partition: Option<String>,
    pub(crate) rows_read: u64,
    pub(crate) rows_written: u64,
    pub(crate) bytes: u64,
    pub(crate) sample: KeySample,
}

/// Why a copy ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CopyError {
    #[error("source: {0}")]
    Source(Error),
    #[error("target: {0}")]
    Target(Error),
    #[error("{0}")]
    Protocol(WireError),
    #[error("rows {first} to {last} refused: {error}")]
    RowsRefused { first: Key, last: Key, error: Error },
    #[error("canceled")]
    Canceled,
}

/// Copies one partition. When it returns, no write of it is under way any more.
///
/// Counts what was written also when it fails.
pub(crate) async fn copy_partition(
    job: Arc<CopyJob>,
    task: PartitionTask,
) -> (Copied, Result<(), CopyError>) {
    let mut copied =
        Copied { partition: task.partition, rows_read: 0, rows_written: 0, bytes: 0, sample: task.sample };
    let mut writes = JoinSet::new();
    let mut result = read_all(&job, &mut copied, &mut writes).await;
    while let Some(write) = writes.join_next().await {
        result = result.and(settle(&mut copied, write));
    }
    (copied, result)
}

type Write = Result<(u64, u64), CopyError>;

async fn read_all(
    job: &Arc<CopyJob>,
    copied: &mut Copied,
    writes: &mut JoinSet<Write>,
) -> Result<(), CopyError> {
    let mut size = PageSize::new(&job.columns, job.page_bytes_target);
    let mut range = KeyRange::default();
    loop {
        while let Some(write) = writes.try_join_next() {
            settle(copied, write)?;
        }
        while writes.len() >= WRITES_PER_READER_MAX {
            if let Some(write) = writes.join_next().await {
                settle(copied, write)?;
            }
        }
        let mut share = tokio::select! {
            share = job.budget.take(size.bytes()) => share.ok_or(CopyError::Canceled)?,
            () = job.cancel.cancelled() => return Err(CopyError::Canceled),
        };
        let page = job.read_page(copied.partition.as_deref(), &range, &mut size).await?;
        let Some((first, last)) = page.keys.clone() else { return Ok(()) };
        share.resize(page.bytes);
        size.came(page.rows, page.bytes);
        copied.rows_read += page.rows as u64;
        let key_field = &job.key_field;
        copied.sample.pass(page.rows, (&first, &last), || page.all_keys(key_field).unwrap_or_default());
        let of_page = KeyRange { after: range.after.replace(last.clone()), until: Some(last) };
        let (job, partition) = (Arc::clone(job), copied.partition.clone());
        writes.spawn(async move { job.write_page(partition.as_deref(), of_page, first, page, share).await });
    }
}

fn settle(copied: &mut Copied, write: Result<Write, tokio::task::JoinError>) -> Result<(), CopyError> {
    match write {
        Ok(Ok((rows, bytes))) => {
            copied.rows_written += rows;
            copied.bytes += bytes;
            Ok(())
        }
        Ok(Err(error)) => Err(error),
        Err(error) => {
            // A panic in a writer: its page may have landed, so nothing can be claimed.
            let text = format!("a writer ended unexpectedly: {error}");
            Err(CopyError::Target(Error::new(ErrorKind::ConnectionLost, "Insert", text)))
        }
    }
}

impl CopyJob {
    /// Reads the next page of a range. Empty only if the range has no more rows.
    async fn read_page(
        &self,
        partition: Option<&str>,
        range: &KeyRange,
        size: &mut PageSize,
    ) -> Result<Page, CopyError> {
        let mut backoff = Backoff::new();
        loop {
            let query = Query {
                collection: &self.source_name,
                collection_id: self.source_id,
                expression: range.expression(&self.key_field),
                columns: &self.names,
                partition,
                rows_max: Some(size.rows()),
                consistency: self.consistency,
            };
            let answer = tokio::select! {
                answer = self.source.query(&query) => answer,
                () = self.cancel.cancelled() => return Err(CopyError::Canceled),
            };
            let error = match answer {
                // A page beyond what one insert may hold is asked for again, smaller.
                Ok(answer) if answer.len() > PAGE_BYTES_MAX && size.refused() => continue,
                Ok(answer) => return self.parse(&answer, range),
                Err(error) => error,
            };
            if error.kind() == ErrorKind::TooLarge && size.refused() {
                continue;
            }
            let Verdict::Wait(wait) = backoff.after(error.kind()) else {
                return Err(CopyError::Source(error));
            };
            self.tell_waiting(if error.kind() == ErrorKind::RateLimited {
                Wait::SourceLimit
            } else {
                Wait::SourceBusy
            });
            sleep(wait, &self.cancel).await;
            if error.kind() != ErrorKind::RateLimited {
                // A server that was away answers short while it loads again, without an error.
                let complete = tokio::select! {
                    complete = wait_until_complete(&self.source, &self.source_name) => complete,
                    () = self.cancel.cancelled() => return Err(CopyError::Canceled),
                };
                if let Err(error) = complete
                    && !error.kind().is_transient()
                {
                    return Err(CopyError::Source(error));
                }
            }
        }
    }

    fn parse(&self, answer: &Bytes, range: &KeyRange) -> Result<Page, CopyError> {
        let page = Page::read(answer, &self.key_field, range.after.as_ref()).map_err(CopyError::Protocol)?;
        if page.rows > 0 {
            page.check_columns(self.names.iter().map(String::as_str)).map_err(CopyError::Protocol)?;
        }
        Ok(page)
    }

    fn rows_of(&self, page: &Page) -> Result<Rows, WireError> {
        let mut columns = Vec::with_capacity(page.columns.len());
        for column in &page.columns {
            if let Some(spec) = self.columns.iter().find(|spec| spec.name == column.name) {
                columns.push(insertable(column, spec, page.rows)?);
            }
        }
        Ok(Rows { columns, count: page.rows })
    }

    /// Writes a page until it is acknowledged. Returns rows and bytes written.
    async fn write_page(
        &self,
        partition: Option<&str>,
        range: KeyRange,
        first: Key,
        page: Page,
        share: Share,
    ) -> Write {
        let rows = self.rows_of(&page).map_err(CopyError::Protocol)?;
        // The columns hold what they need of the page's buffer.
        drop(page);
        let written = self.write_rows(partition, &rows, &range, first, WriteMode::Insert).await;
        drop(rows);
        drop(share);
        written
    }

    async fn write_rows(
        &self,
        partition: Option<&str>,
        rows: &Rows,
        range: &KeyRange,
        first: Key,
        mut mode: WriteMode,
    ) -> Write {
        let mut backoff = Backoff::new();
        loop {
            let attempt = {
                let _slot = self.writers.acquire().await.map_err(|_| CopyError::Canceled)?;
                self.target.write(&self.target_name, partition, rows, mode).await
            };
            let error = match attempt {
                Ok(()) => {
                    let (count, bytes) = (rows.count as u64, rows.bytes() as u64);
                    let collection = self.source_name.clone();
                    self.observer.on_event(Event::Copied { collection, rows: count, bytes });
                    return Ok((count, bytes));
                }
                Err(error) => error,
            };
            tracing::debug!(%error, rows = rows.count, "a write failed");
            if error.kind() == ErrorKind::TooLarge && rows.count > 1 {
                return Box::pin(self.copy_in_smaller_pages(partition, range, rows.count / 2, mode)).await;
            }
            if may_have_landed(error.kind()) {
                // From now on only by upsert, which leaves one copy of each key.
                mode = WriteMode::Upsert;
            }
            match backoff.after(error.kind()) {
                // A page that may have landed is brought to its end even if the user cancels meanwhile.
                Verdict::Wait(_) if self.cancel.is_cancelled() && mode == WriteMode::Insert => {
                    return Err(CopyError::Canceled);
                }
                Verdict::Wait(wait) => {
                    self.tell_waiting(target_wait(error.kind()));
                    tokio::time::sleep(wait).await;
                }
                Verdict::GiveUp if matches!(error.kind(), ErrorKind::Rejected | ErrorKind::TooLarge) => {
                    let last = range.until.clone().unwrap_or_else(|| first.clone());
                    return Err(CopyError::RowsRefused { first, last, error });
                }
                Verdict::GiveUp => return Err(CopyError::Target(error)),
            }
        }
    }

    /// The target refuses a page for its size: its range is read again in smaller pages.
    async fn copy_in_smaller_pages(
        &self,
        partition: Option<&str>,
        range: &KeyRange,
        rows_max: usize,
        mode: WriteMode,
    ) -> Write {
        let (mut range, mut total) = (range.clone(), (0, 0));
        loop {
            let mut size = PageSize::fixed(rows_max);
            let page = self.read_page(partition, &range, &mut size).await?;
            let Some((first, last)) = page.keys.clone() else { return Ok(total) };
            let rows = self.rows_of(&page).map_err(CopyError::Protocol)?;
            drop(page);
            let of_page = KeyRange { after: range.after.replace(last.clone()), until: Some(last) };
            let (count, bytes) = Box::pin(self.write_rows(partition, &rows, &of_page, first, mode)).await?;
            total = (total.0 + count, total.1 + bytes);
        }
    }

    fn tell_waiting(&self, reason: Wait) {
        self.observer.on_event(Event::Waiting { collection: self.source_name.clone(), reason });
    }
}

/// Whether some or all rows of a failed write may be on the target. A busy server may have taken those of one shard.
fn may_have_landed(kind: ErrorKind) -> bool {
    kind.is_ambiguous() || kind == ErrorKind::Busy
}

fn target_wait(kind: ErrorKind) -> Wait {
    if kind == ErrorKind::RateLimited {
        Wait::TargetLimit
    } else if kind == ErrorKind::WritesDenied {
        Wait::TargetDenies
    } else {
        Wait::TargetBusy
    }
}
