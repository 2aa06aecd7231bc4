//! stdout carries results, stderr the rest. A reader that went away (a closed pipe) never ends a job.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use serde::Serialize;
use serde_json::ser::Formatter;
use vecferry_migrate::{Code, Exit, Lang, Problem, Surface, retell};
use vecferry_report::{acts, harmless, labels, typed};

use crate::text::{self, Severity};

/// `--color`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// In files and pipes too.
    Always,
    /// Not at all.
    Never,
}

impl ColorChoice {
    fn applies(self, is_terminal: bool) -> bool {
        let variable = |name| std::env::var_os(name).unwrap_or_default();
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => is_terminal && variable("NO_COLOR").is_empty() && variable("TERM") != "dumb",
        }
    }
}

/// How something is emphasized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// It is wrong.
    Error,
    /// It is worth a look.
    Warning,
    /// It is good.
    Success,
    /// It is a heading.
    Strong,
    /// It is less important.
    Dim,
}

/// Ends every style.
const PLAIN: &str = "\u{1b}[0m";

impl Style {
    const ALL: [Self; 5] = [Self::Error, Self::Warning, Self::Success, Self::Strong, Self::Dim];

    fn code(self) -> &'static str {
        match self {
            Self::Error => "\u{1b}[1;31m",
            Self::Warning => "\u{1b}[1;33m",
            Self::Success => "\u{1b}[1;32m",
            Self::Strong => "\u{1b}[1m",
            Self::Dim => "\u{1b}[2m",
        }
    }

    /// The text with the codes that a terminal understands.
    pub(crate) fn paint(self, text: &str, colored: bool) -> String {
        if colored { format!("{}{text}{PLAIN}", self.code()) } else { text.to_owned() }
    }
}

/// What people read, as it may reach a terminal: of all that acts there only ends of lines and, where they are wanted, the
/// codes of [`Style`]. Everything that is written for people passes here, so that what somebody forgot to make harmless
/// is harmless all the same.
pub(crate) fn readable(text: &str, colored: bool) -> Cow<'_, str> {
    if !text.chars().any(|character| character != '\n' && acts(character)) {
        return Cow::Borrowed(text);
    }
    let mut readable = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let codes = Style::ALL.map(Style::code).into_iter().chain([PLAIN]);
        let code = codes.filter(|_| colored).find(|code| rest.starts_with(code));
        let taken = match code {
            Some(code) => code,
            None => &rest[..character.len_utf8()],
        };
        if code.is_some() || character == '\n' {
            readable.push_str(taken);
        } else {
            readable.push_str(&harmless(taken));
        }
        rest = &rest[taken.len()..];
    }
    Cow::Owned(readable)
}

/// JSON whose texts are exact, and which does nothing to a terminal: what would act there is written by its number.
struct Escaped;

impl Formatter for Escaped {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut plain = 0;
        for (at, character) in fragment.char_indices().filter(|(_, character)| acts(*character)) {
            writer.write_all(&fragment.as_bytes()[plain..at])?;
            write!(writer, "\\u{:04x}", u32::from(character))?;
            plain = at + character.len_utf8();
        }
        writer.write_all(&fragment.as_bytes()[plain..])
    }
}

fn json(value: &impl Serialize) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut line, Escaped)).ok()?;
    Some(line)
}

/// Where everything that people and machines read goes.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    /// Language of everything for people.
    pub(crate) lang: Lang,
    /// Whether results are for machines.
    pub(crate) json: bool,
    /// Whether only results, warnings and errors are shown.
    pub(crate) quiet: bool,
    stdout_colored: bool,
    stderr_colored: bool,
    /// The options that say where jobs are recorded, as they are typed, where that is not the default.
    record: Option<String>,
    /// Whether a service does the work, whose settings are not options of a command.
    remote: bool,
}

/// The last line of `--json` where a command was refused.
#[derive(Serialize)]
struct Refused<'a> {
    event: &'static str,
    problems: &'a [Problem],
}

impl Output {
    /// Output in a language.
    pub(crate) fn new(
        lang: Lang,
        json: bool,
        quiet: bool,
        color: ColorChoice,
        record: Option<String>,
    ) -> Self {
        Self {
            record,
            remote: false,
            lang,
            json,
            quiet,
            stdout_colored: color.applies(io::stdout().is_terminal()),
            stderr_colored: color.applies(io::stderr().is_terminal()),
        }
    }

    /// The same where a service does the work.
    #[must_use]
    pub(crate) fn of_service(self) -> Self {
        Self { remote: true, ..self }
    }

