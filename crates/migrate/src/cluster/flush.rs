//! A server stores what it was given.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use vecferry_milvus::{Client, CollectionName, Error, ErrorKind, FlushHandle};

use super::retry::{repeat, sleep};
use super::waits::Waiting;
use crate::event::{Awaited, Side};
use crate::problem::{Told, found};

const FLUSH_POLL: Duration = Duration::from_millis(100);
/// Storing what is still in memory takes seconds; a server that needs longer than this has a fault.
const FLUSH_WAIT_MAX: Duration = Duration::from_secs(1800);

/// Has the rows written so far stored, and waits for it.
pub(crate) async fn flush(
    server: &Client,
    side: Side,
    name: &CollectionName,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let names = [name.name.clone()];
    for handle in begin_flush(server, &name.db, &names, cancel).await? {
        wait_until_flushed(server, side, name, &handle, cancel).await?;
    }
    Ok(())
}

/// Begins a flush of some collections of a database.
pub(crate) async fn begin_flush(
    server: &Client,
    db: &str,
    names: &[String],
    cancel: &CancellationToken,
) -> Result<Vec<FlushHandle>, Error> {
    // Flushes are limited to one in ten seconds a collection by default; the answer says "later".
    repeat(cancel, || server.flush(db, names)).await
}

/// Waits until what a flush covers is stored.
pub(crate) async fn wait_until_flushed(
    server: &Client,
    side: Side,
    name: &CollectionName,
    handle: &FlushHandle,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let (started, mut waiting) = (Instant::now(), Waiting::begin());
    while !repeat(cancel, || server.is_flushed(handle)).await? && !cancel.is_cancelled() {
        if started.elapsed() > FLUSH_WAIT_MAX {
            let seconds = FLUSH_WAIT_MAX.as_secs();
            let told = Told::both(
                format!("`{name}` was not flushed within {seconds} s"),
                format!("`{name}` 在 {seconds} 秒内未完成 Flush"),
            );
            return Err(found(ErrorKind::Timeout, "Flush", told));
        }
        waiting.during(&Awaited::Stored { side }, sleep(FLUSH_POLL, cancel)).await;
    }
    Ok(())
}
