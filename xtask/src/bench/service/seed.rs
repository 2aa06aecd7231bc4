//! Many clusters and jobs, as copies of those that the service itself recorded: what it keeps of each is real, and only IDs,
//! times and outcomes differ. They are written between two starts of the service, in transactions of thousands of rows.

use std::time::{SystemTime, UNIX_EPOCH};

use vecferry_store::{Change, Store, Value};

use crate::Failure;

/// Rows of a transaction.
const ROWS_A_STEP: u32 = 2_000;
/// The jobs are spread over so much time before now.
const DAYS: i64 = 300;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// Jobs that are to start later do so in this time.
const LATER_MS: i64 = 25 * DAY_MS;
/// Clusters of a project.
const CLUSTERS_A_PROJECT: u32 = 10;
/// Whoever created jobs.
const ACTORS: u32 = 50;

/// Why a job failed, as it is recorded.
const REASON: &str =
    r#"[{"code":"VF-0101","message":"the source did not answer","message_zh":"源集群无应答"}]"#;

/// How many there are to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    /// Jobs at their end.
    pub(super) jobs: u32,
    pub(super) clusters: u32,
    /// Jobs that are to start later.
    pub(super) planned: u32,
}

impl Size {
    pub(super) fn projects(self) -> u32 {
        self.clusters.div_ceil(CLUSTERS_A_PROJECT)
    }
}

/// What is copied.
#[derive(Clone, Debug)]
pub(super) struct Original {
    pub(super) project_id: String,
    pub(super) cluster_id: String,
    pub(super) job_id: String,
}

pub(super) fn project_id(number: u32) -> String {
    format!("proj-{}", digits(number))
}

pub(super) fn cluster_id(number: u32) -> String {
    format!("vf-{}", digits(number))
}

pub(super) fn job_id(number: u32) -> String {
    format!("01900000-0000-7000-8000-0{number:011}")
}

pub(super) fn audit_id(number: u32) -> String {
    format!("audit-{}", digits(number))
}

pub(super) fn actor(number: u32) -> String {
    format!("user-{}", digits(number % ACTORS))
}

/// As an ID has them that was made before those of the service.
fn digits(number: u32) -> String {
    format!("019000000000700080000{number:011}")
}

/// The same in SQL, of an expression.
fn id(prefix: &str, number: &str) -> String {
    format!("'{prefix}' || substr(CAST(100000000000 + ({number}) AS TEXT), 2)")
}

fn project(number: &str) -> String {
    id("proj-019000000000700080000", number)
}

fn cluster(number: &str) -> String {
    id("vf-019000000000700080000", number)
}

const JOB: &str = "01900000-0000-7000-8000-0";

/// A table whose rows are copied: those that have a value in a column. What isn't set stays as it is.
struct Table {
    name: &'static str,
    of: (&'static str, String),
    set: Vec<(&'static str, String)>,
    kept: &'static [&'static str],
}

impl Table {
    fn sql(&self) -> String {
        let (columns, values): (Vec<_>, Vec<_>) =
            self.set.iter().map(|(column, value)| (*column, value.clone())).unzip();
        let columns: Vec<_> = columns.into_iter().chain(self.kept.iter().copied()).collect();
        let kept = self.kept.iter().map(|column| format!("t.{column}"));
        let values: Vec<_> = values.into_iter().chain(kept).collect();
        format!(
            "WITH RECURSIVE numbers (n) AS (SELECT CAST($1 AS BIGINT) UNION ALL SELECT n + 1 FROM numbers \
             WHERE n + 1 < CAST($2 AS BIGINT)) INSERT INTO {name} ({columns}) SELECT {values} \
             FROM numbers CROSS JOIN {name} t WHERE t.{column} = $3",
            name = self.name,
            columns = columns.join(", "),
            values = values.join(", "),
            column = self.of.0,
        )
    }

