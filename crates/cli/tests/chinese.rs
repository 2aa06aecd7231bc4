//! The real binary in Chinese: no line of its own is English.
#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed")]

use std::process::{Command, Stdio};

use vecferry_testkit::stand_in::generate::plain;
use vecferry_testkit::stand_in::{Key, Options, Version};
use vecferry_testkit::{StandIn, english_in, free_port};

fn server(version: Version) -> StandIn {
    StandIn::start(Options::new(version))
}

/// Runs a command in Chinese and returns what it says to people, after asserting that none of it is English.
#[track_caller]
fn said(arguments: &[&str], others: &[&str]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_vecferry"))
        .args(arguments)
        .args(["--lang", "zh"])
        .env("XDG_STATE_HOME", directory.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    // A usage is a command.
    for line in said.lines().filter(|line| !line.starts_with("  用法：")) {
        assert_eq!(english_in(line, others), Vec::<String>::new(), "{line}\n{said}");
    }
    said
}

#[test]
fn the_checks_of_a_plan_are_chinese() {
    let (source, target) = (server(Version::V2_3), server(Version::V2_5));
    source.add(&plain("books", false, &[("_default", (0..20).map(Key::Long).collect())]));
    let said = said(&["plan", "--source", &source.uri(), "--target", &target.uri()], &[]);
    for fact in ["源集群：自建（自建 Milvus）", "源集群：回环地址", "目标集群：回环地址"]
    {
        assert!(said.contains(fact), "{said}");
    }
    assert!(!said.contains("source") && !said.contains("loopback"), "{said}");
}

#[test]
fn refusals_of_a_plan_are_chinese() {
    let source = server(Version::V2_3);
    source.add(&plain("books", false, &[("_default", vec![Key::Long(1)])]));
    let nowhere = format!("http://127.0.0.1:{}", free_port());
    let refused = said(&["plan", "--source", &source.uri(), "--target", &nowhere], &[]);
    assert!(refused.contains(&format!("{nowhere} 上没有服务在监听")), "{refused}");
    let same = said(&["plan", "--source", &source.uri(), "--target", &source.uri()], &[]);
    assert!(same.contains("VF-0204") && same.contains("两端的"), "{same}");
}

#[test]
fn unusable_arguments_are_explained_in_chinese() {
    let sides = ["--source", "http://h:1", "--target", "http://h:2"];
    let with = |more: &[&'static str]| -> Vec<&'static str> { [&["plan"], &sides[..], more].concat() };
    for (arguments, says) in [
        (vec!["plan", "--source", "h:1", "--target", "http://h:2"], "`h:1` 没有写明协议"),
        (vec!["plan", "--source", "ftp://h:1", "--target", "http://h:2"], "必须以 http:// 或 https:// 开头"),
        (with(&["--source-cert", "c", "--source-key", "k"]), "无法读取文件 `c`"),
        (with(&["--collection", "a."]), "Database 或 Collection 名称为空"),
        (with(&["--target-db", "a"]), "格式不是 SOURCE_DB=TARGET_DB"),
        (with(&["--target-db", "a=b", "--target-db", "a=c"]), "Database `a` 被映射到了两个 Database"),
        (with(&["--verify", "most"]), "的值 `most` 无效（可用的值：none、count、sample、full）"),
        (with(&["--source-load-parallel", "0"]), "0 不在 1..=64 之内"),
        (with(&["--target-cu", "0"]), "不是 0.001 到 2048 之间的数字"),
        (with(&["--nonsense"]), "无法识别的参数 `--nonsense`"),
        (vec!["plan"], "缺少必需的参数：--source <URI> --target <URI>"),
        (vec!["resume"], "缺少必需的参数："),
        (vec!["nonsense"], "无法识别的命令 `nonsense`"),
        (
            vec!["verify", "--source", "http://h:1", "--target", "http://h:2", "--repair"],
            "需要与 --level full",
        ),
        (vec!["rate", "01", "5"], "没有以 `/s` 结尾"),
        (vec!["status", "01"], "没有任务 `01`"),
        (with(&["--policy", "no-such"]), "`no-such` 不是有效的兼容性策略"),
    ] {
        let said = said(&arguments, &["No such file or directory (os error 2)"]);
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
}

#[test]
fn unusable_records_of_jobs_are_explained_in_chinese() {
    let directory = tempfile::tempdir().unwrap();
    let text = directory.path().join("jobs.db");
    std::fs::write(&text, "no database of Vecferry").unwrap();
    let path = text.to_str().unwrap();
    for (arguments, says) in [
        (["jobs", "--store", "http://h"], "URL 无效：它没有以 `postgres://` 开头"),
        (["jobs", "--store", "postgres://u@h/d?sslmode=most"], "`sslmode` 不是 `disable`、`prefer`"),
        (["restore", "/nowhere/at/all", "--json"], "没有该文件"),
        (["backup", path, "--json"], "没有任务记录"),
    ] {
        let said = said(&arguments, &[]);
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
}
