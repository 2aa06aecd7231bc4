//! What processes cost, as Linux counts it.

use std::fs;

use crate::Failure;

/// CPU seconds of a process, all its threads, user and system.
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64, Failure> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    own_and_children(&stat).map(|(own, _)| own)
}

/// CPU seconds of this process, and of its children that have ended.
pub(crate) fn own_cpu_seconds() -> Result<(f64, f64), Failure> {
    own_and_children(&fs::read_to_string("/proc/self/stat")?)
}

fn own_and_children(stat: &str) -> Result<(f64, f64), Failure> {
    // The program's name stands in parentheses and may hold anything; utime is the 12th word behind it.
    let (_, behind) = stat.rsplit_once(')').ok_or("/proc/PID/stat has no name")?;
    let mut ticks = behind.split_whitespace().skip(11).map(str::parse::<u64>);
    let mut next = || ticks.next().ok_or("/proc/PID/stat is short")?.map_err(Failure::from);
    let (user, system, children_user, children_system) = (next()?, next()?, next()?, next()?);
    Ok((seconds(user + system), seconds(children_user + children_system)))
}

/// CPU seconds that all processes of this machine used, and those that the host took away.
pub(crate) fn machine_cpu_seconds() -> Result<(f64, f64), Failure> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().unwrap_or_default();
    let ticks = line.split_whitespace().skip(1).map(str::parse).collect::<Result<Vec<u64>, _>>()?;
    // user nice system idle iowait irq softirq steal; time of guests is part of user and nice.
    let [user, nice, system, _idle, _waiting, irq, softirq, steal, ..] = ticks.as_slice() else {
        return Err("/proc/stat is short".into());
    };
    Ok((seconds(user + nice + system + irq + softirq), seconds(*steal)))
}

fn seconds(ticks: u64) -> f64 {
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

/// Most memory a process has occupied so far; none once it has ended.
pub(crate) fn peak_memory(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib = line.split_whitespace().next()?.parse::<u64>().ok()?;
    Some(kib * 1024)
}

/// The same of a process and its children together, each at its own peak: pages that they share count several times.
pub(crate) fn peak_memory_with_children(pid: u32) -> Option<u64> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|child| child.parse().ok());
    Some(peak_memory(pid)? + children.filter_map(peak_memory).sum::<u64>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_parentheses_do_not_shift_the_words() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 200 100 30 20 0 0";
        let tick = seconds(1);
        assert_eq!(own_and_children(stat).unwrap(), (300.0 * tick, 50.0 * tick));
    }

    #[test]
    fn this_process_has_memory_and_this_machine_works() {
        let own = peak_memory(std::process::id()).unwrap();
        assert!(own > 0 && peak_memory_with_children(std::process::id()).unwrap() >= own);
        assert!(machine_cpu_seconds().unwrap().0 > 0.0);
        assert!(cpu_seconds(std::process::id()).unwrap() >= 0.0);
    }
}
