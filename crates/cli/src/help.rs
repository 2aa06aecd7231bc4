//! `--help` in Chinese, for `--lang zh` and Chinese locales.
//!
//! The English texts are the doc comments in [`crate::args`]; the Chinese ones are the tables of this file, by command and by
//! ID of the argument. A test shows that none is missing and none is left over. What clap adds to a help text in English
//! (headings, defaults, possible values, variables) is added here instead.

use clap::{Arg, ArgAction, Command};

/// Layout of a page. Headings of arguments are part of `all-args`.
const TEMPLATE: &str = "{about-with-newline}\n用法：{usage}\n\n{all-args}{after-help}";

const AFTER_HELP: &str = "退出码：0 完成，2 参数无效，3 写入任何内容之前被拒绝，4 第一次写入之后失败，\
                          5 校验发现差异，130 已取消。\n\n试一试：vecferry demo";

/// Heading of options that have none in English.
const OPTIONS: &str = "选项";
/// Heading of positional arguments.
const ARGUMENTS_HEADING: &str = "参数";

/// English and Chinese headings.
static HEADINGS: &[(&str, &str)] = &[
    ("Output", "输出"),
    ("Source", "源集群"),
    ("Target", "目标集群"),
    ("Selection", "选择范围"),
    ("Migration", "迁移"),
    ("Roles and users", "角色和用户"),
    ("Plans of the clusters", "集群部署方式"),
    ("Comparison", "比对"),
    ("Keys", "密钥"),
    ("Listener", "监听"),
    ("Networks", "网络"),
    ("Sign-in with OpenID Connect", "通过 OpenID Connect 登录"),
    ("Traces", "链路追踪"),
    ("Limits", "限制"),
    ("Service", "服务"),
];

/// What each command does.
static COMMANDS: &[(&str, &str)] = &[
    ("vecferry", "迁移 Milvus 和 Zilliz Cloud 集群，并校验每一行都已到达"),
    ("demo", "体验一次迁移：在本机两个真实的 Milvus 实例之间迁移示例数据"),
    ("plan", "检查两端集群并生成迁移计划，不写入任何内容"),
    ("migrate", "将 Collection 复制到另一个集群，并校验每一行都已到达"),
    ("capacity", "估算 Collection 的大小、所需 CU 和复制用时"),
    ("jobs", "列出任务，最新的在前"),
    ("status", "查看任务进度"),
    ("resume", "继续已失败、已取消或已中断的任务"),
    ("catch-up", "在应用继续写入时更新预复制任务的目标集群"),
    ("cutover", "结束预复制：比对每一行、复制变化的数据并设置别名"),
    ("rate", "修改任务的限速，任务在其他进程中运行时也可修改"),
    ("cancel", "取消任务；加上 --clean 则同时删除它创建的所有内容"),
    ("report", "查看任务报告"),
    ("verify", "只比对两端集群的 Collection，不复制数据"),
    ("load", "在目标集群上加载 Collection，使其可被检索"),
    ("serve", "运行服务：通过 REST API 管理组织、项目、集群和任务"),
    ("organization", "管理服务中的组织"),
    ("add", "创建组织，并打印其管理员的一次性登录链接"),
    ("config", "查看服务的设置"),
    ("show", "显示服务的每项设置、设置的值及其来源"),
    ("backup", "将状态目录中的任务记录复制到一个文件，使用中也可进行"),
    ("restore", "用 `vecferry backup` 生成的文件创建状态目录"),
    ("completions", "生成 Shell 的命令行补全脚本"),
    ("help", "显示帮助，或显示指定命令的帮助"),
];

