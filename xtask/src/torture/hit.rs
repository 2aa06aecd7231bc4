//! What can hit a job, how often, and when.

use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use vecferry_milvus::proto::common::Status;
use vecferry_testkit::DeniedBy;
use vecferry_testkit::fault_proxy::{Answer, Calls, Cut, Fault, Garbage};

/// What hits a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hit {
    KillVecferry,
    KillSource,
    KillTarget,
    NetworkGone,
    CutBeforeSend,
    CutAfterApply,
    Delayed,
    HalfOpen,
    RateLimited,
    Oversize,
    Garbage,
    HeldInsert,
    /// A page of the source comes without its rows.
    EmptiedPage,
    /// An insert lands and answers an error.
    FailedInsert,
    /// A call is denied.
    Denied,
    /// Somebody makes a collection of the name just before the job does.
    RacedCreation,
    /// Somebody writes to the source.
    OutsideWrites,
}

/// How many of a hundred that hit a warm copy or a round behind it each has. The servers stay: somebody writes all the time.
const SHARES_OF_WARM: [(Hit, u32); 11] = [
    (Hit::KillVecferry, 50),
    (Hit::NetworkGone, 8),
    (Hit::CutAfterApply, 8),
    (Hit::FailedInsert, 7),
    (Hit::HeldInsert, 7),
    (Hit::EmptiedPage, 6),
    (Hit::CutBeforeSend, 4),
    (Hit::Garbage, 3),
    (Hit::Delayed, 3),
    (Hit::RateLimited, 2),
    (Hit::HalfOpen, 2),
];

/// How many rounds of a hundred each has.
const SHARES: [(Hit, i64); 17] = [
    (Hit::KillVecferry, 18),
    (Hit::KillSource, 12),
    (Hit::KillTarget, 12),
    (Hit::OutsideWrites, 8),
    (Hit::EmptiedPage, 8),
    (Hit::FailedInsert, 8),
    (Hit::HeldInsert, 6),
    (Hit::CutAfterApply, 5),
    (Hit::RacedCreation, 5),
    (Hit::Denied, 3),
    (Hit::NetworkGone, 3),
    (Hit::CutBeforeSend, 2),
    (Hit::Oversize, 2),
    (Hit::Delayed, 2),
    (Hit::HalfOpen, 2),
    (Hit::RateLimited, 2),
    (Hit::Garbage, 2),
];

/// Calls that are denied, with whether they go to the source.
const DENIED: [(bool, &str); 6] = [
    (true, "ShowPartitions"),
    (true, "GetLoadState"),
    (true, "Query"),
    (false, "Insert"),
    (false, "CreateIndex"),
    (false, "Flush"),
];

/// What hits a single call.
pub(super) struct CallFault {
    pub(super) on_source: bool,
    pub(super) method: &'static str,
    /// One of the first so many calls is hit.
    pub(super) calls_max: u64,
    pub(super) fault: Fault,
}

impl CallFault {
    /// The calls that are hit. A round behind a warm copy writes in other ways too.
    pub(super) fn calls(&self, is_warm: bool) -> Calls {
        if is_warm && self.method == "Insert" {
            return ["Insert", "Upsert", "Delete"].into();
        }
        self.method.into()
    }
}

impl Hit {
    /// One of those that hit a warm copy or a round behind it.
    pub(super) fn of_warm(random: &mut StdRng) -> Self {
        let total = SHARES_OF_WARM.iter().map(|(_, share)| share).sum();
        let mut at = random.random_range(0..total);
        for (hit, share) in SHARES_OF_WARM {
            match at.checked_sub(share) {
                Some(left) => at = left,
                None => return hit,
            }
        }
        Self::KillVecferry
    }

