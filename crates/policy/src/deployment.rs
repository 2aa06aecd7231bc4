//! The plan (deployment option, 部署方式) of a cluster, and how it is found out.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a cluster is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deployment {
    /// Zilliz Cloud, free of charge.
    Free,
    /// Zilliz Cloud, by use.
    Serverless,
    /// Zilliz Cloud, with compute units of its own.
    Dedicated,
    /// Plain Milvus; counts as Dedicated.
    SelfHosted,
}

impl Deployment {
    /// What it counts as in a table of plans.
    #[must_use]
    pub fn in_tables(self) -> Self {
        if self == Self::SelfHosted { Self::Dedicated } else { self }
    }

    /// Whether the vendor runs it.
    pub fn is_cloud(self) -> bool {
        self != Self::SelfHosted
    }

    /// Reads the vendor's word.
    pub fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "free" => Some(Self::Free),
            "serverless" => Some(Self::Serverless),
            "dedicated" => Some(Self::Dedicated),
            "self-hosted" | "self_hosted" => Some(Self::SelfHosted),
            _ => None,
        }
    }
}

impl fmt::Display for Deployment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Free => "Free",
            Self::Serverless => "Serverless",
            Self::Dedicated => "Dedicated",
            Self::SelfHosted => "self-hosted",
        })
    }
}

/// What is known of a cluster before anybody asks it.
#[derive(Clone, Debug, Default)]
pub struct Facts<'a> {
    /// The control plane's `deploymentOption`.
    pub deployment_option: Option<&'a str>,
    /// The cluster's id, as `in01-…`.
    pub cluster_id: Option<&'a str>,
    /// The control plane's `cuSize`; 0 for clusters without compute units of their own.
    pub cu_size: Option<f64>,
    /// The host of its address.
    pub host: &'a str,
    /// What the user says.
    pub stated: Option<Deployment>,
}

/// What a plan was recognized by, in the order in which it is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FoundBy {
    /// The control plane says it.
    ControlPlane,
    /// The beginning of the cluster's id.
    ClusterId,
    /// It has compute units.
    ComputeUnits,
    /// Its host.
    Host,
    /// The user says it.
    Statement,
    /// Its host is none of the vendor's: plain Milvus.
    NotCloud,
}

/// A plan, and how it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detected {
    /// The plan.
    pub deployment: Deployment,
    /// How it is known.
    pub by: FoundBy,
}

/// Ends of the vendor's host names (global and China).
const CLOUD_HOSTS: [&str; 3] = [".zillizcloud.com", ".zilliz.com.cn", ".cloud.zilliz.com"];

/// Whether a host is the vendor's.
pub fn is_cloud_host(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    CLOUD_HOSTS.iter().any(|end| host.ends_with(end))
}

/// The id of the cluster at a host of the vendor's.
pub fn cluster_id_of_host(host: &str) -> Option<&str> {
    let first = host.split('.').next().filter(|_| is_cloud_host(host))?;
    is_cluster_id(first).then_some(first)
}

/// Whether a text is a cluster's id and no address: `in01-` and the like, then letters and digits.
pub fn is_cluster_id(text: &str) -> bool {
    let Some((prefix, rest)) = text.split_once('-') else { return false };
    let digits = prefix.strip_prefix("in").unwrap_or_default();
    digits.len() == 2
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !rest.is_empty()
        && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn of_prefix(cluster_id: &str) -> Option<Deployment> {
    match cluster_id.split('-').next()? {
        "in01" => Some(Deployment::Dedicated),
        "in03" => Some(Deployment::Free),
        "in05" => Some(Deployment::Serverless),
        _ => None,
    }
}

/// The plan of a cluster; `None` for a cluster of the vendor's of which nothing tells.
pub fn detect(facts: &Facts<'_>) -> Option<Detected> {
    let found = |deployment, by| Some(Detected { deployment, by });
    if let Some(deployment) = facts.deployment_option.and_then(Deployment::parse) {
        return found(deployment, FoundBy::ControlPlane);
    }
    let id = facts.cluster_id.or_else(|| cluster_id_of_host(facts.host));
    if let Some(deployment) = id.and_then(of_prefix) {
        return found(deployment, FoundBy::ClusterId);
    }
    if facts.cu_size.is_some_and(|size| size > 0.0) {
        return found(Deployment::Dedicated, FoundBy::ComputeUnits);
    }
    let is_cloud = is_cloud_host(facts.host);
    // Hosts of Free and Serverless clusters look alike.
    if is_cloud && facts.host.contains(".vectordb.") && !facts.host.contains(".serverless.") {
        return found(Deployment::Dedicated, FoundBy::Host);
    }
    if let Some(deployment) = facts.stated {
        return found(deployment, FoundBy::Statement);
    }
    if is_cloud { None } else { found(Deployment::SelfHosted, FoundBy::NotCloud) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_found_by_the_surest_sign() {
        let dedicated = "in01-4c7d9e.aws-us-west-2.vectordb.zillizcloud.com";
        let serverless = "xyz.serverless.gcp-us-west1.cloud.zilliz.com";
        let base = Facts { host: "10.0.0.1", ..Facts::default() };
        for (facts, expected) in [
            (
                Facts { deployment_option: Some("Serverless"), cluster_id: Some("in01-a"), ..base.clone() },
                Some((Deployment::Serverless, FoundBy::ControlPlane)),
            ),
            (
                Facts {
                    deployment_option: Some("of the future"),
                    cluster_id: Some("in03-a"),
                    ..base.clone()
                },
                Some((Deployment::Free, FoundBy::ClusterId)),
            ),
            (Facts { host: dedicated, ..base.clone() }, Some((Deployment::Dedicated, FoundBy::ClusterId))),
            (
                Facts { cluster_id: Some("in05-a"), cu_size: Some(0.0), ..base.clone() },
                Some((Deployment::Serverless, FoundBy::ClusterId)),
            ),
            (
                Facts { cu_size: Some(2.0), host: serverless, ..base.clone() },
                Some((Deployment::Dedicated, FoundBy::ComputeUnits)),
            ),
            (
                Facts { host: "abc.ali-cn-hangzhou.vectordb.zilliz.com.cn", ..base.clone() },
                Some((Deployment::Dedicated, FoundBy::Host)),
            ),
            (
                Facts { host: serverless, stated: Some(Deployment::Free), ..base.clone() },
                Some((Deployment::Free, FoundBy::Statement)),
            ),
            (Facts { host: serverless, ..base.clone() }, None),
            (base.clone(), Some((Deployment::SelfHosted, FoundBy::NotCloud))),
            (
                Facts { stated: Some(Deployment::Serverless), ..base },
                Some((Deployment::Serverless, FoundBy::Statement)),
            ),
        ] {
            let found = detect(&facts).map(|found| (found.deployment, found.by));
            assert_eq!(found, expected, "{facts:?}");
        }
    }

    #[test]
    fn ids_and_addresses_are_told_apart() {
        for id in ["in01-4c7d9e1", "in03-abc", "in05-0f0f"] {
            assert!(is_cluster_id(id), "{id}");
        }
        for other in ["in01", "in01-", "in1-a", "inn1-a", "in01-a.b", "http://in01-a:1", "localhost", "glo-a"]
        {
            assert!(!is_cluster_id(other), "{other}");
        }
        assert_eq!(cluster_id_of_host("in01-a.vectordb.zillizcloud.com"), Some("in01-a"));
        assert_eq!(cluster_id_of_host("in01-a.example.com"), None);
    }
}
