//! A warm parent: a process that forks a child a run. For Python it has dependencies imported, and knows nothing of the
//! modules that its children are, so every version of every module with the same needs may be forked from it. For a Rust module
//! it is the sandbox's fork server, whose children become the module's binary.

mod child;
mod live;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{
    RuntimeError,
    cgroups::Bounds,
    messages::RunFrame,
    parents::Origin,
    walls::{Place, Walls},
};

pub(super) use child::{Child, Exit, Forked, Killer};
pub(super) use live::Live;

/// How long imports of dependencies may take.
pub(super) const READY_TIMEOUT: Duration = Duration::from_secs(120);

/// How long a parent may take to fork.
const FORK_TIMEOUT: Duration = Duration::from_secs(10);

/// How many children wait for their runs in a parent that is in use. A core can start one at a time.
const SPARES: usize = 2;

/// How often a run is given to another child when one has ended before it had the run.
const TRIES: usize = SPARES + 2;

/// Frames of the parent itself are small.
const PARENT_FRAME: usize = 64 * 1024;

/// One parent process, started when first needed and again when it has died.
#[derive(Debug)]
pub(in crate::node) struct Parent {
    origin: Origin,
    walls: Arc<Walls>,
    place: Arc<Place>,
    /// A process that was started ahead in that place, and has imported nothing.
    ahead: Mutex<Option<Arc<Live>>>,
    /// Whether its imports start threads, so that it cannot be forked after them; found out by the first start.
    is_threaded: AtomicBool,
    live: tokio::sync::Mutex<Option<Arc<Live>>>,
}

impl Parent {
    /// A parent of this origin in a place with a process that was started ahead, or where nothing is started yet.
    pub(super) fn new(
        origin: Origin,
        walls: Arc<Walls>,
        ahead: Option<(Arc<Place>, Arc<Live>)>,
        is_threaded: bool,
    ) -> Self {
        let (place, ahead) = ahead.unzip();
        let place = place.unwrap_or_else(|| Arc::new(walls.place()));
        let (ahead, is_threaded) = (Mutex::new(ahead), AtomicBool::new(is_threaded));
        Parent { origin, walls, place, ahead, is_threaded, live: tokio::sync::Mutex::default() }
    }

    /// What it is started for.
    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Where its runs have their folders.
    pub(super) fn place(&self) -> &Arc<Place> {
        &self.place
    }

    /// Whether its children import for themselves.
    pub(super) fn is_threaded(&self) -> bool {
        self.is_threaded.load(Ordering::Relaxed)
    }

    /// Whether its children become a binary.
    fn is_of_rust(&self) -> bool {
        matches!(self.origin, Origin::Binary(_))
    }

    /// How long it has been warm without a run; nothing when it is not warm, or has one.
    pub(super) fn idle(&self) -> Option<Duration> {
        let slot = self.live.try_lock().ok()?;
        let live = slot.as_ref().filter(|live| Arc::strong_count(live) == 1)?;
        Some(live.idle())
    }

    /// Starts the process and waits for its imports.
    pub(in crate::node) async fn warm_up(&self) -> Result<(), RuntimeError> {
        self.live().await.map(|_| ())
    }

    async fn live(&self) -> Result<Arc<Live>, RuntimeError> {
        let mut slot = self.live.lock().await;
        if let Some(live) = slot.as_ref().filter(|live| !live.is_over()) {
            return Ok(live.clone());
        }
        let live = match self.start().await? {
            Some(live) => live,
            None => {
                self.is_threaded.store(true, Ordering::Relaxed);
                self.start().await?.ok_or(RuntimeError::NotReady)?
            }
        };
        live.keep_spares();
        *slot = Some(live.clone());
        self.walls.started().notify_one();
        Ok(live)
    }

    /// `None` when the process cannot be forked safely.
    async fn start(&self) -> Result<Option<Arc<Live>>, RuntimeError> {
        let imports: &[String] = match &self.origin {
            Origin::Interpreter { imports, .. } if !self.is_threaded() => imports,
            _ => &[],
        };
        let ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner).take().filter(|live| !live.is_over());
        if let Some(live) = ahead {
            if imports.is_empty() {
                // That is what it is ready for.
                return Ok(Some(live));
            }
            match live.get_ready(imports).await {
                // It has died before it could.
                Err(RuntimeError::NotReady) if live.is_over() => {}
                ready => return Ok(ready?.then_some(live)),
            }
        }
        let live = Live::start(&self.walls, &self.place, &self.origin).await?;
        Ok(live.get_ready(imports).await?.then_some(live))
    }

    /// A child that has a run: one that waited for it, else one that is forked now.
    pub(in crate::node) async fn begin(
        &self,
        run: &str,
        frame: &RunFrame,
        bounds: Bounds,
    ) -> Result<Child, RuntimeError> {
        let mut tries = 0;
        loop {
            let child = match self.try_fork(run).await {
                Ok(mut child) => {
                    *child.live.bounds() = bounds;
                    // Files that are none on a disk.
                    child.forked.group.as_mut().map_or(Ok(()), |group| group.bound(bounds))?;
                    let told = tokio::time::timeout(FORK_TIMEOUT, child.forked.tell(frame, self.is_of_rust())).await;
                    if let Ok(Ok(())) = told {
                        return Ok(child);
                    }
                    let killer = child.killer();
                    killer.kill(&mut child.forked.exit).await;
                    Err(RuntimeError::ParentDied)
                }
                Err(error) => Err(error),
            };
            tries += 1;
            match child {
                // Nothing of the run was started: another child, or a fresh parent's, can.
                Err(RuntimeError::ParentDied | RuntimeError::Spent(_)) if tries < TRIES => {}
                other => return other,
            }
        }
    }

    async fn try_fork(&self, run: &str) -> Result<Child, RuntimeError> {
        let live = self.live().await?;
        let forked = match live.take_spare() {
            Some(spare) => spare,
            None => live.fork(run.to_owned()).await?,
        };
        Ok(Child { live, forked })
    }
}
