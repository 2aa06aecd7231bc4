//! Clusters that are registered in projects.

use std::collections::BTreeSet;

use vecferry_store::{Change, Error, Record, Value};

use super::{CLOCK_STEP_MS, Tables, new_id, unknown};

/// Whether a cluster answered when it was looked at last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClusterStatus {
    /// It did.
    Running,
    /// It did not, or refused the credential.
    Abnormal,
}

impl ClusterStatus {
    /// Its name in records and answers, as the cloud's API writes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Abnormal => "ABNORMAL",
        }
    }

    fn of_name(name: &str) -> Option<Self> {
        [Self::Running, Self::Abnormal].into_iter().find(|status| status.name() == name)
    }
}

/// What was seen of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sight {
    pub(crate) status: ClusterStatus,
    /// Its release; empty where it was never seen.
    pub(crate) version: String,
    /// Why it did not answer, as the JSON of a problem.
    pub(crate) trouble: Option<String>,
}

/// A cluster to be registered.
#[derive(Clone, Debug)]
pub(crate) struct NewCluster {
    pub(crate) cluster_id: String,
    pub(crate) org_id: String,
    pub(crate) project_id: String,
    pub(crate) name: String,
    pub(crate) description: String,
    /// `http[s]://host:port`.
    pub(crate) address: String,
    /// Free, Serverless, Dedicated or self-hosted.
    pub(crate) deployment: String,
    pub(crate) region: String,
    pub(crate) cu_type: String,
    pub(crate) cu_size: String,
    /// What the control plane says of it, as JSON.
    pub(crate) cloud: Option<String>,
    /// The credential, encrypted.
    pub(crate) token: Option<Vec<u8>>,
    pub(crate) ca_pem: Option<String>,
    pub(crate) sight: Sight,
}

/// A cluster as recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClusterRecord {
    pub(crate) cluster_id: String,
    pub(crate) org_id: String,
    pub(crate) project_id: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) address: String,
    pub(crate) deployment: String,
    pub(crate) region: String,
    pub(crate) cu_type: String,
    pub(crate) cu_size: String,
    pub(crate) cloud: Option<String>,
    pub(crate) token: Option<Vec<u8>>,
    pub(crate) ca_pem: Option<String>,
    pub(crate) sight: Sight,
    pub(crate) looked_ms: i64,
    pub(crate) created_ms: i64,
}

const COLUMNS: &str = "cluster_id, org_id, project_id, name, description, address, deployment, region, cu_type, \
    cu_size, cloud, token, ca_pem, status, version, trouble, looked_ms, created_ms";

fn read(record: &Record) -> Result<ClusterRecord, Error> {
    let status = record.text(13)?;
    Ok(ClusterRecord {
        cluster_id: record.text(0)?,
        org_id: record.text(1)?,
        project_id: record.text(2)?,
        name: record.text(3)?,
        description: record.text(4)?,
        address: record.text(5)?,
        deployment: record.text(6)?,
        region: record.text(7)?,
        cu_type: record.text(8)?,
        cu_size: record.text(9)?,
        cloud: record.text_or_none(10)?,
        token: record.bytes_or_none(11)?,
        ca_pem: record.text_or_none(12)?,
        sight: Sight {
            status: ClusterStatus::of_name(&status).ok_or_else(|| unknown("status", status))?,
            version: record.text(14)?,
            trouble: record.text_or_none(15)?,
        },
        looked_ms: record.integer(16)?,
        created_ms: record.integer(17)?,
    })
}

/// The purpose that a cluster's credential is encrypted for.
pub(crate) fn token_purpose(cluster_id: &str) -> String {
    format!("cluster/{cluster_id}/token")
}

