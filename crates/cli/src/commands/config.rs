//! `vecferry config show`

use serde::Serialize;
use vecferry_migrate::{Exit, Problem};

use crate::args::{ConfigAction, ConfigArgs, ServiceArgs};
use crate::output::Output;
use crate::settings::checked::Checked;
use crate::settings::{Configuration, Kind, Origin, Value};
use crate::table::{Align, Table};
use crate::text;

/// A setting for machines.
#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    value: serde_json::Value,
    from: From<'a>,
}

/// Where a value comes from, for machines.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum From<'a> {
    Default,
    File { path: String, line: usize },
    Variable { name: &'a str },
    Option { name: &'a str },
}

/// Shows the settings, and then whether they can be used.
pub(crate) fn run(output: &Output, args: &ConfigArgs) -> Exit {
    let ConfigAction::Show(args) = &args.action;
    let configuration = match read(args) {
        Ok(configuration) => configuration,
        Err(problem) => return output.refuse(&[problem]),
    };
    match output.json {
        true => output.json_line(&configuration.values().iter().map(shown).collect::<Vec<_>>()),
        false => table(output, &configuration)
            .lines(output.result_columns())
            .iter()
            .for_each(|line| output.result(line)),
    }
    match Checked::of(&configuration) {
        Ok(_) => Exit::Done,
        Err(problem) => output.refuse(&[problem]),
    }
}

/// The settings of the service.
pub(super) fn read(args: &ServiceArgs) -> Result<Configuration, Problem> {
    Configuration::read(args.base.config.as_deref(), variable, args.typed())
}

/// A variable of the environment that is a text.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn table(output: &Output, configuration: &Configuration) -> Table {
    let lang = output.lang;
    let mut table = Table::new([
        (text::setting_column(lang), Align::Left),
        (text::value_column(lang), Align::Name),
        (text::origin_column(lang), Align::Name),
    ]);
    for value in configuration.values() {
        let origin = match &value.origin {
            Origin::Default => text::origin_default(lang).to_owned(),
            origin @ (Origin::File(..) | Origin::Variable(_) | Origin::Option(_)) => origin.to_string(),
        };
        let shown = value.shown().into_iter().map(|text| vecferry_report::harmless(&text));
        let shown = shown.collect::<Vec<_>>().join(", ");
        let shown = if shown.is_empty() { "-".to_owned() } else { shown };
        table.row(vec![value.setting.name.to_owned(), shown, vecferry_report::harmless(&origin)]);
    }
    table
}

fn shown(value: &Value) -> Shown<'_> {
    let from = match &value.origin {
        Origin::Default => From::Default,
        Origin::File(path, line) => From::File { path: path.display().to_string(), line: *line },
        Origin::Variable(name) => From::Variable { name },
        Origin::Option(name) => From::Option { name },
    };
    Shown { name: value.setting.name, value: json(value), from }
}

/// The value as its kind; as a text where it is none of that kind.
fn json(value: &Value) -> serde_json::Value {
    let mut texts = value.shown();
    if value.setting.kind == Kind::List {
        return texts.into();
    }
    let Some(text) = texts.pop() else { return serde_json::Value::Null };
    match value.setting.kind {
        Kind::Number => text.parse::<u64>().map_or_else(|_| text.into(), Into::into),
        Kind::Switch => text.parse::<bool>().map_or_else(|_| text.into(), Into::into),
        Kind::Text | Kind::Secret | Kind::Database | Kind::List => text.into(),
    }
}