    /// What the proxy does to a call; none for what hits a process or the whole network, and for a race, which needs
    /// somebody else.
    pub(super) fn fault(self, random: &mut StdRng) -> Option<CallFault> {
        let insert = |fault| Some(CallFault { on_source: false, method: "Insert", calls_max: 4, fault });
        match self {
            Self::KillVecferry
            | Self::KillSource
            | Self::KillTarget
            | Self::NetworkGone
            | Self::RacedCreation
            | Self::OutsideWrites => None,
            Self::EmptiedPage => {
                let fault = Fault::EmptiedPage;
                Some(CallFault { on_source: true, method: "Query", calls_max: 40, fault })
            }
            Self::FailedInsert => {
                let reason = "service unavailable: a channel could not be written".to_owned();
                let status = Status { code: 65535, error_code: 1, reason, ..Status::default() };
                insert(Fault::AnswerAfterApply(Answer::Status(status)))
            }
            Self::Denied => {
                let (on_source, method) = DENIED[random.random_range(0..DENIED.len())];
                let fault = Fault::Answer(Answer::Denied(DeniedBy::V2_3));
                Some(CallFault { on_source, method, calls_max: 2, fault })
            }
            Self::CutBeforeSend => insert(Fault::CutBeforeSend(Cut::Connection)),
            Self::CutAfterApply => insert(Fault::CutAfterApply(Cut::Connection)),
            Self::Delayed => insert(Fault::Delay(Duration::from_secs(3))),
            Self::RateLimited => insert(Fault::Answer(Answer::RateLimit)),
            Self::Oversize => insert(Fault::Answer(Answer::Oversize)),
            Self::Garbage => insert(Fault::Garbage(Garbage::Noise(7))),
            Self::HeldInsert => insert(Fault::Hold(None)),
            Self::HalfOpen => {
                Some(CallFault { on_source: true, method: "Query", calls_max: 40, fault: Fault::HalfOpen })
            }
        }
    }
}

/// The hits of so many rounds, each as often as its share says; the frequent ones are there in few rounds too.
pub(super) fn deck(rounds: u32) -> Vec<Hit> {
    let total: i64 = SHARES.iter().map(|(_, share)| share).sum();
    let mut owed = [0; SHARES.len()];
    let mut hits = Vec::new();
    for _ in 0..rounds {
        owed.iter_mut().zip(SHARES).for_each(|(owed, (_, share))| *owed += share);
        // The first of equals, so that the order of the table counts.
        let most = (0..owed.len()).rev().max_by_key(|&at| owed[at]).unwrap_or_default();
        owed[most] -= total;
        hits.push(SHARES[most].0);
    }
    hits
}

/// When a process or the network is hit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// In this step; in any if there is none.
    pub(super) step: Option<&'static str>,
    /// So long after its begin.
    pub(super) delay: Duration,
}

impl Moment {
    /// Early in the copy, so that what happens is before the last look at the source.
    pub(super) fn of_copy(random: &mut StdRng) -> Self {
        Self { step: Some("copying"), delay: Duration::from_millis(random.random_range(0..300)) }
    }

    /// In a round behind a warm copy, which compares most of the time.
    pub(super) fn of_round(random: &mut StdRng) -> Self {
        let (step, delay_max_ms) = match random.random_range(0..100) {
            0..45 => (Some("verifying"), 1500),
            45..55 => (Some("indexing"), 300),
            _ => (None, 4000),
        };
        Self { step, delay: Duration::from_millis(random.random_range(0..delay_max_ms)) }
    }

    pub(super) fn draw(random: &mut StdRng) -> Self {
        let (step, delay_max_ms) = match random.random_range(0..100) {
            0..60 => (Some("copying"), 1500),
            60..70 => (Some("flushing"), 500),
            70..80 => (Some("indexing"), 100),
            80..95 => (Some("verifying"), 1000),
            _ => (None, 3500),
        };
        Self { step, delay: Duration::from_millis(random.random_range(0..delay_max_ms)) }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn a_warm_copy_is_hit_by_all_that_its_shares_name() {
        assert_eq!(SHARES_OF_WARM.iter().map(|(_, share)| share).sum::<u32>(), 100);
        let mut random = StdRng::seed_from_u64(1);
        let hits: Vec<_> = (0..2000).map(|_| Hit::of_warm(&mut random)).collect();
        for (hit, _) in SHARES_OF_WARM {
            assert!(hits.contains(&hit), "{hit:?}");
        }
    }

    #[test]
    fn a_hundred_rounds_have_what_the_shares_say_and_few_rounds_the_most_important() {
        let hits = deck(100);
        for (hit, share) in SHARES {
            assert_eq!(hits.iter().filter(|found| **found == hit).count() as i64, share, "{hit:?}");
        }
        let few = deck(6);
        for hit in [
            Hit::KillVecferry,
            Hit::KillSource,
            Hit::KillTarget,
            Hit::OutsideWrites,
            Hit::EmptiedPage,
            Hit::FailedInsert,
        ] {
            assert!(few.contains(&hit), "{hit:?} is not among {few:?}");
        }
    }
}
