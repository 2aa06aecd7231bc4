//! Failures of the store, for people.

use vecferry_store::{ErrorKind, JobId, Store};

use super::{Code, Problem, Worded, words_of};

/// The record of a job can't be written while it runs.
pub(crate) fn store_failed(job_id: &JobId, error: &dyn Worded) -> Problem {
    Problem::new(Code::LedgerFailed).with("job", job_id).told("detail", words_of(error))
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
    let problem = Problem::new(code(error.kind(), unusable)).with("dir", place).with("job", job_id);
    problem.told("detail", words_of(error))
}

fn code(kind: ErrorKind, unusable: Code) -> Code {
    match kind {
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
        | ErrorKind::Moved
        | ErrorKind::Unmet
        | ErrorKind::Taken => Code::LedgerFailed,
    }
}

/// Codes of a store that can't be used now, whatever is asked of it.
const STORE_UNAVAILABLE: &[Code] = &[
    Code::StateDir,
    Code::StateDirExposed,
    Code::StateDirForeign,
    Code::StateDirOfNetwork,
    Code::StoreUnreachable,
    Code::StoreDenied,
    Code::StoreUnusable,
    Code::LedgerNewer,
    Code::LedgerCorrupt,
    Code::ServiceUnavailable,
    Code::StoreFull,
];

/// Whether a problem means that the store can't be used now, so that the same request may succeed once the store works
/// again. Otherwise the store works, and the request does not fit what is in it. [`Code::LedgerFailed`] counts as the
/// latter: outside of a running job it means that another process was first.
pub fn is_store_unavailable(code: Code) -> bool {
    STORE_UNAVAILABLE.contains(&code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_the_store_and_of_the_request_are_told_apart() {
        for unusable in [Code::StateDir, Code::StoreUnusable] {
            let is_unavailable = |kind| is_store_unavailable(code(kind, unusable));
            for kind in [
                ErrorKind::Unusable,
                ErrorKind::Exposed,
                ErrorKind::Foreign,
                ErrorKind::Network,
                ErrorKind::Unreachable,
                ErrorKind::Denied,
                ErrorKind::ReadOnly,
                ErrorKind::Full,
                ErrorKind::Corrupt,
                ErrorKind::Newer,
                ErrorKind::Locked,
            ] {
                assert!(is_unavailable(kind), "{kind:?}");
            }
            for kind in [
                ErrorKind::UnknownJob,
                ErrorKind::AmbiguousJob,
                ErrorKind::JobIsLive,
                ErrorKind::Superseded,
                ErrorKind::NotOpen,
                ErrorKind::IsClaimed,
                ErrorKind::Fenced,
                ErrorKind::Moved,
                ErrorKind::Unmet,
                ErrorKind::Taken,
            ] {
                assert!(!is_unavailable(kind), "{kind:?}");
            }
        }
        for code in [Code::ServiceUnavailable, Code::StoreFull] {
            assert!(is_store_unavailable(code));
        }
        for code in [Code::BadRequest, Code::Conflict, Code::NoSuchObject, Code::ConnectionRefused] {
            assert!(!is_store_unavailable(code));
        }
    }
}
