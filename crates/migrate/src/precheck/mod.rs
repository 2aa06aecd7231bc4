//! The pre-check: everything that can be known before a job starts, each check under its name. Nothing is written
//! anywhere, but for the scratch collections of those checks that are asked for.

mod auto_ids;
mod clock;
mod databases;
mod definitions;
mod endpoint;
mod features;
pub(crate) mod fields;
mod indexes;
mod list;
mod loaded;
mod names;
mod new_collection;
mod plans;
mod probe;
mod room;
mod source_release;
pub(crate) mod steps;
mod warm;
mod writers;

pub(crate) use clock::clock_skew;
pub(crate) use definitions::check;
pub(crate) use endpoint::endpoints;
pub(crate) use list::CheckList;
pub(crate) use plans::{clusters, compute_units, message_sizes, plan_pair, within_limits};
pub(crate) use probe::{probe_write, scratches};
pub(crate) use room::{disk, memory, state_directory};
pub(crate) use writers::{arriving, writers, writers_at_start, writers_go_on};

pub use plans::{not_running, pair_problem, plan_of};

pub use crate::problem::{Check, CheckId, Outcome};
