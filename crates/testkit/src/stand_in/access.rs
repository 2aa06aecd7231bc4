//! Users, roles, grants and privilege groups. Passwords are kept as a hash that is easy to tell from the password.

use std::collections::BTreeMap;

use vecferry_milvus::proto::milvus as pb;

use super::Version;
use super::calls::Service;
use super::status::{PRIVILEGE_NOT_PERMITTED, Refusal};

type Answered<Answer> = Result<Answer, Refusal>;

/// A user as tests give and get one: name, hash of the password, roles.
pub type Account = (String, String, Vec<String>);
/// A grant: role, object type, object name, privilege, database.
pub type GrantRow = (String, String, String, String, String);

/// All of it, as tests give and get it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Users beside `root`.
    pub users: Vec<Account>,
    /// Roles beside those that every server has.
    pub roles: Vec<String>,
    /// What they may do.
    pub grants: Vec<GrantRow>,
    /// Groups and their privileges.
    pub groups: Vec<(String, Vec<String>)>,
}

const ROLE_PUBLIC: &str = "public";
const BUILT_IN_ROLES: [&str; 2] = ["admin", ROLE_PUBLIC];
const BUILT_IN_USER: &str = "root";
/// Every server has nine since 2.5: those of each recorded release, with their privileges.
const BUILT_IN_GROUPS: &str = include_str!("built_in_groups.json");
/// Privileges on collections; the others are of the whole server.
const OF_COLLECTIONS: [&str; 13] = [
    "CreateIndex",
    "CreatePartition",
    "Delete",
    "DropIndex",
    "DropPartition",
    "Flush",
    "IndexDetail",
    "Insert",
    "Load",
    "Query",
    "Release",
    "Search",
    "Upsert",
];
const NAME_BYTES_MAX: usize = 255;
const PASSWORD_BYTES_MIN: usize = 6;
const PASSWORD_BYTES_MAX: usize = 72;

/// Older numbers of refusals, which say more than the newer ones.
mod legacy {
    pub(super) const CREATE_USER: i32 = 29;
    pub(super) const CREATE_ROLE: i32 = 35;
    pub(super) const DROP_ROLE: i32 = 36;
    pub(super) const OPERATE_USER_ROLE: i32 = 37;
    pub(super) const OPERATE_PRIVILEGE: i32 = 41;
    pub(super) const SELECT_GRANT: i32 = 42;
    pub(super) const CREATE_PRIVILEGE_GROUP: i32 = 58;
    pub(super) const OPERATE_PRIVILEGE_GROUP: i32 = 61;
}

const NO_ROLE: &str = "not found the role, maybe the role isn't existed or internal system error";

fn role(name: &str) -> pb::RoleEntity {
    pb::RoleEntity { name: name.to_owned() }
}

fn privilege(name: &str) -> pb::PrivilegeEntity {
    pb::PrivilegeEntity { name: name.to_owned() }
}

impl Access {
    /// As a server shows it: with the user who granted it.
    fn grant(row: &GrantRow) -> pb::GrantEntity {
        let (of, object, object_name, named, db) = row;
        let user = Some(pb::UserEntity { name: BUILT_IN_USER.to_owned() });
        pb::GrantEntity {
            role: Some(role(of)),
            object: Some(pb::ObjectEntity { name: object.clone() }),
            object_name: object_name.clone(),
            grantor: Some(pb::GrantorEntity { user, privilege: Some(privilege(named)) }),
            db_name: db.clone(),
        }
    }

    fn row(entity: &pb::GrantEntity) -> GrantRow {
        let privilege = entity.grantor.as_ref().and_then(|grantor| grantor.privilege.as_ref());
        (
            entity.role.as_ref().map(|role| role.name.clone()).unwrap_or_default(),
            entity.object.as_ref().map(|object| object.name.clone()).unwrap_or_default(),
            entity.object_name.clone(),
            privilege.map(|privilege| privilege.name.clone()).unwrap_or_default(),
            of_db(&entity.db_name).to_owned(),
        )
    }

    fn has_role(&self, name: &str) -> bool {
        BUILT_IN_ROLES.contains(&name) || self.roles.iter().any(|known| known == name)
    }

    fn has_user(&self, name: &str) -> bool {
        name == BUILT_IN_USER || self.users.iter().any(|(known, ..)| known == name)
    }

