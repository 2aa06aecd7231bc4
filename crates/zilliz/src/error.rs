//! What can go wrong, by what to do about it.

use std::fmt;

/// Kinds of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The control plane can't be reached.
    Unreachable,
    /// The key is not one, or not one of this site.
    BadKey,
    /// There is no such cluster, or the key has no access to it; the vendor does not say which.
    NoCluster,
    /// Asked too often.
    Throttled,
    /// The answer is not of the documented form.
    Malformed,
    /// Any other refusal.
    Refused,
}

/// A failed call.
#[derive(Clone, Debug, thiserror::Error)]
pub struct Error {
    kind: ErrorKind,
    /// The vendor's number; 0 where there is none.
    code: i64,
    text: String,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, code: i64, text: impl Into<String>) -> Self {
        Self { kind, code, text: text.into() }
    }

    /// What kind it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The vendor's number; 0 where there is none.
    pub fn code(&self) -> i64 {
        self.code
    }

    /// A refusal by its number (the vendor's list of error codes) and HTTP status.
    pub(crate) fn refused(http_status: u16, code: i64, message: &str) -> Self {
        let kind = match (code, http_status) {
            (21_119 | 80_001 | 80_002, _) => ErrorKind::BadKey,
            (80_020 | 40_021 | 40_022, _) => ErrorKind::NoCluster,
            (_, 429) => ErrorKind::Throttled,
            (_, 401) => ErrorKind::BadKey,
            (_, 500..=599) => ErrorKind::Unreachable,
            _ => ErrorKind::Refused,
        };
        Self::new(kind, code, message)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            0 => f.write_str(&self.text),
            code => write!(f, "{} (code {code})", self.text),
        }
    }
}
