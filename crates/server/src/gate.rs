//! What every request passes before and after its handler: a number, bounds of size, time and rate, who calls, the audit
//! log, and the language and form of a refusal.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use tracing::{Instrument, field};
use vecferry_migrate::{Code, Problem};

use crate::api::request::{
    Account, CALLER_WAIT_MAX, CSRF_HEADER, HasSession, SESSION_COOKIE, Stopped, caller, cookie, language,
    no_such_method, nowhere, request_id, secured, store_is_silent, without_session,
};
use crate::api::{self, Made, Peer, Refusal};
use crate::console;
use crate::secret::token;
use crate::service::Service;
use crate::settings::OidcSettings;
use crate::tables::AuditRecord;

/// Bytes of a body that is too large that are read all the same.
const DROPPED_BYTES_MAX: usize = 64 << 20;

/// Where a session begins.
const SIGN_INS: [(Method, &str); 6] = [
    (Method::POST, "/v2/session"),
    (Method::POST, "/v2/session/link"),
    (Method::GET, "/v2/session/oidc"),
    (Method::GET, OidcSettings::CALLBACK),
    (Method::POST, "/sign-in"),
    (Method::POST, "/setup"),
];

/// Characters of an address or a name in the audit log.
const OBJECT_CHARACTERS_MAX: usize = 500;

/// Everything that a service answers.
pub(crate) fn router(service: Arc<Service>) -> Router {
    let gated = api::router()
        .merge(console::router())
        .fallback(nowhere)
        .method_not_allowed_fallback(no_such_method)
        .layer(middleware::from_fn_with_state(Arc::clone(&service), pass));
    // Listeners stay for as long as they like, so that they pass no gate that waits for the end of an answer.
    gated.merge(api::listeners()).with_state(service)
}

/// Lets requests through.
async fn pass(State(service): State<Arc<Service>>, request: Request, next: Next) -> Response {
    let request_id = request_id();
    let (method, path) = (request.method().clone(), matched(&request));
    let lang = language(request.headers());
    let page = console::is_asked(path, request.headers())
        .then(|| console::Look::of(request.headers(), request.uri()));
    let started = Instant::now();
    let span = tracing::info_span!("request", %request_id, %method, path, status = field::Empty);
    // Whoever hangs up does not stop what was asked for half-way, nor keep it from the audit log.
    let work = passed(Arc::clone(&service), request, next, request_id.clone()).instrument(span.clone());
    let mut response = match tokio::spawn(work).await {
        Ok(response) => response,
        Err(error) => {
            tracing::error!(%error, %request_id, "the request failed");
            Refusal::unavailable("the request failed").into_response()
        }
    };
    if let Some(refusal) = response.extensions_mut().remove::<Refusal>() {
        let closes = response.headers().get(header::CONNECTION).cloned();
        response = match page {
            Some(look) => console::refused(&refusal, look, &request_id),
            None => refusal.in_language(lang, &request_id),
        };
        if let Some(closes) = closes {
            response.headers_mut().insert(header::CONNECTION, closes);
        }
    }
    secured(response.headers_mut(), &request_id, service.settings().is_behind_tls);
    let (status, seconds) = (response.status().as_u16(), started.elapsed().as_secs_f64());
    let labels = [
        ("method", method_name(&method).to_owned()),
        ("path", path.to_owned()),
        ("status", status.to_string()),
    ];
    metrics::counter!("vecferry_http_requests_total", &labels).increment(1);
    metrics::histogram!("vecferry_http_request_seconds", "path" => path.to_owned()).record(seconds);
    span.record("status", status);
    let _entered = span.enter();
    tracing::debug!(seconds, "answered");
    response
}

/// The method, of which callers can make up as many as they like.
fn method_name(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}

/// The pattern of the address, of which there are few, and not the address.
fn matched(request: &Request) -> &'static str {
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str).unwrap_or_default();
    api::PATHS
        .iter()
        .copied()
        .find(|known| *known == path)
        .or_else(|| console::pattern(path))
        .unwrap_or("other")
}

