//! Commands that people copy, as they can be typed.

/// Collections that a command names; more of them are named by their job.
pub const COLLECTIONS_MAX: usize = 10;

/// Commands that need to know where the job that they are about is recorded.
const COMMANDS_ABOUT_JOBS: [&str; 10] = [
    "vecferry jobs",
    "vecferry status",
    "vecferry resume",
    "vecferry rate",
    "vecferry catch-up",
    "vecferry cutover",
    "vecferry cancel",
    "vecferry report",
    "vecferry verify",
    "vecferry load --job",
];

/// A text whose commands about jobs say where these are recorded, so that they work when they are typed as they stand there.
/// `record` is the options for it, with a space in front.
pub fn with_record(text: &str, record: Option<&str>) -> String {
    let Some(record) = record else { return text.to_owned() };
    let mut named = String::with_capacity(text.len() + record.len());
    let mut rest = text;
    while let Some(at) = rest.find("vecferry ") {
        let (before, command) = rest.split_at(at);
        named.push_str(before);
        let is_whole = |known: &&str| {
            let behind = command.strip_prefix(*known);
            behind.is_some_and(|behind| {
                !behind.starts_with(|next: char| next.is_ascii_alphanumeric() || next == '-')
            })
        };
        let known = COMMANDS_ABOUT_JOBS.into_iter().find(is_whole);
        // Behind the name of the command.
        let length = match known {
            Some(known) => known.find(" --").unwrap_or(known.len()),
            None => "vecferry ".len(),
        };
        named.push_str(&command[..length]);
        if known.is_some() {
            named.push_str(record);
        }
        rest = &command[length..];
    }
    named.push_str(rest);
    named
}

/// An argument as it can be typed into a shell.
pub fn shell(argument: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/:@%+=,".contains(c);
    if !argument.is_empty() && argument.chars().all(plain) {
        argument.to_owned()
    } else {
        format!("'{}'", argument.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_about_jobs_name_their_directory() {
        let text = "run `vecferry resume j`, `vecferry load --job j`, `vecferry load --target t`, \
                    `vecferry jobs` or `vecferry migrate`: vecferry cancel j --clean; vecferry catch-up j";
        assert_eq!(with_record(text, None), text);
        assert_eq!(
            with_record(text, Some(" --state-dir '/a b'")),
            "run `vecferry resume --state-dir '/a b' j`, `vecferry load --state-dir '/a b' --job j`, \
             `vecferry load --target t`, `vecferry jobs --state-dir '/a b'` or `vecferry migrate`: \
             vecferry cancel --state-dir '/a b' j --clean; vecferry catch-up --state-dir '/a b' j"
        );
        assert_eq!(with_record("vecferry resumed", Some(" --store a")), "vecferry resumed");
        assert_eq!(with_record("vecferry", Some(" --store a")), "vecferry");
    }

    #[test]
    fn arguments_survive_a_shell() {
        assert_eq!(shell("http://h:1"), "http://h:1");
        assert_eq!(shell("it's *"), r"'it'\''s *'");
        assert_eq!(shell(""), "''");
    }
}
