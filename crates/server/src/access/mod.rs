//! Who may do what.

mod caller;
mod roles;

pub(crate) use caller::{Actor, Caller};
pub(crate) use roles::{Action, OrganizationRole, ProjectRole};
