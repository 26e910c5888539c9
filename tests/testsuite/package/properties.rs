//! Properties of packing and unpacking, on generated trees and on damaged archives.

use std::{collections::BTreeMap, path::Path};

use napt::package::{Limits, inspect, sha256_file, unpack};
use proptest::{collection::btree_map, prelude::*};

use super::{MODULE, out, pack, tree};
use crate::support::{
    Sandbox,
    archives::{Tar, gzip},
};

/// Trees of files whose names never clash: files end in `.x`, folders do not.
fn trees() -> impl Strategy<Value = BTreeMap<String, (Vec<u8>, bool)>> {
    let name = "[a-zé日][a-z0-9_]{0,110}";
    let path = (proptest::collection::vec(name, 0..3), name)
        .prop_map(|(folders, file)| folders.into_iter().chain([format!("{file}.x")]).collect::<Vec<_>>().join("/"))
        .prop_filter("what is always left out, and devices", |path| {
            path.len() < 240
                && !path.split('/').any(|part| {
                    ["target", "con", "prn", "aux", "nul"].contains(&part.trim_end_matches(".x"))
                        || part.starts_with("com")
                        || part.starts_with("lpt")
                })
        });
    btree_map(path, (proptest::collection::vec(any::<u8>(), 0..3000), any::<bool>()), 0..12)
}

fn create(root: &Path, files: impl Iterator<Item = (String, (Vec<u8>, bool))>) {
    std::fs::create_dir_all(root).expect("a folder");
    std::fs::write(root.join("napt.toml"), MODULE).expect("a manifest");
    for (path, (content, executable)) in files {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        std::fs::write(&path, content).expect("a file");
        #[cfg(unix)]
        if executable {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).expect("a mode");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_packed_is_what_is_unpacked(files in trees()) {
        let sandbox = Sandbox::new();
        let root = sandbox.work().join("one");
        create(&root, files.clone().into_iter());
        let packed = pack(&root).expect("packed");
        prop_assert_eq!(sha256_file(&packed.path).expect("a file"), (packed.sha256.clone(), packed.size));

        let target = sandbox.work().join("unpacked");
        let contents = unpack(&packed.path, &packed.sha256, &target, &Limits::default()).expect("unpacked");
        prop_assert_eq!(&contents.files, &packed.files);
        let mut unpacked = tree(&target);
        unpacked.retain(|path, _| !path.starts_with(".napt/"));
        prop_assert_eq!(&unpacked, &tree(&root));
        #[cfg(unix)]
        for (path, (_, executable)) in &files {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(target.join(path)).expect("a file").permissions().mode();
            prop_assert_eq!(mode & 0o100 != 0, *executable, "{}", path);
        }

        // The same files, made in another order and place.
        let other = sandbox.work().join("two");
        create(&other, files.into_iter().rev());
        prop_assert_eq!(pack(&other).expect("packed").sha256, packed.sha256);
        prop_assert_eq!(std::fs::read_dir(out(&other)).expect("a folder").count(), 1, "nothing temporary is left");
    }
}

/// Damages the archive below gzip, so that damage is seen by the tar reader and not only by gzip's checksum.
fn read_damaged(tar: &[u8], seed: u64, sandbox: &Sandbox) -> bool {
    let archive = sandbox.write("archive", gzip(tar));
    let before = tree(&sandbox.work());
    let (sha256, _) = sha256_file(&archive).expect("a file");
    let inspected = inspect(&archive, &Limits::default());
    let target = sandbox.work().join("target");
    let unpacked = unpack(&archive, &sha256, &target, &Limits::default());
    assert_eq!(inspected.is_ok(), unpacked.is_ok(), "seed {seed}: {inspected:?} {unpacked:?}");
    if unpacked.is_ok() {
        std::fs::remove_dir_all(&target).expect("the target");
    }
    assert_eq!(tree(&sandbox.work()), before, "seed {seed} wrote outside");
    inspected.is_ok()
}

#[test]
fn damaged_archives_never_panic_and_never_write_outside() {
    let sandbox = Sandbox::new();
    let mut tar = Vec::new();
    let good = Tar::complete().file("data/x", &[1; 700]).gzip();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(good.as_slice()), &mut tar).expect("a tar");
    assert!(read_damaged(&tar, 0, &sandbox));
    let mut refused = 0;
    for seed in 1..600_u64 {
        // SplitMix64: the seed alone says what is done.
        let mut state = seed;
        let mut random = |below: usize| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            ((mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 33) as usize % below
        };
        let mut damaged = tar.clone();
        for _ in 0..=random(3) {
            let at = random(damaged.len());
            match random(5) {
                0 => damaged[at] ^= 1 << random(8),
                1 => damaged[at] = b"/.\\\0 7x"[random(7)],
                2 => damaged.truncate(at.max(1)),
                3 => drop(damaged.drain(at / 512 * 512..(at / 512 + 1) * 512)),
                _ => {
                    let block = damaged[at / 512 * 512..(at / 512 + 1) * 512].to_vec();
                    let to = random(damaged.len() / 512) * 512;
                    damaged.splice(to..to, block);
                }
            }
            damaged.resize(damaged.len().max(1).next_multiple_of(512), 0);
        }
        refused += usize::from(!read_damaged(&damaged, seed, &sandbox));
    }
    assert!(refused > 300, "most damage is noticed: {refused}");
}

#[test]
fn no_cut_is_taken_and_no_flipped_byte_changes_what_is_read() {
    let sandbox = Sandbox::new();
    let good = Tar::complete().gzip();
    let contents = inspect(&sandbox.write("archive", &good), &Limits::default()).expect("a good archive");
    for at in 0..good.len() {
        let archive = sandbox.write("archive", &good[..at]);
        assert!(inspect(&archive, &Limits::default()).is_err(), "cut at {at}");
        let mut flipped = good.clone();
        flipped[at] ^= 0x55;
        let archive = sandbox.write("archive", flipped);
        // Some bytes say nothing, and some things can be said in two ways: only the digest tells these apart.
        if let Ok(read) = inspect(&archive, &Limits::default()) {
            assert_eq!((read.files, read.manifest), (contents.files.clone(), contents.manifest.clone()), "flip {at}");
        }
    }
}
