//! Files that pages load, held in the program.

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use std::io::Write;
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

/// The same for browsers that unpack it, which all do: the first page is there sooner. Pages themselves are not packed: they
/// hold what a form shows beside what others may have sent, and their size would tell of the one by the other.
static STYLE_PACKED: LazyLock<Option<Bytes>> = LazyLock::new(|| packed(STYLE));
static SCRIPT_PACKED: LazyLock<Option<Bytes>> = LazyLock::new(|| packed(SCRIPT));

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

fn packed(content: &str) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content.as_bytes()).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

/// Whether a browser unpacks what it is sent.
fn unpacks(headers: &HeaderMap) -> bool {
    let known =
        headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    known.split(',').any(|encoding| {
        let mut parts = encoding.split(';').map(str::trim);
        let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        is_gzip && !parts.any(|weight| matches!(weight, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}

fn address(name: &str, content: &str) -> String {
    let hash = Sha256::digest(content.as_bytes());
    let short: String = hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("/assets/{name}?{short}")
}

/// A file.
///
/// Only under the address with its own content's name is it kept: a process of another version may be asked for it as well.
pub(crate) async fn asset(Path(name): Path<String>, uri: Uri, asked: HeaderMap) -> Result<Response, Refusal> {
    let (kind, content, packed) = match name.as_str() {
        "console.css" => ("text/css; charset=utf-8", STYLE, STYLE_PACKED.clone()),
        "console.js" => ("text/javascript; charset=utf-8", SCRIPT, SCRIPT_PACKED.clone()),
        "icon.svg" => ("image/svg+xml", ICON, None),
        _ => return Err(Refusal::absent(("file", "文件"), &name)),
    };
    let is_own = uri.path_and_query().is_some_and(|asked| [style(), script()].contains(&asked.as_str()));
    let kept = if is_own { "public, max-age=31536000, immutable" } else { "no-cache" };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static(kept)),
        (header::VARY, HeaderValue::from_static("accept-encoding")),
    ];
    let Some(packed) = packed.filter(|_| unpacks(&asked)) else {
        return Ok((StatusCode::OK, headers, content).into_response());
    };
    let encoding = [(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"))];
    Ok((StatusCode::OK, headers, encoding, packed).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_unpacks_is_sent_packed_files() {
        for (value, unpacked) in [
            ("gzip, deflate, br", true),
            ("br, GZIP;q=0.5", true),
            ("identity", false),
            ("gzip;q=0, br", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
            assert_eq!(unpacks(&headers), unpacked, "{value}");
        }
        // With both files and the largest page, an opening stays below 100 KB.
        let size = |packed: &Option<Bytes>| packed.as_ref().unwrap().len();
        assert!(size(&STYLE_PACKED) + size(&SCRIPT_PACKED) < 16_000);
    }
}
