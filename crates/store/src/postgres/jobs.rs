//! Jobs.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio_postgres::Row;

use super::PostgresStore;
use super::claims::lose_writers_of_job;
use super::connection::Change;
use super::failure::Failure;
use super::lease::{Lease, TTL_MS, lease_holds};
use super::rows::{
    all, at, damaged, duration, get, job_id, kind, milliseconds, one, signed_size, state, unsigned,
    unsigned_or_none,
};
use super::unknown;
use crate::attempt::Attempt;
use crate::error::{Error, ErrorKind};
use crate::id::JobId;
use crate::jobs::{Control, JobPage, JobRecord, JobState, JobSummary, Jobs, NewJob, WorkedOn};

/// A process that just let a job go removes its lease a moment later.
const LEASE_WAIT_MAX: Duration = Duration::from_secs(1);

/// What a list shows of a job `j`: what is under way is counted now, others have it in their rows.
const SUMMARY: &str = concat!(
    "\
    job_id, state, attempt, source, target, created_at, ended_at, \
    CASE WHEN open THEN (SELECT count(*) FROM collections c WHERE c.job_id = j.job_id AND presence = 'here' AND done) \
        ELSE collections_done END, \
    CASE WHEN open THEN (SELECT count(*) FROM collections c WHERE c.job_id = j.job_id AND presence = 'here') \
        ELSE collections_total END, \
    CASE WHEN open THEN (SELECT coalesce(sum(rows_written), 0)::bigint FROM splits s WHERE s.job_id = j.job_id) \
        ELSE rows_done END, \
    CASE WHEN open THEN (SELECT coalesce(sum(c.rows_total), 0)::bigint FROM collections c WHERE c.job_id = j.job_id \
        AND presence = 'here') ELSE rows_total END, \
    max_rate, bottleneck, worked_ms, kind, \
    open AND EXISTS (SELECT 1 FROM leases WHERE leases.job_id = j.job_id AND ",
    lease_holds!(),
    ")"
);
/// Where such a job is from.
const JOBS: &str = "SELECT *, state IN ('IN_PROGRESS', 'CANCELING') AS open FROM jobs";

/// A page of the list, found by its place in it.
fn page_of_list() -> String {
    format!(
        "SELECT {SUMMARY} FROM ({JOBS} WHERE sequence < CASE WHEN $1::text IS NULL THEN 9223372036854775807 \
         ELSE (SELECT sequence FROM jobs WHERE job_id = $1) END ORDER BY sequence DESC LIMIT $2) j \
         ORDER BY sequence DESC"
    )
}

#[async_trait]
impl Jobs for PostgresStore {
    async fn create_job(&self, job: NewJob) -> Result<(), Error> {
        self.write(|| async {
            let mut client = self.client().await?;
            let change = self.begin(&mut client).await?;
            create(&change, &job).await?;
            change.commit(()).await
        })
        .await
    }

    async fn begin_attempt(&self, job_id: &JobId) -> Result<Attempt, Error> {
        let lease = self.leases.hold(job_id)?;
        let begin = Instant::now();
        let number = loop {
            match self.write(|| self.begin_under_lease(job_id, &lease)).await {
                Err(error) if error.kind() == ErrorKind::JobIsLive && begin.elapsed() < LEASE_WAIT_MAX => {
                    tokio::time::sleep(LEASE_WAIT_MAX / 40).await;
                }
                begun => break begun?,
            }
        };
        Ok(Attempt::new(job_id.clone(), number, lease))
    }

