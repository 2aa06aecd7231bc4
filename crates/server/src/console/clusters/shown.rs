//! A cluster as pages show it.

use serde_json::Value;
use vecferry_policy::{CuType, Deployment};
use vecferry_words::Lang;

use crate::access::Action;
use crate::api::clusters::{Cluster, cluster};
use crate::api::{self, Refusal};
use crate::console::frame::Visit;
use crate::console::show::{Say, Trouble};
use crate::tables::ProjectRecord;

/// What a page says of a cluster.
#[derive(Clone, Debug)]
pub(super) struct ClusterShown {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) description: String,
    pub(super) plan: String,
    pub(super) version: String,
    pub(super) is_running: bool,
    pub(super) trouble: Option<Trouble>,
    pub(super) address: String,
    pub(super) region: String,
    pub(super) units: String,
    pub(super) has_credential: bool,
    pub(super) looked: String,
    pub(super) created: String,
}

impl ClusterShown {
    pub(super) fn of(cluster: Cluster, t: Say) -> Self {
        Self {
            plan: plan(&cluster.plan, t),
            is_running: cluster.status == "RUNNING",
            trouble: cluster.trouble.as_ref().map(|told| told_in(told, t.0)),
            units: units(cluster.cu_size, &cluster.cu_type, t),
            id: cluster.cluster_id,
            name: cluster.cluster_name,
            description: cluster.description,
            version: cluster.version,
            address: cluster.connect_address,
            region: cluster.region_id,
            has_credential: cluster.has_credential,
            looked: cluster.look_time,
            created: cluster.create_time,
        }
    }
}

/// A problem that was recorded as a document.
fn told_in(told: &Value, lang: Lang) -> Trouble {
    let text = |name: &str| told.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    Trouble {
        code: text("code"),
        what: text(lang.pick("message", "message_zh")),
        hint: text(lang.pick("hint", "hint_zh")),
    }
}

/// The problem of a document in an answer.
pub(super) fn trouble_in(told: &Value, t: Say) -> Trouble {
    told_in(told, t.0)
}

/// What stands in the way of a request.
pub(super) fn troubles(refusal: &Refusal, t: Say) -> Vec<Trouble> {
    refusal.problems().iter().map(|problem| Trouble::of(problem, t.0)).collect()
}

/// A plan by its name.
pub(super) fn plan(name: &str, t: Say) -> String {
    match Deployment::parse(name) {
        Some(Deployment::SelfHosted) => t.say("Self-hosted", "自建").to_owned(),
        Some(Deployment::Free | Deployment::Serverless | Deployment::Dedicated) | None => name.to_owned(),
    }
}

/// The name of a type of compute units.
pub(super) fn cu_type(name: &str, t: Say) -> String {
    match CuType::parse(name) {
        Some(CuType::Performance) => t.say("Performance-optimized", "性能型").to_owned(),
        Some(CuType::Capacity) => t.say("Capacity-optimized", "容量型").to_owned(),
        Some(CuType::Tiered) => t.say("Tiered-storage", "分层存储型").to_owned(),
        None => name.to_owned(),
    }
}

/// `8 CU, Performance-optimized`; empty where neither is known.
pub(super) fn units(size: f64, kind: &str, t: Say) -> String {
    let size = if size > 0.0 { format!("{size} CU") } else { String::new() };
    let parts = [size, cu_type(kind, t)];
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(t.say(", ", "，"))
}

/// A project of an address, and a cluster in it.
pub(super) async fn of_address(
    visit: &Visit,
    (project_id, cluster_id): (&str, &str),
) -> Result<(ProjectRecord, ClusterShown), Refusal> {
    let project = visit.project(project_id).await?;
    let record = cluster(&visit.service, &visit.caller, cluster_id, Action::Look).await?;
    if record.project_id != project.project_id {
        return Err(Refusal::absent(api::clusters::KIND, cluster_id));
    }
    Ok((project, ClusterShown::of(api::clusters::shown(record), visit.t())))
}
