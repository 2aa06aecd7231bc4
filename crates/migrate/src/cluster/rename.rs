//! Whether a server can rename collections, which is how a name is taken without a gap.

use std::collections::BTreeSet;

use tokio_util::sync::CancellationToken;
use vecferry_milvus::{Client, CollectionName, Error, ErrorKind};

use super::retry::repeat;
use crate::problem::{Code, Problem, Told, found};

/// Whether a name can be taken by a rename.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renames {
    /// It can.
    Offered,
    /// The server has no such call.
    Unsupported,
    /// The server does not let this user make it.
    Denied,
}

impl Renames {
    /// Finds out by asking for what can't be done: no server has a collection of the old name.
    pub(crate) async fn of(target: &Client, name: &CollectionName) -> Result<Self, Error> {
        let never = CancellationToken::new();
        let new_name = format!("{}_renamed", name.name);
        match repeat(&never, || target.rename_collection(name, &new_name)).await {
            Err(error) if error.kind() == ErrorKind::CollectionNotFound => Ok(Self::Offered),
            Err(error) if error.kind() == ErrorKind::Unsupported => Ok(Self::Unsupported),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(Self::Denied),
            Err(error) => Err(error),
            Ok(()) => {
                let told = Told::both(
                    format!("`{name}`, which does not exist, was renamed"),
                    format!("重命名了并不存在的 `{name}`"),
                );
                Err(found(ErrorKind::Malformed, "RenameCollection", told))
            }
        }
    }

    /// What a person should know of it before the start.
    pub(crate) fn warning(self, db: &str) -> Option<Problem> {
        let detail = match self {
            Self::Offered => return None,
            Self::Unsupported => {
                Told::both("the server can't rename collections", "服务不支持重命名 Collection")
            }
            Self::Denied => {
                Told::both("the user lacks the privilege RenameCollection", "用户缺少权限 RenameCollection")
            }
        };
        let problem = Problem::new(Code::CreationUnclaimed).with("db", db);
        Some(problem.told("detail", detail))
    }
}

/// Tells of every database of the target where a name can't be taken without a gap.
pub(crate) async fn warnings(target: &Client, databases: &BTreeSet<&str>) -> Result<Vec<Problem>, Error> {
    let mut found = Vec::new();
    for db in databases {
        let name = CollectionName::new(*db, format!("vf_none_{:016x}", rand::random::<u64>()));
        found.extend(Renames::of(target, &name).await?.warning(db));
    }
    Ok(found)
}
