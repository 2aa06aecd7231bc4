//! One migration: how far it is, how it came out, and what can be done with it.

use askama::Template;
use vecferry_migrate::JobState;
use vecferry_migrate::event::Phase;
use vecferry_report::{figures, labels};

use super::part::{Part, Show, Typed, Wanted};
use super::record::Recorded;
use super::rounds::{Allowed, allowed, needs_credential};
use super::words::{self, Chip};
use crate::api::{Path, Query, Refusal};
use crate::console::frame::{Frame, Place, Visit};
use crate::console::page::{Shown, page as shown, page_of_form};
use crate::console::show::{Say, Trouble};
use crate::jobs::time;

/// A link to a part of the page.
struct Tab {
    name: &'static str,
    word: &'static str,
    mark: &'static str,
}

/// Who is between which clusters, and since when.
struct Head {
    job_id: String,
    source: String,
    target: String,
    chip: Chip,
    relation: &'static str,
    /// How it copies, where that is not in one go.
    kind: Option<&'static str>,
    collections: String,
    created: String,
    started: Option<String>,
    ended: Option<String>,
    created_by: String,
}

/// What can be done with it.
#[allow(clippy::struct_excessive_bools, reason = "each is a button")]
struct Actions {
    can_cancel: bool,
    can_limit: bool,
    can_resume: bool,
    can_clean: bool,
    /// The next step of a job that is ready.
    is_ready: bool,
    /// What a clean-up removes.
    destroys: String,
    /// Whether the name of the target is to be typed before that: the migration was successful.
    asks_name: bool,
    /// What was typed as a limit, or holds.
    rate: String,
    has_rate: bool,
    has_begun: bool,
}

#[derive(Template)]
#[template(path = "migration.html")]
struct JobPage {
    frame: Frame,
    t: Say,
    project_id: String,
    head: Head,
    tabs: Vec<Tab>,
    actions: Actions,
    /// What a catch-up may do.
    boxes: Vec<Allowed>,
    needs_credential: bool,
    query: String,
    part: Part,
    troubles: Vec<Trouble>,
}

#[derive(Template)]
#[template(path = "migration_live.html")]
struct PartOnly {
    t: Say,
    part: Part,
}

/// The page, or one of its parts.
pub(super) async fn page(
    visit: Visit,
    Path((project_id, job_id)): Path<(String, String)>,
    Query(wanted): Query<Wanted>,
) -> Shown {
    let page = read(&visit, (&project_id, &job_id), &wanted, (None, &Typed::default())).await?;
    shown(&page)
}

/// What of it refreshes by itself.
pub(super) async fn live(
    visit: Visit,
    Path((project_id, job_id)): Path<(String, String)>,
    Query(wanted): Query<Wanted>,
) -> Shown {
    visit.project(&project_id).await?;
    let recorded = Recorded::read(&visit, &project_id, &job_id).await?;
    let part = Part::read(&visit, &address(&project_id, &job_id), &recorded, &wanted).await?;
    shown(&PartOnly { t: visit.t(), part })
}

/// The page again, with why a form was refused.
pub(super) async fn refused(
    visit: &Visit,
    ids: (&str, &str),
    show: &str,
    (refusal, typed): (&Refusal, &Typed),
) -> Shown {
    let wanted = Wanted { show: show.to_owned(), ..Wanted::default() };
    let page = read(visit, ids, &wanted, (Some(refusal), typed)).await?;
    page_of_form(Some(refusal), &page)
}

/// The address of a migration.
pub(super) fn address(project_id: &str, job_id: &str) -> String {
    format!("/p/{project_id}/migrations/{job_id}")
}

async fn read(
    visit: &Visit,
    (project_id, job_id): (&str, &str),
    wanted: &Wanted,
    (refusal, typed): (Option<&Refusal>, &Typed),
) -> Result<JobPage, Refusal> {
    let project = visit.project(project_id).await?;
    let recorded = Recorded::read(visit, project_id, job_id).await?;
    let mut part = Part::read(visit, &address(project_id, job_id), &recorded, wanted).await?;
    part.typed = typed.clone();
    let destroys = match part.may_act {
        true => destroyed(visit, &recorded).await?,
        false => String::new(),
    };
    let problems = refusal.map(Refusal::problems).unwrap_or_default();
    Ok(JobPage {
        frame: visit.frame_in(&project, Place::Migrations).await?,
        t: visit.t(),
        project_id: project_id.to_owned(),
        head: Head::new(visit.t(), &recorded),
        tabs: tabs(visit.t(), part.show),
        boxes: allowed(visit.t(), typed.options, false),
        needs_credential: needs_credential(&recorded),
        actions: Actions::new(&recorded, part.may_act, typed, destroys),
        query: query(wanted, part.show, &recorded.stand()),
        part,
        troubles: problems.iter().map(|problem| Trouble::of(problem, visit.lang())).collect(),
    })
}

