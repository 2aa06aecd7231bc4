//! What a job made of roles and users.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use vecferry_milvus::rbac::Grant;

use crate::plan::rbac::{Left, Method, Passwords};

/// Objects of a kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// How many were to be made.
    pub planned: usize,
    /// How many the job made.
    pub made: usize,
}

/// What a job made of roles and users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RbacReport {
    /// How.
    pub method: Method,
    /// What became of the passwords.
    pub passwords: Passwords,
    /// The file with the new passwords.
    pub users_file: Option<PathBuf>,
    /// Privilege groups.
    pub privilege_groups: Made,
    /// Roles.
    pub roles: Made,
    /// Grants.
    pub grants: Made,
    /// Users.
    pub users: Made,
    /// Roles of users.
    pub memberships: Made,
    /// Grants that name a collection outside the migration.
    pub outside: Vec<Grant>,
    /// What is not copied.
    pub left: Vec<Left>,
}
