//! What is done with a migration from its page.

use std::sync::Arc;

use axum::extract::State;
use vecferry_migrate::{JobState, Purpose, VerifyLevel};

use super::job::{address, refused};
use super::part::Typed;
use super::record::Recorded;
use super::rounds::{needs_credential, options};
use super::words;
use crate::access::Action;
use crate::api::extract::OptionalBody;
use crate::api::jobs::{self, CancelRequest, RateRequest, ResumeRequest};
use crate::api::migrations::Source;
use crate::api::rounds::{self, RoundRequest};
use crate::api::tasks::{self, LoadRequest, VerifyRequest};
use crate::api::{Body, Path, Refusal, Signed};
use crate::console::form::Form;
use crate::console::frame::Visit;
use crate::console::page::{Shown, see};
use crate::tables::MigrationSource;

type Ids = Path<(String, String)>;

/// Goes back to the page; with what was refused, where it was.
async fn back(
    visit: &Visit,
    (project_id, job_id): (&str, &str),
    show: &str,
    (done, typed): (Result<(), Refusal>, Typed),
) -> Shown {
    match done {
        Ok(()) if show.is_empty() => see(&address(project_id, job_id)),
        Ok(()) => see(&format!("{}?show={show}", address(project_id, job_id))),
        Err(refusal) => refused(visit, (project_id, job_id), show, (&refusal, &typed)).await,
    }
}

/// The service and the caller, as the API's functions take them.
fn of(visit: &Visit) -> (State<Arc<crate::service::Service>>, Signed) {
    (State(Arc::clone(&visit.service)), Signed(Arc::clone(&visit.caller)))
}

/// Ends a migration.
pub(super) async fn cancel(visit: Visit, Path((project_id, job_id)): Ids, form: Form) -> Shown {
    let recorded = Recorded::read(&visit, &project_id, &job_id).await?;
    let clean = form.has("clean");
    // Whoever may not do it is not asked to confirm it.
    let allowed = jobs::job(&visit.service, &visit.caller, &job_id, Action::Administer).await;
    let confirm = match allowed {
        Ok(_) if clean => confirmed(&recorded, &form),
        Ok(_) => Ok(None),
        Err(refusal) => Err(refusal),
    };
    let done = match confirm {
        Ok(confirm) => {
            let (state, signed) = of(&visit);
            let body = OptionalBody(CancelRequest { clean, confirm });
            jobs::cancel(state, signed, Path(job_id.clone()), body).await.map(drop)
        }
        Err(refusal) => Err(refusal),
    };
    let typed = Typed {
        form: if recorded.is_open() { "cancel" } else { "clean" },
        clean,
        confirm: form.text("confirm").to_owned(),
        ..Typed::default()
    };
    back(&visit, (&project_id, &job_id), "", (done, typed)).await
}

/// What confirms that the result of a migration is removed: of one that was successful, the name of its target.
fn confirmed(recorded: &Recorded, form: &Form) -> Result<Option<String>, Refusal> {
    if recorded.record.state != JobState::Successful {
        return Ok(None);
    }
    let (_, target) = words::sides(&recorded.record, &recorded.names);
    if form.text("confirm").trim() == target {
        return Ok(Some(recorded.record.job_id.clone()));
    }
    Err(Refusal::bad_told(
        format!(
            "the migration was successful, and nothing was removed: to remove its result, type the name of the target, `{target}`"
        ),
        format!("该迁移任务已成功，尚未删除任何内容：如需删除迁移结果，请输入目标集群的名称 `{target}`"),
    ))
}

/// Goes on with a migration.
pub(super) async fn resume(visit: Visit, Path((project_id, job_id)): Ids, form: Form) -> Shown {
    let recorded = Recorded::read(&visit, &project_id, &job_id).await?;
    let (state, signed) = of(&visit);
    let body = OptionalBody(ResumeRequest { source: source(&recorded, &form) });
    let done = jobs::resume(state, signed, Path(job_id.clone()), body).await.map(drop);
    let typed = Typed { form: "resume", ca: form.text("ca").to_owned(), ..Typed::default() };
    back(&visit, (&project_id, &job_id), "", (done, typed)).await
}

