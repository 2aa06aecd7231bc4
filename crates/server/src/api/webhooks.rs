//! Webhooks: who is told of changes of jobs.

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::{Answer, Done, Made, Refusal, Refused, Result, answer, answer_made, done};
use super::clusters::busy;
use super::extract::{Body, Path, Signed, not_allowed, text, time};
use super::jobs::Language;
use super::projects::project;
use crate::access::{Action, Caller, OrganizationRole};
use crate::hooks::{Sender, Trouble, send, test_body};
use crate::outbound::Address;
use crate::secret::token::{Token, TokenKind};
use crate::service::Service;
use crate::tables::{DeliveryRecord, NewWebhook, Tables, WebhookRecord, webhook_purpose};

const KIND: (&str, &str) = ("webhook", "Webhook");
/// Webhooks of an organization.
const WEBHOOKS_MAX: usize = 50;
const URL_CHARACTERS_MAX: usize = 2048;

/// A webhook. Its secret is shown only when it is made.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Webhook {
    #[schema(example = "hook-0197b1e0c2d37c0f8a4b2f9f6f2f7c1a")]
    pub(crate) webhook_id: String,
    /// Absent where it is told of jobs in all projects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) project_id: Option<String>,
    #[schema(example = "https://ops.example.com/vecferry")]
    pub(crate) url: String,
    pub(crate) created_by: String,
    pub(crate) create_time: String,
}

fn shown(record: WebhookRecord) -> Webhook {
    Webhook {
        webhook_id: record.webhook_id,
        project_id: record.project_id,
        url: record.url,
        created_by: record.created_by,
        create_time: time(record.created_ms),
    }
}

/// A webhook to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct WebhookRequest {
    /// `http[s]://host[:port][/path]`, without name and password.
    #[schema(example = "https://ops.example.com/vecferry")]
    pub(crate) url: String,
    /// Only jobs into or out of clusters of this project; absent: of all projects, which takes an Organization Owner.
    #[serde(default)]
    #[schema(example = "proj-0197b1e0c2d37c0f8a4b2f9f6f2f7c1a")]
    pub(crate) project_id: Option<String>,
}

/// A webhook was made.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WebhookMade {
    pub(crate) webhook_id: String,
    /// What deliveries are signed with, which is shown only now. `Vecferry-Signature` is `t=<seconds>,v1=<signature>`: the
    /// signature is HMAC-SHA256 with this secret of the seconds, a dot and the body, in hexadecimal digits.
    #[schema(example = "vfw_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8")]
    pub(crate) secret: String,
}

/// What was sent, or is to be.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Delivery {
    pub(crate) delivery_id: String,
    /// Absent for a test.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) job_id: Option<String>,
    /// The state of the job that it tells; absent for a test.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "SUCCESSFUL")]
    pub(crate) status: Option<&'static str>,
    pub(crate) create_time: String,
    pub(crate) attempts: i64,
    /// Absent where it is not delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) delivery_time: Option<String>,
    /// When it is sent next; absent where it is delivered or given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_time: Option<String>,
    /// Why the last attempt failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trouble: Option<String>,
}

/// What came of a test.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TestOutcome {
    pub(crate) delivery_id: String,
    /// Whether it answered with a status of success.
    pub(crate) delivered: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trouble: Option<String>,
}

/// Whether the caller may have to do with webhooks of a project, or of all.
fn may(caller: &Caller, project_id: Option<&str>) -> bool {
    match project_id {
        Some(project_id) => caller.may(Action::Administer, project_id),
        None => caller.is_owner(),
    }
}

/// A webhook that the caller may have to do with. Of projects that are not visible there is none.
async fn webhook(
    service: &Service,
    caller: &Caller,
    webhook_id: &str,
) -> std::result::Result<WebhookRecord, Refusal> {
    let record = service.tables().webhook(&caller.org_id, webhook_id).await?;
    let is_visible = |record: &WebhookRecord| {
        record.project_id.as_deref().is_none_or(|project_id| caller.may(Action::Look, project_id))
    };
    let record = record.filter(is_visible).ok_or_else(|| Refusal::absent(KIND, webhook_id))?;
    match &record.project_id {
        _ if may(caller, record.project_id.as_deref()) => Ok(record),
        Some(project_id) => Err(not_allowed(Action::Administer.needs().title(), caller.title_in(project_id))),
        None => Err(not_allowed(OrganizationRole::Owner.title(), caller.role.title())),
    }
}

/// The webhooks that the caller may change: an Organization Owner all, a Project Admin those of the project
#[utoipa::path(get, path = "/v2/webhooks", tag = "Webhooks", operation_id = "listWebhooks", security(("apiKey" = []), ("session" = [])),
    responses((status = 200, body = Answer<Vec<Webhook>>), (status = "default", body = Refused)))]
pub(crate) async fn list(
    State(service): State<Arc<Service>>,
    Signed(caller): Signed,
) -> Result<Vec<Webhook>> {
    let webhooks = service.tables().webhooks(&caller.org_id).await?;
    let webhooks = webhooks.into_iter().filter(|record| may(&caller, record.project_id.as_deref()));
    answer(webhooks.map(shown).collect())
}

/// Have every change of a job's state told; takes an Organization Owner, or a Project Admin for jobs into the project
#[utoipa::path(post, path = "/v2/webhooks", tag = "Webhooks", operation_id = "createWebhook", request_body = WebhookRequest,
    security(("apiKey" = []), ("session" = [])),
    responses((status = 200, body = Answer<WebhookMade>), (status = "default", body = Refused)))]
