//! Clusters: registered by their address; imported ones are described by the control plane of Zilliz Cloud.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use vecferry_migrate::cluster::cluster_problem;
use vecferry_migrate::{Code, Problem};
use vecferry_milvus::{Client, Endpoint, Secret};
use vecferry_policy::deployment::{Facts, detect};
use vecferry_policy::{CuType, Deployment};

use super::answer::{Answer, Done, Made, Refusal, Refused, Result, answer, answer_made, done};
use super::extract::{Body, Path, Query, Signed, optional_text, text, time};
use super::projects::{NAME_CHARACTERS_MAX, project};
use crate::access::{Action, Caller};
use crate::service::Service;
use crate::tables::{ClusterRecord, NewCluster, Tables, token_purpose};
use crate::watch::{in_time, look, sight_of};

/// What people call a cluster.
pub(crate) const KIND: (&str, &str) = ("cluster", "集群");
const DESCRIPTION_CHARACTERS_MAX: usize = 1024;
const ADDRESS_CHARACTERS_MAX: usize = 512;
const TOKEN_CHARACTERS_MAX: usize = 4096;
const CERTIFICATE_CHARACTERS_MAX: usize = 65_536;

/// A cluster, as the cloud's API shows it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Cluster {
    #[schema(example = "vf-0197b1e0c2d37c0f8a4b2f9f6f2f7c1a")]
    pub(crate) cluster_id: String,
    pub(crate) cluster_name: String,
    pub(crate) description: String,
    pub(crate) region_id: String,
    pub(crate) project_id: String,
    /// `Free`, `Serverless`, `Dedicated` or `self-hosted`.
    #[schema(example = "self-hosted")]
    pub(crate) deployment_option: String,
    /// The same.
    pub(crate) plan: String,
    pub(crate) cu_type: String,
    pub(crate) cu_size: f64,
    /// `RUNNING` or `ABNORMAL`.
    #[schema(example = "RUNNING")]
    pub(crate) status: &'static str,
    pub(crate) connect_address: String,
    pub(crate) create_time: String,
    /// The release of Milvus that it last said it runs.
    pub(crate) version: String,
    /// Whether a credential is recorded, encrypted.
    pub(crate) has_credential: bool,
    /// When it was looked at last.
    pub(crate) look_time: String,
    /// Why it did not answer then.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub(crate) trouble: Option<Value>,
}

pub(crate) fn shown(record: ClusterRecord) -> Cluster {
    Cluster {
        cluster_id: record.cluster_id,
        cluster_name: record.name,
        description: record.description,
        region_id: record.region,
        project_id: record.project_id,
        plan: record.deployment.clone(),
        deployment_option: record.deployment,
        cu_type: record.cu_type,
        cu_size: record.cu_size.parse().unwrap_or(0.0),
        status: record.sight.status.name(),
        connect_address: record.address,
        create_time: time(record.created_ms),
        version: record.sight.version,
        has_credential: record.token.is_some(),
        look_time: time(record.looked_ms),
        trouble: record.sight.trouble.as_deref().and_then(|text| serde_json::from_str(text).ok()),
    }
}

/// A page of clusters.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Clusters {
    pub(crate) count: i64,
    pub(crate) current_page: i64,
    pub(crate) page_size: i64,
    pub(crate) clusters: Vec<Cluster>,
}

/// Which page.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ClustersQuery {
    /// Clusters of a page, 1 to 100; 10 where nothing is said.
    pub(crate) page_size: Option<i64>,
    /// The first page is 1.
    pub(crate) current_page: Option<i64>,
    /// Only of this project.
    pub(crate) project_id: Option<String>,
    /// Only those whose name, address or ID has this in it.
    pub(crate) search: Option<String>,
}

