//! The page that leads through a cut-over: what to do before it, what it does, what it may do, and what is left to do behind it.

use askama::Template;
use vecferry_migrate::{JobState, Purpose, RoundOptions};
use vecferry_report::phrases;
use vecferry_store::JobKind;

use super::job::address;
use super::record::Recorded;
use super::rounds::{Allowed, Offered, Window, allowed, needs_credential, options};
use super::words::{self, Chip};
use crate::access::Action;
use crate::api::jobs::job;
use crate::api::rounds::may_begin;
use crate::api::{Path, Refusal};
use crate::console::form::Form;
use crate::console::frame::{Frame, Place, Visit};
use crate::console::page::{Shown, page_of_form, see};
use crate::console::show::{Say, Trouble};

/// What was typed; never a credential.
#[derive(Clone, Debug, Default)]
struct Typed {
    has_stopped: bool,
    options: RoundOptions,
    ca: String,
}

#[derive(Template)]
#[template(path = "migration_cut_over.html")]
struct CutOverPage {
    frame: Frame,
    t: Say,
    project_id: String,
    job_id: String,
    base: String,
    source: String,
    target: String,
    chip: Chip,
    troubles: Vec<Trouble>,
    /// Why it can't begin now, where it is not under way.
    obstacles: Vec<Trouble>,
    is_under_way: bool,
    is_successful: bool,
    offered: Offered,
    /// The first steps of a person, and those behind the cut-over.
    steps: [String; 5],
    after: [String; 3],
    window: Window,
    boxes: Vec<Allowed>,
    has_options: bool,
    has_stopped: bool,
    needs_credential: bool,
    source_address: String,
    ca: String,
}

type Ids = Path<(String, String)>;

/// The page.
pub(super) async fn page(visit: Visit, Path((project_id, job_id)): Ids) -> Shown {
    shown(&visit, (&project_id, &job_id), (None, Typed::default())).await
}

async fn shown(
    visit: &Visit,
    (project_id, job_id): (&str, &str),
    (refusal, typed): (Option<&Refusal>, Typed),
) -> Shown {
    let project = visit.project(project_id).await?;
    let recorded = Recorded::read(visit, project_id, job_id).await?;
    job(&visit.service, &visit.caller, job_id, Action::Administer).await?;
    let (t, record) = (visit.t(), &recorded.record);
    if record.kind == JobKind::Plain {
        return see(&address(project_id, job_id));
    }
    let (source, target) = words::sides(record, &recorded.names);
    let is_successful = record.state == JobState::Successful;
    let troubles = |refusal: &Refusal| -> Vec<_> {
        refusal.problems().iter().map(|problem| Trouble::of(problem, t.0)).collect()
    };
    let obstacles = match may_begin(&visit.service, record, Purpose::CutOver).await {
        Ok(()) => Vec::new(),
        Err(_) if is_successful || recorded.is_open() => Vec::new(),
        Err(refusal) => troubles(&refusal),
    };
    let page = CutOverPage {
        frame: visit.frame_in(&project, Place::Migrations).await?,
        t,
        project_id: project_id.to_owned(),
        job_id: job_id.to_owned(),
        base: address(project_id, job_id),
        steps: phrases::checklist(t.0, job_id, &target),
        after: phrases::checklist_after(t.0, &target),
        source,
        target,
        chip: words::chip(t, record, recorded.now_ms),
        troubles: refusal.map(troubles).unwrap_or_default(),
        obstacles,
        is_under_way: recorded.is_open(),
        is_successful,
        offered: Offered::read(visit, &recorded).await,
        window: Window::read(visit, &recorded).await?,
        boxes: allowed(t, typed.options, true),
        has_options: typed.options != RoundOptions::default(),
        has_stopped: typed.has_stopped,
        needs_credential: needs_credential(&recorded),
        source_address: record.source_address.clone(),
        ca: typed.ca,
    };
    page_of_form(refusal, &page)
}

/// Begins the cut-over.
pub(super) async fn start(visit: Visit, Path((project_id, job_id)): Ids, form: Form) -> Shown {
    let recorded = Recorded::read(&visit, &project_id, &job_id).await?;
    match super::actions::round(&visit, &recorded, Purpose::CutOver, &form).await {
        Ok(()) => see(&address(&project_id, &job_id)),
        Err(refusal) => {
            let typed = Typed {
                has_stopped: form.has("stopped"),
                options: options(&form),
                ca: form.text("ca").to_owned(),
            };
            shown(&visit, (&project_id, &job_id), (Some(&refusal), typed)).await
        }
    }
}
