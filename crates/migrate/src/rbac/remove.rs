//! Taking back what a job made, and nothing else.

use std::collections::BTreeSet;

use tokio_util::sync::CancellationToken;
use vecferry_milvus::rbac::{GrantCalls, is_built_in_role};
use vecferry_milvus::{Client, Error};
use vecferry_store::{Attempt, Store};

use super::ownership::{Records, has_password, is_group_of_plan, is_unused_role, recorded_name};
use super::{ObjectKind, RbacPlan, read, users_file};
use crate::cluster::retry::repeat;
use crate::problem::{Code, Problem, Told, words_of};

/// Removes the job's own users, grants, roles and privilege groups, and the file of passwords with its users.
pub(crate) async fn remove(
    store: &dyn Store,
    attempt: &Attempt,
    target: &Client,
    plan: Option<&RbacPlan>,
    removed: &mut Vec<Told>,
    problems: &mut Vec<Problem>,
) {
    let Some(plan) = plan else { return };
    let records = match Records::read(store, attempt.job_id()).await {
        Ok(records) => records,
        Err(problem) => return problems.push(problem),
    };
    if records.is_empty() {
        return;
    }
    let never = CancellationToken::new();
    let mut removal = Removal { store, attempt, target, plan, records, never, removed, problems };
    if let Err(problem) = Box::pin(removal.run()).await {
        removal.problems.push(problem);
    }
}

struct Removal<'a> {
    store: &'a dyn Store,
    attempt: &'a Attempt,
    target: &'a Client,
    plan: &'a RbacPlan,
    records: Records,
    never: CancellationToken,
    removed: &'a mut Vec<Told>,
    problems: &'a mut Vec<Problem>,
}

/// Whose it is can't be told by a password.
fn unknown_user() -> Told {
    Told::both(
        "it is not known whether this job created this user, so it is kept; drop it by hand if you don't need it",
        "无法确认该用户是否由本任务创建，因此予以保留；如不需要，请手动删除",
    )
}

