//! The same tree gives the same bytes in eight environments.

use std::{
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
};

use napt::package::{Limits, content_digest};

use super::MODULE;
use crate::support::{Sandbox, git};

/// Where and how a tree is made and packed; what is not named is as everywhere.
#[derive(Clone, Copy)]
struct Environment {
    name: &'static str,
    folder: &'static str,
    umask: &'static str,
    time: &'static str,
    reversed: bool,
    other_user: bool,
    git: bool,
    variables: &'static [(&'static str, &'static str)],
}

const PLAIN: Environment = Environment {
    name: "plain",
    folder: "chat",
    umask: "022",
    time: "2026-01-01",
    reversed: false,
    other_user: false,
    git: false,
    variables: &[],
};

const ENVIRONMENTS: [Environment; 9] = [
    PLAIN,
    Environment { name: "time zone", variables: &[("TZ", "Pacific/Auckland")], ..PLAIN },
    Environment { name: "umask", umask: "077", ..PLAIN },
    Environment { name: "locale", variables: &[("LANG", "tr_TR.UTF-8"), ("LC_ALL", "tr_TR.UTF-8")], ..PLAIN },
    Environment { name: "clock", time: "1971-01-01", variables: &[("SOURCE_DATE_EPOCH", "1")], ..PLAIN },
    Environment { name: "creation order", reversed: true, ..PLAIN },
    Environment { name: "user", other_user: true, ..PLAIN },
    Environment { name: "path", folder: "a b/caf\u{e9}/x-1.0", ..PLAIN },
    Environment { name: "git", git: true, ..PLAIN },
];

const FILES: [(&str, &str); 6] = [
    ("napt.toml", MODULE),
    ("chat/run.py", "def run(module_run):\n    return 'fine'\n"),
    ("chat/configs/deployment.json", "[]"),
    ("README.md", "# Chat\n"),
    ("I/i/\u{131}.txt", "x"),
    ("z/empty", ""),
];

/// Nobody, as far as files are concerned.
const OTHER: u32 = 65534;

/// Makes the tree, packs it by command, and gives the archive.
fn packed(sandbox: &Sandbox, environment: &Environment) -> PathBuf {
    let top = sandbox.work().join(environment.name);
    let root = top.join(environment.folder);
    std::fs::create_dir_all(&root).expect("a folder");
    let mut files = FILES.to_vec();
    if environment.reversed {
        files.reverse();
    }
    for (path, text) in files {
        let script = "umask $1; mkdir -p \"$(dirname \"$2\")\"; printf %s \"$3\" > \"$2\"; touch -d \"$4\" \"$2\"";
        let mut make = Command::new("sh");
        make.args(["-c", script, "sh", environment.umask, path, text, environment.time]).current_dir(&root);
        assert!(make.status().expect("sh").success());
    }
    if environment.git {
        git(&root, &["init", "-q"]);
        git(&root, &["add", "."]);
        git(&root, &["commit", "-q", "-m", "all"]);
    }
    let napt = sandbox.command(&[]);
    let mut command = Command::new("sh");
    command.args(["-c", "umask $1; exec \"$2\" package --no-verify", "sh", environment.umask]);
    command.envs(napt.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(&root);
    command.envs(environment.variables.iter().copied());
    // Only root can be somebody else.
    if environment.other_user && rustix::process::geteuid().is_root() {
        // Its folders and the program must be within reach.
        let program = top.join("napt");
        std::fs::copy(napt.get_program(), &program).expect("a copy");
        for folder in [sandbox.work().parent().expect("the sandbox"), &sandbox.work()] {
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).expect("its owner");
        }
        assert!(Command::new("chown").args(["-R", &OTHER.to_string()]).arg(&top).status().expect("chown").success());
        command.arg(&program).env("HOME", &top).env("NAPT_HOME", top.join("home")).uid(OTHER).gid(OTHER);
    } else {
        command.arg(napt.get_program());
    }
    sandbox.run(&mut command).expect(0);
    root.join("target/package/chat-0.1.0.napt")
}

#[test]
fn eight_environments_give_the_same_bytes() {
    let sandbox = Sandbox::new();
    let read = |path: &Path| std::fs::read(path).expect("an archive");
    let plain = packed(&sandbox, &PLAIN);
    for environment in &ENVIRONMENTS[1..] {
        let archive = packed(&sandbox, environment);
        if environment.git {
            // The commit is recorded beside the module's own files, which are the same; two checkouts of it are equal.
            let digest = |path: &Path| content_digest(path, &Limits::default()).expect("an archive");
            assert_eq!(digest(&archive), digest(&plain), "git");
            let again = Environment { name: "git again", umask: "077", reversed: true, ..*environment };
            assert!(read(&packed(&sandbox, &again)) == read(&archive), "two checkouts");
        } else {
            assert!(read(&archive) == read(&plain), "{} makes a difference", environment.name);
        }
    }
}
