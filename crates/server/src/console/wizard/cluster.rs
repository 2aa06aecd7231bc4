//! Registered clusters as choices.

use vecferry_migrate::precheck::{not_running, plan_of};
use vecferry_migrate::{Code, Problem, problem::Side};
use vecferry_milvus::Endpoint;
use vecferry_policy::Deployment;
use vecferry_words::Lang;

use super::draft::{Named, plan_title};
use crate::access::{Action, Caller};
use crate::api::Refusal;
use crate::console::show::Trouble;
use crate::jobs::hints;
use crate::service::Service;
use crate::tables::{ClusterRecord, ClusterStatus};

/// Clusters that are offered.
const CLUSTERS_MAX: i64 = 500;

/// A cluster that can be chosen, or why it can't.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) plan: String,
    /// Its project, where clusters of several are offered.
    pub(super) project: String,
    /// Address and version.
    pub(super) detail: String,
    pub(super) is_running: bool,
    pub(super) is_chosen: bool,
    pub(super) trouble: Option<Trouble>,
}

/// A cluster as a draft keeps it.
pub(super) fn named(record: &ClusterRecord) -> Named {
    let plan = plan(record).map_or_else(|| record.deployment.clone(), |plan| plan.to_string());
    Named { cluster_id: record.cluster_id.clone(), name: record.name.clone(), plan }
}

/// How a cluster is run.
pub(super) fn plan(record: &ClusterRecord) -> Option<Deployment> {
    let endpoint = Endpoint::parse(&record.address).ok()?;
    plan_of(endpoint.host(), &hints(record)).map(|detected| detected.deployment)
}

/// Clusters of some projects in which the caller may migrate; of all of them where none is named.
pub(super) async fn administered(
    service: &Service,
    caller: &Caller,
    project_id: Option<&str>,
) -> Result<Vec<ClusterRecord>, Refusal> {
    let projects = match project_id {
        Some(project_id) => Some(vec![project_id.to_owned()]),
        None => caller.visible(),
    };
    let found =
        service.tables().clusters(&caller.org_id, projects.as_deref(), "", (0, CLUSTERS_MAX)).await?.1;
    Ok(found.into_iter().filter(|record| caller.may(Action::Administer, &record.project_id)).collect())
}

/// Why a cluster can't be one side of a migration now.
pub(super) fn away(record: &ClusterRecord, side: Side) -> Option<Problem> {
    let suspended = hints(record).cloud.and_then(|cloud| not_running(side, &cloud));
    let is_away = record.sight.status == ClusterStatus::Abnormal;
    suspended.or_else(|| {
        let told = record.sight.trouble.as_deref().filter(|_| is_away)?;
        serde_json::from_str(told).ok()
    })
}

/// Why a cluster can't be chosen. The way out that is another database is none where a cluster is chosen.
fn told(problem: &Problem, lang: Lang) -> Trouble {
    let trouble = Trouble::of(problem, lang);
    match problem.code == Code::SameCluster {
        true => Trouble {
            hint: lang.pick("choose another cluster", "请选择其他集群").to_owned(), ..trouble
        },
        false => trouble,
    }
}

/// A cluster as a choice.
pub(super) fn choice(
    record: ClusterRecord,
    project: String,
    chosen: Option<&str>,
    problem: Option<&Problem>,
    lang: Lang,
) -> Choice {
    let mut detail = vec![record.address.clone()];
    detail.extend(Some(record.sight.version.clone()).filter(|version| !version.is_empty()));
    let plan = plan(&record).map_or_else(|| record.deployment.clone(), |plan| plan.to_string());
    let size = Some(record.cu_size.as_str()).filter(|size| !matches!(*size, "" | "0"));
    let plan = plan_title(lang, &plan);
    Choice {
        is_chosen: chosen == Some(record.cluster_id.as_str()),
        plan: size.map_or_else(|| plan.clone(), |size| format!("{plan} · {size} CU")),
        is_running: record.sight.status == ClusterStatus::Running,
        project,
        detail: detail.join(" · "),
        trouble: problem.map(|problem| told(problem, lang)),
        id: record.cluster_id,
        name: record.name,
    }
}
