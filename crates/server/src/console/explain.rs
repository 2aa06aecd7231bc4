//! What a code means and what to do: the pages that codes link to.

use askama::Template;
use axum::Router;
use axum::routing::get;
use serde::Deserialize;
use std::sync::Arc;
use vecferry_words::{CATALOGUE, Entry, Lang, Surface};

use super::frame::Look;
use super::page::{Shown, page};
use super::show::Say;
use crate::api::{Path, Query, Refusal};
use crate::service::Service;

/// Its addresses.
pub(super) const PATHS: &[&str] = &["/errors", "/errors/{code}"];

pub(super) fn ways() -> Router<Arc<Service>> {
    Router::new().route("/errors", get(all)).route("/errors/{code}", get(one))
}

/// A code in one language.
struct Told {
    lang: Say,
    what: Vec<(bool, String)>,
    hint: Vec<(bool, String)>,
}

#[derive(Template)]
#[template(path = "explain.html")]
struct CodePage {
    look: Look,
    t: Say,
    code: String,
    exit: u8,
    /// The page's own language first.
    told: Vec<Told>,
}

#[derive(Template)]
#[template(path = "explain_all.html")]
struct CodesPage {
    look: Look,
    t: Say,
    /// Code, what happened, and whether it is found.
    codes: Vec<(String, String, bool)>,
    find: String,
}

impl CodesPage {
    /// Whether there is a code to show.
    fn is_any(&self) -> bool {
        self.codes.iter().any(|(.., is_found)| *is_found)
    }
}

/// What is searched for.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    find: String,
}

/// Placeholders as a reader sees them.
fn readable(template: &str) -> String {
    template.replace('{', "‹").replace('}', "›")
}

fn told(entry: &Entry, lang: Lang) -> Told {
    let text = entry.text(lang);
    Told { lang: Say(lang), what: pieces(text.what), hint: pieces(text.hint_on(Surface::Service)) }
}

/// A text in its pieces: those between backticks are code.
fn pieces(template: &str) -> Vec<(bool, String)> {
    let pieces = template.split('`').enumerate();
    pieces.map(|(place, piece)| (place % 2 == 1, readable(piece))).collect()
}

/// All codes.
pub(super) async fn all(look: Look, Query(wanted): Query<Wanted>) -> Shown {
    let (lang, find) = (look.lang(), wanted.find.trim().to_lowercase());
    let codes = CATALOGUE.iter().map(|entry| {
        let (code, what) = (entry.code.to_string(), readable(entry.text(lang).what));
        let is_found = format!("{code} {what}").to_lowercase().contains(&find);
        (code, what, is_found)
    });
    let mut codes: Vec<_> = codes.collect();
    codes.sort();
    page(&CodesPage { t: look.t, codes, find: wanted.find, look })
}

/// One of them.
pub(super) async fn one(look: Look, Path(code): Path<String>) -> Shown {
    let entry = CATALOGUE.iter().find(|entry| entry.code.to_string().eq_ignore_ascii_case(&code));
    let entry = entry.ok_or_else(|| Refusal::absent(("code", "代码"), &code))?;
    let first = look.lang();
    let second = match first {
        Lang::En => Lang::Zh,
        Lang::Zh => Lang::En,
    };
    page(&CodePage {
        t: look.t,
        code: entry.code.to_string(),
        exit: entry.exit.code(),
        told: [first, second].map(|lang| told(entry, lang)).into(),
        look,
    })
}
