//! Whether somebody still writes to the source: the rows are counted twice, some time apart.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use vecferry_milvus::{Client, CollectionName, Consistency, Error, ErrorKind};

use super::list::{CheckList, some_collections};
use crate::cluster::inventory::{as_of_now, everything};
use crate::cluster::segments::{not_to_be_seen, segment_rows};
use crate::plan::Plan;
use crate::problem::CheckId;
use crate::problem::{Code, Problem, Told};
use crate::report::UnseenWrites;

/// Between the two counts.
const APART: Duration = Duration::from_secs(1);
/// Collections that are counted at once.
const COUNTS_PARALLEL: usize = 8;

/// Counts what is loaded, twice, and names what changed.
pub(crate) async fn writers(list: &mut CheckList, source: &Client, plan: &Plan) -> Result<(), Error> {
    updates_seen(list, source, plan).await?;
    let loaded = plan.collections.iter().filter(|planned| planned.answers());
    let collections: Vec<_> = loaded.map(|planned| (&planned.source, planned.described.id)).collect();
    if collections.is_empty() {
        let none =
            Told::both("no loaded collection, so no rows to count", "没有已加载的 Collection，无法计数");
        list.passed(CheckId::Writers, [none]);
        return Ok(());
    }
    let begin = Instant::now();
    let before = count_all(source, &collections).await?;
    tokio::time::sleep(APART).await;
    let after = count_all(source, &collections).await?;
    let seconds = begin.elapsed().as_secs_f64();
    let counted = collections.len();
    let fact = some_collections(counted).within(
        |some| format!("{some} counted twice, {seconds:.1} s apart"),
        |some| format!("{some} 计数两次，间隔 {seconds:.1} 秒"),
    );
    list.passed(CheckId::Writers, [fact]);
    for (((name, _), before), after) in collections.iter().zip(before).zip(after) {
        // Compaction removes what was deleted long ago: only more rows in the segments say that somebody writes.
        let grew = before.1.zip(after.1).is_some_and(|(before, after)| after > before);
        if before.0 != after.0 || grew {
            list.warn(CheckId::Writers, arriving(name, before.0, after.0, begin.elapsed()));
        }
    }
    Ok(())
}

/// For a job that begins at once: its first counts are the second look.
pub(crate) async fn writers_at_start(
    list: &mut CheckList,
    source: &Client,
    plan: &Plan,
) -> Result<(), Error> {
    updates_seen(list, source, plan).await?;
    let fact = Told::both("compared with the first counts of the job", "与任务最初的计数比较");
    list.passed(CheckId::Writers, [fact]);
    Ok(())
}

/// For a job whose source is written to until its last round: nothing is counted to find that out. Whether updates will be
/// seen matters for that round.
pub(crate) async fn writers_go_on(list: &mut CheckList, source: &Client, plan: &Plan) -> Result<(), Error> {
    updates_seen(list, source, plan).await?;
    let fact = Told::both("writes may continue until the cut-over", "切换之前可以继续写入");
    list.passed(CheckId::Writers, [fact]);
    Ok(())
}

/// Rows arrive at the source.
pub(crate) fn arriving(name: &CollectionName, before: u64, after: u64, apart: Duration) -> Problem {
    let problem = Problem::new(Code::WritesArriving).with("collection", name);
    let problem = problem.with("before", before).with("after", after);
    problem.with("seconds", format!("{:.0}", apart.as_secs_f64().max(1.0)))
}

/// Whether updates of rows will be seen.
async fn updates_seen(list: &mut CheckList, source: &Client, plan: &Plan) -> Result<(), Error> {
    let readable = || plan.collections.iter().filter(|planned| planned.readable);
    // One stands for all: what a server does not have or a user may not do is rarely another thing for the next one.
    // Whether a flush is allowed shows only when there is one, and a plan does nothing.
    if let Some(planned) = readable().next()
        && let Some(call) = UnseenWrites::SegmentsNotTold.missing_call()
        && let Err(error) = source.list_stored_segments(&planned.source).await
        && matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::PermissionDenied)
    {
        list.warn(CheckId::Writers, not_to_be_seen(readable().count(), call));
    }
    Ok(())
}

type Counted = (u64, Option<i64>);

async fn count_all(source: &Client, collections: &[(&CollectionName, i64)]) -> Result<Vec<Counted>, Error> {
    let now = as_of_now(source).await?;
    let counts: Vec<_> = collections.iter().map(|(name, id)| count(source, name, *id, now)).collect();
    stream::iter(counts).buffered(COUNTS_PARALLEL).try_collect().await
}

/// Rows by count, and rows of the loaded segments, which an update adds to as well.
async fn count(
    source: &Client,
    name: &CollectionName,
    id: i64,
    consistency: Consistency,
) -> Result<Counted, Error> {
    let rows = source.count(&everything(name, id, consistency)).await?;
    Ok((rows, segment_rows(source, name).await?))
}
