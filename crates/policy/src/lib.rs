//! Rules about servers as data and pure functions: what a version can hold, which names it allows, which plan is migrated
//! to which, and what a plan has room for.
//!
//! It knows products, versions and features by name. It may not know the wire protocol, a connection, or a job.

pub mod capacity;
pub mod compatibility;
pub mod deployment;
pub mod feature;
pub mod index;
pub mod keyword;
pub mod limits;
pub mod name;

pub use capacity::CuType;
pub use compatibility::{EDITION_DEFAULT, Edition, Outcome};
pub use deployment::{Deployment, Detected, FoundBy};
pub use feature::{Feature, Product, Support, Trial, shards_max, support, trial};
pub use index::{AUTOINDEX, VectorKind, keeps_vector_index, scalar_index, vector_index};
pub use keyword::{can_be_created, can_be_named};
pub use limits::{Limits, limits};
pub use name::{NameFault, NameKind, check_name};
