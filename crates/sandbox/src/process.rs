use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::Error;
use crate::cancellation::Cancellation;

/// A child in a process group of its own; dropping it kills the whole group and reaps the child.
pub(crate) struct OwnedProcess {
    child: Child,
}

impl OwnedProcess {
    pub(crate) fn spawn(command: &mut Command) -> std::io::Result<Self> {
        Ok(Self { child: command.process_group(0).spawn()? })
    }

    /// Starts another process in this one's group: it is killed with it. Whoever gets it reaps it.
    pub(crate) fn spawn_beside(&self, command: &mut Command) -> std::io::Result<Child> {
        command.process_group(self.pid().cast_signed()).spawn()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The exit status if the process has ended.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>, Error> {
        self.child.try_wait().map_err(|cause| Error::io("wait for a process", cause))
    }

    /// Waits for the end; a cancellation ends the wait, not the process.
    pub(crate) fn wait(&mut self, cancellation: &Cancellation) -> Result<ExitStatus, Error> {
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            cancellation.pause()?;
        }
    }

    /// Signals the whole group, unless the child was reaped: its number could then belong to someone else.
    pub(crate) fn signal(&mut self, signal: Signal) -> Result<(), Error> {
        if self.ended()?.is_some() {
            return Ok(());
        }
        kill_process_group(Pid::from_child(&self.child), signal)
            .map_err(|cause| Error::io(format!("signal process {}", self.pid()), cause))
    }
}

impl Drop for OwnedProcess {
    fn drop(&mut self) {
        // Nothing is left to be done about a process that cannot be signalled or waited for.
        let _ = self.signal(Signal::KILL);
        let _ = self.child.wait();
    }
}