    fn all_roles(&self) -> impl Iterator<Item = &str> {
        BUILT_IN_ROLES.into_iter().chain(self.roles.iter().map(String::as_str))
    }

    fn operate(&mut self, row: GrantRow, operation: pb::OperatePrivilegeType) -> Answered<()> {
        if !self.has_role(&row.0) {
            return Err(Refusal::other(NO_ROLE).with_legacy(legacy::OPERATE_PRIVILEGE));
        }
        self.grants.retain(|known| *known != row);
        if operation == pb::OperatePrivilegeType::Grant {
            self.grants.push(row);
        }
        Ok(())
    }
}

/// What everybody may do.
fn granted_to_public(version: Version) -> impl Iterator<Item = GrantRow> {
    let of_lists = if version < Version::V2_5 { "ShowCollections" } else { "ListAliases" };
    let privileges = [("Collection", "IndexDetail"), ("Global", "DescribeCollection"), ("Global", of_lists)];
    privileges.into_iter().map(|(object, privilege)| {
        let text = str::to_owned;
        (text(ROLE_PUBLIC), text(object), text("*"), text(privilege), text("*"))
    })
}

/// The database that a name stands for.
fn of_db(name: &str) -> &str {
    if name.is_empty() { super::catalog::DB_DEFAULT } else { name }
}

impl Service {
    pub(super) fn select_role(&self, request: &pb::SelectRoleRequest) -> pb::SelectRoleResponse {
        let access = self.access();
        let asked = request.role.as_ref().map(|role| role.name.as_str());
        let result = |name: &str| pb::RoleResult {
            role: Some(role(name)),
            users: access
                .users
                .iter()
                .filter(|(.., roles)| request.include_user_info && roles.iter().any(|of| of == name))
                .map(|(user, ..)| pb::UserEntity { name: user.clone() })
                .collect(),
        };
        let results = access.all_roles().filter(|name| asked.is_none_or(|asked| asked == *name)).map(result);
        pb::SelectRoleResponse { results: results.collect(), ..Default::default() }
    }

    pub(super) fn list_users(&self) -> pb::ListCredUsersResponse {
        let access = self.access();
        let names = access.users.iter().map(|(name, ..)| name.clone());
        let usernames = std::iter::once(BUILT_IN_USER.to_owned()).chain(names).collect();
        pb::ListCredUsersResponse { usernames, ..Default::default() }
    }

    pub(super) fn select_user(&self, request: &pb::SelectUserRequest) -> pb::SelectUserResponse {
        let access = self.access();
        let asked = request.user.as_ref().map(|user| user.name.as_str());
        let result = |(name, _, roles): &Account| pb::UserResult {
            user: Some(pb::UserEntity { name: name.clone() }),
            roles: roles.iter().map(|name| role(name)).collect(),
        };
        // `root` is a user like any other, without a role.
        let root = (BUILT_IN_USER.to_owned(), String::new(), Vec::new());
        let users = std::iter::once(&root).chain(&access.users);
        let users = users.filter(|(name, ..)| asked.is_none_or(|asked| asked == name));
        pb::SelectUserResponse { results: users.map(result).collect(), ..Default::default() }
    }

    pub(super) fn select_grant(&self, request: &pb::SelectGrantRequest) -> Answered<pb::SelectGrantResponse> {
        let access = self.access();
        let entity = request.entity.clone().unwrap_or_default();
        let of = entity.role.unwrap_or_default().name;
        if !access.has_role(&of) {
            return Err(Refusal::other(NO_ROLE).with_legacy(legacy::SELECT_GRANT));
        }
        let db = of_db(&entity.db_name);
        let in_db = |row: &&GrantRow| row.0 == of && (row.4 == db || row.4 == "*");
        let mut rows: Vec<_> = access.grants.iter().filter(in_db).cloned().collect();
        if of == ROLE_PUBLIC {
            rows.extend(granted_to_public(self.options().version));
        }
        rows.sort_by(|one, other| (&one.1, &one.2, &one.3).cmp(&(&other.1, &other.2, &other.3)));
        let entities = rows.iter().map(Access::grant).collect();
        Ok(pb::SelectGrantResponse { entities, ..Default::default() })
    }

