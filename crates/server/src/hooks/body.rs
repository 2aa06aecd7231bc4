//! What a webhook is sent: the job as the API shows it when it entered its state, and what happened.

use serde::Serialize;
use vecferry_migrate::Lang;

use crate::jobs::{Job, shown, time};
use crate::tables::{DeliveryRecord, MigrationRecord};

/// A change of a job.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    event: &'static str,
    delivery_id: &'a str,
    time: String,
    #[serde(flatten)]
    job: Option<Job>,
}

/// The change that a delivery is about.
pub(super) fn of_job(job: MigrationRecord, delivery: &DeliveryRecord, lang: Lang) -> String {
    let job = MigrationRecord {
        state: delivery.state.unwrap_or(job.state),
        progress: delivery.progress,
        reason: delivery.reason.clone(),
        start_ms: delivery.start_ms,
        started_ms: delivery.started_ms,
        ended_ms: delivery.ended_ms,
        ..job
    };
    text("job.stateChanged", &delivery.delivery_id, delivery.made_ms, Some(shown(&job, lang)))
}

/// A test, which is about no job.
pub(crate) fn test_body(delivery_id: &str, now_ms: i64) -> String {
    text("webhook.test", delivery_id, now_ms, None)
}

fn text(event: &'static str, delivery_id: &str, at_ms: i64, job: Option<Job>) -> String {
    serde_json::to_string(&Told { event, delivery_id, time: time(at_ms), job }).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use vecferry_migrate::JobState;
    use vecferry_store::JobKind;

    use super::*;
    use crate::tables::MigrationSource;

    #[test]
    fn a_job_is_told_as_it_was_when_it_entered_the_state() {
        let job = MigrationRecord {
            job_id: "job".into(),
            org_id: "org".into(),
            project_id: "proj".into(),
            source: MigrationSource::Elsewhere { secret: Some(b"sealed".to_vec()) },
            source_address: "http://source:19530".into(),
            target_cluster_id: "vf-1".into(),
            target_address: "http://target:19530".into(),
            kind: JobKind::Plain,
            request: "{}".into(),
            state: JobState::Successful,
            wanted: None,
            next_round: None,
            progress: 100,
            reason: None,
            is_planned: false,
            created_by: "user-1".into(),
            created_ms: 0,
            start_ms: 9000,
            started_ms: Some(9000),
            ended_ms: Some(9000),
            holder: None,
        };
        let delivery = DeliveryRecord {
            delivery_id: "dlv-1".into(),
            webhook_id: "hook-1".into(),
            job_id: Some("job".into()),
            state: Some(JobState::InProgress),
            progress: 7,
            reason: None,
            start_ms: 1000,
            started_ms: Some(2000),
            ended_ms: None,
            made_ms: 2000,
            body: None,
            attempts: 1,
            next_ms: Some(3000),
            delivered_ms: None,
            trouble: None,
        };
        let told: Value = serde_json::from_str(&of_job(job, &delivery, Lang::En)).unwrap();
        assert_eq!(
            told,
            json!({
                "event": "job.stateChanged",
                "deliveryId": "dlv-1",
                "time": "1970-01-01T00:00:02Z",
                "jobId": "job",
                "type": "MIGRATION",
                "kind": "plain",
                "status": "IN_PROGRESS",
                "progress": "7",
                "createTime": "1970-01-01T00:00:00Z",
                "plannedStartTime": "1970-01-01T00:00:01Z",
                "startTime": "1970-01-01T00:00:02Z",
                "projectId": "proj",
                "sourceAddress": "http://source:19530",
                "targetClusterId": "vf-1",
                "targetAddress": "http://target:19530",
                "createdBy": "user-1",
            })
        );
    }

    #[test]
    fn a_test_is_about_no_job() {
        let told: Value = serde_json::from_str(&test_body("dlv-2", 0)).unwrap();
        let expected =
            json!({"event": "webhook.test", "deliveryId": "dlv-2", "time": "1970-01-01T00:00:00Z"});
        assert_eq!(told, expected);
    }
}
