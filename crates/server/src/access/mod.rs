//! Who may do what.

mod caller;
mod roles;

pub(crate) use caller::{Actor, Caller, Credential, Rights};
pub(crate) use roles::{Action, OrganizationRole, ProjectRole};
