//! Whether somebody still writes to the source: the rows are counted twice, some time apart.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use vecferry_milvus::{Client, CollectionName, Error};

use super::{CheckId, CheckList};
use crate::inventory::everything;
use crate::plan::Plan;
use crate::problem::{Code, Problem};
use crate::run::drift::segment_rows;

/// Between the two counts lie the other checks, and at least this.
const APART_MIN: Duration = Duration::from_secs(1);
/// Collections that are counted at once.
const COUNTS_PARALLEL: usize = 8;

/// The first count.
#[derive(Debug)]
pub(crate) struct Census {
    at: Instant,
    rows: Vec<(CollectionName, i64, u64, Option<i64>)>,
}

impl Census {
    /// Counts what is loaded. `None` in place of segments where the server does not tell them.
    pub(crate) async fn take(source: &Client, plan: &Plan) -> Result<Self, Error> {
        let loaded = plan.collections.iter().filter(|planned| planned.readable && !planned.needs_load);
        let rows = stream::iter(loaded)
            .map(|planned| async move {
                let (name, id) = (planned.source.clone(), planned.described.id);
                let (rows, in_segments) = count(source, &name, id).await?;
                Ok::<_, Error>((name, id, rows, in_segments))
            })
            .buffered(COUNTS_PARALLEL)
            .try_collect()
            .await?;
        Ok(Self { at: Instant::now(), rows })
    }

    /// Counts again, and names what changed.
    pub(crate) async fn compare(self, list: &mut CheckList, source: &Client) -> Result<(), Error> {
        if self.rows.is_empty() {
            list.passed(CheckId::Writers, ["-".to_owned()]);
            return Ok(());
        }
        tokio::time::sleep(APART_MIN.saturating_sub(self.at.elapsed())).await;
        let again: Vec<_> = stream::iter(&self.rows)
            .map(|(name, id, ..)| count(source, name, *id))
            .buffered(COUNTS_PARALLEL)
            .try_collect()
            .await?;
        let seconds = self.at.elapsed().as_secs_f64();
        list.passed(CheckId::Writers, [format!("{} x 2, {seconds:.1} s", self.rows.len())]);
        for ((name, _, rows, in_segments), now) in self.rows.iter().zip(again) {
            // Compaction removes what was deleted long ago: only more rows in the segments say that somebody writes.
            let grew = in_segments.zip(now.1).is_some_and(|(before, after)| after > before);
            if *rows != now.0 || grew {
                let problem = Problem::new(Code::WritesArriving).with("collection", name);
                let problem = problem.with("before", rows).with("after", now.0);
                list.warn(CheckId::Writers, problem.with("seconds", format!("{seconds:.0}")));
            }
        }
        Ok(())
    }
}

/// Rows by count, and rows of the loaded segments, which an update adds to as well.
async fn count(source: &Client, name: &CollectionName, id: i64) -> Result<(u64, Option<i64>), Error> {
    let rows = source.count(&everything(name, id)).await?;
    Ok((rows, segment_rows(source, name).await?))
}
