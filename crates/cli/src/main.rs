//! The `vecferry` command line: it parses arguments, calls the migration library, and presents what comes back.
//!
//! It may not know how anything is copied or compared, and it never speaks to a server itself, except to write the
//! sample data of `demo`, and to have a service do the work ([`remote`]). Every sentence for people is in [`text`], in `vecferry-report` or in the catalogue of
//! problems.

mod args;
mod commands;
mod connection;
mod help;
mod language;
mod log;
mod output;
mod present;
mod progress;
mod remote;
mod settings;
mod shorten;
mod signals;
mod state;
mod table;
mod text;
mod usage;

use std::future::Future;
use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory, FromArgMatches};
use vecferry_migrate::Exit;
use vecferry_server::traces;

use crate::args::{Cli, Command, StateArgs};
use crate::output::Output;
use crate::signals::Signals;

// Pages of many megabytes come and go in several threads; this allocator gives their memory back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let parsed = Cli::command().try_get_matches();
    let parsed = parsed.and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches)));
    let exit = match parsed {
        Ok((cli, matches)) => run(&cli, &matches),
        Err(error) => usage::explain(&error),
    };
    ExitCode::from(exit.code())
}

fn run(cli: &Cli, matches: &ArgMatches) -> Exit {
    let output = output(cli);
    let (spans, exporter) = commands::serve::collector(&cli.command).map(traces::to).unzip();
    if let Err(problem) = log::start(&cli.shown, default_log(&cli.command), spans) {
        return output.refuse(&[problem]);
    }
    if cli.command.server().is_some() {
        let foreign = remote::foreign_options(matches);
        if !foreign.is_empty() {
            return output.refuse(&foreign);
        }
        if let Some(exit) = by_service(&output, &cli.command) {
            return exit;
        }
    }
    match &cli.command {
        Command::Completions { shell } => commands::completions::run(&output, *shell),
        Command::Sandbox => commands::sandbox::run(),
        Command::Demo(_) => in_runtime(&output, async |signals| commands::demo::run(&output, signals).await),
        Command::Serve(args) => {
            in_threads(&output, async |signals| commands::serve::run(&output, signals, args, exporter).await)
        }
        Command::Config(args) => commands::config::run(&output, args),
        Command::Backup(args) => commands::backup::backup(&output, args),
        Command::Restore(args) => commands::backup::restore(&output, args),
        Command::Plan(args) => {
            in_runtime(&output, async |signals| commands::plan::run(&output, signals, args).await)
        }
        Command::Migrate(args) => {
            in_runtime(&output, async |signals| commands::migrate::run(&output, signals, args).await)
        }
        Command::Jobs(args) => until_signaled(&output, commands::jobs::list(&output, args)),
        Command::Status(args) => until_signaled(&output, commands::jobs::status(&output, args)),
        Command::Rate(args) => until_signaled(&output, commands::rate::run(&output, args)),
        Command::Report(args) => until_signaled(&output, commands::jobs::report(&output, args)),
        Command::Resume(args) => {
            in_runtime(&output, async |signals| commands::resume::run(&output, signals, args).await)
        }
        Command::CatchUp(args) => {
            in_runtime(&output, async |signals| commands::round::catch_up(&output, signals, args).await)
        }
        Command::Cutover(args) => {
            in_runtime(&output, async |signals| commands::round::cut_over(&output, signals, args).await)
        }
        Command::Worker(args) => {
            in_runtime(&output, async |signals| commands::worker::run(&output, signals, args).await)
        }
        Command::Cancel(args) => {
            in_runtime(&output, async |signals| commands::cancel::run(&output, signals, args).await)
        }
        Command::Verify(args) => {
            in_runtime(&output, async |signals| commands::verify::run(&output, signals, args).await)
        }
        Command::Capacity(args) => {
            in_runtime(&output, async |signals| commands::capacity::run(&output, signals, args).await)
        }
        Command::Load(args) => {
            in_runtime(&output, async |signals| commands::load::run(&output, signals, args).await)
        }
    }
}

