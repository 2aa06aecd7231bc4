//! `vecferry completions`

use clap::CommandFactory;
use clap_complete::Shell;
use vecferry_migrate::Exit;

use crate::args::Cli;
use crate::output::Output;

/// Prints a completion script.
pub(crate) fn run(output: &Output, shell: Shell) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "vecferry", &mut script);
    output.raw(&script);
    Exit::Done
}
