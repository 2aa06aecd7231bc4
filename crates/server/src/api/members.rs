//! The organization, its members, and what they are in its projects.

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vecferry_milvus::Secret;
use vecferry_policy::Edition;
use vecferry_store::ErrorKind;

use super::answer::{Answer, Done, Made, Refusal, Refused, Result, answer, answer_made, done};
use super::extract::{self, Body, Owner, Path, Query, Signed, text};
use super::projects::{After, NAME_CHARACTERS_MAX, project};
use crate::access::{Action, OrganizationRole, ProjectRole};
use crate::secret::token::{Token, TokenKind};
use crate::service::Service;

const KIND: (&str, &str) = ("user", "用户");

/// The organization.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Organization {
    pub(crate) organization_id: String,
    #[schema(example = "Acme Search")]
    pub(crate) organization_name: String,
    /// The name of the policy edition: which plans may be migrated to which, and how many collections go in one job.
    #[schema(example = "zilliz-cn")]
    pub(crate) policy_edition: String,
}

/// Changes of the organization.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct OrganizationChange {
    #[serde(default)]
    #[schema(example = "Acme Search")]
    pub(crate) organization_name: Option<String>,
    /// The name of a built-in policy edition, or the JSON document of one's own.
    #[serde(default)]
    #[schema(example = "zilliz-global")]
    pub(crate) policy_edition: Option<String>,
}

/// A member.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Member {
    pub(crate) user_id: String,
    pub(crate) email: String,
    pub(crate) name: String,
    /// `owner` or `member`.
    #[schema(example = "member")]
    pub(crate) organization_role: &'static str,
}

/// Somebody who is to be a member.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Invitation {
    #[schema(example = "bob@example.com")]
    pub(crate) email: String,
    #[schema(example = "Bob")]
    pub(crate) name: String,
    /// `owner` or `member`.
    #[schema(example = "member")]
    pub(crate) organization_role: String,
}

/// A member was made, with a link.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Invited {
    pub(crate) user_id: String,
    /// Signs the user in once, within 24 hours (`POST /v2/session/link`). It is shown only now.
    pub(crate) link_token: String,
}

/// A role in the organization.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct OrganizationRoleGiven {
    /// `owner` or `member`.
    #[schema(example = "owner")]
    pub(crate) organization_role: String,
}

/// A role in a project.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ProjectRoleGiven {
    /// `admin`, `readWrite` or `readOnly`.
    #[schema(example = "admin")]
    pub(crate) project_role: String,
}

/// A member of a project.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProjectMember {
    pub(crate) user_id: String,
    pub(crate) email: String,
    pub(crate) name: String,
    /// `admin`, `readWrite` or `readOnly`.
    #[schema(example = "readOnly")]
    pub(crate) project_role: &'static str,
}

fn organization_role(name: &str) -> std::result::Result<OrganizationRole, Refusal> {
    OrganizationRole::of_name(name).ok_or_else(|| {
        let (english, chinese) = (
            format!("`organizationRole` is `{name}`, not `owner` or `member`"),
            format!("`organizationRole` 为 `{name}`，应为 `owner` 或 `member`"),
        );
        Refusal::bad_told(english, chinese)
    })
}

/// The role of a name in a request.
pub(crate) fn project_role(name: &str) -> std::result::Result<ProjectRole, Refusal> {
    ProjectRole::of_name(name).ok_or_else(|| {
        let (english, chinese) = (
            format!("`projectRole` is `{name}`, not `admin`, `readWrite` or `readOnly`"),
            format!("`projectRole` 为 `{name}`，应为 `admin`、`readWrite` 或 `readOnly`"),
        );
        Refusal::bad_told(english, chinese)
    })
}

/// The organization of the caller
#[utoipa::path(get, path = "/v2/organization", tag = "Users", operation_id = "showOrganization", security(("apiKey" = []), ("session" = [])),
    responses((status = 200, body = Answer<Organization>), (status = "default", body = Refused)))]
pub(crate) async fn organization(
    State(service): State<Arc<Service>>,
    Signed(caller): Signed,
) -> Result<Organization> {
    let edition = service.tables().edition(&caller.org_id).await?.unwrap_or_default();
    let policy_edition = match Edition::read(&edition) {
        Ok(own) => own.edition,
        Err(_) => edition,
    };
    let organization_name = service.tables().organization_name(&caller.org_id).await?.unwrap_or_default();
    answer(Organization { organization_id: caller.org_id.clone(), organization_name, policy_edition })
}

/// Change the name or the policy edition of the organization; takes an Organization Owner
#[utoipa::path(patch, path = "/v2/organization", tag = "Users", operation_id = "changeOrganization", request_body = OrganizationChange,
    security(("apiKey" = []), ("session" = [])),
    responses((status = 200, body = Answer<Done>), (status = "default", body = Refused)))]
