//! `vecferry plan`

use std::io::Write;
use std::path::Path;

use vecferry_migrate::{Code, Exit, PlanFile, Problem};

use super::migrate::{Task, prepare, request};
use crate::args::PlanArgs;
use crate::output::Output;
use crate::signals::Signals;
use crate::text;

/// Checks both clusters, shows the plan, and writes it down where that is asked for.
pub(crate) async fn run(output: &Output, signals: &mut Signals, args: &PlanArgs) -> Exit {
    let (source, target) = (args.source.connection(), args.target.connection());
    let request = match request(&source, &target, &args.selection, &args.job) {
        Ok(request) => request,
        Err(problems) => return output.refuse(&problems),
    };
    let migration = match prepare(output, signals, Task::New(Box::new(request))).await {
        Ok(migration) => migration,
        Err(exit) => return exit,
    };
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

/// A file is there as a whole or not at all.
fn write(output: &Output, path: Option<&Path>, file: &PlanFile) -> Result<(), Problem> {
    let Some(path) = path else {
        output.note(text::plan_not_kept(output.lang));
        return Ok(());
    };
    let failed = |error: std::io::Error| {
        Problem::new(Code::FileNotWritten).with("file", path.display()).with("detail", error)
    };
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut whole = tempfile::NamedTempFile::new_in(directory).map_err(failed)?;
    whole.write_all(file.to_text().as_bytes()).and_then(|()| whole.as_file().sync_all()).map_err(failed)?;
    whole.persist(path).map_err(|error| failed(error.error))?;
    output.note(&text::plan_kept(output.lang, &path.display().to_string(), file.hash()));
    Ok(())
}
