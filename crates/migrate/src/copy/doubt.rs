//! Ranges whose rows may be on the target twice: an insert without an answer, and what replaced it.

use vecferry_milvus::{KeyRange, RowSelection, WriteMode};
use vecferry_store::{Attempt, Doubt, Right};

use super::copy_job::CopyJob;
use super::error::CopyError;
use crate::problem::{Told, Worded, words_of, zh};
use crate::read::{Part, ReadError, Reader, key_text, range_of};

/// Rounds after which a surplus that does not go away is a failure.
const ROUNDS_MAX: u32 = 5;

impl CopyJob {
    /// Records that rows of a range may be on the target twice. Where keys are others on the target no range of them says
    /// anything, and the whole is in doubt.
    pub(super) async fn record_doubt(
        &self,
        right: Right<'_>,
        partition: Option<&str>,
        range: &KeyRange,
    ) -> Result<(), CopyError> {
        let (partition, after, until) = match self.keys.can_upsert() {
            true => {
                let (after, until) = (range.after.as_ref().map(key_text), range.until.as_ref().map(key_text));
                (partition.map(str::to_owned), after, until)
            }
            false => (None, None, None),
        };
        Ok(self.store.record_doubt(right, partition, after, until).await?)
    }
}

/// Counts every doubtful range on the target, and upserts the rows of those that hold a key twice: one upsert removes all
/// copies of a key. Where the keys are not the source's, all rows are counted. To be called when nobody can insert any more, with a job whose source is the target itself.
///
/// Returns how many rows were too many.
pub(crate) async fn settle_doubts(
    copy: &CopyJob,
    target: &Reader,
    attempt: &Attempt,
) -> Result<u64, SettleError> {
    let doubts = copy.store.doubts(&copy.job_id, copy.position).await.map_err(CopyError::from)?;
    if !doubts.is_empty() && !copy.keys.can_upsert() {
        compare_with_acknowledged(copy, target).await?;
    }
    let mut removed = 0;
    for doubt in doubts {
        if copy.keys.can_upsert() {
            removed += settle(copy, target, attempt, &doubt).await?;
        }
        copy.store.settle_doubt(attempt, doubt.doubt_id).await.map_err(CopyError::from)?;
    }
    Ok(removed)
}

/// Why doubts can't be settled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettleError {
    #[error("{0}")]
    Copy(#[from] CopyError),
    #[error("{0}")]
    Proof(#[from] ReadError),
    #[error("{0} duplicate rows on the target could not be removed by upserts")]
    Stays(u64),
    /// Nothing can be taken away by its key.
    #[error("the target has {counted} rows, but acknowledged {acknowledged}")]
    Unequal { counted: u64, acknowledged: u64 },
}

impl Worded for SettleError {
    fn words(&self) -> Told {
        match self {
            Self::Copy(error) => words_of(error),
            Self::Proof(error) => words_of(error),
            Self::Stays(rows) => zh(self, format!("无法通过 Upsert 删除目标集群上的 {rows} 个重复行")),
            Self::Unequal { counted, acknowledged } => {
                zh(self, format!("目标集群有 {counted} 行，但确认写入的为 {acknowledged} 行"))
            }
        }
    }
}

/// Where keys tell nothing: what was refused did not land in part if the target holds as many rows as it acknowledged.
async fn compare_with_acknowledged(copy: &CopyJob, target: &Reader) -> Result<(), SettleError> {
    let splits = copy.store.splits(&copy.job_id, copy.position).await.map_err(CopyError::from)?;
    let acknowledged = splits.iter().map(|split| split.progress.rows_written).sum();
    let target = target.clone().fresh().await.map_err(ReadError::from)?;
    let counted = target.count_where(None, RowSelection::Everything).await.map_err(ReadError::from)?;
    if counted == acknowledged { Ok(()) } else { Err(SettleError::Unequal { counted, acknowledged }) }
}

async fn settle(
    copy: &CopyJob,
    target: &Reader,
    attempt: &Attempt,
    doubt: &Doubt,
) -> Result<u64, SettleError> {
    let range = range_of(doubt.after.as_deref(), doubt.until.as_deref()).map_err(CopyError::from)?;
    let part = Part { partition: doubt.partition.clone(), range };
    let (mut reader, mut removed) = (target.clone(), 0);
    for round in 0.. {
        reader = reader.fresh().await.map_err(ReadError::from)?;
        let surplus = surplus(&reader, &part).await?;
        if surplus == 0 {
            break;
        }
        if round == ROUNDS_MAX {
            return Err(SettleError::Stays(surplus));
        }
        removed += surplus;
        let rows = crate::read::PAGE_ROWS_MAX as usize / 16;
        let (right, partition) = (Right::Attempt(attempt, copy.position), part.partition.as_deref());
        copy.copy_in_smaller_pages(right, partition, &part.range, rows, WriteMode::Upsert).await?;
    }
    Ok(removed)
}

/// Rows of a part beyond one a key.
async fn surplus(reader: &Reader, part: &Part) -> Result<u64, ReadError> {
    let counted = reader.count(part).await?;
    if counted == 0 {
        return Ok(0);
    }
    let (mut range, mut distinct) = (part.range.clone(), 0);
    loop {
        let keys = reader.keys(part.partition.as_deref(), &range).await?;
        let Some(last) = keys.last() else { return Ok(counted.saturating_sub(distinct)) };
        distinct += keys.len() as u64;
        range.after = Some(last.clone());
        reader.stop_if_canceled()?;
    }
}
