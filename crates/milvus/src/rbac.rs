//! Roles, grants, privilege groups and users.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use crate::client::{Client, if_offered};
use crate::endpoint::Secret;
use crate::error::{Error, ErrorKind};
use crate::proto::milvus as pb;

/// Stands for every database, collection or privilege.
pub const ANY: &str = "*";
/// Roles that servers (and Zilliz Cloud) have from the beginning.
const ROLES_BUILT_IN: [&str; 5] = ["admin", "public", "db_admin", "db_rw", "db_ro"];
/// Users that servers (and Zilliz Cloud) have from the beginning.
const USERS_BUILT_IN: [&str; 2] = ["root", "db_admin"];
/// Privilege groups that servers have from the beginning, since 2.5.
const GROUPS_BUILT_IN: [&str; 9] = [
    "ClusterReadOnly",
    "ClusterReadWrite",
    "ClusterAdmin",
    "DatabaseReadOnly",
    "DatabaseReadWrite",
    "DatabaseAdmin",
    "CollectionReadOnly",
    "CollectionReadWrite",
    "CollectionAdmin",
];

/// Whether servers have a role from the beginning.
pub fn is_built_in_role(role: &str) -> bool {
    ROLES_BUILT_IN.contains(&role)
}

/// Whether servers have a user from the beginning.
pub fn is_built_in_user(user: &str) -> bool {
    USERS_BUILT_IN.contains(&user)
}

/// Whether servers have a privilege group from the beginning.
pub fn is_built_in_group(group: &str) -> bool {
    GROUPS_BUILT_IN.contains(&group)
}

/// That a role may do something.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Grant {
    /// Who may.
    pub role: String,
    /// With what kind of object: `Collection`, `Global` or `User`.
    pub object: String,
    /// With which one; [`ANY`] for all.
    pub object_name: String,
    /// What: a privilege or a privilege group.
    pub privilege: String,
    /// In which database; [`ANY`] for all.
    pub db: String,
}

/// For people: `role: Search Collection db.name`.
impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { role, object, object_name, privilege, db } = self;
        write!(f, "{role}: {privilege} {object} {db}.{object_name}")
    }
}

/// A user and its roles.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Names of its roles.
    pub roles: BTreeSet<String>,
}

/// A named group of privileges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivilegeGroup {
    /// Its name.
    pub name: String,
    /// Privileges in it.
    pub privileges: BTreeSet<String>,
}

/// Everything that says who may do what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rbac {
    /// Names of the roles.
    pub roles: BTreeSet<String>,
    /// What they may do.
    pub grants: BTreeSet<Grant>,
    /// The users.
    pub users: Vec<User>,
    /// Privilege groups that servers do not have from the beginning; `None` where the server has no such thing.
    pub groups: Option<Vec<PrivilegeGroup>>,
}

/// A server's own copy of everything, with the hashes of the passwords. It is only handed on, never stored.
#[derive(Clone)]
pub struct RbacBackup(pb::RbacMeta);

impl fmt::Debug for RbacBackup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RbacBackup(…)")
    }
}

impl RbacBackup {
    /// What a restore is to make: users (with the hashes of this backup) and their roles, and roles, grants and groups as
    /// given. Users that this backup does not have are left out.
    #[must_use]
    pub fn selected(
        &self,
        users: &[User],
        roles: &[String],
        grants: &[Grant],
        groups: &[PrivilegeGroup],
    ) -> Self {
        let hashes: BTreeMap<_, _> = self.0.users.iter().map(|user| (&user.user, &user.password)).collect();
        let with_hash = |user: &User| {
            let password = (*hashes.get(&user.name)?).clone();
            let roles = user.roles.iter().map(|role| named_role(role)).collect();
            Some(pb::UserInfo { user: user.name.clone(), password, roles })
        };
        Self(pb::RbacMeta {
            users: users.iter().filter_map(with_hash).collect(),
            roles: roles.iter().map(|role| named_role(role)).collect(),
            grants: grants.iter().map(entity_of).collect(),
            privilege_groups: groups.iter().map(group_info).collect(),
        })
    }

    /// Names of the users in it.
    pub fn users(&self) -> BTreeSet<&str> {
        self.0.users.iter().map(|user| user.user.as_str()).collect()
    }
}

fn named_role(name: &str) -> pb::RoleEntity {
    pb::RoleEntity { name: name.to_owned() }
}

fn named_privilege(name: &str) -> pb::PrivilegeEntity {
    pb::PrivilegeEntity { name: name.to_owned() }
}

fn grantor(privilege: &str) -> pb::GrantorEntity {
    pb::GrantorEntity { user: None, privilege: Some(named_privilege(privilege)) }
}

