//! Runs of the real binary.

use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::Servers;

/// A command line of `vecferry`, to be run.
#[derive(Debug)]
pub struct Vecferry {
    command: Command,
    state: TempDir,
}

/// What a run came to.
#[derive(Debug)]
pub struct Run {
    /// Its exit code.
    pub code: i32,
    /// All it printed.
    pub stdout: String,
    /// All it said beside.
    pub stderr: String,
    /// The objects it printed, where `--json` was given.
    pub lines: Vec<Value>,
}

impl Vecferry {
    /// `vecferry COMMAND --json …` with the tokens of the shared servers and a state directory of its own.
    pub fn new(servers: &Servers, command: &str, arguments: &[&str]) -> Self {
        let state = tempfile::tempdir().expect("a temporary directory");
        let mut process = Command::new(servers.program());
        process.args([command, "--json", "--lang", "en"]).args(arguments);
        process.env("VECFERRY_SOURCE_TOKEN", "root:Milvus").env("VECFERRY_TARGET_TOKEN", "root:Milvus");
        // What the user of this machine has recorded concerns no test.
        process.env("XDG_STATE_HOME", state.path());
        if command == "migrate" {
            process.args(["--yes", "--state-dir"]).arg(state.path());
        }
        process.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command: process, state }
    }

    /// `vecferry migrate` between two of the shared servers.
    pub fn migrate(servers: &Servers, source: &str, target: &str, arguments: &[&str]) -> Run {
        Self::between(servers, "migrate", source, target, arguments).run()
    }

    /// `vecferry verify` between two of the shared servers.
    pub fn verify(servers: &Servers, source: &str, target: &str, arguments: &[&str]) -> Run {
        Self::between(servers, "verify", source, target, arguments).run()
    }

    /// A command with source and target.
    pub fn between(servers: &Servers, command: &str, source: &str, target: &str, arguments: &[&str]) -> Self {
        let (source, target) = (servers.uri(source), servers.uri(target));
        let mut all = vec!["--source", &source, "--target", &target];
        all.extend(arguments);
        Self::new(servers, command, &all)
    }

    /// A command about the jobs of this one's state directory, with the tokens of the shared servers.
    pub fn of_same_state(&self, servers: &Servers, command: &str, arguments: &[&str]) -> Run {
        Run::new(self.command_of_same_state(servers, command, arguments).output().expect("vecferry runs"))
    }

    /// The same with environment variables.
    pub fn of_same_state_with(
        &self,
        servers: &Servers,
        command: &str,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Run {
        let mut process = self.command_of_same_state(servers, command, arguments);
        Run::new(process.envs(variables.iter().copied()).output().expect("vecferry runs"))
    }

    /// A command about the jobs of this one's state directory, to be started.
    pub fn command_of_same_state(&self, servers: &Servers, command: &str, arguments: &[&str]) -> Command {
        let mut process = Command::new(servers.program());
        process
            .args([command, "--json", "--lang", "en", "--state-dir"])
            .arg(self.state_dir())
            .args(arguments);
        process.env("VECFERRY_SOURCE_TOKEN", "root:Milvus").env("VECFERRY_TARGET_TOKEN", "root:Milvus");
        process.stdin(Stdio::null());
        process
    }

    /// Where its jobs are remembered.
    pub fn state_dir(&self) -> &std::path::Path {
        self.state.path()
    }

    /// With an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it to its end.
    pub fn run(mut self) -> Run {
        let output = self.command.output().expect("vecferry runs");
        Run::new(output)
    }

    /// Runs it to its end in the surroundings that another program makes, which gets it as its last arguments.
    pub fn run_within(self, program: &str, arguments: &[&str]) -> (Run, Self) {
        let mut outer = Command::new(program);
        outer.args(arguments).arg(self.command.get_program()).args(self.command.get_args());
        let variables = self.command.get_envs().filter_map(|(name, value)| Some((name, value?)));
        outer.envs(variables).stdin(Stdio::null());
        let run = Run::new(outer.output().expect("the program runs"));
        (run, self)
    }

    /// Starts it; the state directory lives as long as the second part.
    pub fn spawn(mut self) -> (Child, Self) {
        (self.command.spawn().expect("vecferry runs"), self)
    }
}

impl Run {
    /// Reads the output of an ended process.
    pub fn new(output: std::process::Output) -> Self {
        let stdout = String::from_utf8(output.stdout).expect("UTF-8 on stdout");
        let stderr = String::from_utf8(output.stderr).expect("UTF-8 on stderr");
        let lines = stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        Self { code: output.status.code().unwrap_or(-1), stdout, stderr, lines }
    }

    /// The report of the job.
    pub fn report(&self) -> &Value {
        match self.lines.last() {
            Some(last) if last["event"] == "report" => &last["report"],
            _ => panic!("no report\n{}\n{}", self.stdout, self.stderr),
        }
    }

    /// Asserts success, and shows everything otherwise.
    #[track_caller]
    pub fn succeeded(&self) -> &Value {
        assert_eq!(self.code, 0, "{}\n{}", self.stdout, self.stderr);
        let report = self.report();
        assert_eq!(report["state"], "SUCCESSFUL");
        report
    }

    /// Asserts an exit code, a problem's code, and a part of what is said.
    #[track_caller]
    pub fn failed(&self, exit: i32, code: &str, text: &str) {
        let shown = format!("{}\n{}", self.stdout, self.stderr);
        assert_eq!(self.code, exit, "{shown}");
        assert!(self.stderr.contains(&format!("error[{code}]")), "no {code} in: {shown}");
        assert!(self.stderr.contains(text), "no `{text}` in: {shown}");
        assert!(self.stderr.contains("hint: "), "no way out in: {shown}");
    }
}
