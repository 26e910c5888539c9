//! Notices that something below some folders may have changed. What has changed is for others to find out.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use notify::{
    ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode},
};
use tokio::{sync::Notify, time::timeout};

use crate::report::Reporter;

/// Editors write a file in several steps: it is read once nothing has happened for so long.
const QUIET: Duration = Duration::from_millis(25);

/// Even if it never gets quiet.
const PATIENCE: Duration = Duration::from_millis(500);

/// How often is looked when the system does not tell.
const POLL: Duration = Duration::from_secs(1);

/// What the system has told since it was last asked.
#[derive(Debug, Default)]
struct News {
    first: Mutex<Option<Instant>>,
    arrived: Notify,
}

impl News {
    fn add(&self) {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Instant::now);
        self.arrived.notify_one();
    }

    fn take(&self) -> Option<Instant> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A watcher of folders.
#[derive(Debug)]
pub(super) struct Watch {
    news: Arc<News>,
    /// `None`: one has to look.
    system: Option<RecommendedWatcher>,
    followed: BTreeSet<PathBuf>,
}

impl Watch {
    /// Watches nothing yet. With `poll`, it never asks the system to tell.
    pub(super) fn new(poll: bool, reporter: &dyn Reporter) -> Self {
        let news = Arc::new(News::default());
        let told = news.clone();
        let system = (!poll).then(|| {
            notify::recommended_watcher(move |event: notify::Result<Event>| {
                // An error, such as too many events at once, may hide anything.
                if event.is_err() || event.is_ok_and(|event| may_change(&event.kind)) {
                    told.add();
                }
            })
        });
        let mut watch = Watch { news, system: None, followed: BTreeSet::new() };
        match system.transpose() {
            Ok(system) => watch.system = system,
            Err(error) => watch.give_up(&error, reporter),
        }
        watch
    }

    /// Watches these folders; true when there is one among them that it did not watch. All are named to the system
    /// again each time, since one that was replaced has to be.
    pub(super) fn follow(&mut self, folders: &BTreeSet<PathBuf>, reporter: &dyn Reporter) -> bool {
        let Some(system) = &mut self.system else { return false };
        for folder in folders {
            match system.watch(folder, RecursiveMode::NonRecursive) {
                Ok(()) => {}
                Err(error) if is_gone(&error) => {}
                Err(error) => {
                    self.give_up(&error, reporter);
                    return false;
                }
            }
        }
        for folder in self.followed.difference(folders) {
            // It is gone, or holds no source any more; nobody minds whether it was still watched.
            let _ = system.unwatch(folder);
        }
        let is_more = !folders.is_subset(&self.followed);
        self.followed.clone_from(folders);
        is_more
    }

    fn give_up(&mut self, error: &notify::Error, reporter: &dyn Reporter) {
        self.system = None;
        let more = match &error.kind {
            ErrorKind::MaxFilesWatch => "fs.inotify.max_user_watches",
            // Out of instances: the system says "too many open files".
            _ => "fs.inotify.max_user_instances",
        };
        reporter.warn(&format!(
            "the system cannot watch more folders ({error}): they are looked through every second instead; raise \
             `{more}`, for example with `sudo sysctl {more}=524288`, and start again"
        ));
    }

    /// Waits until something may have changed, and for the end of it; gives the time when it began.
    pub(super) async fn changed(&self) -> Instant {
        if self.system.is_none() {
            tokio::time::sleep(POLL).await;
            return self.news.take().unwrap_or_else(Instant::now);
        }
        loop {
            self.news.arrived.notified().await;
            let start = Instant::now();
            while start.elapsed() < PATIENCE && timeout(QUIET, self.news.arrived.notified()).await.is_ok() {}
            if let Some(first) = self.news.take() {
                return first;
            }
        }
    }

    /// Whether there is news already.
    pub(super) fn has_news(&self) -> bool {
        self.news.first.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

/// A folder that went away since it was seen.
fn is_gone(error: &notify::Error) -> bool {
    match &error.kind {
        ErrorKind::PathNotFound => true,
        ErrorKind::Io(error) => error.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}

/// Whether something is not as it was: reading changes nothing.
fn may_change(kind: &EventKind) -> bool {
    match kind {
        EventKind::Access(access) => matches!(access, AccessKind::Close(AccessMode::Write)),
        _ => true,
    }
}
