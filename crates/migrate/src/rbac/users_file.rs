//! The file with the passwords of new users: complete and on the disk before the first user is made, for its owner
//! only, and never overwritten.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom};
use rustix::fs::Access;
use serde::{Deserialize, Serialize};
use vecferry_milvus::Secret;

use crate::problem::{Code, Problem, Told, words_of};

/// Characters of a password, by class; servers may ask for one of each. None needs quoting in a shell or in an address.
const CLASSES: [&[u8]; 4] = [b"ABCDEFGHJKLMNPQRSTUVWXYZ", b"abcdefghijkmnopqrstuvwxyz", b"23456789", b"-_.+"];
/// More than 160 bits.
const PASSWORD_CHARS: usize = 32;

/// As stored. There is no `Debug`: it would show passwords.
#[derive(Serialize, Deserialize)]
struct Stored {
    job_id: String,
    target: String,
    users: Vec<StoredUser>,
}

#[derive(Serialize, Deserialize)]
struct StoredUser {
    user: String,
    password: String,
}

/// Passwords by user.
pub(super) struct UsersFile {
    users: Vec<(String, Secret)>,
}

impl UsersFile {
    /// The password of a user, if there is one.
    pub(super) fn password(&self, user: &str) -> Option<&Secret> {
        self.users.iter().find(|(known, _)| known == user).map(|(_, password)| password)
    }
}

/// The file can't be used.
pub(super) fn unusable(file: &Path, detail: impl Into<Told>) -> Problem {
    Problem::new(Code::UsersFile).with("file", file.display()).told("detail", detail)
}

/// Before the copy: a file that is there is somebody's, and one that is not there must be possible. Nothing is written.
pub(super) fn refuse_existing(file: &Path) -> Result<(), Problem> {
    let not_written =
        |detail: Told| Problem::new(Code::FileNotWritten).with("file", file.display()).told("detail", detail);
    match fs::symlink_metadata(file) {
        Ok(_) => return Err(Problem::new(Code::UsersFileExists).with("file", file.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(not_written(words_of(&error))),
    }
    // Directories that are missing are made.
    let Some(directory) = file.ancestors().skip(1).find(|path| path.exists()) else { return Ok(()) };
    rustix::fs::access(directory, Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|error| not_written(words_of(&std::io::Error::from(error))))?;
    if directory.is_dir() {
        Ok(())
    } else {
        let directory = directory.display();
        Err(not_written(Told::both(
            format!("{directory} is not a directory"),
            format!("{directory} 不是目录"),
        )))
    }
}

/// The file that an attempt of this job wrote; `None` where there is none.
pub(super) fn read(file: &Path, job_id: &str) -> Result<Option<UsersFile>, Problem> {
    let text = match fs::read(file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unusable(file, words_of(&error))),
    };
    // The parser's own words could show a part of the file.
    let stored: Stored = serde_json::from_slice(&text).map_err(|_| unusable(file, no_users_file()))?;
    if stored.job_id != job_id {
        return Err(unusable(file, Told::both("it belongs to another job", "它属于其他任务")));
    }
    let users = stored.users.into_iter().map(|user| (user.user, Secret::new(user.password))).collect();
    Ok(Some(UsersFile { users }))
}

fn no_users_file() -> Told {
    Told::both("not a password file of Vecferry", "不是 Vecferry 的密码文件")
}

/// Writes a new file with a new password for each user.
pub(super) fn make(file: &Path, job_id: &str, target: &str, users: &[String]) -> Result<UsersFile, Problem> {
    let stored = Stored {
        job_id: job_id.to_owned(),
        target: target.to_owned(),
        users: users.iter().map(|user| StoredUser { user: user.clone(), password: password() }).collect(),
    };
    let mut text = serde_json::to_vec_pretty(&stored).map_err(|error| unusable(file, words_of(&error)))?;
    text.push(b'\n');
    write(file, &text).map_err(|error| unusable(file, words_of(&error)))?;
    let users = stored.users.into_iter().map(|user| (user.user, Secret::new(user.password))).collect();
    Ok(UsersFile { users })
}

/// Removes the file of a job, if it is one.
pub(super) fn remove(file: &Path, job_id: &str) -> Result<bool, Problem> {
    if read(file, job_id)?.is_none() {
        return Ok(false);
    }
    fs::remove_file(file).map_err(|error| unusable(file, words_of(&error))).map(|()| true)
}

/// Written under another name and then given its own, which fails where that is taken: whoever is killed on the way
/// leaves no half of a file.
fn write(file: &Path, text: &[u8]) -> io::Result<()> {
    let directory = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
    let mut partial = file.as_os_str().to_owned();
    partial.push(format!(".{}.part", std::process::id()));
    let partial = PathBuf::from(partial);
    let mut open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
    let written =
        open.write_all(text).and_then(|()| open.sync_all()).and_then(|()| fs::hard_link(&partial, file));
    let removed = fs::remove_file(&partial);
    written.and(removed)?;
    File::open(&directory)?.sync_all()
}

fn password() -> String {
    let mut rng = rand::rng();
    let all = CLASSES.concat();
    let mut chars: Vec<u8> = CLASSES.iter().filter_map(|class| class.choose(&mut rng).copied()).collect();
    while chars.len() < PASSWORD_CHARS {
        chars.push(all[rng.random_range(0..all.len())]);
    }
    chars.shuffle(&mut rng);
    chars.into_iter().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn passwords_are_long_of_every_class_and_never_the_same() {
        let passwords: BTreeSet<_> = (0..200).map(|_| password()).collect();
        assert_eq!(passwords.len(), 200);
        for password in passwords {
            assert_eq!(password.len(), PASSWORD_CHARS);
            for class in CLASSES {
                assert!(password.bytes().any(|byte| class.contains(&byte)));
            }
        }
    }

    #[test]
    fn a_file_is_private_complete_and_never_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("users").join("j.json");
        refuse_existing(&file).unwrap();
        assert!(read(&file, "j").unwrap().is_none());
        let made = make(&file, "j", "http://b:1", &["ann".to_owned()]).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(refuse_existing(&file).unwrap_err().code, Code::UsersFileExists);
        let password = made.password("ann").unwrap().reveal().to_owned();
        assert_eq!(make(&file, "j", "http://b:1", &["bob".to_owned()]).err().unwrap().code, Code::UsersFile);
        let again = read(&file, "j").unwrap().unwrap();
        assert_eq!(again.password("ann").unwrap().reveal(), password);
        assert!(again.password("bob").is_none());
        assert_eq!(read(&file, "k").err().unwrap().code, Code::UsersFile);
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "nothing half written stays");
        assert!(remove(&file, "j").unwrap() && !remove(&file, "j").unwrap());
    }

    #[test]
    fn a_file_that_cannot_be_is_refused_before_anything_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let no_directory = directory.path().join("f");
        fs::write(&no_directory, "").unwrap();
        for file in [no_directory.join("j.json"), no_directory.join("users").join("j.json")] {
            assert_eq!(refuse_existing(&file).unwrap_err().code, Code::FileNotWritten);
        }
    }

    #[test]
    fn a_broken_file_is_named_without_its_contents() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("f");
        fs::write(&file, r#"{"job_id": "j", "users": "geheim"}"#).unwrap();
        let problem = read(&file, "j").err().unwrap();
        assert!(!problem.to_string().contains("geheim"), "{problem}");
    }
}
