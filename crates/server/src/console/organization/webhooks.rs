//! Webhooks, and what was sent to them.

use askama::Template;
use axum::extract::State;
use std::sync::Arc;
use vecferry_migrate::JobState;

use super::offered::{Found, Offered, any_offered, offered};
use super::once::{Copied, Made, once};
use super::people::People;
use super::troubles;
use crate::api::jobs::Language;
use crate::api::webhooks::{self as api, Delivery, Webhook, WebhookMade, WebhookRequest};
use crate::api::{Answer, Body, Path, Query, Refusal, Signed};
use crate::console::form::Form;
use crate::console::frame::{Frame, Place, Visit};
use crate::console::page::{Shown, page, page_of_form, see};
use crate::console::show::{Say, Trouble};

/// The choice of the whole organization.
const EVERYWHERE: &str = "all";

struct WebhookRow {
    webhook: Webhook,
    /// The name of its project; none for the whole organization.
    project: Option<String>,
}

#[derive(Template)]
#[template(path = "organization/webhooks.html")]
struct WebhooksPage {
    frame: Frame,
    t: Say,
    rows: Vec<WebhookRow>,
    people: People,
    may_create: bool,
}

#[derive(Template)]
#[template(path = "organization/webhook_new.html")]
struct WebhookFormPage {
    frame: Frame,
    t: Say,
    url: String,
    project_id: String,
    offered: Offered,
    troubles: Vec<Trouble>,
}

#[derive(Template)]
#[template(path = "organization/webhook.html")]
struct WebhookPage {
    frame: Frame,
    t: Say,
    row: WebhookRow,
    people: People,
    deliveries: Vec<Delivery>,
}

impl WebhookPage {
    /// What a delivery tells.
    fn event(&self, delivery: &Delivery) -> &'static str {
        match delivery.status.and_then(JobState::of_name) {
            Some(state) => self.t.state(state),
            None => self.t.0.pick("Test", "测试"),
        }
    }

    /// How it came out, with the tone of its chip.
    fn outcome(&self, delivery: &Delivery) -> (&'static str, &'static str) {
        match (&delivery.delivery_time, &delivery.next_time, delivery.attempts) {
            (Some(_), _, _) => ("good", self.t.0.pick("Delivered", "已送达")),
            (None, Some(_), 0) => ("live", self.t.0.pick("Waiting", "等待发送")),
            (None, Some(_), _) => ("caution", self.t.0.pick("Will be retried", "等待重试")),
            (None, None, _) => ("bad", self.t.0.pick("Failed", "失败")),
        }
    }
}

async fn rows(visit: &Visit) -> Result<Vec<WebhookRow>, Refusal> {
    let (service, signed) = (State(Arc::clone(&visit.service)), Signed(Arc::clone(&visit.caller)));
    let webhooks = api::list(service, signed).await?.data;
    let projects = webhooks.iter().filter_map(|webhook| webhook.project_id.as_deref());
    let names = visit.service.tables().project_names(&visit.caller.org_id, projects).await?;
    let row = |webhook: Webhook| {
        let project = webhook.project_id.as_ref();
        let project = project.map(|project_id| names.get(project_id).unwrap_or(project_id).clone());
        WebhookRow { webhook, project }
    };
    Ok(webhooks.into_iter().map(row).collect())
}

/// The webhooks that the caller may change.
pub(super) async fn webhooks(visit: Visit, Path(org): Path<String>) -> Shown {
    visit.in_organization(&org)?;
    let rows = rows(&visit).await?;
    let makers: Vec<_> = rows.iter().map(|row| row.webhook.created_by.as_str()).collect();
    let people = People::of(&visit, &makers).await?;
    let may_create = visit.caller.is_owner() || any_offered(&visit).await?;
    page(&WebhooksPage { frame: visit.frame(Place::Webhooks).await?, t: visit.t(), rows, people, may_create })
}

/// The form of a webhook.
pub(super) async fn form(visit: Visit, Path(org): Path<String>, Query(found): Query<Found>) -> Shown {
    visit.in_organization(&org)?;
    asked(&visit, &found.search, &Form::default(), None).await
}

