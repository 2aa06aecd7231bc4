//! Registered clusters as choices.

use vecferry_migrate::precheck::{not_running, plan_of};
use vecferry_migrate::{Problem, problem::Side};
use vecferry_milvus::Endpoint;
use vecferry_policy::Deployment;
use vecferry_report::figures;
use vecferry_words::Lang;

use super::draft::{Named, plan_title};
use crate::access::Caller;
use crate::api::Refusal;
use crate::console::show::{Say, Trouble};
use crate::jobs::hints;
use crate::service::Service;
use crate::tables::{ClusterRecord, ClusterStatus};

/// Clusters that are offered at once.
const CLUSTERS_MAX: i64 = 200;

/// The clusters that a step offers.
#[derive(Clone, Debug, Default)]
pub(super) struct Offered {
    pub(super) choices: Vec<Choice>,
    /// What was searched for.
    pub(super) find: String,
    /// How many there are.
    pub(super) count: i64,
}

impl Offered {
    /// Whether there are more than are shown.
    pub(super) fn is_cut(&self) -> bool {
        self.count > CLUSTERS_MAX
    }

    /// Whether clusters are searched for among all of them, and not only among those on the page.
    pub(super) fn has_search(&self) -> bool {
        self.is_cut() || !self.find.is_empty()
    }

    /// Whether there is none at all.
    pub(super) fn is_empty(&self) -> bool {
        self.choices.is_empty() && self.find.is_empty()
    }

    /// Whether one of them can be chosen.
    pub(super) fn can_choose(&self) -> bool {
        self.choices.iter().any(|choice| choice.trouble.is_none())
    }

    /// That only some are shown.
    pub(super) fn cut(&self, t: &Say) -> String {
        let (shown, count) =
            (figures::count(self.choices.len() as u64), figures::count(self.count.unsigned_abs()));
        match t.0 {
            Lang::En => format!("The first {shown} of {count} clusters are shown: search for the others."),
            Lang::Zh => format!("共 {count} 个集群，仅显示前 {shown} 个：请搜索其他集群。"),
        }
    }
}

/// What is known of whether a cluster answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It answered when it was looked at last.
    Running,
    /// The vendor says that it does not run.
    Stopped,
    /// It did not answer.
    Away,
    /// It did not answer, and why can't be read.
    Unknown,
}

impl Seen {
    fn of(record: &ClusterRecord) -> Self {
        let is_stopped =
            || hints(record).cloud.is_some_and(|cloud| not_running(Side::Source, &cloud).is_some());
        match record.sight.status {
            ClusterStatus::Running if is_stopped() => Self::Stopped,
            ClusterStatus::Running => Self::Running,
            ClusterStatus::Abnormal if told_trouble(record).is_some() => Self::Away,
            ClusterStatus::Abnormal => Self::Unknown,
        }
    }

    /// The tone and the word of its chip.
    pub(super) fn chip(self, t: &Say) -> (&'static str, &'static str) {
        match self {
            Self::Running => ("good", t.0.pick("Running", "运行中")),
            Self::Stopped => ("bad", t.0.pick("Not running", "未运行")),
            Self::Away => ("bad", t.0.pick("Not reachable", "无法连接")),
            Self::Unknown => ("caution", t.0.pick("Unknown", "状态未知")),
        }
    }
}

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
    pub(super) seen: Seen,
    pub(super) is_chosen: bool,
    /// What is to be known before it is chosen.
    pub(super) note: Option<&'static str>,
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

/// The first clusters in which the caller may migrate, and how many there are: of one project, or of all of them where none
/// is named.
pub(super) async fn administered(
    service: &Service,
    caller: &Caller,
    project_id: Option<&str>,
    find: &str,
) -> Result<(i64, Vec<ClusterRecord>), Refusal> {
    let projects = match project_id {
        Some(project_id) => Some(vec![project_id.to_owned()]),
        None => caller.administered(),
    };
    let found = service.tables().clusters(&caller.org_id, projects.as_deref(), find, (0, CLUSTERS_MAX));
    Ok(found.await?)
}

/// Why a cluster can't be one side of a migration now.
pub(super) fn away(record: &ClusterRecord, side: Side) -> Option<Problem> {
    let suspended = hints(record).cloud.and_then(|cloud| not_running(side, &cloud));
    suspended.or_else(|| told_trouble(record))
}

/// Why a cluster did not answer when it was looked at last, where that can be read.
fn told_trouble(record: &ClusterRecord) -> Option<Problem> {
    let is_away = record.sight.status == ClusterStatus::Abnormal;
    serde_json::from_str(record.sight.trouble.as_deref().filter(|_| is_away)?).ok()
}

/// What is to be known of a cluster of which nothing else is.
fn unknown(lang: Lang) -> &'static str {
    lang.pick(
        "It did not answer when it was last checked, and the reason can't be read. The pre-check asks it again.",
        "上次检查时该集群没有应答，且无法读取原因。预检会再次连接。",
    )
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
    let seen = Seen::of(&record);
    Choice {
        is_chosen: chosen == Some(record.cluster_id.as_str()),
        plan: size.map_or_else(|| plan.clone(), |size| format!("{plan} · {size} CU")),
        seen,
        note: (seen == Seen::Unknown).then(|| unknown(lang)),
        project,
        detail: detail.join(" · "),
        trouble: problem.map(|problem| Trouble::of(problem, lang)),
        id: record.cluster_id,
        name: record.name,
    }
}
