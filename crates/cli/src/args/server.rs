//! Which service a command drives, if it drives one.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use vecferry_report::typed::shell;

/// Names the service, so that it need not be typed with every command.
pub(crate) const SERVER_VARIABLE: &str = "VECFERRY_SERVER";

/// Said with each option: what stands behind these ones is not about the service.
const HEADING: &str = "Service";

/// A service that does what is asked for, instead of this process.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ServerArgs {
    /// Let the service at this address do it; VECFERRY_API_KEY holds the API key
    #[arg(long, value_name = "URL", env = SERVER_VARIABLE, value_hint = ValueHint::Url, help_heading = HEADING)]
    server: Option<String>,
    /// File that holds the API key, instead of VECFERRY_API_KEY
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "server", help_heading = HEADING)]
    pub(crate) server_key_file: Option<PathBuf>,
    /// CA certificate of the service to trust (PEM)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "server", help_heading = HEADING)]
    pub(crate) server_ca: Option<PathBuf>,
}

impl ServerArgs {
    /// The address of the service, if one is named.
    pub(crate) fn address(&self) -> Option<&str> {
        self.server.as_deref().map(str::trim).filter(|address| !address.is_empty())
    }

    /// The options that another command to the same service needs, as they can be typed into a shell. What the environment
    /// says need not be typed.
    pub(crate) fn typed(&self) -> Option<String> {
        let of_environment = std::env::var(SERVER_VARIABLE).ok();
        let address = self.server.as_deref().filter(|address| of_environment.as_deref() != Some(*address));
        let mut typed = address.map(|address| format!(" --server {}", shell(address))).unwrap_or_default();
        for (flag, file) in [("--server-key-file", &self.server_key_file), ("--server-ca", &self.server_ca)] {
            if let Some(file) = file {
                // A command may be typed in another directory.
                let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
                typed.push_str(&format!(" {flag} {}", shell(&file.to_string_lossy())));
            }
        }
        (!typed.is_empty()).then_some(typed)
    }
}
