//! Places where tests break the program, to see that nothing is half done afterwards.
//!
//! A point is passed for nothing unless the crate `fail` is built with its feature `failpoints`, which only the tests of
//! this workspace turn on. Then `FAILPOINTS="publish.kept=return(kill)"` kills the process at that point with SIGKILL,
//! `return(io)` is an I/O error there, and `return(full)` a full disk; `1*return(io)` is one the first time only.

use std::io;

/// Breaks here, if a test says so.
#[allow(unused_variables, reason = "the macro is nothing without the feature")]
pub fn point(name: &str) -> io::Result<()> {
    fail::fail_point!(name, |kind: Option<String>| Err(broken(name, kind.as_deref())));
    Ok(())
}

#[allow(dead_code, reason = "the macro is nothing without the feature")]
fn broken(name: &str, kind: Option<&str>) -> io::Error {
    match kind {
        Some("kill") => {
            // What cannot be caught needs no second try.
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            io::Error::other(format!("killed at {name}"))
        }
        Some("full") => rustix::io::Errno::NOSPC.into(),
        _ => io::Error::other(format!("the disk failed at {name}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_breaks_when_told() {
        point("crash.test").expect("nothing was told");
        assert_eq!(broken("x", Some("full")).kind(), io::ErrorKind::StorageFull);
        assert_eq!(broken("x", Some("io")).to_string(), "the disk failed at x");
    }
}
