//! Which language people are spoken to in.

use vecferry_migrate::Lang;

/// The language of the locale, as the C library finds it: the first of three variables that is not empty decides.
pub(crate) fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Lang {
    let locale = ["LC_ALL", "LC_MESSAGES", "LANG"]
        .into_iter()
        .filter_map(variable)
        .find(|value| !value.is_empty())
        .unwrap_or_default();
    if locale.to_ascii_lowercase().starts_with("zh") { Lang::Zh } else { Lang::En }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detect(variables: &[(&str, &str)]) -> Lang {
        of_environment(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_first_variable_that_is_set_decides() {
        assert_eq!(detect(&[]), Lang::En);
        assert_eq!(detect(&[("LANG", "zh_CN.UTF-8")]), Lang::Zh);
        assert_eq!(detect(&[("LANG", "zh_CN.UTF-8"), ("LC_ALL", "C")]), Lang::En);
        assert_eq!(detect(&[("LANG", "en_US.UTF-8"), ("LC_MESSAGES", "zh_TW")]), Lang::Zh);
        assert_eq!(detect(&[("LANG", "ZH"), ("LC_ALL", "")]), Lang::Zh);
    }
}
