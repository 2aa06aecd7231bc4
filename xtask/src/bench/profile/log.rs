//! The log of a job, read back: which calls were made, when, and in which part of the job.

use std::fmt;
use std::time::Duration;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::Failure;

/// One of the two servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Server {
    /// Copied from.
    Source,
    /// Copied to.
    Target,
}

/// A call to a server that has ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    /// Seconds since 1970.
    pub(super) begin: f64,
    /// The same.
    pub(super) end: f64,
    /// Who was called.
    pub(super) server: Server,
    /// What for.
    pub(super) method: String,
    /// Bytes of the answer.
    pub(super) bytes: u64,
    /// The stage of a collection that it belongs to.
    pub(super) stage: Option<String>,
    /// Whether it moves rows.
    pub(super) in_split: bool,
}

/// What one line of `--log-format json` holds.
#[derive(Deserialize)]
struct Line {
    timestamp: String,
    fields: Fields,
    span: Option<Fields>,
    #[serde(default)]
    spans: Vec<Fields>,
}

/// An object as it is written: a span's own name stands beside a field that is called `name` too.
struct Fields(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Fields(pairs))
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}

impl Fields {
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    /// What the span is called: its last name, behind its fields.
    fn is_span(&self, name: &str) -> bool {
        let last = self.0.iter().rev().find(|(other, _)| other == "name");
        last.is_some_and(|(_, value)| value == name)
    }
}

/// Reads the calls of a log, in the order in which they ended. `uris` are the addresses of source and target.
pub(super) fn calls(log: &str, uris: [&str; 2]) -> Result<Vec<Call>, Failure> {
    let mut calls = Vec::new();
    for line in log.lines() {
        // Between the lines of the log stands what is for people.
        let Ok(line) = serde_json::from_str::<Line>(line) else { continue };
        let Some(span) = line.span.as_ref().filter(|span| span.is_span("call")) else { continue };
        if !matches!(line.fields.text("message"), Some("answered" | "failed")) {
            continue;
        }
        let milliseconds = line.fields.get("milliseconds").and_then(Value::as_f64);
        let milliseconds = milliseconds.ok_or("this vecferry does not log how long its calls take")?;
        let server = match span.text("server") {
            Some(uri) if uri == uris[0] => Server::Source,
            Some(uri) if uri == uris[1] => Server::Target,
            _ => continue,
        };
        let end = unix_seconds(&line.timestamp)?;
        let stage = line.spans.iter().find(|span| span.is_span("stage"));
        calls.push(Call {
            begin: end - milliseconds / 1e3,
            end,
            server,
            method: span.text("method").unwrap_or_default().to_owned(),
            bytes: line.fields.get("bytes").and_then(Value::as_u64).unwrap_or_default(),
            stage: stage.and_then(|stage| stage.text("name")).map(str::to_owned),
            in_split: line.spans.iter().any(|span| span.is_span("split")),
        });
    }
    Ok(calls)
}

/// Seconds since 1970 of a time as the log writes it: `2026-11-30T00:37:02.279752Z`.
fn unix_seconds(timestamp: &str) -> Result<f64, Failure> {
    let timestamp: jiff::Timestamp = timestamp.parse()?;
    let since = Duration::try_from(timestamp.as_duration())?;
    Ok(since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = concat!(
        "Checking both clusters …\n",
        r#"{"timestamp":"1970-01-01T00:00:10.500000Z","level":"TRACE","fields":{"message":"answered","bytes":150,"#,
        r#""milliseconds":250.0},"target":"vecferry_milvus::transport","span":{"db":"default","method":"Insert","#,
        r#""server":"http://b","name":"call"},"spans":[{"attempt":1,"job_id":"j","name":"job"},{"name":"copy","name":"#,
        r#""stage"},{"split_id":"1","name":"split"},{"method":"Insert","name":"call"}]}"#,
        "\n",
        r#"{"timestamp":"1970-01-01T00:00:11Z","level":"DEBUG","fields":{"message":"rows differ"},"target":"t"}"#,
        "\n",
    );

    #[test]
    fn calls_know_their_side_time_and_stage() {
        let call = Call {
            begin: 10.25,
            end: 10.5,
            server: Server::Target,
            method: "Insert".into(),
            bytes: 150,
            stage: Some("copy".into()),
            in_split: true,
        };
        assert_eq!(calls(LOG, ["http://a", "http://b"]).unwrap(), [call]);
    }

    #[test]
    fn a_log_without_times_is_of_no_use() {
        assert!(calls(&LOG.replace("milliseconds", "other"), ["http://a", "http://b"]).is_err());
    }
}