fn group_info(group: &PrivilegeGroup) -> pb::PrivilegeGroupInfo {
    let privileges = group.privileges.iter().map(|privilege| named_privilege(privilege)).collect();
    pb::PrivilegeGroupInfo { group_name: group.name.clone(), privileges }
}

fn group_of(info: pb::PrivilegeGroupInfo) -> PrivilegeGroup {
    let privileges = info.privileges.into_iter().map(|privilege| privilege.name).collect();
    PrivilegeGroup { name: info.group_name, privileges }
}

fn entity_of(grant: &Grant) -> pb::GrantEntity {
    pb::GrantEntity {
        role: Some(named_role(&grant.role)),
        object: Some(pb::ObjectEntity { name: grant.object.clone() }),
        object_name: grant.object_name.clone(),
        grantor: Some(grantor(&grant.privilege)),
        db_name: grant.db.clone(),
    }
}

/// A grant as a server answers it; a role, an object and a privilege must be named.
fn grant_of(entity: pb::GrantEntity) -> Result<Grant, Error> {
    let missing = |what: &str| Error::malformed("SelectGrant", format!("a grant names no {what}"));
    Ok(Grant {
        role: entity.role.ok_or_else(|| missing("role"))?.name,
        object: entity.object.ok_or_else(|| missing("object"))?.name,
        object_name: entity.object_name,
        privilege: entity
            .grantor
            .and_then(|grantor| grantor.privilege)
            .ok_or_else(|| missing("privilege"))?
            .name,
        // Servers without databases name none.
        db: if entity.db_name.is_empty() { crate::DB_DEFAULT.to_owned() } else { entity.db_name },
    })
}

impl Client {
    /// Names of the roles.
    pub async fn roles(&self) -> Result<BTreeSet<String>, Error> {
        let request = pb::SelectRoleRequest::default();
        let answer: pb::SelectRoleResponse = self.control("SelectRole", "", &request).await?;
        Ok(answer.results.into_iter().filter_map(|result| result.role).map(|role| role.name).collect())
    }

    /// Names of the users of a role; none where there is no such role.
    pub async fn users_of_role(&self, role: &str) -> Result<BTreeSet<String>, Error> {
        let request = pb::SelectRoleRequest { role: Some(named_role(role)), include_user_info: true };
        let answer: pb::SelectRoleResponse = self.control("SelectRole", "", &request).await?;
        let found = answer.results.into_iter().filter(|result| {
            // A server that ignores the name answers all roles.
            result.role.as_ref().is_some_and(|found| found.name == role)
        });
        Ok(found.flat_map(|result| result.users).map(|user| user.name).collect())
    }

    /// The users and their roles. `ListCredUsers` and `SelectUser` are both asked: the first needs a greater privilege, and
    /// only the second knows the roles.
    pub async fn users(&self) -> Result<Vec<User>, Error> {
        let request = pb::ListCredUsersRequest {};
        let answer: pb::ListCredUsersResponse = self.control("ListCredUsers", "", &request).await?;
        let mut users: BTreeMap<_, _> =
            answer.usernames.into_iter().map(|name| (name, BTreeSet::new())).collect();
        let request = pb::SelectUserRequest { user: None, include_role_info: true };
        let answer: pb::SelectUserResponse = self.control("SelectUser", "", &request).await?;
        for result in answer.results {
            let Some(user) = result.user else { continue };
            // 2.3.5 adds a role without a name for every role of a user whose name begins with this one's.
            let roles = result.roles.into_iter().map(|role| role.name).filter(|role| !role.is_empty());
            users.entry(user.name).or_default().extend(roles);
        }
        Ok(users.into_iter().map(|(name, roles)| User { name, roles }).collect())
    }

    /// What a role may do in a database, and in all databases.
    pub async fn grants(&self, role: &str, db: &str) -> Result<BTreeSet<Grant>, Error> {
        let entity = pb::GrantEntity {
            role: Some(named_role(role)),
            db_name: db.to_owned(),
            ..pb::GrantEntity::default()
        };
        let request = pb::SelectGrantRequest { entity: Some(entity) };
        let answer: pb::SelectGrantResponse = self.control("SelectGrant", "", &request).await?;
        let grants: BTreeSet<_> = answer.entities.into_iter().map(grant_of).collect::<Result<_, _>>()?;
        Ok(grants.into_iter().filter(|grant| grant.role == role).collect())
    }

