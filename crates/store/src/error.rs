//! What can go wrong with a store.

use std::path::Path;

/// What went wrong, as far as a caller acts differently on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The directory or the file can't be made or opened, or the database can't be used.
    Unusable,
    /// Other users may look into the directory; the message is its mode.
    Exposed,
    /// The directory is another user's.
    Foreign,
    /// The directory is on a file system of the network; the message is its name.
    Network,
    /// The server did not answer for as long as was tried. The last write may have been made or not; it can be repeated.
    Unreachable,
    /// The server does not let the user in, or does not allow what is needed.
    Denied,
    /// It can be read but not written.
    ReadOnly,
    /// The disk is full.
    Full,
    /// What is recorded is damaged, or no store of this program.
    Corrupt,
    /// A newer version of this program wrote it.
    Newer,
    /// Other processes hold the file, or rows of the database, for longer than is waited for.
    Locked,
    /// There is no such job.
    UnknownJob,
    /// Several jobs begin with what was given.
    AmbiguousJob,
    /// Another process works on the job.
    JobIsLive,
    /// A newer attempt of the job began: this one may not write any more.
    Superseded,
    /// No attempt of the job is under way.
    NotOpen,
    /// Another worker has the split.
    IsClaimed,
    /// The claim or its writer was lost to another worker, or ended: it may not write any more.
    Fenced,
    /// A split is elsewhere than a step of it begins, or a round is too far for another one to begin.
    Moved,
    /// A change met rows that it did not expect.
    Unmet,
    /// What was to be unique is there already.
    Taken,
}

/// A failure of a store.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: ErrorKind,
    message: String,
    /// The same in Chinese, where this crate says it, and not the system or a server.
    chinese: Option<String>,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), chinese: None, source: None }
    }

    /// A record that is not in the form that its caller gave it.
    pub fn unreadable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, message)
    }

    /// With the same in Chinese.
    pub(crate) fn in_chinese(self, chinese: impl Into<String>) -> Self {
        Self { chinese: Some(chinese.into()), ..self }
    }

    /// The same in Chinese; none where it is the text of the system or of a server.
    pub fn chinese(&self) -> Option<&str> {
        self.chinese.as_deref()
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// A file-system failure at a path.
    pub(crate) fn io(path: &Path, error: std::io::Error) -> Self {
        let kind = if error.kind() == std::io::ErrorKind::StorageFull {
            ErrorKind::Full
        } else if error.kind() == std::io::ErrorKind::ReadOnlyFilesystem {
            ErrorKind::ReadOnly
        } else {
            ErrorKind::Unusable
        };
        let message = format!("{}: {error}", path.display());
        Self { kind, message, chinese: None, source: Some(Box::new(error)) }
    }

    /// The owner of the connection is gone; only at the end of the process.
    pub(crate) fn closed() -> Self {
        Self::new(ErrorKind::Unusable, "the store is closed").in_chinese("存储已关闭")
    }

    pub(crate) fn at(self, path: &Path) -> Self {
        self.within(&path.display().to_string())
    }

    /// The same failure, with what it happened to in front.
    pub(crate) fn within(self, what: &str) -> Self {
        let message = format!("{what}: {}", self.message);
        let chinese = self.chinese.as_ref().map(|chinese| format!("{what}：{chinese}"));
        Self { message, chinese, ..self }
    }

    /// The same where what is in front is a sentence as well.
    pub(crate) fn within_both(self, what: &str, chinese: &str) -> Self {
        let behind = self.chinese.clone().unwrap_or_else(|| self.message.clone());
        Self { chinese: Some(format!("{chinese}：{behind}")), ..self.within(what) }
    }

    /// A failure of a server.
    pub(crate) fn of_server(kind: ErrorKind, message: String, error: tokio_postgres::Error) -> Self {
        Self { kind, message, chinese: None, source: Some(Box::new(error)) }
    }

    /// The same failure for everything that was to be committed together.
    pub(crate) fn repeated(&self) -> Self {
        Self { kind: self.kind, message: self.message.clone(), chinese: self.chinese.clone(), source: None }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        let kind = match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => ErrorKind::Full,
            Some(
                ErrorCode::ReadOnly
                | ErrorCode::PermissionDenied
                | ErrorCode::AuthorizationForStatementDenied,
            ) => ErrorKind::ReadOnly,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => ErrorKind::Locked,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::ConstraintViolation) => {
                ErrorKind::Corrupt
            }
            _ if matches!(error, rusqlite::Error::SqliteFailure(..)) => ErrorKind::Unusable,
            // Rows that don't have the form that the schema gives them.
            _ => ErrorKind::Corrupt,
        };
        Self { kind, message: error.to_string(), chinese: None, source: Some(Box::new(error)) }
    }
}
