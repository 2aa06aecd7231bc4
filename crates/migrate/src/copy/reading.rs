//! Pages of the source: read when there is room for them, as large as the target and the pace let them be.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use vecferry_milvus::wire::Page;
use vecferry_milvus::{ErrorKind, KeyRange, Query};

use super::budget::Share;
use super::copy_job::CopyJob;
use super::error::CopyError;
use crate::cluster::load_state::wait_until_complete;
use crate::cluster::retry::{Backoff, Verdict, WaitError, sleep};
use crate::event::{Bottleneck, Wait};
use crate::read::{PAGE_BYTES_MAX, PageSize};

impl CopyJob {
    /// Reads the next page, when there is room for it.
    pub(super) async fn next_page(
        &self,
        partition: Option<&str>,
        range: &KeyRange,
        size: &mut PageSize,
    ) -> Result<(Page, Share), CopyError> {
        size.limit(self.pace.page_max());
        let mut share = tokio::select! {
            share = self.budget.take(size.bytes()) => share,
            () = self.cancel.cancelled() => return Err(CopyError::Canceled),
        };
        let page = self.read_page(partition, range, size).await?;
        share.resize(page.bytes, &self.budget);
        size.came(page.rows, page.bytes);
        // Smaller pages of one range say that others may need them; larger ones come by growth.
        self.page_rows.fetch_min(size.wanted(), Ordering::Relaxed);
        Ok((page, share))
    }

    /// Reads the next page of a range. Empty only if the range has no more rows.
    pub(super) async fn read_page(
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
                selection: self.key_field.range(range),
                columns: &self.names,
                partition,
                rows_max: Some(size.rows()),
                consistency: self.consistency,
            };
            let waiting = self.pace.account().begin(Bottleneck::Source);
            let answer = tokio::select! {
                answer = self.source.query(&query) => answer,
                () = self.cancel.cancelled() => return Err(CopyError::Canceled),
            };
            drop(waiting);
            let error = match answer {
                // A page beyond what one insert may hold is asked for again, smaller.
                Ok(answer) if answer.len() > PAGE_BYTES_MAX && size.refused() => continue,
                Ok(answer) => {
                    crate::metrics::page_read();
                    return self.parse(&answer, range);
                }
                Err(error) => error,
            };
            if error.kind() == ErrorKind::TooLarge && size.refused() {
                continue;
            }
            let Verdict::Wait(wait) = backoff.after(error.kind()) else {
                return Err(CopyError::Source(error));
            };
            let (reason, bottleneck) = if error.kind() == ErrorKind::RateLimited {
                (Wait::SourceLimit, Bottleneck::SourceLimit)
            } else {
                (Wait::SourceBusy, Bottleneck::Source)
            };
            crate::metrics::retried(self.reads, error.kind());
            self.tell_waiting(reason);
            let _waiting = self.pace.account().begin(bottleneck);
            sleep(wait, &self.cancel).await;
            if error.kind() != ErrorKind::RateLimited {
                // A server that was away answers short while it loads again, without an error.
                match wait_until_complete(&self.source, self.reads, &self.source_name, &self.cancel).await {
                    Err(WaitError::Canceled) => return Err(CopyError::Canceled),
                    Err(WaitError::Server(error)) if !error.kind().is_transient() => {
                        return Err(CopyError::Source(error));
                    }
                    Ok(()) | Err(WaitError::Server(_)) => {}
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
}
