//! The tables of the support matrix, written from what the tests stated. To write them anew:
//! `VECFERRY_WRITE_DOCS=1 cargo test -p vecferry-testkit --test support_matrix`.
#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use serde_json::Value;
use vecferry_testkit::matrix::{ITEMS, Item, directory, statements};

/// The words of one language.
struct Words {
    file: &'static str,
    item: fn(&Item) -> &'static str,
    head: &'static str,
    real: &'static str,
    stand_in: &'static str,
    line: &'static str,
    to: &'static str,
    listed: &'static str,
    refused: &'static str,
}

const ENGLISH: Words = Words {
    file: "support-matrix.md",
    item: |item| item.en,
    head: "# Support matrix\n\n[简体中文](support-matrix.zh-CN.md)\n\nWhat arrives, from which version to which. The tables are \
           written by the tests that show it: each migrates collections that hold the item, compares every row and the \
           whole definition with means of its own, and states the outcome in `docs/support-matrix/*.json`.\n\n\
           - ✓ arrives as it was\n- listed: arrives with a difference that the plan lists before anything is written\n\
           - refused: before anything is written the pre-check, or the target when it is asked with a scratch collection, \
           refuses the collection; the test has seen that the target itself can't hold it\n- –: the test's source does not hold it (its release has no such thing)\n",
    real: "## Real servers\n\nMilvus 2.3.5 and Milvus Lite run in the tests as they are.\n",
    stand_in: "## Strict stand-in\n\nVersions that no package can be had of are played by a server in the test kit that \
               checks what their proxies check; see `crates/testkit/src/stand_in.rs` for what it shows less than a real one. \
               A cell holds the sources from which the item arrives on the target of the column.\n\n\
               As 2.3, 2.5 and 2.6 it answers what real 2.3.5, 2.5.10 and 2.6.18 answered, call by call, also to users \
               without privileges and, from 2.5 on, under limits (`crates/testkit/tests/conformance.rs`, which names the few \
               calls that are left out). From documentation alone: all of 2.4 and 3.0; on 2.6 Int8Vector, \
               Geometry, Timestamptz, arrays of structs and of vectors, and the rows of nullable vectors.\n",
    line: "item",
    to: "to",
    listed: "listed",
    refused: "refused",
};

const CHINESE: Words = Words {
    file: "support-matrix.zh-CN.md",
    item: |item| item.zh,
    head: "# 支持矩阵\n\n[English](support-matrix.md)\n\n从哪个版本到哪个版本，哪些内容可以完整迁移。下列表格由相应的测试生成：每个测试迁移包含该项的 \
           Collection，用独立的手段比对每一行和完整定义，并把结果写入 `docs/support-matrix/*.json`。\n\n\
           - ✓：原样到达\n- 已列出：到达，但存在差异，写入之前已在计划中列出\n\
           - 拒绝：写入任何内容之前，由预检拒绝，或由目标在被询问（临时 Collection）时拒绝；测试同时确认目标自身无法容纳\n- –：测试的源没有该项（该版本不支持）\n",
    real: "## 真实服务器\n\n测试直接运行 Milvus 2.3.5 和 Milvus Lite。\n",
    stand_in: "## 严格替身\n\n没有安装包可用的版本由测试工具中的替身服务器代替，它执行这些版本 proxy 的校验；与真实服务器的差别见 \
               `crates/testkit/src/stand_in.rs`。单元格中是可以迁移到该列目标的源版本。\n\n\
               作为 2.3、2.5 和 2.6 时，它逐个调用给出真实 2.3.5、2.5.10 和 2.6.18 的应答，包括对无权限用户的应答，以及（2.5 起）限流时的应答\
               （`crates/testkit/tests/conformance.rs`，其中列出了少数未比较的调用）。仅依据文档的部分：\
               2.4 和 3.0 的全部内容；2.6 的 Int8Vector、Geometry、Timestamptz、结构体数组与向量数组，以及可为空向量的数据行。\n",
    line: "项目",
    to: "目标",
    listed: "已列出",
    refused: "拒绝",
};

