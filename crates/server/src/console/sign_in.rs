//! To sign in and out.

use askama::Template;
use axum::Extension;
use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use serde::Deserialize;
use std::sync::Arc;
use vecferry_migrate::{Code, Problem};
use vecferry_words::Lang;

use super::form::Form;
use super::frame::{Look, Visit};
use super::page::{Shown, page_of_form, see};
use super::show::{Say, Trouble};
use crate::api::session::{self, SignIn};
use crate::api::{Account, Body, Peer, Query, Refusal, Signed};
use crate::destination::back;
use crate::service::Service;

/// Its addresses.
pub(super) const PATHS: &[&str] = &["/sign-in", "/sign-out"];

pub(super) fn ways() -> Router<Arc<Service>> {
    Router::new().route("/sign-in", get(show).post(sign_in)).route("/sign-out", post(sign_out))
}

/// Where to go behind the sign-in.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Next {
    #[serde(default)]
    next: String,
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    look: Look,
    t: Say,
    next: String,
    email: String,
    has_provider: bool,
    troubles: Vec<Trouble>,
}

impl SignInPage {
    /// Where to go behind the sign-in, as a part of a query.
    fn encoded(&self) -> String {
        form_urlencoded::byte_serialize(self.next.as_bytes()).collect()
    }
}

/// A refused sign-in. It does not tell which of both was wrong.
fn trouble(problem: &Problem, lang: Lang) -> Trouble {
    match problem.code == Code::NotSignedIn {
        true => Trouble {
            code: problem.code.to_string(),
            what: lang.pick("the email or the password is wrong", "邮箱或密码不正确").to_owned(),
            hint: lang
                .pick(
                    "try again, or ask an Organization Owner for a one-time link",
                    "请重试，或请组织管理员生成一次性登录链接",
                )
                .to_owned(),
        },
        false => Trouble::of(problem, lang),
    }
}

/// The form.
fn page_of(service: &Service, look: Look, (next, email): (&str, &str), refusal: Option<&Refusal>) -> Shown {
    let lang = look.lang();
    let problems = refusal.map(Refusal::problems).unwrap_or_default();
    let form = SignInPage {
        t: look.t,
        next: back(next).to_owned(),
        email: email.to_owned(),
        has_provider: service.oidc().is_some(),
        troubles: problems.iter().map(|problem| trouble(problem, lang)).collect(),
        look,
    };
    page_of_form(refusal, &form)
}

/// The page to sign in.
pub(crate) async fn show(State(service): State<Arc<Service>>, look: Look, next: Query<Next>) -> Shown {
    page_of(&service, look, (&next.0.next, ""), None)
}

/// Signs in with a password.
pub(crate) async fn sign_in(
    State(service): State<Arc<Service>>,
    Extension(peer): Extension<Peer>,
    look: Look,
    form: Form,
) -> Shown {
    let (email, next) = (form.text("email").to_owned(), form.text("next").to_owned());
    let given = SignIn { email: email.clone(), password: form.text("password").to_owned() };
    let mut answered = session::sign_in(State(Arc::clone(&service)), Extension(peer), Body(given)).await;
    let account = answered.extensions_mut().remove::<Account>();
    let mut response = match answered.extensions_mut().remove::<Refusal>() {
        Some(refusal) => page_of(&service, look, (&next, &email), Some(&refusal))?,
        None => arrived(answered, back(&next))?,
    };
    // The audit log knows it from this.
    if let Some(account) = account {
        response.extensions_mut().insert(account);
    }
    Ok(response)
}

/// On with the session that an answer began.
pub(super) fn arrived(answered: axum::response::Response, next: &str) -> Shown {
    let mut response = see(next)?;
    for cookie in answered.headers().get_all(header::SET_COOKIE) {
        response.headers_mut().append(header::SET_COOKIE, cookie.clone());
    }
    Ok(response)
}

/// Signs out.
pub(crate) async fn sign_out(visit: Visit) -> Shown {
    let ended = session::sign_out(State(Arc::clone(&visit.service)), Signed(visit.caller)).await?;
    arrived(ended.into_response(), "/sign-in")
}
