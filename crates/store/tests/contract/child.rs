//! Tests that need another process start this program again, with what it is to do in the environment.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::{kills, races};

/// What the other process is to do; set for it only.
const WHAT: &str = "VECFERRY_STORE_TEST_CHILD";

/// What another process may be asked for.
const KILLED: &str = "killed";
const RACE: &str = "race";

/// For the other process; for everybody else it does nothing.
#[test]
fn does_what_another_process_asks_for() {
    let Ok(what) = std::env::var(WHAT) else { return };
    let what: Vec<&str> = what.split(' ').collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    match what.as_slice() {
        [KILLED, place, number, moment] => runtime.block_on(kills::child(place, number, moment)),
        [RACE, place] => runtime.block_on(races::child(place)),
        _ => panic!("{what:?}"),
    }
}

/// This program, to be ended at a commit.
pub(crate) fn to_be_killed(place: &str, number: usize, moment: &str) -> Command {
    child(&format!("{KILLED} {place} {number} {moment}"))
}

/// This program, to work on what others work on.
pub(crate) fn to_race(place: &str) -> Command {
    child(&format!("{RACE} {place}"))
}

fn child(what: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child::does_what_another_process_asks_for", "--nocapture"]);
    command.env(WHAT, what).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Tells the process that asked.
pub(crate) fn tell(word: &str, number: u64) {
    let mut out = std::io::stdout().lock();
    // At once: it may be ended at any time.
    out.write_all(format!("\n{word}={number}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// What a process told last.
pub(crate) fn told(output: &[u8], word: &str) -> Option<u64> {
    let text = String::from_utf8_lossy(output);
    let last = text.lines().rev().find_map(|line| line.strip_prefix(&format!("{word}=")));
    last.map(|number| number.parse().unwrap())
}
