//! `vecferry sandbox`, hidden: the process that owns the servers of a demo.

use vecferry_migrate::Exit;

/// Owns servers until standard input closes.
pub(crate) fn run() -> Exit {
    // The error itself went to the client, as a line of JSON.
    match vecferry_sandbox::supervise(std::io::stdin(), std::io::stdout()) {
        Ok(()) => Exit::Done,
        Err(_) => Exit::Failed,
    }
}
