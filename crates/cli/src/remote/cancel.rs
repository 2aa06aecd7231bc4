//! `vecferry cancel --server`

use serde_json::{Value, json};
use vecferry_migrate::{Code, Exit, JobState, Problem};
use vecferry_words::Told;

use super::answers::Details;
use super::client::{AWAY_MAX, Client, Failure, patiently};
use super::find;
use super::follow::details;
use crate::args::CancelArgs;
use crate::commands::cancel::show_end;
use crate::output::Output;
use crate::signals::Signals;
use crate::text;

/// How often one looks whether the job ended.
const INTERVAL: std::time::Duration = std::time::Duration::from_millis(500);

/// Ends a job, and waits for its end; with `--clean` also for the removal of what it made.
pub(crate) async fn run(output: &Output, signals: &mut Signals, args: &CancelArgs) -> Exit {
    let client = match Client::open(output, &args.job.server) {
        Ok(client) => client,
        Err(problems) => return output.refuse(&problems),
    };
    let work = Box::pin(end(output, &client, args));
    let (details, removed) = match signals.unless_signaled(work).await {
        Some(Ok(ended)) => ended,
        Some(Err(problems)) => return output.refuse(&problems),
        None => return Exit::Canceled,
    };
    let (job_id, state) = (details.job.job_id.as_str(), details.job.status.as_str());
    show_end(output, job_id, state, &removed);
    if !args.clean && details.job.state() != Some(JobState::Successful) {
        output.note(&output.commands(&text::service_resume_hint(output.lang, job_id)));
    }
    Exit::Done
}

/// The job at its end, and what was removed of it.
async fn end(
    output: &Output,
    client: &Client,
    args: &CancelArgs,
) -> Result<(Details, Vec<Told>), Vec<Problem>> {
    let job_id = find::job(client, &args.job.job).await.map_err(Failure::problems)?;
    let found = details(client, &job_id).await.map_err(Failure::problems)?;
    // What is complete or canceled stays so, unless it is to be removed.
    let is_over = matches!(found.job.state(), Some(JobState::Successful | JobState::Canceled));
    if is_over && !args.clean {
        return Ok((found, Vec::new()));
    }
    let body = if args.clean { json!({ "clean": true, "confirm": job_id.as_str() }) } else { json!({}) };
    client.order(&format!("/v2/jobs/{job_id}/cancel"), &body).await.map_err(Failure::problems)?;
    loop {
        let look = async || details(client, &job_id).await;
        let found = patiently(output.lang, AWAY_MAX, |line| output.note(line), look).await?;
        if found.job.is_over() {
            let removed = if args.clean { removed(client, &found)? } else { Vec::new() };
            return Ok((found, removed));
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// What was removed, which the service tells as a problem of the job; or why not everything was.
fn removed(client: &Client, details: &Details) -> Result<Vec<Told>, Vec<Problem>> {
    let (cleaned, failed): (Vec<&Value>, Vec<&Value>) = details.problems.iter().partition(|document| {
        document.get("code").and_then(Value::as_str) == Some(&Code::Cleaned.to_string())
    });
    if !failed.is_empty() {
        return Err(failed.into_iter().map(|document| client.problem(document)).collect());
    }
    let names = |problem: Problem| {
        let value = |name: &str| problem.values.iter().find(|(known, _)| known == name);
        let english = value("removed").map(|(_, text)| text.clone()).unwrap_or_default();
        let chinese = value("removed_zh").map_or_else(|| english.clone(), |(_, text)| text.clone());
        Told::both(english, chinese)
    };
    Ok(cleaned.into_iter().map(|document| names(client.problem(document))).collect())
}
