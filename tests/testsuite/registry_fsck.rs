//! `napt registry fsck`: a clean registry is clean, and each class of damage is seen and named.

use std::path::{Path, PathBuf};

use serde_json::Value;
use sqlx::{ConnectOptions, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

use crate::support::{
    Ran, Sandbox,
    http::runtime,
    modules,
    registry::{TestRegistry, stored},
};

/// A registry's folder with two versions of a module, and the digest of the first.
struct Scene {
    sandbox: Sandbox,
    registry: TestRegistry,
    sha256: String,
    /// The registry's folder, or a copy of it.
    data: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let mut registry = TestRegistry::start();
        let sandbox = registry.sandbox();
        sandbox.napt(&["login"]).expect(0);
        let deps = "[dependencies]\n\"tool:t\" = { version = \"^1\" }\n";
        modules::write(&sandbox, "t", "tool:t", "1.0.0", "");
        modules::write(&sandbox, "a", "agent:a", "1.0.0", deps);
        sandbox.write("a/README.md", "# A\n");
        sandbox.napt(&["publish", "--no-verify", "-C", "t"]).expect(0);
        let published =
            sandbox.napt(&["publish", "--no-verify", "-C", "a", "--message-format", "json"]).expect(0).json();
        let sha256 = published["data"]["modules"][0]["sha256"].as_str().expect("a digest").to_owned();
        registry.stop();
        let data = registry.data().to_owned();
        Scene { sandbox, registry, sha256, data }
    }

    fn blob(&self) -> PathBuf {
        self.data.join("blobs/sha256").join(&self.sha256[..2]).join(&self.sha256)
    }

    fn sql(&self, sql: &'static str) {
        sql_in(&self.data.join("registry.db"), sql);
    }

    fn fsck(&self, more: &[&str]) -> Ran {
        let data = self.data.to_str().expect("UTF-8");
        self.sandbox.napt(&[&["registry", "fsck", "--data", data, "--message-format", "json"], more].concat())
    }

    /// The kinds of what is found, with what it is about.
    #[track_caller]
    fn found(&self, code: i32, list: &str) -> Vec<(String, String)> {
        let json = self.fsck(&[]).expect(code).json();
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let all = json["data"][list].as_array().expect("a list").iter();
        all.map(|finding| (text(&finding["kind"]), text(&finding["what"]))).collect()
    }
}

/// Copies a folder.
pub fn copy(from: &Path, to: &Path) -> PathBuf {
    let status = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(status.expect("cp").success());
    to.to_owned()
}

/// Changes a database behind the back of the server that keeps it.
pub fn sql_in(path: &Path, sql: &'static str) {
    let options = SqliteConnectOptions::new().filename(path).foreign_keys(false);
    runtime().block_on(async {
        let mut connection = options.connect().await.expect("a database");
        sqlx::raw_sql(sql).execute(&mut connection).await.expect(sql);
    });
}

#[test]
fn a_clean_registry_is_clean_and_stays_as_it_was() {
    let scene = Scene::new();
    let before = stored(&scene.data);
    let data = scene.data.to_str().expect("UTF-8");
    let ran = scene.sandbox.napt(&["registry", "fsck", "--data", data]).expect(0);
    assert_eq!(ran.stdout, format!("No problem in `{data}` (2 archives, 2 modules, 2 versions)\n"));
    assert_eq!(ran.stderr, "");
    assert_eq!(stored(&scene.data), before);
}

