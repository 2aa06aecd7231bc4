//! Jobs: what is asked for, the queue, and how one is run by the engine.

mod end;
mod progress;
mod queue;
mod request;
mod run;
mod shown;
mod task;

pub(crate) use queue::work_off;
pub(crate) use request::{Access, Database, JobRequest, Options, Sides, hints};
pub(crate) use run::{cluster_side, collections_max, edition, not_too_many};
pub(crate) use shown::{Job, shown, time};
pub(crate) use task::{Work, begin_task, stopped};
