//! Language and theme, as a browser keeps them.

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use axum::routing::post;
use std::sync::Arc;

use super::form::Form;
use super::page::{Shown, see};
use crate::api::{LANGUAGE_COOKIE, Refusal, cookie};
use crate::destination::back;
use crate::service::Service;

/// Its addresses.
pub(super) const PATHS: &[&str] = &["/preferences"];

pub(super) fn ways() -> Router<Arc<Service>> {
    Router::new().route("/preferences", post(save))
}

const THEME_COOKIE: &str = "vecferry_theme";

/// How a page looks; where nothing was chosen, as the system's setting says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Theme {
    Light,
    Dark,
}

impl Theme {
    /// Its name in attributes and cookies.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    fn of_name(name: &str) -> Option<Self> {
        [Self::Light, Self::Dark].into_iter().find(|theme| theme.name() == name)
    }
}

/// The theme that was chosen.
pub(crate) fn theme(headers: &HeaderMap) -> Option<Theme> {
    Theme::of_name(cookie(headers, THEME_COOKIE)?)
}

/// Keeps a choice, and goes back to where it was made.
pub(crate) async fn save(form: Form) -> Shown {
    let mut response = see(back(form.text("back")))?;
    if let lang @ ("en" | "zh") = form.text("language") {
        keep(&mut response, LANGUAGE_COOKIE, lang)?;
    }
    match form.text("theme") {
        "system" => keep(&mut response, THEME_COOKIE, "")?,
        chosen => {
            if let Some(theme) = Theme::of_name(chosen) {
                keep(&mut response, THEME_COOKIE, theme.name())?;
            }
        }
    }
    Ok(response)
}

fn keep(response: &mut Response, name: &str, value: &str) -> Result<(), Refusal> {
    let value = format!("{name}={value}; Path=/; SameSite=Lax; HttpOnly; Max-Age=31536000");
    let value = HeaderValue::from_str(&value).map_err(Refusal::unavailable)?;
    response.headers_mut().append(header::SET_COOKIE, value);
    Ok(())
}
