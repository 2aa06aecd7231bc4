//! Files that pages load, held in the program.

use axum::Router;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::sync::LazyLock;

use crate::api::{Path, Refusal};
use crate::service::Service;

/// Its addresses.
pub(super) const PATHS: &[&str] = &["/assets/{name}"];

pub(super) fn ways() -> Router<Arc<Service>> {
    Router::new().route("/assets/{name}", get(asset))
}

/// One file for the browser, by parts for whoever changes it.
const STYLE: &str = concat!(
    include_str!("../../assets/console.css"),
    include_str!("../../assets/organization.css"),
    include_str!("../../assets/clusters.css"),
    include_str!("../../assets/wizard.css"),
    include_str!("../../assets/migrations.css"),
);
const SCRIPT: &str = include_str!("../../assets/console.js");
const ICON: &str = include_str!("../../assets/icon.svg");

static STYLE_ADDRESS: LazyLock<String> = LazyLock::new(|| address("console.css", STYLE));
static SCRIPT_ADDRESS: LazyLock<String> = LazyLock::new(|| address("console.js", SCRIPT));

/// Where the style sheet is. The address changes with its content, so that a browser may keep it for ever.
pub(crate) fn style() -> &'static str {
    &STYLE_ADDRESS
}

/// Where the script is.
pub(crate) fn script() -> &'static str {
    &SCRIPT_ADDRESS
}

fn address(name: &str, content: &str) -> String {
    let hash = Sha256::digest(content.as_bytes());
    let short: String = hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("/assets/{name}?{short}")
}

/// A file.
///
/// Only under the address with its own content's name is it kept: a process of another version may be asked for it as well.
pub(crate) async fn asset(Path(name): Path<String>, uri: Uri) -> Result<Response, Refusal> {
    let (kind, content) = match name.as_str() {
        "console.css" => ("text/css; charset=utf-8", STYLE),
        "console.js" => ("text/javascript; charset=utf-8", SCRIPT),
        "icon.svg" => ("image/svg+xml", ICON),
        _ => return Err(Refusal::absent(("file", "文件"), &name)),
    };
    let is_own = uri.path_and_query().is_some_and(|asked| [style(), script()].contains(&asked.as_str()));
    let kept = if is_own { "public, max-age=31536000, immutable" } else { "no-cache" };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static(kept)),
    ];
    Ok((StatusCode::OK, headers, content).into_response())
}
