//! Bars, on a terminal only. Elsewhere the lines of the steps say what is being done.

use std::{
    fmt,
    io::IsTerminal,
    sync::atomic::{AtomicBool, Ordering},
};

use anstream::{AutoStream, ColorChoice};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{MessageFormat, STEP, Verbosity};
use crate::report::{Amount, Meter, Progress};

/// What is done with fewer bytes is over before one could read a bar.
const WORTH_A_BAR: u64 = 1 << 20;

const OF_BYTES: &str = "{prefix} [{wide_bar}] {bytes}/{total_bytes}";

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates are constants").progress_chars("=> ")
}

/// The bars that are on the terminal, if it is one.
pub(super) struct Bars(MultiProgress);

impl Bars {
    /// Nothing is ever drawn for a program, for `--quiet`, or on what is no terminal or a dumb one.
    pub(super) fn new(format: MessageFormat, verbosity: Verbosity) -> Self {
        let is_wanted = format != MessageFormat::Json && verbosity >= Verbosity::Normal;
        // `indicatif` looks at `TERM`.
        let target = if is_wanted && std::io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        Bars(MultiProgress::with_draw_target(target))
    }

    /// Writes to the terminal above the bars.
    pub(super) fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        self.0.suspend(write)
    }

    /// Takes all bars away.
    pub(super) fn clear(&self) {
        // The terminal is gone, and its bars with it.
        let _ = self.0.clear();
    }

    pub(super) fn begin(&self, verb: &str, amount: Amount) -> Progress {
        let is_small = match amount {
            Amount::Bytes(Some(bytes)) => bytes < WORTH_A_BAR,
            // It may turn out to be.
            Amount::Bytes(None) => false,
            Amount::Items(items) => items < 2,
        };
        if is_small || self.0.is_hidden() {
            return Progress::unseen();
        }
        let (length, template) = match amount {
            Amount::Bytes(Some(bytes)) => (Some(bytes), OF_BYTES),
            Amount::Bytes(None) => (None, "{prefix} {bytes}"),
            Amount::Items(items) => (Some(items), "{prefix} [{wide_bar}] {pos}/{len}"),
        };
        let prefix = match AutoStream::choice(&std::io::stderr()) {
            ColorChoice::Never => format!("{verb:>12}"),
            _ => format!("{STEP}{verb:>12}{STEP:#}"),
        };
        let bar = self.0.add(ProgressBar::no_length().with_style(style(template)).with_prefix(prefix));
        if let Some(length) = length {
            bar.set_length(length);
        }
        let is_shown = length.is_some();
        if is_shown {
            bar.tick();
        }
        Progress::new(Bar { bar, bars: self.0.clone(), is_shown: is_shown.into() })
    }
}

impl fmt::Debug for Bars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bars")
    }
}

struct Bar {
    bar: ProgressBar,
    bars: MultiProgress,
    /// Not before it is known to be long.
    is_shown: AtomicBool,
}

impl Bar {
    fn show(&self, bytes: u64) {
        if bytes >= WORTH_A_BAR && !self.is_shown.swap(true, Ordering::Relaxed) {
            self.bar.tick();
        }
    }
}

impl Meter for Bar {
    fn expect(&self, total: u64) {
        if self.bar.length() != Some(total) {
            self.bar.update(|state| state.set_len(total));
            self.bar.set_style(style(OF_BYTES));
            self.show(total);
        }
    }

    fn set(&self, done: u64) {
        self.show(done);
        if self.is_shown.load(Ordering::Relaxed) {
            self.bar.set_position(done);
        }
    }

    fn advance(&self, by: u64) {
        self.bar.inc(by);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        self.bars.remove(&self.bar);
    }
}