/// The query of what refreshes by itself: the same part, and what the page around it shows.
fn query(wanted: &Wanted, show: Show, stand: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("show", show.name()).append_pair("was", stand);
    if wanted.page > 0 {
        query.append_pair("page", &wanted.page.to_string());
    }
    if !wanted.name.is_empty() {
        query.append_pair("name", &wanted.name);
    }
    query.finish()
}

fn tabs(t: Say, show: Show) -> Vec<Tab> {
    let tab = |known: Show| Tab {
        name: known.name(),
        word: known.word(t.0),
        mark: if known == show { "page" } else { "false" },
    };
    Show::ALL.into_iter().map(tab).collect()
}

impl Head {
    fn new(t: Say, recorded: &Recorded) -> Self {
        let record = &recorded.record;
        let (source, target) = words::sides(record, &recorded.names);
        let count = recorded.began.as_ref().map(|began| began.collections_total);
        Self {
            job_id: record.job_id.clone(),
            source,
            target,
            chip: words::chip(t, record, recorded.now_ms),
            relation: words::relation(t, record),
            kind: words::kind(t, record),
            collections: words::collections(t, record, count),
            created: time(record.created_ms),
            started: record.started_ms.map(time),
            ended: record.ended_ms.filter(|_| !recorded.is_open()).map(time),
            created_by: recorded.names.get(&record.created_by).unwrap_or(&record.created_by).clone(),
        }
    }
}

/// Collections that are named before they are removed.
const NAMED_MAX: usize = 5;

/// What a migration made on its target: `3 collections, 1,200 rows: default.a, default.b, default.c`.
async fn destroyed(visit: &Visit, recorded: &Recorded) -> Result<String, Refusal> {
    let Some(lines) = recorded.lines(visit).await? else { return Ok(String::new()) };
    let t = visit.t();
    // The others are not on the target yet.
    let made = lines.iter().filter(|line| !matches!(line.reached, Phase::Waiting | Phase::LoadingSource));
    let made: Vec<_> = made.collect();
    let rows = t.with("{} rows", "{} 行", figures::count(made.iter().map(|line| line.rows).sum()));
    let names: Vec<_> = made.iter().take(NAMED_MAX).map(|line| line.target.as_str()).collect();
    let mut told = format!("{}{}{rows}", labels::some_collections(t.0, made.len()), labels::comma(t.0));
    if !names.is_empty() {
        told += &t.with(": {}", "：{}", names.join(t.say(", ", "、")));
    }
    if made.len() > names.len() {
        told += &t.with(" and {} more", "，另有 {} 个", figures::count((made.len() - names.len()) as u64));
    }
    Ok(told)
}

impl Actions {
    fn new(recorded: &Recorded, may_act: bool, typed: &Typed, destroys: String) -> Self {
        let state = recorded.record.state;
        let set = recorded.began.as_ref().and_then(|began| began.max_rate.clone());
        let is_unfinished = matches!(state, JobState::Pending | JobState::InProgress | JobState::Ready);
        Self {
            can_cancel: may_act && is_unfinished,
            can_limit: may_act && recorded.began.is_some() && is_unfinished,
            can_resume: may_act && matches!(state, JobState::Failed | JobState::Canceled),
            can_clean: may_act
                && recorded.began.is_some()
                && matches!(
                    state,
                    JobState::Ready | JobState::Successful | JobState::Failed | JobState::Canceled
                ),
            is_ready: state == JobState::Ready,
            asks_name: state == JobState::Successful,
            destroys,
            has_rate: set.is_some(),
            rate: typed.rate.clone().or(set).unwrap_or_default(),
            has_begun: recorded.began.is_some(),
        }
    }
}
