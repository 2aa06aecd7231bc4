//! Making what the plan lists. Everything is recorded before it is made, and once more when it was.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio_util::sync::CancellationToken;
use vecferry_milvus::rbac::{Grant, GrantCalls, PrivilegeGroup, is_built_in_role};
use vecferry_milvus::{Client, Error, ErrorKind};
use vecferry_store::{Attempt, Store};

use super::ownership::{Records, has_password, is_group_of_plan, is_unused_role, recorded_name};
use super::users_file::{self, UsersFile};
use super::{Left, LeftReason, Made, Method, ObjectKind, Passwords, RbacPlan, RbacReport, read};
use crate::cluster::retry::repeat;
use crate::problem::{Code, Problem, Told, words_of};

/// Failures that are named; then the rest is left to the next attempt.
const FAILURES_MAX: usize = 20;
/// Grants and memberships that are recorded together. They can be given twice without harm.
const BATCH: usize = 64;
/// What a failure that concerns no single object is about.
const EVERYTHING: &str = "roles and users";

/// What a job gives for this step.
pub(crate) struct Work<'a> {
    pub(crate) target: &'a Client,
    pub(crate) store: &'a dyn Store,
    pub(crate) attempt: &'a Attempt,
    pub(crate) cancel: &'a CancellationToken,
}

/// Makes what is planned and not yet made. A failure keeps no collection from being copied.
pub(crate) async fn carry_out(
    work: &Work<'_>,
    plan: Option<&RbacPlan>,
    problems: &mut Vec<Problem>,
) -> Option<RbacReport> {
    let plan = plan?;
    let records = match Records::read(work.store, work.attempt.job_id()).await {
        Ok(records) => records,
        Err(problem) => {
            problems.push(problem);
            return None;
        }
    };
    let mut step =
        Step { work, plan, records, doubtful: BTreeSet::new(), left: Vec::new(), problems: Vec::new() };
    if let Err(problem) = Box::pin(step.run()).await {
        step.problems.push(problem);
    }
    problems.append(&mut step.problems);
    Some(step.report())
}

/// What became of a call that makes something.
enum Creation {
    Made,
    Exists {
        /// Whether an earlier call of this job may have made it.
        perhaps_own: bool,
    },
}

struct Step<'a> {
    work: &'a Work<'a>,
    plan: &'a RbacPlan,
    records: Records,
    /// What an earlier attempt was about to make.
    doubtful: BTreeSet<(ObjectKind, String)>,
    left: Vec<Left>,
    problems: Vec<Problem>,
}

fn failed(kind: ObjectKind, name: impl std::fmt::Display, detail: impl Into<Told>) -> Problem {
    Problem::new(Code::RbacFailed).told("object", kind.told(Some(&name))).told("detail", detail)
}

fn no_password() -> Told {
    Told::both("the file has no password for it", "文件中没有它的密码")
}

fn absent_although_made() -> Told {
    Told::both(
        "its creation was acknowledged, but the target does not have it",
        "目标集群确认创建了它，但其中并没有它",
    )
}

fn all_failed(error: Error) -> Problem {
    let everything = Told::both(EVERYTHING, "角色和用户");
    Problem::new(Code::RbacFailed).told("object", everything).told("detail", words_of(&error))
}

