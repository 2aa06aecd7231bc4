//! Jobs: made, begun, ended, canceled, listed.

use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::collections::NewCollectionRecord;
use crate::error::{Error, ErrorKind};
use crate::lease::Lease;
use crate::store::{Attempt, Ledger};

/// How long a lease is tried to be taken: whoever only looks holds it for less than a millisecond.
const LOOKERS_WAIT_MAX: Duration = Duration::from_millis(400);

/// A job to be recorded. Documents are the caller's; no secret may be in them.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// Its number.
    pub job_id: String,
    /// Address of the source, for lists.
    pub source: String,
    /// Address of the target, for lists.
    pub target: String,
    /// What was asked for.
    pub request: String,
    /// What will be done.
    pub plan: String,
    /// Seed of the random sample, the same in every attempt.
    pub sample_seed: u64,
    /// Timestamp of all reads, where the source has such.
    pub read_timestamp: Option<u64>,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// Databases that are to be made on the target.
    pub databases: Vec<String>,
    /// Its collections, in order.
    pub collections: Vec<NewCollectionRecord>,
    /// Limit of the data rate; for the caller to read.
    pub max_rate: Option<String>,
}

/// A job as recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRecord {
    /// Its number.
    pub job_id: String,
    /// `PENDING`, `IN_PROGRESS`, `SUCCESSFUL`, `FAILED`, `CANCELED`; for the caller to read.
    pub state: String,
    /// Number of the newest attempt; 0 before the first.
    pub attempt: i64,
    /// Address of the source.
    pub source: String,
    /// Address of the target.
    pub target: String,
    /// What was asked for.
    pub request: String,
    /// What will be done.
    pub plan: String,
    /// Seed of the random sample.
    pub sample_seed: u64,
    /// Timestamp of all reads.
    pub read_timestamp: Option<u64>,
    /// When it was made.
    pub created_at: String,
    /// When its last attempt ended.
    pub ended_at: Option<String>,
    /// The last report.
    pub report: Option<String>,
    /// How long all attempts together worked on it, as far as they recorded that.
    pub worked: Duration,
}

/// How long all attempts together worked on a collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkedOn {
    /// Its place in the job.
    pub position: usize,
    /// From the first to the last step.
    pub worked: Duration,
    /// While rows were copied.
    pub copied_for: Duration,
}

/// A line of the list of jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobSummary {
    /// Its number.
    pub job_id: String,
    /// As in [`JobRecord::state`].
    pub state: String,
    /// Whether a process works on it now.
    pub live: bool,
    /// Number of the newest attempt.
    pub attempt: i64,
    /// Address of the source.
    pub source: String,
    /// Address of the target.
    pub target: String,
    /// When it was made.
    pub created_at: String,
    /// When its last attempt ended.
    pub ended_at: Option<String>,
    /// Collections that are complete.
    pub collections_done: u64,
    /// Collections of the job.
    pub collections_total: u64,
    /// Rows that the target acknowledged.
    pub rows_done: u64,
    /// Rows that are to be copied, as far as known.
    pub rows_total: u64,
    /// Limit of the data rate; for the caller to read.
    pub max_rate: Option<String>,
    /// What the newest attempt waited for most when it last said so; for the caller to read.
    pub bottleneck: Option<String>,
    /// As in [`JobRecord::worked`].
    pub worked: Duration,
}

/// What others want of a running job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// That it ends.
    pub cancel: bool,
    /// Its limit of the data rate.
    pub max_rate: Option<String>,
}

