//! Sentences about the terminal, commands and options, in English and Chinese. What is said of jobs is in
//! [`vecferry_report::labels`], and of problems in the catalogue.

use vecferry_migrate::Lang;
use vecferry_migrate::report::{RoundKind, RoundState};
use vecferry_report::labels::colon;
use vecferry_sandbox::SetupStep;
use vecferry_words::Told;

/// Whether a problem stops something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    /// It does.
    Error,
    /// It does not.
    Warning,
}

vecferry_words::sentences! {
    pub(crate),
    // Before the start.
    /// While a source is looked at.
    looking "Reading the collections …" "正在读取 Collection 信息…";
    /// While both servers are looked at.
    checking "Checking both clusters …" "正在检查两端集群…";
    /// The question.
    start_question "Start? [y/N]" "开始迁移？[y/N]";
    /// The question where the application goes on writing.
    start_warm_question
        "Start to copy, while the application may continue writing? [y/N]"
        "开始复制？应用可以继续写入。[y/N]";
    /// The question before a cut-over.
    cut_over_question
        "\
Before a cut-over, all writers of the source must be stopped, and stay stopped until it has ended.
Every row is compared. Rows on the target that the source does not have are removed.
Then the aliases are set on the target, and the applications can switch to it.
Are all writers stopped, and should the cut-over start? [y/N]"
        "\
切换之前必须停止对源集群的所有写入，并保持停止，直到切换结束。
切换会比对每一行。目标集群上有而源集群没有的行将被删除。
之后在目标集群上设置别名，应用即可切换到目标集群。
是否已停止所有写入，并开始切换？[y/N]";
    /// The question before a repair.
    repair_question
        "Rows on the target that differ from the source will be overwritten or removed. Start? [y/N]"
        "目标集群上与源集群不一致的行将被覆盖或删除。开始修复？[y/N]";
    /// The answer was no.
    not_started "Not started; nothing was written." "未开始；未写入任何内容。";
    /// Ctrl-C before the start.
    stopped_before_start "Stopped before the start; nothing was written." "已在开始前停止；未写入任何内容。";

    // While it runs.
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

    // Results.
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
    /// A job that is complete was to be resumed.
    nothing_to_resume "The job is already complete; this is its report." "任务已完成；以下是其报告。";
    /// A job that is complete was to get a further round.
    nothing_to_round
        "The cut-over of the job is already complete, so there is nothing left to do; this is its report."
        "任务已完成切换，无需再做任何操作；以下是其报告。";
    /// A job that is ready was to be resumed.
    at_rest
        "The job is READY, so there is nothing to resume; this is its report."
        "任务处于 READY（就绪）状态，无需继续；以下是其报告。";
    /// There is nothing to list.
    no_jobs "no jobs recorded here" "没有任务记录";

    /// A remedy where nothing better is known.
    run_again "run the command again" "请重新运行该命令";

    // With a service that does the work.
    /// The first Ctrl-C.
    service_canceling
        "Canceling the job in the service; press Ctrl-C again to leave it there and exit."
        "正在服务中取消任务；再按一次 Ctrl-C 则不再等待并退出。";
    /// The second Ctrl-C, before the service said which job it is.
    service_may_have_job
        "The job may have been created in the service: `vecferry jobs` lists it."
        "任务可能已在服务中创建：可用 `vecferry jobs` 查看。";
    /// It did not answer for a while.
    service_is_back "The service answers again." "服务已恢复应答。";
    /// Ctrl-C while collections are loaded.
    service_goes_on_loading
        "The service continues to load the collections."
        "服务将继续加载这些 Collection。";
    /// Ctrl-C while clusters are compared.
    service_goes_on_comparing
        "The service continues to compare the clusters; its API shows the result among the tasks of the job."
        "服务将继续比较两个集群；可通过其 API 在该任务的操作记录中查看结果。";
    /// Heading of a column.
    progress_column "progress" "进度";

    // The service.
    /// The first signal.
    service_ending
        "Stopping: requests are answered, and jobs are left for the next start. Press Ctrl-C again to exit immediately."
        "正在停止：先应答未完成的请求，任务留待下次启动后继续。再按一次 Ctrl-C 立即退出。";
    /// Heading of a column.
    setting_column "setting" "设置";
    /// Heading of a column.
    value_column "value" "值";
    /// Heading of a column.
    origin_column "from" "来源";
    /// Where a value comes from that nobody set.
    origin_default "default" "默认值";
    /// Where the only key is that is not in a copy of the record.
    backup_key_hint
        "Credentials in it are encrypted: keep the key file of the service too, in another place."
        "其中的凭证已加密：请将服务的密钥文件也另外妥善保存。";

    // The demonstration of the service.
    /// First words.
    service_demo_start
        "This demonstration starts two real Milvus 2.3.5 servers on this machine, fills one with sample data and registers both in the service. It is for trying things out, not for production."
        "本演示将在本机启动两个真实的 Milvus 2.3.5 实例，向其中一个写入示例数据，并将两者注册到本服务。仅供试用，不用于生产环境。";
    /// Last words where the records were in a directory of the demonstration's own.
    service_demo_ended
        "The demonstration has ended; its records, both servers and their data have been removed."
        "演示已结束；其记录、两个 Milvus 实例及其数据均已清除。";
    /// Last words where the records are in a directory that was given.
    service_demo_ended_records_stay
        "The demonstration has ended; both servers and their data have been removed, the records of the service stay."
        "演示已结束；两个 Milvus 实例及其数据均已清除，服务的记录仍然保留。";

    // The demo.
    /// First words of the demo.
    demo_start
        "This demo starts two real Milvus 2.3.5 servers on this machine, fills one with sample data and migrates it to the other."
        "本演示将在本机启动两个真实的 Milvus 2.3.5 实例，向其中一个写入示例数据，并迁移到另一个。";
    /// Before the sample data is written.
    demo_filling "filling the source with sample data" "正在向源集群写入示例数据";
    /// Before the migration.
    demo_migrating "migrating" "开始迁移";
    /// Why the demo failed.
    demo_failed "The demo failed; both servers and their data have been removed." "演示未成功；两个 Milvus 实例及其数据均已清除。";
    /// The demo was stopped.
    demo_stopped "The demo was stopped; both servers and their data have been removed." "演示已停止；两个 Milvus 实例及其数据均已清除。";
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

/// `error[VF-0001]`
pub(crate) fn problem_head(lang: Lang, severity: Severity, code: &str) -> String {
    let word = match severity {
        Severity::Error => lang.pick("error", "错误"),
        Severity::Warning => lang.pick("warning", "警告"),
    };
    format!("{word}[{code}]")
}

/// `hint: …`
pub(crate) fn hint(lang: Lang, hint: &str) -> String {
    format!("{}{}{hint}", lang.pick("hint", "建议"), colon(lang))
}

/// A check that does not concern the command line.
pub(crate) fn check_not_applicable(lang: Lang) -> &'static str {
    lang.pick("not applicable on the command line", "不适用于命令行")
}

