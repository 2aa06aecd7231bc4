//! Jobs.

use std::path::Path;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::SqliteStore;
use super::claims::lose_writers_of_job;
use super::lease::Lease;
use super::rows::{
    duration, job_id, kind, milliseconds, signed, signed_size, state, unsigned, unsigned_or_none,
};
use super::unknown;
use crate::attempt::Attempt;
use crate::error::{Error, ErrorKind};
use crate::id::JobId;
use crate::jobs::{Control, JobPage, JobRecord, JobState, JobSummary, Jobs, NewJob, WorkedOn};

/// How long a lease is tried to be taken: whoever only looks holds it for less than a millisecond.
const LOOKERS_WAIT_MAX: Duration = Duration::from_millis(400);

/// What a list shows of a job `j`: what is under way is counted now, others have it in their rows.
const SUMMARY: &str = "\
    job_id, state, attempt, source, target, created_at, ended_at, \
    CASE WHEN open THEN (SELECT count(*) FROM collections c WHERE c.job_id = j.job_id AND presence = 'here' AND done) \
        ELSE collections_done END, \
    CASE WHEN open THEN (SELECT count(*) FROM collections c WHERE c.job_id = j.job_id AND presence = 'here') \
        ELSE collections_total END, \
    CASE WHEN open THEN (SELECT coalesce(sum(rows_written), 0) FROM splits s WHERE s.job_id = j.job_id) \
        ELSE rows_done END, \
    CASE WHEN open THEN (SELECT coalesce(sum(c.rows_total), 0) FROM collections c WHERE c.job_id = j.job_id \
        AND presence = 'here') ELSE rows_total END, \
    max_rate, bottleneck, worked_ms, kind";
/// Where such a job is from.
const JOBS: &str = "SELECT *, state IN ('IN_PROGRESS', 'CANCELING') AS open FROM jobs";

/// A page of the list, found by its place in it.
fn page_of_list() -> String {
    format!(
        "SELECT {SUMMARY} FROM ({JOBS} WHERE sequence < CASE WHEN ?1 IS NULL THEN 9223372036854775807 \
         ELSE (SELECT sequence FROM jobs WHERE job_id = ?1) END ORDER BY sequence DESC LIMIT ?2) j \
         ORDER BY sequence DESC"
    )
}

#[async_trait]
impl Jobs for SqliteStore {
    async fn create_job(&self, job: NewJob) -> Result<(), Error> {
        self.write(move |connection| create(connection, &job)).await
    }

    async fn begin_attempt(&self, job_id: &JobId) -> Result<Attempt, Error> {
        let lease = self.take_lease(job_id).await?;
        let id = job_id.clone();
        let number = self
            .write(move |connection| {
                let number = connection
                    .query_row(
                        "UPDATE jobs SET attempt = attempt + 1, state = 'IN_PROGRESS', cancel_requested = 0, \
                         ended_at = NULL, bottleneck = NULL WHERE job_id = ?1 RETURNING attempt",
                        params![id.as_str()],
                        |row| row.get(0),
                    )
                    .optional()?
                    .ok_or_else(|| unknown(&id))?;
                lose_writers_of_job(connection, &id, number)?;
                Ok(number)
            })
            .await?;
        Ok(Attempt::new(job_id.clone(), number, lease))
    }

    async fn record_read_timestamp(
        &self,
        attempt: &Attempt,
        read_timestamp: Option<u64>,
    ) -> Result<Option<u64>, Error> {
        self.write_as(attempt, move |connection, attempt| {
            let recorded = connection.query_row(
                "UPDATE jobs SET read_timestamp = coalesce(read_timestamp, ?2) WHERE job_id = ?1 RETURNING read_timestamp",
                params![attempt.job_id().as_str(), read_timestamp.map(signed)],
                |row| unsigned_or_none(row, 0),
            )?;
            Ok(recorded)
        })
        .await
    }

