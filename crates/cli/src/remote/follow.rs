//! Follows a job of a service to its end, and shows that.

use std::cell::OnceCell;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use vecferry_migrate::report::LoadExtent;
use vecferry_migrate::{Code, Exit, JobState, Problem, Report};
use vecferry_report::labels;
use vecferry_report::phrases::loadable;

use super::answers::Details;
use super::board::Board;
use super::client::{AWAY_MAX, Client, Failure, patiently};
use crate::commands::migrate::Finished;
use crate::output::Output;
use crate::present;
use crate::signals::Signals;
use crate::text::{self, Severity};

/// How often one looks at a job.
const INTERVAL: Duration = Duration::from_secs(1);
/// The same until its rate is limited: what is copied before that is copied without a limit.
const INTERVAL_OF_RATE: Duration = Duration::from_millis(250);

/// Pages of collections of a job, a thousand on each.
const PAGES_MAX: usize = 1_000;

/// A line of `--json` about a job that is not followed to its end, or has no report.
#[derive(Serialize)]
struct Ended<'a> {
    event: &'static str,
    job_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'a str>,
    problems: &'a [Problem],
}

/// Everything about a job, with all its collections, which come in pages.
pub(super) async fn details(client: &Client, job_id: &str) -> Result<Details, Failure> {
    let path = format!("/v2/jobs/{job_id}/details");
    let mut details: Details = client.get(&path).await?;
    let mut pages = 1;
    while let Some(cursor) = details.cursor.take().filter(|_| pages < PAGES_MAX) {
        details.add(client.get(&format!("{path}?cursor={cursor}")).await?);
        pages += 1;
    }
    Ok(details)
}

/// Begins a job, or goes on with one, and shows it until it ends. A first signal cancels it, a second one leaves it to the
/// service.
pub(super) async fn begin_and_follow(
    output: &Output,
    signals: &mut Signals,
    client: &Client,
    begin: impl Future<Output = Result<String, Vec<Problem>>>,
    max_rate: Option<&str>,
) -> Exit {
    let (board, cancel, begun) = (Board::new(output), CancellationToken::new(), OnceCell::new());
    let work = async {
        let job_id = begin.await?;
        let job_id = begun.get_or_init(|| job_id).as_str();
        follow(client, output, &board, job_id, (&cancel, max_rate)).await
    };
    let work = Box::pin(work);
    let followed =
        signals.cancelable(&cancel, || board.note(text::service_canceling(output.lang)), work).await;
    board.end();
    let job_id = begun.get().map(String::as_str);
    match (followed, job_id) {
        (Some(Ok(details)), _) => finish(output, client, &details).await,
        // Nothing was created.
        (Some(Err(problems)), None) => output.refuse(&problems),
        (Some(Err(problems)), Some(job_id)) => {
            problems.iter().for_each(|problem| output.problem(Severity::Error, problem));
            left(output, Some(job_id), &problems);
            Exit::Failed
        }
        (None, job_id) => {
            left(output, job_id, &[]);
            Exit::Canceled
        }
    }
}

/// Says where a job is that nobody waits for any more.
fn left(output: &Output, job_id: Option<&str>, problems: &[Problem]) {
    let line = match job_id {
        Some(job_id) => text::service_has_job(output.lang, job_id),
        None => text::service_may_have_job(output.lang).to_owned(),
    };
    output.note(&output.commands(&line));
    if output.json {
        output.json_line(&Ended { event: "left", job_id, state: None, problems });
    }
}

async fn follow(
    client: &Client,
    output: &Output,
    board: &Board,
    job_id: &str,
    (cancel, max_rate): (&CancellationToken, Option<&str>),
) -> Result<Details, Vec<Problem>> {
    let note = |line: &str| board.note(line);
    let (mut max_rate, mut is_canceled) = (max_rate, false);
    loop {
        let look = async || details(client, job_id).await;
        let details = patiently(output.lang, AWAY_MAX, note, look).await?;
        board.show(&details);
        if details.job.is_over() {
            return Ok(details);
        }
        if cancel.is_cancelled() && !is_canceled {
            let order = async || canceled(client, job_id).await;
            patiently(output.lang, AWAY_MAX, note, order).await?;
            is_canceled = true;
        }
        if let Some(rate) = max_rate.filter(|_| details.progress.is_some())
            && limited(client, job_id, rate).await?
        {
            max_rate = None;
        }
        let interval = if max_rate.is_some() { INTERVAL_OF_RATE } else { INTERVAL };
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = cancel.cancelled(), if !is_canceled => {}
        }
    }
}

