//! Jobs from their beginning to their end.

pub(crate) mod claim;
mod clock;
mod collection;
mod compare;
mod comparison;
mod conclusion;
mod control;
mod copying;
mod databases;
mod differences;
mod drift;
mod dry;
mod duplicates;
mod end;
mod every_row;
mod finding;
mod history;
mod load;
mod migration;
mod next_round;
mod pace;
mod quarantine;
mod resume;
mod round;
#[cfg_attr(not(test), expect(dead_code, reason = "the rounds behind the warm copy will go so"))]
mod rounds;
mod run;
mod start;
mod status;
mod times;
mod without_keys;
pub(crate) mod worker;
mod writers;
mod writes;

pub use compare::verify;
pub use control::{Canceled, RateSet, cancel, set_max_rate};
pub use dry::{DryCollection, DryRunReport};
pub use history::Passed;
pub use load::load;
pub use migration::{Migration, PreCheck};
pub use next_round::{NextRound, Purpose, RoundOptions};
pub use resume::Resumed;
pub use status::{CollectionStatus, JobStatus, Status, StatusPart};
