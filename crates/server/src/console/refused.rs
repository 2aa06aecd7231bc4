//! What stands in the place of a page that can't be shown.

use askama::Template;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use vecferry_migrate::Code;

use super::frame::Look;
use super::page::{page_with, see};
use super::show::{Say, Trouble};
use crate::api::Refusal;

#[derive(Template)]
#[template(path = "refused.html")]
struct Refused {
    look: Look,
    t: Say,
    title: &'static str,
    troubles: Vec<Trouble>,
    request_id: String,
    /// Whether it was a way to sign in.
    is_sign_in: bool,
}

/// The page of a refusal; whoever is not signed in is asked to.
pub(crate) fn refused(refusal: &Refusal, look: Look, request_id: &str) -> Response {
    let first = refusal.problems().first().map(|problem| problem.code);
    if first == Some(Code::NotSignedIn) {
        // A form is not sent again behind the sign-in: its address leads to its page.
        let next: String = form_urlencoded::byte_serialize(look.path.as_bytes()).collect();
        if let Ok(response) = see(&format!("/sign-in?next={next}")) {
            return response;
        }
    }
    let status = refusal.status();
    let t = look.t;
    let is_sign_in = look.path.starts_with("/v2/session/oidc");
    // What the provider sent with the browser is nothing to come back to.
    let look = if is_sign_in { Look { path: "/sign-in".to_owned(), ..look } } else { look };
    let title = match status {
        _ if is_sign_in => t.say("Sign-in failed", "未能登录"),
        StatusCode::NOT_FOUND => t.say("Page not found", "页面不存在"),
        StatusCode::FORBIDDEN => t.say("Not allowed", "没有权限"),
        StatusCode::TOO_MANY_REQUESTS => t.say("Too many requests", "请求过多"),
        StatusCode::SERVICE_UNAVAILABLE => t.say("Not available now", "暂时不可用"),
        _ => t.say("This could not be done", "无法完成操作"),
    };
    let troubles =
        refusal.problems().iter().map(|problem| Trouble::of_request(problem, look.lang())).collect();
    let page = Refused { t, title, troubles, request_id: request_id.to_owned(), is_sign_in, look };
    page_with(status, &page).unwrap_or_else(|_| status.into_response())
}
