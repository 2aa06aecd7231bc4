//! What a plan, a dry run and an estimate of compute units say.

use vecferry_words::Lang;

vecferry_words::sentences! {
    pub,
    /// Remark of a collection that has to be loaded.
    loaded_for_copy "loaded on the source for the copy, then released" "为复制在源集群上临时加载，随后释放";
    /// Instead of something that the server does not tell this user.
    not_told "unknown: not visible to this user" "未知：该用户无权查看";
    /// What happens to rows of the source.
    plan_promise
        "The source is only read. Collections on the target are left unloaded; what exists there is left unchanged."
        "对源集群只读。迁移后目标集群上的 Collection 处于未加载状态；目标集群上已有的内容保持不变。";
    /// What a dry run skipped.
    not_read "Not read, because they are not loaded" "未加载，因此未读取";
    /// After a dry run.
    nothing_written "Nothing was written." "未写入任何内容。";
    /// Where no row could be looked at.
    assumed "types; the rest is assumed" "字段类型，其余为假设";
}

/// A database that has another name on the target.
pub fn destination(source: &str, target_db: &str) -> String {
    format!("{source} → {target_db}")
}

/// How sizes are known.
pub fn sampled(lang: Lang, rows: u64) -> String {
    match lang {
        Lang::En => format!("types and {rows} rows"),
        Lang::Zh => format!("字段类型与 {rows} 行样本"),
    }
}

/// What an estimate of compute units rests on.
pub fn cu_assumptions(lang: Lang, margin_percent: f64) -> String {
    match lang {
        Lang::En => format!(
            "This is an estimate: the bytes of all fields, measured against the vendor's table of vectors per CU, plus {margin_percent:.0} %, \
             rounded up to an available size (Tiered starts at 8 CU). Data already on the target comes on top."
        ),
        Lang::Zh => format!(
            "此为估算：按所有字段的字节数对照厂商的“每 CU 向量数”表，加 {margin_percent:.0} % 余量，并向上取到可选规格（分层存储型从 8 CU 起）。目标集群上已有的数据需另计。"
        ),
    }
}