/// Has a service carry out the command, if it can.
fn by_service(output: &Output, command: &Command) -> Option<Exit> {
    Some(match command {
        Command::Migrate(args) => {
            in_runtime(output, async |signals| remote::migrate::run(output, signals, args).await)
        }
        Command::Jobs(args) => until_signaled(output, remote::jobs::list(output, args)),
        Command::Status(args) => until_signaled(output, remote::jobs::status(output, args)),
        Command::Rate(args) => until_signaled(output, remote::rate::run(output, args)),
        Command::Report(args) => until_signaled(output, remote::jobs::report(output, args)),
        Command::Resume(args) => {
            in_runtime(output, async |signals| remote::resume::run(output, signals, args).await)
        }
        Command::Cancel(args) => {
            in_runtime(output, async |signals| remote::cancel::run(output, signals, args).await)
        }
        Command::Load(args) => {
            in_runtime(output, async |signals| remote::load::run(output, signals, args).await)
        }
        Command::Verify(args) => {
            in_runtime(output, async |signals| remote::verify::run(output, signals, args).await)
        }
        Command::Demo(_)
        | Command::Plan(_)
        | Command::CatchUp(_)
        | Command::Cutover(_)
        | Command::Capacity(_)
        | Command::Serve(_)
        | Command::Config(_)
        | Command::Backup(_)
        | Command::Restore(_)
        | Command::Completions { .. }
        | Command::Worker(_)
        | Command::Sandbox => return None,
    })
}

fn output(cli: &Cli) -> Output {
    let shown = &cli.shown;
    let lang = shown.lang.unwrap_or_else(usage::lang_of_environment);
    let new = |record| Output::new(lang, shown.json, shown.quiet, shown.color, record);
    match cli.command.server() {
        Some(server) => new(server.typed()).of_service(),
        None => new(cli.command.state().and_then(StateArgs::typed)),
    }
}

/// What is logged where nobody says: a service is looked at through its log.
fn default_log(command: &Command) -> Option<&'static str> {
    matches!(command, Command::Serve(args) if args.action.is_none()).then_some("info")
}

/// Runs a command on this thread alone, and leaves at once when it ends.
///
/// Pages are passed on and not computed with: one thread moves more than any server takes. With several, every frame
/// wakes another thread, and these wake-ups cost more than all work on the pages (measured: see docs/benchmarks.md).
fn in_runtime(output: &Output, command: impl AsyncFnOnce(&mut Signals) -> Exit) -> Exit {
    run_in(output, tokio::runtime::Builder::new_current_thread(), command)
}

/// Runs a command on several threads: requests of many people do not wait for each other, or for the pages of jobs.
fn in_threads(output: &Output, command: impl AsyncFnOnce(&mut Signals) -> Exit) -> Exit {
    run_in(output, tokio::runtime::Builder::new_multi_thread(), command)
}

fn run_in(
    output: &Output,
    mut builder: tokio::runtime::Builder,
    command: impl AsyncFnOnce(&mut Signals) -> Exit,
) -> Exit {
    let runtime = match builder.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return output.refuse(&[usage::no_runtime(&error)]),
    };
    let exit = runtime.block_on(boxed(command));
    // After a second Ctrl-C tasks may still be under way; nobody waits for them.
    runtime.shutdown_background();
    exit
}

/// Runs a command that a signal just ends.
fn until_signaled(output: &Output, command: impl Future<Output = Exit>) -> Exit {
    in_runtime(output, async |signals| signals.unless_signaled(command).await.unwrap_or(Exit::Canceled))
}

/// The signals are listened to from the first moment on, so that none is lost.
fn boxed(command: impl AsyncFnOnce(&mut Signals) -> Exit) -> impl Future<Output = Exit> {
    Box::pin(async move { command(&mut Signals::listen()).await })
}
