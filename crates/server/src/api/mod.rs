//! The REST API, version 2: shapes as the cloud's documented API, so that scripts port by changing the host.

mod address;
pub(crate) mod answer;
pub(crate) mod audit;
pub(crate) mod clusters;
pub(crate) mod contents;
mod events;
pub(crate) mod extract;
pub(crate) mod fields;
mod health;
pub(crate) mod import;
pub(crate) mod jobs;
pub(crate) mod keys;
pub(crate) mod members;
pub(crate) mod migrations;
mod oidc;
pub(crate) mod projects;
pub(crate) mod request;
pub(crate) mod rounds;
pub(crate) mod session;
pub(crate) mod tasks;
pub(crate) mod webhooks;

pub(crate) use address::{Peer, of as address_of};
pub(crate) use answer::{Answer, Made, Refusal};
pub(crate) use extract::{Body, Owner, Path, Query, Signed};
pub(crate) use projects::project;
pub(crate) use request::{Account, HasSession, LANGUAGE_COOKIE, SESSION_COOKIE, Stopped, cookie, language};

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use utoipa::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::service::Service;

/// Addresses of the API, as they are written in metrics.
pub(crate) const PATHS: &[&str] = &[
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/v2/session",
    "/v2/session/link",
    "/v2/session/password",
    "/v2/session/oidc",
    "/v2/session/oidc/callback",
    "/v2/organization",
    "/v2/users",
    "/v2/users/{userId}",
    "/v2/users/{userId}/link",
    "/v2/projects",
    "/v2/projects/{projectId}",
    "/v2/projects/{projectId}/users",
    "/v2/projects/{projectId}/users/{userId}",
    "/v2/apiKeys",
    "/v2/apiKeys/{keyId}",
    "/v2/auditLogs",
    "/v2/clusters",
    "/v2/clusters/test",
    "/v2/clusters/importable",
    "/v2/clusters/import",
    "/v2/clusters/{clusterId}",
    "/v2/clusters/{clusterId}/collections",
    "/v2/capacity",
    "/v2/migrations/toExisting",
    "/v2/migrations/precheck",
    "/v2/jobs",
    "/v2/jobs/{jobId}",
    "/v2/jobs/{jobId}/details",
    "/v2/jobs/{jobId}/report",
    "/v2/jobs/{jobId}/cancel",
    "/v2/jobs/{jobId}/resume",
    "/v2/jobs/{jobId}/catch-up",
    "/v2/jobs/{jobId}/cutover",
    "/v2/jobs/{jobId}/rate",
    "/v2/jobs/{jobId}/events",
    "/v2/jobs/{jobId}/load",
    "/v2/jobs/{jobId}/verify",
    "/v2/jobs/{jobId}/tasks",
    "/v2/webhooks",
    "/v2/webhooks/{webhookId}",
    "/v2/webhooks/{webhookId}/deliveries",
    "/v2/webhooks/{webhookId}/test",
];

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Vecferry",
        description = "Moves whole Milvus and Zilliz Cloud clusters: projects, clusters, migration jobs. Every answer is \
            an envelope: `code` 0 with `data`, or another `code` with `message` and the `problems` behind it.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    modifiers(&Security),
    tags(
        (name = "Migrations", description = "To create a job"),
        (name = "Jobs", description = "To watch, end and go on with jobs"),
        (name = "Clusters", description = "What jobs are between"),
        (name = "Projects", description = "What clusters and jobs belong to"),
        (name = "Webhooks", description = "To be told of changes of jobs"),
        (name = "Users", description = "Who may do what"),
        (name = "Session", description = "To sign in"),
        (name = "Service", description = "Whether it is well")
    )
)]
struct Document;

struct Security;

impl utoipa::Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("API key").build();
        components.add_security_scheme("apiKey", SecurityScheme::Http(bearer));
        let cookie = ApiKey::Cookie(ApiKeyValue::new(SESSION_COOKIE));
        components.add_security_scheme("session", SecurityScheme::ApiKey(cookie));
    }
}

/// All ways of the API, and its description.
fn ways() -> OpenApiRouter<Arc<Service>> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(session::show, session::sign_in, session::sign_out, session::change))
        .routes(routes!(session::sign_in_by_link))
        .routes(routes!(session::set_password))
        .routes(routes!(oidc::begin))
        .routes(routes!(oidc::finish))
        .routes(routes!(members::organization, members::change_organization))
        .routes(routes!(members::list, members::invite))
        .routes(routes!(members::change, members::remove))
        .routes(routes!(members::link))
        .routes(routes!(projects::list, projects::create))
        .routes(routes!(projects::show, projects::rename, projects::remove))
        .routes(routes!(members::of_project))
        .routes(routes!(members::set_in_project, members::remove_from_project))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::revoke))
        .routes(routes!(audit::list))
        .routes(routes!(clusters::list, clusters::register))
        .routes(routes!(clusters::show, clusters::change, clusters::remove))
        .routes(routes!(clusters::test))
        .routes(routes!(import::importable))
        .routes(routes!(import::import))
        .routes(routes!(contents::collections))
        .routes(routes!(contents::estimate))
        .routes(routes!(migrations::to_existing))
        .routes(routes!(migrations::precheck))
        .routes(routes!(jobs::list))
        .routes(routes!(jobs::show))
        .routes(routes!(jobs::details))
        .routes(routes!(jobs::report))
        .routes(routes!(jobs::cancel))
        .routes(routes!(jobs::resume))
        .routes(routes!(rounds::catch_up))
        .routes(routes!(rounds::cut_over))
        .routes(routes!(jobs::set_rate))
        .routes(routes!(tasks::load))
        .routes(routes!(tasks::verify))
        .routes(routes!(tasks::list))
        .routes(routes!(webhooks::list, webhooks::create))
        .routes(routes!(webhooks::remove))
        .routes(routes!(webhooks::deliveries))
        .routes(routes!(webhooks::test))
}

/// The description of the API, OpenAPI 3.1.
pub fn openapi() -> utoipa::openapi::OpenApi {
    documented(ways().into_openapi())
}

fn documented(mut document: utoipa::openapi::OpenApi) -> utoipa::openapi::OpenApi {
    document.merge(events::ways().into_openapi());
    document
}

/// The API, but for listeners.
pub(crate) fn router() -> Router<Arc<Service>> {
    let (router, document) = ways().split_for_parts();
    let document = Arc::new(documented(document));
    let described = get(move || {
        let document = Arc::clone(&document);
        async move { axum::Json((*document).clone()) }
    });
    router.route("/openapi.json", described).route("/metrics", get(health::metrics))
}

/// Where listeners stay for as long as they like.
pub(crate) fn listeners() -> Router<Arc<Service>> {
    Router::from(events::ways())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_has_a_name_in_metrics() {
        let document = openapi();
        let unknown: Vec<_> =
            document.paths.paths.keys().filter(|path| !PATHS.contains(&path.as_str())).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
        let beside = ["/metrics", "/openapi.json"];
        let stale: Vec<_> = PATHS
            .iter()
            .filter(|path| !document.paths.paths.contains_key(**path) && !beside.contains(path))
            .collect();
        assert!(stale.is_empty(), "{stale:?}");
    }
}
