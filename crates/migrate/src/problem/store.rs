//! Failures of the store, for people.

use vecferry_store::{JobId, Store};

use super::{Code, Problem};

/// The record of a job can't be written while it runs.
pub(crate) fn store_failed(job_id: &JobId, error: impl std::fmt::Display) -> Problem {
    Problem::new(Code::LedgerFailed).with("job", job_id).with("detail", error)
}

/// What a failure of the store means before anything was written.
pub fn store_problem(store: &dyn Store, job_id: &str, error: &vecferry_store::Error) -> Problem {
    state_problem(&store.place(), job_id, error)
}

/// The same of a store that could not be opened.
pub fn state_problem(place: &str, job_id: &str, error: &vecferry_store::Error) -> Problem {
    use vecferry_store::ErrorKind;
    let code = match error.kind() {
        ErrorKind::Unusable
        | ErrorKind::ReadOnly
        | ErrorKind::Full
        | ErrorKind::Locked
        | ErrorKind::Unreachable
        | ErrorKind::Denied => Code::StateDir,
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
