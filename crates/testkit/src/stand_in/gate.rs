//! Where calls can be stopped, as a process that dies stops them.

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::watch;

/// What becomes of the call at which a client dies. No later call is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It is not carried out.
    Before,
    /// It is carried out, and never answered.
    After,
    /// It is carried out, and never answered, when the gate was opened again and a later client has made so many calls:
    /// it was held up on its way.
    Late(u64),
    /// The same, and only inserts and upserts are counted up to it.
    LateWrite(u64),
}

/// What a call does, as far as that decides how it may be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An insert or upsert.
    Write,
    /// Takes a collection out of memory. It never arrives late: the next attempt would find it taken away while it reads,
    /// which it says after minutes.
    Release,
    Other,
}

/// Counts the calls of all servers behind it, and stops them at a number. Clones are one gate.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    state: Arc<Mutex<State>>,
    stopped: Arc<watch::Sender<bool>>,
}

#[derive(Debug, Default)]
struct State {
    calls: u64,
    writes: u64,
    stop: Option<(u64, Stop)>,
    blocked: bool,
    /// Number of the call at which a call that is held up goes on.
    late: Option<u64>,
}

/// Whether a call goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// As ever.
    Through,
    /// Carried out, not answered.
    Unanswered,
    /// Carried out when [`Gate::late`] says so, not answered.
    Late,
    /// Neither.
    Blocked,
}

impl Gate {
    /// An open gate.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with it")
    }

    /// Calls since it was opened last.
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// Opens it, and counts from zero again. With a number, the call of that number (from one) is the last to arrive.
    pub fn open(&self, stop: Option<(u64, Stop)>) {
        let mut state = self.state();
        let late = match state.stop {
            Some((_, Stop::Late(calls) | Stop::LateWrite(calls))) if state.blocked => Some(calls),
            _ => None,
        };
        *state = State { stop, late, ..State::default() };
        self.stopped.send_replace(false);
    }

    /// Waits until the call has arrived at which all stop, and was carried out if it is to be.
    pub async fn stopped(&self) {
        let mut stopped = self.stopped.subscribe();
        // The sender lives as long as this gate.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    }

    /// A call arrives.
    pub(super) fn arrive(&self, kind: Kind) -> Pass {
        let mut state = self.state();
        state.calls += 1;
        state.writes += u64::from(kind == Kind::Write);
        if state.blocked {
            return Pass::Blocked;
        }
        let pass = match state.stop {
            Some((at, Stop::Before)) if state.calls == at => Pass::Blocked,
            Some((at, Stop::After)) if state.calls == at => Pass::Unanswered,
            Some((at, Stop::Late(_))) if state.calls == at && kind == Kind::Release => Pass::Blocked,
            Some((at, Stop::Late(_))) if state.calls == at => Pass::Late,
            Some((at, Stop::LateWrite(_))) if kind == Kind::Write && state.writes == at => Pass::Late,
            _ => return Pass::Through,
        };
        state.blocked = true;
        drop(state);
        // What is to be carried out tells it itself.
        if pass != Pass::Unanswered {
            self.tell_stopped();
        }
        pass
    }

    /// The last call was carried out.
    pub(super) fn tell_stopped(&self) {
        self.stopped.send_replace(true);
    }

    /// Whether what was held up goes on now.
    pub(super) fn lets_late_ones_go(&self) -> bool {
        let mut state = self.state();
        let go = state.late.is_some_and(|at| state.calls >= at);
        if go {
            state.late = None;
        }
        go
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_call_of_the_number_is_the_last() {
        for (at, stop, pass) in [
            (2, Stop::Before, Pass::Blocked),
            (2, Stop::After, Pass::Unanswered),
            (2, Stop::Late(1), Pass::Late),
            (1, Stop::LateWrite(1), Pass::Late),
        ] {
            let gate = Gate::new();
            assert_eq!(gate.arrive(Kind::Other), Pass::Through);
            gate.open(Some((at, stop)));
            let passes = [gate.arrive(Kind::Other), gate.arrive(Kind::Write), gate.arrive(Kind::Other)];
            assert_eq!(passes, [Pass::Through, pass, Pass::Blocked]);
        }
    }

    #[test]
    fn what_is_late_goes_on_once_and_only_behind_later_calls() {
        for stop in [Stop::Late(1), Stop::LateWrite(1)] {
            let gate = Gate::new();
            gate.open(Some((1, stop)));
            assert_eq!(gate.arrive(Kind::Write), Pass::Late);
            assert!(!gate.lets_late_ones_go(), "the client that sent it still lives");
            gate.open(None);
            assert!(!gate.lets_late_ones_go());
            gate.arrive(Kind::Other);
            assert!(gate.lets_late_ones_go());
            assert!(!gate.lets_late_ones_go());
        }
    }
}
