//! Settings of the service: from a file, from variables and from options, the later ones before the earlier ones. A setting
//! has one name: `jobs-total` in the file, `VECFERRY_SERVE_JOBS_TOTAL` as a variable, `--jobs-total` as an option.
//!
//! [`Configuration`] knows what was said and where; [`checked`] knows what it means. Neither may start anything.

pub(crate) mod checked;
mod file;
mod limits;
pub(crate) mod oidc;

use std::fmt;
use std::path::{Path, PathBuf};

use vecferry_migrate::{Code, Problem};

use crate::args::{STORE_VARIABLE, Typed};
use limits::LIMITS;

/// The variable that holds the keys themselves.
pub(crate) const KEY_VARIABLE: &str = "VECFERRY_KEY";
/// Begins the name of every other variable.
const VARIABLE_PREFIX: &str = "VECFERRY_SERVE_";

/// The setting that is the client secret itself.
const OIDC_SECRET: &str = "oidc-client-secret";

/// What a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A text.
    Text,
    /// A text that may hold a secret.
    Secret,
    /// The address of a database, with a password in it.
    Database,
    /// A number.
    Number,
    /// Yes or no.
    Switch,
    /// Any number of texts.
    List,
}

/// A setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it takes.
    pub(crate) kind: Kind,
    /// What it is where nobody says anything; none where that is nothing.
    default: Option<String>,
}

/// Settings that are no limits.
const PLAIN: [(&str, Kind, Option<&str>); 21] = [
    ("listen", Kind::Text, Some("127.0.0.1:19777")),
    ("tls-cert", Kind::Text, None),
    ("tls-key", Kind::Text, None),
    ("behind-tls", Kind::Switch, Some("false")),
    ("trusted-proxies", Kind::List, None),
    ("metrics-open", Kind::Switch, Some("false")),
    ("state-dir", Kind::Text, None),
    ("store", Kind::Database, None),
    ("key-file", Kind::Text, None),
    ("key-command", Kind::Secret, None),
    ("key", Kind::Secret, None),
    ("allow-network", Kind::List, None),
    ("deny-network", Kind::List, None),
    ("oidc-issuer", Kind::Text, None),
    ("oidc-client-id", Kind::Text, None),
    ("oidc-client-secret-file", Kind::Text, None),
    (OIDC_SECRET, Kind::Secret, None),
    ("oidc-redirect-url", Kind::Text, None),
    ("oidc-email-domain", Kind::List, None),
    ("oidc-join", Kind::Text, None),
    ("otlp-endpoint", Kind::Text, None),
];

/// All settings.
fn all() -> Vec<Setting> {
    let plain = PLAIN.iter().map(|(name, kind, default)| Setting {
        name,
        kind: *kind,
        default: default.map(str::to_owned),
    });
    let limits = LIMITS.iter().map(|limit| Setting {
        name: limit.name,
        kind: Kind::Number,
        default: Some(limit.default().to_string()),
    });
    plain.chain(limits).collect()
}

impl Setting {
    /// The variable that sets it.
    pub(crate) fn variable(&self) -> String {
        match self.name {
            "store" => STORE_VARIABLE.to_owned(),
            "key" => KEY_VARIABLE.to_owned(),
            name => format!("{VARIABLE_PREFIX}{}", name.replace('-', "_").to_ascii_uppercase()),
        }
    }

    /// Keys and secrets themselves are in no file of settings.
    fn is_in_files(&self) -> bool {
        !["key", OIDC_SECRET].contains(&self.name)
    }
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody said anything.
    Default,
    /// A line of the file.
    File(PathBuf, usize),
    /// A variable.
    Variable(String),
    /// An option.
    Option(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) | Self::Option(name) => f.write_str(name),
        }
    }
}

/// A setting with its value.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    /// The setting.
    pub(crate) setting: Setting,
    /// Where the value comes from.
    pub(crate) origin: Origin,
    texts: Vec<String>,
}

impl Value {
    /// The setting and where it was set, for people.
    fn place(&self) -> String {
        match &self.origin {
            Origin::Default => format!("`{}`", self.setting.name),
            Origin::File(..) => format!("{}: `{}`", self.origin, self.setting.name),
            Origin::Variable(name) | Origin::Option(name) => format!("`{name}`"),
        }
    }

    /// Why the value can't be used.
    fn refuse(&self, (english, chinese): (String, String)) -> Problem {
        invalid(self.place(), english, chinese)
    }

    /// The only value, or the last one.
    fn text(&self) -> Option<&str> {
        self.texts.last().map(String::as_str)
    }

    /// The values as they may be shown.
    pub(crate) fn shown(&self) -> Vec<String> {
        let shown = |text: &String| match self.setting.kind {
            Kind::Secret => "…".to_owned(),
            Kind::Database => vecferry_store::postgres::without_password(text),
            Kind::Text | Kind::Number | Kind::Switch | Kind::List => text.clone(),
        };
        self.texts.iter().map(shown).collect()
    }
}

/// A configuration that can't be used, with the place and the reason in both languages.
pub(crate) fn invalid(place: impl fmt::Display, english: String, chinese: String) -> Problem {
    let problem = Problem::new(Code::ConfigInvalid).with("where", place);
    problem.with("detail", english).with("detail_zh", chinese)
}

/// All settings with their values.
#[derive(Clone, Debug)]
pub(crate) struct Configuration {
    values: Vec<Value>,
}

