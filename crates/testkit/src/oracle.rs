//! Python scripts with `pymilvus`, run in one of a few long-lived interpreters.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use crate::Servers;

const PROGRAM: &str = include_str!("../python/oracle.py");

/// Interpreters that wait for the next test; starting one costs a second.
static IDLE: Mutex<Vec<Interpreter>> = Mutex::new(Vec::new());

struct Interpreter {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// Makes data and looks at servers, independently of what is tested.
pub struct Oracle {
    interpreter: Option<Interpreter>,
    servers: Value,
}

impl Oracle {
    /// An oracle for some servers; scripts know them by their names.
    pub fn new(servers: &Servers) -> Self {
        let idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let interpreter = idle.unwrap_or_else(|| {
            let mut child = Command::new("python3")
                .args(["-u", "-c", PROGRAM])
                .env("PYTHONPATH", servers.pymilvus())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("python3 runs");
            let (input, output) = (child.stdin.take().expect("stdin"), child.stdout.take().expect("stdout"));
            Interpreter { child, input, output: BufReader::new(output) }
        });
        Self { interpreter: Some(interpreter), servers: json!(servers.addresses()) }
    }

    /// Runs a script; what it assigns to `result` comes back. Functions of `python/oracle.py` are at hand.
    #[track_caller]
    pub fn run(&mut self, script: &str) -> Value {
        let interpreter = self.interpreter.as_mut().expect("an interpreter until the drop");
        let request = json!({"servers": self.servers, "script": unindented(script)});
        writeln!(interpreter.input, "{request}").expect("the interpreter lives");
        let mut line = String::new();
        interpreter.output.read_line(&mut line).expect("the interpreter answers");
        let answer: Value =
            serde_json::from_str(&line).unwrap_or_else(|_| panic!("the interpreter died: {line}"));
        if let Some(error) = answer["error"].as_str() {
            panic!("{error}");
        }
        answer["result"].clone()
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        if let Some(mut interpreter) = self.interpreter.take()
            && matches!(interpreter.child.try_wait(), Ok(None))
        {
            IDLE.lock().unwrap_or_else(PoisonError::into_inner).push(interpreter);
        }
    }
}

/// A script without the indentation it has inside a Rust test.
fn unindented(script: &str) -> String {
    let lines = || script.lines().filter(|line| !line.trim().is_empty());
    let indent = lines().map(|line| line.len() - line.trim_start().len()).min().unwrap_or_default();
    script.lines().map(|line| line.get(indent..).unwrap_or_default()).collect::<Vec<_>>().join("\n")
}
