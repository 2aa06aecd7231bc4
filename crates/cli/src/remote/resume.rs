//! `vecferry resume --server`

use serde_json::json;
use vecferry_migrate::{Exit, JobState, Problem};

use super::answers::Details;
use super::client::{Client, Failure};
use super::find;
use super::follow::{begin_and_follow, details, finish};
use super::request::rate_text;
use crate::args::ResumeArgs;
use crate::commands::migrate::max_rate;
use crate::connection::both;
use crate::output::Output;
use crate::signals::Signals;
use crate::text;

/// Goes on with a job.
pub(crate) async fn run(output: &Output, signals: &mut Signals, args: &ResumeArgs) -> Exit {
    let (max_rate, client) = match both(max_rate(&args.pace), Client::open(output, &args.job.server)) {
        Ok(opened) => opened,
        Err(problems) => return output.refuse(&problems),
    };
    let found = match signals.unless_signaled(found(&client, &args.job.job)).await {
        Some(Ok(found)) => found,
        Some(Err(failure)) => return output.refuse(&failure.problems()),
        None => {
            output.note(text::stopped_before_start(output.lang));
            return Exit::Canceled;
        }
    };
    if found.job.state() == Some(JobState::Successful) {
        output.note(text::nothing_to_resume(output.lang));
        return finish(output, &client, &found).await;
    }
    if found.job.state() == Some(JobState::Ready) {
        output.note(text::at_rest(output.lang));
        return finish(output, &client, &found).await;
    }
    let job_id = found.job.job_id;
    let max_rate = max_rate.map(rate_text);
    let resume = resume(&client, &job_id);
    begin_and_follow(output, signals, &client, resume, max_rate.as_deref()).await
}

async fn found(client: &Client, job: &str) -> Result<Details, Failure> {
    details(client, &find::job(client, job).await?).await
}

async fn resume(client: &Client, job_id: &str) -> Result<String, Vec<Problem>> {
    let resumed = client.post::<serde_json::Value>(&format!("/v2/jobs/{job_id}/resume"), &json!({})).await;
    resumed.map(|_| job_id.to_owned()).map_err(Failure::problems)
}
