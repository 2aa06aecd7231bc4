//! Webhooks, and what is to be delivered to them. A delivery is recorded in the same transaction as the change of state that
//! it tells, so that none is lost; which process sends it is decided later.

use vecferry_migrate::JobState;
use vecferry_store::{Change, Error, Record, Value};

use super::{CLOCK_STEP_MS, PAGE_ROWS, Tables, new_id, unknown};

/// A webhook to be recorded.
#[derive(Clone, Debug)]
pub(crate) struct NewWebhook {
    pub(crate) webhook_id: String,
    pub(crate) org_id: String,
    /// None for all projects of the organization.
    pub(crate) project_id: Option<String>,
    pub(crate) url: String,
    /// The encrypted secret of its signatures.
    pub(crate) secret: Vec<u8>,
    pub(crate) created_by: String,
}

/// A webhook as recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WebhookRecord {
    pub(crate) webhook_id: String,
    pub(crate) org_id: String,
    pub(crate) project_id: Option<String>,
    pub(crate) url: String,
    pub(crate) secret: Vec<u8>,
    pub(crate) created_by: String,
    pub(crate) created_ms: i64,
}

/// A delivery as recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeliveryRecord {
    pub(crate) delivery_id: String,
    pub(crate) webhook_id: String,
    /// None for a test.
    pub(crate) job_id: Option<String>,
    pub(crate) state: Option<JobState>,
    /// As the job was when it entered the state.
    pub(crate) progress: i64,
    pub(crate) reason: Option<String>,
    pub(crate) start_ms: i64,
    pub(crate) started_ms: Option<i64>,
    pub(crate) ended_ms: Option<i64>,
    pub(crate) made_ms: i64,
    /// What was sent; none before the first attempt.
    pub(crate) body: Option<String>,
    pub(crate) attempts: i64,
    /// The next attempt; none when it is delivered or given up.
    pub(crate) next_ms: Option<i64>,
    pub(crate) delivered_ms: Option<i64>,
    /// Why the last attempt failed, as JSON with one text a language.
    pub(crate) trouble: Option<String>,
}

/// How an attempt came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was delivered.
    Delivered,
    /// It failed; none is given up.
    Failed { trouble: String, next_ms: Option<i64> },
}

const WEBHOOK_COLUMNS: &str = "webhook_id, org_id, project_id, url, secret, created_by, created_ms";
const DELIVERY_COLUMNS: &str = "d.delivery_id, d.webhook_id, d.job_id, d.state, d.progress, d.reason, d.start_ms, \
    d.started_ms, d.ended_ms, d.made_ms, d.body, d.attempts, d.next_ms, d.delivered_ms, d.trouble";
/// No attempt is further ahead, unless the clock was set back since. The first one is due whatever the clock says.
const NEXT_MAX_MS: i64 = 60 * 60 * 1000 + CLOCK_STEP_MS;
/// Webhooks with something to do that are looked at in one step.
const DUE_MAX: i64 = 200;

fn read_webhook(record: &Record) -> Result<WebhookRecord, Error> {
    Ok(WebhookRecord {
        webhook_id: record.text(0)?,
        org_id: record.text(1)?,
        project_id: record.text_or_none(2)?,
        url: record.text(3)?,
        secret: record.bytes(4)?,
        created_by: record.text(5)?,
        created_ms: record.integer(6)?,
    })
}

fn read_delivery(record: &Record) -> Result<DeliveryRecord, Error> {
    let (job_id, state) = (record.text_or_none(2)?, record.text(3)?);
    let state = match job_id {
        Some(_) => Some(JobState::of_name(&state).ok_or_else(|| unknown("state", state))?),
        None => None,
    };
    Ok(DeliveryRecord {
        delivery_id: record.text(0)?,
        webhook_id: record.text(1)?,
        job_id,
        state,
        progress: record.integer(4)?,
        reason: record.text_or_none(5)?,
        start_ms: record.integer(6)?,
        started_ms: record.integer_or_none(7)?,
        ended_ms: record.integer_or_none(8)?,
        made_ms: record.integer(9)?,
        body: record.text_or_none(10)?,
        attempts: record.integer(11)?,
        next_ms: record.integer_or_none(12)?,
        delivered_ms: record.integer_or_none(13)?,
        trouble: record.text_or_none(14)?,
    })
}

/// The purpose that a webhook's secret is encrypted for.
pub(crate) fn webhook_purpose(webhook_id: &str) -> String {
    format!("webhook/{webhook_id}/secret")
}

