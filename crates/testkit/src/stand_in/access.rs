//! Users, roles, grants and privilege groups. Passwords are kept as a hash that is easy to tell from the password.

use vecferry_milvus::proto::milvus as pb;

use super::calls::Service;
use super::status::Refusal;

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

const BUILT_IN_ROLES: [&str; 2] = ["admin", "public"];
const BUILT_IN_USER: &str = "root";

fn role(name: &str) -> pb::RoleEntity {
    pb::RoleEntity { name: name.to_owned() }
}

fn privilege(name: &str) -> pb::PrivilegeEntity {
    pb::PrivilegeEntity { name: name.to_owned() }
}

fn exists(what: &str, name: &str) -> Refusal {
    Refusal::other(format!("{what} [{name}] already exists"))
}

impl Access {
    fn grant(row: &GrantRow) -> pb::GrantEntity {
        let (of, object, object_name, named, db) = row;
        pb::GrantEntity {
            role: Some(role(of)),
            object: Some(pb::ObjectEntity { name: object.clone() }),
            object_name: object_name.clone(),
            grantor: Some(pb::GrantorEntity { user: None, privilege: Some(privilege(named)) }),
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
            entity.db_name.clone(),
        )
    }

    fn has_role(&self, name: &str) -> bool {
        BUILT_IN_ROLES.contains(&name) || self.roles.iter().any(|known| known == name)
    }

    fn all_roles(&self) -> impl Iterator<Item = &str> {
        BUILT_IN_ROLES.into_iter().chain(self.roles.iter().map(String::as_str))
    }

    fn meta(&self) -> pb::RbacMeta {
        let user = |(name, hash, roles): &Account| pb::UserInfo {
            user: name.clone(),
            password: hash.clone(),
            roles: roles.iter().map(|name| role(name)).collect(),
        };
        let group = |(name, privileges): &(String, Vec<String>)| pb::PrivilegeGroupInfo {
            group_name: name.clone(),
            privileges: privileges.iter().map(|name| privilege(name)).collect(),
        };
        pb::RbacMeta {
            users: self.users.iter().map(user).collect(),
            roles: self.roles.iter().map(|name| role(name)).collect(),
            grants: self.grants.iter().map(Self::grant).collect(),
            privilege_groups: self.groups.iter().map(group).collect(),
        }
    }

    /// All or nothing: whatever exists already refuses the whole.
    fn restore(&mut self, meta: &pb::RbacMeta) -> Answered<()> {
        let mut next = self.clone();
        for made in &meta.roles {
            if next.has_role(&made.name) {
                return Err(exists("role", &made.name));
            }
            next.roles.push(made.name.clone());
        }
        for made in &meta.privilege_groups {
            if next.groups.iter().any(|(name, _)| *name == made.group_name) {
                return Err(exists("privilege group", &made.group_name));
            }
            let privileges = made.privileges.iter().map(|privilege| privilege.name.clone());
            next.groups.push((made.group_name.clone(), privileges.collect()));
        }
        for made in meta.grants.iter().map(Self::row) {
            if !next.has_role(&made.0) {
                return Err(Refusal::other(format!("role [{}] doesn't exist", made.0)));
            }
            next.grants.push(made);
        }
        for made in &meta.users {
            if made.user == BUILT_IN_USER || next.users.iter().any(|(name, ..)| *name == made.user) {
                return Err(exists("user", &made.user));
            }
            let roles = made.roles.iter().map(|role| role.name.clone()).collect();
            next.users.push((made.user.clone(), made.password.clone(), roles));
        }
        *self = next;
        Ok(())
    }
}

impl Service {
    pub(super) fn backup_access(&self) -> pb::BackupRbacMetaResponse {
        let rbac_meta = Some(self.access().meta());
        pb::BackupRbacMetaResponse { rbac_meta, ..Default::default() }
    }

    pub(super) fn restore_access(&self, request: &pb::RestoreRbacMetaRequest) -> Answered<()> {
        self.access().restore(request.rbac_meta.as_ref().unwrap_or(&pb::RbacMeta::default()))
    }

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

    pub(super) fn select_user(&self) -> pb::SelectUserResponse {
        let access = self.access();
        let result = |(name, _, roles): &Account| pb::UserResult {
            user: Some(pb::UserEntity { name: name.clone() }),
            roles: roles.iter().map(|name| role(name)).collect(),
        };
        pb::SelectUserResponse { results: access.users.iter().map(result).collect(), ..Default::default() }
    }

    pub(super) fn select_grant(&self, request: &pb::SelectGrantRequest) -> Answered<pb::SelectGrantResponse> {
        let access = self.access();
        let entity = request.entity.clone().unwrap_or_default();
        let of = entity.role.unwrap_or_default().name;
        if !access.has_role(&of) {
            return Err(Refusal::other(format!("not found the role, maybe the role isn't existed: {of}")));
        }
        let in_db = |row: &&GrantRow| row.0 == of && (row.4 == entity.db_name || row.4 == "*");
        let entities = access.grants.iter().filter(in_db).map(Access::grant).collect();
        Ok(pb::SelectGrantResponse { entities, ..Default::default() })
    }

    pub(super) fn list_privilege_groups(&self) -> pb::ListPrivilegeGroupsResponse {
        let privilege_groups = self.access().meta().privilege_groups;
        pb::ListPrivilegeGroupsResponse { privilege_groups, ..Default::default() }
    }

    pub(super) fn create_role(&self, request: &pb::CreateRoleRequest) -> Answered<()> {
        let name = request.entity.clone().unwrap_or_default().name;
        let mut access = self.access();
        if name.is_empty() {
            return Err(Refusal::invalid("role name should not be empty"));
        }
        if access.has_role(&name) {
            return Err(exists("role", &name));
        }
        access.roles.push(name);
        Ok(())
    }

    pub(super) fn create_user(&self, request: &pb::CreateCredentialRequest) -> Answered<()> {
        let mut access = self.access();
        if request.username.is_empty() || request.password.is_empty() {
            return Err(Refusal::invalid("username must not be empty"));
        }
        if access.users.iter().any(|(name, ..)| *name == request.username) {
            return Err(exists("user", &request.username));
        }
        access.users.push((request.username.clone(), format!("hash of {}", request.password), Vec::new()));
        Ok(())
    }

    pub(super) fn operate_user_role(&self, request: &pb::OperateUserRoleRequest) -> Answered<()> {
        let mut access = self.access();
        if !access.has_role(&request.role_name) {
            return Err(Refusal::other(format!("role [{}] doesn't exist", request.role_name)));
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
        let mut access = self.access();
        if row.0.is_empty() || row.3.is_empty() || !access.has_role(&row.0) {
            return Err(Refusal::invalid("the role or the privilege in the grant is invalid"));
        }
        access.grants.retain(|known| *known != row);
        if request.r#type() == pb::OperatePrivilegeType::Grant {
            access.grants.push(row);
        }
        Ok(())
    }
}
