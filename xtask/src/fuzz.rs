//! Random and damaged bytes through everything that reads answers, for longer than the tests do.

use std::time::Instant;

use clap::Args;

use crate::cargo::cargo;
use crate::{Failure, output};

/// How many answers
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Answers made up, each by its own random seed
    #[arg(long, default_value_t = 2_000_000)]
    cases: u32,
}

/// Runs the test of the wire codec with more cases, optimised.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let begin = Instant::now();
    let status = cargo()
        .args(["test", "--release", "--locked", "-p", "vecferry-milvus", "--test", "wire_fuzz"])
        .env("PROPTEST_CASES", arguments.cases.to_string())
        .status()?;
    if !status.success() {
        return Err("an answer was read wrongly; it is printed above".into());
    }
    let seconds = begin.elapsed().as_secs();
    output::result(&format!("{} answers in {seconds} s: no panic, memory within bounds", arguments.cases));
    Ok(())
}
