//! Every sentence that people read and that is no problem of the catalogue, in English and Chinese.

use vecferry_migrate::event::{Awaited, Bottleneck, Phase, Side, Wait};
use vecferry_migrate::precheck::CheckId;
use vecferry_migrate::rbac::{Left, LeftReason, ObjectKind};
use vecferry_migrate::{JobState, Lang};
use vecferry_sandbox::SetupStep;

use crate::format;
use crate::output::Severity;

fn pick<T>(lang: Lang, en: T, zh: T) -> T {
    match lang {
        Lang::En => en,
        Lang::Zh => zh,
    }
}

macro_rules! sentences {
    ($( $(#[$doc:meta])* $name:ident $en:literal $zh:literal; )*) => { $(
        $(#[$doc])*
        pub(crate) fn $name(lang: Lang) -> &'static str {
            pick(lang, $en, $zh)
        }
    )* };
}

sentences! {
    /// Between a label and its text.
    colon ": " "：";
    /// Between the members of a list, and between facts.
    comma ", " "，";

    // Names of columns.
    /// Column.
    collection "collection" "Collection";
    /// Column.
    rows "rows" "行数";
    /// Column.
    rows_estimated "rows (about)" "行数（约）";
    /// Column.
    bytes_of_row "bytes/row" "每行字节数";
    /// Column.
    basis "based on" "依据";
    /// Where no row could be looked at.
    assumed "types; the rest is assumed" "字段类型，其余为假设";
    /// Column.
    cu_type "CU type" "CU 类型";
    /// Column.
    cu_filled "CU needed" "所需 CU";
    /// Column.
    cu_to_order "CU to choose" "建议 CU 规格";
    /// What a dry run skipped.
    not_read "Not read, because they are not loaded" "未加载，因此未读取";
    /// After a dry run.
    nothing_written "Nothing was written." "未写入任何内容。";
    /// While a source is looked at.
    looking "Reading the collections …" "正在读取 Collection 信息…";
    /// Column.
    size "size" "大小";
    /// Column.
    time "time" "用时";
    /// Column.
    rows_per_second "rows/s" "行/秒";
    /// Column.
    rate "rate" "速率";
    /// Column.
    partitions "partitions" "Partition";
    /// Column.
    aliases "aliases" "别名";
    /// Column.
    verification "verification" "校验";
    /// Column.
    remark "note" "备注";
    /// Column.
    source_rows "source rows" "源集群行数";
    /// Column.
    target_rows "target rows" "目标集群行数";

    // The plan.
    /// Heading of a plan.
    plan "Plan" "迁移计划";
    /// Address of the source.
    from "from" "源集群";
    /// Address of the target.
    to "to" "目标集群";
    /// Remark of a collection that has to be loaded.
    loaded_for_copy "loaded on the source for the copy, then released" "为复制在源集群上临时加载，随后释放";
    /// Databases to create.
    new_databases "New databases on the target" "目标集群上将创建的 Database";
    /// Differences, planned or found.
    changes "Differences from the source" "与源集群的差异";
    /// Heading of roles and users.
    rbac "Roles and users" "角色和用户";
    /// What becomes of passwords.
    passwords_kept "Users keep their passwords." "用户保留原有密码。";
    /// Heading of what is not copied of roles and users.
    rbac_left "Not copied, or already there (what exists on the target is left unchanged)" "未复制或已存在（目标集群上已有的内容保持不变）";
    /// Heading of grants on collections that the job does not copy.
    rbac_outside
        "Grants on collections outside this migration, copied for later"
        "针对本次迁移范围之外 Collection 的授权（一并复制，供日后使用）";
    /// Resource groups.
    resource_groups "Resource groups of the source (not copied)" "源集群上的资源组（不复制）";
    /// Instead of something that the server does not tell this user.
    not_told "unknown: not visible to this user" "未知：该用户无权查看";
    /// What happens to rows of the source.
    plan_promise
        "The source is only read. Collections on the target are left unloaded; what exists there is left unchanged."
        "对源集群只读。迁移后目标集群上的 Collection 处于未加载状态；目标集群上已有的内容保持不变。";
    /// The question.
    start_question "Start? [y/N]" "开始迁移？[y/N]";
    /// The question before a repair.
    repair_question
        "Rows on the target that differ from the source will be overwritten or removed. Start? [y/N]"
        "目标集群上与源集群不一致的行将被覆盖或删除。开始修复？[y/N]";
    /// Heading of the rows that differ.
    differing_rows "Rows that differ" "不一致的行";
    /// Heading of the rows that a repair found.
    mended_rows "Rows that differed before the repair" "修复前不一致的行";
    /// On the source only.
    missing "missing" "缺失";
    /// On the target only.
    extra "extra" "多余";
    /// With other values.
    changed "changed" "改变";
    /// Duplicate primary key in the source.
    repeated_keys "duplicate primary key in the source" "源集群中主键重复";
    /// Duplicate primary key on the target.
    repeated_on_target "duplicate primary key on the target" "目标集群中主键重复";
    /// In another partition.
    swapped "in the wrong partition" "位于错误的 Partition";
    /// The answer was no.
    not_started "Not started; nothing was written." "未开始；未写入任何内容。";
    /// Ctrl-C before the start.
    stopped_before_start "Stopped before the start; nothing was written." "已在开始前停止；未写入任何内容。";

    // While it runs.
    /// While both servers are looked at.
    checking "Checking both clusters …" "正在检查两端集群…";
    /// The first Ctrl-C.
    ending
        "Stopping at the next safe point; press Ctrl-C again to exit immediately."
        "将在下一个安全点停止；再按一次 Ctrl-C 立即退出。";
    /// The second Ctrl-C.
    ended_at_once
        "Exited immediately. Incomplete collections are left on the target, and source collections may still be loaded: `vecferry jobs` lists the job, `vecferry resume JOB` continues it."
        "已立即退出。目标集群上留有未完成的 Collection，源集群上的 Collection 可能仍处于加载状态：用 `vecferry jobs` 查看任务，用 `vecferry resume JOB` 继续。";
    /// Why something may be left that was only tried.
    ended_before_removal "exited immediately, perhaps before it was dropped" "已立即退出，可能尚未删除";
    /// Name of the line of all collections.
    total "total" "合计";

    // Results.
    /// Verification was turned off.
    verified_none "none" "未校验";
    /// The verification did not run.
    not_verified "not verified" "未校验";
    /// Heading of the indexes.
    indexes "Indexes on the target" "目标集群上的索引";
    /// What is left to do.
    load_hint
        "These collections are on the target but not loaded, so they can't be searched yet. To load them:"
        "这些 Collection 已在目标集群上，但尚未加载，加载之前无法检索。加载命令：";
    /// The load state of the source is recorded.
    load_as_on_source
        "Or load them as on the source, with the same partitions and replicas:"
        "或者按源集群的加载状态加载（相同的 Partition 和副本数）：";
    /// Where credentials go.
    load_hint_token
        "(credentials: set VECFERRY_TARGET_TOKEN)"
        "（凭证：请设置环境变量 VECFERRY_TARGET_TOKEN）";
    /// Both sides are the same.
    equal "Source and target are equal in all that was compared." "在比对范围内，源集群和目标集群一致。";
    /// They are not, or it is not known.
    not_equal
        "Source and target could not be confirmed to be equal; see the errors."
        "未能确认源集群和目标集群一致；请查看错误信息。";
    /// A job that is complete was to be resumed.
    nothing_to_resume "The job is already complete; this is its report." "任务已完成；以下是其报告。";
    /// There is nothing to list.
    no_jobs "no jobs recorded here" "没有任务记录";
    /// Column.
    job_number "job" "任务";
    /// Column.
    job_state "state" "状态";
    /// Column.
    collections "collections" "Collection 数";
    /// Column.
    started "started" "开始时间";
    /// Column.
    splits "key ranges" "主键区间";
    /// Progress of a collection.
    collection_done "done" "已完成";
    /// Progress of a collection.
    collection_copied "copied, not yet verified" "已复制，尚未校验";
    /// Progress of a collection.
    collection_copying "copying" "复制中";
    /// Progress of a collection.
    collection_waiting "waiting" "等待中";
    /// What a cancellation removed.
    removed "removed from the target" "已从目标集群删除";
    /// What was loaded.
    loaded "loaded" "已加载";
    /// What `load` found nothing of.
    nothing_loaded "no collection was loaded" "没有加载任何 Collection";

    /// A remedy where nothing better is known.
    run_again "run the command again" "请重新运行该命令";

    // The demo.
    /// First words of the demo.
    demo_start
        "This demo starts two real Milvus 2.3.5 servers on this machine, fills one with sample data and migrates it to the other."
        "本演示将在本机启动两个真实的 Milvus 2.3.5 服务，向其中一个写入示例数据，并迁移到另一个。";
    /// Before the sample data is written.
    demo_filling "filling the source with sample data" "正在向源集群写入示例数据";
    /// Before the migration.
    demo_migrating "migrating" "开始迁移";
    /// Why the demo failed.
    demo_failed "The demo failed; both servers and their data have been removed." "演示未成功；两个服务及其数据均已清除。";
    /// The demo was stopped.
    demo_stopped "The demo was stopped; both servers and their data have been removed." "演示已停止；两个服务及其数据均已清除。";
    /// What to do where the sample data can't be written.
    demo_sample_remedy
        "make sure that enough memory and disk are free, then run the demo again"
        "请确认内存和磁盘空间充足，然后重新运行演示";
    /// What the demo showed.
    demo_explained
        "\
What just happened:
  Two collections, `books` and `sensors`, were migrated from one Milvus server to the other: schemas, partitions (an
  empty one too), the alias, every row. Vector indexes became AUTOINDEX with the same metric type, other indexes were
  kept. `sensors` was not loaded on the source: it was loaded for the copy and released again.
  Then the rows on both servers were counted, partition by partition, and random rows were compared bit for bit.
  The collections on the target were left unloaded, so that they take no memory until you search them: `vecferry load`
  loads them, and after a migration of your own the full command is printed.
  Both servers and their data have been removed.

What to try next, with servers of your own (credentials in VECFERRY_SOURCE_TOKEN and VECFERRY_TARGET_TOKEN):
  vecferry migrate --source http://HOST:19530 --target http://HOST:19530
  vecferry verify  --source http://HOST:19530 --target http://HOST:19530
  vecferry migrate --help"
        "\
刚才发生了什么：
  两个 Collection（`books` 和 `sensors`）从一个 Milvus 服务迁移到了另一个：Schema、Partition（包括空 Partition）、别名和每一行数据。
  向量索引变为度量类型相同的 AUTOINDEX，其他索引原样保留。
  `sensors` 在源集群上未加载：复制时临时加载，随后释放。
  之后逐 Partition 比对了两端的行数，并逐位比对了随机抽取的行。
  目标集群上的 Collection 处于未加载状态，检索之前不占用内存：`vecferry load` 可加载它们，正式迁移结束时会打印完整的命令。
  两个服务及其数据现已清除。

接下来可以用自己的服务试试（凭证放在 VECFERRY_SOURCE_TOKEN 和 VECFERRY_TARGET_TOKEN 中）：
  vecferry migrate --source http://HOST:19530 --target http://HOST:19530
  vecferry verify  --source http://HOST:19530 --target http://HOST:19530
  vecferry migrate --help";
}

/// A number of objects that belong to roles and users.
pub(crate) fn rbac_objects(lang: Lang, kind: ObjectKind, number: &str, one: bool) -> String {
    let (en, en_many, zh) = match kind {
        ObjectKind::PrivilegeGroup => ("privilege group", "privilege groups", "个权限组"),
        ObjectKind::Role => ("role", "roles", "个角色"),
        ObjectKind::Grant => ("grant", "grants", "项授权"),
        ObjectKind::User => ("user", "users", "个用户"),
        ObjectKind::Membership => ("role of a user", "roles of users", "项用户角色"),
    };
    let noun = if one { en } else { en_many };
    pick(lang, format!("{number} {noun}"), format!("{number} {zh}"))
}

/// `3 of 4`
pub(crate) fn number_of(lang: Lang, number: &str, total: &str) -> String {
    pick(lang, format!("{number} of {total}"), format!("{number} / {total}"))
}

/// One object of roles and users, and why it is not copied.
pub(crate) fn rbac_left_line(lang: Lang, left: &Left) -> String {
    let kind = match left.kind {
        ObjectKind::PrivilegeGroup => pick(lang, "privilege group", "权限组"),
        ObjectKind::Role => pick(lang, "role", "角色"),
        ObjectKind::Grant => pick(lang, "grant", "授权"),
        ObjectKind::User => pick(lang, "user", "用户"),
        ObjectKind::Membership => pick(lang, "role of user", "用户角色"),
    };
    let why = match left.reason {
        LeftReason::Same => pick(lang, "the target has the same", "目标集群上已有相同内容"),
        LeftReason::Exists => pick(lang, "exists on the target", "目标集群上已存在"),
        LeftReason::Differs => {
            pick(lang, "exists on the target with other privileges", "目标集群上已存在，且权限不同")
        }
        LeftReason::RoleLeft => pick(lang, "its role is not copied", "其角色未复制"),
        LeftReason::UserLeft => pick(lang, "its user exists on the target", "其用户在目标集群上已存在"),
        LeftReason::GroupLeft => {
            pick(lang, "its privilege group is not on the target", "其权限组不在目标集群上")
        }
        LeftReason::OtherCollection => {
            pick(lang, "the target has another collection of that name", "目标集群上有同名的其他 Collection")
        }
        LeftReason::UsersSkipped => pick(lang, "skipped on request", "按要求跳过"),
        LeftReason::MadeMeanwhile => {
            pick(lang, "someone else created it on the target meanwhile", "期间已被他人在目标集群上创建")
        }
    };
    format!("{kind} {}{}{why}", left.name, colon(lang))
}

/// That users get new passwords, and where these are.
pub(crate) fn passwords_generated(lang: Lang, file: &str, made: bool) -> String {
    if made {
        return pick(
            lang,
            format!("The users' new passwords are in {file} (only its owner may read it)."),
            format!("用户的新密码保存在 {file}（仅文件所有者可读）。"),
        );
    }
    pick(
        lang,
        format!(
            "Passwords can't be copied: every user gets a new one, written to {file} (only its owner may read it)."
        ),
        format!("密码无法复制：每个用户将获得新密码，写入 {file}（仅文件所有者可读）。"),
    )
}

/// `error[VF-0001]`
pub(crate) fn problem_head(lang: Lang, severity: Severity, code: &str) -> String {
    let word = match severity {
        Severity::Error => pick(lang, "error", "错误"),
        Severity::Warning => pick(lang, "warning", "警告"),
    };
    format!("{word}[{code}]")
}

/// `hint: …`
pub(crate) fn hint(lang: Lang, hint: &str) -> String {
    format!("{}{}{hint}", pick(lang, "hint", "建议"), colon(lang))
}

/// A step of a collection.
pub(crate) fn phase(lang: Lang, phase: Phase) -> &'static str {
    match phase {
        Phase::Waiting => pick(lang, "waiting", "等待中"),
        Phase::LoadingSource => pick(lang, "loading", "加载中"),
        Phase::Creating => pick(lang, "creating", "创建中"),
        Phase::Copying => pick(lang, "copying", "复制中"),
        Phase::Flushing => pick(lang, "flushing", "落盘中"),
        Phase::Indexing => pick(lang, "indexing", "建索引中"),
        Phase::Verifying => pick(lang, "verifying", "校验中"),
        Phase::Done => pick(lang, "done", "完成"),
        Phase::Failed => pick(lang, "failed", "失败"),
        Phase::Canceled => pick(lang, "canceled", "已取消"),
    }
}