/// What each argument means: the command (empty for every command that has no text of its own), the ID, the text.
static ARGUMENTS: &[(&str, &str, &str)] = &[
    ("", "json", "向标准输出写入 JSON，每行一个对象：先是进度，最后是结果"),
    ("", "quiet", "只显示结果、警告和错误"),
    ("", "lang", "消息和帮助的语言 [默认值：取自 LC_ALL、LC_MESSAGES 或 LANG]"),
    (
        "",
        "log",
        "将内部运行情况写入 stderr：`info`、`debug`、`trace`，或 `vecferry_migrate=debug` 这样的过滤条件",
    ),
    ("", "log_format", "日志格式：文本行，或每行一个 JSON 对象"),
    ("", "color", "何时使用颜色；auto 表示在终端上使用，除非设置了 NO_COLOR"),
    ("", "source", "源集群的地址：https://host:port、http://host:port，或 Zilliz Cloud 集群 ID"),
    ("", "source_token", "凭证：用户名:密码或 API 密钥；建议使用环境变量，以免出现在 `ps` 中"),
    (
        "",
        "source_api_key",
        "Zilliz Cloud API 密钥：用于查询以 ID（in01-…）指定的集群的地址、部署方式和规格；未提供 --source-token 时也用作凭证",
    ),
    ("", "source_ca", "信任的 CA 证书（PEM）"),
    ("", "source_cert", "客户端证书（PEM），用于要求客户端证书的服务"),
    ("", "source_key", "客户端证书的私钥（PEM）"),
    ("", "target", "目标集群的地址：https://host:port、http://host:port，或 Zilliz Cloud 集群 ID"),
    ("", "target_token", "凭证：用户名:密码或 API 密钥；建议使用环境变量，以免出现在 `ps` 中"),
    (
        "",
        "target_api_key",
        "Zilliz Cloud API 密钥：用于查询以 ID（in01-…）指定的集群的地址、部署方式和规格；未提供 --target-token 时也用作凭证",
    ),
    ("", "target_ca", "信任的 CA 证书（PEM）"),
    ("", "target_cert", "客户端证书（PEM），用于要求客户端证书的服务"),
    ("", "target_key", "客户端证书的私钥（PEM）"),
    ("", "collection", "只处理该 Collection（可重复）；DB.* 表示整个 Database，NAME 位于 `default` Database"),
    ("", "exclude", "跳过该 Collection（可重复）"),
    ("", "visible_only", "选择整个 Database 时，只包含该用户能看到的内容"),
    ("", "target_db", "将源集群的 Database SRC 复制到目标集群的 Database DST（可重复）"),
    ("", "output", "将计划写入该文件，供 `migrate --plan` 使用"),
    (
        "",
        "probe_write",
        "在目标集群上创建名称随机的临时 Collection，检查目标集群是否接受计划中的每种定义，并测量各步骤用时；之后会删除它们",
    ),
    ("", "plan", "按 `vecferry plan` 生成的该计划执行：地址、Collection 和选项均取自计划"),
    ("", "row_tolerance", "自生成计划以来，每个 Collection 允许增加或减少的行数百分比"),
    ("", "yes", "不请求确认，直接开始"),
    ("", "dry_run", "检查、生成计划并读取每一行，但不写入任何内容，用于测量源集群"),
    ("", "with", "同时复制 `rbac`：角色、授权、权限组和用户"),
    ("", "rbac_users", "创建用户并设置新密码（密码无法复制），或跳过用户"),
    ("", "users_file", "保存这些密码的文件 [默认值：状态目录中的 users/JOB.json]"),
    ("", "verify", "校验方式：count 比对行数，sample 再逐位比对随机抽样的行，full 逐位比对每一行"),
    (
        "",
        "warm",
        "在应用继续写入时先复制，之后用 `vecferry cutover` 切换；任务以 READY 结束，切换时才逐行校验",
    ),
    ("", "load_target", "加载目标 Collection，使切换时无需等待加载"),
    ("", "source_load", "如何处理源集群上未加载的 Collection：为复制临时加载，或拒绝迁移"),
    (
        "",
        "source_load_parallel",
        "源集群上最多同时为复制加载多少个 Collection；八个小 Collection（16 MiB）计为一个",
    ),
    ("", "duplicates", "如何处理源集群中的重复主键：每个主键复制一行并给出警告，或拒绝迁移该 Collection"),
    (
        "",
        "on_bad_row",
        "目标集群拒绝部分行时如何处理其所在的 Collection：保持未完成状态（不设置别名），或在缺少这些行的情况下完成；无论哪种方式，其余各行都会复制，任务最终失败",
    ),
    (
        "",
        "auto_id",
        "如何处理自动生成的 ID（AutoID）：拒绝迁移这样的 Collection，在目标集群支持时（2.6 及以上）保留 ID，或由目标集群生成新 ID 并在比对时忽略 ID",
    ),
    ("", "allow_drift", "允许源集群在复制期间发生变化；其间的变化可能不在目标集群上"),
    (
        "",
        "keep_index_params",
        "目标集群支持时，保留源集群的向量索引（HNSW、IVF、DISKANN 等）及其参数，而不使用 AUTOINDEX",
    ),
    ("", "wait_index", "等待目标集群上的所有索引构建完成"),
    ("", "policy", "允许在哪些部署方式之间迁移：zilliz-cn、zilliz-global，或策略文件"),
    ("", "source_plan", "源集群的部署方式，仅在无法识别时需要"),
    ("", "target_plan", "目标集群的部署方式，仅在无法识别时需要"),
    ("", "target_cu", "目标集群的可用 CU，仅在无法从控制面查询时需要"),
    ("", "target_cu_type", "目标集群的 CU 类型"),
    (
        "",
        "max_rate",
        "写入限速：20MB/s（B 至 GB、KiB 至 GiB）、5000rows/s，或 `none`；之后可用 `vecferry rate` 修改",
    ),
    (
        "",
        "state_dir",
        "保存任务记录的目录；使用 --store 时仅保存与任务有关的文件 [默认值：$XDG_STATE_HOME/vecferry 或 ~/.local/state/vecferry]",
    ),
    ("", "store", "保存任务记录的 PostgreSQL 数据库：postgres://USER:PASSWORD@HOST:PORT/DATABASE"),
    ("", "server", "由该地址上的服务执行；API 密钥放在 VECFERRY_API_KEY 中"),
    ("", "server_key_file", "保存 API 密钥的文件，用于代替 VECFERRY_API_KEY"),
    ("", "server_ca", "信任的服务 CA 证书（PEM）"),
    (
        "migrate",
        "source",
        "源集群的地址：https://host:port、http://host:port，或 Zilliz Cloud 集群 ID；使用 --server 时为服务中集群的 ID 或名称",
    ),
    (
        "migrate",
        "target",
        "目标集群的地址：https://host:port、http://host:port，或 Zilliz Cloud 集群 ID；使用 --server 时为服务中集群的 ID 或名称",
    ),
    ("", "job", "任务 ID，或足以区分的开头部分"),
    ("cutover", "yes", "不请求确认，直接开始：对源集群的所有写入已停止"),
    (
        "",
        "accept_dropped",
        "从目标集群删除源集群此后已删除的 Collection；不加此选项时拒绝执行，因为源集群地址错误时情形与此相同",
    ),
    (
        "",
        "recopy",
        "重新复制源集群此后重建或修改过定义的 Collection，并先将其从目标集群删除；不加此选项时拒绝执行",
    ),
    (
        "",
        "overwrite_target",
        "删除其他程序写入目标集群的行；不加此选项时，若某个 Collection 在目标集群上的行数多于任务所留下的行数，则拒绝执行",
    ),
    (
        "",
        "trust_unchanged",
        "对上一次更新中已一致的主键范围只抽样比对，而不逐行比对；只比对主键和随机抽取的部分值，此后被更新的行可能遗漏，报告的校验级别为 `sample`",
    ),
    ("", "rate", "限速：20MB/s（B 至 GB、KiB 至 GiB）、5000rows/s，或 `none`"),
    ("", "clean", "从目标集群删除该任务创建的所有内容，且只删除这些内容"),
    ("", "html", "将报告写为一个独立的 HTML 页面"),
    ("", "level", "校验方式：count 比对行数，sample 再逐位比对随机抽样的行，full 逐位比对每一行"),
    (
        "",
        "repair",
        "修复目标集群：重新复制缺失和不一致的行，并删除多出的行；需要 `--level full`，且只修复由此处（--state-dir 或 --store）记录的任务创建的 Collection",
    ),
    ("", "repair_foreign", "同时修复并非由此处（--state-dir 或 --store）记录的任务创建的 Collection"),
    ("", "replicas", "副本数 [默认值：使用 --job 时与源集群相同，否则为 1]"),
    ("", "shell", "Shell 的名称"),
    ("capacity", "plan", "使用该计划文件中的 Collection，而不连接源集群"),
    ("verify", "yes", "不请求确认，直接修复"),
    (
        "load",
        "collection",
        "要加载的 Collection（可重复）；DB.* 表示整个 Database，NAME 位于 `default` Database",
    ),
    ("backup", "file", "保存副本的新文件"),
    ("restore", "file", "`vecferry backup` 生成的文件"),
    ("add", "name", "组织名称"),
    ("add", "email", "组织管理员的邮箱地址"),
    ("", "config", "TOML 设置文件；环境变量（VECFERRY_SERVE_…）和选项优先于它"),
    ("", "key_file", "保存加密凭证所用密钥的文件 [默认值：状态目录中的 service.key]"),
    ("", "key_command", "打印这些密钥的命令，由 `sh -c` 执行；也可将密钥放入环境变量 VECFERRY_KEY"),
    ("", "demo", "试用：启动两个 Milvus 实例（其中一个带示例数据）并注册；服务结束时全部清除"),
    ("", "listen", "监听的地址和端口 [默认值：127.0.0.1:19777]"),
    ("", "tls_cert", "证书链（PEM）；每分钟以及收到 SIGHUP 时重新读取"),
    ("", "tls_key", "证书的私钥（PEM）"),
    ("", "behind_tls", "由服务前面的代理处理 TLS"),
    ("", "trusted_proxies", "该网段（可重复）内的代理通过 X-Forwarded-For 给出客户端地址"),
    ("", "metrics_open", "无需 API 密钥即可查看 /metrics"),
    ("", "allow_network", "只连接该网段内的集群（可重复），例如 10.0.0.0/8"),
    ("", "deny_network", "不连接该网段内的集群（可重复）"),
    ("", "oidc_issuer", "身份提供方的 Issuer URL，例如 https://id.example.com"),
    ("", "oidc_client_id", "本服务在身份提供方的客户端 ID"),
    ("", "oidc_client_secret_file", "保存客户端密钥的文件；或设置 VECFERRY_SERVE_OIDC_CLIENT_SECRET"),
    ("", "oidc_redirect_url", "浏览器可访问的回调 URL [默认值：使用 --listen 的地址]"),
    ("", "oidc_email_domain", "只接受该域名的邮箱地址（可重复）"),
    ("", "oidc_join", "未知用户加入的组织，其成为成员，但没有项目"),
    ("", "otlp_endpoint", "将链路追踪数据导出到该 Collector（OTLP over HTTP），例如 http://127.0.0.1:4318"),
    ("", "jobs_per_process", "本进程同时运行的任务数 [默认值：4]"),
    ("", "jobs_total", "所有进程同时运行的任务数 [默认值：64]"),
    ("", "jobs_per_organization", "每个组织同时运行的任务数 [默认值：16]"),
    ("", "jobs_per_target", "同时写入同一目标集群的任务数 [默认值：2]"),
    ("", "jobs_per_source", "同时读取同一源集群的任务数 [默认值：4]"),
    ("", "requests_per_second", "每个调用方对每个接口每秒的请求数 [默认值：20]"),
    ("", "requests_burst", "该限制生效前，每个调用方可一次发送的请求数 [默认值：40]"),
    ("", "body_bytes", "请求体的大小上限（字节）[默认值：1048576]"),
    ("", "connections", "打开的连接数 [默认值：2000]"),
    ("", "listeners", "同时监听任务事件的客户端数 [默认值：500]"),
    ("", "checks", "同时进行的集群检查数 [默认值：8]"),
    ("", "cluster_interval", "两次查看已注册集群之间的秒数 [默认值：60]"),
    ("", "audit_days", "审计日志的保留天数 [默认值：400]"),
    ("", "job_days", "已结束任务的保留天数，0 表示不限 [默认值：0]"),
    ("verify", "job", "与 --server 一起使用：再次比较该成功任务的 Collection"),
    ("load", "job", "按源集群的加载状态，加载该任务复制的 Collection"),
];

