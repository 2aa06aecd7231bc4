//! Clusters of Zilliz Cloud, registered by an API key: what is known of them comes from the control plane.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use vecferry_migrate::cluster::control_plane::{CloudCluster, ListedCluster, list};
use vecferry_migrate::{Code, Problem};
use vecferry_milvus::{Endpoint, Secret};
use vecferry_policy::deployment::{Facts, detect};

use super::answer::{Answer, Made, Refusal, Refused, Result, answer, answer_made};
use super::clusters::{busy, token};
use super::extract::{Body, Signed};
use super::projects::{NAME_CHARACTERS_MAX, project};
use crate::access::{Action, Caller};
use crate::problem::document;
use crate::service::Service;
use crate::tables::{ClusterStatus, NewCluster, Sight, Tables, token_purpose};

/// Clusters that are registered in one request.
const IMPORTED_MAX: usize = 200;

/// Clusters to be registered.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ImportRequest {
    /// The project that they are registered in.
    #[schema(example = "proj-0197b1e0c2d37c0f8a4b2f9f6f2f7c1a")]
    pub(crate) project_id: String,
    /// An API key of Zilliz Cloud. It is kept encrypted as the credential of each cluster, and never shown again.
    #[schema(format = Password, example = "an API key")]
    pub(crate) api_key: String,
    /// Their IDs in the cloud; absent: all that the key sees.
    #[serde(default)]
    #[schema(example = json!(["in01-0197b1e0c2d37c0"]))]
    pub(crate) cluster_ids: Option<Vec<String>>,
}

/// Whose clusters are to be listed.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ImportableRequest {
    /// The project that they are meant for.
    #[schema(example = "proj-0197b1e0c2d37c0f8a4b2f9f6f2f7c1a")]
    pub(crate) project_id: String,
    /// An API key of Zilliz Cloud. It is not kept.
    #[schema(format = Password, example = "an API key")]
    pub(crate) api_key: String,
}

/// Clusters that a key sees.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Importable {
    pub(crate) clusters: Vec<ClusterListed>,
}

/// A cluster of Zilliz Cloud, as its control plane lists it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClusterListed {
    pub(crate) cloud_cluster_id: String,
    pub(crate) cluster_name: String,
    pub(crate) region_id: String,
    /// `Free`, `Serverless` or `Dedicated`; empty where nothing tells.
    #[schema(example = "Dedicated")]
    pub(crate) deployment_option: String,
    pub(crate) cu_type: String,
    pub(crate) cu_size: f64,
    /// As the control plane writes it.
    #[schema(example = "RUNNING")]
    pub(crate) status: String,
    /// Its public address; empty where it has none, and then it can't be registered.
    pub(crate) connect_address: String,
    /// Whether it is registered in the project already.
    pub(crate) is_registered: bool,
}

/// The clusters of Zilliz Cloud that an API key sees, to choose from; takes a Project Admin
#[utoipa::path(post, path = "/v2/clusters/importable", tag = "Clusters", operation_id = "listImportableClusters",
    request_body = ImportableRequest, security(("apiKey" = []), ("session" = [])),
    responses((status = 200, body = Answer<Importable>), (status = "default", body = Refused)))]
pub(crate) async fn importable(
    State(service): State<Arc<Service>>,
    Signed(caller): Signed,
    Body(request): Body<ImportableRequest>,
) -> Result<Importable> {
    project(&service, &caller, &request.project_id, Action::Administer).await?;
    let key = api_key(&request.api_key)?;
    let _permit = service.checks().try_acquire().map_err(|_| busy())?;
    let listed = Box::pin(list(key.reveal(), service.settings().control_plane.as_deref())).await?;
    let known = service.tables().addresses_in_project(&caller.org_id, &request.project_id).await?;
    let clusters = listed.into_iter().map(|cluster| shown(cluster, &known)).collect();
    answer(Importable { clusters })
}

