//! `vecferry jobs`, `vecferry status`, `vecferry report`: what is recorded of jobs.

use std::path::Path;
use std::sync::Arc;

use vecferry_migrate::event::Bottleneck;
use vecferry_migrate::{
    Code, CollectionStatus, Exit, JobStatus, Problem, Report, Status, store_problem, words_of,
};
use vecferry_report::{figures, harmless, labels, page};
use vecferry_store::{JobPage, JobRecord, JobState, JobSummary, Store};

use crate::args::{JobName, JobsArgs, ReportArgs, StateArgs};
use crate::output::Output;
use crate::table::{Align, Table};
use crate::{present, state, text};

/// What one of these commands needs: an open store, or a refusal.
async fn opened(args: &StateArgs) -> Result<Arc<dyn Store>, Vec<Problem>> {
    state::store(args).await.map_err(|problem| vec![problem])
}

fn failed(store: &dyn Store, job: &str) -> impl Fn(vecferry_store::Error) -> Vec<Problem> {
    move |error| vec![store_problem(store, job, &error)]
}

/// Ends a command that shows something.
pub(crate) fn shown(output: &Output, result: Result<(), Vec<Problem>>) -> Exit {
    match result {
        Ok(()) => Exit::Done,
        Err(problems) => output.refuse(&problems),
    }
}

/// Lists all jobs.
pub(crate) async fn list(output: &Output, args: &JobsArgs) -> Exit {
    let result = async {
        let store = opened(&args.state).await?;
        let jobs = all_jobs(&*store).await?;
        if output.json {
            output.json_line(&jobs.iter().map(JobStatus::new).collect::<Vec<_>>());
        } else if jobs.is_empty() {
            output.result(text::no_jobs(output.lang));
        } else {
            job_table(output, &jobs)
                .lines(output.result_columns())
                .iter()
                .for_each(|line| output.result(line));
            if jobs.iter().any(|job| job.state == JobState::Ready) {
                output.note(&output.commands(&text::ready_hint(output.lang, "JOB")));
            }
        }
        Ok(())
    };
    shown(output, result.await)
}

/// All jobs, newest first.
async fn all_jobs(store: &dyn Store) -> Result<Vec<JobSummary>, Vec<Problem>> {
    let (failed, mut jobs) = (failed(store, ""), Vec::new());
    let mut page = JobPage::newest();
    loop {
        let mut found = store.jobs(page.clone()).await.map_err(&failed)?;
        let Some(last) = found.last() else { return Ok(jobs) };
        page.before = Some(last.job_id.clone());
        jobs.append(&mut found);
    }
}

fn job_table(output: &Output, jobs: &[JobSummary]) -> Table {
    let lang = output.lang;
    let mut table = Table::new([
        (labels::job_number(lang), Align::Left),
        (labels::job_state(lang), Align::Left),
        (labels::collections(lang), Align::Right),
        (labels::rows(lang), Align::Right),
        (labels::started(lang), Align::Left),
        (labels::from(lang), Align::Name),
        (labels::to(lang), Align::Name),
    ]);
    for job in jobs {
        table.row(vec![
            job.job_id.to_string(),
            labels::state_of_kind(lang, job.kind, &labels::recorded_state(lang, job.state, job.live)),
            format!("{}/{}", job.collections_done, job.collections_total),
            labels::rows_of_short(lang, job.rows_done, job.rows_total),
            job.created_at.clone(),
            harmless(&job.source),
            harmless(&job.target),
        ]);
    }
    table
}

/// Shows how far a job is.
pub(crate) async fn status(output: &Output, args: &JobName) -> Exit {
    let result = async {
        let store = opened(&args.state).await?;
        let job_id = state::job(&*store, &args.job).await.map_err(|problem| vec![problem])?;
        let (status, job) = Status::of(&*store, &job_id).await.map_err(|problem| vec![problem])?;
        if output.json {
            output.json_line(&status);
            return Ok(());
        }
        let columns = output.result_columns();
        let of_job = job_table(output, std::slice::from_ref(&job));
        of_job.lines(columns).iter().for_each(|line| output.result(line));
        output.result("");
        let table = status_table(output, &status.collections, job.live);
        table.lines(columns).iter().for_each(|line| output.result(line));
        if job.attempt > 0 {
            let worked = figures::seconds(job.worked.as_secs_f64());
            output.result(&labels::worked(output.lang, &worked, job.attempt.unsigned_abs()));
        }
        pace_lines(output, &job).iter().for_each(|line| output.result(line));
        status.warnings.iter().for_each(|warning| output.result(&warning.what(output.lang)));
        if !job.live
            && let Some(hint) = next_steps(output, &*store, &job).await?
        {
            output.note(&output.commands(&hint));
        }
        Ok(())
    };
    shown(output, result.await)
}

