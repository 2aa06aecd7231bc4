//! What happens inside, for whoever looks for a cause: the spans and events of the libraries, on stderr.

use std::io::{self, Write};

use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry};
use vecferry_migrate::{Code, Problem};
use vecferry_report::acts;
use vecferry_server::traces::SpanLayer;
use vecferry_words::Told;

use crate::args::{LogFormat, Shown};
use crate::output::readable;

/// A part of the log.
type Part = Box<dyn Layer<Registry> + Send + Sync>;

/// Writes the log from now on, if that is asked for, or the command does so without being asked; and notes spans for a
/// collector, if there is one.
pub(crate) fn start(shown: &Shown, default: Option<&str>, spans: Option<SpanLayer>) -> Result<(), Problem> {
    let asked = shown.log.as_deref().filter(|filter| !filter.is_empty());
    let mut parts = Vec::new();
    if let Some(filter) = asked.or(default) {
        parts.push(written(filter, shown.log_format)?);
    }
    // Each part has its own filter: a quiet log does not keep spans from the collector.
    parts.extend(spans.map(|spans| spans.with_filter(filter_fn(SpanLayer::notes)).boxed()));
    if !parts.is_empty() {
        tracing_subscriber::registry().with(parts).init();
    }
    Ok(())
}

fn written(filter: &str, format: LogFormat) -> Result<Part, Problem> {
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        let told = Told::both(format!("--log {filter}: {error}"), format!("--log {filter} 无效：`{error}`"));
        Problem::new(Code::Arguments).told("detail", told)
    })?;
    let log = tracing_subscriber::fmt::layer().with_ansi(false);
    Ok(match format {
        LogFormat::Text => log.with_writer(|| Readable).with_filter(filter).boxed(),
        LogFormat::Json => log.json().with_writer(|| Escaped).with_filter(filter).boxed(),
    })
}

/// What the libraries log holds servers' messages.
struct Readable;

impl Write for Readable {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        // One event is one line: a message with lines of its own does not look like several events.
        let (line, end) = text.strip_suffix('\n').map_or((&*text, ""), |line| (line, "\n"));
        let line = readable(line, false).replace('\n', "\\n");
        io::stderr().lock().write_all(format!("{line}{end}").as_bytes()).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}

/// JSON as it was, with what acts on a terminal beyond ASCII written by its number.
struct Escaped;

impl Write for Escaped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        io::stderr().lock().write_all(escaped(&text).as_bytes()).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}

/// Characters outside of ASCII stand in JSON only inside of texts, where each may be written by its number.
fn escaped(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_ascii() || !acts(character) {
            escaped.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_on_a_terminal_is_written_by_its_number() {
        assert_eq!(escaped("{\"a\":\"名 \u{9b}1m\u{202e}x\"}\n"), "{\"a\":\"名 \\u009b1m\\u202ex\"}\n");
    }
}
