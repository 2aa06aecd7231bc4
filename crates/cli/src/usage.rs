//! Arguments that do not parse: explained in the words of the catalogue, with its code.

use std::error::Error as _;

use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use vecferry_migrate::{Code, Exit, Lang, Problem};
use vecferry_report::labels;
use vecferry_words::Told;

use crate::args::Cli;
use crate::output::{ColorChoice, Output, Style};
use crate::{help, language, text};

/// The language of the locale.
pub(crate) fn lang_of_environment() -> Lang {
    language::of_environment(|name| std::env::var(name).ok())
}

/// What the arguments say about the form of messages, although they do not parse.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wishes {
    lang: Option<Lang>,
    json: bool,
    color: ColorChoice,
}

impl Wishes {
    fn of(arguments: impl Iterator<Item = String>) -> Self {
        let mut wishes = Self::default();
        let mut arguments = arguments.peekable();
        while let Some(argument) = arguments.next() {
            let (flag, value) = match argument.split_once('=') {
                Some((flag, value)) => (flag.to_owned(), Some(value.to_owned())),
                None => (argument, arguments.peek().cloned()),
            };
            match (flag.as_str(), value.as_deref()) {
                ("--json", _) => wishes.json = true,
                ("--lang", Some("zh")) => wishes.lang = Some(Lang::Zh),
                ("--lang", Some("en")) => wishes.lang = Some(Lang::En),
                ("--color", Some("always")) => wishes.color = ColorChoice::Always,
                ("--color", Some("never")) => wishes.color = ColorChoice::Never,
                _ => {}
            }
        }
        wishes
    }
}

/// Shows help or the version where that was asked for, and otherwise what is wrong with the arguments.
pub(crate) fn explain(error: &clap::Error) -> Exit {
    let arguments = std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned());
    let arguments: Vec<_> = arguments.collect();
    let wishes = Wishes::of(arguments.iter().cloned());
    let lang = wishes.lang.unwrap_or_else(lang_of_environment);
    let output = Output::new(lang, wishes.json, false, wishes.color, None);
    if lang == Lang::Zh && error.kind() == ErrorKind::DisplayHelp {
        output.raw(help::chinese(Cli::command(), &arguments).as_bytes());
        return Exit::Done;
    }
    if !error.use_stderr() {
        // A reader that went away does not mind.
        let _ = error.print();
        return Exit::Done;
    }
    let (en, usage) = explanation(error);
    let detail = chinese(error).map_or_else(|| Told::from(&en), |zh| Told::both(&en, zh));
    let exit = output.refuse(&[Problem::new(Code::Arguments).told("detail", detail)]);
    if let Some(usage) = usage {
        let usage = usage_in(lang, &usage);
        output.note(&format!("  {}", output.styled_note(Style::Dim, &usage)));
    }
    exit
}

/// What is wrong, in one line, and how it would be right.
fn explanation(error: &clap::Error) -> (String, Option<String>) {
    if error.kind() == ErrorKind::MissingSubcommand {
        return (no_command(Lang::En), None);
    }
    let rendered = error.render().to_string();
    let text = rendered.strip_prefix("error: ").unwrap_or(&rendered);
    let mut detail = Vec::new();
    let mut usage = None;
    for paragraph in text.split("\n\n") {
        let line = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
        if line.starts_with("Usage:") {
            usage = Some(line);
        } else if !line.is_empty() && !line.starts_with("For more information") {
            detail.push(line);
        }
    }
    (detail.join("; "), usage)
}

fn no_command(lang: Lang) -> String {
    let command = Cli::command();
    let visible = command.get_subcommands().filter(|command| !command.is_hide_set());
    let commands: Vec<_> = visible.map(clap::Command::get_name).collect();
    text::no_command(lang, &commands.join(labels::comma(lang)))
}

/// The line of the parser that shows how it would be right.
fn usage_in(lang: Lang, usage: &str) -> String {
    let shown = |line: &str| line.replace("[OPTIONS]", "[选项]").replace("<COMMAND>", "<命令>");
    match (lang, usage.strip_prefix("Usage: ")) {
        (Lang::Zh, Some(line)) => format!("用法：{}", shown(line)),
        (Lang::En | Lang::Zh, _) => usage.to_owned(),
    }
}

