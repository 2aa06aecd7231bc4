//! The store of several processes and machines: a PostgreSQL database, version 14 or later.
//!
//! Everything is in the schema `vecferry` of the database; it is made if it is not there. A pooler in front of the server
//! has to keep a session per connection. The server has to keep what it acknowledged: with `fsync` off, or when a standby
//! takes over that lacks the last commits, rows may be copied twice unnoticed.
//!
//! What one call writes is one transaction. Those who write about the same wait for each other at rows, which every
//! transaction locks in the same order: jobs, collections, writers, splits. An attempt is checked, and kept from being
//! superseded in the middle, by a lock on its job; a claim by a lock on its split. Whether a time is over is told by the
//! server's clock alone.
//!
//! A lost connection is no error for the caller, unless the server stays away: see [`Settings::retry_for`].

mod address;
mod claims;
mod collections;
mod comparisons;
mod connection;
mod events;
mod failure;
mod jobs;
mod lease;
mod objects;
mod records;
mod reservations;
mod rounds;
mod rows;
mod schema;
mod splits;
mod tls;

use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Client;
use tokio_postgres::Row;

use crate::attempt::Attempt;
use crate::error::{Error, ErrorKind};
use crate::id::JobId;
use crate::meter::{Meter, Usage, Waiting};
use crate::right::{Claim, Right};
use crate::splits::Split;
use crate::{Store, postgres::rows::get};
use address::Address;
pub use address::without_password;
use connection::{Change, Connections, Of};
use failure::Failure;
use lease::Leases;

/// How long the first connection is tried for: a wrong address is told soon.
const CONNECT_FOR: Duration = Duration::from_secs(5);

/// How a PostgreSQL is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Connections of this process at most, without the one that shows which jobs it works on.
    pub connections_max: usize,
    /// How long a call tries again when the connection is lost, before it fails with [`ErrorKind::Unreachable`].
    pub retry_for: Duration,
    /// See [`Store::files_directory`].
    pub files_directory: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { connections_max: 8, retry_for: Duration::from_secs(60), files_directory: None }
    }
}

/// The store in a PostgreSQL database. Clones share its connections.
#[derive(Clone)]
pub struct PostgresStore {
    connections: Arc<Connections>,
    leases: Arc<Leases>,
    meter: Arc<Meter>,
    files_directory: Option<Arc<Path>>,
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let store = &mut formatter.debug_struct("PostgresStore");
        store.field("place", &self.connections.place()).finish_non_exhaustive()
    }
}

impl PostgresStore {
    /// Opens the store in the database of a `postgres://` URL, and makes or updates its tables if need be.
    ///
    /// The URL is one of PostgreSQL's own. Of TLS it may say `sslmode` (`disable`; `prefer`, as if it said nothing;
    /// `require`; `verify-ca`; `verify-full`) and `sslrootcert`, the path of a PEM file with the authorities to trust in
    /// place of the system's. As with PostgreSQL's own programs, only the last two modes, or a file of authorities, look
    /// at the certificate.
    ///
    /// # Errors
    /// [`ErrorKind::Unreachable`], [`ErrorKind::Denied`], [`ErrorKind::Unusable`], [`ErrorKind::ReadOnly`],
    /// [`ErrorKind::Full`], [`ErrorKind::Corrupt`], [`ErrorKind::Newer`], [`ErrorKind::Locked`]. No message has a password.
    pub async fn connect(url: &str, settings: Settings) -> Result<Self, Error> {
        let address = Address::parse(url)?;
        let connections = Connections::of(&address, settings.connections_max, settings.retry_for)?;
        let leases = Arc::new(Leases::of(address)?);
        let files_directory = settings.files_directory.map(Arc::from);
        let (connections, meter) = (Arc::new(connections), Arc::default());
        let store = Self { connections, leases, meter, files_directory };
        let time = CONNECT_FOR.min(settings.retry_for);
        let opened = store.connections.retried_for(time, || store.migrate()).await;
        opened.map_err(|error| {
            let says_where = error.kind() == ErrorKind::Unreachable;
            if says_where { error } else { error.within(store.connections.place()) }
        })?;
        Ok(store)
    }

    /// Reads by one statement.
    async fn read<Answer>(
        &self,
        sql: &str,
        of: Of<'_>,
        answer: impl Fn(&[Row]) -> Result<Answer, Failure>,
    ) -> Result<Answer, Error> {
        let _waiting = self.meter.waiting();
        self.connections
            .retried(|| async {
                let client = self.connections.client().await?;
                let statement = client.prepare_cached(sql).await?;
                answer(&client.query(&statement, of).await?)
            })
            .await
    }

