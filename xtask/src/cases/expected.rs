//! Collections that can't arrive, or not whole, as `cases/expected.json` lists them.

use std::path::Path;

use serde::Deserialize;

use crate::Failure;

/// A collection that Vecferry has to refuse, or whose rows it has to name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expected {
    /// Servers of both sides, as `--server` names them.
    pub(super) server: String,
    /// Database and name.
    pub(super) collection: String,
    /// The only code that the job's errors may have.
    pub(super) code: String,
    /// Rows that are left out and named, while all others arrive; 0 where the comparison can't read them at the source
    /// either. Without it, nothing may be made.
    pub(super) left_out: Option<u64>,
    /// Why it can't be otherwise.
    pub(super) reason: String,
}

/// Reads them.
pub(super) fn read(folder: &Path) -> Result<Vec<Expected>, Failure> {
    let path = folder.join("expected.json");
    let text = std::fs::read_to_string(&path)?;
    let all: Vec<Expected> =
        serde_json::from_str(&text).map_err(|cause| format!("{}: {cause}", path.display()))?;
    match all.iter().find(|one| one.reason.trim().is_empty()) {
        Some(one) => Err(format!("{}: {} has no reason", path.display(), one.collection).into()),
        None => Ok(all),
    }
}
