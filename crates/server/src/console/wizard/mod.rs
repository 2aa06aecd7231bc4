//! A new migration: source, target, check, review. What was chosen is kept in a draft on the server, so that reloading, going
//! back and a second tab are safe; nothing is written to a cluster before the start.

mod check;
mod cluster;
mod collections;
mod draft;
mod elsewhere;
mod review;
mod source;
mod target;
mod ways;

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use vecferry_migrate::{Code, Problem};

use self::draft::{Draft, Source};
use super::frame::{Frame, Place, Visit};
use super::page::{Shown, page_with, see};
use super::show::{Say, Trouble};
use crate::access::{Action, ProjectRole};
use crate::api::clusters::cluster;
use crate::api::{Path, Query, Refusal};
use crate::jobs::Access;
use crate::service::Service;
use crate::tables::{DraftRecord, NewDraft, ProjectRecord, draft_purpose};

/// Its addresses.
pub(super) const PATHS: &[&str] = &[
    "/p/{project}/migrations/new",
    "/p/{project}/migrations/new/{draft}",
    "/p/{project}/migrations/new/{draft}/cluster",
    "/p/{project}/migrations/new/{draft}/elsewhere",
    "/p/{project}/migrations/new/{draft}/collections",
    "/p/{project}/migrations/new/{draft}/target",
    "/p/{project}/migrations/new/{draft}/check",
    "/p/{project}/migrations/new/{draft}/options",
    "/p/{project}/migrations/new/{draft}/way",
    "/p/{project}/migrations/new/{draft}/start",
    "/p/{project}/migrations/new/{draft}/discard",
];

pub(super) fn ways() -> Router<Arc<Service>> {
    Router::new()
        .route("/p/{project}/migrations/new", get(begin))
        .route("/p/{project}/migrations/new/{draft}", get(step))
        .route("/p/{project}/migrations/new/{draft}/cluster", post(source::choose))
        .route("/p/{project}/migrations/new/{draft}/elsewhere", post(elsewhere::connect))
        .route(
            "/p/{project}/migrations/new/{draft}/collections",
            get(collections::part).post(collections::choose),
        )
        .route("/p/{project}/migrations/new/{draft}/target", post(target::choose))
        .route("/p/{project}/migrations/new/{draft}/check", get(check::part).post(check::begin))
        .route("/p/{project}/migrations/new/{draft}/options", post(check::change_options))
        .route("/p/{project}/migrations/new/{draft}/way", post(check::change_way))
        .route("/p/{project}/migrations/new/{draft}/start", post(review::start))
        .route("/p/{project}/migrations/new/{draft}/discard", post(discard))
}

/// Administrators that are named to whoever may not migrate.
const ADMINS_NAMED: usize = 10;

/// The four steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Source,
    Target,
    Check,
    Review,
}

impl Step {
    const ALL: [Self; 4] = [Self::Source, Self::Target, Self::Check, Self::Review];

    fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Target => "target",
            Self::Check => "check",
            Self::Review => "review",
        }
    }

    fn title(self, t: Say) -> &'static str {
        match self {
            Self::Source => t.0.pick("Source", "源集群"),
            Self::Target => t.0.pick("Target", "目标集群"),
            Self::Check => t.0.pick("Check", "预检"),
            Self::Review => t.0.pick("Review and start", "确认并开始"),
        }
    }
}

/// A step in the line of steps.
#[derive(Clone, Debug)]
pub(super) struct StepShown {
    pub(super) number: usize,
    pub(super) title: &'static str,
    pub(super) is_done: bool,
    pub(super) is_here: bool,
    /// Where it is; none where something has to be chosen before.
    pub(super) link: Option<String>,
}

/// What stands over each step.
#[derive(Clone, Debug)]
pub(super) struct Head {
    /// The address of the draft.
    pub(super) path: String,
    pub(super) project_id: String,
    pub(super) project_name: String,
    pub(super) steps: Vec<StepShown>,
    pub(super) source: Option<SideShown>,
    pub(super) target: Option<SideShown>,
}

/// One side, as it was chosen.
#[derive(Clone, Debug)]
pub(super) struct SideShown {
    pub(super) name: String,
    pub(super) plan: String,
    /// What belongs to it.
    pub(super) detail: String,
}

