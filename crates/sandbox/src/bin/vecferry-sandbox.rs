//! The supervisor as a program of its own, for tests: obeys JSON lines on standard input until it closes.

use std::process::ExitCode;

fn main() -> ExitCode {
    // The error itself was sent to the client as a JSON line.
    match vecferry_sandbox::supervise(std::io::stdin(), std::io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
