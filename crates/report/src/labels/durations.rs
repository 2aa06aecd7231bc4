//! How long a job takes and took, and its estimate.

use vecferry_migrate::event::Bottleneck;
use vecferry_words::Lang;

use super::bound_by;

/// How long a job takes.
pub fn duration(lang: Lang, seconds: &str) -> String {
    match lang {
        Lang::En => format!("Estimated time of the job: {seconds}"),
        Lang::Zh => format!("预计任务用时：{seconds}"),
    }
}

/// What of it the copy takes, and by which rates.
pub fn duration_of_copy(
    lang: Lang,
    seconds: &str,
    (read, is_measured): (&str, bool),
    (write, is_quota): (&str, bool),
    bottleneck: Option<Bottleneck>,
) -> String {
    let bound = bottleneck.map(|bottleneck| bound_by(lang, bottleneck)).unwrap_or_default();
    match lang {
        Lang::En => {
            let write_basis = if is_quota { "quota of its plan" } else { "assumed" };
            let read_basis = known_by(lang, is_measured);
            format!("  copy {seconds} (source {read}, {read_basis}; target {write}, {write_basis}). {bound}")
        }
        Lang::Zh => {
            let write_basis = if is_quota { "部署方式的配额" } else { "假设" };
            let read_basis = known_by(lang, is_measured);
            format!(
                "  复制 {seconds}（源集群 {read}，{read_basis}；目标集群 {write}，{write_basis}）。{bound}"
            )
        }
    }
    .trim_end()
    .to_owned()
}

/// What of it the steps of the collections and the verification take.
pub fn duration_of_steps(lang: Lang, steps: &str, is_measured: bool, verify: &str) -> String {
    let basis = known_by(lang, is_measured);
    match lang {
        Lang::En => {
            format!("  fixed steps of all collections {steps} ({basis}); verification of the rows {verify}")
        }
        Lang::Zh => format!("  各 Collection 的固定步骤 {steps}（{basis}）；行校验 {verify}"),
    }
}

fn known_by(lang: Lang, is_measured: bool) -> &'static str {
    match (lang, is_measured) {
        (Lang::En, true) => "measured",
        (Lang::En, false) => "assumed",
        (Lang::Zh, true) => "实测",
        (Lang::Zh, false) => "假设",
    }
}

/// How long the window is behind a warm copy.
pub fn warm_window(lang: Lang, seconds: &str) -> String {
    lang.pick(
        format!("Downtime window: this time; with --warm (copy now, switch later), about {seconds}"),
        format!("停机窗口：即以上时间；使用 --warm（先复制，后切换）时约 {seconds}"),
    )
}

/// How long the target builds its indexes.
pub fn searchable_after(lang: Lang, seconds: &str) -> String {
    match lang {
        Lang::En => format!(
            "  full search speed about {seconds} after the copy: the target builds its indexes in the background, even after the job has ended"
        ),
        Lang::Zh => {
            format!("  复制后约 {seconds} 可全速检索：目标集群在后台构建索引，任务结束后仍会继续")
        }
    }
}

/// What became of the estimate of the copy.
pub fn estimate_kept(lang: Lang, took: &str, expected: &str) -> String {
    match lang {
        Lang::En => format!("The copy took {took}; the estimate was {expected}."),
        Lang::Zh => format!("复制用时 {took}，预计 {expected}。"),
    }
}

/// What became of the estimate of the job.
pub fn estimate_of_job_kept(lang: Lang, took: &str, expected: &str) -> String {
    match lang {
        Lang::En => format!("The job took {took}; the estimate was {expected}."),
        Lang::Zh => format!("任务用时 {took}，预计 {expected}。"),
    }
}

/// How long a job has been running, in all attempts.
pub fn worked(lang: Lang, time: &str, attempts: u64) -> String {
    let attempts = in_attempts(lang, attempts);
    match lang {
        Lang::En => format!("Running time: {time}{attempts}"),
        Lang::Zh => format!("运行用时：{time}{attempts}"),
    }
}

/// The same of a job that ended, and how long its last attempt was.
pub fn worked_in_attempts(lang: Lang, all: &str, attempts: u64, last: &str) -> String {
    match lang {
        Lang::En => format!(
            "All {attempts} attempts took {all}, the last one {last}; the time between them is not counted."
        ),
        Lang::Zh => format!("{attempts} 次尝试共用时 {all}，其中最后一次 {last}；不计各次尝试之间的时间。"),
    }
}

/// How often a job was begun, behind its time; nothing for one that was begun once.
pub fn in_attempts(lang: Lang, attempts: u64) -> String {
    match lang {
        _ if attempts < 2 => String::new(),
        Lang::En => format!(" ({attempts} attempts)"),
        Lang::Zh => format!("（{attempts} 次尝试）"),
    }
}
