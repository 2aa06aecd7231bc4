//! Room: memory of the target for the proof and for the load afterwards, disk for the record of the job.

use std::path::Path;

use vecferry_milvus::{Client, Error};

use super::list::CheckList;
use crate::cluster::load_state::{free_disk, free_memory, memory_estimate};
use crate::plan::Plan;
use crate::problem::CheckId;
use crate::problem::{Code, Problem, Side, Told};
use crate::problem::{does_not_fit, mebibytes};
use crate::request::VerifyLevel;

/// Disk that rows take, in times of their bytes: once in the log, once in segments, and once in indexes.
const DISK_TIMES_ROWS: u64 = 3;
/// Room that the record of a job needs in any case: its tables, and what SQLite writes ahead.
const RECORD_BYTES_MIN: u64 = 16 << 20;
/// Of each thousand rows some keys are recorded for the proof; with what SQLite adds.
const RECORD_BYTES_PER_THOUSAND_ROWS: u64 = 400;

/// Looks whether the target can load each collection for its proof, and all together afterwards.
pub(crate) async fn memory(
    list: &mut CheckList,
    target: &Client,
    plan: &Plan,
    verify: VerifyLevel,
) -> Result<(), Error> {
    let Some(free) = free_memory(target).await? else {
        list.passed(
            CheckId::Capacity,
            [Told::both("memory: not told by the target", "内存：目标集群未提供")],
        );
        return Ok(());
    };
    let mut total = 0_u64;
    for planned in &plan.collections {
        let needed = memory_estimate(&planned.described, planned.rows_estimate);
        total = total.saturating_add(needed);
        if needed > free && verify != VerifyLevel::None {
            list.fail(does_not_fit(&planned.target, Side::Target, needed, free));
        }
    }
    list.passed(CheckId::Capacity, [needed_and_free(total, free).behind("memory: ", "内存：")]);
    if total > free {
        let problem = Problem::new(Code::MayNotFit).with("needed", mebibytes(total));
        list.warn(CheckId::Capacity, problem.with("free", mebibytes(free)));
    }
    Ok(())
}

/// Looks whether the disks of the target's nodes have room for the rows, as far as the nodes say.
pub(crate) async fn disk(list: &mut CheckList, target: &Client, plan: &Plan) -> Result<(), Error> {
    let Some(free) = free_disk(target).await? else {
        list.passed(CheckId::Capacity, [Told::both("disk: not told by the target", "磁盘：目标集群未提供")]);
        return Ok(());
    };
    let bytes: f64 =
        plan.collections.iter().map(|planned| planned.size.bytes() * planned.rows_estimate as f64).sum();
    let needed = bytes as u64 * DISK_TIMES_ROWS;
    list.passed(CheckId::Capacity, [needed_and_free(needed, free).behind("disk: ", "磁盘：")]);
    if needed > free {
        let problem = Problem::new(Code::DiskMayNotFit).with("needed", mebibytes(needed));
        list.warn(CheckId::Capacity, problem.with("free", mebibytes(free)));
    }
    Ok(())
}

fn needed_and_free(needed: u64, free: u64) -> Told {
    let (needed, free) = (mebibytes(needed), mebibytes(free));
    Told::both(format!("{needed} needed, {free} free"), format!("需要 {needed}，可用 {free}"))
}

/// Looks whether the record of the job fits into its directory, which exists.
pub(crate) fn state_directory(list: &mut CheckList, directory: &Path, rows: u64) {
    let needed = RECORD_BYTES_MIN + rows / 1000 * RECORD_BYTES_PER_THOUSAND_ROWS;
    match rustix::fs::statvfs(directory) {
        Ok(status) => {
            let free = status.f_bavail.saturating_mul(status.f_frsize);
            let fact = mebibytes(free);
            let fact = Told::both(format!("{fact} free"), format!("可用 {fact}"));
            list.passed(CheckId::StateDirectory, [fact]);
            if free < needed {
                let (free, needed) = (mebibytes(free), mebibytes(needed));
                let detail = Told::both(
                    format!("only {free} is free, but the job record may need {needed}"),
                    format!("可用空间仅 {free}，而任务记录可能需要 {needed}"),
                );
                let problem = Problem::new(Code::StateDir).with("dir", directory.display());
                list.fail(problem.told("detail", detail));
            }
        }
        Err(error) => {
            let problem = Problem::new(Code::StateDir).with("dir", directory.display());
            list.fail(problem.with("detail", error));
        }
    }
}
