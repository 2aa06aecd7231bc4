//! What stands around every page: where one is, where one can go, language, theme, and who is signed in.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use vecferry_milvus::Secret;
use vecferry_words::Lang;

use super::assets;
use super::preferences::{self, Theme};
use super::show::Say;
use crate::access::{Action, Actor, Caller};
use crate::api::{self, Refusal, SESSION_COOKIE, Signed, cookie};
use crate::secret::token;
use crate::service::Service;
use crate::tables::{ProjectPage, ProjectRecord};

/// Projects that the switch in the bar lists; all of them are on a page of their own.
const PROJECTS_SHOWN: i64 = 30;

/// Where in the console a page belongs, for the column at the side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Migrations,
    Clusters,
    ProjectMembers,
    Projects,
    Members,
    Keys,
    Webhooks,
    Audit,
    Settings,
    About,
}

impl Place {
    /// The attribute that marks its entry.
    pub(crate) fn mark(&self, entry: &str) -> &'static str {
        let name = match self {
            Self::Migrations => "migrations",
            Self::Clusters => "clusters",
            Self::ProjectMembers => "project-members",
            Self::Projects => "projects",
            Self::Members => "members",
            Self::Keys => "keys",
            Self::Webhooks => "webhooks",
            Self::Audit => "audit",
            Self::Settings => "settings",
            Self::About => "about",
        };
        if name == entry { "page" } else { "false" }
    }
}

/// How a page looks, also where nobody is signed in.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(crate) t: Say,
    pub(crate) theme: Option<Theme>,
    /// The page with its query, to come back to.
    pub(crate) path: String,
    pub(crate) style: &'static str,
    pub(crate) script: &'static str,
}

impl Look {
    /// The look that a browser asks for.
    pub(crate) fn of(headers: &axum::http::HeaderMap, uri: &axum::http::Uri) -> Self {
        Self {
            t: Say(api::language(headers)),
            theme: preferences::theme(headers),
            path: uri.path_and_query().map_or_else(|| "/".to_owned(), |path| path.as_str().to_owned()),
            style: assets::style(),
            script: assets::script(),
        }
    }

    /// The attribute of the document's root; empty for the system's setting.
    pub(crate) fn theme_name(&self) -> &'static str {
        self.theme.map_or("", Theme::name)
    }

    pub(crate) fn lang(&self) -> Lang {
        self.t.0
    }
}

impl<State: Sync> FromRequestParts<State> for Look {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self, Self::Rejection> {
        Ok(Self::of(&parts.headers, &parts.uri))
    }
}

/// A page that somebody who is signed in asks for.
#[derive(Clone, Debug)]
pub(crate) struct Visit {
    pub(crate) service: Arc<Service>,
    pub(crate) caller: Arc<Caller>,
    pub(crate) look: Look,
    csrf: String,
}

impl FromRequestParts<Arc<Service>> for Visit {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, service: &Arc<Service>) -> Result<Self, Refusal> {
        let Signed(caller) = Signed::from_request_parts(parts, service).await?;
        let secret = cookie(&parts.headers, SESSION_COOKIE).unwrap_or_default();
        Ok(Self {
            service: Arc::clone(service),
            caller,
            look: Look::of(&parts.headers, &parts.uri),
            csrf: token::csrf_of(&Secret::new(secret)),
        })
    }
}

/// A project in the switch of the bar.
#[derive(Clone, Debug)]
pub(crate) struct ProjectLink {
    pub(crate) id: String,
    pub(crate) name: String,
}

/// What stands around a page.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) look: Look,
    pub(crate) place: Place,
    /// For forms, in a field `csrf`.
    pub(crate) csrf: String,
    /// Who is signed in, as the bar names them.
    pub(crate) who: String,
    pub(crate) initials: String,
    pub(crate) is_owner: bool,
    pub(crate) org_id: String,
    pub(crate) org_name: String,
    /// The project that the page belongs to, or the one that was there first.
    pub(crate) project: Option<ProjectLink>,
    pub(crate) projects: Vec<ProjectLink>,
    /// Whether there are more than these.
    pub(crate) has_more_projects: bool,
}

impl Visit {
    pub(crate) fn lang(&self) -> Lang {
        self.look.lang()
    }

    /// What forms of the page show.
    pub(crate) fn csrf(&self) -> &str {
        &self.csrf
    }

    /// The texts of the page's language.
    pub(crate) fn t(&self) -> Say {
        self.look.t
    }

    /// The organization of the address, if it is the caller's.
    pub(crate) fn in_organization(&self, org_id: &str) -> Result<(), Refusal> {
        match org_id == self.caller.org_id {
            true => Ok(()),
            false => Err(Refusal::absent(("organization", "组织"), org_id)),
        }
    }

    /// A project that the caller sees.
    pub(crate) async fn project(&self, project_id: &str) -> Result<ProjectRecord, Refusal> {
        api::project(&self.service, &self.caller, project_id, Action::Look).await
    }

    /// Whether the caller may change something in a project.
    pub(crate) fn administers(&self, project_id: &str) -> bool {
        self.caller.may(Action::Administer, project_id)
    }

    /// The frame of a page of the organization.
    pub(crate) async fn frame(&self, place: Place) -> Result<Frame, Refusal> {
        self.framed(place, None).await
    }

    /// The frame of a page of a project.
    pub(crate) async fn frame_in(&self, project: &ProjectRecord, place: Place) -> Result<Frame, Refusal> {
        let link = ProjectLink { id: project.project_id.clone(), name: project.name.clone() };
        self.framed(place, Some(link)).await
    }

    async fn framed(&self, place: Place, project: Option<ProjectLink>) -> Result<Frame, Refusal> {
        let tables = self.service.tables();
        let org_id = &self.caller.org_id;
        let org_name = tables.organization_name(org_id).await?.unwrap_or_default();
        let only = self.caller.visible();
        let page = ProjectPage { only, rows: PROJECTS_SHOWN + 1, ..ProjectPage::default() };
        let (projects, has_more_projects) = switched(tables.projects(org_id, page).await?, project.as_ref());
        let who = match &self.caller.actor {
            Actor::User(user_id) => tables.user(user_id).await?.map(|user| user.name),
            Actor::Key(key_id) => Some(key_id.clone()),
        };
        let who = who.unwrap_or_default();
        Ok(Frame {
            look: self.look.clone(),
            place,
            csrf: self.csrf.clone(),
            initials: initials(&who),
            who,
            is_owner: self.caller.is_owner(),
            org_id: org_id.clone(),
            org_name,
            project: project.or_else(|| projects.first().cloned()),
            projects,
            has_more_projects,
        })
    }
}

/// What the switch lists of the projects that were found, and whether that is not all. The one where somebody is stands first
/// where it would not be there at all.
fn switched(found: Vec<ProjectRecord>, here: Option<&ProjectLink>) -> (Vec<ProjectLink>, bool) {
    let shown = usize::try_from(PROJECTS_SHOWN).unwrap_or(usize::MAX);
    let has_more = found.len() > shown;
    let links = found.into_iter().take(shown);
    let links = links.map(|project| ProjectLink { id: project.project_id, name: project.name });
    let mut links: Vec<_> = links.collect();
    if let Some(here) = here.filter(|here| links.iter().all(|link| link.id != here.id)) {
        links.insert(0, here.clone());
    }
    (links, has_more)
}

/// The first letters of the first two words of a name.
fn initials(name: &str) -> String {
    let letters = name.split_whitespace().filter_map(|word| word.chars().next()).take(2);
    letters.flat_map(char::to_uppercase).collect()
}
