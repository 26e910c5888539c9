//! Control groups of both versions, on folders that look like theirs.

use super::*;

/// A folder with these files in it.
fn folder(path: PathBuf, files: &[(&str, &str)]) -> PathBuf {
    fs_err::create_dir_all(&path).expect("a folder");
    for (name, text) in files {
        fs_err::write(path.join(name), text).expect("a file");
    }
    path
}

fn read(folder: &Path, file: &str) -> String {
    fs_err::read_to_string(folder.join(file)).expect("a file")
}

/// What the kernel makes in a group is made by hand here: so this shows what is written where, not what comes of it.
#[test]
fn version_2_gives_runs_a_folder_and_the_node_a_leaf() {
    let machine = tempfile::tempdir().expect("a folder");
    let mounted = folder(machine.path().join("unified"), &[]);
    let own = folder(
        mounted.join("user.slice"),
        &[("cgroup.controllers", "cpuset cpu io memory pids\n"), ("cgroup.subtree_control", "")],
    );
    let leaf = folder(own.join("napt-1.node"), &[("cgroup.procs", "")]);
    let runs = folder(own.join("napt-1"), &[("cgroup.subtree_control", "")]);
    let mountinfo = format!("30 24 0:26 / {} rw,nosuid shared:4 - cgroup2 cgroup2 rw\n", mounted.display());
    let proc = folder(machine.path().join("proc"), &[("mountinfo", &mountinfo), ("cgroup", "0::/user.slice\n")]);
    let groups = Cgroups::find_at(&proc, "napt-1").expect("groups");
    assert_eq!(groups.folders, Folders::V2(runs.clone()));
    assert!(groups.count_processes());
    assert_eq!(Cgroups::told(Some(&groups)), (Some("v2"), None));
    assert_eq!(read(&leaf, "cgroup.procs"), "0");
    for folder in [&own, &runs] {
        assert_eq!(read(folder, "cgroup.subtree_control"), "+memory +pids");
    }

    let files = ["memory.max", "memory.swap.max", "memory.oom.group", "pids.max", "cgroup.procs"];
    let counts = ["memory.events", "memory.current", "pids.events", "cpu.stat"];
    let run = folder(runs.join("run"), &files.into_iter().chain(counts).map(|file| (file, "")).collect::<Vec<_>>());
    let bounds = Bounds { memory: 1 << 20, processes: 7, cpu: Some(Duration::from_secs(2)) };
    let group = groups.group("run", bounds).expect("a group");
    assert_eq!(group.doors().count(), 1);
    assert_eq!(read(&run, "memory.max"), ((1 << 20) + SLACK).to_string());
    assert_eq!((read(&run, "memory.swap.max"), read(&run, "pids.max")), ("0".to_owned(), "7".to_owned()));
    assert_eq!(group.hit(), None);
    for (file, fine, hit, limit) in [
        ("cpu.stat", "usage_usec 1999999\nuser_usec 5\n", "usage_usec 2000000\n", Limit::Cpu),
        ("pids.events", "max 0\n", "max 3\n", Limit::Processes),
        ("memory.events", "low 0\noom 4\noom_kill 0\n", "oom 1\noom_kill 1\noom_group_kill 1\n", Limit::Memory),
    ] {
        let before = group.hit();
        fs_err::write(run.join(file), fine).expect("a file");
        assert_eq!(group.hit(), before, "{file}");
        fs_err::write(run.join(file), hit).expect("a file");
        assert_eq!(group.hit(), Some(limit));
    }
    assert!(group.is_spent());
}

#[test]
fn without_controllers_or_the_right_to_make_groups_there_are_none() {
    let machine = tempfile::tempdir().expect("a folder");
    let mounted = folder(machine.path().join("unified"), &[("cgroup.controllers", "cpu\n")]);
    let mountinfo = format!(
        "30 24 0:26 / {} rw - cgroup2 cgroup2 rw\n31 24 0:27 /docker/x {}/none rw - cgroup cgroup rw,memory\n",
        mounted.display(),
        mounted.display()
    );
    let member = "4:memory:/docker/x/y\n0::/\n";
    let proc = folder(machine.path().join("proc"), &[("mountinfo", &mountinfo), ("cgroup", member)]);
    assert!(Cgroups::find_at(&proc, "napt-1").is_none());
    let (version, missing) = Cgroups::told(None);
    assert_eq!((version, missing.is_some_and(|told| told.starts_with("control groups are missing: "))), (None, true));
}

#[test]
fn a_container_sees_its_own_part_of_a_hierarchy() {
    let machine = tempfile::tempdir().expect("a folder");
    let memory = folder(machine.path().join("memory"), &[]);
    folder(memory.join("y"), &[]);
    let mountinfo = format!("31 24 0:27 /docker/x {} rw - cgroup cgroup rw,memory\n", memory.display());
    for (path, below) in [("/docker/x/y", "y/napt-1"), ("/docker/x", "napt-1"), ("/elsewhere", "napt-1")] {
        let member = format!("4:memory:{path}\n");
        let proc = folder(machine.path().join("proc"), &[("mountinfo", &mountinfo), ("cgroup", &member)]);
        let place = memory.join(below);
        let expected = Folders::V1 { memory: Some(place), pids: None, cpuacct: None };
        let found = Cgroups::find_at(&proc, "napt-1").expect("groups");
        assert_eq!(found.folders, expected, "{path}");
        let (version, missing) = Cgroups::told(Some(&found));
        assert_eq!(version, Some("v1"));
        assert!(missing.is_some_and(|told| told.contains("do not count processes and processor time: ")));
    }
}

#[test]
fn a_place_is_its_nodes_as_long_as_that_lives() {
    let machine = tempfile::tempdir().expect("a folder");
    let [held, left] = ["napt-1", "napt-2"].map(|name| folder(machine.path().join(name), &[]));
    let others = folder(machine.path().join("other"), &[]);
    for place in [&held, &left] {
        folder(place.join("parent-1"), &[]);
    }
    let lock = hold(&held).expect("held");
    remove_unused(machine.path());
    assert!(held.join("parent-1").exists() && !left.exists() && others.exists());
    drop(lock);
    remove_unused(machine.path());
    assert!(!held.exists() && others.exists());
}