    /// Whether there are privilege groups, and the second call for grants.
    pub(super) fn has_privilege_groups(&self) -> bool {
        self.options().version >= Version::V2_5
    }

    pub(super) fn list_privilege_groups(&self) -> pb::ListPrivilegeGroupsResponse {
        let group = |(name, privileges): (&String, &Vec<String>)| pb::PrivilegeGroupInfo {
            group_name: name.clone(),
            privileges: privileges.iter().map(|name| privilege(name)).collect(),
        };
        let access = self.access();
        let own = access.groups.iter().map(|(name, privileges)| group((name, privileges)));
        let privilege_groups = own.chain(self.built_in_groups().iter().map(group)).collect();
        pb::ListPrivilegeGroupsResponse { privilege_groups, ..Default::default() }
    }

    /// The groups of this release.
    fn built_in_groups(&self) -> BTreeMap<String, Vec<String>> {
        let mut built_in: BTreeMap<String, BTreeMap<String, Vec<String>>> =
            serde_json::from_str(BUILT_IN_GROUPS).expect("a list of groups");
        let releases = self.options().version.recorded();
        releases.iter().find_map(|release| built_in.remove(*release)).unwrap_or_default()
    }

    /// Whether there is a privilege of this name: it is in one of the groups of this release.
    fn is_privilege(&self, name: &str) -> bool {
        self.built_in_groups().values().flatten().any(|known| known == name)
    }

    pub(super) fn create_role(&self, request: &pb::CreateRoleRequest) -> Answered<()> {
        let name = request.entity.clone().unwrap_or_default().name;
        if !name.starts_with(|first: char| first == '_' || first.is_ascii_alphabetic()) {
            return Err(Refusal::invalid("the first character of role name must be an underscore or letter"));
        }
        if name.len() > NAME_BYTES_MAX {
            return Err(Refusal::invalid("the length of role name must be not greater than limit"));
        }
        let mut access = self.access();
        if access.has_role(&name) {
            let reason = format!("role [name:\"{name}\"] already exists");
            return Err(Refusal::other(reason).with_legacy(legacy::CREATE_ROLE));
        }
        access.roles.push(name);
        Ok(())
    }

    pub(super) fn drop_role(&self, request: &pb::DropRoleRequest) -> Answered<()> {
        let name = &request.role_name;
        let mut access = self.access();
        if !access.roles.contains(name) {
            return Err(Refusal::other(NO_ROLE).with_legacy(legacy::DROP_ROLE));
        }
        if access.grants.iter().any(|grant| grant.0 == *name) {
            let reason = "fail to drop the role that it has privileges. Use REVOKE API to revoke privileges";
            return Err(Refusal::other(self.checked("drop role", reason)).with_legacy(legacy::DROP_ROLE));
        }
        access.roles.retain(|known| known != name);
        access.users.iter_mut().for_each(|(.., roles)| roles.retain(|of| of != name));
        Ok(())
    }

    /// 2.6 says before a reason what it looked into.
    fn checked(&self, what: &str, reason: &str) -> String {
        if self.options().version >= Version::V2_6 {
            format!("failed to check if {what}: {reason}")
        } else {
            reason.to_owned()
        }
    }

    pub(super) fn create_user(&self, request: &pb::CreateCredentialRequest) -> Answered<()> {
        let mut access = self.access();
        // Base64: four characters for three bytes.
        let bytes = request.password.trim_end_matches('=').len() * 3 / 4;
        if request.username.is_empty() || !(PASSWORD_BYTES_MIN..=PASSWORD_BYTES_MAX).contains(&bytes) {
            return Err(Refusal::invalid("invalid password length: invalid parameter"));
        }
        if access.has_user(&request.username) {
            let reason = format!("user already exists: {}", request.username);
            return Err(Refusal::other(reason).with_legacy(legacy::CREATE_USER));
        }
        access.users.push((request.username.clone(), format!("hash of {}", request.password), Vec::new()));
        Ok(())
    }

    pub(super) fn delete_user(&self, request: &pb::DeleteCredentialRequest) -> Answered<()> {
        if request.username == BUILT_IN_USER {
            return Err(Refusal::new(
                PRIVILEGE_NOT_PERMITTED,
                "root user cannot be deleted: privilege not permitted",
            ));
        }
        self.access().users.retain(|(name, ..)| *name != request.username);
        Ok(())
    }