impl Ledger {
    /// Records a job and all its collections, at once.
    pub async fn create_job(&self, job: NewJob) -> Result<(), Error> {
        self.write(move |connection| {
            connection.execute(
                "INSERT INTO jobs (job_id, state, source, target, request, plan, sample_seed, read_timestamp, created_at, \
                 max_rate) VALUES (?1, 'PENDING', ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                params![
                    job.job_id,
                    job.source,
                    job.target,
                    job.request,
                    job.plan,
                    signed(job.sample_seed),
                    job.read_timestamp.map(signed),
                    job.created_at,
                    job.max_rate,
                ],
            )?;
            for name in &job.databases {
                connection.execute("INSERT INTO databases (job_id, name) VALUES (?1, ?2)", params![job.job_id, name])?;
            }
            for (position, collection) in job.collections.iter().enumerate() {
                connection.execute(
                    "INSERT INTO collections (job_id, position, source, target, rows_total) VALUES (?1, ?2, ?3, ?4, ?5)",
                    params![job.job_id, signed_size(position), collection.source, collection.target, signed(collection.rows_total)],
                )?;
            }
            Ok(())
        })
        .await
    }

    /// Takes the job's lease and begins a new attempt; what an older attempt still writes is refused from now on.
    ///
    /// # Errors
    /// [`ErrorKind::JobIsLive`] while another process works on it.
    pub async fn begin_attempt(&self, job_id: &str) -> Result<Attempt, Error> {
        let lease = self.take_lease(job_id).await?;
        let id = job_id.to_owned();
        let number = self
            .write(move |connection| {
                connection.execute(
                    "UPDATE jobs SET attempt = attempt + 1, state = 'IN_PROGRESS', cancel_requested = 0, \
                     ended_at = NULL, bottleneck = NULL WHERE job_id = ?1",
                    params![id],
                )?;
                Ok(connection.query_row(
                    "SELECT attempt FROM jobs WHERE job_id = ?1",
                    params![id],
                    |row| row.get(0),
                )?)
            })
            .await?;
        Ok(Attempt::new(job_id, number, lease))
    }

    /// Records how long all attempts together worked on a job and on some of its collections.
    pub async fn record_worked(
        &self,
        attempt: &Attempt,
        worked: Duration,
        collections: Vec<WorkedOn>,
    ) -> Result<(), Error> {
        self.write_as(attempt, move |connection, attempt| {
            connection.execute(
                "UPDATE jobs SET worked_ms = ?2 WHERE job_id = ?1",
                params![attempt.job_id(), milliseconds(worked)],
            )?;
            for WorkedOn { position, worked, copied_for } in collections {
                connection.execute(
                    "UPDATE collections SET worked_ms = ?3, copied_ms = ?4 WHERE job_id = ?1 AND position = ?2",
                    params![
                        attempt.job_id(),
                        signed_size(position),
                        milliseconds(worked),
                        milliseconds(copied_for)
                    ],
                )?;
            }
            Ok(())
        })
        .await
    }

    /// Records how an attempt ended.
    pub async fn end_attempt(
        &self,
        attempt: &Attempt,
        state: &str,
        report: String,
        ended_at: String,
    ) -> Result<(), Error> {
        let state = state.to_owned();
        self.write_as(attempt, move |connection, attempt| {
            connection.execute(
                "UPDATE jobs SET state = ?2, report = ?3, ended_at = ?4, bottleneck = NULL WHERE job_id = ?1",
                params![attempt.job_id(), state, report, ended_at],
            )?;
            Ok(())
        })
        .await
    }

    /// The job whose number begins with what is given.
    pub async fn job(&self, job_id: &str) -> Result<JobRecord, Error> {
        let id = job_id.to_owned();
        self.read(move |connection| {
            let found = matching(connection, &id)?;
            connection
                .query_row(
                    "SELECT job_id, state, attempt, source, target, request, plan, sample_seed, read_timestamp, created_at, \
                     ended_at, report, worked_ms FROM jobs WHERE job_id = ?1",
                    params![found],
                    job_of,
                )
                .map_err(Error::from)
        })
        .await
    }

    /// All jobs, newest first.
    pub async fn jobs(&self) -> Result<Vec<JobSummary>, Error> {
        let mut jobs = self
            .read(|connection| {
                let mut statement = connection.prepare(
                    "SELECT job_id, state, attempt, source, target, created_at, ended_at, \
                     (SELECT count(*) FROM collections c WHERE c.job_id = j.job_id AND done), \
                     (SELECT count(*) FROM collections c WHERE c.job_id = j.job_id), \
                     (SELECT coalesce(sum(rows_written), 0) FROM splits s WHERE s.job_id = j.job_id), \
                     (SELECT coalesce(sum(rows_total), 0) FROM collections c WHERE c.job_id = j.job_id), \
                     max_rate, bottleneck, worked_ms \
                     FROM jobs j ORDER BY sequence DESC",
                )?;
                let jobs = statement.query_map([], summary_of)?.collect::<Result<Vec<_>, _>>()?;
                Ok(jobs)
            })
            .await?;
        for job in &mut jobs {
            job.live = self.is_live(&job.job_id)?;
        }
        Ok(jobs)
    }

    /// Whether a process works on a job now.
    pub fn is_live(&self, job_id: &str) -> Result<bool, Error> {
        Lease::is_taken(&self.leases(), job_id)
    }

    /// Whoever only looks whether a process works on the job is in the way for a moment.
    async fn take_lease(&self, job_id: &str) -> Result<Lease, Error> {
        let begin = Instant::now();
        loop {
            match Lease::take(&self.leases(), job_id) {
                Err(error) if error.kind() == ErrorKind::JobIsLive && begin.elapsed() < LOOKERS_WAIT_MAX => {
                    tokio::time::sleep(LOOKERS_WAIT_MAX / 20).await;
                }
                taken => return taken,
            }
        }
    }

    /// Asks the process that works on a job to end it.
    pub async fn request_cancel(&self, job_id: &str) -> Result<(), Error> {
        let id = job_id.to_owned();
        self.write(move |connection| {
            connection.execute("UPDATE jobs SET cancel_requested = 1 WHERE job_id = ?1", params![id])?;
            Ok(())
        })
        .await
    }

    /// Records, again and again, that the attempt is ending because it was asked to.
    pub async fn record_cancel_beat(&self, attempt: &Attempt) -> Result<(), Error> {
        self.write_as(attempt, |connection, attempt| {
            connection.execute(
                "UPDATE jobs SET cancel_beats = cancel_beats + 1 WHERE job_id = ?1",
                params![attempt.job_id()],
            )?;
            Ok(())
        })
        .await
    }

    /// How often that was recorded.
    pub async fn cancel_beats(&self, job_id: &str) -> Result<i64, Error> {
        let id = job_id.to_owned();
        self.read(move |connection| {
            let sql = "SELECT cancel_beats FROM jobs WHERE job_id = ?1";
            Ok(connection.query_row(sql, params![id], |row| row.get(0))?)
        })
        .await
    }

    /// Number of the process that works on a job, or did last, as far as it was written down.
    pub fn holder(&self, job_id: &str) -> Option<u32> {
        Lease::holder(&self.leases(), job_id)
    }

    /// Sets or lifts the limit of a job's data rate, also of one that runs.
    pub async fn set_max_rate(&self, job_id: &str, max_rate: Option<String>) -> Result<(), Error> {
        let id = job_id.to_owned();
        self.write(move |connection| {
            connection.execute("UPDATE jobs SET max_rate = ?2 WHERE job_id = ?1", params![id, max_rate])?;
            Ok(())
        })
        .await
    }

    /// Records what an attempt waits for most.
    pub async fn record_bottleneck(
        &self,
        attempt: &Attempt,
        bottleneck: Option<String>,
    ) -> Result<(), Error> {
        self.write_as(attempt, move |connection, attempt| {
            connection.execute(
                "UPDATE jobs SET bottleneck = ?2 WHERE job_id = ?1",
                params![attempt.job_id(), bottleneck],
            )?;
            Ok(())
        })
        .await
    }

    /// What others want of a job.
    pub async fn control(&self, job_id: &str) -> Result<Control, Error> {
        let id = job_id.to_owned();
        self.read(move |connection| {
            let found = connection.query_row(
                "SELECT cancel_requested, max_rate FROM jobs WHERE job_id = ?1",
                params![id],
                |row| Ok(Control { cancel: row.get(0)?, max_rate: row.get(1)? }),
            )?;
            Ok(found)
        })
        .await
    }

    /// Databases that the job is to make, and whether it did.
    pub async fn databases(&self, job_id: &str) -> Result<Vec<(String, bool)>, Error> {
        let id = job_id.to_owned();
        self.read(move |connection| {
            let mut statement =
                connection.prepare("SELECT name, created FROM databases WHERE job_id = ?1 ORDER BY name")?;
            let found = statement.query_map(params![id], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(found.collect::<Result<Vec<_>, _>>()?)
        })
        .await
    }

    /// Records that a database is the job's own.
    pub async fn record_database(&self, attempt: &Attempt, name: &str) -> Result<(), Error> {
        self.set_database(attempt, name, true).await
    }

    /// Forgets that a database was made: it is gone.
    pub async fn forget_database(&self, attempt: &Attempt, name: &str) -> Result<(), Error> {
        self.set_database(attempt, name, false).await
    }

    async fn set_database(&self, attempt: &Attempt, name: &str, created: bool) -> Result<(), Error> {
        let name = name.to_owned();
        self.write_as(attempt, move |connection, attempt| {
            connection.execute(
                "UPDATE databases SET created = ?3 WHERE job_id = ?1 AND name = ?2",
                params![attempt.job_id(), name, created],
            )?;
            Ok(())
        })
        .await
    }

    /// Records something worth knowing later.
    pub async fn record_event(&self, attempt: &Attempt, at: String, event: String) -> Result<(), Error> {
        self.write_as(attempt, move |connection, attempt| {
            connection.execute(
                "INSERT INTO events (job_id, attempt, at, event) VALUES (?1, ?2, ?3, ?4)",
                params![attempt.job_id(), attempt.number(), at, event],
            )?;
            Ok(())
        })
        .await
    }

    /// What was recorded, oldest first: attempt, time, event.
    pub async fn events(&self, job_id: &str) -> Result<Vec<(i64, String, String)>, Error> {
        let id = job_id.to_owned();
        self.read(move |connection| {
            let mut statement = connection
                .prepare("SELECT attempt, at, event FROM events WHERE job_id = ?1 ORDER BY event_id")?;
            let found =
                statement.query_map(params![id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            Ok(found.collect::<Result<Vec<_>, _>>()?)
        })
        .await
    }
}

/// The whole number of the one job that begins with a text.
fn matching(connection: &Connection, beginning: &str) -> Result<String, Error> {
    let exact = connection
        .query_row("SELECT job_id FROM jobs WHERE job_id = ?1", params![beginning], |row| row.get(0))
        .optional()?;
    if let Some(exact) = exact {
        return Ok(exact);
    }
    let mut statement =
        connection.prepare("SELECT job_id FROM jobs WHERE substr(job_id, 1, length(?1)) = ?1 LIMIT 2")?;
    let found: Vec<String> =
        statement.query_map(params![beginning], |row| row.get(0))?.collect::<Result<_, _>>()?;
    match found.as_slice() {
        [one] if !beginning.is_empty() => Ok(one.clone()),
        [] | [_] => Err(Error::new(ErrorKind::UnknownJob, format!("there is no job `{beginning}`"))),
        _ => Err(Error::new(ErrorKind::AmbiguousJob, format!("several jobs begin with `{beginning}`"))),
    }
}

fn job_of(row: &Row<'_>) -> rusqlite::Result<JobRecord> {
    Ok(JobRecord {
        job_id: row.get(0)?,
        state: row.get(1)?,
        attempt: row.get(2)?,
        source: row.get(3)?,
        target: row.get(4)?,
        request: row.get(5)?,
        plan: row.get(6)?,
        sample_seed: row.get::<_, i64>(7)?.cast_unsigned(),
        read_timestamp: row.get::<_, Option<i64>>(8)?.map(i64::cast_unsigned),
        created_at: row.get(9)?,
        ended_at: row.get(10)?,
        report: row.get(11)?,
        worked: duration_of(row, 12)?,
    })
}

fn summary_of(row: &Row<'_>) -> rusqlite::Result<JobSummary> {
    Ok(JobSummary {
        job_id: row.get(0)?,
        state: row.get(1)?,
        live: false,
        attempt: row.get(2)?,
        source: row.get(3)?,
        target: row.get(4)?,
        created_at: row.get(5)?,
        ended_at: row.get(6)?,
        collections_done: row.get::<_, i64>(7)?.cast_unsigned(),
        collections_total: row.get::<_, i64>(8)?.cast_unsigned(),
        rows_done: row.get::<_, i64>(9)?.cast_unsigned(),
        rows_total: row.get::<_, i64>(10)?.cast_unsigned(),
        max_rate: row.get(11)?,
        bottleneck: row.get(12)?,
        worked: duration_of(row, 13)?,
    })
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

pub(crate) fn duration_of(row: &Row<'_>, column: usize) -> rusqlite::Result<Duration> {
    Ok(Duration::from_millis(u64::try_from(row.get::<_, i64>(column)?).unwrap_or_default()))
}

/// SQLite's numbers have a sign; the bits come back as they were.
pub(crate) fn signed(value: u64) -> i64 {
    value.cast_signed()
}

pub(crate) fn signed_size(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
