//! The audit log.

use askama::Template;
use axum::extract::State;
use serde::Deserialize;
use std::sync::Arc;

use super::deeds::deed;
use super::people::People;
use crate::api::audit::{self as api, AuditEntry, AuditQuery};
use crate::api::{Owner, Path, Query};
use crate::console::frame::{Frame, Place, Visit};
use crate::console::page::{Shown, page};
use crate::console::show::Say;

/// Entries of a page.
const ROWS: i64 = 50;

/// Which entries.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    cursor: String,
    #[serde(default)]
    actor: String,
}

#[derive(Template)]
#[template(path = "organization/audit.html")]
struct AuditLogPage {
    frame: Frame,
    t: Say,
    entries: Vec<AuditEntry>,
    people: People,
    wanted: Wanted,
    next: Option<String>,
}

impl AuditLogPage {
    /// A value as a query holds it.
    fn encoded(&self, value: &str) -> String {
        form_urlencoded::byte_serialize(value.as_bytes()).collect()
    }

    /// What was done, in words; none for what has none.
    fn deed(&self, entry: &AuditEntry) -> Option<&'static str> {
        deed(&entry.action).map(|(en, zh)| self.t.0.pick(en, zh))
    }

    /// The ID of what it was done to; none where the address names nothing.
    fn object<'a>(&self, entry: &'a AuditEntry) -> Option<&'a str> {
        ids(&entry.object).find(|id| **id != self.frame.org_id)
    }
}

/// What an address names by ID, the last one first.
fn ids(object: &str) -> impl Iterator<Item = &str> {
    let is_id = |part: &&str| {
        // A job's ID is written with hyphens; others have a prefix before one.
        uuid::Uuid::try_parse(part).is_ok()
            || part.rsplit('-').next().is_some_and(|digits| digits.len() == 32)
    };
    object.rsplit('/').filter(is_id)
}

/// A page of the log.
pub(super) async fn audit(
    visit: Visit,
    owner: Owner,
    Path(org): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Shown {
    visit.in_organization(&org)?;
    let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let query = AuditQuery {
        cursor: some(&wanted.cursor),
        page_size: Some(ROWS),
        actor: some(&wanted.actor),
        action: None,
    };
    let page_of = api::list(State(Arc::clone(&visit.service)), owner, Query(query)).await?.data;
    let entries = page_of.entries;
    let named = entries.iter().flat_map(|entry| ids(&entry.object).chain([entry.actor.as_str()]));
    let named: Vec<_> = named.chain([wanted.actor.as_str()]).collect();
    let people = People::of(&visit, &named).await?;
    let frame = visit.frame(Place::Audit).await?;
    page(&AuditLogPage { frame, t: visit.t(), entries, people, wanted, next: page_of.cursor })
}