/// The page that the arguments ask for: that of the first command among them, or else that of the program.
pub(crate) fn chinese(command: Command, arguments: &[String]) -> String {
    let mut command = translated(command);
    command.build();
    let words: Vec<_> = arguments.iter().filter(|argument| *argument != "help").collect();
    page(&mut command, &words)
}

/// The page of a command, or of one below it that the words name.
fn page(command: &mut Command, words: &[&String]) -> String {
    let named = words.iter().position(|word| command.find_subcommand(word).is_some());
    if let Some(at) = named
        && let Some(below) = command.find_subcommand_mut(words[at])
    {
        return page(below, &words[at + 1..]);
    }
    command.render_help().to_string()
}

fn translated(command: Command) -> Command {
    with_texts(command)
        .mut_subcommands(of_program)
        // The one that clap adds speaks English.
        .disable_help_subcommand(true)
        .subcommand(about(Command::new("help")))
        .subcommand_help_heading("命令")
        .after_help(AFTER_HELP)
}

/// A command, and those below it.
fn of_program(command: Command) -> Command {
    let command = with_texts(command).next_line_help(true);
    match command.has_subcommands() {
        true => {
            command.mut_subcommands(of_program).disable_help_subcommand(true).subcommand_help_heading("命令")
        }
        false => command,
    }
}

