//! A migration without its writes: every row is read as the copy would read it, and let go.

use std::sync::Arc;
use std::time::Instant;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use vecferry_milvus::{KeyRange, RowSelection};

use super::migration::Migration;
use crate::copy::{PartCounter, PlannedRange, plan};
use crate::event::{Event, Observer, Phase};
use crate::plan::PlannedCollection;
use crate::plan::splits::{SPLITS_PARALLEL, split_limits};
use crate::problem::{Code, Problem, Side, words_of};
use crate::read::PageSize;
use crate::read::reader;
use crate::read::{ReadError, Reader};

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DryRunReport {
    /// Collection by collection.
    pub collections: Vec<DryCollection>,
    /// Those that are not loaded, so that nothing of them could be read.
    pub not_loaded: Vec<String>,
    /// Rows of all of them.
    pub rows: u64,
    /// Bytes of these rows on the wire.
    pub bytes: u64,
    /// Seconds of the whole.
    pub seconds: f64,
}

/// What was read of one collection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DryCollection {
    /// Its name.
    pub collection: String,
    /// Its rows.
    pub rows: u64,
    /// Bytes of these rows on the wire.
    pub bytes: u64,
    /// Seconds that they took.
    pub seconds: f64,
}

impl Migration {
    /// Reads every row of what is loaded, without writing anywhere, and measures the source.
    ///
    /// # Errors
    /// The source can't be read, or the user ends it.
    pub async fn dry_run(
        &self,
        observer: Arc<dyn Observer>,
        cancel: CancellationToken,
    ) -> Result<DryRunReport, Problem> {
        let begin = Instant::now();
        let mut report = DryRunReport::default();
        for (_, planned) in self.plan.here() {
            if !planned.answers() {
                report.not_loaded.push(planned.source.to_string());
                continue;
            }
            let enter = |phase| observer.on_event(Event::Phase { collection: planned.source.clone(), phase });
            enter(Phase::Copying);
            let read = self.read(planned, &observer, &cancel).await.map_err(|error| match error {
                ReadError::Canceled => Problem::new(Code::ReadCanceled),
                error @ (ReadError::Server(_)
                | ReadError::Protocol(_)
                | ReadError::Store(_)
                | ReadError::Repair(_)) => Problem::new(Code::DryRunFailed)
                    .with("collection", &planned.source)
                    .told("detail", words_of(&error)),
            })?;
            enter(Phase::Done);
            report.rows += read.rows;
            report.bytes += read.bytes;
            report.collections.push(read);
        }
        report.seconds = begin.elapsed().as_secs_f64();
        Ok(report)
    }

    async fn read(
        &self,
        planned: &PlannedCollection,
        observer: &Arc<dyn Observer>,
        cancel: &CancellationToken,
    ) -> Result<DryCollection, ReadError> {
        let begin = Instant::now();
        let reader = reader(Side::Source, &self.source, &planned.described, &planned.described, cancel)
            .fresh()
            .await?;
        let limits = split_limits(&planned.described, planned.rows_estimate, self.tuning.split_bytes_min);
        let parts = planned.parts();
        let mut ranges = Vec::new();
        for partition in &parts {
            let counter = PartCounter { reader: &reader, partition: partition.as_deref() };
            let rows = reader.count_where(partition.as_deref(), RowSelection::Everything).await?;
            let whole = PlannedRange { range: KeyRange::default(), rows };
            let of_part = plan(&counter, whole, reader.key_is_text(), limits).await?;
            ranges.extend(of_part.into_iter().map(|planned| (partition.as_deref(), planned.range)));
        }
        let page_bytes_target = self.tuning.page_bytes_target;
        let one = |(partition, range)| {
            let observer = Arc::clone(observer);
            let reader = &reader;
            async move {
                let size = PageSize::new(&reader.columns, page_bytes_target);
                read_range(reader, partition, range, size, |rows, bytes| {
                    observer.on_event(Event::Read { collection: planned.source.clone(), rows, bytes });
                })
                .await
            }
        };
        let reads: Vec<_> = ranges.into_iter().map(one).collect();
        let read: Vec<_> = stream::iter(reads).buffer_unordered(SPLITS_PARALLEL).try_collect().await?;
        Ok(DryCollection {
            collection: planned.source.to_string(),
            rows: read.iter().map(|(rows, _)| rows).sum(),
            bytes: read.iter().map(|(_, bytes)| bytes).sum(),
            seconds: begin.elapsed().as_secs_f64(),
        })
    }
}

/// Rows and bytes of a range.
async fn read_range(
    reader: &Reader,
    partition: Option<&str>,
    mut range: KeyRange,
    mut size: PageSize,
    tell: impl Fn(u64, u64),
) -> Result<(u64, u64), ReadError> {
    let (mut rows, mut bytes) = (0, 0);
    loop {
        let page = reader.page(partition, &range, &mut size).await?;
        let Some((_, last)) = page.keys else { return Ok((rows, bytes)) };
        let (of_page, bytes_of_page) = (page.rows as u64, page.bytes as u64);
        tell(of_page, bytes_of_page);
        rows += of_page;
        bytes += bytes_of_page;
        range.after = Some(last);
    }
}
