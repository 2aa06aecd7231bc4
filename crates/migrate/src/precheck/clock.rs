//! Clocks. Nothing in a job relies on them, but time-to-live, reports and the logs of both sides do.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use vecferry_milvus::{Client, Error};

use super::list::{CheckList, fact_of};
use crate::problem::CheckId;
use crate::problem::{Code, Problem, Side, Told};

/// Clocks that differ more are worth a warning.
const SKEW_SECONDS_MAX: f64 = 5.0;
/// Bits of a hybrid timestamp that count within a millisecond (protocol: `pkg/util/tsoutil`).
const LOGICAL_BITS: u32 = 18;

/// Compares the clock of a server with that of this machine; lite gives none.
pub(crate) async fn clock_skew(list: &mut CheckList, side: Side, client: &Client) -> Result<(), Error> {
    let before = since_epoch();
    let timestamp = client.timestamp().await?;
    let middle = (before + since_epoch()) / 2;
    let Some(timestamp) = timestamp else {
        list.passed(CheckId::ClockSkew, [fact_of(side, Told::both("tells no time", "不提供时间"))]);
        return Ok(());
    };
    let of_server = Duration::from_millis(timestamp >> LOGICAL_BITS);
    let skew = of_server.as_secs_f64() - middle.as_secs_f64();
    let seconds = format!("{:.1}", skew.abs());
    let fact = if seconds == "0.0" {
        Told::both("shows the same time", "时间一致")
    } else if skew > 0.0 {
        Told::both(format!("{seconds} s ahead"), format!("快 {seconds} 秒"))
    } else {
        Told::both(format!("{seconds} s behind"), format!("慢 {seconds} 秒"))
    };
    list.passed(CheckId::ClockSkew, [fact_of(side, fact)]);
    if skew.abs() > SKEW_SECONDS_MAX {
        let problem = Problem::new(Code::ClockSkew).with("side", side.name());
        list.warn(CheckId::ClockSkew, problem.with("seconds", format!("{skew:+.0}")));
    }
    Ok(())
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