    /// Privilege groups that the server does not have from the beginning; `None` before 2.5.
    pub async fn privilege_groups(&self) -> Result<Option<Vec<PrivilegeGroup>>, Error> {
        let request = pb::ListPrivilegeGroupsRequest {};
        let answer =
            self.control::<pb::ListPrivilegeGroupsResponse>("ListPrivilegeGroups", "", &request).await;
        let answer = match answer {
            Err(error) if error.kind() == ErrorKind::Unsupported => return Ok(None),
            answer => answer?,
        };
        let groups = answer.privilege_groups.into_iter().map(group_of);
        Ok(Some(groups.filter(|group| !is_built_in_group(&group.name)).collect()))
    }

    /// Names of the resource groups; none where the server has no such call or the role may not see them.
    pub async fn resource_groups(&self) -> Result<Vec<String>, Error> {
        let request = pb::ListResourceGroupsRequest {};
        let answer = self.control::<pb::ListResourceGroupsResponse>("ListResourceGroups", "", &request).await;
        let mut names = if_offered(answer)?.map(|answer| answer.resource_groups).unwrap_or_default();
        names.sort_unstable();
        Ok(names)
    }

    /// Asks, without changing anything, whether this user may make roles, users and grants: a role, a user and a grant
    /// without names are refused by every server, but only after the privileges were looked at.
    ///
    /// # Errors
    /// [`ErrorKind::PermissionDenied`], [`ErrorKind::Unsupported`], or that the server can't be asked.
    pub async fn may_write_rbac(&self) -> Result<(), Error> {
        let unnamed_grant = Grant {
            role: String::new(),
            object: String::new(),
            object_name: String::new(),
            privilege: String::new(),
            db: String::new(),
        };
        let answers = [
            self.create_role("").await,
            self.create_user("", &Secret::new("")).await,
            self.grant(&unnamed_grant, false).await,
        ];
        for answer in answers {
            match answer {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Rejected => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Makes a role; [`ErrorKind::AlreadyExists`] if there is one.
    pub async fn create_role(&self, role: &str) -> Result<(), Error> {
        self.command("CreateRole", "", &pb::CreateRoleRequest { entity: Some(named_role(role)) }).await
    }

    /// Removes a role. The server refuses that while it has grants.
    pub async fn drop_role(&self, role: &str) -> Result<(), Error> {
        self.command("DropRole", "", &pb::DropRoleRequest { role_name: role.to_owned() }).await
    }

    /// Makes a user; [`ErrorKind::AlreadyExists`] if there is one.
    pub async fn create_user(&self, user: &str, password: &Secret) -> Result<(), Error> {
        let password = BASE64.encode(password.reveal());
        let request = pb::CreateCredentialRequest { username: user.to_owned(), password };
        self.command("CreateCredential", "", &request).await
    }

    /// Removes a user.
    pub async fn drop_user(&self, user: &str) -> Result<(), Error> {
        let request = pb::DeleteCredentialRequest { username: user.to_owned() };
        self.command("DeleteCredential", "", &request).await
    }

    /// Gives a user a role. That it has it already is no failure.
    pub async fn add_to_role(&self, user: &str, role: &str) -> Result<(), Error> {
        self.operate_user_role(user, role, pb::OperateUserRoleType::AddUserToRole).await
    }

    /// Takes a role from a user.
    pub async fn remove_from_role(&self, user: &str, role: &str) -> Result<(), Error> {
        self.operate_user_role(user, role, pb::OperateUserRoleType::RemoveUserFromRole).await
    }

    async fn operate_user_role(
        &self,
        user: &str,
        role: &str,
        operation: pb::OperateUserRoleType,
    ) -> Result<(), Error> {
        let request = pb::OperateUserRoleRequest {
            username: user.to_owned(),
            role_name: role.to_owned(),
            r#type: operation.into(),
        };
        self.command("OperateUserRole", "", &request).await
    }

    /// Lets a role do something. That it may already is no failure. Privilege groups are granted by a call of their own.
    pub async fn grant(&self, grant: &Grant, of_group: bool) -> Result<(), Error> {
        self.operate_privilege(grant, of_group, pb::OperatePrivilegeType::Grant).await
    }

    /// Takes back what a role may do.
    pub async fn revoke(&self, grant: &Grant, of_group: bool) -> Result<(), Error> {
        self.operate_privilege(grant, of_group, pb::OperatePrivilegeType::Revoke).await
    }

    async fn operate_privilege(
        &self,
        grant: &Grant,
        of_group: bool,
        operation: pb::OperatePrivilegeType,
    ) -> Result<(), Error> {
        if of_group {
            let request = pb::OperatePrivilegeV2Request {
                role: Some(named_role(&grant.role)),
                grantor: Some(grantor(&grant.privilege)),
                r#type: operation.into(),
                db_name: grant.db.clone(),
                collection_name: grant.object_name.clone(),
            };
            return self.command("OperatePrivilegeV2", "", &request).await;
        }
        let request =
            pb::OperatePrivilegeRequest { entity: Some(entity_of(grant)), r#type: operation.into() };
        self.command("OperatePrivilege", "", &request).await
    }

    /// Makes an empty privilege group; [`ErrorKind::AlreadyExists`] if there is one.
    pub async fn create_privilege_group(&self, group: &str) -> Result<(), Error> {
        let request = pb::CreatePrivilegeGroupRequest { group_name: group.to_owned() };
        self.command("CreatePrivilegeGroup", "", &request).await
    }

    /// Puts the privileges of a group into it.
    pub async fn fill_privilege_group(&self, group: &PrivilegeGroup) -> Result<(), Error> {
        let pb::PrivilegeGroupInfo { group_name, privileges } = group_info(group);
        let operation = pb::OperatePrivilegeGroupType::AddPrivilegesToGroup.into();
        let request = pb::OperatePrivilegeGroupRequest { group_name, privileges, r#type: operation };
        self.command("OperatePrivilegeGroup", "", &request).await
    }

    /// Removes a privilege group.
    pub async fn drop_privilege_group(&self, group: &str) -> Result<(), Error> {
        let request = pb::DropPrivilegeGroupRequest { group_name: group.to_owned() };
        self.command("DropPrivilegeGroup", "", &request).await
    }

    /// The server's own copy of everything; `None` where it has no such call.
    pub async fn backup_rbac(&self) -> Result<Option<RbacBackup>, Error> {
        let request = pb::BackupRbacMetaRequest {};
        match self.control::<pb::BackupRbacMetaResponse>("BackupRBAC", "", &request).await {
            Ok(answer) => Ok(Some(RbacBackup(answer.rbac_meta.unwrap_or_default()))),
            Err(error) if error.kind() == ErrorKind::Unsupported => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes everything that a copy holds; the server refuses it where some of it exists.
    pub async fn restore_rbac(&self, backup: &RbacBackup) -> Result<(), Error> {
        let request = pb::RestoreRbacMetaRequest { rbac_meta: Some(backup.0.clone()) };
        self.command("RestoreRBAC", "", &request).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(role: &str, db: &str) -> Grant {
        Grant {
            role: role.to_owned(),
            object: "Collection".to_owned(),
            object_name: "books".to_owned(),
            privilege: "Search".to_owned(),
            db: db.to_owned(),
        }
    }

    fn backup() -> RbacBackup {
        let user = |name: &str, hash: &str| pb::UserInfo {
            user: name.to_owned(),
            password: hash.to_owned(),
            roles: vec![named_role("old")],
        };
        RbacBackup(pb::RbacMeta {
            users: vec![user("ann", "hash of ann"), user("bob", "hash of bob")],
            roles: vec![named_role("old")],
            grants: vec![entity_of(&grant("old", "shop"))],
            privilege_groups: Vec::new(),
        })
    }

    #[test]
    fn grants_survive_the_way_there_and_back() {
        for db in ["shop", ANY] {
            assert_eq!(grant_of(entity_of(&grant("r", db))).unwrap(), grant("r", db));
        }
        assert_eq!(grant_of(entity_of(&grant("r", ""))).unwrap().db, "default");
        let nameless = pb::GrantEntity { grantor: None, ..entity_of(&grant("r", "shop")) };
        assert_eq!(grant_of(nameless).unwrap_err().kind(), ErrorKind::Malformed);
        let group = PrivilegeGroup {
            name: "g".to_owned(),
            privileges: ["Query".to_owned(), "Search".to_owned()].into(),
        };
        assert_eq!(group_of(group_info(&group)), group);
    }

    #[test]
    fn a_restore_makes_what_is_asked_for_with_the_hashes_of_the_backup() {
        let user = |name: &str| User { name: name.to_owned(), roles: ["reader".to_owned()].into() };
        let group = PrivilegeGroup { name: "g".to_owned(), privileges: ["Query".to_owned()].into() };
        let selected = backup().selected(
            &[user("bob"), user("stranger")],
            &["reader".to_owned()],
            &[grant("reader", "elsewhere")],
            std::slice::from_ref(&group),
        );
        assert_eq!(selected.users(), ["bob"].into());
        let meta = &selected.0;
        assert_eq!(meta.users[0].password, "hash of bob");
        assert_eq!(meta.users[0].roles, [named_role("reader")]);
        assert_eq!(meta.roles, [named_role("reader")]);
        assert_eq!(meta.grants, [entity_of(&grant("reader", "elsewhere"))]);
        assert_eq!(meta.privilege_groups, [group_info(&group)]);
    }

    #[test]
    fn hashes_are_not_shown() {
        assert!(!format!("{:?}", backup()).contains("hash"));
    }
}