impl Configuration {
    /// Reads the file, the variables and what was typed.
    ///
    /// # Errors
    /// The file can't be read, or has something that is no setting.
    pub(crate) fn read(
        file: Option<&Path>,
        variable: impl Fn(&str) -> Option<String>,
        typed: Vec<Typed>,
    ) -> Result<Self, Problem> {
        let settings = all();
        let mut of_file = match file {
            Some(path) => file::read(path, &settings)?,
            None => file::Found::new(),
        };
        let value = |setting: Setting| {
            let named = setting.variable();
            let of_variable = variable(&named).filter(|text| !text.is_empty());
            let of_option = typed.iter().find(|(name, texts)| *name == setting.name && !texts.is_empty());
            let (texts, origin) = match (of_option, of_variable, of_file.remove(setting.name)) {
                (Some((name, texts)), _, _) => (texts.clone(), Origin::Option(format!("--{name}"))),
                (None, Some(text), _) => (of_variable_text(&setting, &text), Origin::Variable(named)),
                (None, None, Some(found)) => found,
                (None, None, None) => (setting.default.iter().cloned().collect(), Origin::Default),
            };
            Value { setting, origin, texts }
        };
        Ok(Self { values: settings.into_iter().map(value).collect() })
    }

    /// All of them.
    pub(crate) fn values(&self) -> &[Value] {
        &self.values
    }

    fn value(&self, name: &str) -> Option<&Value> {
        self.values.iter().find(|value| value.setting.name == name && !value.texts.is_empty())
    }
}

/// A variable holds several values separated by commas.
fn of_variable_text(setting: &Setting, text: &str) -> Vec<String> {
    match setting.kind {
        Kind::List => {
            text.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
        }
        Kind::Text | Kind::Secret | Kind::Database | Kind::Number | Kind::Switch => vec![text.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn values(file: &str, variables: &[(&str, &str)], typed: Vec<Typed>) -> Result<Configuration, Problem> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("vecferry.toml");
        std::fs::write(&path, file).unwrap();
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Configuration::read(Some(&path), variable, typed)
    }

    fn origin(configuration: &Configuration, name: &str) -> (Vec<String>, String) {
        let value = configuration.values().iter().find(|value| value.setting.name == name).unwrap();
        let origin = value.origin.to_string();
        (value.shown(), origin.rsplit('/').next().unwrap().to_owned())
    }

    #[test]
    fn options_come_before_variables_and_these_before_the_file() {
        let file = "listen = \"127.0.0.1:1\"\njobs-total = 7\n\nconnections = 9\ndeny-network = [\"10.0.0.0/8\", \"::1\"]\n";
        let variables = [
            ("VECFERRY_SERVE_JOBS_TOTAL", "8"),
            ("VECFERRY_SERVE_LISTEN", "127.0.0.1:2"),
            ("VECFERRY_SERVE_CHECKS", ""),
            ("VECFERRY_SERVE_ALLOW_NETWORK", "10.0.0.0/8, 192.168.0.0/16"),
        ];
        let read = values(file, &variables, vec![("listen", vec!["127.0.0.1:3".to_owned()])]).unwrap();
        for (name, value, from) in [
            ("listen", "127.0.0.1:3", "--listen"),
            ("jobs-total", "8", "VECFERRY_SERVE_JOBS_TOTAL"),
            ("connections", "9", "vecferry.toml:4"),
            ("deny-network", "10.0.0.0/8 ::1", "vecferry.toml:5"),
            ("allow-network", "10.0.0.0/8 192.168.0.0/16", "VECFERRY_SERVE_ALLOW_NETWORK"),
            ("checks", "8", "default"),
            ("store", "", "default"),
        ] {
            let (values, origin) = origin(&read, name);
            assert_eq!((values.join(" ").as_str(), origin.as_str()), (value, from), "{name}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let variables = [
            ("VECFERRY_KEY", "planted"),
            ("VECFERRY_STORE", "postgres://me:planted@h/d"),
            ("VECFERRY_SERVE_KEY_COMMAND", "vault --token planted"),
            ("VECFERRY_SERVE_OIDC_CLIENT_SECRET", "planted"),
        ];
        let read = values("", &variables, Vec::new()).unwrap();
        assert_eq!(origin(&read, "key"), (vec!["…".to_owned()], "VECFERRY_KEY".to_owned()));
        assert_eq!(origin(&read, "key-command").0, ["…"]);
        assert_eq!(origin(&read, OIDC_SECRET).0, ["…"]);
        assert_eq!(origin(&read, "store").0, ["postgres://me@h/d"]);
    }

    #[test]
    fn every_setting_is_an_option_except_secrets_themselves() {
        let root = crate::args::Cli::command();
        let serve = root.find_subcommand("serve").unwrap();
        let options: Vec<_> = serve.get_arguments().filter_map(clap::Arg::get_long).collect();
        for setting in all().into_iter().filter(Setting::is_in_files) {
            assert!(options.contains(&setting.name), "{}", setting.name);
        }
        assert!(["key", OIDC_SECRET].iter().all(|name| !options.contains(name)));
        // What help says is the default is what it is.
        for setting in all().into_iter().filter(|setting| !matches!(setting.kind, Kind::Switch)) {
            let Some(default) = &setting.default else { continue };
            let arg = serve.get_arguments().find(|arg| arg.get_long() == Some(setting.name)).unwrap();
            let help = arg.get_help().unwrap().to_string();
            assert!(help.ends_with(&format!("[default: {default}]")), "{}: {help}", setting.name);
        }
    }
}
