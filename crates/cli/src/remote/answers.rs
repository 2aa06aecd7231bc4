//! What a service answers, as far as the command line shows it.

use serde::Deserialize;
use serde_json::Value;
use vecferry_migrate::{CollectionStatus, JobState, PlanSummary, Problem};
use vecferry_store::JobKind;

/// A cluster that is registered there.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Cluster {
    pub(super) cluster_id: String,
    pub(super) cluster_name: String,
    pub(super) connect_address: String,
    pub(super) version: String,
}

/// A page of clusters.
#[derive(Debug, Deserialize)]
pub(super) struct Clusters {
    pub(super) count: usize,
    pub(super) clusters: Vec<Cluster>,
}

/// What a check came to.
#[derive(Debug, Deserialize)]
pub(super) struct CheckOutcome {
    pub(super) refusals: Vec<Problem>,
    pub(super) plan: Option<PlanSummary>,
}

/// The job that was created.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct JobMade {
    pub(super) job_id: String,
}

/// A job.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Job {
    pub(super) job_id: String,
    /// Older services have one kind, and name none.
    #[serde(default)]
    pub(super) kind: String,
    pub(super) status: String,
    pub(super) progress: String,
    pub(super) create_time: String,
    #[serde(default)]
    pub(super) end_time: Option<String>,
    pub(super) source_address: String,
    pub(super) target_address: String,
}

impl Job {
    /// Its state, if this version knows it.
    pub(super) fn state(&self) -> Option<JobState> {
        JobState::of_name(&self.status)
    }

    /// How it copies, if this version knows it.
    pub(super) fn kind(&self) -> JobKind {
        JobKind::of_name(&self.kind).unwrap_or_default()
    }

    /// Whether it copies while the application writes.
    pub(super) fn is_warm(&self) -> bool {
        self.kind() == JobKind::Warm
    }

    /// Whether nothing more happens by itself.
    pub(super) fn is_over(&self) -> bool {
        match self.state() {
            Some(JobState::Ready | JobState::Successful | JobState::Failed | JobState::Canceled) => true,
            Some(JobState::Pending | JobState::InProgress | JobState::Canceling) | None => false,
        }
    }
}

/// A page of jobs, newest first.
#[derive(Debug, Deserialize)]
pub(super) struct Jobs {
    pub(super) jobs: Vec<Job>,
    #[serde(default)]
    pub(super) cursor: Option<String>,
}

/// A job with its collections and problems.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Details {
    pub(super) job: Job,
    /// What `vecferry status --json` shows of a job; absent before the job began.
    #[serde(default)]
    pub(super) progress: Option<Value>,
    /// For the next page of its collections.
    #[serde(default)]
    pub(super) cursor: Option<String>,
    #[serde(default)]
    pub(super) problems: Vec<Value>,
    /// Problems that are left out.
    #[serde(default, rename = "problemsLeftOut")]
    pub(super) problems_left_out: usize,
}

impl Details {
    /// Takes up another page of collections.
    pub(super) fn add(&mut self, page: Self) {
        self.cursor = page.cursor;
        let collections = |progress: Option<Value>| match progress?.get_mut("collections")?.take() {
            Value::Array(collections) => Some(collections),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => None,
        };
        let known = self.progress.as_mut().and_then(|progress| progress["collections"].as_array_mut());
        if let (Some(known), Some(more)) = (known, collections(page.progress)) {
            known.extend(more);
        }
    }

    /// How far the job is, if it began.
    pub(super) fn progress(&self) -> Option<Progress> {
        Progress::deserialize(self.progress.as_ref()?).ok()
    }
}

/// How far a job is.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Progress {
    #[serde(default)]
    pub(super) live: bool,
    #[serde(default)]
    pub(super) attempts: u64,
    #[serde(default)]
    pub(super) worked_seconds: f64,
    #[serde(default)]
    pub(super) max_rate: Option<String>,
    #[serde(default)]
    pub(super) bound_by: Option<String>,
    pub(super) collections: Vec<CollectionStatus>,
    #[serde(default)]
    pub(super) warnings: Vec<Problem>,
}

/// Something that is done with a finished job.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TaskMade {
    pub(super) task_id: String,
}

/// How that is going.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Task {
    pub(super) task_id: String,
    pub(super) status: String,
    #[serde(default)]
    pub(super) problems: Vec<Value>,
    #[serde(default)]
    pub(super) result: Option<Value>,
}

impl Task {
    /// Whether nothing more happens.
    pub(super) fn is_over(&self) -> bool {
        ["SUCCESSFUL", "FAILED"].contains(&self.status.as_str())
    }

    /// Whether it came to its end.
    pub(super) fn is_successful(&self) -> bool {
        self.status == "SUCCESSFUL"
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn collections_of_a_job_come_in_pages() {
        let page = |names: &[&str], cursor: Option<&str>| {
            let collections: Vec<_> = names.iter().map(|name| json!({ "collection": name })).collect();
            let job = json!({"jobId": "job", "type": "MIGRATION", "status": "IN_PROGRESS", "progress": "0",
                "createTime": "", "plannedStartTime": "", "projectId": "", "sourceAddress": "",
                "targetClusterId": "", "targetAddress": "", "createdBy": ""});
            let document = json!({"job": job, "progress": {"collections": collections}, "cursor": cursor});
            Details::deserialize(document).unwrap()
        };
        let mut details = page(&["a", "b"], Some("2"));
        details.add(page(&["c"], None));
        let all: Vec<_> = details.progress.unwrap()["collections"].as_array().unwrap().clone();
        let names: Vec<_> = all.iter().map(|one| one["collection"].as_str().unwrap()).collect();
        assert_eq!((names, details.cursor), (vec!["a", "b", "c"], None));
    }
}
