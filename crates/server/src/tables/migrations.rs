//! Migration jobs as the service knows them: whose they are, what was asked for, and which process has them. What the
//! engine does is in the engine's own record, under the same ID.

use std::collections::BTreeMap;

use vecferry_migrate::JobState;
use vecferry_store::{Change, Error, ErrorKind, JobKind, Record, Value};

use super::drafts::removed;
use super::idempotency::still_reserved;
use super::rounds::WantedRound;
use super::webhooks::state_told;
use super::{CLOCK_STEP_MS, Tables, unknown};

/// What somebody wants of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// That it runs, or goes on.
    Run,
    /// That it ends.
    Cancel,
    /// That it ends, and that what it made on the target is removed.
    Clean,
}

impl Wanted {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Cancel => "cancel",
            Self::Clean => "clean",
        }
    }

    fn of_name(name: &str) -> Option<Self> {
        [Self::Run, Self::Cancel, Self::Clean].into_iter().find(|wanted| wanted.name() == name)
    }
}

/// Where a job's source is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MigrationSource {
    /// Registered in the same organization.
    Cluster { cluster_id: String, project_id: String },
    /// Somewhere else; how to be let in is encrypted, and erased at the end of the job.
    Elsewhere { secret: Option<Vec<u8>> },
}

/// A job to be recorded.
#[derive(Clone, Debug)]
pub(crate) struct NewMigration {
    pub(crate) job_id: String,
    pub(crate) org_id: String,
    /// The target's project.
    pub(crate) project_id: String,
    pub(crate) source: MigrationSource,
    pub(crate) source_address: String,
    pub(crate) target_cluster_id: String,
    pub(crate) target_address: String,
    pub(crate) kind: JobKind,
    /// What was asked for, as JSON, without secrets.
    pub(crate) request: String,
    pub(crate) created_by: String,
    /// When it is to start.
    pub(crate) start_ms: i64,
    /// What the check came to, for a start at a later time.
    pub(crate) checks: Option<String>,
}

/// What is recorded along with a job, in one transaction: none of it is without the others.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Along<'a> {
    /// The name of the request that makes it: organization, caller and name.
    pub(crate) request: Option<(&'a str, &'a str, &'a str)>,
    /// The draft that it was, which is removed.
    pub(crate) draft_id: Option<&'a str>,
}

/// A job as recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MigrationRecord {
    pub(crate) job_id: String,
    pub(crate) org_id: String,
    pub(crate) project_id: String,
    pub(crate) source: MigrationSource,
    pub(crate) source_address: String,
    pub(crate) target_cluster_id: String,
    pub(crate) target_address: String,
    pub(crate) kind: JobKind,
    pub(crate) request: String,
    pub(crate) state: JobState,
    pub(crate) wanted: Option<Wanted>,
    /// The round that it runs for; none for its copy.
    pub(crate) next_round: Option<WantedRound>,
    /// In percent.
    pub(crate) progress: i64,
    /// Why it is not successful, as a JSON list of problems.
    pub(crate) reason: Option<String>,
    /// Whether it was checked and planned when it was created, for a start at a later time.
    pub(crate) is_planned: bool,
    pub(crate) created_by: String,
    pub(crate) created_ms: i64,
    pub(crate) start_ms: i64,
    pub(crate) started_ms: Option<i64>,
    pub(crate) ended_ms: Option<i64>,
    /// The process that has it.
    pub(crate) holder: Option<String>,
}

impl MigrationRecord {
    /// The projects that the job is in: the target's, and the source's where that is registered.
    pub(crate) fn projects(&self) -> impl Iterator<Item = &str> {
        let of_source = match &self.source {
            MigrationSource::Cluster { project_id, .. } => Some(project_id.as_str()),
            MigrationSource::Elsewhere { .. } => None,
        };
        std::iter::once(self.project_id.as_str()).chain(of_source)
    }
}

/// What of a job changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stand {
    state: String,
    progress: i64,
    wanted: Option<String>,
    is_held: bool,
    /// When it is to start, started, and ended.
    times: (i64, Option<i64>, Option<i64>),
}