    fn change(&self, from: u32, to: u32) -> Change {
        let values = [Value::from(i64::from(from)), i64::from(to).into(), (&self.of.1).into()];
        Change::new(self.sql(), values).at_least_one()
    }
}

/// Writes all of them.
pub(super) async fn seed(store: &dyn Store, original: &Original, size: Size) -> Result<(), Failure> {
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    in_steps(store, &[projects(original)], 0, size.projects()).await?;
    in_steps(store, &[clusters(original, size, now)], 0, size.clusters).await?;
    let ended = [
        migrations(original, size, &Times::ended(size, now)),
        engine_jobs(original),
        engine_collections(original),
        audit(original, size, now),
    ];
    in_steps(store, &ended, 0, size.jobs).await?;
    let planned = [migrations(original, size, &Times::planned(now))];
    in_steps(store, &planned, size.jobs, size.jobs + size.planned).await
}

async fn in_steps(store: &dyn Store, tables: &[Table], from: u32, to: u32) -> Result<(), Failure> {
    for from in (from..to).step_by(ROWS_A_STEP as usize) {
        let to = to.min(from + ROWS_A_STEP);
        store.change(tables.iter().map(|table| table.change(from, to)).collect()).await?;
    }
    Ok(())
}

fn projects(original: &Original) -> Table {
    Table {
        name: "projects",
        of: ("project_id", original.project_id.clone()),
        set: vec![("project_id", project("n")), ("name", "'Project ' || CAST(n AS TEXT)".into())],
        kept: &["org_id", "created_ms"],
    }
}

fn clusters(original: &Original, size: Size, now: i64) -> Table {
    let (count, projects) = (size.clusters, size.projects());
    Table {
        name: "clusters",
        of: ("cluster_id", original.cluster_id.clone()),
        set: vec![
            ("cluster_id", cluster("n")),
            ("project_id", project(&format!("n % {projects}"))),
            ("name", "'Cluster ' || CAST(n AS TEXT)".into()),
            // They are looked at in turn, and not all in the same second.
            ("looked_ms", format!("CAST({now} AS BIGINT) - n * 60000 / {count}")),
        ],
        kept: &[
            "org_id",
            "description",
            "address",
            "deployment",
            "region",
            "cu_type",
            "cu_size",
            "cloud",
            "token",
            "ca_pem",
            "status",
            "version",
            "trouble",
            "created_ms",
            "removed_ms",
        ],
    }
}

/// What differs between jobs that ended and those that are to start.
struct Times {
    state: String,
    reason: String,
    wanted: &'static str,
    created: String,
    start: String,
    started: String,
    ended: String,
}

impl Times {
    fn ended(size: Size, now: i64) -> Self {
        let created = created(size, now);
        Self {
            state:
                "CASE WHEN n % 1000 = 7 THEN 'CANCELED' WHEN n % 20 = 1 THEN 'FAILED' ELSE 'SUCCESSFUL' END"
                    .into(),
            reason: format!("CASE WHEN n % 1000 <> 7 AND n % 20 = 1 THEN '{REASON}' END"),
            wanted: "NULL",
            start: created.clone(),
            started: format!("{created} + 500"),
            ended: format!("{created} + 60000 + n % 3600000"),
            created,
        }
    }

    fn planned(now: i64) -> Self {
        Self {
            state: "'PENDING'".into(),
            reason: "NULL".into(),
            wanted: "'run'",
            created: format!("CAST({now} AS BIGINT)"),
            start: format!("CAST({} AS BIGINT)", now + LATER_MS),
            started: "CAST(NULL AS BIGINT)".into(),
            ended: "CAST(NULL AS BIGINT)".into(),
        }
    }
}

/// When a job was created.
fn created(size: Size, now: i64) -> String {
    let (begin, apart) = (now - DAYS * DAY_MS, DAYS * DAY_MS / i64::from(size.jobs.max(1)));
    format!("CAST({begin} AS BIGINT) + n * {apart}")
}

fn migrations(original: &Original, size: Size, times: &Times) -> Table {
    let (clusters, projects) = (size.clusters, size.projects());
    let source = format!("(n * 7919) % {clusters}");
    let target = format!("(n * 7919 + 1 + n % 5) % {clusters}");
    Table {
        name: "migrations",
        of: ("job_id", original.job_id.clone()),
        set: vec![
            ("job_id", id(JOB, "n")),
            ("project_id", project(&format!("({target}) % {projects}"))),
            ("source_project_id", project(&format!("({source}) % {projects}"))),
            ("source_cluster_id", cluster(&source)),
            ("target_cluster_id", cluster(&target)),
            ("state", times.state.clone()),
            ("told", times.state.clone()),
            ("reason", times.reason.clone()),
            ("wanted", times.wanted.into()),
            ("created_ms", times.created.clone()),
            ("start_ms", times.start.clone()),
            ("started_ms", times.started.clone()),
            ("ended_ms", times.ended.clone()),
        ],
        kept: &[
            "org_id",
            "source_address",
            "target_address",
            "request",
            "progress",
            "checks",
            "created_by",
            "holder",
            "held_until_ms",
        ],
    }
}

/// What the engine keeps of a job.
fn engine_jobs(original: &Original) -> Table {
    Table {
        name: "jobs",
        of: ("job_id", original.job_id.clone()),
        set: vec![("job_id", id(JOB, "n"))],
        kept: &[
            "state",
            "attempt",
            "source",
            "target",
            "request",
            "plan",
            "sample_seed",
            "read_timestamp",
            "created_at",
            "ended_at",
            "report",
            "worked_ms",
            "collections_done",
            "collections_total",
            "rows_done",
            "rows_total",
        ],
    }
}

fn engine_collections(original: &Original) -> Table {
    Table {
        name: "collections",
        of: ("job_id", original.job_id.clone()),
        set: vec![("job_id", id(JOB, "n"))],
        kept: &[
            "position",
            "source",
            "target",
            "rows_total",
            "creation_intended",
            "creation_timestamp",
            "target_id",
            "source_counts",
            "splits_planned",
            "copied",
            "done",
            "report",
            "worked_ms",
            "copied_ms",
        ],
    }
}

fn audit(original: &Original, size: Size, now: i64) -> Table {
    Table {
        name: "audit",
        of: ("object", original.job_id.clone()),
        set: vec![
            ("audit_id", id("audit-019000000000700080000", "n")),
            ("at_ms", created(size, now)),
            ("actor", id("user-019000000000700080000", &format!("n % {ACTORS}"))),
            (
                "action",
                "CASE WHEN n % 1000 = 7 THEN 'POST /v2/jobs/{jobId}/cancel' ELSE 'POST /v2/migrations/toExisting' END"
                    .into(),
            ),
            ("object", id(JOB, "n")),
        ],
        kept: &["org_id", "outcome", "address", "request_id"],
    }
}
