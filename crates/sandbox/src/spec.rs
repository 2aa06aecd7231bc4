use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::Error;

/// Which server program to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerKind {
    /// Milvus 2.3.5 standalone: users, TLS, databases, partitions, rate limits.
    Milvus235,
    /// Milvus Lite 2.5.1, the C++ engine: binary, half-precision and sparse vectors.
    Lite251,
    /// Milvus Lite 3.2.2, the Python server: nullable fields, defaults, databases, BM25.
    Lite322,
}

/// Whether a server demands TLS, and of whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tls {
    /// Plain text.
    #[default]
    Off,
    /// The server shows a certificate.
    OneWay,
    /// Server and client both show certificates.
    Mutual,
}

/// One server to start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerSpec {
    /// The name by which it is commanded; also its directory's name.
    pub name: String,
    /// Which program.
    pub kind: ServerKind,
    /// Whether it demands a user and password (`root:Milvus`); only for [`ServerKind::Milvus235`].
    #[serde(default)]
    pub authorization: bool,
    /// Whether it demands TLS; only for [`ServerKind::Milvus235`].
    #[serde(default)]
    pub tls: Tls,
    /// Settings of `milvus.yaml` as dotted key and value; only for [`ServerKind::Milvus235`].
    #[serde(default)]
    pub settings: BTreeMap<String, serde_json::Value>,
}

impl ServerSpec {
    /// A server with default settings: no authorization, no TLS.
    pub fn new(name: impl Into<String>, kind: ServerKind) -> Self {
        Self { name: name.into(), kind, authorization: false, tls: Tls::Off, settings: BTreeMap::new() }
    }

    /// Demands a user and password (`root:Milvus`).
    #[must_use]
    pub fn with_authorization(mut self) -> Self {
        self.authorization = true;
        self
    }

    /// Demands TLS.
    #[must_use]
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.tls = tls;
        self
    }

    /// Sets a dotted key of `milvus.yaml`, such as `quotaAndLimits.dml.enabled`.
    #[must_use]
    pub fn with_setting(mut self, key: impl Into<String>, value: impl Into<serde_json::Value>) -> Self {
        self.settings.insert(key.into(), value.into());
        self
    }

    fn check(&self) -> Result<(), Error> {
        let name_is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if self.name.is_empty() || !self.name.chars().all(name_is_plain) {
            return Err(Error::InvalidSpec {
                reason: format!("'{}' is no server name (letters, digits, - and _)", self.name),
            });
        }
        let asks_for_more = self.authorization || self.tls != Tls::Off || !self.settings.is_empty();
        match self.kind {
            ServerKind::Lite251 | ServerKind::Lite322 if asks_for_more => Err(Error::InvalidSpec {
                reason: format!("server '{}': Milvus Lite has no authorization, TLS or settings", self.name),
            }),
            ServerKind::Milvus235 | ServerKind::Lite251 | ServerKind::Lite322 => Ok(()),
        }
    }
}

/// What a sandbox consists of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SandboxSpec {
    /// The servers; all are started at once.
    pub servers: Vec<ServerSpec>,
    /// Whether a directory with the Python client `pymilvus` is wanted.
    #[serde(default)]
    pub pymilvus: bool,
    /// How long a server may take from its start until it is ready.
    #[serde(default = "default_ready_timeout_seconds")]
    pub ready_timeout_seconds: u64,
}

fn default_ready_timeout_seconds() -> u64 {
    120
}

impl SandboxSpec {
    /// A sandbox of these servers.
    pub fn new(servers: impl IntoIterator<Item = ServerSpec>) -> Self {
        Self {
            servers: servers.into_iter().collect(),
            pymilvus: false,
            ready_timeout_seconds: default_ready_timeout_seconds(),
        }
    }

    /// Also provides the Python client `pymilvus`.
    #[must_use]
    pub fn with_pymilvus(mut self) -> Self {
        self.pymilvus = true;
        self
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let mut names = BTreeSet::new();
        for server in &self.servers {
            server.check()?;
            if !names.insert(&server.name) {
                return Err(Error::InvalidSpec {
                    reason: format!("two servers are named '{}'", server.name),
                });
            }
        }
        Ok(())
    }
}