fn about(command: Command) -> Command {
    match command_text(command.get_name()) {
        Some(text) => command.about(text),
        None => command,
    }
}

fn with_texts(command: Command) -> Command {
    let name = command.get_name().to_owned();
    let help = Arg::new("help").short('h').long("help").action(ArgAction::Help).help("显示帮助");
    let version = Arg::new("version").short('V').long("version").action(ArgAction::Version).help("显示版本");
    about(command)
        .mut_args(|arg| with_text(&name, arg))
        // The ones that clap adds speak English.
        .disable_help_flag(true)
        .disable_version_flag(true)
        .arg(help.help_heading(OPTIONS))
        .arg(version.help_heading(OPTIONS))
        .help_template(TEMPLATE)
}

fn with_text(command: &str, arg: Arg) -> Arg {
    let Some((_, _, text)) = argument(command, arg.get_id().as_str()) else { return arg };
    let variables = arg.get_env().map(|name| name.to_string_lossy().into_owned());
    let defaults = arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned());
    let possible = arg.get_possible_values();
    let possible =
        possible.iter().filter(|value| !value.is_hide_set()).map(|value| value.get_name().to_owned());
    let notes: [(&str, Vec<String>); 3] = [
        ("环境变量", variables.into_iter().collect()),
        ("默认值", defaults.collect()),
        ("可选值", possible.collect()),
    ];
    let mut help = (*text).to_owned();
    for (label, values) in notes {
        if !values.is_empty() {
            help.push_str(&format!(" [{label}：{}]", values.join("、")));
        }
    }
    let heading = match arg.get_help_heading() {
        Some(english) => heading(english).unwrap_or(OPTIONS),
        None if arg.is_positional() => ARGUMENTS_HEADING,
        None => OPTIONS,
    };
    // Only of these there are any to hide.
    let takes_values = arg.get_action().takes_values();
    let arg = arg.help(help).help_heading(heading).hide_env(true);
    arg.hide_default_value(takes_values).hide_possible_values(takes_values)
}

