//! Why something could not be mended.

use crate::problem::{Side, Told, Worded, canceled, words_of, zh};
use crate::read::{NoKey, ReadError};

#[derive(Debug, thiserror::Error)]
pub(crate) enum MendError {
    #[error("source: {0}")]
    Source(ReadError),
    #[error("target: {0}")]
    Target(ReadError),
    #[error("{0}")]
    Store(#[from] vecferry_store::Error),
    #[error("{0}")]
    Record(#[from] NoKey),
    /// The name is another collection's by now.
    #[error("the target collection was replaced by another one")]
    Replaced,
    #[error("a comparison found rows of partition `{0}`, which it was not to compare")]
    UnknownPart(String),
    /// Mended again and again, and never found as it was sent.
    #[error("{rows} row(s) are not as they were written, the first one with primary key {first}")]
    Stays { rows: usize, first: String },
    /// It leaves rows out, or somebody writes to it: nothing may be removed that it does not return.
    #[error("the source counts {counted} rows and returned {returned}{}", of_partition(.partition))]
    NotAllRead { partition: Option<String>, counted: u64, returned: u64 },
    /// However often it is read, what a side counts is not what it returns: rows may be there that nobody compared.
    #[error("the {} counts {counted} rows{}, and {expected} were compared", .side.name(), of_partition(.partition))]
    NotAccounted { side: Side, partition: Option<String>, counted: u64, expected: u64 },
    /// A row was not among those of a range, and was there when it was asked for by its key, again and again.
    #[error("the source returns different rows for the same query{}", of_partition(.0))]
    Contradicts(Option<String>),
    /// A row that it returned a moment ago.
    #[error("the source does not return the row with primary key {0} any more")]
    Gone(String),
    #[error(
        "so many rows are rejected that no others are tried, the last one with primary key {key}: {error}"
    )]
    TooManyRefused { key: String, error: String },
    #[error("canceled")]
    Canceled,
}

fn of_partition(partition: &Option<String>) -> String {
    partition.as_ref().map_or_else(String::new, |name| format!(" of partition `{name}`"))
}

impl MendError {
    /// A failure of the source, or that nobody wants to wait for it.
    pub(crate) fn source(error: ReadError) -> Self {
        match error {
            ReadError::Canceled => Self::Canceled,
            ReadError::Store(error) => Self::Store(error),
            error @ (ReadError::Server(_) | ReadError::Protocol(_) | ReadError::Repair(_)) => {
                Self::Source(error)
            }
        }
    }

    /// The same of the target.
    pub(crate) fn target(error: ReadError) -> Self {
        match error {
            ReadError::Canceled => Self::Canceled,
            ReadError::Store(error) => Self::Store(error),
            error @ (ReadError::Server(_) | ReadError::Protocol(_) | ReadError::Repair(_)) => {
                Self::Target(error)
            }
        }
    }
}

impl Worded for MendError {
    fn words(&self) -> Told {
        match self {
            Self::Source(error) => words_of(error).behind("source: ", "源集群："),
            Self::Target(error) => words_of(error).behind("target: ", "目标集群："),
            Self::Store(error) => words_of(error),
            Self::Record(error) => words_of(error),
            Self::Replaced => zh(self, "目标 Collection 已被另一个 Collection 替换".to_owned()),
            Self::UnknownPart(name) => {
                zh(self, format!("比对返回了不在比对范围内的 Partition `{name}` 的行"))
            }
            Self::Stays { rows, first } => {
                zh(self, format!("{rows} 行与写入的内容不一致，其中第一行的主键为 {first}"))
            }
            Self::NotAllRead { partition, counted, returned } => {
                let place =
                    partition.as_ref().map_or_else(String::new, |name| format!(" Partition `{name}` "));
                zh(self, format!("源集群{place}计数为 {counted} 行，但返回了 {returned} 行"))
            }
            Self::NotAccounted { side, partition, counted, expected } => {
                let side = match side {
                    Side::Source => "源集群",
                    Side::Target => "目标集群",
                };
                let place =
                    partition.as_ref().map_or_else(String::new, |name| format!(" Partition `{name}`"));
                zh(self, format!("{side}{place}：计数为 {counted} 行，而比对了 {expected} 行"))
            }
            Self::Contradicts(partition) => {
                let place =
                    partition.as_ref().map_or_else(String::new, |name| format!(" Partition `{name}` "));
                zh(self, format!("源集群{place}对同一查询返回不同的行"))
            }
            Self::Gone(key) => zh(self, format!("源集群不再返回主键为 {key} 的行")),
            Self::TooManyRefused { key, error } => {
                zh(self, format!("被拒绝的行过多，不再尝试其他行；最后一行的主键为 {key}：{error}"))
            }
            Self::Canceled => canceled(),
        }
    }
}
