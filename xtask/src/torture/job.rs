//! Runs of the real program.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use vecferry_store::JobPage;

use super::Torture;
use super::data::COLLECTIONS;
use super::hit::Moment;
use crate::Failure;
use crate::bench::Side;

/// More than a run begins.
const JOBS_MAX: usize = 10_000;
/// How often it is looked whether a process has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Steps up to the copy.
const COPYING: [&str; 3] = ["loading_source", "creating", "copying"];

/// How a run ended.
pub(super) enum Outcome {
    Successful {
        number: String,
        report: Value,
    },
    /// Source and target differ, or the source changed.
    Different {
        text: String,
    },
    /// It can be resumed.
    Failed {
        text: String,
    },
    Killed,
    Refused {
        text: String,
    },
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Successful { number, .. } => write!(out, "successful ({number})"),
            Self::Failed { text } | Self::Refused { text } | Self::Different { text } => {
                let said = text.lines().find(|line| line.starts_with("error")).unwrap_or(text);
                write!(out, "ended: {said}")
            }
            Self::Killed => write!(out, "killed"),
        }
    }
}

/// What a run says of itself.
#[derive(Debug, Default)]
struct Said {
    phase: String,
    /// Of each collection.
    phases: BTreeMap<String, String>,
    last: Value,
}

