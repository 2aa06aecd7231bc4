//! Labels, figures and the report page of jobs, in English and Chinese, so that the command line, the service and the console
//! say the same.
//!
//! [`labels`] names states, stages, checks, waits and results, [`figures`] writes numbers, [`phrases`] and [`rbac`] put parts
//! of plans and reports into words, and [`page`] is a report as one HTML page. Names and messages of servers pass through
//! [`harmless`] before they are shown.
//!
//! This crate knows jobs (through `vecferry-migrate`). It may not know where its texts are shown: no arguments, no terminal,
//! no HTTP, no files; everything here is a function from facts to a text.

#![forbid(unsafe_code)]

mod acting;
pub mod columns;
pub mod figures;
pub mod labels;
pub mod page;
pub mod phrases;
pub mod rbac;
pub mod typed;

pub use acting::{acts, harmless};