/// Copies what changed on the source since.
pub(super) async fn catch_up(visit: Visit, Path((project_id, job_id)): Ids, form: Form) -> Shown {
    let recorded = Recorded::read(&visit, &project_id, &job_id).await?;
    let done = round(&visit, &recorded, Purpose::CatchUp, &form).await;
    let (ca, options) = (form.text("ca").to_owned(), options(&form));
    let typed = Typed { form: "catch-up", ca, options, ..Typed::default() };
    back(&visit, (&project_id, &job_id), "", (done, typed)).await
}

/// Asks for a round with what a form allows it.
pub(super) async fn round(
    visit: &Visit,
    recorded: &Recorded,
    purpose: Purpose,
    form: &Form,
) -> Result<(), Refusal> {
    let job_id = recorded.record.job_id.as_str();
    // Whoever may not do it is not asked to confirm it.
    jobs::job(&visit.service, &visit.caller, job_id, Action::Administer).await?;
    if purpose == Purpose::CutOver && !form.has("stopped") {
        return Err(Refusal::bad_told(
            "all writers of the source have to be stopped before a cut-over; check the box that says so",
            "切换之前必须停止对源集群的所有写入；请勾选相应的确认框",
        ));
    }
    let allowed = options(form);
    let request = RoundRequest {
        accept_dropped: allowed.accept_dropped,
        recopy: allowed.recopy,
        overwrite_target: allowed.overwrite_target,
        trust_unchanged: allowed.trust_unchanged,
        source: source(recorded, form).filter(|_| needs_credential(recorded)),
    };
    let ((state, signed), path, body) = (of(visit), Path(job_id.to_owned()), OptionalBody(request));
    let done = match purpose {
        Purpose::CatchUp => rounds::catch_up(state, signed, path, body).await,
        Purpose::CutOver => rounds::cut_over(state, signed, path, body).await,
    };
    done.map(drop)
}

/// The source of another organization, with the credential that was erased at the end.
fn source(recorded: &Recorded, form: &Form) -> Option<Source> {
    match &recorded.record.source {
        MigrationSource::Cluster { .. } => None,
        MigrationSource::Elsewhere { .. } => Some(Source {
            cluster_id: None,
            endpoint: Some(recorded.record.source_address.clone()),
            token: form.some("token"),
            ca_certificate: form.some("ca"),
        }),
    }
}

/// Limits the rate of a migration, or lifts the limit.
pub(super) async fn limit(visit: Visit, Path((project_id, job_id)): Ids, form: Form) -> Shown {
    Recorded::read(&visit, &project_id, &job_id).await?;
    let rate = form.text("rate").trim().to_owned();
    let max_rate = if form.has("lift") { "none".to_owned() } else { rate.clone() };
    let (state, signed) = of(&visit);
    let done = jobs::set_rate(state, signed, Path(job_id.clone()), Body(RateRequest { max_rate })).await;
    let typed = Typed { form: "limit", rate: Some(rate), ..Typed::default() };
    back(&visit, (&project_id, &job_id), "", (done.map(drop), typed)).await
}

/// Loads what a migration copied: some collections, or all that the source had loaded.
pub(super) async fn load(visit: Visit, Path((project_id, job_id)): Ids, form: Form) -> Shown {
    Recorded::read(&visit, &project_id, &job_id).await?;
    let chosen: Vec<_> = form.all("collection").map(str::to_owned).collect();
    let collections = (!chosen.is_empty()).then_some(chosen);
    let (state, signed) = of(&visit);
    let body = OptionalBody(LoadRequest { collections });
    let done = tasks::load(state, signed, Path(job_id.clone()), body).await.map(drop);
    back(&visit, (&project_id, &job_id), "", (done, Typed::default())).await
}

/// Compares source and target once more.
pub(super) async fn verify(visit: Visit, Path((project_id, job_id)): Ids, form: Form) -> Shown {
    let recorded = Recorded::read(&visit, &project_id, &job_id).await?;
    let level = match form.text("level") {
        "count" => VerifyLevel::Count,
        "full" => VerifyLevel::Full,
        _ => VerifyLevel::Sample,
    };
    let (state, signed) = of(&visit);
    let body = Body(VerifyRequest { level, source: source(&recorded, &form) });
    let done = tasks::verify(state, signed, Path(job_id.clone()), body).await.map(drop);
    let (level, ca) = (form.text("level").to_owned(), form.text("ca").to_owned());
    let typed = Typed { form: "verify", level, ca, ..Typed::default() };
    back(&visit, (&project_id, &job_id), "verification", (done, typed)).await
}
