//! Developer chores: `cargo xtask` lists them.
//!
//! It may use Vecferry's crates and its binary, but nothing of Vecferry may depend on it.

mod api_fuzz;
mod bench;
mod browser;
mod cargo;
mod cases;
mod fuzz;
mod licences;
mod modules;
mod output;
mod torture;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Whatever went wrong; a chore ends at once and says it.
type Failure = Box<dyn std::error::Error + Send + Sync>;

// The one of `vecferry`, so that what the benchmark does in this process costs what it would cost there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Developer chores
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Make up requests to the service from the description of its API, in every role, and look for answers that it does not have
    ApiFuzz(api_fuzz::Arguments),
    /// Measure speed and memory on real servers
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Test the console in a real browser, between two real servers
    Browser(browser::Arguments),
    /// Migrate the collections of popular applications and of public reports, and compare them without Vecferry's code
    Cases(cases::Arguments),
    /// Read random and damaged bytes as answers, and look for panics and memory without bounds
    Fuzz(fuzz::Arguments),
    /// Check licences and sources of all dependencies against deny.toml
    Licences,
    /// Show that the modules of each crate import one way
    Modules,
    /// Take pictures of the console's screens in both languages and themes, wide and narrow, into target/screenshots
    Screenshots(browser::Arguments),
    /// Break everything a migration depends on, again and again, and look whether a row is lost or there twice
    Torture(torture::Arguments),
}

fn main() -> ExitCode {
    let result = match Cli::parse().chore {
        Chore::ApiFuzz(arguments) => api_fuzz::run(&arguments),
        Chore::Bench(bench) => bench::run(&bench),
        Chore::Browser(arguments) => browser::run(browser::What::Tests, &arguments),
        Chore::Cases(arguments) => cases::run(&arguments),
        Chore::Fuzz(arguments) => fuzz::run(&arguments),
        Chore::Licences => licences::run(),
        Chore::Modules => modules::run(),
        Chore::Screenshots(arguments) => browser::run(browser::What::Screenshots, &arguments),
        Chore::Torture(arguments) => torture::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::note(&format!("error: {failure}"));
            ExitCode::FAILURE
        }
    }
}