/// A cluster to be registered.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ClusterRequest {
    #[schema(example = "proj-0197b1e0c2d37c0f8a4b2f9f6f2f7c1a")]
    pub(crate) project_id: String,
    #[schema(example = "search, production")]
    pub(crate) cluster_name: String,
    #[serde(default)]
    pub(crate) description: String,
    /// `http[s]://host[:port]`.
    #[schema(example = "http://127.0.0.1:19530")]
    pub(crate) connect_address: String,
    /// `user:password` or an API key. It is kept encrypted and never shown again.
    #[serde(default)]
    #[schema(format = Password)]
    pub(crate) token: Option<String>,
    /// Certificate authorities to trust besides the usual ones, PEM.
    #[serde(default)]
    pub(crate) ca_certificate: Option<String>,
    /// `Free`, `Serverless`, `Dedicated` or `self-hosted`, where the address does not tell.
    #[serde(default)]
    pub(crate) deployment_option: Option<String>,
    #[serde(default)]
    pub(crate) region_id: String,
    /// `performance`, `capacity` or `tiered`.
    #[serde(default)]
    pub(crate) cu_type: String,
    #[serde(default)]
    pub(crate) cu_size: Option<f64>,
}

/// Changes of a cluster; what is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ClusterChange {
    #[serde(default)]
    #[schema(example = "search, old")]
    pub(crate) cluster_name: Option<String>,
    #[serde(default)]
    pub(crate) description: Option<String>,
    /// Another credential, which is tried first; empty for none.
    #[serde(default)]
    #[schema(format = Password)]
    pub(crate) token: Option<String>,
}

/// What was registered.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClusterMade {
    pub(crate) cluster_id: String,
    pub(crate) version: String,
    /// The plan that was found out or said.
    #[schema(example = "self-hosted")]
    pub(crate) deployment_option: String,
}

/// A cluster that the caller sees, and with which an action is allowed.
pub(crate) async fn cluster(
    service: &Service,
    caller: &Caller,
    cluster_id: &str,
    action: Action,
) -> std::result::Result<ClusterRecord, Refusal> {
    let record = service.tables().cluster(&caller.org_id, cluster_id).await?;
    let record = record.filter(|record| caller.may(Action::Look, &record.project_id));
    let record = record.ok_or_else(|| Refusal::absent(KIND, cluster_id))?;
    if !caller.may(action, &record.project_id) {
        let role = caller.title_in(&record.project_id);
        return Err(super::extract::not_allowed(action.needs().title(), role));
    }
    Ok(record)
}

/// The clusters that the caller sees
#[utoipa::path(get, path = "/v2/clusters", tag = "Clusters", operation_id = "listClusters", params(ClustersQuery), security(("apiKey" = []), ("session" = [])),
    responses((status = 200, body = Answer<Clusters>), (status = "default", body = Refused)))]
pub(crate) async fn list(
    State(service): State<Arc<Service>>,
    Signed(caller): Signed,
    Query(query): Query<ClustersQuery>,
) -> Result<Clusters> {
    let page_size = super::extract::page_rows(Some(query.page_size.unwrap_or(10)))?;
    let current_page = query.current_page.unwrap_or(1);
    if !(1..=1_000_000).contains(&current_page) {
        return Err(Refusal::bad_told(
            format!("`currentPage` is {current_page}, not from 1 to 1000000"),
            format!("`currentPage` 为 {current_page}，不在 1 到 1000000 之间"),
        ));
    }
    let projects = match query.project_id {
        Some(project_id) => {
            project(&service, &caller, &project_id, Action::Look).await?;
            Some(vec![project_id])
        }
        None => caller.visible(),
    };
    let skipped = (current_page - 1) * page_size;
    let search =
        optional_text("search", query.search.as_deref().unwrap_or_default(), ADDRESS_CHARACTERS_MAX)?;
    let found = service.tables().clusters(&caller.org_id, projects.as_deref(), &search, (skipped, page_size));
    let (count, clusters) = found.await?;
    answer(Clusters { count, current_page, page_size, clusters: clusters.into_iter().map(shown).collect() })
}

/// A cluster
#[utoipa::path(get, path = "/v2/clusters/{clusterId}", tag = "Clusters", operation_id = "showCluster", security(("apiKey" = []), ("session" = [])),
    params(("clusterId" = String, Path, description = "The cluster")),
    responses((status = 200, body = Answer<Cluster>), (status = "default", body = Refused)))]
