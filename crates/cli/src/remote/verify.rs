//! `vecferry verify --server`

use serde::Deserialize;
use serde_json::json;
use vecferry_migrate::{Code, Exit, Problem, Report, VerifyLevel};

use super::client::{Client, Failure};
use super::{find, task};
use crate::args::VerifyArgs;
use crate::commands::verify::show;
use crate::output::Output;
use crate::signals::Signals;
use crate::text;

/// Has the service compare once more what a job copied, and waits for it.
pub(crate) async fn run(output: &Output, signals: &mut Signals, args: &VerifyArgs) -> Exit {
    match signals.unless_signaled(Box::pin(compared(output, args))).await {
        Some(Ok(report)) => {
            show(output, &report);
            report.exit()
        }
        Some(Err(problems)) => output.refuse(&problems),
        None => {
            output.note(text::service_goes_on_comparing(output.lang));
            Exit::Canceled
        }
    }
}

async fn compared(output: &Output, args: &VerifyArgs) -> Result<Report, Vec<Problem>> {
    let Some(job) = &args.job else {
        return Err(vec![Problem::new(Code::Arguments).told("detail", text::verify_needs_job())]);
    };
    let client = Client::open(output, &args.server)?;
    let job_id = find::job(&client, job).await.map_err(Failure::problems)?;
    let body = json!({ "level": VerifyLevel::from(args.comparison.level) });
    let unlisted = || vec![Problem::new(Code::NoReport).with("job", &job_id)];
    let task = task::done(output, &client, &job_id, ("verify", &body)).await?.ok_or_else(unlisted)?;
    // A comparison that found differences has failed, and has a report of them.
    match task.result.as_ref().map(Report::deserialize) {
        Some(Ok(report)) => Ok(report),
        Some(Err(_)) | None => Err(task.problems.iter().map(|problem| client.problem(problem)).collect()),
    }
}
