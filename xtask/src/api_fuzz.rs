//! Requests that Schemathesis makes up from the description of the API, by somebody in every role, to a service between two
//! stand-in clusters. No answer may be a 5xx, or another one than is described, and none may be missing.

pub(crate) mod http;
pub(crate) mod scene;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use clap::Args;
use serde_json::Value;
use vecferry_sandbox::{SetupStep, install_schemathesis};

use crate::bench::build;
use crate::{Failure, output};
use http::Client;
use scene::{Caller, Scene};

/// What is looked at in every answer.
const CHECKS: &str =
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";
/// What calls the vendor's own API, which is nobody's to try.
const EXCLUDED: [&str; 1] = ["importClusters"];
/// An answer that takes longer does not come: the service itself gives up before.
const ANSWER_SECONDS_MAX: &str = "75";

const HOOKS: &str = include_str!("api_fuzz/hooks.py");

/// How many requests
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Requests made up, in all roles together
    #[arg(long, default_value_t = 10_000)]
    cases: usize,
    /// Seed of all that is random
    #[arg(long)]
    seed: Option<u32>,
    /// A `vecferry` that is built already; without it, one is built as it is released
    #[arg(long)]
    program: Option<PathBuf>,
}

/// Runs all of them.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let program = match &arguments.program {
        Some(program) => program.canonicalize()?,
        None => build()?,
    };
    let packages = install_schemathesis(&|step: SetupStep| output::note(&step.to_string()))?;
    let seed = arguments.seed.unwrap_or_else(rand::random);
    output::note(&format!("seed {seed}"));
    let directory = tempfile::tempdir()?;
    let mut scene = Scene::start(&program, directory.path())?;
    let operations = operations(&scene)?;
    let per_operation = arguments.cases.div_ceil(scene.callers.len() * operations);
    let begin = Instant::now();
    let mut failed = Vec::new();
    for caller in &scene.callers {
        output::note(&format!("\n== {}", caller.name));
        let mut command = schemathesis(&scene, caller, directory.path())?;
        command.env("PYTHONPATH", std::env::join_paths([packages.as_path(), directory.path()])?);
        command.args(["--max-examples", &per_operation.to_string(), "--seed", &seed.to_string()]);
        if !command.status()?.success() {
            failed.push(caller.name);
        }
    }
    if !scene.is_running() {
        return Err("the service ended".into());
    }
    let seconds = begin.elapsed().as_secs();
    if !failed.is_empty() {
        let roles = failed.join(", ");
        return Err(format!("not all answers to these are as described: {roles} (seed {seed})").into());
    }
    let roles = scene.callers.len();
    output::result(&format!(
        "{per_operation} requests to each of {operations} operations in each of {roles} roles in {seconds} s: all answered \
         as described"
    ));
    Ok(())
}

/// Operations that are described.
fn operations(scene: &Scene) -> Result<usize, Failure> {
    let document = Client::new(&scene.address).document("/openapi.json")?;
    let paths = document["paths"].as_object().ok_or("the description has no paths")?;
    Ok(paths.values().filter_map(Value::as_object).map(serde_json::Map::len).sum())
}

/// Schemathesis in one role. It repeats nothing: what it finds is told with its seed.
fn schemathesis(scene: &Scene, caller: &Caller, directory: &Path) -> Result<Command, Failure> {
    std::fs::write(directory.join("vecferry_hooks.py"), HOOKS)?;
    let mut command = Command::new("python3");
    command.args(["-m", "schemathesis.cli", "run", &format!("http://{}/openapi.json", scene.address)]);
    command.args([
        "--checks",
        CHECKS,
        "--phases",
        "examples,fuzzing",
        "--request-timeout",
        ANSWER_SECONDS_MAX,
    ]);
    command.args(["--generation-database", "none", "--suppress-health-check", "all", "--no-color"]);
    for operation in EXCLUDED.iter().chain(caller.excluded) {
        command.args(["--exclude-operation-id", operation]);
    }
    for header in &caller.headers {
        command.args(["--header", header]);
    }
    command.env("SCHEMATHESIS_HOOKS", "vecferry_hooks");
    command.env("VECFERRY_FUZZ_KNOWN", scene.known.to_string());
    command.current_dir(directory);
    Ok(command)
}
