//! `vecferry load --server`

use std::time::Duration;

use serde_json::json;
use vecferry_migrate::{Code, Exit, Problem};

use super::answers::{Task, TaskMade};
use super::client::{AWAY_MAX, Client, Failure, patiently};
use super::find;
use crate::args::LoadArgs;
use crate::commands::load::show;
use crate::output::Output;
use crate::signals::Signals;
use crate::text;

/// How often one looks whether the collections are loaded.
const INTERVAL: Duration = Duration::from_secs(1);

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
    let client = Client::open(output.lang, &args.server)?;
    let job_id = find::job(&client, job).await.map_err(Failure::problems)?;
    let made: Result<TaskMade, _> = client.post(&format!("/v2/jobs/{job_id}/load"), &json!({})).await;
    let TaskMade { task_id } = made.map_err(Failure::problems)?;
    loop {
        let look = async || client.get::<Vec<Task>>(&format!("/v2/jobs/{job_id}/tasks")).await;
        let tasks = patiently(output.lang, AWAY_MAX, |line| output.note(line), look).await?;
        let task = tasks.into_iter().find(|task| task.task_id == task_id);
        match task {
            Some(task) if task.status == "SUCCESSFUL" => return Ok(collections(&task)),
            Some(task) if task.status == "FAILED" => {
                return Err(task.problems.iter().map(|problem| client.problem(problem)).collect());
            }
            // It is under way.
            Some(_) => {}
            // So many others were begun since that it is not listed any more.
            None => return Ok(Vec::new()),
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

fn collections(task: &Task) -> Vec<String> {
    let named = task.result.as_ref().and_then(|result| result.get("collections")?.as_array());
    named.into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect()
}
