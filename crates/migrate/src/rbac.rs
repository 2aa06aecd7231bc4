//! Roles, grants, privilege groups and users: what of them is copied, and how it gets to the target.
//!
//! What exists on the target is never touched. A role that exists there is used as it is if it may do the same as on
//! the source; one that differs is left, and no user is put into it, because nobody knows what it may come to do.
//! Grants on collections outside the migration are copied too (they may follow later), unless the target has another
//! collection of that name: then they would open somebody else's rows.

use std::collections::BTreeSet;
use std::path::PathBuf;

use vecferry_milvus::rbac::GrantCalls;
use vecferry_milvus::{Client, ErrorKind};
use vecferry_store::JobId;

use crate::cluster::connect::refusal;
use crate::cluster::visible;
use crate::plan::Plan;
pub use crate::plan::rbac::{Left, LeftReason, Membership, Method, ObjectKind, Passwords, RbacPlan};
use crate::problem::{Code, Problem, Side, Told, words_of};
pub use crate::report::rbac::{Made, RbacReport};
use crate::request::{MigrateRequest, RbacRequest, RbacUsers, Selection};

mod apply;
mod decide;
mod ownership;
mod read;
mod remove;
mod users_file;

pub(crate) use apply::{Work, carry_out};
pub(crate) use remove::remove;

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
    let file = wanted.users_file.clone().unwrap_or_else(|| users_file_of(wanted, job_id));
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

/// Where a job's new passwords go if no file was named.
fn users_file_of(wanted: &RbacRequest, job_id: &str) -> PathBuf {
    wanted.users_dir.join(format!("{job_id}.json"))
}

/// Lets the file for new passwords follow a job that gets another ID. A file that was named stays.
pub(crate) fn rename_users_file(request: &MigrateRequest, plan: &mut Plan, former: &JobId, job_id: &JobId) {
    let Some(wanted) = &request.rbac else { return };
    if let Some(file) = plan.rbac.as_mut().and_then(|rbac| rbac.users_file.as_mut())
        && *file == users_file_of(wanted, former.as_str())
    {
        *file = users_file_of(wanted, job_id.as_str());
    }
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
    Problem::new(code).with("side", side.name()).told("detail", words_of(error))
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
    target_dbs.extend(source_dbs.iter().map(|db| request.target_db(db)));
    let on_source = read::all(source, source_dbs).await.map_err(of_source)?;
    let on_target = read::all(target, target_dbs).await.map_err(of_target)?;
    let surroundings = decide::Surroundings {
        target_db: &|db| request.target_db(db),
        planned: plan
            .here()
            .flat_map(|(_, planned)| {
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