    async fn record_read_timestamp(
        &self,
        attempt: &Attempt,
        read_timestamp: Option<u64>,
    ) -> Result<Option<u64>, Error> {
        let (id, timestamp) = (attempt.job_id().as_str(), read_timestamp.map(u64::cast_signed));
        self.write(|| async {
            let mut client = self.client().await?;
            let change = self.begin_as(&mut client, attempt).await?;
            let first = "UPDATE jobs SET read_timestamp = coalesce(read_timestamp, $2) WHERE job_id = $1 \
                         RETURNING read_timestamp";
            let recorded: Option<i64> = one(change.row(first, &[&id, &timestamp]).await?.as_ref())?;
            change.commit(recorded.map(i64::cast_unsigned)).await
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
        self.write(|| async {
            let mut client = self.client().await?;
            let change = self.begin_as(&mut client, attempt).await?;
            end(&change, attempt, state, &report, &ended_at).await?;
            change.commit(()).await
        })
        .await
    }

    async fn remove_job(&self, attempt: &Attempt) -> Result<(), Error> {
        let id = attempt.job_id().as_str();
        match self.write_as(attempt, "DELETE FROM jobs WHERE job_id = $1", &[&id]).await {
            // By an earlier try.
            Err(error) if error.kind() == ErrorKind::UnknownJob => Ok(()),
            removed => removed,
        }
    }

    async fn find_job(&self, beginning: &str) -> Result<JobId, Error> {
        // Between two entries of the index, of which an exact one is the first.
        let end = format!("{beginning}{}", char::MAX);
        let sql = "SELECT job_id FROM jobs WHERE job_id >= $1 AND job_id < $2 ORDER BY job_id LIMIT 2";
        let found: Vec<JobId> =
            self.read(sql, &[&beginning, &end], |rows| all(rows, |row| job_id(row, 0))).await?;
        match found.as_slice() {
            [exact, ..] if exact.as_str() == beginning => Ok(exact.clone()),
            [one] if !beginning.is_empty() => Ok(one.clone()),
            [] | [_] => Err(unknown(&JobId::from(beginning))),
            _ => {
                Err(Error::new(ErrorKind::AmbiguousJob, format!("several job IDs begin with `{beginning}`")))
            }
        }
    }

    async fn job(&self, job_id: &JobId) -> Result<JobRecord, Error> {
        let sql = "SELECT job_id, state, attempt, source, target, request, plan, sample_seed, read_timestamp, \
                   created_at, ended_at, report, worked_ms, kind FROM jobs WHERE job_id = $1";
        self.read(sql, &[&job_id.as_str()], |rows| job_of(rows.first().ok_or_else(|| unknown(job_id))?)).await
    }

    async fn summary(&self, job_id: &JobId) -> Result<JobSummary, Error> {
        let sql = format!("SELECT {SUMMARY} FROM ({JOBS} WHERE job_id = $1) j");
        let of = |rows: &[Row]| summary_of(rows.first().ok_or_else(|| unknown(job_id))?);
        self.read(&sql, &[&job_id.as_str()], of).await
    }

    async fn jobs(&self, page: JobPage) -> Result<Vec<JobSummary>, Error> {
        let before = page.before.as_ref().map(JobId::as_str);
        let jobs_max = signed_size(page.jobs_max);
        let jobs = self.read(&page_of_list(), &[&before, &jobs_max], |rows| all(rows, summary_of)).await?;
        // Nothing is before the first one, nor before one that is not there.
        if let (true, Some(before)) = (jobs.is_empty(), &page.before) {
            self.job(before).await?;
        }
        Ok(jobs)
    }

    async fn is_live(&self, job_id: &JobId) -> Result<bool, Error> {
        let sql = concat!("SELECT 1 FROM leases WHERE job_id = $1 AND ", lease_holds!());
        self.read(sql, &[&job_id.as_str()], |rows| Ok(!rows.is_empty())).await
    }

    /// Always none: it may be a process of another machine.
    async fn holder(&self, _: &JobId) -> Option<u32> {
        None
    }

    async fn request_cancel(&self, job_id: &JobId) -> Result<(), Error> {
        let sql = "UPDATE jobs SET cancel_requested = TRUE, \
                   state = CASE state WHEN 'IN_PROGRESS' THEN 'CANCELING' ELSE state END WHERE job_id = $1";
        self.write_once(sql, &[&job_id.as_str()], |_| Ok(())).await
    }

    async fn record_cancel_beat(&self, attempt: &Attempt) -> Result<(), Error> {
        // Counted from here, so that a try that is repeated is no beat of its own.
        let next = self.cancel_beats(attempt.job_id()).await? + 1;
        let sql = "UPDATE jobs SET cancel_beats = greatest(cancel_beats, $2) WHERE job_id = $1";
        self.write_as(attempt, sql, &[&attempt.job_id().as_str(), &next]).await
    }

    async fn cancel_beats(&self, job_id: &JobId) -> Result<i64, Error> {
        let sql = "SELECT cancel_beats FROM jobs WHERE job_id = $1";
        self.read(sql, &[&job_id.as_str()], |rows| get(rows.first().ok_or_else(|| unknown(job_id))?, 0)).await
    }

    async fn set_max_rate(&self, job_id: &JobId, max_rate: Option<String>) -> Result<(), Error> {
        let sql = "UPDATE jobs SET max_rate = $2 WHERE job_id = $1";
        self.write_once(sql, &[&job_id.as_str(), &max_rate], |_| Ok(())).await
    }

    async fn control(&self, job_id: &JobId) -> Result<Control, Error> {
        let sql = "SELECT cancel_requested, max_rate FROM jobs WHERE job_id = $1";
        self.read(sql, &[&job_id.as_str()], |rows| {
            let row = rows.first().ok_or_else(|| unknown(job_id))?;
            Ok(Control { cancel: get(row, 0)?, max_rate: get(row, 1)? })
        })
        .await
    }

    async fn record_bottleneck(&self, attempt: &Attempt, bottleneck: Option<String>) -> Result<(), Error> {
        let sql = "UPDATE jobs SET bottleneck = $2 WHERE job_id = $1";
        self.write_as(attempt, sql, &[&attempt.job_id().as_str(), &bottleneck]).await
    }

    async fn record_worked(
        &self,
        attempt: &Attempt,
        worked: Duration,
        collections: Vec<WorkedOn>,
    ) -> Result<(), Error> {
        let id = attempt.job_id().as_str();
        let positions: Vec<i64> = collections.iter().map(|on| at(on.position)).collect();
        let worked_on: Vec<i64> = collections.iter().map(|on| milliseconds(on.worked)).collect();
        let copied_for: Vec<i64> = collections.iter().map(|on| milliseconds(on.copied_for)).collect();
        self.write(|| async {
            let mut client = self.client().await?;
            let change = self.begin_as(&mut client, attempt).await?;
            let job = "UPDATE jobs SET worked_ms = $2 WHERE job_id = $1";
            change.execute(job, &[&id, &milliseconds(worked)]).await?;
            let each = "UPDATE collections SET worked_ms = new.worked_ms, copied_ms = new.copied_ms \
                        FROM unnest($2::bigint[], $3::bigint[], $4::bigint[]) AS new (position, worked_ms, copied_ms) \
                        WHERE job_id = $1 AND collections.position = new.position";
            change.execute(each, &[&id, &positions, &worked_on, &copied_for]).await?;
            change.commit(()).await
        })
        .await
    }

    async fn databases(&self, job_id: &JobId) -> Result<Vec<(String, bool)>, Error> {
        let sql = "SELECT name, created FROM databases WHERE job_id = $1 ORDER BY name";
        self.read(sql, &[&job_id.as_str()], |rows| all(rows, |row| Ok((get(row, 0)?, get(row, 1)?)))).await
    }

    async fn record_database(&self, attempt: &Attempt, name: &str) -> Result<(), Error> {
        self.set_database(attempt, name, true).await
    }

    async fn forget_database(&self, attempt: &Attempt, name: &str) -> Result<(), Error> {
        self.set_database(attempt, name, false).await
    }
}

impl PostgresStore {
    async fn set_database(&self, attempt: &Attempt, name: &str, created: bool) -> Result<(), Error> {
        let sql = "UPDATE databases SET created = $3 WHERE job_id = $1 AND name = $2";
        self.write_as(attempt, sql, &[&attempt.job_id().as_str(), &name, &created]).await
    }

    async fn begin_under_lease(&self, job_id: &JobId, lease: &Lease) -> Result<i64, Failure> {
        let id = job_id.as_str();
        let mut client = self.client().await?;
        let change = self.begin(&mut client).await?;
        let job = "SELECT attempt FROM jobs WHERE job_id = $1 FOR NO KEY UPDATE";
        let number: i64 = get(&change.row(job, &[&id]).await?.ok_or_else(|| unknown(job_id))?, 0)?;
        let held = concat!(
            "SELECT holder = $2 FROM leases WHERE job_id = $1 AND (holder = $2 OR ",
            lease_holds!(),
            ")"
        );
        if let Some(row) = change.row(held, &[&id, &lease.holder()]).await? {
            return match get(&row, 0)? {
                // By an earlier try.
                true => change.commit(number).await,
                false => Err(is_live(job_id).into()),
            };
        }
        let take = "INSERT INTO leases (job_id, holder, expires) \
                    VALUES ($1, $2, clock_timestamp() + $3::bigint * interval '1 millisecond') \
                    ON CONFLICT (job_id) DO UPDATE SET holder = excluded.holder, expires = excluded.expires";
        change.execute(take, &[&id, &lease.holder(), &TTL_MS]).await?;
        let begun = "UPDATE jobs SET attempt = $2, state = 'IN_PROGRESS', cancel_requested = FALSE, ended_at = NULL, \
                     bottleneck = NULL WHERE job_id = $1";
        change.execute(begun, &[&id, &(number + 1)]).await?;
        lose_writers_of_job(&change, job_id, number + 1).await?;
        change.commit(number + 1).await
    }
}

/// Ends an attempt, with what lists show of its job from now on.
pub(super) async fn end(
    change: &Change<'_>,
    attempt: &Attempt,
    state: JobState,
    report: &str,
    ended_at: &str,
) -> Result<(), Failure> {
    let sql = "UPDATE jobs j SET state = $2, report = $3, ended_at = $4, bottleneck = NULL, \
               collections_done = (SELECT count(*) FROM collections c WHERE c.job_id = j.job_id AND presence = 'here' \
                   AND done), \
               collections_total = (SELECT count(*) FROM collections c WHERE c.job_id = j.job_id AND presence = 'here'), \
               rows_done = (SELECT coalesce(sum(rows_written), 0) FROM splits s WHERE s.job_id = j.job_id), \
               rows_total = (SELECT coalesce(sum(c.rows_total), 0) FROM collections c WHERE c.job_id = j.job_id \
                   AND presence = 'here') \
               WHERE job_id = $1";
    change.execute(sql, &[&attempt.job_id().as_str(), &state.name(), &report, &ended_at]).await?;
    // Also those of other processes.
    lose_writers_of_job(change, attempt.job_id(), attempt.number()).await
}

fn is_live(job_id: &JobId) -> Error {
    Error::new(ErrorKind::JobIsLive, format!("another process is running job {job_id}"))
}

async fn create(change: &Change<'_>, job: &NewJob) -> Result<(), Failure> {
    let id = job.job_id.as_str();
    let rows_total: u64 = job.collections.iter().map(|collection| collection.rows_total).sum();
    let insert = "INSERT INTO jobs (job_id, state, source, target, request, plan, sample_seed, created_at, max_rate, \
                  collections_total, rows_total, kind) VALUES ($1, 'PENDING', $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
                  ON CONFLICT (job_id) DO NOTHING";
    let of: super::Of<'_> = &[
        &id,
        &job.source,
        &job.target,
        &job.request,
        &job.plan,
        &job.sample_seed.cast_signed(),
        &job.created_at,
        &job.max_rate,
        &signed_size(job.collections.len()),
        &rows_total.cast_signed(),
        &job.kind.name(),
    ];
    let inserted = change.execute(insert, of).await?;
    if inserted == 0 {
        return check_same(change, job).await;
    }
    let databases = "INSERT INTO databases (job_id, name) SELECT $1, unnest($2::text[])";
    change.execute(databases, &[&id, &job.databases]).await?;
    let sources: Vec<&str> = job.collections.iter().map(|new| new.source.as_str()).collect();
    let targets: Vec<&str> = job.collections.iter().map(|new| new.target.as_str()).collect();
    let rows: Vec<i64> = job.collections.iter().map(|new| new.rows_total.cast_signed()).collect();
    let collections = "INSERT INTO collections (job_id, position, source, target, rows_total) \
                       SELECT $1, place - 1, source, target, rows_total \
                       FROM unnest($2::text[], $3::text[], $4::bigint[]) WITH ORDINALITY \
                       AS new (source, target, rows_total, place)";
    change.execute(collections, &[&id, &sources, &targets, &rows]).await?;
    Ok(())
}

/// A job that is recorded already is this one, by an earlier try.
async fn check_same(change: &Change<'_>, job: &NewJob) -> Result<(), Failure> {
    let same = "SELECT 1 FROM jobs WHERE job_id = $1 AND source = $2 AND target = $3 AND request = $4 AND plan = $5 \
                AND sample_seed = $6 AND created_at = $7 AND kind = $8";
    let seed = job.sample_seed.cast_signed();
    let of: super::Of<'_> = &[
        &job.job_id.as_str(),
        &job.source,
        &job.target,
        &job.request,
        &job.plan,
        &seed,
        &job.created_at,
        &job.kind.name(),
    ];
    match change.row(same, of).await? {
        Some(_) => Ok(()),
        None => Err(damaged(&format!("another job has the ID {}", job.job_id))),
    }
}