/// What a person may do with a job that no process runs.
async fn next_steps(
    output: &Output,
    store: &dyn Store,
    job: &JobSummary,
) -> Result<Option<String>, Vec<Problem>> {
    let (lang, job_id) = (output.lang, job.job_id.as_str());
    Ok(match job.state {
        JobState::Successful => None,
        JobState::Ready => Some(text::ready_hint(lang, job_id)),
        JobState::Pending
        | JobState::InProgress
        | JobState::Canceling
        | JobState::Failed
        | JobState::Canceled => {
            let newest = state::newest_round(store, &job.job_id).await.map_err(|problem| vec![problem])?;
            Some(match newest {
                Some(round) => text::round_hint(lang, job_id, round.kind, round.state),
                None => text::resume_hint(lang, job_id),
            })
        }
    })
}

/// How fast a job may go, and what it waits for.
fn pace_lines(output: &Output, job: &JobSummary) -> Vec<String> {
    let lang = output.lang;
    let rate = job.max_rate.as_deref().map(|rate| labels::max_rate(lang, Some(&harmless(rate))));
    let bottleneck = job.bottleneck.as_deref().filter(|_| job.live).and_then(Bottleneck::of_name);
    let bound_by = bottleneck.map(|bottleneck| labels::bound_by(lang, bottleneck));
    rate.into_iter().chain(bound_by).collect()
}

/// Collections, and how far each is.
pub(crate) fn status_table(output: &Output, collections: &[CollectionStatus], live: bool) -> Table {
    let lang = output.lang;
    let mut table = Table::new([
        (labels::collection(lang), Align::Name),
        (labels::rows(lang), Align::Right),
        (labels::splits(lang), Align::Right),
        (labels::job_state(lang), Align::Left),
    ]);
    for collection in collections {
        let state = match (collection.done, collection.copied, collection.splits_total) {
            (true, ..) => labels::collection_done(lang),
            (false, true, _) => labels::collection_copied(lang),
            (false, false, 0) => labels::collection_waiting(lang),
            (false, false, _) => labels::collection_copying(lang),
        };
        // Without a process, the last step says less than what is left to do.
        let state = collection.phase.filter(|_| live).map_or(state, |phase| labels::phase(lang, phase));
        table.row(vec![
            harmless(&collection.collection),
            labels::rows_of_short(lang, collection.rows_done, collection.rows_total),
            format!("{}/{}", collection.splits_done, collection.splits_total),
            state.to_owned(),
        ]);
    }
    table
}

/// A job and its last report.
pub(super) async fn recorded_report(
    store: &dyn Store,
    job: &str,
) -> Result<(JobRecord, Report), Vec<Problem>> {
    let job_id = state::job(store, job).await.map_err(|problem| vec![problem])?;
    let record = store.job(&job_id).await.map_err(failed(store, job))?;
    let document = record.report.as_ref().filter(|document| !document.is_empty()).ok_or_else(|| {
        let problem = Problem::new(Code::NoReport).with("job", &record.job_id);
        vec![problem]
    })?;
    let report = serde_json::from_str(document).map_err(|error| {
        let problem = Problem::new(Code::LedgerCorrupt).with("dir", store.place());
        vec![problem.told("detail", words_of(&error))]
    })?;
    Ok((record, report))
}

/// Shows the report of a job.
pub(crate) async fn report(output: &Output, args: &ReportArgs) -> Exit {
    let result = async {
        let store = opened(&args.job.state).await?;
        let (_, report) = recorded_report(&*store, &args.job.job).await?;
        if let Some(file) = &args.html {
            write(file, &page::html(&report, output.lang, output.record()))
                .map_err(|problem| vec![problem])?;
        }
        if output.json {
            output.json_line(&report);
        } else if args.html.is_none() {
            present::migration(output, &report, None);
        }
        Ok(())
    };
    shown(output, result.await)
}

/// Writes a page.
pub(crate) fn write(file: &Path, page: &str) -> Result<(), Problem> {
    std::fs::write(file, page).map_err(|error| {
        Problem::new(Code::FileNotWritten).with("file", file.display()).told("detail", words_of(&error))
    })
}
