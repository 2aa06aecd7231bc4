//! Plans of both clusters: whether the pair is migrated, whether the clusters run and can be reached as the plan asks, and
//! whether the target's plan has room.

use vecferry_milvus::{Client, Endpoint, Error};
use vecferry_policy::capacity::{MARGIN, size_for, units};
use vecferry_policy::compatibility::{Outcome, Pair};
use vecferry_policy::deployment::{Facts, detect};
use vecferry_policy::{CuType, Deployment, Detected, Edition, FoundBy, Limits, limits};

use super::list::{CheckList, fact_of};
use crate::cluster::control_plane::CloudCluster;
use crate::plan::{Plan, PlannedCollection};
use crate::problem::CheckId;
use crate::problem::{Code, Problem, Side, Told};
use crate::request::{MigrateRequest, PlanHints};

/// Larger rows are refused by the message queue behind a proxy (measured on 2.3.5: 4 MB works, 5 MB does not).
const ROW_BYTES_MAX: f64 = 5e6;
/// Longest message (`proxy.grpc.serverMaxRecvSize`).
const MESSAGE_BYTES_MAX: f64 = 64.0 * 1024.0 * 1024.0;

/// How a cluster is run, as far as its host and what is known of it tell.
pub fn plan_of(host: &str, hints: &PlanHints) -> Option<Detected> {
    let cloud = hints.cloud.as_ref();
    detect(&Facts {
        deployment_option: cloud.map(|cluster| cluster.deployment_option.as_str()),
        cluster_id: cloud.map(|cluster| cluster.id.as_str()),
        cu_size: cloud.map(|cluster| cluster.cu_size),
        host,
        stated: hints.stated,
    })
}

/// How one side is run, as far as that is known.
fn detected(list: &mut CheckList, side: Side, endpoint: &Endpoint, hints: &PlanHints) -> Option<Detected> {
    let host = endpoint.host();
    let Some(found) = plan_of(host, hints) else {
        list.fail(
            Problem::new(Code::PlanUnknown)
                .with("side", side.name())
                .with("flag", side.name())
                .with("host", host),
        );
        return None;
    };
    let ((by_en, by_zh), deployment) = (by(found.by), run_as(found.deployment));
    let fact = deployment.within(|plan| format!("{plan} ({by_en})"), |plan| format!("{plan}（{by_zh}）"));
    list.passed(CheckId::PlanPair, [fact_of(side, fact)]);
    if let Some(stated) = hints.stated.filter(|stated| *stated != found.deployment) {
        list.fail(
            Problem::new(Code::PlanContradicts)
                .with("side", side.name())
                .with("flag", side.name())
                .told("stated", run_as(stated))
                .told("found", run_as(found.deployment))
                .told("by", Told::both(by_en, by_zh)),
        );
    }
    Some(found)
}

/// How a cluster is run. The names of plans are the vendor's in both languages.
fn run_as(deployment: Deployment) -> Told {
    match deployment {
        Deployment::SelfHosted => Told::both(deployment.to_string(), "自建"),
        Deployment::Free | Deployment::Serverless | Deployment::Dedicated => deployment.to_string().into(),
    }
}

/// What told the plan, in English and in Chinese.
fn by(by: FoundBy) -> (&'static str, &'static str) {
    match by {
        FoundBy::ControlPlane => ("control plane", "控制面"),
        FoundBy::ClusterId => ("cluster id", "集群 ID"),
        FoundBy::ComputeUnits => ("compute units", "CU 数"),
        FoundBy::Host => ("host", "主机名"),
        FoundBy::Statement => ("as stated", "用户声明"),
        FoundBy::NotCloud => ("plain Milvus", "自建 Milvus"),
    }
}

/// Looks whether the policy lets this pair be migrated. Returns the target's plan.
pub(crate) fn plan_pair(list: &mut CheckList, request: &MigrateRequest) -> Option<Deployment> {
    let source = detected(list, Side::Source, &request.source, &request.source_plan);
    let target = detected(list, Side::Target, &request.target, &request.target_plan);
    let (source, target) = (source?.deployment, target?.deployment);
    list.passed_with(CheckId::PlanPair, &request.policy.edition);
    if let Some(problem) = pair_problem(&request.policy, source, target) {
        list.fail(problem);
    }
    Some(target)
}

