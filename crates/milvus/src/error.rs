//! One error type for everything a server, or the way to it, can do wrong.

use std::fmt;

use crate::finding::{Finding, Part};
use crate::proto::common::{ErrorCode, Status};

/// What went wrong, as far as a caller acts differently on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The address or the certificates given are unusable; nothing was sent.
    InvalidEndpoint,
    /// The host name does not resolve.
    UnknownHost,
    /// The host answers, but nothing listens on the port.
    ConnectionRefused,
    /// No answer from the host in time.
    ConnectTimeout,
    /// The network says the host can't be reached, or the connection breaks at once.
    Unreachable,
    /// Plain http was spoken to a port that speaks TLS.
    ServerSpeaksTls,
    /// TLS was spoken to a port that does not.
    ServerSpeaksPlain,
    /// The server's certificate is not trusted (unknown authority, other name, out of date).
    UntrustedCertificate,
    /// The server wants a client certificate, and got none or one that it does not trust.
    ClientCertificateRefused,
    /// Something answers, but it does not speak gRPC.
    NotGrpc,
    /// A gRPC server answers, but not a Milvus.
    NotMilvus,
    /// The credentials are wrong or missing.
    Unauthenticated,
    /// The credentials are right, the role is too small.
    PermissionDenied,
    /// The server does not have this call.
    Unsupported,
    /// No such database.
    DatabaseNotFound,
    /// No such collection (or alias).
    CollectionNotFound,
    /// No such partition.
    PartitionNotFound,
    /// No such index.
    IndexNotFound,
    /// The name is taken.
    AlreadyExists,
    /// The collection or partition is not loaded, or not yet in full.
    NotLoaded,
    /// Too many calls or bytes a second; the call was not carried out and works later.
    RateLimited,
    /// The server refuses writes (memory, disk or quota exhausted); not carried out, may work much later.
    WritesDenied,
    /// The request or its answer is over a size limit; a smaller one works.
    TooLarge,
    /// The server is busy or starting; not carried out and works later.
    Busy,
    /// The connection broke while the call was under way: it may or may not have been carried out.
    ConnectionLost,
    /// No answer in time: the call may or may not have been carried out.
    Timeout,
    /// The server understood the call and refuses it for good.
    Rejected,
    /// The answer breaks the protocol.
    Malformed,
}

impl ErrorKind {
    /// Whether the server may have carried the call out although it failed.
    pub fn is_ambiguous(self) -> bool {
        matches!(self, Self::ConnectionLost | Self::Timeout)
    }

    /// Whether the same call can work later without anybody changing anything.
    pub fn is_transient(self) -> bool {
        matches!(
            self,
            Self::RateLimited
                | Self::WritesDenied
                | Self::Busy
                | Self::ConnectionLost
                | Self::Timeout
                | Self::ConnectionRefused
                | Self::ConnectTimeout
                | Self::UnknownHost
                | Self::Unreachable
        )
    }
}

