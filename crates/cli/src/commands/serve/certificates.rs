//! The certificate of the listener, read again while the service runs.

use std::sync::Arc;

use rustls::ServerConfig;
use vecferry_migrate::Problem;
use vecferry_server::{CertificateError, Certificates};

use crate::settings::checked::TlsFiles;
use crate::settings::invalid;

/// The certificate, and where it was set.
pub(super) struct Loaded {
    certificates: Arc<Certificates>,
    place: String,
}

/// Reads the certificate and its key.
///
/// # Errors
/// They can't be used.
pub(super) fn load(files: &TlsFiles) -> Result<Loaded, Problem> {
    let certificates = Certificates::load(&files.certificate, &files.key);
    let certificates = certificates.map_err(|error| unusable(&files.place, &error))?;
    Ok(Loaded { certificates, place: files.place.clone() })
}

impl Loaded {
    /// What the listener needs.
    ///
    /// # Errors
    /// TLS can't be set up.
    pub(super) fn server_config(&self) -> Result<Arc<ServerConfig>, Problem> {
        self.certificates.server_config().map_err(|error| unusable(&self.place, &error))
    }
}

fn unusable(place: &str, error: &CertificateError) -> Problem {
    invalid(place, error.to_string(), format!("无法使用证书：{error}"))
}

/// What is wrong is told once, and not every minute.
pub(super) async fn reload(loaded: &Loaded, told: &mut Option<String>) {
    let certificates = Arc::clone(&loaded.certificates);
    let reloaded = tokio::task::spawn_blocking(move || certificates.reload()).await;
    match reloaded {
        Ok(Ok(is_new)) => {
            *told = None;
            if is_new {
                tracing::info!("the new certificate is in use");
            }
        }
        Ok(Err(error)) => {
            let error = error.to_string();
            if told.as_ref() == Some(&error) {
                tracing::debug!(error, "the new certificate still can't be used");
            } else {
                tracing::warn!(error, "the new certificate can't be used: the one before stays in use");
                *told = Some(error);
            }
        }
        Err(error) => tracing::warn!(%error, "the certificate could not be read again"),
    }
}