/// How sizes are known.
pub(crate) fn sampled(lang: Lang, rows: u64) -> String {
    match lang {
        Lang::En => format!("types and {rows} rows"),
        Lang::Zh => format!("字段类型与 {rows} 行样本"),
    }
}

/// What an estimate of compute units rests on.
pub(crate) fn cu_assumptions(lang: Lang, margin_percent: f64) -> String {
    match lang {
        Lang::En => format!(
            "This is an estimate: the bytes of all fields, measured against the vendor's table of vectors per CU, plus {margin_percent:.0} %, \
             rounded up to an available size (Tiered starts at 8 CU). Data already on the target comes on top."
        ),
        Lang::Zh => format!(
            "此为估算：按所有字段的字节数对照厂商的“每 CU 向量数”表，加 {margin_percent:.0} % 余量，并向上取到可选规格（分层存储型从 8 CU 起）。目标集群上已有的数据需另计。"
        ),
    }
}

/// How long a job takes.
pub(crate) fn duration(lang: Lang, seconds: &str) -> String {
    match lang {
        Lang::En => format!("Estimated time of the job: {seconds}"),
        Lang::Zh => format!("预计任务用时：{seconds}"),
    }
}

/// What of it the copy takes, and by which rates.
pub(crate) fn duration_of_copy(
    lang: Lang,
    seconds: &str,
    (read, is_measured): (&str, bool),
    (write, is_quota): (&str, bool),
    bottleneck: Option<Bottleneck>,
) -> String {
    let bound = bottleneck.map(|bottleneck| bound_by(lang, bottleneck)).unwrap_or_default();
    match lang {
        Lang::En => {
            let write_basis = if is_quota { "quota of its plan" } else { "assumed" };
            let read_basis = known_by(lang, is_measured);
            format!("  copy {seconds} (source {read}, {read_basis}; target {write}, {write_basis}). {bound}")
        }
        Lang::Zh => {
            let write_basis = if is_quota { "部署方式的配额" } else { "假设" };
            let read_basis = known_by(lang, is_measured);
            format!(
                "  复制 {seconds}（源集群 {read}，{read_basis}；目标集群 {write}，{write_basis}）。{bound}"
            )
        }
    }
    .trim_end()
    .to_owned()
}