fn command_text(name: &str) -> Option<&'static str> {
    COMMANDS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// The command's own text, or the one of all commands.
fn argument(command: &str, id: &str) -> Option<&'static (&'static str, &'static str, &'static str)> {
    let of = |command: &str| ARGUMENTS.iter().find(|(owner, known, _)| *owner == command && *known == id);
    of(command).or_else(|| of(""))
}

fn heading(english: &str) -> Option<&'static str> {
    HEADINGS.iter().find(|(known, _)| *known == english).map(|(_, chinese)| *chinese)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory;

    use super::*;
    use crate::args::Cli;

    /// Commands that the program uses itself: nobody reads their pages. Others that are hidden wait to be shown.
    const INTERNAL: [&str; 2] = ["sandbox", "worker"];

    fn has_han(text: &str) -> bool {
        text.chars().any(|character| ('\u{4e00}'..='\u{9fff}').contains(&character))
    }

    fn page_of(arguments: &[&str]) -> String {
        let arguments: Vec<_> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        chinese(Cli::command(), &arguments)
    }

    #[test]
    fn every_command_and_argument_has_a_text_and_no_text_is_left_over() {
        let root = Cli::command();
        let mut commands = BTreeSet::from(["help".to_owned()]);
        let mut arguments = BTreeSet::new();
        let mut headings = BTreeSet::new();
        let mut visible = vec![&root];
        let mut at = 0;
        while let Some(command) = visible.get(at).copied() {
            visible
                .extend(command.get_subcommands().filter(|command| !INTERNAL.contains(&command.get_name())));
            at += 1;
        }
        for command in visible {
            let name = command.get_name();
            commands.insert(name.to_owned());
            for arg in command.get_arguments() {
                let id = arg.get_id().as_str();
                let text = argument(name, id);
                assert!(text.is_some() || arg.is_hide_set(), "`{name}` has no text of `{id}`");
                arguments.extend(text.map(|(owner, id, _)| (*owner, *id)));
                headings.extend(arg.get_help_heading().map(str::to_owned));
            }
        }
        let known: BTreeSet<_> = COMMANDS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(known, commands);
        let known: BTreeSet<_> = ARGUMENTS.iter().map(|(owner, id, _)| (*owner, *id)).collect();
        assert_eq!(known, arguments);
        assert_eq!(known.len(), ARGUMENTS.len(), "an argument has two texts");
        let known: BTreeSet<_> = HEADINGS.iter().map(|(english, _)| (*english).to_owned()).collect();
        assert_eq!(known, headings);
        let texts = COMMANDS.iter().map(|(_, text)| text).chain(ARGUMENTS.iter().map(|(_, _, text)| text));
        for text in texts.chain(HEADINGS.iter().map(|(_, text)| text)) {
            assert!(has_han(text), "{text}");
        }
    }

    #[test]
    fn the_page_of_a_command_has_no_english_around_its_names() {
        let migrate = page_of(&["migrate", "--help"]);
        assert!(migrate.contains("用法：vecferry migrate [OPTIONS]"), "{migrate}");
        assert!(migrate.contains("[默认值：sample] [可选值：none、count、sample、full]"), "{migrate}");
        assert!(migrate.contains("[环境变量：VECFERRY_SOURCE_TOKEN]"), "{migrate}");
        for english in ["Usage:", "Options:", "Source:", "default:", "possible values", "env:", "Print "] {
            assert!(!migrate.contains(english), "{english}: {migrate}");
        }
        let status = page_of(&["--lang", "zh", "help", "status"]);
        assert!(status.contains("用法：vecferry status") && status.contains("参数:"), "{status}");
    }

    #[test]
    fn a_command_below_another_has_a_page_too() {
        let add = page_of(&["serve", "organization", "add", "--help"]);
        assert!(
            add.contains("用法：vecferry serve organization add [OPTIONS] --email <EMAIL> <NAME>"),
            "{add}"
        );
        let organization = page_of(&["help", "serve", "organization"]);
        assert!(organization.contains("命令:") && !organization.contains("Print "), "{organization}");
    }

    #[test]
    fn the_page_of_the_program_lists_the_commands() {
        let all = page_of(&["--help"]);
        for shown in ["命令:", "退出码：0 完成", "显示帮助，或显示指定命令的帮助", "  migrate"]
        {
            assert!(all.contains(shown), "{shown}: {all}");
        }
        for hidden in ["sandbox", "worker", "Commands:", "Print "] {
            assert!(!all.contains(hidden), "{hidden}: {all}");
        }
    }
}