#[test]
fn each_kind_of_damage_is_named() {
    type Damage = fn(&Scene);
    let cases: [(&str, &str, Damage); 15] = [
        ("blob-missing", "agent:a@1.0.0", |scene| std::fs::remove_file(scene.blob()).expect("a file")),
        ("blob-size", "agent:a@1.0.0", |scene| {
            let file = std::fs::File::options().append(true).open(scene.blob()).expect("a file");
            file.set_len(100).expect("shorter");
        }),
        ("blob-damaged", "agent:a@1.0.0", |scene| {
            let mut bytes = std::fs::read(scene.blob()).expect("a file");
            bytes[200] ^= 1;
            std::fs::write(scene.blob(), bytes).expect("written");
        }),
        ("record-differs", "agent:a@1.0.0", |scene| scene.sql("UPDATE versions SET deps = '[]' WHERE deps != '[]'")),
        ("record-differs", "agent:a@1.0.0", |scene| {
            scene.sql("UPDATE versions SET readme = '# B' WHERE readme IS NOT NULL");
        }),
        ("record-differs", "agent:a@1.0.0", |scene| {
            scene.sql(
                "UPDATE versions SET manifest = replace(manifest, 'for tests', 'for fun') WHERE readme IS NOT NULL",
            );
        }),
        ("record-differs", "agent:a@1.0.0", |scene| {
            scene.sql("UPDATE versions SET runtime = 'python' WHERE readme IS NOT NULL");
        }),
        ("record-differs", "agent:b@1.0.0", |scene| scene.sql("UPDATE modules SET name = 'b' WHERE name = 'a'")),
        ("no-owner", "agent:a", |scene| {
            scene.sql("DELETE FROM owners WHERE module_id = (SELECT id FROM modules WHERE name = 'a')");
        }),
        ("stale-summary", "agent:a", |scene| scene.sql("UPDATE modules SET version = '0.9.0' WHERE name = 'a'")),
        ("no-version", "agent:a", |scene| scene.sql("DELETE FROM versions WHERE readme IS NOT NULL")),
        ("dangling-row", "registry.db", |scene| scene.sql("UPDATE tokens SET user_id = 'nobody'")),
        ("bad-row", "registry.db", |scene| {
            scene.sql("UPDATE versions SET deps = 'nonsense' WHERE readme IS NOT NULL");
        }),
        ("database", "registry.db", |scene| {
            scene.sql("PRAGMA writable_schema = 1; UPDATE sqlite_schema SET rootpage = 2 WHERE name = 'owners'")
        }),
        ("database", "registry.db", |scene| {
            std::fs::write(scene.data.join("registry.db"), "no database at all".repeat(1000)).expect("written");
        }),
    ];
    let mut scene = Scene::new();
    for (number, (kind, what, damage)) in cases.into_iter().enumerate() {
        scene.data = copy(scene.registry.data(), &scene.sandbox.work().join(number.to_string()));
        damage(&scene);
        let found = scene.found(3, "problems");
        assert!(found.contains(&(kind.to_owned(), what.to_owned())), "{number}: {kind} of {what} is not in {found:?}");
        // Never a guess about archives when the records are not sound.
        let before = stored(&scene.data);
        assert_eq!(scene.fsck(&["--repair"]).expect(3).json()["data"]["removed"], serde_json::json!([]), "{number}");
        assert_eq!(stored(&scene.data), before, "{number}");
    }
}

#[test]
fn what_is_of_no_use_is_a_note_and_can_be_removed() {
    let scene = Scene::new();
    let stray = scene.data.join("blobs/sha256/00");
    std::fs::create_dir_all(&stray).expect("a folder");
    std::fs::write(stray.join("0".repeat(64)), "orphan").expect("a file");
    // The right name in the wrong place is never served.
    std::fs::copy(scene.blob(), stray.join(&scene.sha256)).expect("a copy");
    std::fs::write(scene.data.join("staging/.tmpX"), "half").expect("a file");
    let found = scene.found(0, "notes");
    let kinds: Vec<&str> = found.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["orphan", "orphan", "staging"]);
    let removed = scene.fsck(&["--repair"]).expect(0).json()["data"]["removed"].as_array().expect("a list").len();
    assert_eq!(removed, 3);
    assert_eq!(scene.found(0, "notes"), []);
    assert_eq!(stored(&scene.data).len(), 2);
}

#[test]
fn a_registry_that_runs_is_left_alone_and_an_empty_folder_is_none() {
    let registry = TestRegistry::start();
    let sandbox = registry.sandbox();
    let data = registry.data().to_str().expect("UTF-8");
    let ran = sandbox.napt(&["registry", "fsck", "--data", data]).expect(6);
    assert_eq!(
        ran.stderr,
        format!("error: another registry uses `{data}`\n\nhint: stop it, or choose another folder with `--data`\n")
    );
    let empty = TempDir::new().expect("a folder");
    let data = empty.path().to_str().expect("UTF-8");
    let ran = sandbox.napt(&["registry", "fsck", "--data", data]).expect(2);
    assert!(ran.stderr.contains("is not a registry's folder: it has no `registry.db`"), "{}", ran.stderr);
    assert_eq!(std::fs::read_dir(empty.path()).expect("a folder").count(), 0, "nothing was made");
}
