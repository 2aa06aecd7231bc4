//! One job of Vecferry.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use vecferry_sandbox::ServerInfo;

use crate::Failure;

/// How a job ended.
pub(super) struct Ended {
    /// Whether it says that all went well.
    pub(super) successful: bool,
    /// Errors: code and text.
    pub(super) problems: Vec<(String, String)>,
}

/// Migrates collections, every row compared, and with the indexes that the source has.
pub(super) fn migrate(
    program: &Path,
    source: &ServerInfo,
    target: &ServerInfo,
    collections: &[String],
) -> Result<Ended, Failure> {
    let state = tempfile::tempdir()?;
    let mut command = Command::new(program);
    command.args(["migrate", "--json", "--quiet", "--lang", "en", "--yes", "--verify", "full"]);
    command.args(["--auto-id", "regenerate", "--on-bad-row", "quarantine", "--keep-index-params"]);
    command.args(["--source-load-parallel", "8"]);
    command.args(["--source", &source.uri, "--target", &target.uri]);
    command.arg("--state-dir").arg(state.path());
    for name in collections {
        command.args(["--collection", name]);
    }
    for (info, variable) in [(source, "VECFERRY_SOURCE_TOKEN"), (target, "VECFERRY_TARGET_TOKEN")] {
        command.env(variable, info.token.as_deref().unwrap_or_default());
    }
    let output = command.stdin(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let last: Value =
        text.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default();
    let report = if last["event"] == "report" { &last["report"] } else { &last };
    let problems = report["problems"].as_array().map(Vec::as_slice).unwrap_or_default();
    let text_of = |problem: &Value, key: &str| problem[key].as_str().unwrap_or_default().to_owned();
    let mut problems: Vec<_> =
        problems.iter().map(|problem| (text_of(problem, "code"), text_of(problem, "message"))).collect();
    if !output.status.success() && problems.is_empty() {
        let text = String::from_utf8_lossy(&output.stderr);
        problems.push(("no code".to_owned(), format!("{}: {}", output.status, text.trim())));
    }
    Ok(Ended { successful: output.status.success(), problems })
}
