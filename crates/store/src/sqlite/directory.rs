//! The state directory: for its owner only and on a disk of this machine. It names what clusters hold, and locks and the
//! log that SQLite writes ahead hold only there. Nothing in it is made or opened through a link.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::error::{Error, ErrorKind};

/// What the group and others may do.
const OTHERS: u32 = 0o077;
const OTHERS_WRITE: u32 = 0o022;

/// Makes the directory if need be, and refuses one that is not safe. Gives its path without links, which is for the file
/// of the record: SQLite is told to follow none.
pub(crate) fn prepare(directory: &Path) -> Result<PathBuf, Error> {
    let failed = |error| Error::io(directory, error);
    // Before it is made: nothing is to be left where it can't be.
    if let Some(existing) = directory.ancestors().find(|path| path.exists()) {
        refuse_network(existing)?;
    }
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    let path = fs::canonicalize(directory).map_err(failed)?;
    refuse_network(&path)?;
    let found = fs::metadata(&path).map_err(failed)?;
    let me = rustix::process::geteuid().as_raw();
    if found.uid() != me {
        let text = format!("owner: user {}, this process: user {me}", found.uid());
        return Err(Error::new(ErrorKind::Foreign, text));
    }
    let mode = found.mode() & 0o777;
    if mode & OTHERS != 0 {
        // One that was just made for this, with the mode that shells give, and that nobody else could put anything into.
        let is_new = mode & OTHERS_WRITE == 0 && fs::read_dir(&path).map_err(failed)?.next().is_none();
        if !is_new {
            return Err(Error::new(ErrorKind::Exposed, format!("{mode:03o}")));
        }
        fs::set_permissions(&path, Permissions::from_mode(0o700)).map_err(failed)?;
    }
    Ok(path)
}

/// Makes a directory inside.
pub(crate) fn inside(directory: &Path, name: &str) -> Result<(), Error> {
    let path = directory.join(name);
    DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(|error| Error::io(&path, error))?;
    let found = fs::symlink_metadata(&path).map_err(|error| Error::io(&path, error))?;
    if found.is_dir() { Ok(()) } else { Err(is_link(&path)) }
}

/// Opens a file inside for its owner only, and makes it if need be.
pub(crate) fn private_file(path: &Path) -> Result<File, Error> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
        .map_err(|error| match rustix::io::Errno::from_io_error(&error) {
            Some(rustix::io::Errno::LOOP) => is_link(path),
            Some(_) | None => Error::io(path, error),
        })?;
    let found = file.metadata().map_err(|error| Error::io(path, error))?;
    if !found.is_file() {
        return Err(is_link(path));
    }
    if found.mode() & OTHERS != 0 {
        let private = file.set_permissions(Permissions::from_mode(0o600));
        private.map_err(|error| Error::io(path, error))?;
    }
    Ok(file)
}

/// Refuses a link, where something else opens the file.
pub(crate) fn refuse_link(path: &Path) -> Result<(), Error> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => Err(is_link(path)),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io(path, error)),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn is_link(path: &Path) -> Error {
    Error::new(ErrorKind::Unusable, "it is a link, or not a regular file")
        .in_chinese("它是链接，或不是普通文件")
        .at(path)
}

#[cfg(target_os = "linux")]
fn refuse_network(path: &Path) -> Result<(), Error> {
    let found = rustix::fs::statfs(path).map_err(|error| Error::io(path, error.into()))?;
    match u32::try_from(found.f_type & 0xffff_ffff).ok().and_then(network_file_system) {
        Some(name) => Err(Error::new(ErrorKind::Network, name)),
        None => Ok(()),
    }
}

/// Other systems number their file systems otherwise.
#[cfg(not(target_os = "linux"))]
fn refuse_network(_: &Path) -> Result<(), Error> {
    Ok(())
}

/// The name of a file system that more than one machine may write to, or whose locks are another program's, by the number
/// that Linux gives it (`linux/magic.h` and the sources of those outside of the kernel).
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only Linux has these numbers"))]
fn network_file_system(magic: u32) -> Option<&'static str> {
    Some(match magic {
        0x0000_6969 => "NFS",
        0x0000_517b | 0xff53_4d42 | 0xfe53_4d42 => "SMB/CIFS",
        0x0102_1997 => "9p",
        // Most are of the network: sshfs, GlusterFS, s3fs, shares of a host with its virtual machines.
        0x6573_5546 => "FUSE",
        0x00c3_6400 => "Ceph",
        0x0bd0_0bd0 => "Lustre",
        0x4750_4653 => "GPFS",
        0x1983_0326 => "BeeGFS",
        0x2003_0528 => "OrangeFS",
        0x5346_414f | 0x6b41_4653 => "AFS",
        0x7375_7245 => "Coda",
        0x0000_564c => "NCP",
        0x7461_636f => "OCFS2",
        0x0116_1970 => "GFS2",
        0x786f_4256 => "a shared folder of VirtualBox",
        0xbacb_acbc => "a shared folder of VMware",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_of_the_network_are_told_from_those_of_this_machine() {
        for (magic, name) in [
            (0x6969, Some("NFS")),
            (0x517b, Some("SMB/CIFS")),
            (0xff53_4d42, Some("SMB/CIFS")),
            (0xfe53_4d42, Some("SMB/CIFS")),
            (0x0102_1997, Some("9p")),
            (0x6573_5546, Some("FUSE")),
            // ext4, XFS, Btrfs, tmpfs, overlayfs, ZFS, F2FS, bcachefs, eCryptfs, FAT
            (0xef53, None),
            (0x5846_5342, None),
            (0x9123_683e, None),
            (0x0102_1994, None),
            (0x794c_7630, None),
            (0x2fc1_2fc1, None),
            (0xf2f5_2010, None),
            (0xca45_1a4e, None),
            (0xf15f, None),
            (0x4d44, None),
        ] {
            assert_eq!(network_file_system(magic), name, "{magic:#x}");
        }
    }
}
