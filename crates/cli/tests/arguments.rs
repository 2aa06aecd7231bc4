//! The real binary with arguments that need no server: what it refuses, with which code, in both languages.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

/// The binary without anything of the environment that could change what it says.
fn vecferry(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vecferry"));
    for (name, _) in std::env::vars_os() {
        let name_text = name.to_string_lossy();
        if name_text.starts_with("VECFERRY_") || name_text.starts_with("LC_") || name_text.starts_with("XDG_")
        {
            command.env_remove(&name);
        }
    }
    command.env("LANG", "C").env_remove("NO_COLOR").args(arguments).stdin(std::process::Stdio::null());
    command
}

struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn ended(command: &mut Command) -> Ended {
    let Output { status, stdout, stderr } = command.output().unwrap();
    Ended {
        code: status.code(),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    }
}

fn run(arguments: &[&str]) -> Ended {
    ended(&mut vecferry(arguments))
}

/// `migrate` between two addresses at which nothing listens, with its state in `dir`.
fn migrate(dir: &Path, more: &[&str]) -> Ended {
    let dir = dir.to_string_lossy();
    let mut arguments = vec!["migrate", "--yes", "--state-dir", &dir];
    arguments.extend(more);
    run(&arguments)
}

/// A port at which nothing listens.
fn dead_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

const SIDES: [&str; 4] = ["--source", "http://127.0.0.1:1", "--target", "http://127.0.0.1:2"];

#[test]
fn no_command_is_explained() {
    let ended = run(&[]);
    assert_eq!(ended.code, Some(2));
    assert_eq!(ended.stdout, "");
    assert_eq!(
        ended.stderr,
        "error[VF-0001]: invalid arguments: no command given (commands: demo, plan, migrate, capacity, jobs, status, resume, \
         rate, cancel, report, verify, load, serve, config, backup, restore, completions)\n  hint: run the command with --help to see its options\n"
    );
}

