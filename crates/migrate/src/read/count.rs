//! Exact counts of a whole collection, asked in two ways: partition by partition, and without naming any. A partition
//! that the caller has not heard of shows in the second.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use vecferry_milvus::{Error, ErrorKind, LoadState, RowSelection};

use super::reader::Reader;
use crate::cluster::retry::repeat;

/// Partitions that are counted at the same time.
const COUNTS_PARALLEL: usize = 8;

/// Rows of a collection, counted at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountedRows {
    /// All rows, counted without naming a partition.
    pub whole: u64,
    /// Rows of each partition that existed then; empty where partitions cannot be named.
    pub partitions: BTreeMap<String, u64>,
}

impl CountedRows {
    /// Whether nowhere more was counted than in another count of the same partitions.
    pub(crate) fn is_part_of(&self, other: &Self) -> bool {
        let are_fewer =
            |(name, rows): (&String, &u64)| other.partitions.get(name).is_some_and(|of| rows <= of);
        self.whole <= other.whole
            && self.partitions.len() == other.partitions.len()
            && self.partitions.iter().all(are_fewer)
    }

    /// Rows of all partitions together; of the whole where partitions cannot be named.
    pub fn sum(&self) -> u64 {
        if self.partitions.is_empty() { self.whole } else { self.partitions.values().sum() }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_has_nowhere_more_and_the_same_partitions() {
        let counted = |whole, rows: &[(&str, u64)]| CountedRows {
            whole,
            partitions: rows.iter().map(|(name, rows)| ((*name).to_owned(), *rows)).collect(),
        };
        let all = counted(9, &[("a", 4), ("b", 5)]);
        for (other, is_part) in [
            (all.clone(), true),
            (counted(5, &[("a", 4), ("b", 1)]), true),
            (counted(9, &[("a", 5), ("b", 4)]), false),
            (counted(10, &[("a", 4), ("b", 5)]), false),
            (counted(4, &[("a", 4)]), false),
            (counted(4, &[("a", 4), ("c", 0)]), false),
        ] {
            assert_eq!(other.is_part_of(&all), is_part, "{other:?}");
        }
    }
}
