//! The Python program that makes the collections and compares them.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::Failure;

/// A running `cases.py`; it ends with its standard input.
pub(super) struct Python {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Python {
    /// Starts it with the packages that the servers' sandbox installed.
    pub(super) fn start(folder: &Path, packages: &Path) -> Result<Self, Failure> {
        let mut child = Command::new("python3")
            // Bytecode of these files would lie about in the repository.
            .args(["-B", "-u"])
            .arg(folder.join("cases.py"))
            .env("PYTHONPATH", packages)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|cause| format!("python3 does not start: {cause}"))?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().ok_or("python3 has no output")?);
        Ok(Self { child, input, output })
    }

    /// Has it do something.
    pub(super) fn ask(&mut self, request: &Value) -> Result<Value, Failure> {
        let input = self.input.as_mut().ok_or("cases.py has ended")?;
        writeln!(input, "{request}")?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let mut answer: Value =
            serde_json::from_str(&line).map_err(|_| format!("cases.py ended at {request}"))?;
        match answer["error"].as_str() {
            Some(error) => Err(format!("cases.py: {error}").into()),
            None => Ok(answer["result"].take()),
        }
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        self.input = None;
        drop(self.child.wait());
    }
}
