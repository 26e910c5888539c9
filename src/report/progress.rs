//! How far something long is.

use std::{collections::HashMap, fmt, sync::Arc};

use super::Reporter;

/// How much there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// Bytes; `None` when their number is not known at the start.
    Bytes(Option<u64>),
    /// Things to be done one after another.
    Items(u64),
}

/// Shows how far something is.
pub trait Meter: Send + Sync {
    /// It has turned out how much there is.
    fn expect(&self, total: u64);
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

    /// It has turned out how much there is.
    pub fn expect(&self, total: u64) {
        if let Some(meter) = &self.0 {
            meter.expect(total);
        }
    }

    /// So much of it is done, counted from the start: for what may begin anew.
    pub fn set(&self, done: u64) {
        if let Some(meter) = &self.0 {
            meter.set(done);
        }
    }

    /// It, for whoever tells how much is done and of how much, if that is known.
    pub fn watch(&self) -> impl Fn(u64, Option<u64>) + Send + Sync + 'static + use<> {
        let progress = self.clone();
        move |done, total| {
            if let Some(total) = total {
                progress.expect(total);
            }
            progress.set(done);
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

/// What another program tells of its progress, shown here: each of its things has a number.
#[derive(Debug, Default)]
pub struct Relayed(HashMap<u64, Progress>);

impl Relayed {
    /// So many bytes of the thing with this number are done, or it is over.
    pub fn tell(&mut self, reporter: &dyn Reporter, number: u64, verb: &str, done: Option<u64>, total: Option<u64>) {
        let Some(done) = done else {
            self.0.remove(&number);
            return;
        };
        let begin = || reporter.progress(verb, Amount::Bytes(total));
        let progress = self.0.entry(number).or_insert_with(begin);
        progress.watch()(done, total);
    }
}
