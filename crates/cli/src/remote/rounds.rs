//! `vecferry catch-up --server` and `vecferry cutover --server`

use serde_json::json;
use vecferry_migrate::{Exit, JobState, MaxRate, Problem, Purpose, RoundOptions};

use super::client::{Client, Failure};
use super::follow::{begin_and_follow, details, finish};
use super::{find, request::rate_text};
use crate::args::JobName;
use crate::commands::migrate::ask;
use crate::output::Output;
use crate::signals::Signals;
use crate::text;

/// A round that a service is to carry out.
pub(crate) struct Round<'a> {
    /// Of which job, in which service.
    pub(crate) job: &'a JobName,
    /// What it is for.
    pub(crate) purpose: Purpose,
    /// What it may do.
    pub(crate) options: RoundOptions,
    /// Another limit of the data rate, if one is wanted.
    pub(crate) max_rate: Option<Option<MaxRate>>,
    /// What is asked before; none where nobody is to be asked.
    pub(crate) question: Option<&'a str>,
}

/// Has a round begun, and follows it to its end.
pub(crate) async fn run(output: &Output, signals: &mut Signals, round: &Round<'_>) -> Exit {
    let client = match Client::open(output, &round.job.server) {
        Ok(client) => client,
        Err(problems) => return output.refuse(&problems),
    };
    let found = async { details(&client, &find::job(&client, &round.job.job).await?).await };
    let found = match signals.unless_signaled(Box::pin(found)).await {
        Some(Ok(found)) => found,
        Some(Err(failure)) => return output.refuse(&failure.problems()),
        None => {
            output.note(text::stopped_before_start(output.lang));
            return Exit::Canceled;
        }
    };
    if found.job.state() == Some(JobState::Successful) && found.job.is_warm() {
        output.note(text::nothing_to_resume(output.lang));
        return finish(output, &client, &found).await;
    }
    if let Some(question) = round.question
        && let Err(exit) = ask(output, signals, question).await
    {
        return exit;
    }
    let max_rate = round.max_rate.map(rate_text);
    let begin = begin(&client, &found.job.job_id, round);
    begin_and_follow(output, signals, &client, begin, max_rate.as_deref()).await
}

async fn begin(client: &Client, job_id: &str, round: &Round<'_>) -> Result<String, Vec<Problem>> {
    let way = match round.purpose {
        Purpose::CatchUp => "catch-up",
        Purpose::CutOver => "cutover",
    };
    let RoundOptions { accept_dropped, recopy, overwrite_target } = round.options;
    let body = json!({
        "acceptDropped": accept_dropped,
        "recopy": recopy,
        "overwriteTarget": overwrite_target,
    });
    let begun = client.order(&format!("/v2/jobs/{job_id}/{way}"), &body).await;
    begun.map(|()| job_id.to_owned()).map_err(Failure::problems)
}