pub(crate) async fn show(
    State(service): State<Arc<Service>>,
    Signed(caller): Signed,
    Path(cluster_id): Path<String>,
) -> Result<Cluster> {
    answer(shown(cluster(&service, &caller, &cluster_id, Action::Look).await?))
}

/// Register a cluster: it is connected to, and its plan is found out; takes a Project Admin
#[utoipa::path(post, path = "/v2/clusters", tag = "Clusters", operation_id = "registerCluster", request_body = ClusterRequest,
    security(("apiKey" = []), ("session" = [])),
    responses((status = 200, body = Answer<ClusterMade>), (status = "default", body = Refused)))]
pub(crate) async fn register(
    State(service): State<Arc<Service>>,
    Signed(caller): Signed,
    Body(request): Body<ClusterRequest>,
) -> Result<ClusterMade> {
    project(&service, &caller, &request.project_id, Action::Administer).await?;
    let name = text("clusterName", &request.cluster_name, NAME_CHARACTERS_MAX)?;
    let description = optional_text("description", &request.description, DESCRIPTION_CHARACTERS_MAX)?;
    let address = text("connectAddress", &request.connect_address, ADDRESS_CHARACTERS_MAX)?;
    let region = optional_text("regionId", &request.region_id, NAME_CHARACTERS_MAX)?;
    let token = token("token", request.token.as_deref())?;
    let ca_pem = ca_pem(request.ca_certificate.as_deref())?;
    let cu_type = cu_type(&request.cu_type)?;
    let cu_size = cu_size(request.cu_size)?;
    let endpoint = service.endpoint(&address, token.clone(), ca_pem).await?;
    let deployment = deployment(request.deployment_option.as_deref(), &endpoint)?;
    let version = seen(&service, &endpoint).await?;
    let cluster_id = Tables::new_cluster_id();
    let sealed = token.map(|token| service.seal(&token_purpose(&cluster_id), &token)).transpose()?;
    let made = Made::named(&cluster_id, &name);
    let cluster = NewCluster {
        cluster_id: cluster_id.clone(),
        org_id: caller.org_id.clone(),
        project_id: request.project_id,
        name,
        description,
        address: endpoint.to_string(),
        deployment: deployment.to_string(),
        region,
        cu_type,
        cu_size,
        cloud: None,
        token: sealed,
        ca_pem: ca_pem.map(str::to_owned),
        sight: sight_of(Ok(version.clone()), ""),
    };
    service.tables().add_cluster(cluster).await?;
    answer_made(ClusterMade { cluster_id, version, deployment_option: deployment.to_string() }, made)
}

/// A cluster to be tried.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ClusterTrial {
    /// The project that it is meant for.
    #[schema(example = "proj-0197b1e0c2d37c0f8a4b2f9f6f2f7c1a")]
    pub(crate) project_id: String,
    /// `http[s]://host[:port]`.
    #[schema(example = "http://127.0.0.1:19530")]
    pub(crate) connect_address: String,
    /// `user:password` or an API key. It is not kept.
    #[serde(default)]
    #[schema(format = Password)]
    pub(crate) token: Option<String>,
    /// Certificate authorities to trust besides the usual ones, PEM.
    #[serde(default)]
    pub(crate) ca_certificate: Option<String>,
    /// `Free`, `Serverless`, `Dedicated` or `self-hosted`, where the address does not tell.
    #[serde(default)]
    pub(crate) deployment_option: Option<String>,
}

/// What a cluster showed when it was tried.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClusterTried {
    /// With its port.
    pub(crate) connect_address: String,
    pub(crate) version: String,
    /// Its plan; absent where the address does not tell and none was said: registration takes it then.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "self-hosted")]
    pub(crate) deployment_option: Option<String>,
    /// Databases that the credential sees.
    pub(crate) databases: usize,
    /// Collections in them.
    pub(crate) collections: usize,
    /// How long the cluster takes for one small question.
    pub(crate) latency_ms: u64,
}

