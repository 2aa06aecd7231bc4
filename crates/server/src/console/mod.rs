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
use axum::extract::MatchedPath;
use axum::http::{HeaderMap, Method, Uri, header};

pub(crate) use form::csrf_in;
pub(crate) use frame::Look;
pub(crate) use refused::refused;

use self::page::{Shown, see};
use crate::api::request::no_such_method;
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

/// The page that a form belongs to, for whoever opens the address that the form is sent to: by a reload, a link, or behind a
/// sign-in. It is the nearest address above it.
fn page_of_form(pattern: &str, path: &str) -> String {
    let (mut pattern, mut path) = (pattern, path);
    while let (Some((above, _)), Some((shorter, _))) = (pattern.rsplit_once('/'), path.rsplit_once('/')) {
        if self::pattern(above).is_some() {
            return shorter.to_owned();
        }
        (pattern, path) = (above, shorter);
    }
    "/".to_owned()
}

async fn to_page(method: Method, pattern: Option<MatchedPath>, uri: Uri) -> Shown {
    match pattern {
        Some(pattern) if method == Method::GET => see(&page_of_form(pattern.as_str(), uri.path())),
        Some(_) | None => Err(no_such_method().await),
    }
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
        .method_not_allowed_fallback(to_page)
}

#[cfg(test)]
mod tests {
    use super::page_of_form;

    #[test]
    fn the_address_of_a_form_leads_to_its_page() {
        for (pattern, path, page) in [
            (
                "/p/{project}/migrations/{job}/cancel",
                "/p/proj-1/migrations/j-1/cancel",
                "/p/proj-1/migrations/j-1",
            ),
            (
                "/p/{project}/clusters/cloud/found",
                "/p/proj-1/clusters/cloud/found",
                "/p/proj-1/clusters/cloud",
            ),
            ("/o/{org}/members/{user}/role", "/o/org-1/members/user-1/role", "/o/org-1/members"),
            ("/sign-out", "/sign-out", "/"),
        ] {
            assert_eq!(page_of_form(pattern, path), page, "{pattern}");
        }
    }
}
