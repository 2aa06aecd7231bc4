//! Schedules that once ended badly, as small as they can be. The numbers are those of the audit's findings.

use super::assert_holds;
use super::schedule::Schedule;

#[test]
fn nothing_happens() {
    let tally = assert_holds(&Schedule::quiet());
    assert_eq!((tally.successful, tally.happened), (1, 0), "{tally:?}");
}