pub(crate) async fn create(
    State(service): State<Arc<Service>>,
    Signed(caller): Signed,
    Body(request): Body<WebhookRequest>,
) -> Result<WebhookMade> {
    match &request.project_id {
        Some(project_id) => {
            project(&service, &caller, project_id, Action::Administer).await?;
        }
        None if caller.is_owner() => {}
        None => return Err(not_allowed(OrganizationRole::Owner.title(), caller.role.title())),
    }
    let url = text("url", &request.url, URL_CHARACTERS_MAX)?;
    let address = Address::parse(&url).ok_or_else(|| {
        Refusal::bad_told(
            "`url` is no address as `https://host/path` without name and password",
            "`url` 不是形如 `https://host/path` 且不含用户名和密码的地址",
        )
    })?;
    service.resolve(address.host(), address.port()).await?;
    if service.tables().webhooks(&caller.org_id).await?.len() >= WEBHOOKS_MAX {
        return Err(Refusal::conflict(
            format!("the organization has {WEBHOOKS_MAX} webhooks already"),
            format!("该组织已有 {WEBHOOKS_MAX} 个 Webhook"),
        ));
    }
    let webhook_id = Tables::new_webhook_id();
    let token = Token::new(TokenKind::Webhook).map_err(Refusal::unavailable)?;
    let sealed = service.seal(&webhook_purpose(&webhook_id), &token.secret)?;
    let webhook = NewWebhook {
        webhook_id: webhook_id.clone(),
        org_id: caller.org_id.clone(),
        project_id: request.project_id,
        url,
        secret: sealed,
        created_by: caller.actor.to_string(),
    };
    service.tables().add_webhook(webhook).await?;
    // The rest of an address may be a secret.
    let made = Made::named(&webhook_id, address.host());
    answer_made(WebhookMade { webhook_id, secret: token.secret.reveal().to_owned() }, made)
}

/// Remove a webhook, and what is still to be delivered to it; takes an Organization Owner, or a Project Admin of its project
#[utoipa::path(delete, path = "/v2/webhooks/{webhookId}", tag = "Webhooks", operation_id = "removeWebhook",
    params(("webhookId" = String, Path, description = "The webhook")), security(("apiKey" = []), ("session" = [])),
    responses((status = 200, body = Answer<Done>), (status = "default", body = Refused)))]
pub(crate) async fn remove(
    State(service): State<Arc<Service>>,
    Signed(caller): Signed,
    Path(webhook_id): Path<String>,
) -> Result<Done> {
    webhook(&service, &caller, &webhook_id).await?;
    service.tables().remove_webhook(&webhook_id).await?;
    done()
}

/// The last 100 deliveries to a webhook, newest first; takes an Organization Owner, or a Project Admin of its project
#[utoipa::path(get, path = "/v2/webhooks/{webhookId}/deliveries", tag = "Webhooks", operation_id = "listDeliveries",
    params(("webhookId" = String, Path, description = "The webhook")), security(("apiKey" = []), ("session" = [])),
    responses((status = 200, body = Answer<Vec<Delivery>>), (status = "default", body = Refused)))]
pub(crate) async fn deliveries(
    State(service): State<Arc<Service>>,
    Signed(caller): Signed,
    language: Language,
    Path(webhook_id): Path<String>,
) -> Result<Vec<Delivery>> {
    webhook(&service, &caller, &webhook_id).await?;
    let shown = |record: DeliveryRecord| Delivery {
        delivery_id: record.delivery_id,
        job_id: record.job_id,
        status: record.state.map(vecferry_migrate::JobState::name),
        create_time: time(record.made_ms),
        attempts: record.attempts,
        delivery_time: record.delivered_ms.map(time),
        next_time: record.next_ms.map(time),
        trouble: record.trouble.map(|trouble| Trouble::of_json(&trouble, language.0)),
    };
    let deliveries = service.tables().deliveries(&webhook_id).await?;
    answer(deliveries.into_iter().map(shown).collect())
}

/// Send something now, and see what comes of it; takes an Organization Owner, or a Project Admin of the webhook's project
#[utoipa::path(post, path = "/v2/webhooks/{webhookId}/test", tag = "Webhooks", operation_id = "testWebhook",
    params(("webhookId" = String, Path, description = "The webhook")), security(("apiKey" = []), ("session" = [])),
    responses((status = 200, body = Answer<TestOutcome>), (status = "default", body = Refused)))]
pub(crate) async fn test(
    State(service): State<Arc<Service>>,
    Signed(caller): Signed,
    language: Language,
    Path(webhook_id): Path<String>,
) -> Result<TestOutcome> {
    let record = webhook(&service, &caller, &webhook_id).await?;
    let _permit = service.checks().try_acquire().map_err(|_| busy())?;
    let (delivery_id, now) = (Tables::new_test_id(), service.tables().now_ms().await?);
    let body = test_body(&delivery_id, now);
    let sent = Box::pin(send(&service, &Sender::new(), &record, &delivery_id, &body)).await;
    let trouble = sent.err().map(|trouble| trouble.to_json());
    service.tables().add_test_delivery(&webhook_id, &delivery_id, &body, trouble.clone()).await?;
    let trouble = trouble.map(|trouble| Trouble::of_json(&trouble, language.0));
    answer(TestOutcome { delivery_id, delivered: trouble.is_none(), trouble })
}
