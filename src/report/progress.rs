//! How far something long is.

use std::{fmt, sync::Arc};

/// How much there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// Bytes; `None` when their number is not known before the end.
    Bytes(Option<u64>),
    /// Things to be done one after another.
    Items(u64),
}

/// Shows how far something is.
pub trait Meter: Send + Sync {
    /// So much of it is done, counted from the start.
    fn set(&self, done: u64);
    /// So much more of it is done.
    fn advance(&self, by: u64);
}

/// Something long that is being done. What shows it goes away when the last clone is dropped.
#[derive(Clone)]
pub struct Progress(Option<Arc<dyn Meter>>);

impl Progress {
    /// One that `meter` shows.
    pub fn new(meter: impl Meter + 'static) -> Self {
        Progress(Some(Arc::new(meter)))
    }

    /// One that nobody sees.
    pub fn unseen() -> Self {
        Progress(None)
    }

    /// So much of it is done, counted from the start: for what may begin anew.
    pub fn set(&self, done: u64) {
        if let Some(meter) = &self.0 {
            meter.set(done);
        }
    }

    /// So much more of it is done.
    pub fn advance(&self, by: u64) {
        if let Some(meter) = &self.0 {
            meter.advance(by);
        }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Progress" } else { "Progress(unseen)" })
    }
}
