//! Names of columns, and headings.

vecferry_words::sentences! {
    pub,
    /// Name of a column.
    collection "collection" "Collection";
    /// Heading of what is left to be done once a job is ready.
    checklist "To switch" "切换步骤";
    /// Heading of what the newest round found to differ, by collection.
    differences_found "Differences that the last round found" "最近一轮发现的差异";
    /// Name of a column.
    collections "collections" "Collection 数";
    /// Name of a column.
    rows "rows" "行数";
    /// Name of a column.
    rows_estimated "rows (about)" "行数（约）";
    /// Name of a column.
    source_rows "source rows" "源集群行数";
    /// Name of a column.
    target_rows "target rows" "目标集群行数";
    /// Name of a column.
    size "size" "大小";
    /// Name of a column.
    time "time" "用时";
    /// Name of a column.
    rows_per_second "rows/s" "行/秒";
    /// Name of a column.
    rate "rate" "速率";
    /// Name of a column.
    partitions "partitions" "Partition";
    /// Name of a column.
    aliases "aliases" "别名";
    /// Name of a column.
    verification "verification" "校验";
    /// Name of a column.
    remark "note" "备注";
    /// Name of a column.
    splits "key ranges" "主键区间";
    /// Name of a column.
    job_number "job" "任务";
    /// Name of a column.
    job_state "state" "状态";
    /// Name of a column.
    started "started" "开始时间";
    /// Address of the source.
    from "from" "源集群";
    /// Address of the target.
    to "to" "目标集群";
    /// Name of a column.
    bytes_of_row "bytes/row" "每行字节数";
    /// Name of a column.
    basis "based on" "依据";
    /// Name of a column.
    cu_type "CU type" "CU 类型";
    /// Name of a column.
    cu_filled "CU needed" "所需 CU";
    /// Name of a column.
    cu_to_order "CU to choose" "建议 CU 规格";
    /// Name of the line of all collections.
    total "total" "合计";
    /// Heading of a plan.
    plan "Plan" "迁移计划";
    /// Databases to create.
    new_databases "New databases on the target" "目标集群上将创建的 Database";
    /// Differences, planned or found.
    changes "Differences from the source" "与源集群的差异";
    /// Heading of the indexes.
    indexes "Indexes on the target" "目标集群上的索引";
    /// Resource groups.
    resource_groups "Resource groups of the source (not copied)" "源集群上的资源组（不复制）";
    /// What a cancellation removed.
    removed "removed from the target" "已从目标集群删除";
    /// What was loaded.
    loaded "loaded" "已加载";
}