    async fn end_attempt(
        &self,
        attempt: &Attempt,
        state: JobState,
        report: String,
        ended_at: String,
    ) -> Result<(), Error> {
        self.write_as(attempt, move |connection, attempt| end(connection, attempt, state, &report, &ended_at))
            .await
    }

    async fn remove_job(&self, attempt: &Attempt) -> Result<(), Error> {
        self.write_as(attempt, move |connection, attempt| {
            connection.execute("DELETE FROM jobs WHERE job_id = ?1", params![attempt.job_id().as_str()])?;
            Ok(())
        })
        .await
        // It is gone already.
        .or_else(|error| if error.kind() == ErrorKind::UnknownJob { Ok(()) } else { Err(error) })
    }

    async fn find_job(&self, beginning: &str) -> Result<JobId, Error> {
        let beginning = beginning.to_owned();
        self.read(move |connection| matching(connection, &beginning)).await
    }

    async fn job(&self, job_id: &JobId) -> Result<JobRecord, Error> {
        let id = job_id.clone();
        self.read(move |connection| {
            connection
                .query_row(
                    "SELECT job_id, state, attempt, source, target, request, plan, sample_seed, read_timestamp, \
                     created_at, ended_at, report, worked_ms, kind FROM jobs WHERE job_id = ?1",
                    params![id.as_str()],
                    job_of,
                )
                .optional()?
                .ok_or_else(|| unknown(&id))
        })
        .await
    }

    async fn summary(&self, job_id: &JobId) -> Result<JobSummary, Error> {
        let (id, leases) = (job_id.clone(), self.leases());
        self.read(move |connection| {
            let sql = format!("SELECT {SUMMARY} FROM ({JOBS} WHERE job_id = ?1) j");
            let mut statement = connection.prepare_cached(&sql)?;
            let found = statement.query_row(params![id.as_str()], summary_of).optional()?;
            let mut job = found.ok_or_else(|| unknown(&id))?;
            look_at_lease(&mut job, &leases)?;
            Ok(job)
        })
        .await
    }

    async fn jobs(&self, page: JobPage) -> Result<Vec<JobSummary>, Error> {
        let leases = self.leases();
        self.read(move |connection| list(connection, &page, &leases)).await
    }

    async fn is_live(&self, job_id: &JobId) -> Result<bool, Error> {
        Lease::is_taken(&self.leases(), job_id.as_str())
    }

    async fn holder(&self, job_id: &JobId) -> Option<u32> {
        Lease::holder(&self.leases(), job_id.as_str())
    }

    async fn request_cancel(&self, job_id: &JobId) -> Result<(), Error> {
        let id = job_id.clone();
        self.write(move |connection| {
            connection.execute(
                "UPDATE jobs SET cancel_requested = 1, \
                 state = CASE state WHEN 'IN_PROGRESS' THEN 'CANCELING' ELSE state END WHERE job_id = ?1",
                params![id.as_str()],
            )?;
            Ok(())
        })
        .await
    }

    async fn record_cancel_beat(&self, attempt: &Attempt) -> Result<(), Error> {
        self.write_as(attempt, |connection, attempt| {
            connection.execute(
                "UPDATE jobs SET cancel_beats = cancel_beats + 1 WHERE job_id = ?1",
                params![attempt.job_id().as_str()],
            )?;
            Ok(())
        })
        .await
    }

    async fn cancel_beats(&self, job_id: &JobId) -> Result<i64, Error> {
        let id = job_id.clone();
        self.read(move |connection| {
            let sql = "SELECT cancel_beats FROM jobs WHERE job_id = ?1";
            let found = connection.query_row(sql, params![id.as_str()], |row| row.get(0)).optional()?;
            found.ok_or_else(|| unknown(&id))
        })
        .await
    }

