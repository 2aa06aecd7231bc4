//! The file that names the rows that the target refuses.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::Serialize;
use vecferry_milvus::Key;
use vecferry_store::{JobId, Store};

use crate::plan::Plan;
use crate::plan::stored::read_plan;
use crate::problem::{Code, Problem, Worded, store_failed, words_of};
use crate::read::key_of;

/// One row, for machines. No values: rows are on no disk but the servers'.
#[derive(Serialize)]
struct Line<'a> {
    collection: String,
    partition: &'a str,
    key: KeyValue,
    reason: &'a str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum KeyValue {
    Int(i64),
    Text(String),
}

/// Where the file of a job is.
pub(super) fn path(state_dir: &Path, job_id: &JobId) -> PathBuf {
    state_dir.join("quarantine").join(format!("{job_id}.jsonl"))
}

/// Where the rows of a job are named.
pub(super) fn place(store: &dyn Store, job_id: &JobId) -> String {
    store
        .files_directory()
        .map_or_else(|| store.place(), |directory| path(directory, job_id).display().to_string())
}

/// Writes the file from the record, or removes it where no row is refused any more. Returns its path if there is one.
/// A store without a directory for files names them itself.
pub(super) async fn write(store: &dyn Store, job_id: &JobId, plan: &Plan) -> Result<Option<String>, Problem> {
    let Some(path) = store.files_directory().map(|directory| path(directory, job_id)) else {
        return Ok(None);
    };
    let failed = |error: &dyn Worded| {
        Problem::new(Code::StateDir).with("dir", path.display()).told("detail", words_of(error))
    };
    let mut text = Vec::new();
    for (position, planned) in plan.here() {
        for row in store.quarantined(job_id, position).await.map_err(|error| failed(&error))? {
            let key = match key_of(&row.key).map_err(|error| failed(&error))? {
                Key::Int(number) => KeyValue::Int(number),
                Key::Text(text) => KeyValue::Text(text),
            };
            let (collection, partition, reason) = (planned.source.to_string(), &row.partition, &row.reason);
            serde_json::to_writer(&mut text, &Line { collection, partition, key, reason })
                .map_err(|error| failed(&error))?;
            text.push(b'\n');
        }
    }
    if text.is_empty() {
        return match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(&error)),
            Ok(()) | Err(_) => Ok(None),
        };
    }
    replace(&path, &text).map_err(|error| failed(&error))?;
    Ok(Some(path.display().to_string()))
}

/// The same by the plan that is recorded by now: rounds change it.
pub(super) async fn write_as_recorded(store: &dyn Store, job_id: &JobId) -> Result<Option<String>, Problem> {
    let record = store.job(job_id).await.map_err(|error| store_failed(job_id, &error))?;
    let plan = read_plan(&record.plan).map_err(|error| store_failed(job_id, &error))?;
    write(store, job_id, &plan).await
}

/// The file is there as a whole or as it was; for its owner only.
fn replace(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let new = path.with_extension("new");
    // What a process left that died: not written into, because it could lead elsewhere.
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.create_new(true).write(true).mode(0o600).open(&new)?;
    file.write_all(text)?;
    file.sync_all()?;
    std::fs::rename(&new, path)
}
