//! What a program of an install takes of the disk, watched as long as it goes on.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    super::scratch::{self, Usage},
    step::{Code, size_of},
};

/// How much a build may write.
pub(super) const DISK: u64 = 4 << 30;

/// The same, and how many files it may make, by all of their names.
const BUILD: Usage = Usage { bytes: DISK, entries: 100_000 };

/// How much the installer may write for one environment: what wheels hold is their authors' to say.
const WRITTEN: u64 = 16 << 30;

/// How much an install leaves of a disk, and how many files there may still be.
const RESERVE: u64 = 256 << 20;
const RESERVE_FILES: u64 = 10_000;

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(500);

/// Returns the limit once a program that `launcher` has started has reached one. It works in `work`, and writes to `folders`.
pub(super) async fn reached(code: Code, launcher: Option<u32>, folders: &[PathBuf], work: &Path) -> String {
    loop {
        tokio::time::sleep(LOOK).await;
        let (folders, work) = (folders.to_vec(), work.to_owned());
        let looked = tokio::task::spawn_blocking(move || {
            let processes = launcher.map(below).unwrap_or_default();
            match code {
                Code::Own if written(&processes) > WRITTEN => Some(format!("disk limit of {}", size_of(WRITTEN))),
                Code::Own => nearly_full(&work),
                Code::Strangers => grown(&processes, &folders, BUILD),
            }
        });
        if let Ok(Some(limit)) = looked.await {
            return limit;
        }
    }
}

/// What a build has made, in folders that nobody else writes to.
fn grown(processes: &[u32], folders: &[PathBuf], limit: Usage) -> Option<String> {
    let mut used = Usage::default();
    for folder in folders {
        let more = scratch::measure(folder, limit);
        used.bytes = used.bytes.saturating_add(more.bytes);
        used.entries = used.entries.saturating_add(more.entries);
    }
    // One of them tells which disk it is.
    let unlinked = folders.first().map(|folder| scratch::unlinked(processes.iter().copied(), folder));
    if used.bytes.saturating_add(unlinked.unwrap_or_default()) > limit.bytes {
        return Some(format!("disk limit of {}", size_of(limit.bytes)));
    }
    (used.entries > limit.entries).then(|| format!("limit of {} files", limit.entries))
}

/// What the installer has written itself, and those that it has waited for: its folders are shared by all installs.
fn written(processes: &[u32]) -> u64 {
    let bytes = |pid: &u32| {
        let text = fs_err::read_to_string(format!("/proc/{pid}/io")).ok()?;
        text.lines().find_map(|line| line.strip_prefix("wchar: ")?.parse::<u64>().ok())
    };
    processes.iter().filter_map(bytes).sum()
}

fn nearly_full(folder: &Path) -> Option<String> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    if disk.f_bavail.saturating_mul(disk.f_frsize) < RESERVE {
        return Some(format!("disk reserve of {}", size_of(RESERVE)));
    }
    // Some file systems do not count them.
    (disk.f_files > 0 && disk.f_favail < RESERVE_FILES).then(|| format!("disk reserve of {RESERVE_FILES} files"))
}

/// A process and all below it, as far as they can be seen.
fn below(process: u32) -> Vec<u32> {
    let (mut found, mut next) = (Vec::new(), vec![process]);
    while let Some(pid) = next.pop() {
        found.push(pid);
        for thread in fs_err::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let children = fs_err::read_to_string(thread.path().join("children")).unwrap_or_default();
            next.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        process::{Command, Stdio},
    };

    use super::*;

    #[test]
    fn what_a_program_and_its_children_write_is_known() {
        let folder = tempfile::tempdir().expect("a folder");
        // The shell has a child that writes, says so, and waits.
        let script = "(head -c 3000000 /dev/zero > large; exec sh -c 'head -c 1000000 /dev/zero; read word'; :); :";
        let mut shell = Command::new("sh")
            .args(["-c", script])
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let mut said = vec![0; 1_000_000];
        shell.stdout.take().expect("its output").read_exact(&mut said).expect("all of it");
        let processes = below(shell.id());
        assert!(processes.len() > 1 && processes[0] == shell.id(), "{processes:?}");
        assert!((4_000_000..5_000_000).contains(&written(&processes)), "{}", written(&processes));
        let folders = [folder.path().to_owned()];
        let told = |bytes, entries| grown(&processes, &folders, Usage { bytes, entries });
        assert_eq!(told(4_000_000, 1), None);
        assert_eq!(told(2_000_000, 1).as_deref(), Some("disk limit of 1.9 MiB"));
        assert_eq!(told(4_000_000, 0).as_deref(), Some("limit of 0 files"));
        drop(shell.stdin.take().map(|mut word| word.write_all(b"over\n")));
        shell.wait().expect("it ends");
        assert_eq!(below(shell.id()).len(), 1, "nothing is left below it");
    }

    #[test]
    fn a_disk_with_room_is_not_full() {
        assert_eq!(nearly_full(&std::env::temp_dir()), None);
    }
}