/// What of it the steps of the collections and the verification take.
pub(crate) fn duration_of_steps(lang: Lang, steps: &str, is_measured: bool, verify: &str) -> String {
    let basis = known_by(lang, is_measured);
    match lang {
        Lang::En => {
            format!("  fixed steps of all collections {steps} ({basis}); verification of the rows {verify}")
        }
        Lang::Zh => format!("  各 Collection 的固定步骤 {steps}（{basis}）；行校验 {verify}"),
    }
}

fn known_by(lang: Lang, is_measured: bool) -> &'static str {
    match (lang, is_measured) {
        (Lang::En, true) => "measured",
        (Lang::En, false) => "assumed",
        (Lang::Zh, true) => "实测",
        (Lang::Zh, false) => "假设",
    }
}

/// How long the target builds its indexes.
pub(crate) fn searchable_after(lang: Lang, seconds: &str) -> String {
    match lang {
        Lang::En => format!(
            "  full search speed about {seconds} after the copy: the target builds its indexes in the background, even after the job has ended"
        ),
        Lang::Zh => {
            format!("  复制后约 {seconds} 可全速检索：目标集群在后台构建索引，任务结束后仍会继续")
        }
    }
}

/// What became of the estimate of the copy.
pub(crate) fn estimate_kept(lang: Lang, took: &str, expected: &str) -> String {
    match lang {
        Lang::En => format!("The copy took {took}; the estimate was {expected}."),
        Lang::Zh => format!("复制用时 {took}，预计 {expected}。"),
    }
}

