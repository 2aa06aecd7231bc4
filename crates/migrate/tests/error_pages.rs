//! Every code has a page in `docs/errors`, written from the catalogue. To write them anew after a change:
//! `VECFERRY_WRITE_DOCS=1 cargo test -p vecferry-migrate --test error_pages`.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use vecferry_migrate::problem::{CATALOGUE, Entry, Text};

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors")
}

/// Placeholders as a reader sees them.
fn readable(template: &str) -> String {
    template.replace('{', "‹").replace('}', "›")
}

fn page(entry: &Entry) -> String {
    let part = |heading: &str, text: &str| format!("**{heading}** {}\n\n", readable(text));
    let told = |text: &Text, [what, hint, service]: [&str; 3]| {
        let in_service = text.service_hint.map(|text| part(service, text)).unwrap_or_default();
        format!("{}{}{in_service}", part(what, text.what), part(hint, text.hint))
    };
    let en = told(&entry.en, ["What happened:", "What to do:", "In the console or by REST:"]);
    let zh = told(&entry.zh, ["发生了什么：", "怎么办：", "在控制台或 REST 中："]);
    format!(
        "# {code}\n\nExit code {exit}.\n\n{en}---\n\n退出码 {exit}。\n\n{zh}\n",
        code = entry.code,
        exit = entry.exit.code(),
        zh = zh.trim_end(),
    )
}

fn index() -> String {
    let mut text = String::from(
        "# Error codes · 错误代码\n\nWritten from the catalogue in `crates/words/src/catalogue.rs`.\n\n\
         | code | exit | what happened | 发生了什么 |\n|---|---|---|---|\n",
    );
    for entry in CATALOGUE {
        let (code, exit) = (entry.code, entry.exit.code());
        let (en, zh) = (readable(entry.en.what), readable(entry.zh.what));
        let _ = writeln!(text, "| [{code}]({code}.md) | {exit} | {en} | {zh} |");
    }
    text
}

#[test]
fn every_code_has_its_page() {
    let pages = CATALOGUE.iter().map(|entry| (format!("{}.md", entry.code), page(entry)));
    let pages: Vec<_> = pages.chain([("README.md".to_owned(), index())]).collect();
    if std::env::var_os("VECFERRY_WRITE_DOCS").is_some() {
        fs::create_dir_all(directory()).unwrap();
        for (name, text) in &pages {
            fs::write(directory().join(name), text).unwrap();
        }
    }
    for (name, text) in &pages {
        let stored = fs::read_to_string(directory().join(name)).unwrap_or_default();
        assert!(
            stored == *text,
            "docs/errors/{name} is not what the catalogue says; see the head of this file"
        );
    }
    let files = fs::read_dir(directory()).unwrap().count();
    assert_eq!(files, pages.len(), "docs/errors has pages of codes that don't exist");
}
