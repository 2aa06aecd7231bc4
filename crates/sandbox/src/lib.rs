//! Starts real Milvus servers on this machine, without a container engine, for the demo, the tests and the benchmark.
//!
//! The servers come from Python packages ([`ServerKind`]); they are fetched once into a per-user cache directory and
//! run directly. A supervisor process ([`supervise`]) owns them and ends them when its standard input closes, so that
//! nothing survives a failed or killed test or demo. [`Sandbox`] starts that supervisor and talks to it.
//!
//! [`PostgresServer`] is a PostgreSQL for the tests of what is kept there. It needs no supervisor program.
//!
//! This crate knows packages, configuration files, ports and processes. It knows nothing of migration, of gRPC
//! messages, or of presentation: it prints nothing, reports progress as [`SetupStep`]s and failures as [`Error`]s.

mod cancellation;
mod certificates;
mod error;
mod instance;
mod log;
mod milvus;
mod packages;
mod ports;
mod postgres;
mod process;
mod protocol;
mod sandbox;
mod spec;
mod supervisor;

pub use certificates::Certificates;
pub use error::Error;
pub use packages::{install_oidc_provider, install_pymilvus, install_schemathesis};
pub use postgres::PostgresServer;
pub use protocol::{SandboxInfo, ServerInfo, SetupStep};
pub use sandbox::Sandbox;
pub use spec::{SandboxSpec, ServerKind, ServerSpec, Tls};
pub use supervisor::supervise;
