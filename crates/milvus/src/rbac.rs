//! Roles, grants, privilege groups and users.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use crate::client::{Client, if_told};
use crate::endpoint::Secret;
use crate::error::{Error, ErrorKind};
use crate::finding::{Finding, Part};
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

/// A role that no server has.
const ROLE_OF_NOBODY: &str = "vecferry_asks_for_a_role_that_is_not_there";

use pb::OperatePrivilegeType as Operation;

/// By which calls a server takes grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantCalls {
    /// Only by `OperatePrivilege`, which knows no privilege groups: up to 2.4.
    First,
    /// By `OperatePrivilegeV2` too: since 2.5.
    Both,
}

impl GrantCalls {
    /// Of a server with or without privilege groups, which came together with the second call.
    pub fn of(groups: Option<&Vec<PrivilegeGroup>>) -> Self {
        if groups.is_some() { Self::Both } else { Self::First }
    }
}

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

fn named_role(name: &str) -> pb::RoleEntity {
    pb::RoleEntity { name: name.to_owned() }
}

fn named_privilege(name: &str) -> pb::PrivilegeEntity {
    pb::PrivilegeEntity { name: name.to_owned() }
}

/// Who grants is left to the server, which takes the user of the call, as with the vendor's client. Only a message that is
/// stored as it comes must name that user: `RestoreRBAC`, which is never sent (it kills servers that miss the name).
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
    let missing = |what: Part| Error::malformed("SelectGrant", Finding::GrantLacks(what));
    Ok(Grant {
        role: entity.role.ok_or_else(|| missing(Part::Role))?.name,
        object: entity.object.ok_or_else(|| missing(Part::Object))?.name,
        object_name: entity.object_name,
        privilege: entity
            .grantor
            .and_then(|grantor| grantor.privilege)
            .ok_or_else(|| missing(Part::Privilege))?
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
        let roles: BTreeSet<_> =
            answer.results.into_iter().filter_map(|result| result.role).map(|role| role.name).collect();
        // Every server has some from the beginning: an empty list hides them.
        if roles.is_empty() {
            return Err(Error::malformed("SelectRole", Finding::Lacks(Part::Roles)));
        }
        Ok(roles)
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
        // Every server has one from the beginning, and whoever asks is another.
        if answer.usernames.is_empty() {
            return Err(Error::malformed("ListCredUsers", Finding::Lacks(Part::Users)));
        }
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

    /// Names of the resource groups; `None` where the server does not tell this user.
    pub async fn resource_groups(&self) -> Result<Option<Vec<String>>, Error> {
        let request = pb::ListResourceGroupsRequest {};
        match self.control::<pb::ListResourceGroupsResponse>("ListResourceGroups", "", &request).await {
            Err(error) if error.kind() == ErrorKind::Unsupported => Ok(Some(Vec::new())),
            answer => Ok(if_told(answer)?.map(|answer| answer.resource_groups)),
        }
    }

    /// The roles of a user; `None` where the server does not know the user.
    pub async fn roles_of(&self, user: &str) -> Result<Option<BTreeSet<String>>, Error> {
        let entity = pb::UserEntity { name: user.to_owned() };
        let request = pb::SelectUserRequest { user: Some(entity), include_role_info: true };
        let answer: pb::SelectUserResponse = self.control("SelectUser", "", &request).await?;
        let is_it = |result: &pb::UserResult| result.user.as_ref().is_some_and(|found| found.name == user);
        let found = answer.results.into_iter().find(is_it);
        // 2.3.5 adds a role without a name for every role of a user whose name begins with this one's.
        let names = |roles: Vec<pb::RoleEntity>| {
            roles.into_iter().map(|role| role.name).filter(|name| !name.is_empty())
        };
        Ok(found.map(|result| names(result.roles).collect()))
    }

    /// Asks, without changing anything, whether this user may make roles, users and grants: what exists is made once more,
    /// and a role that does not exist gets a grant. Every server refuses that, but only after it looked at the privileges.
    ///
    /// # Errors
    /// [`ErrorKind::PermissionDenied`], [`ErrorKind::Unsupported`], or that the server can't be asked.
    pub async fn may_write_rbac(&self, role_there: Option<&str>, calls: GrantCalls) -> Result<(), Error> {
        let of_nobody = Grant {
            role: ROLE_OF_NOBODY.to_owned(),
            object: "Collection".to_owned(),
            object_name: ANY.to_owned(),
            privilege: "Query".to_owned(),
            db: crate::DB_DEFAULT.to_owned(),
        };
        let mut answers = vec![self.grant(&of_nobody, false, calls).await];
        if let Some(role) = role_there {
            answers.push(self.create_role(role).await);
        }
        // It can't be dropped, so that this does not make it. Where there is none, the other calls have to do.
        if self.users().await?.iter().any(|user| user.name == "root") {
            answers.push(self.create_user("root", &Secret::new("Not-made-1")).await);
        }
        for answer in answers {
            match answer {
                Ok(()) => {}
                Err(error) if matches!(error.kind(), ErrorKind::Rejected | ErrorKind::AlreadyExists) => {}
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
        let request = pb::OperateUserRoleRequest {
            username: user.to_owned(),
            role_name: role.to_owned(),
            r#type: pb::OperateUserRoleType::AddUserToRole.into(),
        };
        self.command("OperateUserRole", "", &request).await
    }

    /// Lets a role do something. That it may already is no failure.
    pub async fn grant(&self, grant: &Grant, of_group: bool, calls: GrantCalls) -> Result<(), Error> {
        // A grant on no collection was only seen to be taken by the first call, and that without the database's name.
        let is_of_server = !of_group && grant.object != "Collection" && grant.db == crate::DB_DEFAULT;
        match calls {
            GrantCalls::First => self.operate_privilege(entity_of(grant), Operation::Grant).await,
            GrantCalls::Both if is_of_server => {
                let entity = pb::GrantEntity { db_name: String::new(), ..entity_of(grant) };
                self.operate_privilege(entity, Operation::Grant).await
            }
            GrantCalls::Both => self.operate_privilege_v2(grant, Operation::Grant).await,
        }
    }

    /// Takes back what a role may do.
    pub async fn revoke(&self, grant: &Grant, calls: GrantCalls) -> Result<(), Error> {
        match calls {
            GrantCalls::First => self.operate_privilege(entity_of(grant), Operation::Revoke).await,
            GrantCalls::Both => self.operate_privilege_v2(grant, Operation::Revoke).await,
        }
    }

    async fn operate_privilege(&self, entity: pb::GrantEntity, operation: Operation) -> Result<(), Error> {
        let request = pb::OperatePrivilegeRequest { entity: Some(entity), r#type: operation.into() };
        self.command("OperatePrivilege", "", &request).await
    }

    async fn operate_privilege_v2(&self, grant: &Grant, operation: Operation) -> Result<(), Error> {
        let request = pb::OperatePrivilegeV2Request {
            role: Some(named_role(&grant.role)),
            grantor: Some(grantor(&grant.privilege)),
            r#type: operation.into(),
            db_name: grant.db.clone(),
            collection_name: grant.object_name.clone(),
        };
        self.command("OperatePrivilegeV2", "", &request).await
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
}
