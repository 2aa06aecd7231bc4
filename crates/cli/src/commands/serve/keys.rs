//! The keys that encrypt stored credentials, read again while the service runs.

use vecferry_migrate::{Lang, Problem, store_problem};
use vecferry_server::Service;
use vecferry_server::secret::keyring::{self, KeySource, Keyring};
use vecferry_store::Store;

use crate::settings::checked::Base;
use crate::settings::invalid;

/// The file of the keys where nobody names one.
const KEY_FILE: &str = "service.key";

/// Where the keys are, and where that was set.
pub(super) struct Keys {
    source: KeySource,
    place: String,
}

impl Keys {
    /// Those of the settings, or those of the state directory, where a first start makes one.
    ///
    /// # Errors
    /// There is no directory, or no file can be made there.
    pub(super) async fn of(base: &Base, store: &dyn Store) -> Result<Self, Problem> {
        let place = base.keys_place.clone();
        if let Some(source) = base.keys.clone() {
            return Ok(Self { source, place });
        }
        let Some(directory) = store.directory() else {
            // Refused before: a database without keys.
            let error = vecferry_store::Error::unreadable("no directory for keys");
            return Err(store_problem(store, "", &error));
        };
        let path = directory.join(KEY_FILE);
        Keyring::create_file(&path).await.map_err(|error| unusable(&place, &error))?;
        Ok(Self { source: KeySource::File(path), place })
    }

    /// Reads them.
    ///
    /// # Errors
    /// They can't be used.
    pub(super) async fn load(&self) -> Result<Keyring, Problem> {
        Keyring::load(&self.source).await.map_err(|error| unusable(&self.place, &error))
    }

    /// Whether it costs nothing to look every minute: a command may ask a vault that counts its callers.
    pub(super) fn is_cheap(&self) -> bool {
        match self.source {
            KeySource::File(_) | KeySource::Environment(_) => true,
            KeySource::Command(_) => false,
        }
    }
}

fn unusable(place: &str, error: &keyring::Error) -> Problem {
    invalid(place, error.to_string(), format!("无法使用密钥：{error}"))
}

/// Reads the keys again. What is wrong is told once, and not every minute.
pub(super) async fn reload(service: &Service, keys: &Keys, told: &mut Option<String>) {
    match keys.load().await {
        Ok(keyring) => {
            *told = None;
            let first = keyring.key_ids().swap_remove(0);
            if service.replace_keys(keyring) {
                tracing::info!(key = first, "the new keys are in use");
            }
        }
        Err(problem) => {
            let (code, error) = (problem.code, problem.what(Lang::En));
            if told.as_ref() == Some(&error) {
                tracing::debug!(%code, error, "the new keys still can't be used");
            } else {
                tracing::warn!(%code, error, "the new keys can't be used: those before stay in use");
                *told = Some(error);
            }
        }
    }
}
