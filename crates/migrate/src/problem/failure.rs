//! Failures in both languages. What a server, the system or a library said stays as it is; what Vecferry says of it itself is
//! said in Chinese as well.

use std::error::Error as StdError;
use std::fmt;

use vecferry_milvus::wire::WireError;
use vecferry_milvus::{Error, ErrorKind, Finding, Part};
use vecferry_policy::NameFault;
use vecferry_policy::compatibility::EditionError;
use vecferry_policy::name::NAME_BYTES_MAX;

use super::{Lang, Problem, Told};

/// A failure that can be told in both languages.
pub trait Worded {
    /// What it says.
    fn words(&self) -> Told;
}

/// A failure in both languages.
pub fn words_of(error: &(impl Worded + ?Sized)) -> Told {
    error.words()
}

/// Of errors that know nothing of languages: what is known of them here, or else what they say.
impl Worded for dyn StdError + 'static {
    fn words(&self) -> Told {
        let own = own_words(self);
        own.unwrap_or_else(|| match self.source() {
            // A step on the way that adds nothing.
            Some(source) if source.to_string() == self.to_string() => source.words(),
            Some(_) | None => self.to_string().into(),
        })
    }
}

macro_rules! worded {
    ($($error:ty),* $(,)?) => {
        $(impl Worded for $error {
            fn words(&self) -> Told {
                (self as &(dyn StdError + 'static)).words()
            }
        })*
    };
}

worded!(
    Error,
    EditionError,
    Finding,
    Problem,
    WireError,
    serde_json::Error,
    std::io::Error,
    vecferry_store::Error,
    vecferry_zilliz::Error,
);

/// What a failure of a server says, without the name of the call.
pub(crate) fn message_of(error: &Error) -> Told {
    error.own_words().map_or_else(|| error.message().into(), words_of)
}

/// A failure of a call that is known by what Vecferry itself found.
pub(crate) fn found(kind: ErrorKind, call: &'static str, told: Told) -> Error {
    Error::own(kind, call, Sentence(told))
}

/// Something that Vecferry says itself, as an error.
#[derive(Debug)]
struct Sentence(Told);

impl fmt::Display for Sentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Sentence {}

fn own_words(error: &(dyn StdError + 'static)) -> Option<Told> {
    if let Some(error) = error.downcast_ref::<Error>() {
        Some(call(error))
    } else if let Some(Sentence(told)) = error.downcast_ref() {
        Some(told.clone())
    } else if let Some(finding) = error.downcast_ref() {
        Some(finding_told(finding))
    } else if let Some(error) = error.downcast_ref() {
        Some(wire(error))
    } else if let Some(problem) = error.downcast_ref() {
        Some(problem_told(problem))
    } else if let Some(error) = error.downcast_ref() {
        Some(store(error))
    } else if let Some(error) = error.downcast_ref() {
        Some(control_plane(error))
    } else if let Some(error) = error.downcast_ref::<EditionError>() {
        edition(error)
    } else {
        (error.source().is_none() && error.to_string() == "canceled").then(canceled)
    }
}

/// A failure as it is in English, and in Chinese.
pub(crate) fn zh(error: &dyn fmt::Display, zh: impl Into<String>) -> Told {
    Told::both(error.to_string(), zh)
}

pub(crate) fn canceled() -> Told {
    Told::both("canceled", "已取消")
}

fn call(error: &Error) -> Told {
    of_server(error.call(), message_of(error), error.server_code())
}

/// What a server said of a call.
pub(crate) fn of_server(call: &str, message: Told, code: i32) -> Told {
    let (of_server, of_server_zh) = match code {
        0 => Default::default(),
        _ => (format!(" (server code {code})"), format!("（服务端错误码 {code}）")),
    };
    message.within(
        |message| format!("{call}: {message}{of_server}"),
        |message| format!("{call}：{message}{of_server_zh}"),
    )
}

fn problem_told(problem: &Problem) -> Told {
    let text = format!("{}：{}（{}）", problem.code, problem.what(Lang::Zh), problem.hint(Lang::Zh));
    zh(problem, text)
}

/// What a store says by kind; what is not named here is the system's or the database server's own text.
fn store(error: &vecferry_store::Error) -> Told {
    use vecferry_store::ErrorKind;
    let message = error.to_string();
    let named = message.split('`').nth(1).unwrap_or_default();
    let zh = match error.kind() {
        _ if error.chinese().is_some() => error.chinese().unwrap_or_default().to_owned(),
        ErrorKind::UnknownJob => format!("没有任务 `{named}`"),
        ErrorKind::AmbiguousJob => format!("多个任务 ID 以 `{named}` 开头"),
        ErrorKind::JobIsLive => "另一个进程正在执行该任务".to_owned(),
        ErrorKind::Newer => "其格式版本高于本程序支持的版本".to_owned(),
        ErrorKind::Superseded => "该任务已开始新的一次执行，因此本次执行已停止".to_owned(),
        ErrorKind::NotOpen => "该任务没有在执行".to_owned(),
        ErrorKind::IsClaimed | ErrorKind::Fenced => "该主键区间已由其他工作进程接管".to_owned(),
        ErrorKind::Moved => "该主键区间自读取后已发生变化".to_owned(),
        ErrorKind::Foreign => "其所有者不是运行本进程的用户".to_owned(),
        ErrorKind::Unmet => "相关记录期间已被更改或删除".to_owned(),
        ErrorKind::Taken => "已有同名的记录".to_owned(),
        ErrorKind::Unusable
        | ErrorKind::Exposed
        | ErrorKind::Network
        | ErrorKind::Unreachable
        | ErrorKind::Denied
        | ErrorKind::ReadOnly
        | ErrorKind::Full
        | ErrorKind::Corrupt
        | ErrorKind::Locked => message.clone(),
    };
    Told::both(message, zh)
}

/// What the control plane says, and its number.
fn control_plane(error: &vecferry_zilliz::Error) -> Told {
    let (text, code) = (error.to_string(), error.code());
    match text.strip_suffix(&format!(" (code {code})")) {
        Some(said) => zh(error, format!("{said}（错误码 {code}）")),
        None => match text.as_str() {
            "the answer is no JSON document" => zh(error, "响应不是 JSON 文档"),
            "the answer has no data" => zh(error, "响应中没有数据"),
            _ => text.into(),
        },
    }
}

fn edition(error: &EditionError) -> Option<Told> {
    match error {
        EditionError::Form(_) => None,
        EditionError::NoReason { source_plan, target } => {
            Some(zh(error, format!("{source_plan} 到 {target} 没有填写原因（`en` 和 `zh`）")))
        }
        EditionError::Missing { source_plan, target } => {
            Some(zh(error, format!("缺少 {source_plan} 到 {target}")))
        }
        EditionError::Twice { source_plan, target } => {
            Some(zh(error, format!("{source_plan} 到 {target} 出现了两次")))
        }
    }
}

/// Why a name is not allowed, in both languages.
pub(crate) fn name_fault(fault: NameFault) -> Told {
    let text = match fault {
        NameFault::Empty => "名称为空".to_owned(),
        NameFault::TooLong => format!("名称超过 {NAME_BYTES_MAX} 字节"),
        NameFault::Start(character) => format!("名称以字符 `{character}` 开头"),
        NameFault::Character(character) => format!("名称含有字符 `{character}`"),
    };
    zh(&fault, text)
}

fn wire(error: &WireError) -> Told {
    let text = match error {
        WireError::Encoding(what) => format!("编码错误：{}", encoding_zh(what)),
        WireError::Columns { found, expected } => {
            format!("响应包含的列为 {found:?}，而请求的列为 {expected:?}")
        }
        WireError::RowCount { column, values, rows } => {
            format!("列 `{column}` 有 {values} 个值，而行数为 {rows}")
        }
        WireError::KeyOrder { previous, next } => {
            format!("该页的主键没有严格递增：{next} 排在 {previous} 之后")
        }
        WireError::NullBecomesDefault { column } => {
            format!("字段 `{column}` 含有空值，而服务会将其替换为该字段的默认值")
        }
    };
    zh(error, text)
}

/// What is wrong with an encoding. What is not known here is shown as code.
fn encoding_zh(what: &str) -> String {
    let zh = match what {
        "the status can't be decoded" => "状态无法解码",
        "two different null masks of one column" => "同一列有两个不同的空值掩码",
        "null mask" => "空值掩码的编码不正确",
        "a vector without a dimension" => "向量没有维度",
        "values of another kind than the column" => "值的类型与列不符",
        "the length is no multiple of the value's width" => "长度不是单个值宽度的整数倍",
        "the response has no status" => "响应中没有状态",
        "a column's name is not UTF-8" => "列名不是 UTF-8",
        "the key column holds neither integers nor texts" => "主键列既不是整数也不是文本",
        "fixed-width keys" => "主键采用了定长编码",
        "a key is not UTF-8" => "主键不是 UTF-8",
        "a number where bytes belong" => "应为字节处出现了数字",
        "bytes where a number belongs" => "应为数字处出现了字节",
        "field number out of range" => "字段编号超出范围",
        "field number 0" => "字段编号为 0",
        "length out of range" => "长度超出范围",
        "unknown wire type" => "未知的编码类型",
        "cut short" => "数据不完整",
        "number out of range" => "数字超出范围",
        "the collection schema can't be decoded" => "Collection 的 Schema 无法解码",
        "a parameter can't be decoded" => "参数无法解码",
        other => return format!("`{other}`"),
    };
    zh.to_owned()
}

fn finding_told(finding: &Finding) -> Told {
    let text = match finding {
        Finding::OtherScheme { address } => format!("`{address}` 必须以 http:// 或 https:// 开头"),
        Finding::NoScheme { address } => {
            format!("`{address}` 没有写明协议；请在前面加上 http:// 或 https://")
        }
        Finding::CredentialsInAddress { address } => format!("`{address}` 含有凭证；请改用令牌参数提供凭证"),
        Finding::NotAnAddress { address } => format!("`{address}` 的格式不是 http[s]://host:port"),
        Finding::NoHost { address } => format!("`{address}` 没有主机名"),
        Finding::PortZero { address } => format!("`{address}` 的端口为 0"),
        Finding::NotAPort { address } => format!("`{address}` 的端口不是 65535 以内的数字"),
        Finding::CertificatesWithoutTls { endpoint } => format!("提供了证书，但 `{endpoint}` 不是 https"),
        Finding::HalfACertificate => "客户端证书和私钥必须同时提供，目前缺少其中之一".to_owned(),
        Finding::NotPem => "证书或私钥不是有效的 PEM".to_owned(),
        Finding::TokenCharacters => "令牌含有无效字符".to_owned(),
        Finding::ClientName => "无法发送客户端名称".to_owned(),
        Finding::UnknownHost { host } => format!("主机名 `{host}` 无法解析"),
        Finding::NothingListens { endpoint } => format!("{endpoint} 上没有服务在监听"),
        Finding::Unreachable { endpoint, error } => format!("无法连接 {endpoint}：{error}"),
        Finding::NoAnswer { endpoint } => format!("{endpoint} 没有响应"),
        Finding::SpeaksTls { endpoint } => format!("{endpoint} 使用 TLS，但地址以 http:// 开头"),
        Finding::SpeaksPlain { endpoint } => format!("{endpoint} 未使用 TLS，但地址以 https:// 开头"),
        Finding::WebServer { endpoint } => format!("{endpoint} 是 Web 服务（HTTP/1），不是 gRPC"),
        Finding::NotGrpc { endpoint } => format!("{endpoint} 不是 gRPC 服务"),
        Finding::HttpStatus { status } => format!("该端口返回 HTTP 状态 `{status}`，应为 Web 服务"),
        Finding::Broke { endpoint, error } => format!("到 {endpoint} 的连接中断：{error}"),
        Finding::UntrustedCertificate { endpoint, reason } => format!("{endpoint} 的证书不被信任：{reason}"),
        Finding::HandshakeClosed { endpoint, alert } => format!("{endpoint} 中止了 TLS 握手：{alert}"),
        Finding::ClientCertificateRequired { endpoint } => format!("{endpoint} 要求客户端证书"),
        Finding::ClientCertificateRejected { endpoint, alert } => {
            format!("{endpoint} 拒绝了客户端证书：{alert}")
        }
        Finding::NoResponse { seconds } => format!("{seconds} 秒内没有响应"),
        Finding::Status { status } => format!("gRPC 状态 {status}"),
        Finding::NoReason => "服务没有给出原因".to_owned(),
        Finding::DatabaseName { db } => format!("无法将 `{db}` 作为 Database 名称发送"),
        Finding::CutOff { received, announced } => {
            format!("连接在收到 {received} 字节后中断，应有 {announced} 字节")
        }
        Finding::EndedBefore => "连接在收到响应前中断".to_owned(),
        Finding::TooLong { bytes, max } => format!("响应长 {bytes} 字节，超过上限 {max} 字节"),
        Finding::Compressed => "响应经过压缩，但请求并未要求压缩".to_owned(),
        Finding::LongerThanAnnounced => "响应比其声明的更长".to_owned(),
        Finding::NotDecoded => "响应无法解码".to_owned(),
        Finding::Lacks(part) => format!("响应中没有{}", part_zh(*part)),
        Finding::LacksOf { part, collection } => format!("响应中没有 `{collection}` 的{}", part_zh(*part)),
        Finding::GrantLacks(part) => format!("有一项授权没有{}", part_zh(*part)),
        Finding::NotAcknowledged { acknowledged, sent } => {
            format!("发送了 {sent} 行，确认写入的为 {acknowledged} 行")
        }
        Finding::NotSelectable { field, rows } => {
            format!("`{field}` 不能用于表达式，而 {rows} 行过多，无法一次读取")
        }
        Finding::FewerRows { returned, counted } => {
            format!("计数为 {counted} 行，但返回了 {returned} 行：可能有重复主键，或行未全部加载")
        }
    };
    zh(finding, text)
}

fn part_zh(part: Part) -> &'static str {
    match part {
        Part::Status => "状态",
        Part::Schema => " Schema",
        Part::RowCount => "行数",
        Part::Partitions => " Partition",
        Part::Count => " count(*) 的数值",
        Part::Roles | Part::Role => "角色",
        Part::Users => "用户",
        Part::Object => "对象",
        Part::Privilege => "权限",
    }
}

#[cfg(test)]
mod tests {
    use vecferry_milvus::Key;
    use vecferry_policy::Deployment;
    use vecferry_store::sqlite;
    use vecferry_testkit::english_in;

    use super::*;
    use crate::copy::{CopyError, SettleError, SliceError, SliceFailure};
    use crate::plan::stored::DocumentError;
    use crate::problem::Code;
    use crate::read::NoKey;

    /// Asserts that a text is Chinese but for what others said, and that the English one is English.
    #[track_caller]
    fn assert_chinese(told: &Told) {
        let (en, zh) = (told.text(Lang::En), told.text(Lang::Zh));
        assert!(zh.chars().any(|sign| ('\u{4e00}'..='\u{9fff}').contains(&sign)), "{zh}");
        assert_eq!(english_in(zh, &["Connection reset by peer"]), Vec::<String>::new(), "{zh}");
        assert!(en.is_ascii(), "{en}");
    }

    fn findings() -> Vec<Finding> {
        let address = || "h:1".to_owned();
        let endpoint = || "http://h:1".to_owned();
        let error = || "Connection reset by peer".to_owned();
        let alert = || "BadCertificate".to_owned();
        let parts = [
            Part::Status,
            Part::Schema,
            Part::RowCount,
            Part::Partitions,
            Part::Count,
            Part::Roles,
            Part::Users,
            Part::Role,
            Part::Object,
            Part::Privilege,
        ];
        let mut findings = vec![
            Finding::OtherScheme { address: address() },
            Finding::NoScheme { address: address() },
            Finding::CredentialsInAddress { address: address() },
            Finding::NotAnAddress { address: address() },
            Finding::NoHost { address: address() },
            Finding::PortZero { address: address() },
            Finding::NotAPort { address: address() },
            Finding::CertificatesWithoutTls { endpoint: endpoint() },
            Finding::HalfACertificate,
            Finding::NotPem,
            Finding::TokenCharacters,
            Finding::ClientName,
            Finding::UnknownHost { host: address() },
            Finding::NothingListens { endpoint: endpoint() },
            Finding::Unreachable { endpoint: endpoint(), error: error() },
            Finding::NoAnswer { endpoint: endpoint() },
            Finding::SpeaksTls { endpoint: endpoint() },
            Finding::SpeaksPlain { endpoint: endpoint() },
            Finding::WebServer { endpoint: endpoint() },
            Finding::NotGrpc { endpoint: endpoint() },
            Finding::HttpStatus { status: "404 Not Found".to_owned() },
            Finding::Broke { endpoint: endpoint(), error: error() },
            Finding::UntrustedCertificate { endpoint: endpoint(), reason: "UnknownIssuer".to_owned() },
            Finding::HandshakeClosed { endpoint: endpoint(), alert: alert() },
            Finding::ClientCertificateRequired { endpoint: endpoint() },
            Finding::ClientCertificateRejected { endpoint: endpoint(), alert: alert() },
            Finding::NoResponse { seconds: 30 },
            Finding::Status { status: "Unavailable".to_owned() },
            Finding::NoReason,
            Finding::DatabaseName { db: "a".to_owned() },
            Finding::CutOff { received: 1, announced: 2 },
            Finding::EndedBefore,
            Finding::TooLong { bytes: 2, max: 1 },
            Finding::Compressed,
            Finding::LongerThanAnnounced,
            Finding::NotDecoded,
            Finding::NotAcknowledged { acknowledged: 1, sent: 2 },
            Finding::NotSelectable { field: "true".to_owned(), rows: 9 },
            Finding::FewerRows { returned: 1, counted: 2 },
        ];
        for part in parts {
            findings.push(Finding::Lacks(part));
            findings.push(Finding::LacksOf { part, collection: "a.b".to_owned() });
            findings.push(Finding::GrantLacks(part));
        }
        findings
    }

    #[test]
    fn what_the_client_finds_is_said_in_chinese() {
        for finding in findings() {
            let error = Error::own(ErrorKind::Rejected, "Query", finding);
            assert_chinese(&message_of(&error));
            assert_chinese(&words_of(&error));
            assert_eq!(words_of(&error).text(Lang::En), error.to_string());
        }
    }

    #[test]
    fn what_a_server_says_stays_as_it_is() {
        let error = Error::new(ErrorKind::Rejected, "Insert", "disk of node 7 is full".to_owned());
        assert_eq!(words_of(&error).text(Lang::Zh), "Insert：disk of node 7 is full");
        let told = of_server("Insert", "disk is full".into(), 7);
        assert_eq!(told.text(Lang::En), "Insert: disk is full (server code 7)");
        assert_eq!(told.text(Lang::Zh), "Insert：disk is full（服务端错误码 7）");
    }

    #[test]
    fn failures_of_rows_names_policies_and_copies_are_said_in_chinese() {
        let lost = || Error::own(ErrorKind::ConnectionLost, "Insert", Finding::EndedBefore);
        let doubt = || CopyError::InDoubt(words_of(&lost()));
        let (source_plan, target) = (Deployment::Free, Deployment::Dedicated);
        let column = || "a".to_owned();
        let errors: Vec<Box<dyn Worded>> = vec![
            Box::new(WireError::Encoding("cut short")),
            Box::new(WireError::Columns { found: vec![column()], expected: Vec::new() }),
            Box::new(WireError::RowCount { column: column(), values: 1, rows: 2 }),
            Box::new(WireError::KeyOrder { previous: "2".to_owned(), next: "1".to_owned() }),
            Box::new(WireError::NullBecomesDefault { column: column() }),
            Box::new(EditionError::NoReason { source_plan, target }),
            Box::new(EditionError::Missing { source_plan, target }),
            Box::new(EditionError::Twice { source_plan, target }),
            Box::new(DocumentError::Schema("UnknownField".to_owned())),
            Box::new(CopyError::Source(lost())),
            Box::new(CopyError::Target(lost())),
            Box::new(CopyError::RowsRefused {
                first: Key::Int(1),
                last: Key::Int(2),
                error: Box::new(lost()),
            }),
            Box::new(doubt()),
            Box::new(CopyError::Canceled),
            Box::new(CopyError::Known(Box::new(Problem::new(Code::NothingSelected).with("side", "source")))),
            Box::new(SliceError::from(doubt())),
            Box::new(SliceError::Transient(SliceFailure::told(words_of(&lost())))),
            Box::new(SettleError::Copy(doubt())),
            Box::new(SettleError::Stays(3)),
            Box::new(SettleError::Unequal { counted: 1, acknowledged: 2 }),
            Box::new(NoKey("x".to_owned())),
        ];
        for error in errors {
            assert_chinese(&words_of(&*error));
            assert!(!words_of(&*error).text(Lang::En).is_empty());
        }
        for fault in [NameFault::Empty, NameFault::TooLong, NameFault::Start('-'), NameFault::Character('-')]
        {
            assert_chinese(&name_fault(fault));
        }
    }

    #[tokio::test]
    async fn an_unknown_job_is_named_in_chinese() {
        let directory = tempfile::tempdir().unwrap();
        let store = sqlite::open(directory.path()).unwrap();
        let error = store.find_job("0123").await.unwrap_err();
        assert_eq!(words_of(&error).text(Lang::Zh), "没有任务 `0123`");
    }
}