/// A call that failed: its name, its kind, what the server said, and the cause below it.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    call: &'static str,
    message: Box<str>,
    code: i32,
    precedes_execution: bool,
    /// What the call was about, where it names one thing.
    about: Option<Box<str>>,
    /// What the message says, where it is this side's own.
    own: Option<Box<dyn std::error::Error + Send + Sync>>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `call` with a message for people.
    pub fn new(kind: ErrorKind, call: &'static str, message: String) -> Self {
        Self {
            kind,
            call,
            message: message.into(),
            code: 0,
            precedes_execution: false,
            about: None,
            own: None,
            source: None,
        }
    }

    /// An error of `call` whose message is this side's own, and no server's. Its words stay with it, so that they can be said
    /// in another language.
    pub fn own(
        kind: ErrorKind,
        call: &'static str,
        words: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        let message = words.to_string();
        Self { own: Some(Box::new(words)), ..Self::new(kind, call, message) }
    }

    pub(crate) fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Says that it is certain: nothing of the call was carried out.
    pub(crate) fn before_execution(mut self) -> Self {
        self.precedes_execution = true;
        self
    }

    pub(crate) fn malformed(
        call: &'static str,
        words: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self::own(ErrorKind::Malformed, call, words)
    }

    /// The same failure of `call`, whose outcome is unknown.
    pub(crate) fn into_lost(mut self, call: &'static str) -> Self {
        let own = self.own.take();
        let message = self.message.clone();
        Self { own, message, ..Self::new(ErrorKind::ConnectionLost, call, String::new()).with_source(self) }
    }

    /// Names the collection or database that the call was about.
    pub(crate) fn about(mut self, what: impl fmt::Display) -> Self {
        self.about = Some(what.to_string().into());
        self
    }

    /// The collection or database that the call was about, where it names one.
    pub fn subject(&self) -> Option<&str> {
        self.about.as_deref()
    }

    /// The privilege that this user lacks: as the server names it (`PrivilegeShowPartitions: permission deny to …`), or the
    /// call, where the server's words name none. Absent for every other failure.
    pub fn missing_privilege(&self) -> Option<&str> {
        if self.kind != ErrorKind::PermissionDenied {
            return None;
        }
        let named = self.message.strip_prefix("Privilege").and_then(|rest| rest.split_once(':'));
        let is_name = |name: &&str| !name.is_empty() && name.chars().all(char::is_alphanumeric);
        Some(named.map(|(name, _)| name).filter(is_name).unwrap_or(self.call))
    }

    /// Whether the server says that a name of a collection, an alias or a partition is not allowed: in the words of 2.3.5,
    /// 2.5.10, 2.6.18 and milvus-lite 2.5.1. It looks at names before anything else but privileges.
    pub fn refuses_name(&self) -> bool {
        let words = ["Invalid collection ", "Invalid partition name"];
        self.kind == ErrorKind::Rejected && words.iter().any(|begin| self.message.starts_with(begin))
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The call that failed, as `Insert`.
    pub fn call(&self) -> &'static str {
        self.call
    }

    /// What the server, or the way to it, said.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What the message says, where it is this side's own and no server's.
    pub fn own_words(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.own.as_deref().map(|own| own as _)
    }

    /// The server's own error number, 0 where it gave none.
    pub fn server_code(&self) -> i32 {
        self.code
    }

    /// Whether nothing of the call was carried out, for certain: the request was never sent, or a limit in front of the
    /// server turned it away. Any other failure of a write may have left some of its rows: servers append to several
    /// channels and answer the first error, with the same numbers as for a request that they did not understand.
    pub fn precedes_execution(&self) -> bool {
        self.precedes_execution
    }

    /// Turns the status inside an answer into a result. Servers before 2.4 may fill only `error_code`, later ones
    /// only `code`: the call succeeded only if both are zero.
    pub(crate) fn check(call: &'static str, status: Option<&Status>) -> Result<(), Self> {
        let Some(status) = status else {
            return Err(Self::malformed(call, Finding::Lacks(Part::Status)));
        };
        if status.code == 0 && status.error_code == 0 {
            return Ok(());
        }
        let kind = kind_of_status(status);
        let code = if status.code == 0 { status.error_code } else { status.code };
        let precedes_execution = is_limit(status);
        let message = match (status.reason.is_empty(), status.detail.is_empty()) {
            (false, _) => without_stack(&status.reason),
            (true, false) => without_stack(&status.detail),
            (true, true) => {
                return Err(Self { code, precedes_execution, ..Self::own(kind, call, Finding::NoReason) });
            }
        };
        Err(Self { code, precedes_execution, ..Self::new(kind, call, message) })
    }
}