#[test]
fn help_and_version_are_results() {
    for arguments in [&["--help"][..], &["migrate", "--help"], &["help"], &["help", "load"]] {
        let ended = run(arguments);
        assert_eq!(ended.code, Some(0), "{arguments:?}");
        assert!(ended.stdout.contains("Usage: vecferry"), "{}", ended.stdout);
        assert!(!ended.stdout.contains("sandbox"), "{}", ended.stdout);
        assert_eq!(ended.stderr, "");
    }
    let version = run(&["--version"]);
    assert_eq!((version.code, version.stderr.as_str()), (Some(0), ""));
    assert_eq!(version.stdout, format!("vecferry {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn help_speaks_chinese() {
    let by_flag = run(&["migrate", "--help", "--lang", "zh"]);
    assert_eq!((by_flag.code, by_flag.stderr.as_str()), (Some(0), ""));
    assert!(by_flag.stdout.contains("用法：vecferry migrate"), "{}", by_flag.stdout);
    let by_locale = ended(vecferry(&["help", "load"]).env("LANG", "zh_CN.UTF-8"));
    assert!(by_locale.stdout.contains("用法：vecferry load"), "{}", by_locale.stdout);
    let overruled = ended(vecferry(&["--lang", "en", "--help"]).env("LANG", "zh_CN.UTF-8"));
    assert!(overruled.stdout.contains("Usage: vecferry"), "{}", overruled.stdout);
}

#[test]
fn help_says_what_rounds_do_only_if_asked() {
    for (command, more) in [("catch-up", &[][..]), ("cutover", &["Start without confirmation"][..])] {
        let help = run(&[command, "--help"]);
        assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
        for says in [
            "Usage: vecferry",
            "--accept-dropped",
            "Remove collections from the target that the source dropped since",
            "--recopy",
            "They are removed from the target first",
            "--overwrite-target",
            "Remove rows that others wrote to the target",
            "--max-rate",
            "--source-token",
            "--target-ca",
            "--state-dir",
        ]
        .iter()
        .chain(more)
        {
            assert!(help.stdout.contains(says), "{command}: `{says}` is not in {}", help.stdout);
        }
        assert!(!help.stdout.contains("--by-workers"), "{}", help.stdout);
        let chinese = run(&[command, "--help", "--lang", "zh"]);
        let of_command = format!("用法：vecferry {command} [OPTIONS] <JOB>");
        for says in
            [&of_command, "源集群此后已删除的 Collection", "其他程序写入目标集群的行", "重新复制源集群"]
        {
            assert!(chinese.stdout.contains(says), "{command}: `{says}` is not in {}", chinese.stdout);
        }
        assert!(!chinese.stdout.contains("Without it"), "{}", chinese.stdout);
    }
    assert!(!run(&["catch-up", "--help"]).stdout.contains("--yes"));
}

#[test]
fn rounds_take_a_job_and_nothing_else() {
    for (arguments, says) in [
        (&["cutover"][..], "<JOB>"),
        (&["catch-up"], "<JOB>"),
        (&["catch-up", "01", "--yes"], "unexpected argument '--yes'"),
        (&["cutover", "01", "02"], "unexpected argument '02'"),
        (&["cutover", "01", "--recopy", "--recopy"], "--recopy"),
        (&["cutover", "01", "--collection", "books"], "unexpected argument '--collection'"),
    ] {
        let ended = run(arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains("VF-0001") && ended.stderr.contains(says), "{}", ended.stderr);
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().to_string_lossy();
    let of_job = |command, more: &[&str]| run(&[&[command, "01", "--state-dir", &dir], more].concat());
    for command in ["catch-up", "cutover"] {
        let ended = of_job(command, &["--max-rate", "quick"]);
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains("`quick`"), "{}", ended.stderr);
        let ended = of_job(command, &[]);
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains("error[VF-0007]: no such job"), "{}", ended.stderr);
    }
}

#[test]
fn help_names_variables_but_never_their_values() {
    let help = ended(vecferry(&["migrate", "--help"]).env("VECFERRY_SOURCE_TOKEN", "root:hunter2"));
    assert!(help.stdout.contains("VECFERRY_SOURCE_TOKEN") && help.stdout.contains("VECFERRY_TARGET_TOKEN"));
    assert!(!help.stdout.contains("hunter2"));
}

#[test]
fn unknown_flags_are_explained() {
    let ended = run(&["migrate", "--sauce", "http://h:1"]);
    assert_eq!(ended.code, Some(2));
    assert!(
        ended.stderr.starts_with("error[VF-0001]: invalid arguments: unexpected argument '--sauce' found"),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("Usage: vecferry migrate"), "{}", ended.stderr);
}

#[test]
fn values_out_of_range_are_explained() {
    let ended = run(&["migrate", "--verify", "everything"]);
    assert_eq!(ended.code, Some(2));
    assert!(
        ended.stderr.contains("VF-0001")
            && ended.stderr.contains("[possible values: none, count, sample, full]")
    );
    let ended = run(&["migrate", "--source-load-parallel", "0"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("VF-0001") && ended.stderr.contains("1..=64"), "{}", ended.stderr);
}

#[test]
fn refusals_speak_chinese() {
    let ended = run(&["--lang", "zh"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.starts_with("错误[VF-0001]：参数无效：未指定命令"), "{}", ended.stderr);
    assert!(ended.stderr.contains("\n  建议：加上 --help 查看可用的选项\n"), "{}", ended.stderr);

    let dir = tempfile::tempdir().unwrap();
    let arguments = [
        "migrate",
        "--state-dir",
        &dir.path().to_string_lossy(),
        "--source",
        "h:1",
        "--target",
        "http://h:2",
    ];
    let by_locale = self::ended(vecferry(&arguments).env("LC_ALL", "zh_CN.UTF-8"));
    assert!(by_locale.stderr.starts_with("错误[VF-0002]：无法使用源集群的地址："), "{}", by_locale.stderr);
    let by_flag = self::ended(vecferry(&arguments).env("LC_ALL", "zh_CN.UTF-8").args(["--lang", "en"]));
    assert!(
        by_flag.stderr.starts_with("error[VF-0002]: the source address can't be used:"),
        "{}",
        by_flag.stderr
    );
}

#[test]
fn bad_addresses_are_refused_on_both_sides_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let ended = migrate(dir.path(), &["--source", "localhost:19530", "--target", "http://root:hunter2@h:1"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains(
        "error[VF-0002]: the source address can't be used: `localhost:19530` has no scheme; write http:// or https:// \
         in front of it\n  hint: write http://host:port"
    ));
    assert!(ended.stderr.contains("error[VF-0002]: the target address can't be used: "), "{}", ended.stderr);
    assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
}

#[test]
fn bad_rates_are_refused_with_the_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().to_string_lossy();
    let of_migrate = migrate(dir.path(), &[&SIDES[..], &["--max-rate", "20MB"]].concat());
    let of_resume = run(&["resume", "01", "--max-rate", "20MB", "--state-dir", &state]);
    let of_rate = run(&["rate", "01", "20MB", "--state-dir", &state]);
    for ended in [of_migrate, of_resume, of_rate] {
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(
            ended.stderr.contains("error[VF-0015]: `20MB` is not a valid rate limit"),
            "{}",
            ended.stderr
        );
        assert!(
            ended.stderr.contains("hint: write bytes or rows per second, such as 20MB/s"),
            "{}",
            ended.stderr
        );
    }
    let unknown = run(&["rate", "01", "20MB/s", "--state-dir", &state]);
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.stderr.contains("error[VF-0007]"), "{}", unknown.stderr);
    let chinese = run(&["rate", "01", "0MB/s", "--lang", "zh", "--state-dir", &state]);
    assert!(chinese.stderr.contains("错误[VF-0015]：`0MB/s` 不是有效的限速值"), "{}", chinese.stderr);
}

#[test]
fn bad_selectors_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (flag, value) in [("--collection", "a."), ("--exclude", "a.b*"), ("--target-db", "a")] {
        let mut arguments = SIDES.to_vec();
        arguments.extend([flag, value]);
        let ended = migrate(dir.path(), &arguments);
        assert_eq!(ended.code, Some(2));
        let expected = format!("error[VF-0004]: `{value}` does not name a collection: ");
        assert!(ended.stderr.starts_with(&expected), "{}", ended.stderr);
    }
    let mut arguments = SIDES.to_vec();
    arguments.extend(["--target-db", "a=b", "--target-db", "a=c"]);
    let ended = migrate(dir.path(), &arguments);
    assert!(
        ended.stderr.contains("VF-0004") && ended.stderr.contains("is mapped to two databases"),
        "{}",
        ended.stderr
    );
}

