//! What people are told: a stable code for everything that can go wrong, with what happened and what to do next, in
//! English and Chinese, for whoever types commands and for whoever uses REST or the console.
//!
//! The texts are data in [`CATALOGUE`], so that the command line, the service and the documentation say the same.

#![forbid(unsafe_code)]

mod catalogue;
mod language;
mod problem;
mod told;

pub use catalogue::{CATALOGUE, Code, Entry, Text};
pub use language::Lang;
pub use problem::{ANY_CLUSTER, Exit, OnSurface, Problem, Side, Surface};
pub use told::Told;