/// Has the state of a job told, where it is another than the one that was told last. It belongs behind the change of the
/// state, which locks the job: deliveries of one job are numbered one after the other.
pub(super) fn state_told(job_id: &str, now_ms: i64) -> [Change; 2] {
    let told = "INSERT INTO deliveries (delivery_id, webhook_id, job_id, sequence, state, progress, reason, start_ms, \
            started_ms, ended_ms, made_ms, attempts, next_ms) \
        SELECT CAST($2 AS TEXT) || '-' || w.webhook_id, w.webhook_id, m.job_id, \
            (SELECT COALESCE(MAX(d.sequence) + 1, 0) FROM deliveries d \
                WHERE d.job_id = m.job_id AND d.webhook_id = w.webhook_id), \
            m.state, m.progress, m.reason, m.start_ms, m.started_ms, m.ended_ms, CAST($3 AS BIGINT), 0, \
            CAST($3 AS BIGINT) \
        FROM migrations m JOIN webhooks w ON w.org_id = m.org_id \
            AND (w.project_id IS NULL OR w.project_id = m.project_id OR w.project_id = m.source_project_id) \
        WHERE m.job_id = $1 AND (m.told IS NULL OR m.told <> m.state)";
    let values = [job_id.into(), new_id("dlv").into(), now_ms.into()];
    let noted = "UPDATE migrations SET told = state WHERE job_id = $1";
    [Change::new(told, values), Change::new(noted, [job_id.into()])]
}

impl Tables {
    /// An ID for a webhook that is not recorded yet.
    pub(crate) fn new_webhook_id() -> String {
        new_id("hook")
    }

    /// Records a webhook.
    pub(crate) async fn add_webhook(&self, webhook: NewWebhook) -> Result<(), Error> {
        let now = self.now_ms().await?;
        let sql = "INSERT INTO webhooks (webhook_id, org_id, project_id, url, secret, created_by, created_ms) \
            VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let NewWebhook { webhook_id, org_id, project_id, url, secret, created_by } = webhook;
        let values: [Value; 7] = [
            webhook_id.into(),
            org_id.into(),
            project_id.into(),
            url.into(),
            secret.into(),
            created_by.into(),
            now.into(),
        ];
        self.change([Change::new(sql, values)]).await.map(drop)
    }

    /// The webhooks of an organization.
    pub(crate) async fn webhooks(&self, org_id: &str) -> Result<Vec<WebhookRecord>, Error> {
        let sql = format!("SELECT {WEBHOOK_COLUMNS} FROM webhooks WHERE org_id = $1 ORDER BY webhook_id");
        self.rows(&sql, [org_id.into()], read_webhook).await
    }

    /// A webhook of an organization.
    pub(crate) async fn webhook(
        &self,
        org_id: &str,
        webhook_id: &str,
    ) -> Result<Option<WebhookRecord>, Error> {
        let sql = format!("SELECT {WEBHOOK_COLUMNS} FROM webhooks WHERE webhook_id = $1 AND org_id = $2");
        self.row(&sql, [webhook_id.into(), org_id.into()], read_webhook).await
    }

    /// Removes a webhook and its deliveries.
    pub(crate) async fn remove_webhook(&self, webhook_id: &str) -> Result<(), Error> {
        self.change([
            Change::new("DELETE FROM deliveries WHERE webhook_id = $1", [webhook_id.into()]),
            Change::new("DELETE FROM webhooks WHERE webhook_id = $1", [webhook_id.into()]),
        ])
        .await
        .map(drop)
    }

    /// The last deliveries to a webhook, newest first.
    pub(crate) async fn deliveries(&self, webhook_id: &str) -> Result<Vec<DeliveryRecord>, Error> {
        let sql = format!(
            "SELECT {DELIVERY_COLUMNS} FROM deliveries d WHERE d.webhook_id = $1 \
             ORDER BY d.made_ms DESC, d.sequence DESC LIMIT $2"
        );
        self.rows(&sql, [webhook_id.into(), PAGE_ROWS.into()], read_delivery).await
    }

    /// Webhooks for which something is due, those that wait for longest first.
    pub(crate) async fn due_webhooks(&self) -> Result<Vec<String>, Error> {
        let now = self.now_ms().await?;
        let sql = "SELECT webhook_id FROM deliveries WHERE next_ms > 0 \
            AND (next_ms <= $1 OR attempts = 0 OR next_ms > $3) GROUP BY webhook_id ORDER BY MIN(next_ms) LIMIT $2";
        let values = [now.into(), DUE_MAX.into(), now.saturating_add(NEXT_MAX_MS).into()];
        self.rows(sql, values, |record| record.text(0)).await
    }

