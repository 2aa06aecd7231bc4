//! Whether somebody wrote to the source while it was copied.

use serde::{Deserialize, Serialize};

/// What the source held before and after the copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriftReport {
    /// Which looks were possible: `count` (rows by partition), `writes` (stored segments, see `writes`) and, where these
    /// were not to be seen, `segments` (rows in the loaded segments).
    pub checks: Vec<String>,
    /// Rows counted before the copy.
    pub rows_before: u64,
    /// Rows counted after it.
    pub rows_after: u64,
    /// Rows of the loaded segments before the copy, deleted ones too.
    pub segment_rows_before: Option<i64>,
    /// The same after it.
    pub segment_rows_after: Option<i64>,
    /// Rows that ended meanwhile by the collection's time-to-live.
    pub rows_expired: u64,
    /// Whether somebody wrote.
    pub drifted: bool,
    /// What changed beside the rows: partitions, aliases, properties.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub changes: Vec<String>,
    /// Whether somebody wrote by the stored segments, which show updates of existing rows; absent in older reports.
    #[serde(default)]
    pub writes: Option<Writes>,
    /// Rows of the source may have been compared that were read a moment before the comparison: what was written meanwhile
    /// is told by `writes` alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_ahead: bool,
}

/// What the stored segments say of writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "seen", rename_all = "snake_case")]
pub enum Writes {
    /// Nobody inserted or updated a row.
    None,
    /// Somebody wrote.
    Written {
        /// At least so many rows.
        rows: u64,
    },
    /// It can't be told.
    Unknown {
        /// Why.
        reason: UnseenWrites,
    },
}

/// Why updates of existing rows can't be told from nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnseenWrites {
    /// The server does not tell its segments to this user.
    SegmentsNotTold,
    /// The server does not flush for this user.
    FlushNotAllowed,
    /// The server does not tell this user whether a flush has ended.
    FlushStateNotTold,
    /// The server limits flushes, and the limit did not lift in time.
    FlushLimited,
    /// A flush did not end in time.
    FlushSlow,
    /// Compaction or sorting gave the rows to other segments.
    Rewritten,
    /// An earlier version of Vecferry began the job without looking.
    EarlierVersion,
}

impl UnseenWrites {
    /// Whether only a look behind the copy comes to this: the one before it did see the segments.
    pub(crate) fn is_of_later_look(self) -> bool {
        match self {
            Self::Rewritten | Self::FlushSlow | Self::FlushLimited => true,
            Self::SegmentsNotTold
            | Self::FlushNotAllowed
            | Self::FlushStateNotTold
            | Self::EarlierVersion => false,
        }
    }

    /// The call that is not to be had, where that is the reason.
    pub fn missing_call(self) -> Option<&'static str> {
        match self {
            Self::SegmentsNotTold => Some("GetPersistentSegmentInfo"),
            Self::FlushNotAllowed => Some("Flush"),
            Self::FlushStateNotTold => Some("GetFlushState"),
            Self::FlushLimited | Self::FlushSlow | Self::Rewritten | Self::EarlierVersion => None,
        }
    }
}
