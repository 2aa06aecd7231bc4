//! The console: the service in a browser.
//!
//! Pages are made on the server, and each state has an address. What is done goes through the same functions as the REST
//! API, so that a right, a limit and a text are decided in one place; this module only asks for them and shows what comes.
//! A small script (`assets/console.js`) adds what a page can't do by itself: it refreshes what is live, filters lists and
//! writes times as the viewer's zone has them. Without it everything works, only slower.

mod assets;
mod clusters;
mod explain;
mod form;
mod frame;
mod migrations;
mod organization;
mod page;
mod preferences;
mod refused;
mod setup;
mod show;
mod sign_in;
mod wizard;

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderMap, Method, header};

pub(crate) use form::csrf_in;
pub(crate) use frame::Look;
pub(crate) use refused::refused;

use crate::service::Service;

/// Addresses of the console, as they are written in metrics: each part knows its own.
const PATHS: [&[&str]; 9] = [
    assets::PATHS,
    preferences::PATHS,
    sign_in::PATHS,
    setup::PATHS,
    organization::PATHS,
    explain::PATHS,
    clusters::PATHS,
    wizard::PATHS,
    migrations::PATHS,
];

/// The pattern of an address of the console.
pub(crate) fn pattern(path: &str) -> Option<&'static str> {
    PATHS.into_iter().flatten().copied().find(|known| *known == path)
}

/// Pages that need nobody to be signed in. A session that is over does not keep anybody from them.
pub(crate) fn is_open(method: &Method, path: &str) -> bool {
    matches!(path, "/sign-in" | "/setup" | "/preferences")
        || (*method == Method::GET && (path.starts_with("/assets/") || path.starts_with("/errors")))
}

/// Whether an answer is for somebody who looks at pages, and not for a program.
pub(crate) fn is_asked(pattern: &str, headers: &HeaderMap) -> bool {
    let wants_page = || {
        headers
            .get(header::ACCEPT)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|kinds| kinds.contains("text/html"))
    };
    // The way by the identity provider belongs to the API, and browsers walk it.
    let is_shared = pattern == "other" || pattern.starts_with("/v2/session/oidc");
    self::pattern(pattern).is_some() || (is_shared && wants_page())
}

/// All pages.
pub(crate) fn router() -> Router<Arc<Service>> {
    Router::new()
        .merge(assets::ways())
        .merge(preferences::ways())
        .merge(sign_in::ways())
        .merge(setup::ways())
        .merge(organization::ways())
        .merge(explain::ways())
        .merge(clusters::ways())
        .merge(wizard::ways())
        .merge(migrations::ways())
}
