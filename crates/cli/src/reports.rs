//! Where reports are kept.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use vecferry_migrate::{Code, Problem, Report};

/// A directory for reports that can be written.
#[derive(Debug)]
pub(crate) struct Reports {
    state_dir: PathBuf,
}

impl Reports {
    /// Makes the directory if it is not there, and makes sure that a file can be written into it.
    pub(crate) fn open(state_dir: Option<PathBuf>) -> Result<Self, Problem> {
        let variable =
            |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let Some(state_dir) = state_dir.or_else(|| platform_dir(variable)) else {
            let problem = Problem::new(Code::StateDir).with("dir", "~/.local/state/vecferry");
            return Err(problem.with("detail", "neither XDG_STATE_HOME nor HOME is set"));
        };
        let reports = Self { state_dir };
        reports.probe().map_err(|error| {
            Problem::new(Code::StateDir).with("dir", reports.state_dir.display()).with("detail", error)
        })?;
        Ok(reports)
    }

    fn directory(&self) -> PathBuf {
        self.state_dir.join("reports")
    }

    fn probe(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(self.directory())?;
        let file = self.directory().join(format!(".probe-{}", std::process::id()));
        let written = write_new(&file, b"probe");
        // Also after a failure: a full disk takes the file but not its content.
        let removed = fs::remove_file(&file);
        written.and(removed)
    }

    /// Stores a report, completely or not at all, and tells where.
    pub(crate) fn store(&self, report: &Report) -> Result<PathBuf, Problem> {
        let directory = self.directory();
        let store = || -> io::Result<PathBuf> {
            let mut json = serde_json::to_vec_pretty(report)?;
            json.push(b'\n');
            let path = directory.join(format!("{}.json", report.job_id));
            let temporary = directory.join(format!(".{}-{}.tmp", report.job_id, std::process::id()));
            let stored = write_new(&temporary, &json).and_then(|()| fs::rename(&temporary, &path));
            if let Err(error) = stored {
                // It may not even have been made.
                let _ = fs::remove_file(&temporary);
                return Err(error);
            }
            sync_dir(&directory)?;
            Ok(path)
        };
        store().map_err(|error| {
            Problem::new(Code::ReportNotStored).with("dir", directory.display()).with("detail", error)
        })
    }
}

/// The platform's directory for what programs remember.
fn platform_dir(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    // The XDG specification says to ignore relative paths.
    let xdg = variable("XDG_STATE_HOME").filter(|path| path.is_absolute());
    let base = xdg.or_else(|| Some(variable("HOME")?.join(".local").join("state")))?;
    Some(base.join("vecferry"))
}

fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn sync_dir(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use vecferry_migrate::{JobState, VerifyLevel};

    use super::*;

    fn report() -> Report {
        let cluster = || vecferry_migrate::Cluster { address: "http://h:1".into(), version: "x".into() };
        Report {
            job_id: "job-1".into(),
            state: JobState::Successful,
            vecferry_version: "0".into(),
            source: cluster(),
            target: cluster(),
            started_at: String::new(),
            ended_at: String::new(),
            seconds: 1.0,
            verify: VerifyLevel::None,
            verified: VerifyLevel::None,
            sample_seed: 1,
            collections: Vec::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
        }
    }

    #[test]
    fn reports_are_stored_for_their_owner_only_and_leave_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let reports = Reports::open(Some(dir.path().join("state"))).unwrap();
        let path = reports.store(&report()).unwrap();
        assert!(path.ends_with("state/reports/job-1.json"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path().join("state/reports")).unwrap().count(), 1);
        let json: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(json["state"], "SUCCESSFUL");
    }

    #[test]
    fn a_report_that_cannot_be_stored_is_a_problem() {
        let dir = tempfile::tempdir().unwrap();
        let reports = Reports::open(Some(dir.path().join("state"))).unwrap();
        fs::remove_dir_all(dir.path().join("state")).unwrap();
        assert_eq!(reports.store(&report()).unwrap_err().code, Code::ReportNotStored);
    }

    #[test]
    fn a_file_is_no_state_directory() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(Reports::open(Some(file)).unwrap_err().code, Code::StateDir);
    }

    #[test]
    fn the_platform_directory_follows_xdg() {
        let dir = |variables: &[(&str, &str)]| {
            platform_dir(|name| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| PathBuf::from(value))
            })
        };
        assert_eq!(dir(&[("HOME", "/h"), ("XDG_STATE_HOME", "/s")]), Some(PathBuf::from("/s/vecferry")));
        assert_eq!(
            dir(&[("HOME", "/h"), ("XDG_STATE_HOME", "s")]),
            Some(PathBuf::from("/h/.local/state/vecferry"))
        );
        assert_eq!(dir(&[]), None);
    }
}
