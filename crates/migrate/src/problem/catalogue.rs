//! The codes and their texts.

use super::{Exit, Lang};

/// A message in one language: what happened to what, and what to do next. `{name}` stands for a value.
#[derive(Debug)]
pub struct Text {
    /// What happened, to what.
    pub what: &'static str,
    /// What to do next.
    pub hint: &'static str,
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

macro_rules! catalogue {
    ($( $(#[$doc:meta])* $code:ident $number:literal $exit:ident
        en $en_what:literal $en_hint:literal zh $zh_what:literal $zh_hint:literal; )*) => {
        /// Which kind of problem.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code { $( $(#[$doc])* $code, )* }

        /// Every code, by number.
        pub static CATALOGUE: &[Entry] = &[ $( Entry {
            code: Code::$code,
            number: $number,
            exit: Exit::$exit,
            en: Text { what: $en_what, hint: $en_hint },
            zh: Text { what: $zh_what, hint: $zh_hint },
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
        en "these arguments can't be used: {detail}"
           "run the command with --help to see what it takes"
        zh "无法使用这些参数：{detail}"
           "加上 --help 查看可用的参数";
    /// An address, a token or a certificate can't be used.
    Endpoint 2 Usage
        en "the {side} address can't be used: {detail}"
           "write http://host:port or https://host:port; give credentials with --{flag}-token and certificates with --{flag}-ca, --{flag}-cert and --{flag}-key"
        zh "无法使用{side}的地址：{detail}"
           "地址写作 http://host:port 或 https://host:port；凭证用 --{flag}-token，证书用 --{flag}-ca、--{flag}-cert、--{flag}-key";
    /// A question can't be asked because there is no terminal.
    NeedsYes 3 Usage
        en "there is no terminal to ask on whether to start"
           "add --yes to start without being asked"
        zh "没有终端，无法询问是否开始"
           "加上 --yes 即可不询问直接开始";
    /// A `--collection`, `--exclude` or `--target-db` is not understood.
    Selector 4 Usage
        en "`{selector}` names no collection: {detail}"
           "write NAME (in database `default`), DB.NAME, or DB.* for a whole database; --target-db takes SOURCE_DB=TARGET_DB"
        zh "`{selector}` 不是有效的 Collection 名称：{detail}"
           "写作 NAME（位于数据库 `default`）、DB.NAME，或用 DB.* 表示整个数据库；--target-db 写作 源数据库=目标数据库";
    /// A file named on the command line can't be read.
    File 5 Usage
        en "the file `{file}` can't be read: {detail}"
           "check the path and its permissions"
        zh "无法读取文件 `{file}`：{detail}"
           "请检查路径和权限";
    /// The directory for reports can't be written.
    StateDir 6 Usage
        en "the state directory `{dir}` can't be written: {detail}"
           "name a writable directory with --state-dir"
        zh "无法写入状态目录 `{dir}`：{detail}"
           "用 --state-dir 指定一个可写的目录";
    /// Other users may look into the state directory.
    StateDirExposed 20 Usage
        en "other users may look into the state directory `{dir}` (mode {detail})"
           "if it is meant for Vecferry alone, run `chmod 700 {dir}`; otherwise name another directory with --state-dir"
        zh "其他用户可以访问状态目录 `{dir}`（权限 {detail}）"
           "如果该目录只给 Vecferry 使用，请运行 `chmod 700 {dir}`；否则用 --state-dir 指定其他目录";
    /// The state directory is another user's.
    StateDirForeign 21 Usage
        en "the state directory `{dir}` belongs to somebody else: {detail}"
           "run the command as its owner, or name a directory of your own with --state-dir"
        zh "状态目录 `{dir}` 属于其他用户：{detail}"
           "请以其所有者的身份运行该命令，或用 --state-dir 指定自己的目录";
    /// The state directory is on a file system of the network.
    StateDirOfNetwork 22 Usage
        en "the state directory `{dir}` is on a network file system ({detail}): locks and durable writes cannot be relied on there"
           "name a directory on a local disk with --state-dir"
        zh "状态目录 `{dir}` 位于网络文件系统（{detail}）上，那里的文件锁和持久写入不可靠"
           "请用 --state-dir 指定本地磁盘上的目录";
    /// No job bears the number given.
    UnknownJob 7 Usage
        en "there is no such job: {detail}"
           "`vecferry jobs` lists the jobs of this state directory; --state-dir names another"
        zh "没有这个任务：{detail}"
           "用 `vecferry jobs` 列出该状态目录中的任务；用 --state-dir 指定其他目录";
    /// The record of jobs was written by a newer version.
    LedgerNewer 8 Usage
        en "the record of jobs in `{dir}` is of a newer version: {detail}"
           "use the version of vecferry that wrote it, or another --state-dir"
        zh "`{dir}` 中的任务记录来自更新的版本：{detail}"
           "请使用写入它的 vecferry 版本，或指定其他 --state-dir";
    /// The record of jobs is damaged.
    LedgerCorrupt 9 Usage
        en "the record of jobs in `{dir}` is damaged or no record of vecferry: {detail}"
           "nothing was changed; restore the file from a backup, or give another --state-dir (jobs in the damaged file can't be resumed then)"
        zh "`{dir}` 中的任务记录已损坏，或不是 vecferry 的记录：{detail}"
           "没有做任何改动；请从备份恢复该文件，或指定其他 --state-dir（损坏文件中的任务将无法继续）";
    /// A job has no report yet.
    NoReport 10 Usage
        en "job {job} has no report yet"
           "`vecferry status {job}` shows how far it is; it has a report when it ended"
        zh "任务 {job} 还没有报告"
           "用 `vecferry status {job}` 查看进度；任务结束后才有报告";
    /// A file that was asked for can't be written.
    FileNotWritten 11 Usage
        en "`{file}` can't be written: {detail}"
           "name a file in a writable directory"
        zh "无法写入 `{file}`：{detail}"
           "请指定可写目录中的文件";
    /// A `--max-rate` is not understood.
    MaxRate 15 Usage
        en "`{rate}` is no data rate: {detail}"
           "write bytes or rows a second, as 20MB/s (KB, MB, GB, KiB, MiB, GiB) or 5000rows/s, or none for no limit"
        zh "`{rate}` 不是有效的数据速率：{detail}"
           "写作每秒字节数或行数，如 20MB/s（可用 KB、MB、GB、KiB、MiB、GiB）或 5000rows/s；none 表示不限制";
    /// A job that is complete has no data rate.
    JobIsComplete 16 Usage
        en "job {job} is complete: nothing of it is limited any more"
           "give --max-rate to the next `vecferry migrate`"
        zh "任务 {job} 已完成：不再有可限制的内容"
           "请在下一次 `vecferry migrate` 时使用 --max-rate";
    /// A policy that is not there, or is none.
    Policy 17 Usage
        en "`{policy}` is no compatibility policy: {detail}"
           "name zilliz-cn (the default) or zilliz-global, or a file of the form of crates/policy/editions/zilliz-cn.json"
        zh "`{policy}` 不是有效的兼容性策略：{detail}"
           "请使用 zilliz-cn（默认）或 zilliz-global，或格式与 crates/policy/editions/zilliz-cn.json 相同的文件";
    /// A cluster is named by its id, and nothing lets its address be found.
    ApiKeyMissing 18 Usage
        en "`{id}` is the id of a Zilliz Cloud cluster; its address is found with an API key, and none is given for the {side}"
           "give the key in VECFERRY_{variable}_API_KEY or with --{flag}-api-key, or write the cluster's public endpoint (https://…)"
        zh "`{id}` 是 Zilliz Cloud 集群 ID；需要 API 密钥才能查到其地址，但没有为{side}提供"
           "请设置环境变量 VECFERRY_{variable}_API_KEY 或使用 --{flag}-api-key，或直接写集群的公网 Endpoint（https://…）";
    /// A plan is stated that is not the cluster's.
    PlanContradicts 19 Usage
        en "--{flag}-plan says that the {side} is {stated}, but it is {found} ({by})"
           "leave out --{flag}-plan: it is only for clusters whose plan can't be found out"
        zh "--{flag}-plan 声明{side}为 {stated}，但实际为 {found}（依据：{by_zh}）"
           "请去掉 --{flag}-plan：它仅用于无法识别部署方式的集群";
    /// A plan file is no plan, or not a whole one.
    PlanFile 40 Usage
        en "`{file}` is not a complete plan: {detail}"
           "make the plan again with `vecferry plan`; copy the file as a whole"
        zh "`{file}` 不是完整的计划文件：{detail}"
           "请用 `vecferry plan` 重新生成计划，并完整地复制该文件";
    /// A plan file was changed after it was written.
    PlanEdited 41 Usage
        en "`{file}` was changed after it was written: its content does not have the hash that stands in it"
           "a plan is carried out only as it was reviewed; to change it, run `vecferry plan` with other options"
        zh "`{file}` 在生成之后被修改过：内容与其中记录的哈希不符"
           "计划只能按评审时的内容执行；如需修改，请用其他选项重新运行 `vecferry plan`";
    /// A plan file of a later format.
    PlanNewer 42 Usage
        en "`{file}` was written by a newer version of vecferry ({version}, format {format})"
           "carry it out with that version, or make the plan again with this one"
        zh "`{file}` 由更新版本的 vecferry 写入（{version}，格式 {format}）"
           "请用该版本执行，或用当前版本重新生成计划";

    /// The host name does not resolve.
    UnknownHost 101 Refused
        en "the {side} can't be reached: {detail}"
           "check the spelling of the host name and the DNS of this machine"
        zh "无法连接{side}：{detail}"
           "请检查主机名拼写和本机的 DNS";
    /// Nothing listens there.
    ConnectionRefused 102 Refused
        en "the {side} can't be reached: {detail}"
           "check that the server runs and that the port is its gRPC port (Milvus: 19530; Zilliz Cloud: see the cluster's public endpoint)"
        zh "无法连接{side}：{detail}"
           "请确认服务正在运行，且端口是其 gRPC 端口（Milvus 为 19530；Zilliz Cloud 见集群的公网 Endpoint）";
    /// No answer in time, or no route.
    NoAnswer 103 Refused
        en "the {side} does not answer: {detail}"
           "check the network path: firewall, security group, and the cluster's list of allowed addresses"
        zh "{side}没有应答：{detail}"
           "请检查网络路径：防火墙、安全组以及集群的 IP 白名单";
    /// http to a TLS port.
    ServerSpeaksTls 104 Refused
        en "the {side} expects an encrypted connection: {detail}"
           "write https:// in the address; for a certificate of your own, add --{flag}-ca FILE"
        zh "{side}要求加密连接：{detail}"
           "地址改用 https://；若使用自签证书，请加上 --{flag}-ca 文件";
    /// TLS to a plain port.
    ServerSpeaksPlain 105 Refused
        en "the {side} does not encrypt: {detail}"
           "write http:// in the address, or use the server's TLS port"
        zh "{side}未启用加密：{detail}"
           "地址改用 http://，或改用服务的 TLS 端口";
    /// The server's certificate is not trusted.
    UntrustedCertificate 106 Refused
        en "the {side}'s certificate is refused: {detail}"
           "name the authority that signed it with --{flag}-ca FILE, and use the host name that stands in the certificate"
        zh "{side}的证书不被信任：{detail}"
           "用 --{flag}-ca 指定签发它的 CA 证书文件，并使用证书中的主机名";
    /// The server wants another client certificate.
    ClientCertificate 107 Refused
        en "the {side} refuses this client's certificate: {detail}"
           "give a certificate that the server trusts with --{flag}-cert FILE and --{flag}-key FILE"
        zh "{side}拒绝了客户端证书：{detail}"
           "用 --{flag}-cert 和 --{flag}-key 提供服务端信任的证书";
    /// Something else than gRPC listens there.
    NotGrpc 108 Refused
        en "the {side} address is not a Milvus gRPC port: {detail}"
           "use the port of the Milvus proxy (19530), not of its metrics, its REST gateway or its web page"
        zh "{side}的地址不是 Milvus 的 gRPC 端口：{detail}"
           "请使用 Milvus Proxy 的端口（19530），而不是指标、REST 或网页的端口";
    /// A gRPC server that is not Milvus.
    NotMilvus 109 Refused
        en "the {side} speaks gRPC but is not a Milvus: {detail}"
           "use the port of the Milvus proxy (19530), not of etcd or another part of the cluster"
        zh "{side}是 gRPC 服务，但不是 Milvus：{detail}"
           "请使用 Milvus Proxy 的端口（19530），而不是 etcd 等其他组件的端口";
    /// Wrong or missing credentials.
    Unauthenticated 110 Refused
        en "the {side} refuses the credentials: {detail}"
           "give user:password or an API key in VECFERRY_SOURCE_TOKEN or VECFERRY_TARGET_TOKEN, or with --{flag}-token"
        zh "{side}拒绝了凭证：{detail}"
           "用环境变量 VECFERRY_SOURCE_TOKEN / VECFERRY_TARGET_TOKEN 或 --{flag}-token 提供 用户名:密码 或 API 密钥";
    /// The role is too small.
    PermissionDenied 111 Refused
        en "this user lacks the privilege `{privilege}` on `{object}` of the {side}: {detail}"
           "grant it to a role of this user, or use a user whose role may read all of the source, or create and write on the target"
        zh "该用户在{side}的 `{object}` 上没有权限 `{privilege}`：{detail}"
           "请将该权限授予该用户的角色，或使用对源有完整读权限、对目标有创建和写入权限的用户";
    /// The key is none of Zilliz Cloud, or of another site.
    ApiKey 112 Refused
        en "Zilliz Cloud does not accept the {side}'s API key: {detail}"
           "use a key of the organization that the cluster belongs to; personal keys end with the membership of their user"
        zh "Zilliz Cloud 不接受{side}的 API 密钥：{detail}"
           "请使用集群所属组织的 API 密钥；个人密钥随成员退出而失效";
    /// No such cluster, or no access to it.
    NoCloudCluster 113 Refused
        en "cluster `{id}` ({side}): Zilliz Cloud finds no such cluster for this API key: {detail}"
           "check the id, and that the key belongs to the cluster's organization and may see its project; one key is of one organization and one site (global or China)"
        zh "集群 `{id}`（{side}）：Zilliz Cloud 用该 API 密钥找不到此集群：{detail}"
           "请检查集群 ID，并确认密钥属于集群所在组织且有其项目的权限；一个密钥只属于一个组织和一个站点（国际站或中国站）";
    /// The control plane does not answer.
    ControlPlane 114 Refused
        en "the control plane of Zilliz Cloud does not answer: {detail}"
           "check the network path to it, or write the cluster's public endpoint (https://…) instead of its id"
        zh "Zilliz Cloud 控制面没有应答：{detail}"
           "请检查到控制面的网络，或用集群的公网 Endpoint（https://…）代替集群 ID";
    /// The control plane refuses for another reason.
    ControlPlaneRefused 115 Refused
        en "the control plane of Zilliz Cloud says about cluster `{id}`: {detail}"
           "see the list of error codes of Zilliz Cloud, or write the cluster's public endpoint (https://…) instead of its id"
        zh "Zilliz Cloud 控制面对集群 `{id}` 返回：{detail}"
           "请参考 Zilliz Cloud 错误码，或用集群的公网 Endpoint（https://…）代替集群 ID";
    /// A cluster without a public address.
    NoPublicEndpoint 116 Refused
        en "cluster `{id}` ({side}) has no public endpoint"
           "an offline migration needs one: switch it on in the cluster's network settings, or move to a cluster that has one"
        zh "集群 `{id}`（{side}）没有公网 Endpoint"
           "离线迁移要求可通过公网访问：请在集群的网络设置中开启，或改用有公网 Endpoint 的集群";

    /// No such database.
    UnknownDatabase 201 Refused
        en "the {side} has no database `{db}`"
           "check the name; the part before the dot in --collection is the database"
        zh "{side}没有数据库 `{db}`"
           "请检查名称；--collection 中点号之前的部分是数据库";
    /// No such collection.
    UnknownCollection 202 Refused
        en "the {side} has no collection `{collection}`"
           "check the name; a name without a dot is looked for in the database `default`"
        zh "{side}没有 Collection `{collection}`"
           "请检查名称；不带点号的名称在数据库 `default` 中查找";
    /// The target already has a collection or alias of that name.
    TargetExists 203 Refused
        en "the target already has `{collection}`"
           "nothing that exists is touched: drop or rename it on the target, leave it out with --exclude {collection}, or send the database elsewhere with --target-db"
        zh "目标上已存在 `{collection}`"
           "不会改动已有的数据：请在目标上删除或重命名它，用 --exclude {collection} 跳过，或用 --target-db 写入其他数据库";
    /// The target already has something of an alias' name.
    AliasTaken 215 Refused
        en "`{alias}`, an alias of `{collection}`, is already taken on the target"
           "drop or rename it on the target, or leave the collection out with --exclude {collection}"
        zh "`{collection}` 的别名 `{alias}` 在目标上已被占用"
           "请在目标上删除或重命名它，或用 --exclude {collection} 跳过该 Collection";
    /// Source and target are one server.
    SameCluster 204 Refused
        en "source and target are the same cluster: {detail}"
           "name another cluster as target, or copy into another database with --target-db SOURCE_DB=TARGET_DB"
        zh "源和目标是同一个集群：{detail}"
           "请指定另一个目标集群，或用 --target-db 源数据库=目标数据库 复制到其他数据库";
    /// Not loaded, and the user forbade to load.
    SourceNotLoaded 205 Refused
        en "`{collection}` is not completely loaded on the source ({detail}), and --source-load never forbids to load it"
           "load it on the source, or let Vecferry load it for the copy and release it again with --source-load temporary"
        zh "源上的 `{collection}` 未完全加载（{detail}），而 --source-load never 禁止加载"
           "请在源上加载它，或使用 --source-load temporary 让 Vecferry 临时加载、复制后释放";
    /// Rows, but a vector field without an index.
    NoIndex 206 Refused
        en "`{collection}` holds about {rows} rows, but its vector field `{field}` has no index, so the source can't load and read it"
           "create an index on `{field}` at the source (AUTOINDEX will do), or leave the collection out with --exclude {collection}"
        zh "`{collection}` 约有 {rows} 行数据，但其向量字段 `{field}` 没有索引，源无法加载和读取"
           "请在源上为 `{field}` 创建索引（AUTOINDEX 即可），或用 --exclude {collection} 跳过";
    /// More rows in the partitions than in the whole.
    PartitionsDisagree 236 Refused
        en "`{collection}` holds {rows} rows on the source, but its partitions add up to {sum}: the source still shows replaced rows in the partition that they were in"
           "delete those primary keys on the source and insert the rows once more into the partition where they belong, or leave the collection out with --exclude {collection}"
        zh "源上的 `{collection}` 有 {rows} 行，但各 Partition 之和为 {sum}：源在原 Partition 中仍返回已被替换的行"
           "请在源上删除这些主键，再把这些行重新插入它们所属的 Partition，或用 --exclude {collection} 跳过该 Collection";
    /// Rows, but no vector field, on a release that can't load that.
    NoVectorField 237 Refused
        en "`{collection}` holds about {rows} rows and has no vector field: the source ({version}) can't load and read it"
           "leave the collection out with --exclude {collection}"
        zh "`{collection}` 约有 {rows} 行数据且没有向量字段：源（{version}）无法加载和读取"
           "请用 --exclude {collection} 跳过该 Collection";
    /// The target can't hold something.
    TargetCannotHold 207 Refused
        en "the target ({target}) can't hold `{collection}`: {detail}"
           "use a target of a version that can, or leave the collection out with --exclude {collection}"
        zh "目标（{target}）无法容纳 `{collection}`：{detail}"
           "请使用支持它的目标版本，或用 --exclude {collection} 跳过";
    /// A name against the rules.
    ForbiddenName 208 Refused
        en "the target does not allow the name `{name}` ({kind}): {detail}"
           "names start with a letter or underscore and go on with letters, digits and underscores, 255 at most; {way_out}"
        zh "目标不允许名称 `{name}`（{kind}）：{detail}"
           "名称须以字母或下划线开头，只含字母、数字和下划线，最多 255 个字符；{way_out}";
    /// The target may not hold something; it is asked before the first row.
    TargetMayNotHold 238 Done
        en "the target ({target}) may not hold `{collection}`: {detail}"
           "nothing to do: before the first row `migrate` asks the target with an empty scratch collection; `vecferry plan --probe-write` asks it now"
        zh "目标（{target}）可能无法容纳 `{collection}`：{detail}"
           "无需处理：`migrate` 会在写入第一行之前用空的临时 Collection 询问目标；`vecferry plan --probe-write` 可立即询问";
    /// Loading would not fit.
    LoadDoesNotFit 209 Refused
        en "`{collection}` would need about {needed} of memory on the {side} to be loaded, and {free} is free"
           "release other collections on the {side}, or give it more memory (CU)"
        zh "在{side}上加载 `{collection}` 约需 {needed} 内存，而可用内存为 {free}"
           "请在{side}上释放其他 Collection，或增加内存（CU）";
    /// Auto-generated keys can't be kept.
    AutoId 210 Refused
        en "the keys of `{collection}` are made by the server (auto id): the target would give every row a new one"
           "choose: --auto-id keep copies the keys where the target can be told to take them (2.6 and later), --auto-id regenerate lets it make new ones and compares rows without them; or leave the collection out with --exclude {collection}"
        zh "`{collection}` 的主键由服务端生成（auto id）：目标会为每一行生成新的主键"
           "请选择：--auto-id keep 在目标支持时保留主键（2.6 及以上），--auto-id regenerate 由目标生成新主键、比对时忽略主键；或用 --exclude {collection} 跳过";
    /// Nothing selected.
    NothingSelected 211 Refused
        en "there is nothing to do: the source has no collection that is selected"
           "check --collection and --exclude; without --collection every collection of every database is taken"
        zh "没有可迁移的内容：源上没有被选中的 Collection"
           "请检查 --collection 和 --exclude；不写 --collection 表示所有数据库的所有 Collection";
    /// A server failed while everything was only read.
    CheckFailed 212 Refused
        en "the {side} failed while it was looked at: {detail}"
           "nothing was written; look at the server's log, then run the command again"
        zh "检查{side}时出错：{detail}"
           "尚未写入任何内容；请查看服务日志后重新运行";
    /// Duplicate keys, and the user wants that refused.
    DuplicatesRefused 213 Refused
        en "`{collection}` holds {surplus} rows more than it has keys (first keys: {keys}), and --duplicates fail refuses that"
           "remove the surplus rows at the source, or take one row of each key with --duplicates warn"
        zh "`{collection}` 的行数比主键数多 {surplus}（前几个主键：{keys}），而 --duplicates fail 要求拒绝"
           "请在源上清理重复行，或用 --duplicates warn 为每个主键保留一行";
    /// Version too old to be read safely.
    SourceTooOld 214 Refused
        en "the source ({version}) does not return rows in key order, so that none can be lost"
           "upgrade the source to Milvus 2.3 or later first"
        zh "源（{version}）不能按主键顺序返回数据，无法保证不丢行"
           "请先将源升级到 Milvus 2.3 或更高版本";
    /// Another process works on the job.
    JobIsLive 216 Refused
        en "another process works on job {job}"
           "wait for it, or stop it with `vecferry cancel {job}`"
        zh "另一个进程正在处理任务 {job}"
           "请等待它结束，或用 `vecferry cancel {job}` 停止它";
    /// The source is not what the job was planned for.
    SourceChanged 217 Refused
        en "`{collection}` on the source is not what job {job} was planned for: {detail}"
           "start a new job with `vecferry migrate`; `vecferry cancel {job} --clean` removes what this one made"
        zh "源端的 `{collection}` 与任务 {job} 的计划不一致：{detail}"
           "请用 `vecferry migrate` 新建任务；`vecferry cancel {job} --clean` 会删除该任务创建的内容";
    /// What the job made on the target is not there any more, or something else is.
    TargetReplaced 218 Refused
        en "`{collection}` on the target is not the one that job {job} made: {detail}"
           "it is not touched; move it away or start a new job with `vecferry migrate`"
        zh "目标端的 `{collection}` 不是任务 {job} 创建的那个：{detail}"
           "不会改动它；请移走它，或用 `vecferry migrate` 新建任务";
    /// The clusters are not any more what a plan was made for.
    PlanOutdated 250 Refused
        en "`{collection}` changed after the plan was made: {detail}"
           "plan again and review the new plan; if only rows were added, --row-tolerance allows more of them"
        zh "`{collection}` 在制定计划之后发生了变化：{detail}"
           "请重新生成并评审计划；如果只是新增了行，可用 --row-tolerance 放宽";
    /// The scratch collection of the write probe is still there.
    ProbeLeft 251 Refused
        en "the scratch collection `{collection}` could be made on the target but not removed: {detail}"
           "nothing of yours is in it: drop it; give credentials that may drop collections, since `cancel --clean` needs that too"
        zh "目标上创建了试探用的 Collection `{collection}`，但无法删除：{detail}"
           "其中没有您的数据，请删除它；并使用有权删除 Collection 的凭证，`cancel --clean` 也需要该权限";
    /// The plans of the two clusters are not migrated.
    PlanPair 219 Refused
        en "from {source} to {target} there is no migration: {reason} (policy {policy})"
           "choose a target whose plan the policy allows (Dedicated takes Serverless and Dedicated); --policy names another policy"
        zh "不支持从 {source} 迁移到 {target}：{reason_zh}（策略 {policy}）"
           "请选择策略允许的目标（Dedicated 可接收 Serverless 和 Dedicated）；可用 --policy 指定其他策略";
    /// A Free cluster is upgraded and not migrated.
    PlanUpgrade 220 Refused
        en "from {source} to {target} there is no migration: {reason} (policy {policy})"
           "use Manage Cluster (管理集群) in the console of Zilliz Cloud to upgrade the cluster in place"
        zh "不支持从 {source} 迁移到 {target}：{reason_zh}（策略 {policy}）"
           "请在 Zilliz Cloud 控制台的“管理集群”中原地升级该集群";
    /// A Free cluster is made a Dedicated one by the vendor.
    PlanUpgradeNew 221 Refused
        en "from {source} to {target} there is no migration: {reason} (policy {policy})"
           "use Manage Cluster (管理集群) in the console of Zilliz Cloud: it makes the new cluster and copies the data"
        zh "不支持从 {source} 迁移到 {target}：{reason_zh}（策略 {policy}）"
           "请在 Zilliz Cloud 控制台的“管理集群”中升级：它会创建新集群并复制数据";
    /// Nothing tells the plan of a cluster.
    PlanUnknown 222 Refused
        en "the plan of the {side} can't be found out from its address `{host}`"
           "say which it is with --{flag}-plan free|serverless|dedicated, or give its cluster id and an API key"
        zh "无法从地址 `{host}` 识别{side}的部署方式"
           "请用 --{flag}-plan free|serverless|dedicated 说明，或提供集群 ID 和 API 密钥";
    /// A cluster that does not run.
    ClusterNotRunning 223 Refused
        en "cluster `{id}` ({side}) is {status}, not RUNNING"
           "resume it in the console of Zilliz Cloud (Free clusters are suspended after seven days without use), or wait until its operation is over"
        zh "集群 `{id}`（{side}）的状态是 {status}，不是 RUNNING"
           "请在 Zilliz Cloud 控制台恢复该集群（Free 集群七天未使用会被挂起），或等待其操作结束";
    /// A cloud cluster by a private address.
    NotPublic 224 Refused
        en "the address of the {side}, {address}, leads to a {network} network"
           "an offline migration needs the cluster's public endpoint"
        zh "{side}的地址 {address} 指向 {network} 网络"
           "离线迁移要求使用集群的公网 Endpoint";
    /// More than a plan allows.
    OverLimit 225 Refused
        en "{number} {what}: a {plan} target takes {max} at most"
           "migrate in several parts with --collection, change the collection, or choose a larger target"
        zh "{what_zh}为 {number}：{plan} 目标最多 {max}"
           "请用 --collection 分批迁移、调整 Collection，或选择更大的目标";
    /// Too few compute units.
    TooFewUnits 226 Refused
        en "the rows need about {needed} CU ({kind}, with 20 % to spare), {used} are in use, and the target has {have}"
           "scale the target to {size} CU, or migrate fewer collections; `vecferry capacity` shows the sizes"
        zh "数据约需 {needed} CU（{kind}，含 20 % 余量），已用 {used}，目标只有 {have}"
           "请将目标扩容到 {size} CU，或减少迁移的 Collection；用 `vecferry capacity` 查看各项大小";
    /// A row that no message holds.
    RowTooLarge 227 Refused
        en "`{collection}`: its rows have {bytes} bytes, and no message may have more than 64 MiB"
           "leave the collection out with --exclude"
        zh "`{collection}`：单行 {bytes} 字节，而一条消息不得超过 64 MiB"
           "请用 --exclude 排除该 Collection";
    /// It can't be shown that the user sees everything that was asked for.
    NotEverythingSeen 229 Refused
        en "`{what}` was asked for, but it can't be shown that user `{user}` sees all of it on the {side}: {detail}"
           "use a user with the role admin, name every collection with --collection DB.NAME, or add --visible-only to take only what this user sees"
        zh "要求的是 `{what}`，但无法证明用户 `{user}` 能看到{side}上的全部内容：{detail_zh}"
           "请使用具有 admin 角色的用户，或用 --collection DB.NAME 逐一指定 Collection，或加上 --visible-only 只处理该用户能看到的内容";
    /// Another job of this state directory makes, or made, a collection of that name on this target.
    NameReserved 232 Refused
        en "`{collection}` on this target belongs to job {holder} ({state})"
           "let it end, go on with it (`vecferry resume {holder}`), or remove what it made (`vecferry cancel {holder} --clean`)"
        zh "目标上的 `{collection}` 属于任务 {holder}（{state}）"
           "请等它结束，用 `vecferry resume {holder}` 继续，或用 `vecferry cancel {holder} --clean` 删除它创建的内容";
    /// A word of the expression language is the name of the primary key.
    KeyNotNamable 234 Refused
        en "`{collection}`: the primary key is named `{field}`, a word of the expression language of the {side} ({version}): no query can select rows by it, and its {rows} rows are too many to be read at once, hold nulls or structs, or lie in several partitions of a milvus-lite 3"
           "insert its rows at the source into a collection whose primary key has another name, and migrate that one; leave this one out with --exclude {collection}"
        zh "`{collection}`：主键名为 `{field}`，它是{side}（{version}）表达式语言的保留字，任何查询都无法按主键选取行；其 {rows} 行过多、无法一次读取，或含有空值或结构体，或分布在 milvus-lite 3 的多个 Partition 中"
           "请在源上把这些行写入主键名不同的 Collection，再迁移那一个；用 --exclude {collection} 跳过本 Collection";
    /// A word of the expression language is the name of the primary key of a small collection.
    KeyPicked 442 Done
        en "`{collection}`: the primary key is named `{field}`, a word of the expression language of the {side} ({version}): its {rows} rows are read all at once, each time that some of them are needed"
           "nothing to do; rows of the target that the source does not have can't be removed by `verify --repair`"
        zh "`{collection}`：主键名为 `{field}`，它是{side}（{version}）表达式语言的保留字：每次需要其中若干行时，都会一次读取全部 {rows} 行"
           "无需处理；目标上多出的行无法用 `verify --repair` 删除";
    /// The target does not allow the name of a field.
    FieldNotCreatable 235 Refused
        en "`{collection}`: the target ({version}) does not allow a field named `{field}`"
           "insert its rows at the source into a collection with another field name and migrate that one, or leave this one out with --exclude {collection}"
        zh "`{collection}`：目标（{version}）不允许字段名 `{field}`"
           "请在源上把这些行写入字段名不同的 Collection，再迁移那一个；或用 --exclude {collection} 跳过本 Collection";
    /// What a job made was removed again.
    Cleaned 233 Canceled
        en "what job {job} made was removed from the target with `cancel --clean`: {removed}"
           "nothing of an earlier report counts any more; `vecferry resume {job}` copies everything again from scratch"
        zh "任务 {job} 创建的内容已用 `cancel --clean` 从目标上删除：{removed}"
           "此前的报告不再有效；用 `vecferry resume {job}` 可从头重新复制";

    /// The source failed in the middle.
    SourceFailed 301 Failed
        en "the source failed while `{collection}` was copied: {detail}"
           "remove the cause, then continue with `vecferry resume JOB` (`vecferry jobs` lists the IDs): what was written stays"
        zh "复制 `{collection}` 时源出错：{detail}"
           "请先排除原因，再用 `vecferry resume JOB` 继续（`vecferry jobs` 列出任务 ID）；已写入的内容保留";
    /// The target failed in the middle.
    TargetFailed 302 Failed
        en "the target failed while `{collection}` was written: {detail}"
           "remove the cause, then continue with `vecferry resume JOB` (`vecferry jobs` lists the IDs): what was written stays"
        zh "写入 `{collection}` 时目标出错：{detail}"
           "请先排除原因，再用 `vecferry resume JOB` 继续（`vecferry jobs` 列出任务 ID）；已写入的内容保留";
    /// The source does not load a collection to its end.
    SourceDoesNotServe 317 Failed
        en "the source does not serve every row of `{collection}`: {detail}"
           "find out at the source why it is not loaded to its end (memory of the query nodes, their log) and load it, or release it, then `vecferry resume {job}` loads it for the copy"
        zh "源未能提供 `{collection}` 的全部行：{detail}"
           "请在源上查明未加载完成的原因（查询节点的内存、日志）并完成加载；或将其释放，之后 `vecferry resume {job}` 会为复制加载它";
    /// The target refuses rows.
    RowsRefused 303 Failed
        en "the target refuses rows of `{collection}` with keys from {first} to {last}: {detail}"
           "mend these rows at the source, drop the incomplete collection on the target, and run the command again"
        zh "目标拒绝 `{collection}` 中主键从 {first} 到 {last} 的行：{detail}"
           "请在源上修正这些行，删除目标上未完成的 Collection 后重新运行";
    /// The created collection is not what was planned.
    SchemaDiffers 304 Failed
        en "the target made `{collection}` differently from the plan: {detail}"
           "no row was copied into it; drop it on the target, and report this with both server versions"
        zh "目标创建的 `{collection}` 与计划不一致：{detail}"
           "尚未复制任何行；请在目标上删除它，并附上两端版本反馈此问题";
    /// A server breaks the protocol.
    Protocol 305 Failed
        en "the source's answer for `{collection}` can't be trusted: {detail}"
           "nothing of that page was written; report this with the source's version"
        zh "源返回的 `{collection}` 数据不可信：{detail}"
           "该页没有写入；请附上源版本反馈此问题";
    /// The target denies writes for too long.
    WritesDenied 306 Failed
        en "the target refused all writes to `{collection}` for {minutes} minutes: {detail}"
           "its memory, disk or quota is exhausted: give it more (CU), drop the incomplete collections, and run the command again"
        zh "目标已连续 {minutes} 分钟拒绝写入 `{collection}`：{detail}"
           "其内存、磁盘或配额已耗尽：请扩容（CU），删除未完成的 Collection 后重新运行";
    /// The source could not be put back.
    SourceNotRestored 307 Failed
        en "`{collection}` could not be put back into its former load state on the source: {detail}"
           "it was {state} before: put it back by hand"
        zh "无法将源上的 `{collection}` 恢复到原来的加载状态：{detail}"
           "原来的状态：{state}，请手动恢复";
    /// The record of the job can't be written.
    LedgerFailed 309 Failed
        en "the record of the job can't be written: {detail}"
           "nothing is lost; make room for the state directory or mend it, then run `vecferry resume {job}`"
        zh "无法写入任务记录：{detail}"
           "没有丢失数据；请为状态目录腾出空间或修复它，然后运行 `vecferry resume {job}`";
    /// The repair failed in the middle.
    RepairFailed 310 Failed
        en "rows of `{collection}` could not be mended on the target: {detail}"
           "what was mended so far stays; remove the cause and run the command again: it finds what is left"
        zh "无法修复目标上 `{collection}` 的行：{detail}"
           "已修复的部分会保留；排除原因后重新运行该命令，它会找出其余的差异";
    /// A collection without keys to tell rows by was begun anew too often.
    CopiedAnew 311 Failed
        en "`{collection}` was copied {times} times, and each time something got lost on the way: {detail}"
           "the target makes the keys of its rows, so that a write in doubt can't be repeated; mend the connection to the target, then run `vecferry resume {job}`, which begins this collection anew"
        zh "`{collection}` 已复制 {times} 次，每次都在途中出现问题：{detail}"
           "目标自行生成主键，因此结果不明的写入无法重试；请修复到目标的连接，然后运行 `vecferry resume {job}`，该 Collection 会从头开始";
    /// Something has the name of a collection that the job is to make, and it is not known to be the job's.
    TargetTaken 313 Failed
        en "`{collection}` appeared on the target after the pre-check, and nothing shows that this job made it"
           "it is not touched; drop or rename it on the target, then run `vecferry resume {job}`"
        zh "`{collection}` 在预检之后出现在目标上，且无法证明由本任务创建"
           "不会改动它；请在目标上删除或重命名它，然后运行 `vecferry resume {job}`";
    /// The process that works on a job is stopped.
    JobDoesNotReact 316 Failed
        en "process {process}, which works on job {job}, has not reacted to the cancellation for {seconds} s"
           "it seems to be stopped; the cancellation is recorded, and the process ends when it goes on (`kill -CONT {process}`); or end it (`kill -KILL {process}`) and run `vecferry cancel {job}` again"
        zh "正在处理任务 {job} 的进程 {process} 在 {seconds} 秒内没有响应取消请求"
           "该进程似乎已被暂停；取消请求已记录，进程恢复运行后（`kill -CONT {process}`）就会结束；也可以终止它（`kill -KILL {process}`），然后再次运行 `vecferry cancel {job}`";

    /// A fact that a success must be concluded from was not established.
    EvidenceMissing 312 Failed
        en "`{collection}`: it is not shown that everything arrived: {detail}"
           "run `vecferry resume {job}`, which counts and verifies again"
        zh "`{collection}`：无法证明数据已全部到达：{detail_zh}"
           "请运行 `vecferry resume {job}`，重新计数并校验";
    /// Rows did not arrive.
    RowsMissing 401 Different
        en "`{collection}`: {rows} row(s) of the source are missing on the target ({where})"
           "the target is not complete; drop the collection there and run the migration again, or mend it with `vecferry verify --level full --repair`"
        zh "`{collection}`：目标缺少源的 {rows} 行（{where}）"
           "目标数据不完整；请在目标上删除该 Collection 后重新迁移，或用 `vecferry verify --level full --repair` 修复";
    /// Rows too many.
    RowsExtra 402 Different
        en "`{collection}`: the target has {rows} row(s) more than the source ({where})"
           "somebody else wrote into the target, or the source lost rows meanwhile; compare again when both are quiet; `vecferry verify --level full --repair` removes such rows"
        zh "`{collection}`：目标比源多 {rows} 行（{where}）"
           "可能有其他程序写入目标，或源在此期间删除了行；请在两端静止后重新比对；`vecferry verify --level full --repair` 会删除这些行";
    /// Rows with other values.
    RowsChanged 403 Different
        en "`{collection}`: {rows} of {compared} compared rows differ; first: key {key}, field `{field}`"
           "the target's values are not the source's; drop the collection there and run the migration again, or mend it with `vecferry verify --level full --repair`"
        zh "`{collection}`：比对的 {compared} 行中有 {rows} 行不一致；首个：主键 {key}，字段 `{field}`"
           "目标的值与源不同；请在目标上删除该 Collection 后重新迁移，或用 `vecferry verify --level full --repair` 修复";
    /// Counted, but returned by no query.
    RowsUnreadable 404 Different
        en "`{collection}`: the source counts {rows} row(s) that none of its queries returns ({where})"
           "such rows can't be copied over the API (on Milvus 2.3 a row with the key 9223372036854775807); give them other keys at the source"
        zh "`{collection}`：源统计到 {rows} 行无法被任何查询返回（{where}）"
           "这些行无法通过 API 复制（如 Milvus 2.3 中主键为 9223372036854775807 的行）；请在源上更换其主键";
    /// The source changed.
    Drift 405 Different
        en "`{collection}`: the source changed during the copy: {before} rows at its start, {after} at its end (looked at: {checks})"
           "stop the writers of the source; then `vecferry cancel JOB --clean` removes what the job created, and `vecferry resume JOB` copies it again from scratch"
        zh "`{collection}`：复制期间源发生了变化：开始时 {before} 行，结束时 {after} 行（检查方式：{checks}）"
           "请停止对源的写入；然后用 `vecferry cancel JOB --clean` 删除该任务创建的内容，再用 `vecferry resume JOB` 从头重新复制";
    /// Duplicate keys.
    Duplicates 406 Done
        en "`{collection}`: {surplus} rows of the source repeat a primary key; of each such key one row was copied, the one that the source answered (first keys: {keys})"
           "a server of 2.4 or later answers the newest of these rows, one of 2.3 any of them (often the oldest): where it matters which, remove the others at the source and copy again; --duplicates fail refuses such collections"
        zh "`{collection}`：源中有 {surplus} 行主键重复；每个重复主键复制了一行，即源所返回的那一行（前几个主键：{keys}）"
           "2.4 及以上版本的服务返回其中最新的一行，2.3 版本返回其中任意一行（常常是最旧的）；若有影响，请先在源上清理其余的行再重新复制；--duplicates fail 会拒绝这样的 Collection";
    /// Schemas differ at the end.
    SchemaChanged 407 Different
        en "`{collection}`: source and target differ in their definition: {detail}"
           "drop the collection on the target and run the migration again"
        zh "`{collection}`：源和目标的定义不一致：{detail}"
           "请在目标上删除该 Collection 后重新迁移";
    /// The proof could not be carried out.
    NotVerified 408 Failed
        en "`{collection}` was copied but could not be verified: {detail}"
           "the rows are on the target, unproven; run `vecferry verify` when the cause is gone"
        zh "`{collection}` 已复制但无法校验：{detail}"
           "数据已在目标上但未经证实；排除原因后运行 `vecferry verify`";
    /// Rows in another partition.
    RowsSwapped 411 Different
        en "`{collection}`: {rows} row(s) are swapped into another partition on the target ({where})"
           "they count as missing in one partition and as extra in the other; `vecferry verify --level full --repair` puts them back"
        zh "`{collection}`：目标上有 {rows} 行位于错误的分区（{where}）"
           "它们在一个分区中算作缺失，在另一个分区中算作多余；可用 `vecferry verify --level full --repair` 恢复";
    /// Rows of repeated keys that differ.
    RepeatedKeysDiffer 412 Done
        en "`{collection}`: {rows} row(s) differ whose key the source repeats ({where})"
           "which of its rows a server answers is not fixed, so these are not counted as changed; remove the repeated keys at the source to be sure"
        zh "`{collection}`：有 {rows} 行不一致，但其主键在源中重复（{where}）"
           "服务返回其中哪一行并不固定，因此不计为改变；如需确认，请先清理源中重复的主键";
    /// What a repair did.
    Repaired 413 Done
        en "`{collection}`: {written} row(s) were copied anew into the target, and {deleted} removed from it"
           "the report names the rows that differed before"
        zh "`{collection}`：已向目标重新复制 {written} 行，并从目标删除 {deleted} 行"
           "报告中列出了修复前不一致的行";
    /// Somebody writes to the source.
    WritesArriving 421 Done
        en "somebody writes to `{collection}` on the source: {before} rows, and {after} rows {seconds} s later, or updates in between"
           "stop the writers before the migration: what changes during the copy makes the job fail (or is missing, with --allow-drift)"
        zh "源上的 `{collection}` 仍有写入：先有 {before} 行，{seconds} 秒后为 {after} 行，或其间有更新"
           "请在迁移前停止写入：复制期间的变化会使任务失败（使用 --allow-drift 时则可能缺失）";
    /// A clock is wrong.
    ClockSkew 422 Done
        en "the clock of the {side} differs from this machine's by {seconds} s"
           "nothing in a job relies on clocks, but time-to-live and the times in logs and reports do: check both clocks"
        zh "{side}的时钟与本机相差 {seconds} 秒"
           "任务本身不依赖时钟，但 TTL 以及日志和报告中的时间依赖它：请检查两端的时钟";
    /// Not everything can be loaded at once.
    MayNotFit 423 Done
        en "all collections together need about {needed} of the target's memory when loaded, and {free} is free"
           "the migration loads one at a time for its proof; to search all of them, give the target more memory (CU) or load fewer"
        zh "全部 Collection 同时加载约需目标 {needed} 内存，而可用内存为 {free}"
           "迁移校验时每次只加载一个；若要检索全部，请为目标增加内存（CU），或减少加载的数量";
    /// Rows ended by time-to-live.
    RowsExpired 424 Done
        en "`{collection}`: {rows} row(s) of the source ended during the copy by its time-to-live of {ttl} s"
           "what was copied of them is on the target until its own time-to-live, which is set last, ends them"
        zh "`{collection}`：复制期间，源中有 {rows} 行因 TTL（{ttl} 秒）到期"
           "其中已复制的行会留在目标上，直到目标的 TTL（最后设置）使其到期";
    /// The keys of both sides were made by their servers.
    ComparedWithoutKeys 425 Done
        en "`{collection}`: both servers made its keys and they differ, so all rows were compared without them"
           "each row is there as often as on the source; if the keys were to be the same (copied with --auto-id keep), this is a difference: drop the collection on the target and run the migration again"
        zh "`{collection}`：两端的主键均由服务端生成且不相同，因此比对所有行时不计主键"
           "每一行出现的次数与源相同；如果主键本应一致（以 --auto-id keep 复制），则这属于差异：请在目标上删除该 Collection 后重新迁移";
    /// Rows that can't be mended.
    NotRepairable 414 Different
        en "`{collection}`: the rows that differ were not mended: {detail}"
           "nothing was written into it; drop the collection on the target and run the migration again"
        zh "`{collection}`：未修复不一致的行：{detail}"
           "没有向其写入任何内容；请在目标上删除该 Collection 后重新迁移";
    /// Rows that the target refuses.
    RowsQuarantined 415 Different
        en "the target refuses {rows} row(s) of `{collection}`, and all others were copied: {first}"
           "{file} names each one with its reason; mend them at the source (or what the target minds), then run `vecferry resume {job}`, which tries them again"
        zh "目标拒绝 `{collection}` 的 {rows} 行，其余各行均已复制：{first}"
           "{file} 列出每一行及其原因；请在源上修正这些行（或解决目标的限制），然后运行 `vecferry resume {job}` 重试";
    /// Rows differ, compared without their keys.
    RowsDiffer 416 Different
        en "`{collection}`: the rows of source and target differ, compared without the keys that the target made: {detail}"
           "drop the collection on the target and run the migration again"
        zh "`{collection}`：在不计目标生成的主键的情况下，源和目标的行不一致：{detail}"
           "请在目标上删除该 Collection 后重新迁移";

    /// The source has other partitions, aliases or properties than the plan.
    SourceObjectsChanged 417 Different
        en "`{collection}`: the source changed after the migration was planned: {detail}"
           "stop whatever changes the source, remove what this job created with `vecferry cancel --clean`, and migrate again"
        zh "`{collection}`：源集群在制定计划之后发生了变化：{detail}"
           "请停止对源集群的改动，用 `vecferry cancel --clean` 删除该任务创建的内容，然后重新迁移";
    /// An index that was to be kept is another one.
    IndexReplaced 426 Done
        en "`{collection}`: the target refuses the index {index} and got {instead} instead: {detail}"
           "searches work with it; to have the other one, look at the target's words, drop the index there and make it by hand"
        zh "`{collection}`：目标拒绝创建索引 {index}，已改为 {instead}：{detail}"
           "不影响搜索；如仍需要原索引，请根据目标返回的原因处理，并在目标上删除后手动创建";
    /// Rows that some servers refuse for their size.
    RowsLarge 427 Done
        en "`{collection}`: its rows have {bytes} bytes on average; servers refuse rows above about 5 MB"
           "rows that the target refuses are named in a file, and the job then fails; try one collection first"
        zh "`{collection}`：平均每行 {bytes} 字节；超过约 5 MB 的行会被服务拒绝"
           "被目标拒绝的行会写入文件，任务随之失败；建议先单独试迁移该 Collection";
    /// The disks of the target's nodes may be too small.
    DiskMayNotFit 428 Done
        en "the rows may take {needed} of disk on the target (log, segments and indexes), and {free} are free on one of its nodes"
           "this only counts if the target stores its data on that disk; otherwise look at its object store"
        zh "数据在目标上可能占用 {needed} 磁盘（日志、数据段与索引），而其中一个节点仅剩 {free}"
           "仅当目标把数据存放在该磁盘上时才需要关注；否则请查看其对象存储";
    /// A name on the target can't be taken in one step.
    CreationUnclaimed 430 Done
        en "a collection that somebody else makes in the target's database `{db}` at the same moment could be taken for this job's: {detail}"
           "make sure that nobody else creates collections of these names there while the job starts"
        zh "若他人恰好同时在目标的数据库 `{db}` 中创建同名 Collection，可能被当作本任务创建的：{detail}"
           "请确保任务开始时没有其他人在那里创建同名的 Collection";
    /// Only what the user sees was asked for.
    VisibleOnly 435 Done
        en "of `{what}` on the {side}, only what user `{user}` sees is included, because of --visible-only: {detail}"
           "databases and collections hidden from this user are left out; a user with the role admin sees all of them"
        zh "因为使用了 --visible-only，{side}的 `{what}` 只包含用户 `{user}` 能看到的内容：{detail_zh}"
           "该用户看不到的 Database 和 Collection 不在其中；具有 admin 角色的用户可以看到全部内容";

    /// A source on which updates can't be seen.
    UpdatesUnseen 433 Done
        en "updates of existing rows can't be detected on this source ({number} collection(s)): `{call}` is not available to this user there"
           "stop all writers before the migration; a comparison of every row (`--verify full`, or `vecferry verify --level full` at the end) is the proof that no row was updated"
        zh "无法在该源上检测对已有行的更新（{number} 个 Collection）：该用户无法在源上调用 `{call}`"
           "请在迁移前停止所有写入；只有逐行比对（`--verify full`，或结束后的 `vecferry verify --level full`）才能证明没有行被更新";
    /// Updates that the segments may hide.
    UpdatesHidden 434 Done
        en "updates of existing rows during the copy can't be ruled out for {number} collection(s) ({collections}): the source compacted or sorted their segments meanwhile, or could not be flushed in time"
           "if anything may have written to the source meanwhile, run `vecferry verify --level full` once nothing writes; that is the proof that no row was updated"
        zh "无法排除 {number} 个 Collection（{collections}）在复制期间有行被更新：源在此期间对其数据段做了压缩或排序，或未能及时完成 flush"
           "如果其间可能有写入，请在停止写入后运行 `vecferry verify --level full`，这才能证明没有行被更新";
    /// A source that is released after its copy is not counted again.
    DeletesUnseen 438 Done
        en "rows that were deleted from {collections} on the source after their own copy and before the end of the job cannot be seen: they were loaded for the copy only, and released after it"
           "nothing to do if nothing writes to the source; otherwise load them before the migration, or run `vecferry verify` once nothing writes"
        zh "{collections} 仅为复制而加载，随后已释放，因此无法发现其复制完成之后、任务结束之前在源集群上删除的行"
           "如果源集群没有写入则无需处理；否则请在迁移前加载这些 Collection，或在停止写入后运行 `vecferry verify`";
    /// Somebody is loading a collection of the source.
    SourceLoading 439 Done
        en "the source is still loading `{collection}`, or was just started: its rows are known by statistics only, and its copy waits for it"
           "nothing to do if the load ends; if nothing arrives in memory for {minutes} minutes, this collection fails and all others go on"
        zh "源仍在加载 `{collection}` 或刚刚启动：其行数仅来自统计信息，复制会等待加载完成"
           "加载能完成则无需处理；若 {minutes} 分钟内没有数据进入内存，则仅该 Collection 失败，其他照常进行";
    /// The source answers JSON texts without their quotes.
    JsonTextsNotTold 441 Done
        en "the source ({version}) answers a JSON value that is a text without its quotes: in the fields {fields} of `{collection}`, a text such as \"123\" arrives as the number 123"
           "nothing to do if these fields hold objects and lists only, as Milvus Lite 3 wants them; otherwise put such texts into an object at the source first"
        zh "源（{version}）返回 JSON 文本值时不带引号：`{collection}` 的字段 {fields} 中，\"123\" 这样的文本会变成数字 123"
           "如果这些字段只包含对象和列表（Milvus Lite 3 的要求），则无需处理；否则请先在源上把这样的文本放入对象中";
    /// The source does not tell the newest row of a duplicate primary key.
    NewestNotKnown 437 Done
        en "the source ({version}) does not tell which row of a duplicate primary key is the newest: of each such key any one row arrives, often the oldest"
           "nothing to do if no primary key was inserted twice (an upsert leaves one row); otherwise remove the older rows at the source first, or refuse such collections with --duplicates fail"
        zh "源（{version}）无法区分重复主键中哪一行最新：每个重复主键会复制其中任意一行，常常是最旧的一行"
           "如果没有重复插入过同一主键（upsert 只保留一行），则无需处理；否则请先在源上删除旧的行，或用 --duplicates fail 拒绝这样的 Collection";

    /// Canceled by the user.
    Canceled 501 Canceled
        en "canceled; complete on the target (rows): {complete}; incomplete: {incomplete}"
           "nothing else was touched; `vecferry resume {job}` goes on, `vecferry cancel {job} --clean` removes what the job made"
        zh "已取消；目标上已完成（行数）：{complete}；未完成：{incomplete}"
           "其他内容未被改动；用 `vecferry resume {job}` 继续，或用 `vecferry cancel {job} --clean` 删除该任务创建的内容";
    /// The user stopped a comparison.
    VerifyCanceled 502 Canceled
        en "the comparison was canceled: nothing is proved"
           "nothing was changed; run the command again"
        zh "比对已取消：未证明任何结论"
           "没有做任何改动；请重新运行该命令";
    /// A dry run was ended.
    ReadCanceled 503 Canceled
        en "the dry run was canceled; nothing was written"
           "run it again, with --collection for a part"
        zh "试运行已取消；没有写入任何内容"
           "请重新运行，或用 --collection 只读一部分";

    /// The servers of the demo can't be started.
    Sandbox 601 Refused
        en "the local servers can't be started: {detail}"
           "the demo needs Linux on x86-64, Python 3 with pip, access to the Python package index, and 2 GB of free memory and disk"
        zh "无法启动本地服务：{detail}"
           "演示需要 x86-64 Linux、带 pip 的 Python 3、可访问的 Python 软件源，以及 2 GB 可用内存和磁盘";
    /// A load did not end.
    LoadFailed 602 Failed
        en "`{collection}` could not be loaded on the target: {detail}"
           "look at the target's log and its free memory, then run `vecferry load` again"
        zh "无法在目标上加载 `{collection}`：{detail}"
           "请查看目标的日志和可用内存，然后重新运行 `vecferry load`";

    /// A server without roles and users.
    RbacUnsupported 701 Refused
        en "the {side} has no roles and users, so `--with rbac` can't copy them: {detail}"
           "leave out --with rbac; Milvus Lite has no access control"
        zh "{side}没有角色和用户，`--with rbac` 无法复制：{detail}"
           "请去掉 --with rbac；Milvus Lite 没有访问控制";
    /// Roles and users may not be read or written.
    RbacNotAllowed 702 Refused
        en "the {side} does not let this user read or make roles, grants and users: {detail}"
           "use a user with the role `admin` (or `root`) on both sides, or leave out --with rbac"
        zh "{side}不允许该用户读取或创建角色、授权和用户：{detail}"
           "请在两端使用具有 `admin` 角色的用户（或 `root`），或去掉 --with rbac";
    /// The file for the passwords exists.
    UsersFileExists 703 Refused
        en "the file for the passwords of the new users already exists: `{file}`"
           "it is never overwritten: name another one with --users-file, or move it away"
        zh "用于保存新用户密码的文件已存在：`{file}`"
           "该文件不会被覆盖：请用 --users-file 指定其他文件，或先将其移走";
    /// The file for the passwords can't be written or read.
    UsersFile 704 Failed
        en "the file for the passwords of the new users, `{file}`, can't be used: {detail}"
           "no user was made without its password being in the file; make the file's directory writable, then run `vecferry resume`"
        zh "无法使用保存新用户密码的文件 `{file}`：{detail}"
           "密码未写入该文件的用户不会被创建；请确保其目录可写，然后运行 `vecferry resume`";
    /// A role, a grant, a privilege group or a user did not arrive.
    RbacFailed 705 Failed
        en "`{object}` could not be made on the target: {detail}"
           "the rows are copied all the same; mend the reason, then run `vecferry resume`, which makes only what is missing"
        zh "无法在目标上创建 `{object}`：{detail}"
           "数据行仍会照常复制；排除原因后运行 `vecferry resume`，只会补建缺失的部分";
    /// Some of the source's roles, users and grants are not copied.
    RbacLeft 706 Done
        en "{number} of the source's roles, users and grants are not copied: {names}"
           "what exists on the target is left as it is; compare these by hand, the report says why for each"
        zh "源上的角色、用户和授权中有 {number} 项未复制：{names}"
           "目标上已有的内容保持原样；请手工核对这些项，报告中列出了每一项的原因";
    /// A plan of an earlier version makes roles and users by a call that harms servers.
    RbacPlanRestores 707 Refused
        en "the plan restores all roles and users in one call, which crashes Milvus 2.5 and 2.6; this version does not send that call"
           "make a new plan with --with rbac: it creates roles and users one by one, and users get new passwords"
        zh "该计划用一次调用恢复所有角色和用户，这会使 Milvus 2.5 和 2.6 崩溃；当前版本不会发送该调用"
           "请使用 --with rbac 重新生成计划：角色和用户将逐个创建，用户获得新密码";
    /// A job of an earlier version was to make roles and users by a call that harms servers.
    RbacRestoreEnded 708 Failed
        en "no roles and users were created: an earlier version planned this job to restore them in one call, which crashes Milvus 2.5 and 2.6"
           "the rows are copied all the same; create roles and users by hand, or start over with a new job and --with rbac"
        zh "未创建角色和用户：早期版本为该任务计划用一次调用恢复它们，这会使 Milvus 2.5 和 2.6 崩溃"
           "数据行仍会照常复制；请手工创建角色和用户，或使用 --with rbac 新建任务重新开始";
}
