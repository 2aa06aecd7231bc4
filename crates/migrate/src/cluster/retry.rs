//! Waiting before a call is tried again: how long, how often, and when to give up.

use std::time::{Duration, Instant};

use rand::Rng;
use tokio_util::sync::CancellationToken;
use vecferry_milvus::{Error, ErrorKind};

use crate::cluster::waits::{Waiting, shown};
use crate::event::Awaited;
use crate::problem::{Told, Worded};

/// First wait; every further one is twice as long, up to a limit.
const WAIT_MIN: Duration = Duration::from_millis(50);
const WAIT_MAX: Duration = Duration::from_secs(5);
/// A server that can't be reached this long is gone. Long enough for a restart of a proxy.
const UNREACHABLE_MAX: Duration = Duration::from_secs(60);
/// A collection that was seen loaded is reported missing for about 36 s after a restart of 2.3.5.
const NOT_LOADED_MAX: Duration = Duration::from_secs(180);
/// A partition that was just made is unknown to a proxy whose list of partitions is older (seen on 2.3.5 where many were
/// made at once).
const NEW_PARTITION_MAX: Duration = Duration::from_secs(20);
/// Limits are waited out: they say "later", not "no".
const LIMITED_MAX: Duration = Duration::from_secs(3600);
/// Denied writes (memory, disk, quota) rarely end by themselves.
pub(crate) const DENIED_MAX: Duration = Duration::from_secs(600);

/// The waits of one operation, until it succeeds.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    since: Option<Instant>,
}

/// Whether to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// After this wait.
    Wait(Duration),
    /// No: it has gone on for too long, or it can't help.
    GiveUp,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { next: WAIT_MIN, since: None }
    }

    /// What to do after a failure.
    pub(crate) fn after(&mut self, kind: ErrorKind) -> Verdict {
        let Some(patience) = patience(kind) else { return Verdict::GiveUp };
        let since = *self.since.get_or_insert_with(Instant::now);
        if since.elapsed() > patience {
            return Verdict::GiveUp;
        }
        let wait = self.next;
        self.next = (wait * 2).min(WAIT_MAX);
        // Full jitter, so that many writers don't come back at the same moment.
        Verdict::Wait(wait.mul_f64(rand::rng().random_range(0.5..1.0)))
    }
}

/// How long a kind of failure is waited out; `None` if waiting can't help.
fn patience(kind: ErrorKind) -> Option<Duration> {
    match kind {
        ErrorKind::RateLimited => Some(LIMITED_MAX),
        ErrorKind::WritesDenied => Some(DENIED_MAX),
        ErrorKind::NotLoaded => Some(NOT_LOADED_MAX),
        ErrorKind::PartitionNotFound => Some(NEW_PARTITION_MAX),
        ErrorKind::Busy
        | ErrorKind::ConnectionLost
        | ErrorKind::Timeout
        | ErrorKind::ConnectionRefused
        | ErrorKind::ConnectTimeout
        // A name that was resolved once: the name server is away for a moment, as any other part of the network.
        | ErrorKind::UnknownHost
        | ErrorKind::Unreachable => Some(UNREACHABLE_MAX),
        ErrorKind::InvalidEndpoint
        | ErrorKind::ServerSpeaksTls
        | ErrorKind::ServerSpeaksPlain
        | ErrorKind::UntrustedCertificate
        | ErrorKind::ClientCertificateRefused
        | ErrorKind::NotGrpc
        | ErrorKind::NotMilvus
        | ErrorKind::Unauthenticated
        | ErrorKind::PermissionDenied
        | ErrorKind::Unsupported
        | ErrorKind::DatabaseNotFound
        | ErrorKind::CollectionNotFound
        | ErrorKind::IndexNotFound
        | ErrorKind::AlreadyExists
        | ErrorKind::TooLarge
        | ErrorKind::Rejected
        | ErrorKind::Malformed => None,
    }
}

/// Sleeps, unless canceled.
pub(crate) async fn sleep(wait: Duration, cancel: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(wait) => {}
        () = cancel.cancelled() => {}
    }
}

/// Why something that was waited for did not come.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WaitError {
    #[error("{0}")]
    Server(#[from] Error),
    #[error("canceled")]
    Canceled,
}

impl Worded for WaitError {
    fn words(&self) -> Told {
        // It says nothing of its own.
        (self as &(dyn std::error::Error + 'static)).words()
    }
}

/// Does something that may take long, until the user cancels: then it is dropped wherever it is. Not for what would have
/// to be undone.
pub(crate) async fn until_canceled<Answer>(
    cancel: &CancellationToken,
    work: impl Future<Output = Answer>,
) -> Option<Answer> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => None,
        done = work => Some(done),
    }
}

/// The same for calls of a server.
pub(crate) async fn unless_canceled<Answer>(
    cancel: &CancellationToken,
    work: impl Future<Output = Result<Answer, Error>>,
) -> Result<Answer, WaitError> {
    Ok(until_canceled(cancel, work).await.ok_or(WaitError::Canceled)??)
}

/// Repeats a call that can be repeated without harm, while its failures are of the kind that passes. Tells of it.
pub(crate) async fn repeat<Answer, Fut>(
    cancel: &CancellationToken,
    mut call: impl FnMut() -> Fut,
) -> Result<Answer, Error>
where
    Fut: Future<Output = Result<Answer, Error>>,
{
    let mut backoff = Backoff::new();
    let mut waiting = Waiting::begin();
    loop {
        // On the heap: it is in every future that asks a server for anything.
        match shown(Awaited::Answer, Box::pin(call())).await {
            Ok(answer) => return Ok(answer),
            Err(error) if cancel.is_cancelled() => return Err(error),
            Err(error) => match backoff.after(error.kind()) {
                Verdict::Wait(wait) => {
                    let awaited = Awaited::Retry { detail: error.to_string() };
                    waiting.during(&awaited, sleep(wait, cancel)).await;
                }
                Verdict::GiveUp => return Err(error),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_limit_and_are_never_zero() {
        let mut backoff = Backoff::new();
        let waits: Vec<_> = (0..12).map(|_| backoff.after(ErrorKind::RateLimited)).collect();
        for verdict in waits {
            let Verdict::Wait(wait) = verdict else { panic!("gave up") };
            assert!(wait >= WAIT_MIN / 2 && wait <= WAIT_MAX);
        }
        assert_eq!(backoff.next, WAIT_MAX);
    }

    #[test]
    fn what_can_not_pass_is_not_waited_for() {
        for kind in
            [ErrorKind::Rejected, ErrorKind::Unauthenticated, ErrorKind::Malformed, ErrorKind::TooLarge]
        {
            assert_eq!(Backoff::new().after(kind), Verdict::GiveUp);
        }
        // These pass, and before the first connection of a command nothing is repeated.
        for kind in [ErrorKind::UnknownHost, ErrorKind::ConnectionRefused, ErrorKind::Unreachable] {
            assert_eq!(patience(kind), Some(UNREACHABLE_MAX));
            assert!(kind.is_transient() && !kind.is_ambiguous());
        }
        // It may have been made a moment ago.
        assert!(matches!(Backoff::new().after(ErrorKind::PartitionNotFound), Verdict::Wait(_)));
    }
}
