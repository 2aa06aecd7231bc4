//! Whether a split is complete when no more rows come. A server that is loading answers a page without rows and without
//! an error, so that an empty page alone ends nothing: the source counts the range of the split, and says as many rows
//! as were read, or the difference is found.

use vecferry_milvus::{Error, KeyRange, WriteMode};
use vecferry_store::{Claim, Quarantined, RangeCount, Split};

use super::copy_job::CopyJob;
use super::dispatch::Slice;
use super::error::CopyError;
use super::progress::{Ahead, Copied, Held};
use crate::cluster::load_state::wait_until_complete;
use crate::cluster::retry::{Backoff, Verdict, WaitError, sleep};
use crate::problem::Told;
use crate::read::{NoKey, key_of, range_of};
use crate::read::{Part, ReadError, Reader};

/// Looks at a range that answers fewer keys than were read of it before.
const LOOKS_MAX: u32 = 4;
/// How often in a row a split is read again. More rows than were read after so many times are those of somebody who
/// writes, and the comparison with the count before the copy tells.
const REOPENED_MAX: u64 = 2;
/// So many rows of a range may be written while it is read, besides a tenth of it, without anybody wondering.
const ROWS_WRITTEN_MEANWHILE: u64 = 1_000;

/// What a split is at its end.
#[derive(Debug)]
enum End {
    /// All rows of it were read.
    Complete(RangeCount),
    /// The source answers keys that were not read.
    RowsMissed {
        /// How many it answers.
        distinct_keys: u64,
    },
}

impl CopyJob {
    /// Records the end of a range, and of the split unless the range was only a doubtful part of it. A split of which the
    /// source holds more rows than it answered is not at its end.
    pub(super) async fn finish(
        &self,
        copied: &mut Copied<'_>,
        ahead: Ahead,
        mode: WriteMode,
    ) -> Result<(Slice, Held), CopyError> {
        if mode == WriteMode::Upsert {
            self.advance(copied, ahead).await?;
            return Ok((Slice::Done, Held::Still));
        }
        let recorded = self.store.split(copied.split.split_id).await?;
        let rows_read = recorded.progress.rows_read + ahead.progress.rows_read;
        match self.end_of(&recorded, rows_read).await {
            Ok(End::Complete(count)) => {
                let step = copied.place.step(ahead);
                self.store.finish_split(copied.claim, step, count).await?;
                Ok((Slice::Done, Held::No))
            }
            Ok(End::RowsMissed { distinct_keys }) if self.keys.can_upsert() => {
                let split = recorded.split_id;
                tracing::debug!(rows_read, distinct_keys, %split, "a split is read again");
                self.reopen(copied.claim, &recorded).await?;
                Ok((Slice::More { divided: Vec::new() }, Held::No))
            }
            Ok(End::RowsMissed { distinct_keys }) => Err(CopyError::InDoubt(Told::both(
                format!("the source returned {rows_read} rows at first, then {distinct_keys}"),
                format!("源集群先返回 {rows_read} 行，之后返回 {distinct_keys} 行"),
            ))),
            Err(error) => {
                // What landed is recorded also where it can't go on.
                self.advance(copied, ahead).await?;
                Err(error)
            }
        }
    }

    /// Compares what was read of a split with what the source holds. Where it counts more, which repeated keys and rows
    /// that no query returns do as well, the keys are read once more by themselves.
    async fn end_of(&self, split: &Split, rows_read: u64) -> Result<End, CopyError> {
        let reader = self.source_reader();
        let range = range_of(split.after.as_deref(), split.until.as_deref())?;
        let part = Part { partition: split.partition.clone(), range };
        let mut counted = self.count(&reader, &part).await?;
        if counted <= rows_read {
            return Ok(End::Complete(RangeCount { counted, distinct_keys: None }));
        }
        tracing::debug!(
            counted,
            rows_read,
            split = %split.split_id,
            "the source counts more rows than it returned"
        );
        if self.writes_go_on {
            let is_read_again = self.keys.can_upsert() && split.reopened < REOPENED_MAX;
            if !is_read_again || !was_read_too_early(counted, rows_read) {
                return Ok(End::Complete(RangeCount { counted, distinct_keys: None }));
            }
            self.wait_for_source().await?;
            return Ok(End::RowsMissed { distinct_keys: counted });
        }
        let mut backoff = Backoff::new();
        for look in 1.. {
            self.wait_for_source().await?;
            counted = self.count(&reader, &part).await?;
            let distinct_keys = count_keys(&reader, &part).await.map_err(|error| self.failed(error))?;
            if distinct_keys > rows_read && split.reopened < REOPENED_MAX {
                return Ok(End::RowsMissed { distinct_keys });
            }
            if distinct_keys >= rows_read || look == LOOKS_MAX {
                return Ok(End::Complete(RangeCount { counted, distinct_keys: Some(distinct_keys) }));
            }
            // These keys were answered as too few themselves, or somebody deletes.
            if let Verdict::Wait(wait) = backoff.after(vecferry_milvus::ErrorKind::NotLoaded) {
                sleep(wait, &self.cancel).await;
            }
        }
        unreachable!("looks have an end")
    }