/// A plan was shown, and not written down.
pub(crate) fn plan_not_kept(lang: Lang) -> &'static str {
    lang.pick(
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

/// How to continue.
pub(crate) fn resume_hint(lang: Lang, job: &str) -> String {
    lang.pick(
        format!(
            "To continue: vecferry resume {job}\nTo remove what the job created on the target: vecferry cancel {job} --clean"
        ),
        format!(
            "继续任务：vecferry resume {job}\n删除该任务在目标集群上创建的内容：vecferry cancel {job} --clean"
        ),
    )
}

/// How to continue a job whose newest round did not come to its end.
pub(crate) fn round_hint(lang: Lang, job: &str, kind: RoundKind, state: RoundState) -> String {
    let command = match kind {
        RoundKind::Warm => return resume_hint(lang, job),
        RoundKind::CatchUp => "catch-up",
        RoundKind::CutOver => "cutover",
    };
    let next = match (state, kind) {
        // It was canceled at rest, and comes to rest again.
        (RoundState::Done, _) => return resume_hint(lang, job),
        (RoundState::Open, RoundKind::CutOver) => lang.pick(
            format!(
                "To continue the cut-over, while all writers of the source are stopped: vecferry resume {job}\n\
                 To let them go on, and bring the target up to date meanwhile: vecferry catch-up {job}"
            ),
            format!(
                "在停止对源集群的所有写入的情况下继续切换：vecferry resume {job}\n\
                 恢复写入，并在此期间更新目标集群：vecferry catch-up {job}"
            ),
        ),
        (RoundState::Open, RoundKind::Warm | RoundKind::CatchUp) => lang.pick(
            format!("To continue the catch-up: vecferry resume {job}"),
            format!("继续更新：vecferry resume {job}"),
        ),
        (RoundState::Failed, _) => lang.pick(
            format!("To try again: vecferry {command} {job}"),
            format!("再次尝试：vecferry {command} {job}"),
        ),
    };
    format!("{next}\n{}", clean_hint(lang, job))
}

/// What to do with a job that is ready.
pub(crate) fn ready_hint(lang: Lang, job: &str) -> String {
    lang.pick(
        format!(
            "To bring the target up to date while the application writes: vecferry catch-up {job}\n\
             To end the job, once all writers of the source are stopped: vecferry cutover {job}\n\
             To give it up, and remove what it created on the target: vecferry cancel {job} --clean"
        ),
        format!(
            "在应用继续写入时更新目标集群：vecferry catch-up {job}\n\
             停止对源集群的所有写入后，完成切换：vecferry cutover {job}\n\
             放弃任务，并删除其在目标集群上创建的内容：vecferry cancel {job} --clean"
        ),
    )
}

/// How to remove what a job created.
pub(crate) fn clean_hint(lang: Lang, job: &str) -> String {
    lang.pick(
        format!("To remove what the job created on the target: vecferry cancel {job} --clean"),
        format!("删除该任务在目标集群上创建的内容：vecferry cancel {job} --clean"),
    )
}

/// `--repair` below the level that finds every difference.
pub(crate) fn repair_needs_full() -> Told {
    Told::both(
        "--repair needs --level full, which finds all differences",
        "--repair 需要与 --level full 一起使用，该级别会找出所有差异",
    )
}

/// Why the servers of the demo can't be used. What programs and the system said stays as it is.
pub(crate) fn sandbox_failed(error: &vecferry_sandbox::Error) -> Told {
    use vecferry_sandbox::Error;
    let zh = match error {
        Error::InvalidSpec { reason } => format!("服务描述无效：{reason}"),
        Error::UnknownServer { name } => format!("没有名为 `{name}` 的服务"),
        Error::NotRunning { name } => format!("服务 `{name}` 没有运行"),
        Error::AlreadyRunning { name } => format!("服务 `{name}` 已在运行"),
        Error::PlatformUnsupported { package, platform } => {
            format!("`{package}` 仅支持 Linux x86_64；本机为 {platform}")
        }
        Error::PythonMissing { reason } => format!("无法运行 python3：{reason}"),
        Error::PipMissing => "python3 没有 pip 模块".to_owned(),
        Error::DownloadFailed { package, log } => format!("无法下载 `{package}`：\n{log}"),
        Error::PackageDamaged { package, reason } => format!("无法解压 `{package}`：{reason}"),
        Error::CacheUnknown => {
            "没有可用于软件包缓存的目录：环境变量 VECFERRY_CACHE、XDG_CACHE_HOME 和 HOME 均未设置".to_owned()
        }
        Error::Io { action, reason } => format!("操作失败（`{action}`）：{reason}"),
        Error::Certificates { reason } => format!("无法生成证书：{reason}"),
        Error::NoFreePorts => "没有找到可用的端口".to_owned(),
        Error::NeverReady { name, seconds, log } => {
            format!("服务 `{name}` 在 {seconds} 秒后仍未就绪；其日志的末尾：\n{log}")
        }
        Error::ServerDied { name, status, log } => {
            format!("服务 `{name}` 在就绪前退出（{status}）；其日志的末尾：\n{log}")
        }
        Error::ProgramMissing { directory, program } => format!("{directory} 中没有程序 `{program}`"),
        Error::ProgramFailed { program, status, log } => {
            format!("`{program}` 执行失败（{status}）；其输出的末尾：\n{log}")
        }
        Error::UserMissing { user } => {
            format!("PostgreSQL 不能以 root 身份运行，而 /etc/passwd 中没有可供使用的用户 `{user}`")
        }
        Error::SupervisorLost { reason } => format!("服务的监管进程已丢失：{reason}"),
        Error::Interrupted => "已中断：启动服务的进程已退出".to_owned(),
        _ => error.to_string(),
    };
    Told::both(error.to_string(), zh)
}

/// A job was created in a service.
pub(crate) fn service_created(lang: Lang, job: &str) -> String {
    lang.pick(format!("Job {job} was created in the service."), format!("已在服务中创建任务 {job}。"))
}

/// Where to look at a job that a service goes on with.
pub(crate) fn service_has_job(lang: Lang, job: &str) -> String {
    lang.pick(
        format!("The job stays in the service. To see its state: vecferry status {job}"),
        format!("任务仍保留在服务中。查看其状态：vecferry status {job}"),
    )
}

/// How to continue a job of a service.
pub(crate) fn service_resume_hint(lang: Lang, job: &str) -> String {
    lang.pick(format!("To continue: vecferry resume {job}"), format!("继续任务：vecferry resume {job}"))
}

/// A service does not answer for the moment.
pub(crate) fn service_is_away(lang: Lang, seconds: u64, why: &str) -> String {
    lang.pick(format!("Trying again for {seconds} s: {why}"), format!("将在 {seconds} 秒内不断重试：{why}"))
}

/// A service loads what a job copied, and nothing else.
pub(crate) fn load_needs_job() -> Told {
    Told::both("--server needs --job", "--server 需要与 --job 一起使用")
}

/// `verify --server` without a job.
pub(crate) fn verify_needs_job() -> Told {
    Told::both(
        "with --server, name the job whose collections are to be compared: vecferry verify JOB",
        "使用 --server 时，请指定要比较其 Collection 的任务：vecferry verify JOB",
    )
}

/// An API key that others on the way can read.
pub(crate) fn key_is_readable(lang: Lang, host: &str) -> String {
    lang.pick(
        format!(
            "warning: the API key is sent to {host} unencrypted (http://), and others on the way can read it; use https://"
        ),
        format!("警告：API 密钥以未加密的方式（http://）发送到 {host}，传输途中可能被他人读取；请使用 https://"),
    )
}

/// Where the service listens.
pub(crate) fn service_listening(lang: Lang, url: &str, store: &str) -> String {
    lang.pick(
        format!("Vecferry listens on {url}\nRecords: {store}"),
        format!("Vecferry 正在监听 {url}\n数据存储：{store}"),
    )
}

/// The link of the first owner, or of an owner who was added.
pub(crate) fn sign_in_link(lang: Lang, email: &str, link: &str) -> String {
    lang.pick(
        format!("One-time sign-in link of {email} (it is not shown again):\n  {link}"),
        format!("{email} 的一次性登录链接（不会再次显示）：\n  {link}"),
    )
}

/// The clusters of the demonstration: their names and addresses, and with what they let in.
pub(crate) fn service_demo_clusters(lang: Lang, clusters: &[(&str, &str)], token: &str) -> String {
    let listed: Vec<_> = clusters.iter().map(|(name, address)| format!("  {name}  {address}")).collect();
    let listed = listed.join("\n");
    lang.pick(
        format!("Demonstration clusters, registered in the first project (credential {token}):\n{listed}\nCtrl-C ends everything."),
        format!("演示集群，已注册到第一个项目（凭证 {token}）：\n{listed}\n按 Ctrl-C 结束全部。"),
    )
}

/// A copy of the record was written.
pub(crate) fn backed_up(lang: Lang, directory: &str, file: &str) -> String {
    lang.pick(
        format!("The records of {directory} were copied to {file}."),
        format!("{directory} 中的记录已复制到 {file}。"),
    )
}

/// A record was made from a copy.
pub(crate) fn restored(lang: Lang, directory: &str, file: &str) -> String {
    lang.pick(
        format!("{directory} was created from {file}. If a service uses it, put its key file there too."),
        format!("已用 {file} 创建 {directory}。如果由服务使用，请将其密钥文件也放入该目录。"),
    )
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
    lang.pick(
        format!("the sample data could not be written: {detail}"),
        format!("无法写入示例数据：{detail}"),
    )
}

/// Arguments without a command.
pub(crate) fn no_command(lang: Lang, commands: &str) -> String {
    lang.pick(
        format!("no command given (commands: {commands})"),
        format!("未指定命令（可用命令：{commands}）"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_next_depends_on_the_round() {
        let hint = |lang, kind, state| round_hint(lang, "j", kind, state);
        let (open, failed, done) = (RoundState::Open, RoundState::Failed, RoundState::Done);
        for (kind, state, commands) in [
            (RoundKind::Warm, open, &["resume j"][..]),
            (RoundKind::CatchUp, open, &["resume j"]),
            (RoundKind::CutOver, open, &["resume j", "catch-up j"]),
            (RoundKind::CatchUp, failed, &["catch-up j"]),
            (RoundKind::CutOver, failed, &["cutover j"]),
            (RoundKind::CutOver, done, &["resume j"]),
        ] {
            for lang in [Lang::En, Lang::Zh] {
                let hint = hint(lang, kind, state);
                let named: Vec<_> = hint.lines().filter_map(|line| line.split_once("vecferry ")).collect();
                let named: Vec<_> = named.into_iter().map(|(_, command)| command).collect();
                assert_eq!(named, [commands, &["cancel j --clean"]].concat(), "{kind:?} {state:?}");
            }
        }
    }
}
