//! `vecferry demo`: everything at once, on servers of its own.

pub(super) mod sample;
pub(super) mod shop;

use std::process::Command;

use vecferry_migrate::{Code, Exit, Lang, MigrateRequest, Problem, state_problem, words_of};
use vecferry_milvus::{Client, Endpoint, Secret};
use vecferry_sandbox::{Sandbox, SandboxSpec, ServerKind, ServerSpec, SetupStep};
use vecferry_store::sqlite;
use vecferry_words::Told;

use crate::commands::migrate;
use crate::output::{Output, Style};
use crate::progress::Counted;
use crate::signals::Signals;
use crate::text;

/// Name of the server that is copied from.
pub(super) const SOURCE: &str = "source";
/// Name of the server that is copied to.
pub(super) const TARGET: &str = "target";

/// Starts two servers, fills one, migrates, and ends them.
pub(crate) async fn run(output: &Output, signals: &mut Signals) -> Exit {
    let lang = output.lang;
    step(output, text::demo_start(lang));
    let sandbox = match signals.unless_signaled(start(output)).await {
        Some(Ok(sandbox)) => sandbox,
        Some(Err(problem)) => return output.refuse(&[problem]),
        None => return stopped(output),
    };
    let exit = migrate_sample(output, signals, &sandbox).await;
    // Ends both servers and waits for that; it takes a moment.
    let gone = tokio::task::spawn_blocking(move || drop(sandbox)).await;
    drop(gone);
    match exit {
        Exit::Done => {
            if !output.quiet && !output.json {
                output.result(&format!("\n{}", text::demo_explained(lang)));
            }
        }
        Exit::Canceled => return stopped(output),
        Exit::Usage | Exit::Refused | Exit::Failed | Exit::Different => output.note(text::demo_failed(lang)),
    }
    exit
}

fn stopped(output: &Output) -> Exit {
    output.note(text::demo_stopped(output.lang));
    Exit::Canceled
}

/// A line about where the demo is.
pub(super) fn step(output: &Output, line: &str) {
    if !output.quiet {
        output.note(&output.styled_note(Style::Strong, line));
    }
}

/// Starts both servers. They live in a process of their own, which ends them when this one ends, however it does.
pub(super) async fn start(output: &Output) -> Result<Sandbox, Problem> {
    let program = std::env::current_exe().map_err(|error| problem(words_of(&error), text::run_again))?;
    let output = output.clone();
    let started = tokio::task::spawn_blocking(move || {
        let mut supervisor = Command::new(program);
        supervisor.arg("sandbox");
        let server = |name| ServerSpec::new(name, ServerKind::Milvus235).with_authorization();
        let spec = SandboxSpec::new([server(SOURCE), server(TARGET)]);
        Sandbox::start(supervisor, &spec, &|step: SetupStep| {
            if !output.quiet {
                output.note(&format!("  {}", text::setup_step(output.lang, &step)));
            }
        })
    });
    match started.await {
        Ok(Ok(sandbox)) => Ok(sandbox),
        Ok(Err(error)) => Err(of_sandbox(&error)),
        Err(error) => Err(problem(Told::from(error.to_string()), text::run_again)),
    }
}

async fn migrate_sample(output: &Output, signals: &mut Signals, sandbox: &Sandbox) -> Exit {
    let lang = output.lang;
    let endpoints = endpoint(sandbox, SOURCE).and_then(|source| Ok((source, endpoint(sandbox, TARGET)?)));
    let (source, target) = match endpoints {
        Ok(endpoints) => endpoints,
        Err(problem) => return output.refuse(&[problem]),
    };
    step(output, text::demo_filling(lang));
    let filled = async {
        let client = Client::connect(source.clone(), 1).await?;
        sample::fill(&client).await
    };
    match signals.unless_signaled(Box::pin(filled)).await {
        Some(Ok(())) => {}
        Some(Err(error)) => return output.refuse(&[sample_problem(&error)]),
        None => return Exit::Canceled,
    }
    step(output, text::demo_migrating(lang));
    let request = MigrateRequest::new(source, target);
    let migration =
        match migrate::prepare(output, signals, migrate::Task::New(Box::new(request)), None, true).await {
            Ok(migration) => migration,
            Err(exit) => return exit,
        };
    // The servers end with the demo, so that its job is nothing to remember.
    let directory = match tempfile::tempdir() {
        Ok(directory) => directory,
        Err(error) => return output.refuse(&[sample_problem(&error)]),
    };
    let store = sqlite::open(directory.path())
        .map_err(|error| state_problem(&directory.path().display().to_string(), "", &error));
    let store = match store {
        Ok(store) => store,
        Err(problem) => return output.refuse(&[problem]),
    };
    match migrate::carry_out(output, signals, migration, &store, Counted::Copied).await {
        Ok(report) => {
            migrate::finish(output, &report, None);
            report.exit()
        }
        Err(exit) => exit,
    }
}

/// Where a server is, and how to be let in.
pub(super) fn endpoint(sandbox: &Sandbox, name: &str) -> Result<Endpoint, Problem> {
    let server = sandbox.server(name).map_err(|error| of_sandbox(&error))?;
    let endpoint =
        Endpoint::parse(&server.uri).map_err(|error| problem(words_of(&error), text::run_again))?;
    Ok(endpoint.with_token(server.token.as_deref().map(Secret::new)))
}

/// What went wrong with the servers, and what to do about it, in both languages.
fn problem(detail: Told, remedy: impl Fn(Lang) -> &'static str) -> Problem {
    let problem = Problem::new(Code::Sandbox).told("detail", detail);
    problem.told("remedy", Told::both(remedy(Lang::En), remedy(Lang::Zh)))
}

fn of_sandbox(error: &vecferry_sandbox::Error) -> Problem {
    problem(text::sandbox_failed(error), |lang| lang.pick(error.hint(), error.hint_in_chinese()))
}

/// Why the sample data could not be written.
pub(super) fn sample_problem(error: &(dyn std::error::Error + 'static)) -> Problem {
    let failed = text::demo_sample_failed;
    let detail = words_of(error).within(|told| failed(Lang::En, told), |told| failed(Lang::Zh, told));
    problem(detail, text::demo_sample_remedy)
}
