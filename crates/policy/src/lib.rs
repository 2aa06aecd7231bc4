//! Rules about servers as data and pure functions: what a version can hold, and which names it allows.
//!
//! It knows products, versions and features by name. It may not know the wire protocol, a connection, or a job.

pub mod feature;
pub mod index;
pub mod name;

pub use feature::{Feature, Product, Support, shards_max, support};
pub use index::{AUTOINDEX, VectorKind, keeps_vector_index, scalar_index, vector_index};
pub use name::{NameFault, check_name};
