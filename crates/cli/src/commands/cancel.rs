//! `vecferry cancel`

use serde::Serialize;
use vecferry_migrate::{Exit, JobState, Lang, Problem, cancel, store_problem};
use vecferry_report::{harmless, labels};
use vecferry_store::Store;
use vecferry_words::Told;

use super::resume::endpoints;
use crate::args::CancelArgs;
use crate::output::Output;
use crate::signals::Signals;
use crate::{present, state, text};

/// The answer for machines.
#[derive(Serialize)]
struct Ended<'a> {
    event: &'static str,
    job_id: &'a str,
    state: &'a str,
    removed: Vec<&'a str>,
}

/// Ends a job.
pub(crate) async fn run(output: &Output, signals: &mut Signals, args: &CancelArgs) -> Exit {
    let store = match state::store(&args.job.state).await {
        Ok(store) => store,
        Err(problem) => return output.refuse(&[problem]),
    };
    let work = Box::pin(end(&*store, args));
    let canceled = match signals.unless_signaled(work).await {
        Some(Ok(canceled)) => canceled,
        Some(Err(problems)) => return output.refuse(&problems),
        None => return Exit::Canceled,
    };
    show_end(output, canceled.job_id.as_str(), canceled.state.name(), &canceled.removed);
    if output.json {
        return Exit::Done;
    }
    if canceled.state == JobState::Successful {
        output.note(&output.commands(&text::clean_hint(output.lang, canceled.job_id.as_str())));
    } else if !args.clean {
        output.note(&output.commands(&text::resume_hint(output.lang, canceled.job_id.as_str())));
    }
    Exit::Done
}

/// Shows the state that a job has now, and what was removed of it.
pub(crate) fn show_end(output: &Output, job_id: &str, state: &str, removed: &[Told]) {
    if output.json {
        let removed = removed.iter().map(|told| told.text(Lang::En)).collect();
        output.json_line(&Ended { event: "canceled", job_id, state, removed });
        return;
    }
    output.result(&harmless(&labels::job_is(output.lang, job_id, state)));
    if !removed.is_empty() {
        let removed = removed.iter().map(|told| harmless(told.text(output.lang))).collect();
        output.result(&format!("{}{}", labels::removed(output.lang), labels::colon(output.lang).trim_end()));
        present::cut(output.lang, removed).iter().for_each(|line| output.result(line));
    }
}

/// The servers are only needed where a process died, or for cleaning up.
async fn end(store: &dyn Store, args: &CancelArgs) -> Result<vecferry_migrate::Canceled, Vec<Problem>> {
    let job_id = state::job(store, &args.job.job).await.map_err(|problem| vec![problem])?;
    let failed = |error: vecferry_store::Error| vec![store_problem(store, job_id.as_str(), &error)];
    let record = store.job(&job_id).await.map_err(failed)?;
    let died = record.ended_at.is_none() && !store.is_live(&job_id).await.map_err(failed)?;
    let (source, target) = if died || args.clean {
        let (source, target) = endpoints(store, &job_id, &args.source, &args.target).await?;
        (Some(source), Some(target))
    } else {
        (None, None)
    };
    cancel(store, &job_id, source, target, args.clean).await
}
