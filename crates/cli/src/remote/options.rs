//! Options that mean nothing to a service.

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory};
use vecferry_migrate::{Code, Problem};
use vecferry_words::Told;

use crate::args::{Cli, SERVER_VARIABLE};

/// What can be typed with a service, by command; the options about output and the service itself always can.
const KNOWN: &[(&str, &[&str])] = &[
    (
        "migrate",
        &[
            "source",
            "target",
            "collection",
            "target_db",
            "verify",
            "source_load",
            "auto_id",
            "keep_index_params",
            "wait_index",
            "warm",
            "load_target",
            "max_rate",
            "yes",
        ],
    ),
    ("jobs", &[]),
    ("status", &["job"]),
    ("resume", &["job", "max_rate"]),
    ("catch-up", &["job", "accept_dropped", "recopy", "overwrite_target", "max_rate"]),
    (
        "cutover",
        &["job", "accept_dropped", "recopy", "overwrite_target", "trust_unchanged", "max_rate", "yes"],
    ),
    ("rate", &["job", "rate"]),
    ("cancel", &["job", "clean"]),
    ("report", &["job", "html"]),
    ("load", &["job"]),
    ("verify", &["job", "level"]),
];

const ALWAYS: &[&str] = &[
    "server",
    "server_key_file",
    "server_ca",
    "json",
    "quiet",
    "lang",
    "color",
    "log",
    "log_format",
    "help",
    "version",
];

/// Every option that was typed and that the service can't follow: with one of them, something else would be done than what
/// was asked for. Variables of the environment are meant for commands without a service, and are left alone.
pub(crate) fn foreign_options(matches: &ArgMatches) -> Vec<Problem> {
    let Some((name, typed)) = matches.subcommand() else { return Vec::new() };
    let known = KNOWN.iter().find(|(command, _)| *command == name).map(|(_, known)| *known);
    let command = Cli::command();
    let Some((known, command)) = known.zip(command.find_subcommand(name)) else { return Vec::new() };
    let is_typed = |id: &str| typed.value_source(id) == Some(ValueSource::CommandLine);
    let foreign = command.get_arguments().filter(|arg| {
        let id = arg.get_id().as_str();
        !known.contains(&id) && !ALWAYS.contains(&id) && is_typed(id)
    });
    let server = match is_typed("server") {
        true => "--server".to_owned(),
        false => SERVER_VARIABLE.to_owned(),
    };
    foreign.filter_map(clap::Arg::get_long).map(|option| refused(option, &server)).collect()
}

fn refused(option: &str, server: &str) -> Problem {
    let detail = Told::both(
        format!("`--{option}` can't be used with {server}: the service does not take it"),
        format!("`--{option}` 不能与 {server} 一起使用：服务不支持该选项"),
    );
    Problem::new(Code::Arguments).told("detail", detail)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use vecferry_migrate::Lang;

    use super::*;

    fn foreign(line: &str) -> Vec<String> {
        let matches = Cli::command().try_get_matches_from(line.split_whitespace()).unwrap();
        foreign_options(&matches).iter().map(|problem| problem.what(Lang::En)).collect()
    }

    #[test]
    fn what_the_service_cannot_follow_is_named() {
        let migrate = "vecferry migrate --server http://h --source a --target b";
        assert_eq!(
            foreign(&format!("{migrate} --collection c --target-db a=b --max-rate none --yes --json")),
            [""; 0]
        );
        assert_eq!(foreign(&format!("{migrate} --warm --load-target --verify full")), [""; 0]);
        for option in [
            "--exclude x",
            "--visible-only",
            "--duplicates warn",
            "--on-bad-row fail",
            "--allow-drift",
            "--source-load-parallel 1",
            "--policy zilliz-cn",
            "--target-plan free",
            "--with rbac",
            "--dry-run",
            "--by-workers",
            "--source-token t",
            "--target-ca f",
            "--state-dir d",
            "--store s",
        ] {
            let name = option.split(' ').next().unwrap();
            let says = format!(
                "invalid arguments: `{name}` can't be used with --server: the service does not take it"
            );
            assert_eq!(foreign(&format!("{migrate} {option}")), [says]);
        }
        assert_eq!(foreign("vecferry migrate --server http://h --plan f").len(), 1);
        assert_eq!(foreign("vecferry cancel --server http://h 01 --clean --target-token t").len(), 1);
        assert_eq!(foreign("vecferry verify --server http://h 01 --level full --repair").len(), 1);
        assert_eq!(foreign("vecferry load --server http://h --job 01 --replicas 2").len(), 1);
        for line in [
            "jobs",
            "status 01",
            "resume 01 --max-rate none",
            "rate 01 none",
            "cancel 01 --clean",
            "verify 01 --level full",
            "report 01 --html f",
        ] {
            assert_eq!(foreign(&format!("vecferry {line} --server http://h")), [""; 0], "{line}");
        }
    }

    #[test]
    fn every_command_with_a_service_is_known_by_its_arguments() {
        let command = Cli::command();
        let with_service: BTreeSet<_> = command
            .get_subcommands()
            .filter(|command| command.get_arguments().any(|arg| arg.get_id() == "server"))
            .map(clap::Command::get_name)
            .collect();
        assert_eq!(with_service, KNOWN.iter().map(|(name, _)| *name).collect());
        for (name, known) in KNOWN {
            let command = command.find_subcommand(name).unwrap();
            let ids: BTreeSet<_> = command.get_arguments().map(|arg| arg.get_id().as_str()).collect();
            for id in *known {
                assert!(ids.contains(id), "{name} {id}");
            }
        }
    }
}
