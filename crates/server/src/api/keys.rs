//! API keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::{Answer, Done, Made, Refusal, Refused, Result, answer, answer_made, done};
use super::extract::{Body, Path, Query, Signed, not_allowed, text, time};
use super::members::project_role;
use super::projects::{After, NAME_CHARACTERS_MAX, project};
use crate::access::{Action, Actor, Caller, OrganizationRole, ProjectRole};
use crate::secret::token::{Token, TokenKind};
use crate::service::Service;
use crate::tables::{KeyGrant, KeyKind, KeyRecord, NewKey};

const KIND: (&str, &str) = ("API key", "API 密钥");
/// Customized keys of an organization, as in the cloud.
const CUSTOMIZED_MAX: i64 = 100;
/// Days that a key may be good for.
const DAYS_MAX: u32 = 3650;

/// A key; what it opens with is shown only when it is made.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApiKey {
    pub(crate) key_id: String,
    pub(crate) name: String,
    /// `personal` or `customized`.
    #[schema(example = "customized")]
    pub(crate) kind: &'static str,
    /// The last characters.
    pub(crate) ending: String,
    /// Whose rights it has, for a personal one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user_id: Option<String>,
    /// `owner` for a customized key with every right; otherwise absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "owner")]
    pub(crate) organization_role: Option<&'static str>,
    /// The roles of a customized key in projects, by project ID.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(example = json!({"proj-0197b1e0c2d37c0f8a4b2f9f6f2f7c1a": "readOnly"}))]
    pub(crate) project_roles: BTreeMap<String, &'static str>,
    pub(crate) created_by: String,
    pub(crate) create_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expire_time: Option<String>,
}

fn shown(key: KeyRecord, project_roles: BTreeMap<String, &'static str>) -> ApiKey {
    ApiKey {
        key_id: key.key_id,
        name: key.name,
        kind: key.kind.name(),
        ending: key.ending,
        user_id: key.user_id,
        organization_role: key.is_owner.then(|| OrganizationRole::Owner.name()),
        project_roles,
        created_by: key.created_by,
        create_time: time(key.created_ms),
        expire_time: key.expires_ms.map(time),
    }
}

/// A key to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ApiKeyRequest {
    #[schema(example = "deploy")]
    pub(crate) name: String,
    /// `personal`: it may what its maker may. `customized`: it may what is said here.
    #[schema(example = "customized")]
    pub(crate) kind: String,
    /// For a customized key: `owner` for every right, which takes an Organization Owner. Otherwise absent.
    #[serde(default)]
    pub(crate) organization_role: Option<String>,
    /// For a customized key: the roles in projects, by project ID. Takes a Project Admin of each.
    #[serde(default)]
    #[schema(example = json!({"proj-0197b1e0c2d37c0f8a4b2f9f6f2f7c1a": "readOnly"}))]
    pub(crate) project_roles: BTreeMap<String, String>,
    /// It is good for so long; absent: until it is revoked.
    #[serde(default)]
    #[schema(example = 90)]
    pub(crate) valid_days: Option<u32>,
}

/// A key was made.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApiKeyMade {
    pub(crate) key_id: String,
    /// The key itself, which is shown only now.
    pub(crate) api_key: String,
}

/// The API keys that the caller may revoke: an Organization Owner all, others their own
#[utoipa::path(get, path = "/v2/apiKeys", tag = "Users", operation_id = "listApiKeys", params(After), security(("apiKey" = []), ("session" = [])),
    responses((status = 200, body = Answer<Vec<ApiKey>>), (status = "default", body = Refused)))]
pub(crate) async fn list(
    State(service): State<Arc<Service>>,
    Signed(caller): Signed,
    Query(After { after }): Query<After>,
) -> Result<Vec<ApiKey>> {
    let only = (!caller.is_owner()).then(|| caller.actor.to_string());
    let keys = service.tables().keys(&caller.org_id, only.as_deref(), &after).await?;
    let mut roles: BTreeMap<String, BTreeMap<String, &'static str>> = BTreeMap::new();
    for (key_id, project_id, role) in service.tables().grants(&caller.org_id).await? {
        roles.entry(key_id).or_default().insert(project_id, role.name());
    }
    let shown = keys.into_iter().map(|key| {
        let project_roles = roles.remove(&key.key_id).unwrap_or_default();
        shown(key, project_roles)
    });
    answer(shown.collect())
}

/// Make an API key
#[utoipa::path(post, path = "/v2/apiKeys", tag = "Users", operation_id = "createApiKey", request_body = ApiKeyRequest,
    security(("apiKey" = []), ("session" = [])),
    responses((status = 200, body = Answer<ApiKeyMade>), (status = "default", body = Refused)))]