/// What is run.
#[derive(Clone, Copy, Debug)]
pub(super) enum Run<'a> {
    /// A new job.
    Migrate,
    /// A new job that copies while somebody writes.
    MigrateWarm,
    /// What a job has under way.
    Resume(&'a str),
    CatchUp(&'a str),
    CutOver(&'a str),
}

impl<'a> Run<'a> {
    /// Goes on with a job, or begins one.
    pub(super) fn of(job: Option<&'a str>) -> Self {
        job.map_or(Self::Migrate, Self::Resume)
    }

    /// The job, if it is there already.
    pub(super) fn job(self) -> Option<&'a str> {
        match self {
            Self::Migrate | Self::MigrateWarm => None,
            Self::Resume(job) | Self::CatchUp(job) | Self::CutOver(job) => Some(job),
        }
    }

    fn command(self, torture: &Torture) -> Command {
        let (verb, more): (_, &[&str]) = match self {
            Self::Migrate => ("migrate", &["--yes"]),
            Self::MigrateWarm => ("migrate", &["--yes", "--warm"]),
            Self::Resume(_) => ("resume", &[]),
            Self::CatchUp(_) => ("catch-up", &[]),
            Self::CutOver(_) => ("cutover", &["--yes"]),
        };
        let mut command = command(torture, verb);
        command.args(more).args(self.job());
        if self.job().is_none() {
            command.args(["--source", &torture.source.uri(), "--target", &torture.target.uri()]);
            for name in COLLECTIONS {
                command.args(["--collection", name]);
            }
        }
        command.arg("--state-dir").arg(torture.state());
        command
    }
}

/// A run of the program.
pub(super) struct Job {
    child: Child,
    said: Arc<Mutex<Said>>,
    readers: Vec<JoinHandle<String>>,
    state: std::path::PathBuf,
    begun: Option<String>,
    /// Jobs that were there before.
    former: BTreeSet<String>,
}

fn command(torture: &Torture, verb: &str) -> Command {
    let mut command = Command::new(&torture.program);
    command.arg(verb).args(["--json", "--lang", "en"]);
    for (side, name) in [(Side::Source, "VECFERRY_SOURCE_TOKEN"), (Side::Target, "VECFERRY_TARGET_TOKEN")] {
        command.env(name, torture.servers.info(side).token.as_deref().unwrap_or_default());
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Job {
    /// Starts one. All that it prints is kept in the log too.
    pub(super) fn start(torture: &Torture, run: Run<'_>) -> Result<Self, Failure> {
        let mut log = torture.log()?;
        writeln!(log, "# {run:?}")?;
        let mut log_of_errors = log.try_clone()?;
        let former = jobs(&torture.state()).unwrap_or_default().into_iter().collect();
        let mut child = run.command(torture).spawn()?;
        let said = Arc::new(Mutex::new(Said::default()));
        let stdout = BufReader::new(child.stdout.take().ok_or("no stdout")?);
        let stderr = BufReader::new(child.stderr.take().ok_or("no stderr")?);
        let of_reader = Arc::clone(&said);
        let listen = std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // What can't be kept is no reason to let the program wait.
                drop(writeln!(log, "{line}"));
                let Ok(event) = serde_json::from_str::<Value>(&line) else { continue };
                let mut said = of_reader.lock().unwrap_or_else(PoisonError::into_inner);
                if event["event"] == "phase" {
                    said.phase = event["phase"].as_str().unwrap_or_default().to_owned();
                    let (of, phase) = (event["collection"].to_string(), said.phase.clone());
                    said.phases.insert(of, phase);
                }
                said.last = event;
            }
            String::new()
        });
        let remember = std::thread::spawn(move || {
            let keep = |line: &String| drop(writeln!(log_of_errors, "{line}"));
            let lines: Vec<_> = stderr.lines().map_while(Result::ok).inspect(keep).collect();
            lines[lines.len().saturating_sub(12)..].join("\n")
        });
        let (readers, begun) = (vec![listen, remember], run.job().map(str::to_owned));
        Ok(Self { child, said, readers, state: torture.state(), begun, former })
    }

    /// Whether the process runs.
    pub(super) fn is_alive(&self) -> bool {
        std::path::Path::new(&format!("/proc/{}/fd/0", self.child.id())).exists()
    }

    /// Waits for a moment. False if the process ended before it came.
    pub(super) fn wait_for(&self, moment: Moment, timeout: Duration) -> bool {
        let begin = Instant::now();
        let mut since = moment.step.is_none().then_some(begin);
        while self.is_alive() && begin.elapsed() < timeout {
            let said = || self.said.lock().unwrap_or_else(PoisonError::into_inner).phase.clone();
            if since.is_none() && moment.step.is_some_and(|step| said() == step) {
                since = Some(Instant::now());
            }
            if since.is_some_and(|since| since.elapsed() >= moment.delay) {
                return true;
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        false
    }

    /// Whether some collection is still copied, so that the last look at the source is yet to come.
    pub(super) fn is_copying(&self) -> bool {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_alive() && said.phases.values().any(|phase| COPYING.contains(&phase.as_str()))
    }

    /// The job's number, once it is recorded.
    pub(super) fn number(&self) -> Option<String> {
        if self.begun.is_some() {
            return self.begun.clone();
        }
        newer(&self.state, &self.former)
    }

    /// The jobs that were there before it began.
    pub(super) fn former(&self) -> &BTreeSet<String> {
        &self.former
    }

    /// Kills it.
    pub(super) fn kill(mut self) -> Result<Outcome, Failure> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(Outcome::Killed)
    }

    /// Waits for its end.
    pub(super) fn end(mut self, timeout: Duration) -> Result<Outcome, Failure> {
        let end = Instant::now() + timeout;
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if Instant::now() > end {
                self.child.kill()?;
                self.child.wait()?;
                return Err(format!("a job did not end within {} s", timeout.as_secs()).into());
            }
            std::thread::sleep(POLL_INTERVAL);
        };
        let text =
            self.readers.drain(..).filter_map(|reader| reader.join().ok()).collect::<Vec<_>>().join("\n");
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        match status.code() {
            Some(0) => {
                let report = said.last["report"].clone();
                let number = report["job_id"].as_str().unwrap_or_default().to_owned();
                Ok(Outcome::Successful { number, report })
            }
            Some(5) => Ok(Outcome::Different { text }),
            // A server was away too long, before or after the first write: it goes on.
            Some(4) => Ok(Outcome::Failed { text }),
            Some(3) if text.contains("VF-0102") || text.contains("VF-0103") || text.contains("VF-0212") => {
                Ok(Outcome::Failed { text })
            }
            code => Ok(Outcome::Refused { text: format!("exit {code:?}: {text}") }),
        }
    }
}

/// The jobs that are recorded; none while there is no record.
fn jobs(state: &std::path::Path) -> Option<Vec<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().ok()?;
    let store = vecferry_store::sqlite::open(state).ok()?;
    let newest = JobPage { jobs_max: JOBS_MAX, ..JobPage::newest() };
    let jobs = runtime.block_on(store.jobs(newest)).ok()?;
    Some(jobs.into_iter().map(|job| job.job_id.to_string()).collect())
}

/// The job that came to the recorded ones.
pub(super) fn newer(state: &std::path::Path, former: &BTreeSet<String>) -> Option<String> {
    jobs(state)?.into_iter().find(|job| !former.contains(job))
}

/// Removes what a job made.
pub(super) fn clean(torture: &Torture, number: &str) -> Result<(), Failure> {
    let mut command = command(torture, "cancel");
    command.args(["--clean", number, "--state-dir"]).arg(torture.state());
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("cancel --clean: {}", String::from_utf8_lossy(&output.stderr)).into())
}
