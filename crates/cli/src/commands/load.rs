//! `vecferry load`

use std::sync::Arc;

use serde::Serialize;
use tokio_util::sync::CancellationToken;
use vecferry_migrate::{Exit, LoadRequest, LoadWhat, Problem, Selection, load};
use vecferry_report::{harmless, labels};

use super::jobs::recorded_report;
use crate::args::LoadArgs;
use crate::connection::{both, endpoint, reach};
use crate::output::Output;
use crate::progress::Progress;
use crate::signals::Signals;
use crate::{present, state, text};

/// The last line of `--json`.
#[derive(Serialize)]
struct Loaded {
    event: &'static str,
    collections: Vec<String>,
}

/// Loads as the arguments say.
pub(crate) async fn run(output: &Output, signals: &mut Signals, args: &LoadArgs) -> Exit {
    let request = match signals.unless_signaled(Box::pin(request(args))).await {
        Some(Ok(request)) => request,
        Some(Err(problems)) => return output.refuse(&problems),
        None => return Exit::Canceled,
    };
    let progress = Progress::start(output);
    let cancel = CancellationToken::new();
    let work = Box::pin(load(request, Arc::new(progress.listener()), cancel.clone()));
    let result = signals.cancelable(&cancel, || progress.note(text::ending(output.lang)), work).await;
    progress.end();
    let collections = match result {
        Some(Ok(collections)) => collections,
        Some(Err(problems)) if cancel.is_cancelled() => {
            output.refuse(&problems);
            return Exit::Canceled;
        }
        Some(Err(problems)) => return output.refuse(&problems),
        None => return Exit::Canceled,
    };
    show(output, collections.iter().map(ToString::to_string).collect());
    Exit::Done
}

/// Shows what is loaded now.
pub(crate) fn show(output: &Output, collections: Vec<String>) {
    if output.json {
        output.json_line(&Loaded { event: "loaded", collections });
    } else if collections.is_empty() {
        output.result(labels::nothing_loaded(output.lang));
    } else {
        let names = collections.iter().map(|collection| harmless(collection));
        output.result(&format!("{}{}", labels::loaded(output.lang), labels::colon(output.lang).trim_end()));
        present::cut(output.lang, names.collect()).iter().for_each(|line| output.result(line));
    }
}

async fn request(args: &LoadArgs) -> Result<LoadRequest, Vec<Problem>> {
    let Some(job) = &args.job else {
        let selection = Selection::parse::<String>(&args.collection, &[]).map_err(|problem| vec![problem]);
        let (target, selection) = both(reach(&args.target(None)).await, selection)?;
        return Ok(LoadRequest {
            target: target.endpoint,
            what: LoadWhat::Selected(selection),
            replicas: args.replicas,
        });
    };
    let store = state::store(&args.state).await.map_err(|problem| vec![problem])?;
    let (record, report) = recorded_report(&*store, job).await?;
    let target = endpoint(&args.target(Some(&record.target)))?;
    Ok(LoadRequest { target, what: LoadWhat::AsOnSource(report.former_loads()), replicas: args.replicas })
}