/// Try the connection to a cluster without registering it: nothing is recorded; takes a Project Admin
#[utoipa::path(post, path = "/v2/clusters/test", tag = "Clusters", operation_id = "testCluster", request_body = ClusterTrial,
    security(("apiKey" = []), ("session" = [])),
    responses((status = 200, body = Answer<ClusterTried>), (status = "default", body = Refused)))]
pub(crate) async fn test(
    State(service): State<Arc<Service>>,
    Signed(caller): Signed,
    Body(trial): Body<ClusterTrial>,
) -> Result<ClusterTried> {
    project(&service, &caller, &trial.project_id, Action::Administer).await?;
    let address = text("connectAddress", &trial.connect_address, ADDRESS_CHARACTERS_MAX)?;
    let token = token("token", trial.token.as_deref())?;
    let endpoint = service.endpoint(&address, token, ca_pem(trial.ca_certificate.as_deref())?).await?;
    let deployment = told_or_said(trial.deployment_option.as_deref(), &endpoint)?;
    let _permit = service.checks().try_acquire().map_err(|_| busy())?;
    let tried =
        in_time(async { tried(&endpoint, deployment).await.map_err(|error| cluster_problem(&error)) });
    answer(Box::pin(tried).await?)
}

async fn tried(
    endpoint: &Endpoint,
    deployment: Option<Deployment>,
) -> std::result::Result<ClusterTried, vecferry_milvus::Error> {
    let client = Client::connect(endpoint.clone(), 1).await?;
    let asked = Instant::now();
    let databases = client.databases().await?;
    let latency = asked.elapsed();
    let mut collections = 0;
    for db in &databases {
        collections += client.collections(db).await?.len();
    }
    Ok(ClusterTried {
        connect_address: endpoint.to_string(),
        version: client.version().to_string(),
        deployment_option: deployment.map(|deployment| deployment.to_string()),
        databases: databases.len(),
        collections,
        latency_ms: u64::try_from(latency.as_millis()).unwrap_or(u64::MAX),
    })
}

/// Looks at a cluster, not at too many at once.
async fn seen(service: &Service, endpoint: &Endpoint) -> std::result::Result<String, Refusal> {
    let _permit = service.checks().try_acquire().map_err(|_| busy())?;
    Ok(look(endpoint).await?)
}

/// As many clusters are checked as may be at once.
pub(crate) fn busy() -> Refusal {
    Problem::new(Code::TooManyRequests).with("seconds", 5).into()
}

/// A credential, if one is given.
pub(crate) fn token(name: &str, given: Option<&str>) -> std::result::Result<Option<Secret>, Refusal> {
    let given = given.map(str::trim).filter(|token| !token.is_empty());
    if given.is_some_and(|token| token.len() > TOKEN_CHARACTERS_MAX || token.chars().any(char::is_control)) {
        return Err(Refusal::bad_told(
            format!("`{name}` is too long or holds control characters"),
            format!("`{name}` 过长或含有控制字符"),
        ));
    }
    Ok(given.map(Secret::new))
}

/// Certificate authorities, if any are given.
fn ca_pem(given: Option<&str>) -> std::result::Result<Option<&str>, Refusal> {
    let given = given.map(str::trim).filter(|pem| !pem.is_empty());
    if given.is_some_and(|pem| pem.len() > CERTIFICATE_CHARACTERS_MAX) {
        return Err(Refusal::bad_told("`caCertificate` is too long", "`caCertificate` 过长"));
    }
    Ok(given)
}

fn cu_type(given: &str) -> std::result::Result<String, Refusal> {
    if given.is_empty() || CuType::parse(given).is_some() {
        return Ok(given.to_owned());
    }
    Err(Refusal::bad_told(
        "`cuType` is not `performance`, `capacity` or `tiered`",
        "`cuType` 应为 `performance`、`capacity` 或 `tiered`",
    ))
}