/// What became of the estimate of the job.
pub(crate) fn estimate_of_job_kept(lang: Lang, took: &str, expected: &str) -> String {
    match lang {
        Lang::En => format!("The job took {took}; the estimate was {expected}."),
        Lang::Zh => format!("任务用时 {took}，预计 {expected}。"),
    }
}

/// Over the list of checks.
pub(crate) fn checks(lang: Lang) -> &'static str {
    pick(lang, "Checks", "预检")
}

/// A check's name.
pub(crate) fn check(lang: Lang, id: CheckId) -> &'static str {
    match id {
        CheckId::Role => pick(lang, "role of the user", "用户角色"),
        CheckId::PlanPair => pick(lang, "plans of the clusters", "集群部署方式"),
        CheckId::ClusterStatus => pick(lang, "clusters are running", "集群运行状态"),
        CheckId::Limits => pick(lang, "limits of the target's plan", "目标集群部署方式的限制"),
        CheckId::MessageSize => pick(lang, "row size", "单行大小"),
        CheckId::Duration => pick(lang, "estimated time", "预计用时"),
        CheckId::SourceReachable => pick(lang, "source reachable", "源集群可访问"),
        CheckId::TargetReachable => pick(lang, "target reachable", "目标集群可访问"),
        CheckId::Endpoints => pick(lang, "networks of the addresses", "地址所在网络"),
        CheckId::Versions => pick(lang, "versions", "版本"),
        CheckId::SameCluster => pick(lang, "two different clusters", "源集群与目标集群不同"),
        CheckId::Selection => pick(lang, "selected collections exist", "所选 Collection 存在"),
        CheckId::Visibility => pick(lang, "everything visible to the user", "用户可见全部内容"),
        CheckId::Privileges => pick(lang, "privileges of the user", "用户权限"),
        CheckId::Schema => pick(lang, "target supports the schemas", "目标集群支持 Schema"),
        CheckId::Names => pick(lang, "names valid and free", "名称合法且未占用"),
        CheckId::SourceLoaded => pick(lang, "source loaded or loadable", "源集群已加载或可加载"),
        CheckId::RowCounts => pick(lang, "rows (exact + estimated)", "行数（精确 + 估计）"),
        CheckId::Writers => pick(lang, "no writes to the source", "源集群没有写入"),
        CheckId::ClockSkew => pick(lang, "clocks", "时钟"),
        CheckId::Capacity => pick(lang, "target capacity: needed / available", "目标集群容量：所需 / 可用"),
        CheckId::StateDirectory => pick(lang, "space for the job record", "任务记录的空间"),
    }
}

