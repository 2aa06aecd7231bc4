//! Rows that the target refuses: each is found, recorded with the target's reason, and left out, and all others go on.
//!
//! A refused page is halved until the refused rows stand alone, so that one bad row among a thousand costs some ten writes.
//! The record is written before the cursor moves past the row: no row is left out silently.

use std::sync::atomic::{AtomicU64, Ordering};

use vecferry_milvus::wire::Page;
use vecferry_milvus::{Error, Key, KeyRange, Query, WriteMode};
use vecferry_store::{Attempt, Quarantined, Right};

use super::copy_job::CopyJob;
use super::error::CopyError;
use super::writing::{Sent, Written};
use crate::cluster::retry::repeat;
use crate::problem::Told;
use crate::read::{key_of, key_text};

/// A collection of which more rows are refused has another problem than its rows.
const REFUSED_ROWS_MAX: u64 = 1000;
/// So many refused rows, and none that was taken, say that the target takes none at all.
const REFUSED_ROWS_WITHOUT_ANY_OTHER: u64 = 16;

/// What became of the rows of a collection so far.
#[derive(Debug)]
pub(crate) struct Refusals {
    accepted: AtomicU64,
    refused: AtomicU64,
}

impl Refusals {
    /// Of a collection of which the target holds some rows already, and refused others since the copy was begun.
    pub(crate) fn new(rows_written: u64, rows_refused: u64) -> Self {
        Self { accepted: AtomicU64::new(rows_written), refused: AtomicU64::new(rows_refused) }
    }

    pub(super) fn accepted(&self, rows: u64) {
        self.accepted.fetch_add(rows, Ordering::Relaxed);
    }

    /// Whether to look for single rows does not help any more.
    pub(super) fn are_too_many(&self) -> bool {
        let refused = self.refused.load(Ordering::Relaxed);
        refused >= REFUSED_ROWS_MAX
            || refused >= REFUSED_ROWS_WITHOUT_ANY_OTHER && self.accepted.load(Ordering::Relaxed) == 0
    }
}

impl CopyJob {
    /// Leaves one row out.
    pub(super) async fn set_aside(
        &self,
        right: Right<'_>,
        partition: Option<&str>,
        key: Key,
        error: Error,
    ) -> Written {
        if self.refusals.are_too_many() {
            return Err(CopyError::RowsRefused { first: key.clone(), last: key, error: Box::new(error) });
        }
        tracing::debug!(%error, %key, "a row is refused");
        let row = Quarantined {
            partition: partition.unwrap_or_default().to_owned(),
            key: key_text(&key),
            reason: error.to_string(),
            in_doubt: false,
        };
        self.store.record_quarantined(right, row).await?;
        // Others may copy the collection as well.
        let refused = self.store.quarantined_total(&self.job_id, self.position).await?;
        self.refusals.refused.store(refused, Ordering::Relaxed);
        crate::metrics::refused(1);
        Ok(Sent { refused: 1, ..Sent::default() })
    }

    /// Tries rows once more that an earlier attempt left out: what the target minded may be mended by now, on either side.
    pub(crate) async fn retry_quarantined(&self, attempt: &Attempt) -> Result<(), CopyError> {
        let (position, right) = (self.position, Right::Attempt(attempt, self.position));
        for row in self.store.quarantined(&self.job_id, position).await? {
            if self.cancel.is_cancelled() {
                return Err(CopyError::Canceled);
            }
            let key = key_of(&row.key)?;
            if row.in_doubt {
                return Err(CopyError::InDoubt(Told::both(
                    format!(
                        "an earlier attempt ended while it was writing the row with primary key {key} again"
                    ),
                    format!("之前的一次执行在重新写入主键为 {key} 的行时结束"),
                )));
            }
            let partition = Some(row.partition.as_str()).filter(|partition| !partition.is_empty());
            let page = self.read_row(partition, &key).await?;
            let mut is_written = false;
            if page.rows > 0 {
                let rows = self.rows_of(&page)?;
                let range = KeyRange { after: None, until: Some(key.clone()) };
                let mode = if self.keys.can_upsert() { WriteMode::Upsert } else { WriteMode::Insert };
                if mode == WriteMode::Insert {
                    // Between its acknowledgement and the record of it nobody knows whether it landed.
                    self.store.intend_retry(attempt, position, row.clone()).await?;
                }
                let written = self.write_rows(right, partition, &rows, &range, key, mode);
                if Box::pin(written).await?.refused > 0 {
                    continue;
                }
                is_written = true;
            } else if self.is_counted(partition, &key).await? {
                // It is there, and was not answered: another attempt tries again.
                continue;
            }
            self.store.release_quarantined(attempt, position, row, is_written).await?;
        }
        Ok(())
    }

    async fn is_counted(&self, partition: Option<&str>, key: &Key) -> Result<bool, CopyError> {
        let only = self.key_field.any_of(std::slice::from_ref(key));
        let counted = self.source_reader().count_where(partition, only).await;
        Ok(counted.map_err(CopyError::Source)? > 0)
    }

    async fn read_row(&self, partition: Option<&str>, key: &Key) -> Result<Page, CopyError> {
        let query = Query {
            collection: &self.source_name,
            collection_id: self.source_id,
            selection: self.key_field.any_of(std::slice::from_ref(key)),
            columns: &self.names,
            partition,
            rows_max: Some(1),
            consistency: self.consistency,
        };
        let answer = repeat(&self.cancel, || self.source.query(&query)).await.map_err(CopyError::Source)?;
        let page = Page::read(&answer, &self.key_field, None)?;
        if page.rows > 0 {
            page.check_columns(self.names.iter().map(String::as_str))?;
        }
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(accepted: u64, refused: u64) -> bool {
        let refusals = Refusals::new(0, 0);
        refusals.accepted(accepted);
        refusals.refused.fetch_add(refused, Ordering::Relaxed);
        refusals.are_too_many()
    }

    #[test]
    fn a_target_that_takes_nothing_is_told_from_one_that_minds_some_rows() {
        assert!(!after(0, REFUSED_ROWS_WITHOUT_ANY_OTHER - 1));
        assert!(after(0, REFUSED_ROWS_WITHOUT_ANY_OTHER));
        assert!(!after(1, REFUSED_ROWS_MAX - 1));
        assert!(after(1_000_000, REFUSED_ROWS_MAX));
        assert!(!Refusals::new(5, 0).are_too_many());
    }
}
