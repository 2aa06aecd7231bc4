//! Sizes of the engine's steps.

use std::time::Duration;

use crate::copy::PAGE_BYTES_TARGET;

/// A split of fewer bytes is not worth the queries that find its bounds.
const SPLIT_BYTES_MIN: u64 = 16 << 20;
/// How long a split is copied before another one has its turn.
const SLICE_TIME: Duration = Duration::from_secs(30);
/// A load of which nothing arrives in memory for so long does not end by itself: one segment takes seconds.
const LOAD_STALL_MAX: Duration = Duration::from_secs(600);

/// A process that lives says so three times in this time.
const WRITER_TTL: Duration = Duration::from_secs(30);

/// Sizes of the engine's steps. They change how a job goes, and nothing of what it comes to; users need not know them. For
/// tests, which want many steps of few rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// Size of a page that is aimed at.
    pub page_bytes_target: usize,
    /// No split is planned with fewer bytes.
    pub split_bytes_min: u64,
    /// How long a split is copied before another one has its turn.
    pub slice_time: Duration,
    /// How long a server may take to bring the next rows of a collection into memory.
    pub load_stall_max: Duration,
    /// A writer of a collection that was not heard of for so long is dead, or stopped: others take its splits over.
    pub writer_ttl: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            page_bytes_target: PAGE_BYTES_TARGET,
            split_bytes_min: SPLIT_BYTES_MIN,
            slice_time: SLICE_TIME,
            load_stall_max: LOAD_STALL_MAX,
            writer_ttl: WRITER_TTL,
        }
    }
}