    /// How people act on a problem: on the clusters of a service through its API or console.
    fn surface(&self, problem: &Problem) -> Surface {
        // The API key is given at the command line all the same.
        match self.remote && problem.code != Code::NotSignedIn {
            true => Surface::Service,
            false => Surface::CommandLine,
        }
    }

    /// The options that say where jobs are recorded, as they are typed, where that is not the default.
    pub(crate) fn record(&self) -> Option<&str> {
        self.record.as_deref()
    }

    /// A text whose commands about jobs can be typed as they stand there.
    pub(crate) fn commands(&self, text: &str) -> String {
        typed::with_record(text, self.record())
    }

    /// Whether a person sees stderr and can answer.
    pub(crate) fn can_ask(&self) -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Whether progress is drawn as bars.
    pub(crate) fn has_bars(&self) -> bool {
        !self.quiet && !self.json && io::stderr().is_terminal()
    }

    /// Columns of the terminal that shows results; none where it is none, or does not tell.
    pub(crate) fn result_columns(&self) -> Option<usize> {
        columns(&console::Term::stdout(), io::stdout().is_terminal())
    }

    /// The same of what is shown beside results.
    pub(crate) fn note_columns(&self) -> Option<usize> {
        columns(&console::Term::stderr(), io::stderr().is_terminal())
    }

    /// A line of the result.
    pub(crate) fn result(&self, line: &str) {
        ignore(writeln!(io::stdout().lock(), "{}", readable(line, self.stdout_colored)));
    }

    /// A result as it is, without a line end of its own.
    pub(crate) fn raw(&self, bytes: &[u8]) {
        let mut stdout = io::stdout().lock();
        ignore(stdout.write_all(bytes).and_then(|()| stdout.flush()));
    }

    /// A line of the result for machines.
    pub(crate) fn json_line(&self, value: &impl Serialize) {
        let line = match self.remote {
            true => serde_json::to_value(value).ok().and_then(|mut document| {
                retell(&mut document, Surface::Service);
                json(&document)
            }),
            false => json(value),
        };
        if let Some(mut line) = line {
            line.push(b'\n');
            self.raw(&line);
        }
    }

    /// A line beside the result.
    pub(crate) fn note(&self, line: &str) {
        ignore(writeln!(io::stderr().lock(), "{}", readable(line, self.stderr_colored)));
    }

    /// An empty line between what was shown on the way and the result.
    pub(crate) fn gap(&self) {
        if !self.quiet && io::stderr().is_terminal() {
            self.note("");
        }
    }

    /// A question, with the cursor left behind it.
    pub(crate) fn ask(&self, question: &str) {
        let mut stderr = io::stderr().lock();
        let question = readable(question, self.stderr_colored);
        ignore(write!(stderr, "{question} ").and_then(|()| stderr.flush()));
    }

    /// A text for stdout.
    pub(crate) fn styled(&self, style: Style, text: &str) -> String {
        style.paint(text, self.stdout_colored)
    }

    /// A text for stderr.
    pub(crate) fn styled_note(&self, style: Style, text: &str) -> String {
        style.paint(text, self.stderr_colored)
    }

    /// A problem without its hint, for stderr.
    pub(crate) fn problem_line(&self, severity: Severity, problem: &Problem) -> String {
        let style = match severity {
            Severity::Error => Style::Error,
            Severity::Warning => Style::Warning,
        };
        let head = text::problem_head(self.lang, severity, &problem.code.to_string());
        let what = harmless(&problem.what_on(self.surface(problem), self.lang));
        format!("{}{}{what}", self.styled_note(style, &head), labels::colon(self.lang))
    }

    /// The lines of a problem, for stderr.
    pub(crate) fn problem_lines(&self, severity: Severity, problem: &Problem) -> String {
        let hint = problem.hint_on(self.surface(problem), self.lang);
        let hint = self.commands(&harmless(&hint));
        let hint = text::hint(self.lang, &hint);
        format!("{}\n  {}", self.problem_line(severity, problem), self.styled_note(Style::Dim, &hint))
    }

    /// A problem, on stderr.
    pub(crate) fn problem(&self, severity: Severity, problem: &Problem) {
        self.note(&self.problem_lines(severity, problem));
    }

    /// Why a command can't begin, and how it therefore ends.
    pub(crate) fn refuse(&self, problems: &[Problem]) -> Exit {
        self.refuse_with(problems, &Refused { event: "refused", problems })
    }