impl Step<'_> {
    async fn run(&mut self) -> Result<(), Problem> {
        match self.plan.method {
            Method::SingleCalls => {}
            Method::Restore => return Err(Problem::new(Code::RbacRestoreEnded)),
        }
        self.intend().await?;
        let file = self.users_file()?;
        self.make_groups().await?;
        self.make_roles().await?;
        self.make_grants().await?;
        self.make_users(file.as_ref()).await?;
        self.make_memberships().await?;
        if !self.is_over() {
            self.prove().await?;
        }
        Ok(())
    }

    /// Whether nothing more is to be begun.
    fn is_over(&self) -> bool {
        self.work.cancel.is_cancelled() || self.problems.len() >= FAILURES_MAX
    }

    fn report(self) -> RbacReport {
        let plan = self.plan;
        let made = |kind, planned| Made { planned, made: self.records.made(kind) };
        RbacReport {
            method: plan.method,
            passwords: plan.passwords,
            users_file: plan.users_file.clone(),
            privilege_groups: made(ObjectKind::PrivilegeGroup, plan.privilege_groups.len()),
            roles: made(ObjectKind::Role, plan.roles.len()),
            grants: made(ObjectKind::Grant, plan.grants.len()),
            users: made(ObjectKind::User, plan.users.len()),
            memberships: made(ObjectKind::Membership, plan.memberships.len()),
            outside: plan.outside.clone(),
            left: plan.left.iter().cloned().chain(self.left).collect(),
        }
    }

    /// Records what is about to be made. What the target has by now although no attempt of this job was about to make it
    /// is somebody else's.
    async fn intend(&mut self) -> Result<(), Problem> {
        let (target, cancel) = (self.work.target, self.work.cancel);
        let roles = repeat(cancel, || target.roles()).await.map_err(all_failed)?;
        let users = repeat(cancel, || target.users()).await.map_err(all_failed)?;
        let users: BTreeSet<_> = users.into_iter().map(|user| user.name).collect();
        let groups = repeat(cancel, || target.privilege_groups()).await.map_err(all_failed)?;
        let groups: BTreeSet<_> = groups.into_iter().flatten().map(|group| group.name).collect();
        let usual = self.plan.grants.iter().filter(|grant| is_built_in_role(&grant.role));
        let (of_roles, of_dbs) = usual.map(|grant| (grant.role.clone(), grant.db.clone())).unzip();
        let usual = repeat(cancel, || read::grants(target, &of_roles, &of_dbs)).await.map_err(all_failed)?;

        let mut objects = Vec::new();
        let named = [
            (
                ObjectKind::PrivilegeGroup,
                self.plan.privilege_groups.iter().map(|group| &group.name).collect(),
                groups,
            ),
            (ObjectKind::Role, self.plan.roles.iter().collect::<Vec<_>>(), roles),
            (ObjectKind::User, self.plan.users.iter().collect(), users),
        ];
        for (kind, planned, there) in named {
            for name in planned {
                if self.records.is_pending(kind, name) {
                    self.doubtful.insert((kind, name.clone()));
                } else if self.records.is_made(kind, name) {
                } else if there.contains(name) {
                    self.left.push(Left { kind, name: name.clone(), reason: LeftReason::MadeMeanwhile });
                } else {
                    objects.push((kind, name.clone()));
                }
            }
        }
        let own = |kind, name: &str, objects: &[(ObjectKind, String)]| {
            self.records.has(kind, name) || objects.iter().any(|object| object.0 == kind && object.1 == name)
        };
        for grant in &self.plan.grants {
            let name = recorded_name(grant);
            let is_known = self.records.has(ObjectKind::Grant, &name);
            let is_usual = is_built_in_role(&grant.role);
            if !is_known && is_usual && usual.contains(grant) {
                self.left.push(Left::new(ObjectKind::Grant, grant.to_string(), LeftReason::MadeMeanwhile));
            } else if !is_known && !is_usual && !own(ObjectKind::Role, &grant.role, &objects) {
                self.left.push(Left::new(ObjectKind::Grant, grant.to_string(), LeftReason::RoleLeft));
            } else if !is_known {
                objects.push((ObjectKind::Grant, name));
            }
        }
        for membership in &self.plan.memberships {
            let name = recorded_name(membership);
            if self.records.has(ObjectKind::Membership, &name) {
                continue;
            }
            // A role that the plan makes, and that somebody else made meanwhile, may come to do anything.
            let has_role = !self.plan.roles.contains(&membership.role)
                || own(ObjectKind::Role, &membership.role, &objects);
            let reason = match (own(ObjectKind::User, &membership.user, &objects), has_role) {
                (true, true) => {
                    objects.push((ObjectKind::Membership, name));
                    continue;
                }
                (true, false) => LeftReason::RoleLeft,
                (false, _) => LeftReason::UserLeft,
            };
            self.left.push(Left::new(ObjectKind::Membership, membership.to_string(), reason));
        }
        self.records.intend(self.work.store, self.work.attempt, objects).await
    }

    /// The passwords, on the disk, before any user is made.
    fn users_file(&self) -> Result<Option<UsersFile>, Problem> {
        let pending = |user: &&String| self.records.is_pending(ObjectKind::User, user);
        let users: Vec<_> = self.plan.users.iter().filter(pending).cloned().collect();
        let Some(file) = self.plan.users_file.as_ref().filter(|_| !users.is_empty()) else { return Ok(None) };
        let job_id = self.work.attempt.job_id().as_str();
        if let Some(found) = users_file::read(file, job_id)? {
            return Ok(Some(found));
        }
        let target = self.work.target.endpoint().to_string();
        users_file::make(file, job_id, &target, &users).map(Some)
    }

    async fn record(&mut self, kind: ObjectKind, names: Vec<String>) -> Result<(), Problem> {
        self.records.record(self.work.store, self.work.attempt, kind, names).await
    }

    /// Takes note of an object that turned out to be somebody else's, and of what hangs on it.
    async fn leave(&mut self, kind: ObjectKind, name: &str) -> Result<(), Problem> {
        let (store, attempt) = (self.work.store, self.work.attempt);
        self.left.push(Left::new(kind, name, LeftReason::MadeMeanwhile));
        self.records.forget(store, attempt, kind, vec![name.to_owned()]).await?;
        let of_role = |role: &str| kind == ObjectKind::Role && role == name;
        let grants: Vec<_> = self.plan.grants.iter().filter(|grant| of_role(&grant.role)).collect();
        let of_object = |user: &str, role: &str| kind == ObjectKind::User && user == name || of_role(role);
        let memberships = self.plan.memberships.iter();
        let memberships: Vec<_> =
            memberships.filter(|membership| of_object(&membership.user, &membership.role)).collect();
        let names = grants.iter().map(recorded_name).collect();
        self.records.forget(store, attempt, ObjectKind::Grant, names).await?;
        let names = memberships.iter().map(recorded_name).collect();
        self.records.forget(store, attempt, ObjectKind::Membership, names).await?;
        let reason = if kind == ObjectKind::User { LeftReason::UserLeft } else { LeftReason::RoleLeft };
        self.left.extend(grants.iter().map(|grant| Left::new(ObjectKind::Grant, grant.to_string(), reason)));
        let left = memberships.iter().map(|left| Left::new(ObjectKind::Membership, left.to_string(), reason));
        self.left.extend(left);
        Ok(())
    }

    /// Makes one object, and records that it was made or is another's.
    async fn make<Fut, Check>(
        &mut self,
        kind: ObjectKind,
        name: &str,
        call: impl Fn() -> Fut,
        is_own: impl Fn() -> Check,
    ) -> Result<(), Problem>
    where
        Fut: Future<Output = Result<(), Error>>,
        Check: Future<Output = Result<bool, Error>>,
    {
        let cancel = self.work.cancel;
        let made = async {
            let doubtful = self.doubtful.contains(&(kind, name.to_owned()));
            Ok(match create(cancel, doubtful, call).await? {
                Creation::Made => true,
                Creation::Exists { perhaps_own } => perhaps_own && repeat(cancel, is_own).await?,
            })
        };
        match made.await {
            Ok(true) => self.record(kind, vec![name.to_owned()]).await,
            Ok(false) => self.leave(kind, name).await,
            Err(error) => {
                self.fail(kind, name, &error);
                Ok(())
            }
        }
    }

    /// A failure, unless it only is the end that somebody wanted.
    fn fail(&mut self, kind: ObjectKind, name: impl std::fmt::Display, error: &Error) {
        if !self.work.cancel.is_cancelled() {
            self.problems.push(failed(kind, name, words_of(error)));
        }
    }

    async fn make_groups(&mut self) -> Result<(), Problem> {
        let (target, plan) = (self.work.target, self.plan);
        for group in &plan.privilege_groups {
            if self.is_over() {
                return Ok(());
            }
            if self.records.is_pending(ObjectKind::PrivilegeGroup, &group.name) {
                let made = self.make(
                    ObjectKind::PrivilegeGroup,
                    &group.name,
                    || target.create_privilege_group(&group.name),
                    || is_group_of_plan(target, plan, &group.name),
                );
                made.await?;
            }
            self.fill_group(group).await;
        }
        Ok(())
    }

    /// Fills a group of this job; once more where an earlier attempt may have ended before.
    async fn fill_group(&mut self, group: &PrivilegeGroup) {
        if !self.records.is_made(ObjectKind::PrivilegeGroup, &group.name) || group.privileges.is_empty() {
            return;
        }
        let target = self.work.target;
        let filled = async {
            let groups = repeat(self.work.cancel, || target.privilege_groups()).await?;
            if groups.iter().flatten().any(|known| known == group) {
                return Ok(());
            }
            repeat(self.work.cancel, || target.fill_privilege_group(group)).await
        };
        if let Err(error) = filled.await {
            self.fail(ObjectKind::PrivilegeGroup, &group.name, &error);
        }
    }

    async fn make_roles(&mut self) -> Result<(), Problem> {
        let (target, plan) = (self.work.target, self.plan);
        for role in &plan.roles {
            if self.is_over() {
                return Ok(());
            }
            if self.records.is_pending(ObjectKind::Role, role) {
                let own = || is_unused_role(target, role);
                self.make(ObjectKind::Role, role, || target.create_role(role), own).await?;
            }
        }
        Ok(())
    }

    async fn make_users(&mut self, file: Option<&UsersFile>) -> Result<(), Problem> {
        let (target, plan) = (self.work.target, self.plan);
        for user in &plan.users {
            if self.is_over() {
                return Ok(());
            }
            if !self.records.is_pending(ObjectKind::User, user) {
                continue;
            }
            let Some(password) = file.and_then(|file| file.password(user)) else {
                self.problems.push(failed(ObjectKind::User, user, no_password()));
                continue;
            };
            let (call, own) =
                (|| target.create_user(user, password), || has_password(target, user, password));
            self.make(ObjectKind::User, user, call, own).await?;
        }
        Ok(())
    }

    async fn make_grants(&mut self) -> Result<(), Problem> {
        let (target, plan, cancel) = (self.work.target, self.plan, self.work.cancel);
        if self.is_over() || plan.grants.is_empty() {
            return Ok(());
        }
        let groups = repeat(cancel, || target.privilege_groups()).await.map_err(all_failed)?;
        let calls = GrantCalls::of(groups.as_ref());
        let mut made = Vec::new();
        for grant in &plan.grants {
            if self.is_over() {
                break;
            }
            let name = recorded_name(grant);
            let has_role =
                is_built_in_role(&grant.role) || self.records.is_made(ObjectKind::Role, &grant.role);
            // A role that could not be made is a failure of its own.
            if !has_role || !self.records.is_pending(ObjectKind::Grant, &name) {
                continue;
            }
            match repeat(cancel, || target.grant(grant, plan.is_of_group(grant), calls)).await {
                Ok(()) => made.push(name),
                Err(error) => self.fail(ObjectKind::Grant, grant, &error),
            }
            if made.len() >= BATCH {
                self.record(ObjectKind::Grant, std::mem::take(&mut made)).await?;
            }
        }
        self.record(ObjectKind::Grant, made).await
    }

    async fn make_memberships(&mut self) -> Result<(), Problem> {
        let (target, plan, cancel) = (self.work.target, self.plan, self.work.cancel);
        let mut made = Vec::new();
        for membership in &plan.memberships {
            if self.is_over() {
                break;
            }
            let name = recorded_name(membership);
            let has_both = self.records.is_made(ObjectKind::User, &membership.user)
                && (!plan.roles.contains(&membership.role)
                    || self.records.is_made(ObjectKind::Role, &membership.role));
            // A user or a role that could not be made is a failure of its own.
            if !has_both || !self.records.is_pending(ObjectKind::Membership, &name) {
                continue;
            }
            match repeat(cancel, || target.add_to_role(&membership.user, &membership.role)).await {
                Ok(()) => made.push(name),
                Err(error) => self.fail(ObjectKind::Membership, membership, &error),
            }
            if made.len() >= BATCH {
                self.record(ObjectKind::Membership, std::mem::take(&mut made)).await?;
            }
        }
        self.record(ObjectKind::Membership, made).await
    }

    /// Reads from the target what was made: an acknowledgement is no proof.
    async fn prove(&mut self) -> Result<(), Problem> {
        let (target, plan, cancel) = (self.work.target, self.plan, self.work.cancel);
        let roles = repeat(cancel, || target.roles()).await.map_err(all_failed)?;
        let users = repeat(cancel, || target.users()).await.map_err(all_failed)?;
        let groups = repeat(cancel, || target.privilege_groups()).await.map_err(all_failed)?;
        let (of_roles, of_dbs): (BTreeSet<_>, BTreeSet<_>) =
            plan.grants.iter().map(|grant| (grant.role.clone(), grant.db.clone())).unzip();
        let of_roles = of_roles.into_iter().filter(|role| roles.contains(role)).collect();
        let grants = repeat(cancel, || read::grants(target, &of_roles, &of_dbs)).await.map_err(all_failed)?;
        let is_there = |grant: &Grant| grants.contains(grant);
        let mut absent = Vec::new();
        let mut check = |kind, recorded: &str, shown: &dyn std::fmt::Display, there: bool| {
            if self.records.is_made(kind, recorded) && !there {
                absent.push(failed(kind, shown, absent_although_made()));
            }
        };
        for group in &plan.privilege_groups {
            let there = groups.iter().flatten().any(|known| known == group);
            check(ObjectKind::PrivilegeGroup, &group.name, &group.name, there);
        }
        for role in &plan.roles {
            check(ObjectKind::Role, role, role, roles.contains(role));
        }
        for grant in &plan.grants {
            check(ObjectKind::Grant, &recorded_name(grant), grant, is_there(grant));
        }
        let user_of = |name: &str| users.iter().find(|user| user.name == name);
        for user in &plan.users {
            check(ObjectKind::User, user, user, user_of(user).is_some());
        }
        for membership in &plan.memberships {
            let there = user_of(&membership.user).is_some_and(|user| user.roles.contains(&membership.role));
            check(ObjectKind::Membership, &recorded_name(membership), membership, there);
        }
        self.problems.extend(absent.into_iter().take(FAILURES_MAX));
        Ok(())
    }
}

/// A call that makes something, repeated while its failures are of the kind that passes.
async fn create<Fut>(
    cancel: &CancellationToken,
    doubtful: bool,
    call: impl Fn() -> Fut,
) -> Result<Creation, Error>
where
    Fut: Future<Output = Result<(), Error>>,
{
    let calls = AtomicU32::new(0);
    let counted = || {
        calls.fetch_add(1, Ordering::Relaxed);
        call()
    };
    match repeat(cancel, counted).await {
        Ok(()) => Ok(Creation::Made),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Ok(Creation::Exists { perhaps_own: doubtful || calls.load(Ordering::Relaxed) > 1 })
        }
        Err(error) => Err(error),
    }
}

impl RbacPlan {
    /// Whether users are made with passwords of a file.
    pub(super) fn has_users_file(&self) -> bool {
        self.passwords == Passwords::Generated
    }
}