/// A check that did not run.
pub(crate) fn check_skipped(lang: Lang) -> &'static str {
    pick(lang, "not checked, because other checks failed", "因其他检查失败而未检查")
}

/// A check that does not concern the command line.
pub(crate) fn check_not_applicable(lang: Lang) -> &'static str {
    pick(lang, "not applicable on the command line", "不适用于命令行")
}

/// A plan was shown, and not written down.
pub(crate) fn plan_not_kept(lang: Lang) -> &'static str {
    pick(
        lang,
        "Nothing was written. Add --output FILE to save the plan; after a review, run it with `vecferry migrate --plan FILE`.",
        "未写入任何内容。加上 --output FILE 可保存计划，评审后用 `vecferry migrate --plan FILE` 执行。",
    )
}

/// A plan was written down.
pub(crate) fn plan_kept(lang: Lang, file: &str, hash: &str) -> String {
    match lang {
        Lang::En => {
            format!("The plan is in {file} ({hash}). To run it: vecferry migrate --plan {file}")
        }
        Lang::Zh => format!("计划已写入 {file}（{hash}）。执行：vecferry migrate --plan {file}"),
    }
}

/// Why something waits.
pub(crate) fn wait(lang: Lang, wait: Wait) -> &'static str {
    match wait {
        Wait::SourceLimit => pick(lang, "rate limit of the source", "源集群对读取限速"),
        Wait::SourceBusy => {
            pick(lang, "the source is busy or unreachable, trying again", "源集群繁忙或无法连接，正在重试")
        }
        Wait::TargetLimit => pick(lang, "rate limit of the target", "目标集群对写入限速"),
        Wait::TargetDenies => pick(
            lang,
            "the target rejects writes (memory, disk or quota), trying again",
            "目标集群拒绝写入（内存、磁盘或配额），正在重试",
        ),
        Wait::TargetBusy => {
            pick(lang, "the target is busy or unreachable, trying again", "目标集群繁忙或无法连接，正在重试")
        }
    }
}

