//! The file of settings: TOML, with no tables.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};
use vecferry_migrate::Problem;

use super::{Kind, Origin, Setting, invalid};

/// Values of a file by the names of their settings.
pub(super) type Found = BTreeMap<&'static str, (Vec<String>, Origin)>;

/// Reads the settings of a file.
///
/// # Errors
/// It can't be read, is no TOML, or has what is no setting, or a value of another kind.
pub(super) fn read(path: &Path, settings: &[Setting]) -> Result<Found, Problem> {
    let text = fs::read_to_string(path).map_err(|error| {
        invalid(path.display(), format!("cannot read the file: {error}"), format!("无法读取文件：{error}"))
    })?;
    let table = DeTable::parse(&text).map_err(|error| {
        // Only what is wrong: the line itself may hold a password.
        let line = line(&text, &error.span().unwrap_or_default());
        let place = format!("{}:{line}", path.display());
        let message = error.message().lines().next().unwrap_or_default().to_owned();
        invalid(place, format!("not TOML: {message}"), format!("不是有效的 TOML：{message}"))
    })?;
    let mut found = Found::new();
    for (key, value) in table.get_ref() {
        let name: &str = key.get_ref();
        let line = line(&text, &key.span());
        let place = || format!("{}:{line}: `{name}`", path.display());
        let setting = settings.iter().find(|setting| setting.name == name && setting.is_in_files());
        let Some(setting) = setting else {
            return Err(invalid(place(), "there is no such setting".to_owned(), "没有这项设置".to_owned()));
        };
        let Some(texts) = texts(setting.kind, value) else {
            let (english, chinese) = expected(setting.kind);
            return Err(invalid(place(), format!("must be {english}"), format!("必须是{chinese}")));
        };
        found.insert(setting.name, (texts, Origin::File(path.to_path_buf(), line)));
    }
    Ok(found)
}

/// The line of a place, from 1.
fn line(text: &str, span: &Range<usize>) -> usize {
    let before = text.as_bytes().get(..span.start).unwrap_or_default();
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

/// A value as texts. None where it is of another kind.
fn texts(kind: Kind, value: &Spanned<DeValue<'_>>) -> Option<Vec<String>> {
    let value = value.get_ref();
    let one = |text: String| Some(vec![text]);
    match kind {
        Kind::Text | Kind::Secret | Kind::Database => one(value.as_str()?.to_owned()),
        // With its base, so that a number of another base than ten is refused and not misread.
        Kind::Number => one(value.as_integer().filter(|number| number.radix() == 10)?.as_str().to_owned()),
        Kind::Switch => one(value.as_bool()?.to_string()),
        Kind::List => list(value.as_array()?),
    }
}

fn list(values: &DeArray<'_>) -> Option<Vec<String>> {
    values.iter().map(|value| value.get_ref().as_str().map(str::to_owned)).collect()
}

fn expected(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Text | Kind::Secret | Kind::Database => ("a string", "字符串"),
        Kind::Number => ("a decimal integer", "十进制整数"),
        Kind::Switch => ("true or false", " true 或 false"),
        Kind::List => ("an array of strings", "字符串数组"),
    }
}

#[cfg(test)]
mod tests {
    use vecferry_migrate::{Code, Lang};

    use super::*;

    fn refused(text: &str) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("c.toml");
        fs::write(&path, text).unwrap();
        let problem = read(&path, &super::super::all()).unwrap_err();
        assert_eq!(problem.code, Code::ConfigInvalid);
        problem.what(Lang::En).replace(&directory.path().display().to_string(), "")
    }

    #[test]
    fn what_is_no_setting_is_named_with_its_line() {
        for (text, what) in [
            ("listen = \"a\"\nlisten-on = 1", "/c.toml:2: `listen-on`: there is no such setting"),
            ("\n[tls]\ncert = 1", "/c.toml:2: `tls`: there is no such setting"),
            ("key = \"planted\"", "/c.toml:1: `key`: there is no such setting"),
            ("oidc-client-secret = \"planted\"", "/c.toml:1: `oidc-client-secret`: there is no such setting"),
            ("jobs-total = \"3\"", "/c.toml:1: `jobs-total`: must be a decimal integer"),
            ("jobs-total = 0x10", "/c.toml:1: `jobs-total`: must be a decimal integer"),
            ("listen = 3", "/c.toml:1: `listen`: must be a string"),
            ("behind-tls = \"true\"", "/c.toml:1: `behind-tls`: must be true or false"),
            ("deny-network = \"::1\"", "/c.toml:1: `deny-network`: must be an array of strings"),
            ("deny-network = [1]", "/c.toml:1: `deny-network`: must be an array of strings"),
        ] {
            assert_eq!(refused(text), format!("the configuration is invalid: {what}"));
        }
        let broken = refused("listen = \"a\"\nstore = \"postgres://u:planted@h/d\nchecks = 1");
        assert!(broken.contains("/c.toml:2: not TOML: "), "{broken}");
        assert!(!broken.contains("planted"), "{broken}");
        assert!(refused("listen = \"a\"\nlisten = \"b\"").contains("/c.toml:2: not TOML: duplicate key"));
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let problem = read(Path::new("/nowhere/c.toml"), &[]).unwrap_err();
        let what = problem.what(Lang::En);
        assert!(what.starts_with("the configuration is invalid: /nowhere/c.toml: cannot read"), "{what}");
    }
}
