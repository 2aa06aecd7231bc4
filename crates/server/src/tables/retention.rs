//! What is forgotten after a time: ended jobs with what belongs to them, and names of requests. What the engine recorded of a
//! job is the engine's to keep.

use vecferry_migrate::JobState;
use vecferry_store::{Change, Error};

use super::Tables;
use super::idempotency::REMEMBERED_MS;

/// Jobs that are at their end, and of which nothing is to be told any more. A job with a name that is remembered stays: asked
/// for again, it would be made again.
const ENDED: &str = "ended_ms < $1 AND wanted IS NULL AND holder IS NULL \
    AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.job_id = migrations.job_id AND d.next_ms IS NOT NULL) \
    AND NOT EXISTS (SELECT 1 FROM idempotency i WHERE i.job_id = migrations.job_id) \
    AND NOT EXISTS (SELECT 1 FROM tasks t WHERE t.job_id = migrations.job_id AND t.state = 'IN_PROGRESS' \
        AND t.held_until_ms >= $1)";

impl Tables {
    /// Removes jobs that ended before a time with their tasks and deliveries, not more than some of each. Tells how many rows
    /// these were.
    pub(crate) async fn forget_ended(&self, before_ms: i64, rows: i64) -> Result<u64, Error> {
        let ended = [JobState::Successful, JobState::Failed, JobState::Canceled];
        let states: Vec<_> = ended.iter().map(|state| format!("'{}'", state.name())).collect();
        let jobs = format!(
            "DELETE FROM migrations WHERE job_id IN (SELECT job_id FROM migrations WHERE {ENDED} \
             AND state IN ({}) ORDER BY ended_ms LIMIT $2)",
            states.join(", ")
        );
        let tasks = "DELETE FROM tasks WHERE task_id IN (SELECT task_id FROM tasks WHERE created_ms < $1 \
            AND (state <> 'IN_PROGRESS' OR held_until_ms < $1) ORDER BY created_ms LIMIT $2)";
        let deliveries = "DELETE FROM deliveries WHERE delivery_id IN (SELECT d.delivery_id FROM deliveries d \
            WHERE d.made_ms < $1 AND d.next_ms IS NULL AND (d.job_id IS NULL \
                OR NOT EXISTS (SELECT 1 FROM migrations m WHERE m.job_id = d.job_id AND m.ended_ms IS NULL)) \
            ORDER BY d.made_ms LIMIT $2)";
        let changes =
            [jobs.as_str(), tasks, deliveries].map(|sql| Change::new(sql, [before_ms.into(), rows.into()]));
        Ok(self.change(changes).await?.iter().sum())
    }

    /// Removes names of requests that are no longer remembered, not more than some.
    pub(crate) async fn forget_requests(&self, now_ms: i64, rows: i64) -> Result<u64, Error> {
        let before = now_ms.saturating_sub(REMEMBERED_MS);
        let sql = "DELETE FROM idempotency WHERE (org_id, caller, name) IN \
            (SELECT org_id, caller, name FROM idempotency WHERE at_ms < $1 ORDER BY at_ms LIMIT $2)";
        let changed = self.change([Change::new(sql, [before.into(), rows.into()])]).await?;
        Ok(changed.first().copied().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::super::webhooks::tests::on_both;
    use super::super::{Begun, NewTask, Outcome, QueueLimits, TaskKind, Wanted};
    use super::*;

    async fn delivered(tables: &Tables) {
        for webhook_id in tables.due_webhooks().await.unwrap() {
            while let Some((delivery, _)) = tables.take_delivery(&webhook_id, 60_000).await.unwrap() {
                tables.record_attempt(&delivery, Outcome::Delivered).await.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn an_ended_job_is_forgotten_when_everything_was_told() {
        on_both(an_ended_job_is_forgotten_when_everything_was_told_on).await;
    }

    async fn an_ended_job_is_forgotten_when_everything_was_told_on(tables: Tables, org_id: String) {
        let later = tables.now_ms().await.unwrap() + 1_000_000;
        assert_eq!(tables.forget_ended(later, 500).await.unwrap(), 0, "it did not end");
        let limits =
            QueueLimits { jobs_max: 9, per_organization_max: 9, per_target_max: 9, per_source_max: 9 };
        tables.take_migration("me", 60_000, limits).await.unwrap().unwrap();
        assert!(tables.record_start("job", "me").await.unwrap());
        delivered(&tables).await;
        assert_eq!(tables.forget_ended(later, 500).await.unwrap(), 0, "it runs");
        assert!(
            tables.record_end(("job", "me"), Wanted::Run, JobState::Successful, (100, None)).await.unwrap()
        );
        let task = NewTask {
            org_id: org_id.clone(),
            job_id: "job".into(),
            kind: TaskKind::Load,
            created_by: "user".into(),
            holder: "me".into(),
        };
        let end =
            super::super::TaskEnd { state: super::super::TaskState::Successful, reason: None, result: None };
        let task_id = tables.begin_task(task, 60_000, 9).await.unwrap().unwrap();
        tables.end_task(&task_id, end).await.unwrap();
        assert_eq!(tables.forget_ended(1, 500).await.unwrap(), 0, "it is not old");
        tables.forget_ended(later, 500).await.unwrap();
        assert!(tables.migration(&org_id, "job").await.unwrap().is_some(), "its end is still to be told");
        delivered(&tables).await;
        assert!(tables.forget_ended(later, 1).await.unwrap() > 0);
        while tables.forget_ended(later, 1).await.unwrap() > 0 {}
        assert_eq!(tables.migration(&org_id, "job").await.unwrap(), None);
        assert!(tables.tasks("job", &[]).await.unwrap().is_empty());
        assert!(tables.deliveries("hook-all").await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn names_of_requests_are_forgotten_after_a_day() {
        on_both(names_of_requests_are_forgotten_after_a_day_on).await;
    }

    async fn names_of_requests_are_forgotten_after_a_day_on(tables: Tables, org_id: String) {
        let of = (org_id.as_str(), "user", "name");
        assert_eq!(tables.begin_request(of, "hash", "job-2").await.unwrap(), Begun::First);
        let now = tables.now_ms().await.unwrap();
        assert_eq!(tables.forget_requests(now, 500).await.unwrap(), 0);
        assert!(matches!(tables.begin_request(of, "hash", "job-3").await.unwrap(), Begun::Again(_)));
        assert_eq!(tables.forget_requests(now + REMEMBERED_MS + 1000, 500).await.unwrap(), 1);
        assert_eq!(tables.begin_request(of, "hash", "job-4").await.unwrap(), Begun::First);
    }
}
