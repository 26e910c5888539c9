//! Bars, on a terminal only. Elsewhere the lines of the steps say what is being done.

use std::{fmt, io::IsTerminal};

use anstream::{AutoStream, ColorChoice};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{MessageFormat, STEP, Verbosity};
use crate::report::{Amount, Meter, Progress};

/// What is done with fewer bytes is over before one could read a bar.
const WORTH_A_BAR: u64 = 1 << 20;

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
            Amount::Bytes(None) => false,
            Amount::Items(items) => items < 2,
        };
        if is_small || self.0.is_hidden() {
            return Progress::unseen();
        }
        let (length, template) = match amount {
            Amount::Bytes(Some(bytes)) => (Some(bytes), "{prefix} [{wide_bar}] {bytes}/{total_bytes}"),
            Amount::Bytes(None) => (None, "{prefix} {bytes}"),
            Amount::Items(items) => (Some(items), "{prefix} [{wide_bar}] {pos}/{len}"),
        };
        let style = ProgressStyle::with_template(template).expect("the templates are constants").progress_chars("=> ");
        let prefix = match AutoStream::choice(&std::io::stderr()) {
            ColorChoice::Never => format!("{verb:>12}"),
            _ => format!("{STEP}{verb:>12}{STEP:#}"),
        };
        let bar = self.0.add(ProgressBar::no_length().with_style(style).with_prefix(prefix));
        if let Some(length) = length {
            bar.set_length(length);
        }
        bar.tick();
        Progress::new(Bar { bar, bars: self.0.clone() })
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
}

impl Meter for Bar {
    fn set(&self, done: u64) {
        self.bar.set_position(done);
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
