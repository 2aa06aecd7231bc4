//! Commands that a service carries out (`--server`): one module a command, which asks the service and shows its answers as
//! the same command shows what happens in this process. Nothing of a migration is decided here, and no cluster is
//! connected to.

mod answers;
mod board;
pub(crate) mod cancel;
mod client;
mod find;
mod follow;
pub(crate) mod jobs;
pub(crate) mod load;
pub(crate) mod migrate;
mod options;
pub(crate) mod rate;
mod request;
pub(crate) mod resume;
pub(crate) mod rounds;
mod task;
pub(crate) mod verify;

pub(crate) use options::foreign_options;
