//! Files that are read again while the service runs: every minute, and on SIGHUP.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use vecferry_server::Service;

use super::certificates;
use super::keys::{self, Keys};

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(60);

/// Listens for SIGHUP, which from now on does not end the process. None where the system refuses to tell of it.
pub(super) fn hangups() -> Option<Signal> {
    signal(SignalKind::hangup()).ok()
}

/// Reads the certificate, if there is one, and the keys again, until it is aborted.
pub(super) async fn keep(
    service: Arc<Service>,
    certificate: Option<certificates::Loaded>,
    keys: Keys,
    mut hangups: Option<Signal>,
) {
    let (mut certificate_told, mut keys_told) = (None, None);
    loop {
        let hangup = async {
            match hangups.as_mut() {
                Some(hangups) => hangups.recv().await,
                None => std::future::pending().await,
            }
        };
        let is_asked = tokio::select! {
            _ = hangup => true,
            () = tokio::time::sleep(INTERVAL) => false,
        };
        if let Some(certificate) = &certificate {
            certificates::reload(certificate, &mut certificate_told).await;
        }
        if is_asked || keys.is_cheap() {
            keys::reload(&service, &keys, &mut keys_told).await;
        }
    }
}