/// Which jobs, newest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct MigrationPage {
    /// Only those into or out of these projects.
    pub(crate) projects: Option<Vec<String>>,
    /// Only those in one of these states, where there are any.
    pub(crate) states: Vec<JobState>,
    /// Only those with this cluster on one side.
    pub(crate) cluster_id: Option<String>,
    /// Only those whose ID, addresses or names of clusters hold this.
    pub(crate) search: Option<String>,
    /// Only older ones.
    pub(crate) before: Option<String>,
    pub(crate) rows: i64,
}

/// How many jobs may run at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueLimits {
    pub(crate) jobs_max: i64,
    pub(crate) per_organization_max: i64,
    pub(crate) per_target_max: i64,
    pub(crate) per_source_max: i64,
}

/// A job that was taken.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) record: MigrationRecord,
    pub(crate) wanted: Wanted,
}

const COLUMNS: &str = "job_id, org_id, project_id, source_project_id, source_cluster_id, source_secret, \
    source_address, target_cluster_id, target_address, request, state, wanted, progress, reason, checks IS NOT NULL, created_by, \
    created_ms, start_ms, started_ms, ended_ms, holder, kind, next_round";

/// Of so many projects, each is looked for by itself. More of them have so many of the jobs of an organization that a page is
/// full soon.
const BRANCHED_PROJECTS_MAX: usize = 8;

/// The next job, which nobody holds: no claim ends further ahead than `$6`, unless the clock was set back since. It is one that is to end, which holds nobody up, or one that may start and for which there is room.
fn next() -> String {
    let held = |of: &str| {
        format!(
            "(SELECT COUNT(*) FROM migrations h WHERE h.holder IS NOT NULL AND h.held_until_ms BETWEEN $1 AND $6{of})"
        )
    };
    let (all, organization) = (held(""), held(" AND h.org_id = m.org_id"));
    let target = held(" AND h.target_address = m.target_address");
    let source = held(" AND h.source_address = m.source_address");
    format!(
        "SELECT {COLUMNS} FROM migrations m WHERE wanted IS NOT NULL AND held_until_ms NOT BETWEEN $1 AND $6 AND (wanted IN ('cancel', 'clean') \
         OR (start_ms <= $1 AND {all} < $2 AND {organization} < $3 AND {target} < $4 AND {source} < $5)) \
         ORDER BY start_ms, job_id LIMIT 1"
    )
}

/// Where a search looks.
const SEARCHED: &str = concat!(
    r"(job_id LIKE ? ESCAPE '\' OR lower(source_address) LIKE ? ESCAPE '\' ",
    r"OR lower(target_address) LIKE ? ESCAPE '\' OR EXISTS (SELECT 1 FROM clusters c WHERE ",
    r"(c.cluster_id = source_cluster_id OR c.cluster_id = target_cluster_id) AND lower(c.name) LIKE ? ESCAPE '\'))",
);