fn job_of(row: &Row) -> Result<JobRecord, Failure> {
    Ok(JobRecord {
        job_id: job_id(row, 0)?,
        state: state(row, 1)?,
        attempt: get(row, 2)?,
        source: get(row, 3)?,
        target: get(row, 4)?,
        request: get(row, 5)?,
        plan: get(row, 6)?,
        sample_seed: unsigned(row, 7)?,
        read_timestamp: unsigned_or_none(row, 8)?,
        created_at: get(row, 9)?,
        ended_at: get(row, 10)?,
        report: get(row, 11)?,
        worked: duration(row, 12)?,
        kind: kind(row, 13)?,
    })
}

fn summary_of(row: &Row) -> Result<JobSummary, Failure> {
    Ok(JobSummary {
        job_id: job_id(row, 0)?,
        state: state(row, 1)?,
        attempt: get(row, 2)?,
        source: get(row, 3)?,
        target: get(row, 4)?,
        created_at: get(row, 5)?,
        ended_at: get(row, 6)?,
        collections_done: unsigned(row, 7)?,
        collections_total: unsigned(row, 8)?,
        rows_done: unsigned(row, 9)?,
        rows_total: unsigned(row, 10)?,
        max_rate: get(row, 11)?,
        bottleneck: get(row, 12)?,
        worked: duration(row, 13)?,
        kind: kind(row, 14)?,
        live: get(row, 15)?,
    })
}
