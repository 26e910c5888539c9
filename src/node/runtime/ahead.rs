//! Interpreters that are started ahead: within their walls, with nothing of any module in them, for whoever needs a parent on
//! the same environment next. There is one for each of the environments whose parents have rested last.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    RuntimeError,
    parent::Live,
    parents::Origin,
    python::Python,
    walls::{Place, Walls},
};

/// How many there are at the most.
const MOST: usize = 4;

/// All of a node, of the environment first that was asked for last.
#[derive(Debug)]
pub(super) struct Ahead {
    walls: Arc<Walls>,
    slots: Mutex<VecDeque<Slot>>,
}

#[derive(Debug)]
struct Slot {
    python: Python,
    /// Nothing until there is time to start it.
    started: Option<(Arc<Place>, Arc<Live>)>,
}

impl Ahead {
    /// None yet.
    pub(super) fn new(walls: Arc<Walls>) -> Self {
        Ahead { walls, slots: Mutex::default() }
    }

    /// Has one started for this environment when there is time.
    pub(super) fn want(&self, python: &Python) {
        let mut slots = self.slots();
        let place = slots.iter().position(|slot| slot.python == *python);
        let slot = place.and_then(|place| slots.remove(place));
        slots.push_front(slot.unwrap_or_else(|| Slot { python: python.clone(), started: None }));
        slots.truncate(MOST);
    }

    /// The one of this environment, if there is one. Another one takes its place when there is time.
    pub(super) fn take(&self, python: &Python) -> Option<(Arc<Place>, Arc<Live>)> {
        let started = self.slots().iter_mut().find(|slot| slot.python == *python)?.started.take();
        started.filter(|(_, live)| !live.is_over())
    }

    /// Starts what is missing, of at most so many.
    pub(super) async fn fill(&self, most: usize) {
        self.slots().truncate(most);
        let is_missing = |slot: &&Slot| slot.started.as_ref().is_none_or(|(_, live)| live.is_over());
        let missing: Vec<Python> = self.slots().iter().filter(is_missing).map(|slot| slot.python.clone()).collect();
        for python in missing {
            let started = self.start(&python).await;
            let mut slots = self.slots();
            let Some(place) = slots.iter().position(|slot| slot.python == python) else { continue };
            match started {
                Ok(started) => slots[place].started = Some(started),
                Err(error) => {
                    // Its environment may have gone.
                    tracing::debug!(%error, "no interpreter could be started ahead");
                    slots.remove(place);
                }
            }
        }
    }

    /// Ends all of them.
    pub(super) fn clear(&self) {
        // Dropped only once the lock is.
        let _ended = std::mem::take(&mut *self.slots());
    }

    async fn start(&self, python: &Python) -> Result<(Arc<Place>, Arc<Live>), RuntimeError> {
        let place = Arc::new(self.walls.place());
        let origin = Origin::Interpreter { python: python.clone(), imports: Vec::new() };
        let live = Live::start(&self.walls, &place, &origin).await?;
        if !live.get_ready(&[]).await? {
            return Err(RuntimeError::NotReady);
        }
        // For what has nothing to import.
        live.fork_spare().await?;
        Ok((place, live))
    }

    fn slots(&self) -> MutexGuard<'_, VecDeque<Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
