//! Migrates collections from one Milvus cluster to another: pre-check, plan, copy, verification, report.
//!
//! [`Migration::prepare`] reads both clusters, checks everything that can be known and writes nothing. The plan it
//! gives is shown to a person; [`Migration::run`] then carries it out and always ends with a [`Report`], also after a
//! failure. [`verify`] compares two clusters without copying, [`load`] loads collections of a target.
//!
//! This crate knows clusters (through `vecferry-milvus`) and rules (through `vecferry-policy`). It may not know how
//! anything is shown: it prints nothing, tells [`event::Observer`] what happens, and describes every failure as a
//! [`Problem`] with a stable code and its text in English and Chinese.

pub mod capacity;
pub mod cluster;
mod copy;
pub mod event;
mod flat_index;
mod job;
pub mod metrics;
pub mod plan;
pub mod precheck;
pub mod problem;
mod rate;
pub mod rbac;
mod read;
pub mod report;
pub mod request;
mod target;
mod tuning;
mod verify;

pub use cluster::waits::observed;
pub use cluster::{Cluster, ClusterVersion, version_of};
pub use copy::{
    Dispatcher, InProcess, Limits, Resources, Slice, SliceError, SliceFailure, SliceRunner, SplitsToCopy,
};
pub use job::worker::{ByWorkers, Worker};
pub use job::{
    Canceled, CollectionStatus, DryCollection, DryRunReport, JobStatus, Migration, NextRound, Passed,
    PreCheck, Purpose, RateSet, Resumed, RoundOptions, Status, StatusPart, cancel, load, set_max_rate,
    verify,
};
pub use plan::file::PlanFile;
pub use plan::{Change, CollectionSummary, Keys, Plan, PlanSummary, PlannedCollection};
pub use problem::{
    Code, Exit, Lang, Problem, Surface, database_problem, is_store_unavailable, retell, state_problem,
    store_problem, words_of,
};
pub use rate::MaxRate;
pub use report::{JobState, Report};
pub use request::{
    AutoId, Duplicates, LoadRequest, LoadWhat, MigrateRequest, OnBadRow, PlanHints, RbacRequest, RbacUsers,
    RepairScope, Selection, SourceLoad, VerifyLevel, VerifyRequest,
};
pub use tuning::Tuning;

/// That what takes long can run on threads of its own: it compiles.
#[cfg(test)]
mod spawned {
    use std::sync::Arc;

    use tokio_util::sync::CancellationToken;
    use vecferry_milvus::Endpoint;
    use vecferry_store::{JobId, Store};

    use super::*;

    fn is_send(_: &impl Send) {}

    #[allow(dead_code, reason = "it is never called")]
    fn everything(
        (request, compared, loaded): (MigrateRequest, VerifyRequest, LoadRequest),
        [mut probed, mut measured, read, run]: [Migration; 4],
        file: PlanFile,
        [source, target, again, there]: [Endpoint; 4],
        (store, job_id, one): (&Arc<dyn Store>, &JobId, &Endpoint),
        observer: &Arc<dyn event::Observer>,
        cancel_token: &CancellationToken,
    ) {
        let watched = || (Arc::clone(observer), cancel_token.clone());
        is_send(&Migration::check(request.clone(), None));
        is_send(&Migration::prepare(request));
        is_send(&Migration::prepare_planned(file, source, target, 0.0, None));
        is_send(&Migration::resume(&**store, job_id, again.clone(), there.clone()));
        let next = NextRound { purpose: Purpose::CutOver, options: RoundOptions::default() };
        is_send(&Migration::next_round(&**store, job_id, again, there, next));
        is_send(&probed.probe_write(cancel_token));
        is_send(&measured.measure_steps(cancel_token));
        let (observer, token) = watched();
        is_send(&read.dry_run(observer, token));
        let (observer, token) = watched();
        is_send(&run.run(store, observer, token));
        let (observer, token) = watched();
        is_send(&verify(compared, observer, token));
        let (observer, token) = watched();
        is_send(&load(loaded, observer, token));
        is_send(&cancel(&**store, job_id, None, None, false));
        is_send(&Status::of(&**store, job_id));
        is_send(&version_of(one));
    }
}