/// Why a policy does not let clusters of two plans be migrated; none where it does.
pub fn pair_problem(policy: &Edition, source: Deployment, target: Deployment) -> Option<Problem> {
    match policy.pair(source, target) {
        Some(pair) if pair.outcome == Outcome::Supported => None,
        Some(pair) => Some(not_supported(pair, source, target, &policy.edition)),
        // Every edition that is read has all pairs.
        None => Some(Problem::new(Code::Policy).with("policy", &policy.edition).told(
            "detail",
            Told::both(
                format!("no row for {source} to {target}"),
                format!("没有 {source} 到 {target} 的条目"),
            ),
        )),
    }
}

fn not_supported(pair: &Pair, source: Deployment, target: Deployment, edition: &str) -> Problem {
    let code = match pair.outcome {
        Outcome::Supported | Outcome::Refused => Code::PlanPair,
        Outcome::UpgradeInPlace => Code::PlanUpgrade,
        Outcome::UpgradeToNew => Code::PlanUpgradeNew,
    };
    Problem::new(code)
        .told("source", run_as(source))
        .told("target", run_as(target))
        // A policy in a file may give one text for both.
        .with("reason", &pair.en)
        .with("reason_zh", &pair.zh)
        .with("policy", edition)
}

/// Looks whether clusters of the vendor run.
pub(crate) fn clusters(list: &mut CheckList, request: &MigrateRequest) {
    for (side, hints) in [(Side::Source, &request.source_plan), (Side::Target, &request.target_plan)] {
        let Some(cluster) = &hints.cloud else {
            let none = Told::both("not asked of the control plane", "未通过控制面查询");
            list.passed(CheckId::ClusterStatus, [fact_of(side, none)]);
            continue;
        };
        list.passed(CheckId::ClusterStatus, [fact_of(side, &cluster.status)]);
        if let Some(problem) = not_running(side, cluster) {
            list.fail(problem);
        }
    }
}

/// That a cluster of the vendor does not run; none where it does.
pub fn not_running(side: Side, cluster: &CloudCluster) -> Option<Problem> {
    let problem = || Problem::new(Code::ClusterNotRunning).with("side", side.name());
    (!cluster.is_running()).then(|| problem().with("id", &cluster.id).with("status", &cluster.status))
}

/// What is limited, in English and in Chinese.
type Named = (&'static str, &'static str);

/// Looks whether the plan of a cloud target has room for the collections beside what is there.
pub(crate) async fn within_limits(
    list: &mut CheckList,
    target: &Client,
    plan: &Plan,
    deployment: Deployment,
    hints: &PlanHints,
) -> Result<(), Error> {
    if !deployment.is_cloud() {
        list.passed(CheckId::Limits, [run_as(deployment)]);
        return Ok(());
    }
    let limits = limits(deployment, hints.whole_cu());
    list.passed(CheckId::Limits, [run_as(deployment)]);
    let databases = target.databases().await?;
    let mut existing = 0;
    for db in &databases {
        existing += target.collections(db).await?.len() as u64;
    }
    let planned = plan.collections.len() as u64;
    let mut refuse = |(en, zh): Named, of: &str, number: u64, most: Option<u64>| {
        if let Some(most) = most.filter(|most| number > *most) {
            let what = match of {
                "" => Told::both(en, zh),
                _ => Told::both(format!("{en} of `{of}`"), format!("`{of}` 的{zh}")),
            };
            list.fail(
                Problem::new(Code::OverLimit)
                    .told("what", what)
                    .with("number", number)
                    .with("max", most)
                    .with("plan", deployment),
            );
        }
    };
    refuse(
        ("collections of one migration", "一次迁移的 Collection 数"),
        "",
        planned,
        limits.collections_per_job_max,
    );
    refuse(
        ("collections, including existing ones", "Collection 总数（含已有）"),
        "",
        planned + existing,
        limits.collections_max,
    );
    let all = databases.len() + plan.new_databases.len();
    if !plan.new_databases.is_empty() {
        refuse(
            ("databases, including existing ones", "Database 总数（含已有）"),
            "",
            all as u64,
            limits.databases_max,
        );
    }
    let partitions: u64 = plan.collections.iter().map(partitions_of).sum();
    refuse(("partitions", "Partition 数"), "", partitions, limits.partitions_max);
    for planned in &plan.collections {
        of_collection(planned, &limits, &mut refuse);
    }
    let bytes: f64 =
        plan.collections.iter().map(|planned| planned.size.bytes() * planned.rows_estimate as f64).sum();
    refuse(
        ("MB of data", "数据量（MB）"),
        "",
        (bytes / 1e6) as u64,
        limits.storage_bytes_max.map(|bytes| bytes / 1_000_000),
    );
    Ok(())
}

fn partitions_of(planned: &PlannedCollection) -> u64 {
    match planned.partitions.len() {
        0 => planned.new.num_partitions.unsigned_abs().max(1),
        named => named as u64,
    }
}