    pub(super) fn operate_user_role(&self, request: &pb::OperateUserRoleRequest) -> Answered<()> {
        let mut access = self.access();
        if !access.has_role(&request.role_name) {
            return Err(Refusal::other(NO_ROLE).with_legacy(legacy::OPERATE_USER_ROLE));
        }
        let found = access.users.iter_mut().find(|(name, ..)| *name == request.username);
        let (.., roles) = found.ok_or_else(|| Refusal::other("user doesn't exist"))?;
        roles.retain(|role| *role != request.role_name);
        if request.r#type() == pb::OperateUserRoleType::AddUserToRole {
            roles.push(request.role_name.clone());
        }
        Ok(())
    }

    pub(super) fn operate_privilege(&self, request: &pb::OperatePrivilegeRequest) -> Answered<()> {
        let row = Access::row(&request.entity.clone().unwrap_or_default());
        self.access().operate(row, request.r#type())
    }

    pub(super) fn operate_privilege_v2(&self, request: &pb::OperatePrivilegeV2Request) -> Answered<()> {
        let privilege =
            request.grantor.clone().and_then(|grantor| grantor.privilege).unwrap_or_default().name;
        let object = match privilege.as_str() {
            known if OF_COLLECTIONS.contains(&known) => "Collection",
            "SelectUser" | "UpdateUser" => "User",
            // Privilege groups too, whatever they are granted on.
            _ => "Global",
        };
        let row = (
            request.role.clone().unwrap_or_default().name,
            object.to_owned(),
            request.collection_name.clone(),
            privilege,
            of_db(&request.db_name).to_owned(),
        );
        let mut access = self.access();
        let is_group = access.groups.iter().any(|(known, _)| *known == row.3)
            || self.built_in_groups().contains_key(&row.3);
        if !is_group && !self.is_privilege(&row.3) {
            let reason = format!("not found the privilege name[{}]", row.3);
            return Err(Refusal::other(reason).with_legacy(legacy::OPERATE_PRIVILEGE));
        }
        access.operate(row, request.r#type())
    }

    pub(super) fn create_privilege_group(&self, request: &pb::CreatePrivilegeGroupRequest) -> Answered<()> {
        let mut access = self.access();
        let name = &request.group_name;
        if access.groups.iter().any(|(known, _)| known == name) {
            let reason = format!("privilege group name [{name}] is defined by users: invalid parameter");
            let reason = self.checked("privilege group creatable", &reason);
            return Err(Refusal::invalid(reason).with_legacy(legacy::CREATE_PRIVILEGE_GROUP));
        }
        access.groups.push((name.clone(), Vec::new()));
        Ok(())
    }

    pub(super) fn operate_privilege_group(&self, request: &pb::OperatePrivilegeGroupRequest) -> Answered<()> {
        let mut access = self.access();
        let group = access.groups.iter_mut().find(|(known, _)| *known == request.group_name);
        let (_, privileges) = group.ok_or_else(|| Refusal::invalid("there is no such privilege group"))?;
        if let Some(unknown) = request.privileges.iter().find(|named| !self.is_privilege(&named.name)) {
            return Err(match self.options().version {
                Version::V2_3 | Version::V2_4 | Version::V2_5 => {
                    Refusal::other("privileges are not the same privilege level")
                }
                Version::V2_6 | Version::V3_0 => {
                    let name = &unknown.name;
                    let reason = format!(
                        "there is no privilege name or privilege group name [{name}] defined in system to operate"
                    );
                    Refusal::invalid(self.checked("privilege group alterable", &reason))
                }
            }
            .with_legacy(legacy::OPERATE_PRIVILEGE_GROUP));
        }
        for named in &request.privileges {
            privileges.retain(|known| *known != named.name);
            if request.r#type() == pb::OperatePrivilegeGroupType::AddPrivilegesToGroup {
                privileges.push(named.name.clone());
            }
        }
        Ok(())
    }

    pub(super) fn drop_privilege_group(&self, request: &pb::DropPrivilegeGroupRequest) -> Answered<()> {
        self.access().groups.retain(|(known, _)| *known != request.group_name);
        Ok(())
    }
}