/// Where somebody is: a draft of a project that they administer.
pub(super) struct At {
    pub(super) visit: Visit,
    pub(super) project: ProjectRecord,
    pub(super) record: DraftRecord,
    draft: Draft,
    /// When it was read.
    now_ms: i64,
}

impl At {
    pub(super) fn t(&self) -> Say {
        self.visit.t()
    }

    /// The address of the draft.
    pub(super) fn path(&self) -> String {
        format!("/p/{}/migrations/new/{}", self.project.project_id, self.record.draft_id)
    }

    /// The way to a step.
    pub(super) fn to(&self, step: Step) -> Shown {
        see(&format!("{}?step={}", self.path(), step.name()))
    }

    pub(super) async fn frame(&self) -> Result<Frame, Refusal> {
        self.visit.frame_in(&self.project, Place::Migrations).await
    }

    pub(super) fn troubles(&self, refusal: Option<&Refusal>) -> Vec<Trouble> {
        let problems = refusal.map(Refusal::problems).unwrap_or_default();
        problems.iter().map(|problem| Trouble::of(problem, self.visit.lang())).collect()
    }

    /// What stands over a step.
    pub(super) fn head(&self, here: Step) -> Head {
        let path = self.path();
        let furthest = self.furthest();
        let steps = Step::ALL.into_iter().enumerate().map(|(at, step)| StepShown {
            number: at + 1,
            title: step.title(self.t()),
            is_done: step < furthest && step != here,
            is_here: step == here,
            link: (step <= furthest && step != here).then(|| format!("{path}?step={}", step.name())),
        });
        Head {
            steps: steps.collect(),
            project_id: self.project.project_id.clone(),
            project_name: self.project.name.clone(),
            source: self.draft.source_shown(self.visit.lang()),
            target: self.draft.target_shown(self.visit.lang()),
            path,
        }
    }

    /// The last step that can be shown with what was chosen.
    fn furthest(&self) -> Step {
        if self.draft.source.is_none() || self.draft.collections.is_empty() {
            Step::Source
        } else if self.draft.target.is_none() {
            Step::Target
        } else if check::has_passed(self, self.now_ms) {
            Step::Review
        } else {
            Step::Check
        }
    }

    /// Keeps another content; whoever changed the draft meanwhile is not overwritten.
    pub(super) async fn keep(&self) -> Result<(), Refusal> {
        let content = serde_json::to_string(&self.draft).map_err(Refusal::unavailable)?;
        Ok(self.visit.service.tables().change_draft(&self.record, &content).await?)
    }

    /// Access to the source, where it is elsewhere.
    pub(super) fn access(&self) -> Result<Option<Access>, Refusal> {
        match (&self.draft.source, &self.record.secret) {
            (Some(Source::Elsewhere(_)), Some(sealed)) => {
                let opened = self.visit.service.open_secret(&draft_purpose(&self.record.draft_id), sealed)?;
                serde_json::from_str(opened.reveal()).map(Some).map_err(Refusal::unavailable)
            }
            (Some(Source::Elsewhere(_)), None) => Err(Refusal::conflict(
                "the credential of the source is not there any more; connect to it again",
                "源集群的凭证已不存在；请重新连接",
            )),
            (Some(Source::Cluster(_)) | None, _) => Ok(None),
        }
    }
}

/// The draft of an address, or the way on to the job that it became.
pub(super) async fn at(
    visit: Visit,
    (project, draft_id): (String, String),
) -> Result<Result<At, Response>, Refusal> {
    let project = visit.project(&project).await?;
    if !visit.administers(&project.project_id) {
        return Ok(Err(not_allowed(&visit, &project).await?));
    }
    let tables = visit.service.tables();
    let Some(record) = tables.draft(&project.project_id, &draft_id, &visit.caller.actor.to_string()).await?
    else {
        let of = (visit.caller.org_id.as_str(), project.project_id.as_str());
        return match tables.job_of_draft(of, &request_name(&draft_id)).await? {
            Some(job_id) => Ok(Err(see(&format!("/p/{}/migrations/{job_id}", project.project_id))?)),
            None => Err(Refusal::absent(("draft", "草稿"), &draft_id)),
        };
    };
    let draft = serde_json::from_str(&record.content).map_err(Refusal::unavailable)?;
    let now_ms = visit.service.tables().now_ms().await?;
    Ok(Ok(At { visit, project, record, draft, now_ms }))
}