/// What is wrong, in Chinese: the parser knows English only. Nothing where it gives a reason of its own words.
fn chinese(error: &clap::Error) -> Option<String> {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(" "),
        Some(ContextValue::Number(number)) => number.to_string(),
        Some(ContextValue::StyledStr(text)) => text.to_string(),
        _ => String::new(),
    };
    let (argument, value) = (context(ContextKind::InvalidArg), context(ContextKind::InvalidValue));
    let said = match error.kind() {
        ErrorKind::MissingSubcommand => no_command(Lang::Zh),
        ErrorKind::MissingRequiredArgument => format!("缺少必需的参数：{argument}"),
        ErrorKind::UnknownArgument => format!("无法识别的参数 `{argument}`"),
        ErrorKind::InvalidSubcommand => {
            format!("无法识别的命令 `{}`", context(ContextKind::InvalidSubcommand))
        }
        ErrorKind::InvalidValue if value.is_empty() => format!("`{argument}` 需要一个值"),
        ErrorKind::InvalidValue => {
            let possible = context(ContextKind::ValidValue).replace(' ', "、");
            let possible =
                if possible.is_empty() { possible } else { format!("（可用的值：{possible}）") };
            format!("`{argument}` 的值 `{value}` 无效{possible}")
        }
        ErrorKind::ValueValidation => {
            let reason = error.source().map(|reason| format!("：{}", reason_zh(&reason.to_string())));
            let reason = reason.unwrap_or_default();
            format!("`{argument}` 的值 `{value}` 无效{reason}")
        }
        ErrorKind::ArgumentConflict => {
            let prior = context(ContextKind::PriorArg);
            if prior == argument || prior.is_empty() {
                format!("`{argument}` 不能重复使用")
            } else {
                format!("`{argument}` 不能与 `{prior}` 一起使用")
            }
        }
        ErrorKind::TooManyValues => format!("`{argument}` 的值过多：`{value}`"),
        ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues => format!("`{argument}` 的值个数不对"),
        ErrorKind::NoEquals => format!("`{argument}` 的值须用 `=` 给出"),
        ErrorKind::InvalidUtf8 => "参数不是有效的 UTF-8".to_owned(),
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        | ErrorKind::DisplayVersion
        | ErrorKind::Io
        | ErrorKind::Format
        | _ => return None,
    };
    let suggested = context(ContextKind::SuggestedArg);
    let suggested = if suggested.is_empty() { context(ContextKind::SuggestedValue) } else { suggested };
    Some(if suggested.is_empty() { said } else { format!("{said}；是否想用 `{suggested}`？") })
}

/// Why a value is not taken. What is not known here is shown as code.
fn reason_zh(reason: &str) -> String {
    let range = reason.strip_prefix("not a number from ").and_then(|range| range.split_once(" to "));
    match (reason, range, reason.split_once(" is not in ")) {
        (_, Some((least, most)), _) => format!("不是 {least} 到 {most} 之间的数字"),
        (_, _, Some((value, range))) => format!("{value} 不在 {range} 之内"),
        ("invalid digit found in string", ..) => "不是整数".to_owned(),
        ("cannot parse integer from empty string", ..) => "没有数字".to_owned(),
        ("number too large to fit in target type", ..) => "数字过大".to_owned(),
        _ => format!("`{reason}`"),
    }
}

/// The system can't start threads.
pub(crate) fn no_runtime(error: &std::io::Error) -> Problem {
    let detail =
        Told::from(error.to_string()).behind("the system can't start threads: ", "系统无法启动线程：");
    Problem::new(Code::Arguments).told("detail", detail)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn wishes(line: &str) -> Wishes {
        Wishes::of(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn the_form_is_known_before_the_arguments_are() {
        assert_eq!(wishes("migrate --lang zh --nonsense").lang, Some(Lang::Zh));
        assert_eq!(
            wishes("--lang=en --json --color=never x"),
            Wishes { lang: Some(Lang::En), json: true, color: ColorChoice::Never }
        );
        assert_eq!(wishes("--lang"), Wishes::default());
    }

    #[test]
    fn an_explanation_is_one_line() {
        let error = Cli::try_parse_from(["vecferry", "migrate"]).unwrap_err();
        let (detail, usage) = explanation(&error);
        assert_eq!(
            detail,
            "the following required arguments were not provided: --source <URI> --target <URI>"
        );
        assert!(usage.unwrap().starts_with("Usage: vecferry migrate"));
        let error = Cli::try_parse_from(["vecferry"]).unwrap_err();
        assert!(explanation(&error).0.starts_with("no command given (commands: demo, plan, migrate, "));
    }
}
