//! The processes of this machine, as far as a test has to do with them.

use std::{
    collections::BTreeSet,
    path::Path,
    time::{Duration, Instant},
};

fn all() -> impl Iterator<Item = u32> {
    std::fs::read_dir("/proc").expect("processes").filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// Those that work in a folder or below it.
pub fn working_in(folder: &Path) -> BTreeSet<u32> {
    all()
        .filter(|pid| std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(folder)))
        .collect()
}

/// Those of them that do not wait for a run that they will be.
pub fn without_spares(processes: BTreeSet<u32>) -> BTreeSet<u32> {
    let is_spare =
        |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "napt-spare\n");
    processes.into_iter().filter(|pid| !is_spare(pid)).collect()
}

/// Those with this text among their arguments.
pub fn called_with(text: &str) -> BTreeSet<u32> {
    let has = |arguments: Vec<u8>| arguments.split(|byte| *byte == 0).any(|argument| argument == text.as_bytes());
    all().filter(|pid| std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(has)).collect()
}

/// The most memory that a process has had, in bytes.
pub fn peak_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

/// Waits until something holds that must hold soon.
#[track_caller]
pub fn soon(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(30), "{what}: not within 30 s");
        std::thread::sleep(Duration::from_millis(5));
    }
}