#[test]
fn missing_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let ended = migrate(
        dir.path(),
        &["--source", "https://h:1", "--source-ca", "/nonexistent/ca.pem", "--target", "http://h:2"],
    );
    assert_eq!(ended.code, Some(2));
    assert_eq!(
        ended.stderr,
        "error[VF-0005]: the file `/nonexistent/ca.pem` can't be read: No such file or directory (os error 2)\n  hint: \
         check the path and its permissions\n"
    );
}

#[test]
fn of_a_certificate_and_a_key_only_the_missing_file_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let certificate = dir.path().join("client.pem");
    fs::write(&certificate, "x").unwrap();
    let certificate = certificate.to_string_lossy();
    let ended = migrate(
        &dir.path().join("state"),
        &[
            "--source",
            "https://h:1",
            "--source-cert",
            &certificate,
            "--source-key",
            "/nonexistent/key.pem",
            "--target",
            "http://h:2",
        ],
    );
    assert_eq!(ended.code, Some(2));
    assert_eq!(ended.stderr.matches("error[").count(), 1, "{}", ended.stderr);
    assert!(ended.stderr.starts_with("error[VF-0005]: the file `/nonexistent/key.pem`"), "{}", ended.stderr);
}

#[test]
fn certificates_without_encryption_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    fs::write(&ca, "x").unwrap();
    let ended =
        run(&["load", "--target", "http://h:1", "--collection", "a", "--target-ca", &ca.to_string_lossy()]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("VF-0002") && ended.stderr.contains("is not https"), "{}", ended.stderr);
}