fn shown(listed: ListedCluster, known: &BTreeSet<String>) -> ClusterListed {
    let ListedCluster { name, address, cluster } = listed;
    let endpoint = address.as_deref().and_then(|address| Endpoint::parse(address).ok());
    let host = endpoint.as_ref().map(Endpoint::host).unwrap_or_default();
    let deployment = detect(&facts(&cluster, host));
    ClusterListed {
        cluster_name: plain(&name, &cluster.id),
        deployment_option: deployment.map(|found| found.deployment.to_string()).unwrap_or_default(),
        is_registered: endpoint.is_some_and(|endpoint| known.contains(&endpoint.to_string())),
        connect_address: address.unwrap_or_default(),
        cloud_cluster_id: cluster.id,
        region_id: cluster.region,
        cu_type: cluster.cu_type,
        cu_size: cluster.cu_size,
        status: cluster.status,
    }
}

/// What tells the plan of a cluster.
fn facts<'a>(cluster: &'a CloudCluster, host: &'a str) -> Facts<'a> {
    Facts {
        deployment_option: Some(cluster.deployment_option.as_str()).filter(|option| !option.is_empty()),
        cluster_id: Some(&cluster.id),
        cu_size: Some(cluster.cu_size),
        host,
        stated: None,
    }
}

fn api_key(given: &str) -> std::result::Result<Secret, Refusal> {
    token("apiKey", Some(given))?.ok_or_else(|| Refusal::bad_told("`apiKey` is empty", "`apiKey` 为空"))
}

/// What came of an import.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Imported {
    pub(crate) imported: Vec<ClusterImported>,
    pub(crate) skipped: Vec<ClusterSkipped>,
}

/// Clusters that the audit log names of one import.
const MADE_MAX: usize = 10;

/// A cluster that was registered.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClusterImported {
    pub(crate) cluster_id: String,
    pub(crate) cloud_cluster_id: String,
    pub(crate) cluster_name: String,
    /// `Free`, `Serverless` or `Dedicated`.
    #[schema(example = "Dedicated")]
    pub(crate) deployment_option: String,
}

/// A cluster that was not.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClusterSkipped {
    pub(crate) cloud_cluster_id: String,
    pub(crate) cluster_name: String,
    /// Why not.
    #[schema(value_type = Object)]
    pub(crate) problem: Value,
}

/// Register clusters of Zilliz Cloud by an API key; takes a Project Admin
///
/// Those without a public address, and those that are registered in the project already, are skipped.
#[utoipa::path(post, path = "/v2/clusters/import", tag = "Clusters", operation_id = "importClusters", request_body = ImportRequest,
    security(("apiKey" = []), ("session" = [])),
    responses((status = 200, body = Answer<Imported>), (status = "default", body = Refused)))]
pub(crate) async fn import(
    State(service): State<Arc<Service>>,
    Signed(caller): Signed,
    Body(request): Body<ImportRequest>,
) -> Result<Imported> {
    project(&service, &caller, &request.project_id, Action::Administer).await?;
    let key = api_key(&request.api_key)?;
    let _permit = service.checks().try_acquire().map_err(|_| busy())?;
    let listed = Box::pin(list(key.reveal(), service.settings().control_plane.as_deref())).await?;
    let chosen = chosen(listed, request.cluster_ids)?;
    let known = service.tables().addresses_in_project(&caller.org_id, &request.project_id).await?;
    let mut answered = Imported { imported: Vec::new(), skipped: Vec::new() };
    for cluster in chosen {
        let (cloud_cluster_id, cluster_name) = (cluster.cluster.id.clone(), cluster.name.clone());
        match register(&service, &caller, &request.project_id, &key, cluster, &known).await {
            Ok(registered) => answered.imported.push(registered),
            Err(Skipped::Told(problem)) => {
                let problem = document(&problem);
                answered.skipped.push(ClusterSkipped { cloud_cluster_id, cluster_name, problem });
            }
            Err(Skipped::All(refusal)) => return Err(refusal),
        }
    }
    match made(&answered.imported) {
        Some(made) => answer_made(answered, made),
        None => answer(answered),
    }
}

