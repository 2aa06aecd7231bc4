//! `vecferry rate`

use serde::Serialize;
use vecferry_migrate::{Exit, MaxRate, Problem, RateSet, set_max_rate};
use vecferry_report::labels;

use crate::args::RateArgs;
use crate::output::Output;
use crate::state;

/// The answer for machines.
#[derive(Serialize)]
struct Set<'a> {
    event: &'static str,
    job_id: &'a str,
    max_rate: Option<MaxRate>,
    live: bool,
}

/// Limits the data rate of a job.
pub(crate) async fn run(output: &Output, args: &RateArgs) -> Exit {
    match set(args).await {
        Ok((max_rate, set)) => show(output, set.job_id.as_str(), max_rate, set.live),
        Err(problem) => output.refuse(&[problem]),
    }
}

/// Shows the limit that a job has now.
pub(crate) fn show(output: &Output, job_id: &str, max_rate: Option<MaxRate>, live: bool) -> Exit {
    if output.json {
        output.json_line(&Set { event: "rate_set", job_id, max_rate, live });
        return Exit::Done;
    }
    let rate = max_rate.map(|rate| rate.to_string());
    output.result(&labels::rate_set(output.lang, job_id, rate.as_deref(), live));
    Exit::Done
}

/// What is wrong with the rate is said before the job is looked for.
async fn set(args: &RateArgs) -> Result<(Option<MaxRate>, RateSet), Problem> {
    let max_rate = MaxRate::parse(&args.rate)?;
    let store = state::store(&args.state).await?;
    let job_id = state::job(&*store, &args.job).await?;
    let set = set_max_rate(&*store, &job_id, max_rate).await?;
    Ok((max_rate, set))
}
