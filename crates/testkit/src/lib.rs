//! For tests only: one set of real servers for a whole test binary, an oracle that makes data and looks at servers
//! with `pymilvus` (and so shares nothing with what is tested), runs of the real `vecferry` binary, a proxy that breaks
//! calls on their way, a strict stand-in for the versions of Milvus that no package can be had of, a real
//! PostgreSQL, and a real identity provider.
//!
//! It may not know the migration library: tests of the whole see what users see.
#![expect(clippy::expect_used, clippy::panic, reason = "a test that can't be set up has failed")]

mod command;
mod control_plane;
mod denial;
mod english;
pub mod fault_proxy;
mod identity_provider;
pub mod matrix;
mod oracle;
mod postgres;
pub mod seen;
mod servers;
pub mod stand_in;

pub use command::{Run, Vecferry};
pub use control_plane::{CloudOptions, CloudStandIn};
pub use denial::DeniedBy;
pub use english::english_in;
pub use fault_proxy::FaultProxy;
pub use identity_provider::IdentityProvider;
pub use oracle::Oracle;
pub use postgres::Postgres;
pub use servers::{Servers, free_port, web_server};
pub use stand_in::StandIn;