/// The name of the request that starts a draft: whoever sends it twice gets the same job.
pub(super) fn request_name(draft_id: &str) -> String {
    format!("console-{draft_id}")
}

#[derive(Template)]
#[template(path = "wizard_not_allowed.html")]
struct NotAllowedPage {
    frame: Frame,
    t: Say,
    project_id: String,
    project_name: String,
    /// Who may, by name.
    admins: Vec<String>,
    trouble: Trouble,
}

/// A page for whoever may look but not migrate.
async fn not_allowed(visit: &Visit, project: &ProjectRecord) -> Shown {
    let tables = visit.service.tables();
    let members = tables.project_members(&project.project_id).await?.into_iter();
    let admins = members.filter(|member| member.role == ProjectRole::Admin).take(ADMINS_NAMED);
    let admins = admins.map(|member| member.name).collect();
    let (needs, role) = (Action::Administer.needs().title(), visit.caller.title_in(&project.project_id));
    let problem = Problem::new(Code::NotAllowed)
        .with("action", "a new migration")
        .with("action_zh", "新建迁移")
        .with("needs", needs.0)
        .with("needs_zh", needs.1)
        .with("role", role.0)
        .with("role_zh", role.1);
    let page = NotAllowedPage {
        frame: visit.frame_in(project, Place::Migrations).await?,
        t: visit.t(),
        project_id: project.project_id.clone(),
        project_name: project.name.clone(),
        admins,
        trouble: Trouble::of(&problem, visit.lang()),
    };
    page_with(StatusCode::FORBIDDEN, &page)
}

/// Where a migration begins.
#[derive(Debug, Deserialize)]
pub(super) struct Beginning {
    /// A cluster that is chosen already.
    source: Option<String>,
}

/// Makes a draft, and goes on there.
async fn begin(visit: Visit, Path(project): Path<String>, Query(beginning): Query<Beginning>) -> Shown {
    let project = visit.project(&project).await?;
    if !visit.administers(&project.project_id) {
        return not_allowed(&visit, &project).await;
    }
    let mut draft = Draft::default();
    if let Some(cluster_id) = beginning.source {
        let record = cluster(&visit.service, &visit.caller, &cluster_id, Action::Administer).await?;
        draft.source = Some(Source::Cluster(cluster::named(&record)));
    }
    let new = NewDraft {
        org_id: visit.caller.org_id.clone(),
        project_id: project.project_id.clone(),
        created_by: visit.caller.actor.to_string(),
        content: serde_json::to_string(&draft).map_err(Refusal::unavailable)?,
    };
    let draft_id = visit.service.tables().add_draft(new).await?;
    see(&format!("/p/{}/migrations/new/{draft_id}?step=source", project.project_id))
}

/// Which part of the wizard.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Shows {
    step: Option<String>,
    /// `elsewhere`: a source of another organization.
    from: Option<String>,
    /// `source`: it is chosen again.
    change: Option<String>,
    /// A text in name, address or ID of the clusters that are offered.
    find: Option<String>,
    /// Whether what a cluster holds is to be in the page itself, for browsers without scripts.
    list: Option<String>,
}

/// A step, or the last one before it that can be shown.
async fn step(visit: Visit, Path(path): Path<(String, String)>, Query(shows): Query<Shows>) -> Shown {
    let at = match at(visit, path).await? {
        Ok(at) => at,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let asked = shows.step.as_deref();
    let wanted = Step::ALL.into_iter().find(|step| Some(step.name()) == asked).unwrap_or(Step::Source);
    let step = wanted.min(at.furthest());
    if asked != Some(step.name()) {
        return at.to(step);
    }
    match step {
        Step::Source => source::shown(&at, &shows).await,
        Step::Target => {
            let find = shows.find.as_deref().unwrap_or_default();
            target::shown(&at, find, None, None).await
        }
        Step::Check => check::shown(&at).await,
        Step::Review => review::shown(&at, None, None).await,
    }
}

/// Forgets a draft.
async fn discard(visit: Visit, Path(path): Path<(String, String)>) -> Shown {
    let at = match at(visit, path).await? {
        Ok(at) => at,
        Err(elsewhere) => return Ok(elsewhere),
    };
    at.visit.service.tables().remove_draft(&at.record.draft_id).await?;
    see(&format!("/p/{}/migrations", at.project.project_id))
}