    async fn set_max_rate(&self, job_id: &JobId, max_rate: Option<String>) -> Result<(), Error> {
        let id = job_id.clone();
        self.write(move |connection| {
            let sql = "UPDATE jobs SET max_rate = ?2 WHERE job_id = ?1";
            connection.execute(sql, params![id.as_str(), max_rate])?;
            Ok(())
        })
        .await
    }

    async fn control(&self, job_id: &JobId) -> Result<Control, Error> {
        let id = job_id.clone();
        self.read(move |connection| {
            let found = connection
                .query_row(
                    "SELECT cancel_requested, max_rate FROM jobs WHERE job_id = ?1",
                    params![id.as_str()],
                    |row| Ok(Control { cancel: row.get(0)?, max_rate: row.get(1)? }),
                )
                .optional()?;
            found.ok_or_else(|| unknown(&id))
        })
        .await
    }

    async fn record_bottleneck(&self, attempt: &Attempt, bottleneck: Option<String>) -> Result<(), Error> {
        self.write_as(attempt, move |connection, attempt| {
            let sql = "UPDATE jobs SET bottleneck = ?2 WHERE job_id = ?1";
            connection.execute(sql, params![attempt.job_id().as_str(), bottleneck])?;
            Ok(())
        })
        .await
    }

    async fn record_worked(
        &self,
        attempt: &Attempt,
        worked: Duration,
        collections: Vec<WorkedOn>,
    ) -> Result<(), Error> {
        self.write_as(attempt, move |connection, attempt| {
            let id = attempt.job_id().as_str();
            let sql = "UPDATE jobs SET worked_ms = ?2 WHERE job_id = ?1";
            connection.execute(sql, params![id, milliseconds(worked)])?;
            for WorkedOn { position, worked, copied_for } in collections {
                connection.execute(
                    "UPDATE collections SET worked_ms = ?3, copied_ms = ?4 WHERE job_id = ?1 AND position = ?2",
                    params![id, position.0, milliseconds(worked), milliseconds(copied_for)],
                )?;
            }
            Ok(())
        })
        .await
    }

