//! The codes and their texts.

use crate::language::Lang;
use crate::problem::{Exit, Surface};

/// A message in one language: what happened to what, and what to do next. `{name}` stands for a value.
#[derive(Debug)]
pub struct Text {
    /// What happened, to what.
    pub what: &'static str,
    /// What to do next, at a command line.
    pub hint: &'static str,
    /// What to do next through REST or the console, where that is something else.
    pub service_hint: Option<&'static str>,
}

impl Text {
    /// What to do next.
    pub fn hint_on(&self, surface: Surface) -> &'static str {
        match surface {
            Surface::CommandLine => self.hint,
            Surface::Service => self.service_hint.unwrap_or(self.hint),
        }
    }
}

/// A code with all that is known of it.
#[derive(Debug)]
pub struct Entry {
    /// Which kind of problem.
    pub code: Code,
    /// The number people see, as 203 for `VF-0203`. Never given to another problem.
    pub number: u16,
    /// How it ends a command, where nothing worse happened.
    pub exit: Exit,
    /// English.
    pub en: Text,
    /// Chinese.
    pub zh: Text,
}

impl Entry {
    /// The text in a language.
    pub fn text(&self, lang: Lang) -> &Text {
        match lang {
            Lang::En => &self.en,
            Lang::Zh => &self.zh,
        }
    }
}

macro_rules! or_none {
    () => {
        None
    };
    ($some:literal) => {
        Some($some)
    };
}

macro_rules! catalogue {
    ($( $(#[$doc:meta])* $code:ident $number:literal $exit:ident
        en $en_what:literal $en_hint:literal zh $zh_what:literal $zh_hint:literal
        $(service $en_service:literal $zh_service:literal)?; )*) => {
        /// Which kind of problem.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code { $( $(#[$doc])* $code, )* }

        /// Every code, by number.
        pub static CATALOGUE: &[Entry] = &[ $( Entry {
            code: Code::$code,
            number: $number,
            exit: Exit::$exit,
            en: Text { what: $en_what, hint: $en_hint, service_hint: or_none!($($en_service)?) },
            zh: Text { what: $zh_what, hint: $zh_hint, service_hint: or_none!($($zh_service)?) },
        }, )* ];
    };
}

impl Code {
    /// All that is known of the code.
    pub fn entry(self) -> &'static Entry {
        // The catalogue is written in the order of the codes (asserted by a test).
        &CATALOGUE[self as usize]
    }
}

