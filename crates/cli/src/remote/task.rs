//! What a service does with a finished job besides, and how long that takes.

use std::time::Duration;

use serde_json::Value;
use vecferry_migrate::Problem;

use super::answers::{Task, TaskMade};
use super::client::{AWAY_MAX, Client, Failure, patiently};
use crate::output::Output;

/// How often one looks whether a task ended.
const INTERVAL: Duration = Duration::from_secs(1);

/// Begins a task of a job, and gives it as it is at its end; none where so many others were begun since that it is not
/// listed any more.
pub(super) async fn done(
    output: &Output,
    client: &Client,
    job_id: &str,
    (name, body): (&str, &Value),
) -> Result<Option<Task>, Vec<Problem>> {
    let made: Result<TaskMade, _> = client.post(&format!("/v2/jobs/{job_id}/{name}"), body).await;
    let TaskMade { task_id } = made.map_err(Failure::problems)?;
    loop {
        let look = async || client.get::<Vec<Task>>(&format!("/v2/jobs/{job_id}/tasks")).await;
        let tasks = patiently(output.lang, AWAY_MAX, |line| output.note(line), look).await?;
        match tasks.into_iter().find(|task| task.task_id == task_id) {
            Some(task) if task.is_over() => return Ok(Some(task)),
            Some(_) => {}
            None => return Ok(None),
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