    async fn databases(&self, job_id: &JobId) -> Result<Vec<(String, bool)>, Error> {
        let id = job_id.clone();
        self.read(move |connection| {
            let mut statement =
                connection.prepare("SELECT name, created FROM databases WHERE job_id = ?1 ORDER BY name")?;
            let found = statement.query_map(params![id.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(found.collect::<Result<Vec<_>, _>>()?)
        })
        .await
    }

    async fn record_database(&self, attempt: &Attempt, name: &str) -> Result<(), Error> {
        self.set_database(attempt, name, true).await
    }

    async fn forget_database(&self, attempt: &Attempt, name: &str) -> Result<(), Error> {
        self.set_database(attempt, name, false).await
    }
}

impl SqliteStore {
    async fn set_database(&self, attempt: &Attempt, name: &str, created: bool) -> Result<(), Error> {
        let name = name.to_owned();
        self.write_as(attempt, move |connection, attempt| {
            connection.execute(
                "UPDATE databases SET created = ?3 WHERE job_id = ?1 AND name = ?2",
                params![attempt.job_id().as_str(), name, created],
            )?;
            Ok(())
        })
        .await
    }

    /// Whoever only looks whether a process works on the job is in the way for a moment.
    async fn take_lease(&self, job_id: &JobId) -> Result<Lease, Error> {
        let begin = Instant::now();
        loop {
            match Lease::take(&self.leases(), job_id.as_str()) {
                Err(error) if error.kind() == ErrorKind::JobIsLive && begin.elapsed() < LOOKERS_WAIT_MAX => {
                    tokio::time::sleep(LOOKERS_WAIT_MAX / 20).await;
                }
                taken => return taken,
            }
        }
    }
}

/// Ends an attempt.
pub(super) fn end(
    connection: &Connection,
    attempt: &Attempt,
    state: JobState,
    report: &str,
    ended_at: &str,
) -> Result<(), Error> {
    connection.execute(
        "UPDATE jobs SET state = ?2, report = ?3, ended_at = ?4, bottleneck = NULL WHERE job_id = ?1",
        params![attempt.job_id().as_str(), state.name(), report, ended_at],
    )?;
    // Also those of other processes.
    lose_writers_of_job(connection, attempt.job_id(), attempt.number())?;
    count(connection, attempt.job_id())
}

fn create(connection: &Connection, job: &NewJob) -> Result<(), Error> {
    let id = job.job_id.as_str();
    let rows_total: u64 = job.collections.iter().map(|collection| collection.rows_total).sum();
    let inserted = connection.execute(
        "INSERT INTO jobs (job_id, state, source, target, request, plan, sample_seed, created_at, max_rate, collections_total, \
         rows_total, kind) VALUES (?1, 'PENDING', ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT (job_id) DO NOTHING",
        params![
            id,
            job.source,
            job.target,
            job.request,
            job.plan,
            signed(job.sample_seed),
            job.created_at,
            job.max_rate,
            signed_size(job.collections.len()),
            signed(rows_total),
            job.kind.name()
        ],
    )?;
    if inserted == 0 {
        return check_same(connection, job);
    }
    for name in &job.databases {
        connection.execute("INSERT INTO databases (job_id, name) VALUES (?1, ?2)", params![id, name])?;
    }
    for (position, collection) in job.collections.iter().enumerate() {
        connection.execute(
            "INSERT INTO collections (job_id, position, source, target, rows_total) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                id,
                signed_size(position),
                collection.source,
                collection.target,
                signed(collection.rows_total)
            ],
        )?;
    }
    Ok(())
}

/// A job that is recorded already is this one.
fn check_same(connection: &Connection, job: &NewJob) -> Result<(), Error> {
    let same: bool = connection.query_row(
        "SELECT count(*) FROM jobs WHERE job_id = ?1 AND source = ?2 AND target = ?3 AND request = ?4 AND plan = ?5 \
         AND sample_seed = ?6 AND created_at = ?7 AND kind = ?8",
        params![
            job.job_id.as_str(),
            job.source,
            job.target,
            job.request,
            job.plan,
            signed(job.sample_seed),
            job.created_at,
            job.kind.name()
        ],
        |row| row.get(0),
    )?;
    match same {
        true => Ok(()),
        false => Err(Error::new(ErrorKind::Corrupt, format!("another job has the ID {}", job.job_id))),
    }
}

/// Records of a job that ends what lists show of it.
fn count(connection: &Connection, job_id: &JobId) -> Result<(), Error> {
    connection.execute(
        "UPDATE jobs AS j SET \
         collections_done = (SELECT count(*) FROM collections c WHERE c.job_id = j.job_id AND presence = 'here' AND done), \
         collections_total = (SELECT count(*) FROM collections c WHERE c.job_id = j.job_id AND presence = 'here'), \
         rows_done = (SELECT coalesce(sum(rows_written), 0) FROM splits s WHERE s.job_id = j.job_id), \
         rows_total = (SELECT coalesce(sum(c.rows_total), 0) FROM collections c WHERE c.job_id = j.job_id \
         AND presence = 'here') WHERE job_id = ?1",
        params![job_id.as_str()],
    )?;
    Ok(())
}

fn list(connection: &Connection, page: &JobPage, leases: &Path) -> Result<Vec<JobSummary>, Error> {
    let before = page.before.as_ref().map(JobId::as_str);
    let mut statement = connection.prepare_cached(&page_of_list())?;
    let found = statement.query_map(params![before, signed_size(page.jobs_max)], summary_of)?;
    let mut jobs = found.collect::<Result<Vec<_>, _>>()?;
    // Nothing is before the first one, nor before one that is not there.
    if let (true, Some(before)) = (jobs.is_empty(), &page.before) {
        let known = "SELECT 1 FROM jobs WHERE job_id = ?1";
        let known = connection.query_row(known, params![before.as_str()], |_| Ok(())).optional()?;
        known.ok_or_else(|| unknown(before))?;
    }
    for job in &mut jobs {
        look_at_lease(job, leases)?;
    }
    Ok(jobs)
}

/// Whether a process works on a job is asked only where one may.
fn look_at_lease(job: &mut JobSummary, leases: &Path) -> Result<(), Error> {
    if job.state.is_open() {
        job.live = Lease::is_taken(leases, job.job_id.as_str())?;
    }
    Ok(())
}

/// The whole ID of the one job whose ID begins with a text.
fn matching(connection: &Connection, beginning: &str) -> Result<JobId, Error> {
    // Between two entries of the index, of which an exact one is the first.
    let end = format!("{beginning}{}", char::MAX);
    let mut statement = connection.prepare_cached(
        "SELECT job_id FROM jobs WHERE job_id >= ?1 AND job_id < ?2 ORDER BY job_id LIMIT 2",
    )?;
    let found: Vec<JobId> =
        statement.query_map(params![beginning, end], |row| job_id(row, 0))?.collect::<Result<_, _>>()?;
    match found.as_slice() {
        [exact, ..] if exact.as_str() == beginning => Ok(exact.clone()),
        [one] if !beginning.is_empty() => Ok(one.clone()),
        [] | [_] => Err(unknown(&JobId::from(beginning))),
        _ => Err(Error::new(ErrorKind::AmbiguousJob, format!("several job IDs begin with `{beginning}`"))),
    }
}

fn job_of(row: &Row<'_>) -> rusqlite::Result<JobRecord> {
    Ok(JobRecord {
        job_id: job_id(row, 0)?,
        state: state(row, 1)?,
        attempt: row.get(2)?,
        source: row.get(3)?,
        target: row.get(4)?,
        request: row.get(5)?,
        plan: row.get(6)?,
        sample_seed: unsigned(row, 7)?,
        read_timestamp: unsigned_or_none(row, 8)?,
        created_at: row.get(9)?,
        ended_at: row.get(10)?,
        report: row.get(11)?,
        worked: duration(row, 12)?,
        kind: kind(row, 13)?,
    })
}

fn summary_of(row: &Row<'_>) -> rusqlite::Result<JobSummary> {
    Ok(JobSummary {
        job_id: job_id(row, 0)?,
        state: state(row, 1)?,
        live: false,
        attempt: row.get(2)?,
        source: row.get(3)?,
        target: row.get(4)?,
        created_at: row.get(5)?,
        ended_at: row.get(6)?,
        collections_done: unsigned(row, 7)?,
        collections_total: unsigned(row, 8)?,
        rows_done: unsigned(row, 9)?,
        rows_total: unsigned(row, 10)?,
        max_rate: row.get(11)?,
        bottleneck: row.get(12)?,
        worked: duration(row, 13)?,
        kind: kind(row, 14)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::SqliteStore;

    /// What a statement looks through, table by table.
    fn plan(connection: &Connection, sql: &str) -> String {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let arguments = statement.parameter_count();
        let given: Vec<Option<i64>> = vec![None; arguments];
        let rows = statement
            .query_map(rusqlite::params_from_iter(given), |row| row.get::<_, String>("detail"))
            .unwrap();
        rows.map(Result::unwrap).collect::<Vec<_>>().join("; ")
    }

    #[tokio::test]
    async fn a_page_of_the_list_does_not_look_through_all_jobs() {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(directory.path()).unwrap();
        let plan = store.read(|connection| Ok(plan(connection, &page_of_list()))).await.unwrap();
        assert!(plan.contains("SEARCH jobs USING INTEGER PRIMARY KEY (rowid<?)"), "{plan}");
        // Of the page itself, once it is found.
        assert_eq!(plan.replace("SCAN j", "").matches("SCAN").count(), 0, "{plan}");
    }
}
