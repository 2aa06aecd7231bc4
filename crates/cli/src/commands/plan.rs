//! `vecferry plan`

use std::io::Write;
use std::path::Path;

use serde::Serialize;
use vecferry_migrate::precheck::Check;
use vecferry_migrate::{Code, Exit, Migration, PlanFile, PreCheck, Problem, words_of};
use vecferry_report::labels;

use super::migrate::{measure_steps, not_started, probe_write, rbac, request, show};
use crate::args::PlanArgs;
use crate::connection::both;
use crate::output::{Output, Style};
use crate::progress::Progress;
use crate::signals::Signals;
use crate::text::{self, Severity};
use crate::{present, state};

/// A refusal for machines: everything that was looked at.
#[derive(Serialize)]
struct Refused<'a> {
    event: &'static str,
    checks: &'a [Check],
    problems: &'a [Problem],
}

/// Checks both clusters, shows the plan, and writes it down where that is asked for.
pub(crate) async fn run(output: &Output, signals: &mut Signals, args: &PlanArgs) -> Exit {
    let (source, target) = (args.source.connection(), args.target.connection());
    let request = Box::pin(request(&source, &target, &args.selection, &args.job, &args.plans));
    let Some(request) = signals.unless_signaled(request).await else {
        return not_started(output, text::stopped_before_start(output.lang));
    };
    let store = state::store(&args.state).await.map_err(|problem| vec![problem]);
    let (mut request, store) = match both(request, store) {
        Ok(checked) => checked,
        Err(problems) => return output.refuse(&problems),
    };
    request.rbac = match rbac(&args.rbac, store.files_directory().unwrap_or(Path::new("."))) {
        Ok(rbac) => rbac,
        Err(problem) => return output.refuse(&[problem]),
    };
    if !output.quiet {
        output.note(&output.styled_note(Style::Dim, text::checking(output.lang)));
    }
    let check = Migration::check(request, store.directory());
    let check = Box::pin(Progress::while_preparing(output, check));
    let Some(mut checked) = signals.unless_signaled(check).await else {
        return not_started(output, text::stopped_before_start(output.lang));
    };
    if let Some(migration) = checked.migration.as_mut().filter(|_| args.probe_write) {
        let probed = match probe_write(output, signals, migration).await {
            Ok(Ok(())) => measure_steps(output, signals, migration).await,
            refused_or_stopped => refused_or_stopped,
        };
        match probed {
            Ok(Ok(())) => checked.checks = migration.checks().to_vec(),
            Ok(Err(refusals)) => checked = PreCheck { refusals, migration: None, ..checked },
            Err(exit) => return exit,
        }
    }
    if !output.quiet {
        output.note(&output.styled_note(Style::Strong, labels::checks(output.lang)));
        present::check_lines(output.lang, &checked.checks).iter().for_each(|line| output.note(line));
    }
    let Some(migration) = &checked.migration else { return refuse(output, &checked) };
    show(output, migration.plan());
    let written = migration.plan_file().and_then(|file| {
        write(output, args.output.as_deref(), &file)?;
        if output.json {
            output.json_line(file.document());
        }
        Ok(())
    });
    match written {
        Ok(()) => Exit::Done,
        Err(problem) => output.refuse(&[problem]),
    }
}

fn refuse(output: &Output, checked: &PreCheck) -> Exit {
    for warning in checked.checks.iter().flat_map(|check| &check.problems) {
        if warning.code.entry().exit == Exit::Done {
            output.problem(Severity::Warning, warning);
        }
    }
    let for_machines = Refused { event: "refused", checks: &checked.checks, problems: &checked.refusals };
    output.refuse_with(&checked.refusals, &for_machines)
}

/// A file is there as a whole or not at all.
fn write(output: &Output, path: Option<&Path>, file: &PlanFile) -> Result<(), Problem> {
    let Some(path) = path else {
        output.note(text::plan_not_kept(output.lang));
        return Ok(());
    };
    let failed = |error: std::io::Error| {
        Problem::new(Code::FileNotWritten).with("file", path.display()).told("detail", words_of(&error))
    };
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut whole = tempfile::NamedTempFile::new_in(directory).map_err(failed)?;
    whole.write_all(file.to_text().as_bytes()).and_then(|()| whole.as_file().sync_all()).map_err(failed)?;
    whole.persist(path).map_err(|error| failed(error.error))?;
    output.note(&text::plan_kept(output.lang, &path.display().to_string(), file.hash()));
    Ok(())
}
