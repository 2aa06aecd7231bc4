//! `vecferry catch-up --server` and `vecferry cutover --server`

use serde_json::json;
use vecferry_migrate::{Exit, JobState, MaxRate, Problem, Purpose, RoundOptions};

use super::client::{Client, Failure};
use super::follow::{begin_and_follow, details, finish};
use super::{find, request::rate_text};
use crate::args::{CatchUpArgs, CutoverArgs, JobName, RoundArgs};
use crate::commands::migrate::{ask, rate};
use crate::output::Output;
use crate::signals::Signals;
use crate::text;

/// A round that a service is to carry out.
struct Round<'a> {
    /// Of which job, in which service.
    job: &'a JobName,
    /// What it is for.
    purpose: Purpose,
    /// What it may do.
    options: RoundOptions,
    /// Another limit of the data rate, if one is wanted.
    max_rate: Option<Option<MaxRate>>,
    /// What is asked before; none where nobody is to be asked.
    question: Option<&'a str>,
}

/// A catch-up by a service.
pub(crate) async fn catch_up(output: &Output, signals: &mut Signals, args: &CatchUpArgs) -> Exit {
    of_args(output, signals, &args.round, Purpose::CatchUp, (args.round.accepted.into(), None)).await
}

/// A cut-over by a service.
pub(crate) async fn cut_over(output: &Output, signals: &mut Signals, args: &CutoverArgs) -> Exit {
    let question = (!args.yes).then(|| text::cut_over_question(output.lang));
    of_args(output, signals, &args.round, Purpose::CutOver, (args.options(), question)).await
}

async fn of_args(
    output: &Output,
    signals: &mut Signals,
    args: &RoundArgs,
    purpose: Purpose,
    (options, question): (RoundOptions, Option<&str>),
) -> Exit {
    match rate(args.max_rate.as_deref()) {
        Ok(max_rate) => {
            let round = Round { job: &args.job, purpose, options, max_rate, question };
            run(output, signals, &round).await
        }
        Err(problems) => output.refuse(&problems),
    }
}

/// Has a round begun, and follows it to its end.
async fn run(output: &Output, signals: &mut Signals, round: &Round<'_>) -> Exit {
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
    let RoundOptions { accept_dropped, recopy, overwrite_target, trust_unchanged } = round.options;
    let body = json!({
        "acceptDropped": accept_dropped,
        "recopy": recopy,
        "overwriteTarget": overwrite_target,
        "trustUnchanged": trust_unchanged,
    });
    let begun = client.order(&format!("/v2/jobs/{job_id}/{way}"), &body).await;
    begun.map(|()| job_id.to_owned()).map_err(Failure::problems)
}