    /// Writes by one statement, which is its own transaction.
    async fn write_once<Answer>(
        &self,
        sql: &str,
        of: Of<'_>,
        answer: impl Fn(&[Row]) -> Result<Answer, Failure>,
    ) -> Result<Answer, Error> {
        let _waiting = self.meter.waiting();
        self.connections
            .retried(|| async {
                let client = self.connections.client().await?;
                let statement = client.prepare_cached(sql).await?;
                Meter::committing();
                let rows = client.query(&statement, of).await?;
                self.meter.committed();
                answer(&rows)
            })
            .await
    }

    /// Writes by several statements: `once` is one transaction.
    async fn write<Answer, Try>(&self, once: impl Fn() -> Try) -> Result<Answer, Error>
    where
        Try: Future<Output = Result<Answer, Failure>>,
    {
        let _waiting = self.meter.waiting();
        self.connections.retried(once).await
    }

    async fn client(&self) -> Result<Client, Failure> {
        self.connections.client().await
    }

    async fn begin<'client>(&self, client: &'client mut Client) -> Result<Change<'client>, Failure> {
        Change::begin(client, &self.meter).await
    }

    /// Begins a transaction in the name of an attempt: it stays the job's newest until the end of the transaction.
    async fn begin_as<'client>(
        &self,
        client: &'client mut Client,
        attempt: &Attempt,
    ) -> Result<Change<'client>, Failure> {
        let change = self.begin(client).await?;
        check_attempt(&change, attempt).await?;
        Ok(change)
    }

    /// Begins a transaction under a claim: it is not lost until the end of the transaction.
    async fn begin_under<'client>(
        &self,
        client: &'client mut Client,
        claim: &Claim,
    ) -> Result<(Change<'client>, Split), Failure> {
        let change = self.begin(client).await?;
        let split = splits::hold(&change, claim).await?;
        Ok((change, split))
    }

    async fn begin_with<'client>(
        &self,
        client: &'client mut Client,
        right: Right<'_>,
    ) -> Result<Change<'client>, Failure> {
        match right {
            Right::Attempt(attempt, _) => self.begin_as(client, attempt).await,
            Right::Claim(claim) => Ok(self.begin_under(client, claim).await?.0),
        }
    }

    /// One statement in the name of an attempt.
    async fn write_as(&self, attempt: &Attempt, sql: &str, of: Of<'_>) -> Result<(), Error> {
        self.write(|| async {
            let mut client = self.client().await?;
            let change = self.begin_as(&mut client, attempt).await?;
            change.execute(sql, of).await?;
            change.commit(()).await
        })
        .await
    }
}

impl Store for PostgresStore {
    fn place(&self) -> String {
        self.connections.place().to_owned()
    }

    fn directory(&self) -> Option<&Path> {
        None
    }

    fn files_directory(&self) -> Option<&Path> {
        self.files_directory.as_deref()
    }

    fn usage(&self) -> Usage {
        self.meter.usage()
    }

    fn beside(&self) -> Arc<dyn Store> {
        Arc::new(Self { meter: Arc::new(Meter::default()), ..self.clone() })
    }

    fn waiting(&self) -> Waiting<'_> {
        self.meter.waiting()
    }
}

/// Refuses a write of an attempt that is not the job's newest.
async fn check_attempt(change: &Change<'_>, attempt: &Attempt) -> Result<(), Failure> {
    let job_id = attempt.job_id();
    // Not stronger: whoever records something of the job refers to this row.
    let newest = "SELECT attempt FROM jobs WHERE job_id = $1 FOR NO KEY UPDATE";
    let row = change.row(newest, &[&job_id.as_str()]).await?.ok_or_else(|| unknown(job_id))?;
    match get::<i64>(&row, 0)? {
        newest if newest == attempt.number() => Ok(()),
        newest => Err(superseded(attempt, newest).into()),
    }
}

fn superseded(attempt: &Attempt, newest: i64) -> Error {
    let (job_id, number) = (attempt.job_id(), attempt.number());
    let text = format!("attempt {newest} of job {job_id} has started, so attempt {number} was stopped");
    Error::new(ErrorKind::Superseded, text)
}

fn unknown(job_id: &JobId) -> Error {
    Error::new(ErrorKind::UnknownJob, format!("there is no job `{job_id}`"))
}

fn lost(claim: &Claim) -> Error {
    let text = format!("split {} was taken over from writer {}", claim.split_id(), claim.writer().number());
    Error::new(ErrorKind::Fenced, text)
}

/// What a call is known by at the server, in all its tries.
fn call() -> String {
    uuid::Uuid::now_v7().to_string()
}
