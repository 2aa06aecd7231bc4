//! Rules about servers as data and pure functions: what a version can hold, and which names it allows.
//!
//! It knows products, versions and features by name. It may not know the wire protocol, a connection, or a job.

pub mod feature;
pub mod name;

pub use feature::{Feature, Product, Support, VectorKind, shards_max, support, vector_index};
pub use name::{NameFault, check_name};