/// The pattern of a text somewhere in another one, whatever case its letters have.
pub(super) fn holding(text: &str) -> String {
    let mut pattern = "%".to_owned();
    for character in text.to_lowercase().chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

impl Tables {
    /// An ID for a cluster that is not recorded yet.
    pub(crate) fn new_cluster_id() -> String {
        new_id("vf")
    }

    /// Registers a cluster in a project that still exists: otherwise [`vecferry_store::ErrorKind::Unmet`].
    pub(crate) async fn add_cluster(&self, cluster: NewCluster) -> Result<(), Error> {
        let now = self.now_ms().await?;
        let sql = "INSERT INTO clusters (cluster_id, org_id, project_id, name, description, address, deployment, \
            region, cu_type, cu_size, cloud, token, ca_pem, status, version, trouble, looked_ms, created_ms) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $17)";
        let values: [Value; 17] = [
            cluster.cluster_id.into(),
            cluster.org_id.into(),
            (&cluster.project_id).into(),
            cluster.name.into(),
            cluster.description.into(),
            cluster.address.into(),
            cluster.deployment.into(),
            cluster.region.into(),
            cluster.cu_type.into(),
            cluster.cu_size.into(),
            cluster.cloud.into(),
            cluster.token.into(),
            cluster.ca_pem.into(),
            cluster.sight.status.name().into(),
            cluster.sight.version.into(),
            cluster.sight.trouble.into(),
            now.into(),
        ];
        // The project is touched, so that its removal and this can't both succeed.
        let touched = "UPDATE projects SET name = name WHERE project_id = $1 AND removed_ms IS NULL";
        let touched = Change::new(touched, [cluster.project_id.into()]).exactly(1);
        self.change([touched, Change::new(sql, values)]).await.map(drop)
    }

    /// A page of an organization's clusters: how many there are, and those behind the first `skipped`. Only those of some
    /// projects, where these are given, and only those with a text in name, address or ID.
    pub(crate) async fn clusters(
        &self,
        org_id: &str,
        projects: Option<&[String]>,
        search: &str,
        (skipped, rows): (i64, i64),
    ) -> Result<(i64, Vec<ClusterRecord>), Error> {
        let mut values: Vec<Value> = vec![org_id.into()];
        let mut condition = "org_id = $1 AND removed_ms IS NULL".to_owned();
        if let Some(projects) = projects {
            if projects.is_empty() {
                return Ok((0, Vec::new()));
            }
            let from = values.len() + 1;
            values.extend(projects.iter().map(Value::from));
            let places: Vec<_> = (from..=values.len()).map(|place| format!("${place}")).collect();
            condition.push_str(&format!(" AND project_id IN ({})", places.join(", ")));
        }
        if !search.is_empty() {
            values.push(holding(search).into());
            let place = values.len();
            let has = |column: &str| format!("LOWER({column}) LIKE ${place} ESCAPE '\\'");
            let any: Vec<_> = ["name", "address", "cluster_id"].into_iter().map(has).collect();
            condition.push_str(&format!(" AND ({})", any.join(" OR ")));
        }
        let count = format!("SELECT COUNT(*) FROM clusters WHERE {condition}");
        let count = self.row(&count, values.clone(), |record| record.integer(0)).await?;
        let (first, second) = (values.len() + 1, values.len() + 2);
        values.extend([Value::from(rows), Value::from(skipped)]);
        let sql = format!(
            "SELECT {COLUMNS} FROM clusters WHERE {condition} ORDER BY cluster_id LIMIT ${first} OFFSET ${second}"
        );
        Ok((count.unwrap_or(0), self.rows(&sql, values, read).await?))
    }

    /// The IDs of the clusters of a project that have a name.
    pub(crate) async fn clusters_named(&self, project_id: &str, name: &str) -> Result<Vec<String>, Error> {
        let sql = "SELECT cluster_id FROM clusters WHERE project_id = $1 AND name = $2 AND removed_ms IS NULL LIMIT 1000";
        self.rows(sql, [project_id.into(), name.into()], |record| record.text(0)).await
    }

    /// The addresses of the clusters that are registered in a project.
    pub(crate) async fn addresses_in_project(
        &self,
        org_id: &str,
        project_id: &str,
    ) -> Result<BTreeSet<String>, Error> {
        let sql = "SELECT DISTINCT address FROM clusters WHERE org_id = $1 AND project_id = $2 \
            AND removed_ms IS NULL LIMIT 10000";
        let addresses = self.rows(sql, [org_id.into(), project_id.into()], |record| record.text(0)).await?;
        Ok(addresses.into_iter().collect())
    }

    /// A cluster of an organization.
    pub(crate) async fn cluster(
        &self,
        org_id: &str,
        cluster_id: &str,
    ) -> Result<Option<ClusterRecord>, Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM clusters WHERE cluster_id = $1 AND org_id = $2 AND removed_ms IS NULL"
        );
        self.row(&sql, [cluster_id.into(), org_id.into()], read).await
    }

    /// Changes the name, the description or the credential of a cluster, as far as they are given.
    pub(crate) async fn change_cluster(
        &self,
        cluster_id: &str,
        (name, description): (Option<String>, Option<String>),
        token: Option<Option<Vec<u8>>>,
    ) -> Result<(), Error> {
        let mut changes = Vec::new();
        let columns = [("name", name), ("description", description)];
        for (column, value) in columns {
            if let Some(value) = value {
                let sql = format!("UPDATE clusters SET {column} = $2 WHERE cluster_id = $1");
                changes.push(Change::new(sql, [cluster_id.into(), value.into()]).exactly(1));
            }
        }
        if let Some(token) = token {
            let sql = "UPDATE clusters SET token = $2 WHERE cluster_id = $1";
            changes.push(Change::new(sql, [cluster_id.into(), token.into()]).exactly(1));
        }
        if changes.is_empty() {
            return Ok(());
        }
        self.change(changes).await.map(drop)
    }

    /// The job that needs a cluster and is not at its end, if there is one.
    pub(crate) async fn job_of_cluster(&self, cluster_id: &str) -> Result<Option<String>, Error> {
        let sql = "SELECT job_id FROM migrations WHERE (source_cluster_id = $1 OR target_cluster_id = $1) \
            AND (wanted IS NOT NULL OR holder IS NOT NULL OR state = 'READY') ORDER BY job_id LIMIT 1";
        self.row(sql, [cluster_id.into()], |record| record.text(0)).await
    }

    /// Removes a cluster that no job needs, with its credential. Tells whether it did.
    pub(crate) async fn remove_cluster(&self, cluster_id: &str) -> Result<bool, Error> {
        let now = self.now_ms().await?;
        let sql = "UPDATE clusters SET removed_ms = $2, token = NULL WHERE cluster_id = $1 AND removed_ms IS NULL \
            AND NOT EXISTS (SELECT 1 FROM migrations m WHERE (m.source_cluster_id = $1 OR m.target_cluster_id = $1) \
                AND (m.wanted IS NOT NULL OR m.holder IS NOT NULL OR m.state = 'READY'))";
        // PostgreSQL looks at other tables as they were when the statement began: a job that is added meanwhile is seen only
        // by a statement that begins when the row is locked.
        let locked = "UPDATE clusters SET name = name WHERE cluster_id = $1";
        let changed = self
            .change([
                Change::new(locked, [cluster_id.into()]),
                Change::new(sql, [cluster_id.into(), now.into()]),
            ])
            .await?;
        Ok(changed.last() == Some(&1))
    }

    /// Takes a cluster that nobody looked at since a time, to look at it: other processes leave it alone then.
    pub(crate) async fn take_cluster_to_look_at(
        &self,
        before_ms: i64,
    ) -> Result<Option<ClusterRecord>, Error> {
        // A look in the future: the clock was set back since.
        let sql = format!(
            "SELECT {COLUMNS} FROM clusters WHERE removed_ms IS NULL AND (looked_ms < $1 OR looked_ms > $2) \
             ORDER BY looked_ms LIMIT 1"
        );
        let now = self.now_ms().await?;
        let values = [before_ms.into(), now.saturating_add(CLOCK_STEP_MS).into()];
        let Some(cluster) = self.row(&sql, values, read).await? else { return Ok(None) };
        let taken = Change::new(
            "UPDATE clusters SET looked_ms = $3 WHERE cluster_id = $1 AND looked_ms = $2",
            [(&cluster.cluster_id).into(), cluster.looked_ms.into(), now.into()],
        );
        Ok((self.change([taken]).await?.first() == Some(&1)).then_some(cluster))
    }

    /// Records what was seen of a cluster.
    pub(crate) async fn record_sight(&self, cluster_id: &str, sight: Sight) -> Result<(), Error> {
        let sql = "UPDATE clusters SET status = $2, version = $3, trouble = $4 WHERE cluster_id = $1";
        let values =
            [cluster_id.into(), sight.status.name().into(), sight.version.into(), sight.trouble.into()];
        self.change([Change::new(sql, values)]).await.map(drop)
    }
}
