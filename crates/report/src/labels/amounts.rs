//! Figures with their nouns.

use vecferry_words::Lang;

use crate::figures;

/// `3 of 4`
pub fn number_of(lang: Lang, number: &str, total: &str) -> String {
    lang.pick(format!("{number} of {total}"), format!("{number} / {total}"))
}

/// `about 1,000 rows`
pub fn about_rows(lang: Lang, rows: u64) -> String {
    let number = figures::count(rows);
    let noun = if rows == 1 { "row" } else { "rows" };
    lang.pick(format!("about {number} {noun}"), format!("约 {number} 行"))
}

/// `12 rows`
pub fn some_rows(lang: Lang, rows: u64) -> String {
    let number = figures::count(rows);
    let noun = if rows == 1 { "row" } else { "rows" };
    lang.pick(format!("{number} {noun}"), format!("{number} 行"))
}

/// `12 rows compared`
pub fn rows_compared(lang: Lang, rows: u64) -> String {
    lang.pick(format!("{} compared", some_rows(lang, rows)), format!("已比对 {}", some_rows(lang, rows)))
}

/// `3 collections`
pub fn some_collections(lang: Lang, collections: usize) -> String {
    let noun = if collections == 1 { "collection" } else { "collections" };
    lang.pick(format!("{collections} {noun}"), format!("{collections} 个 Collection"))
}

/// What comes after a list that was cut.
pub fn more(lang: Lang, number: usize) -> String {
    lang.pick(
        format!("… and {number} more (--json shows all)"),
        format!("……另有 {number} 项（--json 显示全部）"),
    )
}

/// `12,000 of about 20,000 rows`
pub fn rows_of(lang: Lang, done: u64, total: u64) -> String {
    let (done_text, total_text) = (figures::count(done), figures::count(total));
    if total == 0 {
        return some_rows(lang, done);
    }
    let percent = figures::percent(done, total);
    lang.pick(
        format!("{done_text} of about {total_text} rows ({percent} %)"),
        format!("{done_text} / 约 {total_text} 行（{percent} %）"),
    )
}

/// `12,000/20,000 rows`
pub fn rows_of_short(lang: Lang, done: u64, total: u64) -> String {
    let (done, total) = (figures::count(done), figures::count(total));
    lang.pick(format!("{done}/{total} rows"), format!("{done}/{total} 行"))
}

/// `5 of 8 collections`, or `5 collections done` where it is not known how many there are.
pub fn collections_done(lang: Lang, done: usize, total: Option<usize>) -> String {
    match total {
        Some(total) => {
            lang.pick(format!("{done} of {total} collections"), format!("{done}/{total} 个 Collection"))
        }
        None => lang.pick(
            format!("{} done", some_collections(lang, done)),
            format!("已完成 {}", some_collections(lang, done)),
        ),
    }
}

/// Time that is left, where it can be told.
pub fn left(lang: Lang, time: Option<&str>) -> String {
    match time {
        Some(time) => lang.pick(format!("{time} left"), format!("剩余 {time}")),
        None => lang.pick("time left unknown".to_owned(), "剩余时间未知".to_owned()),
    }
}
