//! Projects that a form offers. An organization may have more than a form can show: then they are searched for.

use serde::Deserialize;

use crate::api::Refusal;
use crate::console::frame::{ProjectLink, Visit};
use crate::tables::{ProjectPage, ProjectRecord};

/// Projects that a form offers at once.
const OFFERED: i64 = 200;

/// What was searched for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Found {
    pub(super) search: String,
}

/// The projects of a form.
#[derive(Debug)]
pub(super) struct Offered {
    pub(super) projects: Vec<ProjectLink>,
    pub(super) search: String,
    /// Whether there are more of them.
    pub(super) is_cut: bool,
}

impl Offered {
    /// Whether projects can be searched for.
    pub(super) fn has_search(&self) -> bool {
        self.is_cut || !self.search.is_empty()
    }
}

/// The projects with a text in the name or ID in which the caller may change something, and those that were chosen already.
pub(super) async fn offered(visit: &Visit, search: &str, chosen: &[String]) -> Result<Offered, Refusal> {
    let search = search.trim().to_owned();
    let may = visit.caller.administered();
    let page = ProjectPage {
        only: may.clone(),
        search: search.clone(),
        rows: OFFERED + 1,
        ..ProjectPage::default()
    };
    let tables = visit.service.tables();
    let mut found = tables.projects(&visit.caller.org_id, page).await?;
    let shown = usize::try_from(OFFERED).unwrap_or(usize::MAX);
    let is_cut = found.len() > shown;
    found.truncate(shown);
    let is_found = |id: &&String| found.iter().any(|project| project.project_id == **id);
    let is_allowed = |id: &&String| may.as_ref().is_none_or(|may| may.contains(id));
    let missing: Vec<_> = chosen.iter().filter(|id| !is_found(id) && is_allowed(id)).cloned().collect();
    let page = ProjectPage { only: Some(missing), rows: OFFERED, ..ProjectPage::default() };
    let missing = tables.projects(&visit.caller.org_id, page).await?;
    let link = |project: ProjectRecord| ProjectLink { id: project.project_id, name: project.name };
    let projects = missing.into_iter().chain(found).map(link).collect();
    Ok(Offered { projects, search, is_cut })
}

/// Whether there is a project in which the caller may change something.
pub(super) async fn any_offered(visit: &Visit) -> Result<bool, Refusal> {
    let page = ProjectPage { only: visit.caller.administered(), rows: 1, ..ProjectPage::default() };
    Ok(!visit.service.tables().projects(&visit.caller.org_id, page).await?.is_empty())
}
