//! What whoever follows a deployment is told.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::mpsc::UnboundedSender;

use crate::{
    report::{Amount, Meter, Progress, Reporter},
    wire::DeployEvent,
};

/// How often it is told how far something is.
const PAUSE: Duration = Duration::from_millis(100);

/// Passes a deployment's steps and progress on to whoever follows it.
#[derive(Debug)]
pub(in crate::node) struct Follower {
    events: UnboundedSender<DeployEvent>,
    numbers: AtomicU64,
}

impl Follower {
    pub(in crate::node) fn new(events: UnboundedSender<DeployEvent>) -> Self {
        Follower { events, numbers: AtomicU64::new(0) }
    }
}

impl Reporter for Follower {
    fn step(&self, verb: &str, what: &str) {
        // Nobody has to follow a deployment.
        let _ = self.events.send(DeployEvent::Step { verb: verb.to_owned(), what: what.to_owned() });
    }

    fn warn(&self, message: &str) {
        self.step(DeployEvent::WARNING, message);
    }

    fn detail(&self, _message: &str) {}

    fn progress(&self, verb: &str, amount: Amount) -> Progress {
        let Amount::Bytes(total) = amount else { return Progress::unseen() };
        Progress::new(Thing {
            events: self.events.clone(),
            number: self.numbers.fetch_add(1, Ordering::Relaxed),
            verb: verb.to_owned(),
            state: Mutex::new(State { done: 0, total, told: None }),
        })
    }
}

/// One long thing of a deployment.
struct Thing {
    events: UnboundedSender<DeployEvent>,
    number: u64,
    verb: String,
    state: Mutex<State>,
}

struct State {
    done: u64,
    total: Option<u64>,
    told: Option<Instant>,
}

impl Thing {
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        if state.told.is_none_or(|told| told.elapsed() >= PAUSE) {
            state.told = Some(Instant::now());
            self.tell(Some(state.done), state.total);
        }
    }

    fn tell(&self, done: Option<u64>, total: Option<u64>) {
        let (number, verb) = (self.number, self.verb.clone());
        // Nobody has to follow a deployment.
        let _ = self.events.send(DeployEvent::Progress { number, verb, done, total });
    }
}

impl Meter for Thing {
    fn expect(&self, total: u64) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).total = Some(total);
    }

    fn set(&self, done: u64) {
        self.change(|state| state.done = done);
    }

    fn advance(&self, by: u64) {
        self.change(|state| state.done += by);
    }
}

impl Drop for Thing {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if state.told.is_some() {
            let total = state.total;
            self.tell(None, total);
        }
    }
}
