//! What this service is.

use askama::Template;
use vecferry_policy::Edition;

use crate::console::frame::{Frame, Place, Visit};
use crate::console::page::{Shown, page};
use crate::console::show::Say;

#[derive(Template)]
#[template(path = "organization/about.html")]
struct AboutPage {
    frame: Frame,
    t: Say,
    version: &'static str,
    edition: String,
    /// What keeps the records.
    store: &'static str,
}

/// The version, and where to read on.
pub(super) async fn about(visit: Visit) -> Shown {
    let tables = visit.service.tables();
    let recorded = tables.edition(&visit.caller.org_id).await?.unwrap_or_default();
    let edition = match Edition::read(&recorded) {
        Ok(own) => own.edition,
        Err(_) => recorded,
    };
    let t = visit.t();
    let store = match visit.service.store().directory() {
        Some(_) => t.0.pick("embedded (SQLite)", "内嵌（SQLite）"),
        None => "PostgreSQL",
    };
    let frame = visit.frame(Place::About).await?;
    page(&AboutPage { frame, t, version: env!("CARGO_PKG_VERSION"), edition, store })
}
