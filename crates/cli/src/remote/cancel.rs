//! `vecferry cancel --server`

use vecferry_migrate::{Exit, JobState, Problem};

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

/// Ends a job, and waits for its end.
pub(crate) async fn run(output: &Output, signals: &mut Signals, args: &CancelArgs) -> Exit {
    let client = match Client::open(output.lang, &args.job.server) {
        Ok(client) => client,
        Err(problems) => return output.refuse(&problems),
    };
    let work = Box::pin(end(output, &client, &args.job.job));
    let details = match signals.unless_signaled(work).await {
        Some(Ok(details)) => details,
        Some(Err(problems)) => return output.refuse(&problems),
        None => return Exit::Canceled,
    };
    let (job_id, state) = (details.job.job_id.as_str(), details.job.status.as_str());
    show_end(output, job_id, state, &[]);
    if details.job.state() != Some(JobState::Successful) {
        output.note(&output.commands(&text::service_resume_hint(output.lang, job_id)));
    }
    Exit::Done
}

async fn end(output: &Output, client: &Client, job: &str) -> Result<Details, Vec<Problem>> {
    let job_id = find::job(client, job).await.map_err(Failure::problems)?;
    let found = details(client, &job_id).await.map_err(Failure::problems)?;
    // What is complete or canceled stays so.
    if matches!(found.job.state(), Some(JobState::Successful | JobState::Canceled)) {
        return Ok(found);
    }
    client.order(&format!("/v2/jobs/{job_id}/cancel")).await.map_err(Failure::problems)?;
    loop {
        let look = async || details(client, &job_id).await;
        let found = patiently(output.lang, AWAY_MAX, |line| output.note(line), look).await?;
        if found.job.is_over() {
            return Ok(found);
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
