//! Where the keys come from: a file, an environment variable, or a command of a vault.

use std::fmt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::Command;

use super::{Error, file};

const TEXT_BYTES_MAX: u64 = 64 * 1024;
const COMMAND_LIMIT: Duration = Duration::from_secs(10);

/// Where the keys of a keyring are.
#[derive(Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A file that only its owner may access.
    File(PathBuf),
    /// The environment variable of this name.
    Environment(String),
    /// What a command prints, run by `sh -c`.
    Command(String),
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Environment(name) => f.debug_tuple("Environment").field(name).finish(),
            // Its arguments may hold the password of a vault.
            Self::Command(_) => f.write_str("Command(…)"),
        }
    }
}

pub(super) async fn read(source: &KeySource) -> Result<Vec<u8>, Error> {
    match source {
        KeySource::File(path) => read_file(path.clone()).await,
        KeySource::Environment(name) => variable(name, |name| std::env::var(name).ok()),
        KeySource::Command(command) => run(command, COMMAND_LIMIT).await,
    }
}

async fn read_file(path: PathBuf) -> Result<Vec<u8>, Error> {
    let named = path.clone();
    match tokio::task::spawn_blocking(move || file::read_private(&path, TEXT_BYTES_MAX)).await {
        Ok(read) => Ok(read?),
        Err(error) => Err(file::Error::unusable(&named, error.into()).into()),
    }
}

fn variable(name: &str, value: impl Fn(&str) -> Option<String>) -> Result<Vec<u8>, Error> {
    value(name).map(String::into_bytes).ok_or_else(|| Error::Unset { name: name.to_owned() })
}

async fn run(command: &str, limit: Duration) -> Result<Vec<u8>, Error> {
    tokio::time::timeout(limit, Box::pin(output(command)))
        .await
        .unwrap_or_else(|_| Err(failed(format!("did not finish within {} s", limit.as_secs_f32()))))
}

/// What the command prints. Its error output is not shown: tools print what they were given in there.
async fn output(command: &str) -> Result<Vec<u8>, Error> {
    let unusable = |error: std::io::Error| failed(format!("cannot be run: {error}"));
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(unusable)?;
    let mut text = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(TEXT_BYTES_MAX + 1).read_to_end(&mut text).await.map_err(unusable)?;
    }
    if u64::try_from(text.len()).is_ok_and(|length| length > TEXT_BYTES_MAX) {
        return Err(failed(format!("prints more than {} KiB", TEXT_BYTES_MAX / 1024)));
    }
    let status = child.wait().await.map_err(unusable)?;
    match status.success() {
        true => Ok(text),
        false => Err(failed(format!("failed ({status}); run it by hand to see its messages"))),
    }
}

fn failed(reason: String) -> Error {
    Error::Command { reason }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::super::Keyring;
    use super::*;

    const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const KEY_ID: &str = "630dcd2966c43366";

    #[tokio::test]
    async fn keys_come_from_a_private_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys");
        fs::write(&path, KEY).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let source = KeySource::File(path.clone());
        assert_eq!(Keyring::load(&source).await.unwrap().key_ids(), [KEY_ID]);

        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let error = Keyring::load(&source).await.unwrap_err();
        assert!(matches!(error, Error::File(file::Error::Exposed { mode: 0o640, .. })), "{error:?}");
        assert!(error.to_string().contains("(mode 0640)"), "{error}");
    }

    #[tokio::test]
    async fn keys_come_from_an_environment_variable() {
        assert_eq!(
            variable("KEYS", |name| (name == "KEYS").then(|| KEY.to_owned())).unwrap(),
            KEY.as_bytes()
        );
        let source = KeySource::Environment("VECFERRY_NOT_SET_BY_ANYBODY".to_owned());
        let error = Keyring::load(&source).await.unwrap_err();
        assert_eq!(error.to_string(), "the environment variable `VECFERRY_NOT_SET_BY_ANYBODY` is not set");
        assert!(matches!(error, Error::Unset { .. }));
        // It is set, and is no key: the variable itself is read.
        let source = KeySource::Environment("PATH".to_owned());
        assert!(matches!(Keyring::load(&source).await, Err(Error::Malformed { line: 1 })));
    }

    #[tokio::test]
    async fn keys_come_from_a_command() {
        let source = KeySource::Command(format!("echo '# from the vault'; echo {KEY} | cat"));
        assert_eq!(Keyring::load(&source).await.unwrap().key_ids(), [KEY_ID]);
        assert_eq!(format!("{source:?}"), "Command(…)");
    }

    #[tokio::test]
    async fn a_failed_command_tells_its_status_and_nothing_it_said() {
        let source = KeySource::Command("echo hunter2; echo hunter2 >&2; exit 3".to_owned());
        let error = Keyring::load(&source).await.unwrap_err();
        assert!(matches!(error, Error::Command { .. }));
        assert_eq!(
            error.to_string(),
            "the key command failed (exit status: 3); run it by hand to see its messages"
        );
        assert!(!format!("{error:?}").contains("hunter2"));
    }

    #[tokio::test]
    async fn a_command_is_bounded_in_output_and_time() {
        let error = run("yes", COMMAND_LIMIT).await.unwrap_err();
        assert_eq!(error.to_string(), "the key command prints more than 64 KiB");
        let error = run("exec sleep 600", Duration::from_millis(100)).await.unwrap_err();
        assert_eq!(error.to_string(), "the key command did not finish within 0.1 s");
    }
}