pub(crate) async fn create(
    State(service): State<Arc<Service>>,
    Signed(caller): Signed,
    Body(request): Body<ApiKeyRequest>,
) -> Result<ApiKeyMade> {
    let name = text("name", &request.name, NAME_CHARACTERS_MAX)?;
    let (user_id, grant) = match request.kind.as_str() {
        "personal" => (Some(personal(&caller, &request)?), None),
        "customized" => (None, Some(customized(&service, &caller, &request).await?)),
        kind => {
            return Err(Refusal::bad_told(
                format!("`kind` is `{kind}`, not `personal` or `customized`"),
                format!("`kind` 为 `{kind}`，应为 `personal` 或 `customized`"),
            ));
        }
    };
    let expires_ms = expires_ms(&service, request.valid_days).await?;
    let token = Token::new(TokenKind::ApiKey).map_err(Refusal::unavailable)?;
    let made_as = name.clone();
    let key = NewKey {
        org_id: caller.org_id.clone(),
        user_id,
        name,
        hash: token.hash,
        ending: token.hint,
        grant,
        created_by: caller.actor.to_string(),
        expires_ms,
    };
    let key_id = service.tables().add_key(key).await?;
    let made = Made::named(&key_id, &made_as);
    answer_made(ApiKeyMade { key_id, api_key: token.secret.reveal().to_owned() }, made)
}

async fn expires_ms(service: &Service, days: Option<u32>) -> std::result::Result<Option<i64>, Refusal> {
    match days {
        None => Ok(None),
        Some(days) if (1..=DAYS_MAX).contains(&days) => {
            Ok(Some(service.tables().now_ms().await?.saturating_add(i64::from(days) * 24 * 60 * 60 * 1000)))
        }
        Some(days) => Err(Refusal::bad_told(
            format!("`validDays` is {days}, not from 1 to {DAYS_MAX}"),
            format!("`validDays` 为 {days}，不在 1 到 {DAYS_MAX} 之间"),
        )),
    }
}

/// Whose a personal key is.
fn personal(caller: &Caller, request: &ApiKeyRequest) -> std::result::Result<String, Refusal> {
    if request.organization_role.is_some() || !request.project_roles.is_empty() {
        let refusal = "a personal key has the rights of its maker; leave the roles out";
        return Err(Refusal::bad_told(refusal, "个人密钥的权限与创建者相同；请不要指定角色"));
    }
    match &caller.actor {
        Actor::User(user_id) => Ok(user_id.clone()),
        Actor::Key(_) => {
            Err(Refusal::bad_told("a customized key is nobody's person", "自定义密钥不属于任何用户"))
        }
    }
}

/// What a customized key may: nothing that its maker may not.
async fn customized(
    service: &Service,
    caller: &Caller,
    request: &ApiKeyRequest,
) -> std::result::Result<KeyGrant, Refusal> {
    if service.tables().customized_keys(&caller.org_id).await? >= CUSTOMIZED_MAX {
        return Err(Refusal::conflict(
            format!("the organization has {CUSTOMIZED_MAX} customized keys already"),
            format!("该组织已有 {CUSTOMIZED_MAX} 个自定义密钥"),
        ));
    }
    let is_owner = match request.organization_role.as_deref() {
        None | Some("member") => false,
        Some("owner") => true,
        Some(role) => {
            return Err(Refusal::bad_told(
                format!("`organizationRole` is `{role}`, not `owner` or `member`"),
                format!("`organizationRole` 为 `{role}`，应为 `owner` 或 `member`"),
            ));
        }
    };
    if is_owner {
        let owner = OrganizationRole::Owner;
        return match (caller.is_owner(), request.project_roles.is_empty()) {
            (false, _) => Err(not_allowed(owner.title(), caller.role.title())),
            (true, false) => Err(Refusal::bad_told(
                "an owner has every right in every project; leave `projectRoles` out",
                "管理员在所有项目中拥有全部权限；请不要指定 `projectRoles`",
            )),
            (true, true) => Ok(KeyGrant::Organization),
        };
    }
    if request.project_roles.is_empty() {
        return Err(Refusal::bad_told(
            "a customized key takes `projectRoles` or `organizationRole`",
            "自定义密钥须指定 `projectRoles` 或 `organizationRole`",
        ));
    }
    let mut roles: BTreeMap<String, ProjectRole> = BTreeMap::new();
    for (project_id, role) in &request.project_roles {
        project(service, caller, project_id, Action::Administer).await?;
        roles.insert(project_id.clone(), project_role(role)?);
    }
    Ok(KeyGrant::Projects(roles))
}

/// Revoke an API key: an Organization Owner any, others their own
#[utoipa::path(delete, path = "/v2/apiKeys/{keyId}", tag = "Users", operation_id = "revokeApiKey",
    params(("keyId" = String, Path, description = "The key")), security(("apiKey" = []), ("session" = [])),
    responses((status = 200, body = Answer<Done>), (status = "default", body = Refused)))]
pub(crate) async fn revoke(
    State(service): State<Arc<Service>>,
    Signed(caller): Signed,
    Path(key_id): Path<String>,
) -> Result<Done> {
    let key = service.tables().key(&caller.org_id, &key_id).await?;
    let actor = caller.actor.to_string();
    let is_own = |key: &KeyRecord| match key.kind {
        KeyKind::Personal => key.user_id.as_ref() == Some(&actor),
        KeyKind::Customized => key.created_by == actor,
    };
    let key = key.filter(|key| caller.is_owner() || is_own(key));
    let key = key.ok_or_else(|| Refusal::absent(KIND, &key_id))?;
    service.tables().revoke_key(&key.key_id).await?;
    done()
}
