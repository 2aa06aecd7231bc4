//! The armed faults and the counters: what the test's thread and the proxy's thread share.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::oneshot;

use super::fault::{Calls, Fault, When};
use super::reply::Reply;
use super::upstream::Captured;

/// Faults and counters, with a bell that rings at every change.
#[derive(Debug, Default)]
pub(super) struct Board {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    calls: BTreeMap<String, u64>,
    /// Calls under way by method, and the most there ever were at once.
    open: BTreeMap<String, (u64, u64)>,
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    calls: Calls,
    when: When,
    chance: StdRng,
    fault: Fault,
    armed: bool,
    /// Calls of its methods since it was armed.
    seen: u64,
    /// Calls that were given to it.
    taken: u64,
    /// Those of them that took their effect.
    fired: u64,
    held: VecDeque<Held>,
}

/// A call that goes on when the test says so.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) stage: Stage,
    /// Where its client waits for the answer, if it was left hanging.
    pub(super) client: Option<oneshot::Sender<Reply>>,
}

/// How far a held call has come.
#[derive(Debug)]
pub(super) enum Stage {
    /// Upstream has not heard of it.
    Captured(Captured),
    /// Upstream has answered.
    Answered(Reply),
}

impl Board {
    pub(super) fn arm(&self, calls: Calls, when: When, fault: Fault) -> usize {
        let seed = match when {
            When::Chance { probability, seed } => {
                assert!((0.0..=1.0).contains(&probability), "a probability from 0 to 1");
                seed
            }
            When::Always | When::Times(_) | When::Nth(_) => 0,
        };
        let mut state = self.lock();
        state.rules.push(Rule {
            calls,
            when,
            chance: StdRng::seed_from_u64(seed),
            fault,
            armed: true,
            seen: 0,
            taken: 0,
            fired: 0,
            held: VecDeque::new(),
        });
        state.rules.len() - 1
    }

    pub(super) fn disarm(&self, rule: usize) {
        self.lock().rules[rule].armed = false;
    }

    /// Counts a call, and says which fault it suffers.
    pub(super) fn arrived(&self, method: &str) -> Option<(usize, Fault)> {
        let mut state = self.lock();
        *state.calls.entry(method.to_owned()).or_default() += 1;
        let (open, most) = state.open.entry(method.to_owned()).or_default();
        *open += 1;
        *most = (*open).max(*most);
        let mut taken = None;
        for (index, rule) in state.rules.iter_mut().enumerate() {
            let concerned = rule.armed && rule.calls.contain(method) && rule.fault.can_hit(method);
            if concerned && rule.sees_one() && taken.is_none() {
                rule.taken += 1;
                taken = Some((index, rule.fault.clone()));
            }
        }
        self.changed.notify_all();
        taken
    }

    /// A call that arrived is under way no more.
    pub(super) fn ended(&self, method: &str) {
        if let Some((open, _)) = self.lock().open.get_mut(method) {
            *open -= 1;
        }
    }

    pub(super) fn most_at_once(&self, method: &str) -> u64 {
        self.lock().open.get(method).map_or(0, |(_, most)| *most)
    }

    /// A fault took its effect.
    pub(super) fn fire(&self, rule: usize) {
        self.lock().rules[rule].fired += 1;
        self.changed.notify_all();
    }

    /// A fault took its effect, which is to hold a call.
    pub(super) fn hold(&self, rule: usize, held: Held) {
        self.lock().rules[rule].held.push_back(held);
        self.fire(rule);
    }

    pub(super) fn held(&self, rule: usize) -> usize {
        self.lock().rules[rule].held.len()
    }

    /// Takes the call that is held longest.
    pub(super) fn release(&self, rule: usize) -> Option<Held> {
        self.lock().rules[rule].held.pop_front()
    }

    pub(super) fn calls(&self, method: &str) -> u64 {
        self.lock().calls_of(method)
    }

    pub(super) fn calls_by_method(&self) -> BTreeMap<String, u64> {
        self.lock().calls.clone()
    }

    pub(super) fn fired(&self, rule: usize) -> u64 {
        self.lock().rules[rule].fired
    }

    pub(super) fn wait_for_calls(&self, method: &str, count: u64, timeout: Duration) -> bool {
        self.wait(timeout, |state| state.calls_of(method) >= count)
    }

    pub(super) fn wait_until_fired(&self, rule: usize, count: u64, timeout: Duration) -> bool {
        self.wait(timeout, |state| state.rules[rule].fired >= count)
    }

    fn wait(&self, timeout: Duration, reached: impl Fn(&State) -> bool) -> bool {
        let waited = self.changed.wait_timeout_while(self.lock(), timeout, |state| !reached(state));
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        reached(&state)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn calls_of(&self, method: &str) -> u64 {
        self.calls.get(method).copied().unwrap_or_default()
    }
}

impl Rule {
    /// Counts a call of its methods; whether it wants it.
    fn sees_one(&mut self) -> bool {
        self.seen += 1;
        match self.when {
            When::Always => true,
            When::Times(times) => self.taken < times,
            When::Nth(nth) => self.seen == nth,
            When::Chance { probability, .. } => self.chance.random_bool(probability),
        }
    }
}
