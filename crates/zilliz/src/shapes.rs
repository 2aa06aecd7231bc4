//! What the control plane answers, as far as it is used here.

use serde::Deserialize;

/// A project of the organization that a key belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Project {
    /// Its id.
    pub project_id: String,
    /// Its name.
    pub project_name: String,
    /// Number of its clusters.
    pub instance_count: i64,
}

/// A cluster.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Cluster {
    /// Its id, as `in01-…`.
    pub cluster_id: String,
    /// Its name.
    pub cluster_name: String,
    /// Its project.
    pub project_id: String,
    /// Its region, as `aws-us-west-2`.
    pub region_id: String,
    /// `Standard`, `Enterprise` …; not sure to tell Free from Serverless.
    pub plan: String,
    /// `Free`, `Serverless` or `Dedicated`; empty where the control plane does not say it yet.
    pub deployment_option: String,
    /// `Performance-optimized` …; empty for clusters without compute units.
    pub cu_type: String,
    /// Compute units; 0 for clusters without.
    pub cu_size: f64,
    /// `RUNNING` …
    pub status: String,
    /// Its public address; empty if it has none.
    pub connect_address: String,
    /// Copies of the compute units.
    pub replica: i64,
}

/// A page of clusters: an object by the examples, an array by the schema of the documentation.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum ClusterPage {
    Page {
        #[serde(default)]
        count: u64,
        clusters: Vec<Cluster>,
    },
    All(Vec<Cluster>),
}

/// Measured values of a cluster.
#[derive(Debug, Deserialize)]
pub(crate) struct Metrics {
    #[serde(default)]
    pub(crate) results: Vec<Metric>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Metric {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) values: Vec<MetricValue>,
}

/// Values come as texts, or not at all.
#[derive(Debug, Deserialize)]
pub(crate) struct MetricValue {
    #[serde(default)]
    pub(crate) value: Option<String>,
}