/// Error numbers of servers since 2.3 (`pkg/util/merr`) that are told apart; the older ones are in [`ErrorCode`].
mod code {
    pub(super) const SERVICE_NOT_READY: i32 = 1;
    pub(super) const SERVICE_UNAVAILABLE: i32 = 2;
    pub(super) const MEMORY_LIMIT_EXCEEDED: i32 = 3;
    pub(super) const REQUEST_LIMIT_EXCEEDED: i32 = 4;
    pub(super) const DISK_LIMIT_EXCEEDED: i32 = 7;
    pub(super) const RATE_LIMIT: i32 = 8;
    pub(super) const QUOTA_EXCEEDED: i32 = 9;
    pub(super) const TIME_TICK_LONG_DELAY: i32 = 11;
    pub(super) const SERVICE_TRY_LATER: i32 = 12;
    pub(super) const COLLECTION_NOT_FOUND: i32 = 100;
    pub(super) const COLLECTION_NOT_LOADED: i32 = 101;
    pub(super) const COLLECTION_NOT_FULLY_LOADED: i32 = 103;
    pub(super) const COLLECTION_ON_RECOVERING: i32 = 106;
    pub(super) const PARTITION_NOT_FOUND: i32 = 200;
    pub(super) const PARTITION_NOT_LOADED: i32 = 201;
    pub(super) const PARTITION_NOT_FULLY_LOADED: i32 = 202;
    pub(super) const SEGMENT_NOT_FOUND: i32 = 600;
    pub(super) const INDEX_NOT_FOUND: i32 = 700;
    pub(super) const DATABASE_NOT_FOUND: i32 = 800;
    pub(super) const PARAMETER_TOO_LARGE: i32 = 1102;
    pub(super) const PRIVILEGE_NOT_AUTHENTICATED: i32 = 1400;
    pub(super) const PRIVILEGE_NOT_PERMITTED: i32 = 1401;
    pub(super) const ALIAS_NOT_FOUND: i32 = 1600;
}

/// Whether a status is the answer of the limits on rate and quota, which stand before execution (transcripts, item 13).
/// Servers before 2.3 have only the older number for it.
fn is_limit(status: &Status) -> bool {
    match (status.code, ErrorCode::try_from(status.error_code)) {
        (code::RATE_LIMIT | code::QUOTA_EXCEEDED, _) => true,
        (0, Ok(older)) => matches!(
            older,
            ErrorCode::RateLimit
                | ErrorCode::ForceDeny
                | ErrorCode::MemoryQuotaExhausted
                | ErrorCode::DiskQuotaExhausted
                | ErrorCode::TimeTickLongDelay
        ),
        _ => false,
    }
}

fn kind_of_status(status: &Status) -> ErrorKind {
    match status.code {
        code::RATE_LIMIT => return ErrorKind::RateLimited,
        code::QUOTA_EXCEEDED
        | code::MEMORY_LIMIT_EXCEEDED
        | code::DISK_LIMIT_EXCEEDED
        | code::TIME_TICK_LONG_DELAY => return ErrorKind::WritesDenied,
        // To milvus-lite 3 this number is every error that has no other.
        code::SERVICE_NOT_READY if status.reason.contains("already exist") => {
            return ErrorKind::AlreadyExists;
        }
        code::SERVICE_NOT_READY
        | code::SERVICE_UNAVAILABLE
        | code::REQUEST_LIMIT_EXCEEDED
        | code::SERVICE_TRY_LATER
        // A list of segments, while compaction replaces one of them (seen on 2.3.5).
        | code::SEGMENT_NOT_FOUND => return ErrorKind::Busy,
        code::COLLECTION_NOT_FOUND | code::ALIAS_NOT_FOUND => return ErrorKind::CollectionNotFound,
        code::COLLECTION_NOT_LOADED
        | code::COLLECTION_NOT_FULLY_LOADED
        | code::COLLECTION_ON_RECOVERING
        | code::PARTITION_NOT_LOADED
        | code::PARTITION_NOT_FULLY_LOADED => return ErrorKind::NotLoaded,
        code::PARTITION_NOT_FOUND => return ErrorKind::PartitionNotFound,
        code::INDEX_NOT_FOUND => return ErrorKind::IndexNotFound,
        code::DATABASE_NOT_FOUND => return ErrorKind::DatabaseNotFound,
        code::PARAMETER_TOO_LARGE => return ErrorKind::TooLarge,
        code::PRIVILEGE_NOT_AUTHENTICATED => return ErrorKind::Unauthenticated,
        code::PRIVILEGE_NOT_PERMITTED => return ErrorKind::PermissionDenied,
        _ => {}
    }
    match ErrorCode::try_from(status.error_code) {
        Ok(ErrorCode::RateLimit) => ErrorKind::RateLimited,
        Ok(
            ErrorCode::ForceDeny
            | ErrorCode::MemoryQuotaExhausted
            | ErrorCode::DiskQuotaExhausted
            | ErrorCode::TimeTickLongDelay,
        ) => ErrorKind::WritesDenied,
        Ok(ErrorCode::NotReadyServe) => ErrorKind::Busy,
        Ok(ErrorCode::CollectionNotExists | ErrorCode::CollectionNameNotFound) => {
            ErrorKind::CollectionNotFound
        }
        Ok(ErrorCode::IndexNotExist) => ErrorKind::IndexNotFound,
        Ok(ErrorCode::PermissionDenied) => ErrorKind::PermissionDenied,
        Ok(
            ErrorCode::Success
            | ErrorCode::UnexpectedError
            | ErrorCode::IllegalArgument
            | ErrorCode::MetaFailed
            | ErrorCode::GetCredentialFailure
            | ErrorCode::SchemaMismatch,
        )
        | Err(_) => kind_of_text(status),
    }
}

