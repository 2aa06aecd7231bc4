//! The Milvus wire protocol: a thin gRPC client, and the codec that turns a page that one server answered into the
//! insert that another server takes.
//!
//! It knows endpoints, credentials, TLS, calls, statuses, messages and bytes. It may not know what a migration is:
//! no jobs, plans, retries or progress, and nothing is printed here.
//!
//! - [`endpoint`]: where a server is and how to be let in. [`Client`]: its calls.
//! - [`wire`]: the data path. Pages stay the bytes they came as; only what must be read is read.
//! - [`rbac`]: roles, grants, privilege groups and users. [`Sight`]: what the user of a connection sees.
//! - [`schema`]: collection schemas as raw bytes, so that what this version does not know survives.
//! - [`error`]: one error type; its kind says what a caller can do about it.

mod buffer;
mod client;
mod collection;
mod diagnose;
pub mod endpoint;
pub mod error;
mod finding;
pub mod key;
mod pinned;
pub mod proto;
pub mod query;
pub mod rbac;
pub mod schema;
mod sight;
mod transport;
pub mod version;
pub mod wire;

pub use client::{Client, DB_DEFAULT, FlushHandle, ServerIdentity, WriteMode};
pub use collection::{Collection, CollectionName, Index, LoadState, NewCollection, QuerySegment, Segment};
pub use endpoint::{Endpoint, Secret, Tls};
pub use error::{Error, ErrorKind};
pub use finding::{Finding, Part};
pub use key::{Key, KeyField, KeyRange};
pub use query::{Consistency, Query, RowSelection};
pub use sight::{Doubt, Sight};
pub use version::{Flavor, ServerVersion};