    /// Takes what is due for a webhook, for a time: other processes leave it alone then. What an earlier state of the same
    /// job waits for waits too.
    pub(crate) async fn take_delivery(
        &self,
        webhook_id: &str,
        held_ms: i64,
    ) -> Result<Option<(DeliveryRecord, WebhookRecord)>, Error> {
        let now = self.now_ms().await?;
        let sql = format!(
            "SELECT {DELIVERY_COLUMNS} FROM deliveries d WHERE d.webhook_id = $1 AND d.next_ms > 0 \
             AND (d.next_ms <= $2 OR d.attempts = 0 OR d.next_ms > $3) \
             AND NOT EXISTS (SELECT 1 FROM deliveries e WHERE e.job_id = d.job_id AND e.webhook_id = d.webhook_id \
                AND e.sequence < d.sequence AND e.next_ms IS NOT NULL) \
             ORDER BY d.next_ms, d.delivery_id LIMIT 1"
        );
        let values = [webhook_id.into(), now.into(), now.saturating_add(NEXT_MAX_MS).into()];
        let due = self.row(&sql, values, read_delivery).await?;
        let Some(mut delivery) = due else { return Ok(None) };
        let until = now.saturating_add(held_ms);
        let sql = "UPDATE deliveries SET next_ms = $3, attempts = attempts + 1 WHERE delivery_id = $1 AND next_ms = $2";
        let values = [(&delivery.delivery_id).into(), delivery.next_ms.into(), until.into()];
        if self.change([Change::new(sql, values)]).await?.first() != Some(&1) {
            return Ok(None);
        }
        delivery.next_ms = Some(until);
        delivery.attempts += 1;
        let sql = format!("SELECT {WEBHOOK_COLUMNS} FROM webhooks WHERE webhook_id = $1");
        let webhook = self.row(&sql, [webhook_id.into()], read_webhook).await?;
        Ok(webhook.map(|webhook| (delivery, webhook)))
    }

    /// Records what is sent, so that every attempt sends the same.
    pub(crate) async fn record_body(&self, delivery_id: &str, body: &str) -> Result<(), Error> {
        let sql = "UPDATE deliveries SET body = $2 WHERE delivery_id = $1";
        self.change([Change::new(sql, [delivery_id.into(), body.into()])]).await.map(drop)
    }

    /// Records how an attempt came out, if no other process took the delivery meanwhile.
    pub(crate) async fn record_attempt(
        &self,
        delivery: &DeliveryRecord,
        outcome: Outcome,
    ) -> Result<(), Error> {
        let (delivered_ms, trouble, next_ms) = match outcome {
            Outcome::Delivered => (Some(self.now_ms().await?), None, None),
            Outcome::Failed { trouble, next_ms } => (None, Some(trouble), next_ms),
        };
        let sql = "UPDATE deliveries SET delivered_ms = $3, trouble = $4, next_ms = $5 \
            WHERE delivery_id = $1 AND next_ms = $2";
        let values: [Value; 5] = [
            (&delivery.delivery_id).into(),
            delivery.next_ms.into(),
            delivered_ms.into(),
            trouble.into(),
            next_ms.into(),
        ];
        self.change([Change::new(sql, values)]).await.map(drop)
    }

    /// Records a test as it came out. It is sent once.
    pub(crate) async fn add_test_delivery(
        &self,
        webhook_id: &str,
        delivery_id: &str,
        body: &str,
        trouble: Option<String>,
    ) -> Result<(), Error> {
        let now = self.now_ms().await?;
        let delivered_ms = trouble.is_none().then_some(now);
        let sql = "INSERT INTO deliveries (delivery_id, webhook_id, sequence, state, progress, start_ms, made_ms, body, \
            attempts, delivered_ms, trouble) VALUES ($1, $2, 0, '', 0, 0, $3, $4, 1, $5, $6)";
        let values: [Value; 6] = [
            delivery_id.into(),
            webhook_id.into(),
            now.into(),
            body.into(),
            delivered_ms.into(),
            trouble.into(),
        ];
        self.change([Change::new(sql, values)]).await.map(drop)
    }

