//! One slice of one split: the split is claimed, what an earlier claim may have sent is sent again, and the rest is copied
//! until it ends or the time is up.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tracing::Instrument;
use vecferry_milvus::{CollectionName, Key, KeyRange, WriteMode};
use vecferry_store::{Claim, Split, SplitId, Writer};

use super::copy_job::CopyJob;
use super::dispatch::{Slice, SliceRunner};
use super::error::{CopyError, SliceError};
use super::lost_writers::close_lost_writers;
use super::progress::{Ahead, Copied, Held, Place};
use super::range::RangeCopy;
use crate::problem::Told;
use crate::read::{PageSize, key_of, key_text, range_of};

/// Copies splits of a collection as one writer of it.
pub(crate) struct Slices<'a> {
    pub(crate) copy: &'a CopyJob,
    pub(crate) writer: Writer,
    /// The collection as the target names it, for the aliases of other writers.
    pub(crate) target_name: &'a CollectionName,
}

#[async_trait]
impl SliceRunner for Slices<'_> {
    async fn run_slice(&self, split_id: SplitId, time: Duration) -> Result<Slice, SliceError> {
        let ended = self.run(split_id, time).instrument(tracing::debug_span!("split", %split_id)).await;
        if ended.is_err() {
            // The other splits of this collection need not go on.
            self.copy.cancel.cancel();
        }
        Ok(ended?)
    }
}

impl Slices<'_> {
    async fn run(&self, split_id: SplitId, time: Duration) -> Result<Slice, CopyError> {
        let store = &self.copy.store;
        let (claim, split) = match store.claim(&self.writer, split_id).await {
            Ok(Some(claimed)) => claimed,
            Ok(None) => return Ok(Slice::Done),
            Err(error) if error.kind() == vecferry_store::ErrorKind::IsClaimed => return Ok(Slice::Taken),
            Err(error) => return Err(error.into()),
        };
        // Whoever had it before and still lives can't write any more once its name is gone.
        close_lost_writers(&**store, &self.copy.target, self.target_name, &self.writer).await?;
        let (slice, held) = self.copy.copy_split(&claim, &split, time).await?;
        if held == Held::Still {
            store.release(&claim).await?;
        }
        Ok(slice)
    }
}

impl CopyJob {
    async fn copy_split(
        &self,
        claim: &Claim,
        split: &Split,
        time: Duration,
    ) -> Result<(Slice, Held), CopyError> {
        let started = Instant::now();
        let mut range = range_of(split.cursor.as_deref().or(split.after.as_deref()), split.until.as_deref())?;
        let mut size = PageSize::new(&self.columns, self.page_bytes_target);
        size.at_least(self.page_rows.load(Ordering::Relaxed));
        let mut copied = Copied { claim, split, place: Place::of(split) };
        if let Some(intent) = split.intent.as_ref().filter(|intent| Some(*intent) != split.cursor.as_ref()) {
            let intent = key_of(intent)?;
            if !self.keys.can_upsert() {
                return Err(CopyError::InDoubt(Told::both(
                    format!(
                        "an earlier attempt ended before rows up to primary key {intent} were acknowledged"
                    ),
                    format!("之前的一次执行在主键 {intent} 及之前的行得到确认前结束"),
                )));
            }
            self.resend(&mut copied, &mut range, intent, &mut size).await?;
        }
        let out_of_time = || started.elapsed() >= time;
        let rest = RangeCopy::new(self, &mut copied, range, &mut size, WriteMode::Insert, &out_of_time)?;
        Box::pin(rest.run()).await
    }

    /// Sends what an earlier claim may or may not have sent: by upsert, which leaves one row of each key. That the range is
    /// in doubt was recorded with the claim, because a late insert may still be on its way.
    async fn resend(
        &self,
        copied: &mut Copied<'_>,
        range: &mut KeyRange,
        intent: Key,
        size: &mut PageSize,
    ) -> Result<(), CopyError> {
        let doubtful = KeyRange { after: range.after.clone(), until: Some(intent.clone()) };
        // However long it takes: a slice that stopped in between would begin with the same doubt.
        let doubtful = RangeCopy::new(self, copied, doubtful, size, WriteMode::Upsert, &|| false)?;
        let (slice, _) = Box::pin(doubtful.run()).await?;
        if slice == Slice::Canceled {
            return Err(CopyError::Canceled);
        }
        // Also where the source does not hold the intended rows any more, nothing up to the intent is in doubt now.
        let ahead = Ahead { cursor: Some(key_text(&intent)), ..Ahead::default() };
        self.advance(copied, ahead).await?;
        range.after = Some(intent);
        Ok(())
    }
}
