//! Files that hold keys: readable by their owner only, and of a bounded length.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Bytes of a text.
const TEXT_BYTES_MAX: u64 = 16 << 10;
/// What the group and others may do.
const OTHERS: u32 = 0o077;

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It can't be opened, read or written.
    #[error("cannot use the file `{}`: {source}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Other users have access to it.
    #[error("other users can access the file `{}` (mode {mode:04o})", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It is a directory, a pipe or a device.
    #[error("`{}` is not a regular file", path.display())]
    NotRegular {
        /// The file.
        path: PathBuf,
    },
    /// It is longer than anything of its kind.
    #[error("the file `{}` is longer than {limit} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The limit, in bytes.
        limit: u64,
    },
}

impl Error {
    pub(super) fn unusable(path: &Path, source: io::Error) -> Self {
        Self::Unusable { path: path.to_path_buf(), source }
    }
}

/// Reads a file that holds a key. Links are followed, because orchestrators mount secrets as links.
pub(crate) fn read_private(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    read(path, limit, |found| match found.mode() & 0o7777 {
        mode if mode & OTHERS != 0 => Err(Error::Exposed { path: path.to_path_buf(), mode }),
        _ => Ok(()),
    })
}

/// The text of a file that holds a secret, without the space around it.
///
/// # Errors
/// Others can read the file, or it is empty or no text.
pub fn private_text(path: &Path) -> Result<String, Error> {
    let text = String::from_utf8(read_private(path, TEXT_BYTES_MAX)?);
    match text.as_deref().map(str::trim) {
        Ok("") => Err(Error::unusable(path, io::Error::new(io::ErrorKind::InvalidData, "it is empty"))),
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(Error::unusable(path, io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))),
    }
}

/// Reads a file that holds no secret.
pub(crate) fn read_public(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    read(path, limit, |_| Ok(()))
}

fn read(path: &Path, limit: u64, admit: impl Fn(&Metadata) -> Result<(), Error>) -> Result<Vec<u8>, Error> {
    let failed = |error| Error::unusable(path, error);
    // Opening a pipe would wait until somebody writes to it.
    if !path.metadata().map_err(failed)?.is_file() {
        return Err(Error::NotRegular { path: path.to_path_buf() });
    }
    let file = File::open(path).map_err(failed)?;
    // Of the open file: the path may name another one by now.
    admit(&file.metadata().map_err(failed)?)?;
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    match u64::try_from(bytes.len()) {
        Ok(length) if length <= limit => Ok(bytes),
        Ok(_) | Err(_) => Err(Error::TooLong { path: path.to_path_buf(), limit }),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn written(mode: u32) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        fs::write(&path, "12345").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        (directory, path)
    }

    #[test]
    fn a_private_file_is_read_also_through_a_link() {
        for mode in [0o600, 0o400] {
            let (directory, path) = written(mode);
            let link = directory.path().join("link");
            symlink(&path, &link).unwrap();
            assert_eq!(read_private(&path, 5).unwrap(), b"12345");
            assert_eq!(read_private(&link, 5).unwrap(), b"12345");
        }
    }

    #[test]
    fn a_file_that_others_can_access_is_refused_with_its_mode() {
        for mode in [0o640, 0o604, 0o644, 0o620] {
            let (_directory, path) = written(mode);
            let error = read_private(&path, 5).unwrap_err();
            assert!(matches!(&error, Error::Exposed { mode: found, .. } if *found == mode), "{error:?}");
            assert!(error.to_string().ends_with(&format!("(mode {mode:04o})")), "{error}");
            assert_eq!(read_public(&path, 5).unwrap(), b"12345");
        }
    }

    #[test]
    fn a_long_file_is_refused() {
        let (_directory, path) = written(0o600);
        let error = read_private(&path, 4).unwrap_err();
        assert!(matches!(error, Error::TooLong { limit: 4, .. }), "{error:?}");
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let (directory, path) = written(0o600);
        let error = read_private(directory.path(), 5).unwrap_err();
        assert!(matches!(error, Error::NotRegular { .. }), "{error:?}");
        fs::remove_file(&path).unwrap();
        let error = read_private(&path, 5).unwrap_err();
        assert!(
            matches!(&error, Error::Unusable { source, .. } if source.kind() == io::ErrorKind::NotFound),
            "{error:?}"
        );
    }
}
