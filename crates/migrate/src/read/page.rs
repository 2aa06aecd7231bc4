//! Whole pages of rows, read as often as it takes: a server that is away, loads or limits is waited for.

use vecferry_milvus::wire::Page;
use vecferry_milvus::{ErrorKind, KeyRange, Query};

use super::page_size::PageSize;
use super::reader::{ReadError, Reader};
use crate::cluster::load_state::wait_until_served;
use crate::cluster::retry::{Backoff, Verdict, sleep};

/// A larger page is asked for again, smaller.
const PAGE_BYTES_MAX: usize = 16 << 20;

impl Reader {
    /// The next page of rows, with all columns.
    pub(crate) async fn page(
        &self,
        partition: Option<&str>,
        range: &KeyRange,
        size: &mut PageSize,
    ) -> Result<Page, ReadError> {
        let names: Vec<_> = self.columns.iter().map(|column| column.name.clone()).collect();
        let mut backoff = Backoff::new();
        loop {
            self.stop_if_canceled()?;
            let query = Query {
                collection: &self.name,
                collection_id: self.id,
                selection: self.key_field.range(range),
                columns: &names,
                partition,
                rows_max: Some(size.rows()),
                consistency: self.consistency,
            };
            let answer = tokio::select! {
                answer = self.client.query(&query) => answer,
                () = self.cancel.cancelled() => return Err(ReadError::Canceled),
            };
            let error = match answer {
                Ok(answer) if answer.len() > PAGE_BYTES_MAX && size.refused() => continue,
                Ok(answer) => {
                    let page = Page::read(&answer, &self.key_field, range.after.as_ref())?;
                    if page.rows > 0 {
                        page.check_columns(names.iter().map(String::as_str))?;
                    }
                    size.came(page.rows, page.bytes);
                    return Ok(page);
                }
                Err(error) => error,
            };
            if error.kind() == ErrorKind::TooLarge && size.refused() {
                continue;
            }
            let Verdict::Wait(wait) = backoff.after(error.kind()) else { return Err(error.into()) };
            sleep(wait, &self.cancel).await;
            if error.kind() != ErrorKind::RateLimited {
                self.wait_until_complete().await?;
            }
        }
    }

    /// A server that was away answers short while it loads again, without an error: rows would look missing.
    pub(crate) async fn wait_until_complete(&self) -> Result<(), ReadError> {
        let served = &self.served_otherwise;
        Ok(wait_until_served(&self.client, self.side, &self.name, served, &self.cancel).await?)
    }
}