fn of_collection(
    planned: &PlannedCollection,
    limits: &Limits,
    refuse: &mut impl FnMut(Named, &str, u64, Option<u64>),
) {
    let name = planned.target.to_string();
    let schema = planned.described.schema.decoded();
    let inner: usize = schema.struct_array_fields.iter().map(|of_struct| of_struct.fields.len()).sum();
    let vectors = planned.described.schema.vector_fields();
    refuse(("fields", "字段数"), &name, (schema.fields.len() + inner) as u64, limits.fields_max);
    refuse(("vector fields", "向量字段数"), &name, vectors.len() as u64, limits.vector_fields_max);
    let largest = vectors.iter().filter_map(|vector| vector.dim).max().unwrap_or_default();
    refuse(("dimensions", "向量维度"), &name, largest, limits.dimension_max);
    refuse(("shards", "Shard 数"), &name, planned.new.shards.unsigned_abs().into(), limits.shards_max);
    refuse(
        ("partitions", "Partition 数"),
        &name,
        partitions_of(planned),
        limits.partitions_per_collection_max,
    );
}

/// Looks whether the rows fit into the compute units that the target is known or said to have.
pub(crate) fn compute_units(list: &mut CheckList, plan: &Plan, hints: &PlanHints) {
    let Some(have) = hints.cu() else { return };
    // The most demanding one, where nobody says which.
    let kind = hints.cu_type().unwrap_or(CuType::Performance);
    let loads: Vec<_> =
        plan.collections.iter().map(|planned| planned.size.load(planned.rows_estimate)).collect();
    let needed = units(kind, &loads) * (1.0 + MARGIN);
    let used = hints.cloud.as_ref().and_then(|cluster| cluster.used_percent).unwrap_or(0.0) / 100.0 * have;
    let kind_zh = kind_of_unit(kind);
    let fact = Told::both(
        format!("{needed:.2} CU needed, {used:.2} of {have} CU in use ({kind})"),
        format!("需要 {needed:.2} CU，{have} CU 中已使用 {used:.2} CU（{kind_zh}）"),
    );
    list.passed(CheckId::Capacity, [fact]);
    if needed + used > have {
        let size =
            size_for(kind, units(kind, &loads) + used).map_or("> 256".to_owned(), |size| size.to_string());
        list.fail(
            Problem::new(Code::TooFewUnits)
                .with("needed", format!("{needed:.2}"))
                .with("used", format!("{used:.2}"))
                .with("have", have)
                .told("kind", Told::both(kind.to_string(), kind_zh))
                .with("size", size),
        );
    }
}

/// The name of a type of compute units in the vendor's Chinese pages.
fn kind_of_unit(kind: CuType) -> &'static str {
    match kind {
        CuType::Performance => "性能型",
        CuType::Capacity => "容量型",
        CuType::Tiered => "分层存储型",
    }
}

/// Looks whether single rows are larger than what servers take.
pub(crate) fn message_sizes(list: &mut CheckList, plan: &Plan) {
    let largest =
        plan.collections.iter().map(|planned| planned.size.wire_bytes_or_guess()).fold(0.0, f64::max);
    let fact = Told::both(
        format!("the largest rows have about {largest:.0} B"),
        format!("最大的行约 {largest:.0} B"),
    );
    list.passed(CheckId::MessageSize, [fact]);
    for planned in &plan.collections {
        let bytes = planned.size.wire_bytes_or_guess();
        if bytes > MESSAGE_BYTES_MAX {
            let problem = Problem::new(Code::RowTooLarge).with("collection", &planned.source);
            list.fail(problem.with("bytes", format!("{bytes:.0}")));
        } else if bytes > ROW_BYTES_MAX {
            let problem = Problem::new(Code::RowsLarge).with("collection", &planned.source);
            list.warn(CheckId::MessageSize, problem.with("bytes", format!("{bytes:.0}")));
        }
    }
}

impl PlanHints {
    /// Compute units: what the user says, or what the control plane does.
    pub(crate) fn cu(&self) -> Option<f64> {
        let of_cloud = self.cloud.as_ref().map(|cluster: &CloudCluster| cluster.cu_size);
        self.cu.or(of_cloud).filter(|cu| *cu > 0.0)
    }

    /// The same as whole units: a share of one has the limits of one.
    pub(crate) fn whole_cu(&self) -> Option<u64> {
        self.cu().map(|cu| cu.ceil() as u64)
    }

    fn cu_type(&self) -> Option<CuType> {
        self.cu_type.or_else(|| CuType::parse(&self.cloud.as_ref()?.cu_type))
    }
}
