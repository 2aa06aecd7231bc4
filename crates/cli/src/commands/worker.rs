//! `vecferry worker`: copies splits of a job that another process works on.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use vecferry_migrate::{Code, Exit, Limits, Problem, Resources, Worker, words_of};

use super::resume::endpoints;
use crate::args::WorkerArgs;
use crate::output::Output;
use crate::progress::Progress;
use crate::signals::Signals;
use crate::{state, text};

/// Copies until no attempt of the job is under way any more.
pub(crate) async fn run(output: &Output, signals: &mut Signals, args: &WorkerArgs) -> Exit {
    let progress = Progress::start(output);
    let cancel = CancellationToken::new();
    let work = Box::pin(work(args, Arc::new(progress.listener()), cancel.clone()));
    let worked = signals.cancelable(&cancel, || progress.note(text::ending(output.lang)), work).await;
    progress.end();
    match worked {
        Some(Ok(())) if cancel.is_cancelled() => Exit::Canceled,
        Some(Ok(())) => Exit::Done,
        Some(Err(problems)) => output.refuse(&problems),
        None => Exit::Canceled,
    }
}

async fn work(
    args: &WorkerArgs,
    observer: Arc<dyn vecferry_migrate::event::Observer>,
    cancel: CancellationToken,
) -> Result<(), Vec<Problem>> {
    let one = |problem| vec![problem];
    let store = state::store(&args.state).await.map_err(one)?;
    let job_id = state::job(&*store, &args.job).await.map_err(one)?;
    let sides = endpoints(&*store, &job_id, &args.source, &args.target).await?;
    let resources = Resources::new(Limits::default());
    let worker = Worker::open(store, &job_id, sides, &resources, observer, cancel).await?;
    worker.work().await.map_err(|error| {
        let problem = Problem::new(Code::CopyFailed).with("collection", "*").with("job", &job_id);
        vec![problem.told("detail", words_of(&error))]
    })
}
