//! `vecferry rate --server`

use serde_json::json;
use vecferry_migrate::{Exit, MaxRate, Problem};

use super::client::{Client, Failure};
use super::request::rate_text;
use super::{find, follow};
use crate::args::RateArgs;
use crate::commands::rate::show;
use crate::output::Output;

/// Limits the data rate of a job.
pub(crate) async fn run(output: &Output, args: &RateArgs) -> Exit {
    match set(output, args).await {
        Ok((job_id, max_rate, live)) => show(output, &job_id, max_rate, live),
        Err(problems) => output.refuse(&problems),
    }
}

/// What is wrong with the rate is said before the service is asked.
async fn set(output: &Output, args: &RateArgs) -> Result<(String, Option<MaxRate>, bool), Vec<Problem>> {
    let max_rate = MaxRate::parse(&args.rate).map_err(|problem| vec![problem])?;
    let client = Client::open(output, &args.server)?;
    let set = async {
        let job_id = find::job(&client, &args.job).await?;
        client.put(&format!("/v2/jobs/{job_id}/rate"), &json!({ "maxRate": rate_text(max_rate) })).await?;
        let details = follow::details(&client, &job_id).await?;
        let live = details.progress().is_some_and(|progress| progress.live);
        Ok((job_id, max_rate, live))
    };
    set.await.map_err(Failure::problems)
}