pub(crate) async fn change_organization(
    State(service): State<Arc<Service>>,
    Owner(caller): Owner,
    Body(OrganizationChange { organization_name, policy_edition }): Body<OrganizationChange>,
) -> Result<Done> {
    let name = organization_name.as_deref();
    let name = name.map(|name| text("organizationName", name, NAME_CHARACTERS_MAX)).transpose()?;
    if let Some(edition) = &policy_edition {
        known_edition(edition)?;
    }
    if let Some(name) = name {
        service.tables().rename_organization(&caller.org_id, &name).await?;
    }
    if let Some(edition) = policy_edition {
        service.tables().set_edition(&caller.org_id, &edition).await?;
    }
    done()
}

fn known_edition(policy_edition: &str) -> std::result::Result<(), Refusal> {
    if Edition::named(policy_edition).is_none() {
        Edition::read(policy_edition).map_err(|error| {
            let names: Vec<_> = Edition::names().collect();
            let names = names.join(", ");
            Refusal::bad_told(
                format!("`policyEdition` is none of {names}, and no document of an edition: {error}"),
                format!("`policyEdition` 不是 {names} 之一，也不是版本文档：{error}"),
            )
        })?;
    }
    Ok(())
}

/// The members of the organization; takes an Organization Owner
#[utoipa::path(get, path = "/v2/users", tag = "Users", operation_id = "listUsers", params(After), security(("apiKey" = []), ("session" = [])),
    responses((status = 200, body = Answer<Vec<Member>>), (status = "default", body = Refused)))]
pub(crate) async fn list(
    State(service): State<Arc<Service>>,
    Owner(caller): Owner,
    Query(After { after }): Query<After>,
) -> Result<Vec<Member>> {
    let members = service.tables().members(&caller.org_id, &after).await?;
    let shown = members.into_iter().map(|member| Member {
        user_id: member.user_id,
        email: member.email,
        name: member.name,
        organization_role: member.role.name(),
    });
    answer(shown.collect())
}

/// Make somebody a member; takes an Organization Owner
#[utoipa::path(post, path = "/v2/users", tag = "Users", operation_id = "inviteUser", request_body = Invitation,
    security(("apiKey" = []), ("session" = [])),
    responses((status = 200, body = Answer<Invited>), (status = "default", body = Refused)))]
pub(crate) async fn invite(
    State(service): State<Arc<Service>>,
    Owner(caller): Owner,
    Body(Invitation { email, name, organization_role: role }): Body<Invitation>,
) -> Result<Invited> {
    let email = extract::email("email", &email)?;
    let name = text("name", &name, NAME_CHARACTERS_MAX)?;
    let role = organization_role(&role)?;
    let token = Token::new(TokenKind::Link).map_err(Refusal::unavailable)?;
    let user_id = match service.tables().add_member(&caller.org_id, (&email, &name), role, &token.hash).await
    {
        Ok(user_id) => user_id,
        Err(error) if error.kind() == ErrorKind::Taken => {
            let user_id = homeless(&service, &email).await?;
            service.tables().join(&caller.org_id, &user_id, role, &token.hash).await?;
            user_id
        }
        Err(error) => return Err(error.into()),
    };
    let made = Made::named(&user_id, &name);
    answer_made(Invited { user_id, link_token: token.secret.reveal().to_owned() }, made)
}

/// Who has an address and belongs to no organization any more, and so may be invited again.
async fn homeless(service: &Service, email: &str) -> std::result::Result<String, Refusal> {
    if let Some(user) = service.tables().user_by_email(email).await?
        && service.tables().organization_of(&user.user_id).await?.is_none()
    {
        return Ok(user.user_id);
    }
    Err(Refusal::conflict("somebody has this e-mail address already", "该邮箱地址已被使用"))
}

async fn new_link(service: &Service, user_id: &str) -> std::result::Result<Secret, Refusal> {
    let token = Token::new(TokenKind::Link).map_err(Refusal::unavailable)?;
    service.tables().add_link(&token.hash, user_id).await?;
    Ok(token.secret)
}

/// Another role in the organization; takes an Organization Owner
#[utoipa::path(patch, path = "/v2/users/{userId}", tag = "Users", operation_id = "changeUser", request_body = OrganizationRoleGiven,
    params(("userId" = String, Path, description = "The user")), security(("apiKey" = []), ("session" = [])),
    responses((status = 200, body = Answer<Done>), (status = "default", body = Refused)))]
pub(crate) async fn change(
    State(service): State<Arc<Service>>,
    Owner(caller): Owner,
    Path(user_id): Path<String>,
    Body(OrganizationRoleGiven { organization_role: role }): Body<OrganizationRoleGiven>,
) -> Result<Done> {
    let role = organization_role(&role)?;
    member(&service, &caller.org_id, &user_id).await?;
    if !service.tables().set_role(&caller.org_id, &user_id, role).await? {
        return Err(last_owner());
    }
    done()
}