#[test]
fn a_state_directory_that_cannot_be_written_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let ended = migrate(&file, &SIDES);
    assert_eq!(ended.code, Some(2));
    let expected = format!("error[VF-0006]: the state directory `{}` can't be used: ", file.display());
    assert!(ended.stderr.starts_with(&expected), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("\n  hint: choose a writable directory with enough space, with --state-dir\n"),
        "{}",
        ended.stderr
    );

    let mut homeless = vecferry(&["migrate", "--yes"]);
    homeless.args(SIDES).env_remove("HOME");
    let ended = self::ended(&mut homeless);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("neither XDG_STATE_HOME nor HOME is set"), "{}", ended.stderr);
}

#[test]
fn a_state_directory_that_others_may_look_into_is_refused_with_the_way_out() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("notes"), "of somebody's").unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let shown = dir.path().display();
    let ended = migrate(dir.path(), &SIDES);
    assert_eq!(ended.code, Some(2));
    let expected = format!("error[VF-0020]: other users can access the state directory `{shown}` (mode 755)");
    assert!(ended.stderr.starts_with(&expected), "{}", ended.stderr);
    assert!(ended.stderr.contains(&format!("run `chmod 700 {shown}`")), "{}", ended.stderr);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is made there");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(run(&["jobs", "--state-dir", dir.path().to_str().unwrap()]).code, Some(0));
}

#[test]
fn a_dead_port_is_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let address = format!("http://127.0.0.1:{}", dead_port());
    let sides = ["--source", &address, "--target", &address];
    let ended = migrate(dir.path(), &sides);
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert!(ended.stderr.contains("error[VF-0102]: the source can't be reached: "), "{}", ended.stderr);
    assert!(ended.stderr.contains("  hint: check that the server is running"), "{}", ended.stderr);
    assert_eq!(ended.stdout, "");

    let verify = run(&["verify", sides[0], sides[1], sides[2], sides[3]]);
    assert_eq!(verify.code, Some(3), "{}", verify.stderr);
    assert!(verify.stderr.contains("VF-0102"), "{}", verify.stderr);

    let load = run(&["load", "--target", &address, "--collection", "a"]);
    assert_eq!(load.code, Some(3), "{}", load.stderr);
    assert!(load.stderr.contains("error[VF-0102]: the target can't be reached: "), "{}", load.stderr);
}

#[test]
fn machines_get_refusals_as_json() {
    let ended = run(&["--json", "migrate", "--nonsense"]);
    assert_eq!(ended.code, Some(2));
    let line: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(line["event"], "refused");
    assert_eq!(line["problems"][0]["code"], "VF-0001");
    assert!(line["problems"][0]["message_zh"].as_str().unwrap().starts_with("参数无效"));
    assert!(ended.stderr.starts_with("error[VF-0001]"));
}

#[test]
fn tokens_are_never_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let address = format!("http://127.0.0.1:{}", dead_port());
    let ended = migrate(
        dir.path(),
        &[
            "--source",
            &address,
            "--target",
            &address,
            "--source-token",
            "root:hunter2",
            "--target-token",
            "hunter2",
        ],
    );
    assert!(!ended.stderr.contains("hunter2") && !ended.stdout.contains("hunter2"));
}

#[test]
fn colors_are_as_asked_for() {
    assert!(!run(&[]).stderr.contains('\u{1b}'));
    assert!(run(&["--color", "always"]).stderr.starts_with("\u{1b}[1;31merror[VF-0001]\u{1b}[0m"));
    assert!(!run(&["--color", "never"]).stderr.contains('\u{1b}'));
}

