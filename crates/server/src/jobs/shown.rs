//! A job as it is shown: in answers, events and deliveries to webhooks.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use vecferry_words::Lang;

use crate::tables::{MigrationRecord, MigrationSource};

/// A job, as the cloud's API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Job {
    #[schema(example = "0197b1e0-c2d3-7c0f-8a4b-2f9f6f2f7c1a")]
    pub(crate) job_id: String,
    /// Always `MIGRATION`.
    #[schema(example = "MIGRATION")]
    pub(crate) r#type: &'static str,
    /// `plain`, or `warm` for a job that copies while the application writes, and ends with a cut-over.
    #[schema(example = "plain")]
    pub(crate) kind: &'static str,
    /// `PENDING`, `IN_PROGRESS`, `CANCELING`, `READY`, `SUCCESSFUL`, `FAILED` or `CANCELED`. `READY` is only of a warm job: its
    /// copy is complete, and it waits for a catch-up or the cut-over.
    #[schema(example = "IN_PROGRESS")]
    pub(crate) status: &'static str,
    /// In percent; 100 only of a job that is successful.
    #[schema(example = "42")]
    pub(crate) progress: String,
    pub(crate) create_time: String,
    /// When it is to start, or was to.
    pub(crate) planned_start_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) start_time: Option<String>,
    /// When it ended, or became `READY`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) end_time: Option<String>,
    /// Why it is not successful.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    pub(crate) project_id: String,
    /// Absent where the source is not registered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) source_cluster_id: Option<String>,
    pub(crate) source_address: String,
    pub(crate) target_cluster_id: String,
    pub(crate) target_address: String,
    pub(crate) created_by: String,
}

/// A job for a list.
pub(crate) fn shown(record: &MigrationRecord, lang: Lang) -> Job {
    let source_cluster_id = match &record.source {
        MigrationSource::Cluster { cluster_id, .. } => Some(cluster_id.clone()),
        MigrationSource::Elsewhere { .. } => None,
    };
    Job {
        job_id: record.job_id.clone(),
        r#type: "MIGRATION",
        kind: record.kind.name(),
        status: record.state.name(),
        progress: record.progress.to_string(),
        create_time: time(record.created_ms),
        planned_start_time: time(record.start_ms),
        start_time: record.started_ms.map(time),
        end_time: record.ended_ms.map(time),
        reason: record.reason.as_deref().map(|text| reason(text, lang)),
        project_id: record.project_id.clone(),
        source_cluster_id,
        source_address: record.source_address.clone(),
        target_cluster_id: record.target_cluster_id.clone(),
        target_address: record.target_address.clone(),
        created_by: record.created_by.clone(),
    }
}

/// What is told of several problems in one text.
fn reason(text: &str, lang: Lang) -> String {
    let problems: Vec<Value> = serde_json::from_str(text).unwrap_or_default();
    let name = match lang {
        Lang::En => "message",
        Lang::Zh => "message_zh",
    };
    let told = problems.iter().take(5).filter_map(|problem| {
        Some(format!("{}: {}", problem.get("code")?.as_str()?, problem.get(name)?.as_str()?))
    });
    told.collect::<Vec<_>>().join("\n")
}

/// A time as RFC 3339, from milliseconds since 1970.
pub(crate) fn time(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map(|time| time.to_string()).unwrap_or_default()
}
