//! What a job makes of roles and users.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::problem::Told;
use serde::{Deserialize, Serialize};
use vecferry_milvus::rbac::{Grant, PrivilegeGroup};

/// How it gets to the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Object by object.
    SingleCalls,
    /// By the servers' own backup and restore. Only in plans of earlier versions, and never carried out: Milvus 2.5 and 2.6
    /// die of it, and 2.6 does so again at every start.
    Restore,
}

/// What becomes of the users' passwords.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Passwords {
    /// There is no user to be made.
    NoUsers,
    /// They stay the same. Only in plans and reports of earlier versions.
    Kept,
    /// Each user gets a new one, which is written to a file.
    Generated,
}

/// A kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectKind {
    /// A named group of privileges.
    PrivilegeGroup,
    /// A role.
    Role,
    /// What a role may do.
    Grant,
    /// A user.
    User,
    /// That a user has a role.
    Membership,
}

impl ObjectKind {
    /// Its name in records and for machines.
    pub fn name(self) -> &'static str {
        match self {
            Self::PrivilegeGroup => "privilege_group",
            Self::Role => "role",
            Self::Grant => "grant",
            Self::User => "user",
            Self::Membership => "membership",
        }
    }

    /// For people: all of this kind, or one of it.
    pub(crate) fn told(self, name: Option<&dyn std::fmt::Display>) -> Told {
        let zh = match self {
            Self::PrivilegeGroup => "权限组",
            Self::Role => "角色",
            Self::Grant => "授权",
            Self::User => "用户",
            Self::Membership => "角色成员",
        };
        let of = |kind: &str| name.map_or_else(|| kind.to_owned(), |name| format!("{kind} {name}"));
        Told::both(of(self.name()), of(zh))
    }
}

/// Why something of the source is not copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftReason {
    /// The target has it, with the same contents as far as they can be seen.
    Same,
    /// The target has one of that name; it stays as it is.
    Exists,
    /// The target has one of that name that may do other things; it stays as it is.
    Differs,
    /// Its role is left, or is not on the target.
    RoleLeft,
    /// Its user is left.
    UserLeft,
    /// Its privilege group is left, or the target has no privilege groups.
    GroupLeft,
    /// The target has a collection of that name that does not come from this job.
    OtherCollection,
    /// Users were not asked for.
    UsersSkipped,
    /// Somebody made it on the target after the plan.
    MadeMeanwhile,
}

/// Something of the source that is not copied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// What it is.
    pub kind: ObjectKind,
    /// Which one.
    pub name: String,
    /// Why.
    pub reason: LeftReason,
}

/// That a user has a role.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Membership {
    /// The user.
    pub user: String,
    /// The role.
    pub role: String,
}

/// What a job makes of roles and users, as reviewed before the start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RbacPlan {
    /// How.
    pub method: Method,
    /// What becomes of the passwords.
    pub passwords: Passwords,
    /// Where new passwords are written, before their users are made.
    pub users_file: Option<PathBuf>,
    /// Privilege groups to be made.
    pub privilege_groups: Vec<PrivilegeGroup>,
    /// Names of all privilege groups of the source; grants of these need a call of their own.
    pub(crate) group_names: BTreeSet<String>,
    /// Roles to be made.
    pub roles: Vec<String>,
    /// Grants to be added to these roles, and to roles that every server has.
    pub grants: Vec<Grant>,
    /// Users to be made.
    pub users: Vec<String>,
    /// Roles that these users get.
    pub memberships: Vec<Membership>,
    /// Those of the grants that name a collection outside the migration.
    pub outside: Vec<Grant>,
    /// What is not copied.
    pub left: Vec<Left>,
}

impl Left {
    pub(crate) fn new(kind: ObjectKind, name: impl Into<String>, reason: LeftReason) -> Self {
        Self { kind, name: name.into(), reason }
    }

    /// Whether the target does not have what the source has.
    pub(crate) fn is_loss(&self) -> bool {
        self.reason != LeftReason::Same
    }
}
