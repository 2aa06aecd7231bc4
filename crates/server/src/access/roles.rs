//! Roles and what they allow, as the cloud's own roles do: an Organization Owner everything, a Project Admin everything in
//! the project; all other members look.

/// What somebody is in an organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum OrganizationRole {
    /// Sees the organization and the projects with a role of their own.
    Member,
    /// May do everything.
    Owner,
}

impl OrganizationRole {
    /// All of them.
    pub(crate) const ALL: [Self; 2] = [Self::Member, Self::Owner];

    /// Its name in records and answers.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Owner => "owner",
        }
    }

    /// As people call it.
    pub(crate) fn title(self) -> (&'static str, &'static str) {
        match self {
            Self::Member => ("Organization Member", "组织成员"),
            Self::Owner => ("Organization Owner", "组织管理员"),
        }
    }

    /// From its name.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// What somebody is in a project. Later ones may more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ProjectRole {
    /// Looks.
    ReadOnly,
    /// Looks; what more it allows concerns the data of clusters, which the service does not hand out.
    ReadWrite,
    /// May do everything in the project.
    Admin,
}

impl ProjectRole {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::ReadOnly, Self::ReadWrite, Self::Admin];

    /// Its name in records and answers.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ReadOnly => "readOnly",
            Self::ReadWrite => "readWrite",
            Self::Admin => "admin",
        }
    }

    /// As people call it.
    pub(crate) fn title(self) -> (&'static str, &'static str) {
        match self {
            Self::ReadOnly => ("Project Read-Only", "项目查看者（Read-Only）"),
            Self::ReadWrite => ("Project Read-Write", "项目编辑者（Read-Write）"),
            Self::Admin => ("Project Admin", "项目管理员"),
        }
    }

    /// From its name.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// To see a project and what is in it.
    Look,
    /// To create, check, cancel, resume, limit, load, verify, or to register clusters.
    Administer,
}

impl Action {
    /// The least role in a project that allows it.
    pub(crate) fn needs(self) -> ProjectRole {
        match self {
            Self::Look => ProjectRole::ReadOnly,
            Self::Administer => ProjectRole::Admin,
        }
    }
}