fn text<'a>(statement: &'a Value, key: &str) -> &'a str {
    statement[key].as_str().unwrap()
}

/// `2.4` of `2.4.17`.
fn release(version: &str) -> String {
    version.split('.').take(2).collect::<Vec<_>>().join(".")
}

fn page(words: &Words, all: &[Value]) -> String {
    let mut page = format!("{}\n{}\n", words.head, words.real);
    let of = |servers: &str| all.iter().filter(|one| text(one, "servers") == servers).collect::<Vec<_>>();
    real(&mut page, words, &of("real"));
    let _ = write!(page, "\n{}\n", words.stand_in);
    stand_ins(&mut page, words, &of("stand-in"));
    page
}

fn real(page: &mut String, words: &Words, statements: &[&Value]) {
    let pairs = statements.iter().map(|one| format!(" {} → {} |", text(one, "source"), text(one, "target")));
    let _ = writeln!(page, "| {} |{}", words.line, pairs.collect::<String>());
    let _ = writeln!(page, "|---|{}", ":---:|".repeat(statements.len()));
    for item in ITEMS.iter().filter(|item| statements.iter().any(|one| !one["items"][item.id].is_null())) {
        let cell = |one: &&Value| match one["items"][item.id].as_str() {
            Some("arrives") => " ✓ |".to_owned(),
            Some("listed") => format!(" {} |", words.listed),
            Some(_) => format!(" {} |", words.refused),
            None => " – |".to_owned(),
        };
        let cells: String = statements.iter().map(cell).collect();
        let _ = writeln!(page, "| {} |{cells}", (words.item)(item));
    }
}

fn stand_ins(page: &mut String, words: &Words, statements: &[&Value]) {
    let targets: BTreeSet<_> = statements.iter().map(|one| text(one, "target")).collect();
    let heads = targets.iter().map(|target| format!(" {} {} |", words.to, release(target)));
    let _ = writeln!(page, "| {} |{}", words.line, heads.collect::<String>());
    let _ = writeln!(page, "|---|{}", "---|".repeat(targets.len()));
    for item in ITEMS.iter().filter(|item| statements.iter().any(|one| !one["items"][item.id].is_null())) {
        let cell = |target: &&str| {
            let to = statements.iter().filter(|one| text(one, "target") == *target);
            let with = |outcome: &str| {
                let found = to.clone().filter(|one| one["items"][item.id] == outcome);
                found.map(|one| release(text(one, "source"))).collect::<Vec<_>>().join(", ")
            };
            match (with("arrives"), with("refused")) {
                (arrives, refused) if refused.is_empty() && arrives.is_empty() => " – |".to_owned(),
                (arrives, refused) if refused.is_empty() => format!(" ✓ {arrives} |"),
                (arrives, refused) if arrives.is_empty() => format!(" {} ({refused}) |", words.refused),
                (arrives, refused) => format!(" ✓ {arrives}; {} ({refused}) |", words.refused),
            }
        };
        let cells: String = targets.iter().map(cell).collect();
        let _ = writeln!(page, "| {} |{cells}", (words.item)(item));
    }
}

#[test]
fn the_tables_say_what_the_tests_stated() {
    let all = statements();
    for words in [&ENGLISH, &CHINESE] {
        let page = page(words, &all);
        let file = directory().parent().unwrap().join(words.file);
        if std::env::var_os("VECFERRY_WRITE_DOCS").is_some() {
            fs::write(&file, &page).unwrap();
        }
        let written = fs::read_to_string(&file).unwrap_or_default();
        assert!(written == page, "docs/{} is not what was stated; see the head of this file", words.file);
    }
}

/// A line without any evidence would be a promise.
#[test]
fn every_line_has_evidence() {
    let all = statements();
    for item in ITEMS {
        let shown = all.iter().any(|one| one["items"][item.id] == "arrives");
        assert!(shown, "no test shows that `{}` arrives", item.id);
    }
}
