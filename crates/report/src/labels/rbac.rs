//! Roles and users.

use vecferry_migrate::rbac::{Left, LeftReason, ObjectKind};
use vecferry_words::Lang;

use super::colon;

vecferry_words::sentences! {
    pub,
    /// Heading of roles and users.
    rbac "Roles and users" "角色和用户";
    /// What becomes of passwords.
    passwords_kept "Users keep their passwords." "用户保留原有密码。";
    /// Heading of what is not copied of roles and users.
    rbac_left "Not copied, or already there (what exists on the target is left unchanged)" "未复制或已存在（目标集群上已有的内容保持不变）";
    /// Heading of grants on collections that the job does not copy.
    rbac_outside
        "Grants on collections outside this migration, copied for later"
        "针对本次迁移范围之外 Collection 的授权（一并复制，供日后使用）";
}

/// A number of objects that belong to roles and users.
pub fn rbac_objects(lang: Lang, kind: ObjectKind, number: &str, one: bool) -> String {
    let (en, en_many, zh) = match kind {
        ObjectKind::PrivilegeGroup => ("privilege group", "privilege groups", "个权限组"),
        ObjectKind::Role => ("role", "roles", "个角色"),
        ObjectKind::Grant => ("grant", "grants", "项授权"),
        ObjectKind::User => ("user", "users", "个用户"),
        ObjectKind::Membership => ("role of a user", "roles of users", "项用户角色"),
    };
    let noun = if one { en } else { en_many };
    lang.pick(format!("{number} {noun}"), format!("{number} {zh}"))
}

/// One object of roles and users, and why it is not copied.
pub fn rbac_left_line(lang: Lang, left: &Left) -> String {
    let kind = match left.kind {
        ObjectKind::PrivilegeGroup => lang.pick("privilege group", "权限组"),
        ObjectKind::Role => lang.pick("role", "角色"),
        ObjectKind::Grant => lang.pick("grant", "授权"),
        ObjectKind::User => lang.pick("user", "用户"),
        ObjectKind::Membership => lang.pick("role of user", "用户角色"),
    };
    let why = match left.reason {
        LeftReason::Same => lang.pick("the target has the same", "目标集群上已有相同内容"),
        LeftReason::Exists => lang.pick("exists on the target", "目标集群上已存在"),
        LeftReason::Differs => {
            lang.pick("exists on the target with other privileges", "目标集群上已存在，且权限不同")
        }
        LeftReason::RoleLeft => lang.pick("its role is not copied", "其角色未复制"),
        LeftReason::UserLeft => lang.pick("its user exists on the target", "其用户在目标集群上已存在"),
        LeftReason::GroupLeft => {
            lang.pick("its privilege group is not on the target", "其权限组不在目标集群上")
        }
        LeftReason::OtherCollection => {
            lang.pick("the target has another collection of that name", "目标集群上有同名的其他 Collection")
        }
        LeftReason::UsersSkipped => lang.pick("skipped on request", "按要求跳过"),
        LeftReason::MadeMeanwhile => {
            lang.pick("someone else created it on the target meanwhile", "期间已被他人在目标集群上创建")
        }
    };
    format!("{kind} {}{}{why}", left.name, colon(lang))
}

/// That users get new passwords, and where these are.
pub fn passwords_generated(lang: Lang, file: &str, made: bool) -> String {
    if made {
        return lang.pick(
            format!("The users' new passwords are in {file} (only its owner may read it)."),
            format!("用户的新密码保存在 {file}（仅文件所有者可读）。"),
        );
    }
    lang.pick(
        format!(
            "Passwords can't be copied: every user gets a new one, written to {file} (only its owner may read it)."
        ),
        format!("密码无法复制：每个用户将获得新密码，写入 {file}（仅文件所有者可读）。"),
    )
}
