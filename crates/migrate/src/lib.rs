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
pub mod checks;
pub mod cloud;
mod connect;
mod copy;
pub mod duration;
pub mod event;
mod inventory;
mod plan;
mod precheck;
pub mod problem;
mod proof;
mod rate;
pub mod rbac;
pub mod report;
pub mod request;
mod retry;
mod run;
pub mod size;
mod source_load;
mod target;
mod tuning;
mod visible;
mod waits;

pub use plan::file::PlanFile;
pub use plan::{Change, Cluster, Keys, Plan, PlannedCollection};
pub use problem::{Code, Exit, Lang, Problem};
pub use rate::MaxRate;
pub use report::{JobState, Report};
pub use request::{
    AutoId, Duplicates, LoadRequest, LoadWhat, MigrateRequest, OnBadRow, PlanHints, RbacRequest, RbacUsers,
    RepairScope, Selection, SourceLoad, VerifyLevel, VerifyRequest,
};
pub use run::{
    Canceled, DryCollection, DryRunReport, Migration, Passed, PreCheck, RateSet, Resumed, cancel, history,
    ledger_problem, load, set_max_rate, updates_unseen, verify,
};
pub use tuning::Tuning;
pub use waits::observed;
