//! The control plane of Zilliz Cloud: projects, clusters, their sizes and head-room, over its REST API (version 2).
//!
//! It reads only. It knows the vendor's documented shapes and errors; it may not know Milvus' own protocol, nor what a
//! migration is. The status of an answer is looked at twice: servers say errors with HTTP 200 as well.

mod client;
mod error;
mod shapes;

pub use client::{ApiKey, ControlPlane, HOSTS};
pub use error::{Error, ErrorKind};
pub use shapes::{Cluster, Project};