async fn passed(service: Arc<Service>, request: Request, next: Next, request_id: String) -> Response {
    let (mut parts, body) = request.into_parts();
    let limits = service.settings().requests;
    // All of it arrives before anything is answered: what was left on the connection would be taken for the next request.
    let arrived = arrived(body, limits.body_bytes_max);
    let body = match tokio::time::timeout(limits.body_wait_max, arrived).await {
        Ok(Ok(Some(body))) => body,
        Ok(Ok(None)) => {
            return closing(Problem::new(Code::TooLarge).with("bytes_max", limits.body_bytes_max));
        }
        Ok(Err(error)) => return closing(Problem::new(Code::BadRequest).with("detail", error)),
        Err(_) => {
            let problem = Problem::new(Code::BadRequest).with("detail", "the body did not arrive in time");
            return closing(problem.with("detail_zh", "请求体未及时到达"));
        }
    };
    let peer = api::address_of(&parts.extensions, &parts.headers, &service.settings().trusted_proxies);
    parts.extensions.insert(Peer(peer));
    let (method, path) = (parts.method.clone(), parts.uri.path().to_owned());
    // Whoever signs in needs no session, and a browser can't get rid of the cookie of one that is over.
    let signs_in = SIGN_INS.iter().any(|(known, at)| *known == method && *at == path);
    if signs_in || console::is_open(&method, &path) {
        parts.extensions.insert(HasSession(cookie(&parts.headers, SESSION_COOKIE).is_some()));
        without_session(&mut parts.headers);
    }
    // A page elsewhere must not sign anybody in: what they then enter would be somebody else's.
    if signs_in && method == Method::POST && is_foreign(&parts.headers) {
        return Refusal::from(Problem::new(Code::CsrfToken)).into_response();
    }
    if signs_in && let Err(refusal) = store_answers(&service).await {
        return refusal.into_response();
    }
    if let Some(shown) = console::csrf_in(&parts.headers, &body) {
        show_csrf(&mut parts.headers, &shown);
    }
    let caller = match caller(&service, &method, &parts.headers, peer).await {
        Ok(caller) => caller.map(Arc::new),
        Err(refusal) => return refusal.into_response(),
    };
    let pattern = parts.extensions.get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let who = caller.as_ref().map_or_else(|| peer.to_string(), |caller| caller.actor.to_string());
    let key = format!("{who} {method} {}", pattern.as_deref().unwrap_or("other"));
    if let Err(problem) = service.allow(&key) {
        return Refusal::from(problem).into_response();
    }
    if let Some(caller) = &caller {
        parts.extensions.insert(Arc::clone(caller));
    }
    // What takes too long goes on: an answer that nobody waits for is still done or not, and not half.
    let answered = tokio::spawn(next.run(Request::from_parts(parts, Body::from(body))).in_current_span());
    let mut response = match tokio::time::timeout(limits.answer_wait_max, answered).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => {
            tracing::error!(%error, "the request failed");
            Refusal::unavailable("the request failed").into_response()
        }
        Err(_) => {
            let problem = Problem::new(Code::ServiceUnavailable).with("detail", "it took too long");
            Refusal::from(problem.with("detail_zh", "用时过长")).into_response()
        }
    };
    let account = response.extensions_mut().remove::<Account>();
    let is_recorded = account.is_some() || (method != Method::GET && method != Method::HEAD);
    // A way that does not exist is nothing that anybody did.
    let Some(pattern) = pattern.filter(|_| is_recorded) else { return response };
    let (made, outcome) = outcome(&response);
    let cut = |text: &str| text.chars().take(OBJECT_CHARACTERS_MAX).collect::<String>();
    let (object, object_name) = match made {
        Some(made) => (made.id, made.name.as_deref().map(cut)),
        None => (cut(&token::without_tokens(&path)), None),
    };
    let mut entry = AuditRecord {
        audit_id: String::new(),
        at_ms: 0,
        actor: String::new(),
        action: format!("{method} {pattern}"),
        object,
        object_name,
        outcome,
        address: peer.to_string(),
        request_id,
    };
    match (caller, account) {
        (Some(caller), _) => {
            entry.actor = caller.actor.to_string();
            recorded(service.tables().add_audit(&caller.org_id, entry).await);
        }
        (None, Some(Account(user_id))) => {
            let recording = record_sign_in(service, user_id, entry);
            match response.status().is_success() || response.status().is_redirection() {
                true => recording.await,
                // Nobody waits for it: an answer that takes longer would tell that the account exists.
                false => drop(tokio::spawn(recording.in_current_span())),
            }
        }
        (None, None) => {}
    }
    response
}

