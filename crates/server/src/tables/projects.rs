//! Organizations and their projects.

use std::collections::{BTreeMap, BTreeSet};

use vecferry_store::{Change, Error, Record, Value};

use super::clusters::holding;
use super::members::added_member;
use super::sessions::added_link;
use super::users::added_user;
use super::{PAGE_ROWS, Tables, new_id, places};
use crate::access::OrganizationRole;

/// A project as recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProjectRecord {
    pub(crate) project_id: String,
    pub(crate) org_id: String,
    pub(crate) name: String,
    pub(crate) created_ms: i64,
    /// Clusters that are registered in it.
    pub(crate) clusters: i64,
    /// Migrations under way, into it or out of it.
    pub(crate) running: i64,
}

/// Which projects of an organization, in the order in which they were made.
#[derive(Clone, Debug)]
pub(crate) struct ProjectPage {
    /// Only these, where they are given: those that somebody sees.
    pub(crate) only: Option<Vec<String>>,
    /// Only those with this text in the name or ID.
    pub(crate) search: String,
    /// Only those behind this one.
    pub(crate) after: String,
    pub(crate) rows: i64,
}

impl Default for ProjectPage {
    fn default() -> Self {
        Self { only: None, search: String::new(), after: String::new(), rows: PAGE_ROWS }
    }
}

/// Names that one query asks for.
const NAMES_PER_QUERY: usize = 500;

const COLUMNS: &str = "p.project_id, p.org_id, p.name, p.created_ms, \
    (SELECT COUNT(*) FROM clusters c WHERE c.project_id = p.project_id AND c.removed_ms IS NULL), \
    (SELECT COUNT(*) FROM migrations m WHERE m.project_id = p.project_id AND m.state IN ('IN_PROGRESS', 'CANCELING')) + \
    (SELECT COUNT(*) FROM migrations m WHERE m.source_project_id = p.project_id AND m.project_id <> p.project_id \
    AND m.state IN ('IN_PROGRESS', 'CANCELING'))";

fn read(record: &Record) -> Result<ProjectRecord, Error> {
    Ok(ProjectRecord {
        project_id: record.text(0)?,
        org_id: record.text(1)?,
        name: record.text(2)?,
        created_ms: record.integer(3)?,
        clusters: record.integer(4)?,
        running: record.integer(5)?,
    })
}

impl Tables {
    /// The first organization, if there is one.
    pub(crate) async fn first_organization(&self) -> Result<Option<String>, Error> {
        let sql = "SELECT org_id FROM organizations ORDER BY org_id LIMIT 1";
        self.row(sql, [], |record| record.text(0)).await
    }

    /// Makes an organization with its first project and its owner, who signs in by a link the first time: all of it, or
    /// nothing, so that a start that was interrupted is tried again. An owner who is recorded already is
    /// [`vecferry_store::ErrorKind::Taken`].
    pub(crate) async fn add_organization(
        &self,
        (name, project): (&str, &str),
        owner: (&str, &str),
        link_hash: &str,
    ) -> Result<(), Error> {
        let (org_id, project_id, now) = (new_id("org"), new_id("proj"), self.now_ms().await?);
        let user_id = new_id("user");
        self.change([
            added_user(&user_id, owner, now),
            Change::new(
                "INSERT INTO organizations (org_id, name, edition, created_ms) VALUES ($1, $2, $3, $4)",
                [
                    (&org_id).into(),
                    name.into(),
                    vecferry_policy::compatibility::EDITION_DEFAULT.into(),
                    now.into(),
                ],
            ),
            added(&org_id, &project_id, project, now),
            added_member(&org_id, &user_id, OrganizationRole::Owner, now),
            added_link(link_hash, &user_id, now),
        ])
        .await
        .map(drop)
    }

    /// The name of the policy edition of an organization.
    pub(crate) async fn edition(&self, org_id: &str) -> Result<Option<String>, Error> {
        let sql = "SELECT edition FROM organizations WHERE org_id = $1";
        self.row(sql, [org_id.into()], |record| record.text(0)).await
    }

    /// The name of an organization.
    pub(crate) async fn organization_name(&self, org_id: &str) -> Result<Option<String>, Error> {
        let sql = "SELECT name FROM organizations WHERE org_id = $1";
        self.row(sql, [org_id.into()], |record| record.text(0)).await
    }

    /// Names an organization.
    pub(crate) async fn rename_organization(&self, org_id: &str, name: &str) -> Result<(), Error> {
        let sql = "UPDATE organizations SET name = $2 WHERE org_id = $1";
        self.change([Change::new(sql, [org_id.into(), name.into()]).exactly(1)]).await.map(drop)
    }

