//! What can go wrong in a migration, as people are told of it: problems of the catalogue from failures of the store, from
//! sizes, and by check.

mod check;
mod document;
mod failure;
mod size;
mod store;

pub use check::{Check, CheckId, Outcome};
pub use document::retell;
pub use failure::{Worded, words_of};
pub(crate) use failure::{canceled, found, message_of, name_fault, of_server, zh};
pub(crate) use size::{does_not_fit, grouped, mebibytes, partitions_disagree};
pub(crate) use store::store_failed;
pub use store::{database_problem, is_store_unavailable, state_problem, store_problem};
pub(crate) use vecferry_words::Told;
pub use vecferry_words::{
    ANY_CLUSTER, CATALOGUE, Code, Entry, Exit, Lang, OnSurface, Problem, Side, Surface, Text,
};
