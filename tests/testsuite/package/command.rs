//! `napt package`, as a user calls it.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use napt::{
    module::Project,
    package::{self, Limits, inspect},
    report::{Fault, Reporter},
};
use snapbox::{assert_data_eq, str};

use super::{MODULE, pack, paths, tree, write};
use crate::support::{Sandbox, git};

const DEBATE: &str =
    "[module]\ntype = \"orchestrator\"\nname = \"debate\"\nversion = \"1.2.0\"\nruntime = \"python\"\n";

fn workspace(sandbox: &Sandbox) {
    write(
        &sandbox.work(),
        &[
            ("napt.toml", "[workspace]\nmembers = [\"modules/*\"]\n"),
            (".gitignore", "/target\n*.log\n"),
            ("modules/debate/napt.toml", DEBATE),
            ("modules/debate/debate/run.py", "def run(module_run): ...\n"),
            ("modules/debate/debug.log", "noise"),
            ("modules/chat/napt.toml", MODULE),
            ("modules/chat/chat/run.py", "def run(module_run): ...\n"),
        ],
    );
}

#[test]
fn a_module_on_its_own_is_packaged() {
    let sandbox = Sandbox::new();
    write(&sandbox.work(), &[("napt.toml", MODULE), ("chat/run.py", "def run(): ...\n"), ("README.md", "# Chat\n")]);
    let ran = sandbox.napt(&["package", "--no-verify"]).expect(0);
    let archive = sandbox.work().join("target/package/chat-0.1.0.napt");
    let (sha256, _) = napt::package::sha256_file(&archive).expect("the archive");
    assert!(ran.stdout.starts_with("target/package/chat-0.1.0.napt  "), "{}", ran.stdout);
    assert!(ran.stdout.ends_with(&format!("  4 files  sha256:{sha256}\n")), "{}", ran.stdout);
    assert_data_eq!(
        ran.stderr,
        str![[r#"
   Packaging agent:chat@0.1.0 ([..])
    Packaged 4 files, [..] ([..] compressed)
     Largest .napt/manifest.json ([..] B), napt.toml ([..] B), chat/run.py (15 B)

"#]]
    );
    let contents = inspect(&archive, &Limits::default()).expect("a good archive");
    assert_eq!(contents.readme.as_deref(), Some("# Chat\n"));
    assert_eq!(contents.manifest.id.to_string(), "agent:chat");

    // Again, beside its own archive: nothing changes.
    assert_eq!(sandbox.napt(&["package", "--no-verify"]).expect(0).stdout, ran.stdout);
    let folder: Vec<_> = tree(&sandbox.work().join("target")).into_keys().collect();
    assert_eq!(folder, ["package/", "package/chat-0.1.0.napt"]);
}

#[test]
fn a_workspace_packages_every_member_or_the_one_that_is_named() {
    let sandbox = Sandbox::new();
    workspace(&sandbox);
    let data = sandbox.napt(&["package", "--no-verify", "--message-format", "json"]).expect(0).json();
    let modules: Vec<_> =
        data["data"]["archives"].as_array().expect("archives").iter().map(|one| one["module"].clone()).collect();
    assert_eq!(modules, ["orchestrator:debate", "agent:chat"]);
    let packages = sandbox.work().join("target/package");
    assert_eq!(tree(&packages).into_keys().collect::<Vec<_>>(), ["chat-0.1.0.napt", "debate-1.2.0.napt"]);

    std::fs::remove_dir_all(&packages).expect("the archives");
    sandbox.napt(&["package", "--no-verify", "-p", "debate"]).expect(0);
    assert_eq!(tree(&packages).into_keys().collect::<Vec<_>>(), ["debate-1.2.0.napt"]);

    std::fs::remove_dir_all(&packages).expect("the archives");
    sandbox.napt(&["-C", "modules/chat", "package", "--no-verify"]).expect(0);
    assert_eq!(tree(&packages).into_keys().collect::<Vec<_>>(), ["chat-0.1.0.napt"]);

    let ran = sandbox.napt(&["package", "--no-verify", "--module", "chatt"]).expect(2);
    assert!(ran.stderr.contains("`chatt` is not a module of this workspace"), "{}", ran.stderr);
}

#[test]
fn two_members_of_one_name_do_not_overwrite_each_other() {
    let sandbox = Sandbox::new();
    workspace(&sandbox);
    write(&sandbox.work(), &[("modules/store/napt.toml", &MODULE.replace("agent", "kb"))]);
    sandbox.napt(&["package", "--no-verify"]).expect(0);
    let archives: Vec<_> = tree(&sandbox.work().join("target/package")).into_keys().collect();
    assert_eq!(archives, ["agent/", "agent/chat-0.1.0.napt", "debate-1.2.0.napt", "kb/", "kb/chat-0.1.0.napt"]);
}

#[test]
fn list_prints_paths_and_writes_nothing() {
    let sandbox = Sandbox::new();
    workspace(&sandbox);
    assert_data_eq!(
        sandbox.napt(&["package", "--no-verify", "--list", "-p", "agent:chat"]).expect(0).stdout,
        str![[r#"
.napt/manifest.json
chat/run.py
napt.toml

"#]]
    );
    let all = sandbox.napt(&["package", "--no-verify", "--list"]).expect(0).stdout;
    assert!(all.starts_with("orchestrator:debate:\n.napt/manifest.json\ndebate/run.py\nnapt.toml\n\nagent:chat:\n"));
    let data = sandbox.napt(&["package", "--no-verify", "--list", "--message-format", "json"]).expect(0).json();
    assert_eq!(data["data"]["modules"][1]["files"][1]["path"], "chat/run.py");
    assert!(!sandbox.work().join("target").exists());
}

// Naptha's defects: C9
#[test]
fn what_is_made_and_what_git_ignores_is_left_out() {
    let sandbox = Sandbox::new();
    let root = sandbox.work().join("project");
    write(
        &root,
        &[
            ("napt.toml", MODULE),
            ("pyproject.toml", "[project]\nname = \"chat\"\n"),
            ("napt.lock", ""),
            (".gitignore", "/data/*\n!/data/keep.csv\nsecret*\n"),
            ("data/a.csv", "1"),
            ("data/keep.csv", "1"),
            ("chat/.gitignore", "*.tmp\n"),
            ("chat/a.tmp", ""),
            ("b.tmp", ""),
            ("secret.txt", ""),
            (".env", "OPENAI_API_KEY=1"),
            (".git/info/exclude", ".env\n"),
            (".git/HEAD", "ref: refs/heads/main\n"),
            (".git/config", "[core]\n\trepositoryformatversion = 0\n"),
            (".git/objects/x", ""),
            (".git/refs/x", ""),
            (".venv/pyvenv.cfg", ""),
            (".venv/lib/x.py", ""),
            ("env/pyvenv.cfg", ""),
            ("cache/CACHEDIR.TAG", ""),
            ("cache/x", ""),
            ("chat/__pycache__/run.pyc", ""),
            ("chat/old.pyc", ""),
            ("chat/.run.py.swp", ""),
            ("chat/run.py~", ""),
            ("chat/#run.py#", ""),
            ("chat/target/x.py", ""),
            ("node_modules/x.js", ""),
            (".vscode/settings.json", "{}"),
            ("target/x", ""),
            ("old-0.0.1.napt", ""),
            (".napt/config.toml", ""),
            ("nested/napt.toml", MODULE),
            ("nested/run.py", ""),
            (".github/workflows/ci.yml", ""),
        ],
    );
    let packed = pack(&root).expect("packed");
    assert_eq!(
        paths(&packed),
        [
            ".github/workflows/ci.yml",
            ".gitignore",
            ".napt/manifest.json",
            "b.tmp",
            "chat/.gitignore",
            "chat/target/x.py",
            "data/keep.csv",
            "napt.toml",
            "pyproject.toml",
        ]
    );
}

#[test]
fn include_and_exclude_choose_files() {
    let sandbox = Sandbox::new();
    let root = sandbox.work().join("project");
    let manifest =
        format!("{MODULE}include = [\"chat/\", \"*.md\"]\nexclude = [\"*.csv\", \"!small.csv\", \"napt.toml\"]\n");
    write(
        &root,
        &[
            ("napt.toml", &manifest),
            ("README.md", ""),
            ("docs/deep.md", ""),
            ("chat/run.py", ""),
            ("chat/data/big.csv", ""),
            ("chat/data/small.csv", ""),
            ("scratch.py", ""),
        ],
    );
    assert_eq!(
        paths(&pack(&root).expect("packed")),
        [".napt/manifest.json", "README.md", "chat/data/small.csv", "chat/run.py", "docs/deep.md", "napt.toml"]
    );
}

#[test]
fn the_same_tree_gives_the_same_bytes_anywhere_and_any_time() {
    let sandbox = Sandbox::new();
    let files = [
        ("napt.toml", MODULE),
        ("chat/run.py", "def run(): ...\n"),
        ("chat/configs/deployment.json", "[]"),
        ("scripts/go.sh", "#!/bin/sh\n"),
        ("naïve.txt", "x"),
    ];
    let make = |name: &str, umask: &str, reversed: bool| {
        let root = sandbox.work().join(name).join("chat-checkout");
        std::fs::create_dir_all(&root).expect("a folder");
        let mut order: Vec<_> = files.to_vec();
        if reversed {
            order.reverse();
        }
        for (path, text) in order {
            let script = "umask $1; mkdir -p \"$(dirname \"$2\")\"; printf %s \"$3\" > \"$2\"; touch -d \"$4\" \"$2\"";
            let time = if reversed { "1971-01-01" } else { "2026-01-01" };
            let status = std::process::Command::new("sh")
                .args(["-c", script, "sh", umask, path, text, time])
                .current_dir(&root)
                .status();
            assert!(status.expect("sh").success());
        }
        std::process::Command::new("chmod").args(["u+x", "scripts/go.sh"]).current_dir(&root).status().expect("chmod");
        root
    };
    let one = make("one", "022", false);
    let two = make("two/deeper", "077", true);
    let run = |root: &Path, umask: &str, zone: &str| {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", "umask $1; exec \"$2\" package --no-verify", "sh", umask, env!("CARGO_BIN_EXE_napt")]);
        let output = command
            .current_dir(root)
            .env("HOME", sandbox.home())
            .env("NAPT_HOME", sandbox.home())
            .env("TZ", zone)
            .output()
            .expect("napt");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::read(root.join("target/package/chat-0.1.0.napt")).expect("the archive")
    };
    let first = run(&one, "022", "UTC");
    assert_eq!(run(&two, "077", "Asia/Tokyo"), first);
    // Gzip: no name, no time, no operating system.
    assert_eq!(first[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);

    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(first.as_slice()));
    let headers: Vec<_> = archive
        .entries()
        .expect("a tar")
        .map(|entry| {
            let entry = entry.expect("an entry");
            let header = entry.header();
            assert_eq!((header.uid().ok(), header.gid().ok()), (Some(0), Some(0)));
            assert_eq!(header.mtime().ok(), Some(1_000_000_000));
            assert_eq!((header.username(), header.groupname()), (Ok(Some("")), Ok(Some(""))));
            format!("{:o} {}", header.mode().expect("a mode"), entry.path().expect("a path").display())
        })
        .collect();
    assert_eq!(
        headers,
        [
            "644 agent-chat-0.1.0/.napt/manifest.json",
            "644 agent-chat-0.1.0/chat/configs/deployment.json",
            "644 agent-chat-0.1.0/chat/run.py",
            "644 agent-chat-0.1.0/napt.toml",
            "644 agent-chat-0.1.0/na\u{ef}ve.txt",
            "755 agent-chat-0.1.0/scripts/go.sh",
        ]
    );
}

#[test]
fn the_bytes_are_those_of_every_release() {
    let sandbox = Sandbox::new();
    let root = sandbox.work().join("project");
    write(&root, &[("napt.toml", MODULE), ("chat/run.py", &"def run(module_run):\n    return 1\n".repeat(100))]);
    // Another digest here means that every published module would differ when packaged again: change it knowingly.
    assert_data_eq!(
        pack(&root).expect("packed").sha256,
        str!["ba988059744c2aebe3ee85f58d24d11dcc581cd0d0594f41ece5083b6adf8d2f"]
    );
}

#[test]
fn the_commit_is_recorded() {
    let sandbox = Sandbox::new();
    workspace(&sandbox);
    let root = sandbox.work();
    git(&root, &["init", "-q"]);
    let vcs = || {
        let archive = root.join("target/package/chat-0.1.0.napt");
        sandbox.napt(&["package", "--no-verify", "--allow-dirty", "-p", "chat"]).expect(0);
        let target = sandbox.work().parent().expect("the sandbox").join("unpacked");
        let _ = std::fs::remove_dir_all(&target);
        let (sha256, _) = napt::package::sha256_file(&archive).expect("an archive");
        napt::package::unpack(&archive, &sha256, &target, &Limits::default()).expect("unpacked");
        let text = std::fs::read_to_string(target.join(".napt/vcs.json")).ok()?;
        Some(serde_json::from_str::<serde_json::Value>(&text).expect("JSON"))
    };
    assert_eq!(vcs(), None, "before the first commit");
    git(&root, &["add", "."]);
    git(&root, &["commit", "-q", "-m", "first"]);
    let clean = vcs().expect("recorded");
    assert_eq!(clean["path"], "modules/chat");
    assert_eq!(clean["git"]["dirty"], false);
    assert_eq!(clean["git"]["commit"].as_str().map(str::len), Some(40));

    // Another member's change is not this one's, committed or not.
    sandbox.write("modules/debate/debate/run.py", "changed");
    assert_eq!(vcs().expect("recorded"), clean);
    git(&root, &["commit", "-q", "-a", "-m", "second"]);
    assert_eq!(vcs().expect("recorded"), clean);
    git(&root, &["checkout", "-q", "-b", "branch"]);
    sandbox.write("modules/chat/chat/run.py", "once more");
    git(&root, &["commit", "-q", "-a", "-m", "third"]);
    let third = vcs().expect("recorded");
    assert_ne!(third["git"]["commit"], clean["git"]["commit"]);
    git(&root, &["checkout", "-q", "-"]);
    git(&root, &["merge", "-q", "--no-ff", "-m", "merge", "branch"]);
    let merged = vcs().expect("recorded");
    assert_ne!(merged["git"]["commit"], third["git"]["commit"], "on the main line, the merge is the change");
    assert_eq!(merged["git"]["dirty"], false);
    sandbox.write("modules/chat/chat/new.py", "untracked");
    assert_eq!(vcs().expect("recorded")["git"]["dirty"], true);
    std::fs::remove_file(root.join("modules/chat/chat/new.py")).expect("a file");
    assert_eq!(vcs().expect("recorded")["git"]["dirty"], false);
    sandbox.write("modules/chat/chat/run.py", "changed");
    assert_eq!(vcs().expect("recorded")["git"]["dirty"], true);
}

#[test]
fn a_dependency_on_a_folder_becomes_one_on_its_version() {
    let sandbox = Sandbox::new();
    workspace(&sandbox);
    let depending = |entry: &str| format!("{DEBATE}[dependencies]\n\"agent:chat\" = {entry}\n");
    sandbox.write("modules/debate/napt.toml", depending("{ path = \"../chat\" }"));
    sandbox.napt(&["package", "--no-verify", "-p", "debate"]).expect(0);
    let archive = sandbox.work().join("target/package/debate-1.2.0.napt");
    let contents = inspect(&archive, &Limits::default()).expect("a good archive");
    let dependency = contents.manifest.dependencies.values().next().expect("a dependency");
    assert_eq!((dependency.req.to_string(), &dependency.path), ("^0.1.0".to_owned(), &None));

    sandbox.write("modules/debate/napt.toml", depending("{ path = \"../nowhere\" }"));
    let ran = sandbox.napt(&["package", "--no-verify", "-p", "debate"]).expect(3);
    assert!(ran.stderr.contains("the dependency `agent:chat` has no version, and the one in `../nowhere`"));
    sandbox.write("modules/debate/napt.toml", depending("{ path = \"../nowhere\", version = \"0.3\" }"));
    sandbox.napt(&["package", "--no-verify", "-p", "debate"]).expect(0);
}

// Naptha's defects: C9
#[test]
fn secrets_are_refused_with_their_places_and_never_shown() {
    let sandbox = Sandbox::new();
    let key = format!("sk-proj-{}", "a1B2c3D4e5".repeat(4));
    let token = format!("napt_{}", "0a".repeat(24));
    write(
        &sandbox.work(),
        &[
            ("napt.toml", MODULE),
            ("chat/run.py", &format!("import os\n\nKEY = \"{key}\"\n")),
            (
                "chat/configs/llm_configs.json",
                &format!("[\n  {{\"key\": \"{key}\"}},\n  {{\"key\": \"{token}\"}}\n]\n"),
            ),
            (".env", "PRIVATE_KEY=1\n"),
            (".env.example", "PRIVATE_KEY=\n"),
            ("user.pem", &"5f".repeat(32)),
        ],
    );
    let ran = sandbox.napt(&["package", "--no-verify"]).expect(3);
    assert_data_eq!(
        &ran.stderr,
        str![[r#"
   Packaging agent:chat@0.1.0 ([..])
error: cannot package `agent:chat`
  caused by: 5 secrets would be published
    `.env`: a file of secrets
    `chat/configs/llm_configs.json:2`: an OpenAI API key
    `chat/configs/llm_configs.json:3`: a napt token
    `chat/run.py:3`: an OpenAI API key
    `user.pem:1`: a private key

hint: take them out, or leave the files out by `.gitignore` or `exclude` in `napt.toml`; read keys from the environment when the module runs. What opens nothing may stay with `napt: allow-secret REASON` on its line, or its file in `allow-secrets` of `[module]`

"#]]
    );
    let json = sandbox.napt(&["package", "--no-verify", "--message-format", "json"]).expect(3);
    for secret in [&key, &token, &"5f".repeat(32)] {
        assert!(!ran.stderr.contains(secret) && !json.stdout.contains(secret.as_str()));
    }
    assert!(!sandbox.work().join("target/package/chat-0.1.0.napt").exists());
    assert_eq!(std::fs::read_dir(sandbox.work().join("target/package")).expect("a folder").count(), 0);

    sandbox.write(".gitignore", ".env\n*.pem\nchat/configs/\n");
    sandbox.write("chat/run.py", "import os\n");
    sandbox.napt(&["package", "--no-verify"]).expect(0);
}

#[test]
fn a_secret_is_allowed_by_its_line_or_its_file_and_always_told() {
    let sandbox = Sandbox::new();
    let key = format!("sk-proj-{}", "a1B2c3D4e5".repeat(4));
    let manifest = format!("{MODULE}allow-secrets = [\"tests/key.pem\", \"tests/gone.pem\"]\n");
    let code = |comment: &str| format!("KEY = \"{key}\"  # {comment}\n");
    write(
        &sandbox.work(),
        &[
            ("napt.toml", &manifest),
            ("chat/run.py", &code("napt: allow-secret: revoked, for a test")),
            ("tests/key.pem", &"5f".repeat(32)),
        ],
    );
    let ran = sandbox.napt(&["package", "--no-verify", "--message-format", "json"]).expect(0);
    for line in [
        "warning: a secret is packaged: `chat/run.py:1`: an OpenAI API key (allowed: revoked, for a test)",
        "warning: a secret is packaged: `tests/key.pem:1`: a private key (allowed: `allow-secrets` in `napt.toml`)",
        "warning: `allow-secrets` names `tests/gone.pem`, but no secret of that file is packaged",
    ] {
        assert!(ran.stderr.contains(line), "{}", ran.stderr);
    }
    let allowed = &ran.json()["data"]["archives"][0]["allowed_secrets"];
    assert_eq!((&allowed[0]["line"], &allowed[0]["because"]), (&1.into(), &"revoked, for a test".into()));
    assert!(!ran.stdout.contains(&key) && !ran.stderr.contains(&key));
    // Without a reason it is not allowed, and another file's entry is no good.
    for (path, text) in [("chat/run.py", code("napt: allow-secret")), ("tests/other.pem", "5f".repeat(32))] {
        sandbox.write(path, text);
        let ran = sandbox.napt(&["package", "--no-verify"]).expect(3);
        assert!(ran.stderr.contains("1 secret would be published"), "{}", ran.stderr);
        sandbox.write("chat/run.py", "");
    }
}

#[test]
fn the_hosts_that_a_module_may_reach_are_told_and_stay_in_its_archive() {
    let sandbox = Sandbox::new();
    let manifest = format!("{MODULE}[permissions]\nhosts = [\"API.example.com\", \"*.example.org:8443\"]\n");
    write(&sandbox.work(), &[("napt.toml", &manifest), ("chat/run.py", "")]);
    let ran = sandbox.napt(&["package", "--no-verify", "--message-format", "json"]).expect(0);
    assert!(ran.stderr.contains("Hosts it may reach api.example.com, *.example.org:8443\n"), "{}", ran.stderr);
    let archive = &ran.json()["data"]["archives"][0];
    assert_eq!(archive["hosts"], serde_json::json!(["api.example.com", "*.example.org:8443"]));
    let path = archive["path"].as_str().expect("a path");
    let contents = inspect(path.as_ref(), &Limits::default()).expect("a good archive");
    assert_eq!(contents.manifest.permissions.hosts.len(), 2);
}

#[test]
fn what_is_checked_and_unpacked_first_is_packaged() {
    let sandbox = Sandbox::new();
    crate::support::modules::write(&sandbox, ".", "persona:ada", "0.1.0", "readme = \"README.md\"\n");
    let ran = sandbox.napt(&["package"]).expect(3);
    assert!(ran.stderr.contains("`README.md` is not in it"), "{}", ran.stderr);
    sandbox.napt(&["package", "--no-verify"]).expect(0);
    sandbox.write("README.md", "# Ada\n");
    let ran = sandbox.napt(&["package"]).expect(0);
    assert!(ran.stderr.contains("   Verifying persona:ada@0.1.0"), "{}", ran.stderr);
    sandbox.write("configs/deployment.json", "[{");
    let ran = sandbox.napt(&["package"]).expect(3);
    assert!(
        ran.stderr.contains("invalid-json") && ran.stderr.contains("`--no-verify` would package"),
        "{}",
        ran.stderr
    );
}

#[test]
fn the_size_is_told_and_what_it_is_made_of() {
    let sandbox = Sandbox::new();
    crate::support::modules::write(&sandbox, ".", "persona:ada", "0.1.0", "");
    for number in 0..4 {
        sandbox.write(format!("{number}.txt"), "x".repeat(10_000 * (number + 1)));
    }
    let ran = sandbox.napt(&["package"]).expect(0);
    let largest = "     Largest 3.txt (39.1 KiB), 2.txt (29.3 KiB), 1.txt (19.5 KiB)\n";
    assert!(ran.stderr.contains(largest), "{}", ran.stderr);
    let json = sandbox.napt(&["package", "--message-format", "json"]).expect(0).json();
    let archive = &json["data"]["archives"][0];
    assert_eq!(archive["largest"][0], serde_json::json!({ "path": "3.txt", "size": 40_000 }));
    assert!(archive["unpacked"].as_u64() > Some(100_000) && archive["size"].as_u64() < Some(10_000), "{archive}");
    assert_eq!(json["data"]["limits"]["files"], 20_000);
}

#[cfg(unix)]
#[test]
fn links_are_named_and_refused() {
    let sandbox = Sandbox::new();
    write(&sandbox.work(), &[("napt.toml", MODULE), ("chat/run.py", "")]);
    std::os::unix::fs::symlink("/etc/passwd", sandbox.work().join("chat/passwd")).expect("a link");
    std::os::unix::fs::symlink("..", sandbox.work().join("chat/up")).expect("a link");
    let ran = sandbox.napt(&["package", "--no-verify"]).expect(3);
    assert!(ran.stderr.contains("links or devices: `chat/passwd`, `chat/up`"), "{}", ran.stderr);
    sandbox.write(".gitignore", "passwd\nup\n");
    sandbox.napt(&["package", "--no-verify"]).expect(0);
}

/// Does something to the project between the listing and the reading of its files.
struct Meddler<F: Fn(&str) + Send + Sync>(F);

impl<F: Fn(&str) + Send + Sync> Reporter for Meddler<F> {
    fn step(&self, _verb: &str, _what: &str) {}
    fn warn(&self, _message: &str) {}
    fn detail(&self, path: &str) {
        self.0(path);
    }
}

#[test]
fn a_file_that_changes_meanwhile_never_spoils_the_archive() {
    let sandbox = Sandbox::new();
    let root = sandbox.work().join("project");
    write(&root, &[("napt.toml", MODULE), ("chat/a.txt", "a"), ("chat/b.txt", "b")]);
    let project = Project::load(&root).expect("a project");
    let into = sandbox.work().join("out");
    let meddle = |change: &(dyn Fn(&Path) + Send + Sync)| {
        let meddler = Meddler(|path: &str| {
            if path == "chat/a.txt" {
                change(&root.join("chat/b.txt"));
            }
        });
        package::pack(&project, &into, &meddler)
    };
    let grown = meddle(&|path| std::fs::write(path, "longer than before").expect("a file")).expect("packed");
    assert_eq!(grown.files[2].size, 18);
    inspect(&grown.path, &Limits::default()).expect("a good archive");
    std::fs::remove_file(&grown.path).expect("the archive");

    let error = meddle(&|path| std::fs::remove_file(path).expect("a file")).expect_err("gone").to_string();
    assert!(error.contains("chat/b.txt"), "{error}");
    #[cfg(unix)]
    {
        std::fs::write(root.join("chat/b.txt"), "b").expect("a file");
        let link = |path: &Path| {
            std::fs::remove_file(path).expect("a file");
            std::os::unix::fs::symlink("/etc/passwd", path).expect("a link");
        };
        let error = meddle(&link).expect_err("a link in its place").to_string();
        assert!(error.contains("chat/b.txt"), "{error}");
    }
    assert_eq!(std::fs::read_dir(&into).expect("a folder").count(), 0, "nothing is left");
}

/// Interrupts while the first file is read.
struct Impatient(AtomicBool);

impl Reporter for Impatient {
    fn step(&self, _verb: &str, _what: &str) {}
    fn warn(&self, _message: &str) {}
    fn detail(&self, _path: &str) {
        self.0.store(true, Ordering::SeqCst);
    }
    fn is_interrupted(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

#[test]
fn an_interrupted_package_leaves_nothing() {
    let sandbox = Sandbox::new();
    let root = sandbox.work().join("project");
    write(&root, &[("napt.toml", MODULE), ("chat/a.txt", "a")]);
    let project = Project::load(&root).expect("a project");
    let into = sandbox.work().join("out");
    let error = package::pack(&project, &into, &Impatient(AtomicBool::new(false))).expect_err("interrupted");
    assert_eq!(error.kind().exit_code(), 130);
    assert_eq!(std::fs::read_dir(&into).expect("a folder").count(), 0, "nothing is left");
}

#[test]
fn names_that_another_system_cannot_hold_are_refused_before_anything_is_written() {
    let sandbox = Sandbox::new();
    write(&sandbox.work(), &[("napt.toml", MODULE), ("chat/aux.py", "")]);
    let ran = sandbox.napt(&["package", "--no-verify"]).expect(3);
    assert!(ran.stderr.contains("the part `aux.py`, which is a device on Windows"), "{}", ran.stderr);
    assert!(ran.stderr.contains("hint: rename it"), "{}", ran.stderr);
    assert!(!sandbox.work().join("target").exists());
    sandbox.napt(&["package", "--no-verify", "--list"]).expect(0);
}
