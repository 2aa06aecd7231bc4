//! A page as an answer.

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::api::{Made, Refusal, Stopped};

/// What a page may load: what this service gives, and nothing that stands in the page itself.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// What every handler of a page gives.
pub(crate) type Shown = Result<Response, Refusal>;

/// A page.
pub(crate) fn page(template: &impl Template) -> Shown {
    page_with(StatusCode::OK, template)
}

/// A page with another status, such as a form that was refused.
pub(crate) fn page_with(status: StatusCode, template: &impl Template) -> Shown {
    let text = template.render().map_err(Refusal::unavailable)?;
    // Names and messages are others': none of them turns what stands around it.
    let harmless = |character: char| {
        if vecferry_report::acts(character) && !character.is_whitespace() { '\u{fffd}' } else { character }
    };
    let text: String = text.chars().map(harmless).collect();
    let headers = [
        // Forms of a page say where they come from, and nobody else learns it.
        (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    ];
    Ok((status, headers, text).into_response())
}

/// The page of a form; where it was refused, with the status of that.
pub(crate) fn page_of_form(refusal: Option<&Refusal>, template: &impl Template) -> Shown {
    let Some(refusal) = refusal else { return page(template) };
    let mut response = page_with(refusal.status(), template)?;
    if let Some(problem) = refusal.problems().first() {
        response.extensions_mut().insert(Stopped(problem.code));
    }
    Ok(response)
}

/// An answer that tells the audit log what was made.
pub(crate) fn having_made(shown: Shown, made: Option<Made>) -> Shown {
    let mut response = shown?;
    if let Some(made) = made {
        response.extensions_mut().insert(made);
    }
    Ok(response)
}

/// The way to another page, for a browser that has sent a form.
pub(crate) fn see(path: &str) -> Shown {
    let path = HeaderValue::from_str(path).map_err(Refusal::unavailable)?;
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, path)]).into_response())
}
