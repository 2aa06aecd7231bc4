//! The pre-check: everything that can be known before a job starts, each check under its name. Nothing is written
//! anywhere, but for the scratch collections of those checks that are asked for.

mod clock;
mod definitions;
mod endpoint;
pub(crate) mod fields;
mod list;
mod plans;
mod probe;
mod room;
pub(crate) mod steps;
mod writers;

pub(crate) use clock::clock_skew;
pub(crate) use definitions::check;
pub(crate) use endpoint::endpoints;
pub(crate) use list::CheckList;
pub(crate) use plans::{clusters, compute_units, message_sizes, plan_pair, within_limits};
pub(crate) use probe::{probe_write, scratches};
pub(crate) use room::{disk, memory, state_directory};
pub(crate) use writers::writers;

pub use crate::problem::{Check, CheckId, Outcome};
