//! The store of one machine: a SQLite file in a directory of its own.
//!
//! One thread owns the connection that writes; what arrives together is committed together, and is on the disk when the
//! caller is answered. Reads have connections of their own and wait for no write. Which process works on a job is told by
//! locks that the kernel holds, so that no clock is needed to tell a living process from a dead one.

mod backup;
mod claims;
mod clock;
mod collections;
mod comparisons;
mod connection;
mod dialect;
mod directory;
mod events;
mod jobs;
mod lease;
mod objects;
mod records;
mod reservations;
mod rounds;
mod rows;
mod schema;
mod splits;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use crate::attempt::Attempt;
use crate::error::{Error, ErrorKind};
use crate::id::JobId;
use crate::meter::{Meter, Usage, Waiting};
use crate::right::Claim;
use crate::{Right, Store};
pub use backup::{backup, restore};
use connection::Connections;

const FILE: &str = "ledger.sqlite3";
const LEASES: &str = "leases";

/// The store of a state directory. Clones share its connections.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    connections: Arc<Connections>,
    meter: Arc<Meter>,
    directory: PathBuf,
}

/// Opens the store of a state directory, as [`SqliteStore::open`] does.
///
/// # Errors
/// See there.
pub fn open(state_dir: &Path) -> Result<Arc<dyn Store>, Error> {
    Ok(Arc::new(SqliteStore::open(state_dir)?))
}

impl SqliteStore {
    /// Opens the store of a state directory, and makes both if need be. For its owner only.
    ///
    /// # Errors
    /// [`ErrorKind::Exposed`], [`ErrorKind::Foreign`], [`ErrorKind::Network`], [`ErrorKind::Unusable`],
    /// [`ErrorKind::ReadOnly`], [`ErrorKind::Full`], [`ErrorKind::Corrupt`], [`ErrorKind::Newer`], [`ErrorKind::Locked`].
    pub fn open(state_dir: &Path) -> Result<Self, Error> {
        let directory = directory::prepare(state_dir)?;
        directory::inside(&directory, LEASES)?;
        let meter = Arc::new(Meter::default());
        let connections = Connections::open(&directory.join(FILE), &meter)?;
        Ok(Self { connections: Arc::new(connections), meter, directory: state_dir.to_owned() })
    }

    /// Where the leases of the jobs are.
    fn leases(&self) -> PathBuf {
        self.directory.join(LEASES)
    }

    async fn read<Answer: Send + 'static>(
        &self,
        look: impl FnOnce(&Connection) -> Result<Answer, Error> + Send + 'static,
    ) -> Result<Answer, Error> {
        let _waiting = self.meter.waiting();
        self.connections.read(look).await
    }

    async fn write<Answer: Send + 'static>(
        &self,
        change: impl FnOnce(&Connection) -> Result<Answer, Error> + Send + 'static,
    ) -> Result<Answer, Error> {
        let _waiting = self.meter.waiting();
        self.connections.write(change).await
    }

    /// A write in the name of an attempt.
    async fn write_as<Answer: Send + 'static>(
        &self,
        attempt: &Attempt,
        change: impl FnOnce(&Connection, &Attempt) -> Result<Answer, Error> + Send + 'static,
    ) -> Result<Answer, Error> {
        let attempt = attempt.clone();
        self.write(move |connection| {
            check_attempt(connection, &attempt)?;
            change(connection, &attempt)
        })
        .await
    }

    /// A write under a claim.
    async fn write_under<Answer: Send + 'static>(
        &self,
        claim: &Claim,
        change: impl FnOnce(&Connection, &Claim) -> Result<Answer, Error> + Send + 'static,
    ) -> Result<Answer, Error> {
        let claim = claim.clone();
        self.write(move |connection| {
            check_claim(connection, &claim)?;
            change(connection, &claim)
        })
        .await
    }

    /// A write about the rows of a collection.
    async fn write_with<Answer: Send + 'static>(
        &self,
        right: Right<'_>,
        change: impl FnOnce(&Connection) -> Result<Answer, Error> + Send + 'static,
    ) -> Result<Answer, Error> {
        match right {
            Right::Attempt(attempt, _) => self.write_as(attempt, |connection, _| change(connection)).await,
            Right::Claim(claim) => self.write_under(claim, |connection, _| change(connection)).await,
        }
    }
}

impl Store for SqliteStore {
    fn place(&self) -> String {
        self.directory.display().to_string()
    }

    fn directory(&self) -> Option<&Path> {
        Some(&self.directory)
    }

    fn files_directory(&self) -> Option<&Path> {
        Some(&self.directory)
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
fn check_attempt(connection: &Connection, attempt: &Attempt) -> Result<(), Error> {
    let (job_id, number) = (attempt.job_id(), attempt.number());
    let newest: Option<i64> = connection
        .prepare_cached("SELECT attempt FROM jobs WHERE job_id = ?1")?
        .query_row(params![job_id.as_str()], |row| row.get(0))
        .optional()?;
    let newest = newest.ok_or_else(|| unknown(job_id))?;
    if newest == number {
        return Ok(());
    }
    let text = format!("attempt {newest} of job {job_id} has started, so attempt {number} was stopped");
    Err(Error::new(ErrorKind::Superseded, text))
}

/// Refuses a write under a claim that is not the split's newest.
fn check_claim(connection: &Connection, claim: &Claim) -> Result<(), Error> {
    let holds: bool = connection
        .prepare_cached(
            "SELECT count(*) FROM splits WHERE split_id = ?1 AND epoch = ?2 AND writer = ?3 AND job_id = ?4",
        )?
        .query_row(
            params![
                claim.split_id().0,
                claim.epoch(),
                rows::signed(claim.writer().number()),
                claim.writer().job_id().as_str()
            ],
            |row| row.get(0),
        )?;
    if holds { Ok(()) } else { Err(lost(claim)) }
}

fn unknown(job_id: &JobId) -> Error {
    Error::new(ErrorKind::UnknownJob, format!("there is no job `{job_id}`"))
}

fn lost(claim: &Claim) -> Error {
    let text = format!("split {} was taken over from writer {}", claim.split_id(), claim.writer().number());
    Error::new(ErrorKind::Fenced, text)
}
