//! Jobs: made, begun, ended, canceled, listed.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::attempt::Attempt;
use crate::collections::NewCollectionRecord;
use crate::error::Error;
use crate::id::{JobId, Position};

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum JobState {
    /// It is recorded, and nothing was done yet.
    Pending,
    /// An attempt began.
    InProgress,
    /// It was asked to end, and is not at its end yet.
    Canceling,
    /// Everything was copied while the source still changed; what changed since and the switch are left to do.
    Ready,
    /// Everything arrived.
    Successful,
    /// It ended without success.
    Failed,
    /// It was ended on request.
    Canceled,
}

impl JobState {
    /// All states.
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::InProgress,
        Self::Canceling,
        Self::Ready,
        Self::Successful,
        Self::Failed,
        Self::Canceled,
    ];

    /// The name, as it is recorded and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::InProgress => "IN_PROGRESS",
            Self::Canceling => "CANCELING",
            Self::Ready => "READY",
            Self::Successful => "SUCCESSFUL",
            Self::Failed => "FAILED",
            Self::Canceled => "CANCELED",
        }
    }

    /// The state of a name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether an attempt may be under way.
    pub fn is_open(self) -> bool {
        match self {
            Self::InProgress | Self::Canceling => true,
            Self::Pending | Self::Ready | Self::Successful | Self::Failed | Self::Canceled => false,
        }
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// How a job copies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// In one go, while nobody writes to the source.
    #[default]
    Plain,
    /// In rounds, while the source may change until the last one.
    Warm,
}

impl JobKind {
    /// All kinds.
    pub const ALL: [Self; 2] = [Self::Plain, Self::Warm];

    /// The name, as it is recorded and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Warm => "warm",
        }
    }

    /// The kind of a name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A job to be recorded. Documents are the caller's; no secret may be in them.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// Its ID.
    pub job_id: JobId,
    /// How it copies.
    pub kind: JobKind,
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
    /// Its ID.
    pub job_id: JobId,
    /// How it copies.
    pub kind: JobKind,
    /// Where it is.
    pub state: JobState,
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
    /// Timestamp of all reads, where the source has such; none before the first attempt.
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
    /// Which one.
    pub position: Position,
    /// From the first to the last step.
    pub worked: Duration,
    /// While rows were copied.
    pub copied_for: Duration,
}

/// A line of the list of jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobSummary {
    /// Its ID.
    pub job_id: JobId,
    /// How it copies.
    pub kind: JobKind,
    /// Where it is.
    pub state: JobState,
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
    /// Collections of the job, without those that went.
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

/// Which part of the list of jobs, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobPage {
    /// Only jobs that were recorded before this one; none for the newest.
    pub before: Option<JobId>,
    /// Not more than these.
    pub jobs_max: usize,
}

impl JobPage {
    /// Jobs of a page, where the caller does not care.
    pub const JOBS_MAX: usize = 100;

    /// The newest jobs.
    pub fn newest() -> Self {
        Self { before: None, jobs_max: Self::JOBS_MAX }
    }
}

/// What others want of a running job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// That it ends.
    pub cancel: bool,
    /// Its limit of the data rate.
    pub max_rate: Option<String>,
}

/// What is recorded of jobs as a whole.
#[async_trait]
pub trait Jobs {
    /// Records a job and all its collections, at once. Its state is [`JobState::Pending`]. The same job a second time is no
    /// error, and changes nothing.
    async fn create_job(&self, job: NewJob) -> Result<(), Error>;

    /// Begins a new attempt. What an older attempt still writes, and what workers write under a claim of it, is refused
    /// from now on; ranges of splits that these may have sent are in doubt.
    ///
    /// # Errors
    /// [`crate::ErrorKind::JobIsLive`] while another process works on it, [`crate::ErrorKind::UnknownJob`].
    async fn begin_attempt(&self, job_id: &JobId) -> Result<Attempt, Error>;

    /// Records the timestamp of all reads; the first one stays. Returns what is recorded.
    async fn record_read_timestamp(
        &self,
        attempt: &Attempt,
        read_timestamp: Option<u64>,
    ) -> Result<Option<u64>, Error>;

    /// Records how an attempt ended.
    async fn end_attempt(
        &self,
        attempt: &Attempt,
        state: JobState,
        report: String,
        ended_at: String,
    ) -> Result<(), Error>;

    /// Takes a job back that was recorded and never began. Also if it is gone already.
    async fn remove_job(&self, attempt: &Attempt) -> Result<(), Error>;

    /// The ID of the one job whose ID begins with a text.
    ///
    /// # Errors
    /// [`crate::ErrorKind::UnknownJob`], [`crate::ErrorKind::AmbiguousJob`].
    async fn find_job(&self, beginning: &str) -> Result<JobId, Error>;

    /// A job.
    ///
    /// # Errors
    /// [`crate::ErrorKind::UnknownJob`].
    async fn job(&self, job_id: &JobId) -> Result<JobRecord, Error>;

    /// A job as in the list.
    ///
    /// # Errors
    /// [`crate::ErrorKind::UnknownJob`].
    async fn summary(&self, job_id: &JobId) -> Result<JobSummary, Error>;

    /// A page of the list of jobs, newest first.
    async fn jobs(&self, page: JobPage) -> Result<Vec<JobSummary>, Error>;

    /// Whether a process works on a job now.
    async fn is_live(&self, job_id: &JobId) -> Result<bool, Error>;

    /// The process that works on a job, or did last, as far as it is known on this machine.
    async fn holder(&self, job_id: &JobId) -> Option<u32>;

    /// Asks the process that works on a job to end it.
    async fn request_cancel(&self, job_id: &JobId) -> Result<(), Error>;

    /// Records, again and again, that the attempt is ending because it was asked to.
    async fn record_cancel_beat(&self, attempt: &Attempt) -> Result<(), Error>;

    /// How often that was recorded.
    async fn cancel_beats(&self, job_id: &JobId) -> Result<i64, Error>;

    /// Sets or lifts the limit of a job's data rate, also of one that runs.
    async fn set_max_rate(&self, job_id: &JobId, max_rate: Option<String>) -> Result<(), Error>;

    /// What others want of a job.
    async fn control(&self, job_id: &JobId) -> Result<Control, Error>;

    /// Records what an attempt waits for most.
    async fn record_bottleneck(&self, attempt: &Attempt, bottleneck: Option<String>) -> Result<(), Error>;

    /// Records how long all attempts together worked on a job and on some of its collections.
    async fn record_worked(
        &self,
        attempt: &Attempt,
        worked: Duration,
        collections: Vec<WorkedOn>,
    ) -> Result<(), Error>;

    /// Databases that the job is to make, and whether it did.
    async fn databases(&self, job_id: &JobId) -> Result<Vec<(String, bool)>, Error>;

    /// Records that a database is the job's own.
    async fn record_database(&self, attempt: &Attempt, name: &str) -> Result<(), Error>;

    /// Forgets that a database was made: it is gone.
    async fn forget_database(&self, attempt: &Attempt, name: &str) -> Result<(), Error>;
}