    /// An ID for a test.
    pub(crate) fn new_test_id() -> String {
        new_id("dlv")
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::future::Future;
    use std::sync::{Arc, LazyLock};

    use vecferry_store::postgres::PostgresStore;
    use vecferry_store::{JobKind, Store};
    use vecferry_testkit::Postgres;

    use super::super::{Along, MigrationSource, NewCluster, NewMigration, QueueLimits, Sight, Wanted};
    use super::*;
    use crate::tables::{ClusterStatus, ProjectPage};

    static SERVER: LazyLock<Postgres> = LazyLock::new(Postgres::start);

    /// The same on both stores: SQL has to mean the same to them.
    pub(crate) async fn on_both<Checked: Future<Output = ()>>(check: impl Fn(Tables, String) -> Checked) {
        let directory = tempfile::tempdir().unwrap();
        let (tables, org_id) = with_job(vecferry_store::sqlite::open(directory.path()).unwrap()).await;
        check(tables, org_id).await;
        let settings = vecferry_store::postgres::Settings::default();
        let store = PostgresStore::connect(&SERVER.create_database(), settings).await.unwrap();
        let (tables, org_id) = with_job(Arc::new(store)).await;
        check(tables, org_id).await;
    }

    /// Tables with an organization, a project, a cluster, and a job from elsewhere.
    pub(crate) async fn with_job(store: Arc<dyn Store>) -> (Tables, String) {
        let tables = Tables::open(store).await.unwrap();
        tables.add_organization(("org", "project"), ("o@example.com", "O"), "link").await.unwrap();
        let org_id = tables.first_organization().await.unwrap().unwrap();
        let project_id = tables.projects(&org_id, ProjectPage::default()).await.unwrap().remove(0).project_id;
        let cluster_id = Tables::new_cluster_id();
        let cluster = NewCluster {
            cluster_id: cluster_id.clone(),
            org_id: org_id.clone(),
            project_id: project_id.clone(),
            name: "target".into(),
            description: String::new(),
            address: "http://target:19530".into(),
            deployment: "self-hosted".into(),
            region: String::new(),
            cu_type: String::new(),
            cu_size: String::new(),
            cloud: None,
            token: None,
            ca_pem: None,
            sight: Sight { status: ClusterStatus::Running, version: String::new(), trouble: None },
        };
        tables.add_cluster(cluster).await.unwrap();
        add_webhook(&tables, &org_id, "hook-all", None).await;
        add_webhook(&tables, &org_id, "hook-project", Some(&project_id)).await;
        add_webhook(&tables, &org_id, "hook-other", Some("proj-other")).await;
        add_webhook(&tables, "org-other", "hook-elsewhere", None).await;
        let job = NewMigration {
            job_id: "job".into(),
            org_id: org_id.clone(),
            project_id,
            source: MigrationSource::Elsewhere { secret: None },
            source_address: "http://source:19530".into(),
            target_cluster_id: cluster_id,
            target_address: "http://target:19530".into(),
            kind: JobKind::Plain,
            request: "{}".into(),
            created_by: "user".into(),
            start_ms: 0,
            checks: None,
        };
        tables.add_migration(job, Along::default()).await.unwrap();
        (tables, org_id)
    }

    async fn add_webhook(tables: &Tables, org_id: &str, webhook_id: &str, project_id: Option<&str>) {
        let webhook = NewWebhook {
            webhook_id: webhook_id.into(),
            org_id: org_id.into(),
            project_id: project_id.map(str::to_owned),
            url: "http://hook/".into(),
            secret: b"sealed".to_vec(),
            created_by: "user".into(),
        };
        tables.add_webhook(webhook).await.unwrap();
    }

    async fn take(tables: &Tables, webhook_id: &str) -> Option<DeliveryRecord> {
        tables.take_delivery(webhook_id, 60_000).await.unwrap().map(|(delivery, _)| delivery)
    }

    async fn states(tables: &Tables, webhook_id: &str) -> Vec<&'static str> {
        let mut deliveries = tables.deliveries(webhook_id).await.unwrap();
        deliveries.reverse();
        deliveries.iter().map(|delivery| delivery.state.map_or("test", JobState::name)).collect()
    }

    #[tokio::test]
    async fn every_change_of_a_state_is_recorded_once() {
        on_both(every_change_of_a_state_is_recorded_once_on).await;
    }

