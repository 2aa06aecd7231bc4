//! That one process at a time works on a job: a row with a time, which the process renews for as long as it holds the
//! attempt. A process that dies or is cut off leaves a row whose time runs out.
//!
//! A thread with a runtime and a connection of its own renews the rows, so that a process that computes without a pause is
//! not thought to be dead, and that the rows of a process that ends are removed before it is gone.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

use super::address::Address;
use super::connection::SESSION;
use super::failure::Failure;
use super::tls::Tls;
use crate::error::Error;
use crate::id::JobId;

/// How long a process is thought to live that gives no sign.
pub(super) const TTL_MS: i64 = 20_000;
/// Whether the time of a lease is not over. No lease holds for longer than its TTL, so that one with more than twice of it was
/// written before the server's clock was set back; by less, clocks are adjusted all the time.
macro_rules! lease_holds {
    () => {
        "(leases.expires BETWEEN clock_timestamp() AND clock_timestamp() + interval '40 seconds')"
    };
}
pub(super) use lease_holds;
const RENEWED_EVERY: Duration = Duration::from_secs(5);
/// A server that does not answer keeps nobody from renewing again, or from ending.
const CALL_MAX: Duration = Duration::from_secs(3);

const RENEW: &str = "UPDATE leases SET expires = clock_timestamp() + $3::bigint * interval '1 millisecond' \
                     FROM unnest($1::text[], $2::text[]) AS held (job_id, holder) \
                     WHERE leases.job_id = held.job_id AND leases.holder = held.holder";
const END: &str = "DELETE FROM leases USING unnest($1::text[], $2::text[]) AS held (job_id, holder) \
                   WHERE leases.job_id = held.job_id AND leases.holder = held.holder";

/// The leases of this process.
pub(super) struct Leases {
    at: Arc<At>,
    renewer: Mutex<Option<Renewer>>,
}

/// Where they are.
struct At {
    address: Address,
    tls: Tls,
}

struct Renewer {
    changes: Option<UnboundedSender<Held>>,
    thread: Option<JoinHandle<()>>,
}

/// A lease is held or, from then on, not any more.
enum Held {
    Now(Row),
    NoMore(Row),
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    job_id: String,
    holder: String,
}

/// A lease that is renewed until this is dropped.
pub(super) struct Lease {
    row: Row,
    changes: UnboundedSender<Held>,
    /// The thread lives as long as there is something to do for it.
    _leases: Arc<Leases>,
}

impl Lease {
    /// Who holds it: this call, of all calls of all processes.
    pub(super) fn holder(&self) -> &str {
        &self.row.holder
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // The thread is gone only if it could not be started, or panicked.
        let _ = self.changes.send(Held::NoMore(self.row.clone()));
    }
}

impl Leases {
    pub(super) fn of(mut address: Address) -> Result<Self, Error> {
        let tls = Tls::of(&address)?;
        // All hosts are tried within the time of one call.
        let hosts = u32::try_from(address.config.get_hosts().len()).unwrap_or(u32::MAX);
        address.config.connect_timeout(CALL_MAX / hosts.saturating_add(1));
        Ok(Self { at: Arc::new(At { address, tls }), renewer: Mutex::new(None) })
    }

    /// Renews a lease from now on. It is for the caller to record it first.
    pub(super) fn hold(self: &Arc<Self>, job_id: &JobId) -> Result<Lease, Error> {
        let row = Row { job_id: job_id.as_str().to_owned(), holder: super::call() };
        let changes = self.changes()?;
        let _ = changes.send(Held::Now(row.clone()));
        Ok(Lease { row, changes, _leases: Arc::clone(self) })
    }

    /// The thread is started with the first lease.
    fn changes(&self) -> Result<UnboundedSender<Held>, Error> {
        let mut renewer = self.renewer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Renewer { changes: Some(changes), .. }) = renewer.as_ref() {
            return Ok(changes.clone());
        }
        let failed = |error: std::io::Error| {
            Error::new(crate::error::ErrorKind::Unusable, format!("a thread can't be started: {error}"))
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (changes, queue) = unbounded_channel();
        let at = Arc::clone(&self.at);
        let thread = std::thread::Builder::new()
            .name("vecferry-leases".to_owned())
            .spawn(move || runtime.block_on(renew_all(&at, queue)))
            .map_err(failed)?;
        *renewer = Some(Renewer { changes: Some(changes.clone()), thread: Some(thread) });
        Ok(changes)
    }
}

impl Drop for Renewer {
    fn drop(&mut self) {
        self.changes = None;
        // It was asked to remove what is left, which takes a moment.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Renews what is held, and removes what is not any more, until nobody can ask for anything.
async fn renew_all(at: &At, mut queue: UnboundedReceiver<Held>) {
    let mut held = BTreeSet::new();
    let mut client = None;
    let mut renewal = tokio::time::interval(RENEWED_EVERY);
    renewal.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let (sql, rows) = tokio::select! {
            change = queue.recv() => match change {
                Some(change) => (END, ended(change, &mut queue, &mut held)),
                None => return,
            },
            _ = renewal.tick() => (RENEW, held.iter().cloned().collect::<Vec<_>>()),
        };
        if rows.is_empty() {
            continue;
        }
        // What fails is done at the next time, or the row's time runs out.
        let done = tokio::time::timeout(CALL_MAX, run(at, &mut client, sql, &rows)).await;
        if !matches!(done, Ok(Ok(()))) {
            client = None;
        }
    }
}

/// What is not held any more. Many that are let go at once are one call: a process that ends waits for it.
fn ended(first: Held, queue: &mut UnboundedReceiver<Held>, held: &mut BTreeSet<Row>) -> Vec<Row> {
    let mut ended = Vec::new();
    let mut next = Some(first);
    while let Some(change) = next {
        match change {
            Held::Now(row) => drop(held.insert(row)),
            Held::NoMore(row) => {
                held.remove(&row);
                ended.push(row);
            }
        }
        next = queue.try_recv().ok();
    }
    ended
}

async fn run(at: &At, client: &mut Option<Client>, sql: &str, rows: &[Row]) -> Result<(), Failure> {
    let open = match client.take().filter(|client| !client.is_closed()) {
        Some(open) => open,
        None => connect(at).await?,
    };
    let jobs: Vec<&str> = rows.iter().map(|row| row.job_id.as_str()).collect();
    let holders: Vec<&str> = rows.iter().map(|row| row.holder.as_str()).collect();
    let of: [&(dyn ToSql + Sync); 3] = [&jobs, &holders, &TTL_MS];
    open.execute(sql, if sql == RENEW { &of } else { &of[..2] }).await?;
    *client = Some(open);
    Ok(())
}

async fn connect(at: &At) -> Result<Client, Failure> {
    let (client, connection) = at.address.config.connect(at.tls.clone()).await?;
    // Ends with the client. What went wrong is told to whoever calls.
    tokio::spawn(async move { drop(connection.await) });
    client.batch_execute(SESSION).await?;
    Ok(client)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_has_twice_its_time_for_clocks() {
        let seconds = 2 * TTL_MS / 1000;
        assert!(lease_holds!().contains(&format!("interval '{seconds} seconds'")));
    }
}