/// What is waited for, and for how long already.
pub(crate) fn awaited(lang: Lang, awaited: &Awaited, seconds: u64) -> String {
    let of = |of: Side| match of {
        Side::Source => pick(lang, "the source", "源集群"),
        Side::Target => pick(lang, "the target", "目标集群"),
    };
    let count = |rows: u64| format::count(rows);
    let zh = lang == Lang::Zh;
    let what = match awaited {
        Awaited::Check { check: id } if zh => format!("检查“{}”仍在进行", check(lang, *id)),
        Awaited::Check { check: id } => format!("the check \"{}\" is still running", check(lang, *id)),
        Awaited::Load { side } if zh => format!("{}正在加载", of(*side)),
        Awaited::Load { side } => format!("{} is loading it", of(*side)),
        Awaited::Memory { side, rows_served, rows_stored } if zh => format!(
            "{}已将 {} / {} 行存储数据载入内存，正在等待其余部分",
            of(*side),
            count(*rows_served),
            count(*rows_stored)
        ),
        Awaited::Memory { side, rows_served, rows_stored } => format!(
            "{} serves {} of {} stored rows from memory; waiting for the rest",
            of(*side),
            count(*rows_served),
            count(*rows_stored)
        ),
        Awaited::Stored { side } if zh => format!("{}正在落盘（Flush）", of(*side)),
        Awaited::Stored { side } => format!("{} is flushing", of(*side)),
        Awaited::Sorted => {
            pick(lang, "the source is sorting new segments", "源集群正在对新 Segment 排序").to_owned()
        }
        Awaited::Index { rows_built, rows_total } if zh => {
            format!("目标集群正在构建索引：{} / {} 行", count(*rows_built), count(*rows_total))
        }
        Awaited::Index { rows_built, rows_total } => {
            format!(
                "the target has built {} of {} rows of the indexes",
                count(*rows_built),
                count(*rows_total)
            )
        }
        Awaited::Turn { side } if zh => format!("等待轮到自己：{}正在加载其他 Collection", of(*side)),
        Awaited::Turn { side } => format!("waiting for its turn: {} is loading other collections", of(*side)),
        Awaited::Retry { detail } if zh => format!("正在重试：{detail}"),
        Awaited::Retry { detail } => format!("trying again: {detail}"),
        Awaited::Answer => pick(lang, "waiting for a response", "正在等待响应").to_owned(),
    };
    if zh { format!("{what}，{seconds} 秒") } else { format!("{what}, {seconds} s") }
}

/// Something that the copy waits for.
pub(crate) fn bottleneck(lang: Lang, bottleneck: Bottleneck) -> &'static str {
    match bottleneck {
        Bottleneck::Source => pick(lang, "source latency", "源集群响应延迟"),
        Bottleneck::SourceLimit => pick(lang, "source rate limit", "源集群限速"),
        Bottleneck::Target => pick(lang, "target ingest", "目标集群写入能力"),
        Bottleneck::TargetLimit => pick(lang, "target rate limit", "目标集群限速"),
        Bottleneck::MaxRate => "--max-rate",
        Bottleneck::Ledger => pick(lang, "job record", "任务记录"),
    }
}

/// What the copy waits for most.
pub(crate) fn bound_by(lang: Lang, by: Bottleneck) -> String {
    let by = bottleneck(lang, by);
    pick(lang, format!("bound by: {by}"), format!("受限于：{by}"))
}

/// What was waited for, in parts of the whole.
pub(crate) fn shares(lang: Lang, shares: &[(Bottleneck, u64)]) -> String {
    let shares = shares.iter().map(|(on, percent)| format!("{} {percent} %", bottleneck(lang, *on)));
    shares.collect::<Vec<_>>().join(comma(lang))
}

/// What an attempt waited for, and how often the job record was written.
pub(crate) fn waited(lang: Lang, shares: &str, commits: u64) -> String {
    let commits = format::count(commits);
    pick(
        lang,
        format!("The copy waited for: {shares}; the job record was written {commits} times"),
        format!("复制的等待时间：{shares}；任务记录写入 {commits} 次"),
    )
}

/// The rate limit.
pub(crate) fn max_rate(lang: Lang, rate: Option<&str>) -> String {
    match rate {
        Some(rate) => pick(lang, format!("rate limited to {rate}"), format!("限速：{rate}")),
        None => pick(lang, "no rate limit".to_owned(), "不限速".to_owned()),
    }
}

/// The limit of a job was recorded.
pub(crate) fn rate_set(lang: Lang, job: &str, rate: Option<&str>, live: bool) -> String {
    let limit = max_rate(lang, rate);
    let when = match live {
        true => pick(lang, "from now on", "立即生效"),
        false => pick(lang, "when it is resumed", "继续任务时生效"),
    };
    pick(lang, format!("Job {job}: {limit}, {when}"), format!("任务 {job}：{limit}，{when}"))
}

/// State of a job. The English word is the one that interfaces use, so it stays in both languages.
pub(crate) fn state(lang: Lang, state: JobState) -> &'static str {
    match state {
        JobState::Pending => pick(lang, "PENDING", "PENDING（等待中）"),
        JobState::InProgress => pick(lang, "IN_PROGRESS", "IN_PROGRESS（进行中）"),
        JobState::Canceling => pick(lang, "CANCELING", "CANCELING（取消中）"),
        JobState::Successful => pick(lang, "SUCCESSFUL", "SUCCESSFUL（成功）"),
        JobState::Failed => pick(lang, "FAILED", "FAILED（失败）"),
        JobState::Canceled => pick(lang, "CANCELED", "CANCELED（已取消）"),
    }
}

/// State of a job as recorded; an open job without a process was interrupted.
pub(crate) fn recorded_state(lang: Lang, state: JobState, live: bool) -> String {
    match (state.is_open() || state == JobState::Pending, live) {
        (true, false) => pick(lang, format!("{state} (interrupted)"), format!("{state}（已中断）")),
        (true, true) | (false, _) => state.to_string(),
    }
}

/// A job and its state.
pub(crate) fn job_is(lang: Lang, job: &str, state: &str) -> String {
    pick(lang, format!("Job {job}: {state}"), format!("任务 {job}：{state}"))
}

