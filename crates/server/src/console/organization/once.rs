//! What is shown once: links, keys and secrets, of which the service keeps only what they are checked with.

use askama::Template;
use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use std::sync::Arc;

use crate::api::{self, Refusal};
use crate::console::frame::{Frame, Place, Visit};
use crate::console::page::{Shown, having_made, page};
use crate::console::show::Say;
use crate::service::Service;

/// Something to copy.
#[derive(Debug)]
pub(super) struct Copied {
    pub(super) id: &'static str,
    pub(super) label: String,
    pub(super) text: String,
    pub(super) hint: String,
}

/// What was made.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) title: String,
    pub(super) told: String,
    pub(super) copied: Vec<Copied>,
    /// For the audit log.
    pub(super) object: Option<api::Made>,
    /// The list that it belongs to, which a reload shows.
    pub(super) list: String,
}

#[derive(Template)]
#[template(path = "organization/once.html")]
struct OncePage {
    frame: Frame,
    t: Say,
    made: Made,
}

/// The page of what was made. It is the answer to the form itself: no address ever holds a secret.
pub(super) async fn once(visit: &Visit, place: Place, made: Made) -> Shown {
    let object = made.object.clone();
    having_made(page(&OncePage { frame: visit.frame(place).await?, t: visit.t(), made }), object)
}

/// The address of the service as the browser knows it.
#[derive(Clone, Debug)]
pub(crate) struct Site(pub(crate) String);

impl FromRequestParts<Arc<Service>> for Site {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, service: &Arc<Service>) -> Result<Self, Refusal> {
        let named = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let host = named.or_else(|| parts.uri.authority().map(|authority| authority.as_str()));
        let is_host = |host: &&str| {
            !host.is_empty()
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte))
        };
        let host = host.filter(is_host).ok_or_else(|| {
            Refusal::bad_told("the header `Host` is missing or no host", "请求头 `Host` 缺失或不是主机名")
        })?;
        let scheme = if service.settings().is_behind_tls { "https" } else { "http" };
        Ok(Self(format!("{scheme}://{host}")))
    }
}
