//! Refusals, with the numbers that servers give them.

use vecferry_milvus::proto::common::{ErrorCode, Status};

use super::Version;

/// A call that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Number as of 2.3 and later.
    pub(super) code: i32,
    /// Number as of 2.2, where it says more than the newer one.
    legacy: Option<i32>,
    /// Whether it says that it is worth another try.
    retriable: bool,
    /// What the server says.
    pub(super) reason: String,
}

pub(super) const RATE_LIMIT: i32 = 8;
pub(super) const FORCE_DENY: i32 = 9;
pub(super) const COLLECTION_NOT_FOUND: i32 = 100;
pub(super) const COLLECTION_NOT_LOADED: i32 = 101;
pub(super) const PARTITION_NOT_FOUND: i32 = 200;
pub(super) const PARTITION_NOT_LOADED: i32 = 201;
pub(super) const INDEX_NOT_FOUND: i32 = 700;
pub(super) const DATABASE_NOT_FOUND: i32 = 800;
pub(super) const DATABASE_INVALID: i32 = 802;
pub(super) const IO_FAILED: i32 = 1001;
pub(super) const PARAMETER_INVALID: i32 = 1100;
pub(super) const PRIVILEGE_NOT_PERMITTED: i32 = 1401;
pub(super) const ALIAS_NOT_FOUND: i32 = 1600;
pub(super) const ALIAS_TAKEN: i32 = 1602;
pub(super) const FIELD_NAME_INVALID: i32 = 1701;
/// Everything that has no number of its own.
pub(super) const OTHER: i32 = 65535;

/// Words of the expression language that are no names, as 2.3.5 was seen to take them.
pub(super) const KEYWORDS: [&str; 16] = [
    "and",
    "or",
    "not",
    "in",
    "like",
    "LIKE",
    "exists",
    "EXISTS",
    "true",
    "True",
    "TRUE",
    "false",
    "False",
    "FALSE",
    "json_contains",
    "array_length",
];

impl Refusal {
    pub(super) fn new(code: i32, reason: impl Into<String>) -> Self {
        Self { code, legacy: None, retriable: false, reason: reason.into() }
    }

    /// A wrong parameter, the most common of all.
    pub(super) fn invalid(reason: impl Into<String>) -> Self {
        Self::new(PARAMETER_INVALID, reason)
    }

    /// A refusal without a number of its own.
    pub(super) fn other(reason: impl Into<String>) -> Self {
        Self::new(OTHER, reason)
    }

    /// With a number as of 2.2.
    #[must_use]
    pub(super) fn with_legacy(self, legacy: i32) -> Self {
        Self { legacy: Some(legacy), ..self }
    }

    /// There were too many a moment ago; only 2.6.18 says that it is worth another try.
    pub(super) fn rate_limited(version: Version) -> Self {
        let reason =
            "request is rejected by grpc RateLimiter middleware, please retry later: rate limit exceeded";
        Self { retriable: version >= Version::V2_6, ..Self::new(RATE_LIMIT, reason) }
    }

    /// The status of an answer: both numbers, as servers since 2.4 fill them.
    pub(super) fn status(&self) -> Status {
        let legacy = match self.code {
            RATE_LIMIT => ErrorCode::RateLimit,
            FORCE_DENY => ErrorCode::ForceDeny,
            COLLECTION_NOT_FOUND | ALIAS_NOT_FOUND => ErrorCode::CollectionNotExists,
            INDEX_NOT_FOUND => ErrorCode::IndexNotExist,
            PARTITION_NOT_FOUND => ErrorCode::MetaFailed,
            PARAMETER_INVALID => ErrorCode::IllegalArgument,
            _ => ErrorCode::UnexpectedError,
        };
        Status {
            error_code: self.legacy.unwrap_or(legacy as i32),
            code: self.code,
            reason: self.reason.clone(),
            detail: self.reason.clone(),
            retriable: self.retriable,
        }
    }
}