/// How to continue.
pub(crate) fn resume_hint(lang: Lang, job: &str) -> String {
    pick(
        lang,
        format!(
            "To continue: vecferry resume {job}\nTo remove what the job created on the target: vecferry cancel {job} --clean"
        ),
        format!(
            "继续任务：vecferry resume {job}\n删除该任务在目标集群上创建的内容：vecferry cancel {job} --clean"
        ),
    )
}

/// How far an index is built.
pub(crate) fn index_state(lang: Lang, percent: u64) -> String {
    match percent {
        100 => pick(lang, "built".to_owned(), "已构建".to_owned()),
        _ => pick(lang, format!("{percent}% built"), format!("已构建 {percent}%")),
    }
}

/// How to remove what a job created.
pub(crate) fn clean_hint(lang: Lang, job: &str) -> String {
    pick(
        lang,
        format!("To remove what the job created on the target: vecferry cancel {job} --clean"),
        format!("删除该任务在目标集群上创建的内容：vecferry cancel {job} --clean"),
    )
}

/// `about 1,000 rows`
pub(crate) fn about_rows(lang: Lang, rows: u64) -> String {
    let rows = format::count(rows);
    pick(lang, format!("about {rows} rows"), format!("约 {rows} 行"))
}

/// `12 rows`
pub(crate) fn some_rows(lang: Lang, rows: u64) -> String {
    let number = format::count(rows);
    let noun = if rows == 1 { "row" } else { "rows" };
    pick(lang, format!("{number} {noun}"), format!("{number} 行"))
}

/// `3 collections`
pub(crate) fn some_collections(lang: Lang, collections: usize) -> String {
    let noun = if collections == 1 { "collection" } else { "collections" };
    pick(lang, format!("{collections} {noun}"), format!("{collections} 个 Collection"))
}

/// What comes after a list that was cut.
pub(crate) fn more(lang: Lang, number: usize) -> String {
    pick(
        lang,
        format!("… and {number} more (--json shows all)"),
        format!("……另有 {number} 项（--json 显示全部）"),
    )
}

/// `12,000 of about 20,000 rows`
pub(crate) fn rows_of(lang: Lang, done: u64, total: u64) -> String {
    let (done_text, total_text) = (format::count(done), format::count(total));
    if total == 0 {
        return some_rows(lang, done);
    }
    let percent = format::percent(done, total);
    pick(
        lang,
        format!("{done_text} of about {total_text} rows ({percent} %)"),
        format!("{done_text} / 约 {total_text} 行（{percent} %）"),
    )
}

/// Time that is left, where it can be told.
pub(crate) fn left(lang: Lang, time: Option<&str>) -> String {
    match time {
        Some(time) => pick(lang, format!("{time} left"), format!("剩余 {time}")),
        None => pick(lang, "time left unknown".to_owned(), "剩余时间未知".to_owned()),
    }
}

/// `12,000/20,000 rows`
pub(crate) fn rows_of_short(lang: Lang, done: u64, total: u64) -> String {
    let (done, total) = (format::count(done), format::count(total));
    pick(lang, format!("{done}/{total} rows"), format!("{done}/{total} 行"))
}

/// `5 of 8 collections`, or `5 collections done` where it is not known how many there are.
pub(crate) fn collections_done(lang: Lang, done: usize, total: Option<usize>) -> String {
    match total {
        Some(total) => {
            pick(lang, format!("{done} of {total} collections"), format!("{done}/{total} 个 Collection"))
        }
        None => pick(
            lang,
            format!("{} done", some_collections(lang, done)),
            format!("已完成 {}", some_collections(lang, done)),
        ),
    }
}

/// How a job ended, and how it was verified.
pub(crate) fn job(lang: Lang, id: &str, state: &str, level: &str, seed: u64) -> String {
    let seed = match level {
        "sample" => format!("{}{} {seed}", comma(lang), pick(lang, "seed", "种子")),
        _ => String::new(),
    };
    pick(
        lang,
        format!("Job {id}: {state} (verified: {level}{seed})"),
        format!("任务 {id}：{state}，校验：{level}{seed}"),
    )
}

/// How many rows a sample compared.
pub(crate) fn sample_passed(lang: Lang, rows: u64) -> String {
    format!("sample ✓ {}", some_rows(lang, rows))
}

/// How many rows a comparison of all rows compared.
pub(crate) fn full_passed(lang: Lang, rows: u64) -> String {
    format!("full ✓ {}", some_rows(lang, rows))
}

/// A database that has another name on the target.
pub(crate) fn destination(source: &str, target_db: &str) -> String {
    format!("{source} → {target_db}")
}

/// A row by partition and key, with what is to be said of it.
pub(crate) fn row(lang: Lang, partition: Option<&str>, key: &str, remarks: &[String]) -> String {
    let partition = partition.map(|partition| {
        pick(lang, format!(" in partition `{partition}`"), format!("，Partition `{partition}`"))
    });
    let mut text = format!("{} {key}{}", pick(lang, "primary key", "主键"), partition.unwrap_or_default());
    if !remarks.is_empty() {
        let remarks = remarks.join(comma(lang));
        text.push_str(&pick(lang, format!(" ({remarks})"), format!("（{remarks}）")));
    }
    text
}

