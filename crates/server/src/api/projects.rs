//! Projects.

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use vecferry_migrate::{Code, Problem};

use super::answer::{Answer, Done, Made, Refusal, Refused, Result, answer, answer_made, done};
use super::extract::{Body, Owner, Path, Query, Signed, not_allowed, optional_text, text, time};
use crate::access::{Action, Caller};
use crate::service::Service;
use crate::tables::{ProjectPage, ProjectRecord};

/// What people call a project.
pub(crate) const KIND: (&str, &str) = ("project", "项目");
/// Characters of a name.
pub(crate) const NAME_CHARACTERS_MAX: usize = 64;

/// Characters of what is searched for.
const SEARCH_CHARACTERS_MAX: usize = 200;

/// A project, as the cloud's API shows it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Project {
    #[schema(example = "proj-0197b1e0c2d37c0f8a4b2f9f6f2f7c1a")]
    pub(crate) project_id: String,
    #[schema(example = "Default Project")]
    pub(crate) project_name: String,
    /// Clusters that are registered in it.
    pub(crate) instance_count: i64,
    /// Migrations under way, into the project or out of it.
    pub(crate) running_migrations: i64,
    pub(crate) create_time: String,
    /// The caller's role: `admin`, `readWrite` or `readOnly`.
    #[schema(example = "admin")]
    pub(crate) role: &'static str,
}

fn shown(caller: &Caller, record: ProjectRecord) -> Option<Project> {
    let role = caller.role_in(&record.project_id)?.name();
    Some(Project {
        project_id: record.project_id,
        project_name: record.name,
        instance_count: record.clusters,
        running_migrations: record.running,
        create_time: time(record.created_ms),
        role,
    })
}

/// A project that the caller sees, and in which an action is allowed.
pub(crate) async fn project(
    service: &Service,
    caller: &Caller,
    project_id: &str,
    action: Action,
) -> std::result::Result<ProjectRecord, Refusal> {
    let record = service.tables().project(&caller.org_id, project_id).await?;
    let record = record.filter(|_| caller.may(Action::Look, project_id));
    let record = record.ok_or_else(|| Refusal::absent(KIND, project_id))?;
    if !caller.may(action, project_id) {
        return Err(not_allowed(action.needs().title(), caller.title_in(project_id)));
    }
    Ok(record)
}

/// Which page of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct After {
    /// The last one of the page before.
    #[serde(default)]
    pub(crate) after: String,
}

/// Which projects.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ProjectsQuery {
    /// The last one of the page before.
    #[serde(default)]
    pub(crate) after: String,
    /// Only those with this text in the name or ID, in upper or lower case.
    #[serde(default)]
    pub(crate) search: String,
}

/// A name.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ProjectName {
    #[schema(example = "Search")]
    pub(crate) project_name: String,
}

/// What was made.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProjectMade {
    pub(crate) project_id: String,
}

/// The projects that the caller sees, 100 a page
#[utoipa::path(get, path = "/v2/projects", tag = "Projects", operation_id = "listProjects", params(ProjectsQuery), security(("apiKey" = []), ("session" = [])),
    responses((status = 200, body = Answer<Vec<Project>>), (status = "default", body = Refused)))]
pub(crate) async fn list(
    State(service): State<Arc<Service>>,
    Signed(caller): Signed,
    Query(ProjectsQuery { after, search }): Query<ProjectsQuery>,
) -> Result<Vec<Project>> {
    let search = optional_text("search", &search, SEARCH_CHARACTERS_MAX)?;
    let page = ProjectPage { only: caller.visible(), search, after, ..ProjectPage::default() };
    let projects = service.tables().projects(&caller.org_id, page).await?;
    answer(projects.into_iter().filter_map(|project| shown(&caller, project)).collect())
}

/// Make a project; takes an Organization Owner
#[utoipa::path(post, path = "/v2/projects", tag = "Projects", operation_id = "createProject", request_body = ProjectName,
    security(("apiKey" = []), ("session" = [])),
    responses((status = 200, body = Answer<ProjectMade>), (status = "default", body = Refused)))]
pub(crate) async fn create(
    State(service): State<Arc<Service>>,
    Owner(caller): Owner,
    Body(ProjectName { project_name }): Body<ProjectName>,
) -> Result<ProjectMade> {
    let name = text("projectName", &project_name, NAME_CHARACTERS_MAX)?;
    let project_id = service.tables().add_project(&caller.org_id, &name).await?;
    let made = Made::named(&project_id, &name);
    answer_made(ProjectMade { project_id }, made)
}

/// A project
#[utoipa::path(get, path = "/v2/projects/{projectId}", tag = "Projects", operation_id = "showProject", security(("apiKey" = []), ("session" = [])),
    params(("projectId" = String, Path, description = "The project")),
    responses((status = 200, body = Answer<Project>), (status = "default", body = Refused)))]
pub(crate) async fn show(
    State(service): State<Arc<Service>>,
    Signed(caller): Signed,
    Path(project_id): Path<String>,
) -> Result<Project> {
    let record = project(&service, &caller, &project_id, Action::Look).await?;
    answer(shown(&caller, record).ok_or_else(|| Refusal::absent(KIND, &project_id))?)
}

/// Rename a project; takes a Project Admin
#[utoipa::path(patch, path = "/v2/projects/{projectId}", tag = "Projects", operation_id = "renameProject", request_body = ProjectName,
    params(("projectId" = String, Path, description = "The project")), security(("apiKey" = []), ("session" = [])),
    responses((status = 200, body = Answer<Done>), (status = "default", body = Refused)))]
pub(crate) async fn rename(
    State(service): State<Arc<Service>>,
    Signed(caller): Signed,
    Path(project_id): Path<String>,
    Body(ProjectName { project_name }): Body<ProjectName>,
) -> Result<Done> {
    project(&service, &caller, &project_id, Action::Administer).await?;
    let name = text("projectName", &project_name, NAME_CHARACTERS_MAX)?;
    service.tables().rename_project(&project_id, &name).await?;
    done()
}

/// Remove a project without clusters and running jobs; takes an Organization Owner
#[utoipa::path(delete, path = "/v2/projects/{projectId}", tag = "Projects", operation_id = "removeProject",
    params(("projectId" = String, Path, description = "The project")), security(("apiKey" = []), ("session" = [])),
    responses((status = 200, body = Answer<Done>), (status = "default", body = Refused)))]
pub(crate) async fn remove(
    State(service): State<Arc<Service>>,
    Signed(caller): Signed,
    Path(project_id): Path<String>,
) -> Result<Done> {
    let record = project(&service, &caller, &project_id, Action::Look).await?;
    if !caller.is_owner() {
        return Err(not_allowed(
            crate::access::OrganizationRole::Owner.title(),
            caller.title_in(&project_id),
        ));
    }
    if !service.tables().remove_project(&project_id).await? {
        let problem = Problem::new(Code::ProjectInUse).with("project", record.name);
        let problem = problem.with("detail", "it has clusters, or jobs that did not end");
        return Err(problem.with("detail_zh", "其中有集群或未结束的任务").into());
    }
    done()
}
