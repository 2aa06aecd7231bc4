//! What a try at the server may end with, and what becomes of it: tried again, or told to the caller.

use deadpool_postgres::PoolError;
use tokio_postgres::error::SqlState;

use crate::error::{Error, ErrorKind};

/// Why a try did not succeed.
#[derive(Debug)]
pub(super) enum Failure {
    /// By what is recorded: the answer.
    Refused(Error),
    /// By the server, or on the way to it.
    Server(tokio_postgres::Error),
    /// There was no connection to be had, or no answer, in time.
    Late(&'static str, &'static str),
    /// What was looked at first had changed when it was locked.
    Changed,
}

/// What to do about one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Others were in the way: again.
    Contended,
    /// The connection is lost, perhaps after the commit, or the server takes no writes any more because another one took
    /// over: again on a new connection, until the time for that is over, and then told as this kind.
    Lost(ErrorKind),
    /// Told to the caller.
    Final(ErrorKind),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Server(error)
    }
}

impl From<PoolError> for Failure {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) => Self::Server(error),
            PoolError::PostCreateHook(deadpool_postgres::HookError::Backend(error)) => Self::Server(error),
            PoolError::Timeout(_)
            | PoolError::Closed
            | PoolError::NoRuntimeSpecified
            | PoolError::PostCreateHook(_) => {
                Self::Late("no connection was free in time", "没有及时获得空闲的连接")
            }
        }
    }
}

impl Failure {
    pub(super) fn next(&self) -> Next {
        match self {
            Self::Refused(error) => Next::Final(error.kind()),
            Self::Server(error) => next_of(error),
            Self::Late(..) => Next::Lost(ErrorKind::Unreachable),
            Self::Changed => Next::Contended,
        }
    }

    /// What the server calls it.
    pub(super) fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Server(error) => error.code(),
            Self::Refused(_) | Self::Late(..) | Self::Changed => None,
        }
    }

    /// The failure for the caller.
    pub(super) fn told(self, kind: ErrorKind) -> Error {
        match self {
            Self::Refused(error) => error,
            Self::Server(error) => Error::of_server(kind, message_of(&error), error),
            Self::Late(why, chinese) => Error::new(kind, why).in_chinese(chinese),
            Self::Changed => Error::new(kind, "other transactions kept changing the same rows")
                .in_chinese("其他事务一直在更改相同的行"),
        }
    }
}

fn next_of(error: &tokio_postgres::Error) -> Next {
    match error.code() {
        Some(code) if is_contention(code) => Next::Contended,
        Some(code) if is_outage(code) => Next::Lost(ErrorKind::Unreachable),
        Some(code) if *code == SqlState::READ_ONLY_SQL_TRANSACTION => Next::Lost(ErrorKind::ReadOnly),
        Some(code) => Next::Final(kind_of(code)),
        None if takes_no_writes(error) => Next::Lost(ErrorKind::ReadOnly),
        None if is_lost(error) => Next::Lost(ErrorKind::Unreachable),
        None => Next::Final(kind_without_code(error)),
    }
}

/// Another transaction was in the way. This one is undone.
fn is_contention(code: &SqlState) -> bool {
    [
        &SqlState::T_R_SERIALIZATION_FAILURE,
        &SqlState::T_R_DEADLOCK_DETECTED,
        &SqlState::LOCK_NOT_AVAILABLE,
        &SqlState::QUERY_CANCELED,
    ]
    .contains(&code)
}

/// The server ends, starts, has no room for one more connection, or ended this one.
fn is_outage(code: &SqlState) -> bool {
    let ends_or_starts = [
        &SqlState::ADMIN_SHUTDOWN,
        &SqlState::CRASH_SHUTDOWN,
        &SqlState::CANNOT_CONNECT_NOW,
        &SqlState::TOO_MANY_CONNECTIONS,
        &SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        &SqlState::IDLE_SESSION_TIMEOUT,
    ];
    ends_or_starts.contains(&code) || code.code().starts_with("08")
}

fn kind_of(code: &SqlState) -> ErrorKind {
    match code.code() {
        "53100" => ErrorKind::Full,
        // User, password, or what the user may do.
        "28000" | "28P01" | "42501" => ErrorKind::Denied,
        // Data, or tables that are not as this program made them.
        "XX001" | "XX002" | "42P01" | "42703" => ErrorKind::Corrupt,
        code if code.starts_with("22") || code.starts_with("23") => ErrorKind::Corrupt,
        _ => ErrorKind::Unusable,
    }
}

/// None of several hosts takes writes: the client library's own words.
fn takes_no_writes(error: &tokio_postgres::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
    cause.is_some_and(|cause| cause.to_string() == "database does not allow writes")
}

fn is_lost(error: &tokio_postgres::Error) -> bool {
    use std::io::ErrorKind as Io;
    if error.is_closed() {
        return true;
    }
    let Some(cause) = std::error::Error::source(error) else {
        // The library's own time limit for a connection.
        return error.to_string().starts_with("timeout");
    };
    // A certificate that is not trusted, and bytes that are no answer of a PostgreSQL, stay so.
    let stays = [Io::InvalidData, Io::InvalidInput, Io::Unsupported, Io::PermissionDenied];
    cause.downcast_ref::<std::io::Error>().is_some_and(|cause| !stays.contains(&cause.kind()))
}

/// The library says by words only where it failed.
fn kind_without_code(error: &tokio_postgres::Error) -> ErrorKind {
    let text = error.to_string();
    if text.starts_with("authentication error") || text.starts_with("invalid configuration") {
        ErrorKind::Denied
    } else if text.starts_with("error deserializing") || text.contains("unexpected number") {
        ErrorKind::Corrupt
    } else {
        ErrorKind::Unusable
    }
}

fn message_of(error: &tokio_postgres::Error) -> String {
    match (error.as_db_error(), std::error::Error::source(error)) {
        (Some(error), _) => format!("{} (SQLSTATE {})", error.message(), error.code().code()),
        (None, Some(cause)) => format!("{error}: {cause}"),
        (None, None) => error.to_string(),
    }
}
