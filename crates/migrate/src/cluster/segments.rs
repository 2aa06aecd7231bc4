//! Rows in the segments of a collection.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use vecferry_milvus::{Client, CollectionName, Error, ErrorKind};

use super::retry::sleep;
use crate::problem::{Code, Problem};

/// A segment that is being replaced is there twice for a moment: more rows count only if they stay.
const LOOKS_MAX: u32 = 6;
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Rows of the loaded segments, growing ones too where the server tells these (2.3.5 does not: there, new rows count from
/// when their segment is sealed); each segment once, however many replicas hold it.
pub(crate) async fn segment_rows(source: &Client, name: &CollectionName) -> Result<Option<i64>, Error> {
    let segments = match source.loaded_segments(name).await {
        Ok(segments) => segments,
        // Just started.
        Err(error) if error.kind() == ErrorKind::NotLoaded => None,
        Err(error) => return Err(error),
    };
    Ok(segments.map(|segments| {
        let mut rows: BTreeMap<i64, i64> = BTreeMap::new();
        for segment in segments {
            let known = rows.entry(segment.id).or_default();
            *known = segment.rows.max(*known);
        }
        rows.values().sum()
    }))
}

/// The same behind the copy: more than before only if that does not pass.
pub(crate) async fn segment_rows_after(
    source: &Client,
    name: &CollectionName,
    before: Option<i64>,
    cancel: &CancellationToken,
) -> Result<Option<i64>, Error> {
    if before.is_none() {
        return Ok(None);
    }
    let mut looks = 1;
    loop {
        let now = segment_rows(source, name).await?;
        if now <= before || looks == LOOKS_MAX || cancel.is_cancelled() {
            return Ok(now);
        }
        looks += 1;
        sleep(LOOK_INTERVAL, cancel).await;
    }
}

/// That the source does not answer the call which shows updates.
pub(crate) fn not_to_be_seen(collections: usize, call: &str) -> Problem {
    Problem::new(Code::UpdatesUnseen).with("number", collections).with("call", call)
}
