//! Clusters of Zilliz Cloud, found by their id through the control plane.

use serde::{Deserialize, Serialize};
use vecferry_zilliz::{ApiKey, Cluster, ControlPlane, Error, ErrorKind, HOSTS};

use crate::problem::{ANY_CLUSTER, Code, Problem, words_of};

/// Share of the memory of the compute units that is in use, in percent.
const METRIC_USED: &str = "CU_CAPACITY";
/// The state of a cluster that answers calls.
const RUNNING: &str = "RUNNING";

/// What the control plane says of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CloudCluster {
    /// Its id.
    pub id: String,
    /// Its project.
    pub project_id: String,
    /// Its region.
    pub region: String,
    /// `Free`, `Serverless` or `Dedicated`, where the control plane says it.
    pub deployment_option: String,
    /// Type of its compute units.
    pub cu_type: String,
    /// Number of its compute units; 0 for clusters without.
    pub cu_size: f64,
    /// `RUNNING` …
    pub status: String,
    /// Percent of their memory that is in use, where that could be asked.
    pub used_percent: Option<f64>,
}

impl CloudCluster {
    /// Whether it answers calls.
    pub fn is_running(&self) -> bool {
        self.status.eq_ignore_ascii_case(RUNNING)
    }
}

/// A cluster and its public address.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundCluster {
    /// Where it is, with scheme and port.
    pub address: String,
    /// What is known of it.
    pub cluster: CloudCluster,
}

/// A cluster of a key, as the list of the control plane has it.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedCluster {
    /// Its name.
    pub name: String,
    /// Where it is, with scheme and port; absent without a public address.
    pub address: Option<String>,
    /// What is known of it.
    pub cluster: CloudCluster,
}

/// All clusters of a key: at the control plane of an address, or at the one of the vendor's that knows the key.
///
/// # Errors
/// The key is refused, or nobody can be asked.
pub async fn list(key: &str, api: Option<&str>) -> Result<Vec<ListedCluster>, Problem> {
    let bases = api.map_or_else(|| HOSTS.to_vec(), |api| vec![api]);
    let mut failures = Vec::new();
    for base in bases {
        match ControlPlane::new(base, ApiKey::new(key)).clusters().await {
            Ok(clusters) => return Ok(clusters.into_iter().map(listed).collect()),
            Err(error) => failures.push(error),
        }
    }
    failures.sort_by_key(rank);
    let none = || Problem::new(Code::ControlPlane).with("detail", "");
    Err(failures.last().map_or_else(none, |error| problem(ANY_CLUSTER, "*", error)))
}

fn listed(cluster: Cluster) -> ListedCluster {
    ListedCluster {
        address: address(&cluster),
        name: cluster.cluster_name.clone(),
        cluster: cloud(cluster, None),
    }
}

/// Finds a cluster: at the control plane of an address, or at those of the vendor, one after the other.
///
/// # Errors
/// The key is refused, there is no such cluster for it, it has no public address, or nobody can be asked. `side` is
/// `source` or `target`.
pub async fn find(
    side: &'static str,
    id: &str,
    key: &str,
    api: Option<&str>,
) -> Result<FoundCluster, Problem> {
    let bases = api.map_or_else(|| HOSTS.to_vec(), |api| vec![api]);
    let mut failures = Vec::new();
    for base in bases {
        let plane = ControlPlane::new(base, ApiKey::new(key));
        match plane.cluster(id).await {
            Ok(cluster) => return found(side, &plane, cluster).await,
            Err(error) => failures.push(error),
        }
    }
    // A key of one site is none of the other; that a cluster is not there says more.
    failures.sort_by_key(rank);
    Err(failures.last().map_or_else(|| Problem::new(Code::ControlPlane), |error| problem(side, id, error)))
}

/// How much a failure says about the cluster.
fn rank(error: &Error) -> u8 {
    match error.kind() {
        ErrorKind::BadKey => 0,
        ErrorKind::Unreachable | ErrorKind::Throttled => 1,
        ErrorKind::Malformed | ErrorKind::Refused => 2,
        ErrorKind::NoCluster => 3,
    }
}

fn problem(side: &'static str, id: &str, error: &Error) -> Problem {
    let code = match error.kind() {
        ErrorKind::BadKey => Code::ApiKey,
        ErrorKind::NoCluster => Code::NoCloudCluster,
        ErrorKind::Unreachable | ErrorKind::Throttled => Code::ControlPlane,
        ErrorKind::Malformed | ErrorKind::Refused => Code::ControlPlaneRefused,
    };
    Problem::new(code).with("side", side).with("flag", side).with("id", id).told("detail", words_of(error))
}

async fn found(side: &'static str, plane: &ControlPlane, cluster: Cluster) -> Result<FoundCluster, Problem> {
    let Some(address) = address(&cluster) else {
        let problem = Problem::new(Code::NoPublicEndpoint).with("side", side);
        return Err(problem.with("id", &cluster.cluster_id));
    };
    // Only clusters with compute units have it, and only some keys may see it.
    let used = plane.metrics(&cluster.cluster_id, &[METRIC_USED]).await;
    let used_percent = used.ok().and_then(|values| values.get(METRIC_USED).copied());
    Ok(FoundCluster { address, cluster: cloud(cluster, used_percent) })
}

/// The public address with its scheme.
fn address(cluster: &Cluster) -> Option<String> {
    match cluster.connect_address.as_str() {
        "" => None,
        address if address.contains("://") => Some(address.to_owned()),
        address => Some(format!("https://{address}")),
    }
}

fn cloud(cluster: Cluster, used_percent: Option<f64>) -> CloudCluster {
    CloudCluster {
        id: cluster.cluster_id,
        project_id: cluster.project_id,
        region: cluster.region_id,
        deployment_option: cluster.deployment_option,
        cu_type: cluster.cu_type,
        cu_size: cluster.cu_size,
        status: cluster.status,
        used_percent,
    }
}