fn cu_size(given: Option<f64>) -> std::result::Result<String, Refusal> {
    match given {
        None => Ok(String::new()),
        Some(size) if (0.0..=100_000.0).contains(&size) => Ok(size.to_string()),
        Some(_) => Err(Refusal::bad_told("`cuSize` is no size", "`cuSize` 不是有效的大小")),
    }
}

/// The plan as the address shows it, or else as it is said; none where neither tells.
fn told_or_said(said: Option<&str>, endpoint: &Endpoint) -> std::result::Result<Option<Deployment>, Refusal> {
    let stated = match said {
        None | Some("") => None,
        Some(said) => Some(Deployment::parse(said).ok_or_else(|| {
            Refusal::bad_told(
                "`deploymentOption` is not `Free`, `Serverless`, `Dedicated` or `self-hosted`",
                "`deploymentOption` 应为 `Free`、`Serverless`、`Dedicated` 或 `self-hosted`",
            )
        })?),
    };
    let detected = detect(&Facts { host: endpoint.host(), stated, ..Facts::default() });
    Ok(detected.map(|detected| detected.deployment).or(stated))
}

/// The plan: what the address shows, or else what is said.
fn deployment(said: Option<&str>, endpoint: &Endpoint) -> std::result::Result<Deployment, Refusal> {
    told_or_said(said, endpoint)?.ok_or_else(|| {
        Refusal::bad_told(
            "the address does not tell the plan: choose it (`deploymentOption`)",
            "从地址无法判断部署方式，请选择（`deploymentOption`）",
        )
    })
}

/// Change the name, the description or the credential of a cluster; takes a Project Admin
#[utoipa::path(patch, path = "/v2/clusters/{clusterId}", tag = "Clusters", operation_id = "changeCluster", request_body = ClusterChange,
    params(("clusterId" = String, Path, description = "The cluster")), security(("apiKey" = []), ("session" = [])),
    responses((status = 200, body = Answer<Done>), (status = "default", body = Refused)))]
pub(crate) async fn change(
    State(service): State<Arc<Service>>,
    Signed(caller): Signed,
    Path(cluster_id): Path<String>,
    Body(change): Body<ClusterChange>,
) -> Result<Done> {
    let record = cluster(&service, &caller, &cluster_id, Action::Administer).await?;
    let name = change.cluster_name.as_deref();
    let name = name.map(|name| text("clusterName", name, NAME_CHARACTERS_MAX)).transpose()?;
    let description = change.description.as_deref();
    let description =
        description.map(|text| optional_text("description", text, DESCRIPTION_CHARACTERS_MAX)).transpose()?;
    let sealed = match change.token.as_deref() {
        None => None,
        Some(given) => {
            let token = token("token", Some(given))?;
            let endpoint = service.endpoint(&record.address, token.clone(), record.ca_pem.as_deref()).await?;
            let version = seen(&service, &endpoint).await?;
            // Whoever mends a credential need not wait for the next look.
            service.tables().record_sight(&cluster_id, sight_of(Ok(version), "")).await?;
            Some(token.map(|token| service.seal(&token_purpose(&cluster_id), &token)).transpose()?)
        }
    };
    service.tables().change_cluster(&cluster_id, (name, description), sealed).await?;
    done()
}

/// Forget a cluster and its credential; takes a Project Admin. Nothing happens to the cluster itself
#[utoipa::path(delete, path = "/v2/clusters/{clusterId}", tag = "Clusters", operation_id = "removeCluster",
    params(("clusterId" = String, Path, description = "The cluster")), security(("apiKey" = []), ("session" = [])),
    responses((status = 200, body = Answer<Done>), (status = "default", body = Refused)))]
pub(crate) async fn remove(
    State(service): State<Arc<Service>>,
    Signed(caller): Signed,
    Path(cluster_id): Path<String>,
) -> Result<Done> {
    let record = cluster(&service, &caller, &cluster_id, Action::Administer).await?;
    if service.tables().remove_cluster(&cluster_id).await? {
        return done();
    }
    let job = service.tables().job_of_cluster(&cluster_id).await?.unwrap_or_default();
    Err(Problem::new(Code::ClusterInUse).with("cluster", record.name).with("job", job).into())
}
