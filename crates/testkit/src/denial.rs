//! What a real server says to a user who lacks the privilege for a call (transcripts `*-edges.jsonl`: a user without any).
//!
//! Only calls that were seen to be denied are known here. Others, such as `DescribeCollection`, were answered to a user
//! without privileges.

use crate::stand_in::Version;

/// gRPC `PERMISSION_DENIED`.
pub(crate) const PERMISSION_DENIED: i32 = 7;
/// The user who is denied.
const USER: &str = "somebody";

/// Whose words a denial has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeniedBy {
    /// 2.3.5.
    V2_3,
    /// 2.5.10 and 2.6.18, which use the same words.
    V2_5,
}

impl DeniedBy {
    /// Whose words a stand-in of a release uses.
    pub(crate) fn of(version: Version) -> Self {
        if version < Version::V2_5 { Self::V2_3 } else { Self::V2_5 }
    }

    /// The text of the denial of a call; none if such a server was never seen to deny it.
    pub(crate) fn text(self, method: &str) -> Option<String> {
        let privilege = self.privilege(method)?;
        let place = match self {
            Self::V2_3 => "",
            Self::V2_5 => " in the `default` database",
        };
        Some(format!("Privilege{privilege}: permission deny to {USER}{place}"))
    }

    /// The privilege that a denial of a call names.
    pub(crate) fn privilege(self, method: &str) -> Option<&'static str> {
        DENIED.iter().find(|(known, ..)| *known == method).and_then(|(_, v2_3, v2_5)| match self {
            Self::V2_3 => *v2_3,
            Self::V2_5 => *v2_5,
        })
    }
}

/// Methods, with the privilege that 2.3.5 and the later releases name.
#[rustfmt::skip]
const DENIED: &[(&str, Option<&str>, Option<&str>)] = &[
    ("AlterCollection", Some("CreateCollection"), Some("CreateCollection")),
    ("BackupRBAC", None, Some("BackupRBAC")),
    ("CreateAlias", Some("CreateAlias"), Some("CreateAlias")),
    ("CreateDatabase", Some("CreateDatabase"), Some("CreateDatabase")),
    ("CreateIndex", Some("CreateIndex"), Some("CreateIndex")),
    ("CreatePartition", Some("CreatePartition"), Some("CreatePartition")),
    ("Delete", Some("Delete"), Some("Delete")),
    ("DescribeAlias", Some("DescribeAlias"), Some("DescribeAlias")),
    ("DescribeDatabase", None, Some("DescribeDatabase")),
    ("DropAlias", Some("DropAlias"), Some("DropAlias")),
    ("DropCollection", Some("DropCollection"), Some("DropCollection")),
    ("DropIndex", Some("DropIndex"), Some("DropIndex")),
    ("Flush", Some("Flush"), Some("Flush")),
    ("FlushAll", Some("FlushAll"), Some("FlushAll")),
    ("GetCollectionStatistics", Some("GetStatistics"), Some("GetStatistics")),
    ("GetLoadState", Some("Load"), Some("GetLoadState")),
    ("GetLoadingProgress", Some("Load"), Some("GetLoadState")),
    ("Insert", Some("Insert"), Some("Insert")),
    ("ListAliases", Some("ListAliases"), None),
    ("ListCredUsers", Some("SelectOwnership"), Some("SelectOwnership")),
    ("ListDatabases", Some("ListDatabases"), None),
    ("ListResourceGroups", Some("ListResourceGroups"), Some("ListResourceGroups")),
    ("LoadCollection", Some("Load"), Some("Load")),
    ("ManualCompaction", Some("Compaction"), Some("Compaction")),
    ("Query", Some("Query"), Some("Query")),
    ("ReleaseCollection", Some("Release"), Some("Release")),
    ("RenameCollection", Some("RenameCollection"), Some("RenameCollection")),
    ("SelectRole", Some("SelectOwnership"), Some("SelectOwnership")),
    ("ShowPartitions", Some("ShowPartitions"), Some("ShowPartitions")),
    ("Upsert", Some("Upsert"), Some("Upsert")),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn denials_read_as_each_release_says_them() {
        let said = |by: DeniedBy, method| by.text(method).unwrap_or_default();
        assert_eq!(said(DeniedBy::V2_3, "GetLoadState"), "PrivilegeLoad: permission deny to somebody");
        let newer = "PrivilegeGetLoadState: permission deny to somebody in the `default` database";
        assert_eq!(said(DeniedBy::V2_5, "GetLoadState"), newer);
        // Filtered there, not denied.
        assert_eq!(DeniedBy::V2_5.text("ListDatabases"), None);
        assert_eq!(DeniedBy::V2_3.text("DescribeCollection"), None);
    }
}
