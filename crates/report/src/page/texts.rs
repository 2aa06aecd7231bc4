//! Every text of the page that is no number, no name and no problem of the catalogue, in English and Chinese.

use vecferry_words::Lang;

macro_rules! labels {
    ($( $name:ident $en:literal $zh:literal; )*) => {
        /// The texts in one language, by name, for the template.
        pub(super) struct Labels { $( pub(super) $name: &'static str, )* }

        static EN: Labels = Labels { $( $name: $en, )* };
        static ZH: Labels = Labels { $( $name: $zh, )* };

        /// Every text with its translation.
        #[cfg(test)]
        pub(super) const PAIRS: &[(&str, &str)] = &[ $( ($en, $zh), )* ];
    };
}

impl Labels {
    pub(super) fn of(lang: Lang) -> &'static Self {
        match lang {
            Lang::En => &EN,
            Lang::Zh => &ZH,
        }
    }
}

labels! {
    html_lang "en" "zh-CN";
    title "Milvus migration report" "Milvus 迁移报告";
    colon ": " "：";
    comma ", " "，";
    /* Between two sentences, and around what stands in brackets. */
    space " " "";
    open " (" "（";
    close ")" "）";

    /* Facts. */
    source "Source" "源集群";
    target "Target" "目标集群";
    started "Started" "开始时间";
    ended "Ended" "结束时间";
    duration "Duration" "总用时";
    waits "The copy waited for" "复制的等待时间";
    max_rate "Rate limit" "限速";
    resource_groups "Resource groups of the source (not copied)" "源集群上的资源组（不复制）";
    job "Job" "任务";
    collections "Collections" "Collection";
    collections_total "Collections in total" "Collection 总数";
    complete "complete" "个已完成";
    rows "Rows" "行数";
    size "Data" "数据量";
    throughput "Throughput" "吞吐量";
    per_second "rows/s on average" "行/秒（平均）";
    average "average over the whole job" "按总用时平均";
    on_the_wire "as sent over the network" "按网络传输量计";
    seed "Sample seed" "抽样种子";

    /* The verification. */
    proof "Verification" "校验";
    proof_none "not verified" "未校验";
    proof_count "row counts" "行数比对";
    proof_sample "row counts and a random sample, bit for bit" "行数比对，并随机抽样逐位比对";
    proof_full "every row, bit for bit" "逐行逐位比对所有行";
    proof_refuted "differences found" "发现差异";
    asked_for "requested" "要求";

    /* Lists of problems. */
    problems "Problems" "问题";
    stopped "Cancellation" "取消情况";
    warnings "Warnings" "警告";
    to_do "What to do" "处理建议";

    /* What comes next. */
    next_steps "Next steps" "后续步骤";
    keep_stopped
        "Keep writes to the source stopped until the applications use the target: rows written to the source after the copy are not on the target."
        "在应用切换到目标集群之前，请保持停止对源集群的写入：复制之后写入源集群的数据不会出现在目标集群上。";
    already_loaded "Every collection on the target is already loaded." "目标集群上的 Collection 均已加载。";
    load
        "Load the collections on the target. They are not loaded yet, so they can't be searched:"
        "在目标集群上加载 Collection。它们尚未加载，加载之前无法检索：";
    load_credentials
        "Set the credentials in VECFERRY_TARGET_TOKEN, and add the --target-ca, --target-cert and --target-key of the migration, if any."
        "请在环境变量 VECFERRY_TARGET_TOKEN 中设置凭证；如迁移时使用了 --target-ca、--target-cert、--target-key，请一并加上。";
    wait_for_indexes
        "Indexes were still being built when the job ended; searches are slower until they are complete. Incomplete:"
        "任务结束时索引仍在构建，完成之前检索较慢。未完成：";
    switch
        "Try a search, then switch the applications to the target's address. Aliases already point to the new collections."
        "先试一次检索，再将应用切换到目标集群的地址。别名已指向新的 Collection。";
    resume_writes
        "Let the writers continue, on the target."
        "在目标集群上恢复写入。";
    keep_source
        "Keep the source unchanged until the target has run well in production, so that you can go back."
        "在目标集群经过生产环境验证之前，请原样保留源集群，以便随时回退。";
    prove
        "Nothing was compared. Verify the copy before the switch: `vecferry verify` compares source and target without copying."
        "尚未做任何比对。切换前请先校验：`vecferry verify` 只比对源集群和目标集群，不复制数据。";
    stay "Keep the applications on the source, and don't use the target. The source was only read and is intact."
        "应用请继续使用源集群，不要使用目标集群。对源集群仅执行了读取，未做任何改动。";
    follow_hints
        "Fix the causes: every problem above says what to do."
        "排除原因：上文每个问题都附有处理建议。";
    complete_is_safe
        "Collections with a ✓ in the list at the end are complete; the job does not copy them again."
        "页末列表中带 ✓ 的 Collection 已完成，任务不会重新复制。";
    incomplete_is_not
        "The others may be incomplete on the target: `vecferry resume JOB` continues where the job stopped, `vecferry cancel JOB --clean` removes what it created."
        "其余 Collection 在目标集群上可能不完整：`vecferry resume JOB` 从任务停止处继续，`vecferry cancel JOB --clean` 删除任务创建的内容。";

    /* Charts. */
    charts "Where time and data went" "用时与数据分布";
    chart_time "Time per collection" "各 Collection 用时";
    chart_size "Share of the data" "各 Collection 数据占比";
    chart_copy "copying rows" "复制数据";
    chart_other "waiting, flushing, indexing, verifying" "等待、落盘、建索引、校验";
    chart_parallel "Collections were copied in parallel, so their times add up to more than the duration."
        "多个 Collection 并行处理，各自用时之和可能超过总用时。";

    /* The table. */
    collection "Collection" "Collection";
    time "Time" "用时";
    rate "Rate" "速率";
    verification "Verification" "校验";
    indexes "Indexes built" "索引构建";
    aliases "Aliases" "别名";
    load_state "Load state" "加载状态";
    loaded "loaded" "已加载";
    not_loaded "not loaded" "未加载";
    not_there "not created" "未创建";
    none "–" "–";

    /* Rounds of a job that copies while its source may change. */
    rounds "Rounds" "各轮";
    round "Round" "轮次";
    round_kind "What it does" "类型";
    round_state "State" "状态";
    round_rows "Rows written" "写入行数";
    window "Downtime window" "停机窗口";
    found "Compared in the last round" "最近一轮的比对";

    /* One collection. */
    details "Collection by collection" "各 Collection 详情";
    details_hint "Expand a line to see partitions, differences, indexes and counts."
        "展开一行可查看 Partition、差异、索引和计数。";
    step "Stopped at" "停止阶段";
    name_there "Name on the target" "目标集群上的名称";
    time_copy "Copy time" "复制用时";
    passed "passed" "通过";
    failed "failed" "未通过";
    source_rows "Rows on the source" "源集群行数";
    target_rows "Rows on the target" "目标集群行数";
    counts_compared "Counts compared" "比对的计数";
    rows_compared "Rows compared bit for bit" "逐位比对的行";
    duplicate_rows "Rows with a duplicate primary key" "主键重复的行";
    partitions "Partitions" "Partition";
    partition "Partition" "Partition";
    by_key "(by partition key)" "（由 Partition Key 决定）";
    rows_read "Rows read" "读取行数";
    rows_written "Rows written" "写入行数";
    equal "Equal" "一致";
    changes "Differences from the source" "与源集群的差异";
    what "What" "项目";
    no_changes "None: the definition is the same as on the source." "无：定义与源集群相同。";
    field "Field" "字段";
    index_type "Type" "类型";
    metric "Metric type" "度量类型";
    built "State" "状态";
    indexes_of "Indexes on the target" "目标集群上的索引";

    /* The end of the page. */
    about "About this report" "关于本报告";
    made_from "Generated by Vecferry from the JSON report, which has every detail:"
        "由 Vecferry 根据 JSON 报告生成，完整内容见：";
    program "Vecferry version" "Vecferry 版本";
    units "Sizes are decimal: 1 MB is 1,000,000 bytes." "大小按十进制计：1 MB 为 1,000,000 字节。";
}

/// How many collections are complete.
pub(super) fn complete_of(lang: Lang, done: usize, total: usize) -> String {
    match total {
        0 => lang.pick("No collection was started.".to_owned(), "尚未开始任何 Collection。".to_owned()),
        1 => lang.pick(
            format!("The collection is {}complete.", if done == 1 { "" } else { "not " }),
            format!("该 Collection {}完成。", if done == 1 { "已" } else { "未" }),
        ),
        _ => lang.pick(
            format!("{done} of {total} collections are complete."),
            format!("{total} 个 Collection 中有 {done} 个已完成。"),
        ),
    }
}

/// What a successful, verified job means.
pub(super) fn arrived(lang: Lang, rows_compared: Option<&str>) -> String {
    match rows_compared {
        None => lang.pick("Every row arrived: all row counts on source and target are equal. Contents were not compared."
                .to_owned(),
            "每一行都已到达：源集群和目标集群的各项行数均一致。未比对内容。".to_owned(),
        ),
        Some(rows) => lang.pick(
            format!(
                "Every row arrived: all row counts on source and target are equal, and so are the {rows} rows that \
                 were compared bit for bit."
            ),
            format!("每一行都已到达：源集群和目标集群的各项行数均一致，逐位比对的 {rows} 行完全相同。"),
        ),
    }
}

/// What a successful job means whose source has duplicate primary keys.
pub(super) fn one_row_a_key(lang: Lang, rows: &str) -> String {
    lang.pick(
        format!(
            "One row of every primary key arrived; {rows} more rows of the source have a duplicate primary key and were \
             not copied. What was compared is equal."
        ),
        format!("每个主键均有一行到达；源集群中另有 {rows} 行主键重复，未复制。比对的内容一致。"),
    )
}

/// What a successful job without verification means.
pub(super) fn unproved(lang: Lang) -> String {
    lang.pick(
        "The target acknowledged every row that was read. Nothing was compared: verification was turned off."
            .to_owned(),
        "读取的每一行均已得到目标集群确认。未做任何比对：校验已关闭。".to_owned(),
    )
}

/// What a successful job means whose source changed.
pub(super) fn drifted(lang: Lang) -> String {
    lang.pick("The source changed during the copy, which --allow-drift accepts: what was written meanwhile may be missing \
         on the target."
            .to_owned(),
        "复制期间源集群发生了变化（--allow-drift 允许）：其间写入的数据可能不在目标集群上。".to_owned(),
    )
}

/// What a failed verification means.
pub(super) fn different(lang: Lang, bad: usize, total: usize) -> String {
    lang.pick(
        format!(
            "Source and target differ in {bad} of {total} collections. Do not use the target; the source was only read."
        ),
        format!(
            "{total} 个 Collection 中有 {bad} 个在源集群和目标集群上不一致。请勿使用目标集群；对源集群仅执行了读取，未做任何改动。"
        ),
    )
}

/// What any other failure means.
pub(super) fn broken(lang: Lang) -> String {
    lang.pick(
        "The migration did not complete. Do not use the target; the source was only read.".to_owned(),
        "迁移未能完成。请勿使用目标集群；对源集群仅执行了读取，未做任何改动。".to_owned(),
    )
}

/// What it means that a job is ready for its cut-over.
pub(super) fn ready(lang: Lang) -> String {
    lang.pick(
        "Everything was copied while the source could still change. It is not verified yet; the cut-over does that."
            .to_owned(),
        "数据已复制，期间源集群可能仍有写入。尚未校验，切换时会校验。".to_owned(),
    )
}

/// What a cancellation means.
pub(super) fn canceled(lang: Lang) -> String {
    lang.pick(
        "The migration was canceled. The target is incomplete; the source was only read.".to_owned(),
        "迁移已取消。目标集群数据不完整；对源集群仅执行了读取，未做任何改动。".to_owned(),
    )
}

/// Collections that a chart does not show one by one.
pub(super) fn rest(lang: Lang, collections: usize) -> String {
    let noun = if collections == 1 { "collection" } else { "collections" };
    lang.pick(format!("The rest: {collections} {noun}"), format!("其余 {collections} 个 Collection"))
}

/// Partitions that the page does not show one by one.
pub(super) fn more_partitions(lang: Lang, partitions: usize) -> String {
    let noun = if partitions == 1 { "partition" } else { "partitions" };
    lang.pick(format!("{partitions} more {noun}"), format!("另有 {partitions} 个 Partition"))
}

/// How much of a time went into the rows.
pub(super) fn copying(lang: Lang, time: &str) -> String {
    lang.pick(format!("copying {time}"), format!("复制 {time}"))
}