fn recorded(result: Result<(), vecferry_store::Error>) {
    if let Err(error) = result {
        tracing::error!(%error, "the audit log could not be written");
    }
}

/// Records a sign-in in the organization of the account, or that it failed.
async fn record_sign_in(service: Arc<Service>, user_id: String, mut entry: AuditRecord) {
    if !service.records_sign_in(&user_id, &entry.outcome) {
        tracing::warn!(%user_id, "too many sign-ins for the audit log");
        return;
    }
    entry.actor = user_id;
    match service.tables().organization_of(&entry.actor).await {
        Ok(Some(org_id)) => recorded(service.tables().add_audit(&org_id, entry).await),
        // Whoever left every organization is nobody's to watch.
        Ok(None) => {}
        Err(error) => recorded(Err(error)),
    }
}

/// A body, if it is not too large. The rest of one that is too large is read and dropped, as far as that is bearable: a
/// client that is cut off while it sends does not see the answer.
async fn arrived(mut body: Body, bytes_max: usize) -> Result<Option<Bytes>, axum::Error> {
    let (mut bytes, mut dropped) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if dropped == 0 && bytes.len() + data.len() <= bytes_max {
            bytes.extend_from_slice(&data);
            continue;
        }
        dropped += data.len();
        bytes = Vec::new();
        if dropped > DROPPED_BYTES_MAX {
            break;
        }
    }
    Ok((dropped == 0).then(|| Bytes::from(bytes)))
}

/// A refusal behind which nothing more is read from the connection.
fn closing(problem: Problem) -> Response {
    let mut response = Refusal::from(problem).into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Whether the store answers whoever is to sign in: like every other caller, they hear within seconds that it does not.
async fn store_answers(service: &Service) -> Result<(), Refusal> {
    let looked = tokio::time::timeout(CALLER_WAIT_MAX, service.tables().first_organization()).await;
    looked.map_err(|_| store_is_silent(CALLER_WAIT_MAX))??;
    Ok(())
}

/// Whether a browser says that a page of another site makes the request. Programs say nothing of it.
fn is_foreign(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => !matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => {
            let host = origin.split_once("://").map(|(_, host)| host);
            host.is_none() || host != text("host")
        }
        (None, None) => false,
    }
}

/// A form shows in a field what a program shows in a header.
fn show_csrf(headers: &mut HeaderMap, shown: &str) {
    if let Ok(shown) = HeaderValue::from_str(shown) {
        headers.entry(CSRF_HEADER).or_insert(shown);
    }
}

/// What a request made, and how it came out.
fn outcome(response: &Response) -> (Option<Made>, String) {
    let refused = response.extensions().get::<Refusal>().and_then(|refusal| refusal.problems().first());
    let told = response.extensions().get::<Stopped>().map(|stopped| stopped.0);
    let refused = refused.map(|problem| problem.code).or(told);
    let made = response.extensions().get::<Made>().cloned();
    let outcome = match refused {
        Some(code) => code.to_string(),
        // A form that was carried out leads on to a page.
        None if response.status().is_success() || response.status().is_redirection() => "done".to_owned(),
        None => response.status().as_str().to_owned(),
    };
    (made, outcome)
}