    async fn count(&self, reader: &Reader, part: &Part) -> Result<u64, CopyError> {
        reader.count(part).await.map_err(|error| self.source_failed(error))
    }

    async fn wait_for_source(&self) -> Result<(), CopyError> {
        let complete = wait_until_complete(&self.source, self.reads, &self.source_name, &self.cancel).await;
        complete.map_err(|error| match error {
            WaitError::Canceled => CopyError::Canceled,
            WaitError::Server(error) => self.source_failed(error),
        })
    }

    fn source_failed(&self, error: Error) -> CopyError {
        if self.cancel.is_cancelled() { CopyError::Canceled } else { CopyError::Source(error) }
    }

    fn failed(&self, error: ReadError) -> CopyError {
        match error {
            ReadError::Server(error) => self.source_failed(error),
            ReadError::Protocol(error) => CopyError::Protocol(error),
            ReadError::Canceled => CopyError::Canceled,
            ReadError::Store(error) => CopyError::Store(error),
            ReadError::Repair(error) => self.failed(*error),
        }
    }

    /// Has a split read again from its beginning: what was sent of it by upsert, the rest as ever.
    async fn reopen(&self, claim: &Claim, split: &Split) -> Result<(), CopyError> {
        let refused = self.store.quarantined(&self.job_id, self.position).await?;
        let refused = rows_of_split(split, refused)?;
        Ok(self.store.reopen_split(claim, split.reopened + 1, refused).await?)
    }
}

/// Whether a range that is written to holds so many more rows than were read of it that the server was loading then. Fewer
/// are those that were written meanwhile; a later comparison finds both.
fn was_read_too_early(counted: u64, rows_read: u64) -> bool {
    counted > rows_read.saturating_add(rows_read / 10).saturating_add(ROWS_WRITTEN_MEANWHILE)
}

/// Those of some refused rows that are in the range of a split.
pub(crate) fn rows_of_split(split: &Split, refused: Vec<Quarantined>) -> Result<Vec<Quarantined>, NoKey> {
    let KeyRange { after, until } = range_of(split.after.as_deref(), split.until.as_deref())?;
    let mut found = Vec::new();
    for row in refused {
        let key = key_of(&row.key)?;
        let is_inside = after.as_ref().is_none_or(|after| key > *after)
            && until.as_ref().is_none_or(|until| key <= *until);
        if is_inside && row.partition == split.partition.as_deref().unwrap_or_default() {
            found.push(row);
        }
    }
    Ok(found)
}

/// Keys that the source answers in a part, each once.
async fn count_keys(reader: &Reader, part: &Part) -> Result<u64, ReadError> {
    let (mut range, mut found) = (part.range.clone(), 0);
    loop {
        let keys = reader.keys(part.partition.as_deref(), &range).await?;
        let Some(last) = keys.last() else { return Ok(found) };
        found += keys.len() as u64;
        range.after = Some(last.clone());
        reader.stop_if_canceled()?;
    }
}

#[cfg(test)]
mod tests {
    use vecferry_store::{Position, Progress, SplitId};

    use super::*;

    #[test]
    fn few_rows_more_were_written_meanwhile_and_many_were_not_answered() {
        for (counted, rows_read, is_too_early) in [
            (1_000, 0, false),
            (1_001, 0, true),
            (12_000, 10_000, false),
            (12_001, 10_000, true),
            (5, 9, false),
        ] {
            assert_eq!(was_read_too_early(counted, rows_read), is_too_early, "{counted} of {rows_read}");
        }
        assert!(!was_read_too_early(u64::MAX, u64::MAX));
    }

    #[test]
    fn refused_rows_belong_to_the_split_whose_range_holds_them() {
        let split = Split {
            split_id: SplitId(1),
            collection: Position(0),
            partition: Some("p".into()),
            after: Some("i-5".into()),
            until: Some("i10".into()),
            rows_planned: 0,
            cursor: None,
            intent: None,
            progress: Progress::default(),
            done: true,
            count: None,
            reopened: 0,
        };
        let row = |partition: &str, key: i64| Quarantined {
            partition: partition.into(),
            key: format!("i{key}"),
            reason: String::new(),
            in_doubt: false,
        };
        let refused = vec![row("p", -5), row("p", -4), row("q", 0), row("p", 9), row("p", 10), row("p", 11)];
        let found = rows_of_split(&split, refused).unwrap();
        assert_eq!(found, [row("p", -4), row("p", 9), row("p", 10)]);
        let whole = Split { partition: None, after: None, until: None, ..split };
        assert_eq!(rows_of_split(&whole, vec![row("", 3), row("p", 3)]).unwrap(), [row("", 3)]);
    }
}
