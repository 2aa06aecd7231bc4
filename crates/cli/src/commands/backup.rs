//! `vecferry backup` and `vecferry restore`

use std::path::{Path, PathBuf};

use serde::Serialize;
use vecferry_migrate::{Code, Exit, Problem, state_problem};
use vecferry_milvus::Secret;
use vecferry_store::{Error, sqlite};

use crate::args::{BackupArgs, RestoreArgs, StateArgs};
use crate::output::Output;
use crate::{state, text};

/// What was done, for machines.
#[derive(Serialize)]
struct Copied {
    event: &'static str,
    state_dir: String,
    file: String,
}

/// Copies the record to a file.
pub(crate) fn backup(output: &Output, args: &BackupArgs) -> Exit {
    tell(output, (&args.state, &args.file), "backed_up", sqlite::backup, |directory, file| {
        output.result(&text::backed_up(output.lang, directory, file));
        if !output.quiet {
            output.note(text::backup_key_hint(output.lang));
        }
    })
}

/// Makes a record of a file.
pub(crate) fn restore(output: &Output, args: &RestoreArgs) -> Exit {
    let copy = |directory: &Path, file: &Path| sqlite::restore(file, directory);
    tell(output, (&args.state, &args.file), "restored", copy, |directory, file| {
        output.result(&text::restored(output.lang, directory, file));
    })
}

fn tell(
    output: &Output,
    (state, file): (&StateArgs, &Path),
    event: &'static str,
    copy: impl Fn(&Path, &Path) -> Result<(), Error>,
    say: impl Fn(&str, &str),
) -> Exit {
    let directory = match directory(state) {
        Ok(directory) => directory,
        Err(problem) => return output.refuse(&[problem]),
    };
    let named = directory.display().to_string();
    if let Err(error) = copy(&directory, file) {
        return output.refuse(&[state_problem(&named, "", &error)]);
    }
    let file = file.display().to_string();
    match output.json {
        true => output.json_line(&Copied { event, state_dir: named, file }),
        false => say(&named, &file),
    }
    Exit::Done
}

/// The state directory: a database has tools of its own.
fn directory(args: &StateArgs) -> Result<PathBuf, Problem> {
    if args.store.as_ref().map(Secret::reveal).is_some_and(|url| !url.is_empty()) {
        let detail =
            "the records are in PostgreSQL: copy them with pg_dump, and restore them with pg_restore";
        let chinese = "记录保存在 PostgreSQL 中：请用 pg_dump 备份，用 pg_restore 恢复";
        return Err(Problem::new(Code::Arguments).with("detail", detail).with("detail_zh", chinese));
    }
    state::directory(args)
}