/// Servers of 2.2 and 2.3 answer much with the catch-all codes 1 and 65535; only the text tells these apart.
fn kind_of_text(status: &Status) -> ErrorKind {
    let reason = status.reason.as_str();
    let has = |part: &str| reason.contains(part);
    if status.retriable {
        ErrorKind::Busy
    } else if has("maxOutputSize") || has("message larger than max") {
        ErrorKind::TooLarge
    } else if has("database not found") || has("database:") && has("not exist") {
        ErrorKind::DatabaseNotFound
    } else if has("collection not loaded") || has("partition not loaded") || has("not fully loaded") {
        ErrorKind::NotLoaded
    } else if has("can't find collection") || has("collection not found") {
        ErrorKind::CollectionNotFound
    } else if has("index not found") || has("index doesn't exist") || has("index not exist") {
        ErrorKind::IndexNotFound
    } else if has("already exist") || has("] is defined by users") {
        // The latter is of privilege groups.
        ErrorKind::AlreadyExists
    } else if has("context deadline exceeded") || has("context canceled") {
        ErrorKind::Timeout
    } else if has("service unavailable") || has("is not ready") || has("connection refused") {
        ErrorKind::Busy
    } else if has("node not match") || has("node not found") || has("session not found") {
        // A part of the server was started anew, and the others still look for the old one.
        ErrorKind::Busy
    } else {
        ErrorKind::Rejected
    }
}

