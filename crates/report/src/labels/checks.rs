//! Names of the checks before a start.

use vecferry_migrate::precheck::CheckId;
use vecferry_words::Lang;

/// Over the list of checks.
pub fn checks(lang: Lang) -> &'static str {
    lang.pick("Checks", "预检")
}

/// A check's name.
pub fn check(lang: Lang, id: CheckId) -> &'static str {
    match id {
        CheckId::Role => lang.pick("role of the user", "用户角色"),
        CheckId::PlanPair => lang.pick("plans of the clusters", "集群部署方式"),
        CheckId::ClusterStatus => lang.pick("clusters are running", "集群运行状态"),
        CheckId::Limits => lang.pick("limits of the target's plan", "目标集群部署方式的限制"),
        CheckId::MessageSize => lang.pick("row size", "单行大小"),
        CheckId::Duration => lang.pick("estimated time", "预计用时"),
        CheckId::SourceReachable => lang.pick("source reachable", "源集群可访问"),
        CheckId::TargetReachable => lang.pick("target reachable", "目标集群可访问"),
        CheckId::Endpoints => lang.pick("networks of the addresses", "地址所在网络"),
        CheckId::Versions => lang.pick("versions", "版本"),
        CheckId::SameCluster => lang.pick("two different clusters", "源集群与目标集群不同"),
        CheckId::Selection => lang.pick("selected collections exist", "所选 Collection 存在"),
        CheckId::Visibility => lang.pick("everything visible to the user", "用户可见全部内容"),
        CheckId::Privileges => lang.pick("privileges of the user", "用户权限"),
        CheckId::Schema => lang.pick("target supports the schemas", "目标集群支持 Schema"),
        CheckId::Names => lang.pick("names valid and free", "名称合法且未占用"),
        CheckId::SourceLoaded => lang.pick("source loaded or loadable", "源集群已加载或可加载"),
        CheckId::RowCounts => lang.pick("rows (exact + estimated)", "行数（精确 + 估计）"),
        CheckId::Writers => lang.pick("no writes to the source", "源集群没有写入"),
        CheckId::ClockSkew => lang.pick("clocks", "时钟"),
        CheckId::Capacity => lang.pick("target capacity: needed / available", "目标集群容量：所需 / 可用"),
        CheckId::StateDirectory => lang.pick("space for the job record", "任务记录的空间"),
    }
}

/// A check that did not run.
pub fn check_skipped(lang: Lang) -> &'static str {
    lang.pick("not checked, because other checks failed", "因其他检查失败而未检查")
}
