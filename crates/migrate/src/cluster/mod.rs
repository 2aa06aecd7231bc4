//! What is asked of a cluster, whichever side of a migration it is: connections, what it holds, what is loaded, how large
//! rows are, what it stored, and how long an answer is waited for.

pub(crate) mod connect;
pub mod control_plane;
pub(crate) mod flush;
pub(crate) mod inventory;
pub(crate) mod load_state;
pub mod reach;
pub(crate) mod release;
pub(crate) mod rename;
pub(crate) mod retry;
pub mod row_size;
pub(crate) mod segments;
pub(crate) mod selection;
pub(crate) mod shared_flush;
pub(crate) mod visible;
pub(crate) mod waits;

pub use connect::{Cluster, ClusterVersion, cluster_problem, version_of};
