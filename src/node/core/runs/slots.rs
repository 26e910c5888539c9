//! How many processes there are at a time of runs that other runs have called for, and whose turn is next.
//!
//! Each depth of calls has slots of its own. A run holds one of its depth until its end, so one that waits for what it has
//! called for holds none that they need, and calls cannot deadlock. Who waits at one depth is served in turns by tree:
//! a tree that calls for ten thousand runs does not hold up another's two.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

/// The slots of all depths.
#[derive(Debug)]
pub(in crate::node::core) struct Slots {
    /// At each depth.
    size: usize,
    depths: Mutex<HashMap<u32, Depth>>,
}

/// Who holds slots of one depth, and who waits for them.
#[derive(Debug, Default)]
struct Depth {
    taken: usize,
    /// Trees with somebody who waits, the next one first.
    trees: VecDeque<String>,
    waiting: HashMap<String, VecDeque<oneshot::Sender<Slot>>>,
}

/// A slot, until it is dropped.
#[derive(Debug)]
pub(in crate::node::core) struct Slot {
    /// `None` once it has been given back.
    of: Option<Arc<Slots>>,
    depth: u32,
}

impl Slots {
    /// So many at each depth.
    pub(in crate::node::core) fn new(size: usize) -> Arc<Self> {
        Arc::new(Slots { size: size.max(1), depths: Mutex::default() })
    }

    fn depths(&self) -> MutexGuard<'_, HashMap<u32, Depth>> {
        self.depths.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A slot of this depth, unless all are taken.
    pub(in crate::node::core) fn try_take(self: &Arc<Self>, depth: u32) -> Option<Slot> {
        let mut depths = self.depths();
        let at = depths.entry(depth).or_default();
        if at.taken >= self.size {
            return None;
        }
        at.taken += 1;
        Some(Slot { of: Some(self.clone()), depth })
    }

    /// Waits for a slot of this depth. Whoever stops waiting loses nothing but their turn.
    pub(in crate::node::core) async fn take(self: &Arc<Self>, depth: u32, tree: &str) -> Slot {
        if let Some(slot) = self.try_take(depth) {
            return slot;
        }
        let turn = {
            let mut depths = self.depths();
            let at = depths.entry(depth).or_default();
            let (sender, turn) = oneshot::channel();
            let waiting = at.waiting.entry(tree.to_owned()).or_default();
            if waiting.is_empty() {
                at.trees.push_back(tree.to_owned());
            }
            waiting.push_back(sender);
            turn
        };
        match turn.await {
            Ok(slot) => slot,
            // A sender is dropped only after it has sent.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Depth {
    /// Whose turn it is.
    fn next(&mut self) -> Option<oneshot::Sender<Slot>> {
        let tree = self.trees.pop_front()?;
        let waiting = self.waiting.get_mut(&tree)?;
        let next = waiting.pop_front();
        if waiting.is_empty() {
            self.waiting.remove(&tree);
        } else {
            self.trees.push_back(tree);
        }
        next
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Some(slots) = self.of.take() else { return };
        let mut depths = slots.depths();
        let Some(at) = depths.get_mut(&self.depth) else { return };
        let mut slot = Slot { of: Some(slots.clone()), depth: self.depth };
        while let Some(next) = at.next() {
            match next.send(slot) {
                Ok(()) => return,
                // Gone meanwhile.
                Err(back) => slot = back,
            }
        }
        // Nobody waits. It must not be given back twice.
        slot.of = None;
        at.taken -= 1;
        if at.taken == 0 {
            depths.remove(&self.depth);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, poll};

    use super::*;

    #[tokio::test]
    async fn trees_take_turns_and_depths_are_apart() {
        let slots = Slots::new(1);
        let held = slots.take(1, "a").await;
        let deeper = slots.take(2, "a").now_or_never();
        assert!(deeper.is_some(), "what it calls for needs no slot of its own depth");
        let (mut first, mut second) = (Box::pin(slots.take(1, "a")), Box::pin(slots.take(1, "a")));
        let mut other = Box::pin(slots.take(1, "b"));
        assert!(poll!(&mut first).is_pending() && poll!(&mut second).is_pending() && poll!(&mut other).is_pending());
        drop(held);
        let held = first.now_or_never().expect("the first one's turn");
        drop(held);
        assert!(poll!(&mut second).is_pending(), "the other tree is next");
        let held = other.now_or_never().expect("its turn");
        drop(held);
        assert!(second.now_or_never().is_some());
    }

    #[tokio::test]
    async fn who_stops_waiting_takes_no_slot_along() {
        let slots = Slots::new(1);
        let held = slots.take(1, "a").await;
        let mut gone = Box::pin(slots.take(1, "a"));
        assert!(poll!(&mut gone).is_pending());
        let mut served = Box::pin(slots.take(1, "a"));
        assert!(poll!(&mut served).is_pending());
        drop(gone);
        drop(held);
        // It was its turn, and it is dropped before it knows.
        drop(served);
        assert!(slots.take(1, "a").now_or_never().is_some());
        assert!(slots.depths().is_empty());
    }
}
