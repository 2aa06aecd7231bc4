//! Where jobs are remembered.

use std::path::PathBuf;
use std::sync::Arc;

use vecferry_migrate::{Code, Problem, database_problem, state_problem, store_problem};
use vecferry_store::postgres::{PostgresStore, Settings, without_password};
use vecferry_store::{JobId, RoundRecord, Store, sqlite};

use vecferry_words::Told;

use crate::args::StateArgs;

/// Opens the database that is asked for, or else the store of the state directory.
pub(crate) async fn store(args: &StateArgs) -> Result<Arc<dyn Store>, Problem> {
    if let Some(url) = args.store.as_ref().filter(|url| !url.reveal().is_empty()) {
        return database(url.reveal(), directory(args).ok()).await;
    }
    let directory = directory(args)?;
    sqlite::open(&directory).map_err(|error| state_problem(&directory.display().to_string(), "", &error))
}

async fn database(url: &str, files_directory: Option<PathBuf>) -> Result<Arc<dyn Store>, Problem> {
    let settings = Settings { files_directory, ..Settings::default() };
    match PostgresStore::connect(url, settings).await {
        Ok(store) => Ok(Arc::new(store)),
        Err(error) => Err(database_problem(&without_password(url), "", &error)),
    }
}

/// The state directory that is asked for, or the platform's.
pub(crate) fn directory(args: &StateArgs) -> Result<PathBuf, Problem> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    args.state_dir.clone().or_else(|| platform_dir(variable)).ok_or_else(|| {
        let problem = Problem::new(Code::StateDir).with("dir", "~/.local/state/vecferry");
        let detail =
            Told::both("neither XDG_STATE_HOME nor HOME is set", "环境变量 XDG_STATE_HOME 和 HOME 均未设置");
        problem.told("detail", detail)
    })
}

/// The job whose ID begins with what is given.
pub(crate) async fn job(store: &dyn Store, beginning: &str) -> Result<JobId, Problem> {
    store.find_job(beginning).await.map_err(|error| store_problem(store, beginning, &error))
}

/// The round of a job that was begun last; a job that copies in one go has none.
pub(crate) async fn newest_round(store: &dyn Store, job_id: &JobId) -> Result<Option<RoundRecord>, Problem> {
    store.round(job_id).await.map_err(|error| store_problem(store, job_id.as_str(), &error))
}

/// The platform's directory for what programs remember.
fn platform_dir(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    // The XDG specification says to ignore relative paths.
    let xdg = variable("XDG_STATE_HOME").filter(|path| path.is_absolute());
    let base = xdg.or_else(|| Some(variable("HOME")?.join(".local").join("state")))?;
    Some(base.join("vecferry"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_platform_decides_where_nothing_is_said() {
        let set = |known: &'static [(&str, &str)]| {
            move |name: &str| {
                known.iter().find(|(key, _)| *key == name).map(|(_, value)| PathBuf::from(value))
            }
        };
        let dir = |known| platform_dir(set(known));
        assert_eq!(dir(&[("XDG_STATE_HOME", "/x"), ("HOME", "/h")]), Some("/x/vecferry".into()));
        assert_eq!(dir(&[("XDG_STATE_HOME", "x"), ("HOME", "/h")]), Some("/h/.local/state/vecferry".into()));
        assert_eq!(dir(&[]), None);
    }
}