    /// Sets the policy edition of an organization.
    pub(crate) async fn set_edition(&self, org_id: &str, edition: &str) -> Result<(), Error> {
        let sql = "UPDATE organizations SET edition = $2 WHERE org_id = $1";
        self.change([Change::new(sql, [org_id.into(), edition.into()]).exactly(1)]).await.map(drop)
    }

    /// Makes a project, and returns its ID.
    pub(crate) async fn add_project(&self, org_id: &str, name: &str) -> Result<String, Error> {
        let (project_id, now) = (new_id("proj"), self.now_ms().await?);
        self.change([added(org_id, &project_id, name, now)]).await?;
        Ok(project_id)
    }

    /// A page of the projects of an organization.
    pub(crate) async fn projects(
        &self,
        org_id: &str,
        page: ProjectPage,
    ) -> Result<Vec<ProjectRecord>, Error> {
        let mut values: Vec<Value> = vec![org_id.into(), page.after.into(), page.rows.into()];
        let mut more = String::new();
        if let Some(only) = page.only {
            if only.is_empty() {
                return Ok(Vec::new());
            }
            more.push_str(&format!(" AND p.project_id IN ({})", places(values.len() + 1, only.len())));
            values.extend(only.into_iter().map(Value::from));
        }
        if !page.search.is_empty() {
            values.push(holding(&page.search).into());
            let place = values.len();
            let has = |column: &str| format!("LOWER(p.{column}) LIKE ${place} ESCAPE '\\'");
            more.push_str(&format!(" AND ({} OR {})", has("name"), has("project_id")));
        }
        let sql = format!(
            "SELECT {COLUMNS} FROM projects p WHERE p.org_id = $1 AND p.removed_ms IS NULL AND p.project_id > $2{more} \
             ORDER BY p.project_id LIMIT $3"
        );
        self.rows(&sql, values, read).await
    }

    /// The names of projects of an organization by their IDs, also of those that are removed.
    pub(crate) async fn project_names<'a>(
        &self,
        org_id: &str,
        project_ids: impl IntoIterator<Item = &'a str>,
    ) -> Result<BTreeMap<String, String>, Error> {
        let project_ids: BTreeSet<_> = project_ids.into_iter().collect();
        let project_ids: Vec<_> = project_ids.into_iter().collect();
        let mut names = BTreeMap::new();
        for some in project_ids.chunks(NAMES_PER_QUERY) {
            let places = places(2, some.len());
            let sql = format!(
                "SELECT project_id, name FROM projects WHERE org_id = $1 AND project_id IN ({places})"
            );
            let values = [Value::from(org_id)].into_iter().chain(some.iter().map(|id| Value::from(*id)));
            names.extend(self.rows(&sql, values, |record| Ok((record.text(0)?, record.text(1)?))).await?);
        }
        Ok(names)
    }

    /// A project of an organization.
    pub(crate) async fn project(
        &self,
        org_id: &str,
        project_id: &str,
    ) -> Result<Option<ProjectRecord>, Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM projects p WHERE p.project_id = $1 AND p.org_id = $2 AND p.removed_ms IS NULL"
        );
        self.row(&sql, [project_id.into(), org_id.into()], read).await
    }

    /// Renames a project.
    pub(crate) async fn rename_project(&self, project_id: &str, name: &str) -> Result<(), Error> {
        let sql = "UPDATE projects SET name = $2 WHERE project_id = $1 AND removed_ms IS NULL";
        self.change([Change::new(sql, [project_id.into(), name.into()]).exactly(1)]).await.map(drop)
    }

    /// Removes a project that has no clusters and no job that is not at its end. Tells whether it did.
    pub(crate) async fn remove_project(&self, project_id: &str) -> Result<bool, Error> {
        let sql = "UPDATE projects SET removed_ms = $2 WHERE project_id = $1 AND removed_ms IS NULL \
            AND NOT EXISTS (SELECT 1 FROM clusters c WHERE c.project_id = $1 AND c.removed_ms IS NULL) \
            AND NOT EXISTS (SELECT 1 FROM migrations m WHERE (m.project_id = $1 OR m.source_project_id = $1) \
                AND (m.wanted IS NOT NULL OR m.holder IS NOT NULL OR m.state = 'READY'))";
        let now = self.now_ms().await?;
        // As with clusters: what is added meanwhile is seen behind the lock only.
        let locked = "UPDATE projects SET name = name WHERE project_id = $1";
        let changed = self
            .change([
                Change::new(locked, [project_id.into()]),
                Change::new(sql, [project_id.into(), now.into()]),
            ])
            .await?;
        Ok(changed.last() == Some(&1))
    }
}

fn added(org_id: &str, project_id: &str, name: &str, now: i64) -> Change {
    Change::new(
        "INSERT INTO projects (project_id, org_id, name, created_ms) VALUES ($1, $2, $3, $4)",
        [project_id.into(), org_id.into(), name.into(), now.into()],
    )
}
