//! Whoever writes a collection of the target, and that nobody does any more.

use std::time::Duration;

use vecferry_milvus::{Client, CollectionName};
use vecferry_store::{Attempt, Error, ErrorKind, Position, Store, Writer};

use crate::problem::store_failed;
use crate::problem::{Code, Problem, words_of};
use crate::target;

/// Gives a writer time again and again. Ends only when it is lost.
pub(super) async fn renew(store: &dyn Store, writer: &Writer, ttl: Duration) -> Error {
    loop {
        tokio::time::sleep(ttl / 3).await;
        match store.renew_writer(writer, ttl).await {
            Err(error) if error.kind() == ErrorKind::Fenced => return error,
            // A store that can't be written ends the copy where that matters.
            Ok(()) | Err(_) => {}
        }
    }
}

/// Why the names of writers could not be taken away.
pub(super) enum NotClosed {
    Store(Error),
    Target(vecferry_milvus::Error),
}

/// Ends all writers of a collection and takes away every name that the job wrote through: what still is on its way to them
/// finds no collection then.
pub(super) async fn close_all(
    store: &dyn Store,
    attempt: &Attempt,
    target: &Client,
    name: &CollectionName,
    position: Position,
) -> Result<(), Problem> {
    let closed = try_close_all(store, attempt, target, name, position).await;
    closed.map_err(|failure| match failure {
        NotClosed::Store(error) => store_failed(attempt.job_id(), &error),
        NotClosed::Target(error) => {
            Problem::new(Code::TargetFailed).with("collection", name).told("detail", words_of(&error))
        }
    })
}

/// The same, with what failed.
pub(super) async fn try_close_all(
    store: &dyn Store,
    attempt: &Attempt,
    target: &Client,
    name: &CollectionName,
    position: Position,
) -> Result<(), NotClosed> {
    let job_id = attempt.job_id();
    store.lose_writers(attempt, position).await.map_err(NotClosed::Store)?;
    let lost = store.lost_writers(job_id, position).await.map_err(NotClosed::Store)?;
    let closed = target::close_write_aliases(target, name, job_id, position, &lost).await;
    closed.map_err(NotClosed::Target)?;
    store.close_lost_writers(job_id, position, lost).await.map_err(NotClosed::Store)
}
