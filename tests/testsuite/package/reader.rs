//! The strict reader against archives of all kinds.

use std::collections::BTreeSet;

use napt::package::{ArchiveError, Limits, inspect, sha256_file, unpack};

use super::tree;
use crate::support::{
    Sandbox,
    archives::{self, Tar},
};

#[test]
fn hostile_archives_are_refused_and_nothing_is_written() {
    let sandbox = Sandbox::new();
    let cases = archives::hostile();
    let names: BTreeSet<_> = cases.iter().map(|(name, ..)| name).collect();
    assert_eq!(names.len(), cases.len(), "each case has a name of its own");
    for (name, bytes, phrase) in cases {
        let archive = sandbox.write("archive", bytes);
        let before = tree(&sandbox.work());
        let inspected = inspect(&archive, &Limits::default()).expect_err(name).to_string();
        assert!(inspected.contains(phrase), "{name}: {inspected}");
        assert!(!inspected.chars().any(char::is_control), "{name}: {inspected:?}");

        let (sha256, _) = sha256_file(&archive).expect("a file");
        let target = sandbox.work().join("modules/odd");
        std::fs::create_dir_all(sandbox.work().join("modules")).expect("a folder");
        let unpacked = unpack(&archive, &sha256, &target, &Limits::default()).expect_err(name).to_string();
        assert_eq!(unpacked, inspected, "{name}");
        std::fs::remove_dir(sandbox.work().join("modules")).expect(name);
        assert_eq!(tree(&sandbox.work()), before, "{name} wrote something");
        assert!(!std::path::Path::new("/tmp/escaped").exists(), "{name}");
    }
}

#[test]
fn odd_archives_are_taken_and_other_readers_agree() {
    let sandbox = Sandbox::new();
    for (name, bytes) in archives::good() {
        let archive = sandbox.write("archive", &bytes);
        let contents = inspect(&archive, &Limits::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(contents.manifest.id.to_string(), archives::MODULE);
        assert_eq!(contents.manifest.version.to_string(), archives::VERSION);

        let (sha256, _) = sha256_file(&archive).expect("a file");
        let target = sandbox.work().join(name);
        let again = unpack(&archive, &sha256, &target, &Limits::default()).expect(name);
        assert_eq!(again.files, contents.files, "{name}");

        let mut other = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
        let mut seen = Vec::new();
        for entry in other.entries().expect("a tar") {
            let mut entry = entry.expect("an entry");
            let path = entry.path().expect("a path").to_str().expect("UTF-8").to_owned();
            let below = path.strip_prefix(archives::TOP).expect("the top folder").trim_matches('/').to_owned();
            if entry.header().entry_type().is_file() {
                let mut content = Vec::new();
                std::io::Read::read_to_end(&mut entry, &mut content).expect("content");
                assert_eq!(std::fs::read(target.join(&below)).expect("unpacked"), content, "{name}: {below}");
                seen.push((below, content.len() as u64));
            } else {
                assert!(target.join(&below).is_dir(), "{name}: {below}");
            }
        }
        let ours: Vec<_> = contents.files.iter().map(|file| (file.path.clone(), file.size)).collect();
        assert_eq!(seen, ours, "{name}");
    }
    let readme = inspect(&sandbox.write("a", Tar::complete().file("README.md", b"# Odd\n").gzip()), &Limits::default());
    assert_eq!(readme.expect("good").readme.as_deref(), Some("# Odd\n"));
}

#[test]
fn limits_are_counted_on_what_is_read() {
    let sandbox = Sandbox::new();
    let archive = sandbox.write("archive", Tar::complete().file("a/b/c", &[7; 5000]).gzip());
    let of = |limits: Limits| inspect(&archive, &limits).map(|_| ()).map_err(|error| error.to_string());
    let free = Limits::default();
    assert_eq!(of(free.clone()), Ok(()));
    for (limits, phrase) in [
        (Limits { packed: 100, ..free.clone() }, "more than 100 B"),
        (Limits { unpacked: 5000, ..free.clone() }, "unpacks to more than 4.9 KiB"),
        (Limits { file: 4999, ..free.clone() }, "`agent-odd-1.0.0/a/b/c` has 4.9 KiB, more than 4.9 KiB"),
        (Limits { files: 3, ..free.clone() }, "more than 3 files"),
        (Limits { ratio: 2, ratio_from: 4096, ..free.clone() }, "more than 2 times its size"),
        (Limits { manifest: 10, ..free.clone() }, "manifest.json` has"),
        (Limits { depth: 2, ..free.clone() }, "more than 2 folders deep"),
        (Limits { segment: 8, ..free.clone() }, "a part longer than 8 bytes"),
        (Limits { path: 10, ..free.clone() }, "longer than 10 bytes"),
    ] {
        let error = of(limits).expect_err(phrase);
        assert!(error.contains(phrase), "{phrase}: {error}");
    }
}

#[test]
fn the_digest_is_checked_before_anything_is_decoded() {
    let sandbox = Sandbox::new();
    let archive = sandbox.write("archive", "not even gzip");
    let target = sandbox.work().join("target");
    let error = unpack(&archive, &"0".repeat(64), &target, &Limits::default()).expect_err("another digest");
    assert!(matches!(error, ArchiveError::Digest { .. }), "{error}");
    assert!(!target.exists());
}

#[test]
fn a_target_that_is_there_is_fine_only_when_it_is_this_archives() {
    let sandbox = Sandbox::new();
    let limits = Limits::default();
    let unpack_to = |bytes: &[u8], target: &str| {
        let archive = sandbox.write("archive", bytes);
        let (sha256, _) = sha256_file(&archive).expect("a file");
        unpack(&archive, &sha256, &sandbox.work().join(target), &limits).map(|contents| contents.files)
    };
    let one = Tar::complete().file("README.md", b"one").gzip();
    let first = unpack_to(&one, "deep/er/odd").expect("a new target");
    let before = tree(&sandbox.work());
    assert_eq!(unpack_to(&one, "deep/er/odd").expect("the same again"), first);
    assert_eq!(tree(&sandbox.work()), before);

    let other = Tar::complete().file("README.md", b"two").gzip();
    let error = unpack_to(&other, "deep/er/odd").expect_err("another archive");
    assert!(matches!(error, ArchiveError::Target(_)), "{error}");
    sandbox.write("users/notes.txt", "mine");
    let error = unpack_to(&one, "users").expect_err("somebody's folder");
    assert!(matches!(error, ArchiveError::Target(_)), "{error}");
    assert_eq!(std::fs::read_to_string(sandbox.work().join("deep/er/odd/README.md")).expect("a file"), "one");
}

#[test]
fn many_may_unpack_to_one_target_at_once() {
    let sandbox = Sandbox::new();
    let archive = sandbox.write("archive", Tar::complete().file("data.bin", &[7; 100_000]).gzip());
    let (sha256, _) = sha256_file(&archive).expect("a file");
    let target = sandbox.work().join("modules/odd");
    std::thread::scope(|scope| {
        let tries: Vec<_> =
            (0..4).map(|_| scope.spawn(|| unpack(&archive, &sha256, &target, &Limits::default()))).collect();
        for one in tries {
            one.join().expect("no panic").expect("unpacked");
        }
    });
    let names: Vec<_> = std::fs::read_dir(sandbox.work().join("modules")).expect("a folder").collect();
    assert_eq!(names.len(), 1, "nothing temporary is left");
    assert_eq!(std::fs::read(target.join("data.bin")).expect("a file").len(), 100_000);
}
