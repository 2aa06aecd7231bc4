use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{Error, ServerKind};

/// A step of the set-up, for showing progress; `Display` gives a short English phrase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SetupStep {
    /// A package is not in the cache and is being fetched.
    Downloading {
        /// The package with its version.
        package: String,
        /// Roughly what is fetched.
        size_megabytes: u32,
    },
    /// A fetched package is being unpacked into the cache.
    Unpacking {
        /// The package with its version.
        package: String,
    },
    /// A server process was started.
    Starting {
        /// The server's name.
        name: String,
        /// Which program.
        kind: ServerKind,
    },
    /// A server answers.
    Ready {
        /// The server's name.
        name: String,
        /// How long it took since its process was started.
        elapsed_seconds: f64,
    },
}

impl fmt::Display for SetupStep {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Downloading { package, size_megabytes } => {
                write!(formatter, "downloading {package} ({size_megabytes} MB)")
            }
            Self::Unpacking { package } => write!(formatter, "unpacking {package}"),
            Self::Starting { name, kind } => write!(formatter, "starting {} '{name}'", kind.title()),
            Self::Ready { name, elapsed_seconds } => {
                write!(formatter, "server '{name}' is ready after {elapsed_seconds:.1} s")
            }
        }
    }
}

impl ServerKind {
    /// The program's name and version for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Milvus235 => "Milvus 2.3.5",
            Self::Lite251 => "Milvus Lite 2.5.1",
            Self::Lite322 => "Milvus Lite 3.2.2",
        }
    }
}

/// All that a client needs to reach one server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerInfo {
    /// The name given in the description.
    pub name: String,
    /// Which program.
    pub kind: ServerKind,
    /// Where it listens, with the scheme `http` or `https`.
    pub uri: String,
    /// `user:password` where authorization is on.
    pub token: Option<String>,
    /// The server's process, also its process group; none while it is not running.
    pub pid: Option<u32>,
    /// The server's own directory: data, configuration and logs.
    pub data_dir: PathBuf,
    /// The authority that signed the server's certificate, where TLS is on.
    pub ca_certificate: Option<PathBuf>,
    /// A client certificate which the server accepts, where TLS is on.
    pub client_certificate: Option<PathBuf>,
    /// The key of the client certificate.
    pub client_key: Option<PathBuf>,
    /// Where the server shows its health and metrics over plain HTTP on 127.0.0.1, if it does.
    pub metrics_port: Option<u16>,
}

/// A sandbox that is ready.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SandboxInfo {
    /// The temporary directory that holds all of it.
    pub directory: PathBuf,
    /// The servers in the order of the description.
    pub servers: Vec<ServerInfo>,
    /// The directory to put on `PYTHONPATH` for the Python client, if it was asked for.
    pub pymilvus: Option<PathBuf>,
}

/// A line from the client to the supervisor, after the description.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Command {
    Kill(String),
    Start(String),
    Stop(String),
    Pause(String),
    Resume(String),
}

/// A line from the supervisor to the client: steps, then `Ready` or `Error`, then one `Server` or `Error` for each command.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Event {
    Step(SetupStep),
    Ready(SandboxInfo),
    Server(ServerInfo),
    Error(Error),
}