/// What was registered, for the audit log; the first of many.
fn made(imported: &[ClusterImported]) -> Option<Made> {
    let ids: Vec<_> = imported.iter().take(MADE_MAX).map(|cluster| cluster.cluster_id.as_str()).collect();
    let names = imported.iter().take(MADE_MAX).map(|cluster| cluster.cluster_name.as_str());
    let names: Vec<_> = names.chain((imported.len() > MADE_MAX).then_some("…")).collect();
    (!ids.is_empty()).then(|| Made::named(&ids.join(","), &names.join(", ")))
}

/// Those that were asked for, all of which have to be there.
fn chosen(
    listed: Vec<ListedCluster>,
    asked: Option<Vec<String>>,
) -> std::result::Result<Vec<ListedCluster>, Refusal> {
    let chosen = match asked {
        None => listed,
        Some(asked) => {
            let asked: BTreeSet<_> = asked.into_iter().collect();
            let known: BTreeSet<_> = listed.iter().map(|cluster| cluster.cluster.id.clone()).collect();
            let problems: Vec<_> =
                asked.difference(&known).take(IMPORTED_MAX).map(|id| unknown(id)).collect();
            if !problems.is_empty() {
                return Err(problems.into());
            }
            listed.into_iter().filter(|cluster| asked.contains(&cluster.cluster.id)).collect()
        }
    };
    if chosen.len() > IMPORTED_MAX {
        return Err(Refusal::bad_told(
            format!(
                "{} clusters are chosen; at most {IMPORTED_MAX} are registered at once: name them",
                chosen.len()
            ),
            format!("选中了 {} 个集群；一次最多注册 {IMPORTED_MAX} 个，请用 `clusterIds` 指定", chosen.len()),
        ));
    }
    Ok(chosen)
}

fn unknown(id: &str) -> Problem {
    let problem = Problem::new(Code::NoCloudCluster).with("side", vecferry_migrate::problem::ANY_CLUSTER);
    problem.with("id", id).with("detail", "not in the list").with("detail_zh", "不在列表中")
}

/// Why a cluster was not registered.
enum Skipped {
    /// It can't be.
    Told(Problem),
    /// Nothing can be.
    All(Refusal),
}

async fn register(
    service: &Service,
    caller: &Caller,
    project_id: &str,
    key: &Secret,
    listed: ListedCluster,
    known: &BTreeSet<String>,
) -> std::result::Result<ClusterImported, Skipped> {
    let ListedCluster { name, address, cluster } = listed;
    let address = address.ok_or_else(|| {
        let problem = Problem::new(Code::NoPublicEndpoint);
        let problem = problem.with("side", vecferry_migrate::problem::ANY_CLUSTER);
        Skipped::Told(problem.with("id", &cluster.id))
    })?;
    // Its name is resolved and judged as that of every other cluster.
    let endpoint = service.endpoint(&address, None, None).await.map_err(Skipped::Told)?;
    if known.contains(&endpoint.to_string()) {
        return Err(Skipped::Told(told("it is registered in the project already", "该集群已在项目中注册")));
    }
    let deployment =
        detect(&facts(&cluster, endpoint.host())).map(|detected| detected.deployment).ok_or_else(|| {
            Skipped::Told(told(
                "the control plane does not tell its plan; register it by its address",
                "控制面未说明其部署方式；请按地址注册",
            ))
        })?;
    let is_running = cluster.is_running();
    let cluster_id = Tables::new_cluster_id();
    let all = |problem: Problem| Skipped::All(problem.into());
    let sealed = service.seal(&token_purpose(&cluster_id), key).map_err(all)?;
    let cloud = serde_json::to_string(&cluster).map_err(|error| Skipped::All(Refusal::unavailable(error)))?;
    let name = plain(&name, &cluster.id);
    let new = NewCluster {
        cluster_id: cluster_id.clone(),
        org_id: caller.org_id.clone(),
        project_id: project_id.to_owned(),
        name: name.clone(),
        description: String::new(),
        address: endpoint.to_string(),
        deployment: deployment.to_string(),
        region: cluster.region,
        cu_type: cluster.cu_type,
        cu_size: if cluster.cu_size > 0.0 { cluster.cu_size.to_string() } else { String::new() },
        cloud: Some(cloud),
        token: Some(sealed),
        ca_pem: None,
        // It is looked at soon; until then it is as the control plane says.
        sight: Sight {
            status: if is_running { ClusterStatus::Running } else { ClusterStatus::Abnormal },
            version: String::new(),
            trouble: None,
        },
    };
    service.tables().add_cluster(new).await.map_err(|error| Skipped::All(error.into()))?;
    let deployment_option = deployment.to_string();
    Ok(ClusterImported { cluster_id, cloud_cluster_id: cluster.id, cluster_name: name, deployment_option })
}

