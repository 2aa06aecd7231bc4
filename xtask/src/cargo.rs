//! Cargo inside of cargo.

use std::process::Command;

/// Cargo as a person would start it: without what the one that runs this program says of this program's package. Build
/// scripts that look at it (ring's) would be run anew each time, and half of all crates after them.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into()));
    let of_package = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(of_package) {
            command.env_remove(name);
        }
    }
    command
}
