//! Failures of the store, for people.

use vecferry_store::{JobId, Store};

use super::{Code, Problem};

/// The record of a job can't be written while it runs.
pub(crate) fn store_failed(job_id: &JobId, error: impl std::fmt::Display) -> Problem {
    Problem::new(Code::LedgerFailed).with("job", job_id).with("detail", error)
}

/// What a failure of the store means before anything was written.
pub fn store_problem(store: &dyn Store, job_id: &str, error: &vecferry_store::Error) -> Problem {
    match store.directory() {
        Some(_) => state_problem(&store.place(), job_id, error),
        None => database_problem(&store.place(), job_id, error),
    }
}

/// The same of a store in a directory that could not be opened.
pub fn state_problem(directory: &str, job_id: &str, error: &vecferry_store::Error) -> Problem {
    problem(directory, job_id, error, Code::StateDir)
}

/// The same of a store in a database that could not be opened; `place` is without credentials.
pub fn database_problem(place: &str, job_id: &str, error: &vecferry_store::Error) -> Problem {
    problem(place, job_id, error, Code::StoreUnusable)
}

fn problem(place: &str, job_id: &str, error: &vecferry_store::Error, unusable: Code) -> Problem {
    use vecferry_store::ErrorKind;
    let code = match error.kind() {
        ErrorKind::Unreachable => Code::StoreUnreachable,
        ErrorKind::Denied => Code::StoreDenied,
        ErrorKind::Unusable | ErrorKind::ReadOnly | ErrorKind::Full | ErrorKind::Locked => unusable,
        ErrorKind::Exposed => Code::StateDirExposed,
        ErrorKind::Foreign => Code::StateDirForeign,
        ErrorKind::Network => Code::StateDirOfNetwork,
        ErrorKind::Corrupt => Code::LedgerCorrupt,
        ErrorKind::Newer => Code::LedgerNewer,
        ErrorKind::UnknownJob | ErrorKind::AmbiguousJob => Code::UnknownJob,
        ErrorKind::JobIsLive => Code::JobIsLive,
        ErrorKind::Superseded
        | ErrorKind::NotOpen
        | ErrorKind::IsClaimed
        | ErrorKind::Fenced
        | ErrorKind::Moved => Code::LedgerFailed,
    };
    let problem = Problem::new(code).with("dir", place).with("job", job_id);
    problem.with("detail", error)
}
