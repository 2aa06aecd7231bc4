//! The audit log.

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::answer::{Answer, Refused, Result, answer};
use super::extract::{Owner, Query, page_rows, time};
use crate::service::Service;
use crate::tables::AuditPage;

/// Which entries.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditQuery {
    /// The cursor of the page before.
    pub(crate) cursor: Option<String>,
    /// Entries of a page, 1 to 100.
    pub(crate) page_size: Option<i64>,
    /// Only of this user or key.
    pub(crate) actor: Option<String>,
    /// Only this action, as `POST /v2/migrations/toExisting`.
    pub(crate) action: Option<String>,
}

/// An entry.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuditEntry {
    pub(crate) audit_id: String,
    pub(crate) time: String,
    pub(crate) actor: String,
    pub(crate) action: String,
    /// The ID of what was made, or the address of what it was done to.
    pub(crate) object: String,
    /// The name with which it was made; absent for everything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) object_name: Option<String>,
    /// `done`, or the code of what stood in the way.
    pub(crate) outcome: String,
    pub(crate) address: String,
    pub(crate) request_id: String,
}

/// A page of entries, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuditEntries {
    pub(crate) entries: Vec<AuditEntry>,
    /// For the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cursor: Option<String>,
}

/// Who did what; takes an Organization Owner
#[utoipa::path(get, path = "/v2/auditLogs", tag = "Users", operation_id = "listAuditLogs", params(AuditQuery), security(("apiKey" = []), ("session" = [])),
    responses((status = 200, body = Answer<AuditEntries>), (status = "default", body = Refused)))]
pub(crate) async fn list(
    State(service): State<Arc<Service>>,
    Owner(caller): Owner,
    Query(query): Query<AuditQuery>,
) -> Result<AuditEntries> {
    let rows = page_rows(query.page_size)?;
    let page = AuditPage { before: query.cursor, actor: query.actor, action: query.action, rows };
    let records = service.tables().audit(&caller.org_id, page).await?;
    let is_full = i64::try_from(records.len()).is_ok_and(|count| count == rows);
    let cursor = records.last().filter(|_| is_full).map(|last| last.audit_id.clone());
    let entries = records.into_iter().map(|record| AuditEntry {
        audit_id: record.audit_id,
        time: time(record.at_ms),
        actor: record.actor,
        action: record.action,
        object: record.object,
        object_name: record.object_name,
        outcome: record.outcome,
        address: record.address,
        request_id: record.request_id,
    });
    answer(AuditEntries { entries: entries.collect(), cursor })
}