#[test]
fn completions_are_printed_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ended = run(&["completions", shell]);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        assert!(ended.stdout.contains("source-load-parallel"), "{shell}");
    }
    assert_eq!(run(&["completions", "dos"]).code, Some(2));
}

#[test]
fn a_reader_that_went_away_is_no_failure() {
    use std::process::Stdio;
    let mut child = vecferry(&["completions", "bash"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_record_of_jobs_that_cannot_be_read_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let jobs = || run(&["jobs", "--state-dir", dir.path().to_str().unwrap()]);
    assert_eq!((jobs().code, jobs().stdout.as_str()), (Some(0), "no jobs recorded here\n"));
    let file = dir.path().join("ledger.sqlite3");
    let mut bytes = fs::read(&file).unwrap();
    // The version stands in the file's header.
    bytes[60..64].copy_from_slice(&99u32.to_be_bytes());
    fs::write(&file, &bytes).unwrap();
    let ended = jobs();
    assert_eq!(ended.code, Some(2));
    assert!(
        ended.stderr.contains("error[VF-0008]") && ended.stderr.contains("version 99"),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("hint: use the version of vecferry that wrote it"), "{}", ended.stderr);

    fs::write(&file, "this is no record of jobs, and it stays what it is").unwrap();
    let ended = jobs();
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("error[VF-0009]"), "{}", ended.stderr);
    assert!(fs::read_to_string(&file).unwrap().starts_with("this is no record"));
}

#[test]
fn a_database_of_jobs_is_reached_or_named_without_its_password() {
    let nowhere = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("postgres://me:hunter2@127.0.0.1:{nowhere}/jobs");
    for (url, code, text) in [
        (
            url.as_str(),
            "VF-0023",
            format!("the job database `postgres://me@127.0.0.1:{nowhere}/jobs` can't be reached"),
        ),
        ("postgres://me:hunter2@/jobs?sslmode=maybe", "VF-0025", "`sslmode` is not one of".to_owned()),
        ("mysql://me:hunter2@h/jobs", "VF-0025", "does not start with `postgres://`".to_owned()),
        (
            "host=h user=me password=hunter2",
            "VF-0025",
            "`postgres://…` can't be used: invalid URL".to_owned(),
        ),
    ] {
        let by_option = run(&["jobs", "--store", url]);
        let by_variable = ended(vecferry(&["jobs"]).env("VECFERRY_STORE", url));
        for ended in [by_option, by_variable] {
            assert_eq!(ended.code, Some(3), "{}", ended.stderr);
            assert!(ended.stderr.starts_with(&format!("error[{code}]: ")), "{}", ended.stderr);
            assert!(ended.stderr.contains(&text), "{}", ended.stderr);
            assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
        }
    }
}

#[test]
fn a_log_is_text_or_json_and_a_filter_is_checked() {
    let directory = tempfile::tempdir().unwrap();
    let refused = run(&["jobs", "--log", "vecferry=loud"]);
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(
        refused.stderr.starts_with("error[VF-0001]: invalid arguments: --log vecferry=loud"),
        "{}",
        refused.stderr
    );

    let logged = |more: &[&str]| migrate(directory.path(), &[&SIDES[..], &["--log", "debug"], more].concat());
    let text = logged(&[]);
    assert!(text.stderr.contains("call{method="), "{}", text.stderr);
    let json = logged(&["--log-format", "json"]);
    let lines = json.stderr.lines().filter(|line| line.starts_with('{')).map(|line| {
        assert!(line.ends_with('}') && line.contains("\"level\":"), "{line}");
    });
    assert!(lines.count() > 0, "{}", json.stderr);
}

#[test]
fn an_empty_variable_names_no_database() {
    let state = tempfile::tempdir().unwrap();
    let directory = state.path().join("jobs");
    let jobs =
        ended(vecferry(&["jobs", "--state-dir", &directory.to_string_lossy()]).env("VECFERRY_STORE", ""));
    assert_eq!(jobs.code, Some(0), "{}", jobs.stderr);
}