    async fn every_change_of_a_state_is_recorded_once_on(tables: Tables, _: String) {
        let limits =
            QueueLimits { jobs_max: 9, per_organization_max: 9, per_target_max: 9, per_source_max: 9 };
        assert!(tables.take_migration("me", 60_000, limits).await.unwrap().is_some());
        assert!(tables.record_start("job", "me").await.unwrap());
        // Whoever takes a job over starts it once more, which is no change.
        assert!(tables.record_start("job", "me").await.unwrap());
        assert!(!tables.record_start("job", "another").await.unwrap());
        let open = [JobState::InProgress, JobState::Canceling];
        assert!(tables.want("job", Wanted::Cancel, &open).await.unwrap());
        assert!(tables.want("job", Wanted::Cancel, &open).await.unwrap());
        assert!(
            !tables.record_end(("job", "another"), Wanted::Run, JobState::Failed, (1, None)).await.unwrap()
        );
        let reason = Some("[]".to_owned());
        assert!(
            tables.record_end(("job", "me"), Wanted::Run, JobState::Canceled, (40, reason)).await.unwrap()
        );
        let expected = ["PENDING", "IN_PROGRESS", "CANCELING", "CANCELED"];
        assert_eq!(states(&tables, "hook-all").await, expected);
        assert_eq!(states(&tables, "hook-project").await, expected);
        assert!(states(&tables, "hook-other").await.is_empty());
        assert!(states(&tables, "hook-elsewhere").await.is_empty());
        let last = tables.deliveries("hook-all").await.unwrap().remove(0);
        assert_eq!((last.progress, last.reason.as_deref()), (40, Some("[]")));
        assert!(last.ended_ms.is_some());
    }

    #[tokio::test]
    async fn webhooks_of_both_projects_are_told_once() {
        on_both(webhooks_of_both_projects_are_told_once_on).await;
    }

    async fn webhooks_of_both_projects_are_told_once_on(tables: Tables, org_id: String) {
        let job = tables.any_migration("job").await.unwrap().unwrap();
        let told = async |job_id: &str, source_project: &str| {
            let source = MigrationSource::Cluster {
                cluster_id: job.target_cluster_id.clone(),
                project_id: source_project.to_owned(),
            };
            let job = NewMigration {
                job_id: job_id.into(),
                org_id: org_id.clone(),
                project_id: job.project_id.clone(),
                source,
                source_address: job.source_address.clone(),
                target_cluster_id: job.target_cluster_id.clone(),
                target_address: job.target_address.clone(),
                kind: JobKind::Plain,
                request: "{}".into(),
                created_by: "user".into(),
                start_ms: 0,
                checks: None,
            };
            tables.add_migration(job, Along::default()).await.unwrap();
            let mut counts = Vec::new();
            for webhook_id in ["hook-all", "hook-project", "hook-other", "hook-elsewhere"] {
                let deliveries = tables.deliveries(webhook_id).await.unwrap();
                counts.push(deliveries.iter().filter(|told| told.job_id.as_deref() == Some(job_id)).count());
            }
            counts
        };
        assert_eq!(told("between", "proj-other").await, [1, 1, 1, 0]);
        assert_eq!(told("within", &job.project_id).await, [1, 1, 0, 0]);
    }

    #[tokio::test]
    async fn a_later_state_waits_for_the_earlier_one() {
        on_both(a_later_state_waits_for_the_earlier_one_on).await;
    }

    async fn a_later_state_waits_for_the_earlier_one_on(tables: Tables, _: String) {
        assert!(tables.want("job", Wanted::Cancel, &[JobState::Pending]).await.unwrap());
        let state = |delivery: &DeliveryRecord| delivery.state.map(JobState::name);
        let first = take(&tables, "hook-all").await.unwrap();
        assert_eq!((state(&first), first.attempts), (Some("PENDING"), 1));
        assert_eq!(take(&tables, "hook-all").await, None, "it is under way");
        let now = tables.now_ms().await.unwrap();
        let failed = Outcome::Failed { trouble: "no".into(), next_ms: Some(now) };
        tables.record_attempt(&first, failed).await.unwrap();
        let again = take(&tables, "hook-all").await.unwrap();
        assert_eq!((again.delivery_id.as_str(), again.attempts), (first.delivery_id.as_str(), 2));
        // Whoever was too slow says nothing any more.
        tables.record_attempt(&first, Outcome::Delivered).await.unwrap();
        assert_eq!(take(&tables, "hook-all").await, None);
        let given_up = Outcome::Failed { trouble: "no".into(), next_ms: None };
        tables.record_attempt(&again, given_up).await.unwrap();
        let second = take(&tables, "hook-all").await.unwrap();
        assert_eq!(state(&second), Some("CANCELING"));
        tables.record_attempt(&second, Outcome::Delivered).await.unwrap();
        assert_eq!(tables.due_webhooks().await.unwrap(), ["hook-project"]);
        tables.remove_webhook("hook-project").await.unwrap();
        assert!(tables.due_webhooks().await.unwrap().is_empty());
    }
}
