//! Exact counts of a whole collection, asked in two ways: partition by partition, and without naming any. A partition
//! that the caller has not heard of shows in the second.

use futures_util::{StreamExt, TryStreamExt, stream};
use vecferry_milvus::{Error, ErrorKind, LoadState, RowSelection};

use super::expect::Reader;
use crate::report::CountedRows;
use crate::retry::repeat;

/// Partitions that are counted at the same time.
const COUNTS_PARALLEL: usize = 8;

impl Reader {
    /// Counts all rows, and those of each partition that exists now. `expected` are the partitions that the caller knows
    /// of; empty where partitions cannot be named in a query. Another one is left out if it is not loaded: its rows cannot
    /// be counted, and its name is what tells of it.
    pub(crate) async fn count_all(&self, expected: &[String]) -> Result<CountedRows, Error> {
        let whole = self.count_where(None, RowSelection::Everything).await?;
        let names = match expected {
            [] => Vec::new(),
            _ => repeat(&self.cancel, || self.client.partitions(&self.name)).await?,
        };
        let one = |(name, _): (String, i64)| async move {
            if !expected.contains(&name) && !self.is_loaded(&name).await? {
                return Ok(None);
            }
            let rows = self.count_where(Some(&name), RowSelection::Everything).await?;
            Ok::<_, Error>(Some((name, rows)))
        };
        let counts: Vec<_> = names.into_iter().map(one).collect();
        let counted: Vec<_> = stream::iter(counts).buffered(COUNTS_PARALLEL).try_collect().await?;
        Ok(CountedRows { whole, partitions: counted.into_iter().flatten().collect() })
    }

    async fn is_loaded(&self, partition: &str) -> Result<bool, Error> {
        let state = repeat(&self.cancel, || self.client.load_state(&self.name, Some(partition))).await;
        match state {
            // Servers that load collections as a whole only.
            Err(error) if error.kind() == ErrorKind::Unsupported => Ok(true),
            state => Ok(state? != LoadState::NotLoaded),
        }
    }
}