catalogue! {
    /// The command line does not parse.
    Arguments 1 Usage
        en "invalid arguments: {detail}"
           "run the command with --help to see its options"
        zh "参数无效：{detail}"
           "加上 --help 查看可用的选项";
    /// An address, a token or a certificate is invalid.
    Endpoint 2 Usage
        en "the {side} address can't be used: {detail}"
           "write http://host:port or https://host:port; pass credentials with --{flag}-token and certificates with --{flag}-ca, --{flag}-cert and --{flag}-key"
        zh "无法使用{side}集群的地址：{detail}"
           "地址格式为 http://host:port 或 https://host:port；凭证用 --{flag}-token 提供，证书用 --{flag}-ca、--{flag}-cert、--{flag}-key 提供"
        service "write http://host:port or https://host:port; credentials and certificates are separate settings of the cluster"
                "地址格式为 http://host:port 或 https://host:port；凭证和证书请在集群设置中另行填写";
    /// Confirmation is needed, and there is no terminal to ask on.
    NeedsYes 3 Usage
        en "cannot ask for confirmation: standard input is not a terminal"
           "add --yes to start without confirmation"
        zh "无法请求确认：标准输入不是终端"
           "加上 --yes 可跳过确认直接开始";
    /// A `--collection`, `--exclude` or `--target-db` does not parse.
    Selector 4 Usage
        en "`{selector}` does not name a collection: {detail}"
           "write NAME (in database `default`), DB.NAME, or DB.* for a whole database; --target-db takes SOURCE_DB=TARGET_DB"
        zh "`{selector}` 不是有效的 Collection 名称：{detail}"
           "格式为 NAME（位于 `default` Database）、DB.NAME，或用 DB.* 表示整个 Database；--target-db 的格式为 SOURCE_DB=TARGET_DB"
        service "write NAME (in database `default`), DB.NAME, or DB.* for a whole database; choose the target databases so that no two collections get the same name"
                "格式为 NAME（位于 `default` Database）、DB.NAME，或用 DB.* 表示整个 Database；选择目标 Database 时，请避免两个 Collection 同名";
    /// A file named on the command line can't be read.
    File 5 Usage
        en "the file `{file}` can't be read: {detail}"
           "check the path and its permissions"
        zh "无法读取文件 `{file}`：{detail}"
           "请检查路径和权限";
    /// The state directory can't be written, or has no room.
    StateDir 6 Usage
        en "the state directory `{dir}` can't be used: {detail}"
           "choose a writable directory with enough space, with --state-dir"
        zh "无法使用状态目录 `{dir}`：{detail}"
           "请用 --state-dir 指定一个可写且空间充足的目录"
        service "free space in it or make it writable, on the machine that runs the service"
                "请在运行服务的机器上为其释放空间，或使其可写";
    /// Other users can read the state directory.
    StateDirExposed 20 Usage
        en "other users can access the state directory `{dir}` (mode {detail})"
           "if only Vecferry uses it, run `chmod 700 {dir}`; otherwise choose another directory with --state-dir"
        zh "其他用户可以访问状态目录 `{dir}`（权限 {detail}）"
           "如果该目录仅供 Vecferry 使用，请运行 `chmod 700 {dir}`；否则用 --state-dir 指定其他目录";
    /// The state directory belongs to another user.
    StateDirForeign 21 Usage
        en "the state directory `{dir}` belongs to another user: {detail}"
           "run the command as its owner, or choose a directory of your own with --state-dir"
        zh "状态目录 `{dir}` 属于其他用户：{detail}"
           "请以该目录所有者的身份运行命令，或用 --state-dir 指定自己的目录";
    /// The state directory is on a network file system.
    StateDirOfNetwork 22 Usage
        en "the state directory `{dir}` is on a network file system ({detail}), where locks and durable writes are not reliable"
           "choose a directory on a local disk with --state-dir"
        zh "状态目录 `{dir}` 位于网络文件系统（{detail}）上，文件锁和持久化写入均不可靠"
           "请用 --state-dir 指定本地磁盘上的目录";
    /// The database of `--store` does not answer.
    StoreUnreachable 23 Refused
        en "the job database `{dir}` can't be reached: {detail}"
           "check the host, port and TLS options in --store, and that PostgreSQL is running; then run the command again"
        zh "无法连接任务数据库 `{dir}`：{detail}"
           "请检查 --store 中的主机、端口和 TLS 选项，并确认 PostgreSQL 正在运行；然后重新运行该命令"
        service "check that PostgreSQL is running and that the service can reach it, then try again"
                "请确认 PostgreSQL 正在运行，且服务能够连接到它，然后重试";
    /// The database of `--store` denies access.
    StoreDenied 24 Refused
        en "the job database `{dir}` denies access: {detail}"
           "check the user and password in --store; the user must own the schema `vecferry` of this database, or be allowed to create it"
        zh "任务数据库 `{dir}` 拒绝访问：{detail}"
           "请检查 --store 中的用户名和密码；该用户须拥有此数据库中的 `vecferry` schema，或有权创建它"
        service "check the user and password that the service connects with; the user must own the schema `vecferry` of this database, or be allowed to create it"
                "请检查服务连接数据库所用的用户名和密码；该用户须拥有此数据库中的 `vecferry` schema，或有权创建它";
    /// The database of `--store` can't be used.
    StoreUnusable 25 Refused
        en "the job database `{dir}` can't be used: {detail}"
           "write --store postgres://USER:PASSWORD@HOST:PORT/DATABASE, for PostgreSQL 14 or later; the server log says more"
        zh "无法使用任务数据库 `{dir}`：{detail}"
           "--store 的格式为 postgres://USER:PASSWORD@HOST:PORT/DATABASE，要求 PostgreSQL 14 及以上；详情请查看服务日志"
        service "check the PostgreSQL server log; the service needs PostgreSQL 14 or later"
                "请查看 PostgreSQL 的日志；服务要求 PostgreSQL 14 及以上";
    /// No job has this ID.
    UnknownJob 7 Usage
        en "no such job: {detail}"
           "`vecferry jobs` lists the job IDs of this state directory or database; use --state-dir or --store for another one"
        zh "找不到该任务：{detail}"
           "用 `vecferry jobs` 列出该状态目录或数据库中的任务 ID；用 --state-dir 或 --store 指定其他位置"
        service "check the job ID in the list of jobs"
                "请在任务列表中核对任务 ID";
    /// The job database was written by a newer version.
    LedgerNewer 8 Usage
        en "the job database in `{dir}` was written by a newer version of Vecferry: {detail}"
           "use the version of vecferry that wrote it, or choose another --state-dir or --store"
        zh "`{dir}` 中的任务数据库由更新版本的 Vecferry 写入：{detail}"
           "请使用写入它的 vecferry 版本，或用 --state-dir 或 --store 指定其他位置"
        service "upgrade the service to the version that wrote it, or later"
                "请将服务升级到写入它的版本或更高版本";
    /// The job database is damaged.
    LedgerCorrupt 9 Usage
        en "the job database in `{dir}` is damaged, or was not created by Vecferry: {detail}"
           "nothing was changed; restore it from a backup, or choose another --state-dir or --store (jobs in the damaged database can't be resumed)"
        zh "`{dir}` 中的任务数据库已损坏，或不是由 Vecferry 创建：{detail}"
           "未做任何改动；请从备份恢复，或用 --state-dir 或 --store 指定其他位置（损坏数据库中的任务将无法继续）"
        service "nothing was changed; restore it from a backup (jobs in the damaged database can't be resumed)"
                "未做任何改动；请从备份恢复（损坏数据库中的任务将无法继续）";
    /// A job has no report yet.
    NoReport 10 Usage
        en "job {job} has no report yet"
           "`vecferry status {job}` shows its progress; the report is written when the job ends"
        zh "任务 {job} 还没有报告"
           "用 `vecferry status {job}` 查看进度；任务结束后会生成报告"
        service "the report is written when the job ends; until then, the job's status shows its progress"
                "任务结束后会生成报告；在此之前，可在任务状态中查看进度";
    /// An output file can't be written.
    FileNotWritten 11 Usage
        en "`{file}` can't be written: {detail}"
           "choose a file in a writable directory"
        zh "无法写入 `{file}`：{detail}"
           "请指定可写目录中的文件";
    /// A `--max-rate` does not parse.
    MaxRate 15 Usage
        en "`{rate}` is not a valid rate limit: {detail}"
           "write bytes or rows per second, such as 20MB/s (KB, MB, GB, KiB, MiB, GiB) or 5000rows/s, or none for no limit"
        zh "`{rate}` 不是有效的限速值：{detail}"
           "格式为每秒字节数或行数，如 20MB/s（可用 KB、MB、GB、KiB、MiB、GiB）或 5000rows/s；none 表示不限速";
    /// A complete job has nothing left to limit.
    JobIsComplete 16 Usage
        en "job {job} is complete, so there is nothing left to limit"
           "use --max-rate with the next `vecferry migrate`"
        zh "任务 {job} 已完成，无需再限速"
           "请在下一次 `vecferry migrate` 时使用 --max-rate"
        service "set a rate limit for the next migration"
                "请在下一次迁移时设置限速";
    /// A compatibility policy that does not exist or does not parse.
    Policy 17 Usage
        en "`{policy}` is not a compatibility policy: {detail}"
           "use zilliz-cn (the default), zilliz-global, or a file in the format of crates/policy/editions/zilliz-cn.json"
        zh "`{policy}` 不是有效的兼容性策略：{detail}"
           "请使用 zilliz-cn（默认）、zilliz-global，或与 crates/policy/editions/zilliz-cn.json 格式相同的文件"
        service "choose zilliz-cn (the default) or zilliz-global"
                "请选择 zilliz-cn（默认）或 zilliz-global";
    /// A cluster ID is given, but no API key to look up its address.
    ApiKeyMissing 18 Usage
        en "`{id}` is a Zilliz Cloud cluster ID, but no API key is given for the {side} to look up its address"
           "set VECFERRY_{variable}_API_KEY or use --{flag}-api-key, or write the cluster's public endpoint (https://…)"
        zh "`{id}` 是 Zilliz Cloud 集群 ID，需要 API 密钥才能查询其地址，但未为{side}集群提供"
           "请设置环境变量 VECFERRY_{variable}_API_KEY 或使用 --{flag}-api-key，也可以直接写集群的公网 Endpoint（https://…）"
        service "set an API key for the cluster, or use its public endpoint (https://…)"
                "请为该集群设置 API 密钥，或使用其公网 Endpoint（https://…）";
    /// A stated plan contradicts the cluster's own.
    PlanContradicts 19 Usage
        en "the plan of the {side} is stated as {stated}, but it is {found} ({by})"
           "remove --{flag}-plan: it is only for clusters whose plan can't be detected"
        zh "{side}集群的部署方式声明为 {stated}，但实际为 {found}（依据：{by_zh}）"
           "请去掉 --{flag}-plan：它仅用于无法识别部署方式的集群"
        service "remove the stated plan: it is only for clusters whose plan can't be detected"
                "请去掉部署方式的声明：它仅用于无法识别部署方式的集群";
    /// A plan file is incomplete or not a plan.
    PlanFile 40 Usage
        en "`{file}` is not a complete plan: {detail}"
           "create the plan again with `vecferry plan`, and copy the whole file"
        zh "`{file}` 不是完整的计划文件：{detail}"
           "请用 `vecferry plan` 重新生成计划，并复制完整的文件";
    /// A plan file was changed after it was written.
    PlanEdited 41 Usage
        en "`{file}` was changed after it was written: its content does not match its hash"
           "a plan runs only as it was reviewed; to change it, run `vecferry plan` with other options"
        zh "`{file}` 在生成之后被修改过：内容与其中记录的哈希不一致"
           "计划只能按评审时的内容执行；如需修改，请用其他选项重新运行 `vecferry plan`";
    /// A plan file has a newer format.
    PlanNewer 42 Usage
        en "`{file}` was written by a newer version of vecferry ({version}, format {format})"
           "run it with that version, or create the plan again with this one"
        zh "`{file}` 由更新版本的 vecferry 生成（{version}，格式 {format}）"
           "请用该版本执行，或用当前版本重新生成计划";

    /// The host name does not resolve.
    UnknownHost 101 Refused
        en "the {side} can't be reached: {detail}"
           "check the spelling of the host name and the DNS of this machine"
        zh "无法连接{side}集群：{detail}"
           "请检查主机名拼写和本机的 DNS";
    /// Nothing listens there.
    ConnectionRefused 102 Refused
        en "the {side} can't be reached: {detail}"
           "check that the server is running and that the port is its gRPC port (Milvus: 19530; Zilliz Cloud: see the cluster's public endpoint)"
        zh "无法连接{side}集群：{detail}"
           "请确认服务正在运行，且端口是 gRPC 端口（Milvus 为 19530；Zilliz Cloud 请查看集群的公网 Endpoint）";
    /// No answer in time, or no route.
    NoAnswer 103 Refused
        en "the {side} does not answer: {detail}"
           "check the network path: firewall, security group, and the cluster's IP allowlist"
        zh "{side}集群没有响应：{detail}"
           "请检查网络路径：防火墙、安全组以及集群的 IP 白名单";
    /// Plain HTTP to a TLS port.
    ServerSpeaksTls 104 Refused
        en "the {side} requires TLS: {detail}"
           "use https:// in the address; for a private certificate authority, add --{flag}-ca FILE"
        zh "{side}集群要求使用 TLS 加密连接：{detail}"
           "请将地址改为 https://；如证书由私有 CA 签发，请加上 --{flag}-ca FILE"
        service "use https:// in the address; for a private certificate authority, set its CA certificate for the cluster"
                "请将地址改为 https://；如证书由私有 CA 签发，请为该集群设置 CA 证书";
    /// TLS to a plain HTTP port.
    ServerSpeaksPlain 105 Refused
        en "the {side} does not use TLS: {detail}"
           "use http:// in the address, or use the server's TLS port"
        zh "{side}集群未启用 TLS：{detail}"
           "请将地址改为 http://，或改用服务的 TLS 端口";
    /// The server's certificate is not trusted.
    UntrustedCertificate 106 Refused
        en "the {side}'s certificate is not trusted: {detail}"
           "pass the CA certificate that signed it with --{flag}-ca FILE, and use the host name in the certificate"
        zh "{side}集群的证书不被信任：{detail}"
           "用 --{flag}-ca FILE 指定签发它的 CA 证书，并使用证书中的主机名"
        service "set the CA certificate that signed it for the cluster, and use the host name in the certificate"
                "请为该集群设置签发它的 CA 证书，并使用证书中的主机名";
    /// The server rejects the client certificate.
    ClientCertificate 107 Refused
        en "the {side} rejects the client certificate: {detail}"
           "use a certificate that the server trusts, with --{flag}-cert FILE and --{flag}-key FILE"
        zh "{side}集群拒绝了客户端证书：{detail}"
           "用 --{flag}-cert FILE 和 --{flag}-key FILE 提供服务端信任的证书"
        service "set a client certificate and key that the server trusts"
                "请为该集群设置服务端信任的客户端证书和私钥";
    /// Something other than gRPC listens there.
    NotGrpc 108 Refused
        en "the {side} address is not a Milvus gRPC port: {detail}"
           "use the port of the Milvus proxy (19530), not its metrics, REST or web port"
        zh "{side}集群的地址不是 Milvus gRPC 端口：{detail}"
           "请使用 Milvus Proxy 的端口（19530），而不是监控指标、REST 或 Web 端口";
    /// A gRPC server that is not Milvus.
    NotMilvus 109 Refused
        en "the {side} speaks gRPC but is not Milvus: {detail}"
           "use the port of the Milvus proxy (19530), not of etcd or another component"
        zh "{side}集群是 gRPC 服务，但不是 Milvus：{detail}"
           "请使用 Milvus Proxy 的端口（19530），而不是 etcd 等其他组件的端口";
    /// Wrong or missing credentials.
    Unauthenticated 110 Refused
        en "the {side} rejects the credentials: \"{detail}\""
           "set VECFERRY_SOURCE_TOKEN or VECFERRY_TARGET_TOKEN, or use --{flag}-token, with user:password or an API key"
        zh "{side}集群拒绝了凭证：“{detail}”"
           "请用环境变量 VECFERRY_SOURCE_TOKEN / VECFERRY_TARGET_TOKEN 或 --{flag}-token 提供用户名:密码或 API 密钥"
        service "correct the cluster's credentials: user:password or an API key"
                "请更正该集群的凭证：用户名:密码或 API 密钥";
    /// The user lacks a privilege.
    PermissionDenied 111 Refused
        en "the user lacks the privilege `{privilege}` on `{object}` of the {side}: {detail}"
           "grant it to a role of this user, or use a user that can read all of the source, or create and write on the target"
        zh "用户在{side}集群的 `{object}` 上缺少权限 `{privilege}`：{detail}"
           "请将该权限授予该用户的角色，或改用能够读取整个源集群、或能够在目标集群上创建和写入的用户";
    /// The API key is invalid, or belongs to another site.
    ApiKey 112 Refused
        en "Zilliz Cloud does not accept the {side}'s API key: {detail}"
           "use an API key of the organization that owns the cluster; a personal key stops working when its user leaves the organization"
        zh "Zilliz Cloud 不接受{side}集群的 API 密钥：{detail}"
           "请使用集群所属组织的 API 密钥；用户退出组织后，其个人密钥随即失效";
    /// No such cluster, or no access to it.
    NoCloudCluster 113 Refused
        en "the {side} `{id}` is not visible to this API key: {detail}"
           "check the cluster ID, and that the key belongs to the cluster's organization and can access its project; a key belongs to one organization and one site (global or China)"
        zh "该 API 密钥无法访问{side}集群 `{id}`：{detail}"
           "请检查集群 ID，并确认密钥属于集群所在组织且有权访问其项目；一个密钥只属于一个组织和一个站点（国际站或中国站）";
    /// The control plane does not answer.
    ControlPlane 114 Refused
        en "the Zilliz Cloud control plane does not answer: {detail}"
           "check the network path to it, or use the cluster's public endpoint (https://…) instead of its ID"
        zh "Zilliz Cloud 控制面没有响应：{detail}"
           "请检查到控制面的网络，或用集群的公网 Endpoint（https://…）代替集群 ID";
    /// The control plane rejects the request for another reason.
    ControlPlaneRefused 115 Refused
        en "the request for cluster `{id}` to the Zilliz Cloud control plane failed: {detail}"
           "look up the code in the Zilliz Cloud error codes, or use the cluster's public endpoint (https://…) instead of its ID"
        zh "向 Zilliz Cloud 控制面查询集群 `{id}` 失败：{detail}"
           "请查阅 Zilliz Cloud 错误码，或用集群的公网 Endpoint（https://…）代替集群 ID";
    /// A cluster without a public endpoint.
    NoPublicEndpoint 116 Refused
        en "the {side} `{id}` has no public endpoint"
           "an offline migration needs one: enable it in the cluster's network settings, or choose a cluster that has one"
        zh "{side}集群 `{id}` 没有公网 Endpoint"
           "离线迁移要求集群可通过公网访问：请在集群的网络设置中开启，或改用有公网 Endpoint 的集群";

    /// No such database.
    UnknownDatabase 201 Refused
        en "the {side} has no database `{db}`"
           "check the name; the part before the dot in --collection is the database"
        zh "{side}集群没有 Database `{db}`"
           "请检查名称；--collection 中点号之前的部分是 Database"
        service "check the name; the database may have been dropped"
                "请检查名称；该 Database 可能已被删除";
    /// No such collection.
    UnknownCollection 202 Refused
        en "the {side} has no collection `{collection}`"
           "check the name; a name without a dot is looked up in the database `default`"
        zh "{side}集群没有 Collection `{collection}`"
           "请检查名称；不带点号的名称位于 `default` Database";
    /// The target already has a collection or alias of that name.
    TargetExists 203 Refused
        en "the target already has `{collection}`"
           "existing collections are never changed: drop or rename it on the target, skip it with --exclude {collection}, or use another database with --target-db"
        zh "目标集群上已存在 `{collection}`"
           "不会改动已有的 Collection：请在目标集群上删除或重命名它，用 --exclude {collection} 跳过，或用 --target-db 写入其他 Database"
        service "existing collections are never changed: drop or rename it on the target, leave it out of the migration, or choose another target database"
                "不会改动已有的 Collection：请在目标集群上删除或重命名它，在迁移中跳过它，或选择其他目标 Database";
    /// The name of an alias is taken on the target.
    AliasTaken 215 Refused
        en "`{alias}`, an alias of `{collection}`, is already taken on the target"
           "drop or rename it on the target, or skip the collection with --exclude {collection}"
        zh "`{collection}` 的别名 `{alias}` 在目标集群上已被占用"
           "请在目标集群上删除或重命名它，或用 --exclude {collection} 跳过该 Collection"
        service "drop or rename it on the target, or leave the collection out"
                "请在目标集群上删除或重命名它，或跳过该 Collection";
    /// Source and target are one cluster.
    SameCluster 204 Refused
        en "source and target are the same cluster: {detail}"
           "choose another target cluster, or copy into another database with --target-db SOURCE_DB=TARGET_DB"
        zh "源集群和目标集群是同一个集群：{detail}"
           "请指定其他目标集群，或用 --target-db SOURCE_DB=TARGET_DB 复制到其他 Database"
        service "choose another target cluster, or another target database"
                "请选择其他目标集群，或其他目标 Database";
    /// Not loaded, and loading is not allowed.
    SourceNotLoaded 205 Refused
        en "`{collection}` is not fully loaded on the source ({detail}), and loading it is not allowed"
           "load it on the source, or use --source-load temporary to load it for the copy and release it afterwards"
        zh "源集群上的 `{collection}` 未完全加载（{detail}），且不允许加载它"
           "请在源集群上加载它，或使用 --source-load temporary，为复制临时加载并在之后释放"
        service "load it on the source, or allow loading it temporarily for the copy"
                "请在源集群上加载它，或允许为复制临时加载它";
    /// Rows, but no index on a vector field.
    NoIndex 206 Refused
        en "`{collection}` has about {rows} rows, but its vector field `{field}` has no index, so the source can't load it"
           "create an index on `{field}` on the source (AUTOINDEX will do), or skip the collection with --exclude {collection}"
        zh "`{collection}` 约有 {rows} 行，但向量字段 `{field}` 没有索引，源集群无法加载该 Collection"
           "请在源集群上为 `{field}` 创建索引（AUTOINDEX 即可），或用 --exclude {collection} 跳过该 Collection"
        service "create an index on `{field}` on the source (AUTOINDEX will do), or leave the collection out"
                "请在源集群上为 `{field}` 创建索引（AUTOINDEX 即可），或跳过该 Collection";
    /// The partitions add up to more rows than the collection.
    PartitionsDisagree 236 Refused
        en "`{collection}` has {rows} rows on the source, but its partitions add up to {sum}: the source still returns replaced rows in their old partition"
           "delete those primary keys on the source and insert the rows again into the right partition, or skip the collection with --exclude {collection}"
        zh "源集群上的 `{collection}` 有 {rows} 行，但各 Partition 之和为 {sum}：源集群在旧 Partition 中仍返回已被替换的行"
           "请在源集群上删除这些主键，再将这些行重新插入正确的 Partition，或用 --exclude {collection} 跳过该 Collection"
        service "delete those primary keys on the source and insert the rows again into the right partition, or leave the collection out"
                "请在源集群上删除这些主键，再将这些行重新插入正确的 Partition，或跳过该 Collection";
    /// Rows, but no vector field, on a version that can't load that.
    NoVectorField 237 Refused
        en "`{collection}` has about {rows} rows but no vector field, so the source ({version}) can't load it"
           "skip the collection with --exclude {collection}"
        zh "`{collection}` 约有 {rows} 行，但没有向量字段，源集群（{version}）无法加载"
           "请用 --exclude {collection} 跳过该 Collection"
        service "leave the collection out"
                "请跳过该 Collection";
    /// The target does not support something.
    TargetCannotHold 207 Refused
        en "the target ({target}) does not support `{collection}`: {detail}"
           "use a target version that supports it, or skip the collection with --exclude {collection}"
        zh "目标集群（{target}）不支持 `{collection}`：{detail}"
           "请使用支持它的目标集群版本，或用 --exclude {collection} 跳过该 Collection"
        service "use a target version that supports it, or leave the collection out"
                "请使用支持它的目标集群版本，或跳过该 Collection";
    /// An invalid name.
    ForbiddenName 208 Refused
        en "the target does not allow the name `{name}` ({kind}): {detail}"
           "names start with a letter or underscore, followed by letters, digits and underscores, 255 at most; {way_out}"
        zh "目标集群不允许名称 `{name}`（{kind}）：{detail}"
           "名称须以字母或下划线开头，只能包含字母、数字和下划线，最多 255 个字符；{way_out}";
    /// The target might not support something; it is asked before the first row.
    TargetMayNotHold 238 Done
        en "the target ({target}) might not support `{collection}`: {detail}"
           "nothing to do: before the first row, `migrate` tries this on the target with an empty temporary collection; `vecferry plan --probe-write` tries it now"
        zh "目标集群（{target}）可能不支持 `{collection}`：{detail}"
           "无需处理：`migrate` 会在写入第一行之前，在目标集群上用空的临时 Collection 实际验证；`vecferry plan --probe-write` 可立即验证"
        service "nothing to do: before the first row, the job tries this on the target with an empty temporary collection"
                "无需处理：任务会在写入第一行之前，在目标集群上用空的临时 Collection 实际验证";
    /// Not enough memory to load a collection.
    LoadDoesNotFit 209 Refused
        en "loading `{collection}` on the {side} needs about {needed} of memory, but only {free} is free"
           "release other collections on the {side}, or give it more memory (CU)"
        zh "在{side}集群上加载 `{collection}` 约需 {needed} 内存，但可用内存仅 {free}"
           "请在{side}集群上释放其他 Collection，或增加内存（CU）";
    /// Auto-generated IDs need a decision.
    AutoId 210 Refused
        en "`{collection}` uses auto-generated IDs: the target would generate new ones for all rows"
           "choose --auto-id keep to keep the IDs if the target allows it (2.6 and later), or --auto-id regenerate to let it generate new ones and compare rows without them; or skip the collection with --exclude {collection}"
        zh "`{collection}` 使用自动生成的 ID（AutoID）：目标集群会为所有行重新生成 ID"
           "请选择 --auto-id keep（目标集群支持时保留 ID，要求 2.6 及以上），或 --auto-id regenerate（由目标集群生成新 ID，比对时忽略 ID）；也可以用 --exclude {collection} 跳过该 Collection"
        service "choose to keep the IDs if the target allows it (2.6 and later), or to let it generate new ones and compare rows without them; or leave the collection out"
                "请选择保留 ID（目标集群支持时，要求 2.6 及以上），或由目标集群生成新 ID（比对时忽略 ID）；也可以跳过该 Collection";
    /// A warm copy of keys that the target makes anew.
    WarmAutoId 240 Refused
        en "`{collection}`: a warm copy can't generate new IDs: without the same IDs on both sides, rows that change later can't be found"
           "choose --auto-id keep if the target allows it (2.6 and later); or skip the collection with --exclude {collection} and migrate it in the downtime window; or migrate without --warm"
        zh "`{collection}`：预复制时不能重新生成 ID：两侧 ID 不同，就无法找到之后变化的行"
           "请选择 --auto-id keep（目标集群支持时，要求 2.6 及以上）；或用 --exclude {collection} 跳过该 Collection，在停机窗口内单独迁移；或不使用 --warm"
        service "choose to keep the IDs if the target allows it (2.6 and later); or leave the collection out and migrate it in the downtime window; or migrate in one window"
                "请选择保留 ID（目标集群支持时，要求 2.6 及以上）；或跳过该 Collection，在停机窗口内单独迁移；或改为在一个窗口内迁移";
    /// A target that can't take a warm copy.
    WarmUnsupported 241 Refused
        en "a warm copy is not possible to this target ({version}): {detail}"
           "migrate without --warm, in a downtime window"
        zh "该目标集群（{version}）不支持预复制：{detail}"
           "请不使用 --warm，在停机窗口内迁移"
        service "migrate in one downtime window"
                "请改为在一个停机窗口内迁移";
    /// A further round of a job that has none.
    NotWarm 242 Refused
        en "job {job} copies in one downtime window: it has no catch-up and no cut-over"
           "continue it with `vecferry resume {job}`; to copy first and switch later, begin with `vecferry migrate --warm`"
        zh "任务 {job} 在一个停机窗口内迁移，没有更新与切换"
           "请用 `vecferry resume {job}` 继续该任务；如需先复制、后切换，请以 `vecferry migrate --warm` 开始"
        service "continue the job; to copy first and switch later, begin a warm copy"
                "请继续该任务；如需先复制、后切换，请以预复制开始";
    /// A further round before the warm copy came to its end.
    WarmCopyOpen 243 Refused
        en "the warm copy of job {job} is not complete"
           "complete it with `vecferry resume {job}`"
        zh "任务 {job} 的预复制尚未完成"
           "请用 `vecferry resume {job}` 完成预复制"
        service "resume job {job} first"
                "请先继续任务 {job}";
    /// A catch-up after the switch began.
    SwitchBegun 244 Refused
        en "job {job} has begun to switch to the target: its rows are not touched any more"
           "finish it with `vecferry cutover {job}`"
        zh "任务 {job} 已开始切换到目标集群，不再改动任何行"
           "请用 `vecferry cutover {job}` 完成切换"
        service "finish the cut-over of job {job}"
                "请完成任务 {job} 的切换";
    /// Collections that the source dropped since the last round.
    SourceDropped 245 Refused
        en "the source no longer has {collections}, which job {job} copied"
           "if that is intended, add --accept-dropped: they are removed from the target too; otherwise check the address of the source"
        zh "源集群上已没有任务 {job} 复制过的 {collections}"
           "如属预期，请加上 --accept-dropped，目标集群上也会删除它们；否则请检查源集群地址"
        service "if that is intended, accept that they are removed from the target too; otherwise check the source"
                "如属预期，请选择在目标集群上也删除它们；否则请检查源集群";
    /// A collection of which a round can't follow the change.
    SourceNotFollowed 246 Refused
        en "`{collection}` is not what job {job} copied: {detail}"
           "add --recopy: it is removed from the target and copied again; with a large collection, use `vecferry catch-up {job} --recopy` before the window"
        zh "`{collection}` 已不是任务 {job} 复制时的样子：{detail}"
           "请加上 --recopy：会将其从目标集群删除并重新复制；数据量大时，请在停机窗口之前用 `vecferry catch-up {job} --recopy`"
        service "choose to copy it again: it is removed from the target and copied anew, best by a catch-up before the window"
                "请选择重新复制：会将其从目标集群删除后重新复制，最好在停机窗口之前通过一轮更新完成";
    /// Rows of somebody else on the target.
    TargetWrittenTo 247 Refused
        en "`{collection}`: the target holds {found} rows, but job {job} left {expected}: somebody else writes to it"
           "stop whoever writes to the target; add --overwrite-target to remove rows that the source does not have"
        zh "`{collection}`：目标集群有 {found} 行，而任务 {job} 只留下 {expected} 行：有其他程序在写入"
           "请停止对目标集群的写入；加上 --overwrite-target 可删除源集群没有的行"
        service "stop whoever writes to the target; choose to overwrite it to remove rows that the source does not have"
                "请停止对目标集群的写入；选择覆盖目标集群可删除源集群没有的行";
    /// Nothing selected.
    NothingSelected 211 Refused
        en "no collection of the source is selected"
           "check --collection and --exclude; without --collection, every collection of every database is selected"
        zh "源集群上没有选中任何 Collection"
           "请检查 --collection 和 --exclude；不指定 --collection 表示选择所有 Database 的所有 Collection"
        service "check which collections are selected and which are left out"
                "请检查选中了哪些 Collection、跳过了哪些 Collection";
    /// A server failed while it was checked.
    CheckFailed 212 Refused
        en "checking the {side} failed: {detail}"
           "nothing was written; check the server log, then run the command again"
        zh "检查{side}集群时出错：{detail}"
           "尚未写入任何内容；请查看服务日志，然后重新运行该命令"
        service "nothing was written; check the server log, then try again"
                "尚未写入任何内容；请查看服务日志，然后重试";
    /// The source failed during a dry run.
    DryRunFailed 239 Refused
        en "the source failed while `{collection}` was read: {detail}"
           "nothing was written; fix the cause, then run the dry run again"
        zh "读取 `{collection}` 时源集群出错：{detail}"
           "没有写入任何内容；请排除原因，然后重新试运行";
    /// Duplicate primary keys, and `--duplicates fail`.
    DuplicatesRefused 213 Refused
        en "`{collection}` has {surplus} rows with a duplicate primary key (first keys: {keys}), and duplicates are not allowed"
           "remove the duplicates on the source, or use --duplicates warn to copy one row per primary key"
        zh "`{collection}` 有 {surplus} 行主键重复（前几个主键：{keys}），且不允许重复主键"
           "请在源集群上清理重复行，或使用 --duplicates warn 为每个主键复制一行"
        service "remove the duplicates on the source, or allow duplicate primary keys: one row per primary key is then copied"
                "请在源集群上清理重复行，或允许重复主键：此时每个主键复制一行";
    /// The source version can't be read safely.
    SourceTooOld 214 Refused
        en "the source ({version}) does not return rows in primary-key order, so rows could be lost"
           "upgrade the source to Milvus 2.3 or later first"
        zh "源集群（{version}）不按主键顺序返回数据，可能丢失行"
           "请先将源集群升级到 Milvus 2.3 或更高版本";
    /// Another process runs the job.
    JobIsLive 216 Refused
        en "another process is running job {job}"
           "wait until it ends, or stop it with `vecferry cancel {job}`"
        zh "另一个进程正在运行任务 {job}"
           "请等待它结束，或用 `vecferry cancel {job}` 停止它"
        service "wait until it ends, or cancel job {job}"
                "请等待它结束，或取消任务 {job}";
    /// The source no longer matches the plan of the job.
    SourceChanged 217 Refused
        en "`{collection}` on the source no longer matches the plan of job {job}: {detail}"
           "start a new job with `vecferry migrate`; `vecferry cancel {job} --clean` removes what this one created"
        zh "源集群上的 `{collection}` 与任务 {job} 的计划不再一致：{detail}"
           "请用 `vecferry migrate` 新建任务；`vecferry cancel {job} --clean` 会删除该任务创建的内容"
        service "cancel job {job} and remove what it created, then start a new migration"
                "请取消任务 {job} 并删除它创建的内容，然后新建迁移任务";
    /// What the job created on the target was removed or replaced.
    TargetReplaced 218 Refused
        en "`{collection}` on the target is not the one that job {job} created: {detail}"
           "it is left unchanged; drop or rename it, or start a new job with `vecferry migrate`"
        zh "目标集群上的 `{collection}` 不是任务 {job} 创建的那个：{detail}"
           "不会改动它；请删除或重命名它，或用 `vecferry migrate` 新建任务"
        service "it is left unchanged; drop or rename it, or start a new migration"
                "不会改动它；请删除或重命名它，或新建迁移任务";
    /// The clusters changed after the plan was made.
    PlanOutdated 250 Refused
        en "`{collection}` changed after the plan was made: {detail}"
           "create and review a new plan; if only the number of rows changed, --row-tolerance allows for more"
        zh "`{collection}` 在生成计划之后发生了变化：{detail}"
           "请重新生成并评审计划；如果只是行数变化，可用 --row-tolerance 放宽限制"
        service "start the pre-check again, and review the new plan"
                "请重新预检，并评审新的计划";
    /// The temporary collection of the write probe could not be removed.
    ProbeLeft 251 Refused
        en "the temporary collection `{collection}` was created on the target but could not be dropped: {detail}"
           "drop it (it holds no data of yours); use credentials that may drop collections, which `cancel --clean` needs too"
        zh "已在目标集群上创建临时 Collection `{collection}`，但无法删除：{detail}"
           "请删除它（其中没有您的数据）；并使用有权删除 Collection 的凭证，`cancel --clean` 也需要该权限"
        service "drop it (it holds no data of yours); use credentials that may drop collections: removing what a job created needs them too"
                "请删除它（其中没有您的数据）；并使用有权删除 Collection 的凭证，删除任务创建的内容也需要该权限";
    /// The policy does not support this pair of plans.
    PlanPair 219 Refused
        en "migration from {source} to {target} is not supported: {reason} (policy {policy})"
           "choose a target plan that the policy allows (Dedicated accepts Serverless and Dedicated), or another policy with --policy"
        zh "不支持“{source}”到“{target}”的迁移：{reason_zh}（策略 {policy}）"
           "请选择策略允许的目标集群（Dedicated 可接收 Serverless 和 Dedicated）；可用 --policy 指定其他策略"
        service "choose a target plan that the policy allows (Dedicated accepts Serverless and Dedicated), or another policy"
                "请选择策略允许的目标集群（Dedicated 可接收 Serverless 和 Dedicated），或选择其他策略";
    /// A Free cluster is upgraded, not migrated.
    PlanUpgrade 220 Refused
        en "migration from {source} to {target} is not supported: {reason} (policy {policy})"
           "upgrade the cluster in place with Manage Cluster (管理集群) in the Zilliz Cloud console"
        zh "不支持“{source}”到“{target}”的迁移：{reason_zh}（策略 {policy}）"
           "请在 Zilliz Cloud 控制台的“管理集群”中原地升级该集群";
    /// A Free cluster is upgraded to a new Dedicated one by the vendor.
    PlanUpgradeNew 221 Refused
        en "migration from {source} to {target} is not supported: {reason} (policy {policy})"
           "upgrade with Manage Cluster (管理集群) in the Zilliz Cloud console: it creates a new cluster and copies the data"
        zh "不支持“{source}”到“{target}”的迁移：{reason_zh}（策略 {policy}）"
           "请在 Zilliz Cloud 控制台的“管理集群”中升级：它会创建新集群并复制数据";
    /// The plan of a cluster can't be detected.
    PlanUnknown 222 Refused
        en "the plan of the {side} can't be detected from its address `{host}`"
           "state it with --{flag}-plan free|serverless|dedicated, or use the cluster ID with an API key"
        zh "无法从地址 `{host}` 识别{side}集群的部署方式"
           "请用 --{flag}-plan free|serverless|dedicated 声明，或使用集群 ID 和 API 密钥"
        service "state its plan (Free, Serverless or Dedicated), or use the cluster ID with an API key"
                "请声明其部署方式（Free、Serverless 或 Dedicated），或使用集群 ID 和 API 密钥";
    /// A cluster that is not running.
    ClusterNotRunning 223 Refused
        en "cluster `{id}` ({side}) is {status}, not RUNNING"
           "resume it in the Zilliz Cloud console (Free clusters are suspended after seven days without use), or wait until the operation in progress is complete"
        zh "集群 `{id}`（{side}集群）的状态是 {status}，不是 RUNNING"
           "请在 Zilliz Cloud 控制台恢复该集群（Free 集群连续七天未使用会被挂起），或等待正在进行的操作完成";
    /// A cloud cluster at a private address.
    NotPublic 224 Refused
        en "the {side} address {address} is not public ({network})"
           "use the cluster's public endpoint: an offline migration needs it"
        zh "{side}集群的地址 {address} 不是公网地址（{network}）"
           "请使用集群的公网 Endpoint，离线迁移需要公网访问";
    /// More than a plan allows.
    OverLimit 225 Refused
        en "{number} {what}: a {plan} target allows {max} at most"
           "migrate in several parts with --collection, change the collection, or choose a larger target"
        zh "{what_zh}为 {number}：{plan} 目标集群最多允许 {max}"
           "请用 --collection 分批迁移、调整 Collection，或选择更大的目标集群"
        service "migrate fewer collections at a time, change the collection, or choose a larger target"
                "请分批迁移、调整 Collection，或选择更大的目标集群";
    /// Too few compute units.
    TooFewUnits 226 Refused
        en "the data needs about {needed} CU ({kind}, including a 20 % margin); {used} are in use, and the target has {have}"
           "scale the target to {size} CU, or migrate fewer collections; `vecferry capacity` shows their sizes"
        zh "数据约需 {needed} CU（{kind}，含 20 % 余量），已用 {used}，目标集群只有 {have}"
           "请将目标集群扩容到 {size} CU，或减少迁移的 Collection；用 `vecferry capacity` 查看各项大小"
        service "scale the target to {size} CU, or migrate fewer collections"
                "请将目标集群扩容到 {size} CU，或减少迁移的 Collection";
    /// A row that exceeds the message size.
    RowTooLarge 227 Refused
        en "`{collection}`: rows take {bytes} bytes, but a message is limited to 64 MiB"
           "skip the collection with --exclude {collection}"
        zh "`{collection}`：单行 {bytes} 字节，超过单条消息 64 MiB 的上限"
           "请用 --exclude {collection} 跳过该 Collection"
        service "leave the collection out"
                "请跳过该 Collection";
    /// The user might not see everything that is selected.
    NotEverythingSeen 229 Refused
        en "`{what}` is selected, but {user} might not see all of it on the {side}: {detail}"
           "use a user with the role admin, name each collection with --collection DB.NAME, or add --visible-only to copy only what this user sees"
        zh "已选择 `{what}`，但{user}可能看不到{side}集群上的全部内容：{detail_zh}"
           "请使用具有 admin 角色的用户，用 --collection DB.NAME 逐一指定 Collection，或加上 --visible-only 只处理该用户能看到的内容"
        service "use a user with the role admin, select each collection by its name, or choose to copy only what this user sees"
                "请使用具有 admin 角色的用户，逐一选择 Collection，或选择只复制该用户能看到的内容";
    /// Another job of this state directory owns this name on the target.
    NameReserved 232 Refused
        en "`{collection}` on this target belongs to job {holder} ({state})"
           "wait until it ends, continue it with `vecferry resume {holder}`, or remove what it created with `vecferry cancel {holder} --clean`"
        zh "目标集群上的 `{collection}` 属于任务 {holder}（{state}）"
           "请等它结束，用 `vecferry resume {holder}` 继续，或用 `vecferry cancel {holder} --clean` 删除它创建的内容"
        service "wait until it ends, resume job {holder}, or cancel it and remove what it created"
                "请等它结束，继续任务 {holder}，或取消它并删除它创建的内容";
    /// The name of the primary key is a reserved word, and the collection is too large to do without it.
    KeyNotNamable 234 Refused
        en "`{collection}`: the primary key `{field}` is a reserved word of the {side} ({version}), so rows can't be selected by key; its {rows} rows are too many to read at once, contain nulls or structs, or are in several partitions of Milvus Lite 3"
           "on the source, copy the rows into a collection whose primary key has another name, and migrate that one; skip this one with --exclude {collection}"
        zh "`{collection}`：主键名 `{field}` 是{side}集群（{version}）的保留字，无法按主键查询；其 {rows} 行过多而无法一次读取，或含有空值或结构体，或分布在 Milvus Lite 3 的多个 Partition 中"
           "请在源集群上将数据写入主键名不同的 Collection，再迁移该 Collection；并用 --exclude {collection} 跳过当前的 Collection"
        service "on the source, copy the rows into a collection whose primary key has another name, and migrate that one; leave this one out"
                "请在源集群上将数据写入主键名不同的 Collection，再迁移该 Collection，并跳过当前的 Collection";
    /// The name of the primary key of a small collection is a reserved word.
    KeyPicked 442 Done
        en "`{collection}`: the primary key `{field}` is a reserved word of the {side} ({version}), so all {rows} rows are read whenever some of them are needed"
           "nothing to do; note that `verify --repair` can't remove extra rows of the target"
        zh "`{collection}`：主键名 `{field}` 是{side}集群（{version}）的保留字，每次读取其中若干行时都会读取全部 {rows} 行"
           "无需处理；但目标集群上多出的行无法用 `verify --repair` 删除"
        service "nothing to do; note that a repair can't remove extra rows of the target"
                "无需处理；但修复时无法删除目标集群上多出的行";
    /// The target does not allow the name of a field.
    FieldNotCreatable 235 Refused
        en "`{collection}`: the target ({version}) does not allow a field named `{field}`"
           "on the source, copy the rows into a collection with another field name, and migrate that one; or skip this one with --exclude {collection}"
        zh "`{collection}`：目标集群（{version}）不允许字段名 `{field}`"
           "请在源集群上将数据写入字段名不同的 Collection，再迁移该 Collection；或用 --exclude {collection} 跳过当前的 Collection"
        service "on the source, copy the rows into a collection with another field name, and migrate that one; or leave this one out"
                "请在源集群上将数据写入字段名不同的 Collection，再迁移该 Collection；或跳过当前的 Collection";
    /// What a job created was removed again.
    Cleaned 233 Canceled
        en "what job {job} created on the target was removed: {removed}"
           "earlier reports of this job no longer apply; `vecferry resume {job}` copies everything again from scratch"
        zh "已从目标集群上删除任务 {job} 创建的内容：{removed}"
           "该任务此前的报告不再有效；用 `vecferry resume {job}` 可从头重新复制"
        service "earlier reports of this job no longer apply; resume job {job} to copy everything again from scratch"
                "该任务此前的报告不再有效；继续任务 {job} 会从头重新复制";

    /// The source failed during the copy.
    SourceFailed 301 Failed
        en "the source failed while `{collection}` was copied: {detail}"
           "fix the cause, then run `vecferry resume JOB` (`vecferry jobs` lists the IDs): rows already written are kept"
        zh "复制 `{collection}` 时源集群出错：{detail}"
           "请排除原因，然后运行 `vecferry resume JOB`（任务 ID 见 `vecferry jobs`）；已写入的行会保留"
        service "fix the cause, then resume the job: rows already written are kept"
                "请排除原因，然后继续该任务；已写入的行会保留";
    /// The target failed during the copy.
    TargetFailed 302 Failed
        en "the target failed while `{collection}` was written: {detail}"
           "fix the cause, then run `vecferry resume JOB` (`vecferry jobs` lists the IDs): rows already written are kept"
        zh "写入 `{collection}` 时目标集群出错：{detail}"
           "请排除原因，然后运行 `vecferry resume JOB`（任务 ID 见 `vecferry jobs`）；已写入的行会保留"
        service "fix the cause, then resume the job: rows already written are kept"
                "请排除原因，然后继续该任务；已写入的行会保留";
    /// The source does not finish loading a collection.
    SourceDoesNotServe 317 Failed
        en "the source does not return every row of `{collection}`: {detail}"
           "find out why it is not fully loaded on the source (query node memory and logs) and load it; or release it, and `vecferry resume {job}` loads it for the copy"
        zh "源集群未返回 `{collection}` 的全部行：{detail}"
           "请在源集群上查明未完成加载的原因（查询节点的内存和日志）并完成加载；或将其释放，之后 `vecferry resume {job}` 会为复制加载它"
        service "find out why it is not fully loaded on the source (query node memory and logs) and load it; or release it, and resume job {job}, which loads it for the copy"
                "请在源集群上查明未完成加载的原因（查询节点的内存和日志）并完成加载；或将其释放后继续任务 {job}，任务会为复制加载它";
    /// The target rejects rows.
    RowsRefused 303 Failed
        en "the target rejects rows of `{collection}` with primary keys from {first} to {last}: {detail}"
           "fix these rows on the source, drop the incomplete collection on the target, and run the command again"
        zh "目标集群拒绝写入 `{collection}` 中主键从 {first} 到 {last} 的行：{detail}"
           "请在源集群上修正这些行，删除目标集群上未完成的 Collection 后重新运行"
        service "fix these rows on the source, drop the incomplete collection on the target, and migrate it again"
                "请在源集群上修正这些行，删除目标集群上未完成的 Collection 后重新迁移";
    /// The created collection differs from the plan.
    SchemaDiffers 304 Failed
        en "the target created `{collection}` differently from the plan: {detail}"
           "no row was copied; drop it on the target, and report this with both server versions"
        zh "目标集群创建的 `{collection}` 与计划不一致：{detail}"
           "尚未复制任何行；请在目标集群上删除它，并反馈此问题（附上两端的版本）";
    /// A server violates the protocol.
    Protocol 305 Failed
        en "the source returned invalid data for `{collection}`: {detail}"
           "nothing of that page was written; report this with the version of the source"
        zh "源集群返回的 `{collection}` 数据无效：{detail}"
           "该页数据没有写入；请反馈此问题（附上源集群的版本）";
    /// The target rejects writes for too long.
    WritesDenied 306 Failed
        en "the target rejected all writes to `{collection}` for {minutes} minutes: {detail}"
           "its memory, disk or quota is exhausted: scale it up (CU) or free space, then run `vecferry resume {job}`: rows already written are kept"
        zh "目标集群已连续 {minutes} 分钟拒绝写入 `{collection}`：{detail}"
           "其内存、磁盘或配额已耗尽：请扩容（CU）或释放空间，然后运行 `vecferry resume {job}`；已写入的行会保留"
        service "its memory, disk or quota is exhausted: scale it up (CU) or free space, then resume job {job}: rows already written are kept"
                "其内存、磁盘或配额已耗尽：请扩容（CU）或释放空间，然后继续任务 {job}；已写入的行会保留";
    /// The load state of the source could not be restored.
    SourceNotRestored 307 Failed
        en "the load state of `{collection}` on the source could not be restored: {detail}"
           "restore it by hand; it was: {state}"
        zh "无法在源集群上恢复 `{collection}` 原来的加载状态：{detail}"
           "请手动恢复；原来的状态：{state}";
    /// The job record can't be written.
    LedgerFailed 309 Failed
        en "the job record can't be written: {detail}"
           "nothing is lost; make the state directory or the job database writable and reachable again, then run `vecferry resume {job}`"
        zh "无法写入任务记录：{detail}"
           "没有丢失数据；请确保状态目录或任务数据库恢复可写、可连接，然后运行 `vecferry resume {job}`"
        service "nothing is lost; make sure that the service can reach and write its job database again, then resume job {job}"
                "没有丢失数据；请确保服务能够重新连接并写入任务数据库，然后继续任务 {job}";
    /// A repair failed.
    RepairFailed 310 Failed
        en "rows of `{collection}` could not be repaired on the target: {detail}"
           "rows already repaired are kept; fix the cause and run the command again: it finds the rest"
        zh "无法修复目标集群上 `{collection}` 的行：{detail}"
           "已修复的行会保留；排除原因后重新运行该命令，它会找出其余的差异"
        service "rows already repaired are kept; fix the cause and start the repair again: it finds the rest"
                "已修复的行会保留；请排除原因后重新修复，它会找出其余的差异";
    /// A collection with auto-generated IDs was copied from scratch too often.
    CopiedAnew 311 Failed
        en "`{collection}` was copied {times} times, and each time the outcome of a write was unknown: {detail}"
           "the target generates the IDs, so such a write can't be sent again; fix the connection to the target, then run `vecferry resume {job}`, which copies this collection again from scratch"
        zh "`{collection}` 已复制 {times} 次，每次都有写入结果不明：{detail}"
           "由于 ID 由目标集群自动生成，这样的写入无法重试；请修复到目标集群的连接，然后运行 `vecferry resume {job}`，从头重新复制该 Collection"
        service "the target generates the IDs, so such a write can't be sent again; fix the connection to the target, then resume job {job}, which copies this collection again from scratch"
                "由于 ID 由目标集群自动生成，这样的写入无法重试；请修复到目标集群的连接，然后继续任务 {job}，该 Collection 会从头重新复制";
    /// A worker could not copy a split.
    CopyFailed 318 Failed
        en "a worker could not copy rows of `{collection}`: {detail}"
           "rows already copied are kept; fix the cause, then run `vecferry resume {job}`"
        zh "工作进程无法复制 `{collection}` 的行：{detail}"
           "已复制的行会保留；排除原因后运行 `vecferry resume {job}`"
        service "rows already copied are kept; fix the cause, then resume job {job}"
                "已复制的行会保留；请排除原因，然后继续任务 {job}";
    /// A collection that the job is to create exists, and may not be the job's.
    TargetTaken 313 Failed
        en "`{collection}` appeared on the target after the pre-check, and may not have been created by this job"
           "it is left unchanged; drop or rename it on the target, then run `vecferry resume {job}`"
        zh "`{collection}` 在预检之后出现在目标集群上，无法确认由本任务创建"
           "不会改动它；请在目标集群上删除或重命名它，然后运行 `vecferry resume {job}`"
        service "it is left unchanged; drop or rename it on the target, then resume job {job}"
                "不会改动它；请在目标集群上删除或重命名它，然后继续任务 {job}";
    /// The process that runs a job is stopped.
    JobDoesNotReact 316 Failed
        en "process {process}, which runs job {job}, has not reacted to the cancellation for {seconds} s"
           "it may be stopped; the cancellation is recorded, and takes effect when the process continues (`kill -CONT {process}`); or kill it (`kill -KILL {process}`) and run `vecferry cancel {job}` again"
        zh "运行任务 {job} 的进程 {process} 在 {seconds} 秒内没有响应取消请求"
           "该进程可能已被暂停；取消请求已记录，进程恢复运行（`kill -CONT {process}`）后生效；也可以终止它（`kill -KILL {process}`），然后再次运行 `vecferry cancel {job}`"
        service "it may be stopped; the cancellation is recorded, and takes effect when the process continues; if the process is dead, cancel job {job} again"
                "该进程可能已被暂停；取消请求已记录，进程恢复运行后生效；如该进程已终止，请再次取消任务 {job}";

    /// The same of a process that the job record can't name: it may run on another machine.
    JobDoesNotReactElsewhere 319 Failed
        en "job {job} has not reacted to the cancellation for {seconds} s"
           "the cancellation is recorded and takes effect when the process that runs the job continues; if that process is dead, run `vecferry cancel {job}` again"
        zh "任务 {job} 在 {seconds} 秒内没有响应取消请求"
           "取消请求已记录，运行该任务的进程恢复后生效；如该进程已终止，请再次运行 `vecferry cancel {job}`"
        service "the cancellation is recorded and takes effect when the process that runs the job continues; if that process is dead, cancel job {job} again"
                "取消请求已记录，运行该任务的进程恢复后生效；如该进程已终止，请再次取消任务 {job}";
    /// What a job created could not be removed from the target.
    CleanFailed 320 Failed
        en "`{object}` could not be removed from the target: {detail}"
           "fix the cause, then run `vecferry cancel {job} --clean` again"
        zh "无法从目标集群删除 `{object}`：{detail}"
           "请排除原因，然后再次运行 `vecferry cancel {job} --clean`"
        service "fix the cause, then cancel job {job} again and remove what it created"
                "请排除原因，然后再次取消任务 {job} 并删除它创建的内容";

    /// A fact that success depends on was not established.
    EvidenceMissing 312 Failed
        en "`{collection}`: not confirmed that everything arrived: {detail}"
           "run `vecferry resume {job}`, which counts and verifies again"
        zh "`{collection}`：未能确认数据已全部到达：{detail_zh}"
           "请运行 `vecferry resume {job}`，它会重新计数并校验"
        service "resume job {job}, which counts and verifies again"
                "请继续任务 {job}，它会重新计数并校验";
    /// Rows are missing on the target.
    RowsMissing 401 Different
        en "`{collection}`: {rows} row(s) of the source are missing on the target ({where})"
           "the target is incomplete: drop the collection there, and migrate it again with --collection {collection}, or repair it with `vecferry verify --level full --repair`"
        zh "`{collection}`：目标集群缺少源集群中的 {rows} 行（{where}）"
           "目标集群数据不完整；请在目标集群上删除该 Collection，再用 --collection {collection} 重新迁移，或用 `vecferry verify --level full --repair` 修复"
        service "the target is incomplete: drop the collection there and migrate it again, or verify at level full with repair"
                "目标集群数据不完整；请在目标集群上删除该 Collection 后重新迁移，或以 full 级别校验并修复";
    /// The target has extra rows.
    RowsExtra 402 Different
        en "`{collection}`: the target has {rows} row(s) more than the source ({where})"
           "something else wrote to the target, or rows were deleted on the source; stop all writes and compare again; `vecferry verify --level full --repair` removes the extra rows"
        zh "`{collection}`：目标集群比源集群多 {rows} 行（{where}）"
           "可能有其他程序写入了目标集群，或源集群上删除了行；请停止两端的写入后重新比对；`vecferry verify --level full --repair` 会删除多出的行"
        service "something else wrote to the target, or rows were deleted on the source; stop all writes and compare again; verify at level full with repair to remove the extra rows"
                "可能有其他程序写入了目标集群，或源集群上删除了行；请停止两端的写入后重新比对；以 full 级别校验并修复会删除多出的行";
    /// Rows have other values.
    RowsChanged 403 Different
        en "`{collection}`: {rows} of {compared} compared rows differ; first: primary key {key}, field `{field}`"
           "drop the collection on the target, and migrate it again with --collection {collection}, or repair it with `vecferry verify --level full --repair`"
        zh "`{collection}`：比对的 {compared} 行中有 {rows} 行不一致；首个：主键 {key}，字段 `{field}`"
           "请在目标集群上删除该 Collection，再用 --collection {collection} 重新迁移，或用 `vecferry verify --level full --repair` 修复"
        service "drop the collection on the target and migrate it again, or verify at level full with repair"
                "请在目标集群上删除该 Collection 后重新迁移，或以 full 级别校验并修复";
    /// Rows are counted, but no query returns them.
    RowsUnreadable 404 Different
        en "`{collection}`: the source counts {rows} row(s) that no query returns ({where})"
           "such rows can't be copied over the API (on Milvus 2.3: a row with the primary key 9223372036854775807); give them other primary keys on the source"
        zh "`{collection}`：源集群计入了 {rows} 行，但任何查询都不返回这些行（{where}）"
           "这些行无法通过 API 复制（如 Milvus 2.3 中主键为 9223372036854775807 的行）；请在源集群上更换其主键";
    /// The source changed during the copy.
    Drift 405 Different
        en "`{collection}`: the source changed during the copy: {before} rows at the start, {after} at the end (checked: {checks})"
           "stop writes to the source; then `vecferry cancel JOB --clean` removes what the job created, and `vecferry resume JOB` copies it again from scratch"
        zh "`{collection}`：复制期间源集群发生了变化：开始时 {before} 行，结束时 {after} 行（检查方式：{checks}）"
           "请停止对源集群的写入；然后用 `vecferry cancel JOB --clean` 删除该任务创建的内容，再用 `vecferry resume JOB` 从头重新复制"
        service "stop writes to the source; then cancel the job and remove what it created, and resume it to copy again from scratch"
                "请停止对源集群的写入；然后取消该任务并删除它创建的内容，再继续该任务，从头重新复制";
    /// The source was written to during a cut-over.
    CutOverDrift 454 Different
        en "the source was written to during the cut-over, so job {job} did not switch to the target"
           "stop all writers of the source, then run `vecferry cutover {job}` again; or let them go on, and cut over later"
        zh "切换期间源集群有写入，任务 {job} 没有切换到目标集群"
           "请停止对源集群的所有写入，然后再次运行 `vecferry cutover {job}`；也可以让写入继续，以后再切换"
        service "stop all writers of the source, then begin the cut-over again; or let them go on, and cut over later"
                "请停止对源集群的所有写入，然后再次开始切换；也可以让写入继续，以后再切换";
    /// The source changed while `vecferry verify` compared it: there was no copy, and there is no job.
    DriftWhileCompared 443 Different
        en "`{collection}`: the source changed during the comparison: {before} rows at the start, {after} at the end"
           "stop writes to the source, then compare again"
        zh "`{collection}`：比对期间源集群发生了变化：开始时 {before} 行，结束时 {after} 行"
           "请停止对源集群的写入，然后重新比对";
    /// Duplicate primary keys in the source.
    Duplicates 406 Done
        en "`{collection}`: {surplus} rows of the source have a duplicate primary key; one row per primary key was copied, the one that the source returned (first keys: {keys})"
           "Milvus 2.4 and later return the newest of these rows, 2.3 returns any of them (often the oldest): if it matters which one, remove the others on the source and copy again; --duplicates fail rejects such collections"
        zh "`{collection}`：源集群中有 {surplus} 行主键重复；每个主键只复制了源集群返回的那一行（前几个主键：{keys}）"
           "Milvus 2.4 及以上版本返回其中最新的一行，2.3 返回其中任意一行（通常是最旧的）；如有影响，请先在源集群上清理其余的行，再重新复制；--duplicates fail 不允许迁移这样的 Collection"
        service "Milvus 2.4 and later return the newest of these rows, 2.3 returns any of them (often the oldest): if it matters which one, remove the others on the source and copy again; a migration can also reject such collections"
                "Milvus 2.4 及以上版本返回其中最新的一行，2.3 返回其中任意一行（通常是最旧的）；如有影响，请先在源集群上清理其余的行，再重新复制；也可以在迁移时选择不允许重复主键";
    /// Definitions differ.
    SchemaChanged 407 Different
        en "`{collection}`: the definitions on source and target differ: {detail}"
           "drop the collection on the target, and migrate it again with --collection {collection}"
        zh "`{collection}`：源集群和目标集群的定义不一致：{detail}"
           "请在目标集群上删除该 Collection，再用 --collection {collection} 重新迁移"
        service "drop the collection on the target and migrate it again"
                "请在目标集群上删除该 Collection 后重新迁移";
    /// Verification could not run.
    NotVerified 408 Failed
        en "`{collection}` could not be verified: {detail}"
           "fix the cause, then run `vecferry verify`"
        zh "无法校验 `{collection}`：{detail}"
           "请排除原因，然后运行 `vecferry verify`"
        service "fix the cause, then verify again"
                "请排除原因，然后重新校验";
    /// Rows are in another partition.
    RowsSwapped 411 Different
        en "`{collection}`: {rows} row(s) are in the wrong partition on the target ({where})"
           "they count as missing in one partition and as extra in the other; `vecferry verify --level full --repair` fixes this"
        zh "`{collection}`：目标集群上有 {rows} 行位于错误的 Partition（{where}）"
           "这些行在一个 Partition 中计为缺失，在另一个中计为多余；可用 `vecferry verify --level full --repair` 修复"
        service "they count as missing in one partition and as extra in the other; verify at level full with repair to fix this"
                "这些行在一个 Partition 中计为缺失，在另一个中计为多余；请以 full 级别校验并修复";
    /// Rows with a duplicate primary key differ.
    RepeatedKeysDiffer 412 Done
        en "`{collection}`: {rows} row(s) with a duplicate primary key in the source differ ({where})"
           "a server may return any row of a duplicate primary key, so these are not counted as changed; remove the duplicates on the source to be sure"
        zh "`{collection}`：有 {rows} 行不一致，但其主键在源集群中重复（{where}）"
           "服务返回其中哪一行并不确定，因此不计为已改变；如需确认，请先在源集群上清理重复主键";
    /// What a repair did.
    Repaired 413 Done
        en "`{collection}`: {written} row(s) were copied again to the target, and {deleted} removed from it"
           "nothing to do; the report lists the rows that differed"
        zh "`{collection}`：已向目标集群重新复制 {written} 行，并从目标集群删除 {deleted} 行"
           "无需处理；报告列出了修复前不一致的行";
    /// Writes arrive at the source.
    WritesArriving 421 Done
        en "`{collection}` on the source is being written to: {before} rows, then {after} rows {seconds} s later, or updates in between"
           "stop writes before the migration: changes during the copy make the job fail (or may be missing, with --allow-drift)"
        zh "源集群上的 `{collection}` 正在被写入：先有 {before} 行，{seconds} 秒后为 {after} 行，或其间有更新"
           "请在迁移前停止写入：复制期间的变化会使任务失败（使用 --allow-drift 时则可能缺失）"
        service "stop writes before the migration: changes during the copy make the job fail (or may be missing, if the source is allowed to change)"
                "请在迁移前停止写入：复制期间的变化会使任务失败（如果允许源集群发生变化，则可能缺失）";
    /// A clock is wrong.
    ClockSkew 422 Done
        en "the clock of the {side} differs from this machine's by {seconds} s"
           "the job does not depend on clocks, but TTL and the times in logs and reports do: check both clocks"
        zh "{side}集群的时钟与本机相差 {seconds} 秒"
           "任务不依赖时钟，但 TTL 以及日志和报告中的时间依赖时钟：请检查两端的时钟";
    /// The target can't load all collections at the same time.
    MayNotFit 423 Done
        en "loading all collections at the same time needs about {needed} of the target's memory, but only {free} is free"
           "the migration loads one at a time for verification; to search all of them, scale the target up (CU) or load fewer"
        zh "同时加载全部 Collection 约需目标集群 {needed} 内存，但可用内存仅 {free}"
           "迁移在校验时每次只加载一个；若要检索全部 Collection，请扩容目标集群（CU），或减少加载的数量";
    /// Rows expired by TTL.
    RowsExpired 424 Done
        en "`{collection}`: {rows} row(s) of the source expired during the copy (TTL {ttl} s)"
           "nothing to do; those already copied expire on the target once its TTL, which is set last, takes effect"
        zh "`{collection}`：复制期间源集群中有 {rows} 行因 TTL（{ttl} 秒）过期"
           "无需处理；其中已复制的行会在目标集群的 TTL（最后设置）生效后过期";
    /// Both sides have auto-generated IDs that differ.
    ComparedWithoutKeys 425 Done
        en "`{collection}`: IDs are auto-generated on both sides and differ, so all rows were compared without them"
           "each row occurs as often as on the source; if the IDs should match (copied with --auto-id keep), drop the collection on the target, and migrate it again with --collection {collection}"
        zh "`{collection}`：两端的 ID 均为自动生成且不相同，因此比对所有行时忽略 ID"
           "每一行出现的次数与源集群相同；如果 ID 本应一致（以 --auto-id keep 复制），请在目标集群上删除该 Collection，再用 --collection {collection} 重新迁移"
        service "each row occurs as often as on the source; if the IDs should match (copied with the option to keep them), drop the collection on the target and migrate it again"
                "每一行出现的次数与源集群相同；如果 ID 本应一致（迁移时选择了保留 ID），请在目标集群上删除该 Collection 后重新迁移";
    /// Rows that can't be repaired.
    NotRepairable 414 Different
        en "`{collection}`: the rows that differ were not repaired: {detail}"
           "nothing was written to it; drop the collection on the target, and migrate it again with --collection {collection}"
        zh "`{collection}`：未修复不一致的行：{detail}"
           "未向其写入任何内容；请在目标集群上删除该 Collection，再用 --collection {collection} 重新迁移"
        service "nothing was written to it; drop the collection on the target and migrate it again"
                "未向其写入任何内容；请在目标集群上删除该 Collection 后重新迁移";
    /// The target rejects some rows.
    RowsQuarantined 415 Different
        en "the target rejects {rows} row(s) of `{collection}`; all others were copied: {first}"
           "{file} lists each row with its reason; fix them on the source (or the limit on the target), then run `vecferry resume {job}`, which tries them again"
        zh "目标集群拒绝写入 `{collection}` 的 {rows} 行，其余各行均已复制：{first}"
           "{file} 列出了每一行及其原因；请在源集群上修正这些行（或调整目标集群的限制），然后运行 `vecferry resume {job}` 重试"
        service "{file} lists each row with its reason; fix them on the source (or the limit on the target), then resume job {job}, which tries them again"
                "{file} 列出了每一行及其原因；请在源集群上修正这些行（或调整目标集群的限制），然后继续任务 {job} 重试";
    /// Rows differ when compared without IDs.
    RowsDiffer 416 Different
        en "`{collection}`: the rows of source and target differ, compared without the auto-generated IDs: {detail}"
           "drop the collection on the target, and migrate it again with --collection {collection}"
        zh "`{collection}`：忽略自动生成的 ID 进行比对，源集群和目标集群的行不一致：{detail}"
           "请在目标集群上删除该 Collection，再用 --collection {collection} 重新迁移"
        service "drop the collection on the target and migrate it again"
                "请在目标集群上删除该 Collection 后重新迁移";

    /// Partitions, aliases or properties of the source no longer match the plan.
    SourceObjectsChanged 417 Different
        en "`{collection}`: the source changed after the plan was made: {detail}"
           "stop changes to the source, remove what this job created with `vecferry cancel JOB --clean`, and migrate again"
        zh "`{collection}`：源集群在生成计划之后发生了变化：{detail}"
           "请停止对源集群的改动，用 `vecferry cancel JOB --clean` 删除该任务创建的内容，然后重新迁移"
        service "stop changes to the source, cancel the job and remove what it created, and migrate again"
                "请停止对源集群的改动，取消该任务并删除它创建的内容，然后重新迁移";
    /// The target rejects an index that was to be kept.
    IndexReplaced 426 Done
        en "`{collection}`: the target rejects the index {index}; {instead} was created instead: {detail}"
           "searches work with it; if you need the original index, fix the reason, drop the new index on the target and create the original one by hand"
        zh "`{collection}`：目标集群拒绝创建索引 {index}，已改为创建 {instead}：{detail}"
           "不影响检索；如需要原来的索引，请解决上述原因，在目标集群上删除新索引后手动创建";
    /// Rows that some servers reject for their size.
    RowsLarge 427 Done
        en "`{collection}`: rows take {bytes} bytes on average; servers reject rows above about 5 MB"
           "rejected rows are listed in a file, and the job then fails; try this collection alone first"
        zh "`{collection}`：平均每行 {bytes} 字节；服务会拒绝超过约 5 MB 的行"
           "被拒绝的行会列入文件，任务随之失败；建议先单独试迁移该 Collection";
    /// The disks of the target's nodes may be too small.
    DiskMayNotFit 428 Done
        en "the data may take {needed} of disk on the target (log, segments and indexes), but one of its nodes has only {free} left"
           "check this only if the target stores its data on that disk; otherwise check its object storage"
        zh "数据在目标集群上可能占用 {needed} 磁盘（日志、Segment 与索引），而其中一个节点仅剩 {free}"
           "仅当目标集群把数据存放在该磁盘上时才需要关注；否则请查看其对象存储";
    /// A name on the target can't be claimed in one step.
    CreationUnclaimed 430 Done
        en "a collection that another client creates in the target database `{db}` at the same moment could be taken for this job's: {detail}"
           "make sure that no one else creates collections with these names while the job starts"
        zh "若其他客户端恰好同时在目标集群的 Database `{db}` 中创建同名 Collection，可能被误认为由本任务创建：{detail}"
           "请确保任务开始时没有其他人在其中创建同名的 Collection";
    /// Only what the user sees is selected.
    VisibleOnly 435 Done
        en "`{what}` on the {side} includes only what {user} sees, as requested: {detail}"
           "databases and collections hidden from this user are not included; a user with the role admin sees all of them"
        zh "按照设置，{side}集群的 `{what}` 只包含{user}能看到的内容：{detail_zh}"
           "不包含该用户看不到的 Database 和 Collection；具有 admin 角色的用户可以看到全部内容";

    /// Updates on the source can't be detected.
    UpdatesUnseen 433 Done
        en "updates of existing rows can't be detected on this source ({number} collection(s)): `{call}` is not available to this user"
           "stop all writes before the migration; only a comparison of every row (`--verify full`, or `vecferry verify --level full` at the end) shows that no row was updated"
        zh "无法在该源集群上检测对已有行的更新（{number} 个 Collection）：该用户无法调用 `{call}`"
           "请在迁移前停止所有写入；只有逐行比对（`--verify full`，或结束后的 `vecferry verify --level full`）才能确认没有行被更新"
        service "stop all writes before the migration; only a comparison of every row (verification at level full, in the job or after it) shows that no row was updated"
                "请在迁移前停止所有写入；只有逐行比对（在任务中或任务结束后以 full 级别校验）才能确认没有行被更新";
    /// Compacted segments may hide updates.
    UpdatesHidden 434 Done
        en "updates of existing rows during the copy can't be ruled out for {number} collection(s) ({collections}): the source compacted or sorted their segments, or could not be flushed in time"
           "if the source may have been written to, run `vecferry verify --level full` once writes have stopped; only that shows that no row was updated"
        zh "无法排除 {number} 个 Collection（{collections}）在复制期间有行被更新：源集群在此期间对其 Segment 做了 Compaction 或排序，或未能及时完成 Flush"
           "如果其间可能有写入，请在停止写入后运行 `vecferry verify --level full`，只有这样才能确认没有行被更新"
        service "if the source may have been written to, verify at level full once writes have stopped; only that shows that no row was updated"
                "如果其间可能有写入，请在停止写入后以 full 级别校验，只有这样才能确认没有行被更新";
    /// Deletes after the copy of a temporarily loaded collection can't be detected.
    DeletesUnseen 438 Done
        en "rows deleted from {collections} on the source after the copy and before the end of the job can't be detected: these collections were loaded for the copy only"
           "nothing to do if the source is not written to; otherwise load them before the migration, or run `vecferry verify` once writes have stopped"
        zh "{collections} 仅为复制而临时加载，因此无法检测其复制完成之后、任务结束之前在源集群上删除的行"
           "如果源集群没有写入则无需处理；否则请在迁移前加载这些 Collection，或在停止写入后运行 `vecferry verify`"
        service "nothing to do if the source is not written to; otherwise load them before the migration, or verify again once writes have stopped"
                "如果源集群没有写入则无需处理；否则请在迁移前加载这些 Collection，或在停止写入后重新校验";
    /// A collection of the source is still loading.
    SourceLoading 439 Done
        en "the source is still loading `{collection}`, or has just started: its row count is an estimate, and its copy waits for the load"
           "nothing to do if the load completes; if it makes no progress for {minutes} minutes, this collection fails and all others continue"
        zh "源集群仍在加载 `{collection}`，或刚刚启动：其行数为估计值，复制会等待加载完成"
           "加载能完成则无需处理；若连续 {minutes} 分钟没有进展，则该 Collection 失败，其他照常进行";
    /// Everything was copied while the source could change.
    NotProven 446 Done
        en "all rows were copied, but nothing has been verified: the source could change meanwhile"
           "do not use the target yet; stop all writers of the source, then run `vecferry cutover {job}`, which compares every row and copies what changed"
        zh "所有行均已复制，但尚未校验：期间源集群可能有变化"
           "请暂勿使用目标集群；停止对源集群的所有写入后，运行 `vecferry cutover {job}`，它会逐行比对并复制变化的数据"
        service "do not use the target yet; stop all writers of the source, then begin the cut-over of job {job}, which compares every row and copies what changed"
                "请暂勿使用目标集群；停止对源集群的所有写入后，开始任务 {job} 的切换，届时会逐行比对并复制变化的数据";
    /// Collections that a warm copy did not know of.
    CollectionsCame 447 Done
        en "created on the source after the plan, not copied yet: {collections}"
           "nothing to do: the next catch-up or the cut-over of job {job} copies them"
        zh "以下 Collection 在生成计划之后创建于源集群，尚未复制：{collections}"
           "无需处理：任务 {job} 的下一轮更新或切换会复制它们";
    /// A collection that is not any more what a warm copy was to copy.
    SourceFollowedLater 452 Done
        en "`{collection}` changed on the source while it was being copied, and was left incomplete: {detail}"
           "nothing to do: the next catch-up or the cut-over of job {job} follows the change"
        zh "复制期间源集群上的 `{collection}` 发生了变化，未能完整复制：{detail}"
           "无需处理：任务 {job} 的下一轮更新或切换会处理该变化";
    /// Rows that the target rejects in a warm copy.
    RowsRejectedSoFar 453 Done
        en "the target rejects {rows} row(s) of `{collection}`; all others were copied: {first}"
           "{file} lists each row with its reason; fix them on the source, or the limit on the target, before the cut-over of job {job}: it tries them again, and fails if any are left"
        zh "目标集群拒绝写入 `{collection}` 的 {rows} 行，其余各行均已复制：{first}"
           "{file} 列出了每一行及其原因；请在任务 {job} 切换之前在源集群上修正这些行（或调整目标集群的限制）：切换时会重试，仍有遗留则失败";
    /// The source returns JSON strings without quotes.
    JsonTextsNotTold 441 Done
        en "the source ({version}) returns JSON values that are strings without their quotes: in the fields {fields} of `{collection}`, the string \"123\" arrives as the number 123"
           "nothing to do if these fields hold only objects and arrays, as Milvus Lite 3 requires; otherwise wrap such strings in an object on the source first"
        zh "源集群（{version}）返回的 JSON 字符串值不带引号：`{collection}` 的字段 {fields} 中，字符串 \"123\" 会变成数字 123"
           "如果这些字段只包含对象和数组（Milvus Lite 3 的要求），则无需处理；否则请先在源集群上将这样的字符串放入对象中";
    /// The source can't tell the newest row of a duplicate primary key.
    NewestNotKnown 437 Done
        en "the source ({version}) can't tell which row of a duplicate primary key is the newest: any one of them is copied, often the oldest"
           "nothing to do if no primary key was inserted twice (an upsert leaves one row); otherwise remove the older rows on the source first, or reject such collections with --duplicates fail"
        zh "源集群（{version}）无法区分重复主键中哪一行最新：每个重复主键会复制其中任意一行，通常是最旧的一行"
           "如果没有重复插入过同一主键（Upsert 只保留一行），则无需处理；否则请先在源集群上删除旧的行，或用 --duplicates fail 禁止迁移这样的 Collection"
        service "nothing to do if no primary key was inserted twice (an upsert leaves one row); otherwise remove the older rows on the source first, or choose to reject collections with duplicate primary keys"
                "如果没有重复插入过同一主键（Upsert 只保留一行），则无需处理；否则请先在源集群上删除旧的行，或在迁移时选择不允许重复主键";

    /// Canceled by the user.
    Canceled 501 Canceled
        en "canceled; complete on the target (rows): {complete}; incomplete: {incomplete}"
           "nothing else was changed; continue with `vecferry resume {job}`, or remove what the job created with `vecferry cancel {job} --clean`"
        zh "已取消；目标集群上已完成（行数）：{complete}；未完成：{incomplete}"
           "其他内容未被改动；用 `vecferry resume {job}` 继续，或用 `vecferry cancel {job} --clean` 删除该任务创建的内容"
        service "nothing else was changed; resume job {job}, or remove what it created"
                "其他内容未被改动；请继续任务 {job}，或删除它创建的内容";
    /// The user canceled a comparison.
    VerifyCanceled 502 Canceled
        en "the comparison was canceled without a result"
           "nothing was changed; run the command again"
        zh "比对已取消，没有得出结论"
           "未做任何改动；请重新运行该命令"
        service "nothing was changed; start the verification again"
                "未做任何改动；请重新开始校验";
    /// The user canceled a dry run.
    ReadCanceled 503 Canceled
        en "the dry run was canceled; nothing was written"
           "run it again, or use --collection to read only a part"
        zh "试运行已取消；没有写入任何内容"
           "请重新运行该命令，或用 --collection 只读取一部分"
        service "start it again, or select fewer collections"
                "请重新试运行，或只选择一部分 Collection";

    /// The servers of the demo can't be started.
    Sandbox 601 Refused
        en "the local servers can't be started: {detail}"
           "{remedy}; the demo needs Linux on x86-64, Python 3 with pip, access to PyPI, and 2 GB of free memory and disk"
        zh "无法启动本地服务：{detail}"
           "{remedy}；演示需要 x86-64 Linux、带 pip 的 Python 3、可访问 PyPI 的网络，以及 2 GB 可用内存和磁盘";
    /// A load did not complete.
    LoadFailed 602 Failed
        en "`{collection}` could not be loaded on the target: {detail}"
           "check the target's log and free memory, then run `vecferry load` again"
        zh "无法在目标集群上加载 `{collection}`：{detail}"
           "请查看目标集群的日志和可用内存，然后重新运行 `vecferry load`"
        service "check the target's log and free memory, then load it again"
                "请查看目标集群的日志和可用内存，然后重新加载";

    /// A server without roles and users.
    RbacUnsupported 701 Refused
        en "the {side} does not support roles and users, so they can't be copied: {detail}"
           "remove --with rbac; Milvus Lite has no access control"
        zh "{side}集群不支持角色和用户，因此无法复制：{detail}"
           "请去掉 --with rbac；Milvus Lite 不支持访问控制"
        service "leave roles and users out; Milvus Lite has no access control"
                "请不要复制角色和用户；Milvus Lite 不支持访问控制";
    /// The user may not read or create roles and users.
    RbacNotAllowed 702 Refused
        en "the user is not allowed to read or create roles, grants and users on the {side}: {detail}"
           "use a user with the role `admin` (or `root`) on both sides, or remove --with rbac"
        zh "该用户无权在{side}集群读取或创建角色、授权和用户：{detail}"
           "请在两端使用具有 `admin` 角色的用户（或 `root`），或去掉 --with rbac"
        service "use a user with the role `admin` (or `root`) on both sides, or leave roles and users out"
                "请在两端使用具有 `admin` 角色的用户（或 `root`），或不复制角色和用户";
    /// The file for the passwords already exists.
    UsersFileExists 703 Refused
        en "the file for the passwords of the new users already exists: `{file}`"
           "it is never overwritten: choose another one with --users-file, or move this one away"
        zh "用于保存新用户密码的文件已存在：`{file}`"
           "不会覆盖已有文件：请用 --users-file 指定其他文件，或先将其移走";
    /// The file for the passwords can't be written or read.
    UsersFile 704 Failed
        en "the file for the passwords of the new users, `{file}`, can't be used: {detail}"
           "no user was created without its password in this file; make the directory writable, then run `vecferry resume JOB`"
        zh "无法使用保存新用户密码的文件 `{file}`：{detail}"
           "只有密码已写入该文件的用户才会被创建；请确保其目录可写，然后运行 `vecferry resume JOB`";
    /// A role, a grant, a privilege group or a user did not arrive.
    RbacFailed 705 Failed
        en "`{object}` could not be created on the target: {detail}"
           "all rows are still copied; fix the cause, then run `vecferry resume JOB`, which creates only what is missing"
        zh "无法在目标集群上创建 `{object}`：{detail}"
           "数据行仍会照常复制；排除原因后运行 `vecferry resume JOB`，它只会补建缺失的部分"
        service "all rows are still copied; fix the cause, then resume the job, which creates only what is missing"
                "数据行仍会照常复制；请排除原因，然后继续该任务，它只会补建缺失的部分";
    /// Some of the source's roles, users and grants are not copied.
    RbacLeft 706 Done
        en "{number} of the source's roles, users and grants are not copied: {names}"
           "what exists on the target is left unchanged; check these by hand: the report gives the reason for each"
        zh "源集群上的角色、用户和授权中有 {number} 项未复制：{names}"
           "目标集群上已有的内容保持不变；请手动核对这些项，报告中列出了每一项的原因";
    /// A plan of an earlier version uses a call that crashes servers.
    RbacPlanRestores 707 Refused
        en "the plan restores all roles and users in one call, which crashes Milvus 2.5 and 2.6 and is no longer sent"
           "create a new plan with --with rbac: it creates roles and users one by one, with new passwords"
        zh "该计划用一次调用恢复所有角色和用户，这会使 Milvus 2.5 和 2.6 崩溃，因此不再发送该调用"
           "请使用 --with rbac 重新生成计划：角色和用户将逐个创建，并使用新密码"
        service "start the pre-check again with roles and users included: they are created one by one, with new passwords"
                "请选择复制角色和用户，并重新预检：角色和用户将逐个创建，并使用新密码";
    /// A job of an earlier version was planned with a call that crashes servers.
    RbacRestoreEnded 708 Failed
        en "no roles and users were created: an earlier version planned to restore them in one call, which crashes Milvus 2.5 and 2.6"
           "all rows are still copied; create roles and users by hand, or start over with a new job and --with rbac"
        zh "未创建角色和用户：早期版本计划用一次调用恢复它们，这会使 Milvus 2.5 和 2.6 崩溃"
           "数据行仍会照常复制；请手动创建角色和用户，或使用 --with rbac 新建任务重新开始"
        service "all rows are still copied; create roles and users by hand, or start over with a new job that includes roles and users"
                "数据行仍会照常复制；请手动创建角色和用户，或新建任务并选择复制角色和用户，重新开始";

    /// A request to the service can't be read.
    BadRequest 801 Usage
        en "the request can't be read: {detail}"
           "correct the request as the API reference describes it, then send it again"
        zh "无法解析请求：{detail}"
           "请按照 API 参考修正请求，然后重新发送";
    /// No session or API key, or an invalid or expired one.
    NotSignedIn 802 Refused
        en "not signed in: the session or API key is missing, invalid or expired"
           "set VECFERRY_API_KEY to a valid API key of the service, or name a file that holds one with --server-key-file"
        zh "未登录：会话或 API 密钥缺失、无效或已过期"
           "请将 VECFERRY_API_KEY 设为该服务的有效 API 密钥，或用 --server-key-file 指定保存密钥的文件"
        service "sign in again, or send a valid API key"
                "请重新登录，或使用有效的 API 密钥";
    /// The caller's role does not allow this.
    NotAllowed 803 Refused
        en "{action} needs the role {needs}; the role here is {role}"
           "ask someone with that role to do it, or ask an owner of the organization for the role"
        zh "{action}需要{needs}角色，当前角色为{role}"
           "请联系具有该角色的成员代为操作，或向组织管理员申请该角色";
    /// An object does not exist, or the caller may not see it.
    NoSuchObject 804 Refused
        en "the {kind} `{id}` does not exist, or is not visible to you"
           "check the ID, the organization and the project; for access, ask an owner of the organization"
        zh "{kind} `{id}` 不存在，或无权查看"
           "请核对 ID、组织和项目；如需访问权限，请联系组织管理员";
    /// A request does not fit the state of what it is about.
    Conflict 805 Refused
        en "the request conflicts with the current state: {detail}"
           "look at the current state, then decide whether to send the request again"
        zh "请求与当前状态冲突：{detail}"
           "请查看当前状态，再决定是否重新发送请求";
    /// Too many requests in a short time.
    TooManyRequests 806 Refused
        en "too many requests: the next one is accepted in {seconds} s"
           "wait {seconds} s, then send the request again"
        zh "请求过于频繁：{seconds} 秒后才会接受下一个请求"
           "请等待 {seconds} 秒后重新发送请求";
    /// A request would change a schema.
    SchemaChange 807 Usage
        en "the field `{field}` of the request would change a schema, but an offline migration keeps schemas unchanged"
           "remove this field; if the schema has to change, change it on the source before the migration or on the target after it"
        zh "请求中的字段 `{field}` 会改变 Schema，而离线迁移保持 Schema 不变"
           "请去掉该字段；如需改变 Schema，请在迁移前修改源集群，或在迁移后修改目标集群";
    /// More collections than one job may migrate to such a target.
    TooManyCollections 808 Refused
        en "{count} collections are selected, but one job to a {plan} target migrates {max} at most"
           "use several jobs of at most {max} collections each"
        zh "选中了 {count} 个 Collection，但迁移到 {plan} 目标集群时，每个任务最多 {max} 个"
           "请分成多个任务，每个任务最多 {max} 个 Collection";
    /// The address of a cluster is in a network that the service may not call.
    NetworkDenied 809 Refused
        en "this service may not connect to `{host}`: its address {address} is {network}"
           "use an address that is allowed, or ask the operator of the service to change the allowed networks"
        zh "本服务不允许连接 `{host}`：其地址 {address} {network}"
           "请使用允许连接的地址，或请服务的运维人员修改允许连接的网段";
    /// The store of the service does not answer.
    ServiceUnavailable 810 Refused
        en "the service's database does not answer: {detail}"
           "try again in a minute; if it still fails, tell the operator of the service"
        zh "服务的数据库没有响应：{detail}"
           "请稍后重试；如仍然失败，请联系服务的运维人员";
    /// An idempotency key was used for another request.
    IdempotencyConflict 811 Refused
        en "the idempotency key `{key}` was already used for a different request"
           "use a new key for a new request; to repeat the first one, send it unchanged"
        zh "幂等键 `{key}` 已用于另一个内容不同的请求"
           "新的请求请使用新的幂等键；如要重试之前的请求，请原样发送";
    /// A job uses the cluster.
    ClusterInUse 812 Refused
        en "the cluster `{cluster}` is used by job {job}"
           "wait until the job ends, or cancel it"
        zh "集群 `{cluster}` 正被任务 {job} 使用"
           "请等待该任务结束，或取消该任务";
    /// Something in the project is still in use.
    ProjectInUse 813 Refused
        en "the project `{project}` is still in use: {detail}"
           "cancel its running jobs or wait until they end, and remove its clusters, then try again"
        zh "项目 `{project}` 仍在使用中：{detail}"
           "请取消运行中的任务或等待其结束，并移除项目中的集群，然后重试";
    /// The body of a request is too large.
    TooLarge 814 Usage
        en "the request body is larger than {bytes_max} bytes"
           "send a smaller one: for example, select whole databases instead of naming every collection"
        zh "请求体超过 {bytes_max} 字节"
           "请缩小请求体，例如选择整个 Database，而不是逐个列出 Collection";
    /// The disk of the store is full.
    StoreFull 815 Refused
        en "the disk of the service's database is full: reading works, but nothing can be changed"
           "ask the operator of the service to free or add disk space, then try again"
        zh "服务数据库所在的磁盘已满：可以查看，但无法做任何更改"
           "请联系服务的运维人员释放或扩充磁盘空间，然后重试";
    /// A password is too short or too long.
    WeakPassword 816 Usage
        en "the password is not accepted: it must have {min} to {max} characters"
           "choose a password of this length that is not used anywhere else"
        zh "密码不符合要求：长度须为 {min} 到 {max} 个字符"
           "请设置长度符合要求、且未在其他地方使用过的密码";
    /// The key that credentials were encrypted with is missing.
    KeyMissing 817 Refused
        en "the stored credentials are encrypted with the key `{key}`, which this service does not have"
           "add this key to the configuration of the service and restart it, or enter the credentials again"
        zh "已保存的凭证使用密钥 `{key}` 加密，但本服务没有该密钥"
           "请在服务配置中添加该密钥并重启服务，或重新填写凭证";
    /// The pre-check before a scheduled start found something else than the first one.
    PrecheckChanged 818 Refused
        en "the pre-check before the scheduled start had a different result: {detail}"
           "nothing was written; review the new pre-check, then start or schedule the job again"
        zh "定时启动前的预检结果与之前不同：{detail}"
           "尚未写入任何内容；请查看新的预检结果，然后重新启动任务或设置启动时间";
    /// The service can't start with its configuration.
    ConfigInvalid 819 Usage
        en "the configuration is invalid: {where}: {detail}"
           "correct this setting, then start the service again"
        zh "配置无效：{where}：{detail}"
           "请修正该设置，然后重新启动服务";
    /// The service that a command was to drive does not answer, or something else answers.
    ServiceUnreachable 820 Refused
        en "the service at {server} can't be used: {detail}"
           "check --server (or VECFERRY_SERVER), and that the service runs: {server}/healthz answers with status 200"
        zh "无法使用 {server} 上的服务：{detail}"
           "请检查 --server（或 VECFERRY_SERVER），并确认服务正在运行：{server}/healthz 应返回状态码 200";
    /// What the identity provider sent signs nobody in.
    SignInRejected 821 Refused
        en "the sign-in with the identity provider failed: {detail}"
           "sign in again; if it keeps failing, ask whoever runs the service"
        zh "通过身份提供方登录失败：{detail}"
           "请重新登录；如果仍然失败，请联系服务的运维人员";
    /// The identity provider vouches for somebody who may not use this service.
    NotAdmitted 822 Refused
        en "`{email}` cannot sign in to this service: {detail}"
           "ask an Organization Owner to invite this address, or sign in with another account"
        zh "`{email}` 无法登录本服务：{detail}"
           "请让组织管理员邀请该地址，或使用其他账号登录";
    /// The identity provider can't be reached, or does not do what it should.
    IdentityProviderUnavailable 823 Refused
        en "the identity provider `{issuer}` cannot be used: {detail}"
           "try again later, or sign in with your password"
        zh "身份提供方 `{issuer}` 无法使用：{detail}"
           "请稍后重试，或使用密码登录";
    /// A request with a session cookie does not show that it comes from a page of the service.
    CsrfToken 824 Refused
        en "the request does not carry the CSRF token of its session"
           "read `csrfToken` from `GET /v2/session`, and send it in the header `X-CSRF-Token`"
        zh "请求未携带其会话的 CSRF 令牌"
           "请通过 `GET /v2/session` 读取 `csrfToken`，并在请求头 `X-CSRF-Token` 中发送";
    /// Whoever scheduled a job has not the right to start it when its time has come.
    RightLost 825 Refused
        en "the scheduled job did not start, because whoever created it no longer has the right to: {detail}"
           "nothing was written; a Project Admin of its projects can start it again, or schedule a new one"
        zh "定时任务未启动，因为其创建者已无权启动：{detail}"
           "尚未写入任何内容；请由相关项目的项目管理员重新启动，或新建定时任务";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Codes that no one meets through REST or the console, so that their texts may speak of options and commands: the
    /// service has no arguments to parse once it runs, reads and writes no files that users name (plan files, files of
    /// passwords, reports), and opens its state directory and the servers of its demo when it is started. All other
    /// problems of a directory or database of jobs can appear later, and so are told to users of the service as well.
    const OF_COMMAND_LINE: &[Code] = &[
        Code::Arguments,
        Code::NeedsYes,
        Code::File,
        Code::FileNotWritten,
        Code::StateDirExposed,
        Code::StateDirForeign,
        Code::StateDirOfNetwork,
        Code::PlanFile,
        Code::PlanEdited,
        Code::PlanNewer,
        Code::UsersFile,
        Code::UsersFileExists,
        Code::Sandbox,
        Code::ServiceUnreachable,
    ];

    /// Commands that texts put in backticks by their name alone.
    const COMMANDS: &[&str] = &[
        "migrate", "resume", "verify", "cancel", "plan", "load", "capacity", "jobs", "status", "report",
        "rate",
    ];

    fn placeholders(template: &str) -> BTreeSet<&str> {
        template.split('{').skip(1).filter_map(|part| part.split_once('}')).map(|(name, _)| name).collect()
    }

    /// What of a text only makes sense at a command line.
    fn of_command_line(text: &str) -> Option<&str> {
        const WORDS: &[&str] = &["--", "vecferry ", "VECFERRY_", "command", "命令"];
        let quoted = text.split('`').skip(1).step_by(2);
        let mut commands = quoted.filter_map(|quoted| quoted.split(' ').next());
        let word = WORDS.iter().copied().find(|word| text.contains(word));
        word.or_else(|| commands.find(|command| COMMANDS.contains(command)))
    }

    #[test]
    fn the_service_is_told_of_no_options_and_no_commands() {
        for entry in CATALOGUE.iter().filter(|entry| !OF_COMMAND_LINE.contains(&entry.code)) {
            for text in [&entry.en, &entry.zh] {
                for told in [text.what, text.hint_on(Surface::Service)] {
                    assert_eq!(of_command_line(told), None, "{:?}: {told}", entry.code);
                }
            }
        }
    }

    #[test]
    fn options_and_commands_are_found_in_texts() {
        for text in [
            "add --yes",
            "run `vecferry jobs`",
            "note that `verify --repair` does",
            "before the first row, `migrate` tries",
            "set VECFERRY_{variable}_API_KEY",
            "run the command again",
            "重新运行该命令",
        ] {
            assert!(of_command_line(text).is_some(), "{text}");
        }
        assert_eq!(of_command_line("own the schema `vecferry` of the plan"), None);
    }

    #[test]
    fn hints_of_the_service_exist_in_both_languages_and_name_values_of_their_problem() {
        for entry in CATALOGUE {
            let services = [entry.en.service_hint, entry.zh.service_hint];
            assert_eq!(services[0].is_some(), services[1].is_some(), "{:?}", entry.code);
            for text in [&entry.en, &entry.zh] {
                let Some(service) = text.service_hint else { continue };
                assert!(!service.is_empty() && service != text.hint, "{:?}", entry.code);
                let known: BTreeSet<_> = [text.what, text.hint].into_iter().flat_map(placeholders).collect();
                assert!(placeholders(service).is_subset(&known), "{:?}: {service}", entry.code);
            }
        }
    }
}