/// What holds a text somewhere.
fn pattern(text: &str) -> String {
    let mut pattern = String::from("%");
    for character in text.chars().flat_map(char::to_lowercase) {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

fn read(record: &Record) -> Result<MigrationRecord, Error> {
    let source = match (record.text_or_none(4)?, record.text_or_none(3)?) {
        (Some(cluster_id), Some(project_id)) => MigrationSource::Cluster { cluster_id, project_id },
        _ => MigrationSource::Elsewhere { secret: record.bytes_or_none(5)? },
    };
    let (state, wanted) = (record.text(10)?, record.text_or_none(11)?);
    let kind = record.text(21)?;
    Ok(MigrationRecord {
        job_id: record.text(0)?,
        org_id: record.text(1)?,
        project_id: record.text(2)?,
        source,
        source_address: record.text(6)?,
        target_cluster_id: record.text(7)?,
        target_address: record.text(8)?,
        kind: JobKind::of_name(&kind).ok_or_else(|| unknown("kind", kind))?,
        request: record.text(9)?,
        state: JobState::of_name(&state).ok_or_else(|| unknown("state", state))?,
        wanted: wanted.map(|name| Wanted::of_name(&name).ok_or_else(|| unknown("wish", name))).transpose()?,
        progress: record.integer(12)?,
        reason: record.text_or_none(13)?,
        is_planned: record.flag(14)?,
        created_by: record.text(15)?,
        created_ms: record.integer(16)?,
        start_ms: record.integer(17)?,
        started_ms: record.integer_or_none(18)?,
        ended_ms: record.integer_or_none(19)?,
        holder: record.text_or_none(20)?,
        next_round: record.text_or_none(22)?.as_deref().map(WantedRound::of_text).transpose()?,
    })
}

/// Values of a query, and their places in it.
#[derive(Debug, Default)]
struct Places(Vec<Value>);

impl Places {
    fn of(&mut self, value: impl Into<Value>) -> String {
        self.0.push(value.into());
        format!("${}", self.0.len())
    }
}

/// The query for a page. Whoever asks for the jobs of a cluster or of few projects looks for each of them in an index of its
/// own, in which the newest come first: one condition with `OR` would be looked for among all jobs of the organization.
fn page_of_list(org_id: &str, page: &MigrationPage) -> (String, Vec<Value>) {
    let mut places = Places::default();
    let org = places.of(org_id);
    let projects: Vec<_> = page.projects.iter().flatten().map(|id| places.of(id)).collect();
    let mut more = String::new();
    if !page.states.is_empty() {
        let states: Vec<_> = page.states.iter().map(|state| places.of(state.name())).collect();
        more.push_str(&format!(" AND state IN ({})", states.join(", ")));
    }
    if let Some(search) = &page.search {
        let place = places.of(pattern(search));
        more.push_str(&format!(" AND {}", SEARCHED.replace('?', &place)));
    }
    if let Some(before) = &page.before {
        more.push_str(&format!(" AND job_id < {}", places.of(before)));
    }
    let of_cluster = page.cluster_id.as_ref().map(|cluster_id| places.of(cluster_id));
    let branches: Vec<_> = match &of_cluster {
        Some(cluster) => on_either_side(cluster, ["source_cluster_id", "target_cluster_id"]).into(),
        None if projects.len() > BRANCHED_PROJECTS_MAX => Vec::new(),
        None => {
            projects.iter().flat_map(|id| on_either_side(id, ["project_id", "source_project_id"])).collect()
        }
    };
    // What the branches say of projects already need not be said again.
    if !projects.is_empty() && (of_cluster.is_some() || branches.is_empty()) {
        let list = projects.join(", ");
        more.push_str(&format!(" AND (project_id IN ({list}) OR source_project_id IN ({list}))"));
    }
    let end = format!("ORDER BY job_id DESC LIMIT {}", places.of(page.rows));
    let found = if branches.is_empty() {
        more
    } else {
        let branch = |(number, of): (usize, &String)| {
            format!(
                "SELECT job_id FROM (SELECT job_id FROM migrations WHERE {of}{more} {end}) AS branch_{number}"
            )
        };
        let branches: Vec<_> = branches.iter().enumerate().map(branch).collect();
        // The limit tells a database without statistics that few are found, so that it looks for each of them.
        format!(" AND job_id IN (SELECT job_id FROM ({}) AS found {end})", branches.join(" UNION "))
    };
    (format!("SELECT {COLUMNS} FROM migrations WHERE org_id = {org}{found} {end}"), places.0)
}

/// Conditions that together find what has a value on one side or the other.
fn on_either_side(value: &str, sides: [&str; 2]) -> [String; 2] {
    sides.map(|side| format!("{side} = {value}"))
}

/// The purpose that the access to a source elsewhere is encrypted for.
pub(crate) fn source_purpose(job_id: &str) -> String {
    format!("job/{job_id}/source")
}

impl Tables {
    /// Records a job that is to run, if its clusters still are registered, its request still has its name and its draft is
    /// still there: otherwise [`ErrorKind::Unmet`].
    pub(crate) async fn add_migration(&self, job: NewMigration, along: Along<'_>) -> Result<(), Error> {
        let now = self.now_ms().await?;
        let (cluster_id, source_project, secret) = match job.source {
            MigrationSource::Cluster { cluster_id, project_id } => (Some(cluster_id), Some(project_id), None),
            MigrationSource::Elsewhere { secret } => (None, None, secret),
        };
        // Clusters are touched, so that their removal and this can't both succeed.
        let touched = |cluster_id: &str| {
            let sql = "UPDATE clusters SET name = name WHERE cluster_id = $1 AND removed_ms IS NULL";
            Change::new(sql, [cluster_id.into()]).exactly(1)
        };
        let job_id = job.job_id.clone();
        let mut changes = vec![touched(&job.target_cluster_id)];
        changes.extend(cluster_id.as_deref().map(touched));
        changes.extend(along.request.map(|of| still_reserved(of, &job_id)));
        changes.extend(along.draft_id.map(|draft_id| removed(draft_id).exactly(1)));
        let values: [Value; 17] = [
            job.job_id.into(),
            job.org_id.into(),
            job.project_id.into(),
            source_project.into(),
            cluster_id.into(),
            job.target_cluster_id.into(),
            job.source_address.into(),
            job.target_address.into(),
            secret.into(),
            job.request.into(),
            JobState::Pending.name().into(),
            Wanted::Run.name().into(),
            job.created_by.into(),
            now.into(),
            job.start_ms.into(),
            job.checks.into(),
            job.kind.name().into(),
        ];
        changes.push(Change::new(
            "INSERT INTO migrations (job_id, org_id, project_id, source_project_id, source_cluster_id, \
             target_cluster_id, source_address, target_address, source_secret, request, state, wanted, created_by, \
             created_ms, start_ms, checks, kind, progress, held_until_ms) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, 0, 0)",
            values,
        ));
        changes.extend(state_told(&job_id, now));
        self.change(changes).await.map(drop)
    }

    /// Changes one job that meets the condition of a statement, and has the change of its state told in the same
    /// transaction. Tells whether it met it.
    async fn change_state(&self, job_id: &str, now_ms: i64, change: Change) -> Result<bool, Error> {
        let [told, noted] = state_told(job_id, now_ms);
        match self.change([change.exactly(1), told, noted]).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::Unmet => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A job of an organization.
    pub(crate) async fn migration(
        &self,
        org_id: &str,
        job_id: &str,
    ) -> Result<Option<MigrationRecord>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM migrations WHERE job_id = $1 AND org_id = $2");
        self.row(&sql, [job_id.into(), org_id.into()], read).await
    }

    /// A job of any organization, for what the service does by itself.
    pub(crate) async fn any_migration(&self, job_id: &str) -> Result<Option<MigrationRecord>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM migrations WHERE job_id = $1");
        self.row(&sql, [job_id.into()], read).await
    }

    /// A page of the jobs of an organization.
    pub(crate) async fn migrations(
        &self,
        org_id: &str,
        page: MigrationPage,
    ) -> Result<Vec<MigrationRecord>, Error> {
        if page.projects.as_ref().is_some_and(Vec::is_empty) {
            return Ok(Vec::new());
        }
        let (sql, values) = page_of_list(org_id, &page);
        self.rows(&sql, values, read).await
    }

    /// Says what is wanted of a job that is in one of some states. Tells whether it was. A job that is to go on was started by
    /// whoever says so, and not by its time.
    pub(crate) async fn want(
        &self,
        job_id: &str,
        wanted: Wanted,
        states: &[JobState],
    ) -> Result<bool, Error> {
        self.want_with(job_id, wanted, states, None).await
    }

    /// The same, for a round where one is given.
    pub(super) async fn want_with(
        &self,
        job_id: &str,
        wanted: Wanted,
        states: &[JobState],
        next_round: Option<String>,
    ) -> Result<bool, Error> {
        let names: Vec<_> = states.iter().map(|state| format!("'{}'", state.name())).collect();
        let state = match wanted {
            Wanted::Run => JobState::Pending,
            Wanted::Cancel | Wanted::Clean => JobState::Canceling,
        };
        let now = self.now_ms().await?;
        let sql = format!(
            "UPDATE migrations SET wanted = CASE WHEN wanted = 'clean' AND $2 = 'cancel' THEN wanted ELSE $2 END, \
             state = $3, next_round = $5, ended_ms = NULL, start_ms = CASE WHEN $2 = 'run' THEN $4 ELSE start_ms END, \
             started_ms = CASE WHEN $2 = 'run' AND started_ms IS NULL THEN $4 ELSE started_ms END \
             WHERE job_id = $1 AND state IN ({})",
            names.join(", ")
        );
        let values =
            [job_id.into(), wanted.name().into(), state.name().into(), now.into(), next_round.into()];
        self.change_state(job_id, now, Change::new(sql, values)).await
    }

    /// Takes the next job that may be worked on, for a process and for a time. Jobs that were to be worked on by a process
    /// whose time is over are among them.
    pub(crate) async fn take_migration(
        &self,
        holder: &str,
        held_ms: i64,
        limits: QueueLimits,
    ) -> Result<Option<Taken>, Error> {
        let now = self.now_ms().await?;
        let turn = "SELECT turn FROM queue WHERE name = 'jobs'";
        let turn = self.row(turn, [], |record| record.integer(0)).await?.unwrap_or(0);
        let claims_end = now.saturating_add(CLOCK_STEP_MS);
        let values = [
            now.into(),
            limits.jobs_max.into(),
            limits.per_organization_max.into(),
            limits.per_target_max.into(),
            limits.per_source_max.into(),
            claims_end.into(),
        ];
        let Some(job) = self.row(&next(), values, read).await? else { return Ok(None) };
        let Some(wanted) = job.wanted else { return Ok(None) };
        let values = [
            (&job.job_id).into(),
            holder.into(),
            now.saturating_add(held_ms).into(),
            wanted.name().into(),
            now.into(),
            claims_end.into(),
        ];
        // Counting and taking are one step: whoever took a job meanwhile had the turn.
        let taken = self
            .change([
                Change::new(
                    "UPDATE queue SET turn = turn + 1 WHERE name = 'jobs' AND turn = $1",
                    [turn.into()],
                )
                .exactly(1),
                Change::new(
                    "UPDATE migrations SET holder = $2, held_until_ms = $3 \
                     WHERE job_id = $1 AND wanted = $4 AND held_until_ms NOT BETWEEN $5 AND $6",
                    values,
                )
                .exactly(1),
            ])
            .await;
        match taken {
            Ok(_) => Ok(Some(Taken { record: job, wanted })),
            Err(error) if error.kind() == ErrorKind::Unmet => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Holds a job for longer. Tells what is wanted of it now; none where another process has it.
    pub(crate) async fn hold(
        &self,
        job_id: &str,
        holder: &str,
        held_ms: i64,
    ) -> Result<Option<Option<Wanted>>, Error> {
        let until = self.now_ms().await?.saturating_add(held_ms);
        let sql = "UPDATE migrations SET held_until_ms = $3 WHERE job_id = $1 AND holder = $2";
        let held = self.change([Change::new(sql, [job_id.into(), holder.into(), until.into()])]).await?;
        if held.first() != Some(&1) {
            return Ok(None);
        }
        let sql = "SELECT wanted FROM migrations WHERE job_id = $1";
        let wanted = self.row(sql, [job_id.into()], |record| record.text_or_none(0)).await?;
        Ok(Some(wanted.flatten().as_deref().and_then(Wanted::of_name)))
    }

    /// Gives a job back, which may be taken again after a time.
    pub(crate) async fn release(&self, job_id: &str, holder: &str, after_ms: i64) -> Result<(), Error> {
        let free_at = self.now_ms().await?.saturating_add(after_ms);
        let sql = "UPDATE migrations SET holder = NULL, held_until_ms = $3 WHERE job_id = $1 AND holder = $2";
        self.change([Change::new(sql, [job_id.into(), holder.into(), free_at.into()])]).await.map(drop)
    }

    /// Ends all claims of a process that is gone: its jobs may be taken at once, and its tasks have failed.
    pub(crate) async fn release_all(&self, holder: &str) -> Result<(), Error> {
        let now = self.now_ms().await?;
        let jobs = "UPDATE migrations SET holder = NULL, held_until_ms = 0 WHERE holder = $1";
        let tasks = "UPDATE tasks SET held_until_ms = $2 \
            WHERE holder = $1 AND state = 'IN_PROGRESS' AND held_until_ms >= $2";
        let tasks = Change::new(tasks, [holder.into(), now.saturating_sub(1).into()]);
        self.change([Change::new(jobs, [holder.into()]), tasks]).await.map(drop)
    }

    /// Records that the process that holds a job began to work on it.
    pub(crate) async fn record_start(&self, job_id: &str, holder: &str) -> Result<bool, Error> {
        let now = self.now_ms().await?;
        let sql = "UPDATE migrations SET state = $3, started_ms = CASE WHEN started_ms IS NULL THEN $4 ELSE started_ms END, \
            ended_ms = NULL, reason = NULL WHERE job_id = $1 AND holder = $2 AND wanted = 'run'";
        let values = [job_id.into(), holder.into(), JobState::InProgress.name().into(), now.into()];
        self.change_state(job_id, now, Change::new(sql, values)).await
    }

    /// Records how far a job is, in percent.
    pub(crate) async fn record_progress(
        &self,
        job_id: &str,
        holder: &str,
        percent: i64,
    ) -> Result<(), Error> {
        let sql = "UPDATE migrations SET progress = $3 WHERE job_id = $1 AND holder = $2 AND progress <> $3";
        self.change([Change::new(sql, [job_id.into(), holder.into(), percent.into()])]).await.map(drop)
    }

    /// Records the end of a job, or that it is ready for its next round. Access to a source elsewhere is erased at the end, and
    /// kept for the next round. A job that is to be cleaned up is at its end only when that was tried.
    pub(crate) async fn record_end(
        &self,
        (job_id, holder): (&str, &str),
        tried: Wanted,
        state: JobState,
        (progress, reason): (i64, Option<String>),
    ) -> Result<bool, Error> {
        let now = self.now_ms().await?;
        let sql = "UPDATE migrations SET state = $3, progress = $4, reason = $5, ended_ms = $6, wanted = NULL, \
            next_round = NULL, holder = NULL, held_until_ms = 0, source_secret = CASE WHEN $3 = 'READY' THEN source_secret END \
            WHERE job_id = $1 AND holder = $2 AND (wanted = $7 OR wanted <> 'clean')";
        let values = [
            job_id.into(),
            holder.into(),
            state.name().into(),
            progress.into(),
            reason.into(),
            now.into(),
            tried.name().into(),
        ];
        self.change_state(job_id, now, Change::new(sql, values)).await
    }

    /// Gives a job access to its source elsewhere again.
    pub(crate) async fn set_source_secret(&self, job_id: &str, secret: Vec<u8>) -> Result<(), Error> {
        let sql = "UPDATE migrations SET source_secret = $2 WHERE job_id = $1";
        self.change([Change::new(sql, [job_id.into(), secret.into()]).exactly(1)]).await.map(drop)
    }

    /// What of a job tells that something of it changed: less than its record, for those who look again and again.
    pub(crate) async fn stand(&self, org_id: &str, job_id: &str) -> Result<Option<Stand>, Error> {
        let sql = "SELECT state, progress, wanted, holder IS NOT NULL, start_ms, started_ms, ended_ms \
            FROM migrations WHERE org_id = $1 AND job_id = $2";
        let read = |record: &Record| {
            Ok(Stand {
                state: record.text(0)?,
                progress: record.integer(1)?,
                wanted: record.text_or_none(2)?,
                is_held: record.flag(3)?,
                times: (record.integer(4)?, record.integer_or_none(5)?, record.integer_or_none(6)?),
            })
        };
        self.row(sql, [org_id.into(), job_id.into()], read).await
    }

    /// The plan of a job that was made when it was created, with its checks; none of one that was to start at once.
    pub(crate) async fn plan_of(&self, job_id: &str) -> Result<Option<String>, Error> {
        let sql = "SELECT checks FROM migrations WHERE job_id = $1";
        Ok(self.row(sql, [job_id.into()], |record| record.text_or_none(0)).await?.flatten())
    }

    /// Records what was looked at before a job's first write, as a JSON list of checks.
    pub(crate) async fn record_checks(&self, job_id: &str, checks: String) -> Result<(), Error> {
        let now = self.now_ms().await?;
        let sql = "UPDATE migrations SET looked_at = $2, looked_ms = $3 WHERE job_id = $1";
        self.change([Change::new(sql, [job_id.into(), checks.into(), now.into()])]).await.map(drop)
    }

    /// What was looked at before a job's first write, and when, where that is known.
    pub(crate) async fn checks_of(&self, job_id: &str) -> Result<Option<(String, Option<i64>)>, Error> {
        let sql = "SELECT looked_at, looked_ms FROM migrations WHERE job_id = $1";
        let read = |record: &Record| Ok((record.text_or_none(0)?, record.integer_or_none(1)?));
        let found = self.row(sql, [job_id.into()], read).await?;
        Ok(found.and_then(|(checks, at_ms)| Some((checks?, at_ms))))
    }

    /// Names of what jobs are about, by ID: clusters, also those that were removed, people and keys.
    pub(crate) async fn names(
        &self,
        org_id: &str,
        ids: impl IntoIterator<Item = &str>,
    ) -> Result<BTreeMap<String, String>, Error> {
        let mut ids: Vec<_> = ids.into_iter().collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            return Ok(BTreeMap::new());
        }
        let places: Vec<_> = (2..ids.len() + 2).map(|place| format!("${place}")).collect();
        let places = places.join(", ");
        let sql = format!(
            "SELECT cluster_id, name FROM clusters WHERE org_id = $1 AND cluster_id IN ({places}) \
             UNION ALL SELECT key_id, name FROM api_keys WHERE org_id = $1 AND key_id IN ({places}) \
             UNION ALL SELECT u.user_id, u.name FROM users u JOIN members m ON m.user_id = u.user_id \
             WHERE m.org_id = $1 AND u.user_id IN ({places})"
        );
        let values = std::iter::once(org_id).chain(ids).map(Value::from);
        let named = self.rows(&sql, values, |record| Ok((record.text(0)?, record.text(1)?))).await?;
        Ok(named.into_iter().collect())
    }

    /// How many jobs of an organization are worked on out of a source and into a target, by their addresses.
    pub(crate) async fn held_with(
        &self,
        org_id: &str,
        (source, target): (&str, &str),
    ) -> Result<(i64, i64), Error> {
        let sql = "SELECT (SELECT COUNT(*) FROM migrations WHERE org_id = $1 AND holder IS NOT NULL AND source_address = $2), \
            (SELECT COUNT(*) FROM migrations WHERE org_id = $1 AND holder IS NOT NULL AND target_address = $3)";
        let values = [org_id.into(), source.into(), target.into()];
        let held = self.row(sql, values, |record| Ok((record.integer(0)?, record.integer(1)?))).await?;
        Ok(held.unwrap_or((0, 0)))
    }

    /// Jobs by state, for metrics: how many wait, and how many are held.
    pub(crate) async fn queue_lengths(&self) -> Result<(i64, i64), Error> {
        let sql = "SELECT (SELECT COUNT(*) FROM migrations WHERE wanted IS NOT NULL AND holder IS NULL), \
            (SELECT COUNT(*) FROM migrations WHERE holder IS NOT NULL)";
        let lengths = self.row(sql, [], |record| Ok((record.integer(0)?, record.integer(1)?))).await?;
        Ok(lengths.unwrap_or((0, 0)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::webhooks::tests::on_both;
    use super::*;

    const JOBS: usize = 90;
    const PROJECTS: usize = 12;

    /// A job whose columns follow from its number.
    fn numbered(org_id: &str, number: usize) -> Change {
        let state = [JobState::Successful, JobState::Failed, JobState::Canceled][number % 3];
        let (source_project, source_cluster) = match number % 4 {
            0 => (None, None),
            _ => (Some(project(number * 5)), Some(cluster(number * 7))),
        };
        // A tenth is of another organization, which has projects and clusters of its own.
        let (org, of) = if number % 10 == 9 { ("org-other", "other-") } else { (org_id, "") };
        let own = |id: String| format!("{of}{id}");
        let values: [Value; 7] = [
            format!("job-{number:03}").into(),
            org.into(),
            own(project(number)).into(),
            source_project.map(own).into(),
            source_cluster.map(own).into(),
            own(cluster(number)).into(),
            state.name().into(),
        ];
        Change::new(
            "INSERT INTO migrations (job_id, org_id, project_id, source_project_id, source_cluster_id, \
             target_cluster_id, state, source_address, target_address, request, created_by, created_ms, start_ms, \
             progress, held_until_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, '', '', '{}', '', 0, 0, 0, 0)",
            values,
        )
    }

    fn project(number: usize) -> String {
        format!("proj-{}", number % PROJECTS)
    }

    fn cluster(number: usize) -> String {
        format!("vf-{}", number % 5)
    }

    fn is_on(page: &MigrationPage, job: &MigrationRecord) -> bool {
        let source = match &job.source {
            MigrationSource::Cluster { cluster_id, .. } => Some(cluster_id),
            MigrationSource::Elsewhere { .. } => None,
        };
        let has = |wanted: &String| source == Some(wanted) || *wanted == job.target_cluster_id;
        let sees = |projects: &Vec<String>| job.projects().any(|id| projects.iter().any(|seen| seen == id));
        (page.states.is_empty() || page.states.contains(&job.state))
            && page.cluster_id.as_ref().is_none_or(has)
            && page.before.as_ref().is_none_or(|before| job.job_id < *before)
            && page.projects.as_ref().is_none_or(sees)
    }

    #[tokio::test]
    async fn a_page_has_the_newest_jobs_that_pass_all_filters() {
        on_both(a_page_has_the_newest_jobs_that_pass_all_filters_on).await;
    }

    async fn a_page_has_the_newest_jobs_that_pass_all_filters_on(tables: Tables, org_id: String) {
        tables.change((0..JOBS).map(|number| numbered(&org_id, number))).await.unwrap();
        let all = MigrationPage { rows: 1000, ..MigrationPage::default() };
        let all = tables.migrations(&org_id, all).await.unwrap();
        assert_eq!(all.len(), JOBS * 9 / 10 + 1, "and the one that was there");
        let some = |count: usize| Some((0..count).map(project).collect::<Vec<_>>());
        for projects in [None, some(0), some(1), some(3), some(PROJECTS)] {
            for states in [vec![], vec![JobState::Failed], vec![JobState::InProgress, JobState::Pending]] {
                for cluster_id in [None, Some(cluster(2)), Some("vf-none".to_owned())] {
                    for (before, rows) in [(None, 4), (Some("job-040".to_owned()), 100), (None, 1000)] {
                        let (projects, cluster_id) = (projects.clone(), cluster_id.clone());
                        let states = states.clone();
                        let page = MigrationPage { projects, states, cluster_id, search: None, before, rows };
                        let expected = all.iter().filter(|job| is_on(&page, job)).cloned();
                        let expected: Vec<_> = expected.take(page.rows as usize).collect();
                        let told = format!("{page:?}");
                        assert_eq!(tables.migrations(&org_id, page).await.unwrap(), expected, "{told}");
                    }
                }
            }
        }
    }
}
