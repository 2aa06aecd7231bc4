//! The console: the service in a browser.
//!
//! Pages are made on the server, and each state has an address. What is done goes through the same functions as the REST
//! API, so that a right, a limit and a text are decided in one place; this module only asks for them and shows what comes.
//! A small script (`assets/console.js`) adds what a page can't do by itself: it refreshes what is live, filters lists and
//! writes times as the viewer's zone has them. Without it everything works, only slower.

mod assets;
mod form;
mod frame;
mod organization;
mod page;
mod preferences;
mod refused;
mod setup;
mod show;
mod sign_in;

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderMap, Method, header};
use axum::routing::{get, post};

pub(crate) use form::csrf_in;
pub(crate) use frame::Look;
pub(crate) use preferences::language;
pub(crate) use refused::refused;

use crate::service::Service;

/// Addresses of the console, as they are written in metrics.
pub(crate) const PATHS: &[&str] = &[
    "/",
    "/assets/{name}",
    "/sign-in",
    "/sign-out",
    "/setup",
    "/setup/account",
    "/preferences",
    "/o/{org}/projects",
];

/// Pages that need nobody to be signed in. A session that is over does not keep anybody from them.
pub(crate) fn is_open(method: &Method, path: &str) -> bool {
    matches!(path, "/sign-in" | "/setup" | "/preferences")
        || (*method == Method::GET && path.starts_with("/assets/"))
}

/// Whether an answer is for somebody who looks at pages, and not for a program.
pub(crate) fn is_asked(pattern: &str, headers: &HeaderMap) -> bool {
    let wants_page = || {
        headers
            .get(header::ACCEPT)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|kinds| kinds.contains("text/html"))
    };
    PATHS.contains(&pattern) || (pattern == "other" && wants_page())
}

/// All pages.
pub(crate) fn router() -> Router<Arc<Service>> {
    Router::new()
        .route("/", get(organization::home))
        .route("/assets/{name}", get(assets::asset))
        .route("/sign-in", get(sign_in::show).post(sign_in::sign_in))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/setup", get(setup::page).post(setup::begin))
        .route("/setup/account", get(setup::account).post(setup::save_account))
        .route("/preferences", post(preferences::save))
        .route("/o/{org}/projects", get(organization::projects).post(organization::create_project))
}
