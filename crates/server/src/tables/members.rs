//! Who belongs to an organization and its projects, and as what.

use std::collections::BTreeMap;

use vecferry_store::{Change, Error, Record};

use super::sessions::added_link;
use super::users::added_user;
use super::{PAGE_ROWS, Tables, new_id, unknown};
use crate::access::{OrganizationRole, ProjectRole};

/// A member of an organization as recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MemberRecord {
    pub(crate) user_id: String,
    pub(crate) email: String,
    pub(crate) name: String,
    pub(crate) role: OrganizationRole,
}

/// A member of a project as recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProjectMemberRecord {
    pub(crate) user_id: String,
    pub(crate) email: String,
    pub(crate) name: String,
    pub(crate) role: ProjectRole,
}

/// Roles in projects that are read at once.
const ROLES_MAX: i64 = 10_000;

/// What somebody may be in an organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Membership {
    pub(crate) role: OrganizationRole,
    pub(crate) projects: BTreeMap<String, ProjectRole>,
}

fn organization_role(record: &Record, column: usize) -> Result<OrganizationRole, Error> {
    let name = record.text(column)?;
    OrganizationRole::of_name(&name).ok_or_else(|| unknown("role", name))
}

/// The role in a column.
pub(super) fn project_role(record: &Record, column: usize) -> Result<ProjectRole, Error> {
    let name = record.text(column)?;
    ProjectRole::of_name(&name).ok_or_else(|| unknown("role", name))
}

/// Somebody becomes a member of an organization.
pub(super) fn added_member(org_id: &str, user_id: &str, role: OrganizationRole, now: i64) -> Change {
    let sql = "INSERT INTO members (org_id, user_id, role, joined_ms) VALUES ($1, $2, $3, $4)";
    Change::new(sql, [org_id.into(), user_id.into(), role.name().into(), now.into()])
}

/// Two owners who remove each other at the same time do so one behind the other: the second one sees that it is the last.
fn locked(org_id: &str) -> Change {
    Change::new("UPDATE organizations SET name = name WHERE org_id = $1", [org_id.into()])
}

impl Tables {
    /// Records a person who is a member of an organization from now on, with a link to sign in. An address that is taken is
    /// [`vecferry_store::ErrorKind::Taken`].
    pub(crate) async fn add_member(
        &self,
        org_id: &str,
        person: (&str, &str),
        role: OrganizationRole,
        link_hash: &str,
    ) -> Result<String, Error> {
        let (user_id, now) = (new_id("user"), self.now_ms().await?);
        let changes = [
            added_user(&user_id, person, now),
            added_member(org_id, &user_id, role, now),
            added_link(link_hash, &user_id, now),
        ];
        self.change(changes).await?;
        Ok(user_id)
    }

    /// Makes somebody who is recorded a member of an organization, with a link to sign in.
    pub(crate) async fn join(
        &self,
        org_id: &str,
        user_id: &str,
        role: OrganizationRole,
        link_hash: &str,
    ) -> Result<(), Error> {
        let now = self.now_ms().await?;
        let changes = [added_member(org_id, user_id, role, now), added_link(link_hash, user_id, now)];
        self.change(changes).await.map(drop)
    }

