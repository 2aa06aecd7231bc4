//! A new key file for the first start.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{Error, KEY_BYTES, file, hex, random};

const COMMENT: &str =
    "# Vecferry encrypts stored credentials with this key. Keep a backup: they cannot be read without it.\n";

pub(super) async fn create(path: &Path) -> Result<bool, Error> {
    let (named, path) = (path, path.to_path_buf());
    match tokio::task::spawn_blocking(move || create_blocking(&path)).await {
        Ok(created) => created,
        Err(error) => Err(file::Error::unusable(named, error.into()).into()),
    }
}

/// Writes to a file beside it and links that to the name: a file of this name is complete, and one that is there stays.
fn create_blocking(path: &Path) -> Result<bool, Error> {
    let failed = |error| Error::from(file::Error::unusable(path, error));
    if path.try_exists().map_err(failed)? {
        return Ok(false);
    }
    let mut key = [0; KEY_BYTES];
    random(&mut key)?;
    let draft = draft_of(path)?;
    let written = write_draft(&draft, &format!("{COMMENT}{}\n", hex(&key)))
        .and_then(|()| link(&draft, path))
        .and_then(|created| sync_directory(path).map(|()| created));
    let removed = fs::remove_file(&draft);
    let created = written.map_err(failed)?;
    removed.map_err(failed)?;
    Ok(created)
}

fn draft_of(path: &Path) -> Result<PathBuf, Error> {
    let mut suffix = [0; 8];
    random(&mut suffix)?;
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.new", hex(&suffix)));
    Ok(name.into())
}

fn write_draft(draft: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Whether this process was the first one.
fn link(draft: &Path, path: &Path) -> io::Result<bool> {
    match fs::hard_link(draft, path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Credentials are encrypted with the key from now on: its name has to outlast a crash as they do.
fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::{KeySource, Keyring};
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[tokio::test]
    async fn a_new_file_holds_one_key_for_its_owner() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys");
        assert!(Keyring::create_file(&path).await.unwrap());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(names(directory.path()), ["keys"]);
        let keys = Keyring::load(&KeySource::File(path)).await.unwrap();
        assert_eq!(keys.key_ids().len(), 1);

        let other = directory.path().join("other");
        assert!(Keyring::create_file(&other).await.unwrap());
        assert_ne!(Keyring::load(&KeySource::File(other)).await.unwrap().key_ids(), keys.key_ids());
    }

    #[tokio::test]
    async fn an_existing_file_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys");
        fs::write(&path, "mine").unwrap();
        assert!(!Keyring::create_file(&path).await.unwrap());
        // As if it came between the look and the link.
        let draft = directory.path().join("draft");
        write_draft(&draft, "other").unwrap();
        assert!(!link(&draft, &path).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }

    #[tokio::test]
    async fn a_missing_directory_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let error = Keyring::create_file(&directory.path().join("none/keys")).await.unwrap_err();
        assert!(matches!(error, Error::File(file::Error::Unusable { .. })), "{error:?}");
    }
}