async fn asked(visit: &Visit, search: &str, form: &Form, refusal: Option<&Refusal>) -> Shown {
    let chosen: Vec<_> = form.some("project").into_iter().collect();
    let page = WebhookFormPage {
        frame: visit.frame(Place::Webhooks).await?,
        t: visit.t(),
        url: form.text("url").to_owned(),
        project_id: form.text("project").to_owned(),
        offered: offered(visit, search, &chosen).await?,
        troubles: troubles(visit, refusal),
    };
    page_of_form(refusal, &page)
}

/// Makes a webhook, and shows its secret.
pub(super) async fn create(visit: Visit, Path(org): Path<String>, form: Form) -> Shown {
    visit.in_organization(&org)?;
    let project_id = form.some("project").filter(|project_id| project_id != EVERYWHERE);
    let request = WebhookRequest { url: form.text("url").to_owned(), project_id };
    let (service, signed) = (State(Arc::clone(&visit.service)), Signed(Arc::clone(&visit.caller)));
    match api::create(service, signed, Body(request)).await {
        Ok(made) => shown(&visit, made).await,
        Err(refusal) => asked(&visit, form.text("search"), &form, Some(&refusal)).await,
    }
}

async fn shown(visit: &Visit, answer: Answer<WebhookMade>) -> Shown {
    let (t, made) = (visit.t(), answer.data);
    let list = format!("/o/{}/webhooks/{}", visit.caller.org_id, made.webhook_id);
    let made = Made {
        title: t.say("Webhook created", "Webhook 已创建").to_owned(),
        told: t
            .say(
                "Copy the secret now: it is not shown again. Your receiver checks with it that a request is from Vecferry.",
                "请立即复制签名密钥，它不会再次显示。接收方用它确认请求来自 Vecferry。",
            )
            .to_owned(),
        copied: vec![Copied {
            id: "secret",
            label: t.say("Signing secret", "签名密钥").to_owned(),
            text: made.secret,
            hint: t
                .say(
                    "The header Vecferry-Signature is t=SECONDS,v1=SIGNATURE: HMAC-SHA256 with this secret of the seconds, a dot and the body, in hexadecimal digits.",
                    "请求头 Vecferry-Signature 的格式为 t=SECONDS,v1=SIGNATURE：以该密钥对秒数、一个点和请求体计算 HMAC-SHA256，以十六进制表示。",
                )
                .to_owned(),
        }],
        object: answer.made,
        list,
    };
    once(visit, Place::Webhooks, made).await
}

/// A webhook and what was sent to it.
pub(super) async fn webhook(visit: Visit, Path((org, webhook_id)): Path<(String, String)>) -> Shown {
    visit.in_organization(&org)?;
    let (service, signed) = (State(Arc::clone(&visit.service)), Signed(Arc::clone(&visit.caller)));
    let language = Language(visit.lang());
    let deliveries = api::deliveries(service, signed, language, Path(webhook_id.clone())).await?.data;
    let row = rows(&visit).await?.into_iter().find(|row| row.webhook.webhook_id == webhook_id);
    let row = row.ok_or_else(|| Refusal::absent(("webhook", "Webhook"), &webhook_id))?;
    let people = People::of(&visit, &[&row.webhook.created_by]).await?;
    let frame = visit.frame(Place::Webhooks).await?;
    page(&WebhookPage { frame, t: visit.t(), row, people, deliveries })
}

/// Sends something now. What came of it is the newest delivery.
pub(super) async fn test(visit: Visit, Path((org, webhook_id)): Path<(String, String)>) -> Shown {
    visit.in_organization(&org)?;
    let (service, signed) = (State(Arc::clone(&visit.service)), Signed(Arc::clone(&visit.caller)));
    api::test(service, signed, Language(visit.lang()), Path(webhook_id.clone())).await?;
    see(&format!("/o/{org}/webhooks/{webhook_id}"))
}

/// Removes a webhook.
pub(super) async fn remove(visit: Visit, Path((org, webhook_id)): Path<(String, String)>) -> Shown {
    visit.in_organization(&org)?;
    let (service, signed) = (State(Arc::clone(&visit.service)), Signed(Arc::clone(&visit.caller)));
    api::remove(service, signed, Path(webhook_id)).await?;
    see(&format!("/o/{org}/webhooks"))
}