/// A server's reason without the stack of its program, which some put into it: a line for each frame, and after the last
/// one what matters.
fn without_stack(reason: &str) -> String {
    let is_frame = |text: &str| text.trim_start().starts_with('/') && text.contains(".go:");
    let mut kept = String::new();
    for line in reason.lines() {
        let (before, frame) = match line.split_once("stack trace: ") {
            Some((before, frame)) if is_frame(frame) => (before, frame),
            _ if is_frame(line) => ("", line),
            _ => (line, ""),
        };
        let behind = frame.split_once(": ").map_or("", |(_, behind)| behind);
        for part in [before, behind].map(str::trim).into_iter().filter(|part| !part.is_empty()) {
            if !kept.is_empty() {
                kept.push(' ');
            }
            kept.push_str(part);
        }
    }
    if kept.is_empty() { reason.to_owned() } else { kept }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.call, self.message)?;
        if self.code != 0 {
            write!(f, " (server code {})", self.code)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: i32, error_code: i32, reason: &str) -> Status {
        Status { code, error_code, reason: reason.into(), ..Status::default() }
    }

    #[test]
    fn success_needs_both_codes_zero() {
        assert!(Error::check("Insert", Some(&status(0, 0, ""))).is_ok());
        for (code, error_code, kind) in [
            (0, 49, ErrorKind::RateLimited),
            (8, 0, ErrorKind::RateLimited),
            (0, 48, ErrorKind::WritesDenied),
            (101, 1, ErrorKind::NotLoaded),
            (65535, 1, ErrorKind::Rejected),
            (0, 1, ErrorKind::Rejected),
            (1, 1, ErrorKind::Busy),
            (600, 47, ErrorKind::Busy),
            (65535, 29, ErrorKind::Rejected),
        ] {
            let error = Error::check("Insert", Some(&status(code, error_code, "x"))).unwrap_err();
            assert_eq!(error.kind(), kind, "{code}/{error_code}");
        }
        let of_lite = status(1, 1, "alias 'a' already exists");
        assert_eq!(Error::check("CreateAlias", Some(&of_lite)).unwrap_err().kind(), ErrorKind::AlreadyExists);
        // As 2.3.5 says it of a partition, without a number of its own.
        let of_partition = status(65535, 1, "QueryNode ID = 1, reason=partition not loaded[partition=[7]]");
        assert_eq!(Error::check("Query", Some(&of_partition)).unwrap_err().kind(), ErrorKind::NotLoaded);
        let of_group = status(1100, 58, "privilege group name [g] is defined by users: invalid parameter");
        let error = Error::check("CreatePrivilegeGroup", Some(&of_group)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert_eq!(Error::check("Insert", None).unwrap_err().kind(), ErrorKind::Malformed);
    }

    #[test]
    fn only_limits_say_for_certain_that_nothing_was_carried_out() {
        for (code, error_code, reason, certain) in [
            (8, 49, "rate limit exceeded", true),
            (9, 48, "quota exceeded", true),
            (0, 49, "rate limit exceeded", true),
            (65535, 49, "rate limit exceeded", false),
            (65535, 1, "a channel is gone", false),
            (65535, 1, "grpc: received message larger than max", false),
            (1100, 5, "invalid parameter", false),
            (1102, 0, "too large", false),
            (100, 4, "collection not found", false),
            (200, 1, "partition not found", false),
            (1, 1, "not ready", false),
            (0, 1, "x", false),
        ] {
            let error = Error::check("Insert", Some(&status(code, error_code, reason))).unwrap_err();
            assert_eq!(error.precedes_execution(), certain, "{code}/{error_code} {reason}");
        }
    }

    #[test]
    fn a_denied_call_names_the_privilege() {
        for (kind, text, privilege) in [
            (
                ErrorKind::PermissionDenied,
                "PrivilegeGetStatistics: permission deny to e_user in the `default` database",
                Some("GetStatistics"),
            ),
            (ErrorKind::PermissionDenied, "PrivilegeLoad: permission deny to e_user", Some("Load")),
            (ErrorKind::PermissionDenied, "privilege not permitted", Some("GetLoadState")),
            (ErrorKind::Rejected, "PrivilegeLoad: permission deny to e_user", None),
        ] {
            let error = Error::new(kind, "GetLoadState", text.to_owned()).about("default.a");
            assert_eq!((error.missing_privilege(), error.subject()), (privilege, Some("default.a")));
        }
    }

    #[test]
    fn the_stack_of_the_servers_program_is_left_out() {
        let reason = "failed to call flush to data coordinator: stack trace: /w/pkg/tracer/stack_trace.go:51 github.com/x/tracer.StackTrace\n\
                      /w/internal/util/grpcclient/client.go:550 github.com/x/grpcclient.(*ClientBase[...]).Call\n\
                      /w/internal/datacoord/services.go:116 github.com/x/datacoord.(*Server).Flush: attempt #0: node not match[expectedNodeID=1][actualNodeID=2]";
        let error = Error::check("Flush", Some(&status(65535, 1, reason))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy);
        assert_eq!(
            error.message(),
            "failed to call flush to data coordinator: attempt #0: node not match[expectedNodeID=1][actualNodeID=2]"
        );
        let plain = "a path /w/x.go:1\nin two lines";
        let error = Error::check("Flush", Some(&status(65535, 1, plain))).unwrap_err();
        assert_eq!(error.message(), "a path /w/x.go:1 in two lines");
    }

    #[test]
    fn catch_all_codes_are_told_apart_by_text() {
        for (reason, kind) in [
            ("query results exceed the maxOutputSize Limit 104857600", ErrorKind::TooLarge),
            ("grpc: received message larger than max (75497509 vs. 67108864)", ErrorKind::TooLarge),
            ("DescribeCollection failed: can't find collection: x", ErrorKind::CollectionNotFound),
            ("alias 'a' already exists", ErrorKind::AlreadyExists),
            ("something else", ErrorKind::Rejected),
        ] {
            let error = Error::check("Query", Some(&status(65535, 1, reason))).unwrap_err();
            assert_eq!(error.kind(), kind, "{reason}");
            assert!(error.to_string().contains(reason) && error.to_string().contains("65535"));
        }
    }
}
