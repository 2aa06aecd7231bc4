//! Into how many splits a collection is divided.

use vecferry_milvus::Collection;

use super::PlannedCollection;
use crate::tuning::Tuning;

/// Splits of a collection that are copied at once.
pub(crate) const SPLITS_PARALLEL: usize = 6;
/// Larger splits leave some readers without work at the end.
const SPLIT_BYTES_MAX: u64 = 2 << 30;
/// Splits of a partition.
const SPLITS_PER_PART_MAX: usize = 64;
/// Guess of the bytes of a value whose type does not tell.
const VARIABLE_BYTES: usize = 64;

/// How far to divide.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SplitLimits {
    /// A range of so many rows is not divided.
    pub(crate) rows_per_split: u64,
    /// Ranges at most.
    pub(crate) splits_max: usize,
}

/// Enough splits to keep all readers busy to the end, but none that is not worth its queries.
pub(crate) fn split_limits(described: &Collection, rows: u64, split_bytes_min: u64) -> SplitLimits {
    let columns = described.schema.columns();
    let row_bytes: usize = columns.iter().map(|column| column.fixed_bytes().unwrap_or(VARIABLE_BYTES)).sum();
    let row_bytes = (row_bytes as u64).max(1);
    let bytes = rows.saturating_mul(row_bytes) / (2 * SPLITS_PARALLEL as u64);
    let rows_per_split = (bytes.clamp(split_bytes_min, SPLIT_BYTES_MAX) / row_bytes).max(1);
    SplitLimits { rows_per_split, splits_max: SPLITS_PER_PART_MAX }
}

/// Into how many splits a collection will be divided, about.
pub(crate) fn splits_expected(planned: &PlannedCollection) -> u64 {
    let limits = split_limits(&planned.described, planned.rows_estimate, Tuning::default().split_bytes_min);
    let parts = planned.parts().len() as u64;
    let divided = planned.rows_estimate.div_ceil(limits.rows_per_split);
    divided.clamp(parts, parts * SPLITS_PER_PART_MAX as u64)
}
