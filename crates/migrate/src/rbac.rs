//! Roles, grants, privilege groups and users: what of them is copied, and how it gets to the target.
//!
//! What exists on the target is never touched. A role that exists there is used as it is if it may do the same as on
//! the source; one that differs is left, and no user is put into it, because nobody knows what it may come to do.
//! Grants on collections outside the migration are copied too (they may follow later), unless the target has another
//! collection of that name: then they would open somebody else's rows.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use vecferry_milvus::rbac::{Grant, GrantCalls, PrivilegeGroup};
use vecferry_milvus::{Client, ErrorKind};

use crate::cluster::connect::refusal;
use crate::cluster::visible;
use crate::plan::Plan;
use crate::problem::{Code, Problem, Side, Told};
use crate::request::{MigrateRequest, RbacUsers, Selection};

mod apply;
mod decide;
mod ownership;
mod read;
mod remove;
mod users_file;

pub(crate) use apply::{Work, carry_out};
pub(crate) use remove::remove;

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

impl Left {
    fn new(kind: ObjectKind, name: impl Into<String>, reason: LeftReason) -> Self {
        Self { kind, name: name.into(), reason }
    }

    /// Whether the target does not have what the source has.
    fn is_loss(&self) -> bool {
        self.reason != LeftReason::Same
    }
}

/// Adds roles and users to a plan, where they are asked for. Nothing is written anywhere.
pub(crate) async fn add(
    request: &MigrateRequest,
    source: &Client,
    target: &Client,
    job_id: &str,
    checked: Result<Plan, Vec<Problem>>,
) -> Result<Plan, Vec<Problem>> {
    let Some(wanted) = &request.rbac else { return checked };
    let (mut problems, mut plan) = match checked {
        Ok(plan) => (Vec::new(), Some(plan)),
        Err(problems) => (problems, None),
    };
    let mut sentences = Vec::new();
    problems.extend(allowed(source, target).await);
    // Grants are read database by database, and compared with the collections that are there.
    let everything = Selection::default();
    // Of the source the pre-check has asked already where all of it is meant.
    let of_source = (request.selection != everything).then_some((source, Side::Source));
    for (client, side) in of_source.into_iter().chain([(target, Side::Target)]) {
        match visible::check(client, side, &everything, request.visible_only).await {
            Ok(visible) => sentences.extend(visible.sentence()),
            Err(found) => problems.extend(found),
        }
    }
    let file = wanted.users_file.clone().unwrap_or_else(|| wanted.users_dir.join(format!("{job_id}.json")));
    if wanted.users == RbacUsers::Create {
        problems.extend(users_file::refuse_existing(&file).err());
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let Some(mut plan) = plan.take() else { return Err(problems) };
    let rbac = make_plan(request, source, target, &plan, wanted.users, file);
    let rbac = rbac.await.map_err(|problem| vec![problem])?;
    plan.warnings.extend(warning(&rbac.left));
    plan.warnings.extend(sentences);
    plan.rbac = Some(rbac);
    Ok(plan)
}

/// Probes by calls that change nothing whether roles and users may be read from the one and made on the other.
async fn allowed(source: &Client, target: &Client) -> Vec<Problem> {
    let source_answer =
        async { source.users().await.map(drop).map_err(|error| rbac_refusal(Side::Source, &error)) };
    let target_answer = async {
        let checked = async {
            target.users().await?;
            let roles = target.roles().await?;
            let calls = GrantCalls::of(target.privilege_groups().await?.as_ref());
            target.may_write_rbac(roles.first().map(String::as_str), calls).await
        };
        checked.await.map_err(|error| rbac_refusal(Side::Target, &error))
    };
    let (source, target) = tokio::join!(source_answer, target_answer);
    [source.err(), target.err()].into_iter().flatten().collect()
}

/// A failure before anything was written, as a problem.
fn rbac_refusal(side: Side, error: &vecferry_milvus::Error) -> Problem {
    let code = if error.kind() == ErrorKind::Unsupported {
        Code::RbacUnsupported
    } else if error.kind() == ErrorKind::PermissionDenied {
        Code::RbacNotAllowed
    } else {
        return refusal(side, error);
    };
    Problem::new(code).with("side", side.name()).with("detail", error)
}

async fn make_plan(
    request: &MigrateRequest,
    source: &Client,
    target: &Client,
    plan: &Plan,
    users: RbacUsers,
    file: PathBuf,
) -> Result<RbacPlan, Problem> {
    let of_source = |error| rbac_refusal(Side::Source, &error);
    let of_target = |error| rbac_refusal(Side::Target, &error);
    let source_dbs = source.databases().await.map_err(of_source)?;
    let mut target_dbs: BTreeSet<_> = target.databases().await.map_err(of_target)?.into_iter().collect();
    let existing = read::collections(target, &target_dbs).await.map_err(of_target)?;
    target_dbs.extend(source_dbs.iter().map(|db| crate::precheck::target_db(request, db)));
    let on_source = read::all(source, source_dbs).await.map_err(of_source)?;
    let on_target = read::all(target, target_dbs).await.map_err(of_target)?;
    let surroundings = decide::Surroundings {
        target_db: &|db| crate::precheck::target_db(request, db),
        planned: plan
            .collections
            .iter()
            .flat_map(|planned| {
                let alias = |alias| vecferry_milvus::CollectionName::new(&planned.target.db, alias);
                std::iter::once(planned.target.clone()).chain(planned.aliases.iter().map(alias))
            })
            .collect(),
        existing,
        users,
    };
    let mut rbac = decide::decide(&on_source, &on_target, &surroundings);
    rbac.passwords = if rbac.users.is_empty() { Passwords::NoUsers } else { Passwords::Generated };
    rbac.users_file = (rbac.passwords == Passwords::Generated).then_some(file);
    Ok(rbac)
}

/// Why roles and users of a plan that was made earlier are not made.
pub(crate) fn outdated(plan: &Plan) -> Option<Problem> {
    let method = plan.rbac.as_ref()?.method;
    (method == Method::Restore).then(|| Problem::new(Code::RbacPlanRestores))
}

/// The warnings of a plan, with what was left while the job ran.
pub(crate) fn warnings(plan: &Plan, report: Option<&RbacReport>) -> Vec<Problem> {
    let Some(report) = report else { return plan.warnings.clone() };
    let others = plan.warnings.iter().filter(|warning| warning.code != Code::RbacLeft).cloned();
    others.chain(warning(&report.left)).collect()
}

/// What is not copied, where the target does not have the same.
fn warning(left: &[Left]) -> Option<Problem> {
    let lost: Vec<_> = left.iter().filter(|left| left.is_loss()).collect();
    if lost.is_empty() {
        return None;
    }
    let names: Vec<_> = lost.iter().map(|left| format!("{} `{}`", left.kind.name(), left.name)).collect();
    Some(Problem::new(Code::RbacLeft).with("number", lost.len()).told("names", Told::items(&names)))
}