/// Duplicate primary keys.
pub(crate) fn duplicates(lang: Lang, rows: u64) -> String {
    let rows = format::count(rows);
    pick(lang, format!("{rows} duplicates"), format!("{rows} 行重复"))
}

/// A step of the demo's set-up.
pub(crate) fn setup_step(lang: Lang, step: &SetupStep) -> String {
    match lang {
        Lang::En => step.to_string(),
        Lang::Zh => match step {
            SetupStep::Downloading { package, size_megabytes } => {
                format!("正在下载 {package}（{size_megabytes} MB）")
            }
            SetupStep::Unpacking { package } => format!("正在解压 {package}"),
            SetupStep::Starting { name, kind } => format!("正在启动 {name}（{}）", kind.title()),
            SetupStep::Ready { name, elapsed_seconds } => format!("{name} 已就绪（{elapsed_seconds:.1} 秒）"),
            other => other.to_string(),
        },
    }
}

/// A problem while the demo was prepared.
pub(crate) fn demo_sample_failed(lang: Lang, detail: &str) -> String {
    pick(
        lang,
        format!("the sample data could not be written: {detail}"),
        format!("无法写入示例数据：{detail}"),
    )
}

/// Arguments without a command.
pub(crate) fn no_command(lang: Lang, commands: &str) -> String {
    pick(
        lang,
        format!("no command given (commands: {commands})"),
        format!("未指定命令（可用命令：{commands}）"),
    )
}

/// How long a job has been running, in all attempts.
pub(crate) fn worked(lang: Lang, time: &str, attempts: u64) -> String {
    let attempts = in_attempts(lang, attempts);
    match lang {
        Lang::En => format!("Running time: {time}{attempts}"),
        Lang::Zh => format!("运行用时：{time}{attempts}"),
    }
}

/// The same of a job that ended, and how long its last attempt was.
pub(crate) fn worked_in_attempts(lang: Lang, all: &str, attempts: u64, last: &str) -> String {
    match lang {
        Lang::En => format!(
            "All {attempts} attempts took {all}, the last one {last}; the time between them is not counted."
        ),
        Lang::Zh => format!("{attempts} 次尝试共用时 {all}，其中最后一次 {last}；不计各次尝试之间的时间。"),
    }
}

/// How often a job was begun, behind its time; nothing for one that was begun once.
pub(crate) fn in_attempts(lang: Lang, attempts: u64) -> String {
    match lang {
        _ if attempts < 2 => String::new(),
        Lang::En => format!(" ({attempts} attempts)"),
        Lang::Zh => format!("（{attempts} 次尝试）"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_nouns_agree() {
        assert_eq!(some_rows(Lang::En, 1), "1 row");
        assert_eq!(some_rows(Lang::En, 1000), "1,000 rows");
        assert_eq!(some_collections(Lang::En, 1), "1 collection");
        assert_eq!(rows_of(Lang::Zh, 10, 2000), "10 / 约 2,000 行（0 %）");
        assert_eq!(rows_of(Lang::En, 10, 0), "10 rows");
    }

    #[test]
    fn the_pace_is_told_in_both_languages() {
        assert_eq!(bound_by(Lang::En, Bottleneck::TargetLimit), "bound by: target rate limit");
        assert_eq!(bound_by(Lang::Zh, Bottleneck::MaxRate), "受限于：--max-rate");
        assert_eq!(
            waited(Lang::En, &shares(Lang::En, &[(Bottleneck::Target, 70), (Bottleneck::Source, 30)]), 1200),
            "The copy waited for: target ingest 70 %, source latency 30 %; the job record was written 1,200 times"
        );
        assert_eq!(
            rate_set(Lang::En, "j", Some("20MB/s"), true),
            "Job j: rate limited to 20MB/s, from now on"
        );
        assert_eq!(rate_set(Lang::Zh, "j", None, false), "任务 j：不限速，继续任务时生效");
    }

    #[test]
    fn a_row_is_named_in_both_languages() {
        let fields = ["a".to_owned(), "b".to_owned()];
        assert_eq!(row(Lang::En, Some("p"), "7", &fields), "primary key 7 in partition `p` (a, b)");
        assert_eq!(row(Lang::Zh, Some("p"), "7", &fields), "主键 7，Partition `p`（a，b）");
        assert_eq!(row(Lang::En, None, "7", &[]), "primary key 7");
    }

    #[test]
    fn the_seed_is_only_shown_where_there_is_a_sample() {
        assert_eq!(
            job(Lang::En, "j", "SUCCESSFUL", "sample", 7),
            "Job j: SUCCESSFUL (verified: sample, seed 7)"
        );
        assert_eq!(job(Lang::En, "j", "SUCCESSFUL", "count", 7), "Job j: SUCCESSFUL (verified: count)");
        assert_eq!(job(Lang::Zh, "j", "FAILED（失败）", "none", 7), "任务 j：FAILED（失败），校验：none");
    }
}
