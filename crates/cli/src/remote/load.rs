//! `vecferry load --server`

use serde_json::json;
use vecferry_migrate::{Code, Exit, Problem};

use super::answers::Task;
use super::client::{Client, Failure};
use super::{find, task};
use crate::args::LoadArgs;
use crate::commands::load::show;
use crate::output::Output;
use crate::signals::Signals;
use crate::text;

/// Loads what a job copied, as it was loaded on the source, and waits for it.
pub(crate) async fn run(output: &Output, signals: &mut Signals, args: &LoadArgs) -> Exit {
    let work = Box::pin(loaded(output, args));
    match signals.unless_signaled(work).await {
        Some(Ok(collections)) => {
            show(output, collections);
            Exit::Done
        }
        Some(Err(problems)) => output.refuse(&problems),
        None => {
            output.note(text::service_goes_on_loading(output.lang));
            Exit::Canceled
        }
    }
}

async fn loaded(output: &Output, args: &LoadArgs) -> Result<Vec<String>, Vec<Problem>> {
    let Some(job) = &args.job else {
        return Err(vec![Problem::new(Code::Arguments).told("detail", text::load_needs_job())]);
    };
    let client = Client::open(output, &args.server)?;
    let job_id = find::job(&client, job).await.map_err(Failure::problems)?;
    match task::done(output, &client, &job_id, ("load", &json!({}))).await? {
        Some(task) if task.is_successful() => Ok(collections(&task)),
        Some(task) => Err(task.problems.iter().map(|problem| client.problem(problem)).collect()),
        None => Ok(Vec::new()),
    }
}

fn collections(task: &Task) -> Vec<String> {
    let named = task.result.as_ref().and_then(|result| result.get("collections")?.as_array());
    named.into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect()
}
