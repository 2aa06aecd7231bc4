//! `vecferry verify`

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use vecferry_migrate::{Code, Exit, Problem, RepairScope, Report, VerifyRequest, store_problem, verify};

use crate::args::{ComparisonArgs, LevelArg, VerifyArgs};
use crate::commands::migrate::{Finished, ask, selection};
use crate::connection::{both, reach};
use crate::output::Output;
use crate::progress::Progress;
use crate::signals::Signals;
use crate::{present, state, text};

/// Compares as the arguments say.
pub(crate) async fn run(output: &Output, signals: &mut Signals, args: &VerifyArgs) -> Exit {
    let request = async {
        let request = request(args).await?;
        with_made(request, args).await.map_err(|problem| vec![problem])
    };
    let request = match signals.unless_signaled(Box::pin(request)).await {
        Some(Ok(request)) => request,
        Some(Err(problems)) => return output.refuse(&problems),
        None => return output.refuse(&[Problem::new(Code::VerifyCanceled)]),
    };
    if args.comparison.repair
        && !args.comparison.yes
        && let Err(exit) = ask(output, signals, text::repair_question(output.lang)).await
    {
        return exit;
    }
    let progress = Progress::start(output);
    let cancel = CancellationToken::new();
    let work = Box::pin(verify(request, Arc::new(progress.listener()), cancel.clone()));
    let result = signals.cancelable(&cancel, || progress.note(text::ending(output.lang)), work).await;
    progress.end();
    match result {
        Some(Ok(report)) => {
            show(output, &report);
            report.exit()
        }
        Some(Err(problems)) => output.refuse(&problems),
        None => {
            output.note(text::ended_at_once(output.lang));
            Exit::Canceled
        }
    }
}

/// Shows what a comparison came to.
pub(crate) fn show(output: &Output, report: &Report) {
    if output.json {
        present::problems(output, report);
        output.json_line(&Finished::new(report));
    } else {
        present::comparison(output, report);
    }
}

async fn request(args: &VerifyArgs) -> Result<VerifyRequest, Vec<Problem>> {
    let sides = (args.source(), args.target());
    let (source, target) = tokio::join!(reach(&sides.0), reach(&sides.1));
    let ((source, target), (selection, target_dbs)) = both(both(source, target), selection(&args.selection))?;
    let (source, target) = (source.endpoint, target.endpoint);
    let ComparisonArgs { level, repair, repair_foreign, .. } = args.comparison;
    if repair && level != LevelArg::Full {
        let problem = Problem::new(Code::Arguments);
        return Err(vec![problem.told("detail", text::repair_needs_full())]);
    }
    let repair = match (repair, repair_foreign) {
        (false, _) => RepairScope::Nothing,
        // Filled from the record of jobs.
        (true, false) => RepairScope::Made(Vec::new()),
        (true, true) => RepairScope::Everything,
    };
    let visible_only = args.selection.visible_only;
    Ok(VerifyRequest { source, target, selection, visible_only, target_dbs, level: level.into(), repair })
}

/// What jobs made is in their record.
async fn with_made(mut request: VerifyRequest, args: &VerifyArgs) -> Result<VerifyRequest, Problem> {
    if let RepairScope::Made(made) = &mut request.repair {
        let store = state::store(&args.state).await?;
        let recorded = store.made_collections().await;
        *made = recorded.map_err(|error| store_problem(&*store, "", &error))?;
    }
    Ok(request)
}
