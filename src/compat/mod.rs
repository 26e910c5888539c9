//! Noun: what programs written for `naptha-sdk` need beside it. Neither they nor the SDK are touched: Python loads this
//! before them.

/// Shims for the SDK, each applied once what it changes has been imported. Standard library only.
pub const SDK: &str = include_str!("sdk.py");
