//! The commands of the real Naptha SDK that talk to the hub, against our registry.

use std::process::{Command, Stdio};

use napt::identity::SecretKey;

use crate::support::{Ran, Sandbox, modules, python, registry::TestRegistry};

/// A user of the SDK with a folder, a key, a name and a password.
struct Person<'a> {
    registry: &'a TestRegistry,
    sandbox: Sandbox,
    key: SecretKey,
    name: &'static str,
    password: &'static str,
}

impl<'a> Person<'a> {
    fn new(registry: &'a TestRegistry, name: &'static str) -> Self {
        Person { registry, sandbox: registry.sandbox(), key: SecretKey::generate(), name, password: "pass word 1!" }
    }

    /// `naptha …` in the work folder or one below it.
    fn naptha_in(&self, folder: &str, arguments: &[&str]) -> Ran {
        let bin = python::with_sdk().with_file_name("naptha");
        let hub = self.registry.url.join("rpc").expect("a URL").to_string().replacen("http", "ws", 1);
        let mut command = Command::new(bin);
        command
            .args(arguments)
            .current_dir(self.sandbox.work().join(folder))
            .env_clear()
            .env("HOME", self.sandbox.home())
            .env("COLUMNS", "2000")
            .env("HUB_URL", hub)
            .env("HUB_USERNAME", self.name)
            .env("HUB_PASSWORD", self.password)
            .env("PRIVATE_KEY", self.key.to_hex())
            .env("NODE_URL", "http://localhost:7001")
            .stdin(Stdio::null());
        let output = command.output().expect("it starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    fn naptha(&self, arguments: &[&str]) -> Ran {
        self.naptha_in("", arguments)
    }

    /// The command ends well and prints this.
    #[track_caller]
    fn shows(&self, arguments: &[&str], texts: &[&str]) {
        let ran = self.naptha(arguments).expect(0);
        for text in texts {
            assert!(ran.stdout.contains(text) || ran.stderr.contains(text), "{text}\n{}\n{}", ran.stdout, ran.stderr);
        }
    }

    /// The command ends badly, and says why in our words.
    #[track_caller]
    fn fails(&self, arguments: &[&str], text: &str) {
        let ran = self.naptha(arguments);
        assert_eq!(ran.code, Some(1), "{}\n{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.contains(text), "{text}\n{}", ran.stdout);
    }
}

const TYPES: [(&str, &str); 7] = [
    ("agents", "agent"),
    ("tools", "tool"),
    ("orchestrators", "orchestrator"),
    ("environments", "environment"),
    ("personas", "persona"),
    ("kbs", "kb"),
    ("memories", "memory"),
];

// Naptha's defects: G8
#[test]
fn signup_then_sign_in_in_any_case() {
    let registry = TestRegistry::start();
    let person = Person::new(&registry, "Ada.Lovelace");
    person.fails(&["agents"], "Authentication failed: no user has this name and password");
    person.shows(&["signup"], &["Sign up successful"]);
    person.shows(&["signup"], &["Sign in successful"]);
    let other_case = Person { name: "ada.lovelace", key: SecretKey::generate(), ..Person::new(&registry, "") };
    other_case.fails(&["signup"], "Public key mismatch");
    let taken = Person { password: "another", ..other_case };
    taken.fails(&["signup"], "no user has this name and password");
    // The same key with another name: the SDK itself sees that.
    let renamed = Person { key: person.key, ..Person::new(&registry, "grace") };
    renamed.fails(&["signup"], "already exists but doesn't match");
}

#[test]
fn modules_of_all_types_are_listed_made_changed_and_deleted() {
    let registry = TestRegistry::start();
    let (ada, bob) = (Person::new(&registry, "ada"), Person::new(&registry, "bob"));
    ada.shows(&["signup"], &["Sign up successful"]);
    bob.shows(&["signup"], &["Sign up successful"]);
    for (list, kind) in TYPES {
        let name = format!("my_{kind}");
        ada.shows(&[list], &[&format!("No {kind} found")]);
        let metadata =
            "description='Talks a lot' parameters='p' module_url='https://git.example/m' module_version=v1.2";
        ada.shows(&[list, &name, "-c", metadata], &[&format!("Created {kind}")]);
        ada.fails(&[list, &name, "-c", metadata], &format!("`{kind}:{name}` exists already"));
        ada.shows(&[list], &[&name, "Talks a lot", "https://git.example/m", "v1.2", "Total"]);
        ada.shows(&[list, &name, "-u", "description='Listens'"], &["Listens"]);
        bob.fails(&[list, &name, "-u", "description='Mine'"], "You are not authorized");
        bob.fails(&[list, &name, "-d"], "You are not authorized");
        ada.fails(&[list, "nothing_here", "-u", "description='x'"], "No existing");
        let found = ada.sandbox.napt(&["search", "--type", kind]).expect(0);
        assert!(found.stdout.contains("v1.2  Listens"), "{}", found.stdout);
        ada.shows(&[list, &name, "-d"], &[&format!("Deleted {kind}")]);
        ada.shows(&[list, &name, "-d"], &[&format!("Failed to delete {kind}")]);
        ada.shows(&[list], &[&format!("No {kind} found")]);
    }
    ada.fails(&["agents", "Upper", "-c", "description=d parameters=p module_url=u"], "did you mean `upper`");
}

#[test]
fn what_napt_publishes_is_listed_and_what_naptha_registers_is_found() {
    let registry = TestRegistry::start();
    let ada = Person::new(&registry, "ada");
    ada.shows(&["signup"], &["Sign up successful"]);
    let work = &ada.sandbox;
    work.napt(&["login"]).expect(0);
    for (list, kind) in TYPES {
        modules::write(work, kind, &format!("{kind}:published"), "1.2.0", "");
        work.napt(&["publish", "--no-verify", "-C", kind]).expect(0);
        let url = registry.url.join(&format!("api/v1/modules/{kind}/published/1.2.0/download")).expect("a URL");
        ada.shows(&[list], &["A module for tests", "1.2.0", url.as_str(), "data.json"]);
    }
    ada.fails(&["agents", "published", "-c", "description=d parameters=p module_url=u"], "exists already");

    // `naptha publish -r URL`, twice: the second changes the first's record.
    let deployment = r#"[{"name": "d", "module": {"name": "given", "description": "A tool", "parameters": "{x: int}",
        "module_type": "tool", "module_version": "v0.2", "module_entrypoint": "run.py", "execution_type": "package"},
        "node": {"ip": "localhost"}}]"#;
    work.write("given/given/configs/deployment.json", deployment);
    for url in ["https://git.example/one", "https://git.example/two"] {
        let ran = ada.naptha_in("given", &["publish", "-r", url]).expect(0);
        assert!(ran.stderr.contains("Total time taken to publish 1 modules"), "{}", ran.stderr);
    }
    let info = work.napt(&["info", "tool:given"]).expect(0);
    assert!(
        info.stdout.contains("tool:given v0.2") && info.stdout.contains("https://git.example/two"),
        "{}",
        info.stdout
    );
    // Its owner's archive makes a module of it. Ada's key in napt is another one.
    modules::write(work, "taken", "tool:given", "1.0.0", "");
    work.napt(&["publish", "--no-verify", "-C", "taken"]).expect(5);
}

// Naptha's defects: G5, C8
#[test]
fn nodes_are_listed() {
    let registry = TestRegistry::start();
    let ada = Person::new(&registry, "ada");
    ada.shows(&["signup"], &["Sign up successful"]);
    ada.shows(&["nodes"], &["No nodes found"]);
    ada.shows(&["nodes", "-s"], &["No servers found"]);
}