/// Cancels a job. One that ended in between is as it is.
pub(super) async fn canceled(client: &Client, job_id: &str) -> Result<(), Failure> {
    match client.order(&format!("/v2/jobs/{job_id}/cancel"), &json!({})).await {
        Err(failure) if failure.is_conflict() => Ok(()),
        done => done,
    }
}

/// Limits the rate of a job that began. Tells whether that is settled; otherwise it is tried again.
async fn limited(client: &Client, job_id: &str, rate: &str) -> Result<bool, Vec<Problem>> {
    match client.put(&format!("/v2/jobs/{job_id}/rate"), &json!({ "maxRate": rate })).await {
        Ok(()) => Ok(true),
        Err(Failure::Away(_)) => Ok(false),
        Err(failure) if failure.is_conflict() => Ok(false),
        Err(failure) => Err(failure.problems()),
    }
}

/// The report of a job, if it came to one.
pub(super) async fn report(client: &Client, job_id: &str) -> Result<Option<Report>, Failure> {
    match client.get(&format!("/v2/jobs/{job_id}/report")).await {
        Ok(report) => Ok(Some(report)),
        Err(failure) if failure.is_conflict() => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Shows how a job ended, and tells how the command ends.
pub(super) async fn finish(output: &Output, client: &Client, details: &Details) -> Exit {
    let job_id = details.job.job_id.as_str();
    let ask = async || report(client, job_id).await;
    let found = patiently(output.lang, AWAY_MAX, |line| output.note(line), ask).await;
    let report = match found {
        Ok(report) => report,
        Err(problems) => {
            problems.iter().for_each(|problem| output.problem(Severity::Error, problem));
            left(output, Some(job_id), &problems);
            return Exit::Failed;
        }
    };
    let problems: Vec<_> = details.problems.iter().map(|problem| client.problem(problem)).collect();
    // The report of an earlier attempt says nothing of one that was refused.
    let is_of_this = |report: &Report| {
        Some(report.state) == details.job.state()
            && report.problems.len() == problems.len() + details.problems_left_out
            && report.problems.starts_with(&problems)
    };
    let of_this = report.filter(is_of_this);
    let exit = match of_this {
        Some(report) => {
            show(output, &report);
            report.exit()
        }
        None => without_report(output, details, &problems),
    };
    if !matches!(details.job.state(), Some(JobState::Ready | JobState::Successful)) {
        output.note(&output.commands(&text::service_resume_hint(output.lang, job_id)));
    }
    exit
}

/// Shows a report as that of a job of this machine.
fn show(output: &Output, report: &Report) {
    if output.json {
        present::problems(output, report);
        output.json_line(&Finished::new(report));
        return;
    }
    present::migration(output, report, None);
    let is_loaded_there =
        report.former_loads().iter().any(|(_, former)| former.extent != LoadExtent::Nothing);
    if is_loaded_there && !loadable(report).is_empty() {
        output.result(text::load_hint(output.lang));
        let command = format!("vecferry load --job {}", report.job_id);
        output.result(&format!("  {}", output.commands(&command)));
    }
}

/// The end of a job that never began.
fn without_report(output: &Output, details: &Details, problems: &[Problem]) -> Exit {
    let (job_id, state) = (details.job.job_id.as_str(), details.job.status.as_str());
    // A round that was refused leaves its job READY.
    let is_refused = matches!(details.job.state(), Some(JobState::Ready | JobState::Failed));
    if is_refused && !problems.is_empty() {
        return output.refuse(problems);
    }
    problems.iter().for_each(|problem| output.problem(Severity::Error, problem));
    if output.json {
        output.json_line(&Ended { event: "ended", job_id: Some(job_id), state: Some(state), problems });
    } else {
        output.result(&labels::job_is(output.lang, job_id, state));
    }
    match details.job.state() {
        Some(JobState::Ready | JobState::Successful) => Exit::Done,
        Some(JobState::Canceled) => Exit::Canceled,
        Some(JobState::Pending | JobState::InProgress | JobState::Canceling | JobState::Failed) | None => {
            Exit::Failed
        }
    }
}

/// Why there is no report to show.
pub(super) fn no_report(job_id: &str) -> Problem {
    Problem::new(Code::NoReport).with("job", job_id)
}
