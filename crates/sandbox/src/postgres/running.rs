//! The server's processes, and what ends them when their owner is gone.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::Error;
use crate::process::OwnedProcess;

/// How long a server may take to end, of which it needs a hundredth.
const END_TIMEOUT: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(3);

/// Its input is a pipe of which only the owner holds the other end: it closes however the owner ends. The shell and the
/// server are one process group. SIGQUIT ends a server at once, with the processes that it has started.
const SCRIPT: &str = r#"
trap '' QUIT
read -r line
kill -QUIT 0
waits=0
while [ -e "$1/data/postmaster.pid" ] && [ "$waits" -lt 50 ]; do
    sleep 0.1
    waits=$((waits + 1))
done
rm -rf -- "$1"
kill -KILL 0
"#;

/// A shell that ends the server and removes its directory when this process is gone. Dropping it kills it, and all that
/// was started with it.
pub(super) struct Guardian {
    process: OwnedProcess,
}

impl Guardian {
    pub(super) fn of(directory: &Path) -> Result<Self, Error> {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", SCRIPT, "vecferry-postgres-guardian"])
            .arg(directory)
            .stdin(Stdio::piped())
            // An output that it shared with the tests would keep their reader waiting.
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let process = OwnedProcess::spawn(&mut command).map_err(|cause| Error::io("start /bin/sh", cause))?;
        Ok(Self { process })
    }
}

/// One process under a guardian. Dropping it ends and reaps it.
pub(super) struct Running {
    child: Child,
}

impl Running {
    pub(super) fn start(guardian: &Guardian, mut command: Command) -> Result<Self, Error> {
        let child = guardian
            .process
            .spawn_beside(&mut command)
            .map_err(|cause| Error::io(format!("start {}", command.get_program().display()), cause))?;
        Ok(Self { child })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The exit status if the process has ended.
    pub(super) fn ended(&mut self) -> Result<Option<ExitStatus>, Error> {
        self.child.try_wait().map_err(|cause| Error::io("wait for a process", cause))
    }

    /// Waits for the end of one that ends by itself.
    pub(super) fn wait(mut self) -> Result<ExitStatus, Error> {
        self.child.wait().map_err(|cause| Error::io("wait for a process", cause))
    }

    /// Kills the server with the processes that it has started, which are in sessions of their own and would go on for
    /// a moment. While their parent is stopped, it makes no new ones and reaps none, so that the numbers stay theirs.
    pub(super) fn crash(mut self) -> Result<(), Error> {
        self.signal(Signal::STOP)?;
        let pid = self.pid();
        poll(|| state_and_parent(pid).is_none_or(|(state, _)| matches!(state, 'T' | 'Z')));
        let children = children_of(pid);
        for child in &children {
            // One that has ended meanwhile needs no signal.
            let _ = kill_process(*child, Signal::KILL);
        }
        let is_dead = |child: &Pid| {
            state_and_parent(child.as_raw_pid().cast_unsigned()).is_none_or(|(state, _)| state == 'Z')
        };
        poll(|| children.iter().all(is_dead));
        self.signal(Signal::KILL)?;
        self.child.wait().map(drop).map_err(|cause| Error::io("wait for a process", cause))
    }

    /// Nothing if it was reaped: its number could then belong to someone else.
    fn signal(&mut self, signal: Signal) -> Result<(), Error> {
        if self.ended()?.is_some() {
            return Ok(());
        }
        kill_process(Pid::from_child(&self.child), signal)
            .map_err(|cause| Error::io(format!("signal process {}", self.child.id()), cause))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Asked to end at once, a server takes its other processes and its shared memory with it.
        let _ = self.signal(Signal::QUIT);
        poll(|| matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)));
        let _ = self.signal(Signal::KILL);
        let _ = self.child.wait();
    }
}

/// Waits for a condition, but not forever.
fn poll(mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() && begin.elapsed() < END_TIMEOUT {
        thread::sleep(POLL_INTERVAL);
    }
}

/// Empty where there is no `/proc`: a killed server's processes then end by themselves, a moment later.
fn children_of(parent: u32) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let number = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<u32>().ok();
    let is_child = |pid: &u32| state_and_parent(*pid).is_some_and(|(_, of)| of == parent);
    entries
        .flatten()
        .filter_map(number)
        .filter(is_child)
        .filter_map(|pid| Pid::from_raw(pid.cast_signed()))
        .collect()
}

/// As `/proc/PID/stat` tells them; the name before them may hold anything.
fn state_and_parent(pid: u32) -> Option<(char, u32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}