    /// The same with a last line of its own for machines.
    pub(crate) fn refuse_with(&self, problems: &[Problem], for_machines: &impl Serialize) -> Exit {
        for problem in problems {
            self.problem(Severity::Error, problem);
        }
        if self.json {
            self.json_line(for_machines);
        }
        worst(problems)
    }
}

fn columns(terminal: &console::Term, is_terminal: bool) -> Option<usize> {
    let size = terminal.size_checked().filter(|_| is_terminal);
    size.map(|(_, columns)| usize::from(columns)).filter(|columns| *columns > 0)
}

/// How a command with these problems ends.
fn worst(problems: &[Problem]) -> Exit {
    problems.iter().map(|problem| problem.code.entry().exit).max().unwrap_or(Exit::Refused)
}

/// A reader that went away is its own affair; there is nobody left to tell.
fn ignore(written: io::Result<()>) {
    drop(written);
}

#[cfg(test)]
mod tests {
    use vecferry_migrate::Code;

    use super::*;

    fn output(lang: Lang) -> Output {
        Output {
            lang,
            json: false,
            quiet: false,
            stdout_colored: false,
            stderr_colored: false,
            record: None,
            remote: false,
        }
    }

    #[test]
    fn a_problem_has_its_code_and_its_hint() {
        let problem = Problem::new(Code::TargetExists).with("collection", "default.books");
        let english = output(Lang::En).problem_lines(Severity::Error, &problem);
        assert!(
            english.starts_with("error[VF-0203]: the target already has `default.books`\n  hint: "),
            "{english}"
        );
        let chinese = output(Lang::Zh).problem_lines(Severity::Warning, &problem);
        assert!(
            chinese.starts_with("警告[VF-0203]：目标集群上已存在 `default.books`\n  建议："),
            "{chinese}"
        );
    }

    #[test]
    fn with_a_service_hints_name_what_is_given_to_the_service() {
        let hint = |output: &Output, code| {
            let problem =
                Problem::new(code).with("side", "source").with("flag", "source").with("detail", "x");
            output.problem_lines(Severity::Error, &problem)
        };
        let (here, remote) = (output(Lang::En), output(Lang::En).of_service());
        assert!(hint(&here, Code::Endpoint).contains("--source-token"));
        let told = hint(&remote, Code::Endpoint);
        assert!(!told.contains("--") && told.contains("settings of the cluster"), "{told}");
        assert!(hint(&remote, Code::NotSignedIn).contains("VECFERRY_API_KEY"));
    }

    #[test]
    fn the_worst_problem_decides_the_exit() {
        let problems = [Problem::new(Code::NeedsYes), Problem::new(Code::NothingSelected)];
        assert_eq!(worst(&problems), Exit::Refused);
    }

    #[test]
    fn only_ends_of_lines_and_own_styles_act() {
        let foreign = "\u{1b}]0;title\u{7}\u{1b}[31m\u{9b}2J\u{202e}x\ty";
        let line = format!("{}\n{foreign}", Style::Error.paint("a", true));
        let colored = readable(&line, true);
        assert!(
            colored.starts_with("\u{1b}[1;31ma\u{1b}[0m\n\u{fffd}]0;title\u{fffd}\u{fffd}[31m"),
            "{colored:?}"
        );
        let plain = readable(&line, false);
        assert_eq!(
            plain,
            "\u{fffd}[1;31ma\u{fffd}[0m\n\u{fffd}]0;title\u{fffd}\u{fffd}[31m\u{fffd}2J\u{fffd}x y"
        );
        assert!(matches!(readable("集合\nplain", false), Cow::Borrowed(_)));
    }

    #[test]
    fn json_is_exact_and_acts_on_nothing() {
        let text = "q\"\\\n\u{1b}[31m\u{7f}\u{9b}\u{202e}\u{2066}集合é👩\u{1f680}";
        let line = String::from_utf8(json(&[text]).unwrap()).unwrap();
        assert!(!line.chars().any(acts), "{line:?}");
        assert!(line.contains("集合é"), "{line}");
        assert_eq!(serde_json::from_str::<[String; 1]>(&line).unwrap(), [text]);
    }

    #[test]
    fn colors_only_where_they_are_wanted() {
        assert_eq!(Style::Error.paint("x", false), "x");
        assert_eq!(Style::Error.paint("x", true), "\u{1b}[1;31mx\u{1b}[0m");
        assert!(ColorChoice::Always.applies(false));
        assert!(!ColorChoice::Never.applies(true));
        assert!(!ColorChoice::Auto.applies(false));
    }
}