    /// Ends a membership with all roles in projects, sessions and personal keys of it. The last owner stays: tells whether
    /// the membership ended.
    pub(crate) async fn remove_member(&self, org_id: &str, user_id: &str) -> Result<bool, Error> {
        let now = self.now_ms().await?;
        let removed = self
            .change([
                locked(org_id),
                Change::new(
                    "DELETE FROM members WHERE org_id = $1 AND user_id = $2 AND (role <> 'owner' OR EXISTS \
                     (SELECT 1 FROM members o WHERE o.org_id = $1 AND o.user_id <> $2 AND o.role = 'owner'))",
                    [org_id.into(), user_id.into()],
                )
                .exactly(1),
                Change::new(
                    "DELETE FROM project_members WHERE user_id = $2 AND project_id IN \
                     (SELECT project_id FROM projects WHERE org_id = $1)",
                    [org_id.into(), user_id.into()],
                ),
                Change::new(
                    "DELETE FROM sessions WHERE org_id = $1 AND user_id = $2",
                    [org_id.into(), user_id.into()],
                ),
                Change::new(
                    "UPDATE api_keys SET revoked_ms = $3 WHERE org_id = $1 AND user_id = $2 AND revoked_ms IS NULL",
                    [org_id.into(), user_id.into(), now.into()],
                ),
            ])
            .await;
        match removed {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == vecferry_store::ErrorKind::Unmet => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gives a member another role. The last owner stays one: tells whether the role was given.
    pub(crate) async fn set_role(
        &self,
        org_id: &str,
        user_id: &str,
        role: OrganizationRole,
    ) -> Result<bool, Error> {
        let sql = "UPDATE members SET role = $3 WHERE org_id = $1 AND user_id = $2 AND ($3 = 'owner' OR role <> 'owner' \
            OR EXISTS (SELECT 1 FROM members o WHERE o.org_id = $1 AND o.user_id <> $2 AND o.role = 'owner'))";
        let values = [org_id.into(), user_id.into(), role.name().into()];
        Ok(self.change([locked(org_id), Change::new(sql, values)]).await?.last() == Some(&1))
    }

    /// The members of an organization, not more than a page, behind one of them.
    pub(crate) async fn members(&self, org_id: &str, after: &str) -> Result<Vec<MemberRecord>, Error> {
        let sql = "SELECT u.user_id, u.email, u.name, m.role FROM members m JOIN users u ON u.user_id = m.user_id \
            WHERE m.org_id = $1 AND m.user_id > $2 ORDER BY m.user_id LIMIT $3";
        self.rows(sql, [org_id.into(), after.into(), PAGE_ROWS.into()], |record| {
            Ok(MemberRecord {
                user_id: record.text(0)?,
                email: record.text(1)?,
                name: record.text(2)?,
                role: organization_role(record, 3)?,
            })
        })
        .await
    }

    /// The first organization that somebody belongs to.
    pub(crate) async fn organization_of(&self, user_id: &str) -> Result<Option<String>, Error> {
        let sql = "SELECT org_id FROM members WHERE user_id = $1 ORDER BY joined_ms, org_id LIMIT 1";
        self.row(sql, [user_id.into()], |record| record.text(0)).await
    }

    /// What somebody is in an organization; none for who does not belong to it.
    pub(crate) async fn membership(&self, org_id: &str, user_id: &str) -> Result<Option<Membership>, Error> {
        let sql = "SELECT role FROM members WHERE org_id = $1 AND user_id = $2";
        let of = [org_id.into(), user_id.into()];
        let Some(role) = self.row(sql, of, |record| organization_role(record, 0)).await? else {
            return Ok(None);
        };
        let sql = "SELECT m.project_id, m.role FROM project_members m JOIN projects p \
            ON p.project_id = m.project_id WHERE p.org_id = $1 AND m.user_id = $2 AND p.removed_ms IS NULL";
        let of = [org_id.into(), user_id.into()];
        let projects = self.rows(sql, of, |record| Ok((record.text(0)?, project_role(record, 1)?))).await?;
        Ok(Some(Membership { role, projects: projects.into_iter().collect() }))
    }

    /// Gives a member a role in a project, or takes it.
    pub(crate) async fn set_project_role(
        &self,
        project_id: &str,
        user_id: &str,
        role: Option<ProjectRole>,
    ) -> Result<(), Error> {
        let mut changes = vec![Change::new(
            "DELETE FROM project_members WHERE project_id = $1 AND user_id = $2",
            [project_id.into(), user_id.into()],
        )];
        if let Some(role) = role {
            changes.push(Change::new(
                "INSERT INTO project_members (project_id, user_id, role) VALUES ($1, $2, $3)",
                [project_id.into(), user_id.into(), role.name().into()],
            ));
        }
        self.change(changes).await.map(drop)
    }

    /// The members of a project, by user.
    pub(crate) async fn project_members(&self, project_id: &str) -> Result<Vec<ProjectMemberRecord>, Error> {
        let sql = "SELECT u.user_id, u.email, u.name, m.role FROM project_members m \
            JOIN users u ON u.user_id = m.user_id WHERE m.project_id = $1 ORDER BY u.user_id LIMIT $2";
        self.rows(sql, [project_id.into(), ROLES_MAX.into()], |record| {
            Ok(ProjectMemberRecord {
                user_id: record.text(0)?,
                email: record.text(1)?,
                name: record.text(2)?,
                role: project_role(record, 3)?,
            })
        })
        .await
    }

    /// The roles that members of an organization have in its projects, as user, project and role.
    pub(crate) async fn roles_in_projects(
        &self,
        org_id: &str,
    ) -> Result<Vec<(String, String, ProjectRole)>, Error> {
        let sql = "SELECT m.user_id, m.project_id, m.role FROM project_members m JOIN projects p \
            ON p.project_id = m.project_id WHERE p.org_id = $1 AND p.removed_ms IS NULL \
            ORDER BY m.user_id, m.project_id LIMIT $2";
        self.rows(sql, [org_id.into(), ROLES_MAX.into()], |record| {
            Ok((record.text(0)?, record.text(1)?, project_role(record, 2)?))
        })
        .await
    }
}
