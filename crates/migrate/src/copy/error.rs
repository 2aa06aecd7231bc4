//! Why a copy ends early, what a slice's caller has to know of it, and what the target's answer to a write means.

use std::fmt;

use vecferry_milvus::wire::WireError;
use vecferry_milvus::{Error, ErrorKind, Key};

use crate::event::{Bottleneck, Wait};
use crate::problem::{Problem, Told, Worded, canceled, words_of};
use crate::read::NoKey;

/// Why a copy ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CopyError {
    #[error("source: {0}")]
    Source(Error),
    #[error("target: {0}")]
    Target(Error),
    #[error("{0}")]
    Protocol(#[from] WireError),
    #[error("rows with primary keys {first} to {last} were rejected: {error}")]
    RowsRefused { first: Key, last: Key, error: Box<Error> },
    /// A write may have landed, and can't be repeated: the target makes the keys.
    #[error("the outcome of a write of rows with auto-generated IDs is unknown: {0}")]
    InDoubt(Told),
    #[error("{0}")]
    Store(#[from] vecferry_store::Error),
    #[error("{0}")]
    Record(#[from] NoKey),
    /// By whoever copied a split elsewhere.
    #[error("{0}")]
    Told(Told),
    /// The same, by one of this program's own workers.
    #[error("{0}")]
    Known(Box<Problem>),
    #[error("canceled")]
    Canceled,
}

impl Worded for CopyError {
    fn words(&self) -> Told {
        match self {
            CopyError::Source(error) => words_of(error).behind("source: ", "源集群："),
            CopyError::Target(error) => words_of(error).behind("target: ", "目标集群："),
            CopyError::Protocol(error) => words_of(error),
            CopyError::RowsRefused { first, last, error } => words_of(&**error).within(
                |error| format!("rows with primary keys {first} to {last} were rejected: {error}"),
                |error| format!("主键从 {first} 到 {last} 的行被拒绝：{error}"),
            ),
            CopyError::InDoubt(told) => told.clone().behind(
                "the outcome of a write of rows with auto-generated IDs is unknown: ",
                "含自动生成 ID 的行写入结果不明：",
            ),
            CopyError::Store(error) => words_of(error),
            CopyError::Record(error) => words_of(error),
            CopyError::Told(told) => told.clone(),
            CopyError::Known(problem) => words_of(&**problem),
            CopyError::Canceled => canceled(),
        }
    }
}

/// Why a slice failed, as far as a caller acts differently on it.
#[derive(Debug, thiserror::Error)]
pub enum SliceError {
    /// A server or the store was away for longer than is waited for: another slice may go well.
    #[error("{0}")]
    Transient(SliceFailure),
    /// Another slice would fail as well.
    #[error("{0}")]
    Permanent(SliceFailure),
    /// The job is being ended.
    #[error("canceled")]
    Canceled,
    /// Another worker took the split over: what was under way counts for nothing, and whoever has the split goes on.
    #[error("{0}")]
    Fenced(SliceFailure),
}

impl Worded for SliceError {
    fn words(&self) -> Told {
        match self {
            Self::Transient(failure) | Self::Permanent(failure) | Self::Fenced(failure) => failure.words(),
            Self::Canceled => canceled(),
        }
    }
}

/// What was wrong.
#[derive(Debug)]
pub struct SliceFailure(Cause);

#[derive(Debug)]
enum Cause {
    Copy(Box<CopyError>),
    Told(Told),
}

impl SliceFailure {
    /// A failure that somebody else told of.
    pub fn told(text: impl Into<Told>) -> Self {
        Self(Cause::Told(text.into()))
    }
}

impl Worded for SliceFailure {
    fn words(&self) -> Told {
        match &self.0 {
            Cause::Copy(error) => words_of(&**error),
            Cause::Told(told) => told.clone(),
        }
    }
}

impl fmt::Display for SliceFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Cause::Copy(error) => error.fmt(formatter),
            Cause::Told(told) => told.fmt(formatter),
        }
    }
}

impl From<CopyError> for SliceError {
    fn from(error: CopyError) -> Self {
        use vecferry_store::ErrorKind;
        match &error {
            CopyError::Canceled => Self::Canceled,
            CopyError::Store(of_store) if of_store.kind() == ErrorKind::NotOpen => Self::Canceled,
            CopyError::Store(of_store) if of_store.kind() == ErrorKind::Fenced => {
                Self::Fenced(SliceFailure(Cause::Copy(Box::new(error))))
            }
            CopyError::Source(of_server) | CopyError::Target(of_server)
                if of_server.kind().is_transient() =>
            {
                Self::Transient(SliceFailure(Cause::Copy(Box::new(error))))
            }
            CopyError::Store(of_store)
                if matches!(
                    of_store.kind(),
                    ErrorKind::Locked | ErrorKind::Unreachable | ErrorKind::ReadOnly | ErrorKind::Full
                ) =>
            {
                Self::Transient(SliceFailure(Cause::Copy(Box::new(error))))
            }
            CopyError::Source(_)
            | CopyError::Target(_)
            | CopyError::Store(_)
            | CopyError::Protocol(_)
            | CopyError::RowsRefused { .. }
            | CopyError::InDoubt(_)
            | CopyError::Record(_)
            | CopyError::Told(_)
            | CopyError::Known(_) => Self::Permanent(SliceFailure(Cause::Copy(Box::new(error)))),
        }
    }
}

impl From<SliceError> for CopyError {
    fn from(error: SliceError) -> Self {
        match error {
            SliceError::Canceled => Self::Canceled,
            SliceError::Transient(failure) | SliceError::Permanent(failure) | SliceError::Fenced(failure) => {
                match failure.0 {
                    Cause::Copy(error) => *error,
                    Cause::Told(text) => Self::Told(text),
                }
            }
        }
    }
}

/// Whether the target's answer to a write says no, rather than that nobody knows. Some rows may have landed all the same,
/// but that is rare enough to go on, and to look at the end.
pub(super) fn is_refusal(kind: ErrorKind) -> bool {
    !matches!(kind, ErrorKind::ConnectionLost | ErrorKind::Timeout | ErrorKind::Busy | ErrorKind::Malformed)
}

/// Whether it may be one of the rows that the target does not take.
pub(crate) fn is_about_rows(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Rejected | ErrorKind::TooLarge)
}

pub(super) fn target_bottleneck(kind: ErrorKind) -> Bottleneck {
    match target_wait(kind) {
        Wait::TargetLimit | Wait::TargetDenies => Bottleneck::TargetLimit,
        Wait::TargetBusy | Wait::SourceLimit | Wait::SourceBusy => Bottleneck::Target,
    }
}

pub(super) fn target_wait(kind: ErrorKind) -> Wait {
    if kind == ErrorKind::RateLimited {
        Wait::TargetLimit
    } else if kind == ErrorKind::WritesDenied {
        Wait::TargetDenies
    } else {
        Wait::TargetBusy
    }
}