/// End a membership, with its sessions and personal keys; takes an Organization Owner
#[utoipa::path(delete, path = "/v2/users/{userId}", tag = "Users", operation_id = "removeUser",
    params(("userId" = String, Path, description = "The user")), security(("apiKey" = []), ("session" = [])),
    responses((status = 200, body = Answer<Done>), (status = "default", body = Refused)))]
pub(crate) async fn remove(
    State(service): State<Arc<Service>>,
    Owner(caller): Owner,
    Path(user_id): Path<String>,
) -> Result<Done> {
    member(&service, &caller.org_id, &user_id).await?;
    if !service.tables().remove_member(&caller.org_id, &user_id).await? {
        return Err(last_owner());
    }
    done()
}

fn last_owner() -> Refusal {
    Refusal::conflict("the organization would have no owner", "组织将没有管理员")
}

async fn member(service: &Service, org_id: &str, user_id: &str) -> std::result::Result<(), Refusal> {
    match service.tables().membership(org_id, user_id).await? {
        Some(_) => Ok(()),
        None => Err(Refusal::absent(KIND, user_id)),
    }
}

/// A new link to sign in once, for who lost the password; takes an Organization Owner
#[utoipa::path(post, path = "/v2/users/{userId}/link", tag = "Users", operation_id = "linkUser",
    params(("userId" = String, Path, description = "The user")), security(("apiKey" = []), ("session" = [])),
    responses((status = 200, body = Answer<Invited>), (status = "default", body = Refused)))]
pub(crate) async fn link(
    State(service): State<Arc<Service>>,
    Owner(caller): Owner,
    Path(user_id): Path<String>,
) -> Result<Invited> {
    member(&service, &caller.org_id, &user_id).await?;
    let link_token = new_link(&service, &user_id).await?;
    answer(Invited { user_id, link_token: link_token.reveal().to_owned() })
}

/// The members of a project and their roles in it
#[utoipa::path(get, path = "/v2/projects/{projectId}/users", tag = "Users", operation_id = "listProjectUsers",
    params(("projectId" = String, Path, description = "The project")), security(("apiKey" = []), ("session" = [])),
    responses((status = 200, body = Answer<Vec<ProjectMember>>), (status = "default", body = Refused)))]
pub(crate) async fn of_project(
    State(service): State<Arc<Service>>,
    Signed(caller): Signed,
    Path(project_id): Path<String>,
) -> Result<Vec<ProjectMember>> {
    project(&service, &caller, &project_id, Action::Look).await?;
    let members = service.tables().project_members(&project_id).await?;
    let shown = members.into_iter().map(|member| ProjectMember {
        user_id: member.user_id,
        email: member.email,
        name: member.name,
        project_role: member.role.name(),
    });
    answer(shown.collect())
}

/// Give a member a role in a project; takes a Project Admin
#[utoipa::path(put, path = "/v2/projects/{projectId}/users/{userId}", tag = "Users", operation_id = "setProjectUser", request_body = ProjectRoleGiven,
    params(("projectId" = String, Path, description = "The project"), ("userId" = String, Path, description = "The user")),
    security(("apiKey" = []), ("session" = [])),
    responses((status = 200, body = Answer<Done>), (status = "default", body = Refused)))]
pub(crate) async fn set_in_project(
    State(service): State<Arc<Service>>,
    Signed(caller): Signed,
    Path((project_id, user_id)): Path<(String, String)>,
    Body(ProjectRoleGiven { project_role: role }): Body<ProjectRoleGiven>,
) -> Result<Done> {
    project(&service, &caller, &project_id, Action::Administer).await?;
    let role = project_role(&role)?;
    member(&service, &caller.org_id, &user_id).await?;
    service.tables().set_project_role(&project_id, &user_id, Some(role)).await?;
    done()
}

/// Take a member's role in a project; takes a Project Admin
#[utoipa::path(delete, path = "/v2/projects/{projectId}/users/{userId}", tag = "Users", operation_id = "removeProjectUser",
    params(("projectId" = String, Path, description = "The project"), ("userId" = String, Path, description = "The user")),
    security(("apiKey" = []), ("session" = [])),
    responses((status = 200, body = Answer<Done>), (status = "default", body = Refused)))]
pub(crate) async fn remove_from_project(
    State(service): State<Arc<Service>>,
    Signed(caller): Signed,
    Path((project_id, user_id)): Path<(String, String)>,
) -> Result<Done> {
    project(&service, &caller, &project_id, Action::Administer).await?;
    member(&service, &caller.org_id, &user_id).await?;
    service.tables().set_project_role(&project_id, &user_id, None).await?;
    done()
}