fn told(english: &str, chinese: &str) -> Problem {
    Problem::new(Code::Conflict).with("detail", english).with("detail_zh", chinese)
}

/// A name from outside, as a name here may be.
fn plain(name: &str, id: &str) -> String {
    let plain: String = name.chars().filter(|character| !vecferry_report::acts(*character)).collect();
    match plain.trim() {
        "" => id.to_owned(),
        plain => plain.chars().take(NAME_CHARACTERS_MAX).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(id: &str) -> ListedCluster {
        let cluster = CloudCluster { id: id.into(), ..CloudCluster::default() };
        ListedCluster { name: format!("the {id}"), address: None, cluster }
    }

    fn ids(chosen: Vec<ListedCluster>) -> Vec<String> {
        chosen.into_iter().map(|cluster| cluster.cluster.id).collect()
    }

    #[test]
    fn all_or_the_named_clusters_are_chosen() {
        let all = || vec![listed("in01-a"), listed("in01-b")];
        assert_eq!(ids(chosen(all(), None).unwrap()), ["in01-a", "in01-b"]);
        let named = |ids: &[&str]| Some(ids.iter().map(|id| (*id).to_owned()).collect());
        assert_eq!(ids(chosen(all(), named(&["in01-b", "in01-b"])).unwrap()), ["in01-b"]);
        let refusal = chosen(all(), named(&["in01-b", "in01-x"])).unwrap_err();
        assert_eq!(refusal.problems().len(), 1);
        assert_eq!(refusal.problems()[0].code, Code::NoCloudCluster);
        assert!(refusal.problems()[0].to_string().contains("in01-x"), "{refusal:?}");
        let many = (0..=IMPORTED_MAX).map(|id| listed(&format!("in01-{id}"))).collect();
        assert_eq!(chosen(many, None).unwrap_err().problems()[0].code, Code::BadRequest);
    }

    #[test]
    fn a_name_from_outside_is_made_plain() {
        assert_eq!(plain("search\u{1b}[31m", "in01-a"), "search[31m");
        assert_eq!(plain(" \u{7} ", "in01-a"), "in01-a");
        assert_eq!(plain(&"好".repeat(100), "in01-a").chars().count(), NAME_CHARACTERS_MAX);
    }

    #[tokio::test]
    async fn the_list_comes_from_the_control_plane() {
        let cloud = vecferry_testkit::CloudStandIn::start(vecferry_testkit::CloudOptions {
            key: "good".into(),
            clusters: vec![
                serde_json::json!({"clusterId": "in01-a", "clusterName": "search", "regionId": "aws-us-west-2",
                        "cuSize": 2, "status": "RUNNING", "connectAddress": "https://in01-a.example.com:19530"}),
                serde_json::json!({"clusterId": "in03-b", "clusterName": "hidden", "connectAddress": ""}),
            ],
            ..Default::default()
        });
        let found = list("good", Some(&cloud.uri())).await.unwrap();
        let address = Some("https://in01-a.example.com:19530".to_owned());
        assert_eq!((found[0].name.as_str(), &found[0].address), ("search", &address));
        assert_eq!((found[0].cluster.cu_size, found[0].cluster.is_running()), (2.0, true));
        assert_eq!((found[1].cluster.id.as_str(), &found[1].address), ("in03-b", &None));
        let problem = list("bad", Some(&cloud.uri())).await.unwrap_err();
        assert_eq!(problem.code, Code::ApiKey);
    }
}
