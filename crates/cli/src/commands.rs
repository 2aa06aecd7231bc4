//! One module a command: from arguments to a call of the library, and from its answer to what is shown.

pub(crate) mod backup;
pub(crate) mod cancel;
pub(crate) mod capacity;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod demo;
pub(crate) mod jobs;
pub(crate) mod load;
pub(crate) mod migrate;
pub(crate) mod plan;
pub(crate) mod rate;
pub(crate) mod resume;
pub(crate) mod round;
pub(crate) mod sandbox;
pub(crate) mod serve;
pub(crate) mod verify;
pub(crate) mod worker;
