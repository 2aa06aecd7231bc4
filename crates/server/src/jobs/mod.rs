//! Jobs: what is asked for, the queue, and how one is run by the engine.

mod end;
mod queue;
mod request;
mod run;

pub(crate) use queue::work_off;
pub(crate) use request::{Access, Database, JobRequest, Options, Sides, hints};
pub(crate) use run::{edition, not_too_many};