impl Removal<'_> {
    async fn run(&mut self) -> Result<(), Problem> {
        self.users().await?;
        self.grants().await?;
        self.roles().await?;
        self.groups().await
    }

    fn failed(&self, object: Told, detail: impl Into<Told>) -> Problem {
        Problem::new(Code::CleanFailed)
            .told("object", object)
            .with("job", self.attempt.job_id())
            .told("detail", detail)
    }

    async fn forget(&mut self, kind: ObjectKind, names: Vec<String>) -> Result<(), Problem> {
        self.records.forget(self.store, self.attempt, kind, names).await
    }

    /// Notes how a removal went. What failed stays recorded.
    async fn note(
        &mut self,
        kind: ObjectKind,
        name: &str,
        outcome: Result<bool, Error>,
    ) -> Result<bool, Problem> {
        match outcome {
            Ok(was_own) => {
                if was_own {
                    self.removed.push(kind.told(Some(&name)));
                }
                self.forget(kind, vec![name.to_owned()]).await?;
                Ok(true)
            }
            Err(error) => {
                let problem = self.failed(kind.told(Some(&name)), words_of(&error));
                self.problems.push(problem);
                Ok(false)
            }
        }
    }

    /// Users go with their memberships.
    async fn users(&mut self) -> Result<(), Problem> {
        let (plan, target) = (self.plan, self.target);
        let file = match plan.users_file.as_ref().filter(|_| plan.has_users_file()) {
            Some(file) => users_file::read(file, self.attempt.job_id().as_str())?,
            None => None,
        };
        let there = repeat(&self.never, || target.users()).await;
        let there = there.map_err(|error| self.failed(ObjectKind::User.told(None), words_of(&error)))?;
        let mut all_gone = true;
        for user in
            plan.users.iter().filter(|user| !self.is_unknown(ObjectKind::User, user)).collect::<Vec<_>>()
        {
            let is_there = there.iter().any(|known| known.name == *user);
            let made = self.records.is_made(ObjectKind::User, user);
            let password = file.as_ref().and_then(|file| file.password(user));
            // An earlier version, which made users by a restore, may have made this one.
            if is_there && !made && !plan.has_users_file() {
                let problem = self.failed(ObjectKind::User.told(Some(&user)), unknown_user());
                self.problems.push(problem);
            }
            let outcome = async {
                let is_own = match (is_there, made, password) {
                    (false, ..) => false,
                    (true, true, _) => true,
                    (true, false, Some(password)) => has_password(target, user, password).await?,
                    (true, false, None) => false,
                };
                if is_own {
                    repeat(&self.never, || target.drop_user(user)).await?;
                }
                Ok(is_own)
            };
            let outcome = outcome.await;
            if self.note(ObjectKind::User, user, outcome).await? {
                let names = plan.memberships_of(user).map(recorded_name).collect();
                self.forget(ObjectKind::Membership, names).await?;
            } else {
                all_gone = false;
            }
        }
        if let Some(path) = plan.users_file.as_ref().filter(|_| all_gone && file.is_some())
            && users_file::remove(path, self.attempt.job_id().as_str())?
        {
            self.removed.push(path.display().to_string().into());
        }
        Ok(())
    }

    fn is_unknown(&self, kind: ObjectKind, name: &str) -> bool {
        !self.records.has(kind, name)
    }

    /// Grants that are still there.
    async fn grants(&mut self) -> Result<(), Problem> {
        let (plan, target) = (self.plan, self.target);
        let known = |grant: &&vecferry_milvus::rbac::Grant| {
            self.records.has(ObjectKind::Grant, &recorded_name(grant))
        };
        let own: Vec<_> = plan.grants.iter().filter(known).collect();
        let there = async {
            let roles = repeat(&self.never, || target.roles()).await?;
            let of_roles = own.iter().map(|grant| grant.role.clone()).filter(|role| roles.contains(role));
            let (of_roles, of_dbs) =
                (of_roles.collect(), own.iter().map(|grant| grant.db.clone()).collect::<BTreeSet<_>>());
            repeat(&self.never, || read::grants(target, &of_roles, &of_dbs)).await
        };
        let there = there.await;
        let there =
            there.map_err(|error: Error| self.failed(ObjectKind::Grant.told(None), words_of(&error)))?;
        let groups = repeat(&self.never, || target.privilege_groups()).await;
        let groups =
            groups.map_err(|error| self.failed(ObjectKind::PrivilegeGroup.told(None), words_of(&error)))?;
        let calls = GrantCalls::of(groups.as_ref());
        for grant in own {
            let is_there = there.contains(grant);
            if is_there && let Err(error) = repeat(&self.never, || target.revoke(grant, calls)).await {
                let object = ObjectKind::Grant.told(Some(grant));
                let problem = self.failed(object, words_of(&error));
                self.problems.push(problem);
                continue;
            }
            // Those of the job's own roles go with the role, and are not listed.
            if is_there && is_built_in_role(&grant.role) {
                self.removed.push(ObjectKind::Grant.told(Some(grant)));
            }
            self.forget(ObjectKind::Grant, vec![recorded_name(grant)]).await?;
        }
        Ok(())
    }

    /// Roles. The server refuses to drop one that others gave grants by now, and says so.
    async fn roles(&mut self) -> Result<(), Problem> {
        let (plan, target) = (self.plan, self.target);
        let there = repeat(&self.never, || target.roles()).await;
        let there = there.map_err(|error| self.failed(ObjectKind::Role.told(None), words_of(&error)))?;
        for role in &plan.roles {
            if self.is_unknown(ObjectKind::Role, role) {
                continue;
            }
            let made = self.records.is_made(ObjectKind::Role, role);
            let outcome = async {
                let is_own = there.contains(role) && (made || is_unused_role(target, role).await?);
                if is_own {
                    repeat(&self.never, || target.drop_role(role)).await?;
                }
                Ok(is_own)
            };
            let outcome = outcome.await;
            self.note(ObjectKind::Role, role, outcome).await?;
        }
        Ok(())
    }

    async fn groups(&mut self) -> Result<(), Problem> {
        let (plan, target) = (self.plan, self.target);
        for group in &plan.privilege_groups {
            if self.is_unknown(ObjectKind::PrivilegeGroup, &group.name) {
                continue;
            }
            let made = self.records.is_made(ObjectKind::PrivilegeGroup, &group.name);
            let outcome = async {
                let groups = repeat(&self.never, || target.privilege_groups()).await?;
                let is_there = groups.iter().flatten().any(|known| known.name == group.name);
                let is_own = is_there && (made || is_group_of_plan(target, plan, &group.name).await?);
                if is_own {
                    repeat(&self.never, || target.drop_privilege_group(&group.name)).await?;
                }
                Ok(is_own)
            };
            let outcome = outcome.await;
            self.note(ObjectKind::PrivilegeGroup, &group.name, outcome).await?;
        }
        Ok(())
    }
}
